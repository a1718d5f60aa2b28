#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: delisting_request
short_description: Ask a list from the listed address itself
description:
  - Runs on the host that has the address. Some lists take a request by HTTP from the listed address alone; this makes it, once, by GET,
    from O(address). A certificate is checked, a redirect is followed on the same host only, and an answer is bounded in time and size.
  - It is a part of C(playbooks/delist.yml), which writes the request into the ledger before it is made. Called alone nothing remembers it.
  - In check mode it sees whether the host has the address, and asks nobody.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  url:
    description: What is asked, as the list's entry in the catalogue says (C(by=machine)).
    type: str
    required: true
  address:
    description: The listed address; the host must have it.
    type: str
    required: true
  timeout:
    description: Seconds for the connection and its answer.
    type: float
    default: 30.0
  ca_file:
    description: The certificates that are trusted, where the system's are not.
    type: path
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Ask s5h from the listed address
  delisting_request:
    url: http://www.usenix.org.uk/content/rblremove
    address: 198.51.100.11
"""

RETURN = r"""
state:
  description: >-
    V(sent), the list took the request; V(not_sent), it certainly did not; V(unknown), it may have; V(ready), in check mode, the host has
    the address.
  type: str
  returned: success
detail:
  description: What the list answered, or what went wrong; text from outside, at most some hundred characters.
  type: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.delisting import machine


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "timeout": {"type": "float", "default": 30.0},
            "ca_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    p = module.params
    try:
        outcome = machine.seen(p["address"])
        if outcome.state == machine.READY and not module.check_mode:
            outcome = machine.ask(p["url"], p["address"], p["timeout"], p["ca_file"])
    except machine.RequestError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=outcome.state != machine.NOT_SENT, state=outcome.state, detail=outcome.detail)


if __name__ == "__main__":
    main()

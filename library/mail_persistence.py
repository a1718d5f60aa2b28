#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_persistence
short_description: Take one thing that an intruder left out of force, or put it back
description:
  - Deactivates a Sieve script, or moves a C(.forward) aside in its folder (C(.goodstanding-disabled-forward)). Every byte is kept.
  - Entries of Postfix's maps, keys, crontabs, shares and rows of databases are not edited; the message says how it is done.
  - V(enabled) puts it back, and refuses where it was changed meanwhile. Both are written to C(/var/lib/goodstanding/journal.jsonl).
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  account:
    description: Login.
    type: str
    required: true
  place:
    description: The finding, as M(mail_persistence_info) names its place.
    type: str
    required: true
  sha256:
    description: Its content as it was looked at; where it is another by now, nothing is done.
    type: str
    default: ''
  state:
    description: Whether it is in force.
    type: str
    choices: [disabled, enabled]
    default: disabled
  incident:
    description: A name for the incident, for the journal.
    type: str
    default: manual
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Deactivate a script that sends mail away
  mail_persistence:
    account: mallory@example.com
    place: /var/vmail/example.com/mallory/sieve/filter.sieve

- name: Put it back, since it was its owner's
  mail_persistence:
    account: mallory@example.com
    place: /var/vmail/example.com/mallory/sieve/filter.sieve
    state: enabled
"""

RETURN = r"""
place:
  description: The finding.
  type: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.accounts.lock import check_names
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone
from ..module_utils.goodstanding.persistence.disable import apply


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "account": {"type": "str", "required": True},
            "place": {"type": "str", "required": True},
            "sha256": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["disabled", "enabled"], "default": "disabled"},
            "incident": {"type": "str", "default": "manual"},
        },
        supports_check_mode=True,
    )
    p = module.params
    try:
        (account,) = check_names([p["account"]], [], p["incident"])
        with alone(module.check_mode):
            result = apply(runner(), account, p["place"], p["sha256"], p["state"] == "disabled", p["incident"], module.check_mode)
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(place=p["place"], **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_queue
short_description: Hold, release or count the queued mail of accounts
description:
  - Finds an account's mail by the login that Postfix wrote into the envelope (C(sasl_username)), never by sender or body.
  - Mail on hold stays in the queue and is not delivered until it is released.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  accounts:
    description: Logins.
    type: list
    elements: str
    required: true
  state:
    description: What becomes of the mail; V(listed) only counts it.
    type: str
    choices: [held, released, listed]
    required: true
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
    support: none
"""

EXAMPLES = r"""
- name: Hold what an account has in the queue
  mail_queue:
    accounts: [mallory@example.com]
    state: held
"""

RETURN = r"""
moved:
  description: Number of messages that were held or released now.
  type: int
  returned: success
queued:
  description: Number of the accounts' messages in the other queues.
  type: int
  returned: success
held:
  description: Per account the number of its messages on hold.
  type: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone
from ..module_utils.goodstanding.queue.hold import apply


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["held", "released", "listed"], "required": True},
            "incident": {"type": "str", "default": "manual"},
        },
        supports_check_mode=True,
    )
    accounts = sorted({account.strip().lower() for account in module.params["accounts"]})
    try:
        with alone(module.check_mode):
            result = apply(runner(module), accounts, module.params["state"], module.params["incident"], module.check_mode)
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()

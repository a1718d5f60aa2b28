#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_lock_plumbing
short_description: Make a mail host ready to lock accounts at once
description:
  - Names the map C(lmdb:/etc/postfix/goodstanding_locked) first in C(smtpd_recipient_restrictions) and C(smtpd_end_of_data_restrictions)
    of every C(smtpd) service, and a deny passdb first in Dovecot's chain. With it in place a lock is a change of data.
  - The administrator's settings stay as they are; V(absent) takes the added text out again to the byte.
  - The configuration is tried in copies first, and the old files return where a daemon does not take it.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  state:
    description: Whether the plumbing is there. V(absent) unlocks every account in Postfix and Dovecot, and none in a backend.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Make the host ready to lock accounts
  mail_lock_plumbing:
"""

RETURN = r"""
reloaded:
  description: When the plumbing came into force, in seconds since 1970; null where it is not there.
  type: float
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.accounts.plumbing import apply
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone


def main() -> None:
    module = AnsibleModule(
        argument_spec={"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}},
        supports_check_mode=True,
    )
    try:
        with alone(module.check_mode):
            result = apply(runner(), module.params["state"] == "present", module.check_mode)
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_hold
short_description: Hold the mail that suspected accounts send, for a while
description:
  - What these accounts send goes into Postfix's queue hold, and the owner gets a notice; nothing is refused, and incoming mail goes on.
  - A hold ends when the account is not named any more, or when its time is over, at the first run after that; its mail is then released. A
    hold that ended by time is not begun anew as long as the account goes on to be named.
  - Where more waits than the limits allow, further mail is deferred, so that the owner's program keeps it.
  - The map of the lock is used, so the lock's plumbing (M(mail_lock_plumbing)) must be in place.
  - Mail of the account that was on hold before the hold began stays there.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  accounts:
    description: Logins whose mail is held; of all others that this module held it is released. A locked account is left as it is.
    type: list
    elements: str
    required: true
  hours:
    description: How long a hold lasts at most, in hours.
    type: float
    default: 12
  max_messages:
    description: How many messages of an account are held before more is deferred.
    type: int
    default: 1000
  max_megabytes:
    description: How much of an account's mail is held before more is deferred, in megabytes (10^6 octets).
    type: int
    default: 100
  max_disk_percent:
    description: How much of the free space of the queue's file system an account's mail on hold may take before more of it is deferred.
    type: float
    default: 20
  keep:
    description: Do not end the hold of an account that is not named, before its time; for a run that knows less than the one before.
    type: bool
    default: false
  notify:
    description: Write to the owners of accounts whose hold begins; of a fleet one host is enough.
    type: bool
    default: true
  never:
    description: Accounts that are never held.
    type: list
    elements: str
    default: []
  incident:
    description: A name for the incident, for the notice and the journal.
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
- name: Hold what one account sends, for four hours at most
  mail_hold:
    accounts: [mallory@example.com]
    hours: 4

- name: Let all mail go
  mail_hold:
    accounts: []
"""

RETURN = r"""
holds:
  description: >-
    Per account C(state) (V(held), V(deferring) or V(released), by time), since and until (seconds since 1970), messages and octets that
    were on hold when it was looked, and incident.
  type: dict
  returned: success
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.accounts.hold import HOLDS, Limits, check, reconcile
from ..module_utils.goodstanding.accounts.lock import check_names
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone, load_state


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "str", "required": True},
            "hours": {"type": "float", "default": 12},
            "max_messages": {"type": "int", "default": 1000},
            "max_megabytes": {"type": "int", "default": 100},
            "max_disk_percent": {"type": "float", "default": 20},
            "keep": {"type": "bool", "default": False},
            "notify": {"type": "bool", "default": True},
            "never": {"type": "list", "elements": "str", "default": []},
            "incident": {"type": "str", "default": "manual"},
        },
        supports_check_mode=True,
    )
    p = module.params
    limits = Limits(p["hours"], p["max_messages"], p["max_megabytes"] * 1_000_000, p["max_disk_percent"])
    try:
        check(limits)
        never = {name.strip().lower() for name in p["never"]}
        accounts = [name for name in check_names(p["accounts"], [], p["incident"]) if name not in never]
        if not accounts and not load_state(HOLDS):
            module.exit_json(changed=False, diff=[], holds={})  # most runs on most hosts: nothing is even locked
        with alone(module.check_mode):
            now, check_mode = time.time(), module.check_mode
            result = reconcile(runner(), accounts, limits, p["incident"], check_mode, now, p["keep"], p["notify"])
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()

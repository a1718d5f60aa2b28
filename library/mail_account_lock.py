#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_account_lock
short_description: Lock mail accounts on a host and end their sessions, or unlock them
description:
  - V(stop) puts the accounts into Postfix's maps and Dovecot's deny file; an open SMTP session is refused at its next recipient.
  - V(finish) empties the caches that let old passwords in (Dovecot's, saslauthd's), ends IMAP sessions, closes SMTP sessions that are older
    than the plumbing and those of O(addresses), and proves the lock.
  - What was there before is written to the journal before anything is changed; V(unlocked) sets exactly that back, and leaves alone what
    somebody changed since.
  - Passwords are neither touched nor read. Needs M(mail_lock_plumbing).
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  accounts:
    description: >-
      Logins, as Postfix logs them; C(uid:NUMBER) or C(uid:NAME) for a local user that sends by sendmail(1). C(root) is refused.
    type: list
    elements: str
    required: true
  state:
    description: Whether the accounts are locked.
    type: str
    choices: [locked, unlocked]
    default: locked
  phase:
    description: Which part of a lock is done, so that every host stops before any finishes. V(unlocked) has one part only.
    type: str
    choices: [stop, finish, both]
    default: both
  never:
    description: Accounts that are refused to be locked.
    type: list
    elements: str
    default: []
  must_exist:
    description: Refuse an account that this host surely does not know. V(false) suits accounts out of the fleet's own logs.
    type: bool
    default: true
  addresses:
    description: IP addresses of the attacker's clients; their connections to SMTP and mailbox ports are closed.
    type: list
    elements: str
    default: []
  force:
    description: Unlock also what was changed by hand since the lock, and where the journal was tampered with.
    type: bool
    default: false
  reason:
    description: Why the accounts are unlocked; it goes to the journal.
    type: str
    default: ""
  incident:
    description: A name for the incident; it is shown in Postfix's refusals and in the journal C(/var/lib/goodstanding/journal.jsonl).
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
- name: Stop an account and end its sessions
  mail_account_lock:
    accounts: [mallory@example.com]
    incident: 20261124T060000Z

- name: Let its owner in again
  mail_account_lock:
    accounts: [mallory@example.com]
    state: unlocked
"""

RETURN = r"""
contained:
  description: Whether the lock is proven to be in force on this host; null before V(finish) and in check mode.
  type: bool
  returned: success
faults:
  description: What speaks against it; when unlocking, what was left as it is and why.
  type: list
  elements: str
  returned: success
journal:
  description: The lines that were written to the host's journal by this call.
  type: list
  elements: dict
  returned: success
locked_at:
  description: Per account since when the lock is in force on this host, in seconds since 1970.
  type: dict
  returned: success
sessions_closed:
  description: Number of IMAP, POP3 and SMTP sessions that were ended.
  type: int
  returned: success
sessions_remaining:
  description: Number of sessions that could not be ended.
  type: int
  returned: success
unknown_accounts:
  description: Accounts that Dovecot does not know on this host; they are locked all the same.
  type: list
  elements: str
  returned: success
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.accounts.lock import check_names, finish, stop, unlock
from ..module_utils.goodstanding.host import journal
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["locked", "unlocked"], "default": "locked"},
            "phase": {"type": "str", "choices": ["stop", "finish", "both"], "default": "both"},
            "never": {"type": "list", "elements": "str", "default": []},
            "must_exist": {"type": "bool", "default": True},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "force": {"type": "bool", "default": False},
            "reason": {"type": "str", "default": ""},
            "incident": {"type": "str", "default": "manual"},
        },
        supports_check_mode=True,
    )
    p, run, check_mode = module.params, runner(), module.check_mode
    locked = p["state"] == "locked"
    result: dict[str, t.Any] = {
        "changed": False,
        "contained": None,
        "faults": [],
        "locked_at": {},
        "sessions_closed": 0,
        "sessions_remaining": 0,
        "unknown_accounts": [],
    }
    try:
        accounts = check_names(p["accounts"], p["never"] if locked else [], p["incident"])
        with alone(check_mode, p["incident"]):
            if not locked:
                result.update(unlock(run, accounts, p["incident"], check_mode, p["force"], p["reason"]))
            elif p["phase"] != "finish":
                result.update(stop(run, accounts, p["incident"], check_mode, p["must_exist"]))
            if locked and p["phase"] != "stop":
                done = finish(run, accounts, p["incident"], check_mode, p["addresses"])
                result.update({**done, "changed": done["changed"] or result["changed"]})
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result, journal=journal.written)


if __name__ == "__main__":
    main()

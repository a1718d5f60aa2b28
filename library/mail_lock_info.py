#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_lock_info
short_description: Tell which accounts are locked on a host, and prove that a lock works there
description:
  - Looks whether the lock's plumbing still stands in every submission service and in Dovecot; another tool may have rewritten it.
  - With O(canary) a login of our own is let in, locked by the path of every lock, tried over the open SMTP session, a new one and IMAP,
    and unlocked again. It exists for these seconds, is let in from loopback alone and has no mailbox. No message is sent.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  canary:
    description: Try the lock by logging in. Takes about five seconds, since Dovecot delays the answer to a refused login.
    type: bool
    default: false
  journal_after:
    description: The C(chain) of the last line of the host's journal that is known already; newer ones are returned.
    type: str
  incident:
    description: A name for the incident; it is shown in the journal.
    type: str
    default: proof
attributes:
  check_mode:
    description: Can run in check mode without modifying target; the canary is then not tried.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Prove that an account can be locked on this host
  mail_lock_info:
    canary: true
  register: proof
"""

RETURN = r"""
plumbing:
  description: >-
    C(state) is V(present), V(absent) (it was never here) or V(damaged); C(unguarded) says what is missing, such as a service whose
    restriction lists do not begin with the lock's map.
  type: dict
  returned: success
locks:
  description: Per locked account its C(incident) and C(locked_at) in seconds since 1970.
  type: dict
  returned: success
canary:
  description: >-
    C(smtp) and C(imap) are V(refused), as they must be, V(accepted) in spite of the lock, or V(unknown); C(why) says what was answered
    instead. Null where it was not tried.
  type: dict
  returned: success
sessions:
  description: >-
    Per locked account the number of its sessions in Dovecot (C(dovecot)) and of connections of its attacker's clients that are older than
    the lock (C(sockets)).
  type: dict
  returned: success
journal:
  description: >-
    C(lines) of the host's journal, the numbers of those that were changed after they were written (C(damaged)), the hash of the last
    one (C(last)), and those behind O(journal_after) (C(new)).
  type: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.accounts.proof import info
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "canary": {"type": "bool", "default": False},
            "journal_after": {"type": "str"},
            "incident": {"type": "str", "default": "proof"},
        },
        supports_check_mode=True,
    )
    p = module.params
    canary = p["canary"] and not module.check_mode
    try:
        with alone(not canary, p["incident"]):
            result = info(runner(), canary, p["incident"], p["journal_after"])
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

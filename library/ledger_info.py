#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_info
short_description: Tell the history of an address, a name, an account, a domain or a list
description:
  - Since when, how often, who acted, what changed, out of the store of the controller. Runs there, reads only, and makes nothing.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - SQLAlchemy
options:
  state_url:
    description: The database of runs, an SQLAlchemy URL. A password in it is kept out of every message.
    type: str
    required: true
  subject:
    description: >-
      An address, a name or domain, an account (a local user as C(uid:33@HOST)), or a list by its zone, its name, or C(log:) and a receiver.
    type: str
    required: true
  most:
    description: At most so many changes are returned, the newest.
    type: int
    default: 200
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: See what is known of an address
  ledger_info:
    state_url: sqlite:////var/lib/goodstanding/goodstanding.db
    subject: 198.51.100.11
"""

RETURN = r"""
kind:
  description: What it is - V(address), V(domain), V(account), V(list).
  type: str
  returned: success
subject:
  description: As the store names it.
  type: str
  returned: success
known:
  description: Whether the store knows anything of it.
  type: bool
  returned: success
state:
  description: >-
    V(listed), V(unknown) (it was listed, and no answer since can be believed), V(clean); of an account V(open), V(locked), V(reinstated);
    V(nothing) where nothing is known.
  type: str
  returned: success
since:
  description: Since when the listing or the incident that goes on is known, ISO 8601; null where none goes on.
  type: str
  returned: success
times:
  description: How often a source began to name it; of an account, how often it was broken into.
  type: int
  returned: success
listings:
  description: >-
    Rows of C(id), C(subject), C(source), C(list), C(code), C(outcome) (V(suspected) where the fleet brake holds it for a fault), C(since),
    C(first), C(last), C(ended) (null while it goes on), C(first_run), C(last_run), C(ended_run). The oldest first.
  type: list
  elements: dict
  returned: success
incidents:
  description: >-
    Rows of C(id), C(account), C(number), and C(first), C(last), C(locked), C(ended), C(reinstated), each with its run (C(first_run) ...);
    null where it has not happened.
  type: list
  elements: dict
  returned: success
cases:
  description: Rows of C(case), C(subject), C(list), C(state), C(opened), C(submitted_at), C(not_before), C(requests), C(relisted).
  type: list
  elements: dict
  returned: success
changes:
  description: >-
    What happened, the oldest first - C(time), C(host), C(run_id), C(who) (who started that run, empty where that is not known), C(what),
    C(id) (the row of the store that says so).
  type: list
  elements: dict
  returned: success
left_out:
  description: So many older changes are not among them.
  type: int
  returned: success
text:
  description: The same for a person, a line each.
  type: list
  elements: str
  returned: success
"""

import time
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.goodstanding.findings import history as words

try:
    from ..module_utils.goodstanding.store import database, history

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state_url": {"type": "str", "required": True, "no_log": True},
            "subject": {"type": "str", "required": True},
            "most": {"type": "int", "default": 200},
        },
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("SQLAlchemy"), exception=IMPORT_ERROR)
    p = module.params
    if p["most"] < 1:
        module.fail_json(msg=f"most is {p['most']}: it is a number of changes, 1 or more")
    try:
        engine: t.Any = database.open_existing(p["state_url"])
        if engine is None:
            module.fail_json(msg="the store has no ledger of this release yet: the next run that assesses makes it, or brings it forward")
        module.exit_json(changed=False, **words.tell(history.of(engine, p["subject"]), time.time(), p["most"]))
    except (database.StoreError, history.SubjectError) as exc:
        module.fail_json(msg=str(exc))


if __name__ == "__main__":
    main()

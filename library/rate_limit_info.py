#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rate_limit_info
short_description: Do the sending limits of a mail host limit, and who met one
description:
  - Looks at the engine that M(rate_limit) set up - its units, its store, whether Postfix asks it - and reads from its log who met a limit.
  - With O(canary) a login of this project, which may have a few recipients a minute, is let in from loopback for some seconds and exceeds
    its limit. Its mail is discarded. That is the only proof that mail is limited.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  canary:
    description: Whether a test account tries its limit. It writes its entry to the lock's files and takes it out again.
    type: bool
    default: false
  since:
    description: Who met a limit in so many seconds before now is told.
    type: float
    default: 86400
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
    details: The canary does not run in check mode.
"""

EXAMPLES = r"""
- name: See whether the limits limit
  rate_limit_info:
    canary: true
  register: limits
"""

RETURN = r"""
state:
  description: V(present) where limits are set up on this host, else V(absent).
  type: str
  returned: success
engine:
  description: The engine that counts; null where there is none.
  type: str
  returned: success
shadow:
  description: Whether the limits only count; null where there are none.
  type: bool
  returned: success
faults:
  description: What keeps the engine from limiting, a sentence each.
  type: list
  elements: str
  returned: success
canary:
  description: >-
    RV(canary.state) is V(refused) where a test account could not exceed its limit, V(accepted) where it could, V(unknown) with the
    reason in RV(canary.why); null where none was tried.
  type: dict
  returned: success
met:
  description: >-
    Who met a limit: C(scope) (account, domain, uid), C(key), C(window), C(kind) (soft, hard, shadow), C(refusals), C(first) and C(last) in
    seconds since 1970. At most 1000, those refused most often first. Of a local user C(refusals) is how often the limit was met, since
    nobody sees what sendmail(1) refuses.
  type: list
  elements: dict
  returned: success
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.accounts import dovecot_conf
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone
from ..module_utils.goodstanding.limits import apply, canary

MAX_MET = 1000


def look(with_canary: bool, since: float) -> dict[str, t.Any]:
    """Return what the module returns."""
    run = runner()
    installed = apply.installed(run)
    if installed is None:
        return {"state": "absent", "engine": None, "shadow": None, "faults": [], "canary": None, "met": []}
    engine, policy = installed
    tried = None
    if with_canary:
        with alone(False, "a look at the sending limits"):
            tried = canary.ask(run)
    faults = engine.faults(run, policy)
    try:
        met = [hit for hit in engine.limited(run, time.time() - since) if hit.key != dovecot_conf.CANARY]
    except HostError as exc:  # its store is gone, as faults() says in its own words
        met, faults = [], [*faults, f"who met a limit is not known: {exc}"]
    met.sort(key=lambda hit: (-hit.refusals, hit.key))
    return {
        "state": "present", "engine": engine.NAME, "shadow": policy.shadow, "faults": faults, "canary": tried,
        "met": [hit._asdict() for hit in met[:MAX_MET]],
    }  # fmt: skip


def main() -> None:
    module = AnsibleModule(
        argument_spec={"canary": {"type": "bool", "default": False}, "since": {"type": "float", "default": 86400}},
        supports_check_mode=True,
    )
    try:
        result = look(module.params["canary"] and not module.check_mode, module.params["since"])
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What everything that changes Postfix does: hear what Postfix says of a configuration, reload it, and ask whether it answers as before.

Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import time

from ..host.files import HostError, Run, must
from . import loopback

POSTFIX = "/etc/postfix"
#: How often the live Postfix is asked before its answer counts: the trial has passed, and in a flood a policy service may fail once.
ATTEMPTS = 3


def complaints(run: Run, folder: str) -> set[str]:
    """Return what Postfix complains of in the configuration in a folder."""
    found: set[str] = set()
    for flag in ("-n", "-M", "-P"):
        code, _, err = run(["postconf", "-c", folder, flag])
        lines = [line.replace(folder, POSTFIX) for line in err.splitlines()]
        found.update(line for line in lines if "warning:" in line or "fatal:" in line or "error:" in line)
        if code:
            found.add(f"postconf {flag} ended with {code}")
    return found


def reload(run: Run) -> None:
    """Reload Postfix where it runs."""
    if not run(["postfix", "status"])[0]:
        must(run, ["postfix", "reload"], "Postfix did not reload")


def answers_as(run: Run, before: dict[int, int]) -> None:
    """HostError where the ports of smtpd do not answer a recipient as they did before (see loopback.answers)."""
    after: dict[int, int] = {}
    for _ in range(ATTEMPTS):
        after = loopback.answers(run)
        # A port that does not answer at all may be full of the attacker's sessions.
        if (after or not before) and all(after.get(port, code) == code for port, code in before.items()):
            return
        time.sleep(2)
    raise HostError(f"after the reload Postfix answers a recipient otherwise than before (by port: {before}, then {after})")

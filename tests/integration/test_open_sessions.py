# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session from before the lock on a host where no socket can be closed: said so, and ended by the restart that one may ask for."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import acts, lab, on, playbook

ACCOUNT = "judy@beta.test"
NO_KILL = """#!/bin/sh
case " $* " in *" -K "*) exit 0 ;; esac
exec /usr/bin/ss.real "$@"
"""


def accepted(since: float) -> int:
    rows = acts()
    return sum(1 for row in rows if row["account"] == ACCOUNT and row["event"] == "accepted" and row["time"] > since)


@pytest.fixture(scope="module", autouse=True)
def open_session():
    lab("reset")
    on(
        "mx2",
        "sh",
        "-c",
        "mv $(readlink -f $(command -v ss)) /usr/bin/ss.real && cat > /usr/bin/ss && chmod 0755 /usr/bin/ss",
        data=NO_KILL,
    )
    on("botnet", "systemd-run", "--quiet", "--collect", "--unit=lab-session", "/var/lib/lab/outbreak.py", "session", ACCOUNT, "mx2", "120")
    deadline = time.time() + 30
    while accepted(0) < 3:
        assert time.time() < deadline, "the session never sent"
        time.sleep(0.5)
    yield
    on("botnet", "systemctl", "stop", "lab-session", check=False)
    on("mx2", "mv", "/usr/bin/ss.real", "/usr/bin/ss")


def test_an_open_session_that_cannot_be_closed_is_not_contained():
    output = playbook("lock.yml")
    assert "contained=False" in output, output[-3000:]
    said = " ".join(output.split())  # Ansible folds long lines
    assert "1 SMTP sessions from before the lock are still open: set account_lock_restart_postfix" in said, said[-3000:]
    time.sleep(2)
    assert accepted(time.time() - 2) > 0, "the session was to go on: the test proves nothing"


def test_the_restart_that_was_asked_for_ends_it():
    output = playbook("lock.yml", "-e", "account_lock_restart_postfix=true")
    assert "contained=True" in output, output[-3000:]
    now = time.time()
    time.sleep(8)
    assert accepted(now) == 0
    assert any(row["account"] == ACCOUNT and row["time"] > now - 5 and row["event"] in ("lost", "login_failed") for row in acts())

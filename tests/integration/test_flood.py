# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A flood over twelve sessions that are held open on two hosts, locked in the middle: with the plumbing in place, and on first contact."""

from __future__ import annotations

import json
import sys
import time
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from client import Client
from lab import HOSTS, VICTIM, lab, on, playbook

SESSIONS, BEFORE, AFTER = 6, 8, 8  # sessions a host; seconds of flood before the lock and of watching behind it
USER = "niaj@alpha.test"
#: What is sent goes nowhere, so that the hosts have their time for taking it.
SWALLOW = "postconf -e default_transport=discard: && postfix reload"


def accepted(rows: list[list[t.Any]], since: float, until: float) -> int:
    return sum(1 for session in rows for begun, _, code in session if since < begun <= until and code == 250)


def locked_at(host: str) -> float:
    """Return when the map of this host refused the account, out of the host's journal (the lab's hosts have one clock)."""
    rows = [json.loads(line) for line in on(host, "cat", "/var/lib/goodstanding/journal.jsonl").splitlines()]
    return float(next(row["time"] for row in rows if (row.get("account"), row["step"], row.get("result")) == (VICTIM, "map", "done")))


@pytest.mark.parametrize("ready", [True, False], ids=["plumbing in place", "first contact"])
def test_a_flood_ends_with_the_lock_and_nobody_else_is_slowed_down(ready, capsys):
    lab("reset")
    for host in HOSTS:
        on(host, "bash", "-c", SWALLOW)
    if ready:
        playbook("install.yml")
    with Client() as client:
        for number, host in enumerate(HOSTS):
            client("flood", host, host=host, user=VICTIM, password="pw-mallory-alpha.test", sessions=SESSIONS, first=number * SESSIONS)
            client("flood", f"{host} user", host=host, user=USER, password="pw-niaj-alpha.test", sessions=1, first=19, pause=0.05)
        time.sleep(BEFORE)
        begun = client("now")
        output = playbook("lock_all.yml")
        ended = client("now")
        time.sleep(AFTER)
        now = client("now")
        flood = {host: client("rows", host) for host in HOSTS}
        users = {host: client("rows", f"{host} user") for host in HOSTS}
        for name in (*HOSTS, *(f"{host} user" for host in HOSTS)):
            client("stop", name)
    assert output.count("contained=True") == 2, output[-3000:]
    said = []
    for host in HOSTS:
        locked, rows = locked_at(host), flood[host]
        rate = accepted(rows, begun - BEFORE + 2, begun) / (BEFORE - 2)
        behind = accepted(rows, locked, now)
        open_then = sum(1 for session in rows for first, last, code in session if first <= locked < last and code == 250)
        user = [accepted(users[host], begun - BEFORE + 2, begun) / (BEFORE - 2), accepted(users[host], begun, now) / (now - begun)]
        said.append(
            f"{host}: {rate:.0f} messages a second over {SESSIONS} sessions; accepted of those that began after the map changed: {behind}, "
            f"of those under way then: {open_then}, after the play: {accepted(rows, ended, now)}; another user: {user[0]:.1f} a second "
            f"before, {user[1]:.1f} from the lock on ({100 * user[1] / user[0]:.0f} %)"
        )
        assert rate > 20, "there was no flood: nothing is proven"
        assert accepted(rows, ended, now) == 0, said[-1]
        if ready:
            assert (behind, open_then <= SESSIONS) == (0, True), said[-1]
        assert any(code == 554 or code == 0 for session in rows for first, _, code in session if first > locked), "nobody tried any more"
        assert user[1] >= 0.8 * user[0], said[-1]
    with capsys.disabled():
        print("\n" + "\n".join(said))

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A suspect's mail on both hosts' real Postfix: held in an open session too, its owner told, deferred when too much, let go by time."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOSTS, acts, fingerprint, lab, login, on, playbook

SUSPECT, OTHER = "ivan@alpha.test", "niaj@alpha.test"
SECRET = "pw-ivan-alpha.test"


def hold(*accounts: str, **limits: float) -> dict[str, dict]:
    """Run the hold for these accounts and return what each host said."""
    given = {"account_lock_hold_accounts": list(accounts), **{f"account_lock_hold_{name}": value for name, value in limits.items()}}
    said = " ".join(playbook("hold.yml", "-e", json.dumps(given)).split())  # Ansible folds long lines
    return {host: json.loads(found) for host, found in re.findall(r"'HOLD (\w+) (\{.+?\})'", said)}


def in_hold(host: str) -> int:
    return len(on(host, "sh", "-c", "find /var/spool/postfix/hold -type f").split())


def delivered(host: str, account: str, subject: str) -> bool:
    user, _, domain = account.partition("@")
    return bool(on(host, "sh", "-c", f"grep -rlx 'Subject: {subject}' /var/vmail/{domain}/{user} || true"))


@pytest.fixture(scope="module", autouse=True)
def fresh():
    lab("reset")
    yield
    lab("reset")


def test_a_suspects_mail_waits_also_in_a_session_that_is_open_and_its_owner_is_told():
    before = fingerprint()
    playbook("hold.yml", "-e", '{"account_lock_hold_accounts": []}')
    assert fingerprint() == before, "nothing to hold changes nothing"
    hold("nobody@alpha.test")  # the plumbing goes in: sessions from now on begin with it
    on("botnet", "systemd-run", "--quiet", "--collect", "--unit=lab-session", "/var/lib/lab/outbreak.py", "session", SUSPECT, "mx2", "60")
    try:
        deadline = time.time() + 30
        while not [row for row in acts() if row["account"] == SUSPECT and row["event"] == "accepted"]:
            assert time.time() < deadline, "the session never sent"
            time.sleep(0.5)
        assert in_hold("mx2") == 0
        said = hold(SUSPECT)
        assert {host: (row["changed"], row["holds"][SUSPECT]["state"]) for host, row in said.items()} == dict.fromkeys(
            HOSTS, (True, "held")
        )
        time.sleep(3)
        assert in_hold("mx2") >= 2, "the open session's mail was to be held"
    finally:
        on("botnet", "systemctl", "stop", "lab-session", check=False)
    refused = [row for row in acts() if row["account"] == SUSPECT and row["event"] == "refused"]
    assert refused == [], "a held account sends as ever"
    assert login(SUSPECT, SECRET, "mx1") == {"smtp": "accepted", "imap": "accepted"}
    assert in_hold("mx1") == 1
    assert login(OTHER, "pw-niaj-alpha.test", "mx1") == {"smtp": "accepted", "imap": "accepted"}
    assert in_hold("mx1") == 1, "another account's mail goes on"
    for _ in range(30):
        if all(delivered(host, SUSPECT, "Mail that you send is held back") for host in HOSTS):
            return
        time.sleep(1)
    pytest.fail("the owner was not told")


def test_a_second_run_changes_nothing():
    assert [row["changed"] for row in hold(SUSPECT).values()] == [False, False]


def test_what_is_too_much_is_deferred():
    assert {row["holds"][SUSPECT]["state"] for row in hold(SUSPECT, max_messages=1).values()} == {"deferring"}
    assert login(SUSPECT, SECRET, "mx1")["smtp"].startswith("refused at 450 4.7.1")
    assert {row["holds"][SUSPECT]["state"] for row in hold(SUSPECT).values()} == {"held"}


def test_all_is_let_go_when_nothing_is_suspected_any_more():
    assert [row["changed"] for row in hold().values()] == [True, True]
    assert (in_hold("mx1"), in_hold("mx2")) == (0, 0)
    assert login(SUSPECT, SECRET, "mx1") == {"smtp": "accepted", "imap": "accepted"}
    assert in_hold("mx1") == 0


def test_a_hold_ends_by_its_time_and_is_not_begun_anew():
    assert {row["holds"][SUSPECT]["state"] for row in hold(SUSPECT, hours=0.002).values()} == {"held"}
    login(SUSPECT, SECRET, "mx1")
    assert in_hold("mx1") == 1
    time.sleep(8)
    assert {row["holds"][SUSPECT]["state"] for row in hold(SUSPECT).values()} == {"released"}
    assert in_hold("mx1") == 0
    assert {row["holds"][SUSPECT]["state"] for row in hold(SUSPECT).values()} == {"released"}

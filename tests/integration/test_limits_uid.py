# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending limits of local users on both releases at once: floods by sendmail(1). Each test prints its figures (pytest -s).

A user is refused when the limit is met. What is between sendmail(1)'s question and the count at that moment is taken: of a flood over one
process nothing or a message, of one over several at once about a message each.
"""

from __future__ import annotations

import sys
import time
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOSTS, both, lab, module, on, playbook, run

UNIT = "goodstanding-limits-users.service"
SOFT, FLOOD = 20, 60
LIMITS = {
    "account": {"soft": {"hour": 500}},
    "uid": {"soft": {"hour": SOFT}, "hard": {"day": 400}},
    "overrides": [{"scope": "uid", "key": "lim-few", "soft": {"hour": 3}, "hard": {}}],
    "shadow": False,
}
#: Local users: two that flood, one that is let be, one with an override, one that is locked, one that is counted in shadow.
USERS = ("lim-one", "lim-many", "lim-good", "lim-few", "lim-locked", "lim-shadow")
# Sends as a user; prints how many messages sendmail took. Words: user, messages, at once, recipients of each.
SEND = r"""
export to=$(seq -f 'known%g@dest1.world.test' "$4" | tr '\n' ' ')
export one='printf "Subject: of the lab\n\n" | sendmail $to && echo taken'
runuser -u "$1" -- sh -c 'seq "$1" | xargs -P "$2" -n 1 sh -c "$one"' sh "$2" "$3" 2>&1 |
    sort | uniq -c | sort -rn
"""
TREE = r"""
find /etc /var/lib/goodstanding -xdev ! -name journal.jsonl ! -name .lock ! -name 'maillog.db*' -type f -exec sha256sum {} + | sort -k2
find /etc -xdev -printf '%p %m %U %G %l\n' | sort
find /usr/local/lib /var/lib -maxdepth 1 -name 'goodstanding*' | sort
for unit in goodstanding-limits.socket goodstanding-limits.service goodstanding-limits-users.service postfix; do
    echo "$unit $(systemctl is-enabled $unit 2>/dev/null) $(systemctl is-active $unit)"
done
"""
#: What the lock of a test here, and assess, leave of their own.
LOCKED = ("goodstanding_locked", "goodstanding_denied", "/var/lib/goodstanding/")


def limit(host: str, **fields: t.Any) -> dict[str, t.Any]:
    result = module(host, "rate_limit", **{"engine": "policyd_rate_limit", "limits": LIMITS, **fields})
    assert not result["failed"], result
    return result


def send(user: str, messages: int, at_once: int = 1, recipients: int = 1) -> dict[str, int]:
    """Send on both hosts and return how many messages each took; print it."""
    words = [user, str(messages), str(at_once), str(recipients)]
    said = both(lambda host: on(host, "bash", "-c", SEND, "send", *words))
    taken = {
        host: next((int(line.split()[0]) for line in text.splitlines() if line.split()[1:] == ["taken"]), 0) for host, text in said.items()
    }
    print(f"{user}: {messages} messages of {recipients}, {at_once} at once: {taken} taken")
    for host, text in said.items():
        assert taken[host] == messages or "is not allowed to submit mail" in text, text
    return taken


@pytest.fixture(scope="module", autouse=True)
def limited():
    lab("reset")
    playbook("install.yml")
    users = "; ".join(f"useradd -M {name}" for name in USERS)
    both(lambda host: on(host, "bash", "-c", users))
    before = both(lambda host: on(host, "bash", "-c", TREE, check=False))
    first = both(limit)
    assert {host: (row["changed"], row["faults"]) for host, row in first.items()} == dict.fromkeys(HOSTS, (True, []))
    yield
    both(lambda host: module(host, "mail_account_lock", accounts=["uid:lim-locked"], state="unlocked"))
    gone = both(lambda host: limit(host, state="absent"))
    assert all(row["changed"] for row in gone.values())
    after = both(lambda host: on(host, "bash", "-c", TREE, check=False))
    for host in HOSTS:
        changed = set(before[host].splitlines()) ^ set(after[host].splitlines())
        assert [line for line in changed if not any(name in line for name in LOCKED)] == []
    assert not any(row["changed"] for row in both(lambda host: limit(host, state="absent")).values())
    lab("reset")


def test_a_flood_is_cut_at_the_limit_and_another_user_is_untouched():
    assert all(SOFT <= taken <= SOFT + 2 for taken in send("lim-one", FLOOD).values())
    assert set(send("lim-good", SOFT - 1).values()) == {SOFT - 1}
    assert set(send("root", SOFT + 5).values()) == {SOFT + 5}, "root is not limited unless it is named"
    at_once = 8
    assert all(SOFT <= taken <= SOFT + 2 * at_once for taken in send("lim-many", FLOOD, at_once).values())
    hits = both(lambda host: module(host, "rate_limit_info")["met"])
    ids = both(lambda host: {on(host, "id", "-u", name).strip() for name in ("lim-one", "lim-many")})
    assert {host: {row["key"] for row in rows} for host, rows in hits.items()} == ids
    assert {(row["scope"], row["window"], row["kind"], row["refusals"]) for rows in hits.values() for row in rows} == {
        ("uid", "hour", "soft", 1)
    }


def test_recipients_count_and_an_override_stands_for_its_user():
    assert set(send("lim-few", 3, recipients=3).values()) == {1}


def test_a_second_run_changes_nothing():
    assert not any(row["changed"] for row in both(limit).values())


@pytest.mark.parametrize(
    "act", [f"systemctl restart {UNIT}", "systemctl restart postfix", f"systemctl kill -s KILL {UNIT}; sleep 1; systemctl start {UNIT}"]
)
def test_a_restart_forgets_nothing(act):
    both(lambda host: on(host, "bash", "-c", act))
    assert set(send("lim-one", 3).values()) == {0}


def test_with_the_service_gone_mail_flows_it_is_a_finding_and_the_lock_holds():
    both(lambda host: module(host, "mail_account_lock", accounts=["uid:lim-locked"]))
    both(lambda host: on(host, "systemctl", "stop", UNIT))
    try:
        assert set(send("lim-one", 3).values()) == {3}
        assert set(send("lim-locked", 1).values()) == {0}, "the lock does not need the limiter"
        report = run("assess", "-e", "assess_lists=false").report
    finally:
        both(lambda host: on(host, "systemctl", "start", UNIT))
    assert [(row["state"], f"{UNIT} does not run" in row["why"]) for row in report["limits"]] == [("damaged", True)] * len(HOSTS)
    assert set(send("lim-one", 3).values()) == {0}, "what was sent before is counted still"


def test_shadow_refuses_nobody_and_names_who_would_have_been():
    both(lambda host: limit(host, limits={**LIMITS, "shadow": True}))
    assert set(send("lim-shadow", SOFT + 5).values()) == {SOFT + 5}
    time.sleep(2)  # the last ones are counted a moment after they were taken
    hits = both(lambda host: [row["refusals"] for row in module(host, "rate_limit_info")["met"] if row["kind"] == "shadow"])
    print(f"counted beyond the limit: {hits}")
    # On a host with much else to do pickup may take one before it is seen (roles/rate_limit/README.md).
    assert all(4 <= number <= 5 for [number] in hits.values()), hits
    both(limit)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending limits as an administrator sets them: counted only, then in force, with either engine, proven by a test account, taken out."""

from __future__ import annotations

import json
import sys
import time
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOSTS, VICTIM, acts, both, lab, module, on, playbook, run

# What a host is, for a comparison to the byte: files, owners and modes, and how units stand.
TREE = r"""
find /etc /var/lib/goodstanding /var/lib/redis -xdev ! -name journal.jsonl ! -name .lock ! -name 'maillog.db*' -type f \
    -exec sha256sum {} + | sort -k2
find /etc /var/lib/redis -xdev -printf '%p %m %U %G %l\n' | sort
for unit in rspamd redis-server redis-server@goodstanding policyd-rate-limit postfix; do
    echo "$unit $(systemctl is-enabled $unit) $(systemctl is-active $unit)"
done
"""
#: What the lock of a test here, and assess, leave of their own.
LOCKED = ("goodstanding_locked", "goodstanding_denied", "/var/lib/goodstanding/")
#: Where an administrator switches Rspamd's module off; no other file of the lab has anything there.
MODULE = "/etc/rspamd/local.d/ratelimit.conf"
ACCOUNT = {"soft": {"minute": 30, "hour": 100}, "hard": {"minute": 60, "hour": 200}}


def limit(*options: str, **variables: t.Any) -> str:
    """Run the playbook of limits for each host, both at once, and return what they said."""

    def one(host: str) -> str:
        words = {"rate_limit_account": ACCOUNT, "target": f"{host}.example.test", **variables}
        return playbook("../../playbooks/limit.yml", "-e", json.dumps(words), *options)

    return "".join(both(one).values())


def look(host: str, canary: bool = False) -> dict[str, t.Any]:
    result = module(host, "rate_limit_info", canary=canary)
    assert not result["failed"], result
    return result


def trees() -> dict[str, str]:
    return both(lambda host: on(host, "bash", "-c", TREE, check=False))


@pytest.fixture(scope="module")
def before():
    """Return what each host was before it had limits: with the lock's plumbing, which a test account needs."""
    lab("reset")
    playbook("install.yml")
    yield trees()
    lab("outbreak", "stop")
    playbook("remove.yml")


def test_shadow_names_the_account_within_the_first_minute_and_nobody_of_ordinary_traffic(before, capsys):
    limit(rate_limit_engine="policyd_rate_limit", rate_limit_mode="shadow")
    lab("outbreak")
    time.sleep(5)
    lab("outbreak", "stop")
    flood = min(row["time"] for row in acts() if row["account"] == VICTIM and row["event"] == "accepted")
    others = {row["account"] for row in acts() if row["event"] == "accepted"} - {VICTIM}
    assert others, "there was to be ordinary traffic"
    for host, said in both(look).items():
        assert (said["state"], said["shadow"], said["faults"]) == ("present", True, [])
        assert {(hit["key"], hit["kind"]) for hit in said["met"]} == {(VICTIM, "shadow")}
        first = min(hit["first"] for hit in said["met"])
        with capsys.disabled():
            print(
                f"\n{host}: {VICTIM} would have met its limit {first - flood:.0f} s after its first message; {len(others)} others did not"
            )
        assert first - flood < 60


def test_a_check_run_tells_all_and_changes_nothing(before):
    stood = trees()
    said = limit("--check", "--diff", rate_limit_engine="policyd_rate_limit", rate_limit_mode="enforce")
    assert "goodstanding-limits.json" in said
    assert trees() == stood


@pytest.mark.parametrize("engine", ["policyd_rate_limit", "rspamd"])
def test_in_force_a_test_account_is_refused_and_a_second_run_changes_nothing(before, engine):
    limit(rate_limit_engine=engine, rate_limit_mode="enforce")
    for host, said in both(lambda host: look(host, canary=True)).items():
        assert (said["engine"], said["shadow"], said["faults"], said["canary"]) == (engine, False, [], {"state": "refused", "why": ""})
        assert on(host, "postmap", "-s", "lmdb:/etc/postfix/goodstanding_locked").strip() == "", "the test account left an entry"
    again = limit(rate_limit_engine=engine, rate_limit_mode="enforce")
    assert again.count("changed=0") == len(HOSTS), again[-2000:]


def test_a_limiter_that_is_gone_is_a_finding_while_mail_flows_and_a_lock_holds(before):
    on("mx1", "systemctl", "stop", "redis-server@goodstanding")
    on("mx2", "bash", "-c", f"echo 'enabled = false;' > {MODULE} && systemctl reload rspamd")
    try:
        playbook("lock_all.yml")
        for host, said in both(lambda host: module(host, "mail_lock_info", canary=True)).items():
            assert on(host, "postmap", "-q", VICTIM, "lmdb:/etc/postfix/goodstanding_locked").startswith("REJECT")
            assert said["canary"]["smtp"] == "refused", "the lock does not need the limiter"
        done = run("assess", "-e", "assess_lists=false")
    finally:
        on("mx1", "systemctl", "start", "redis-server@goodstanding")
        on("mx2", "bash", "-c", f"rm {MODULE}; systemctl reload rspamd")
    rows = {row["host"].split(".")[0]: row for row in done.report["limits"]}
    assert {host: (row["state"], row["canary"]) for host, row in rows.items()} == dict.fromkeys(HOSTS, ("damaged", "accepted"))
    assert "redis-server@goodstanding" in rows["mx1"]["why"]
    assert "module ratelimit is disabled" in rows["mx2"]["why"]
    assert done.code == 2
    assert [point for point in done.report["open_points"] if "does not limit all that is sent" in point["what"]]


def test_absent_leaves_every_file_and_unit_as_it_was(before):
    limit(rate_limit_state="absent")
    stood = trees()
    for host, said in both(look).items():
        assert said["state"] == "absent"
        changed = set(before[host].splitlines()) ^ set(stood[host].splitlines())
        assert [line for line in changed if not any(name in line for name in LOCKED)] == []
    assert limit(rate_limit_state="absent").count("changed=0") == len(HOSTS)

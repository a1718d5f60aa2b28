# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages and failed logins by the hour: what the logs of a fleet say, within a bound."""

from __future__ import annotations

from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.findings import activity
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.findings.times import iso
from goodstanding_src.module_utils.goodstanding.report import files

ROOT = Path(__file__).resolve().parents[3]
NOW = 1795500000.0  # 2026-11-24T06:00:00Z
HOUR = int(NOW // 3600)
USER, LOCAL = "mallory@alpha.test", "uid:33@mx2"


def log(*hours, first=NOW - 4 * 3600, accounts=None):
    return {
        "source": {"kind": "file", "paths": []}, "span": {"first": first, "last": NOW}, "complete": True, "gaps": [], "refusals": [],
        "hours": [list(row) for row in hours], "accounts": accounts or {},
    }  # fmt: skip


def account(*hours, last=None):
    return {"messages": 1, "hours": [list(row) for row in hours] or None, "last_accepted": last}


def told(logs, names=(USER,), locked=()):
    rows = [{"account": name, "verdict": "compromised", "sentence": "s", "signals": [], "evidence": []} for name in names]
    document = stages.assess(stages.start("r1", "lab", "lock", False, NOW), logs, {"accounts": rows, "causes": [], "unknown_hosts": []})
    lock = {"incident": "r0", "locked_at": iso(NOW), "accepted_after_lock": None, "refused_after_lock": None}
    document["locks"] = [
        {"account": USER, "incident": "r0", "locked_at": iso(NOW), "hosts": [{"host": host, **lock} for host in locked]}
    ] if locked else []  # fmt: skip
    done = activity.section(document, logs)
    files.validate(stages.finish(done, [], 5, NOW), str(ROOT / "roles/report/files/report.schema.json"))
    return done


def test_each_host_has_its_hours_and_each_account_its_last_message():
    document = told(
        {
            "mx1": log((HOUR - 1, 1100, 40), (HOUR, 5, 0), accounts={USER: account((HOUR - 1, 1080, 32), last=NOW - 9)}),
            "mx2": log((HOUR - 3, 7, 0), accounts={USER: account(last=NOW - 60), "uid:33": account((HOUR - 3, 7, 0), last=NOW - 3 * 3600)}),
            "mx3": {"failed": True, "msg": "it is down"},
        },
        (USER, LOCAL, "nobody@alpha.test"),
    )
    assert document["activity"] == {
        "begin": iso((HOUR - 4) * 3600), "step": 3600, "others": None, "unread": 1,
        "hosts": [
            {"host": "mx1", "messages": [0, 0, 0, 1100, 5], "named": [0, 0, 0, 1080, 0], "failed_logins": [0, 0, 0, 40, 0],
             "last_accepted": iso(NOW - 9)},
            {"host": "mx2", "messages": [0, 7, 0, 0, 0], "named": [0, 7, 0, 0, 0], "failed_logins": [0] * 5,
             "last_accepted": iso(NOW - 60)},
        ],
    }  # fmt: skip
    assert [row["last_accepted"] for row in document["accounts"]] == [
        {"time": iso(NOW - 9), "host": "mx1"}, {"time": iso(NOW - 3 * 3600), "host": "mx2"}, None,
    ]  # fmt: skip


def test_the_last_message_of_a_host_that_is_down_now_stays_known():
    document = told({"mx1": log(accounts={USER: account(last=NOW - 9)})})
    again = activity.section(document, {"mx1": {"failed": True, "msg": "it is down"}})
    assert again["accounts"][0]["last_accepted"] == {"time": iso(NOW - 9), "host": "mx1"}
    assert again["activity"] == {**activity.NOTHING, "unread": 1}


def test_of_a_thousand_hosts_those_with_abuse_come_first_and_the_others_are_summed():
    logs = {f"mx{number}": log((HOUR, 10, 1)) for number in range(1000)}
    logs["mx500"]["accounts"] = {USER: account((HOUR, 9, 0), last=NOW)}
    logs["mx600"]["accounts"] = {USER: account((HOUR, 10, 1), last=NOW)}
    found = told(logs, locked=("mx700",))["activity"]
    assert [row["host"] for row in found["hosts"]] == ["mx600", "mx500", "mx700"]
    assert found["others"] == {
        "hosts": 997, "messages": [0] * 4 + [9970], "named": [0] * 5, "failed_logins": [0] * 4 + [997],
    }  # fmt: skip
    for each in logs.values():
        each["accounts"] = {USER: account((HOUR, 3, 0), last=NOW)}
    found = told(logs)["activity"]
    assert len(found["hosts"]) == activity.MAX_HOSTS
    assert (found["others"]["hosts"], found["others"]["named"][-1]) == (988, 3 * 988)


@pytest.mark.parametrize(("hours", "step", "steps"), [(200, 1, 200), (201, 2, 101), (1440, 8, 180)])
def test_a_long_window_has_wider_steps(hours, step, steps):
    first = HOUR - hours + 1
    found = told({"mx1": log((first, 1, 0), (HOUR, 2, 3), first=first * 3600.0)})["activity"]
    (row,) = found["hosts"]
    assert (found["step"], len(row["messages"]), row["messages"][0], row["messages"][-1], row["failed_logins"][-1]) == (
        3600 * step, steps, 1, 2, 3,
    )  # fmt: skip


def test_a_log_without_a_line_is_no_hour():
    empty = {**log(), "span": {"first": None, "last": None}}
    assert told({"mx1": empty})["activity"] == activity.NOTHING


@pytest.mark.parametrize("hour", [-(10**9), 10**9, HOUR + 10**6])
def test_what_a_host_says_of_impossible_times_is_left_out(hour):
    lie = log((HOUR, 5, 0), (hour, 7, 7), first=hour * 3600.0, accounts={USER: account((HOUR, 2, 0), (hour, 3, 0), last=hour * 3600.0)})
    document = told({"mx1": lie})
    (row,) = document["activity"]["hosts"]
    assert (document["activity"]["step"], row["messages"][-1], row["named"][-1], row["last_accepted"]) == (3600, 5, 2, None)
    assert document["accounts"][0]["last_accepted"] is None

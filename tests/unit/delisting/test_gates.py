# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.delisting import gates
from goodstanding_src.module_utils.goodstanding.delisting.case import Gate
from goodstanding_src.module_utils.goodstanding.findings.ended import DOES_NOT, HOLDS, UNKNOWN

sys.path.insert(0, str(Path(__file__).parent))
import verified as found

HELD = {name: Gate(HOLDS, "") for name in gates.OF_ADDRESS}


def judged(document, authentication=HELD, of_address=True, now=found.NOW):
    return {name: gate.state for name, gate in gates.outside(document, of_address, authentication, now).items()}


def test_all_hold_after_a_verified_end():
    assert set(judged(found.findings()).values()) == {HOLDS}
    assert sorted(judged(found.findings())) == sorted(("outbreak", "account", "queue", "limits", *gates.OF_ADDRESS))
    assert sorted(judged(found.findings(), of_address=False)) == sorted(("outbreak", "account", "queue", "limits", *gates.OF_NAME))


@pytest.mark.parametrize("number", range(1, 10))
@pytest.mark.parametrize("state", [UNKNOWN, DOES_NOT])
def test_each_condition_of_the_end_closes_the_gate(number, state):
    document = found.findings()
    row = document["outbreak"]["conditions"][number - 1]
    row["state"] = row["hosts"][0]["state"] = state
    document["outbreak"]["state"] = {UNKNOWN: "not_proven", DOES_NOT: "not_ended"}[state]
    gate = gates.outside(document, True, HELD, found.NOW)["outbreak"]
    assert gate.state == state
    assert gate.why.startswith(f"{number}, {row['name']}: mx1.example.com")
    document["outbreak"]["state"] = "ended"  # a document that contradicts itself
    assert judged(document)["outbreak"] == UNKNOWN


@pytest.mark.parametrize("name", gates.OF_ADDRESS)
def test_what_nobody_looked_at_is_not_known(name):
    assert judged(found.findings(), {key: gate for key, gate in HELD.items() if key != name})[name] == UNKNOWN


def test_an_account_that_is_not_locked_closes_the_gate():
    document = found.findings()
    document["accounts"][0]["state"] = "not_contained"
    assert judged(document)["account"] == DOES_NOT


@pytest.mark.parametrize(("count", "state"), [(None, UNKNOWN), (1, DOES_NOT), (0, HOLDS)])
def test_what_was_accepted_after_the_lock_counts(count, state):
    document = found.findings()
    document["locks"][0]["hosts"][1]["accepted_after_lock"] = count
    assert judged(document)["account"] == state


def test_a_host_without_the_locks_plumbing_closes_the_gate():
    document = found.findings()
    document["drift"] = [{"host": "mx2.example.com", "state": "absent", "why": "", "locks": ["mallory@example.com"]}]
    assert judged(document)["account"] == DOES_NOT


def test_after_the_account_is_let_in_again_it_holds_where_nobody_stands_out():
    document = found.findings()
    document["accounts"], document["locks"] = [], []
    document["outbreak"] = {"state": "none", "window_hours": 24.0, "since": None, "provable_from": None, "conditions": []}
    assert set(judged(document).values()) == {HOLDS}
    document["outbreak"]["state"] = "not_proven"
    assert {name for name, state in judged(document).items() if state == UNKNOWN} == {"outbreak", "account", "queue"}


@pytest.mark.parametrize(
    ("change", "state"),
    [({"canary": None}, UNKNOWN), ({"canary": "unknown"}, UNKNOWN), ({"shadow": True}, DOES_NOT), ({"state": "absent"}, DOES_NOT),
     ({"state": "damaged"}, DOES_NOT), ({"state": "unknown"}, UNKNOWN)],
)  # fmt: skip
def test_limits_that_do_not_limit_close_the_gate(change, state):
    document = found.findings()
    document["limits"][1].update(change)
    assert judged(document)["limits"] == state
    document["limits"] = document["limits"][:1]
    assert judged(document)["limits"] == UNKNOWN


def test_old_findings_say_nothing_of_now():
    assert set(judged(found.findings(), now=found.NOW + 6 * 3600).values()) == {UNKNOWN}
    document = found.findings()
    document["limits"][0]["state"] = "absent"
    assert judged(document, now=found.NOW + 6 * 3600)["limits"] == DOES_NOT


def test_a_report_that_is_written_anew_makes_its_findings_no_newer():
    document = found.findings()
    document["run"].update(asked=found.iso(found.NOW - 7 * 3600), finished=found.iso(found.NOW))
    assert set(judged(document).values()) == {UNKNOWN}

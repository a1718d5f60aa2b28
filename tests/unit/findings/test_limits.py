# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sending limits of the hosts mean for the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.findings import limits
from goodstanding_src.module_utils.goodstanding.report import files

ROOT = Path(__file__).resolve().parents[3]
WARM_UP = {
    "host": "mx1", "receiver": "google", "phase": "warming", "step": "start", "before": 400, "allowed": 100, "delay": 864,
    "began": "2026-11-20", "judged": None, "why": "it begins with a quarter",
}  # fmt: skip

SET = {"state": "present", "engine": "rspamd", "shadow": False, "faults": [], "canary": {"state": "refused", "why": ""}, "met": []}
HIT = {"scope": "account", "key": "a@x", "window": "hour", "kind": "soft", "refusals": 3, "first": 1.0, "last": 2.0}


@pytest.mark.parametrize(
    ("answer", "state", "proven"),
    [
        (SET, "present", "refused"),
        ({**SET, "canary": None}, "present", "unknown"),
        ({**SET, "canary": {"state": "unknown", "why": "no login"}}, "present", "unknown"),
        ({**SET, "canary": {"state": "accepted", "why": "9 recipients"}}, "damaged", "accepted"),
        ({**SET, "faults": ["redis is down"]}, "damaged", "accepted"),
        ({**SET, "shadow": True, "canary": {"state": "accepted", "why": ""}}, "present", "accepted"),
        ({**SET, "state": "absent", "engine": None, "shadow": None, "canary": None}, "absent", "accepted"),
        ({"failed": True, "msg": "unreachable"}, "unknown", "unknown"),
        ({}, "unknown", "unknown"),
    ],
)
def test_only_a_test_account_that_was_refused_proves_limits(answer, state, proven):
    (row,) = limits.rows({"mx1": answer})
    assert row["state"] == state
    said = limits.proven([row])["mx1"]
    assert said["state"] == proven
    assert bool(said["why"]) == (proven != "refused")
    assert bool(limits.damaged({"limits": [row]})) == (state == "damaged")


def points(**answers):
    said = []
    limits.points({"limits": limits.rows(answers)}, lambda *point: said.append(point))
    return said


def test_a_host_that_does_not_limit_is_said_first_of_all():
    (point,) = points(mx1={**SET, "faults": ["redis is down", "no milter"]}, mx2=SET)
    assert point[0] == "critical"
    assert "mx1 does not limit all that is sent: redis is down; no milter" in point[2]


def test_who_met_a_limit_is_said_once_for_the_fleet():
    met = [HIT, {**HIT, "kind": "shadow", "key": "b@x"}, {**HIT, "kind": "hard"}]
    said = points(mx1={**SET, "met": met}, mx2={**SET, "met": [HIT]})
    assert [(point[0], point[2]) for point in said] == [
        ("warning", "account a@x met its hard limit per hour 3 times on mx1"),
        ("info", "account b@x would have met its limit per hour 3 times on mx1"),
        ("warning", "account a@x met its soft limit per hour 6 times on mx1, mx2"),
    ]


def test_a_local_user_is_one_of_his_host_alone():
    hit = {**HIT, "scope": "uid", "key": "33"}
    said = points(mx1={**SET, "met": [hit]}, mx2={**SET, "met": [hit]})
    assert [(point[2], point[3]) for point in said] == [
        ("uid 33 met its soft limit per hour 3 times on mx1", "mx1"), ("uid 33 met its soft limit per hour 3 times on mx2", "mx2"),
    ]  # fmt: skip
    assert "which program sends as that user" in said[0][4]


def test_of_many_that_met_a_limit_those_refused_most_are_kept():
    (row,) = limits.rows({"mx1": {**SET, "met": [{**HIT, "key": f"{n}@x", "refusals": n} for n in range(200)]}})
    assert [hit["refusals"] for hit in row["met"]] == list(range(199, 149, -1))


def test_the_page_shows_limits_and_warm_ups():
    document = stages.start("r1", "lab", "lock", False, 1.0)
    document["limits"] = limits.rows({"mx1": {**SET, "met": [HIT], "faults": ["redis <is> down"]}, "mx2": SET, "mx3": {}})
    document = stages.finish(stages.shape(document, [WARM_UP]), [], 5, 2.0)
    files.validate(document, str(ROOT / "roles/report/files/report.schema.json"))
    page = files.as_page(document, str(ROOT / "roles/report/templates/report.html.j2"))
    for words in ("redis &lt;is&gt; down", "account a@x", "soft, hour", "it begins with a quarter", "damaged"):
        assert words in page

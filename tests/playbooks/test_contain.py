# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a host on which the lock was not tried."""

from __future__ import annotations

import json

import pytest
from goodstanding_src.module_utils.goodstanding.findings import document as stages

USER = "a@alpha.test"


@pytest.fixture
def findings(tmp_path):
    """Return the file of findings of two hosts that name an account, and what it says now."""
    verdict = {
        "accounts": [{"account": USER, "verdict": "compromised", "sentence": f"{USER} was broken into", "signals": [], "evidence": []}],
        "causes": [],
        "unknown_hosts": [],
    }
    document = stages.conclude(stages.assess(stages.start("r1", "lab", "lock", False, 1.0), {"mx1": {}, "mx2": {}}, verdict), [], 5)
    (tmp_path / "found.json").write_text(json.dumps(document))
    return str(tmp_path / "found.json"), lambda: json.loads((tmp_path / "r1" / "findings.json").read_text())


def test_a_lock_on_every_host_is_contained(play, findings):
    code, calls, output = play("contain", findings=findings[0], containment_mode="lock")
    assert (code, calls) == (0, [f"mail_account_lock {USER}"] * 4), output
    assert findings[1]()["accounts"][0]["state"] == "locked"


def test_a_host_of_the_findings_that_the_run_leaves_out_is_not_contained(play, findings):
    code, calls, output = play("contain", findings=findings[0], containment_mode="lock", target="some")
    assert (code, calls) == (0, [f"mail_account_lock {USER}"] * 2), output
    done = findings[1]()
    assert done["run"]["status"] == "not_contained"
    assert {row["host"]: row["contained"] for row in done["hosts"]} == {"mx1": True, "mx2": False}


def test_a_group_that_is_not_there_is_named(play, findings):
    code, calls, output = play("contain", findings=findings[0], containment_mode="lock", target="nosuch")
    assert (code, calls) == (2, [])
    assert "no host in the group 'nosuch'" in " ".join(output.split())

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shaping and warm-up, which are off until the inventory turns them on."""

from __future__ import annotations

import json

from goodstanding_src.module_utils.goodstanding.findings import document as stages

ROW = {
    "host": "mx1", "receiver": "google", "phase": "warming", "step": "start", "before": 400, "allowed": 100, "delay": 864,
    "began": "2026-11-20", "judged": "2026-11-24", "why": "its listing ended",
}  # fmt: skip
PLAYED = {
    "mail_warmup": {"changed": True, "rates": {"mx1": {"google": 100}}, "rows": [ROW]},
    "mail_shaping": {"changed": True, "transports": {}, "left_out": [], "rates": {}},
}


def test_a_warm_up_is_decided_put_into_force_and_written_down(play, tmp_path):
    document = stages.assess(
        stages.start("r1", "lab", "lock", False, 1.0), {"mx1": {}}, {"accounts": [], "causes": [], "unknown_hosts": []}
    )
    (tmp_path / "found.json").write_text(json.dumps(stages.conclude(document, [], 5)))
    switches = {"rate_limit_warmup": True, "rate_limit_shaping": True, "abuse_triage_log": {}}
    code, _, output = play("shape", findings=str(tmp_path / "found.json"), played=PLAYED, **switches)
    assert code == 0, output
    written = json.loads((tmp_path / "r1" / "findings.json").read_text())
    assert written["warmups"] == [ROW]
    assert [point["what"] for point in written["open_points"] if "warms up" in point["what"]] == [
        "mx1 warms up at google: its listing ended"
    ]
    assert (tmp_path / "log").read_text().split() == ["mail_warmup", "mail_shaping", "mail_shaping"]


def test_without_findings_it_says_what_is_missing(play):
    code, _, output = play("shape", played=PLAYED)
    assert code == 2
    assert "run playbooks/assess.yml first" in output.replace("\n", " ").replace("    ", " ").replace("  ", " ")

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of earlier findings, by playbooks/report.yml: all its files, who may read them, and what they name."""

from __future__ import annotations

import json
from pathlib import Path

FINDINGS = str(Path(__file__).resolve().parents[1] / "data/report/outbreak.json")


def written(folder):
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_the_report_is_written_in_all_its_forms(play, tmp_path):
    code, _, output = play("report", findings=FINDINGS, report_prometheus_file=str(tmp_path / "node-exporter/goodstanding.prom"))
    assert code == 0, output
    files = dict.fromkeys(("findings.json", "report.json", "report.html", "report.md", "report.xml", "report.prom"), 0o600)
    latest = tmp_path / "latest"
    assert written(latest) == files
    assert "mallory@alpha.test" in (latest / "report.html").read_text()
    assert "mallory" not in (latest / "report.md").read_text() + (latest / "report.xml").read_text()
    assert written(tmp_path / "node-exporter") == {"goodstanding.prom": 0o644}
    assert (tmp_path / "node-exporter/goodstanding.prom").read_text() == (latest / "report.prom").read_text()
    assert json.loads((latest / "report.json").read_text())["accounts"][0]["account"] == "mallory@alpha.test"


def test_who_asks_for_it_gets_the_names(play, tmp_path):
    code, _, output = play("report", findings=FINDINGS, report_redact=False)
    assert code == 0, output
    assert "mallory@alpha.test" in (tmp_path / "latest/report.md").read_text()
    assert "mallory@alpha.test" in (tmp_path / "latest/report.xml").read_text()

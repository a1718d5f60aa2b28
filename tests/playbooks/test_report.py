# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of earlier findings, by playbooks/report.yml: all its files, who may read them, and what they name."""

from __future__ import annotations

import email
import email.policy
import json
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "servers"))
import smtp_server  # noqa: E402  a folder of tests, no package

FINDINGS = str(TESTS / "data/report/outbreak.json")


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


def mailing(server, **given):
    """Variables with which the report is mailed through a server."""
    relay = {"host": "127.0.0.1", "port": server.port, "tls": "none", "sender": "reports@example.com"}
    return {"findings": FINDINGS, "report_mail_to": "admin@example.org", "report_relay": relay, **given}


def test_the_report_is_mailed_once_whatever_the_run_is_called(play, tmp_path):
    with smtp_server.serving() as server:
        code, _, output = play("report", **mailing(server))
        assert code == 0, output
        assert "The relay took the report" in output
        code, _, output = play("report", **mailing(server, findings=str(tmp_path / "latest/findings.json"), goodstanding_run_id="r2"))
        assert code == 0, output
        assert "The report was mailed before" in output
    ((receiver, data),) = server.taken
    assert receiver == "admin@example.org"
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert "mallory" not in message.get_body(("plain",)).get_content()
    assert [part.get_filename() for part in message.iter_attachments()] == ["report-20261124T060000Z-15117.html"]


def test_a_relay_that_refuses_costs_no_report_and_the_mail_goes_the_next_time(play, tmp_path):
    with smtp_server.serving({"RCPT": "550 5.7.1 relaying denied"}) as server:
        code, _, output = play("report", **mailing(server))
    assert code == 0, output
    said = " ".join(output.split())
    assert "was NOT mailed" in said
    assert "550 5.7.1 relaying denied" in said
    assert {"report.html", "report.json", "report.md"} <= set(written(tmp_path / "latest"))
    with smtp_server.serving() as server:
        code, _, output = play("report", **mailing(server))
    assert (code, len(server.taken)) == (0, 1), output


def test_a_relay_that_is_not_named_is_told_after_the_report_is_written(play, tmp_path):
    code, _, output = play("report", findings=FINDINGS, report_mail_to="admin@example.org")
    assert code != 0
    assert "the report is written, its mail is not done: report_relay is not set" in " ".join(output.split())
    assert (tmp_path / "latest/report.html").exists()

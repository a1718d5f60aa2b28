# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs that lack something, on real hosts: a rotation that is gone, lines that journald dropped. The host is unknown, and why is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import lab, on, run

STATE = "/var/lib/goodstanding/maillog.db"


@pytest.fixture(scope="module", autouse=True)
def fresh():
    lab("reset")


def assess(*options: str):
    return run("assess", "-e", "assess_lists=false", *options)  # the lists are not what is asked here


def reasons(report: dict) -> dict[str, str]:
    return {row["host"].partition(".")[0]: row["reason"] or "" for row in report["hosts"]}


def test_whole_logs_are_no_reason_to_doubt():
    for host in ("mx1", "mx2"):
        on(host, "logger", "-p", "mail.info", "-t", "postfix/smtpd[1]", "connect from unknown[203.0.113.3]")
    assert reasons(assess().report) == {"mx1": "", "mx2": ""}


def test_a_rotation_that_is_missing_is_named():
    line = on("mx1", "sh", "-c", "tail -n 1 /var/log/mail.log")
    for number in (1, 3):
        on("mx1", "tee", f"/var/log/mail.log.{number}", data=line)
    try:
        found = assess()
    finally:
        on("mx1", "sh", "-c", f"rm /var/log/mail.log.1 /var/log/mail.log.3 {STATE}")
    assert "/var/log/mail.log.2 is missing between its rotations" in reasons(found.report)["mx1"]
    assert (found.code, found.report["run"]["status"]) == (1, "unknown"), found.output[-2000:]


def test_lines_that_journald_dropped_are_named_and_stay_known():
    """The real journald drops: a service that logs more than its limit of lines."""
    # One process says it all: of one that is gone, journald cannot tell the unit any more, nor sum up for it.
    flood = "(for n in $(seq 400); do echo line $n; done; sleep 6; echo x; sleep 1) | logger -p mail.info -t postfix/qmgr"
    limit = ["-p", "LogRateLimitIntervalSec=5s", "-p", "LogRateLimitBurst=5"]
    on("mx2", "systemd-run", "--quiet", "--wait", "--collect", "--unit=postfix-loud", *limit, "sh", "-c", flood)
    said = on("mx2", "sh", "-c", "journalctl -q --no-pager SYSLOG_IDENTIFIER=systemd-journald | grep Suppressed || true")
    assert "Suppressed" in said, "journald dropped nothing: nothing is proven"
    for _ in range(2):
        found = assess()
        assert "Suppressed" in reasons(found.report)["mx2"]
        assert (found.code, found.report["run"]["status"]) == (1, "unknown"), found.output[-2000:]


def test_lines_that_never_reached_the_file_are_named():
    """rsyslog is busy, and journald does not wait for it: the real one, stopped while a thousand lines are logged."""
    on("mx1", "sh", "-c", "pkill -STOP rsyslogd; for n in $(seq 1000); do echo line $n; done | logger -p mail.info -t postfix/qmgr")
    on("mx1", "sh", "-c", "sleep 1; pkill -CONT rsyslogd; sleep 31; logger -p mail.info -t postfix/qmgr x; sleep 1")
    found = assess()
    assert "lines are in the journal and not in the file" in reasons(found.report)["mx1"]
    assert (found.code, found.report["run"]["status"]) == (1, "unknown"), found.output[-2000:]
    whole = assess("-e", "abuse_triage_log_source=journal")
    assert reasons(whole.report)["mx1"] == ""

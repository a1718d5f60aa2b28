# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.maillog.lines import MAX_LINE, evidence, parse_line

NOW = 1795500000.0  # 2026-11-24T06:00:00Z


@pytest.mark.parametrize(
    ("raw", "time", "program", "message"),
    [
        ("2026-11-24T06:00:00.250000+00:00 mx1 postfix/smtpd[12]: hello", NOW + 0.25, "postfix/smtpd", "hello"),
        ("2026-11-24T07:00:00+0100 mx1 postfix/smtpd[12]: hello", NOW, "postfix/smtpd", "hello"),
        ("2026-11-24T01:30:00-04:30 mx1 dovecot: hello", NOW, "dovecot", "hello"),
        ("2026-11-24T06:00:00Z mx1 postfix-out/smtp[1]: a: b", NOW, "postfix-out/smtp", "a: b"),
        ("Nov 24 06:00:00 mx1 postfix/submission/smtpd[12]: hello", NOW, "postfix/submission/smtpd", "hello"),
        ("Nov  4 06:00:00 mx1 postfix/qmgr[12]: hello", NOW - 20 * 86400, "postfix/qmgr", "hello"),
    ],
)
def test_parse_line(raw, time, program, message):
    line = parse_line(raw + "\n", NOW)
    assert line is not None
    assert (line.time, line.program, line.message) == (time, program, message)


def test_a_year_is_inferred_across_new_year():
    new_year = 1798761600.0  # 2027-01-01T00:00:00Z
    assert parse_line("Dec 31 23:59:59 mx1 postfix/qmgr[1]: x", new_year).time == new_year - 1
    assert parse_line("Jan  1 00:00:01 mx1 postfix/qmgr[1]: x", new_year).time == new_year + 1


def test_a_local_time_is_moved_to_utc():
    assert parse_line("Nov 24 07:00:00 mx1 postfix/qmgr[1]: x", NOW, utc_offset=3600).time == NOW


@pytest.mark.parametrize(
    "raw", ["", "no log line", "2026-13-45T99:99:99+00:00 mx1 a[1]: x", "Foo 24 06:00:00 mx1 a[1]: x", "2026-11-24T06:00:00Z", "\x00" * 50]
)
def test_what_is_no_log_line(raw):
    assert parse_line(raw, NOW) is None


def test_a_long_line_is_cut():
    line = parse_line("2026-11-24T06:00:00Z mx1 postfix/smtpd[1]: " + "x" * 10**6, NOW)
    assert len(line.message) <= MAX_LINE


def test_evidence_hides_passwords_and_control_characters():
    assert (
        evidence("auth: Password mismatch (given password: hunter2) \x1b[31m")
        == "auth: Password mismatch (given password: [redacted]) ?[31m"
    )
    assert len(evidence("x" * 5000)) == 400

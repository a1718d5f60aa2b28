# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a logger dropped is a hole in the mail log, wherever the logger says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from goodstanding_src.library import mail_log_info
from goodstanding_src.module_utils.goodstanding.maillog import dropped
from goodstanding_src.module_utils.goodstanding.maillog.lines import Clock
from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog

NOW = 1795500000.0  # 2026-11-24T06:00:00Z
STAMP = "2026-11-24T05:00:00+00:00 mx1 "
DROPS = [
    "rsyslogd: imuxsock[pid 12]: begin to drop messages due to rate-limiting",
    "rsyslogd-2177: imuxsock[pid 22830]: begin to drop messages due to rate-limiting",
    "rsyslogd[77]: imuxsock[pid 12] from <mx1:postfix/smtpd>: begin to drop messages due to rate-limiting",
    "rsyslogd-2177: imuxsock lost 123 messages from pid 12 due to rate-limiting",
    "rsyslogd: imjournal: 456 messages lost due to rate-limiting (20000 allowed within 600 seconds)",
    "rsyslogd: imuxsock[pid 12]: 5 messages lost due to rate-limiting [v8.2302.0]",
    "systemd-journald[245]: Suppressed 3243 messages from postfix@-.service",
    "systemd-journald[245]: Suppressed 3243 messages from system.slice/docker-abc.scope",
]
NO_DROPS = [
    "rsyslogd: imuxsock: Acquired UNIX socket '/run/systemd/journal/syslog' (fd 3) from systemd.",
    'rsyslogd: [origin software="rsyslogd" swVersion="8.2302.0"] rsyslogd was HUPed',
    "systemd-journald[245]: Suppressed 9 messages from nginx.service",
    "systemd-journald[245]: System Journal (/var/log/journal/x) is 8.0M, max 1.0G",
    "postfix/smtpd[1]: 5 messages lost due to rate-limiting",
]


@pytest.mark.parametrize("line", [*DROPS, *NO_DROPS])
@pytest.mark.parametrize("stamp", [STAMP, "Nov 24 05:00:00 mx1 "])
def test_in_the_mail_log(line, stamp):
    log = MailLog(NOW, NOW - 86400)
    log.feed(stamp + line)
    result = log.result()
    assert result["complete"] is (line in NO_DROPS)
    assert all(gap == f"mx1 {line}" for gap in result["gaps"])
    assert log.book.db.execute("SELECT count(*) FROM notes WHERE time = ?", (NOW - 3600,)).fetchone()[0] == (line in DROPS)


@pytest.mark.parametrize(
    "line", ["rsyslogd - - - imjournal: 9 messages lost due to rate-limiting", "systemd-journald 1 - - Suppressed 9 messages from /"]
)
def test_in_the_form_of_rfc_5424(line):
    log = MailLog(NOW, NOW - 86400)
    log.feed("<46>1 " + STAMP + line)
    assert log.result()["complete"] is False


def ask(folder: Path, now: float = NOW) -> dict:
    params = {
        "source": "file", "paths": [str(folder / "mail.log")], "window": 24, "accepted_since": {}, "history": 15, "watch": [],
        "state": str(folder / "state/maillog.db"), "replies": [], "addresses": [],
    }  # fmt: skip
    return mail_log_info.run(params, now, False)[0]


@pytest.fixture
def host(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(mail_log_info, "load_state", lambda name: {})
    monkeypatch.setattr(dropped, "SYSTEM_LOGS", (str(tmp_path / "syslog"), str(tmp_path / "syslog.1")))
    (tmp_path / "mail.log").write_text(f"{STAMP}postfix/qmgr[1]: x\n")
    os.utime(tmp_path / "mail.log", (NOW, NOW))
    return tmp_path


def test_in_the_systems_log(host):
    assert ask(host)["gaps"] == []
    old = "2026-10-01T05:00:00+00:00 mx1 " + DROPS[0]
    (host / "syslog.1").write_text(f"{STAMP}{DROPS[0]}\n")
    (host / "syslog").write_text("\n".join([old, "\0rate-limiting", *(STAMP + line for line in NO_DROPS), STAMP + DROPS[6], ""]))
    gaps = [f"mx1 {DROPS[0]}", f"mx1 {DROPS[6]}"]
    assert sorted(ask(host)["gaps"]) == gaps
    (host / "syslog.1").unlink()
    assert sorted(ask(host)["gaps"]) == gaps, "what was seen once stays known"
    assert ask(host, NOW + 86400)["gaps"] != gaps, "and passes with the window"


def test_in_the_journal(host, monkeypatch):
    (host / "journalctl").write_text(f"#!/bin/sh\necho '{STAMP}{DROPS[6]}'\necho '{STAMP}{NO_DROPS[2]}'\nexit 1\n")
    (host / "journalctl").chmod(0o755)
    monkeypatch.setattr(dropped, "JOURNALCTL", str(host / "journalctl"))
    assert ask(host)["gaps"] == [f"mx1 {DROPS[6]}"]


def test_lines_that_rsyslogd_was_too_slow_for_are_in_the_journal_alone(host, monkeypatch):
    said = [f"{STAMP}systemd-journald[20]: Forwarding to syslog missed {number} messages." for number in (14, 541)]
    (host / "journalctl").write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in said))
    (host / "journalctl").chmod(0o755)
    monkeypatch.setattr(dropped, "JOURNALCTL", str(host / "journalctl"))
    (gap,) = ask(host)["gaps"]
    assert gap.startswith("555 lines are in the journal and not in the file")
    log = MailLog(NOW, NOW - 86400)
    log.feed(said[0])
    assert log.result()["complete"] is True, "who reads the journal misses nothing"


def test_only_the_end_of_a_large_log_is_read(tmp_path, monkeypatch):
    path = tmp_path / "syslog"
    monkeypatch.setattr(dropped, "SYSTEM_LOGS", (str(path), str(tmp_path / "gone")))
    monkeypatch.setattr(dropped, "_TAIL", 1 << 12)
    monkeypatch.setattr(dropped, "_CHUNK", 1 << 9)
    path.write_text(
        f"{STAMP}{DROPS[0]}\n" + f"{STAMP}x: y\n" * 500 + f"{STAMP}{DROPS[1]}\n" + f"{STAMP}x: {'y' * 2000}\n{STAMP}{DROPS[3]}\n"
    )
    found = dropped.drops(0, NOW, Clock(NOW))
    assert [words for _, words in found] == [f"mx1 {DROPS[1]}", f"mx1 {DROPS[3]}"]

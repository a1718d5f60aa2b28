# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that Dovecot and Postfix write themselves: their lines, and that they are found and read beside the rest."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from goodstanding_src.library import mail_log_info
from goodstanding_src.module_utils.goodstanding.maillog import discover, sources
from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog

NOW = 1795500000.0  # 2026-11-24T06:00:00Z
USER = "mallory@alpha.test"
LOGIN = f"user=<{USER}>, method=PLAIN, rip=203.0.113.5, lip=198.51.100.11, mpid=19, TLS, session=<5f3J>"
FAILED = "(auth failed, 1 attempts in 10 secs)"


def read(*lines: str) -> dict:
    log = MailLog(NOW + 3600, NOW - 3600)
    log.feed_lines(lines)
    return log.result()


@pytest.mark.parametrize("stamp", ["Nov 24 06:00:00 ", "2026-11-24 06:00:00 ", "2026-11-24 07:00:00.123 +0100 "])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(f"imap-login: Info: Login: {LOGIN}", {"logins": 1, "failed_logins": 0}, id="login, 2.3"),
        pytest.param(f"pop3-login: Info: Logged in: {LOGIN}", {"logins": 1, "failed_logins": 0}, id="login, 2.4"),
        pytest.param(f"imap-login: Info: Disconnected: Connection closed {FAILED}: {LOGIN}", {"failed_logins": 1}, id="failed, 2.3"),
        pytest.param(f"imap-login: Info: Login aborted: Connection closed {FAILED} (auth_failed): {LOGIN}", {"failed_logins": 1}, id="2.4"),
        pytest.param(f"auth: Info: passwd-file({USER},203.0.113.5,<s>): Password mismatch", {"failed_logins": 1}, id="mismatch, 2.3"),
        pytest.param(f"auth({USER},203.0.113.5,sasl:plain)<s>: Info: users: Password mismatch", {"failed_logins": 1}, id="mismatch, 2.4"),
        pytest.param(f"auth-worker(12): Info: sql({USER},203.0.113.5,<s>): Password mismatch", {"failed_logins": 1}, id="mismatch, worker"),
    ],
)
def test_dovecots_own_file(stamp, line, expected):
    # Lines that count nothing are log lines all the same; one login, so that the account is told of in any case.
    result = read(
        stamp + f"auth: Info: passwd-file({USER},203.0.113.5,<s>): Password mismatch",
        stamp + line,
        stamp + f"imap({USER})<12><abc>: Info: Logged out in=1 out=2",
        stamp + "master: Warning: Killed with signal 15 (by pid=1 uid=0 code=kill)",
    )
    account = result["accounts"][USER]
    expected = {**expected, "failed_logins": expected["failed_logins"] + 1}
    assert {name: account[name] for name in expected} == expected
    assert (result["lines"], result["unparsed"]) == (4, 0)
    assert int(account["first"]) == int(result["span"]["last"]) == NOW


def test_words_in_a_users_name_are_no_level():
    assert read("2026-11-24 06:00:00 imap(x y): Info: imap-login: Login: user=<mallory@alpha.test>, rip=1.2.3.4")["unparsed"] == 0
    assert read(f"2026-11-24 06:00:00 garbage imap-login: Info: Login: {LOGIN}")["accounts"] == {}


def test_postfixs_own_file():
    start = "Nov 24 06:00:0{} mx1 postfix/{}: "
    result = read(
        start.format(0, "submission/smtpd[5]") + f"AB12CD34EF: client=u[203.0.113.3], sasl_method=PLAIN, sasl_username={USER}",
        start.format(1, "qmgr[9]") + "AB12CD34EF: from=<x@y>, size=553, nrcpt=4 (queue active)",
        start.format(2, "postfix-script[77]") + "starting the Postfix mail system",
    )
    assert (result["accounts"][USER]["recipients"], result["unparsed"]) == (4, 0)


def program(folder: Path, name: str, script: str) -> None:
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / name).chmod(0o755)


@pytest.fixture
def host(tmp_path, monkeypatch) -> Path:
    """A host without any of the programs."""
    program(tmp_path, "true", "")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setattr(discover, "_SBIN", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(mail_log_info, "load_state", lambda name: {})
    return tmp_path


def own(folder: Path) -> list[str]:
    for name in ("dovecot.log", "maillog"):
        (folder / name).write_text(f"Nov 24 05:00:00 imap-login: Info: Login: {LOGIN}\n" if name == "dovecot.log" else "")
        os.utime(folder / name, (NOW, NOW))
    program(folder, "doveconf", f"echo {folder}/dovecot.log")
    program(folder, "postconf", f"echo {folder}/maillog")
    return [f"{folder}/maillog", f"{folder}/dovecot.log"]


def ask(folder: Path, **fields: t.Any) -> dict:
    params = {
        "source": "auto", "paths": [str(folder / "mail.log")], "window": 24, "accepted_since": {}, "history": 15, "watch": [],
        "state": str(folder / "state/maillog.db"), "replies": [], "addresses": [], **fields,
    }  # fmt: skip
    result, warning = mail_log_info.run(params, NOW, False)
    assert warning is None
    return result


def test_the_daemons_are_asked_for_their_files(host):
    assert discover.own_logs() == []
    files = own(host)
    assert discover.own_logs() == files
    for answer in ("echo syslog", "echo /dev/stderr", f"echo {host}/gone.log", f"echo {host}/dovecot.log; exit 89", "kill -9 $$"):
        program(host, "doveconf", answer)
        assert discover.own_logs() == [f"{host}/maillog"]


SENT = [
    f"2026-11-24T05:00:00+0000 mx1 postfix/smtpd[5]: AB12CD34EF: client=u[203.0.113.3], sasl_method=PLAIN, sasl_username={USER}",
    "2026-11-24T05:00:01+0000 mx1 postfix/qmgr[9]: AB12CD34EF: from=<x@y>, size=553, nrcpt=4 (queue active)",
]


def journalctl(folder: Path) -> None:
    (folder / "journal").write_text("\n".join(SENT) + "\n")
    program(
        folder,
        "journalctl",
        f"""for arg; do case $arg in
--cursor=*) echo "-- cursor: ${{arg#--cursor=}}"; exit;;
--after-cursor=*) exit;;
esac; done
cat {folder}/journal; echo '-- cursor: s=1;i=2'""",
    )


def test_postfix_in_the_journal_and_dovecot_in_a_file(host):
    own(host)
    journalctl(host)
    for lines in (3, 0):
        result = ask(host)
        assert result["source"] == {"kind": "journal", "paths": [f"{host}/dovecot.log"]}
        account = result["accounts"][USER]
        assert (account["recipients"], account["logins"], result["lines"], result["gaps"]) == (4, 1, lines, [])
    # Who asks for the journal gets the journal alone.
    assert ask(host, source="journal", state="")["accounts"][USER]["logins"] == 0


def test_postfix_in_a_file_of_syslog_and_dovecot_in_its_own(host):
    own(host)
    journalctl(host)
    (host / "mail.log").write_text("\n".join(SENT) + "\n")
    os.utime(host / "mail.log", (NOW, NOW))
    result = ask(host)
    assert result["source"] == {"kind": "file", "paths": [f"{host}/mail.log", f"{host}/dovecot.log"]}
    assert (result["accounts"][USER]["recipients"], result["accounts"][USER]["logins"]) == (4, 1)


def test_a_file_that_postfix_writes_itself_does_not_hide_the_journal(host):
    own(host)
    journalctl(host)
    result = ask(host, paths=[f"{host}/dovecot.log"])
    assert result["source"] == {"kind": "journal", "paths": [f"{host}/dovecot.log"]}
    assert result["accounts"][USER]["recipients"] == 4


def test_without_a_journal_the_daemons_files_are_read(host, monkeypatch):
    own(host)
    which = sources.shutil.which
    monkeypatch.setattr(sources.shutil, "which", lambda name, **options: None if name == "journalctl" else which(name, **options))
    assert ask(host)["source"] == {"kind": "file", "paths": [f"{host}/dovecot.log"]}


def test_the_rotations_of_postfix_logrotate_are_read(tmp_path):
    for name in ("maillog", "maillog.20261123-060000", "maillog.20261122-060000.gz", "maillog.x-060000"):
        (tmp_path / name).write_text("x")
    found = [Path(path).name for path in sources.rotations(str(tmp_path / "maillog"), 0)]
    assert sorted(found) == ["maillog", "maillog.20261122-060000.gz", "maillog.20261123-060000"]
    assert sources.base_of("/var/log/maillog.20261122-060000.gz") == "/var/log/maillog"

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever stands in a log, its reading ends, in linear time, with counters that can be."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import tempfile
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from goodstanding_src.library import mail_log_info
from goodstanding_src.module_utils.goodstanding.maillog import sources
from goodstanding_src.module_utils.goodstanding.maillog.counters import NUMBERS
from goodstanding_src.module_utils.goodstanding.maillog.lines import MAX_LINE
from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NOW = 1795500000.0  # 2026-11-24T06:00:00Z
REPLIES = yaml.safe_load((Path(__file__).resolve().parents[3] / "catalogue/provider_replies.yml").read_text(encoding="utf-8"))["replies"]
USER = "mallory@alpha.test"
BLOCKED = "550 5.7.1 Unfortunately, messages from [198.51.100.11] weren't sent. part of their network is on our block list (S3150)."
ID = "1x5dJQ-00000002ksM-1pMm"

POSTFIX = [
    f"postfix/submission/smtpd[1]: A0000001: client=unknown[203.0.113.3], sasl_method=PLAIN, sasl_username={USER}",
    "opendkim[9]: A0000001: DKIM-Signature field added (s=sel, d=example.test)",
    f"rspamd[3]: <a>; proxy; rspamd_task_write_log: id: <a@b>, qid: <A0000001>, ip: 203.0.113.3, user: {USER}, from: <{USER}>, "
    "(default: T (add header): [9.10/15.00] [BAYES_SPAM(5.10){100.00%;}]), len: 9",
    f"postfix/qmgr[3]: A0000001: from=<{USER}>, size=553, nrcpt=3 (queue active)",
    "postfix/smtp[5]: A0000001: to=<b@d.test>, relay=r.test[203.0.113.25]:25, delay=1, dsn=5.1.1, status=bounced (host "
    "r.test[203.0.113.25] said: 550 5.1.1 no such user (in reply to RCPT TO command))",
    "postfix/smtp[5]: A0000001: to=<c@e.test>, relay=m.test[203.0.113.26]:25, delay=1, dsn=5.7.1, status=deferred (host "
    f"m.test[203.0.113.26] said: {BLOCKED} (in reply to MAIL FROM command))",
    "postfix/smtp[5]: A0000001: to=<a@d.test>, relay=127.0.0.1[127.0.0.1]:25, dsn=2.0.0, status=sent (250 ok: queued as A0000002)",
    "postfix/cleanup[5]: A0000001: hold: RCPT from x[1.2.3.4]: held; from=<a> to=<b>",
    "postfix/qmgr[3]: A0000001: removed",
    "postfix/smtpd[5]: NOQUEUE: reject: RCPT from u[1.2.3.4]: 554 5.7.1 no; from=<a> to=<b> proto=ESMTP helo=<x> sasl_method=PLAIN "
    f"sasl_username={USER}",
    f"postfix/smtpd[5]: warning: u[203.0.113.20]: SASL PLAIN authentication failed: (reason unavailable), sasl_username={USER}",
    f"dovecot: imap-login: Logged in: user=<{USER}>, method=PLAIN, rip=203.0.113.9, lip=198.51.100.12, TLS, session=<x>",
    f"dovecot: auth(a@test,203.0.113.9,sasl:plain)<x>: users: Password mismatch (given password: {USER})",
    "rsyslogd[2]: imuxsock[pid 12]: begin to drop messages due to rate-limiting",
    "systemd-journald[1]: Suppressed 12345 messages from postfix@-.service",
]
OWN = [
    f"{ID} <= {USER} H=(pc) [203.0.113.3]:5 P=esmtpsa X=TLS1.3:A:256 CV=no A=dovecot_login:{USER} S=553 id=a@pc "
    'T="s \\" for x" for a@x b@y',
    f"{ID} == x@d.test R=dnslookup T=remote_smtp defer (-44) H=mx.d.test [203.0.113.25]: SMTP error from remote mail server after "
    f"RCPT TO:<x@d.test>: {BLOCKED}",
    f"{ID} ** x@d.test R=dnslookup T=remote_smtp H=mx.d.test [203.0.113.25]:25: SMTP error from remote mail server after "
    "RCPT TO:<x@d.test>: 550-5.1.1 no\\n550 5.1.1 such user",
    f"{ID} => a@x R=dnslookup T=remote_smtp H=mx [203.0.113.25]:25",
    f"{ID} Completed",
    f"login authenticator failed for (pc) [203.0.113.5]:5: 535 Incorrect authentication data (set_id={USER})",
    f"H=(pc) [203.0.113.3]:5 X=TLS1.3:A:256 CV=no A=dovecot_login:{USER} F=<a@b> rejected RCPT <c@d>: no",
    f"imap-login: Info: Login: user=<{USER}>, method=PLAIN, rip=203.0.113.9, session=<x>",
    f"auth({USER},203.0.113.9,sasl:plain)<x>: Info: users: Password mismatch",
    f"#12(normal) <a>; task; {POSTFIX[2].partition('proxy; ')[2]}",
]


def stamps(seconds: int) -> list[str]:
    moment = time.gmtime(NOW - 3600 + seconds)
    return [time.strftime(form, moment) for form in (
        "%Y-%m-%dT%H:%M:%S.5+00:00 mx1 ", "%Y-%m-%dT%H:%M:%S+0000 mx1 ", "%b %e %H:%M:%S mx1 ", "<22>1 %Y-%m-%dT%H:%M:%SZ mx1 ",
        "%Y-%m-%d %H:%M:%S ", "%Y-%m-%d %H:%M:%S.123 +0000 ", "%b %e %H:%M:%S ",
    )]  # fmt: skip


# The clock jumps back, and far ahead.
LINES = st.builds(
    lambda seconds, form, text: (stamps(seconds)[form] + text).encode(),
    st.one_of(st.integers(0, 3600), st.sampled_from([-(10**7), -4000, 7200, 10**7, 10**9])),
    st.integers(0, 6),
    st.sampled_from([*POSTFIX, *OWN]),
)
JUNK = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"\0", b"\xff\xfe", b"\xe2\x80\xa8", b"\r", b'"', b"\\", b"(", b">", b"[", b" ", b": ", b"=", b"9" * 20, b"-", b"\xc2\xb2"]
    ),
)


@st.composite
def mutated(draw) -> bytes:
    line = draw(LINES)
    for _ in range(draw(st.integers(0, 3))):
        begin, size = draw(st.integers(0, len(line))), draw(st.sampled_from([0, 0, 1, 5, 50]))
        line = line[:begin] + draw(JUNK) * draw(st.sampled_from([1, 1, 3, 300])) + line[begin + size :]
    return line


LOGS = st.lists(st.one_of(LINES, mutated(), mutated(), st.binary(max_size=200)), max_size=25)


def can_be(result: dict) -> None:
    assert result["lines"] >= 0
    assert result["unparsed"] >= 0
    for account in result["accounts"].values():
        assert all(account[name] >= 0 for name in NUMBERS)
        assert account["first"] <= account["last"] <= NOW + 86400
        assert all(row["line"].isprintable() and len(row["line"]) <= 400 for row in account["evidence"])
    assert all(row["count"] > 0 for row in result["refusals"])
    for place in ("first", "last"):
        assert result["span"][place] is None or result["span"][place] <= NOW + 300


@given(LOGS)
@settings(max_examples=120, deadline=None)
def test_no_line_is_an_exception(lines):
    log = MailLog(NOW, NOW - 86400, replies=REPLIES, addresses=["198.51.100.11"], watch=["d.test"])
    log.feed_lines(b"\n".join(lines).decode("utf-8", "replace").split("\n"))
    can_be(log.result())
    assert log.waiting >= 0
    assert log.own.exim.seen == sum(map(len, log.own.exim.listed.values()))


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(mail_log_info, "load_state", lambda name: {})


def ask(folder: Path, **fields: t.Any) -> tuple[dict, str | None]:
    params = {
        "source": "file", "paths": [str(folder / "mail.log")], "window": 24, "accepted_since": {}, "history": 15, "watch": ["d.test"],
        "state": str(folder / "state/maillog.db"), "replies": REPLIES, "addresses": ["198.51.100.11"], **fields,
    }  # fmt: skip
    return mail_log_info.run(params, NOW, False)


@given(LOGS, st.integers(0, 4000), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_is_an_exception(tmp_path_factory, lines, cut, packed):
    folder = tmp_path_factory.mktemp("log")
    data = b"\n".join(lines)
    (folder / "mail.log").write_bytes(data)
    if packed:
        (folder / "mail.log.1.gz").write_bytes(gzip.compress(data)[:cut])
    for path in folder.iterdir():
        os.utime(path, (NOW, NOW))
    for _ in range(2):
        try:
            result, warning = ask(folder)
        except sources.SourceError as exc:
            assert packed and "mail.log.1.gz cannot be read" in str(exc)
            continue
        assert warning is None
        can_be(result)
    shutil.rmtree(folder)


def test_a_line_without_end_costs_neither_memory_nor_the_lines_after_it(tmp_path):
    good = (stamps(0)[0] + POSTFIX[0] + "\n").encode()
    (tmp_path / "mail.log").write_bytes(stamps(0)[0].encode() + b"(a,1.2.3.4," * 1_000_000 + b"\n" + good)
    os.utime(tmp_path / "mail.log", (NOW, NOW))
    result, _ = ask(tmp_path)
    assert list(result["accounts"]) == [USER]


#: Per grammar the words before a text that a stranger may choose, and the text that would cost most if anything were searched twice.
STRANGERS = [
    "(", "(a,1.2.3.4,", "<", '"', '\\"', '"\\', ' "', "\\", "[", "A=x:y ", " S=1", " H=x [1.2.3.4]", ": host x [1.2.3.4]: ",
    ">, qid: <AB12CD34>,", " (default: T (reject): [1/", " user=<", " rip=1.2.3.4,", ">, relay=x[1.2.3.4], dsn=5.1.1, status=sent (",
    ": ", "a ", "a", " for ", "id=", " from <", "550-5.7.1 ", "1.1.1.1 ", "a::b ", ' T="', "lost 1 messages", " (set_id=x)",
    ", sasl_username=x", " R=a", " I=a", "_", "-", "1",
]  # fmt: skip
BEFORE = [
    *POSTFIX[:1], *(text[: text.index(mark)] for text, mark in (
        (POSTFIX[1], "(s="), (POSTFIX[2], "a@b"), (POSTFIX[2], "from: <"), (POSTFIX[3], USER), (POSTFIX[4], "b@d"), (POSTFIX[4], "550 "),
        (POSTFIX[5], "550 "), (POSTFIX[6], "A0000002"), (POSTFIX[7], "held"), (POSTFIX[9], "no;"), (POSTFIX[10], "(reason"),
        (POSTFIX[11], USER), (POSTFIX[12], "a@test"), (POSTFIX[13], "imux"), (POSTFIX[14], "12345"),
    )),
]  # fmt: skip
BEFORE_OWN = [
    *(text[: text.index(mark)] for text, mark in (
        (OWN[0], USER), (OWN[0], "pc)"), (OWN[0], "esmtpsa"), (OWN[0], "TLS1"), (OWN[0], "553"), (OWN[0], "a@pc"), (OWN[0], "s \\"),
        (OWN[0], " for a@x"), (OWN[0], "b@y"), (OWN[1], "x@d"), (OWN[1], "mx.d"), (OWN[1], "550"), (OWN[2], "no\\n"), (OWN[5], "pc)"),
        (OWN[5], USER), (OWN[6], USER), (OWN[6], "a@b"), (OWN[7], USER), (OWN[8], USER), (OWN[9], "a@b"), (OWN[9], "normal"),
    )), "", ID,
]  # fmt: skip


def test_what_a_stranger_repeats_is_read_to_its_end():
    """A pattern that searches twice what it read would take hours here; how long it takes is not asserted."""
    log = MailLog(NOW, NOW - 86400, replies=REPLIES, addresses=["198.51.100.11", "2001:db8::25"])
    lines = [
        (stamps(0)[stamp] + before + text * MAX_LINE)[:MAX_LINE]
        for stamp, texts in ((0, BEFORE), (4, BEFORE_OWN))
        for before in texts
        for text in STRANGERS
    ]
    for line in lines:
        log.feed_lines([stamps(0)[0] + POSTFIX[0], stamps(0)[4] + OWN[0], line])
    assert log.lines + log.unparsed == 3 * len(lines)


@pytest.fixture
def shared():
    """A folder that another user may look into; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("source", ["file", "auto"])
@pytest.mark.parametrize("closed", ["file", "folder"])
def test_a_log_of_another_owner_is_named(shared, closed, source):
    (shared / "mail.log").write_text(stamps(0)[0] + POSTFIX[0] + "\n")
    os.utime(shared / "mail.log", (NOW, NOW))
    (shared if closed == "folder" else shared / "mail.log").chmod(0o000)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(sources.SourceError, match=r"/mail.log cannot be read \(Permission denied\): .* become, or .* group adm"):
            ask(shared, state="", source=source)
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("limit", [0, 1 << 12, 1 << 15])
def test_a_disk_that_is_full_costs_no_answer_now_and_none_later(tmp_path, limit):
    (tmp_path / "mail.log").write_text("".join(
        f"{stamps(number)[0]}{POSTFIX[0].replace('A0000001', f'B{number:07X}').replace(USER, f'u{number}@x')}\n" for number in range(500)
    ))  # fmt: skip
    os.utime(tmp_path / "mail.log", (NOW, NOW))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        result, warning = ask(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(result["accounts"]) == 500
    assert "cannot be used" in (warning or "")
    for lines in (500, 0):
        result, warning = ask(tmp_path)
        assert (len(result["accounts"]), result["lines"], warning) == (500, lines, None)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shortcuts through frequent lines say what the parser says; and clocks that jump."""

from __future__ import annotations

import datetime
import os
import typing as t
from pathlib import Path

import pytest
from goodstanding_src.library import mail_log_info
from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog
from hypothesis import example, given, settings
from hypothesis import strategies as st

NOW = 1795500000.0
RECEIVERS = [{"id": "world", "suffixes": [".test"]}, {"id": "part", "suffixes": [".world.example.test", ".example.test"]}]
BLOCKED = {"id": "x", "provider": "x", "words": ["blocked"], "about": "address"}
SAMPLE = (Path(__file__).parents[2] / "data/maillog/mx1.log").read_bytes().splitlines()[:400]
SAMPLE_DELIVERY = next(line for line in SAMPLE if b"/smtp[" in line and b"status=sent" in line)
OTHERS = [
    b'2026-11-24 05:30:00 1pFz3Q-0004tC-2A <= a@x H=(h) [203.0.113.7]:5 P=esmtpsa A=plain:a@x S=3 T="(((" for b@y',
    b"2026-11-24 05:30:01 1pFz3Q-0004tC-2A ** b@y H=mx [203.0.113.25]: SMTP error from remote mail server after RCPT TO:<b@y>: 550 5.1.1 x",
    b"Nov 24 05:30:00 imap-login: Info: Login: user=<a@x>, method=PLAIN, rip=203.0.113.7, lip=x",
    b"2026-11-24 05:30:00 #1(normal) <a>; task; rspamd_task_write_log: qid: <AB12CD34EF>, user: a@x, (default: T (reject): [1/1] []",
    b"<22>1 2026-11-24T05:30:00+00:00 mx1 postfix/qmgr 9 - - AB12CD34EF: from=<a@x>, size=1, nrcpt=2 (queue active)",
]


@st.composite
def mutated(draw: st.DrawFn) -> list[bytes]:
    """Real lines, some of them cut, joined, repeated, with other bytes or other times in them."""
    lines = draw(st.lists(st.sampled_from([*SAMPLE, *OTHERS]), min_size=1, max_size=30))
    for _ in range(draw(st.integers(0, 10))):
        place = draw(st.integers(0, len(lines) - 1))
        line = lines[place]
        begin, end = sorted((draw(st.integers(0, len(line))), draw(st.integers(0, len(line)))))
        if 16 < begin < 26:  # of a delivery only the hour counts: where its seconds are damaged, the shortcut does not see it
            begin, end = 26, max(end, 26)
        lines[place] = (
            line[:begin]
            + draw(
                st.sampled_from(
                    [b"", b"\x00\xff\x1b[2J", b"(" * 50, b": ", b"]: ", line, b"9" * 30, b"<>", b"5.2.2", b"status=deferred", b"\xc3"]
                )
            )
            + line[end:]
        )
    return lines


def told(lines: list[bytes], shortcuts: bool, since: dict[str, float] | None = None) -> dict:
    log = MailLog(NOW + 2 * 86400, NOW - 40 * 86400, since, replies=[BLOCKED], addresses=["198.51.100.11"], receivers=RECEIVERS)
    texts = [line.decode("utf-8", "replace") for line in lines]
    if shortcuts:
        log.feed_lines(texts)
    else:
        for text in texts:
            log.feed_line(text)
    log.finish()
    # The log's own begin and end are looked at in another place, and are not of the lines that count.
    tables = ("hours", "marks", "evidence", "open", "receiver_days", "receiver_domains")
    rows = {table: sorted(log.book.db.execute(f"SELECT * FROM {table}").fetchall()) for table in tables}  # noqa: S608  fixed names
    return {**rows, "after": log.after, "gaps": log.gaps, "refusals": [{**row, "sample": ""} for row in log.book.refusals(0, 100)]}


WHOLE = (Path(__file__).parents[2] / "data/maillog/mx1.log").read_bytes().splitlines()


def formed(line: bytes, form: str) -> bytes:
    """A line as another logger stamps it."""
    stamp, _, rest = line.partition(b" ")
    moment = datetime.datetime.fromisoformat(stamp.decode())
    if form == "rfc3164":
        return f"{moment:%b} {moment.day:2} {moment:%H:%M:%S} ".encode() + rest
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f+0000} ".encode() + rest if form == "journal" else line


@pytest.mark.parametrize("form", ["rfc3339", "journal", "rfc3164"])
@pytest.mark.parametrize("times", [1, 3])
def test_shortcuts_say_what_the_parser_says_of_real_lines(times, form):
    lines = [formed(line, form) for line in WHOLE * times]
    assert told(lines, True) == told(lines, False)


REFUSED = "dsn=5.7.1, status=bounced (host mx.d.test[203.0.113.25] said: 550 5.7.1 blocked (in reply to MAIL FROM command))"
SENT = "dsn=2.6.0, status=sent (250 ok)"
LATER = "dsn=4.4.1, status=deferred (connect to mx.d.test[203.0.113.25]:25: Connection timed out)"
NOBODY = "dsn=5.1.1, status=bounced (host mx.d.test[203.0.113.25] said: 550 5.1.1 <b@d.test>: no such user (in reply to RCPT TO command))"
NOT_YET = NOBODY.replace("dsn=5.1.1", "dsn=4.1.1")
EXPIRED = "dsn=4.4.1, status=expired (delivery temporarily suspended)"
FILTERED = "dsn=2.0.0, status=sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as CB12CD34EF)"
#: Of each daemon: to whom, through which relay, with which end.
DELIVERIES = [
    (daemon, domain, relay, end)
    for daemon in ("smtp", "lmtp", "error")
    for domain in ("d.test", "E.test")
    for relay in ("mx.d.test[203.0.113.25]:25", "127.0.0.1[127.0.0.1]:10024", "mx1[private/lmtp]", "none")
    for end in (REFUSED, SENT, LATER, NOBODY, NOT_YET, EXPIRED, FILTERED)
]
BEGINS = [
    "postfix/smtps/smtpd[5]: {}: client=h[203.0.113.7], sasl_method=PLAIN, sasl_username=A@alpha.test",
    "postfix/smtpd[5]: {}: client=h[203.0.113.9]",
    "postfix/smtpd[5]: {}: client=localhost[127.0.0.1]",
    "postfix/smtpd[5]: NOQUEUE: client=h[203.0.113.7], sasl_method=PLAIN, sasl_username=a@alpha.test",
    "postfix/smtps/smtpd[5]: NOQUEUE: hold: RCPT from h[203.0.113.7]: <a@alpha.test>: SASL login name is held; from=<a@x> to=<b@y>",
    "postfix/bounce[5]: AB12CD34EF: sender non-delivery notification: {}",
    "postfix/qmgr[5]: {}: from=<S@alpha.test>, size=281, nrcpt=2 (queue active)",
    "postfix/cleanup[5]: {}: hold: RCPT from h[203.0.113.7]: held; from=<a@x> to=<b@y>",
    "postfix/qmgr[5]: {}: removed",
]
LOGINS = [
    f"dovecot: imap-login: {said}: user=<{name}>, method=PLAIN, rip={address}{end}"
    for said in ("Login", "Logged in", "Login aborted: Connection closed (auth failed, 1 attempts in 2 secs) (auth_failed)")
    for name in ("a@alpha.test", "A@alpha.test", "")
    for address in ("203.0.113.7", "203.0.113.77", "x")
    for end in (", lip=198.51.100.12, session=<y>", "")
]
LOGINS += [
    "dovecot: imap(a@alpha.test)<7><y>: Disconnected: Logged out in=5",
    "dovecot: auth: passwd-file(a@x,203.0.113.7,<y>): Password mismatch",
]
IDS = st.sampled_from(["AB12CD34EF", "BB12CD34EF", "CB12CD34EF"])


@st.composite
def delivery(draw: st.DrawFn) -> str:
    daemon, domain, relay, end = draw(st.sampled_from(DELIVERIES))
    forward = draw(st.sampled_from(["", "orig_to=<o@alpha.test>, "]))
    return f"postfix/{daemon}[7]: {draw(IDS)}: to=<b@{domain}>, {forward}relay={relay}, delay=1, delays=0/0/0/1, {end}"


ACTS = st.one_of(st.builds(str.format, st.sampled_from(BEGINS), IDS), delivery(), st.sampled_from(LOGINS))


@settings(max_examples=150, deadline=None)
@example([LOGINS[0]] * 20, "rfc3339", {"a@alpha.test": NOW - 3000})
@given(st.lists(ACTS, max_size=60), st.sampled_from(["rfc3339", "rfc3164"]), st.sampled_from([{}, {"a@alpha.test": NOW - 3000}]))
def test_shortcuts_say_what_the_parser_says_whatever_happens_to_messages(acts, form, since):
    lines = [formed(f"2026-11-24T05:{number:02}:07.500000+00:00 mx1 {act}".encode(), form) for number, act in enumerate(acts)]
    assert told(lines, True, since) == told(lines, False, since)


def test_a_receiver_that_refused_and_takes_mail_again_is_noted_among_shortcuts():
    told_of = [BEGINS[0], f"postfix/smtp[7]: {{}}: to=<b@d.test>, relay=mx.d.test[203.0.113.25]:25, delay=1, {REFUSED}"]
    told_of += [told_of[1].replace(REFUSED, SENT).replace("b@d.test", name) for name in ("c@e.test", "c@D.test")]
    texts = [f"2026-11-24T05:{number:02}:00.500000+00:00 mx1 {text.format('AB12CD34EF')}" for number, text in enumerate(told_of)]
    log = MailLog(NOW, NOW - 86400, replies=[BLOCKED], addresses=["198.51.100.11"])
    log.feed_lines(texts)
    assert [row["accepted"] for row in log.result()["refusals"]] == [NOW - 3600 + 180.5]


def test_most_lines_of_a_real_log_take_a_shortcut(monkeypatch):
    parsed: list[str] = []
    real = MailLog.feed_line
    monkeypatch.setattr(MailLog, "feed_line", lambda log, raw: (parsed.append(raw), real(log, raw)))
    told(WHOLE * 20, True)
    assert len(parsed) < len(WHOLE) * 20 / 10


def test_a_damaged_line_does_not_hide_those_of_its_program():
    damaged = (
        b"2026-11-25T06:22:04.371461+00:00 mx1 postfix/smtp[ to=<a@d.test>, relay=x, dsn=2.0.0, status=sent (250 Ok: queued as 5818918035B)"
    )
    assert told([damaged, *WHOLE], True) == told([damaged, *WHOLE], False)


@settings(max_examples=150, deadline=None)
@given(mutated())
@example([SAMPLE_DELIVERY.replace(b", relay=", b", \x00\xff\x1b[2Jrelay=")])
@example([SAMPLE_DELIVERY.replace(b"@", b"")])
@example([SAMPLE_DELIVERY.replace(b">, ", b", dsn=4.7.1>, ")])
def test_shortcuts_say_what_the_parser_says_of_broken_lines(lines):
    lines = [*WHOLE[:200], *lines, *WHOLE[:200]]
    assert told(lines, True) == told(lines, False)


class Log:
    """A log file on disk that is read as the module does it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "mail.log"

    def write(self, data: bytes, name: str = "mail.log") -> None:
        (self.folder / name).write_bytes(data)
        os.utime(self.folder / name, (NOW, NOW))

    def ask(self, **fields: t.Any) -> tuple[dict, str | None]:
        params = {
            "source": "file", "paths": [str(self.path)], "window": 24, "accepted_since": {}, "history": 28, "watch": [], "replies": [],
            "addresses": [], "state": str(self.folder / "book.db"), "controller_time": None, "clock_tolerance": 60, **fields,
        }  # fmt: skip
        return mail_log_info.run(params, NOW, False)


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setattr(mail_log_info, "load_state", lambda name: {})
    return Log(tmp_path)


def message(stamp: str, queue_id: str = "AB12CD34EF") -> bytes:
    lines = [
        f"{stamp} mx1 postfix/submission/smtpd[5]: {queue_id}: client=h[203.0.113.7], sasl_method=PLAIN, sasl_username=a@alpha.test",
        f"{stamp} mx1 postfix/qmgr[9]: {queue_id}: from=<a@alpha.test>, size=281, nrcpt=2 (queue active)",
    ]
    return ("\n".join(lines) + "\n").encode()


def test_a_clock_that_jumps_back_counts_each_message_once(log):
    log.write(
        message("2026-11-24T05:00:00+00:00")
        + message("2026-11-24T03:00:00+00:00", "BB12CD34EF")
        + message("2026-11-24T04:00:00+00:00", "CB12CD34EF")
    )
    account = log.ask()[0]["accounts"]["a@alpha.test"]
    assert (account["messages"], account["last"] - account["first"]) == (3, 7200)


def test_stamps_of_the_future_are_told_and_those_of_tomorrow_not_counted(log):
    log.write(
        message("2026-11-24T05:00:00+00:00")
        + message("2026-11-24T06:30:00+00:00", "BB12CD34EF")
        + message("2026-11-26T06:30:00+00:00", "CB12CD34EF")
    )
    result, _ = log.ask()
    assert (result["accounts"]["a@alpha.test"]["messages"], result["complete"]) == (2, False)
    assert "from the future" in result["gaps"][0]

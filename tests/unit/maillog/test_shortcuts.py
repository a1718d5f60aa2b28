# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shortcuts through frequent lines say what the parser says; and clocks that jump."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from goodstanding_src.library import mail_log_info
from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = 1795500000.0
SAMPLE = (Path(__file__).parents[2] / "data/maillog/mx1.log").read_bytes().splitlines()[:400]
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


def told(lines: list[bytes], shortcuts: bool) -> dict:
    log = MailLog(NOW + 2 * 86400, NOW - 40 * 86400, replies=[{"id": "x", "provider": "x", "words": ["blocked"], "about": "address"}])
    texts = [line.decode("utf-8", "replace") for line in lines]
    if shortcuts:
        log.feed_lines(texts)
    else:
        for text in texts:
            log.feed_line(text)
    log.finish()
    # The log's own begin and end are looked at in another place, and are not of the lines that count.
    queries = ("SELECT * FROM hours", "SELECT * FROM marks", "SELECT * FROM evidence", "SELECT * FROM open")
    rows = {query: sorted(log.book.db.execute(query).fetchall()) for query in queries}
    return {**rows, "refusals": [{**row, "sample": ""} for row in log.book.refusals(0, 100)]}


WHOLE = (Path(__file__).parents[2] / "data/maillog/mx1.log").read_bytes().splitlines()


@pytest.mark.parametrize("times", [1, 3])
def test_shortcuts_say_what_the_parser_says_of_real_lines(times):
    assert told(WHOLE * times, True) == told(WHOLE * times, False)


def test_most_lines_of_a_real_log_take_a_shortcut(monkeypatch):
    parsed: list[str] = []
    real = MailLog.feed_line
    monkeypatch.setattr(MailLog, "feed_line", lambda log, raw: (parsed.append(raw), real(log, raw)))
    told(WHOLE * 20, True)
    assert len(parsed) < len(WHOLE) * 20 / 3


@settings(max_examples=150, deadline=None)
@given(mutated())
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

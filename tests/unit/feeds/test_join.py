# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from email.message import Message
from email.parser import BytesHeaderParser

import pytest
from goodstanding_src.module_utils.goodstanding.feeds import join
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = 1795521600.0  # 2026-11-24 12:00 UTC
CLIENT = "client=host[192.0.2.55], sasl_method=PLAIN, sasl_username="


def line(second: int, daemon: str, text: str) -> str:
    return f"2026-11-24T06:00:{second:02}.5+00:00 mx1 postfix/{daemon}[9]: {text}\n"


def accounts(*lines: tuple[str, str], wanted: tuple[str, ...] = ("<a@x>",)) -> dict:
    log = join.SenderLog(wanted, NOW)
    for second, (daemon, text) in enumerate(lines):
        log.feed(line(second, daemon, text))
    return {identity: sender["account"] for identity, sender in log.senders.items()}


EVE = ("submission/smtpd", f"AB12CD34EF: {CLIENT}Eve@alpha.test")
BOB = ("smtps/smtpd", f"AB12CD34EF: {CLIENT}bob@beta.test, sasl_sender=eve@alpha.test")
ID = ("cleanup", "AB12CD34EF: message-id=<a@x>")


@pytest.mark.parametrize(
    ("lines", "account"),
    [
        ([EVE, ID], "eve@alpha.test"),
        ([EVE, ("cleanup", "AB12CD34EF: message-id=a@x")], "eve@alpha.test"),
        ([("smtpd", f"4jYFz03MwfzMKgv: {CLIENT}eve"), ("cleanup", "4jYFz03MwfzMKgv: message-id=<a@x>")], "eve"),
        # A short queue ID that is used again: the latest client before the message-id counts.
        ([EVE, BOB, ID], "bob@beta.test"),
        ([EVE, ID, BOB], "eve@alpha.test"),
        ([EVE, ("qmgr", "AB12CD34EF: removed"), ID], "absent"),
        ([EVE, ("postsuper", "AB12CD34EF: removed"), ID], "absent"),
        ([EVE, ("smtpd", "AB12CD34EF: client=mx[203.0.113.9]"), ID], "absent"),
        ([EVE, ("pickup", "AB12CD34EF: uid=1000 from=<w@x>"), ID], "absent"),
        ([ID, EVE], "absent"),
        # Another queue ID, another message.
        ([EVE, ("cleanup", "AB12CD34EE: message-id=<a@x>")], "absent"),
        ([EVE, ("cleanup", "AB12CD34EF: message-id=<b@x>")], "absent"),
        # Only Postfix's own daemons are believed, and only at the line's own place.
        ([EVE, ("smtpd", "AB12CD34EF: message-id=<a@x>")], "absent"),
        ([EVE, ("cleanup", "AB12CD34EF: warning: header Subject: x: message-id=<a@x>")], "absent"),
        ([("cleanup", f"AB12CD34EF: {CLIENT}eve"), ID], "absent"),
        # The filter takes the message in again without a login; a copy of the Message-ID by another login names nobody.
        ([EVE, ID, ("smtpd", "CC12CD34EF: client=localhost[127.0.0.1]"), ("cleanup", "CC12CD34EF: message-id=<a@x>")], "eve@alpha.test"),
        ([EVE, ID, EVE, ID], "eve@alpha.test"),
        ([EVE, ID, BOB, ID], None),
        ([EVE, ID, BOB, ID, EVE, ID], None),
    ],
)
def test_the_login_behind_a_message_id(lines, account):
    assert accounts(*lines) == ({} if account == "absent" else {"a@x": account})


def test_what_a_sender_says():
    log = join.SenderLog(["a@x", ""], NOW)
    for second, (daemon, text) in enumerate((EVE, ID)):
        log.feed(line(second, daemon, text))
    start = NOW - 6 * 3600
    assert log.senders == {"a@x": {"account": "eve@alpha.test", "queue_id": "AB12CD34EF", "time": start + 0.5, "client": "192.0.2.55"}}
    assert (log.first, log.last) == (start + 0.5, start + 1.5)


def test_lines_before_the_window_are_left_out():
    log = join.SenderLog(["a@x"], NOW, since=NOW)
    log.feed(line(1, *EVE))
    log.feed(line(2, *ID))
    assert (log.senders, log.first) == ({}, None)


def test_memory_is_bounded_by_what_is_wanted_and_under_way(monkeypatch):
    monkeypatch.setattr(join, "MAX_OPEN", 100)
    log = join.SenderLog(["m4999@x"], NOW)
    for number in range(5000):
        log.feed(line(1, "smtpd", f"{number:010X}: {CLIENT}eve@alpha.test"))
        log.feed(line(1, "cleanup", f"{number:010X}: message-id=<m{number}@x>"))
    assert (len(log.open), list(log.senders)) == (100, ["m4999@x"])


def test_a_long_log_is_read_in_linear_time():
    log = join.SenderLog(["m9@x"], NOW)
    lines = [line(1, "smtp", f"{n:010X}: to=<r@d.example>, relay=x[192.0.2.9]:25, dsn=2.0.0, status=sent (250 ok)") for n in range(50_000)]
    begun = time.process_time()
    for text in lines:
        log.feed(text)
    assert time.process_time() - begun < 1


def original(text: bytes) -> Message:
    return BytesHeaderParser().parsebytes(text + b"\n\n")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (b"X-Sender-Id: eve@alpha.test", ("eve@alpha.test", "X-Sender-Id")),
        (b"x-sender-id:  <Eve@Alpha.test> ", ("eve@alpha.test", "X-Sender-Id")),
        (b"X-Sender-Id: eve", ("eve", "X-Sender-Id")),
        (b"X-Sender-Id: eve@alpha.test\nX-Sender-Id: EVE@alpha.test", ("eve@alpha.test", "X-Sender-Id")),
        (b"X-Sender-Id: eve@alpha.test\nX-Sender-Id: bob@alpha.test", None),
        (b"X-Sender-Id: eve@alpha.test, bob@alpha.test", None),
        (b"X-Sender-Id: 7:campaign:alpha:esp", None),
        (b"X-Sender-Id: {{ lookup('pipe', 'id') }}", None),
        (b"X-Sender-Id: eve@alpha.test\n bob", None),
        (b"X-Sender-Id: " + b"e" * 5000, None),
        (b"X-Sender-Id: \xff\xfe", None),
        (b"X-Sender-Id:", None),
        (b"X-Sender-Id: a b\nX-Login: eve@alpha.test", ("eve@alpha.test", "X-Login")),
        (b"Subject: none", None),
    ],
)
def test_the_login_in_our_own_header_field(headers, expected):
    assert join.from_header(original(headers), ("X-Sender-Id", "X-Login")) == expected


def test_hosts_are_merged_and_a_contradiction_names_nobody():
    eve, bob = {"account": "eve@alpha.test", "queue_id": "A"}, {"account": "bob@beta.test"}
    assert join.merge([{"<a@x>": eve, "b@x": eve}, {"b@x": bob, "c@x": bob}, {"d@x": {"account": 5}, "e@x": "text", "": eve}]) == {
        "a@x": eve,
        "b@x": {"account": None, "queue_id": "A"},
        "c@x": bob,
        "d@x": {"account": None},
    }


TEXT = st.lists(st.sampled_from([*EVE, *ID, CLIENT, "AB12CD34EF: ", "message-id=", ", sasl_username=", " ", "<", "\0"])).map("".join)


@given(st.lists(st.tuples(st.sampled_from(["smtpd", "cleanup", "qmgr", "x"]), TEXT | st.text(max_size=50)), max_size=20))
@settings(max_examples=25, deadline=None)
def test_any_log_can_be_read(lines):
    assert set(accounts(*lines)) <= {"a@x"}

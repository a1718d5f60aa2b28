# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.queue import envelope
from goodstanding_src.module_utils.goodstanding.queue.envelope import Envelope, parse

sys.path.insert(0, str(Path(__file__).parent))
from spool import message, record

VICTIM = "sasl_username=victim@alpha.test"
BODY = ("Subject: x", "", VICTIM, "A" + VICTIM)
GIVEN = {"login": "Mallory@Alpha.test", "sender": "m@alpha.test", "client": "203.0.113.7", "lines": BODY}
EXPECTED = Envelope("Mallory@Alpha.test", "m@alpha.test", "203.0.113.7", "203.0.113.7", "r@dest.test")


def opened(tmp_path, data: bytes) -> int:
    path = tmp_path / "file"
    path.write_bytes(data)
    return os.open(path, os.O_RDONLY)


def test_the_envelope_is_told_from_the_body():
    assert parse(message(**GIVEN)) == EXPECTED
    assert parse(message(sender="m@alpha.test", lines=BODY)).login == ""
    forged = message(sender="m@alpha.test", extracted=("x@dest.test",)).replace(record("X"), record("X") + record("A", VICTIM))
    assert parse(forged).login == "", "what comes after the body is not the login"


@pytest.mark.parametrize(
    "value", ["a\nsasl_username=victim@alpha.test", "a\0A\x1fsasl_username=victim@alpha.test", "x=sasl_username=b", ""]
)
def test_no_value_begins_another(value):
    assert parse(message(**{**GIVEN, "login": "", "sender": value})).login == ""
    assert parse(message(**{**GIVEN, "login": value})).login == value


def test_a_second_login_is_ignored_as_postfix_does():
    data = message(**GIVEN).replace(record("S", "m@alpha.test"), record("A", VICTIM) + record("S", "m@alpha.test"))
    assert parse(data).login == "Mallory@Alpha.test"


def test_a_filter_names_the_client_it_got_the_mail_from():
    assert parse(message(client="127.0.0.1", told="203.0.113.77"))[2:4] == ("127.0.0.1", "203.0.113.77")


def test_every_truncation_is_unknown_and_never_somebody_else():
    whole = message(**GIVEN)
    end = whole.index(record("O", "r@dest.test")) + len(record("O", "r@dest.test"))
    for size in range(len(whole)):
        assert parse(whole[:size]) == (None if size < end else EXPECTED)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"A",
        b"\0" * 100,
        b"C\xff\xff\xff\xff\xff\xff\xff",
        b"C\xff\xff\xff\xff\x07" + b"x" * 50,  # a length of 2^31
        record("A", "sasl_username=victim@alpha.test") + record("S", "x") + record("M"),
        b"mail text that is no queue file",
        record("C", "1") + record("M"),
    ],
)
def test_what_is_no_queue_file_is_unknown(tmp_path, data):
    file = opened(tmp_path, data)
    assert parse(data) is None
    assert envelope.read(file) is None
    assert envelope.submitter(file, "AAAAA") is None
    assert envelope.recipients(file, 5).known == []
    os.close(file)


def test_a_long_envelope_is_read_on_and_an_endless_one_is_not(tmp_path):
    for size, known in ((5000, True), (70000, False)):
        data = message(**GIVEN).replace(record("A", "sasl_method=PLAIN"), record("A", "x" * size))
        file = opened(tmp_path, data)
        assert envelope.read(file) == (EXPECTED if known else None)
        assert os.lseek(file, 0, os.SEEK_CUR) <= envelope.LIMIT
        os.close(file)


def test_many_recipients_are_counted_and_not_returned(tmp_path):
    names = [f"r{number}@dest.test" for number in range(100_000)]
    file = opened(tmp_path, message(**{**GIVEN, "recipients": names, "done": set(names[:7])}))
    assert envelope.read(file).recipient == "r0@dest.test"
    assert envelope.recipients(file, 5) == (100_000, names[:5], 7)
    os.close(file)


def test_recipients_that_were_taken_from_the_header(tmp_path):
    file = opened(tmp_path, message(**{**GIVEN, "recipients": (), "extracted": ("a@dest.test", "b@dest.test")}))
    assert envelope.read(file) == EXPECTED._replace(recipient="")
    assert envelope.recipients(file, 1) == (2, ["a@dest.test"], 0)
    os.close(file)


RECEIVED = "Received: by mx.example.test (Postfix, from userid 33)"
STAMP = "\tid AB12CD34EF; Wed, 25 Nov 2026 09:05:28 +0000 (UTC)"


@pytest.mark.parametrize(
    ("lines", "uid"),
    [
        ((RECEIVED, STAMP, "Subject: x"), 33),
        (("X-First: a header check put this here", RECEIVED, STAMP), 33),
        (("Received: from c.invalid (localhost [127.0.0.1])", STAMP, RECEIVED, STAMP), None),
        ((RECEIVED, STAMP.replace("AB12CD34EF", "AB12CD34EE")), None),  # the sender's own, written beforehand
        ((RECEIVED, STAMP, RECEIVED.replace("33", "0"), STAMP), 33),
        (("Subject: x", "", RECEIVED, STAMP), None),
        ((RECEIVED,), None),
        ((), None),
    ],
)
def test_the_uid_is_in_the_line_with_the_files_own_id(tmp_path, lines, uid):
    many = [f"r{number}@dest.test" for number in range(2000)]
    for recipients in (("r@dest.test",), many):
        file = opened(tmp_path, message(sender="m@alpha.test", lines=lines, recipients=recipients))
        assert envelope.submitter(file, "AB12CD34EF") == uid
        os.close(file)


def test_arrival():
    assert envelope.arrival(message(**GIVEN)) == 1795500000.25
    assert envelope.arrival(b"") is None
    assert envelope.arrival(record("C", "1") + record("T", "never")) is None


def test_no_damage_makes_an_error_or_somebody_elses_login(tmp_path):
    whole, chance = message(**GIVEN), random.Random(5)
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(data))
            data[place : place + chance.randint(0, 3)] = chance.choice(
                [b"", b"\0", b"\xff" * 5, b"A", b"M\0", bytes([chance.randrange(256)])]
            )
        file = opened(tmp_path, bytes(data))
        found = envelope.read(file)
        assert found is None or "victim" not in found.login or b"victim" in bytes(data[: data.find(b"M\0")])
        envelope.submitter(file, "AB12CD34EF")
        assert len(envelope.recipients(file, 5).known) <= 5
        envelope.arrival(bytes(data))
        os.close(file)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliveries by receiver and day, and which receiver a domain's mail goes to."""

from __future__ import annotations

import datetime
import typing as t
from pathlib import Path

import pytest
import yaml
from goodstanding_src.module_utils.goodstanding.maillog import receivers
from goodstanding_src.module_utils.goodstanding.maillog.book import Book, receiving
from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog
from goodstanding_src.module_utils.goodstanding.maillog.receivers import Receivers
from goodstanding_src.module_utils.goodstanding.maillog.refusals import RepliesError

NOW = 1795500000.0  # 2026-11-24T06:00:00Z
TODAY = int(NOW // 86400)
CATALOGUE = Path(__file__).resolve().parents[3] / "catalogue"
ENTRIES = yaml.safe_load((CATALOGUE / "receivers.yml").read_text(encoding="utf-8"))["receivers"]
REPLIES = yaml.safe_load((CATALOGUE / "provider_replies.yml").read_text(encoding="utf-8"))["replies"]
OLC, MX365, GMAIL = "outlook-com.olc.protection.outlook.com", "vanity-test.mail.protection.outlook.com", "aspmx.l.google.com"
BLOCKED = "550 5.7.1 Unfortunately, messages from [198.51.100.11] weren't sent. part of their network is on our block list (S3150)."


def delivery(
    domain: str, relay: str, status: str = "sent", dsn: str = "2.0.0", said: str = "250 ok", ago: float = 3600.0, **how: str
) -> str:
    stamp = datetime.datetime.fromtimestamp(NOW - ago, datetime.timezone.utc).isoformat(timespec="microseconds")
    place = f"{relay}[{how.get('address', '192.0.2.25')}]:25" if relay != "none" else "none"
    return (
        f"{stamp} mx1 postfix/{how.get('program', 'smtp')}[7]: AB12CD34EF: to=<{how.get('local', 'a')}@{domain}>, relay={place}, delay=1, "
        f"delays=0/0/0/1, dsn={dsn}, status={status} ({said})"
    )


def said(relay: str, text: str) -> str:
    return f"host {relay}[192.0.2.25] said: {text} (in reply to RCPT TO command)"


def told(lines: list[str], book: Book | None = None, entries: t.Sequence[dict] = ENTRIES) -> dict[str, t.Any]:
    log = MailLog(NOW, NOW - 28 * 86400, replies=REPLIES, addresses=["198.51.100.11"], book=book, receivers=entries)
    log.feed_lines(lines)
    return log.result(NOW - 86400)["receivers"]


def days(lines: list[str]) -> dict[str, list[tuple[int, ...]]]:
    return {
        name: [(row["day"] - TODAY, *(row[number] for number in receivers.NUMBERS)) for row in found["days"]]
        for name, found in told(lines).items()
        if found["days"]
    }


def test_vanity_domains_count_for_their_receiver_by_day():
    lines = [
        *[delivery(f"vanity{number}.test", MX365, ago=26 * 3600) for number in range(5)],
        delivery("vanity1.test", MX365.upper()),
        delivery("hotmail.com", OLC, program="goodstanding-outlook/smtp"),
        delivery("gmail.com", "gmail-smtp-in.l.google.com"),
        delivery("elsewhere.test", "mx.elsewhere.test"),
    ]
    assert days(lines) == {"office365": [(-1, 5, 0, 0, 0), (0, 1, 0, 0, 0)], "outlook": [(0, 1, 0, 0, 0)], "google": [(0, 1, 0, 0, 0)]}


def test_what_is_put_off_and_refused_counts_by_its_reason():
    lines = [
        delivery("gmail.com", GMAIL, "deferred", "4.7.0", said(GMAIL, "421 4.7.0 Try again later")),
        delivery("gmail.com", GMAIL, "deferred", "4.7.650", said(GMAIL, "451 4.7.650 Try again later")),
        delivery("gmail.com", GMAIL, "deferred", "4.2.2", said(GMAIL, "452 4.2.2 mailbox full")),
        delivery("gmail.com", GMAIL, "bounced", "5.1.1", said(GMAIL, "550 5.1.1 no such user")),
        delivery("gmail.com", "none", "deferred", "4.4.1", "connect to x[192.0.2.1]:25: Connection timed out"),
        delivery("hotmail.com", OLC, "bounced", "5.7.1", said(OLC, BLOCKED)),
        delivery("hotmail.com", OLC, "deferred", "4.0.0", said(OLC, BLOCKED)),
        delivery("hotmail.com", OLC, "bounced", "5.7.1", said(OLC, "550 5.7.1 content refused")),
    ]
    assert days(lines) == {"google": [(0, 0, 3, 2, 0)], "outlook": [(0, 0, 1, 1, 1)]}


def test_a_receiver_is_counted_since_it_is_known():
    book = Book(None)
    lines = [delivery("gmail.com", GMAIL, ago=20 * 86400), delivery("gmail.com", GMAIL)]
    first = told(lines, book, ENTRIES[:3])
    assert [first[name]["since"] for name in ("google", "outlook")] == [NOW - 20 * 86400] * 2
    book.set_meta("position", {})
    later = told([], book, [*ENTRIES[:2], {"id": "google", "suffixes": [".l.google.com"]}, ENTRIES[3]])
    assert later["outlook"]["since"] == NOW - 20 * 86400
    assert (later["google"]["since"], later["yahoo"]["since"]) == (NOW, NOW)
    assert told([], book, ENTRIES[:2])["outlook"]["since"] == NOW - 20 * 86400


def test_without_receivers_nothing_is_counted():
    book = Book(None)
    assert told([delivery("gmail.com", GMAIL)], book, []) == {}
    assert book.db.execute("SELECT count(*) FROM receiver_days").fetchone() == (0,)


def domains(tmp_path: Path, lines: list[str]) -> dict[str, str]:
    book = Book(str(tmp_path / "book.db"))
    told(lines, book)
    book.commit()
    book.close()
    return receiving(str(tmp_path / "book.db"))


def test_a_domain_belongs_to_the_receiver_of_its_last_day(tmp_path):
    assert domains(
        tmp_path,
        [
            *[delivery("moved.test", MX365, ago=5 * 86400)] * 3,
            delivery("moved.test", "aspmx.l.google.com"),
            *[delivery("left.test", MX365, ago=5 * 86400)] * 3,
            delivery("left.test", "mx.left.test"),
            delivery("stays.test", MX365, ago=5 * 86400),
            delivery("both.test", "mx.both.test"),
            *[delivery("both.test", GMAIL)] * 2,
            delivery("filtered.test", "127.0.0.1", address="127.0.0.1"),
            delivery("filtered.test", GMAIL),
            *[delivery("theirs.test", "mx.theirs.test")] * 3,
            # An account that writes a server's name into an address does so less often than mail goes there.
            delivery("theirs.test", OLC),
        ],
    ) == {"moved.test": "google", "stays.test": "office365", "both.test": "google", "filtered.test": "google"}


@pytest.mark.parametrize(
    "domain",
    ["[192.0.2.1]", "nodot", "a b.test", "x\ty.test", "x.test\n*", "-a.test", "ümlaut.test", "*.test", "a..test", "a" * 250 + ".test"],
)
def test_what_is_no_name_of_dns_becomes_no_domain(tmp_path, domain):
    assert domains(tmp_path, [delivery(domain, GMAIL), delivery("good.test", GMAIL)]) == {"good.test": "google"}


def test_domains_are_bounded_and_those_of_receivers_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(receivers, "MAX_DOMAINS", 20)
    lines = [delivery(f"d{number}.test", GMAIL, ago=9 * 86400 - number) for number in range(10)]
    lines += [delivery(f"other{number}.test", f"mx.other{number}.test") for number in range(500)]
    assert len(domains(tmp_path, lines)) == 10
    lines = [delivery(f"e{number}.test", GMAIL) for number in range(30)]
    assert sorted({name[0] for name in domains(tmp_path, lines)}) == ["e"]


@pytest.mark.parametrize(
    "entry",
    [
        {}, {"id": "Google", "suffixes": [".google.com"]}, {"id": "a/b", "suffixes": [".google.com"]}, {"id": "g", "suffixes": []},
        {"id": "g", "suffixes": ["google.com"]}, {"id": "g", "suffixes": [".goo gle.com"]}, {"id": "g", "suffixes": ".google.com"},
    ],
)  # fmt: skip
def test_an_unusable_receiver_is_refused(entry):
    with pytest.raises(RepliesError, match="receiver"):
        Receivers([entry])

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sqlite3

from goodstanding_src.module_utils.goodstanding.maillog.book import MAX_HISTORIES, Book
from goodstanding_src.module_utils.goodstanding.maillog.counters import (
    FAILED_LOGINS,
    KINDS,
    MESSAGES,
    RECIPIENTS,
    SENT,
    UNKNOWN_RECIPIENTS,
    Account,
)

DAY = 86400.0
NOW = 20700 * DAY + 6 * 3600


def sent(*acts: tuple[float, int], client: str = "192.0.2.1") -> Account:
    """An account that sent so many recipients at these times."""
    account = Account()
    for time, recipients in acts:
        row = account.row(time)
        row[MESSAGES] += 1
        row[RECIPIENTS] += recipients
        row[SENT] += recipients
        account.value("clients", client, time)
    return account


def history(book: Book, name: str = "a") -> dict:
    found = book.accounts(NOW - DAY, NOW)[name]["history"]
    assert found is not None
    return found


def test_a_history_tells_hours_and_the_days_of_values():
    book = Book(None)
    account = sent((NOW - 20 * DAY, 3), (NOW - 20 * DAY + 1800, 4), (NOW - 60, 22))
    account.row(NOW - 60)[UNKNOWN_RECIPIENTS] += 2
    book.add({"a": account})
    first, second = int((NOW - 20 * DAY) // 3600), int((NOW - 60) // 3600)
    assert history(book) == {
        "seen": NOW - 20 * DAY,
        "hours": [[first, 7, 0, 7, NOW - 20 * DAY, NOW - 20 * DAY + 1800], [second, 22, 2, 22, NOW - 60, NOW - 60]],
        "days": {**{kind: {} for kind in KINDS}, "clients": {"192.0.2.1": [20680, 20700]}},
    }
    book.add({"a": sent((NOW - 5 * DAY, 1))})
    assert history(book)["days"]["clients"] == {"192.0.2.1": [20680, 20695, 20700]}


def test_days_do_not_come_back_when_their_bits_stand_for_others():
    book = Book(None)
    book.prune(NOW - 55 * DAY)
    book.add({"a": sent((NOW - 50 * DAY, 20), (NOW - 1 * DAY, 20))})
    book.prune(NOW - 28 * DAY)
    book.add({"a": sent((NOW, 20))})
    assert history(book)["days"]["clients"] == {"192.0.2.1": [20699, 20700]}
    book.prune(NOW + 100 * DAY)
    assert book.names() == set()


def test_only_notable_accounts_have_a_history():
    book = Book(None)
    book.add({"quiet": sent((NOW - 60, 19)), "notable": sent((NOW - 60, 20)), "week": sent((NOW - 3 * DAY, 49), (NOW - 60, 1))})
    assert {name for name, account in book.accounts(NOW - DAY, NOW).items() if account["history"]} == {"notable", "week"}
    book.add({f"user{number}": sent((NOW - 60, 20)) for number in range(MAX_HISTORIES + 50)})
    found = book.accounts(NOW - DAY, NOW)
    assert sum(account["history"] is not None for account in found.values()) == MAX_HISTORIES
    assert found["week"]["history"], "who sent most comes first"


def test_a_botnet_does_not_push_out_the_addresses_of_every_day():
    book = Book(None)
    book.add({"a": sent((NOW - 9 * DAY, 20), (NOW - 8 * DAY, 20), client="192.0.2.9")})
    for part in range(3):
        flood = Account()
        for number in range(KINDS["clients"]):
            flood.value("clients", f"198.18.{part}.{number}", NOW - 60)
        flood.row(NOW - 60)[RECIPIENTS] += 20
        book.add({"a": flood})
    days = history(book)["days"]["clients"]
    assert (len(days), days["192.0.2.9"]) == (KINDS["clients"], [20691, 20692])


def test_whom_strangers_only_guessed_at_was_not_there_yet():
    book = Book(None)
    guessed = Account()
    guessed.row(NOW - 20 * DAY)[FAILED_LOGINS] += 1
    book.add({"new": guessed})
    assert book.history("new")["seen"] is None
    book.add({"new": sent((NOW - 3600, 20))})
    assert book.history("new")["seen"] == NOW - 3600


def test_of_a_quiet_account_the_addresses_of_before_are_told():
    book = Book(None)
    book.add({"a": sent((NOW - 9 * DAY, 1), (NOW - 60, 1), client="192.0.2.9")})
    book.add({"a": sent((NOW - 60, 1), client="192.0.2.10")})
    account = book.accounts(NOW - DAY, NOW)["a"]
    assert (account["history"], account["known_clients"]) == (None, ["192.0.2.9"])


def test_a_first_reading_of_four_weeks_keeps_the_addresses_of_today():
    account = Account()
    account.value("clients", "192.0.2.1", NOW - 27 * DAY)
    for day in range(27, 0, -1):
        account.value("clients", "192.0.2.1", NOW - day * DAY)
        for number in range(40):
            account.value("clients", f"10.{day}.0.{number}", NOW - day * DAY + number)
    for number in range(200):
        account.value("clients", f"198.18.0.{number}", NOW - number)
    kept = {value for _, value in account.values}
    assert {f"198.18.0.{number}" for number in range(200)} < kept
    assert "192.0.2.1" in kept
    assert len(kept) == account.kinds["clients"] <= KINDS["clients"]


def test_a_botnet_of_one_day_is_counted_up_to_the_limit():
    account = Account()
    for number in range(900):
        account.value("clients", f"10.{number // 250}.0.{number % 250}", NOW - number)
    assert len(account.values) == account.kinds["clients"] == KINDS["clients"]


def test_messages_and_failed_logins_are_told_by_the_hour():
    book = Book(None)
    flood = sent((NOW - 2 * DAY, 20), (NOW - 7200, 30), (NOW - 60, 1), (NOW - 30, 1))
    flood.row(NOW - 7200)[FAILED_LOGINS] += 5
    book.add({"flood": flood, "quiet": sent((NOW - 60, 1)), "locked": sent((NOW - 50, 1))})
    found = book.accounts(NOW - DAY, NOW, also=["locked"])
    hour = int(NOW // 3600)
    assert book.hours(NOW - DAY) == [[hour - 2, 1, 5], [hour - 1, 4, 0]]
    assert found["flood"]["hours"] == [[hour - 2, 1, 5], [hour - 1, 2, 0]]
    assert (found["locked"]["hours"], found["quiet"]["hours"]) == ([[hour - 1, 1, 0]], None)


def test_when_the_last_message_was_accepted_is_remembered(tmp_path):
    path = str(tmp_path / "maillog.db")
    book = Book(path)
    book.add({"a": accepted(NOW - 120), "b": accepted(NOW - DAY)})
    book.add({"a": accepted(NOW - 3600), "c": sent((NOW - 60, 1))})
    book.commit()
    book.close()
    with sqlite3.connect(path) as db:
        assert dict(db.execute("SELECT account, last FROM accepted")) == {"a": NOW - 120, "b": NOW - DAY}
    book = Book(path)
    assert {name: row["last_accepted"] for name, row in book.accounts(NOW - 2 * DAY, NOW).items()} == {
        "a": NOW - 120, "b": NOW - DAY, "c": None,
    }  # fmt: skip
    book.prune(NOW - 3600)
    book.forget("a")
    assert book.db.execute("SELECT count(*) FROM accepted").fetchone() == (0,)


def test_a_book_of_before_knows_all_that_it_knew(tmp_path):
    path = str(tmp_path / "maillog.db")
    book = Book(path)
    book.add({"a": accepted(NOW - 120)})
    book.db.execute("DROP TABLE accepted")
    book.commit()
    book.close()
    found = Book(path).accounts(NOW - DAY, NOW)
    assert (found["a"]["messages"], found["a"]["last_accepted"]) == (1, None)


def accepted(time: float) -> Account:
    """An account whose last message was accepted then."""
    account = sent((time, 1))
    account.accepted = time
    return account

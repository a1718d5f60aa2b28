# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.feeds import feedback, snds
from goodstanding_src.module_utils.goodstanding.feeds.mailbox import Message
from goodstanding_src.module_utils.goodstanding.findings.document import open_points, start
from goodstanding_src.module_utils.goodstanding.findings.feeds import complained_accounts
from goodstanding_src.module_utils.goodstanding.findings.times import iso

sys.path.insert(0, str(Path(__file__).parent))
from answers import NOW, gathered, is_over, result, said

A, B, C = "198.51.100.11", "198.51.100.12", "198.51.100.13"
DATA = Path(__file__).parents[2] / "data/feedback"


def source(name: str, state: str = "current", account: str = "fleet", **fields: t.Any) -> dict:
    row = {"account": account, "source": name, "state": state, "why": None, "repair": None, "rows": 1, "bad_rows": 0, "unreadable": []}
    return {**row, **fields}


def judged(address: str, colour: str = "RED", rate: str = "< 0.1%", traps: int = 0, day: str = "11/23/2026") -> dict:
    text = f"{address},{day} 7:00 AM,{day} 7:00 PM,9,8,7,{colour},{rate},,,{traps},h,m,<script>"
    return {"account": "fleet", **snds.parse_data(text).rows[0]}


def abnormal(first: str, last: str, status: str = "blocked", account: str = "fleet") -> dict:
    return {"account": account, "first": first, "last": last, "status": status, "reason": "<b>spam"}


def asked(*sources: dict, addresses: t.Sequence[dict] = (), ranges: t.Sequence[dict] = (), known: dict | None = None):
    feeds = {"sources": list(sources), "addresses": list(addresses), "ranges": list(ranges)}
    return gathered(result(clean=[A, B, C]), snds=feeds, known=known)


def states(done) -> dict[str, str]:
    return {row["address"]: row["state"] for row in done.document["addresses"]}


BLOCKED = {(A, "snds:status", "blocked"): iso(NOW - 86400)}


@pytest.mark.parametrize(("status", "tier"), [("blocked", "A"), ("bot", "A"), ("junked", "B")])
def test_what_the_status_feed_names_is_listed(status, tier):
    done = asked(source("status link"), ranges=[abnormal("198.51.100.0", "198.51.100.11", status), abnormal(A, A, status)])
    assert states(done) == {A: "listed", B: "clean", C: "clean"}
    (row,) = done.document["observations"]
    assert (row["source"], row["tier"], row["codes"], row["scope"], row["hosts"]) == ("snds:status", tier, [status], "net", ["mx1"])
    assert (row["reason"], row["delisting"]["url"]) == ("<b>spam", "https://ask.test/")


def test_a_range_is_asked_of_the_fleet_only_and_families_do_not_mix():
    everything = [abnormal("1.0.0.0", "223.255.255.255"), abnormal("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "bot")]
    done = gathered(result(clean=[A, "2001:db8::25"]), snds={"sources": [], "addresses": [], "ranges": everything})
    assert [(row["subject"], row["codes"]) for row in done.document["observations"]] == [(A, ["blocked"]), ("2001:db8::25", ["bot"])]


@pytest.mark.parametrize(
    ("sources", "addresses", "state", "cleared"),
    [
        # The account is known to cover the address, and its status feed does not name it.
        ([source("status link"), source("data link")], [judged(A)], "clean", True),
        # The address is absent from the data: nobody knows whether the account covers it.
        ([source("status link"), source("data link")], [judged(B)], "unknown", False),
        ([source("status link", "expired", why="old"), source("data link")], [judged(A)], "unknown", False),
        ([source("status link", "failed", why="down"), source("data link")], [judged(A)], "unknown", False),
        ([source("status link", "no_data", why="quiet"), source("data link")], [judged(A)], "unknown", False),
        ([source("status link", account="other"), source("data link")], [judged(A)], "unknown", False),
        # A row that could not be read may be about it.
        (
            [source("status link", bad_rows=1, unreadable=[{"row": 2, "reason": "Suspended"}]), source("data link")],
            [judged(A)],
            "unknown",
            False,
        ),
    ],
)
def test_only_the_feed_itself_ends_a_block_that_it_showed(sources, addresses, state, cleared):
    done = asked(*sources, addresses=addresses, known=BLOCKED)
    assert states(done)[A] == state
    assert is_over(done, A, "snds:status", next(iter(BLOCKED))[2]) is cleared
    # Who was never named there is not made unknown by a silent feed, nor clean.
    assert states(asked(*sources, addresses=addresses))[A] == "clean"
    assert ("snds:status" in {row["address"]: row["clean"] for row in done.document["addresses"]}[A]) is cleared


def test_without_snds_in_the_inventory_nothing_is_waited_for():
    assert states(gathered(result(clean=[A]), known=BLOCKED)) == {A: "clean"}


@pytest.mark.parametrize(
    ("row", "words", "bad"),
    [
        (
            judged(A, "RED"),
            "red: more than 90 % of 8 messages judged spam; complaints below 0.1 %; 2026-11-23T07:00 to 2026-11-23T19:00",
            True,
        ),
        (judged(A, "YELLOW"), "yellow: 10 to 90 %", True),
        (judged(A, "GREEN"), "green: less than 10 %", False),
        (judged(A, "GREEN", "0.4%"), "complaints 0.4 %", True),
        (judged(A, "GREEN", "0.2%"), "complaints 0.2 %", False),
        (judged(A, "GREEN", traps=2), "2 messages to spam traps", True),
        (judged(A, "GREEN", "", day="x"), "judged spam; time not given", False),
    ],
)
def test_what_microsoft_makes_of_an_address_is_told_and_decides_nothing(row, words, bad):
    done = asked(source("data link"), addresses=[judged(A, "GREEN", day="11/22/2026"), row, judged("198.51.100.99")])
    assert states(done)[A] == "clean"
    (told,) = (
        [each for each in done.document["observations"] if each["source"] == "snds"] if row["start"] else [done.document["observations"][0]]
    )
    if row["start"]:
        assert words in told["meanings"][0]
        assert (told["outcome"], bool(told["repair"]), told["reason"]) == ("score", bad, "<script>")


def points(done) -> list[tuple[str, str]]:
    document = {**start("r", "i", "observe", False, NOW), **done.document}
    return [(row["severity"], row["what"]) for row in open_points(document, [], 5)]


def test_what_is_bad_or_broken_is_left_to_somebody():
    done = asked(
        source("data link", bad_rows=2, unreadable=[{"row": 3, "reason": "no address"}]),
        source("status link", "expired", why="the link is 40 days old", repair="Make a new one."),
        addresses=[judged(A)],
    )
    assert points(done) == [
        ("warning", f"Microsoft SNDS of {A}: {done.document['observations'][0]['meanings'][0]}"),
        ("warning", "Microsoft SNDS, fleet: status link: the link is 40 days old"),
        ("info", "Microsoft SNDS, fleet: data link: 2 of its rows could not be read: no address"),
    ]
    assert points(asked(source("data link"), addresses=[judged(A, "GREEN")])) == []


def test_a_module_that_failed_is_told():
    done = gathered(
        result(clean=[A]), snds={"failed": True, "msg": "accounts: x"}, complaints={"mx1": {"failed": True, "msg": "no mailbox"}}
    )
    assert [what for _, what in points(done)] == ["Microsoft SNDS: accounts: x", "complaints on mx1: no mailbox"]


def mailbox(*names: str) -> dict:
    trust = feedback.Trust("mx1.example.test", feedback.REPORTERS, ("X-Authenticated-Sender",))
    found = feedback.collect([Message(name, (DATA / f"{name}.eml").read_bytes(), "") for name in names], trust)
    return {**found, **feedback.summary(found["reports"], trust)}


def test_complaints_are_one_row_for_an_address_and_a_provider_with_the_accounts_behind_them():
    senders = [{"prize-0001@alpha.test": {"account": "eve@alpha.test"}}, {}]
    boxes = {"mx1": mailbox("yahoo", "microsoft_redacted", "generic"), "mx2": mailbox("yahoo", "aol")}
    done = gathered(result(clean=[A, B]), complaints=boxes, senders=senders)
    rows = {row["source"]: row for row in done.document["observations"]}
    assert {source: row["meanings"] for source, row in rows.items()} == {
        "complaints:aol": ["1 complaints, 1 of them authentic; 2026-11-20T20:12 to 2026-11-20T20:12"],
        "complaints:microsoft": ["1 complaints, 1 of them authentic; 2026-11-23T08:55 to 2026-11-23T08:55; sent by mallory@alpha.test (1)"],
        "complaints:yahoo": ["2 complaints, 2 of them authentic; 2026-11-23T15:34 to 2026-11-23T15:34; sent by eve@alpha.test (2)"],
    }
    assert rows["complaints:yahoo"]["qualified_by"]["mailbox"] == "mx1, mx2"
    assert (states(done), done.document["feeds"][0]["rows"]) == ({A: "clean", B: "clean"}, 3)
    counted = complained_accounts({"complaints": boxes, "senders": senders})
    assert counted == {"mallory@alpha.test": 1, "eve@alpha.test": 2}


def test_a_complaint_that_is_not_authentic_names_no_account_and_asks_for_nothing():
    box = mailbox("yahoo")
    for report in box["reports"]:
        report.update(trusted=False, account=None)
    done = gathered(result(clean=[A]), complaints={"mx1": box}, senders=[{"prize-0001@alpha.test": {"account": "eve@alpha.test"}}])
    (row,) = done.document["observations"]
    assert (row["tier"], row["repair"], row["meanings"][0].partition(";")[0]) == ("D", None, "1 complaints, 0 of them authentic")
    assert "eve" not in str(row)
    assert complained_accounts({"complaints": {"mx1": box, "mx2": {"failed": True}}}) == {}


def test_a_listing_elsewhere_stays_a_listing():
    feeds = {"sources": [source("status link")], "addresses": [judged(A)], "ranges": []}
    assert states(gathered(result(said(A)), snds=feeds)) == {A: "listed"}

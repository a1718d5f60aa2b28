# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.triage import signals
from goodstanding_src.module_utils.goodstanding.triage.verdict import VerdictError, judge

NOW = 1795500000.0  # 2026-11-24T06:00:00Z, a Tuesday
BEGIN = NOW - 86400
THIS = int(NOW // 3600) - 3  # 03:00, within the window
TODAY = THIS // 24
USER = "a@alpha.test"
OWN = "192.0.2.1"


def work(days: int = 28, recipients: int = 10, hours=(8, 9, 15), unknown: int = 0) -> list[list[int]]:
    """The hours of an account that sends so many recipients at these hours of each day, until two days ago."""
    return [
        [
            (TODAY - day) * 24 + hour,
            recipients,
            unknown,
            recipients,
            ((TODAY - day) * 24 + hour) * 3600,
            ((TODAY - day) * 24 + hour) * 3600 + 3000,
        ]
        for day in range(days, 1, -1)
        for hour in hours
    ]


def now(recipients: int, unknown: int = 0, minutes: int = 40, hour: int = THIS) -> list[int]:
    return [hour, recipients, unknown, recipients, hour * 3600, hour * 3600 + 60 * minutes]


def seen(*values: str, days=range(2, 28)) -> dict[str, list[int]]:
    return {value: [TODAY - day for day in days] for value in values}


def account(*hours, past=None, clients=(OWN,), days=None, since_days: float = 28, **fields) -> dict:
    """An account as mail_log_info tells of it; hours: those of the window; past: those before; days: of values, by kind."""
    past = work() if past is None else past
    recipients = sum(hour[1] for hour in hours)
    unknown = sum(hour[2] for hour in hours)
    kinds = {kind: {} for kind in ("clients", "senders", "failed_clients", "login_clients")}
    kinds.update({"clients": seen(OWN), "senders": seen(USER)} if days is None else days)
    told = {
        "messages": recipients, "recipients": recipients, "sent": recipients - unknown, "bounced": unknown, "unknown_recipients": unknown,
        "peak_hour_recipients": max((hour[1] for hour in hours), default=0), "clients": list(clients), "clients_at_least": len(clients),
        "first": NOW - 7200, "last": NOW - 60, "evidence": [{"kind": "client", "line": "a line"}],
        "history": {"seen": NOW - since_days * 86400, "hours": [*past, *hours], "days": kinds},
    }  # fmt: skip
    return {**told, **fields}


def log(since_days: float = 28, refusals=(), **accounts: dict) -> dict:
    named = {name if ":" in name else f"{name}@alpha.test": counters for name, counters in accounts.items()}
    span = {"first": BEGIN, "last": NOW, "since": NOW - since_days * 86400}
    return {"complete": True, "gaps": [], "span": span, "accounts": named, "refusals": list(refusals)}


def of(counters: dict, since_days: float = 28, **options) -> dict | None:
    """The row of one account, or None."""
    rows = judge({"mx1": log(since_days, a=counters)}, NOW, **options)["accounts"]
    return rows[0] if rows else None


def verdict(counters: dict, since_days: float = 28, **options) -> tuple[str | None, set[str]]:
    row = of(counters, since_days, **options)
    return (row["verdict"], {signal["family"] for signal in row["signals"]}) if row else (None, set())


def many(count: int, networks: int = 1) -> list[str]:
    return [f"198.18.{number % networks}.{number // networks}" for number in range(count)]


FAILED = {"failed_logins": 340, "failed_clients": many(30, 30), "failed_clients_at_least": 30}
MISTYPED = {**FAILED, "failed_clients": [OWN], "failed_clients_at_least": 1}
ALIASES = [f"a@x{number}" for number in range(6)]
USUAL = 9 + 24 * (TODAY - 1)  # nine in the morning of yesterday, within the window


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        # Volume: floors and the account's own past.
        (account(now(20, hour=USUAL)), (None, set())),
        (account(now(100, hour=USUAL)), (None, set())),
        (account(now(101, hour=USUAL)), ("suspect", {"volume"})),
        (account(now(1500, hour=USUAL), past=work(recipients=600)), (None, set())),
        (account(now(2000, hour=USUAL), past=work(recipients=600)), ("suspect", {"volume"})),
        (account(*[now(60, hour=USUAL + hour) for hour in range(6)], past=work(hours=range(8, 18))), ("suspect", {"volume"})),
        # Recipients that do not exist: floor, share, and its own share.
        (account(now(60, 25, hour=USUAL)), ("suspect", {"recipients"})),
        (account(now(60, 24, hour=USUAL)), (None, set())),
        (account(now(400, 30, hour=USUAL)), ("suspect", {"volume"})),
        (account(now(101, 30, hour=USUAL)), ("compromised", {"volume", "recipients"})),
        (account(now(200, 26, hour=USUAL), past=work(recipients=100, unknown=7)), (None, set())),
        (account(now(200, 29, hour=USUAL), past=work(recipients=100, unknown=7)), ("suspect", {"recipients"})),
        (account(now(200, 30, hour=USUAL), past=work(recipients=100, unknown=40)), ("suspect", {"recipients"})),
        # Spread: networks tell, addresses of one network only beside another family.
        (account(now(20, hour=USUAL), clients=many(5, 5)), (None, set())),
        (account(now(20, hour=USUAL), clients=many(7, 7)), ("suspect", {"spread"})),
        (account(now(20, hour=USUAL), clients=many(7, 7), days={"clients": seen(*many(3, 3))}), (None, set())),
        (account(now(200, hour=USUAL), clients=many(9, 1)), ("suspect", {"spread", "volume"})),
        (account(now(200, hour=USUAL), clients=many(7, 7)), ("compromised", {"spread", "volume"})),
        # Failed logins: from strange addresses, and mail from a new one.
        (account(now(20, hour=USUAL), **FAILED), (None, set())),
        (account(now(20, hour=USUAL), clients=("198.18.99.1",), **FAILED), ("suspect", {"credentials"})),
        (account(now(200, hour=USUAL), clients=("198.18.99.1",), **FAILED), ("compromised", {"credentials", "volume"})),
        (account(now(20, hour=USUAL), clients=("198.18.99.1",), **MISTYPED), (None, set())),
        (account(clients=("198.18.99.1",), **{**FAILED, "messages": 0}), (None, set())),
        (account(now(20, hour=USUAL), clients=("198.18.99.1",), days={"failed_clients": seen(*many(12, 12))}, **FAILED), (None, set())),
        # Senders, the first mail ever, hours, refusals, complaints.
        (account(now(20, hour=USUAL), senders=[f"s{n}@x" for n in range(6)]), ("suspect", {"senders"})),
        (account(now(20, hour=USUAL), senders=ALIASES, days={"senders": seen(*ALIASES)}), (None, set())),
        (account(now(19, hour=USUAL), past=[]), (None, set())),
        (account(now(20, hour=USUAL), past=[]), ("suspect", {"first"})),
        (account(now(20)), ("suspect", {"hours"})),
        (account(now(19)), (None, set())),
        (account(now(20), now(21, hour=USUAL)), (None, set())),
        (account(now(20, hour=USUAL), reputation_refusals=500), (None, set())),
        (account(now(900, hour=USUAL), reputation_refusals=500), ("suspect", {"volume", "reputation"})),
        (account(now(60, 25, hour=USUAL), reputation_refusals=5), ("compromised", {"recipients", "reputation"})),
    ],
)  # fmt: skip
def test_families(counters, expected):
    assert verdict(counters) == expected


def test_complaints_count_beside_another_family():
    assert verdict(account(now(60, 25, hour=USUAL)), complaints={USER: 3}) == ("compromised", {"recipients", "complaints"})
    assert verdict(account(now(60, 25, hour=USUAL)), complaints={USER: 2}) == ("suspect", {"recipients"})


def test_a_journey_shows_in_two_ways_and_is_one():
    away = account(now(30), clients=many(7, 7))
    assert verdict(away) == ("suspect", {"spread", "hours"})
    others = account(now(20, hour=USUAL), reputation_refusals=6)
    listed = judge({"mx1": log(a={**away, "reputation_refusals": 5}, b=others)}, NOW)["accounts"]
    assert [(row["account"], row["verdict"]) for row in listed] == [(USER, "suspect")], "a listed server's mail is refused whoever sends it"
    assert verdict({**away, "reputation_refusals": 5})[0] == "compromised"


def test_guesses_and_a_hotel_in_another_time_zone_are_a_journey():
    guessed = {"failed_logins": 6, "failed_clients": many(6, 6), "failed_clients_at_least": 6}
    assert verdict(account(now(25), clients=("203.0.113.9",), **guessed)) == ("suspect", {"credentials", "hours"})


def test_another_address_of_the_same_network_is_not_new():
    assert verdict(account(now(160, hour=USUAL), clients=("192.0.2.77",), **FAILED)) == ("suspect", {"volume"})
    mistyped = {"failed_logins": 9, "failed_clients": ["192.0.2.70", "192.0.2.71", "192.0.2.72"], "failed_clients_at_least": 3}
    assert verdict(account(now(20, hour=USUAL), clients=("198.18.99.1",), **mistyped)) == (None, set())


def test_what_a_host_cannot_keep_any_more_is_judged_by_its_last_days():
    """Under heavy guessing, and with a sender address for each message, the values of three weeks ago are gone."""
    guesses = {address: [TODAY - 2 - number // 40] for number, address in enumerate(many(100, 100))}
    few = {"failed_logins": 60, "failed_clients": many(60, 60), "failed_clients_at_least": 60}
    usual = account(now(20, hour=USUAL), clients=("203.0.113.9",), days={"failed_clients": guesses}, **few)
    assert verdict(usual) == (None, set())
    verp = {f"b{number}@alpha.test": [TODAY - 2 - number // 100] for number in range(300)}
    posts = account(now(20, hour=USUAL), senders=[f"c{number}@alpha.test" for number in range(100)], days={"senders": verp})
    assert verdict(posts) == (None, set())


def test_what_another_host_knows_of_an_account_that_is_quiet_there():
    guessed = account(clients=(), days={}, messages=0, **{**FAILED, "recipients": 0, "sent": 0})
    at_home = account(now(2, hour=USUAL), history=None, known_clients=[OWN])
    assert judge({"mx1": log(a=guessed), "mx2": log(a=at_home)}, NOW)["accounts"] == []
    away = account(now(2, hour=USUAL), clients=("203.0.113.9",), history=None, known_clients=[OWN])
    assert [row["verdict"] for row in judge({"mx1": log(a=guessed), "mx2": log(a=away)}, NOW)["accounts"]] == ["suspect"]


def test_names_that_were_too_many_to_count_are_nobody():
    logs = {"mx1": {**log(), "accounts": {"(others)": account(now(9000, 4000))}}}
    assert judge(logs, NOW)["accounts"] == []


@pytest.mark.parametrize(("log_days", "own_days"), [(13, 28), (28, 13)])
def test_volume_alone_never_counts_where_the_past_is_not_known(log_days, own_days):
    assert verdict(account(now(9000, hour=USUAL), since_days=own_days), log_days) == (None, set())
    loud = account(now(9000, 4000, hour=USUAL), since_days=own_days)
    assert verdict(loud, log_days) == ("compromised", {"volume", "recipients"})
    assert "how much is normal for it is not known" in of(loud, log_days)["sentence"]
    # And without a past nobody knows which hours or addresses are unusual.
    assert verdict(account(now(60), past=[], since_days=own_days), log_days) == (None, set())


def test_a_drip_below_all_daily_floors_is_seen_in_a_week():
    """Six recipients an hour, one in seven unknown, for a week: a day of it is nothing."""
    drip = [now(6, 1 if hour % 7 else 0, hour=THIS - hour) for hour in range(7 * 24)]
    inside = [hour for hour in drip if hour[0] * 3600 >= BEGIN]
    counters = account(*inside, past=[*work(21), *[hour for hour in drip if hour not in inside]])
    row = of(counters)
    assert (row["verdict"], {signal["family"] for signal in row["signals"]} >= {"volume", "recipients"}) == ("compromised", True)
    assert "recipients in 7 days (its normal: " in row["sentence"]


def test_a_break_in_that_began_days_ago_does_not_become_normal():
    loud = [now(800, hour=THIS - 24 * day) for day in range(1, 6)]
    assert verdict(account(now(800), past=[*work(), *loud]))[1] >= {"volume", "hours"}


def test_the_sentence():
    counters = account(
        now(9288, 4737, hour=USUAL), past=work(recipients=12), clients=[f"198.18.{n % 61}.{n}" for n in range(212)], **FAILED,
        days={"clients": seen("192.0.2.1", "192.0.3.1")},
    )  # fmt: skip
    assert of(counters)["sentence"] == (
        "a@alpha.test sent 9,288 recipients in 40 min (its normal: 12 an hour), 51 % unknown users, from 212 addresses in 61 networks "
        "(its normal: 2), after 340 failed logins from 30 addresses."
    )
    (volume, *_) = of(counters)["signals"]
    assert {**volume, "text": ""} == {
        "family": "volume", "weight": 1, "figure": 9288, "normal": 12, "threshold": 100, "text": "", "evidence": ["a line"],
    }  # fmt: skip


def test_a_burst_is_told_by_its_own_time():
    counters = account(now(40, hour=USUAL - 3), *[now(500, hour=USUAL + hour, minutes=59) for hour in range(3)])
    assert "sent 1,500 recipients in 3 h (its normal: 10 an hour)" in of(counters)["sentence"]


def test_hosts_are_added_up():
    half = account(now(60, 15, hour=USUAL))
    assert verdict(half) == (None, set())
    both = judge({"mx1": log(a=half), "mx2": log(a=half)}, NOW)["accounts"]
    assert [(row["account"], row["verdict"], row["hosts"]) for row in both] == [(USER, "compromised", ["mx1", "mx2"])]


def test_what_hosts_tell_without_history_is_added_up_too():
    half = account(now(300, 45, hour=USUAL), history=None)
    rows = judge({"mx1": log(a=half), "mx2": log(a=half)}, NOW)["accounts"]
    assert [(row["verdict"], len(row["signals"])) for row in rows] == [("compromised", 2)]


def test_addresses_of_hosts_are_joined_not_added():
    one = account(now(10, hour=USUAL), clients=many(6, 6))
    assert judge({"mx1": log(a=one), "mx2": log(a=one)}, NOW)["accounts"] == []


def test_only_addresses_that_nobody_else_used_are_the_attackers():
    shared, own = many(1)[0], many(12, 12)
    attacked = account(now(300, 150, hour=USUAL), clients=[*own, shared])
    rows = judge({"mx1": log(a=attacked, b=account(now(1), clients=[shared]))}, NOW)["accounts"]
    assert [(row["account"], row["clients"]) for row in rows] == [(USER, sorted(set(own) - {shared}))]


def test_a_local_user_is_one_of_its_host():
    script = account(now(400, 100, hour=USUAL), clients=())
    rows = judge({"mx1": log(**{"uid:33": script}), "mx2": log(**{"uid:33": account(now(5, hour=USUAL))})}, NOW)["accounts"]
    assert [(row["account"], row["kind"], row["verdict"]) for row in rows] == [("uid:33@mx1", "uid", "compromised")]
    assert rows[0]["sentence"].startswith(
        "The local user 33 of mx1 sent 400 recipients in 40 min (its normal: 10 an hour), 25 % unknown users"
    )


def test_nobody_logs_in_as_a_local_user():
    typed = account(now(20, hour=USUAL), clients=many(9, 9), **FAILED)
    assert judge({"mx1": log(**{"uid:33": typed})}, NOW)["accounts"] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "relay:internet",
            "mx1 relayed for clients on the internet that did not log in (an open relay, unless it is a gateway): it sent 900",
        ),
        ("relay:10.1.2.3", "mx1 relayed for 10.1.2.3, which needs no login (mynetworks): it sent 900 recipients"),
    ],
)
def test_a_relay_that_needs_no_login_is_found(name, words):
    rows = judge({"mx1": log(**{name: account(now(900, 300, hour=USUAL))})}, NOW)["accounts"]
    assert [(row["kind"], row["verdict"]) for row in rows] == [("relay", "compromised")]
    assert rows[0]["sentence"].startswith(words)


REFUSED = {"about": "address", "count": 40, "accepted": None}


def test_forwarding_and_backscatter_are_causes_and_nobody_is_to_be_locked():
    spoiled = account(now(300, 200, hour=USUAL), reputation_refusals=30)
    found = judge({"mx1": log(refusals=[REFUSED], **{"forward:old@alpha.test": spoiled, "backscatter:": spoiled})}, NOW)
    assert found["accounts"] == []
    assert [(cause["kind"], cause["host"]) for cause in found["causes"]] == [("forward", "mx1"), ("backscatter", "mx1")]
    assert "mx1 forwards mail of old@alpha.test to the outside" in found["causes"][0]["text"]


def test_nobody_at_all_is_said_with_where_else_to_look():
    found = judge({"mx1": {**log(refusals=[REFUSED]), "complete": False}, "mx2": log(refusals=[{**REFUSED, "accepted": NOW}])}, NOW)
    assert [(cause["kind"], cause["host"]) for cause in found["causes"]] == [("nobody", "mx1")]
    assert "40 times" in found["causes"][0]["text"]
    assert "not complete" in found["causes"][0]["text"]
    named = judge({"mx1": log(refusals=[REFUSED], a=account(now(900, 300, hour=USUAL)))}, NOW)
    assert named["causes"] == []


def test_countries_new_to_the_account():
    countries = {OWN: "DE", "198.18.0.1": "BR", "198.18.0.2": "VN"}
    counters = account(now(200, hour=USUAL), clients=list(countries))
    assert verdict(counters) == ("suspect", {"volume"})
    row = of(counters, country=countries.get)
    assert (row["verdict"], [signal["text"] for signal in row["signals"]][1]) == (
        "compromised", "from 3 addresses in 2 networks (its normal: 1), BR, VN among them",
    )  # fmt: skip
    at_home = account(now(200, hour=USUAL), clients=list(countries), days={"clients": seen(*countries)})
    assert verdict(at_home, country=countries.get) == ("suspect", {"volume"})


def test_hosts_that_say_too_little_are_unknown():
    result = judge({"mx1": {"failed": True, "msg": "down"}, "mx2": {**log(), "complete": False, "gaps": ["a hole"]}}, NOW)
    assert result["unknown_hosts"] == [{"host": "mx1", "reason": "down"}, {"host": "mx2", "reason": "the log is not complete: a hole"}]


@pytest.mark.parametrize(("expires", "expected"), [("2026-11-24", "exempt"), ("2026-11-23", "compromised")])
def test_exemptions_expire(expires, expected):
    loud = account(now(900, 300, hour=USUAL))
    row = of(loud, exempt=[{"account": "A@Alpha.test", "reason": "newsletter", "expires": expires}])
    assert (row["verdict"], "(exempt: newsletter)" in row["sentence"]) == (expected, expected == "exempt")


def test_a_local_user_is_exempt_on_its_host_or_on_all():
    for name in ("uid:33", "uid:33@mx1"):
        exempt = [{"account": name, "reason": "monitoring", "expires": "2026-12-01"}]
        rows = judge({"mx1": log(**{"uid:33": account(now(900, hour=USUAL))})}, NOW, exempt=exempt)["accounts"]
        assert [row["verdict"] for row in rows] == ["exempt"]


def test_the_surest_comes_first():
    loud = account(now(900, hour=USUAL), clients=many(9, 9))
    rows = judge({"mx1": log(a=account(now(20, hour=USUAL), clients=many(9, 9)), b={**loud, "reputation_refusals": 9}, c=loud)}, NOW)[
        "accounts"
    ]
    assert [row["account"][0] for row in rows] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thresholds": {"recipents": 1}}, "no threshold is named 'recipents'"),
        ({"thresholds": {"unknown_recipients": "many"}}, "unknown_recipients is 'many': it must be a number"),
        ({"exempt": [{"account": "a", "expires": "2026-12-01"}]}, "the exemption 'a' lacks reason"),
        ({"exempt": [{"account": "a", "reason": "r", "expires": "soon"}]}, "write the day as YYYY-MM-DD"),
    ],
)
def test_bad_input_is_named(options, words):
    with pytest.raises(VerdictError, match=words):
        judge({}, NOW, **options)


def test_the_defaults_tell_every_threshold_as_it_is():
    text = (Path(__file__).parents[3] / "roles/abuse_triage/defaults/main.yml").read_text(encoding="utf-8")
    told = {name: float(value) for name, value in re.findall(r"^#   (\w+): ([\d.]+) ", text, re.MULTILINE)}
    assert told == signals.THRESHOLDS


def test_numbers_at_the_limit_of_a_host_are_told_as_at_least():
    assert "from at least 500 addresses" in of(account(now(600, 200, hour=USUAL), clients=many(500, 50)))["sentence"]

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts at the edges of what tests/integration/test_scenarios.py stages, told with the same servers' kept lines and without the lab."""

from __future__ import annotations

import datetime
import json
import sys
import typing as t
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.maillog.book import Book
from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog
from goodstanding_src.module_utils.goodstanding.triage.verdict import judge

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "integration"))
import scenarios
from lab import HOSTS, ROOT
from scenarios import DAY, HOUR, NOW, Act, Entry, Scenario, days, spread

SAMPLE = ROOT / "tests/data/maillog/labelled"
MIDNIGHT = NOW - NOW % DAY
CUTS = {host: scenarios.cut(scenarios.parse((SAMPLE / f"{host}.log").read_text(encoding="utf-8"))) for host in HOSTS}
ACTS = [
    {**act, "source": act["client"], "secret": "guess" if act["result"] == "login_failed" else "pw"}
    for act in json.loads((SAMPLE / "acts.json").read_text(encoding="utf-8"))
]


def acts(scenario: str, largest: int = 1000, smallest: int = 0, result: str = "accepted") -> list[Act]:
    return [
        act for act in ACTS if act["scenario"] == scenario and act["result"] == result and smallest <= act["recipients"] <= largest
    ]  # fmt: skip


def home(scenario: str) -> list[Act]:
    """Return what the owner sends at home."""
    return [act for act in acts(scenario, largest=5) if act["client"].startswith("203.0.113.")]


def verdicts(*parts: list[Entry]) -> dict[str, str]:
    """Return the verdict on each account that has one, from logs that hold these acts at these times."""
    told = Scenario("", "", (), None, "", [entry for part in parts for entry in part])
    logs: dict[str, dict[str, t.Any]] = {}
    for host, lines in scenarios.compose(told, CUTS).items():
        log = MailLog(NOW, NOW - 28 * DAY, book=Book(None))
        # The log is known since four weeks, also where nobody sent then.
        log.feed(f"{datetime.datetime.fromtimestamp(NOW - 28 * DAY, datetime.timezone.utc).isoformat()} mx postfix/qmgr[1]: quiet")
        log.feed_lines(lines)
        logs[host] = log.result(NOW - DAY)
    return {row["account"]: row["verdict"] for row in judge(logs, NOW)["accounts"]}


def repeated(some: list[Act], times: int) -> list[Act]:
    return [some[number % len(some)] for number in range(times)]


DRIP = acts("slow drip", smallest=6)
FLOOD = acts("flood", smallest=20)
GUESSES = acts("flood", result="login_failed")
# One in five of its recipients is unknown, which is far too few for a signal: only where and when it was sent counts here.
JOURNEY = [act for act in acts("botnet", smallest=5) if act["client"].startswith("198.18.")]
APP = acts("app password", smallest=12)
RELAYED = acts("open relay")


def test_the_sample_has_what_these_tests_tell():
    assert (len(DRIP), len(FLOOD), len(GUESSES), len(APP), len(RELAYED)) == (1, 1, 4, 1, 1)
    assert len({act["client"].rpartition(".")[0] for act in JOURNEY}) == 6


@pytest.mark.parametrize("hours", [1, 20, 50, 144])
def test_a_flood_that_ended_within_the_week(hours):
    told = spread(repeated(FLOOD, 160), NOW - (hours + 1) * HOUR, NOW - hours * HOUR)
    assert verdicts(days(home("flood")), told) == {"mallory@alpha.test": "compromised"}


def test_a_slow_botnet_over_five_days():
    told = [entry for day in range(5) for entry in spread(repeated(JOURNEY, 24), MIDNIGHT - day * DAY + 8 * HOUR, NOW - day * DAY - HOUR)]
    assert verdicts(days(home("botnet")), told) == {"alice@alpha.test": "compromised"}


def test_a_slow_drip_of_a_week():
    told = [(NOW - 7 * DAY + hour * HOUR + 900, DRIP[0]) for hour in range(7 * 24)]
    assert verdicts(days(home("slow drip")), told) == {"bob@alpha.test": "compromised"}


@pytest.mark.parametrize("since", [27, 20])
def test_a_slow_drip_that_began_before_anybody_looked(since):
    told = [(NOW - since * DAY + hour * HOUR + 900, DRIP[0]) for hour in range(since * 24)]
    assert verdicts(days(home("slow drip")), told).get("bob@alpha.test") in ("suspect", "compromised")


def test_a_young_account_that_sends_much_is_seen():
    # What is much for it nobody knows; a person looks.
    told = spread(repeated(APP, 60), NOW - 5 * HOUR, NOW - 60)
    assert verdicts(days(home("app password"), first=10), told).get("erin@alpha.test") in ("suspect", "compromised")


def test_an_open_relay_that_is_used_slowly():
    told = spread(repeated(RELAYED, 400), NOW - 10 * HOUR, NOW - 60)
    assert verdicts(told) == {"relay:internet@mx1": "compromised"}


def test_guessing_at_an_account_whose_owner_sends_as_usual():
    assert verdicts(days(home("flood")), spread(GUESSES * 3, NOW - 6 * HOUR, NOW - 5 * HOUR)) == {}


def test_a_journey_of_seven_networks_in_the_working_day_is_not_enough_to_lock():
    told = spread(JOURNEY, MIDNIGHT + 8 * HOUR, MIDNIGHT + 17 * HOUR)
    assert verdicts(days(home("botnet")), told) in ({}, {"alice@alpha.test": "suspect"})


def test_a_journey_of_seven_networks_in_another_time_zone():
    told = spread(JOURNEY, MIDNIGHT - 4 * HOUR, MIDNIGHT - HOUR)
    assert verdicts(days(home("botnet")), told).get("alice@alpha.test") != "compromised"

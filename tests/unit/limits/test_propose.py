# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime

import pytest
from goodstanding_src.module_utils.goodstanding.findings.times import iso
from goodstanding_src.module_utils.goodstanding.limits.policy import Limit, PolicyError
from goodstanding_src.module_utils.goodstanding.limits.propose import Rule, percentile, propose, rule_of, spans_of, spans_told
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = 1795500000.0  # 2026-11-24T06:00:00Z
DAY = 86400
TODAY = int(NOW // DAY)
USER = "a@alpha.test"
RULE = Rule(floor={"minute": 20, "hour": 60, "day": 200}, ceiling={"minute": 400, "hour": 1200, "day": 5000})
WHOLE = 20  # of 28 days: whole ones, and the last week and the last day are no past


def work(recipients: int = 14, days=range(28, 0, -1), hours=(8, 9, 15)) -> list[list[int]]:
    """The hours of an account that sends so many recipients at these hours, so many days ago."""
    return [[(TODAY - day) * 24 + hour, recipients, 0, recipients, 0, 0] for day in days for hour in hours]


def account(hours, seen_days: float = 40, **fields) -> dict:
    history = {"seen": NOW - seen_days * DAY, "hours": hours, "days": {}} if hours is not None else None
    return {"recipients": sum(hour[1] for hour in hours or []), "history": history, **fields}


def log(since_days: float = 28, **accounts) -> dict:
    return {"complete": True, "span": {"since": NOW - since_days * DAY}, "accounts": accounts}


def of(hours, since_days: float = 28, rule: Rule = RULE, spans=(), **fields):
    """The proposal of one account, or why there is none."""
    found = propose({"mx1": log(since_days, **{USER: account(hours, **fields)})}, NOW, rule, {USER: spans})
    return found.proposed.get(USER) or found.none.get(USER)


@pytest.mark.parametrize(
    ("hours", "minute", "hour", "day"),
    [
        (
            work(14),
            "an hour's mail may be one message: 1 x 99th percentile hour: 14, floor 20 -> 20",
            "3 x 99th percentile hour of 20 days: 3 x 14 = 42, floor 60 -> 60",
            "3 x 99th percentile day of 20 days: 3 x 42 = 126, floor 200 -> 200",
        ),
        (
            work(100),
            "an hour's mail may be one message: 1 x 99th percentile hour: 100",
            "3 x 99th percentile hour of 20 days: 3 x 100 = 300",
            "3 x 99th percentile day of 20 days: 3 x 300 = 900",
        ),
        # Within the ceiling it sends freely, three times that is above.
        (
            work(800),
            "an hour's mail may be one message: 1 x 99th percentile hour: 800, ceiling 400 -> 400",
            "3 x 99th percentile hour of 20 days: 3 x 800 = 2400, ceiling 1200 -> 1200",
            "3 x 99th percentile day of 20 days: 3 x 2400 = 7200, ceiling 5000 -> 5000",
        ),
        # A letter to a list on each Tuesday: hours without mail count for nothing.
        (
            work(500, range(28, 0, -7), (9,)),
            "an hour's mail may be one message: 1 x 99th percentile hour: 500, ceiling 400 -> 400",
            "3 x 99th percentile hour of 20 days: 3 x 500 = 1500, ceiling 1200 -> 1200",
            "3 x 99th percentile day of 20 days: 3 x 500 = 1500",
        ),
        # Of a hundred hours and more the busiest one in a hundred is left out, of few days none.
        (
            [*work(10, hours=range(6)), *work(500, [20], (23,))],
            "an hour's mail may be one message: 1 x 99th percentile hour: 10, floor 20 -> 20",
            "3 x 99th percentile hour of 20 days: 3 x 10 = 30, floor 60 -> 60",
            "3 x 99th percentile day of 20 days: 3 x 560 = 1680",
        ),
    ],
)
def test_a_limit_and_its_reason(hours, minute, hour, day):
    found = of(hours)
    assert found.why[:3] == (f"minute: {minute}", f"hour: {hour}", f"day: {day}")
    said = [int(line.split()[-1]) for line in found.why[:3]]
    assert list(found.limit.soft.values()) == said
    assert found.limit.hard == {window: min(2 * size, RULE.ceiling[window]) for window, size in found.limit.soft.items()}
    assert found.decide == ""


SHORT, SHORT_CLEAN = "its past is shorter than 14 days", "its past without the known break-in is shorter than 14 days"


@pytest.mark.parametrize(
    ("hours", "options", "reason"),
    [
        (work(), {"since_days": 10}, SHORT),
        (work(), {"seen_days": 10}, SHORT),
        (work(), {"seen_days": 15}, SHORT),
        (work(), {"seen_days": 16}, None),
        (work(), {"since_days": 16}, None),
        (work(), {"rule": RULE._replace(days=WHOLE)}, None),
        (work(), {"spans": [(NOW - 15 * DAY, NOW)]}, SHORT_CLEAN),
        (work(), {"spans": [(NOW - 12 * DAY, NOW)]}, None),
        (work(days=[2]), {}, "it sent nothing in its past"),
        (None, {"recipients": 5000}, "no host told its past (each tells that of 1000 accounts)"),
        (None, {"recipients": 20}, "no host told its past (each tells that of 1000 accounts)"),
    ],
)
def test_no_proposal_and_why(hours, options, reason):
    found = of(hours, **options)
    assert found == reason if reason else found.limit.soft["hour"] == 60


@pytest.mark.parametrize(
    ("hours", "decide"),
    [
        (work(1200, hours=(9,)), ""),
        (work(1201, hours=(9,)), "its usual busy hour has 1201 recipients, above the ceiling of 1200"),
        (work(1000, hours=range(6)), "its usual busy day has 6000 recipients, above the ceiling of 5000"),
        (
            work(9000, hours=(9,)),
            "its usual busy hour has 9000 recipients, above the ceiling of 1200; "
            "its usual busy day has 9000 recipients, above the ceiling of 5000",
        ),
    ],
)
def test_who_is_above_the_ceiling_is_to_be_decided(hours, decide):
    found = of(hours)
    assert found.decide == decide
    assert found.limit.soft["hour"] == found.limit.hard["hour"] == 1200


BREAK_IN = work(5000, [12, 11], range(24))
IN_HAND = [(TODAY * DAY - 13 * DAY, TODAY * DAY - 10 * DAY)]


def test_a_known_break_in_is_left_out():
    usual = of(work(100)).limit
    assert of([*work(100), *BREAK_IN]).limit.soft["hour"] == 1200
    cleaned = of([*work(100), *BREAK_IN], spans=IN_HAND)
    assert cleaned.limit == usual
    assert cleaned.why[1] == "hour: 3 x 99th percentile hour of 17 days: 3 x 100 = 300"
    assert cleaned.why[-1] == "hours of a known break-in are left out"
    twice = of([*work(100), *BREAK_IN], spans=[*IN_HAND, *IN_HAND, (0, 1)])
    assert twice == cleaned


def test_the_last_week_is_no_past():
    assert of([*work(100), *work(5000, range(7, 0, -1), range(24))]).limit == of(work(100)).limit
    # Of who is known for 16 days alone it is all there is.
    assert of([*work(100), *work(5000, [4])], seen_days=16).limit.soft["hour"] == 1200


def test_two_runs_of_a_day_say_the_same():
    def at(later):
        logs = {"mx1": log(28, **{USER: account(work(100))})}
        logs["mx1"]["span"]["since"] += later
        return propose(logs, NOW + later, RULE, {})

    assert at(0) == at(17 * 3600)
    assert at(0) != at(0)._replace(quiet=1)


def test_hosts_are_one_fleet():
    logs = {f"mx{number}": log(**{USER: account(work(50))}) for number in (1, 2)}
    logs["mx3"] = {"failed": True, "msg": "down"}
    assert propose(logs, NOW, RULE, {}).proposed[USER].limit == of(work(100)).limit


def test_who_gets_none():
    logs = {
        "mx1": log(**{
            "uid:33": account(work(100)), "relay:internet": account(work(100)), "(others)": account(work(100)),
            "a b": account(work(100)), "x\n@y": account(work(100)), "goodstanding-canary": account(work(100)),
            "little@alpha.test": account(None, recipients=19), "reader@alpha.test": account(None, recipients=0),
        })
    }  # fmt: skip
    found = propose(logs, NOW, RULE, {})
    assert found.proposed == {}
    assert set(found.none) == {"a b", "x\n@y", "goodstanding-canary"}
    assert set(found.none.values()) == {"its name cannot be given to an engine"}
    assert found.quiet == 1


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 99, 0), ([7], 99, 7), (range(1, 101), 99, 99), (range(1, 101), 100, 100), (range(1, 102), 99, 100), ([5, 1, 3], 50, 3)],
)
def test_percentile(values, share, expected):
    assert percentile(values, share) == expected


def test_ordinals_and_factors_that_are_no_whole_number():
    found = of(work(100), rule=RULE._replace(percentile=92.5, factor=1.1, hard=1.5))
    assert found.why[1] == "hour: 1.1 x 92.5th percentile hour of 20 days: 1.1 x 100 = 110"
    assert found.limit.hard["hour"] == 165
    assert "51st percentile" in of(work(100), rule=RULE._replace(percentile=51)).why[0]


def test_a_day_has_no_less_than_an_hour():
    found = of([*work(1, [20, 19, 18], (9,)), *work(100, [17], range(10))], rule=RULE._replace(percentile=50))
    assert found.why[1:3] == (
        "hour: 3 x 50th percentile hour of 20 days: 3 x 100 = 300",
        "day: 3 x 50th percentile day of 20 days: 3 x 1 = 3, no less than the hour -> 300",
    )
    assert found.limit.soft == {"minute": 100, "hour": 300, "day": 300}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"percentile": 49}, "percentile is 49: expected 50 to 100"),
        ({"percentile": float("nan")}, "percentile is nan"),
        ({"factor": 0.5}, "factor is 0.5: expected 1 to 100"),
        ({"hard": 0.5}, "hard_factor is 0.5"),
        ({"days": 60}, "days is 60: expected 1 to 52"),
        ({"floor": {"hour": 5000}}, "floor, soft: the hour, 5000, is above the day, 300"),
        ({"floor": {"hour": 2000, "day": 2000}}, "the floor of the hour, 2000, is above the ceiling, 1200"),
        ({"ceiling": {"day": 20}}, "ceiling, soft: the minute, 400, is above the day, 20"),
        ({"ceiling": {"week": 20}}, "ceiling, soft has 'week'"),
        ({"floor": {"hour": "60"}}, "floor, soft, hour is '60': expected a whole number"),
    ],
)
def test_a_rule_that_cannot_be_used(options, message):
    usual = {"percentile": 99, "factor": 3, "floor": {}, "ceiling": {}, "days": 14, "hard": 2}
    assert rule_of(**usual) == Rule()
    assert rule_of(**{**usual, "floor": {"hour": 60}}).floor == {"minute": 50, "hour": 60, "day": 300}
    with pytest.raises(PolicyError, match=message):
        rule_of(**{**usual, **options})


# ---- break-ins


def found_by(days_ago: float, *names, locked=None, looked=True, verdict="compromised") -> dict:
    rows = [{"account": name, "verdict": verdict, "locked_at": iso(NOW - locked * DAY) if locked else None} for name in names]
    return {
        "run": {"started": iso(NOW - days_ago * DAY)},
        "hosts": [{"log": {"kind": "file"}} if looked else {"log": None}],
        "accounts": rows,
    }


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], []),
        ([found_by(9, USER, verdict="suspect")], []),
        ([found_by(9, USER, locked=8.9)], [(16, 8.9)]),
        # Nobody locked it: up to now, or to the run that finds it no more.
        ([found_by(9, USER)], [(16, 0)]),
        ([found_by(9, USER), found_by(8, USER), found_by(7)], [(16, 7)]),
        ([found_by(9, USER), found_by(7, looked=False)], [(16, 0)]),
        ([found_by(9, USER), found_by(7, USER, verdict="reinstated", looked=False)], [(16, 7)]),
        ([found_by(20, USER, locked=20), found_by(5, USER, locked=5)], [(27, 20), (12, 5)]),
        ([found_by(9, "b@alpha.test")], []),
    ],
)
def test_what_runs_found(runs, expected):
    found = spans_of(runs, NOW).get(USER, [])
    assert [(round((NOW - begin) / DAY, 3), round((NOW - end) / DAY, 3)) for begin, end in found] == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"account": " A@alpha.test", "since": "2026-11-01", "until": "2026-11-02"}, ("2026-11-01", "2026-11-03")),
        ({"account": USER, "since": datetime.date(2026, 11, 24)}, ("2026-11-24", None)),
        ({"account": USER, "since": "2026-11-02", "until": "2026-11-01"}, "entry 1 of incidents: until is before since"),
        ({"account": USER, "since": "yesterday"}, "since is 'yesterday': expected a day as YYYY-MM-DD"),
        ({"account": USER}, "since is 'None'"),
        ({"since": "2026-11-02"}, "expected {account: NAME"),
        ({"account": USER, "since": "2026-11-02", "why": "x"}, "expected {account: NAME"),
        ("x", "expected {account: NAME"),
    ],
)
def test_what_the_administrator_tells(row, expected):
    if isinstance(expected, str):
        with pytest.raises(PolicyError, match=expected):
            spans_told([row], NOW)
        return
    ((begin, end),) = spans_told([row], NOW)[USER]
    assert iso(begin).startswith(f"{expected[0]}T00:00:00")
    assert iso(end).startswith(f"{expected[1]}T00:00:00") if expected[1] else end == NOW


# ---- what holds of every history

HOURS = st.dictionaries(st.integers((TODAY - 28) * 24, (TODAY - 1) * 24), st.integers(1, 3000), min_size=1, max_size=40)
RULES = st.builds(
    lambda share, factor, hard, low, high: Rule(
        share, factor, dict(zip(("minute", "hour", "day"), sorted(low))),
        {window: most + size for window, most, size in zip(("minute", "hour", "day"), sorted(low), sorted(high))}, 1, hard,
    ),
    st.sampled_from([50, 90, 99, 100]), st.sampled_from([1, 1.5, 3]), st.sampled_from([1, 2]),
    st.lists(st.integers(1, 500), min_size=3, max_size=3), st.lists(st.integers(0, 5000), min_size=3, max_size=3),
)  # fmt: skip


def rows(hours: dict[int, int]) -> list[list[int]]:
    return [[hour, recipients, 0, 0, 0, 0] for hour, recipients in hours.items()]


@settings(max_examples=60, deadline=None)
@given(HOURS, RULES, st.dictionaries(st.integers(0, 39), st.integers(0, 5000), max_size=40))
def test_a_limit_stays_in_its_bounds_and_grows_with_the_past(hours, rule, more):
    found = of(rows(hours), rule=rule)
    greater = of(rows({hour: size + more.get(number, 0) for number, (hour, size) in enumerate(hours.items())}), rule=rule)
    if isinstance(found, str):
        assert found == greater
        return
    for window in ("minute", "hour", "day"):
        for half in ("soft", "hard"):
            size, larger = getattr(found.limit, half)[window], getattr(greater.limit, half)[window]
            assert rule.floor[window] <= size <= larger <= rule.ceiling[window]
        assert found.limit.hard[window] >= found.limit.soft[window]
    for half in found.limit:
        assert list(half.values()) == sorted(half.values())
    assert isinstance(found.limit, Limit)

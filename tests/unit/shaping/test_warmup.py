# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A warm-up never sends more than before, never rises on a day that is not clean, and holds where nothing is known."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.shaping.settings import DAY, delay
from goodstanding_src.module_utils.goodstanding.shaping.warmup import (
    DONE,
    LISTED,
    WARMING,
    Day,
    Observation,
    Settings,
    State,
    decide,
    first,
)
from hypothesis import given, settings
from hypothesis import strategies as st

BEGAN = 20_000
WEEK = tuple(Day(BEGAN - 7 + number, sent) for number, sent in enumerate((900, 1000, 1100, 200, 150, 1000, 1300)))
SPAM = {"zen.spamhaus.org (198.51.100.11)": BEGAN}
PLAN = Settings()


def seen(*days: Day, listed: dict | None = None, since: int | None = BEGAN - 20) -> Observation:
    return Observation((*WEEK, *days), since, listed or {})


def warming(allowed: int = 250, day: int = BEGAN + 5, before: int = 1000) -> State:
    return State(WARMING, BEGAN, before, allowed, day, ())


def story(*steps: tuple[int, Observation], plan: Settings = PLAN) -> list[tuple[str, int | None]]:
    state, found = None, []
    for today, observation in steps:
        state, step, why = decide(state, observation, today, plan)
        assert why
        found.append((step, state.allowed if state else None))
    return found


def test_a_whole_warm_up():
    steps = [(BEGAN, seen(listed=SPAM)), (BEGAN + 1, seen(listed=SPAM)), (BEGAN + 2, seen(Day(BEGAN + 1, 0, 0, 300)))]
    days = [Day(BEGAN + 2 + number, 100) for number in range(9)]
    steps += [(BEGAN + 3 + number, seen(*days[: number + 1])) for number in range(8)]
    assert story(*steps) == [
        ("wait", None), ("wait", None), ("start", 250), ("hold", 250), ("rise", 375), ("rise", 562), ("rise", 843), ("rise", 1000),
        ("done", None), ("none", None), ("none", None),
    ]  # fmt: skip


def test_two_runs_a_day_make_one_step():
    state = decide(warming(), seen(Day(BEGAN + 6, 100)), BEGAN + 7, PLAN).state
    again = decide(state, seen(Day(BEGAN + 6, 100)), BEGAN + 7, PLAN)
    assert (again.step, again.state) == ("hold", state)
    assert state.allowed == 375


@pytest.mark.parametrize(
    ("day", "step"),
    [
        (Day(BEGAN + 6, 980, 20), "rise"), (Day(BEGAN + 6, 979, 20), "hold"), (Day(BEGAN + 6, 0, 1), "hold"),
        (Day(BEGAN + 6, 5000, 0, 1), "hold"),
        (Day(BEGAN + 6), "hold"), (Day(BEGAN + 7, 500), "hold"), (Day(BEGAN + 5, 500), "hold"),
    ],
)  # fmt: skip
def test_a_day_is_clean_by_its_own_figures(day, step):
    assert decide(warming(), seen(day), BEGAN + 7, PLAN).step == step


def test_several_days_without_a_run_make_one_step_and_one_bad_one_none():
    clean = [Day(BEGAN + 6 + number, 200) for number in range(4)]
    assert decide(warming(), seen(*clean), BEGAN + 10, PLAN).state.allowed == 375
    bad = [*clean[:3], Day(BEGAN + 9, 97, 3)]
    held = decide(warming(), seen(*bad), BEGAN + 10, PLAN)
    assert (held.step, held.state.allowed, held.state.day) == ("hold", 250, BEGAN + 9)
    assert "3.0 % of a day put off" in held.why


def test_a_new_listing_steps_back_once_and_one_that_goes_on_holds():
    back = decide(warming(843), seen(Day(BEGAN + 6, 500), listed=SPAM), BEGAN + 7, PLAN)
    assert (back.step, back.state.allowed) == ("step_back", 562)
    on = decide(back.state, seen(Day(BEGAN + 6, 500), listed=SPAM), BEGAN + 8, PLAN)
    assert (on.step, on.state.allowed) == ("hold", 562)
    other = decide(on.state, seen(listed={**SPAM, "b.barracudacentral.org": BEGAN + 8}), BEGAN + 9, PLAN)
    assert (other.step, other.state.allowed) == ("step_back", 374)
    low = decide(warming(250), seen(listed=SPAM), BEGAN + 9, PLAN)
    assert (low.step, low.state.allowed) == ("step_back", 250)


def test_what_is_not_known_holds():
    nothing = Observation(None, None, {}, "the log was not read")
    asked = Observation((*WEEK, Day(BEGAN + 6, 100)), BEGAN - 20, None, "every list was silent")
    young = seen(Day(BEGAN + 6, 100), since=BEGAN + 7)
    for observation, why in ((nothing, "not read"), (asked, "silent"), (young, "does not reach back")):
        held = decide(warming(), observation, BEGAN + 7, PLAN)
        assert (held.step, held.state.allowed) == ("hold", 250)
        assert why in held.why
    listed = State(LISTED, BEGAN, 1000, None, BEGAN, ("x",))
    assert decide(listed, asked, BEGAN + 7, PLAN).state == listed
    assert decide(None, asked, BEGAN + 7, PLAN) == (None, "none", "every list was silent")


def test_too_short_a_past_gives_no_rate_until_somebody_says_one():
    state = decide(None, seen(listed=SPAM, since=BEGAN - 3), BEGAN, PLAN).state
    assert state.before is None
    held = decide(state, seen(since=BEGAN - 3), BEGAN + 1, PLAN)
    assert (held.step, held.state.allowed) == ("hold", None)
    assert "rate_limit_warmup_volumes" in held.why
    assert decide(held.state, seen(since=BEGAN - 3), BEGAN + 2, PLAN, told=400).state.allowed == 100
    assert decide(held.state, seen(since=BEGAN - 4), BEGAN + 2, PLAN).state.allowed == 150


@pytest.mark.parametrize(("before", "allowed"), [(0, 0), (1, 1), (49, 49), (51, 50), (200, 50), (400, 100), (10**7, 2_500_000)])
def test_the_first_day(before, allowed):
    assert first(before, PLAN) == allowed
    if not before:
        assert decide(State(LISTED, BEGAN, 0, None, BEGAN, ()), seen(), BEGAN + 1, PLAN).state.phase == DONE


def test_a_delay_never_lets_more_through_than_was_allowed():
    assert [delay(number) for number in (1, 50, 1000, 43200, 43201, 86399, 86400, 86401)] == [86400, 1728, 87, 2, 2, 2, 1, 0]
    assert all(DAY // delay(number) <= number for number in range(1, DAY + 1))


PLANS = st.builds(Settings, start=st.floats(0.01, 1), factor=st.floats(1.01, 10), put_off=st.floats(0, 0.5), floor=st.integers(1, 5000))
DAYS = st.builds(lambda sent, put_off, refused: (sent, put_off, refused), st.integers(0, 10**6), st.integers(0, 500), st.integers(0, 3))


@settings(max_examples=300)
@given(
    plan=PLANS,
    before=st.integers(0, 10**7),
    days=st.lists(st.tuples(DAYS, st.sampled_from(["", "", "", "a", "b", "ab", None, "unread"]), st.integers(0, 3)), max_size=30),
)
def test_never_above_the_volume_before_and_never_up_without_a_clean_day(plan, before, days):
    """days: of each what was delivered, what listed the host ('a', 'b'; None: unknown; 'unread': no log), and how often a run was made."""
    state, log = State(LISTED, BEGAN, before, None, BEGAN, ()), [Day(BEGAN, before)]
    for number, ((sent, put_off, refused), listed, runs) in enumerate(days):
        today = BEGAN + 1 + number
        for _ in range(runs):
            names = None if listed is None else {} if listed == "unread" else dict.fromkeys(listed, BEGAN)
            was = state
            state, step, _why = decide(was, Observation(None if listed == "unread" else tuple(log), BEGAN - 30, names), today, plan)
            assert state is not None
            assert state.before == was.before or was.phase == DONE
            if state.phase == WARMING:
                assert 1 <= state.allowed <= before
                assert state.day >= was.day
            if was.phase != WARMING or state.phase not in (WARMING, DONE):
                continue
            judged = [day for day in log if was.day < day.day < today]
            clean = (
                names == {} and listed != "unread" and sum(day.sent for day in judged) > 0 and not any(day.refused for day in judged)
                and all(day.put_off <= plan.put_off * (day.put_off + day.sent) for day in judged)
            )  # fmt: skip
            up = state.phase == DONE or state.allowed > was.allowed
            assert clean or not up
            assert not up or step in ("rise", "done")
            assert up or step in ("hold", "step_back")
            if names and not set(names) <= set(was.listings):
                assert step == "step_back"
                assert state.allowed <= was.allowed
        log.append(Day(today, sent, put_off, refused))

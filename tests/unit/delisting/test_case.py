# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.delisting import case as cases
from goodstanding_src.module_utils.goodstanding.delisting.case import CLEAN, LISTED, SILENT, Asked, CaseError, Gate, Seen, Way, look
from goodstanding_src.module_utils.goodstanding.findings.ended import DOES_NOT, HOLDS, UNKNOWN
from hypothesis import given, settings
from hypothesis import strategies as st

DAY = 86400.0
T0 = 1_760_000_000.0
WAY = Way(pause=60.0, quiet=DAY, cool_down=7 * DAY, answer=3 * DAY)
NAMES = ("outbreak", "account", "queue", "limits", "fcrdns", "helo", "spf", "dkim", "dmarc")
OPEN_GATES = {name: Gate(HOLDS, "") for name in NAMES}
NAMED = Seen(LISTED, ("zen.spamhaus.org",), ("127.0.0.4",))
GONE = Seen(CLEAN)
MUTE = Seen(SILENT, why="SERVFAIL")
QUOTED = Seen(LISTED, ("zen.spamhaus.org",), ("554",), "zen.spamhaus.org: servfail", quoted=True)


def step(case, seen, now, gates=OPEN_GATES, way=WAY, asked=None):
    return look(case, "198.51.100.11", "zen.spamhaus.org", seen, way, gates, asked or Asked(now, now), now)


def at(state, now=T0 + 2 * DAY):
    """Return a case in a state."""
    case = step(None, NAMED, T0).case
    if state == cases.GATED:
        return case
    case = step(case, NAMED, now).case
    assert case.state == cases.READY
    if state == cases.READY:
        return case
    case = cases.submit(case, WAY, "by a person", now).case
    return case if state == cases.SUBMITTED else step(case, NAMED, now + 120).case


def test_a_case_goes_from_the_first_sight_to_its_end():
    assert at(cases.GATED).id == "zen.spamhaus.org/198.51.100.11"
    assert cases.QUIET in at(cases.GATED).closed
    case = at(cases.WAITING)
    assert (case.state, case.requests) == (cases.WAITING, 1)
    now = case.ask_at
    first = step(case, GONE, now)
    assert (first.case.state, [event.kind for event in first.events]) == (cases.WAITING, ["clean"])
    assert step(first.case, GONE, now + 59).case.state == cases.WAITING  # the same answer out of a cache
    last = step(first.case, GONE, now + 60)
    assert (last.case.state, [event.kind for event in last.events]) == (cases.CLEARED, ["cleared"])


def test_what_is_clean_before_the_ttl_is_over_does_not_count():
    case = at(cases.WAITING)
    assert step(case, GONE, case.ask_at - 1).case.clean_at is None


def test_the_same_findings_read_twice_are_one_answer():
    case = at(cases.WAITING)
    old = Asked(case.ask_at + 10, case.ask_at + 40)
    first = step(case, GONE, old.until, asked=old).case
    assert (first.clean_at, first.ask_at, first.judged) == (old.until, old.until + 60, old.until)
    again = step(first, GONE, first.ask_at + 3600, asked=old)
    assert (again.case.state, again.case.clean_at, again.case.judged) == (cases.WAITING, first.clean_at, first.judged)
    assert step(again.case, GONE, again.case.seen, asked=Asked(first.ask_at, first.ask_at + 30)).case.state == cases.CLEARED


def test_an_answer_is_as_old_as_the_findings_that_hold_it():
    case = at(cases.WAITING)
    assert step(case, GONE, case.ask_at + DAY, asked=Asked(case.ask_at - 1, case.ask_at + 600)).case.clean_at is None
    opened = step(None, NAMED, T0, asked=Asked(T0 - 900, T0 - 300)).case
    assert (opened.hit, opened.ask_at, opened.opened) == (T0 - 300, T0 - 240, T0)
    new = NAMED._replace(codes=("127.0.0.2",))
    assert step(opened, new, T0 + DAY, asked=Asked(T0 + 60, T0 + 90)).case.hit == T0 + 90


def test_older_findings_change_nothing_and_open_nothing_anew():
    case = at(cases.WAITING)
    case = step(case, NAMED, case.seen + 7200).case
    assert step(case, GONE, case.seen + 60, asked=Asked(case.judged - 60, case.judged - 1)) == cases.Decision(case, ())
    case = step(case, GONE, case.ask_at).case
    case = step(case, GONE, case.ask_at).case
    for until in (case.judged, case.judged - 60):
        assert step(case, NAMED, case.seen + 3600, asked=Asked(until - 60, until)) == cases.Decision(case, ())


def test_the_gates_of_the_same_findings_grow_old():
    case, stale = at(cases.READY), {**OPEN_GATES, "outbreak": Gate(UNKNOWN, "the findings are old")}
    assert step(case, NAMED, case.seen + DAY, stale, asked=Asked(case.judged, case.judged)).case.state == cases.GATED


def test_a_request_expires_only_by_an_answer_of_after_its_time():
    case = at(cases.WAITING)
    late = case.submitted_at + WAY.answer + 60
    assert step(case, NAMED, late, asked=Asked(case.judged, case.judged)).case.state == cases.WAITING
    assert step(case, NAMED, late, asked=Asked(late - 120, late)).case.state == cases.WAITING
    assert step(case, NAMED, late, asked=Asked(late - 60, late)).case.state == cases.EXPIRED


def test_findings_of_times_to_come_are_not_judged():
    case = at(cases.WAITING)
    decision = step(case, GONE, case.ask_at, asked=Asked(case.ask_at + 3600, case.ask_at + 3700))
    assert (decision.case, [event.kind for event in decision.events]) == (case, ["clock"])
    assert step(None, NAMED, T0, asked=Asked(T0 + 3600, T0 + 3700)) == cases.Decision(None, ())


def test_a_listing_that_nobody_names_opens_nothing():
    assert step(None, GONE, T0).case is None
    assert step(None, MUTE, T0).case is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", [UNKNOWN, DOES_NOT])
def test_each_gate_alone_keeps_it_closed(name, state):
    case = step(at(cases.GATED), NAMED, T0 + 2 * DAY, {**OPEN_GATES, name: Gate(state, "why")}).case
    assert (case.state, list(case.closed)) == (cases.GATED, [name])
    assert step(at(cases.READY), NAMED, T0 + 3 * DAY, {**OPEN_GATES, name: Gate(state, "why")}).case.state == cases.GATED


def test_no_gate_at_all_is_no_open_gate():
    assert step(at(cases.READY), NAMED, T0 + 3 * DAY, {}).case.state == cases.GATED


def test_a_silent_list_closes_the_gate_and_says_why():
    decision = step(at(cases.READY), MUTE, T0 + 3 * DAY)
    assert (decision.case.state, decision.case.frozen) == (cases.GATED, "SERVFAIL")
    assert "SERVFAIL" in decision.case.closed[cases.NAMED].why
    assert step(decision.case, NAMED, T0 + 3 * DAY + 90).case.state == cases.READY


def test_refusals_that_quote_a_list_open_a_case_and_do_not_speak_for_one_that_the_list_named():
    case = step(None, QUOTED, T0).case
    assert (case.state, case.codes) == (cases.GATED, ("554",))
    case = step(case, QUOTED, T0 + 2 * DAY).case
    assert (case.state, case.frozen) == (cases.READY, "")
    case = step(case, NAMED, T0 + 3 * DAY).case
    for hours in (1, 30, 60):
        decision = step(case, QUOTED, T0 + 3 * DAY + hours * 3600)
        assert (decision.case.frozen, decision.case.codes, decision.case.hit) == (QUOTED.why, case.codes, case.hit)
        assert "servfail" in decision.case.closed[cases.NAMED].why
        case = decision.case
    back = step(case, NAMED, T0 + 6 * DAY)
    assert (back.case.state, [event.kind for event in back.events]) == (cases.READY, ["state"]), "that it answers again is no new hit"


@pytest.mark.parametrize("first", [NAMED, QUOTED])
def test_refusals_that_quote_a_list_open_nothing_again_that_the_list_closed(first):
    case = step(None, first, T0).case
    for _ in range(2):
        case = step(case, GONE, case.ask_at).case
    assert case.state == cases.CLEARED
    decision = step(case, QUOTED, case.seen + 3600)
    assert (decision.case.state, decision.case.relisted, decision.events) == (cases.CLEARED, 0, ())


def test_a_clean_answer_before_its_time_says_nothing_and_the_gates_are_judged_all_the_same():
    way, now = WAY._replace(pause=10800.0), T0 + 2 * DAY
    case = step(step(None, NAMED, T0, way=way).case, NAMED, now, way=way).case
    assert case.state == cases.READY
    outbreak = {**OPEN_GATES, "outbreak": Gate(DOES_NOT, "a new one")}
    spoiled = step(case, GONE, now + 3600, outbreak, way=way).case
    assert (spoiled.state, list(spoiled.closed), spoiled.clean_at) == (cases.GATED, ["outbreak"], None)
    frozen = step(step(case, MUTE, now + 60, way=way).case, GONE, now + 3600, way=way).case
    assert (frozen.state, list(frozen.closed)) == (cases.GATED, [cases.NAMED]), "an old answer does not say that the list names it"


def test_clean_is_twice_in_a_row():
    case = at(cases.WAITING)
    case = step(case, GONE, case.ask_at).case
    case = step(case, MUTE, case.ask_at + 10).case
    case = step(case, GONE, case.ask_at + 20).case
    assert case.state == cases.WAITING
    assert step(case, GONE, case.ask_at).case.state == cases.CLEARED


def test_it_comes_back_with_a_back_off_that_grows():
    case, waits = at(cases.READY), []
    for _ in range(3):
        case = step(case, GONE, case.ask_at).case
        case = step(case, GONE, case.ask_at).case
        assert case.state == cases.CLEARED
        decision = step(case, NAMED, case.seen + 100)
        case = decision.case
        assert decision.events[0].kind == "relisted"
        assert case.state == cases.GATED
        waits.append(case.not_before - case.seen)
    assert waits == [7 * DAY, 14 * DAY, 28 * DAY]
    assert step(case, NAMED, case.not_before - 1).case.state == cases.GATED
    assert step(case, NAMED, case.not_before).case.state == cases.READY


def test_a_request_without_effect_ends_and_a_later_one_is_possible():
    case = at(cases.WAITING)
    ended = step(case, NAMED, case.submitted_at + 3 * DAY)
    assert (ended.case.state, ended.events[0].kind) == (cases.EXPIRED, "expired")
    assert step(ended.case, NAMED, case.submitted_at + 7 * DAY - 1).case.state == cases.EXPIRED
    assert step(ended.case, NAMED, case.submitted_at + 7 * DAY).case.state == cases.READY


def test_a_refusal_of_the_operator_waits_longer_each_time():
    case = at(cases.WAITING)
    no = cases.refused(case, WAY, "not qualified for mitigation", case.seen + 10).case
    assert (no.state, no.not_before) == (cases.REFUSED, case.seen + 10 + 7 * DAY)
    again = step(no, NAMED, no.not_before).case
    asked = cases.submit(again, WAY, "by a person", no.not_before).case
    assert cases.refused(asked, WAY, "", asked.seen).case.not_before == asked.seen + 14 * DAY
    with pytest.raises(CaseError, match="nobody asked"):
        cases.refused(no, WAY, "", no.seen)


@pytest.mark.parametrize("state", [cases.GATED, cases.SUBMITTED, cases.WAITING])
def test_only_what_is_ready_is_submitted_and_once(state):
    with pytest.raises(CaseError, match=r"already|not ready"):
        cases.submit(at(state), WAY, "by a person", T0 + 4 * DAY)


def test_a_person_opens_gates_for_a_reason_and_it_is_shown():
    case = at(cases.GATED)
    with pytest.raises(CaseError, match="reason"):
        cases.override(case, "  ", T0)
    decision = cases.override(case, "the operator said so on the phone", T0 + 10)
    assert decision.case.state == cases.READY
    assert decision.events[0].why == "quiet: the operator said so on the phone"
    assert step(decision.case, NAMED, T0 + 70).case.state == cases.READY
    # What closes later is not what the person spoke of.
    assert step(decision.case, NAMED, T0 + 70, {**OPEN_GATES, "spf": Gate(UNKNOWN, "")}).case.state == cases.GATED
    assert cases.submit(decision.case, WAY, "x", T0 + 80).case.override is None


def test_nothing_is_asked_of_a_list_that_may_not_name_it():
    with pytest.raises(CaseError, match="SERVFAIL"):
        cases.override(step(at(cases.READY), MUTE, T0 + 3 * DAY).case, "I want it", T0 + 3 * DAY)


def test_a_request_that_was_made_is_recorded_whatever_the_list_says_since():
    case = step(at(cases.READY), MUTE, T0 + 3 * DAY).case
    made = cases.override(case, "filled in on Monday", T0 + 3 * DAY + 60, made=True)
    asked = cases.submit(made.case, WAY, "by a person", T0 + 3 * DAY + 60).case
    assert (asked.state, asked.requests, made.events[0].why) == (cases.SUBMITTED, 1, "named: filled in on Monday")
    assert step(asked, NAMED, T0 + 4 * DAY).case.state == cases.WAITING


def test_an_entry_that_ends_by_itself_gets_a_date_and_is_never_ready():
    way = WAY._replace(asked_by="nobody", expires=DAY)
    case = step(None, NAMED, T0, way=way).case
    assert (case.state, case.expected, case.requests) == (cases.WAITING, T0 + DAY, 0)
    later = step(case, NAMED._replace(codes=("127.0.0.4", "127.0.0.5")), T0 + 3600, way=way).case
    assert later.expected == T0 + 3600 + DAY
    case = step(step(later, GONE, later.ask_at, way=way).case, GONE, later.ask_at + 60, way=way)
    assert (case.case.state, case.events[-1].why.endswith("by itself, nobody asked")) == (cases.CLEARED, True)


def test_where_only_the_provider_may_ask():
    way = WAY._replace(asked_by="provider")
    case = step(None, NAMED, T0, way=way).case
    assert case.state == cases.PROVIDER_ONLY
    with pytest.raises(CaseError, match="quiet"):
        cases.submit(case, way, "told to the provider", T0)
    told = step(case, NAMED, T0 + 2 * DAY, way=way).case
    asked = cases.submit(told, way, "told to the provider", T0 + 2 * DAY).case
    assert asked.state == cases.SUBMITTED
    opened = cases.override(case, "the provider asked for it", T0 + 60).case
    assert (opened.state, opened.closed) == (cases.PROVIDER_ONLY, {})
    assert cases.submit(opened, way, "told to the provider", T0 + 60).case.state == cases.SUBMITTED


def test_the_pause_between_requests_holds_for_a_provider_too():
    way = WAY._replace(asked_by="provider")
    case = step(None, NAMED, T0, way=way).case
    case = step(step(case, GONE, case.ask_at, way=way).case, GONE, case.ask_at + 60, way=way).case
    case = step(case, NAMED, T0 + 2 * DAY, way=way).case
    case = step(case, NAMED, T0 + 4 * DAY, way=way).case
    assert (case.state, list(case.closed)) == (cases.PROVIDER_ONLY, [cases.COOL_DOWN])
    with pytest.raises(CaseError, match="cool_down"):
        cases.submit(case, way, "told to the provider", T0 + 4 * DAY)


@pytest.mark.parametrize("state", [cases.REFUSED, cases.EXPIRED])
def test_what_came_too_early_is_overridden_right_after_a_request_ended(state):
    case = at(cases.WAITING)
    if state == cases.REFUSED:
        case = cases.refused(case, WAY, "no", case.seen + 10).case
    else:
        case = step(case, NAMED, case.submitted_at + WAY.answer).case
    assert (case.state, list(case.closed)) == (state, [cases.COOL_DOWN])
    opened = cases.override(case, "they asked us to write again", case.seen + 10).case
    assert cases.submit(opened, WAY, "by a person", case.seen + 20).case.state == cases.SUBMITTED


def test_why_a_gate_is_closed_stays_out_of_the_history():
    gates = {**OPEN_GATES, "account": Gate(DOES_NOT, "not locked on every host: mallory@example.com")}
    decision = step(None, NAMED, T0, gates)
    assert decision.events[-1].why == "gated (account, quiet)"
    assert "mallory@example.com" in decision.case.gates["account"].why


def test_a_clock_that_was_set_back_is_noticed():
    case = at(cases.WAITING)
    decision = step(case, GONE, case.seen - 3600)
    assert (decision.case, decision.events[0].kind) == (case, "clock")
    with pytest.raises(CaseError, match="set back"):
        cases.submit(at(cases.READY), WAY, "x", T0)
    assert step(case, NAMED, case.seen - 5).case.seen == case.seen, "two controllers differ by a little"


# ---- properties

GATE = st.sampled_from([HOLDS, DOES_NOT, UNKNOWN])
MOVES = st.lists(
    st.tuples(
        st.sampled_from([NAMED, GONE, MUTE, QUOTED, NAMED._replace(codes=("127.0.0.3",)), "submit", "made", "refused", "override"]),
        st.sampled_from([-4000.0, 0.0, 1.0, 59.0, 61.0, 3600.0, DAY, 4 * DAY, 40 * DAY]),
        st.dictionaries(st.sampled_from(NAMES), GATE, max_size=3),
    ),
    max_size=40,
)
WAYS = st.builds(
    Way,
    asked_by=st.sampled_from(["anyone", "provider", "nobody"]),
    pause=st.sampled_from([0.0, 60.0, 3600.0]),
    quiet=st.sampled_from([0.0, DAY]),
    cool_down=st.sampled_from([0.0, 7 * DAY]),
    answer=st.sampled_from([60.0, 3 * DAY]),
    expires=st.sampled_from([None, DAY]),
)


def play(moves, way):
    """Yield (case before, move, decision, gates) of a random life."""
    case, now = step(None, NAMED, T0, way=way).case, T0
    for move, passed, changed in moves:
        now += passed
        gates = {**OPEN_GATES, **{name: Gate(state, "") for name, state in changed.items()}}
        try:
            if move == "submit":
                decision = cases.submit(case, way, "x", now)
            elif move == "refused":
                decision = cases.refused(case, way, "x", now)
            elif move in ("override", "made"):
                decision = cases.override(case, "because", now, made=move == "made")
            else:
                decision = step(case, move, now, gates, way)
        except CaseError:
            continue
        yield case, move, decision, gates
        case = decision.case


@settings(max_examples=150, deadline=None)
@given(MOVES, WAYS)
def test_only_clean_closes_a_case(moves, way):
    for before, move, decision, _ in play(moves, way):
        if decision.case.state == cases.CLEARED and before.state != cases.CLEARED:
            assert move == GONE
            assert before.clean_at is not None
            assert decision.case.seen - before.clean_at >= max(60.0, way.pause)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(1, 40 * DAY), max_size=30), st.sampled_from(["servfail", "refused", "hijacked", "unqualified", "timeout"]), WAYS)
def test_no_sequence_of_refusals_and_errors_closes_a_case(passed, why, way):
    case, now = step(None, NAMED, T0, way=way).case, T0
    for seconds in passed:
        now += seconds
        case = step(case, Seen(SILENT, why=why), now, way=way).case
        assert case.state not in (cases.CLEARED, cases.REFUSED, cases.EXPIRED, cases.READY)


@settings(max_examples=500, deadline=None)
@given(MOVES, WAYS)
def test_no_gate_that_is_unknown_lets_a_case_be_ready(moves, way):
    for before, move, decision, gates in play(moves, way):
        case = decision.case
        if case.state != cases.READY:
            continue
        assert case.closed == {}
        over = case.override.gates if case.override else ()
        assert case.frozen == "" or cases.NAMED in over
        if isinstance(move, Seen) and case is not before:  # else nothing was judged
            assert {gate.state for name, gate in gates.items() if name not in over} <= {HOLDS}
            assert before.frozen == "" or (move.outcome, move.quoted) == (LISTED, False) or cases.NAMED in over


@settings(max_examples=150, deadline=None)
@given(MOVES, WAYS)
def test_nothing_is_submitted_twice(moves, way):
    under_way = False
    for before, move, decision, _ in play(moves, way):
        kinds = [event.kind for event in decision.events]
        if move == "submit":
            assert not under_way
            assert decision.case.requests == before.requests + 1
            under_way = True
        else:
            assert decision.case.requests == before.requests
            assert "submitted" not in kinds
        if {"refused", "expired", "cleared"} & set(kinds):
            under_way = False


@settings(max_examples=100, deadline=None)
@given(MOVES, WAYS)
def test_time_never_goes_back(moves, way):
    for before, _, decision, _ in play(moves, way):
        assert decision.case.seen >= before.seen
        if any(event.kind == "clock" for event in decision.events):
            assert decision.case == before

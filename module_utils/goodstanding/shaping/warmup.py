# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much mail a receiver gets after a listing ended: a part of what it got before, more after each clean day, never more than before.

One step a day at most, from whole days (UTC) alone. What is not known never counts as clean: it holds. Nothing here asks the time or
changes anything.
"""

from __future__ import annotations

import datetime
import statistics
import typing as t

#: So many days before an incident tell what was normal, and so many of them must be known.
BASELINE_DAYS, BASELINE_LEAST = 7, 4

LISTED, WARMING, DONE = "listed", "warming", "done"


class Settings(t.NamedTuple):
    """start: share of the volume before, on the first day; factor: from one clean day to the next; put_off: share of deliveries that may be
    put off on a clean day; floor: recipients a day below which no start is, since so few tell nothing."""

    start: float = 0.25
    factor: float = 1.5
    put_off: float = 0.02
    floor: int = 50


class Day(t.NamedTuple):
    """What a receiver said on a day of the epoch; see maillog/receivers.py."""

    day: int
    sent: int = 0
    put_off: int = 0
    refused: int = 0


class Observation(t.NamedTuple):
    """What a run knows. days: of the log, in any order, None where it is not readable or has gaps; since: the first day that the log knows
    whole; listed: by name since which day each list or receiver has the host, None where that is not known; unknown: why not."""

    days: tuple[Day, ...] | None
    since: int | None
    listed: t.Mapping[str, int] | None
    unknown: str = ""


class State(t.NamedTuple):
    """phase: LISTED, WARMING or DONE; began: the day of the incident; before: recipients a day before it, None where not known; allowed: a
    day, in WARMING; day: judged up to this one; listings: known ones."""

    phase: str
    began: int
    before: int | None
    allowed: int | None
    day: int
    listings: tuple[str, ...]


class Decision(t.NamedTuple):
    """state: None where there is nothing to remember; step: wait, start, rise, hold, step_back, done, none; why: a sentence."""

    state: State | None
    step: str
    why: str


def decide(state: State | None, seen: Observation, today: int, settings: Settings, told: int | None = None) -> Decision:
    """Return the next state of one host and receiver. today: the day of the epoch; told: the volume before, by the administrator."""
    if state is not None and state.phase != DONE and state.before is None:
        state = state._replace(before=_before(seen, state.began, told))
    if seen.listed is None:
        return Decision(
            state, "hold" if state and state.phase != DONE else "none", f"{seen.unknown or 'it is not known whether it is listed'}"
        )
    if state is None or state.phase == DONE:
        return _listed(state, seen, today, told)
    if state.phase == LISTED:
        if seen.listed:
            known = state._replace(listings=tuple(sorted(seen.listed)), day=today)
            return Decision(known, "wait", f"still listed: {_names(seen.listed)}")
        return _start(state, today, settings)
    return _warm(state, seen, today, settings)


def _before(seen: Observation, began: int, told: int | None) -> int | None:
    """Return the median of the days before an incident, None where too few are known."""
    if told is not None:
        return max(0, told)
    if seen.days is None or seen.since is None:
        return None
    sent = {day.day: day.sent for day in seen.days}
    known = [sent.get(day, 0) for day in range(began - BASELINE_DAYS, began) if day >= seen.since]
    return int(statistics.median(known)) if len(known) >= BASELINE_LEAST else None


def _listed(state: State | None, seen: Observation, today: int, told: int | None) -> Decision:
    listed = seen.listed or {}
    if not listed:
        return Decision(state, "none", "not listed" if state is None else "the warm-up is over")
    began = min([today, *listed.values()])
    before = _before(seen, began, told)
    normal = "how much it was sent before is not known yet" if before is None else f"it was sent {before} recipients a day before"
    return Decision(State(LISTED, began, before, None, today, tuple(sorted(listed))), "wait", f"listed: {_names(listed)}; {normal}")


def first(before: int, settings: Settings) -> int:
    """Return what is allowed on the first day."""
    return min(before, max(1, settings.floor, int(before * settings.start)))


def _start(state: State, today: int, settings: Settings) -> Decision:
    if state.before is None:
        return Decision(
            state._replace(listings=(), day=today),
            "hold",
            f"delisted, but the log knows fewer than {BASELINE_LEAST} of the {BASELINE_DAYS} days before {iso(state.began)}: say in "
            "rate_limit_warmup_volumes how much it was sent a day; until then it has no rate",
        )
    if state.before == 0:
        return Decision(state._replace(phase=DONE, listings=(), day=today), "done", "delisted, and nothing was sent to it before")
    allowed = first(state.before, settings)
    why = f"delisted: begins with {allowed} of the {state.before} recipients a day before {iso(state.began)}"
    return Decision(state._replace(phase=WARMING, allowed=allowed, listings=(), day=today), "start", why)


def _warm(state: State, seen: Observation, today: int, settings: Settings) -> Decision:
    before, allowed, listed = state.before or 0, state.allowed or 1, seen.listed or {}
    new = sorted(set(listed) - set(state.listings))
    known = state._replace(listings=tuple(sorted(listed)))
    if new:
        lower = max(min(allowed, first(before, settings)), int(allowed / settings.factor))
        return Decision(
            known._replace(allowed=lower, day=today),
            "step_back",
            f"listed anew: {_names(new)}: down from {allowed} to {lower} of {before} a day",
        )
    if listed:
        return Decision(known._replace(day=today), "hold", f"still listed: {_names(listed)}: stays at {allowed} of {before} a day")
    stays = f"stays at {allowed} of {before} a day"
    if seen.days is None:
        return Decision(known, "hold", f"{seen.unknown or 'the log was not read'}: {stays}")
    whole = [day for day in seen.days if known.day < day.day < today]
    if not today - 1 > known.day:
        return Decision(known, "hold", f"no whole day is over since {iso(known.day)}: {stays}")
    if seen.since is None or seen.since > known.day + 1:
        return Decision(known._replace(day=today - 1), "hold", f"the log does not reach back to {iso(known.day + 1)}: {stays}")
    judged, sent = known._replace(day=today - 1), sum(day.sent for day in whole)
    put_off, refused = sum(day.put_off for day in whole), sum(day.refused for day in whole)
    worst = max((day.put_off / (day.put_off + day.sent) for day in whole if day.put_off), default=0.0)
    said = f"{sent} recipients taken, {put_off} put off, {refused} refused for the sender's reputation since {iso(known.day + 1)}"
    if refused:
        return Decision(judged, "hold", f"{said}: {stays}")
    if worst > settings.put_off:
        return Decision(judged, "hold", f"{said}, {100 * worst:.1f} % of a day put off (at most {100 * settings.put_off:g} %): {stays}")
    if not sent:
        return Decision(judged, "hold", f"no mail since {iso(known.day + 1)}, so nothing was learnt: {stays}")
    if allowed >= before:
        return Decision(judged._replace(phase=DONE, allowed=None), "done", f"{said}: all of the {before} a day before, no rate from now on")
    higher = min(before, max(allowed + 1, int(allowed * settings.factor)))
    return Decision(judged._replace(allowed=higher), "rise", f"{said}: up from {allowed} to {higher} of {before} a day")


def _names(listings: t.Iterable[str]) -> str:
    names = sorted(listings)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def iso(day: int) -> str:
    """Return a day of the epoch as a date."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()

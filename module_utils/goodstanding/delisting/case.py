# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One case for each address or name and each list that names it, from the first sight of the listing to its end.

open → gated → ready → submitted → waiting → cleared; a request ends as refused or expired too, and may then be made anew after a pause.
provider_only: the network's owner alone may ask. What is not known closes a gate, and neither closes a case nor lets anything be asked.
Nothing here asks the time or changes anything. Times are seconds since 1970.
"""

from __future__ import annotations

import typing as t

from ..findings.ended import DOES_NOT, HOLDS, UNKNOWN

OPEN, GATED, READY, SUBMITTED, WAITING = "open", "gated", "ready", "submitted", "waiting"
CLEARED, REFUSED, EXPIRED, PROVIDER_ONLY = "cleared", "refused", "expired", "provider_only"
STATES = (OPEN, GATED, READY, SUBMITTED, WAITING, CLEARED, REFUSED, EXPIRED, PROVIDER_ONLY)
#: What a list says of a subject: that it names it, that it does not (believed), or nothing that can be believed.
LISTED, CLEAN, SILENT = "listed", "clean", "silent"
#: The gates that a case knows itself; gates.outside() has the others.
NAMED, QUIET, COOL_DOWN = "named", "quiet", "cool_down"
#: Two answers are this far apart at least, whatever the list's TTL is.
LEAST_PAUSE = 60.0
#: The clocks of two controllers differ by less than this; a clock that goes back further is not believed.
CLOCK_SLACK = 120.0
#: For so long after a listing has ended a receiver may refuse because of it all the same, in seconds.
QUOTED_FOR = 86400.0
#: A cool-down is doubled at most so often.
MOST_DOUBLINGS = 5


class CaseError(Exception):
    """What was asked for cannot be done to this case; the message says why, and what to do."""


class Gate(t.NamedTuple):
    """state: HOLDS, DOES_NOT or UNKNOWN; why: empty where nothing has to be said."""

    state: str
    why: str


class Way(t.NamedTuple):
    """How a list is asked, as far as it decides anything. asked_by: anyone, provider, nobody (the entry ends by itself); seconds: pause
    between two answers (the larger of TTL and the list's latency), quiet without a new hit before a request, cool_down between two
    requests, answer for which a request is waited for, expires after the last hit (None where that is not known)."""

    asked_by: str = "anyone"
    pause: float = LEAST_PAUSE
    quiet: float = 86400.0
    cool_down: float = 7 * 86400.0
    answer: float = 7 * 86400.0
    expires: float | None = None


class Seen(t.NamedTuple):
    """What a run saw of the subject in the list. sources and codes: where it is listed; why: it is SILENT, or how it is known to be CLEAN;
    since: when the listing was first seen, None where that is now; quoted: receivers that refuse because of the list said so, while the
    list itself is silent (why), quoted_at: when they last did."""

    outcome: str
    sources: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    why: str = ""
    since: float | None = None
    quoted: bool = False
    quoted_at: float = 0.0


class Asked(t.NamedTuple):
    """Between which times a run asked: each of its answers is at least as new as since, and none is newer than until."""

    since: float
    until: float


class Override(t.NamedTuple):
    """The gates that a person opened, and why."""

    reason: str
    gates: tuple[str, ...]
    at: float


class Case(t.NamedTuple):
    """seen: when it was last judged; judged: the end of the run whose findings did; hit: when the list last showed something new;
    ask_at: an answer of before this may be an old one; clean_at: of the first clean answer; requests: how many were made; submitted_at:
    the latest; not_before: of the next one; relisted: how often; frozen: why nothing is known; asked_by: as in Way, when it was last
    seen listed; gates: as they were last."""

    subject: str
    list: str
    state: str
    opened: float
    seen: float
    hit: float
    ask_at: float
    sources: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    clean_at: float | None = None
    requests: int = 0
    submitted_at: float | None = None
    not_before: float | None = None
    expected: float | None = None
    relisted: int = 0
    frozen: str = ""
    asked_by: str = "anyone"
    override: Override | None = None
    gates: t.Mapping[str, Gate] = {}
    judged: float = 0.0

    @property
    def id(self) -> str:
        """Return its name, such as zen.spamhaus.org/198.51.100.11."""
        return f"{self.list}/{self.subject}"

    @property
    def asked(self) -> bool:
        """Whether a request is under way."""
        return self.state in (SUBMITTED, WAITING) and self.submitted_at is not None

    @property
    def closed(self) -> dict[str, Gate]:
        """Return the gates that are closed, and that nobody overrode."""
        over = self.override.gates if self.override else ()
        return {name: gate for name, gate in self.gates.items() if gate.state != HOLDS and name not in over}


class Event(t.NamedTuple):
    """What happened to a case. kind: opened, hit, frozen, clean, cleared, relisted, state, override, submitted, not_sent, refused,
    expired, clock."""

    kind: str
    why: str


class Decision(t.NamedTuple):
    """case: None where there is nothing to remember; events: what is to be written into the ledger."""

    case: Case | None
    events: tuple[Event, ...]


def look(
    case: Case | None, subject: str, name: str, seen: Seen, way: Way, gates: t.Mapping[str, Gate], asked: Asked, now: float
) -> Decision:
    """Return the case of a subject in a list (name) after a run. gates: of gates.outside(), none of which may be missing; asked: when the
    run asked. What is not later than what the case was judged by says nothing new of the list."""
    before = case.seen if case else now
    if max(asked.since - now, before - now) > CLOCK_SLACK:
        why = f"the clock was set back by {max(asked.since, before) - now:.0f} seconds: nothing was judged"
        return Decision(case, (Event("clock", why),) if case else ())
    judged, asked = asked.until, Asked(min(now, asked.since), min(now, asked.until))
    if case is None:
        if seen.outcome != LISTED:
            return Decision(None, ())
        case = _opened(subject, name, seen, way, asked, now)._replace(judged=judged)
        return _settle(case, way, gates, asked, now, [Event("opened", _codes(case))])
    if judged < case.judged:
        return Decision(case, ())
    now = max(now, case.seen)
    if judged == case.judged:
        # What must hold is judged anew: findings grow old.
        return Decision(case, ()) if case.state == CLEARED else _settle(case._replace(seen=now), way, gates, asked, now, [])
    case = case._replace(seen=now, judged=judged)
    if seen.outcome == SILENT or (seen.quoted and _has_spoken(case, seen)):
        return _silent(case, seen, way, gates, asked, now)
    if seen.outcome == CLEAN:
        return _clean(case, seen, way, gates, asked, now)
    return _listed(case._replace(frozen=""), seen, way, gates, asked, now)


def _has_spoken(case: Case, seen: Seen) -> bool:
    """Return whether the list itself named the subject, or called it clean: refusals that quote it may be older than that."""
    if case.state == CLEARED and seen.quoted_at > case.ask_at + QUOTED_FOR:
        return False
    return case.clean_at is not None or any(code.startswith("127.") for code in case.codes)


def _opened(subject: str, name: str, seen: Seen, way: Way, asked: Asked, now: float) -> Case:
    hit = min(asked.until, seen.since) if seen.since is not None else asked.until
    return Case(
        subject, name, OPEN, now, now, hit, asked.until + pause(way), tuple(sorted(set(seen.sources))), tuple(sorted(set(seen.codes))),
        expected=None if way.expires is None else hit + way.expires, asked_by=way.asked_by,
    )  # fmt: skip


def pause(way: Way) -> float:
    return max(LEAST_PAUSE, way.pause)


def _silent(case: Case, seen: Seen, way: Way, gates: t.Mapping[str, Gate], asked: Asked, now: float) -> Decision:
    """Freeze a case: what was clean before is to be seen anew."""
    if case.state == CLEARED:
        return Decision(case, ())
    why = seen.why or "the list said nothing that can be believed"
    events = [Event("frozen", why)] if why != case.frozen else []
    return _settle(case._replace(frozen=why, clean_at=None), way, gates, asked, now, events)


def _clean(case: Case, seen: Seen, way: Way, gates: t.Mapping[str, Gate], asked: Asked, now: float) -> Decision:
    if case.state == CLEARED:
        return Decision(case, ())
    if asked.since < case.ask_at:
        # It may be an old answer: it says nothing of the list, and what must hold is judged anew all the same.
        return Decision(case, ()) if case.asked else _settle(case, way, gates, asked, now, [])
    case = case._replace(frozen="")
    if case.clean_at is None:
        case = case._replace(clean_at=asked.until, ask_at=asked.until + pause(way))
        how = f", {seen.why}" if seen.why else ""
        clean = Event("clean", f"the list does not name it any more{how}; a second answer closes the case")
        return _settle(case, way, gates, asked, now, [clean])
    how = f"after {_times(case.requests, 'request')}" if case.requests else "by itself, nobody asked"
    how += f" ({seen.why})" if seen.why else ""
    cleared = case._replace(state=CLEARED, ask_at=asked.until, expected=None, override=None, gates={})
    return Decision(cleared, (Event("cleared", f"the list did not name it twice in a row: the listing ended {how}"),))


def _listed(case: Case, seen: Seen, way: Way, gates: t.Mapping[str, Gate], asked: Asked, now: float) -> Decision:
    sources, codes = set(seen.sources), set(seen.codes)
    events = []
    if case.state == CLEARED:
        wait = way.cool_down * 2 ** min(case.relisted, MOST_DOUBLINGS)
        case = case._replace(
            state=OPEN, relisted=case.relisted + 1, not_before=asked.until + wait, hit=asked.until, submitted_at=None,
            sources=tuple(sorted(sources)), codes=tuple(sorted(codes)),
        )  # fmt: skip
        events.append(Event("relisted", f"listed again, for the {_ordinal(case.relisted)} time since it ended: {_codes(case)}"))
    elif codes - set(case.codes) or case.clean_at is not None:
        why = f"new: {', '.join(sorted(codes - set(case.codes)))}" if codes - set(case.codes) else "named again before it was clean twice"
        case = case._replace(hit=asked.until)
        events.append(Event("hit", why))
    case = case._replace(
        clean_at=None, ask_at=asked.until + pause(way), sources=tuple(sorted(sources | set(case.sources))), codes=tuple(sorted(codes)),
        asked_by=way.asked_by,
        expected=case.expected if way.expires is None or case.asked else case.hit + way.expires,
    )  # fmt: skip
    return _settle(case, way, gates, asked, now, events)


def _settle(case: Case, way: Way, gates: t.Mapping[str, Gate], asked: Asked, now: float, events: list[Event]) -> Decision:
    """Return the case in the state that follows from its gates and from a request that is under way."""
    before, gates = case.state, gates or {"outside": Gate(UNKNOWN, "nobody looked at what must hold first")}
    case = case._replace(gates={**gates, **_own(case, way, now)})
    if case.asked and case.clean_at is None and not case.frozen and asked.since >= t.cast(float, case.submitted_at) + way.answer:
        wait = way.cool_down * 2 ** min(max(case.requests - 1, 0), MOST_DOUBLINGS)
        case = case._replace(state=EXPIRED, not_before=t.cast(float, case.submitted_at) + max(way.answer, wait), expected=None)
        case = case._replace(gates={**gates, **_own(case, way, now)})
        events.append(Event("expired", "the list still names it, and nothing is to be expected of the request any more"))
    elif case.asked:
        if now >= t.cast(float, case.submitted_at) + pause(way):
            case = case._replace(state=WAITING)
    elif case.state not in (REFUSED, EXPIRED) or now >= (case.not_before or 0.0):
        case = case._replace(state=_unasked(case), gates={**gates, **_own(case, way, now)})
    if case.state != before:
        events.append(Event("state", _state(case)))
    return Decision(case, tuple(events))


def _unasked(case: Case) -> str:
    if case.asked_by == "nobody":
        return WAITING
    if case.asked_by == "provider":
        return PROVIDER_ONLY
    return GATED if case.closed else READY


def _own(case: Case, way: Way, now: float) -> dict[str, Gate]:
    """Return the gates that the case itself knows."""
    named = Gate(HOLDS, "")
    if case.frozen:
        named = Gate(UNKNOWN, f"whether the list names it is not known: {case.frozen}")
    elif case.clean_at is not None:
        named = Gate(DOES_NOT, "the list does not name it at present")
    quiet, cool = Gate(HOLDS, ""), Gate(HOLDS, "")
    if now < case.hit + way.quiet:
        quiet = Gate(DOES_NOT, f"the last hit was {_ago(now - case.hit)} ago, and {_ago(way.quiet)} without one come first")
    if case.not_before is not None and now < case.not_before:
        cool = Gate(DOES_NOT, f"asked too early it does harm: {_ago(case.not_before - now)} are left")
    return {NAMED: named, QUIET: quiet, COOL_DOWN: cool}


def override(case: Case, reason: str, now: float, made: bool = False) -> Decision:
    """Open the gates that are closed now, for the next request alone. made: it was made already, whatever the list says now. CaseError
    where no reason is given or nothing can be asked."""
    if not reason.strip():
        raise CaseError(f"{case.id}: gates are overridden for a reason only: give it in words (-e reason='...')")
    if case.state not in (GATED, READY, OPEN, REFUSED, EXPIRED, PROVIDER_ONLY):
        raise CaseError(f"{case.id} is {case.state}: there is no gate to override")
    if NAMED in case.closed and not made:
        raise CaseError(f"{case.id} cannot be asked for: {case.closed[NAMED].why}")
    if case.override is None and not case.closed:
        return Decision(case, ())
    gates = tuple(sorted({*case.closed, *(case.override.gates if case.override else ())}))
    state = PROVIDER_ONLY if case.asked_by == "provider" else READY
    opened = case._replace(override=Override(reason.strip()[:1000], gates, now), state=state)
    return Decision(opened, (Event("override", f"{', '.join(gates)}: {reason.strip()[:1000]}"), Event("state", _state(opened))))


def submit(case: Case, way: Way, how: str, now: float) -> Decision:
    """Note that the list was asked. how: a sentence. CaseError where it is not ready: a list is asked once."""
    if now < case.seen - CLOCK_SLACK:
        raise CaseError(f"{case.id}: the clock was set back by {case.seen - now:.0f} seconds: set it right first")
    if case.asked:
        raise CaseError(f"{case.id} was asked for already; a second request does harm. It goes on by itself")
    if case.state != READY and not (case.state == PROVIDER_ONLY and not case.closed):
        closed = "; ".join(f"{name}: {gate.why or gate.state}" for name, gate in sorted(case.closed.items()))
        raise CaseError(
            f"{case.id} is {case.state}, not ready{f' ({closed})' if closed else ''}. "
            "If it was asked for all the same, say why: -e reason='...'"
        )
    now = max(now, case.seen)
    asked = case._replace(
        state=SUBMITTED, seen=now, submitted_at=now, requests=case.requests + 1, expected=now + way.answer, override=None, not_before=None,
        ask_at=max(case.ask_at, now + pause(way)),
    )  # fmt: skip
    return Decision(asked, (Event("submitted", how), Event("state", _state(asked))))


def unsent(case: Case, before: Case, why: str) -> Decision:
    """Return the case as it was before a request that certainly did not go; before: that case."""
    if not case.asked:
        return Decision(case, (Event("not_sent", why),))
    kept = {name: getattr(before, name) for name in ("state", "requests", "submitted_at", "expected", "not_before", "override")}
    back = case._replace(**kept)
    return Decision(back, (Event("not_sent", why), Event("state", _state(back))))


def refused(case: Case, way: Way, why: str, now: float) -> Decision:
    """Note that the operator refused. CaseError where nobody asked."""
    if not case.asked:
        raise CaseError(f"{case.id} is {case.state}: nobody asked, so nothing was refused")
    now = max(now, case.seen)
    wait = way.cool_down * 2 ** min(max(case.requests - 1, 0), MOST_DOUBLINGS)
    case = case._replace(state=REFUSED, seen=now, not_before=now + wait, expected=None)
    # Known at once, so that an override that follows opens it.
    case = case._replace(gates={**case.gates, **_own(case, way, now)})
    return Decision(case, (Event("refused", why.strip()[:1000] or "no reason was given"), Event("state", _state(case))))


def _codes(case: Case) -> str:
    return ", ".join(case.codes) or "no code"


def _state(case: Case) -> str:
    # Why a gate is closed may name an account, which the ledger keeps no longer than it must.
    closed = ", ".join(sorted(case.closed)) if case.state == GATED else ""
    return f"{case.state}{f' ({closed})' if closed else ''}"[:2000]


def _times(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _ordinal(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")


def _ago(seconds: float) -> str:
    if seconds < 5400:
        return _times(max(1, round(seconds / 60)), "minute")
    return _times(round(seconds / 3600), "hour") if seconds < 48 * 3600 else _times(round(seconds / 86400), "day")

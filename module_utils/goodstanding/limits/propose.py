# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits out of what each account sent so far: a multiple of its busiest usual hour and day, between a floor and a ceiling.

Hours of a known break-in are left out, and the last week, in which one may be that nobody found yet. Runs on the controller.
"""

from __future__ import annotations

import datetime
import math
import typing as t

from ..findings.times import epoch
from ..maillog.book import MAX_HISTORIES, NOTABLE
from ..triage import fleet
from ..triage.fleet import DAY, HOUR, Account
from .policy import MAX_ENTRIES, WINDOWS, Limit, PolicyError, is_account, limit_of

#: From when to when an account was in a stranger's hands, in seconds since 1970.
Spans = t.Mapping[str, t.Sequence[tuple[float, float]]]
#: A break-in may go on for so long before a run finds it: the same as in triage.fleet.baseline().
UNSEEN = 7 * DAY


class Rule(t.NamedTuple):
    """How a limit is made of a past. days: with a shorter past there is none; hard: what the hard limit is of the soft one."""

    percentile: float = 99
    factor: float = 3
    #: What roles/abuse_triage finds normal for anybody, and its half for a minute: one message to a choir.
    floor: t.Mapping[str, int] = {"minute": 50, "hour": 100, "day": 300}
    #: More is no single person's mail: somebody is to know what it is.
    ceiling: t.Mapping[str, int] = {"minute": 400, "hour": 1200, "day": 5000}
    days: int = 14
    hard: float = 2


class Proposal(t.NamedTuple):
    """A limit for an account. why: how each number came about; decide: why somebody has to look at it, or empty."""

    limit: Limit
    why: tuple[str, ...]
    decide: str


class Proposals(t.NamedTuple):
    """proposed and none (with the reason) by account; quiet: how many others sent next to nothing."""

    proposed: dict[str, Proposal]
    none: dict[str, str]
    quiet: int


def rule_of(percentile: float, factor: float, floor: t.Any, ceiling: t.Any, days: int, hard: float) -> Rule:
    """Return the rule of these options, where floor and ceiling name only what differs; PolicyError names the option."""
    for name, value, least, most in (("percentile", percentile, 50, 100), ("factor", factor, 1, 100), ("hard_factor", hard, 1, 100),
                                     ("days", days, 1, 52)):  # fmt: skip
        if not least <= value <= most:
            raise PolicyError(f"{name} is {value:g}: expected {least} to {most}")
    bounds = []
    for name, given, usual in (("floor", floor, Rule().floor), ("ceiling", ceiling, Rule().ceiling)):
        half = limit_of(given, None, name).soft
        bounds.append(limit_of({**usual, **half}, None, name).soft)
    low, high = bounds
    for window in WINDOWS:
        if low[window] > high[window]:
            raise PolicyError(
                f"the floor of the {window}, {low[window]}, is above the ceiling, {high[window]}: lower the floor or raise the ceiling"
            )
    return Rule(percentile, factor, low, high, days, hard)


def propose(logs: dict[str, dict[str, t.Any]], now: float, rule: Rule, spans: Spans, window: float = 24) -> Proposals:
    """Return what the logins of all hosts may have.

    logs: per host the result of mail_log_info over as many days as it remembers; now: when they were read; spans: break-ins; window: the
    hours that an assess looks at, which are nobody's normal."""
    proposed: dict[str, Proposal] = {}
    none: dict[str, str] = {}
    quiet = 0
    for name, account in sorted(fleet.merge(logs).items()):
        if account.kind != "login" or not (account.sums["recipients"] or account.hours):
            continue
        if not account.hours and account.sums["recipients"] < NOTABLE["recipients"]:
            quiet += 1
        elif not is_account(name):
            none[name] = "its name cannot be given to an engine"
        elif not account.hours:
            none[name] = f"no host told its past (each tells that of {MAX_HISTORIES} accounts)"
        else:
            found = _propose(account, now - window * HOUR, rule, spans.get(name, ()))
            if isinstance(found, str):
                none[name] = found
            else:
                proposed[name] = found
    return Proposals(proposed, none, quiet)


def percentile(values: t.Iterable[int], share: float) -> int:
    """Return the nearest rank: the least value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered) / 100) - 1)] if ordered else 0


def _propose(account: Account, begin: float, rule: Rule, spans: t.Sequence[tuple[float, float]]) -> Proposal | str:
    """Return the proposal for an account, or why there is none."""
    # Whole days (UTC): every day counts alike, and two runs of one day say the same.
    if account.since is not None and account.seen is not None:
        account.since = math.ceil(max(account.since, account.seen) / DAY) * DAY
        account.seen = account.since
    past = fleet.baseline(account, begin // DAY * DAY, rule.days)
    if past is None:
        return f"its past is shorter than {rule.days} days"
    out = _joined(spans, past)
    known = (past[1] - past[0] - sum(end - start for start, end in out)) / DAY
    if known < rule.days:
        return f"its past without the known break-in is shorter than {rule.days} days"
    hours = [
        hour
        for hour in fleet.within(account, *past)
        if hour.recipients and not any(start < (hour.hour + 1) * HOUR and hour.hour * HOUR < end for start, end in out)
    ]
    if not hours:
        return "it sent nothing in its past"
    by_day: dict[int, int] = {}
    for hour in hours:
        by_day[hour.hour // 24] = by_day.get(hour.hour // 24, 0) + hour.recipients
    busy_hour = percentile((hour.recipients for hour in hours), rule.percentile)
    busy_day = percentile(by_day.values(), rule.percentile)
    days, rank = f"{known:.0f} days", f"{_ordinal(rule.percentile)} percentile"
    soft: dict[str, int] = {}
    why = []
    for window, value, factor, words in (
        ("minute", busy_hour, 1.0, f"an hour's mail may be one message: 1 x {rank} hour: {busy_hour}"),
        ("hour", busy_hour, rule.factor, f"{rule.factor:g} x {rank} hour of {days}: {rule.factor:g} x {busy_hour}"),
        ("day", busy_day, rule.factor, f"{rule.factor:g} x {rank} day of {days}: {rule.factor:g} x {busy_day}"),
    ):
        product = _up(factor * value)
        soft[window], bound = _between(product, window, rule, soft.get("hour", 0) if window == "day" else 0)
        why.append(f"{window}: {words}{'' if window == 'minute' else f' = {product}'}{bound}")
    hard = {window: min(rule.ceiling[window], _up(rule.hard * soft[window])) for window in WINDOWS}
    why.append(f"hard: {rule.hard:g} x soft, at most the ceiling")
    if out:
        why.append("hours of a known break-in are left out")
    over = [
        f"its usual busy {window} has {value} recipients, above the ceiling of {rule.ceiling[window]}"
        for window, value in (("hour", busy_hour), ("day", busy_day))
        if value > rule.ceiling[window]
    ]
    return Proposal(Limit(soft, hard), tuple(why), "; ".join(over))


def _between(value: int, window: str, rule: Rule, least: int) -> tuple[int, str]:
    """Return a number within the bounds of a window, and in which words. least: what the shorter window has."""
    if value > rule.ceiling[window]:
        return rule.ceiling[window], f", ceiling {rule.ceiling[window]} -> {rule.ceiling[window]}"
    if value < rule.floor[window] and rule.floor[window] >= least:
        return rule.floor[window], f", floor {rule.floor[window]} -> {rule.floor[window]}"
    return (least, f", no less than the hour -> {least}") if value < least else (value, "")


def _joined(spans: t.Sequence[tuple[float, float]], past: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the parts of a past that lie in the spans, each second once."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted((max(start, past[0]), min(end, past[1])) for start, end in spans):
        if start >= end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _up(number: float) -> int:
    # 1.1 x 10 is 11.000000000000002.
    return math.ceil(round(number, 6))


def _ordinal(number: float) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number:g}{ends.get(int(number) % 10, 'th') if number == int(number) and int(number) % 100 not in (11, 12, 13) else 'th'}"


# ---- break-ins


def spans_of(documents: t.Iterable[dict[str, t.Any]], now: float) -> dict[str, list[tuple[float, float]]]:
    """Return when accounts were in a stranger's hands, by the findings of runs, the oldest first.

    A span begins a week before the run that found it, and ends with the lock, or with the next run that looked and did not find it."""
    spans: dict[str, list[tuple[float, float]]] = {}
    open_since: dict[str, float] = {}
    for document in documents:
        run = document.get("run") or {}
        started = epoch(run["started"])
        named = {row["account"]: row for row in document.get("accounts") or []}
        looked = any(host.get("log") for host in document.get("hosts") or [])
        for name in [name for name in open_since if (looked and name not in named) or named.get(name, {}).get("verdict") == "reinstated"]:
            spans.setdefault(name, []).append((open_since.pop(name), started))
        for name, row in named.items():
            if row.get("verdict") != "compromised":
                continue
            open_since.setdefault(name, started - UNSEEN)
            if row.get("locked_at"):
                spans.setdefault(name, []).append((open_since.pop(name), epoch(row["locked_at"])))
    for name, since in open_since.items():
        spans.setdefault(name, []).append((since, now))
    return spans


def spans_told(rows: t.Any, now: float) -> dict[str, list[tuple[float, float]]]:
    """Return the break-ins that the administrator tells of: list of {account, since, until}, days in UTC, both included."""
    if not isinstance(rows, list) or len(rows) > MAX_ENTRIES:
        raise PolicyError(f"incidents: expected a list of {{account, since, until}}, of {MAX_ENTRIES} at most")
    spans: dict[str, list[tuple[float, float]]] = {}
    for number, row in enumerate(rows, 1):
        place = f"entry {number} of incidents"
        if not isinstance(row, dict) or set(row) - {"account", "since", "until"} or not isinstance(row.get("account"), str):
            raise PolicyError(f"{place}: expected {{account: NAME, since: YYYY-MM-DD, until: YYYY-MM-DD}}")
        since = _midnight(row.get("since"), f"{place}: since")
        until = _midnight(row["until"], f"{place}: until") + DAY if row.get("until") is not None else now
        if until <= since:
            raise PolicyError(f"{place}: until is before since: exchange them")
        spans.setdefault(row["account"].strip().lower(), []).append((since, until))
    return spans


def _midnight(value: t.Any, place: str) -> float:
    try:
        day = datetime.datetime.strptime(str(value), "%Y-%m-%d")
    except ValueError:
        raise PolicyError(f"{place} is {str(value)[:40]!r}: expected a day as YYYY-MM-DD") from None
    return day.replace(tzinfo=datetime.timezone.utc).timestamp()

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The counters of all hosts together, and what is normal for an account by its own past.

An account that is used on several hosts is one account: hours are added up, addresses are joined.
"""

from __future__ import annotations

import ipaddress
import math
import statistics
import typing as t

from ..maillog.counters import KINDS, WITHOUT_LOGIN

SUMS = (
    "messages", "recipients", "sent", "deferred", "bounced", "unknown_recipients", "reputation_refusals", "refused_attempts", "held",
    "failed_logins", "logins", "peak_hour_recipients",
)  # fmt: skip
HOUR, DAY, WEEK = 3600, 86400, 604800
#: A median's deviation in standard deviations of a normal distribution (NIST/SEMATECH e-Handbook, 1.3.5.16).
_MAD = 1.4826


class Hour:
    """What an account did in an hour of the epoch, on all hosts; first and last: seconds since 1970."""

    __slots__ = ("answered", "first", "hour", "last", "recipients", "unknown")

    def __init__(self, hour: int, recipients: int = 0, unknown: int = 0, answered: int = 0, first: int = 0, last: int = 0) -> None:
        self.hour, self.recipients, self.unknown, self.answered = int(hour), int(recipients), int(unknown), int(answered)
        self.first, self.last = first, last

    def add(self, other: Hour) -> None:
        self.recipients += other.recipients
        self.unknown += other.unknown
        self.answered += other.answered
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)


class Account:
    """An account on all hosts. sums: counters of the window; values: of each of KINDS those of the window; at_least: how many at least;
    hours: its past and its window; known_clients: addresses from before the window, of hosts that tell no more; days: per kind and value
    the days of the epoch on which it was seen; seen: since when it is known; since: since when the logs of all its hosts are."""

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.kind = name, kind
        self.sums = dict.fromkeys(SUMS, 0)
        self.values: dict[str, set[str]] = {kind: set() for kind in KINDS}
        self.at_least = dict.fromkeys(KINDS, 0)
        self.hours: dict[int, Hour] = {}
        self.days: dict[str, dict[str, set[int]]] = {kind: {} for kind in KINDS}
        self.known_clients: set[str] = set()
        self.seen: float | None = None
        self.since: float | None = 0.0
        self.hosts: list[str] = []
        self.evidence: list[dict[str, str]] = []

    def lines(self, *kinds: str) -> list[str]:
        """Return the lines of evidence of some kinds."""
        return [row["line"] for row in self.evidence if row["kind"] in kinds]


class Normal(t.NamedTuple):
    """What is normal for an account: the median of its past, and the median absolute deviation from it."""

    median: float
    mad: float

    def limit(self, factor: float, deviations: float) -> float:
        return max(self.median * factor, self.median + deviations * _MAD * self.mad)


def kind_of(name: str) -> str:
    """Return what an account is: a login, a uid, what no login sent (relay, forward, backscatter), or names too many to count (others)."""
    if name == "(others)":
        return "others"
    head, colon, _ = name.partition(":")
    return head if colon and head in WITHOUT_LOGIN else "login"


def merge(logs: dict[str, dict[str, t.Any]]) -> dict[str, Account]:
    """Bring the accounts of all hosts together. logs: per host the result of mail_log_info, or a failed one (left out)."""
    merged: dict[str, Account] = {}
    for host in sorted(logs):
        for name, counters in (logs[host].get("accounts") or {}).items():
            # A uid is a number of its own on each host, and so is what a host relays.
            kind = kind_of(name)
            key = name if kind == "login" else f"{name}@{host}"
            account = merged.setdefault(key, Account(key, kind))
            _add(account, host, counters)
            since = (logs[host].get("span") or {}).get("since")
            account.since = None if since is None or account.since is None else max(account.since, since)
    return merged


def _add(account: Account, host: str, counters: dict[str, t.Any]) -> None:
    account.hosts.append(host)
    for key in SUMS:
        account.sums[key] += int(counters.get(key, 0))
    for kind in KINDS:
        account.values[kind].update(counters.get(kind, []))
        account.at_least[kind] = max(len(account.values[kind]), account.at_least[kind], int(counters.get(f"{kind}_at_least", 0)))
    account.evidence += [{"host": host, "kind": row["kind"], "line": row["line"]} for row in counters.get("evidence", [])]
    account.known_clients.update(counters.get("known_clients") or [])
    history = counters.get("history")
    if not history:
        return
    for row in history["hours"]:
        hour = Hour(*row)
        if hour.hour in account.hours:
            account.hours[hour.hour].add(hour)
        else:
            account.hours[hour.hour] = hour
    for kind in KINDS:
        for value, days in history["days"].get(kind, {}).items():
            account.days[kind].setdefault(value, set()).update(days)
    if history["seen"] is not None:
        account.seen = history["seen"] if account.seen is None else min(account.seen, history["seen"])


def network(address: str) -> str:
    """Return the network that stands for one user's connection: the /24 of IPv4, the /48 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))


def baseline(account: Account, begin: float, days: float) -> tuple[float, float] | None:
    """Return from when to when an account's past is its normal, None where it is shorter than that many days.

    It ends a week before the window's begin, so that a break-in may go on for days before it is looked for; where the log does not reach
    so far back, at the window's begin."""
    if account.since is None or account.seen is None:
        return None
    start = max(account.since, account.seen)
    for end in (begin - 6 * DAY, begin):
        if end - start >= days * DAY:
            return start, end
    return None


def of_hours(account: Account, past: tuple[float, float]) -> Normal:
    """Return the normal number of recipients of an hour in which the account sent."""
    return _normal([hour.recipients for hour in within(account, *past)])


def of_days(account: Account, past: tuple[float, float]) -> Normal:
    """Return the normal number of recipients of a day on which the account sent."""
    return _normal(_by_day(account, past).values())


def of_weeks(account: Account, past: tuple[float, float]) -> float:
    """Return the mean number of recipients of a week."""
    return sum(hour.recipients for hour in within(account, *past)) * WEEK / max(past[1] - past[0], DAY)


def of_values(account: Account, kind: str, past: tuple[float, float], change: t.Callable[[str], str] = str) -> Normal:
    """Return how many different values of a kind a day normally has; change: counts those as one that it makes equal."""
    found: dict[int, set[str]] = {}
    for value, days in account.days[kind].items():
        for day in days:
            if past[0] // DAY <= day < past[1] // DAY:
                found.setdefault(day, set()).add(change(value))
    return _normal([len(values) for values in found.values()])


def before(account: Account, kind: str, end: float) -> set[str]:
    """Return the values of a kind that were seen before a day."""
    return {value for value, days in account.days[kind].items() if any(day < end // DAY for day in days)}


def within(account: Account, begin: float, end: float) -> list[Hour]:
    """Return the hours that end after begin and begin before end, with mail, in their order."""
    return [account.hours[hour] for hour in sorted(account.hours) if begin // HOUR <= hour < math.ceil(end / HOUR)]


def _by_day(account: Account, past: tuple[float, float]) -> dict[int, int]:
    found: dict[int, int] = {}
    for hour in within(account, *past):
        found[hour.hour // 24] = found.get(hour.hour // 24, 0) + hour.recipients
    return found


def _normal(values: t.Iterable[float]) -> Normal:
    numbers = [value for value in values if value]
    if not numbers:
        return Normal(0, 0)
    median = statistics.median(numbers)
    return Normal(median, statistics.median(abs(value - median) for value in numbers))

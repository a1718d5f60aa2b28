# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What speaks against an account, by families: independent ways to see a break-in, each against the account's own past.

A family weighs 2 where hardly anything but a break-in shows it, and 1 where a newsletter, a journey or a listed server does too.
"""

from __future__ import annotations

import typing as t

from ..maillog.counters import KINDS
from . import fleet
from .fleet import DAY, HOUR, WEEK, Account, Hour, Normal

#: Each can be set by the inventory (abuse_triage_thresholds); why they are what they are: roles/abuse_triage/defaults/main.yml.
THRESHOLDS: dict[str, float] = {
    "baseline_days": 14,
    "baseline_factor": 3,
    "baseline_deviations": 6,
    "recipients_per_hour": 100,
    "recipients_per_day": 300,
    "recipients_per_week": 700,
    "recipients_per_hour_without_baseline": 500,
    "recipients_per_day_without_baseline": 1500,
    "unknown_recipients": 25,
    "unknown_recipients_per_week": 50,
    "unknown_share": 0.1,
    "client_addresses": 8,
    "client_networks": 6,
    "client_countries": 3,
    "failed_logins": 5,
    "failed_login_clients": 3,
    "reputation_refusals": 5,
    "foreign_senders": 5,
    "first_recipients": 20,
    "unusual_hours_recipients": 20,
    "complaints": 3,
}

#: Families in the order in which a sentence tells them.
FAMILIES = ("volume", "recipients", "spread", "credentials", "senders", "first", "hours", "reputation", "complaints")
#: What one cause shows in two ways is one: a journey changes networks, addresses and hours, and the first mail ever is much mail.
SAME_CAUSE = {"hours": {"spread", "credentials"}, "first": {"volume"}}
#: However many unknown recipients were usual, so many are not: who looks late must not take the break-in for its normal.
_MOST_USUAL_SHARE = 0.15

Signal = dict[str, t.Any]


class Case(t.NamedTuple):
    """What is judged. window: its begin and end in seconds since 1970; past: from when to when the account's normal is taken, or None;
    country: of an address, or None where no database is configured; complaints: about its mail; refused: how often receivers refused the
    mail of all accounts for the server's reputation."""

    account: Account
    limits: dict[str, float]
    window: tuple[float, float]
    past: tuple[float, float] | None
    country: t.Callable[[str], str | None] | None
    complaints: int
    refused: int

    def remembered(self, kind: str) -> tuple[float, float]:
        """Return the past that a host remembers of a kind of values: where there are too many to keep, that of the last days."""
        full = len(self.account.days[kind]) >= KINDS[kind]
        return (0.0, self.window[0]) if full or self.past is None else self.past


def signals_of(case: Case) -> list[Signal]:
    """Return what speaks against an account: family, figure, normal (of its own past, or None), threshold, weight, text, evidence."""
    login = case.account.kind == "login"
    rules = [volume, recipients, *([spread, credentials, senders, first] if login else []), hours, reputation, complaints]
    return [signal for signal in (rule(case) for rule in rules) if signal]


def _signal(family: str, weight: int, figure: float, normal: float | None, threshold: float, text: str, evidence: list[str]) -> Signal:
    return {
        "family": family, "weight": weight, "figure": figure, "normal": normal, "threshold": threshold, "text": text,
        "evidence": evidence[:5],
    }  # fmt: skip


def volume(case: Case) -> Signal | None:
    """More recipients in an hour, in the window or in a week than the account's own past makes likely."""
    account, limits, evidence = case.account, case.limits, case.account.lines("client")
    if case.past is None:
        peak = _peak(case)
        threshold = limits["recipients_per_hour_without_baseline"]
        unknown = "(how much is normal for it is not known)"
        if peak > threshold:
            return _signal("volume", 1, peak, None, threshold, f"{_burst(case, threshold)} {unknown}", evidence)
        threshold, sent = limits["recipients_per_day_without_baseline"], account.sums["recipients"]
        return _signal("volume", 1, sent, None, threshold, f"{total(case)} {unknown}", evidence) if sent > threshold else None
    normal, daily = fleet.of_hours(account, case.past), fleet.of_days(account, case.past)
    threshold = max(limits["recipients_per_hour"], _limit(case, normal))
    peak = _peak(case)
    if peak > threshold:
        text = f"{_burst(case, threshold)} (its normal: {_number(normal.median)} an hour)"
        return _signal("volume", 1, peak, normal.median, threshold, text, evidence)
    threshold, sent = max(limits["recipients_per_day"], _limit(case, daily)), account.sums["recipients"]
    if sent > threshold:
        text = f"{total(case)} (its normal: {_number(daily.median)} a day)"
        return _signal("volume", 1, sent, daily.median, threshold, text, evidence)
    weekly = fleet.of_weeks(account, case.past)
    threshold = max(limits["recipients_per_week"], limits["baseline_factor"] * weekly)
    sent = sum(hour.recipients for hour in _week(case))
    if sent > threshold:
        text = f"sent {_number(sent)} recipients in 7 days (its normal: {_number(weekly)} a week)"
        return _signal("volume", 1, sent, round(weekly, 1), threshold, text, evidence)
    return None


def recipients(case: Case) -> Signal | None:
    """Recipients that do not exist: who sends to a bought list does not know them (Exim wiki, BlockCracking)."""
    account, limits = case.account, case.limits
    usual = _share(fleet.within(account, *case.past)) if case.past else None
    share_limit = max(limits["unknown_share"], min(2 * (usual or 0), _MOST_USUAL_SHARE))
    unknown, answered = account.sums["unknown_recipients"], account.sums["sent"] + account.sums["bounced"]
    threshold, span = limits["unknown_recipients"], ""
    if unknown < threshold or unknown < share_limit * answered:
        week = _week(case)
        unknown, answered = sum(hour.unknown for hour in week), sum(hour.answered for hour in week)
        threshold, span = limits["unknown_recipients_per_week"], " in 7 days"
        if unknown < threshold or unknown < share_limit * answered:
            return None
    text = f"{100 * unknown / max(answered, 1):.0f} % unknown users{span}" + (f" (its normal: {100 * usual:.0f} %)" if usual else "")
    return _signal("recipients", 2, unknown, usual, threshold, text, account.lines("unknown"))


def spread(case: Case) -> Signal | None:
    """Sent from more addresses, networks or countries than one person is at in a day."""
    account, limits = case.account, case.limits
    clients = account.values["clients"]
    networks = {fleet.network(address) for address in clients}
    usual = fleet.of_values(account, "clients", case.past) if case.past else Normal(0, 0)
    usual_networks = fleet.of_values(account, "clients", case.past, fleet.network) if case.past else Normal(0, 0)
    normal = usual_networks.median if case.past else None
    where = "one network" if len(networks) == 1 else f"{len(networks)} networks"
    said = f"from {_at_least(account, 'clients')} addresses in {where}" + (
        f" (its normal: {_number(normal)})" if normal is not None else ""
    )
    countries = _countries(case)
    if countries:
        said += f", {', '.join(sorted(countries))} among them"
        return _signal("spread", 2, len(countries), 0, limits["client_countries"], said, account.lines("client"))
    threshold = max(limits["client_networks"], _limit(case, usual_networks))
    if len(networks) > threshold:
        return _signal("spread", 2, len(networks), normal, threshold, said, account.lines("client"))
    # One network has many addresses where a mobile carrier shares them.
    threshold = max(limits["client_addresses"], _limit(case, usual))
    if account.at_least["clients"] > threshold:
        return _signal(
            "spread", 1, account.at_least["clients"], usual.median if case.past else None, threshold, said, account.lines("client")
        )
    return None


def _countries(case: Case) -> set[str]:
    """Return the countries new to the account, where it sent from so many in the window that one of them must be a stranger's."""
    if case.country is None or case.past is None:
        return set()
    now = {case.country(address) for address in case.account.values["clients"]} - {None}
    known = {case.country(address) for address in fleet.before(case.account, "clients", case.window[0])}
    new = {name for name in now if name is not None} - known
    return new if len(now) >= case.limits["client_countries"] else set()


def credentials(case: Case) -> Signal | None:
    """Wrong passwords from many strange addresses, and mail from an address the account had not used before."""
    account, limits, begin = case.account, case.limits, case.window[0]
    addresses = fleet.before(account, "clients", begin) | fleet.before(account, "login_clients", begin) | account.known_clients
    # Who gets another address each day is in the same network still.
    known = {fleet.network(address) for address in addresses}
    strange = {address for address in account.values["failed_clients"] if fleet.network(address) not in known}
    usual = fleet.of_values(account, "failed_clients", case.remembered("failed_clients")) if case.past else Normal(0, 0)
    failed, many = account.sums["failed_logins"], max(limits["failed_login_clients"], _limit(case, usual) + 1)
    new = {fleet.network(address) for address in account.values["clients"]} - known
    unheard = (
        len(strange) if account.at_least["failed_clients"] == len(account.values["failed_clients"]) else account.at_least["failed_clients"]
    )
    if not account.sums["messages"] or not new or failed < limits["failed_logins"] or unheard < many:
        return None
    text = f"after {_number(failed)} failed logins from {_at_least(account, 'failed_clients')} addresses"
    return _signal("credentials", 2, failed, usual.median if case.past else None, limits["failed_logins"], text, account.lines("failed"))


def senders(case: Case) -> Signal | None:
    """Envelope senders that are not its own, and that it never used before."""
    account, limits = case.account, case.limits
    known = fleet.before(account, "senders", case.window[0]) | {account.name}
    usual = fleet.of_values(account, "senders", case.remembered("senders")) if case.past else Normal(0, 0)
    foreign = {sender for sender in account.values["senders"] - known if sender.partition("@")[0] != account.name}
    threshold = max(limits["foreign_senders"], _limit(case, usual))
    if len(foreign) <= threshold:
        return None
    text = f"under {len(foreign)} sender addresses that are not its own"
    return _signal("senders", 1, len(foreign), usual.median if case.past else None, threshold, text, account.lines("client"))


def first(case: Case) -> Signal | None:
    """An account that only read mail until now sends."""
    account, threshold = case.account, case.limits["first_recipients"]
    sent = account.sums["recipients"]
    if case.past is None or sent < threshold:
        return None
    begin = min(case.window[0], case.past[1])
    earlier = [hour for hour in account.hours.values() if hour.recipients and hour.hour < begin // HOUR]
    if earlier:
        return None
    return _signal("first", 1, sent, 0, threshold, "the first mail that it sends", account.lines("client"))


def hours(case: Case) -> Signal | None:
    """Mail at times of the day at which the account never sent."""
    if case.past is None:
        return None
    past = fleet.within(case.account, *case.past)
    used = {hour.hour % 24 for hour in past if hour.recipients}
    # Summer time moves a habit by an hour, and nobody is punctual.
    used |= {(hour + step) % 24 for hour in used for step in (-1, 1)}
    if len({hour.hour // 24 for hour in past}) < 5:
        return None
    now = fleet.within(case.account, *case.window)
    unusual = sum(hour.recipients for hour in now if hour.hour % 24 not in used)
    threshold = case.limits["unusual_hours_recipients"]
    if unusual < threshold or 2 * unusual < sum(hour.recipients for hour in now):
        return None
    text = f"{_number(unusual)} of them at hours at which it never sent before"
    return _signal("hours", 1, unusual, 0, threshold, text, case.account.lines("client"))


def reputation(case: Case) -> Signal | None:
    """Receivers refuse its mail for the server's reputation, and more than that of all others: a listed server's mail is refused anyway."""
    refusals, threshold = case.account.sums["reputation_refusals"], case.limits["reputation_refusals"]
    if refusals < threshold or 2 * refusals < case.refused:
        return None
    text = f"refused {_number(refusals)} times for the server's reputation"
    return _signal("reputation", 1, refusals, None, threshold, text, case.account.lines("refusal"))


def complaints(case: Case) -> Signal | None:
    """Recipients complained, by a feedback loop whose report is authentic (RFC 5965): newsletters get such reports too."""
    if case.complaints < case.limits["complaints"]:
        return None
    return _signal("complaints", 1, case.complaints, None, case.limits["complaints"], f"{_number(case.complaints)} complaints", [])


# ---- figures and words


def _limit(case: Case, normal: Normal) -> float:
    return normal.limit(case.limits["baseline_factor"], case.limits["baseline_deviations"]) if case.past else 0


def _week(case: Case) -> list[Hour]:
    return fleet.within(case.account, case.window[1] - WEEK, case.window[1])


def _peak(case: Case) -> int:
    inside = fleet.within(case.account, *case.window)
    # Where no history was told, the peaks of the hosts may have been in the same hour.
    return max((hour.recipients for hour in inside), default=case.account.sums["peak_hour_recipients"])


def _share(past: list[Hour]) -> float | None:
    answered = sum(hour.answered for hour in past)
    return sum(hour.unknown for hour in past) / answered if answered >= 100 else None


def _burst(case: Case, threshold: float) -> str:
    """Return what was sent in the hours around the busiest one that follow each other, and in which time."""
    inside = fleet.within(case.account, *case.window)
    if not inside:
        return total(case)
    peak = max(inside, key=lambda hour: hour.recipients).hour
    by_hour = {hour.hour: hour for hour in inside if hour.recipients > threshold / 4}
    low = high = peak
    while low - 1 in by_hour:
        low -= 1
    while high + 1 in by_hour:
        high += 1
    burst = [by_hour[hour] for hour in range(low, high + 1)]
    seconds = max(hour.last for hour in burst) - min(hour.first for hour in burst)
    return f"sent {_number(sum(hour.recipients for hour in burst))} recipients in {_duration(seconds)}"


def total(case: Case) -> str:
    """Return how much an account sent in the window."""
    span = case.window[1] - case.window[0]
    return f"sent {_number(case.account.sums['recipients'])} recipients in {_duration(span)}"


def _duration(seconds: float) -> str:
    if seconds < 90 * 60:
        return f"{max(1, round(seconds / 60))} min"
    return f"{round(seconds / HOUR)} h" if seconds <= 3 * DAY else f"{round(seconds / DAY)} days"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _at_least(account: Account, kind: str) -> str:
    count = account.at_least[kind]
    # A host keeps so many at most: at that number there may be more.
    return f"{'at least ' if count > len(account.values[kind]) or count >= KINDS[kind] else ''}{_number(count)}"

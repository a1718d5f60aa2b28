# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run's findings and logs say of each host and receiver, as a warm-up needs it. Three-valued: what could not be asked is unknown."""

from __future__ import annotations

import datetime
import typing as t

from ..findings.feeds import SNDS, SNDS_STATUS
from ..findings.observations import LISTED, WEIGHTY
from .warmup import Day, Observation

Row = dict[str, t.Any]
#: Whose opinion a feed is.
_FEEDS = {SNDS: "microsoft", SNDS_STATUS: "microsoft"}
_DAY = 86400


def observe(host: str, receiver: str, provider: str, log: Row, document: Row, today: int) -> Observation:
    """Return what is known. provider: the receiver's, as catalogue/receivers.yml has it; log: the host's result of mail_log_info; document:
    the findings, of which addresses and observations are read."""
    listed, why = _listings(host, provider, document, today)
    days, since, fault = _days(receiver, log)
    return Observation(days, since, listed, why or fault)


def _days(receiver: str, log: Row) -> tuple[tuple[Day, ...] | None, int | None, str]:
    if log.get("failed") or not isinstance(log.get("receivers"), dict):
        return None, None, f"the log was not read ({str(log.get('msg') or 'no result')[:200]})"
    counted = log["receivers"].get(receiver)
    if counted is None:
        return None, None, f"the log was read without the receiver {receiver}"
    since = counted["since"]
    # The day in which the log begins is known in part only.
    begun = None if since is None else int(-(-since // _DAY))
    days = tuple(Day(row["day"], row["sent"], row["put_off"], row["refused"]) for row in counted["days"])
    if not log.get("complete"):
        return None, begun, f"the log has gaps ({'; '.join(map(str, log.get('gaps', [])))[:200]})"
    return days, begun, ""


def _listings(host: str, provider: str, document: Row, today: int) -> tuple[dict[str, int] | None, str]:
    """Return by name the day since which each list, or the receiver itself, has the host; None and why where that is not known."""
    addresses = [row for row in document.get("addresses", []) if host in row["hosts"]]
    names = {row["address"] for row in addresses}
    found: dict[str, int] = {}
    unsure = [] if addresses else ["none of its addresses was asked for"]
    for row in document.get("observations", []):
        if row["subject"] not in names or row["kind"] != "block" or row["tier"] not in WEIGHTY or not _concerns(row["source"], provider):
            continue
        if row["outcome"] in LISTED and not row["suspected"]:
            found[f"{row['list']} ({row['subject']})"] = _day(row["since"], today)
        elif row["outcome"] not in ("clean", "allowed", "score"):
            unsure.append(f"{row['list']} says {row['outcome']} of {row['subject']}")
    for row in addresses:
        # What an error or a silence hides is said by the list's own row; an address that no list answered for has none.
        unasked = [source for source in row["unqualified"] if _concerns(source, provider)]
        if row["state"] == "unknown" and (unasked or not row["clean"]):
            unsure.append(f"{row['address']} is unknown to {', '.join(unasked)[:200] or 'every list'}")
    if found or not unsure:
        return found, ""
    return None, f"it is not known whether it is listed: {'; '.join(unsure)[:300]}"


def _concerns(source: str, provider: str) -> bool:
    """Whether what a source says counts at a provider's: a DNS list at all, a receiver's own word at its own alone."""
    if source.startswith("log:"):
        return source == f"log:{provider}"
    return _FEEDS.get(source, provider) == provider


def _day(since: str | None, today: int) -> int:
    """Return the day of an ISO 8601 time in UTC."""
    if not since:
        return today
    return datetime.date.fromisoformat(since[:10]).toordinal() - datetime.date(1970, 1, 1).toordinal()

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fleet signed up for, and whether it is alive: that data comes is seen in the findings, and nothing else is believed."""

from __future__ import annotations

import datetime
import typing as t

from ..findings import observations as seen_as
from ..findings.times import epoch, iso
from .case import CaseError

Row = dict[str, t.Any]

ALIVE, SILENT, LAPSED, MISSING, UNKNOWN = "alive", "silent", "lapsed", "missing", "unknown"


def rows(known: t.Sequence[Row], declared: t.Sequence[Row], document: Row, seen: t.Mapping[str, Row], now: float) -> list[Row]:
    """Return a row for each enrolment: what the catalogue says, state, why, last (when its data came last, ISO) and lapses.

    known: enrolments of delisting.yml; declared: of the inventory (id, mailbox, since); seen: what the ledger remembers of each (first,
    last). state: alive, data comes; silent, it came or should come, and does not; lapsed, its time is over; missing, nobody signed up;
    unknown, nothing that a run reads shows it."""
    given = {}
    for number, row in enumerate(declared):
        if not isinstance(row, dict) or row.get("id") not in {each["id"] for each in known}:
            names = ", ".join(each["id"] for each in known)
            raise CaseError(f"delisting_enrolments[{number}] names {row.get('id') if isinstance(row, dict) else row!r}: known are {names}")
        given[row["id"]] = row
    return [_row(entry, given.get(entry["id"]), document, seen.get(entry["id"]), now) for entry in known]


def _row(entry: Row, own: Row | None, document: Row, seen: Row | None, now: float) -> Row:
    came = comes(entry, document)
    since = _since(own)
    lapses = since + entry["lapses_days"] * 86400.0 if since is not None and "lapses_days" in entry else None
    state, why = UNKNOWN, "nothing that a run reads shows it"
    if lapses is not None and lapses <= now:
        state, why = LAPSED, f"it is to be renewed every {entry['lapses_days']:g} days"
    elif came:
        state, why = ALIVE, came
    elif "alive" in entry and (own or seen):
        state, why = SILENT, f"no data since {seen['last'][:10]}" if seen else "no data came yet"
    elif not own:
        state, why = MISSING, "nobody signed up, as far as is known"
    facts = {name: entry.get(name) for name in ("id", "name", "for", "url", "mailbox", "proof", "note")}
    own_mailbox = {"mailbox": str(own["mailbox"])} if own and own.get("mailbox") else {}
    last = iso(now) if came else (seen or {}).get("last")
    return {**facts, **own_mailbox, "state": state, "why": why, "last": last, "lapses": iso(lapses) if lapses is not None else None}


def _since(own: Row | None) -> float | None:
    if not own or not own.get("since"):
        return None
    try:
        return epoch(f"{datetime.date.fromisoformat(str(own['since']))}T00:00:00.000000Z")
    except ValueError:
        raise CaseError(f"delisting_enrolments: since of {own['id']} is {own['since']!r}: it is a date such as 2026-11-03") from None


def comes(entry: Row, document: Row) -> str:
    """Return what shows that data of an enrolment comes, an empty text where nothing does."""
    alive = entry.get("alive", {})
    if "feed" in alive:
        rows = [row for row in document["feeds"] if row["feed"].startswith(f"{alive['feed']},") and row["state"] == "current"]
        return f"{rows[0]['feed']} answers" if rows else ""
    if "complaints" in alive:
        return "a report came" if any(row["source"] == f"complaints:{alive['complaints']}" for row in document["observations"]) else ""
    if "allowed" in alive:
        said = [row for row in document["observations"] if row["source"] == alive["allowed"] and row["outcome"] == "allowed"]
        return f"{said[0]['subject']} is in it" if said else ""
    zone = alive.get("zone")
    heard = any(row["source"] == zone and row["outcome"] in seen_as.BELIEVED for row in document["observations"])
    heard = heard or any(zone in row["clean"] for row in [*document["addresses"], *document["names"]])
    return f"{zone} answers" if heard else ""

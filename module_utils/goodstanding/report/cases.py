# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The delistings before a person: cases of a list of which the same is known are one row, and why a gate is closed is said once."""

from __future__ import annotations

import typing as t

from ..delisting import case as states
from ..findings import cases

Row = dict[str, t.Any]
Document = dict[str, t.Any]

#: The states as a person reads them, what waits for that person first.
LABELS = {
    states.READY: "May be asked for now",
    states.PROVIDER_ONLY: "Only the owner of the network may ask",
    states.REFUSED: "Refused",
    states.EXPIRED: "Asked for, and listed still",
    states.OPEN: "New",
    states.GATED: "Something must hold first",
    states.SUBMITTED: "Asked for just now",
    states.WAITING: "Waiting for the list",
    states.CLEARED: "Over",
}
#: A request is under way, or nothing is to be asked for: gates keep nothing.
_NO_GATES = (states.SUBMITTED, states.WAITING, states.CLEARED)
#: So many rows are written out, and so many reasons of gates; report.json has all.
MAX_ROWS, MAX_GATES = 500, 100
#: What a row says, and may share with others.
_SHARED = ("state", "list", "name", "who", "submitted_at", "not_before", "expected", "requests", "relisted")


def view(document: Document) -> Row | None:
    """Return what the page shows: state and why of the stage, states (state, label, total, lists), gates, enrolments, folder (of the
    dossiers), left (rows left out); None where nobody was to follow the cases."""
    part = document["delisting"]
    if part["state"] == cases.OFF:
        return None
    rows = groups(document["cases"])
    shown = rows[:MAX_ROWS]
    found = []
    for state, label in LABELS.items():
        lists: dict[str, Row] = {}
        for row in shown:
            if row["state"] == state:
                entry = lists.setdefault(row["list"], {"name": row["name"], "rows": [], "total": 0})
                entry["rows"].append(row)
                entry["total"] += len(row["subjects"])
        total = sum(row["state"] == state for row in document["cases"])
        if total:
            found.append({"state": state, "label": label, "total": total, "lists": list(lists.values())})
    folder = next((row["dossier"].rpartition("/")[0] for row in document["cases"] if row["dossier"]), None)
    return {**part, "states": found, "gates": _gates(document["cases"]), "enrolments": document["enrolments"], "folder": folder,
            "left": len(rows) - len(shown)}  # fmt: skip


def counts(document: Document) -> dict[str, int]:
    """Return how many cases are in each state there is."""
    return {state: sum(row["state"] == state for row in document["cases"]) for state in states.STATES}


def groups(found: t.Iterable[Row]) -> list[Row]:
    """Return a row for cases of a list of which the same is known, by state, those of most subjects first.

    state, list, name, who, next, frozen, override, submitted_at, not_before, expected, requests, relisted as in the document, with ADDRESS
    for the subject where there are several; url, None where each subject has its own; subjects (subject, url); closed, names of gates;
    opened, of the oldest."""
    joined: dict[tuple[t.Any, ...], Row] = {}
    for row in found:
        texts = {name: cases.general(row, row[name] or "") for name in ("next", "url", "frozen")}
        closed = tuple(gate["gate"] for gate in row["gates"] if not gate["overridden"] and row["state"] not in _NO_GATES)
        over = row["override"]
        key = (*(row[name] for name in _SHARED), *texts.values(), closed, over and (over["reason"], tuple(over["gates"]), over["at"]))
        entry = joined.get(key)
        if entry is None:
            entry = joined[key] = {
                **{name: row[name] for name in (*_SHARED, "next", "url", "frozen", "override", "opened")}, "subjects": [],
                "closed": closed,
            }  # fmt: skip
        elif not entry["subjects"][1:]:
            # What names one subject is not right of two.
            entry.update(next=texts["next"], frozen=texts["frozen"] or None, url=row["url"] if texts["url"] == row["url"] else None)
        entry["subjects"].append({"subject": row["subject"], "url": row["url"] or ""})
        entry["opened"] = min(entry["opened"], row["opened"])
    order = list(LABELS)
    return sorted(joined.values(), key=lambda row: (order.index(row["state"]), -len(row["subjects"]), row["list"]))


def _gates(found: t.Iterable[Row]) -> Row:
    """Return why gates are closed: rows (gate, state, why, cases: how many it concerns, overridden: for how many of them a person opened
    it, subjects), left."""
    told: dict[tuple[str, str, str], Row] = {}
    for row in found:
        for gate in row["gates"] if row["state"] not in _NO_GATES else ():
            why = cases.general(row, gate["why"])
            key = (gate["gate"], gate["state"], why)
            entry = told.setdefault(key, {**{name: gate[name] for name in ("gate", "state")}, "why": why, "subjects": [], "overridden": 0})
            entry["subjects"].append(row["subject"])
            entry["overridden"] += gate["overridden"]
    for entry in told.values():
        entry["cases"] = len(entry["subjects"])
        entry["subjects"] = list(dict.fromkeys(entry["subjects"]))
    rows = sorted(told.values(), key=lambda row: (-row["cases"], row["gate"]))
    return {"rows": rows[:MAX_GATES], "left": max(0, len(rows) - MAX_GATES)}

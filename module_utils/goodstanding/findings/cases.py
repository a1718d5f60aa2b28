# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The delistings in the document: cases and enrolments, as the module delisting_case follows them, and what of them is left to whom.

A case is what follows a finding, and none itself: it does not change the status of a run.
"""

from __future__ import annotations

import typing as t

from ..delisting.case import PROVIDER_ONLY, READY, SUBMITTED, WAITING
from ..delisting.enrolments import LAPSED, MISSING
from .ended import HOLDS

Row = dict[str, t.Any]

#: What became of the stage: nobody was to follow the cases, they were followed, they were left alone for a reason, or that failed.
OFF, FOLLOWED, SKIPPED, FAILED = "off", "followed", "skipped", "failed"
_FIELDS = (
    "case", "subject", "list", "name", "sources", "state", "next", "who", "url", "opened", "submitted_at", "not_before", "expected",
    "requests", "relisted", "frozen", "override", "dossier",
)  # fmt: skip
_MAX_TEXT, _MAX_STEP = 1000, 200
#: So many subjects of a point are named.
_FEW = 3


def off() -> Row:
    """Return the document's part where nobody was to follow the cases."""
    return _part(OFF, "nobody followed the cases in this run")


def _part(state: str, why: str) -> Row:
    return {"delisting": {"state": state, "why": why[:_MAX_TEXT]}, "cases": [], "enrolments": []}


def section(given: Row) -> Row:
    """Return the document's part. given: cases and enrolments of delisting_case; or skipped, why nobody followed them; or msg of a failure.

    Of a case's gates, those that hold are left out, and so is its history, which the ledger has."""
    if given.get("skipped"):
        return _part(SKIPPED, str(given["skipped"]))
    if "cases" not in given:
        return _part(FAILED, str(given.get("msg") or "nobody could follow them"))
    rows = [
        {**{name: row[name] for name in _FIELDS}, "next": row["next"][:_MAX_TEXT],
         "gates": [gate for gate in row["gates"] if gate["state"] != HOLDS]}
        for row in given["cases"]
    ]  # fmt: skip
    return {"delisting": {"state": FOLLOWED, "why": ""}, "cases": rows, "enrolments": given["enrolments"]}


def may_be_asked(row: Row) -> bool:
    """Whether a person may ask in this case now, or let the owner of the network ask."""
    return row["state"] in (READY, PROVIDER_ONLY) and all(gate["overridden"] for gate in row["gates"])


def general(row: Row, text: str) -> str:
    """Return a text of a case without its subject, so that the same said of many is told once."""
    return text.replace(row["subject"], "ADDRESS")


def steps(document: Row) -> dict[tuple[str, str], str | None]:
    """Return by (subject, source) what comes next for a listing that has a case; None where points() says it, or where it was asked for."""
    told: dict[tuple[str, str], str | None] = {}
    for row in document["cases"]:
        quiet = may_be_asked(row) or row["state"] in (SUBMITTED, WAITING)
        step = row["next"] if len(row["next"]) <= _MAX_STEP else f"{row['next'][:_MAX_STEP]} … (its case says all)"
        told.update({(row["subject"], source): None if quiet else step for source in row["sources"]})
    return told


def points(document: Row, point: t.Callable[[str, str, str, str | None, str], None]) -> None:
    """Say what may be asked for now, what was asked for, and which enrolment is missing or has lapsed."""
    part = document["delisting"]
    if part["state"] == FAILED:
        step = f"Repair it, then run playbooks/delist.yml -e findings=reports/{document['run']['id']}/findings.json."
        point("warning", "administrator", f"the delistings could not be followed: {part['why']}", None, step)
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in document["cases"]:
        if may_be_asked(row):
            found.setdefault(("warning", row["state"], row["list"], general(row, row["next"])), []).append(row)
        elif row["state"] in (SUBMITTED, WAITING):
            found.setdefault(("info", row["state"], row["list"], general(row, row["next"])), []).append(row)
    for (severity, state, _, step), rows in found.items():
        what = f"{_some([row['subject'] for row in rows])} {'is' if len(rows) == 1 else 'are'} listed in {rows[0]['name']}"
        if state == READY:
            what += ", and a delisting may be asked for now"
        elif state == PROVIDER_ONLY:
            what += f", and a delisting may be asked for now, by the owner of the network alone ({rows[0]['who']})"
        # Waits for an answer, or for the entry's own end.
        point(severity, "postmaster", what, None, rows[0]["next"] if len(rows) == 1 else step)
    for row in document["enrolments"]:
        if row["state"] == LAPSED:
            point("warning", "administrator", f"{row['name']} has lapsed: {row['why']}", None, f"Renew it: {row['url']}")
    missing = [row["name"] for row in document["enrolments"] if row["state"] == MISSING]
    if missing:
        step = "Sign up where it serves you (the report has where, and with what); say what you have in delisting_enrolments."
        point("info", "administrator", f"nobody signed up, as far as is known, for {', '.join(missing)}", None, step)


def _some(names: t.Sequence[str]) -> str:
    told = ", ".join(names[:_FEW])
    return f"{told} and {len(names) - _FEW} more" if len(names) > _FEW else told

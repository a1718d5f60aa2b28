# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A summary in Markdown, for a comment of a CI job or a chat: the verdict, what is left to whom, accounts, listings."""

from __future__ import annotations

import re
import typing as t

from . import cases, page, verdict

Row = dict[str, t.Any]
Document = dict[str, t.Any]

#: A comment is read whole or not at all: so many rows of a table.
MAX_ROWS = 20
_SIGNS = {"not_contained": "🔴", "findings": "🟠", "unknown": "⚪", "clean": "🟢"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&$])")


def text(value: t.Any) -> str:
    """Return a text that Markdown shows as it is, in one line: no link, picture or markup of a stranger's, and nobody is mentioned."""
    line = " ".join("".join(char if char.isprintable() else " " for char in str(value)).split())
    # A word joiner, which is not seen: without it "@name" calls somebody. In an address it is left out, so that it can be copied.
    return re.sub(r"(?<![A-Za-z0-9_.+-])@", "@\u2060", _SPECIAL.sub(r"\\\1", line))


def build(document: Document) -> str:
    """Return the summary of a document (redact it before, where others read it)."""
    run = document["run"]
    by_plan = f", by the plan {run['plan']['sha256'][:12]} of run {text(run['plan']['run'])}" if run.get("plan") else ""
    check = ", check mode: nothing was changed" if run["check_mode"] else ""
    lines = [
        f"## {_SIGNS[run['status']]} Good Standing: {verdict.NAMES[run['status']]}",
        f"**{text(verdict.sentence(document))}**",
        f"Run {text(run['id'])}, {text(run['inventory'])}, mode {run['mode']}{by_plan}{check}",
        _table(["", "", ""], [[row["label"], row["figure"], row["note"]] for row in verdict.figures(document)]),
    ]
    for row in page.people(document["open_points"]):
        if row["now"]:
            lines.append(f"### {text(row['who']).capitalize()}")
            lines.append(
                _table(["", "What", "Next step"], [[point["severity"], point["what"], point["next_step"]] for point in row["now"]])
            )
    accounts = [row for row in document["accounts"] if row["verdict"] != "exempt"]
    if accounts:
        lines += ["### Accounts", _table(["Account", "Verdict", "State", "Accepted after the lock"], [
            [row["account"], row["verdict"], row["state"].replace("_", " "), _known(row["accepted_after_lock"])] for row in accounts
        ])]  # fmt: skip
    if document["cases"]:
        counts = [f"{number:,} {state.replace('_', ' ')}" for state, number in cases.counts(document).items() if number]
        found = cases.groups(document["cases"])
        rows = [[row["state"].replace("_", " "), _subjects(row["subjects"]), row["name"], row["next"]] for row in found]
        lines += ["### Delistings", f"{', '.join(counts)}.", _table(["State", "Address or name", "List", "Next step"], rows)]
    later = sum(len(row["later"]) for row in page.people(document["open_points"]))
    unchecked = sum(len(group["rows"]) for group in page.unchecked(document))
    lines.append(f"{verdict.count(later, 'point')} can wait; {verdict.count(unchecked, 'thing')} could not be checked: see report.html.")
    return "\n\n".join(lines) + "\n"


def plan(lines: list[str]) -> str:
    """Return a plan (plan.summary()) for whoever approves it."""
    return "\n".join([f"## {text(lines[0])}", "", *[f"* {text(line)}" for line in lines[1:]]]) + "\n"


def _known(number: int | None) -> str:
    return "not known" if number is None else str(number)


def _subjects(rows: list[Row]) -> str:
    names = ", ".join(row["subject"] for row in rows[:3])
    return f"{names} and {len(rows) - 3:,} more" if len(rows) > 3 else names


def _table(names: list[str], rows: list[list[t.Any]]) -> str:
    lines = [names, ["---"] * len(names), *[[text(cell) for cell in row] for row in rows[:MAX_ROWS]]]
    more = f"\n\n{len(rows) - MAX_ROWS} more: see report.html." if len(rows) > MAX_ROWS else ""
    return "\n".join(f"| {' | '.join(row)} |" for row in lines) + more

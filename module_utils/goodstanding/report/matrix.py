# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A matrix, each answer with its reason a click away: of addresses (or names) by the sources that say something of them, and of whom
receivers look at by the rules that they ask for.

A fleet may have a thousand addresses and fifty lists: a source that calls all of them clean gets no column, and rows of which nothing but
the same is known are one.
"""

from __future__ import annotations

import typing as t

from ..findings.observations import LISTED, WEIGHTY

Row = dict[str, t.Any]
Document = dict[str, t.Any]

#: So many reasons of a matrix are written out; report.json has all.
MAX_REASONS = 3000
#: Rows that are alike are one from so many on.
ALIKE = 4
#: So many rows are one table: what is more comes in parts by host, each of which is opened by itself.
MAX_ROWS = 100
#: What needs no column.
_QUIET = {"clean", "holds", "not_asked"}
#: What a cell of lists may say, the worst first.
STATES = ("listed", "unknown", "noted", "score", "allowed", "clean", "not_asked")


class _Matrix:
    """Collects rows. kind: names it in the page; word: what a row is about; whole: whether a column of what is well is shown, too."""

    def __init__(self, kind: str, word: str, columns: list[Row], whole: bool) -> None:
        self.kind, self.word, self.columns, self.whole = kind, word, columns, whole
        self.rows: list[Row] = []
        self.reasons: list[Row] = []
        self.left = 0

    def reason(self, state: str, title: str, parts: list[Row]) -> str | None:
        """Keep a reason and return its id. parts: badge, text, facts (name, value, and whether it is a time or a link)."""
        if len(self.reasons) >= MAX_REASONS:
            self.left += 1
            return None
        self.reasons.append({"id": f"r-{self.kind}-{len(self.reasons)}", "state": state, "title": title, "parts": parts})
        return str(self.reasons[-1]["id"])

    def add(self, subject: str, hosts: list[str], state: str, cells: list[tuple[str, str | None]], last: t.Any = None) -> None:
        self.rows.append({"subjects": [subject], "hosts": hosts, "state": state, "cells": cells, "last": last})

    def result(self, states: t.Mapping[str, str], **more: t.Any) -> Row:
        """Return kind, word, states (their labels, with how many), parts (label, columns, groups), reasons, left (those left out), total,
        used (the states of cells).

        A column: name, note. A group: state, label, rows, total. A row: subjects, hosts, state, cells (state, id of the reason or None),
        last (what its last cell says). states: labels of states in their order."""
        rows = self._joined()
        totals = {state: sum(len(row["subjects"]) for row in rows if row["state"] == state) for state in states}
        by_host: dict[str, list[Row]] = {}
        for row in rows:
            by_host.setdefault(", ".join(row["hosts"][:3]) if len(rows) > MAX_ROWS else "", []).append(row)
        parts = [
            self._part(host, found[start : start + MAX_ROWS], states)
            for host, found in by_host.items() for start in range(0, len(found), MAX_ROWS)
        ]  # fmt: skip
        found = [{"state": state, "label": label, "total": totals[state]} for state, label in states.items() if totals[state]]
        parts.sort(key=lambda part: [-part["totals"].get(state, 0) for state in states])
        return {"kind": self.kind, "word": self.word, "states": found, "parts": parts, "reasons": self.reasons, "left": self.left,
                "total": len(self.rows), "used": {state for row in rows for state, _ in row["cells"]}, **more}  # fmt: skip

    def _joined(self) -> list[Row]:
        """Return the rows, those that are alike and give no reasons as one."""
        alike: dict[tuple[t.Any, ...], list[Row]] = {}
        rows = []
        for row in self.rows:
            if any(reason for _, reason in row["cells"]):
                rows.append(row)
            else:
                alike.setdefault((row["state"], tuple(row["cells"]), row["last"]), []).append(row)
        for same in alike.values():
            if len(same) < ALIKE:
                rows.extend(same)
            else:
                hosts = sorted({host for row in same for host in row["hosts"]})
                rows.append({**same[0], "subjects": [row["subjects"][0] for row in same], "hosts": hosts})
        return rows

    def _part(self, label: str, rows: list[Row], states: t.Mapping[str, str]) -> Row:
        kept = [number for number in range(len(self.columns)) if self.whole or any(row["cells"][number][0] not in _QUIET for row in rows)]
        rows = [{**row, "cells": [row["cells"][number] for number in kept]} for row in rows]
        groups = []
        for state, label_of in states.items():
            found = [row for row in rows if row["state"] == state]
            total = sum(len(row["subjects"]) for row in found)
            groups += [{"state": state, "label": label_of, "rows": found, "total": total}] if found else []
        totals = {group["state"]: group["total"] for group in groups}
        return {"label": label, "columns": [self.columns[number] for number in kept], "groups": groups, "totals": totals}


def state_of(row: Row) -> str:
    """Return what an observation makes of a cell; noted: listed, in a list that decides nothing."""
    if row["suspected"] or row["outcome"] == "listed_unknown_code":
        return "unknown"
    if row["outcome"] in LISTED and row["kind"] == "block":
        return "listed" if row["tier"] in WEIGHTY else "noted"
    return {"allowed": "allowed", "score": "score", "listed": "noted", "clean": "clean"}.get(row["outcome"], "unknown")


def of_lists(document: Document, kind: str) -> Row:
    """Return the matrix of "addresses" or "names" by sources; silent: the sources that call clean all that they were asked about."""
    word = "address" if kind == "addresses" else "name"
    subjects = document[kind]
    said: dict[str, dict[str, list[Row]]] = {row[word]: {} for row in subjects}
    names = {row["zone"]: (row["list"], row["tier"]) for row in document["lists"]}
    for row in document["observations"]:
        if row["subject"] in said and (row["family"] == "domain") == (kind == "names"):
            said[row["subject"]].setdefault(row["source"], []).append(row)
            # A receiver's refusal bears the name of the host that it answered: the column is the receiver's.
            names[row["source"]] = (row["list"].partition(", as it answered")[0], row["tier"])
    telling = {zone for row in subjects for zone in row["unqualified"]} | {source for each in said.values() for source in each}
    listed = {source: sum(_cell(each.get(source, []), False, False)[0] == "listed" for each in said.values()) for source in telling}
    named = {source: names.get(source, (source, "")) for source in telling}
    sources = sorted(telling, key=lambda source: (named[source][1] or "Z", -listed[source], named[source][0]))
    columns = [{"name": named[source][0], "note": named[source][1] and f"({named[source][1]})"} for source in sources]
    matrix = _Matrix(kind, word, columns, False)
    cells = {}
    for row in subjects:
        clean, unqualified = set(row["clean"]), set(row["unqualified"])
        for source in sources:
            cells[row[word], source] = _cell(said[row[word]].get(source, []), source in clean, source in unqualified)
    reasons: dict[tuple[str, str], str | None] = {}
    # The worst first: there is no room for the reasons of all.
    for (subject, source), (state, told) in sorted(cells.items(), key=lambda each: STATES.index(each[1][0])):
        if told:
            title = f"{subject} in {named[source][0]}"
            reasons[subject, source] = matrix.reason(state, title, [_part(each) for each in told])
    for row in subjects:
        own = [(cells[row[word], source][0], reasons.get((row[word], source))) for source in sources]
        matrix.add(row[word], row["hosts"], row["state"], own, len(set(row["clean"])))
    silent = sorted({zone for row in subjects for zone in row["clean"]} - telling)
    states = {"listed": "Listed", "unknown": "Not known", "clean": "Clean"}
    return matrix.result(states, title=word.capitalize() + ("es" if kind == "addresses" else "s"), last="clean in", silent=silent)


def _cell(told: list[Row], clean: bool, unqualified: bool) -> tuple[str, list[Row]]:
    """Return what a cell says, and the answers that say so, the worst first."""
    if told:
        told = sorted(told, key=lambda row: STATES.index(state_of(row)))
        return state_of(told[0]), told
    return "unknown" if unqualified else "clean" if clean else "not_asked", []


def _part(row: Row) -> Row:
    delisting = row["delisting"] or {}
    facts = [
        ("Code", " ".join(row["codes"]), None),
        ("List", f"{row['list']} ({row['source']}), tier {row['tier']}{', of the ' + row['scope'] if row['scope'] else ''}", None),
        ("Since (UTC)", row["since"], "time"),
        ("Suspected", "a fault of resolver or list, until a second run says the same" if row["suspected"] else None, None),
        ("Its own words", row["reason"], None),
        ("Repair", row["repair"], None),
        ("Ask at", delisting.get("url") or delisting.get("mail"), "link"),
    ]
    return {"badge": row["outcome"], "text": "; ".join(row["meanings"]), "facts": [fact for fact in facts if fact[1]]}


def of_rules(authentication: Row) -> list[Row]:
    """Return the checklist of receivers' rules (mail_auth_info) as matrices: of domains, of addresses, and of the fleet as a whole."""
    hosts = {row["address"]: [row["host"]] for row in authentication["addresses"]}
    found: dict[str, dict[str, dict[str, Row]]] = {"domain": {}, "address": {}, "fleet": {}}
    for row in authentication["checklist"]:
        word = "fleet" if row["subject"] == "fleet" else "address" if row["subject"] in hosts or "/" in row["subject"] else "domain"
        found[word].setdefault(row["subject"], {})[row["rule"]] = row
    titles = {"domain": "Rules, by domain", "address": "Rules, by address", "fleet": "Rules that no record shows"}
    return [_rules(word, titles[word], answers, authentication["rules"], hosts) for word, answers in found.items() if answers]


def _rules(word: str, title: str, answers: dict[str, dict[str, Row]], rules: dict[str, Row], hosts: dict[str, list[str]]) -> Row:
    used = {rule for own in answers.values() for rule in own}
    order = sorted(used, key=lambda rule: (("everybody", "bulk", "advised").index(rules[rule]["applies"]), list(rules).index(rule)))
    notes = {"everybody": "", "bulk": "(bulk)", "advised": "(advised)"}
    columns = [{"name": name_of(rule), "note": notes[rules[rule]["applies"]]} for rule in order]
    matrix = _Matrix(f"rules-{word}", word, columns, True)
    for subject, own in answers.items():
        cells: list[tuple[str, str | None]] = []
        for rule in order:
            row = own.get(rule)
            if row is None or row["state"] == "holds":
                cells.append(("not_asked" if row is None else "holds", None))
            else:
                parts = [_rule_part(row, rules[rule])]
                cells.append((row["state"], matrix.reason(row["state"], f"{subject}: {name_of(rule)}", parts)))
        states = {state for state, _ in cells}
        state = next((state for state in ("does_not", "unknown") if state in states), "holds")
        matrix.add(subject, hosts.get(subject, []), state, cells)
    labels = {"does_not": "A rule does not hold", "unknown": "Not known", "holds": "All hold"}
    return matrix.result(labels, title=title, last=None)


def name_of(rule: str) -> str:
    """Return how a rule (spf_or_dkim) is called before a person."""
    return " ".join(word.upper() if word in ("spf", "dkim", "dmarc", "tls", "helo") else word for word in rule.split("_"))


def _rule_part(row: Row, rule: Row) -> Row:
    facts = [
        ("Rule", rule["text"], None),
        ("Asked by", ", ".join(name.capitalize() for name in rule["receivers"]), None),
        ("Refusals that name it", " ".join(rule["codes"]), None),
        ("Repair", row["repair"], None),
        ("Source", rule["source"], "link"),
    ]
    return {"badge": row["state"], "text": row["why"], "facts": [fact for fact in facts if fact[1]]}

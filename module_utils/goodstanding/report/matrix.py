# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix of addresses (or names) by sources: who says what of whom, each answer with its reason.

A fleet may have a thousand addresses and fifty lists: a source that calls all of them clean gets no column, and addresses of which nothing
but the same is known share a row.
"""

from __future__ import annotations

import typing as t

from ..findings.observations import LISTED, WEIGHTY

Row = dict[str, t.Any]
Document = dict[str, t.Any]

#: So many reasons are written out; report.json has all.
MAX_REASONS = 3000
#: Addresses that are alike share a row from so many on.
ALIKE = 4
#: What a cell may say, the worst first.
STATES = ("listed", "unknown", "noted", "score", "allowed", "clean", "not_asked")


def state_of(row: Row) -> str:
    """Return what an observation makes of a cell; noted: listed, in a list that decides nothing."""
    if row["suspected"] or row["outcome"] == "listed_unknown_code":
        return "unknown"
    if row["outcome"] in LISTED and row["kind"] == "block":
        return "listed" if row["tier"] in WEIGHTY else "noted"
    return {"allowed": "allowed", "score": "score", "listed": "noted", "clean": "clean"}.get(row["outcome"], "unknown")


def build(document: Document, kind: str) -> Row:
    """Return the matrix of "addresses" or "names": columns (source, name, tier, failed), groups (state, rows), clean (names of the sources
    without a column), reasons (id, state, subject, observation), left (how many reasons were left out).

    A row: subjects, hosts, state, cells (state, id of the reason or None, word), clean (how many sources said so)."""
    word = kind[:-2] if kind == "addresses" else kind[:-1]
    subjects = document[kind]
    said: dict[str, dict[str, list[Row]]] = {row[word]: {} for row in subjects}
    names: dict[str, tuple[str, str]] = {}
    for row in document["lists"]:
        names[row["zone"]] = (row["list"], row["tier"])
    for row in document["observations"]:
        if row["subject"] in said and (row["family"] == "domain") == (kind == "names"):
            said[row["subject"]].setdefault(row["source"], []).append(row)
            # A receiver's refusal bears the name of the host that it answered: the column is the receiver's.
            names[row["source"]] = (row["list"].partition(", as it answered")[0], row["tier"])
    failed = {row["zone"] for row in document["lists"]}
    open_ = {zone for row in subjects for zone in row["unqualified"]} | {source for each in said.values() for source in each}
    columns = [
        {"source": source, "name": names.get(source, (source, ""))[0], "tier": names.get(source, ("", ""))[1], "failed": source in failed}
        for source in open_
    ]
    listed = {source: sum(_cell(each.get(source, []), False, False)[0] == "listed" for each in said.values()) for source in open_}
    columns.sort(key=lambda column: (column["tier"] or "Z", -listed[column["source"]], str(column["name"])))
    reasons: list[Row] = []
    rows, alike, left = [], {}, 0
    for row in subjects:
        clean, unqualified = set(row["clean"]), set(row["unqualified"])
        cells = []
        for column in columns:
            source = column["source"]
            state, told = _cell(said[row[word]].get(source, []), source in clean, source in unqualified)
            reason = None
            if told and len(reasons) < MAX_REASONS:
                reason = f"r-{kind[0]}{len(reasons)}"
                reasons.append({"id": reason, "state": state, "subject": row[word], "name": column["name"], "said": told})
            elif told:
                left += 1
            cells.append({"state": state, "reason": reason, "many": len(told)})
        entry = {"subjects": [row[word]], "hosts": row["hosts"], "state": row["state"], "cells": cells, "clean": len(clean)}
        if said[row[word]]:
            rows.append(entry)
        else:
            alike.setdefault((row["state"], frozenset(clean), frozenset(unqualified)), []).append(entry)
    for same in alike.values():
        if len(same) < ALIKE:
            rows.extend(same)
        else:
            hosts = sorted({host for entry in same for host in entry["hosts"]})
            rows.append({**same[0], "subjects": [entry["subjects"][0] for entry in same], "hosts": hosts})
    groups = []
    for state in ("listed", "unknown", "clean"):
        found = [row for row in rows if row["state"] == state]
        groups += [{"state": state, "rows": found, "total": sum(len(row["subjects"]) for row in found)}] if found else []
    silent = {zone for row in subjects for zone in row["clean"]} - open_
    return {
        "kind": kind, "word": word, "columns": columns, "reasons": reasons, "left": left, "total": len(subjects), "groups": groups,
        "clean": sorted(silent),
    }  # fmt: skip


def _cell(told: list[Row], clean: bool, unqualified: bool) -> tuple[str, list[Row]]:
    """Return what a cell says, and the answers that say so, the worst first."""
    if told:
        told = sorted(told, key=lambda row: STATES.index(state_of(row)))
        return state_of(told[0]), told
    return "unknown" if unqualified else "clean" if clean else "not_asked", []

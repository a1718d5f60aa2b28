# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sending limits of the hosts in the document: do they limit, and who met one."""

from __future__ import annotations

import typing as t

from .times import iso

Row = dict[str, t.Any]
#: So many accounts that met a limit are kept of a host, those refused most often first.
MAX_MET = 50
_SHADOW = "the limits only count (rate_limit_mode: shadow)"


def rows(given: t.Mapping[str, Row]) -> list[Row]:
    """Return a row per host of what rate_limit_info answered; state: present, absent, damaged (they are set and do not limit), unknown."""
    return [_row(host, answer) for host, answer in sorted(given.items())]


def _row(host: str, answer: Row) -> Row:
    if answer.get("failed") or "state" not in answer:
        why = str(answer.get("msg") or "nobody looked at the sending limits")[:500]
        return {"host": host, "state": "unknown", "engine": None, "shadow": None, "canary": None, "why": why, "met": []}
    faults = [str(fault) for fault in answer["faults"]]
    canary = answer.get("canary") or {}
    if canary.get("state") == "accepted" and answer["state"] == "present" and not answer["shadow"]:
        faults.append(f"a test account could exceed its limit: {canary.get('why') or ''}".rstrip(": "))
    elif canary.get("state") == "unknown":
        faults.append(f"whether a test account is refused beyond its limit is not known: {canary.get('why') or ''}".rstrip(": "))
    state = answer["state"]
    if state == "present" and (answer["faults"] or (canary.get("state") == "accepted" and not answer["shadow"])):
        state = "damaged"
    met = sorted(answer["met"], key=lambda hit: (-int(hit["refusals"]), str(hit["key"])))[:MAX_MET]
    return {
        "host": host, "state": state, "engine": answer["engine"], "shadow": answer["shadow"], "canary": canary.get("state"),
        "why": "; ".join(faults)[:500], "met": [_met(hit) for hit in met],
    }  # fmt: skip


def _met(hit: Row) -> Row:
    times = {name: iso(float(hit[name])) for name in ("first", "last")}
    names = {name: str(hit[name])[:320] for name in ("scope", "key", "window", "kind")}
    return {**names, "refusals": int(hit["refusals"]), **times}


def proven(found: list[Row]) -> dict[str, Row]:
    """Return per host what condition 9 of the outbreak's end asks: is a test account that exceeds its limit refused? (see ended.Case)"""
    told = {}
    for row in found:
        why = row["why"]
        if row["state"] == "absent":
            state, why = "accepted", "no sending limit is set on this host (role rate_limit)"
        elif row["shadow"]:
            state, why = "accepted", _SHADOW
        elif row["state"] == "damaged":
            state = "accepted"
        elif row["state"] == "present" and row["canary"] == "refused":
            state = "refused"
        else:
            state, why = "unknown", why or "no test account was tried"
        told[row["host"]] = {"state": state, "why": why}
    return told


def damaged(document: Row) -> list[Row]:
    """Return the hosts on which limits are set and do not limit."""
    return [row for row in document["limits"] if row["state"] == "damaged"]


def points(document: Row, point: t.Callable[[str, str, str, str | None, str], None]) -> None:
    """Say which host does not limit, and who met a limit."""
    for row in document["limits"]:
        if row["state"] == "damaged":
            step = "That mail flows without a limit. Repair the engine (docs/limits.md), or run playbooks/limit.yml again."
            point("critical", "administrator", f"{row['host']} does not limit all that is sent: {row['why']}", row["host"], step)
        elif row["why"] and row["state"] == "present":
            point("warning", "administrator", f"{row['host']}: {row['why']}", row["host"], "Repair it and run again.")
    met: dict[tuple[str, str, str, str, str], list[Row]] = {}
    for row in document["limits"]:
        for hit in row["met"]:
            where = row["host"] if hit["scope"] == "uid" else ""  # on another host the number may be another user's
            met.setdefault((hit["kind"], hit["scope"], hit["key"], hit["window"], where), []).append({**hit, "host": row["host"]})
    for (kind, scope, key, window, _), hits in sorted(met.items(), key=lambda each: each[0]):
        times, hosts = sum(hit["refusals"] for hit in hits), ", ".join(hit["host"] for hit in hits)
        limit = "would have met its limit" if kind == "shadow" else f"met its {kind} limit"
        what = f"{scope} {key} {limit} per {window} {times} times on {hosts}"
        whom = "Look which program sends as that user" if scope == "uid" else "Ask the owner"
        step = f"{whom}; where the mail is wanted, raise the limit (rate_limit_overrides, with a reason and a date)."
        point("info" if kind == "shadow" else "warning", "administrator", what, hits[0]["host"], step)

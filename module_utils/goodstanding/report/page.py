# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page and the summary show, worked out of the document; nothing here knows HTML."""

from __future__ import annotations

import typing as t

from ..findings.times import epoch
from . import activity, cases, matrix, timeline, verdict

Row = dict[str, t.Any]
Document = dict[str, t.Any]

#: How what was done is taken back.
_UNDO = {
    "lock": "playbooks/reinstate.yml -e account={account} lets the account in again, and sets back exactly what the lock set.",
    "hold": "The mail goes by itself at the time that is named; exempt the account (abuse_triage_exempt), and the next run lets it go.",
    "reinstate": "playbooks/remediate.yml -e containment_mode=lock locks it again, where something speaks against it.",
}
#: A table of more rows than this is closed at first.
MANY = 12


def view(document: Document) -> Row:
    """Return what the template shows beside the document itself."""
    return {
        "sentence": verdict.sentence(document),
        "status": verdict.NAMES[document["run"]["status"]],
        "figures": verdict.figures(document),
        "people": people(document["open_points"]),
        "activity": activity.build(document),
        "timeline": timeline.build(document),
        "accounts": [{"last_accepted": None, **row, "proof": _proof(document, row)} for row in document["accounts"]],
        "earlier": _earlier(document),
        "matrices": [matrix.of_lists(document, kind) for kind in ("addresses", "names") if document[kind]],
        "delistings": cases.view(document),
        "authentication": _authentication(document),
        "conditions": [{**row, "answers": _answers(row["hosts"])} for row in document["outbreak"]["conditions"]],
        "unchecked": unchecked(document),
        "changes": [{**row, "undo": _undo(row)} for row in document["actions"]],
        "many": MANY,
    }


def _authentication(document: Document) -> Row | None:
    """Return what receivers see of the fleet, with matrices, rule_names and the age of keys in days; None where nobody was to be asked."""
    found = document.get("authentication") or {"state": "off"}
    if found["state"] == "off":
        return None
    now = epoch(document["run"]["finished"] or document["run"]["started"])
    keys = [{**key, "days": int((now - epoch(key["since"])) // 86400) if key["since"] else None} for key in found["keys"]]
    names = {rule: matrix.name_of(rule) for rule in found["rules"]}
    return {**found, "keys": keys, "matrices": matrix.of_rules(found), "rule_names": names}


def people(points: list[Row]) -> list[Row]:
    """Return who has to do what: who, now (critical and warning), later (info); whoever has the most urgent comes first."""
    found: dict[str, Row] = {}
    for point in points:
        row = found.setdefault(point["who"], {"who": point["who"], "now": [], "later": []})
        row["later" if point["severity"] == "info" else "now"].append(point)
    return sorted(found.values(), key=lambda row: not row["now"])


def _proof(document: Document, account: Row) -> list[Row]:
    """Return per host what is known of an account's lock: what this run did, and what the host itself has."""
    held = {entry["host"]: entry for row in document["locks"] if row["account"] == account["account"] for entry in row["hosts"]}
    rows = [{"refused_after_lock": None, **entry} for entry in account["hosts"]]
    for row in rows:
        row.update({name: value for name, value in held.pop(row["host"], {}).items() if row.get(name) is None})
    others = [{**entry, "state": "locked", "held_messages": None, "detail": f"by run {entry['incident']}"} for entry in held.values()]
    return sorted([*rows, *others], key=lambda row: str(row["host"]))


def _earlier(document: Document) -> list[Row]:
    """Return the locks of accounts that this run's verdict does not name."""
    named = {row["account"] for row in document["accounts"]}
    return [row for row in document["locks"] if row["account"] not in named]


def _answers(rows: list[Row]) -> list[Row]:
    """Return what the hosts say of a condition, those that say the same as one: state, why, hosts; what does not hold comes first."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        found.setdefault((row["state"], row["why"]), []).append(row["host"])
    order = ("does_not", "unknown", "holds")
    return [
        {"state": state, "why": why, "hosts": hosts}
        for (state, why), hosts in sorted(found.items(), key=lambda item: (order.index(item[0][0]), -len(item[1])))
    ]


def _undo(action: Row) -> str:
    if action["result"] == "would_change":
        return "Nothing was changed: check mode."
    if action["result"] == "ok":
        return "Nothing was changed: it was so already."
    return _UNDO.get(action["action"], "").format(account=action["account"] or "ACCOUNT")


def unchecked(document: Document) -> list[Row]:
    """Return what could not be checked, by what it is: title, rows (what, why, repair)."""
    groups: list[tuple[str, list[Row]]] = []

    def group(title: str, rows: t.Iterable[tuple[t.Any, t.Any, t.Any]]) -> None:
        found = [{"what": what, "why": why or "", "repair": repair or ""} for what, why, repair in rows]
        if found:
            groups.append((title, found))

    again = "Repair it and run again."
    nobody = [] if document["hosts"] else [("the fleet", "no host was looked at", "Name the hosts in the inventory's group mail_servers.")]
    group("Hosts", nobody + [(row["host"], row["reason"], again) for row in document["hosts"] if not row["assessed"]])
    group("Gaps in logs", [(row["host"], gap, "") for row in document["hosts"] for gap in (row["log"] or {}).get("gaps", [])])
    lists: dict[tuple[str, str], list[str]] = {}
    for row in document["lists"]:
        name = f"{row['list']} ({row['zone']}), tier {row['tier']}"
        known = lists.setdefault((f"{row['why']} (through {row['resolver']})", row["repair"] or ""), [])
        known.extend([] if name in known else [name])
    group("Lists that could not be believed", [("; ".join(names), why, repair) for (why, repair), names in lists.items()])
    group(
        "Resolvers", [(row["address"], row["why"] or row["note"], row["repair"]) for row in document["resolvers"] if not row["qualified"]]
    )
    group(
        "Feeds of providers",
        [(row["feed"], row["why"] or row["state"], row["repair"]) for row in document["feeds"] if row["state"] != "current"],
    )
    fault = "Look at the resolver and at the list's own page, and run again: a second run that says the same is believed."
    group("Suspected faults", [(f"{row['source']} {row['code']}", row["why"], fault) for row in document["suspected_faults"]])
    group("The inventory", [(f"{row['subject']} of {row['host']}", row["why"], "Correct the inventory.") for row in document["rejected"]])
    group(
        "Mail after a lock",
        [
            (f"{row['account']} on {entry['host']}", "its log could not be read to the end", "Run playbooks/remediate.yml again.")
            for row in document["accounts"] for entry in row["hosts"]
            if entry["state"] == "locked" and entry["accepted_after_lock"] is None and row["verdict"] == "compromised"
        ],
    )  # fmt: skip
    for kind, word in (("addresses", "address"), ("names", "name")):
        open_ = [row[word] for row in document[kind] if row["state"] == "unknown"]
        why = "a source that receivers weigh gave no answer that could be believed: the matrix names it"
        group(f"{kind.capitalize()} that are not known", [(", ".join(open_), why, "")] if open_ else [])
    conditions = [(row, each) for row in document["outbreak"]["conditions"] for each in row["hosts"] if each["state"] == "unknown"]
    group("The outbreak's end", [(f"{row['number']}. {row['name']}, on {each['host']}", each["why"], "") for row, each in conditions])
    group("The lock's plumbing", [(row["host"], row["why"], again) for row in document["drift"] if row["state"] == "unknown"])
    group("Sending limits", [(row["host"], row["why"], again) for row in document["limits"] if "unknown" in (row["state"], row["canary"])])
    seen = document.get("authentication") or {"state": "off", "checklist": []}
    if seen["state"] == "unknown":
        group("What receivers see", [("the fleet", seen["why"], again)])
    rules: dict[tuple[str, str], list[str]] = {}
    for row in seen["checklist"]:
        if row["state"] == "unknown":
            rules.setdefault((row["why"], row["repair"]), []).append(f"{row['subject']}: {matrix.name_of(row['rule'])}")
    group("Rules of receivers", [("; ".join(names), why, repair) for (why, repair), names in rules.items()])
    delisting = document["delisting"]
    if delisting["state"] in ("skipped", "failed"):
        step = f"playbooks/delist.yml -e findings=reports/{document['run']['id']}/findings.json, once that is repaired."
        group("Delistings", [("the cases", delisting["why"], step if delisting["state"] == "failed" else "")])
    frozen: dict[tuple[str, str], list[str]] = {}
    for row in cases.groups(document["cases"]):
        if row["frozen"] and row["state"] != "cleared":
            frozen.setdefault((row["name"], row["frozen"]), []).extend(each["subject"] for each in row["subjects"])
    told = [(f"{name}: {', '.join(subjects)}", why, "The case goes on as soon as an answer can be believed.")
            for (name, why), subjects in frozen.items()]  # fmt: skip
    group("Cases of which nothing is known", told)
    left: dict[str, list[str]] = {}
    for row in document["left_out"]:
        left.setdefault(row["why"], []).append(f"{row['list']} ({row['zone']})")
    group("Lists that were not asked", [("; ".join(names), why, "") for why, names in left.items()])
    return [{"title": title, "rows": rows} for title, rows in groups]

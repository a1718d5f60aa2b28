# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict of a run in one sentence, and the figures beside it; every output of the document begins with them."""

from __future__ import annotations

import typing as t

from ..findings import authentication, cases, limits, locks

Row = dict[str, t.Any]
Document = dict[str, t.Any]

#: What a status is called before a person.
NAMES = {"not_contained": "Not contained", "findings": "Findings", "unknown": "Not all is known", "clean": "Clean"}
OUTBREAK = {"none": "no outbreak", "ended": "ended", "not_ended": "not ended", "not_proven": "not proven to have ended"}
_OPENINGS = ("mail of ", "sending limits ", "the outbreak ", "whether ", "what ", "nothing ", "no host ", "it is ")
_SENTENCES = {"ended": "the outbreak has ended", "not_ended": "the outbreak has not ended",
              "not_proven": "whether the outbreak has ended is not proven"}  # fmt: skip


def count(number: int, one: str, many: str | None = None) -> str:
    """Return "1 host", "2 hosts", "1,000 hosts"."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def subjects(document: Document) -> list[Row]:
    """Return the rows of addresses, then those of names."""
    return [*document["addresses"], *document["names"]]


def looked(document: Document) -> bool:
    """Whether the run looked at the fleet; one that only lets an account in again knows nothing of logs, lists and outbreak."""
    return not any(row["verdict"] == "reinstated" for row in document["accounts"])


def sentence(document: Document) -> str:
    """Return what a person must know first."""
    status = document["run"]["status"]
    if not looked(document):
        parts = [_reinstated(row) for row in document["accounts"]]
    else:
        parts = [*_leaks(document), *_accounts(document), *_others(document)]
        if status != "clean":
            parts += [_SENTENCES[document["outbreak"]["state"]]] if document["outbreak"]["conditions"] else []
            parts += _unknown(document)
    if status == "clean" and document["addresses"]:
        names = f" and {count(len(document['names']), 'name')}" if document["names"] else ""
        hosts = count(len(document["hosts"]), "host")
        parts.append(f"{count(len(document['addresses']), 'address', 'addresses')}{names} of {hosts} are clean, and no account stands out")
    text = "; ".join(parts) or ("nothing is wrong" if status == "clean" else "it is not known whether anything is wrong")
    # The name of an account or a host stays as it is.
    return f"{text[0].upper() if text.startswith(_OPENINGS) else text[0]}{text[1:]}."


def _reinstated(row: Row) -> str:
    if row["state"] == "reinstated":
        return f"{row['account']} was let in again on {count(len(row['hosts']), 'host')}"
    locked = [entry["host"] for entry in row["hosts"] if entry["state"] == "locked"]
    return f"{row['account']} is not let in again on {_some(locked)}"


def _some(names: t.Sequence[str]) -> str:
    """Return up to three names, and how many more there are."""
    told = ", ".join(names[:3])
    return f"{told} and {len(names) - 3} more" if len(names) > 3 else told


def _leaks(document: Document) -> list[str]:
    """Return whose mail may still leave, and by which hosts: the reasons of not_contained."""
    leaks: dict[str, set[str]] = {}
    for row in [*document["accounts"], *document["locks"]]:
        for entry in row["hosts"]:
            if entry.get("state") == "not_contained" or entry["accepted_after_lock"]:
                leaks.setdefault(row["account"], set()).add(entry["host"])
    for drift in locks.unguarded(document):
        for account in drift["locks"]:
            leaks.setdefault(account, set()).add(drift["host"])
    hosts = sorted({host for names in leaks.values() for host in names})
    left = [row["account"] for row in document["accounts"] if row["state"] == "not_contained" and row["account"] not in leaks]
    parts = [f"mail of {_some(list(leaks))} may still leave by {_some(hosts)}"] if leaks else []
    return parts + ([f"{_some(left)} {'was' if len(left) == 1 else 'were'} not locked: the brake was reached"] if left else [])


def _accounts(document: Document) -> list[str]:
    broken = [row for row in document["accounts"] if row["verdict"] == "compromised"]
    suspects = [row for row in document["accounts"] if row["verdict"] == "suspect"]
    locked = [row for row in broken if row["state"] == "locked" or locks.is_locked(document, row["account"])]
    if len(broken) == 1:
        parts = [f"{broken[0]['account']} was broken into and is {'locked on every host' if locked else 'not locked'}"]
    else:
        state = "all are locked" if len(locked) == len(broken) else f"{len(locked)} of them are locked"
        parts = [f"{count(len(broken), 'account')} were broken into, {state}"] if broken else []
    return parts + ([f"{count(len(suspects), 'account')} {'is' if len(suspects) == 1 else 'are'} suspect"] if suspects else [])


def _others(document: Document) -> list[str]:
    parts = [f"{count(len(document['causes']), 'other cause')} found"] if document["causes"] else []
    for kind, one, many in (("addresses", "address", "addresses"), ("names", "name", "names")):
        listed = [row for row in document[kind] if row["state"] == "listed"]
        if listed:
            parts.append(f"{len(listed):,} of {count(len(document[kind]), one, many)} {'is' if len(listed) == 1 else 'are'} listed")
    failing = authentication.failing(document)
    parts += [f"what receivers ask of everybody does not hold of {_some(failing)}"] if failing else []
    broken = [row["host"] for row in limits.damaged(document)]
    return parts + ([f"sending limits do not limit on {_some(broken)}"] if broken else [])


def _unknown(document: Document) -> list[str]:
    unknown = [row for row in subjects(document) if row["state"] == "unknown"]
    if not document["hosts"]:
        return ["no host was looked at"]
    hosts = [row["host"] for row in document["hosts"] if not row["assessed"]]
    parts = [f"{_some(hosts)} could not be assessed"] if hosts else []
    if unknown:
        parts.append(f"{len(unknown):,} of {count(len(subjects(document)), 'address or name', 'addresses and names')} could not be judged")
    return parts + (["whether what receivers ask of everybody holds is not known"] if authentication.unproven(document) else [])


def locked(document: Document) -> list[str]:
    """Return the accounts that are locked on some host."""
    return sorted(
        {row["account"] for row in document["locks"]} | {row["account"] for row in document["accounts"] if row["state"] == "locked"}
    )


def figures(document: Document) -> list[Row]:
    """Return what the head of a page shows in figures: label, figure, note, state (good, bad, open)."""
    hosts, rows = document["hosts"], subjects(document)
    assessed = sum(row["assessed"] for row in hosts)
    states = {state: sum(row["state"] == state for row in rows) for state in ("listed", "unknown", "clean")}
    broken = sum(row["verdict"] == "compromised" for row in document["accounts"])
    suspects = sum(row["verdict"] == "suspect" for row in document["accounts"])
    outbreak = document["outbreak"]
    asked = [] if not looked(document) else [
        {
            "label": "Addresses and names listed", "figure": f"{states['listed']:,} of {len(rows):,}",
            "note": f"{states['clean']:,} clean, {states['unknown']:,} not known",
            "state": "bad" if states["listed"] else "open" if states["unknown"] or not rows else "good",
        },
        {
            "label": "Accounts broken into", "figure": f"{broken:,}",
            "note": f"{count(len(locked(document)), 'account')} locked, {count(suspects, 'suspect')}",
            "state": "bad" if broken else "open" if suspects or not hosts or assessed < len(hosts) else "good",
        },
        {
            "label": "Outbreak", "figure": OUTBREAK[outbreak["state"]],
            "note": f"not before {outbreak['provable_from'][:16].replace('T', ' ')} UTC" if outbreak["provable_from"] else "",
            "state": {"none": "good", "ended": "good", "not_ended": "bad"}.get(outbreak["state"], "open"),
        },
    ]  # fmt: skip
    going = [row for row in document["cases"] if row["state"] != "cleared"]
    ready = sum(cases.may_be_asked(row) for row in going)
    delistings = [] if document["delisting"]["state"] != cases.FOLLOWED else [
        {
            "label": "Delistings", "figure": f"{ready:,} to ask for", "note": f"{count(len(going), 'case')} not over",
            "state": "open" if going else "good",
        },
    ]  # fmt: skip
    return [
        *asked,
        *delistings,
        {
            "label": "Hosts assessed",
            "figure": f"{assessed:,} of {len(hosts):,}",
            "note": "",
            "state": "good" if hosts and assessed == len(hosts) else "open",
        },
    ]

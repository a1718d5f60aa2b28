# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold before a list is asked to take a subject out, as the findings of a run know it. What is not known is a closed gate."""

from __future__ import annotations

import typing as t

from ..findings import limits
from ..findings.ended import DOES_NOT, HOLDS, UNKNOWN, all_of
from ..findings.times import epoch
from .case import Gate

Row = dict[str, t.Any]

OUTBREAK, ACCOUNT, QUEUE, LIMITS = "outbreak", "account", "queue", "limits"
#: What receivers check of an address that sends, and of a name.
OF_ADDRESS = ("fcrdns", "helo", "spf", "dkim", "dmarc")
OF_NAME = ("spf", "dkim", "dmarc")
#: Findings of longer ago than this say nothing of now.
FRESH = 6 * 3600.0
#: The condition of the verify run that is a gate of its own.
_QUEUE_CONDITION = 4
_VERIFY = "playbooks/verify.yml (a part of remediate.yml) asks for it"


def outside(document: Row, of_address: bool, authentication: t.Mapping[str, Gate], now: float) -> dict[str, Gate]:
    """Return the gates by name. document: the findings of a verify run; authentication: what is known of the subject, by the names of
    OF_ADDRESS or OF_NAME; one that is missing there is not known."""
    found = {OUTBREAK: _outbreak(document), ACCOUNT: _account(document), QUEUE: _queue(document), LIMITS: _limits(document)}
    for name in OF_ADDRESS if of_address else OF_NAME:
        found[name] = authentication.get(name, Gate(UNKNOWN, "nobody looked at it: playbooks/assess.yml does"))
    judged = epoch(document["run"]["asked"] or document["run"]["finished"] or document["run"]["started"])
    if now - judged > FRESH:
        old = Gate(UNKNOWN, f"the findings are of {document['run']['started'][:16]}: run playbooks/remediate.yml again")
        found = {name: old if gate.state == HOLDS else gate for name, gate in found.items()}
    return found


def _outbreak(document: Row) -> Gate:
    outbreak = document["outbreak"]
    open_ones = [row for row in outbreak["conditions"] if row["state"] != HOLDS]
    why = "; ".join(f"{row['number']}, {row['name']}: {_reasons(row)}" for row in open_ones)[:1000]
    if outbreak["state"] in ("ended", "none"):
        # The state follows from the conditions; a document that says otherwise is not believed.
        return Gate(UNKNOWN, why) if open_ones else Gate(HOLDS, "")
    if outbreak["state"] == "not_ended":
        return Gate(DOES_NOT, why or "an account stands out that is not locked")
    return Gate(UNKNOWN, why or _VERIFY)


def _reasons(condition: Row) -> str:
    return "; ".join(dict.fromkeys(f"{row['host']}: {row['why'] or row['state']}" for row in condition["hosts"] if row["state"] != HOLDS))


def _account(document: Row) -> Gate:
    """Whether every account that was used is locked, or let in again by playbooks/reinstate.yml."""
    free = [row["account"] for row in document["accounts"] if row["verdict"] == "compromised" and row["state"] != "locked"]
    free += [row["account"] for row in document["accounts"] if row["verdict"] == "reinstated" and row["state"] != "reinstated"]
    if free:
        return Gate(DOES_NOT, f"not locked on every host: {_few(free)}")
    lost = [row["host"] for row in document["drift"] if row["locks"]]
    if lost:
        return Gate(DOES_NOT, f"the lock's plumbing is gone on {_few(lost)}")
    said = []
    for row in document["locks"]:
        for entry in row["hosts"]:
            if entry["accepted_after_lock"]:
                return Gate(DOES_NOT, f"{entry['host']} accepted mail of {row['account']} after its lock")
            if entry["accepted_after_lock"] is None:
                said.append(entry["host"])
    if said:
        return Gate(UNKNOWN, f"whether mail was accepted after the lock is not known of {_few(said)}: {_VERIFY}")
    if document["locks"] or document["outbreak"]["state"] == "none":
        return Gate(HOLDS, "")
    return Gate(UNKNOWN, f"no account is locked, and whether one stands out is not known: {_VERIFY}")


def _queue(document: Row) -> Gate:
    outbreak = document["outbreak"]
    if outbreak["state"] == "none":
        return Gate(HOLDS, "")
    row = next((row for row in outbreak["conditions"] if row["number"] == _QUEUE_CONDITION), None)
    if row is None:
        return Gate(UNKNOWN, f"the queues were not searched: {_VERIFY}")
    return Gate(row["state"], "" if row["state"] == HOLDS else _reasons(row)[:1000])


def _limits(document: Row) -> Gate:
    """Whether a test account that exceeds its limit is refused on every host."""
    told, hosts = limits.proven(document["limits"]), [row["host"] for row in document["hosts"]]
    said = {"refused": HOLDS, "accepted": DOES_NOT}
    states = {host: said.get(told[host]["state"], UNKNOWN) if host in told else UNKNOWN for host in hosts}
    why = [f"{host}: {told.get(host, {}).get('why') or _VERIFY}" for host in hosts if states[host] != HOLDS]
    return Gate(all_of(states.values()), "; ".join(why)[:1000] or ("" if hosts else "the findings name no host"))


def _few(names: t.Sequence[str]) -> str:
    unique = sorted(set(names))
    return ", ".join(unique[:5]) + (f" and {len(unique) - 5} more" if len(unique) > 5 else "")

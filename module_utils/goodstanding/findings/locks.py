# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the document holds of the locks: who is locked where, which host lost the lock's plumbing, and whether the outbreak has ended.

The locks are those that the hosts have, whatever today's verdict says: after a day it does not name the account any more.
"""

from __future__ import annotations

import copy
import typing as t

from ..accounts.lock import login_can_stand
from ..triage.fleet import kind_of
from . import ended, limits
from .times import epoch, iso

Document = dict[str, t.Any]
#: Takes an open point: severity, who, what, host, next step.
Point = t.Callable[[str, str, str, "str | None", str], None]


def can_be_locked(account: str) -> bool:
    """Return whether it is an account that a lock stops: a login whose name a map can hold, or a local user but root."""
    return (kind_of(account) == "login" and login_can_stand(account)) or (
        kind_of(account) == "uid" and account.partition("@")[0] not in ("uid:0", "uid:root")
    )


def name_on(account: str, host: str) -> str | None:
    """Return the name of an account on a host: a login has the same on each, a local user (uid:33@HOST) is one of HOST alone."""
    if kind_of(account) == "login":
        return account
    return account[: -len(host) - 1] if account.endswith(f"@{host}") else None


def name_of(name: str, host: str) -> str:
    """Return how the fleet names the account that a host calls by this name; the other way round of name_on()."""
    return name if kind_of(name) == "login" or name.endswith(f"@{host}") else f"{name}@{host}"


def is_locked(document: Document, account: str) -> bool:
    """Whether an account is locked on every host that it is one of."""
    locked = {entry["host"] for row in document["locks"] if row["account"] == account for entry in row["hosts"]}
    return bool(locked) and locked >= {row["host"] for row in document["hosts"] if name_on(account, row["host"])}


def note(document: Document, account: str, host: str, incident: str, since: str) -> None:
    """Write down that an account is locked on a host; what is known of that lock already stays."""
    row = next((row for row in document["locks"] if row["account"] == account), None)
    if row is None:
        row = {"account": account, "incident": incident, "locked_at": since, "hosts": []}
        document["locks"] = sorted([*document["locks"], row], key=lambda each: str(each["account"]))
    known = next((entry for entry in row["hosts"] if entry["host"] == host), None)
    if known is None or known["locked_at"] != since:
        entry = {"host": host, "incident": incident, "locked_at": since, "accepted_after_lock": None, "refused_after_lock": None}
        row["hosts"] = sorted([each for each in row["hosts"] if each is not known] + [entry], key=lambda each: str(each["host"]))
    latest = max(row["hosts"], key=lambda each: str(each["locked_at"]))
    row["incident"], row["locked_at"] = latest["incident"], latest["locked_at"]


def prove(
    document: Document, given: t.Mapping[str, dict[str, t.Any]], now: float, window: float, settled: t.Callable[[str], float | None]
) -> Document:
    """Write down which accounts are locked on the hosts, where the lock's plumbing is gone, and whether the outbreak has ended.

    given: logs, proofs, queues, persistence and limits, each per host (see ended.Case), as far as they were asked for; window: in hours;
    settled: tells of an incident when the run that locked it had asked the lists, None where that is not known."""
    document = copy.deepcopy(document)
    proofs = {host: {"msg": proof.get("msg")} if proof.get("failed") else proof for host, proof in (given.get("proofs") or {}).items()}
    if proofs:
        document["locks"], before = [], document["locks"]
        for row in before:  # a host that cannot be asked has not lost its locks
            for entry in row["hosts"]:
                if "locks" not in proofs.get(entry["host"], {}):
                    note(document, row["account"], entry["host"], entry["incident"], entry["locked_at"])
        for host, proof in sorted(proofs.items()):
            for name, lock in sorted((proof.get("locks") or {}).items()):
                note(document, name_of(name, host), host, str(lock["incident"])[:80], iso(lock["locked_at"]))
        document["drift"] = [row for row in (_drift(document, *each) for each in sorted(proofs.items())) if row]
    if given.get("limits"):
        document["limits"] = limits.rows(given["limits"])
    case = _case(document, given, now, window * 3600)
    for row in document["locks"]:
        for entry in row["hosts"]:
            name = case.accounts(entry["host"])[row["account"]][0]
            counts = case.logs.get(entry["host"], {}).get("since", {}).get(name)
            since = max(epoch(entry["locked_at"]), now - window * 3600)
            if counts and not ended.lacks(case.logs[entry["host"]], since):
                entry["accepted_after_lock"], entry["refused_after_lock"] = counts["accepted_since"], counts["refused_since"]
    if document["locks"]:
        case = case._replace(settled=settled(max(document["locks"], key=lambda row: str(row["locked_at"]))["incident"]))
    document["outbreak"] = ended.judge(case)
    return document


def _drift(document: Document, host: str, proof: dict[str, t.Any]) -> dict[str, t.Any] | None:
    """Return what a host lost of the lock's plumbing, None where it is whole, or was never there and is not needed."""
    locked = [row["account"] for row in document["locks"] if host in [entry["host"] for entry in row["hosts"]]]
    state = (proof.get("plumbing") or {}).get("state")
    faults = ended.plumbing_faults(proof.get("plumbing") or {})
    if state == "absent" and not locked:
        return None
    if state not in ("present", "absent", "damaged"):
        state, faults = "unknown", [str(proof.get("msg") or "it was not looked at")[:500]]
    elif faults and state == "present":
        state = "damaged"
    return {"host": host, "state": state, "why": "; ".join(faults)[:500], "locks": locked} if faults else None


def _case(document: Document, given: t.Mapping[str, dict[str, t.Any]], now: float, window: float) -> ended.Case:
    locks = {row["account"]: {entry["host"]: epoch(entry["locked_at"]) for entry in row["hosts"]} for row in document["locks"]}
    unjudged = {}
    for row in document["hosts"]:
        log = row["log"]
        if log is None or not log["complete"]:
            unjudged[row["host"]] = "; ".join(log["gaps"]) if log else row["reason"] or "its log was not read"
    return ended.Case(
        hosts=[row["host"] for row in document["hosts"]],
        locks=locks,
        now=now,
        window=window,
        judged=epoch(document["run"]["started"]),
        others=[
            row["account"] for row in document["accounts"] if row["verdict"] in ("compromised", "suspect") and row["account"] not in locks
        ],
        unjudged=unjudged,
        lists=document["lists"],
        asked=document.get("asked", []),
        observations=document["observations"],
        subjects=[*document["addresses"], *document["names"]],
        logs=given.get("logs") or {},
        proofs=given.get("proofs") or {},
        queues=given.get("queues") or {},
        persistence=given.get("persistence") or {},
        limits=limits.proven(document["limits"]),
    )


def locked_at(document: Document) -> dict[str, dict[str, float]]:
    """Return per host, of every account that is locked anywhere, since when it is locked there, or where it is not, elsewhere (epoch).

    A local user is one of its own host alone, and has no host in its name there."""
    case = _case(document, {}, 0, 0)
    found = {host: dict(case.accounts(host).values()) for host in case.hosts}
    return {host: accounts for host, accounts in found.items() if accounts}


def unguarded(document: Document) -> list[dict[str, t.Any]]:
    """Return the hosts on which an account is locked, and the lock's plumbing is not whole."""
    return [row for row in document["drift"] if row["locks"] and row["state"] != "unknown"]


def points(document: Document, point: Point) -> None:
    """What is left of the locks on the hosts, also of those that today's verdict does not name any more."""
    reasons = {row["host"]: row["reason"] or "" for row in document["hosts"]}
    for row in document["drift"]:
        locked = f" {', '.join(row['locks'])} may send and log in there." if row["locks"] else ""
        if row["state"] == "unknown" and row["why"] in reasons.get(row["host"], ""):
            continue  # it is said already that the host could not be reached
        if row["state"] == "unknown":
            what = f"whether the lock's plumbing stands on {row['host']} is not known: {row['why']}"
            point("warning", "administrator", what, row["host"], "Repair it and run again.")
        else:
            what = f"{row['host']} lost the lock's plumbing: {row['why']}.{locked}"
            step = "Run playbooks/harden.yml, and find out what rewrote the configuration (a panel, another tool)."
            point("critical" if row["locks"] else "warning", "administrator", what, row["host"], step)
    told = {row["account"] for row in document["accounts"] if row["state"] in ("would_lock", "locked", "not_contained")}
    named = {row["account"] for row in document["accounts"] if row["verdict"] == "compromised"}
    asked = {row["host"] for row in document["hosts"]} - {row["host"] for row in document["drift"] if row["state"] == "unknown"}
    for row in document["locks"]:
        name = row["account"]
        if name in told:
            continue
        for entry in row["hosts"]:
            if entry["accepted_after_lock"]:
                what = f"{entry['host']} accepted {entry['accepted_after_lock']} messages of {name} after its lock"
                point("critical", "administrator", what, entry["host"], "Look at this host's log for the account and run again.")
        missing = sorted(asked - {entry["host"] for entry in row["hosts"]}) if kind_of(name) == "login" else []
        if missing and name not in named:
            what = f"{name} is locked on other hosts and not on {', '.join(missing)}"
            point("critical", "administrator", what, missing[0], "Lock it there too (role account_lock), or reinstate it everywhere.")
        point("warning", "owner of the account", f"{name} is locked since {row['locked_at'][:16]}Z", None, reinstate_step(name))
    outbreak = document["outbreak"]
    if not outbreak["conditions"] or outbreak["state"] == "ended":
        return
    open_ = [row for row in outbreak["conditions"] if row["state"] == ("does_not" if outbreak["state"] == "not_ended" else "unknown")]
    words = "the outbreak has not ended" if outbreak["state"] == "not_ended" else "whether the outbreak has ended is not proven"
    what = f"{words}: see condition {', '.join(str(row['number']) for row in open_)} in the report"
    step = f"Repair what lacks, and run playbooks/remediate.yml after {outbreak['provable_from'][:16]}Z."
    point("warning" if outbreak["state"] == "not_ended" else "info", "administrator", what, None, step)


def reinstate_step(name: str) -> str:
    return f"Give the owner a new password, clean their machines, then: playbooks/reinstate.yml -e account={name}"

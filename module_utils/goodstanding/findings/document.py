# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one document of a run: each stage reads it and writes its part; the report is the same document, finished.

Its shape is roles/report/files/report.schema.json, explained in docs/report.md. Times are ISO 8601 in UTC.
"""

from __future__ import annotations

import copy
import datetime
import re
import typing as t

from ..triage.fleet import kind_of
from . import activity, authentication, cases, limits, locks
from .observations import LISTED, WEIGHTY
from .times import iso

Document = dict[str, t.Any]

RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}\Z")
#: What the sources say, in the words of observations.gather().
SOURCES = ("addresses", "names", "observations", "lists", "asked", "resolvers", "feeds", "suspected_faults", "left_out", "rejected")
#: So many open points of one kind are written out; the tables hold all.
MAX_POINTS = 50
#: The brake of locks: this share of the accounts that the logs show, where it is more than account_lock_max.
LOCK_SHARE = 0.02
#: What the versions since 4 brought, as it is before anything is known of it.
_NEW: Document = {
    "locks": [],
    "drift": [],
    "limits": [],
    "warmups": [],
    "authentication": authentication.off("nobody asked in this run"),
    "activity": activity.NOTHING,
    "outbreak": {"state": "not_proven", "window_hours": None, "since": None, "provable_from": None, "conditions": []},
    **cases.off(),
}


class DocumentError(Exception):
    """A document or a stage's input cannot be used; the message says why."""


def start(run_id: str | None, inventory: str, mode: str, check_mode: bool, now: float, plan: Document | None = None) -> Document:
    """Return a new document; plan: of a run that carries one out (plan.carried()), which then does just that."""
    name = run_id or datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    if not RUN_ID.match(name):
        raise DocumentError(f"{name!r} is no name of a run: use letters, digits, dots, hyphens and underscores")
    return {
        "schema_version": 7,
        "run": {
            "id": name, "started": iso(now), "asked": None, "finished": None, "inventory": inventory, "mode": mode,
            "check_mode": check_mode, "status": "unknown", "accounts_seen": 0, **({"plan": plan} if plan else {}),
        },
        "hosts": [], **{name: [] for name in SOURCES}, "accounts": [], **copy.deepcopy(_NEW), "causes": [], "actions": [],
        "open_points": [],
    }  # fmt: skip


def upgrade(document: Document) -> Document:
    """Return the document of an earlier version as one of this version: an incident goes on over an upgrade."""
    if document.get("schema_version") not in (3, 4, 5, 6):
        return document
    run = {"accounts_seen": 0, "asked": None, **document["run"]} if isinstance(document.get("run"), dict) else document.get("run")
    return {"feeds": [], **copy.deepcopy(_NEW), **document, "run": run, "schema_version": 7}


def assess(document: Document, logs: dict[str, t.Any], verdict: dict[str, t.Any]) -> Document:
    """Write down what the logs say."""
    document = copy.deepcopy(document)
    unknown = {row["host"]: row["reason"] for row in verdict["unknown_hosts"]}
    document["hosts"] = [
        {
            "host": host,
            "assessed": host not in unknown,
            "contained": None,
            "reason": unknown.get(host),
            "log": _log(log),
        }
        for host, log in sorted(logs.items())
    ]
    document["accounts"] = [
        {
            "account": row["account"], "verdict": row["verdict"], "sentence": row["sentence"], "signals": row["signals"],
            "evidence": row["evidence"], "state": "open", "hosts": [], "locked_at": None, "accepted_after_lock": None, "held_messages": 0,
        }
        for row in verdict["accounts"]
    ]  # fmt: skip
    document["causes"] = verdict["causes"]
    # Anyone can type a login: who never sent or logged in is no account that a share is taken of.
    document["run"]["accounts_seen"] = len({
        name for log in logs.values() for name, row in (log.get("accounts") or {}).items()
        if kind_of(name) == "login" and (row.get("messages") or row.get("sent") or row.get("logins"))
    })  # fmt: skip
    return document


def _log(log: dict[str, t.Any]) -> dict[str, t.Any] | None:
    if "accounts" not in log:
        return None
    first, last = log["span"]["first"], log["span"]["last"]
    return {
        "kind": log["source"]["kind"],
        "paths": log["source"]["paths"],
        "complete": log["complete"],
        "gaps": log["gaps"],
        "first": iso(first) if first is not None else None,
        "last": iso(last) if last is not None else None,
        "refusals": log["refusals"],
    }


def reputation(document: Document, sources: dict[str, list[dict[str, t.Any]]], failed: str | None, now: float) -> Document:
    """Write down what the sources say of the addresses and names. sources: of observations.gather(); failed: why nobody was asked."""
    document = copy.deepcopy(document)
    document["run"]["asked"] = iso(now)
    document.update({name: sources[name] for name in SOURCES})
    asked = {host for row in document["addresses"] for host in row["hosts"]}
    for row in document["hosts"]:
        if row["host"] not in asked:
            own = [each["why"] for each in document["rejected"] if each["host"] == row["host"]]
            why = failed or "; ".join(own) or "the inventory gives it no sending_addresses"
            reasons = [row["reason"]] if row["reason"] else []
            row["assessed"], row["reason"] = False, "; ".join([*reasons, f"none of its addresses was asked about: {why}"])[:500]
    return document


def to_lock(document: Document, never: list[str], most: int) -> tuple[list[str], list[str]]:
    """Return (accounts to lock now, those beyond the brake): the compromised logins and local users, surest first, without those never to
    be locked.

    What is locked everywhere already is locked again, which changes nothing, and is not beyond the brake. It counts for the brake all the
    same: else the next run would lock the next few, and the one after it the others, without anybody having looked."""
    protected, plan = {name.strip().lower() for name in never}, document["run"].get("plan")
    compromised = [row["account"] for row in document["accounts"] if row["verdict"] == "compromised"]
    if plan:  # what a person approved is what the brake asks for
        return [name for name in compromised if name in plan["lock"] and name not in protected], []
    wanted = [name for name in compromised if locks.can_be_locked(name) and name not in protected]
    brake = max(most, int(LOCK_SHARE * document["run"]["accounts_seen"]))
    beyond = [name for name in wanted[brake:] if not locks.is_locked(document, name)]
    return [name for name in wanted if name not in beyond], beyond


def to_hold(document: Document, never: list[str]) -> list[str]:
    """Return the logins whose mail is to be held until somebody looked: suspects, and the compromised as long as they are not locked."""
    protected, plan = {name.strip().lower() for name in never}, document["run"].get("plan")
    names = [row["account"] for row in document["accounts"] if row["verdict"] in ("suspect", "compromised")]
    names = [name for name in names if name in plan["hold"]] if plan else names
    return [name for name in names if kind_of(name) == "login" and locks.can_be_locked(name) and name not in protected]


def hold(document: Document, results: dict[str, t.Any], now: float, wanted: t.Collection[str] = ()) -> Document:
    """Write down whose mail is held. results: per host the role's account_lock_hold_result, or a failed one; wanted: see to_hold.

    What a lock holds is told with the lock (contain)."""
    document = copy.deepcopy(document)
    rows = {row["account"]: row for row in document["accounts"] if row["verdict"] == "suspect" or row["account"] in wanted}
    for host, result in sorted(results.items()):
        if result.get("failed") and rows:
            _act(document, now, host, None, "hold", "failed", _fault(result))
        for name, held in sorted((result.get("holds") or {}).items()):
            row = rows.get(name)
            if row is None or row["state"] in ("locked", "would_lock"):
                continue
            state = f"would_be_{held['state']}" if document["run"]["check_mode"] else held["state"]
            detail = f"until {iso(held['until'])[:16]}Z at the latest" if held["state"] != "released" else "its time was over"
            row["held_messages"] += held.get("messages", 0)
            if row["verdict"] == "suspect":  # else what counts is that it is not locked
                entry = {"host": host, "state": state, "locked_at": None, "accepted_after_lock": None}
                row["hosts"].append({**entry, "held_messages": held.get("messages", 0), "detail": detail})
                row["state"] = state
            outcome = ("would_change" if document["run"]["check_mode"] else "changed") if result.get("changed") else "ok"
            _act(document, now, host, name, "hold", outcome, f"{state}, {held.get('messages', 0)} messages, {detail}")
    return document


def contain(document: Document, accounts: list[str], results: dict[str, t.Any], now: float, beyond: t.Sequence[str] = ()) -> Document:
    """Write down what the lock did. results: per attempted host the role's account_lock_result, or a failed one; beyond: the brake."""
    document = copy.deepcopy(document)
    check_mode, hosts = document["run"]["check_mode"], {row["host"]: row for row in document["hosts"]}
    for host, result in sorted(results.items()):
        row = hosts.setdefault(host, {"host": host, "assessed": False, "contained": None, "reason": None, "log": None})
        failed = bool(result.get("failed"))
        contained = None if check_mode and not failed else bool(not failed and result.get("contained"))
        row["contained"] = contained
        detail = _fault(result) if contained is False else None
        for account, name in ((account, locks.name_on(account, host)) for account in accounts):
            if name is None:
                continue
            locked_at = (result.get("locked_at") or {}).get(name)
            state = "would_lock" if contained is None else "locked" if contained else "not_contained"
            _account(document, account)["hosts"].append(
                {
                    "host": host,
                    "state": "locked" if locked_at and contained is not False else state,
                    "locked_at": iso(locked_at) if locked_at else None,
                    "accepted_after_lock": None,
                    "held_messages": int((result.get("held") or {}).get(name, 0)),
                    "detail": detail,
                }
            )
            outcome = (
                "failed" if contained is False else "would_change" if contained is None else "changed" if result.get("changed") else "ok"
            )
            text = detail or f"{result.get('sessions_closed', 0)} sessions closed, {result.get('moved', 0)} messages held"
            _act(document, now, host, account, "lock", outcome, text)
    document["hosts"] = [hosts[name] for name in sorted(hosts)]
    for account in accounts:
        row = _account(document, account)
        states = {entry["state"] for entry in row["hosts"]}
        row["state"] = next((state for state in ("not_contained", "would_lock", "locked") if state in states), "open")
        times = [entry["locked_at"] for entry in row["hosts"]]
        row["locked_at"] = max(times) if times and all(times) else None
        row["held_messages"] = sum(entry["held_messages"] for entry in row["hosts"])
        for entry in row["hosts"]:
            if entry["locked_at"]:
                locks.note(document, account, entry["host"], document["run"]["id"], entry["locked_at"])
    for account in beyond:
        _account(document, account)["state"] = "not_contained"
    return document


def _fault(result: dict[str, t.Any]) -> str:
    return (str(result.get("msg") or "") or "; ".join(result.get("faults") or []) or "the lock could not be proven")[:500]


def _account(document: Document, name: str) -> dict[str, t.Any]:
    for row in document["accounts"]:
        if row["account"] == name:
            found: dict[str, t.Any] = row
            return found
    raise DocumentError(f"the findings name no account {name}")


def _act(document: Document, now: float, host: str, account: str | None, action: str, result: str, detail: str) -> None:
    document["actions"].append(
        {"time": iso(now), "host": host, "account": account, "action": action, "result": result, "detail": detail[:500]}
    )


def verify(document: Document, logs: dict[str, t.Any]) -> Document:
    """Write down what each locked account still got accepted, from the logs read again."""
    document = copy.deepcopy(document)
    for row in document["accounts"]:
        for entry in row["hosts"]:
            log = logs.get(entry["host"], {})
            if entry["locked_at"] and log.get("complete"):
                entry["accepted_after_lock"] = int(log["accounts"].get(row["account"], {}).get("accepted_since", 0))
        counts = [entry["accepted_after_lock"] for entry in row["hosts"]]
        row["accepted_after_lock"] = sum(counts) if counts and None not in counts else None
    return document


def delist(document: Document, delisting: dict[str, t.Any]) -> Document:
    """Write down what became of the delistings. delisting: as cases.section() takes it."""
    return {**document, **cases.section(delisting)}


def shape(document: Document, warmups: list[dict[str, t.Any]]) -> Document:
    """Write down how much each receiver gets after a delisting (rows of warmup.decide())."""
    return {**document, "warmups": warmups}


def reinstate(document: Document, account: str, results: dict[str, t.Any], now: float) -> Document:
    """Write down that an account was let in again."""
    document = copy.deepcopy(document)
    check_mode = document["run"]["check_mode"]
    document["hosts"] = []
    entries = []
    for host, result in sorted(results.items()):
        failed = bool(result.get("failed"))
        document["hosts"].append(
            {"host": host, "assessed": not failed, "contained": None, "reason": _fault(result) if failed else None, "log": None}
        )
        state = "locked" if failed or check_mode else "reinstated"
        entries.append(
            {
                "host": host, "state": state, "locked_at": None, "accepted_after_lock": None, "held_messages": 0,
                "detail": _fault(result) if failed else None,
            }
        )  # fmt: skip
        changed = "would_change" if check_mode else "changed"
        outcome = "failed" if failed else changed if result.get("changed") else "ok"
        _act(document, now, host, account, "reinstate", outcome, _fault(result) if failed else "taken out of the lock's maps")
    document["accounts"] = [
        {
            "account": account, "verdict": "reinstated", "sentence": f"{account}: let in again by playbooks/reinstate.yml", "signals": [],
            "evidence": [], "state": "locked" if any(entry["state"] == "locked" for entry in entries) else "reinstated", "hosts": entries,
            "locked_at": None, "accepted_after_lock": None, "held_messages": 0,
        }
    ]  # fmt: skip
    return document


def conclude(document: Document, never: list[str], most: int) -> Document:
    """Return the document with its status so far and what is left to do."""
    document = copy.deepcopy(document)
    document["open_points"] = open_points(document, never, most)
    document["run"]["status"] = status(document)
    return document


def finish(document: Document, never: list[str], most: int, now: float) -> Document:
    """Return the concluded document with its end."""
    document = conclude(document, never, most)
    document["run"]["finished"] = iso(now)
    return document


def status(document: Document) -> str:
    """Return the worst that holds: not_contained, findings, unknown, clean."""
    accounts, states = document["accounts"], {row["state"] for row in [*document["addresses"], *document["names"]]}
    if any(row["state"] == "not_contained" or (row["accepted_after_lock"] or 0) > 0 for row in accounts):
        return "not_contained"
    if any(entry["accepted_after_lock"] for row in document["locks"] for entry in row["hosts"]) or locks.unguarded(document):
        return "not_contained"
    if any(
        row["verdict"] in ("compromised", "suspect") or (row["verdict"] == "reinstated" and row["state"] != "reinstated")
        for row in accounts
    ):
        return "findings"
    if "listed" in states or document["causes"] or limits.damaged(document) or authentication.failing(document):
        return "findings"
    if not document["hosts"] or not all(row["assessed"] for row in document["hosts"]):
        return "unknown"
    unproven = any(row["locks"] for row in document["drift"]) or authentication.unproven(document)
    return "unknown" if "unknown" in states or document["rejected"] or unproven else "clean"


def open_points(document: Document, never: list[str], most: int) -> list[dict[str, t.Any]]:
    """Return what is left to whom, the most urgent first."""
    points: list[dict[str, t.Any]] = []

    def point(severity: str, who: str, what: str, host: str | None, next_step: str) -> None:
        points.append({"severity": severity, "who": who, "what": what[:600], "host": host, "next_step": next_step})

    for row in document["hosts"]:
        if not row["assessed"]:
            point(
                "warning", "administrator", f"{row['host']} could not be assessed: {row['reason']}", row["host"], "Repair it and run again."
            )
    for row in document["causes"]:
        point("warning", "administrator", row["text"], row["host"], row["next_step"])
    for row in document["accounts"]:
        _account_points(document, row, {name.strip().lower() for name in never}, to_lock(document, never, most), point)
    locks.points(document, point)
    limits.points(document, point)
    authentication.points(document, point)
    cases.points(document, point)
    for row in document["warmups"]:
        if row["phase"] != "done":
            what = f"{row['host']} warms up at {row['receiver']}: {row['why']}"
            point("info", "administrator", what, row["host"], "Nothing has to be done; playbooks/shape.yml goes on, once a day.")
    _source_points(document, point)
    order = {"critical": 0, "warning": 1, "info": 2}
    return sorted(points, key=lambda row: order[row["severity"]])


def _source_points(document: Document, point: locks.Point) -> None:
    listed = [row for row in document["observations"] if row["kind"] == "block" and row["outcome"] in LISTED and not row["suspected"]]
    followed = cases.steps(document)
    # What may be asked for or was is told by its case.
    listed = [row for row in listed if followed.get((row["subject"], row["source"]), "") is not None]
    listed.sort(key=lambda row: row["tier"])
    for row in listed[:MAX_POINTS]:
        severity = "warning" if row["tier"] in WEIGHTY else "info"
        where = (row["delisting"] or {}).get("url") or (row["delisting"] or {}).get("mail") or "see the list's own page"
        step = f"{row['repair']} {followed.get((row['subject'], row['source'])) or f'Once the outbreak has ended: {where}'}"
        what = f"{row['subject']} is listed in {row['list']}: {'; '.join(row['meanings'])} {' '.join(row['codes'])}".strip()
        point(severity, "postmaster", what, row["hosts"][0] if row["hosts"] else None, step)
    if len(listed) > MAX_POINTS:
        what = f"{len(listed) - MAX_POINTS} more listings are in the table of observations"
        point("warning", "postmaster", what, None, "Begin with the lists of tier A.")
    judged = [row for row in document["observations"] if row["outcome"] == "score" and row["repair"]]
    for row in judged[:MAX_POINTS]:
        what = f"{row['list']} of {row['subject']}: {'; '.join(row['meanings'])}"
        point("warning" if row["tier"] in WEIGHTY else "info", "postmaster", what, row["hosts"][0] if row["hosts"] else None, row["repair"])
    for row in document["feeds"]:
        if row["why"]:
            severity = "info" if row["state"] in ("current", "no_data") else "warning"
            point(severity, "administrator", f"{row['feed']}: {row['why']}", None, row["repair"] or "Nothing has to be done.")
    for row in document["suspected_faults"]:
        step = "Look at the resolver and at the list's own page, and run again: a second run that says the same is believed."
        point("warning", "administrator", f"a fault of resolver or list is suspected: {row['why']}", None, step)
    faults: dict[tuple[str, str | None], list[str]] = {}
    for row in document["lists"]:
        names = faults.setdefault((row["why"], row["repair"]), [])
        names.extend([row["zone"]] if row["zone"] not in names else [])
    for (why, repair), zones in faults.items():
        what = f"{', '.join(zones[:3])}{f' and {len(zones) - 3} more lists' if len(zones) > 3 else ''} could not be believed: {why}"
        point("warning", "administrator", what, None, f"{repair or ''} Until then they say nothing about the fleet.".strip())
    for row in document["rejected"]:
        point("warning", "administrator", f"nobody was asked about {row['subject']}: {row['why']}", row["host"], "Correct the inventory.")


def _account_points(
    document: Document, row: dict[str, t.Any], never: set[str], to_be: tuple[list[str], list[str]], point: locks.Point
) -> None:
    name, lock = row["account"], "Run playbooks/remediate.yml with -e containment_mode=lock."
    wanted, beyond = to_be
    for entry in row["hosts"]:
        if entry["state"] == "not_contained":
            step = "Mail of this account may still leave by this host. Repair it and run playbooks/remediate.yml again."
            point("critical", "administrator", f"{name} is NOT CONTAINED on {entry['host']}: {entry['detail']}", entry["host"], step)
        if entry["accepted_after_lock"]:
            step = "Look at this host's log for the account and run again."
            what = f"{entry['host']} accepted {entry['accepted_after_lock']} messages of {name} after its lock"
            point("critical", "administrator", what, entry["host"], step)
        elif entry["state"] == "locked" and entry["accepted_after_lock"] is None and row["verdict"] == "compromised":
            what = f"whether {entry['host']} accepted mail of {name} after its lock is not known: its log could not be read to the end"
            point("warning", "administrator", what, entry["host"], "Run playbooks/remediate.yml again.")
        if entry["held_messages"] and row["verdict"] == "compromised":
            step = f"Look at one (postcat -q), then delete what is spam in the queue hold; mail_queue lists it by {name}."
            point(
                "info", "administrator", f"{entry['held_messages']} messages of {name} are on hold on {entry['host']}", entry["host"], step
            )
    if row["verdict"] == "compromised" and not locks.can_be_locked(name):
        point("critical", "administrator", row["sentence"], None if kind_of(name) == "login" else name.rpartition("@")[2], _stop(name))
    elif row["verdict"] == "compromised" and name in never:
        point("critical", "administrator", f"{name} was broken into and is in account_lock_never", None, "Decide yourself, now.")
    elif row["verdict"] == "compromised" and name in beyond:
        what = f"{name} was not locked: the brake account_lock_max was reached ({len(wanted)} of {len(wanted) + len(beyond)} accounts)"
        step = f"Look at all of them; then run again with -e account_lock_max={len(wanted) + len(beyond)}."
        point("critical", "administrator", what, None, step)
    elif row["verdict"] == "compromised" and row["state"] in ("open", "would_lock") and not locks.is_locked(document, name):
        why, plan = document["run"]["mode"], document["run"].get("plan")
        if plan and name not in plan["lock"]:
            why = f"it is not in the plan of run {plan['run']}"
            lock = "Assess again (playbooks/assess.yml) and approve that plan, or run playbooks/remediate.yml without a plan."
        point("critical", "administrator", f"{name} was broken into and is not locked ({why})", None, lock)
    if row["verdict"] == "compromised" and row["state"] == "locked":
        point("warning", "owner of the account", f"{name} is locked", None, locks.reinstate_step(name))
    if row["verdict"] == "suspect":
        waits = " Its mail is held until then." if row["state"] in ("held", "deferring") else ""
        step = f"Look at it; exempt it (abuse_triage_exempt) where this is wanted.{waits}"
        point("warning" if waits else "info", "administrator", row["sentence"], None, step)


def _stop(name: str) -> str:
    """Return how to stop what cannot be locked: what is no login, or a login by whose name no map can refuse."""
    if kind_of(name) == "login":
        return "No lock takes this name: change its password where it is kept, then restart Dovecot and Postfix, which ends its sessions."
    who = name.rpartition("@")[0]
    if who == "relay:internet":
        return "Correct smtpd_relay_restrictions and mynetworks (postconf -n), then postfix reload; hold what waits: postsuper -h."
    if who.startswith("relay:"):
        return f"Take {who[6:]} out of mynetworks, or off the net, and clean it; then postfix reload, and postsuper -h for what waits."
    return "A host needs this user: find the script that sends (cron jobs, the mail.log of PHP), and stop that."

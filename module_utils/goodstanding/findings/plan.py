# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan: what the findings would have done, in a file that a person approves by its SHA-256 and that is then done, or refused.

It is canonical JSON (sorted keys, ASCII alone, so that nothing in it hides on a terminal). Times are ISO 8601 in UTC.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import typing as t

import jsonschema

from . import document as stages
from . import locks
from .times import epoch, iso

Document = dict[str, t.Any]
Plan = dict[str, t.Any]

VERSION = 1
#: No plan is larger, in bytes: 10,000 hosts with the lines of a hundred accounts.
MAX_SIZE = 64 * 1024 * 1024
#: The verdict looks at a day of the log: what a plan says is not known to hold for longer, in hours.
MAX_HOURS = 24.0
#: So many accounts that are left alone are written out, the surest first; the report has all.
MAX_LEFT_OUT = 1000
#: The name of an account or a host is not longer.
MAX_NAME = 640
#: So far the clocks of two runners may be apart, in seconds.
CLOCKS = 300
#: So many differences are named.
_NAMED = 5
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_NAME: Document = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_TIME: Document = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"}
_WHY: Document = {"type": "string", "maxLength": 1000}
_HOSTS: Document = {"type": "array", "items": _NAME, "minItems": 1, "maxItems": 10_000}


def _object(**properties: Document) -> Document:
    return {"type": "object", "required": sorted(properties), "additionalProperties": False, "properties": properties}


_SHAPE = _object(
    plan_version={"const": VERSION},
    run={"type": "string", "pattern": "^" + stages.RUN_ID.pattern.replace(r"\Z", "$")},
    inventory={"type": "string", "maxLength": 255},
    made=_TIME,
    expires=_TIME,
    based_on=_object(
        findings_sha256={"type": "string", "pattern": "^[0-9a-f]{64}$"},
        hosts={
            "type": "array", "minItems": 1, "maxItems": 10_000,
            "items": _object(host=_NAME, address=_NAME, assessed={"type": "boolean"}, plumbing={"type": "string", "maxLength": 20}),
        },
    ),
    actions={
        "type": "array", "maxItems": 10_000,
        "items": _object(action={"enum": ["lock", "hold"]}, account=_NAME, hosts=_HOSTS, why=_WHY),
    },
    left_out={
        "type": "array", "maxItems": MAX_LEFT_OUT,
        "items": _object(account=_NAME, verdict={"type": "string", "maxLength": 20}, why=_WHY),
    },
)  # fmt: skip


class PlanError(Exception):
    """A plan is not carried out; the message says why and what to do, and names no account."""


def as_text(plan: Plan) -> str:
    """Return the plan as its file has it."""
    return json.dumps(plan, indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def digest(text: bytes) -> str:
    """Return the SHA-256 of a file, by which a plan is approved."""
    return hashlib.sha256(text).hexdigest()


def basis(document: Document) -> str:
    """Return the SHA-256 of what a plan follows from: hosts and accounts of the findings, which later stages of the same run keep."""
    told = {"hosts": document["hosts"], "accounts": document["accounts"]}
    return digest(json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode())


class Terms(t.NamedTuple):
    """What the inventory says of actions: accounts that are never locked, the brake of locks, whether suspects' mail is held, and for how
    many hours a plan may be carried out."""

    never: list[str]
    most: int
    hold: bool
    hours: float


def make(document: Document, fleet: dict[str, str], plumbing: dict[str, str], terms: Terms, now: float) -> Plan:
    """Return the plan of assessed findings. fleet: per host the address to which Ansible connects; plumbing: per host its state.

    ValueError where terms.hours is none that a plan may have."""
    if not 0 < terms.hours <= MAX_HOURS:
        raise ValueError(f"plan_valid_hours is {terms.hours:g}: it is a number of hours above 0 and up to {MAX_HOURS:g}, such as 6 or 0.5")
    wanted, beyond = stages.to_lock(document, terms.never, terms.most)
    unguarded = {name for row in locks.unguarded(document) for name in row["locks"]}
    done = [name for name in wanted if locks.is_locked(document, name) and name not in unguarded]
    lock = [name for name in wanted if name not in done]
    hold = [name for name in stages.to_hold(document, terms.never) if name not in wanted] if terms.hold else []
    rows = {row["account"]: row for row in document["accounts"]}

    def action(verb: str, name: str) -> Document:
        hosts = [host for host in sorted(fleet) if locks.name_on(name, host)]
        return {"action": verb, "account": name, "hosts": hosts, "why": rows[name]["sentence"][:1000]}

    # Also those whose mail is held in the place of a lock: who approves has to know.
    others = [
        row
        for row in document["accounts"]
        if row["verdict"] in ("compromised", "suspect") and (row["account"] in beyond or row["account"] not in (*lock, *hold))
    ]
    return {
        "plan_version": VERSION,
        "run": document["run"]["id"],
        "inventory": document["run"]["inventory"][:255],
        "made": iso(now),
        "expires": iso(now + terms.hours * 3600),
        "based_on": {
            "findings_sha256": basis(document),
            "hosts": [
                {"host": row["host"], "address": fleet[row["host"]], "assessed": row["assessed"],
                 "plumbing": str(plumbing.get(row["host"]) or "unknown")[:20]}
                for row in document["hosts"] if row["host"] in fleet
            ],
        },
        "actions": [action("lock", name) for name in lock if any(locks.name_on(name, host) for host in fleet)]
        + [action("hold", name) for name in hold],
        "left_out": [
            {"account": row["account"][:MAX_NAME], "verdict": row["verdict"], "why": _left_out(row, terms, done, beyond)}
            for row in others[:MAX_LEFT_OUT]
        ],
    }  # fmt: skip


def _left_out(row: Document, terms: Terms, done: list[str], beyond: list[str]) -> str:
    """Return why nothing is done about an account."""
    name = row["account"]
    if row["verdict"] == "suspect":
        return "it is only suspected: somebody has to look at it" + ("" if terms.hold else " (account_lock_hold would hold its mail)")
    if name in done:
        return "it is locked on every host"
    if name in beyond:
        return f"the brake account_lock_max ({terms.most}) leaves it out: look at all of them, and assess again with a greater one"
    if not locks.can_be_locked(name):
        return "no lock takes this name: see what is left to whom in the report"
    return "it is in account_lock_never"


def summary(plan: Plan, sha256: str) -> list[str]:
    """Return the plan in lines for a person; of a redacted plan they may go to a log."""
    lines = [f"Plan {sha256}", f"of run {plan['run']}, {plan['inventory']}; may be carried out until {plan['expires'][:16]}Z"]
    for row in plan["actions"]:
        verb = "lock" if row["action"] == "lock" else "hold the mail of"
        lines.append(f"{verb} {row['account']} on {_some(row['hosts'])}: {row['why']}")
    reload = [row["host"] for row in plan["based_on"]["hosts"] if row["plumbing"] != "present"] if plan["actions"] else []
    lines += [f"put the lock's plumbing in place on {_some(reload)}, which reloads Postfix and Dovecot"] if reload else []
    unread = [row["host"] for row in plan["based_on"]["hosts"] if not row["assessed"]]
    lines += [f"not all is known of {_some(unread)}: see the report"] if unread else []
    lines += [f"NOT done: {row['account']} ({row['verdict']}): {row['why']}" for row in plan["left_out"]]
    return lines if plan["actions"] else [*lines, "nothing is to be done"]


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def approved(text: bytes, sha256: str, fleet: dict[str, str], now: float) -> Plan:
    """Return the plan of a file's text; PlanError where it is not the approved one, is not of its time, or is of another fleet."""
    wanted = sha256.strip().lower()
    if not _DIGEST.match(wanted):
        raise PlanError(
            "plan_sha256 is no SHA-256 (64 hexadecimal digits): give the one that was approved; playbooks/assess.yml prints it, and "
            "sha256sum shows that of a file"
        )
    if len(text) > MAX_SIZE:
        raise PlanError(f"the plan is larger than {MAX_SIZE} bytes, and no plan is: give the plan.json of an assessment")
    if not hmac.compare_digest(digest(text), wanted):
        raise PlanError(
            f"this is not the plan that was approved: its SHA-256 is {digest(text)}, and {wanted} was approved. "
            "Fetch the plan again, or assess and approve anew"
        )
    try:
        plan = json.loads(text)
    except (ValueError, RecursionError):
        raise PlanError("the file is no plan (no JSON): give the plan.json of an assessment") from None
    version = plan.get("plan_version") if isinstance(plan, dict) else None
    if version != VERSION:
        raise PlanError(f"the plan is of version {str(version)[:20]}, and this release knows {VERSION}: assess again with this release")
    fault = next(iter(jsonschema.Draft202012Validator(_SHAPE).iter_errors(plan)), None)
    if fault is not None:
        where = "/".join(map(str, fault.absolute_path)) or "its top"
        raise PlanError(f"the plan is wrong at {where[:100]}: no assessment of this release wrote it; assess again")
    _in_time(plan, now)
    _same_fleet(plan, fleet)
    return plan


def _in_time(plan: Plan, now: float) -> None:
    try:
        made, expires = epoch(plan["made"]), epoch(plan["expires"])
    except ValueError:
        raise PlanError("the plan's times are none (made, expires): no assessment wrote it; assess again") from None
    if made > now + CLOCKS:
        raise PlanError(f"the plan is of the future ({plan['made']}; it is {iso(now)}): set this machine's clock, or assess again")
    if now >= expires or expires > made + MAX_HOURS * 3600:
        raise PlanError(
            f"the plan is stale: it was made at {plan['made']} and could be carried out until {plan['expires']} (plan_valid_hours; "
            f"{MAX_HOURS:g} at most); it is {iso(now)}. Assess again"
        )


def _same_fleet(plan: Plan, fleet: dict[str, str]) -> None:
    then = {row["host"]: row["address"] for row in plan["based_on"]["hosts"]}
    gone, new = sorted(then.keys() - fleet.keys()), sorted(fleet.keys() - then.keys())
    moved = sorted(host for host in then.keys() & fleet.keys() if then[host] != fleet[host])
    stray = sorted({host for row in plan["actions"] for host in row["hosts"]} - then.keys())
    told = [
        f"{what} {_some(names)}"
        for what, names in (("gone:", gone), ("not in the plan:", new), ("has another address:", moved), ("not assessed:", stray))
        if names
    ]
    if told:
        raise PlanError(f"the plan is of another fleet ({'; '.join(told)}): use its inventory and its target, or assess again")


def carried(plan: Plan, sha256: str) -> Document:
    """Return what the findings of a run say of the plan that it carries out."""
    names = {verb: [row["account"] for row in plan["actions"] if row["action"] == verb] for verb in ("lock", "hold")}
    return {"sha256": sha256, "run": plan["run"], "expires": plan["expires"], **names}


def fulfilled(document: Document) -> bool:
    """Whether a run did all that its plan (run.plan) names, on every host: then the plan is done, and is not done again."""
    states = {row["account"]: row["state"] for row in document["accounts"]}
    failed = any(row["action"] == "hold" and row["result"] == "failed" for row in document["actions"])
    return not failed and all(states.get(name) == "locked" for name in document["run"]["plan"]["lock"])


def contradictions(document: Document, never: t.Iterable[str], now: float) -> list[str]:
    """Return what is no longer as the plan that a run carries out (run.plan) says; empty where all of it still holds."""
    plan, found = document["run"]["plan"], {row["account"]: row["verdict"] for row in document["accounts"]}
    protected = {name.strip().lower() for name in never}
    told = [f"the plan expired at {plan['expires']}"] if now >= epoch(plan["expires"]) else []
    for verb, verdicts in (("lock", ("compromised",)), ("hold", ("compromised", "suspect"))):
        for name in plan[verb]:
            if name in protected:
                told.append(f"{name} is in account_lock_never now")
            elif found.get(name) not in verdicts:
                what = f"is {found[name]} now" if name in found else "does not stand out any more"
                told.append(f"{name} was {verdicts[-1]} and {what}")
    return told

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_findings
short_description: Write a stage of a run into its findings
description:
  - The findings are the one document that goes from stage to stage; each stage adds its part. Runs on the controller.
  - The document is validated, written to a file, and, except in check mode, stored in the database of runs.
  - Never reports a change, since nothing on a mail host changes.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - jinja2
  - jsonschema
  - PyYAML
  - SQLAlchemy
options:
  stage:
    description: Which part is written. V(start) makes a new document, V(load) reads one from O(path).
    type: str
    choices: [start, load, assess, contain, verify, delist, shape, reinstate, finish]
    required: true
  findings:
    description: The document so far.
    type: dict
  path:
    description: The file of the document.
    type: path
  schema:
    description: Its JSON Schema.
    type: path
  state_url:
    description: The database of runs, an SQLAlchemy URL; none where not set. A password in it is kept out of every message.
    type: str
  run_id:
    description: Name of a new run; the time of its start where not set. With V(load) the run goes on under this name.
    type: str
  inventory:
    description: Name of the inventory, for V(start).
    type: str
    default: ""
  mode:
    description: Whether found accounts are locked.
    type: str
    choices: [observe, lock]
    default: observe
  plan:
    description: >-
      The plan that the run carries out, from M(run_plan), for V(start). The run then locks and holds what it names, and nothing else.
    type: dict
  never:
    description: Accounts that are never locked.
    type: list
    elements: str
    default: []
  max_locks:
    description: At most this many accounts are locked in one run, or 2 % of the accounts that the logs show where that is more.
    type: int
    default: 5
  logs:
    description: Per host the result of M(mail_log_info), for V(assess) and V(verify).
    type: dict
    default: {}
  proofs:
    description: Per host what the role account_lock proved of its locks and its plumbing, for V(assess) and V(verify).
    type: dict
    default: {}
  queues:
    description: Per host the queued mail of locked accounts, for V(verify).
    type: dict
    default: {}
  persistence:
    description: Per host what the intruder may have left, for V(verify).
    type: dict
    default: {}
  limits:
    description: Per host what M(rate_limit_info) returned, for V(assess) and V(verify).
    type: dict
    default: {}
  authentication:
    description: >-
      What receivers see, for V(assess) and V(verify); nothing, where nobody asked. C(seen) of M(mail_auth_info), C(signers) per host of
      M(dkim_signing_info), C(named) (keys of the inventory), or C(nothing), why there is nothing to ask.
    type: dict
    default: {}
  warmups:
    description: The rows of M(mail_warmup), for V(shape).
    type: list
    elements: dict
    default: []
  delisting:
    description: >-
      What became of the delistings, for V(delist). C(cases) and C(enrolments) of M(delisting_case), or C(skipped), why nobody followed
      them, or C(msg) of a failure.
    type: dict
    default: {}
  outbreak_window:
    description: For so many hours since the last lock nothing must have happened, before an outbreak has ended.
    type: float
    default: 24.0
  verdict:
    description: The result of M(abuse_verdict_info), for V(assess).
    type: dict
    default: {}
  reputation:
    description: >-
      What the role reputation found, for V(assess) and V(verify); nothing, where the lists are asked later. C(results) of
      M(ip_reputation_info), C(left_out) and C(rejected) of M(reputation_catalogue_info), C(feeds).
    type: dict
    default: {}
  replies:
    description: C(provider_replies.yml), which explains what receivers said in the logs.
    type: path
  brake_share:
    description: >-
      The fleet brake. The same new code on more than this share of a list's addresses (four at least) is a suspected fault and no listing,
      until a second run says the same.
    type: float
    default: 0.5
  refusal_rest:
    description: Seconds for which a receiver that refused an address must have taken its mail again to be clean.
    type: float
    default: 3600.0
  results:
    description: Per host what the role account_lock did, for V(contain) and V(reinstate).
    type: dict
    default: {}
  hold:
    description: Whether the mail of suspects is to be held.
    type: bool
    default: false
  holds:
    description: Per host the result of M(mail_hold), for V(contain).
    type: dict
    default: {}
  account:
    description: The account, for V(reinstate).
    type: str
  by:
    description: Who started the run, for the history.
    type: str
    default: ""
  retention_days:
    description: >-
      With V(finish), what names people in the database is deleted after so many days, but for what an open case rests on; V(0) deletes
      nothing.
    type: float
    default: 0.0
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Open a new document
  run_findings:
    stage: start
    inventory: inventories/example
    mode: observe
"""

RETURN = r"""
findings:
  description: The document, see docs/report.md.
  type: dict
  returned: success
path:
  description: The file it was written to.
  type: str
  returned: when path is given
to_lock:
  description: Accounts that are to be locked now; empty where the mode is V(observe).
  type: list
  elements: str
  returned: success
watch:
  description: Domains that refused mail in earlier runs, for M(mail_log_info); at most 500.
  type: list
  elements: str
  returned: success
follow:
  description: The delistings that are open, rows of C(subject) and C(zone), for M(ip_reputation_info); at most 1000.
  type: list
  elements: dict
  returned: success
to_hold:
  description: The accounts whose mail is to be held now.
  type: list
  elements: str
  returned: success
journals:
  description: Per host the C(chain) of the last line of its journal that the store has, for M(mail_lock_info).
  type: dict
  returned: success
locked_at:
  description: >-
    Per host, of every account that is locked on any host, since when it is locked there, or where it is not, elsewhere; in seconds since
    1970.
  type: dict
  returned: success
"""

import pathlib
import time
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.goodstanding.findings import activity, authentication, locks
from ..module_utils.goodstanding.findings import document as stages
from ..module_utils.goodstanding.findings.observations import gather
from ..module_utils.goodstanding.findings.times import epoch

try:
    from ..module_utils.goodstanding.dnsbl import catalogue
    from ..module_utils.goodstanding.findings import plan
    from ..module_utils.goodstanding.report import files
    from ..module_utils.goodstanding.store import cases, database, journals, ledger, observations, plans

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


#: So many domains that refused mail in earlier runs are looked for in the logs.
MAX_WATCHED = 500
#: So many open delistings are asked about at the lists' own name servers.
MAX_FOLLOWED = 1000
STAGES = ("start", "load", "assess", "contain", "verify", "delist", "shape", "reinstate", "finish")


def store(p: dict[str, t.Any], check_mode: bool) -> t.Any:
    """Return the database, or None where there is none; check mode makes none."""
    if not p["state_url"]:
        return None
    return database.open_existing(p["state_url"]) if check_mode else database.open_store(p["state_url"])


def weigh(p: dict[str, t.Any], findings: dict[str, t.Any], engine: t.Any, at: float, now: float) -> tuple[dict[str, t.Any], t.Any]:
    """Return the document with what the sources say, and what was gathered for it; None where nobody was asked."""
    if not p["reputation"]:
        return findings, None
    entries = catalogue.read(pathlib.Path(p["replies"]))[0]["replies"] if p["replies"] else []
    known = observations.known(engine) if engine is not None else {}
    refused = observations.refused_domains(engine) if engine is not None else {}
    named = {row["id"]: row for row in entries}
    gathered = gather(p["reputation"], p["logs"], named, known, at, p["brake_share"], p["refusal_rest"], refused)
    return stages.reputation(findings, gathered.document, p["reputation"].get("msg"), now), gathered


def asked(p: dict[str, t.Any], findings: dict[str, t.Any], now: float) -> float:
    """Return when the first source was asked (epoch). A host that asks may have a wrong clock: it is not before the run began."""
    times = [row["asked_at"] for row in p["reputation"].get("results", []) if row.get("asked_at")]
    return min(now, max(min(times, default=now), epoch(findings["run"]["started"])))


def prove(p: dict[str, t.Any], findings: dict[str, t.Any], engine: t.Any, now: float) -> dict[str, t.Any]:
    """Return the document with the locks of the hosts, and whether the outbreak has ended."""

    def settled(incident: str) -> float | None:
        """Return when the run that locked had asked the lists: what they said then is no news."""
        if incident == findings["run"]["id"]:
            return now
        run = database.load_run(engine, incident) if engine is not None else None
        return epoch(run["run"]["finished"]) if run and run["addresses"] and run["run"]["finished"] else None

    given = {name: p[name] for name in ("logs", "proofs", "queues", "persistence", "limits")}
    return locks.prove(findings, given, now, p["outbreak_window"], settled)


def told(p: dict[str, t.Any]) -> dict[str, list[t.Any]]:
    """Return the lines of the hosts' journals that this stage got."""
    lines = {host: list((proof.get("journal") or {}).get("new") or []) for host, proof in p["proofs"].items()}
    for host, result in p["results"].items():
        lines.setdefault(host, []).extend(result.get("journal") or [])
    return lines


def to_hold(p: dict[str, t.Any], findings: dict[str, t.Any]) -> list[str]:
    """Return the accounts whose mail is to be held, which a plan or the inventory must say."""
    wanted = findings["run"]["mode"] == "lock" and (p["hold"] or findings["run"].get("plan"))
    return stages.to_hold(findings, p["never"]) if wanted else []


def step(p: dict[str, t.Any], check_mode: bool, now: float) -> dict[str, t.Any]:
    """Return the document after this stage."""
    stage, before = p["stage"], p["findings"]
    if stage == "start":
        return stages.start(p["run_id"], p["inventory"], p["mode"], check_mode, now, p["plan"])
    if stage == "load":
        loaded = files.load(p["path"], p["schema"])
        loaded["run"].update(id=p["run_id"] or loaded["run"]["id"], mode=p["mode"], check_mode=check_mode)
        return loaded
    if stage == "assess":
        return stages.assess(before, p["logs"], p["verdict"])
    if stage == "contain":
        accounts, beyond = stages.to_lock(before, p["never"], p["max_locks"]) if p["results"] else ([], [])
        return stages.hold(stages.contain(before, accounts, p["results"], now, beyond), p["holds"], now, to_hold(p, before))
    if stage == "verify":
        return stages.verify(before, p["logs"])
    if stage == "delist":
        return stages.delist(before, p["delisting"])
    if stage == "shape":
        return stages.shape(before, p["warmups"])
    if stage == "reinstate":
        return stages.reinstate(before, p["account"].strip().lower(), p["results"], now)
    return stages.finish(before, p["never"], p["max_locks"], now)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stage": {"type": "str", "choices": list(STAGES), "required": True},
            "findings": {"type": "dict"},
            "path": {"type": "path"},
            "schema": {"type": "path"},
            "state_url": {"type": "str", "no_log": True},
            "run_id": {"type": "str"},
            "inventory": {"type": "str", "default": ""},
            "mode": {"type": "str", "choices": ["observe", "lock"], "default": "observe"},
            "plan": {"type": "dict"},
            "never": {"type": "list", "elements": "str", "default": []},
            "max_locks": {"type": "int", "default": 5},
            "logs": {"type": "dict", "default": {}},
            "proofs": {"type": "dict", "default": {}},
            "queues": {"type": "dict", "default": {}},
            "persistence": {"type": "dict", "default": {}},
            "limits": {"type": "dict", "default": {}},
            "authentication": {"type": "dict", "default": {}},
            "warmups": {"type": "list", "elements": "dict", "default": []},
            "delisting": {"type": "dict", "default": {}},
            "outbreak_window": {"type": "float", "default": 24.0},
            "verdict": {"type": "dict", "default": {}},
            "reputation": {"type": "dict", "default": {}},
            "replies": {"type": "path"},
            "brake_share": {"type": "float", "default": 0.5},
            "refusal_rest": {"type": "float", "default": 3600.0},
            "results": {"type": "dict", "default": {}},
            "hold": {"type": "bool", "default": False},
            "holds": {"type": "dict", "default": {}},
            "account": {"type": "str"},
            "by": {"type": "str", "default": ""},
            "retention_days": {"type": "float", "default": 0.0},
        },
        required_if=[
            ("stage", "load", ("path", "schema")),
            *[(("stage", name, ("findings", "path", "schema"))) for name in STAGES[2:]],
        ],
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("jinja2, jsonschema, PyYAML and SQLAlchemy"), exception=IMPORT_ERROR)
    p = module.params
    if p["outbreak_window"] <= 0:
        module.fail_json(
            msg=f"account_lock_outbreak_window is {p['outbreak_window']:g}: it is a number of hours above 0, such as 24 or 0.5"
        )
    if p["retention_days"] < 0:
        module.fail_json(msg=f"goodstanding_retention_days is {p['retention_days']:g}: it is a number of days, or 0 to delete nothing")
    try:
        now = time.time()
        findings = step(p, module.check_mode, now)
        engine = store(p, module.check_mode)
        refused = observations.refused_domains(engine) if engine is not None else {}
        if p["stage"] not in ("start", "load"):
            at, proves = asked(p, findings, now), p["stage"] in ("assess", "contain", "verify")
            findings, gathered = weigh(p, findings, engine, at, now)
            if proves:
                findings = prove(p, findings, engine, now)
            if p["logs"]:
                findings = activity.section(findings, p["logs"])
            if p["authentication"]:
                findings = {**findings, "authentication": authentication.section(p["authentication"])}
            findings = stages.conclude(findings, p["never"], p["max_locks"])
            files.validate(findings, p["schema"])
            files.write(p["path"], files.as_json(findings))
            if engine is not None and not module.check_mode:
                told_now, proven = told(p), now if proves and p["proofs"] else None
                stage = ledger.Stage(
                    findings, now, at if gathered else None, gathered.refused if gathered else {}, proven, told_now, p["by"]
                )
                for words in ledger.record(engine, stage):
                    module.warn(words)
                if p["stage"] == "finish" and findings["run"].get("plan") and plan.fulfilled(findings):
                    plans.end(engine, findings["run"]["plan"]["sha256"], findings["run"]["id"], now)
                if p["stage"] == "finish" and p["retention_days"]:
                    cases.forget(engine, now, p["retention_days"])
        known = journals.last(engine) if engine is not None else {}
        followed = cases.followed(engine)[:MAX_FOLLOWED] if engine is not None else []
    except (stages.DocumentError, files.ReportError, database.StoreError, catalogue.CatalogueError, OSError) as exc:
        module.fail_json(msg=str(exc))
    wanted = stages.to_lock(findings, p["never"], p["max_locks"])[0] if findings["run"]["mode"] == "lock" else []
    watch = sorted({domain for domains in refused.values() for domain in domains})[:MAX_WATCHED]
    module.exit_json(
        changed=False, findings=findings, path=p["path"], to_lock=wanted, to_hold=to_hold(p, findings),
        locked_at=locks.locked_at(findings), watch=watch, journals=known, follow=followed,
    )  # fmt: skip


if __name__ == "__main__":
    main()

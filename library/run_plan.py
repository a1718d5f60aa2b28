#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_plan
short_description: Write a plan for approval, and open the one that was approved
description:
  - A plan is what the findings of an assessment would have done, in a file that a person approves by its SHA-256. Runs on the controller.
  - V(make) writes it, V(open) takes it in or refuses it before any host is touched, V(begin) compares it with a new assessment.
  - Never reports a change, since nothing on a mail host changes.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - jinja2
  - jsonschema
  - SQLAlchemy
options:
  stage:
    description: What is done.
    type: str
    choices: [make, open, begin]
    required: true
  path:
    description: The file of the plan, for V(make) and V(open). V(make) writes a summary beside it, with C(.md) at its end.
    type: path
  sha256:
    description: The SHA-256 of the file that was approved, for V(open).
    type: str
    default: ""
  fleet:
    description: Per mail host the address to which Ansible connects, for V(make) and V(open).
    type: dict
    default: {}
  findings:
    description: The document of the assessment, for V(make) and V(begin).
    type: dict
  proofs:
    description: Per host the result of M(mail_lock_info), for V(make).
    type: dict
    default: {}
  never:
    description: Accounts that are never locked.
    type: list
    elements: str
    default: []
  max_locks:
    description: The brake, as with M(run_findings).
    type: int
    default: 5
  hold:
    description: Whether the plan holds the mail of suspects.
    type: bool
    default: false
  valid_hours:
    description: For so many hours the plan may be carried out; 24 at most.
    type: float
    default: 6.0
  redact:
    description: Whether accounts are shortened in RV(told), in messages and in the summary; the plan itself names them.
    type: bool
    default: true
  state_url:
    description: The database of runs, an SQLAlchemy URL, which knows the plans that were carried out, for V(open) and V(begin).
    type: str
  refusal:
    description: A file into which it is written why a plan is refused, for C(script/run).
    type: path
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Open the plan that was approved
  run_plan:
    stage: open
    path: reports/latest/plan.json
    sha256: "{{ plan_sha256 }}"
    fleet: {mx1.example.com: 198.51.100.11}
    state_url: "{{ goodstanding_store }}"
"""

RETURN = r"""
path:
  description: The file of the plan.
  type: str
  returned: with V(make)
sha256:
  description: The SHA-256 of the plan.
  type: str
  returned: with V(make) and V(open)
told:
  description: The plan in lines, for a person.
  type: list
  elements: str
  returned: with V(make) and V(open)
plan:
  description: What a run that carries the plan out has to know of it, for M(run_findings).
  type: dict
  returned: with V(open)
"""

import time
import traceback
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from ..module_utils.goodstanding.findings import plan as plans
    from ..module_utils.goodstanding.report import files, redact, summary
    from ..module_utils.goodstanding.store import database
    from ..module_utils.goodstanding.store import plans as ledger

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

ONCE = "the plan was carried out by run {0.run_id} at {0.ended}: a plan is carried out once. Assess again, and approve the new plan"


def make(p: dict[str, t.Any], now: float) -> dict[str, t.Any]:
    """Write the plan and its summary."""
    plumbing = {host: str((proof.get("plumbing") or {}).get("state") or "unknown") for host, proof in p["proofs"].items()}
    terms = plans.Terms(p["never"], p["max_locks"], p["hold"], p["valid_hours"])
    plan = plans.make(p["findings"], p["fleet"], plumbing, terms, now)
    text = plans.as_text(plan)
    if len(text) > plans.MAX_SIZE:
        raise plans.PlanError(
            f"the plan would have {len(text)} bytes, and none may have more than {plans.MAX_SIZE}: choose hosts with -e target=GROUP, or a "
            "smaller account_lock_max"
        )
    sha256 = plans.digest(text.encode())
    shown = redact.redacted({**p["findings"], "plan": plan})["plan"] if p["redact"] else plan
    told = plans.summary(shown, sha256)
    files.write(p["path"], text)
    files.write(str(Path(p["path"]).with_suffix(".md")), summary.plan(told))
    return {"path": p["path"], "sha256": sha256, "told": told}


def open_approved(p: dict[str, t.Any], check_mode: bool, now: float) -> dict[str, t.Any]:
    """Return the approved plan; PlanError where it is not to be carried out."""
    if not p["sha256"].strip() or not p["path"]:
        raise plans.PlanError(
            "a plan is carried out with its file and the SHA-256 that was approved: give both, -e plan=reports/RUN/plan.json and "
            "-e plan_sha256=..., which playbooks/assess.yml printed (sha256sum shows that of a file: approve what you have read)"
        )
    try:
        with Path(p["path"]).open("rb") as file:
            text = file.read(plans.MAX_SIZE + 1)
    except OSError as exc:
        raise plans.PlanError(f"the plan {p['path']} cannot be read ({exc.strerror}): give the plan.json of an assessment") from None
    plan = plans.approved(text, p["sha256"], p["fleet"], now)
    sha256 = plans.digest(text)
    engine = (database.open_existing if check_mode else database.open_store)(p["state_url"])
    known = ledger.known(engine, sha256) if engine is not None else None
    if known and known.ended:
        raise plans.PlanError(ONCE.format(known))
    told = [f"Plan {sha256} of run {plan['run']} is carried out, until {plan['expires'][:16]}Z"]
    told += [f"run {known.run_id} began it at {known.begun} and did not end it: this run goes on"] if known else []
    return {"sha256": sha256, "told": told, "plan": plans.carried(plan, sha256)}


def begin(p: dict[str, t.Any], check_mode: bool, now: float) -> dict[str, t.Any]:
    """Compare the plan with what was found now, and remember that it is carried out."""
    run = p["findings"]["run"]
    told = plans.contradictions(p["findings"], p["never"], now)
    if told and p["redact"]:
        named = [{"account": name} for verb in ("lock", "hold") for name in run["plan"][verb]]
        told = redact.redacted({**p["findings"], "actions": [*p["findings"]["actions"], *named], "why": told})["why"]
    if told:
        more = f" and {len(told) - 10} more" if len(told) > 10 else ""
        raise plans.PlanError(f"the plan is no longer true: {'; '.join(told[:10])}{more}. Nothing was changed. Assess again")
    if not check_mode:
        known = ledger.begin(database.open_store(p["state_url"]), run["plan"]["sha256"], run["id"], now)
        if known and known.ended:
            raise plans.PlanError(ONCE.format(known))
    return {}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stage": {"type": "str", "choices": ["make", "open", "begin"], "required": True},
            "path": {"type": "path"},
            "sha256": {"type": "str", "default": ""},
            "fleet": {"type": "dict", "default": {}},
            "findings": {"type": "dict"},
            "proofs": {"type": "dict", "default": {}},
            "never": {"type": "list", "elements": "str", "default": []},
            "max_locks": {"type": "int", "default": 5},
            "hold": {"type": "bool", "default": False},
            "valid_hours": {"type": "float", "default": 6.0},
            "redact": {"type": "bool", "default": True},
            "state_url": {"type": "str", "no_log": True},
            "refusal": {"type": "path"},
        },
        required_if=[
            ("stage", "make", ("path", "findings")),
            ("stage", "open", ("state_url",)),
            ("stage", "begin", ("findings", "state_url")),
        ],
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("jinja2, jsonschema and SQLAlchemy"), exception=IMPORT_ERROR)
    p, now = module.params, time.time()
    try:
        if p["stage"] == "make":
            done = make(p, now)
        elif p["stage"] == "open":
            done = open_approved(p, module.check_mode, now)
        else:
            done = begin(p, module.check_mode, now)
    except plans.PlanError as exc:
        if p["refusal"]:
            files.write(p["refusal"], f"{exc}\n")
        module.fail_json(msg=str(exc))
    except (database.StoreError, ValueError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **done)


if __name__ == "__main__":
    main()

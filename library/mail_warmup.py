#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_warmup
short_description: Decide how much mail each receiver gets a day after a delisting
description:
  - Runs on the controller, once for all hosts. Per host and receiver it remembers how much was sent before a listing, and once the listing
    has ended says how many recipients a day are allowed, which M(mail_shaping) makes true on the host.
  - It begins with a share of the median day of the week before the listing, goes up after each clean day, stays where mail was put off or
    refused or where a day is not known, goes down at a new listing, and never above what was sent before.
  - Never reports a change, since nothing on a mail host changes; in check mode nothing is remembered either.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - SQLAlchemy
options:
  state:
    description: V(absent) forgets every warm-up; M(mail_shaping) then takes the rates off.
    type: str
    choices: [present, absent]
    default: present
  state_url:
    description: The database of runs, an SQLAlchemy URL. A password in it is kept out of every message.
    type: str
    required: true
  receivers:
    description: Per host the receivers whose mail is shaped there; no other can be warmed up.
    type: dict
    default: {}
  providers:
    description: The entries of C(catalogue/receivers.yml), of which C(id) and C(provider) are read.
    type: list
    elements: dict
    default: []
  logs:
    description: Per host the result of M(mail_log_info).
    type: dict
    default: {}
  findings:
    description: The document of the run, of which C(addresses) and C(observations) are read.
    type: dict
    default: {}
  start:
    description: With which share of the volume before a warm-up begins.
    type: float
    default: 0.25
  factor:
    description: By how much more is allowed after a clean day.
    type: float
    default: 1.5
  put_off:
    description: The share of a day's deliveries that may be put off for a clean day.
    type: float
    default: 0.02
  floor:
    description: A warm-up begins with so many recipients a day at least, or with all where fewer were sent before.
    type: int
    default: 50
  volumes:
    description: Per host and receiver how many recipients a day were normal, where the log does not know or is wrong.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Decide how much Outlook.com gets today
  mail_warmup:
    state_url: "{{ goodstanding_store }}"
    receivers: {mx1.example.com: [outlook]}
    providers: "{{ (lookup('ansible.builtin.file', 'catalogue/receivers.yml') | from_yaml).receivers }}"
    logs: "{{ logs }}"
    findings: "{{ goodstanding_document }}"
  delegate_to: localhost
"""

RETURN = r"""
rates:
  description: Per host and receiver how many recipients it may be sent a day; a receiver without a rate is not named, a host always is.
  type: dict
  returned: success
  sample: {mx1.example.com: {outlook: 300}}
rows:
  description: One row per host and receiver of which there is something to say.
  type: list
  elements: dict
  returned: success
  contains:
    host:
      description: The host.
      type: str
    receiver:
      description: The receiver's C(id).
      type: str
    phase:
      description: V(listed) until the listing ends, then V(warming), then V(done).
      type: str
    step:
      description: What this run decided - V(wait), V(start), V(rise), V(hold), V(step_back), V(done), V(none).
      type: str
    before:
      description: Recipients a day before the listing, null where not known.
      type: int
    allowed:
      description: Recipients a day from now on, null where there is no rate.
      type: int
    delay:
      description: Seconds between two recipients, 0 where there is none.
      type: int
    began:
      description: The day of the listing, in UTC.
      type: str
    judged:
      description: The last day that was judged, in UTC.
      type: str
    why:
      description: The reason, a sentence.
      type: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.shaping import warmup
from ..module_utils.goodstanding.shaping.observe import observe
from ..module_utils.goodstanding.shaping.settings import delay
from ..module_utils.goodstanding.store import warmups
from ..module_utils.goodstanding.store.database import StoreError, open_existing, open_store


def row(host: str, receiver: str, decision: warmup.Decision) -> dict[str, t.Any] | None:
    """Return what the report shows of a decision; None where there is nothing to say."""
    state = decision.state
    if state is None:
        return None
    return {
        "host": host, "receiver": receiver, "phase": state.phase, "step": decision.step, "before": state.before, "allowed": state.allowed,
        "delay": delay(state.allowed) if state.allowed else 0, "began": warmup.iso(state.began), "judged": warmup.iso(state.day),
        "why": decision.why,
    }  # fmt: skip


def decide(params: dict[str, t.Any], known: dict[warmups.Key, warmup.State], now: float) -> dict[warmups.Key, warmup.Decision]:
    """Return the decision of each host and receiver that is shaped."""
    settings = warmup.Settings(params["start"], params["factor"], params["put_off"], params["floor"])
    providers = {entry["id"]: entry["provider"] for entry in params["providers"]}
    today, found = int(now // 86400), {}
    for host, receivers in sorted(params["receivers"].items()):
        for receiver in sorted(receivers):
            log = params["logs"].get(host) or {"failed": True, "msg": "there is none of this run"}
            seen = observe(host, receiver, providers.get(receiver, receiver), log, params["findings"], today)
            told = (params["volumes"].get(host) or {}).get(receiver)
            before = None if told is None else int(told)
            found[host, receiver] = warmup.decide(known.get((host, receiver)), seen, today, settings, before)
    return found


def run(params: dict[str, t.Any], now: float, check_mode: bool) -> dict[str, t.Any]:
    """Return the module's result; StoreError where the database cannot be used."""
    engine = open_existing(params["state_url"]) if check_mode else open_store(params["state_url"])
    known = warmups.load(engine) if engine is not None else {}
    if params["state"] == "absent":
        decisions: dict[warmups.Key, warmup.Decision] = {}
        gone: dict[warmups.Key, warmup.State | None] = dict.fromkeys(known)
    else:
        decisions = decide(params, known, now)
        # A host that is not shaped any more has no transport to which a rate could apply.
        gone = {key: None for key in known if key[0] in params["receivers"] and key not in decisions}
    if engine is not None and not check_mode:
        warmups.save(engine, {**gone, **{key: decision.state for key, decision in decisions.items()}})
    rates: dict[str, dict[str, int]] = {host: {} for host in params["receivers"]}
    for (host, receiver), decision in decisions.items():
        if decision.state is not None and decision.state.allowed:
            rates[host][receiver] = decision.state.allowed
    rows = (row(host, receiver, decision) for (host, receiver), decision in decisions.items())
    return {"rates": rates, "rows": [each for each in rows if each is not None]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "state_url": {"type": "str", "required": True},
            "receivers": {"type": "dict", "default": {}},
            "providers": {"type": "list", "elements": "dict", "default": []},
            "logs": {"type": "dict", "default": {}},
            "findings": {"type": "dict", "default": {}},
            "start": {"type": "float", "default": 0.25},
            "factor": {"type": "float", "default": 1.5},
            "put_off": {"type": "float", "default": 0.02},
            "floor": {"type": "int", "default": 50},
            "volumes": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    limits = {"start": (0.01, 1.0), "factor": (1.01, 10.0), "put_off": (0.0, 0.5), "floor": (1, 86400)}
    for name, (least, most) in limits.items():
        if not least <= module.params[name] <= most:
            module.fail_json(msg=f"{name} is {module.params[name]}: it must be from {least} to {most}")
    try:
        result = run(module.params, time.time(), module.check_mode)
    except StoreError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_rotation
short_description: Move a fleet's DKIM keys on as far as is due, and say what each host and the DNS are to do
description:
  - Runs on the controller, once for all hosts. It takes what the hosts hold and sign with (M(dkim_key_info)), asks every authoritative
    server for the records, verifies the signers' messages with two engines by the DNS, and moves each key of each host and domain along its
    states - planned, generated, published, propagated, ready, active, retiring, revoked, gravestone or removed.
  - What is due is written to the store before it is returned, and returned in the form that M(dkim_key), M(dkim_signing) and M(dns_records)
    take. Nothing is carried out here, so it never reports a change. A run may end anywhere, and the next one goes on.
  - No host signs with a selector before every authoritative address serves it and the wait is over; in each domain one host goes first. A
    key that signed keeps its record for O(retire_days).
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - SQLAlchemy
  - dkimpy
options:
  state:
    description: V(moved) as above; V(read) returns what the store knows, and asks nobody.
    type: str
    choices: [moved, read]
    default: moved
  state_url:
    description: The database of runs, an SQLAlchemy URL. A password in it is kept out of every message.
    type: str
    required: true
  hosts:
    description: >-
      Per host C(label) (ends its selectors), C(domains), C(ed25519), C(size) and C(tags) of new keys, C(signing) (what it signs beside, as
      M(dkim_signing) takes it), C(seen) (the result of M(dkim_key_info)) and C(shared) (per domain whose key other hosts have, too, a word;
      those that name the same one share it, and its selectors end in it).
    type: dict
    default: {}
  customers:
    description: >-
      Per domain that is a customer's the zone of ours in which its keys are. Its hosts use a few fixed selectors, to which the customer
      makes the CNAMEs of RV(cnames) once.
    type: dict
    default: {}
  slots:
    description: How many fixed selectors each host has in a customer's domain.
    type: int
    default: 3
  zones:
    description: The zones, as M(dns_records) takes them.
    type: list
    elements: dict
    default: []
  proof_zones:
    description: How the servers of a zone are found, as M(dns_propagation_info) takes its zones, where O(zones) does not say it all.
    type: list
    elements: dict
    default: []
  resolver:
    description: Address of a recursive resolver, to find name servers with; the first of the system where not set.
    type: str
  resolver_port:
    description: Its port.
    type: int
    default: 53
  ttl:
    description: Seconds that the records live.
    type: int
    default: 3600
  rotation:
    description: >-
      The name of a rotation that is wanted now; each line of keys that has none of this name gets one. A second run with it goes on. With
      O(emergency) another name is another emergency.
    type: str
    default: ""
  rotate_days:
    description: Rotate keys that are older, without being told. V(0) never does.
    type: float
    default: 0
  emergency:
    description: >-
      The present keys may be in strange hands. New ones come now, whatever O(rotation) they are of, and the old are revoked as soon as the
      new ones sign. Set again within a day, it goes on with those.
    type: bool
    default: false
  undo:
    description: The selector of a key that is to be taken back, or V(all) for the newest of each line.
    type: str
    default: ""
  retire_days:
    description: For how long the record of a key stays after it signed last; fewer than 7 only with O(lab_only).
    type: float
    default: 14
  keep_days:
    description: For how long a key stays after its record was revoked, for the way back. Then it is destroyed.
    type: float
    default: 30
  canary:
    description: The host that switches first; the first by name where not set.
    type: str
    default: ""
  gravestone:
    description: Leave the empty record for ever, so that nobody takes the selector again.
    type: bool
    default: true
  lost:
    description: >-
      Hosts that somebody else has. The records of all their keys are revoked now, and nobody waits for them. A host that is set up anew is
      taken out of it.
    type: list
    elements: str
    default: []
  inventory:
    description: The names of all hosts, those of this run and others. Where it is set, a key of any other host is a fault.
    type: list
    elements: str
    default: []
  lab_only:
    description: Let O(retire_days) be fewer than 7, as a lab needs it. Mail in queues may then fail at receivers.
    type: bool
    default: false
  slot_rest:
    description: Days for which a fixed selector rests at least, as M(dkim_key) takes it; O(retire_days), where that is more.
    type: float
    default: 7
  run:
    description: >-
      A name of this run alone. Where another run is just taking records away, this one waits for up to a minute.
    type: str
    default: ""
  round:
    description: Which round of this run it is. Keys are taken back in the first.
    type: int
    default: 1
  before:
    description: RV(acts) of the round before in this run. What is due again moves nothing by itself.
    type: list
    elements: dict
    default: []
  patience:
    description: For how many seconds this run may still wait.
    type: float
    default: 0
  every:
    description: Seconds between two looks.
    type: float
    default: 5
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Move the keys on
  dkim_rotation:
    state_url: "{{ goodstanding_store }}"
    hosts:
      mx1.example.com: {label: mx1, domains: [example.com], seen: "{{ held }}"}
    zones: "{{ mail_dns_zones }}"
  register: due

- name: See what the store knows
  dkim_rotation:
    state: read
    state_url: "{{ goodstanding_store }}"
"""

RETURN = r"""
slots:
  description: >-
    Every key, with C(host), C(domain), C(selector), C(kind), C(state), C(since), C(rotation), C(fingerprint), C(verified), C(fault),
    C(goal), C(fixed), C(urgent), C(shared) (the word of those who have this key), and C(why), a sentence on what is due.
  type: list
  elements: dict
  returned: success
acts:
  description: >-
    What is due, each with C(verb), C(host), C(domain), C(selector), C(why), and C(source), the host that hands a shared key over.
  type: list
  elements: dict
  returned: success
make:
  description: Per host the keys to be made, as M(dkim_key) takes them.
  type: dict
  returned: success
take:
  description: Per host the keys that others hand over to it, as M(dkim_key) takes them once they are sealed.
  type: dict
  returned: success
give:
  description: Per host the keys that it hands over, as M(dkim_key_copy) takes them.
  type: dict
  returned: success
destroy:
  description: Per host the keys to be destroyed, as M(dkim_key) takes them.
  type: dict
  returned: success
sign:
  description: Per host that is to sign otherwise all that it is to sign with, as M(dkim_signing) takes it.
  type: dict
  returned: success
records:
  description: The records to be published, as M(dns_records) takes them.
  type: list
  elements: dict
  returned: success
dkim:
  description: Every record, as the role mail_dns takes them.
  type: list
  elements: dict
  returned: success
cnames:
  description: >-
    The CNAMEs that customers make, each with C(domain), C(name), C(target), and C(state) (proven, not_yet, unknown, or empty where nobody
    was asked).
  type: list
  elements: dict
  returned: success
policies:
  description: Per zone with a TSIG key the lines for BIND and Knot that limit the key to these records.
  type: dict
  returned: success
told:
  description: What was done about O(undo), a sentence each.
  type: list
  elements: str
  returned: success
faults:
  description: What is not as it must be, a sentence each.
  type: list
  elements: str
  returned: success
pause:
  description: After how many seconds another round of this run is worth it; null where it is not.
  type: float
  returned: success
"""

import datetime
import re
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.dkim import engines, fleet, rotation, served
from ..module_utils.goodstanding.dkim.rotation import Key, Policy, RotationError, Slot
from ..module_utils.goodstanding.dns import inventory, policy, wire
from ..module_utils.goodstanding.dns.ask import DnsError
from ..module_utils.goodstanding.dns.options import LIST, PROOF_ZONE, ZONE
from ..module_utils.goodstanding.dns.records import RecordError
from ..module_utils.goodstanding.dnsbl.ask import ResolverError, system_resolver
from ..module_utils.goodstanding.host.files import HostError
from ..module_utils.goodstanding.store import rotations
from ..module_utils.goodstanding.store.database import StoreError, open_existing, open_store

Row = dict[str, t.Any]


def fleet_of(p: Row) -> dict[str, fleet.Host]:
    return {
        name: fleet.Host(
            name, str(row.get("label") or name), tuple(sorted({str(domain).lower() for domain in row.get("domains") or []})),
            bool(row.get("ed25519")), int(row.get("size") or 2048),
            tuple(sorted((str(tag), str(value)) for tag, value in (row.get("tags") or {}).items())),
            tuple(row.get("signing") or ()), row.get("seen") or {},
            {str(domain).lower(): str(label) for domain, label in (row.get("shared") or {}).items()},
        )
        for name, row in sorted(p["hosts"].items())
    }  # fmt: skip


def check_lost(lost: list[str], hosts: t.Container[str], slots: list[Slot]) -> None:
    """RotationError where a host is named as lost and works, or has no keys."""
    known = sorted({slot.host for slot in slots})
    for name in lost:
        if name in hosts:
            raise RotationError(f"{name} is in dkim_lost and this run reaches it: leave it out (--limit), or take it out of dkim_lost")
        if name not in known:
            raise RotationError(
                f"{name} is in dkim_lost and has no keys: give names as in the inventory ({', '.join(known[:20]) or 'none'})"
            )


def name_of(p: Row, slots: list[Slot], now: float, day: str) -> str:
    """Return the name of the rotation that is wanted now, or an empty text. An emergency has one of its own, since what was reached under
    the name of a planned rotation is what was stolen; the same flag goes on with it for a day, whatever midnight in UTC is here."""
    if not p["emergency"]:
        return str(p["rotation"])
    more = f"-{p['rotation']}" if p["rotation"] else ""
    mine = re.compile(rf"emergency-\d{{8}}{re.escape(more)}")
    going = [slot for slot in slots if slot.urgent and now - slot.begun < rotation.DAY and mine.fullmatch(slot.rotation)]
    return max(going, key=lambda slot: slot.begun).rotation if going else f"emergency-{day}{more}"


def begun(
    p: Row, slots: list[Slot], wanted: list[rotation.Wish], rules: Policy, now: float, hosts: dict[str, fleet.Host]
) -> tuple[list[Slot], list[rotation.Act], list[str]]:
    """Take back what is asked for, or plan the keys that are due. Return the slots, acts, and what was done, a sentence each."""
    if p["undo"]:
        if p["round"] > 1:  # two steps back are two runs
            return slots, [], []
        slots, told = fleet.taken_back(slots, p["undo"])
        return slots, [], told
    day = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime("%Y%m%d")
    named = name_of(p, slots, now, day)
    seen = fleet.seen(slots, hosts, {}, {})
    # Only a host that was looked at can make for others, or take what they made.
    able = [wish for wish in wanted if not wish.shared or hosts[wish.host].looked_at]
    able = fleet.sure(slots, able, hosts)
    acts: list[rotation.Act] = []
    exposed = rotation.exposed(slots, able, rules)
    if exposed:
        slots, acts = rotation.begin(slots, exposed, rules, now, f"lost-{day}", True, seen)
        able = [wish for wish in able if wish not in exposed]
    behind = rotation.behind(slots, able, rules, seen)
    due = fleet.due(slots, able, named, p["rotate_days"] * rotation.DAY, now, fleet.missing(slots, hosts), behind)
    step = rotation.begin(slots, due, rules, now, named or day, p["emergency"], seen)
    return step.slots, [*acts, *step.acts], []


def proven(slots: list[Slot], hosts: dict[str, fleet.Host], zones: dict[bytes, served.Zone]) -> dict[Key, tuple[int, str]]:
    """Let two engines verify the messages of keys that sign and are not verified yet."""
    readers = served.reader(zones, 0), served.reader(zones, -1)
    found: dict[Key, tuple[int, str]] = {}
    messages: dict[tuple[str, str], dict[str, engines.Verdict]] = {}
    for slot in slots:
        host = hosts.get(slot.host)
        if slot.verified or slot.state in rotation.GONE or host is None or not host.looked_at or not fleet.signs(host, slot):
            continue
        place = slot.host, slot.domain
        if place not in messages:
            messages[place] = engines.verdicts(host.seen["probes"][slot.domain]["message"], slot.domain, readers)
        verdict = messages[place].get(slot.selector)
        if verdict is not None:
            found[slot.key] = verdict.engines, verdict.broken
    return found


def policies(p: Row, domains: t.Iterable[str]) -> dict[str, dict[str, str]]:
    """Return per zone with a TSIG key the lines that limit the key to the DKIM records."""
    names = sorted({f"_domainkey.{domain}" for domain in (*domains, *p["customers"].values())})
    found = {}
    for row in p["zones"]:
        zone = inventory.zone_name(str(row["name"]))
        grants = [policy.Grant(wire.pack(name), True, (wire.TXT,)) for name in names if wire.is_below(wire.pack(name), zone)]
        if row.get("key_name") and grants and row.get("backend", "rfc2136") == "rfc2136":
            found[wire.show(zone)] = policy.lines(row["key_name"], grants)
    return found


def run(p: Row, now: float, check_mode: bool) -> Row:
    """Return the module's result. The slots are saved before anybody learns what is due."""
    rules = Policy(
        p["retire_days"] * rotation.DAY, p["keep_days"] * rotation.DAY, p["canary"], gravestone=p["gravestone"], lab_only=p["lab_only"],
        lost=tuple(p["lost"]), rest=p["slot_rest"] * rotation.DAY,
    )  # fmt: skip
    rules.checked()
    customers = {str(domain).lower(): str(zone).lower().rstrip(".") for domain, zone in p["customers"].items()}
    reading = check_mode or p["state"] == "read"
    engine = open_existing(p["state_url"]) if reading else open_store(p["state_url"])
    if engine is not None and not reading:
        time.sleep(rotations.held(engine, p["run"], now))
        now = time.time()
    known = rotations.load(engine) if engine is not None else rotations.Known([], 0)
    hosts = fleet_of(p)
    check_lost(p["lost"], hosts, known.slots)
    slots = fleet.adopted(known.slots, hosts.values(), customers, now) if p["state"] == "moved" else known.slots
    # After a break-in those, too, whose record only waits for a successor.
    states = ("active", "retiring") if p["emergency"] else ("active",)
    wanted = fleet.wishes(hosts.values(), customers, p["slots"], {slot.line for slot in slots if slot.state in states})
    cnames = [{**row, "state": ""} for row in fleet.cnames(wanted, customers)]
    acts: list[rotation.Act] = []
    told: list[str] = []
    faults: list[str] = []
    seen: dict[Key, rotation.Seen] = {}
    zones: dict[bytes, served.Zone] = {}
    if p["state"] == "moved":
        slots, acts, told = begun(p, slots, wanted, rules, now, hosts)
        resolver = inventory.server_of({}, p["resolver"] or system_resolver(), p["resolver_port"])
        zones = served.zones(p["zones"], p["proof_zones"], resolver)
        looked = served.look(slots, cnames, customers, zones, p["ttl"])
        cnames, faults = [{**row, "state": looked.cnames[row["name"]]} for row in cnames], looked.faults
        seen = fleet.seen(slots, hosts, looked.seen, proven(slots, hosts, zones))
        step = rotation.step(slots, seen, rules, now)
        slots, acts = step.slots, [*acts, *step.acts]
        faults += [f"{name}: {host.seen.get('msg') or 'it could not be looked at'}" for name, host in hosts.items() if not host.looked_at]
        faults += [
            f"{name}, {domain}: {probe['fault']}"
            for name, host in hosts.items()
            for domain, probe in (host.seen.get("probes") or {}).items()
            if probe.get("fault")
        ]
        missing = fleet.missing(slots, hosts)
        faults += [*fleet.astray(slots, seen, missing), *fleet.unsigned(slots, fleet.sure(slots, wanted, hosts), missing)]
        faults += fleet.former(slots, customers)
        faults += fleet.left(slots, hosts, p["inventory"] or {slot.host for slot in slots}, seen)
        if engine is not None and not check_mode:
            taking = any(act.verb in fleet.TAKING for act in acts)
            rotations.save(engine, known, slots, rotations.Hold(p["run"], rotations.HOLD if taking else 0.0), time.time())
    orders = fleet.orders(slots, acts, hosts, customers, p["ttl"])
    # One that lies in no zone is told among the faults, and would keep dns_records from the others.
    orders = orders._replace(records=[row for row in orders.records if served.lies_in(row["name"], zones)])
    before = {(row["verb"], row["host"], row["domain"], row["selector"]) for row in p["before"]}
    return {
        "slots": [fleet.row(slot, acts) for slot in sorted(slots)],
        "acts": [act._asdict() for act in acts],
        **orders._asdict(),
        "dkim": fleet.public(slots, customers),
        "cnames": cnames,
        "policies": policies(p, {wish.domain for wish in wanted}),
        "told": told,
        "faults": list(dict.fromkeys(faults)),
        "pause": None if reading else fleet.pause(slots, acts, before, seen, rules, now, p["every"], p["patience"]),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["moved", "read"], "default": "moved"},
            "state_url": {"type": "str", "required": True},
            "hosts": {"type": "dict", "default": {}},
            "customers": {"type": "dict", "default": {}},
            "slots": {"type": "int", "default": fleet.SLOTS},
            "zones": {**LIST, "default": [], "options": ZONE},
            "proof_zones": {**LIST, "default": [], "options": PROOF_ZONE},
            "resolver": {"type": "str"},
            "resolver_port": {"type": "int", "default": 53},
            "ttl": {"type": "int", "default": 3600},
            "rotation": {"type": "str", "default": ""},
            "rotate_days": {"type": "float", "default": 0},
            "emergency": {"type": "bool", "default": False},
            "undo": {"type": "str", "default": ""},
            "retire_days": {"type": "float", "default": 14},
            "keep_days": {"type": "float", "default": 30},
            "canary": {"type": "str", "default": ""},
            "gravestone": {"type": "bool", "default": True},
            "lost": {"type": "list", "elements": "str", "default": []},
            "inventory": {"type": "list", "elements": "str", "default": []},
            "lab_only": {"type": "bool", "default": False},
            "slot_rest": {"type": "float", "default": 7},
            "run": {"type": "str", "default": ""},
            "round": {"type": "int", "default": 1},
            "before": {**LIST, "default": []},
            "patience": {"type": "float", "default": 0},
            "every": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module.params, time.time(), module.check_mode)
    except (StoreError, RotationError, HostError, RecordError, DnsError, ResolverError) as exc:
        module.fail_json(msg=str(exc))
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        module.fail_json(msg=f"a host, zone or customer has a wrong shape ({type(exc).__name__}: {exc}): see this module's documentation")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_propagation_info
short_description: Prove that every authoritative server of a zone serves the records that were published
description:
  - Asks every address of every name server that the zone's parent or the zone itself names, and every configured view, over UDP and TCP,
    and compares by meaning. It runs on the controller and changes nothing.
  - A record is C(proven), C(not_yet) there, or C(unknown) where a server could not be asked; what is unknown is never proven.
  - No recursive resolver is asked for a record before every server has it, since it would remember that it is not there.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  zones:
    description: The zones.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The zone.
        type: str
        required: true
      discover:
        description: Find the name servers in the DNS. Switch it off where O(zones[].servers) names all.
        type: bool
        default: true
      network:
        description: For a reverse zone, the addresses it answers for, where its name does not say it (RFC 2317).
        type: str
      servers:
        description: Servers to ask beside those that are found, one row for each view of each.
        type: list
        elements: dict
        default: []
        suboptions:
          address:
            description: Its address.
            type: str
            required: true
          port:
            description: Its port.
            type: int
            default: 53
          view:
            description: The view it stands for.
            type: str
            default: ""
          source:
            description: Address of this machine to ask from, where the server chooses the view by it.
            type: str
          key_name:
            description: Name of a TSIG key, where the server chooses the view by it.
            type: str
          key_algorithm:
            description: Its algorithm.
            type: str
            choices: [hmac-sha224, hmac-sha256, hmac-sha384, hmac-sha512]
            default: hmac-sha256
          key_secret:
            description: Its secret, in base64. It appears in no result, log or error.
            type: str
  records:
    description: The records, as M(dns_records) takes them.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Whole name of the record.
        type: str
      address:
        description: For a PTR record, the address in place of a name.
        type: str
      type:
        description: Its type.
        type: str
        default: TXT
      values:
        description: Its values.
        type: list
        elements: str
        default: []
      ttl:
        description: Not looked at.
        type: int
      state:
        description: V(absent) proves that it is gone.
        type: str
        choices: [present, absent]
        default: present
      mode:
        description: As in M(dns_records).
        type: str
        choices: [auto, exclusive, merge]
        default: auto
      owns:
        description: As in M(dns_records).
        type: str
      replace_key:
        description: Not looked at.
        type: bool
        default: false
      zone:
        description: The zone it is in; the longest that fits where not set.
        type: str
      view:
        description: The one view it is for; all where not set.
        type: str
        default: ""
  resolver:
    description: Address of a recursive resolver, to find name servers with; the first of the system where not set.
    type: str
  resolver_port:
    description: Its port.
    type: int
    default: 53
  resolvers:
    description: Recursive resolvers that are asked for the records, last, and only when every server has all of them.
    type: list
    elements: str
    default: []
  wait:
    description: For how many seconds to look again until all is proven.
    type: float
    default: 0
  every:
    description: Seconds between two looks.
    type: float
    default: 5
  wildcards:
    description: Ask each server also for a selector that nobody published, to find a wildcard.
    type: bool
    default: true
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Wait until every server has the keys, and show how far it is
  dns_propagation_info:
    zones: [{name: example.com}]
    records: "{{ dkim_records }}"
  register: proof
  until: proof.state == 'proven'
  retries: 60
  delay: 5
"""

RETURN = r"""
state:
  description: C(proven), C(not_yet) or C(unknown) for all records together.
  type: str
  returned: success
summary:
  description: What is not proven and where, in one sentence; empty where all is.
  type: str
  returned: success
records:
  description: >-
    Each record: name, type, view, state, number of servers asked, and lacking: every server that does not have it, with its address,
    names, view, over (udp or tcp), outcome (missing, different, alias, lame, refused, servfail, timeout, unproven), detail, repair.
  type: list
  elements: dict
  returned: success
zones:
  description: >-
    Each zone: zone, state, servers (address, names, view, named_by: parent, child, both or configured), faults of finding them,
    negative_ttl (for how many seconds a resolver may remember that a name is not there), serials by server, wildcard (servers that
    answer for a selector nobody published).
  type: list
  elements: dict
  returned: success
resolvers:
  description: Each of O(resolvers) with what it lacks; empty where they were not asked.
  type: list
  elements: dict
  returned: success
progress:
  description: For each look the seconds passed, the records proven, and all.
  type: list
  elements: dict
  returned: success
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.dns import propagation, wire
from ..module_utils.goodstanding.dns.inventory import authorities, networks, server_of, wanted_by_zone, zone_name
from ..module_utils.goodstanding.dns.options import LIST, PROOF_ZONE, RECORD
from ..module_utils.goodstanding.dnsbl.ask import ResolverError, system_resolver


def prove(p: dict[str, t.Any]) -> dict[str, t.Any]:
    if len({zone_name(row["name"]) for row in p["zones"]}) != len(p["zones"]):
        raise ValueError("a zone is given twice: give it once, with a row in servers for each view")
    wanted, faults = wanted_by_zone(p["records"], networks(p["zones"]))
    if faults:
        raise ValueError("; ".join(faults))
    resolver = None
    if p["resolver"] or any(row["discover"] for row in p["zones"]):
        resolver = server_of({}, p["resolver"] or system_resolver(), p["resolver_port"])
    found = {zone_name(row["name"]): authorities(row, resolver) for row in p["zones"]}
    progress: list[dict[str, t.Any]] = []
    reports = propagation.wait(
        lambda: [propagation.check(name, wanted[name], known, not problems, p["wildcards"]) for name, (known, problems) in found.items()],
        p["wait"],
        p["every"],
        lambda passed, proven, total: progress.append({"seconds": round(passed, 1), "proven": proven, "records": total}),
    )
    proofs = [proof for report in reports for proof in report.proofs]
    state = propagation.overall(proof.state for proof in proofs)
    asked = [server_of({}, address) for address in p["resolvers"]] if state == propagation.PROVEN else []
    return {
        "state": state,
        "summary": propagation.summary(proofs),
        "records": [propagation.row(proof) for proof in proofs],
        "zones": [_zone(report, *found[report.zone]) for report in reports],
        "resolvers": propagation.resolvers([proof.wanted for proof in proofs], asked),
        "progress": progress,
    }


def _zone(report: propagation.Report, known: list[propagation.Authority], faults: list[str]) -> dict[str, t.Any]:
    return {
        "zone": wire.show(report.zone),
        "state": report.state,
        "servers": [
            {"address": str(each.server), "names": list(each.names), "view": each.view, "named_by": each.named_by} for each in known
        ],
        "faults": faults,
        "negative_ttl": report.negative_ttl,
        "serials": report.serials,
        "wildcard": report.wildcard,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "zones": {**LIST, "required": True, "options": PROOF_ZONE},
            "records": {**LIST, "required": True, "options": RECORD},
            "resolver": {"type": "str"},
            "resolver_port": {"type": "int", "default": 53},
            "resolvers": {"type": "list", "elements": "str", "default": []},
            "wait": {"type": "float", "default": 0},
            "every": {"type": "float", "default": 5},
            "wildcards": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        result = prove(module.params)
    except (ValueError, ResolverError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

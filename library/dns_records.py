#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_records
short_description: Bring DNS zones to the records that are wanted, by guarded dynamic updates
description:
  - Reads each zone, compares by meaning (the strings of a TXT record joined, the tags of DKIM and DMARC and the terms of SPF parsed, names
    in any case) and sends what must change to the zone's primary by RFC 2136, signed by RFC 8945. It runs on the controller.
  - Every change has the old values as its prerequisite, so that a second writer meets a conflict and nothing of theirs is overwritten.
    One UPDATE where it fits, else as few as can be. What was written is read back, since NOERROR is no proof.
  - In a zone with O(zones[].backend=manual) nothing is sent; what its owner must do is returned in RV(open_points), ready to paste.
  - A zone with a fault is left as it is, the others are worked on, and the module fails at the end with every fault by name.
  - In check mode the primary is asked by an update that can change nothing, so that a wrong key or a missing right is seen before.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  zones:
    description: The zones, each with how it is reached.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The zone.
        type: str
        required: true
      view:
        description: A name for this view, where one zone is kept in several; give the zone once for each.
        type: str
        default: ""
      backend:
        description: V(rfc2136) sends dynamic updates, V(manual) returns what is to be done by hand.
        type: str
        choices: [rfc2136, manual]
        default: rfc2136
      primary:
        description: Address of the zone's primary; needed for V(rfc2136).
        type: str
      port:
        description: Its port.
        type: int
        default: 53
      source:
        description: Address of this machine to ask from, where the server chooses the view by it.
        type: str
      key_name:
        description: Name of the TSIG key.
        type: str
      key_algorithm:
        description: Its algorithm. MD5 and SHA-1 are not taken (RFC 8945 section 6).
        type: str
        choices: [hmac-sha224, hmac-sha256, hmac-sha384, hmac-sha512]
        default: hmac-sha256
      key_secret:
        description: Its secret, in base64. It appears in no result, log, diff or error.
        type: str
      read:
        description: >-
          How the zone is read: V(transfer) (AXFR), V(queries) about the names concerned, or V(auto): a transfer for more than 200 names
          and queries where that is refused.
        type: str
        choices: [auto, transfer, queries]
        default: auto
      servers:
        description: For V(manual), authoritative servers to read the zone from; those that the DNS names where not set.
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
      owner:
        description: For V(manual), whose zone it is.
        type: str
        default: ""
      where:
        description: For V(manual), where its records are entered, as "the customer's registrar".
        type: str
        default: ""
      network:
        description: >-
          For a reverse zone, the addresses that it answers for, as 198.51.100.0/26, where its name does not say it (RFC 2317).
        type: str
      ttl:
        description: TTL in seconds of new records that give none.
        type: int
        default: 3600
  records:
    description: The records.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Whole name of the record.
        type: str
      address:
        description: For a PTR record, the address in place of a name; the name is found also where RFC 2317 delegates a part of a block.
        type: str
      type:
        description: Its type. SOA, DNSSEC's and a zone's own NS records are the name servers' business.
        type: str
        default: TXT
      values:
        description: Its values. A TXT record's is the bare text of any length; names in others are whole names.
        type: list
        elements: str
        default: []
      ttl:
        description: Its TTL in seconds; where not set what stands is kept.
        type: int
      state:
        description: V(absent) removes these values, those that O(records[].owns) names, or without both the whole RRset.
        type: str
        choices: [present, absent]
        default: present
      mode:
        description: >-
          V(exclusive): the RRset is ours and holds these values alone. V(merge): only values of our kind are ours (the one that begins
          v=spf1, or as O(records[].owns) says); all others, and the TTL, stay as they are. V(auto): merge for an SPF record or with owns.
        type: str
        choices: [auto, exclusive, merge]
        default: auto
      owns:
        description: How the TXT values begin that are ours, as V(google-site-verification=); v=spf1 ends at a blank.
        type: str
      replace_key:
        description: Let a DKIM selector get another key. By default it may only be revoked, since a selector is never used twice.
        type: bool
        default: false
      zone:
        description: The zone it is in; the longest of O(zones) that fits where not set.
        type: str
      view:
        description: The one view it is for; all where not set.
        type: str
        default: ""
  purge:
    description: Names that are managed as a whole. What is at or below them, of these types, and is not in O(records) is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      below:
        description: A name inside a zone, as V(mx1._domainkey.example.com).
        type: str
        required: true
      types:
        description: The types that go.
        type: list
        elements: str
        default: [TXT, CNAME]
  undo:
    description: >-
      RV(undo) of an earlier run, which is taken back; its zones must be in O(zones), and O(records) and O(purge) are not looked at.
    type: list
    elements: dict
  unfinished:
    description: What happens to a run that broke off. V(resume) does the rest of what is wanted, V(undo) takes back what it did.
    type: str
    choices: [resume, undo]
    default: resume
  journal:
    description: A folder on the controller for the plan and progress of each zone, so that a run that breaks off can be taken back.
    type: path
  max_change_share:
    description: >-
      The share of a zone's managed records that one run may change or remove; beyond, nothing is sent. New records do not count, nor
      do zones with fewer than ten.
    type: float
    default: 0.3
  resolver:
    description: Address of a recursive resolver, to find the servers of manual zones with.
    type: str
  resolver_port:
    description: Its port.
    type: int
    default: 53
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Publish a DKIM key and the SPF record, whose neighbours stay
  dns_records:
    journal: .state/dns
    zones:
      - name: example.com
        primary: 198.51.100.53
        key_name: mail-update
        key_secret: "{{ vault_dns_key }}"
    records:
      - name: 20261123.mx1._domainkey.example.com
        values: ["v=DKIM1; k=rsa; p={{ dkim_public }}"]
      - name: example.com
        values: ["v=spf1 ip4:198.51.100.11 -all"]

- name: Say what a customer must publish
  dns_records:
    resolver: 127.0.0.1
    zones:
      - {name: customer.example, backend: manual, owner: Customer Ltd, where: their registrar}
    records:
      - {name: slot1._domainkey.customer.example, type: CNAME, values: [slot1.customer.dkim.example.com]}
"""

RETURN = r"""
zones:
  description: >-
    Each zone with its view, backend, state (unchanged, changed, planned, open, failed), number of RRsets planned and changed, UPDATE
    messages, RRsets that a run which broke off had done (resumed), and its fault.
  type: list
  elements: dict
  returned: always
open_points:
  description: >-
    What is to be done by hand: zone, view, name, host (the name as the zone's forms want it), type, ttl, action, value, line (of a zone
    file), owner, where, text.
  type: list
  elements: dict
  returned: always
policies:
  description: Per zone with a TSIG key the lines for BIND and Knot that limit the key to the names of these records.
  type: dict
  returned: success
undo:
  description: What was changed, to be given to O(undo); zone, view, and for each RRset its values before and after.
  type: list
  elements: dict
  returned: always
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.dns import policy
from ..module_utils.goodstanding.dns.inventory import jobs
from ..module_utils.goodstanding.dns.options import LIST, RECORD, ZONE
from ..module_utils.goodstanding.dns.run import Job, Result, run

PURGE = {"below": {"type": "str", "required": True}, "types": {"type": "list", "elements": "str", "default": ["TXT", "CNAME"]}}


def summed(results: list[Result], check_mode: bool) -> dict[str, t.Any]:
    return {
        "changed": any(result.changes if check_mode and result.state == "planned" else result.batches for result in results),
        "zones": [result.row() for result in results],
        "open_points": [point for result in results for point in result.open_points],
        "undo": [result.undo() for result in results if result.done],
    }


def policies(todo: list[Job]) -> dict[str, dict[str, str]]:
    """Return per zone with a TSIG key the lines that limit the key to the names of this call."""
    found = {}
    for job in todo:
        key = job.settings.primary.key if job.settings.primary else None
        grants = policy.grants(job.wanted)
        if key and grants:
            found[job.settings.label] = policy.lines(key.name, grants)
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "zones": {**LIST, "required": True, "options": ZONE},
            "records": {**LIST, "default": [], "options": RECORD},
            "purge": {**LIST, "default": [], "options": PURGE},
            "undo": {**LIST},
            "unfinished": {"type": "str", "choices": ["resume", "undo"], "default": "resume"},
            "journal": {"type": "path"},
            "max_change_share": {"type": "float", "default": 0.3},
            "resolver": {"type": "str"},
            "resolver_port": {"type": "int", "default": 53},
        },
        supports_check_mode=True,
    )
    p = module.params
    try:
        todo, faults = jobs(p)
    except ValueError as exc:
        module.fail_json(msg=str(exc), zones=[], open_points=[], undo=[])
    except (KeyError, TypeError) as exc:
        module.fail_json(
            msg=f"undo has a wrong shape ({type(exc).__name__}): give it as it was returned", zones=[], open_points=[], undo=[]
        )
    if faults:
        module.fail_json(msg="nothing was sent: " + "; ".join(faults), zones=[], open_points=[], undo=[])
    results = run(todo, module.check_mode, p["journal"], p["max_change_share"])
    summary = {**summed(results, module.check_mode), "policies": policies(todo)}
    if module._diff:
        summary["diff"] = [row for result in results for row in result.diff()]
    failed = [result.fault for result in results if result.fault]
    if failed:
        module.fail_json(msg="; ".join(failed), **summary)
    module.exit_json(**summary)


if __name__ == "__main__":
    main()

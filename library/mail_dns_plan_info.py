#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_dns_plan_info
short_description: Make the DNS records that a fleet's mail needs, from the inventory
description:
  - Returns the address, reverse, SPF, DKIM, DMARC, MTA-STS and TLS-RPT records of hosts and domains, in the form that M(dns_records)
    takes. It publishes nothing.
  - What is published already is asked of the zones' own servers first. An SPF or DMARC record is changed term by term, and what others put
    into it stays; other TXT values at the name are not touched.
  - What must not be published yet is in RV(held), with why and what to do. Nothing is ever planned over an answer that did not come.
  - Every record is linted before it is returned, and the lookups of each SPF record are counted before and after.
requirements:
  - dnspython
  - publicsuffixlist
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  hosts:
    description: The hosts that send.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Its name in the inventory; domains name their hosts by it.
        type: str
        required: true
      helo:
        description: The name it says as HELO; O(hosts[].host) where not given. Its addresses, reverse names and SPF are made for this name.
        type: str
      addresses:
        description: The addresses it sends from.
        type: list
        elements: str
        default: []
  domains:
    description: >-
      The domains in C(From:). Each has C(domain); C(hosts), those that send for it, all where not given; C(spf), a dictionary of
      C(include) (names), C(terms) and C(remove) (terms as they are written), C(all) (such as C(-all); the present one stays where not
      given; in place of a C(redirect=) it is held until C(remove) names that), or V(false) to leave SPF alone; C(dmarc) of C(policy)
      (none, quarantine, reject), C(rua), C(ruf) (lists of mail addresses), C(sp), C(np), C(adkim), C(aspf), C(fo), C(testing),
      C(may_weaken), C(may_skip); C(mta_sts) of C(mode), C(mx), C(max_age); C(tls_rpt) of C(rua). What is not given is not planned, and
      stays.
    type: list
    elements: dict
    default: []
  dkim:
    description: >-
      Public keys. Each has C(domain), C(selector), and one of C(record) (as M(dkim_key) returns it), C(revoked) (true leaves the empty key
      that keeps the selector from being used again) or C(cname) (the name where the key is).
    type: list
    elements: dict
    default: []
  zones:
    description: >-
      The zones that hold the names. Each has C(name); C(servers), which are asked what is published now (the primary, best), each with
      C(address) and C(port), or an address; C(network), for a reverse zone of a part of a /24 (RFC 2317), such as 198.51.100.0/26. A zone
      without servers is asked of the resolvers, whose answers may be as old as the TTL of what they hold. Of a zone that is given once for
      each of its views the first is asked, and its SPF and DMARC records are held.
    type: list
    elements: dict
    default: []
  ttl:
    description: Seconds that the records live.
    type: int
    default: 3600
  dkim_ttl:
    description: The same for keys.
    type: int
    default: 3600
  resolvers:
    description: Addresses of resolvers, for what SPF records include and for policy hosts. The first of this machine where not given.
    type: list
    elements: str
    default: []
  port:
    description: Port of the resolvers.
    type: int
    default: 53
  timeout:
    description: Seconds to wait for one answer.
    type: float
    default: 3.0
  deadline:
    description: Seconds for all lookups of the run.
    type: float
    default: 120.0
  policy_port:
    description: Port of the hosts that serve MTA-STS policies.
    type: int
    default: 443
  policy_timeout:
    description: Seconds for fetching one policy.
    type: float
    default: 10.0
  ca_file:
    description: Certificates of authorities that sign for the policy hosts; those of this machine where not given.
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
- name: Make the records of the fleet
  mail_dns_plan_info:
    hosts:
      - {host: mx1.example.com, addresses: [198.51.100.11]}
    domains:
      - domain: example.com
        dmarc: {policy: none, rua: [dmarc@example.com]}
    zones:
      - {name: example.com, servers: [198.51.100.53]}
      - {name: 100.51.198.in-addr.arpa, servers: [198.51.100.53]}
  register: plan

- name: Show what waits for somebody
  ansible.builtin.debug:
    var: plan.held
"""

RETURN = r"""
records:
  description: >-
    What is to be published, sorted by zone and name: zone, name (whole, without a final dot), type, ttl, values (a TXT value is one text,
    however many strings it is sent as), mode (exclusive, the values are all that may be there; merge, values of others stay), owner (with
    merge, what a value of ours begins with, such as v=spf1; exactly those are replaced; empty, values are only added), why.
  type: list
  elements: dict
  returned: success
held:
  description: "What must not be published yet: zone (null where no zone holds it), name, type, why, repair."
  type: list
  elements: dict
  returned: success
findings:
  description: >-
    Faults in what would be published: severity (error, warning, note), check, subject, what, repair, source (the RFC and its section).
  type: list
  elements: dict
  returned: success
policies:
  description: Per domain the MTA-STS policy file, to be served before its record is published.
  type: dict
  returned: success
budgets:
  description: >-
    Per name with an SPF record: before and after (lookups, voids, unknown; null where there is none), record_before, record_after.
  type: dict
  returned: success
stats:
  description: Number of questions, answers and seconds.
  type: dict
  returned: success
"""

import secrets
import time
import typing as t
from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.dnsbl import domains as names
from ..module_utils.goodstanding.dnsbl.ask import ResolverError, system_resolver
from ..module_utils.goodstanding.dnsbl.names import SubjectError
from ..module_utils.goodstanding.mailauth import desired
from ..module_utils.goodstanding.mailauth.asking import Dns, Zoned, work
from ..module_utils.goodstanding.mailauth.fetch import policies

LISTS_OF = {"type": "list", "elements": "dict"}


def server(given: t.Any) -> tuple[str, int]:
    """Return address and port of a name server."""
    return (given, 53) if isinstance(given, str) else (str(given["address"]), int(given.get("port") or 53))


def make(p: dict[str, t.Any]) -> dict[str, t.Any]:
    start = time.monotonic()
    end = start + p["deadline"]
    world = Dns(p["resolvers"] or [system_resolver()], p["port"], p["timeout"], end)
    world.qualify()
    zones: dict[str, Dns] = {}
    for zone in p["zones"]:
        if zone.get("servers"):
            # Where a zone is kept in several views, the first is asked, and what would be merged is held.
            zones.setdefault(
                str(zone["name"]).rstrip(".").lower(), Dns(list(map(server, zone["servers"])), 53, p["timeout"], end, authoritative=True)
            )
    present = Zoned(world, zones)
    with_policy = [names.parse(domain["domain"]) for domain in p["domains"] if domain.get("mta_sts")]
    fetched = policies(world, with_policy, p["policy_port"], p["policy_timeout"], p["ca_file"])
    fleet = {
        **{name: p[name] for name in ("hosts", "domains", "dkim", "zones", "ttl", "dkim_ttl")},
        "nowhere": secrets.token_hex(6),
        "served": {domain: each.text for domain, each in fetched.items() if each.state == "served"},
    }
    (plan,) = work(present, [partial(desired.plan, fleet, present.table)])
    assert plan is not None, "a plan asks four times at most"
    spent = work(world, [partial(desired.spend, plan, name, world.table) for name in plan.budgets])
    plan = desired.settle(plan, dict(zip(plan.budgets, spent)))
    asked = [world, *zones.values()]
    return {
        **plan._asdict(),
        "findings": [finding._asdict() for finding in dict.fromkeys(plan.findings)],
        "stats": {
            **{name: sum(dns.stats[name] for dns in asked) for name in ("questions", "answers", "timeouts")},
            "seconds": round(time.monotonic() - start, 3),
        },
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "hosts": {
                **LISTS_OF,
                "default": [],
                "options": {
                    "host": {"type": "str", "required": True},
                    "helo": {"type": "str"},
                    "addresses": {"type": "list", "elements": "str", "default": []},
                },
            },
            "domains": {**LISTS_OF, "default": []},
            "dkim": {**LISTS_OF, "default": []},
            "zones": {**LISTS_OF, "default": []},
            "ttl": {"type": "int", "default": 3600},
            "dkim_ttl": {"type": "int", "default": 3600},
            "resolvers": {"type": "list", "elements": "str", "default": []},
            "port": {"type": "int", "default": 53},
            "timeout": {"type": "float", "default": 3.0},
            "deadline": {"type": "float", "default": 120.0},
            "policy_port": {"type": "int", "default": 443},
            "policy_timeout": {"type": "float", "default": 10.0},
            "ca_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        result = make(module.params)
    except (desired.InventoryError, SubjectError, ResolverError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg=f"the certificates in ca_file cannot be read ({exc.strerror or exc}): name a file of PEM certificates")
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        module.fail_json(
            msg=f"a host, domain, key or zone has a wrong shape ({type(exc).__name__}: {exc}): see this module's documentation"
        )
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

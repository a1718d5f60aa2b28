#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ip_reputation_info
short_description: Ask DNS blocklists and allowlists about addresses and names
description:
  - Asks every list about every address and name in one batch, through one resolver, on the controller or on a mail host; it needs
    nothing but Python there.
  - The resolver and each list must pass a test of their own first (RFC 5782 section 5); an answer that cannot be believed is neither
    clean nor listed. Passed tests are remembered in O(cache).
  - Each operator is asked at most as often as it allows; a list that begins to refuse is asked no more in the run.
  - What is in O(follow) is also asked of the list's own name servers, where the catalogue says that they may be asked (C(authoritative)).
    Each of them passes the same test first. Where one of them lists the subject it is listed, and only what all of them call clean is
    clean. Where none can be believed, the resolver's answer stands.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  addresses:
    description: The addresses.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: An IPv4 or IPv6 address that receivers see, or a block in CIDR notation of at most 65,536 addresses.
        type: str
        required: true
      host:
        description: The host it belongs to; it is only handed through.
        type: str
  names:
    description: Names of hosts and domains, as M(reputation_catalogue_info) returns them. They are sent to lists of names only.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name in A-labels.
        type: str
        required: true
      registered:
        description: The registered domain above it.
        type: str
        required: true
      host:
        description: The host it belongs to.
        type: str
  lists:
    description: The lists, as M(reputation_catalogue_info) returns them.
    type: list
    elements: dict
    required: true
  keys:
    description: Per name of a key the key. It is sent in questions and appears in no result, log, error or cache.
    type: dict
    default: {}
  resolver:
    description: Address of the resolver; the first of the system where not set.
    type: str
  port:
    description: Port of the resolver.
    type: int
    default: 53
  timeout:
    description: Seconds to wait for one answer; each question is asked twice at most.
    type: float
    default: 3.0
  deadline:
    description: Seconds for the whole run.
    type: float
    default: 300.0
  list_deadline:
    description: Seconds for the questions to one list.
    type: float
    default: 240.0
  rate:
    description: Questions a second to an operator of whom the catalogue knows no limit; 0 asks as fast as the resolver answers.
    type: float
    default: 20.0
  paced:
    description: Whether limits are kept at all. Switch it off only for lists that you serve yourself.
    type: bool
    default: true
  cache:
    description: A file that remembers passed tests and the questions of the day; it may be deleted at any time. Not written in check mode.
    type: path
  cache_max_age:
    description: Seconds that a passed test is remembered.
    type: float
    default: 21600.0
  egress_name:
    description: A name whose TXT record is the address that the resolver asks from; asked only to explain a refusal. Empty asks nobody.
    type: str
    default: o-o.myaddr.l.google.com
  follow:
    description: What is followed to its end, such as an open delisting.
    type: list
    elements: dict
    default: []
    suboptions:
      subject:
        description: The address or name.
        type: str
        required: true
      zone:
        description: The zone of the list.
        type: str
        required: true
  authoritative_port:
    description: Port of the lists' own name servers; another one only for lists that you serve yourself.
    type: int
    default: 53
  allow_documentation_addresses:
    description: Take addresses of documentation nets, for a lab.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Load the lists
  reputation_catalogue_info:
    catalogue: catalogue/blocklists.yml
    hosts:
      - {host: mx1.example.com, addresses: [198.51.100.11, "2001:db8::25"], names: [mx1.example.com]}
  register: plan

- name: Ask them
  ip_reputation_info:
    addresses: "{{ plan.batches[0].addresses }}"
    names: "{{ plan.batches[0].names }}"
    lists: "{{ plan.batches[0].lists }}"
    resolver: 127.0.0.1
"""

RETURN = r"""
addresses:
  description: >-
    Each address with its hosts, the zones on which it is C(clean), the zones that said nothing to be believed (C(unqualified), see
    RV(lists)), and those that said it by their own name servers (C(authoritative)). Everything else is in RV(observations).
  type: list
  elements: dict
  returned: success
names:
  description: The same for each name that was asked.
  type: list
  elements: dict
  returned: success
observations:
  description: >-
    One row for each answer that is not clean: subject, family, hosts, source (zone), list, kind, tier, outcome (listed,
    listed_unknown_code, allowed, score, refused, refused_dns, hijacked, zone_gone, servfail, timeout), codes, meanings, scope (address,
    net, asn, policy), reason (the list's own text, untrusted, at most 400 characters), ttl and latency in seconds (a later check waits
    for the larger), repair, delisting, qualified_by (resolver, at in seconds since 1970).
  type: list
  elements: dict
  returned: success
lists:
  description: >-
    Each list and family that was to be asked: list, zone, family, kind, tier, qualified, why not, repair, qualified_at, subjects,
    clean_ttl (seconds for which the resolver may repeat that something is clean), latency (seconds until the list shows a change),
    delisting (of the catalogue), servers (its own name servers that were asked, each with why it is not believed or null), counts of what
    the resolver answered.
  type: list
  elements: dict
  returned: success
resolver:
  description: The resolver, whether it passed its test, why not, the repair, the address it asks from where that is known, a note.
  type: dict
  returned: success
asked_at:
  description: When the first question was asked, in seconds since 1970.
  type: float
  returned: success
stats:
  description: Number of questions, answers, retries, timeouts, questions over TCP, datagrams that were no answer; seconds.
  type: dict
  returned: success
"""

import re
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.dnsbl.ask import Engine, ResolverError, system_resolver
from ..module_utils.goodstanding.dnsbl.assess import Options, assess, subjects
from ..module_utils.goodstanding.dnsbl.cache import Cache
from ..module_utils.goodstanding.dnsbl.names import SubjectError, expand

KEY = re.compile(r"[A-Za-z0-9_-]{4,63}(?:\.[A-Za-z0-9_-]{1,63}){0,3}\Z")
LISTS_OF = {"type": "list", "elements": "dict"}


def ask(p: dict[str, t.Any], check_mode: bool) -> tuple[dict[str, t.Any], str | None]:
    """Return the result and, where the cache could not be written, why."""
    engine = Engine(p["resolver"] or system_resolver(), p["port"], p["timeout"])
    allow = p["allow_documentation_addresses"]
    addresses = [(address, row["host"]) for row in p["addresses"] for address in expand(row["address"], allow)]
    cache = Cache(p["cache"], frozen=check_mode, max_age=p["cache_max_age"])
    options = Options(
        deadline=p["deadline"], list_deadline=p["list_deadline"], rate=p["rate"], paced=p["paced"],
        egress_name=p["egress_name"], follow=frozenset((row["subject"], row["zone"]) for row in p["follow"]),
        authoritative_port=p["authoritative_port"],
    )  # fmt: skip
    keys = {name: str(key) for name, key in p["keys"].items()}
    for name, key in keys.items():
        if not KEY.match(key):
            raise SubjectError(f"reputation_keys.{name} is no key: it is a part of a name, of letters, digits and hyphens")
    result = assess(engine, p["lists"], subjects(addresses, p["names"]), keys, cache, options)
    try:
        cache.save()
    except OSError as exc:
        return result, f"the cache {p['cache']} cannot be written ({exc.strerror}): each run tests all lists anew"
    return result, None


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "addresses": {**LISTS_OF, "default": [], "options": {"address": {"type": "str", "required": True}, "host": {"type": "str"}}},
            "names": {
                **LISTS_OF,
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "registered": {"type": "str", "required": True},
                    "host": {"type": "str"},
                },
            },
            "lists": {**LISTS_OF, "required": True},
            "keys": {"type": "dict", "default": {}, "no_log": True},
            "resolver": {"type": "str"},
            "port": {"type": "int", "default": 53},
            "timeout": {"type": "float", "default": 3.0},
            "deadline": {"type": "float", "default": 300.0},
            "list_deadline": {"type": "float", "default": 240.0},
            "rate": {"type": "float", "default": 20.0},
            "paced": {"type": "bool", "default": True},
            "cache": {"type": "path"},
            "cache_max_age": {"type": "float", "default": 21600.0},
            "egress_name": {"type": "str", "default": "o-o.myaddr.l.google.com"},
            "follow": {
                **LISTS_OF,
                "default": [],
                "options": {name: {"type": "str", "required": True} for name in ("subject", "zone")},
            },
            "authoritative_port": {"type": "int", "default": 53},
            "allow_documentation_addresses": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    asked_at = time.time()
    try:
        result, warning = ask(module.params, module.check_mode)
    except (SubjectError, ResolverError) as exc:
        module.fail_json(msg=str(exc))
    except (KeyError, TypeError, ValueError) as exc:
        module.fail_json(msg=f"lists, names or keys have a wrong shape ({type(exc).__name__}): give what reputation_catalogue_info returns")
    if warning:
        module.warn(warning)
    module.exit_json(changed=False, asked_at=asked_at, **result)


if __name__ == "__main__":
    main()

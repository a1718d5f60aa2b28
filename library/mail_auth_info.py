#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_auth_info
short_description: See what receivers see of a fleet's DNS, from the wire
description:
  - Asks for the reverse names of every sending address and back, for HELO names, SPF as it comes out for each address, DKIM keys, DMARC
    with alignment, MTA-STS and TLS-RPT, in one batch on the controller, and judges them by what Google, Yahoo and Microsoft ask.
  - What could not be looked up is C(unknown), never C(holds). Nothing is changed anywhere.
  - SPF is evaluated by pyspf over the answers that came; no question leaves from the library itself. MTA-STS policies are fetched by HTTPS
    from the addresses that the resolvers name, with the certificate checked, without redirects.
  - Whether a message is signed is not seen here, only whether its key can be found.
requirements:
  - dnspython
  - publicsuffixlist
  - pyspf
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  addresses:
    description: The addresses that send.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: An IPv4 or IPv6 address that receivers see, or a block of up to 1024, each of which is looked at; a
          larger one is a row of the checklist that says so.
        type: str
        required: true
      host:
        description: The host it belongs to; domains name their hosts by it.
        type: str
        default: ""
      helo:
        description: The name that the host says as HELO from this address. Without it the rows for HELO are unknown.
        type: str
  domains:
    description: The domains in C(From:).
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The domain.
        type: str
        required: true
      envelope:
        description: Domains of its envelope senders; the domain itself where not given.
        type: list
        elements: str
      hosts:
        description: The hosts that send for it, of O(addresses[].host); all where not given.
        type: list
        elements: str
      dkim:
        description: The selectors that its mail is signed with.
        type: list
        elements: dict
        default: []
        suboptions:
          selector:
            description: The selector.
            type: str
            required: true
          domain:
            description: The signing domain (C(d=)); the domain itself where not given.
            type: str
          subdomains:
            description: Whether senders below the domain are signed for with C(i=), which C(t=s) in the key forbids.
            type: bool
            default: false
          record:
            description: The public record of the key that the hosts hold; another key in the DNS is an error then.
            type: str
      mta_sts:
        description: Whether it is to have an MTA-STS policy; where not, one that is there is judged all the same.
        type: bool
        default: false
      tls_rpt:
        description: The same for TLS-RPT.
        type: bool
        default: false
  signers:
    description: >-
      Per host what M(dkim_signing_info) returned, or a failed one. The selectors that its messages bore are looked up like those of
      O(domains[].dkim), with the record of its key where its book has it; where O(domains[].dkim) names none, a host that leaves a domain's
      mail unsigned does not hold, and one that could not be asked is unknown.
    type: dict
    default: {}
  resolvers:
    description: Addresses of resolvers; the next is asked what one did not answer. The first of this machine where not given.
    type: list
    elements: str
    default: []
  port:
    description: Port of the resolvers.
    type: int
    default: 53
  timeout:
    description: Seconds to wait for one answer; each question is asked twice at most of each resolver.
    type: float
    default: 3.0
  deadline:
    description: Seconds for all lookups of the run.
    type: float
    default: 120.0
  max_questions:
    description: How many questions may be asked in the run; what is over it is unknown.
    type: int
    default: 200000
  policy_port:
    description: Port of the hosts that serve MTA-STS policies. Senders use 443.
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
- name: See what receivers see
  mail_auth_info:
    addresses:
      - {address: 198.51.100.11, host: mx1.example.com, helo: mx1.example.com}
      - {address: "2001:db8::25", host: mx1.example.com, helo: mx1.example.com}
    domains:
      - domain: example.com
        envelope: [bounces.example.com]
        dkim:
          - {selector: 20261123.mx1}
    resolvers: [198.51.100.53]
  register: seen

- name: Show what does not hold
  ansible.builtin.debug:
    msg: "{{ seen.checklist | selectattr('state', 'equalto', 'does_not') }}"
"""

RETURN = r"""
addresses:
  description: >-
    Each address: address, host, reverse_names, forward (whether one of them leads back; null where unknown), helo, helo_addresses,
    helo_spf (result, term, why, lookups).
  type: list
  elements: dict
  returned: success
domains:
  description: >-
    Each domain: domain; spf, a row for each envelope domain and address (envelope, address, host, result of pass, fail, softfail,
    neutral, none, permerror, temperror, unknown; term that decided, why, lookups, aligned under both RFCs, null where unknown);
    spf_budget (envelope, record, lookups and voids that the whole record may cost, unknown); dkim (name, domain, selector, kind,
    bits, state, why, cname, aligned); dmarc (at, text, policy, adkim, aspf, organizational by RFC 9989, by_suffix by RFC 7489,
    testing, unknown, reports, per foreign destination whether it agrees); mta_sts (state of holds, does_not, unknown, not_used;
    record, mode, hosts, max_age, why); tls_rpt (state, record, why); mx.
  type: list
  elements: dict
  returned: success
checklist:
  description: >-
    What receivers ask: rule, text, subject (address, domain, or fleet), state (holds, does_not, unknown), why, repair, receivers (google,
    yahoo, microsoft; empty where only a standard asks), applies (everybody, bulk for 5,000 messages a day and more, advised), source,
    codes (of the refusals that name it).
  type: list
  elements: dict
  returned: success
findings:
  description: >-
    Faults of published records: severity (error, warning, note), check, subject (name in the DNS), what, repair, source (the RFC and its
    section).
  type: list
  elements: dict
  returned: success
summary:
  description: Number of rows of the checklist by state.
  type: dict
  returned: success
resolvers_rejected:
  description: Resolvers that cannot be believed, with why and repair. Where none is left everything is unknown.
  type: list
  elements: dict
  returned: success
stats:
  description: Number of questions, answers, retries, timeouts, questions over TCP, datagrams that were no answer; seconds.
  type: dict
  returned: success
"""

import ipaddress
import secrets
import time
import typing as t
from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.dnsbl import domains as names
from ..module_utils.goodstanding.dnsbl.ask import ResolverError, system_resolver
from ..module_utils.goodstanding.dnsbl.names import SubjectError
from ..module_utils.goodstanding.mailauth import receivers, signing, sts, view
from ..module_utils.goodstanding.mailauth.asking import Dns, work
from ..module_utils.goodstanding.mailauth.fetch import policies

LISTS_OF = {"type": "list", "elements": "dict"}
#: Each address of a block is looked at: nobody sends from more by one host.
MAX_BLOCK = 1024


def senders(rows: list[dict[str, t.Any]]) -> tuple[list[view.Sender], list[dict[str, t.Any]]]:
    """Return the addresses, and a row of the checklist for each block that is too large to look at each of its addresses."""
    found, large = [], []
    for row in rows:
        try:
            block = ipaddress.ip_network(row["address"].strip())
        except ValueError:
            raise SubjectError(f"{row['address']!r} is no IP address and no block: write 198.51.100.11, 2001:db8::25 or a /24") from None
        if block.num_addresses > MAX_BLOCK:
            what = f"{row['host'] or 'a host'} sends from a block of {block.num_addresses:,} addresses, too many to look at each"
            advice = f"Name those that send (mail_dns_addresses), or blocks of {MAX_BLOCK:,} (a /22)."
            # Of what is only advised: a fleet whose named addresses hold all may be clean.
            large.append(receivers.row("helo", str(block), receivers.UNKNOWN, what, advice))
            continue
        for address in block:
            mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
            found.append(view.Sender(mapped or address, row["host"] or "", row["helo"]))
    return found, large


def fleet_domains(rows: list[dict[str, t.Any]], signers: dict[str, t.Any]) -> list[view.Domain]:
    found = []
    for row in rows:
        domain = names.parse(row["domain"])
        selectors = tuple(
            view.Selector(names.parse(key["domain"] or domain), key["selector"].lower(), key["subdomains"], key["record"])
            for key in row["dkim"]
        )
        hosts = tuple(row["hosts"] or ())
        selectors, gaps = signing.in_use(domain, selectors, {host: signers[host] for host in signers if not hosts or host in hosts})
        envelope = tuple(names.parse(name) for name in row["envelope"] or [domain])
        # A new one each time: a resolver remembers that a name is not there.
        random = f"gs{secrets.token_hex(6)}"
        found.append(view.Domain(domain, envelope, hosts, selectors, row["mta_sts"], row["tls_rpt"], random, gaps))
    return found


def look(p: dict[str, t.Any]) -> dict[str, t.Any]:
    start = time.monotonic()
    (fleet, large), domains = senders(p["addresses"]), fleet_domains(p["domains"], p["signers"])
    dns = Dns(p["resolvers"] or [system_resolver()], p["port"], p["timeout"], start + p["deadline"], p["max_questions"])
    rejected = dns.qualify()
    dns.ask([(sender.address.reverse_pointer, "PTR") for sender in fleet] + view.questions(domains))
    # What SPF records include, for all addresses at once.
    work(dns, [partial(view.spf_record, name, dns.table) for name in dict.fromkeys(name for each in domains for name in each.envelope)])
    with_policy = [each.domain for each in domains if any(map(sts.is_record, dns.table[(f"_mta-sts.{each.domain}", "TXT")].values))]
    served = policies(dns, with_policy, p["policy_port"], p["policy_timeout"], p["ca_file"])
    tasks = [partial(view.address_view, each, dns.table) for each in fleet]
    tasks += [partial(view.domain_view, each, fleet, dns.table, served.get(each.domain)) for each in domains]
    views = work(dns, tasks)
    lost = [
        receivers.row(rule, domain.domain, receivers.UNKNOWN, "its records ask for lookups without end", "Simplify its SPF record.")
        for domain, seen in zip(domains, views[len(fleet) :])
        if seen is None
        for rule in ("spf_or_dkim", "spf")
    ]
    seen = [each for each in views if each is not None]
    checklist = [row for each in seen for row in each.checklist] + large + lost + receivers.elsewhere()
    findings = dict.fromkeys(finding for each in seen for finding in each.findings)
    states = [row["state"] for row in checklist]
    return {
        "addresses": [each.data for each in views[: len(fleet)] if each is not None],
        "domains": [each.data for each in views[len(fleet) :] if each is not None],
        "checklist": checklist,
        "findings": [finding._asdict() for finding in findings],
        "summary": {state: states.count(state) for state in (receivers.HOLDS, receivers.DOES_NOT, receivers.UNKNOWN)},
        "resolvers_rejected": rejected,
        "stats": {**dns.stats, "seconds": round(time.monotonic() - start, 3)},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "addresses": {
                **LISTS_OF,
                "default": [],
                "options": {"address": {"type": "str", "required": True}, "host": {"type": "str", "default": ""}, "helo": {"type": "str"}},
            },
            "domains": {
                **LISTS_OF,
                "default": [],
                "options": {
                    "domain": {"type": "str", "required": True},
                    "envelope": {"type": "list", "elements": "str"},
                    "hosts": {"type": "list", "elements": "str"},
                    "dkim": {
                        **LISTS_OF,
                        "default": [],
                        "options": {
                            "selector": {"type": "str", "required": True},
                            "domain": {"type": "str"},
                            "subdomains": {"type": "bool", "default": False},
                            "record": {"type": "str"},
                        },
                    },
                    "mta_sts": {"type": "bool", "default": False},
                    "tls_rpt": {"type": "bool", "default": False},
                },
            },
            "signers": {"type": "dict", "default": {}},
            "resolvers": {"type": "list", "elements": "str", "default": []},
            "port": {"type": "int", "default": 53},
            "timeout": {"type": "float", "default": 3.0},
            "deadline": {"type": "float", "default": 120.0},
            "max_questions": {"type": "int", "default": 200000},
            "policy_port": {"type": "int", "default": 443},
            "policy_timeout": {"type": "float", "default": 10.0},
            "ca_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        result = look(module.params)
    except (SubjectError, ResolverError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg=f"the certificates in ca_file cannot be read ({exc.strerror or exc}): name a file of PEM certificates")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ip_reputation_info
short_description: Ask DNS blocklists and allowlists about addresses
description:
  - Asks every list of the catalogue about every address in one batch, on the controller.
  - The resolver and each list must pass a test of their own first (RFC 5782 section 5); an answer that cannot be believed is neither
    clean nor listed.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - dnspython
  - jsonschema
  - PyYAML
options:
  addresses:
    description: The addresses.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description: An IPv4 or IPv6 address that receivers see.
        type: str
        required: true
      host:
        description: The host it belongs to; it is only handed through.
        type: str
  catalogue:
    description: The file of lists.
    type: path
    required: true
  lists:
    description: Zones to ask; all of the catalogue where empty.
    type: list
    elements: str
    default: []
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
    description: Seconds after which what is not answered counts as timed out.
    type: float
    default: 120.0
  allow_documentation_addresses:
    description: Take addresses that are not public, for a lab.
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
- name: Ask about two addresses
  ip_reputation_info:
    addresses:
      - {address: 198.51.100.11, host: mx1.example.com}
      - {address: "2001:db8::25", host: mx1.example.com}
    catalogue: catalogue/blocklists.yml
    resolver: 127.0.0.1
  delegate_to: localhost
"""

RETURN = r"""
addresses:
  description: >-
    Each address with its host and its listings: list, zone, kind, tier, outcome (clean, listed, listed_unknown_code, allowed, score,
    refused, refused_dns, hijacked, zone_gone, servfail, timeout, unqualified), codes, meanings, reason (the list's own text,
    untrusted), ttl in seconds, repair, delist_url.
  type: list
  elements: dict
  returned: success
lists:
  description: Each list with whether it passed its test, and why not.
  type: list
  elements: dict
  returned: success
resolver:
  description: The resolver, whether it passed its test, and why not.
  type: dict
  returned: success
"""

import asyncio
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    import dns.resolver
    import jsonschema  # noqa: F401
    import yaml  # noqa: F401

    from ..module_utils.goodstanding.dnsbl.asker import Asker
    from ..module_utils.goodstanding.dnsbl.assess import assess
    from ..module_utils.goodstanding.dnsbl.catalogue import CatalogueError, load
    from ..module_utils.goodstanding.dnsbl.names import AddressError, parse

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "addresses": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {"address": {"type": "str", "required": True}, "host": {"type": "str"}},
            },
            "catalogue": {"type": "path", "required": True},
            "lists": {"type": "list", "elements": "str", "default": []},
            "resolver": {"type": "str"},
            "port": {"type": "int", "default": 53},
            "timeout": {"type": "float", "default": 3.0},
            "deadline": {"type": "float", "default": 120.0},
            "allow_documentation_addresses": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython, jsonschema and PyYAML"), exception=IMPORT_ERROR)
    p = module.params
    try:
        addresses = [(parse(row["address"], p["allow_documentation_addresses"]), row["host"]) for row in p["addresses"]]
        rows = load(p["catalogue"], p["lists"])
        resolver = p["resolver"] or dns.resolver.Resolver().nameservers[0]
        asker = Asker(str(resolver), p["port"], p["timeout"])
        result = asyncio.run(assess(asker, rows, addresses, p["deadline"]))
    except (AddressError, CatalogueError) as exc:
        module.fail_json(msg=str(exc))
    except (dns.resolver.NoResolverConfiguration, ValueError) as exc:
        module.fail_json(
            msg=f"the resolver {p['resolver'] or 'of the system'} cannot be used ({exc}): set reputation_resolver to an address"
        )
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

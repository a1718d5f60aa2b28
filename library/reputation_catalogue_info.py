#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: reputation_catalogue_info
short_description: Load the catalogue of DNS lists with the layers of an inventory
description:
  - Loads and validates C(blocklists.yml) and C(retired_lists.yml), lays the overrides of the inventory over them, and says which hosts'
    addresses and names are asked of which lists. Runs on the controller and asks nobody.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - idna
  - jsonschema
  - publicsuffixlist
  - PyYAML
options:
  catalogue:
    description: The file of lists; its schema, and the retired lists with theirs, lie beside it.
    type: path
    required: true
  hosts:
    description: What is to be asked about.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Name of the host.
        type: str
        required: true
      addresses:
        description: Its addresses, or blocks of them in CIDR notation.
        type: list
        elements: str
        default: []
      names:
        description: Its HELO and reverse names, and the DKIM and envelope domains that send by it.
        type: list
        elements: str
        default: []
      overrides:
        description: >-
          Layers over the catalogue, the most general first: C(variable), the name for errors, and C(rows). A row names its C(zone); its
          other fields lie over the list's own (C(tier), C(enabled) ...); C(replace=true) takes the row alone; a zone that is not in the
          catalogue is a new list.
        type: list
        elements: dict
        default: []
  lists:
    description: Zones to ask, and no others; all that are enabled where empty.
    type: list
    elements: str
    default: []
  keys:
    description: Names of the keys that are given.
    type: list
    elements: str
    default: []
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
- name: Take SpamCop as information only
  reputation_catalogue_info:
    catalogue: catalogue/blocklists.yml
    hosts:
      - host: mx1.example.com
        addresses: [198.51.100.0/24]
        names: [mx1.example.com, example.com]
        overrides:
          - {variable: reputation_overrides, rows: [{zone: bl.spamcop.net, tier: D}]}
"""

RETURN = r"""
batches:
  description: >-
    Per distinct set of lists: C(lists), C(hosts), C(addresses) (address, host) and C(names) (name, registered, host), to be given to
    M(ip_reputation_info).
  type: list
  elements: dict
  returned: success
left_out:
  description: Lists that are not asked, with why.
  type: list
  elements: dict
  returned: success
rejected:
  description: What cannot be asked about (host, subject, why); the rest is asked.
  type: list
  elements: dict
  returned: success
"""

import json
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from ..module_utils.goodstanding.dnsbl import catalogue, domains, names

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


def plan(p: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the module's result; CatalogueError where the catalogue is wrong. A host with a wrong override is rejected alone."""
    loaded = catalogue.load(p["catalogue"])
    batches: dict[str, dict[str, t.Any]] = {}
    skipped: dict[str, dict[str, t.Any]] = {}
    rejected: list[dict[str, str]] = []
    for host in p["hosts"]:
        layers = [(layer["variable"], layer["rows"]) for layer in host["overrides"]]
        try:
            asked, left_out = catalogue.choose(loaded, layers, p["lists"], p["keys"])
        except catalogue.CatalogueError as exc:
            rejected.append({"host": host["host"], "subject": host["host"], "why": str(exc)})
            continue
        skipped.update((row["zone"], row) for row in left_out)
        batch = batches.setdefault(json.dumps(asked, sort_keys=True), {"lists": asked, "hosts": [], "addresses": [], "names": []})
        batch["hosts"].append(host["host"])
        for text in host["addresses"]:
            try:
                names.expand(text, p["allow_documentation_addresses"])
                batch["addresses"].append({"address": text, "host": host["host"]})
            except names.SubjectError as exc:
                rejected.append({"host": host["host"], "subject": text, "why": str(exc)})
        for text in host["names"]:
            try:
                name = domains.parse(text)
                batch["names"].append({"name": name, "registered": domains.registered(name), "host": host["host"]})
            except names.SubjectError as exc:
                rejected.append({"host": host["host"], "subject": text, "why": str(exc)})
    return {"batches": list(batches.values()), "left_out": sorted(skipped.values(), key=lambda row: row["zone"]), "rejected": rejected}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "catalogue": {"type": "path", "required": True},
            "hosts": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "host": {"type": "str", "required": True},
                    "addresses": {"type": "list", "elements": "str", "default": []},
                    "names": {"type": "list", "elements": "str", "default": []},
                    "overrides": {"type": "list", "elements": "dict", "default": []},
                },
            },
            "lists": {"type": "list", "elements": "str", "default": []},
            "keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "allow_documentation_addresses": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("idna, jsonschema, publicsuffixlist and PyYAML"), exception=IMPORT_ERROR)
    try:
        result = plan(module.params)
    except catalogue.CatalogueError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

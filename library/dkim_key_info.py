#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_key_info
short_description: Show which DKIM keys a mail host holds, and with which of them the signer that runs signs
description:
  - Lists the keys of the host's book that were not destroyed, whether each file is there and the signer would take it, and hands the
    running signer a message of each domain through its milter. Nothing is sent or changed, and nothing private is returned.
  - The signed messages are returned, for other engines to verify by the DNS.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - cryptography >= 38 on the host
options:
  domains:
    description: Domains to be tried beside those of the host's keys.
    type: list
    elements: str
    default: []
  signer:
    description: Who signs; V(auto) is the one that the host has.
    type: str
    choices: [auto, opendkim, rspamd]
    default: auto
attributes:
  check_mode:
    description: Can run in check mode without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: See what this host holds and signs with
  dkim_key_info:
    domains: "{{ dkim_domains }}"
  register: held
"""

RETURN = r"""
signer:
  description: Who signs.
  type: str
  returned: success
keys:
  description: >-
    Per key C(domain), C(selector), C(kind), C(fingerprint), C(record), C(state) and C(since) of the book, C(held) (true; false, its file is
    gone; null, the signer would not take it) and C(fault) with why.
  type: list
  elements: dict
  returned: success
probes:
  description: >-
    Per domain C(signs) (the selectors with which its mail is signed for it, null where that is not known), C(broken) (per selector why the
    signature does not verify by the key of this host), C(message) (as it would leave, lines ending in CRLF) and C(fault).
  type: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.dkim import held, keys, signers, signing
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "domains": {"type": "list", "elements": "str", "default": []},
            "signer": {"type": "str", "choices": ["auto", *signing.ENGINES], "default": "auto"},
        },
        supports_check_mode=True,
    )
    p, run = module.params, runner()
    try:
        keys.require()
        name = signers.here(run) if p["signer"] == "auto" else p["signer"]
        found = held.keys(run, name)
        domains = sorted({domain.lower() for domain in p["domains"]} | {row["domain"] for row in found})
        probes = held.probes(run, name, domains)
    except (HostError, OSError, ValueError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, signer=name, keys=found, probes={domain: probe._asdict() for domain, probe in probes.items()})


if __name__ == "__main__":
    main()

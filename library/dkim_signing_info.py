#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_signing_info
short_description: Tell what keeps a mail host from signing with DKIM, by asking the signer that runs
description:
  - A message for each domain goes through the milter of the running signer, and each signature is verified by the key that this host has.
    No message is sent. The key files are tried as the signer's user, and Postfix is asked whether it asks the signer.
  - Nothing is asked of DNS; what a receiver sees is for another module to say.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - cryptography >= 38 on the host
options:
  signing:
    description: What is signed. The keys are made by M(dkim_key) before, and their records must be published.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The domain of From and of the signature's C(d=).
        type: str
        required: true
      selectors:
        description: >-
          The selectors that sign now. Rspamd makes one signature with each; OpenDKIM signs with the RSA key alone, since it would defer
          mail with two algorithms.
        type: list
        elements: str
        required: true
      subdomains:
        description: >-
          Mail of its sub-domains is signed for this domain, too. Rspamd's own setting C(use_esld) says the same for all domains.
        type: bool
        default: false
  signer:
    description: Who signs; V(auto) is the one that the host has.
    type: str
    choices: [auto, opendkim, rspamd]
    default: auto
  domains:
    description: >-
      The domains that the fleet sends for; one that nothing signs is a fault. A message of each goes through the signer, too, so that the
      selectors in use are seen, whoever set them up; of the first 200, for a minute.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Can run in check mode without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: See whether all mail of the fleet is signed here
  dkim_signing_info:
    signing: "{{ dkim_signing }}"
    domains: "{{ dkim_domains }}"
  register: proof
"""

RETURN = r"""
signer:
  description: Who signs.
  type: str
  returned: success
faults:
  description: >-
    What keeps the host from signing as it must, a sentence each with the repair; the signer is down or was not reloaded, a key cannot be
    read or is of the wrong owner, Postfix does not ask the signer, a domain has no key.
  type: list
  elements: str
  returned: success
unasked:
  description: Those of RV(faults) that keep the mail of a service of Postfix from the signer, whatever its domain.
  type: list
  elements: str
  returned: success
probes:
  description: >-
    Per domain its C(signatures) (C(domain), C(selector), C(algorithm), C(fault), which is empty where it verifies) and C(faults). The
    signatures of domains that O(signing) does not name are not verified.
  type: list
  elements: dict
  returned: success
keys:
  description: >-
    The keys in this host's book that were not destroyed, C(domain), C(selector), C(kind), C(size) in bits, C(state) (V(made), V(present),
    V(retired)), C(since) when, in seconds since 1970, and C(record), the text of its public record.
  type: list
  elements: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.dkim import selectors, signers, signing
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError

_SIGNING = {
    "domain": {"type": "str", "required": True},
    "selectors": {"type": "list", "elements": "str", "required": True},
    "subdomains": {"type": "bool", "default": False},
}
_FACTS = ("domain", "selector", "kind", "size", "state", "since", "record")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "signing": {"type": "list", "elements": "dict", "default": [], "options": _SIGNING},
            "signer": {"type": "str", "choices": ["auto", *signing.ENGINES], "default": "auto"},
            "domains": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    p, run = module.params, runner()
    try:
        name = signers.here(run) if p["signer"] == "auto" else p["signer"]
        told = signing.faults(run, name, signing.rows(p["signing"]), p["domains"])
        keys = [{fact: getattr(row, fact) for fact in _FACTS} for row in selectors.read().rows if row.state != "absent"]
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    probes = [row._asdict() for row in told.seen]
    module.exit_json(changed=False, signer=name, faults=told.faults, unasked=told.unasked, probes=probes, keys=keys)


if __name__ == "__main__":
    main()

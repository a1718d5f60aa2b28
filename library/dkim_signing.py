#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_signing
short_description: Say which domain is signed with which selector on a mail host, and see that the signer does it
description:
  - Writes KeyTable and SigningTable of OpenDKIM, or the section C(domain) of Rspamd's C(local.d/dkim_signing.conf). An administrator's
    settings and lines stay, and O(state=absent) takes ours out to the byte.
  - The keys are tried as the signer's user and the configuration in copies before anything is changed. After the reload a message for
    each domain goes through the milter of the signer that runs; it must come back signed with each selector, and each signature must
    verify by the key that this host has. What fails puts the old files back. No message is sent.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - cryptography >= 38 on the host
options:
  state:
    description: V(absent) takes every line of ours out.
    type: str
    choices: [present, absent]
    default: present
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
  probe:
    description: When messages go through the running signer; V(changed) where the configuration changed, V(all) always, or V(none).
    type: str
    choices: [changed, all, none]
    default: changed
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Sign with this key
  dkim_signing:
    signing:
      - {domain: example.org, selectors: [20261123.mx1]}

- name: Sign twice, by RSA and Ed25519
  dkim_signing:
    signer: rspamd
    signing:
      - {domain: example.org, selectors: [20261123.mx1, 20261123-ed.mx1]}

- name: Take it out again
  dkim_signing:
    state: absent
"""

RETURN = r"""
signer:
  description: Who signs.
  type: str
  returned: success
signing:
  description: Per domain the selectors that sign.
  type: dict
  returned: success
notes:
  description: What the signer leaves out, a sentence each.
  type: list
  elements: str
  returned: success
probes:
  description: >-
    Per domain that was tried its C(signatures) (C(domain), C(selector), C(algorithm), C(fault), which is empty where it verifies) and
    C(faults), a sentence each.
  type: list
  elements: dict
  returned: success
reloaded:
  description: When the signer took the configuration, in seconds since 1970; null where it has none of ours.
  type: float
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.dkim import signers, signing
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone

_SIGNING = {
    "domain": {"type": "str", "required": True},
    "selectors": {"type": "list", "elements": "str", "required": True},
    "subdomains": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "signing": {"type": "list", "elements": "dict", "default": [], "options": _SIGNING},
            "signer": {"type": "str", "choices": ["auto", *signing.ENGINES], "default": "auto"},
            "probe": {"type": "str", "choices": ["changed", "all", "none"], "default": "changed"},
        },
        supports_check_mode=True,
    )
    p, run = module.params, runner()
    try:
        with alone(module.check_mode):
            present = p["state"] == "present"
            name = signers.here(run) if p["signer"] == "auto" else p["signer"]
            wanted = signing.rows(p["signing"]) if present else []
            result = signing.apply(run, name, wanted, present, module.check_mode, p["probe"])
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    faults = [fault for probe in result["probes"] for fault in probe["faults"]]
    if faults:
        module.fail_json(msg="; ".join(faults)[:1000], **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

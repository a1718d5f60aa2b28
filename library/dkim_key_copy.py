#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_key_copy
short_description: Hand a DKIM key that several hosts share from the host that has it to one that is to sign with it, too
description:
  - The host that is to have the key asks for it (O(state=asked)) and returns the public half of a key that it makes for this once. The host
    that has it seals it for that public half (O(state=sealed)). M(dkim_key) opens it on the first host, and destroys the key
    that it was sealed for. What travels is of no use to anybody else, the controller included.
  - Sealed with AES-256-GCM under a key from an ephemeral X25519 exchange (RFC 7748, RFC 5869), bound to the name of the record.
  - One host that is broken into costs the key of all that share it.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - cryptography >= 38 on the host
options:
  state:
    description: V(asked), make the key that others seal for. V(sealed), seal O(keys) for the hosts of O(receivers).
    type: str
    choices: [asked, sealed]
    required: true
  keys:
    description: The keys to be handed over.
    type: list
    elements: dict
    default: []
    suboptions:
      to:
        description: The host that is to have it. One that is not in O(receivers) did not ask, and gets nothing.
        type: str
        required: true
      key:
        description: The key as M(dkim_key) of that host takes it, with C(domain), C(selector) and C(fingerprint).
        type: dict
        required: true
  receivers:
    description: Per host that asked its RV(public).
    type: dict
    default: {}
  signer:
    description: Who signs; V(auto) is the one that the host has.
    type: str
    choices: [auto, opendkim, rspamd, dkimpy]
    default: auto
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Ask for a key
  dkim_key_copy:
    state: asked
  register: asked
  no_log: true

- name: Seal it, on the host that has it
  dkim_key_copy:
    state: sealed
    keys:
      - {to: mx2.example.org, key: {domain: example.org, selector: 20261123.mx, fingerprint: "SHA256:..."}}
    receivers:
      mx2.example.org: "{{ hostvars['mx2.example.org'].asked.public }}"
  register: given
  no_log: true
"""

RETURN = r"""
public:
  description: The public half for which others seal, in base64.
  type: str
  returned: with O(state=asked), but in check mode
sealed:
  description: Per key that was sealed C(to) and C(key), with C(sealed) in it, which that host alone can open.
  type: list
  elements: dict
  returned: with O(state=sealed), but in check mode
faults:
  description: Why keys could not be sealed, a sentence each. Those that could be are.
  type: list
  elements: str
  returned: with O(state=sealed), but in check mode
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.dkim import signers, transfer
from ..module_utils.goodstanding.dkim.hostkeys import Ring, Rules
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone

_KEY = {"to": {"type": "str", "required": True}, "key": {"type": "dict", "required": True, "no_log": False}}


def _sealed(ring: Ring, signer: str, p: dict) -> tuple[list[dict], list[str]]:
    found, faults = [], []
    for row in p["keys"]:
        try:
            key = {name: str(row["key"].get(name) or "") for name in ("domain", "selector", "fingerprint")}
            if row["to"] in p["receivers"]:
                text = ring.give(key["domain"], key["selector"], key["fingerprint"], signer, str(p["receivers"][row["to"]]))
                found.append({"to": row["to"], "key": {**row["key"], "sealed": text}})
        except HostError as exc:
            faults.append(f"for {row['to']}: {exc}")
    return found, faults


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["asked", "sealed"], "required": True},
            "keys": {"type": "list", "elements": "dict", "default": [], "options": _KEY, "no_log": False},
            "receivers": {"type": "dict", "default": {}},
            "signer": {"type": "str", "choices": ["auto", *signers.NAMES], "default": "auto"},
        },
        supports_check_mode=True,
    )
    p, run = module.params, runner()
    if module.check_mode:
        module.exit_json(changed=p["state"] == "asked")
    try:
        with alone(False):
            if p["state"] == "asked":
                module.exit_json(changed=True, public=transfer.ask())
            signer = signers.here(run) if p["signer"] == "auto" else p["signer"]
            ring = Ring(run, Rules("never", "", time.time()))
            sealed, faults = _sealed(ring, signer, p)
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, sealed=sealed, faults=faults)


if __name__ == "__main__":
    main()

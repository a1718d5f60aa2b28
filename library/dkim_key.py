#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_key
short_description: Make, keep, take in, retire and destroy the DKIM keys of a mail host
description:
  - A private key is made on the host that signs with it, written there with mode 0600 as a new file of the signer's user, and returned to
    nobody; one that hosts share goes to them sealed (M(dkim_key_copy)). What is returned is public; the record, its strings of up to 255
    octets, its fingerprint and the path.
  - A selector is one key's for ever. Where another key is needed, a new selector is made, such as V(20261123.mx1); a named one is refused.
  - The signer's own rule for key files is tried as its user. OpenDKIM defers all mail where it does not like a file, and Rspamd sends
    without a signature where it cannot read one.
  - Every selector that was ever used is in the host's state and journal, V(/var/lib/goodstanding).
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - cryptography >= 38 on the host
options:
  domains:
    description: Domains each of which has a key of this host's own, of each of O(types).
    type: list
    elements: str
    default: []
  types:
    description: Which kinds of keys O(domains) have.
    type: list
    elements: str
    choices: [rsa, ed25519]
    default: [rsa]
  size:
    description: Bits of the RSA keys of O(domains).
    type: int
    choices: [2048, 3072, 4096]
    default: 2048
  tags:
    description: More tags of the records of O(domains), such as C(t) with C(s).
    type: dict
    default: {}
  keys:
    description: More keys; all of a host in one call.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The domain of the signature's C(d=).
        type: str
        required: true
      selector:
        description: Its selector. Without one the newest key of the domain and type is meant, and a new one gets a name of its own.
        type: str
        default: ""
      type:
        description: What kind of key. Ed25519 signs beside RSA and never alone, since large receivers do not verify it.
        type: str
        choices: [rsa, ed25519]
        default: rsa
      size:
        description: Bits of an RSA key, V(2048) for a new one. V(1024) only with O(keys[].allow_1024).
        type: int
        choices: [1024, 2048, 3072, 4096]
      allow_1024:
        description: Make an RSA key of 1024 bits, which receivers may refuse.
        type: bool
        default: false
      state:
        description:
          - V(present), a key that can sign. V(retired), its file stays for the way back, and it is chosen no more.
          - V(absent), its file is overwritten and deleted. What a file system, a disk or a backup keeps, stays. Refused while a signer
            names it.
        type: str
        choices: [present, retired, absent]
        default: present
      source:
        description: Take the key in from this file of the host, which stays as it is; needs O(keys[].selector).
        type: path
      fingerprint:
        description: >-
          Take the key with this fingerprint in, which another host has and hands over in O(keys[].sealed); needs O(keys[].selector).
          Where this host has it already, it stays.
        type: str
        default: ""
      sealed:
        description: The key as M(dkim_key_copy) sealed it for this host.
        type: str
        default: ""
      format:
        description: How the file holds the key; V(auto) is what the signer of this host reads.
        type: str
        choices: [auto, pkcs8, pkcs1, seed, seed_public]
        default: auto
      tags:
        description: More tags of the record, such as C(t) with C(s).
        type: dict
        default: {}
      slot:
        description: >-
          The selector is one of the few fixed names behind a customer's CNAMEs, and takes another key when its last one was destroyed
          O(slot_rest) ago.
        type: bool
        default: false
  regenerate:
    description:
      - When a key that is there is replaced, always under a new selector. V(never), a key that is not as wanted is kept, and a damaged one
        fails. V(fail), both fail.
      - V(partial_idempotence), one that is not as wanted, or whose file is missing, is replaced; a damaged one fails.
      - V(full_idempotence), a damaged one is replaced, too. V(always), each run makes a new key.
    type: str
    choices: [never, fail, partial_idempotence, full_idempotence, always]
    default: partial_idempotence
  signer:
    description: Who signs with the keys; V(auto) is the one that the host has.
    type: str
    choices: [auto, opendkim, rspamd, dkimpy]
    default: auto
  directory:
    description: >-
      Where the keys are. V(/etc/dkimkeys) for OpenDKIM and V(/var/lib/rspamd/dkim) for Rspamd; made as the user's own, 0700.
    type: path
  host:
    description: The label of this host in new selectors; its name up to the first dot where it is empty.
    type: str
    default: ""
  slot_rest:
    description: Days for which a slot rests before it takes another key; fewer than 7 only with O(lab_only).
    type: float
    default: 7
  lab_only:
    description: Let O(slot_rest) be shorter than 7 days, as a lab needs it. Mail in queues may then fail at receivers.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode; public facts only.
    support: full
"""

EXAMPLES = r"""
- name: Have an RSA key of this host's own for a domain
  dkim_key:
    domains: [example.org]

- name: Take in the key that signs today, and make an Ed25519 key beside it
  dkim_key:
    keys:
      - {domain: example.org, selector: mail, source: /etc/dkimkeys/mail.private}
      - {domain: example.org, type: ed25519}
    signer: rspamd

- name: Destroy a key whose record was revoked
  dkim_key:
    keys:
      - {domain: example.org, selector: 20260501.mx1, state: absent}
"""

RETURN = r"""
keys:
  description: >-
    Per key, those of O(domains) and then O(keys), C(domain), C(selector), C(name) of its record, C(kind), C(size) in bits, C(state),
    C(path), C(fingerprint) (SHA-256 of the SubjectPublicKeyInfo), C(record) (the text of the TXT record), C(strings) (the same, each up to
    255 octets), C(changed), and C(faults) with why the signer would not take the file, a sentence each. What is not known before a key is
    made is null in check mode.
  type: list
  elements: dict
  returned: always
"""

import socket
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.dkim import hostkeys, signers, transfer
from ..module_utils.goodstanding.dkim.hostkeys import Done, Ring, Rules, Wanted
from ..module_utils.goodstanding.dkim.record import RecordError
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, Run, alone

_DAY = 86400.0
_KEY: dict[str, dict] = {
    "domain": {"type": "str", "required": True},
    "selector": {"type": "str", "default": ""},
    "type": {"type": "str", "choices": ["rsa", "ed25519"], "default": "rsa"},
    "size": {"type": "int", "choices": [1024, 2048, 3072, 4096]},
    "allow_1024": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "retired", "absent"], "default": "present"},
    "source": {"type": "path"},
    "fingerprint": {"type": "str", "default": ""},
    "sealed": {"type": "str", "default": "", "no_log": True},
    "format": {"type": "str", "choices": ["auto", "pkcs8", "pkcs1", "seed", "seed_public"], "default": "auto"},
    "tags": {"type": "dict", "default": {}},
    "slot": {"type": "bool", "default": False},
}


def _wanted(entry: dict, p: dict, signer: str) -> Wanted:
    return Wanted(
        entry["domain"], entry["selector"], entry["type"], entry["size"] or 0, entry["state"], signer, p["directory"] or "",
        "" if entry["format"] == "auto" else entry["format"], entry["source"] or "", entry["slot"],
        tuple((tag, str(value)) for tag, value in entry["tags"].items()), entry["fingerprint"],
        entry["sealed"],
    )  # fmt: skip


def _of_domains(p: dict) -> list[dict]:
    common = {name: spec.get("default") for name, spec in _KEY.items()}
    return [
        {**common, "domain": domain, "type": kind, "size": p["size"] if kind == "rsa" else None, "tags": p["tags"]}
        for domain in p["domains"]
        for kind in p["types"]
    ]


def _bring(module: AnsibleModule, run: Run) -> list[Done]:
    """Bring every key into its state; the module fails at the first that cannot be, with what was done before. What other hosts handed over
    makes it fail at the end: one bad copy keeps no other from this host."""
    p = module.params
    if p["slot_rest"] < 7 and not p["lab_only"]:
        raise HostError(f"a slot that rests {p['slot_rest']:g} days lets mail in queues fail: 7 or more, or lab_only in a lab")
    signer = signers.here(run) if p["signer"] == "auto" else p["signer"]
    host = p["host"] or socket.gethostname()
    ring = Ring(run, Rules(p["regenerate"], host, time.time(), rest=p["slot_rest"] * _DAY, check_mode=module.check_mode))
    done: list[Done] = []
    refused: list[str] = []
    try:
        for entry in [*_of_domains(p), *p["keys"]]:
            ring.rules = ring.rules._replace(short=entry["allow_1024"])
            try:
                done.append(ring.bring(_wanted(entry, p, signer)))
            except (HostError, RecordError) as exc:
                if not entry["sealed"]:
                    raise
                refused.append(str(exc))
    except (HostError, RecordError) as exc:
        ring.book.save()
        module.fail_json(msg=str(exc), **_told(done))
    ring.book.save()
    if any(entry["sealed"] for entry in p["keys"]) and not module.check_mode:
        hostkeys.destroy(transfer.path())  # what it opens is here now, or is sealed anew
    if refused:
        module.fail_json(msg="; ".join(refused), **_told(done))
    return done


def _told(done: list[Done]) -> dict:
    before = "".join(sorted({hostkeys.line(one.before) for one in done}))
    after = "".join(sorted({hostkeys.line(one.row) for one in done}))
    coming = "".join(
        f"{one.selector}._domainkey.{one.wanted.domain} {one.wanted.kind} (made at the real run)\n"
        for one in done
        if one.changed and one.row is None and one.wanted.state == "present"
    )
    return {
        "changed": any(one.changed for one in done),
        "keys": [hostkeys.public(one) for one in done],
        "diff": {"before_header": "DKIM keys", "after_header": "DKIM keys", "before": before, "after": after + coming},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            # no_log of a private key is not needed: none is ever taken or given, but sealed.
            "keys": {"type": "list", "elements": "dict", "default": [], "options": _KEY, "no_log": False},
            "domains": {"type": "list", "elements": "str", "default": []},
            "types": {"type": "list", "elements": "str", "choices": ["rsa", "ed25519"], "default": ["rsa"]},
            "size": {"type": "int", "choices": [2048, 3072, 4096], "default": 2048},
            "tags": {"type": "dict", "default": {}},
            "regenerate": {"type": "str", "choices": list(hostkeys.REGENERATE), "default": "partial_idempotence"},
            "signer": {"type": "str", "choices": ["auto", *signers.NAMES], "default": "auto"},
            "directory": {"type": "path"},
            "host": {"type": "str", "default": ""},
            "slot_rest": {"type": "float", "default": 7},
            "lab_only": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        with alone(module.check_mode):
            done = _bring(module, runner())
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    told = _told(done)
    faults = [fault for one in done for fault in one.faults]
    if faults:
        module.fail_json(msg=f"the signer would not take the keys: {'; '.join(faults)[:1000]}", **told)
    module.exit_json(**told)


if __name__ == "__main__":
    main()

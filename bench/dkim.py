#!/usr/bin/env python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys a second: ours, each written for its signer as a new file, tried, and in the book and the journal of the host, against
cryptography's own, which are made and written as text to nowhere.

RSA takes a random time, more than all else: both make theirs in turn, and enough of them.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import statistics
import sys
import tempfile
import time
import types
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

ROOT = Path(__file__).resolve().parents[1]
PEER = "cryptography"
#: Keys in a round, and rounds.
WORK = {"rsa": (40, 5), "ed25519": (200, 5)}

package = types.ModuleType("goodstanding_src")
package.__path__ = [str(ROOT)]
sys.modules["goodstanding_src"] = package
from goodstanding_src.module_utils.goodstanding.dkim import hostkeys, record, safety, signers  # noqa: E402  the package is named above
from goodstanding_src.module_utils.goodstanding.host import files  # noqa: E402  the package is named above


def ours(kind: str, number: int, offset: int) -> float:
    began = time.monotonic()
    ring = hostkeys.Ring(lambda *words: (0, "", ""), hostkeys.Rules("partial_idempotence", "mx1", time.time()))
    for at in range(number):
        done = ring.bring(hostkeys.Wanted(f"d{offset + at}.example.test", kind=kind))
        assert done.changed and not done.faults and record.parse(done.row.record).kind == kind
    ring.book.save()
    return time.monotonic() - began


def peer(kind: str, number: int) -> float:
    began = time.monotonic()
    for _ in range(number):
        key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return time.monotonic() - began


def measure(folder: str) -> dict[str, dict[str, float]]:
    """Return keys a second per kind."""
    files.STATE = f"{folder}/state"
    me = safety.Daemon(getpass.getuser(), os.geteuid(), os.getegid())
    signers.of = lambda run, name: signers.Signer(name, "", me, f"{folder}/keys", False)
    found = {}
    for kind, (number, rounds) in WORK.items():
        rows = [(ours(kind, number, at * number), peer(kind, number)) for at in range(rounds)]
        # Of RSA the sum: a round that has bad luck with its primes is no outlier.
        join = sum if kind == "rsa" else statistics.median
        total = number * (rounds if kind == "rsa" else 1)
        found[kind] = {"ours": total / join(row[0] for row in rows), PEER: total / join(row[1] for row in rows)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rates = measure(folder)
        written = len(os.listdir(f"{folder}/keys"))
    result = {
        "name": "dkim",
        "work": "make RSA-2048 keys, write each for its signer, try it, keep it in the book; the peer makes keys and writes none",
        "unit": "keys a second",
        "ours": round(rates["rsa"]["ours"], 2),
        "peers": {PEER: round(rates["rsa"][PEER], 2)},
        "ratios": {PEER: round(rates["rsa"]["ours"] / rates["rsa"][PEER], 3)},
        "ed25519": {name: round(rate, 1) for name, rate in rates["ed25519"].items()},
        "checks": {"files_written": written},
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    if written != sum(number * rounds for number, rounds in WORK.values()):
        raise SystemExit("not every key was written: the figures are worth nothing")


if __name__ == "__main__":
    main()

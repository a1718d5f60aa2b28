# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One private key in the formats that signers read. Standard library only, Python >= 3.9; cryptography makes the PEM texts (keys.py).

pkcs8: PEM, "PRIVATE KEY" (OpenDKIM, Rspamd's RSA keys, Rspamd's Ed25519 keys since 3.13.2); pkcs1: PEM, "RSA PRIVATE KEY";
seed: base64 of the 32 octets of an Ed25519 key (dkimpy); seed_public: base64 of these and the public key (Rspamd before 3.13.2).
"""

from __future__ import annotations

import re

FORMATS = ("pkcs8", "pkcs1", "seed", "seed_public")
SIGNERS = ("opendkim", "rspamd", "dkimpy")
#: Since then Rspamd reads an Ed25519 key from PEM (rspamd/rspamd, src/libserver/dkim.c).
_RSPAMD_PEM = (3, 13, 2)


def wanted(signer: str, kind: str, version: str = "") -> str:
    """Return the format that a signer reads keys of a kind in. version: of Rspamd; where it is not known, what every version reads."""
    if kind == "rsa" or signer == "opendkim":
        return "pkcs8"
    if signer == "dkimpy":
        return "seed"
    return "pkcs8" if numbers(version) >= _RSPAMD_PEM else "seed_public"


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers; empty where it has none."""
    match = re.search(r"\d+(?:\.\d+){0,3}", version[:200])
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def suffix(name: str) -> str:
    return "pem" if name.startswith("pkcs") else "key"


def detect(data: bytes) -> str:
    """Return the format of a private key's file, or an empty text."""
    if b"-----BEGIN PRIVATE KEY-----" in data:
        return "pkcs8"
    if b"-----BEGIN RSA PRIVATE KEY-----" in data:
        return "pkcs1"
    if len(data) < 200 and re.fullmatch(rb"\s*[A-Za-z0-9+/]{43}=\s*", data):
        return "seed"
    if len(data) < 200 and re.fullmatch(rb"\s*[A-Za-z0-9+/]{86}==\s*", data):
        return "seed_public"
    return ""

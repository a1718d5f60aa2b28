# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a signer is to sign. Pure; standard library only, Python >= 3.9."""

from __future__ import annotations

import typing as t


class SigningKey(t.NamedTuple):
    """A key that signs. spki: its public half, in DER, by which a probe's signature is verified."""

    selector: str
    path: str
    kind: str
    spki: bytes
    name: str


class Signing(t.NamedTuple):
    """A domain and its keys. subdomains: mail of its sub-domains is signed with d= this domain, too."""

    domain: str
    keys: tuple[SigningKey, ...]
    subdomains: bool = False

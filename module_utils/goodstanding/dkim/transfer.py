# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private key on its way to another host that signs with it, too. Python >= 3.9, cryptography >= 38.

The host that takes makes an X25519 key for this once, and the one that gives seals for it: whoever carries the octets, the controller first
of all, has nothing that can be opened. The key is derived with HKDF-SHA256 (RFC 5869) from an ephemeral X25519 exchange (RFC 7748) and
bound to both public halves and to the name of the record; AES-256-GCM seals.
"""

from __future__ import annotations

import base64
import os
import typing as t

from ..host import files
from ..host.files import File, HostError
from . import keys

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError:  # pragma: no cover
    pass  # keys.require() says so

FILE = "dkim_transfer.key"
_PUBLIC, _NONCE = 32, 12
_MAX_TEXT = 2 * keys.MAX_OCTETS


def path() -> str:
    return f"{files.STATE}/{FILE}"


def ask() -> str:
    """Make the key for which others seal, in place of one that an earlier run left; return its public half, in base64."""
    keys.require()
    private = X25519PrivateKey.generate()
    raw = private.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    files.write_file(File(path(), base64.b64encode(raw).decode() + "\n", 0o600))
    return base64.b64encode(_raw(private)).decode()


def seal(octets: bytes, to: str, name: str) -> str:
    """Seal a private key for the host that asked. to: the public half that it made; name: of the record, which it must name again."""
    keys.require()
    public = _decoded(to, "the public half of the host that takes it")
    if len(public) != _PUBLIC:
        raise HostError(
            f"the key {name} cannot be sealed: the public half of the host that takes it has {len(public)} octets, not {_PUBLIC}"
        )
    private = X25519PrivateKey.generate()
    mine, nonce = _raw(private), os.urandom(_NONCE)
    sealed = _cipher(private, public, mine + public, name).encrypt(nonce, octets, name.encode())
    return base64.b64encode(mine + nonce + sealed).decode()


def take(text: str, name: str) -> bytes:
    """Open what was sealed for the key that ask() made. HostError, without a word of it, where it was sealed for another or for no key."""
    keys.require()
    data = _decoded(text, f"what was handed over as the key {name}")
    kept = files.read_text(path())
    if kept is None:
        raise HostError(f"the key {name} was handed over, and this host did not ask for it, or has taken it: run again")
    try:
        private = X25519PrivateKey.from_private_bytes(base64.b64decode(kept))
        theirs = data[:_PUBLIC]
        cipher = _cipher(private, theirs, theirs + _raw(private), name)
        return cipher.decrypt(data[_PUBLIC : _PUBLIC + _NONCE], data[_PUBLIC + _NONCE :], name.encode())
    except (InvalidTag, ValueError) as exc:
        why = type(exc).__name__
    raise HostError(f"what was handed over as the key {name} was not sealed for this host now ({why}): run again")


def _cipher(private: t.Any, public: bytes, both: bytes, name: str) -> t.Any:
    """Return what seals and opens. both: the public halves, of the host that gives first."""
    try:
        secret = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as exc:  # a point of small order gives nothing secret
        raise HostError(f"the key {name} cannot be handed over: the other host's public half is none ({type(exc).__name__})") from None
    return AESGCM(HKDF(hashes.SHA256(), 32, None, b"goodstanding DKIM key " + both + name.encode()).derive(secret))


def _raw(private: t.Any) -> bytes:
    found: bytes = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return found


def _decoded(text: str, what: str) -> bytes:
    try:
        if len(text) <= _MAX_TEXT:
            return base64.b64decode(text, validate=True)
    except ValueError:
        pass
    raise HostError(f"{what} is no base64 of up to {_MAX_TEXT} characters: run again")

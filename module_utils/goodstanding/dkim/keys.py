# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys, on the host that signs with them: made, read, written in a format, tried. Python >= 3.9, cryptography >= 38.

No message of this file, and no repr(), holds an octet of a private key; an exception of cryptography is never passed on.
"""

from __future__ import annotations

import base64
import typing as t

from ..host.files import HostError
from . import formats, record

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
except ImportError:  # pragma: no cover
    _MISSING = True
else:
    _MISSING = False

#: Verifiers must handle these (RFC 8301 section 3.2); fewer than 1024 bits fail for good.
SIZES = (1024, 2048, 3072, 4096)
#: A file that is larger than this is no key.
MAX_OCTETS = 64 << 10
_TRIAL = b"a trial of a DKIM key"

Private = t.Any


class Key:
    """A private key. kind: rsa or ed25519; size: in bits; spki: the public half, in DER."""

    __slots__ = ("_private", "kind", "size", "spki")

    def __init__(self, private: Private) -> None:
        self._private = private
        self.spki: bytes = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.kind = record.kind_of(self.spki)
        self.size: int = 256 if self.kind == "ed25519" else private.key_size

    def __repr__(self) -> str:
        return f"<Key {self.kind} {self.size} {record.fingerprint(self.spki)}>"

    def __reduce__(self) -> t.NoReturn:
        raise TypeError("a private key is not copied")

    def octets(self, name: str) -> bytes:
        """Return the key as the content of a file in a format; HostError where there is no such format for its kind."""
        if name == "pkcs8":
            return self._pem(serialization.PrivateFormat.PKCS8)
        if name == "pkcs1" and self.kind == "rsa":
            return self._pem(serialization.PrivateFormat.TraditionalOpenSSL)
        if name in ("seed", "seed_public") and self.kind == "ed25519":
            raw = self._private.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
            return base64.b64encode(raw + (self.spki[-32:] if name == "seed_public" else b"")) + b"\n"
        raise HostError(f"an {self.kind} key has no format {name}: choose another signer or format")

    def _pem(self, form: t.Any) -> bytes:
        found: bytes = self._private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return found

    def sign(self, data: bytes) -> bytes:
        """Return the signature of rsa-sha256, or PureEdDSA."""
        found: bytes = self._private.sign(data) if self.kind == "ed25519" else self._private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return found

    def works(self) -> bool:
        """Return whether what it signs is verified by its public half."""
        return verify(self.spki, self.sign(_TRIAL), _TRIAL)


def require() -> None:
    if _MISSING:
        raise HostError("this host has no Python library cryptography, which makes the keys: install the package python3-cryptography")


def make(kind: str, size: int = 2048, short: bool = False) -> Key:
    """Make a key. short: also one of 1024 bits, which receivers may refuse (RFC 8301 section 3.2)."""
    require()
    if kind == "ed25519":
        return Key(ed25519.Ed25519PrivateKey.generate())
    if size not in SIZES or (size == 1024 and not short):
        raise HostError(f"an RSA key of {size} bits is not made: choose 2048 (3072, 4096); 1024 only with allow_1024")
    return Key(rsa.generate_private_key(public_exponent=65537, key_size=size))


def load(data: bytes, where: str) -> Key:
    """Read a private key in any of the formats. HostError, without a word of the file, where it is none."""
    require()
    form = formats.detect(data) if len(data) <= MAX_OCTETS else ""
    try:
        private = _load(data, form)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        why = type(exc).__name__
    else:
        if private is not None:
            return Key(private)
        why = "neither PEM without a passphrase nor the base64 of an Ed25519 key"
    raise HostError(f"{where} holds no private key that DKIM can use ({why}): give another file, or make a new key")


def _load(data: bytes, form: str) -> Private | None:
    if form in ("seed", "seed_public"):
        raw = base64.b64decode(data)
        private = ed25519.Ed25519PrivateKey.from_private_bytes(raw[:32])
        public = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return private if raw[32:] in (b"", public) else None
    if not form:
        return None
    found = serialization.load_pem_private_key(data, None)
    return found if isinstance(found, (rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)) else None


def verify(spki: bytes, signature: bytes, data: bytes) -> bool:
    """Return whether this is the signature of these octets by the key with this public half. HostError where that is no key."""
    require()
    try:
        public = serialization.load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise HostError(f"the public key cannot be read ({type(exc).__name__}): give the record as it is in DNS") from None
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, data)
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        else:
            return False
    except InvalidSignature:
        return False
    return True

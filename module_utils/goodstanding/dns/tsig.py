# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign messages and check signatures by a shared secret (TSIG, RFC 8945). The secret appears in no text of this program."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
import time
import typing as t

from . import wire
from .wire import ANY, TSIG, Message, WireError

#: RFC 8945 section 6: MD5 must not be used, SHA-1 is not recommended.
ALGORITHMS = {
    "hmac-sha256": hashlib.sha256,
    "hmac-sha384": hashlib.sha384,
    "hmac-sha512": hashlib.sha512,
    "hmac-sha224": hashlib.sha224,
}
#: How many seconds the two clocks may differ (RFC 8945 section 10).
FUDGE = 300
ERRORS = {16: "BADSIG", 17: "BADKEY", 18: "BADTIME", 22: "BADTRUNC"}


class TsigKeyError(ValueError):
    """A TSIG key cannot be used as it was given."""


class Key:
    """A TSIG key: its name, algorithm and secret, which no representation shows."""

    def __init__(self, name: str, secret: str, algorithm: str = "hmac-sha256") -> None:
        algorithm = algorithm.lower().rstrip(".")
        if algorithm not in ALGORITHMS:
            advice = "make a key of hmac-sha256 (tsig-keygen), name it on the primary and here"
            if "md5" in algorithm:
                raise TsigKeyError(f"the TSIG key {name} is of {algorithm}, which RFC 8945 forbids: {advice}")
            raise TsigKeyError(f"the TSIG key {name} is of {algorithm}, which is not one of {', '.join(ALGORITHMS)}: {advice}")
        try:
            self._secret = base64.b64decode("".join(secret.split()), validate=True)
        except (binascii.Error, ValueError):
            raise TsigKeyError(f"the secret of the TSIG key {name} is no base64: give the text that stands after 'secret'") from None
        if not self._secret:
            raise TsigKeyError(f"the secret of the TSIG key {name} is empty")
        self.name, self.algorithm = name.rstrip("."), algorithm
        try:
            self.packed, self._method = wire.pack(name), wire.pack(algorithm)
        except ValueError as exc:
            raise TsigKeyError(f"the TSIG key's name cannot be used: {exc}") from None

    def __repr__(self) -> str:
        return f"<TSIG key {self.name} {self.algorithm}>"

    @property
    def size(self) -> int:
        """The octets that a signature adds to a message."""
        return len(self.packed) + 10 + len(self._method) + 16 + ALGORITHMS[self.algorithm]().digest_size

    def _mac(self, *parts: bytes) -> bytes:
        return hmac.new(self._secret, b"".join(parts), ALGORITHMS[self.algorithm]).digest()

    def sign(self, message: bytes, now: float | None = None) -> tuple[bytes, bytes]:
        """Return a message signed, and the signature, which that of the reply covers."""
        signed = struct.pack("!Q", int(time.time() if now is None else now))[2:] + struct.pack("!H", FUDGE)
        variables = self.packed + struct.pack("!HI", ANY, 0) + self._method + signed + b"\0\0\0\0"
        mac = self._mac(message, variables)
        data = self._method + signed + struct.pack("!H", len(mac)) + mac + message[:2] + b"\0\0\0\0"
        count = int.from_bytes(message[10:12], "big") + 1
        record = self.packed + struct.pack("!HHIH", TSIG, ANY, 0, len(data)) + data
        return message[:10] + count.to_bytes(2, "big") + message[12:] + record, mac

    def verifier(self, request: bytes, now: t.Callable[[], float] = time.time) -> Verifier:
        """request: the signature of the question."""
        return Verifier(self, request, now)


class Signature(t.NamedTuple):
    """What a TSIG record says. error: BADSIG, BADKEY, BADTIME, ... or empty; other: the server's time with BADTIME."""

    name: bytes
    method: bytes
    time: int
    fudge: int
    mac: bytes
    number: int
    error: str
    other: bytes


def signature(message: Message) -> Signature | None:
    """Return what the TSIG record of a message says, unproven, or None where it is not signed; WireError where it is damaged."""
    if message.tsig is None:
        return None
    record = message.additional[-1]
    try:
        method, at = wire.read_name(record.data, 0)
        when, fudge, length = int.from_bytes(record.data[at : at + 6], "big"), *struct.unpack_from("!HH", record.data, at + 6)
        at += 10
        mac = record.data[at : at + length]
        number, error, rest = struct.unpack_from("!HHH", record.data, at + length)
        other = record.data[at + length + 6 : at + length + 6 + rest]
    except (IndexError, struct.error) as exc:
        raise WireError("the TSIG record is cut short") from exc
    return Signature(record.name, method, when, fudge, mac, number, ERRORS.get(error, f"TSIG error {error}") if error else "", other)


class Verifier:
    """Checks the signature of a reply, which may be of many messages as that of a zone transfer (RFC 8945 section 5.3.1)."""

    def __init__(self, key: Key, request: bytes, now: t.Callable[[], float]) -> None:
        self._key, self._mac, self._now = key, request, now
        self._first = True
        self._unsigned: list[bytes] = []

    def check(self, raw: bytes, message: Message) -> str:
        """Return "" where a message is proven or covered by a later signature; else what is wrong with it."""
        found = signature(message)
        if found is None:
            if self._first:
                return "it is not signed"
            self._unsigned.append(raw)
            return "" if len(self._unsigned) < 100 else "a hundred messages in a row are not signed"
        if found.error:
            return found.error
        if found.name != self._key.packed or found.method != self._key._method:
            return "it is signed by another key"
        assert message.tsig is not None
        count = int.from_bytes(raw[10:12], "big") - 1
        bare = found.number.to_bytes(2, "big") + raw[2:10] + count.to_bytes(2, "big") + raw[12 : message.tsig]
        stamp = struct.pack("!Q", found.time)[2:] + struct.pack("!H", found.fudge)
        if self._first:
            variables = self._key.packed + struct.pack("!HI", ANY, 0) + self._key._method + stamp
            variables += struct.pack("!HH", 0, len(found.other)) + found.other
        else:
            variables = stamp
        parts = [len(self._mac).to_bytes(2, "big") + self._mac] if self._mac else []
        mac = self._key._mac(*parts, *self._unsigned, bare, variables)
        if not hmac.compare_digest(mac, found.mac):
            return "its signature is wrong"
        if abs(found.time - self._now()) > found.fudge:
            return f"it was signed {found.time - self._now():+.0f} s from this machine's time"
        self._mac, self._first, self._unsigned = found.mac, False, []
        return ""

    @property
    def open(self) -> bool:
        """Whether messages came after the last signature: the end of a transfer must be signed."""
        return bool(self._unsigned)

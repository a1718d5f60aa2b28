# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public half of a DKIM key as DNS serves it (RFC 6376 section 3.6.1, RFC 8463). Pure; standard library only, Python >= 3.9."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import typing as t

#: What one character-string of a TXT record may hold (RFC 1035 section 3.3.14).
STRING = 255
#: More than this is no key record: a 16384 bit key has 2,800.
MAX_TEXT = 8192
#: SubjectPublicKeyInfo of an Ed25519 key is this and 32 octets (RFC 8410 section 10.1).
_ED25519 = bytes.fromhex("302a300506032b6570032100")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SPACE = " \t\r\n"
#: A revoked key of which nothing but the name is kept, so that nobody takes the selector again.
GRAVESTONE = "v=DKIM1; p="


class RecordError(ValueError):
    """A text is no DKIM key record; the message says which rule it breaks."""


class Record(t.NamedTuple):
    """A key record, parsed. kind: rsa or ed25519, or what k= says; key: the octets of p=, empty where the key is revoked; tags: as they
    stand, in order, without the blanks around them."""

    kind: str
    key: bytes
    tags: dict[str, str]

    @property
    def revoked(self) -> bool:
        return not self.key

    @property
    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo, in DER."""
        return _ED25519 + self.key if self.kind == "ed25519" else self.key


def kind_of(spki: bytes) -> str:
    return "ed25519" if spki.startswith(_ED25519) and len(spki) == len(_ED25519) + 32 else "rsa"


def text(spki: bytes, /, **tags: str) -> str:
    """Return the record of a public key. tags: more of them, such as t='s'; h=, s= and t= are left out where they are not asked for.
    RecordError where one cannot be a tag."""
    kind = kind_of(spki)
    key = spki[len(_ED25519) :] if kind == "ed25519" else spki
    found = {"v": "DKIM1", "k": kind, **tags, "p": base64.b64encode(key).decode()}
    for name, value in found.items():
        if not _NAME.fullmatch(name) or ";" in value or not value.isprintable():
            raise RecordError(f"{name}={value[:40]} cannot be a tag of a DKIM record")
    return "; ".join(f"{name}={value}" for name, value in found.items())


def strings(value: str) -> list[str]:
    """Return the character-strings of a TXT record with this text."""
    return [value[at : at + STRING] for at in range(0, len(value), STRING)] or [""]


def name(domain: str, selector: str) -> str:
    return f"{selector}._domainkey.{domain}"


def parse(value: str) -> Record:
    """Return what a text says; RecordError where it is no key record. Unknown tags are kept and mean nothing."""
    if len(value) > MAX_TEXT:
        raise RecordError(f"it has more than {MAX_TEXT} characters")
    tags = _tags(value)
    if "v" in tags and (next(iter(tags)) != "v" or tags["v"] != "DKIM1"):
        raise RecordError("v= must come first and be DKIM1")
    if "p" not in tags:
        raise RecordError("it has no p=")
    kind = tags.get("k", "rsa")
    try:
        key = base64.b64decode("".join(tags["p"].split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise RecordError("p= is no base64") from exc
    if key and kind == "ed25519" and len(key) != 32:
        raise RecordError(f"p= of an Ed25519 key has 32 octets, this one {len(key)}")
    return Record(kind, key, tags)


def _tags(value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    parts = value.split(";")
    if not parts[-1].strip(_SPACE):
        parts.pop()
    for part in parts:
        tag, equals, content = part.partition("=")
        tag = tag.strip(_SPACE)
        if not equals or not _NAME.fullmatch(tag):
            raise RecordError(f"{part[:40]!r} is no tag=value")
        if tag in found:
            raise RecordError(f"{tag}= is there twice")
        found[tag] = content.strip(_SPACE)
    return found


def same(one: str, other: str) -> bool:
    """Return whether two texts mean the same to a verifier: blanks and the order of tags do not count."""
    try:
        first, second = parse(one), parse(other)
    except RecordError:
        return one == other
    return _meaning(first) == _meaning(second)


def _meaning(record: Record) -> tuple[t.Any, ...]:
    more = {tag: "".join(value.split()) for tag, value in record.tags.items() if tag not in ("v", "k", "p", "n")}
    return record.kind, record.key, sorted(more.items())


def fingerprint(spki: bytes) -> str:
    """Return a short name of a public key: SHA-256 of its SubjectPublicKeyInfo, as OpenSSH writes those of its keys."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(spki).digest()).decode().rstrip("=")


def bits(spki: bytes) -> int:
    """Return the size of a public key; 256 for Ed25519. RecordError where it is no SubjectPublicKeyInfo of an RSA key."""
    if kind_of(spki) == "ed25519":
        return 256
    try:
        outer, _ = _der(spki, 0, 0x30)
        _, after = _der(outer, 0, 0x30)
        inner, _ = _der(outer, after, 0x03)
        numbers, _ = _der(inner, 1, 0x30)  # behind the count of unused bits
        modulus, _ = _der(numbers, 0, 0x02)
    except IndexError as exc:
        raise RecordError("the key is no SubjectPublicKeyInfo of an RSA key") from exc
    return int.from_bytes(modulus, "big").bit_length()


def _der(data: bytes, at: int, tag: int) -> tuple[bytes, int]:
    """Return the content of the DER element there and where the next one begins."""
    if data[at] != tag:
        raise RecordError("the key is no SubjectPublicKeyInfo of an RSA key")
    length, start = data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(data[start : start + count], "big"), start + count
    if start + length > len(data):
        raise IndexError
    return data[start : start + length], start + length

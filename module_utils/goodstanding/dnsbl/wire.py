# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS messages for questions to lists: packed and read, and nothing that was not asked is believed. Standard library only, Python >= 3.9.

A reply is an answer only if it repeats the question (RFC 5452 section 9.1), is whole, and its records belong to the name asked for or
to where a CNAME leads from it. Whatever else came in raises WireError, which the caller treats as silence.
"""

from __future__ import annotations

import struct
import typing as t

A, NS, SOA, TXT = 1, 2, 6, 16
_CNAME, _IN = 5, 1
_MAX_RECORDS = 200
_MAX_REMEMBERED = 10_000
_MAX_POINTERS = 16
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
_ONE_QUESTION = struct.pack("!HHHHH", 0x0100, 1, 0, 0, 1)
# RFC 6891: no options, 1232 octets, which no path fragments.
_OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
#: What stands before and after the question section in the message that asks, behind its ID.
QUERY = (_ONE_QUESTION, _OPT)


class WireError(Exception):
    """A datagram is no answer to the question."""


class TruncatedError(Exception):
    """The answer did not fit: ask again over TCP."""


class Answer(t.NamedTuple):
    """What came back. rcode: NOERROR, NXDOMAIN, SERVFAIL, REFUSED ..., or TIMEOUT; soa: owner of the SOA of the answer or, for a name that
    does not exist, of the authority section, in lower case with a final dot; ttl in seconds (RFC 2308 section 5 for negative answers);
    texts: TXT, or the names of name servers; target: where a CNAME led, written like soa."""

    rcode: str
    addresses: tuple[str, ...] = ()
    ttl: int | None = None
    soa: str | None = None
    texts: tuple[str, ...] = ()
    target: str | None = None


TIMEOUT = Answer("TIMEOUT")
#: Of a server that has no authority for the name (RFC 1035 section 4.1.1, AA), or of whoever answers in its place.
LAME = Answer("LAME")


def pack_name(name: str) -> bytes:
    """Return an absolute ASCII name in wire form, in lower case. ValueError where it is none (RFC 1035 section 3.1)."""
    labels = [label.encode("ascii") for label in name.lower().rstrip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels) or sum(map(len, labels)) + len(labels) > 254:
        raise ValueError(f"{name[:100]!r} is no domain name")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\x00"


def unpack_name(packed: bytes) -> str:
    """Return a name in wire form, uncompressed, as text with a final dot; bytes outside printable ASCII become a question mark."""
    labels, pos = [], 0
    while packed[pos]:
        labels.append("".join(chr(byte) if 32 < byte < 127 else "?" for byte in packed[pos + 1 : pos + 1 + packed[pos]]))
        pos += packed[pos] + 1
    return ".".join(labels) + "."


def question(name: bytes, kind: int = A) -> bytes:
    """Return the question section for a packed name."""
    return name + struct.pack("!HH", kind, _IN)


def query(number: bytes, asked: bytes) -> bytes:
    """Return the message that asks, recursion desired. number: the two octets of the ID."""
    return number + _ONE_QUESTION + asked + _OPT


_negatives: dict[bytes, Answer] = {}


def parse(data: bytes, asked: bytes) -> Answer:
    """Return the answer in a message; WireError where it is none, TruncatedError where it is not whole. The caller has matched the ID."""
    try:
        pos = 12 + len(asked)
        if data.startswith(asked, 12) and data[6:8] == b"\0\0" and data[pos : pos + 1] >= b"\xc0":
            # Nearly every answer: nothing there, and from the zone's name on it was read before, octet for octet.
            zone = (data[pos] & 0x3F) << 8 | data[pos + 1]
            if 12 <= zone < pos - 4:
                key = data[2:12] + data[zone:]
                known = _negatives.get(key)
                if known is None:
                    known = _parse(data, asked)
                    if len(_negatives) < _MAX_REMEMBERED:
                        _negatives[key] = known
                return known
        return _parse(data, asked)
    except (IndexError, struct.error) as exc:
        raise WireError("the message is cut short") from exc


def parse_authoritative(data: bytes, asked: bytes) -> Answer:
    """Return what parse() does, and LAME in the place of an answer that does not come from an authoritative server."""
    answer = parse(data, asked)
    return answer if data[2] & 0x04 or answer.rcode not in ("NOERROR", "NXDOMAIN") else LAME


def _parse(data: bytes, asked: bytes) -> Answer:
    _, flags, questions, answers, authorities, _ = _HEADER.unpack_from(data)
    # No length octet is an upper-case letter, so that lower() changes labels only.
    if flags & 0xF800 != 0x8000 or questions != 1 or data[12 : 12 + len(asked)].lower() != asked:
        raise WireError("the message does not answer the question")
    if flags & 0x0200:
        raise TruncatedError
    return _whole(data, asked, flags & 15, answers, authorities)


def _whole(data: bytes, asked: bytes, rcode: int, answers: int, authorities: int) -> Answer:
    if answers > _MAX_RECORDS or authorities > _MAX_RECORDS:
        raise WireError("the message has too many records")
    kind = int.from_bytes(asked[-4:-2], "big")
    pos = 12 + len(asked)
    records: list[tuple[bytes, int, int, int, int, bool]] = []
    for _ in range(answers + authorities):
        owner, pos = _name(data, pos)
        rtype, rclass, ttl, length = _RECORD.unpack_from(data, pos)
        pos += 10
        if pos + length > len(data):
            raise WireError("the message is cut short")
        if rclass == _IN:
            records.append((owner, rtype, ttl & 0x7FFFFFFF, pos, length, len(records) < answers))
        pos += length
    # A chain of CNAMEs may come in any order: at most as many steps as there are records.
    names: set[bytes] = {asked[:-4]}
    ttls: list[int] = []
    cnames = {owner: (_name(data, at)[0], ttl) for owner, rtype, ttl, at, _, answer in records if answer and rtype == _CNAME}
    name = asked[:-4]
    while name in cnames and len(ttls) <= len(cnames):
        name, ttl = cnames[name]
        names.add(name)
        ttls.append(ttl)
    found: set[str] = set()
    texts: set[str] = set()
    soa = None
    for owner, rtype, ttl, at, length, answer in records:
        if answer and owner in names and rtype == kind == A and length == 4:
            found.add(".".join(map(str, data[at : at + 4])))
            ttls.append(ttl)
        elif answer and owner in names and rtype == kind == TXT:
            texts.add(_strings(data[at : at + length]))
            ttls.append(ttl)
        elif answer and owner in names and rtype == kind == NS:
            texts.add(unpack_name(_name(data, at)[0]))
            ttls.append(ttl)
        elif rtype == SOA and soa is None and (not answer or (kind == SOA and owner in names)):
            soa = unpack_name(owner)
            minimum = int.from_bytes(data[at + length - 4 : at + length], "big")
            if not found and not texts:
                ttls.append(min(ttl, minimum))
    word = _RCODES[rcode] if rcode < len(_RCODES) else f"RCODE{rcode}"
    target = unpack_name(name) if name != asked[:-4] else None
    return Answer(word, tuple(sorted(found)), min(ttls, default=None), soa, tuple(sorted(texts)), target)


def _name(data: bytes, pos: int) -> tuple[bytes, int]:
    """Return a name in lower case and the position after it."""
    name, end = read_name(data, pos)
    # No length octet is an upper-case letter, so that lower() changes labels only.
    return name.lower(), end


def read_name(data: bytes, pos: int, most: int = _MAX_POINTERS) -> tuple[bytes, int]:
    """Return a name as it is written, uncompressed, and the position after it.

    most: pointers that are followed; each must lead further back, so that none can loop."""
    parts, total, end, limit, pointers = [], 0, 0, pos, 0
    while True:
        length = data[pos]
        if length >= 0xC0:
            end = end or pos + 2
            pos = (length & 0x3F) << 8 | data[pos + 1]
            pointers += 1
            if pos >= limit or pointers > most:
                raise WireError("a name's pointer leads forward, or on and on")
            limit = pos
        elif length > 63:
            raise WireError("a label is of an unknown kind")
        else:
            total += length + 1
            if total > 255 or pos + 1 + length > len(data):
                raise WireError("a name is too long")
            parts.append(data[pos : pos + 1 + length])
            pos += 1 + length
            if not length:
                return b"".join(parts), end or pos


def _strings(data: bytes) -> str:
    """Return the joined character strings of a TXT record (RFC 1035 section 3.3.14)."""
    parts, pos = [], 0
    while pos < len(data):
        parts.append(data[pos + 1 : pos + 1 + data[pos]])
        pos += 1 + data[pos]
    return b"".join(parts).decode("utf-8", "replace")

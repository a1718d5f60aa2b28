# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS messages as octets: records read and updates packed without an object for each, so that a zone of 10,000 keys takes a second.

A name is kept in wire form, uncompressed and in lower case; record data in wire form, uncompressed. What is not whole raises WireError.
"""

from __future__ import annotations

import functools
import re
import struct
import typing as t

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from ..dnsbl.wire import WireError
from ..dnsbl.wire import read_name as spelt_name

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT, TSIG, AXFR = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 250, 252
IN, NONE, ANY = 1, 254, 255
QUERY, UPDATE = 0, 5
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN, YXRRSET, NXRRSET, NOTAUTH, NOTZONE = range(11)
#: What a message over TCP may hold, its length being written in two octets.
MAX_MESSAGE = 65_535
HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_MAX_POINTERS = 32
_DNAME = 39
#: Types whose data holds names that another server may have compressed (RFC 3597 section 4).
_WITH_NAMES = frozenset({NS, CNAME, SOA, PTR, MX, SRV, 3, 4, 7, 8, 9, 14, 17, 18, 21, 24, 26, 30, 35, 36, 39})

_LENGTHS = {A: 4, AAAA: 16}

#: Owner in wire form and lower case, and type.
Key = tuple[bytes, int]


class Record(t.NamedTuple):
    """One record of a message. data: uncompressed."""

    name: bytes
    kind: int
    rdclass: int
    ttl: int
    data: bytes


class RRset(t.NamedTuple):
    """The records of one name and type: TTL in seconds, and their data in octet order."""

    ttl: int
    values: tuple[bytes, ...]


def pack(name: str) -> bytes:
    """Return an absolute name, with or without its last dot, in wire form and lower case. ValueError where it is none."""
    try:
        return _pack(name)
    except (dns.exception.DNSException, UnicodeError) as exc:
        raise ValueError(f"{name[:300]!r} is no domain name ({exc})") from None


#: Nearly every name; what is escaped or no name is left to the library.
_PLAIN_NAME = re.compile(r"(?:[A-Za-z0-9_/*-]{1,63}\.)*[A-Za-z0-9_/*-]{1,63}\.?\Z")


@functools.lru_cache(maxsize=4096)
def _pack(name: str) -> bytes:
    if len(name) < 254 and _PLAIN_NAME.match(name):
        labels = name.lower().rstrip(".").split(".")
        return "".join([chr(len(label)) + label for label in labels]).encode() + b"\0"
    return dns.name.from_text(name, dns.name.root).canonicalize().to_wire() or b""


_PLAIN_LABEL = re.compile(rb"[A-Za-z0-9_/*-]+\Z")


def text(name: bytes) -> str:
    """Return a packed name as text with its last dot."""
    labels, at = [], 0
    while name[at]:
        label = name[at + 1 : at + 1 + name[at]]
        if not _PLAIN_LABEL.match(label):
            break
        labels.append(label)
        at += 1 + name[at]
    if labels and not name[at]:
        return b".".join(labels).decode() + "."
    return dns.name.from_wire(name, 0)[0].to_text()


def show(name: bytes) -> str:
    """Return a packed name as people write it, without its last dot."""
    return text(name).rstrip(".") or "."


@functools.lru_cache(maxsize=256)
def kind_text(kind: int) -> str:
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(kind))


def is_below(name: bytes, zone: bytes) -> bool:
    """Whether a packed name is the zone's or below it."""
    if not name.endswith(zone):
        return False
    at, cut = 0, len(name) - len(zone)
    while at < cut:
        at += name[at] + 1
    return at == cut


def parent(name: bytes) -> bytes:
    """Return the name one label above; the root's is itself."""
    return name[name[0] + 1 :] if name[0] else name


def _rdata(kind: int, data: bytes, at: int = 0, length: int | None = None) -> dns.rdata.Rdata:
    return dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.RdataType.make(kind), data, at, len(data) if length is None else length)


_PLAIN = re.compile(rb"[ !#-\[\]-~]*\Z")


def value_text(kind: int, data: bytes) -> str:
    """Return record data in the form of a zone file; what cannot be read as such in RFC 3597's."""
    if kind == TXT:
        parts = strings(data)
        if all(_PLAIN.match(part) for part in parts):
            return " ".join(f'"{part.decode()}"' for part in parts)
    try:
        return _rdata(kind, data).to_text()
    except (dns.exception.DNSException, ValueError):
        return f"\\# {len(data)} {data.hex()}"


def value_data(kind: int, form: str) -> bytes:
    """Return the data for its zone-file form; names in it are absolute. ValueError where it is none."""
    try:
        rdata = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.RdataType.make(kind), form, origin=dns.name.root, relativize=False)
        return rdata.to_wire() or b""
    except (dns.exception.DNSException, ValueError, UnicodeError, AttributeError) as exc:
        raise ValueError(f"{form[:200]!r} is no {kind_text(kind)} record ({exc})") from None


@functools.lru_cache(maxsize=4096)
def folded(kind: int, data: bytes) -> bytes:
    """Return record data with the names in it in lower case, as they are compared."""
    if kind not in _WITH_NAMES:
        return data
    try:
        rdata = _rdata(kind, data)
        return rdata.to_digestable(dns.name.root)
    except (dns.exception.DNSException, ValueError):
        return data


def strings(data: bytes) -> list[bytes]:
    """Return the character strings of TXT data (RFC 1035 section 3.3.14)."""
    parts, at, end = [], 0, len(data)
    while at < end:
        size = data[at]
        at += 1
        parts.append(data[at : at + size])
        at += size
    return parts


def joined(data: bytes) -> bytes:
    return b"".join(strings(data))


def txt_data(value: bytes) -> bytes:
    """Return TXT data for a text of any length, in strings of at most 255 octets."""
    parts = [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]
    return b"".join(bytes([len(part)]) + part for part in parts)


class Message(t.NamedTuple):
    """A message that was read. tsig: where its TSIG record begins, if it has one."""

    number: int
    flags: int
    question: bytes
    answer: list[Record]
    authority: list[Record]
    additional: list[Record]
    tsig: int | None

    @property
    def rcode(self) -> int:
        return self.flags & 15

    @property
    def truncated(self) -> bool:
        return bool(self.flags & 0x0200)

    @property
    def authoritative(self) -> bool:
        return bool(self.flags & 0x0400)


def read_name(data: bytes, at: int) -> tuple[bytes, int]:
    """Return a name in lower case and the position after it."""
    name, end = spelt_name(data, at, _MAX_POINTERS)
    # No length octet is an upper-case letter, so that lower() changes labels only.
    return name.lower(), end


def _data(data: bytes, kind: int, at: int, length: int) -> bytes:
    if kind not in _WITH_NAMES or not length:
        return data[at : at + length]
    if kind in (NS, CNAME, PTR, MX, _DNAME):
        begin = at + 2 * (kind == MX)
        name, end = spelt_name(data, begin, _MAX_POINTERS)
        if end != at + length:
            raise WireError(f"a {kind_text(kind)} record is not as long as it says")
        return data[at:begin] + name
    try:
        return _rdata(kind, data, at, length).to_wire() or b""
    except (dns.exception.DNSException, ValueError) as exc:
        raise WireError(f"a {kind_text(kind)} record cannot be read") from exc


def read(data: bytes) -> Message:
    """Return a message; WireError where it is not whole."""
    try:
        return _read(data)
    except (IndexError, struct.error) as exc:
        raise WireError("the message is cut short") from exc


def _read(data: bytes) -> Message:
    number, flags, questions, *counts = HEADER.unpack_from(data)
    at = 12
    for _ in range(questions):
        _, at = read_name(data, at)
        at += 4
    question = data[12:at]
    sections: tuple[list[Record], ...] = ()
    tsig = None
    names: dict[int, bytes] = {}  # in a zone transfer most owners are pointers, or written once
    for count in counts:
        rows: list[Record] = []
        for _ in range(count):
            begin = at
            if data[at] >= 0xC0:
                target = (data[at] & 0x3F) << 8 | data[at + 1]
                name = names.get(target) or names.setdefault(target, read_name(data, at)[0])
                at += 2
            else:
                name, at = read_name(data, at)
            kind, rdclass, ttl, length = _RECORD.unpack_from(data, at)
            at += 10
            if at + length > len(data):
                raise WireError("the message is cut short")
            # In an update a record of another class may be empty (RFC 2136 section 2.4).
            if rdclass == IN and (length != _LENGTHS.get(kind, length) or (not length and kind in _WITH_NAMES)):
                raise WireError(f"a {kind_text(kind)} record is not as long as it must be")
            if kind == TSIG:
                tsig = begin
                value = data[at : at + length]
            else:
                value = _data(data, kind, at, length)
            rows.append(Record(name, kind, rdclass, ttl, value))
            at += length
        sections += (rows,)
    if tsig is not None and (at != len(data) or sections[2][-1].kind != TSIG):
        raise WireError("a TSIG record is not the last of its message")
    return Message(number, flags, question, sections[0], sections[1], sections[2], tsig)


def rrsets(records: t.Iterable[Record]) -> dict[Key, RRset]:
    """Return records of class IN by name and type."""
    found: dict[Key, tuple[int, list[bytes]]] = {}
    for record in records:
        if record.rdclass != IN or record.kind in (OPT, TSIG):
            continue
        entry = found.get((record.name, record.kind))
        if entry is None:
            found[record.name, record.kind] = (record.ttl, [record.data])
        else:
            entry[1].append(record.data)
    return {key: RRset(ttl, tuple(sorted(set(values))) if len(values) > 1 else tuple(values)) for key, (ttl, values) in found.items()}


def question(name: bytes, kind: int) -> bytes:
    return name + struct.pack("!HH", kind, IN)


#: RFC 6891: no options, 1232 octets, which no path fragments.
_EDNS = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"


def query(number: int, asked: bytes, recursive: bool = False) -> bytes:
    """Return a question to an authoritative server, or to a resolver."""
    return HEADER.pack(number, 0x0100 if recursive else 0, 1, 0, 0, 1) + asked + _EDNS


class Writer:
    """One UPDATE as it is filled (RFC 2136 section 2): prerequisites first, then updates, whose owners point at what the former spelt."""

    def __init__(self, zone: bytes) -> None:
        self._head = zone + struct.pack("!HH", SOA, IN)
        self._suffixes: dict[bytes, int] = {zone: 12}
        self._spelt: list[bytes] = []
        self._prerequisites: list[bytes] = []
        self._updates: list[bytes] = []
        self._at = 12 + len(self._head)
        self._behind = 0

    @property
    def size(self) -> int:
        return self._at + self._behind

    def mark(self) -> tuple[int, int, int, int, int]:
        return len(self._prerequisites), len(self._updates), len(self._spelt), self._at, self._behind

    def back(self, mark: tuple[int, int, int, int, int]) -> None:
        """Forget what was added since the mark."""
        for name in self._spelt[mark[2] :]:
            del self._suffixes[name]
        del self._prerequisites[mark[0] :], self._updates[mark[1] :], self._spelt[mark[2] :]
        self._at, self._behind = mark[3:]

    def prerequisite(self, name: bytes, rdclass: int, kind: int, data: bytes = b"") -> None:
        """Add a prerequisite; all of them before the updates of the same names, so that these are short."""
        packed = self._owner(name, self._at) + _RECORD.pack(kind, rdclass, 0, len(data)) + data
        self._prerequisites.append(packed)
        self._at += len(packed)

    def update(self, name: bytes, rdclass: int, kind: int, ttl: int, data: bytes = b"") -> None:
        # Where an update will stand is not known yet: its owner points, and nothing points at it.
        packed = self._owner(name, None) + _RECORD.pack(kind, rdclass, ttl, len(data)) + data
        self._updates.append(packed)
        self._behind += len(packed)

    def _owner(self, name: bytes, at: int | None) -> bytes:
        suffixes, rest, end = self._suffixes, name, 0
        while True:
            known = suffixes.get(rest)
            if known is not None:
                return name[:end] + struct.pack("!H", 0xC000 | known)
            if not rest[0]:
                return name
            if at is not None and at + end < 0x4000:
                suffixes[rest] = at + end
                self._spelt.append(rest)
            end += rest[0] + 1
            rest = name[end:]

    def finish(self, number: int) -> bytes:
        head = HEADER.pack(number, UPDATE << 11, 1, len(self._prerequisites), len(self._updates), 0)
        return b"".join([head, self._head, *self._prerequisites, *self._updates])

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose mail is in a Postfix queue file: its envelope, never its body, which is the sender's text.

A file is a row of records: a type octet, the length in 7-bit groups with the lowest first, the data (Postfix src/global/record.c,
rec_type.h). First comes 'C' with sizes and offsets, then attributes ('A', name=value), the sender ('S'), attributes of the client, the
recipients ('O' original, 'R' to do, 'D' done), 'M', the content ('N', 'L'), 'X', what was taken from the content (the recipients of
sendmail -t), 'E'. A local sender cannot write attributes: postdrop(1) ignores them. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import os
import re
import typing as t

#: Octets that are read first: an envelope with few recipients fits; and at most, until the first recipient.
HEAD, LIMIT = 4096, 65536
_ATTRIBUTE, _SENDER, _MESSAGE, _EXTRACTED, _LINE = ord("A"), ord("S"), ord("M"), ord("X"), ord("N")
_ORIGINAL, _RECIPIENT, _DONE = ord("O"), ord("R"), ord("D")
_WANTED = (b"sasl_username=", b"client_address=", b"log_client_address=")
_ENDS = (_ORIGINAL, _RECIPIENT, _DONE, _MESSAGE)
_USERID = re.compile(rb"Received: by .{1,400}, from userid (\d{1,10})\)\Z")


class Envelope(t.NamedTuple):
    """Text as Postfix wrote it; empty where there is none. client: who connected; told: the client that a content filter or proxy named
    (XFORWARD), else the same; recipient: the first, where it is within what was read."""

    login: str
    sender: str
    client: str
    told: str
    recipient: str


class Recipients(t.NamedTuple):
    """total: as the file's head says; known: the first of them; done: how many were found that mail was delivered to already."""

    total: int
    known: list[str]
    done: int


def records(data: bytes, position: int = 0) -> t.Iterator[tuple[int, int, int]]:
    """Yield (type, begin, end) of each record that begins in the data; the last one's end may be beyond it."""
    last = len(data) - 1
    while position < last:
        kind, length, begin = data[position], data[position + 1], position + 2
        if length > 0x7F:
            length, shift = length & 0x7F, 7
            while True:
                if begin > last or shift > 28:
                    return
                octet = data[begin]
                begin += 1
                length |= (octet & 0x7F) << shift
                if octet < 0x80:
                    break
                shift += 7
        position = begin + length
        yield kind, begin, position


def parse(data: bytes) -> Envelope | None:
    """Return the envelope up to its first recipient; None where the data ends before, or is no queue file. data: a file's beginning."""
    if data[:1] not in (b"C", b"T"):
        return None
    sender = None
    attributes: dict[bytes, bytes] = {}
    for kind, begin, end in records(data):
        if end > len(data):
            return None
        if kind == _ATTRIBUTE:
            if data.startswith(_WANTED, begin):
                name, _, value = data[begin:end].partition(b"=")
                attributes.setdefault(name, value)  # as qmgr(8) does, which ignores a second one
        elif kind == _SENDER:
            sender = data[begin:end] if sender is None else sender
        elif kind in _ENDS:
            if sender is None:
                return None
            login, client, told = (text(attributes.get(name[:-1], b"")) for name in _WANTED)
            return Envelope(login, text(sender), client, told or client, "" if kind == _MESSAGE else text(data[begin:end]))
    return None


def read(file: int) -> Envelope | None:
    """Return the envelope of an open queue file; None where it cannot be read within LIMIT octets."""
    data = os.read(file, HEAD)
    found = parse(data)
    while found is None and len(data) < LIMIT:
        more = os.read(file, LIMIT - len(data))
        if not more:
            break
        data += more
        found = parse(data)
    return found


def text(data: bytes) -> str:
    """Return an address or login, cut at what RFC 5321 allows twice over."""
    return data[:640].decode("utf-8", "replace")


def submitter(file: int, queue_id: str) -> int | None:
    """Return the uid that submitted a message locally, None where it is not told.

    It is not in the envelope. pickup(8) writes it into the content's first Received line, before all that the sender wrote, and beside
    the queue ID, which no sender knows beforehand: a line without the file's own ID is not believed."""
    place = _sizes(os.pread(file, 256, 0))
    content = os.pread(file, HEAD, place[1] - 2) if place else b""
    if content[:2] != b"M\0":
        return None
    match = None
    for kind, begin, end in records(content, 2):
        line = content[begin:end]
        if match:
            return int(match[1]) if kind == _LINE and line.startswith(b"\tid %s; " % queue_id.encode()) else None
        if kind != _LINE or not line:
            return None
        match = _USERID.match(line)
        if not match and line.lower().startswith(b"received:"):
            return None
    return None


def recipients(file: int, known: int, window: int = 1 << 20) -> Recipients:
    """Return the recipients of an open queue file. known: how many are returned; window: octets that are read at both places."""
    head = os.pread(file, window, 0)
    place = _sizes(head)
    names: list[str] = []
    todo = done = 0
    parts = [head]
    if place:
        extracted = os.pread(file, window, place[1] + place[4])  # those of sendmail -t and of milters
        if extracted[:2] == b"X\0":
            parts.append(extracted[2:])
    for part in parts:
        for kind, begin, end in records(part):
            if kind == _MESSAGE or end > len(part):
                break
            if kind in (_RECIPIENT, _DONE):
                todo, done = todo + (kind == _RECIPIENT), done + (kind == _DONE)
                if len(names) < known:
                    names.append(text(part[begin:end]))
    return Recipients(max(place[2] if place else 0, todo + done), names, done)


def arrival(head: bytes) -> float | None:
    """Return when the message came, in seconds since 1970, by its 'T' record."""
    for kind, begin, end in records(head[:1024]):
        if kind == ord("T"):
            seconds = re.match(rb"(\d{1,12})(?: (\d{1,6}))?", head[begin:end])
            return int(seconds[1]) + int(seconds[2] or 0) / 1e6 if seconds else None
    return None


def _sizes(head: bytes) -> list[int] | None:
    """Return the numbers of the 'C' record: octets of the message, offset of its content, recipients, qmgr's flags, octets of content."""
    kind, begin, end = next(records(head), (0, 0, 0))
    words = head[begin:end].split()
    if kind != ord("C") or end > len(head) or len(words) < 5 or not all(re.match(rb"\d{1,18}\Z", word) for word in words):
        return None
    found = [int(word) for word in words]
    return found if found[1] >= 2 else None

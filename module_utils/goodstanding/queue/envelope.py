# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose mail is in the queue: the envelope of a Postfix queue file, never its body, which is the sender's text.

Record: a type byte, the length in 7-bit groups with the lowest first, the data (Postfix src/global/record.c, rec_type.h).
'A' is a named attribute, 'M' begins the message. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import os
import re
import typing as t
from pathlib import Path

_QUEUE_ID = re.compile(r"[0-9A-Za-z]{5,30}\Z")
QUEUES = ("incoming", "active", "deferred", "hold")


def attribute(data: bytes, name: str) -> str | None:
    """Return a named attribute of an envelope, or None. data: the beginning of a queue file."""
    wanted = name.encode() + b"="
    position = 0
    while position < len(data):
        kind = data[position : position + 1]
        position += 1
        length = shift = 0
        while position < len(data):
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80 or shift > 28:
                break
        if kind == b"M":
            return None
        if kind == b"A" and data.startswith(wanted, position):
            return data[position + len(wanted) : position + length].decode("utf-8", "replace")
        position += length
    return None


def queued_by(queue_directory: str, queue: str) -> t.Iterator[tuple[str, str, int]]:
    """Yield (queue ID, login in lower case, octets) of each message in a queue that was submitted with a login."""
    for folder, _, names in os.walk(str(Path(queue_directory) / queue)):
        for name in names:
            if not _QUEUE_ID.match(name):
                continue
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    login, size = attribute(file.read(16384), "sasl_username"), os.fstat(file.fileno()).st_size
            except OSError:
                continue  # delivered or moved since it was seen
            if login:
                yield name, login.strip().lower(), size


def messages_of(accounts: t.Iterable[str], queue_directory: str) -> dict[str, dict[str, t.Any]]:
    """Return per queue ID its account, queue and size in octets, for the messages of these accounts; a later queue wins where one moved."""
    wanted = {account.lower() for account in accounts}
    found = {}
    for queue in QUEUES:
        for queue_id, login, size in queued_by(queue_directory, queue):
            if login in wanted:
                found[queue_id] = {"account": login, "queue": queue, "size": size}
    return found

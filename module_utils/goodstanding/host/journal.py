# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a host: one JSON object a line on each thing that was done, only ever appended. Standard library only, Python >= 3.9.

Each line carries a hash of itself and of the line before it, so that a line that was changed or taken out is noticed. A step of a lock
has these kinds of lines with the same account and step: V(begun) with the fields as they were, written before anything is changed;
V(done) with the fields as the lock left them; V(undone) when they were set back. V(amended): somebody changed a field by hand, and the
lock is set anew; what that field was then is what the unlock sets back.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
import typing as t
from pathlib import Path

from . import files
from .files import HostError

FILE = "journal.jsonl"
#: What the fields of a step may be: one row of few short values.
Fields = dict[str, t.Optional[str]]
_TAIL = 1 << 20
#: More than this is no journal of locks: it is refused before it fills the memory.
MAX_OCTETS = 256 << 20

Key = tuple[str, str]

#: What this process wrote.
written: list[dict[str, t.Any]] = []


class Opened(t.NamedTuple):
    """A step that was begun and not undone: the fields before it, and after it (None where it is not known that it was done)."""

    before: Fields
    after: Fields | None
    incident: str


class Book(t.NamedTuple):
    """The whole journal. opened: by (account, step), in the order in which they were begun; damaged: numbers of lines that were changed."""

    opened: dict[Key, Opened]
    damaged: list[int]
    lines: int
    last: str


def write(**entry: t.Any) -> dict[str, t.Any]:
    """Append one line, on the disk when this returns; return it. time: seconds since 1970."""
    Path(files.STATE).mkdir(mode=0o755, parents=True, exist_ok=True)
    with open(os.open(f"{files.STATE}/{FILE}", os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b", buffering=0) as file:
        tail = _tail(file)
        row = {"time": time.time(), **entry}
        row["chain"] = _chain(_previous(tail), row)
        torn = b"" if not tail or tail.endswith(b"\n") else b"\n"  # a crash in the middle of a line: that line stays, and is seen
        line = torn + json.dumps(row, sort_keys=True).encode() + b"\n"
        end = file.seek(0, os.SEEK_END)
        if file.write(line) != len(line):  # a full disk takes a part without an error; nothing may be changed on the word of half a line
            file.truncate(end)  # it would look like tampering, and every later unlock would ask for force
            raise OSError(errno.ENOSPC, "only a part of a line could be written")
        os.fsync(file.fileno())
        if not tail:
            _sync_folder()
    written.append(row)
    return row


def _sync_folder() -> None:
    """Put the name of a new file on the disk."""
    folder = os.open(files.STATE, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _tail(file: t.IO[bytes]) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    return file.read(_TAIL)


def _previous(tail: bytes) -> str:
    """Return the hash of the last line that has one."""
    for line in reversed(tail.splitlines()):
        row = _row(line)
        if row is not None and isinstance(row.get("chain"), str):
            return str(row["chain"])
    return ""


def _row(line: bytes) -> dict[str, t.Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _chain(previous: str, row: dict[str, t.Any]) -> str:
    own = {key: value for key, value in row.items() if key != "chain"}
    return hashlib.sha256((previous + json.dumps(own, sort_keys=True)).encode()).hexdigest()[:32]


def lines_after(chain: str | None, most: int = 1000) -> list[dict[str, t.Any]]:
    """Return the lines behind the one with this hash (all where it is not there), the newest of them at most."""
    rows = [row for row in (_row(line) for line in _lines()) if row is not None and isinstance(row.get("chain"), str)]
    for index in range(len(rows) - 1, -1, -1):
        if rows[index]["chain"] == chain:
            rows = rows[index + 1 :]
            break
    return rows[-most:]


def _lines() -> t.Iterator[bytes]:
    path = Path(files.STATE, FILE)
    try:
        if path.stat().st_size > MAX_OCTETS:
            raise HostError(f"{path} has more than {MAX_OCTETS >> 20} MiB: move it away to an archive and run again")
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return


def read() -> Book:
    """Return what the journal says is locked, and which lines of it cannot be trusted."""
    opened: dict[Key, Opened] = {}
    damaged: list[int] = []
    number, previous = 0, ""
    for number, line in enumerate(_lines(), 1):
        row = _row(line)
        if row is None:
            damaged.append(number)
            continue
        if "chain" not in row and not previous:
            continue  # written before lines were chained
        if row.get("chain") != _chain(previous, row):
            damaged.append(number)
        previous = str(row.get("chain") or previous)
        _fold(opened, row)
    return Book(opened, damaged, number, previous)


def _fold(opened: dict[Key, Opened], row: dict[str, t.Any]) -> None:
    key = (str(row.get("account")), str(row.get("step")))
    result = row.get("result")
    if result == "begun" and isinstance(row.get("before"), dict):
        opened.setdefault(key, Opened(row["before"], None, str(row.get("incident") or "")))
    elif result == "amended" and key in opened and isinstance(row.get("before"), dict):
        opened[key] = opened[key]._replace(before=row["before"], after=None)
    elif result == "done" and key in opened and isinstance(row.get("after"), dict):
        opened[key] = opened[key]._replace(after=row["after"])
    elif result == "undone":
        opened.pop(key, None)

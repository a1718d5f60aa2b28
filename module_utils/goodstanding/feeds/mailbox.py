# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of a Maildir, an mbox file or a directory of .eml files; only ever read. Standard library only, Python >= 3.9."""

from __future__ import annotations

import collections
import contextlib
import email.utils
import heapq
import os
import stat
import typing as t

#: What is longer is not read: a feedback report carries one message, often without its body.
MAX_MESSAGE = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 16


class MailboxError(Exception):
    """The mailbox cannot be read; the message names it and says what to do."""


class Message(t.NamedTuple):
    """file: its name, or NAME:3 for the third message of an mbox file; data: None where it was not read, then reason says why."""

    file: str
    data: bytes | None
    reason: str


class Mailbox:
    """Iterate over it for its messages, the newest first. It moves, marks and locks nothing, and follows no symbolic link."""

    def __init__(self, path: str, form: str = "auto", since: float = 0.0, limit: int = 10_000) -> None:
        """form: auto, maildir, mbox or directory; since: older messages are not read (epoch); limit: nor more than that many."""
        self.path, self.since, self.limit = path, since, limit
        self.form = self._form() if form == "auto" else form
        #: Messages that were not read for the limit.
        self.left_out = 0

    def __iter__(self) -> t.Iterator[Message]:
        try:
            yield from self._mbox() if self.form == "mbox" else self._files()
        except OSError as exc:
            raise MailboxError(f"{self.path} cannot be read ({exc.strerror or exc}): does the connecting user need become?") from exc

    def _form(self) -> str:
        if not os.path.isdir(self.path):
            return "mbox"
        return "maildir" if any(os.path.isdir(os.path.join(self.path, name)) for name in ("cur", "new")) else "directory"

    def _files(self) -> t.Iterator[Message]:
        with contextlib.ExitStack() as stack:
            folders = []
            for name in ("new", "cur") if self.form == "maildir" else (".",):
                try:
                    folder = os.open(os.path.join(self.path, name), _OPEN | os.O_DIRECTORY)
                except OSError as exc:
                    if name == ".":
                        raise
                    yield Message(name, None, f"cannot be opened: {exc.strerror}")
                    continue
                stack.callback(os.close, folder)
                folders.append(folder)
            if not folders:
                raise MailboxError(f"{self.path} is no Maildir: neither its new nor its cur can be read")
            odd: list[Message] = []
            newest = heapq.nlargest(self.limit, self._candidates(folders, odd))
            yield from odd
            for _, name, folder in newest:
                yield _read(name, folder)

    def _candidates(self, folders: list[int], odd: list[Message]) -> t.Iterator[tuple[float, str, int]]:
        """Yield time, name and folder of each file to read; what is no regular file goes to odd."""
        number = 0
        for folder in folders:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or (self.form == "directory" and not entry.name.endswith(".eml")):
                        continue
                    with contextlib.suppress(FileNotFoundError):  # a mail reader moved it meanwhile
                        status = entry.stat(follow_symlinks=False)
                        if not stat.S_ISREG(status.st_mode):
                            if len(odd) < self.limit:
                                odd.append(Message(_shown(entry.name), None, "is no regular file"))
                        elif status.st_mtime >= self.since:
                            number += 1
                            yield status.st_mtime, entry.name, folder
        self.left_out = max(0, number - self.limit)

    def _mbox(self) -> t.Iterator[Message]:
        with open(os.open(self.path, _OPEN & ~os.O_NOFOLLOW), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise MailboxError(f"{self.path} is neither a directory nor a regular file")
            # Only the places are kept of the first pass: an mbox file may be larger than the memory.
            places: collections.deque[tuple[int, int, int]] = collections.deque(maxlen=self.limit)
            wanted = 0
            for number, (start, end, time) in enumerate(_places(file), 1):
                if time is None or time >= self.since:
                    wanted += 1
                    places.append((start, end, number))
            self.left_out = max(0, wanted - self.limit)
            name = _shown(os.path.basename(self.path))
            for start, end, number in reversed(places):
                if end - start > MAX_MESSAGE:
                    yield Message(f"{name}:{number}", None, f"is larger than {MAX_MESSAGE} bytes")
                else:
                    file.seek(start)
                    yield Message(f"{name}:{number}", file.read(end - start), "")


def _shown(name: str) -> str:
    """Return a file name as it may be shown: strangers may have chosen it."""
    return "".join(char if char.isprintable() else "?" for char in name[:255])


def _read(name: str, folder: int) -> Message:
    shown = _shown(name)
    try:
        with open(os.open(name, _OPEN, dir_fd=folder), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Message(shown, None, "is no regular file")
            data = file.read(MAX_MESSAGE + 1)
    except OSError as exc:
        return Message(shown, None, f"cannot be read: {exc.strerror}")
    if len(data) > MAX_MESSAGE:
        return Message(shown, None, f"is larger than {MAX_MESSAGE} bytes")
    return Message(shown, data, "")


def _places(file: t.BinaryIO) -> t.Iterator[tuple[int, int, float | None]]:
    """Yield start, end and time of each message of an mbox file (RFC 4155): a 'From ' line after an empty one begins it."""
    start: int | None = None
    time: float | None = None
    here, blank, line_start = 0, True, True
    for line in iter(lambda: file.readline(_CHUNK), b""):
        if line_start and blank and line.startswith(b"From "):
            if start is not None:
                yield start, here, time
            start, time = here + len(line), _mbox_time(line)
        blank = line_start and line in (b"\n", b"\r\n")
        line_start = line.endswith(b"\n")
        here += len(line)
    if start is not None:
        yield start, here, time


def _mbox_time(line: bytes) -> float | None:
    """Return the epoch of 'From sender Sat Jul 11 10:00:00 2026', None where it has none."""
    words = line[:1000].decode("ascii", "replace").split()
    return epoch(" ".join(words[-5:]))


def epoch(date: str) -> float | None:
    """Return a date of RFC 5322 (obsolete zones and asctime too) as seconds since 1970, None where it is none."""
    try:
        parsed = email.utils.parsedate_tz(date[:200])
        time = float(email.utils.mktime_tz(parsed)) if parsed else -1.0
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return time if 0 <= time < 4102444800 else None  # 2100-01-01: what lies beyond is a fault or a joke

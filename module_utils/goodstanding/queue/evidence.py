# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of mail before it is deleted: facts on every message, some messages whole, hashes over both, and a day on which it goes.

A folder for each incident, for root alone: messages.jsonl has a line for each message, sample/ the queue files of some (postcat(1) reads
them), manifest.json the hashes of these files and when they expire. It is personal data. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import time
import typing as t
from pathlib import Path

from ..host.files import HostError
from . import envelope
from .scan import Message

DIRECTORY = "/var/lib/goodstanding/evidence"
#: Recipients of a message that are written down.
RECIPIENTS = 20
_FORMAT = "goodstanding evidence 1"
_INCIDENT = re.compile(r"[\w:+-][\w.:+-]{0,79}\Z", re.ASCII)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Evidence:
    """The evidence of one incident. days: until it expires; sample: how many messages are kept whole."""

    def __init__(self, directory: str, incident: str, days: float, sample: int) -> None:
        if not os.path.isabs(directory):
            raise HostError(f"evidence_directory is {directory!r}: expected an absolute path, such as {DIRECTORY}")
        if not _INCIDENT.match(incident):
            raise HostError(f"{incident!r} is no name of an incident: use letters, digits and . : + - only, and no dot first")
        if days <= 0 or sample < 0:
            raise HostError("evidence_days must be more than 0, and evidence_sample not less")
        self.incident, self.path, self.days, self.sample = incident, os.path.join(directory, incident), days, sample
        self._messages = self._samples = 0

    def predict(self, messages: int) -> None:
        self._messages, self._samples = messages, min(messages, self.sample)

    def summary(self) -> dict[str, t.Any] | None:
        """Return what may be told of it, where it is and how much; None where nothing was written by this run."""
        return {"path": self.path, "messages": self._messages, "sample": self._samples} if self._messages else None

    def keep(self, messages: list[Message]) -> list[Message]:
        """Write down these messages and return those that are; what changed meanwhile is left out. HostError where it cannot be written."""
        if not messages:
            return []
        try:
            return self._keep(messages)
        except OSError as exc:
            raise HostError(
                f"evidence cannot be written to {self.path} ({exc.strerror}): nothing is deleted without it, the mail stays on hold; "
                "make room, or name another evidence_directory"
            ) from exc

    def _keep(self, messages: list[Message]) -> list[Message]:
        self._open()
        path = os.path.join(self.path, "messages.jsonl")
        known = self._known(path)
        named = {queue_id for queue_id, _ in known}
        fresh = [message for message in messages if message.queue_id not in named]
        wanted = self.sample - sum(not name.startswith(".") for name in os.listdir(os.path.join(self.path, "sample")))
        # Spread over all, so that the first minutes of an outbreak are not the whole sample.
        whole = {message.queue_id for message in fresh[:: max(1, len(fresh) // wanted)][:wanted]} if wanted > 0 else set()
        kept, lines = [], []
        for message in messages:
            row = self._record(message, message.queue_id in whole)
            if row is not None:
                kept.append(message)
                if (row["queue_id"], row["sha256"]) not in known:
                    lines.append(json.dumps(row, sort_keys=True, ensure_ascii=True) + "\n")
        _write(path, "".join(lines).encode(), os.O_APPEND)
        self._messages += len(lines)
        self._seal()
        return kept

    def _open(self) -> None:
        """Make the folder, or make sure that it is ours: a manifest comes first, so that what is left of a failure expires too."""
        Path(self.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.path, os.path.join(self.path, "sample")):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            status = os.lstat(folder)
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise HostError(f"{folder} is not a folder of mode 0700 of the user that runs this: move it away and run again")
            if folder == self.path and not os.path.lexists(os.path.join(folder, "manifest.json")):
                if os.listdir(folder):
                    raise HostError(f"{folder} has files and no manifest.json of ours: name another incident or evidence_directory")
                self._seal()

    def _seal(self) -> None:
        """Write the manifest: hashes of all files."""
        files = {}
        for folder, _, names in os.walk(self.path):
            for name in names:
                path = os.path.join(folder, name)
                if name != "manifest.json" and not name.startswith("."):  # a copy of a run that was killed
                    files[os.path.relpath(path, self.path)] = _sha256(path)
        now = time.time()
        self._samples = sum(name.startswith("sample/") for name in files)
        created = (_manifest(self.path) or {}).get("created", now)
        value = {"format": _FORMAT, "incident": self.incident, "created": created, "expires": now + self.days * 86400, "files": files}
        temporary = os.path.join(self.path, ".manifest.json")
        _write(temporary, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n", os.O_TRUNC)
        os.replace(temporary, os.path.join(self.path, "manifest.json"))
        _sync_folder(self.path)

    def _known(self, path: str) -> set[tuple[str, str]]:
        """Return (queue ID, hash) of what is written down already; a half line of a run that was killed is cut off."""
        found = set()
        whole = 0
        with open(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), "rb") as file:
            for line in file:
                with contextlib.suppress(ValueError, KeyError):
                    row = json.loads(line)
                    found.add((row["queue_id"], row["sha256"]))
                whole += len(line) if line.endswith(b"\n") else 0
        os.truncate(path, whole)
        self._messages = len(found)
        return found

    def _record(self, message: Message, whole: bool) -> dict[str, t.Any] | None:
        """Return the line on a message, and copy its file into the sample; None where it is not the file that was seen."""
        try:
            file = os.open(message.path, _READ)
        except FileNotFoundError:
            return None
        copy = None
        try:
            status = os.fstat(file)
            if (status.st_ino, status.st_mtime_ns) != (message.inode, message.mtime):
                return None
            told = envelope.recipients(file, RECIPIENTS)
            arrival = envelope.arrival(os.pread(file, 1024, 0))
            digest = hashlib.sha256()
            temporary = os.path.join(self.path, "sample", f".{message.queue_id}")
            if whole:
                copy = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            while chunk := os.read(file, 1 << 20):
                digest.update(chunk)
                if copy is not None:
                    _write_all(copy, chunk)
            if copy is not None:
                os.fsync(copy)
                os.rename(temporary, os.path.join(self.path, "sample", f"{message.queue_id}.{digest.hexdigest()[:12]}"))
        except BaseException:
            if copy is not None:
                os.unlink(temporary)
            raise
        finally:
            os.close(file)
            if copy is not None:
                os.close(copy)
        return {
            "queue_id": message.queue_id,
            "account": message.of,
            "sender": message.sender,
            "client_address": message.client,
            "arrival": arrival,
            "octets": status.st_size,
            "recipient_count": told.total,
            "recipients": told.known,
            "recipients_done": told.done,
            "sha256": digest.hexdigest(),
        }


def expire(directory: str, now: float) -> list[str]:
    """Remove evidence whose time is over; return the names of these incidents. Only folders with a manifest of ours are touched."""
    removed = []
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    for name in names:
        path = os.path.join(directory, name)
        manifest = _manifest(path)
        expires = manifest.get("expires") if manifest else None
        if isinstance(expires, (int, float)) and now >= expires:
            shutil.rmtree(path)
            removed.append(name)
    return removed


def _manifest(path: str) -> dict[str, t.Any] | None:
    """Return a folder's manifest where it is one of ours, a file of the user that runs this in a real folder."""
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            return None
        with open(os.open(os.path.join(path, "manifest.json"), _READ), encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            value = json.load(file) if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() else None
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and value.get("format") == _FORMAT else None


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(os.open(path, _READ), "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _write(path: str, data: bytes, how: int) -> None:
    """Write to a file on the disk. how: os.O_TRUNC or os.O_APPEND."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | how, 0o600)
    try:
        _write_all(file, data)
        os.fsync(file)
    finally:
        os.close(file)


def _sync_folder(path: str) -> None:
    for folder in (path, os.path.join(path, "sample")):
        if os.path.isdir(folder):
            file = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a host's mail log is, and its lines in the order of time, from where the last run stopped. Standard library only, Python >= 3.9.

A file is known again by how it begins, not by its name or inode: rotation renames it, copies it (copytruncate) or compresses it. Only
whole lines are read; what a line still lacks is read next time.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import typing as t
import zlib
from pathlib import Path

# logrotate's numbers and dates, and the date and time of 'postfix logrotate'.
_ROTATION = re.compile(r"(\.(\d{1,4})|[-.]\d{8}(?:-\d{1,10})?)(\.gz|\.zst)?\Z")
MAX_ROTATIONS = 60
#: So many octets tell a file from another.
_BEGINNING = 1024
#: So many octets stay in a processor's cache until they are counted; larger pieces cost the kernel a page for each 4096 of them.
_CHUNK = 1 << 16
#: What a line is cut to while it is read; the parser cuts further.
_MAX_LINE = 1 << 16
_CURSOR = "-- cursor: "
_FILE_ADVICE = "the connecting user needs become, or membership of the group adm"

#: Every line of the mail facility, what journald says of lines it dropped, and Rspamd, whose facility is another (journalctl(1): matches,
#: '+' is or).
JOURNAL_MATCHES = ["SYSLOG_FACILITY=2", "+", "SYSLOG_IDENTIFIER=systemd-journald", "+", "SYSLOG_IDENTIFIER=rspamd"]

#: Of a file that was read: how it began (octets and their SHA-256), and up to where.
Mark = dict[str, t.Any]


class SourceError(Exception):
    """The log cannot be read; the message names it and says what to do."""


class LostError(Exception):
    """The place at which the last run stopped is not there any more: everything is to be read anew, into an empty book."""


class Source(t.NamedTuple):
    """kind: file or journal; paths: the files, of each log the oldest first; those beside the journal are read after it."""

    kind: str
    paths: list[str]


class Position:
    """Where reading stopped. marks: of the files, oldest first; cursor: of the journal; holes: what was to be read and is gone."""

    def __init__(self, state: t.Any = None) -> None:
        state = state if isinstance(state, dict) else {}
        self.marks: list[Mark] = [mark for mark in state.get("marks", []) if isinstance(mark, dict)]
        self.cursor: str | None = state.get("cursor")
        self.holes: list[str] = []

    def as_dict(self) -> dict[str, t.Any]:
        return {"marks": self.marks, "cursor": self.cursor}


def choose(kind: str, paths: list[str], since: float, horizon: float | None = None, own: t.Sequence[str] = ()) -> Source:
    """Return the source that is there. kind: auto, file or journal, auto takes files that were written since then (epoch); horizon: files
    that were not written since are left out, since where not given; own: files that a daemon writes past syslog, read in any case."""
    written = since if horizon is None else horizon
    bases = list(dict.fromkeys([*paths, *own]))
    # What a daemon writes itself does not tell where the others' lines are.
    if kind == "file" or (kind == "auto" and any(rotations(base, since) for base in paths if base not in own)):
        found = [path for base in bases for path in rotations(base, written)]
        if not found and not any(map(_is_visible, bases)):
            raise SourceError(
                f"no mail log at {', '.join(paths)}: name the right file in abuse_triage_log_paths, or set abuse_triage_log_source: journal"
            )
        return Source("file", found or [path for path in bases if os.path.exists(path)])
    for base in paths if kind == "auto" else ():
        _is_visible(base)
    beside = [path for base in own for path in rotations(base, written)]
    if shutil.which("journalctl") is None:
        if beside:
            return Source("file", beside)
        raise SourceError(f"no mail log at {', '.join(paths)} and no journalctl on this host: name the log in abuse_triage_log_paths")
    return Source("journal", beside)


def _is_visible(path: str) -> bool:
    """Whether a file is there; SourceError where that is not to be known: the journal in its place would hide it."""
    try:
        os.stat(path)
    except PermissionError as exc:
        raise SourceError(f"{path} cannot be read ({exc.strerror}): {_FILE_ADVICE}") from exc
    except OSError:
        return False
    return True


def rotations(base: str, since: float) -> list[str]:
    """Return the log file and its rotations that were written since then and hold anything, oldest first."""
    folder = Path(base).parent
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            suffix = entry.name[len(Path(base).name) :] if entry.name.startswith(Path(base).name) else None
            number = _number(suffix) if suffix is not None else None
            if number is not None:
                stat = entry.stat()
                if stat.st_size and stat.st_mtime >= since:
                    found.append((stat.st_mtime, -number, entry.path))
    return [path for _, _, path in sorted(found)[-MAX_ROTATIONS:]]


def _number(suffix: str) -> int | None:
    """Return how old a rotation is among those of the same moment: -1 the log itself, 0 one with a date; None for another file."""
    found = _ROTATION.fullmatch(suffix)
    return -1 if not suffix else int(found[2] or 0) if found else None


def base_of(path: str) -> str:
    """Return the name of the log that a file is a rotation of."""
    return _ROTATION.sub("", path)


def missing(base: str, since: float) -> list[str]:
    """Return what lacks between the numbered rotations of a log, as far as they were written since then."""
    name, numbers = Path(base).name, set()
    for path in rotations(base, since):
        found = _ROTATION.fullmatch(Path(path).name[len(name) :]) if Path(path).name != name else None
        if found and found[2]:
            numbers.add(int(found[2]))
    return [
        f"{base}.{number} is missing between its rotations"
        for number in range(min(numbers, default=1), max(numbers, default=0))
        if not any(os.path.exists(f"{base}.{number}{packed}") for packed in ("", ".gz", ".zst"))
    ]


def read(source: Source, since: float) -> t.Iterator[str]:
    """Yield the source's lines from its beginning; a SourceError says what could not be read."""
    for lines in blocks(source, since, Position()):
        for line in lines:
            yield line + "\n"


def blocks(source: Source, since: float, position: Position) -> t.Iterator[list[str]]:
    """Yield the lines that are new, many at once; when it is through, position is where the next run goes on."""
    if source.kind == "journal":
        yield from _journal(since, position)
    before, position.marks = position.marks, []
    for path in source.paths:
        yield from _file(path, before, position)
    # One that was being written when it was read and is not there any more took its end with it.
    for base in dict.fromkeys(mark.get("base") for mark in before):
        newest = [mark for mark in before if mark.get("base") == base][-1]
        if not newest.get("found") and newest.get("time", 0) >= since:
            position.holes.append(
                f"{base} was read up to a place that is gone, and what it got since with it (a rotation that was removed)"
            )


def _file(path: str, before: list[Mark], position: Position) -> t.Iterator[list[str]]:
    try:
        with _opened(path) as file:
            beginning = file.read(_BEGINNING)
            if b"\n" not in beginning and len(beginning) < _BEGINNING:
                return  # not even one whole line yet
            # A copy of a file that was read just now: compressed and not yet removed, or copied and not yet truncated.
            twin = next((mark for mark in position.marks if _begins(mark, beginning)), None)
            known = twin or next((mark for mark in before if not mark.get("found") and _begins(mark, beginning)), None)
            offset = 0
            if known:
                known["found"] = True
                offset = int(known["offset"])
            digest = hashlib.sha256(beginning).hexdigest()
            mark: Mark = {"base": base_of(path), "time": os.stat(path).st_mtime, "size": len(beginning), "sha256": digest, "offset": offset}
            if twin is None:
                position.marks.append(mark)
            else:
                mark = twin
            lacking = _skip(file, beginning, offset)
            if lacking:
                if twin is None:
                    position.holes.append(f"{path} is shorter than what was read of it")
                    mark["offset"] = offset - lacking
                return
            rest = beginning[offset:] if offset < len(beginning) else b""
            for lines, size in _lines(file, rest):
                yield lines
                # Only now are they counted: whoever is cut off here reads them again.
                mark["offset"] += size
    except PermissionError as exc:
        raise SourceError(f"{path} cannot be read ({exc.strerror}): {_FILE_ADVICE}") from exc
    except (OSError, EOFError, zlib.error) as exc:
        raise SourceError(f"{path} cannot be read ({exc})") from exc


def _begins(mark: Mark, beginning: bytes) -> bool:
    size = int(mark.get("size", 0))
    return 0 < size <= len(beginning) and hashlib.sha256(beginning[:size]).hexdigest() == mark.get("sha256")


def _skip(file: t.BinaryIO, beginning: bytes, offset: int) -> int:
    """Go to an offset behind what was read of the beginning; return how many octets lack where the file ends before."""
    left = offset - len(beginning)
    while left > 0:
        piece = file.read(min(left, _CHUNK))
        if not piece:
            return left
        left -= len(piece)
    return 0


def _lines(file: t.BinaryIO, rest: bytes) -> t.Iterator[tuple[list[str], int]]:
    """Yield whole lines, many at once, and how many octets they were. A line without end is cut, and its rest passed over."""
    skipped = 0  # octets of a line that is too long, of which the beginning was handed on
    while True:
        cut = rest.rfind(b"\n") + 1
        if cut:
            whole, rest = rest[:cut], rest[cut:]
            size, head = skipped + len(whole), 0
            if skipped:
                head, skipped = whole.find(b"\n") + 1, 0
            text = whole[head:-1].decode("utf-8", "replace") if cut > head else ""
            yield text.split("\n") if cut > head else [], size
        elif len(rest) > _MAX_LINE:
            if not skipped:
                yield [rest[:_MAX_LINE].decode("utf-8", "replace")], 0
            skipped += len(rest)
            rest = b""
        piece = file.read(_CHUNK)
        if not piece:
            return
        rest += piece


@contextlib.contextmanager
def _opened(path: str) -> t.Iterator[t.BinaryIO]:
    """Open a file, uncompressed where it is not."""
    if path.endswith(".zst"):
        with subprocess.Popen(["zstd", "-dcq", "--", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            yield t.cast(t.BinaryIO, process.stdout)
            t.cast(t.BinaryIO, process.stdout).close()
        if process.returncode not in (0, None, -13):
            raise OSError(f"zstd ended with {process.returncode}: is it installed, and the file whole?")
    elif path.endswith(".gz"):
        with gzip.open(path, "rb") as file:
            yield t.cast(t.BinaryIO, file)
    else:
        with open(path, "rb") as plain:
            yield plain


_JOURNAL_ADVICE = "the connecting user needs become, or membership of the group systemd-journal"


def _journalctl(*options: str) -> subprocess.Popen[bytes]:
    command = ["journalctl", "--quiet", "--no-pager", "--show-cursor", *options]
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"})
    except OSError as exc:
        raise SourceError(f"the journal cannot be read: journalctl: {exc.strerror}: {_JOURNAL_ADVICE}") from exc


def _is_there(cursor: str) -> bool:
    """Whether the journal still holds the entry of a cursor: --after-cursor goes on at the nearest one, and says nothing."""
    out, _ = _journalctl(f"--cursor={cursor}", "--lines=1", "--output=cat").communicate()
    return f"{_CURSOR}{cursor}" in out.decode("utf-8", "replace").splitlines()


def journal_reaches(since: float) -> bool:
    """Whether the journal holds anything from before a time (epoch): then it lacks nothing since, however quiet it was."""
    process = _journalctl("--system", f"--until=@{int(since)}", "--lines=1", "--output=cat")
    return any(not line.startswith(_CURSOR) for line in process.communicate()[0].decode("utf-8", "replace").splitlines())


def _journal(since: float, position: Position) -> t.Iterator[list[str]]:
    if position.cursor and not _is_there(position.cursor):
        raise LostError("the journal does not hold the place any more at which the last run stopped: what it got until now may lack")
    start = f"--after-cursor={position.cursor}" if position.cursor else f"--since=@{int(since)}"
    with _journalctl("--output=short-iso-precise", start, *JOURNAL_MATCHES) as process:
        for lines, _ in _lines(t.cast(t.BinaryIO, process.stdout), b""):
            if lines and lines[-1].startswith(_CURSOR):
                position.cursor = lines.pop()[len(_CURSOR) :].strip()[:1000]
            yield lines
        complaint = t.cast(t.BinaryIO, process.stderr).read(1000).decode("utf-8", "replace").strip()
    if process.returncode not in (0, None):
        raise SourceError(f"the journal cannot be read: journalctl ended with {process.returncode} ({complaint[:300]}): {_JOURNAL_ADVICE}")
    if complaint:
        position.holes.append(f"journalctl: {' '.join(complaint.split())[:200]}")

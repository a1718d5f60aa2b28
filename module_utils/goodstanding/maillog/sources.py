# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a host's mail log is, and its lines in the order of time. Standard library only, Python >= 3.9."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import subprocess
import typing as t
from pathlib import Path

_ROTATION = re.compile(r"(\.(\d{1,4})|-\d{8}(?:-\d{1,10})?)(\.gz|\.zst)?\Z")
MAX_ROTATIONS = 60

#: Every line of the mail facility, and what journald says of lines it dropped (journalctl(1): matches, '+' is or).
JOURNAL_MATCHES = ["SYSLOG_FACILITY=2", "+", "SYSLOG_IDENTIFIER=systemd-journald"]


class SourceError(Exception):
    """The log cannot be read; the message names it and says what to do."""


class Source(t.NamedTuple):
    """kind: file or journal; paths: the files, oldest first."""

    kind: str
    paths: list[str]


def choose(kind: str, paths: list[str], since: float) -> Source:
    """Return the source that is there. kind: auto, file or journal; files not written since (epoch) are left out."""
    if kind in ("auto", "file"):
        found = [path for base in paths for path in rotations(base, since)]
        if kind == "file" and not any(Path(path).exists() for path in paths):
            raise SourceError(
                f"no mail log at {', '.join(paths)}: name the right file in abuse_triage_log_paths, or set abuse_triage_log_source: journal"
            )
        if found:
            return Source("file", found)
        if kind == "file":
            return Source("file", [path for path in paths if Path(path).exists()])
    if shutil.which("journalctl") is None:
        raise SourceError(f"no mail log at {', '.join(paths)} and no journalctl on this host: name the log in abuse_triage_log_paths")
    return Source("journal", [])


def rotations(base: str, since: float) -> list[str]:
    """Return the log file and its rotations that were written since then and hold anything, oldest first."""
    folder = Path(base).parent
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            suffix = entry.name[len(Path(base).name) :] if entry.name.startswith(Path(base).name) else None
            if suffix == "" or (suffix and _ROTATION.fullmatch(suffix)):
                stat = entry.stat()
                if stat.st_size and stat.st_mtime >= since:
                    found.append((stat.st_mtime, entry.path))
    return [path for _, path in sorted(found)[-MAX_ROTATIONS:]]


def read(source: Source, since: float) -> t.Iterator[str]:
    """Yield the source's lines; a SourceError says what could not be read."""
    if source.kind == "journal":
        command = [
            "journalctl",
            "--quiet",
            "--no-pager",
            "--output=short-iso-precise",
            f"--since=@{int(since)}",
            *JOURNAL_MATCHES,
        ]
        yield from _output_of(command, "the journal", "the connecting user needs become, or membership of the group systemd-journal")
        return
    for path in source.paths:
        yield from _read_file(path)


def _read_file(path: str) -> t.Iterator[str]:
    try:
        if path.endswith(".zst"):
            yield from _output_of(["zstd", "-dcq", "--", path], path, "install zstd on this host")
        elif path.endswith(".gz"):
            with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
                yield from file
        else:
            with open(path, encoding="utf-8", errors="replace") as file:
                yield from file
    except PermissionError as exc:
        raise SourceError(
            f"{path} cannot be read ({exc.strerror}): the connecting user needs become, or membership of the group adm"
        ) from exc
    except (OSError, EOFError) as exc:
        raise SourceError(f"{path} cannot be read ({exc})") from exc


def _output_of(command: list[str], what: str, advice: str) -> t.Iterator[str]:
    try:
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
        ) as process:
            if process.stdout is None or process.stderr is None:
                raise SourceError(f"{what} cannot be read: no output of {command[0]}")
            yield from process.stdout
            complaint = process.stderr.read(1000).strip()
    except OSError as exc:
        raise SourceError(f"{what} cannot be read: {command[0]}: {exc.strerror}: {advice}") from exc
    if process.returncode not in (0, None):
        raise SourceError(f"{what} cannot be read: {command[0]} ended with {process.returncode} ({complaint[:300]}): {advice}")

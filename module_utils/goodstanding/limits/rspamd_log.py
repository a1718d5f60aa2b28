# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Rspamd's own log says of the limits: who met one, and why nothing was counted. Standard library only, Python >= 3.9.

Users have a say in what a log holds: only the end of it is read, no long line, and what is taken out of a line is matched as a whole.
"""

from __future__ import annotations

import json
import os
import re
import time
import typing as t
import urllib.parse

from ..host.files import Run
from .engine import MARK, Hit
from .policy import SCOPES, WINDOWS

#: Of each file the last so many octets, of the journal so many lines, and so many different hits.
MAX_OCTETS = 64 << 20
MAX_LINES = 500_000
MAX_HITS = 20_000
_LINE = 2000
_STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? #\d{1,10}\([a-z_]{1,30}\)"
#: As rspamd_lua.py logs it, from the beginning of the line: users have a say in the rest of others: kind, scope, window, recipients, key.
_HIT = re.compile(
    rf"(?:{_STAMP} )?<[0-9a-z]{{1,20}}>; lua; limits\.lua:\d{{1,5}}: {MARK}: (soft|hard|shadow) "
    rf"({'|'.join(SCOPES)}) ({'|'.join(WINDOWS)}) (\d{{1,9}}) ([0-9A-Za-z@._+=%-]{{1,1000}})\Z"
)
_WHEN = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d+)? #")
_ERROR = re.compile(r"cannot (?:check limit|update rate bucket|call handler for goodstanding|execute \S*goodstanding|count an attempt)")


def hits(run: Run, since: float) -> list[Hit]:
    """Return who met a limit since then, per scope, key, window and kind."""
    found: dict[tuple[str, str, str, str], tuple[int, float, float]] = {}
    for when, line in _lines(run, since, MARK):
        match = _HIT.match(line)
        if not match:
            continue
        kind, scope, window, _, key = match.groups()
        row = scope, urllib.parse.unquote(key), window, kind
        count, first, last = found.get(row, (0, when, when))
        if count or len(found) < MAX_HITS:
            found[row] = count + 1, min(first, when), max(last, when)
    return [Hit(*row, *rest) for row, rest in sorted(found.items())]


def errors(run: Run, since: float) -> list[str]:
    """Return a sentence where the module could not count since then."""
    last, number = "", 0
    for _, line in _lines(run, since, "cannot "):
        if _ERROR.search(line):
            last, number = line, number + 1
    if not number:
        return []
    said = last.rpartition("; ")[2].encode("ascii", "replace").decode()[:200]
    return [f"Rspamd could not count {number} times in the last minutes, and let that mail through: {said}"]


def _lines(run: Run, since: float, word: str) -> t.Iterator[tuple[float, str]]:
    """Yield the lines with a word since then, each with its time in seconds since 1970."""
    options = _logging(run)
    if options.get("type", "file") == "file":
        path = str(options.get("filename") or "/var/log/rspamd/rspamd.log")
        for name in (f"{path}.1", path):
            yield from _of_file(name, since, word.encode())
        return
    # console and syslog: both are in the journal.
    words = ["journalctl", "-q", "--no-pager", "-o", "short-unix", "-u", "rspamd", f"--since=@{int(since)}", "-n", str(MAX_LINES)]
    for line in run(words)[1].splitlines():
        stamp, _, rest = line.partition(" ")
        if word in rest and len(line) <= _LINE and re.match(r"\d{1,12}(?:\.\d{1,9})?\Z", stamp):
            yield float(stamp), rest.partition(": ")[2]


def _logging(run: Run) -> dict[str, t.Any]:
    code, out, _ = run(["rspamadm", "configdump", "-j", "logging"])
    try:
        value = json.loads(out[out.find("{") :]) if not code else {}
    except ValueError:
        value = {}
    return value if isinstance(value, dict) else {}


def _of_file(path: str, since: float, word: bytes) -> t.Iterator[tuple[float, str]]:
    try:
        if os.stat(path).st_mtime < since:
            return
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MAX_OCTETS))
            if size > MAX_OCTETS:
                file.readline(_LINE * 10)
            known: tuple[str, float] = ("", 0.0)
            for raw in file:
                if word not in raw or len(raw) > _LINE:
                    continue
                line = raw.decode("utf-8", "replace").rstrip("\n")
                match = _WHEN.match(line)
                if not match:
                    continue
                if match[1] != known[0]:
                    known = match[1], _local(match[1])
                if known[1] + 1 > since:  # its log is of whole seconds
                    yield known[1] + float(match[2] or 0), line
    except OSError:
        return


def _local(text: str) -> float:
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))
    except (ValueError, OverflowError):
        return 0.0

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of a mail log: its time, program and message. Standard library only, Python >= 3.9."""

from __future__ import annotations

import calendar
import re
import typing as t
from functools import lru_cache

#: What is longer is cut: log text is written by strangers.
MAX_LINE = 8192

_MONTHS = {
    name: number for number, name in enumerate(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1)
}
# RFC 3339 as rsyslog and journalctl -o short-iso-precise write it, the latter before systemd 256 without a colon in the offset.
_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d)(\.\d{1,9})?(Z|[+-]\d\d:?\d\d) ")
# RFC 3164 section 4.1.2: no year, local time of the host, the day padded with a space.
_BSD = re.compile(r"([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) ")
_PROGRAM = re.compile(r"([\w./-]{1,100})(?:\[(\d{1,10})\])?: ")
_PASSWORD = re.compile(r"(given password: |password=|pass=)\S+")


class Line(t.NamedTuple):
    """A parsed line: epoch in seconds, program as logged (postfix/submission/smtpd), message."""

    time: float
    program: str
    message: str


@lru_cache(maxsize=256)
def _minute(text: str, offset: str) -> int:
    """Return the epoch of 2026-11-24T06:00 at an offset."""
    year, month, rest = text.split("-")
    day, clock = rest.split("T")
    hour, minute = clock.split(":")
    epoch = calendar.timegm((int(year), int(month), int(day), int(hour), int(minute), 0))
    if offset == "Z":
        return epoch
    digits = offset[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return epoch - seconds if offset[0] == "+" else epoch + seconds


def parse_line(raw: str, now: float, utc_offset: int = 0) -> Line | None:
    """Return the line's parts, or None where it is no log line.

    now (epoch) and utc_offset (seconds east of UTC) give RFC 3164 times their year and zone: the latest year that does not
    put the line more than a day into the future.
    """
    raw = raw[:MAX_LINE]
    match = _ISO.match(raw)
    if match:
        try:
            time = _minute(match[1], match[4]) + int(match[2]) + float(match[3] or 0)
        except ValueError:
            return None
    else:
        match = _BSD.match(raw)
        if not match or match[1] not in _MONTHS:
            return None
        time = _bsd_time(match, now, utc_offset)
    _, found, rest = raw[match.end() :].partition(" ")
    program = _PROGRAM.match(rest) if found else None
    if not program:
        return None
    return Line(time, program[1], rest[program.end() :].rstrip("\r\n"))


def _bsd_time(match: re.Match[str], now: float, utc_offset: int) -> float:
    year = int(now // 31556952) + 1970
    for candidate in (year + 1, year, year - 1):
        clock = (candidate, _MONTHS[match[1]], int(match[2]), int(match[3]), int(match[4]), int(match[5]))
        time = calendar.timegm(clock) - utc_offset
        if time <= now + 86400:
            return float(time)
    return float(time)


def evidence(raw: str) -> str:
    """Return a line as it may be kept: at most 400 characters, control characters and passwords taken out."""
    text = "".join(char if char.isprintable() else "?" for char in raw[:400].rstrip("\r\n"))
    return _PASSWORD.sub(r"\1[redacted]", text)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of a mail log: its time, program and message. Standard library only, Python >= 3.9.

Times are RFC 3339 as rsyslog and journalctl write them, RFC 3164 (no year, local time), RFC 5424, or a date and a time as Exim's own log.
"""

from __future__ import annotations

import calendar
import functools
import re
import typing as t

#: What is longer is cut: log text is written by strangers.
MAX_LINE = 8192

_MONTHS = {
    name: number for number, name in enumerate(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1)
}
_MINUTE = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d):(\d\d)\Z", re.ASCII)
_ZONE = re.compile(r"([+-])(\d\d):?(\d\d)\Z", re.ASCII)
# RFC 3164 section 4.1.2: no year, local time of the host, the day padded with a space.
_BSD = re.compile(r"([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d)\Z", re.ASCII)
# Exim's, Dovecot's and Rspamd's own files: local time of the host where no zone follows.
_DATED = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,6})?)(?: ([+-]\d{4}))?(?: |\Z)", re.ASCII)
_TAG = re.compile(r"[\w./-]{1,100}(?:\[\d{1,10}\])?\Z", re.ASCII)
# RFC 5424 section 6: <priority>version time host program pid message-id, then structured data.
_RFC5424 = re.compile(r"<\d{1,3}>1 (\S{19,40}) (\S{1,255}) (\S{1,100}) (\S{1,128}) \S{1,32} (?:-|(?:\[[^\]]{0,1000}\]){1,10}) ?\ufeff?")
_PASSWORD = re.compile(r"(given password: |password=|pass=)[^)\n]*")
_MEMORY = 4096


class Line(t.NamedTuple):
    """A parsed line: epoch in seconds, program as logged (postfix/submission/smtpd), message."""

    time: float
    program: str
    message: str


class Clock:
    """Tells the time of a host's log lines. now: epoch; utc_offset: seconds east of UTC, for times without a zone."""

    def __init__(self, now: float, utc_offset: int = 0) -> None:
        self.now, self.utc_offset = now, utc_offset
        self.zone = f"{'-' if utc_offset < 0 else '+'}{abs(utc_offset) // 3600:02}:{abs(utc_offset) % 3600 // 60:02}"
        self._minutes: dict[tuple[str, str], int | None] = {}

    def time(self, raw: str) -> float | None:
        """Return the epoch of a line that begins with its time, None where it does not."""
        if raw[10:11] == "T":
            stamp = raw[: raw.find(" ", 19, 40)]
            last = stamp[-1:]
            cut = -1 if last == "Z" else -6 if stamp[-6:-5] in ("+", "-") else -5
            text, minute, zone = stamp[17:cut], stamp[:16], stamp[cut:]
        elif raw[4:5] == "-":
            found = _DATED.match(raw)
            return self.time(f"{found[1]}T{found[2]}{found[3] or self.zone} ") if found else None
        else:
            text, minute, zone = raw[13:15], raw[:12], ""
        key = (minute, zone)
        try:
            start = self._minutes[key]
        except KeyError:
            start = self._remember(key)
        if start is None or not text[:2].isdecimal() or text[2:3] not in ("", ".") or len(text) > 12:
            return None
        try:
            return start + float(text)
        except ValueError:
            return None

    def _remember(self, key: tuple[str, str]) -> int | None:
        if len(self._minutes) >= _MEMORY:
            self._minutes.clear()
        try:
            start = _minute(*key) if key[1] else self._bsd(key[0])
        except (ValueError, OverflowError):
            start = None
        self._minutes[key] = start
        return start

    def _bsd(self, text: str) -> int | None:
        """Return the minute in the latest year that does not put it more than a day into the future."""
        match = _BSD.match(text)
        if not match or match[1] not in _MONTHS:
            return None
        year = int(self.now // 31556952) + 1970
        start = None
        for candidate in (year + 1, year, year - 1):
            clock = (candidate, _MONTHS[match[1]], int(match[2]), int(match[3]), int(match[4]), 0)
            start = calendar.timegm(clock) - self.utc_offset
            if start <= self.now + 86400:
                break
        return start


def _minute(text: str, zone: str) -> int | None:
    """Return the epoch of 2026-11-24T06:00 in a zone."""
    found = _MINUTE.match(text)
    day = _day(found[1], zone) if found else None
    if found is None or day is None or int(found[2]) >= 24 or int(found[3]) >= 60:
        return None
    return day + int(found[2]) * 3600 + int(found[3]) * 60


@functools.lru_cache(256)
def _day(text: str, zone: str) -> int | None:
    """Return the epoch at which 2026-11-24 begins in a zone."""
    offset = _ZONE.match(zone)
    if not (offset or zone == "Z"):
        return None
    year, month, day = map(int, text.split("-"))
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    seconds = int(offset[2]) * 3600 + int(offset[3]) * 60 if offset else 0
    return calendar.timegm((year, month, day, 0, 0, 0)) + (seconds if offset and offset[1] == "-" else -seconds)


def parts(raw: str) -> tuple[str, str, str] | None:
    """Return (the line with its time first, the tag such as postfix/smtpd[12], the message), or None where it has no tag."""
    if raw[:1] == "<":
        found = _RFC5424.match(raw[:MAX_LINE])
        if not found:
            return None
        tag = found[3] if found[4] == "-" else f"{found[3]}[{found[4]}]"
        return f"{found[1]} {found[2]} ", tag, raw[found.end() : MAX_LINE]
    head, found_colon, message = raw.partition(": ")
    return (head, head[head.rfind(" ") + 1 :], message[:MAX_LINE]) if found_colon else None


def program_of(tag: str) -> str | None:
    """Return the program of a tag, None where it is none."""
    return tag.partition("[")[0] if _TAG.match(tag) else None


def parse_line(raw: str, now: float, utc_offset: int = 0, clock: Clock | None = None) -> Line | None:
    """Return the line's parts, or None where it is no log line. clock: one that knows the times already."""
    found = parts(raw[:MAX_LINE])
    time = (clock or Clock(now, utc_offset)).time(found[0]) if found else None
    program = program_of(found[1]) if found else None
    if found is None or time is None or program is None:
        return None
    return Line(time, program, found[2].rstrip("\r\n"))


def normalise(login: str) -> str:
    """Return a login as Postfix's lmdb: maps look it up: lower case, no space around it."""
    return login.strip().lower()


def evidence(raw: str) -> str:
    """Return a line as it may be kept: at most 400 characters, control characters and passwords taken out."""
    text = raw[:2000].rstrip("\r\n")
    if not text.isprintable():
        text = "".join(char if char.isprintable() else "?" for char in text)
    if "pass" in text:
        text = _PASSWORD.sub(r"\1[redacted]", text)
    return text[:400]

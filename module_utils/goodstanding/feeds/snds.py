# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft SNDS: what its files and answers say, and whether a link still lives. Pure; nothing is fetched here.

Forms: the CSV of 14 columns without a header (before June 2026), of 11 with one, the CSV of the status feed, and the JSON of the portal's
own REST interface, whose names Microsoft does not document. An address that is absent had too little traffic: it is never clean by that.
"""

from __future__ import annotations

import csv
import datetime
import io
import ipaddress
import json
import re
import typing as t

PORTAL = "https://substrate.office.com/ip-domain-management-snds/snds"
#: The host of the links of before 8 June 2026.
RETIRED_HOST = "sendersupport.olc.protection.outlook.com"
#: Microsoft lets a link expire after so many days.
LINK_DAYS = 30
#: SNDS shows a day one or two days later.
LAG_DAYS = 2
MAX_ROWS = 200_000
MAX_UNREADABLE = 50
MAX_TEXT = 200

Row = dict[str, t.Any]

_HEADERLESS = (
    "address", "start", "end", "rcpt_commands", "data_commands", "message_recipients", "filter_result", "complaint_rate",
    "trap_start", "trap_end", "trap_hits", "sample_helo", "sample_mail_from", "comments",
)  # fmt: skip
# Names of columns and of JSON members, with everything but letters and digits taken out.
_NAMES = {
    "address": ("ipaddress", "ip"),
    "period": ("activityperiod",),
    "start": ("activitystart", "activityperiodstart", "startdate"),
    "end": ("activityend", "activityperiodend", "enddate"),
    "rcpt_commands": ("rcptcommands",),
    "data_commands": ("datacommands", "data"),
    "message_recipients": ("messagerecipients",),
    "filter_result": ("filterresult", "overallstatus"),
    "complaint_rate": ("complaintrate", "complaintpercent", "complaints"),
    "trap_period": ("trapmessageperiod",),
    "trap_hits": ("traphits", "trapmessagehits", "spamtraphits"),
    "sample_helo": ("samplehelo",),
    "sample_mail_from": ("jmrp1sender", "jmrpp1sender", "samplemailfrom"),
    "comments": ("comments", "comment"),
}
_STATUS_NAMES = {
    "first": ("beginningipaddress", "startingipaddress", "startip", "firstip", "ipaddress", "ip"),
    "last": ("endingipaddress", "endip", "lastip"),
    "blocked": ("blocked", "isblocked"),
    "status": ("status", "ipstatus"),
    "reason": ("reason", "details"),
}
_WRAPPERS = ("value", "items", "data", "results")
_STAMP = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: +(\d{1,2}):(\d{2})(?::(\d{2}))?(?: *([AaPp])\.?[Mm])?)?")
_ISO_STAMP = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2}))?)?")
_RATE = re.compile(r"(<)?\s*(\d{1,3}(?:\.\d{1,6})?)\s*%?\Z")
_COLOURS = ("green", "yellow", "red")
_STATES = ("blocked", "bot", "junked")


class SndsError(Exception):
    """What came is not what SNDS sends; the message says what it is instead."""


class Parsed(t.NamedTuple):
    """rows: see data_row() and status_row(); unreadable: (line or number of the row, reason), at most MAX_UNREADABLE; bad: how many."""

    rows: list[Row]
    unreadable: list[tuple[int, str]]
    bad: int


def parse_data(text: str) -> Parsed:
    """Return the rows of a data file, in either CSV form or JSON. SndsError where it is neither."""
    return _parse(text, _HEADERLESS, _NAMES, _data_row)


def parse_status(text: str) -> Parsed:
    """Return the rows of a status file, in CSV or JSON: first and last address, status (blocked, bot, junked), reason."""
    return _parse(text, ("first", "last", "blocked", "reason"), _STATUS_NAMES, _status_row)


def _parse(text: str, headerless: tuple[str, ...], names: dict[str, tuple[str, ...]], make: t.Callable[[Row], Row | None]) -> Parsed:
    start = text.lstrip("\ufeff \t\r\n")[:1]
    if start == "<":
        raise SndsError("it is a web page and no data: the link wants a sign-in, or has expired")
    records = _json(text, names) if start in ("{", "[") else _csv(text, headerless, names)
    rows: list[Row] = []
    unreadable: list[tuple[int, str]] = []
    bad = 0
    for number, record, fault in records:
        try:
            if fault or record is None:
                raise ValueError(fault)
            made = make(record)
        except ValueError as exc:
            bad += 1
            if len(unreadable) < MAX_UNREADABLE:
                unreadable.append((number, str(exc)))
            continue
        if made is not None:
            rows.append(made)
        if len(rows) > MAX_ROWS:
            raise SndsError(f"it has more than {MAX_ROWS} rows")
    if bad and not rows:
        raise SndsError(f"none of its {bad} rows can be read (row {unreadable[0][0]}: {unreadable[0][1]})")
    return Parsed(rows, unreadable, bad)


Record = tuple[int, t.Optional[Row], str]


def _csv(text: str, headerless: tuple[str, ...], names: dict[str, tuple[str, ...]]) -> t.Iterator[Record]:
    """Yield (line, fields by our names, fault) of each row; a first row without an address is a header."""
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""))
    columns: tuple[str | None, ...] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                header = tuple(_column(cell, names) for cell in cells)
                columns = header if headerless[0] in header else headerless
                if columns is header:
                    continue
            if columns is headerless and len(cells) > len(headerless):
                # A comma in the last, free text.
                cells = [*cells[: len(headerless) - 1], ",".join(cells[len(headerless) - 1 :])]
            if len(cells) != len(columns):
                yield reader.line_num, None, f"it has {len(cells)} fields instead of {len(columns)}"
                continue
            yield reader.line_num, {name: cell.strip() for name, cell in zip(columns, cells) if name}, ""
    except csv.Error as exc:
        yield reader.line_num, None, f"it is no CSV: {exc}"


def _column(text: str, names: dict[str, tuple[str, ...]]) -> str | None:
    plain = re.sub("[^a-z0-9]", "", text[:100].lower())
    return next((name for name, known in names.items() if plain in known), None)


def _json(text: str, names: dict[str, tuple[str, ...]]) -> t.Iterator[Record]:
    """Yield the same of each object of a JSON list, which may be wrapped."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise SndsError("it begins like JSON and is none") from exc
    if isinstance(data, dict):
        inner = next((data[name] for name in _WRAPPERS if isinstance(data.get(name), list)), None)
        data = inner if inner is not None else [data] if data else []
    if not isinstance(data, list):
        raise SndsError("it is JSON and no list of addresses")
    for number, item in enumerate(data, 1):
        if not isinstance(item, dict):
            yield number, None, "it is no object"
            continue
        found: Row = {}
        for key, value in item.items():
            name = _column(str(key), names)
            if name and name not in found and value is not None and not isinstance(value, (dict, list)):
                found[name] = str(value)[:1000].strip()
        yield number, found, ""


def _data_row(record: Row) -> Row:
    """Return one address and period. Stamps are SNDS's own, ISO 8601 without a zone (Microsoft names none); complaint_rate in per cent."""
    colour = record.get("filter_result", "").lower()
    if colour not in _COLOURS:
        raise ValueError(f"its filter result is {colour[:30]!r} instead of GREEN, YELLOW or RED")
    start, end = _period(record.get("period", f"{record.get('start', '')} {record.get('end', '')}"))
    trap_start, trap_end = _period(record.get("trap_period", f"{record.get('trap_start', '')} {record.get('trap_end', '')}"))
    rate = _RATE.match(record.get("complaint_rate", ""))
    return {
        "address": _address(record.get("address", "")),
        "start": start,
        "end": end,
        **{name: _count(record.get(name, "")) for name in ("rcpt_commands", "data_commands", "message_recipients", "trap_hits")},
        "filter_result": colour,
        "complaint_rate": float(rate[2]) if rate and float(rate[2]) <= 100 else None,
        "complaint_rate_below": bool(rate and rate[1]),
        "trap_start": trap_start,
        "trap_end": trap_end,
        **{name: _text(record.get(name, "")) for name in ("sample_helo", "sample_mail_from", "comments")},
    }


def _status_row(record: Row) -> Row | None:
    """Return a range of addresses that Microsoft treats as abnormal; None where the row says that it is not."""
    first = _address(record.get("first", ""))
    last = _address(record["last"]) if record.get("last") else first
    if _key(first) > _key(last) or (":" in first + last and not (":" in first and ":" in last)):
        raise ValueError(f"{first} to {last} is no range")
    blocked, word = record.get("blocked", "").lower(), record.get("status", "").lower()
    # What is wrong may stand in the reason alone, beside Yes or No: "No, Junked due to user complaints".
    reason = re.match("[a-z]*", record.get("reason", "").lower())
    status = next((state for state in _STATES if state in (word, reason[0] if reason else "")), None)
    if status is None:
        if blocked in ("no", "false", "0") or (not blocked and word in ("ok", "normal", "active")):
            return None
        if blocked not in ("yes", "true", "1"):
            raise ValueError(f"its status is {(blocked or word)[:30]!r} instead of Yes, No, Blocked, Bot or Junked")
        status = "blocked"
    return {"first": first, "last": last, "status": status, "reason": _text(record.get("reason", ""), 400)}


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()[:50]))
    except ValueError:
        raise ValueError(f"{text[:50]!r} is no address") from None


def _key(address: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(address)
    return parsed.version, int(parsed)


def _count(text: str) -> int | None:
    plain = text.replace(",", "")
    return int(plain) if re.fullmatch(r"\d{1,12}", plain) else None


def _text(text: str, limit: int = MAX_TEXT) -> str | None:
    """Return somebody else's words: bounded, one line."""
    return "".join(char if char.isprintable() else "?" for char in text[:limit]) or None


def _period(text: str) -> tuple[str | None, str | None]:
    """Return the first and the last stamp in a text."""
    text = text[:200]
    stamps = [_stamp(found[3], found[1], found[2], found[4], found[5], found[7]) for found in _STAMP.finditer(text)]
    stamps += [_stamp(found[1], found[2], found[3], found[4], found[5], None) for found in _ISO_STAMP.finditer(text)]
    known = [stamp for stamp in stamps if stamp]
    return (known[0], known[-1]) if known else (None, None)


def _stamp(year: str, month: str, day: str, hour: str | None, minute: str | None, half: str | None) -> str | None:
    clock = int(hour or 0)
    if half:
        if not 1 <= clock <= 12:
            return None
        clock = clock % 12 + (12 if half in "Pp" else 0)
    try:
        return datetime.datetime(int(year), int(month), int(day), clock, int(minute or 0)).isoformat(timespec="minutes")
    except ValueError:
        return None


class Link(t.NamedTuple):
    """What is known of an automated-access link. Days are dates of SNDS data; longest_gap: days between two days with an answer."""

    first_seen: datetime.date
    made: datetime.date | None = None
    last_day: datetime.date | None = None
    longest_gap: int = 1


def learn(link: Link, answered: t.Iterable[datetime.date]) -> Link:
    """Return what is known after a run; answered: the days for which the link answered anything."""
    days = sorted({*answered, *([link.last_day] if link.last_day else [])})
    gaps = [(later - earlier).days for earlier, later in zip(days, days[1:])]
    return link._replace(last_day=days[-1] if days else None, longest_gap=max([link.longest_gap, *gaps]))


def judge(link: Link, answered: bool, today: datetime.date) -> tuple[str, str | None]:
    """Return (current, no_data or expired, why). A link that has expired answers 404, and so does a day without data."""
    age = (today - (link.made or link.first_seen)).days
    if answered:
        return "current", f"the link is {age} days old: Microsoft lets it expire after {LINK_DAYS}" if age > LINK_DAYS - 5 else None
    if age > LINK_DAYS:
        return "expired", f"the link is {age} days old and answers nothing: Microsoft lets it expire after {LINK_DAYS} days"
    if link.last_day is not None:
        silent, usual = (today - link.last_day).days, link.longest_gap + LAG_DAYS
        if silent > usual:
            why = f"the link has answered nothing for {silent} days, and never before for more than {usual}"
            return "expired", why
    return "no_data", "no address had the traffic of about 100 messages a day that SNDS wants, or the link has expired; that is not clean"


def newest(rows: t.Iterable[Row]) -> list[Row]:
    """Return for each address the row of its latest period."""
    found: dict[str, Row] = {}
    for row in rows:
        known = found.get(row["address"])
        if known is None or (row["start"] or "") > (known["start"] or ""):
            found[row["address"]] = row
    return list(found.values())

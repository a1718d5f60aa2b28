# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Feedback reports: who complained about what we sent. Standard library only, Python >= 3.9.

Format: RFC 5965 (ARF), RFC 6590 (redaction); Microsoft's older form, which forwards the message and has no report part.
All of it is written by strangers: every field may be missing or a lie, and nothing of the complainant is returned.
"""

from __future__ import annotations

import binascii
import ipaddress
import quopri
import re
import typing as t
from email.message import Message
from email.parser import BytesHeaderParser

from ..findings.times import iso
from . import join, mailbox
from .authentication import address, authenticate, domain, field, sender

MAX_HEADERS = 1 << 17
MAX_DEPTH = 3
MAX_PARTS = 50
MAX_UNREADABLE = 200

#: The feedback types that speak against the sender (RFC 5965 section 7.3); not-spam and auth-failure do not.
COMPLAINTS = frozenset(("abuse", "fraud", "virus"))

#: From whom reports are believed once they authenticate, as an address or @domain. Whoever may write with any address
#: of a domain (every user of Hotmail) must not be believed for it, so these are exact.
REPORTERS = ("@arf.mail.yahoo.com", "staff@hotmail.com", "scomp@aol.net")

_AGENTS = (("yahoo", "yahoo"), ("aol", "aol"), ("jmrp", "microsoft"), ("microsoft", "microsoft"), ("hotmail", "microsoft"))
_DOMAINS = {"yahoo": ("yahoo.com",), "aol": ("aol.net", "aol.com"), "microsoft": ("hotmail.com", "outlook.com", "microsoft.com")}
_ORIGINALS = frozenset(
    ("message/rfc822", "message/global", "text/rfc822-headers", "text/rfc822-header", "message/rfc822-headers", "message/global-headers")
)
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_WORD = re.compile(r"[a-z0-9-]{1,40}\Z")
_SUBJECT_ADDRESS = re.compile(r"complaint about message from \[?([0-9A-Fa-f.:]{2,45})\]?", re.IGNORECASE)
_CLIENT_ADDRESS = re.compile(r"client-ip=([0-9A-Fa-f.:]{2,45})")
_SENDER_ADDRESS = re.compile(r"\(sender IP is ([0-9A-Fa-f.:]{2,45})\)")


class NotReadError(Exception):
    """A message is a report, but not one that can be read; the message says why."""


class Part(t.NamedTuple):
    """A message or a part of one: its header fields and its undecoded body."""

    headers: Message
    body: bytes


def split(data: bytes) -> Part:
    """Return header fields and body; NotReadError where the header is beyond all measure."""
    if data.startswith((b"\n", b"\r\n")):
        return Part(Message(), data.lstrip(b"\r\n"))
    end = _HEADERS_END.search(data)
    head, body = (data[: end.start()], data[end.end() :]) if end else (data, b"")
    if len(head) > MAX_HEADERS:
        raise NotReadError(f"its header is larger than {MAX_HEADERS} bytes")
    # The policy compat32 keeps the fields as they are; the newer ones parse each of them, in time that grows with its square.
    return Part(BytesHeaderParser().parsebytes(head + b"\n\n"), body)


def leaves(part: Part, depth: int = 0) -> t.Iterator[Part]:
    """Yield the parts that are no multipart themselves; an attached message is not looked into."""
    if part.headers.get_content_maintype() != "multipart":
        yield part
        return
    if depth >= MAX_DEPTH:
        raise NotReadError(f"its parts are nested deeper than {MAX_DEPTH}")
    # A long Content-Type costs the parser of its parameters time that grows with its square.
    boundary = part.headers.get_boundary() if len(str(part.headers["Content-Type"])) <= 2000 else None
    if not boundary or len(boundary) > 200:
        raise NotReadError("its multipart has no usable boundary")
    line = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary.encode("utf-8", "surrogateescape")) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    start = None
    for number, found in enumerate(line.finditer(part.body)):
        if number > MAX_PARTS:
            raise NotReadError(f"it has more than {MAX_PARTS} parts")
        if start is not None:
            yield from leaves(split(_unbroken(part.body[start : found.start()])), depth + 1)
        start = found.end()
        if found[1]:
            return
    if start is not None:  # the closing line is missing: what is there counts
        yield from leaves(split(_unbroken(part.body[start:])), depth + 1)


def _unbroken(piece: bytes) -> bytes:
    """Return a part without the line end of its boundary."""
    return piece[2:] if piece.startswith(b"\r\n") else piece[1:]


def _unquoted(data: bytes) -> bytes:
    """Return a message whose own 'From ' line an mbox file may have quoted; with the quote it would hide all header fields."""
    return data.lstrip(b">") if data.startswith(b">") else data


def content(part: Part) -> bytes:
    """Return a part's body, its transfer encoding undone."""
    encoding = field(part.headers, "Content-Transfer-Encoding").lower()
    if encoding == "base64":
        try:
            return binascii.a2b_base64(part.body)
        except binascii.Error as exc:
            raise NotReadError("a part says base64 and is not") from exc
    return quopri.decodestring(part.body) if encoding == "quoted-printable" else part.body


class Report(t.NamedTuple):
    """One report. arrived: epoch; original: the reported message's header fields; headers: the report's own."""

    provider: str
    form: str
    feedback_type: str
    incidents: int
    source_ip: str | None
    arrived: float | None
    original_sender: str | None
    message_id: str | None
    original: Message
    headers: Message


def parse(data: bytes) -> Report | None:
    """Return the report in a message, None where it is another message; NotReadError where it is one that cannot be read."""
    message = split(data)
    author = sender(message.headers)
    if domain(author).endswith("spamcop.net"):
        raise NotReadError("SpamCop's own format is not read: ask SpamCop for ARF (its reporting preferences)")
    report: Message | None = None
    original: Message | None = None
    for part in leaves(message):
        kind = part.headers.get_content_type()
        if kind == "message/feedback-report" and report is None:
            report = split(content(part).lstrip()).headers
        elif kind in _ORIGINALS and original is None:
            original = split(_unquoted(content(part).lstrip())).headers
    if report is not None:
        return _report(message.headers, report, original or Message(), author)
    # Microsoft's older form: no report part, the message attached and the complainant in a header field of it.
    if original is not None and ("X-HmXmrOriginalRecipient" in original or author == "staff@hotmail.com"):
        return _older(message.headers, original)
    kind = str(message.headers.get_param("report-type", "")) if len(str(message.headers["Content-Type"])) <= 2000 else ""
    if kind.lower() == "feedback-report":
        raise NotReadError("it says that it is a feedback report, and has no such part")
    return None


def _report(headers: Message, fields: Message, original: Message, author: str) -> Report:
    """Return a report as of RFC 5965 section 3."""
    kind = field(fields, "Feedback-Type").lower()
    incidents = field(fields, "Incidents")
    named = field(fields, "Original-Mail-From") or field(original, "From")
    redacted = "Redacted-Address" in fields or not named or "redacted" in named.lower()
    return Report(
        provider=_provider(field(fields, "User-Agent"), domain(author)),
        form="redacted" if redacted else "arf",
        feedback_type=kind if _WORD.match(kind) else "unknown",
        incidents=int(incidents) if re.fullmatch(r"[1-9][0-9]{0,5}", incidents) else 1,
        source_ip=_ip(field(fields, "Source-IP")) or _seen_by_receiver(original),
        arrived=_first_time(field(fields, "Arrival-Date"), field(fields, "Received-Date"), _received(original), field(headers, "Date")),
        original_sender=domain(address(named)) or None,
        message_id=join.message_id(field(original, "Message-ID")) or None,
        original=original,
        headers=headers,
    )


def _older(headers: Message, original: Message) -> Report:
    subject = _SUBJECT_ADDRESS.search(field(headers, "Subject"))
    return Report(
        provider="microsoft",
        form="older",
        feedback_type="abuse",
        incidents=1,
        source_ip=(_ip(subject[1]) if subject else None) or _seen_by_receiver(original),
        arrived=_first_time(_received(original), field(headers, "Date")),
        original_sender=domain(address(field(original, "From"))) or None,
        message_id=join.message_id(field(original, "Message-ID")) or None,
        original=original,
        headers=headers,
    )


def _provider(agent: str, reporter: str) -> str:
    for word, provider in _AGENTS:
        if agent.lower().startswith(word):
            return provider
    for provider, domains in _DOMAINS.items():
        if any(reporter == name or reporter.endswith("." + name) for name in domains):
            return provider
    return "generic"


def _ip(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text.strip("[] ")))
    except ValueError:
        return None


def _seen_by_receiver(original: Message) -> str | None:
    """Return our address as the receiver noted it in the message, for reports without Source-IP (Yahoo, Microsoft since 2026)."""
    for name, value in original.items():
        if name.lower() == "received":
            break
        if name.lower() == "x-originating-ip":  # below the receiver's Received it is the sender's word
            return _ip(str(value)[:100])
    for name, pattern in (("Received-SPF", _CLIENT_ADDRESS), ("Authentication-Results", _SENDER_ADDRESS)):
        found = pattern.search(field(original, name))
        if found and _ip(found[1]):
            return _ip(found[1])
    return _ip(field(original, "X-Sender-IP"))


def _received(original: Message) -> str:
    """Return the time at which the receiver took the message (RFC 5321 section 4.4)."""
    return field(original, "Received").rpartition(";")[2]


def _first_time(*dates: str) -> float | None:
    return next((time for time in map(mailbox.epoch, dates) if time is not None), None)


class Trust(t.NamedTuple):
    """authserv_id: our server's name in Authentication-Results, '' where not known; reporters and own_headers: see the module."""

    authserv_id: str
    reporters: tuple[str, ...]
    own_headers: tuple[str, ...]


def collect(messages: t.Iterable[mailbox.Message], trust: Trust) -> dict[str, t.Any]:
    """Return reports (see row()), unreadable (file, reason), unreadable_total, and other: how many messages are no report."""
    reports: list[dict[str, t.Any]] = []
    unreadable: list[dict[str, str]] = []
    total = other = 0
    for message in messages:
        reason = message.reason
        if message.data is not None:
            try:
                report = parse(message.data)
            except NotReadError as exc:
                reason = str(exc)
            except Exception as exc:  # one message of a stranger must not hide all the others
                reason = f"cannot be parsed: {type(exc).__name__}"
            else:
                if report is None:
                    other += 1
                else:
                    reports.append(row(report, message.file, trust))
                continue
        total += 1
        if len(unreadable) < MAX_UNREADABLE:
            unreadable.append({"file": message.file, "reason": reason})
    return {"reports": reports, "unreadable": unreadable, "unreadable_total": total, "other": other}


def row(report: Report, file: str, trust: Trust) -> dict[str, t.Any]:
    """Return a report as the module returns it; account only where it may be attributed."""
    passed, by = authenticate(report.headers, trust.authserv_id) if trust.authserv_id else (None, None)
    author = sender(report.headers)
    trusted = passed is True and (author in trust.reporters or "@" + domain(author) in trust.reporters)
    found = join.from_header(report.original, trust.own_headers) if trusted or not trust.authserv_id else None
    return {
        "provider": report.provider,
        "form": report.form,
        "feedback_type": report.feedback_type,
        "incidents": report.incidents,
        "source_ip": report.source_ip,
        "arrived": iso(report.arrived) if report.arrived is not None else None,
        "original_sender": report.original_sender,
        "message_id": report.message_id,
        "account": found[0] if found else None,
        "joined_by": found[1] if found else "none",
        "trusted": trusted,
        "authenticated": passed,
        "authenticated_by": by,
        "file": file,
    }


def attribute(reports: list[dict[str, t.Any]], senders: t.Mapping[str, join.Sender], trust: Trust) -> None:
    """Fill in the accounts that the logs know. A forged complaint must not get an account locked: only trusted reports are joined."""
    for report in reports:
        found = senders.get(report["message_id"] or "")
        if found and found["account"] and report["account"] is None and may_join(report, trust):
            report.update(account=found["account"], joined_by="message_id")


def may_join(report: t.Mapping[str, t.Any], trust: Trust) -> bool:
    """Whether a report may name an account: it is trusted, or nothing is known that could tell."""
    return bool(report["trusted"]) or not trust.authserv_id


def summary(reports: list[dict[str, t.Any]], trust: Trust) -> dict[str, t.Any]:
    """Return complaints per account (of trusted reports) and per address, and the Message-IDs whose account is still sought."""
    accounts: dict[str, int] = {}
    addresses: dict[str, dict[str, t.Any]] = {}
    for report in reports:
        if report["feedback_type"] not in COMPLAINTS:
            continue
        if report["account"] and report["trusted"]:
            accounts[report["account"]] = accounts.get(report["account"], 0) + 1
        if report["source_ip"]:
            entry = addresses.setdefault(report["source_ip"], {"count": 0, "trusted": 0, "first": None, "last": None})
            entry["count"] += 1
            entry["trusted"] += report["trusted"]
            if report["arrived"]:
                entry["first"] = min(entry["first"] or report["arrived"], report["arrived"])
                entry["last"] = max(entry["last"] or report["arrived"], report["arrived"])
    sought = {report["message_id"] for report in reports if report["message_id"] and not report["account"] and may_join(report, trust)}
    return {"accounts": accounts, "addresses": addresses, "message_ids": sorted(sought)}

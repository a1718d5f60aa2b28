# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two engines that verify a signed message by what the DNS serves: dkimpy, and this project's own with its linter, which is at least as
strict as OpenDKIM. Neither has anything in common with the signers. Runs on the controller."""

from __future__ import annotations

import re
import typing as t

from ..mailauth import dkim as published
from ..mailauth.finding import ERROR, parse_tags
from . import record, verify

Reader = t.Callable[[str], t.Optional[list[str]]]
#: A probe's message is far smaller.
_MAX = 64 << 10
#: Seconds that a signature is to be good for: greylisting, or a receiver that is down for the night, takes that long.
_LIFE = 86400


class Verdict(t.NamedTuple):
    """engines: how many verify the signature; broken: why one does not, or empty; what could not be asked counts for neither."""

    engines: int
    broken: str


def verdicts(message: str, domain: str, readers: tuple[Reader, Reader]) -> dict[str, Verdict]:
    """Return what the engines say of each signature of a message for this domain, by selector. readers: of the DNS, one for each engine."""
    if len(message) > _MAX:
        return {}
    head, _, body = message.partition("\r\n\r\n")
    headers = _headers(head)
    found = {}
    for index, value in enumerate(value for name, value in headers if name.lower() == "dkim-signature"):
        tags = verify.tags(value)
        if tags.get("d", "").lower() == domain:
            selector = tags.get("s", "").lower()
            name = record.name(domain, selector)
            said = [_dkimpy(message, index, name, readers[0]), _own(headers, value, body, name, readers[1])]
            found[selector] = Verdict(sum(one == "" for one in said), "; ".join(one for one in said if one))
    return found


def _headers(head: str) -> list[verify.Header]:
    """Return names and values; a value is all behind the colon, with the line ends inside."""
    found = []
    for line in re.split(r"\r\n(?![ \t])", head):
        name, colon, value = line.partition(":")
        if colon:
            found.append((name, value))
    return found


def _dkimpy(message: str, index: int, name: str, read: Reader) -> str | None:
    """Return why dkimpy does not verify a signature, empty where it does, None where it could not be asked."""
    try:
        import dkim
    except ImportError:
        return None
    texts = read(name)
    if texts is None:
        return None
    if len(texts) != 1:
        return f"dkimpy finds {len(texts) or 'no'} records at {name}"
    text = _one_service(texts[0]).encode()
    try:
        good = dkim.DKIM(message.encode("utf-8", "surrogateescape")).verify(idx=index, dnsfunc=lambda *_, **__: text)
    except Exception as exc:  # it raises what its parsers raise
        return f"dkimpy says {type(exc).__name__}: {str(exc)[:120]}"
    return "" if good else "dkimpy says that the signature does not verify"


def _one_service(text: str) -> str:
    """Return a record as dkimpy reads it, which takes s=email:tlsrpt (RFC 8460 section 3) for another service than mail."""
    pairs = parse_tags(text).pairs
    services = {one.strip() for tag, value in pairs if tag == "s" for one in value.split(":")}
    if len(services) < 2 or not services & {"*", "email"}:
        return text
    return "; ".join(f"{tag}={value}" for tag, value in pairs if tag != "s")


def _own(headers: list[verify.Header], signature: str, body: str, name: str, read: Reader) -> str | None:
    texts = read(name)
    if texts is None:
        return None
    tags = verify.tags(signature)
    below = tags.get("i", "").rpartition("@")[2].lower() not in ("", tags.get("d", "").lower())  # which t=s forbids
    errors = [finding.what for finding in published.lint(name, texts, signs_subdomains=below) if finding.severity == ERROR]
    if errors:
        return f"the linter says {errors[0][:120]}"
    others = [(header, value) for header, value in headers if value is not signature]
    made, ends = (verify.tags(signature).get(tag, "") for tag in "tx")
    life = int(ends[:15]) - int(made[:15]) if made.isdecimal() and ends.isdecimal() else _LIFE
    if life < _LIFE:
        return f"the signature ends {life} s after it was made (x=), and mail that waits longer on its way fails: look for SignatureTTL"
    try:
        return verify.fault(others, body.encode("utf-8", "surrogateescape"), signature, record.parse(texts[0]).spki)
    except record.RecordError as exc:
        return f"the record at {name} cannot be read: {exc}"

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who signed a message, as our own mail server saw it. Standard library only, Python >= 3.9.

Only the header fields Authentication-Results (RFC 8601) with the server's own authserv-id are believed. The server has to
remove those that a stranger wrote with its name (RFC 8601 section 5).
"""

from __future__ import annotations

import re
import typing as t
from email.message import Message

_DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)+[a-z0-9-]{1,63}\Z")
# Stricter than RFC 5322: readers of From that differ over odd forms are how a stranger passes for somebody else.
_ADDRESS = re.compile(
    r'(?:(?:"[^"]*" ?|[^"<>@,;()]*)<([^\s<>@,;:()"\\]{1,64}@[^\s<>@,;:()"\\]+)>|([^\s<>@,;:()"\\]{1,64}@[^\s<>@,;:()"\\]+))\Z'
)
_MAX_FIELD = 8_000


class Authentication(t.NamedTuple):
    """passed: None where our server says nothing; by: the domain whose signature or policy passed, aligned with From."""

    passed: bool | None
    by: str | None


class _Result(t.NamedTuple):
    method: str
    result: str
    properties: dict[str, str]


def field(headers: Message, name: str, limit: int = 1000) -> str:
    """Return the first header field of that name on one line, cut at a limit; '' where there is none."""
    return " ".join(str(headers.get(name, ""))[: 4 * limit].split())[:limit]


def address(text: str) -> str:
    """Return the one address of a From field in lower case, '' where it has none, several, or is written in a doubtful way."""
    found = _ADDRESS.match(text.strip())
    name = (found[1] or found[2]).lower() if found else ""
    return name if domain(name) else ""


def domain(name: str) -> str:
    """Return the domain of an address in lower case, '' where it has none."""
    _, found, right = name.strip().lower().rpartition("@")
    return right if found and _DOMAIN.match(right) else ""


def sender(headers: Message) -> str:
    """Return the author's address; '' where it is not exactly one (RFC 7489 section 6.6.1)."""
    return address(field(headers, "From")) if len(headers.get_all("From", [])) == 1 else ""


def authenticate(headers: Message, authserv_id: str) -> Authentication:
    """Return what our server found of the message.

    Only DKIM and DMARC count, for the domain of From: SPF alone passes for every customer of the same sending service.
    Read are the fields from the topmost with our name down to the next Received, and of each method the first: what stands
    lower may have come with the message.
    """
    author = domain(sender(headers))
    passed: dict[str, bool] = {}
    begun = False
    for name, text in headers.items():
        value = str(text)
        if name.lower() == "authentication-results" and _named(value, authserv_id):
            begun = True
            results = _results(value)
            if results is None:
                return Authentication(False, None)
            for method in ("dkim", "dmarc"):
                own = [row for row in results if row.method == method]
                if own:
                    passed.setdefault(method, any(row.result == "pass" and _aligned(row, author) for row in own))
        elif begun and name.lower() == "received":
            break
    if not begun:
        return Authentication(None, None)
    return Authentication(True, author) if any(passed.values()) else Authentication(False, None)


def _named(value: str, authserv_id: str) -> bool:
    """Whether a field begins with our server's name (RFC 8601 section 2.2)."""
    return value[:1000].replace(";", " ").lower().split()[:1] == [authserv_id.lower()]


def _aligned(row: _Result, author: str) -> bool:
    """Whether a result is about the author's domain, or for DKIM one above it."""
    if row.method == "dmarc":
        return bool(author) and row.properties.get("header.from") == author
    signer = row.properties.get("header.d") or row.properties.get("header.i", "").rpartition("@")[2]
    return bool(_DOMAIN.match(signer)) and (author == signer or author.endswith("." + signer))


def _results(value: str) -> list[_Result] | None:
    """Return the results of one field (RFC 8601 section 2.2), None where it is not well-formed."""
    plain = _plain(value) if len(value) <= _MAX_FIELD else None
    if plain is None:
        return None
    rows = []
    for part in re.sub(r"\s*=\s*", "=", plain.lower()).split(";")[1:]:
        words = [word.partition("=") for word in part.split()]
        if words and words[0][1]:
            rows.append(_Result(words[0][0].partition("/")[0], words[0][2], {key: text for key, found, text in words[1:] if found}))
    return rows


def _plain(value: str) -> str | None:
    """Return a field without its comments and with quoted strings emptied; None where they do not close.

    Servers copy the stranger's addresses into both. A quote within a comment is not accepted: it may hide the comment's end.
    """
    kept, depth, quoted, escaped = [], 0, False, False
    for char in value:
        if escaped:
            escaped = False
        elif char == "\\" and (quoted or depth):
            escaped = True
        elif char == '"':
            if depth:
                return None
            quoted = not quoted
            kept.append(char)
        elif quoted:
            continue
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth < 0:
                return None
            kept.append(" ")
        elif not depth:
            kept.append(char)
    return None if depth or quoted else "".join(kept)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When two records say the same: a TXT record is what its joined strings mean to those who read it, names are the same in any case."""

from __future__ import annotations

import functools
import ipaddress
import re
import typing as t

from . import wire

Tags = tuple[tuple[str, t.Any], ...]
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
#: What begins a text of one kind, and must be followed by a blank, a semicolon or the end (RFC 7208 section 4.5).
KINDS = {"spf": b"v=spf1", "dkim": b"v=dkim1", "dmarc": b"v=dmarc1", "sts": b"v=stsv1", "tlsrpt": b"v=tlsrptv1"}
_DEFAULTS: dict[str, dict[str, t.Any]] = {
    "dkim": {"k": "rsa", "s": ("*",), "h": (), "t": (), "v": "DKIM1"},
    "dmarc": {"adkim": "r", "aspf": "r", "fo": "0", "pct": "100", "rf": "afrf", "ri": "86400"},
}


def kind_of(text: bytes) -> str | None:
    """Return which kind of mail record a text is by its version: spf, dkim, dmarc, sts, tlsrpt; None for any other."""
    if text[:2] not in (b"v=", b"V="):
        return None
    lower = text[:12].lower()
    for kind, version in KINDS.items():
        if lower.startswith(version) and (len(lower) == len(version) or lower[len(version) : len(version) + 1] in b" ;\t"):
            return kind
    return None


def tags(text: str) -> dict[str, str] | None:
    """Return the tags of a list like DKIM's (RFC 6376 section 3.2) in their order, or None where it is none."""
    found: dict[str, str] = {}
    parts = text.split(";")
    if not parts[-1].strip():
        parts.pop()
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or not _TAG.match(name) or name in found:
            return None
        found[name] = value.strip()
    return found or None


def dkim_key(text: bytes) -> str | None:
    """Return p= of a DKIM record without blanks, empty where it is revoked; None where it is no such record."""
    found = _dkim(text)
    return None if found is None else dict(found)["p"]


def meaning(owner: bytes, kind: int, data: bytes) -> t.Hashable:
    """Return what a record means: equal for two that say the same at this owner."""
    if kind != wire.TXT:
        return wire.folded(kind, data)
    return _text_meaning(_role(owner), wire.joined(data))


def _role(owner: bytes) -> str:
    """Return how readers take a text at this owner, by RFC 6376 section 3.6.2.1, 9989, 8461 and 8460."""
    first = owner[1 : 1 + owner[0]]
    if b"\x0a_domainkey" in owner:
        return "dkim"
    return {b"_dmarc": "dmarc", b"_mta-sts": "sts", b"_smtp": "tlsrpt"}.get(first, "")


@functools.lru_cache(maxsize=65_536)
def _text_meaning(role: str, text: bytes) -> t.Hashable:
    kind = kind_of(text)
    parsed: t.Any = None
    if role == "dkim":
        parsed = _dkim(text)
    elif kind == "spf":
        parsed = _spf(text)
    elif kind == role and kind is not None:
        parsed = _versioned(kind, text)
    return text if parsed is None else (role or kind, parsed)


def _dkim(text: bytes) -> Tags | None:
    try:
        found = tags(text.decode("ascii"))
    except UnicodeDecodeError:
        return None
    # A version that is not first, or another one, makes it a record that must be discarded (RFC 6376 section 3.6.1).
    if not found or "p" not in found or ("v" in found and (next(iter(found)) != "v" or found["v"] != "DKIM1")):
        return None
    values: dict[str, t.Any] = {}
    for name, value in found.items():
        if name == "p":
            values[name] = "".join(value.split())
        elif name in ("h", "s", "t"):
            values[name] = tuple(sorted(part.strip().lower() for part in value.split(":") if part.strip()))
        else:
            values[name] = value.lower() if name == "k" else value
    return _without_defaults("dkim", values)


def _versioned(kind: str, text: bytes) -> Tags | None:
    """Return a DMARC, MTA-STS or TLS-RPT record: v first, as written; the order of the rest says nothing."""
    try:
        found = tags(text.decode("utf-8"))
    except UnicodeDecodeError:
        return None
    if not found or next(iter(found)) != "v" or found["v"].lower().encode() != KINDS[kind][2:]:
        return None
    values: dict[str, t.Any] = {"v": found.pop("v")}
    for name, value in found.items():
        if name in ("rua", "ruf"):
            values[name] = tuple(part.strip() for part in value.split(","))
        else:
            values[name] = value.lower() if kind == "dmarc" else value
    return _without_defaults(kind, values)


def _without_defaults(kind: str, values: dict[str, t.Any]) -> Tags:
    defaults = _DEFAULTS.get(kind, {})
    return tuple(sorted((name, value) for name, value in values.items() if defaults.get(name, values) != value))


def _spf(text: bytes) -> Tags | None:
    """Return an SPF record: its mechanisms in their order, for the first that fits decides, and its modifiers."""
    try:
        words = text.decode("ascii").split(" ")
    except UnicodeDecodeError:
        return None
    mechanisms, modifiers = [], []
    for word in filter(None, words[1:]):
        modifier = re.match(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)\Z", word)
        if modifier:
            modifiers.append((modifier[1].lower(), _fold(modifier[2])))
        else:
            mechanisms.append(_mechanism(word))
    return (("mechanisms", tuple(mechanisms)), ("modifiers", tuple(sorted(modifiers))))


def _mechanism(word: str) -> str:
    qualifier, rest = (word[0], word[1:]) if word[0] in "+-~?" else ("+", word)
    name, colon, value = rest.partition(":")
    name = name.lower()
    if name in ("ip4", "ip6") and colon:
        try:
            return f"{qualifier}{name}:{ipaddress.ip_network(value, strict=False)}"
        except ValueError:
            return f"{qualifier}{name}:{value.lower()}"
    return f"{qualifier}{name}{colon}{_fold(value)}"


def _fold(value: str) -> str:
    """A macro's letter in upper case means another thing (RFC 7208 section 7.3); all else of a name is the same in any case."""
    return value if "%" in value else value.lower()

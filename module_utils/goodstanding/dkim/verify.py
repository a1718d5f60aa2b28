# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify one DKIM signature of a message by a public key that is given, not asked of DNS (RFC 6376 section 3.7, RFC 8463).

For the probe of a signer that runs on this host: the message is ours. What a receiver sees is for other engines to say.
Standard library only but for keys.verify, Python >= 3.9.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from . import keys

Header = tuple[str, str]
_BLANKS = re.compile(r"[ \t]+")
_SIGNATURE = re.compile(r"(\A|;)([ \t\r\n]*b[ \t\r\n]*=)[^;]*")
_ALGORITHMS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}


def tags(value: str) -> dict[str, str]:
    """Return the tags of a DKIM-Signature, without blanks."""
    found: dict[str, str] = {}
    for part in value[:16384].split(";"):
        name, equals, content = part.partition("=")
        if equals:
            found.setdefault(name.strip(), re.sub(r"[ \t\r\n]+", "", content))
    return found


def fault(headers: list[Header], body: bytes, signature: str, spki: bytes) -> str:
    """Return why a signature does not verify, or an empty text.

    headers: names and values as they are sent, from the top, with CRLF inside where a value is folded, without the signature's own;
    a value begins with the blank behind the colon. body: with CRLF at the ends of its lines.
    """
    found = tags(signature)
    kind = _ALGORITHMS.get(found.get("a", ""))
    if found.get("v") != "1" or kind is None:
        return f"it is of a kind that is not known here (v={found.get('v', '')[:10]}, a={found.get('a', '')[:20]})"
    of_header, _, of_body = found.get("c", "simple/simple").partition("/")
    if of_header not in ("simple", "relaxed") or of_body not in ("simple", "relaxed", ""):
        return f"its canonicalization {found.get('c', '')[:40]} is not known"
    if "l" in found:
        return "it covers only a part of the body (l=): anybody can add to the message"
    try:
        given, value = (base64.b64decode(found.get(name, ""), validate=True) for name in ("bh", "b"))
    except (binascii.Error, ValueError):
        return "bh= or b= is no base64"
    if hashlib.sha256(_body(body, of_body == "relaxed")).digest() != given:
        return "the hash of the body is another one"
    names = [name.lower() for name in found.get("h", "").split(":")]
    if "from" not in names:
        return "it does not cover From"
    signed = _signed(headers, names, signature, of_header == "relaxed")
    data = hashlib.sha256(signed).digest() if kind == "ed25519" else signed
    if not keys.verify(spki, value, data):
        return "it was not made by the key of this selector, or the message was changed on its way"
    return ""


def _signed(headers: list[Header], names: list[str], signature: str, relaxed: bool) -> bytes:
    """Return what is signed: the headers that h= names, each from the bottom, and the signature's own without its value."""
    left: dict[str, list[Header]] = {}
    for header in headers:
        left.setdefault(header[0].lower(), []).append(header)
    lines = []
    for name in names:
        if left.get(name):
            lines.append(_header(*left[name].pop(), relaxed) + "\r\n")
    lines.append(_header("DKIM-Signature", _SIGNATURE.sub(r"\1\2", signature, count=1), relaxed))
    return "".join(lines).encode("utf-8", "surrogateescape")


def _header(name: str, value: str, relaxed: bool) -> str:
    if not relaxed:
        return f"{name}:{value}"
    return f"{name.lower().strip()}:" + _BLANKS.sub(" ", value.replace("\r\n", "")).strip(" \t")


def _body(body: bytes, relaxed: bool) -> bytes:
    lines = body.split(b"\r\n")
    if relaxed:
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return b"" if relaxed else b"\r\n"
    return b"\r\n".join(lines) + b"\r\n"

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published DKIM keys (RFC 6376 section 3.6, RFC 8301, RFC 8463): what a strict verifier would refuse. Pure functions over texts."""

from __future__ import annotations

import base64
import binascii
import re
import typing as t

from .finding import ERROR, NOTE, WARNING, Finding, parse_tags, shown

#: The strictest form that every verifier reads.
FORM = "v=DKIM1; k=rsa; p=..."
GRAVESTONE = "v=DKIM1; p="
_RSA_OID = bytes.fromhex("2a864886f70d010101")
_ED25519_OID = bytes.fromhex("2b6570")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}\Z")


class Key(t.NamedTuple):
    """A published key. kind: rsa, ed25519 or another k=; bits: of the modulus; fault: (check, what) where it is none; revoked: p= is empty;
    data: the octets of p=."""

    kind: str
    bits: int | None
    revoked: bool
    fault: tuple[str, str] | None
    data: bytes = b""


def read_key(text: str) -> Key:
    """Return the key of a record."""
    tags = parse_tags(text)
    kind, p = tags.get("k", "rsa") or "", tags.get("p")
    if p is None:
        return Key(kind, None, False, ("dkim_no_key", "it has no p= tag"))
    p = re.sub(r"[ \t\r\n]", "", p)
    if not p:
        return Key(kind, None, True, None)
    if not _BASE64.match(p):
        return Key(kind, None, False, ("dkim_base64", "its p= is not base64"))
    try:
        data = base64.b64decode(p, validate=True)
    except (binascii.Error, ValueError):
        return Key(kind, None, False, ("dkim_truncated", f"its p= of {len(p)} characters is cut off: it is no whole base64"))
    if kind == "rsa":
        bits, fault = _rsa(data)
        return Key(kind, bits, False, fault, data)
    if kind == "ed25519":
        return Key(kind, 256, False, _ed25519(data), data)
    return Key(kind, None, False, ("dkim_kind", f"its k={shown(kind, 20)} is a kind of key that verifiers do not know"), data)


def _element(data: bytes, pos: int, tag: int) -> tuple[bytes, int]:
    """Return the content of the DER element at pos, and the position after it; ValueError where it is another one or not whole."""
    if len(data) < pos + 2 or data[pos] != tag:
        raise ValueError("another element")
    length, pos = data[pos + 1], pos + 2
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= 4 or len(data) < pos + count:
            raise ValueError("a length of an unknown form")
        length = int.from_bytes(data[pos : pos + count], "big")
        pos += count
    if len(data) < pos + length:
        raise ValueError("cut off")
    return data[pos : pos + length], pos + length


def _numbers(data: bytes) -> tuple[int, int]:
    """Return modulus and exponent of a PKCS#1 RSAPublicKey; ValueError where it is none."""
    content, end = _element(data, 0, 0x30)
    modulus, pos = _element(content, 0, 0x02)
    exponent, last = _element(content, pos, 0x02)
    if end != len(data) or last != len(content):
        raise ValueError("more follows")
    return int.from_bytes(modulus, "big", signed=True), int.from_bytes(exponent, "big", signed=True)


def _rsa(data: bytes) -> tuple[int | None, tuple[str, str] | None]:
    """Return the bits of a SubjectPublicKeyInfo of RSA, and its fault."""
    try:
        bits = _numbers(data)[0].bit_length()
    except ValueError:
        pass
    else:
        return bits, (
            "dkim_pkcs1",
            "its p= is a bare RSAPublicKey (PKCS#1); OpenDKIM, Mail::DKIM and Rspamd read SubjectPublicKeyInfo only",
        )
    try:
        whole, end = _element(data, 0, 0x30)
        algorithm, pos = _element(whole, 0, 0x30)
        oid, _ = _element(algorithm, 0, 0x06)
        string, last = _element(whole, pos, 0x03)
        if oid != _RSA_OID:
            return None, ("dkim_other_key", "its p= is a key of another kind than k= says (rsa)")
        if end != len(data) or last != len(whole) or string[:1] != b"\0":
            raise ValueError("more follows")
        modulus, exponent = _numbers(string[1:])
    except (ValueError, IndexError):
        return None, ("dkim_truncated", f"its p= of {len(data)} octets is cut off or damaged: it holds no whole SubjectPublicKeyInfo")
    if modulus <= 0 or modulus % 2 == 0 or exponent < 3 or exponent % 2 == 0:
        return modulus.bit_length(), ("dkim_key_damaged", "its p= is no RSA key: the modulus or the exponent cannot be one")
    return modulus.bit_length(), None


def _ed25519(data: bytes) -> tuple[str, str] | None:
    if len(data) == 32:
        return None
    if len(data) == 44 and _ED25519_OID in data[:12]:
        return ("dkim_ed25519_form", "its p= is a SubjectPublicKeyInfo; an Ed25519 key is published as its 32 octets alone (RFC 8463)")
    return ("dkim_truncated", f"its p= has {len(data)} octets; an Ed25519 key has 32")


# Per check of a fault in the tags: repair.
_TAG_REPAIRS = {
    "backslash": "Publish ; without a backslash: only the text form of a zone file needs the escape.",
    "quotes": "Publish the value without quotation marks; the provider's form adds its own.",
    "characters": "Publish the record anew from the host's own text, not by copy from a document.",
    "syntax": f"Write tags as {FORM}, with one ; between two.",
    "duplicate": "Leave each tag once.",
    "too_long": "Publish one key a record.",
}


def lint(
    name: str,
    texts: t.Sequence[str],
    in_use: bool = True,
    signs_subdomains: bool = False,
    testing: bool = False,
    expected: str | None = None,
) -> list[Finding]:
    """Return what is wrong at a selector's name. texts: each TXT record there, its strings joined.

    in_use: mail is signed with it; signs_subdomains: i= may be below d=; testing: t=y is wanted for now; expected: the record of the key
    that the hosts hold.
    """

    def found(severity: str, check: str, what: str, repair: str, source: str) -> None:
        findings.append(Finding(severity, check, name, what, repair, source))

    findings: list[Finding] = []
    if not texts:
        if in_use:
            found(
                ERROR,
                "dkim_missing",
                "no key is published there: a signature with it fails for good",
                "Publish the key, and sign with this selector only after every name server has it.",
                "RFC 6376 section 6.1.2",
            )
        return findings
    if len(texts) > 1:
        found(
            ERROR,
            "dkim_several",
            f"{len(texts)} TXT records stand there; verifiers refuse, or take any of them",
            "Leave one TXT record at the selector.",
            "RFC 6376 section 3.6.2.2",
        )
    for text in texts[:10]:
        _lint_one(text, found, in_use, signs_subdomains, testing)
    size = len(name) + sum(len(text) + len(text) // 255 + 13 for text in texts) + 18
    if size > 1232:
        found(
            WARNING,
            "dkim_answer_size",
            f"the answer has about {size} octets, more than UDP carries everywhere (1232)",
            "Use a key of at most 4096 bits and a shorter name.",
            "RFC 6376 section 3.3.3",
        )
    if expected is not None and texts and read_key(texts[0]).data != read_key(expected).data:
        found(
            ERROR,
            "dkim_mismatch",
            "the published key is another one than the hosts sign with",
            "Publish the hosts' key under a new selector; a selector is never used for a second key.",
            "RFC 6376 section 3.1",
        )
    return findings


def _lint_one(text: str, found: t.Callable[[str, str, str, str, str], None], in_use: bool, subdomains: bool, testing: bool) -> None:
    tags = parse_tags(text)
    for check, what in tags.faults:
        found(ERROR, f"dkim_{check}", what, _TAG_REPAIRS[check], "RFC 6376 section 3.2")
    names = [tag for tag, _ in tags.pairs]
    if "v" not in names:
        found(WARNING, "dkim_no_version", "it does not begin with v=DKIM1", f"Write {FORM}.", "RFC 6376 section 3.6.1")
    elif tags.pairs[0] != ("v", "DKIM1"):
        what = "v= is not the first tag" if tags.get("v") == "DKIM1" else f"its version is {shown(tags.get('v') or '', 20)}, not DKIM1"
        found(ERROR, "dkim_version", f"{what}: it must be discarded", f"Write {FORM}.", "RFC 6376 section 3.6.1")
    _lint_key(text, found, in_use)
    _lint_limits(tags.get("h"), tags.get("s"), found)
    flags = [flag.strip() for flag in (tags.get("t") or "").split(":") if flag.strip()]
    if "y" in flags:
        found(
            WARNING if testing else ERROR,
            "dkim_testing",
            "t=y says that the domain only tests DKIM: its mail counts as unsigned",
            "Take t=y out.",
            "RFC 6376 section 3.6.1",
        )
    if "s" in flags and subdomains:
        found(
            ERROR,
            "dkim_strict",
            "t=s forbids signatures for senders below the domain (i=), which the hosts make",
            "Take t=s out, or sign with i= equal to d=.",
            "RFC 6376 section 3.6.1",
        )
    if "g" in names:
        found(
            WARNING, "dkim_granularity", "g= was taken out of DKIM; old verifiers refuse mail by it", "Take g= out.", "RFC 6376 section C.2"
        )


def _lint_key(text: str, found: t.Callable[[str, str, str, str, str], None], in_use: bool) -> None:
    key = read_key(text)
    if key.fault:
        source = "RFC 8463 section 4" if key.kind == "ed25519" else "RFC 6376 section 3.6.1"
        found(ERROR, *key.fault, "Publish the record that dkim_key returns for this selector, whole.", source)
    if key.revoked:
        found(
            ERROR if in_use else NOTE,
            "dkim_revoked",
            "p= is empty: the key is revoked" + (", and mail is signed with it" if in_use else ""),
            "Sign with another selector." if in_use else "Nothing: it keeps the selector from being used again.",
            "RFC 6376 section 3.6.1",
        )
    if key.kind == "rsa" and key.bits is not None and not key.fault:
        if key.bits < 1024:
            found(
                ERROR,
                "dkim_bits",
                f"the key has {key.bits} bits; a verifier must refuse fewer than 1024",
                "Make a key of 2048 bits under a new selector.",
                "RFC 8301 section 3.2",
            )
        elif key.bits < 2048:
            found(
                WARNING,
                "dkim_bits",
                f"the key has {key.bits} bits",
                "Make a key of 2048 bits under a new selector.",
                "RFC 8301 section 3.2",
            )
        elif key.bits > 4096:
            found(
                ERROR,
                "dkim_bits",
                f"the key has {key.bits} bits; verifiers need not read more than 4096",
                "Make a key of 2048 bits under a new selector.",
                "RFC 8301 section 3.2",
            )


def _lint_limits(hashes: str | None, services: str | None, found: t.Callable[[str, str, str, str, str], None]) -> None:
    named = [word.strip() for word in (hashes or "").split(":")]
    if hashes is not None and "sha256" not in named:
        found(
            ERROR,
            "dkim_hash",
            f"h={shown(hashes, 40)} leaves out sha256, the only hash that may be used",
            "Take h= out, or write h=sha256.",
            "RFC 8301 section 3.1",
        )
    elif "sha1" in named:
        found(WARNING, "dkim_sha1", "h= allows sha1, which must not be used", "Write h=sha256.", "RFC 8301 section 3.1")
    named = [word.strip() for word in (services or "").split(":")]
    if services is not None and not {"*", "email"} & set(named):
        found(ERROR, "dkim_service", f"s={shown(services, 40)} does not allow mail", "Take s= out.", "RFC 6376 section 3.6.1")
    elif services is not None and "*" not in named and "tlsrpt" not in named:
        found(
            NOTE,
            "dkim_service_tlsrpt",
            "s=email does not allow this key to sign TLS reports",
            "Take s= out where you send such reports.",
            "RFC 8460 section 3",
        )


def lint_wildcard(name: str, texts: t.Sequence[str]) -> list[Finding]:
    """Return what a selector that was never published shows. texts: the TXT records that answer for it."""
    if not texts:
        return []
    return [
        Finding(
            ERROR,
            "dkim_wildcard",
            name,
            f"a selector that was never published answers {shown(texts[0], 60)}: a wildcard covers _domainkey",
            "Take the wildcard TXT record away, or publish any record at _domainkey below the domain.",
            "RFC 6376 section 6.1.2",
        )
    ]


def same(first: str, second: str) -> bool:
    """Return whether two records say the same, however they are written."""
    a, b = parse_tags(first), parse_tags(second)
    strip = {"p": re.compile(r"\s+")}

    def plain(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
        return {tag: strip[tag].sub("", value) if tag in strip else value for tag, value in pairs}

    return not (a.faults or b.faults) and plain(a.pairs) == plain(b.pairs) and a.pairs[:1] == b.pairs[:1]


def selector_name(domain: str, selector: str) -> str:
    return f"{selector}._domainkey.{domain}"

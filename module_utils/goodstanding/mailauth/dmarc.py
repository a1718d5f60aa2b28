# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DMARC records under RFC 7489 and RFC 9989: read, judged, found by either rule, and made. Pure functions over texts and answers."""

from __future__ import annotations

import re
import typing as t

from ..dnsbl import domains
from ..dnsbl.names import SubjectError
from .answers import Answers, need
from .finding import ERROR, NOTE, WARNING, Finding, Tags, parse_tags, shown

OWNER = "v=DMARC1"
POLICIES = ("none", "quarantine", "reject")
#: RFC 9989 section 4.10.
MAX_QUERIES = 8
_RECORD = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_LOOKALIKE = re.compile(r"[\"'\s]*v\s*=\s*DMARC", re.IGNORECASE)
_KNOWN = ("v", "p", "sp", "np", "psd", "t", "adkim", "aspf", "fo", "rua", "ruf")
_REMOVED = ("pct", "rf", "ri")
_MAILTO = re.compile(r"mailto:([^@\s,!;]+@([A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})+))(![0-9]+[kmgtKMGT]?)?\Z")
# What a tag may hold.
_VALUES = {
    "p": POLICIES,
    "sp": POLICIES,
    "np": POLICIES,
    "psd": ("y", "n", "u"),
    "t": ("y", "n"),
    "adkim": ("r", "s"),
    "aspf": ("r", "s"),
    "rf": ("afrf",),
}
_PLAIN = "Write v=DMARC1; p=none; rua=mailto:ADDRESS and tighten p= later."


class Policy(t.NamedTuple):
    """What applies to a domain. at: the name that has the record, None where there is none; policy: for this domain;
    organizational: by the DNS tree walk; by_suffix: by the Public Suffix List; testing: t=y or pct=0; unknown: what had no answer."""

    at: str | None
    text: str | None
    policy: str | None
    adkim: str
    aspf: str
    organizational: str
    by_suffix: str
    testing: bool
    unknown: tuple[str, ...]


def is_record(text: str) -> bool:
    return _RECORD.match(text) is not None


def records(texts: t.Iterable[str]) -> list[str]:
    return [text for text in texts if is_record(text)]


def addresses(value: str | None) -> list[tuple[str, str]]:
    """Return (address, its domain) of each mailto: of rua= or ruf=."""
    found = [_MAILTO.match(part.strip()) for part in (value or "").split(",")]
    return [(match[1], match[2].lower()) for match in found if match]


def lint(name: str, texts: t.Sequence[str], required: bool = True) -> list[Finding]:
    """Return what is wrong at _dmarc.DOMAIN. texts: every TXT value there."""

    def found(severity: str, check: str, what: str, repair: str, source: str) -> None:
        findings.append(Finding(severity, check, name, what, repair, source))

    findings: list[Finding] = []
    own = records(texts)
    for text in texts:
        if not is_record(text) and _LOOKALIKE.match(text):
            found(
                ERROR,
                "dmarc_lookalike",
                f"{shown(text, 40)} looks like a DMARC record and is none, so nobody reads it",
                "Begin it with v=DMARC1; in exactly these letters.",
                "RFC 9989 section 4.7",
            )
    if len(own) > 1:
        found(
            ERROR,
            "dmarc_several",
            f"{len(own)} DMARC records stand there: all of them are discarded",
            "Leave one.",
            "RFC 9989 section 4.10",
        )
    if not own and required:
        found(
            ERROR, "dmarc_missing", "it has no DMARC record; large receivers refuse bulk mail without one", _PLAIN, "RFC 9989 section 4.10"
        )
    for text in own[:5]:
        _lint_one(text, found)
    return findings


def _lint_one(text: str, found: t.Callable[[str, str, str, str, str], None]) -> None:
    tags = parse_tags(text)
    for check, what in tags.faults:
        found(ERROR, f"dmarc_{check}", what, "Write v=DMARC1; p=...; with each tag once and one ; between two.", "RFC 9989 section 4.7")
    policy = tags.get("p")
    if policy is None:
        found(
            ERROR,
            "dmarc_no_policy",
            "it has no p=; readers of RFC 7489 discard it"
            + (", those of RFC 9989 take it as p=none" if addresses(tags.get("rua")) else ""),
            _PLAIN,
            "RFC 7489 section 6.3",
        )
    elif len(tags.pairs) > 1 and tags.pairs[1][0] != "p":
        found(
            WARNING,
            "dmarc_order",
            "p= is not the second tag; readers of RFC 7489 may discard the record",
            "Put p= behind v=.",
            "RFC 7489 section 6.4",
        )
    for tag, value in tags.pairs:
        if tag in _VALUES and value.lower() not in _VALUES[tag]:
            found(
                ERROR,
                "dmarc_value",
                f"{tag}={shown(value, 20)} is no value of that tag",
                f"Write one of {', '.join(_VALUES[tag])}.",
                "RFC 9989 section 4.7",
            )
        elif tag in _REMOVED:
            meant = f": {value} of 100 messages is what old readers apply it to" if tag == "pct" and value != "100" else ""
            found(
                WARNING if meant else NOTE,
                "dmarc_removed_tag",
                f"{tag}= was taken out of DMARC in 2026{meant}",
                "Take it out; t=y says that a policy is only tested." if tag == "pct" else "Take it out.",
                "RFC 9989 section 4.7",
            )
        elif tag not in _KNOWN and tag != "v":
            found(
                WARNING,
                "dmarc_unknown_tag",
                f"{tag}= is no tag of DMARC and is ignored",
                "See whether it is misspelt.",
                "RFC 9989 section 4.7",
            )
    if not all(option.strip() in ("0", "1", "d", "s") for option in (tags.get("fo") or "0").split(":")):
        found(
            ERROR,
            "dmarc_value",
            f"fo={shown(tags.get('fo') or '', 20)} is no value of that tag",
            "Write 0, 1, d, s, with : between.",
            "RFC 9989 section 4.7",
        )
    for tag in ("rua", "ruf"):
        _lint_addresses(tag, tags.get(tag), found)
    if tags.get("rua") is None:
        found(
            WARNING,
            "dmarc_no_reports",
            "it asks for no reports (rua=): nobody sees what would fail",
            "Add rua=mailto:ADDRESS.",
            "RFC 9989 section 5.1.3",
        )
    if policy == "none":
        found(
            NOTE,
            "dmarc_none",
            "p=none asks receivers to do nothing about forged mail",
            "When the reports show that all of your own mail passes, go on to quarantine.",
            "RFC 9989 section 5.1",
        )
    if tags.get("t") == "y" and policy in ("quarantine", "reject"):
        found(
            NOTE,
            "dmarc_testing",
            f"t=y: p={policy} is applied one step weaker",
            "Take t=y out when the reports are clean.",
            "RFC 9989 section 4.7",
        )
    if tags.get("psd") == "y":
        found(
            ERROR,
            "dmarc_psd",
            "psd=y says that others register names below this one",
            "Take psd= out; only registries need it.",
            "RFC 9989 section 4.7",
        )


def _lint_addresses(tag: str, value: str | None, found: t.Callable[[str, str, str, str, str], None]) -> None:
    for part in (value or "").split(",") if value is not None else []:
        match = _MAILTO.match(part.strip())
        if not match and re.match(r"https?:", part.strip(), re.IGNORECASE):
            found(
                WARNING,
                "dmarc_uri",
                f"{tag}= names {shown(part.strip(), 60)}; reports come by mailto: only",
                "Name a mailto: address.",
                "RFC 9990 section 3.2",
            )
        elif not match:
            found(
                ERROR,
                "dmarc_uri",
                f"{tag}= names {shown(part.strip(), 60)}, which is no mailto: address",
                "Write mailto:ADDRESS, with , between two.",
                "RFC 9989 section 4.7",
            )
        elif match[3]:
            found(
                NOTE,
                "dmarc_size",
                f"{tag}= limits the size of a report ({match[3]}), which is ignored now",
                "Take it out.",
                "RFC 9989 section 4.7",
            )


def dmarc_name(domain: str) -> str:
    return f"_dmarc.{domain}"


def walk_names(domain: str) -> list[str]:
    """Return the domains that the tree walk asks, longest first (RFC 9989 section 4.10)."""
    labels = domain.split(".")
    rest = [".".join(labels[at:]) for at in range(max(1, len(labels) - (MAX_QUERIES - 1)), len(labels))]
    return [domain, *rest]


def by_suffix(domain: str) -> str:
    """Return the organizational domain by the Public Suffix List (RFC 7489 section 3.2); a public suffix is its own."""
    try:
        return domains.registered(domain)
    except SubjectError:
        return domain


def _walk(domain: str, answers: Answers) -> tuple[list[tuple[str, Tags]], list[str]]:
    """Return (domain, record) where the tree walk finds one, longest first, and the questions that had no answer."""
    names = walk_names(domain)
    replies = need(answers, *((dmarc_name(name), "TXT") for name in names))
    found: list[tuple[str, Tags]] = []
    unknown = []
    for name, reply in zip(names, replies):
        if not reply.known:
            unknown.append(f"{dmarc_name(name)} TXT: {reply.why}")
            continue
        own = records(reply.values)
        if len(own) != 1:
            continue
        tags = parse_tags(own[0])
        found.append((name, tags))
        if tags.get("psd") in ("y", "n"):
            break
    return found, unknown


def _organizational(domain: str, found: list[tuple[str, Tags]]) -> str:
    """Return the organizational domain by the tree walk (RFC 9989 section 4.10.2)."""
    for name, tags in found:
        if tags.get("psd") == "n":
            return name
        if tags.get("psd") == "y" and name != domain:
            below = domain.removesuffix(f".{name}").rpartition(".")[2]
            return f"{below}.{name}"
    return found[-1][0] if found else domain


def policy(domain: str, answers: Answers) -> Policy:
    """Return what applies to a domain in From:. Unanswered where questions are still open."""
    found, unknown = _walk(domain, answers)
    org = _organizational(domain, found)
    # The domain's own record, else that of its organizational domain, else that of the registry above (psd=y).
    order = [domain, org, *(name for name, tags in found if tags.get("psd") == "y")]
    at = next((name for name in order if any(name == each for each, _ in found)), None)
    if at is None:
        return Policy(None, None, None, "r", "r", org, by_suffix(domain), False, tuple(unknown))
    tags = next(tags for name, tags in found if name == at)
    (reply,) = need(answers, (dmarc_name(at), "TXT"))
    value = (tags.get("p") or ("none" if addresses(tags.get("rua")) else "")).lower()
    if at != domain:
        value = (tags.get("sp") or value).lower()
    return Policy(
        at,
        records(reply.values)[0],
        value if value in POLICIES else None,
        (tags.get("adkim") or "r").lower(),
        (tags.get("aspf") or "r").lower(),
        org,
        by_suffix(domain),
        (tags.get("t") or "").lower() == "y" or tags.get("pct") == "0",
        tuple(unknown),
    )


def aligned(author: str, other: str, mode: str, answers: Answers) -> tuple[bool | None, bool]:
    """Return whether two domains are aligned by RFC 9989 (None: an answer is missing that could make them so) and by RFC 7489.

    mode: r or s.
    """
    if author == other:
        return True, True
    if mode == "s":
        return False, False
    (first, lost), (second, missed) = _walk(author, answers), _walk(other, answers)
    walked = _organizational(author, first) == _organizational(other, second)
    return None if lost or missed else walked, by_suffix(author) == by_suffix(other)


def report_name(domain: str, destination: str) -> str:
    """Return where the receiver of reports says that it wants those of a domain (RFC 9990 section 4)."""
    return f"{domain}._report._dmarc.{destination}"


def outside(domain: str, value: str | None) -> list[str]:
    """Return the domains of rua= or ruf= that must agree to receive reports: those of another organization."""
    own = by_suffix(domain)
    return sorted({destination for _, destination in addresses(value) if by_suffix(destination) != own})


def make(present: str | None, wanted: t.Mapping[str, str | None]) -> str:
    """Return a record that both RFCs read. Tags of wanted replace those of present (None takes one out); what neither names stays."""
    tags = dict(parse_tags(present).pairs) if present else {}
    if tags.get("pct") == "0" and "t" not in wanted:
        tags["t"] = "y"
    tags = {tag: value for tag, value in tags.items() if tag not in (*_REMOVED, "v")}
    tags.update({tag: value for tag, value in wanted.items() if value is not None})
    for tag, value in wanted.items():
        if value is None:
            tags.pop(tag, None)
    order = [tag for tag in _KNOWN if tag in tags] + [tag for tag in tags if tag not in _KNOWN]
    return "; ".join([OWNER, *(f"{tag}={tags[tag]}" for tag in order)])


def step(text: str, tag: str = "p") -> int:
    """Return how far a record goes: 0 none, 1 quarantine, 2 reject; one less where it is applied to a part of the mail only.

    tag: p, or sp and np, for which the one before them stands where they are missing (RFC 9989 section 4.7).
    """
    tags = parse_tags(text)
    chain = ("np", "sp", "p")
    value = next((found for each in chain[chain.index(tag) :] if (found := tags.get(each))), "none").lower()
    at = POLICIES.index(value) if value in POLICIES else 0
    partly = (tags.get("t") or "").lower() == "y" or tags.get("pct") not in (None, "100")
    return max(0, at - partly)

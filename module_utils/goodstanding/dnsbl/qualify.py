# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a list can be believed through a resolver: both pass a test of their own first. Standard library only, Python >= 3.9.

RFC 5782 section 5 gives the points that a list must and must not contain; a random name shows a list that contains everything.
"""

from __future__ import annotations

import ipaddress
import secrets
import typing as t

from .interpret import Meaning, interpret, origin
from .names import point_labels
from .wire import Answer

#: Resolvers that everybody may use, and that many lists refuse.
PUBLIC_RESOLVERS = frozenset(
    (
        "8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "149.112.112.112", "208.67.222.222", "208.67.220.220",
        "2001:4860:4860::8888", "2001:4860:4860::8844", "2606:4700:4700::1111", "2606:4700:4700::1001", "2620:fe::fe", "2620:fe::9",
    )
)  # fmt: skip
OWN_RESOLVER = "Set reputation_resolver to a resolver of your own that asks the name servers itself and forwards to none."
FILTERED = (
    "the resolver takes answers of 127.0.0.0/8 away (unbound: private-address, dnsmasq: stop-dns-rebind, BIND: deny-answer-addresses): "
    "every list would look clean through it"
)
UNFILTER = (
    "Exempt the zones of the lists there (unbound: private-domain, dnsmasq: rebind-domain-ok, BIND: except-from), "
    "or set another reputation_resolver."
)
_LISTING = ("listed", "listed_unknown_code", "allowed", "score")


class Verdict(t.NamedTuple):
    """why: a sentence where the list cannot be believed; fault: filtered, refused or other; soa: owner that a name not on it shows;
    absence: whether not being on it proves anything."""

    why: str | None
    repair: str | None = None
    fault: str | None = None
    soa: str | None = None
    absence: bool = False


def probes(row: dict[str, t.Any], family: str) -> dict[str, bytes]:
    """Return the names to ask, in wire form without the zone: positive, negative and wildcard; the zone itself is asked for its SOA."""
    test = row["test"][family]
    names = {kind: point_labels(test[kind]) for kind in ("positive", "negative") if test[kind] is not None}
    return {**names, "wildcard": _random(family)}


def _random(family: str) -> bytes:
    """Return a name that no list has a reason to contain: of 127.128.0.0/9, of 2001:db8::/32, or below .invalid."""
    if family == "ipv4":
        return point_labels(str(ipaddress.IPv4Address((127 << 24) + (1 << 23) + secrets.randbelow(1 << 23))))
    if family == "ipv6":
        return point_labels(str(ipaddress.IPv6Address((0x20010DB8 << 96) + secrets.randbits(96))))
    return point_labels(f"{secrets.token_hex(10)}.invalid")


def random_name() -> str:
    """Return a name that does not exist (RFC 6761 section 6.4)."""
    return f"{secrets.token_hex(8)}.invalid"


def resolver_fault(answer: Answer, resolver: str) -> tuple[str, str] | None:
    """Return (why, repair) where a resolver cannot be believed, or None. answer: to random_name()."""
    if answer.rcode == "NXDOMAIN":
        return None
    if answer.rcode == "TIMEOUT":
        return f"the resolver {resolver} does not answer", "Set reputation_resolver to one that this machine may ask."
    if answer.rcode == "REFUSED":
        return (
            f"the resolver {resolver} refuses this machine",
            "Allow it there (unbound: access-control), or set another reputation_resolver.",
        )
    if answer.rcode == "NOERROR":
        what = f"answers {' '.join(answer.addresses) or 'that it exists'}"
        return f"the resolver {resolver} rewrites answers: it {what} for a name that cannot exist", OWN_RESOLVER
    return f"the resolver {resolver} answers {answer.rcode} for a name that cannot exist", OWN_RESOLVER


def judge(row: dict[str, t.Any], family: str, answers: dict[str, Answer]) -> Verdict:
    """Return whether a list can be believed. answers: to probes(), and to the SOA question for the zone under the name soa."""
    absent = answers.get("negative", answers["wildcard"])
    soa = _owner(absent, row["zone"])
    meant = {kind: interpret(answer, row, soa) for kind, answer in answers.items() if kind != "soa"}
    failed = _spoken(row, meant) or _silent(row, answers, meant, soa)
    if failed is None and "positive" in meant:
        failed = _positive(row, family, meant["positive"])
    return failed or Verdict(None, soa=soa, absence="positive" in meant)


def _owner(absent: Answer, zone: str) -> str | None:
    """Return the owner of the SOA, where it is the zone or above it and no top-level domain."""
    owner = absent.soa
    if owner is None or absent.addresses or absent.rcode not in ("NXDOMAIN", "NOERROR") or owner.count(".") < 2:
        return None
    # A key before the zone may be a part of the owner.
    inside = f".{zone}.".endswith("." + owner) or owner.endswith(f".{zone}.")
    # A resolver may lead a public zone to its keyed one by a CNAME.
    inside = inside or (absent.target is not None and f".{absent.target}".endswith("." + owner))
    return owner if inside else None


def _spoken(row: dict[str, t.Any], meant: dict[str, Meaning]) -> Verdict | None:
    """What an answer itself says: a refusal, a parked zone, a list of everything."""
    for kind, meaning in meant.items():
        if meaning.outcome == "refused":
            return Verdict(f"it refuses this resolver: {'; '.join(meaning.meanings)} ({' '.join(meaning.codes)})", _access(row), "refused")
        if meaning.outcome == "hijacked":
            return Verdict(f"its {kind} test answers {' '.join(meaning.codes)}, which is no code: its zone is parked or rewritten",
                           f"Ask through another resolver; where it answers the same, switch {row['zone']} off.", "other")  # fmt: skip
    for kind, what in (("wildcard", "a random name"), ("negative", f"its test point {row['zone']} must not contain")):
        if kind in meant and meant[kind].outcome in _LISTING:
            codes = " ".join(meant[kind].codes)
            return Verdict(f"it lists {what} ({codes}), so everything", f"Switch {row['zone']} off with reputation_overrides.", "other")
    return None


def _silent(row: dict[str, t.Any], answers: dict[str, Answer], meant: dict[str, Meaning], soa: str | None) -> Verdict | None:
    """What the silence of an answer says."""
    for kind, meaning in meant.items():
        if meaning.outcome in ("timeout", "servfail", "refused_dns"):
            answer = {"timeout": "gives no answer", "servfail": "answers SERVFAIL"}.get(meaning.outcome, f"answers {answers[kind].rcode}")
            filtered = kind == "positive" and meaning.outcome == "servfail" and soa is not None and row["access"] != "register"
            if filtered:
                return Verdict(f"its positive test point answers SERVFAIL and its negative one is fine: {FILTERED}", UNFILTER, "filtered")
            return Verdict(f"its {kind} test {answer}", _access(row), "other")
    positive = answers.get("positive")
    if positive and positive.rcode == "NOERROR" and not positive.addresses and positive.soa is None:
        return Verdict(f"its positive test point exists and has no address: {FILTERED}", UNFILTER, "filtered")
    if answers["soa"].rcode == "NXDOMAIN" or soa is None:
        why = f"its zone is gone: the answer comes from {origin(answers.get('negative', answers['wildcard']))}"
        return Verdict(why, f"Switch {row['zone']} off with reputation_overrides.", "other")
    return None


def _positive(row: dict[str, t.Any], family: str, meaning: Meaning) -> Verdict | None:
    point, expected = row["test"][family]["positive"], row["test"][family].get("codes", [])
    if meaning.outcome not in _LISTING:
        why = f"its test point {point} is not on it: the list is empty, dead, or this resolver is kept from it"
        return Verdict(why, f"{_access(row)} Where the list is dead, switch {row['zone']} off.", "other")
    if expected and not set(expected) & set(meaning.codes):
        why = f"its test point {point} answers {' '.join(meaning.codes)} instead of {' or '.join(expected)}"
        return Verdict(why, f"See the operator's page and correct the codes of {row['zone']}.", "other")
    return None


def _access(row: dict[str, t.Any]) -> str:
    note = row.get("access_note") or {"register": "Register the resolver's address with the operator.", "key": "Check the key."}.get(
        row["access"]
    )
    return " ".join(part for part in (note or OWN_RESOLVER, row.get("access_url")) if part)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer of a list means: one of the outcomes of the design, never just yes or no."""

from __future__ import annotations

import ipaddress
import typing as t

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


class Answer(t.NamedTuple):
    """What came back. rcode: NOERROR, NXDOMAIN, SERVFAIL, REFUSED ..., or TIMEOUT; soa: owner of the SOA in the authority section."""

    rcode: str
    addresses: tuple[str, ...] = ()
    ttl: int | None = None
    soa: str | None = None


class Meaning(t.NamedTuple):
    """outcome by the names of the design; meanings: one sentence a code."""

    outcome: str
    codes: tuple[str, ...] = ()
    meanings: tuple[str, ...] = ()


def interpret(answer: Answer, row: dict[str, t.Any]) -> Meaning:
    """Return what a list's answer means. row: the list's entry in the catalogue."""
    if answer.rcode == "TIMEOUT":
        return Meaning("timeout")
    if answer.rcode == "SERVFAIL":
        return Meaning("servfail")
    if answer.rcode == "NXDOMAIN" or (answer.rcode == "NOERROR" and not answer.addresses):
        inside = answer.soa is not None and in_zone(answer.soa, row["zone"])
        return Meaning("clean" if inside else "zone_gone")
    if answer.rcode != "NOERROR":
        return Meaning("refused_dns", meanings=(f"the resolver answered {answer.rcode}",))
    codes = tuple(sorted(answer.addresses, key=ipaddress.IPv4Address))
    if any(ipaddress.IPv4Address(code) not in LOOPBACK for code in codes):
        return Meaning("hijacked", codes, ("the answer is no code of a list: the zone is parked, or the resolver rewrites answers",))
    refusals = {code: row.get("refusals", {}).get(code) for code in codes}
    for code, reason in refusals.items():
        if reason or code.startswith("127.255.255."):
            return Meaning("refused", codes, (reason or "the list refused the question",))
    known = [row["codes"].get(code) or row.get("any_code") for code in codes]
    meanings = tuple(text or f"the list's meaning of {code} is not known" for code, text in zip(codes, known, strict=True))
    if row["kind"] == "allow":
        return Meaning("allowed", codes, meanings)
    if row["kind"] == "score":
        return Meaning("score", codes, meanings)
    return Meaning("listed" if any(known) else "listed_unknown_code", codes, meanings)


def in_zone(name: str, zone: str) -> bool:
    """Return whether a name is the zone or below it."""
    name, zone = name.rstrip(".").lower(), zone.rstrip(".").lower()
    return name == zone or name.endswith("." + zone)

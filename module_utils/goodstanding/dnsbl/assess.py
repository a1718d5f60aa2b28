# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where addresses stand on lists: the resolver and each list pass a test of their own before an answer is believed."""

from __future__ import annotations

import secrets
import time
import typing as t

from .asker import Asker, gather
from .interpret import Answer, Meaning, interpret
from .names import Address, family, query_name, test_points

_LATE = Answer("TIMEOUT")


async def assess(
    asker: Asker, rows: list[dict[str, t.Any]], addresses: list[tuple[Address, str | None]], deadline: float
) -> dict[str, t.Any]:
    """Ask about every (address, host) on every list; see the module ip_reputation_info for the shape of the result."""
    end = time.monotonic() + deadline

    def left() -> float:
        return end - time.monotonic()

    why_resolver = await resolver_fault(asker)
    why = dict.fromkeys((row["zone"] for row in rows), why_resolver)
    if why_resolver is None:
        faults = await gather(left(), [list_fault(asker, row) for row in rows], "its self-test did not end in time")
        why = {row["zone"]: fault for row, fault in zip(rows, faults, strict=True)}

    pairs = [(address, row) for address, _ in addresses for row in rows if family(address) in row["families"]]
    asked = [(address, row) for address, row in pairs if why[row["zone"]] is None]
    answers = await gather(left(), [asker.addresses(query_name(address, row["zone"])) for address, row in asked], _LATE)
    meanings = {(address, row["zone"]): interpret(answer, row) for (address, row), answer in zip(asked, answers, strict=True)}
    ttls = {(address, row["zone"]): answer.ttl for (address, row), answer in zip(asked, answers, strict=True)}

    told = [(address, row) for address, row in asked if meanings[address, row["zone"]].codes]
    texts = await gather(left(), [asker.text(query_name(address, row["zone"])) for address, row in told], None)
    reasons = {(address, row["zone"]): text for (address, row), text in zip(told, texts, strict=True)}

    def listing(address: Address, row: dict[str, t.Any]) -> dict[str, t.Any]:
        key = (address, row["zone"])
        meaning = meanings.get(key, Meaning("unqualified", meanings=(why[row["zone"]] or "",)))
        listed = meaning.outcome.startswith("listed")
        return {
            "list": row["name"],
            "zone": row["zone"],
            "kind": row["kind"],
            "tier": row["tier"],
            "outcome": meaning.outcome,
            "codes": list(meaning.codes),
            "meanings": list(meaning.meanings),
            "reason": reasons.get(key),
            "ttl": ttls.get(key),
            "repair": row["repair"] if listed else None,
            "delist_url": row["delist_url"] if listed else None,
        }

    return {
        "addresses": [
            {
                "address": str(address),
                "host": host,
                "listings": [listing(address, row) for row in rows if family(address) in row["families"]],
            }
            for address, host in addresses
        ],
        "lists": [
            {"list": row["name"], "zone": row["zone"], "qualified": why[row["zone"]] is None, "why": why[row["zone"]]} for row in rows
        ],
        "resolver": {"address": f"{asker.resolver}#{asker.port}", "qualified": why_resolver is None, "why": why_resolver},
    }


async def resolver_fault(asker: Asker) -> str | None:
    """Return why a resolver cannot be believed, or None. A name below .invalid does not exist (RFC 6761 section 6.4)."""
    name = f"{secrets.token_hex(8)}.invalid."
    answer = await asker.addresses(name)
    where = f"the resolver {asker.resolver}, port {asker.port},"
    if answer.rcode == "TIMEOUT":
        return f"{where} does not answer: set reputation_resolver to one that this machine may ask"
    if answer.rcode != "NXDOMAIN":
        return f"{where} answers {answer.rcode} {' '.join(answer.addresses)} for a name that cannot exist: it rewrites answers"
    return None


async def list_fault(asker: Asker, row: dict[str, t.Any]) -> str | None:
    """Return why a list cannot be believed through this resolver, or None: it must contain one test point and not the other."""
    present, absent = test_points(row["families"])
    listed = await asker.addresses(query_name(present, row["zone"]))
    meaning = interpret(listed, row)
    if meaning.outcome not in ("listed", "listed_unknown_code", "allowed", "score"):
        detail = f" ({'; '.join(meaning.meanings)})" if meaning.meanings else ""
        return f"its test point {present} answers {meaning.outcome}{detail} instead of a listing"
    clean = interpret(await asker.addresses(query_name(absent, row["zone"])), row)
    if clean.outcome != "clean":
        return f"its test point {absent} answers {clean.outcome} instead of clean"
    return None

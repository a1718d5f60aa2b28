# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer of a list means: one of the outcomes of the design, never just yes or no. Standard library only, Python >= 3.9."""

from __future__ import annotations

import typing as t

from .wire import Answer

BLOCK, ALLOW, SCORE, INFORMATIONAL = "block", "allow", "score", "informational"
#: The outcomes that name a subject.
LISTED = ("listed", "listed_unknown_code")
#: What an answer can mean, the gravest first where one answer holds several codes.
_GRAVITY = (*LISTED, "allowed", "score", "unqualified")
_BY_KIND = {BLOCK: "listed", ALLOW: "allowed", SCORE: "score", INFORMATIONAL: "listed"}
_BY_WORD = {"listed": "listed", "allowed": "allowed", "neutral": "score"}


class Meaning(t.NamedTuple):
    """outcome by the names of the design; codes: the A records; meanings: one sentence a code; scope: address, net, asn or policy."""

    outcome: str
    codes: tuple[str, ...] = ()
    meanings: tuple[str, ...] = ()
    scope: str | None = None


CLEAN, TIMED_OUT, SERVFAIL = Meaning("clean"), Meaning("timeout"), Meaning("servfail")


def interpret(answer: Answer, row: dict[str, t.Any], soa: str | None) -> Meaning:
    """Return what a list's answer means. row: the list's entry in the catalogue; soa: the SOA owner that its negative test point showed."""
    if answer.rcode == "TIMEOUT":
        return TIMED_OUT
    if answer.rcode == "SERVFAIL":
        return SERVFAIL
    if answer.rcode == "NXDOMAIN" and answer.addresses:
        return Meaning("hijacked", answer.addresses, ("the answer says that the name does not exist, and gives it an address",))
    if answer.rcode == "NXDOMAIN" or (answer.rcode == "NOERROR" and not answer.addresses):
        if soa is not None and answer.soa == soa:
            return CLEAN
        return Meaning("zone_gone", meanings=(f"the answer comes from {origin(answer)}, not from the zone of {row['zone']}",))
    if answer.rcode != "NOERROR":
        return Meaning("refused_dns", meanings=(f"the server answered {answer.rcode}",))
    codes = tuple(sorted(answer.addresses, key=octets))
    if any(octets(code)[0] != 127 for code in codes):
        return Meaning("hijacked", codes, ("the answer is no code of a list: the zone is parked, or the resolver rewrites answers",))
    refused = tuple(reason for reason in (refusal(code, row) for code in codes) if reason)
    if refused:
        return Meaning("refused", codes, refused)
    read = [_read(code, row) for code in codes]
    outcome = min((outcome for outcome, _, _ in read), key=_GRAVITY.index)
    scopes = [scope for each, _, scope in read if each == outcome]
    return Meaning(outcome, codes, tuple(text for _, text, _ in read), "address" if "address" in scopes else scopes[0])


def origin(answer: Answer) -> str:
    """Return the zone that an answer comes from, as it may be shown: a CNAME of the resolver may lead to a name with a key in it."""
    return "where a CNAME leads" if answer.target else answer.soa or "no zone at all"


def octets(code: str) -> tuple[int, ...]:
    """Return the four numbers of an A record."""
    return tuple(map(int, code.split(".")))


def refusal(code: str, row: dict[str, t.Any]) -> str | None:
    """Return why the list did not answer the question, or None where the code is an answer."""
    known: str | dict[str, str] | None = row.get("refusals", {}).get(code)
    if known:
        return known if isinstance(known, str) else known["text"]
    if code.startswith("127.255.255."):
        return "the list refused the question"
    if code.startswith("127.0.0.") and any(octets(code)[3] & bit for bit in row.get("refusal_bits", [])):
        return "the resolver that asked is refused"
    return None


def _read(code: str, row: dict[str, t.Any]) -> tuple[str, str, str]:
    """Return (outcome, text, scope) of one code that is no refusal."""
    usual = _BY_KIND[row["kind"]]
    known = row["codes"].get(code)
    if isinstance(known, dict):
        return _BY_WORD.get(known.get("means", ""), usual), known["text"], known.get("scope", "address")
    if known:
        return usual, known, "address"
    text = _bits(code, row) or _trust(code, row) or _score(code, row) or row.get("any_code")
    if text:
        return usual if "score" not in row else "score", text, "address"
    # An unknown word of a list of good senders is no listing.
    unknown = "listed_unknown_code" if usual == "listed" else "unqualified"
    return unknown, f"the list's meaning of {code} is not known", "address"


def _bits(code: str, row: dict[str, t.Any]) -> str | None:
    """Return what each bit of the last octet means; None where one of them is not known."""
    last = octets(code)[3]
    bits = [1 << place for place in range(8) if last >> place & 1]
    known = [row.get("bits", {}).get(str(bit)) for bit in bits]
    return ", ".join(known) if code.startswith("127.0.0.") and known and all(known) else None


def _trust(code: str, row: dict[str, t.Any]) -> str | None:
    _, second, category, trust = octets(code)
    table = row.get("category_trust")
    if not table or second or str(category) not in table["categories"] or str(trust) not in table["trusts"]:
        return None
    return f"{table['categories'][str(category)]}, {table['trusts'][str(trust)]}"


def _score(code: str, row: dict[str, t.Any]) -> str | None:
    net = row.get("score", {}).get("net")
    inside = net and code.rpartition(".")[0] == net.rpartition(".")[0] and octets(code)[3] <= 100
    return f"{octets(code)[3]} ({row['score']['text']})" if inside else None

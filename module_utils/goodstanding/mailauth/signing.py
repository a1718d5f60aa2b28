# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys a domain's mail is signed with, by what the hosts' signers did with a message of it. Pure functions."""

from __future__ import annotations

import typing as t

from ..dnsbl import domains as names
from ..dnsbl.names import SubjectError
from .receivers import DOES_NOT, UNKNOWN
from .view import Selector


def in_use(
    domain: str, named: tuple[Selector, ...], signers: t.Mapping[str, dict[str, t.Any]]
) -> tuple[tuple[Selector, ...], tuple[tuple[str, str], ...]]:
    """Return the selectors that sign a domain's mail, and (state, why) of each host that leaves some unsigned or could not be asked.

    named: those that the inventory names; where it does, another machine may sign, and a host that does not is no gap. signers: per host
    that sends for the domain, what dkim_signing_info returned, or a failed one.
    """
    found = {(each.domain, each.selector): each for each in named}
    gaps = []
    for host, proof in sorted(signers.items()):
        probe = next((row for row in proof.get("probes") or [] if row["domain"] == domain), None)
        if probe is None:
            gaps.append((UNKNOWN, f"{host}: {proof.get('msg') or 'its signer was not asked about this domain'}"))
            continue
        if not probe["signatures"]:
            faults = "; ".join(probe["faults"])
            silent = "does not answer" in faults
            gaps.append((UNKNOWN, f"{host}: {faults}") if silent else (DOES_NOT, f"mail of {domain} leaves {host} unsigned"))
        elif proof.get("unasked"):
            gaps.append((DOES_NOT, f"{host}: {proof['unasked'][0]}"))
        book = {(key["domain"], key["selector"].lower()): key["record"] for key in proof.get("keys") or []}
        for signature in probe["signatures"]:
            try:
                signs, selector = names.parse(signature["domain"]), signature["selector"].lower()
            except SubjectError:
                gaps.append((DOES_NOT, f"{host} signs mail of {domain} for something that is no domain"))
                continue
            known = found.get((signs, selector), Selector(signs, selector))
            found[(signs, selector)] = known._replace(record=known.record or book.get((signs, selector)))
    return tuple(found.values()), () if named else tuple(gaps)

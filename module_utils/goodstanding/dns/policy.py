# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration for name servers that limits a TSIG key to the names that it manages, as text for their administrator."""

from __future__ import annotations

import typing as t

from . import wire
from .records import Wanted


class Grant(t.NamedTuple):
    """What a key may change: a name, or all at and below it, and which types."""

    name: bytes
    below: bool
    kinds: tuple[int, ...]


def grants(wanted: t.Iterable[Wanted]) -> list[Grant]:
    """Return what a key must be let change for these records: each name with its types, and DKIM's as one, since selectors change."""
    found: dict[tuple[bytes, bool], set[int]] = {}
    for entry in wanted:
        at = entry.name.find(b"\x0a_domainkey")
        found.setdefault((entry.name[max(at, 0) :], at >= 0), set()).add(entry.kind)
    return [Grant(name, below, tuple(sorted(kinds))) for (name, below), kinds in sorted(found.items())]


def lines(key: str, grants: list[Grant]) -> dict[str, str]:
    """Return what limits a key to these grants, for bind and for knot."""
    return {"bind": bind(key, grants), "knot": knot(key, grants)}


def bind(key: str, grants: list[Grant]) -> str:
    """Return an update-policy for a zone of BIND; what is not granted is denied."""
    lines = [
        f"    grant {key} {'subdomain' if grant.below else 'name'} {wire.text(grant.name)} {' '.join(map(wire.kind_text, grant.kinds))};"
        for grant in grants
    ]
    return "update-policy {\n" + "\n".join(lines) + "\n};\n"


def knot(key: str, grants: list[Grant]) -> str:
    """Return acl entries for Knot, one for each grant; the zone's acl must list them all."""
    text = "acl:\n"
    for number, grant in enumerate(grants, 1):
        text += (
            f"  - id: {key}-{number}\n    key: {key}\n    action: update\n"
            f"    update-type: [{', '.join(map(wire.kind_text, grant.kinds))}]\n    update-owner: name\n"
            f"    update-owner-match: {'sub-or-equal' if grant.below else 'equal'}\n    update-owner-name: [{wire.text(grant.name)}]\n"
        )
    return text

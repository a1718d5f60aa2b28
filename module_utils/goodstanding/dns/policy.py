# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration for name servers that limits a TSIG key to the names that it manages, as text for their administrator."""

from __future__ import annotations

import typing as t

from . import wire


class Grant(t.NamedTuple):
    """What a key may change: a name, or all at and below it, and which types."""

    name: bytes
    below: bool
    kinds: tuple[int, ...]


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

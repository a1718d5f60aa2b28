# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of zones that are not ours to write: what their owner must do, ready to paste, kept open until it is proven."""

from __future__ import annotations

import typing as t

from . import wire
from .plan import Change, lines


def open_points(zone: bytes, changes: list[Change], owner: str, where: str, view: str = "") -> list[dict[str, t.Any]]:
    """Return one row for each value that its owner must add or remove."""
    points = []
    for change in changes:
        old = set(change.before.values) if change.before else set()
        new = set(change.after.values) if change.after else set()
        keep = old & new
        for action, values, rrset in (("remove", old - new, change.before), ("add", new - old, change.after)):
            for value in sorted(values):
                assert rrset is not None
                points.append(_point(zone, change, action, value, rrset.ttl, len(keep), owner, where, view))
        if not old ^ new and change.after is not None:
            points.append(_point(zone, change, "set the TTL of", change.after.values[0], change.after.ttl, 0, owner, where, view))
    return points


def _point(
    zone: bytes, change: Change, action: str, value: bytes, ttl: int, keep: int, owner: str, where: str, view: str
) -> dict[str, t.Any]:
    name, kind = change.key
    plain = wire.joined(value).decode("utf-8", "replace") if kind == wire.TXT else wire.value_text(kind, value)
    relative = wire.show(name[: len(name) - len(zone)] + b"\0") if name != zone else "@"
    line = lines(change.key, wire.RRset(ttl, (value,)))[0]
    who = owner or f"the owner of {wire.show(zone)}"
    place = where or f"the DNS of {wire.show(zone)}"
    beside = f"; the {keep} other values of this name stay" if keep else ""
    return {
        "zone": wire.show(zone),
        "view": view,
        "name": wire.show(name),
        "host": relative,
        "type": wire.kind_text(kind),
        "ttl": ttl,
        "action": action,
        "value": plain,
        "line": line,
        "owner": owner,
        "where": where,
        "text": f"{who}: in {place}, {action} {wire.kind_text(kind)} {relative} = {plain}{beside}",
    }

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules are given: zones with their servers and keys, and records, each put into the zone that it is in."""

from __future__ import annotations

import typing as t

from . import propagation, wire
from .ask import Server
from .plan import Purge
from .records import DEFAULT_TTL, RecordError, Wanted, key_from, read
from .run import Job, Settings, undo_changes
from .tsig import Key

Row = t.Mapping[str, t.Any]


def zone_name(name: str) -> bytes:
    try:
        return wire.pack(name)
    except ValueError as exc:
        raise RecordError(f"zone: {exc}") from None


def key_of(row: Row) -> Key | None:
    """Return the TSIG key of a zone or server; ValueError where it cannot be used. Its text holds no secret."""
    name, secret = row.get("key_name"), row.get("key_secret")
    if not name and not secret:
        return None
    if not name or not secret:
        raise RecordError(f"{row.get('name') or row.get('address')}: a TSIG key needs key_name and key_secret, both")
    return Key(str(name), str(secret), str(row.get("key_algorithm") or "hmac-sha256"))


def server_of(row: Row, address: str, port: t.Any = None) -> Server:
    import ipaddress

    try:
        plain = str(ipaddress.ip_address(address))
    except ValueError:
        raise RecordError(f"{address!r} is no address: name servers are given by address, so that no lookup decides who is asked") from None
    return Server(plain, int(port or row.get("port") or 53), key_of(row), row.get("source") or "")


def settings(row: Row, resolver: Server | None) -> Settings:
    name = zone_name(str(row["name"]))
    backend = row.get("backend") or "rfc2136"
    primary = server_of(row, str(row["primary"])) if row.get("primary") and backend == "rfc2136" else None
    servers = tuple(server_of({**each, "name": row["name"]}, str(each["address"])) for each in row.get("servers") or [])
    ttl = row.get("ttl")
    return Settings(
        name, row.get("view") or "", backend, primary, row.get("read") or "auto", servers, resolver, row.get("owner") or "",
        row.get("where") or "", DEFAULT_TTL if ttl is None else ttl,
    )  # fmt: skip


def authorities(row: Row, resolver: Server | None) -> tuple[list[propagation.Authority], list[str]]:
    """Return the servers of a zone, those that are given and those that the DNS names, and what is not known of them."""
    known = [propagation.Authority(server_of(each, each["address"]), (), each.get("view") or "") for each in row.get("servers") or []]
    if not row.get("discover", True):
        return known, []
    found = propagation.discover(zone_name(str(row["name"])), resolver)
    configured = {(each.server.address, each.server.port) for each in known if not each.view}
    return known + [each for each in found.servers if (each.server.address, each.server.port) not in configured], found.faults


def networks(rows: t.Iterable[Row]) -> dict[bytes, str | None]:
    """Return the zones, each with the network it answers for where that is given."""
    return {zone_name(str(row["name"])): row.get("network") for row in rows}


def wanted_by_zone(rows: t.Iterable[Row], zones: t.Mapping[bytes, str | None]) -> tuple[dict[bytes, list[Wanted]], list[str]]:
    """Return the records by the zone that they are in, the longest that fits or the one they name; and what is wrong with the rest."""
    found: dict[bytes, list[Wanted]] = {zone: [] for zone in zones}
    faults = []
    for row in rows:
        try:
            wanted = read(row, zones)
            zone = zone_name(str(row["zone"])) if row.get("zone") else _longest(wanted.name, zones)
            if zone is None or zone not in found:
                names = ", ".join(map(wire.show, list(zones)[:10])) or "none"
                raise RecordError(f"{wanted.label} is in none of the zones that are given ({names}): give its zone")
            found[zone].append(wanted)
        except RecordError as exc:
            faults.append(str(exc))
    return found, faults


def _longest(name: bytes, zones: t.Mapping[bytes, str | None]) -> bytes | None:
    while True:
        if name in zones:
            return name
        if not name[0]:
            return None
        name = wire.parent(name)


def jobs(params: Row) -> tuple[list[Job], list[str]]:
    """Return what is to be done zone by zone, and what is wrong with what was given."""
    resolver = server_of({}, str(params["resolver"]), params.get("resolver_port")) if params.get("resolver") else None
    zones = [settings(row, resolver) for row in params["zones"]]
    given = {(zone.name, zone.view) for zone in zones}
    if len(given) != len(zones):
        raise RecordError("a zone is given twice: give each once, or each of its views with a name of its own")
    wanted, faults = wanted_by_zone(params["records"], networks(params["zones"]))
    purges = [(zone_name(str(row["below"])), Purge(zone_name(str(row["below"])), _kinds(row))) for row in params.get("purge") or []]
    known = {zone.name: None for zone in zones}
    undo = params.get("undo")
    found = []
    for zone in zones:
        mine = [entry for entry in wanted[zone.name] if entry.view in ("", zone.view)]
        purge = [each for below, each in purges if _longest(below, known) == zone.name]
        back = None
        if undo is not None:
            rows = [row for row in undo if zone_name(str(row["zone"])) == zone.name and (row.get("view") or "") == zone.view]
            back = undo_changes(change for row in rows for change in row["changes"])
        take_back = params.get("unfinished") == "undo"
        found.append(
            Job(zone, [] if take_back or undo is not None else mine, [] if undo is not None or take_back else purge, back, take_back)
        )
    for below, _ in purges:
        if _longest(below, known) is None:
            faults.append(f"purge below {wire.show(below)}: it is in none of the zones that are given")
    for row in undo or []:
        lost, view = zone_name(str(row["zone"])), row.get("view") or ""
        if (lost, view) not in given:
            faults.append(f"undo in {wire.show(lost)}{f' (view {view})' if view else ''}: this zone is not given: give it in zones")
    views = {zone.view for zone in zones}
    faults += [f"{entry.label}: no zone is given with the view {entry.view}" for group in wanted.values() for entry in group
               if entry.view and entry.view not in views]  # fmt: skip
    return found, faults


def _kinds(row: Row) -> tuple[int, ...]:
    return tuple(key_from("x", str(kind).upper())[1] for kind in row.get("types") or ["TXT", "CNAME"])

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a fleet's DKIM records are served, by every address of every authoritative server, and what the primaries have.

No recursive resolver is asked for a key: it would remember that there is none (RFC 2308). Runs on the controller.
"""

from __future__ import annotations

import typing as t

from ..dns import inventory, propagation, wire
from ..dns.ask import Server, ask
from ..dns.records import RecordError, Wanted
from . import fleet, record
from .rotation import GONE, Key, Seen, Slot

Row = t.Mapping[str, t.Any]
#: How long a resolver may remember that a name is not there where no server told it (RFC 2308 section 5).
_NEGATIVE = 3 * 3600.0
_ALIASES = 4


class Zone(t.NamedTuple):
    """A zone of ours or of a customer. primaries: where it is changed, one for each view; empty where others change it."""

    name: bytes
    authorities: list[propagation.Authority]
    faults: list[str]
    primaries: list[Server]


def zones(ours: list[Row], proof: list[Row], resolver: Server | None) -> dict[bytes, Zone]:
    """Return the zones. ours: as dns_records takes them; proof: as dns_propagation_info does, each in place of what follows from ours."""
    told = {inventory.zone_name(str(row["name"])): row for row in proof}
    if len(told) != len(proof):
        raise RecordError("a zone is twice in dkim_proof_zones: give it once, with a row in servers for each view")
    found: dict[bytes, Zone] = {}
    for row in ours:
        settings = inventory.settings(row, resolver)
        if settings.name in found:
            before = found[settings.name]
            before.primaries.extend([settings.primary] if settings.primary else [])
            # The servers of another view are not known from here.
            fault = "it is kept in several views: name the servers of each view in dkim_proof_zones, or it is never proven"
            if settings.name not in told and fault not in before.faults:
                before.faults.append(fault)
            continue
        # The primary, which may be hidden, is asked with the others.
        servers = [{**each, "view": ""} for each in row.get("servers") or []]
        if settings.primary:
            servers.append({"address": settings.primary.address, "port": settings.primary.port})
        known, faults = inventory.authorities(told.get(settings.name, {"name": row["name"], "servers": servers}), resolver)
        found[settings.name] = Zone(settings.name, known, faults, [settings.primary] if settings.primary else [])
    for name in set(told) - set(found):
        raise RecordError(
            f"{wire.show(name)} is in dkim_proof_zones and not in mail_dns_zones: name it there, with backend: manual if need be"
        )
    return found


def lies_in(name: str, known: t.Iterable[bytes]) -> bool:
    """Return whether a name is in one of these zones."""
    return any(wire.is_below(wire.pack(name), zone) for zone in known)


class Looked(t.NamedTuple):
    """seen: of each key what was seen of its record; cnames: of each name of a CNAME whether all serve it (proven, not_yet, unknown);
    faults: a sentence each."""

    seen: dict[Key, Seen]
    cnames: dict[str, str]
    faults: list[str]


def look(
    slots: list[Slot], cnames: list[dict[str, str]], customers: t.Mapping[str, str], known: t.Mapping[bytes, Zone], ttl: int
) -> Looked:
    """Look at the records of all keys but of former customers', and at the CNAMEs of customers. cnames: as fleet.cnames returns them."""
    found = [(slot, fleet.where(slot, customers)) for slot in slots if slot.record and slot.state not in GONE]
    places = {slot.key: place for slot, place in found if place is not None}
    asked = [slot for slot, _ in found if slot.key in places]
    aliases = {row["name"]: row["target"] for row in cnames}
    aliases.update({place.name: place.target for place in places.values() if place.name != place.target})
    rows = {name: {"name": name, "type": "CNAME", "values": [target], "mode": "exclusive"} for name, target in aliases.items()}
    for slot in asked:
        target = places[slot.key].target
        rows[target] = {"name": target, "type": "TXT", "values": [slot.record], "mode": "exclusive"}
    wanted, faults = inventory.wanted_by_zone(rows.values(), dict.fromkeys(known))
    faults += [f"{wire.show(zone.name)}: {fault}" for zone in known.values() if wanted[zone.name] for fault in zone.faults]
    proofs: dict[str, tuple[propagation.Proof, propagation.Report]] = {}
    primary: dict[str, list[str] | None] = {}
    for zone in known.values():
        entries = wanted[zone.name]
        if not entries:
            continue
        report = propagation.check(zone.name, entries, zone.authorities, not zone.faults)
        proofs.update({wire.show(proof.wanted.name): (proof, report) for proof in report.proofs})
        primary.update(_primary(zone, [entry for entry in entries if entry.kind == wire.TXT]))
    states = {name: proofs[name.lower()][0].state if name.lower() in proofs else propagation.UNKNOWN for name in aliases}
    return Looked({slot.key: _seen(slot, places[slot.key], proofs, primary, ttl) for slot in asked}, states, faults)


def _primary(zone: Zone, entries: list[Wanted]) -> dict[str, list[str] | None]:
    """Return the texts that the primary has at each name, of all its views; None where that is not known."""
    found: dict[str, list[str] | None] = {}
    servers = zone.primaries or [each.server for each in zone.authorities[:1]]
    for server in servers:
        for entry, reply in zip(entries, ask(server, [entry.key for entry in entries])):
            name = wire.show(entry.name)
            texts = None if reply.fault or reply.rcode not in (wire.NOERROR, wire.NXDOMAIN) else _texts(reply.rrset)
            if reply.alias is not None:
                texts = [f"an alias of {wire.show(reply.alias)}"]
            before = found.get(name, texts)
            # Views that differ are not yet what was wanted of them; none of them is known to be.
            found[name] = texts if before == texts else None
    return found


def _texts(rrset: wire.RRset | None) -> list[str]:
    return sorted(wire.joined(value).decode("utf-8", "replace") for value in rrset.values) if rrset else []


def _seen(slot: Slot, place: fleet.Where, proofs: t.Mapping[str, tuple[propagation.Proof, propagation.Report]],
          primary: t.Mapping[str, list[str] | None], ttl: int) -> Seen:  # fmt: skip
    names = list(dict.fromkeys(name.lower() for name in place))
    found = [proofs[name] for name in names if name in proofs]
    stale = [f"{seen.authority.server}: {seen.outcome}" for proof, _ in found for seen in proof.seen]
    wild = [f"{server} answers for any selector" for _, report in found for server in report.wildcard]
    states = {proof.state for proof, _ in found}
    served: bool | None = None
    if len(found) == len(names) and not wild and states == {propagation.PROVEN}:
        served = True
    elif propagation.NOT_YET in states or wild:
        served = False
    waits = [float(report.negative_ttl) if report.negative_ttl is not None else _NEGATIVE for _, report in found]
    # Of a fixed selector resolvers may hold the old value.
    wait = max([*waits, float(ttl) if slot.fixed else 0.0], default=_NEGATIVE)
    return Seen(None, "", "", _state(primary.get(names[-1]), slot.record), served, tuple(dict.fromkeys([*stale, *wild]))[:20], wait)


def _state(texts: list[str] | None, own: str) -> str | None:
    if texts is None:
        return None
    if not texts:
        return "absent"
    if len(texts) == 1 and record.same(texts[0], own):
        return "equal"
    try:
        return "revoked" if len(texts) == 1 and record.parse(texts[0]).revoked else "other"
    except record.RecordError:
        return "other"


def reader(known: t.Mapping[bytes, Zone], which: int) -> t.Callable[[str], list[str] | None]:
    """Return what reads the TXT records of a name from an authoritative server, along CNAMEs in these zones; which: 0 the first server,
    -1 the last. It returns None where there was no answer."""

    def read(name: str) -> list[str] | None:
        packed = wire.pack(name)
        for _ in range(_ALIASES):
            zone = max((each for each in known.values() if wire.is_below(packed, each.name)), key=lambda each: len(each.name), default=None)
            if zone is None or not zone.authorities:
                return None
            reply = ask(zone.authorities[which].server, [(packed, wire.TXT)])[0]
            if reply.fault or reply.rcode not in (wire.NOERROR, wire.NXDOMAIN):
                return None
            if reply.alias is None:
                return _texts(reply.rrset)
            packed = reply.alias
        return None

    return read

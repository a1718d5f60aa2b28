# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must change in a zone so that it holds what is wanted: pure, from its present RRsets; refused before anything is sent."""

from __future__ import annotations

import math
import typing as t

from . import wire
from .meaning import kind_of, meaning
from .records import DEFAULT_TTL, RecordError, Wanted, is_owned, key_of, label, row
from .wire import CNAME, NS, Key, RRset

#: The share of a zone's managed records that one run may change or remove, and the number from which on a share says something.
CHANGE_SHARE = 0.3
CHANGE_FLOOR = 10
_DNAME = 39


class Purge(t.NamedTuple):
    """Names that are managed as a whole: what is at or below a name, of these types, and is not wanted goes."""

    below: bytes
    kinds: tuple[int, ...]


class Zone(t.NamedTuple):
    """The present RRsets of a zone. whole: all of them are known, by a transfer; free: names that are known not to exist at all.

    doubtful: what a wildcard may have answered: it stands as long as it is what is wanted, else it is not there.
    """

    name: bytes
    rrsets: dict[Key, RRset]
    whole: bool
    free: frozenset[bytes] = frozenset()
    doubtful: frozenset[Key] = frozenset()


class Change(t.NamedTuple):
    """One RRset as it is and as it must be; None where there is none. new_name: nothing at all is at this name yet.

    whole: the RRset is ours, so that its TTL is too."""

    key: Key
    before: RRset | None
    after: RRset | None
    new_name: bool = False
    whole: bool = True

    @property
    def label(self) -> str:
        return label(self.key)


class Plan(t.NamedTuple):
    """changes: in the order of their names; managed: how many RRsets that stand are wanted or purged; faults: why it must not be sent."""

    changes: list[Change]
    managed: int
    faults: list[str]


def make(zone: Zone, wanted: list[Wanted], purges: list[Purge], share: float = CHANGE_SHARE, ttl: int = DEFAULT_TTL) -> Plan:
    """Return what must change. share: of the managed records that may be changed or removed; ttl: of new ones without."""
    faults: list[str] = []
    by_key: dict[Key, list[Wanted]] = {}
    for entry in wanted:
        fault = outside(zone.name, entry)
        if fault:
            faults.append(fault)
        else:
            by_key.setdefault(entry.key, []).append(entry)
    names = {name for name, _ in zone.rrsets}
    after: dict[Key, RRset | None] = {}
    unreal: set[Key] = set()
    for key, entries in by_key.items():
        try:
            after[key] = _wanted_rrset(zone.rrsets.get(key), entries, ttl)
            if key in zone.doubtful and after[key] != zone.rrsets[key]:
                unreal.add(key)
                after[key] = _wanted_rrset(None, entries, ttl)
        except RecordError as exc:
            faults.append(str(exc))
    for purge in purges:
        faults += _purge(zone, purge, after)
    faults += _clashes(zone, after)
    changes = []
    for key in sorted(after):
        before = None if key in unreal else zone.rrsets.get(key)
        if before != after[key]:
            new_name = key[0] not in names if zone.whole else key[0] in zone.free
            whole = key not in by_key or all(entry.whole for entry in by_key[key])
            changes.append(Change(key, before, after[key], new_name, whole))
    managed = sum(key in zone.rrsets for key in after)
    fault = brake(zone.name, changes, managed, share)
    return Plan(changes, managed, [*faults, fault] if fault else faults)


def outside(zone: bytes, entry: Wanted) -> str:
    """Return why a record cannot be in a zone, or nothing."""
    if not wire.is_below(entry.name, zone):
        return f"{entry.label} is not in the zone {wire.show(zone)}: give the zone that it is in"
    if entry.name == zone and entry.kind in (NS, CNAME, _DNAME):
        return f"{entry.label}: a zone's own name cannot have this record from here: its name servers are set where the zone is kept"
    return ""


def _wanted_rrset(before: RRset | None, entries: list[Wanted], default: int) -> RRset | None:
    """Return an RRset as it must be: what stands and means the same stays to the octet, what is not ours stays."""
    first = entries[0]
    if before and len(entries) == 1 and first.present and first.whole and first.values == before.values and first.ttl in (None, before.ttl):
        return before
    if len(entries) > 1 and any(entry.whole for entry in entries):
        raise RecordError(f"{first.label} is given {len(entries)} times, once for the whole RRset: give it once, or each with mode: merge")
    for entry in entries:
        others = [value for other in entries if other is not entry and other.present for value in other.values]
        if entry.present and any(is_owned(entry, value) and value not in entry.values for value in others):
            raise RecordError(f"{first.label} is given twice with values of one kind, as two SPF records: give one")
    values = set(before.values) if before else set()
    whole = first.whole
    for entry in entries:
        values = apply(values, entry)
    if not values:
        return None
    _guard_key(first, before, values)
    if whole:
        ttl = first.ttl if first.present and first.ttl is not None else (before.ttl if before else default)
    else:
        ttl = before.ttl if before else next((entry.ttl for entry in entries if entry.ttl is not None), default)
    spf = sum(kind_of(wire.joined(value)) == "spf" for value in values) if first.kind == wire.TXT else 0
    if spf > 1 and any(entry.present for entry in entries):
        raise RecordError(
            f"{first.label} would have {spf} SPF records, a permanent error (RFC 7208 section 3.2): give one entry that owns v=spf1"
        )
    return RRset(ttl, tuple(sorted(values)))


def apply(values: set[bytes], entry: Wanted) -> set[bytes]:
    """Return the values of an RRset with one entry in force."""
    means: dict[t.Hashable, list[bytes]] = {}
    for value in sorted(values):
        means.setdefault(meaning(entry.name, entry.kind, value), []).append(value)
    named = [meaning(entry.name, entry.kind, value) for value in entry.values]
    if not entry.present:
        if not entry.values:
            return set() if entry.whole else {value for value in values if not is_owned(entry, value)}
        return values - {value for what in named for value in means.get(what, [])}
    kept = {what: (means[what][0] if what in means else value) for what, value in zip(named, entry.values)}
    if entry.whole:
        return set(kept.values())
    same = {value for what in named for value in means.get(what, [])}
    return {value for value in values - same if not is_owned(entry, value)} | set(kept.values())


def _guard_key(entry: Wanted, before: RRset | None, after: set[bytes]) -> None:
    """RecordError where a selector would get another key: whoever signed with the old one could not be told from a forger."""
    if entry.replace_key or before is None or entry.kind != wire.TXT or b"\x0a_domainkey" not in entry.name:
        return
    old = {key_of(value) for value in before.values} - {None, ""}
    new = {key_of(value) for value in after} - {None, ""}
    if old and new and old != new:
        raise RecordError(
            f"{entry.label} holds another key, and a selector is never used for a second one (RFC 6376 section 3.1): take a new selector, "
            "revoke this one first (p= empty), or set replace_key"
        )


def _purge(zone: Zone, purge: Purge, after: dict[Key, RRset | None]) -> list[str]:
    where = wire.show(purge.below)
    if not wire.is_below(purge.below, zone.name) or purge.below == zone.name:
        return [f"purge below {where}: it must be a name inside {wire.show(zone.name)}, as _domainkey.{wire.show(zone.name)}"]
    if not zone.whole:
        return [f"purge below {where}: all names must be known first: allow zone transfers of {wire.show(zone.name)} to the TSIG key"]
    for key in zone.rrsets:
        if key not in after and key[1] in purge.kinds and wire.is_below(key[0], purge.below):
            after[key] = None
    return []


def _clashes(zone: Zone, after: dict[Key, RRset | None]) -> list[str]:
    """Return where a CNAME would stand beside other records: servers answer NOERROR to that and do nothing (RFC 2136 section 3.4.2.2).

    And what would be hidden by a delegation or DNAME above it.
    """
    # A wildcard answers no more for a name that exists (RFC 4592 section 2.2.1).
    zone = zone._replace(rrsets={key: rrset for key, rrset in zone.rrsets.items() if key not in zone.doubtful})
    coming = {name for (name, _), rrset in after.items() if rrset is not None}
    aliased = {name for name, kind in (*zone.rrsets, *after) if kind == CNAME} & coming
    kinds: dict[bytes, set[int]] = {}
    for name, kind in zone.rrsets:
        if name in aliased and (name, kind) not in after:
            kinds.setdefault(name, set()).add(kind)
    stays = {name for name, found in kinds.items() if CNAME in found}
    for (name, kind), rrset in after.items():
        if name in aliased and rrset is not None:
            kinds.setdefault(name, set()).add(kind)
    faults = []
    for name in sorted(aliased):
        found = ", ".join(wire.kind_text(kind) for kind in sorted(kinds[name] - {CNAME, 46, 47, 50}))  # beside signatures it may stand
        if CNAME in kinds[name] and found:
            advice = (
                f"it is a CNAME to {_target(zone, name)}: give the record there (a reverse name: the zone that RFC 2317 delegates)"
                if name in stays
                else f"beside a CNAME nothing else may stand: remove {found} in the same run (state: absent), or take another name"
            )
            faults.append(f"{wire.show(name)} would have a CNAME and {found}: {advice}")
    hiding = {name: kind for name, kind in zone.rrsets if kind in (_DNAME, NS) and name != zone.name}
    for name in sorted(coming) if hiding else ():
        above = wire.parent(name)
        while above != zone.name and wire.is_below(above, zone.name):
            if above in hiding:
                faults.append(
                    f"{wire.show(name)} is below {wire.show(above)}, which is delegated ({wire.kind_text(hiding[above])}): it would not "
                    "be answered from this zone: give the zone that it is in"
                )
            above = wire.parent(above)
    return faults


def _target(zone: Zone, name: bytes) -> str:
    rrset = zone.rrsets.get((name, CNAME))
    return wire.show(wire.read_name(rrset.values[0], 0)[0]) if rrset else "another name"


def brake(zone: bytes, changes: list[Change], managed: int, share: float) -> str:
    """Return why so many records are not changed at once: where an inventory is read by half, the rest would go."""
    touched = [change for change in changes if change.before is not None]
    if managed < CHANGE_FLOOR or len(touched) <= math.floor(managed * share + 1e-9):
        return ""
    removed = sum(change.after is None for change in touched)
    return (
        f"{len(touched)} of {managed} managed records of {wire.show(zone)} would be changed or removed ({removed} removed), more than "
        f"{share:.0%}: look at the diff of a run in check mode, and set max_change_share where it is right"
    )


def undo(zone: Zone, changes: list[Change]) -> tuple[list[Change], list[str]]:
    """Return the changes that take earlier ones back, and what does not stand any more as they left it.

    Only the values that were added go, and those that were removed return: what others did to the same RRset meanwhile stays.
    """
    back, faults = [], []
    for change in changes:
        now = zone.rrsets.get(change.key)
        if now == change.before:
            continue
        old = set(change.before.values) if change.before else set()
        new = set(change.after.values) if change.after else set()
        values = set(now.values) if now else set()
        if not new - old <= values or (change.whole and values != new):
            faults.append(
                f"{change.label} is no longer as it was left: {_short(change.key, now)}; another writer changed it: look at it by hand"
            )
            continue
        values = values - (new - old) | (old - new)
        ttl = change.before.ttl if change.before and change.whole else (now or change.before or RRset(DEFAULT_TTL, ())).ttl
        after = RRset(ttl, tuple(sorted(values))) if values else None
        if after != now:
            back.append(Change(change.key, now, after, False, change.whole))
    wanted = {change.key: change.after for change in back}
    return back, faults + _clashes(zone, wanted)


def same(key: Key, one: RRset | None, other: RRset | None) -> bool:
    """Whether two RRsets have the same values, names in any case: some servers fold them."""
    if one is None or other is None:
        return one is other
    return {wire.folded(key[1], value) for value in one.values} == {wire.folded(key[1], value) for value in other.values}


def _short(key: Key, rrset: RRset | None) -> str:
    return "nothing is there" if rrset is None else "; ".join(wire.value_text(key[1], value)[:120] for value in rrset.values[:5])


def lines(key: Key, rrset: RRset | None) -> list[str]:
    """Return an RRset as lines of a zone file."""
    if rrset is None:
        return []
    head = f"{wire.text(key[0])} {rrset.ttl} IN {wire.kind_text(key[1])} "
    return [head + wire.value_text(key[1], value) for value in rrset.values]


def diff(zone: bytes, changes: list[Change], view: str = "") -> list[dict[str, str]]:
    """Return Ansible's diff, one for each RRset."""
    where = f" in view {view}" if view else ""
    return [
        {
            "before_header": f"{change.label}{where}",
            "after_header": f"{change.label}{where}",
            "before": "".join(line + "\n" for line in lines(change.key, change.before)),
            "after": "".join(line + "\n" for line in lines(change.key, change.after)),
        }
        for change in changes
    ]


def saved(change: Change) -> dict[str, t.Any]:
    """Return a change as results, journals and undo data have it."""
    return {
        "name": wire.show(change.key[0]),
        "type": wire.kind_text(change.key[1]),
        "before": row(change.key, change.before),
        "after": row(change.key, change.after),
        "whole": change.whole,
    }

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the findings of a run say of each subject and list that is or may be a case, and how that list is asked.

A list is a DNS list by its zone, or a desk of a receiver that keeps one of its own (catalogue/delisting.yml).
"""

from __future__ import annotations

import contextlib
import ipaddress
import typing as t

from ..findings import observations as seen_as
from ..findings.times import epoch
from .case import CLEAN, LISTED, SILENT, Seen, Way

Row = dict[str, t.Any]
#: (subject, list)
Key = tuple[str, str]

#: A listing that no receiver weighs is no case: it is shown in the table of observations.
TIERS = ("A", "B", "C")
#: Kinds of delisting that nobody is to ask for: the entry ends by itself. Nothing is ever paid for.
_NOBODY = ("auto_only", "none", "paid_optional")
_DAY = 86400.0
_GONE: Row = {
    "kind": "none", "who": "nobody", "paid": "no",
    "note": "How it is asked is not known now: the list has left the catalogue, or no log of this run holds a refusal of this receiver.",
}  # fmt: skip


class Told(t.NamedTuple):
    """What a run says of a subject in a list. name: of the list, for a person; delisting: as the catalogue has it, with the URL of this
    subject; rows: the observations; of_address: it is no name; hosts: that send from it; ttl (for which a cache may repeat an answer) and
    latency in seconds."""

    seen: Seen
    name: str
    delisting: Row
    rows: tuple[Row, ...]
    of_address: bool
    hosts: tuple[str, ...]
    ttl: float
    latency: float
    first: tuple[str, ...] = ()


class _Found(t.NamedTuple):
    rows: list[Row]
    quoted: list[Row]


def desks(data: Row) -> list[Row]:
    """Return the desks of delisting.yml, with the names of what is to be signed up for first in the place of its ids."""
    names = {row["id"]: row["name"] for row in data["enrolments"]}
    return [{**row, "first": [names[each] for each in row.get("first", ())]} for row in data["desks"]]


def told(
    document: Row, desks: t.Sequence[Row], zones: t.Mapping[str, Row], known: t.Iterable[tuple[str, str, tuple[str, ...]]]
) -> dict[Key, Told]:
    """Return what the findings say of every listing, and of every case that is known. desks: of delisting.yml; zones: rows of
    blocklists.yml by zone, over which lies what the run knew of the lists that it asked, as the inventory has them; known: (subject, list,
    sources) of the cases there are."""
    found: dict[Key, _Found] = {}
    zones = {**zones, **{row["zone"]: {**zones.get(row["zone"], {}), **row} for row in document.get("asked", ())}}
    heard = {zone for row in [*document["addresses"], *document["names"]] for zone in [*row["clean"], *row["unqualified"]]}
    heard |= {row["source"] for row in document["observations"]}
    instead = {zone: row["zone"] for row in zones.values() for zone in row.get("replaces", ()) if row["zone"] in heard}
    for row in document["observations"]:
        if row["kind"] != "block" or row["tier"] not in TIERS:
            continue
        desk = _desk(row, desks)
        follows = (desk or {}).get("follows")
        name = str(instead.get(follows, follows)) if follows else desk["id"] if desk else row["source"]
        group = found.setdefault((row["subject"], name), _Found([], []))
        (group.quoted if follows else group.rows).append(row)
    refusing: dict[Key, set[str]] = {}  # the lists of each subject and source
    for key, group in found.items():
        for row in group.rows:
            refusing.setdefault((key[0], row["source"]), set()).add(key[1])
    sources = {(subject, name): before for subject, name, before in known}
    subjects = {row.get("address") or row.get("name"): row for row in [*document["addresses"], *document["names"]]}
    result = {}
    for key in [*found, *(key for key in sources if key not in found)]:
        group = found.get(key, _Found([], []))
        result[key] = _told(key, group, sources.get(key, ()), subjects.get(key[0]), desks, zones, refusing)
    return result


def elsewhere(given: t.Iterable[str], subject: str) -> bool:
    """Return whether a host that the run left out has the subject. given: addresses, nets and names, as the inventory has them."""
    try:
        address = ipaddress.ip_address(subject)
    except ValueError:
        return subject in {name.strip().rstrip(".").lower() for name in given}
    for text in given:
        with contextlib.suppress(ValueError):
            if address in ipaddress.ip_network(text.strip(), strict=False):
                return True
    return False


def _desk(row: Row, desks: t.Sequence[Row]) -> Row | None:
    url = (row["delisting"] or {}).get("url")
    for desk in desks:
        if row["source"] in desk.get("sources", ()) or (row["source"].startswith("log:") and url in desk["urls"]):
            return desk
    return None


def _told(
    key: Key, found: _Found, before: tuple[str, ...], subject: Row | None, desks: t.Sequence[Row], zones: t.Mapping[str, Row],
    refusing: t.Mapping[Key, set[str]],
) -> Told:  # fmt: skip
    name = key[1]
    desk = next((desk for desk in desks if desk["id"] == name), {})
    listed = [row for row in found.rows if row["outcome"] in seen_as.LISTED and not row["suspected"]]
    silent = [row for row in found.rows if row not in listed]
    sources = tuple(sorted({row["source"] for row in listed} | set(before))) or (name,)
    # A receiver with several desks: while it still refuses for one of them, that it took mail says nothing of the others.
    others = {source for source in sources if refusing.get((key[0], source), set()) - {name}}
    own_servers = set(sources) <= set((subject or {}).get("authoritative", ()))
    why, quoted = "", bool(not listed and found.quoted and not _clean(subject, sources))
    if quoted:
        why = _why(silent, subject, sources, others)
        listed, silent = found.quoted, []
    rows = (*listed, *silent)
    if listed:
        since = min([epoch(row["since"]) for row in listed if row["since"]], default=None)
        codes = tuple(sorted({code for row in listed for code in row["codes"]}))
        times = [epoch(at) for row in found.quoted if (at := (row["qualified_by"] or {}).get("at"))]
        seen = Seen(LISTED, sources, codes, why, since, quoted, max(times, default=0.0))
    elif not silent and _clean(subject, sources) and not others:
        seen = Seen(CLEAN, sources, why="asked at its own name servers" if own_servers else "")
    else:
        seen = Seen(SILENT, sources, why=_why(silent, subject, sources, others))
    own = zones.get(name, {})
    facts = desk.get("delisting") or own.get("delisting") or next((row["delisting"] for row in rows if row["delisting"]), None)
    hosts = sorted({host for row in rows for host in row["hosts"]} | set((subject or {}).get("hosts", ())))
    # What the resolver may repeat, where it was the resolver that said so.
    caches = [row["ttl"] for row in rows] + ([] if own_servers else [zones.get(source, {}).get("clean_ttl") for source in sources])
    of_address = "name" not in (subject or {}) and all(row["family"] != "domain" for row in rows)
    return Told(
        seen,
        desk.get("name") or own.get("name") or next((row["list"].partition(", as it answered ")[0] for row in rows), name),
        _filled(facts or _GONE, key[0]),
        rows,
        of_address,
        tuple(hosts),
        float(max([ttl or 0 for ttl in caches], default=0)),
        float(max([zones.get(source, {}).get("latency") or 0 for source in sources])),
        tuple(desk.get("first", ())),  # names, by desks()
    )


def _clean(subject: Row | None, sources: t.Iterable[str]) -> bool:
    return subject is not None and all(source in subject["clean"] and source not in subject["unqualified"] for source in sources)


def _why(rows: t.Sequence[Row], subject: Row | None, sources: t.Sequence[str], others: set[str]) -> str:
    if rows:
        said = [f"{row['source']}: {'the same on most addresses at once' if row['suspected'] else row['outcome']}" for row in rows]
        return "; ".join(dict.fromkeys(said))[:500]
    if subject is None:
        return "nobody asked about it: it is not in the inventory any more"
    silent = [source for source in sources if source in subject["unqualified"]]
    missing = [source for source in sources if source not in subject["clean"] and source not in silent]
    said = [f"{', '.join(silent)} said nothing that can be believed"] if silent else []
    said += [f"{', '.join(missing)} was not asked"] if missing else []
    return "; ".join(said) or f"{', '.join(sorted(others))} still refuses it at another desk"


def _filled(facts: Row, subject: str) -> Row:
    """Return the facts with the subject in the URL; a receiver's mailto: is its mail address."""
    url = facts.get("url")
    if url and url.startswith("mailto:"):
        return {**{name: value for name, value in facts.items() if name != "url"}, "mail": url[7:], "by": "mail"}
    return {**facts, "url": url.replace("{ip}", subject)} if url else facts


def way(of: Told, codes: t.Iterable[str]) -> Way:
    """Return how the list is asked where it answers these codes: where one of them is the provider's alone, it comes first."""
    facts, usual = of.delisting, Way()
    kinds = [of_code["kind"] for code, of_code in facts.get("by_code", {}).items() if code in codes]
    kind = "isp_only" if "isp_only" in kinds else facts["kind"]
    asked_by = (
        "provider" if kind == "isp_only" else "nobody" if kind in _NOBODY or not (facts.get("url") or facts.get("mail")) else "anyone"
    )

    def days(name: str, otherwise: float) -> float:
        return float(facts[name]) * _DAY if name in facts else otherwise

    return Way(
        asked_by, max(of.ttl, of.latency), days("quiet_days", usual.quiet), days("cool_down_days", usual.cool_down),
        days("answer_days", usual.answer), float(facts["expires_days"]) * _DAY if "expires_days" in facts else None,
    )  # fmt: skip


def who(of: Told, codes: t.Iterable[str]) -> str:
    """Return who may ask."""
    rows = [of_code for code, of_code in of.delisting.get("by_code", {}).items() if code in codes]
    rows.sort(key=lambda row: row["kind"] != "isp_only")
    return str(rows[0]["who"] if rows else of.delisting["who"])


def how(facts: Row) -> str:
    """Return form, mail, machine, account or none."""
    return str(
        facts.get("by")
        or ("account" if facts["kind"] == "account" else "form" if facts.get("url") else "mail" if facts.get("mail") else "none")
    )

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records that are wanted: read from what an inventory says, each refused by name where it cannot be published."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from . import wire
from .meaning import dkim_key, kind_of
from .wire import Key

#: Types that may be published. SOA, DNSSEC's and a zone's own NS are its name servers' business.
TYPES = ("A", "AAAA", "CAA", "CNAME", "DNAME", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SRV", "SSHFP", "SVCB", "TLSA", "TXT")
_NUMBERS = {
    "A": 1, "NS": 2, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "NAPTR": 35, "DNAME": 39, "SSHFP": 44,
    "TLSA": 52, "SVCB": 64, "HTTPS": 65, "CAA": 257,
}  # fmt: skip
DEFAULT_TTL = 3600
MAX_TTL = 2**31 - 1
#: An RRset must fit into one answer, and its old and new values into one UPDATE.
MAX_RRSET = 30_000
_RANGE = re.compile(r"(\d+)([/-])(\d+)\Z")


class RecordError(ValueError):
    """A record or zone cannot be published as it is given: which, why, and what to do."""


class Wanted(t.NamedTuple):
    """One wanted entry. values: data in wire form; owned: how each owned value begins, for a merge; ttl: None keeps what there is.

    whole: the RRset is ours and holds these values alone; else single values of it are ours, and its other values and its TTL are not.
    """

    name: bytes
    kind: int
    values: tuple[bytes, ...]
    whole: bool
    present: bool
    ttl: int | None = None
    owned: tuple[bytes, ...] = ()
    replace_key: bool = False
    view: str = ""

    @property
    def key(self) -> Key:
        return self.name, self.kind

    @property
    def label(self) -> str:
        return label(self.key)


def label(key: Key) -> str:
    return f"{wire.show(key[0])} {wire.kind_text(key[1])}"


def reverse_name(address: str, zones: t.Mapping[bytes, str | None]) -> bytes:
    """Return the name of an address's PTR record. zones: packed, each with the network it answers for where that is set.

    Where one of the zones is a part of an octet (RFC 2317), as 0/26.100.51.198.in-addr.arpa or one with a network of less than 256
    addresses, the name is in it; the classic name is a CNAME in the zone above, which is the provider's.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise RecordError(f"{address!r} is no address: a PTR record needs one") from None
    classic = wire.pack(ip.reverse_pointer)
    if ip.version == 6:
        return classic
    last, octet = classic[: classic[0] + 1], wire.parent(classic)
    for zone, network in zones.items():
        if network is not None:
            if ip in _network(network) and zone != octet and not wire.is_below(classic, zone):
                return last + zone
        elif wire.parent(zone) == octet and covers(zone[1 : 1 + zone[0]].decode("ascii", "replace"), int(address.rsplit(".", 1)[1])):
            return last + zone
    return classic


def covers(first_label: str, number: int) -> bool:
    """Whether the first label of an RFC 2317 zone, as 0/26, 0-63 or 0-26, stands for the last octet of an address."""
    match = _RANGE.match(first_label)
    if not match:
        return False
    begin, sign, end = int(match[1]), match[2], int(match[3])
    # With a hyphen it may be a range or a prefix: it is a range where the range is a block of addresses.
    size = end + 1 - begin
    if sign == "-" and size > 1 and size & (size - 1) == 0 and begin % size == 0:
        return begin <= number <= end
    return 25 <= end <= 32 and begin <= number < begin + 2 ** (32 - end)


def _network(network: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(network)
    except ValueError as exc:
        raise RecordError(f"{network!r} is no network ({exc}): give the block of addresses that the reverse zone answers for") from None


def read(row: t.Mapping[str, t.Any], zones: t.Mapping[bytes, str | None]) -> Wanted:
    """Return one row of an inventory as it is wanted; RecordError names it where it cannot be."""
    kind_name = str(row.get("type") or ("PTR" if row.get("address") else "TXT")).upper()
    if kind_name not in _NUMBERS:
        raise RecordError(
            f"{row.get('name') or row.get('address')} {kind_name}: records of this type are not published, only {', '.join(TYPES)}"
        )
    kind = _NUMBERS[kind_name]
    name = _owner(row, kind_name, zones)
    values = row.get("values") or []
    texts = [str(value).encode("utf-8", "surrogateescape") for value in values] if kind == wire.TXT else []
    try:
        data = (
            tuple(map(wire.txt_data, texts)) if texts else tuple(wire.folded(kind, wire.value_data(kind, str(value))) for value in values)
        )
        entry = _entry(row, name, kind, data, [kind_of(text) for text in texts])
        _check(entry)
    except ValueError as exc:
        raise RecordError(f"{wire.show(name)} {kind_name}: {exc}") from None
    return entry


def _entry(row: t.Mapping[str, t.Any], name: bytes, kind: int, values: tuple[bytes, ...], kinds: list[str | None]) -> Wanted:
    present = row.get("state", "present") == "present"
    owns, mode, ttl = row.get("owns"), row.get("mode") or "auto", row.get("ttl")
    # The version as such: v=spf1 owns every value that begins so, however it is written.
    owned = (str(owns).encode(),) if owns else tuple(sorted(_VERSIONS[found] for found in set(kinds) if found))
    whole = mode == "exclusive" or (mode == "auto" and not owns and "spf" not in kinds)
    if ttl is not None and not 0 <= ttl <= MAX_TTL:
        raise RecordError(f"a TTL of {ttl} s cannot be: give 0 to {MAX_TTL}")
    if present and not values:
        raise RecordError("no values are given: give them, or state: absent")
    if not present and not values and not whole and not owned:
        raise RecordError("nothing says which values are to go: give values, or owns, or mode: exclusive for the whole RRset")
    if present and kinds.count("spf") > 1:
        raise RecordError("more than one SPF record at one name is a permanent error (RFC 7208 section 3.2): make them one")
    if len(values) > 1:
        values = tuple(sorted(set(values)))
    return Wanted(name, kind, values, whole, present, ttl, owned, bool(row.get("replace_key")), row.get("view") or "")


_VERSIONS = {"spf": b"v=spf1", "dkim": b"v=DKIM1", "dmarc": b"v=DMARC1", "sts": b"v=STSv1", "tlsrpt": b"v=TLSRPTv1"}


def _check(entry: Wanted) -> None:
    if len(entry.values[0] if len(entry.values) == 1 else b"".join(entry.values)) > MAX_RRSET:
        raise RecordError(f"its values are over the limit of {MAX_RRSET} octets: no server could answer with them")
    if entry.kind in (wire.CNAME, 39):
        if entry.present and len(entry.values) != 1:
            raise RecordError(f"a name has one such record, not {len(entry.values)}")
        if not entry.whole:
            raise RecordError("its RRset has one value, which cannot be merged: take mode: merge out")
    if len(entry.values) > 1 and entry.kind == wire.TXT and entry.present and b"\x0a_domainkey" in entry.name:
        raise RecordError("a selector has one TXT record, else receivers reject (RFC 6376 section 3.6.2.2)")


def _owner(row: t.Mapping[str, t.Any], kind_name: str, zones: t.Mapping[bytes, str | None]) -> bytes:
    if row.get("address"):
        if kind_name != "PTR" or row.get("name"):
            raise RecordError(f"{row['address']}: an address in place of a name is for PTR records alone")
        return reverse_name(str(row["address"]), zones)
    if not row.get("name"):
        raise RecordError(f"a {kind_name} record has no name: each record needs name, or address for a PTR")
    try:
        return wire.pack(str(row["name"]))
    except ValueError as exc:
        raise RecordError(f"{kind_name} record: {exc}: a label has at most 63 octets, a name 255") from None


def is_owned(wanted: Wanted, data: bytes) -> bool:
    """Whether a value of an RRset is ours by how it begins. A version must end there: v=spf10 is no SPF record."""
    if wanted.kind != wire.TXT:
        return False
    text = wire.joined(data)
    for start in wanted.owned:
        kind = kind_of(start)
        if kind_of(text) == kind if kind else text.startswith(start):
            return True
    return False


def key_of(data: bytes) -> str | None:
    """Return p= of a DKIM record, or None."""
    return dkim_key(wire.joined(data))


def row(key: Key, rrset: wire.RRset | None) -> dict[str, t.Any] | None:
    """Return an RRset as results, journals and undo data have it: zone-file forms, which give back every octet."""
    if rrset is None:
        return None
    return {"ttl": rrset.ttl, "values": [wire.value_text(key[1], value) for value in rrset.values]}


def rrset_of(key: Key, saved: t.Mapping[str, t.Any] | None) -> wire.RRset | None:
    """Return an RRset out of row()."""
    if saved is None:
        return None
    try:
        return wire.RRset(int(saved["ttl"]), tuple(sorted(wire.value_data(key[1], str(value)) for value in saved["values"])))
    except (KeyError, TypeError, ValueError) as exc:
        raise RecordError(f"{label(key)}: its saved values cannot be read ({exc}): give the undo data as it was returned") from None


def key_from(name: str, kind: str) -> Key:
    if kind not in _NUMBERS:
        raise RecordError(f"{name} {kind}: records of this type are not published here")
    return wire.pack(name), _NUMBERS[kind]

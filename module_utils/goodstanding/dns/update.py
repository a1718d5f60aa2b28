# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change a zone on its primary by dynamic updates (RFC 2136) that are signed (TSIG, RFC 8945).

As few messages as can be, each filled by octets: a server commits once for each. Every change has its old values as a prerequisite, so
that a second writer meets a conflict and is never overwritten. Replies are decoded also where they are not signed.
"""

from __future__ import annotations

import itertools
import secrets
import time
import typing as t

from . import wire
from .ask import Connection, DnsError, Server, TransferError
from .plan import Change
from .records import RecordError, label
from .tsig import Verifier, signature
from .wire import ANY, CNAME, IN, MAX_MESSAGE, NONE, RRset, WireError, Writer

RCODES = (
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE",
)  # fmt: skip
_CONFLICTS = (wire.NXDOMAIN, wire.YXDOMAIN, wire.YXRRSET, wire.NXRRSET)
Clock = t.Callable[[], float]


class ConflictError(DnsError):
    """What stands is not what the plan was made from; nothing of the batch was done."""


class LostError(DnsError):
    """No reply came, or the connection ended before it: whether the batch was done, or will be, is not known."""


class RefusedError(DnsError):
    """The server did not do it; nothing of the batch was done."""


class Batch(t.NamedTuple):
    """One UPDATE. mac: its signature."""

    number: int
    changes: list[Change]
    raw: bytes
    mac: bytes


def encode(writer: Writer, rows: list[Change]) -> None:
    """Add the changes of one name."""
    cname = any(change.key[1] == CNAME for change in rows)  # then its own change says what stands of it
    for change in rows:
        _encode(writer, change, cname)


def _encode(writer: Writer, change: Change, cname: bool) -> None:
    """Add a change: its old values as prerequisites, then what goes and what comes."""
    name, kind = change.key
    before, after = change.before, change.after
    if before is not None:
        for value in before.values:
            writer.prerequisite(name, IN, kind, value)
    elif change.new_name:
        writer.prerequisite(name, NONE, ANY)
    else:
        writer.prerequisite(name, NONE, kind)
        if not cname:
            writer.prerequisite(name, NONE, CNAME)
    old, new = before or RRset(0, ()), after or RRset(0, ())
    if before is not None and (after is None or (change.whole and before.ttl != after.ttl)):
        writer.update(name, ANY, kind, 0)
        old = RRset(0, ())
    for value in old.values:
        if value not in new.values:
            writer.update(name, NONE, kind, 0, value)
    for value in new.values:
        if value not in old.values:
            writer.update(name, IN, kind, new.ttl, value)


def batches(
    server: Server, zone: bytes, changes: t.Iterable[Change], now: Clock = time.time, limit: int = MAX_MESSAGE
) -> t.Iterator[Batch]:
    """Return the UPDATE messages of a plan, each as full as it can be; all changes of a name are in one."""
    room = limit - (server.key.size if server.key else 0)
    writer = Writer(zone)
    taken: list[Change] = []
    for _, group in itertools.groupby(changes, key=lambda change: change.key[0]):
        # What goes before what comes: a CNAME is silently left out while others stand.
        rows = sorted(group, key=lambda change: change.after is not None)
        mark = writer.mark()
        encode(writer, rows)
        if writer.size > room:
            writer.back(mark)
            if taken:
                yield _close(server, writer, taken, now)
            writer, taken = Writer(zone), []
            encode(writer, rows)
        taken += rows
    if taken:
        yield _close(server, writer, taken, now)


def check_sizes(zone: bytes, changes: t.Iterable[Change], limit: int = MAX_MESSAGE) -> None:
    """RecordError where the RRsets of one name do not fit into one UPDATE: told before anything is sent."""
    for name, group in itertools.groupby(changes, key=lambda change: change.key[0]):
        rows = list(group)
        values = [value for change in rows for rrset in (change.before, change.after) if rrset for value in rrset.values]
        if 500 + sum(len(value) + len(name) + 10 for value in values) < limit - 500:
            continue
        writer = Writer(zone)
        encode(writer, rows)
        if writer.size > limit - 500:
            raise RecordError(f"{wire.show(name)}: its old and new values do not fit into one UPDATE of {limit} octets: publish fewer")


def _close(server: Server, writer: Writer, changes: list[Change], now: Clock) -> Batch:
    number = secrets.randbelow(65_536)
    raw, mac = writer.finish(number), b""
    if server.key is not None:
        raw, mac = server.key.sign(raw, now())
    return Batch(number, changes, raw, mac)


def probe(server: Server, zone: bytes, changes: list[Change], now: Clock = time.time) -> Batch:
    """Return an UPDATE that can change nothing and shows whether the changes would be let in.

    Its prerequisite, that the zone has no SOA, is never met; and it would but take away values that are not there.
    """
    writer = Writer(zone)
    writer.prerequisite(zone, NONE, wire.SOA)
    taken = []
    for change in changes:
        mark = writer.mark()
        old = change.before.values if change.before else ()
        # A removal has no new value: one that stands nowhere takes its place.
        new = [value for value in (change.after.values if change.after else ()) if value not in old]
        for value in new or [_nowhere(change)]:
            writer.update(change.key[0], NONE, change.key[1], 0, value)
        if writer.size > MAX_MESSAGE - 300:
            writer.back(mark)
            break
        taken.append(change)
    return _close(server, writer, taken, now)


def _nowhere(change: Change) -> bytes:
    kind, mark = change.key[1], b"\x1fgoodstanding-probe-" + secrets.token_hex(6).encode()
    if kind == wire.TXT:
        return mark
    if kind in (wire.CNAME, wire.PTR, wire.NS, 39):
        return mark + b"\x07invalid\x00"
    if kind == wire.MX:
        return b"\x00\x00" + mark + b"\x07invalid\x00"
    # The test addresses of RFC 5737 and 3849 that no host has.
    addresses = {wire.A: b"\xc0\x00\x02\x00", wire.AAAA: b"\x20\x01\x0d\xb8" + b"\0" * 12}
    return addresses.get(kind) or (change.before.values[0] if change.before else b"")


def exchange(connection: Connection, batch: Batch, zone: bytes, now: Clock = time.time) -> None:
    """Send a batch and wait for its reply; ConflictError, RefusedError or LostError where it is not proven that it was done."""
    begin(connection, batch)
    finish(connection, batch, zone, now)


def begin(connection: Connection, batch: Batch) -> None:
    try:
        connection.send(batch.raw)
    except OSError as exc:
        raise LostError(f"{connection.server} ended the connection ({exc.strerror or exc}): is it up?") from None


def finish(connection: Connection, batch: Batch, zone: bytes, now: Clock = time.time) -> None:
    server = connection.server
    try:
        raw = connection.receive()
    except TimeoutError:
        raise LostError(
            f"{server} did not answer an update in time: where the zone is frozen there, Knot keeps it and does it after knotc zone-thaw"
        ) from None
    except OSError as exc:
        raise LostError(f"{server} did not answer an update ({exc.strerror or exc}): is it up?") from None
    verifier = server.key.verifier(batch.mac, now) if server.key else None
    found = decode(raw, batch.number, verifier, now())
    if found.rcode in _CONFLICTS and found.proven:
        raise ConflictError(f"{RCODES[found.rcode]} from {server}")
    if found.rcode or not found.proven:
        raise RefusedError(explain(found, server, zone))


class Found(t.NamedTuple):
    """A reply as it was decoded. proven: its signature is right, or none was asked for; fault: BADSIG, BADKEY, BADTIME, or in words;
    skew: seconds that the server's clock is ahead of ours, with BADTIME."""

    rcode: int
    proven: bool
    fault: str = ""
    skew: float | None = None


def decode(raw: bytes, number: int, verifier: Verifier | None, now: float) -> Found:
    """Return what a reply says; its rcode also where nothing of it is proven. DnsError where it is no reply."""
    if len(raw) < 12 or raw[:2] != number.to_bytes(2, "big") or not raw[2] & 0x80:
        raise DnsError("what came back is no answer to the update: is a name server at this address and port?")
    try:
        message = wire.read(raw)
        fault = verifier.check(raw, message) if verifier else ""
        said = signature(message)
    except WireError as exc:
        return Found(raw[3] & 15, False, str(exc))
    skew = None
    if said is not None and said.error == "BADTIME":
        skew = int.from_bytes(said.other[:6], "big") - now if len(said.other) >= 6 else said.time - now
    if verifier is None and said is not None:
        fault = said.error or ""
    return Found(message.rcode, not fault, fault, skew)


def explain(found: Found, server: Server, zone: bytes, what: str = "the update") -> str:
    """Return what came back in words, and what to do."""
    rcode = RCODES[found.rcode] if found.rcode < len(RCODES) else f"rcode {found.rcode}"
    tsig = found.fault in ("BADSIG", "BADKEY", "BADTIME", "BADTRUNC")
    signed = "" if found.proven or server.key is None else (f" with {found.fault}" if tsig else f"; {found.fault}")
    return f"{server} answered {what} of the zone {wire.show(zone)} with {rcode}{signed}: {_advice(found, server, wire.show(zone))}"


def _advice(found: Found, server: Server, zone: str) -> str:
    key = server.key.name if server.key else ""
    algorithm = server.key.algorithm if server.key else ""
    if found.fault == "BADSIG":
        return f"the secret of the TSIG key {key} is not the one that the server has: give the same on both"
    if found.fault == "BADKEY":
        return (
            f"the server does not know the key {key} with {algorithm}, or does not let it near this zone (Knot says so also where it is "
            "the zone's secondary): name the key with this algorithm there, and give the zone's primary"
        )
    if found.fault == "BADTIME":
        skew = f"is {abs(found.skew):.0f} s {'ahead of' if found.skew > 0 else 'behind'}" if found.skew is not None else "is not that of"
        return f"the server's clock {skew} this machine: set both by NTP (they may differ by 300 s)"
    if not found.proven and found.rcode == wire.NOERROR:
        return "an answer that is not proven may be forged: nothing is known of what the server did; look at its log"
    if found.rcode == wire.NOTIMP:
        return "this server takes no updates (NSD never does): give the zone's primary, or set backend: manual"
    if found.rcode == wire.REFUSED:
        return _refused(found, server, key)
    if found.rcode == wire.NOTAUTH and not found.proven:
        return f"it is not a primary of {zone} that knows the key {key} with this secret (it does not say which): compare both"
    if found.rcode == wire.NOTAUTH and server.key is None:
        return f"it wants updates of {zone} signed, or is not its primary: give the zone a TSIG key (key_name, key_secret), and its primary"
    if found.rcode == wire.NOTAUTH:
        return f"it is not the primary of {zone}: give the zone's primary; its SOA names it, and the zone must be spelt as it is there"
    if found.rcode == wire.NOTZONE:
        return "a record is outside the zone: give the zone that it is in"
    if found.rcode == wire.SERVFAIL:
        return "the server could not write the zone: is it frozen (rndc thaw, knotc zone-thaw), expired, or its disk full? Its log says so"
    if found.rcode == wire.FORMERR:
        return "the server did not understand the message: it may be too old for updates, or what is between cuts it short"
    return "its log says why"


def _refused(found: Found, server: Server, key: str) -> str:
    if server.key is None:
        return "it wants the update signed: give the zone a TSIG key (key_name, key_secret)"
    if not found.proven:
        return (
            f"PowerDNS answers so where the secret of {key} is wrong, the clocks differ, the key is not in the zone's TSIG-ALLOW-DNSUPDATE "
            "or dnsupdate is off: compare the secret, the metadata and the time"
        )
    return (
        f"the key {key} is right and may not change this: add the names to the zone's update-policy (BIND) or acl (Knot); where the zone "
        "is frozen, rndc thaw or knotc zone-thaw; where it is a secondary, give the primary"
    )


def explain_transfer(exc: TransferError, server: Server, zone: bytes, now: float) -> str:
    """Return why a zone transfer was not given, in words."""
    said = signature(exc.message) if exc.message.tsig is not None else None
    skew = int.from_bytes(said.other[:6], "big") - now if said and said.error == "BADTIME" and len(said.other) >= 6 else None
    found = Found(exc.message.rcode, not exc.fault, exc.fault, skew)
    if exc.message.rcode == wire.REFUSED and not (exc.fault and said and said.error):
        key = f" to the TSIG key {server.key.name}" if server.key else ""
        return f"{exc}: REFUSED: allow it{key} (allow-transfer, acl transfer, TSIG-ALLOW-AXFR), or set read: queries"
    return explain(found, server, zone, "the transfer")


def conflicts(batch: Batch, standing: t.Mapping[wire.Key, RRset]) -> list[str]:
    """Return what of a batch does not stand as the plan had it, in words."""
    return [
        f"{label(change.key)} (planned on {_brief(change.key, change.before)}, found {_brief(change.key, standing.get(change.key))})"
        for change in batch.changes
        if _values(standing.get(change.key)) != _values(change.before)
    ]


def _values(rrset: RRset | None) -> tuple[bytes, ...]:
    return rrset.values if rrset else ()


def _brief(key: wire.Key, rrset: RRset | None) -> str:
    return "nothing" if rrset is None else "; ".join(wire.value_text(key[1], value)[:80] for value in rrset.values[:4])

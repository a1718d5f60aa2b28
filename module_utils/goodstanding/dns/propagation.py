# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether every authoritative server of a zone serves what was published: each address, each view, over UDP and TCP.

Servers are found at the zone's parent and at the zone itself; what only one of the two names counts too. A recursive resolver is asked
where servers are, never for a record before all servers have it: it would remember that the record does not exist (RFC 2308).
An answer is proven, not yet there, or unknown; what could not be asked is never proven.
"""

from __future__ import annotations

import concurrent.futures
import secrets
import time
import typing as t

from . import wire
from .ask import Question, Reply, Server, ask
from .meaning import meaning
from .plan import apply
from .records import Wanted, label
from .wire import AAAA, NS, SOA, A

_SIDE_BY_SIDE = 12
#: Name servers of a zone, and addresses of each, that are looked for: the parent and the zone are in others' hands.
_MAX_NAMES, _MAX_ADDRESSES = 40, 20
PROVEN, NOT_YET, UNKNOWN = "proven", "not_yet", "unknown"
_RCODES = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED", 9: "NOTAUTH"}


class Authority(t.NamedTuple):
    """An address of a zone's name servers. names: of the servers it belongs to; view: which configured view it stands for;
    named_by: parent, child, both, or configured."""

    server: Server
    names: tuple[str, ...] = ()
    view: str = ""
    named_by: str = "configured"


class Discovered(t.NamedTuple):
    servers: list[Authority]
    faults: list[str]


def discover(zone: bytes, resolver: Server | None, port: int = 53) -> Discovered:
    """Return every address of every name server that the parent or the zone names."""
    faults: list[str] = []
    if resolver is None:
        return Discovered([], ["no resolver is given to find name servers with"])
    child, fault = _resolve(resolver, zone, NS)
    if fault:
        faults.append(f"the name servers of {wire.show(zone)}: {fault}")
    above, glue, fault = _delegation(zone, resolver, port)
    if fault:
        faults.append(fault)
    addresses: dict[str, set[bytes]] = {}
    asked: set[bytes] = set()
    # A server of the zone may name others that neither the parent nor the resolver's copy knows.
    todo = set(child) | set(above)
    while todo:
        if len(asked | todo) > _MAX_NAMES:
            faults.append(f"{wire.show(zone)} has more than {_MAX_NAMES} name servers, or names others each time: not all are known")
            break
        heard = set(addresses)
        for name in sorted(todo):
            found = set(glue.get(name, ()))
            problems = []
            for kind in (A, AAAA):
                values, problem = _resolve(resolver, name, kind)
                found |= {_address(value) for value in values}
                problems += [problem] if problem else []
            if not found:
                faults.append(f"the name server {wire.show(name)} has no address{': ' + problems[0] if problems else ''}")
            if len(found) > _MAX_ADDRESSES:
                faults.append(f"the name server {wire.show(name)} has {len(found)} addresses: only {_MAX_ADDRESSES} are asked")
            for address in sorted(found)[:_MAX_ADDRESSES]:
                addresses.setdefault(address, set()).add(name)
        asked |= todo
        more: set[bytes] = set()
        for address in sorted(set(addresses) - heard):
            reply = ask(Server(address, port), [(zone, NS)], timeout=1, tries=2)[0]
            if reply.authoritative and reply.rrset:
                more |= {wire.read_name(value, 0)[0] for value in reply.rrset.values}
        child = sorted(set(child) | more)
        todo = more - asked
    servers = []
    for address, names in sorted(addresses.items()):
        by = {where for where, group in (("parent", above), ("child", child)) if names & set(group)}
        servers.append(
            Authority(Server(address, port), tuple(sorted(map(wire.show, names))), "", "both" if len(by) == 2 else (by or {"child"}).pop())
        )
    return Discovered(servers, faults)


def _resolve(resolver: Server, name: bytes, kind: int) -> tuple[list[bytes], str]:
    """Ask a resolver where servers are; return record data (for NS the names), and why there is none where that is not known."""
    reply = ask(resolver, [(name, kind)], recursive=True, timeout=3)[0]
    if reply.fault:
        return [], f"the resolver {resolver} did not answer ({reply.fault})"
    if reply.rcode not in (wire.NOERROR, wire.NXDOMAIN):
        return [], f"the resolver {resolver} answered {_RCODES.get(reply.rcode, reply.rcode)}"
    if reply.rrset is None:
        return [], "" if kind in (A, AAAA) else f"the resolver {resolver} knows none"
    return [wire.read_name(value, 0)[0] if kind == NS else value for value in reply.rrset.values], ""


def _delegation(zone: bytes, resolver: Server, port: int) -> tuple[list[bytes], dict[bytes, set[str]], str]:
    """Return the name servers that the parent zone's servers name, with the addresses they give for them."""
    above = wire.parent(zone)
    while True:
        servers, _ = _resolve(resolver, above, NS)
        if servers or not above[0]:
            break
        above = wire.parent(above)
    where = f"the delegation of {wire.show(zone)} in {wire.show(above)}"
    for name in servers[:6]:
        for value in _resolve(resolver, name, A)[0][:2] + _resolve(resolver, name, AAAA)[0][:1]:
            reply = ask(Server(_address(value), port), [(zone, NS)], timeout=2, tries=2)[0]
            if reply.fault or reply.message is None or reply.rcode != wire.NOERROR:
                continue
            referred = wire.rrsets([*reply.message.answer, *reply.message.authority]).get((zone, NS))
            if referred is not None:
                found = [wire.read_name(data, 0)[0] for data in referred.values]
                glue: dict[bytes, set[str]] = {}
                for (owner, kind), rrset in wire.rrsets(reply.message.additional).items():
                    if kind in (A, AAAA) and owner in found:
                        glue.setdefault(owner, set()).update(map(_address, rrset.values))
                return found, glue, ""
    return [], {}, f"{where} could not be read: what only the parent names is not known; give servers, or discover: false"


def _address(value: bytes) -> str:
    import ipaddress

    return str(ipaddress.ip_address(value))


class Seen(t.NamedTuple):
    """What one server says of one record. outcome: equal, missing, different, alias, lame, refused, servfail, timeout, unproven."""

    authority: Authority
    outcome: str
    over: str
    detail: str = ""


class Proof(t.NamedTuple):
    """One record on all servers. state: proven, not_yet or unknown; seen: what every server says that does not have it yet."""

    wanted: Wanted
    state: str
    servers: int
    seen: list[Seen]


class Report(t.NamedTuple):
    """A zone's records on its servers. negative_ttl: for how many seconds a resolver may remember that a name is not there;
    serials: by server, to tell one that lags; wildcard: servers that answer for a name that was never published."""

    zone: bytes
    proofs: list[Proof]
    negative_ttl: int | None
    serials: dict[str, int | None]
    wildcard: list[str]

    @property
    def state(self) -> str:
        return overall(proof.state for proof in self.proofs)


def overall(states: t.Iterable[str]) -> str:
    found = set(states)
    return NOT_YET if NOT_YET in found else UNKNOWN if UNKNOWN in found else PROVEN


def check(zone: bytes, wanted: list[Wanted], authorities: list[Authority], complete: bool = True, wildcards: bool = True) -> Report:
    """Ask every server for every record. complete: whether all servers are known; if not, nothing is proven."""
    with concurrent.futures.ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        answers = list(pool.map(lambda each: _server(zone, wanted, each, wildcards), authorities))
    proofs = []
    for index, entry in enumerate(wanted):
        rows = [(each, answer) for each, answer in zip(authorities, answers) if not entry.view or each.view in ("", entry.view)]
        seen = [row for _, answer in rows for row in answer.seen[index]]
        state = _state(row.outcome for row in seen)
        if state == PROVEN and (not rows or not complete):
            state = UNKNOWN
        proofs.append(Proof(entry, state, len(rows), [row for row in seen if row.outcome != "equal"]))
    times = [answer.negative_ttl for answer in answers if answer.negative_ttl is not None]
    serials = {_name(each): answer.serial for each, answer in zip(authorities, answers)}
    wild = [_name(each) for each, answer in zip(authorities, answers) if answer.wildcard]
    return Report(zone, proofs, max(times, default=None), serials, wild)


def _name(authority: Authority) -> str:
    return f"{authority.server}{f' (view {authority.view})' if authority.view else ''}"


def _state(outcomes: t.Iterable[str]) -> str:
    found = set(outcomes)
    if found & {"missing", "different", "alias"}:
        return NOT_YET
    return UNKNOWN if found - {"equal"} else PROVEN


def resolvers(wanted: list[Wanted], asked: list[Server]) -> list[dict[str, t.Any]]:
    """Ask recursive resolvers, last: what they do not have yet, they remember. Only for what every server was shown to have."""
    rows = []
    for server in asked:
        replies = ask(server, [entry.key for entry in wanted], recursive=True, timeout=4)
        lacking = []
        for entry, reply in zip(wanted, replies):
            values = set(reply.rrset.values) if reply.rrset else set()
            if reply.alias is not None and reply.message is not None:  # a resolver follows it
                values = {record.data for record in reply.message.answer if record.kind == entry.kind}
            if reply.fault or not holds(entry, values):
                lacking.append({"name": wire.show(entry.name), "detail": reply.fault or "it answers otherwise"})
        rows.append({"address": str(server), "records": len(wanted), "lacking": lacking})
    return rows


class _Answer(t.NamedTuple):
    seen: list[list[Seen]]
    serial: int | None
    negative_ttl: int | None
    wildcard: bool


def _server(zone: bytes, wanted: list[Wanted], authority: Authority, wildcards: bool) -> _Answer:
    questions: list[Question] = [(zone, SOA), *(entry.key for entry in wanted)]
    # A name that nobody has published: an answer to it is a wildcard's, which would also answer for a selector that is gone.
    siblings = sorted({wire.parent(entry.name) for entry in wanted if b"\x0a_domainkey" in entry.name}) if wildcards else []
    nowhere = [bytes([12]) + secrets.token_hex(6).encode() + above for above in siblings]
    questions += [(name, wire.TXT) for name in nowhere if len(name) <= 255]
    replies = ask(authority.server, questions)
    seen = [[_seen(authority, entry, reply, "udp")] for entry, reply in zip(wanted, replies[1:])]
    if wanted:
        # That TCP is let through at all is shown by one; what did not fit into a datagram was asked so anyway.
        reply = ask(authority.server, [wanted[0].key], tcp=True, timeout=2, tries=1)[0]
        seen[0].append(_seen(authority, wanted[0], reply, "tcp"))
    soa = replies[0].rrset.values[0] if replies[0].rrset and replies[0].authoritative else None
    wildcard = any(reply.rrset is not None for reply in replies[1 + len(wanted) :])
    negative = min(replies[0].rrset.ttl, int.from_bytes(soa[-4:], "big")) if soa and replies[0].rrset else None
    return _Answer(seen, int.from_bytes(soa[-20:-16], "big") if soa else None, negative, wildcard)


def _seen(authority: Authority, entry: Wanted, reply: Reply, over: str) -> Seen:
    if reply.fault:
        unproven = reply.fault.startswith("unproven")
        return Seen(authority, "unproven" if unproven else "timeout", over, reply.fault)
    if reply.rcode not in (wire.NOERROR, wire.NXDOMAIN):
        word = _RCODES.get(reply.rcode, f"rcode {reply.rcode}")
        return Seen(authority, {"REFUSED": "refused", "SERVFAIL": "servfail"}.get(word, "lame"), over, word)
    if not reply.authoritative:
        return Seen(authority, "lame", over, "its answer is not authoritative: it does not serve this zone")
    if reply.alias is not None:
        return Seen(authority, "alias", over, f"the name is a CNAME to {wire.show(reply.alias)}")
    values = set(reply.rrset.values) if reply.rrset else set()
    if holds(entry, values):
        return Seen(authority, "equal", over)
    if not values:
        return Seen(authority, "missing", over, "NXDOMAIN" if reply.rcode == wire.NXDOMAIN else "no such record")
    found = "; ".join(wire.value_text(entry.kind, value)[:200] for value in sorted(values)[:5])
    return Seen(authority, "different", over, found)


def holds(entry: Wanted, values: set[bytes]) -> bool:
    """Whether an RRset has what is wanted of it, by meaning: then publishing it would change nothing."""
    if entry.whole and entry.present and values:
        if len(values) == len(entry.values) and values.issuperset(entry.values):
            return True
        # Nearly every other answer: one value that means what is wanted, written as another server writes it.
        wanted = {meaning(entry.name, entry.kind, value) for value in entry.values}
        return len(values) == len(entry.values) and {meaning(entry.name, entry.kind, value) for value in values} == wanted
    return apply(values, entry) == values


def wait(
    look: t.Callable[[], list[Report]],
    seconds: float,
    every: float,
    progress: t.Callable[[float, int, int], None] = lambda passed, proven, total: None,
    sleep: t.Callable[[float], None] = time.sleep,
    clock: t.Callable[[], float] = time.monotonic,
) -> list[Report]:
    """Look until everything is proven or the time is over. progress(seconds passed, records proven, records)."""
    began = clock()
    while True:
        reports = look()
        proofs = [proof for report in reports for proof in report.proofs]
        passed = clock() - began
        progress(passed, sum(proof.state == PROVEN for proof in proofs), len(proofs))
        if all(proof.state == PROVEN for proof in proofs) or passed + every > seconds:
            return reports
        sleep(every)


_ADVICE = {
    "missing": "not there yet: wait for the zone's transfer; where it stays so, look whether the primary notifies this server",
    "different": "another value is served: wait for the zone's transfer; where it stays so, publish there too (another view or primary)",
    "alias": "the record must be published at the CNAME's target",
    "lame": "it does not serve this zone: take it out of the NS records, or configure the zone there",
    "refused": "it does not let this machine ask: ask from an address that it answers, or give the view's source or key",
    "servfail": "it cannot serve the zone: look at its log (expired, or DNSSEC)",
    "timeout": "it did not answer: is it up, and are UDP and TCP to port 53 let through?",
    "unproven": "its answer is not signed by the view's key: compare the key",
}


def row(proof: Proof) -> dict[str, t.Any]:
    """Return a proof as results have it: what every server says that does not have the record."""
    return {
        "name": wire.show(proof.wanted.name),
        "type": wire.kind_text(proof.wanted.kind),
        "view": proof.wanted.view,
        "state": proof.state,
        "servers": proof.servers,
        "lacking": [
            {
                "address": str(seen.authority.server),
                "names": list(seen.authority.names),
                "view": seen.authority.view,
                "over": seen.over,
                "outcome": seen.outcome,
                "detail": seen.detail,
                "repair": _ADVICE[seen.outcome],
            }
            for seen in proof.seen
        ],
    }


def summary(proofs: list[Proof]) -> str:
    """Return in one sentence what is not proven, and where."""
    lacking: dict[str, int] = {}
    for proof in proofs:
        for name, outcome in {(_name(seen.authority), seen.outcome) for seen in proof.seen}:
            lacking[f"{name}: {outcome}"] = lacking.get(f"{name}: {outcome}", 0) + 1
    first = next((proof for proof in proofs if proof.state != PROVEN), None)
    if first is None:
        return ""
    where = "; ".join(f"{what} ({count} records)" for what, count in sorted(lacking.items())[:10]) or "not all name servers are known"
    return (
        f"{sum(proof.state != PROVEN for proof in proofs)} of {len(proofs)} records are not proven, as {label(first.wanted.key)}: {where}"
    )

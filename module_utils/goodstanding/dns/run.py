# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring zones to what is wanted: read, plan, send, read back. Each zone is its own: a fault in one is told and does not hold the others."""

from __future__ import annotations

import concurrent.futures
import secrets
import time
import typing as t

from . import update, wire
from .ask import Connection, DnsError, Reply, Server, TransferError, ask, transfer
from .journal import Journal, change_of
from .manual import open_points
from .plan import CHANGE_SHARE, Change, Plan, Purge, Zone, diff, make, outside, same, saved, undo
from .propagation import discover
from .records import DEFAULT_TTL, RecordError, Wanted
from .wire import CNAME, SOA, Key, RRset

#: So many names are asked for one by one where the zone need not be known whole; beyond, a transfer is quicker.
_FEW = 200
_SIDE_BY_SIDE = 8
#: Types that may stand beside a name that is to become a CNAME.
_USUAL = (1, 2, 6, 15, 16, 28, 33, 35, 39, 12, 44, 52, 64, 65, 257)


class Settings(t.NamedTuple):
    """One zone and how it is reached. view: of a name server that has several zones of one name; servers: to be read from, for manual;
    reader: how the zone is read: transfer, queries, or auto."""

    name: bytes
    view: str = ""
    backend: str = "rfc2136"
    primary: Server | None = None
    reader: str = "auto"
    servers: tuple[Server, ...] = ()
    resolver: Server | None = None
    owner: str = ""
    where: str = ""
    ttl: int = DEFAULT_TTL

    @property
    def label(self) -> str:
        return wire.show(self.name) + (f" (view {self.view})" if self.view else "")


class Job(t.NamedTuple):
    """What is to be done to one zone. undo: changes of an earlier run to be taken back; take_back: those of a run that broke off."""

    settings: Settings
    wanted: list[Wanted]
    purges: list[Purge]
    undo: list[Change] | None = None
    take_back: bool = False


class Hooks(t.NamedTuple):
    """What tests and benchmarks hang in. now: the clock for signatures; phase: called when a zone is planned, sent and read back."""

    now: t.Callable[[], float] = time.time
    before_batch: t.Callable[[int], None] = lambda number: None
    phase: t.Callable[[str], None] = lambda name: None
    limit: int = wire.MAX_MESSAGE


class Result(t.NamedTuple):
    """What was done to one zone. state: unchanged, changed, planned (check mode), open (manual), failed."""

    settings: Settings
    state: str
    changes: list[Change]
    done: list[Change]
    fault: str = ""
    batches: int = 0
    resumed: int = 0
    open_points: t.Sequence[dict[str, t.Any]] = ()

    def row(self) -> dict[str, t.Any]:
        return {
            "zone": wire.show(self.settings.name),
            "view": self.settings.view,
            "backend": self.settings.backend,
            "state": self.state,
            "planned": len(self.changes),
            "changed": len(self.done),
            "batches": self.batches,
            "resumed": self.resumed,
            "fault": self.fault,
        }

    def undo(self) -> dict[str, t.Any]:
        return {"zone": wire.show(self.settings.name), "view": self.settings.view, "changes": list(map(saved, self.done))}

    def diff(self) -> list[dict[str, str]]:
        return diff(self.settings.name, self.changes, self.settings.view)


def run(jobs: list[Job], check_mode: bool, folder: str | None, share: float = CHANGE_SHARE, hooks: Hooks | None = None) -> list[Result]:
    """Do all jobs, several zones at a time; never raises for what is one zone's fault."""
    hooks = hooks or Hooks()

    def one(job: Job) -> Result:
        try:
            return _zone(job, check_mode, folder, share, hooks)
        except (DnsError, RecordError) as exc:
            return Result(job.settings, "failed", [], [], f"zone {job.settings.label}: {exc}")

    if len(jobs) == 1:
        return [one(jobs[0])]
    with concurrent.futures.ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return list(pool.map(one, jobs))


def _zone(job: Job, check_mode: bool, folder: str | None, share: float, hooks: Hooks) -> Result:
    settings = job.settings
    misplaced = [fault for fault in (outside(settings.name, entry) for entry in job.wanted) if fault]
    if misplaced:
        raise RecordError("nothing was sent: " + "; ".join(misplaced))
    if settings.backend == "manual":
        return _manual(job)
    server = settings.primary
    if server is None:
        raise DnsError("no primary is given: give its address, or backend: manual")
    journal = Journal(folder, settings.name, settings.view)
    broken = journal.unfinished()
    undoing = list(job.undo or [])
    if job.take_back and broken:
        undoing += broken[0]
    keys = {entry.key for entry in job.wanted} | {change.key for change in undoing}
    if broken:
        keys |= {change.key for change in broken[0]}
    undone = job.take_back or job.undo is not None
    zone = read(settings, server, keys, bool(job.purges), hooks.now)
    if undone:
        changes, faults = undo(zone, undoing)
        plan = Plan(changes, 0, faults)
    else:
        plan = make(zone, job.wanted, job.purges, share, settings.ttl)
    # What a run that broke off has done belongs to what this one can take back.
    before = [] if undone or not broken else _stands(zone, broken[0])
    if plan.faults:
        return Result(settings, "failed", plan.changes, [], f"zone {settings.label}: nothing was sent: " + "; ".join(plan.faults))
    update.check_sizes(settings.name, plan.changes, hooks.limit)
    hooks.phase("planned")
    if check_mode:
        if plan.changes:
            _try(settings, server, plan.changes, hooks.now)
        return Result(settings, "planned" if plan.changes else "unchanged", plan.changes, [], resumed=len(before))
    if not plan.changes:
        if broken:
            _end(journal, [], server)
        return Result(settings, "unchanged", [], before, resumed=len(before))
    # Whoever goes on after a break takes back the same changes, not the taking back.
    journal.begin(undoing if undone else _merge(before, plan.changes), str(server))
    try:
        sent, fault, unknown = _send(settings, server, plan.changes, journal, hooks)
        hooks.phase("sent")
        done = [change for batch in sent for change in batch.changes]
        if not fault:
            fault = _read_back(settings, server, done)
            hooks.phase("read back")
        if not fault or (not sent and not unknown):
            journal.note("end")
    finally:
        journal.close()
    everything = _merge(before, done)
    if fault:
        return Result(settings, "failed", plan.changes, everything, f"zone {settings.label}: {fault}", len(sent), len(before))
    return Result(settings, "changed", plan.changes, everything, "", len(sent), len(before))


def _only(before: list[Change], changes: list[Change]) -> list[Change]:
    keys = {change.key for change in changes}
    return [change for change in before if change.key not in keys]


def _merge(before: list[Change], done: list[Change]) -> list[Change]:
    """Return the changes of a run that broke off and of the one that went on, each RRset once."""
    old = {change.key: change for change in before}
    merged = [change._replace(before=old[change.key].before) if change.key in old else change for change in done]
    return [*_only(before, done), *merged]


def _end(journal: Journal, changes: list[Change], server: Server) -> None:
    journal.begin(changes, str(server))
    journal.note("end")
    journal.close()


def _stands(zone: Zone, changes: list[Change]) -> list[Change]:
    """Return those changes of a run that broke off which were done."""
    return [change for change in changes if change.before != change.after and same(change.key, zone.rrsets.get(change.key), change.after)]


def read(settings: Settings, server: Server, keys: set[Key], whole: bool, now: t.Callable[[], float]) -> Zone:
    """Return a zone as its server has it: by a transfer, or by questions about these names alone."""
    if settings.reader != "queries" and (whole or settings.reader == "transfer" or len({name for name, _ in keys}) > _FEW):
        try:
            records = transfer(server, settings.name)
            return Zone(settings.name, wire.rrsets(records), True)
        except TransferError as exc:
            refused = exc.message.rcode == wire.REFUSED or (exc.message.rcode == wire.NOTAUTH and not exc.fault)
            if settings.reader == "transfer" or whole or not refused:
                raise DnsError(_with_primary(update.explain_transfer(exc, server, settings.name, now()), settings, server)) from None
    return _by_questions(settings, server, keys)


def _by_questions(settings: Settings, server: Server, keys: set[Key]) -> Zone:
    names = {name for name, _ in keys}
    questions: set[Key] = set(keys) | {(name, CNAME) for name in names} | {(settings.name, SOA)}
    for name, kind in keys:
        if kind == CNAME:
            questions |= {(name, other) for other in _USUAL if other != SOA}
    # What is delegated, or below a DNAME, is not answered from this zone.
    todo = sorted(questions)
    # A wildcard answers for names that are not there: what a name nobody uses gets too may be its answer.
    nowhere = {(wire.parent(name), kind) for name, kind in todo if name != settings.name and name[:2] != b"\x01*"}
    beside = {(above, kind): (bytes([12]) + secrets.token_hex(6).encode() + above, kind) for above, kind in nowhere if len(above) < 240}
    siblings = list(beside.values())
    replies = ask(server, [*todo, *siblings])
    synthetic = dict(zip(beside, (reply.rrset for reply in replies[len(todo) :])))
    rrsets: dict[Key, RRset] = {}
    free: set[bytes] = set()
    doubtful: set[Key] = set()
    for question, reply in zip(todo, replies):
        fault = _answer_fault(reply)
        if reply.message is not None and reply.fault:
            found = update.decode(reply.raw, reply.message.number, None, time.time())
            found = found._replace(proven=False, fault=found.fault or reply.fault.partition(": ")[2])
            raise DnsError(update.explain(found, server, settings.name, f"a question for {wire.show(question[0])}"))
        if fault:
            raise DnsError(f"{server} was asked for {wire.show(question[0])} {wire.kind_text(question[1])}: {fault}")
        if reply.rcode == wire.NXDOMAIN:
            free.add(question[0])
        elif reply.rrset is not None:
            rrsets[question] = reply.rrset
            if question[0][:2] != b"\x01*" and reply.rrset == synthetic.get((wire.parent(question[0]), question[1])):
                doubtful.add(question)
    return Zone(settings.name, rrsets, False, frozenset(free), frozenset(doubtful))


def _answer_fault(reply: Reply) -> str:
    if reply.fault:
        return f"{reply.fault}: is the server up, and does it know the key?"
    if reply.rcode not in (wire.NOERROR, wire.NXDOMAIN):
        word = update.RCODES[reply.rcode] if reply.rcode < len(update.RCODES) else f"rcode {reply.rcode}"
        return f"{word}: is it a server of this zone? Give the zone's primary"
    if not reply.authoritative:
        return "the answer is not authoritative: it is no server of this zone, or the name is delegated: give the zone that it is in"
    return ""


def _try(settings: Settings, server: Server, changes: list[Change], now: t.Callable[[], float]) -> None:
    """DnsError where the server would not let the changes in: an UPDATE that cannot change anything shows it."""
    with Connection(server) as connection:
        try:
            update.exchange(connection, update.probe(server, settings.name, changes, now), settings.name, now)
        except update.ConflictError:
            return
        except (update.LostError, update.RefusedError) as exc:
            raise DnsError(_with_primary(f"{exc}; nothing was changed", settings, server)) from None


def _send(
    settings: Settings, server: Server, changes: list[Change], journal: Journal, hooks: Hooks
) -> tuple[list[update.Batch], str, bool]:
    """Send a plan; return the batches that were done, what went wrong, and whether it is not known if one more was done.

    The next batch is made while the server works on one.
    """
    done: list[update.Batch] = []
    made = update.batches(server, settings.name, changes, hooks.now, hooks.limit)
    batch = next(made, None)
    number, asked = 0, False  # asked: for the second time, so that a break leaves it open
    try:
        connection = Connection(server)
    except DnsError as exc:
        return done, f"{exc}; nothing was sent", False
    try:
        while batch is not None:
            number += 1
            hooks.before_batch(number)
            journal.note("sent", number)
            lost = _begin(connection, batch)
            following = next(made, None)
            lost = lost or _finish(connection, batch, settings, hooks)
            if lost:
                connection.close()
                # It may have been done or not: what stands tells.
                stood = _what_stands(settings, server, batch)
                if stood == "not done":
                    asked = True
                    connection = Connection(server)
                    update.exchange(connection, batch, settings.name, hooks.now)
                elif stood != "done":
                    return done, _left(f"{lost} in batch {number}, and {stood}", done, changes, journal), True
            done.append(batch)
            asked = False
            journal.note("done", number)
            if lost and following is not None:
                connection.close()
                connection = Connection(server)
            batch = following
    except update.ConflictError as exc:
        found = update.conflicts(batch, _standing(settings, server, batch)) if batch else []
        text = "; ".join(found[:10]) or "it was changed and changed back"
        return done, _left(f"another writer was there first ({exc}): {text}", done, changes, journal), asked
    except DnsError as exc:
        return done, _left(_with_primary(str(exc), settings, server), done, changes, journal), asked
    finally:
        connection.close()
    return done, "", False


def _begin(connection: Connection, batch: update.Batch) -> str:
    try:
        update.begin(connection, batch)
    except update.LostError as exc:
        return str(exc)
    return ""


def _finish(connection: Connection, batch: update.Batch, settings: Settings, hooks: Hooks) -> str:
    """Wait for the reply; return why none came."""
    try:
        update.finish(connection, batch, settings.name, hooks.now)
    except update.LostError as exc:
        return str(exc)
    return ""


def _left(text: str, done: list[update.Batch], changes: list[Change], journal: Journal) -> str:
    number = sum(len(batch.changes) for batch in done)
    if not number:
        return f"{text}; nothing of the plan was done so far: run again when it is mended"
    where = f", or with unfinished: undo to take them back (journal {journal.path})" if journal.path else ""
    return f"{text}; {number} of {len(changes)} changes were done before: run again to do the rest{where}"


def _standing(settings: Settings, server: Server, batch: update.Batch) -> dict[Key, RRset]:
    """Return what stands of a batch's RRsets, as far as it can be asked; DnsError where it cannot."""
    return _by_questions(settings, server, {change.key for change in batch.changes}).rrsets


def _what_stands(settings: Settings, server: Server, batch: update.Batch) -> str:
    """Return whether a batch was done: "done", "not done", or in words."""
    try:
        found = _standing(settings, server, batch)
    except DnsError as exc:
        return f"whether it was done is not known: {exc}"
    if all(same(change.key, found.get(change.key), change.after) for change in batch.changes):
        return "done"
    if all(same(change.key, found.get(change.key), change.before) for change in batch.changes):
        return "not done"
    return "another writer changed something meanwhile"


def _read_back(settings: Settings, server: Server, done: list[Change]) -> str:
    """Return what does not stand on the primary as it was written: NOERROR is no proof."""
    keys = {change.key for change in done}
    try:
        zone = read(settings, server, keys, False, time.time)
    except DnsError as exc:
        return f"all was sent, and could not be read back: {exc}"
    gone = {change.key for change in done if change.after is None} & zone.doubtful  # where a wildcard answers in its place
    wrong = [change for change in done if change.key not in gone and not _stands_now(change, zone.rrsets.get(change.key))]
    if not wrong:
        return ""
    text = (
        f"{server} answered NOERROR and has not done it: " + ", ".join(change.label for change in wrong[:10])
        + f" ({len(wrong)} RRsets): another writer was quicker; or its policy drops updates in silence (PowerDNS Lua): look at its log; or "
        "it is a secondary that hands them on (PowerDNS): give the zone's primary"
    )  # fmt: skip
    return _with_primary(text, settings, server)


def _stands_now(change: Change, found: RRset | None) -> bool:
    return same(change.key, found, change.after) and (found is None or change.after is None or found.ttl == change.after.ttl)


def _with_primary(text: str, settings: Settings, server: Server) -> str:
    """Add whom the zone's SOA names as the primary, where that can be asked and may explain a refusal."""
    try:
        reply = ask(server._replace(key=None), [(settings.name, SOA)], timeout=1, tries=2)[0]
        if reply.rrset is None:
            return text
        return f"{text} (the SOA of {wire.show(settings.name)} names the primary {wire.show(wire.read_name(reply.rrset.values[0], 0)[0])})"
    except (DnsError, wire.WireError, IndexError):
        return text


def _manual(job: Job) -> Result:
    """Return what is to be done by hand: each record as it is pasted, and what stands already."""
    settings = job.settings
    if job.purges or job.undo is not None or job.take_back:
        raise DnsError("a zone with backend: manual is changed by its owner: purge and undo are not for it")
    servers = list(settings.servers)
    if not servers:
        found = discover(settings.name, settings.resolver)
        servers = [each.server for each in found.servers]
        if not servers:
            raise DnsError("none of its name servers is known: " + "; ".join(found.faults) + "; give servers")
    keys = {entry.key for entry in job.wanted}
    faults = []
    for server in servers:
        try:
            zone = _by_questions(settings, server, keys)
            break
        except DnsError as exc:
            faults.append(str(exc))
    else:
        raise DnsError("; ".join(faults[:3]))
    plan = make(zone, job.wanted, [], 1.0, settings.ttl)
    if plan.faults:
        return Result(settings, "failed", plan.changes, [], f"zone {settings.label}: " + "; ".join(plan.faults))
    points = open_points(settings.name, plan.changes, settings.owner, settings.where, settings.view)
    return Result(settings, "open" if points else "unchanged", plan.changes, [], open_points=points)


def undo_changes(rows: t.Iterable[t.Mapping[str, t.Any]]) -> list[Change]:
    return [change_of(row) for row in rows]

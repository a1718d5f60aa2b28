# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of delistings: cases, all that happened to each, the requests that were made, and the enrolments that were seen alive.

A case is read, judged and written in the transaction of one writer, so that two runs at once cannot both ask. Times are ISO 8601 in UTC.
"""

from __future__ import annotations

import json
import typing as t

import sqlalchemy as sa

from ..delisting.case import CLEARED, Case, Event, Gate, Override
from ..findings.locks import name_of
from ..findings.times import epoch, iso
from . import incidents
from .database import ACTIONS, FINDINGS, METADATA, RUNS, StoreError, reading, reason, writing
from .journals import JOURNAL

CASES = sa.Table(
    "cases",
    METADATA,
    sa.Column("id", sa.String(512), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("opened", sa.String(32), nullable=False),
    sa.Column("seen", sa.String(32), nullable=False),
    sa.Column("data", sa.Text, nullable=False),
)
EVENTS = sa.Table(
    "case_events",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("case_id", sa.String(512), nullable=False, index=True),
    sa.Column("run_id", sa.String(64), nullable=False),
    sa.Column("time", sa.String(32), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)
REQUESTS = sa.Table(
    "case_requests",
    METADATA,
    sa.Column("case_id", sa.String(512), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.String(32), nullable=False),
    sa.Column("how", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("message_id", sa.Text),
    sa.Column("receiver", sa.Text),
    sa.Column("text", sa.Text),
    sa.Column("detail", sa.Text, nullable=False),
)
ENROLMENTS = sa.Table(
    "enrolments",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("first", sa.String(32), nullable=False),
    sa.Column("last", sa.String(32), nullable=False),
)
#: The state of a request that is under way; where nothing more is known of it, it may have gone.
SENDING = "sending"
#: Tables whose rows are secrets, sealed or not: an export leaves them out.
SECRET = ("sealed",)
#: Journal lines and runs of so long before the oldest case that goes on are kept with it, in seconds.
BEFORE = 7 * 86400.0

Row = dict[str, t.Any]


class Open(t.NamedTuple):
    """The ledger in the transaction of one writer, at a time (epoch), for a run."""

    connection: sa.Connection
    run: str
    now: float

    def cases(self) -> dict[str, Case]:
        """Return all cases by id; StoreError where one cannot be read."""
        try:
            return {row.id: from_text(row.data) for row in self.connection.execute(sa.select(CASES).order_by(CASES.c.id))}
        except (AttributeError, KeyError, TypeError, ValueError):
            raise StoreError("a row of cases in the store is damaged: give the store back from its backup") from None

    def save(self, case: Case, events: t.Iterable[Event]) -> None:
        """Write a case in the place of what was known of it, and what happened to it."""
        self.connection.execute(sa.delete(CASES).where(CASES.c.id == case.id))
        row = {"id": case.id, "state": case.state, "opened": iso(case.opened), "seen": iso(case.seen), "data": as_text(case)}
        self.connection.execute(sa.insert(CASES).values(row))
        rows = [{"case_id": case.id, "run_id": self.run, "time": iso(self.now), **event._asdict()} for event in events]
        if rows:
            self.connection.execute(sa.insert(EVENTS), rows)

    def request(self, case: Case, how: str, state: str, detail: str, **mail: str) -> None:
        """Write down a request; StoreError where this one was made already. mail: message_id, receiver, text."""
        given = {"case_id": case.id, "number": case.requests, "time": iso(self.now), "how": how, "state": state, "detail": detail, **mail}
        try:
            self.connection.execute(sa.insert(REQUESTS).values(given))
        except sa.exc.IntegrityError:
            raise StoreError(f"request {case.requests} of {case.id} is in the ledger already: nothing was sent") from None

    def settle(self, case_id: str, number: int, state: str, detail: str) -> None:
        """Write down what became of a request that was under way; StoreError where it is not."""
        one = sa.and_(REQUESTS.c.case_id == case_id, REQUESTS.c.number == number, REQUESTS.c.state == SENDING)
        if not self.connection.execute(sa.update(REQUESTS).where(one).values(state=state, detail=detail)).rowcount:
            raise StoreError(f"request {number} of {case_id} is not under way: what became of it is in the ledger already")

    def forget_request(self, case_id: str, number: int) -> None:
        """Take out a request that certainly did not go."""
        self.connection.execute(sa.delete(REQUESTS).where(REQUESTS.c.case_id == case_id, REQUESTS.c.number == number))

    def alive(self, enrolment: str) -> None:
        """Remember that data of an enrolment came."""
        done = self.connection.execute(sa.update(ENROLMENTS).where(ENROLMENTS.c.id == enrolment).values(last=iso(self.now)))
        if not done.rowcount:
            self.connection.execute(sa.insert(ENROLMENTS).values(id=enrolment, first=iso(self.now), last=iso(self.now)))


def as_text(case: Case) -> str:
    """Return a case as text, for from_text()."""
    values = case._asdict()
    values["gates"] = {name: gate._asdict() for name, gate in case.gates.items()}
    values["override"] = case.override._asdict() if case.override else None
    return json.dumps(values)


def from_text(text: str) -> Case:
    """Return the case of a text of as_text()."""
    values = json.loads(text)
    values["gates"] = {name: Gate(**gate) for name, gate in values["gates"].items()}
    override = values["override"]
    values["override"] = Override(override["reason"], tuple(override["gates"]), override["at"]) if override else None
    return Case(**{**values, "sources": tuple(values["sources"]), "codes": tuple(values["codes"])})


def change(engine: sa.Engine, run: str, now: float, work: t.Callable[[Open], t.Any]) -> t.Any:
    """Return what work() returns, which alone writes the ledger meanwhile; where it raises, nothing is written."""
    try:
        with writing(engine) as connection:
            return work(Open(connection, run, now))
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the ledger of delistings cannot be written: {reason(exc)}") from None


def load(engine: sa.Engine) -> dict[str, Case]:
    """Return all cases by id."""
    with reading(engine, "the cases") as connection:
        return Open(connection, "", 0.0).cases()


def followed(engine: sa.Engine) -> list[Row]:
    """Return what is followed: subject and zone of each list of a case that goes on."""
    open_ones = [case for case in load(engine).values() if case.state != CLEARED]
    return [{"subject": case.subject, "zone": source} for case in open_ones for source in case.sources if ":" not in source]


def history(engine: sa.Engine, case_id: str) -> list[Row]:
    """Return what happened to a case, the oldest first: id (event/N), time, run_id, kind, why."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(EVENTS).where(EVENTS.c.case_id == case_id).order_by(EVENTS.c.id)).mappings()
        return [{**row, "id": f"event/{row['id']}"} for row in rows]


def requests(engine: sa.Engine, case_id: str) -> list[Row]:
    """Return the requests of a case, the oldest first."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(REQUESTS).where(REQUESTS.c.case_id == case_id).order_by(REQUESTS.c.number)).mappings()
        return [dict(row) for row in rows]


def enrolments(engine: sa.Engine) -> dict[str, Row]:
    """Return per enrolment when its data came first and last."""
    with engine.connect() as connection:
        return {row["id"]: dict(row) for row in connection.execute(sa.select(ENROLMENTS)).mappings()}


def incident_lines(engine: sa.Engine, incidents: t.Collection[str], accounts: t.Collection[str]) -> list[Row]:
    """Return the journal's lines of these incidents or accounts with their id (journal/N), host and accounts as the fleet names them, the
    oldest first."""
    found = []
    with reading(engine, "the hosts' journals") as connection:
        for row in connection.execute(sa.select(JOURNAL.c.id, JOURNAL.c.host, JOURNAL.c.line).order_by(JOURNAL.c.time, JOURNAL.c.id)):
            line = json.loads(row.line)
            names = line.get("accounts") if isinstance(line.get("accounts"), list) else [line["account"]] if "account" in line else []
            names = [name_of(str(name), row.host) for name in names]
            if str(line.get("incident")) in incidents or not set(names).isdisjoint(accounts):
                found.append({**line, "id": f"journal/{row.id}", "host": row.host, "accounts": names})
    return found


def let_in_again(engine: sa.Engine) -> dict[str, float]:
    """Return of each account that was locked and let in again when it last was."""
    of = incidents.INCIDENTS.c
    query = sa.select(of.account, sa.func.max(of.reinstated)).where(
        of.account.is_not(None), of.locked.is_not(None), of.reinstated.is_not(None)
    )
    with reading(engine, "the incidents") as connection:
        return {account: epoch(time) for account, time in connection.execute(query.group_by(of.account))}


def resolve(engine: sa.Engine, row_id: str) -> t.Any:
    """Return what a row's id in a dossier names (event/N, journal/N, run/ID/PART/NAME, case/ID/gates/NAME), or None."""
    kind, _, rest = row_id.partition("/")
    with engine.connect() as connection:
        if kind == "event":
            row = connection.execute(sa.select(EVENTS).where(EVENTS.c.id == int(rest))).mappings().first()
            return dict(row) if row else None
        if kind == "journal":
            text = connection.execute(sa.select(JOURNAL.c.line).where(JOURNAL.c.id == int(rest))).scalar()
            return json.loads(text) if text else None
        if kind == "case":
            name, _, gate = rest.partition("/gates/")
            text = connection.execute(sa.select(CASES.c.data).where(CASES.c.id == name)).scalar()
            return json.loads(text)["gates"].get(gate) if text else None
        run, _, part = rest.partition("/")
        text = connection.execute(sa.select(RUNS.c.document).where(RUNS.c.id == run)).scalar()
    return _part(json.loads(text), part) if text else None


#: By which field a row of a document's part is named.
_NAMES = {"observations": "source", "locks": "account", "limits": "host"}


def _part(document: Row, part: str) -> t.Any:
    table, _, name = part.partition("/")
    if table == "outbreak":
        return (
            next((row for row in document["outbreak"]["conditions"] if str(row["number"]) == name), None) if name else document["outbreak"]
        )
    rows = [row for row in document.get(table, ()) if row.get(_NAMES.get(table, "")) == name]
    return rows or None


def export(engine: sa.Engine) -> Row:
    """Return the whole store but its secrets: per table its rows, as they were at one moment. StoreError where it cannot be read."""
    tables = sa.MetaData()
    try:
        with writing(engine) as connection:
            tables.reflect(connection)
            return {
                name: [dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()]
                for name, table in sorted(tables.tables.items())
                if name not in SECRET
            }
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the store cannot be exported: {reason(exc)}") from None


def forget(engine: sa.Engine, now: float, days: float) -> int:
    """Delete what names people and is older than so many days: runs, journal lines, requests' texts and details, and of cases that are
    over the words of what happened, of incidents the account. What was listed and when stays. Return how many rows went or lost it.

    What a case that goes on rests on stays with it, as long as its list says something of it (of an address that left the inventory none
    does any more); and of each host the newest line, since the next ones follow on it."""
    try:
        with writing(engine) as connection:
            return _forget(connection, now, days)
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"what is old cannot be taken out of the store: {reason(exc)}") from None


def _forget(connection: sa.Connection, now: float, days: float) -> int:
    since = now - days * 86400.0
    open_ones = [case for case in Open(connection, "", now).cases().values() if case.state != CLEARED]
    before = min([since, *(case.opened - BEFORE for case in open_ones if case.ask_at > since)])
    old = connection.execute(sa.select(RUNS.c.id).where(RUNS.c.started < iso(before))).scalars().all()
    gone = 0
    for table, column in ((FINDINGS, FINDINGS.c.run_id), (ACTIONS, ACTIONS.c.run_id), (RUNS, RUNS.c.id)):
        for run in old:
            gone += connection.execute(sa.delete(table).where(column == run)).rowcount
    newest = sa.select(sa.func.max(JOURNAL.c.id)).group_by(JOURNAL.c.host).scalar_subquery()
    gone += connection.execute(sa.delete(JOURNAL).where(JOURNAL.c.time < before, JOURNAL.c.id.not_in(newest))).rowcount
    gone += connection.execute(
        sa.update(REQUESTS)
        .where(REQUESTS.c.time < iso(before), sa.or_(REQUESTS.c.text.is_not(None), REQUESTS.c.detail != ""))
        .values(text=None, receiver=None, detail="")
    ).rowcount
    gone += incidents.forget(connection, iso(before))
    over = sa.select(CASES.c.id).where(CASES.c.state == CLEARED)
    for cases in (EVENTS.c.case_id.in_(over), *(EVENTS.c.case_id == case.id for case in open_ones if case.ask_at <= since)):
        gone += connection.execute(sa.update(EVENTS).where(EVENTS.c.time < iso(before), EVENTS.c.why != "", cases).values(why="")).rowcount
    return gone

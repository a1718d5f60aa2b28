# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's durable state, in one database (SQLAlchemy Core): how it is opened and written, and the runs with their findings and
actions.

A URL such as sqlite:////var/lib/x/goodstanding.db or postgresql+psycopg://user@host/name; a password in it reaches no message.
"""

from __future__ import annotations

import contextlib
import json
import typing as t
from pathlib import Path

import sqlalchemy as sa

from .migrations import STEPS

METADATA = sa.MetaData()
#: The version of the tables. A new table is simply made; what changes in a table that was there before is a step of MIGRATIONS.
VERSION = 2
MIGRATIONS = STEPS
STORE = sa.Table("store_version", METADATA, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))
#: Seconds for which a run waits for another one that writes.
PATIENCE = 60
_LOCK = 0x676F6F64
RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("started", sa.String(32), nullable=False),
    sa.Column("finished", sa.String(32)),
    sa.Column("inventory", sa.Text, nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("by_whom", sa.Text),
)
FINDINGS = sa.Table(
    "findings",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("host", sa.Text),
    sa.Column("what", sa.Text, nullable=False),
)
ACTIONS = sa.Table(
    "actions",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("time", sa.String(32), nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("account", sa.Text),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("result", sa.String(16), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)


class StoreError(Exception):
    """The database cannot be used; the message names it without its password."""


def open_store(url: str) -> sa.Engine:
    """Return the database with its tables made. An SQLite file gets its folder, readable by its owner alone."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise StoreError(
            "goodstanding_state_url is no database URL: expected sqlite:////path/file.db or postgresql+psycopg://user@host/name"
        ) from None
    try:
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        engine = _engine(parsed)
        if not _is_whole(engine):
            with writing(engine) as connection:
                _make(connection)
        return engine
    except (sa.exc.SQLAlchemyError, OSError, ImportError) as exc:
        raise StoreError(f"the store {parsed.render_as_string(hide_password=True)} cannot be opened: {reason(exc)}") from None


def _engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, connect_args={"timeout": PATIENCE} if url.get_backend_name() == "sqlite" else {})


def _is_whole(engine: sa.Engine) -> bool:
    """Whether all tables are there, of this version; StoreError where they are of a newer one, which this release would spoil."""
    tables = set(sa.inspect(engine).get_table_names())
    if STORE.name not in tables:
        return False
    with engine.connect() as connection:
        version = connection.execute(sa.select(STORE.c.version)).scalar()
    if version is not None and version > VERSION:
        raise StoreError(
            f"the store {engine.url.render_as_string(hide_password=True)} is of version {version}, and this release knows {VERSION}: "
            "run the release that wrote it, or name another store (goodstanding_state_url)"
        )
    return version == VERSION and set(METADATA.tables) <= tables


def _make(connection: sa.Connection) -> None:
    """Make the tables that are missing, and bring those of an earlier version to this one, in the transaction of one writer."""
    old = sa.inspect(connection).has_table(RUNS.name)
    STORE.create(connection, checkfirst=True)
    version = connection.execute(sa.select(STORE.c.version)).scalar()
    if version is None:
        version = 0 if old else VERSION  # a store of before there were versions
        connection.execute(sa.insert(STORE).values(version=version))
    for step in range(version, VERSION):
        MIGRATIONS.get(step, lambda _: None)(connection)
    METADATA.create_all(connection)  # behind the steps, which know the tables as they were
    connection.execute(sa.update(STORE).values(version=VERSION))


@contextlib.contextmanager
def writing(engine: sa.Engine) -> t.Iterator[sa.Connection]:
    """Give a transaction in which nobody else reads in order to write: what is read there is true until its end. Others wait."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(PATIENCE * 1000)}")
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        yield connection
        connection.commit()


@contextlib.contextmanager
def reading(engine: sa.Engine, what: str) -> t.Iterator[sa.Connection]:
    """Give a connection to read with; StoreError, which names what was to be read, where that cannot be."""
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"{what} cannot be read from the store: {reason(exc)}") from None


def open_existing(url: str) -> sa.Engine | None:
    """Return the database as it is, for check mode: nothing is made in it. None where it is not there, or lacks a table."""
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and not (parsed.database and Path(parsed.database).exists()):
            return None
        engine = _engine(parsed)
        return engine if _is_whole(engine) else None
    except (sa.exc.SQLAlchemyError, ImportError):
        return open_store(url)  # says what is wrong


def reason(exc: BaseException) -> str:
    """Return what the driver says, which does not repeat the URL."""
    cause = getattr(exc, "orig", None) or exc
    return f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"[:300]


def save_run(engine: sa.Engine, document: dict[str, t.Any]) -> None:
    """Write a run, in a transaction of its own: see put_run()."""
    try:
        with writing(engine) as connection:
            put_run(connection, document)
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the run {document['run']['id']} cannot be stored: {reason(exc)}") from None


def put_run(connection: sa.Connection, document: dict[str, t.Any], by: str | None = None) -> None:
    """Write a run, its findings and its actions, replacing what was written of it before. by: who started it."""
    run = document["run"]
    # Who goes on with the findings of another's run did not do what that run did.
    by = connection.execute(sa.select(RUNS.c.by_whom).where(RUNS.c.id == run["id"])).scalar() or by
    for table in (FINDINGS, ACTIONS):
        connection.execute(sa.delete(table).where(table.c.run_id == run["id"]))
    connection.execute(sa.delete(RUNS).where(RUNS.c.id == run["id"]))
    row = {name: run[name] for name in ("id", "started", "finished", "inventory", "mode", "status")}
    connection.execute(sa.insert(RUNS).values(**row, by_whom=by or None, document=json.dumps(document, sort_keys=True)))
    points = [{"run_id": run["id"], **{name: row[name] for name in ("severity", "host", "what")}} for row in document["open_points"]]
    names = ("time", "host", "account", "action", "result", "detail")
    actions = [{"run_id": run["id"], **{name: row[name] for name in names}} for row in document["actions"]]
    for table, rows in ((FINDINGS, points), (ACTIONS, actions)):
        if rows:
            connection.execute(sa.insert(table), rows)


def load_run(engine: sa.Engine, run_id: str) -> dict[str, t.Any] | None:
    """Return a run's document, or None."""
    with reading(engine, f"the run {run_id}") as connection:
        text = connection.execute(sa.select(RUNS.c.document).where(RUNS.c.id == run_id)).scalar()
    return json.loads(text) if text else None


def documents(engine: sa.Engine, since: str) -> t.Iterator[dict[str, t.Any]]:
    """Yield the documents of the runs that started since a time, the oldest first."""
    query = sa.select(RUNS.c.document).where(RUNS.c.started >= since).order_by(RUNS.c.started, RUNS.c.id)
    with reading(engine, "the runs") as connection:
        for (text,) in connection.execute(query.execution_options(yield_per=20)):
            yield json.loads(text)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's durable state, in one database (SQLAlchemy Core): runs with their findings and actions, and since
when each listing is known.

A URL such as sqlite:////var/lib/x/goodstanding.db or postgresql+psycopg://user@host/name; a password in it reaches no message.
"""

from __future__ import annotations

import contextlib
import json
import typing as t
from pathlib import Path

import sqlalchemy as sa

METADATA = sa.MetaData()
#: The version of the tables. A new table is simply made; what changes in a table that was there before is a step of MIGRATIONS.
VERSION = 1
#: How a store of a version becomes one of the next.
MIGRATIONS: dict[int, t.Callable[[sa.Connection], None]] = {}
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
OBSERVATIONS = sa.Table(
    "observations",
    METADATA,
    sa.Column("subject", sa.String(255), primary_key=True),
    sa.Column("source", sa.String(255), primary_key=True),
    sa.Column("code", sa.String(64), primary_key=True),
    sa.Column("since", sa.String(32), nullable=False),
)


REFUSED = sa.Table(
    "refused_domains",
    METADATA,
    sa.Column("subject", sa.String(255), primary_key=True),
    sa.Column("source", sa.String(255), primary_key=True),
    sa.Column("domain", sa.String(255), primary_key=True),
    sa.Column("last", sa.Float, nullable=False),
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
        raise StoreError(f"the store {parsed.render_as_string(hide_password=True)} cannot be opened: {_reason(exc)}") from None


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
    METADATA.create_all(connection)
    version = connection.execute(sa.select(STORE.c.version)).scalar()
    if version is None:
        version = 0 if old else VERSION  # a store of before there were versions
        connection.execute(sa.insert(STORE).values(version=version))
    for step in range(version, VERSION):
        MIGRATIONS.get(step, lambda _: None)(connection)
    connection.execute(sa.update(STORE).values(version=VERSION))


@contextlib.contextmanager
def writing(engine: sa.Engine) -> t.Iterator[sa.Connection]:
    """Give a transaction in which nobody else reads in order to write: what is read there is true until its end. Others wait."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        yield connection
        connection.commit()


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


def _reason(exc: BaseException) -> str:
    """Return what the driver says, which does not repeat the URL."""
    cause = getattr(exc, "orig", None) or exc
    return f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"[:300]


def observations(engine: sa.Engine) -> dict[tuple[str, str, str], str]:
    """Return since when each (subject, source, code) has been seen."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(OBSERVATIONS)).all()
    return {(row.subject, row.source, row.code): row.since for row in rows}


def refused_domains(engine: sa.Engine) -> dict[tuple[str, str], dict[str, float]]:
    """Return for each (address, source) that refuses it the domains that did, and when last (epoch)."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(REFUSED)).all()
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        found.setdefault((row.subject, row.source), {})[row.domain] = row.last
    return found


def save_observations(
    engine: sa.Engine,
    seen: dict[tuple[str, str, str], str],
    cleared: set[tuple[str, str]],
    refused: dict[tuple[str, str], dict[str, float]],
) -> None:
    """Forget what ended (subject, source) and remember what is there, in one transaction; what neither names stays as it is. refused: as
    refused_domains() returns it, of those that refuse now."""
    table = OBSERVATIONS.c
    ended = [{"gone_subject": subject, "gone_source": source} for subject, source in sorted(cleared)]
    rows = [{"subject": subject, "source": source, "code": code, "since": since} for (subject, source, code), since in seen.items()]
    gone = sa.delete(OBSERVATIONS).where(table.subject == sa.bindparam("gone_subject"), table.source == sa.bindparam("gone_source"))
    try:
        with engine.begin() as connection:
            if ended:
                connection.execute(gone, ended)
                over = sa.delete(REFUSED).where(
                    REFUSED.c.subject == sa.bindparam("gone_subject"), REFUSED.c.source == sa.bindparam("gone_source")
                )
                # A listing that goes on is written anew below; the domains of one that is over are not.
                present = {(subject, source) for subject, source, _ in seen}
                past = [row for row in ended if (row["gone_subject"], row["gone_source"]) not in present]
                if past:
                    connection.execute(over, past)
            if rows:
                connection.execute(sa.insert(OBSERVATIONS), rows)
            for (subject, source), domains in sorted(refused.items()):
                own = sa.and_(REFUSED.c.subject == subject, REFUSED.c.source == source, REFUSED.c.domain.in_(sorted(domains)))
                connection.execute(sa.delete(REFUSED).where(own))
                connection.execute(
                    sa.insert(REFUSED),
                    [{"subject": subject, "source": source, "domain": domain, "last": last} for domain, last in sorted(domains.items())],
                )
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the observations cannot be stored: {_reason(exc)}") from None


def save_run(engine: sa.Engine, document: dict[str, t.Any]) -> None:
    """Write a run, its findings and its actions, replacing what was written of it before, in one transaction."""
    run = document["run"]
    try:
        with engine.begin() as connection:
            for table in (FINDINGS, ACTIONS):
                connection.execute(sa.delete(table).where(table.c.run_id == run["id"]))
            connection.execute(sa.delete(RUNS).where(RUNS.c.id == run["id"]))
            row = {name: run[name] for name in ("id", "started", "finished", "inventory", "mode", "status")}
            connection.execute(sa.insert(RUNS).values(**row, document=json.dumps(document, sort_keys=True)))
            points = [
                {"run_id": run["id"], **{name: row[name] for name in ("severity", "host", "what")}} for row in document["open_points"]
            ]
            names = ("time", "host", "account", "action", "result", "detail")
            actions = [{"run_id": run["id"], **{name: row[name] for name in names}} for row in document["actions"]]
            for table, rows in ((FINDINGS, points), (ACTIONS, actions)):
                if rows:
                    connection.execute(sa.insert(table), rows)
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the run {run['id']} cannot be stored: {_reason(exc)}") from None


def load_run(engine: sa.Engine, run_id: str) -> dict[str, t.Any] | None:
    """Return a run's document, or None."""
    with engine.connect() as connection:
        text = connection.execute(sa.select(RUNS.c.document).where(RUNS.c.id == run_id)).scalar()
    return json.loads(text) if text else None


def documents(engine: sa.Engine, since: str) -> t.Iterator[dict[str, t.Any]]:
    """Yield the documents of the runs that started since a time, the oldest first."""
    query = sa.select(RUNS.c.document).where(RUNS.c.started >= since).order_by(RUNS.c.started, RUNS.c.id)
    try:
        with engine.connect() as connection:
            for (text,) in connection.execute(query.execution_options(yield_per=20)):
                yield json.loads(text)
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the runs cannot be read: {_reason(exc)}") from None

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's durable state, in one database (SQLAlchemy Core): runs with their findings and actions, and since
when each listing is known.

A URL such as sqlite:////var/lib/x/goodstanding.db or postgresql+psycopg://user@host/name; a password in it reaches no message.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import sqlalchemy as sa

METADATA = sa.MetaData()
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
        engine = sa.create_engine(parsed)
        METADATA.create_all(engine)
        return engine
    except (sa.exc.SQLAlchemyError, OSError, ImportError) as exc:
        raise StoreError(f"the store {parsed.render_as_string(hide_password=True)} cannot be opened: {_reason(exc)}") from None


def open_existing(url: str) -> sa.Engine | None:
    """Return the database as it is, for check mode: nothing is made in it. None where it is not there, or lacks a table."""
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and not (parsed.database and Path(parsed.database).exists()):
            return None
        engine = sa.create_engine(parsed)
        return engine if set(METADATA.tables) <= set(sa.inspect(engine).get_table_names()) else None
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

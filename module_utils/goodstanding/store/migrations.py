# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a store of one version becomes one of the next, forward only. A step names the tables as they were then, and is not changed again."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa


def _episodes(connection: sa.Connection) -> None:
    """1 to 2: what is listed now becomes the newest of the listings over time; and a run says who started it."""
    _add_column(connection, "runs", "by_whom", "TEXT")
    if not sa.inspect(connection).has_table("observations"):
        return
    tables = sa.MetaData()
    names = {"subject": 255, "source": 255, "code": 64}
    old = sa.Table(
        "observations", tables, *[sa.Column(name, sa.String(size)) for name, size in names.items()], sa.Column("since", sa.String)
    )
    short = [sa.Column(name, sa.String(32), nullable=False) for name in ("since", "first", "last")]
    run = [sa.Column(name, sa.String(64), nullable=name == "ended_run") for name in ("first_run", "last_run", "ended_run")]
    new = sa.Table(
        "listings", tables, sa.Column("id", sa.Integer, primary_key=True),
        *[sa.Column(name, sa.String(size), nullable=False) for name, size in names.items()],
        sa.Column("list", sa.Text, nullable=False), sa.Column("outcome", sa.String(24), nullable=False),
        *short, *run, sa.Column("ended", sa.String(32)),
    )  # fmt: skip
    of = new.c
    sa.Index(
        "listings_open", of.subject, of.source, of.code, unique=True, sqlite_where=of.ended.is_(None), postgresql_where=of.ended.is_(None)
    )
    sa.Index("listings_source", of.source)
    new.create(connection, checkfirst=True)
    since = old.c.since
    rows = sa.select(old.c.subject, old.c.source, old.c.code, sa.literal(""), sa.literal("listed"), since, since, since, sa.literal(""),
                     sa.literal(""))  # fmt: skip
    into = ["subject", "source", "code", "list", "outcome", "since", "first", "last", "first_run", "last_run"]
    connection.execute(sa.insert(new).from_select(into, rows))
    old.drop(connection)


def _add_column(connection: sa.Connection, table: str, column: str, kind: str) -> None:
    inspector = sa.inspect(connection)
    if inspector.has_table(table) and column not in {row["name"] for row in inspector.get_columns(table)}:
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


#: From which version a step leads to the next one.
STEPS: dict[int, t.Callable[[sa.Connection], None]] = {1: _episodes}

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's copy of what each host did: its journal, line by line, which nobody on that host can change any more."""

from __future__ import annotations

import json
import re
import typing as t

import sqlalchemy as sa

from .database import METADATA, StoreError, reading, writing

JOURNAL = sa.Table(
    "journal",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("chain", sa.String(32), nullable=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("line", sa.Text, nullable=False),
    sa.UniqueConstraint("host", "chain"),
)
#: A line longer than this was not written by this project.
MAX_LINE = 100_000


def save(engine: sa.Engine, journals: dict[str, list[dict[str, t.Any]]]) -> None:
    """Add lines in a transaction of its own: see put()."""
    try:
        with writing(engine) as connection:
            put(connection, journals)
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the hosts' journals cannot be stored: {type(exc).__name__}") from None


def put(connection: sa.Connection, journals: dict[str, list[dict[str, t.Any]]]) -> None:
    """Add the lines of each host that are not there yet, in their order, in the transaction of one writer. journals: per host as its
    modules return them."""
    for host, lines in sorted(journals.items()):
        rows = [row for row in map(_row, lines) if row is not None]
        chains = [row["chain"] for row in rows]
        known = set(connection.execute(sa.select(JOURNAL.c.chain).where(JOURNAL.c.host == host, JOURNAL.c.chain.in_(chains))).scalars())
        new = {row["chain"]: {"host": host, **row} for row in rows if row["chain"] not in known}
        if new:
            connection.execute(sa.insert(JOURNAL), list(new.values()))


def _row(line: t.Any) -> dict[str, t.Any] | None:
    """Return a line as the table holds it, or None where it is none: it comes from a host."""
    if not isinstance(line, dict) or not isinstance(line.get("chain"), str) or not isinstance(line.get("time"), (int, float)):
        return None
    text = json.dumps(line, sort_keys=True)
    if (
        not re.match(r"[0-9a-f]{32}\Z", line["chain"]) or not 0 <= line["time"] < 4e9
    ):  # no integer too large for a float, no half of a letter
        return None
    return {"chain": line["chain"], "time": float(line["time"]), "line": text} if len(text) <= MAX_LINE else None


def last(engine: sa.Engine) -> dict[str, str]:
    """Return per host the hash of the newest line that is known."""
    newest = sa.select(sa.func.max(JOURNAL.c.id)).group_by(JOURNAL.c.host)
    with reading(engine, "the hosts' journals") as connection:
        return {
            row.host: row.chain for row in connection.execute(sa.select(JOURNAL.c.host, JOURNAL.c.chain).where(JOURNAL.c.id.in_(newest)))
        }


def lines(engine: sa.Engine, host: str) -> list[dict[str, t.Any]]:
    """Return what is known of a host's journal."""
    with reading(engine, "the hosts' journals") as connection:
        rows = connection.execute(sa.select(JOURNAL.c.line).where(JOURNAL.c.host == host).order_by(JOURNAL.c.id)).scalars()
        return [json.loads(text) for text in rows]

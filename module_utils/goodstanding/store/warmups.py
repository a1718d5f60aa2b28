# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far each warm-up is, per host and receiver."""

from __future__ import annotations

import json

import sqlalchemy as sa

from ..shaping.warmup import State
from .database import METADATA, StoreError

WARMUPS = sa.Table(
    "warmups",
    METADATA,
    sa.Column("host", sa.String(255), primary_key=True),
    sa.Column("receiver", sa.String(32), primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
)
Key = tuple[str, str]


def load(engine: sa.Engine) -> dict[Key, State]:
    """Return the states by host and receiver."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(WARMUPS)).all()
    found = {}
    for row in rows:
        values = json.loads(row.state)
        found[row.host, row.receiver] = State(**{**values, "listings": tuple(values["listings"])})
    return found


def save(engine: sa.Engine, states: dict[Key, State | None]) -> None:
    """Remember these states, each in the place of what was known, and forget those that are None, in one transaction."""
    gone = sa.delete(WARMUPS).where(WARMUPS.c.host == sa.bindparam("gone_host"), WARMUPS.c.receiver == sa.bindparam("gone_receiver"))
    rows = [
        {"host": host, "receiver": receiver, "state": json.dumps(state._asdict(), sort_keys=True)}
        for (host, receiver), state in sorted(states.items())
        if state is not None
    ]
    try:
        with engine.begin() as connection:
            if states:
                connection.execute(gone, [{"gone_host": host, "gone_receiver": receiver} for host, receiver in sorted(states)])
            if rows:
                connection.execute(sa.insert(WARMUPS), rows)
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the warm-ups cannot be stored ({type(exc).__name__})") from None

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The break-ins of accounts over time, a row each."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa

from ..findings.incidents import Incident, accounts, after
from .database import METADATA

INCIDENTS = sa.Table(
    "incidents",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    # Null where it was forgotten, because of its age: that there was an incident stays.
    sa.Column("account", sa.Text),
    sa.Column("number", sa.Integer, nullable=False),
    *[
        sa.Column(name, sa.String(32), nullable=name not in ("first", "last"))
        for name in ("first", "last", "locked", "ended", "reinstated")
    ],
    *[
        sa.Column(f"{name}_run", sa.String(80), nullable=name not in ("first", "last"))
        for name in ("first", "last", "locked", "ended", "reinstated")
    ],
    # Of two runs that both open an incident, one does.
    sa.UniqueConstraint("account", "number"),
)
_OF = INCIDENTS.c
_COLUMNS = [INCIDENTS.c[name] for name in Incident._fields]


def newest(connection: sa.Connection, names: set[str]) -> dict[str, Incident]:
    """Return of each of these accounts its newest incident."""
    found: dict[str, Incident] = {}
    if names:
        query = sa.select(*_COLUMNS).where(_OF.account.in_(sorted(names))).order_by(_OF.number)
        found.update({row.account: Incident(*row) for row in connection.execute(query)})
    return found


def put(connection: sa.Connection, document: dict[str, t.Any], proven: float | None) -> None:
    """Write what a run's document says of the incidents, in the transaction of one writer. proven: as in findings.incidents.after()."""
    for incident in after(newest(connection, accounts(document)), document, proven):
        same = sa.and_(_OF.account == incident.account, _OF.number == incident.number)
        done = connection.execute(sa.update(INCIDENTS).where(same).values(incident._asdict()))
        if not done.rowcount:
            connection.execute(sa.insert(INCIDENTS).values(incident._asdict()))


def forget(connection: sa.Connection, before: str) -> int:
    """Take the accounts out of incidents of which nothing was seen since a time; return of how many."""
    old = sa.and_(_OF.account.is_not(None), _OF.last < before, sa.or_(_OF.reinstated.is_(None), _OF.reinstated < before))
    return connection.execute(sa.update(INCIDENTS).where(old).values(account=None)).rowcount

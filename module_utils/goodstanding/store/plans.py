# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which plans were carried out: each is done once. One that was begun and not ended, since a run was killed or a host was down, goes on."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa

from ..findings.times import iso
from .database import METADATA, StoreError, writing

PLANS = sa.Table(
    "plans",
    METADATA,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("run_id", sa.String(64), nullable=False),
    sa.Column("begun", sa.String(32), nullable=False),
    sa.Column("ended", sa.String(32)),
)


class Known(t.NamedTuple):
    """The run that carried a plan out last; begun and ended are ISO 8601 in UTC, ended is None as long as something of it is left."""

    run_id: str
    begun: str
    ended: str | None


def known(engine: sa.Engine, sha256: str) -> Known | None:
    """Return what is known of a plan, None where no run has begun it."""
    try:
        with engine.connect() as connection:
            row = connection.execute(sa.select(PLANS).where(PLANS.c.sha256 == sha256)).first()
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the plans cannot be read: {type(exc).__name__}") from None
    return Known(row.run_id, row.begun, row.ended) if row else None


def begin(engine: sa.Engine, sha256: str, run_id: str, now: float) -> Known | None:
    """Write down that a run carries out a plan. Return what was known of it before; one that has ended stays as it is."""
    try:
        with writing(engine) as connection:
            row = connection.execute(sa.select(PLANS).where(PLANS.c.sha256 == sha256)).first()
            if row is None:
                connection.execute(sa.insert(PLANS).values(sha256=sha256, run_id=run_id, begun=iso(now)))
            elif row.ended is None:
                connection.execute(sa.update(PLANS).where(PLANS.c.sha256 == sha256).values(run_id=run_id))
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the plan cannot be stored: {type(exc).__name__}") from None
    return Known(row.run_id, row.begun, row.ended) if row else None


def end(engine: sa.Engine, sha256: str, run_id: str, now: float) -> None:
    """Write down that a run has carried out the plan that it began."""
    own = sa.and_(PLANS.c.sha256 == sha256, PLANS.c.run_id == run_id, PLANS.c.ended.is_(None))
    try:
        with writing(engine) as connection:
            connection.execute(sa.update(PLANS).where(own).values(ended=iso(now)))
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the plan cannot be stored: {type(exc).__name__}") from None

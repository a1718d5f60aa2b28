# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which reports were mailed: each is in the store before it goes, so that none goes twice. A row names nobody, and is kept."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa

from ..findings.times import iso
from .database import METADATA, StoreError, reason, writing

MAILS = sa.Table(
    "report_mails",
    METADATA,
    sa.Column("report", sa.String(64), primary_key=True),
    sa.Column("run_id", sa.String(64), nullable=False),
    sa.Column("message_id", sa.Text, nullable=False),
    sa.Column("time", sa.String(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)
#: It is about to go, and nobody has said yet that it went.
SENDING = "sending"


class Mailed(t.NamedTuple):
    """What the store knows of a report that was mailed; state: SENDING or what the relay said (mail/relay.py)."""

    time: str
    state: str
    detail: str
    message_id: str


def claim(engine: sa.Engine, report: str, run_id: str, message_id: str, now: float) -> Mailed | None:
    """Write down that a report goes now, and return None; where it went before, nothing is written, and that is returned."""
    try:
        with writing(engine) as connection:
            names = [MAILS.c[name] for name in Mailed._fields]
            known = connection.execute(sa.select(*names).where(MAILS.c.report == report)).first()
            if known is not None:
                return Mailed(*known)
            row = {"report": report, "run_id": run_id, "message_id": message_id, "time": iso(now), "state": SENDING, "detail": ""}
            connection.execute(sa.insert(MAILS).values(row))
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the mail of a report cannot be recorded, and was not sent: {reason(exc)}") from None
    return None


def settle(engine: sa.Engine, report: str, state: str, detail: str) -> None:
    """Write down what became of a report's mail."""
    _change(engine, sa.update(MAILS).where(MAILS.c.report == report).values(state=state, detail=detail))


def release(engine: sa.Engine, report: str) -> None:
    """Forget a mail that certainly did not go: the next run may try again."""
    _change(engine, sa.delete(MAILS).where(MAILS.c.report == report))


def _change(engine: sa.Engine, what: t.Any) -> None:
    try:
        with writing(engine) as connection:
            connection.execute(what)
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"what became of the mail of a report cannot be recorded, and it is not sent again: {reason(exc)}") from None

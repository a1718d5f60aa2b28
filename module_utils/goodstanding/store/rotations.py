# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far each DKIM key is, per host, domain and selector. Public facts only.

A run reads the slots with a number, and may write them only while that number stands: of two runs that read the same, one writes, and the
other is told so before it does anything. What is late then does no harm but for records that are taken away: a run that does so keeps the
others out for a minute. One that was killed holds nothing else.
"""

from __future__ import annotations

import json
import typing as t

import sqlalchemy as sa

from ..dkim.rotation import Key, Slot
from .database import METADATA, StoreError, reading

SLOTS = sa.Table(
    "dkim_slots",
    METADATA,
    sa.Column("host", sa.String(255), primary_key=True),
    sa.Column("domain", sa.String(255), primary_key=True),
    sa.Column("selector", sa.String(255), primary_key=True),
    sa.Column("slot", sa.Text, nullable=False),
)
VERSION = sa.Table(
    "dkim_version",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("held_until", sa.Float, nullable=False),
)
#: So many seconds between the decision and the update of a zone are enough.
HOLD = 60.0
_NAMES = set(Slot._fields)
_WHAT = "the DKIM keys"


class Known(t.NamedTuple):
    """The slots as they were read, the number that stood then, and which run kept others out."""

    slots: list[Slot]
    version: int
    holder: str = ""


class Hold(t.NamedTuple):
    """Whose run this is, and for how many seconds others are kept out."""

    run: str
    seconds: float = 0.0


NOBODY = Hold("")


def load(engine: sa.Engine) -> Known:
    """Return all slots, sorted. StoreError where they cannot be read."""
    try:
        with reading(engine, _WHAT) as connection:
            # First: where another run writes between the two, what is read is newer than its number, and saving is refused.
            row = _standing(connection)
            rows = connection.execute(sa.select(SLOTS.c.slot)).scalars().all()
        slots = [Slot(**{name: value for name, value in json.loads(text).items() if name in _NAMES}) for text in rows]
    except (TypeError, ValueError):
        raise StoreError("a row of dkim_slots in the store is damaged: give the store back from its backup") from None
    return Known(sorted(slots), row.version if row else 0, row.holder if row else "")


def _standing(connection: sa.Connection) -> sa.Row[t.Any] | None:
    """Return the number that stands, with who keeps others out; None before the first run."""
    return connection.execute(sa.select(VERSION)).first()


def held(engine: sa.Engine, run: str, now: float) -> float:
    """Return for how many seconds another run keeps this one out; StoreError where that cannot be read."""
    with reading(engine, _WHAT) as connection:
        row = _standing(connection)
    return 0.0 if row is None or row.holder == run else max(0.0, min(HOLD, row.held_until - now))


def save(engine: sa.Engine, known: Known, slots: list[Slot], hold: Hold = NOBODY, now: float = 0.0) -> Known:
    """Write what changed since known, in one transaction, and return what is known now. StoreError where another run was there first, or
    keeps this one out."""
    old = {slot.key: slot for slot in known.slots}
    new = {slot.key: slot for slot in slots}
    changed = [slot for key, slot in sorted(new.items()) if old.get(key) != slot]
    gone = [key for key in sorted(old) if key not in new or new[key] != old[key]]
    mine = known.holder != "" and known.holder == hold.run  # what it held out before may come in again
    if not changed and not gone and not hold.seconds and not mine:
        return known
    try:
        with engine.begin() as connection:
            if not _next(connection, known.version, hold, now):
                raise StoreError("another run has moved the DKIM keys on meanwhile, and goes on there: run again when it has ended")
            _write(connection, gone, changed)
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the DKIM keys cannot be stored ({type(exc).__name__}), and nothing was done") from None
    return Known(sorted(slots), known.version + 1, hold.run if hold.seconds else "")


def _next(connection: sa.Connection, version: int, hold: Hold, now: float) -> bool:
    """Set the number one higher; return whether it still stood and nobody else keeps others out."""
    row = {"version": version + 1, "holder": hold.run if hold.seconds else "", "held_until": now + hold.seconds}
    if version == 0:
        # Two first runs: the second insert breaks at the key of the row.
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(VERSION).values(id=1, **row))
        except sa.exc.IntegrityError:
            return False
        return True
    free = sa.or_(VERSION.c.holder == hold.run, VERSION.c.held_until <= now)
    return connection.execute(sa.update(VERSION).where(VERSION.c.version == version, free).values(row)).rowcount == 1


def _write(connection: sa.Connection, gone: list[Key], changed: list[Slot]) -> None:
    if gone:
        columns = (SLOTS.c.host, SLOTS.c.domain, SLOTS.c.selector)
        delete = sa.delete(SLOTS).where(*(column == sa.bindparam(f"gone_{column.name}") for column in columns))
        connection.execute(delete, [{f"gone_{column.name}": value for column, value in zip(columns, key)} for key in gone])
    rows = [dict(zip(("host", "domain", "selector"), slot.key), slot=json.dumps(slot._asdict(), sort_keys=True)) for slot in changed]
    if rows:
        connection.execute(sa.insert(SLOTS), rows)

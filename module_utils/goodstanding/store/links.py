# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier runs saw of the links of SNDS, by the hash of each link: the link itself is a key, and is not stored."""

from __future__ import annotations

import datetime
import hashlib

import sqlalchemy as sa

from ..feeds.snds import Link
from .database import METADATA, StoreError

LINKS = sa.Table(
    "snds_links",
    METADATA,
    sa.Column("link", sa.String(64), primary_key=True),
    sa.Column("first_seen", sa.String(10), nullable=False),
    sa.Column("last_day", sa.String(10)),
    sa.Column("longest_gap", sa.Integer, nullable=False),
)


def name(url: str) -> str:
    """Return the name under which a link is remembered."""
    return hashlib.sha256(url.encode()).hexdigest()


def load(engine: sa.Engine) -> dict[str, Link]:
    """Return what is known, by name."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(LINKS)).all()
    day = datetime.date.fromisoformat
    return {row.link: Link(day(row.first_seen), None, day(row.last_day) if row.last_day else None, row.longest_gap) for row in rows}


def save(engine: sa.Engine, links: dict[str, Link]) -> None:
    """Remember links, each in the place of what was known of it."""
    rows = [
        {
            "link": key, "first_seen": link.first_seen.isoformat(), "longest_gap": link.longest_gap,
            "last_day": link.last_day.isoformat() if link.last_day else None,
        }
        for key, link in sorted(links.items())
    ]  # fmt: skip
    if not rows:
        return
    try:
        with engine.begin() as connection:
            connection.execute(sa.delete(LINKS).where(LINKS.c.link == sa.bindparam("gone")), [{"gone": row["link"]} for row in rows])
            connection.execute(sa.insert(LINKS), rows)
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the links of SNDS cannot be stored ({type(exc).__name__})") from None

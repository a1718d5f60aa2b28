# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each source said of each address and name over time: one row from the first answer that names it to the one that does not.

It grows with changes, not with runs. Only an answer that can be believed begins or ends a row; a source that is silent changes nothing.
Times are ISO 8601 in UTC, of when a run asked: what a run asked before another one, and writes after it, changes nothing.
"""

from __future__ import annotations

import typing as t

import sqlalchemy as sa

from ..findings.observations import Heard, Known, Pair, Refused, heard
from ..findings.times import iso
from .database import METADATA, reading

#: since: of the listing; first and last: of this code in it, by which runs; ended: when a run heard otherwise, null while it goes on.
#: outcome: as in the findings, or SUSPECTED.
LISTINGS = sa.Table(
    "listings",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("subject", sa.String(255), nullable=False),
    sa.Column("source", sa.String(255), nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("list", sa.Text, nullable=False),
    sa.Column("outcome", sa.String(24), nullable=False),
    sa.Column("since", sa.String(32), nullable=False),
    sa.Column("first", sa.String(32), nullable=False),
    sa.Column("last", sa.String(32), nullable=False),
    sa.Column("first_run", sa.String(64), nullable=False),
    sa.Column("last_run", sa.String(64), nullable=False),
    sa.Column("ended_run", sa.String(64)),
    sa.Column("ended", sa.String(32)),
)
_OF = LISTINGS.c
# Of two runs that both see it first, one writes the row.
sa.Index(
    "listings_open", _OF.subject, _OF.source, _OF.code, unique=True, sqlite_where=_OF.ended.is_(None), postgresql_where=_OF.ended.is_(None)
)
sa.Index("listings_source", _OF.source)
#: Which subjects were asked about, from when to when, as far as any source gave an answer that can be believed.
SUBJECTS = sa.Table(
    "subjects",
    METADATA,
    sa.Column("subject", sa.String(255), primary_key=True),
    sa.Column("first", sa.String(32), nullable=False),
    sa.Column("last", sa.String(32), nullable=False),
)
REFUSED = sa.Table(
    "refused_domains",
    METADATA,
    sa.Column("subject", sa.String(255), primary_key=True),
    sa.Column("source", sa.String(255), primary_key=True),
    sa.Column("domain", sa.String(255), primary_key=True),
    sa.Column("last", sa.Float, nullable=False),
)
#: The fleet brake holds it for a fault of the resolver or the list, until a second run hears the same.
SUSPECTED = "suspected"
#: So many keys are in one statement; SQLite takes 32,766.
_AT_ONCE = 5000

Row = dict[str, t.Any]


def known(engine: sa.Engine) -> Known:
    """Return since when each (subject, source, code) is listed that is listed now."""
    with reading(engine, "the observations") as connection:
        rows = connection.execute(sa.select(LISTINGS).where(_OF.ended.is_(None))).all()
    return {(row.subject, row.source, row.code): row.since for row in rows}


def refused_domains(engine: sa.Engine) -> Refused:
    """Return for each (address, source) that refuses it the domains that did, and when last (epoch)."""
    found: Refused = {}
    with reading(engine, "the observations") as connection:
        for row in connection.execute(sa.select(REFUSED)):
            found.setdefault((row.subject, row.source), {})[row.domain] = row.last
    return found


def put(connection: sa.Connection, document: Row, at: float, refused: Refused) -> list[str]:
    """Write what the sources of a run's document said, asked at that time (epoch), in the transaction of one writer. refused: as
    refused_domains() returns it, of those that refuse now. Return the subjects of which a later answer is known: nothing was written."""
    said, when, run = heard(document), iso(at), document["run"]["id"]
    asked = {row.subject: row.last for row in connection.execute(sa.select(SUBJECTS))}
    late = {subject for subject in said.subjects if asked.get(subject, "") > when}
    said = said.without(late)
    ended = _listings(connection, said, when, run)
    _refusals(connection, ended, {pair: domains for pair, domains in refused.items() if pair[0] not in late})
    _update(connection, SUBJECTS, "subject", [{"subject": subject, "last": when} for subject in sorted(said.subjects & set(asked))])
    new = [{"subject": subject, "first": when, "last": when} for subject in sorted(said.subjects - set(asked))]
    if new:
        connection.execute(sa.insert(SUBJECTS), new)
    return sorted(late)


def _listings(connection: sa.Connection, said: Heard, when: str, run: str) -> set[Pair]:
    """Begin, go on with and end the listings; return the pairs that are listed no more."""
    going: dict[Pair, dict[str, int]] = {}
    for row in connection.execute(sa.select(_OF.id, _OF.subject, _OF.source, _OF.code).where(_OF.ended.is_(None))):
        going.setdefault((row.subject, row.source), {})[row.code] = row.id
    new, seen, over = list[Row](), list[Row](), list[int]()
    for pair, rows in sorted(said.told.items()):
        for code, told in sorted(rows.items()):
            facts = {"list": told["list"], "outcome": SUSPECTED if told["suspected"] else told["outcome"], "last": when, "last_run": run}
            if code in going.get(pair, {}):
                seen.append({"id": going[pair][code], **facts})
            else:
                new.append(
                    {"subject": pair[0], "source": pair[1], "code": code, "since": told["since"], "first": when, "first_run": run, **facts}
                )
        if not any(told["suspected"] for told in rows.values()):
            over += [number for code, number in going.get(pair, {}).items() if code not in rows]
    ended = said.clean & set(going)
    over += [number for pair in ended for number in going[pair].values()]
    _update(connection, LISTINGS, "id", seen)
    _update(connection, LISTINGS, "id", [{"id": number, "ended": when, "ended_run": run} for number in sorted(over)])
    if new:
        connection.execute(sa.insert(LISTINGS), new)
    return ended


def _update(connection: sa.Connection, table: sa.Table, key: str, rows: list[Row]) -> None:
    """Change rows by their key. Most of them change alike, and are changed by one statement."""
    alike: dict[tuple[tuple[str, t.Any], ...], list[t.Any]] = {}
    for row in rows:
        alike.setdefault(tuple((name, value) for name, value in row.items() if name != key), []).append(row[key])
    for values, keys in alike.items():
        for start in range(0, len(keys), _AT_ONCE):
            some = table.c[key].in_(keys[start : start + _AT_ONCE])
            connection.execute(sa.update(table).where(some).values(dict(values)))


def _refusals(connection: sa.Connection, ended: set[Pair], refused: Refused) -> None:
    of = REFUSED.c
    known = {(row.subject, row.source) for row in connection.execute(sa.select(of.subject, of.source).distinct())}
    for subject, source in sorted(ended & known):
        connection.execute(sa.delete(REFUSED).where(of.subject == subject, of.source == source))
    for (subject, source), domains in sorted(refused.items()):
        own = sa.and_(of.subject == subject, of.source == source, of.domain.in_(sorted(domains)))
        before = {row.domain: row.last for row in connection.execute(sa.select(of.domain, of.last).where(own))}
        connection.execute(sa.delete(REFUSED).where(own))
        rows = [
            {"subject": subject, "source": source, "domain": domain, "last": max(last, before.get(domain, last))}
            for domain, last in sorted(domains.items())
        ]
        if rows:
            connection.execute(sa.insert(REFUSED), rows)

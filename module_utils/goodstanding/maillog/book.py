# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was read of one host's log so far: counters by the hour, messages under way, and where reading stopped, in one SQLite file.

All of a run is one transaction: where it is cut off, the next run reads the same lines again, and counts none twice. The file is a cache:
deleted, it is made anew from the log. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import typing as t

from . import receivers
from .counters import DAYS, KINDS, MAX_EVIDENCE_A_KIND, NUMBERS, OWN_LOGINS, Account, day_bit

VERSION = "4"
MAX_EVIDENCE = 10
MAX_NOTES = 20
#: An account that did so much in the window or in the last week is told of with its history; of so many accounts at most.
NOTABLE = {"recipients": 20, "unknown_recipients": 3, "reputation_refusals": 3, "failed_logins": 5, "clients_at_least": 4}
NOTABLE_WEEK = 50
MAX_HISTORIES = 1000
#: Of the others so many addresses of before the window.
MAX_KNOWN = 20
_SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE hours (account TEXT, hour INTEGER, {", ".join(f"{name} INTEGER" for name in NUMBERS)}, first REAL, last REAL,
  PRIMARY KEY (account, hour)) WITHOUT ROWID;
CREATE INDEX hours_hour ON hours (hour);
CREATE TABLE marks (account TEXT, kind TEXT, value TEXT, first INTEGER, last INTEGER, days INTEGER,
  PRIMARY KEY (account, kind, value)) WITHOUT ROWID;
CREATE TABLE evidence (account TEXT, kind TEXT, hour INTEGER, number INTEGER, line TEXT,
  PRIMARY KEY (account, kind, hour, number)) WITHOUT ROWID;
CREATE TABLE open (queue_id TEXT PRIMARY KEY, account TEXT, stranger TEXT, accepted INTEGER, time REAL, pending TEXT) WITHOUT ROWID;
CREATE TABLE refusals (address TEXT, provider TEXT, id TEXT, code TEXT, hour INTEGER, about TEXT, count INTEGER, first REAL, last REAL,
  sample TEXT, PRIMARY KEY (address, provider, id, code, hour)) WITHOUT ROWID;
CREATE TABLE refused (address TEXT, provider TEXT, id TEXT, code TEXT, accepted REAL, domains TEXT,
  PRIMARY KEY (address, provider, id, code)) WITHOUT ROWID;
CREATE TABLE taken (address TEXT, domain TEXT, time REAL, PRIMARY KEY (address, domain)) WITHOUT ROWID;
CREATE TABLE receiver_days (receiver TEXT, day INTEGER, {", ".join(f"{name} INTEGER" for name in receivers.NUMBERS)},
  PRIMARY KEY (receiver, day)) WITHOUT ROWID;
CREATE TABLE receiver_domains (domain TEXT, receiver TEXT, day INTEGER, count INTEGER, relay TEXT,
  PRIMARY KEY (domain, receiver)) WITHOUT ROWID;
CREATE TABLE notes (time REAL, text TEXT, PRIMARY KEY (time, text)) WITHOUT ROWID;
"""  # names of columns, no values
#: A table that came later; a book without it goes on, with all that it knows.
_ACCEPTED = "CREATE TABLE IF NOT EXISTS accepted (account TEXT PRIMARY KEY, last REAL) WITHOUT ROWID"
_ADD = (
    f"INSERT INTO hours VALUES (?, ?, {', '.join('?' * len(NUMBERS))}, ?, ?) ON CONFLICT (account, hour) DO UPDATE SET "  # noqa: S608
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in NUMBERS)
    + ", first = min(coalesce(first, excluded.first), coalesce(excluded.first, first)), "
    "last = max(coalesce(last, excluded.last), coalesce(excluded.last, last))"
)


_ADD_RECEIVER = (
    f"INSERT INTO receiver_days VALUES (?, ?, {', '.join('?' * len(receivers.NUMBERS))}) ON CONFLICT (receiver, day) DO UPDATE SET "  # noqa: S608
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in receivers.NUMBERS)
)
_ADD_DOMAIN = """INSERT INTO receiver_domains VALUES (?, ?, ?, ?, ?) ON CONFLICT (domain, receiver) DO UPDATE SET
  count = iif(excluded.day = day, count, 0) + excluded.count, day = excluded.day,
  relay = iif(excluded.day = day, max(relay, excluded.relay), excluded.relay) WHERE excluded.day >= day"""
#: Domains of the receivers stay before others, and of those the ones that mail went to last.
_FORGET_DOMAINS = """DELETE FROM receiver_domains WHERE (domain, receiver) IN (SELECT domain, receiver FROM receiver_domains
  ORDER BY receiver = '', day DESC, count DESC, domain LIMIT -1 OFFSET ?)"""

#: What tells one kind of refusal from another: address, provider, id, code.
Key = tuple[str, str, str, str]


class Refusal:
    """How often one receiver refused one address with one code in an hour."""

    __slots__ = ("about", "count", "first", "hour", "key", "last", "sample")

    def __init__(self, key: Key, about: str, time: float, sample: str) -> None:
        self.key, self.hour, self.about, self.first, self.last, self.sample = key, int(time // 3600), about, time, time, sample
        self.count = 0


def _first_seen(db: sqlite3.Connection) -> dict[Key, float]:
    """Return when each kind of refusal was first seen, in all that the book holds."""
    query = "SELECT address, provider, id, code, min(first) FROM refusals GROUP BY address, provider, id, code"
    return {(address, provider, identity, code): first for address, provider, identity, code, first in db.execute(query)}


def remembered(path: str | None) -> tuple[float | None, dict[Key, float]]:
    """Return since when a host's book knows the log, and when each kind of refusal was first seen; (None, {}) where there is none."""
    with contextlib.suppress(sqlite3.Error, OSError, ValueError):
        if path and os.path.exists(path):
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
                meta = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('version', 'known')").fetchall())
                if json.loads(meta.get("version", "null")) == VERSION and "known" in meta:
                    return float(json.loads(meta["known"])), _first_seen(db)
    return None, {}


def receiving(path: str) -> dict[str, str]:
    """Return the receiver of each domain whose last day's mail went mostly to one; sqlite3.Error, OSError where there is no such book."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
        row = db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
        if not row or json.loads(row[0]) != VERSION:
            raise sqlite3.DatabaseError("it was written by another version")
        # The last row of a domain stands: of its last day, the one that got most; of two alike the receiver before the others.
        query = "SELECT domain, receiver FROM receiver_domains ORDER BY domain, day, count, receiver <> '', receiver DESC"
        found: dict[str, str] = dict(db.execute(query).fetchall())
    return {domain: receiver for domain, receiver in found.items() if receiver}


#: A botnet's many addresses must not push out those that an account uses day by day.
_FORGET_OLDEST = """DELETE FROM marks WHERE account = ? AND kind = ? AND value IN (SELECT value FROM marks WHERE account = ? AND kind = ?
  ORDER BY days & (days - 1) = 0, last DESC, first DESC, value LIMIT -1 OFFSET ?)"""


class Book:
    """path: the file, None for a book in memory; frozen: what is there is read, and nothing is written.

    sqlite3.Error and OSError are for the caller: such a book is no book, and the log is read as if there were none."""

    def __init__(self, path: str | None, frozen: bool = False) -> None:
        self.path = path if path and not frozen else None
        self.db = self._open(self.path) if self.path else sqlite3.connect(":memory:", isolation_level=None)
        if path and frozen and os.path.exists(path):
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source:
                source.backup(self.db)
        self._begin()

    def _open(self, path: str) -> sqlite3.Connection:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        return sqlite3.connect(path, timeout=30, isolation_level=None)

    def _begin(self) -> None:
        """Take the one transaction of the run; a book of another version is begun anew."""
        self.db.execute("BEGIN IMMEDIATE")
        made = self.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
        if not made or self.meta("version") != VERSION:
            self.clear()
        self.db.execute(_ACCEPTED)

    def clear(self) -> None:
        """Begin anew, with nothing in the book."""
        for (name,) in self.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            self.db.execute(f'DROP TABLE "{name}"')
        for statement in (*_SCHEMA.split(";"), _ACCEPTED):
            self.db.execute(statement)
        self.set_meta("version", VERSION)

    def commit(self) -> None:
        """Make everything since the book was opened last: the end of the run's one transaction."""
        self.db.execute("COMMIT")

    def close(self) -> None:
        """Give the file free; what was not committed is as if it had not been."""
        self.db.close()

    def meta(self, key: str, default: t.Any = None) -> t.Any:
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else default

    def set_meta(self, key: str, value: t.Any) -> None:
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    # ---- what the parser hands over

    def add(self, accounts: dict[str, Account]) -> None:
        """Add what accounts did, but for this project's own logins."""
        accounts = {name: account for name, account in accounts.items() if name not in OWN_LOGINS}
        rows = (
            # An hour in which mail was only delivered has no act of the account.
            (name, hour, *numbers, *((None, None) if last < first else (first, last)))
            for name, account in accounts.items()
            for hour, (*numbers, first, last) in account.hours.items()
        )
        self.db.executemany(_ADD, rows)
        self.db.executemany(
            "INSERT INTO accepted VALUES (?, ?) ON CONFLICT (account) DO UPDATE SET last = max(last, excluded.last)",
            [(name, account.accepted) for name, account in accounts.items() if account.accepted],
        )
        for name, account in accounts.items():
            self.db.executemany(
                "INSERT INTO marks VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (account, kind, value) DO UPDATE SET "
                "first = min(first, excluded.first), last = max(last, excluded.last), days = days | excluded.days",
                [(name, *key, *seen) for key, seen in account.values.items()],
            )
            kept: dict[tuple[str, int], int] = {}
            for kind, hour, count in self.db.execute(
                "SELECT kind, hour, count(*) FROM evidence WHERE account = ? GROUP BY kind, hour", (name,)
            ):
                kept[kind, hour] = count
            self.db.executemany(
                "INSERT INTO evidence VALUES (?, ?, ?, ?, ?)",
                [
                    (name, *key, kept.get(key, 0) + number, line)
                    for key, lines in account.lines.items()
                    for number, line in enumerate(lines[: max(0, MAX_EVIDENCE_A_KIND - kept.get(key, 0))])
                ],
            )
            for kind in account.kinds:
                self.db.execute(_FORGET_OLDEST, (name, kind, name, kind, KINDS[kind]))

    def names(self) -> set[str]:
        """Return the accounts that the book holds."""
        return {name for (name,) in self.db.execute("SELECT DISTINCT account FROM hours")}

    def add_refusals(self, rows: t.Iterable[Refusal]) -> None:
        """Add what receivers refused."""
        for row in rows:
            self.db.execute(
                "INSERT INTO refusals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (address, provider, id, code, hour) DO UPDATE SET "
                "count = count + excluded.count, first = min(first, excluded.first), last = max(last, excluded.last)",
                (*row.key, row.hour, row.about, row.count, row.first, row.last, row.sample),
            )

    def refused(self) -> dict[Key, tuple[float | None, list[str]]]:
        """Return per (address, provider, id, code) when mail was taken again, and the domains that refused."""
        rows = self.db.execute("SELECT address, provider, id, code, accepted, domains FROM refused")
        return {
            (address, provider, identity, code): (accepted, json.loads(domains))
            for address, provider, identity, code, accepted, domains in rows
        }

    def set_refused(self, key: Key, accepted: float | None, domains: t.Iterable[str]) -> None:
        self.db.execute("INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?, ?, ?)", (*key, accepted, json.dumps(sorted(domains))))

    def set_taken(self, taken: dict[tuple[str, str], float]) -> None:
        self.db.executemany("INSERT OR REPLACE INTO taken VALUES (?, ?, ?)", [(*key, time) for key, time in taken.items()])

    def open_messages(self) -> t.Iterator[tuple[str, str | None, str | None, bool, float, t.Any]]:
        """Yield the messages under way: queue ID, account, client without a login, whether it was accepted, since when, what is pending."""
        rows = self.db.execute("SELECT queue_id, account, stranger, accepted, time, pending FROM open")
        for queue_id, account, stranger, accepted, time, pending in rows:
            yield queue_id, account, stranger, bool(accepted), time, json.loads(pending)

    def set_open(self, messages: t.Iterable[tuple[str, str | None, str | None, bool, float, t.Any]]) -> None:
        self.db.execute("DELETE FROM open")
        rows = ((*message, json.dumps(pending)) for *message, pending in messages)
        self.db.executemany("INSERT INTO open VALUES (?, ?, ?, ?, ?, ?)", rows)

    def add_receivers(self, counted: receivers.Receivers) -> None:
        """Add what was delivered to receivers, once."""
        self.db.executemany(_ADD_RECEIVER, [(*key, *numbers) for key, numbers in counted.days.items()])
        self.db.executemany(_ADD_DOMAIN, [(*key, *row) for key, row in counted.domains.items()])
        if counted.domains:
            self.db.execute(_FORGET_DOMAINS, (receivers.MAX_DOMAINS,))
        counted.days, counted.domains = {}, {}

    def note(self, time: float, text: str) -> None:
        """Note that something is missing in the log at a time."""
        self.db.execute("INSERT OR IGNORE INTO notes VALUES (?, ?)", (time, text))
        self.db.execute(
            "DELETE FROM notes WHERE (time, text) IN (SELECT time, text FROM notes ORDER BY time DESC LIMIT -1 OFFSET ?)", (50 * MAX_NOTES,)
        )

    def forget(self, account: str) -> None:
        """Forget what an account did so far."""
        for table in ("hours", "marks", "evidence", "open", "accepted"):
            self.db.execute(f"DELETE FROM {table} WHERE account = ?", (account,))  # noqa: S608  a fixed name

    def prune(self, before: float) -> None:
        """Forget what is older, before anything new is read; what is under way has had its time too."""
        hour = int(before // 3600)
        # The bits of days that are past stand for days to come from now on.
        day = hour // 24
        done = self.meta("pruned", day)
        stale = sum(day_bit(24 * past) for past in range(max(done, day - DAYS), day))
        if stale:
            self.db.execute("UPDATE marks SET days = days & ~?", (stale,))
        self.set_meta("pruned", day)
        self.db.execute("DELETE FROM hours WHERE hour < ?", (hour,))
        self.db.execute("DELETE FROM marks WHERE last < ?", (hour,))
        self.db.execute("DELETE FROM accepted WHERE last < ?", (before,))
        self.db.execute("DELETE FROM evidence WHERE hour < ?", (hour - 23,))
        self.db.execute("DELETE FROM refusals WHERE hour < ?", (hour,))
        self.db.execute(
            "DELETE FROM refused WHERE NOT EXISTS (SELECT 1 FROM refusals r WHERE (r.address, r.provider, r.id, r.code) = "
            "(refused.address, refused.provider, refused.id, refused.code))"
        )
        self.db.execute("DELETE FROM taken WHERE time < ?", (before,))
        self.db.execute("DELETE FROM notes WHERE time < ?", (before,))
        self.db.execute("DELETE FROM receiver_days WHERE day < ?", (day,))
        self.db.execute("DELETE FROM receiver_domains WHERE day < ?", (day,))
        self.db.execute("DELETE FROM open WHERE time < ?", (before,))

    # ---- what is told of a window

    def accounts(self, since: float, now: float, also: t.Iterable[str] = ()) -> dict[str, dict[str, t.Any]]:
        """Return per account what it did in the hours that end after a time (epoch), and of notable ones their history. also: accounts
        whose hours are told too."""
        hour = int(since // 3600)
        sums = ", ".join(f"sum({name})" for name in NUMBERS)
        found: dict[str, dict[str, t.Any]] = {}
        span = "min(coalesce(first, 3600 * hour)), max(coalesce(last, 3600 * hour))"
        query = f"SELECT account, {sums}, {span}, max(recipients) FROM hours WHERE hour >= ? GROUP BY account "  # noqa: S608  names of columns, no values
        # Who only reads mail is nobody's sender.
        query += f"HAVING sum(logins) = 0 OR {' + '.join(f'sum({name})' for name in NUMBERS if name != 'logins')} > 0"
        for name, *numbers, first, last, peak in self.db.execute(query, (hour,)):
            found[name] = {**dict(zip(NUMBERS, numbers)), "first": first, "last": last, "peak_hour_recipients": peak}
            found[name].update({kind: [] for kind in KINDS}, evidence=[], known_clients=[], history=None, hours=None, last_accepted=None)
        for name, last in self.db.execute("SELECT account, last FROM accepted"):
            if name in found:
                found[name]["last_accepted"] = last
        for name, kind, value in self.db.execute(
            "SELECT account, kind, value FROM marks WHERE last >= ? ORDER BY account, kind, value", (hour,)
        ):
            if name in found:
                found[name][kind].append(value)
        kept: dict[tuple[str, str], int] = {}
        for name, kind, line in self.db.execute(
            "SELECT account, kind, line FROM evidence WHERE hour >= ? ORDER BY account, kind, hour DESC, number", (hour - 23,)
        ):
            if name in found and kept.setdefault((name, kind), 0) < MAX_EVIDENCE_A_KIND:
                kept[name, kind] += 1
                found[name]["evidence"].append({"kind": kind, "line": line})
        for account in found.values():
            account.update({f"{kind}_at_least": len(account[kind]) for kind in KINDS})
            account["evidence"] = account["evidence"][:MAX_EVIDENCE]
        for name in self._notable(found, now):
            found[name]["history"] = self.history(name)
        by_hour = (
            "SELECT hour, messages, failed_logins FROM hours WHERE account = ? AND hour >= ? AND messages + failed_logins > 0 ORDER BY hour"
        )
        for name, account in found.items():
            if account["history"] or name in also:
                account["hours"] = [list(row) for row in self.db.execute(by_hour, (name, hour))]
        for name, value in self.db.execute(
            "SELECT account, value FROM marks WHERE first < ? AND kind IN ('clients', 'login_clients') ORDER BY account, last DESC", (hour,)
        ):
            known = found[name]["known_clients"] if name in found and not found[name]["history"] else None
            if known is not None and len(known) < MAX_KNOWN and value not in known:
                known.append(value)
        return found

    def hours(self, since: float) -> list[list[int]]:
        """Return hour of the epoch, messages and failed logins of all accounts in the hours that end after a time; none without any."""
        query = (
            "SELECT hour, sum(messages), sum(failed_logins) FROM hours WHERE hour >= ? GROUP BY hour "
            "HAVING sum(messages) + sum(failed_logins) > 0 ORDER BY hour"
        )
        return [list(row) for row in self.db.execute(query, (int(since // 3600),))]

    def _notable(self, accounts: dict[str, dict[str, t.Any]], now: float) -> list[str]:
        """Return the accounts whose past may have to be known, those that sent most first."""
        week = dict(
            self.db.execute("SELECT account, sum(recipients) FROM hours WHERE hour >= ? GROUP BY account", (int(now // 3600) - 7 * 24,))
        )
        notable = [
            name
            for name, account in accounts.items()
            if week.get(name, 0) >= NOTABLE_WEEK or any(account[number] >= least for number, least in NOTABLE.items())
        ]
        return sorted(notable, key=lambda name: (-week.get(name, 0), name))[:MAX_HISTORIES]

    def history(self, account: str) -> dict[str, t.Any]:
        """Return all that the book holds of an account: its hours with mail (hour of the epoch, recipients, unknown recipients, answered,
        first, last), since when it is seen, and the days of each value."""
        hours = self.db.execute(
            "SELECT hour, recipients, unknown_recipients, sent + bounced, coalesce(first, 3600 * hour), coalesce(last, 3600 * hour) "
            "FROM hours WHERE account = ? "
            "AND recipients + sent + bounced > 0 ORDER BY hour",
            (account,),
        ).fetchall()
        # Whom strangers only guessed at was not there yet.
        (seen,) = self.db.execute(
            "SELECT min(coalesce(first, 3600 * hour)) FROM hours WHERE account = ? AND logins + messages + sent + bounced + deferred > 0",
            (account,),
        ).fetchone()
        days: dict[str, dict[str, list[int]]] = {kind: {} for kind in KINDS}
        for kind, value, last, bits in self.db.execute("SELECT kind, value, last, days FROM marks WHERE account = ?", (account,)):
            newest = last // 24
            days[kind][value] = [day for day in range(newest - DAYS + 1, newest + 1) if bits & day_bit(24 * day)]
        return {"seen": seen, "hours": [[*numbers, int(first), int(last)] for *numbers, first, last in hours], "days": days}

    def refusals(self, since: float, most: int) -> list[dict[str, t.Any]]:
        """Return what receivers refused in the hours that end after a time, the most frequent first."""
        again, seen = self.refused(), _first_seen(self.db)
        query = (
            "SELECT address, provider, id, code, max(about), sum(count), min(first), max(last), sample FROM refusals WHERE hour >= ? "
            "GROUP BY address, provider, id, code ORDER BY sum(count) DESC, address, provider, id, code LIMIT ?"
        )
        rows = []
        for address, provider, identity, code, about, count, first, last, sample in self.db.execute(query, (int(since // 3600), most)):
            accepted, domains = again.get((address, provider, identity, code), (None, []))
            rows.append({
                "address": address or None, "provider": provider, "id": identity, "code": code, "about": about, "count": count,
                "first": first, "last": last, "seen": seen[address, provider, identity, code],
                "accepted": accepted if accepted is not None and accepted > last else None,
                "domains": domains, "sample": sample,
            })  # fmt: skip
        return rows

    def taken(self, domains: t.Container[str]) -> list[dict[str, t.Any]]:
        rows = self.db.execute("SELECT address, domain, time FROM taken ORDER BY address, domain")
        return [{"address": address, "domain": domain, "time": time} for address, domain, time in rows if domain in domains]

    def receivers(self) -> dict[str, list[dict[str, int]]]:
        """Return per receiver, others as an empty text, what it was sent a day, in all that the book holds."""
        found: dict[str, list[dict[str, int]]] = {}
        query = f"SELECT receiver, day, {', '.join(receivers.NUMBERS)} FROM receiver_days ORDER BY receiver, day"  # noqa: S608  names of columns
        for receiver, day, *numbers in self.db.execute(query):
            found.setdefault(receiver, []).append({"day": day, **dict(zip(receivers.NUMBERS, numbers))})
        return found

    def notes(self, since: float) -> list[str]:
        rows = self.db.execute("SELECT text FROM notes WHERE time >= ? GROUP BY text ORDER BY min(time), text", (since,))
        return [text for (text,) in rows][:MAX_NOTES]

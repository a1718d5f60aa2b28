# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in a table of PostgreSQL, MariaDB or SQLite, locked by the administrator's own statements. Python >= 3.9.

The statement unlock is tried before a lock is kept: in the same transaction it must bring back what query returned before.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import json
import select
import sqlite3
import ssl
import time
import typing as t
from pathlib import Path
from urllib.parse import quote

from ..host.files import HostError
from ..host.journal import Fields
from .names import refuse_secret
from .reach import CA_FILE, TIMEOUT, driver, tls_of, told
from .statements import STATEMENTS, parse

_MAX_VALUE = 2000
#: MariaDB: some non-transactional changed tables could not be rolled back.
_NOT_ROLLED_BACK = 1196


class Connection(t.Protocol):
    """What is used of PEP 249."""

    def cursor(self) -> t.Any: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


class SqlStep:
    """A table of accounts. settings: the suboptions of the module mail_account_backend; names: account to its name in the table."""

    own = False

    def __init__(self, settings: dict[str, t.Any], names: dict[str, str]) -> None:
        self.name = f"backend:{settings['name']}"
        self.settings = settings
        self.names = names
        self.statements = {which: parse(which, settings.get(which) or "") for which in STATEMENTS}
        self.connect, self.paramstyle, self.error = _DRIVERS[settings["type"]](settings)

    def read(self, accounts: list[str]) -> dict[str, Fields | None]:
        """Return the row of each account, as query returns it. HostError where an account has more than one row."""
        with self._transaction(read_only=True) as cursor:
            return {account: self._row(cursor, account) for account in accounts}

    def lock(self, accounts: list[str]) -> None:
        """Lock all or none of them."""
        with self._transaction() as cursor:
            for account in accounts:
                before = self._known(cursor, account)
                self._change(cursor, "lock", account, {})
                if self._row(cursor, account) == before:
                    continue  # it was locked already
                self._change(cursor, "unlock", account, before)
                undone = self._row(cursor, account)
                if undone != before:
                    raise HostError(
                        f"{self._where()}: the statement unlock does not undo lock for {account}: query returned {before} before it and"
                        f" {undone} after it: set each column that lock sets back to its :before_COLUMN"
                    )
                self._change(cursor, "lock", account, {})

    def restore(self, before: dict[str, Fields]) -> None:
        """Set all of them back, or none."""
        with self._transaction() as cursor:
            for account, fields in before.items():
                self._change(cursor, "unlock", account, fields)
                now = self._row(cursor, account)
                if now != fields:
                    raise HostError(f"{self._where()}: the statement unlock left {now} for {account} where {fields} was expected")

    def expected(self, fields: Fields) -> Fields:
        """Return the row as a lock would leave it, as far as that is known without running the statement."""
        return dict.fromkeys(fields, f"(as it is left by {self.statements['lock'].text})")

    def way(self) -> str:
        """Return how this backend locks, for a message."""
        return f"the statement {self.statements['lock'].text}"

    def _where(self) -> str:
        place = self.settings.get("host") or self.settings.get("socket") or "a local socket"
        database = self.settings.get("database")
        return f"{self.name} ({self.settings['type']}, {database if self.settings['type'] == 'sqlite' else f'{database} at {place}'})"

    @contextlib.contextmanager
    def _transaction(self, read_only: bool = False) -> t.Iterator[t.Any]:
        """Yield a cursor; what was done is kept only where no error comes. HostError shows no secret."""
        tried = "connect"
        try:
            connection = self.connect(read_only)
            with contextlib.closing(connection):
                tried = "run its statements"
                try:
                    yield connection.cursor()
                    tried = "commit"
                    connection.commit()
                except BaseException as exc:
                    left = self._roll_back(connection)
                    if isinstance(exc, HostError) and not read_only:
                        raise HostError(f"{exc}; {left or 'nothing was changed'}") from None
                    raise
        except (self.error, OSError, ValueError, OverflowError) as exc:
            said = told(exc, self.settings.get("password"))
            raise HostError(f"{self._where()}: cannot {tried}: {said}: check its host, user, rights and statements") from None

    def _roll_back(self, connection: Connection) -> str:
        with contextlib.suppress(self.error, OSError, HostError):
            connection.rollback()
            if self.settings["type"] == "mariadb":
                cursor = connection.cursor()
                cursor.execute("SHOW WARNINGS")
                if any(row[1] == _NOT_ROLLED_BACK for row in cursor.fetchall()):
                    return "the table's engine has no transactions, so part of it was kept: convert the table to InnoDB"
        return ""

    def _execute(self, cursor: t.Any, which: str, account: str, fields: Fields) -> None:
        statement = self.statements[which]
        values: dict[str, t.Any] = {"account": self.names[account]}
        for name in statement.names - {"account"}:
            column = name[len("before_") :].lower()
            if column not in fields:
                raise HostError(
                    f"{self._where()}: unlock sets {column} back, which was not written down when {account} was locked: set it back by hand"
                )
            values[name] = _decoded(fields[column])
        cursor.execute(statement.named() if self.paramstyle == "named" else statement.pyformat(), values)

    def _row(self, cursor: t.Any, account: str) -> Fields | None:
        self._execute(cursor, "query", account, {})
        rows = cursor.fetchmany(2)
        if len(rows) > 1:
            raise HostError(f"{self._where()}: query returns more than one row for {account}: it must find one account, by its whole name")
        columns = [str(column[0]).lower() for column in cursor.description or ()]
        refuse_secret(columns, "query")
        back = sorted(name[len("before_") :].lower() for name in self.statements["unlock"].names - {"account"})
        if sorted(columns) != back:
            raise HostError(
                f"{self._where()}: query returns {', '.join(columns)} and unlock sets back {', '.join(back) or 'nothing'}: query must"
                " return each column that lock sets, once and no other, and unlock must set each back to its :before_COLUMN"
            )
        if not rows:
            return None
        return {column: _encoded(f"{self._where()}: {column}", value) for column, value in zip(columns, rows[0])}

    def _known(self, cursor: t.Any, account: str) -> Fields:
        row = self._row(cursor, account)
        if row is None:
            raise HostError(f"{self._where()}: {account} is not there any more: run again")
        return row

    def _change(self, cursor: t.Any, which: str, account: str, fields: Fields) -> None:
        self._execute(cursor, which, account, fields)
        if cursor.rowcount != 1:
            found = "no row" if cursor.rowcount == 0 else f"{cursor.rowcount} rows"
            raise HostError(
                f"{self._where()}: the statement {which} matched {found} for {account} where it must match one:"
                " give it the same WHERE as query"
            )


def _encoded(where: str, value: t.Any) -> str | None:
    """Return a value as JSON text, so that it comes back with its type."""
    if value is None:
        return None
    if isinstance(value, (decimal.Decimal, datetime.date, datetime.time)):
        value = str(value)
    if not isinstance(value, (bool, int, float, str)):
        raise HostError(f"{where} is a {type(value).__name__}: query may return text, numbers, booleans and times; use CAST")
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > _MAX_VALUE:
        raise HostError(f"{where} has more than {_MAX_VALUE} characters: let query return what lock sets, and no more")
    return text


def _decoded(text: str | None) -> t.Any:
    return None if text is None else json.loads(text)


Driver = tuple[t.Callable[[bool], t.Any], str, t.Any]


def _sqlite(settings: dict[str, t.Any]) -> Driver:
    path = settings.get("database") or ""

    def connect(read_only: bool) -> sqlite3.Connection:
        if not path.startswith("/") or not Path(path).is_file():
            raise HostError(f"backend:{settings['name']}: database is {path!r}: expected the whole path of a SQLite file that exists")
        # Opened for writing also to read: a file with a write-ahead log cannot be read otherwise.
        connection = sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True, timeout=TIMEOUT, isolation_level=None)
        deadline = time.monotonic() + 3 * TIMEOUT
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
        connection.execute(f"PRAGMA query_only = {int(read_only)}")
        connection.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")
        return connection

    return connect, "named", sqlite3.Error


def _postgresql(settings: dict[str, t.Any]) -> Driver:
    psycopg2 = driver("psycopg2", "python3-psycopg2")
    extensions = driver("psycopg2.extensions", "python3-psycopg2")
    host = settings.get("host") or ""

    def wait(connection: t.Any) -> None:
        # libpq waits for ever for a server that is there and says nothing.
        while True:
            state = connection.poll()
            if state == extensions.POLL_OK:
                return
            reads = [connection] if state == extensions.POLL_READ else []
            writes = [connection] if state == extensions.POLL_WRITE else []
            if not any(select.select(reads, writes, [], TIMEOUT + 2)):
                raise OSError(f"no answer within {TIMEOUT + 2} s")

    def connect(read_only: bool) -> t.Any:
        extensions.set_wait_callback(wait)
        connection = psycopg2.connect(
            host=host or settings.get("socket") or "/var/run/postgresql",
            port=settings.get("port") or 5432,
            dbname=settings.get("database") or "",
            user=settings.get("user") or "",
            password=settings.get("password") or "",
            sslmode={"verified": "verify-full", "unverified": "require", "none": "disable"}[tls_of(settings, host)],
            sslrootcert=settings.get("ca_file") or CA_FILE if tls_of(settings, host) == "verified" else "",
            connect_timeout=TIMEOUT,
            application_name="goodstanding",
        )
        connection.set_session(readonly=read_only)
        connection.cursor().execute(f"SET LOCAL statement_timeout = {TIMEOUT * 1000}")
        return connection

    return connect, "pyformat", psycopg2.Error


def _mariadb(settings: dict[str, t.Any]) -> Driver:
    pymysql = driver("pymysql", "python3-pymysql")
    client = driver("pymysql.constants.CLIENT", "python3-pymysql")
    connections = driver("pymysql.connections", "python3-pymysql")
    host = settings.get("host") or ""

    class Connection(connections.Connection):  # type: ignore[name-defined]
        """PyMySQL goes on without TLS, password and all, where somebody on the way says that the server has none."""

        def _request_authentication(self) -> None:
            if self.ssl and not self.server_capabilities & client.SSL:
                raise OSError("the server offers no TLS; set tls to none only where nobody else can be on the way")
            super()._request_authentication()

    def connect(read_only: bool) -> t.Any:
        context = None
        if tls_of(settings, host) != "none":
            context = ssl.create_default_context(cafile=settings.get("ca_file"))
            if tls_of(settings, host) == "unverified":
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = Connection(
            host=host or "localhost",
            port=settings.get("port") or 3306,
            unix_socket=None if host else settings.get("socket") or "/run/mysqld/mysqld.sock",
            database=settings.get("database"),
            user=settings.get("user"),
            password=settings.get("password") or "",
            charset="utf8mb4",
            ssl=context,
            connect_timeout=TIMEOUT,
            read_timeout=TIMEOUT + 2,
            write_timeout=TIMEOUT + 2,
            client_flag=client.FOUND_ROWS,  # an UPDATE counts the rows that it matched, also where they were so already
        )
        with connection.cursor() as cursor:
            cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {TIMEOUT}")
            cursor.execute(f"START TRANSACTION {'READ ONLY' if read_only else 'READ WRITE'}")
        return connection

    return connect, "pyformat", pymysql.MySQLError


_DRIVERS: dict[str, t.Callable[[dict[str, t.Any]], Driver]] = {"sqlite": _sqlite, "postgresql": _postgresql, "mariadb": _mariadb}

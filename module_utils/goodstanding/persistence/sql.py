# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read rows of a database that an administrator names: SQLite, PostgreSQL, MariaDB. Python >= 3.9.

Nothing can be written: SQLite is opened read-only, the others in a read-only transaction. SQLite is of the standard library; the others
need Debian's python3-psycopg2 or python3-pymysql on the host. A message holds no password.
"""

from __future__ import annotations

import contextlib
import importlib
import sqlite3
import typing as t
import urllib.parse

#: Most rows that are read of a query; seconds to wait for a server.
MAX_ROWS, TIMEOUT = 200_000, 10

#: Ansible's options of a database.
OPTIONS: dict[str, t.Any] = {
    "engine": {"type": "str", "choices": ["sqlite", "postgresql", "mysql"], "required": True},
    "database": {"type": "str", "required": True},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
}


class SourceError(Exception):
    """A source that could not be read; the message says which, and what to do."""


def rows(options: dict[str, t.Any], query: str, parameters: t.Sequence[str] = ()) -> list[tuple[t.Any, ...]]:
    """Return the rows of a query, whose parameters are written ? for every engine; SourceError where they cannot be read."""
    engine = options["engine"]
    try:
        with contextlib.closing(_connect(options)) as connection, contextlib.closing(connection.cursor()) as cursor:
            if engine == "mysql":
                cursor.execute("SET SESSION TRANSACTION READ ONLY")
            if parameters:
                cursor.execute(query if engine == "sqlite" else query.replace("?", "%s"), list(parameters))
            else:
                cursor.execute(query)  # without parameters a % is a %, as in LIKE
            return [tuple(row) for row in cursor.fetchmany(MAX_ROWS)]
    except ImportError as exc:
        package = {"postgresql": "python3-psycopg2", "mysql": "python3-pymysql"}[engine]
        raise SourceError(f"{engine} {options['database']}: {exc.name} is not there: install {package} on the host") from exc
    except SourceError:
        raise
    except Exception as exc:  # each driver has exceptions of its own
        # What is said of a value shows the value, which may be a hash.
        shows = any(kind.__name__ == "DataError" for kind in type(exc).__mro__)
        text = "the query cannot use a value of a row" if shows else " ".join(str(exc).split())
        if options.get("password"):
            text = text.replace(options["password"], "…")
        raise SourceError(f"{engine} {options['database']}: {text[:200]}: check the database's options and the query") from None


def _connect(options: dict[str, t.Any]) -> t.Any:
    engine = options["engine"]
    if engine == "sqlite":
        return sqlite3.connect(f"file:{urllib.parse.quote(options['database'])}?mode=ro", uri=True, timeout=TIMEOUT)
    given = {name: options[name] for name in ("host", "port", "user", "password") if options.get(name) is not None}
    if engine == "postgresql":
        connection = importlib.import_module("psycopg2").connect(dbname=options["database"], connect_timeout=TIMEOUT, **given)
        connection.set_session(readonly=True)
        return connection
    if str(given.get("host", "")).startswith("/"):
        given["unix_socket"] = given.pop("host")
    return importlib.import_module("pymysql").connect(
        database=options["database"], connect_timeout=TIMEOUT, read_timeout=60, charset="utf8mb4", **given
    )

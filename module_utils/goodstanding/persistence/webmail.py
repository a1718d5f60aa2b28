# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What webmail and panels keep for an account: Roundcube's identities, app passwords. Python >= 3.9.

Roundcube's filters are Sieve scripts and found as such. Of an app password only its id and age are read, never the secret.
"""

from __future__ import annotations

import datetime
import os
import re
import typing as t

from ..host.files import Run
from . import sql
from .findings import Found, Unknown, address

_CHANGED = {
    "sqlite": "CAST(strftime('%s', i.changed) AS INTEGER)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM i.changed) AS BIGINT)",
    "mysql": "UNIX_TIMESTAMP(i.changed)",
}
_PREFIX = re.compile(r"[A-Za-z0-9_]*\Z")


def identities(database: dict[str, t.Any], prefix: str, accounts: list[str]) -> tuple[list[Found], list[Unknown]]:
    """Return Roundcube's identities of these logins that have answers or copies sent somewhere, or another address."""
    if not _PREFIX.match(prefix):
        return [], [Unknown("", "roundcube", f"{prefix!r} is no prefix of table names: use letters, digits and _ only")]
    quote = "`" if database["engine"] == "mysql" else '"'
    reply, shown, unknown = f"i.{quote}reply-to{quote}", [], []
    for begin in range(0, len(accounts), 500):
        some = accounts[begin : begin + 500]
        query = (
            f"SELECT LOWER(u.username), i.identity_id, i.email, {reply}, i.bcc, {_CHANGED[database['engine']]}"  # noqa: S608 - a checked prefix
            f" FROM {prefix}identities i JOIN {prefix}users u ON u.user_id = i.user_id"
            f" WHERE i.del = 0 AND LOWER(u.username) IN ({','.join('?' * len(some))}) ORDER BY i.identity_id"
        )
        try:
            for account, number, *addresses, changed in sql.rows(database, query, some):
                mail, answers, copies = (str(value or "") for value in addresses)
                targets = [address(part) for text in (answers, copies) for part in text.split(",") if part.strip()]
                if targets or mail.lower() != account:
                    does = [
                        word for word, text in (("reply-to", answers), ("bcc", copies), ("from", mail)) if text and text.lower() != account
                    ]
                    content = "\0".join((mail, answers, copies)).encode("utf-8", "replace")
                    when = float(changed) if changed else None
                    shown.append(
                        Found(
                            str(account),
                            "identity",
                            f"{prefix}identities/{number}",
                            content,
                            does,
                            targets or [mail],
                            when,
                            when,
                            active=True,
                        )
                    )
        except sql.SourceError as exc:
            unknown.append(Unknown("", "roundcube", str(exc)))
            break
    return shown, unknown


def app_passwords(run: Run, source: dict[str, t.Any], accounts: list[str]) -> tuple[list[Found], list[Unknown]]:
    """Return the app passwords of these accounts out of a query, a command (login TAB id TAB created) or a passwd-file."""
    what = "app passwords"
    try:
        if source.get("query"):
            if not source.get("database"):
                raise sql.SourceError("a query needs a database")
            place, given = f"sql:{source['database']['database']}", sql.rows(source["database"], source["query"])
        elif source.get("command"):
            place = f"command:{os.path.basename(source['command'][0])}"
            code, out, _ = run(source["command"])
            if code:  # what it said may be anything
                raise sql.SourceError(f"{source['command'][0]} ended with {code}: run it by hand")
            given = [tuple(line.split("\t")) for line in out.splitlines()[: sql.MAX_ROWS] if line.strip()]
        elif source.get("passwd_file"):
            place, given = source["passwd_file"], _passwd_file(source["passwd_file"])
        else:
            raise sql.SourceError("name a query with its database, a command or a passwd_file")
    except sql.SourceError as exc:
        return [], [Unknown("", what, str(exc))]
    except OSError as exc:
        return [], [Unknown("", what, f"{exc.filename or source}: {exc.strerror}: the connecting user needs become")]
    wanted = set(accounts)
    shown: list[Found] = []
    for row in given:
        if len(row) < 2:
            return shown, [
                Unknown("", what, f"{place}: a row with {len(row)} columns: login, id and, if known, the time it was made are expected")
            ]
        login, number, made = str(row[0]).strip().lower(), str(row[1])[:100], epoch(row[2]) if len(row) > 2 else None
        if login in wanted:
            content = f"{login}\0{number}\0{made}".encode("utf-8", "replace")
            shown.append(Found(login, "app_password", f"{place}/{number}", content, ["login"], [], made, made, active=True))
    return shown, []


def _passwd_file(path: str) -> list[tuple[str, ...]]:
    """Return (login, its number among this login's lines) of each line; the secret is not looked at."""
    count: dict[str, int] = {}
    found: list[tuple[str, ...]] = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            login = line.partition(":")[0].strip()
            if login and not login.startswith("#"):
                count[login] = count.get(login, 0) + 1
                found.append((login, str(count[login])))
    return found


def epoch(value: t.Any) -> float | None:
    """Return a time that a database gave as epoch seconds: a number, a datetime, or ISO 8601 text (UTC where it names no zone)."""
    if isinstance(value, datetime.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)).timestamp()
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.timezone.utc).timestamp()
    text = str(value or "").strip()
    if re.match(r"\d{1,12}(\.\d+)?\Z", text):
        return float(text)
    try:
        return epoch(datetime.datetime.fromisoformat(re.sub(r"Z\Z", "+00:00", text)))
    except (ValueError, OverflowError):
        return None

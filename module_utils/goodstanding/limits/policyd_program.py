# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's policyd-rate-limit, asked for each limit of an account: what the package lacks is here, what it does is the package's own.

policyd.py puts this file on the host as it is, as a program; it imports nothing of ours. The package counts and compares (Policyd.action),
keeps the database and the connections (Policyd.run, utils.cursor). Here are:
* the login in small letters; what has no login is not counted;
* a hard and a soft limit per account and per domain, each counted under a key of its own;
* a message with all its recipients, at DATA: the package's 1.0 (Debian 12) knows RCPT alone, and 1.2 counts rows of many recipients;
* reading a question whole: the package decodes it in pieces of 1024 octets and hangs up where one ends within a character of UTF-8, and
  Postfix takes the mail of whoever has such a sender;
* who was refused, in which window and how often, in the table goodstanding_hits.

usage: PROGRAM serve CONFIG | test | store CONFIG | hits CONFIG SECONDS_SINCE_1970
Standard library and the package only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import pwd
import socket
import sys
import tempfile
import time
import typing as t

#: As in policy.py and engine.py.
WINDOWS = {"minute": 60, "hour": 3600, "day": 86400}
MARK = "goodstanding sending limit"
#: Scopes in the order in which they are asked: what an account's own limit stops is not counted for its colleagues.
SCOPES = ("account", "domain")
#: The hard limit first: it counts also what the soft one puts off, so that who goes on trying meets it.
KINDS = ("hard", "soft")
CODES = {"hard": "554 5.7.1", "soft": "450 4.7.1"}
#: The question that is no mail: how are you?
STATUS = "goodstanding_status"
SUCCESS, FAIL, ERROR = "success", "fail", "error"

_MAX_OCTETS = 1 << 16
_MAX_LOGIN = 300
_MAX_HITS = 10_000
#: After an error of the database nobody waits for it for so long, in seconds.
_PAUSE = 5
_CLEAN_EVERY = 3600
_KEEP_HITS = 14 * 86400
_SAY_AGAIN = 60
_MAX_SAID = 10_000

_TABLE = (
    "CREATE TABLE IF NOT EXISTS mail_count (id varchar(400) NOT NULL, date bigint NOT NULL, recipient_count int NOT NULL DEFAULT 1, "
    "instance varchar(40) NOT NULL DEFAULT '', protocol_state varchar(10) NOT NULL DEFAULT '')"
)
_HITS = (
    "CREATE TABLE IF NOT EXISTS goodstanding_hits (host varchar(255) NOT NULL, scope varchar(10) NOT NULL, name varchar(400) NOT NULL, "
    "span varchar(10) NOT NULL, kind varchar(10) NOT NULL, minute bigint NOT NULL, hits int NOT NULL, first bigint NOT NULL, "
    "last bigint NOT NULL, PRIMARY KEY (host, scope, name, span, kind, minute))"
)
_HIT = (
    "INSERT INTO goodstanding_hits (host, scope, name, span, kind, minute, hits, first, last) VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?) "
    "ON CONFLICT (host, scope, name, span, kind, minute) DO UPDATE SET hits = goodstanding_hits.hits + 1, last = excluded.last"
)
_WHO = (
    "SELECT scope, name, span, kind, SUM(hits), MIN(first), MAX(last) FROM goodstanding_hits WHERE host = ? AND last >= ? "
    "GROUP BY scope, name, span, kind ORDER BY 5 DESC LIMIT ?"
)
#: So many rows more of the same: one for each recipient, as both releases of the package count them.
_MORE = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO mail_count ({}) SELECT {} FROM n"

_LESS = "DELETE FROM mail_count WHERE rowid IN (SELECT rowid FROM mail_count WHERE id = ? AND date >= ? ORDER BY date DESC LIMIT ?)"


class UnfitError(Exception):
    """The package on this host, or its store, cannot be used; the message says why."""


class DownError(Exception):
    """The database did not take it: Postfix is told to go on."""


def _module(name: str) -> t.Any:
    return importlib.import_module(f"policyd_rate_limit.{name}")


class Windows:
    """Stands where the package looks an account's limits up (limits_by_id). met: the window at which it stopped."""

    def __init__(self) -> None:
        self.limit: t.Mapping[str, int] = {}
        self.more = 0
        self.met = ""

    def get(self, key: str, default: object = None) -> t.Iterator[tuple[int, int]]:
        """Yield the limits of what is asked now: (recipients, seconds), less by what the message has beyond its first recipient."""
        for name, seconds in WINDOWS.items():
            if name in self.limit:
                self.met = name
                yield self.limit[name] - self.more, seconds


class View:
    """The package's configuration, with what is decided here."""

    success_action, fail_action, db_error_action = SUCCESS, FAIL, ERROR
    limit_by_sasl, limit_by_sender, limit_by_ip = True, False, False
    debug = report = False  # debug logs every question, sender and recipients and all
    count_mode = 2  # at DATA, one a question
    sql_limits_by_id = ""  # 1.2 has no default for it, and lets everything pass without one
    delay_to_close = 3600  # Postfix closes idle connections after five minutes: closed by us, each would cost it a second
    SOCKET = ()  # systemd's

    def __init__(self, own: t.Any, windows: Windows) -> None:
        self._own = own
        self.limits_by_id = windows

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._own, name)


class Inherited(socket.socket):
    """The socket that systemd made and keeps: while this program restarts, questions wait there."""

    def bind(self, address: object) -> None:
        pass

    def listen(self, backlog: int = 0) -> None:
        pass


class Package:
    """policyd-rate-limit as it is installed. path: of its configuration, NAME.yaml; the limits are beside it in NAME.json, since there may
    be many, and the package's reader of YAML takes seconds for them."""

    def __init__(self, path: str) -> None:
        try:
            self.policyd = _module("policyd")
            self.utils = _module("utils")
            defaults = _module("config")
        except ImportError as exc:
            raise UnfitError(f"the package policyd-rate-limit cannot be loaded ({exc}): install it for this host's python3") from exc
        limits = os.path.splitext(path)[0] + ".json"
        self.digest = digest(path, limits)
        with open(limits, encoding="utf-8") as file:
            self.document: dict[str, t.Any] = json.load(file)
        #: 1.0 counts at RCPT and passes everything at DATA without a word; 1.2 is told by count_mode.
        self.stage = "DATA" if hasattr(defaults, "count_mode") else "RCPT"
        self.windows = Windows()
        try:
            self.utils.config.setup(path)
        except ValueError as exc:
            raise UnfitError(str(exc)) from exc
        own = self.utils.config._config
        self.utils.config._config = View(own, self.windows)
        self.utils.config.database_is_initialized = False
        self.sqlite: bool = own.backend == 0
        self.error: type[Exception] = self.utils.cursor.backend_module.Error
        connect = self.utils.cursor._db.default_factory
        self.utils.cursor._db.default_factory = lambda: self._connected(connect())
        self._initialize = self.utils.database_init
        self.utils.database_init = self.initialize

    def _connected(self, connection: t.Any) -> t.Any:
        if self.sqlite:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    def initialize(self) -> None:
        """Create the tables: in SQL ours first, since the package's has room for names of 40 letters, and an error of it lets mail pass."""
        with self.utils.cursor() as cur:
            if not self.sqlite:
                cur.execute(_TABLE)
            cur.execute(_HITS)
        self._initialize()
        if self.stage == "DATA":  # 1.2 adds up a column that its own index has not, and reads a row of the table for each
            with self.utils.cursor() as cur:
                cur.execute("CREATE INDEX IF NOT EXISTS goodstanding_counts ON mail_count (id, date, recipient_count)")

    def ready(self) -> None:
        if not self.utils.config.database_is_initialized:
            self.initialize()

    def execute(self, cur: t.Any, text: str, values: tuple[t.Any, ...] = ()) -> None:
        cur.execute(text.replace("?", self.utils.config.format_str), values)

    @contextlib.contextmanager
    def alone(self, key: str) -> t.Iterator[None]:
        """Let no other host count under this key meanwhile: between its question and its row, another would see room that is gone."""
        if self.sqlite:
            yield
            return
        with self.utils.cursor() as cur:
            self.execute(cur, "SELECT pg_advisory_lock(hashtextextended(?, 0))", (key,))
        yield
        with self.utils.cursor() as cur:  # not where it failed: the connection is closed then, and its lock is gone
            self.execute(cur, "SELECT pg_advisory_unlock(hashtextextended(?, 0))", (key,))

    def add(self, key: str, count: int) -> None:
        columns, values = ["id", "date"], [key, int(time.time())]
        if self.stage == "DATA" or not self.sqlite:
            columns += ["recipient_count", "instance", "protocol_state"]
            values += [1, "", self.stage]
        with self.utils.cursor() as cur:
            self.execute(cur, _MORE.format(", ".join(columns), ", ".join("?" * len(columns))), (count, *values))

    def take_back(self, key: str, count: int, since: int) -> None:
        """Delete as many of the newest rows of a key: rows of one key and second are all the same."""
        text = _LESS.replace("rowid", "rowid" if self.sqlite else "ctid")
        with self.utils.cursor() as cur:
            self.execute(cur, text, (key, since, count))

    def hit(self, scope: str, name: str, window: str, kind: str) -> None:
        now = int(time.time())
        with self.utils.cursor() as cur:
            self.execute(cur, _HIT, (_host(), scope, name, window, kind, now // 60, now, now))

    def hits(self, since: float) -> list[list[t.Any]]:
        with self.utils.cursor() as cur:
            self.execute(cur, _WHO, (_host(), int(since), _MAX_HITS))
            return [[*row[:4], *(int(number) for number in row[4:])] for row in cur.fetchall()]

    def clean(self) -> None:
        now = int(time.time())
        with self.utils.cursor() as cur:
            self.execute(cur, "DELETE FROM mail_count WHERE date < ?", (now - max(WINDOWS.values()) - 3600,))
            self.execute(cur, "DELETE FROM goodstanding_hits WHERE last < ?", (now - _KEEP_HITS,))

    def try_store(self) -> None:
        """Write a row and take it back, as long as one can be; the package's error where the database does not take it."""
        self.ready()
        key = "try " + "x" * 390
        self.add(key, 1)
        self.take_back(key, 1, 0)

    def forget(self) -> None:
        """Close the connection to the database; the next question opens another."""
        self.utils.cursor.del_db()


class Limiter:
    """Asks the package for each limit that stands for a login."""

    def __init__(self, package: Package, log: t.Callable[[str], object] = lambda text: print(text, file=sys.stderr, flush=True)) -> None:
        self.package = package
        self.log = log
        self.daemon = package.policyd.Policyd()
        self.daemon.read = self.read
        self.limits: dict[str, dict[str, dict[str, int]]] = package.document["limits"]
        self.overrides: dict[str, dict[str, dict[str, dict[str, int]]]] = package.document["overrides"]
        self.shadow: bool = package.document["shadow"]
        self.since = time.time()
        self.asked = self.elsewhere = self.opened = 0
        self.last_opened = 0.0
        self._down_until = self._cleaned = 0.0
        self._said: dict[str, float] = {}

    def read(self, connection: socket.socket) -> None:
        """Called by the package where a connection can be read."""
        buffer = self.daemon.socket_data_read.get(connection)
        if buffer is None:
            return
        try:
            data = connection.recv(_MAX_OCTETS)
            buffer.append(data)
            whole = b"".join(buffer)
            if not data or len(whole) > _MAX_OCTETS:
                self.daemon.close_connection(connection)
                return
            self.daemon.last_used[connection] = time.time()
            buffer[:] = [whole]
            if whole.endswith(b"\n\n"):
                buffer.clear()
                # Not left to the package's loop, which ends where the other side has hung up.
                connection.sendall(f"action={self.answer(connection, _question(whole))}\n\n".encode())
        except OSError:
            self.daemon.close_connection(connection)

    def answer(self, connection: t.Any, question: t.Mapping[str, str]) -> str:
        """Return the action for Postfix."""
        if question.get("request") == STATUS:
            return f"{STATUS} {json.dumps(self.status())}"
        if question.get("protocol_state", "").upper() != "DATA":
            self.elsewhere += 1
            return "DUNNO"
        login = fold(question.get("sasl_username", ""))
        if not login:
            return "DUNNO"
        self.asked += 1
        if time.monotonic() < self._down_until:
            return self._open(login, "the database failed just before")
        count = question.get("recipient_count", "")
        recipients = max(1, int(count)) if count.isdecimal() and len(count) < 10 else 1
        why = ""
        for _ in range(2):  # once more: of a server that was restarted, the old connection fails first
            try:
                return self._limited(connection, login, recipients)
            except Exception as exc:  # whatever it is: mail goes on, and faults() of policyd.py says so
                self.package.forget()
                why = _words(exc)
        self._down_until = time.monotonic() + _PAUSE
        return self._open(login, why)

    def _open(self, login: str, why: str) -> str:
        self.opened += 1
        self.last_opened = time.time()
        self._say("open", f"not limited, since the counts cannot be kept: {login!a} may send ({why})")
        return "DUNNO"

    def _limited(self, connection: t.Any, login: str, recipients: int) -> str:
        self.package.ready()
        if time.monotonic() - self._cleaned > _CLEAN_EVERY:
            self.package.clean()
            self._cleaned = time.monotonic()
        begun = int(time.time())
        counted: list[tuple[str, str]] = []
        for scope in SCOPES:
            name = login if scope == "account" else login.rpartition("@")[2] if "@" in login else ""
            limit = self.overrides.get(scope, {}).get(name, self.limits.get(scope, {}))
            for kind in KINDS if name else ():
                if not limit.get(kind):
                    continue
                key = f"{scope} {kind} {name}"
                window = self._ask(connection, key, limit[kind], recipients)
                if not window:
                    counted.append((scope, key))
                    continue
                for other, gone in counted:
                    if other != scope:  # it was not sent, and the account's own limit has not stopped it
                        self.package.take_back(gone, recipients, begun)
                self.package.hit(scope, name, window, "shadow" if self.shadow else kind)
                said = "would be refused (shadow)" if self.shadow else f"is refused ({CODES[kind]})"
                self._say(f"{key} {window}", f"{scope} {name!a} {said}: over its {kind} limit of recipients ({window})")
                return "DUNNO" if self.shadow else f"{CODES[kind]} {MARK}: {scope} {window}"
        return "DUNNO"

    def _ask(self, connection: t.Any, key: str, limit: t.Mapping[str, int], recipients: int) -> str:
        """Return the window that these recipients would exceed; where there is none they are counted."""
        windows = self.package.windows
        windows.limit, windows.more = limit, recipients - 1
        with self.package.alone(key):
            # The package compares what it has counted with the limit, and adds one row where there is room.
            self.daemon.action(
                connection, {"protocol_state": self.package.stage, "sasl_username": key, "instance": "", "recipient_count": "1"}
            )
            said = self.daemon.socket_data_write.pop(connection).decode()
            if said == f"action={SUCCESS}\n\n":
                if recipients > 1:
                    self.package.add(key, recipients - 1)
                return ""
            if said == f"action={FAIL}\n\n":
                return windows.met
            raise DownError("the package says above what failed")

    def status(self) -> dict[str, t.Any]:
        """Return how it is: database is what failed when it was written to just now, empty where it took it."""
        failed = ""
        try:
            self.package.try_store()
            self._down_until = 0.0
        except self.package.error as exc:
            self.package.forget()
            failed = _words(exc)
        return {
            "config": self.package.digest, "database": failed, "since": self.since, "asked": self.asked, "elsewhere": self.elsewhere,
            "opened": self.opened, "last_opened": self.last_opened,
        }  # fmt: skip

    def _say(self, what: str, text: str) -> None:
        """Log it, but the same not again within a minute: a flood is not to fill the log."""
        now = time.monotonic()
        if now - self._said.get(what, -_SAY_AGAIN) < _SAY_AGAIN:
            return
        if len(self._said) >= _MAX_SAID:
            self._said.clear()
        self._said[what] = now
        self.log(text)


def fold(login: str) -> str:
    """Return a login as it is counted: Postfix passes what was typed where the SASL server leaves it so."""
    login = login.strip().lower()
    return login if len(login) <= _MAX_LOGIN else "sha256:" + hashlib.sha256(login.encode("utf-8", "replace")).hexdigest()


def _question(data: bytes) -> dict[str, str]:
    pairs = (line.partition("=") for line in data.decode("utf-8", "replace").replace("\0", "").split("\n"))
    return {name: value for name, equals, value in pairs if equals}


def digest(*paths: str) -> str:
    """Return a hash of files, which tells a daemon that runs with other ones."""
    found = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            found.update(hashlib.sha256(file.read()).digest())
    return found.hexdigest()


def _words(exc: Exception) -> str:
    return f"{type(exc).__name__}: {' '.join(str(exc).split())}"[:300]


def _host() -> str:
    return os.uname().nodename[:255]


def _drop(user: str) -> None:
    """Become the package's user where this is root."""
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


def test() -> None:
    """UnfitError where the package does not count as it is relied on; in a database in memory."""
    document = {
        "shadow": False, "overrides": {"account": {"free@a.test": {}, "few@a.test": {"hard": {"minute": 1}}}},
        "limits": {"account": {"soft": {"minute": 3, "hour": 4}, "hard": {"hour": 6}}, "domain": {"hard": {"day": 5}}},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name, content in ("yaml", {"backend": 0, "sqlite_config": {"database": ":memory:"}}), ("json", document):
            with open(f"{folder}/test.{name}", "w", encoding="utf-8") as file:
                json.dump(content, file)
        limiter = Limiter(Package(f"{folder}/test.yaml"), lambda text: None)
    soft, hard = (f"{CODES[kind]} {MARK}: account " for kind in ("soft", "hard"))
    room = "DUNNO"
    connection = object()
    limiter.daemon.socket_data_read[connection] = []
    for number, (login, recipients, expected) in enumerate([
        ("a@a.test", 2, room), ("A@A.test", 2, soft + "minute"), ("a@a.test", 1, room), ("a@a.test", 1, soft + "minute"),
        ("a@a.test", 1, hard + "hour"), ("", 9, room), ("few@A.TEST", 2, hard + "minute"), ("few@a.test", 1, room),
        ("b@a.test", 1, room), ("b@a.test", 1, f"{CODES['hard']} {MARK}: domain day"), ("c@b.test", 3, room),
    ], 1):  # fmt: skip
        said = limiter.answer(connection, {"protocol_state": "DATA", "sasl_username": login, "recipient_count": str(recipients)})
        if said != expected:
            raise UnfitError(f"this policyd-rate-limit counts otherwise than is relied on (question {number} of its test: {said!a})")
    del limiter.daemon.socket_data_read[connection]
    limiter.package.forget()


def serve(path: str) -> None:
    limiter = Limiter(Package(path))
    limiter.daemon.sock = Inherited(fileno=3)  # sd_listen_fds(3)
    try:
        limiter.package.utils.database_init()
    except limiter.package.error as exc:
        sys.stderr.write(f"the database cannot be used yet, mail is not limited: {_words(exc)}\n")
        limiter.package.forget()
    limiter.daemon.run()


def main(words: list[str]) -> int:
    try:
        if words[:1] == ["test"]:
            test()
        elif words[:1] == ["serve"]:
            serve(words[1])
        elif words[:1] == ["store"] or words[:1] == ["hits"]:
            package = Package(words[1])
            _drop(package.utils.config.user)
            if words[0] == "store":
                package.try_store()
            else:
                json.dump(package.hits(float(words[2])), sys.stdout)
        else:
            sys.stderr.write("usage: serve CONFIG | test | store CONFIG | hits CONFIG SECONDS\n")
            return 64
    except UnfitError as exc:
        sys.stderr.write(f"{exc}\n")
        return 3
    except KeyboardInterrupt:
        return 0
    except Exception as exc:
        if not type(exc).__module__.startswith(("sqlite3", "psycopg2")):
            raise
        sys.stderr.write(_words(exc) + "\n")
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

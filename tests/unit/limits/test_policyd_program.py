# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Debian's policyd-rate-limit is asked, with both of its releases played."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import tempfile
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.limits import engine, policy
from goodstanding_src.module_utils.goodstanding.limits import policyd_program as program
from hypothesis import given, settings
from hypothesis import strategies as st

_SPEC = importlib.util.spec_from_file_location("played_policyd", Path(__file__).parent / "played_policyd.py")
played_policyd = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(played_policyd)

RELEASES = ("1.0", "1.2")


class Host:
    """A limiter in a folder, its log, and a clock."""

    def __init__(self, monkeypatch, folder, release, document):
        played_policyd.put(monkeypatch, release)
        self.now = 1_000_000.0
        monkeypatch.setattr(program.time, "time", lambda: self.now)
        monkeypatch.setattr(program.time, "monotonic", lambda: self.now)
        self.path = Path(folder, "limits.yaml")
        store = {"backend": 0, "sqlite_config": {"database": f"{folder}/counts.sqlite3", "timeout": 0}}
        self.path.write_text("# note\n" + json.dumps(store))
        self.path.with_suffix(".json").write_text(json.dumps({"overrides": {}, "shadow": False, "limits": {}, **document}))
        self.log = []
        self.start()

    def start(self):
        self.limiter = program.Limiter(program.Package(str(self.path)), self.log.append)
        self.limiter.daemon.socket_data_read[self] = []

    def send(self, login="a@a.test", recipients=1, stage="DATA"):
        said = self.limiter.answer(self, {"protocol_state": stage, "sasl_username": login, "recipient_count": str(recipients)})
        return said.replace(f"{program.MARK}: ", "")

    def counted(self):
        with self.limiter.package.utils.cursor() as cur:
            cur.execute("SELECT id, COUNT(*) FROM mail_count GROUP BY id ORDER BY id")
            return dict(cur.fetchall())


@pytest.fixture(params=RELEASES)
def host(request, monkeypatch, tmp_path):
    return lambda **document: Host(monkeypatch, tmp_path, request.param, document)


ACCOUNT = {"account": {"soft": {"minute": 3, "hour": 5}, "hard": {"minute": 6}}}


def test_the_words_are_those_of_the_other_files():
    assert (program.WINDOWS, program.MARK) == (policy.WINDOWS, engine.MARK)
    assert set(program.SCOPES) < set(policy.SCOPES)


@pytest.mark.parametrize("release", RELEASES)
def test_the_package_is_tried_before_it_serves(monkeypatch, release):
    played_policyd.put(monkeypatch, release)
    program.test()
    played_policyd.put(monkeypatch, release, generous=1)
    with pytest.raises(program.UnfitError, match=r"counts otherwise than is relied on \(question 2 "):
        program.test()


def test_a_message_is_counted_with_all_its_recipients_or_refused_as_a_whole(host):
    here = host(limits=ACCOUNT)
    assert here.send(recipients=20) == "554 5.7.1 account minute", "it is above what the hard limit has at all"
    assert here.send(recipients=4) == "450 4.7.1 account minute"
    assert here.send(recipients=2) == "DUNNO"
    assert here.counted() == {"account hard a@a.test": 6, "account soft a@a.test": 2}
    assert here.send() == "554 5.7.1 account minute", "four that were put off and two that were sent"


def test_whoever_goes_on_against_the_soft_limit_meets_the_hard_one_and_both_end(host):
    here = host(limits=ACCOUNT)
    assert [here.send() for _ in range(8)] == ["DUNNO"] * 3 + ["450 4.7.1 account minute"] * 3 + ["554 5.7.1 account minute"] * 2
    here.now += 61
    assert [here.send() for _ in range(3)] == ["DUNNO", "DUNNO", "450 4.7.1 account hour"]
    here.now += 3601
    assert here.send() == "DUNNO"


def test_a_restart_forgets_nothing(host):
    here = host(limits=ACCOUNT)
    assert here.send(recipients=3) == "DUNNO"
    here.limiter.package.forget()
    here.start()
    assert here.send() == "450 4.7.1 account minute"


def test_a_login_is_one_account_in_every_spelling_and_nothing_is_none(host):
    here = host(limits=ACCOUNT)
    assert [here.send(login) for login in ("A@a.test", "a@A.TEST", " a@a.test ")] == ["DUNNO"] * 3
    assert here.send() == "450 4.7.1 account minute"
    assert [here.send("", 99), here.send("  ", 99)] == ["DUNNO", "DUNNO"]
    assert here.limiter.asked == 4
    assert set(here.counted()) == {"account hard a@a.test", "account soft a@a.test"}


def test_a_login_of_any_length_has_a_key_that_the_table_takes():
    assert program.fold("Ä@X") == "ä@x"
    long = program.fold("x" * 301)
    assert long.startswith("sha256:")
    assert long != program.fold("x" * 302)
    assert all(len(f"account hard {program.fold('é' * length)}") <= 400 for length in (300, 301, 9999))


def test_overrides_stand_instead_also_where_they_are_no_limit_at_all(host):
    few, free = {"soft": {}, "hard": {"day": 1}}, {"soft": {}, "hard": {}}
    here = host(limits=ACCOUNT, overrides={"account": {"few@a.test": few, "free@a.test": free}})
    assert here.send("free@a.test", 1000) == "DUNNO"
    assert [here.send("few@a.test"), here.send("few@a.test")] == ["DUNNO", "554 5.7.1 account day"]


def test_what_a_domain_refuses_is_not_counted_for_the_account_and_the_reverse(host):
    here = host(limits={"account": {"soft": {"day": 4}, "hard": {"day": 9}}, "domain": {"soft": {"day": 5}}})
    assert [here.send("b@a.test"), here.send("b@a.test", 4)] == ["DUNNO", "450 4.7.1 account day"]
    assert [here.send(recipients=4), here.send("c@a.test", 3)] == ["DUNNO", "450 4.7.1 domain day"]
    assert here.counted() == {
        "account hard a@a.test": 4, "account hard b@a.test": 5, "account soft a@a.test": 4, "account soft b@a.test": 1,
        "domain soft a.test": 5,
    }  # fmt: skip
    assert here.send("nobody", 4) == "DUNNO", "a login without a domain has no limit of one"


def test_shadow_refuses_nobody_and_names_who_would_have_been(host):
    here = host(limits=ACCOUNT, shadow=True)
    assert {here.send() for _ in range(9)} == {"DUNNO"}
    assert here.limiter.package.hits(0) == [["account", "a@a.test", "minute", "shadow", 6, 1_000_000, 1_000_000]]


def test_who_met_a_limit_is_kept_with_times_and_for_two_weeks(host):
    here = host(limits={"account": {"hard": {"day": 1}}})
    here.send()
    for later in (0, 90, 90):
        here.now += later
        here.send()
    assert here.limiter.package.hits(0) == [["account", "a@a.test", "day", "hard", 3, 1_000_000, 1_000_180]]
    assert here.limiter.package.hits(here.now - 100)[0][4] == 2
    here.now += 15 * 86400
    here.send("b@a.test")
    assert here.limiter.package.hits(0) == []
    assert here.counted() == {"account hard b@a.test": 1}


def test_a_flood_says_one_line_a_minute(host):
    here = host(limits={"account": {"hard": {"day": 1}}})
    for _ in range(50):
        here.send("a\n\x1b@a.test")
    here.now += 61
    here.send("a\n\x1b@a.test")
    assert here.log == ["account 'a\\n\\x1b@a.test' is refused (554 5.7.1): over its hard limit of recipients (day)"] * 2


def test_at_another_stage_nothing_is_counted_and_that_is_said(host):
    here = host(limits=ACCOUNT)
    assert [here.send(stage="RCPT") for _ in range(5)] == ["DUNNO"] * 5
    assert (here.limiter.status()["elsewhere"], here.limiter.status()["asked"]) == (5, 0)


def test_without_its_database_mail_goes_on_and_that_is_said_and_it_comes_back(host, tmp_path):
    here = host(limits=ACCOUNT)
    here.send(recipients=3)
    here.limiter.package.forget()
    counts = tmp_path / "counts.sqlite3"
    for name in ("counts.sqlite3-wal", "counts.sqlite3-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    good = counts.read_bytes()
    counts.write_bytes(b"no database at all " * 100)
    assert [here.send(), here.send()] == ["DUNNO", "DUNNO"]
    status = here.limiter.status()
    assert "file is not a database" in status["database"]
    assert (status["opened"], status["last_opened"]) == (2, here.now)
    assert len(here.log) == 1, here.log
    counts.write_bytes(good)
    assert here.send() == "DUNNO", "nobody waits for it again just after"
    here.now += 6
    assert here.send() == "450 4.7.1 account minute"
    assert here.limiter.status()["database"] == ""
    assert here.counted() == {"account hard a@a.test": 4, "account soft a@a.test": 3}, "the trial of the status is taken back"


def test_a_connection_that_was_lost_meanwhile_lets_nothing_through(host):
    here = host(limits=ACCOUNT)
    here.send(recipients=3)
    here.limiter.package.utils.cursor._db[0].close()
    assert here.send() == "450 4.7.1 account minute"
    assert here.limiter.opened == 0


@contextlib.contextmanager
def connected(here):
    """A connection of Postfix, and how it gets an answer to octets that come in pieces."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        here.limiter.daemon.socket_data_read[theirs] = []

        def ask(*pieces):
            for piece in pieces:
                ours.sendall(piece)
                here.limiter.read(theirs)
            return ours.recv(4096)

        yield ask, ours, theirs


def test_a_question_is_read_whole_wherever_it_is_cut(host):
    here = host(limits={"account": {"hard": {"day": 1000}}})
    question = "protocol_state=DATA\nsender=" + "é" * 700 + "=x\nsasl_username=a@a.test\nrecipient_count=2\n\n"
    data = question.encode()
    with connected(here) as (ask, _, _):
        for cut in (1, 1023, 1024, 1025, len(data) - 1):
            assert ask(data[:cut], data[cut:]) == b"action=DUNNO\n\n"
        assert ask(data.replace("é".encode(), b"\xff")) == b"action=DUNNO\n\n"
    assert here.counted() == {"account hard a@a.test": 12}


def test_a_connection_that_says_too_much_or_hangs_up_is_closed_and_the_rest_goes_on(host):
    here = host(limits=ACCOUNT)
    with connected(here) as (_, ours, theirs):
        for _ in range(3):
            ours.sendall(b"x" * 30000)
            here.limiter.read(theirs)
        assert theirs.fileno() == -1
    with connected(here) as (_, ours, theirs):
        ours.sendall(b"protocol_state=DATA\nsasl_username=a@a.test\n\n")
        ours.close()
        here.limiter.read(theirs)
        here.limiter.read(theirs)
        assert theirs.fileno() == -1
    assert here.send() == "DUNNO"


def test_the_status_is_one_line_that_faults_can_read(host):
    here = host(limits=ACCOUNT)
    with connected(here) as (ask, _, _):
        said = ask(f"request={program.STATUS}\n\n".encode()).decode()
    assert said.startswith(f"action={program.STATUS} {{")
    assert said.count("\n") == 2
    assert json.loads(said.split(" ", 1)[1])["config"] == program.digest(str(here.path), str(here.path.with_suffix(".json")))


@settings(max_examples=60, deadline=None)
@given(
    release=st.sampled_from(RELEASES),
    steps=st.lists(st.tuples(st.sampled_from(["a@x", "A@X", "b@x", "c@y"]), st.integers(1, 6), st.integers(0, 40)), max_size=40),
)
def test_it_counts_as_the_words_say(release, steps):
    """Against a count by hand, of the same words: per key the times of each recipient."""
    limits = {
        "account": {"soft": {"minute": 5, "hour": 9}, "hard": {"minute": 12}}, "domain": {"soft": {"minute": 8}, "hard": {"minute": 20}},
    }  # fmt: skip
    times: dict[str, list[float]] = {}

    def room(key, limit, count, now):
        rows = times.setdefault(key, [])
        return all(sum(row >= int(now - program.WINDOWS[name]) for row in rows) + count <= most for name, most in limit.items())

    def expected(login, count, now):
        login, counted = login.lower(), []
        for scope in ("account", "domain"):
            for kind in ("hard", "soft"):
                key = f"{scope} {kind} {login if scope == 'account' else login[-1]}"
                if not room(key, limits[scope][kind], count, now):
                    for other in counted:
                        if not other.startswith(scope):
                            del times[other][-count:]
                    return program.CODES[kind]
                times[key] += [int(now)] * count
                counted.append(key)
        return "DUNNO"

    with pytest.MonkeyPatch.context() as monkeypatch, tempfile.TemporaryDirectory() as folder:
        here = Host(monkeypatch, folder, release, {"limits": limits})
        for login, count, later in steps:
            here.now += later
            assert here.send(login, count).startswith(expected(login, count, here.now))
        here.limiter.package.forget()


def test_the_words_of_the_command_line(monkeypatch, tmp_path, capsys):
    played_policyd.put(monkeypatch, "1.0")
    assert program.main(["test"]) == 0
    assert program.main(["fly"]) == 64
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    here = Host(monkeypatch, tmp_path, "1.0", {"limits": ACCOUNT})
    here.send(recipients=4)
    capsys.readouterr()
    assert program.main(["store", str(here.path)]) == 0
    assert program.main(["hits", str(here.path), "0"]) == 0
    assert json.loads(capsys.readouterr().out) == [["account", "a@a.test", "minute", "soft", 1, 1_000_000, 1_000_000]]
    here.path.write_text(here.path.read_text().replace("counts", "no such folder/counts"))
    assert program.main(["store", str(here.path)]) == 4
    assert capsys.readouterr().err == "OperationalError: unable to open database file\n"

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time

import pytest
from goodstanding_src.module_utils.goodstanding.accounts import ending, sessions
from goodstanding_src.module_utils.goodstanding.accounts.lock import check_names
from goodstanding_src.module_utils.goodstanding.accounts.sessions import Socket, older_than, process_started, smtpd_ports, sockets
from goodstanding_src.module_utils.goodstanding.host.files import HostError

SS = """\
0      0      198.51.100.11:587   203.0.113.4:44475 users:(("smtpd",pid=41,fd=9))
0      0      198.51.100.11:465   203.0.113.3:48707
0      0      198.51.100.11:22    198.51.100.1:52458 users:(("sshd",pid=7,fd=4))
0      0      198.51.100.11:32768 203.0.113.25:25   users:(("smtp",pid=50,fd=12))
0      0      [2001:db8::11]:587  [2001:db8::4]:44476 users:(("smtpd",pid=42,fd=9))
garbage
"""
SERVICES = """\
smtp       inet  n       -       y       -       -       smtpd
submission inet  n       -       y       -       -       smtpd
127.0.0.1:10025 inet n   -       n       -       -       smtpd
[::]:465   inet  n       -       y       -       -       smtpd
    -o syslog_name=postfix/smtps
pickup     unix  n       -       y       60      1       pickup
2525       inet  n       -       y       -       -       spawn
26         inet  n       -       y       -       1       postscreen
"""


def test_ports_are_those_of_smtpd():
    assert smtpd_ports(SERVICES) == {25, 26, 587, 10025, 465}


def test_sockets_are_those_of_the_ports():
    assert sockets(SS, {587, 465}) == [
        Socket("198.51.100.11:587", "203.0.113.4:44475", 41),
        Socket("198.51.100.11:465", "203.0.113.3:48707", None),
        Socket("[2001:db8::11]:587", "[2001:db8::4]:44476", 42),
    ]


def test_a_filter_selects_one_socket():
    assert Socket("1.2.3.4:587", "5.6.7.8:9", 1).ss_filter() == ["src", "1.2.3.4:587", "and", "dst", "5.6.7.8:9"]


def test_old_are_those_of_processes_from_before_the_reload_and_those_that_may_be():
    old, new, gone = Socket("a:1", "b:1", 1), Socket("a:1", "b:2", 2), Socket("a:1", "b:3", 3)
    first, later = Socket("a:1", "b:4", None), Socket("a:1", "b:5", None)
    started = {1: 99.0, 2: 101.0, 3: None}.get
    assert older_than([old, new, gone, first, later], 100.0, {old, new, gone, first}, started) == [old, first]


def test_when_a_process_was_started():
    assert abs(process_started(os.getpid()) - time.time()) < 3600
    assert process_started(2**22 + 1) is None


def test_patience_is_bounded():
    assert 1 <= ending.PATIENCE <= 30
    assert sessions.Socket._fields == ("local", "peer", "pid")


def test_names_are_folded_as_the_maps_fold_them():
    assert check_names([" B@X ", "a@x", "b@x"], [], "i-1") == ["a@x", "b@x"]


@pytest.mark.parametrize("name", ["", "a b@x", "a:b", "#a", "a\nb REJECT", "*@x", "a?", "a\\b", "x" * 400])
def test_names_that_a_map_would_read_otherwise_are_refused(name):
    with pytest.raises(HostError, match="no account name"):
        check_names([name], [], "i-1")


def test_protected_accounts_and_odd_incidents_are_refused():
    with pytest.raises(HostError, match="account_lock_never"):
        check_names(["Boss@x"], ["boss@X"], "i-1")
    with pytest.raises(HostError, match="no name of an incident"):
        check_names(["a@x"], [], "a\nb")


class Host:
    """A host whose ss shows SS and notes which sockets are closed."""

    def __init__(self):
        self.closed = []

    def run(self, words, data=None):
        if words[0] == "postconf":
            return 0, "submission inet n - y - - smtpd\n", ""
        if "-K" in words:
            self.closed.append(words[5:])
        return 0, OPEN, ""


OPEN = """\
0 0 198.51.100.11:587 203.0.113.5:40000 users:(("smtpd",pid=10,fd=5))
0 0 [::ffff:198.51.100.11]:993 [::ffff:203.0.113.5]:40001
0 0 198.51.100.11:587 203.0.113.6:40002
0 0 198.51.100.11:22 203.0.113.5:40003
0 0 127.0.0.1:143 127.0.0.1:40004
0 0 198.51.100.11:587 198.51.100.11:40005
"""


def test_only_mail_connections_of_the_attackers_clients_are_closed():
    host = Host()
    assert len(ending.sockets_of(host.run, ["203.0.113.5", "127.0.0.1", "198.51.100.11", "no address"])) == 2
    closed = ending._close_sockets_of(host.run, ["203.0.113.5"])
    assert len(closed) == 2
    assert ending.left_of(host.run, closed) == closed
    assert ending.left_of(lambda words: (0, "" if words[0] == "ss" else host.run(words)[1], ""), closed) == []
    assert host.closed == [
        ["src", "198.51.100.11:587", "and", "dst", "203.0.113.5:40000"],
        ["src", "[::ffff:198.51.100.11]:993", "and", "dst", "[::ffff:203.0.113.5]:40001"],
    ]
    assert ending.sockets_of(host.run, []) == []


@pytest.mark.parametrize(("active", "restarts", "faults"), [(0, 0, 0), (0, 1, 1), (3, 0, 0)])
def test_saslauthd_is_restarted_where_it_runs(monkeypatch, active, restarts, faults):
    said = []

    def run(words, data=None):
        said.append(words)
        return (active if "is-active" in words else restarts), "", "no"

    monkeypatch.setattr(ending.plumbing, "dovecot_version", lambda run: None)
    assert len(ending.forget_logins(run, ["a@x"])) == faults
    assert (["systemctl", "restart", "saslauthd"] in said) == (active == 0)
    said.clear()
    ending.forget_logins(run, ["a@x"], restart=False)
    assert said == []


def test_sessions_that_dovecot_does_not_tell_of_are_not_called_ended(monkeypatch):
    said = []

    def run(words, data=None):
        said.append(words[:2])
        return (75 if "who" in words else 0), "", "net_connect_unix(/run/dovecot/anvil) failed"

    monkeypatch.setattr(ending.plumbing, "dovecot_version", lambda run: "2.4.1")
    monkeypatch.setattr(ending.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(ending, "close_old_sockets", lambda run: (0, 0))
    assert "whether a@x has IMAP or POP3 sessions is not known" in ending.end(run, ["a@x"], [], False).faults[0]
    assert ["doveadm", "kick"] in said


def test_a_session_under_another_case_is_kicked_by_its_own_name(monkeypatch):
    """doveadm who of Dovecot 2.4 finds it for mallory@x, doveadm kick mallory@x does not."""
    there = ["Mallory@x\timap\t(1)\t(1.2.3.4)"]

    def run(words, data=None):
        if words[1] == "kick" and words[-1] == "Mallory@x":
            there.clear()
        return 0, "\n".join(["username\tproto\tpids\tips", *there]) + "\n", ""

    monkeypatch.setattr(ending.plumbing, "dovecot_version", lambda run: "2.4.1")
    monkeypatch.setattr(ending.time, "sleep", lambda seconds: None)
    assert ending._kick(run, ["mallory@x"]) == (1, 0, [])


def test_sessions_from_before_the_plumbing_are_cut_by_the_stop_and_counted_by_the_end(monkeypatch, tmp_path):
    state, host = {"reloaded": time.time() + 60}, Host()
    gone = iter([OPEN, "", ""])
    monkeypatch.setattr(ending, "load_state", lambda name: dict(state))
    monkeypatch.setattr(ending, "save_state", lambda name, value: (state.clear(), state.update(value)))

    def run(words, data=None):
        return (0, next(gone), "") if words[0] == "ss" and "-K" not in words else host.run(words)

    ending.cut(run)
    assert (len(host.closed), state["drained"], state["cut"]) == (3, True, 3)
    assert ending.close_old_sockets(run) == (3, 0)
    assert ending.close_old_sockets(run) == (0, 0)


def test_after_a_restart_of_postfix_no_session_is_an_old_one(monkeypatch, tmp_path):
    """Whose process cannot be told counts as old, if it was there at the first look: here a client that came back."""
    state, host = {"reloaded": 1000.0}, Host()
    (tmp_path / "pid").mkdir()
    (tmp_path / "pid/master.pid").write_text("  77\n")
    monkeypatch.setattr(ending, "load_state", lambda name: dict(state))
    monkeypatch.setattr(ending, "save_state", lambda name, value: (state.clear(), state.update(value)))
    monkeypatch.setattr(ending, "PATIENCE", 0)
    started = {77: 999.0}
    monkeypatch.setattr(ending.sessions, "process_started", started.get)

    def run(words, data=None):
        return (0, f"{tmp_path}\n", "") if words[:2] == ["postconf", "-h"] else host.run(words)

    assert ending.close_old_sockets(run)[1] > 0
    started[77] = 1001.0
    assert ending.close_old_sockets(run) == (0, 0)
    assert state["drained"]

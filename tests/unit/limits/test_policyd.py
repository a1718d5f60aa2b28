# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine policyd_rate_limit: its files, its place in Postfix's configuration, what it says is wrong. The daemon itself is played."""

from __future__ import annotations

import json
import re
import socket
import threading
import time

import pytest
from goodstanding_src.module_utils.goodstanding.accounts import postfix_conf
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.limits import engine, policyd, policyd_program
from goodstanding_src.module_utils.goodstanding.limits.engine import Hit, Settings
from goodstanding_src.module_utils.goodstanding.limits.policy import Limit, Policy
from hypothesis import given
from hypothesis import strategies as st

NONE = Limit({}, {})
POLICY = Policy(
    Limit({"hour": 100}, {"hour": 300}), Limit({}, {"day": 5000}), NONE, {("account", "a@x.test"): Limit({"day": 9}, {})}, False
)
TOKEN = "check_sasl_access static:goodstanding_limit"


def spool(words, data=None):
    assert words[:2] == ["postconf", "-h"]
    return 0, "/var/spool/postfix\n", ""


def texts(policy=POLICY, settings=Settings()):  # noqa: B008  # a tuple
    return {file.path: file for file in policyd.wanted(spool, policy, settings)}


def test_it_is_an_engine():
    assert all(callable(getattr(policyd, name)) for name, value in vars(engine.Engine).items() if callable(value) and name[0] != "_")
    assert policyd.NAME == "policyd_rate_limit"


# ---- files


def test_the_limits_are_written_as_the_policy_says_with_logins_of_our_own():
    document = json.loads(texts()[policyd.LIMITS].text)
    assert document["limits"] == {
        "account": {"soft": {"hour": 100}, "hard": {"hour": 300}}, "domain": {"soft": {}, "hard": {"day": 5000}},
    }  # fmt: skip
    assert document["overrides"]["account"] == {
        "a@x.test": {"soft": {"day": 9}, "hard": {}},
    }
    assert document["shadow"] is False


def test_the_program_is_put_there_whole():
    file = texts()[policyd.PROGRAM]
    assert file.mode == 0o755
    assert file.text == open(policyd_program.__file__, encoding="utf-8").read()  # noqa: SIM115
    compile(file.text, file.path, "exec")


def config(store, password=""):
    file = texts(settings=Settings(store, password))[policyd.CONFIG]
    assert (file.mode, file.group) == (0o640, "policyd-rate-limit")
    return json.loads(file.text.partition("\n")[2])


def test_without_a_store_it_counts_in_a_file_of_this_host():
    said = config("")
    assert (said["backend"], said["sqlite_config"]["database"]) == (0, "/var/lib/goodstanding-limits/counts.sqlite3")
    assert (said["debug"], said["report"], said["count_mode"], said["sql_limits_by_id"]) == (False, False, 2, "")


def test_a_store_of_sql_has_its_password_in_one_file_alone():
    said = config("postgresql://li%40mits@db.test:5433/counts?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem", "pw\"'é")
    assert said["backend"] == 2
    got = said["pgsql_config"]
    assert (got["user"], got["host"], got["port"], got["dbname"], got["password"]) == ("li@mits", "db.test", 5433, "counts", "pw\"'é")
    assert (got["sslmode"], got["connect_timeout"], got["tcp_user_timeout"]) == ("verify-full", 2, 3000)
    shown = texts(settings=Settings("postgresql://u@h/d", "pw-secret"))
    assert [path for path, file in shown.items() if "pw-secret" in file.text] == [policyd.CONFIG]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u@h/d", "in PostgreSQL"),
        ("postgresql://h/d", "in PostgreSQL"),
        ("postgresql://u@h", "in PostgreSQL"),
        ("postgresql://u:secret@h/d", "holds a password"),
        ("postgresql://u@h:port/d", "cannot be read"),
        ("postgresql://u@h/d?options=-c+x", "an option that is not known"),
    ],
)
def test_another_store_is_refused_without_showing_it(url, words):
    with pytest.raises(HostError, match=words) as caught:
        config(url)
    assert "secret" not in str(caught.value)


def test_the_units():
    files = texts()
    assert policyd.units() == ["goodstanding-limits.socket", "goodstanding-limits.service"]
    assert all(f"/etc/systemd/system/{unit}" in files for unit in policyd.units())
    listening = files["/etc/systemd/system/goodstanding-limits.socket"].text
    assert "ListenStream=/var/spool/postfix/private/goodstanding-limits\nSocketUser=postfix\n" in listening
    assert "PIDFile" not in files["/etc/systemd/system/goodstanding-limits.service"].text


# ---- Postfix


MASTER = """\
smtp      inet  n       -       y       -       -       smtpd
submission inet n       -       y       -       -       smtpd
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_data_restrictions=reject_unauth_pipelining
smtps     inet  n       -       y       -       -       smtpd
  -o { smtpd_data_restrictions = reject_multi_recipient_bounce, permit }
  -o smtpd_restriction_classes=theirs
pickup    unix  n       -       y       60      1       pickup
"""


def tokens():
    return policyd._tokens(5)


def test_it_is_first_of_what_is_asked_at_data():
    main = tokens().plumb_main("smtpd_data_restrictions = permit_mynetworks\n")
    assert main == (
        f"smtpd_data_restrictions = {TOKEN}, permit_mynetworks\n"
        "# Good Standing: sending limits, see the role rate_limit\n"
        "smtpd_restriction_classes = goodstanding_limit\n"
        "goodstanding_limit = check_policy_service { unix:private/goodstanding-limits, timeout=5s, default_action=DUNNO }\n"
    )
    master = tokens().plumb_master(MASTER)
    assert "-o smtpd_data_restrictions=check_sasl_access,static:goodstanding_limit,reject_unauth_pipelining\n" in master
    assert f"-o {{ smtpd_data_restrictions = {TOKEN}, reject_multi_recipient_bounce, permit }}" in master
    assert "-o smtpd_restriction_classes=goodstanding_limit,theirs" in master
    assert tokens().plumb_master(master) == master
    assert policyd.unplumb(main, master) == ("smtpd_data_restrictions = permit_mynetworks\n", MASTER)


def test_another_timeout_is_one_line_and_goes_out_as_well():
    main = policyd._tokens(9).plumb_main("a = b\n")
    assert "timeout=9s" in main
    assert policyd._tokens(7).plumb_main(main).count("goodstanding_limit = ") == 1
    assert policyd.unplumb(main, "")[0] == "a = b\n"


LINES = st.sampled_from(
    [
        "smtpd_recipient_restrictions =", "smtpd_data_restrictions = reject", "smtpd_data_restrictions=a,b", "  c, d", "\tx", "# note", "",
        "smtpd_restriction_classes = x", "smtpd_end_of_data_restrictions =", "  # in between", "myhostname = h",
        "#smtpd_data_restrictions = n",
        "authorized_submit_users = root", "smtpd_restriction_classes =",
    ]
)  # fmt: skip
SERVICES = st.sampled_from(
    [
        "smtp inet n - y - - smtpd", "submission inet n - y - - smtpd", "pickup unix n - y 60 1 pickup", "  -o smtpd_data_restrictions=",
        "  -o smtpd_data_restrictions=a,b", "  -o smtpd_recipient_restrictions=x -o { smtpd_data_restrictions = c d }",
        "# -o smtpd_data_restrictions=q",
        "  -o smtpd_restriction_classes=y", "\t-o { smtpd_end_of_data_restrictions = }", "  -o smtpd_recipient_restrictions= -v",
    ]
)  # fmt: skip
ENDS = st.sampled_from(["", "\n", "\n\n"])


@given(st.lists(LINES, max_size=8), st.lists(SERVICES, max_size=8), ENDS, st.lists(st.booleans(), max_size=7))
def test_the_lock_and_the_limits_come_and_go_in_any_order(main_lines, master_lines, end, order):
    first = main, master = "\n".join(main_lines) + end, "\n".join(master_lines) + end
    there = {True: False, False: False}

    def change(lock, present):
        nonlocal main, master
        there[lock] = present
        if lock:
            act = (
                (postfix_conf.plumb_main, postfix_conf.plumb_master)
                if present
                else (postfix_conf.unplumb_main, postfix_conf.unplumb_master)
            )
        else:
            one = tokens()
            act = (one.plumb_main, one.plumb_master) if present else (one.unplumb_main, one.unplumb_master)
        main, master = act[0](main), act[1](master)

    for lock in order:
        change(lock, not there[lock])
        for other, present in list(there.items()):
            before = main, master
            change(other, present)  # a second run
            assert (main, master) == before
        if there[False]:
            found = re.findall(r"^smtpd_data_restrictions\s*=\s*(.*)", main, re.MULTILINE)
            assert found
            assert all(value.startswith(TOKEN) for value in found)
            assert re.search("^goodstanding_limit = ", main, re.MULTILINE)
            assert re.search("^# Good Standing: sending limits", main, re.MULTILINE)
    for lock in (True, False):
        change(lock, False)
    assert (main, master) == first


EFFECTIVE = f"smtpd_sasl_auth_enable = no\nsmtpd_data_restrictions = {TOKEN}\nsmtpd_restriction_classes = goodstanding_limit\n" + (
    "goodstanding_limit = check_policy_service { unix:private/goodstanding-limits, timeout=5s, default_action=DUNNO }\n"
)


def postconf(main=EFFECTIVE, overrides=""):
    """A run that plays postconf, with a submission service that knows logins, and systemctl, with all units up."""

    def run(words, data=None):
        if words[0] == "systemctl":
            return run.units.get((words[1], words[-1]), 0), "", ""
        if words[-1] == "-M":
            return 0, "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n", ""
        if words[-1] == "-P":
            return 0, "submission/inet/smtpd_sasl_auth_enable = yes\n" + overrides, ""
        if words[1] == "-h":
            return 0, str(run.spool), ""
        return (0, main, "") if "goodstanding_limit" in main else (1, main, "postconf: warning: goodstanding_limit: unknown parameter")

    run.units, run.spool = {}, "/nonexistent"
    return run


@pytest.mark.parametrize(
    ("main", "overrides", "named"),
    [
        (EFFECTIVE, "", []),
        (EFFECTIVE, "submission/inet/smtpd_data_restrictions = reject\n", ["submission/inet smtpd_data_restrictions"]),
        (EFFECTIVE, f"submission/inet/smtpd_data_restrictions = permit_mynetworks,{TOKEN}\n", ["submission/inet smtpd_data_restrictions"]),
        (EFFECTIVE, "submission/inet/smtpd_restriction_classes = x\n", ["submission/inet smtpd_restriction_classes"]),
        (EFFECTIVE, "submission/inet/goodstanding_limit =\n", ["submission/inet goodstanding_limit"]),
        (EFFECTIVE, "smtp/inet/smtpd_data_restrictions = reject\n", []),
        ("smtpd_data_restrictions =\nsmtpd_sasl_auth_enable = no\n", "", ["submission/inet smtpd_data_restrictions"]),
    ],
)
def test_a_service_that_knows_logins_and_does_not_ask_is_named(main, overrides, named):
    run = postconf(main, overrides)
    assert policyd.unasked(run) == named
    if named:
        with pytest.raises(HostError, match=f"would not be asked for first in {named[0]}"):
            policyd.plumb(run, "", "")
    else:
        assert TOKEN in policyd.plumb(run, "", "")[0]


# ---- how it is


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    """A daemon that says what it is told to, and files as the policy says."""
    config, limits = tmp_path / "limits.yaml", tmp_path / "limits.json"
    monkeypatch.setattr(policyd, "CONFIG", str(config))
    monkeypatch.setattr(policyd, "LIMITS", str(limits))
    config.write_text("{}")
    limits.write_text(policyd._limits(POLICY))
    (tmp_path / "private").mkdir()
    run = postconf()
    run.spool = tmp_path
    run.limits = limits
    run.said = {
        "config": policyd_program.digest(str(config), str(limits)), "database": "", "opened": 0, "last_opened": 0, "asked": 5,
        "elsewhere": 0,
    }  # fmt: skip
    run.answer = None
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "private/goodstanding-limits"))
        listening.listen()

        def serve():
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                with client:
                    assert client.recv(999) == b"request=goodstanding_status\n\n"
                    client.sendall(run.answer or f"action=goodstanding_status {json.dumps(run.said)}\n\n".encode())

        threading.Thread(target=serve, daemon=True).start()
        yield run
        listening.shutdown(socket.SHUT_RDWR)


def test_where_all_is_well_nothing_is_said(daemon):
    assert policyd.faults(daemon, POLICY) == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"database": "OperationalError: database is locked"}, "The database cannot be written (OperationalError: database is locked)"),
        ({"opened": 7, "last_opened": time.time() - 60}, "7 messages were let through without being counted"),
        ({"elsewhere": 9, "asked": 0}, "Postfix asks at another stage than DATA (9 questions)"),
        ({"config": "other"}, "The daemon runs with other limits"),
    ],
)
def test_what_the_daemon_says_is_wrong_is_said(daemon, said, words):
    daemon.said.update(said)
    (fault,) = policyd.faults(daemon, POLICY)
    assert words in fault


def test_what_is_over_is_no_fault(daemon):
    daemon.said.update(opened=7, last_opened=time.time() - 7200)
    assert policyd.faults(daemon, POLICY) == []


@pytest.mark.parametrize(
    ("units", "count", "words"),
    [
        ({("is-active", "goodstanding-limits.socket"): 3}, 1, "goodstanding-limits.socket does not run: mail flows without limits"),
        ({("is-active", "goodstanding-limits.service"): 3}, 1, "goodstanding-limits.service does not run"),
        ({("is-enabled", "goodstanding-limits.service"): 1}, 1, "goodstanding-limits.service is not enabled: after a restart"),
    ],
)
def test_a_unit_that_is_down_is_said_and_not_started_by_asking(daemon, units, count, words):
    daemon.units = units
    if ("is-enabled", "goodstanding-limits.service") not in units:
        daemon.answer = b"it was asked"
    found = policyd.faults(daemon, POLICY)
    assert len(found) == count
    assert words in found[0]


def test_limits_that_were_changed_by_hand_are_said(daemon):
    daemon.limits.write_text(daemon.limits.read_text().replace("300", "3000"))
    found = policyd.faults(daemon, POLICY)
    assert "is not as the policy says (changed by hand?)" in found[0]
    assert "The daemon runs with other limits" in found[1]
    daemon.limits.unlink()
    assert "is not as the policy says (it is gone)" in policyd.faults(daemon, POLICY)[0]


@pytest.mark.parametrize(
    "answer", [b"action=DUNNO\n\n", b"action=goodstanding_status [1]\n\n", b"action=goodstanding_status {\n\n", b"\xff" * 99]
)
def test_another_answer_is_none(daemon, answer):
    daemon.answer = answer
    (fault,) = policyd.faults(daemon, POLICY)
    assert "The daemon does not answer on" in fault


def test_a_socket_that_is_gone_is_said(daemon, tmp_path):
    (tmp_path / "private/goodstanding-limits").unlink()
    (fault,) = policyd.faults(daemon, POLICY)
    assert "No such file or directory" in fault


def test_who_met_a_limit():
    def run(words, data=None):
        assert words[:4] == ["/usr/bin/python3", "-I", policyd.PROGRAM, "hits"]
        return 0, '[["account", "a@x", "hour", "soft", 3, 10, 20]]', ""

    assert policyd.limited(run, 5) == [Hit("account", "a@x", "hour", "soft", 3, 10.0, 20.0)]
    with pytest.raises(HostError, match="ended with 4: database is locked: who met a limit cannot be read"):
        policyd.limited(lambda words, data=None: (4, "", "database is locked"), 5)
    with pytest.raises(HostError, match="says what is no table"):
        policyd.limited(lambda words, data=None: (0, "[[1]]", ""), 5)


# ---- before it is put there


def test_files_are_tried_in_copies_that_only_root_reads(tmp_path):
    (tmp_path / "private").mkdir()
    seen = []

    def run(words, data=None):
        if words[0] == "postconf":
            return 0, str(tmp_path), ""
        seen.append(words[3:4])
        return (4, "", "no such database") if words[3] == "store" else (0, "", "")

    policyd.check(run, policyd.wanted(spool, POLICY, Settings()))
    assert seen == [["test"]]
    with pytest.raises(HostError, match=r"no such database.*must exist, and belong to the user") as caught:
        policyd.check(run, policyd.wanted(spool, POLICY, Settings("postgresql://u@h/d", "pw-secret")))
    assert "pw-secret" not in str(caught.value)
    (tmp_path / "private").rmdir()
    with pytest.raises(HostError, match="start Postfix once"):
        policyd.check(run, policyd.wanted(spool, POLICY, Settings()))

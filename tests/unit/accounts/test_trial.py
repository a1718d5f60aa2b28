# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import threading

import pytest
from goodstanding_src.module_utils.goodstanding.accounts import trial

BEFORE = {"submission/inet": {"control": (250, "accepted"), "relay": (554, "denied"), "locked": (250, "2.1.5 Ok")}}
LOCKED = (554, "5.7.1 <goodstanding-canary>: SASL login name rejected: account locked, a trial")


def after(**answers):
    return {"submission/inet": {**BEFORE["submission/inet"], "locked": LOCKED, **answers}}


def test_a_lock_that_changes_nothing_for_others_is_taken():
    assert trial.compare(BEFORE, after(), True) == []
    assert trial.compare({}, after(), True) == [], "a service that is new has nothing to be compared with"


def test_a_list_that_is_slow_for_a_moment_is_no_difference():
    assert trial.compare(BEFORE, after(relay=(450, "4.3.0 try again later")), True) == []


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            {"control": (451, "4.3.5 Server configuration error")},
            "would answer 451 4.3.5 Server configuration error instead of 250 accepted to mail of somebody who may send",
        ),
        ({"relay": (250, "Ok")}, "would answer 250 Ok instead of 554 denied to mail of a stranger"),
        ({"locked": (250, "Ok")}, "would answer 250 Ok to a locked account"),
        ({"locked": (554, "5.7.1 Client host rejected")}, "would answer 554 5.7.1 Client host rejected to a locked account"),
        ({"control": (0, "timed out")}, "would answer 0 timed out instead of 250"),
    ],
)
def test_what_would_be_otherwise_is_said(answers, words):
    (fault,) = trial.compare(BEFORE, after(**answers), True)
    assert words in fault
    assert fault.startswith("submission/inet")


def test_a_fault_counts_that_shows_twice(monkeypatch):
    slow, asked = [after(control=(450, "4.3.0 try again later"))], []

    def answers(run, main, master, maps):
        asked.append(main)
        return BEFORE if main == "now" else slow.pop() if slow else after()

    monkeypatch.setattr(trial, "answers", answers)
    assert trial.faults(None, ("now", ""), ("new", ""), {}, True) == []
    assert asked == ["now", "new"] * 2
    slow += [after(control=(450, "4.3.0 try again later"))] * 2
    assert len(trial.faults(None, ("now", ""), ("new", ""), {}, True)) == 1


def test_each_service_gets_a_port_of_its_own():
    assert len(set(trial.free_ports(500))) == 500, "master(8) keeps one of two services of the same name"


def test_a_line_of_master_cf_keeps_its_arguments():
    fields = ["127.0.0.1:1", "inet", "n", "-", "n", "-", "-", "smtpd"]
    line = "submission inet n - y - - smtpd -o { smtpd_recipient_restrictions = permit, reject } -v"
    assert trial._line(fields, line) == "127.0.0.1:1 inet n - n - - smtpd -o { smtpd_recipient_restrictions = permit, reject } -v"


def test_what_a_killed_trial_left_is_ended_and_nothing_else_is(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "_FOLDERS", str(tmp_path))
    monkeypatch.setattr(trial, "_prepare", lambda *_: pytest.fail("stop here"))
    running = {}
    for name in ("goodstanding-trial-a", "goodstanding-trial-b"):
        (tmp_path / name / "queue/pid").mkdir(parents=True)
        words = ["sleep 60; :", "master", "-c", str(tmp_path / "goodstanding-trial-a"), "-w"]
        running[name] = subprocess.Popen(["sh", "-c", *words] if name.endswith("a") else ["sleep", "60"])
        (tmp_path / name / "queue/pid/master.pid").write_text(f"{running[name].pid}\n")
    threading.Thread(target=running["goodstanding-trial-a"].wait, daemon=True).start()
    try:
        with pytest.raises(pytest.fail.Exception):
            trial.answers(None, "", "", {})
        assert running["goodstanding-trial-a"].wait(5) != 0
        assert running["goodstanding-trial-b"].poll() is None, "its number went to another process"
        assert list(tmp_path.iterdir()) == []
    finally:
        for process in running.values():
            process.kill()


def test_no_mail_of_a_trial_leaves_by_a_filter(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "_folders", lambda *_: None)
    said = {"-M": SERVICES, "-P": "", "smtpd_sasl_auth_enable": "smtpd_sasl_auth_enable = yes", "-h": ""}
    trial._prepare(lambda words: (0, next(said[word] for word in words if word in said), ""), str(tmp_path), "", "", {})
    made = {line.split()[0]: line.split()[7:] for line in (tmp_path / "master.cf").read_text().splitlines()}
    assert {made[name][0] for name in ("smtp", "amavis", "lmtp", "dovecot")} == {"discard"}
    assert made["policy"] == ["spawn", "user=nobody", "argv=/usr/bin/policy"]


def test_the_smtpd_behind_postscreen_is_tried_on_a_port_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "_folders", lambda *_: None)
    said = {
        "-M": "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n",
        "-P": "",
        "smtpd_sasl_auth_enable": "smtpd_sasl_auth_enable = yes",
        "-h": "",
    }
    services = trial._prepare(lambda words: (0, next(said[word] for word in words if word in said), ""), str(tmp_path), "", "", {})
    (line,) = (tmp_path / "master.cf").read_text().splitlines()
    assert list(services) == ["smtpd/pass"]
    assert line.split()[1:8] == ["inet", "n", "-", "n", "-", "-", "smtpd"], "an inet service cannot be private"


SERVICES = """\
25 inet n - y - - smtpd
smtp unix - - y - - smtp
amavis unix - - y - 2 smtp -o smtp_send_xforward_command=yes
lmtp unix - - y - - lmtp
dovecot unix - n n - - pipe flags=DRhu user=vmail argv=/usr/lib/dovecot/deliver
policy unix - n n - 0 spawn user=nobody argv=/usr/bin/policy
"""


def test_a_trial_greets_with_a_name_that_helo_restrictions_take(monkeypatch):
    said = []
    monkeypatch.setattr(trial.smtplib, "SMTP", lambda *words, **_: said.append(words) or pytest.fail("no server"))
    with pytest.raises(pytest.fail.Exception):
        trial._ask(25, "", "postmaster@mx.example.test", False)
    assert said == [("127.0.0.1", 25, "[127.0.0.1]")]

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One outbreak from its first message to the owner's new password, on the lab's real servers.

The tests run in the order of the file: each is the next act of the same story. The lab must be up (script/lab up).
"""

from __future__ import annotations

import datetime
import json
import sqlite3
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOSTS, ROOT, VICTIM, accepted_serials, acts, fingerprint, lab, login, on, playbook, queued_times, received_serials, run

WATCH_SECONDS = 20


class Story:
    """What earlier acts leave for later ones."""

    virgin: dict[str, str]
    locked: float


def epoch(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@pytest.fixture(scope="module", autouse=True)
def outbreak():
    lab("reset")
    Story.virgin = fingerprint()
    lab("outbreak")
    yield
    lab("outbreak", "stop")


def test_check_mode_shows_what_would_be_and_changes_nothing():
    before = len(accepted_serials(acts(), "bot"))
    done = run("remediate", "--check", "--diff")
    assert done.code == 2, done.output[-3000:]
    assert fingerprint() == Story.virgin
    assert "+smtpd_end_of_data_restrictions = check_sasl_access" in done.output
    assert f"+{VICTIM} REJECT" in done.output
    assert done.report["run"]["check_mode"] is True
    assert [row["state"] for row in done.report["accounts"]] == ["would_lock"]
    time.sleep(3)
    assert len(accepted_serials(acts(), "bot")) > before, "the flood was to go on"


def test_the_first_run_names_locks_and_reports_the_breached_account_alone():
    done = run("remediate")
    now = time.time()
    assert done.code == 2, done.output[-3000:]
    report = done.report
    assert report["run"]["status"] == "findings"
    (account,) = report["accounts"]
    assert (account["account"], account["verdict"], account["state"]) == (VICTIM, "compromised", "locked")
    assert [(row["host"], row["state"]) for row in account["hosts"]] == [("mx1.example.test", "locked"), ("mx2.example.test", "locked")]
    assert account["accepted_after_lock"] == 0
    Story.locked = epoch(account["locked_at"])
    assert now - 120 < Story.locked <= now
    assert {row["address"]: row["state"] for row in report["addresses"]} == {"198.51.100.11": "listed", "198.51.100.12": "clean"}
    assert {row["state"] for row in report["names"]} == {"clean"}
    said = {(row["subject"], row["source"], *row["codes"]) for row in report["observations"] if row["outcome"] == "listed"}
    assert ("198.51.100.11", "zen.spamhaus.org", "127.0.0.4") in said
    assert ("198.51.100.11", "log:microsoft", "S3150") in said
    assert report["lists"] == []


def test_what_was_done_is_in_the_controllers_store_too():
    with sqlite3.connect(ROOT / ".state/goodstanding.db") as store:
        lines = [(host, json.loads(line)) for host, line in store.execute("SELECT host, line FROM journal ORDER BY id")]
    for host in HOSTS:
        own = [line["chain"] for name, line in lines if name == f"{host}.example.test"]
        there = [json.loads(line)["chain"] for line in on(host, "cat", "/var/lib/goodstanding/journal.jsonl").splitlines()]
        assert set(there) <= set(own)
        assert [line["after"] for name, line in lines if name == f"{host}.example.test" and line.get("account") == VICTIM
                and (line["step"], line["result"]) == ("map", "done")], "the lock of the victim is not there"  # fmt: skip


def test_the_end_of_the_outbreak_is_not_said_before_it_is_proven():
    done = run("remediate")
    outbreak = done.report["outbreak"]
    assert outbreak["state"] == "not_proven" or outbreak["state"] == "not_ended"
    states = {row["number"]: row["state"] for row in outbreak["conditions"]}
    assert len(states) == 9
    assert (states[2], states[3], states[5]) == ("holds", "holds", "holds"), outbreak
    assert states[1] == "unknown", "the window has not passed"
    assert states[4] == "does_not", "spam is on hold"
    assert [row["account"] for row in done.report["locks"]] == [VICTIM]


def test_nothing_of_the_locked_account_is_accepted_and_everything_of_the_others_is():
    time.sleep(WATCH_SECONDS)
    rows = acts()
    after = [row for row in rows if row["time"] > Story.locked]
    assert [row for row in after if row["kind"] == "bot" and row["event"] == "accepted"] == []
    for host in HOSTS:
        tried = [
            row for row in after if row["kind"] == "bot" and row["host"] == host and row["event"] in ("lost", "refused", "login_failed")
        ]
        mailbox = [row for row in rows if row["kind"] == "bot" and row["host"] == host and row["event"] == "imap_alive"]
        assert mailbox, f"the attacker never read mail on {host}: nothing is proven"
        assert mailbox[-1]["time"] < Story.locked + 2
        assert tried, f"the botnet never tried {host} again: nothing is proven"
        assert [moment for moment in queued_times(host, VICTIM) if moment > Story.locked] == []
        users = [row for row in after if row["kind"] == "user" and row["host"] == host and row["event"] == "accepted"]
        assert len(users) >= 10, f"other accounts' mail by {host} after the lock"
    # A user's program repeats a message until it is accepted: every serial but the one under way has been.
    last = {row["account"]: row["serial"] for row in rows if row["kind"] == "user" and row["serial"]}
    begun = {row["serial"] for row in rows if row["kind"] == "user" and row["serial"]}
    assert begun - accepted_serials(rows, "user") <= set(last.values())
    assert not [row for row in rows if row["kind"] == "user" and row["event"] in ("refused", "login_failed")]


def test_the_receiver_and_the_hosts_own_logs_agree_with_what_was_sent():
    lab("outbreak", "stop")
    time.sleep(3)
    rows, received = acts(), received_serials()
    assert received["mallory.alpha.test"], "spam that left before the lock reached the receiver"
    # One whose acceptance the bot did not live to hear was sent, too.
    unheard = {row["serial"] for row in rows if row["kind"] == "bot" and row["event"] == "lost"}
    assert received["mallory.alpha.test"] <= accepted_serials(rows, "bot") | unheard
    for host in HOSTS:
        # A message whose acceptance the bot did not live to hear is in the log and not in its acts.
        heard = len(accepted_serials(rows, "bot", host))
        assert heard <= len(queued_times(host, VICTIM)) <= heard + 12
        for account in {row["account"] for row in rows if row["kind"] == "user" and row["host"] == host}:
            sent = sum(1 for row in rows if row["account"] == account and row["host"] == host and row["event"] == "accepted")
            lost = sum(1 for row in rows if row["account"] == account and row["host"] == host and row["event"] == "lost")
            assert sent <= len(queued_times(host, account)) <= sent + lost


@pytest.mark.parametrize("host", HOSTS)
def test_the_attacker_cannot_log_in_any_more(host):
    assert login(VICTIM, "pw-mallory-alpha.test", host) == {"smtp": "refused", "imap": "refused"}
    assert login("niaj@alpha.test", "pw-niaj-alpha.test", host) == {"smtp": "accepted", "imap": "accepted"}


def test_a_second_run_changes_nothing():
    done = run("remediate")
    assert (done.code, done.changed) == (2, 0), done.output[-3000:]
    (account,) = done.report["accounts"]
    assert epoch(account["locked_at"]) == pytest.approx(Story.locked, abs=0.001)
    assert account["accepted_after_lock"] == 0


def test_a_host_that_lost_the_plumbing_is_not_contained():
    on("mx2", "bash", "-c", "cp -p /etc/postfix/main.cf /root; postconf -e smtpd_end_of_data_restrictions=; postfix reload")
    try:
        done = run("assess")
    finally:
        on("mx2", "bash", "-c", "cp -p /root/main.cf /etc/postfix; postfix reload")
    assert done.code == 3, done.output[-3000:]
    assert [(row["host"], row["state"]) for row in done.report["drift"]] == [("mx2.example.test", "damaged")]
    assert any("mx2.example.test lost the lock's plumbing" in point["what"] for point in done.report["open_points"])


def test_each_stage_runs_alone_from_the_findings_of_another():
    assessed = run("assess")
    assert (assessed.code, assessed.changed, [row["state"] for row in assessed.report["accounts"]]) == (2, 0, ["open"]), assessed.output[
        -3000:
    ]
    contained = run("contain", "-e", f"findings=reports/{assessed.report['run']['id']}/findings.json")
    assert (contained.code, contained.changed, [row["state"] for row in contained.report["accounts"]]) == (2, 0, ["locked"])
    reported = run("report", "-e", f"findings=reports/{contained.report['run']['id']}/findings.json")
    assert reported.report["accounts"] == contained.report["accounts"]
    assert reported.report["run"]["finished"]


def test_mail_for_the_locked_account_still_arrives():
    letter = f"From: friend@known.test\nTo: {VICTIM}\nSubject: inbound\n\nHello.\n"
    on("mx1", "sendmail", "-f", "friend@known.test", VICTIM, data=letter)
    for _ in range(30):
        if on("mx1", "bash", "-c", "grep -rlx 'Subject: inbound' /var/vmail/alpha.test/mallory || true"):
            return
        time.sleep(1)
    pytest.fail("the owner's incoming mail was not delivered")


def test_a_host_that_cannot_be_reached_is_not_contained():
    on("mx2", "bash", "-c", "systemctl stop ssh; pkill sshd; true")
    try:
        done = run("remediate", "--ssh-extra-args=-o ConnectTimeout=5")
    finally:
        on("mx2", "systemctl", "start", "ssh")
    assert done.code == 3, done.output[-3000:]
    hosts = {row["host"]: row for row in done.report["hosts"]}
    assert (hosts["mx1.example.test"]["assessed"], hosts["mx1.example.test"]["contained"]) == (True, True)
    assert (hosts["mx2.example.test"]["assessed"], hosts["mx2.example.test"]["contained"]) == (False, False)
    assert "mx2.example.test" in done.report["open_points"][0]["what"]
    assert done.report["open_points"][0]["severity"] == "critical"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["-e", "target=no_such_group"], 4, "has no host in the group 'no_such_group'"),
        (["-e", '{"reputation_resolver_port": 9}'], 2, "the resolver 203.0.113.53#9 does not answer"),
        pytest.param(
            ["-e", json.dumps({"abuse_triage_log_source": "file", "abuse_triage_log_paths": ["/var/log/nothing.log"]})],
            1,
            "no mail log at /var/log/nothing.log: name the right file in abuse_triage_log_paths",
            marks=pytest.mark.soak,
        ),
        pytest.param(
            ["-e", '{"sending_addresses": ["10.1.2.3"]}'],
            2,
            "10.1.2.3 is not a public address: name the address that receivers see",
            marks=pytest.mark.soak,
        ),
        pytest.param(["-e", "containment_mode=observe"], 2, "mallory@alpha.test is locked since", marks=pytest.mark.soak),
        (["-e", "ansible_become=false"], 1, "the connecting user needs become, or membership of the group"),
    ],
)
def test_bad_input_is_named_and_the_rest_is_done(options, code, words):
    lab("exec", "lists", "--", "/var/lib/lab/listing", "clear")
    done = run("remediate", *options)
    said = done.output + json.dumps(done.report)
    assert words in said, done.output[-3000:]
    assert done.code == code, done.output[-3000:]


def test_a_host_without_postfix_is_named():
    on("mx2", "mv", "/usr/sbin/postconf", "/usr/sbin/postconf.gone")
    try:
        done = run("remediate")
    finally:
        on("mx2", "mv", "/usr/sbin/postconf.gone", "/usr/sbin/postconf")
    assert done.code == 3, done.output[-3000:]
    assert "this host has no Postfix" in json.dumps(done.report)


REASONS = ("-e", json.dumps({"app_passwords": "it has none, says its owner", "persistence": "looked at, nothing of it is the intruder's"}))
SET_PASSWORD = """
import re, sys
path, account, secret = "/etc/dovecot/users", sys.argv[1], sys.stdin.read().strip()
stored = account + ":" + chr(123) + "PLAIN" + chr(125) + secret + ":"  # two braces in a row would be a template
text = open(path).read()
open(path, "w").write(re.sub("(?m)^" + re.escape(account) + ":[^:]*:", lambda _: stored, text))
"""


def test_an_account_that_does_not_exist_cannot_be_reinstated():
    done = run("reinstate", "-e", "account=malory@alpha.test", "-e", "password_changed=yes", *REASONS)
    assert done.code == 4, done.output[-3000:]
    assert "no account malory@alpha.test is locked on this host" in done.output
    assert login(VICTIM, "pw-mallory-alpha.test", "mx1") == {"smtp": "refused", "imap": "refused"}


def test_nobody_is_let_in_without_a_reason():
    done = run("reinstate", "-e", f"account={VICTIM}")
    assert done.code == 4, done.output[-3000:]
    said = " ".join(done.output.split())
    assert f"{VICTIM} stays locked" in said
    assert '-e password_changed="how the owner got a new password" or -e new_password=true' in said
    assert '-e app_passwords="how its app passwords were reviewed"' in said
    assert login(VICTIM, "pw-mallory-alpha.test", "mx1") == {"smtp": "refused", "imap": "refused"}


def test_the_owner_comes_back_with_a_new_password():
    how = {"account_lock_password_command": ["python3", "-c", SET_PASSWORD, "{account}"], "account_lock_notice": "send"}
    done = run("reinstate", "-vv", "-e", f"account={VICTIM}", "-e", "new_password=true", "-e", json.dumps(how), *REASONS)
    assert (done.code, done.report["run"]["status"]) == (0, "clean"), done.output[-3000:]
    (path,) = (ROOT / "reports" / done.report["run"]["id"]).glob("*.password")
    secret = path.read_text(encoding="utf-8").strip()
    assert (len(secret), path.stat().st_mode & 0o777) == (24, 0o600)
    assert secret not in done.output + json.dumps(done.report)
    for host in HOSTS:
        assert secret not in on(host, "bash", "-c", "cat /var/lib/goodstanding/*.json* /var/log/syslog 2>/dev/null; journalctl --no-pager")
        assert login(VICTIM, secret, host) == {"smtp": "accepted", "imap": "accepted"}
        assert login(VICTIM, "pw-mallory-alpha.test", host) == {"smtp": "refused", "imap": "refused"}
        assert "it has none, says its owner" in on(host, "tail", "-n1", "/var/lib/goodstanding/journal.jsonl")
    for _ in range(30):
        if on("mx1", "bash", "-c", "grep -rl 'Subject: Your mail account is open again' /var/vmail/alpha.test/mallory || true"):
            break
        time.sleep(1)
    else:
        pytest.fail("the notice to the owner was not delivered")


def test_what_was_dealt_with_is_not_found_again():
    # The world took mx1 off its lists: mail of mx1 goes through again, and that is the proof.
    on("receiver", "systemctl", "restart", "postfix")
    for domain in ("outlook.world.test", *(f"dest{number}.world.test" for number in range(7))):
        on("mx1", "sendmail", "-f", "niaj@alpha.test", f"known1@{domain}", data="Subject: again\n\nHello.\n")
    time.sleep(5)
    done = run("remediate", "-e", "reputation_refusal_rest=1")
    assert (done.code, done.report["accounts"]) == (0, []), done.output[-3000:]


def test_the_plumbing_comes_out_to_the_byte():
    playbook("remove.yml")

    def configuration(prints: dict[str, str]) -> dict[str, list[str]]:
        # The password file was changed on purpose by the act before.
        return {
            host: [line for line in text.splitlines() if " /etc/" in line and "/etc/dovecot/users" not in line]
            for host, text in prints.items()
        }

    assert configuration(fingerprint()) == configuration(Story.virgin)

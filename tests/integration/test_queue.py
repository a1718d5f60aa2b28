# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A queue of 12,000 messages of two accounts on each host's real Postfix, while it delivers: all of the bad one's held, then deleted with
evidence; none of the good one's touched.

Every message is submitted by SMTP AUTH. The outside is a slow smtp-sink on the host itself, which writes down what it got.
"""

from __future__ import annotations

import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOSTS, lab, on, playbook

BAD, GOOD = "mallory@alpha.test", "alice@alpha.test"
NUMBER = 12_000
WEB = 33  # Debian's www-data
SINK = """
postconf -e 'relayhost=[127.0.0.1]:2525' && postfix reload
install -d -o postfix /var/tmp/sink
systemd-run --quiet --collect --unit=lab-sink --property=WorkingDirectory=/var/tmp/sink smtp-sink -u postfix -w 1 -D got 127.0.0.1:2525 500
"""
REJECTING = """
systemd-run --quiet --collect --unit=lab-reject smtp-sink -u postfix -f RCPT 127.0.0.1:2526 100
postconf -e 'transport_maps=inline:{reject.test=smtp:[127.0.0.1]:2526, forged.test=smtp:[127.0.0.1]:1}' && postfix reload
"""
BOUNCED = f"""
import smtplib, ssl
client = smtplib.SMTP("127.0.0.1", 587, "client.invalid", timeout=60)
client.starttls(context=ssl._create_unverified_context())
client.login("{BAD}", "pw-{BAD.replace("@", "-")}")
client.sendmail("chief@forged.test", ["x@reject.test", "y@forged.test"], "Subject: x")
"""
SUBMIT = "setpriv --reuid=33 --regid=33 --clear-groups sendmail -f www@alpha.test web.1@dest1.world.test"


def queue(state: str, *accounts: str, check: bool = False, **options: object) -> dict[str, dict]:
    """Run the module on both hosts and return what each said."""
    given = {"queue": {"accounts": list(accounts), "state": state, **options}}
    said = " ".join(playbook("queue.yml", "-e", json.dumps(given), *(["--check"] if check else [])).split())  # Ansible folds long lines
    return {host: json.loads(found) for host, found in re.findall(r"QUEUE (\w+) (\{.+?\}) END", said)}


def queued(host: str) -> dict[str, dict[int, str]]:
    """Return per account the queue of each serial, as postqueue tells by the recipient."""
    found: dict[str, dict[int, str]] = {BAD: {}, GOOD: {}}
    for line in on(host, "postqueue", "-j").splitlines():
        row = json.loads(line)
        for recipient in row["recipients"]:
            name, _, serial = recipient["address"].partition("@")[0].partition(".")
            if f"{name}@alpha.test" in found:
                found[f"{name}@alpha.test"][int(serial)] = row["queue_name"]
    return found


def delivered(host: str) -> dict[str, set[int]]:
    got = on(host, "cat", "/var/tmp/sink/got")
    return {account: {int(n) for n in re.findall(rf"X-Rcpt-Args: <{account.split('@')[0]}\.(\d+)@", got)} for account in (BAD, GOOD)}


def evidence(host: str, incident: str) -> list[dict]:
    return [json.loads(line) for line in on(host, "cat", f"/var/lib/goodstanding/evidence/{incident}/messages.jsonl").splitlines()]


@pytest.fixture(scope="module")
def accepted():
    """Fill both queues; return per host and account the serials that were accepted."""
    lab("reset")
    for host in HOSTS:
        on(host, "sh", "-ec", SINK)
    script = (Path(__file__).parent / "queue_fill.py").read_text(encoding="utf-8")
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(lambda host: on(host, "python3", "-", str(NUMBER), BAD, GOOD, data=script), HOSTS))
    found = {host: {account: set(serials) for account, serials in json.loads(text).items()} for host, text in zip(HOSTS, said)}
    assert {len(serials) for accounts in found.values() for serials in accounts.values()} == {NUMBER // 2}
    yield found
    lab("reset")


def test_check_mode_tells_and_touches_nothing(accepted):
    said = queue("deleted", BAD, check=True)
    for host in HOSTS:
        assert said[host]["deleted"] > 1000, said[host]
        assert "hold" not in {*queued(host)[BAD].values(), *queued(host)[GOOD].values()}
        assert on(host, "ls", "/var/lib/goodstanding/evidence", check=False) == ""


def test_all_of_the_bad_account_is_held_and_nothing_of_the_good_one(accepted):
    before = {host: delivered(host)[GOOD] for host in HOSTS}
    said = queue("held", BAD)
    for host in HOSTS:
        now = queued(host)
        assert set(now[BAD].values()) == {"hold"}
        assert "hold" not in now[GOOD].values()
        assert (said[host]["changed"], said[host]["queued"], said[host]["unread"]["count"]) == (True, 0, 0)
        # What was on its way at that moment may have no recipient any more, and is on hold all the same.
        assert said[host]["held"][BAD] >= len(now[BAD]) > 1000
        assert len(delivered(host)[GOOD]) > len(before[host]), "delivery was to go on"
    again = queue("held", BAD)
    assert {host: (row["changed"], row["moved"]) for host, row in again.items()} == dict.fromkeys(HOSTS, (False, 0))


def test_a_full_disk_deletes_nothing(accepted):
    for host in HOSTS:
        on(host, "sh", "-c", "mkdir -m 0700 /dev/shm/evidence; head -c 1G /dev/zero > /dev/shm/fill; true", check=False)
    said = queue("deleted", BAD, evidence_directory="/dev/shm/evidence")
    for host in HOSTS:
        on(host, "rm", "-rf", "/dev/shm/fill", "/dev/shm/evidence")
        assert (
            "evidence cannot be written to /dev/shm/evidence/queue-test (No space left on device): nothing is deleted" in said[host]["msg"]
        )
        assert set(queued(host)[BAD].values()) == {"hold"}


def test_released_goes_on(accepted):
    said = queue("released", BAD)
    for host in HOSTS:
        assert (said[host]["held"], said[host]["changed"]) == ({BAD: 0}, True)
        assert "hold" not in queued(host)[BAD].values()


def test_all_of_the_bad_account_is_deleted_with_evidence_while_the_good_one_is_delivered(accepted):
    before = {host: delivered(host)[GOOD] for host in HOSTS}
    playbook("../../playbooks/purge.yml", "-e", f"account={BAD}", "-e", "incident=purge-test")
    for host in HOSTS:
        now, got, kept = queued(host), delivered(host), evidence(host, "purge-test")
        serials = {int(row["recipients"][0].split("@")[0].split(".")[1]) for row in kept}
        print(f"{host}: {len(kept)} of {BAD} deleted with evidence, {len(got[BAD])} had gone out before")
        assert {row["account"] for row in kept} == {BAD}
        assert {row["sender"] for row in kept} == {GOOD, "chief@forged.test"}
        assert now[BAD] == {}
        assert on(host, "sh", "-c", "find /var/spool/postfix/hold -type f") == ""
        assert serials | got[BAD] == accepted[host][BAD], (
            "each message of the bad account was deleted with evidence, or had gone out before"
        )
        assert set(now[GOOD]) | got[GOOD] == accepted[host][GOOD], "nothing of the good account is lost"
        assert len(got[GOOD]) > len(before[host]), "delivery was to go on"
        manifest = json.loads(on(host, "cat", "/var/lib/goodstanding/evidence/purge-test/manifest.json"))
        sums = dict(
            reversed(line.split("  ", 1))
            for line in on(host, "sh", "-c", "cd /var/lib/goodstanding/evidence/purge-test && sha256sum *.jsonl sample/*").splitlines()
        )
        assert manifest["files"] == sums
        assert len(sums) == 21
        assert on(host, "find", "/var/lib/goodstanding/evidence/purge-test", "(", "-type", "f", "!", "-perm", "600", ")") == ""
        sample = next(name for name in sums if name.startswith("sample/"))
        assert f"sasl_username={BAD}" in on(host, "postcat", "-e", f"/var/lib/goodstanding/evidence/purge-test/{sample}")
        lines = on(host, "cat", "/var/lib/goodstanding/journal.jsonl")
        assert sum(row["count"] for row in map(json.loads, lines.splitlines()) if row["step"] == "queue deleted") == len(kept)
    again = queue("deleted", BAD, incident="purge-test")
    assert {host: (row["changed"], row["deleted"]) for host, row in again.items()} == dict.fromkeys(HOSTS, (False, 0))


def test_a_local_users_mail_is_found_by_its_uid(accepted):
    for host in HOSTS:
        # Two that are held: one of the web server's user, and one of root, who writes the other's line into the header.
        on(host, "sh", "-c", SUBMIT, data="Subject: x\n\nHello.\n")
        forged = f"Received: by {host}.example.test (Postfix, from userid {WEB})\n\tid AAAAAAAAAA; now\nSubject: x\n\nHello.\n"
        on(host, "sendmail", "-f", "root@alpha.test", "root.1@dest1.world.test", data=forged)
    said = queue("held", uids=[WEB])
    assert {host: row["held"] for host, row in said.items()} == {host: {f"uid:{WEB}": 1} for host in HOSTS}
    for host in HOSTS:
        rows = [json.loads(line) for line in on(host, "postqueue", "-j").splitlines()]
        assert [row["sender"] for row in rows if row["queue_name"] == "hold"] == ["www@alpha.test"]
    queue("deleted", uids=[WEB])


def test_mail_that_was_queued_again_is_found_and_bounces_to_the_forged_sender_are_listed(accepted):
    for host in HOSTS:
        on(host, "sh", "-ec", REJECTING)
        on(host, "python3", "-", data=BOUNCED)
        deadline = time.time() + 30
        while '"sender": "MAILER-DAEMON"' not in on(host, "postqueue", "-j"):
            assert time.time() < deadline, "the bounce never came"
            time.sleep(0.5)
        (queue_id,) = [
            row["queue_id"] for row in map(json.loads, on(host, "postqueue", "-j").splitlines()) if row["sender"] == "chief@forged.test"
        ]
        on(host, "postsuper", "-r", queue_id)
    said = queue("deleted", BAD, incident="backscatter")
    for host in HOSTS:
        left = [
            row
            for row in map(json.loads, on(host, "postqueue", "-j").splitlines())
            if row["sender"] in ("MAILER-DAEMON", "chief@forged.test")
        ]
        assert [row["sender"] for row in left] == ["MAILER-DAEMON"]
        assert (said[host]["deleted"], said[host]["backscatter"]) == (1, {"count": 1, "queue_ids": [left[0]["queue_id"]]})

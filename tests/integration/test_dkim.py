# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys made on real hosts sign through the real OpenDKIM and Rspamd, in real mail of Postfix, and other engines verify it by DNS.

The keys' records are in a DNS server of the test's own on the host. GOODSTANDING_TEST_LAB and GOODSTANDING_TEST_INVENTORY name other hosts
than the lab's (see lab.py).
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import dkim
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOSTS, ROOT, lab, module, on, on_both

DOMAIN, OTHER = "dkim-one.test", "dkim-two.test"
FOLDER = "/root/dkim-test"
PORT = 5300
#: A host's journal knows every selector that was ever used: each run of these tests has its own.
RUN = f"{int(time.time()):x}"
RSA = {signer: f"r{RUN}.{signer}" for signer in ("opendkim", "rspamd")}
ED = {signer: f"e{RUN}.{signer}" for signer in ("opendkim", "rspamd")}
UNITS = {"opendkim": "opendkim", "rspamd": "redis-server rspamd"}
KEYS = {"opendkim": "/etc/dkimkeys", "rspamd": "/var/lib/rspamd/dkim"}

SAVED = "smtpd_milters non_smtpd_milters milter_default_action smtpd_recipient_restrictions"
PREPARE = f"""
set -e
mkdir -p {FOLDER} /etc/rspamd/local.d
chmod 0755 {FOLDER}
cat > /etc/rspamd/local.d/options.inc <<'C'
disable_hyperscan = true;
dns {{ nameserver = ["127.0.0.1:{PORT}"]; timeout = 0.5s; retransmits = 1; }}
C
systemctl start postfix
for name in {SAVED}; do postconf -h $name > {FOLDER}/$name; done
postconf -e smtpd_recipient_restrictions= # mx2 refuses root@localhost
"""
RESTORE = f"""
systemctl stop 'dkim-test-dns-*' opendkim rspamd redis-server
rm -f /etc/rspamd/local.d/options.inc /var/mail/root
for name in {SAVED}; do postconf -e "$name = $(cat {FOLDER}/$name)"; done
systemctl reload postfix
rm -rf {FOLDER} /etc/dkimkeys/*._domainkey.* /var/lib/rspamd/dkim /var/lib/goodstanding/dkim*.json
"""
# Mail::DKIM and OpenDKIM on the host itself; each line is an engine and what it said of each signature.
VERIFY = r"""
import json, subprocess, sys
message, folder, port = sys.argv[1:4]
perl = r'''
use Mail::DKIM::Verifier; use Net::DNS::Resolver;
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => ["127.0.0.1"], port => %s));
my $v = Mail::DKIM::Verifier->new;
open my $f, "<", "%s"; while (<$f>) { s/\r?\n$/\r\n/; $v->PRINT($_) } $v->CLOSE;
print join(" ", map { $_->selector . "=" . $_->result } $v->signatures), "\n";
''' % (port, message)
done = subprocess.run(["perl", "-e", perl], capture_output=True, text=True)
said = {"mail_dkim": (done.stdout + done.stderr).strip()}
open(folder + "/resolver", "w").write('''server:
 do-not-query-localhost: no
 local-zone: "test." nodefault
 module-config: "iterator"
forward-zone:
 name: "."
 forward-addr: 127.0.0.1@%s
''' % port)
open(folder + "/opendkim", "w").write("Mode v\nResolverConfiguration %s/resolver\nBackground no\n" % folder)
done = subprocess.run(["opendkim", "-x", folder + "/opendkim", "-vv", "-t", message], capture_output=True, text=True)
said["opendkim"] = (done.stdout + done.stderr).strip()
print(json.dumps(said))
"""
# What of the private keys on this host is in places where it must not be; only names of places come back.
LEAKS = r"""
import base64, glob, os, re, sys
needles = set()
for path in glob.glob("/etc/dkimkeys/*._domainkey.*") + glob.glob("/var/lib/rspamd/dkim/*._domainkey.*"):
    text = open(path).read()
    body = re.sub(r"-----.*?-----|\s", "", text)
    raw = base64.b64decode(body)
    # The public half of an RSA key is in the private one's first 300 octets; behind it all is secret. An Ed25519 seed is secret at once.
    start = 0 if len(raw) < 100 else 320
    secret = raw[start : start + 600] if start else raw[:32]
    if start == 0 and len(raw) in (48,):
        secret = raw[16:48]
    for at in range(0, len(secret) - 23, 12):
        piece = secret[at : at + 24]
        needles |= {piece, piece.hex().encode(), base64.b64encode(piece)}
    needles |= {body[at : at + 28].encode() for at in range(len(body) // 3, len(body) - 28, 16)} if start else set()
    # The base64 of a seed is another one in PEM, behind 16 octets, than alone.
    for head in (b"", bytes(16)) if not start else ():
        text = base64.b64encode(head + secret).decode()
        needles |= {text[at : at + 20].encode() for at in range(-(-len(head) * 4 // 3), len(text) - 21, 8)}
places = ["/var/lib/goodstanding", "/tmp", "/var/tmp", "/root", "/home", "/var/log", "/run/log", "/run/systemd", "/etc/goodstanding",
          "/etc/opendkim.conf", "/etc/rspamd", "/var/spool/postfix", "/var/mail"]
found, seen = [], 0
for place in places:
    for folder, _, names in os.walk(place) if os.path.isdir(place) else [(os.path.dirname(place), [], [os.path.basename(place)])]:
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                data = open(path, "rb").read(64 << 20)
                seen += 1
                if any(needle in data for needle in needles):
                    found.append(path)
data = sys.stdin.buffer.read()
if any(needle in data for needle in needles):
    found.append("what the modules returned")
print(len(needles), seen, found)
"""


def script(host: str, text: str, *words: str, data: str = "") -> str:
    """Run a Python script on a host."""
    on(host, "mkdir", "-p", FOLDER)
    on(host, "tee", f"{FOLDER}/script.py", data=text)
    return on(host, "python3", f"{FOLDER}/script.py", *words, data=data)


def serve(host: str, records: dict[str, str]) -> None:
    """Let the test's DNS server on a host have these TXT records and no others."""
    lines = "".join(
        f"local-data: '{name}. 60 IN TXT {' '.join(chr(34) + text[at : at + 255] + chr(34) for at in range(0, len(text), 255))}'\n"
        for name, text in records.items()
    )
    conf = f"""server:
 interface: 0.0.0.0@{PORT}
 access-control: 0.0.0.0/0 allow
 username: ""
 chroot: ""
 directory: "{FOLDER}"
 pidfile: ""
 use-syslog: no
 do-daemonize: no
 module-config: "iterator"
 local-zone: "." static
{lines}
remote-control:
 control-enable: no
"""
    on(host, "tee", f"{FOLDER}/unbound.conf", data=conf)
    on(host, "sh", "-c", f"systemctl stop 'dkim-test-dns-{host}-*'; true")
    # A name of its own each time: where hosts share a cgroup tree, a unit is unloaded only when no host has it.
    on(
        host,
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit=dkim-test-dns-{host}-{time.time_ns()}",
        "unbound",
        "-d",
        "-c",
        f"{FOLDER}/unbound.conf",
    )


def wait_for_signer(host: str, signer: str) -> None:
    port = "ss -ltn | grep -q :11332" if signer == "rspamd" else "test -S /run/opendkim/opendkim.sock"
    on(host, "sh", "-c", f"systemctl restart {UNITS[signer]}; for _ in $(seq 60); do {port} && exit 0; sleep 1; done; exit 1")


def milter(signer: str) -> str:
    return "inet:127.0.0.1:11332" if signer == "rspamd" else "unix:/run/opendkim/opendkim.sock"


def mail(host: str, domain: str, number: int) -> str:
    """Send mail to root of the host by its Postfix, over SMTP where a milter sees it, and return it as it arrived."""
    client = f"""
import smtplib
s = smtplib.SMTP("127.0.0.1", 25, "localhost", timeout=60)
s.sendmail("a@{domain}", ["root@localhost"], '''From: A <a@{domain}>
To: root@localhost
Subject: trial {number}
Date: Sat, 28 Nov 2026 17:47:29 +0000
Message-ID: <{number}@{domain}>

Hello.  This one is real.
''')
s.quit()
"""
    script(host, client)
    found = f"for _ in $(seq 60); do grep -q 'trial {number}$' /var/mail/root && exit 0; sleep 0.5; done; mailq; exit 1"
    on(host, "sh", "-c", found)
    text = on(host, "cat", "/var/mail/root")
    one = next(part for part in reversed(re.split(r"^From .*\n", text, flags=re.MULTILINE)) if f"trial {number}\n" in part)
    return re.sub(r"^(Return-Path|X-Original-To|Delivered-To): .*\n", "", one, flags=re.MULTILINE).rstrip("\n") + "\n"


@pytest.fixture(scope="module", autouse=True)
def fresh():
    lab("reset")
    for host in HOSTS:
        on(host, "sh", "-c", PREPARE)
    yield
    for host in HOSTS:
        for signer in KEYS:
            module(host, "dkim_signing", state="absent", signer=signer)
        on(host, "bash", "-c", RESTORE, check=False)


@on_both
def test_keys_are_made_on_the_host_and_nothing_of_them_is_elsewhere(host):
    """The process list is read all the while."""
    watch = f"for _ in $(seq 4000); do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; sleep 0.02; done > {FOLDER}/processes"
    on(host, "systemd-run", "--quiet", "--collect", f"--unit=dkim-test-watch-{host}", "sh", "-c", watch)
    said = []
    for signer in ("opendkim", "rspamd"):
        keys = [{"domain": domain, "selector": RSA[signer], "type": "rsa"} for domain in (DOMAIN, OTHER)]
        keys += [{"domain": DOMAIN, "selector": ED[signer], "type": "ed25519"}]
        made = module(host, "dkim_key", keys=keys, signer=signer)
        assert not made["failed"] and made["changed"], made
        said += [made, module(host, "dkim_key", keys=keys, signer=signer)]
        assert not said[-1]["changed"], said[-1]
        broken = module(host, "dkim_key", keys=[{**keys[0], "size": 4096}], signer=signer, regenerate="fail")
        assert broken["failed"] and "bits" in broken["msg"]
        told = module(host, "dkim_signing_info", signer=signer, domains=[DOMAIN])
        assert {key["selector"] for key in told["keys"]} >= {RSA[signer], ED[signer]}, told
        said += [broken, told]
    on(host, "systemctl", "stop", f"dkim-test-watch-{host}")
    needles, seen, places = script(host, LEAKS, data=json.dumps(said)).strip().split(" ", 2)
    assert int(needles) > 100 and int(seen) > 20 and places == "[]", f"private octets on {host}: {places}"
    paths = [
        f"{KEYS['opendkim']}/{RSA['opendkim']}._domainkey.{DOMAIN}.pem",
        f"{KEYS['rspamd']}/{ED['rspamd']}._domainkey.{DOMAIN}.key",
    ]
    owner = on(host, "stat", "-c", "%U %a", *paths)
    assert owner.split("\n")[:2] == ["opendkim 600", "_rspamd 600"]


@pytest.mark.parametrize("signer", ["opendkim", "rspamd"])
@on_both
def test_real_mail_is_signed_and_other_engines_verify_it(host, signer):
    selectors = [RSA[signer], ED[signer]]
    keys = [{"domain": DOMAIN, "selector": selectors[0]}, {"domain": OTHER, "selector": selectors[0]}]
    keys += [{"domain": DOMAIN, "selector": selectors[1], "type": "ed25519"}]
    made = module(host, "dkim_key", keys=keys, signer=signer)["keys"]
    serve(host, {key["name"]: key["record"] for key in made})
    wait_for_signer(host, signer)
    conf = "/etc/opendkim.conf" if signer == "opendkim" else "/etc/rspamd/local.d/dkim_signing.conf"
    before = on(host, "sh", "-c", f"sha256sum {conf} || true")
    signing = [{"domain": DOMAIN, "selectors": selectors}, {"domain": OTHER, "selectors": selectors[:1]}]
    done = module(host, "dkim_signing", signing=signing, signer=signer)
    assert not done["failed"] and done["changed"], done
    expected = selectors if signer == "rspamd" else selectors[:1]
    probe = next(row for row in done["probes"] if row["domain"] == DOMAIN)
    assert sorted(one["selector"] for one in probe["signatures"]) == sorted(expected) and not probe["faults"]
    assert bool(done["notes"]) == (signer == "opendkim")
    assert not module(host, "dkim_signing", signing=signing, signer=signer)["changed"]

    unasked = module(host, "dkim_signing_info", signing=signing, signer=signer, domains=[DOMAIN, "unsigned.test"])["faults"]
    assert any("does not ask" in fault for fault in unasked) and any("unsigned.test" in fault for fault in unasked), unasked
    on(host, "sh", "-c", f"postconf -e smtpd_milters={milter(signer)} milter_default_action=tempfail && "
       # Postfix's user may come to the socket, and its smtpd is in a chroot: not what is tried here.
       "postconf -F smtp/inet/chroot=n && chmod 0755 /run/opendkim && (chmod 0666 /run/opendkim/opendkim.sock || true) && "
       "systemctl restart postfix")  # fmt: skip
    faults = module(host, "dkim_signing_info", signing=signing, signer=signer, domains=[DOMAIN, OTHER])["faults"]
    assert [fault for fault in faults if "does not ask" not in fault] == [], faults
    # Who knows nothing of the configuration sees the keys that it signs with, too.
    seen = module(host, "dkim_signing_info", signer=signer, domains=[DOMAIN, "unsigned.test"])
    used = {row["domain"]: sorted(one["selector"] for one in row["signatures"]) for row in seen["probes"]}
    assert used == {DOMAIN: sorted(expected), "unsigned.test": []}, seen
    assert {(key["domain"], key["selector"], key["state"]) for key in seen["keys"]} >= {(DOMAIN, one, "present") for one in selectors}
    message = mail(host, DOMAIN, hash((host, signer)) % 10_000)
    verify(host, message, signer, expected, {key["name"]: key["record"] for key in made})
    if (host, signer) == (HOSTS[-1], "rspamd"):  # by the release with Ed25519 everywhere, once
        refuse(host, message, [key["name"] for key in made])

    assert not module(host, "dkim_signing", state="absent", signer=signer)["failed"]
    assert on(host, "sh", "-c", f"sha256sum {conf} || true") == before


def verify(host: str, message: str, signer: str, selectors: list[str], records: dict[str, str]) -> None:
    """Let Mail::DKIM, OpenDKIM, Rspamd, mailauth and dkimpy verify a message by DNS, each what it can."""
    on(host, "tee", f"{FOLDER}/message", data=message)
    said = json.loads(script(host, VERIFY, f"{FOLDER}/message", FOLDER, str(PORT)))
    assert f"{selectors[0]}=pass" in said["mail_dkim"], said
    # Mail::DKIM of Debian 12 knows no Ed25519 (research: "unsupported algorithm").
    old = on(host, "sh", "-c", ". /etc/os-release; echo $VERSION_ID").strip() == "12"
    assert old or all(f"{selector}=pass" in said["mail_dkim"] for selector in selectors), said
    assert said["opendkim"].count("dkim=pass") == len(selectors) and "dkim=fail" not in said["opendkim"], said
    if signer != "rspamd":
        wait_for_signer(host, "rspamd")  # it verifies what the other signed, too
    spoken = on(host, "rspamc", "-h", "127.0.0.1:11333", "-i", "8.8.8.8", f"{FOLDER}/message")
    assert all(f"{DOMAIN}:s={selector}" in spoken for selector in selectors) and "R_DKIM_ALLOW" in spoken, spoken
    assert mailauth(host, message) == dict.fromkeys(selectors, "pass")
    assert set(mailauth(host, message.replace("Hello.", "Hallo.")).values()) == {"neutral"}, "it verifies what was changed on its way"
    known = {name: record.encode() for name, record in records.items()}
    signed = dkim.DKIM(message.replace("\n", "\r\n").encode())
    number = sum(name.lower() == b"dkim-signature" for name, _ in signed.headers)
    assert number == len(selectors)
    for index in range(number):
        assert signed.verify(idx=index, dnsfunc=lambda name, timeout=5: known[name.decode().rstrip(".")])


def refuse(host: str, message: str, names: list[str]) -> None:
    """See that no engine takes a message whose keys are revoked, or gone."""
    for served in (dict.fromkeys(names, "v=DKIM1; p="), {}):
        serve(host, served)
        wait_for_signer(host, "rspamd")  # it remembers keys
        said = json.loads(script(host, VERIFY, f"{FOLDER}/message", FOLDER, str(PORT)))
        spoken = on(host, "rspamc", "-h", "127.0.0.1:11333", "-i", "8.8.8.8", f"{FOLDER}/message")
        assert "=pass" not in said["mail_dkim"] and "dkim=pass" not in said["opendkim"], (served, said)
        assert "R_DKIM_" in spoken and "R_DKIM_ALLOW" not in spoken, (served, spoken)
        assert "pass" not in mailauth(host, message).values(), served
        signed = dkim.DKIM(message.replace("\n", "\r\n").encode())
        texts = {f"{name}.".encode(): text.encode() for name, text in served.items()}
        for index in range(sum(name.lower() == b"dkim-signature" for name, _ in signed.headers)):
            with contextlib.suppress(dkim.DKIMException):
                assert not signed.verify(idx=index, dnsfunc=lambda name, timeout=5, texts=texts: texts.get(name, b""))


def mailauth(host: str, message: str) -> dict[str, str]:
    """Return per selector what mailauth on this machine says, by the DNS server of a host."""
    server = f"{on(host, 'hostname', '-I').split()[0]}:{PORT}"
    command = ["node", str(ROOT / "tests/node/verify.mjs"), server]
    done = subprocess.run(command, input=message.replace("\n", "\r\n"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {row["selector"]: row["result"] for row in json.loads(done.stdout)}


@on_both
def test_faults_of_a_running_signer_are_named_with_the_repair(host):
    signer = "opendkim"
    signing = [{"domain": DOMAIN, "selectors": [RSA[signer]]}]
    path = f"{KEYS[signer]}/{RSA[signer]}._domainkey.{DOMAIN}.pem"
    wait_for_signer(host, signer)
    done = module(host, "dkim_signing", signing=signing, signer=signer)
    assert not done["failed"], done

    def faults() -> str:
        return "\n".join(module(host, "dkim_signing_info", signing=signing, signer=signer)["faults"])

    on(host, "chown", "root:root", path)
    found = faults()
    assert f"{path} cannot be opened (Permission denied) as opendkim: chown opendkim" in found and "answers mail" in found, found
    refused = module(host, "dkim_signing", signing=[*signing, {"domain": OTHER, "selectors": [RSA[signer]]}], signer=signer)
    assert refused["failed"] and "nothing was changed" in refused["msg"], refused
    assert module(host, "dkim_key", keys=[{"domain": DOMAIN, "selector": RSA[signer]}], signer=signer)["changed"], "the owner is set right"
    assert "cannot be opened" not in faults() and "answers mail" not in faults()

    on(host, "chmod", "0644", path)
    on(host, "chmod", "0755", KEYS[signer])
    assert "can be read or written by everybody: chmod 0600" in faults()
    on(host, "sh", "-c", f"chmod 0600 {path}; chmod 0700 {KEYS[signer]}")

    on(host, "systemctl", "stop", "opendkim")
    assert "does not answer" in faults() and "systemctl start opendkim" in faults()
    wait_for_signer(host, signer)

    # The files are right, and the signer that runs has not read them.
    table = "/etc/goodstanding/opendkim.signingtable"
    on(host, "sed", "-i.right", f"s/@{DOMAIN} /@nobody.test /", table)
    wait_for_signer(host, signer)
    on(host, "mv", f"{table}.right", table)
    found = faults()
    assert f"mail of {DOMAIN} leaves without a signature of {RSA[signer]}: systemctl reload opendkim" in found, found
    assert "is not as it was left" not in found, found
    on(host, "systemctl", "reload", "opendkim")
    assert not module(host, "dkim_signing", signing=signing, signer=signer, probe="all")["failed"]
    assert "systemctl reload" not in faults()

    # Somebody changed the tables by hand and did not reload: the running signer still signs with the old selector.
    on(host, "sed", "-i", f"s/{RSA[signer]}/{ED[signer]}/", table)
    assert "is not as it was left" in faults()
    on(host, "systemctl", "reload", "opendkim")
    assert module(host, "dkim_signing", signing=signing, signer=signer)["changed"]
    assert not module(host, "dkim_signing", signing=signing, signer=signer, probe="all")["failed"]


def test_a_file_that_rspamd_cannot_read_is_named_with_the_repair():
    host, signer = HOSTS[-1], "rspamd"
    signing = [{"domain": DOMAIN, "selectors": [RSA[signer]]}]
    wait_for_signer(host, signer)
    done = module(host, "dkim_signing", signing=signing, signer=signer)
    assert not done["failed"], done
    path = f"{KEYS[signer]}/{RSA[signer]}._domainkey.{DOMAIN}.pem"
    on(host, "chown", "root:root", path)
    wait_for_signer(host, signer)
    found = "\n".join(module(host, "dkim_signing_info", signing=signing, signer=signer)["faults"])
    assert f"{path} cannot be opened (Permission denied) as _rspamd: chown _rspamd" in found, found
    assert f"mail of {DOMAIN} leaves without a signature of {RSA[signer]}" in found, found
    assert module(host, "dkim_key", keys=[{"domain": DOMAIN, "selector": RSA[signer]}], signer=signer)["changed"], "the owner is set right"
    wait_for_signer(host, signer)
    assert "cannot be opened" not in str(module(host, "dkim_signing_info", signing=signing, signer=signer)["faults"])


@on_both
def test_a_key_in_use_is_not_destroyed_and_one_that_is_not_is(host):
    signer = "opendkim"
    key = {"domain": DOMAIN, "selector": RSA[signer], "state": "absent"}
    refused = module(host, "dkim_key", keys=[key], signer=signer)
    assert refused["failed"] and "still signs" in refused["msg"], refused
    taken_out = module(host, "dkim_signing", state="absent", signer=signer)
    assert not taken_out["failed"], taken_out
    gone = module(host, "dkim_key", keys=[key], signer=signer)
    assert gone["changed"], gone
    assert on(host, "sh", "-c", f"ls {KEYS['opendkim']}/{RSA[signer]}._domainkey.{DOMAIN}.pem || true") == ""
    again = module(host, "dkim_key", keys=[{**key, "state": "present"}], signer=signer)
    assert again["failed"] and "never another key's" in again["msg"], again

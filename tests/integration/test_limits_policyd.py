# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine policyd_rate_limit on both releases: real logins, real Postfix, Debian's daemon. Each test prints its figures.

The engine is put in place here without the role, by PROGRAM on the host: what is asked is whether it limits, at exactly the figure.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import tarfile
import threading
import time
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOSTS, ROOT, both, lab, on, on_both

TREE = "/var/lib/lab/limits"
#: PostgreSQL of one host, asked by both.
STORE_HOST, STORE = "mx2", "postgresql://limits@198.51.100.12/limits"
SECRET = "lab-only-password-of-the-limits"
SOFT, HARD = 10, 30
LIMITS = {"account": {"soft": {"minute": SOFT}, "hard": {"minute": HARD}}}
TEN, TWENTY = "450 account minute", "554 account minute"

PROGRAM = r"""
import base64, collections, json, pathlib, smtplib, ssl, sys, threading, time, types
root = types.ModuleType("tree"); root.__path__ = [sys.path[0]]; sys.modules["tree"] = root
from tree.module_utils.goodstanding.host import command, files
from tree.module_utils.goodstanding.limits import engine, policyd, policy
run = command.runner()
CONF = ("/etc/postfix/main.cf", "/etc/postfix/master.cf")
TLS = ssl.create_default_context(); TLS.check_hostname = False; TLS.verify_mode = ssl.CERT_NONE

def limit(words):
    return policy.Limit(words.get("soft", {}), words.get("hard", {}))

def rules(words):
    over = {tuple(key.split(" ")): limit(value) for key, value in words.get("overrides", {}).items()}
    return policy.Policy(*(limit(words.get(scope, {})) for scope in policy.SCOPES), over, words.get("shadow", False))

def install(words, store="", password=""):
    wanted = policyd.wanted(run, rules(words), engine.Settings(store, password))
    texts = policyd.plumb(run, *(files.read_text(path) for path in CONF))
    policyd.check(run, wanted)
    changed = files.changes([*wanted, *(files.File(path, text) for path, text in zip(CONF, texts))])
    for file, _ in changed:
        files.write_file(file)
    files.must(run, ["systemctl", "daemon-reload"], "")
    for unit in policyd.units():
        files.must(run, ["systemctl", "enable", "-q", unit], "")
        files.must(run, ["systemctl", "restart", unit], "")
    files.must(run, ["postfix", "reload"], "")
    return [file.path for file, _ in changed]

def remove():
    for path, text in zip(CONF, policyd.unplumb(*(files.read_text(path) for path in CONF))):
        files.write_file(files.File(path, text))
    run(["postfix", "reload"])
    for unit in reversed(policyd.units()):
        run(["systemctl", "disable", "-q", "--now", unit])
    for file in policyd.wanted(run, rules({}), engine.Settings()):
        files.write_file(file._replace(text=None))
    run(["rm", "-rf", policyd.STATE])
    run(["systemctl", "daemon-reload"])

def session(login, source="127.0.0.1", typed=False):
    client = smtplib.SMTP("127.0.0.1", 587, "test.example", 40, (source, 0))
    client.ehlo()
    if typed:  # a login as a SASL server would pass it that leaves it as it was typed
        assert client.docmd("XCLIENT", "LOGIN=" + login)[0] == 220
        client.ehlo()
    client.starttls(context=TLS)
    client.ehlo()
    if not typed:
        said = base64.b64encode(f"\0{login}\0pw-{login.replace('@', '-')}".encode()).decode()
        assert client.docmd("AUTH", "PLAIN " + said)[0] == 235
    return client

def send(client, recipients=1, sender="x@alpha.test"):
    code, text = client.mail(sender)
    for number in range(recipients):
        code, text = client.rcpt(f"r{number}@dest1.world.test")
    client.putcmd("data")
    code, text = client.getreply()
    if code == 354:
        client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        code, text = client.getreply()
    else:
        client.rset()
    return f"{code} {text.decode().partition('sending limit: ')[2]}".strip()

def flood(login, sessions=6, messages=10, recipients=1):
    rows = []
    def one(number):
        client = session(login, f"127.0.0.{10 + number}")
        rows.extend(send(client, recipients) for _ in range(messages))
    threads = [threading.Thread(target=one, args=(number,)) for number in range(sessions)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return collections.Counter(rows)

def abort(login, recipients):
    client = session(login)
    client.mail("x@alpha.test")
    codes = {client.rcpt(f"r{number}@dest1.world.test")[0] for number in range(recipients)}
    client.rset()
    return sorted(codes)

def straddle(login, messages):
    # A sender of two-octet characters: one of them lies across octet 1024 of the question, where the package's own reader hangs up.
    codes = collections.Counter()
    for number in range(messages):
        client = session(login)
        client.sock.sendall(f"MAIL FROM:<{'a' * (number % 2)}{chr(233) * 450}@alpha.test> SMTPUTF8\r\n".encode())
        assert client.getreply()[0] == 250
        client.rcpt("r@dest1.world.test")
        client.putcmd("data")
        code = client.getreply()[0]
        if code == 354:
            client.send(b"x\r\n.\r\n")
            code = client.getreply()[0]
        codes[code] += 1
    return codes

def one(login, recipients=1, typed=False):
    begun = time.time()
    said = send(session(login, typed=typed), recipients)
    return [said, round(time.time() - begun, 1)]

acts = {"install": install, "remove": remove, "flood": flood, "abort": abort, "straddle": straddle, "one": one,
        "faults": lambda words: policyd.faults(run, rules(words)), "hits": lambda: policyd.limited(run, 0)}
print(json.dumps(acts[sys.argv[1]](*json.load(sys.stdin))))
"""


def act(host: str, what: str, *words: t.Any) -> t.Any:
    """Run one act on a host and return what it says."""
    return json.loads(on(host, "python3", f"{TREE}/act.py", what, data=json.dumps(words)).splitlines()[-1])


@pytest.fixture(scope="module", autouse=True)
def tree():
    """Put the project's module_utils on the hosts; what is sent goes nowhere."""
    lab("reset")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(ROOT / "module_utils", "module_utils", filter=lambda entry: None if "__pycache__" in entry.name else entry)
        data = PROGRAM.encode()
        entry = tarfile.TarInfo("act.py")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    unpack = f"rm -rf {TREE} && mkdir -p {TREE} && base64 -d | tar -C {TREE} -xzf -"
    xclient = "postconf -P submission/inet/smtpd_authorized_xclient_hosts=127.0.0.0/8"
    ready = f"postconf -e default_transport=discard: && {xclient} && postfix reload"
    data = base64.b64encode(packed.getvalue()).decode()
    both(lambda host: (on(host, "sh", "-c", unpack, data=data), on(host, "sh", "-c", ready)))
    yield
    both(lambda host: (act(host, "remove"), on(host, "rm", "-rf", TREE)))


@pytest.fixture
def fresh() -> None:
    """Let the hosts have counted nothing yet."""
    forget = "systemctl -q stop goodstanding-limits.service; rm -rf /var/lib/goodstanding-limits"
    both(lambda host: (on(host, "sh", "-c", forget, check=False), act(host, "install", LIMITS)))


@pytest.fixture
def show(capsys) -> t.Callable[..., None]:
    lock = threading.Lock()

    def show(*words: object) -> None:
        with lock, capsys.disabled():
            print("\n", *words)

    return show


def kill(host: str, name: str) -> None:
    on(host, "sh", "-c", f"kill -{name} $(systemctl show -p MainPID --value goodstanding-limits.service)")


#: What the engine changes in Postfix, and leaves.
SUMS = "sha256sum /etc/postfix/main.cf /etc/postfix/master.cf"
LEFT = f"{SUMS}; ls -d /etc/goodstanding-limits* /var/lib/goodstanding-limits 2>/dev/null; true"


@on_both
def test_a_flood_is_cut_at_exactly_the_figure_and_nobody_else_is_touched(fresh, host, show):
    begun = time.time()
    said = act(host, "flood", "mallory@alpha.test")
    other = act(host, "flood", "bob@alpha.test", 1, SOFT)
    seconds = time.time() - begun
    show(f"{host}: 60 messages in {seconds:.1f} s over 6 sessions, soft {SOFT}, hard {HARD}: {said}; another: {other}")
    assert said == {"250": SOFT, TEN: HARD - SOFT, TWENTY: 60 - HARD}
    assert other == {"250": SOFT}
    hits = {tuple(row[:5]) for row in act(host, "hits")}
    assert hits == {
        ("account", "mallory@alpha.test", "minute", "soft", HARD - SOFT), ("account", "mallory@alpha.test", "minute", "hard", 60 - HARD),
    }  # fmt: skip
    log = on(host, "sh", "-c", "journalctl -q --no-pager -o cat SYSLOG_FACILITY=2 | grep 'goodstanding sending limit' | tail -n 1")
    assert "<mallory@alpha.test>: SASL login name rejected: goodstanding sending limit: account minute" in log, log
    assert act(host, "faults", LIMITS) == []


@pytest.mark.soak
@on_both
def test_the_limit_is_met_again_when_the_window_has_slid_on(fresh, host, show):
    act(host, "flood", "ivan@alpha.test", 1, SOFT)
    assert act(host, "one", "ivan@alpha.test")[0] == TEN
    begun = time.time()
    time.sleep(62)
    said = act(host, "flood", "ivan@alpha.test", 1, SOFT + 1)
    show(f"{host}: {time.time() - begun:.0f} s later: {said}")
    assert said == {"250": SOFT, TEN: 1}


@on_both
def test_twenty_recipients_in_the_first_message_are_refused_as_a_whole(fresh, host, show):
    said = [act(host, "one", "carol@alpha.test", count)[0] for count in (2 * SOFT, SOFT, 1)]
    show(f"{host}: {2 * SOFT} recipients, then {SOFT}, then 1: {said}")
    assert said == [TEN, "250", TWENTY], "the hard limit has counted what was put off"


@on_both
def test_recipients_of_a_message_that_is_aborted_are_not_counted(fresh, host, show):
    codes = act(host, "abort", "dave@alpha.test", 3 * SOFT)
    said = act(host, "one", "dave@alpha.test", SOFT)[0]
    show(f"{host}: {3 * SOFT} recipients and RSET: {codes}; then {SOFT}: {said}")
    assert (codes, said) == ([250], "250")


@on_both
def test_a_login_is_one_account_however_it_is_typed(fresh, host, show):
    said = [act(host, "one", login, 6, True)[0] for login in ("Erin@Alpha.test", "erin@alpha.test")]
    show(f"{host}: Erin@ and erin@ with 6 recipients each: {said}")
    assert said == ["250", TEN]


@on_both
def test_no_sender_makes_the_daemon_hang_up(fresh, host, show):
    said = act(host, "straddle", "frank@alpha.test", SOFT + 6)
    show(f"{host}: {SOFT + 6} messages with 900 octets of UTF-8 as sender: {said}")
    assert said == {"250": SOFT, "450": 6}


@on_both
def test_a_restart_and_a_kill_keep_the_counts_whatever_pid_file_is_left(fresh, host, show):
    act(host, "one", "grace@alpha.test", 7)
    on(host, "systemctl", "restart", "goodstanding-limits.service")
    said = [act(host, "one", "grace@alpha.test", 4)[0], act(host, "one", "grace@alpha.test", 3)[0]]
    on(host, "sh", "-c", "mkdir -p /run/policyd-rate-limit && echo 1 > /run/policyd-rate-limit/policyd-rate-limit.pid")
    kill(host, "KILL")
    killed = act(host, "one", "grace@alpha.test")
    show(f"{host}: 7, restart, 4, 3, kill -9, 1: {said}, {killed[0]} after {killed[1]} s")
    assert (said, killed[0]) == ([TEN, "250"], TEN)
    on(host, "rm", "-rf", "/run/policyd-rate-limit")


@on_both
def test_with_the_daemon_gone_mail_flows_and_it_is_said(fresh, host, show):
    found = {}
    on(host, "systemctl", "stop", "goodstanding-limits.socket", "goodstanding-limits.service")
    found["stopped"] = act(host, "one", "heidi@alpha.test", 2 * SOFT), act(host, "faults", LIMITS)
    on(host, "systemctl", "start", "goodstanding-limits.socket", "goodstanding-limits.service")
    on(host, "rm", "/var/spool/postfix/private/goodstanding-limits")
    on(host, "systemctl", "restart", "postfix")  # no smtpd has a connection from before
    found["no socket"] = act(host, "one", "heidi@alpha.test", 2 * SOFT), act(host, "faults", LIMITS)
    on(host, "systemctl", "restart", "goodstanding-limits.socket", "goodstanding-limits.service")
    kill(host, "STOP")
    found["hangs"] = act(host, "one", "heidi@alpha.test", 2 * SOFT), act(host, "faults", LIMITS)
    kill(host, "CONT")
    on(host, "systemctl", "stop", "goodstanding-limits.service")
    on(host, "sh", "-c", "cd /var/lib/goodstanding-limits && rm -f * && echo none > counts.sqlite3")
    on(host, "systemctl", "start", "goodstanding-limits.service")
    found["database"] = act(host, "one", "heidi@alpha.test", 2 * SOFT), act(host, "faults", LIMITS)
    for what, ((said, seconds), faults) in found.items():
        show(f"{host}, {what}: {said} after {seconds} s; {faults[0]}")
        assert said == "250"
        assert any("mail flows without limits" in fault for fault in faults)


@on_both
def test_a_service_that_does_not_ask_is_named(fresh, host):
    on(host, "postconf", "-P", "submission/inet/smtpd_data_restrictions=reject_unauth_pipelining")
    assert any("submission/inet smtpd_data_restrictions does not ask" in fault for fault in act(host, "faults", LIMITS))
    act(host, "install", LIMITS)
    assert act(host, "faults", LIMITS) == []
    on(host, "postconf", "-PX", "submission/inet/smtpd_data_restrictions")


@on_both
def test_a_domain_has_a_limit_of_its_own_and_shadow_refuses_nobody(fresh, host, show):
    override = {"account niaj@beta.test": {"hard": {"day": 2}}}
    words = {"account": {"soft": {"hour": 50}}, "domain": {"soft": {"hour": 12}}, "overrides": override}
    act(host, "install", words)
    said = [act(host, "one", f"{name}@alpha.test", count)[0] for name, count in (("alice", 8), ("bob", 5), ("bob", 4), ("alice", 1))]
    mine = [act(host, "one", "niaj@beta.test", count)[0] for count in (3, 2)]
    act(host, "install", {**words, "shadow": True})
    shadow = act(host, "flood", "alice@alpha.test", 1, 5)
    show(f"{host}: domain {said}, an override {mine}, shadow {shadow}")
    assert said == ["250", "450 domain hour", "250", "450 domain hour"]
    assert mine == ["554 account day", "250"]
    assert shadow == {"250": 5}
    assert ["domain", "alpha.test", "hour", "shadow", 5] in [row[:5] for row in act(host, "hits")]


@on_both
def test_a_second_run_changes_nothing_and_removal_leaves_nothing(fresh, host):
    assert act(host, "install", LIMITS) == []
    plumbed = on(host, "sh", "-c", SUMS)
    act(host, "remove")
    bare = on(host, "sh", "-c", LEFT)
    act(host, "install", LIMITS)
    assert on(host, "sh", "-c", SUMS) == plumbed
    act(host, "remove")
    assert on(host, "sh", "-c", LEFT) == bare
    assert "limits" not in bare


@pytest.fixture
def store():
    """PostgreSQL on one host, with a database of the limits."""
    listen = "listen_addresses = '*'\\n"
    allow = "host limits limits 198.51.100.0/24 scram-sha-256"
    script = f"""set -e; cd /etc/postgresql/*/main; printf "{listen}" > conf.d/limits.conf
    grep -q '^{allow}' pg_hba.conf || sed -i '1i {allow}' pg_hba.conf
    systemctl restart "postgresql@$(basename $(dirname $PWD))-main"; cd /
    runuser -u postgres -- psql -q -v ON_ERROR_STOP=1"""
    # By standard input, as above: journald keeps the words of a command that logs.
    fresh = f"DROP DATABASE IF EXISTS limits; DROP ROLE IF EXISTS limits; CREATE ROLE limits LOGIN PASSWORD '{SECRET}';"
    on(STORE_HOST, "bash", "-c", script, data=fresh + " CREATE DATABASE limits OWNER limits;")
    yield
    both(lambda host: act(host, "install", LIMITS))
    on(STORE_HOST, "sh", "-c", "systemctl stop 'postgresql@*' ; rm -f /etc/postgresql/*/main/conf.d/limits.conf")


def act_both(what: str, *words: t.Any) -> list[t.Any]:
    """Do the same act on both hosts at once."""
    return list(both(lambda host: act(host, what, *words)).values())


def test_two_hosts_of_two_releases_that_share_a_database_have_one_limit(store, show):
    act_both("install", LIMITS, STORE, SECRET)
    said = act_both("flood", "mallory@alpha.test")
    threes = act_both("flood", "dave@alpha.test", 2, 5, 3)
    show(f"60 messages on each of {', '.join(HOSTS)}: {said}; 10 of 3 recipients on each: {threes}")
    sums = {answer: sum(one.get(answer, 0) for one in said) for answer in ("250", TEN, TWENTY)}
    assert sums == {"250": SOFT, TEN: HARD - SOFT, TWENTY: 120 - HARD}
    assert sum(one.get("250", 0) for one in threes) == SOFT // 3
    for host in HOSTS:
        shown = on(host, "sh", "-c", f"grep -rl {SECRET} /etc /var/log /run /tmp 2>/dev/null || true")
        assert shown.split() == ["/etc/goodstanding-limits.yaml"], shown
    on(STORE_HOST, "sh", "-c", "systemctl restart 'postgresql@*'")
    assert [act(host, "one", "dave@alpha.test", SOFT)[0] for host in HOSTS] == [TWENTY, TWENTY]
    on(STORE_HOST, "sh", "-c", "systemctl stop 'postgresql@*'")
    down = [act(host, "one", "erin@alpha.test", 2 * SOFT) for host in HOSTS]
    faults = act_both("faults", LIMITS)
    show(f"with the database stopped: {down}; {faults[0]}")
    assert [row[0] for row in down] == ["250", "250"]
    assert all("The database cannot be written" in one[0] for one in faults)
    on(STORE_HOST, "sh", "-c", 'systemctl start "postgresql@$(ls /etc/postgresql)-main"')
    time.sleep(6)
    assert [act(host, "one", "erin@alpha.test", 2 * SOFT)[0] for host in HOSTS] == [TEN, TWENTY]

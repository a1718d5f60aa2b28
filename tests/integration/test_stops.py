# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stops an intruder who is logged in, on both releases: each thing that an administrator would try first, and then the lock.

An act need not stop a session; the lock behind it must stop all. What each act did alone is printed as the table of the issue.
"""

from __future__ import annotations

import contextlib
import sys
import time
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from client import Client
from lab import HOSTS, lab, module, on, on_both, playbook

SQL = """
CREATE TABLE mailbox (username TEXT PRIMARY KEY, password TEXT, active TEXT);
INSERT INTO mailbox VALUES ('bob@alpha.test', '{PLAIN}sql', '1'), ('carol@alpha.test', '{PLAIN}sql', '1');
"""
INACTIVE = "sqlite3 /etc/dovecot/lab.sqlite \"UPDATE mailbox SET active='0' WHERE username='$1'\"; "
MAKE_MAP = "postmap lmdb:/etc/postfix/goodstanding_locked"
DOVECOT_23 = """
cat > /etc/dovecot/lab-sql.conf <<X
driver = sqlite
connect = /etc/dovecot/lab.sqlite
password_query = SELECT username AS user, password FROM mailbox WHERE username = '%u' AND active = '1'
X
cat > /etc/dovecot/conf.d/99-lab-sql.conf <<X
auth_cache_size = 10M
auth_cache_ttl = 1 hour
passdb {
  driver = sql
  args = /etc/dovecot/lab-sql.conf
}
X
"""
DOVECOT_24 = """
cat >> /etc/dovecot/dovecot.conf <<X
auth_cache_size = 10M
auth_cache_ttl = 1 hour
sql_driver = sqlite
sqlite_path = /etc/dovecot/lab.sqlite
passdb sql {
  query = SELECT username AS user, password FROM mailbox WHERE username = '%{user}' AND active = '1'
}
X
"""
# A second submission service whose logins are those of the system, by saslauthd with Debian's cache.
CYRUS = """
useradd --create-home zoe; echo 'zoe:pw-zoe' | chpasswd
sed -i 's/^START=.*//; s/^MECHANISMS=.*/MECHANISMS="shadow"/; s|^OPTIONS=.*|OPTIONS="-c -m /var/run/saslauthd"|' /etc/default/saslauthd
echo START=yes >> /etc/default/saslauthd
adduser --quiet postfix sasl
printf 'pwcheck_method: saslauthd\\nmech_list: PLAIN LOGIN\\n' > /etc/postfix/sasl/smtpd.conf
systemctl restart saslauthd
postconf -e cyrus_sasl_config_path=/etc/postfix/sasl
postconf -M '2587/inet=2587 inet n - n - - smtpd'
for one in syslog_name=postfix/cyrus smtpd_sasl_type=cyrus smtpd_sasl_path=smtpd smtpd_sasl_auth_enable=yes smtpd_tls_auth_only=yes; do
  postconf -P "2587/inet/$one"
done
"""
# Restrictions of the kinds that an administrator reaches for; they name files that change later.
OTHER_MAPS = """
: > /etc/postfix/lab_texthash
postconf -e 'smtpd_sender_restrictions = check_sasl_access texthash:/etc/postfix/lab_texthash, check_sasl_access inline:{nobody=OK}'
"""
SESSIONS = "ss -Htn state established '( sport = :587 )' | awk '{ print $4 }'"


class Row(t.NamedTuple):
    """An act of an administrator against an account that is in use, as shell on the mail host ($1: the account); password: that of it."""

    name: str
    account: str
    act: str
    password: str = ""


ROWS = [
    Row("the password is changed", "alice@alpha.test", "sed -i s/pw-alice-alpha.test/changed/ /etc/dovecot/users"),
    Row("SQL active=0, behind a cache", "bob@alpha.test", INACTIVE, "sql"),
    Row("SQL active=0, and the cache is flushed", "carol@alpha.test", INACTIVE + "doveadm auth cache flush $1", "sql"),
    Row("a line in the deny file", "dave@alpha.test", "echo $1: >> /etc/dovecot/goodstanding_denied; sleep 1.5"),
    Row("dovecot reload", "erin@alpha.test", "doveadm reload; sleep 1"),
    Row("doveadm kick", "frank@alpha.test", "doveadm kick $1; sleep 1"),
    Row("an lmdb map, in place", "grace@alpha.test", "echo $1 REJECT >> /etc/postfix/goodstanding_locked; " + MAKE_MAP),
    Row("a texthash map, and reload", "heidi@alpha.test", "echo $1 REJECT > /etc/postfix/lab_texthash; postfix reload; sleep 1"),
    Row(
        "an inline map, and reload",
        "ivan@alpha.test",
        "postconf -e smtpd_sender_restrictions=check_sasl_access,inline:{$1=REJECT}; postfix reload; sleep 1",
    ),
    Row("HOLD instead of REJECT", "judy@alpha.test", "echo $1 HOLD >> /etc/postfix/goodstanding_locked; " + MAKE_MAP),
    Row("ss -K", "mallory@alpha.test", "ss -K state established '( sport = :587 or sport = :993 )' > /dev/null; sleep 1"),
    Row("the smtpd is killed", "niaj@alpha.test", "pkill -x smtpd; sleep 4"),
    Row("no act, and the deny file is missing", "alice@beta.test", "rm /etc/dovecot/goodstanding_denied; sleep 1.5"),
]

TABLE: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def plumbed():
    lab("reset")
    for host, dovecot in zip(HOSTS, (DOVECOT_23, DOVECOT_24)):
        on(host, "bash", "-ec", "sqlite3 /etc/dovecot/lab.sqlite; chown dovecot: /etc/dovecot/lab.sqlite", data=SQL)
        on(host, "bash", "-ec", dovecot + CYRUS + OTHER_MAPS + "postconf -e service_throttle_time=2s; postfix reload; doveadm reload")
    playbook("install.yml")


@pytest.fixture(scope="module")
def clients():
    with contextlib.ExitStack() as stack:
        yield {host: stack.enter_context(Client()) for host in HOSTS}


@pytest.fixture(scope="module", autouse=True)
def table(request):
    yield
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\n" + "\n".join([f"{'act alone':<42} host  open SMTP  new SMTP  open IMAP", *TABLE]))


def state(client: Client, name: str, host: str, row: Row, password: str) -> tuple[bool, bool, bool]:
    """Return whether the open SMTP session, a new login with a message, and the open IMAP session go on."""
    still = client("send", name, user=row.account)
    fresh = client("smtp", name + "-new", host=host, user=row.account, password=password)
    if fresh == 235:
        fresh = client("send", name + "-new", user=row.account)
        fresh = fresh[0] if isinstance(fresh, list) else fresh
    return (still[0] if isinstance(still, list) else still) == 250, fresh == 250, client("noop", name) == "OK"


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
@on_both
def test_after_each_act_the_lock_stops_all(clients, host, row):
    client = clients[host]
    password = row.password or "pw-" + row.account.replace("@", "-")
    name = f"{host} {row.name}"
    assert client("smtp", name, host=host, user=row.account, password=password) == 235
    assert client("send", name, user=row.account) == [250, ""]
    assert client("imap", name, host=host, user=row.account, password=password) == "OK"
    on(host, "bash", "-c", row.act, "act", row.account)
    alone = state(client, name, host, row, password)
    TABLE.append(f"{row.name:<42} {host}   " + "  ".join(f"{'goes on' if one else 'stopped':<9}" for one in alone))
    for phase in ("stop", "finish"):
        done = module(host, "mail_account_lock", accounts=[row.account], phase=phase, incident="rows")
        assert not done.get("failed"), done
    assert (done["contained"], done["faults"]) == (True, [])
    time.sleep(1.5)  # Dovecot looks at the deny file once a second
    assert state(client, name, host, row, password) == (False, False, False)
    assert module(host, "mail_lock_info")["sessions"][row.account] == {"dovecot": 0, "sockets": 0}


@on_both
def test_saslauthd_and_its_cache(clients, host):
    client = clients[host]
    name = f"{host} saslauthd"
    login = {"host": host, "user": "zoe", "password": "pw-zoe", "port": 2587}
    assert client("smtp", name, **login) == 235
    on(host, "usermod", "-L", "-e", "1", "zoe")
    assert client("smtp", name + "-cached", **login) == 235, "saslauthd was to remember the password: the test proves nothing"
    done = module(host, "mail_account_lock", accounts=["zoe"], incident="rows")
    assert (done.get("contained"), done.get("faults")) == (True, []), done
    # Where this is the host's first lock, a session that may be older than the plumbing is closed instead of refused.
    answer = client("send", name, user="zoe@alpha.test")
    assert answer == "SMTPServerDisconnected" or answer[0] == 554, answer
    assert client("smtp", name + "-new", **login) == 535


@on_both
def test_a_local_user_is_refused_by_sendmail_at_once(host):
    script = "echo x | runuser -u www-data -- sendmail -i known1@dest1.world.test; echo $?"
    assert on(host, "bash", "-c", script).strip() == "0"
    assert module(host, "mail_account_lock", accounts=["uid:33"], incident="rows")["contained"] is True
    assert on(host, "bash", "-c", script).strip() == "75"
    assert on(host, "bash", "-c", script.replace("www-data", "deploy")).strip() == "0"
    module(host, "mail_account_lock", accounts=["uid:33"], state="unlocked")
    assert on(host, "bash", "-c", script).strip() == "0"


@on_both
def test_a_message_that_was_begun_before_the_lock_ends_at_its_end_of_data(clients, host):
    client = clients[host]
    account = "bob@beta.test"
    assert client("smtp", host + " begun", host=host, user=account, password="pw-bob-beta.test") == 235
    assert client("begin", host + " begun", user=account) == 250
    module(host, "mail_account_lock", accounts=[account], phase="stop", incident="rows")
    assert client("end", host + " begun") == 554


@on_both
def test_the_owners_mail_still_arrives(host):
    for row in ROWS[:4]:
        on(host, "sendmail", "-f", "friend@known.test", row.account, data=f"From: friend@known.test\nSubject: to {row.account}\n\nHello.\n")
    for row in ROWS[:4]:
        for _ in range(30):
            if on(host, "bash", "-c", f"grep -rlx 'Subject: to {row.account}' /var/vmail/alpha.test || true"):
                break
            time.sleep(1)
        else:
            pytest.fail(f"mail for {row.account} was not delivered on {host}")


@on_both
def test_the_canary_proves_it_and_drift_is_seen(host):
    assert module(host, "mail_lock_info", canary=True)["canary"] == {"smtp": "refused", "imap": "refused", "why": None}
    on(
        host,
        "bash",
        "-c",
        "cp -p /etc/postfix/main.cf /root/; postconf -e smtpd_recipient_restrictions= smtpd_end_of_data_restrictions=; postfix reload",
    )
    seen = module(host, "mail_lock_info", canary=True)
    assert seen["plumbing"]["state"] == "damaged"
    assert any("smtpd_end_of_data_restrictions" in one for one in seen["plumbing"]["unguarded"])
    assert seen["canary"] is None
    on(host, "bash", "-c", "cp -p /root/main.cf /etc/postfix/; postfix reload")
    assert module(host, "mail_lock_info")["plumbing"] == {"state": "present", "unguarded": []}

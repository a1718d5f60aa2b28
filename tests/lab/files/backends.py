#!/usr/bin/python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backends on the lab's real servers, run as root on the host accounts, where the project's module_utils are beside this file.

usage: backends.py sequences COUNT SEED | faults | unreachable | delivery | system

sequences: locks and unlocks of five accounts in PostgreSQL, MariaDB and OpenLDAP in random order, each in a process that ends by _exit at
a random point; after each sequence everything must be as before. The others try what can go wrong. Prints one line on what was done.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import types
import typing as t
from pathlib import Path

HERE = Path(__file__).resolve().parent
package = types.ModuleType("goodstanding_tree")
package.__path__ = [str(HERE)]
sys.modules["goodstanding_tree"] = package

from goodstanding_tree.module_utils.goodstanding.accounts import transaction  # noqa: E402
from goodstanding_tree.module_utils.goodstanding.backends.delivery import Probe  # noqa: E402
from goodstanding_tree.module_utils.goodstanding.backends.lock import lock, step_of, unlock  # noqa: E402
from goodstanding_tree.module_utils.goodstanding.host import files, journal  # noqa: E402
from goodstanding_tree.module_utils.goodstanding.host.files import HostError  # noqa: E402

STATE = HERE / "state"
files.STATE = str(STATE)
ACCOUNTS = [f"{name}@alpha.test" for name in ("alice", "bob", "carol", "dave", "erin")]
A, B = ACCOUNTS[:2]
SECRET = "lab-only-password-of-the-lock"
ADMIN = ["-x", "-H", "ldapi:///", "-D", "cn=admin,dc=example,dc=test", "-w", "lab-only-password-of-the-directory"]
PEM = "/var/lib/lab/accounts.pem"

SERVER: dict[str, t.Any] = {"host": "127.0.0.1", "database": "mail", "user": "goodstanding", "password": SECRET}
TLS = {"tls": "verified", "ca_file": PEM}
SQL = {
    "query": "SELECT smtp_active FROM mailbox WHERE username = :account",
    "lock": "UPDATE mailbox SET smtp_active = '0' WHERE username = :account",
    "unlock": "UPDATE mailbox SET smtp_active = :before_smtp_active WHERE username = :account",
}
DIRECTORY = {
    "name": "directory",
    "type": "ldap",
    "uri": "ldap://127.0.0.1",
    "bind_dn": "cn=goodstanding,ou=services,dc=example,dc=test",
    "bind_password": SECRET,
    "base": "ou=mail,dc=example,dc=test",
    "filter": "(&(objectClass=inetOrgPerson)(mail=:account))",
}
BACKENDS: dict[str, dict[str, t.Any]] = {
    "postgresql": {"name": "postgresql", "type": "postgresql", **SERVER, **TLS, **SQL},
    "mariadb": {"name": "mariadb", "type": "mariadb", **SERVER, **TLS, **SQL},
    "ppolicy": {**DIRECTORY, **TLS, "attribute": "pwdAccountLockedTime", "value": "000001010000Z"},
}
#: Unit and file of the process number, as in Debian 12.
SERVICES = {
    "postgresql": ("postgresql@15-main", "/run/postgresql/15-main.pid"),
    "mariadb": ("mariadb", "/run/mysqld/mysqld.pid"),
    "ppolicy": ("slapd", "/run/slapd/slapd.pid"),
}


def run(words: list[str], data: str | None = None) -> tuple[int, str, str]:
    done = subprocess.run(words, input=data, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def do(words: list[str], data: str | None = None) -> str:
    code, out, err = run(words, data)
    assert code == 0, f"{words} ended with {code}: {err}"
    return out


def admin(where: str, statement: str) -> str:
    """Do something as the administrator of a database."""
    if where == "postgresql":
        return do(["runuser", "-u", "postgres", "--", "psql", "-qAt", "-v", "ON_ERROR_STOP=1", "mail", "-c", statement])
    return do(["mariadb", "-BN", "mail", "-e", statement])


def by_hand(where: str, change: str, account: str) -> None:
    admin(where, f"UPDATE mailbox SET {change} WHERE username = '{account}'")  # noqa: S608


def modify(account: str, change: str) -> None:
    """Change an entry of the directory as its administrator."""
    do(["ldapmodify", *ADMIN], f"dn: uid={account},ou=mail,dc=example,dc=test\nchangetype: modify\n{change}\n")


def everything() -> dict[str, str]:
    """Return every row and entry whole; of an entry not who changed it when, which a directory writes down by itself."""
    found = {where: admin(where, "SELECT * FROM mailbox ORDER BY username") for where in ("postgresql", "mariadb")}
    entries = do(["ldapsearch", *ADMIN, "-LLL", "-o", "ldif-wrap=no", "-b", "dc=example,dc=test", "*", "+"])
    found["ppolicy"] = re.sub(r"^(entryCSN|modifyTimestamp|modifiersName|pwdFailureTime): .*\n", "", entries, flags=re.MULTILINE)
    return found


def step(where: str, accounts: list[str] | None = None, **changed: t.Any) -> t.Any:
    return step_of({**BACKENDS[where], **changed}, accounts or ACCOUNTS, run)


def refusal(where: str, accounts: list[str], act: str = "lock", **changed: t.Any) -> str:
    """Return the error that a lock, an unlock or a read ends with; it must not show the password."""
    try:
        if act == "lock":
            transaction.lock(step(where, accounts, **changed), accounts, "test")
        else:
            step(where, accounts, **changed).read(accounts)
    except HostError as exc:
        assert SECRET not in str(exc), exc
        return str(exc)
    raise AssertionError(f"{where} {accounts} {changed}: no error")


def in_child(act: t.Callable[[], object], end_at: int | None) -> bool:
    """Run it in a process that ends at a point; return whether it came to its end."""
    pid = os.fork()
    if pid:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in (0, 9), f"the child ended with {code}"
        return code == 0
    try:
        points(end_at)
        act()
        os._exit(0)
    except BaseException as exc:
        print(repr(exc), file=sys.stderr, flush=True)
        os._exit(1)


def points(end_at: int | None) -> None:
    """End this process at a point: around each line of the journal, in the middle of one, around what a server is told."""
    left = [end_at]

    def point() -> None:
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)

    write = journal.write

    def written(**entry: t.Any) -> object:
        point()
        if left[0] == 0:
            STATE.mkdir(exist_ok=True)
            with open(STATE / journal.FILE, "a", encoding="utf-8") as file:
                file.write(json.dumps(entry)[:40])
        point()
        row = write(**entry)
        point()
        return row

    journal.write = written
    import ldap.ldapobject
    import psycopg2
    import pymysql.connections

    class Connection(psycopg2.extensions.connection):
        def commit(self) -> None:
            point()
            super().commit()
            point()

        def cursor(self, *words: t.Any, **named: t.Any) -> t.Any:
            return super().cursor(*words, cursor_factory=Cursor, **named)

    class Cursor(psycopg2.extensions.cursor):
        def execute(self, *words: t.Any, **named: t.Any) -> None:
            point()
            super().execute(*words, **named)

    connect = psycopg2.connect
    psycopg2.connect = lambda **named: connect(connection_factory=Connection, **named)
    around(pymysql.connections.Connection, "query", point)
    around(pymysql.connections.Connection, "commit", point)
    around(ldap.ldapobject.LDAPObject, "modify_ext_s", point)


def around(owner: t.Any, name: str, point: t.Callable[[], None]) -> None:
    inner = getattr(owner, name)

    def outer(*words: t.Any, **named: t.Any) -> t.Any:
        point()
        found = inner(*words, **named)
        point()
        return found

    setattr(owner, name, outer)


def prepare() -> None:
    """Leave rows and entries as administrators leave them: one that does not send anyhow, one that its directory locked."""
    for where in ("postgresql", "mariadb"):
        admin(where, "UPDATE mailbox SET smtp_active = '1', active = '1'")
        by_hand(where, "smtp_active = '0'", ACCOUNTS[2])
    for account in ACCOUNTS:
        modify(account, "replace: pwdAccountLockedTime")
    modify(ACCOUNTS[3], "replace: pwdAccountLockedTime\npwdAccountLockedTime: 20260101000000Z")
    forget()


def forget() -> None:
    shutil.rmtree(STATE, ignore_errors=True)


def sequences(count: int, seed: int) -> str:
    chance = random.Random(seed)
    done = ended = 0
    before = everything()
    for number in range(count):
        if number % 10 == 0:
            forget()  # a journal of some length, not of all lengths
        for _ in range(chance.randint(4, 8)):
            where, accounts = chance.choice(list(BACKENDS)), chance.sample(ACCOUNTS, chance.randint(1, 5))
            act = chance.choice([transaction.lock, transaction.lock, transaction.unlock])
            end_at = chance.choice([None, chance.randint(0, 8), chance.randint(0, 60)])
            done += 1
            ended += not in_child(lambda: act(step(where), accounts, "test"), end_at)  # noqa: B023
        for where in BACKENDS:
            outcome = transaction.unlock(step(where), ACCOUNTS, "test")
            assert not outcome.refused, outcome
        assert everything() == before, f"after sequence {number} of seed {seed} not everything is as before"
        assert journal.read().opened == {}
    return f"{count} sequences of seed {seed}: {done} locks and unlocks, {ended} of them ended in the middle; everything is as before"


def faults() -> str:
    before = everything()
    for where in ("postgresql", "mariadb"):
        all_of_them = SQL["lock"].replace("username = :account", "username LIKE '%@alpha.test' AND :account <> ''")
        assert "lock matched 12 rows for alice@alpha.test" in refusal(where, [A], lock=all_of_them)
        assert "matched no row for alice@alpha.test" in refusal(where, [A], lock=SQL["lock"].replace(":account", ":account AND 1 = 0"))
        many = SQL["query"].replace("username = :account", "username LIKE '%@alpha.test' AND :account <> ''")
        assert "more than one row for alice@alpha.test" in refusal(where, [A], query=many)
        constant = "UPDATE mailbox SET smtp_active = '0' WHERE username = :account"
        assert "unlock sets back nothing" in refusal(where, [A], unlock=constant)
        wrong = SQL["unlock"].replace(":account", ":account AND :before_smtp_active = '0'")
        assert "unlock matched no row for alice@alpha.test" in refusal(where, [A], unlock=wrong)
        upside_down = "UPDATE mailbox SET smtp_active = NOT (:before_smtp_active = '1') WHERE username = :account"
        assert "does not undo lock for alice@alpha.test" in refusal(where, [A], unlock=upside_down)
        assert "denied" in refusal(where, [A], lock="UPDATE mailbox SET active = '0' WHERE username = :account")
        assert "denied" in refusal(where, [A], query="SELECT smtp_active, maildir FROM mailbox WHERE username = :account")
        assert "password" in refusal(where, [A], query="SELECT password FROM mailbox WHERE username = :account")
        assert "certificate" in refusal(where, [A], ca_file="/etc/ssl/certs/ca-certificates.crt").lower()
        assert "cannot connect" in refusal(where, [A], password=SECRET[:-1])
        assert "cannot connect" in refusal(where, [A], tls="none"), "the server takes no one without TLS"
        for hostile in ("'OR'1'='1", "x%s", "%(account)s", "alice@alpha.test'--"):
            assert transaction.lock(step(where, [hostile]), [hostile], "test").missing == [hostile]
    writes = "WITH x AS (UPDATE mailbox SET smtp_active = '0' WHERE username = :account RETURNING *) SELECT smtp_active FROM x"
    assert "read-only transaction" in refusal("postgresql", [A], query=writes)
    ppolicy = "ppolicy"
    assert "more than one entry for alice@alpha.test" in refusal(ppolicy, [A], filter="(|(mail=:account)(mail=bob@alpha.test))")
    assert "cannot connect with TLS" in refusal(ppolicy, [A], ca_file="/etc/ssl/certs/ca-certificates.crt")
    assert "cannot bind: Invalid credentials" in refusal(ppolicy, [A], bind_password=SECRET[:-1])
    assert "onfidentiality" in refusal(ppolicy, [A], tls="none"), "the directory takes no password without TLS"
    assert "nsufficient access" in refusal(ppolicy, [A], attribute="description", value="locked")
    for hostile in ("*", "alice@alpha.test)(uid=*", "\\2a"):
        assert transaction.lock(step(ppolicy, [hostile]), [hostile], "test").missing == [hostile]
    assert everything() == before
    assert journal.read().opened == {}
    changes = {
        "postgresql": lambda: by_hand("postgresql", "smtp_active = '1'", ACCOUNTS[2]),
        "mariadb": lambda: by_hand("mariadb", "smtp_active = '1'", ACCOUNTS[2]),
        ppolicy: lambda: modify(ACCOUNTS[2], "replace: pwdAccountLockedTime\npwdAccountLockedTime: 20260202000000Z"),
    }
    for where, change in changes.items():
        one = step(where)
        transaction.lock(one, [A, ACCOUNTS[2]], "test")
        assert everything()[where] != before[where]
        change()
        outcome = transaction.unlock(one, [A, ACCOUNTS[2]], "test")
        assert outcome.changed == [A] and "changed by hand" in outcome.refused[ACCOUNTS[2]], outcome
        assert transaction.unlock(one, [ACCOUNTS[2]], "test", force=True).changed == [ACCOUNTS[2]]
    assert everything() == before
    assert SECRET not in (STATE / journal.FILE).read_text(encoding="utf-8")
    return "two rows, no row, no right, no TLS, wrong certificate, hostile names, changed by hand: refused and named"


def unreachable() -> str:
    """Each server goes away in the middle of a lock, and another session holds the row."""
    before = everything()
    for where, (unit, pid_file) in SERVICES.items():
        assert transaction.lock(step(where), [B], "test").changed == [B]
        one = step(where)

        name = "_set" if where == "ppolicy" else "_change"
        setattr(one, name, killing(pid_file, getattr(one, name)))
        try:
            transaction.lock(one, [A], "test")
            raise AssertionError(f"{where}: no error")
        except HostError as exc:
            assert SECRET not in str(exc), exc
        assert (A, one.name) in journal.read().opened, "nobody knows what the server did last"
        assert "cannot connect" in refusal(where, [A])
        run(["systemctl", "reset-failed", unit])
        do(["systemctl", "restart", unit])
        wait_for(where)
        # PostgreSQL's process for this connection may have done the change and lived a moment longer than the one that was killed.
        assert transaction.lock(step(where), [A], "test").changed in ([A], []), "a later run goes on"
        assert transaction.lock(step(where), [A], "test") == ([], [], {}), "and leaves a lock that is in force"
        assert transaction.unlock(step(where), [A, B], "test").changed == [A, B]
    assert everything() == before
    held = "BEGIN; UPDATE mailbox SET smtp_active = '1' WHERE username = 'alice@alpha.test'; {}; ROLLBACK"
    for where, sleep in (("postgresql", "SELECT pg_sleep(20)"), ("mariadb", "SELECT SLEEP(20)")):
        words = ["runuser", "-u", "postgres", "--", "psql", "-q", "mail"] if where == "postgresql" else ["mariadb", "mail"]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as other:
            assert other.stdin is not None
            other.stdin.write(held.format(sleep).replace("; ", ";\n") + ";\n")
            other.stdin.flush()
            wait_until(lambda where=where: "sleep(20)" in sessions(where).lower())
            assert "cannot run its statements" in refusal(where, [A])
            other.kill()
    for where in BACKENDS:
        transaction.unlock(step(where), ACCOUNTS, "test")
    assert everything() == before
    return "servers killed in the middle, and a row that another session holds: refused, a later run goes on, everything is as before"


def killing(pid_file: str, change: t.Callable[..., None]) -> t.Callable[..., None]:
    """Return the change of a step in front of which the server is killed, once."""
    running = [int(Path(pid_file).read_text(encoding="ascii").split()[0])]

    def outer(*words: t.Any) -> None:
        while running:
            os.kill(running.pop(), signal.SIGKILL)
        change(*words)

    return outer


def sessions(where: str) -> str:
    if where == "postgresql":
        return admin(where, "SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'active'")
    return admin(where, "SELECT info FROM information_schema.processlist WHERE id <> CONNECTION_ID()")


def wait_for(where: str) -> None:
    def up() -> bool:
        try:
            step(where).read([A])
        except HostError:
            return False
        return True

    wait_until(up)


def wait_until(true: t.Callable[[], bool]) -> None:
    for _ in range(150):
        if true():
            return
        time.sleep(0.2)
    raise AssertionError("what was waited for did not come")


MAIN_CF = """compatibility_level = 3.6
myhostname = accounts.example.test
mydestination = $myhostname, localhost
inet_interfaces = loopback-only
mynetworks = 127.0.0.0/8
alias_maps =
virtual_mailbox_domains = alpha.test
virtual_mailbox_maps = texthash:/etc/postfix/virtual_mailboxes
virtual_transport = lmtp:unix:private/dovecot-lmtp
"""
DOVECOT = """protocols = imap lmtp
mail_location = maildir:/var/vmail/%d/%n
first_valid_uid = 1000
ssl = no
passdb {
  driver = sql
  args = /etc/dovecot/lab-sql.conf
}
userdb {
  driver = sql
  args = /etc/dovecot/lab-sql.conf
}
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    mode = 0600
    user = postfix
    group = postfix
  }
}
"""
#: As PostfixAdmin's documents have it since smtp_active: sending asks for that column, everything else for active.
DOVECOT_SQL = f"""driver = pgsql
connect = host=127.0.0.1 dbname=mail user=dovecot password={SECRET}
default_pass_scheme = PLAIN
password_query = SELECT username AS user, password FROM mailbox \\
  WHERE username = '%u' AND (('%s' = 'smtp' AND smtp_active) OR ('%s' <> 'smtp' AND active))
user_query = SELECT 'vmail' AS uid, 'vmail' AS gid, '/var/vmail/' || maildir AS home FROM mailbox WHERE username = '%u' AND active
"""  # noqa: S608


def mail_host() -> None:
    """Let this host take mail for alpha.test: Postfix, which hands it to Dovecot, which asks PostgreSQL."""
    Path("/etc/postfix/main.cf").write_text(MAIN_CF, encoding="ascii")
    shutil.copy("/usr/share/postfix/master.cf.dist", "/etc/postfix/master.cf")
    Path("/etc/postfix/virtual_mailboxes").write_text("".join(f"{account} yes\n" for account in ACCOUNTS), encoding="ascii")
    Path("/etc/dovecot/dovecot.conf").write_text(DOVECOT, encoding="ascii")
    Path("/etc/dovecot/lab-sql.conf").write_text(DOVECOT_SQL, encoding="ascii")
    do(["systemctl", "restart", "postfix", "dovecot"])
    wait_until(lambda: run(["doveadm", "user", A])[0] == 0)


def delivery() -> str:
    """The owner's mail goes on: it is delivered to a locked mailbox, and a statement that would bounce it is set back."""
    mail_host()
    before = everything()
    probe = Probe(run, None, True)
    result = lock(step("postgresql", [A, B]), [A, B], "test", probe, check_mode=False)
    assert result["delivery"] == {account: {"rcpt": "accepted", "userdb": "accepted"} for account in (A, B)}, result
    assert (login("smtp"), login("imap")) == (77, 0), "sending is locked in the table; the deny file is what locks reading"
    deliver(A, Path("/var/vmail/alpha.test/alice"))
    unlock(step("postgresql", [A, B]), [A, B], "test", False, False)
    assert login("smtp") == 0
    forgets = Probe.forget
    bouncing = {
        "user": "dovecot",
        "query": "SELECT active FROM mailbox WHERE username = :account",
        "lock": "UPDATE mailbox SET active = '0' WHERE username = :account",
        "unlock": "UPDATE mailbox SET active = :before_active WHERE username = :account",
    }
    for ended in (False, True):
        if ended:  # after the lock and before delivery is asked about again
            Probe.forget = lambda self, accounts: os._exit(9)
            assert not in_child(lambda: lock(step("postgresql", [A, B], **bouncing), [A, B], "test", probe, check_mode=False), None)
            Probe.forget = forgets
            assert everything() != before
        try:
            lock(step("postgresql", [A, B], **bouncing), [A, B], "test", probe, check_mode=False)
            raise AssertionError("no error")
        except HostError as exc:
            assert "accepted before the lock and is refused after it" in str(exc), exc
            assert f"{A} by Dovecot's userdb" in str(exc) and bouncing["lock"] in str(exc), exc
        assert everything() == before
        assert journal.read().opened == {}
    return "mail delivered to a locked mailbox; a lock that would bounce it is set back, also after an end in the middle"


def login(service: str) -> int:
    return run(["doveadm", "auth", "test", "-x", f"service={service}", A, "pw-alice-alpha.test"])[0]


def system() -> str:
    """A system user: expired and back, to the byte; PAM refuses the user, Postfix takes mail and delivers it."""
    mail_host()
    users = {"lab-never": "", "lab-later": "30000", "lab-was": "1"}
    for user, day in users.items():
        run(["userdel", "-r", user])
        do(["useradd", "-m", *(["-e", day] if day and day != "1" else []), user])
        do(["chpasswd"], f"{user}:pw-{user}\n")
    do(["chage", "-E", "1", "lab-was"])
    settings = {"name": "users", "type": "system"}
    accounts = [*users, "root"]
    before = Path("/etc/shadow").read_bytes()
    one = step_of(settings, accounts, run)
    probe = Probe(run, None, False)
    assert probe.place, "this host's Postfix does not listen"
    result = lock(one, accounts, "test", probe, check_mode=False)
    assert result["accounts"] == ["lab-later", "lab-never"] and list(result["refused"]) == ["root"], result
    assert {answer["rcpt"] for answer in result["delivery"].values()} == {"accepted"}, result
    assert [allowed(user) for user in users] == [False, False, False]
    deliver("lab-never", Path("/var/mail"))
    assert unlock(step_of(settings, accounts, run), accounts, "test", False, False)["accounts"] == ["lab-later", "lab-never"]
    assert Path("/etc/shadow").read_bytes() == before, "the file is as before"
    assert [allowed(user) for user in users] == [True, True, False]
    for user in users:
        do(["userdel", "-r", user])
    return "system users expired, refused by PAM's account step, their mail delivered, /etc/shadow as before"


def allowed(user: str) -> bool:
    """Whether PAM's account step lets a user in; for root, su skips the password and nothing else."""
    return run(["su", "-s", "/bin/true", user])[0] == 0


def deliver(address: str, below: Path) -> None:
    """Send mail from outside (with the null sender, as a stranger) and wait until it lies in a file."""
    word = os.urandom(8).hex()
    do(["sendmail", "-f", "", address], f"Subject: for the owner\n\n{word}\n")
    wait_until(lambda: run(["grep", "-rqx", word, str(below)])[0] == 0)


def main() -> None:
    command, *rest = sys.argv[1:] or [""]
    if command not in ("sequences", "faults", "unreachable", "delivery", "system"):
        sys.exit(__doc__)
    prepare()
    print(sequences(int(rest[0]), int(rest[1])) if command == "sequences" else globals()[command]())


if __name__ == "__main__":
    main()

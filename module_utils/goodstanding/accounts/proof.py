# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that a lock is in force on a host, and that it would be: by its files, and by logging in. Standard library only, Python >= 3.9.

The canary is a login that exists for the seconds of the proof (Dovecot's passwd-file, allow_nets: from loopback alone, no mailbox). It is
let in, opens an SMTP session, is locked by the path of every lock, and must be refused in that open session, at a new login and by IMAP;
then it is unlocked and must be let in again.
"""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import hashlib
import imaplib
import os
import secrets
import smtplib
import socket
import time
import typing as t
from pathlib import Path

from ..host import journal
from ..host.files import File, HostError, Run, load_state, must, read_text, write_file
from . import dovecot_conf, ending, loopback, places, plumbing, postfix_conf, transaction

#: Dovecot looks once a second whether a passwd-file has changed (src/auth/db-passwd-file.c).
_REREAD = 1.5
_NO_MAILBOX = "canary-without-mailbox"

#: smtp and imap: refused as it must be, accepted in spite of the lock, or unknown; why: what was answered instead.
Canary = dict[str, t.Optional[str]]


def faults(run: Run, accounts: list[str]) -> list[str]:
    """Return what speaks against the lock of these accounts being in force."""
    found = drift(run)
    for account in accounts:
        stands = {place.name: place.read([account])[account] for place in places.all_of(run, "")}
        found += [f"{account} is not locked in {name}" for name, fields in stands.items() if fields == {}]
        if not any(stands.values()) and {} not in stands.values():
            found.append(f"{account} is no user of this host's passwd, by whose names Postfix refuses: name it there and run again")
        if not account.startswith(places.UID) and not run(["postmap", "-q", account, postfix_conf.MAP])[1].startswith("REJECT"):
            found.append(f"postmap -q {account} {postfix_conf.MAP} does not answer REJECT")
    return found


def drift(run: Run) -> list[str]:
    """Return what of the plumbing does not stand: another tool may have written main.cf anew."""
    found = [f"the lock's map is not first in {name}" for name in plumbing.unguarded(run)]
    for source in plumbing.MAPS:
        if not Path(f"{source}.lmdb").exists():
            found.append(f"the map {source}.lmdb is missing")
    if plumbing.dovecot_version(run) is None:
        return found
    if read_text(dovecot_conf.DENY_FILE) is None:
        found.append(f"{dovecot_conf.DENY_FILE} is missing, and Dovecot lets everybody in without it")
    if not dovecot_conf.deny_is_first(must(run, ["doveconf", "-n"], "Dovecot's configuration cannot be read")):
        found.append("the deny passdb is not the first of Dovecot's chain")
    return found


def state(run: Run) -> dict[str, t.Any]:
    """Return how the plumbing stands: present, absent (it never was here) or damaged, with what is missing."""
    plumbing.require_postfix(run)
    missing = drift(run)
    installed = "reloaded" in load_state(plumbing.STATE_FILE)
    return {
        "state": "damaged" if installed and missing else "present" if installed else "absent",
        "unguarded": missing if installed else [],
    }


def canary(run: Run, incident: str) -> Canary:
    """Lock and unlock a login of our own while it is in use, and return what it met."""
    if plumbing.dovecot_version(run) is None:
        return _unknown("this host has no Dovecot that could know a canary")
    ports = [port for port in loopback.ports(run) if port.logins]
    if not ports:
        return _unknown("no smtpd of this host offers AUTH over Dovecot (smtpd_sasl_type)")
    try:
        _set(run, False, incident)  # a proof that was killed may have left it locked
        with login_for_a_moment() as secret:
            return _walk(run, ports, secret, incident)
    finally:
        _set(run, False, incident)


@contextlib.contextmanager
def login_for_a_moment() -> t.Iterator[str]:
    """Let Dovecot know the canary, and yield its password."""
    secret = secrets.token_urlsafe(24)
    try:
        write_file(File(dovecot_conf.CANARY_FILE, _entry(secret), 0o640, "dovecot"))
        yield secret
    finally:
        write_file(File(dovecot_conf.CANARY_FILE, "", 0o640, "dovecot"))


def _unknown(why: str) -> Canary:
    return {"smtp": "unknown", "imap": "unknown", "why": why[:300]}


def _entry(secret: str) -> str:
    salt = os.urandom(8)
    hashed = base64.b64encode(hashlib.sha256(secret.encode() + salt).digest() + salt).decode()
    return f"{dovecot_conf.CANARY}:{{SSHA256}}{hashed}::::::allow_nets=127.0.0.0/8 nologin reason={_NO_MAILBOX}\n"


def _set(run: Run, locked: bool, incident: str) -> None:
    """Lock or unlock the canary in every place, as any account is."""
    for place in places.all_of(run, incident):
        act = transaction.lock if locked else transaction.unlock
        act(place, [dovecot_conf.CANARY], incident)


def _walk(run: Run, ports: list[loopback.Port], secret: str, incident: str) -> Canary:
    recipient = loopback.recipient_of(run)
    with contextlib.ExitStack() as stack:
        opened: dict[loopback.Port, smtplib.SMTP] = {}
        for port in ports:
            client, said = log_in(port, secret)
            if client is None:
                return _unknown(f"before its lock the canary was not let in on port {port.number}: {said}")
            stack.callback(client.close)
            code, text = _recipient(client, recipient)
            if code != 250:
                return _unknown(f"before its lock the canary was answered {code} {text} on port {port.number}")
            opened[port] = client
        before = _imap(secret)
        _set(run, True, incident)
        time.sleep(_REREAD)
        why = []
        for port, client in opened.items():
            code, text = _recipient(client, recipient)
            if code < 500 or "account locked" not in text:
                why.append(f"the open session on port {port.number} was answered {code} {text}")
        with concurrent.futures.ThreadPoolExecutor(len(ports) + 1) as pool:  # each answer is delayed by two seconds
            again = [pool.submit(log_in, port, secret, loopback.STRANGER.format(number)) for number, port in enumerate(ports, 2)]
            after = pool.submit(_imap, secret, loopback.STRANGER.format(1)).result()
        for port, attempt in zip(ports, again):
            client = attempt.result()[0]
            if client is not None:
                client.close()
                why.append(f"a new login on port {port.number} was let in")
    _set(run, False, incident)
    time.sleep(_REREAD)
    for port in ports:
        client, said = log_in(port, secret)
        if client is None:
            return _unknown(f"after it was unlocked the canary was not let in on port {port.number}: {said}")
        client.close()
    imap = "unknown" if before != "accepted" else after
    if imap != "refused":
        why.append(f"IMAP before the lock: {before}, after it: {after}")
    return {"smtp": "accepted" if any("port" in one for one in why) else "refused", "imap": imap, "why": "; ".join(why)[:300] or None}


def log_in(port: loopback.Port, secret: str, source: str = loopback.ADDRESS) -> tuple[smtplib.SMTP | None, str]:
    """Return a session of the canary, or why there is none."""
    try:
        client = loopback.connect(port, source)
    except (OSError, smtplib.SMTPException) as exc:
        return None, type(exc).__name__
    try:
        client.user, client.password = dovecot_conf.CANARY, secret
        code, text = client.auth("PLAIN", client.auth_plain)
        if code == 235:
            return client, ""
    except smtplib.SMTPResponseException as exc:
        code, text = exc.smtp_code, loopback.words(exc.smtp_error).encode()
    except (OSError, smtplib.SMTPException) as exc:
        code, text = 0, type(exc).__name__.encode()
    client.close()
    return None, f"{code} {loopback.words(text)}"


def _recipient(client: smtplib.SMTP, recipient: str) -> tuple[int, str]:
    try:
        return loopback.ask(client, recipient)
    except (OSError, smtplib.SMTPException) as exc:
        return 0, type(exc).__name__


class _Imap(imaplib.IMAP4):
    """A client that comes from an address of its own; what it is told before it connects imaplib does not offer."""

    def __init__(self, source: str) -> None:
        self.source = source
        super().__init__(loopback.ADDRESS, timeout=loopback.TIMEOUT)

    def _create_socket(self, timeout: float | None = None) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout, (self.source, 0))


def _imap(secret: str, source: str = loopback.ADDRESS) -> str:
    """Return whether the canary's password is accepted by IMAP; what comes after that is its reason for no login (passdb, nologin)."""
    try:
        with _Imap(source) as client:
            if "STARTTLS" in client.capabilities:
                client.starttls(loopback.tls())
            client.login(dovecot_conf.CANARY, secret)
    except imaplib.IMAP4.error as exc:
        return "refused" if "AUTHENTICATIONFAILED" in str(exc) else "accepted" if _NO_MAILBOX in str(exc) else "unknown"
    except OSError:
        return "unknown"
    return "accepted"


def info(run: Run, with_canary: bool, incident: str, journal_after: str | None) -> dict[str, t.Any]:
    """Return what a look at this host says of its locks: plumbing, locks, sessions of locked accounts, journal; with_canary: the proof."""
    locks = load_state(plumbing.LOCKS)
    stands = state(run)
    proved = canary(run, incident) if with_canary and stands["state"] == "present" else None
    dovecot = ending.dovecot_runs(run)
    open_now = {
        account: {
            "dovecot": ending.connections(run, account) if dovecot else 0,
            "sockets": len(ending.left_of(run, lock.get("open") or [])),
        }
        for account, lock in locks.items()
    }
    try:
        book = journal.read()
        kept = {"lines": book.lines, "damaged": book.damaged[:20], "last": book.last, "new": journal.lines_after(journal_after)}
    except HostError as exc:
        kept = {"lines": 0, "damaged": [], "last": "", "new": [], "fault": str(exc)}
    told = {account: {"incident": lock["incident"], "locked_at": lock["locked_at"]} for account, lock in locks.items()}
    return {"plumbing": stands, "locks": told, "canary": proved, "sessions": open_now, "journal": kept}

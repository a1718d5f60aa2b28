# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""End what a locked account still has on a host: logins that a cache remembers, IMAP sessions, SMTP sockets.

An smtpd is never killed: master(8) would then let nobody in for a minute. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import ipaddress
import time
import typing as t
from pathlib import Path

from ..host.files import HostError, Run, load_state, must, save_state
from . import plumbing, sessions

#: How long closing sockets is tried, in seconds: an idle smtpd may take one more connection before it ends.
PATIENCE = 8
#: So many connections of an attacker are remembered with a lock.
MAX_LEFT = 200
#: IMAP, POP3 and ManageSieve, with and without TLS (IANA service names).
MAILBOX_PORTS = frozenset((110, 143, 993, 995, 4190))


class Ended(t.NamedTuple):
    """closed and remaining: numbers of sessions; faults: what could not be ended, and what to do; left: connections of the attacker's
    clients that are older than the lock and could not be closed, as in left_of()."""

    closed: int
    remaining: int
    faults: list[str]
    left: list[list[str]]


def end(run: Run, accounts: list[str], addresses: list[str], new: bool) -> Ended:
    """Make every login ask again, and end what is open. addresses: of the attacker's clients; new: an account was not locked before."""
    faults = forget_logins(run, accounts, new)
    imap, imap_left, unknown = _kick(run, accounts)
    smtp, smtp_left = close_old_sockets(run)
    found = _close_sockets_of(run, addresses if new else [])
    left = left_of(run, found)[:MAX_LEFT]
    if smtp_left:
        faults.append(
            f"{smtp_left} SMTP sessions from before the lock are still open: set account_lock_restart_postfix to true, or restart Postfix"
        )
    if imap_left:
        faults.append(f"{imap_left} IMAP or POP3 sessions are still open")
    if unknown:
        faults.append(
            f"whether {', '.join(unknown)} has IMAP or POP3 sessions is not known: doveadm who does not answer, see Dovecot's log"
        )
    return Ended(imap + smtp + len(found), imap_left + smtp_left, faults, left)


def forget_logins(run: Run, accounts: list[str], restart: bool = True) -> list[str]:
    """Empty the caches that let an old password in: Dovecot's of these accounts, saslauthd's (-c, Debian's default) of all; return faults.

    saslauthd(8) has no way to forget one login, so it is restarted, which takes a moment; that is done only where something changed."""
    if plumbing.dovecot_version(run) is not None:
        for account in accounts:
            run(["doveadm", "auth", "cache", "flush", "--", account])
    if not restart or run(["systemctl", "is-active", "--quiet", "saslauthd"])[0]:
        return []
    code, _, error = run(["systemctl", "restart", "saslauthd"])
    return [f"saslauthd could not be restarted, its cache may let the old password in: {error.strip()[:200]}"] if code else []


def connections(run: Run, account: str) -> int | None:
    """Return how many sessions Dovecot has for an account; None where it does not tell (no doveadm answers, and sessions may be open)."""
    names = _sessions(run, account)
    return None if names is None else len(names)


def _sessions(run: Run, account: str) -> list[str] | None:
    """Return of each session the name as Dovecot has it: it finds Mallory@ for mallory@, and kicks one only under its very name."""
    code, out, _ = run(["doveadm", "-f", "tab", "who", "-1", "--", account])
    return [line.partition("\t")[0] for line in out.splitlines()[1:]] if code == 0 else None


def dovecot_runs(run: Run) -> bool:
    return plumbing.dovecot_version(run) is not None and not run(["doveadm", "service", "status"])[0]


def _kick(run: Run, accounts: list[str]) -> tuple[int, int, list[str]]:
    """End the accounts' IMAP, POP3 and ManageSieve sessions; return how many were, how many remain, and whose are not known."""
    closed, remaining, unknown = 0, 0, []
    for account in accounts if dovecot_runs(run) else ():
        open_before = left = _sessions(run, account)
        for _ in range(10):
            if left is not None and not left:
                break
            for name in {account, *(left or ())}:
                run(["doveadm", "kick", "--", name])
            time.sleep(0.2)
            left = _sessions(run, account)
        if open_before is None or left is None:
            unknown.append(account)
            continue
        closed += len(open_before) - len(left)
        remaining += len(left)
    return closed, remaining, unknown


def cut(run: Run) -> None:
    """Close what is older than the plumbing as soon as the maps stand: on first contact the flood goes on in these sessions alone. What
    is left is tried again at the end, and told there."""
    with contextlib.suppress(HostError, OSError):
        closed, _ = close_old_sockets(run)
        state = load_state(plumbing.STATE_FILE)
        if closed:
            save_state(plumbing.STATE_FILE, {**state, "cut": closed + state.get("cut", 0)})


def close_old_sockets(run: Run) -> tuple[int, int]:
    """Close the sockets of every smtpd that was started before the plumbing was in force; return how many were and how many remain."""
    state = load_state(plumbing.STATE_FILE)
    if state.get("drained"):  # every session since then began with the plumbing in force
        if "cut" in state:
            save_state(plumbing.STATE_FILE, {key: value for key, value in state.items() if key != "cut"})
        return state.get("cut", 0), 0
    reloaded = state.get("reloaded")
    if reloaded is None:
        raise HostError("the lock's plumbing is not in place on this host: run the role account_lock with task install first")
    if _postfix_started(run) > reloaded:  # every smtpd is one of the new master
        save_state(plumbing.STATE_FILE, {**state, "drained": True})
        return state.get("cut", 0), 0
    ports = _smtpd_ports(run)
    first: set[sessions.Socket] | None = None
    closed: set[sessions.Socket] = set()
    deadline = time.time() + PATIENCE
    while True:
        found = _established(run, ports)
        first = set(found) if first is None else first
        old = sessions.older_than(found, reloaded, first, sessions.process_started)
        if not old:
            save_state(plumbing.STATE_FILE, {**state, "drained": True})
        if not old or time.time() > deadline:
            return len(closed - set(old)), len(old)
        for one in old:
            _close(run, one)
            closed.add(one)
        time.sleep(0.2)


def _postfix_started(run: Run) -> float:
    """Return the epoch at which Postfix's master was started; 0 where that is not known."""
    queue = must(run, ["postconf", "-h", "queue_directory"], "Postfix's queue directory is not known").strip()
    try:
        return sessions.process_started(int(Path(queue, "pid/master.pid").read_text(encoding="ascii"))) or 0
    except (OSError, ValueError):
        return 0


def _close_sockets_of(run: Run, addresses: list[str]) -> list[list[str]]:
    """Close the mail connections of these clients once and return them. They are refused by now in any case: this gives their processes to
    others."""
    found = sockets_of(run, addresses)
    for one in found:
        _close(run, one)
    return [[one.local, one.peer] for one in found]


def left_of(run: Run, known: list[list[str]]) -> list[list[str]]:
    """Return which of these connections (both ends each, as ss(8) writes them) are still there. A client that comes back has new ones."""
    if not known:
        return []
    there = {(one.local, one.peer) for one in _established(run, _smtpd_ports(run) | MAILBOX_PORTS)}
    return [[local, peer] for local, peer in known if (local, peer) in there]


def sockets_of(run: Run, addresses: list[str]) -> list[sessions.Socket]:
    """Return the established mail connections of these clients; a host's own address is no client (webmail is behind it)."""
    clients = {one for one in map(_address, addresses) if one is not None and not one.is_loopback}
    if not clients:
        return []
    found = _established(run, _smtpd_ports(run) | MAILBOX_PORTS)
    return [one for one in found if _address(one.client()) in clients and _address(one.server()) != _address(one.client())]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _smtpd_ports(run: Run) -> set[int]:
    return sessions.smtpd_ports(must(run, ["postconf", "-M"], "Postfix's services cannot be listed"))


def _established(run: Run, ports: t.Collection[int]) -> list[sessions.Socket]:
    out = must(run, ["ss", "-Htnp", "state", "established"], "sessions cannot be listed: install iproute2")
    return sessions.sockets(out, ports)


def _close(run: Run, one: sessions.Socket) -> None:
    run(["ss", "-K", "-t", "state", "established", *one.ss_filter()])

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock accounts on a host, end what they have open, and unlock them again. Standard library only, Python >= 3.9."""

from __future__ import annotations

import re
import time
import typing as t
from pathlib import Path

from ..host.files import (
    File,
    HostError,
    Run,
    changes,
    diff,
    journal,
    load_state,
    must,
    read_text,
    save_state,
    write_file,
)
from . import dovecot_conf, plumbing, postfix_conf, sessions

LOCKS = "locks.json"
REINSTATED = "reinstated.json"
_ACCOUNT = re.compile(r"[^\s:#*?\\\x00-\x1f\x7f][^\s:*?\\\x00-\x1f\x7f]{0,319}\Z")  # doveadm reads * and ? as a mask
_INCIDENT = re.compile(r"[\w.:+-]{1,80}\Z")
#: How long closing sockets is tried, in seconds: an idle smtpd may take one more connection before it ends.
PATIENCE = 8


def check_names(accounts: list[str], never: list[str], incident: str) -> list[str]:
    """Return the accounts as the maps hold them (lower case); HostError names one that cannot be locked."""
    protected = {account.strip().lower() for account in never}
    names = []
    for account in accounts:
        name = account.strip().lower()
        if not _ACCOUNT.match(name):
            raise HostError(
                f"{account!r} is no account name: expected a login without spaces, colons or control characters, such as user@example.com"
            )
        if name in protected:
            raise HostError(f"{name} is in account_lock_never: it is not locked by this run")
        names.append(name)
    if not _INCIDENT.match(incident):
        raise HostError(f"{incident!r} is no name of an incident: use letters, digits and . : + - only")
    return sorted(set(names))


def stop(run: Run, accounts: list[str], locked: bool, incident: str, check_mode: bool) -> dict[str, t.Any]:
    """Put the accounts into both maps, or take them out; an open session meets it at its next recipient."""
    entries = postfix_conf.read_map(read_text(plumbing.MAP_SOURCE) or "")
    denied = set(dovecot_conf.read_denied(read_text(dovecot_conf.DENY_FILE) or ""))
    for account in accounts:
        if locked:
            if not entries.get(account, "").startswith("REJECT"):  # it may have been held as a suspect's
                entries[account] = f"REJECT 5.7.1 account locked, incident {incident}"
            denied.add(account)
        else:
            entries.pop(account, None)
            denied.discard(account)
    files = [File(plumbing.MAP_SOURCE, postfix_conf.write_map(entries))]
    if plumbing.dovecot_version(run) is not None:
        files.append(File(dovecot_conf.DENY_FILE, dovecot_conf.write_denied(list(denied)), 0o640, "dovecot"))
    changed = changes(files)
    if not locked and read_text(plumbing.MAP_SOURCE) is None:
        changed = []
    if changed and not check_mode:
        for file, _ in changed:
            write_file(file)
        if locked or Path(plumbing.MAP_SOURCE).exists():
            plumbing.make_map(run)
        journal(
            step="stop" if locked else "unlock",
            accounts=accounts,
            incident=incident,
            files=[file.path for file, _ in changed],
        )
    return {"changed": bool(changed), "diff": diff(changed)}


def finish(run: Run, accounts: list[str], incident: str, check_mode: bool) -> dict[str, t.Any]:
    """End IMAP and SMTP sessions, prove the lock, and write down since when it holds."""
    locks = load_state(LOCKS)
    if check_mode:
        return {
            "changed": any(account not in locks for account in accounts),
            "contained": None,
            "locked_at": _times(locks, accounts),
            **_none(),
        }
    imap = _kick(run, accounts)
    closed, remaining = _close_old_sockets(run)
    faults = _faults(run, accounts)
    if remaining:
        faults.append(
            f"{remaining} SMTP sessions from before the lock are still open: set account_lock_restart_postfix to true, or restart Postfix"
        )
    if imap["remaining"]:
        faults.append(f"{imap['remaining']} IMAP or POP3 sessions are still open")
    new = [account for account in accounts if account not in locks]
    if new and not faults:
        now = time.time()
        save_state(LOCKS, {**locks, **{account: {"incident": incident, "locked_at": now} for account in new}})
        locks = load_state(LOCKS)
    if closed or imap["closed"] or (new and not faults):
        journal(step="finish", accounts=accounts, incident=incident, closed=closed + imap["closed"], faults=faults)
    return {
        "changed": bool(closed or imap["closed"] or (new and not faults)),
        "contained": not faults,
        "faults": faults,
        "locked_at": _times(locks, accounts),
        "sessions_closed": closed + imap["closed"],
        "sessions_remaining": remaining + imap["remaining"],
        "unknown_accounts": [account for account in accounts if known(run, account) is False],
    }


def unlock(run: Run, accounts: list[str], incident: str, check_mode: bool) -> dict[str, t.Any]:
    """Take the accounts out of both maps and forget the lock; HostError names one that this host does not know at all."""
    entries = postfix_conf.read_map(read_text(plumbing.MAP_SOURCE) or "")
    for account in accounts:
        if account not in entries and known(run, account) is False:
            held = ", ".join(sorted(entries)) or "none"
            raise HostError(
                f"no account {account} is locked on this host, nor does Dovecot know it (locked are: {held}): check the spelling"
            )
    locks = load_state(LOCKS)
    result = stop(run, accounts, False, incident, check_mode)
    left = {account: entry for account, entry in locks.items() if account not in accounts}
    if left != locks:
        result["changed"] = True
        if not check_mode:
            save_state(LOCKS, left)
            # What the account did until now is dealt with: the next run does not lock it again for that.
            save_state(REINSTATED, {**load_state(REINSTATED), **dict.fromkeys(accounts, time.time())})
    if result["changed"] and not check_mode:
        _flush(run, accounts)
    return {**result, "contained": None, "locked_at": {}, **_none()}


def known(run: Run, account: str) -> bool | None:
    """Return whether Dovecot knows an account (doveadm-user(1): exit code 67 where not), or None where that cannot be told."""
    if plumbing.dovecot_version(run) is None:
        return None
    code = run(["doveadm", "user", account])[0]
    return True if code == 0 else False if code == 67 else None


def _none() -> dict[str, t.Any]:
    return {"faults": [], "sessions_closed": 0, "sessions_remaining": 0, "unknown_accounts": []}


def _times(locks: dict[str, t.Any], accounts: list[str]) -> dict[str, float]:
    return {account: locks[account]["locked_at"] for account in accounts if account in locks}


def _flush(run: Run, accounts: list[str]) -> None:
    if plumbing.dovecot_version(run) is not None:
        for account in accounts:
            run(["doveadm", "auth", "cache", "flush", account])


def _connections(run: Run, account: str) -> int:
    code, out, _ = run(["doveadm", "-f", "tab", "who", "-1", account])
    return max(0, len(out.splitlines()) - 1) if code == 0 else 0


def _kick(run: Run, accounts: list[str]) -> dict[str, int]:
    """End the accounts' IMAP, POP3 and ManageSieve sessions."""
    if plumbing.dovecot_version(run) is None or run(["doveadm", "service", "status"])[0]:
        return {"closed": 0, "remaining": 0}
    _flush(run, accounts)
    closed = remaining = 0
    for account in accounts:
        open_before = _connections(run, account)
        left = open_before
        for _ in range(10):
            if not left:
                break
            run(["doveadm", "kick", account])
            time.sleep(0.2)
            left = _connections(run, account)
        closed += open_before - left
        remaining += left
    return {"closed": closed, "remaining": remaining}


def _close_old_sockets(run: Run) -> tuple[int, int]:
    """Close the sockets of every smtpd that was started before the plumbing was in force; return (closed, remaining)."""
    state = load_state(plumbing.STATE_FILE)
    if state.get("drained"):
        return 0, 0  # every session since then began with the plumbing in force
    reloaded = state.get("reloaded")
    if reloaded is None:
        raise HostError("the lock's plumbing is not in place on this host: run the role account_lock with task install first")
    ports = sessions.smtpd_ports(must(run, ["postconf", "-M"], "Postfix's services cannot be listed"))
    first: set[sessions.Socket] | None = None
    closed: set[sessions.Socket] = set()
    deadline = time.time() + PATIENCE
    while True:
        out = must(run, ["ss", "-Htnp", "state", "established"], "sessions cannot be listed: install iproute2")
        found = sessions.smtpd_sockets(out, ports)
        first = set(found) if first is None else first
        old = sessions.older_than(found, reloaded, first, sessions.process_started)
        if not old:
            save_state(plumbing.STATE_FILE, {**state, "drained": True})
        if not old or time.time() > deadline:
            return len(closed - set(old)), len(old)
        for one in old:
            run(["ss", "-K", "-t", "state", "established", *one.ss_filter()])
            closed.add(one)
        time.sleep(0.2)


def _faults(run: Run, accounts: list[str]) -> list[str]:
    """Return what speaks against the lock being in force."""
    faults = [f"the lock's map is not first in {name}" for name in plumbing.unguarded(run)]
    for account in accounts:
        out = run(["postmap", "-q", account, postfix_conf.MAP])[1]
        if not out.startswith("REJECT"):
            faults.append(f"postmap -q {account} {postfix_conf.MAP} does not answer REJECT")
    if plumbing.dovecot_version(run) is not None:
        denied = dovecot_conf.read_denied(read_text(dovecot_conf.DENY_FILE) or "")
        faults += [f"{account} is not in {dovecot_conf.DENY_FILE}" for account in accounts if account not in denied]
        if not dovecot_conf.deny_is_first(must(run, ["doveconf", "-n"], "Dovecot's configuration cannot be read")):
            faults.append("the deny passdb is not the first of Dovecot's chain")
    return faults

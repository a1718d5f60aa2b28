# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock accounts on a host, end what they have open, and unlock them again. Standard library only, Python >= 3.9."""

from __future__ import annotations

import re
import time
import typing as t

from ..host import journal
from ..host.files import STATE, HostError, Run, diff, load_state, save_state
from . import dovecot_conf, ending, places, proof, transaction
from .plumbing import LOCKS

REINSTATED = "reinstated.json"
_ACCOUNT = re.compile(r"[^\s:#*?\\\x00-\x1f\x7f][^\s:*?\\\x00-\x1f\x7f]{0,319}\Z")  # doveadm reads * and ? as a mask
_USER = re.compile(r"uid:(?:\d{1,10}|[A-Za-z0-9_][\w.-]{0,31}\$?)\Z", re.ASCII)
#: What a host needs; locked by nobody.
_NEEDED = ("root", dovecot_conf.CANARY)
_INCIDENT = re.compile(r"[\w.:+-]{1,80}\Z")


def login_can_stand(login: str) -> bool:
    """Return whether a login can be locked by its name. One that cannot must not keep others from being locked."""
    return bool(_ACCOUNT.match(login)) and login not in _NEEDED


def check_names(accounts: list[str], never: list[str], incident: str) -> list[str]:
    """Return the accounts as the maps hold them (lower case); HostError names one that cannot be locked.

    An account is a login as it is logged, or uid:NUMBER or uid:NAME for a local user that sends by sendmail(1)."""
    protected = {account.strip().lower() for account in never}
    names = []
    for account in accounts:
        name = account.strip().lower()
        if not _ACCOUNT.match(name) and not _USER.match(name):
            raise HostError(
                f"{account!r} is no account name: expected a login without spaces, colons or control characters, such as user@example.com, "
                "or uid: and a local user"
            )
        if name in _NEEDED or places.local_name(name) == "root":
            raise HostError(f"{name} is never locked: this host needs it")
        if name in protected:
            raise HostError(f"{name} is in account_lock_never: it is not locked by this run")
        names.append(name)
    if not _INCIDENT.match(incident):
        raise HostError(f"{incident!r} is no name of an incident: use letters, digits and . : + - only")
    return sorted(set(names))


def stop(run: Run, accounts: list[str], incident: str, check_mode: bool, must_exist: bool = False) -> dict[str, t.Any]:
    """Put the accounts into every place of this host; an open session meets it at its next recipient. HostError says which place failed:
    the others are done all the same."""
    if must_exist:
        places.require_known(run, accounts)
    changes, changed, failed = [], False, []
    for place in places.all_of(run, incident):
        try:
            changes += place.planned(accounts, True)
            outcome = transaction.lock(place, accounts, incident, check_mode)
            stale = place.stale()
            if stale and not check_mode:
                place.publish()
            changed = changed or stale or bool(outcome.changed)
        except (HostError, OSError) as exc:
            failed.append(f"{place.name}: {exc}")
    if not check_mode:
        ending.cut(run)
    if failed:
        raise HostError("; ".join(failed))
    return {"changed": changed, "diff": diff(changes)}


def finish(run: Run, accounts: list[str], incident: str, check_mode: bool, addresses: list[str] | None = None) -> dict[str, t.Any]:
    """End what the accounts have open, prove the lock, and write down since when it holds. addresses: of the attacker's clients."""
    locks = load_state(LOCKS)
    new = [account for account in accounts if account not in locks]
    if check_mode:
        return {"changed": bool(new), "contained": None, "locked_at": _times(locks, accounts), **_none()}
    ended = ending.end(run, accounts, addresses or [], bool(new))
    faults = ended.faults + proof.faults(run, accounts)
    done = bool(new) and not faults
    if done:
        entry = {"incident": incident, "locked_at": time.time(), "open": ended.left}
        locks = {**locks, **dict.fromkeys(new, entry)}
        save_state(LOCKS, locks)
    if ended.closed or done:
        journal.write(step="finish", accounts=accounts, incident=incident, closed=ended.closed, faults=faults)
    return {
        "changed": bool(ended.closed or done),
        "contained": not faults,
        "faults": faults,
        "locked_at": _times(locks, accounts),
        "sessions_closed": ended.closed,
        "sessions_remaining": ended.remaining,
        "unknown_accounts": [account for account in accounts if places.known(run, account) is False],
    }


def unlock(run: Run, accounts: list[str], incident: str, check_mode: bool, force: bool = False, reason: str = "") -> dict[str, t.Any]:
    """Set back what the lock set in every place, the last one first, and forget the lock; HostError names an account that this host does
    not know at all, and a journal that cannot be trusted. force: also where something was changed by hand since; reason: for the journal.
    """
    locks = load_state(LOCKS)
    here = places.all_of(run, incident)
    book = journal.read()
    if book.damaged and not force:
        raise HostError(
            f"line {book.damaged[0]} of the journal {STATE}/{journal.FILE} was changed: what the locks found here is not certain. "
            "Compare it with the copy in the controller's store, then set account_lock_force to true"
        )
    for account in accounts:
        stands = account in locks or any(place.read([account])[account] for place in here) or any(key[0] == account for key in book.opened)
        if not stands and places.known(run, account) is False:
            held = ", ".join(sorted(locks)) or "none"
            raise HostError(f"no account {account} is locked on this host, nor does it know one (locked are: {held}): check the spelling")
    changes: list[t.Any] = []
    changed = False
    refused: list[str] = []
    still: set[str] = set()
    for place in reversed(here):
        changes += place.planned(accounts, False)
        outcome = transaction.unlock(place, accounts, incident, check_mode, force)
        if place.stale() and not check_mode:
            place.publish()
        changed = changed or bool(outcome.changed)
        refused += [f"{account}: {why}" for account, why in outcome.refused.items()]
        still |= outcome.refused.keys()
    freed = [account for account in accounts if account not in still]
    left = {account: entry for account, entry in locks.items() if account not in freed}
    if left != locks and not check_mode:
        save_state(LOCKS, left)
        # What the account did until now is dealt with: the next run does not lock it again for that.
        save_state(REINSTATED, {**load_state(REINSTATED), **dict.fromkeys(freed, time.time())})
        journal.write(step="reinstate", accounts=freed, incident=incident, reason=reason[:1000])
    changed = changed or left != locks
    if changed and not check_mode:
        refused += ending.forget_logins(run, accounts)
    return {"changed": changed, "diff": diff(changes), "contained": None, "locked_at": {}, **_none(), "faults": refused}


def _none() -> dict[str, t.Any]:
    return {"faults": [], "sessions_closed": 0, "sessions_remaining": 0, "unknown_accounts": []}


def _times(locks: dict[str, t.Any], accounts: list[str]) -> dict[str, float]:
    return {account: locks[account]["locked_at"] for account in accounts if account in locks}

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set fields of accounts somewhere, and set exactly those back: what a lock is made of. Standard library only, Python >= 3.9.

Before a field is changed, the journal says on the disk what it was; so an end at any point (power, kill -9) leaves nothing that the next
run cannot finish or undo. Setting back compares the fields that the lock set and no others, and leaves alone what somebody changed since.
"""

from __future__ import annotations

import typing as t

from ..host import files, journal
from ..host.files import HostError
from ..host.journal import Fields


class Step(t.Protocol):
    """One place where accounts can be locked: a map, a file, a table, a directory.

    name: as in the journal, such as map, deny or backend:NAME.
    own: the place is this project's alone: what stands there was put there by a lock, with or without a line in the journal.
    """

    name: str
    own: bool

    def read(self, accounts: list[str]) -> dict[str, Fields | None]:
        """Return per account the fields that a lock sets, as they are now; None where the place does not know the account."""

    def lock(self, accounts: list[str]) -> None:
        """Lock them; a second time changes nothing. HostError where that failed."""

    def restore(self, before: dict[str, Fields]) -> None:
        """Set the fields back. HostError where that failed."""


class Outcome(t.NamedTuple):
    """changed: accounts of which a field was changed; missing: not known there; refused: account to why it was left as it is."""

    changed: list[str]
    missing: list[str]
    refused: dict[str, str]


def lock(step: Step, accounts: list[str], incident: str, check_mode: bool = False) -> Outcome:
    """Lock the accounts there; what is in force already is left alone. HostError of the step where it failed: a later run goes on."""
    opened = journal.read().opened
    now = step.read(accounts)
    known = {account: fields for account, fields in now.items() if fields is not None}
    missing = sorted(set(accounts) - set(known))
    todo = []
    for account, fields in known.items():
        was = opened.get((account, step.name))
        if was is None or was.after is None or was.after != fields:
            todo.append(account)
    if check_mode or not todo:
        return Outcome(todo, missing, {})
    for account in todo:
        was = opened.get((account, step.name))
        if was is None:
            _note(step, account, incident, result="begun", before={} if step.own else known[account])
        elif was.after is not None and not step.own:
            before = {name: was.before.get(name) if was.after.get(name) == value else value for name, value in known[account].items()}
            _note(step, account, incident, result="amended", before=before)
    try:
        step.lock(todo)
    except Exception:
        for account in todo:
            _note(step, account, incident, result="failed")
        _close_what_was_not_done(step, todo, incident)
        raise
    after = step.read(todo)
    for account in todo:
        _note(step, account, incident, result="done", after=after.get(account) or {})
    return Outcome([account for account in todo if after.get(account) != known[account]], missing, {})


def _close_what_was_not_done(step: Step, accounts: list[str], incident: str) -> None:
    """After a failed lock: what is still as it was before is no lock. Left open, it would undo what its administrator does later."""
    try:
        now = step.read(accounts)
    except Exception:  # the step is not reachable: the next run sees
        return
    opened = journal.read().opened
    for account in accounts:
        if (account, step.name) in opened and opened[account, step.name].before == now.get(account):
            _note(step, account, incident, result="undone")


def unlock(step: Step, accounts: list[str], incident: str, check_mode: bool = False, force: bool = False) -> Outcome:
    """Set back what the lock set there. force: also where it was changed by hand since."""
    opened = journal.read().opened
    now = step.read(accounts)
    back: dict[str, Fields] = {}
    settled: list[str] = []
    refused: dict[str, str] = {}
    for account in accounts:
        fields, was = now.get(account), opened.get((account, step.name))
        if was is None and step.own and fields:
            back[account] = {}
        if was is None:
            continue
        if fields is None or fields == was.before:
            settled.append(account)
        elif was.after is not None and fields != was.after and not force:
            refused[account] = (
                f"{_told(fields, was.after)} in {step.name} were changed by hand since the lock, which set {_told(was.after, fields)}"
            )
        else:
            back[account] = was.before
    if not check_mode:
        if back:
            step.restore(back)
        for account in [*back, *settled]:
            if (account, step.name) in opened:
                _note(step, account, incident, result="undone")
    return Outcome(sorted(back), sorted(account for account in accounts if now.get(account) is None), refused)


def _note(step: Step, account: str, incident: str, result: str, **fields: Fields) -> None:
    """Write a line of the journal. What is this project's own is changed even where the disk is full: it can be undone without."""
    try:
        journal.write(step=step.name, account=account, incident=incident, result=result, **fields)
    except OSError as exc:
        if step.own or result == "failed":  # what failed is told anyhow
            return
        state = "was not changed" if result in ("begun", "amended") else "was changed: make room and run again"
        raise HostError(f"the journal {files.STATE}/{journal.FILE} cannot be written ({exc.strerror}), and {step.name} {state}") from exc


def _told(fields: Fields, other: Fields) -> str:
    """Return the fields that differ, short enough for a message."""
    return ", ".join(f"{name}={str(value)[:80]}" for name, value in sorted(fields.items()) if other.get(name) != value)[:300] or "no fields"

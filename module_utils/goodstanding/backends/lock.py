# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock accounts in one backend, and see that their owners' mail is still taken; unlock them again. Standard library only, Python >= 3.9.

The journal has two more kinds of lines of such a step: V(probed) with what was answered about delivery before the lock, and V(proved)
when the same was answered after it. So an end in between is made up for by the next run.
"""

from __future__ import annotations

import typing as t

from ..accounts import transaction
from ..host import journal
from ..host.files import HostError, Run
from ..host.journal import Fields
from .delivery import Answer, Probe, bounced
from .ldap import LdapStep
from .names import in_forms
from .sql import SqlStep
from .system import SystemStep

AnyStep = t.Union[SqlStep, LdapStep, SystemStep]


def step_of(settings: dict[str, t.Any], accounts: list[str], run: Run) -> AnyStep:
    """Return the step of a backend for these accounts; HostError says what in its settings is missing or wrong."""
    name = settings["name"]
    opened = [account for account, step in journal.read().opened if step == f"backend:{name}"]
    names = in_forms(accounts, settings.get("account_form") or "full", opened)
    if settings["type"] == "system":
        return SystemStep(settings, names, run)
    return LdapStep(settings, names) if settings["type"] == "ldap" else SqlStep(settings, names)


def lock(step: AnyStep, accounts: list[str], incident: str, probe: Probe, check_mode: bool) -> dict[str, t.Any]:
    """Lock them, or set back what was locked where that would bounce their owners' mail (HostError)."""
    refused = step.refused(accounts) if isinstance(step, SystemStep) else {}
    accounts = [account for account in accounts if account not in refused]
    before = step.read(accounts)
    known = [account for account, fields in before.items() if fields is not None]
    probed, proved = _delivery(step.name)
    todo = [account for account in known if account not in proved]
    if check_mode:
        outcome = transaction.lock(step, accounts, incident, check_mode=True)
        after = {account: step.expected(before[account] or {}) if account in outcome.changed else before[account] for account in accounts}
        return _result(outcome, before, after, refused, {})
    for account, answer in probe.look([account for account in todo if account not in probed]).items():
        probed[account] = answer
        journal.write(step=step.name, account=account, incident=incident, delivery=answer, result="probed")
    outcome = transaction.lock(step, accounts, incident)
    if todo:
        probe.forget(todo)
    answers = probe.look(todo)
    lost = bounced(probed, answers)
    if lost:
        back = transaction.unlock(step, todo, incident)
        raise HostError(_would_bounce(step, lost, back.refused))
    for account in todo:
        journal.write(step=step.name, account=account, incident=incident, delivery=answers[account], result="proved")
    return _result(outcome, before, step.read(accounts), refused, answers)


def unlock(step: AnyStep, accounts: list[str], incident: str, check_mode: bool, force: bool) -> dict[str, t.Any]:
    """Set back what the lock set; what was changed by hand since is refused and named, unless force."""
    before = step.read(accounts)
    opened = journal.read().opened
    outcome = transaction.unlock(step, accounts, incident, check_mode, force)
    after = dict(before)
    for account in outcome.changed:
        after[account] = opened[account, step.name].before
    return _result(outcome, before, after if check_mode else step.read(accounts), {}, {})


def _delivery(step: str) -> tuple[dict[str, Answer], set[str]]:
    """Return, of the locks that are in force, what was answered about delivery before, and for which accounts the lock was proved since."""
    probed: dict[str, Answer] = {}
    proved: set[str] = set()
    for row in journal.lines_after(None, most=1 << 30):
        account, result = str(row.get("account")), row.get("result")
        if row.get("step") != step:
            continue
        if result == "probed" and isinstance(row.get("delivery"), dict):
            probed.setdefault(account, row["delivery"])
        elif result == "proved":
            proved.add(account)
        elif result == "undone":
            probed.pop(account, None)
            proved.discard(account)
    return probed, proved


def _would_bounce(step: AnyStep, lost: dict[str, list[str]], kept: dict[str, str]) -> str:
    where = {"rcpt": "RCPT TO", "userdb": "Dovecot's userdb (doveadm user)"}
    names = "; ".join(f"{account} by {' and '.join(where.get(place, place) for place in places)}" for account, places in lost.items())
    left = f" These were changed by somebody meanwhile and are still locked: {', '.join(kept)}." if kept else " It was set back."
    return (
        f"{step.name}: mail to its owner was accepted before the lock and is refused after it: {names}.{left} What did it: {step.way()}."
        " Use a field that logins ask for and delivery does not, such as smtp_active of PostfixAdmin (docs/backends.md)"
    )


def _result(
    outcome: transaction.Outcome,
    before: dict[str, Fields | None],
    after: dict[str, Fields | None],
    refused: dict[str, str],
    answers: dict[str, Answer],
) -> dict[str, t.Any]:
    shown = [account for account in before if before[account] != after.get(account)]
    return {
        "changed": bool(outcome.changed),
        "accounts": sorted(outcome.changed),
        "missing": outcome.missing,
        "refused": {**outcome.refused, **refused},
        "delivery": answers,
        "diff": {"before": _text(before, shown), "after": _text(after, shown)},
    }


def _text(rows: dict[str, Fields | None], accounts: list[str]) -> str:
    return "".join(f"{account}: {name} = {value}\n" for account in accounts for name, value in sorted((rows.get(account) or {}).items()))

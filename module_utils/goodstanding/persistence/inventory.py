# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the inventory of what an intruder may have left on a host, and say what of it a person has yet to look at.

Standard library only, Python >= 3.9. Nothing is changed but the inventory (hashes alone), and that not in check mode.
"""

from __future__ import annotations

import time
import typing as t

from ..accounts.places import UID, local_name
from ..accounts.plumbing import LOCKS
from ..host.files import HostError, Run, alone, load_state, save_state
from . import dovecot, maps, system, webmail
from .findings import DISABLED, INVENTORY, MAX_FINDINGS, Found, Unknown, is_unreviewed, judge, legible, remember


class Options(t.NamedTuple):
    """What the administrator says: own domains, since when the intruder was in (epoch), what was accepted, and where else to look."""

    domains: list[str] = []
    since: float | None = None
    accept: list[dict[str, str]] = []
    everybody: bool = False
    roundcube: dict[str, t.Any] | None = None
    app_passwords: list[dict[str, t.Any]] = []


def take(run: Run, accounts: list[str], options: Options, check_mode: bool) -> dict[str, t.Any]:
    """Return findings, unreviewed, unknown and how many accounts were looked at; see library/mail_persistence_info.py for the shapes."""
    for row in options.accept:
        if not row["reason"].strip():
            raise HostError(f"accept: {row['place']} of {row['account']} needs a reason: say who looked at it and why it may stay")
    unknown: list[Unknown] = []
    every = list(accounts)
    if options.everybody:
        more = _everybody(run)
        if isinstance(more, Unknown):
            unknown.append(more)
        else:
            every = list(dict.fromkeys([*accounts, *more]))
    found, faults = look(run, every, options)
    unknown += faults
    known, disabled, locked = {}, {}, {}
    try:
        with alone(check_mode):  # not before: a lock does not wait for the looking
            known, disabled = load_state(INVENTORY), load_state(DISABLED)
            locked = {account: float(lock["locked_at"]) for account, lock in load_state(LOCKS).items()}
            # A look without a time would make what it finds the measure of the next look.
            kept = [one for one in found if options.everybody or options.since is not None or one.account in locked]
            new = remember(known, kept, time.time())
            if new != known and not check_mode:
                save_state(INVENTORY, new)
    except (HostError, OSError) as exc:
        unknown.append(Unknown("", "inventory", str(exc)))
    domains = {domain.strip().lower() for domain in options.domains} | {name.rpartition("@")[2] for name in every if "@" in name}
    shown = judge([one for one in found if one.account in accounts], known, options.accept, disabled, domains, options.since, locked)
    return {
        "findings": shown,
        "unreviewed": {account: sum(1 for one in shown if one["account"] == account and is_unreviewed(one)) for account in accounts},
        "unknown": [one._asdict() for one in unknown],
        "inventoried": len(every),
    }


def look(run: Run, accounts: list[str], options: Options) -> tuple[list[Found], list[Unknown]]:
    """Return everything that is found for these accounts, at most MAX_FINDINGS of each, and what could not be read."""
    logins = {account: (local_name(account) if account.startswith(UID) else None) or account for account in accounts}
    found, unknown = _look(run, list(dict.fromkeys(logins.values())), options)
    by_login: dict[str, list[Found]] = {}
    for one in found:
        by_login.setdefault(one.account, []).append(one._replace(place=legible(one.place)))
    shown = []
    for account, login in logins.items():
        some = by_login.get(login, [])
        if len(some) > MAX_FINDINGS:
            unknown.append(
                Unknown(login, "findings", f"{len(some)} findings: only {MAX_FINDINGS} are shown, look at the others on the host")
            )
            some.sort(key=lambda one: one.active is not True)
        shown += [one._replace(account=account) for one in some[:MAX_FINDINGS]]
    names = {login: account for account, login in logins.items()}
    return shown, [Unknown(names.get(one.account, one.account), legible(one.what), legible(one.why)) for one in unknown]


def _look(run: Run, accounts: list[str], options: Options) -> tuple[list[Found], list[Unknown]]:
    """Return everything that is found for these logins."""
    values, unknown = maps.parameters(run)
    found, faults = maps.found_in(run, values, accounts)
    unknown += faults
    settings = settings_of(run)
    if isinstance(settings, Unknown):
        unknown.append(settings)
    for account in accounts:
        for some, faults in _of(run, account, maps.local_domains(values), settings):
            found += some
            unknown += faults
    if options.roundcube:
        some, faults = webmail.identities(options.roundcube["database"], options.roundcube.get("prefix") or "", accounts)
        found, unknown = found + some, unknown + faults
    for source in options.app_passwords:
        some, faults = webmail.app_passwords(run, source, accounts)
        found, unknown = found + some, unknown + faults
    return found, unknown


def _of(
    run: Run, account: str, local: list[str], settings: list[dovecot.Setting] | Unknown | None
) -> t.Iterator[tuple[list[Found], list[Unknown]]]:
    """Yield what is found in the homes of one account."""
    homes = []
    person = system.entry(account, local)
    if person:
        homes.append(person.pw_dir)
        yield system.found_in(account, person)
    if settings is None and not person:
        yield [], [Unknown(account, "home", "neither Dovecot nor the system's users say where it is")]
    elif settings is not None and not isinstance(settings, Unknown):
        who = dovecot.user(run, account)
        if isinstance(who, Unknown):
            yield [], [who]
        elif who and not who.home:
            yield [], [Unknown(account, "home", "Dovecot's userdb gives it none: Sieve and .forward were not read")]
        elif who:
            homes.append(who.home)
            yield dovecot.scripts(run, settings, who)
            yield dovecot.shares(settings, who)
    for home in dict.fromkeys(homes):
        yield dovecot.forwards(account, home)


def settings_of(run: Run) -> list[dovecot.Setting] | Unknown | None:
    """Return Dovecot's settings, None where there is no Dovecot."""
    code, out, err = run(["doveconf", "-n"])
    if code == 127:
        return None
    if code:
        return Unknown("", "Dovecot", f"doveconf -n ended with {code}: {err.strip()[-200:]}: Sieve and ACL were not read")
    return dovecot.settings(out)


def _everybody(run: Run) -> list[str] | Unknown:
    """Return every account that Dovecot can list."""
    code, out, err = run(["doveadm", "user", "*"])
    if code:
        return Unknown("", "accounts", f"doveadm user '*' ended with {code}: {err.strip()[-200:]}: name the accounts instead")
    return [line.strip().lower() for line in out.splitlines() if line.strip()]

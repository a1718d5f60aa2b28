# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an account is named in a backend, and which of its fields are none of a lock's business. Standard library only, Python >= 3.9."""

from __future__ import annotations

import re
import typing as t

from ..host.files import HostError

#: Fields that hold passwords, by the names that mail systems give them; a lock neither reads nor writes one.
_SECRET = re.compile(r"(?:.*passw.*|.*pwd|.*crypt.*|.*hash(?:es)?|.*secret.*|pw|pass|.*token|.*history|.*principalkey)\Z", re.IGNORECASE)


def refuse_secret(names: t.Iterable[str], where: str) -> None:
    """HostError names a column or attribute that looks like a password's."""
    for name in names:
        if _SECRET.match(name):
            raise HostError(
                f"{where} names {name}, which looks like a password: a lock reads and writes no password; use a column that switches"
            )


def in_form(account: str, form: str) -> str:
    """Return the account as the backend names it: V(full), or V(local_part), what is before the last @."""
    return account.rpartition("@")[0] or account if form == "local_part" else account


def in_forms(accounts: list[str], form: str, opened: t.Iterable[str]) -> dict[str, str]:
    """Return each account's name in the backend; HostError where two accounts, or one that is locked already, would be the same there."""
    names = {account: in_form(account, form) for account in accounts}
    seen: dict[str, str] = {}
    for account in [*opened, *accounts]:
        name = in_form(account, form)
        if seen.setdefault(name, account) != account:
            raise HostError(
                f"{seen[name]} and {account} are both {name} in this backend: it cannot tell them apart; use account_form: full"
            )
    return names

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A system user, locked by the day on which the account expires and nothing else. Standard library only, Python >= 3.9.

shadow(5): the eighth field is that day, in days since 1970-01-01. PAM asks for it in its account step: see docs/backends.md on who does.
"""

from __future__ import annotations

import typing as t

from ..host.files import HostError, Run, must, read_text
from ..host.journal import Fields

SHADOW, PASSWD = "/etc/shadow", "/etc/passwd"
#: 1970-01-02: 0 would be a day, too, but some programs read it as none.
EXPIRED = "1"


class SystemStep:
    """Users of this host's own /etc/shadow."""

    own = False

    def __init__(self, settings: dict[str, t.Any], names: dict[str, str], run: Run) -> None:
        self.name = f"backend:{settings['name']}"
        self.names = names
        self.run = run

    def read(self, accounts: list[str]) -> dict[str, Fields | None]:
        """Return the expiry of each."""
        shadow, passwd = _table(SHADOW, 9), _table(PASSWD, 7)
        known = {account: user for account, user in self.names.items() if user in shadow and user in passwd}
        return {account: {"expire": shadow[known[account]][7]} if account in known else None for account in accounts}

    def refused(self, accounts: list[str]) -> dict[str, str]:
        """Return root and every other user with uid 0, each with why it is never locked."""
        passwd = _table(PASSWD, 7)
        zero = {user for user, words in passwd.items() if words[2].strip().lstrip("0") == ""} | {"root"}
        return {account: f"{self.names[account]} has uid 0 on this host" for account in accounts if self.names[account] in zero}

    def lock(self, accounts: list[str]) -> None:
        for account in accounts:
            self._expire(account, EXPIRED)

    def restore(self, before: dict[str, Fields]) -> None:
        for account, fields in before.items():
            self._expire(account, fields["expire"] or "")

    def expected(self, fields: Fields) -> Fields:
        """Return the fields as a lock would leave them."""
        return {"expire": EXPIRED}

    def way(self) -> str:
        """Return how this backend locks, for a message."""
        return f"the day of expiry in {SHADOW}"

    def _expire(self, account: str, day: str) -> None:
        if day and not (day.isascii() and day.isdigit()):
            raise HostError(
                f"{self.name}: the expiry of {account} in {SHADOW} is {day[:40]!r}, which is no day: set it by hand with chage -E"
            )
        must(self.run, ["chage", "-E", day or "-1", "--", self.names[account]], f"the expiry of {account} could not be set")
        now = self.read([account])[account]
        if now != {"expire": day}:
            raise HostError(f"{self.name}: chage left the expiry of {account} at {now} where {day!r} was expected")


def _table(path: str, fields: int) -> dict[str, list[str]]:
    """Return the well-formed lines of a file such as /etc/shadow, by name; the first of a name counts, as for getspnam(3)."""
    found: dict[str, list[str]] = {}
    for line in (read_text(path) or "").split("\n"):
        words = line.split(":")
        if len(words) == fields:
            found.setdefault(words[0], words)
    return found

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one account did in a stretch of log, by the hour, before it goes into the book. Standard library only, Python >= 3.9."""

from __future__ import annotations

MAX_EVIDENCE_A_KIND = 3
#: Logins that accounts/proof.py and accounts/trial.py make for seconds: they are nobody's.
OWN_LOGINS = frozenset(("goodstanding-canary", "goodstanding-control"))

#: What is counted per account and hour; messages and recipients are accepted ones, proven by qmgr's nrcpt= or cleanup's hold:.
NUMBERS = (
    "messages", "recipients", "bytes", "sent", "deferred", "bounced", "unknown_recipients", "reputation_refusals", "refused_attempts",
    "held", "failed_logins", "logins", "signed", "judged_spam",
)  # fmt: skip
(
    MESSAGES, RECIPIENTS, BYTES, SENT, DEFERRED, BOUNCED, UNKNOWN_RECIPIENTS, REPUTATION_REFUSALS, REFUSED_ATTEMPTS, HELD, FAILED_LOGINS,
    LOGINS, SIGNED, JUDGED_SPAM,
) = range(len(NUMBERS))  # fmt: skip
FIRST, LAST = len(NUMBERS), len(NUMBERS) + 1
_EMPTY = [0] * len(NUMBERS)

#: Sets of values that are kept per account, and how many of each at most: addresses that sent, envelope senders, addresses of failed and
#: of right logins. Anyone can fail to log in, so of those fewer are kept.
KINDS = {"clients": 500, "senders": 300, "failed_clients": 100, "login_clients": 500}
#: What no login sent has an account KIND:NAME of one of these kinds; somebody who types such a login is no such account.
WITHOUT_LOGIN = ("uid", "relay", "forward", "backscatter")
#: The days on which a value was seen are bits of one number, which SQLite can hold: day of the epoch modulo this.
DAYS = 62


def day_bit(hour: int) -> int:
    """Return the bit of the day that an hour of the epoch is of."""
    result: int = 1 << hour // 24 % DAYS
    return result


class Account:
    """hours: per hour of the epoch the numbers, then the times of the first and last act of its own, which a delivery is not; values: per
    (kind, value) the hours of the first and last time it was seen and its days (day_bit); lines: per kind and day (its first hour) some
    lines of evidence; accepted: when its last message was accepted (epoch), 0 where none was."""

    __slots__ = ("accepted", "full", "hours", "kinds", "last_hour", "last_row", "lines", "values")

    def __init__(self) -> None:
        self.hours: dict[int, list[float]] = {}
        self.values: dict[tuple[str, str], list[int]] = {}
        self.kinds: dict[str, int] = {}
        self.full: dict[str, int] = {}
        self.lines: dict[tuple[str, int], list[str]] = {}
        self.accepted = 0.0
        self.last_hour = -1
        self.last_row: list[float] = []

    def hour(self, hour: int) -> list[float]:
        """Return the numbers of an hour of the epoch."""
        if hour != self.last_hour:
            self.last_hour = hour
            row = self.hours.get(hour)
            if row is None:
                row = self.hours[hour] = [*_EMPTY, float("inf"), float("-inf")]
            self.last_row = row
        return self.last_row

    def row(self, time: float) -> list[float]:
        """Return the numbers of the hour of a time at which the account did something itself."""
        row = self.hour(int(time // 3600))
        if time > row[LAST]:
            row[LAST] = time
        if time < row[FIRST]:
            row[FIRST] = time
        return row

    def value(self, kind: str, value: str, time: float) -> None:
        """Note a value; where there are too many, those that were not seen for a day make room."""
        hour = int(time // 3600)
        key = (kind, value)
        known = self.values.get(key)
        if known is None:
            if self.kinds.setdefault(kind, 0) < KINDS[kind] or self._make_room(kind, hour):
                self.kinds[kind] += 1
                self.values[key] = [hour, hour, day_bit(hour)]
        elif hour != known[1]:
            known[0], known[1] = min(hour, known[0]), max(hour, known[1])
            known[2] |= day_bit(hour)

    def _make_room(self, kind: str, hour: int) -> bool:
        """Forget values of a kind that were not seen for a day; tried once an hour, since a botnet's are all of this one."""
        if self.full.get(kind) == hour:
            return False
        self.full[kind] = hour
        old = [key for key, (_, last, _) in self.values.items() if key[0] == kind and last < hour - 24]
        # Those that an account uses day by day go last.
        gone = [key for key in old if not self.values[key][2] & self.values[key][2] - 1] or old
        for key in gone:
            del self.values[key]
        self.kinds[kind] -= len(gone)
        return bool(gone)

    def wants(self, kind: str, time: float) -> bool:
        """Whether a line of evidence of this kind is still wanted for the day."""
        return len(self.lines.get((kind, int(time // 86400) * 24), ())) < MAX_EVIDENCE_A_KIND

    def keep(self, kind: str, time: float, line: str) -> None:
        self.lines.setdefault((kind, int(time // 86400) * 24), []).append(line)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one account did, as numbers. Standard library only, Python >= 3.9."""

from __future__ import annotations

import typing as t

MAX_CLIENTS = 100
MAX_SENDERS = 20
MAX_EVIDENCE = 10
MAX_EVIDENCE_A_KIND = 3


class Bounded:
    """A set that is exact up to a limit, then only says 'at least'."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.values: set[str] = set()
        self.at_least = 0

    def add(self, value: str) -> None:
        if value not in self.values and len(self.values) < self.limit:
            self.values.add(value[:200])
        self.at_least = len(self.values)


class Account:
    """Counters of one login on one host; messages and recipients are accepted ones, proven by qmgr's nrcpt= or cleanup's hold:."""

    NUMBERS = (
        "messages", "recipients", "sent", "deferred", "bounced", "unknown_recipients", "reputation_refusals",
        "refused_attempts", "held", "failed_logins", "accepted_since",
    )  # fmt: skip

    def __init__(self) -> None:
        self.numbers = dict.fromkeys(self.NUMBERS, 0)
        self.clients = Bounded(MAX_CLIENTS)
        self.senders = Bounded(MAX_SENDERS)
        self.failed_clients = Bounded(MAX_CLIENTS)
        self.hours: dict[int, int] = {}
        self.first: float | None = None
        self.last: float | None = None
        self.lines: dict[str, list[str]] = {}

    def count(self, what: str, number: int = 1) -> None:
        self.numbers[what] += number

    def seen(self, time: float) -> None:
        self.first = time if self.first is None else min(self.first, time)
        self.last = time if self.last is None else max(self.last, time)

    def keep(self, kind: str, line: str) -> None:
        lines = self.lines.setdefault(kind, [])
        if len(lines) < MAX_EVIDENCE_A_KIND:
            lines.append(line)

    def as_dict(self) -> dict[str, t.Any]:
        return {
            **self.numbers,
            "failed_clients": sorted(self.failed_clients.values),
            "failed_clients_at_least": self.failed_clients.at_least,
            "clients": sorted(self.clients.values),
            "clients_at_least": self.clients.at_least,
            "senders": sorted(self.senders.values),
            "senders_at_least": self.senders.at_least,
            "first": self.first,
            "last": self.last,
            "peak_hour_recipients": max(self.hours.values(), default=0),
            "evidence": [line for lines in self.lines.values() for line in lines][:MAX_EVIDENCE],
        }

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parser of Postfix's lines and the shortcuts through them have in common. Standard library only, Python >= 3.9."""

from __future__ import annotations

import re
import typing as t

POSTFIX = re.compile(r"[\w.-]+(?:/[\w.-]+)*/(\w+)\Z")
ACTIVE = re.compile(r", size=(\d{1,15}), nrcpt=(\d{1,9}) \(queue \w+\)\Z")
QUEUE_ID = re.compile(r"(?:[0-9A-F]{5,20}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,30})\Z")
CLIENT = re.compile(r"client=[^\[\s]{1,300}\[([0-9A-Fa-f.:]{2,45})\]")


class Message:
    """A message under way. stranger: the client that sent it without a login, or the mark of a bounce; pending: recipients, octets and
    sender of such a one, which count once it leaves; waiting: what became of one that a content filter put in again, before it was known
    whose it is."""

    __slots__ = ("accepted", "account", "pending", "stranger", "time", "waiting")

    def __init__(
        self, account: str | None, time: float, accepted: bool = False, stranger: str | None = None, pending: t.Any = None
    ) -> None:
        self.account, self.time, self.accepted, self.stranger, self.pending = account, time, accepted, stranger, pending
        self.waiting: tuple[tuple[str, str, str, str], ...] = ()

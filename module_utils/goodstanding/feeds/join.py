# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a reported message to the account that sent it. Standard library only, Python >= 3.9.

Either by a header field that our own server adds, or by the Message-ID: cleanup logs 'QUEUEID: message-id=<...>', and the
latest 'QUEUEID: client=' before it names the login. Short queue IDs are used again, so the order of the lines decides.
"""

from __future__ import annotations

import re
import typing as t
from email.message import Message

from ..maillog.lines import Clock, normalise, parse_line

#: Messages under way at once, whose login is kept.
MAX_OPEN = 500_000
_MAX_ID = 500
_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9._+=-]{0,63}(?:@(?:[a-z0-9](?:[a-z0-9-]{0,62})\.)+[a-z0-9-]{1,63})?\Z")
_LINE = re.compile(r"([0-9A-Za-z]{5,30}): (client=|uid=|message-id=|removed\Z)")
_CLIENT = re.compile(r"client=[^\[\s]{1,300}\[([0-9A-Fa-f.:]{2,45})\]")

Sender = dict[str, t.Any]


def message_id(text: str) -> str:
    """Return a Message-ID as both sides are compared: without angle brackets; '' where it is none."""
    found = text.strip().strip("<>").strip()
    return found if 0 < len(found) <= _MAX_ID and found.isprintable() else ""


def from_header(original: Message, names: t.Iterable[str]) -> tuple[str, str] | None:
    """Return account and header name out of our own header fields, None where none has one.

    A sender can write the field too: where it stands twice with different values, or with no plausible login, it says nothing.
    """
    for name in names:
        values = {normalise(str(value)[:1000]).strip("<>") for value in original.get_all(name, [])}
        if len(values) == 1:
            account = values.pop()
            if _ACCOUNT.match(account):
                return account, name
    return None


class SenderLog:
    """Finds who sent the messages with given Message-IDs; feed() it one host's log in the order of time, then take senders."""

    def __init__(self, wanted: t.Iterable[str], now: float, since: float = 0.0, utc_offset: int = 0) -> None:
        """now, since: epochs; utc_offset: the host's, in seconds east of UTC (for times without a zone)."""
        self.wanted = {message_id(text) for text in wanted} - {""}
        self.now, self.since, self.utc_offset = now, since, utc_offset
        self.clock = Clock(now, utc_offset)
        self.open: dict[str, Sender] = {}
        #: Message-ID to account, queue_id, time (epoch) and client address; account None where several logins used the same one.
        self.senders: dict[str, Sender] = {}
        self.first: float | None = None
        self.last: float | None = None

    def feed(self, raw: str) -> None:
        """Take one raw line of the log in."""
        # Most lines are about deliveries: telling them by a word is much cheaper than parsing them.
        if not (": client=" in raw or "message-id=" in raw or ": uid=" in raw or ": removed" in raw):
            return
        line = parse_line(raw, self.now, self.utc_offset, self.clock)
        if line is None or line.time < self.since:
            return
        match = _LINE.match(line.message)
        if not match:
            return
        self.first = line.time if self.first is None else self.first
        self.last = line.time
        queue_id, what, rest = match[1], match[2], line.message[match.end() :]
        daemon = line.program.rpartition("/")[2]
        if daemon == "cleanup" and what == "message-id=":
            self._message(queue_id, message_id(rest))
        elif (daemon, what) in (("smtpd", "client="), ("pickup", "uid="), ("qmgr", "removed"), ("postsuper", "removed")):
            # Each of them ends what the queue ID stood for.
            self.open.pop(queue_id, None)
            _, found, login = rest.partition(", sasl_username=")
            if what == "client=" and found:
                self._client(queue_id, login, line.message[match.start(2) :], line.time)

    def _client(self, queue_id: str, login: str, text: str, time: float) -> None:
        if len(self.open) >= MAX_OPEN:
            self.open.pop(next(iter(self.open)))
        client = _CLIENT.match(text)
        account = normalise(login.partition(", sasl_sender=")[0])[:320]
        self.open[queue_id] = {"account": account, "queue_id": queue_id, "time": time, "client": client[1] if client else None}

    def _message(self, queue_id: str, identity: str) -> None:
        sender = self.open.get(queue_id)
        if sender and identity in self.wanted:
            _add(self.senders, identity, sender)


def _add(senders: dict[str, Sender], identity: str, sender: Sender) -> None:
    """Note a sender; a Message-ID that several logins used names none of them: one may have copied the other's."""
    known = senders.setdefault(identity, sender)
    if known["account"] != sender.get("account"):
        senders[identity] = {**known, "account": None}


def merge(hosts: t.Iterable[t.Mapping[str, t.Mapping[str, t.Any]]]) -> dict[str, Sender]:
    """Return the senders of several hosts as one."""
    senders: dict[str, Sender] = {}
    for host in hosts:
        for text, sender in host.items():
            identity = message_id(str(text))
            if identity and isinstance(sender, t.Mapping):
                account = sender.get("account")
                _add(senders, identity, {**sender, "account": account if isinstance(account, str) else None})
    return senders

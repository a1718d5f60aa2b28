# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which receiver a domain's mail goes to, and how much of it a day, by the names of the servers that took it (relay=).

A receiver is told by the end of its servers' names (catalogue/receivers.yml), so that the domains of its customers count as its own.
Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import re
import typing as t

from .refusals import RepliesError

#: So many domains are remembered, those of the receivers before the others, the newest first.
MAX_DOMAINS = 20_000
#: So many servers' names are known at once.
_MEMORY = 10_000
#: What is counted of a receiver and day (of the epoch, in UTC): recipients whose mail was taken; deliveries that were put off; of these
#: those with 4.7.x or for the sender's reputation; what was refused for good for the sender's reputation.
NUMBERS = ("sent", "deferred", "put_off", "refused")
SENT, DEFERRED, PUT_OFF, REFUSED = range(len(NUMBERS))
#: What goes into a transport map must be a name as DNS has it: a recipient's domain is written by strangers.
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)+\Z", re.ASCII)
_SUFFIX = re.compile(r"(?:\.[a-z0-9-]{1,63})+\Z", re.ASCII)
_ID = re.compile(r"[a-z0-9][a-z0-9_]{0,31}\Z", re.ASCII)


class Receivers:
    """entries: of catalogue/receivers.yml (id, suffixes); without any nothing is counted. RepliesError where one is unusable."""

    def __init__(self, entries: t.Sequence[t.Mapping[str, t.Any]]) -> None:
        self._suffixes: list[tuple[str, str]] = []
        for entry in entries:
            identity, suffixes = entry.get("id"), entry.get("suffixes")
            if not isinstance(identity, str) or not _ID.match(identity):
                raise RepliesError(
                    f"receiver {identity!r}: its id must be of small letters, digits and underscores (catalogue/receivers.yml)"
                )
            if not isinstance(suffixes, list) or not suffixes or not all(isinstance(one, str) and _SUFFIX.match(one) for one in suffixes):
                raise RepliesError(f"receiver {identity}: suffixes must be ends of servers' names with a dot first, such as .google.com")
            self._suffixes += [(each, identity) for each in suffixes]
        # The longest end that fits is the receiver's: a part of a provider may have limits of its own.
        self._suffixes.sort(key=lambda row: (-len(row[0]), row))
        self._relays: dict[str, str] = {}
        #: Each receiver's suffixes: where they change, what was counted before is another thing.
        self.known = {identity: sorted(each for each, of in self._suffixes if of == identity) for _, identity in self._suffixes}
        self.days: dict[tuple[str, int], list[int]] = {}
        #: Per (domain, receiver): the last day, how much of that day, and a server's name.
        self.domains: dict[tuple[str, str], tuple[int, int, str]] = {}

    def __bool__(self) -> bool:
        return bool(self._suffixes)

    def of(self, relay: str) -> str:
        """Return the receiver of a server's name, an empty text for any other."""
        found = self._relays.get(relay)
        if found is None:
            name = f".{relay.lower().rstrip('.')}"
            found = next((identity for suffix, identity in self._suffixes if name.endswith(suffix)), "")
            if len(self._relays) >= _MEMORY:
                self._relays.clear()
            self._relays[relay] = found
        return found

    def count(self, domain: str, relay: str, day: int, kind: int, number: int = 1) -> None:
        """Count deliveries of one day to a domain at a server."""
        if relay.startswith("127.") or relay in ("localhost", "::1"):
            return  # a content filter, which hands the mail in again
        receiver = self.of(relay)
        row = self.days.get((receiver, day))
        if row is None:
            row = self.days[receiver, day] = [0] * len(NUMBERS)
        row[kind] += number
        if kind == PUT_OFF:
            row[DEFERRED] += number
        domain = domain.lower()
        known = self.domains.get((domain, receiver))
        if known is not None:
            if day > known[0]:
                self.domains[domain, receiver] = (day, number, relay)
            elif day == known[0]:
                self.domains[domain, receiver] = (day, known[1] + number, max(relay, known[2]))
        elif _DOMAIN.match(domain) and (receiver or len(self.domains) < 5 * MAX_DOMAINS) and len(self.domains) < 10 * MAX_DOMAINS:
            self.domains[domain, receiver] = (day, number, relay)

    def tally(self, deliveries: t.Mapping[str, int], day: int) -> None:
        """Count what the shortcuts cut out of lines of one day: '@domain>, relay=name', behind it a dsn= where the mail was put off."""
        for text, number in deliveries.items():
            code = text[-5:] if text[-11:-5] == ", dsn=" else ""
            head = text[:-11] if code else text
            end = head.find(">, ")
            relay = head.rfind(", relay=", end)
            if end < 0 or relay < 0:
                continue
            kind = SENT if not code else PUT_OFF if code.startswith("4.7.") else DEFERRED
            self.count(head[1:end], head[relay + 8 :], day, kind, number)

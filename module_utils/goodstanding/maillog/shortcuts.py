# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that a mail log is full of, counted without being parsed whole. Standard library only, Python >= 3.9.

A line is told by the text at the place where its host and program stand; of the frequent kinds (a login's message begins, qmgr takes it in
and removes it, it is delivered or bounces) the few words that count are cut out. Whatever is not exactly as expected goes to the
parser, which says the same of every line: these are shortcuts, not another grammar. They are one loop since a call costs as much as a line.
"""

from __future__ import annotations

import re
import typing as t

from .counters import (
    BOUNCED,
    BYTES,
    FIRST,
    LAST,
    MESSAGES,
    RECIPIENTS,
    SENT,
    UNKNOWN_RECIPIENTS,
)
from .lines import MAX_LINE

if t.TYPE_CHECKING:
    from .parser import MailLog

_SKIPPED, _SUBMITTED, _QUEUED, _REMOTE, _LOCAL, _CLEANED, _BOUNCED, _LONG = range(1, 9)
_KINDS = {
    "smtpd": _SUBMITTED, "qmgr": _QUEUED, "smtp": _REMOTE, "lmtp": _LOCAL, "local": _LOCAL, "virtual": _LOCAL, "pipe": _LOCAL,
    "discard": _LOCAL, "cleanup": _CLEANED, "bounce": _BOUNCED,
}  # fmt: skip
_POSTFIX = re.compile(r"[\w.-]+(?:/[\w.-]+)*/(\w+)\Z")
_ACTIVE = re.compile(r", size=(\d{1,15}), nrcpt=(\d{1,9}) \(queue \w+\)\Z")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(?=[+-]\d\d:?\d\d )", re.ASCII)
_SECONDS = re.compile(r":\d\d\.\d{6}", re.ASCII)
_ADDRESS = re.compile(r"[0-9A-Fa-f.:]{2,45}\Z")
_NAME = 14  # so much of the program's name tells most of them
_MEMORY = 10_000


class Shortcuts:
    """What is known of a log's lines: where the zone of the time begins and the program, and of each such text the kind of its lines."""

    def __init__(self, log: MailLog) -> None:
        self.log = log
        self.zone = self.program = self.end = 0
        self.head = ""
        self.kinds: dict[str, int] = {}
        self.long: dict[str, int] = {}
        self.minutes: dict[str, int] = {}
        self.logins: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        self.harmless: dict[str, bool] = {}

    def learn(self, raw: str) -> None:
        """Take the shape of a line that was not known: the same host and zone, or another."""
        stamp = _ISO.match(raw)
        if not stamp or len(raw) > MAX_LINE:
            return
        program = raw.find(" ", raw.find(" ", stamp.end()) + 1) + 1
        tag, colon, _ = raw[program : program + 200].partition(": ")
        if program < stamp.end() + 3 or not colon or " " in tag:
            return
        head = raw[stamp.end() : program]
        if head != self.head:
            self.zone, self.program, self.end, self.head = stamp.end(), program, program + _NAME, head
            self.kinds, self.long, self.minutes = {}, {}, {}
        name = tag.partition("[")[0]
        handler = self.log.handlers.get(tag, self)
        if handler is self or len(self.kinds) + len(self.long) > _MEMORY:
            return
        found = _POSTFIX.match(name)
        kind = _SKIPPED if handler is None else _KINDS.get(found[1], 0) if found else 0
        if len(name) < _NAME:
            self.kinds[raw[self.zone : self.end]] = kind
        else:
            self.kinds[raw[self.zone : self.end]] = _LONG
            self.long[name] = kind

    def minute(self, raw: str) -> int | None:
        """Return the epoch of a line's minute where all of it counts, and remember it."""
        start = self.log.clock.time(f"{raw[:17]}00{raw[self.zone : self.program]}")
        if start is None or not self.log.since <= start <= self.log.now - 60:
            return None
        if len(self.minutes) > _MEMORY:
            self.minutes = {}
        self.minutes[raw[:16]] = int(start)
        return int(start)

    def feed(self, lines: t.Sequence[str]) -> None:
        """Take lines in, without their ends."""
        log = self.log
        parse, open_, accounts, harmless = log.feed_line, log.open, log.accounts, self.harmless
        zone, program, end, kinds, long, minutes = self.zone, self.program, self.end, self.kinds, self.long, self.minutes
        logins, addresses = self.logins, self.addresses
        plain = not (log.accepted_since or log.forgiven)
        for raw in lines:
            kind = kinds.get(raw[zone:end])
            if kind == _LONG:
                kind = long.get(raw[program : raw.find("[", program)])
            if kind == _SKIPPED:
                continue
            if not kind or len(raw) > MAX_LINE:
                parse(raw)
                if kind is None:
                    self.learn(raw)
                    zone, program, end, kinds, long, minutes = self.zone, self.program, self.end, self.kinds, self.long, self.minutes
                continue
            # What follows the queue ID: the first of these words is Postfix's own.
            begin = raw.find("]: ", program) + 3

            if kind == _REMOTE or kind == _LOCAL:  # noqa: SIM109  a membership test costs more, and this is asked of every line
                to = raw.find(": to=<", begin, begin + 40)
                place = raw.find(", dsn=", raw.find(">, ", to))
                known = open_.get(raw[begin:to])
                sent = raw.startswith("2.0.0, status=sent (", place + 6)
                if to < 0 or place < 0 or (sent and (log.refused_by or log.watch)):
                    parse(raw)
                    continue
                if known is None:
                    if not sent:
                        parse(raw)  # a receiver's refusal counts, whoever sent the message
                    continue
                account = accounts.get(known.account)  # type: ignore[arg-type]
                start = minutes.get(raw[:16]) or self.minute(raw)
                if account is None or start is None or (sent and ("[127." in raw or "[::1]" in raw)):
                    parse(raw)
                    continue
                row = account.last_row if start // 3600 == account.last_hour else account.hour(start // 3600)
                if sent:
                    row[SENT] += 1
                    continue
                said = raw[raw.find(" (", place) + 2 :].replace(raw[to + 6 : raw.find(">", to)], "")
                bounced, unknown = raw.find(", status=bounced (", place, place + 30) > 0, raw.startswith("5.1.", place + 6)
                if not bounced or not harmless.get(said) or kind == _LOCAL or (unknown and account.wants("unknown", start)):
                    if kind == _REMOTE and len(said) < 1000 and said not in harmless:
                        if len(harmless) > _MEMORY:
                            harmless.clear()
                        harmless[said] = log.is_harmless(said)
                    parse(raw)
                    continue
                row[BOUNCED] += 1
                row[UNKNOWN_RECIPIENTS] += unknown
                continue

            if kind == _QUEUED:
                if raw.endswith(": removed"):
                    known = open_.pop(raw[begin:-9], None)
                    if known is not None and known.account is None:
                        log.forget(known)
                    continue
                head = raw.find(": from=<", begin, begin + 40)
                known = open_.get(raw[begin:head])
                if known is None or known.accepted:
                    continue
                account = accounts.get(known.account)  # type: ignore[arg-type]
                active = _ACTIVE.match(raw, max(raw.rfind(", size="), 0))
                start = minutes.get(raw[:16]) or self.minute(raw)
                sender = raw[head + 8 : raw.rfind(">")].lower()[:200]
                seen = account.values.get(("senders", sender)) if account is not None else None
                if account is None or start is None or not active or not plain or seen is None or not _SECONDS.match(raw, 16):
                    parse(raw)
                    continue
                time = start + float(raw[17:zone])
                if seen[1] != start // 3600:
                    account.value("senders", sender, time)
                known.accepted = True
                row = account.last_row if start // 3600 == account.last_hour else account.hour(start // 3600)
                row[MESSAGES] += 1
                row[RECIPIENTS] += int(active[2])
                row[BYTES] += int(active[1])
            elif kind == _SUBMITTED:
                place = raw.find(": client=", begin, begin + 40)
                if place < 0:
                    if ": reject: " in raw or ": hold: " in raw or "authentication failed" in raw:
                        parse(raw)
                    continue
                address = addresses.get(raw[raw.find("[", place) + 1 : raw.find("]", place)])
                name = logins.get(raw[raw.find(", sasl_username=", place) + 16 :])
                account = accounts.get(name)  # type: ignore[arg-type]
                start = minutes.get(raw[:16]) or self.minute(raw)
                seen = account.values.get(("clients", address)) if account is not None and address is not None else None
                if (
                    seen is None or account is None or name is None or address is None or start is None or not plain
                    or raw[begin:place] in open_ or raw.startswith("NOQUEUE", begin) or not _SECONDS.match(raw, 16)
                    or account.wants("client", start)
                ):  # fmt: skip
                    parse(raw)
                    self.remember(raw, place)
                    continue
                time = start + float(raw[17:zone])
                if seen[1] != start // 3600:
                    account.value("clients", address, time)
                row = account.last_row if start // 3600 == account.last_hour else account.hour(start // 3600)
                log.begin(raw[begin:place], name, time)
            else:
                if kind == _CLEANED:
                    wanted = ": hold: " in raw or ": milter-reject: " in raw
                else:
                    known = open_.get(raw[begin : raw.find(": ", begin)])
                    wanted = known is None or known.account is None or known.stranger is not None
                if wanted:
                    parse(raw)
                continue
            if time > row[LAST]:
                row[LAST] = time
            if time < row[FIRST]:
                row[FIRST] = time

    def remember(self, raw: str, place: int) -> None:
        """Remember how the login and the address of a line are counted, where they are written plainly."""
        found = raw.find(", sasl_username=", place)
        login, address = raw[found + 16 :], raw[raw.find("[", place) + 1 : raw.find("]", place)]
        if found < 0 or len(self.logins) + len(self.addresses) > _MEMORY:
            return
        if "," not in login and len(login) < 320:
            self.logins[login] = login.strip().lower()
        if _ADDRESS.match(address):
            self.addresses[address] = address

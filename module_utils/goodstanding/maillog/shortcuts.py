# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that a mail log is full of, counted without being parsed whole. Standard library only, Python >= 3.9.

A line is told by its host and program, which stand where they stood in the line before; of the frequent kinds (a login's message begins,
qmgr takes it in and removes it, it is delivered or bounces) the few words that count are cut out. Whatever is not exactly as expected goes
to the parser, which says the same of every line: these are shortcuts, not another grammar. They are one loop since a call costs as much as
a line.
"""

from __future__ import annotations

import collections
import re
import typing as t

from .counters import (
    BOUNCED,
    BYTES,
    DEFERRED,
    LOGINS,
    MAX_EVIDENCE_A_KIND,
    MESSAGES,
    RECIPIENTS,
    SENT,
    UNKNOWN_RECIPIENTS,
)
from .lines import MAX_LINE, evidence, normalise
from .postfix import ACTIVE, CLIENT, POSTFIX, QUEUE_ID, Message

if t.TYPE_CHECKING:
    from .parser import Handler, MailLog

_SKIPPED, _SUBMITTED, _QUEUED, _REMOTE, _LOCAL, _CLEANED, _BOUNCED, _DOVECOT = range(1, 9)
_KINDS = {
    "smtpd": _SUBMITTED, "qmgr": _QUEUED, "smtp": _REMOTE, "lmtp": _LOCAL, "local": _LOCAL, "virtual": _LOCAL, "pipe": _LOCAL,
    "discard": _LOCAL, "cleanup": _CLEANED, "bounce": _BOUNCED,
}  # fmt: skip
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(?=[+-]\d\d:?\d\d )", re.ASCII)
_BSD = re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?= )", re.ASCII)
_SECONDS = re.compile(r"[0-5]\d(?:\.\d{6})?\Z", re.ASCII)
_PROCESS = re.compile(r"\d{1,10}\]\Z", re.ASCII)
#: Most dsn= have three digits; whether they say that a recipient does not exist.
_CODES = {f"{a}.{b}.{c}": (a, b) == (5, 1) for a in (2, 4, 5) for b in range(10) for c in range(10)}
_MEMORY = 10_000
#: So many deliveries are counted by receiver at once.
_MANY = 5_000


class Shortcuts:
    """What is known of a log's lines: in which form and zone their times are, where the minute ends and the zone begins, and of each text
    from there to the program, with the process or without, the kind of its lines."""

    def __init__(self, log: MailLog) -> None:
        self.log = log
        self.form = (0, "")
        self.clock = self.zone = 0
        self.kinds: dict[str, int] = {}
        self.names: dict[str, tuple[int, Handler | None]] = {}
        self.minutes: dict[str, int] = {}
        self.logins: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        #: Recipients' domains and servers of deliveries, as they stand in the lines, and the day (its first hour) that all are of.
        self.deliveries: list[str] = []
        self.day = -1

    def learn(self, raw: str) -> None:
        """Take the shape of a line that was not known: another process, or another form of the time."""
        stamp = _ISO.match(raw) or _BSD.match(raw)
        head, colon, _ = raw.partition(": ")
        tag = head[head.rfind(" ") + 1 :]
        # Zone, host and program are three words; in a damaged line the last word before a colon may be any.
        if not stamp or not colon or tag not in self.log.handlers or head.count(" ", stamp.end()) != 2:
            return
        form = (stamp.end(), head[stamp.end() : head.find(" ", stamp.end())])
        if form != self.form:
            self.form, self.zone, self.clock = form, stamp.end(), raw.rfind(":", 0, stamp.end())
            self.kinds, self.names, self.minutes = {}, {}, {}
        if len(self.names) > _MEMORY:
            self.names.clear()
        program = tag.partition("[")[0]
        found = POSTFIX.match(program)
        kind = _KINDS.get(found[1], 0) if found else _DOVECOT if program == "dovecot" else 0
        handler = self.log.handlers[tag]
        self.names[head[self.zone :].partition("[")[0]] = (_SKIPPED if handler is None else kind, handler)
        self.another(head)

    def another(self, head: str) -> int | None:
        """Return the kind of a process's lines, and remember it, where its program is known."""
        text = head[self.zone :]
        name, bracket, process = text.partition("[")
        known = self.names.get(name)
        if known is None or (bracket and not _PROCESS.match(process)):
            return None
        if len(self.kinds) > _MEMORY:
            self.kinds.clear()
        self.kinds[text], handler = known
        self.log.remember(text[text.rfind(" ") + 1 :], handler)
        return known[0]

    def minute(self, raw: str, head: str) -> int | None:
        """Return the epoch of a line's minute where all of it counts, and remember it."""
        start = self.log.clock.time(f"{raw[: self.clock + 1]}00{head[self.zone :]}")
        if start is None or not self.log.since <= start <= self.log.now - 60:
            return None
        if len(self.minutes) > _MEMORY:
            self.minutes = {}
        self.minutes[raw[: self.clock]] = int(start)
        return int(start)

    def settle(self, day: int = -1) -> None:
        """Count the deliveries by receiver; those to come are of another day (its first hour)."""
        if self.deliveries:
            self.log.receivers.tally(collections.Counter(self.deliveries), self.day // 24)
            self.deliveries.clear()
        self.day = day

    def feed(self, lines: t.Sequence[str]) -> None:
        """Take lines in, without their ends."""
        log = self.log
        delivered = self.deliveries.append if log.receivers else None
        parse, open_, accounts = log.feed_line, log.open, log.accounts
        clock, zone, kinds = self.clock, self.zone, self.kinds
        logins, addresses, harmless, exact = self.logins, self.addresses, log.harmless, log.exact
        minute, start, hour, day = "", None, -1, -1
        if max(map(len, lines)) > MAX_LINE:
            lines = [raw[:MAX_LINE] for raw in lines]
        for raw in lines:
            parts = raw.split(": ", 2)
            kind = kinds.get(parts[0][zone:])
            if kind is None:
                kind = self.another(parts[0])
            if kind == _SKIPPED:
                continue
            if not kind:
                parse(raw)
                if kind is None:
                    self.learn(raw)
                    clock, zone, kinds = self.clock, self.zone, self.kinds
                    minute = ""
                continue
            # 'user=<', 'auth failed', 'auth(...)', 'Password mismatch': what else it says is not counted.
            if kind == _DOVECOT and not ("user=<" in raw or "uth" in raw or "mismatch" in raw):
                continue
            if kind == _CLEANED:
                if ": hold: " in raw or ": milter-reject: " in raw:
                    parse(raw)
                continue
            if len(parts) < 3:
                if kind != _SUBMITTED:  # smtpd says so that somebody connects, and leaves
                    parse(raw)
                continue
            head, queue_id, rest = parts
            if raw[:clock] != minute:
                minute = raw[:clock]
                start = self.minutes.get(minute) or self.minute(raw, head)
                if start is not None:
                    hour = start // 3600
                    day = hour // 24 * 24
                    if day != self.day:
                        self.settle(day)
            if start is None:
                parse(raw)
                continue

            if kind == _REMOTE or kind == _LOCAL:  # noqa: SIM109  a membership test costs more, and this is asked of every line
                if not rest.startswith("to=<"):
                    continue
                known = open_.get(queue_id)
                filtered = known is not None and ("[127." in rest or "[::1" in rest)  # a content filter may put it in again
                if kind == _LOCAL and not filtered and (known is None or (known.stranger and known.account is None)):
                    continue  # mail that arrives
                account = accounts.get(known.account) if known is not None else None  # type: ignore[arg-type]  # None is nobody
                # The first dsn= behind the recipient is Postfix's own.
                end = rest.find(">, ")
                place = rest.find(", dsn=", end)
                unknown = _CODES.get(rest[place + 6 : place + 11])
                if place < 0 or unknown is None or (account is None and known is not None):
                    parse(raw)
                elif rest.startswith(", status=sent (", place + 11):
                    if filtered or (log.suspects and kind == _REMOTE and log.is_suspect(rest)):
                        parse(raw)
                        continue
                    if account is not None:
                        row = account.last_row if hour == account.last_hour else account.hour(hour)
                        row[SENT] += 1
                    if kind == _REMOTE and delivered is not None:
                        bracket = rest.rfind("[", end, place)
                        if bracket > 0:
                            delivered(rest[rest.rfind("@", 4, end) : bracket])
                else:
                    bounced = rest.startswith(", status=bounced (", place + 11)
                    said = rest[place + (29 if bounced else 30) :].replace(rest[4 : rest.find(">")], "")
                    # Whoever sent the message, a receiver's refusal counts; a mailbox of this host refuses nobody.
                    if (kind == _REMOTE and not harmless.get(said) and not log.is_harmless(said)) or not (
                        bounced or rest.startswith(", status=deferred (", place + 11)
                    ):
                        parse(raw)
                        continue
                    if kind == _REMOTE and delivered is not None and not bounced:
                        bracket = rest.rfind("[", end, place)
                        if bracket > 0:  # it is relay=none where no server answered
                            delivered(rest[rest.rfind("@", 4, end) : bracket] + rest[place : place + 11])
                    if account is not None:
                        row = account.last_row if hour == account.last_hour else account.hour(hour)
                        row[BOUNCED if bounced else DEFERRED] += 1
                        if bounced and unknown:
                            row[UNKNOWN_RECIPIENTS] += 1
                            if len(account.lines.get(("unknown", day), ())) < MAX_EVIDENCE_A_KIND:
                                account.keep("unknown", start, evidence(raw))

            elif kind == _QUEUED:
                if rest == "removed":
                    known = open_.pop(queue_id, None)
                    if known is not None and known.waiting:
                        log.forget(known)
                    continue
                known = open_.get(queue_id)
                if known is None or known.accepted or not rest.startswith("from=<"):
                    continue
                account = accounts.get(known.account)  # type: ignore[arg-type]  # None is nobody
                if account is None and (known.account or not known.stranger):
                    parse(raw)
                    continue
                active = ACTIVE.match(rest, max(rest.rfind(", size="), 0))
                if not active:
                    continue
                sender = rest[6 : rest.rfind(">")]
                if account is None:
                    if known.pending is None:
                        known.pending = [int(active[2]), int(active[1]), sender[:200]]
                    continue
                second = raw[clock + 1 : zone]
                if not _SECONDS.match(second) or known.account in log.accepted_since:
                    parse(raw)
                    continue
                time = start + float(second)
                known.accepted = True
                row = account.row(time)
                row[MESSAGES] += 1
                if time > account.accepted:
                    account.accepted = time
                row[RECIPIENTS] += int(active[2])
                row[BYTES] += int(active[1])
                sender = sender.lower()[:200]
                seen = account.values.get(("senders", sender))
                if sender and (seen is None or seen[1] != hour):
                    account.value("senders", sender, time)

            elif kind == _SUBMITTED:
                if not rest.startswith("client="):
                    if (
                        "authentication failed" in rest
                        if queue_id == "warning"
                        else rest.startswith(("reject: ", "hold: ")) and ("sasl_method=" in rest or "SASL login name " in rest)
                    ):
                        parse(raw)
                    continue
                client = rest[: rest.find("]") + 1]
                address = addresses.get(client) or self.address(client)
                login = rest.find(", sasl_username=")
                second = raw[clock + 1 : zone]
                if not address or not _SECONDS.match(second) or not QUEUE_ID.match(queue_id):
                    parse(raw)
                    continue
                time = start + float(second)
                if login < 0:
                    log.begin_message(queue_id, Message(None, time, stranger=None if address.startswith(("127.", "::1")) else address))
                    continue
                name = logins.get(rest[login + 16 :]) or self.login(rest[login + 16 :])
                if name in log.forgiven:
                    parse(raw)
                    continue
                account = accounts.get(name) or log.account(name)
                account.row(time)
                seen = account.values.get(("clients", address))
                if seen is None or seen[1] != hour:
                    account.value("clients", address, time)
                if len(account.lines.get(("client", day), ())) < MAX_EVIDENCE_A_KIND:
                    account.keep("client", start, evidence(raw))
                log.begin_message(queue_id, Message(name, time))

            elif kind == _DOVECOT:
                name, place = rest[rest.find("<") + 1 : rest.find(">")], rest.find(" rip=")
                address = rest[place + 5 : rest.find(",", place)]
                account = accounts.get(name)
                seen = account.values.get(("login_clients", address)) if account is not None else None
                second = raw[clock + 1 : zone]
                if (
                    account is None or seen is None or not name or place < 0 or rest.find(",", place) < 0 or name in exact
                    or not queue_id.endswith("-login") or not rest.startswith(("Login: user=<", "Logged in: user=<"))
                    or not _SECONDS.match(second)
                ):  # fmt: skip
                    parse(raw)
                    continue
                time = start + float(second)
                account.row(time)[LOGINS] += 1
                if seen[1] != hour:
                    account.value("login_clients", address, time)

            else:
                known = open_.get(queue_id)
                if known is None or known.account is None or known.stranger is not None:
                    parse(raw)
        if len(self.deliveries) > _MANY:
            self.settle(self.day)

    def address(self, client: str) -> str:
        """Return the address of 'client=name[address]', an empty text where it is none."""
        found = self.addresses.get(client)
        if found is None:
            match = CLIENT.match(client)
            found = match[1] if match else ""
            if len(self.addresses) > _MEMORY:
                self.addresses.clear()
            self.addresses[client] = found
        return found

    def login(self, text: str) -> str:
        """Return the account of what follows 'sasl_username='."""
        found = self.logins.get(text)
        if found is None:
            found = normalise(text.partition(", sasl_sender=")[0])[:320]
            if len(self.logins) > _MEMORY:
                self.logins.clear()
            self.logins[text] = found
        return found

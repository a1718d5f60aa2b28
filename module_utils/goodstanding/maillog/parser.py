# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the lines of one host's mail log to counters per account. Standard library only, Python >= 3.9.

Grammar: Postfix 3.5 to 3.11 and Dovecot 2.3 and 2.4, as their daemons write it. A line ': client=' ties a queue ID to a login; it is no
acceptance (an aborted transaction logs it too): that is proven by qmgr's first 'nrcpt=' of the queue ID, or by cleanup's 'hold:'. A short
queue ID is reused, so it is a key only until qmgr says 'removed'.

What no login sent has accounts of its own: mail of a local user (pickup) uid:NUMBER; mail that smtp(8) takes to the outside for a client
without a login relay:internet or, for a machine beside this host, relay:ADDRESS; what is forwarded forward:ADDRESS; bounces of strangers'
mail backscatter:.

Most lines are told by a word or two at a fixed place, and only what is left is searched with a pattern: a log is long.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import typing as t

from .book import Book, Key, Refusal
from .counters import (
    BOUNCED,
    BYTES,
    DEFERRED,
    FAILED_LOGINS,
    HELD,
    LOGINS,
    MESSAGES,
    RECIPIENTS,
    REFUSED_ATTEMPTS,
    REPUTATION_REFUSALS,
    SENT,
    UNKNOWN_RECIPIENTS,
    WITHOUT_LOGIN,
    Account,
)  # fmt: skip
from .dropped import is_drop, is_logger, told
from .lines import MAX_LINE, Clock, evidence, normalise, parts, program_of
from .own import OwnLines
from .postfix import ACTIVE, CLIENT, POSTFIX, QUEUE_ID, Message
from .receivers import DEFERRED as OF_DEFERRED
from .receivers import PUT_OFF, REFUSED, Receivers
from .receivers import SENT as OF_SENT
from .refusals import REPUTATION, Replies, Senders, remote_reply
from .shortcuts import Shortcuts

MAX_OPEN_MESSAGES = 500_000
MAX_ACCOUNTS = 20_000
MAX_REFUSALS = 10_000
MAX_ROWS = 200
MAX_DOMAINS = 20
#: So many logins are kept in memory before they go into the book.
MAX_HELD_ACCOUNTS = 5_000
_MAX_TAGS = 10_000
_MAX_HARMLESS = 5_000
_MAX_SAMPLES = 3
#: What is stamped further ahead than this is told as a fault of a clock.
_AHEAD = 300.0

_STATUS = re.compile(r", dsn=([245]\.\d{1,3}\.\d{1,3}), status=(sent|deferred|bounced|expired|undeliverable) \(")
_RELAY = re.compile(r", relay=[^\s\[]{1,255}\[([0-9A-Fa-f.:]{2,45})\]")
_UID = re.compile(r"uid=(\d{1,10}) from=<")
_QUEUED_AS = re.compile(r"queued as ([0-9A-Za-z]{5,30})\b")
_REJECTED_LOGIN = re.compile(r"\d{3} \d\.\d{1,3}\.\d{1,3} <([^>\s]{1,320})>: SASL login name rejected: ")
# What the lock's map answers (accounts/lock.py): a client has no part in what stands before its own words.
_LOCKED_LOGIN = re.compile(
    r"reject: [A-Z-]{1,20} from [^\[\s]{1,300}\[[0-9A-Fa-f.:]{2,45}\](?::\d{1,5})?: \d{3} \d\.\d{1,3}\.\d{1,3} <([^>\s]{1,320})>: "
    r"SASL login name rejected: account locked, incident "
)
_HELD_LOGIN = re.compile(r"hold: RCPT from [^\[\s]{1,300}\[[0-9A-Fa-f.:]{2,45}\]: <([^>\s]{1,320})>: SASL login name ")
# What a client says of itself (helo=<...>) ends with the bracket.
_REFUSED_LOGIN = re.compile(r"> sasl_method=[\w-]{1,20} sasl_username=(\S{0,319}[^\s>])\Z")
_SASL_FAILED = re.compile(r"warning: [^\[\s]{1,300}\[([0-9A-Fa-f.:]{2,45})\]: SASL [\w-]{1,20} authentication failed")
_DOVECOT_FAILED = re.compile(r"\(auth[_ ]failed[^)]{0,100}\)")
_DOVECOT_USER = re.compile(r" user=<([^>]{1,320})>")
_DOVECOT_CLIENT = re.compile(r" rip=([0-9A-Fa-f.:]{2,45})(?:[,\s]|\Z)")
_AUTH_MISMATCH = re.compile(r"\(([^,()\s]{1,320}),([0-9A-Fa-f.:]{2,45}),[^)]{0,100}\).{0,100}: Password mismatch", re.IGNORECASE)
_LOOPBACK = ("127.", "::1")
_LOCAL = [
    ipaddress.ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10")
]
#: Of mail that a content filter put in again: so many lines wait for its owner at once.
_MAX_WAITING = 5_000
#: A message waits for 5 days in the queue at most (maximal_queue_lifetime), a client for its own an hour.
_QUEUED_FOR, _TRANSACTION = 6 * 86400, 3600

Handler = t.Callable[[str, str, str], None]

#: What is counted apart, per account of accepted_since, after its time: messages, refusals of the lock and failed logins, what a local user
#: handed in (pickup), and logins at Dovecot.
SINCE = ("accepted_since", "refused_since", "submitted_since", "logins_since")
_ACCEPTED, _REFUSED, _SUBMITTED, _LOGINS = range(len(SINCE))


_PROXIED = "mail goes through smtpd_proxy_filter (NOQUEUE: client=): whose it is behind the filter cannot be told"
_NO_LOGIN = tuple(f"{kind}:" for kind in WITHOUT_LOGIN)
_BOUNCE = "backscatter:"


def _relay(delivery: str) -> str:
    """Return the address of the server that a delivery line names, or an empty text."""
    match = _RELAY.match(delivery, max(delivery.rfind(", relay="), 0))
    return match[1] if match else ""


@functools.lru_cache(4096)
def _is_local(address: str) -> bool:
    """Whether a relay is this host, or a machine beside it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return True
    return any(parsed in network for network in _LOCAL)


def _domain(delivery: str) -> str:
    """Return the recipient's domain of a delivery line, which begins with to=<."""
    return delivery[4 : delivery.find(">")].rpartition("@")[2].lower()[:255]


class MailLog:
    """Counts one host's log into a book; feed() it lines in the order of time, then finish(), then result()."""

    def __init__(
        self,
        now: float,
        since: float,
        accepted_since: dict[str, float] | None = None,
        utc_offset: int = 0,
        replies: t.Sequence[t.Mapping[str, t.Any]] = (),
        addresses: t.Sequence[str] = (),
        watch: t.Iterable[str] = (),
        book: Book | None = None,
        receivers: t.Sequence[t.Mapping[str, t.Any]] = (),
    ) -> None:
        """since: what is older is not counted; replies: entries of catalogue/provider_replies.yml; addresses: what this host sends from;
        watch: domains that refused it in the past; book: of earlier runs; receivers: entries of catalogue/receivers.yml. RepliesError where
        an entry or address is unusable."""
        self.now, self.since = now, since
        self.clock = Clock(now, utc_offset)
        self.replies, self.senders = Replies(replies), Senders(addresses)
        self.receivers = Receivers(receivers)
        #: What the receiver that answered last complained of.
        self.about = ""
        self.accepted_since = {normalise(name): float(time) for name, time in (accepted_since or {}).items()}
        self.after = {name: [0] * len(SINCE) for name in self.accepted_since}
        self.watch = frozenset(domain.lower() for domain in watch)
        self.book = book or Book(None)
        #: Whether nothing was read into the book yet.
        self.fresh = self.book.meta("position") is None
        self.forgiven: dict[str, float] = {}
        #: Accounts of which a line's time decides whether it counts.
        self.exact = frozenset(self.accepted_since)
        self.accounts: dict[str, Account] = {}
        self.known = self.book.names()
        self.open = {
            queue_id: Message(account, time, accepted, stranger, pending)
            for queue_id, account, stranger, accepted, time, pending in self.book.open_messages()
        }
        self.refusals: dict[tuple[t.Any, ...], Refusal] = {}
        # Of each kind of refusal: which domains refused so, and when one of them took mail again.
        refused = self.book.refused()
        self.refusing = {key: set(domains) for key, (_, domains) in refused.items()}
        self.again = {key: accepted for key, (accepted, _) in refused.items()}
        self.refused_by: dict[tuple[str, str], set[Key]] = {}
        for key, domains in self.refusing.items():
            for domain in domains:
                self.refused_by.setdefault((key[0], domain), set()).add(key)
        #: Domains of which a delivery may say that they take mail again.
        self.suspects = {*self.watch, *(domain for _, domain in self.refused_by)}
        self.taken: dict[tuple[str, str], float] = {}
        self.gaps: list[str] = []
        self.touched: set[Key] = set()
        #: Lines that wait for their owner.
        self.waiting = 0
        self.timed: tuple[str, float | None] = ("", None)
        self.harmless: dict[str, bool] = {}
        self.shortcuts = Shortcuts(self)
        self.handlers: dict[str, Handler | None] = {}
        self.daemons: dict[str, Handler] = {
            "smtpd": self._smtpd, "qmgr": self._qmgr, "cleanup": self._cleanup, "pickup": self._pickup, "postsuper": self._postsuper,
            "smtp": self._smtp, "error": self._error, "lmtp": self._delivery_line, "local": self._delivery_line,
            "virtual": self._delivery_line, "pipe": self._delivery_line, "bounce": self._bounce, "discard": self._delivery_line,
        }  # fmt: skip
        self.lines = self.unparsed = self.ahead = 0
        self.samples: list[str] = []
        self.first: float | None = None
        self.last: float | None = None
        #: Whether the log holds lines from before all that counts.
        self.older = False
        self.own = OwnLines(self)

    # ---- lines

    def feed(self, raw: str) -> None:
        """Take one raw line of the log in."""
        self.feed_lines([raw.rstrip("\r\n")])

    def feed_lines(self, lines: t.Sequence[str]) -> None:
        """Take some raw lines in, without their ends."""
        if lines:
            self.lines += len(lines)
            self.shortcuts.feed(lines)
            self._span(lines)
        if len(self.accounts) > MAX_HELD_ACCOUNTS:
            self._flush()

    def feed_line(self, raw: str) -> None:
        """Take one line in, as it is."""
        if len(raw) > MAX_LINE:
            raw = raw[:MAX_LINE]
        if raw[10:11] == " " and raw[4:5] == "-":
            if not self.own.line(raw):  # a file of a daemon's own, without syslog
                self._unparsed(raw)
            return
        # 'time host program[pid]: message'. parts() says the same of RFC 5424.
        head, colon, message = raw.partition(": ")
        tag = head[head.rfind(" ") + 1 :]
        if raw[:1] == "<" or not colon:
            found = parts(raw)
            if found is None:
                self._unparsed(raw)
                return
            head, tag, message = found
        try:
            handler = self.handlers[tag]
        except KeyError:
            handler = self._handler(tag, head)
            if handler is None and program_of(tag) is None:
                if not self.own.undated(raw):
                    self._unparsed(raw)
                return
        if handler is not None:
            handler(message, head, raw)
        elif self.first is None and self.clock.time(head) is None:
            self._unparsed(raw)

    def _span(self, lines: t.Sequence[str]) -> None:
        """Note the times of the first and the last line that have one and are of the window."""
        for some in (lines[:50], lines[: -50 - 1 : -1]):
            for raw in some:
                found = parts(raw) if raw[:1] == "<" else (raw, "", "")
                time = self.clock.time(found[0]) if found else None
                if time is None or not self.since <= time <= self.now + _AHEAD:
                    self.older = self.older or (time is not None and time < self.since)
                    continue
                self.first = time if self.first is None else min(self.first, time)
                self.last = time if self.last is None else max(self.last, time)
                break

    def _unparsed(self, raw: str) -> None:
        self.lines -= 1
        if not raw or raw.startswith("-- "):
            return  # journalctl's own words between boots
        self.unparsed += 1
        if len(self.samples) < _MAX_SAMPLES:
            self.samples.append(evidence(raw)[:200])

    def _handler(self, tag: str, head: str) -> Handler | None:
        """Return who reads the lines of a tag."""
        program = program_of(tag)
        if program is None or self.clock.time(head) is None:
            return None
        postfix = POSTFIX.match(program)
        handler: Handler | None = None
        if postfix:
            handler = self.daemons.get(postfix[1])
        elif self.own.handler(program):
            handler = self.own.handler(program)
        elif program == "dovecot":
            handler = self._dovecot
        elif is_logger(program):
            handler = self._logger
        self.remember(tag, handler)
        return handler

    def remember(self, tag: str, handler: Handler | None) -> None:
        """Remember who reads the lines of a tag."""
        if len(self.handlers) >= _MAX_TAGS:
            self.handlers.clear()
        self.handlers[tag] = handler

    def _time(self, head: str) -> float | None:
        """Return the time of a line that counts, None where it is none or not of the window."""
        if head is not self.timed[0]:  # a line's handlers ask more than once
            time = self.clock.time(head)
            if time is None or time < self.since:
                time = None
            elif time > self.now + _AHEAD:
                self.ahead += 1
                if time > self.now + 86400:
                    time = None
            self.timed = (head, time)
        return self.timed[1]

    # ---- accounts

    def forgive(self, reinstated: dict[str, float]) -> None:
        """Do not count what accounts did before these times (epoch): the break-in that was dealt with."""
        self.forgiven = {normalise(name): float(time) for name, time in reinstated.items()}
        self.exact = frozenset(self.accepted_since) | frozenset(self.forgiven)
        before = self.book.meta("forgiven", {})
        for name, time in self.forgiven.items():
            if before.get(name) != time:
                # What the book holds of it was read before that time was set.
                self.book.forget(name)
                self.open = {queue_id: message for queue_id, message in self.open.items() if message.account != name}
        self.book.set_meta("forgiven", self.forgiven)

    def gap(self, text: str, time: float | None = None) -> None:
        """Note in the book that something is missing in the log at a time."""
        self.book.note(self.now if time is None else time, text)

    def gap_now(self, text: str) -> None:
        """Say of this run alone that something is missing: the next looks for itself."""
        self.gaps.append(text)

    def account(self, name: str, typed: bool = False) -> Account:
        """Return the account of a name. typed: a stranger chose it, who must not leave no place for those that really log in."""
        account = self.accounts.get(name)
        if account is None:
            name = normalise(name)[:320]
            if name not in self.known:
                if len(self.known) >= (MAX_ACCOUNTS if typed else 2 * MAX_ACCOUNTS):
                    if not typed:
                        self.gap(f"more than {2 * MAX_ACCOUNTS} accounts in the log: the later ones were counted together")
                    name = "(others)"
                self.known.add(name)
            account = self.accounts.setdefault(name, Account())
        return account

    def _count_since(self, kind: int, name: str, time: float) -> bool:
        """Count what an account did after its time of accepted_since; False where it was before, or is not asked for."""
        if time <= self.accepted_since.get(name, float("inf")):
            return False
        self.after[name][kind] += 1
        return True

    def _flush(self) -> None:
        self.book.add(self.accounts)
        self.accounts = {}

    # ---- Postfix

    def _smtpd(self, message: str, head: str, raw: str) -> None:
        if message.startswith(("connect from ", "disconnect from ", "lost connection ")):
            return
        queue_id, _, rest = message.partition(": ")
        if rest.startswith("client="):
            if QUEUE_ID.match(queue_id):
                self._client(queue_id, rest, head, raw)
            elif ", sasl_username=" in rest and _PROXIED not in self.gaps:
                self.gap_now(_PROXIED)
        elif rest.startswith("hold: "):
            self._held(rest, head, raw)
        elif rest.startswith("reject: "):
            self._reject(rest, head, raw)
        elif message.startswith("warning: ") and "authentication failed" in message:
            failed = _SASL_FAILED.match(message)
            _, found, login = message.rpartition(", sasl_username=")
            if failed and found and login:
                self._failed_login(login, failed[1], head, raw)

    def _client(self, queue_id: str, rest: str, head: str, raw: str) -> None:
        before, found, login = rest.partition(", sasl_username=")
        if not found:
            # A short queue ID that is used again, without a login; from here itself it may be a content filter that puts mail in again.
            self.end(queue_id)
            client, time = CLIENT.match(rest), self._time(head)
            if client and time is not None:
                self.begin_message(queue_id, Message(None, time, stranger=None if client[1].startswith(_LOOPBACK) else client[1]))
            return
        time = self._time(head)
        if time is None:
            return
        login = normalise(login.partition(", sasl_sender=")[0])[:320]
        if time < self.forgiven.get(login, 0):
            self.end(queue_id)
            return
        account = self.account(login)
        client = CLIENT.match(before)
        if client:
            account.value("clients", client[1], time)
        account.row(time)
        if account.wants("client", time):
            account.keep("client", time, evidence(raw))
        self.begin_message(queue_id, Message(login, time))

    def begin_message(self, queue_id: str, message: Message) -> None:
        if len(self.open) >= MAX_OPEN_MESSAGES:
            self.end(next(iter(self.open)))
        if queue_id in self.open:
            self.end(queue_id)
        self.open[queue_id] = message

    def end(self, queue_id: str) -> None:
        """The queue ID stands for its message no more."""
        gone = self.open.pop(queue_id, None)
        if gone is not None:
            self.forget(gone)

    def forget(self, gone: Message) -> None:
        """A message is under way no more."""
        self.waiting -= len(gone.waiting)

    def _qmgr(self, message: str, head: str, raw: str) -> None:
        queue_id, _, rest = message.partition(": ")
        if rest == "removed":
            self.end(queue_id)
            return
        known = self.open.get(queue_id)
        if known is None or known.accepted or not rest.startswith("from=<"):
            return
        active = ACTIVE.match(rest, max(rest.rfind(", size="), 0))
        if active and known.account is not None:
            self._accepted(known, int(active[2]), int(active[1]), rest[6 : rest.rfind(">")], head, raw)
        elif active and known.stranger and known.pending is None:
            known.pending = [int(active[2]), int(active[1]), rest[6 : rest.rfind(">")][:200]]

    def _postsuper(self, message: str, head: str, raw: str) -> None:
        if message.endswith(": removed"):
            self.end(message[:-9])

    def _cleanup(self, message: str, head: str, raw: str) -> None:
        if ": hold: " not in message and ": milter-reject: " not in message:
            return
        queue_id, _, rest = message.partition(": ")
        if rest.startswith("milter-reject: END-OF-MESSAGE"):
            self.end(queue_id)  # it never was a message, and the queue ID is free
        if not rest.startswith("hold: "):
            return
        known = self.open.get(queue_id)
        time = self._time(head)
        if known is None or time is None or known.account is None:
            return
        if not known.accepted:
            self._accepted(known, 1, 0, "", head, raw)
        self.account(known.account).row(time)[HELD] += 1

    def _pickup(self, message: str, head: str, raw: str) -> None:
        queue_id, _, rest = message.partition(": ")
        uid, time = _UID.match(rest), self._time(head)
        self.end(queue_id)
        if not uid or time is None or not QUEUE_ID.match(queue_id):
            return
        login = f"uid:{uid[1]}"
        if time >= self.forgiven.get(login, 0):
            account = self.account(login)
            account.row(time)
            self._count_since(_SUBMITTED, login, time)
            if account.wants("client", time):
                account.keep("client", time, evidence(raw))
            self.begin_message(queue_id, Message(login, time))

    def _accepted(self, message: Message, recipients: int, size: int, sender: str, head: str, raw: str) -> None:
        time = self._time(head)
        if message.account is None or time is None:
            return
        message.accepted = True
        account = self.account(message.account)
        row = account.row(time)
        row[MESSAGES] += 1
        account.accepted = max(account.accepted, time)
        row[RECIPIENTS] += recipients
        row[BYTES] += size
        if sender:
            account.value("senders", sender.lower()[:200], time)
        if self._count_since(_ACCEPTED, message.account, time) and account.wants("accepted_since", time):
            account.keep("accepted_since", time, evidence(raw))

    def _smtp(self, message: str, head: str, raw: str) -> None:
        self.about = ""
        self._delivered(message, head, raw, "smtp")
        if self.receivers:
            self._received(message.partition(": ")[2], head)

    def _received(self, rest: str, head: str) -> None:
        """Count a delivery for its receiver, as the shortcuts do."""
        end = rest.find(">, ") if rest.startswith("to=<") else -1
        place = rest.find(", dsn=", end)
        status, bracket, time = _STATUS.match(rest, max(place, 0)), rest.rfind("[", end, max(place, 0)), self._time(head)
        name, relay = rest.rfind("@", 4, max(end, 0)), rest.rfind(", relay=", max(end, 0), max(bracket, 0))
        if name < 0 or relay < 0 or not status or time is None:
            return
        reputation, bounced = self.about in REPUTATION, status[2] not in ("sent", "deferred")
        if bounced and not reputation:
            return
        put_off = reputation or status[1].startswith("4.7.")
        kind = REFUSED if bounced else OF_SENT if status[2] == "sent" else PUT_OFF if put_off else OF_DEFERRED
        self.receivers.count(rest[name + 1 : end], rest[relay + 8 : bracket], int(time // 86400), kind)

    def _error(self, message: str, head: str, raw: str) -> None:
        self._delivered(message, head, raw, "error")

    def _bounce(self, message: str, head: str, raw: str) -> None:
        queue_id, _, rest = message.partition(": ")
        if not rest.startswith("sender non-delivery notification: "):
            return
        known, time = self.open.get(queue_id), self._time(head)
        # An account's own bounce goes to its owner; one for a stranger's mail goes to whoever the stranger named.
        ours = known is not None and known.account is not None and not known.account.startswith(("forward:", "relay:"))
        notice = rest[34:]
        if not ours and time is not None and QUEUE_ID.match(notice):
            self.begin_message(notice, Message(None, time, stranger=_BOUNCE))

    def _stranger(self, message: Message, before: str, head: str, raw: str) -> None:
        """Mail that no login sent leaves this host: from now on it has an account. before: the delivery line up to dsn=."""
        relay, time = _relay(before), self._time(head)
        if not relay or _is_local(relay) or time is None or not message.stranger:
            return
        forwarded = before.find(", orig_to=<")
        if message.stranger == _BOUNCE:
            name = _BOUNCE
        elif forwarded >= 0:
            name = f"forward:{before[forwarded + 11 : before.find('>', forwarded + 11)]}"
        else:
            name = f"relay:{message.stranger if _is_local(message.stranger) else 'internet'}"
        account = self.account(name, typed=forwarded >= 0)
        message.account = normalise(name)[:320]
        if message.stranger != _BOUNCE:
            account.value("clients", message.stranger, time)
        if account.wants("client", time):
            account.keep("client", time, evidence(raw))
        recipients, size, sender = message.pending or (1, 0, "")
        self._accepted(message, recipients, size, sender, head, raw)

    def _delivery_line(self, message: str, head: str, raw: str) -> None:
        self._delivered(message, head, raw, "")

    def _delivered(self, message: str, head: str, raw: str, daemon: str) -> None:
        queue_id, _, rest = message.partition(": ")
        if not rest.startswith("to=<"):
            return
        known = self.open.get(queue_id)
        if known is None and ", status=sent (" in rest and not (self.refused_by or self.watch):
            return
        # The first status= is Postfix's own: what follows it is the remote server's text.
        status = _STATUS.match(rest, rest.find(", dsn=", rest.find(">, ")))
        if not status:
            return
        before, reply = rest[: status.start()], rest[status.end() :]
        if known is not None and status[2] == "sent" and _relay(before).startswith(_LOOPBACK) and self._filtered(known, reply):
            return  # handed to a content filter: what becomes of it there is what counts
        if known is not None and known.stranger and known.account is None:
            if daemon == "smtp":
                self._stranger(known, before, head, raw)
            if known.account is None:
                known = None
        elif known is not None and known.account is None:
            if len(known.waiting) < 100 and self.waiting < _MAX_WAITING:
                self.waiting += 1
                known.waiting += ((message, head, raw, daemon),)
            known = None
        if status[2] == "sent":
            time = self._time(head)
            if known is not None and time is not None and known.account is not None:
                self.account(known.account).hour(int(time // 3600))[SENT] += 1
            if daemon == "smtp" and (self.refused_by or self.watch):
                self._taken(before, head)
            return
        self._not_sent(known, queue_id, rest, status, head, raw, daemon)

    def _filtered(self, message: Message, reply: str) -> bool:
        """A content filter put the message in again under another queue ID: whose it is, that is too. False where it is another's."""
        found = _QUEUED_AS.search(reply[:1000])
        again = self.open.get(found[1]) if found else None
        if again is None or again is message or (message.account is None and not message.stranger):
            return False
        if again.account is None and not again.stranger:
            again.account, again.stranger, again.accepted = message.account, message.stranger, message.accepted
            again.pending = message.pending
            self.waiting -= len(again.waiting)
            waiting, again.waiting = again.waiting, ()
            for line in waiting:
                self._delivered(*line)
        return (again.account, again.stranger) == (message.account, message.stranger)

    def _not_sent(self, known: Message | None, queue_id: str, rest: str, status: re.Match[str], head: str, raw: str, daemon: str) -> None:
        time = self._time(head)
        if time is None:
            return
        account = self.account(known.account) if known is not None and known.account is not None else None
        bounced = status[2] != "deferred"
        if account is not None:
            row = account.hour(int(time // 3600))
            row[BOUNCED if bounced else DEFERRED] += 1
            if bounced and status[1].startswith("5.1."):
                row[UNKNOWN_RECIPIENTS] += 1
                if account.wants("unknown", time):
                    account.keep("unknown", time, evidence(raw))
        # error(8) repeats a receiver's refusal for the messages that wait with it; lmtp(8) speaks to this host's own mailboxes.
        if not daemon:
            return
        # The recipient's own address, which the sender chose, says nothing of the reason.
        said = rest[status.end() :].replace(rest[: rest.find(">")][4:], "")
        reply = None if self.is_harmless(said) else remote_reply(said)
        # Long names before the reply must not cut its code off the evidence.
        about = (
            self._refused(reply, rest[: status.start()], time, f"{queue_id}: {rest[status.start() + 2 : status.start() + 500]}")
            if reply
            else ""
        )
        self.about = about
        if account is not None and about in REPUTATION:
            account.hour(int(time // 3600))[REPUTATION_REFUSALS] += 1
            if account.wants("refusal", time):
                account.keep("refusal", time, evidence(raw))

    def is_suspect(self, delivery: str) -> bool:
        """Whether that mail was taken has to be noted."""
        return _domain(delivery) in self.suspects

    def is_harmless(self, said: str) -> bool:
        """Whether what stands behind 'status=bounced (' without the recipient's address is no refusal that the catalogue knows."""
        found = self.harmless.get(said)
        if found is None:
            reply = remote_reply(said)
            found = not reply or self.replies.match(reply) is None
            if len(said) < 1000:  # most servers use few words
                if len(self.harmless) >= _MAX_HARMLESS:
                    self.harmless.clear()
                self.harmless[said] = found
        return found

    def _refused(self, reply: str, before: str, time: float, sample: str) -> str:
        """Count a reply that the catalogue knows and return what it is about, else ''. before: the line up to dsn=."""
        found = self.replies.match(reply)
        if not found:
            return ""
        entry, code = found
        address = self.senders.find(reply, _relay(before)) or ""
        key = (address, entry["provider"], entry["id"], code)
        if key not in self.refusing and len(self.refusing) >= MAX_REFUSALS:
            key = (*key[:3], "(others)")
        hour = int(time // 3600)
        row = self.refusals.get((*key, hour))
        if row is None:
            row = self.refusals[(*key, hour)] = Refusal(key, entry["about"], time, evidence(sample))
        row.count += 1
        row.last = max(row.last, time)
        domains = self.refusing.setdefault(key, set())
        self.touched.add(key)
        domain = _domain(before)
        if domain not in domains and len(domains) < MAX_DOMAINS:
            domains.add(domain)
        if address and len(self.refused_by) < MAX_REFUSALS:
            self.refused_by.setdefault((address, domain), set()).add(key)
            self.suspects.add(domain)
        about: str = entry["about"]
        return about

    def _taken(self, before: str, head: str) -> None:
        """Note that a receiver that refused an address took mail from it again; only where that address is the only one it can be."""
        domain, relay = _domain(before), _relay(before)
        if not relay or _is_local(relay):
            return  # a content filter took it, and the receiver was not asked yet
        address = self.senders.find("", relay) or ""
        keys = self.refused_by.get((address, domain))
        watched = address and domain in self.watch
        if not keys and not watched:
            return
        time = self._time(head)
        if time is None:
            return
        for key in keys or ():
            self.again[key] = time
            self.touched.add(key)
        if watched:
            self.taken[address, domain] = time

    def _held(self, rest: str, head: str, raw: str) -> None:
        """A suspect's mail is put on hold (access(5)): it counts as accepted when it is released, and qmgr sees it."""
        found, time = _HELD_LOGIN.match(rest), self._time(head)
        if found and time is not None and time >= self.forgiven.get(normalise(found[1]), 0):
            account = self.account(found[1])
            account.row(time)[HELD] += 1
            if account.wants("held", time):
                account.keep("held", time, evidence(raw))

    def _reject(self, rest: str, head: str, raw: str) -> None:
        # Postfix 3.10 ends the line with the login; before, only the lock's own refusal names it.
        match = _REFUSED_LOGIN.search(rest, max(rest.rfind("> sasl_method="), 0)) or _REJECTED_LOGIN.search(rest[:1000])
        login = match[1] if match else ""
        time = self._time(head) if login and not normalise(login).startswith(_NO_LOGIN) else None
        if time is not None and time >= self.forgiven.get(normalise(login), 0):
            account = self.account(login)
            account.row(time)[REFUSED_ATTEMPTS] += 1
            locked = _LOCKED_LOGIN.match(rest[:1000]) if self.after else None
            if locked:
                self._count_since(_REFUSED, normalise(locked[1]), time)
            if account.wants("refused", time):
                account.keep("refused", time, evidence(raw))

    # ---- Dovecot

    def _dovecot(self, message: str, head: str, raw: str) -> None:
        if "-login: Login: user=<" in message or "-login: Logged in: user=<" in message:
            self._login(message, head)
        elif "(auth" in message or "uth(" in message or "assword mismatch" in message:
            if _DOVECOT_FAILED.search(message):
                user, client = _DOVECOT_USER.search(message), _DOVECOT_CLIENT.search(message)
                if user:
                    self._failed_login(user[1], client[1] if client else "", head, raw)
            else:
                mismatch = _AUTH_MISMATCH.search(message[:1000])
                if mismatch:
                    self._failed_login(mismatch[1], mismatch[2], head, raw)

    def _login(self, message: str, head: str) -> None:
        user = _DOVECOT_USER.match(message, max(message.find(" user=<"), 0))
        client, time = _DOVECOT_CLIENT.match(message, max(message.find(" rip="), 0)), self._time(head)
        if user and time is not None and time >= self.forgiven.get(normalise(user[1]), 0):
            account = self.account(user[1])
            account.row(time)[LOGINS] += 1
            self._count_since(_LOGINS, normalise(user[1]), time)
            if client:
                account.value("login_clients", client[1], time)

    def _failed_login(self, login: str, client: str, head: str, raw: str) -> None:
        time, name = self._time(head), normalise(login)
        # Anyone may type a login that looks like the account of what no login sent.
        if time is None or time < self.forgiven.get(name, 0) or name.startswith(_NO_LOGIN):
            return
        account = self.account(login, typed=True)
        account.row(time)[FAILED_LOGINS] += 1
        self._count_since(_REFUSED, name, time)
        if client:
            account.value("failed_clients", client, time)
        if account.wants("failed", time):
            account.keep("failed", time, evidence(raw))

    def _logger(self, message: str, head: str, raw: str) -> None:
        time = self._time(head) if is_drop(message) else None
        if time is not None:
            self.gap(told(raw), time)

    # ---- the end

    def finish(self) -> None:
        """Hand everything over to the book."""
        self._flush()
        self.own.finish()
        self.shortcuts.settle()
        self.book.add_receivers(self.receivers)
        self.book.add_refusals(self.refusals.values())
        for key in self.touched:
            self.book.set_refused(key, self.again.get(key), self.refusing[key])
        self.touched = set()
        self.book.set_taken(self.taken)
        # Many clients come and leave without a message. It is the log's time that counts: nothing new says nothing of them.
        last = self.last or max(self.book.meta("span", [0.0]))
        self.book.set_open(
            (queue_id, known.account, known.stranger, known.accepted, known.time, known.pending)
            for queue_id, known in self.open.items()
            if known.time >= self.since and (known.account or known.time >= last - (_QUEUED_FOR if known.pending else _TRANSACTION))
        )
        self.refusals = {}
        self.taken = {}
        if self.ahead:
            self.gap(f"{self.ahead} lines are from the future: the clock of this host, or of who wrote its log, is wrong")

    def _covered(self, begin: float) -> dict[str, float | None]:
        """Return from when to when in the window lines were read, by this run and those before it, and since when the log is known."""
        known = (self.first, self.last, *self.book.meta("span", []))
        times = [time for time in known if time is not None and time <= self.now + _AHEAD]
        if not times or max(times) < begin:
            return {"first": None, "last": None, "since": None}
        self.book.set_meta("span", [min(times), max(times)])
        # Where older lines are there too, nobody wrote any in between.
        begun: float = self.since if self.older else min(times)
        reached = min(begun, float(self.book.meta("known", begun)))
        self.book.set_meta("known", reached)
        return {"first": max(min(times), begin), "last": max(times), "since": max(reached, self.since)}

    def _receivers(self, known: float | None) -> dict[str, t.Any]:
        """Return per receiver since when it is counted, and its days; known: since when the log is."""
        before, begun = self.book.meta("receivers", {}), {}
        for name, suffixes in self.receivers.known.items():
            # What was read before a receiver was known, or under other names, did not count for it; null: all that was read did.
            anew = None if self.fresh and name not in before else self.now
            same = before.get(name, {}).get("suffixes") == suffixes
            begun[name] = {"suffixes": suffixes, "since": before[name]["since"] if same else anew}
        self.book.set_meta("receivers", begun)
        days = self.book.receivers()
        return {
            name: {"since": known if row["since"] is None else max(row["since"], self.since), "days": days.get(name, [])}
            for name, row in begun.items()
        }

    def result(self, since: float | None = None) -> dict[str, t.Any]:
        """Return the aggregates of a window; see the module mail_log_info for their shape. since: its begin, the log's where not set."""
        self.finish()
        begin = self.since if since is None else since
        accounts = self.book.accounts(begin, self.now, self.after)
        for name, account in accounts.items():
            account.update(zip(SINCE, self.after.get(name, [0] * len(SINCE))))
        gaps = [*self.gaps, *self.book.notes(begin)]
        span = self._covered(begin)
        return {
            "span": span,
            "gaps": gaps,
            "complete": not gaps,
            "lines": self.lines,
            "unparsed": self.unparsed,
            "unparsed_samples": self.samples,
            "accounts": accounts,
            "hours": self.book.hours(begin),
            "since": {name: {"time": time, **dict(zip(SINCE, self.after[name]))} for name, time in self.accepted_since.items()},
            "refusals": self.book.refusals(begin, MAX_ROWS),
            "taken": self.book.taken(self.watch),
            "receivers": self._receivers(span["since"]),
        }

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the lines of one host's mail log to counters per account. Standard library only, Python >= 3.9.

Grammar: Postfix 3.5 to 3.11 and Dovecot 2.3 and 2.4, as their daemons write it. A line ': client=' ties a queue ID to a login;
it is no acceptance (an aborted transaction logs it too): that is proven by qmgr's first 'nrcpt=' of the queue ID, or by
cleanup's 'hold:'. A short queue ID is reused, so it is a key only until qmgr says 'removed'.
"""

from __future__ import annotations

import re
import typing as t

from .counters import Account
from .lines import Line, evidence, parse_line
from .refusals import REPUTATION, Replies, Senders, remote_reply

MAX_OPEN_MESSAGES = 500_000
MAX_ACCOUNTS = 20_000
MAX_GAPS = 20
MAX_REFUSALS = 10_000
MAX_ROWS = 200
MAX_DOMAINS = 20

_POSTFIX = re.compile(r"[\w.-]+(?:/[\w.-]+)*/(\w+)\Z")
_QUEUE_ID = re.compile(r"([0-9A-F]{5,20}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,30}): ")
_CLIENT = re.compile(r"client=[^\[\s]{1,300}\[([0-9A-Fa-f.:]{2,45})\]")
_ACTIVE = re.compile(r", size=\d{1,20}, nrcpt=(\d{1,9}) \(queue \w+\)\Z")
_STATUS = re.compile(r", dsn=([245]\.\d{1,3}\.\d{1,3}), status=(sent|deferred|bounced|expired|undeliverable) \(")
_RELAY = re.compile(r", relay=[^\s\[]{1,255}\[([0-9A-Fa-f.:]{2,45})\]")
_REJECTED_LOGIN = re.compile(r"\d{3} \d\.\d{1,3}\.\d{1,3} <([^>\s]{1,320})>: SASL login name rejected: ")
_SASL_FAILED = re.compile(r"warning: [^\[\s]{1,300}\[([0-9A-Fa-f.:]{2,45})\]: SASL [\w-]{1,20} authentication failed")
_DOVECOT_FAILED = re.compile(r"\(auth[_ ]failed[^)]{0,100}\)")
_DOVECOT_USER = re.compile(r" user=<([^>]{1,320})>")
_DOVECOT_CLIENT = re.compile(r" rip=([0-9A-Fa-f.:]{2,45})[,\s]")
_AUTH_MISMATCH = re.compile(r"\(([^,()\s]{1,320}),([0-9A-Fa-f.:]{2,45}),[^)]{0,100}\).{0,100}: Password mismatch", re.IGNORECASE)
_DELIVERY = frozenset(("smtp", "lmtp", "local", "virtual", "pipe", "error", "bounce", "discard"))


class _Refusal:
    """How often one receiver refused one address with one code."""

    def __init__(self, about: str, first: float, sample: str) -> None:
        self.about, self.first, self.last, self.sample = about, first, first, sample
        self.count = 0
        self.accepted: float | None = None
        self.domains: set[str] = set()


class _Message(t.NamedTuple):
    account: str
    accepted: bool


def _relay(delivery: str) -> str:
    """Return the address of the server that a delivery line names, or an empty text."""
    match = _RELAY.match(delivery, max(delivery.rfind(", relay="), 0))
    return match[1] if match else ""


def _domain(delivery: str) -> str:
    """Return the recipient's domain of a delivery line, which begins with to=<."""
    return delivery[4 : delivery.find(">")].rpartition("@")[2].lower()[:255]


def normalise(login: str) -> str:
    """Return a login as Postfix's lmdb: maps look it up: lower case, no space around it."""
    return login.strip().lower()


class MailLog:
    """Counts one host's log; feed() it in the order of time, then result()."""

    def __init__(
        self,
        now: float,
        since: float,
        accepted_since: dict[str, float] | None = None,
        utc_offset: int = 0,
        replies: t.Sequence[t.Mapping[str, t.Any]] = (),
        addresses: t.Sequence[str] = (),
        watch: t.Iterable[str] = (),
    ) -> None:
        """replies: entries of catalogue/provider_replies.yml; addresses: what this host sends from; watch: domains that refused it in the
        past. RepliesError where an entry or address is unusable."""
        self.now, self.since, self.utc_offset = now, since, utc_offset
        self.replies, self.senders = Replies(replies), Senders(addresses)
        self.accepted_since = {normalise(name): float(time) for name, time in (accepted_since or {}).items()}
        self.forgiven: dict[str, float] = {}
        self.accounts: dict[str, Account] = {}
        self.open: dict[str, _Message] = {}
        self.refusals: dict[tuple[str, str, str, str], _Refusal] = {}
        self.refused_by: dict[tuple[str, str], dict[int, _Refusal]] = {}
        self.watch = frozenset(domain.lower() for domain in watch)
        self.taken: dict[tuple[str, str], float] = {}
        self.gaps: list[str] = []
        self.lines = self.unparsed = 0
        self.first: float | None = None
        self.last: float | None = None

    def feed(self, raw: str) -> None:
        """Take one raw line of the log in."""
        line = parse_line(raw, self.now, self.utc_offset)
        if line is None:
            self.unparsed += 1
            return
        if line.time < self.since:
            return
        self.lines += 1
        if self.first is None:
            self.first = line.time
        self.last = line.time
        postfix = _POSTFIX.match(line.program)
        if postfix:
            self._postfix(postfix[1], line, raw)
        elif line.program in ("dovecot", "auth", "imap-login", "pop3-login", "submission-login", "managesieve-login"):
            self._dovecot(line, raw)
        elif line.program in ("systemd-journald", "rsyslogd"):
            self._logger(line)

    def forgive(self, reinstated: dict[str, float]) -> None:
        """Do not count what accounts did before these times (epoch): the break-in that was dealt with."""
        self.forgiven = {normalise(name): float(time) for name, time in reinstated.items()}

    def _before(self, login: str, line: Line) -> bool:
        return line.time < self.forgiven.get(login, 0)

    def gap(self, text: str) -> None:
        """Note that something is missing in the log."""
        if len(self.gaps) < MAX_GAPS:
            self.gaps.append(text)

    def account(self, name: str) -> Account:
        name = normalise(name)[:320]
        if name not in self.accounts and len(self.accounts) >= MAX_ACCOUNTS:
            self.gap(f"more than {MAX_ACCOUNTS} accounts in the log: the later ones were counted together")
            name = "(others)"
        return self.accounts.setdefault(name, Account())

    def _postfix(self, daemon: str, line: Line, raw: str) -> None:
        message = line.message
        match = _QUEUE_ID.match(message)
        if not match:
            if daemon == "smtpd":
                self._smtpd_without_id(line, raw)
            return
        queue_id, rest = match[1], message[match.end() :]
        if daemon == "smtpd":
            if rest.startswith("client="):
                self._client(queue_id, rest, line, raw)
            elif rest.startswith("reject: "):
                self._reject(rest, line, raw)
        elif daemon in ("qmgr", "postsuper"):
            if rest == "removed":
                self.open.pop(queue_id, None)
            elif daemon == "qmgr" and rest.startswith("from=<"):
                active = _ACTIVE.search(rest[-80:])
                if active:
                    self._accepted(queue_id, int(active[1]), rest[6 : rest.rfind(">")], line, raw)
        elif daemon == "cleanup" and rest.startswith("hold: "):
            self._accepted(queue_id, 1, "", line, raw)
            self._of(queue_id, "held")
        elif daemon in _DELIVERY and rest.startswith("to=<"):
            self._delivery(daemon, queue_id, rest, line, raw)

    def _client(self, queue_id: str, rest: str, line: Line, raw: str) -> None:
        _, found, login = rest.partition(", sasl_username=")
        if not found:
            self.open.pop(queue_id, None)  # a short queue ID that is used again, without a login
            return
        login = normalise(login.partition(", sasl_sender=")[0])[:320]
        if self._before(login, line):
            return
        account = self.account(login)
        client = _CLIENT.match(rest)
        if client:
            account.clients.add(client[1])
        account.seen(line.time)
        account.keep("client", evidence(raw))
        if len(self.open) >= MAX_OPEN_MESSAGES:
            self.open.pop(next(iter(self.open)))
        self.open[queue_id] = _Message(login, False)

    def _accepted(self, queue_id: str, recipients: int, sender: str, line: Line, raw: str) -> None:
        message = self.open.get(queue_id)
        if message is None or message.accepted:
            return
        self.open[queue_id] = _Message(message.account, True)
        account = self.account(message.account)
        account.count("messages")
        account.count("recipients", recipients)
        hour = int(line.time // 3600)
        account.hours[hour] = account.hours.get(hour, 0) + recipients
        account.seen(line.time)
        if sender:
            account.senders.add(sender.lower())
        if line.time > self.accepted_since.get(message.account, float("inf")):
            account.count("accepted_since")
            account.keep("accepted_since", evidence(raw))

    def _of(self, queue_id: str, what: str) -> Account | None:
        message = self.open.get(queue_id)
        if message is None:
            return None
        account = self.account(message.account)
        account.count(what)
        return account

    def _delivery(self, daemon: str, queue_id: str, rest: str, line: Line, raw: str) -> None:
        # The first status= is Postfix's own: what follows it is the remote server's text.
        status = _STATUS.search(rest)
        if not status:
            return
        what = {"sent": "sent", "deferred": "deferred"}.get(status[2], "bounced")
        account = self._of(queue_id, what)
        if what == "sent":
            if daemon == "smtp" and (self.refused_by or self.watch):
                self._taken(rest[: status.start()], line)
            return
        if account and what == "bounced" and status[1].startswith("5.1."):
            account.count("unknown_recipients")
            account.keep("unknown", evidence(raw))
        # error(8) repeats a receiver's refusal for the messages that wait with it; lmtp(8) speaks to this host's own mailboxes.
        if daemon not in ("smtp", "error"):
            return
        reply = remote_reply(rest[status.end() :])
        # Long names before the reply must not cut its code off the evidence.
        sample = evidence(f"{queue_id}: {rest[status.start() + 2 : status.start() + 500]}")
        about = self._refused(reply, rest[: status.start()], line, sample) if reply else ""
        if account and about in REPUTATION:
            account.count("reputation_refusals")
            account.keep("refusal", evidence(raw))

    def _refused(self, reply: str, before: str, line: Line, sample: str) -> str:
        """Count a reply that the catalogue knows and return what it is about, else ''. before: the line up to dsn=."""
        found = self.replies.match(reply)
        if not found:
            return ""
        entry, code = found
        address = self.senders.find(reply, _relay(before)) or ""
        key = (address, entry["provider"], entry["id"], code)
        if key not in self.refusals and len(self.refusals) >= MAX_REFUSALS:
            key = (*key[:3], "(others)")
        row = self.refusals.get(key)
        if row is None:
            row = self.refusals[key] = _Refusal(entry["about"], line.time, sample)
        row.count += 1
        row.last = line.time
        if len(row.domains) < MAX_DOMAINS:
            row.domains.add(_domain(before))
        if address and len(self.refused_by) < MAX_REFUSALS:
            self.refused_by.setdefault((address, _domain(before)), {})[id(row)] = row
        about: str = entry["about"]
        return about

    def _taken(self, before: str, line: Line) -> None:
        """Note that a receiver that refused an address took mail from it again; only where that address is the only one it can be."""
        address, domain = self.senders.find("", _relay(before)) or "", _domain(before)
        for row in self.refused_by.get((address, domain), {}).values():
            row.accepted = line.time
        if address and domain in self.watch:
            self.taken[address, domain] = line.time

    def _smtpd_without_id(self, line: Line, raw: str) -> None:
        if line.message.startswith("NOQUEUE: reject: "):
            self._reject(line.message[9:], line, raw)
            return
        failed = _SASL_FAILED.match(line.message)
        _, found, login = line.message.rpartition(", sasl_username=")
        if failed and found and login:
            self._failed_login(login, failed[1], line, raw)

    def _reject(self, rest: str, line: Line, raw: str) -> None:
        # Postfix 3.10 ends the line with the login; before, only the lock's own refusal names it.
        _, found, login = rest.rpartition(" sasl_username=")
        if not found:
            match = _REJECTED_LOGIN.search(rest[:1000])
            login = match[1] if match else ""
        if login and not self._before(normalise(login), line):
            account = self.account(login)
            account.count("refused_attempts")
            account.keep("refused", evidence(raw))

    def _dovecot(self, line: Line, raw: str) -> None:
        message = line.message
        if _DOVECOT_FAILED.search(message):
            user, client = _DOVECOT_USER.search(message), _DOVECOT_CLIENT.search(message + " ")
            if user:
                self._failed_login(user[1], client[1] if client else "", line, raw)
        else:
            mismatch = _AUTH_MISMATCH.search(message[:1000])
            if mismatch:
                self._failed_login(mismatch[1], mismatch[2], line, raw)

    def _failed_login(self, login: str, client: str, line: Line, raw: str) -> None:
        if self._before(normalise(login), line):
            return
        account = self.account(login)
        account.count("failed_logins")
        if client:
            account.failed_clients.add(client)
        account.keep("failed", evidence(raw))

    def _logger(self, line: Line) -> None:
        text = line.message
        if text.startswith("Suppressed ") or "messages lost due to rate-limiting" in text or ("lost " in text and "rate-limiting" in text):
            self.gap(f"{line.program}: {evidence(text)[:200]}")

    def result(self) -> dict[str, t.Any]:
        """Return the aggregates; see the module mail_log_info for their shape."""
        refusals = sorted(self.refusals.items(), key=lambda item: (-item[1].count, item[0]))[:MAX_ROWS]
        return {
            "span": {"first": self.first, "last": self.last},
            "gaps": self.gaps,
            "complete": not self.gaps,
            "lines": self.lines,
            "unparsed": self.unparsed,
            "accounts": {name: self.accounts[name].as_dict() for name in sorted(self.accounts)},
            "refusals": [
                {
                    "address": address or None,
                    "provider": provider,
                    "id": identity,
                    "code": code,
                    "about": row.about,
                    "count": row.count,
                    "first": row.first,
                    "last": row.last,
                    "accepted": row.accepted if row.accepted is not None and row.accepted > row.last else None,
                    "domains": sorted(row.domains),
                    "sample": row.sample,
                }
                for (address, provider, identity, code), row in refusals
            ],
            "taken": [{"address": address, "domain": domain, "time": time} for (address, domain), time in sorted(self.taken.items())],
        }

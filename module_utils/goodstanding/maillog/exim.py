# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exim's main log, into the same counters as Postfix's. Standard library only, Python >= 3.9.

Grammar: Exim 4.8x to 4.98, chapter 'Log files' of its specification. A line '<=' is an acceptance. It is read from the left, field by
field, as far as Exim itself writes it: the sender, the helo, the message ID and the subject are a stranger's, and what does not have the
form that Exim gives it counts as no log line. A helo with spaces has not: Exim refuses it, except to helo_accept_junk_hosts.
"""

from __future__ import annotations

import collections
import hashlib
import re
import typing as t

from .counters import (
    BOUNCED,
    DEFERRED,
    RECIPIENTS,
    REFUSED_ATTEMPTS,
    REPUTATION_REFUSALS,
    SENT,
    UNKNOWN_RECIPIENTS,
)
from .lines import evidence, normalise
from .postfix import Message
from .refusals import MAX_REPLY, REPUTATION

if t.TYPE_CHECKING:
    from .parser import MailLog

#: So many recipients of messages under way are remembered, to count each once.
MAX_SEEN = 100_000
#: Exim's own limit of a line is 8192 octets: a list of recipients that comes near it may be cut.
_CUT = 8000
_META = "exim"

# Exim 4.97 and later write the longer form.
_ID = r"[0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4})"
_MESSAGE = re.compile(rf"({_ID}) (<=|=>|->|>>|\*\*|==|Completed(?=\s|\Z)) ?")
_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?(?: [+-]\d{4})? ", re.ASCII)
_PID = re.compile(r"\[\d{1,10}\] ")
# A long line goes to syslog in pieces: [1\3], [2\3]; the pieces after the first begin anywhere in a stranger's text.
_PIECE = re.compile(r"\[(\d{1,4})[\\/]\d{1,4}\] ")
_ADDRESS = re.compile(r'((?:"(?:[^"\\]|\\.)*"|[^\s"])+)(?: <([^>]{1,320})>)?')
_HOST = r"H=(?:[^\s()]{1,255} )?(?:\(\S{0,1000}\) )?\[([0-9A-Fa-f.:]{2,45})\](?::\d{1,5})?"
_SMALL = r"(?: (?:DS|TFO\*?|PRX=\S{1,60}|I=\S{1,60}))*"
_FROM = re.compile(rf"(?: R=(\S{{1,40}}))?(?: DS)?(?: {_HOST})?{_SMALL}(?: U=(\S{{1,100}}))?{_SMALL} P=([\w-]{{1,40}})(?=\s)")
_SIZE = re.compile(r" S=(\d{1,15})(?=\s|\Z)")
_LIST = re.compile(
    r'(?: (?!id=|T=|from |for )\S+){0,20}(?: id=(?:"(?:[^"\\]|\\.)*"|[^\s"])*)?(?: T="(?:[^"\\]|\\.)*")?'
    r'(?: from <(?:"(?:[^"\\]|\\.)*"|[^">])*>)? for '
)
_FAILED = re.compile(rf"[\w.-]{{1,64}} authenticator failed for (?:H=)?{_HOST[2:]}{_SMALL}(?: U=\S{{1,100}})?: 535 ")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SET_ID = re.compile(r"\(set_id=(.{1,320})\)\Z")
_REFUSED = re.compile(
    rf"{_HOST}{_SMALL}(?: U=\S{{1,100}})?(?: X=\S{{1,100}})?(?: CV=\S{{1,20}})?{_SMALL} A=[\w.-]{{1,64}}:(\S{{1,320}}) "
    r'F=<(?:"(?:[^"\\]|\\.)*"|[^">])*> (?:rejected|temporarily rejected) '
)
# One recipient of a list; a quote without an end goes to the end of the line, so that no text is searched twice.
_WORD = re.compile(r'(?:"(?:[^"\\]|\\.|\\\Z)*(?:"|\Z)|[^\s"])+')
_RELAY = re.compile(r" H=(\S{1,255}) \[([0-9A-Fa-f.:]{2,45})\]")
_REMOTE = "SMTP error from remote mail server after "
_REPLY = re.compile(r": (?:host (\S{1,255}) \[([0-9A-Fa-f.:]{2,45})\](?::\d{1,5})?: )?(?=[245]\d\d[ -])")
_CODE = re.compile(r"\d{3}[ -](5\.1\.)\d", re.ASCII)


def stamped(text: str) -> str:
    """Return what follows the time that Exim puts before a line, and its process ID."""
    stamp = _STAMP.match(text)
    if stamp:
        text = text[stamp.end() :]
    pid = _PID.match(text)
    return text[pid.end() :] if pid else text


def _short(recipient: str) -> str:
    return hashlib.sha256(recipient.lower().encode("utf-8", "replace")).hexdigest()[:10]


class Exim:
    """Reads Exim's lines into a MailLog.

    listed: of messages under way the recipients that were counted one by one, since their line '<=' names none (or not all)."""

    def __init__(self, log: MailLog) -> None:
        self.log = log
        self.listed: dict[str, set[str]] = {name: set(seen) for name, seen in log.book.meta(_META, {}).items()}
        self.seen = sum(map(len, self.listed.values()))
        self.failures: collections.deque[tuple[str, int]] = collections.deque(maxlen=8)

    def finish(self) -> None:
        """Remember the recipients of what is still under way."""
        known = {name: sorted(seen) for name, seen in self.listed.items() if name in self.log.open}
        if known or self.log.book.meta(_META):
            self.log.book.set_meta(_META, known)

    def syslog(self, message: str, head: str, raw: str) -> None:
        """Take a line that came through syslog, with Exim's own time before it or without."""
        piece = _PIECE.match(message)
        if piece:
            if piece[1] != "1":
                return
            message = message[piece.end() :]
        text = stamped(message)
        if not _MESSAGE.match(text):
            # syslog_duplication: what goes to the main log and to the reject log comes twice.
            key = (message, int(self.log.clock.time(head) or 0))
            if key in self.failures:
                return
            self.failures.append(key)
        if not self.line(text, head, raw):
            self.log._unparsed(raw)

    def line(self, text: str, head: str, raw: str) -> bool:
        """Take what follows the time; False where it should be a line of a message and has not the form of one."""
        text = text.rstrip()
        found = _MESSAGE.match(text)
        if not found:
            self._other(text, head, raw)
            return True
        name, kind, rest = found[1], found[2], text[found.end() :]
        if kind == "<=":
            return self._arrived(name, rest, head, raw)
        if kind == "Completed":
            self.log.end(name)
            self.seen -= len(self.listed.pop(name, ()))
        else:
            self._delivery(name, kind, rest, head, raw)
        return True

    def _arrived(self, name: str, rest: str, head: str, raw: str) -> bool:
        sender = _ADDRESS.match(rest)
        if sender:
            # A certificate's or a client's name may be quoted: nothing in quotes is a field.
            rest = rest[: sender.end()] + _QUOTED.sub(lambda found: '"' + "_" * (len(found[0]) - 2) + '"', rest[sender.end() :])
        found = _FROM.match(rest, sender.end(1)) if sender else None
        size = _SIZE.search(rest, found.end()) if found else None
        self.log.end(name)
        if sender is None or found is None or size is None:
            return False
        reference, client, user, protocol = found.groups()
        login = ""
        # The a is Exim's word for an authenticated client, and stands before what that client can write.
        if client and protocol.endswith("a"):
            login = rest[found.end() : size.start()].rpartition(" A=")[2].partition(" ")[0].partition(":")[2].partition(":")[0]
        elif not client and user and not (reference and sender[1] == "<>"):
            login = f"uid:{user}"  # not a bounce of Exim's own
        time = self.log._time(head) if login else None
        if time is None:
            return True
        login = normalise(login)[:320]
        if time < self.log.forgiven.get(login, 0):
            return True
        account = self.log.account(login)
        if client:
            account.value("clients", client, time)
        if account.wants("client", time):
            account.keep("client", time, evidence(raw))
        listed = _LIST.match(rest, size.end())
        recipients = sum(1 for _ in _WORD.finditer(rest, listed.end())) if listed else 0
        message = Message(login, time)
        self.log.begin_message(name, message)
        if not recipients or len(raw) >= _CUT:
            self.seen -= len(self.listed.get(name, ()))
            self.listed[name] = set()
            recipients = 0
        self.log._accepted(message, recipients, int(size[1]), "" if sender[1] == "<>" else sender[1], head, raw)
        return True

    def _delivery(self, name: str, kind: str, rest: str, head: str, raw: str) -> None:
        known = self.log.open.get(name)
        sent = kind not in ("**", "==")
        if known is None and sent and not (self.log.refused_by or self.log.watch):
            return
        recipient, time = _ADDRESS.match(rest), self.log._time(head)
        if not recipient or time is None:
            return
        address = recipient[2] or recipient[1].rstrip(":")
        after = rest[recipient.end() :]
        account = self.log.account(known.account) if known is not None and known.account else None
        if account is not None and self._is_new(name, address, kind):
            account.hour(int(time // 3600))[RECIPIENTS] += 1
        if sent:
            if account is not None:
                account.hour(int(time // 3600))[SENT] += 1
            relay = _relay(after)
            if relay:
                self.log._taken(f"to=<{address}>, relay={relay}:25", head)
            return
        before, remote, said = after.partition(_REMOTE)
        reply = _REPLY.search(said[:3000]) if remote else None
        # A reply of several lines is one text with \n in it.
        words = said[reply.end() :][:MAX_REPLY].replace("\\n", " ") if reply else ""
        if account is not None:
            row = account.hour(int(time // 3600))
            row[BOUNCED if kind == "**" else DEFERRED] += 1
            if kind == "**" and (_CODE.match(words) if reply else rest.endswith(": Unrouteable address")):
                row[UNKNOWN_RECIPIENTS] += 1
                if account.wants("unknown", time):
                    account.keep("unknown", time, evidence(raw))
        if not reply:
            return
        relay = f"{reply[1]}[{reply[2]}]" if reply[2] else _relay(before)
        about = self.log._refused(words, f"to=<{address}>, relay={relay}:25", time, f"{name}: {kind} {rest[:60]} {_REMOTE}{said[:400]}")
        if account is not None and about in REPUTATION:
            account.hour(int(time // 3600))[REPUTATION_REFUSALS] += 1
            if account.wants("refusal", time):
                account.keep("refusal", time, evidence(raw))

    def _is_new(self, name: str, address: str, kind: str) -> bool:
        """Whether a recipient is one that was not counted yet."""
        seen = self.listed.get(name)
        if seen is None:
            return False
        short = _short(address)
        if short in seen:
            return False
        if self.seen >= MAX_SEEN:
            return kind != "=="  # nothing can be remembered: only what ends a delivery counts, and that once
        self.seen += 1
        seen.add(short)
        return True

    def _other(self, text: str, head: str, raw: str) -> None:
        """A line without a message: a failed login, or what was refused of a client that is logged in."""
        if " authenticator failed for " in text[:100]:
            failed, login = _FAILED.match(text), _SET_ID.search(text, max(text.rfind("(set_id="), 0))
            if failed and login:
                self.log._failed_login(login[1], failed[1], head, raw)
        elif text.startswith("H=") and "rejected " in text:
            refused = _REFUSED.match(text)
            time = self.log._time(head) if refused else None
            login_name = normalise(refused[2].partition(":")[0]) if refused else ""
            if login_name and time is not None and time >= self.log.forgiven.get(login_name, 0):
                account = self.log.account(login_name)
                account.row(time)[REFUSED_ATTEMPTS] += 1
                if account.wants("refused", time):
                    account.keep("refused", time, evidence(raw))


def _relay(text: str) -> str:
    """Return host[address] of the server that a delivery line names, or an empty text."""
    found = _RELAY.search(text[:2000])
    return f"{found[1]}[{found[2]}]" if found else ""

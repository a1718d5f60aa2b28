# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines that a daemon wrote to a file of its own, without syslog: who reads them? Standard library only, Python >= 3.9.

A file's kind is told by its lines, not by its name: Exim's main log, Dovecot's log_path (any log_timestamp that is a date or
syslog's), Rspamd's own log. Postfix's maillog_file has the form of syslog.
"""

from __future__ import annotations

import re
import typing as t

from .exim import Exim, stamped
from .milters import Milters

if t.TYPE_CHECKING:
    from .parser import Handler, MailLog

# 'imap-login: Info: ', 'imap(user)<pid><session>: Info: ': Dovecot puts the level between its prefix and the message.
_DOVECOT = re.compile(
    r"([a-z][\w-]{0,39}(?:\([^)]{0,400}\))?(?:<[^>\s]{0,100}>){0,3}): (?:Debug|Info|Warning|Error|Fatal|Panic): ", re.ASCII
)
_LEVEL = re.compile(r"(?:Debug|Info|Warning|Error|Fatal|Panic): ")
_LOGINS = frozenset(("imap-login", "pop3-login", "submission-login", "managesieve-login", "auth", "auth-worker"))


class OwnLines:
    """Reads lines of files that are no syslog into a MailLog."""

    def __init__(self, log: MailLog) -> None:
        self.log, self.exim, self.milters = log, Exim(log), Milters(log)

    def handler(self, program: str) -> Handler | None:
        """Return who reads what a program says through syslog, as far as the parser does not itself."""
        if program in ("exim", "exim4"):
            return self.exim.syslog
        if program == "opendkim":
            return self.milters.opendkim
        if program == "rspamd":
            return self.milters.rspamd
        if program in _LOGINS:
            return self._dovecot
        return None

    def _dovecot(self, message: str, head: str, raw: str) -> None:
        """A line that begins with syslog's form of time, and has the name of Dovecot's process in the place of a host."""
        level = _LEVEL.match(message)
        self.log._dovecot(f"{head[head.rfind(' ') + 1 :]}: {message[level.end() :] if level else message}", head, raw)

    def line(self, raw: str) -> bool:
        """Take a line that begins with a date and a space; False where it is no log line."""
        if self.log.clock.time(raw) is None:
            return False
        text = stamped(raw)
        return self._dovecot_line(text, raw) or self.milters.line(text, raw) or self.exim.line(text, raw, raw)

    def undated(self, raw: str) -> bool:
        """Take a line of Dovecot's own file that begins with syslog's form of time; False where it is none."""
        return self.log.clock.time(raw) is not None and self._dovecot_line(raw[16:], raw)

    def _dovecot_line(self, text: str, raw: str) -> bool:
        found = _DOVECOT.match(text)
        if found:
            self.log._dovecot(f"{found[1]}: {text[found.end() :]}", raw, raw)
        return bool(found)

    def finish(self) -> None:
        self.exim.finish()

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OpenDKIM and Rspamd say of a queue ID. Standard library only, Python >= 3.9.

OpenDKIM names the queue ID alone: the message must be under way in the same log. Rspamd names the login too, so that its own file, which is
read for itself, tells whose mail it judged.
"""

from __future__ import annotations

import re
import typing as t

from .counters import JUDGED_SPAM, SIGNED
from .lines import normalise

if t.TYPE_CHECKING:
    from .parser import MailLog

_SIGNED = ": DKIM-Signature field added (s="
#: What Rspamd does with mail that it has nothing, or not yet anything, against.
_HARMLESS = frozenset(("no action", "greylist"))
_VERDICT = "rspamd_task_write_log: id: <"
# log_format's default: id: <$mid>,$if_qid{ qid: <$>,}$if_ip{ ip: $,}$if_user{ user: $,}$if_smtp_from{ from: <$>,} (default: ...
_HEAD = re.compile(r">, qid: <([0-9A-Za-z-]{5,40})>,(?: ip: [0-9A-Fa-f.:]{2,45},)?(?: user: ([^\s,]{1,320}),)?(?= )")
_ACTION = re.compile(r" \([\w.-]{1,64}: [A-Za-z] \(([a-z ]{1,40})\): \[-?[\d.]{1,20}/")
_FILE = re.compile(r"#\d{1,10}\([\w ./-]{1,40}\) (?:<[^>\s]{0,40}>; )?")


class Milters:
    """Reads what milters say into a MailLog."""

    def __init__(self, log: MailLog) -> None:
        self.log = log

    def opendkim(self, message: str, head: str, raw: str) -> None:
        queue_id, found, _ = message.partition(_SIGNED)
        known = self.log.open.get(queue_id) if found else None
        if known is not None and known.account:
            self._count(known.account, SIGNED, head)

    def rspamd(self, message: str, head: str, raw: str) -> None:
        """Count what Rspamd judged of an account's mail; a message ID is a stranger's, so a line that has two queue IDs is nobody's."""
        _, found, text = message.partition(_VERDICT)
        if not found or text.count(">, qid: <") != 1:
            return
        about = _HEAD.search(text)
        action = _ACTION.search(text, about.end()) if about else None
        if about is None or action is None or action[1] in _HARMLESS:
            return
        known = self.log.open.get(about[1])
        login = about[2] or (known.account if known is not None else None)
        if login:
            self._count(login, JUDGED_SPAM, head)

    def line(self, text: str, raw: str) -> bool:
        """Take what follows the time in Rspamd's own file; False where it is none of its lines."""
        found = _FILE.match(text)
        if found:
            self.rspamd(text[found.end() :], raw, raw)
        return bool(found)

    def _count(self, login: str, number: int, head: str) -> None:
        time = self.log._time(head)
        if time is not None and time >= self.log.forgiven.get(normalise(login), 0):
            self.log.account(login).hour(int(time // 3600))[number] += 1

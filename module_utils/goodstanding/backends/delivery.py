# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether mail to an account is still taken: a lock must not bounce its owner's mail. Standard library only, Python >= 3.9.

Two places are asked, and nothing is sent: Postfix by RCPT TO with the null sender, Dovecot's userdb (which LMTP uses) by doveadm user.
A place that takes an address that cannot exist, too, can tell nothing about one that does.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import time
import typing as t

from ..host.files import HostError, Run
from .reach import TIMEOUT

#: Per place (rcpt, userdb): accepted, refused or unknown.
Answer = dict[str, str]
DEFAULT = "127.0.0.1:25"
_NOBODY = "goodstanding-no-such-user"
_TRIES, _PAUSE = 3, 2.0


class Probe:
    """place: HOST:PORT of an SMTP server, empty for none, None for this host's own where it has one.

    pause: seconds before a server that answered 4xx is asked again.
    """

    def __init__(self, run: Run, place: str | None, has_dovecot: bool, pause: float = _PAUSE) -> None:
        host, _, port = (DEFAULT if place is None else place).rpartition(":")
        if place and not (host and port.isascii() and port.isdigit()):
            raise HostError(f"delivery_probe is {place[:80]!r}: expected HOST:PORT, such as 127.0.0.1:25, or an empty text for none")
        self.run, self.pause, self.has_dovecot = run, pause, has_dovecot
        self.place = (host.strip("[]"), int(port)) if host else None
        if place is None and not self._listens():
            self.place = None

    def look(self, accounts: list[str]) -> dict[str, Answer]:
        """Return what each place answers for each account."""
        return {account: {"rcpt": self._tell(self._rcpt, account), "userdb": self._tell(self._userdb, account)} for account in accounts}

    def forget(self, accounts: list[str]) -> None:
        """Let Dovecot ask its userdb anew."""
        for account in accounts if self.has_dovecot else []:
            self.run(["doveadm", "auth", "cache", "flush", "--", account])

    def _tell(self, ask: t.Callable[[str], str], account: str) -> str:
        answer = ask(account)
        at, domain = account.rpartition("@")[1:] if "@" in account else ("", "")
        return "unknown" if answer == "accepted" and ask(f"{_NOBODY}{at}{domain}") == "accepted" else answer

    def _listens(self) -> bool:
        try:
            with socket.create_connection(t.cast("tuple[str, int]", self.place), timeout=TIMEOUT):
                return True
        except OSError:
            return False

    def _userdb(self, account: str) -> str:
        if not self.has_dovecot:
            return "unknown"
        code = self.run(["doveadm", "user", "--", account])[0]
        return {0: "accepted", 67: "refused"}.get(code, "unknown")  # 67: EX_NOUSER, doveadm-user(1)

    def _rcpt(self, account: str) -> str:
        for number in range(_TRIES if self.place else 0):
            code = self._code(account)
            if 200 <= code < 300:
                return "accepted"
            if 500 <= code < 600:
                return "refused"
            if number + 1 < _TRIES:
                time.sleep(self.pause)
        return "unknown"

    def _code(self, account: str) -> int:
        """Return the SMTP code of RCPT TO; 0 where the server did not come as far as that."""
        host, port = t.cast("tuple[str, int]", self.place)
        try:
            session = smtplib.SMTP(host, port, local_hostname=socket.gethostname(), timeout=TIMEOUT)
            try:
                session.ehlo_or_helo_if_needed()
                return session.rcpt(account)[0] if session.mail("")[0] == 250 else 0
            finally:
                with contextlib.suppress(OSError, smtplib.SMTPException):
                    session.quit()
        except (OSError, smtplib.SMTPException, UnicodeError):
            return 0


def bounced(before: dict[str, Answer], after: dict[str, Answer]) -> dict[str, list[str]]:
    """Return the accounts whose mail was taken before and is refused after, each with the places that say so."""
    found = {}
    for account, answers in after.items():
        places = [place for place, answer in answers.items() if answer == "refused" and before.get(account, {}).get(place) == "accepted"]
        if places:
            found[account] = places
    return found

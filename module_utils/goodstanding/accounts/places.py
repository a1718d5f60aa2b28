# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The places on a mail host where a lock is set: Postfix's two maps and Dovecot's deny file. Standard library only, Python >= 3.9.

map: who logged in may not send (check_sasl_access); deny: nobody logs in under that name; submit: a local user may not use sendmail(1).
The files are this project's own, so what a lock finds in them is never somebody's setting.
"""

from __future__ import annotations

import pwd

from ..host.files import File, HostError, Run, changes, load_state, read_text, write_file
from ..host.journal import Fields
from . import dovecot_conf, hold, plumbing, postfix_conf

UID = "uid:"


def local_name(account: str) -> str | None:
    """Return the local user behind an account: uid:33 and uid:www-data are users, alice may be one; None where it is none."""
    name = account[len(UID) :] if account.startswith(UID) else account
    try:
        return pwd.getpwuid(int(name)).pw_name if account.startswith(UID) and name.isdigit() else pwd.getpwnam(name).pw_name
    except (KeyError, OverflowError, ValueError):
        return None


class _Place:
    """A file of our own in which locked names stand."""

    name: str
    own = True

    def __init__(self, run: Run, incident: str) -> None:
        self.run, self.incident = run, incident

    def entries(self) -> dict[str, str]:
        """Return the locked names that stand there, each with what it says."""
        raise NotImplementedError

    def file(self, entries: dict[str, str]) -> File:
        """Return the file with these names."""
        raise NotImplementedError

    def publish(self) -> None:
        """Make of the file what the daemon reads."""

    def stale(self) -> bool:
        """Return whether what the daemon reads is older than the file."""
        return False

    def key(self, account: str) -> str | None:
        """Return the name under which an account stands there, or None where it has no business there."""
        raise NotImplementedError

    def read(self, accounts: list[str]) -> dict[str, Fields | None]:
        entries = self.entries()
        keys = {account: self.key(account) for account in accounts}
        return {account: None if key is None else ({"entry": entries[key]} if key in entries else {}) for account, key in keys.items()}

    def planned(self, accounts: list[str], locked: bool) -> list[tuple[File, str | None]]:
        """Return the change of the file that locking or unlocking would be."""
        entries = self.entries()
        for account in accounts:
            key = self.key(account)
            if key is not None and locked:
                entries.setdefault(key, self.text())
            elif key is not None:
                entries.pop(key, None)
        return changes([self.file(entries)])

    def text(self) -> str:
        return ""

    def lock(self, accounts: list[str]) -> None:
        self._write(self.planned(accounts, True))

    def restore(self, before: dict[str, Fields]) -> None:
        self._write(self.planned([account for account, fields in before.items() if not fields], False))

    def _write(self, planned: list[tuple[File, str | None]]) -> None:
        for file, _ in planned:
            write_file(file)
        self.publish()


class _Map(_Place):
    """An lmdb map of Postfix and its source."""

    source: str
    head: str

    def text(self) -> str:
        return f"REJECT 5.7.1 account locked, incident {self.incident}"

    def entries(self) -> dict[str, str]:
        known = postfix_conf.read_map(read_text(self.source) or "")
        return {name: action for name, action in known.items() if action.startswith("REJECT")}

    def file(self, entries: dict[str, str]) -> File:
        return File(self.source, postfix_conf.write_map(entries, self.head))

    def publish(self) -> None:
        plumbing.make_map(self.run, self.source)

    def stale(self) -> bool:
        # A crash may have come between the source and the map.
        text = read_text(self.source)
        if text is None:
            return False
        code, out, _ = self.run(["postmap", "-s", f"lmdb:{self.source}"])
        return bool(code) or postfix_conf.read_map(out.replace("\t", " ")) != postfix_conf.read_map(text)


class SenderMap(_Map):
    name, source, head = "map", plumbing.MAP_SOURCE, postfix_conf.MAP_HEAD

    def key(self, account: str) -> str | None:
        return None if account.startswith(UID) else account

    def file(self, entries: dict[str, str]) -> File:
        # Suspects' mail is held by the same map; where both are wanted, the lock is what counts.
        return super().file({**hold.entries(load_state(hold.HOLDS)), **entries})


class SubmitMap(_Map):
    name, source, head = "submit", plumbing.USERS_SOURCE, postfix_conf.USERS_HEAD

    def key(self, account: str) -> str | None:
        return local_name(account)


class DenyFile(_Place):
    name = "deny"

    def key(self, account: str) -> str | None:
        return None if account.startswith(UID) else account

    def entries(self) -> dict[str, str]:
        return dict.fromkeys(dovecot_conf.read_denied(read_text(dovecot_conf.DENY_FILE) or ""), "")

    def file(self, entries: dict[str, str]) -> File:
        return File(dovecot_conf.DENY_FILE, dovecot_conf.write_denied(list(entries)), 0o640, "dovecot")


def all_of(run: Run, incident: str) -> list[_Place]:
    """Return the places of this host; the one that open sessions meet is first."""
    places: list[_Place] = [SenderMap(run, incident), SubmitMap(run, incident)]
    if plumbing.dovecot_version(run) is not None:
        places.append(DenyFile(run, incident))
    return places


def known(run: Run, account: str) -> bool | None:
    """Return whether this host knows an account: a local user, or one of Dovecot's (doveadm-user(1): exit code 67 where not); None where
    that cannot be told."""
    if account.startswith(UID) or local_name(account) is not None:
        return local_name(account) is not None
    if plumbing.dovecot_version(run) is None:
        return None
    code = run(["doveadm", "user", "--", account])[0]
    return True if code == 0 else False if code == 67 else None


def require_known(run: Run, accounts: list[str]) -> None:
    """HostError names an account that is surely not on this host."""
    for account in accounts:
        if known(run, account) is False:
            raise HostError(f"there is no account {account} on this host: check the spelling, or set account_lock_must_exist to false")

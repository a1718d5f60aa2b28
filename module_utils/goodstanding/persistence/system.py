# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lets the owner of a system user's account in again, or runs for it: keys, crontab, at jobs. Standard library only, Python >= 3.9.

Only that they are there, since when, and their hash: what they hold is the user's.
"""

from __future__ import annotations

import os
import pwd

from .files import Content, names, read_file
from .findings import Found, Unknown

CRONTABS, AT_JOBS = "/var/spool/cron/crontabs", "/var/spool/cron/atjobs"
_KEYS = (".ssh/authorized_keys", ".ssh/authorized_keys2")


def entry(account: str, local: list[str]) -> pwd.struct_passwd | None:
    """Return the system user of an account, also of one at a domain whose mail goes to system users; None where there is none."""
    name, at, domain = account.partition("@")
    if at and domain not in local:
        return None
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def found_in(account: str, who: pwd.struct_passwd) -> tuple[list[Found], list[Unknown]]:
    """Return the keys, the crontab and the at jobs of a system user."""
    shown: list[Found] = []
    unknown: list[Unknown] = []
    wanted = [("ssh_keys", who.pw_dir, name) for name in _KEYS] + [("crontab", CRONTABS, who.pw_name)]
    try:
        wanted += [("at_job", AT_JOBS, name) for name in names(AT_JOBS)[0] if os.lstat(f"{AT_JOBS}/{name}").st_uid == who.pw_uid]
    except OSError as exc:
        unknown.append(_fault(account, "at_job", AT_JOBS, exc))
    for kind, base, name in wanted:
        try:
            content = read_file(base, name)
        except OSError as exc:
            unknown.append(_fault(account, kind, f"{base}/{name}", exc))
            continue
        if content and (content.data or content.note):
            shown.append(_found(account, kind, f"{base}/{name}", content))
    return shown, unknown


def _found(account: str, kind: str, place: str, content: Content) -> Found:
    return Found(account, kind, place, content.data, [], [], content.mtime, content.touched, active=True, note=content.note)


def _fault(account: str, kind: str, place: str, exc: OSError) -> Unknown:
    return Unknown(account, kind, f"{place}: {exc.strerror}: the connecting user needs become")

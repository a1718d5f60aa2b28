# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host knows and its log does not say: files that Postfix and Dovecot write past syslog, names and numbers of local users.

Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess

from .lines import normalise

_ASK = (("postconf", "-h", "maillog_file"), ("doveconf", "-h", "log_path"), ("doveconf", "-h", "info_log_path"))
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
_SECONDS = 20


def own_logs() -> list[str]:
    """Return the log files that the daemons' configuration names and that are there; who is not installed, or does not answer, has none."""
    path = f"{os.environ.get('PATH', os.defpath)}:{_SBIN}"
    found = []
    for program, *options in _ASK:
        command = shutil.which(program, path=path)
        if not command:
            continue
        try:
            answer = subprocess.run(
                [command, *options],
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=_SECONDS,
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
        except (OSError, subprocess.SubprocessError):
            continue
        name = answer.stdout.decode("utf-8", "replace").strip()
        # 'syslog', /dev/stderr, or a setting that is made of others are no files to read.
        if answer.returncode == 0 and name.startswith("/") and not name.startswith("/dev/") and os.path.isfile(name):
            found.append(name)
    return list(dict.fromkeys(found))


def spellings(account: str) -> list[str]:
    """Return the names under which a log may know an account: Postfix logs a local user's number (uid:33), Exim the name (uid:www-data)."""
    name = normalise(account)
    found = [name]
    user = name[4:] if name.startswith("uid:") else ""
    with contextlib.suppress(KeyError, OverflowError):
        if user:
            entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
            found += [f"uid:{entry.pw_uid}", normalise(f"uid:{entry.pw_name}")]
    return list(dict.fromkeys(found))

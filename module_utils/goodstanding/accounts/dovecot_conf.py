# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deny passdb, first in Dovecot's chain, in the languages of 2.3 and 2.4. Standard library only, Python >= 3.9.

Source: doc.dovecot.org, "passdb" (deny) and "2.3 to 2.4 upgrade". A deny file that is missing lets everybody in: it always exists.
Logins are folded to lower case, as the maps are: where auth_username_format keeps the case, a database may still find Mallory's row.
"""

from __future__ import annotations

import re

DENY_FILE = "/etc/dovecot/goodstanding_denied"
CANARY_FILE = "/etc/dovecot/goodstanding_canary"
INCLUDE_FILE = "/etc/dovecot/goodstanding-deny.conf"
#: A login that exists for the seconds of a proof, with no mailbox; nobody else is looked up in its file.
CANARY = "goodstanding-canary"
_INCLUDE = "!include goodstanding-deny.conf\n"

_DENY_23 = f"""\
# Good Standing: logins that are locked, see the role account_lock. It must be the first passdb.
passdb {{
  driver = passwd-file
  deny = yes
  args = username_format=%Lu {DENY_FILE}
}}
# The login that proves the lock; the file is empty but for the seconds of a proof.
passdb {{
  driver = passwd-file
  username_filter = {CANARY}
  args = username_format=%u {CANARY_FILE}
}}
"""
_DENY_24 = f"""\
# Good Standing: logins that are locked, see the role account_lock. It must be the first passdb.
passdb goodstanding_deny {{
  driver = passwd-file
  deny = yes
  auth_username_format = %{{user | lower}}
  passwd_file_path = {DENY_FILE}
}}
# The login that proves the lock; the file is empty but for the seconds of a proof.
passdb goodstanding_canary {{
  driver = passwd-file
  username_filter = {CANARY}
  auth_username_format = %{{user}}
  passwd_file_path = {CANARY_FILE}
}}
"""


def is_24(version: str) -> bool:
    """Return whether the output of dovecot --version is of the newer language; ValueError where it is no version."""
    match = re.match(r"(\d+)\.(\d+)", version)
    if not match:
        raise ValueError(f"dovecot --version says {version.strip()!r}, which is no version")
    return (int(match[1]), int(match[2])) >= (2, 4)


def deny_conf(version: str) -> str:
    """Return the file that is included."""
    return _DENY_24 if is_24(version) else _DENY_23


def plumb(text: str, version: str) -> str:
    """Return dovecot.conf with the include before everything else; in 2.4 the two version settings must stay in front of it."""
    lines = unplumb(text).splitlines(keepends=True)
    place = 0
    if is_24(version):
        for index, line in enumerate(lines):
            if re.match(r"dovecot_(config|storage)_version\s*=", line):
                place = index + 1
    if place and not lines[place - 1].endswith("\n"):
        lines[place - 1] += "\n"
    return "".join([*lines[:place], _INCLUDE, *lines[place:]])


def unplumb(text: str) -> str:
    """Return dovecot.conf as it was before plumb."""
    return text.replace(_INCLUDE, "")


def deny_is_first(doveconf: str) -> bool:
    """Return whether the first passdb that doveconf -n shows is ours."""
    start = re.search(r"^passdb\b[^\n]*\{", doveconf, re.MULTILINE)
    if not start:
        return False
    block = doveconf[start.start() :]
    return DENY_FILE in block[: block.find("\n}") + 2]


def read_denied(text: str) -> list[str]:
    """Return the logins of a deny file."""
    return [line.partition(":")[0] for line in text.splitlines() if line.strip() and not line.startswith("#")]


def write_denied(accounts: list[str]) -> str:
    """Return the deny file: a passwd-file with names alone."""
    return "".join(f"{account}:\n" for account in sorted(set(accounts)))

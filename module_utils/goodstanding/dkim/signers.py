# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The signers of a host: which one, as whom it runs, where its keys are, what still names a key. Standard library only, Python >= 3.9."""

from __future__ import annotations

import shutil
import typing as t
from pathlib import Path

from ..host.files import HostError, Run, read_text
from . import opendkim, rspamd, safety

NAMES = ("opendkim", "rspamd", "dkimpy")
_DIRECTORIES = {"opendkim": "/etc/dkimkeys", "rspamd": "/var/lib/rspamd/dkim", "dkimpy": "/etc/dkimpy-milter/keys"}
_USERS = {"opendkim": "opendkim", "rspamd": "_rspamd", "dkimpy": "dkimpy-milter"}


class Signer(t.NamedTuple):
    """A signer. directory: of its keys; walks: it refuses a key that others could read or replace (OpenDKIM)."""

    name: str
    version: str
    daemon: safety.Daemon
    directory: str
    walks: bool


def of(run: Run, name: str) -> Signer:
    """Return what is to be known of a signer of this host. HostError where it is not here."""
    version = user = ""
    if name == "rspamd":
        version = run(["rspamd", "--version"])[1][:200]
        # It takes its user from its unit, not from its configuration.
        user = run(["systemctl", "show", "-P", "User", "rspamd.service"])[1].strip()[:64]
    if name == "opendkim":
        user = opendkim.user(read_text(opendkim.CONF) or "")
    return Signer(name, version, safety.daemon(user or _USERS[name]), _DIRECTORIES[name], name == "opendkim")


def here(run: Run) -> str:
    """Return which signer this host has; HostError where it has none, or two of which none or both run."""
    found = [name for name, conf in (("opendkim", opendkim.CONF), ("rspamd", rspamd.CONF)) if shutil.which(name) and Path(conf).exists()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise HostError("this host has neither OpenDKIM nor Rspamd: install the package opendkim or rspamd, or say which signer it has")
    running = [name for name in found if run(["systemctl", "is-active", "--quiet", name])[0] == 0]
    if len(running) == 1:
        return running[0]
    raise HostError(f"this host has {' and '.join(found)}: say which of them signs (signer)")


def naming(run: Run, path: str) -> str:
    """Return the file of a signer's configuration that names a key, or an empty text."""
    for name in (*opendkim.sources(), *rspamd.sources()):
        try:
            text = read_text(name)
        except HostError:
            text = None
        if text and path in text:
            return name
    return ""

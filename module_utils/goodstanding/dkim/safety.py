# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Would the signer take this key file? Its own rules, tried as its own uid. Standard library only, Python >= 3.9.

OpenDKIM walks from / to the file and refuses a key that others could read or replace (opendkim/util.c, dkimf_checkfsnode): with
RequireSafeKeys, its default, every message that is to be signed is then deferred. Rspamd only opens the file; where it cannot, mail leaves
unsigned.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import stat
import typing as t

from ..host.files import HostError

_MAX_ANSWER = 4096


class Daemon(t.NamedTuple):
    """Whom the key must be readable for."""

    user: str
    uid: int
    gid: int


def daemon(user: str) -> Daemon:
    try:
        entry = pwd.getpwnam(user)
    except KeyError as exc:
        raise HostError(f"this host has no user {user}: install the signer first, or see who it runs as") from exc
    return Daemon(user, entry.pw_uid, entry.pw_gid)


def faults(path: str, who: Daemon, walk: bool) -> list[str]:
    """Return why the daemon would not take the key, a sentence each. walk: OpenDKIM's rule beside that it can be opened."""
    found = _opened_as(path, who)
    return found + (unsafe(path, who) if walk else [])


def unsafe(path: str, who: Daemon) -> list[str]:
    """Return what OpenDKIM calls "key data is not secure": each file or folder on the way, and the repair."""
    path = os.path.realpath(path)
    parts = path.strip("/").split("/")
    found: list[str] = []
    for depth in range(len(parts) + 1):
        node = "/" + "/".join(parts[:depth])
        try:
            state = os.stat(node)
        except OSError as exc:
            return [*found, f"{node} cannot be looked at ({exc.strerror})"]
        if depth == len(parts):
            found += _unsafe_file(node, state, who)
            break
        found += _unsafe_folder(node, state, who)
        if not state.st_mode & (stat.S_IXGRP | stat.S_IXOTH):
            break  # nobody else can go on from here: OpenDKIM asks no further
    return found


def _unsafe_file(node: str, state: os.stat_result, who: Daemon) -> list[str]:
    found = []
    if state.st_uid not in (0, who.uid):
        found.append(f"{node} belongs to {_user(state.st_uid)}, neither root nor {who.user}: chown {who.user}: {node}")
    if state.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        found.append(f"{node} can be read or written by everybody: chmod 0600 {node}")
    if state.st_mode & (stat.S_IRGRP | stat.S_IWGRP) and not _private_group(state.st_gid, who):
        found.append(f"{node} can be read or written by the group {_group(state.st_gid)}, which has others in it: chmod 0600 {node}")
    return found


def _unsafe_folder(node: str, state: os.stat_result, who: Daemon) -> list[str]:
    found = []
    if state.st_mode & stat.S_IWOTH:
        found.append(f"everybody can write into {node} (the sticky bit does not help): keep the key elsewhere, or chmod o-w {node}")
    if state.st_mode & stat.S_IWGRP and not _private_group(state.st_gid, who):
        found.append(f"the group {_group(state.st_gid)}, which has others in it, can write into {node}: chmod g-w {node}")
    if state.st_mode & stat.S_IWUSR and state.st_uid not in (0, who.uid):
        found.append(f"{node} belongs to {_user(state.st_uid)}, neither root nor {who.user}: chown {who.user} {node}")
    return found


def _private_group(gid: int, who: Daemon) -> bool:
    """Return whether nobody but root and the daemon is in a group."""
    if any(entry.pw_gid == gid and entry.pw_uid not in (0, who.uid) for entry in pwd.getpwall()):
        return False
    try:
        return all(name in ("root", who.user) for name in grp.getgrgid(gid).gr_mem)
    except KeyError:
        return True


def _user(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _group(gid: int) -> str:
    with contextlib.suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)


def _opened_as(path: str, who: Daemon) -> list[str]:
    """Try to open the file as the daemon, in a child that gives up root for good."""

    def look() -> str:
        try:
            with open(path, "rb") as file:
                return "" if file.read(1) else "is empty"
        except OSError as exc:
            return f"cannot be opened ({exc.strerror})"

    said = as_user(who, look)
    if not said:
        return []
    return [f"{path} {said} as {who.user}: chown {who.user}: {path}; chmod 0600 {path}; and let {who.user} into the folders above it"]


def as_user(who: Daemon, do: t.Callable[[], str]) -> str:
    """Return what do() says as another user; it runs in a child process, which can say a few thousand characters at most."""
    if os.geteuid() not in (0, who.uid):
        raise HostError(f"what {who.user} may read can only be tried as root or {who.user}: the connecting user needs become")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reading)
            if os.geteuid() == 0:
                os.initgroups(who.user, who.gid)
                os.setresgid(who.gid, who.gid, who.gid)
                os.setresuid(who.uid, who.uid, who.uid)
            os.write(writing, json.dumps(do())[:_MAX_ANSWER].encode())
            status = 0
        finally:
            os._exit(status)  # no cleanup of the parent's: this is a copy of it
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        answer = file.read(_MAX_ANSWER)
    _, code = os.waitpid(child, 0)
    if code:
        raise HostError(f"a process could not become {who.user}: run the module as root")
    said: str = json.loads(answer)
    return said

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of a user's home, read by root without being led elsewhere. Standard library only, Python >= 3.9.

The home is the intruder's to write in: a link may lead to /etc/shadow, a FIFO may never end, a file may fill the memory.
"""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

#: Most that is read of a file, in octets.
MAX_SIZE = 1 << 20
#: Most entries of a folder that are looked at.
MAX_ENTRIES = 5000


class Content(t.NamedTuple):
    """data: the file's first MAX_SIZE octets, or the words of a link; mtime, touched: epoch seconds, touched is the later of mtime and
    ctime, which a user cannot set; note: why it was not read, or not in full."""

    data: bytes
    mtime: float
    touched: float
    note: str


def read_file(base: str, name: str) -> Content | None:
    """Return a file below a folder that is trusted; None where there is none. OSError where it cannot be read."""
    found = _read(base, name)
    if not isinstance(found, str):
        return found
    # A link: what it leads to is read if that is in the home too.
    link = os.lstat(os.path.join(base, name))
    own = Content(
        b"-> " + os.fsencode(found), link.st_mtime, max(link.st_mtime, link.st_ctime), "a link that leads out of the folder: not read"
    )
    root, real = os.path.realpath(base), os.path.realpath(os.path.join(base, name))
    if not real.startswith(root + "/"):
        return own
    inner = _read(root, real[len(root) + 1 :])
    if inner is None or isinstance(inner, str):
        return own._replace(note="a link to nothing")
    return inner._replace(mtime=max(inner.mtime, own.mtime), touched=max(inner.touched, own.touched))


def _read(base: str, name: str) -> Content | str | None:
    """As read_file; the words of a link where the last part is one."""
    with contextlib.ExitStack() as stack:
        parts = [part for part in name.split("/") if part and part != "."]
        try:
            folder = _opened(stack, base, None, os.O_DIRECTORY)
            for part in parts[:-1]:
                folder = _opened(stack, part, folder, os.O_DIRECTORY | os.O_NOFOLLOW)
            status = os.lstat(parts[-1], dir_fd=folder)
            if stat.S_ISLNK(status.st_mode):
                return os.readlink(parts[-1], dir_fd=folder)
            if not stat.S_ISREG(status.st_mode):
                return Content(b"", status.st_mtime, max(status.st_mtime, status.st_ctime), "no regular file: not read")
            handle = _opened(stack, parts[-1], folder, os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except (NotADirectoryError, IsADirectoryError):
            return None
        status = os.fstat(handle)
        touched = max(status.st_mtime, status.st_ctime)
        # A hard link to somebody else's file would show what its maker may not read.
        if not stat.S_ISREG(status.st_mode) or (status.st_nlink > 1 and status.st_uid != os.stat(base).st_uid):
            return Content(b"", status.st_mtime, touched, "somebody else's file under another name: not read")
        with os.fdopen(os.dup(handle), "rb") as stream:
            data = stream.read(MAX_SIZE)
        return Content(data, status.st_mtime, touched, f"only the first {MAX_SIZE} octets were read" if status.st_size > MAX_SIZE else "")


def _opened(stack: contextlib.ExitStack, path: str, folder: int | None, flags: int) -> int:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=folder)
    stack.callback(os.close, handle)
    return handle


def names(base: str, name: str = ".") -> tuple[list[str], bool]:
    """Return the names in a folder below a trusted one, and whether more than MAX_ENTRIES are there; nothing where it is none, or a
    link."""
    with contextlib.ExitStack() as stack:
        try:
            folder = _opened(stack, base, None, os.O_DIRECTORY)
            for part in name.split("/"):
                folder = _opened(stack, part, folder, os.O_DIRECTORY | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return [], False
        except OSError as exc:
            if os.path.islink(os.path.join(base, name)):
                return [], False
            raise exc
        found: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if len(found) == MAX_ENTRIES:
                    return sorted(found), True
                found.append(entry.name)
        return sorted(found), False


def walk(base: str, wanted: str, skip: t.Container[str]) -> tuple[list[str], bool]:
    """Return the paths below a folder of files with one name, without following links, and whether there are more folders than are
    looked at."""
    found: list[str] = []
    for seen, (path, folders, files, _) in enumerate(os.fwalk(base, follow_symlinks=False)):
        if seen == MAX_ENTRIES:
            return found, True
        folders[:] = sorted(name for name in folders if name not in skip)
        if wanted in files:
            found.append(os.path.relpath(os.path.join(path, wanted), base))
    return found, False

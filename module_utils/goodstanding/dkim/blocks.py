# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A block of ours in an administrator's file, put in and taken out again to the byte. Pure; standard library only, Python >= 3.9."""

from __future__ import annotations

_BEGIN = "# Good Standing: keys of DKIM, see the role dkim; what stands up to the next mark is written by it\n"
#: Where there was no file: taking the block out takes the file away.
_BEGIN_ALONE = "# Good Standing: keys of DKIM, see the role dkim; this file is written by it up to the next mark\n"
_END = "# Good Standing: end\n"
_NO_END = "# (the line above had no newline)\n"


class DamagedError(ValueError):
    """A block has lost its end."""


def put(text: str | None, body: str, top: bool = False) -> str:
    """Return a file (None: there is none yet) with our lines, behind all others or before them."""
    text = take(text)
    if text is None:
        return f"{_BEGIN_ALONE}{body}{_END}"
    block = f"{_BEGIN}{body}{_END}"
    if top:
        return block + text
    return text + ("" if text.endswith("\n") or not text else "\n" + _NO_END) + block


def take(text: str | None) -> str | None:
    """Return a file as it was before put()."""
    if text is None:
        return None
    for begin in (_BEGIN, _BEGIN_ALONE):
        start = text.find(begin)
        if start < 0 or (start and text[start - 1] != "\n"):
            continue
        end = text.find(_END, start)
        if end < 0:
            raise DamagedError("the end of our lines is not there any more")
        before, after = text[:start], text[end + len(_END) :]
        if before.endswith("\n" + _NO_END):
            before = before[: -len("\n" + _NO_END)]
        if begin == _BEGIN_ALONE and not (before + after).strip():
            return None
        return before + after
    return text

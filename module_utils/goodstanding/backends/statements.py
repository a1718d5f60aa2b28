# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The administrator's own SQL statements, made safe to run: parameters are bound, never put into the text.

A parameter is written :account or :before_COLUMN; a driver wants it in a style of its own (PEP 249, paramstyle).
"""

from __future__ import annotations

import re
import typing as t

from ..host.files import HostError
from .names import refuse_secret

MAX_LENGTH = 4000
#: What a statement is made of, at one place each: no part can be taken for another, so the scan is linear.
_PART = re.compile(
    r"""(?P<quoted>'[^'\\]*'|"[^"\\]*"|`[^`\\]*`)|(?P<cast>::)|:(?P<name>[A-Za-z_]\w*)|(?P<word>[A-Za-z_]\w*)|(?P<other>.)""", re.DOTALL
)
_AMBIGUOUS = {"--": "a comment", "/*": "a comment", "#": "a comment", ";": "a semicolon (it must be one statement)", "\\": "a backslash"}
STATEMENTS = ("lock", "unlock", "query")


class Statement(t.NamedTuple):
    """A statement and the names of its parameters. text: as it was written."""

    text: str
    names: frozenset[str]
    parts: tuple[tuple[str, str], ...]

    def pyformat(self) -> str:
        """Return it with %(name)s, for psycopg2 and PyMySQL."""
        return "".join(f"%({value})s" if kind == "name" else value.replace("%", "%%") for kind, value in self.parts)

    def named(self) -> str:
        """Return it with :name, for sqlite3."""
        return "".join(f":{value}" if kind == "name" else value for kind, value in self.parts)


def parse(which: str, text: str) -> Statement:
    """Return one of the statements lock, unlock and query; HostError says what in it cannot be run."""
    text = text.strip()
    where = f"the statement {which}"
    if not text or len(text) > MAX_LENGTH:
        raise HostError(f"{where} is empty or has more than {MAX_LENGTH} characters: write one SQL statement with the parameter :account")
    parts = _parts(where, text)
    first = next((value.upper() for kind, value in parts if kind == "word"), "")
    if (first in ("SELECT", "WITH")) != (which == "query"):
        raise HostError(f"{where} begins with {first or text[:10]}: query must be a SELECT, lock and unlock must change something (UPDATE)")
    names = frozenset(value for kind, value in parts if kind == "name")
    for name in sorted(names):
        if name != "account" and not (which == "unlock" and name.startswith("before_")):
            raise HostError(f"{where} has the parameter :{name}: it may have :account, and in unlock :before_COLUMN of a column of query")
    if "account" not in names:
        raise HostError(
            f"{where} has no parameter :account outside of quotes: without it, it would concern every account; quotes are not needed"
        )
    refuse_secret((value for kind, value in parts if kind == "word"), where)
    refuse_secret((value[1:-1] for kind, value in parts if kind == "quoted" and value[0] in '"`'), where)
    return Statement(text, names, tuple(parts))


def _parts(where: str, text: str) -> list[tuple[str, str]]:
    parts: list[tuple[str, str]] = []
    for match in _PART.finditer(text):
        kind, value = str(match.lastgroup), match[0]
        if kind == "other":
            if value in "'\"`$?":
                raise HostError(
                    f"{where} has a {value} without its end, with a backslash behind it, or as a parameter: write parameters as :account"
                )
            for mark, called in _AMBIGUOUS.items():
                if text.startswith(mark, match.start()):
                    raise HostError(f"{where} has {called}: leave it out")
        parts.append((kind, str(match["name"]) if kind == "name" else value))
    return parts

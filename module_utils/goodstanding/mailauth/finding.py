# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a record, and lists of tag=value as DKIM and DMARC write them (RFC 6376 section 3.2). Nothing is asked here."""

from __future__ import annotations

import re
import typing as t

#: error: receivers do not take it, or it lets others in; warning: some do not, or will not for long; note: worth knowing.
ERROR, WARNING, NOTE = "error", "warning", "note"
#: No record that is read here may be longer; a TXT record can hold 64 KiB.
MAX_TEXT = 8192


class Finding(t.NamedTuple):
    """One fault of one record. check: its lasting name; subject: the name in DNS; source: where it is written."""

    severity: str
    check: str
    subject: str
    what: str
    repair: str
    source: str


class Tags(t.NamedTuple):
    """pairs: names and values in their order; faults: (check, what) of each place that is no tag."""

    pairs: tuple[tuple[str, str], ...]
    faults: tuple[tuple[str, str], ...]

    def get(self, name: str, default: str | None = None) -> str | None:
        return next((value for tag, value in self.pairs if tag == name), default)


_ODD = re.compile(r"[^ -~\t\r\n]")
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


def shown(text: str, length: int = 80) -> str:
    """Return a text from outside as a message may show it."""
    return repr(text if len(text) <= length else text[:length] + "...")


def parse_tags(text: str) -> Tags:
    """Return the tags of a record and what in it is none."""
    pairs: list[tuple[str, str]] = []
    faults: list[tuple[str, str]] = []
    if len(text) > MAX_TEXT:
        return Tags((), (("too_long", f"it has {len(text)} characters"),))
    if "\\" in text:
        faults.append(("backslash", "it holds a backslash: the escape of a zone file (\\;) was published as a part of the value"))
    if '"' in text:
        faults.append(("quotes", "it holds quotation marks: those around the strings were published as a part of the value"))
    odd = _ODD.search(text)
    if odd:
        faults.append(("characters", f"it holds characters that are not printable ASCII, such as {odd[0]!r}"))
    pieces = text.split(";")
    if len(pieces) > 1 and not pieces[-1].strip():
        pieces.pop()
    for piece in pieces:
        name, equals, value = piece.partition("=")
        name, value = name.strip(), value.strip()
        if not piece.strip():
            faults.append(("syntax", "it has an empty tag (;;)"))
        elif not equals or not _TAG.match(name):
            faults.append(("syntax", f"{shown(piece.strip(), 40)} is no tag=value"))
        elif any(name == tag for tag, _ in pairs):
            faults.append(("duplicate", f"the tag {name}= stands twice"))
        else:
            pairs.append((name, value))
    return Tags(tuple(pairs), tuple(faults))

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token of ours in front of lists in main.cf and master.cf, put there and taken out again to the byte.

Only the text of one token is added to a list, so that taking it out leaves the administrator's file as it was; lists that are not set are
added at the end of main.cf, below a note. Several of these may be in one file, put in and taken out in any order. Standard library only,
Python >= 3.9. Sources: postconf(5); master(5) "-o { name = value }".
"""

from __future__ import annotations

import functools
import re
import typing as t

#: Added where the file had no newline at its end, which goes out again with the last note.
NO_END = "# (the line above had no newline)\n"


class Tokens(t.NamedTuple):
    """note: a comment line, of which there is no other one. tokens: per parameter what is put first into it. services: the parameters that
    are also looked for in the overrides of smtpd services. defaults: per parameter what Postfix takes where it is not set, behind our
    token. own: parameters that are ours alone, name to value."""

    note: str
    tokens: t.Mapping[str, str]
    services: tuple[str, ...]
    defaults: t.Mapping[str, str] = {}  # of a tuple, which nobody changes
    own: t.Mapping[str, str] = {}

    def plumb_main(self, text: str) -> str:
        """Return main.cf with our tokens first in each list."""
        before, _, after = self._split(text)
        parts, missing = [self._taken_out(before), self._taken_out(after)], []
        for name, token in self.tokens.items():
            pattern = re.compile(rf"^({name}[ \t]*=[ \t]*)", re.MULTILINE)
            if not any(pattern.search(part) for part in parts):
                missing.append(self._added(name))
                continue
            parts = [_put(pattern, token, part) for part in parts]
        missing += [f"{name} = {value}\n" for name, value in self.own.items()]
        if not missing:
            return _joined(*parts)
        before = parts[0]
        if before and not before.endswith("\n"):
            before += "\n" + NO_END
        return before + self.note + "\n" + "".join(missing) + parts[1]

    def unplumb_main(self, text: str) -> str:
        """Return main.cf as it was before plumb_main."""
        before, _, after = self._split(text)
        return _joined(self._taken_out(before), self._taken_out(after))

    def plumb_master(self, text: str) -> str:
        """Return master.cf with the token first in each override of the services' lists, in services that run smtpd."""
        lines = self.unplumb_master(text).splitlines(keepends=True)
        override = re.compile(r"(-o[ \t]+(?:\{[ \t]*)?(" + "|".join(self.services) + r")[ \t]*=)([ \t]*)([^\s}]?)")
        in_smtpd = False
        for index, line in enumerate(lines):
            if line.startswith("#") or not line.strip():
                continue
            if line[0] not in " \t":
                fields = line.split()
                in_smtpd = len(fields) > 7 and fields[7] == "smtpd"
            if in_smtpd and not line.lstrip().startswith("#"):
                lines[index] = override.sub(functools.partial(_override, self.tokens), line)
        return "".join(lines)

    def unplumb_master(self, text: str) -> str:
        """Return master.cf as it was before plumb_master."""
        tokens = {self.tokens[name] for name in self.services}
        return _without({token for one in tokens for token in (_word(one), one)}, text)

    def _added(self, name: str) -> str:
        return f"{name} = {self.tokens[name]}{self.defaults.get(name, '')}\n"

    def _split(self, text: str) -> tuple[str, str, str]:
        """Return what is above our note, the note with the lines that we added below it, and what follows."""
        start = text.find(self.note + "\n")
        if start < 0:
            return text, "", ""
        end = start + len(self.note) + 1
        while True:
            line = text[end : text.find("\n", end) + 1]
            name = line.partition(" = ")[0]
            if not line or (name not in self.own and (name not in self.tokens or line != self._added(name))):
                return text[:start], text[start:end], text[end:]
            end += len(line)

    def _taken_out(self, text: str) -> str:
        return _without(set(self.tokens.values()), text)


def _joined(before: str, after: str) -> str:
    """Join what is above and below our lines; where nothing is below any more, the end is as it was."""
    return before + after if after else before.removesuffix("\n" + NO_END)


def _put(pattern: re.Pattern[str], token: str, text: str) -> str:
    pieces, end = [], 0
    for match in pattern.finditer(text):
        pieces += [text[end : match.end()], token, separator(text[match.end() :])]
        end = match.end()
    return "".join(pieces) + text[end:]


def separator(rest: str) -> str:
    """Return what stands between the token and the value, which may begin on a continuation line or be empty."""
    if rest[:1] not in ("\n", "\r", ""):
        return ", "
    for line in rest.splitlines()[1:]:
        if line[:1] in (" ", "\t") and line.strip() and not line.lstrip().startswith("#"):
            return ","
        if line.strip() and not line.lstrip().startswith("#"):
            break
    return ""


def _word(token: str) -> str:
    """Return a token without a space: lists are split at commas and spaces alike, and an override without braces holds no space."""
    return token.replace(" ", ",")


def _override(tokens: t.Mapping[str, str], match: re.Match[str]) -> str:
    head, blank, first = match[1], match[3], match[4]
    token = tokens[match[2]]
    # Without braces a space ends the option: its value is empty and the next word is another option.
    if "{" not in head:
        return f"{head}{_word(token)}{blank}{first}" if first and blank else f"{head}{blank}{_word(token)}{',' if first else ''}{first}"
    return f"{head}{blank}{token}{', ' if first else ''}{first}"


def _without(tokens: set[str], text: str) -> str:
    """Return a text without these tokens and their separators."""
    return re.sub("(?:" + "|".join(re.escape(token) for token in sorted(tokens)) + ")(?:, |,|)", "", text)

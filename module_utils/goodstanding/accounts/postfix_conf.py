# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock's map in main.cf and master.cf: put first into the restriction lists of every smtpd, and taken out again to the byte.

Only the text of one token is added, so that taking it out leaves the administrator's file as it was. Standard library only,
Python >= 3.9. Sources: postconf(5) "smtpd_recipient_restrictions", "smtpd_end_of_data_restrictions"; master(5) "-o { name = value }".
"""

from __future__ import annotations

import re

MAP = "lmdb:/etc/postfix/goodstanding_locked"
PARAMETERS = ("smtpd_recipient_restrictions", "smtpd_end_of_data_restrictions")
_TOKEN = f"check_sasl_access {MAP}"
_WORD = _TOKEN.replace(" ", ",")  # lists are split at commas and spaces alike; an override without braces holds no space
_NOTE = "# Good Standing: accounts that are locked, see the role account_lock"
_OVERRIDE = re.compile(r"(-o[ \t]+(?:\{[ \t]*)?(?:" + "|".join(PARAMETERS) + r")[ \t]*=)([ \t]*)([^\s}]?)")


def plumb_main(text: str) -> str:
    """Return main.cf with the map first in both lists; a list that is not set is added at the end."""
    text = unplumb_main(text)
    missing = []
    for name in PARAMETERS:
        pattern = re.compile(rf"^({name}[ \t]*=[ \t]*)", re.MULTILINE)
        if not pattern.search(text):
            missing.append(f"{name} = {_TOKEN}\n")
            continue
        pieces, end = [], 0
        for match in pattern.finditer(text):
            pieces += [text[end : match.end()], _TOKEN, _separator(text[match.end() :])]
            end = match.end()
        text = "".join(pieces) + text[end:]
    if missing:
        text += ("" if text.endswith("\n") or not text else "\n") + _NOTE + "\n" + "".join(missing)
    return text


def _separator(rest: str) -> str:
    """Return what stands between the token and the value, which may begin on a continuation line or be empty."""
    if rest[:1] not in ("\n", "\r", ""):
        return ", "
    for line in rest.splitlines()[1:]:
        if line[:1] in (" ", "\t") and line.strip() and not line.lstrip().startswith("#"):
            return ","
        if line.strip() and not line.lstrip().startswith("#"):
            break
    return ""


def unplumb_main(text: str) -> str:
    """Return main.cf as it was before plumb_main."""
    note = text.find(_NOTE + "\n")
    if note >= 0:
        end = note + len(_NOTE) + 1
        while any(text.startswith(f"{name} = {_TOKEN}\n", end) for name in PARAMETERS):
            end = text.index("\n", end) + 1
        text = text[:note] + text[end:]
    return re.sub(re.escape(_TOKEN) + r"(, |,|)", "", text)


def plumb_master(text: str) -> str:
    """Return master.cf with the map first in each override of the two lists, in services that run smtpd."""
    lines = unplumb_master(text).splitlines(keepends=True)
    in_smtpd = False
    for index, line in enumerate(lines):
        if line.startswith("#") or not line.strip():
            continue
        if line[0] not in " \t":
            fields = line.split()
            in_smtpd = len(fields) > 7 and fields[7] == "smtpd"
        if in_smtpd and not line.lstrip().startswith("#"):
            lines[index] = _OVERRIDE.sub(_override, line)
    return "".join(lines)


def _override(match: re.Match[str]) -> str:
    braces = "{" in match[1]
    token = (_TOKEN if braces else _WORD) + ("," if match[3] else "")
    if match[3] and braces:
        token += " "
    # Without braces a space ends the option: its value is empty and the next word is another option.
    if not braces and match[2]:
        return f"{match[1]}{_WORD}{match[2]}{match[3]}"
    return f"{match[1]}{match[2]}{token}{match[3]}"


def unplumb_master(text: str) -> str:
    """Return master.cf as it was before plumb_master."""
    return re.sub(f"(?:{re.escape(_WORD)}|{re.escape(_TOKEN)})(?:, |,|)", "", text)


def unguarded(services: str, parameters: str, main: str) -> list[str]:
    """Return the smtpd services in which the map is not first in both lists.

    services: output of postconf -M, parameters: of postconf -P, main: of postconf for the two lists.
    """
    values = dict(_pairs(main))
    overrides = dict(_pairs(parameters))
    found = []
    for line in services.splitlines():
        fields = line.split()
        if len(fields) < 8 or fields[7] != "smtpd":
            continue
        service = f"{fields[0]}/{fields[1]}"
        for name in PARAMETERS:
            value = overrides.get(f"{service}/{name}", values.get(name, ""))
            if value.replace(",", " ").split()[:2] != _TOKEN.split():
                found.append(f"{service} {name}")
    return found


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(name.strip(), value.strip()) for name, equals, value in (line.partition("=") for line in text.splitlines()) if equals]


def read_map(text: str) -> dict[str, str]:
    """Return the entries of the map's source: account to action."""
    entries = {}
    for line in text.splitlines():
        if line and line[0] not in "# \t":
            account, _, action = line.partition(" ")
            entries[account] = action.strip()
    return entries


def write_map(entries: dict[str, str]) -> str:
    """Return the source of the map; postmap makes the lmdb file of it."""
    head = "# Accounts that may not send. Written by Good Standing (role account_lock); playbooks/reinstate.yml takes one out.\n"
    return head + "".join(f"{account} {entries[account]}\n" for account in sorted(entries))

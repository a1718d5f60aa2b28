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
USERS_MAP = "lmdb:/etc/postfix/goodstanding_locked_users"
MAP_HEAD = "# Accounts that may not send. Written by Good Standing (role account_lock); playbooks/reinstate.yml takes one out.\n"
USERS_HEAD = "# Local users that may not send. Written by Good Standing (role account_lock); playbooks/reinstate.yml takes one out.\n"
#: The restriction lists of each smtpd in which the map is first.
LISTS = ("smtpd_recipient_restrictions", "smtpd_end_of_data_restrictions")
#: Who may use sendmail(1): authorized_submit_users, read by postdrop(1) each time.
SUBMIT = "authorized_submit_users"
PARAMETERS = (*LISTS, SUBMIT)
_TOKEN = f"check_sasl_access {MAP}"
_TOKENS = {**dict.fromkeys(LISTS, _TOKEN), SUBMIT: f"!{USERS_MAP}"}
#: What Postfix takes where the parameter is not set, behind our token.
_DEFAULTS = {SUBMIT: ", static:anyone"}
_WORD = _TOKEN.replace(" ", ",")  # lists are split at commas and spaces alike; an override without braces holds no space
_NOTE = "# Good Standing: accounts that are locked, see the role account_lock"
#: Added where the file had no newline at its end, which goes out again with the last note behind it.
NO_END = "# (the line above had no newline)\n"
_OVERRIDE = re.compile(r"(-o[ \t]+(?:\{[ \t]*)?(?:" + "|".join(LISTS) + r")[ \t]*=)([ \t]*)([^\s}]?)")


def plumb_main(text: str) -> str:
    """Return main.cf with our maps first in each list; a list that is not set is added at the end."""
    if _plumbed(text):
        return text  # not taken out and put in again: at the end it would change places with another's lines, at every run
    text = unplumb_main(text)
    missing = []
    for name, token in _TOKENS.items():
        pattern = re.compile(rf"^({name}[ \t]*=[ \t]*)", re.MULTILINE)
        if not pattern.search(text):
            missing.append(_added(name))
            continue
        pieces, end = [], 0
        for match in pattern.finditer(text):
            pieces += [text[end : match.end()], token, _separator(text[match.end() :])]
            end = match.end()
        text = "".join(pieces) + text[end:]
    if missing:
        text += ("" if text.endswith("\n") or not text else "\n" + NO_END) + _NOTE + "\n" + "".join(missing)
    return text


def _plumbed(text: str) -> bool:
    """Whether every definition of each list has its map first, and each has one."""
    for name, token in _TOKENS.items():
        found = list(re.finditer(rf"^{name}[ \t]*=[ \t]*", text, re.MULTILINE))
        if not found or not all(text.startswith(token, match.end()) for match in found):
            return False
    return True


def _added(name: str) -> str:
    return f"{name} = {_TOKENS[name]}{_DEFAULTS.get(name, '')}\n"


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
        while any(text.startswith(_added(name), end) for name in _TOKENS):
            end = text.index("\n", end) + 1
        before, after = text[:note], text[end:]
        text = (before if after else before.removesuffix("\n" + NO_END)) + after  # whoever stands last takes it out
    return re.sub("(?:" + "|".join(re.escape(token) for token in sorted(set(_TOKENS.values()))) + ")(?:, |,|)", "", text)


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


def effective(services: str, parameters: str, main: str) -> dict[str, dict[str, str]]:
    """Return per smtpd service the values that it runs with.

    services: output of postconf -M, parameters: of postconf -P, main: of postconf for the parameters in question.
    """
    values, overrides = dict(_pairs(main)), dict(_pairs(parameters))
    found = {}
    for line in services.splitlines():
        fields = line.split()
        if len(fields) > 7 and fields[7] == "smtpd":
            service = f"{fields[0]}/{fields[1]}"
            found[service] = {name: overrides.get(f"{service}/{name}", value) for name, value in values.items()}
    return found


def unguarded(services: str, parameters: str, main: str) -> list[str]:
    """Return the smtpd services in which the map is not first in both lists, and whether local users go unchecked. See effective()."""
    found = []
    for service, values in effective(services, parameters, main).items():
        for name in LISTS:
            if values.get(name, "").replace(",", " ").split()[:2] != _TOKEN.split():
                found.append(f"{service} {name}")
    if dict(_pairs(main)).get(SUBMIT, "").replace(",", " ").split()[:1] != [_TOKENS[SUBMIT]]:
        found.append(SUBMIT)
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


def write_map(entries: dict[str, str], head: str) -> str:
    """Return the source of a map; postmap makes the lmdb file of it."""
    return head + "".join(f"{account} {entries[account]}\n" for account in sorted(entries))

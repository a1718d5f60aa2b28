# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock's map in main.cf and master.cf: put first into the restriction lists of every smtpd, and taken out again to the byte.

Only the text of one token is added, so that taking it out leaves the administrator's file as it was. Standard library only,
Python >= 3.9. Sources: postconf(5) "smtpd_recipient_restrictions", "smtpd_end_of_data_restrictions"; master(5) "-o { name = value }".
"""

from __future__ import annotations

import typing as t

from ..host.tokens import Tokens

MAP = "lmdb:/etc/postfix/goodstanding_locked"
USERS_MAP = "lmdb:/etc/postfix/goodstanding_locked_users"
MAP_HEAD = "# Accounts that may not send. Written by Good Standing (role account_lock); playbooks/reinstate.yml takes one out.\n"
USERS_HEAD = "# Local users that may not send. Written by Good Standing (role account_lock); playbooks/reinstate.yml takes one out.\n"
#: The users that met a sending limit (limits/users.py) stand in a map of their own, right behind that of the locked ones.
LIMITED = "/var/lib/goodstanding-limits-users/refused"
#: The restriction lists of each smtpd in which the map is first.
LISTS = ("smtpd_recipient_restrictions", "smtpd_end_of_data_restrictions")
#: Who may use sendmail(1): authorized_submit_users, read by postdrop(1) each time.
SUBMIT = "authorized_submit_users"
PARAMETERS = (*LISTS, SUBMIT)
_TOKEN = f"check_sasl_access {MAP}"
_TOKENS = {**dict.fromkeys(LISTS, _TOKEN), SUBMIT: f"!{USERS_MAP}"}
#: What Postfix takes where the parameter is not set, behind our token.
_DEFAULTS = {SUBMIT: ", static:anyone"}
_LOCK = Tokens("# Good Standing: accounts that are locked, see the role account_lock", _TOKENS, LISTS, _DEFAULTS)
_LIMIT_TOKEN = f"!texthash:{LIMITED}"
_LIMIT = Tokens("# Good Standing: local users that met a sending limit, see the role rate_limit", {SUBMIT: _LIMIT_TOKEN}, (), _DEFAULTS)
_BOTH = f"{_TOKENS[SUBMIT]}, {_LIMIT_TOKEN}"


def plumb_main(text: str) -> str:
    """Return main.cf with our maps first in each list; a list that is not set is added at the end."""
    return _beside_limit(_LOCK.plumb_main, text)


def unplumb_main(text: str) -> str:
    """Return main.cf as it was before plumb_main."""
    return _beside_limit(_LOCK.unplumb_main, text)


def plumb_limit(text: str) -> str:
    """Return main.cf with the map of limited local users in its list, behind that of the locked ones."""
    text = unplumb_limit(text)
    return text.replace(_TOKENS[SUBMIT], _BOTH) if _TOKENS[SUBMIT] in text else _LIMIT.plumb_main(text)


def unplumb_limit(text: str) -> str:
    """Return main.cf as it was before plumb_limit."""
    return _LIMIT.unplumb_main(text.replace(_BOTH, _TOKENS[SUBMIT]))


def refuses_limited(value: str) -> bool:
    """Return whether a value of the parameter SUBMIT names the map of limited local users before anything but our own."""
    return _LIMIT_TOKEN in [word for word in value.replace(",", " ").split() if word != _TOKENS[SUBMIT]][:1]


def _beside_limit(change: t.Callable[[str], str], text: str) -> str:
    """Change the lock's part of main.cf and leave the limit of local users as it is: both are in one list."""
    return plumb_limit(change(unplumb_limit(text))) if _LIMIT_TOKEN in text else change(text)


def plumb_master(text: str) -> str:
    """Return master.cf with the map first in each override of the two lists, in services that run smtpd."""
    return _LOCK.plumb_master(text)


def unplumb_master(text: str) -> str:
    """Return master.cf as it was before plumb_master."""
    return _LOCK.unplumb_master(text)


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

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Postfix's maps that send an account's mail elsewhere: aliases, BCC, sender-dependent routes. Standard library only, Python >= 3.9.

postmap -q asks the map that Postfix uses, of any type; the text beside a compiled map may say something else. Sources: postconf(5),
virtual(5), aliases(5), DATABASE_README. Administrator's files: they are read, never edited.
"""

from __future__ import annotations

import contextlib
import os
import re

from ..host.files import Run
from .findings import Found, Unknown, mail_list

#: Parameter and the kind of what is found there.
MAPS = {
    "alias_maps": "alias",
    "virtual_alias_maps": "virtual_alias",
    "sender_bcc_maps": "sender_bcc",
    "recipient_bcc_maps": "recipient_bcc",
    "sender_dependent_relayhost_maps": "sender_relayhost",
    "sender_dependent_default_transport_maps": "sender_transport",
}
#: Values of a parameter by its name.
Values = dict[str, list[str]]
_FILES = ("hash", "btree", "lmdb", "cdb", "dbm", "sdbm", "texthash", "regexp", "pcre", "cidr")
_COMPILED = ("", ".db", ".lmdb", ".cdb", ".dir", ".pag")
_CONFIGURATION = ("/etc/postfix/main.cf", "/etc/postfix/master.cf")
_NEXTHOP = re.compile(r"\[?([^\[\]:\s]+)")


def split(text: str) -> list[str]:
    """Return the words of a list of maps; commas and spaces inside braces belong to the word (inline:{ a=b, c=d })."""
    words, word, depth = [], "", 0
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        if depth <= 0 and letter in ", \t\r\n":
            words.append(word)
            word = ""
        else:
            word += letter
    return [word for word in [*words, word] if word]


def local_domains(values: Values) -> list[str]:
    """Return the domains whose mail goes to system users."""
    words = [word for name in ("mydestination", "myorigin") for text in values.get(name, []) for word in split(text)]
    return [word.lower() for word in words if ":" not in word and not word.startswith("/")][:20]


def found_in(run: Run, values: Values, accounts: list[str]) -> tuple[list[Found], list[Unknown]]:
    """Return what Postfix's maps do with the mail of these accounts."""
    local, unknown = local_domains(values), []
    keys = {account: _keys(account, local) for account in accounts}
    found = []
    for name, kind in MAPS.items():
        for table in dict.fromkeys(word for text in values.get(name, []) for word in split(text)):
            wanted = {account: [key for key in some if kind != "alias" or "@" not in key] for account, some in keys.items()}
            hits = _ask(run, table, sorted({key for some in wanted.values() for key in some}))
            if isinstance(hits, str):
                unknown.append(Unknown("", f"{name} {_named(table)}", hits))
                continue
            touched = _touched(table)
            for account in accounts:
                # Of virtual aliases only the first that is found counts; a BCC may be at any.
                rows = [(key, hits[key.lower()]) for key in wanted[account] if key.lower() in hits]
                for key, text in rows[:1] if kind == "virtual_alias" else rows:
                    found.append(_entry(account, kind, f"{_named(table)} {key}", text, touched))
    for text in values.get("always_bcc", []):
        if text:
            touched = _touched("static:")
            found += [_entry(account, "always_bcc", "/etc/postfix/main.cf always_bcc", text, touched) for account in accounts]
    return found, unknown


def parameters(run: Run) -> tuple[Values, list[Unknown]]:
    """Return the values of each parameter that matters here, of main.cf and of services that override it."""
    names = [*MAPS, "always_bcc", "mydestination", "myorigin", "forward_path"]
    code, out, err = run(["postconf", "-x", *names])
    if code:
        return {}, [
            Unknown("", "Postfix's maps", f"postconf ended with {code}: {(err or out).strip()[-200:]}: aliases and BCC were not read")
        ]
    values = {name.strip(): [text.strip()] for name, _, text in (line.partition("=") for line in out.splitlines())}
    unknown = []
    code, out, err = run(["postconf", "-Px"])
    if code:
        unknown.append(Unknown("", "Postfix's services", f"postconf -P ended with {code}: {err.strip()[-200:]}"))
    for line in out.splitlines() if not code else []:
        place, _, text = line.partition("=")
        name = place.strip().rpartition("/")[2]
        if name in names:
            values.setdefault(name, []).append(text.strip())
    for text in values.get("forward_path", []):
        for path in split(text):
            if not re.match(r"\$(home|\{home\})/\.forward", path):
                unknown.append(Unknown("", "forward_path", f"{path[:100]} is not read: look there for files of the accounts"))
    return values, unknown


def _keys(account: str, local: list[str]) -> list[str]:
    """Return what Postfix looks an account's address up by, the most exact first."""
    name, at, domain = account.partition("@")
    if not at:
        return [*(f"{name}@{one}" for one in local), name, *(f"@{one}" for one in local)]
    return [account, *([name] if domain in local else []), f"@{domain}"]


def _ask(run: Run, table: str, keys: list[str]) -> dict[str, str] | str:
    """Return the entries of a map for some keys, or why it cannot be read (postmap(1): 1 and no words where nothing is found)."""
    code, out, err = run(["postmap", "-q", "-", table], "".join(key + "\n" for key in keys))
    faults = [line for line in err.splitlines() if line.strip()]
    if faults or code not in (0, 1):
        # What a map's driver says may name its server and user, never its password; a line is enough.
        return f"postmap -q ended with {code}: {faults[-1][:200] if faults else 'it said nothing'}"
    return {key.lower(): text for key, tab, text in (line.partition("\t") for line in out.splitlines()) if tab}


def _named(table: str) -> str:
    """Return a map as it is named in findings; the entries of an inline one are left out."""
    kind, colon, rest = table.partition(":")
    return f"{kind}:{{…}}" if colon and "{" in rest else table[:300]


def _touched(table: str) -> float | None:
    """Return when a map of files was last touched (the later of mtime and ctime), or None."""
    kind, _, path = table.removeprefix("proxy:").partition(":")
    paths = [path + end for end in _COMPILED] if kind in _FILES else list(_CONFIGURATION) if kind in ("inline", "static") else []
    times = []
    for one in paths:
        with contextlib.suppress(OSError):
            status = os.stat(one)
            times += [status.st_mtime, status.st_ctime]
    return max(times) if times else None


def _entry(account: str, kind: str, place: str, text: str, touched: float | None) -> Found:
    """Return a finding for an entry; the time is the whole map's."""
    if kind in ("sender_relayhost", "sender_transport"):
        nexthop = _NEXTHOP.match(text.partition(":")[2] if kind == "sender_transport" else text)
        does, targets, opaque = ["route"], [f"@{nexthop[1]}" if nexthop else text], False
    else:
        does, targets, opaque = mail_list(text)
    content = text.encode("utf-8", "surrogateescape")
    return Found(account, kind, place, content, does, targets, None, touched, alone=False, opaque=opaque, active=True)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which domains must not get a transport of ours: those whose mail stays here, and those that the administrator's own maps answer for.

Postfix asks all of its transport maps for a domain before it asks any for the domain above it or for '*', so a line of ours would stand
before a general one of the administrator's, although our map is the last. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import typing as t

from ..host.files import HostError, Run, must, read_text
from .transports import MAP, words

#: The lists of domains whose mail does not leave by the default transport.
LISTS = ("mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains")
_MAX_FILE = 1 << 22


def left_out(run: Run, domains: t.Iterable[str]) -> dict[str, str]:
    """Return of these domains those that must be left out, and why; HostError where that cannot be told."""
    wanted = sorted(set(domains))
    advice = "Postfix's configuration cannot be read"
    found: dict[str, str] = {}
    for name in LISTS:
        names, tables = _patterns(words(must(run, ["postconf", "-h", "-x", name], advice)))
        keys = {key: domain for domain in wanted for key in _with_parents(domain, "")}
        hits = {key for table in tables for key in _ask(run, table, keys)} | names
        for domain in wanted:
            if domain not in found and not hits.isdisjoint(_with_parents(domain, "")):
                found[domain] = f"{name} has it"
    for table in words(must(run, ["postconf", "-h", "-x", "transport_maps"], advice)):
        hits = _ask(run, table, {"*", *(key for domain in wanted for key in _with_parents(domain, "."))}) if table != MAP else set()
        for domain in wanted:
            key = next((key for key in (*_with_parents(domain, "."), "*") if key in hits), None)
            if key is not None and domain not in found:
                found[domain] = f"{table} has {key}"
    return found


def _with_parents(domain: str, mark: str) -> list[str]:
    """Return a domain and those above it, each with a mark before it."""
    labels = domain.split(".")
    return [domain, *(mark + ".".join(labels[number:]) for number in range(1, len(labels)))]


def _patterns(items: t.Iterable[str], nested: bool = False) -> tuple[set[str], list[str]]:
    """Return the names and the tables of a match list; what it takes out ('!') is left out too, which shapes a domain less."""
    names: set[str] = set()
    tables: list[str] = []
    for item in items:
        if item.startswith("/") and not nested:
            lines = ((read_text(item) or "")[:_MAX_FILE]).splitlines()
            more, further = _patterns((word for line in lines if not line.startswith("#") for word in words(line)), True)
            names |= more
            tables += further
        elif ":" in item and not item.startswith(("!", "[")):
            tables.append(item)
        else:
            names.add(item.lstrip("!.").lower())
    return names, tables


def _ask(run: Run, table: str, keys: t.Iterable[str]) -> set[str]:
    """Return the keys that a table has."""
    code, out, err = run(["postmap", "-q", "-", table], "".join(f"{key}\n" for key in sorted(keys)))
    if code not in (0, 1) or "fatal:" in err or "error:" in err:
        raise HostError(
            f"postmap -q - {table.partition('{')[0]} ended with {code}: {err.strip()[-300:]}: whether its domains are this host's own "
            "cannot be told, so no transport was changed"
        )
    return {line.partition("\t")[0] for line in out.splitlines()}

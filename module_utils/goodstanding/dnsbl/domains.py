# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names as domain lists are asked for them: A-labels in lower case, and the domain that was registered. Controller only."""

from __future__ import annotations

import functools
import ipaddress
import re

import idna
from publicsuffixlist import PublicSuffixList

from .names import SubjectError

_ASCII = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63}){1,30}\Z")


@functools.lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def parse(text: str) -> str:
    """Return a host or domain name in A-labels (RFC 5890), lower case, without a final dot. SubjectError where it is none."""
    name = text.strip().rstrip(".").lower()
    advice = "write a host or domain name such as mail.example.com"
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        raise SubjectError(f"{text!r} is an address: name it in sending_addresses; lists of names are never asked for one")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError as exc:
            raise SubjectError(f"{text[:100]!r} is no domain name ({exc}): {advice}") from None
    if len(name) > 150 or not _ASCII.match(name) or name.rpartition(".")[2].isdigit():
        raise SubjectError(f"{text[:100]!r} is no domain name: {advice}, without a scheme, a port or a user")
    return name


def registered(name: str) -> str:
    """Return the domain that was registered for a name, by the Public Suffix List that the package publicsuffixlist ships."""
    domain = _suffixes().privatesuffix(name)
    if domain is None:
        raise SubjectError(f"{name} is a public suffix: nobody sends mail by it; name your own domain")
    return str(domain)

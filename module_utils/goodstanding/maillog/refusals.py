# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What receivers say when they refuse mail for the sender's reputation or identity. Standard library only, Python >= 3.9.

The texts are data (catalogue/provider_replies.yml). A reply is written by strangers: it is cut first, then only searched
for words and with patterns whose repetitions are bounded.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

#: What is longer is cut; the words that mark a reply come early.
MAX_REPLY = 2000
#: So long is the code that the store takes.
MAX_CODE = 64

#: What an entry may be about for it to tell of the sender's reputation.
REPUTATION = frozenset(("address", "domain", "rate"))

Entry = dict[str, t.Any]
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# Postfix's own words before what the remote server said; a host's name and address cannot hold these characters.
_REMOTE = re.compile(r"host [^\s\[\]]{1,255}\[[0-9A-Fa-f.:]{2,45}\](?::\d{1,5})? (?:said|refused to talk to me): ")
_START = re.compile(r"\d{3}[ -](?:[245]\.\d{1,3}\.\d{1,3})?")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![0-9A-Za-z.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}")


class RepliesError(Exception):
    """The list of replies cannot be used; the text says what to do."""


def remote_reply(text: str) -> str | None:
    """Return what the remote server said, or None where the text is Postfix's own. text: what follows 'status=bounced ('."""
    text = text[: MAX_REPLY + 1000]
    match = _REMOTE.search(text)
    if not match:
        return None
    reply = text[match.end() :]
    end = reply.rfind(" (in reply to ")
    return reply[:end] if end >= 0 else reply


def unfold(reply: str) -> str:
    """Return a reply of several lines, which Postfix logs joined by spaces, without the codes that begin its later lines."""
    start = _START.match(reply)
    if not start:
        return reply
    code = start[0]
    rest = reply[start.end() :]
    for separator in "- ":
        rest = rest.replace(f" {code[:3]}{separator}{code[4:]}{' ' if code[4:] else ''}", " ")
    return code + rest


class Replies:
    """The entries of the catalogue, compiled; the first that matches is the answer."""

    def __init__(self, entries: t.Sequence[t.Mapping[str, t.Any]]) -> None:
        self._entries: list[tuple[tuple[str, ...], re.Pattern[str] | None, Entry]] = []
        for number, entry in enumerate(entries, 1):
            where = f"reply {number} ({entry.get('id', 'without id')})"
            for key in ("id", "provider", "about"):
                if not isinstance(entry.get(key), str):
                    raise RepliesError(f"{where} has no {key}: take the entries of catalogue/provider_replies.yml as an example")
            words = entry.get("words")
            if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
                raise RepliesError(f"{where}: words must be a list of texts that are all in the reply")
            pattern = None
            if entry.get("code"):
                try:
                    pattern = re.compile(entry["code"], re.ASCII | re.IGNORECASE)
                except (re.error, TypeError) as exc:
                    raise RepliesError(f"{where}: code is no regular expression: {exc}") from None
                if pattern.groups != 1:
                    raise RepliesError(f"{where}: code must have one group, it has {pattern.groups}")
            self._entries.append((tuple(word.lower() for word in words), pattern, dict(entry)))
        # Most replies hold none of the entries' longest words: one search tells.
        longest = sorted({max(words, key=len) for words, _, _ in self._entries})
        self._any = re.compile("|".join(map(re.escape, longest))) if longest else None

    def match(self, reply: str) -> tuple[Entry, str] | None:
        """Return (entry, code) of the first entry whose words, and code where it has one, are in a remote reply, else None."""
        text = unfold(reply[:MAX_REPLY].strip())
        lower = text.lower()
        if self._any is None or not self._any.search(lower):
            return None
        for words, pattern, entry in self._entries:
            if not all(word in lower for word in words):
                continue
            if pattern is None:
                return entry, "-"
            found = pattern.search(text)
            if found:
                return entry, (found[1] or "-")[:MAX_CODE]
        return None


class Senders:
    """The addresses (or blocks of them) that a host sends from: which of them does a reply speak of?"""

    def __init__(self, addresses: t.Sequence[str]) -> None:
        self._networks: list[Network] = []
        for text in addresses:
            try:
                self._networks.append(ipaddress.ip_network(text.strip(), strict=False))
            except ValueError:
                raise RepliesError(f"{text!r} is no IP address: write addresses as 198.51.100.11 or 2001:db8::25") from None

    def find(self, reply: str, relay: str = "") -> str | None:
        """Return the sending address that a reply names, else the only one that can reach a relay (its address), else None."""
        reply = reply[:MAX_REPLY]
        for match in (*_IPV4.finditer(reply), *_IPV6.finditer(reply)):
            address = _address(match[0])
            if address and any(address in network for network in self._networks):
                return str(address)
        seen = _address(relay)
        possible = [network for network in self._networks if seen is None or network.version == seen.version]
        if len(possible) == 1 and possible[0].num_addresses == 1:
            return str(possible[0].network_address)
        return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    # '2001:db8::25: blocked': the last colon is the sentence's.
    if text.endswith(":") and not text.endswith("::"):
        text = text[:-1]
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None

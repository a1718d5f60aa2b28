# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What large receivers ask of a sender, and whether it holds: Google, Yahoo, Microsoft (consumer), as of 2026. Pure functions."""

from __future__ import annotations

import typing as t

HOLDS, DOES_NOT, UNKNOWN = "holds", "does_not", "unknown"
EVERYBODY, BULK, ADVISED = "everybody", "bulk", "advised"
_GOOGLE, _YAHOO, _MICROSOFT = "google", "yahoo", "microsoft"
_ALL = (_GOOGLE, _YAHOO, _MICROSOFT)


class Rule(t.NamedTuple):
    """receivers: who asks it; applies: of everybody, of bulk senders (5,000 messages a day), or advised; codes: how it is refused."""

    text: str
    receivers: tuple[str, ...]
    applies: str
    source: str
    codes: tuple[str, ...] = ()


_SOURCES = "Google: support.google.com/a/answer/81126; Yahoo: senders.yahooinc.com/best-practices"
_WITH_MICROSOFT = f"{_SOURCES}; Microsoft: high-volume sender rules of 2025-05-05"
RULES: dict[str, Rule] = {
    "reverse_name": Rule("the address has a reverse name that leads back to it", (_GOOGLE, _YAHOO), EVERYBODY, _SOURCES,
                         ("4.7.23", "5.7.25")),
    "reverse_own": Rule("the reverse name is one of its own, not a provider's for every line", (_YAHOO,), EVERYBODY, _SOURCES),
    "helo": Rule("the HELO name is fully qualified and has the address", (), ADVISED, "RFC 5321 section 4.1.1.1"),
    "helo_spf": Rule("SPF passes for the HELO name, which is what counts for bounces", (), ADVISED, "RFC 7208 section 2.3"),
    "spf_or_dkim": Rule("SPF or DKIM passes", (_GOOGLE, _YAHOO), EVERYBODY, _SOURCES, ("5.7.26",)),
    "spf": Rule("SPF passes for each address", _ALL, BULK, _WITH_MICROSOFT, ("4.7.27", "5.7.27", "5.7.515")),
    "dkim": Rule("a key of at least 1024 bits that verifiers take is published for each selector in use", _ALL, BULK, _WITH_MICROSOFT,
                 ("4.7.30", "5.7.30", "5.7.515")),
    "dkim_2048": Rule("each RSA key has at least 2048 bits", (_GOOGLE,), ADVISED, _SOURCES),
    "dmarc": Rule("a DMARC record applies, p=none or stricter", _ALL, BULK, _WITH_MICROSOFT, ("4.7.31", "4.7.40", "5.7.515")),
    "alignment": Rule("the domain in From: is aligned with SPF or DKIM", _ALL, BULK, _WITH_MICROSOFT, ("4.7.32", "5.7.32", "5.7.515")),
    "author_receives": Rule("the domain in From: takes mail", (_MICROSOFT,), BULK, _WITH_MICROSOFT),
    "tls": Rule("mail is handed over by TLS", (_GOOGLE,), EVERYBODY, _SOURCES, ("4.7.29",)),
    "complaints": Rule("complaints stay below 0.3 % (aim at 0.1 %)", (_GOOGLE, _YAHOO), EVERYBODY, _SOURCES),
    "unsubscribe": Rule("bulk mail has one-click unsubscription (RFC 8058), honoured within two days", (_GOOGLE, _YAHOO), BULK, _SOURCES),
    "form": Rule("messages are formed by RFC 5322, From: and Reply-To: take answers", _ALL, EVERYBODY, _WITH_MICROSOFT),
}  # fmt: skip
# What no record shows: where it is seen instead.
ELSEWHERE = {
    "tls": "Set smtp_tls_security_level = may (or dane) in Postfix, and look for 'TLS connection established' in its log.",
    "complaints": "See Google Postmaster Tools, Yahoo's feedback loop and Microsoft SNDS.",
    "unsubscribe": "Look at the header fields List-Unsubscribe and List-Unsubscribe-Post of one of your bulk messages.",
    "form": "Send a message of each application to an account at the receiver and read its header.",
}


def row(rule: str, subject: str, state: str, why: str = "", repair: str = "") -> dict[str, t.Any]:
    """Return one line of the checklist."""
    what = RULES[rule]
    return {
        "rule": rule, "text": what.text, "subject": subject, "state": state, "why": why, "repair": "" if state == HOLDS else repair,
        "receivers": list(what.receivers), "applies": what.applies, "source": what.source, "codes": list(what.codes),
    }  # fmt: skip


def elsewhere() -> list[dict[str, t.Any]]:
    """Return the rules that cannot be seen in the DNS: unknown, with where to look."""
    return [row(rule, "fleet", UNKNOWN, "no record shows it", repair) for rule, repair in ELSEWHERE.items()]


def all_of(states: t.Iterable[str]) -> str:
    """Return does_not where one does not, unknown where one is unknown, holds where all hold; of nothing: unknown."""
    there = list(states)
    return next((state for state in (DOES_NOT, UNKNOWN) if state in there), HOLDS if there else UNKNOWN)


def any_of(states: t.Iterable[str]) -> str:
    """Return holds where one holds, unknown where one might, else does_not; of nothing: does_not."""
    there = list(states)
    return next((state for state in (HOLDS, UNKNOWN) if state in there), DOES_NOT)

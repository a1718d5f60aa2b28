# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a listed address and the names of its mail hold what receivers ask, before anybody asks for a delisting. Pure functions.

section is always the key authentication of the findings, see docs/report.md. What nobody looked at is unknown, never held.
"""

from __future__ import annotations

import typing as t

from .receivers import HOLDS, UNKNOWN, all_of

Section = t.Mapping[str, t.Any]


class Condition(t.NamedTuple):
    """name: fcrdns, helo, spf, dkim or dmarc; subject: the address or name; state: holds, does_not, unknown; why and repair: empty where it
    holds."""

    name: str
    subject: str
    state: str
    why: str = ""
    repair: str = ""


def of_address(section: Section, address: str) -> list[Condition]:
    """Return fcrdns and helo of an address, then spf, dkim and dmarc of the name that it says as HELO."""
    found = [_condition(section, name, address, (rule,)) for name, rule in (("fcrdns", "reverse_name"), ("helo", "helo"))]
    helo = next((row["helo"] for row in section["addresses"] if row["address"] == address), None)
    if helo is not None:
        return found + of_name(section, helo)
    why = f"the HELO name of {address} is not known"
    return found + [Condition(name, address, UNKNOWN, why, _repair(section, address)) for name in _NAMES]


_NAMES: dict[str, tuple[str, ...]] = {"spf": ("spf",), "dkim": ("dkim",), "dmarc": ("dmarc", "alignment")}


def of_name(section: Section, name: str) -> list[Condition]:
    """Return spf, dkim and dmarc of a domain in From: or of a HELO name.

    A HELO name that is no domain in From: has an SPF of its own (RFC 7208 section 2.3); its DMARC policy and the keys that are aligned with
    it are those of the domain above it (RFC 9989 section 4.10).
    """
    name = name.lower().rstrip(".")
    domains = {row["domain"] for row in section["domains"]}
    if name in domains:
        return [_condition(section, each, name, rules) for each, rules in _NAMES.items()]
    said_by = [row["address"] for row in section["addresses"] if row["helo"] == name]
    if said_by:
        each = [_condition(section, "spf", address, ("helo_spf",)) for address in said_by]
        spf = _all(each)._replace(subject=name)
    else:
        spf = Condition("spf", name, UNKNOWN, _why(section, name), _repair(section, name))
    labels = name.split(".")
    above = next((each for each in (".".join(labels[at:]) for at in range(1, len(labels))) if each in domains), name)
    return [spf, *(_condition(section, each, above, _NAMES[each])._replace(subject=name) for each in ("dkim", "dmarc"))]


def _condition(section: Section, name: str, subject: str, rules: t.Sequence[str]) -> Condition:
    rows = {row["rule"]: row for row in section["checklist"] if row["subject"] == subject}
    missing = Condition(name, subject, UNKNOWN, _why(section, subject), _repair(section, subject))
    return _all(
        [
            Condition(name, subject, *(rows[rule][field] for field in ("state", "why", "repair"))) if rule in rows else missing
            for rule in rules
        ]
    )


def _all(conditions: t.Sequence[Condition]) -> Condition:
    """Return the one that decides: one that does not hold, else one that is unknown."""
    state = all_of(each.state for each in conditions)
    found = next(each for each in conditions if each.state == state)
    return found._replace(why="", repair="") if state == HOLDS else found


def _why(section: Section, subject: str) -> str:
    return str(section["why"]) or f"nobody looked at {subject}"


def _repair(section: Section, subject: str) -> str:
    if section["state"] == "off":
        return "Run playbooks/verify.yml, which looks at it."
    if section["state"] == "unknown":
        return "See whether the controller may ask its resolver (mail_dns_resolvers), and run again."
    return f"Name {subject} in the inventory (sending_addresses, mail_dns_helo, mail_dns_domains), and run again."

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail records: the one door to the linter, by kind of record. Pure functions over texts and answers."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from . import dkim, dmarc, spf, sts
from .answers import Answers
from .finding import ERROR, NOTE, WARNING, Finding, shown

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
# Words by which providers name the lines of their customers.
_GENERIC = re.compile(
    r"(?:^|[.-])(?:dyn|dynamic|dynip|dhcp|dsl|adsl|vdsl|cable|dial|dialup|ppp|pppoe|pool|cust|customer|client|broadband|unassigned|static|ip|host)"
    r"(?:[.-]?[0-9]+)*(?=[.-]|$)"
)


def is_host_name(name: str) -> bool:
    """Return whether a name is a fully qualified host name (RFC 5321 section 2.3.5)."""
    labels = name.lower().rstrip(".").split(".")
    return len(labels) > 1 and len(name) <= 253 and all(_LABEL.match(label) for label in labels) and not labels[-1].isdigit()


def is_generic(name: str, address: Address) -> bool:
    """Return whether a reverse name looks like one that a provider gives to every line: it holds the address, or a word for such lines."""
    host = name.lower().rstrip(".")
    numbers = re.findall(r"[0-9]+", host)
    if address.version == 4:
        octets = [str(octet) for octet in address.packed]
        plain = [str(int(number)) for number in numbers]
        if sum(octet in plain for octet in set(octets)) >= min(3, len(set(octets))) and len(numbers) >= 3:
            return True
        if address.packed.hex() in host:
            return True
    else:
        groups = address.exploded.split(":")
        if "".join(groups) in re.sub(r"[.-]", "", host) or "-".join(groups[-3:]) in host:
            return True
    return _GENERIC.search(host.partition(".")[0]) is not None and bool(numbers)


def lint_reverse(address: Address, names: t.Sequence[str], back: t.Mapping[str, t.Sequence[str]], helo: str | None = None) -> list[Finding]:
    """Return what is wrong with the reverse name of an address. names: its PTR records; back: per name the addresses it has."""
    where = address.reverse_pointer

    def found(severity: str, check: str, what: str, repair: str, source: str) -> None:
        findings.append(Finding(severity, check, where, what, repair, source))

    findings: list[Finding] = []
    if not names:
        found(
            ERROR,
            "ptr_missing",
            f"{address} has no reverse name; Gmail and Yahoo refuse mail from it",
            f"Ask whose net it is for a PTR record to {helo or 'the HELO name'}.",
            "RFC 1912 section 2.1",
        )
        return findings
    if len(names) > 1:
        found(
            WARNING,
            "ptr_several",
            f"{address} has {len(names)} reverse names; receivers look at any one of them",
            "Leave one PTR record, to the HELO name.",
            "RFC 1912 section 2.1",
        )
    good = [name for name in names if str(address) in back.get(name, ())]
    for name in names[:10]:
        if not is_host_name(name):
            found(
                ERROR,
                "ptr_name",
                f"its reverse name {shown(name, 60)} is no host name",
                "Point the PTR record to the HELO name.",
                "RFC 1912 section 2.1",
            )
        elif name not in good:
            found(
                ERROR,
                "ptr_forward",
                f"its reverse name {name} does not lead back to {address}",
                f"Publish an address record of {name} with {address}, or point the PTR record to the HELO name.",
                "RFC 1912 section 2.1",
            )
        elif is_generic(name, address):
            found(
                WARNING,
                "ptr_generic",
                f"its reverse name {name} looks like one that a provider gives to every line",
                "Ask for a PTR record to the HELO name.",
                "RFC 1912 section 2.1",
            )
    if helo and helo.lower() not in names:
        found(
            WARNING,
            "ptr_helo",
            f"its reverse name is {names[0]}, and the host says HELO {helo}",
            f"Point the PTR record to {helo}, or set smtp_helo_name to {names[0]}.",
            "RFC 5321 section 4.1.4",
        )
    return findings


def lint_helo(address: Address, helo: str, addresses: t.Sequence[str]) -> list[Finding]:
    """Return what is wrong with a HELO name. addresses: those of the name, of the family of the address."""
    if not is_host_name(helo):
        return [
            Finding(
                ERROR,
                "helo_name",
                helo,
                f"{shown(helo, 60)} is no fully qualified host name",
                "Set myhostname to one.",
                "RFC 5321 section 4.1.1.1",
            )
        ]
    if str(address) not in addresses:
        what = f"{helo} does not have the address {address} that says it"
        return [
            Finding(ERROR, "helo_forward", helo, what, f"Publish an address record of {helo} with {address}.", "RFC 5321 section 4.1.4")
        ]
    return []


def lint_text(kind: str, name: str, texts: t.Sequence[str], answers: Answers | None = None, **options: t.Any) -> list[Finding]:
    """Return what is wrong with the TXT records of a name. kind: dkim, spf, dmarc, mta_sts, tls_rpt or report (an authorisation)."""
    if kind == "spf":
        return spf.lint(name, texts, answers, **options)
    if kind == "report":
        return lint_report(name, texts)
    plain: dict[str, t.Callable[..., list[Finding]]] = {
        "dkim": dkim.lint, "dmarc": dmarc.lint, "mta_sts": sts.lint, "tls_rpt": sts.lint_reporting,
    }  # fmt: skip
    return plain[kind](name, texts, **options)


def lint_report(name: str, texts: t.Sequence[str]) -> list[Finding]:
    """Return what is wrong with an authorisation to receive the reports of another domain."""
    if any(dmarc.is_record(text) for text in texts):
        return []
    return [
        Finding(
            WARNING,
            "report_missing",
            name,
            "nothing there says that this domain takes the other's DMARC reports: they are not sent",
            "Publish the TXT record v=DMARC1; there.",
            "RFC 9990 section 4",
        )
    ]


def worst(findings: t.Iterable[Finding]) -> str | None:
    """Return the gravest severity, None where nothing was found."""
    there = {finding.severity for finding in findings}
    return next((severity for severity in (ERROR, WARNING, NOTE) if severity in there), None)

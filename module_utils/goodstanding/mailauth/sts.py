# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MTA-STS (RFC 8461) and TLS-RPT (RFC 8460): records and policies read, judged and made. Pure functions over texts."""

from __future__ import annotations

import hashlib
import re
import typing as t

from .finding import ERROR, NOTE, WARNING, Finding, parse_tags, shown

OWNER, REPORT_OWNER = "v=STSv1", "v=TLSRPTv1"
MODES = ("enforce", "testing", "none")
#: RFC 8461 section 3.2; and a day, below which a policy protects nobody.
MAX_AGE, SHORT_AGE = 31_557_600, 86_400
#: A policy is not read beyond this (section 3.3 asks for a limit).
MAX_POLICY = 65_536
_RECORD = re.compile(r"v=STSv1[ \t]*;")
_REPORT = re.compile(r"v=TLSRPTv1[ \t]*;")
_ID = re.compile(r"[A-Za-z0-9]{1,32}\Z")
_MX = re.compile(r"(?:\*\.)?(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+\Z")


class Policy(t.NamedTuple):
    """A policy file. faults: (severity, check, what, repair)."""

    mode: str | None
    hosts: tuple[str, ...]
    max_age: int | None
    faults: tuple[tuple[str, str, str, str], ...]


def host(domain: str) -> str:
    """Return the name that serves the policy of a domain."""
    return f"mta-sts.{domain}"


def is_record(text: str) -> bool:
    return _RECORD.match(text) is not None or text.strip() == OWNER


def identifier(text: str) -> str | None:
    """Return the id of a record, None where it has none."""
    return parse_tags(text).get("id")


def lint(name: str, texts: t.Sequence[str], required: bool = False) -> list[Finding]:
    """Return what is wrong at _mta-sts.DOMAIN. texts: every TXT value there."""

    def found(severity: str, check: str, what: str, repair: str) -> None:
        findings.append(Finding(severity, check, name, what, repair, "RFC 8461 section 3.1"))

    findings: list[Finding] = []
    own = [text for text in texts if is_record(text)]
    for text in texts:
        if text not in own and re.match(r"[\"'\s]*v\s*=\s*STS", text, re.IGNORECASE):
            found(ERROR, "sts_lookalike", f"{shown(text, 40)} is no MTA-STS record, so there is no policy", "Write v=STSv1; id=...;")
    if len(own) > 1:
        found(ERROR, "sts_several", f"{len(own)} records stand there: senders take it as no policy", "Leave one.")
    if not own and required:
        found(ERROR, "sts_missing", "it has no MTA-STS record", "Publish the policy first, then v=STSv1; id=...;")
    for text in own[:5]:
        tags = parse_tags(text)
        for check, what in tags.faults:
            found(ERROR, f"sts_{check}", what, "Write v=STSv1; id=...;")
        if not _ID.match(tags.get("id") or ""):
            found(
                ERROR,
                "sts_id",
                f"its id is {shown(tags.get('id') or '', 40)}, not 1 to 32 letters and digits",
                "Write id=20261123T120000 or the like.",
            )
    return findings


def read_policy(text: str) -> Policy:
    """Return what a policy file says and what is wrong with it."""
    faults: list[tuple[str, str, str, str]] = []

    def fault(severity: str, check: str, what: str, repair: str) -> None:
        faults.append((severity, check, what, repair))

    if len(text) > MAX_POLICY:
        fault(ERROR, "sts_policy_size", "it is longer than 64 KiB", "Publish the policy only.")
        return Policy(None, (), None, tuple(faults))
    if "\r\n" not in text and "\n" in text:
        fault(NOTE, "sts_policy_lines", "its lines end with LF; some readers want CR LF", "End lines with CR LF.")
    fields: dict[str, str] = {}
    hosts: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not re.match(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}\Z", name):
            fault(ERROR, "sts_policy_line", f"{shown(line, 40)} is no line of a policy", "Write name: value.")
        elif name == "mx":
            hosts.append(value.lower())
        elif name not in fields:  # section 3.2: of one that stands twice the first counts
            fields[name] = value
        else:
            fault(WARNING, "sts_policy_twice", f"{name} stands twice; the first counts", "Leave one.")
    if fields.get("version") != "STSv1":
        fault(ERROR, "sts_policy_version", f"its version is {shown(fields.get('version', ''), 20)}, not STSv1", "Write version: STSv1.")
    mode = fields.get("mode")
    if mode not in MODES:
        fault(ERROR, "sts_policy_mode", f"its mode is {shown(mode or '', 20)}", "Write enforce, testing or none.")
        mode = None
    age = int(fields["max_age"]) if re.match(r"[0-9]{1,10}\Z", fields.get("max_age", "")) else None
    if age is None or age > MAX_AGE:
        fault(ERROR, "sts_policy_age", f"its max_age is {shown(fields.get('max_age', ''), 20)}", f"Write seconds, at most {MAX_AGE}.")
    elif age < SHORT_AGE and mode != "none":
        fault(WARNING, "sts_policy_short", f"its max_age is {age} seconds: it protects for less than a day", "Write weeks: 1209600.")
    for each in hosts:
        if not _MX.match(each):
            fault(ERROR, "sts_policy_mx", f"mx: {shown(each, 60)} is no host name", "Write a name, or *. and a name.")
    if not hosts and mode in ("enforce", "testing"):
        fault(ERROR, "sts_policy_no_mx", "it names no mx", "Name each MX host of the domain.")
    if mode == "testing":
        fault(NOTE, "sts_testing", "its mode is testing: nobody is refused by it", "When the TLS reports are clean, write mode: enforce.")
    return Policy(mode, tuple(hosts), age, tuple(faults))


def lint_policy(domain: str, text: str, exchangers: t.Sequence[str] | None = None) -> list[Finding]:
    """Return what is wrong with a policy file. exchangers: the MX hosts of the domain."""
    policy = read_policy(text)
    subject = f"https://mta-sts.{domain}/.well-known/mta-sts.txt"
    findings = [Finding(severity, check, subject, what, repair, "RFC 8461 section 3.2") for severity, check, what, repair in policy.faults]
    for host in exchangers or ():
        if policy.mode in ("enforce", "testing") and not any(matches(pattern, host) for pattern in policy.hosts):
            severity = ERROR if policy.mode == "enforce" else WARNING
            findings.append(
                Finding(
                    severity,
                    "sts_policy_misses",
                    subject,
                    f"the MX host {host} is not in it: senders would not deliver there",
                    f"Add mx: {host}, and change the id.",
                    "RFC 8461 section 4.1",
                )
            )
    return findings


def matches(pattern: str, host: str) -> bool:
    """Return whether an mx of a policy means a host (section 4.1): *. stands for one label."""
    pattern, host = pattern.lower(), host.lower().rstrip(".")
    if pattern.startswith("*."):
        return host.partition(".")[2] == pattern[2:] and not host.startswith(".")
    return pattern == host


def make_policy(mode: str, hosts: t.Sequence[str], max_age: int) -> str:
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts), f"max_age: {max_age}"]
    return "".join(f"{line}\r\n" for line in lines)


def make_record(policy: str) -> str:
    """Return the record of a policy: its id is made of the text, so that it changes when the policy does and only then."""
    return f"v=STSv1; id={hashlib.sha256(policy.encode()).hexdigest()[:32]};"


def same_policy(served: str, wanted: str) -> bool:
    """Return whether two policy files say the same."""
    one, other = read_policy(served), read_policy(wanted)
    return (one.mode, set(one.hosts), one.max_age) == (other.mode, set(other.hosts), other.max_age) and not any(
        severity == ERROR for severity, *_ in one.faults
    )


def lint_reporting(name: str, texts: t.Sequence[str], required: bool = False) -> list[Finding]:
    """Return what is wrong at _smtp._tls.DOMAIN."""

    def found(severity: str, check: str, what: str, repair: str) -> None:
        findings.append(Finding(severity, check, name, what, repair, "RFC 8460 section 3"))

    findings: list[Finding] = []
    own = [text for text in texts if _REPORT.match(text)]
    for text in texts:
        if text not in own and re.match(r"[\"'\s]*v\s*=\s*TLSRPT", text, re.IGNORECASE):
            found(
                ERROR,
                "tlsrpt_lookalike",
                f"{shown(text, 40)} is no TLS-RPT record, so nobody reports",
                "Write v=TLSRPTv1; rua=mailto:ADDRESS",
            )
    if len(own) > 1:
        found(ERROR, "tlsrpt_several", f"{len(own)} records stand there: senders take it as none", "Leave one.")
    if not own and required:
        found(ERROR, "tlsrpt_missing", "it has no TLS-RPT record", "Publish v=TLSRPTv1; rua=mailto:ADDRESS")
    for text in own[:5]:
        tags = parse_tags(text)
        for check, what in tags.faults:
            found(ERROR, f"tlsrpt_{check}", what, "Write v=TLSRPTv1; rua=mailto:ADDRESS")
        uris = [uri.strip() for uri in (tags.get("rua") or "").split(",")]
        for uri in uris:
            if not re.match(r"(?:mailto:[^@\s,!;]+@[A-Za-z0-9.-]+|https://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[^\s,!;]*)?)\Z", uri):
                found(
                    ERROR, "tlsrpt_rua", f"rua= names {shown(uri, 60)}", "Name mailto:ADDRESS or an https: URL; write , ! ; as %2C %21 %3B."
                )
    return findings


def is_reporting(text: str) -> bool:
    return _REPORT.match(text) is not None

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One table of what every source says of every address and name, and what that makes of each of them: listed, clean or unknown.

A row is an answer that is not clean: of a DNS list, of a receiver in a mail log, of a provider's feed. Times are ISO 8601 in UTC.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ..dnsbl.interpret import LISTED
from . import feeds
from .times import iso

Row = dict[str, t.Any]
#: (subject, source, code) and since when it is so.
Known = dict[tuple[str, str, str], str]

#: (subject, source).
Pair = tuple[str, str]
#: (address, source) and the domains that refused it, each with when last (epoch).
Refused = dict[Pair, dict[str, float]]

#: Lists of these tiers are weighed by receivers: a listing there is a finding, an answer that is missing there is unknown.
WEIGHTY = ("A", "B")
BELIEVED = ("clean", *LISTED, "allowed", "score")
#: The fleet brake looks at no fewer subjects than this.
BRAKE_MINIMUM = 4


class Gathered(t.NamedTuple):
    """document: the parts of a run's document; refused: which domains refuse an address now."""

    document: dict[str, list[Row]]
    refused: Refused


class Heard(t.NamedTuple):
    """What of a document can be believed. told: per (subject, source) the rows that name it, by code; clean: pairs that are not named."""

    told: dict[Pair, dict[str, Row]]
    clean: set[Pair]

    @property
    def subjects(self) -> set[str]:
        return {subject for subject, _ in (*self.told, *self.clean)}

    def without(self, subjects: set[str]) -> Heard:
        told = {pair: rows for pair, rows in self.told.items() if pair[0] not in subjects}
        return Heard(told, {pair for pair in self.clean if pair[0] not in subjects})


def heard(document: dict[str, t.Any]) -> Heard:
    """Return what the sources said, out of a document: only an answer begins or ends a listing, silence does not."""
    told: dict[Pair, dict[str, Row]] = {}
    for row in document["observations"]:
        for code in (row["codes"] or [""]) if row["since"] else []:
            told.setdefault((row["subject"], row["source"]), {})[code] = row
    clean = {(row["address"], source) for row in document["addresses"] for source in row["clean"]}
    clean |= {(row["name"], source) for row in document["names"] for source in row["clean"]}
    # One host may still hear a refusal where another one's mail is taken.
    return Heard(told, clean - {(row["subject"], row["source"]) for row in document["observations"]})


class _Subject:
    def __init__(self, kind: str, text: str) -> None:
        self.kind, self.text = kind, text
        self.hosts: set[str] = set()
        self.clean: set[str] = set()
        self.unqualified: set[str] = set()
        self.authoritative: set[str] = set()
        self.listed = self.unknown = self.weighed = False

    def row(self) -> Row:
        state = "listed" if self.listed else "unknown" if self.unknown or not self.weighed else "clean"
        return {
            self.kind: self.text,
            "hosts": sorted(self.hosts),
            "state": state,
            "clean": sorted(self.clean - self.unqualified),
            "unqualified": sorted(self.unqualified),
            "authoritative": sorted(self.authoritative),
        }


def gather(
    reputation: dict[str, t.Any],
    logs: dict[str, t.Any],
    replies: dict[str, Row],
    known: Known,
    now: float,
    share: float = 0.5,
    rest: float = 3600.0,
    refused: Refused | None = None,
) -> Gathered:
    """Return the table. reputation: what the role reputation found (results, snds, complaints, senders, left_out, rejected); logs: per host
    the result of mail_log_info; replies: entries of provider_replies.yml by id; known: what the last runs saw; share: of the subjects of a
    list that may change at once; rest: seconds for which a receiver must have taken an address's mail again, since its servers do not
    change their minds all at once; refused: which domains refused an address in earlier runs."""
    table = _Table(known, now, rest, refused or {})
    for result in reputation.get("results", []):
        table.lists(result)
    told = feeds.said(reputation, [text for kind, text in table.subjects if kind == "address"], replies)
    table.feeds(told)
    for host, log in sorted(logs.items()):
        table.log(host, log, replies)
    table.wait()
    faults = table.brake(share)
    table.judge()
    return Gathered(
        {
            "addresses": [each.row() for each in table.subjects.values() if each.kind == "address"],
            "names": [each.row() for each in table.subjects.values() if each.kind == "name"],
            "observations": table.rows,
            "lists": table.failed,
            "asked": [table.facts[zone] for zone in sorted(table.facts)],
            "resolvers": table.resolvers,
            "feeds": told.feeds,
            "suspected_faults": faults,
            "left_out": reputation.get("left_out", []),
            "rejected": reputation.get("rejected", []),
        },
        table.refuses,
    )


class _Table:
    def __init__(self, known: Known, now: float, rest: float, refused: Refused) -> None:
        self.known, self.now, self.rest, self.refused = known, now, rest, refused
        self.refuses: Refused = {}
        self.rows: list[Row] = []
        self.subjects: dict[tuple[str, str], _Subject] = {}
        self.failed: list[Row] = []
        self.resolvers: list[Row] = []
        self.asked: dict[tuple[str, str], int] = {}
        self.awaited: set[str] = set()
        self.facts: dict[str, Row] = {}

    def subject(self, text: str, family: str | None = None) -> _Subject:
        kind = "name" if family == "domain" else "address"
        return self.subjects.setdefault((kind, text), _Subject(kind, text))

    def lists(self, result: Row) -> None:
        """Take the result of one ip_reputation_info in; what it says of a subject comes beside what others said."""
        weighty = {row["zone"] for row in result["lists"] if row["kind"] == "block" and row["tier"] in WEIGHTY}
        for kind in ("address", "name"):
            for row in result["addresses" if kind == "address" else "names"]:
                subject = self.subjects.setdefault((kind, row[kind]), _Subject(kind, row[kind]))
                subject.hosts.update(row["hosts"])
                subject.clean.update(row["clean"])
                subject.unqualified.update(row["unqualified"])
                subject.authoritative.update(row.get("authoritative", ()))
                subject.weighed = subject.weighed or not weighty.isdisjoint(row["clean"])
                subject.unknown = subject.unknown or not weighty.isdisjoint(row["unqualified"])
        for row in result["observations"]:
            at = row["qualified_by"]["at"]
            self.add({**row, "qualified_by": {**row["qualified_by"], "at": iso(at) if at is not None else None}})
        for row in result["lists"]:
            self.asked[row["zone"], row["family"]] = self.asked.get((row["zone"], row["family"]), 0) + row["subjects"]
            self.note(row)
            if not row["qualified"]:
                names = ("list", "zone", "family", "kind", "tier", "why", "repair")
                self.failed.append({**{name: row[name] for name in names}, "resolver": result["resolver"]["address"]})
        self.resolvers.append({name: result["resolver"][name] for name in ("address", "qualified", "why", "repair", "egress", "note")})

    def note(self, row: Row) -> None:
        """Note how a blocklist is asked to take something out, as the inventory has it, and how old its answer may be."""
        if row["kind"] != "block" or "delisting" not in row:
            return
        new = {"zone": row["zone"], "tier": row["tier"], "latency": None, "clean_ttl": None, "delisting": row["delisting"], "servers": {}}
        known = self.facts.setdefault(row["zone"], new)
        known["servers"].update(row["servers"])
        for name in ("latency", "clean_ttl"):
            known[name] = max([value for value in (known[name], row[name]) if value is not None], default=None)

    def add(self, row: Row) -> None:
        told = row["outcome"] in (*LISTED, "allowed", "score")
        dates = [self.known.get((row["subject"], row["source"], code)) for code in row["codes"] or [""]]
        since = min([date for date in dates if date], default=iso(self.now)) if told else None
        self.rows.append({**row, "since": since, "new": told and not any(dates), "suspected": False})

    def feeds(self, told: feeds.Said) -> None:
        """Take in what the providers' feeds say. A block that was seen there goes on until the feed itself shows the address without it."""
        for row in told.rows:
            self.add({**row, "hosts": sorted(self.subject(row["subject"]).hosts)})
        for address, source in told.clean:
            self.subject(address).clean.add(source)
        self.awaited.update([feeds.SNDS_STATUS] if told.feeds else [])

    def wait(self) -> None:
        """What a receiver or its feed said before goes on until it says otherwise itself; its silence makes the address unknown."""
        told = {(row["subject"], row["source"]) for row in self.rows}
        for address, source, _ in self.known:
            subject = self.subjects.get(("address", address))
            if subject is None or (address, source) in told or source in subject.clean:
                continue
            if source in self.awaited or source.startswith("log:"):
                subject.unqualified.add(source)
                subject.unknown = True
                if source.startswith("log:"):
                    self._silent(address, source)

    def _silent(self, address: str, source: str) -> None:
        provider = source.partition(":")[2]
        domains = sorted(self.refused.get((address, source), {}))
        self.failed.append(
            {
                "list": f"{provider}, in the logs", "zone": source, "family": f"ipv{ipaddress.ip_address(address).version}",
                "kind": "block", "tier": "A",
                "resolver": "the logs", "why": f"it refused {address}, and no log shows that it took its mail again",
                "repair": f"Where nobody writes to it anyway, send a message to {domains[0] if domains else 'it'} from that address.",
            }
        )  # fmt: skip

    def log(self, host: str, log: Row, replies: dict[str, Row]) -> None:
        """Take in what receivers said to a host: that they refuse one of its addresses is a listing in a list of their own."""
        for row in log.get("taken", []):
            for (address, source), domains in self.refused.items():
                if address == row["address"] and row["domain"] in domains and row["time"] - max(domains.values()) >= self.rest:
                    self.subject(address).clean.add(source)
        for refusal in log.get("refusals", []):
            entry, address = replies.get(refusal["id"]), refusal["address"]
            if entry is None or address is None:
                continue
            subject = self.subject(address)
            subject.hosts.add(host)
            source = f"log:{refusal['provider']}"
            if refusal["accepted"] is not None and refusal["accepted"] - refusal["last"] >= self.rest:
                subject.clean.add(source)
                continue
            domains = self.refuses.setdefault((address, source), {})
            domains.update({domain: max(refusal["last"], domains.get(domain, 0.0)) for domain in refusal["domains"]})
            about_address = refusal["about"] == "address"
            self.add(
                {
                    "subject": address,
                    "family": f"ipv{ipaddress.ip_address(address).version}",
                    "hosts": [host],
                    "source": source,
                    "list": f"{refusal['provider']}, as it answered {host}",
                    "kind": "block",
                    # A receiver's own refusal is no opinion on its weight: the mail did not go.
                    "tier": "A" if about_address else "C",
                    "outcome": "listed",
                    "codes": [] if refusal["code"] == "-" else [refusal["code"]],
                    "meanings": [entry["meaning"]],
                    "scope": "address" if about_address else None,
                    "reason": refusal["sample"][:400],
                    "ttl": None,
                    "latency": None,
                    "repair": entry["repair"],
                    "delisting": {"kind": "manual_form", "who": "postmaster", "paid": "no", "url": entry["ask"]},
                    "qualified_by": {
                        "log": f"{refusal['count']} refusals from {iso(refusal['first'])} to {iso(refusal['last'])}",
                        "at": iso(refusal["last"]),
                    },
                }
            )

    def brake(self, share: float) -> list[Row]:
        """Mark the same new code on more than a share of a list's subjects: a fault of resolver or list, until a second run agrees."""
        found: dict[tuple[str, str, str], list[Row]] = {}
        for row in self.rows:
            for code in row["codes"] if row["outcome"] in LISTED and row["new"] else []:
                found.setdefault((row["source"], row["family"], code), []).append(row)
        faults = []
        for (source, family, code), rows in found.items():
            asked, subjects = self.asked.get((source, family), 0), len({row["subject"] for row in rows})
            if asked < BRAKE_MINIMUM or subjects <= share * asked:
                continue
            for row in rows:
                row["suspected"] = True
            why = f"{rows[0]['list']} ({source}) newly answers {code} for {subjects} of {asked} at once"
            faults.append({"source": source, "family": family, "code": code, "subjects": subjects, "asked": asked, "why": why})
        return faults

    def judge(self) -> None:
        for row in self.rows:
            if row["kind"] != "block" or row["tier"] not in WEIGHTY:
                continue
            subject = self.subject(row["subject"], row["family"])
            if row["outcome"] == "listed" and not row["suspected"]:
                subject.listed = True
            elif row["outcome"] not in ("allowed", "score"):
                subject.unknown = True
        for row in self.rows:
            del row["new"]

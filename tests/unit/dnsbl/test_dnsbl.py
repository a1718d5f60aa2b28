# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from goodstanding_src.module_utils.goodstanding.dnsbl import names
from goodstanding_src.module_utils.goodstanding.dnsbl.asker import Asker
from goodstanding_src.module_utils.goodstanding.dnsbl.assess import assess
from goodstanding_src.module_utils.goodstanding.dnsbl.catalogue import CatalogueError, load
from goodstanding_src.module_utils.goodstanding.dnsbl.interpret import Answer, interpret

CATALOGUE = Path(__file__).resolve().parents[3] / "catalogue/blocklists.yml"
ZEN = next(row for row in load(str(CATALOGUE)) if row["zone"] == "zen.spamhaus.org")
DNSWL = next(row for row in load(str(CATALOGUE)) if row["zone"] == "list.dnswl.org")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("198.51.100.11", "11.100.51.198.zen.spamhaus.org."),
        ("::ffff:198.51.100.11", "11.100.51.198.zen.spamhaus.org."),
        ("2001:db8::25", "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.spamhaus.org."),
    ],
)
def test_query_names(address, name):
    assert names.query_name(names.parse(address, allow_documentation=True), "zen.spamhaus.org") == name


@pytest.mark.parametrize("address", ["", "mail.example.com", "10.0.0.1", "198.51.100.11", "127.0.0.1", "fe80::1", "1.2.3.4/24"])
def test_addresses_that_no_list_can_know(address):
    with pytest.raises(names.AddressError, match=r"is no IP address|is not a public address"):
        names.parse(address)


INSIDE = {"soa": "zen.spamhaus.org."}


@pytest.mark.parametrize(
    ("answer", "outcome", "codes"),
    [
        (Answer("NXDOMAIN", **INSIDE), "clean", ()),
        (Answer("NXDOMAIN", soa="org."), "zone_gone", ()),
        (Answer("NXDOMAIN"), "zone_gone", ()),
        (Answer("NXDOMAIN", soa="evil-zen.spamhaus.org."), "zone_gone", ()),
        (Answer("NOERROR", **INSIDE), "clean", ()),
        (Answer("NOERROR", ("127.0.0.4",)), "listed", ("127.0.0.4",)),
        (Answer("NOERROR", ("127.0.0.10", "127.0.0.2", "127.0.0.4")), "listed", ("127.0.0.2", "127.0.0.4", "127.0.0.10")),
        (Answer("NOERROR", ("127.0.0.99",)), "listed_unknown_code", ("127.0.0.99",)),
        (Answer("NOERROR", ("127.255.255.254",)), "refused", ("127.255.255.254",)),
        (Answer("NOERROR", ("127.255.255.250",)), "refused", ("127.255.255.250",)),
        (Answer("NOERROR", ("62.0.58.94",)), "hijacked", ("62.0.58.94",)),
        (Answer("NOERROR", ("127.0.0.2", "62.0.58.94")), "hijacked", ("62.0.58.94", "127.0.0.2")),
        (Answer("SERVFAIL"), "servfail", ()),
        (Answer("REFUSED"), "refused_dns", ()),
        (Answer("TIMEOUT"), "timeout", ()),
    ],
)
def test_an_answer_is_never_just_yes_or_no(answer, outcome, codes):
    meaning = interpret(answer, ZEN)
    assert (meaning.outcome, meaning.codes) == (outcome, codes)


def test_an_allowlist_is_not_a_blocklist():
    assert interpret(Answer("NOERROR", ("127.0.10.0",)), DNSWL).outcome == "allowed"
    assert interpret(Answer("NOERROR", ("127.0.0.255",)), DNSWL).outcome == "refused"


class Server(threading.Thread):
    """A name server on loopback that answers from a table of names: (rcode, A records, owner of the SOA)."""

    def __init__(self, table: dict) -> None:
        super().__init__(daemon=True)
        self.table = table
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                data, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            query = dns.message.from_wire(data)
            name, kind = query.question[0].name.to_text(), dns.rdatatype.to_text(query.question[0].rdtype)
            rcode, records, soa = self.table.get(name) or self.table.get("*")
            if rcode is None:
                continue
            reply = dns.message.make_response(query)
            reply.set_rcode(dns.rcode.from_text(rcode))
            if records and kind == "A":
                reply.answer.append(dns.rrset.from_text(name, 5, "IN", "A", *records))
            elif records and kind == "TXT":
                reply.answer.append(dns.rrset.from_text(name, 5, "IN", "TXT", '"why \\007<b>"'))
            if soa:
                reply.authority.append(dns.rrset.from_text(soa, 5, "IN", "SOA", "ns. h. 1 2 3 4 5"))
            self.socket.sendto(reply.to_wire(), peer)


GOOD = {
    "2.0.0.127.zen.spamhaus.org.": ("NOERROR", ["127.0.0.2"], None),
    "1.0.0.127.zen.spamhaus.org.": ("NXDOMAIN", [], "zen.spamhaus.org."),
    "11.100.51.198.zen.spamhaus.org.": ("NOERROR", ["127.0.0.4"], None),
    "12.100.51.198.zen.spamhaus.org.": ("NXDOMAIN", [], "zen.spamhaus.org."),
    "*": ("NXDOMAIN", [], "."),
}


def ask(table: dict, *, deadline: float = 5) -> dict:
    server = Server(table)
    server.start()
    try:
        addresses = [(ipaddress.ip_address(f"198.51.100.{number}"), f"mx{number}") for number in (11, 12)]
        return asyncio.run(assess(Asker("127.0.0.1", server.port, timeout=0.3), [ZEN], addresses, deadline))
    finally:
        server.socket.close()


def outcomes(result: dict) -> list[str]:
    return [row["listings"][0]["outcome"] for row in result["addresses"]]


def test_a_listing_comes_with_its_reason():
    result = ask(GOOD)
    assert outcomes(result) == ["listed", "clean"]
    listing = result["addresses"][0]["listings"][0]
    assert (listing["codes"], listing["reason"], listing["ttl"]) == (["127.0.0.4"], "why ?<b>", 5)
    assert result["resolver"]["qualified"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"*": ("NOERROR", ["203.0.113.1"], None)}, "rewrites answers"),
        ({"*": (None, [], None)}, "does not answer: set reputation_resolver"),
        ({"2.0.0.127.zen.spamhaus.org.": ("NXDOMAIN", [], "zen.spamhaus.org.")}, "test point 127.0.0.2 answers clean instead of a listing"),
        ({"2.0.0.127.zen.spamhaus.org.": ("NOERROR", ["127.255.255.254"], None)}, "public or unattributable resolver"),
        ({"1.0.0.127.zen.spamhaus.org.": ("NOERROR", ["127.0.0.2"], None)}, "test point 127.0.0.1 answers listed instead of clean"),
    ],
)
def test_what_fails_its_own_test_is_not_believed(change, why):
    result = ask({**GOOD, **change})
    assert outcomes(result) == ["unqualified", "unqualified"]
    assert why in result["lists"][0]["why"]


def test_the_catalogue_is_valid_and_can_be_narrowed():
    assert len(load(str(CATALOGUE))) >= 12
    assert [row["zone"] for row in load(str(CATALOGUE), ["psbl.surriel.com"])] == ["psbl.surriel.com"]
    with pytest.raises(CatalogueError, match=r"has no list zen\.spamhouse\.org; it has"):
        load(str(CATALOGUE), ["zen.spamhouse.org"])


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("kind: block", "kind: blok", "wrong at lists/0/kind"),
        ("zone: b.barracudacentral.org", "zone: zen.spamhaus.org", "names zen.spamhaus.org twice"),
        ("schema_version: 1", "schema_version: [", "cannot be read"),
    ],
)
def test_a_wrong_catalogue_is_refused_with_its_place(tmp_path, before, after, words):
    (tmp_path / "c.yml").write_text(CATALOGUE.read_text().replace(before, after, 1))
    (tmp_path / "c.schema.json").write_text(CATALOGUE.with_suffix(".schema.json").read_text())
    with pytest.raises(CatalogueError, match=words):
        load(str(tmp_path / "c.yml"))

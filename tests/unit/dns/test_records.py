# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory may ask for, and how it is refused."""

from __future__ import annotations

import pytest
from goodstanding_src.library import dns_records
from goodstanding_src.module_utils.goodstanding.dns import inventory, wire
from goodstanding_src.module_utils.goodstanding.dns.records import RecordError, covers, is_owned, read, reverse_name, row, rrset_of

ZONES = {wire.pack("example.test"): None}
KEY = "v=DKIM1; k=rsa; p=" + "A" * 392


def test_a_text_of_any_length_is_split_and_given_back():
    entry = read({"name": "S._domainkey.Example.test.", "values": [KEY]}, ZONES)
    assert entry.name == wire.pack("s._domainkey.example.test")
    (data,) = entry.values
    assert [len(part) for part in wire.strings(data)] == [255, 155]
    assert wire.joined(data).decode() == KEY
    odd = ["", 'a "b" c', "back\\slash; semi", "ü"]
    assert sorted(wire.joined(value).decode() for value in read({"name": "x.example.test", "values": odd}, ZONES).values) == sorted(odd)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "a" * 64 + ".example.test", "values": ["x"]}, "a label has at most 63 octets"),
        ({"name": ".".join(["a" * 60] * 5), "values": ["x"]}, "a name 255"),
        ({"values": ["x"]}, "has no name"),
        ({"name": "example.test", "type": "SOA", "values": ["x"]}, "not published"),
        ({"name": "example.test", "type": "A", "values": ["192.0.2.300"]}, "example.test A: '192.0.2.300' is no A record"),
        ({"name": "example.test", "type": "MX", "values": ["mx1.example.test"]}, "is no MX record"),
        ({"name": "example.test"}, "no values are given"),
        ({"name": "example.test", "state": "absent", "mode": "merge"}, "nothing says which values are to go"),
        ({"name": "example.test", "values": ["v=spf1 -all", "V=spf1 mx"]}, "more than one SPF record"),
        ({"name": "s._domainkey.example.test", "values": ["v=DKIM1; p=A", "v=DKIM1; p=B"]}, "a selector has one TXT record"),
        ({"name": "a.example.test", "type": "CNAME", "values": ["b.test", "c.test"]}, "a name has one such record, not 2"),
        ({"name": "a.example.test", "type": "CNAME", "values": ["b.test"], "mode": "merge"}, "cannot be merged"),
        ({"name": "example.test", "values": ["x" * 31_000]}, "over the limit of 30000 octets"),
        ({"name": "example.test", "values": ["x"], "ttl": -1}, "a TTL of -1 s cannot be"),
        ({"address": "192.0.2.300", "values": ["x.test"]}, "is no address"),
        ({"address": "192.0.2.3", "name": "x.test", "values": ["x.test"]}, "for PTR records alone"),
    ],
)
def test_what_cannot_be_published_is_refused_by_name(given, said):
    with pytest.raises(RecordError, match=said.replace("(", r"\(")):
        read(given, ZONES)


def test_what_is_ours_of_an_rrset():
    spf = read({"name": "example.test", "values": ["v=spf1 mx -all"]}, ZONES)
    assert (spf.whole, spf.owned) == (False, (b"v=spf1",))
    owned = [is_owned(spf, wire.txt_data(text)) for text in (b"V=SPF1 -all", b"v=spf1", b"v=spf10 x", b"google-site-verification=1")]
    assert owned == [True, True, False, False]
    token = read({"name": "example.test", "owns": "google-site-verification=", "state": "absent"}, ZONES)
    assert [is_owned(token, wire.txt_data(text)) for text in (b"google-site-verification=1", b"ms=1")] == [True, False]
    assert read({"name": "s._domainkey.example.test", "values": [KEY]}, ZONES).whole


@pytest.mark.parametrize(
    ("label", "number", "inside"),
    [
        ("0/26", 63, True), ("0/26", 64, False), ("64/26", 64, True), ("0-63", 63, True), ("0-63", 64, False), ("0-26", 63, True),
        ("0-31", 31, True), ("0-31", 32, False), ("128-255", 200, True), ("x", 1, False), ("0/8", 1, False), ("3-9", 4, False),
    ],
)  # fmt: skip
def test_which_addresses_a_part_of_a_block_is_for(label, number, inside):
    assert covers(label, number) is inside


def test_reverse_names():
    part, octet = wire.pack("0/26.100.51.198.in-addr.arpa"), wire.pack("100.51.198.in-addr.arpa")
    zones = {octet: None, part: None}
    assert wire.show(reverse_name("198.51.100.11", zones)) == "11.0/26.100.51.198.in-addr.arpa"
    assert wire.show(reverse_name("198.51.100.64", zones)) == "64.100.51.198.in-addr.arpa"
    named = {wire.pack("customer.100.51.198.in-addr.arpa"): "198.51.100.192/28"}
    assert wire.show(reverse_name("198.51.100.200", named)) == "200.customer.100.51.198.in-addr.arpa"
    assert wire.show(reverse_name("2001:db8::1", zones)).endswith("8.b.d.0.1.0.0.2.ip6.arpa")


def test_an_rrset_is_saved_to_the_octet():
    key = (wire.pack("example.test"), wire.TXT)
    values = tuple(sorted([b"\x03a\x00b\x02\xff\xfe", b"\x06MS=ms1\x06234567", b"\x00", b'\x04"q"\\', b"\x03 ; "]))
    rrset = wire.RRset(600, values)
    assert rrset_of(key, row(key, rrset)) == rrset
    with pytest.raises(RecordError, match="undo data"):
        rrset_of(key, {"ttl": 1})


def test_records_find_the_longest_zone_and_keys_are_checked():
    zones = {wire.pack(name): None for name in ("test", "example.test", "sub.example.test")}
    found, faults = inventory.wanted_by_zone(
        [
            {"name": "a.sub.example.test", "values": ["x"]},
            {"name": "a.xsub.example.test", "values": ["x"]},
            {"name": "a.org", "values": ["x"]},
        ],
        zones,
    )
    assert [wire.show(entry.name) for entry in found[wire.pack("sub.example.test")]] == ["a.sub.example.test"]
    assert [wire.show(entry.name) for entry in found[wire.pack("example.test")]] == ["a.xsub.example.test"]
    assert "a.org TXT is in none of the zones" in faults[0]
    secret = "c2VjcmV0LXRoYXQtbXVzdC1ub3QtYmUtc2hvd24="
    for row_, said in (
        ({"key_name": "k", "key_secret": secret, "key_algorithm": "hmac-md5.sig-alg.reg.int"}, "RFC 8945 forbids"),
        ({"key_name": "k", "key_secret": secret, "key_algorithm": "hmac-sha1"}, "is not one of hmac-sha256"),
        ({"key_name": "k", "key_secret": "!" + secret}, "is no base64"),
        ({"key_name": "k"}, "both"),
        ({"key_secret": secret}, "both"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            inventory.key_of(row_)
        assert secret[:-2] not in str(error.value)
    assert secret not in repr(inventory.key_of({"key_name": "k", "key_secret": secret}))


def test_what_is_to_be_taken_back_in_a_zone_that_is_not_given_is_named():
    undo = [{"zone": "example.test.", "view": "", "changes": []}, {"zone": "example.test", "view": "int", "changes": []},
            {"zone": "other.test", "changes": []}]  # fmt: skip
    _, faults = inventory.jobs({"zones": [{"name": "example.test", "primary": "192.0.2.1"}], "records": [], "undo": undo})
    assert faults == [
        "undo in example.test (view int): this zone is not given: give it in zones",
        "undo in other.test: this zone is not given: give it in zones",
    ]


def test_a_zone_given_twice_and_a_server_by_name_are_refused():
    zone = {"name": "example.test", "primary": "192.0.2.1"}
    with pytest.raises(RecordError, match="given twice"):
        inventory.jobs({"zones": [zone, zone], "records": []})
    with pytest.raises(RecordError, match="given by address"):
        inventory.jobs({"zones": [{**zone, "primary": "ns.example.test"}], "records": []})
    jobs, faults = inventory.jobs({"zones": [zone], "records": [], "purge": [{"below": "x.other.test"}]})
    assert "in none of the zones" in faults[0]
    assert jobs[0].purges == []


def test_the_key_is_limited_to_what_a_call_manages():
    key = {"key_name": "upd", "key_secret": "c2VjcmV0"}
    zones = [{"name": "a.test", "primary": "192.0.2.1", **key}, {"name": "b.test", "backend": "manual"}]
    names = ("a.test", "_dmarc.a.test", "s1.mx1._domainkey.a.test", "s2._domainkey.a.test", "b.test")
    rows = [{"name": name, "values": ["x"]} for name in names]
    todo, faults = inventory.jobs({"zones": zones, "records": [*rows, {"name": "mx1.a.test", "type": "A", "values": ["192.0.2.9"]}]})
    found = dns_records.policies(todo)
    assert (faults, list(found)) == ([], ["a.test"])
    lines = [line.strip() for line in found["a.test"]["bind"].splitlines()[1:-1]]
    assert sorted(lines) == ["grant upd name _dmarc.a.test. TXT;", "grant upd name a.test. TXT;", "grant upd name mx1.a.test. A;",
                             "grant upd subdomain _domainkey.a.test. TXT;"]  # fmt: skip

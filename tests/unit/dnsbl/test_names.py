# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dns.name
import dns.reversename
import pytest
from goodstanding_src.module_utils.goodstanding.dnsbl import domains, names, wire
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("198.51.100.11", "11.100.51.198"),
        ("::ffff:198.51.100.11", "11.100.51.198"),
        ("2001:db8::25", "5.2" + ".0" * 22 + ".8.b.d.0.1.0.0.2"),
    ],
)
def test_an_address_is_asked_for_in_reverse(text, name):
    (address,) = names.expand(text, True)
    assert wire.unpack_name(names.labels(address) + b"\0") == name + "."


def test_dnsbl_checkers_on_python_3_13_reverse_mapped_addresses_wrongly():
    """pydnsbl and others split IPv6Address.exploded, which ends in a dotted quad there."""
    assert b"." not in names.point_labels("::ffff:127.0.0.2")


def test_a_test_point_that_is_mapped_is_asked_for_by_its_nibbles():
    assert wire.unpack_name(names.point_labels("::ffff:127.0.0.2") + b"\0") == "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20 + "."


@given(st.ip_addresses())
def test_names_of_addresses_are_those_of_dnspython(address):
    zone = dns.name.from_text("in-addr.arpa" if address.version == 4 else "ip6.arpa")
    expected = dns.reversename.from_address(str(address))
    if expected.is_subdomain(zone):  # dnspython reverses a mapped address as the IPv4 one
        assert wire.unpack_name(names.labels(address) + b"\0").rstrip(".") == expected.relativize(zone).to_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is no IP address"),
        ("mail.example.com", "'mail.example.com' is no IP address: write sending_addresses as"),
        ("10.0.0.1", "10.0.0.1 is not a public address: name the address that receivers see"),
        ("198.51.100.11", "198.51.100.11 is not a public address"),
        ("::ffff:10.0.0.1", "is not a public address"),
        ("fe80::1", "fe80::1 is not a public address"),
        ("1.0.0.0/8", "1.0.0.0/8 holds 16777216 addresses: name those that send"),
        ("1.2.3.4/24", "is no block of addresses .*has host bits set.*: write 198.51.100.0/24"),
        ("2606:4700::/32", "holds 79228162514264337593543950336 addresses"),
        ("192.168.0.0/24", "192.168.0.0/24 is not a public address"),
    ],
)
def test_what_no_list_can_know_is_named(text, words):
    with pytest.raises(names.SubjectError, match=words):
        names.expand(text)


def test_a_block_is_its_addresses_and_the_flag_of_the_lab_lets_documentation_through_only():
    assert [str(each) for each in names.expand("198.51.100.8/30", True)] == [f"198.51.100.{number}" for number in range(8, 12)]
    assert len(names.expand("9.9.0.0/16")) == names.MAX_BLOCK
    with pytest.raises(names.SubjectError, match="not a public address"):
        names.expand("10.0.0.1", True)


@pytest.mark.parametrize(
    ("text", "name", "registered"),
    [
        ("Mail.Example.COM.", "mail.example.com", "example.com"),
        ("mx.bücher.example", "mx.xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a.b.example.co.uk", "a.b.example.co.uk", "example.co.uk"),
        ("_dmarc.example.org", "_dmarc.example.org", "example.org"),
    ],
)
def test_names_are_a_labels(text, name, registered):
    assert domains.parse(text) == name
    assert domains.registered(name) == registered


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("198.51.100.11", "is an address: name it in sending_addresses"),
        ("2001:db8::1", "is an address"),
        ("https://example.com", "is no domain name: write a host or domain name"),
        ("user@example.com", "is no domain name"),
        ("example", "is no domain name"),
        ("-a.example.com", "is no domain name"),
        ("a" * 64 + ".com", "is no domain name"),
        (".".join(["abcdefgh"] * 40), "is no domain name"),
        ("xn--\u0661.\u05d0.com", "is no domain name"),
    ],
)
def test_what_is_no_name_is_named(text, words):
    with pytest.raises(names.SubjectError, match=words):
        domains.parse(text)


def test_a_public_suffix_is_nobodys_domain():
    with pytest.raises(names.SubjectError, match=r"co\.uk is a public suffix"):
        domains.registered("co.uk")


@pytest.mark.parametrize("text", ["224.0.0.5", "ff02::1", "64:ff9b::a00:1"])
def test_what_nobody_sends_from_is_no_public_address(text):
    with pytest.raises(names.SubjectError, match="is not a public address"):
        names.expand(text)

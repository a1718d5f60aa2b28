# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from goodstanding_src.module_utils.goodstanding.dnsbl import wire
from hypothesis import given, settings
from hypothesis import strategies as st

NAME = "2.0.0.127.list.test."
ASKED = wire.question(wire.pack_name(NAME))


def message(rcode: int = 0, answer: tuple = (), authority: tuple = (), name: str = NAME, **fields) -> dns.message.Message:
    made = dns.message.make_response(dns.message.make_query(name, fields.pop("kind", "A")), recursion_available=True)
    made.set_rcode(rcode)
    made.answer = [dns.rrset.from_text(*each) for each in answer]
    made.authority = [dns.rrset.from_text(*each) for each in authority]
    return made


SOA = ("list.test.", 300, "IN", "SOA", "ns.list.test. h.list.test. 1 600 300 86400 120")


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (message(3, authority=(SOA,)), wire.Answer("NXDOMAIN", ttl=120, soa="list.test.")),
        (message(3), wire.Answer("NXDOMAIN")),
        (message(0, authority=(SOA,)), wire.Answer("NOERROR", ttl=120, soa="list.test.")),
        (message(0, ((NAME, 60, "IN", "A", "127.0.0.4", "127.0.0.2"),)), wire.Answer("NOERROR", ("127.0.0.2", "127.0.0.4"), 60)),
        (message(2), wire.Answer("SERVFAIL")),
        (message(5), wire.Answer("REFUSED")),
        (message(9), wire.Answer("RCODE9")),
        # By way of a CNAME, in either order; the smallest TTL counts.
        (
            message(0, (("c.test.", 9, "IN", "A", "127.0.0.2"), (NAME, 60, "IN", "CNAME", "c.test."))),
            wire.Answer("NOERROR", ("127.0.0.2",), 9, target="c.test."),
        ),
        # Records of other names, and other types, are nobody's answer.
        (message(0, (("evil.test.", 60, "IN", "A", "127.0.0.2"), (NAME, 60, "IN", "AAAA", "::1"))), wire.Answer("NOERROR")),
        # A CNAME that leads to itself ends.
        (
            message(0, ((NAME, 60, "IN", "CNAME", "x.test."), ("x.test.", 60, "IN", "CNAME", NAME))),
            wire.Answer("NOERROR", ttl=60, target="x.test."),
        ),
    ],
)
def test_what_is_read(made, expected):
    assert wire.parse(made.to_wire(), ASKED) == expected
    assert wire.parse(made.to_wire(), ASKED) == expected  # also out of the memory


def test_texts_are_joined_and_the_name_is_compared_without_case():
    made = message(0, ((NAME.upper(), 60, "IN", "TXT", '"one " "two"'),), name=NAME.upper(), kind="TXT")
    assert wire.parse(made.to_wire(), wire.question(wire.pack_name(NAME), wire.TXT)).texts == ("one two",)


def test_answers_that_are_remembered_are_not_mixed_up():
    """The same length of name, another zone's SOA: the memory of negatives must tell them apart."""
    for zone in ("aaaa.test.", "bbbb.test."):
        soa = (zone, 300, "IN", "SOA", f"ns.{zone} h.{zone} 1 600 300 86400 120")
        made = message(3, authority=(soa,), name="2.0.0.127." + zone)
        assert wire.parse(made.to_wire(), wire.question(wire.pack_name("2.0.0.127." + zone))).soa == zone


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:11],
        lambda data: data[:-1],
        lambda data: data[:2] + b"\x01" + data[3:],  # a question, no answer
        lambda data: data[:4] + b"\x00\x02" + data[6:],
        lambda data: data.replace(b"\x04list", b"\x04lost", 1),
        lambda data: data[:6] + b"\xff\xff" + data[8:],
        lambda data: b"",
    ],
)
def test_what_is_no_answer_to_the_question_is_refused(spoil):
    data = message(0, ((NAME, 60, "IN", "A", "127.0.0.2"),)).to_wire()
    with pytest.raises(wire.WireError):
        wire.parse(spoil(data), ASKED)


def test_a_pointer_that_loops_ends():
    data = bytearray(message(0, ((NAME, 60, "IN", "A", "127.0.0.2"),)).to_wire())
    at = 12 + len(ASKED)
    data[at : at + 2] = (0xC000 | at).to_bytes(2, "big")
    with pytest.raises(wire.WireError, match="pointer"):
        wire.parse(bytes(data), ASKED)


def test_a_truncated_answer_is_no_answer():
    made = message(0, ((NAME, 60, "IN", "A", "127.0.0.2"),))
    made.flags |= dns.flags.TC
    with pytest.raises(wire.TruncatedError):
        wire.parse(made.to_wire(), ASKED)


@settings(max_examples=300)
@given(st.binary(max_size=600), st.integers(0, 200), st.integers(0, 255))
def test_garbage_never_breaks_it(tail, at, byte):
    data = bytearray(message(0, ((NAME, 60, "IN", "A", "127.0.0.2"),), (SOA,)).to_wire() + tail)
    data[at % len(data)] = byte
    for datagram in (bytes(data), tail, bytes(data[: 12 + len(ASKED)]) + tail):
        try:
            answer = wire.parse(datagram, ASKED)
        except (wire.WireError, wire.TruncatedError):
            continue
        assert all(len(code.split(".")) == 4 for code in answer.addresses)


@settings(max_examples=200)
@given(
    st.lists(st.ip_addresses(v=4), max_size=30, unique=True),
    st.integers(0, 2**31 - 1),
    st.sampled_from([dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL]),
    st.booleans(),
)
def test_it_reads_what_dnspython_reads(addresses, ttl, rcode, with_soa):
    records = ((NAME, ttl, "IN", "A", *map(str, addresses)),) if addresses else ()
    data = message(rcode, records, (SOA,) if with_soa else ()).to_wire()
    answer, theirs = wire.parse(data, ASKED), dns.message.from_wire(data)
    assert answer.rcode == dns.rcode.to_text(theirs.rcode())
    assert set(answer.addresses) == {item.address for rrset in theirs.answer for item in rrset}
    assert answer.soa == (theirs.authority[0].name.to_text() if theirs.authority else None)


@pytest.mark.parametrize("name", ["a..b", "a" * 64 + ".test", ".".join(["a" * 50] * 6), "ü.test"])
def test_what_is_no_name_is_not_packed(name):
    with pytest.raises(ValueError):
        wire.pack_name(name)

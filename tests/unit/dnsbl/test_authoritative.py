# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is followed is asked at the list's own name servers, which are played on loopback beside the resolver."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import dns.flags
import dns.message
import pytest
from goodstanding_src.module_utils.goodstanding.dnsbl import authoritative, cache, wire

sys.path.insert(0, str(Path(__file__).parent))
from lists import FAST, POINT, Lists, Server, outcome, row, run

A, B = "198.51.100.11", "198.51.100.12"
ON = {"11.100.51.198": ["127.0.0.4"]}
SERVERS = {"a.ns.test": "127.0.0.2", "b.ns.test": "127.0.0.3"}
TRUSTED = row(authoritative=True)


def own(zone, **more):
    """A server of the list, with these names on it."""
    return Lists({"list.test": {**POINT, **zone}}, authoritative=True, **more)


@contextlib.contextmanager
def world(cached, *servers):
    """The resolver, with what it has in its cache, and the list's own servers on 127.0.0.2 and 127.0.0.3, all at one port."""
    names = dict(list(SERVERS.items())[: len(servers)])
    with contextlib.ExitStack() as stack:
        resolver = stack.enter_context(Server(Lists({"list.test": {**POINT, **cached}}, servers=names)))
        played = [
            stack.enter_context(Server(answer, address=address, port=resolver.port)) for answer, address in zip(servers, names.values())
        ]
        yield resolver, *played


def asked(resolver, rows=(TRUSTED,), followed=((A, "list.test"),), memory=None, timeout=0.3, **options):
    given = FAST._replace(follow=frozenset(followed), authoritative_port=resolver.port, **options)
    return run(resolver, list(rows), [A, B], options=given, memory=memory, timeout=timeout)


def names(server):
    return {each.name for each in server.asked if each.kind == "A"}


@pytest.mark.parametrize(("cached", "true", "said"), [({}, ON, "listed"), (ON, {}, "clean"), (ON, ON, "listed"), ({}, {}, "clean")])
def test_the_lists_own_servers_have_the_last_word(cached, true, said):
    with world(cached, own(true), own(true)) as (resolver, *_):
        result = asked(resolver)
    assert [outcome(result, at=at) for at in (0, 1)] == [said, "clean"]
    assert [each["authoritative"] for each in result["addresses"]] == [["list.test"], []]
    assert result["lists"][0]["servers"] == {"127.0.0.2": None, "127.0.0.3": None}
    for seen in result["observations"]:
        assert seen["qualified_by"]["resolver"].partition("#")[0] in SERVERS.values()


@pytest.mark.parametrize("turn", [1, -1])
def test_while_one_of_them_lists_it_it_is_listed(turn):
    with world({}, *[own(ON), own({})][::turn]) as (resolver, *_):
        result = asked(resolver)
    assert outcome(result) == "listed"
    (seen,) = result["observations"]
    assert (seen["codes"], seen["qualified_by"]["resolver"].partition("#")[0]) == (["127.0.0.4"], "127.0.0.2" if turn == 1 else "127.0.0.3")


def test_only_what_is_followed_is_asked_and_only_where_the_list_allows_it():
    with world(ON, own({}), own({})) as (resolver, *servers):
        asked(resolver)
        assert {name for name in names(servers[0]) if name.startswith(("11.", "12."))} == {"11.100.51.198.list.test."}
        for each in servers:
            each.asked.clear()
        assert outcome(asked(resolver, rows=[row()])) == "listed"
        assert outcome(asked(resolver, followed=[(A, "other.test"), ("192.0.2.1", "list.test")])) == "listed"
        assert [each.asked for each in servers] == [[], []]


def lame(question, right, over):
    """Whoever answers every question of the network by a cache of its own."""
    made = dns.message.from_wire(right)
    made.flags &= ~dns.flags.AA
    return [made.to_wire()]


FAULTS = [
    (Lists({"list.test": {"*": ["127.255.255.254"]}}, authoritative=True), "it refuses this resolver"),
    (Lists({"list.test": {"*": ["127.0.0.2"]}}, authoritative=True), "lists a random name"),
    (Lists({"list.test": {}}, authoritative=True), "is not on it"),
    (own({}, special={"": lame}), "answers LAME"),
    (lambda *_: [], "gives no answer"),
]


@pytest.mark.parametrize(("server", "why"), FAULTS)
def test_a_server_that_fails_its_test_says_nothing(server, why):
    with world(ON, server, own({})) as (resolver, *_):
        result = asked(resolver, timeout=0.1)
    assert outcome(result) == "clean", "the other one is believed"
    assert why in result["lists"][0]["servers"]["127.0.0.2"]
    with world(ON, server) as (resolver, *_):
        result = asked(resolver, timeout=0.1)
    assert outcome(result) == "listed", "where none is believed the resolver's answer stands"
    assert result["addresses"][0]["authoritative"] == []


def test_a_server_that_falls_silent_closes_nothing():
    def silent(question, right, over):
        return []

    with world({}, own({}), own({}, special={"11.100.51.198.list.test": silent})) as (resolver, *_):
        result = asked(resolver, timeout=0.1)
    assert outcome(result) == "timeout"


def test_a_server_that_falls_silent_takes_no_listing_back():
    def silent(question, right, over):
        return []

    with world(ON, own({}), own({}, special={"11.100.51.198.list.test": silent})) as (resolver, *_):
        assert outcome(asked(resolver, timeout=0.1)) == "listed"


def test_a_list_that_the_resolver_cannot_reach_is_not_asked_behind_its_back():
    with world({"*": ["127.255.255.254"]}, own({})) as (resolver, server):
        result = asked(resolver)
    assert outcome(result) == "unqualified"
    assert server.asked == []


def test_an_answer_that_is_cut_short_is_asked_for_by_tcp():
    def cut(question, right, over):
        made = dns.message.from_wire(right)
        if over == "udp":
            made.flags |= dns.flags.TC
            made.answer = []
        return [made.to_wire()]

    with world({}, own(ON, special={"11.100.51.198.list.test": cut})) as (resolver, server):
        assert outcome(asked(resolver)) == "listed"
    assert ("tcp", "11.100.51.198.list.test.") in [(each.over, each.name) for each in server.asked]


def test_they_are_asked_as_often_as_the_operator_allows():
    limited = row(authoritative=True, limits={"per_day": 15})
    memory = cache.Cache(None)
    with world({}, own(ON)) as (resolver, server):
        assert outcome(asked(resolver, rows=[limited], memory=memory)) == "listed"
        before = len(server.asked)
        assert memory.count("list.test") == len([each for each in resolver.asked if "list.test" in each.name]) - 1 + before, (
            "NS not counted"
        )
        memory.count("list.test", 15 - memory.count("list.test") - 2)
        assert outcome(asked(resolver, rows=[limited], memory=memory)) in ("clean", "unqualified")
        assert len(server.asked) == before


@pytest.mark.parametrize("packed", [b"\x02.x\x07example\x00", b"\x01.\x00", b"\x00"])
def test_a_name_server_with_no_name_of_a_host_is_left_out(packed):
    texts = (wire.unpack_name(packed), "a.ns.test.")

    def ask(questions):
        return {"ns": wire.Answer("NOERROR", texts=texts)} if "ns" in questions else {"a.ns.test.": wire.Answer("NOERROR", ("127.0.0.2",))}

    assert authoritative.servers(ask, "list.test") == ["127.0.0.2"]


def test_of_many_servers_a_few_are_asked():
    many = {f"n{number}.ns.test": f"127.0.1.{number}" for number in range(1, 20)}

    def ask(questions):
        told = {}
        for name in questions:
            told[name] = (
                wire.Answer("NOERROR", texts=tuple(f"{each}." for each in many))
                if name == "ns"
                else wire.Answer("NOERROR", (many[name[:-1]],))
            )
        return told

    found = authoritative.servers(ask, "list.test")
    assert len(found) == authoritative.MOST_SERVERS
    assert set(found) <= set(many.values())

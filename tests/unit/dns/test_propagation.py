# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which servers are asked, and what their answers are worth: answers from a table, and bad ones octet by octet."""

from __future__ import annotations

import contextlib
import struct
import sys
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest
from goodstanding_src.library import dns_propagation_info
from goodstanding_src.module_utils.goodstanding.dns import ask, plan, policy, propagation, run, wire
from goodstanding_src.module_utils.goodstanding.dns.records import read
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "servers"))
from dns_server import Server

ZONE = wire.pack("example.test")
RESOLVER = ask.Server("192.0.2.53")


def names(*texts: str) -> wire.RRset:
    return wire.RRset(60, tuple(sorted(map(wire.pack, texts))))


def addresses(*last: int) -> wire.RRset:
    return wire.RRset(60, tuple(bytes([192, 0, 2, number]) for number in last))


class World:
    """Answers by who is asked, name and type; everything that was asked is kept."""

    def __init__(self, table: dict[tuple[str, str, int], object]) -> None:
        self.table, self.asked = table, []

    def __call__(self, server, questions, **options):
        replies = []
        for name, kind in questions:
            self.asked.append((server.address, wire.show(name), kind, options.get("recursive", False)))
            found = self.table.get((server.address, wire.show(name), kind))
            if isinstance(found, ask.Reply):
                replies.append(found)
            else:
                replies.append(ask.Reply("", 0 if found else wire.NXDOMAIN, not options.get("recursive"), found))
        return replies


def referral(*servers: str, glue: dict[str, int] | None = None) -> ask.Reply:
    records = [wire.Record(ZONE, wire.NS, 1, 60, wire.pack(name)) for name in servers]
    extra = [wire.Record(wire.pack(name), wire.A, 1, 60, bytes([192, 0, 2, number])) for name, number in (glue or {}).items()]
    return ask.Reply("", 0, False, message=wire.Message(1, 0x8000, b"", [], records, extra, None))


TABLE = {
    ("192.0.2.53", "example.test", wire.NS): names("ns1.example.test", "ns2.example.test"),
    ("192.0.2.53", "test", wire.NS): names("a.nic.test"),
    ("192.0.2.53", "a.nic.test", wire.A): addresses(100),
    ("192.0.2.100", "example.test", wire.NS): referral("ns1.example.test", "old.example.test", glue={"old.example.test": 9}),
    ("192.0.2.53", "ns1.example.test", wire.A): addresses(1, 11),
    ("192.0.2.53", "ns2.example.test", wire.A): addresses(2),
    ("192.0.2.53", "ns3.example.test", wire.A): addresses(3),
    # One server of the zone names another that neither the parent nor the resolver knows.
    ("192.0.2.2", "example.test", wire.NS): names("ns1.example.test", "ns2.example.test", "ns3.example.test"),
}


def test_every_address_of_every_server_that_parent_or_zone_names(monkeypatch):
    world = World(TABLE)
    monkeypatch.setattr(propagation, "ask", world)
    found = propagation.discover(ZONE, RESOLVER)
    assert {each.server.address: each.named_by for each in found.servers} == {
        "192.0.2.1": "both", "192.0.2.11": "both", "192.0.2.2": "child", "192.0.2.3": "child", "192.0.2.9": "parent",
    }  # fmt: skip
    assert found.faults == []
    assert {kind for address, _, kind, _ in world.asked if address == "192.0.2.53"} == {wire.NS, wire.A, wire.AAAA}, (
        "no resolver is asked else"
    )


def test_what_is_not_known_of_the_servers_is_told(monkeypatch):
    cut = {key: value for key, value in TABLE.items() if key[1] != "test" and key[:2] != ("192.0.2.53", "ns2.example.test")}
    monkeypatch.setattr(propagation, "ask", World(cut))
    found = propagation.discover(ZONE, RESOLVER)
    assert any("the delegation of example.test" in fault for fault in found.faults)
    assert any("ns2.example.test has no address" in fault for fault in found.faults)
    monkeypatch.setattr(propagation, "ask", World({("192.0.2.53", "example.test", wire.NS): ask.Reply("timeout")}))
    assert any("did not answer (timeout)" in fault for fault in propagation.discover(ZONE, RESOLVER).faults)
    assert propagation.discover(ZONE, None).servers == []


WANTED = read({"name": "s._domainkey.example.test", "values": ["v=DKIM1; p=ABCD"]}, {ZONE: None})
GOOD = wire.RRset(60, (wire.txt_data(b"k=rsa; p=ABCD"),))


@pytest.mark.parametrize(
    ("reply", "outcome", "state"),
    [
        (ask.Reply("", 0, True, GOOD), "equal", "proven"),
        (ask.Reply("", wire.NXDOMAIN, True), "missing", "not_yet"),
        (ask.Reply("", 0, True), "missing", "not_yet"),
        (ask.Reply("", 0, True, wire.RRset(60, (wire.txt_data(b"p=ABCD"), wire.txt_data(b"p=X")))), "different", "not_yet"),
        (ask.Reply("", 0, True, None, wire.pack("x.test")), "alias", "not_yet"),
        (ask.Reply("", 0, False, GOOD), "lame", "unknown"),
        (ask.Reply("", wire.REFUSED), "refused", "unknown"),
        (ask.Reply("", wire.SERVFAIL), "servfail", "unknown"),
        (ask.Reply("", wire.NOTIMP), "lame", "unknown"),
        (ask.Reply("timeout"), "timeout", "unknown"),
        (ask.Reply("unreachable over TCP: x"), "timeout", "unknown"),
        (ask.Reply("unproven: BADSIG", 9), "unproven", "unknown"),
    ],
)
def test_what_one_answer_is_worth(reply, outcome, state):
    seen = propagation._seen(propagation.Authority(RESOLVER), WANTED, reply, "udp")
    assert (seen.outcome, propagation._state([seen.outcome, "equal"])) == (outcome, state)
    assert outcome == "equal" or propagation._ADVICE[outcome]


def test_nothing_is_proven_where_not_all_servers_are_known(monkeypatch):
    soa = wire.RRset(300, (b"\0\0" + (7).to_bytes(4, "big") + b"\0" * 12 + (30).to_bytes(4, "big"),))
    world = World({("192.0.2.1", "s._domainkey.example.test", wire.TXT): GOOD, ("192.0.2.1", "example.test", wire.SOA): soa})
    monkeypatch.setattr(propagation, "ask", world)
    one = [propagation.Authority(ask.Server("192.0.2.1"))]
    report = propagation.check(ZONE, [WANTED], one)
    assert (report.state, report.negative_ttl, report.serials, report.wildcard) == ("proven", 30, {"192.0.2.1": 7}, [])
    assert propagation.check(ZONE, [WANTED], one, complete=False).state == "unknown"
    assert propagation.check(ZONE, [WANTED], []).state == "unknown"
    both = [*one, propagation.Authority(ask.Server("192.0.2.2"))]
    report = propagation.check(ZONE, [WANTED], both)
    assert report.state == "not_yet"
    assert propagation.summary(report.proofs) == (
        "1 of 1 records are not proven, as s._domainkey.example.test TXT: 192.0.2.2: missing (1 records)"
    )
    assert propagation.row(report.proofs[0])["lacking"][0]["repair"].startswith("not there yet: wait")


def test_waiting_ends_when_all_is_proven_or_the_time_is_over():
    states = iter(["not_yet", "unknown", "proven", "proven"])
    clock = iter(range(0, 100, 2))
    seen: list[tuple] = []

    def look() -> list[propagation.Report]:
        return [propagation.Report(ZONE, [propagation.Proof(WANTED, next(states), 1, [])], None, {}, [])]

    def never(seconds: float) -> None:
        seen.append(("slept", seconds))

    reports = propagation.wait(look, 60, 5, lambda *row: seen.append(row), never, lambda: next(clock))
    assert reports[0].state == "proven"
    assert seen == [(2, 0, 1), ("slept", 5), (4, 0, 1), ("slept", 5), (6, 1, 1)]
    states = iter(["not_yet"])
    assert propagation.wait(look, 4, 5, sleep=never, clock=lambda: 0)[0].state == "not_yet"


def answer(question: dns.message.Message, text: str = "p=ABCD") -> dns.message.Message:
    made = dns.message.make_response(question)
    made.flags |= dns.flags.AA
    made.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", "TXT", f'"{text}"'))
    return made


@pytest.mark.parametrize(
    ("act", "fault", "over"),
    [
        (lambda question, over: [answer(question).to_wire()], "", ["udp"]),
        (lambda question, over: [b"\0\1", b"x" * 40, answer(question).to_wire()], "", ["udp"]),
        (lambda question, over: [] if over == "udp" else [answer(question).to_wire()], "timeout", ["udp"] * 3),
        (lambda question, over: [answer(dns.message.make_query("other.test", "TXT", id=question.id)).to_wire()], "timeout", ["udp"] * 3),
    ],
)
def test_what_answers_no_question_is_not_believed(act, fault, over):
    with Server(act) as server:
        (reply,) = ask.ask(ask.Server("127.0.0.1", server.port), [(WANTED.name, wire.TXT)], timeout=0.3)
    assert reply.fault == fault
    assert [each.over for each in server.asked] == over
    assert fault or reply.rrset == wire.RRset(60, (wire.txt_data(b"p=ABCD"),))


def test_a_truncated_answer_is_asked_again_over_tcp():
    def act(question, over):
        made = answer(question)
        if over == "udp":
            made.answer.clear()
            made.flags |= dns.flags.TC
        return [made.to_wire()]

    questions = [(wire.pack(f"s{number}.example.test"), wire.TXT) for number in range(50)]
    with Server(act) as server:
        replies = ask.ask(ask.Server("127.0.0.1", server.port), questions)
        assert {reply.fault for reply in replies} == {""}
        # This server closes after each answer: what is left is asked on a new connection.
        assert sum(each.over == "tcp" for each in server.asked) >= 50


def test_a_silent_server_is_not_asked_ten_thousand_times():
    with Server(lambda question, over: []) as server:
        replies = ask.ask(ask.Server("127.0.0.1", server.port), [(WANTED.name, wire.TXT)] * 2000, timeout=0.1, tries=2)
    assert {reply.fault for reply in replies} == {"timeout"}
    assert len(server.asked) < 500


def test_names_that_differ_in_case_and_types_that_look_like_letters():
    """The type HTTPS is 65, which is the letter A: only names are the same in any case."""

    def act(question, over):
        made = dns.message.make_response(question)
        made.flags |= dns.flags.AA
        return [made.to_wire().replace(b"example", b"EXAMPLE")]

    with Server(act) as server:
        (reply,) = ask.ask(ask.Server("127.0.0.1", server.port), [(ZONE, 65)], timeout=0.3)
    assert (reply.fault, reply.rcode) == ("", 0)


def test_a_key_is_limited_to_its_names():
    grants = [
        policy.Grant(wire.pack("mx1._domainkey.example.test"), True, (wire.TXT, wire.CNAME)),
        policy.Grant(ZONE, False, (wire.TXT,)),
    ]
    assert policy.bind("mail", grants) == (
        "update-policy {\n    grant mail subdomain mx1._domainkey.example.test. TXT CNAME;\n    grant mail name example.test. TXT;\n};\n"
    )
    assert "update-owner-match: sub-or-equal\n    update-owner-name: [mx1._domainkey.example.test.]" in policy.knot("mail", grants)


@pytest.mark.parametrize("kind", [wire.NS, wire.CNAME, wire.SOA, wire.PTR, wire.MX, wire.A, wire.AAAA])
@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_record_that_cannot_hold_what_its_type_says_is_no_answer(kind, length):
    asked = wire.question(ZONE, wire.TXT)
    record = b"\xc0\x0c" + struct.pack("!HHIH", kind, wire.IN, 60, length) + b"\1ab"[:length]
    for counts in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        raw = wire.HEADER.pack(1, 0x8400, 1, *counts) + asked + record
        assert ask._reply(raw, (ZONE, wire.TXT), ask._Sent(0, asked, None, 0)) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([wire.A, wire.NS, wire.CNAME, wire.SOA, wire.MX, wire.TXT, wire.AAAA, wire.TSIG]),
            st.sampled_from([wire.IN, wire.IN, wire.ANY]),
            st.sampled_from([b"", b"\0", b"\xc0\x0c", b"\0\1\xc0\x0c", b"\xc0\x0c\xc0\x0c" + b"\0" * 20, b"\4abcd", b"\xff" * 16]),
        ),
        min_size=1,
        max_size=4,
    ),
    st.one_of(st.just(0), st.integers(0, 40)),
    st.integers(0, 4),
)
@settings(max_examples=400, deadline=None)
def test_no_answer_breaks_what_reads_it(rows, cut, answers):
    """Whatever a server sends is an answer or none, for whoever looks for servers, records or proofs."""
    packed = [b"\xc0\x0c" + struct.pack("!HHIH", kind, rdclass, 60, len(data)) + data for kind, rdclass, data in rows]
    answers = min(answers, len(rows))

    def hostile(server, questions, **options):
        replies = []
        for name, kind in questions:
            asked = wire.question(name, kind)
            raw = wire.HEADER.pack(1, 0x8400, 1, answers, (len(rows) - answers) // 2, (len(rows) - answers + 1) // 2)
            raw = (raw + asked + b"".join(packed))[: -cut or None]
            found = ask._reply(raw, (name, kind), ask._Sent(0, asked, None, 0))
            assert found is None or isinstance(found, ask.Reply)
            replies.append(found or ask.Reply("timeout"))
        return replies

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(propagation, "ask", hostile)
        found = propagation.discover(ZONE, RESOLVER)
        propagation.check(ZONE, [WANTED], found.servers[:2] or [propagation.Authority(RESOLVER)])
        propagation.resolvers([WANTED], [RESOLVER])
        patch.setattr(run, "ask", hostile)
        with contextlib.suppress(ask.DnsError):
            stands = run._by_questions(run.Settings(ZONE), RESOLVER, {WANTED.key, (WANTED.name, wire.CNAME)})
            plan.diff(ZONE, plan.make(stands, [WANTED], []).changes)


def test_a_zone_that_names_other_servers_each_time_is_not_asked_for_ever(monkeypatch):
    class Endless(World):
        def __call__(self, server, questions, **options):
            ((name, kind),) = questions
            count = len(self.asked)
            assert count < 10_000, "it never ends"
            if kind == wire.NS and name == ZONE:
                self.table[server.address, "example.test", wire.NS] = names(f"n{count}.example.test")
            if kind == wire.A:
                self.table[server.address, wire.show(name), wire.A] = wire.RRset(60, (bytes([10, 0, *divmod(count, 256)]),))
            return super().__call__(server, questions, **options)

    monkeypatch.setattr(propagation, "ask", Endless(dict(TABLE)))
    assert any("more than 40 name servers" in fault for fault in propagation.discover(ZONE, RESOLVER).faults)


def test_a_name_server_with_addresses_without_end_is_not_asked_at_all_of_them(monkeypatch):
    many = wire.RRset(60, tuple(bytes([10, 0, *divmod(count, 256)]) for count in range(3000)))
    world = World({**TABLE, ("192.0.2.53", "ns1.example.test", wire.A): many})
    monkeypatch.setattr(propagation, "ask", world)
    found = propagation.discover(ZONE, RESOLVER)
    assert any("ns1.example.test has 3000 addresses" in fault for fault in found.faults)
    assert len(world.asked) < 100


def test_a_zone_that_is_given_twice_is_refused():
    """Its second row would take the place of the first, and the view of that one would be left out."""
    rows = [{"name": name, "discover": False, "servers": [], "network": None} for name in ("example.test", "Example.test.")]
    with pytest.raises(ValueError, match="given twice: give it once, with a row in servers for each view"):
        dns_propagation_info.prove({"zones": rows, "records": [], "resolver": None, "resolver_port": 53, "resolvers": []})


def test_a_server_that_answers_over_udp_alone_proves_nothing():
    with Server(lambda question, over: [answer(question).to_wire()] if over == "udp" else []) as server:
        report = propagation.check(ZONE, [WANTED], [propagation.Authority(ask.Server("127.0.0.1", server.port))], wildcards=False)
    assert report.state == "unknown"
    assert [(row.over, row.outcome) for row in report.proofs[0].seen] == [("tcp", "timeout")]


def test_no_recursive_resolver_is_asked_for_what_not_every_server_has(monkeypatch):
    soa = wire.RRset(300, (b"\0\0" + (7).to_bytes(4, "big") + b"\0" * 12 + (30).to_bytes(4, "big"),))
    zone = {"name": "example.test", "discover": False, "servers": [{"address": "192.0.2.1"}], "network": None}
    p = {"zones": [zone], "records": [{"name": "s._domainkey.example.test", "values": ["v=DKIM1; p=ABCD"]}], "resolver": None,
         "resolver_port": 53, "resolvers": ["192.0.2.53"], "wait": 0, "every": 5, "wildcards": False}  # fmt: skip
    for there, state in (({}, "not_yet"), ({("192.0.2.1", "s._domainkey.example.test", wire.TXT): GOOD}, "proven")):
        world = World({**there, ("192.0.2.1", "example.test", wire.SOA): soa})
        monkeypatch.setattr(propagation, "ask", world)
        assert dns_propagation_info.prove(p)["state"] == state
        assert ("192.0.2.53" in {address for address, *_ in world.asked}) is (state == "proven")

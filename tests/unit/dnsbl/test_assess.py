# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from goodstanding_src.module_utils.goodstanding.dnsbl import ask, cache
from goodstanding_src.module_utils.goodstanding.dnsbl.assess import Options

sys.path.insert(0, str(Path(__file__).parent))
from lists import FAST, POINT, POINT6, Lists, Server, outcome, row, run

A, B = "198.51.100.11", "198.51.100.12"
ON = {"11.100.51.198": ["127.0.0.4"]}
KEY = "sEcReTkEy0123456789"


def test_clean_listed_and_why():
    lists = Lists({"list.test": {**POINT, **ON}}, {"11.100.51.198.list.test": "why \x07<b>" + "x" * 900})
    with Server(lists) as server:
        result = run(server, [row()], [A, B])
    assert [outcome(result, at=at) for at in (0, 1)] == ["listed", "clean"]
    (seen,) = result["observations"]
    assert (seen["codes"], seen["meanings"], seen["ttl"], seen["hosts"]) == (["127.0.0.4"], ["exploited"], 60, ["mx1"])
    assert seen["reason"] == ("why ?<b>" + "x" * 900)[:400]
    assert seen["delisting"]["url"] == f"https://x.test/?ip={A}"
    assert seen["qualified_by"]["resolver"].startswith("127.0.0.1#")
    # TXT is asked at the name that was listed, and nowhere else (dnsbl_exporter asks at another).
    assert [each.name for each in server.asked if each.kind == "TXT"] == ["11.100.51.198.list.test."]


def test_names_go_to_lists_of_names_and_addresses_to_lists_of_addresses():
    """mailcow-logs-viewer sends addresses to DBL; Mail-in-a-Box and Modoboa reverse IPv6 wrongly."""
    zones = {
        "v4.test": {**POINT, **ON},
        "v6.test": {**POINT6, "5.2" + ".0" * 22 + ".8.b.d.0.1.0.0.2": ["127.0.0.2"]},
        "names.test": {"test": ["127.0.0.2"], "example.com": ["127.0.0.4"]},
        "whole.test": {"test": ["127.0.0.2"], "mx.example.com": ["127.0.0.4"]},
    }
    rows = [
        row("v4.test"),
        row("v6.test", answers_for=["ipv6"]),
        row("names.test", answers_for=["domain"]),
        row("whole.test", answers_for=["domain"], names="both"),
    ]
    with Server(Lists(zones)) as server:
        result = run(server, rows, [A, f"::ffff:{B}", "2001:db8::25"], [("mx.example.com", "example.com")])
    said = {(each["subject"], each["source"]): each["outcome"] for each in result["observations"]}
    assert said == {
        (A, "v4.test"): "listed",
        ("2001:db8::25", "v6.test"): "listed",
        ("example.com", "names.test"): "listed",
        ("mx.example.com", "whole.test"): "listed",
    }
    assert [subject["address"] for subject in result["addresses"]] == [A, B, "2001:db8::25"]
    asked = [each.name.removesuffix("names.test.") for each in server.asked if each.name.endswith(".names.test.")]
    assert not [name for name in asked if name.replace(".", "").isdigit()]


def test_a_list_that_speaks_of_both_families_is_judged_for_each():
    with Server(Lists({"list.test": POINT})) as server:
        result = run(server, [row(answers_for=["ipv4", "ipv6"])], [A, "2001:db8::25"])
    assert [outcome(result, at=at) for at in (0, 1)] == ["clean", "unqualified"]


# ---- lists and resolvers that cannot be believed


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ({"*": ["127.255.255.254"]}, "it refuses this resolver"),
        ({"*": ["127.0.0.2"]}, "so everything"),
        ({"*": ["199.59.243.228"]}, "no code: its zone is parked"),
        ({}, "its test point 127.0.0.2 is not on it"),
        ({**POINT, "1.0.0.127": ["127.0.0.2"]}, "must not contain"),
        (None, "its zone is gone: the answer comes from ."),
    ],
)
def test_a_list_that_fails_its_test_says_nothing(zone, words):
    with Server(Lists({} if zone is None else {"list.test": {**ON, **zone}})) as server:
        result = run(server, [row()], [A, B])
    assert [outcome(result, at=at) for at in (0, 1)] == ["unqualified", "unqualified"]
    (entry,) = result["lists"]
    assert words in entry["why"]
    assert entry["repair"]
    assert not [each for each in server.asked if each.name.startswith("11.100")], "it was asked in vain"


def rewriting(question, right, over):
    """A resolver that sells what does not exist."""
    made = dns.message.from_wire(right)
    if made.rcode() == dns.rcode.NXDOMAIN:
        made.set_rcode(dns.rcode.NOERROR)
        made.authority = []
        made.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", "A", "92.242.132.24"))
    return [made.to_wire()]


def filtering(question, right, over):
    """unbound's private-address: 127.0.0.0/8."""
    made = dns.message.from_wire(right)
    made.answer = [rrset for rrset in made.answer if rrset.rdtype != 1]
    return [made.to_wire()]


def refusing(question, right, over):
    made = dns.message.make_response(question)
    made.set_rcode(dns.rcode.REFUSED)
    return [made.to_wire()]


@pytest.mark.parametrize(
    ("resolver", "words"),
    [
        (rewriting, "rewrites answers: it answers 92.242.132.24"),
        (filtering, "takes answers of 127.0.0.0/8 away"),
        (refusing, "refuses this machine"),
        (lambda *_: [], "does not answer"),
    ],
)
def test_through_a_resolver_that_cannot_be_believed_nothing_is_clean(resolver, words):
    zones = {f"l{number}.test": {**POINT, **ON} for number in range(3)}
    with Server(Lists(zones, special={"": resolver})) as server:
        result = run(server, [row(zone) for zone in zones], [A, B], timeout=0.1)
    assert [subject["clean"] for subject in result["addresses"]] == [[], []]
    assert [subject["unqualified"] for subject in result["addresses"]] == [list(zones)] * 2
    assert words in result["resolver"]["why"]
    assert result["resolver"]["repair"]
    assert result["observations"] == []


def test_one_lists_trouble_never_hides_anothers_answer():
    zones = {"good.test": {**POINT, **ON}, "bad.test": {"*": ["127.255.255.255"]}}
    silent = {"silent.test": lambda *_: []}
    with Server(Lists(zones, special=silent)) as server:
        result = run(server, [row("silent.test"), row("bad.test"), row("good.test"), row("nowhere.test")], [A], timeout=0.1)
    (subject,) = result["addresses"]
    assert subject["unqualified"] == ["bad.test", "nowhere.test", "silent.test"]
    assert [(each["source"], each["outcome"]) for each in result["observations"]] == [("good.test", "listed")]


def test_a_refusal_is_explained_with_the_address_that_asks():
    texts = {"2.0.0.127.list.test": "https://example.test/?ip=203.0.113.7", "who.test": "203.0.113.7"}
    with Server(Lists({"list.test": {"*": ["127.255.255.254"]}, "who.test": {}}, texts)) as server:
        listing = row(access_note="Register it.", access_url="https://op.test/")
        result = run(server, [listing], [A], options=FAST._replace(egress_name="who.test"))
    (entry,) = result["lists"]
    assert 'it says: "https://example.test/?ip=203.0.113.7"' in entry["why"]
    assert entry["repair"] == "Register it. https://op.test/ You ask from the address 203.0.113.7."


# ---- the wire


def truncated(question, right, over):
    if over == "tcp":
        return [right]
    made = dns.message.make_response(question)
    made.flags |= dns.flags.TC
    return [made.to_wire()]


def forged(question, right, over):
    """What an attacker sends who sees nothing: other IDs, another question; then the right answer."""
    lie = dns.message.make_response(question)
    lie.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", "A", "127.0.0.2"))
    wrong_number = ((question.id + 1) % 65536).to_bytes(2, "big") + lie.to_wire()[2:]
    other = dns.message.make_response(dns.message.make_query("other.test.", "A"))
    other.id = question.id
    return [wrong_number, other.to_wire(), right[:12], b"", b"\0" * 3000, right]


@pytest.mark.parametrize("act", [truncated, forged, lambda q, right, over: [0.15, right], lambda q, right, over: [right, right]])
def test_the_right_answer_is_found(act):
    with Server(Lists({"list.test": {**POINT, **ON}}, special={".list.test": act})) as server:
        result = run(server, [row()], [A, B], timeout=0.5)
    assert [outcome(result, at=at) for at in (0, 1)] == ["listed", "clean"]


@pytest.mark.parametrize(
    "act",
    [
        lambda q, right, over: [b"garbage"],
        lambda q, right, over: [q.to_wire()],
        lambda q, right, over: [right[:-15]],
        lambda q, right, over: [right[:2] + b"\xff" * 40],
        lambda q, right, over: truncated(q, right, "udp") if over == "udp" else [b"xx"],
        refusing,
        lambda q, right, over: [0.5, right],
    ],
)
def test_what_is_no_answer_is_never_clean_or_listed(act):
    with Server(Lists({"list.test": {**POINT, **ON}}, special={"51.198.list.test": act})) as server:
        result = run(server, [row()], [A, B], timeout=0.1)
    said = {outcome(result, at=at) for at in (0, 1)}
    assert said <= {"timeout", "refused_dns"}, said


def test_a_lost_question_is_asked_again_from_another_port_with_another_id():
    seen: set[str] = set()

    def lossy(question, right, over):
        name = question.question[0].to_text()
        return [] if name not in seen and not seen.add(name) else [right]

    with Server(Lists({"list.test": {**POINT, **ON}}, special={"": lossy})) as server:
        result = run(server, [row()], [A, B], timeout=0.2)
    assert [outcome(result, at=at) for at in (0, 1)] == ["listed", "clean"]
    pairs: dict[tuple[str, str], list] = {}
    for each in server.asked:
        pairs.setdefault((each.name, each.kind), []).append(each)
    assert all(first.port != second.port for first, second in pairs.values())
    assert len({each.number for each in server.asked}) > 1


def test_ids_and_ports_are_spread():
    with Server(Lists({"list.test": POINT})) as server:
        run(server, [row()], ["198.51.100.0/24"])
    asked = [each for each in server.asked if each.kind == "A"]
    assert len({each.port for each in asked}) >= 8
    assert len({each.number for each in asked}) > 200
    steps = [later.number - former.number for former, later in zip(asked, asked[1:])]
    assert len(set(steps)) > 200


# ---- politeness


def test_a_list_that_begins_to_refuse_is_asked_no_more():
    count = [0]

    def tired(question, right, over):
        count[0] += 1
        if count[0] <= 20:
            return [right]
        made = dns.message.make_response(question)
        made.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", "A", "127.255.255.255"))
        return [made.to_wire()]

    zones = {"list.test": POINT, "other.test": POINT}
    with Server(Lists(zones, special={"100.51.198.list.test": tired})) as server:
        result = run(server, [row(), row("other.test")], ["198.51.100.0/24"], options=FAST._replace(rate=2000))
    asked = [each for each in server.asked if each.name.endswith("51.198.list.test.") and each.kind == "A"]
    assert len(asked) < 60
    assert {outcome(result, at=at) for at in range(256)} == {"clean", "refused", "unqualified"}
    assert {outcome(result, "other.test", at) for at in range(256)} == {"clean"}
    assert "began to answer refused" in next(entry["why"] for entry in result["lists"] if entry["zone"] == "list.test")


def test_a_list_that_falls_silent_is_asked_no_more():
    with Server(Lists({"list.test": POINT}, special={"51.198.list.test": lambda *_: []})) as server:
        result = run(server, [row()], ["198.51.100.0/24"], timeout=0.05, options=FAST._replace(rate=100))
    asked = {each.name for each in server.asked if each.name.endswith("51.198.list.test.") and each.kind == "A"}
    assert len(asked) < 40
    assert {outcome(result, at=at) for at in range(256)} == {"timeout", "unqualified"}
    assert "3 questions in a row got no answer" in result["lists"][0]["why"]


def test_each_operator_has_its_own_pace_and_all_run_side_by_side():
    zones = {f"{zone}.test": POINT for zone in ("a1", "a2", "b")}
    rows = [
        row("a1.test", operator="a", limits={"per_second": 40}),
        row("a2.test", operator="a"),
        row("b.test", operator="b", limits={"per_second": 20}),
    ]
    with Server(Lists(zones)) as server:
        began = time.monotonic()
        run(server, rows, ["198.51.100.0/29"])
        took = time.monotonic() - began
    for operator, interval in (("a", 1 / 40), ("b", 1 / 20)):
        times = sorted(each.at for each in server.asked if f".{operator}" in each.name or each.name.startswith(operator))
        # A datagram may wait in the kernel, never hurry: over any stretch no more than the rate allows.
        assert len(times) >= 12
        assert times[-1] - times[0] >= (len(times) - 1) * interval * 0.95 - 0.02
    assert took < (24 / 40 + 12 / 20) * 1.5


def test_the_limit_of_a_day_is_kept_and_remembered(tmp_path):
    memory = str(tmp_path / "cache.json")
    limited = row(limits={"per_day": 20})
    with Server(Lists({"list.test": POINT})) as server:
        for found in ("clean", "unqualified", "unqualified"):  # a test of the list costs 4 questions, the addresses 8
            kept = cache.Cache(memory)
            result = run(server, [limited], ["198.51.100.0/29"], memory=kept)
            kept.save()
            assert {outcome(result, at=at) for at in range(8)} == {found}
        assert sum(each.name.endswith("100.51.198.list.test.") for each in server.asked) == 8
    assert "its limit of 20 questions a day would be passed (8 more are needed)" in result["lists"][0]["why"]


def test_lists_of_one_operator_share_its_day():
    rows = [row(zone, operator="One", limits={"per_day": 25}) for zone in ("a.test", "b.test", "c.test")]
    with Server(Lists({each["zone"]: POINT for each in rows})) as server:
        result = run(server, rows, ["198.51.100.0/29"])
    assert [each["qualified"] for each in result["lists"]] == [True, False, False]
    assert sum("100.51.198." in each.name for each in server.asked) == 8
    assert len([each for each in server.asked if each.name.endswith((".a.test.", ".b.test.", ".c.test."))]) <= 25


def test_a_list_that_refuses_is_asked_why_once():
    zone = {**POINT, **{f"{number}.100.51.198": ["127.255.255.255"] for number in range(64)}}
    with Server(Lists({"list.test": zone}, {"3.100.51.198.list.test": "too much"}), 16) as server:
        result = run(server, [row()], ["198.51.100.0/26"])
    assert {each["outcome"] for each in result["observations"]} == {"refused"}
    assert sum(each.kind == "TXT" and "100.51.198." in each.name for each in server.asked) == 1


def test_a_resolver_that_leads_a_list_to_its_keyed_zone_is_believed_and_its_key_not_told(tmp_path):
    """Operators rewrite zen.spamhaus.org to their DQS zone in the resolver (research 2.4); the key is the resolver's own."""
    inner = Lists({f"{KEY.lower()}.dq.test": {**POINT, **ON}, "list.test": POINT})

    def lead(question, right, over):
        name = question.question[0].name.to_text().lower()
        if name == "list.test.":
            return [right]
        target = name.removesuffix("list.test.") + f"{KEY.lower()}.dq.test."
        there = inner.right(dns.message.make_query(target, question.question[0].rdtype))
        answer = dns.message.make_response(question, recursion_available=True)
        answer.set_rcode(there.rcode())
        answer.answer = [dns.rrset.from_text(question.question[0].name, 60, "IN", "CNAME", target), *there.answer]
        answer.authority = there.authority
        return [answer.to_wire()]

    kept = cache.Cache(str(tmp_path / "cache.json"))
    with Server(Lists(inner.zones, special={"list.test": lead})) as server:
        result = run(server, [row()], [A, B], memory=kept)
        inner.zones[f"{KEY.lower()}.dq.test"] = {"*": ["127.0.0.2"]}
        wild = run(server, [row()], [A, B])
    kept.save()
    assert [outcome(result, at=at) for at in (0, 1)] == ["listed", "clean"]
    assert [outcome(wild, at=at) for at in (0, 1)] == ["unqualified", "unqualified"]
    everything = json.dumps([result, wild]) + (tmp_path / "cache.json").read_text()
    assert KEY.lower() not in everything.lower()


def test_a_datagram_that_the_kernel_does_not_take_costs_no_other_answer(monkeypatch):
    """A full table of connections answers EPERM to one of many."""
    real, sent = ask._Port.__init__, iter(range(10_000))

    class Faulty:
        def __init__(self, inner):
            self.inner = inner

        def __call__(self, data):
            if next(sent) % 7 == 3:
                raise PermissionError(1, "Operation not permitted")
            return self.inner(data)

    def init(self, peer, family):
        real(self, peer, family)
        self.send = Faulty(self.send)

    monkeypatch.setattr(ask._Port, "__init__", init)
    with Server(Lists({"list.test": {**POINT, **ON}})) as server:
        result = run(server, [row()], [A, B])
    assert [outcome(result, at=at) for at in (0, 1)] == ["listed", "clean"]


def test_an_allowlist_that_turned_into_a_wildcard_is_not_believed_on_memory():
    lists = Lists({"list.test": {**POINT, **ON}})
    memory = cache.Cache(None)
    with Server(lists) as server:
        assert outcome(run(server, [row(kind="allow")], [A, B], memory=memory)) == "allowed"
        lists.zones["list.test"] = {"*": ["127.0.0.4"], **POINT}
        again = run(server, [row(kind="allow")], [A, B], memory=memory)
    assert [outcome(again, at=at) for at in (0, 1)] == ["unqualified", "unqualified"]


def test_the_time_of_a_run_and_of_a_list_ends(tmp_path):
    slow = {"slow.test": POINT, "fast.test": POINT}
    rows = [row("slow.test", limits={"per_second": 10}), row("fast.test")]
    with Server(Lists(slow)) as server:
        began = time.monotonic()
        result = run(server, rows, ["198.51.100.0/26"], options=FAST._replace(list_deadline=0.7, rate=0))
    assert time.monotonic() - began < 5
    assert {outcome(result, "fast.test", at) for at in range(64)} == {"clean"}
    assert {outcome(result, "slow.test", at) for at in range(64)} == {"clean", "unqualified"}
    assert "its time was up after" in result["lists"][0]["why"]
    with Server(Lists(slow)) as server:
        result = run(server, rows, ["198.51.100.0/26"], options=Options(deadline=1.0, rate=20, egress_name=""))
    for at in range(64):
        assert outcome(result, "slow.test", at) in ("clean", "unqualified", "timeout")


# ---- the memory of passed tests


def test_a_passed_test_is_remembered_and_a_listing_is_never_believed_on_memory(tmp_path):
    memory = str(tmp_path / "state/cache.json")
    with Server(Lists({"list.test": {**POINT, **ON}})) as server:
        for expected in (5, 2):  # four probes of the list and the resolver's, then one and the resolver's
            store, before = cache.Cache(memory), len(server.asked)
            result = run(server, [row()], [B], memory=store)
            store.save()
            assert outcome(result) == "clean"
            assert len(server.asked) - before == expected + 1
        before = len(server.asked)
        assert outcome(run(server, [row()], [A], memory=cache.Cache(memory))) == "listed"
        assert len(server.asked) - before == 2 + 1 + 4 + 1, "the list was to be tested again, and asked for its reason"
        # Other words in the catalogue, or another age, make another test.
        before = len(server.asked)
        run(server, [row(codes={"127.0.0.9": "x"})], [B], memory=cache.Cache(memory))
        run(server, [row()], [B], memory=cache.Cache(memory, max_age=0))
        assert len(server.asked) - before == 2 * 6
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


def test_a_list_that_died_since_it_was_remembered_is_found_out(tmp_path):
    memory, zone = str(tmp_path / "cache.json"), {**POINT}
    with Server(Lists({"list.test": zone})) as server:
        store = cache.Cache(memory)
        assert outcome(run(server, [row()], [B], memory=store)) == "clean"
        store.save()
        zone.clear()
        assert outcome(run(server, [row()], [B], memory=cache.Cache(memory))) == "unqualified"
        zone["*"] = ["127.0.0.2"]
        assert outcome(run(server, [row()], [B], memory=cache.Cache(memory))) == "unqualified"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"passed": 1, "asked": {"x": []}}', '{"passed": {"a": {"at": "x"}}}', "[" * 5000])
def test_a_cache_that_is_none_is_made_anew(tmp_path, text):
    file = tmp_path / "cache.json"
    file.write_text(text)
    store = cache.Cache(str(file))
    assert store.recall("a") is None
    store.remember("a", "list.test.", True)
    store.save()
    assert cache.Cache(str(file)).recall("a")


def test_a_frozen_cache_is_not_written(tmp_path):
    store = cache.Cache(str(tmp_path / "cache.json"), frozen=True)
    store.remember("a", "list.test.", True)
    store.save()
    assert list(tmp_path.iterdir()) == []


# ---- keys


def test_a_key_is_in_the_questions_and_nowhere_else(tmp_path):
    memory = cache.Cache(str(tmp_path / "cache.json"))
    keyed = f"{KEY.lower()}.list.test"
    texts = {f"11.100.51.198.{keyed}": f"see {KEY} and {KEY.upper()}"}
    listing = row(key="own", access="key")
    with Server(Lists({keyed: {**POINT, **ON}}, texts)) as server:
        result = run(server, [listing], [A, B], keys={"own": KEY}, memory=memory)
    memory.save()
    assert [outcome(result, at=at) for at in (0, 1)] == ["listed", "clean"]
    assert result["observations"][0]["reason"] == "see <key> and <key>"
    said = json.dumps(result) + (tmp_path / "cache.json").read_text()
    assert KEY.lower() not in said.lower()
    with Server(Lists({"list.test": {}})) as server:
        result = run(server, [listing], [A], keys={"own": KEY})
    assert KEY.lower() not in json.dumps(result).lower()
    assert outcome(result) == "unqualified"


# ---- the resolver itself


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "cannot be read"), ("", "names no resolver"), ("search example.com\n# nameserver 1.1.1.1\n", "names no resolver")],
)
def test_a_machine_without_a_resolver_is_told_so(tmp_path, text, words):
    file = tmp_path / "resolv.conf"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ask.ResolverError, match=words + r".*set reputation_resolver"):
        ask.system_resolver(str(file))


def test_the_first_resolver_of_the_machine_is_asked(tmp_path):
    file = tmp_path / "resolv.conf"
    file.write_text("search a.test\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n")
    assert ask.system_resolver(str(file)) == "192.0.2.1"


@pytest.mark.parametrize("text", ["resolver.example.com", "1.2.3", "", "1.2.3.4 5"])
def test_a_resolver_is_an_address(text):
    with pytest.raises(ask.ResolverError, match="is no address of a resolver"):
        ask.Engine(text)

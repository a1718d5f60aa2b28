# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in which a list or a resolver fails, on the lab's rbldnsd and unbound, asked by the modules themselves."""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "servers")]
from dns_server import Server, forward  # noqa: E402  a folder of tests, no package
from lab import lab, on, playbook, run  # noqa: E402

RESOLVER = "203.0.113.53"
SUBJECT, OTHER = "198.51.100.77", "198.51.100.76"
KEY = "ab12CD34ef56GH78"


def ask(tmp_path: Path, port: int, hosts: list[dict], resolver: str = RESOLVER, **fields: t.Any) -> tuple[dict, dict, str]:
    """Return (the plan, the answers, everything that Ansible printed)."""
    options = {"plan_hosts": hosts, "ask_keys": {}, "ask_resolver": resolver, "ask_port": port, "ask_result": str(tmp_path / "result.json")}
    (tmp_path / "options.json").write_text(json.dumps({**options, **fields}), encoding="utf-8")
    output = playbook("reputation.yml", "-e", f"@{tmp_path}/options.json", "-vvv")
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    return result["plan"], result["answers"], output


def own(zone: str, **fields: t.Any) -> dict:
    """A list of the inventory's own."""
    return {
        "zone": zone, "name": zone, "operator": zone, "kind": "block", "answers_for": ["ipv4"], "tier": "A",
        "codes": {"127.0.0.2": "spam", "127.0.0.4": "exploited", "127.0.0.10": "policy"}, "evidence": "operator", "access": "free",
        "repair": "Stop.", "delisting": {"kind": "none", "who": "nobody", "paid": "no"},
        "sources": [{"facts": ["codes"], "from": "the lab", "read": "2026-11-24"}], **fields,
    }  # fmt: skip


BITS = {"bits": {"8": "phishing", "16": "malware"}, "codes": {}, "test": {"ipv4": {"positive": "127.0.0.2", "negative": "127.0.0.1"}}}
TRUST = {"categories": {"5": "shop", "10": "any"}, "trusts": {"0": "none", "2": "medium"}}
NO_POINT = {"ipv4": {"positive": None, "negative": "127.0.0.1"}}
# Name below fail.test: what the list's entry says, what is to come out for the subject, and which words explain it.
TABLE: dict[str, tuple[dict, str, str]] = {
    "typing": ({}, "unqualified", "127.255.255.252"),
    "public": ({"access_note": "Ask otherwise."}, "unqualified", "it refuses this resolver"),
    "limit": ({}, "unqualified", "127.255.255.255"),
    "uribl": ({"refusals": {"127.0.0.1": "no"}}, "unqualified", "it refuses this resolver: no (127.0.0.1)"),
    "dnswl": ({"refusals": {"127.0.0.255": "no"}, "kind": "allow"}, "unqualified", "it refuses this resolver: no (127.0.0.255)"),
    "dbl": ({"refusals": {"127.0.1.255": "no"}}, "unqualified", "it refuses this resolver: no (127.0.1.255)"),
    "wildcard": ({}, "unqualified", "so everything"),
    "parked": ({}, "unqualified", "203.0.113.99, which is no code"),
    "emptied": ({}, "unqualified", "its test point 127.0.0.2 is not on it"),
    "nowhere": ({}, "unqualified", "its zone is gone: the answer comes from fail.test."),
    "servfail": ({}, "unqualified", "SERVFAIL"),
    "refused": ({}, "unqualified", "REFUSED"),
    "silent": ({}, "unqualified", "gives no answer"),
    "several": ({}, "listed", "spam; exploited; policy"),
    "bitmask": ({**BITS, "codes": {"127.0.0.2": "test point"}}, "listed", "phishing, malware"),
    "score": ({"kind": "score", "score": {"net": "127.0.4.0/24", "text": "of 100"}, "codes": {}, "test": NO_POINT}, "score", "71 (of 100)"),
    "unknown": ({}, "listed_unknown_code", "127.0.0.99"),
    "allow": ({"kind": "allow", "codes": {}, "category_trust": TRUST}, "allowed", "shop, medium"),
    "good": ({}, "listed", "spam"),
    "slow": ({}, "listed", "spam"),
    "truncated": ({}, "listed", "spam"),
    "forged": ({}, "clean", ""),
    "garbage": ({}, "timeout", ""),
}  # fmt: skip
# Of a list that says something of the subject: what it says of another address. A list without a test point never says clean.
SAYS_CLEAN = ("several", "bitmask", "unknown", "allow", "good", "slow", "truncated", "forged", "garbage")


def meddle(question: dns.message.Message, found: dns.message.Message) -> t.Iterable[bytes | float]:
    """What happens on the way to some zones."""
    name, right = question.question[0].name.to_text(), found.to_wire(max_size=65535)
    if name.endswith("slow.fail.test."):
        return [0.6, right]
    if name.endswith("truncated.fail.test."):
        cut = dns.message.make_response(question)
        cut.flags |= dns.flags.TC
        return [cut.to_wire()]
    lie = dns.message.make_response(question)
    lie.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", "A", "127.0.0.2"))
    if name.endswith("forged.fail.test."):
        other = dns.message.make_response(dns.message.make_query("other.test.", "A"))
        other.id = question.id
        return [(question.id ^ 1).to_bytes(2, "big") + lie.to_wire()[2:], other.to_wire(), b"\0" * 5000, right]
    if "77.100.51.198.garbage" in name:
        return [question.to_wire(), right[:20], right[:2] + b"\xc0\x0c" * 200, b""]
    return [right]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("reputation")
    rows = [own(f"{name}.fail.test", **fields) for name, (fields, _, _) in TABLE.items()]
    host = {"host": "mx", "addresses": [SUBJECT, OTHER], "overrides": [{"variable": "reputation_overrides", "rows": rows}]}
    truncating = forward(RESOLVER, 53, meddle)
    whole = forward(RESOLVER)
    with Server(lambda question, over: whole(question, over) if over == "tcp" else truncating(question, over), 64) as server:
        return ask(tmp_path, server.port, [host], "127.0.0.1", plan_lists=[row["zone"] for row in rows])[1]


def said(answers: dict, address: str, zone: str) -> tuple[str, str]:
    """Return what a list said of an address, and its words."""
    (subject,) = [row for row in answers["addresses"] if row["address"] == address]
    found = [
        (row["outcome"], "; ".join(row["meanings"]))
        for row in answers["observations"]
        if (row["subject"], row["source"]) == (address, zone)
    ]
    found += [("clean", "")] * (zone in subject["clean"])
    found += [("unqualified", row["why"] or "") for row in answers["lists"] if zone in subject["unqualified"] and row["zone"] == zone]
    assert len(found) == 1, (address, zone, found)
    return found[0]


@pytest.mark.parametrize("name", list(TABLE))
def test_no_failure_of_a_list_gives_a_false_clean_or_a_false_listing(answers, name):
    _, outcome, words = TABLE[name]
    came, why = said(answers, SUBJECT, f"{name}.fail.test")
    assert came == outcome, why
    assert words in why
    came, why = said(answers, OTHER, f"{name}.fail.test")
    assert came == ("clean" if name in SAYS_CLEAN else "unqualified"), why


def test_what_a_list_says_itself_comes_with_it(answers):
    reasons = {row["source"]: row["reason"] for row in answers["observations"]}
    assert reasons["good.fail.test"] == f"See https://good.fail.test/{SUBJECT}"
    assert all(row["ttl"] <= 5 for row in answers["observations"] if row["outcome"] == "listed")


def test_the_lists_of_the_catalogue_pass_their_own_test(tmp_path):
    host = {"host": "mx", "addresses": [OTHER, "2001:db8::25", f"::ffff:{SUBJECT}"], "names": ["mx.example.com"]}
    plan, answers, _ = ask(tmp_path, 53, [host])
    assert [(row["zone"], row["family"], row["why"]) for row in answers["lists"] if not row["qualified"]] == []
    for subject in answers["addresses"]:
        assert "zen.spamhaus.org" in subject["clean"]
        assert not set(subject["unqualified"]) - {"score.senderscore.com"}
    assert [subject["address"] for subject in answers["addresses"]] == [OTHER, "2001:db8::25", SUBJECT]
    assert len(plan["left_out"]) > 30


@pytest.mark.parametrize(
    ("port", "words", "repair"),
    [
        (5301, "takes answers of 127.0.0.0/8 away", "Exempt the zones of the lists there"),
        (9, "does not answer", "Set reputation_resolver to one"),
        (
            None,
            "rewrites answers: it answers 203.0.113.99 for a name that cannot exist",
            "Set reputation_resolver to a resolver of your own",
        ),
    ],
)
def test_through_a_resolver_that_cannot_be_believed_no_address_is_clean(tmp_path, port, words, repair):
    host = {"host": "mx", "addresses": ["198.51.100.0/28"], "names": ["mx.example.com"]}

    def rewrite(question: dns.message.Message, found: dns.message.Message) -> list[bytes]:
        if found.rcode() == dns.rcode.NXDOMAIN:
            found.set_rcode(dns.rcode.NOERROR)
            found.authority = []
            found.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", "A", "203.0.113.99"))
        return [found.to_wire()]

    if port is None:
        with Server(forward(RESOLVER, 53, rewrite), 64) as server:
            answers = ask(tmp_path, server.port, [host], "127.0.0.1")[1]
    else:
        answers = ask(tmp_path, port, [host])[1]
    assert len(answers["addresses"]) == 16
    assert [row for row in [*answers["addresses"], *answers["names"]] if row["clean"]] == []
    assert answers["observations"] == []
    assert words in answers["resolver"]["why"]
    assert repair in answers["resolver"]["repair"]


def test_a_resolver_that_spamhaus_refuses_shows_none_of_its_lists_as_clean_and_says_what_to_do(tmp_path):
    host = {"host": "mx", "addresses": [OTHER, "2001:db8::25"], "names": ["mx.example.com"]}
    answers = ask(tmp_path, 5302, [host])[1]
    spamhaus = {"zen.spamhaus.org", "dbl.spamhaus.org"}
    assert all(not spamhaus & set(row["clean"]) for row in [*answers["addresses"], *answers["names"]])
    failed = {(row["zone"], row["family"]): row for row in answers["lists"] if not row["qualified"]}
    assert {zone for zone, _ in failed} == spamhaus
    row = failed["zen.spamhaus.org", "ipv4"]
    assert "the question came through a public or shared resolver (127.255.255.254)" in row["why"]
    assert "reputation_keys.spamhaus_dqs" in row["repair"]
    assert row["repair"].endswith(f"You ask from the address {RESOLVER}.")


def test_buckets_hold_zen_is_asked_once_and_no_key_is_in_any_output(tmp_path, monkeypatch):
    """A resolver that writes down every question."""
    monkeypatch.setenv("ANSIBLE_INJECT_INVOCATION", "true")
    zone = "several.fail.test"
    keyed = own("dq.fail.test", operator="Keyed", key="own", access="key")
    slow = own(zone, operator="Slow", limits={"per_second": 25})
    host = {
        "host": "mx",
        "addresses": ["198.51.100.64/28"],
        "overrides": [{"variable": "reputation_overrides", "rows": [keyed, slow]}],
    }
    with Server(forward(RESOLVER), 64) as server:
        _, answers, output = ask(tmp_path, server.port, [host], "127.0.0.1", ask_keys={"own": KEY}, ask_rate=60)
    times: dict[str, list[float]] = {}
    for each in server.asked:
        operator = next(
            (name for name in (zone, "spamhaus.org", "spameatingmonkey.net", "uceprotect.net") if each.name.endswith(f"{name}.")), ""
        )
        times.setdefault(operator, []).append(each.at)
    for operator, rate in ((zone, 25), ("spamhaus.org", 60), ("spameatingmonkey.net", 5)):
        moments = sorted(times[operator])
        assert len(moments) >= 16
        # Over any stretch: no more questions than the rate allows, but for what a datagram waited on its way.
        for at in range(0, len(moments) - 15):
            assert moments[at + 15] - moments[at] >= 15 / rate * 0.95 - 0.03, operator
    asked = [each.name for each in server.asked if each.kind == "A" and "100.51.198." in each.name]
    assert len(asked) == len(set(asked)), "an address was asked about twice"
    assert sum(name.endswith(".zen.spamhaus.org.") for name in asked) == 16
    assert not [name for name in asked if name.endswith(("sbl.spamhaus.org.", "xbl.spamhaus.org.", "pbl.spamhaus.org."))]
    assert [each for each in server.asked if KEY.lower() in each.name.lower()], "the key was to be used"
    assert KEY.lower() not in (output + json.dumps(answers)).lower()


def test_every_host_can_ask_through_its_own_resolver():
    lab("exec", "lists", "--", "/var/lib/lab/listing", "add", "198.51.100.12")
    try:
        done = run("assess", "-e", "reputation_where=host")
    finally:
        lab("exec", "lists", "--", "/var/lib/lab/listing", "clear")
    found = json.loads((Path(__file__).parents[2] / "reports" / done.report["run"]["id"] / "findings.json").read_text(encoding="utf-8"))
    assert [row["qualified"] for row in found["resolvers"]] == [True, True]
    states = {row["address"]: row["state"] for row in found["addresses"]}
    assert states["198.51.100.12"] == "listed", done.output[-3000:]
    assert "dnspython" not in on("mx1", "sh", "-c", "python3 -c 'import dns' 2>/dev/null && echo dnspython || true")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(
            ["-e", '{"reputation_lists": ["dnsbl.sorbs.net"]}'],
            "reputation_lists names dnsbl.sorbs.net, which is retired",
            marks=pytest.mark.soak,
        ),
        pytest.param(["-e", '{"reputation_lists": ["zen.spamhaus.orgg"]}'], "did you mean zen.spamhaus.org?", marks=pytest.mark.soak),
        (["-e", '{"reputation_lists": ["zen.dq.spamhaus.net"]}'], "give reputation_keys.spamhaus_dqs"),
        (["-e", '{"sending_addresses": ["10.0.0.0/8"]}'], "10.0.0.0/8 holds 16777216 addresses"),
        pytest.param(["-e", '{"sending_addresses": ["mx1.example.test"]}'], "'mx1.example.test' is no IP address", marks=pytest.mark.soak),
        pytest.param(
            ["-e", '{"reputation_overrides": [{"zone": "zen.spamhaus.org", "tier": "Z"}]}'],
            "reputation_overrides[0], tier: 'Z' is not one of",
            marks=pytest.mark.soak,
        ),
        pytest.param(["-e", '{"reputation_resolver": "resolver"}'], "'resolver' is no address of a resolver", marks=pytest.mark.soak),
    ],
)
def test_bad_input_is_named(options, words):
    done = run("assess", *options)
    said = done.output + json.dumps(done.report)
    assert done.code in (1, 2), done.output[-2000:]
    assert words in said, said[-3000:]

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.dnsbl import qualify
from goodstanding_src.module_utils.goodstanding.dnsbl.catalogue import complete
from goodstanding_src.module_utils.goodstanding.dnsbl.interpret import interpret
from goodstanding_src.module_utils.goodstanding.dnsbl.wire import Answer, unpack_name

sys.path.insert(0, str(Path(__file__).parent))
from lists import CATALOGUE, ZEN

ROWS = {row["zone"]: complete(row) for row in CATALOGUE.lists}
INSIDE = {"soa": "zen.spamhaus.org."}


@pytest.mark.parametrize(
    ("answer", "outcome", "codes"),
    [
        (Answer("NXDOMAIN", **INSIDE), "clean", ()),
        (Answer("NXDOMAIN", soa="org."), "zone_gone", ()),
        (Answer("NXDOMAIN"), "zone_gone", ()),
        (Answer("NXDOMAIN", soa="evil-zen.spamhaus.org."), "zone_gone", ()),
        (Answer("NOERROR", **INSIDE), "clean", ()),
        (Answer("NOERROR"), "zone_gone", ()),
        (Answer("NOERROR", ("127.0.0.4",)), "listed", ("127.0.0.4",)),
        (Answer("NOERROR", ("127.0.0.10", "127.0.0.2", "127.0.0.4")), "listed", ("127.0.0.2", "127.0.0.4", "127.0.0.10")),
        (Answer("NOERROR", ("127.0.0.99",)), "listed_unknown_code", ("127.0.0.99",)),
        (Answer("NOERROR", ("127.0.0.99", "127.0.0.4")), "listed", ("127.0.0.4", "127.0.0.99")),
        (Answer("NOERROR", ("127.255.255.254",)), "refused", ("127.255.255.254",)),
        (Answer("NOERROR", ("127.255.255.250",)), "refused", ("127.255.255.250",)),
        (Answer("NOERROR", ("127.0.0.4", "127.255.255.255")), "refused", ("127.0.0.4", "127.255.255.255")),
        (Answer("NOERROR", ("62.0.58.94",)), "hijacked", ("62.0.58.94",)),
        (Answer("NOERROR", ("127.0.0.2", "62.0.58.94")), "hijacked", ("62.0.58.94", "127.0.0.2")),
        (Answer("SERVFAIL"), "servfail", ()),
        (Answer("REFUSED"), "refused_dns", ()),
        (Answer("NOTIMP"), "refused_dns", ()),
        (Answer("TIMEOUT"), "timeout", ()),
        # A name that does not exist and has an address: nobody's honest answer.
        (Answer("NXDOMAIN", ("127.0.0.4",), **INSIDE), "hijacked", ("127.0.0.4",)),
    ],
)
def test_an_answer_is_never_just_yes_or_no(answer, outcome, codes):
    meaning = interpret(answer, ZEN, "zen.spamhaus.org.")
    assert (meaning.outcome, meaning.codes) == (outcome, codes)


def test_without_a_zone_that_was_shown_nothing_is_clean():
    assert interpret(Answer("NXDOMAIN", **INSIDE), ZEN, None).outcome == "zone_gone"


@pytest.mark.parametrize(
    ("bug", "zone", "codes", "outcome", "words"),
    [
        ("check_rbl, dnsbl_exporter: only the first A record counts", "zen.spamhaus.org", ("127.0.0.99", "127.0.0.10"), "listed", "PBL"),
        ("dnsbl_exporter#264, pydnsbl#27, postal: a refusal is a listing", "zen.spamhaus.org", ("127.255.255.254",), "refused",
         "public or shared"),
        ("YunoHost: 127.255.255.x is a listing", "zen.spamhaus.org", ("127.255.255.255",), "refused", "too many"),
        ("Mail-in-a-Box before #2332: 252 is a listing", "dbl.spamhaus.org", ("127.255.255.252",), "refused", "mistyped"),
        ("all of them but rspamd: URIBL's 127.0.0.1 is a listing", "multi.uribl.com", ("127.0.0.1",), "refused", ""),
        ("SURBL: bit 1 refuses the resolver", "multi.surbl.org", ("127.0.0.1",), "refused", "refused"),
        ("mailcow-logs-viewer: an address sent to DBL is a listing", "dbl.spamhaus.org", ("127.0.1.255",), "refused", "only names"),
        ("DNSWL's 127.0.0.255 is a good reputation", "list.dnswl.org", ("127.0.0.255",), "refused", ""),
        ("Sender Score's refusal is a score", "score.senderscore.com", ("127.255.255.255",), "refused", ""),
        ("Modoboa#2679: what is above 15 is clean", "all.spamrats.com", ("127.0.0.36",), "listed", ""),
        ("check_rbl#54: a good reputation at mailspike is a listing", "rep.mailspike.net", ("127.0.0.18",), "allowed", ""),
        ("pydnsbl, YunoHost#1873, mailcow-logs-viewer: Hostkarma's white is a listing", "hostkarma.junkemailfilter.com", ("127.0.0.1",),
         "allowed", ""),
        ("an allowlist is read as a blocklist", "list.dnswl.org", ("127.0.10.3",), "allowed", ""),
        ("DomainDetective: 127.0.0.1 is white everywhere", "bl.0spam.org", ("127.0.0.1",), "listed", ""),
        ("DomainDetective: an answer outside 127/8 is a listing", "bl.spamcop.net", ("199.59.243.228",), "hijacked", "parked"),
        ("a bitmask is taken for a code", "multi.surbl.org", ("127.0.0.24",), "listed", ", "),
        ("a score is taken for a listing", "score.senderscore.com", ("127.0.4.71",), "score", "71"),
        ("a score above 100 is a score", "score.senderscore.com", ("127.0.4.255",), "unqualified", "not known"),
        ("an unknown word of an allowlist is a listing", "list.dnswl.org", ("127.0.16.2",), "unqualified", "not known"),
        ("any word of an allowlist is good", "dnswl.spfbl.net", ("127.0.0.9",), "unqualified", "not known"),
    ],
)  # fmt: skip
def test_bugs_of_the_peers(bug, zone, codes, outcome, words):
    meaning = interpret(Answer("NOERROR", codes), ROWS[zone], zone + ".")
    assert meaning.outcome == outcome, bug
    assert words in "; ".join(meaning.meanings)


@pytest.mark.parametrize(
    ("bug", "answer", "outcome"),
    [
        ("check_rbl, csf, Mail-in-a-Box, Modoboa, dnsblchk: SERVFAIL is clean", Answer("SERVFAIL"), "servfail"),
        ("check_rbl, Modoboa, dnsblchk: REFUSED is clean", Answer("REFUSED"), "refused_dns"),
        ("check_rbl, rblwatch, Modoboa: a question that got no answer is clean", Answer("TIMEOUT"), "timeout"),
        ("all of them: NXDOMAIN of a zone that is gone is clean", Answer("NXDOMAIN", soa="org."), "zone_gone"),
        ("all of them: an empty answer whose address a resolver took away is clean", Answer("NOERROR"), "zone_gone"),
        ("pydnsbl: an answer without records is an error", Answer("NOERROR", **INSIDE), "clean"),
    ],
)
def test_bugs_of_the_peers_without_a_code(bug, answer, outcome):
    assert interpret(answer, ZEN, "zen.spamhaus.org.").outcome == outcome, bug


USUAL = {"block": "listed", "allow": "allowed", "score": "score", "informational": "listed"}


@pytest.mark.parametrize("zone", list(ROWS))
def test_everything_that_an_entry_says_is_used(zone):
    """Each code, bit, score, category, refusal and test point of the catalogue decides what an answer means."""
    row = ROWS[zone]

    def read(code: str):
        return interpret(Answer("NOERROR", (code,)), row, zone + ".")

    for code, known in row["codes"].items():
        text = known if isinstance(known, str) else known["text"]
        meaning = read(code)
        if code in row.get("refusals", {}):
            continue
        assert text in meaning.meanings[0], code
        means = {"neutral": "score"}.get(known.get("means", ""), known.get("means")) if isinstance(known, dict) else None
        assert meaning.outcome == (means or USUAL[row["kind"]]), code
        assert meaning.scope == (known.get("scope", "address") if isinstance(known, dict) else "address")
    for code, known in row.get("refusals", {}).items():
        meaning = read(code)
        assert (meaning.outcome, meaning.meanings) == ("refused", (known if isinstance(known, str) else known["text"],))
    for bit in row.get("refusal_bits", []):
        assert read(f"127.0.0.{bit}").outcome == "refused"
    for bit, text in row.get("bits", {}).items():
        if int(bit) not in row.get("refusal_bits", []):
            assert read(f"127.0.0.{bit}").meanings == (text,)
    if "score" in row:
        net = row["score"]["net"].rpartition(".")[0]
        assert read(f"{net}.42").meanings == (f"42 ({row['score']['text']})",)
    for category, text in row.get("category_trust", {}).get("categories", {}).items():
        for trust, level in row["category_trust"]["trusts"].items():
            assert read(f"127.0.{category}.{trust}").meanings == (f"{text}, {level}",)
    unknown = read("127.0.77.78")
    of_nobody = "unqualified" if row["kind"] in ("allow", "score") else "listed_unknown_code"
    assert unknown.outcome == (USUAL[row["kind"]] if "any_code" in row else of_nobody)
    for family in row["answers_for"]:
        names = {kind: unpack_name(name + b"\0") for kind, name in qualify.probes(row, family).items()}
        points = row["test"][family]
        assert {"wildcard", *(kind for kind in ("positive", "negative") if points[kind])} == set(names)
        assert qualify.judge(row, family, sound(row, family)).why is None
        for code in points.get("codes", []):
            assert read(code).outcome in ("listed", "allowed", "score"), "the test point's own code must be a listing"
        if points["positive"]:
            dead = {**sound(row, family), "positive": Answer("NXDOMAIN", soa=zone + ".")}
            assert "is not on it" in (qualify.judge(row, family, dead).why or "")
        else:
            assert qualify.judge(row, family, sound(row, family)).absence is False


def sound(row: dict, family: str) -> dict[str, Answer]:
    """What a list that works answers to its probes."""
    zone = row["zone"] + "."
    known = [code for code in row["codes"] if code not in row.get("refusals", {})]
    bits = [f"127.0.0.{bit}" for bit in row.get("bits", {}) if int(bit) not in row.get("refusal_bits", [])]
    codes = row["test"][family].get("codes") or known or bits or ["127.0.0.2"]
    nothing = Answer("NXDOMAIN", soa=zone)
    answers = {"positive": Answer("NOERROR", (codes[0],)), "negative": nothing, "wildcard": nothing, "soa": Answer("NOERROR", soa=zone)}
    return {kind: answer for kind, answer in answers.items() if kind not in ("positive", "negative") or row["test"][family][kind]}


FREE = complete({**ZEN, "access_note": "Ask otherwise.", "answers_for": ["ipv4"]})
SOUND = sound(FREE, "ipv4")
ZONE = "zen.spamhaus.org."


@pytest.mark.parametrize(
    ("changed", "words", "fault"),
    [
        ({}, None, None),
        ({"positive": Answer("NXDOMAIN", soa=ZONE)}, "its test point 127.0.0.2 is not on it", "other"),
        ({"positive": Answer("NOERROR", soa=ZONE)}, "its test point 127.0.0.2 is not on it", "other"),
        ({"positive": Answer("NOERROR")}, "takes answers of 127.0.0.0/8 away", "filtered"),
        ({"positive": Answer("SERVFAIL")}, "takes answers of 127.0.0.0/8 away", "filtered"),
        ({"positive": Answer("TIMEOUT")}, "its positive test gives no answer", "other"),
        ({"positive": Answer("REFUSED")}, "its positive test answers REFUSED", "other"),
        ({"positive": Answer("NOERROR", ("127.255.255.254",))}, "it refuses this resolver: the question came through", "refused"),
        ({"positive": Answer("NOERROR", ("62.0.58.94",))}, "answers 62.0.58.94, which is no code", "other"),
        ({"negative": Answer("NOERROR", ("127.0.0.2",))}, "it lists its test point zen.spamhaus.org must not contain", "other"),
        ({"wildcard": Answer("NOERROR", ("127.0.0.2",))}, r"it lists a random name \(127.0.0.2\), so everything", "other"),
        ({"wildcard": Answer("NOERROR", ("62.0.58.94",))}, "its wildcard test answers 62.0.58.94", "other"),
        ({"negative": Answer("SERVFAIL")}, "its negative test answers SERVFAIL", "other"),
        ({"negative": Answer("NXDOMAIN", soa=".")}, "its zone is gone: the answer comes from .", "other"),
        ({"negative": Answer("NXDOMAIN", soa="org.")}, "its zone is gone: the answer comes from org.", "other"),
        ({"negative": Answer("NXDOMAIN", soa="other.org.")}, "its zone is gone", "other"),
        ({"negative": Answer("NXDOMAIN")}, "its zone is gone: the answer comes from no zone at all", "other"),
        ({"soa": Answer("NXDOMAIN", soa=ZONE)}, "its zone is gone", "other"),
        ({"soa": Answer("TIMEOUT")}, None, None),
    ],
)
def test_a_list_is_believed_after_its_own_test_alone(changed, words, fault):
    verdict = qualify.judge(FREE, "ipv4", {**SOUND, **changed})
    assert verdict.fault == fault
    if words is None:
        assert verdict == qualify.Verdict(None, soa=ZONE, absence=True)
    else:
        assert re.search(words, verdict.why or ""), verdict.why
        assert verdict.repair


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer("NXDOMAIN", soa="."), None),
        (Answer("NOERROR", ("92.242.132.24",)), "rewrites answers: it answers 92.242.132.24 for a name that cannot exist"),
        (Answer("NOERROR"), "rewrites answers: it answers that it exists"),
        (Answer("TIMEOUT"), "does not answer"),
        (Answer("REFUSED"), "refuses this machine"),
        (Answer("SERVFAIL"), "answers SERVFAIL"),
    ],
)
def test_a_resolver_is_believed_after_its_own_test_alone(answer, words):
    fault = qualify.resolver_fault(answer, "192.0.2.53#53")
    assert (fault is None) is (words is None)
    assert fault is None or (words in fault[0] and fault[1])

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of records and answers: SPF evaluated and merged, DMARC found by either rule."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.mailauth import dmarc, evaluate, spf

sys.path.insert(0, str(Path(__file__).parent))
from world import answered

A = "198.51.100.11"


def result(records, address=A, domain="alpha.test"):
    return answered(records, lambda table: evaluate.evaluate(table, address, domain, "mx1.alpha.test"))


BASE = {
    ("alpha.test", "TXT"): ["hello", "v=spf1 include:_spf.alpha.test mx ~all"],
    ("_spf.alpha.test", "TXT"): ["v=spf1 ip4:203.0.113.0/24 ip6:2001:db8::25 -all"],
    ("alpha.test", "MX"): ["10 mx1.alpha.test", "20 mx2.alpha.test"],
    ("mx1.alpha.test", "A"): [A],
    ("mx2.alpha.test", "A"): ["198.51.100.12"],
}


@pytest.mark.parametrize(
    ("address", "wanted", "term"),
    [
        (A, "pass", "mx"),
        ("203.0.113.7", "pass", "include:_spf.alpha.test"),
        ("2001:db8::25", "pass", "include:_spf.alpha.test"),
        ("192.0.2.1", "softfail", "~all"),
        (f"::ffff:{A}", "pass", "mx"),
    ],
)
def test_spf_of_an_address(address, wanted, term):
    found, _ = result(BASE, address)
    assert (found.result, found.term) == (wanted, term)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({("alpha.test", "TXT"): None}, "unknown"),
        ({("_spf.alpha.test", "TXT"): None}, "unknown"),
        ({("mx2.alpha.test", "A"): None}, "unknown"),
        ({("alpha.test", "TXT"): []}, "none"),
        ({("alpha.test", "TXT"): ["v=spf1 -all", "v=spf1 mx -all"]}, "permerror"),
        ({("alpha.test", "TXT"): ["v=spf1 include:gone.test -all"]}, "permerror"),
        ({("alpha.test", "TXT"): ["v=spf1 a:1.test a:2.test a:3.test -all"]}, "permerror"),
        ({("alpha.test", "TXT"): ["v=spf1 include:alpha.test -all"]}, "permerror"),
        ({("alpha.test", "TXT"): ["v=spf1 redirect=alpha.test"]}, "permerror"),
        ({("alpha.test", "TXT"): ["v=spf1 ip4:198.51.100.300 -all"]}, "permerror"),
    ],
)
def test_an_answer_that_did_not_come_is_never_a_pass(change, wanted):
    assert result({**BASE, **change})[0].result == wanted


def test_a_term_that_is_longer_than_any_name_is_not_evaluated(monkeypatch):
    """pyspf takes the square of its length."""

    def search(*_):
        raise AssertionError("pyspf reads it")

    monkeypatch.setattr(evaluate.library.query, "check0", search)
    for record in ("v=spf1 a:x." + "a" * 600 + "_ -all", "v=spf1 " + "%{" * 300):
        found, _ = result({**BASE, ("alpha.test", "TXT"): [record]})
        assert (found.result, found.why) == ("unknown", "alpha.test TXT: its SPF record has a term of more than 512 characters")


def test_all_hosts_of_an_mx_are_asked_in_one_round():
    _, rounds = result(BASE, A)
    assert [len(each) for each in rounds] == [1, 1, 1, 2]


def test_explanations_are_not_asked_for():
    found, rounds = result({("alpha.test", "TXT"): ["v=spf1 -all exp=why.alpha.test"]})
    assert found.result == "fail"
    assert [question for each in rounds for question in each] == [("alpha.test", "TXT")]


@pytest.mark.parametrize(
    ("present", "want", "remove", "end", "wanted"),
    [
        (None, ["ip4:198.51.100.11"], [], None, "v=spf1 ip4:198.51.100.11 ~all"),
        (None, ["a"], [], "-all", "v=spf1 a -all"),
        ("v=spf1 include:x.test -all", ["ip4:198.51.100.11"], [], None, "v=spf1 ip4:198.51.100.11 include:x.test -all"),
        ("v=spf1 ip4:198.51.100.0/24 -all", ["ip4:198.51.100.11"], [], None, "v=spf1 ip4:198.51.100.0/24 -all"),
        ("v=spf1 -ip4:198.51.100.0/24 ip4:198.51.100.11 -all", ["ip4:198.51.100.11"], [], None,
         "v=spf1 -ip4:198.51.100.0/24 ip4:198.51.100.11 -all"),
        ("v=spf1 -all ip4:198.51.100.0/24", ["ip4:198.51.100.11"], [], None, "v=spf1 ip4:198.51.100.11 -all ip4:198.51.100.0/24"),
        ("v=spf1 mx redirect=x.test", ["include:y.test"], [], None, "v=spf1 mx include:y.test redirect=x.test"),
        ("v=spf1 mx redirect=x.test", [], [], "-all", "v=spf1 mx -all"),
        ("v=spf1 ip4:192.0.2.1 mx ~all", ["ip4:198.51.100.11"], ["ip4:192.0.2.1"], None, "v=spf1 ip4:198.51.100.11 mx ~all"),
        ("v=spf1  MX   exp=why.test -ALL", [], [], None, "v=spf1 MX exp=why.test -ALL"),
        ("v=spf1 mx", [], [], None, "v=spf1 mx ~all"),
        ("v=spf1 +mx -all", ["mx"], [], None, "v=spf1 +mx -all"),
    ],
)  # fmt: skip
def test_merging_keeps_what_others_wrote(present, want, remove, end, wanted):
    text = spf.merge(present, want, remove, end)
    assert text == wanted
    assert spf.merge(text, want, remove, end) == text, "a second run changes nothing"


def test_a_term_that_is_none_is_refused():
    for word in ("ip4:198.51.100", "inlcude:x.test", "include:"):
        with pytest.raises(ValueError, match="no term"):
            spf.merge(None, [word])


D, R = "v=DMARC1; p=none", "v=DMARC1; p=reject"


@pytest.mark.parametrize(
    ("domain", "records", "at", "policy", "organizational"),
    [
        ("alpha.test", {("_dmarc.alpha.test", "TXT"): [R]}, "alpha.test", "reject", "alpha.test"),
        ("a.alpha.test", {("_dmarc.alpha.test", "TXT"): [R]}, "alpha.test", "reject", "alpha.test"),
        ("a.alpha.test", {("_dmarc.alpha.test", "TXT"): [f"{R}; sp=none"]}, "alpha.test", "none", "alpha.test"),
        ("a.alpha.test", {("_dmarc.a.alpha.test", "TXT"): [D], ("_dmarc.alpha.test", "TXT"): [R]}, "a.alpha.test", "none", "alpha.test"),
        ("b.a.alpha.test", {("_dmarc.a.alpha.test", "TXT"): [f"{R}; psd=n"], ("_dmarc.alpha.test", "TXT"): [D]}, "a.alpha.test", "reject",
         "a.alpha.test"),
        ("b.a.reg.test", {("_dmarc.reg.test", "TXT"): [f"{R}; psd=y"]}, "reg.test", "reject", "a.reg.test"),
        ("b.a.reg.test", {("_dmarc.reg.test", "TXT"): [f"{R}; psd=y"], ("_dmarc.a.reg.test", "TXT"): [D]}, "a.reg.test", "none",
         "a.reg.test"),
        ("reg.test", {("_dmarc.reg.test", "TXT"): [f"{R}; psd=y"]}, "reg.test", "reject", "reg.test"),
        ("reg.test", {("_dmarc.reg.test", "TXT"): [f"{R}; psd=y"], ("_dmarc.test", "TXT"): [D]}, "reg.test", "reject", "reg.test"),
        ("alpha.test", {("_dmarc.alpha.test", "TXT"): [R, D]}, None, None, "alpha.test"),
        ("alpha.test", {("_dmarc.alpha.test", "TXT"): ["hello", R]}, "alpha.test", "reject", "alpha.test"),
        ("alpha.test", {("_dmarc.alpha.test", "TXT"): ["v=DMARC1; rua=mailto:d@alpha.test"]}, "alpha.test", "none", "alpha.test"),
        ("alpha.test", {("_dmarc.alpha.test", "TXT"): ["v=DMARC1; p=bad"]}, "alpha.test", None, "alpha.test"),
        ("alpha.test", {}, None, None, "alpha.test"),
    ],
)  # fmt: skip
def test_the_tree_walk(domain, records, at, policy, organizational):
    found, rounds = answered(records, lambda table: dmarc.policy(domain, table))
    assert (found.at, found.policy, found.organizational) == (at, policy, organizational)
    assert sum(map(len, rounds)) <= 8


def test_the_walk_asks_eight_times_at_most():
    names = dmarc.walk_names("a.b.c.d.e.f.g.h.i.j.test")
    assert names[:2] == ["a.b.c.d.e.f.g.h.i.j.test", "e.f.g.h.i.j.test"]
    assert len(names) == 8
    assert names[-1] == "test"
    assert dmarc.walk_names("a.alpha.test") == ["a.alpha.test", "alpha.test", "test"]


def test_a_level_that_does_not_answer_is_named():
    found, _ = answered({("_dmarc.alpha.test", "TXT"): None}, lambda table: dmarc.policy("alpha.test", table))
    assert found.at is None
    assert found.unknown == ("_dmarc.alpha.test TXT: 127.0.0.1 answered SERVFAIL",)


@pytest.mark.parametrize(
    ("author", "other", "mode", "wanted"),
    [
        ("alpha.test", "alpha.test", "s", (True, True)),
        ("alpha.test", "mail.alpha.test", "s", (False, False)),
        ("alpha.test", "mail.alpha.test", "r", (True, True)),
        ("alpha.test", "beta.test", "r", (False, False)),
        ("a.alpha.test", "b.alpha.test", "r", (True, True)),
    ],
)
def test_alignment(author, other, mode, wanted):
    records = {("_dmarc.alpha.test", "TXT"): [D]}
    assert answered(records, lambda table: dmarc.aligned(author, other, mode, table))[0] == wanted


def test_alignment_may_differ_between_the_two_rules():
    # No record at the domain that was registered: the tree walk ends at each name itself.
    assert answered({}, lambda table: dmarc.aligned("a.alpha.test", "b.alpha.test", "r", table))[0] == (False, True)


@pytest.mark.parametrize(
    ("present", "tags", "wanted"),
    [
        (None, {"p": "none", "rua": "mailto:d@alpha.test"}, "v=DMARC1; p=none; rua=mailto:d@alpha.test"),
        ("v=DMARC1; rua=mailto:x@y.test; p=none; pct=20; ri=3600", {"p": "quarantine"}, "v=DMARC1; p=quarantine; rua=mailto:x@y.test"),
        ("v=DMARC1; p=reject; pct=0", {"p": "reject"}, "v=DMARC1; p=reject; t=y"),
        ("v=DMARC1; p=none; t=y; sp=none", {"p": "reject", "t": None}, "v=DMARC1; p=reject; sp=none"),
    ],
)
def test_making_a_record(present, tags, wanted):
    text = dmarc.make(present, tags)
    assert text == wanted
    assert dmarc.make(text, tags) == text


def test_destinations_of_reports():
    assert dmarc.outside("a.alpha.test", "mailto:d@alpha.test,mailto:x@vendor.test!10m, mailto:y@sub.vendor.test") == [
        "sub.vendor.test",
        "vendor.test",
    ]

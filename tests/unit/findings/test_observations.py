# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.findings.times import iso

sys.path.insert(0, str(Path(__file__).parent))
from answers import NOW, gathered, is_over, result, said, seen

A, B, C, D, E = (f"198.51.100.{number}" for number in range(11, 16))
ZEN = "zen.spamhaus.org"


def states(*results: dict, **fields) -> dict[str, str]:
    return {row["address"]: row["state"] for row in gathered(*results, **fields).document["addresses"]}


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ([result(clean=[A])], "clean"),
        ([result(said(A))], "listed"),
        ([result(said(A, "listed_unknown_code"))], "unknown"),
        ([result(unqualified=[A])], "unknown"),
        *[([result(said(A, word))], "unknown") for word in ("refused", "refused_dns", "hijacked", "zone_gone", "servfail", "timeout")],
        # What receivers do not weigh neither lists nor hides.
        ([result(said(A), tier="C"), result(clean=[A])], "clean"),
        ([result(unqualified=[A], tier="D"), result(clean=[A])], "clean"),
        ([result(said(A, "timeout"), tier="C"), result(clean=[A])], "clean"),
        # Nothing that is weighed was clean: nothing is known.
        ([result(clean=[A], tier="C")], "unknown"),
        ([result(clean=[A], kind="informational")], "unknown"),
        ([], None),
        # Two resolvers that see different things: the worse one counts.
        ([result(clean=[A]), result(said(A))], "listed"),
        ([result(clean=[A]), result(unqualified=[A])], "unknown"),
        ([result(said(A)), result(unqualified=[A])], "listed"),
        ([result(said(A, "allowed"), kind="allow"), result(clean=[A])], "clean"),
    ],
)
def test_what_the_sources_make_of_an_address(results, state):
    assert states(*results).get(A) == state


def test_the_same_new_code_on_most_addresses_is_a_suspected_fault():
    flood = result(*[said(address) for address in (A, B, C)], clean=[D, E])
    done = gathered(flood)
    assert [row["suspected"] for row in done.document["observations"]] == [True] * 3
    (fault,) = done.document["suspected_faults"]
    assert (fault["subjects"], fault["asked"]) == (3, 5)
    assert states(flood) == {A: "unknown", B: "unknown", C: "unknown", D: "clean", E: "clean"}
    # A second run that says the same is believed, and a share that is small from the start.
    assert states(flood, known=seen(done))[A] == "listed"
    assert states(result(said(A), said(B), clean=[C, D]))[A] == "listed"
    assert states(result(said(A), said(B), said(C)))[A] == "listed"
    # One address that was known does not make the others believed.
    assert states(flood, known={(A, ZEN, "127.0.0.4"): iso(NOW - 9)}) == {A: "listed", B: "listed", C: "listed", D: "clean", E: "clean"}
    assert states(result(*[said(each) for each in (A, B, C, D)], clean=[E]), known={(A, ZEN, "127.0.0.4"): iso(NOW - 9)})[B] == "unknown"


def test_since_when_a_listing_is_known():
    before = iso(NOW - 86400)
    done = gathered(result(said(A), said(B)), known={(A, ZEN, "127.0.0.4"): before})
    assert [row["since"] for row in done.document["observations"]] == [before, iso(NOW)]
    assert seen(done) == {(A, ZEN, "127.0.0.4"): before, (B, ZEN, "127.0.0.4"): iso(NOW)}
    # Another code of the same list is another listing.
    (row,) = gathered(result(said(A, codes=["127.0.0.10"])), known={(A, ZEN, "127.0.0.4"): before}).document["observations"]
    assert row["since"] == iso(NOW)


@pytest.mark.parametrize(
    ("found", "cleared"),
    [
        (result(clean=[A]), True),
        (result(said(A, codes=["127.0.0.10"])), True),
        (result(unqualified=[A]), False),
        (result(said(A, "timeout")), False),
        (result(clean=[B]), False),
    ],
)
def test_only_an_answer_ends_a_listing(found, cleared):
    assert is_over(gathered(found, known={(A, ZEN, "127.0.0.4"): iso(NOW - 9)}), A, ZEN, "127.0.0.4") is cleared


REFUSED = {
    "address": A, "provider": "microsoft", "id": "olc", "code": "S3150", "about": "address", "count": 7, "first": NOW - 900,
    "last": NOW - 600, "accepted": None, "domains": ["a.test"], "sample": "<b>550 5.7.1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("refusal", "state", "tier"),
    [
        (REFUSED, "listed", "A"),
        ({**REFUSED, "about": "rate"}, "clean", "C"),
        ({**REFUSED, "about": "authentication"}, "clean", "C"),
        ({**REFUSED, "last": NOW - 7200, "accepted": NOW - 60}, "clean", None),
        ({**REFUSED, "accepted": NOW - 540}, "listed", "A"),
        ({**REFUSED, "address": None}, "clean", None),
        ({**REFUSED, "id": "of a newer catalogue"}, "clean", None),
    ],
)
def test_what_receivers_said_in_the_log(refusal, state, tier):
    log = {"accounts": {}, "complete": True, "refusals": [refusal]}
    done = gathered(result(clean=[A]), logs={"mx1": log})
    assert [row["state"] for row in done.document["addresses"]] == [state]
    assert [(row["source"], row["tier"]) for row in done.document["observations"]] == ([("log:microsoft", tier)] if tier else [])


KNOWN = {(A, "log:microsoft", "S3150"): iso(NOW - 9)}
REFUSED_BY = {(A, "log:microsoft"): {"a.test": NOW - 90000, "b.test": NOW - 80000}}


@pytest.mark.parametrize(
    ("log", "over"),
    [
        # Silence says nothing: nobody may have written to it, the log may be short, the host down.
        ({"accounts": {}, "complete": True, "refusals": []}, False),
        ({"accounts": {}, "complete": False, "refusals": []}, False),
        ({"failed": True, "msg": "down"}, False),
        (None, False),
        # It took mail again, an hour after the last of its refusals.
        ({"accounts": {}, "complete": True, "refusals": [], "taken": [{"address": A, "domain": "a.test", "time": NOW - 76000}]}, True),
        ({"accounts": {}, "complete": True, "refusals": [], "taken": [{"address": A, "domain": "a.test", "time": NOW - 77000}]}, False),
        ({"accounts": {}, "complete": True, "refusals": [], "taken": [{"address": A, "domain": "c.test", "time": NOW - 10}]}, False),
        ({"accounts": {}, "complete": True, "refusals": [], "taken": [{"address": B, "domain": "a.test", "time": NOW - 10}]}, False),
    ],
)
def test_only_mail_that_is_taken_again_ends_what_a_receiver_said(log, over):
    done = gathered(result(clean=[A]), logs={"mx1": log} if log else {}, known=KNOWN, refused=REFUSED_BY)
    assert is_over(done, A, "log:microsoft", "S3150") is over
    assert [row["state"] for row in done.document["addresses"]] == ["clean" if over else "unknown"]
    assert [row["repair"] for row in done.document["lists"]] == (
        [] if over else ["Where nobody writes to it anyway, send a message to a.test from that address."]
    )


def test_the_domains_of_a_refusal_are_handed_on():
    log = {"accounts": {}, "complete": True, "refusals": [REFUSED, {**REFUSED, "domains": ["b.test"], "last": NOW - 5}]}
    assert gathered(result(clean=[A]), logs={"mx1": log}).refused == {(A, "log:microsoft"): {"a.test": NOW - 600, "b.test": NOW - 5}}


def test_what_the_inventory_makes_of_a_list_is_in_the_document():
    how = {"kind": "self_form", "who": "anyone", "paid": "no"}
    facts = {"latency": None, "clean_ttl": 30, "delisting": how, "servers": {"192.0.2.53": None}}
    one, two = result(clean=[A], **facts), result(clean=[B], **{**facts, "latency": 9, "clean_ttl": None})
    two["lists"][0]["servers"] = {"192.0.2.54": "it is lame"}
    one["addresses"][0]["authoritative"] = ["zen.spamhaus.org"]
    document = gathered(one, two, result(clean=[A], zone="good.test", **{**facts, "kind": "allow"})).document
    servers = {"192.0.2.53": None, "192.0.2.54": "it is lame"}
    assert document["asked"] == [
        {"zone": "zen.spamhaus.org", "tier": "A", "latency": 9, "clean_ttl": 30, "delisting": how, "servers": servers}
    ]
    assert [row["authoritative"] for row in document["addresses"]] == [["zen.spamhaus.org"], []]

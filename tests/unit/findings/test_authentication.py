# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of what receivers see: from a real name server through mail_auth_info into the document, its points and its status."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
from goodstanding_src.library import mail_auth_info
from goodstanding_src.module_utils.goodstanding.findings import authentication
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.mailauth import gates
from goodstanding_src.module_utils.goodstanding.report import files

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/unit/mailauth"))
from world import GOOD, zone_server  # noqa: E402  a folder of tests, no package

SCHEMA = str(ROOT / "roles/report/files/report.schema.json")
A, B = "198.51.100.11", "198.51.100.12"
RECORDS = {
    ("11.100.51.198.in-addr.arpa", "PTR"): ["mx1.alpha.test"],
    ("mx1.alpha.test", "A"): [A],
    ("mx1.alpha.test", "TXT"): ["v=spf1 a -all"],
    ("alpha.test", "TXT"): [f"v=spf1 ip4:{A} -all"],
    ("alpha.test", "MX"): ["10 mx1.alpha.test"],
    ("s1._domainkey.alpha.test", "TXT"): [GOOD],
    ("_dmarc.alpha.test", "TXT"): ["v=DMARC1; p=reject"],
}
ADDRESS = {"address": A, "host": "mx1", "helo": "mx1.alpha.test"}
DOMAIN = {"domain": "alpha.test", "envelope": None, "hosts": None, "dkim": [], "mta_sts": False, "tls_rpt": False}
SIGNATURE = {"domain": "alpha.test", "selector": "s1", "algorithm": "rsa-sha256", "fault": ""}
KEY = {"domain": "alpha.test", "selector": "s1", "kind": "rsa", "size": 2048, "state": "present", "since": 1795500000.0, "record": GOOD}
PROOF = {
    "signer": "opendkim",
    "faults": [],
    "probes": [{"domain": "alpha.test", "signatures": [SIGNATURE], "faults": []}],
    "keys": [KEY, {**KEY, "selector": "next"}],
}
PARAMS = {
    "timeout": 0.3, "deadline": 10.0, "max_questions": 2000, "policy_port": 443, "policy_timeout": 1.0, "ca_file": None,
    "resolvers": ["127.0.0.1"],
}  # fmt: skip


def section(records, signers=None, addresses=(ADDRESS,), domains=(DOMAIN,)):
    signers = {"mx1": PROOF} if signers is None else signers
    with zone_server(records) as server:
        given = {**PARAMS, "addresses": list(addresses), "domains": list(domains), "signers": signers, "port": server.port}
        return authentication.section({"seen": mail_auth_info.look(given), "signers": signers})


def concluded(part):
    document = stages.start("r1", "lab", "lock", False, 1.0)
    document["hosts"] = [{"host": "mx1", "assessed": True, "contained": None, "reason": None, "log": None}]
    document = stages.finish({**document, "authentication": part}, [], 5, 2.0)
    files.validate(document, SCHEMA)
    return document


@pytest.fixture(scope="module")
def sound():
    return section(RECORDS)


def test_a_sound_fleet_is_clean_and_nothing_is_left_to_do(sound):
    document = concluded(sound)
    assert document["run"]["status"] == "clean"
    assert [row for row in sound["checklist"] if row["state"] != "holds" and row["subject"] != "fleet"] == []
    assert document["open_points"] == []
    assert sound["signers"] == [{"host": "mx1", "signer": "opendkim", "state": "holds", "faults": []}]
    (following, key) = sound["keys"]
    assert (key["host"], key["selector"], key["bits"], key["signs"], key["published"]) == ("mx1", "s1", 2048, True, "holds")
    assert key["since"].startswith("2026-11-24T")
    assert (following["selector"], following["signs"], following["published"]) == ("next", False, "unknown")


def test_mail_that_is_refused_by_everybody_is_a_finding():
    part = section({**RECORDS, ("11.100.51.198.in-addr.arpa", "PTR"): []})
    document = concluded(part)
    assert document["run"]["status"] == "findings"
    (point,) = [row for row in document["open_points"] if "leads back to it" in row["what"]]
    assert point["severity"] == "warning" and point["host"] == "mx1" and "Google, Yahoo" in point["what"] and point["next_step"]


@pytest.mark.parametrize("name", [("_dmarc.alpha.test", "TXT"), ("mx1.alpha.test", "TXT")])
def test_what_is_asked_of_large_senders_or_advised_is_said_and_makes_no_run_red(name):
    document = concluded(section({**RECORDS, name: []}))
    assert document["run"]["status"] == "clean"
    rule = "a DMARC record applies" if name[0].startswith("_dmarc") else "SPF passes for the HELO name"
    (point,) = [row for row in document["open_points"] if rule in row["what"]]
    assert point["severity"] == ("warning" if name[0].startswith("_dmarc") else "info")
    assert "does not hold" in point["what"]


def test_what_was_not_answered_is_unknown_and_never_clean():
    part = section({**RECORDS, ("11.100.51.198.in-addr.arpa", "PTR"): None})
    assert concluded(part)["run"]["status"] == "unknown"
    assert {row["state"] for row in part["checklist"] if row["rule"] == "reverse_name"} == {"unknown"}
    point = next(row for row in concluded(part)["open_points"] if "leads back" in row["what"])
    assert "is not known" in point["what"] and point["severity"] == "warning"


def test_without_a_resolver_everything_is_unknown_soon_and_said_once():
    given = {**PARAMS, "addresses": [ADDRESS], "domains": [DOMAIN], "signers": {}, "resolvers": ["127.0.0.1"], "port": 9}
    part = authentication.section({"seen": mail_auth_info.look(given), "signers": {}})
    document = concluded(part)
    assert part["state"] == "unknown" and document["run"]["status"] == "unknown"
    assert {row["state"] for row in part["checklist"]} == {"unknown"}
    assert len(document["open_points"]) == 1 and "what receivers see of the fleet is not known" in document["open_points"][0]["what"]


@pytest.mark.parametrize("failed", [{"failed": True, "msg": "'x' is no domain name"}, {}])
def test_a_module_that_failed_leaves_it_unknown(failed):
    part = authentication.section({"seen": failed, "signers": {"mx1": {"failed": True, "msg": "no signer"}}})
    document = concluded(part)
    assert part["state"] == "unknown" and document["run"]["status"] == "unknown"
    assert part["signers"] == [{"host": "mx1", "signer": None, "state": "unknown", "faults": ["no signer"]}]


def test_where_nobody_asked_nothing_is_said():
    document = concluded(authentication.section({"nothing": "the inventory gives none"}))
    assert document["run"]["status"] == "clean" and document["open_points"] == []
    assert document["authentication"]["why"] == "the inventory gives none"


def test_a_host_that_leaves_mail_unsigned_is_no_host_that_signs():
    unsigned = {**PROOF, "faults": ["no key signs mail"], "probes": [{"domain": "alpha.test", "signatures": [], "faults": ["no key"]}]}
    part = section(RECORDS, {"mx1": PROOF, "mx2": unsigned, "mx3": {"failed": True, "msg": "unreachable"}})
    row = next(row for row in part["checklist"] if row["rule"] == "dkim")
    assert row["state"] == "does_not" and "leaves mx2 unsigned" in row["why"] and "unreachable" not in row["why"]
    part = section(RECORDS, {"mx1": PROOF, "mx3": {"failed": True, "msg": "unreachable"}})
    row = next(row for row in part["checklist"] if row["rule"] == "dkim")
    assert row["state"] == "unknown" and "mx3: unreachable" in row["why"]
    part = section(RECORDS, {"mx1": {**PROOF, "faults": ["smtp does not ask it"], "unasked": ["smtp does not ask it"]}})
    row = next(row for row in part["checklist"] if row["rule"] == "dkim")
    assert row["state"] == "does_not" and row["why"] == "mx1: smtp does not ask it"
    # Another machine may sign what the inventory names a key for.
    named = {**DOMAIN, "dkim": [{"selector": "s1", "domain": None, "subdomains": False, "record": None}]}
    part = section(RECORDS, {"mx2": unsigned}, domains=[named])
    assert next(row for row in part["checklist"] if row["rule"] == "dkim")["state"] == "holds"


def test_who_may_not_ask_a_signer_knows_nothing_of_it():
    why = "OpenDKIM does not answer at /run/s to this user (Permission denied): let Ansible be root there (become)"
    barred = {"signer": "opendkim", "faults": [why], "probes": [{"domain": "alpha.test", "signatures": [], "faults": [why]}], "keys": []}
    part = section(RECORDS, {"mx1": barred})
    assert part["signers"][0]["state"] == "unknown"
    assert next(row for row in part["checklist"] if row["rule"] == "dkim")["state"] == "unknown"


def test_a_key_in_dns_that_is_not_the_hosts_is_told():
    part = section({**RECORDS, ("s1._domainkey.alpha.test", "TXT"): ["v=DKIM1; k=rsa; p=" + GOOD[20:]]})
    key = next(row for row in part["keys"] if row["selector"] == "s1")
    assert key["published"] == "does_not" and key["why"]


@pytest.mark.parametrize(("addresses", "domains"), [((ADDRESS,), (DOMAIN,)), ((), (DOMAIN,)), ((), ())])
@pytest.mark.parametrize("block", ["198.18.0.0/16", "2001:db8::/64"])
def test_a_block_too_large_to_look_at_each_is_advice_and_hides_nothing(sound, block, addresses, domains):
    part = section(RECORDS, addresses=[*addresses, {"address": block, "host": "mx1", "helo": "mx1.alpha.test"}], domains=domains)
    (row,) = [row for row in part["checklist"] if row["subject"] == block]
    assert row["state"] == "unknown" and "mx1" in row["why"] and "name those that send" in row["repair"].lower()
    if addresses:
        assert [each for each in part["checklist"] if each != row] == sound["checklist"]
    document = concluded(part)
    assert document["run"]["status"] == "clean"
    (point,) = [each for each in document["open_points"] if block in each["what"]]
    assert point["severity"] == "info" and point["next_step"] == row["repair"]


def test_of_many_faults_of_one_rule_some_are_written_out(sound):
    part = copy.deepcopy(sound)
    row = {"rule": "reverse_name", "state": "does_not", "why": "it has none", "repair": "Ask for one."}
    part["checklist"] = [{**row, "subject": f"198.51.100.{n}"} for n in range(40)]
    said = [point["what"] for point in concluded(part)["open_points"]]
    assert len(said) == authentication.MAX_POINTS + 1 and "35 more" in said[-1]


# ---- the gates of a delisting


def states(conditions):
    return {each.name: each.state for each in conditions}


def test_all_gates_are_open_for_a_sound_address_its_helo_name_and_its_domain(sound):
    everything = [*gates.of_address(sound, A), *gates.of_name(sound, "alpha.test")]
    assert {each.state for each in everything} == {"holds"} and {each.why for each in everything} == {""}
    assert set(states(gates.of_address(sound, A))) == {"fcrdns", "helo", "spf", "dkim", "dmarc"}


def test_what_nobody_looked_at_keeps_the_gates_shut(sound):
    for conditions in (gates.of_address(sound, B), gates.of_name(sound, "other.test")):
        assert {each.state for each in conditions} == {"unknown"} and all(each.why and each.repair for each in conditions)
    for part in (authentication.off("nobody asked"), authentication.section({"seen": {}})):
        assert {each.state for each in gates.of_address(part, A)} == {"unknown"}


@pytest.mark.parametrize(
    ("name", "shut"),
    [
        (("11.100.51.198.in-addr.arpa", "PTR"), {"fcrdns"}),
        (("mx1.alpha.test", "A"), {"fcrdns", "helo", "spf"}),
        (("mx1.alpha.test", "TXT"), {"spf"}),
        (("_dmarc.alpha.test", "TXT"), {"dmarc"}),
        (("s1._domainkey.alpha.test", "TXT"), {"dkim"}),
    ],
)
@pytest.mark.parametrize(("answer", "state"), [([], "does_not"), (None, "unknown")])
def test_each_gate_shuts_by_its_own_fault(name, shut, answer, state):
    found = gates.of_address(section({**RECORDS, name: answer}), A)
    assert {each.name for each in found if each.state != "holds"} == shut
    assert {each.state for each in found if each.name in shut} == {state}
    assert all(each.why and each.repair for each in found if each.name in shut)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from goodstanding_src.module_utils.goodstanding.delisting import lists
from goodstanding_src.module_utils.goodstanding.delisting.case import CLEAN, LISTED, SILENT
from goodstanding_src.module_utils.goodstanding.dnsbl import catalogue

sys.path.insert(0, str(Path(__file__).parent))
import verified as found

ADDRESS, observation, reply, findings = found.ADDRESS, found.observation, found.reply, found.findings
ZEN = (ADDRESS, "zen.spamhaus.org")


def told(document, *known):
    return lists.told(document, found.DESKS, found.ZONES, known)


def test_a_listing_is_told_with_how_the_list_is_asked():
    of = told(findings(observation()))[ZEN]
    assert (of.seen.outcome, of.seen.codes, of.hosts, of.of_address) == (LISTED, ("127.0.0.4",), ("mx1.example.com",), True)
    assert of.delisting["url"].endswith(f"?query={ADDRESS}")
    way = lists.way(of, of.seen.codes)
    assert (way.asked_by, way.pause, way.answer) == ("anyone", 60.0, 2 * 86400.0)


def asked(zone="zen.spamhaus.org", **facts):
    """What a run knew of a list that it asked, as the inventory has it."""
    return {"zone": zone, "latency": 1, "clean_ttl": None, "delisting": found.ZONES["zen.spamhaus.org"]["delisting"], **facts}


@pytest.mark.parametrize(("latency", "pause"), [(1, 5.0), (600, 600.0), (None, 5.0)])
def test_what_the_inventory_says_of_a_list_goes_before_the_catalogue(latency, pause):
    of_run = asked(latency=latency, delisting={"kind": "isp_only", "who": "us", "paid": "no", "url": "https://lists.example/{ip}"})
    for document in (findings(observation(ttl=5)), findings(clean=["zen.spamhaus.org"])):
        document["asked"] = [of_run]
        of = told(document, (*ZEN, ("zen.spamhaus.org",)))[ZEN]
        way = lists.way(of, ())
        assert (way.asked_by, of.delisting["url"]) == ("provider", f"https://lists.example/{ADDRESS}")
        assert way.pause == (pause if document["observations"] else float(latency or 0))


def test_a_list_of_the_inventorys_own_is_asked_as_the_inventory_says():
    document = findings(observation("own.example.net", tier="A"))
    document["asked"] = [asked("own.example.net", latency=90)]
    of = told(document)[ADDRESS, "own.example.net"]
    assert (of.latency, of.delisting["url"].endswith(f"={ADDRESS}")) == (90.0, True)


def test_a_clean_answer_of_the_resolver_may_be_an_old_one_and_one_of_the_lists_own_servers_is_not():
    known, document = (*ZEN, ("zen.spamhaus.org",)), findings(clean=["zen.spamhaus.org"])
    document["asked"] = [asked(latency=60, clean_ttl=1800)]
    of = told(document, known)[ZEN]
    assert (lists.way(of, ()).pause, of.seen.why) == (1800.0, "")
    document["addresses"][0]["authoritative"] = ["zen.spamhaus.org"]
    of = told(document, known)[ZEN]
    assert (lists.way(of, ()).pause, of.seen.why) == (60.0, "asked at its own name servers")
    of = told(document, (*ZEN, ("other.test", "zen.spamhaus.org")))[ZEN]
    assert of.seen.outcome == SILENT


def test_a_code_of_the_providers_comes_first():
    of = told(findings(observation(codes=("127.0.0.2", "127.0.0.4"))))[ZEN]
    assert lists.way(of, of.seen.codes).asked_by == "provider"
    assert lists.who(of, of.seen.codes).startswith("the provider, by the address in the SBL record")


@pytest.mark.parametrize("row", [{"tier": "D"}, {"kind": "informational"}, {"kind": "score", "outcome": "score"}])
def test_what_nobody_weighs_is_no_case(row):
    assert told(findings(observation(**row))) == {}


@pytest.mark.parametrize(
    "outcome", ["servfail", "refused", "refused_dns", "timeout", "hijacked", "zone_gone", "unqualified", "listed_unknown_code"]
)
def test_what_is_no_answer_is_silent_and_never_clean(outcome):
    of = told(findings(observation(outcome=outcome), clean=["zen.spamhaus.org"]), (*ZEN, ("zen.spamhaus.org",)))[ZEN]
    assert of.seen.outcome == (LISTED if outcome == "listed_unknown_code" else SILENT)


def test_a_suspected_fault_is_silent():
    of = told(findings(observation(suspected=True)))[ZEN]
    assert (of.seen.outcome, of.seen.why) == (SILENT, "zen.spamhaus.org: the same on most addresses at once")


def test_only_a_list_that_was_believed_is_clean():
    known = (*ZEN, ("zen.spamhaus.org",))
    assert told(findings(clean=["zen.spamhaus.org"]), known)[ZEN].seen.outcome == CLEAN
    for document in (
        findings(),
        findings(unqualified=["zen.spamhaus.org"]),
        findings(clean=["zen.spamhaus.org"], unqualified=["zen.spamhaus.org"]),
    ):
        assert told(document, known)[ZEN].seen.outcome == SILENT
    gone = findings(clean=["zen.spamhaus.org"])
    gone["addresses"] = []
    assert "inventory" in told(gone, known)[ZEN].seen.why


MICROSOFT = [
    ("microsoft_olc", "S3150", "microsoft-consumer"),
    ("microsoft_olc_old", "SC-001", "microsoft-consumer"),
    ("microsoft_banned_ip", "5.7.606", "microsoft-365"),
    ("microsoft_banned_511", "5.7.511", "microsoft-365-mail"),
    ("microsoft_spamhaus", "AS16012611", "zen.spamhaus.org"),
]


@pytest.mark.parametrize(("entry", "code", "desk"), MICROSOFT)
def test_microsofts_codes_lead_to_the_right_desk(entry, code, desk):
    assert list(told(findings(reply(entry, code)))) == [(ADDRESS, desk)]


def test_what_is_asked_by_mail_has_an_address_and_no_url():
    of = told(findings(reply("microsoft_banned_511", "5.7.511")))[ADDRESS, "microsoft-365-mail"]
    assert (of.delisting["mail"], lists.how(of.delisting)) == ("delist@microsoft.com", "mail")
    other = told(findings(reply("laposte_blocked", "LPN007_102")))[ADDRESS, "log:laposte"]
    assert (other.delisting["mail"], lists.how(other.delisting)) == ("postmaster@laposte.net", "mail")


def test_what_the_guide_says_of_securence_makes_a_case_that_is_asked_by_mail():
    guide = (found.ROOT / "docs/delisting.md").read_text(encoding="utf-8")
    (line,) = [line.strip("- ") for line in guide.splitlines() if "rbl.securence.com" in line]
    known = catalogue.load(str(found.ROOT / "catalogue/blocklists.yml"))
    assert "rbl.securence.com" not in [row["zone"] for row in catalogue.choose(known, [], [], [])[0]]
    chosen, _ = catalogue.choose(known, [("reputation_overrides", [yaml.safe_load(line)])], [], [])
    row = next(row for row in chosen if row["zone"] == "rbl.securence.com")
    document = findings(observation(row["zone"], kind=row["kind"], tier=row["tier"]))
    of = told(document)[ADDRESS, row["zone"]]
    assert (of.seen.outcome, lists.way(of, of.seen.codes).asked_by) == (LISTED, "anyone")
    assert (lists.how(of.delisting), of.delisting["mail"]) == ("mail", "delist@rbl.securence.com")


def test_microsofts_refusals_and_its_feed_are_one_case():
    status = observation(
        "snds:status", ["blocked"], delisting={"kind": "manual_form", "who": "postmaster", "paid": "no", "url": None}, tier="A"
    )
    of = told(findings(reply("microsoft_olc", "S3150"), status))
    assert list(of) == [(ADDRESS, "microsoft-consumer")]
    assert of[ADDRESS, "microsoft-consumer"].seen.sources == ("log:microsoft", "snds:status")
    known = (ADDRESS, "microsoft-consumer", ("log:microsoft", "snds:status"))
    assert told(findings(clean=["log:microsoft"]), known)[known[:2]].seen.outcome == SILENT
    assert told(findings(clean=["log:microsoft", "snds:status"]), known)[known[:2]].seen.outcome == CLEAN


COMPANY_AND_CONSUMER = [("microsoft-365", "log:microsoft-365"), ("microsoft-consumer", "log:microsoft")]


def test_that_one_service_of_a_receiver_takes_mail_again_says_nothing_of_the_other():
    company, consumer = ((ADDRESS, name, (source,)) for name, source in COMPANY_AND_CONSUMER)
    of = told(findings(reply("microsoft_olc", "S3150"), clean=["log:microsoft-365"]), company)
    assert of[company[:2]].seen.outcome == CLEAN
    of = told(findings(clean=["log:microsoft"]), company, consumer)
    assert [of[each[:2]].seen.outcome for each in (company, consumer)] == [SILENT, CLEAN]
    of = told(findings(clean=["log:microsoft-365", "log:microsoft-any"]), company, consumer)
    assert [of[each[:2]].seen.outcome for each in (company, consumer)] == [CLEAN, SILENT]


def test_while_one_desk_of_a_service_is_refused_the_other_is_not_over():
    known = (ADDRESS, "microsoft-365", ("log:microsoft-365",))
    of = told(findings(reply("microsoft_banned_511", "5.7.511"), clean=["log:microsoft-365"]), known)
    assert of[known[:2]].seen.outcome == SILENT
    assert of[known[:2]].seen.why == "log:microsoft-365 still refuses it at another desk"


@pytest.mark.parametrize("row", [row for row in found.REPLIES if row["provider"].startswith("microsoft")], ids=lambda row: row["id"])
def test_no_refusal_of_one_service_of_microsoft_is_counted_as_the_others(row):
    desk = next((desk["id"] for desk in found.DESKS if row["ask"] in desk["urls"] and not desk.get("follows")), "none")
    assert row["provider"] in {
        "microsoft-consumer": ["microsoft"], "microsoft-365": ["microsoft-365"], "microsoft-365-mail": ["microsoft-365"],
    }.get(desk, ["microsoft", "microsoft-365", "microsoft-any"])  # fmt: skip


def test_a_receiver_that_quotes_a_list_is_that_lists_case():
    quoted = reply("microsoft_spamhaus", "AS16012611")
    assert told(findings(quoted))[ZEN].seen.sources == ("zen.spamhaus.org",)
    # The list itself knows better.
    assert told(findings(quoted, clean=["zen.spamhaus.org"]), (*ZEN, ("zen.spamhaus.org",)))[ZEN].seen.outcome == CLEAN
    # It is marked where the list itself is silent, with why.
    for document, why in (
        (findings(quoted), "zen.spamhaus.org was not asked"),
        (findings(quoted, unqualified=["zen.spamhaus.org"]), "zen.spamhaus.org said nothing that can be believed"),
        (findings(quoted, observation(outcome="servfail", codes=[])), "zen.spamhaus.org: servfail"),
    ):
        seen = told(document, (*ZEN, ("zen.spamhaus.org",)))[ZEN].seen
        assert (seen.outcome, seen.quoted, seen.why) == (LISTED, True, why)
    assert told(findings(quoted, observation()))[ZEN].seen.quoted is False
    dqs = told(findings(quoted, observation("zen.dq.spamhaus.net")))
    assert list(dqs) == [(ADDRESS, "zen.dq.spamhaus.net")]


class Counted(dict):
    """A row that counts how often a field of it is read."""

    steps = 0

    def __getitem__(self, name):
        Counted.steps += 1
        return super().__getitem__(name)


class Subject(str):
    """A subject that counts how often it is compared with another."""

    __hash__ = str.__hash__

    def __eq__(self, other):
        Counted.steps += 1
        return super().__eq__(other)


def steps(addresses, zones):
    """Return in how many steps this many listings are told."""
    names = [zone for zone, row in found.ZONES.items() if row["kind"] == "block" and row["tier"] in lists.TIERS][:zones]
    document, subjects = findings(), [Subject(f"198.51.100.{number}") for number in range(addresses)]
    document["observations"] = [Counted(observation(zone, subject=subject)) for subject in subjects for zone in names]
    Counted.steps = 0
    assert len(told(document)) == addresses * zones
    return Counted.steps


@pytest.mark.parametrize("twice", [(20, 10), (10, 20)])
def test_the_work_grows_with_the_listings_and_not_with_their_square(twice):
    assert steps(*twice) <= 2.1 * steps(10, 10)


def test_a_list_that_has_left_the_catalogue_is_followed_and_nobody_is_asked():
    known = (ADDRESS, "dnsbl.gone.example", ("dnsbl.gone.example",))
    of = told(findings(), known)[known[:2]]
    assert (of.seen.outcome, lists.way(of, ()).asked_by, of.delisting["note"]) == (SILENT, "nobody", lists._GONE["note"])


def test_nothing_is_asked_for_money():
    paid = [
        zone for zone, row in found.ZONES.items() if row["delisting"]["paid"] == "required" or row["delisting"]["kind"] == "paid_optional"
    ]
    assert "dnsbl-1.uceprotect.net" in paid
    for zone in paid:
        of = told(findings(observation(zone, kind="block", tier="C")))[ADDRESS, zone]
        assert lists.way(of, ()).asked_by == "nobody"


@pytest.mark.parametrize("zone", [zone for zone, row in found.ZONES.items() if row["kind"] == "block" and row["tier"] in lists.TIERS])
def test_a_lists_own_times_are_those_of_its_entry(zone):
    facts = {**found.ZONES[zone]["delisting"], "quiet_days": 3, "cool_down_days": 5, "expires_days": 9}
    document = findings(observation(zone))
    document["asked"] = [{"zone": zone, "latency": 1, "clean_ttl": None, "delisting": facts}]
    way = lists.way(told(document)[ADDRESS, zone], ())
    assert (way.quiet, way.cool_down, way.expires) == (3 * 86400.0, 5 * 86400.0, 9 * 86400.0)

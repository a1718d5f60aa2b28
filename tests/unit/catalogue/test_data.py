# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data files of the catalogue against their schemas, and what a schema cannot say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import jsonschema
import pytest
import yaml
from goodstanding_src.module_utils.goodstanding.findings.feeds import MICROSOFT
from goodstanding_src.module_utils.goodstanding.maillog.receivers import Receivers

CATALOGUE = Path(__file__).resolve().parents[3] / "catalogue"


def load(name: str) -> dict:
    return yaml.safe_load((CATALOGUE / f"{name}.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["provider_replies", "retired_lists", "receivers", "delisting"])
def test_a_file_keeps_to_its_schema_and_to_json(name):
    schema = json.loads((CATALOGUE / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    data = load(name)
    errors = [f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(schema).iter_errors(data)]
    assert errors == []
    assert json.loads(json.dumps(data)) == data  # a date without quotes is no text, and a module cannot take it


@pytest.mark.parametrize("code", ["(a*)", "(a+)", "(a{1,})", "(a{3,}b)"])
def test_the_schema_takes_no_unbounded_repetition(code):
    schema = json.loads((CATALOGUE / "provider_replies.schema.json").read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema_version": 1, "replies": [{**load("provider_replies")["replies"][0], "code": code}]}, schema)


def test_each_fact_of_a_list_has_a_source_and_a_date():
    data = load("blocklists")
    of_all = {fact for source in data["sources"] for fact in source["facts"]}
    for row in data["lists"]:
        named = {fact for source in row["sources"] for fact in source["facts"]}
        known = named | (of_all - ({"access"} if row["access"] != "free" else set()))
        said = any(row.get(name) for name in ("codes", "bits", "score", "category_trust", "any_code"))
        needed = {
            "tier",
            "access",
            "delisting",
            *(name for name in ("refusals", "test", "limits", "latency", "authoritative") if name in row),
        }
        assert needed | ({"codes"} if said else set()) <= known, row["zone"]


def test_each_fact_of_how_a_list_is_asked_has_a_source_and_a_date():
    data = load("blocklists")
    of_all = {fact for source in data["sources"] for fact in source["facts"]}
    own = {"kind", "by", "url", "mail", "who", "verb", "expected", "cool_down_days", "paid", "note"}  # of the entry's own delisting
    for row in data["lists"]:
        assert set(row["delisting"]) - own <= of_all, row["zone"]
        assert set(row["delisting"].get("by_code", {})) <= set(row["codes"]), row["zone"]


def test_a_desk_is_asked_as_a_list_is_and_leads_to_what_there_is():
    schema = json.loads((CATALOGUE / "blocklists.schema.json").read_text(encoding="utf-8"))
    data, zones = load("delisting"), {row["zone"] for row in load("blocklists")["lists"]}
    rule = jsonschema.Draft202012Validator({"$defs": schema["$defs"], "$ref": "#/$defs/delisting"})
    enrolments, asked = {row["id"] for row in data["enrolments"]}, {row["ask"] for row in load("provider_replies")["replies"]}
    for desk in data["desks"]:
        assert [error.message for error in rule.iter_errors(desk.get("delisting", {"kind": "none", "who": "nobody", "paid": "no"}))] == []
        assert set(desk.get("first", ())) <= enrolments
        assert desk.get("follows", "zen.spamhaus.org") in zones
        assert set(desk["urls"]) <= asked, desk["id"]
    urls = [url for desk in data["desks"] for url in desk["urls"]]
    assert len(urls) == len(set(urls))
    assert {row["alive"]["zone"] for row in data["enrolments"] if "zone" in row.get("alive", {})} <= zones
    assert {"snds", "jmrp", "validity", "yahoo_cfl", "google_postmaster", "dnswl", "barracuda", "spamhaus_dqs"} == enrolments


def test_no_zone_is_retired_twice():
    zones = Counter(zone for entry in load("retired_lists")["lists"] for zone in entry["zones"])
    assert [zone for zone, count in zones.items() if count > 1] == []


@pytest.mark.parametrize(
    "zone",
    ["dnsbl.sorbs.net", "*.dnsbl.sorbs.net", "*.ahbl.org", "ahbl.org", "cbl.abuseat.org", "swl.spamhaus.org", "*.invaluement.com"],
)
def test_what_must_be_retired_is(zone):
    assert zone in {zone for entry in load("retired_lists")["lists"] for zone in entry["zones"]}


def test_what_lives_is_not_retired():
    retired = {zone for entry in load("retired_lists")["lists"] for zone in entry["zones"]}
    live = {entry["zone"] for entry in load("blocklists")["lists"]}
    parents = {f"*.{zone.split('.', number)[number]}" for zone in live for number in range(1, zone.count("."))}
    assert live & retired == parents & retired == set()


def test_the_reply_that_tells_where_microsoft_is_asked_is_there():
    assert [row["ask"][:40] for row in load("provider_replies")["replies"] if row["id"] == MICROSOFT] == [
        "https://support.microsoft.com/supportreq"
    ]


def test_every_reply_has_a_name_of_its_own_and_whole_sentences():
    replies = load("provider_replies")["replies"]
    assert len(replies) >= 40
    assert len({entry["id"] for entry in replies}) == len(replies)
    texts = [entry[key] for entry in replies for key in ("meaning", "repair")]
    assert [text for text in texts if not text.endswith(".") or not (text[0].isupper() or text.startswith("iCloud"))] == []


def test_every_receiver_is_known_by_its_own_servers_alone():
    entries = load("receivers")["receivers"]
    known = Receivers(entries)
    assert {name: known.of(name) for entry in entries for name in entry["examples"]} == {
        name: entry["id"] for entry in entries for name in entry["examples"]
    }
    assert len({entry["id"] for entry in entries}) == len(entries)
    assert {"microsoft", "google", "yahoo"} <= {entry["provider"] for entry in entries}


@pytest.mark.parametrize("name", ["mail.protection.outlook.com.evil.test", "notgoogle.com", "outlook.com", "mx.example.com", ""])
def test_a_server_of_another_name_is_no_receivers(name):
    assert Receivers(load("receivers")["receivers"]).of(name) == ""


def test_a_receiver_complains_under_the_name_that_the_replies_give_it():
    replied = {entry["provider"] for entry in load("provider_replies")["replies"]}
    assert {entry["provider"] for entry in load("receivers")["receivers"]} <= replied

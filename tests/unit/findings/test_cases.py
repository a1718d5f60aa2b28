# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The delistings in the document: whose they are now, what they leave to whom, and that they change no status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.findings import cases
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.report import files

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = str(ROOT / "roles/report/files/report.schema.json")
GIVEN = json.loads((ROOT / "tests/data/report/delisting.json").read_text(encoding="utf-8"))
OUTBREAK = ROOT / "tests/data/report/outbreak.json"


def case(state, **fields):
    row = next(row for row in GIVEN["cases"] if row["state"] == state)
    return {**row, **fields}


def followed(*rows, enrolments=()):
    """Return a finished document of the outbreak, in which these cases were followed."""
    begun = stages.upgrade(json.loads(OUTBREAK.read_text(encoding="utf-8")))
    done = stages.finish(stages.delist(begun, {"cases": list(rows), "enrolments": list(enrolments)}), [], 5, 1795500042.0)
    files.validate(done, SCHEMA)
    return done


def points(document, words):
    return [point for point in document["open_points"] if words in point["what"]]


def test_the_document_takes_what_the_module_returns_but_what_holds_and_the_history():
    row = case("gated", history=[{"kind": "opened"}])
    row["gates"] = [*row["gates"], {"gate": "dmarc", "state": "holds", "why": "", "overridden": False}]
    (told,) = followed(row)["cases"]
    assert "history" not in told
    assert [gate["state"] for gate in told["gates"]] == ["does_not", "does_not", "unknown"]


@pytest.mark.parametrize("state", ["gated", "ready", "refused", "expired", "waiting", "cleared"])
def test_a_case_changes_no_status(state):
    assert followed(case(state))["run"]["status"] == followed()["run"]["status"]


def test_what_may_be_asked_for_is_said_once_for_all_addresses_of_a_list():
    rows = []
    for number in range(1, 6):
        subject = f"203.0.113.{number}"
        own = case("ready", subject=subject, next=f"Fill in it, then record it: -e submitted=list/{subject}.", sources=["list"])
        rows.append({**own, "list": "list", "case": f"list/{subject}", "name": "A list"})
    (point,) = points(followed(*rows), "A list")
    assert (point["severity"], point["who"]) == ("warning", "postmaster")
    assert point["what"].startswith("203.0.113.1, 203.0.113.2, 203.0.113.3 and 2 more are listed in A list, and")
    assert point["next_step"] == "Fill in it, then record it: -e submitted=list/ADDRESS."
    (alone,) = points(followed(rows[0]), "A list")
    assert alone["next_step"].endswith("list/203.0.113.1.")


@pytest.mark.parametrize(
    ("state", "overridden", "now"),
    [
        ("ready", True, True),
        ("gated", False, False),
        ("provider_only", True, True),
        ("provider_only", False, False),
        ("waiting", True, False),
    ],
)
def test_who_may_ask_now(state, overridden, now):
    gate = {"gate": "outbreak", "state": "does_not", "why": "w", "overridden": overridden}
    row = case(state, gates=[gate])
    assert cases.may_be_asked(row) is now
    assert bool(points(followed(row), f"listed in {row['name']}, and a delisting may be asked for now")) is now


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (None, "Once the outbreak has ended: https://check.spamhaus.org/"),
        ("gated", "machine is clean. Do not ask yet: 1, the window"),
        ("refused", "machine is clean. Find out what the list still sees"),
        ("ready", None),
        ("waiting", None),
    ],
)
def test_a_listing_says_what_its_case_says_and_nothing_where_that_speaks(state, words):
    fields = {"subject": "198.51.100.11", "sources": ["zen.spamhaus.org"], "name": "ZEN"}
    document = followed(*([case(state, **fields)] if state else []))
    found = [point["next_step"] for point in points(document, "is listed in Spamhaus ZEN: ")]
    assert len(found) == (words is not None)
    assert not found or words in found[0]
    if words is None:
        (point,) = points(document, "198.51.100.11 is listed in ZEN")
        assert point["severity"] == ("warning" if state == "ready" else "info"), "a second request does harm"


def test_what_a_closed_gate_says_at_length_is_cut_where_it_is_a_step():
    document = followed(case("gated", subject="198.51.100.11", sources=["zen.spamhaus.org"], next="Do not ask yet: " + "x" * 5000))
    (point,) = points(document, "is listed in Spamhaus ZEN: ")
    assert len(point["next_step"]) < 400
    assert len(document["cases"][0]["next"]) == 1000


def test_missing_enrolments_are_one_line_and_a_lapsed_one_its_own():
    document = followed(enrolments=GIVEN["enrolments"])
    (missing,) = points(document, "nobody signed up")
    assert missing["severity"] == "info"
    assert missing["what"].endswith(" for Yahoo's complaint feedback loop, DNSWL, Barracuda Central, Spamhaus Data Query Service")
    (lapsed,) = points(document, "has lapsed")
    assert (lapsed["severity"], lapsed["next_step"]) == ("warning", "Renew it: https://substrate.office.com/ip-domain-management-snds/snds")


@pytest.mark.parametrize(
    ("given", "state", "many"), [({"skipped": "the disk"}, "skipped", 0), ({"msg": "no such file"}, "failed", 1), ({}, "failed", 1)]
)
def test_why_nobody_followed_them(given, state, many):
    begun = stages.upgrade(json.loads(OUTBREAK.read_text(encoding="utf-8")))
    done = stages.finish(stages.delist(begun, given), [], 5, 1795500042.0)
    files.validate(done, SCHEMA)
    assert (done["delisting"]["state"], done["cases"]) == (state, [])
    found = points(done, "the delistings could not be followed")
    assert len(found) == many
    assert all(f"-e findings=reports/{done['run']['id']}/findings.json" in point["next_step"] for point in found)

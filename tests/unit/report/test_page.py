# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page shows: the verdict, who has to act, the matrix, the timeline, what could not be checked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.report import cases, files, matrix, page, timeline, verdict

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "page"))
import reports

ROOT = Path(__file__).resolve().parents[3]
SCHEMA, TEMPLATE = str(ROOT / "roles/report/files/report.schema.json"), str(ROOT / "roles/report/templates/report.html.j2")


@pytest.mark.parametrize("name", ["demo", "large", "nobody"])
def test_the_reports_of_the_tests_are_reports(name):
    document = getattr(reports, name)()
    files.validate({key: value for key, value in document.items() if key in reports.begun()}, SCHEMA)


def test_the_verdict_in_one_sentence():
    document = reports.demo()
    assert verdict.sentence(document) == (
        "mallory@alpha.test was broken into and is locked on every host; 1 account is suspect; 1 of 3 addresses is listed; "
        "what receivers ask of everybody does not hold of 2001:db8:25::12; the outbreak has not ended."
    )
    document["accounts"][0]["hosts"][1].update(state="not_contained")
    document["run"]["status"] = "not_contained"
    assert verdict.sentence(document).startswith("Mail of mallory@alpha.test may still leave by mx2.example.test; mallory")
    assert verdict.sentence(reports.nobody()) == "No host was looked at."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "2 addresses and 1 name of 2 hosts are clean, and no account stands out."),
        ({"status": "unknown", "assessed": False}, "mx1.example.test could not be assessed."),
        ({"status": "unknown", "state": "unknown"}, "1 of 3 addresses and names could not be judged."),
        ({"status": "findings", "state": "listed"}, "1 of 2 addresses is listed."),
        ({"drift": True}, "Mail of a@x and b@x may still leave by mx1.example.test."),
        ({"brake": True}, "a@x was not locked: the brake was reached; a@x was broken into and is not locked."),
        ({"limits": True}, "Sending limits do not limit on mx1.example.test."),
        ({"status": "findings", "rule": "does_not"}, "What receivers ask of everybody does not hold of 192.0.2.1."),
        ({"status": "unknown", "rule": "unknown"}, "Whether what receivers ask of everybody holds is not known."),
        ({"status": "unknown", "failed": True}, "Whether what receivers ask of everybody holds is not known."),
        ({"reinstated": "reinstated"}, "a@x was let in again on 2 hosts."),
        ({"reinstated": "locked"}, "a@x is not let in again on mx1.example.test, mx2.example.test."),
    ],
)
def test_the_verdict_of_other_runs(change, words):
    demo = reports.demo()
    document = {**reports.begun(), "hosts": demo["hosts"]}
    document["run"]["status"] = change.get("status", "findings" if change else "clean")
    document["addresses"] = [{**row, "state": "clean"} for row in demo["addresses"][:2]]
    document["names"] = demo["names"][:1]
    if "assessed" in change:
        document["hosts"][0]["assessed"] = False
    if "state" in change:
        document["addresses"][0]["state"] = change["state"]
    if "drift" in change:
        document["drift"] = [{"host": "mx1.example.test", "state": "damaged", "why": "w", "locks": ["a@x", "b@x"]}]
        document["run"]["status"] = "not_contained"
    if "brake" in change:
        document["accounts"] = [{**demo["accounts"][0], "account": "a@x", "state": "not_contained", "hosts": []}]
    if "limits" in change:
        document["limits"] = [{**demo["limits"][0], "state": "damaged"}]
    if "rule" in change:
        row = {"subject": "192.0.2.1", "state": change["rule"], "why": "", "repair": ""}
        rows = [{**row, "rule": "reverse_name"}, {**row, "rule": "helo", "subject": "192.0.2.2"}]
        document["authentication"].update(state="asked", checklist=rows)
    if "failed" in change:
        document["authentication"].update(state="unknown", why="no resolver")
    if "reinstated" in change:
        entries = [{**entry, "state": change["reinstated"]} for entry in demo["accounts"][0]["hosts"]]
        row = {"account": "a@x", "verdict": "reinstated", "state": change["reinstated"], "hosts": entries}
        document["accounts"] = [{**demo["accounts"][0], **row}]
    assert verdict.sentence(document).replace("a@x, b@x", "a@x and b@x") == words


def cells(document, kind="addresses"):
    found = matrix.of_lists(document, kind)
    columns = [column["name"] for column in found["parts"][0]["columns"]]
    rows = {row["subjects"][0]: dict(zip(columns, row["cells"])) for group in found["parts"][0]["groups"] for row in group["rows"]}
    return found, columns, rows


def test_the_matrix_says_who_says_what():
    found, columns, rows = cells(reports.demo())
    assert columns == ["Spamhaus ZEN", "microsoft", "Microsoft SNDS", "Refusing BL", "Regional RBL"]
    assert [cell[0] for cell in rows["198.51.100.11"].values()] == ["listed", "listed", "score", "unknown", "noted"]
    assert rows["198.51.100.12"]["Spamhaus ZEN"] == ("clean", None)
    assert rows["2001:db8:25::12"]["Refusing BL"] == ("not_asked", None)
    reason = next(each for each in found["reasons"] if each["id"] == rows["198.51.100.11"]["Spamhaus ZEN"][1])
    assert reason["title"] == "198.51.100.11 in Spamhaus ZEN"
    assert ("Code", "127.0.0.4", None) in reason["parts"][0]["facts"]
    assert len(found["silent"]) == 24


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "listed"), ({"tier": "D"}, "noted"), ({"suspected": True}, "unknown"), ({"outcome": "listed_unknown_code"}, "unknown"),
        ({"outcome": "timeout"}, "unknown"), ({"outcome": "hijacked"}, "unknown"), ({"outcome": "allowed", "kind": "allow"}, "allowed"),
        ({"kind": "informational"}, "noted"),
    ],
)  # fmt: skip
def test_what_is_not_believed_is_never_listed_and_never_clean(change, state):
    assert matrix.state_of(reports.observation("198.51.100.11", [], **change)) == state


def test_addresses_that_are_alike_share_a_row_and_lose_none():
    document = reports.begun()
    document["addresses"] = [
        {"address": f"192.0.2.{number}", "hosts": [f"mx{number % 3}"], "state": "unknown", "clean": ["a.test"], "unqualified": ["b.test"]}
        for number in range(200)
    ]
    document["addresses"][7]["unqualified"] = ["a.test"]
    document["observations"] = [reports.observation("192.0.2.9", ["mx0"])]
    found, _, rows = cells(document)
    assert (len(rows), found["total"]) == (3, 200)
    assert sum(len(row["subjects"]) for group in found["parts"][0]["groups"] for row in group["rows"]) == 200


@pytest.mark.parametrize("state", ["clean", "unknown"])
def test_addresses_of_which_nothing_is_known_are_never_called_clean(state):
    document = reports.begun()
    document["addresses"] = [
        {"address": f"192.0.2.{number}", "hosts": ["mx1"], "state": "clean", "clean": ["a.test"], "unqualified": []} for number in range(2)
    ]
    document["addresses"][0].update(state=state, clean=["a.test"] if state == "clean" else [])
    text = files.as_page(reports.finished(document), TEMPLATE)
    assert ("All of them are clean" in text) == (state == "clean")
    assert ("not known: 1, clean: 1" in text) == (state == "unknown")


def test_a_large_fleet_comes_in_parts_by_host_that_lose_none():
    found = matrix.of_lists(reports.large(), "addresses")
    assert len(found["parts"]) == 50
    assert sum(row["subjects"] != [] for part in found["parts"] for group in part["groups"] for row in group["rows"]) == 1000
    assert all(len(group["rows"]) <= matrix.MAX_ROWS for part in found["parts"] for group in part["groups"])
    assert {(row["hosts"][0], part["label"]) for part in found["parts"] for group in part["groups"] for row in group["rows"]} == {
        (part["label"], part["label"]) for part in found["parts"]
    }


def test_reasons_beyond_the_limit_are_counted(monkeypatch):
    monkeypatch.setattr(matrix, "MAX_REASONS", 10)
    document = reports.large()
    found = matrix.of_lists(document, "addresses")
    assert (len(found["reasons"]), found["left"]) == (10, len(document["observations"]) - 10)
    assert "more reasons are in report.json" in files.as_page(document, TEMPLATE)


def test_the_worst_has_its_reason_where_there_is_no_room_for_all(monkeypatch):
    monkeypatch.setattr(matrix, "MAX_REASONS", 10)
    document = reports.large()
    silent = [
        reports.observation(row["address"], row["hosts"], source="l.test", list="L", outcome="timeout", codes=[], meanings=[])
        for row in document["addresses"]
    ]
    worst = document["addresses"][-1]["address"]
    listed = reports.observation(worst, ["mx"], source="zen.spamhaus.org", list="Spamhaus ZEN", outcome="listed", codes=["127.0.0.4"])
    found = matrix.of_lists({**document, "observations": [*silent, listed]}, "addresses")
    rows = [row for part in found["parts"] for group in part["groups"] for row in group["rows"] if worst in row["subjects"]]
    (reason,) = [reason for state, reason in rows[0]["cells"] if state == "listed"]
    assert reason is not None


def test_the_rules_of_receivers_by_domain_and_address():
    domain, address, fleet = matrix.of_rules(reports.data("authentication"))
    assert [group["state"] for group in domain["parts"][0]["groups"]] == ["does_not", "holds"]
    assert [column["name"] for column in address["parts"][0]["columns"]] == ["reverse name", "reverse own", "HELO", "HELO SPF"]
    assert {state for row in fleet["parts"][0]["groups"][0]["rows"] for state, _ in row["cells"]} == {"unknown"}
    titles = {reason["title"]: reason["parts"][0]["text"] for reason in domain["reasons"]}
    assert titles["beta.test: DMARC"] == "_dmarc.beta.test has no record"


def test_a_block_of_addresses_is_no_domain():
    part = reports.data("authentication")
    part["checklist"] = [{"rule": "helo", "subject": "198.18.0.0/16", "state": "unknown", "why": "too large", "repair": "Name them."}]
    assert [(found["word"], found["total"]) for found in matrix.of_rules(part)] == [("address", 1)]


def test_cases_of_which_the_same_is_known_share_a_row_and_lose_none():
    found = cases.view(reports.demo())
    states = ["ready", "provider_only", "refused", "expired", "gated", "waiting", "cleared"]
    assert [(group["state"], group["total"]) for group in found["states"]] == [(state, 41 if state == "gated" else 1) for state in states]
    many, zen = next(group["lists"] for group in found["states"] if group["state"] == "gated")
    assert (many["name"], many["total"], len(many["rows"])) == ("Many BL", 40, 1)
    (row,) = many["rows"]
    assert {each["url"] for each in row["subjects"]} == {f"https://many.test/?ip=203.0.113.{number}" for number in range(20, 60)}
    assert (row["url"], row["opened"], row["closed"]) == (None, "2026-11-22T00:00:00.000000Z", ("outbreak", "fcrdns"))
    (row,) = zen["rows"]
    assert row["url"] == "https://check.spamhaus.org/results/?query=198.51.100.11"
    (waiting,) = next(group["lists"] for group in found["states"] if group["state"] == "waiting")
    assert waiting["rows"][0]["closed"] == (), "it was asked for already"
    assert (found["folder"], found["left"]) == ("reports/cases", 0)
    assert cases.view(reports.begun()) is None, "nobody was to follow them"


def test_cases_that_are_told_apart_by_anything_have_rows_of_their_own():
    row = reports.data("delisting")["cases"][-1]
    others = ({"who": "x"}, {"next": "y"}, {"frozen": "z"}, {"requests": 1}, {"expected": row["opened"]}, {"gates": []}, {"url": "u"})
    found = cases.groups([row, *({**row, **other} for other in others)])
    assert len(found) == len(others) + 1


def test_why_a_gate_is_closed_is_said_once():
    found = cases.view(reports.demo())["gates"]["rows"]
    told = {row["gate"]: row for row in found}
    assert len(found) == len(told) == 6
    assert (told["outbreak"]["cases"], told["outbreak"]["overridden"]) == (43, 1), "of what is asked for already none is closed"
    assert (told["fcrdns"]["why"], told["fcrdns"]["cases"]) == ("ADDRESS: it has no reverse name that leads back to it", 40)


def test_rows_of_cases_beyond_the_limit_are_counted_and_those_that_wait_for_a_person_stay(monkeypatch):
    monkeypatch.setattr(cases, "MAX_ROWS", 2)
    document = reports.demo()
    found = cases.view(document)
    assert [(group["state"], len(group["lists"])) for group in found["states"]][:3] == [("ready", 1), ("provider_only", 1), ("refused", 0)]
    assert found["left"] == 6
    assert "6 more are in report.json" in files.as_page(document, TEMPLATE)


def test_who_has_to_act_first():
    found = page.people(reports.demo()["open_points"])
    assert [row["who"] for row in found][:1] == ["owner of the account"]
    assert sum(len(row["now"]) + len(row["later"]) for row in found) == len(reports.demo()["open_points"])


def test_hosts_that_say_the_same_are_one_answer():
    rows = [{"host": f"mx{number}", "state": "holds" if number else "does_not", "why": ""} for number in range(90)]
    assert [(row["state"], len(row["hosts"])) for row in page._answers(rows)] == [("does_not", 1), ("holds", 89)]


def test_the_proof_of_a_lock_joins_what_the_run_did_and_what_the_host_has():
    document = reports.demo()
    document["accounts"][0]["hosts"] = document["accounts"][0]["hosts"][:1]
    (first, second) = page.view(document)["accounts"][0]["proof"]
    names = ("host", "state", "accepted_after_lock", "refused_after_lock", "held_messages")
    assert [first[name] for name in names] == ["mx1.example.test", "locked", 0, 140, 51]
    assert [second[name] for name in names] == ["mx2.example.test", "locked", 0, 96, None]
    document["accounts"] = []
    assert [row["account"] for row in page.view(document)["earlier"]] == ["mallory@alpha.test"]


def test_what_could_not_be_checked_has_a_reason():
    document = reports.demo()
    document["hosts"][1].update(assessed=False, reason="down")
    document["addresses"][1]["state"] = "unknown"
    document["hosts"][0]["log"]["gaps"] = ["no log from 05:00 to 05:10"]
    document["accounts"][0]["hosts"][0]["accepted_after_lock"] = None
    document["feeds"][0].update(state="expired", why="the link has expired")
    document["drift"] = [{"host": "mx1.example.test", "state": "unknown", "why": "no such tool", "locks": []}]
    document["limits"][0].update(canary="unknown", why="no answer")
    document["rejected"] = [{"host": "mx1.example.test", "subject": "10.0.0.1", "why": "no public address"}]
    document["delisting"] = {"state": "skipped", "why": "the disk does not last"}
    told = {group["title"]: [(row["what"], row["why"]) for row in group["rows"]] for group in page.unchecked(document)}
    assert told["Hosts"] == [("mx2.example.test", "down")]
    assert told["The outbreak's end"][0][0] == "8. what the intruder may have left is reviewed, on mx1.example.test"
    assert told["Addresses that are not known"][0][0] == "198.51.100.12"
    assert told["Gaps in logs"] == [("mx1.example.test", "no log from 05:00 to 05:10")]
    assert told["Mail after a lock"][0][0] == "mallory@alpha.test on mx1.example.test"
    assert told["Feeds of providers"] == [("Microsoft SNDS, lab: data", "the link has expired")]
    assert told["The lock's plumbing"] == [("mx1.example.test", "no such tool")]
    assert told["Sending limits"] == [("mx1.example.test", "no answer")]
    assert told["The inventory"] == [("10.0.0.1 of mx1.example.test", "no public address")]
    assert told["Lists that were not asked"] == [("Paid list (paid.example.test)", "it asks for a key (reputation_keys)")]
    assert told["Delistings"] == [("the cases", "the disk does not last")]
    assert told["Cases of which nothing is known"] == [("PSBL: 198.51.100.14", "psbl.surriel.com: timeout")]
    assert any("TLS" in what for what, _ in told["Rules of receivers"])


def test_the_timeline_places_what_has_a_time():
    plot = timeline.build(reports.demo())
    assert [lane["host"] for lane in plot["lanes"]] == ["mx1.example.test", "mx2.example.test"]
    assert all(0 <= mark["x"] <= 100 for lane in plot["lanes"] for mark in lane["marks"])
    (locked,) = plot["lanes"][0]["locked"]
    assert max(mark["x"] for mark in plot["lanes"][0]["marks"]) < locked < 100
    assert [row["at"] for row in plot["rows"]] == sorted(row["at"] for row in plot["rows"])
    assert 3 <= len(plot["ticks"]) <= 7
    assert timeline.build(reports.nobody()) is None
    assert timeline.build(reports.large()) is None, "listings alone are no outbreak"


def test_a_lock_that_is_older_than_the_plot_reaches_leaves_a_page_without_one():
    document = reports.begun()
    locked = {"incident": "r", "locked_at": reports.iso(reports.NOW - 10 * 86400)}
    entry = {"host": "mx1", **locked, "accepted_after_lock": None, "refused_after_lock": None}
    document["locks"] = [{"account": "a@x", **locked, "hosts": [entry]}]
    document = reports.finished(document)
    assert timeline.build(document) is None
    page_of = files.as_page(document, TEMPLATE)
    assert "a@x" in page_of and 'id="timeline"' not in page_of


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("2026-11-24T06:00:00.123456+00:00 mx1 postfix", 1795500000.123456),
        ("2026-11-24T07:00:00+01:00 mx1 postfix", 1795500000.0),
        ("2026-11-24T06:00:00.5+0000 mx1 postfix", 1795500000.5),
        ("Nov 24 06:00:00 mx1 postfix", None),
        ("2026-13-44T99:00:00Z x", None),
        ("0001-01-01T00:00:00+23:59 x", None),
        ("<script>", None),
    ],
)
def test_the_time_of_a_line(line, time):
    assert timeline.time_of(line) == (pytest.approx(time, abs=1e-6) if time else None)


def test_an_old_listing_and_many_hosts_do_not_squeeze_the_plot():
    document = reports.demo()
    document["observations"][0]["since"] = "2025-01-01T00:00:00.000000Z"
    document["accounts"][0]["evidence"] += [
        {"host": f"mx{number}", "kind": "client", "line": "2026-11-24T05:59:00+00:00 x"} for number in range(100, 140)
    ]
    plot = timeline.build(document)
    assert (plot["older"], len(plot["lanes"]), plot["other_hosts"]) == (1, timeline.MAX_HOSTS, 42 - timeline.MAX_HOSTS)
    assert plot["rows"][0]["at"].startswith("2025-01-01")


def test_what_was_changed_says_how_to_undo_it():
    document = reports.demo()
    document["actions"] += [{**document["actions"][0], "result": "would_change"}, {**document["actions"][0], "action": "reinstate"}]
    undo = [row["undo"] for row in page.view(document)["changes"]]
    assert undo[0].startswith("playbooks/reinstate.yml -e account=mallory@alpha.test lets")
    assert undo[2] == "Nothing was changed: check mode."
    assert "locks it again" in undo[3]


def test_the_page_has_the_age_of_keys_the_proof_of_locks_and_how_to_undo():
    text = files.as_page(reports.demo(), TEMPLATE)
    for words in (
        '<td data-name="Selector">gs20261001</td>', '<td data-name="On the host">present</td><td data-name="Age">53 days</td>',
        '<td data-name="Age">not known</td>', "<h4>Proof of the lock</h4>",
        '<td data-name="Undo">playbooks/reinstate.yml -e account=mallory@alpha.test lets',
    ):  # fmt: skip
        assert words in text, words

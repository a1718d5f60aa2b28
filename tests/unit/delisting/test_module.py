# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's work against a real store, and requests by mail against a real SMTP server."""

from __future__ import annotations

import email
import email.policy
import functools
import json
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from goodstanding_src.library import delisting_case
from goodstanding_src.module_utils.goodstanding.delisting import case as states
from goodstanding_src.module_utils.goodstanding.delisting.case import CaseError
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.mail import relay as mail
from goodstanding_src.module_utils.goodstanding.store import cases as ledger
from goodstanding_src.module_utils.goodstanding.store import database, journals
from goodstanding_src.module_utils.goodstanding.store.incidents import INCIDENTS
from sqlalchemy import event

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "servers"))
import smtp_server
import verified as found

#: The catalogue is read once: that takes a second, and each test runs the module several times.
READ = functools.cache(delisting_case.catalogue.read)
ZEN = f"zen.spamhaus.org/{found.ADDRESS}"
MAILED = f"t-online/{found.ADDRESS}"
DAY = 86400.0
HELD = {name: states.Gate("holds", "") for name in ("fcrdns", "helo", "spf", "dkim", "dmarc")}


class World:
    """A store, and runs of the module on findings."""

    def __init__(self, folder):
        self.folder, self.url = folder, f"sqlite:///{folder}/store.db"

    @property
    def engine(self):
        return database.open_store(self.url)

    def run(self, *rows, now=found.NOW, check_mode=False, document=None, started=None, **given):
        """Return the result of a run of the module whose verify run found these rows; rows of None alone: no findings at all. started: of
        that run, ten minutes before now where not given."""
        p = {
            "state_url": self.url, "findings": None, "catalogue": str(found.ROOT / "catalogue/blocklists.yml"),
            "templates": str(found.ROOT / "roles/delisting/templates"), "directory": str(self.folder / "cases"),
            "contact": "Jane Doe\npostmaster@example.com", "enrolments": [], "reason": "", "by": "", "relay": {}, "mail_to": None,
            "retention_days": 0.0, "export": None, "outcome": None, "elsewhere": [], **dict.fromkeys(delisting_case.ACTS), **given,
        }  # fmt: skip
        if rows != (None,):
            p["findings"] = document or found.findings(*rows)
            p["findings"]["run"]["started"] = delisting_case.iso(started or now - 600)
            if not check_mode:
                database.save_run(self.engine, p["findings"])
        return delisting_case.follow_all(p, now, check_mode)

    def states(self):
        return {name: case.state for name, case in ledger.load(self.engine).items()}

    def requests(self, case=MAILED):
        return [(row["number"], row["how"], row["state"]) for row in ledger.requests(self.engine, case)]


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(delisting_case.catalogue, "read", READ)
    # What receivers see of the address holds, unless a test says otherwise.
    monkeypatch.setattr(delisting_case, "authentication", lambda *_: HELD)
    return World(tmp_path)


@pytest.fixture
def relayed(world):
    """Return what approves the mailed case with a relay: (the module's result, or what it raised)."""

    def approve(server, now=found.NOW + 60, **given):
        relay = {"host": "127.0.0.1", "port": server.port, "tls": "none", "sender": "postmaster@example.com"}
        return world.run(found.reply("t_online_blocked", "BL"), now=now, approve=MAILED, relay=relay, **given)

    world.run(found.reply("t_online_blocked", "BL"))
    assert world.states() == {MAILED: "ready"}
    return approve


def test_from_the_first_sight_to_the_end(world):
    (case,) = world.run(found.observation())["cases"]
    assert (case["case"], case["state"], case["gates"][0]) == (
        ZEN, "ready", {"gate": "outbreak", "state": "holds", "why": "", "overridden": False},
    )  # fmt: skip
    assert Path(case["dossier"]).read_text().startswith(f"# {found.ADDRESS} in Spamhaus ZEN")
    world.run(None, now=found.NOW + 60, submitted=ZEN, by="jane")
    assert world.requests(ZEN) == [(1, "form", "recorded")]
    assert world.run(found.observation(), now=found.NOW + 3600)["cases"][0]["state"] == "waiting"
    clean = {"clean": ["zen.spamhaus.org"]}
    assert world.run(now=found.NOW + 7200, document=found.findings(**clean))["cases"][0]["state"] == "waiting"
    (case,) = world.run(now=found.NOW + 7300, document=found.findings(**clean))["cases"]
    assert case["state"] == "cleared"
    assert [row["kind"] for row in case["history"] if row["kind"] != "state"] == ["opened", "submitted", "clean", "cleared"]
    assert "by jane" in case["history"][2]["why"]
    assert world.run(now=found.NOW + 7400, document=found.findings(**clean))["cases"] == []
    (case,) = world.run(found.observation(), now=found.NOW + 9000)["cases"]
    assert (case["state"], case["relisted"]) == ("gated", 1)


def test_what_the_lists_own_servers_say_closes_a_case_without_waiting_for_a_cache(world):
    world.run(found.observation())
    assert ledger.followed(world.engine) == [{"subject": found.ADDRESS, "zone": "zen.spamhaus.org"}]

    def clean(now, authoritative):
        document = found.findings(clean=["zen.spamhaus.org"])
        facts = {"delisting": found.ZONES["zen.spamhaus.org"]["delisting"], "latency": 60}
        document["asked"] = [{"zone": "zen.spamhaus.org", "clean_ttl": 1800, **facts}]
        document["addresses"][0]["authoritative"] = authoritative
        return world.run(now=now, document=document, started=now - 10)["cases"][0]

    assert clean(found.NOW + 3600, [])["state"] == "gated"
    assert clean(found.NOW + 3800, [])["state"] == "gated", "the resolver may say the same for half an hour"
    world.run(found.observation(), now=found.NOW + 7200)
    assert clean(found.NOW + 10800, ["zen.spamhaus.org"])["state"] == "gated"
    case = clean(found.NOW + 11000, ["zen.spamhaus.org"])
    assert case["state"] == "cleared"
    assert case["history"][-1]["why"].endswith("by itself, nobody asked (asked at its own name servers)")
    assert ledger.followed(world.engine) == []


def test_old_findings_that_are_read_twice_close_nothing(world):
    world.run(found.observation())
    clean, started = found.findings(clean=["zen.spamhaus.org"]), found.NOW + 3600
    for now in (found.NOW + 7200, found.NOW + 2 * DAY, found.NOW + 3 * DAY):
        (case,) = world.run(now=now, document=clean, started=started)["cases"]
        assert case["state"] != "cleared"
    assert [row["kind"] for row in case["history"]].count("clean") == 1
    assert world.run(now=found.NOW + 3 * DAY + 60, document=clean)["cases"][0]["state"] == "cleared"


def test_one_run_is_one_answer_before_its_report_and_after(world):
    """remediate.yml judges before the run has ended; its findings may be given again when it has."""
    document = found.findings(found.observation())
    document["run"]["asked"] = delisting_case.iso(found.NOW - 60)
    world.run(document=document)
    judged = ledger.load(world.engine)[ZEN]
    assert (judged.judged, judged.ask_at) == (found.NOW - 60, found.NOW), "no answer is newer than when the lists had answered"
    document["run"]["finished"] = delisting_case.iso(found.NOW + 300)
    world.run(now=found.NOW + 600, document=document)
    assert ledger.load(world.engine)[ZEN].judged == judged.judged


def test_a_run_of_other_hosts_leaves_a_case_alone(world):
    """-e target=GROUP: two teams that take turns must not reset each other's cases."""
    world.run(found.observation())
    (before,) = world.run(document=found.findings(clean=["zen.spamhaus.org"]), now=found.NOW + 7200)["cases"]
    others = found.findings()
    others["addresses"], others["names"] = [], []
    result = world.run(document=others, now=found.NOW + DAY, elsewhere=["mx9.example.com", "not an address", "198.51.100.0/24"])
    assert result["cases"] == []
    left = ledger.load(world.engine)[before["case"]]
    assert (left.frozen, left.clean_at is not None) == ("", True)
    (gone,) = world.run(document=others, now=found.NOW + DAY, elsewhere=["203.0.113.0/24"])["cases"]
    assert "not in the inventory any more" in gone["frozen"]


def test_what_the_module_returns_is_a_part_of_the_findings(world):
    result = world.run(found.observation(), found.reply("t_online_blocked", "BL"))
    document = stages.finish(stages.delist(found.findings(found.observation()), result), [], 5, found.NOW)
    document["run"]["started"] = delisting_case.iso(found.NOW)
    delisting_case.files.validate(document, str(found.ROOT / "roles/report/files/report.schema.json"))
    assert {row["case"]: row["sources"] for row in document["cases"]} == {ZEN: ["zen.spamhaus.org"], MAILED: ["log:t-online"]}
    assert len(document["enrolments"]) == len(found.DATA["enrolments"])


@pytest.mark.parametrize("what", ["outbreak", "limits", "fcrdns", "spf"])
def test_a_case_stays_gated_while_something_is_not_proven(world, monkeypatch, what):
    document = found.findings(found.observation())
    if what == "outbreak":
        document["outbreak"]["state"] = "not_proven"
    elif what == "limits":
        document["limits"] = []
    else:
        monkeypatch.setattr(delisting_case, "authentication", lambda *_: {**HELD, what: states.Gate("unknown", "SERVFAIL")})
    (case,) = world.run(document=document)["cases"]
    assert case["state"] == "gated"
    with pytest.raises(CaseError, match=what):
        world.run(None, now=found.NOW + 60, submitted=ZEN)
    assert world.requests(ZEN) == []
    world.run(None, now=found.NOW + 60, submitted=ZEN, reason="I had asked before", by="jane")
    (told,) = [row["why"] for row in ledger.history(world.engine, ZEN) if row["kind"] == "override"]
    assert told == f"{what}: I had asked before (by jane)"


@pytest.mark.parametrize("outcome", ["servfail", "refused", "hijacked", "timeout", "unqualified"])
def test_no_case_closes_on_what_is_no_answer(world, outcome):
    world.run(found.observation())
    for hours in range(1, 50, 7):
        silent = found.findings(found.observation(outcome=outcome), clean=["zen.spamhaus.org"])
        world.run(now=found.NOW + hours * 3600, document=silent)
    assert world.states() == {ZEN: "gated"}
    (case,) = world.run(now=found.NOW + 60 * 3600, document=found.findings(unqualified=["zen.spamhaus.org"]))["cases"]
    assert "said nothing that can be believed" in case["frozen"]


def test_what_receivers_see_of_the_address_its_name_and_the_accounts_domains_opens_its_gates():
    rules = {found.ADDRESS: ("reverse_name", "helo", "helo_spf"), "example.com": ("spf", "dkim", "dmarc", "alignment")}
    document = found.findings(found.observation())
    document["authentication"] = {
        "state": "asked", "why": "", "domains": [{"domain": "example.com"}],
        "addresses": [{"address": found.ADDRESS, "helo": "mx1.example.com"}],
        "checklist": [
            {"rule": rule, "subject": subject, "state": "holds", "why": "", "repair": ""}
            for subject, names in rules.items() for rule in names
        ],
    }  # fmt: skip
    told = delisting_case.authentication(document, found.ADDRESS, True)
    assert {name: gate.state for name, gate in told.items()} == dict.fromkeys(("fcrdns", "helo", "spf", "dkim", "dmarc"), "holds")
    document["locks"][0]["account"] = "mallory@other.example"
    told = delisting_case.authentication(document, found.ADDRESS, True)
    assert told["fcrdns"].state == "holds"
    assert told["dmarc"] == states.Gate("unknown", "other.example: nobody looked at other.example")
    document["locks"] = []
    assert delisting_case.authentication(document, found.ADDRESS, True, ["mallory@other.example", "uid:33@mx1.example.com"]) == told
    # Of no other domain.
    document["authentication"]["domains"].append({"domain": "third.example"})
    document["authentication"]["checklist"] += [
        {"rule": rule, "subject": "third.example", "state": "does_not", "why": "w", "repair": ""} for rule in rules["example.com"]
    ]
    assert {gate.state for gate in delisting_case.authentication(document, found.ADDRESS, True).values()} == {"holds"}
    row = next(row for row in document["authentication"]["checklist"] if row["rule"] == "helo")
    row["state"], row["why"] = "does_not", "it is localhost"
    assert delisting_case.authentication(document, found.ADDRESS, True)["helo"] == states.Gate(
        "does_not", f"{found.ADDRESS}: it is localhost"
    )


def test_the_journals_are_read_once_for_all_cases(world):
    read, zones = [], ("zen.spamhaus.org", "bl.spamcop.net", "psbl.surriel.com")

    def seen(connection, cursor, statement, *rest):
        if "FROM journal" in statement:
            read.append(statement)

    event.listen(sa.Engine, "before_cursor_execute", seen)
    try:
        rows = world.run(*[found.observation(zone) for zone in zones])["cases"]
    finally:
        event.remove(sa.Engine, "before_cursor_execute", seen)
    assert (len([row for row in rows if row["dossier"]]), len(read)) == (3, 1)


def test_what_receivers_see_is_judged_once_for_each_address(world, monkeypatch):
    asked = []
    monkeypatch.setattr(delisting_case, "authentication", lambda document, *subject: asked.append(subject[:2]) or HELD)
    world.run(found.observation("bl.spamcop.net"), found.observation(), found.observation(subject="198.51.100.12"))
    assert sorted(asked) == [(found.ADDRESS, True), ("198.51.100.12", True)]


def test_a_dossier_tells_what_happened_after_the_owner_was_let_in_again_and_nothing_of_long_before(world, monkeypatch):
    """The incidents of the ledger say who was."""
    asked = []
    mallory, long_ago = {"accounts": ["mallory@example.com"], "incident": "r0"}, {"accounts": ["old@example.com"], "incident": "r9"}
    lines = [
        {"chain": f"{1:032x}", "time": found.LOCKED - 30 * DAY, "step": "finish", "closed": 1, **long_ago},
        {"chain": f"{2:032x}", "time": found.LOCKED, "step": "finish", "closed": 6, **mallory},
        {"chain": f"{3:032x}", "time": found.LOCKED + 20 * 3600, "step": "reinstate", **mallory},
    ]
    journals.save(world.engine, {"mx1.example.com": lines})
    with world.engine.begin() as connection:
        for name, locked, reinstated in (
            ("mallory@example.com", found.LOCKED, found.LOCKED + 20 * 3600),
            ("old@example.com", found.LOCKED - 30 * DAY, found.LOCKED - 25 * DAY),
        ):
            times = {each: delisting_case.iso(locked) for each in ("first", "last", "locked")}
            row = {"account": name, "number": 1, "first_run": "r0", "last_run": "r0", "reinstated": delisting_case.iso(reinstated), **times}
            connection.execute(sa.insert(INCIDENTS).values(row))
    document = found.findings(found.observation())
    document["locks"], document["accounts"] = [], []
    document["outbreak"].update(state="none", conditions=[])
    monkeypatch.setattr(delisting_case, "authentication", lambda document, subject, of_address, again: asked.append(again) or HELD)
    (case,) = world.run(document=document)["cases"]
    assert asked == [["mallory@example.com"]]
    text = Path(f"{case['dossier'][:-3]}.txt").read_text()
    assert "The abuse has stopped.\n\nOne mail account of ours was taken over" in text
    assert "and ended 6 sessions that were open. The owner was let in again on 18 November 2026 at 05:06 UTC." in text


def test_a_dossier_that_does_not_hold_any_more_is_taken_away(world):
    def files():
        return sorted(path.suffix for path in (world.folder / "cases").iterdir())

    world.run(found.observation())
    assert files() == [".json", ".md", ".txt"]
    (case,) = world.run(None, now=found.NOW + 60, submitted=ZEN)["cases"]
    assert (case["dossier"], files()) == (None, []), "it still said that the form is to be filled in"
    world.run(found.observation(), now=found.NOW + 3600)
    assert files() == [".json", ".md", ".txt"]
    clean = {"clean": ["zen.spamhaus.org"]}
    world.run(now=found.NOW + 7200, document=found.findings(**clean), check_mode=True)
    for hours in (2, 3):
        assert files() == [".json", ".md", ".txt"]
        world.run(now=found.NOW + hours * 3600, document=found.findings(**clean))
    assert (world.states(), files()) == ({ZEN: "cleared"}, [])


def test_a_request_that_was_made_is_recorded_while_the_list_is_silent(world):
    silent = found.findings(unqualified=["zen.spamhaus.org"])
    assert world.run(found.observation())["cases"][0]["state"] == "ready"
    (case,) = world.run(now=found.NOW + 3600, document=silent)["cases"]
    assert (case["state"], [gate["gate"] for gate in case["gates"] if gate["state"] != "holds"]) == ("gated", ["named"])
    with pytest.raises(CaseError, match="say why"):
        world.run(None, now=found.NOW + 3700, submitted=ZEN)
    with pytest.raises(CaseError, match="cannot be asked for"):
        world.run(None, now=found.NOW + 3700, override=ZEN, reason="filled in on Monday")
    (case,) = world.run(None, now=found.NOW + 3700, submitted=ZEN, reason="filled in on Monday")["cases"]
    assert (case["state"], case["requests"], world.requests(ZEN)) == ("submitted", 1, [(1, "form", "recorded")])
    (case,) = world.run(found.observation(), now=found.NOW + DAY)["cases"]
    assert (case["state"], case["frozen"]) == ("waiting", None), "it is not asked for twice"


def test_a_provider_alone_asks_also_while_the_list_is_silent_and_a_refusal_quotes_it(world):
    refusal = found.reply("spamhaus", "554")
    (case,) = world.run(found.observation(codes=["127.0.0.2"]), refusal)["cases"]
    assert case["state"] == "provider_only"
    for days in (2, 4):
        document = found.findings(found.observation(outcome="servfail", codes=[]), refusal, unqualified=["zen.spamhaus.org"])
        (case,) = world.run(now=found.NOW + days * DAY, document=document)["cases"]
        assert (case["state"], case["frozen"]) == ("provider_only", "zen.spamhaus.org: servfail")
        assert "named" in [gate["gate"] for gate in case["gates"] if gate["state"] != "holds"]
    assert "hit" not in [row["kind"] for row in case["history"]]


def test_a_case_that_the_list_closed_is_not_opened_again_by_a_refusal_of_before(world):
    refusal, clean = found.reply("spamhaus", "554"), {"clean": ["zen.spamhaus.org"]}
    world.run(found.observation(), refusal)
    for hours in (3, 6):
        world.run(now=found.NOW + hours * 3600, document=found.findings(**clean))
    told = ledger.history(world.engine, ZEN)
    assert world.run(now=found.NOW + 7 * 3600, document=found.findings(refusal, unqualified=["zen.spamhaus.org"]))["cases"] == []
    assert (world.states(), ledger.history(world.engine, ZEN)) == ({ZEN: "cleared"}, told)


def test_a_refusal_of_long_after_the_end_opens_a_case_again_whose_list_is_silent(world):
    refusal, clean = found.reply("spamhaus", "554"), {"clean": ["zen.spamhaus.org"]}
    world.run(found.observation())
    for hours in (3, 6):
        world.run(now=found.NOW + hours * 3600, document=found.findings(**clean))
    later = found.NOW + 30 * DAY
    fresh = {**refusal, "since": delisting_case.iso(later - 60), "qualified_by": {"at": delisting_case.iso(later - 60)}}
    (case,) = world.run(now=later, document=found.findings(fresh, unqualified=["zen.spamhaus.org"]))["cases"]
    assert (case["state"], case["relisted"]) == ("gated", 1)


def test_the_reply_that_is_prepared_stays_until_the_first_answer(world):
    (case,) = world.run(found.reply("microsoft_olc", "S3140"))["cases"]
    world.run(None, now=found.NOW + 60, submitted=case["case"], reason="the form is filled in")
    (text,) = (world.folder / "cases").glob("*.md")
    assert "not qualified" in text.read_text()


def test_in_check_mode_nothing_is_written(world):
    (case,) = world.run(found.observation(), check_mode=True)["cases"]
    assert case["state"] == "ready"
    assert list(world.folder.iterdir()) == []


def test_a_case_that_is_not_there_is_named_with_those_that_are(world):
    world.run(found.observation())
    with pytest.raises(CaseError, match=r"no case zen\.spamhaus\.org/192\.0\.2\.1.*known: zen\.spamhaus\.org/198\.51\.100\.11"):
        world.run(None, submitted="zen.spamhaus.org/192.0.2.1")


def test_a_case_of_a_list_that_has_left_the_catalogue_is_kept_and_says_so(world, monkeypatch):
    world.run(found.observation(), found.reply("t_online_blocked", "BL"))

    def without(path):
        data, schema = READ(path)
        rows = {name: [row for row in data.get(name, ()) if row.get("zone") != "zen.spamhaus.org"] for name in ("lists", "desks")}
        rows["desks"] = [row for row in rows["desks"] if row["id"] != "t-online"]
        return {**data, **rows}, schema

    monkeypatch.setattr(delisting_case.catalogue, "read", without)
    cases = {row["case"]: row for row in world.run(now=found.NOW + 3600)["cases"]}
    assert {name: (row["state"], row["frozen"]) for name, row in cases.items()} == {
        ZEN: ("gated", "zen.spamhaus.org was not asked"),
        MAILED: ("gated", "log:t-online was not asked"),
    }
    assert "the list has left the catalogue" in Path(cases[ZEN]["dossier"]).read_text()
    with pytest.raises(CaseError, match="not ready"):
        world.run(None, now=found.NOW + 3700, submitted=ZEN)
    with pytest.raises(CaseError, match="not asked for by mail"):
        world.run(now=found.NOW + 3800, approve=MAILED)
    monkeypatch.setattr(delisting_case.catalogue, "read", READ)
    assert world.run(found.observation(), now=found.NOW + 7200)["cases"][-1]["frozen"] is None


def test_a_refusal_of_the_operator_is_recorded_with_its_reason(world):
    world.run(found.observation())
    world.run(None, now=found.NOW + 60, submitted=ZEN)
    (case,) = world.run(None, now=found.NOW + 120, refused=ZEN, reason="not qualified")["cases"]
    assert case["state"] == "refused"
    assert case["not_before"] == delisting_case.iso(found.NOW + 120 + 7 * DAY)


def test_an_enrolment_that_was_alive_and_is_silent_is_named(world):
    alive = found.findings(clean=["b.barracudacentral.org"])
    (row,) = [row for row in world.run(document=alive)["enrolments"] if row["id"] == "barracuda"]
    assert (row["state"], row["why"]) == ("alive", "b.barracudacentral.org answers")
    (row,) = [row for row in world.run(document=found.findings(), now=found.NOW + DAY)["enrolments"] if row["id"] == "barracuda"]
    assert (row["state"], row["why"]) == ("silent", "no data since 2026-11-18")
    snds = [{"id": "snds", "since": "2025-12-01", "mailbox": "snds@example.com"}, {"id": "google_postmaster"}]
    rows = {row["id"]: row for row in world.run(document=found.findings(), enrolments=snds)["enrolments"]}
    assert (rows["snds"]["state"], rows["snds"]["mailbox"], rows["snds"]["lapses"][:10]) == ("lapsed", "snds@example.com", "2026-09-27")
    assert (rows["google_postmaster"]["state"], rows["jmrp"]["state"]) == ("unknown", "missing")
    with pytest.raises(CaseError, match=r"delisting_enrolments\[0\] names 'sndz': known are snds"):
        world.run(enrolments=[{"id": "sndz"}])


def test_the_store_is_exported_and_forgets(world):
    world.run(found.observation(), export=str(world.folder / "all.json"))
    told = json.loads((world.folder / "all.json").read_text())
    assert [row["id"] for row in told["cases"]] == [ZEN]
    assert oct((world.folder / "all.json").stat().st_mode)[-3:] == "600"
    clean = {"clean": ["zen.spamhaus.org"]}
    world.run(now=found.NOW + 100, document=found.findings(**clean))
    world.run(now=found.NOW + 300, document=found.findings(**clean))
    events = ledger.history(world.engine, ZEN)
    assert world.run(None, now=found.NOW + 40 * DAY, retention_days=30.0)["forgotten"] == 1 + len(events), "a run, and the words of each"
    assert {row["why"] for row in ledger.history(world.engine, ZEN)} == {""}


# ---- by mail


def test_a_request_is_mailed_once_with_its_message_id_in_the_case(world, relayed):
    with smtp_server.serving() as server:
        result = relayed(server, by="jane")
        assert result["request"]["state"] == "sent"
        with pytest.raises(CaseError, match="asked for already"):
            relayed(server, now=found.NOW + 120)
    ((receiver, data),) = server.taken
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert (receiver, message["From"], message["Subject"]) == (
        "tosa@rx.t-online.de",
        "postmaster@example.com",
        f"Request to unblock {found.ADDRESS}",
    )
    assert message["Message-ID"] == result["request"]["message_id"]
    assert message.get_content().startswith(f"Please take mail from {found.ADDRESS} (mx1.example.com) again")
    (kept,) = ledger.requests(world.engine, MAILED)
    assert (kept["message_id"], kept["state"], kept["receiver"]) == (message["Message-ID"], "sent", "tosa@rx.t-online.de")
    assert "queued as 4711" in kept["detail"]
    assert world.states() == {MAILED: "waiting"}


@pytest.mark.parametrize(
    "answers", [{"MAIL": "451 later"}, {"RCPT": "550 5.1.1 no such user"}, {"DATA": "554 no"}, {".": "554 spam"}, {"EHLO": "", "HELO": ""}]
)
def test_what_the_relay_certainly_refused_may_be_sent_again(world, relayed, answers):
    with smtp_server.serving(answers) as server:
        result = relayed(server)
    assert result["request"]["state"] == "not_sent"
    assert (world.states(), world.requests()) == ({MAILED: "ready"}, [])
    with smtp_server.serving() as server:
        assert relayed(server, now=found.NOW + 120)["request"]["state"] == "sent"
    assert len(server.taken) == 1
    assert world.requests() == [(1, "mail", "sent")]
    assert [row["kind"] for row in ledger.history(world.engine, MAILED) if row["kind"] != "state"] == [
        "opened",
        "submitted",
        "not_sent",
        "submitted",
    ]


def test_what_may_have_gone_is_not_sent_again(world, relayed):
    with smtp_server.serving({".": ""}) as server:
        assert relayed(server)["request"]["state"] == "unknown"
        with pytest.raises(CaseError, match="asked for already"):
            relayed(server, now=found.NOW + 120)
    assert len(server.taken) == 1
    assert (world.states(), world.requests()) == ({MAILED: "waiting"}, [(1, "mail", "unknown")])


def test_a_kill_between_sending_and_recording_never_sends_twice(world, relayed):
    with smtp_server.killed_behind_data(relayed) as server:
        assert len(server.taken) == 1
        assert world.requests() == [(1, "mail", "sending")]
        with pytest.raises(CaseError, match="asked for already"):
            relayed(server, now=found.NOW + 120)
    assert len(server.taken) == 1
    assert "the run ended before it said so" in ledger.requests(world.engine, MAILED)[0]["detail"]


def test_a_relay_that_is_down_sends_nothing_and_says_so(world, relayed):
    with smtp_server.serving() as server:
        pass
    server.server_close()
    result = relayed(server)
    assert result["request"]["state"] == "not_sent"
    assert "127.0.0.1" in result["request"]["detail"]
    assert world.states() == {MAILED: "ready"}


# ---- from the listed address itself

S5H = f"all.s5h.net/{found.ADDRESS}"


@pytest.fixture
def approved(world):
    """Return what approves the request of the listed address itself."""
    world.run(found.observation("all.s5h.net"))
    return lambda now=found.NOW + 60, **given: world.run(found.observation("all.s5h.net"), now=now, approve=S5H, by="jane", **given)


def test_what_the_listed_address_asks_is_in_the_ledger_before_it_asks_and_asked_once(world, approved):
    request = approved()["request"]
    told = (request["state"], request["host"], request["address"], request["url"])
    assert told == ("sending", "mx1.example.com", found.ADDRESS, "http://www.usenix.org.uk/content/rblremove")
    assert (world.states(), world.requests(S5H)) == ({S5H: "submitted"}, [(1, "machine", "sending")])
    with pytest.raises(CaseError, match="asked for already"):
        approved(now=found.NOW + 120)
    outcome = {**request, "state": "sent", "detail": "HTTP 200: removed"}
    result = world.run(found.observation("all.s5h.net"), now=found.NOW + 61, outcome=outcome)
    assert result["request"]["state"] == "sent"
    assert result["cases"][0]["state"] == "waiting"
    (kept,) = ledger.requests(world.engine, S5H)
    assert (kept["state"], kept["detail"], kept["receiver"]) == ("sent", "HTTP 200: removed", "http://www.usenix.org.uk/content/rblremove")
    with pytest.raises(database.StoreError, match="not under way"):
        world.run(None, now=found.NOW + 62, outcome={**outcome, "state": "not_sent"})
    assert world.requests(S5H) == [(1, "machine", "sent")]


def test_what_the_listed_address_certainly_did_not_ask_may_be_asked_again(world, approved):
    before = ledger.load(world.engine)[S5H]
    request = approved()["request"]
    world.run(None, now=found.NOW + 61, outcome={**request, "state": "not_sent", "detail": "this host cannot send from it"})
    assert (world.states(), world.requests(S5H)) == ({S5H: "ready"}, [])
    after = ledger.load(world.engine)[S5H]
    assert (after.requests, after.submitted_at, after.expected) == (before.requests, before.submitted_at, before.expected)
    assert approved(now=found.NOW + 120)["request"]["number"] == 1


def test_an_outcome_that_is_none_changes_nothing(world, approved):
    request = approved()["request"]
    with pytest.raises(CaseError, match=r"is 'done': it is sent, not_sent or unknown"):
        world.run(None, now=found.NOW + 61, outcome={**request, "state": "done"})
    assert world.requests(S5H) == [(1, "machine", "sending")]


def test_without_a_host_that_has_the_address_nothing_is_claimed(world, approved):
    document = found.findings(found.observation("all.s5h.net", hosts=[]))
    document["addresses"][0]["hosts"] = []
    with pytest.raises(CaseError, match="no host of the findings has it"):
        approved(document=document)
    assert (world.states(), world.requests(S5H)) == ({S5H: "ready"}, [])


def test_in_check_mode_the_listed_address_asks_nothing(world, approved):
    assert approved(check_mode=True)["request"] is None
    assert (world.states(), world.requests(S5H)) == ({S5H: "ready"}, [])


def test_what_has_a_form_is_not_mailed(world):
    world.run(found.observation())
    with pytest.raises(CaseError, match=r"not asked for by mail: go to https://check\.spamhaus\.org"):
        world.run(found.observation(), now=found.NOW + 60, approve=ZEN, relay={"host": "x", "sender": "a@b.example"})


def test_a_gated_case_is_not_mailed(world, relayed):
    document = found.findings(found.reply("t_online_blocked", "BL"))
    document["limits"] = []
    with smtp_server.serving() as server, pytest.raises(CaseError, match="limits"):
        relayed(server, document=document)
    assert server.sessions == 0
    assert world.requests() == []


def test_findings_that_are_old_or_older_than_the_last_ones_make_no_mail(world, relayed):
    with smtp_server.serving() as server:
        with pytest.raises(CaseError, match="older than those that judged the case"):
            relayed(server, started=found.NOW - 700)
        with pytest.raises(CaseError, match=r"outbreak: the findings are of"):
            relayed(server, now=found.NOW + DAY, started=found.NOW - 600)
    assert server.sessions == 0


def test_a_provider_is_told_for_a_reason_while_gates_are_closed(world):
    row, document = found.observation(codes=("127.0.0.2",)), found.findings(found.observation(codes=("127.0.0.2",)))
    document["limits"] = []
    (case,) = world.run(document=document)["cases"]
    assert case["state"] == "provider_only"
    assert case["next"].startswith("Do not ask yet: mx1.example.com: ")
    with pytest.raises(CaseError, match="limits"):
        world.run(None, now=found.NOW + 60, submitted=ZEN)
    (case,) = world.run(None, now=found.NOW + 60, submitted=ZEN, reason="the provider asked on its own")["cases"]
    assert case["state"] == "submitted"
    (case,) = world.run(None, now=found.NOW + 120, refused=ZEN)["cases"]
    assert case["state"] == "refused"
    (case,) = world.run(None, now=found.NOW + 180, submitted=ZEN, reason="they said: write again")["cases"]
    assert (case["state"], case["requests"]) == ("submitted", 2)
    assert world.run(row, now=found.NOW + 240)["cases"][0]["next"].startswith("Wait: ")


def test_the_ledger_names_no_account_in_what_happened(world):
    document = found.findings(found.observation())
    document["locks"][0]["hosts"][0]["accepted_after_lock"] = 1
    (case,) = world.run(document=document)["cases"]
    assert any("mallory@example.com" in gate["why"] for gate in case["gates"])
    assert "mallory" not in json.dumps(case["history"])
    assert [row["why"] for row in case["history"]][-1] == "gated (account)"


def test_the_legacy_address_is_tried_only_where_it_is_named(world):
    case = f"microsoft-365-mail/{found.ADDRESS}"
    refusal = found.reply("microsoft_banned_511", "5.7.511")
    world.run(refusal)
    with smtp_server.serving() as server:
        relay = {"host": "127.0.0.1", "port": server.port, "tls": "none", "sender": "postmaster@example.com"}
        world.run(refusal, now=found.NOW + 60, approve=case, relay=relay, mail_to="delist@messaging.microsoft.com")
    assert [receiver for receiver, _ in server.taken] == ["delist@messaging.microsoft.com"]
    assert ledger.requests(world.engine, case)[0]["receiver"] == "delist@messaging.microsoft.com"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "delisting_relay is not set"),
        ({"host": None, "port": None}, "delisting_relay is not set"),
        ({"host": "x"}, "lacks sender"),
        ({"host": "x", "sender": "a@b.example", "hots": 1}, "has hots: known are host"),
        ({"host": "x", "sender": "a@b.example", "tls": "ssl"}, "tls is 'ssl'"),
        ({"host": "x", "sender": "a@b.example\nBcc: c@d.example"}, "a mail address such as"),
        ({"host": "x", "sender": "a@b.example", "tls": "none", "user": "u", "password": "secret"}, "not sent in the clear"),
    ],
)
def test_a_wrong_relay_is_named_before_anything_is_written(world, given, words):
    with pytest.raises(mail.MailError, match=words) as caught:
        mail.read(given, "delisting_relay")
    assert "secret" not in str(caught.value)


def test_who_acted_is_told_to_the_dossier(world):
    line = {
        "chain": f"{1:032x}",
        "time": found.LOCKED,
        "step": "finish",
        "accounts": ["mallory@example.com"],
        "incident": "r0",
        "closed": 2,
    }
    journals.save(world.engine, {"mx1.example.com": [line]})
    (case,) = world.run(found.observation())["cases"]
    text = Path(f"{case['dossier'][:-3]}.txt")
    assert (
        "We locked the account on mx1.example.com on 17 November 2026 at 09:06 UTC, and ended two sessions that were open."
        in text.read_text()
    )

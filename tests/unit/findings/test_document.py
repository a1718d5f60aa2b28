# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from goodstanding_src.library import run_findings
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.findings import locks
from goodstanding_src.module_utils.goodstanding.findings.times import iso
from goodstanding_src.module_utils.goodstanding.report import files
from goodstanding_src.module_utils.goodstanding.store import database

sys.path.insert(0, str(Path(__file__).parent))
from answers import NOW, gathered, result, said

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = str(ROOT / "roles/report/files/report.schema.json")
TEMPLATE = str(ROOT / "roles/report/templates/report.html.j2")
A, B = "198.51.100.11", "198.51.100.12"
USER = "mallory@alpha.test"
LOG = {
    "source": {"kind": "file", "paths": ["/var/log/mail.log"]}, "span": {"first": NOW, "last": NOW}, "complete": True, "gaps": [],
    "accounts": {USER: {"accepted_since": 0}}, "refusals": [],
}  # fmt: skip
ACCOUNT = {
    "account": USER, "verdict": "compromised", "sentence": f"{USER}: <script>alert(1)</script>", "hosts": ["mx1"], "signals": [],
    "evidence": [{"host": "mx1", "line": "{{ 7 * 7 }} <b>"}],
}  # fmt: skip
LOCKED = {
    "contained": True,
    "changed": True,
    "locked_at": {USER: NOW + 10},
    "held": {USER: 3},
    "moved": 3,
    "sessions_closed": 2,
    "faults": [],
}


def both(*observed: dict, **fields) -> dict:
    """What is gathered where ZEN was asked about the addresses of mx1 and mx2."""
    clean = [address for address in (A, B) if address not in [row["subject"] for row in observed]]
    return gathered(result(*observed, clean=clean, hosts={B: ["mx2"]}), **fields).document


def assessed(accounts=(ACCOUNT,), logs=None, rep=None, mode="lock", check_mode=False, failed=None) -> dict:
    logs = {"mx1": LOG, "mx2": LOG} if logs is None else logs
    unknown = [{"host": host, "reason": str(log.get("msg"))} for host, log in logs.items() if "accounts" not in log]
    begun = stages.start("r1", "lab", mode, check_mode, NOW)
    done = stages.assess(begun, logs, {"accounts": list(accounts), "causes": [], "unknown_hosts": unknown})
    return stages.reputation(done, both() if rep is None else rep, failed, NOW)


def finished(document: dict) -> dict:
    done = stages.finish(document, [], 5, NOW + 60)
    files.validate(done, SCHEMA)
    return done


@pytest.mark.parametrize(
    ("results", "accepted", "status", "state"),
    [
        ({"mx1": LOCKED, "mx2": LOCKED}, 0, "findings", "locked"),
        ({"mx1": LOCKED, "mx2": LOCKED}, 1, "not_contained", "locked"),
        ({"mx1": LOCKED, "mx2": {"failed": True, "msg": "down"}}, 0, "not_contained", "not_contained"),
        ({"mx1": LOCKED, "mx2": {**LOCKED, "contained": False, "faults": ["2 SMTP sessions"]}}, 0, "not_contained", "not_contained"),
        ({"mx1": LOCKED, "mx2": {**LOCKED, "contained": False, "locked_at": {}}}, 0, "not_contained", "not_contained"),
    ],
)
def test_a_lock_that_does_not_hold_everywhere_is_not_contained(results, accepted, status, state):
    document = stages.contain(assessed(), [USER], results, NOW)
    log = {**LOG, "accounts": {USER: {"accepted_since": accepted}}}
    done = finished(stages.verify(document, {"mx1": log, "mx2": log}))
    assert (done["run"]["status"], done["accounts"][0]["state"]) == (status, state)
    if status == "not_contained":
        assert done["open_points"][0]["severity"] == "critical"


def test_what_is_not_known_is_not_zero():
    document = stages.contain(assessed(), [USER], {"mx1": LOCKED, "mx2": LOCKED}, NOW)
    done = finished(stages.verify(document, {"mx1": LOG, "mx2": {"failed": True}}))
    assert done["accounts"][0]["accepted_after_lock"] is None
    assert any("is not known" in point["what"] for point in done["open_points"])


def test_check_mode_says_what_would_be():
    document = stages.contain(assessed(check_mode=True), [USER], {"mx1": {**LOCKED, "contained": None, "locked_at": {}}}, NOW)
    assert finished(document)["accounts"][0]["state"] == "would_lock"
    assert document["actions"][0]["result"] == "would_change"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"accounts": ()}, "clean"),
        ({}, "findings"),
        ({"accounts": ({**ACCOUNT, "verdict": "suspect"},)}, "findings"),
        ({"accounts": ({**ACCOUNT, "verdict": "exempt"},)}, "clean"),
        ({"accounts": (), "logs": {"mx1": LOG, "mx2": {"failed": True, "msg": "down"}}}, "unknown"),
        ({"accounts": (), "logs": {}}, "unknown"),
        ({"accounts": (), "rep": both(said(A))}, "findings"),
        ({"accounts": (), "rep": both(said(A, "timeout"))}, "unknown"),
        ({"accounts": (), "rep": both(said(A), said(B, "timeout"))}, "findings"),
        ({"accounts": (), "rep": both(rejected=[{"host": "mx1", "subject": "10.0.0.1", "why": "w"}])}, "unknown"),
    ],
)
def test_status(options, status):
    assert finished(assessed(**options))["run"]["status"] == status


def test_a_host_whose_addresses_were_not_asked_about_is_unknown():
    done = finished(assessed(accounts=(), rep=gathered(result(clean=[A])).document))
    assert (done["run"]["status"], [row["assessed"] for row in done["hosts"]]) == ("unknown", [True, False])
    assert "no sending_addresses" in done["open_points"][0]["what"]
    done = finished(assessed(accounts=(), rep=gathered().document, failed="the catalogue x, line 3: zone is missing"))
    assert (done["run"]["status"], [row["assessed"] for row in done["hosts"]]) == ("unknown", [False, False])
    assert "the catalogue x, line 3: zone is missing" in done["open_points"][0]["what"]
    own = [{"host": "mx2", "subject": "10.0.0.1", "why": "10.0.0.1 is not a public address"}]
    done = finished(assessed(accounts=(), rep=gathered(result(clean=[A]), rejected=own).document))
    assert "mx2 could not be assessed: none of its addresses was asked about: 10.0.0.1 is not" in done["open_points"][0]["what"]


def test_lists_that_fail_alike_are_one_point():
    zones = ["one.test", "two.test", "three.test", "four.test"]
    done = finished(
        assessed(accounts=(), rep=gathered(*[result(unqualified=[A, B], hosts={B: ["mx2"]}, zone=zone) for zone in zones]).document)
    )
    (point,) = [point for point in done["open_points"] if "could not be believed" in point["what"]]
    assert "one.test, two.test, three.test and 1 more lists could not be believed: w" in point["what"]


def test_what_is_locked_and_what_is_left_to_a_person():
    many = [{**ACCOUNT, "account": f"a{number}@x"} for number in range(4)]
    document = assessed(accounts=[*many, {**ACCOUNT, "account": "s@x", "verdict": "suspect"}])
    assert stages.to_lock(document, ["A1@X"], 2) == (["a0@x", "a2@x"], ["a3@x"])
    points = [point["what"] for point in stages.finish(document, ["a1@x"], 2, NOW)["open_points"]]
    assert any("a3@x was not locked: the brake" in what for what in points)
    assert any("a1@x was broken into and is in account_lock_never" in what for what in points)


def test_the_time_of_a_lock_goes_there_and_back():
    document = stages.contain(assessed(), [USER], {"mx1": {**LOCKED, "locked_at": {USER: NOW + 0.123456}}}, NOW)
    since = {USER: pytest.approx(NOW + 0.123456, abs=1e-5)}
    # On a host where it is not locked it is looked for too, since it was locked elsewhere.
    assert locks.locked_at(document) == {"mx1": since, "mx2": since}


PROOF = {
    "plumbing": {"state": "present", "unguarded": []}, "locks": {}, "canary": None, "sessions": {},
}  # fmt: skip
LOST = {**PROOF, "plumbing": {"state": "damaged", "unguarded": ["the lock's map is not first in submission:inet <b>"]}}
FAILED = {"failed": True, "msg": "no such tool"}


def locked(proof: dict, *names: str, at: float = NOW - 86400, incident: str = "r0") -> dict:
    return {**proof, "locks": {name: {"incident": incident, "locked_at": at} for name in names}}


def proved(document: dict, window: float = 24.0, settled: float | None = None, now: float = NOW, **given: dict) -> dict:
    return locks.prove(document, given, now, window, lambda incident: settled)


def test_locks_are_those_of_the_hosts_whatever_the_verdict_says():
    proofs = {"mx1": locked(PROOF, USER, "uid:33"), "mx2": locked(PROOF, USER, at=NOW - 3600, incident="r1")}
    done = finished(proved(assessed(accounts=()), proofs=proofs))
    told = [(row["account"], row["incident"], row["locked_at"][:16], [entry["host"] for entry in row["hosts"]]) for row in done["locks"]]
    assert told == [(USER, "r1", "2026-11-24T05:00", ["mx1", "mx2"]), ("uid:33@mx1", "r0", "2026-11-23T06:00", ["mx1"])]
    assert locks.locked_at(done) == {"mx1": {USER: NOW - 86400, "uid:33": NOW - 86400}, "mx2": {USER: NOW - 3600}}
    assert [(point["who"], point["what"]) for point in done["open_points"] if point["severity"] == "warning"] == [
        ("owner of the account", f"{USER} is locked since 2026-11-24T05:00Z"),
        ("owner of the account", "uid:33@mx1 is locked since 2026-11-23T06:00Z"),
    ]
    # A host that cannot be asked has not lost its locks; one that says so has.
    later = proved(done, proofs={"mx1": FAILED, "mx2": PROOF})
    assert [(row["account"], [entry["host"] for entry in row["hosts"]]) for row in later["locks"]] == [
        (USER, ["mx1"]),
        ("uid:33@mx1", ["mx1"]),
    ]
    assert later["locks"][0]["incident"] == "r0"
    assert [(row["host"], row["state"], len(row["locks"])) for row in later["drift"]] == [("mx1", "unknown", 2)]
    assert finished(later)["run"]["status"] == "unknown"


def test_a_lock_of_this_run_is_a_lock_on_the_host():
    document = stages.contain(proved(assessed(), proofs={"mx1": PROOF, "mx2": PROOF}), [USER], {"mx1": LOCKED, "mx2": LOCKED}, NOW)
    done = finished(proved(document))
    assert [(row["account"], row["incident"]) for row in done["locks"]] == [(USER, "r1")]
    assert (done["outbreak"]["state"], len(done["outbreak"]["conditions"])) == ("not_proven", 9)
    assert done["outbreak"]["provable_from"] == "2026-11-25T06:00:10.000000Z"
    # The next run finds it on the hosts, with the incident of the one that made it.
    found = {host: locked(PROOF, USER, at=NOW + 10, incident="r1") for host in ("mx1", "mx2")}
    before = proved(assessed(), proofs=found)
    before["run"]["id"] = "r2"
    again = stages.contain(before, [USER], {"mx1": LOCKED, "mx2": LOCKED}, NOW + 600)
    assert [entry["incident"] for entry in again["locks"][0]["hosts"]] == ["r1", "r1"]


@pytest.mark.parametrize(
    ("proof", "state", "severity", "status"),
    [
        (PROOF, None, None, "clean"),
        ({**PROOF, "plumbing": {"state": "absent", "unguarded": []}}, None, None, "clean"),
        (LOST, "damaged", "warning", "clean"),
        ({**LOST, "plumbing": {**LOST["plumbing"], "state": "present"}}, "damaged", "warning", "clean"),
        (locked(LOST, USER), "damaged", "critical", "not_contained"),
        ({**locked(PROOF, USER), "plumbing": {"state": "absent"}}, "absent", "critical", "not_contained"),
        (
            {**locked(PROOF, USER), "plumbing": {"state": "present", "unguarded": ["the deny passdb is not the first of Dovecot's chain"]}},
            "damaged",
            "critical",
            "not_contained",
        ),
        (FAILED, "unknown", "warning", "clean"),
    ],
)
def test_a_host_that_lost_the_plumbing_is_named_and_is_not_contained_where_somebody_is_locked(proof, state, severity, status):
    done = finished(proved(assessed(accounts=()), proofs={"mx1": proof, "mx2": PROOF}))
    assert [(row["host"], row["state"]) for row in done["drift"]] == ([("mx1", state)] if state else [])
    points = [point for point in done["open_points"] if "plumbing" in point["what"]]
    assert [(point["severity"], point["host"]) for point in points] == ([(severity, "mx1")] if severity else [])
    assert done["run"]["status"] == status


def test_the_plumbing_of_a_host_that_could_not_be_reached_is_not_told_twice():
    down = {"failed": True, "msg": "the host could not be reached"}
    done = finished(proved(assessed(accounts=(), logs={"mx1": LOG, "mx2": down}), proofs={"mx1": PROOF, "mx2": down}))
    assert [row["state"] for row in done["drift"]] == ["unknown"]
    assert ["mx2" in point["what"] for point in done["open_points"]].count(True) == 1


def test_an_account_that_is_locked_on_some_hosts_only_is_critical():
    done = finished(proved(assessed(accounts=()), proofs={"mx1": locked(PROOF, USER), "mx2": PROOF}))
    first = done["open_points"][0]
    assert (first["severity"], first["what"]) == ("critical", f"{USER} is locked on other hosts and not on mx2")
    assert done["outbreak"]["state"] == "not_ended"
    silent = finished(proved(assessed(accounts=()), proofs={"mx1": locked(PROOF, USER), "mx2": FAILED}))
    assert [point["what"] for point in silent["open_points"] if point["severity"] == "critical"] == [], "nobody knows"
    assert silent["outbreak"]["state"] == "not_proven"


@pytest.mark.parametrize(("accepted", "complete", "status"), [(0, True, "clean"), (2, True, "not_contained"), (2, False, "unknown")])
def test_mail_of_a_locked_account_that_no_verdict_names_is_not_contained(accepted, complete, status):
    counts = {"time": NOW - 86400, "accepted_since": accepted, "refused_since": 5, "submitted_since": 0, "logins_since": 0}
    log = {**LOG, "complete": complete, "span": {"since": NOW - 90000}, "since": {USER: counts}}
    proofs = {host: locked(PROOF, USER) for host in ("mx1", "mx2")}
    logs = {"mx1": LOG, "mx2": LOG if complete else {"failed": True, "msg": "down"}}
    done = finished(proved(assessed(accounts=(), logs=logs), logs={"mx1": log, "mx2": log}, proofs=proofs))
    assert done["run"]["status"] == status
    assert [entry["refused_after_lock"] for entry in done["locks"][0]["hosts"]] == [5 if complete else None] * 2
    assert any("accepted 2 messages" in point["what"] for point in done["open_points"]) == (status == "not_contained")


@pytest.mark.parametrize(
    ("incident", "finished_at", "asked", "settled"),
    [
        ("r1", None, True, NOW),
        ("r0", NOW - 60, True, NOW - 60),
        ("r0", None, True, None),
        ("r0", NOW - 60, False, None),
        ("gone", NOW, True, None),
    ],
)
def test_what_the_run_that_locked_found_is_no_news(tmp_path, monkeypatch, incident, finished_at, asked, settled):
    engine = database.open_store(f"sqlite:///{tmp_path}/goodstanding.db")
    before = finished(assessed())
    before["run"].update(id="r0", finished=iso(finished_at) if finished_at else None)
    before["addresses"] = before["addresses"] if asked else []
    database.save_run(engine, before)
    cases: list = []
    monkeypatch.setattr(locks.ended, "judge", lambda case: cases.append(case) or before["outbreak"])
    params = {"logs": {}, "proofs": {"mx1": locked(PROOF, USER, incident=incident)}, "queues": {}, "persistence": {}, "limits": {}}
    run_findings.prove({**params, "outbreak_window": 24.0}, assessed(), engine, NOW)
    assert cases[0].settled == settled


@pytest.mark.parametrize(
    ("times", "asked"),
    [([], NOW), ([NOW - 30, NOW - 60], NOW - 60), ([NOW - 9000], NOW - 600), ([NOW + 9000], NOW), ([None], NOW)],
)
def test_when_the_sources_were_asked_is_within_the_run_whatever_a_hosts_clock_says(times, asked):
    reputation = {"results": [{"asked_at": time} for time in times]}
    assert run_findings.asked({"reputation": reputation}, {"run": {"started": iso(NOW - 600)}}, NOW) == asked


def test_an_account_that_is_locked_already_is_not_called_open():
    proofs = {host: locked(PROOF, USER) for host in ("mx1", "mx2")}
    points = [point["what"] for point in finished(proved(assessed(), proofs=proofs))["open_points"]]
    assert f"{USER} is locked since 2026-11-23T06:00Z" in points
    assert not any("is not locked" in what for what in points)
    half = [point["what"] for point in finished(proved(assessed(), proofs={**proofs, "mx2": PROOF}))["open_points"]]
    assert f"{USER} was broken into and is not locked (lock)" in half


def test_beyond_the_brake_the_run_is_not_contained_and_the_flag_is_named():
    names = [f"a{number}@x" for number in range(8)]
    document = assessed(accounts=[{**ACCOUNT, "account": name} for name in names])
    now, beyond = stages.to_lock(document, [], 5)
    assert (now, beyond) == (names[:5], names[5:])
    times = {**LOCKED, "locked_at": dict.fromkeys(now, NOW)}
    done = finished(stages.contain(document, now, {"mx1": times, "mx2": times}, NOW, beyond))
    assert (done["run"]["status"], [row["state"] for row in done["accounts"]]) == ("not_contained", ["locked"] * 5 + ["not_contained"] * 3)
    points = [point for point in done["open_points"] if "brake" in point["what"]]
    assert [point["next_step"] for point in points] == ["Look at all of them; then run again with -e account_lock_max=8."] * 3
    assert points[0]["what"] == "a5@x was not locked: the brake account_lock_max was reached (5 of 8 accounts)"
    # The next run does not lock the next five by itself; with the flag all are locked, and stay so without it.
    assert stages.to_lock(done, [], 5) == (names[:5], names[5:])
    proofs = {host: locked(PROOF, *names) for host in ("mx1", "mx2")}
    assert stages.to_lock(proved(document, proofs=proofs), [], 5) == (names, [])
    assert stages.to_lock(proved(document, proofs={**proofs, "mx2": PROOF}), [], 5) == (names[:5], names[5:])


def test_the_brake_is_a_share_of_the_accounts_that_are_there():
    rows = {f"u{number}@x": {"messages": 1} for number in range(400)}
    typed = {f"guess{number}@x": {"messages": 0, "failed_logins": 3} for number in range(5000)}
    others = {f"uid:{number}": {"messages": 1} for number in range(100)}
    document = assessed(logs={"mx1": {**LOG, "accounts": {**rows, **typed, **others}}, "mx2": {**LOG, "accounts": rows}})
    assert document["run"]["accounts_seen"] == 400
    document["accounts"] = [{**document["accounts"][0], "account": f"u{number}@x"} for number in range(10)]
    assert [len(names) for names in stages.to_lock(document, [], 5)] == [8, 2]
    assert [len(names) for names in stages.to_lock(document, [], 9)] == [9, 1]


def test_a_run_says_when_the_lists_had_answered():
    assert stages.start("r1", "lab", "lock", False, NOW)["run"]["asked"] is None
    assert finished(assessed())["run"]["asked"] == iso(NOW)


#: What each version brought.
BROUGHT = {
    4: ("locks", "drift", "outbreak", "feeds", "limits"), 5: ("warmups",), 6: ("authentication",),
    7: ("activity", "delisting", "cases", "enrolments"),
}  # fmt: skip


@pytest.mark.parametrize("version", [3, 4, 5, 6])
def test_findings_of_before_an_upgrade_are_read(tmp_path, version):
    old = finished(assessed())
    for name in [name for later, names in BROUGHT.items() if later > version for name in names]:
        del old[name]
    del old["run"]["asked"]
    if version == 3:
        del old["run"]["accounts_seen"]
    old["schema_version"] = version
    (tmp_path / "findings.json").write_text(json.dumps(old))
    document = files.load(str(tmp_path / "findings.json"), SCHEMA)
    assert (document["schema_version"], document["locks"], document["outbreak"]["state"]) == (7, [], "not_proven")
    run = {"accounts_seen": 0, "asked": None, **old["run"]}
    assert document == {**finished(assessed()), "run": run, "open_points": old["open_points"]}


def test_the_page_says_whether_the_outbreak_has_ended():
    proofs = {"mx1": locked(LOST, "<i>@x", incident="<u>"), "mx2": locked(PROOF, "<i>@x")}
    done = finished(proved(assessed(accounts=()), proofs=proofs, queues={"mx1": {"failed": True, "msg": "<em>"}}))
    page = files.as_page(done, TEMPLATE)
    assert "Has the outbreak ended?" in page
    assert all(f"{row['number']}. {row['name']}</th>" in page for row in done["outbreak"]["conditions"])
    assert not any(tag in page for tag in ("<i>", "<em>", "<u>", "<b>"))
    assert "the lock&#39;s map is not first in submission:inet &lt;b&gt;" in page
    assert "&lt;i&gt;@x" in page
    for states, words in (
        ({"accounts": ()}, "No account is locked, and none stands out."),
        ({}, "An account stands out, and none is locked."),
        ({"accounts": (), "logs": {"mx1": LOG, "mx2": FAILED}}, "is not known of every host"),
    ):
        assert words in files.as_page(finished(proved(assessed(**states), proofs={"mx1": PROOF, "mx2": PROOF})), TEMPLATE)
    reinstated = stages.reinstate(stages.start("r1", "lab", "lock", False, NOW), USER, {"mx1": {"changed": True}}, NOW)
    assert "Has the outbreak ended?" not in files.as_page(finished(reinstated), TEMPLATE)


def test_a_reinstatement_and_one_that_failed():
    begun = stages.start("r1", "lab", "lock", False, NOW)
    assert finished(stages.reinstate(begun, USER, {"mx1": {"changed": True}}, NOW))["run"]["status"] == "clean"
    half = stages.reinstate(begun, USER, {"mx1": {"changed": True}, "mx2": {"failed": True, "msg": "down"}}, NOW)
    assert finished(half)["run"]["status"] == "findings"
    assert half["actions"][1]["result"] == "failed"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 65])
def test_a_run_has_a_plain_name(name):
    if name:
        with pytest.raises(stages.DocumentError, match="no name of a run"):
            stages.start(name, "lab", "lock", False, NOW)
    else:
        assert stages.start(name, "lab", "lock", False, NOW)["run"]["id"]


def test_the_page_escapes_what_strangers_wrote():
    document = stages.contain(assessed(rep=both(said(A))), [USER], {"mx1": LOCKED, "mx2": {"failed": True, "msg": "<i>"}}, NOW)
    page = files.as_page(finished(document), TEMPLATE)
    assert page.count("<script>") == 1, "the page's own"
    assert "&lt;script&gt;" in page
    assert "{{ 7 * 7 }} &lt;b&gt;" in page
    assert "not contained" in page


def test_findings_are_read_as_they_were_written(tmp_path):
    path = str(tmp_path / "r1/findings.json")
    files.write(path, files.as_json(finished(assessed())))
    assert files.load(path, SCHEMA) == finished(assessed())
    files.point_latest(str(tmp_path), "r1")
    files.point_latest(str(tmp_path), "r1")
    assert (tmp_path / "latest/findings.json").exists()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["latest", "r1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "holds no findings"),
        (json.dumps({"schema_version": 1}), "are wrong at"),
    ],
)
def test_a_findings_file_that_is_none_is_named(tmp_path, text, words):
    path = tmp_path / "findings.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(files.ReportError, match=words):
        files.load(str(path), SCHEMA)


def test_check_mode_makes_no_table(tmp_path):
    url = f"sqlite:///{tmp_path}/goodstanding.db"
    (tmp_path / "goodstanding.db").touch()
    assert database.open_existing(url) is None
    assert (tmp_path / "goodstanding.db").read_bytes() == b""
    database.open_store(url)
    assert database.open_existing(url) is not None


def test_runs_are_stored_and_replaced(tmp_path):
    engine = database.open_store(f"sqlite:///{tmp_path}/state/goodstanding.db")
    document = finished(stages.contain(assessed(), [USER], {"mx1": LOCKED, "mx2": LOCKED}, NOW))
    database.save_run(engine, document)
    database.save_run(engine, document)
    assert database.load_run(engine, "r1") == document
    assert database.load_run(engine, "r2") is None
    with engine.connect() as connection:
        assert len(connection.execute(database.ACTIONS.select()).all()) == len(document["actions"])
        assert len(connection.execute(database.FINDINGS.select()).all()) == len(document["open_points"])
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "url", ["nonsense", "postgresql+psycopg://gs:hunter2@127.0.0.1:1/x", "sqlite:////proc/nothing/x.db", "nosuchdb://u:hunter2@h/x"]
)
def test_a_store_that_cannot_be_opened_is_named_without_its_password(url):
    with pytest.raises(database.StoreError) as caught:
        database.open_store(url)
    assert "hunter2" not in str(caught.value)


SUSPECT = {**ACCOUNT, "account": "eve@alpha.test", "verdict": "suspect"}


def test_a_suspects_mail_is_held_and_somebody_has_to_look():
    document = assessed([ACCOUNT, SUSPECT, {**SUSPECT, "account": "uid:33@mx1"}])
    # One that is beyond the brake, or whose lock failed, is not let go for being worse.
    assert stages.to_hold(document, []) == [USER, "eve@alpha.test"]
    assert stages.to_hold(document, ["Eve@alpha.test"]) == [USER]
    held = {"state": "held", "since": NOW, "until": NOW + 3600, "messages": 4, "octets": 900, "incident": "r1"}
    results = {"mx1": {"changed": True, "holds": {"eve@alpha.test": held}}, "mx2": {"failed": True, "msg": "down"}}
    done = finished(stages.hold(document, results, NOW))
    row = next(row for row in done["accounts"] if row["account"] == "eve@alpha.test")
    assert (row["state"], row["held_messages"], row["hosts"][0]["detail"][:6]) == ("held", 4, "until ")
    assert [(act["host"], act["result"]) for act in done["actions"]] == [("mx1", "changed"), ("mx2", "failed")]
    assert [point["severity"] for point in done["open_points"] if "is held until then" in point["next_step"]] == ["warning"]


def test_what_nobody_logged_in_for_is_never_locked_and_told_how_to_be_stopped():
    others = [{**ACCOUNT, "account": name} for name in ("uid:0@mx1", "relay:internet@mx1", "relay:10.1.2.3@mx1")]
    document = assessed([*others, ACCOUNT])
    assert stages.to_lock(document, [], 5) == ([USER], [])
    steps = [point["next_step"] for point in finished(document)["open_points"] if point["severity"] == "critical"]
    words = ["A host needs this user", "mynetworks", "10.1.2.3"]
    assert [word in step for word, step in zip(words, steps)] == [True] * 3


@pytest.mark.parametrize("name", ["corp\\alice", "al ice", "root", "goodstanding-canary"])
def test_a_name_that_cannot_be_locked_keeps_no_other_from_being_locked(name):
    document = assessed([{**ACCOUNT, "account": name}, ACCOUNT])
    assert stages.to_lock(document, [], 5) == ([USER], [])
    assert stages.to_hold(document, []) == [USER]
    (point, _) = [point for point in finished(document)["open_points"] if point["severity"] == "critical"]
    assert (point["host"], point["next_step"][:23]) == (None, "No lock takes this name")


def test_a_local_user_is_locked_on_its_own_host_alone():
    script = "uid:33@mx1"
    document = assessed([{**ACCOUNT, "account": script}, ACCOUNT])
    assert stages.to_lock(document, [], 5) == ([script, USER], [])
    assert stages.to_lock(document, [script], 5) == ([USER], [])
    both_ = {"contained": True, "changed": True, "locked_at": {USER: NOW, "uid:33": NOW}, "held": {"uid:33": 4}}
    done = stages.contain(document, [script, USER], {"mx1": both_, "mx2": {**both_, "locked_at": {USER: NOW}}}, NOW)
    rows = {row["account"]: (row["state"], [entry["host"] for entry in row["hosts"]], row["held_messages"]) for row in done["accounts"]}
    assert rows == {script: ("locked", ["mx1"], 4), USER: ("locked", ["mx1", "mx2"], 0)}
    assert locks.is_locked(done, script)
    assert [row["account"] for row in done["locks"]] == [USER, script]


def test_other_causes_are_findings():
    cause = {"kind": "forward", "host": "mx1", "text": "mx1 forwards <b>", "next_step": "Filter.", "evidence": []}
    begun = stages.start("r1", "lab", "lock", False, NOW)
    done = stages.assess(begun, {"mx1": LOG}, {"accounts": [], "causes": [cause], "unknown_hosts": []})
    done = finished(stages.reputation(done, both(), None, NOW))
    assert (done["run"]["status"], [point["what"] for point in done["open_points"]]) == ("findings", ["mx1 forwards <b>"])
    assert "mx1 forwards &lt;b&gt;" in files.as_page(done, TEMPLATE)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans: what they hold, which are refused, and what makes one untrue."""

from __future__ import annotations

import json

import pytest
from goodstanding_src.library import run_plan
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.findings import plan as plans
from goodstanding_src.module_utils.goodstanding.findings.times import iso
from goodstanding_src.module_utils.goodstanding.report import redact
from goodstanding_src.module_utils.goodstanding.store import database
from goodstanding_src.module_utils.goodstanding.store import plans as ledger

NOW = 1_790_000_000.0
FLEET = {"mx1": "198.51.100.11", "mx2": "mx2"}
A, B, S = "a@alpha.test", "b@alpha.test", "s@alpha.test"
UID, RELAY = "uid:33@mx1", "relay:192.0.2.1@mx2"


def found(*accounts, plan=None):
    """The findings of mx1 and mx2 that name accounts, each (account, verdict)."""
    rows = [{"account": name, "verdict": word, "sentence": f"{name} \u202e sent", "signals": [], "evidence": []} for name, word in accounts]
    begun = stages.start("r1", "lab", "observe", False, NOW, plan)
    return stages.assess(
        begun, {"mx1": {}, "mx2": {}}, {"accounts": rows, "causes": [], "unknown_hosts": [{"host": "mx2", "reason": "down"}]}
    )


def compromised(*names):
    return found(*((name, "compromised") for name in names))


def make(document, never=(), most=5, hold=False, hours=6.0, plumbing=None):
    return plans.make(document, FLEET, plumbing or {}, plans.Terms(list(never), most, hold, hours), NOW)


def written(**changes):
    text = plans.as_text({**make(compromised(A)), **changes}).encode()
    return text, plans.digest(text)


def done(plan):
    return [(row["action"], row["account"], row["hosts"]) for row in plan["actions"]]


def left(plan):
    return {row["account"]: row["why"] for row in plan["left_out"]}


def test_what_is_done_and_what_is_left():
    document = found(
        (A, "compromised"), (B, "compromised"), (UID, "compromised"), (RELAY, "compromised"), (S, "suspect"), ("x@y", "exempt")
    )
    plan = make(document, never=[B.upper()])
    assert done(plan) == [("lock", A, ["mx1", "mx2"]), ("lock", UID, ["mx1"])]
    assert set(left(plan)) == {B, RELAY, S}
    assert left(plan)[B] == "it is in account_lock_never"
    assert "no lock takes this name" in left(plan)[RELAY]
    assert "(account_lock_hold would hold its mail)" in left(plan)[S]
    assert done(make(document, never=[B], hold=True))[2:] == [("hold", S, ["mx1", "mx2"])]


def test_the_brake_leaves_out_and_says_how_to_go_on():
    plan = make(compromised(A, B), most=1)
    assert done(plan) == [("lock", A, ["mx1", "mx2"])]
    assert "account_lock_max (1)" in left(plan)[B]
    assert done(make(compromised(A, B), most=1, hold=True))[1:] == [("hold", B, ["mx1", "mx2"])]


@pytest.mark.parametrize(("state", "planned"), [("present", []), ("damaged", [("lock", A, ["mx1", "mx2"])])])
def test_who_is_locked_everywhere_is_left_alone_unless_the_lock_lost_its_plumbing(state, planned):
    document = compromised(A)
    document["locks"] = [{"account": A, "hosts": [{"host": host, "locked_at": iso(NOW)} for host in FLEET]}]
    document["drift"] = [{"host": "mx1", "state": state, "why": "", "locks": [A]}] if state != "present" else []
    assert done(make(document)) == planned


def test_the_file_is_canonical_and_its_findings_can_be_proven():
    document = compromised(A)
    text = plans.as_text(make(document))
    assert text.isascii() and text == plans.as_text(json.loads(text))
    finished = stages.finish(document, [], 5, NOW + 9)
    assert make(document)["based_on"]["findings_sha256"] == plans.basis(finished) != plans.basis(compromised(B))


def test_the_lines_for_a_person_say_what_is_not_known_and_what_is_reloaded():
    document = compromised(A)
    plan = redact.redacted({**document, "plan": make(document, plumbing={"mx1": "present"})})["plan"]
    lines = plans.summary(plan, "f" * 64)
    assert lines[0] == "Plan " + "f" * 64
    assert lines[2].startswith("lock a…@alpha.test on mx1, mx2: ")
    assert lines[3] == "put the lock's plumbing in place on mx2, which reloads Postfix and Dovecot"
    assert lines[4] == "not all is known of mx2: see the report"
    assert plans.summary(make(found()), "f" * 64)[-1] == "nothing is to be done"


@pytest.mark.parametrize("hours", [0, -1, 25, float("nan"), float("inf")])
def test_a_plan_is_good_for_a_day_at_most(hours):
    with pytest.raises(ValueError, match="above 0 and up to 24"):
        make(found(), hours=hours)


def test_what_was_approved_is_taken_in():
    text, sha256 = written()
    assert plans.approved(text, f" {sha256.upper()}\n", FLEET, NOW) == json.loads(text)
    assert plans.carried(json.loads(text), sha256) == {
        "sha256": sha256, "run": "r1", "expires": iso(NOW + 6 * 3600), "lock": [A], "hold": []
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "now", "fleet", "words"),
    [
        ({}, NOW + 6 * 3600, FLEET, "is stale"),
        ({}, NOW - 301, FLEET, "of the future"),
        ({"expires": iso(NOW + 48 * 3600)}, NOW, FLEET, "24 at most"),
        ({"made": "2026-13-01T00:00:00.000000Z"}, NOW, FLEET, "times are none"),
        ({"plan_version": 2}, NOW, FLEET, "of version 2"),
        ({"run": "../x"}, NOW, FLEET, "wrong at run"),
        ({"more": 1}, NOW, FLEET, "wrong at its top"),
        ({"actions": [{"action": "purge", "account": A, "hosts": ["mx1"], "why": ""}]}, NOW, FLEET, "wrong at actions/0/action"),
        ({"actions": [{"action": "lock", "account": A, "hosts": ["mx3"], "why": ""}]}, NOW, FLEET, "not assessed: mx3"),
        ({}, NOW, {"mx1": "198.51.100.11"}, "gone: mx2"),
        ({}, NOW, {**FLEET, "mx3": "mx3"}, "not in the plan: mx3"),
        ({}, NOW, {**FLEET, "mx2": "192.0.2.9"}, "has another address: mx2"),
    ],
)
def test_what_is_stale_or_of_another_fleet_is_refused(changes, now, fleet, words):
    text, sha256 = written(**changes)
    with pytest.raises(plans.PlanError, match=words) as refused:
        plans.approved(text, sha256, fleet, now)
    assert A not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"no json", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff", "no JSON"),
        (b"[]", "of version None"),
        (b" " * (plans.MAX_SIZE + 1), "larger"),
    ],
)
def test_what_is_no_plan_is_named(text, words):
    with pytest.raises(plans.PlanError, match=words):
        plans.approved(text, plans.digest(text), FLEET, NOW)


def test_every_byte_counts():
    text, sha256 = written()
    for place in range(0, len(text), 97):
        other = text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :]
        with pytest.raises(plans.PlanError, match="not the plan that was approved"):
            plans.approved(other, sha256, FLEET, NOW)
    with pytest.raises(plans.PlanError, match="64 hexadecimal digits"):
        plans.approved(text, sha256[:-1], FLEET, NOW)


@pytest.mark.parametrize(
    ("now_found", "never", "when", "words"),
    [
        ([(A, "compromised"), (S, "suspect"), (B, "compromised")], [], NOW, []),
        ([(A, "compromised"), (S, "compromised")], [], NOW, []),
        ([(A, "suspect"), (S, "suspect")], [], NOW, [f"{A} was compromised and is suspect now"]),
        ([(A, "compromised")], [], NOW, [f"{S} was suspect and does not stand out any more"]),
        ([(A, "compromised"), (S, "suspect")], [A.upper()], NOW, [f"{A} is in account_lock_never now"]),
        ([(A, "compromised"), (S, "suspect")], [], NOW + 1e5, [f"the plan expired at {iso(NOW + 9)}"]),
    ],
)
def test_what_is_no_longer_true(now_found, never, when, words):
    plan = {"sha256": "f" * 64, "run": "r0", "expires": iso(NOW + 9), "lock": [A], "hold": [S]}
    assert plans.contradictions(found(*now_found, plan=plan), never, when) == words


def test_a_run_does_what_its_plan_says_and_names_the_rest():
    plan = {"sha256": "f" * 64, "run": "r0", "expires": iso(NOW + 9), "lock": [A], "hold": [S]}
    document = found((A, "compromised"), (B, "compromised"), (S, "suspect"), ("t@alpha.test", "suspect"), plan=plan)
    assert stages.to_lock(document, [], 0) == ([A], [])
    assert stages.to_hold(document, []) == [S]
    points = {point["what"]: point["next_step"] for point in stages.open_points(document, [], 5)}
    assert "approve that plan" in points[f"{B} was broken into and is not locked (it is not in the plan of run r0)"]
    assert not plans.fulfilled(document)
    result = {"contained": True, "locked_at": {A: NOW}, "faults": []}
    assert plans.fulfilled(stages.contain(document, [A], {"mx1": result, "mx2": result}, NOW))
    assert not plans.fulfilled(stages.contain(document, [A], {"mx1": result, "mx2": {"failed": True}}, NOW))
    done = stages.contain(document, [A], {"mx1": result, "mx2": result}, NOW)
    held = {**done["actions"][0], "action": "hold", "result": "failed"}
    assert not plans.fulfilled({**done, "actions": [*done["actions"], held]}), "a hold that failed is to be tried again"


def test_the_store_knows_which_plans_were_carried_out(tmp_path):
    engine = database.open_store(f"sqlite:///{tmp_path}/store.db")
    assert ledger.known(engine, "f" * 64) is None
    assert ledger.begin(engine, "f" * 64, "r1", NOW) is None
    ledger.end(engine, "f" * 64, "r2", NOW)
    assert ledger.known(engine, "f" * 64) == ("r1", iso(NOW), None), "another run ends nothing"
    assert ledger.begin(engine, "f" * 64, "r2", NOW + 1) == ("r1", iso(NOW), None)
    ledger.end(engine, "f" * 64, "r2", NOW + 2)
    assert ledger.begin(engine, "f" * 64, "r3", NOW + 3) == ledger.known(engine, "f" * 64) == ("r2", iso(NOW), iso(NOW + 2))


def test_check_mode_uses_no_plan_up_and_a_plan_is_used_up_once(tmp_path):
    text, sha256 = written()
    (tmp_path / "plan.json").write_bytes(text)
    store = tmp_path / "store.db"
    given = {
        "path": str(tmp_path / "plan.json"),
        "sha256": sha256,
        "fleet": FLEET,
        "never": [],
        "redact": True,
        "state_url": f"sqlite:///{store}",
    }
    opened = run_plan.open_approved(given, True, NOW)
    begun = {**given, "findings": found((A, "compromised"), plan=opened["plan"])}
    run_plan.begin(begun, True, NOW)
    assert not store.exists()
    run_plan.begin(begun, False, NOW)
    assert "run r1 began it" in run_plan.open_approved(given, False, NOW)["told"][1]
    ledger.end(database.open_store(given["state_url"]), sha256, "r1", NOW)
    for again in (lambda: run_plan.open_approved(given, True, NOW), lambda: run_plan.begin(begun, False, NOW)):
        with pytest.raises(plans.PlanError, match="was carried out by run r1"):
            again()
    with pytest.raises(plans.PlanError, match=r"a…@alpha\.test was compromised and does not stand out any more") as refused:
        run_plan.begin({**given, "findings": found(plan=opened["plan"])}, False, NOW)
    assert A not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("+jane@gmail.com REJECT", "+somebody@… REJECT"),
        ('item={"account": "jane@gmail.com"}', 'item={"account": "somebody@…"}'),
        ("m…@alpha.test on uid:33@mx1, relay:192.0.2.1@mx2", "m…@alpha.test on uid:33@mx1, relay:192.0.2.1@mx2"),
        ("uid:jane@gmail.com. <a@b>, @cert-authority", "somebody@…. <somebody@…>, @cert-authority"),
    ],
)
def test_a_line_of_a_log_has_nobodys_address(line, shown):
    assert redact.line(line) == shown


HELD = {"changed": True, "holds": {B: {"state": "held", "until": NOW, "messages": 7}}}


@pytest.mark.parametrize(("result", "told", "whole"), [(HELD, "changed", True), ({"failed": True, "msg": "no disk"}, "failed", False)])
def test_the_hold_of_a_compromised_account_is_told_and_makes_no_lock_of_it(result, told, whole):
    carried = {"sha256": "f" * 64, "run": "r0", "expires": iso(NOW + 60), "lock": [A], "hold": [B]}
    document = found((A, "compromised"), (B, "compromised"), plan=carried)
    locked = {"contained": True, "locked_at": {A: NOW}, "faults": []}
    document = stages.contain(document, [A], {"mx1": locked, "mx2": locked}, NOW)
    document = stages.hold(document, {"mx1": result}, NOW, stages.to_hold(document, []))
    assert [(row["account"], row["result"]) for row in document["actions"] if row["action"] == "hold"] == [
        (B if told == "changed" else None, told)
    ]
    assert {row["account"]: row["state"] for row in document["accounts"]} == {A: "locked", B: "open"}
    assert plans.fulfilled(document) is whole


def test_who_approves_reads_whom_the_brake_leaves_out_also_where_its_mail_is_held():
    plan = make(compromised(A, B), most=1, hold=True)
    assert [(action, account) for action, account, _ in done(plan)] == [("lock", A), ("hold", B)]
    assert "the brake account_lock_max (1) leaves it out" in left(plan)[B]


def test_a_plan_of_the_largest_fleet_can_be_carried_out():
    fleet = {f"mx{number:05}.example.test": "198.51.100.1" for number in range(10_000)}
    accounts = [{"account": f"u{n}@a.test", "verdict": "compromised", "sentence": "s", "signals": [], "evidence": []} for n in range(9)]
    document = stages.start("r1", "lab", "observe", False, NOW)
    document = stages.assess(document, {host: {} for host in fleet}, {"accounts": accounts, "causes": [], "unknown_hosts": []})
    text = plans.as_text(plans.make(document, fleet, {}, plans.Terms([], 9, False, 6.0), NOW)).encode()
    assert len(plans.approved(text, plans.digest(text), fleet, NOW)["actions"]) == 9


def test_a_plan_that_would_be_refused_for_its_size_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "MAX_SIZE", 100)
    given = {"findings": compromised(A), "fleet": FLEET, "proofs": {}, "never": [], "max_locks": 5, "hold": False, "valid_hours": 6.0}
    with pytest.raises(plans.PlanError, match="choose hosts with -e target=GROUP"):
        run_plan.make({**given, "redact": True, "path": str(tmp_path / "plan.json")}, NOW)
    assert list(tmp_path.iterdir()) == []

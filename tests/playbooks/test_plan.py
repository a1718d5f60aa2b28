# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan from its assessment to its end: what is approved is done and nothing else, and what is not as approved touches no host."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.findings import plan as plans

ROOT = Path(__file__).resolve().parents[2]

A, B = "a@alpha.test", "b@alpha.test"
LOG = {
    "changed": False,
    "source": {"kind": "file", "paths": []}, "span": {"first": 1.0, "last": 2.0, "since": 1.0}, "complete": True, "gaps": [],
    "accounts": {}, "since": {}, "refusals": [], "refusals_since": None, "clock_skew": 0.0,
}  # fmt: skip
LOCK = f"mail_account_lock {A}"


def verdict(*accounts):
    rows = [
        {"account": name, "verdict": word, "sentence": f"{name} sent 1,080 recipients", "signals": [], "evidence": []}
        for name, word in accounts
    ]
    return {"changed": False, "accounts": rows, "causes": [], "unknown_hosts": []}


@pytest.fixture
def stage(play, monkeypatch):
    """Return what runs assess or remediate where the logs name these accounts: (exit code, calls that lock, output)."""
    monkeypatch.delenv("CI", raising=False)

    def run(playbook, *accounts, played=None, **given):
        answers = {"mail_log_info": LOG, "abuse_verdict_info": verdict(*accounts), "rate_limit_info": {"failed": True, "msg": "none"}}
        code, calls, output = play(playbook, played={**answers, **(played or {})}, assess_lists=False, reputation_lists=[], **given)
        return code, calls, " ".join(output.split())

    return run


@pytest.fixture
def approved(tmp_path):
    """Return the file of a plan that locks A, and its SHA-256."""
    document = stages.assess(stages.start("r1", "lab", "observe", False, 1.0), {"mx1": {}, "mx2": {}}, verdict((A, "compromised")))
    text = plans.as_text(plans.make(document, {"mx1": "mx1", "mx2": "mx2"}, {}, plans.Terms([], 5, False, 6.0), time.time()))
    path = tmp_path / "approved.json"
    path.write_text(text)
    return path, hashlib.sha256(text.encode()).hexdigest()


def refusal(folder):
    return (folder / "refused").read_text()


def test_an_assessment_writes_a_plan_and_says_it_without_names(stage, tmp_path):
    code, calls, output = stage("assess", (A, "compromised"), (B, "suspect"), goodstanding_run_id="r1")
    assert (code, calls) == (0, []), output
    path = tmp_path / "r1/plan.json"
    plan, sha256 = json.loads(path.read_text()), hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_mode & 0o777 == 0o600
    assert plan["actions"] == [{"action": "lock", "account": A, "hosts": ["mx1", "mx2"], "why": f"{A} sent 1,080 recipients"}]
    assert [(row["account"], "only suspected" in row["why"]) for row in plan["left_out"]] == [(B, True)]
    assert f"-e plan={path} -e plan_sha256={sha256}" in output
    summary = path.with_suffix(".md").read_text()
    assert sha256 in summary
    for text in (output, summary):
        assert "lock a…@alpha.test on mx1, mx2: a…@alpha.test sent 1,080 recipients" in text.replace("\\", "").replace("\u2060", "")
        assert A not in text and B not in text


def test_what_was_approved_is_done_to_its_end_once_and_nothing_else(stage, approved, tmp_path):
    path, sha256 = approved
    both = ((A, "compromised"), (B, "compromised"))
    given = {"plan": str(path), "plan_sha256": sha256, "containment_mode": "observe"}
    down = {"mail_account_lock": {"failed": True, "msg": "no disk"}}
    stage("remediate", *both, played=down, **given, goodstanding_run_id="r2")
    assert json.loads((tmp_path / "r2/report.json").read_text())["run"]["status"] == "not_contained"
    code, calls, output = stage("remediate", *both, **given, goodstanding_run_id="r3")
    assert (code, set(calls)) == (0, {LOCK}), output
    assert "run r2 began it" in output
    report = json.loads((tmp_path / "r3/report.json").read_text())
    assert (report["run"]["mode"], report["run"]["plan"]["sha256"]) == ("lock", sha256)
    assert {row["account"]: row["state"] for row in report["accounts"]} == {A: "locked", B: "open"}
    assert [point["what"] for point in report["open_points"] if "not in the plan of run r1" in point["what"]]
    code, again, output = stage("remediate", *both, **given, goodstanding_run_id="r4")
    assert (code, again) == (2, calls), output
    assert "was carried out by run r3" in refusal(tmp_path / "r4")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"plan_sha256": "0" * 64}, "not the plan that was approved"),
        ({"plan_sha256": ""}, "give both"),
        ({"plan": "/does/not/exist"}, "cannot be read (No such file or directory)"),
        ({"target": "some"}, "of another fleet (gone: mx2)"),
        ({"ansible_host": "192.0.2.7"}, "has another address: mx1, mx2"),
    ],
)
def test_what_is_not_as_approved_touches_no_host(stage, approved, tmp_path, given, words):
    path, sha256 = approved
    code, calls, output = stage(
        "remediate", (A, "compromised"), **{"plan": str(path), "plan_sha256": sha256, "goodstanding_run_id": "r2", **given}
    )
    assert (code, calls) == (2, []), output
    assert words in refusal(tmp_path / "r2")
    assert A not in refusal(tmp_path / "r2")


def test_complaints_speak_against_an_account_also_where_the_lists_are_asked_later(stage, approved, tmp_path):
    path, sha256 = approved
    read = {"changed": False, "reports": [], "unreadable": [], "unreadable_total": 0, "other": 7, "message_ids": ["x@alpha.test"]}
    played = {"feedback_report_info": read}
    given = {"plan": str(path), "plan_sha256": sha256, "reputation_feedback_mailbox": {"path": "/mail/fbl"}}
    code, calls, output = stage("remediate", (A, "compromised"), played=played, **given)
    assert (code, set(calls)) == (0, {LOCK}), output
    rows = [json.loads(line) for line in (tmp_path / "log.arguments").read_text().splitlines()]
    (judged,) = [given["reputation"] for name, given in rows if name == "abuse_verdict_info"]
    assert {host: result["other"] for host, result in judged["complaints"].items()} == {"mx1": 7, "mx2": 7}
    assert [name for name, _ in rows].count("feedback_report_info") == 4, "read once by each host, and looked for once in each log"


def test_a_mailbox_that_is_set_wrongly_keeps_no_account_open(stage, approved):
    path, sha256 = approved
    given = {"plan": str(path), "plan_sha256": sha256, "reputation_feedback_mailbox": "/mail/fbl"}
    _, calls, output = stage("remediate", (A, "compromised"), **given)
    assert set(calls) == {LOCK}, output


def test_what_is_too_long_for_a_log_is_said_to_go_on(stage, tmp_path):
    many = [(f"u{number}@alpha.test", "compromised") for number in range(60)]
    _, _, output = stage("assess", *many, account_lock_max=60, goodstanding_run_id="r1")
    assert f"and 12 more lines: {tmp_path}/r1/plan.md has all" in output
    assert f"remediate.yml -i {tmp_path}/hosts.json -e plan=" in output


def test_one_byte_more_is_another_plan(stage, approved, tmp_path):
    path, sha256 = approved
    path.write_bytes(path.read_bytes() + b" ")
    code, calls, output = stage("remediate", (A, "compromised"), plan=str(path), plan_sha256=sha256, goodstanding_run_id="r2")
    assert (code, calls) == (2, []), output
    assert "not the plan that was approved" in refusal(tmp_path / "r2")
    assert "Count what each account sent" not in output, "a host was touched"


def test_a_plan_that_is_no_longer_true_is_refused_whole(stage, approved, tmp_path):
    path, sha256 = approved
    code, calls, output = stage("remediate", (A, "suspect"), plan=str(path), plan_sha256=sha256, goodstanding_run_id="r2")
    assert (code, calls) == (2, []), output
    assert "a…@alpha.test was compromised and is suspect now" in refusal(tmp_path / "r2")


def test_a_runner_whose_disk_does_not_last_cannot_know_what_was_done():
    clean = {name: value for name, value in os.environ.items() if name != "GOODSTANDING_STATE_URL"}
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "playbooks/remediate.yml", "-e", "plan=plan.json"]
    done = subprocess.run(
        command, env={**clean, "CI": "true"}, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2, done.stdout
    assert "it could be carried out twice" in " ".join(done.stdout.split())

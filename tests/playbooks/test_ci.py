# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflows of docs/ci, step by step, with the hosts' modules played; SOPS, the certificate and the store are real."""

from __future__ import annotations

import configparser
import json
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/servers"), str(Path(__file__).parent)]
from ci_runners import FORMS, Runner, tamper  # noqa: E402  a folder of tests, no package
from conftest import write_played  # noqa: E402
from test_plan import LOCK, LOG, A, B, verdict  # noqa: E402


@pytest.fixture(params=FORMS)
def pipeline(request, tmp_path):
    """Return a pipeline, and what tells which calls locked, and lets the logs name other accounts."""
    answers = {"mail_log_info": LOG, "rate_limit_info": {"failed": True, "msg": "none"}}

    def found(*accounts, **played):
        return write_played(tmp_path, {**answers, "abuse_verdict_info": verdict(*accounts), **played})

    environment = found((A, "compromised"))
    (tmp_path / "fleet").mkdir()
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    given = {"ansible_become": False, "reputation_lists": [], "containment_mode": "observe"}
    hosts = {"all": {"vars": given, "children": {"mail_servers": {"hosts": {"mx1": here, "mx2": here}}}}}
    (tmp_path / "fleet/hosts.yml").write_text(json.dumps(hosts))
    state = {"GOODSTANDING_STATE_URL": f"sqlite:///{tmp_path}/store.db"}

    def calls():
        log = tmp_path / "log"
        return {line for line in log.read_text().splitlines() if line.startswith("mail_account_")} if log.exists() else set()

    return Runner(request.param, tmp_path / "ci", tmp_path / "fleet", state, environment=environment), calls, found


def test_plan_approve_apply(pipeline):
    runner, calls, found = pipeline
    assessed = runner.job("assess")
    assert assessed.code == 0, assessed.log
    assert calls() == set()
    assert "an SSH certificate for deploy" in assessed.log
    assert f"-e plan_sha256={runner.outputs['assess']['plan_sha256' if runner.form == 'github' else 'PLAN_SHA256']}" in assessed.log
    shown = assessed.summary.replace("\\", "").replace("\u2060", "")
    assert "lock a…@alpha.test on mx1, mx2" in shown

    good = runner.plan.read_bytes()
    tamper(runner.plan)
    assert sum(one != other for one, other in zip(good, runner.plan.read_bytes(), strict=True)) == 1
    refused = runner.job("remediate")
    assert (refused.code, calls()) == (5, set()), refused.log
    assert "nothing was done: this is not the plan that was approved" in refused.log

    runner.plan.write_bytes(good)
    found((A, "compromised"), (B, "compromised"))
    applied = runner.job("remediate")
    assert (applied.code, calls()) == (0, {LOCK}), applied.log
    for done in (assessed, refused, applied):
        assert A not in done.log + done.summary and B not in done.log + done.summary
        assert runner.age_key not in done.log and "PRIVATE KEY" not in done.log

    again = runner.job("remediate")
    assert again.code == 5, again.log
    assert "was carried out by run" in again.log


@pytest.mark.parametrize("form", FORMS)
def test_a_connection_differs_from_that_of_a_terminal_by_how_long_it_stays_alone(form):
    config = configparser.ConfigParser()
    config.read(ROOT / "ansible.cfg")
    workflow = yaml.safe_load((ROOT / f"docs/ci/{form}/goodstanding.yml").read_text())
    given = workflow["env" if form == "github" else "variables"]["ANSIBLE_SSH_ARGS"]
    assert given == config["ssh_connection"]["ssh_args"].replace("ControlPersist=300s", "ControlPersist=5s") != ""


def test_what_no_plan_mends_is_red(pipeline):
    """An account that was locked, that nobody uses now, and of which the lock's plumbing is gone: nothing keeps it out."""
    runner, _, found = pipeline
    gone = {"locks": {A: {"incident": "r0", "locked_at": 1.0}}, "plumbing": {"state": "absent", "unguarded": []}, "sessions": {}}
    found(mail_lock_info=gone)
    assessed = runner.job("assess")
    assert (assessed.code, json.loads(runner.plan.read_text())["actions"]) == (3, []), assessed.log
    if runner.form == "github":
        assert A not in assessed.summary, "the report is handed on all the same"


def test_nothing_to_do_asks_nobody(pipeline):
    runner, _, found = pipeline
    found()
    assert runner.job("assess").code == 0
    assert (
        "nothing is to be done" in runner.plan.with_name("plan.md").read_text()
        if runner.form == "gitlab"
        else runner.job("remediate") is None
    )

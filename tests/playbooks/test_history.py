# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/history.yml as a person runs it, and what a runner is told whose store does not last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from goodstanding_src.module_utils.goodstanding.findings.times import iso
from goodstanding_src.module_utils.goodstanding.store import cases, database, incidents, observations

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/unit/delisting")]
import verified  # noqa: E402  a folder of tests, no package


@pytest.fixture
def recorded(play, tmp_path):
    """Return what runs a playbook behind a report that was written down: (exit code, its output as one line)."""
    document = verified.findings(verified.observation())
    document["run"]["started"] = verified.iso(time.time())
    document["actions"] = [
        {
            "time": iso(time.time()),
            "host": "mx1",
            "account": "mallory@example.com",
            "action": "lock",
            "result": "changed",
            "detail": "{{ 7 * 7 }}",
        }
    ]
    (tmp_path / "found.json").write_text(json.dumps(document))
    code, _, output = play("report", findings=str(tmp_path / "found.json"), goodstanding_by="jane")
    assert code == 0, output

    def run(playbook="history", **given):
        code, _, output = play(playbook, **given)
        return code, " ".join(output.replace('"', "").split())

    return run


def test_the_history_of_an_account_is_told(recorded):
    code, said = recorded(subject="mallory@example.com")
    assert code == 0, said
    assert "mallory@example.com: broken into 1 time since 2026-" in said
    assert "mx1: lock mallory@example.com: {{ 7 * 7 }} [r1, jane]" in said
    assert "was found broken into [r1, jane]" in said


def test_a_name_that_is_missing_or_unknown_is_said(recorded):
    code, said = recorded()
    assert code == 2
    assert "name what to tell of: an address" in said
    code, said = recorded(subject="192.0.2.77")
    assert code == 0
    assert "The ledger knows nothing of 192.0.2.77." in said


def test_without_a_store_it_says_what_makes_one_and_makes_none(play, tmp_path):
    code, _, output = play("history", subject="192.0.2.77")
    assert code == 2
    assert "the next run that assesses makes it" in output
    assert not (tmp_path / "store.db").exists()


@pytest.mark.parametrize(("days", "kept"), [(None, False), (0, True)])
def test_a_report_takes_out_what_names_people_after_its_time(recorded, tmp_path, days, kept):
    old = verified.findings()
    old["run"].update(id="old", started=iso(time.time() - 40 * 86400))
    engine = database.open_store(f"sqlite:///{tmp_path}/store.db")
    database.save_run(engine, old)
    given = {} if days is None else {"goodstanding_retention_days": days}
    code, said = recorded("report", findings=str(tmp_path / "found.json"), **given)
    assert code == 0, said
    assert (database.load_run(engine, "old") is not None) is kept
    engine.dispose()


def test_a_store_that_a_later_clock_wrote_is_told_and_the_run_goes_on(recorded, tmp_path):
    engine = database.open_store(f"sqlite:///{tmp_path}/store.db")
    with engine.begin() as connection:
        connection.execute(sa.insert(observations.SUBJECTS).values(subject="192.0.2.1", first="x", last=iso(time.time() + 86400)))
        connection.execute(sa.delete(incidents.INCIDENTS))
    code, said = recorded("report", findings=str(tmp_path / "found.json"))
    assert code == 0, said
    assert "the clock was set back by 86" in said
    assert cases.export(engine)["incidents"] == []
    engine.dispose()


ELSE = {"delist": "it would be asked twice", "rotate_dkim": "new ones would be made each time"}


@pytest.mark.parametrize("playbook", sorted(ELSE))
def test_a_runner_whose_disk_does_not_last_may_neither_rotate_nor_delist_and_is_told_why(playbook):
    clean = {name: value for name, value in os.environ.items() if name != "GOODSTANDING_STATE_URL"}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", f"playbooks/{playbook}.yml"]
    variables = json.dumps({"target": "localhost", "ansible_connection": "local", "ansible_become": False})
    done = subprocess.run(
        [*command, "-e", variables],
        env={**clean, "CI": "true"}, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, said
    assert "This runner's disk does not last (CI is set): nobody would know tomorrow" in said
    assert f"{ELSE[playbook]}. Name a database that lasts in goodstanding_state_url" in said
    assert "Assessments need none." in said

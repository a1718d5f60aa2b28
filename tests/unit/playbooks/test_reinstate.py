# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the playbook unlocks and where, with the hosts' modules played."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULE = """#!/usr/bin/python
# WANT_JSON
import json, sys
arguments = json.load(open(sys.argv[1]))
with open({log!r}, "a") as file:
    file.write({name!r} + " " + ",".join(arguments.get("accounts", [])) + "\\n")
print(json.dumps({answer!r}))
"""
ANSWERS = {
    "mail_account_lock": {"changed": True, "contained": None, "faults": [], "locked_at": {}},
    "mail_lock_info": {"changed": False, "locks": {}, "plumbing": {"state": "present", "unguarded": []}, "sessions": {}},
    "mail_persistence_info": {"changed": False, "findings": [], "unreviewed": {}, "unknown": [], "inventoried": []},
}


@pytest.fixture
def reinstate(tmp_path):
    """Return what reinstates an account on mx1 and mx2: (exit code, calls of modules, output)."""

    def run(account):
        log = tmp_path / "log"
        (tmp_path / "library").mkdir()
        for name, answer in ANSWERS.items():
            (tmp_path / "library" / f"{name}.py").write_text(MODULE.format(log=str(log), name=name, answer=answer))
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        hosts = {"mx1": here, "mx2": here}
        (tmp_path / "hosts.json").write_text(json.dumps({"mail_servers": {"hosts": hosts, "vars": {"ansible_become": False}}}))
        given = {"account": account, "password_changed": "by phone", "app_passwords": "none", "report_directory": str(tmp_path / "reports")}
        given["goodstanding_state_url"] = f"sqlite:///{tmp_path}/store.db"
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts.json"), "playbooks/reinstate.yml"]
        environment = {**os.environ, "ANSIBLE_LIBRARY": f"{tmp_path}/library:{ROOT}/library"}
        done = subprocess.run(
            [*command, "-e", json.dumps(given)],
            env=environment, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        calls = log.read_text().splitlines() if log.exists() else []
        return done.returncode, [call for call in calls if call.startswith("mail_account_lock")], done.stdout + done.stderr

    return run


def test_a_login_is_let_in_on_every_host(reinstate):
    code, calls, output = reinstate("a@alpha.test")
    assert (code, calls) == (0, ["mail_account_lock a@alpha.test"] * 2), output


def test_a_local_user_is_let_in_on_its_own_host_as_the_report_names_it(reinstate):
    code, calls, output = reinstate("uid:33@mx2")
    assert (code, calls) == (0, ["mail_account_lock uid:33"]), output


def test_a_local_user_of_a_host_that_is_not_there_is_named(reinstate):
    code, calls, output = reinstate("uid:33@mx3")
    assert (code, calls) == (2, [])
    assert "uid:33@mx3 is a user of a host that is not in the group" in output

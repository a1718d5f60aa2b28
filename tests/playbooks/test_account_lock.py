# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of the role's tasks, with its modules played: what runs although another task failed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = """#!/usr/bin/python
# WANT_JSON
import json, sys
arguments = json.load(open(sys.argv[1]))
with open({log!r}, "a") as file:
    file.write({name!r} + " " + str(arguments.get("phase", arguments.get("state", ""))) + "\\n")
print(json.dumps({answer!r}))
"""
DONE = {"changed": False, "contained": True, "faults": [], "locked_at": {}, "sessions_closed": 0, "sessions_remaining": 0}

DOWN = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_common_args": "-F none -o BatchMode=yes"}


@pytest.fixture
def play(tmp_path):
    """Return what runs tasks of the role with these answers of its modules: (calls of modules, variables of the host after it)."""

    if shutil.which("postconf", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"):
        pytest.skip("the role would install packages for this machine's own Postfix")

    def run(tasks, answers, connection="local", **variables):
        library, log = tmp_path / "library", tmp_path / "log"
        library.mkdir()
        for name, answer in answers.items():
            (library / f"{name}.py").write_text(MODULE.format(log=str(log), name=name, answer=answer))
        keep = {
            "ansible.builtin.copy": {
                "content": "{{ account_lock_result | default(account_lock_backends_result) }}",
                "dest": str(tmp_path / "result"),
                "mode": "0600",
            }
        }
        keep |= {"delegate_to": "localhost", "vars": {"ansible_connection": "local"}}
        roles = [{"ansible.builtin.include_role": {"name": "account_lock", "tasks_from": name}} for name in tasks]
        book = [{"hosts": "mx", "gather_facts": False, "ignore_unreachable": True, "vars": variables, "tasks": [*roles, keep]}]
        (tmp_path / "play.yml").write_text(json.dumps(book))
        environment = {
            **os.environ,
            "ANSIBLE_LIBRARY": str(library),
            "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "mx,", "-c", connection, str(tmp_path / "play.yml")]
        command += ["-e", json.dumps({"ansible_python_interpreter": sys.executable})]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr
        return log.read_text().splitlines() if log.exists() else [], json.loads((tmp_path / "result").read_text())

    return run


def test_accounts_are_stopped_also_where_the_plumbing_cannot_be_repaired(play):
    calls, result = play(
        ["lock", "finish"],
        {
            "mail_lock_plumbing": {"failed": True, "msg": "the trial failed"},
            "mail_account_lock": {**DONE, "contained": False, "faults": ["no map is first in 2525/inet"]},
            "mail_queue": {"changed": False, "held": {}, "moved": 0},
        },
        account_lock_accounts=["a@x"],
    )
    assert calls == ["mail_lock_plumbing present", "mail_account_lock stop", "mail_account_lock finish", "mail_queue held"]
    assert result["contained"] is False
    assert result["faults"] == ["the trial failed", "no map is first in 2525/inet"]


def test_a_host_that_is_down_is_told_by_what_the_connection_said(play):
    modules = dict.fromkeys(("mail_lock_plumbing", "mail_account_lock", "mail_queue", "mail_lock_info"), "")
    calls, result = play(["lock", "end"], modules, connection="ssh", account_lock_accounts=["a@x"], **DOWN)
    assert (calls, result["failed"]) == ([], True)
    assert "port 1: Connection refused" in result["msg"]
    assert "attribute" not in result["msg"]


def test_an_account_whose_new_password_did_not_reach_the_host_stays_locked_there(play, tmp_path):
    (tmp_path / "new").write_text("secret")
    given = {
        "account_lock_accounts": ["a@x"],
        "account_lock_password_command": ["true"],
        "account_lock_password_file": str(tmp_path / "new"),
    }
    result = play(["password"], {}, connection="ssh", **given, **DOWN)[1]
    assert (result["failed"], "could not be reached" in result["msg"]) == (True, True)


def test_a_backend_whose_host_is_down_is_told_by_what_the_connection_said(play):
    backend = {"name": "accounts", "type": "sqlite", "database": "/nowhere"}
    given = {"account_lock_accounts": ["a@x"], "account_lock_backends_here": [backend]}
    result = play(["backend"], {"mail_account_backend": ""}, connection="ssh", **given, **DOWN)[1]
    assert result["failed"] is True
    assert result["msg"].startswith("mx: ")
    assert "port 1: Connection refused" in result["msg"]

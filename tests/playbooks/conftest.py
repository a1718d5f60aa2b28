# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a playbook on mx1 and mx2 with the hosts' modules played."""

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
    file.write({name!r} + " " + ",".join(arguments.get("accounts", [])) + "\\n")
with open({log!r} + ".arguments", "a") as file:
    file.write(json.dumps([{name!r}, arguments]) + "\\n")
print(json.dumps({answer!r}))
"""
ANSWERS = {
    "mail_account_lock": {"changed": True, "contained": True, "faults": [], "locked_at": {"a@alpha.test": 1.0}, "sessions_remaining": 0},
    "mail_account_backend": {"changed": True, "accounts": ["a@alpha.test"], "refused": {}, "missing": [], "delivery": {}},
    "mail_lock_plumbing": {"changed": False},
    "mail_queue": {"changed": False, "held": {}, "moved": 0},
    "mail_lock_info": {"changed": False, "locks": {}, "plumbing": {"state": "present", "unguarded": []}, "sessions": {}},
    "mail_persistence_info": {"changed": False, "findings": [], "unreviewed": {}, "unknown": [], "inventoried": []},
}


def write_played(folder, played):
    """Write modules that answer as they are played and log that they were called; return the environment in which Ansible finds them."""
    (folder / "library").mkdir(exist_ok=True)
    for name, answer in {**ANSWERS, **played}.items():
        (folder / "library" / f"{name}.py").write_text(MODULE.format(log=str(folder / "log"), name=name, answer=answer))
    return {"ANSIBLE_LIBRARY": f"{folder}/library:{ROOT}/library"}


@pytest.fixture
def play(tmp_path):
    """Return what runs a playbook with variables: (exit code, calls that lock or unlock, output); its findings are in tmp_path. played:
    what other modules answer; check: whether in check mode."""

    if shutil.which("postconf", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"):
        pytest.skip("the role would install packages for this machine's own Postfix")

    def run(playbook, played=None, check=False, **given):
        log = tmp_path / "log"
        environment = {**os.environ, **write_played(tmp_path, played or {})}
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        hosts = {"mx1": here, "mx2": here}
        (tmp_path / "hosts.json").write_text(
            json.dumps({"mail_servers": {"hosts": hosts, "vars": {"ansible_become": False}}, "some": {"hosts": {"mx1": {}}}})
        )
        given |= {"report_directory": str(tmp_path), "goodstanding_state_url": f"sqlite:///{tmp_path}/store.db"}
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts.json"), f"playbooks/{playbook}.yml"]
        done = subprocess.run(
            [*command, "-e", json.dumps(given), *(["--check"] if check else [])],
            env=environment, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        calls = log.read_text().splitlines() if log.exists() else []
        return done.returncode, [call for call in calls if call.startswith("mail_account_")], done.stdout + done.stderr

    return run

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role dkim by itself: its keys, then what signs; and its way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from conftest import ROOT, write_played

PLAYED = {"dkim_key": {"changed": True, "keys": [{"record": "v=DKIM1; p=eA=="}]}, "dkim_signing": {"changed": True, "probes": []}}
SIGNING = [{"domain": "a.test", "selectors": ["s1"]}]


@pytest.mark.parametrize(("part", "called"), [("main", ["dkim_key", "dkim_signing"]), ("absent", ["dkim_signing"])])
def test_the_role_makes_keys_signs_and_goes_out_again(tmp_path, part, called):
    role = {"ansible.builtin.include_role": {"name": "dkim", "tasks_from": part}}
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [role]}]
    (tmp_path / "play.json").write_text(json.dumps(play))
    old = [{"domain": "b.test", "selector": "old", "state": "retired"}]
    given = {"dkim_domains": ["a.test"], "dkim_keys": old, "dkim_signing": SIGNING,
             "ansible_python_interpreter": sys.executable, "dkim_signer": "rspamd"}  # fmt: skip
    environment = {**os.environ, **write_played(tmp_path, PLAYED), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", "localhost,", str(tmp_path / "play.json"), "-e", json.dumps(given)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in (tmp_path / "log.arguments").read_text().splitlines()]
    assert [name for name, _ in rows] == called
    assert rows[-1][1].get("state", "present") == ("absent" if part == "absent" else "present")
    assert part == "absent" or (rows[0][1]["keys"], rows[1][1]["signing"]) == (old, SIGNING)

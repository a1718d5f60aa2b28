# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""script/run's exit code where a playbook writes no report: done, broken, or one that should have written it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PLAY = """- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.assert:
        that: {that}
"""


@pytest.mark.parametrize(
    ("that", "words", "code", "said"),
    [
        ("true", "", 0, "writes no report"),
        ("false", "", 4, "the play broke"),
        ("true", "# include_tasks: tasks/record.yml", 4, "wrote no report"),
    ],
)
def test_without_a_report(tmp_path, that, words, code, said):
    playbook = tmp_path / "play.yml"
    playbook.write_text(PLAY.format(that=that) + words)
    done = subprocess.run([ROOT / "script/run", playbook, "-i", "localhost,"], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("ci", "options", "shown"), [("true", [], False), ("true", ["-e", "report_redact=false"], True), ("false", [], True), ("", [], True)]
)
def test_what_ci_shows_has_no_mail_address_unless_it_is_asked_for(tmp_path, ci, options, shown):
    playbook = tmp_path / "play.yml"
    playbook.write_text(PLAY.format(that="\"'jane@gmail.com' == 1\""))
    done = subprocess.run(
        [ROOT / "script/run", playbook, "-i", "localhost,", *options],
        env={**os.environ, "CI": ci}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 4, said
    assert ("jane@gmail.com" in said, "somebody@…" in said) == (shown, not shown), said

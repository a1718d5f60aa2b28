# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys

import pytest
from goodstanding_src.module_utils.goodstanding.host import command


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return command.runner()


def test_a_command_that_answers_each_line_that_it_reads_never_waits_for_ever(run):
    lines = "".join(f"{number:015}\n" for number in range(20000))
    code, out, err = run([sys.executable, "-c", "import sys\nfor line in sys.stdin: print(line * 4, file=sys.stderr)"], lines)
    assert (code, out, len(err)) == (0, "", 20000 * 65)


def test_what_is_not_there_and_what_does_not_end(run, monkeypatch):
    assert run(["no-such-program", "x"]) == (127, "", "no-such-program: No such file or directory")
    monkeypatch.setattr(command, "TIMEOUT", 0.2)
    assert run(["sleep", "9"]) == (124, "", "sleep did not end within 0.2 s")


def test_every_byte_and_the_c_locale(run):
    assert run(["sh", "-c", "cat; echo $LC_ALL; echo é >&2; exit 3"], "\udcff\n") == (3, "\udcff\nC\n", "é\n")
    assert run(["cat"]) == (0, "", "")

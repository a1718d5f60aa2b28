# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import os
import time

import pytest
from goodstanding_src.module_utils.goodstanding.maillog import sources

NOW = time.time()


def test_rotations_are_read_oldest_first(tmp_path):
    with gzip.open(tmp_path / "mail.log.2.gz", "wt") as file:
        file.write("one\n")
    (tmp_path / "mail.log.1").write_text("two\n")
    (tmp_path / "mail.log").write_text("three\n")
    (tmp_path / "mail.log.3").write_text("too old\n")
    (tmp_path / "mail.logger").write_text("another file\n")
    (tmp_path / "mail.log.4").write_text("")
    for name, age in (("mail.log.3", 90000), ("mail.log.2.gz", 7200), ("mail.log.1", 3600), ("mail.log", 1)):
        os.utime(tmp_path / name, (NOW - age, NOW - age))
    source = sources.choose("auto", [str(tmp_path / "mail.log")], NOW - 86400)
    assert source.kind == "file"
    assert list(sources.read(source, NOW - 86400)) == ["one\n", "two\n", "three\n"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(sources.SourceError, match=r"no mail log at .*/nothing.log: name the right file"):
        sources.choose("file", [str(tmp_path / "nothing.log")], 0)


def test_no_file_and_no_journal_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(sources.SourceError, match="no journalctl"):
        sources.choose("auto", [str(tmp_path / "nothing.log")], 0)


def test_a_damaged_rotation_is_named(tmp_path):
    (tmp_path / "mail.log.1.gz").write_bytes(b"no gzip")
    source = sources.choose("file", [str(tmp_path / "mail.log"), str(tmp_path / "mail.log.1.gz")], 0)
    with pytest.raises(sources.SourceError, match=r"mail.log.1.gz cannot be read"):
        list(sources.read(source, 0))


def test_a_journal_that_cannot_be_read_says_what_right_is_missing(tmp_path, monkeypatch):
    program = tmp_path / "journalctl"
    program.write_text("#!/bin/sh\necho 'No journal files were opened due to insufficient permissions.' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(sources.SourceError, match=r"insufficient permissions.*systemd-journal"):
        list(sources.read(sources.choose("journal", [], 0), 0))

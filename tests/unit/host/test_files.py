# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.host import files
from goodstanding_src.module_utils.goodstanding.host.files import File, HostError, changes, diff, must, read_text, write_file


def test_a_file_keeps_its_mode_and_every_byte(tmp_path):
    path = tmp_path / "main.cf"
    path.write_bytes(b"a = \xff\r\n")
    path.chmod(0o640)
    write_file(File(str(path), read_text(str(path)) + "b\n"))
    assert path.read_bytes() == b"a = \xff\r\nb\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["main.cf"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.cf").write_text("a\n")
    (tmp_path / "main.cf").symlink_to("real.cf")
    write_file(File(str(tmp_path / "main.cf"), "b\n"))
    assert (tmp_path / "main.cf").is_symlink()
    assert (tmp_path / "real.cf").read_text() == "b\n"


def test_only_changed_lines_are_shown(tmp_path):
    path = tmp_path / "x.conf"
    path.write_text("password = secret\nb = 1\n")
    (shown,) = diff(changes([File(str(path), "password = secret\nb = 2\n")]))
    assert "secret" not in shown["prepared"]
    assert "-b = 1\n+b = 2\n" in shown["prepared"]


def test_binary_and_odd_bytes_can_be_shown(tmp_path):
    (tmp_path / "map").write_bytes(b"\x00\xff\x00")
    (tmp_path / "text").write_bytes(b"\xff\n")
    for shown in diff(changes([File(str(tmp_path / "map"), None), File(str(tmp_path / "text"), "x\n")])):
        shown["prepared"].encode("utf-8")


def test_a_failed_command_says_what_was_tried():
    with pytest.raises(HostError, match="postmap x ended with 1: no such map: make it"):
        must(lambda words: (1, "", "no such map\n"), ["postmap", "x"], "make it")


def test_state_is_kept_and_a_damaged_one_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "STATE", str(tmp_path))
    assert files.load_state("x.json") == {}
    files.save_state("x.json", {"a": 1})
    assert files.load_state("x.json") == {"a": 1}
    assert (tmp_path / "x.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(HostError, match=r"x\.json is damaged"):
        files.load_state("x.json")

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is put into a host's files and when the daemons are told, with the daemons played."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.accounts import plumbing
from goodstanding_src.module_utils.goodstanding.host import files
from goodstanding_src.module_utils.goodstanding.host.files import File, HostError


class Killed(BaseException):
    """An end at any point, which nothing catches."""


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host with one file of configuration, whose reloads are counted and may fail."""
    for module in (plumbing, files):
        monkeypatch.setattr(module, "STATE", str(tmp_path / "state"))
    main = tmp_path / "main.cf"
    main.write_text("old")
    reloads = []
    for name, act in {
        "require_postfix": lambda run: None,
        "dovecot_version": lambda run: None,
        "wanted": lambda present, version: [File(str(main), "new")],
        "make_map": lambda run, source: None,
        "validate": lambda run, wanted, present: None,
        "MAPS": {},
        "_reload": lambda run, version: reloads.append(main.read_text()),
    }.items():
        monkeypatch.setattr(plumbing, name, act)
    monkeypatch.setattr(plumbing.loopback, "answers", lambda run: {587: 250})
    return main, reloads


def test_a_second_run_reloads_nothing(host):
    assert plumbing.apply(None, True, False)["changed"] is True
    assert plumbing.apply(None, True, False)["changed"] is False
    assert host[1] == ["new"]


def test_a_run_that_was_killed_before_its_reload_is_made_good_by_the_next(host, monkeypatch):
    main, reloads = host
    plumbing.apply(None, True, False)
    main.write_text("a panel's")
    with monkeypatch.context() as killed, pytest.raises(Killed):
        killed.setattr(plumbing, "_reload", lambda run, version: (_ for _ in ()).throw(Killed))
        plumbing.apply(None, True, False)
    assert plumbing.apply(None, True, False)["changed"] is True
    assert reloads == ["new", "new"]


def test_a_run_that_failed_leaves_the_files_and_what_was_known_of_them(host, monkeypatch):
    main, reloads = host
    first = plumbing.apply(None, True, False)["reloaded"]
    main.write_text("a panel's")
    said = iter([{587: 250}, *[{587: 451}] * 9])
    monkeypatch.setattr(plumbing.loopback, "answers", lambda run: next(said))
    monkeypatch.setattr(plumbing.time, "sleep", lambda seconds: None)
    with pytest.raises(HostError, match=r"otherwise than before.*the old files are back"):
        plumbing.apply(None, True, False)
    assert (main.read_text(), reloads) == ("a panel's", ["new", "new", "a panel's"])
    assert files.load_state(plumbing.STATE_FILE) == {"reloaded": first}


@pytest.mark.parametrize("once", [{}, {587: 451}])
def test_one_bad_answer_in_a_flood_takes_nothing_back(host, monkeypatch, once):
    said = iter([{587: 250}, once, {587: 250}])
    monkeypatch.setattr(plumbing.loopback, "answers", lambda run: next(said))
    monkeypatch.setattr(plumbing.time, "sleep", lambda seconds: None)
    assert plumbing.apply(None, True, False)["changed"] is True
    assert host[0].read_text() == "new"


def test_what_was_not_validated_reloads_nothing(host, monkeypatch):
    monkeypatch.setattr(plumbing, "validate", lambda *_: (_ for _ in ()).throw(HostError("Postfix would not take it")))
    with pytest.raises(HostError, match="would not take it"):
        plumbing.apply(None, True, False)
    assert (host[0].read_text(), host[1]) == ("old", [])

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from goodstanding_src.module_utils.goodstanding.host import files, journal
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.host.journal import Opened

A, B = "a@alpha.test", "b@alpha.test"


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "STATE", str(tmp_path))
    return tmp_path / "journal.jsonl"


def lock(account, step="map"):
    journal.write(account=account, step=step, incident="i1", result="begun", before={"x": "1"})
    journal.write(account=account, step=step, incident="i1", result="done", after={"x": "0"})


def test_what_is_locked_is_what_was_begun_and_not_undone(path):
    lock(A)
    journal.write(account=B, step="map", incident="i1", result="begun", before={})
    lock(A, "deny")
    journal.write(account=A, step="deny", incident="i1", result="undone")
    book = journal.read()
    assert book.opened == {(A, "map"): Opened({"x": "1"}, {"x": "0"}, "i1"), (B, "map"): Opened({}, None, "i1")}
    assert (book.damaged, book.lines) == ([], 6)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_lock_keeps_what_was_there_before_the_first(path):
    lock(A)
    journal.write(account=A, step="map", incident="i2", result="begun", before={"x": "0"})
    assert journal.read().opened[(A, "map")].before == {"x": "1"}


@pytest.mark.parametrize("change", [lambda rows: rows[:1] + rows[2:], lambda rows: [rows[0], rows[1].replace('"0"', '"1"'), *rows[2:]]])
def test_a_line_that_was_changed_or_taken_out_is_named(path, change):
    lock(A)
    lock(B)
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    assert journal.read().damaged == [2]


def test_a_line_that_a_crash_cut_short_stays_and_the_next_one_is_whole(path):
    lock(A)
    path.write_text(path.read_text() + '{"account": "x')
    lock(B)
    book = journal.read()
    assert (book.damaged, set(book.opened)) == ([3], {(A, "map"), (B, "map")})


def test_lines_from_before_they_were_chained_are_no_damage(path):
    path.write_text('{"step": "stop", "accounts": ["a"]}\n')
    lock(A)
    assert journal.read().damaged == []


def test_the_controller_gets_what_it_does_not_know_yet(path):
    lock(A)
    last = journal.read().last
    lock(B)
    assert [row["account"] for row in journal.lines_after(last)] == [B, B]
    assert len(journal.lines_after(None)) == len(journal.lines_after("another host's")) == 4
    assert len(journal.lines_after(None, most=1)) == 1
    assert journal.lines_after(journal.read().last) == []


def test_words_of_the_journal_that_are_no_lines_of_a_lock_change_nothing(path):
    for row in ([], {"result": "begun", "before": "text"}, {"result": "done", "account": A, "step": "map"}, "x"):
        path.open("a").write(json.dumps(row) + "\n")
    assert journal.read().opened == {}


def test_a_journal_that_would_fill_the_memory_is_refused(path, monkeypatch):
    lock(A)
    monkeypatch.setattr(journal, "MAX_OCTETS", 10)
    with pytest.raises(HostError, match="move it away"):
        journal.read()

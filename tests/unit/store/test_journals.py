# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.store import database, journals


@pytest.fixture
def engine(tmp_path):
    return database.open_store(f"sqlite:///{tmp_path}/store.db")


def line(number, **rest):
    return {"chain": f"{number:032d}", "time": float(number), "step": "map", "result": "done", **rest}


def test_lines_are_kept_once_in_their_order(engine):
    journals.save(engine, {"mx1": [line(1), line(2)], "mx2": [line(1)]})
    journals.save(engine, {"mx1": [line(2), line(3), line(3)]})
    assert journals.lines(engine, "mx1") == [line(1), line(2), line(3)]
    assert journals.last(engine) == {"mx1": line(3)["chain"], "mx2": line(1)["chain"]}
    journals.save(engine, {"mx1": []})
    assert len(journals.lines(engine, "mx1")) == 3


def test_what_a_host_changed_later_is_not_changed_here(engine):
    journals.save(engine, {"mx1": [line(1, account="a@x")]})
    journals.save(engine, {"mx1": [line(1, account="forged@x")]})
    assert [row["account"] for row in journals.lines(engine, "mx1")] == ["a@x"]


@pytest.mark.parametrize(
    "row",
    [
        None,
        "x",
        {},
        {"chain": 1, "time": 1},
        {"chain": "a", "time": "now"},
        {**line(1), "time": 10**400},
        {**line(1), "chain": "\ud800"},
        line(1, x="y" * journals.MAX_LINE),
    ],
)
def test_what_is_no_line_is_left_out(engine, row):
    journals.save(engine, {"mx1": [row, line(2)]})
    assert journals.lines(engine, "mx1") == [line(2)]

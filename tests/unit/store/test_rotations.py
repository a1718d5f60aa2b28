# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The slots of a rotation under two runs, and runs that end anywhere."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from goodstanding_src.module_utils.goodstanding.dkim.rotation import Slot
from goodstanding_src.module_utils.goodstanding.store import rotations
from goodstanding_src.module_utils.goodstanding.store.database import StoreError, open_store

ONE = Slot("mx1", "a.test", "20261128.mx1", "rsa", "planned", 1.0, "one")
TWO = Slot("mx2", "a.test", "20261128.mx2", "rsa", "active", 2.0, "one", "SHA256:x", "v=DKIM1; p=x", True, 3.0, begun=1.0, first=True)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/store.db"


def test_slots_come_back_as_they_were_saved(url):
    engine = open_store(url)
    known = rotations.save(engine, rotations.load(engine), [TWO, ONE])
    assert rotations.load(open_store(url)) == known and known.slots == [ONE, TWO]
    moved = ONE._replace(state="generated", record="r")
    known = rotations.save(engine, known, [moved])
    assert rotations.load(engine).slots == [moved]


def test_nothing_is_written_where_nothing_moved(url):
    engine = open_store(url)
    known = rotations.save(engine, rotations.load(engine), [ONE])
    assert rotations.save(engine, known, [ONE]) == known
    assert rotations.load(engine).version == known.version


@pytest.mark.parametrize("first", [[], [ONE]])
def test_of_two_runs_that_read_the_same_one_writes_and_the_other_is_told(url, first):
    engine = open_store(url)
    rotations.save(engine, rotations.load(engine), first)
    mine, yours = rotations.load(open_store(url)), rotations.load(engine)
    rotations.save(engine, mine, [*first, TWO])
    with pytest.raises(StoreError, match="another run"):
        rotations.save(engine, yours, [ONE._replace(state="generated")])
    assert rotations.load(engine).slots == [*first, TWO]


def test_what_another_release_knows_of_a_slot_is_no_hindrance(url):
    engine = open_store(url)
    rotations.save(engine, rotations.load(engine), [ONE])
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE dkim_slots SET slot = replace(slot, '{', '{\"colour\": 1, ')"))
    assert rotations.load(engine).slots == [ONE]
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE dkim_slots SET slot = '[1'"))
    with pytest.raises(StoreError, match="damaged"):
        rotations.load(engine)


def test_records_that_are_taken_away_keep_other_runs_out_for_a_time(url):
    engine = open_store(url)
    known = rotations.save(engine, rotations.load(engine), [TWO])
    seen_before = rotations.load(engine)
    known = rotations.save(engine, known, [TWO], rotations.Hold("mine", 60.0), now=1000.0)
    with pytest.raises(StoreError, match="another run"):
        rotations.save(engine, seen_before, [TWO._replace(goal="activate")], rotations.Hold("yours"), now=1001.0)
    assert rotations.held(engine, "yours", 1001.0) == 59.0
    assert rotations.held(engine, "mine", 1001.0) == rotations.held(engine, "yours", 1060.0) == 0.0
    with pytest.raises(StoreError, match="another run"):
        rotations.save(engine, rotations.load(engine), [ONE], rotations.Hold("yours"), now=1059.0)
    rotations.save(engine, rotations.load(engine), [ONE], rotations.Hold("yours"), now=1061.0)

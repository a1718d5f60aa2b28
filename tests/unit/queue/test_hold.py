# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.queue import hold
from goodstanding_src.module_utils.goodstanding.queue.evidence import Evidence
from goodstanding_src.module_utils.goodstanding.queue.scan import Queue, select

sys.path.insert(0, str(Path(__file__).parent))
from spool import message

MALLORY, ALICE, FORGED = "mallory@alpha.test", "alice@alpha.test", "chief@forged.test"
BAD = message(login=MALLORY, sender=FORGED, client="203.0.113.7", lines=("", f"sasl_username={ALICE}"))
GOOD = message(login=ALICE, sender=ALICE, client="203.0.113.9", lines=("", f"sasl_username={MALLORY}"))
STATES = ("held", "released", "deleted", "listed")


@pytest.fixture
def spool(postfix):
    """Two messages of the bad account outside of hold and one in it, two of another."""
    for queue, name, data in (
        ("active", "BAD01", BAD), ("deferred", "BAD02", BAD), ("hold", "BAD03", BAD), ("active", "GOOD1", GOOD), ("hold", "GOOD2", GOOD),
    ):  # fmt: skip
        postfix.put(queue, name, data)
    return postfix


@pytest.fixture
def evidence(tmp_path):
    return Evidence(str(tmp_path / "evidence"), "r1", 90, 2)


def test_held_and_released(spool, evidence):
    done = spool.apply("held", MALLORY, evidence=evidence)
    assert (done["changed"], done["moved"], done["queued"], done["held"]) == (True, 2, 0, {MALLORY: 3})
    assert spool.where() == {"BAD01": "hold", "BAD02": "hold", "BAD03": "hold", "GOOD1": "active", "GOOD2": "hold"}
    assert (done["evidence"], done["deleted"], evidence.summary()) == (None, 0, None)
    assert done["diff"] == {"before": f"{MALLORY}: 2 queued, 1 on hold\n", "after": f"{MALLORY}: 0 queued, 3 on hold\n"}
    again = spool.apply("held", MALLORY)
    assert (again["changed"], again["moved"], again["held"]) == (False, 0, {MALLORY: 3})
    let_go = spool.apply("released", MALLORY, but={"BAD03"})
    assert (let_go["moved"], let_go["queued"], let_go["held"]) == (2, 2, {MALLORY: 1})
    assert spool.where() == {"BAD01": "deferred", "BAD02": "deferred", "BAD03": "hold", "GOOD1": "active", "GOOD2": "hold"}
    lines = [(line["step"], line["accounts"], line["incident"], line["count"], line["queue_ids"]) for line in spool.told()]
    assert lines == [(f"queue {state}", [MALLORY], "r1", 2, ["BAD01", "BAD02"]) for state in ("held", "released")]


def test_some_are_spared_and_each_is_let_go_once(spool, monkeypatch):
    spool.apply("held", MALLORY, but={"BAD02"})
    assert spool.where()["BAD02"] == "deferred"
    scan = Queue.scan

    def again(self):  # somebody puts it on hold again, and means it
        if spool.where()["BAD01"] == "deferred":
            (spool.root / "deferred/BAD01").rename(spool.root / "hold/BAD01")
        return scan(self)

    monkeypatch.setattr(Queue, "scan", again)
    done = spool.apply("released", MALLORY)
    assert (done["moved"], done["held"]) == (2, {MALLORY: 1})


def test_deleted_from_hold_alone_and_nothing_of_others(spool, evidence):
    done = spool.apply("deleted", MALLORY, evidence=evidence)
    assert (done["changed"], done["moved"], done["deleted"], done["queued"], done["held"]) == (True, 2, 3, 0, {MALLORY: 0})
    assert spool.where() == {"GOOD1": "active", "GOOD2": "hold"}
    assert done["left"] == {"count": 0, "queue_ids": []}
    assert done["evidence"] == {"path": evidence.path, "messages": 3, "sample": 2}
    assert [words for words in spool.commands if "-d" in words] == [["postsuper", "-d", "-", "hold"]]
    assert [(line["step"], line["count"]) for line in spool.told()] == [("queue held", 2), ("queue deleted", 3)]
    again = spool.apply("deleted", MALLORY, evidence=evidence)
    assert (again["changed"], again["deleted"]) == (False, 0)
    fresh = Evidence(str(Path(evidence.path).parent), "r1", 90, 2)
    assert spool.apply("deleted", MALLORY, evidence=fresh)["evidence"] is None


@pytest.mark.parametrize("state", STATES)
def test_check_mode_tells_what_would_be_and_does_nothing(spool, evidence, state, tmp_path):
    before = spool.where()
    would = spool.apply(state, MALLORY, evidence=evidence, check_mode=True)
    assert (spool.where(), spool.told(), (tmp_path / "evidence").exists()) == (before, [], False)
    assert {words[0] for words in spool.commands} == {"postconf"}
    done = spool.apply(state, MALLORY, evidence=Evidence(str(tmp_path / "evidence"), "r1", 90, 2))
    assert {**would, "passes": 0} == {**done, "passes": 0}


def test_every_account_is_listed_with_every_queue_after_two_looks(spool):
    listed = spool.apply("listed", MALLORY)
    (counts,) = listed["messages"].values()
    assert set(counts) >= {"incoming", "active", "deferred", "hold", "corrupt"}
    assert sum(counts.values()) == listed["queued"] + sum(listed["held"].values()) + listed["corrupt"] > 0
    assert (listed["passes"], listed["changed"]) == (2, False)
    assert set(spool.apply("listed", "nobody@alpha.test")["messages"]["nobody@alpha.test"].values()) == {0}


def test_nothing_is_deleted_without_its_evidence(spool, evidence, monkeypatch):
    evidence_path = Path(evidence.path)
    evidence_path.parent.mkdir()
    evidence_path.write_text("not a folder")
    with pytest.raises(HostError, match=r"evidence|folder"):
        spool.apply("deleted", MALLORY, evidence=evidence)
    assert {name: queue for name, queue in spool.where().items() if "BAD" in name} == dict.fromkeys(("BAD01", "BAD02", "BAD03"), "hold")


def test_a_file_that_is_another_at_the_moment_of_deletion_stays(spool, evidence, monkeypatch):
    keep = Evidence.keep

    def swapped(self, messages):
        kept = keep(self, messages)
        if (spool.root / "hold/BAD03").read_bytes() == BAD:  # released, delivered, and its ID used again for another's mail on hold
            (spool.root / "hold/BAD03").unlink()
            spool.put("hold", "BAD03", GOOD)
        return kept

    monkeypatch.setattr(Evidence, "keep", swapped)
    done = spool.apply("deleted", MALLORY, evidence=evidence)
    assert spool.where() == {"BAD03": "hold", "GOOD1": "active", "GOOD2": "hold"}
    assert (done["deleted"], done["left"]) == (2, {"count": 1, "queue_ids": ["BAD03"]})


def test_what_leaves_during_the_purge_is_told_and_not_counted_as_deleted(spool, evidence):
    spool.lost = {"BAD01", "BAD03"}  # one goes out as it is put on hold, one is taken from hold by somebody else
    done = spool.apply("deleted", MALLORY, evidence=evidence)
    assert (done["deleted"], done["left"]) == (1, {"count": 2, "queue_ids": ["BAD01", "BAD03"]})


def test_mail_that_comes_and_moves_meanwhile_is_held_too(spool, monkeypatch):
    scan, turn = Queue.scan, iter(range(100))

    def busy(self):
        number = next(turn)
        if number < 5:
            spool.put("incoming", f"NEW0{number}", BAD)
        return scan(self)

    monkeypatch.setattr(Queue, "scan", busy)
    done = spool.apply("held", MALLORY)
    assert (done["queued"], done["held"], done["moved"]) == (0, {MALLORY: 8}, 7)


def test_an_account_that_goes_on_sending_is_told_and_not_called_held(spool, monkeypatch):
    scan, turn = Queue.scan, iter(range(100))
    monkeypatch.setattr(Queue, "scan", lambda self: (spool.put("incoming", f"NEW{next(turn):02}", BAD), scan(self))[1])
    with pytest.raises(HostError, match=f"mail of {MALLORY} still moves in the queue after 20 looks: lock the account first"):
        spool.apply("held", MALLORY)


def test_a_postsuper_that_does_nothing_is_not_believed(spool, evidence):
    run = spool.run
    spool.run = lambda words, data=None: (0, "", "") if words[0] == "postsuper" else run(words, data)
    for state in ("held", "deleted"):
        with pytest.raises(HostError, match="still moves"):
            spool.apply(state, MALLORY, evidence=evidence)
    assert len(spool.where()) == 5


def test_mail_in_maildrop_is_waited_for_and_told(spool):
    spool.put("maildrop", "BAD09", BAD)
    done = spool.apply("held", MALLORY)
    assert (done["queued"], done["moved"]) == (1, 2)
    assert ["postkick", "public", "pickup", "W"] in spool.commands


def test_mail_is_held_where_the_journal_cannot_be_written(spool, monkeypatch):
    def full(**entry):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hold.journal, "write", full)
    done = spool.apply("held", MALLORY)
    assert (done["held"], done["queued"]) == ({MALLORY: 3}, 0)
    assert done["faults"] == ["2 messages were held, and the journal could not be written: No space left on device"]


def test_backscatter_is_listed_and_left(spool, evidence):
    spool.put("deferred", "BOUNCE1", message(sender="", recipients=(FORGED.upper(),)))
    spool.put("deferred", "BOUNCE2", message(sender="", recipients=("stranger@dest.test",)))
    spool.put("deferred", "BAD04", message(login=MALLORY, sender=MALLORY))
    spool.put("deferred", "BOUNCE3", message(sender="", recipients=(MALLORY,)))  # its owner's own
    for state in ("listed", "held", "deleted"):
        assert spool.apply(state, MALLORY, evidence=evidence)["backscatter"] == {"count": 1, "queue_ids": ["BOUNCE1"]}
    assert {name for name in spool.where() if "BOUNCE" in name} == {"BOUNCE1", "BOUNCE2", "BOUNCE3"}


def test_what_cannot_be_read_is_told(spool):
    spool.put("active", "NOISE", b"C\xff\xff\xff\xff\x07")
    assert spool.apply("held", MALLORY)["unread"] == {"count": 1, "queue_ids": ["NOISE"]}


def test_what_postfix_put_aside_is_counted_and_left(spool, evidence):
    spool.put("corrupt", "BAD08", BAD)
    done = spool.apply("deleted", MALLORY, evidence=evidence)
    assert (done["corrupt"], done["queued"], spool.where()["BAD08"]) == (1, 0, "corrupt")


def test_many_queue_ids_are_counted_and_some_told(spool, monkeypatch):
    monkeypatch.setattr(hold, "MAX_IDS", 2)
    assert spool.apply("held", MALLORY)["held"] == {MALLORY: 3}
    spool.lost = {"BAD01", "BAD02", "BAD03"}
    assert spool.told()[0]["queue_ids"] == ["BAD01", "BAD02"]


def test_the_budget_is_a_share_of_what_would_be_free_without_the_mail(spool, monkeypatch):
    class System:
        f_bavail, f_frsize, f_files, f_favail = 90, 4096, 100, 90

    monkeypatch.setattr(hold.os, "statvfs", lambda path: System)
    rows = [*Queue(str(spool.root), select([MALLORY])).scan().messages.values()] * 4
    assert len({row.queue_id for row in rows}) == 3
    assert len(rows) == 12, "12 blocks of 102, and 12 inodes of 102"
    assert [hold.over_budget(str(spool.root), rows, percent) for percent in (5, 11, 12, 20)] == [True, True, False, False]
    System.f_bavail = 10_000
    assert hold.over_budget(str(spool.root), rows, 5), "inodes"
    System.f_files = System.f_favail = 0  # a file system without a fixed number of them
    assert not hold.over_budget(str(spool.root), rows, 5)
    assert spool.apply("held", MALLORY, max_disk_percent=1e-9)["over_budget"] is True

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.queue import evidence as module
from goodstanding_src.module_utils.goodstanding.queue.evidence import Evidence, expire

sys.path.insert(0, str(Path(__file__).parent))
from spool import message

MALLORY = "mallory@alpha.test"
BAD = message(
    login=MALLORY, sender="x@forged.test", client="203.0.113.7", recipients=[f"r{n}@dest.test" for n in range(30)], done={"r0@dest.test"}
)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "evidence"


def keep(postfix, place, sample=2, incident="r1", days=90):
    kept = Evidence(str(place), incident, days, sample)
    return kept, kept.keep(list(postfix.scan(MALLORY).messages.values()))


def filled(postfix, number=6):
    for each in range(number):
        postfix.put("hold", f"BAD{each:02}", BAD)
    return postfix


def lines(place, incident="r1"):
    return [json.loads(line) for line in (place / incident / "messages.jsonl").read_text().splitlines()]


def sums(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_facts_on_every_message_a_sample_whole_and_hashes_over_both(postfix, place):
    kept, rows = keep(filled(postfix), place)
    assert (len(rows), kept.summary()) == (6, {"path": str(place / "r1"), "messages": 6, "sample": 2})
    first = lines(place)[0]
    assert first == {
        "queue_id": first["queue_id"], "account": MALLORY, "sender": "x@forged.test", "client_address": "203.0.113.7",
        "arrival": 1795500000.25, "octets": len(BAD), "recipient_count": 30, "recipients": [f"r{n}@dest.test" for n in range(20)],
        "recipients_done": 1, "sha256": hashlib.sha256(BAD).hexdigest(),
    }  # fmt: skip
    assert {path.read_bytes() for path in (place / "r1/sample").iterdir()} == {BAD}
    manifest = json.loads((place / "r1/manifest.json").read_text())
    assert manifest["files"] == sums(place / "r1")
    assert len(manifest["files"]) == 3
    assert manifest["expires"] - manifest["created"] == pytest.approx(90 * 86400, abs=60)
    modes = {path.stat().st_mode & 0o777 for path in [place / "r1", place / "r1/sample"]}
    assert (modes, {path.stat().st_mode & 0o777 for path in (place / "r1").rglob("*") if path.is_file()}) == ({0o700}, {0o600})


def test_a_later_run_adds_what_is_new(postfix, place):
    keep(filled(postfix, 3), place, sample=4)
    kept, _ = keep(filled(postfix, 6), place, sample=4)
    assert sorted(row["queue_id"] for row in lines(place)) == [f"BAD{n:02}" for n in range(6)]
    assert kept.summary() == {"path": str(place / "r1"), "messages": 6, "sample": 4}
    assert json.loads((place / "r1/manifest.json").read_text())["files"] == sums(place / "r1")


def test_a_run_that_was_killed_leaves_nothing_that_disturbs_the_next(postfix, place):
    keep(filled(postfix, 2), place)
    with (place / "r1/messages.jsonl").open("a") as file:
        file.write('{"queue_id": "BAD')
    (place / "r1/sample/.BAD02").write_text("half")
    keep(filled(postfix, 3), place)
    assert sorted(row["queue_id"] for row in lines(place)) == ["BAD00", "BAD01", "BAD02"]


def test_what_changed_since_it_was_seen_is_left_for_the_next_look(postfix, place):
    filled(postfix, 3)
    rows = list(postfix.scan(MALLORY).messages.values())
    (postfix.root / "hold/BAD00").unlink()
    os.utime(postfix.root / "hold/BAD01", (1, 1))
    assert [row.queue_id for row in Evidence(str(place), "r1", 90, 20).keep(rows)] == ["BAD02"]
    assert [row["queue_id"] for row in lines(place)] == ["BAD02"]
    assert len(list((place / "r1/sample").iterdir())) == 1


@pytest.mark.parametrize("fails_at", range(6))
def test_a_full_disk_is_an_error_and_leaves_whole_lines(postfix, place, monkeypatch, fails_at):
    keep(filled(postfix, 1), place)
    write, turn = module._write_all, iter(range(100))

    def full(file, data):
        if next(turn) == fails_at:
            write(file, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, data)

    monkeypatch.setattr(module, "_write_all", full)
    filled(postfix, 4)
    rows = list(postfix.scan(MALLORY).messages.values())
    writes = 3  # one more of the sample, the lines, the manifest
    kept = Evidence(str(place), "r1", 90, 2)
    if fails_at < writes:
        with pytest.raises(HostError, match=r"evidence cannot be written to .*No space left on device.*the mail stays on hold; make room"):
            kept.keep(rows)
    else:
        assert len(kept.keep(rows)) == 4
    monkeypatch.setattr(module, "_write_all", write)
    keep(postfix, place)
    assert sorted(row["queue_id"] for row in lines(place)) == [f"BAD{n:02}" for n in range(4)]
    assert json.loads((place / "r1/manifest.json").read_text())["files"] == sums(place / "r1")


def test_evidence_expires_and_nothing_else_does(postfix, place):
    filled(postfix, 1)
    keep(postfix, place, incident="old", days=1)
    keep(postfix, place, incident="new", days=30)
    (place / "notes").mkdir()
    (place / "notes/manifest.json").write_text(json.dumps({"expires": 0}))
    (place / "link").symlink_to(place / "old")
    (place / "linked").mkdir()
    (place / "linked/manifest.json").symlink_to(place / "old/manifest.json")
    assert expire(str(place), time.time()) == []
    assert expire(str(place), time.time() + 2 * 86400) == ["old"]
    assert sorted(path.name for path in place.iterdir()) == ["link", "linked", "new", "notes"]
    assert expire(str(place / "nowhere"), 0) == []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("evidence", "r1", 90, 2), "expected an absolute path"),
        (("/e", "..", 90, 2), "is no name of an incident"),
        (("/e", "a/b", 90, 2), "is no name of an incident"),
        (("/e", "", 90, 2), "is no name of an incident"),
        (("/e", "r1", 0, 2), "evidence_days"),
        (("/e", "r1", 1, -1), "evidence_sample"),
    ],
)
def test_what_makes_no_sense_is_named(given, named):
    with pytest.raises(HostError, match=named):
        Evidence(*given)


def test_a_folder_that_is_not_ours_is_not_written_to(postfix, place):
    filled(postfix, 1)
    (place / "theirs").mkdir(parents=True, mode=0o700)
    (place / "theirs/file").write_text("x")
    (place / "open").mkdir(mode=0o777)
    (place / "open").chmod(0o777)
    (place / "link").symlink_to(place / "theirs")
    for incident, named in (("theirs", "no manifest.json of ours"), ("open", "mode 0700"), ("link", "mode 0700")):
        with pytest.raises(HostError, match=named):
            keep(postfix, place, incident=incident)
    assert (place / "theirs/file").read_text() == "x"
    assert len(list((place / "theirs").iterdir())) == 1

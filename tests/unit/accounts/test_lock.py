# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock and unlock in the files of a host, with postmap played by a copy: what stands there after any order of acts, crashes and hands."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
from goodstanding_src.module_utils.goodstanding.accounts import dovecot_conf, ending, hold, lock, places, plumbing, proof
from goodstanding_src.module_utils.goodstanding.host import files, journal
from goodstanding_src.module_utils.goodstanding.host.files import HostError

A, B = "a@alpha.test", "b@alpha.test"


class Killed(BaseException):
    """An end at any point, which nothing catches."""


class Host:
    def __init__(self, folder, monkeypatch):
        self.folder, self.acts, self.dies_at = folder, 0, None
        (folder / "state").mkdir()
        for place, name in ((places.SenderMap, "map"), (places.SubmitMap, "users")):
            monkeypatch.setattr(place, "source", str(folder / name))
        monkeypatch.setattr(plumbing, "MAP_SOURCE", str(folder / "map"))
        monkeypatch.setattr(dovecot_conf, "DENY_FILE", str(folder / "deny"))
        monkeypatch.setattr(plumbing, "dovecot_version", lambda run: "2.3.19")
        monkeypatch.setattr(files, "STATE", str(folder / "state"))
        monkeypatch.setattr(files.grp, "getgrnam", lambda name: os.stat(folder) and type("Group", (), {"gr_gid": os.getgid()}))
        for module, name in ((files, "write_file"), (places, "write_file"), (journal, "write")):
            self.count(monkeypatch, module, name)
        self.unlock_names = ()
        for place in places.all_of(self.run, "i0"):
            for file in [place.file({})]:
                files.write_file(file)
            place.publish()

    def count(self, monkeypatch, module, name):
        act = getattr(module, name)

        def counted(*args, **kwargs):
            self.step()
            return act(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    def step(self):
        self.acts += 1
        if self.acts == self.dies_at:
            raise Killed

    def run(self, words, data=None):
        if words[0] == "postmap" and words[1] == "-s":
            made = self.made(words[2])
            return (0, made.read_text(), "") if made.exists() else (1, "", "no such file")
        if words[0] == "postmap":
            self.step()
            source = words[1].removeprefix("lmdb:")
            lines = [line for line in files.read_text(source).splitlines(keepends=True) if not line.startswith("#")]
            self.made(words[1]).write_text("".join(lines).replace(" ", "\t", 1) if lines else "")
        return (67 if words[:2] == ["doveadm", "user"] and "ghost" in words[-1] else 0), "", ""

    def made(self, name):
        return self.folder / (os.path.basename(name) + ".made")

    def prints(self):
        return {path.name: path.read_text() for path in self.folder.iterdir() if path.is_file()}

    def locks(self, account):
        return [place.name for place in places.all_of(self.run, "i0") if place.read([account])[account]]


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


def test_a_lock_is_set_in_every_place_once_and_set_back_to_the_byte(host):
    before = host.prints()
    assert lock.stop(host.run, [A], "i1", False)["changed"] is True
    assert host.locks(A) == ["map", "deny"]
    assert f"{A}\tREJECT 5.7.1 account locked, incident i1" in host.made("map").read_text()
    assert lock.stop(host.run, [A, B], "i2", True)["changed"] is True
    assert host.locks(B) == []
    assert lock.stop(host.run, [A], "i2", False)["changed"] is False
    assert lock.unlock(host.run, [A], "i3", False)["changed"] is True
    assert host.prints() == before
    assert lock.unlock(host.run, [A], "i3", False)["changed"] is False


def test_a_map_that_is_older_than_its_source_is_made_again(host):
    lock.stop(host.run, [A], "i1", False)
    host.made("map").write_text("")
    assert lock.stop(host.run, [A], "i2", True)["changed"] is True
    lock.stop(host.run, [A], "i2", False)
    assert A in host.made("map").read_text()


@pytest.mark.parametrize("act", range(1, 12))
def test_an_end_at_any_act_is_made_good_by_the_next_run(host, act):
    before = host.prints()
    lock.stop(host.run, [B], "i0", False)
    with_b = host.prints()
    host.acts, host.dies_at = 0, act
    with pytest.raises(Killed):
        lock.stop(host.run, [A], "i1", False)
        raise Killed
    host.dies_at = None
    lock.stop(host.run, [A], "i2", False)
    assert host.locks(A) == ["map", "deny"]
    assert A in host.made("map").read_text()
    host.acts, host.dies_at = 0, act
    with pytest.raises(Killed):
        lock.unlock(host.run, [A], "i3", False)
        raise Killed
    host.dies_at = None
    lock.unlock(host.run, [A], "i4", False)
    assert host.prints() == with_b
    lock.unlock(host.run, [B], "i5", False)
    assert host.prints() == before


def test_what_a_hand_changed_since_is_left_and_named(host):
    lock.stop(host.run, [A], "i1", False)
    source = host.folder / "map"
    source.write_text(source.read_text().replace("incident i1", "told by phone"))
    done = lock.unlock(host.run, [A], "i2", False)
    assert "entry=REJECT 5.7.1 account locked, told by phone in map were changed by hand" in done["faults"][0]
    assert host.locks(A) == ["map"]
    assert lock.unlock(host.run, [A], "i3", False, force=True)["faults"] == []
    assert host.locks(A) == []


def test_one_place_that_fails_keeps_no_other_from_being_locked(host, monkeypatch):
    def read_only(file):
        if file.path.endswith("map"):
            raise OSError(errno.EROFS, "Read-only file system")
        files.write_file(file)

    monkeypatch.setattr(places, "write_file", read_only)
    with pytest.raises(HostError, match=r"map: .*Read-only file system"):
        lock.stop(host.run, [A], "i1", False)
    assert host.locks(A) == ["deny"]


def test_a_lock_needs_no_room_for_its_journal(host, monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = host.prints()
    monkeypatch.setattr(journal, "write", full)
    lock.stop(host.run, [A], "i1", False)
    assert host.locks(A) == ["map", "deny"]
    lock.unlock(host.run, [A], "i2", False)
    assert host.prints() == before


def test_a_journal_that_was_tampered_with_stops_the_unlock_and_no_lock(host):
    lock.stop(host.run, [A], "i1", False)
    path = host.folder / "state" / "journal.jsonl"
    path.write_text(path.read_text().replace("i1", "i9", 1))
    with pytest.raises(HostError, match="line 1 of the journal"):
        lock.unlock(host.run, [A], "i2", False)
    assert host.locks(A) == ["map", "deny"]
    lock.stop(host.run, [B], "i2", False)
    assert host.locks(B) == ["map", "deny"]
    lock.unlock(host.run, [A], "i3", False, force=True)
    assert host.locks(A) == []


def test_a_lock_whose_journal_is_lost_can_be_undone(host):
    lock.stop(host.run, [A], "i1", False)
    (host.folder / "state" / "journal.jsonl").unlink()
    lock.stop(host.run, [A], "i2", False)
    lock.unlock(host.run, [A], "i3", False)
    assert host.locks(A) == []


def test_a_local_user_may_not_use_sendmail(host):
    lock.stop(host.run, ["uid:1"], "i1", False)
    assert host.locks("uid:1") == ["submit"]
    assert "daemon REJECT" in (host.folder / "users").read_text()
    assert "daemon" not in (host.folder / "map").read_text()
    lock.stop(host.run, ["daemon"], "i1", False)
    assert host.locks("daemon") == ["map", "submit", "deny"], "a login that is a local user, too, has both ways"


@pytest.mark.parametrize("name", ["root", "uid:0", "uid:root", "Root", dovecot_conf.CANARY])
def test_what_a_host_needs_is_never_locked(name):
    with pytest.raises(HostError, match="never locked"):
        lock.check_names([name], [], "i1")


def test_an_account_that_is_not_there_is_refused_where_that_is_known(host):
    with pytest.raises(HostError, match=r"there is no account ghost@alpha\.test on this host"):
        lock.stop(host.run, [A, "ghost@alpha.test"], "i1", False, must_exist=True)
    assert host.locks(A) == []
    lock.stop(host.run, ["ghost@alpha.test"], "i1", False)
    with pytest.raises(HostError, match="nor does it know one"):
        lock.unlock(host.run, ["ghost2@alpha.test"], "i1", False)


def test_a_hold_stands_again_after_the_lock(host):
    until = {"since": 1, "until": 9e9, "incident": "i0", "state": "held", "others": []}
    files.save_state(hold.HOLDS, {A: until})
    lock.stop(host.run, [A], "i1", False)
    assert "REJECT" in (host.folder / "map").read_text()
    lock.unlock(host.run, [A], "i2", False)
    assert f"{A} HOLD suspected breach" in (host.folder / "map").read_text()


def test_finish_is_not_proven_with_a_fault_and_notes_the_time_once(host, monkeypatch):
    said = ["the lock's map is not first in submission/inet smtpd_recipient_restrictions"]
    monkeypatch.setattr(ending, "end", lambda *_: ending.Ended(2, 0, [], [["198.51.100.11:587", "203.0.113.9:4000"]]))
    monkeypatch.setattr(proof, "faults", lambda *_: said)
    assert lock.finish(host.run, [A], "i1", False)["contained"] is False
    assert files.load_state(lock.LOCKS) == {}
    monkeypatch.setattr(proof, "faults", lambda *_: [])
    first = lock.finish(host.run, [A], "i1", False, ["203.0.113.9"])
    assert (first["contained"], first["sessions_closed"]) == (True, 2)
    assert lock.finish(host.run, [A], "i2", False)["locked_at"] == first["locked_at"]
    assert files.load_state(lock.LOCKS)[A]["open"] == [["198.51.100.11:587", "203.0.113.9:4000"]]


def test_the_copy_of_a_killed_run_is_taken_away(host):
    shutil.copy(host.folder / "map", host.folder / ".goodstanding-map")
    lock.stop(host.run, [A], "i1", False)
    assert not (host.folder / ".goodstanding-map").exists()


def test_a_number_without_a_user_is_not_called_contained(host, monkeypatch):
    monkeypatch.setattr(proof, "drift", lambda run: [])
    lock.stop(host.run, ["uid:4294967"], "i1", False)
    assert "uid:4294967 is no user of this host" in proof.faults(host.run, ["uid:4294967"])[0]


def test_a_canary_that_a_killed_proof_left_locked_is_let_in(host, monkeypatch):
    monkeypatch.setattr(dovecot_conf, "CANARY_FILE", str(host.folder / "canary"))
    monkeypatch.setattr(proof.loopback, "ports", lambda run: [proof.loopback.Port(587, False, True)])
    monkeypatch.setattr(proof, "_walk", lambda *_: {"locked": host.locks(dovecot_conf.CANARY)})
    proof._set(host.run, True, "i1")
    assert proof.canary(host.run, "i2") == {"locked": []}

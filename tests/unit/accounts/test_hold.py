# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.accounts import hold, lock, places, plumbing
from goodstanding_src.module_utils.goodstanding.accounts.hold import Limits, check, decide
from goodstanding_src.module_utils.goodstanding.host import files
from goodstanding_src.module_utils.goodstanding.host.files import HostError

NOW = 1795500000.0
LIMITS = Limits(12, 3, 1000)
A, B = "a@alpha.test", "b@alpha.test"


def test_a_hold_begins_goes_on_and_ends_with_the_suspicion():
    begun, ended = decide({}, [A], LIMITS, "r1", NOW)
    assert (begun, ended) == ({A: {"since": NOW, "until": NOW + 12 * 3600, "incident": "r1", "state": "held", "others": []}}, [])
    assert decide(begun, [A, B], LIMITS, "r2", NOW + 60)[0][A] == begun[A]
    assert decide(begun, [B], LIMITS, "r2", NOW + 60)[1] == [A]


def test_a_hold_that_ended_by_time_is_not_begun_anew_for_the_same_suspicion():
    begun, _ = decide({}, [A], LIMITS, "r1", NOW)
    over, _ = decide(begun, [A], LIMITS, "r2", NOW + 12 * 3600)
    assert over[A]["state"] == "released"
    again, _ = decide(over, [A], LIMITS, "r3", NOW + 30 * 3600)
    assert again[A]["state"] == "released"
    forgotten, _ = decide(again, [], LIMITS, "r4", NOW + 40 * 3600)
    assert decide(forgotten, [A], LIMITS, "r5", NOW + 50 * 3600)[0][A]["state"] == "held"


@pytest.mark.parametrize("limits", [Limits(0, 1, 1), Limits(1, 0, 1), Limits(1, 1, -1)])
def test_limits_that_make_no_sense_are_named(limits):
    with pytest.raises(HostError, match="must be more than 0"):
        check(limits)


class Host:
    """A host with a queue of (account, queue, octets) whose commands are noted."""

    def __init__(self, tmp_path, monkeypatch):
        self.queued: dict[str, dict] = {}
        self.commands: list[tuple[list[str], str | None]] = []
        self.map = tmp_path / "goodstanding_locked"
        monkeypatch.setattr(plumbing, "MAP_SOURCE", str(self.map))
        monkeypatch.setattr(places.SenderMap, "source", str(self.map))
        monkeypatch.setattr(places.SubmitMap, "source", str(tmp_path / "users"))
        monkeypatch.setattr(plumbing, "dovecot_version", lambda run: None)
        monkeypatch.setattr(files, "STATE", str(tmp_path / "state"))
        monkeypatch.setattr(hold, "messages_of", lambda accounts, _: self.of(accounts))
        monkeypatch.setattr(hold.queue, "messages_of", lambda accounts, _: self.of(accounts))

    def of(self, accounts):
        return {name: row for name, row in self.queued.items() if row["account"] in accounts}

    def run(self, words, data=None):
        self.commands.append((words, data))
        if words[:2] == ["postsuper", "-H"]:
            for name in data.split():
                self.queued[name]["queue"] = "deferred"
        return 0, "/var/spool/postfix", ""

    def said(self, program):
        return [(words, data) for words, data in self.commands if words[0] == program]

    def reconcile(self, *suspects, now=NOW, check_mode=False, limits=LIMITS, **options):
        return hold.reconcile(self.run, list(suspects), limits, "r1", check_mode, now, **options)


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


def test_mail_is_held_the_owner_told_once_and_all_let_go_by_time(host):
    assert host.reconcile(A)["holds"][A]["state"] == "held"
    assert host.map.read_text().splitlines()[-1].split(None, 1) == [A, "HOLD suspected breach, incident r1"]
    ((words, letter),) = host.said("sendmail")
    assert words == ["sendmail", "-i", "-f", "<>", "--", A]
    assert "until 2026-11-24 18:00 UTC at the latest" in letter
    host.queued = {"AAAAA": {"account": A, "queue": "hold", "size": 10}, "BBBBB": {"account": B, "queue": "hold", "size": 10}}
    again = host.reconcile(A, now=NOW + 60)
    assert (again["changed"], again["holds"][A]["messages"], len(host.said("sendmail"))) == (False, 1, 1)
    over = host.reconcile(A, now=NOW + 12 * 3600)
    assert (over["changed"], over["holds"][A]["state"], A in host.map.read_text()) == (True, "released", False)
    assert {name: row["queue"] for name, row in host.queued.items()} == {"AAAAA": "deferred", "BBBBB": "hold"}
    assert host.reconcile(A, now=NOW + 13 * 3600)["changed"] is False


def test_mail_is_let_go_when_nothing_is_suspected_any_more(host):
    host.reconcile(A)
    host.queued = {"AAAAA": {"account": A, "queue": "hold", "size": 10}}
    assert host.reconcile()["changed"] is True
    assert (host.queued["AAAAA"]["queue"], A in host.map.read_text()) == ("deferred", False)
    assert host.reconcile() == {"changed": False, "diff": [], "holds": {}}


def test_what_was_on_hold_before_stays_there_and_a_hand_that_holds_later_is_not_undone(host):
    host.queued = {"OLD00": {"account": A, "queue": "hold", "size": 5000}}
    assert host.reconcile(A)["holds"][A]["state"] == "held", "what is held for another reason is not counted"
    host.queued["NEW00"] = {"account": A, "queue": "hold", "size": 10}
    host.reconcile(A, now=NOW + 12 * 3600)
    assert {name: row["queue"] for name, row in host.queued.items()} == {"OLD00": "hold", "NEW00": "deferred"}
    host.queued["NEW00"]["queue"] = "hold"
    assert host.reconcile(A, now=NOW + 13 * 3600)["changed"] is False
    assert host.queued["NEW00"]["queue"] == "hold"


def test_a_run_that_knows_less_ends_no_hold_before_its_time(host):
    host.reconcile(A)
    host.queued = {"AAAAA": {"account": A, "queue": "hold", "size": 10}}
    assert host.reconcile(keep=True, now=NOW + 3600)["holds"][A]["state"] == "held"
    assert host.queued["AAAAA"]["queue"] == "hold"
    assert host.reconcile(keep=True, now=NOW + 12 * 3600)["holds"][A]["state"] == "released"


def test_one_host_of_a_fleet_writes_to_the_owner(host):
    host.reconcile(A, notify=False)
    assert host.said("sendmail") == []


@pytest.mark.parametrize("queued", [[10, 10, 10], [1000]])
def test_what_is_more_than_the_limit_is_deferred(host, queued):
    host.reconcile(A)
    host.queued = {f"AAAAA{number}": {"account": A, "queue": "hold", "size": size} for number, size in enumerate(queued)}
    assert host.reconcile(A, now=NOW + 60)["holds"][A]["state"] == "deferring"
    assert "DEFER 4.7.1" in host.map.read_text()


def test_check_mode_tells_and_does_nothing(host):
    told = host.reconcile(A, check_mode=True)
    assert (told["changed"], told["holds"][A]["state"], host.map.exists(), host.said("sendmail")) == (True, "held", False, [])


def test_a_lock_takes_the_place_of_a_hold_and_a_hold_never_of_a_lock(host):
    host.reconcile(A)
    host.queued = {"AAAAA": {"account": A, "queue": "hold", "size": 10}}
    lock.stop(host.run, [A], "r2", False)
    files.save_state("locks.json", {A: {"incident": "r2", "locked_at": NOW}})
    assert host.reconcile(A, now=NOW + 60)["holds"] == {}
    assert "REJECT" in host.map.read_text()
    assert host.queued["AAAAA"]["queue"] == "hold"

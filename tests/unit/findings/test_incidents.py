# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.findings.incidents import ECHO, QUIET, Incident, after
from goodstanding_src.module_utils.goodstanding.findings.times import iso

NOW, DAY = 1_795_000_000.0, 86400.0
USER = "mallory@alpha.test"
SEEN = Incident(USER, 1, iso(NOW), "r0", iso(NOW), "r0")
LOCKED = SEEN._replace(locked=iso(NOW), locked_run="r0")
BACK = LOCKED._replace(reinstated=iso(NOW + DAY), reinstated_run="r2")


def document(at, verdict=None, lock=None, outbreak="not_ended", back=None):
    found = stages.start("r9", "x", "lock", False, at)
    if verdict:
        found["accounts"] = [{"account": USER, "verdict": verdict, "state": "reinstated" if back else "open"}]
    if back:
        found["actions"] = [{"time": iso(back), "account": USER, "action": "reinstate"}]
    if lock is not None:
        hosts = [{"host": host, "incident": "r8", "locked_at": iso(time)} for host, time in (("mx1", lock + 60), ("mx2", lock))]
        found["locks"] = [{"account": USER, "incident": "r8", "locked_at": iso(lock + 60), "hosts": hosts}]
    found["outbreak"]["state"] = outbreak
    return found


def step(known, found, proven=None):
    """Return the incident that changed, None where none did."""
    changed = after({USER: known} if known else {}, found, proven)
    return changed[0] if changed else None


def test_an_account_that_is_named_is_an_incident_and_a_suspect_is_none():
    assert step(None, document(NOW, "compromised")) == SEEN._replace(first_run="r9", last_run="r9")
    assert step(None, document(NOW, "suspect")) is None
    assert step(None, document(NOW)) is None


def test_it_was_locked_when_the_first_host_was():
    assert step(SEEN, document(NOW + 5, lock=NOW + 60)) == SEEN._replace(locked=iso(NOW + 60), locked_run="r8")
    assert step(LOCKED, document(NOW + 5, lock=NOW)) is None, "it is known already"


@pytest.mark.parametrize(
    ("known", "at", "number"),
    [
        (SEEN, NOW + QUIET, 1),
        (SEEN, NOW + QUIET + 1, 2),
        (LOCKED, NOW + QUIET + 1, 1),
        (BACK, NOW + DAY + ECHO, 0),
        (BACK, NOW + DAY + ECHO + 1, 2),
    ],
)
def test_when_it_is_a_new_one(known, at, number):
    changed = step(known, document(at, "compromised"))
    assert (changed.number if changed else 0) == number


def test_a_lock_of_after_the_reinstatement_is_a_new_incident_and_one_of_before_is_not():
    assert step(BACK, document(NOW + DAY, lock=NOW)) is None
    new = step(BACK, document(NOW + DAY, lock=NOW + DAY + 1))
    assert (new.number, new.first, new.locked, new.reinstated) == (2, iso(NOW + DAY + 1), iso(NOW + DAY + 1), None)


def test_an_old_document_that_is_written_late_changes_nothing():
    assert step(LOCKED, document(NOW - DAY, "compromised")) is None
    assert step(LOCKED, document(NOW - DAY, "reinstated", back=NOW - DAY)) is None
    assert step(BACK, document(NOW, "compromised", lock=NOW)) is None


@pytest.mark.parametrize(("state", "ended"), [("ended", True), ("not_ended", False), ("not_proven", False)])
def test_only_a_proven_end_ends_it(state, ended):
    changed = step(LOCKED, document(NOW + 60, lock=NOW, outbreak=state), proven=NOW + 90)
    assert (changed.last, changed.last_run) == (iso(NOW + 90), "r9")
    assert (changed.ended == iso(NOW + 90)) is ended
    assert step(LOCKED, document(NOW + 60, lock=NOW, outbreak=state)) is None, "nobody asked the hosts in this stage"


def test_the_first_end_stays():
    over = LOCKED._replace(ended=iso(NOW + 50), ended_run="r3")
    assert step(over, document(NOW + 60, lock=NOW, outbreak="ended"), proven=NOW + 90).ended == iso(NOW + 50)


def test_the_owner_is_let_in_again_once():
    back = document(NOW + DAY, "reinstated", back=NOW + DAY)
    assert step(LOCKED, back) == BACK._replace(reinstated_run="r9")
    assert step(BACK, back) is None
    back["accounts"][0]["state"] = "locked"
    assert step(LOCKED, back) is None, "a host failed, and has it locked still"

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.persistence.findings import (
    Found,
    is_outside,
    is_unreviewed,
    judge,
    key,
    mail_list,
    remember,
)

ACCOUNT, PLACE = "erin@alpha.test", "/home/erin/.forward"
DOMAINS = {"alpha.test"}
SINCE = 1000.0


def one(content=b"a", **more):
    return Found(ACCOUNT, "forward", PLACE, content, **{"active": True, **more})


def judged(found, known=None, accept=(), disabled=None, since=SINCE):
    (shown,) = judge([found], known or {}, list(accept), disabled or {}, DOMAINS, since)
    return shown


def test_only_what_was_known_before_the_break_in_is_unchanged():
    before = remember({}, [one()], 900.0)
    after = remember({}, [one()], 1100.0)
    assert judged(one(), before)["state"] == "unchanged"
    assert judged(one(), after)["state"] == "new", "an inventory of after the break-in excuses nothing"
    assert judged(one(), after, since=None)["state"] == "unchanged"
    assert judged(one())["state"] == "new"


def test_a_change_shows_both_hashes_and_stays_one_in_every_later_run():
    known = remember({}, [one(b"a")], 900.0)
    for now in (1100.0, 1200.0):
        shown = judged(one(b"b"), known)
        assert (shown["state"], shown["before"], shown["sha256"]) == ("changed", one(b"a").sha256, one(b"b").sha256)
        assert is_unreviewed(shown)
        known = remember(known, [one(b"b")], now)
    assert len(known[ACCOUNT][PLACE]) == 2


def test_a_script_that_was_activated_is_changed():
    known = remember({}, [one(active=False)], 900.0)
    assert judged(one(active=True), known)["state"] == "changed"


def test_many_versions_do_not_push_out_that_it_is_changed():
    known = remember({}, [one(b"a")], 900.0)
    for version in range(50):
        known = remember(known, [one(str(version).encode())], 1100.0 + version)
    assert len(known[ACCOUNT][PLACE]) <= 8
    assert judged(one(b"49"), known)["state"] in ("new", "changed")


def test_a_home_full_of_places_keeps_what_was_known_first():
    known = remember({}, [one()], 900.0)
    known = remember(known, [one()._replace(place=f"/x/{number}") for number in range(3000)], 1100.0)
    assert len(known[ACCOUNT]) <= 1000
    assert judged(one(), known)["state"] == "unchanged"


def test_nothing_new_changes_nothing():
    known = remember({}, [one()], 900.0)
    assert remember(known, [one()], 950.0) == known


def test_an_acceptance_holds_for_one_content():
    accept = [{"account": "Erin@alpha.test", "place": PLACE, "sha256": one(b"a").sha256.upper(), "reason": "the owner's"}]
    shown = judged(one(b"a", targets=["x@evil.test"]), accept=accept)
    assert (shown["state"], shown["reason"], is_unreviewed(shown)) == ("reviewed", "the owner's", False)
    assert judged(one(b"b"), accept=accept)["state"] == "new"
    assert judged(one(b"a")._replace(place="/other"), accept=accept)["state"] == "new"


def test_what_was_disabled_waits_for_nobody_until_it_is_back():
    off = {key(ACCOUNT, PLACE): {"sha256": one().sha256}}
    assert not is_unreviewed(judged(one(active=False), disabled=off))
    assert is_unreviewed(judged(one(active=True), disabled=off))
    assert is_unreviewed(judged(one(b"b", active=False), disabled=off))


@pytest.mark.parametrize(
    ("touched", "alone", "since", "expected"),
    [
        (999.0, True, SINCE, False),
        (1000.0, True, SINCE, True),
        (None, True, SINCE, None),
        (1500.0, True, None, None),
        (999.0, False, SINCE, False),
        (1500.0, False, SINCE, None),
    ],
)
def test_touched_is_told_only_where_it_is_known(touched, alone, since, expected):
    assert judged(one(touched=touched, alone=alone), since=since)["touched_since"] is expected


def test_each_reason_counts():
    known = remember({}, [one()], 900.0)
    assert not is_unreviewed(judged(one(touched=900.0, targets=["bob@alpha.test"]), known))
    assert is_unreviewed(judged(one(touched=1100.0), known))
    assert is_unreviewed(judged(one(targets=["x@evil.test"]), known))
    assert is_unreviewed(judged(one(opaque=True), known))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("x@evil.test", True),
        ("x@ALPHA.test", False),
        ("x@alpha.test.", False),
        ("x@sub.alpha.test", True),
        ("x@alpha.test@evil.test", True),
        ('"x@alpha.test"@evil.test', True),
        ("erin", False),
        ("\\erin", False),
        ("/var/mail/erin", False),
        ("|/usr/bin/procmail", True),
        ("x@", True),
    ],
)
def test_outside(target, expected):
    assert is_outside(target, DOMAINS) is expected


@pytest.mark.parametrize(
    ("text", "does", "targets", "opaque"),
    [
        ("\\erin, X <x@evil.test>\n", ["forward"], ["\\erin", "x@evil.test"], False),
        ('# note\n"|/usr/bin/curl -u user:CANARY"', ["forward", "program"], ["|/usr/bin/curl"], False),
        ('|"/usr/bin/curl -u user:CANARY", y@evil.test', ["forward", "program"], ["|/usr/bin/curl", "y@evil.test"], False),
        ("|TOKEN=CANARY /usr/bin/curl", ["forward", "program"], ["|"], False),
        (":include:/home/erin/list", ["forward"], [":include:/home/erin/list"], True),
        ("/var/mail/x", ["file", "forward"], ["/var/mail/x"], False),
        ('"a, b"@evil.test, c@alpha.test', ["forward"], ['"a, b"@evil.test', "c@alpha.test"], False),
        ("", ["forward"], [], False),
    ],
)
def test_forward_files_and_aliases(text, does, targets, opaque):
    assert mail_list(text) == (does, targets, opaque)


def test_what_is_shown_is_bounded():
    many = [f"{number}@evil.test" for number in range(200)] + ["\x1b]0;x\a" + "a" * 5000]
    shown = judged(one(targets=many))
    assert len(shown["targets"]) == 50
    assert "cut" in shown["note"]
    assert judged(one(targets=many[-1:]))["targets"][0].isprintable()
    assert len(judged(one(targets=many[-1:]))["targets"][0]) == 320

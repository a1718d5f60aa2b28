# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what stands and what is wanted to what must change: tables without a server."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.dns import plan, propagation, wire
from goodstanding_src.module_utils.goodstanding.dns.manual import open_points
from goodstanding_src.module_utils.goodstanding.dns.records import read

ZONE = wire.pack("example.test")
FOREIGN = ['"google-site-verification=1"', '"MS=ms1" "2345"', '"v=spf10 x"']


def zone(*rows: tuple, whole: bool = True, free: tuple[str, ...] = ()) -> plan.Zone:
    """rows: name, type, TTL, values in zone-file form."""
    rrsets = {
        (wire.pack(name), kind): wire.RRset(ttl, tuple(sorted(wire.value_data(kind, value) for value in values)))
        for name, kind, ttl, values in rows
    }
    return plan.Zone(ZONE, rrsets, whole, frozenset(map(wire.pack, free)))


def want(name: str, *values: str, **more) -> plan.Wanted:
    return read({"name": name, "values": list(values), **more}, {ZONE: None})


def after(found: plan.Plan) -> dict[str, list[str] | None]:
    assert not found.faults, found.faults
    return {
        change.label: sorted(wire.value_text(change.key[1], value) for value in change.after.values) if change.after else None
        for change in found.changes
    }


def test_what_means_the_same_stays_to_the_octet():
    stands = zone(("s._domainkey.example.test", 16, 60, ['"k=rsa;" "p=AB" "CD"']), ("example.test", 15, 60, ["10 MX.example.test."]))
    wanted = [want("s._domainkey.example.test", "v=DKIM1; k=rsa; p=ABCD"), want("example.test", "10 mx.example.test", type="MX")]
    assert after(plan.make(stands, wanted, [])) == {}


def test_neighbours_stay_and_so_does_their_ttl():
    stands = zone(("example.test", 16, 600, ['"v=spf1 mx -all"', *FOREIGN]))
    made = plan.make(stands, [want("example.test", "v=spf1 a -all", ttl=60), want("example.test", "token=1", mode="merge")], [])
    assert after(made) == {"example.test TXT": sorted(['"v=spf1 a -all"', '"token=1"', *FOREIGN])}
    assert made.changes[0].after.ttl == 600
    gone = plan.make(stands, [want("example.test", owns="v=spf1", state="absent")], [])
    assert after(gone) == {"example.test TXT": sorted(FOREIGN)}
    other = plan.make(stands, [want("example.test", "v=spf1 a -all", state="absent")], [])
    assert after(other) == {}, "a value that does not stand is not removed, nor another in its place"
    whole = plan.make(stands, [want("example.test", "v=spf1 a -all", mode="exclusive")], [])
    assert after(whole) == {"example.test TXT": ['"v=spf1 a -all"']}


def test_two_records_of_one_meaning_become_one():
    stands = zone(("s._domainkey.example.test", 16, 60, ['"v=DKIM1; p=AB"', '"v=DKIM1; p=A" "B"']))
    assert after(plan.make(stands, [want("s._domainkey.example.test", "v=DKIM1; p=AB")], [])) == {
        "s._domainkey.example.test TXT": ['"v=DKIM1; p=A" "B"']
    }
    twice = zone(("example.test", 16, 60, ['"v=spf1 a -all"', '"v=spf1 mx -all"', *FOREIGN]))
    assert after(plan.make(twice, [want("example.test", "v=spf1 mx -all")], [])) == {
        "example.test TXT": sorted(['"v=spf1 mx -all"', *FOREIGN])
    }


def test_absent_removes_what_it_names():
    stands = zone(("a.example.test", 1, 60, ["192.0.2.1", "192.0.2.2"]))
    gone = {"type": "A", "state": "absent", "mode": "exclusive"}
    assert after(plan.make(stands, [want("a.example.test", "192.0.2.1", **gone)], [])) == {"a.example.test A": ["192.0.2.2"]}
    assert after(plan.make(stands, [want("a.example.test", **gone)], [])) == {"a.example.test A": None}
    assert after(plan.make(stands, [want("b.example.test", **gone)], [])) == {}


def test_ttls():
    stands = zone(("a.example.test", 1, 60, ["192.0.2.1"]))
    assert plan.make(stands, [want("a.example.test", "192.0.2.1", type="A")], []).changes == []
    (change,) = plan.make(stands, [want("a.example.test", "192.0.2.1", type="A", ttl=90)], []).changes
    assert (change.before.ttl, change.after.ttl) == (60, 90)
    (change,) = plan.make(stands, [want("b.example.test", "192.0.2.1", type="A")], [], ttl=77).changes
    assert change.after.ttl == 77


def test_a_selector_gets_no_second_key():
    stands = zone(("s._domainkey.example.test", 16, 60, ['"v=DKIM1; p=OLD"']))
    made = plan.make(stands, [want("s._domainkey.example.test", "v=DKIM1; p=NEW")], [])
    assert "a selector is never used for a second one" in made.faults[0]
    assert not plan.make(stands, [want("s._domainkey.example.test", "v=DKIM1; p=")], []).faults
    assert not plan.make(stands, [want("s._domainkey.example.test", "v=DKIM1; p=NEW", replace_key=True)], []).faults
    revoked = zone(("s._domainkey.example.test", 16, 60, ['"v=DKIM1; p="']))
    assert not plan.make(revoked, [want("s._domainkey.example.test", "v=DKIM1; p=NEW")], []).faults


@pytest.mark.parametrize(
    ("rows", "wanted", "said"),
    [
        ([("a.example.test", 1, 60, ["192.0.2.1"])], [("a.example.test", "x.test", "CNAME")], "would have a CNAME and A: beside a CNAME"),
        ([("a.example.test", 5, 60, ["x.test."])], [("a.example.test", "t", "TXT")], "it is a CNAME to x.test: give the record there"),
        ([], [("a.example.test", "x.test", "CNAME"), ("a.example.test", "t", "TXT")], "would have a CNAME and TXT"),
        ([], [("a.other.test", "t", "TXT")], "is not in the zone example.test"),
        ([], [("aexample.test", "t", "TXT")], "is not in the zone"),
        ([], [("example.test", "x.test", "CNAME")], "a zone's own name cannot have this record"),
        ([("sub.example.test", 2, 60, ["ns.sub.test."])], [("a.sub.example.test", "t", "TXT")], "which is delegated (NS)"),
        ([("sub.example.test", 39, 60, ["x.test."])], [("a.b.sub.example.test", "t", "TXT")], "which is delegated (DNAME)"),
        ([("example.test", 16, 60, ['"v=spf1 a"'])], [("example.test", "v=spf1 b", "TXT"), ("example.test", "v=spf1 c", "TXT")], "SPF"),
    ],
)
def test_what_a_server_would_drop_or_hide_is_refused(rows, wanted, said):
    made = plan.make(zone(*rows), [want(name, value, type=kind) for name, value, kind in wanted], [])
    assert any(said in fault for fault in made.faults), made.faults


def test_a_cname_may_take_the_place_of_what_goes_in_the_same_run():
    stands = zone(("a.example.test", 1, 60, ["192.0.2.1"]))
    gone = want("a.example.test", type="A", state="absent", mode="exclusive")
    made = plan.make(stands, [gone, want("a.example.test", "x.test", type="CNAME")], [])
    assert after(made) == {"a.example.test A": None, "a.example.test CNAME": ["x.test."]}


def many(number: int, value: str = "v=DKIM1; p=A") -> list[tuple]:
    return [(f"s{count}._domainkey.example.test", 16, 60, [f'"{value}"']) for count in range(number)]


def test_purge_takes_what_is_not_wanted_below_its_name_alone():
    stands = zone(*many(3), ("x.example.test", 16, 60, ['"other"']), ("a._domainkey.example.test", 1, 60, ["192.0.2.1"]))
    purge = [plan.Purge(wire.pack("_domainkey.example.test"), (16, 5))]
    made = plan.make(stands, [want("s0._domainkey.example.test", "v=DKIM1; p=A")], purge)
    assert after(made) == {"s1._domainkey.example.test TXT": None, "s2._domainkey.example.test TXT": None}
    assert "must be a name inside" in plan.make(stands, [], [plan.Purge(ZONE, (16,))]).faults[0]
    unread = zone(whole=False)
    assert "all names must be known first" in plan.make(unread, [], purge).faults[0]


def test_the_brake_counts_what_stands_and_would_change():
    stands = zone(*many(20))
    purge = [plan.Purge(wire.pack("_domainkey.example.test"), (16,))]
    keep = [want(row[0], "v=DKIM1; p=A") for row in many(14)]
    new = [want(f"new{count}.example.test", "x") for count in range(500)]
    assert plan.make(stands, keep + new, purge).faults == []
    (fault,) = plan.make(stands, keep[:-1], purge).faults
    assert "7 of 20 managed records of example.test would be changed or removed (7 removed), more than 30%" in fault
    assert plan.make(stands, keep[:-1], purge, 1.0).faults == []
    assert plan.make(zone(*many(9)), [], purge).faults == [], "a share of fewer than ten says nothing"


def test_what_a_wildcard_may_have_answered_is_not_guarded_by():
    stands = zone(("a.example.test", 16, 60, ['"v=DKIM1; p="']), whole=False)._replace(
        doubtful=frozenset({(wire.pack("a.example.test"), 16)})
    )
    (change,) = plan.make(stands, [want("a.example.test", "x")], []).changes
    assert (change.before, change.after.ttl) == (None, 3600)
    assert plan.make(stands, [want("a.example.test", "v=DKIM1; p=")], []).changes == []
    assert plan.make(stands, [want("a.example.test", state="absent", mode="exclusive")], []).changes == []


def test_what_a_wildcard_answers_stands_beside_nothing():
    """It does not apply to a name once that exists (RFC 4592 section 2.2.1)."""
    name = wire.pack("a.example.test")

    def answered(kind: int, value: str) -> plan.Zone:
        return zone(("a.example.test", kind, 60, [value]), whole=False)._replace(doubtful=frozenset({(name, kind)}))

    made = plan.make(answered(wire.A, "192.0.2.1"), [want("a.example.test", "x.test", type="CNAME")], [])
    assert after(made) == {"a.example.test CNAME": ["x.test."]}
    made = plan.make(answered(wire.CNAME, "park.test."), [want("a.example.test", "x")], [])
    assert after(made) == {"a.example.test TXT": ['"x"']}
    both = [want("a.example.test", "park.test", type="CNAME"), want("a.example.test", "x")]
    assert "would have a CNAME and TXT" in plan.make(answered(wire.CNAME, "park.test."), both, []).faults[0]


def test_what_is_new_is_guarded_by_its_name_where_that_is_known():
    wanted = [want("a.example.test", "x"), want("b.example.test", "x"), want("c.example.test", "x")]
    stands = zone(("b.example.test", 1, 60, ["192.0.2.1"]))
    assert [change.new_name for change in plan.make(stands, wanted, []).changes] == [True, False, True]
    assert [change.new_name for change in plan.make(zone(whole=False, free=("c.example.test",)), wanted, []).changes] == [
        False,
        False,
        True,
    ]


def test_undo_takes_back_its_own_and_leaves_what_others_did():
    before = zone(("example.test", 16, 600, ['"v=spf1 mx -all"', *FOREIGN]))
    changes = plan.make(before, [want("example.test", "v=spf1 a -all"), want("a.example.test", "192.0.2.1", type="A")], []).changes
    now = zone(("example.test", 16, 600, ['"v=spf1 a -all"', '"token=2"', *FOREIGN]), ("a.example.test", 1, 3600, ["192.0.2.1"]))
    back, faults = plan.undo(now, changes)
    assert faults == []
    assert {change.label: change.after and len(change.after.values) for change in back} == {"example.test TXT": 5, "a.example.test A": None}
    assert plan.undo(before, changes) == ([], []), "a second time changes nothing"
    other = zone(("a.example.test", 1, 3600, ["192.0.2.9"]), ("example.test", 16, 600, ['"v=spf1 mx -all"', *FOREIGN]))
    back, faults = plan.undo(other, changes)
    assert back == []
    assert "a.example.test A is no longer as it was left: 192.0.2.9" in faults[0]


def test_the_diff_is_by_rrset():
    (row,) = plan.diff(ZONE, plan.make(zone(), [want("example.test", "v=spf1 a -all", ttl=60)], []).changes, "internal")
    assert row["before"] == ""
    assert row["after"] == 'example.test. 60 IN TXT "v=spf1 a -all"\n'
    assert row["after_header"] == "example.test TXT in view internal"


def test_open_points_are_ready_to_paste():
    stands = zone(("example.test", 16, 600, ['"v=spf1 mx -all"', *FOREIGN]))
    changes = plan.make(
        stands, [want("example.test", "v=spf1 a -all"), want("s._domainkey.example.test", "x.y.test", type="CNAME")], []
    ).changes
    points = open_points(ZONE, changes, "Customer Ltd", "their registrar")
    points.sort(key=lambda point: point["host"])
    assert [(point["host"], point["action"], point["value"], point["type"]) for point in points] == [
        ("@", "remove", "v=spf1 mx -all", "TXT"),
        ("@", "add", "v=spf1 a -all", "TXT"),
        ("s._domainkey", "add", "x.y.test.", "CNAME"),
    ]
    assert points[1]["line"] == 'example.test. 600 IN TXT "v=spf1 a -all"'
    assert points[1]["text"].startswith("Customer Ltd: in their registrar, add TXT @ = v=spf1 a -all; the 3 other values")


def test_when_an_answer_holds_what_is_wanted():
    entry = want("s._domainkey.example.test", "v=DKIM1; p=ABCD")
    texts = {text: wire.value_data(16, text) for text in ('"v=DKIM1; p=AB" "CD"', '"v=DKIM1; p=ABCD"', '"other"')}
    same, exact, other = texts.values()
    assert propagation.holds(entry, {same})
    assert propagation.holds(entry, {exact})
    assert not propagation.holds(entry, {exact, other})
    assert not propagation.holds(entry, {exact, same}), "two records at a selector"
    assert not propagation.holds(entry, set())
    spf = want("example.test", "v=spf1 a -all")
    assert propagation.holds(spf, {wire.value_data(16, '"v=spf1 a -all"'), other})
    assert not propagation.holds(spf, {wire.value_data(16, '"v=spf1 a -all"'), wire.value_data(16, '"v=spf1 b"')})
    gone = want("s._domainkey.example.test", "v=DKIM1; p=ABCD", state="absent")
    assert propagation.holds(gone, set())
    assert not propagation.holds(gone, {exact})

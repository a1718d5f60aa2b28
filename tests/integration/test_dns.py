# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS updates on real servers: BIND, Knot and PowerDNS take them, NSD says why not; each fault is named and leaves nothing half done."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from goodstanding_src.module_utils.goodstanding.dns import ask, journal, plan, policy, propagation, run, update, wire
from name_servers import (
    ADDRESS,
    IN_LAB,
    PORTS,
    PRIMARIES,
    ROOT,
    SECRETS,
    WRONG,
    go,
    install,
    key,
    on,
    one,
    own_zone,
    prove,
    serial,
    server,
    servers,
    texts,
    until,
    write,
    zone_row,
)  # fmt: skip

KEY = "v=DKIM1; k=rsa; p=" + "MIIB" * 98


@pytest.fixture(scope="module", autouse=True)
def name_servers():
    install()
    servers("start", ADDRESS)
    yield
    servers("stop")


def change(name: str, text: str, before: str | None = None, new_name: bool = True, kind: int = wire.TXT) -> plan.Change:
    old = wire.RRset(60, (wire.txt_data(before.encode()),)) if before else None
    data = wire.txt_data(text.encode()) if kind == wire.TXT else wire.pack(text)
    return plan.Change((wire.pack(name), kind), old, wire.RRset(60, (data,)), new_name)


def send(to: ask.Server, zone: str, what: plan.Change, now=time.time) -> str:
    """Send one update as it is given, and return what came of it."""
    (batch,) = update.batches(to, wire.pack(zone), [what], now)
    try:
        with ask.Connection(to) as connection:
            update.exchange(connection, batch, wire.pack(zone), now)
    except ask.DnsError as exc:
        return str(exc)
    return "NOERROR"


# The table of what servers answer. "-": this server's zone cannot be in that state.
UNSIGNED = {
    "bind": "REFUSED: it wants the update signed",
    "knot": "NOTAUTH: it wants updates of knot.test signed",
    "pdns": "REFUSED: it wants",
}
BAD_SECRET = {
    "bind": "BADSIG: the secret",
    "knot": "BADSIG: the secret",
    "pdns": "REFUSED; it is not signed: PowerDNS answers so where the secret",
}
# Knot 3.2 says BADKEY, 3.4 NOTAUTH without a signature.
BAD_KEY = {
    "bind": ["with NOTAUTH with BADKEY: the server does not know the key"],
    "knot": [
        "with NOTAUTH with BADKEY: the server does not know the key",
        "with NOTAUTH; it is not signed: it is not a primary of knot.test",
    ],
    "pdns": ["with REFUSED; it is not signed: PowerDNS answers so where the secret"],
}
BAD_TIME = {"bind": "BADTIME: the server's clock is 360", "knot": "BADTIME: the server's clock is 360", "pdns": "the clocks differ"}
NOT_OURS = {"bind": "NOTAUTH: it is not the primary", "knot": "NOTAUTH", "pdns": "NOTAUTH: it is not the primary"}


@pytest.mark.parametrize("name", PRIMARIES)
def test_what_each_server_answers_to_an_update(name):
    zone = own_zone(name)
    good = server(name, key())
    assert send(good, zone, change(f"row.{zone}", "x")) == "NOERROR"
    assert UNSIGNED[name] in send(server(name), zone, change(f"no.{zone}", "x"))
    assert BAD_SECRET[name] in send(server(name, key(secret=WRONG)), zone, change(f"no.{zone}", "x"))
    for unknown in (key(called="nobody"), key(algorithm="hmac-sha512")):
        said = send(server(name, unknown), zone, change(f"no.{zone}", "x"))
        assert any(words in said for words in BAD_KEY[name]), said
    assert BAD_TIME[name] in send(good, zone, change(f"no.{zone}", "x"), lambda: time.time() + 3600)
    assert NOT_OURS[name] in send(good, "nobody.test", change("no.nobody.test", "x"))
    assert "NOTZONE: a record is outside the zone" in send(good, zone, change("no.other.test", "x"))
    assert "YXDOMAIN" in send(good, zone, change(f"row.{zone}", "x"))
    assert "NXRRSET" in send(good, zone, change(f"row.{zone}", "y", before="z"))
    assert "YXRRSET" in send(good, zone, change(f"row.{zone}", "y", new_name=False))
    assert (texts(f"row.{zone}", name), texts(f"no.{zone}", name)) == ([b"\x01x"], None)


def test_nsd_and_what_is_no_primary_say_why_not():
    for signed in (None, key(), key(secret=WRONG)):
        assert "NOTIMP" in send(server("nsd", signed), "bind.test", change("no.bind.test", "x"))
    result = one([zone_row("bind.test", "nsd", read="queries")], [{"name": "no.bind.test", "values": ["x"]}])
    assert "NOTIMP; it is not signed: this server takes no updates (NSD never does): give the zone's primary" in result.fault
    assert "names the primary ns.bind.test" in result.fault
    # Knot 3.2 says BADKEY of a zone that it is a secondary of, 3.4 NOTAUTH without a signature.
    for name, said in (("second", "REFUSED: the key upd is right and may not"), ("knot", "NOTAUTH")):
        result = one([zone_row("bind.test", name, read="queries")], [{"name": "no.bind.test", "values": ["x"]}])
        assert said in result.fault
        assert "primary" in result.fault
        assert result.state == "failed"


def test_a_powerdns_secondary_that_hands_the_update_on_is_told(tmp_path):
    """It sends the update to the primary and answers NOERROR, and has it itself when it has transferred the zone."""
    row = {"name": "forwarded.bind.test", "values": ["x"]}
    assert until(lambda: ask.ask(server("pdns"), [(wire.pack("bind.test"), wire.SOA)])[0].rrset is not None)
    result = one([zone_row("bind.test", "pdns", read="queries")], [row], journal=tmp_path)
    assert result.state == "failed"
    assert (
        "it is a secondary that hands them on (PowerDNS): give the zone's primary (the SOA of bind.test names the primary" in result.fault
    )
    again = one([zone_row("bind.test")], [row], journal=tmp_path)
    assert (again.state, again.resumed) == ("unchanged", 1)
    assert one([zone_row("bind.test")], [], undo=[again.undo()]).state == "changed"
    assert texts("forwarded.bind.test") is None


def test_what_a_policy_of_powerdns_leaves_out_in_silence_is_told():
    rows = [{"name": name, "values": ["x"]} for name in ("denied.policy.test", "let.policy.test")]
    result = one([zone_row("policy.test", "policy")], rows)
    assert result.state == "failed"
    assert "answered NOERROR and has not done it: denied.policy.test TXT (1 RRsets)" in result.fault
    assert "PowerDNS Lua" in result.fault
    assert (texts("denied.policy.test", "policy"), texts("let.policy.test", "policy")) == (None, [b"\x01x"])
    assert one([zone_row("policy.test", "policy")], [], undo=[result.undo()]).state == "changed"
    assert texts("let.policy.test", "policy") is None


def test_a_zone_without_the_right_is_told_in_check_mode_and_for_what_is_to_go():
    """The stock module calls both done: absent on a zone that refuses, and changed in check mode."""
    for records in (
        [{"name": "new.locked.test", "values": ["x"]}],
        [{"name": "busy.locked.test", "type": "A", "state": "absent", "mode": "exclusive"}],
    ):
        for check in (True, False):
            result = one([zone_row("locked.test")], records, check=check)
            assert (result.state, result.done) == ("failed", [])
            assert "REFUSED: the key upd is right and may not change this" in result.fault
    gone = {"name": "busy.nobody.test", "type": "A", "state": "absent", "mode": "exclusive"}
    for name in PRIMARIES:
        for check in (True, False):
            result = one([zone_row("nobody.test", name)], [gone], check=check)
            assert (result.state, result.done) == ("failed", [])
            assert re.search("REFUSED|NOTAUTH", result.fault)
            assert re.search("give the zone's primary|compare both|PowerDNS answers so", result.fault, re.IGNORECASE), result.fault
    limited = {"key_name": "limited", "key_secret": SECRETS["limited"], "read": "queries"}
    rows = [{"name": name, "values": [KEY]} for name in ("s1.mx1._domainkey.bind.test", "s1.mx2._domainkey.bind.test")]
    assert "REFUSED" in one([zone_row("bind.test", **limited)], rows, check=True).fault
    assert one([zone_row("bind.test", **limited)], rows[:1], check=True).state == "planned"
    assert texts("s1.mx1._domainkey.bind.test") is None
    assert one([zone_row("bind.test", **limited)], rows[:1]).state == "changed"


@pytest.mark.parametrize("name", PRIMARIES)
def test_records_are_published_once_and_taken_back(name, tmp_path):
    zone = own_zone(name)
    rows = [
        {"name": f"20261123.mx1._domainkey.{zone}", "values": [KEY], "ttl": 120},
        {"name": f"mail.{zone}", "type": "A", "values": ["192.0.2.25"]},
        {"name": f"mail.{zone}", "type": "AAAA", "values": ["2001:db8::25"]},
        {"name": f"slot._domainkey.{zone}", "type": "CNAME", "values": ["Slot.Keys.Example.TEST"]},
        {"name": f"empty.{zone}", "values": ["", 'a "b" c', "semi;colon \\ and ü"]},
        {"name": zone, "type": "MX", "values": [f"10 mail.{zone}"]},
    ]
    planned = one([zone_row(zone, name)], rows, check=True)
    assert (planned.state, len(planned.changes), texts(f"empty.{zone}", name)) == ("planned", 6, None)
    assert planned.diff()[0]["before"] == ""
    done = one([zone_row(zone, name)], rows, journal=tmp_path)
    assert (done.state, done.fault, done.batches) == ("changed", "", 1), done.fault
    assert texts(f"20261123.mx1._domainkey.{zone}", name) == [wire.txt_data(KEY.encode())]
    assert wire.txt_data(b"") in (texts(f"empty.{zone}", name) or [])
    for reader in ("queries", "transfer"):
        assert one([zone_row(zone, name, read=reader)], rows).state == "unchanged"
    rows[3]["values"] = ["slot.keys.example.test."]
    rows[0]["values"] = [" ; ".join(reversed(KEY.split("; ")[1:])).join(["v=DKIM1 ;", ""])]
    assert one([zone_row(zone, name)], rows).state == "unchanged", "the same in other words is no change"
    back = one([zone_row(zone, name)], [], undo=[done.undo()])
    assert (back.state, back.fault) == ("changed", "")
    assert one([zone_row(zone, name)], [], undo=[done.undo()]).state == "unchanged"
    assert texts(f"empty.{zone}", name) is None


@pytest.mark.parametrize("name", PRIMARIES)
def test_a_text_is_split_by_itself_and_one_that_is_split_elsewhere_stays(name):
    """The stock module calls 410 characters malformed, writes the same text again where it is split elsewhere, ends with a traceback at an
    empty text, makes three strings of a "b" c, and removes the whole RRset where one value is to go."""
    zone = own_zone(name)
    long, rows = KEY[:410], [f"split.{zone}", f"odd.{zone}"]
    parts = b"\x03xxx\xc8" + b"y" * 200 + b"\xcf" + b"z" * 207
    what = plan.Change((wire.pack(rows[1]), wire.TXT), None, wire.RRset(60, (parts,)))
    assert send(server(name, key()), zone, what) == "NOERROR"
    records = [
        {"name": rows[0], "values": [long, "", 'a "b" c']},
        {"name": rows[1], "values": ["x" * 3 + "y" * 200 + "z" * 207], "ttl": 60},
    ]
    done = one([zone_row(zone, name)], records)
    assert [found.label for found in done.changes] == [f"{rows[0]} TXT"]
    assert texts(rows[0], name) == sorted(map(wire.txt_data, (long.encode(), b"", b'a "b" c')))
    assert texts(rows[1], name) == [parts]
    one([zone_row(zone, name)], [{"name": rows[0], "values": [""], "state": "absent"}])
    assert texts(rows[0], name) == sorted(map(wire.txt_data, (long.encode(), b'a "b" c')))
    one([zone_row(zone, name)], [{"name": each, "state": "absent", "mode": "exclusive"} for each in rows])
    assert (texts(rows[0], name), texts(rows[1], name)) == (None, None)


@pytest.mark.parametrize("name", PRIMARIES)
def test_a_message_is_filled_to_64_kib(name):
    rows = many("full", 150, own_zone(name))
    done = one([zone_row(own_zone(name), name)], rows)
    assert (done.state, done.fault, done.batches, len(done.done)) == ("changed", "", 2, 150)
    back = one([zone_row(own_zone(name), name)], [], undo=[done.undo()])
    assert (back.state, back.fault) == ("changed", "")


@pytest.mark.parametrize("name", PRIMARIES)
def test_neighbours_of_the_spf_record_stay_to_the_octet(name):
    """Publish, change, undo and absent at an apex with three foreign values, one of them in odd strings, one that begins v=spf10."""
    zone = own_zone(name)
    begin = texts(zone, name)
    assert begin is not None
    foreign = [value for value in begin if not value[1:].startswith(b"v=spf1 ")]
    assert len(foreign) == 3
    assert b"\x06MS=ms1\x06234567" in foreign

    def now(*spf: str) -> bool:
        reply = ask.ask(server(name), [(wire.pack(zone), wire.TXT)])[0]
        assert reply.rrset is not None
        assert reply.rrset.ttl == 600
        return sorted(reply.rrset.values) == sorted([*foreign, *(wire.txt_data(each.encode()) for each in spf)])

    row = {"name": zone, "values": ["v=spf1 ip4:192.0.2.0/24 -all"], "ttl": 60}
    first = one([zone_row(zone, name)], [row])
    assert first.state == "changed"
    assert now("v=spf1 ip4:192.0.2.0/24 -all")
    same = {**row, "values": ["V=SPF1  IP4:192.0.2.0/24  -ALL"]}
    assert one([zone_row(zone, name)], [same]).state == "unchanged"
    second = one([zone_row(zone, name)], [{**row, "values": ["v=spf1 mx -all"]}])
    assert now("v=spf1 mx -all")
    token = one([zone_row(zone, name)], [{"name": zone, "values": ["token=1"], "mode": "merge"}])
    assert now("v=spf1 mx -all", "token=1")
    assert one([zone_row(zone, name)], [], undo=[second.undo()]).state == "changed"
    assert now("v=spf1 ip4:192.0.2.0/24 -all", "token=1"), "what another run added meanwhile stays"
    one([zone_row(zone, name)], [], undo=[token.undo()])
    one([zone_row(zone, name)], [], undo=[first.undo()])
    assert texts(zone, name) == begin
    assert one([zone_row(zone, name)], [{"name": zone, "owns": "v=spf1", "state": "absent"}]).state == "changed"
    assert now()
    one([zone_row(zone, name)], [{"name": zone, "values": ["v=spf1 mx -all"]}])
    assert texts(zone, name) == begin


def test_nothing_is_sent_where_a_cname_would_clash_or_a_record_is_outside():
    before = serial("bind.test")
    for row, said in (
        ({"name": "busy.bind.test", "type": "CNAME", "values": ["x.test"]}, "would have a CNAME and A"),
        ({"name": "busy.other.test", "zone": "bind.test", "values": ["x"]}, "is not in the zone bind.test"),
        ({"name": "bind.test", "type": "NS", "values": ["ns.x.test"]}, "its name servers are set where the zone is kept"),
        ({"name": "bind.test", "type": "NS", "state": "absent", "mode": "exclusive"}, "its name servers are set where the zone is kept"),
    ):
        for reader in ("queries", "transfer"):
            for check in (True, False):
                result = one([zone_row("bind.test", read=reader)], [row, {"name": "good.bind.test", "values": ["x"]}], check=check)
                assert said in result.fault
                assert "nothing was sent" in result.fault
    assert serial("bind.test") == before
    swap = [
        {"name": "busy.bind.test", "type": "CNAME", "values": ["x.test"]},
        {"name": "busy.bind.test", "type": "A", "mode": "exclusive", "state": "absent"},
    ]
    done = one([zone_row("bind.test")], swap)
    assert (done.state, done.fault) == ("changed", "")
    assert one([zone_row("bind.test")], [], undo=[done.undo()]).fault == ""


def test_a_cname_over_another_record_is_seen_although_the_server_says_noerror():
    """BIND drops it in silence: the prerequisite that nothing is at the name makes it a conflict, and reading back would show it."""
    zone = wire.pack("bind.test")
    writer = wire.Writer(zone)
    writer.update(wire.pack("busy.bind.test"), wire.IN, wire.CNAME, 60, wire.pack("x.test"))
    what = change("busy.bind.test", "x.test", kind=wire.CNAME)
    batch = update._close(server("bind", key()), writer, [what], time.time)
    with ask.Connection(server("bind", key())) as connection:
        update.exchange(connection, batch, zone)  # no error: nothing was done
    settings = run.Settings(zone, primary=server("bind", key()))
    assert "answered NOERROR and has not done it: busy.bind.test CNAME" in run._read_back(settings, server("bind", key()), [what])
    assert "YXDOMAIN" in send(server("bind", key()), "bind.test", what)


@pytest.mark.parametrize("name", PRIMARIES)
def test_a_second_writer_is_never_overwritten(name, tmp_path):
    zone = own_zone(name)
    old, new = f"race.{zone}", f"new-race.{zone}"
    write(name, zone, old, "first")
    row = {"name": old, "values": ["ours"], "mode": "exclusive"}
    hooks = run.Hooks(phase=lambda phase: write(name, zone, old, "theirs", "first") if phase == "planned" else None)
    result = one([zone_row(zone, name)], [row], hooks=hooks, journal=tmp_path)
    assert "another writer was there first (NXRRSET" in result.fault
    assert f'{old} TXT (planned on "first", found "theirs")' in result.fault
    assert texts(old, name) == [wire.txt_data(b"theirs")]
    assert one([zone_row(zone, name)], [row], journal=tmp_path).state == "changed"
    hooks = run.Hooks(phase=lambda phase: write(name, zone, new, "theirs") if phase == "planned" else None)
    result = one([zone_row(zone, name)], [{"name": new, "values": ["ours"]}], hooks=hooks)
    assert "YXDOMAIN" in result.fault
    assert texts(new, name) == [wire.txt_data(b"theirs")]
    one([zone_row(zone, name)], [{"name": each, "state": "absent", "mode": "exclusive"} for each in (old, new)])


@pytest.mark.parametrize("name", PRIMARIES)
def test_a_second_writer_between_two_batches(name, tmp_path):
    """What was done before stays known; the next run does the rest, and its undo takes back both and not what the other wrote."""
    zone = own_zone(name)
    rows = [{**row, "replace_key": True} for row in many("between", 40, zone)]
    theirs = rows[30]["name"]

    def write_theirs(number: int) -> None:
        if number == 2:
            write(name, zone, theirs, "v=DKIM1; p=")

    broken = one([zone_row(zone, name)], rows, journal=tmp_path, hooks=run.Hooks(before_batch=write_theirs, limit=5000))
    assert "another writer was there first (YXDOMAIN" in broken.fault
    assert f'{theirs} TXT (planned on nothing, found "v=DKIM1; p=")' in broken.fault
    assert f"{len(broken.done)} of 40 changes were done before: run again to do the rest, or with unfinished: undo" in broken.fault
    assert held(rows, name) == len(broken.done) + 1
    done = one([zone_row(zone, name)], rows, journal=tmp_path)
    assert (done.state, done.resumed, held(rows, name)) == ("changed", len(broken.done), 40)
    assert one([zone_row(zone, name)], [], undo=[done.undo()]).fault == ""
    assert held(rows, name) == 1
    assert texts(theirs, name) == [wire.txt_data(b"v=DKIM1; p=")]
    one([zone_row(zone, name)], [{"name": theirs, "state": "absent", "mode": "exclusive"}])


def test_a_neighbour_that_changes_in_the_middle_is_a_conflict_too():
    def late(phase: str) -> None:
        if phase == "planned":
            one([zone_row("bind.test")], [{"name": "bind.test", "values": ["late=1"], "mode": "merge"}])

    hooks = run.Hooks(phase=late)
    result = one([zone_row("bind.test")], [{"name": "bind.test", "values": ["v=spf1 a -all"]}], hooks=hooks)
    assert "another writer was there first" in result.fault
    assert one([zone_row("bind.test")], [{"name": "bind.test", "values": ["late=1"], "mode": "merge", "state": "absent"}]).fault == ""


def many(prefix: str, number: int = 60, zone: str = "bind.test") -> list[dict]:
    return [{"name": f"{prefix}{count}._domainkey.{zone}", "values": [f"{KEY}{count:04}"]} for count in range(number)]


def held(rows: list[dict], name: str = "bind") -> int:
    return sum(texts(row["name"], name) is not None for row in rows)


@pytest.mark.parametrize("then", ["resume", "undo"])
@pytest.mark.parametrize("name", PRIMARIES)
def test_a_primary_that_dies_between_batches(tmp_path, name, then):
    zone = own_zone(name)
    rows = many(then, 60, zone)
    write(name, zone, rows[0]["name"], "v=DKIM1; p=")

    def kill(number: int) -> None:
        if number == 4:
            servers("kill", name)

    hooks = run.Hooks(before_batch=kill, limit=5000)
    broken = one([zone_row(zone, name)], rows, journal=tmp_path, hooks=hooks)
    assert broken.state == "failed"
    assert broken.batches == 3
    assert "run again to do the rest" in broken.fault
    assert f"of {len(rows)} changes were done before" in broken.fault
    servers("run", name)
    assert held(rows, name) == len(broken.done) > 20
    if then == "resume":
        # What the first run did and the second went on with is taken back together.
        result = one([zone_row(zone, name)], rows, journal=tmp_path)
        assert (result.state, result.resumed, held(rows, name)) == ("changed", len(broken.done), len(rows))
        assert one([zone_row(zone, name)], rows, journal=tmp_path).state == "unchanged"
        assert journal.Journal(str(tmp_path), wire.pack(zone)).unfinished() is None
        assert one([zone_row(zone, name)], [], undo=[result.undo()]).fault == ""
    else:
        planned = one([zone_row(zone, name)], rows, journal=tmp_path, unfinished="undo", check=True)
        assert len(planned.changes) == len(broken.done)
        result = one([zone_row(zone, name)], rows, journal=tmp_path, unfinished="undo")
        assert (result.state, result.fault) == ("changed", "")
        assert one([zone_row(zone, name)], rows, journal=tmp_path, unfinished="undo").state == "unchanged"
    assert texts(rows[0]["name"], name) == [wire.txt_data(b"v=DKIM1; p=")]
    assert held(rows, name) == 1
    one([zone_row(zone, name)], [{"name": rows[0]["name"], "state": "absent", "mode": "exclusive"}])


def test_a_connection_that_breaks_and_comes_back_is_gone_on_with(tmp_path):
    rows = many("back")

    def restart(number: int) -> None:
        if number == 3:
            servers("kill", "bind")
            servers("run", "bind")

    hooks = run.Hooks(before_batch=restart, limit=5000)
    result = one([zone_row("bind.test")], rows, journal=tmp_path, hooks=hooks)
    assert (result.state, result.fault, held(rows)) == ("changed", "", len(rows)), result.fault
    assert one([zone_row("bind.test")], [], undo=[result.undo()]).fault == ""


def test_a_frozen_zone_and_a_primary_that_is_down_are_named():
    servers("rndc", "freeze", "frozen.test")
    row = {"name": "x.frozen.test", "values": ["x"]}
    result = one([zone_row("frozen.test")], [row])
    assert "rndc thaw" in result.fault
    servers("rndc", "thaw", "frozen.test")
    assert one([zone_row("frozen.test")], [row]).state == "changed"
    down = {**zone_row("frozen.test"), "port": 5399}
    assert "is it up" in one([down], [row]).fault or "is the server up" in one([down], [row]).fault


def test_a_zone_that_is_frozen_in_knot_is_named_and_what_it_did_late_is_known(tmp_path):
    """Knot 3.2 refuses; 3.4 keeps the update without an answer, and does it when the zone is thawed."""
    row = {"name": "late.knot.test", "values": ["x"]}
    servers("knotc", "zone-freeze", "knot.test")
    try:
        result = one([zone_row("knot.test", "knot")], [row], journal=tmp_path)
    finally:
        servers("knotc", "zone-thaw", "knot.test")
    assert result.state == "failed"
    assert "knotc zone-thaw" in result.fault
    assert texts("late.knot.test", "knot") is None or "does it after" in result.fault
    late = "does it after" in result.fault
    assert not late or until(lambda: texts("late.knot.test", "knot") is not None)
    again = one([zone_row("knot.test", "knot")], [row], journal=tmp_path)
    assert (again.state, again.resumed) == (("unchanged", 1) if late else ("changed", 0))
    assert one([zone_row("knot.test", "knot")], [], undo=[again.undo()]).state == "changed"
    assert texts("late.knot.test", "knot") is None


def test_a_wrong_secret_or_clock_stops_before_anything_is_done():
    for name in PRIMARIES:
        zone = own_zone(name)
        row = {"name": f"x.{zone}", "values": ["x"]}
        for reader in ("queries", "transfer"):
            result = one([zone_row(zone, name, key_secret=WRONG, read=reader)], [row])
            assert result.state == "failed"
            assert "secret" in result.fault
            assert WRONG not in result.fault
            result = one([zone_row(zone, name, read=reader)], [row], hooks=run.Hooks(now=lambda: time.time() - 4000))
            assert ("the clocks differ" if name == "pdns" else "ahead of this machine: set both by NTP") in result.fault
        assert texts(row["name"], name) is None


def test_a_record_over_the_limits_is_refused_before_sending():
    before = serial("bind.test")
    big = [f"{number}{'x' * 9000}" for number in range(3)]
    assert one([zone_row("bind.test")], [{"name": "big.bind.test", "values": big}]).state == "changed"
    assert one([zone_row("bind.test")], [{"name": "big.bind.test", "values": big}]).state == "unchanged"
    others = [f"{number}{'y' * 9000}" for number in range(3)]
    rows = [{"name": "small.bind.test", "values": ["x"]}, {"name": "big.bind.test", "values": others}]
    result = one([zone_row("bind.test")], rows, hooks=run.Hooks(limit=40_000))
    assert "big.bind.test: its old and new values do not fit into one UPDATE" in result.fault
    assert texts("small.bind.test") is None
    assert serial("bind.test") == before + 1
    assert one([zone_row("bind.test")], [{"name": "big.bind.test", "state": "absent", "mode": "exclusive"}]).state == "changed"


def test_purge_keeps_to_its_names_and_a_mass_change_is_braked():
    rows = many("purge", 20)
    assert one([zone_row("bind.test")], rows).state == "changed"
    foreign = texts("bind.test")
    purge = [{"below": "_domainkey.bind.test"}]
    result = one([zone_row("bind.test")], rows[:10], purge=purge)
    assert "more than 30%" in result.fault
    assert "max_change_share" in result.fault
    assert held(rows) == 20
    assert one([zone_row("bind.test")], rows[:10], purge=purge, share=1.0, check=True).state == "planned"
    result = one([zone_row("bind.test")], rows[:10], purge=purge, share=1.0)
    assert held(rows) == 10
    assert texts("bind.test") == foreign
    unread = one([zone_row("closed.test", read="queries")], [], purge=[{"below": "_domainkey.closed.test"}])
    assert "all names must be known first" in unread.fault
    assert one([zone_row("bind.test")], [], undo=[result.undo()]).fault == ""
    assert held(rows) == 20
    one([zone_row("bind.test")], [], purge=purge, share=1.0)


def test_a_zone_that_gives_no_transfer_is_read_by_questions():
    rows = many("q", 230, "closed.test")
    done = one([zone_row("closed.test")], rows)
    assert (done.state, done.fault) == ("changed", "")
    assert one([zone_row("closed.test")], rows).state == "unchanged"
    assert "was not given: REFUSED: allow it to the TSIG key upd" in one([zone_row("closed.test", read="transfer")], rows).fault
    assert "REFUSED" in one([zone_row("closed.test")], [], purge=[{"below": "_domainkey.closed.test"}]).fault


def test_reverse_names_go_where_rfc_2317_delegates_them():
    zones = [zone_row("100.51.198.in-addr.arpa"), zone_row("0/26.100.51.198.in-addr.arpa")]
    rows = [{"address": "198.51.100.11", "values": ["mx1.example.test"]}, {"address": "198.51.100.200", "values": ["mx9.example.test"]}]
    results = go(zones, rows)
    assert [(result.state, result.fault) for result in results] == [("changed", "")] * 2
    name = wire.pack("11.0/26.100.51.198.in-addr.arpa")
    assert ask.ask(server("bind"), [(name, wire.PTR)])[0].rrset == wire.RRset(3600, (wire.pack("mx1.example.test"),))
    result = one(zones[:1], rows[:1])
    assert "it is a CNAME to 11.0/26.100.51.198.in-addr.arpa: give the record there" in result.fault


def test_each_zone_is_its_own_and_a_fault_in_one_holds_no_other():
    zones = [zone_row(own_zone(name), name) for name in PRIMARIES] + [zone_row("locked.test")]
    rows = [{"name": f"fleet.{row['name']}", "values": ["x"]} for row in zones]
    results = go(zones, rows)
    assert [result.state for result in results] == ["changed", "changed", "changed", "failed"]
    undo = [result.undo() for result in results[:3]]
    assert [result.state for result in go(zones[:3], [], undo=json.loads(json.dumps(undo)))] == ["changed"] * 3


def authorities(*names: str) -> list[propagation.Authority]:
    return [propagation.Authority(server(name), (name,)) for name in names]


def test_a_stale_secondary_and_a_silent_one_are_not_proven():
    rows = [{"name": "prop._domainkey.bind.test", "values": [KEY]}]
    one([zone_row("bind.test")], rows)
    fresh = authorities("bind", "nsd", "second")
    assert until(lambda: prove("bind.test", rows, fresh).state == "proven"), propagation.summary(prove("bind.test", rows, fresh).proofs)
    report = prove("bind.test", rows, authorities("bind", "nsd", "second", "knot"))
    assert report.state == "not_yet"
    (seen,) = [row for row in report.proofs[0].seen if row.over == "udp"]
    assert (seen.authority.names, seen.outcome) == (("knot",), "missing")
    assert report.serials[f"{ADDRESS}:{PORTS['knot']}"] != report.serials[f"{ADDRESS}:{PORTS['bind']}"]
    assert report.negative_ttl == 30
    servers("pause", "nsd")
    try:
        report = prove("bind.test", rows, fresh)
        assert (report.state, {row.outcome for row in report.proofs[0].seen}) == ("unknown", {"timeout"})
    finally:
        servers("go", "nsd")
    servers("knotc", "zone-refresh", "bind.test")
    looks = []
    reports = propagation.wait(
        lambda: [prove("bind.test", rows, authorities("bind", "nsd", "second", "knot"))], 20, 0.3, lambda *row: looks.append(row)
    )
    assert reports[0].state == "proven"
    assert looks[-1][1:] == (1, 1)
    one([zone_row("bind.test")], [{**rows[0], "state": "absent"}])
    gone = [{**rows[0], "state": "absent"}]
    assert until(lambda: prove("bind.test", gone, fresh).state == "proven")
    assert prove("bind.test", gone, authorities("knot")).state == "not_yet"


def test_a_lame_server_is_unknown_and_a_wildcard_is_told():
    report = prove("knot.test", [{"name": "busy.knot.test", "type": "A", "values": ["192.0.2.1"]}], authorities("knot", "bind"))
    assert report.state == "unknown"
    assert {row.outcome for row in report.proofs[0].seen} <= {"refused", "lame"}
    rows = [{"name": "s._domainkey.knot.test", "values": [KEY]}, {"name": "*._domainkey.knot.test", "values": ["v=DKIM1; p="]}]
    assert one([zone_row("knot.test", "knot")], rows).state == "changed"
    report = prove("knot.test", rows[:1], authorities("knot"))
    # What a wildcard answers for is not there to be guarded.
    for reader in ("queries", "transfer"):
        new = [{"name": f"{reader}._domainkey.knot.test", "values": [KEY]}]
        done = one([zone_row("knot.test", "knot", read=reader)], new)
        assert (done.state, done.fault) == ("changed", "")
        assert one([zone_row("knot.test", "knot", read=reader)], [], undo=[done.undo()]).fault == ""
    assert (report.state, report.wildcard) == ("proven", [f"{ADDRESS}:{PORTS['knot']}"])
    one([zone_row("knot.test", "knot")], [{**row, "state": "absent"} for row in rows])


def view_zone(view: str) -> dict:
    name = view[:3]
    return zone_row("view.test", "views", view=view, key_name=name, key_secret=SECRETS[name])


def test_one_view_that_was_forgotten_is_named():
    rows = [{"name": "s._domainkey.view.test", "values": [KEY]}]
    asked = [
        propagation.Authority(server("views", key("int")), (), "internal"),
        propagation.Authority(server("views"), (), "external"),
    ]
    assert one([view_zone("internal")], rows).state == "changed"
    report = prove("view.test", rows, asked)
    assert report.state == "not_yet"
    assert {(row.authority.view, row.outcome) for row in report.proofs[0].seen} == {("external", "missing")}
    assert "(view external): missing" in propagation.summary(report.proofs)
    assert [result.state for result in go([view_zone("internal"), view_zone("external")], rows)] == ["unchanged", "changed"]
    assert prove("view.test", rows, asked).state == "proven"
    split = [{**rows[0], "view": "internal", "values": ["v=DKIM1; p="]}]
    assert [result.state for result in go([view_zone("internal"), view_zone("external")], split)] == ["changed", "unchanged"]


def test_a_manual_zone_says_what_to_do_and_passes_the_same_proof():
    rows = [
        {"name": "hand._domainkey.bind.test", "values": [KEY]},
        {"name": "bind.test", "values": ["v=spf1 include:_spf.example.test -all"]},
    ]
    manual = {
        "name": "bind.test", "backend": "manual", "servers": [{"address": ADDRESS, "port": PORTS["bind"]}], "owner": "Customer Ltd",
        "where": "their registrar",
    }  # fmt: skip
    before = serial("bind.test")
    result = one([manual], rows)
    assert result.state == "open"
    texts_ = [point["text"] for point in result.open_points]
    assert any(text.startswith("Customer Ltd: in their registrar, add TXT hand._domainkey = v=DKIM1") for text in texts_)
    assert any("remove TXT @ = v=spf1" in text and "the 3 other values of this name stay" in text for text in texts_)
    assert prove("bind.test", rows, authorities("bind")).state == "not_yet"
    assert serial("bind.test") == before
    done = one([zone_row("bind.test")], rows)  # what the owner does
    assert one([manual], rows).state == "unchanged"
    assert prove("bind.test", rows, authorities("bind")).state == "proven"
    one([zone_row("bind.test")], [], undo=[done.undo()])


def test_bind_and_knot_take_the_policies():
    grants = [
        policy.Grant(wire.pack("mx1._domainkey.bind.test"), True, (wire.TXT, wire.CNAME)),
        policy.Grant(wire.pack("bind.test"), False, (wire.TXT,)),
    ]
    named = 'key k1 { algorithm hmac-sha256; secret "%s"; };\nzone "bind.test" { type primary; file "/dev/null"; %s };\n'
    on(
        "sh",
        "-c",
        "cat > /var/lib/lab/policy.conf && named-checkconf /var/lib/lab/policy.conf",
        data=named % (WRONG, policy.bind("k1", grants)),
    )
    knot = f"key:\n  - id: k1\n    algorithm: hmac-sha256\n    secret: {WRONG}\n" + policy.knot("k1", grants)
    knot += "zone:\n  - domain: bind.test\n    acl: [k1-1, k1-2]\n"
    on("sh", "-c", "cat > /var/lib/lab/policy.yml && knotc -c /var/lib/lab/policy.yml conf-check", data=knot)


def test_the_module_shows_no_secret_in_output_or_process_list(tmp_path):
    play = [{
        "hosts": "localhost", "connection": "local", "gather_facts": False, "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": [
            {"dns_records": {"zones": [zone_row("bind.test"), zone_row("knot.test", "knot", key_secret=WRONG)],
                             "journal": str(tmp_path / "j"),
                             "records": [{"name": f"module.{zone}", "values": [KEY]} for zone in ("bind.test", "knot.test")]},
             "register": "done", "ignore_errors": True},
            {"ansible.builtin.debug": {"var": "done"}},
            {"dns_propagation_info": {
                "zones": [{"name": "bind.test", "discover": False, "servers": [{"address": ADDRESS, "port": PORTS["bind"]}]}],
                "records": [{"name": "module.bind.test", "values": [KEY]}], "wait": 5, "every": 1}, "register": "proof"},
            {"ansible.builtin.assert": {"that": ["proof.state == 'proven'", "done is failed", "done.zones[0].state == 'changed'"]}},
            {"dns_records": {"zones": [zone_row("bind.test")], "records": [], "undo": "{{ done.undo }}"}, "register": "back"},
            {"ansible.builtin.assert": {"that": ["back is changed"]}},
        ],
    }]  # fmt: skip
    (tmp_path / "play.json").write_text(json.dumps(play))
    seen, stop = [], threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = file.read_bytes()
                except OSError:
                    continue
                if SECRETS["upd"].encode() in words or WRONG.encode() in words:
                    seen.append(words)
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        words = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", "localhost,", str(tmp_path / "play.json"), "-vvv", "--diff"]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"}
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    finally:
        stop.set()
        watcher.join()
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    assert "BADSIG" in output
    assert '-module.bind.test. 3600 IN TXT "v=DKIM1' in output, "--diff shows what was taken back"
    kept = "".join(file.read_text() for file in (tmp_path / "j").glob("*"))
    assert "module.bind.test" in kept
    for secret in (SECRETS["upd"], WRONG):
        assert secret not in output
        assert secret not in kept
    assert not seen


@pytest.mark.skipif(not IN_LAB, reason="needs the lab's own name servers and resolver")
def test_the_name_servers_of_the_lab_are_found():
    found = propagation.discover(wire.pack("alpha.test"), ask.Server("203.0.113.53"))
    assert {each.server.address for each in found.servers} >= {"198.51.100.53", "198.51.100.54"}, found.faults

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module saves, when, and what it returns; the DNS is played."""

from __future__ import annotations

import time

import pytest
from goodstanding_src.library import dkim_rotation
from goodstanding_src.module_utils.goodstanding.dkim import served
from goodstanding_src.module_utils.goodstanding.dkim.rotation import DAY, RotationError, Seen, Slot
from goodstanding_src.module_utils.goodstanding.dns import wire
from goodstanding_src.module_utils.goodstanding.store import rotations
from goodstanding_src.module_utils.goodstanding.store.database import StoreError, open_store

RECORD = "v=DKIM1; k=rsa; p=eA=="


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Return what runs the module; look: per selector what is seen in the DNS; what it would still have to wait it says instead."""

    def run(look=None, check=False, **more):
        monkeypatch.setattr(served, "zones", lambda *_: {wire.pack("a.test"): served.Zone(wire.pack("a.test"), [], [], [])})
        seen = look or {}

        def played(slots, cnames, *_):
            found = {slot.key: seen.get(slot.selector, Seen()) for slot in slots}
            return served.Looked(found, {row["name"]: "proven" for row in cnames}, [])

        monkeypatch.setattr(served, "look", played)
        p = {
            "state": "moved", "state_url": f"sqlite:///{tmp_path}/store.db", "hosts": {}, "customers": {}, "slots": 3, "zones": [],
            "proof_zones": [], "resolver": "127.0.0.1", "resolver_port": 53, "ttl": 60, "rotation": "", "rotate_days": 0,
            "emergency": False,
            "undo": "", "retire_days": 14, "keep_days": 30, "canary": "", "gravestone": True, "lost": [],
            "inventory": [], "lab_only": False, "slot_rest": 7, "run": "mine", "round": 1,
            "before": [], "patience": 0, "every": 5,
        } | more  # fmt: skip
        return dkim_rotation.run(p, time.time(), check)

    run.store = lambda: open_store(f"sqlite:///{tmp_path}/store.db")
    return run


def host(signs=(), keys=()):
    rows = [
        {"domain": "a.test", "selector": selector, "kind": "rsa", "fingerprint": "SHA256:x", "record": RECORD, "held": True, "since": 1.0}
        for selector in keys
    ]
    probe = {"signs": list(signs), "broken": {}, "message": "", "fault": ""}
    return {"mx1": {"label": "mx1", "domains": ["a.test"], "seen": {"signer": "opendkim", "keys": rows, "probes": {"a.test": probe}}}}


def test_what_is_due_is_in_the_store_when_it_is_returned_and_a_killed_run_makes_no_second_key(play):
    first = play(hosts=host())
    (slot,) = rotations.load(play.store()).slots
    assert slot.state == "planned" and first["make"]["mx1"][0]["selector"] == slot.selector
    again = play(hosts=host())  # nothing of it was done
    assert again["make"] == first["make"] and len(again["slots"]) == 1
    made = play(hosts=host(keys=[slot.selector]))  # it was done, and nobody heard of it
    assert made["make"] == {} and made["records"][0]["values"] == [RECORD]
    assert rotations.load(play.store()).slots[0].state == "generated"


def test_check_mode_and_reading_save_nothing(play, tmp_path):
    assert play(hosts=host(), check=True)["acts"][0]["verb"] == "make"
    assert not (tmp_path / "store.db").exists()
    play(hosts=host())
    before = rotations.load(play.store())
    assert play(state="read")["slots"][0]["state"] == "planned"
    assert play(hosts=host(keys=["x"]), check=True, rotation="two") and rotations.load(play.store()) == before


def test_a_key_that_may_have_signed_is_known_before_the_switch(play):
    slot = Slot("mx1", "a.test", "x", "rsa", "ready", 1.0, "one", "SHA256:x", RECORD)
    rotations.save(play.store(), rotations.load(play.store()), [slot])
    result = play({"x": Seen(primary="equal", served=True)}, hosts=host(keys=["x"]))
    assert result["sign"] == {"mx1": [{"domain": "a.test", "selectors": ["x"], "subdomains": False}]}
    assert rotations.load(play.store()).slots[0].asked


def test_a_run_that_takes_a_record_away_keeps_the_others_out_and_one_that_does_not_keeps_nobody(play):
    old = Slot("mx1", "a.test", "old", "rsa", "retiring", time.time() - 15 * DAY, "one", "SHA256:o", RECORD, True)
    new = Slot("mx1", "a.test", "new", "rsa", "active", time.time() - 15 * DAY, "two", "SHA256:x", RECORD, True, 1.0, begun=2.0)
    rotations.save(play.store(), rotations.load(play.store()), [old, new])
    dns = {"old": Seen(primary="equal", served=True), "new": Seen(primary="equal", served=True)}
    play(dns, hosts=host(["new"], ["old", "new"]), retire_days=20)
    assert rotations.held(play.store(), "yours", time.time()) == 0
    result = play(dns, hosts=host(["new"], ["old", "new"]))
    assert [act["verb"] for act in result["acts"]] == ["revoke"] and result["records"][0]["values"] == ["v=DKIM1; p="]
    assert 50 < rotations.held(play.store(), "yours", time.time()) <= 60
    known = rotations.load(play.store())
    with pytest.raises(StoreError, match="another run"):
        rotations.save(play.store(), known, [new], rotations.Hold("yours"), time.time())
    play(dns, hosts=host(["new"], ["old", "new"]), retire_days=20)  # the same run may go on
    assert rotations.held(play.store(), "yours", time.time()) == 0


def test_fewer_than_seven_days_only_in_a_lab(play):
    with pytest.raises(RotationError, match="lab_only"):
        play(hosts=host(), retire_days=3)
    play(hosts=host(), retire_days=3, lab_only=True)


def test_two_steps_back_are_two_runs(play):
    slot = Slot("mx1", "a.test", "x", "rsa", "generated", 1.0, "one", "SHA256:x", RECORD)
    rotations.save(play.store(), rotations.load(play.store()), [slot])
    assert "never signed" in play(hosts=host(keys=["x"]), undo="x")["told"][0]
    assert play(hosts=host(keys=["x"]), undo="x", round=2)["told"] == []


def test_a_host_that_cannot_be_looked_at_is_a_fault_and_moves_nothing(play):
    result = play(hosts={"mx1": {"label": "mx1", "domains": ["a.test"], "seen": {"msg": "the signer is not installed"}}})
    assert result["make"] == {} and any("not installed" in fault for fault in result["faults"])


def test_a_host_that_was_set_up_anew_gets_a_new_key(play):
    slot = Slot("mx1", "a.test", "x", "rsa", "active", 1.0, "one", "SHA256:x", RECORD, True, 1.0, begun=time.time())
    rotations.save(play.store(), rotations.load(play.store()), [slot])
    result = play({"x": Seen(primary="equal", served=True)}, hosts=host())
    assert len(result["make"]["mx1"]) == 1 and any("x of a.test on mx1" in fault for fault in result["faults"])
    assert play({"x": Seen(primary="equal", served=True)}, hosts=host())["make"] == result["make"]


def test_a_record_that_lies_in_no_zone_keeps_no_other_from_being_published(play):
    slots = [Slot("mx1", domain, "x", "rsa", "generated", 1.0, "one", "SHA256:x", RECORD) for domain in ("a.test", "b.test")]
    rotations.save(play.store(), rotations.load(play.store()), slots)
    result = play(hosts=host(keys=["x"]))
    assert [act["domain"] for act in result["acts"] if act["verb"] == "publish"] == ["a.test", "b.test"]
    assert [row["name"] for row in result["records"]] == ["x._domainkey.a.test"]


def test_a_former_customers_key_is_a_fault_and_keeps_no_other_from_being_published(play):
    own = Slot("mx1", "a.test", "x", "rsa", "generated", 1.0, "one", "SHA256:x", RECORD)
    slots = [own, own._replace(domain="b.test", fixed=True)]
    rotations.save(play.store(), rotations.load(play.store()), slots)
    result = play(hosts=host(keys=["x"]), inventory=["mx1"])
    assert any("x of b.test on mx1 is generated" in fault and "dkim_customers" in fault for fault in result["faults"])
    assert [row["name"] for row in result["records"]] == ["x._domainkey.a.test"]
    assert [row["domain"] for row in play(state="read")["dkim"]] == ["a.test"]


def test_a_host_that_left_the_inventory_is_told_until_it_is_named_as_lost(play):
    slot = Slot("mx2", "a.test", "x", "rsa", "active", 1.0, "one", "SHA256:x", RECORD, True, 1.0, begun=time.time())
    rotations.save(play.store(), rotations.load(play.store()), [slot])
    assert not any("mx2" in fault for fault in play(hosts=host(), inventory=["mx1", "mx2"])["faults"])
    result = play(hosts=host(), inventory=["mx1"])
    assert any("x of a.test on mx2" in fault for fault in result["faults"]) and result["records"] == []
    result = play(hosts=host(), inventory=["mx1"], lost=["mx2"])
    assert [row["values"] for row in result["records"]] == [["v=DKIM1; p="]]
    result = play({"x": Seen(primary="revoked")}, hosts=host(), inventory=["mx1"], lost=["mx2"])
    assert not any("mx2" in fault for fault in result["faults"]) and result["records"] == []


@pytest.mark.parametrize(("name", "told"), [("mx1", "--limit"), ("mx9", "has no keys")])
def test_a_host_is_named_as_lost_only_where_that_can_be(play, name, told):
    play(hosts=host())
    with pytest.raises(RotationError, match=told):
        play(hosts=host(), lost=[name])


def test_an_emergency_goes_on_with_a_planned_key_only_where_the_host_has_not_made_it(play):
    (planned,) = play(hosts=host())["make"]["mx1"]
    assert play(hosts=host(), emergency=True)["make"]["mx1"] == [planned]
    again = [slot._replace(urgent=False) for slot in rotations.load(play.store()).slots]
    rotations.save(play.store(), rotations.load(play.store()), again)
    result = play(hosts=host(keys=[planned["selector"]]), emergency=True, rotation="break-in")
    assert [row["selector"] for row in result["destroy"]["mx1"]] == [planned["selector"]]
    assert planned["selector"] not in [row["selector"] for row in result["make"]["mx1"]]


def test_hosts_that_share_a_key_get_copies_of_one_and_lose_it_together(play):
    there = {name: {**host()["mx1"], "shared": {"A.test": "mx"}} for name in ("mx1", "mx2")}
    first = play(hosts=there)
    (made,) = first["make"]["mx1"]
    assert list(first["make"]) == ["mx1"] and made["selector"].endswith(".mx") and first["take"] == {}
    there["mx1"]["seen"]["keys"] = host(keys=[made["selector"]])["mx1"]["seen"]["keys"]
    second = play(hosts=there)
    assert [(row["selector"], row["fingerprint"]) for row in second["take"]["mx2"]] == [(made["selector"], "SHA256:x")]
    assert [row["to"] for row in second["give"]["mx1"]] == ["mx2"] and len(second["records"]) == 1
    assert play(hosts=there)["take"] == second["take"]  # nothing of it was done
    slots = [slot._replace(state="active", verified=1.0, asked=True, record=RECORD) for slot in rotations.load(play.store()).slots]
    rotations.save(play.store(), rotations.load(play.store()), slots)
    served = {made["selector"]: Seen(primary="equal", served=True)}
    there["mx1"]["seen"]["probes"]["a.test"]["signs"] = [made["selector"]]
    lost = play(served, hosts={"mx1": there["mx1"]}, lost=["mx2"])
    assert lost["records"] == [] and [row["selector"] == made["selector"] for row in lost["make"]["mx1"]] == [False]
    assert any(act["verb"] == "wait" and act["host"] == "mx2" for act in lost["acts"])


def test_a_host_that_cannot_be_looked_at_makes_nothing_for_others(play):
    hosts = {name: {**host()["mx1"], "shared": {"a.test": "mx"}} for name in ("mx1", "mx2")}
    hosts["mx1"]["seen"] = {"msg": "the signer is down"}
    assert list(play(hosts=hosts)["make"]) == ["mx2"]


# After a break-in


def test_an_emergency_replaces_keys_of_the_rotation_whose_name_is_still_set(play):
    slot = Slot("mx1", "a.test", "x", "rsa", "active", 1.0, "2026-11", "SHA256:x", RECORD, True, 1.0, begun=1.0)
    rotations.save(play.store(), rotations.load(play.store()), [slot])
    (made,) = play(hosts=host(["x"], ["x"]), rotation="2026-11", emergency=True)["make"]["mx1"]
    again = play(hosts=host(["x"], ["x"]), rotation="2026-11", emergency=True)
    assert again["make"]["mx1"] == [made] and len(again["slots"]) == 2
    assert len(play(hosts=host(["x"], ["x", made["selector"]]), rotation="2026-11", emergency=True)["slots"]) == 2


def test_an_emergency_that_began_before_midnight_goes_on_after_it(play):
    now = time.time()
    name = f"emergency-{time.strftime('%Y%m%d', time.gmtime(now - DAY))}"
    slot = Slot("mx1", "a.test", "x", "rsa", "active", now - 600, name, "SHA256:x", RECORD, True, now, urgent=True, begun=now - 600)
    rotations.save(play.store(), rotations.load(play.store()), [slot])
    look = {"x": Seen(primary="equal", served=True)}
    assert play(look, hosts=host(["x"], ["x"]), emergency=True)["make"] == {}
    rotations.save(play.store(), rotations.load(play.store()), [slot._replace(begun=now - 2 * DAY)])
    assert play(look, hosts=host(["x"], ["x"]), emergency=True)["make"] != {}


def test_an_emergency_replaces_an_ed25519_key_that_signs_though_none_is_made_any_more(play):
    there = host(["x", "x-ed"], ["x", "x-ed"])
    there["mx1"]["seen"]["signer"], there["mx1"]["seen"]["keys"][1]["kind"] = "rspamd", "ed25519"
    for stored in (True, False):  # or it is taken in by this run
        rsa = Slot("mx1", "a.test", "x", "rsa", "active", 1.0, "one", "SHA256:x", RECORD, True, 1.0, begun=1.0)
        ed = rsa._replace(selector="x-ed", kind="ed25519")
        rotations.save(play.store(), rotations.load(play.store()), [rsa, ed] if stored else [])
        made = play(hosts=there, emergency=True)["make"]["mx1"]
        assert [row["type"] for row in made] == ["rsa", "ed25519"]
    failed = ed._replace(state="retiring", fault="its mail does not verify")
    for emergency, kinds in ((False, ["rsa"]), (True, ["rsa", "ed25519"])):
        rotations.save(play.store(), rotations.load(play.store()), [rsa, failed])
        made = play(hosts=there, emergency=emergency, rotation="" if emergency else "two")["make"]["mx1"]
        assert [row["type"] for row in made] == kinds


# What is there at the first run


def test_a_customers_key_signs_on_where_the_store_was_lost(play):
    there = host(["s1.mx1"], ["s1.mx1"])
    there["mx1"]["domains"] = ["c.test"]
    there["mx1"]["seen"]["keys"][0]["domain"] = "c.test"
    probe = there["mx1"]["seen"]["probes"]["c.test"] = there["mx1"]["seen"]["probes"].pop("a.test")
    customers = {"c.test": "a.test"}
    probe["signs"] = None  # its signer does not answer at first
    first = play({"s1.mx1": Seen(primary="equal", served=True)}, hosts=there, customers=customers)
    assert first["slots"] == [] and first["acts"] == [] and first["faults"] == []
    probe["signs"] = ["s1.mx1"]
    result = play({"s1.mx1": Seen(primary="equal", served=True)}, hosts=there, customers=customers)
    assert result["sign"] == {} and not any(act["verb"] in ("stop", "make") for act in result["acts"])
    assert [(slot["state"], slot["rotation"], slot["fixed"]) for slot in result["slots"]] == [("active", "taken in", True)]
    assert result["dkim"][1] == {"domain": "a.test", "selector": "s1.mx1.c.test", "record": RECORD}


def test_a_fixed_selector_whose_old_key_rests_on_its_host_takes_no_new_one_where_the_store_was_lost(play, monkeypatch):
    there = host(["s2.mx1"], ["s1.mx1", "s2.mx1"])
    there["mx1"]["domains"] = ["c.test"]
    for row in there["mx1"]["seen"]["keys"]:
        row.update(domain="c.test", fingerprint=f"SHA256:{row['selector']}")
    there["mx1"]["seen"]["probes"]["c.test"] = there["mx1"]["seen"]["probes"].pop("a.test")
    look = {name: Seen(primary="equal", served=True) for name in ("s1.mx1", "s2.mx1")}
    result = play(look, hosts=there, customers={"c.test": "a.test"}, emergency=True)
    assert {slot["selector"]: slot["state"] for slot in result["slots"]} == {"s1.mx1": "retiring", "s2.mx1": "active", "s3.mx1": "planned"}
    assert [row["selector"] for row in result["make"]["mx1"]] == ["s3.mx1"] and result["sign"] == {}
    assert not any("s1.mx1" in fault for fault in result["faults"])
    monkeypatch.setattr(dkim_rotation.engines, "verdicts", lambda *_: {"s2.mx1": dkim_rotation.engines.Verdict(1, "the linter says t=y")})
    result = play(look, hosts=there, customers={"c.test": "a.test"})
    acts = {act["selector"]: act for act in result["acts"]}
    assert (acts["s1.mx1"]["verb"], acts["s2.mx1"]["verb"], result["sign"]) == ("wait", "hold", {}), "the one that rests is no way back"
    assert "s2.mx1 was taken in, and its mail does not verify" in acts["s2.mx1"]["why"]


def test_a_customers_first_key_goes_on_where_the_store_was_lost_before_it_signed(play):
    there = host([], ["s1.mx1"])
    there["mx1"]["domains"] = ["c.test"]
    for row in there["mx1"]["seen"]["keys"]:
        row.update(domain="c.test")
    there["mx1"]["seen"]["probes"]["c.test"] = there["mx1"]["seen"]["probes"].pop("a.test")
    result = play({"s1.mx1": Seen(primary="equal", served=True)}, hosts=there, customers={"c.test": "a.test"})
    assert [(slot["selector"], slot["state"] in ("retiring", "active")) for slot in result["slots"]] == [("s1.mx1", False)]
    assert not any("begin a rotation by name" in fault for fault in result["faults"])


def test_a_host_that_was_lost_and_is_back_gets_a_key_whatever_was_taken_back_before(play):
    lost = Slot("mx1", "a.test", "x", "rsa", "gravestone", 5.0, "", "SHA256:x", RECORD, True, begun=1.0)
    undone = Slot("mx1", "a.test", "y", "rsa", "removed", 4.0, "two", "SHA256:y", RECORD, begun=2.0)
    rotations.save(play.store(), rotations.load(play.store()), [lost, undone])
    assert [row["domain"] for row in play({}, hosts=host())["make"]["mx1"]] == ["a.test"]


def test_another_emergency_takes_back_what_the_first_one_made_and_not_yet_used(play):
    signs = Slot("mx1", "a.test", "x", "rsa", "active", 1.0, "one", "SHA256:x", RECORD, True, begun=1.0, verified=1)
    made = Slot("mx1", "a.test", "y", "rsa", "published", time.time() - 600, "emergency-20260101", "SHA256:y", RECORD, True, urgent=True,
                begun=time.time() - 600)  # fmt: skip
    rotations.save(play.store(), rotations.load(play.store()), [signs, made])
    result = play({}, hosts=host(["x"], ["x", "y"]), emergency=True, rotation="again")
    assert {slot["selector"]: slot["state"] for slot in result["slots"]}["y"] == "retiring", "it is taken back, and signs nothing"
    assert len(result["make"]["mx1"]) == 1


def test_a_switch_of_one_domain_leaves_another_domain_the_key_of_which_nothing_was_known(play):
    there = host([], ["k"])
    there["mx1"]["domains"] = ["a.test", "b.test"]
    there["mx1"]["seen"]["keys"] += [{**there["mx1"]["seen"]["keys"][0], "domain": "b.test", "selector": "Old"}]
    there["mx1"]["seen"]["probes"]["b.test"] = {"signs": ["old"], "broken": {}, "message": "", "fault": ""}
    ready = Slot("mx1", "a.test", "k", "rsa", "ready", 1.0, "one", "SHA256:x", RECORD, begun=1.0)
    planned = Slot("mx1", "b.test", "p", "rsa", "planned", 1.0, "one", begun=1.0)
    gone = planned._replace(selector="g", state="removed")  # that one was taken back
    rotations.save(play.store(), rotations.load(play.store()), [ready, planned, gone])
    result = play({"k": Seen(primary="equal", served=True), "old": Seen(primary="equal", served=True)}, hosts=there)
    assert [(row["domain"], row["selectors"]) for row in result["sign"]["mx1"]] == [("a.test", ["k"]), ("b.test", ["old"])]


def test_a_key_that_was_taken_in_signs_on_where_our_engines_do_not_take_its_record(play, monkeypatch):
    monkeypatch.setattr(dkim_rotation.engines, "verdicts", lambda *_: {"x": dkim_rotation.engines.Verdict(1, "the linter says t=y")})
    for _ in range(2):
        result = play({"x": Seen(primary="equal", served=True)}, hosts=host(["x"], ["x"]))
        assert result["sign"] == {} and [act["verb"] for act in result["acts"]] == ["hold"]
        assert "t=y" in result["acts"][0]["why"]
    rotated = play({"x": Seen(primary="equal", served=True)}, hosts=host(["x"], ["x"]), rotation="two")
    assert len(rotated["make"]["mx1"]) == 1 and rotated["sign"] == {}
    monkeypatch.setattr(dkim_rotation.engines, "verdicts", lambda *_: {"x": dkim_rotation.engines.Verdict(2, "")})
    play({"x": Seen(primary="equal", served=True)}, hosts=host(["x"], ["x"]))
    assert {slot.selector: bool(slot.verified) for slot in rotations.load(play.store()).slots}["x"]


def test_a_host_that_was_lost_and_is_back_gets_a_key_and_one_whose_key_was_taken_back_does_not(play):
    lost = Slot("mx1", "a.test", "x", "rsa", "gravestone", 1.0, "", "SHA256:x", RECORD, True, begun=1.0)
    rotations.save(play.store(), rotations.load(play.store()), [lost])
    assert len(play(hosts=host())["make"]["mx1"]) == 1
    back = lost._replace(selector="y", state="removed", rotation="one", begun=2.0)
    rotations.save(play.store(), rotations.load(play.store()), [lost, back])
    assert play(hosts=host())["make"] == {}


def test_a_fixed_selector_rests_as_long_as_its_host_lets_it(play):
    there = host()
    there["mx1"]["domains"] = ["c.test"]
    gone = Slot("mx1", "c.test", "s1.mx1", "rsa", "gravestone", time.time() - 15 * DAY, "one", "SHA256:x", RECORD, True, fixed=True)
    rotations.save(play.store(), rotations.load(play.store()), [gone])
    asked = {"hosts": there, "customers": {"c.test": "a.test"}, "slots": 1, "rotation": "two"}
    result = play(**asked, slot_rest=30)
    assert result["make"] == {} and [slot["state"] for slot in result["slots"]] == ["gravestone"]
    assert [row["selector"] for row in play(**asked)["make"]["mx1"]] == ["s1.mx1"]


def test_the_controllers_key_is_limited_to_the_dkim_names_of_each_zone(play):
    zones = [{"name": "a.test", "key_name": "upd"}, {"name": "other.test", "key_name": "upd"}, {"name": "c.test", "backend": "manual"}]
    found = play(hosts=host(), zones=zones, customers={"x.test": "keys.a.test"})["policies"]
    assert list(found) == ["a.test"]
    assert found["a.test"]["bind"].count("grant upd subdomain ") == 2 and "zonesub" not in found["a.test"]["bind"]
    assert "grant upd subdomain _domainkey.a.test. TXT;" in found["a.test"]["bind"]
    assert "update-owner-name: [_domainkey.keys.a.test.]" in found["a.test"]["knot"]

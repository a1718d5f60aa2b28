# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet is told to do, and what comes of it where runs are killed, and where two run at once."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.dkim import fleet, rotation, served
from goodstanding_src.module_utils.goodstanding.dkim.fleet import Host
from goodstanding_src.module_utils.goodstanding.dkim.rotation import DAY, Act, Policy, RotationError, Seen, Slot, Wish
from goodstanding_src.module_utils.goodstanding.dns import wire
from goodstanding_src.module_utils.goodstanding.store import rotations
from goodstanding_src.module_utils.goodstanding.store.database import StoreError, open_store

sys.path.insert(0, str(Path(__file__).parent))
from test_rotation import HOSTS, POLICY, World, to_the_end, wishes  # a folder of tests, no package

NOW = 1_795_000_000.0
SLOT = Slot("mx1", "a.test", "20261128.mx1", "rsa", "active", NOW, "one", "SHA256:x", "v=DKIM1; k=rsa; p=eA==", True, NOW, begun=NOW)
CUSTOMERS = {"c.test": "keys.test"}


def host(name="mx1", domains=("a.test",), signs=None, keys=(), **more):
    probes = {domain: {"signs": told, "broken": {}, "message": "", "fault": ""} for domain, told in (signs or {}).items()}
    return Host(name, name, tuple(domains), seen={"signer": "rspamd", "keys": list(keys), "probes": probes}, **more)


def key_of(slot, **more):
    return {"domain": slot.domain, "selector": slot.selector, "kind": slot.kind, "fingerprint": slot.fingerprint, "record": slot.record,
            "state": "present", "since": slot.begun, "held": True, "fault": "", **more}  # fmt: skip


# Which keys are due


def test_a_rotation_by_name_reaches_each_line_once():
    wanted = [Wish("mx1", "a.test"), Wish("mx2", "a.test")]
    assert fleet.due([], wanted, "", 0, NOW) == wanted
    assert fleet.due([SLOT], wanted, "", 0, NOW) == wanted[1:]
    assert fleet.due([SLOT], wanted, "two", 0, NOW) == wanted
    assert fleet.due([SLOT, SLOT._replace(selector="n", rotation="two", state="removed")], wanted[:1], "two", 0, NOW) == []


def test_keys_are_replaced_by_age_and_one_that_was_taken_back_is_not_made_again_at_once():
    wanted = [Wish("mx1", "a.test")]
    assert fleet.due([SLOT], wanted, "", 10 * DAY, NOW + 9 * DAY) == []
    assert fleet.due([SLOT], wanted, "", 10 * DAY, NOW + 10 * DAY) == wanted
    gone = [SLOT, SLOT._replace(selector="n", state="removed", begun=NOW + 9 * DAY)]
    assert fleet.due(gone, wanted, "", 10 * DAY, NOW + 11 * DAY) == []


def test_a_line_in_which_nothing_signs_is_told():
    wanted = [Wish("mx1", "a.test")]
    assert fleet.unsigned([SLOT], wanted) == []
    assert fleet.unsigned([SLOT._replace(state="generated")], wanted) == []
    assert "a.test on mx1" in fleet.unsigned([SLOT._replace(state="retiring")], wanted)[0]


def test_a_key_that_its_host_has_no_more_is_replaced_and_told():
    wanted, there = [Wish("mx1", "a.test")], {"mx1": host(signs={"a.test": []})}
    assert fleet.missing([SLOT], there) == {SLOT.key}
    assert fleet.due([SLOT], wanted, "", 0, NOW, {SLOT.key}) == wanted
    assert "a.test on mx1" in fleet.unsigned([SLOT], wanted, {SLOT.key})[0]
    assert "no more" in fleet.astray([SLOT], {}, {SLOT.key})[0]
    unseen = Host("mx1", "mx1", ("a.test",), seen={"msg": "down"})
    held, signs = host(signs={"a.test": []}, keys=[key_of(SLOT)]), host(signs={"a.test": [SLOT.selector]})
    for known in ({}, *({"mx1": each} for each in (unseen, held, signs, host(), host(signs={"a.test": None})))):
        assert fleet.missing([SLOT], known) == set()


def test_a_missing_key_keeps_no_other_domain_from_its_switch():
    new, acts = SLOT._replace(domain="b.test", state="ready"), [Act("switch", "mx1", "b.test", SLOT.selector, "")]
    here = host(signs={"a.test": [], "b.test": []}, keys=[key_of(new)])
    assert [row["domain"] for row in fleet.signing([SLOT, new], acts, here)] == ["b.test"]


@pytest.mark.parametrize(
    ("saw", "told"),
    [
        ({"primary": "absent", "served": False}, "is not on the primary"),
        ({"primary": "other", "served": False}, "has another value"),
        ({"primary": "revoked"}, "is revoked"),
        ({"primary": "equal", "served": False, "stale": ("192.0.2.2: absent",)}, "192.0.2.2"),
    ],
)
def test_a_key_that_signs_without_its_record_is_told(saw, told):
    (fault,) = fleet.astray([SLOT], {SLOT.key: Seen(signing=True, **saw)}, set())
    assert told in fault and SLOT.selector in fault
    assert fleet.astray([SLOT._replace(verified=0.0)], {SLOT.key: Seen(signing=True, **saw)}, set()) == []  # it is being proven
    assert fleet.astray([SLOT], {SLOT.key: Seen(signing=True, primary="equal", served=True)}, set()) == []
    assert fleet.astray([SLOT], {}, set()) == []


def test_why_a_key_was_taken_out_of_use_is_told_until_a_newer_one_is_on_its_way():
    bad = SLOT._replace(selector="bad", state="retiring", fault="its mail does not verify (body hash)", begun=NOW + 1)
    assert "body hash" in fleet.astray([SLOT, bad], {}, set())[0]
    assert fleet.astray([SLOT, bad, SLOT._replace(selector="n", state="planned", begun=NOW + 2)], {}, set()) == []


def test_a_key_of_a_host_or_domain_that_left_the_inventory_is_told():
    there = {"mx1": host()}
    assert fleet.left([SLOT], there, ["mx1"], {}) == []
    assert "dkim_lost" in fleet.left([SLOT], {}, ["mx2"], {})[0]
    assert fleet.left([SLOT], {}, ["mx1"], {}) == []  # --limit
    assert "dkim_domains" in fleet.left([SLOT._replace(domain="b.test", state="retiring")], there, ["mx1"], {})[0]
    assert fleet.left([SLOT], {}, ["mx2"], {SLOT.key: Seen(primary="absent")}) == []  # taken out by hand
    assert fleet.left([SLOT._replace(state="gravestone")], {}, ["mx2"], {}) == []


def test_ed25519_only_where_the_signer_can_sign_with_both():
    assert [wish.kind for wish in fleet.wishes([host(ed25519=True)], {})] == ["rsa", "ed25519"]
    plain = host(ed25519=True)
    assert [wish.kind for wish in fleet.wishes([plain._replace(seen={**plain.seen, "signer": "opendkim"})], {})] == ["rsa"]


def test_an_ed25519_key_of_a_signer_that_cannot_sign_with_it_is_told_until_its_record_is_gone():
    ed, there = SLOT._replace(selector="ed", kind="ed25519"), host(signs={"a.test": [SLOT.selector]}, keys=[key_of(SLOT)])
    assert fleet.left([SLOT, ed], {"mx1": there}, ["mx1"], {}) == []
    now = {"mx1": there._replace(seen={**there.seen, "signer": "opendkim"})}
    (told,) = fleet.left([SLOT, ed], now, ["mx1"], {})
    assert told.startswith("ed of a.test on mx1 is active") and "by hand" in told
    gone = {ed.key: Seen(primary="absent", signing=False)}
    assert fleet.left([SLOT, ed], now, ["mx1"], gone) == fleet.astray([SLOT, ed], gone, fleet.missing([SLOT, ed], now)) == []
    assert fleet.missing([SLOT, ed], {"mx1": there}) == {ed.key}


def test_a_key_under_a_customers_fixed_selector_is_taken_in_as_one():
    for selector, fixed in (("s7.mx1", True), ("s2-ed.mx1", True), ("s1.mx", True), ("s1.mx2", False), ("20261128.mx1", False)):
        row = key_of(SLOT, domain="c.test", selector=selector.upper())
        there = host(domains=["c.test"], signs={"c.test": [selector]}, keys=[row], shared={"c.test": "mx"})
        assert [(slot.selector, slot.fixed) for slot in fleet.adopted([], [there], CUSTOMERS, NOW)] == [(selector, fixed)]


def test_no_key_is_planned_before_it_is_known_what_a_host_signs_with():
    wanted, unseen = [Wish("mx1", "a.test")], Host("mx1", "mx1", ("a.test",), seen={"msg": "down"})
    silent = host(signs={"a.test": None}, keys=[key_of(SLOT)])
    for there in (unseen, silent):
        assert fleet.sure([], wanted, {"mx1": there}) == [] and fleet.sure([SLOT], wanted, {"mx1": there}) == wanted
    for there in (host(signs={"a.test": None}), host(), host(signs={"a.test": []}, keys=[key_of(SLOT)])):
        assert fleet.sure([], wanted, {"mx1": there}) == wanted


def test_keys_that_sign_already_are_taken_in_and_others_are_not():
    signing = host(signs={"a.test": [SLOT.selector]}, keys=[key_of(SLOT), key_of(SLOT, selector="resting")])
    (found,) = fleet.adopted([], [signing], {}, NOW + 5)
    assert (found.selector, found.state, found.begun, found.fingerprint) == (SLOT.selector, "active", NOW, "SHA256:x")
    assert fleet.adopted([found], [signing], {}, NOW + 5) == [found]
    by_hand = found._replace(state="published", asked=False)
    assert fleet.adopted([by_hand], [signing], {}, NOW + 5) == [by_hand], "it signed before it was proven"
    assert fleet.adopted([], [host(signs={"a.test": None}, keys=[key_of(SLOT)])], {}, NOW) == []


# Customers' fixed selectors


def test_a_customers_selectors_are_each_hosts_own_and_lead_into_our_zone():
    wanted = fleet.wishes([host(domains=["c.test"])], CUSTOMERS, 2)
    assert wanted[0].fixed == ("s1.mx1", "s2.mx1")
    assert fleet.cnames(wanted, CUSTOMERS)[1] == {
        "domain": "c.test",
        "name": "s2.mx1._domainkey.c.test",
        "target": "s2.mx1.c.test._domainkey.keys.test",
    }
    slot = SLOT._replace(domain="c.test", selector="s2.mx1", fixed=True)
    assert fleet.where(slot, CUSTOMERS).target == "s2.mx1.c.test._domainkey.keys.test"
    assert fleet.where(slot, {}) is None
    with pytest.raises(RotationError, match="dkim_label"):
        fleet.wishes([host(domains=["c.test"]), Host("other", "mx1", ("c.test",))], CUSTOMERS)


# A key that hosts share


def test_hosts_with_one_word_for_a_domain_share_its_key_and_no_host_has_that_word_by_chance():
    shared = {"a.test": "MX.example", "c.test": "mx"}
    two = [host(name, ["a.test", "b.test", "c.test"], shared=shared) for name in ("mx1", "mx2")]
    found = {(wish.host, wish.domain): (wish.label, wish.shared, wish.fixed) for wish in fleet.wishes(two, CUSTOMERS, 1)}
    assert found["mx1", "a.test"] == found["mx2", "a.test"] == ("mx", True, ())
    assert found["mx2", "b.test"] == ("mx2", False, ()) and found["mx2", "c.test"] == ("mx", True, ("s1.mx",))
    assert len(fleet.cnames(fleet.wishes(two, CUSTOMERS, 2), CUSTOMERS)) == 2
    with pytest.raises(RotationError, match="one label, mx"):
        fleet.wishes([*two, host("mx", ["c.test"])], CUSTOMERS)
    with pytest.raises(RotationError, match="under no name"):
        fleet.wishes([host(shared={"a.test": "."})], {})


def test_who_has_a_shared_key_seals_it_for_who_lacks_it():
    mine = SLOT._replace(host="mx2", state="planned", shared="mx")
    acts = [Act("copy", "mx2", "a.test", SLOT.selector, "", "mx1")]
    hosts = {"mx1": host(tags=(("t", "s"),)), "mx2": host("mx2")}
    found = fleet.orders([SLOT._replace(shared="mx"), mine], acts, hosts, {}, 60)
    key = {"domain": "a.test", "selector": SLOT.selector, "type": "rsa", "slot": False, "fingerprint": "SHA256:x", "tags": {"t": "s"}}
    assert (found.take, found.give, found.make) == ({"mx2": [key]}, {"mx1": [{"to": "mx2", "key": key}]}, {})


@pytest.mark.parametrize("keys", [1, 2])
def test_shared_keys_that_sign_already_are_taken_in_as_shared_where_two_hosts_have_one(keys):
    signing = [
        host(name, signs={"a.test": [SLOT.selector]}, keys=[key_of(SLOT, fingerprint=f"SHA256:{at % keys}")], shared={"a.test": "mx"})
        for at, name in enumerate(("mx1", "mx2"))
    ]
    assert {slot.shared for slot in fleet.adopted([], signing, {}, NOW)} == {"mx" if keys == 1 else ""}


def test_a_shared_record_is_published_as_long_as_one_host_needs_it():
    rows = [SLOT._replace(host=name, shared="mx", state=state) for name, state in (("mx1", "gravestone"), ("mx2", "active"))]
    for each in (rows, [rows[0]._replace(host="mx3"), rows[1]]):
        assert fleet.public(each, {}) == [{"domain": "a.test", "selector": SLOT.selector, "record": SLOT.record}]


def test_all_taken_back_is_the_newest_of_those_who_share():
    old = [SLOT._replace(host=name, shared="mx", selector="old", state="retiring") for name in ("mx1", "mx2")]
    new = SLOT._replace(host="mx1", shared="mx", begun=NOW + 1)
    slots, _ = fleet.taken_back([old[0], new, old[1]._replace(state="active")], "all")
    assert [(slot.host, slot.selector) for slot in slots if slot.goal == "activate"] == [("mx1", "old")]


def test_a_shared_key_that_signs_on_one_host_and_is_ready_on_another_is_taken_back_on_both():
    old = [SLOT._replace(host=name, shared="mx", selector="old", state="retiring", begun=NOW - 1) for name in ("mx1", "mx2")]
    new = [SLOT._replace(host="mx1", shared="mx", state="ready"), SLOT._replace(host="mx2", shared="mx")]
    slots, told = fleet.taken_back([old[0]._replace(state="active"), old[1], *new], SLOT.selector)
    assert len(told) == 2
    assert {(slot.host, slot.selector): slot.goal for slot in slots if slot.goal} == {
        ("mx2", "old"): "activate", ("mx1", SLOT.selector): "withdraw"
    }  # fmt: skip


def test_what_mail_dns_publishes():
    fixed = SLOT._replace(domain="c.test", selector="s1.mx1", fixed=True, state="revoked")
    assert fleet.public([SLOT, fixed, SLOT._replace(selector="n", state="planned", record="")], CUSTOMERS) == [
        {"domain": "a.test", "selector": SLOT.selector, "record": SLOT.record},
        {"domain": "c.test", "selector": "s1.mx1", "cname": "s1.mx1.c.test._domainkey.keys.test"},
        {"domain": "keys.test", "selector": "s1.mx1.c.test", "revoked": True},
    ]
    assert fleet.public([fixed._replace(state="gravestone")], {}) == []  # of a former customer


def test_a_key_of_a_former_customer_is_told_and_holds_no_other():
    fixed = SLOT._replace(domain="c.test", selector="s1.mx1", fixed=True, record="v=DKIM1; p=eA==")
    assert fleet.former([SLOT, fixed], CUSTOMERS) == fleet.former([SLOT, fixed._replace(state="gravestone")], {}) == []
    (told,) = fleet.former([SLOT, fixed], {})
    assert "s1.mx1 of c.test on mx1 is active" in told and "dkim_customers" in told
    assert [row["domain"] for row in fleet.public([fixed, SLOT], {})] == ["a.test"]
    acts = [Act(verb, slot.host, slot.domain, slot.selector, "") for slot in (fixed, SLOT) for verb in ("make", "revoke")]
    orders = fleet.orders([fixed, SLOT], acts, {"mx1": host()}, {}, 60)
    assert [row["name"] for row in orders.records] == [f"{SLOT.selector}._domainkey.a.test"]
    assert [row["domain"] for row in orders.make["mx1"]] == ["a.test"]
    zones = {wire.pack("a.test"): served.Zone(wire.pack("a.test"), [], [], [])}
    looked = served.look([fixed, SLOT], [], {}, zones, 60)
    assert (list(looked.seen), looked.faults) == ([SLOT.key], [])


# What a host is to sign with


def test_a_switch_changes_its_own_line_and_leaves_every_other_as_it_signs():
    new, other = SLOT._replace(selector="new", state="ready"), SLOT._replace(domain="b.test", selector="b")
    inventory = ({"domain": "hand.test", "selectors": ["h"]}, {"domain": "a.test", "selectors": ["x"], "subdomains": True})
    here = host(signs={"a.test": [SLOT.selector], "b.test": None}, signing=inventory)
    acts = [Act("switch", "mx1", "a.test", "new", "")]
    assert fleet.signing([SLOT, new, other], acts, here) == [
        {"domain": "a.test", "selectors": ["new"], "subdomains": True},
        {"domain": "b.test", "selectors": ["b"], "subdomains": False},
        {"domain": "hand.test", "selectors": ["h"]},
    ]


def test_what_signs_is_not_switched_by_the_way():
    """One that is to go first in another domain must not bring along what is not due here."""
    retiring = SLOT._replace(selector="old", state="retiring")
    here = host(signs={"a.test": ["old"], "b.test": []})
    found = fleet.signing(
        [retiring, SLOT, SLOT._replace(domain="b.test", state="ready")], [Act("switch", "mx1", "b.test", SLOT.selector, "")], here
    )
    assert [row["selectors"] for row in found] == [["old"], [SLOT.selector]]


def test_an_ed25519_key_never_stays_alone():
    ed = SLOT._replace(selector="ed", kind="ed25519")
    here = host(signs={"a.test": [SLOT.selector, "ed"]})
    assert fleet.signing([SLOT, ed], [], here) == [{"domain": "a.test", "selectors": [SLOT.selector, "ed"], "subdomains": False}]
    assert fleet.signing([SLOT, ed], [Act("stop", "mx1", "a.test", SLOT.selector, "")], here) == []


def test_a_host_that_was_not_looked_at_is_told_nothing():
    acts = [Act("make", "mx1", "a.test", SLOT.selector, ""), Act("revoke", "mx1", "a.test", SLOT.selector, "")]
    found = fleet.orders([SLOT], acts, {"mx1": Host("mx1", "mx1", ("a.test",), seen={"msg": "down"})}, {}, 60)
    assert (found.make, found.sign) == ({}, {})
    assert found.records == [
        {"name": f"{SLOT.selector}._domainkey.a.test", "type": "TXT", "mode": "exclusive", "ttl": 60, "values": ["v=DKIM1; p="]}
    ]


def test_another_key_under_a_fixed_selector_is_not_this_one():
    here = host(signs={"a.test": []}, keys=[key_of(SLOT, fingerprint="SHA256:other")])
    assert fleet.seen([SLOT], {"mx1": here}, {}, {})[SLOT.key].held is False
    assert fleet.seen([SLOT], {}, {}, {})[SLOT.key].held is None


# Taking back


def test_taken_back_twice_is_taken_back_once():
    world = World()
    slots = to_the_end(world, rotation.begin([], wishes(), POLICY, world.now, "one").slots, days=4)
    world.pass_time(DAY)
    slots = to_the_end(world, rotation.begin(slots, wishes(), POLICY, world.now, "two").slots, days=2)
    new = next(slot for slot in slots if slot.rotation == "two" and slot.key[:2] == ("mx1", "a.test"))
    for what in (new.selector, new.selector, "all", "all"):
        slots, told = fleet.taken_back(slots, what)
        assert told
        slots = to_the_end(world, slots, days=1)
        mine = {slot.rotation: slot.state for slot in slots if slot.line == new.line}
        assert mine == {"one": "active", "two": "retiring"}
    assert {slot.state for slot in slots if slot.rotation == "two"} == {"retiring"}
    with pytest.raises(RotationError, match="give one of 2"):
        fleet.taken_back(slots, "nobody")


def test_a_host_that_has_no_way_back_is_told_and_keeps_no_other_from_its_own():
    old = SLOT._replace(selector="old", state="retiring", begun=NOW - 1, shared="mx")
    new = [SLOT._replace(host=name, shared="mx") for name in ("mx1", "mx2")]
    gone = [old._replace(host="mx2", state="gravestone"), new[0]._replace(host="mx3", state="gravestone")]
    for what in (SLOT.selector, "all"):
        slots, told = fleet.taken_back([old, *new, *gone], what)
        assert [slot.key for slot in slots if slot.goal] == [old.key]
        assert len(told) == 2 and told[1].startswith("mx2: ") and "no key to go back to" in told[1]
    with pytest.raises(RotationError, match=r"mx2: .* no key to go back to"):
        fleet.taken_back([new[1], *gone], SLOT.selector)
    with pytest.raises(RotationError, match=r"old of a\.test is gravestone"):
        fleet.taken_back([new[1], *gone], "old")


# When another look is worth it


def test_a_run_waits_for_what_is_nearly_over_and_for_nothing_else():
    act = Act("publish", "mx1", "a.test", SLOT.selector, "")

    def pause(slot, acts=(), before=(), patience=60.0, **saw):
        return fleet.pause([slot], list(acts), set(before), {slot.key: Seen(**saw)}, Policy(), NOW + 10, 5.0, patience)

    assert pause(SLOT) is None
    assert pause(SLOT, [act]) == 0.0
    assert pause(SLOT._replace(state="generated"), [act], [act[:4]]) == 5.0
    assert pause(SLOT._replace(state="generated"), [act], [act[:4]], patience=4.0) is None
    assert pause(SLOT._replace(state="propagated"), wait=40.0) == 30.0
    assert pause(SLOT._replace(state="propagated"), wait=4000.0) is None
    assert pause(SLOT, primary="equal", served=False) == 5.0  # published again, and a secondary is late
    assert pause(SLOT, primary="other", served=False) is pause(SLOT, primary="equal", served=None) is None
    assert pause(SLOT._replace(state="retiring")) is None
    assert pause(SLOT._replace(state="retiring", since=NOW + 30 - 14 * DAY)) == 20.0


# Runs that are killed, and two at once


class Run:
    """A run of the playbook against the played world: it saves first, then carries out, and may be killed or stand still anywhere."""

    def __init__(self, world, engine, name):
        self.world, self.engine, self.name = world, engine, name
        self.acts, self.slots = [], []

    def decide(self, undo=""):
        known = rotations.load(self.engine)
        seen = self.world.see(known.slots)
        slots = rotation.begin(
            known.slots, fleet.due(known.slots, wishes(), "", 60 * DAY, self.world.now), POLICY, self.world.now, self.name
        ).slots
        if undo:
            slots = fleet.taken_back(known.slots, undo)[0]
        step = rotation.step(slots, seen, POLICY, self.world.now)
        hold = rotations.Hold(self.name, rotations.HOLD if any(act.verb in fleet.TAKING for act in step.acts) else 0.0)

        def save():
            self.acts, self.slots = [], []
            rotations.save(self.engine, known, step.slots, hold, now=self.world.now)
            self.acts, self.slots = list(step.acts), step.slots

        return save

    def carry_out(self, number):
        """The DNS comes first, as in the playbook."""
        self.acts.sort(key=lambda act: act.verb not in ("publish", "restore", "revoke", "unpublish"))
        for act in self.acts[:number]:
            self.world.do(act, self.slots)
        self.acts = self.acts[number:]


@pytest.mark.parametrize("seed", range(5))
def test_two_runs_at_once_that_are_killed_anywhere_never_let_mail_fail(seed, tmp_path):
    chance, world, engine = random.Random(seed), World(), open_store(f"sqlite:///{tmp_path}/store.db")
    runs = [Run(world, engine, "a"), Run(world, engine, "b")]
    refused = 0
    for _ in range(150):
        saves = []
        for run in chance.sample(runs, chance.choice([1, 2])):
            try:
                saves.append((run, run.decide("all" if chance.random() < 0.05 else "")))
            except RotationError:
                continue
        for run, save in saves:
            try:
                save()
            except StoreError:
                refused += 1
                continue
            # A run that takes records away does so within its hold, or is dead.
            run.carry_out(chance.choice([0, 2, 99]))
            run.acts = [act for act in run.acts if act.verb not in fleet.TAKING] if chance.random() < 0.5 else []
        world.transfer()
        world.pass_time(chance.choice([60.0, 3600.0, DAY, 3 * DAY]))
        for run in runs:
            run.carry_out(chance.choice([0, 99]))  # late, upon a world that moved on
        check(world)
    assert refused
    for _ in range(200):
        runs[0].decide()()
        runs[0].carry_out(99)
        world.transfer()
        world.pass_time(DAY / 4)
    world.check()
    slots = rotations.load(engine).slots
    assert {(slot.host, slot.domain) for slot in slots if slot.state == "active" and slot.verified} == {
        (name, domain) for name in HOSTS for domain in ("a.test", "b.test")
    }


def check(world):
    for (name, domain, _), selector in world.signs.items():
        assert world.keys.get((name, domain, selector)), f"{name} signs {domain} with {selector}, whose key is gone"
        assert world.dns["primary"].get((domain, selector)) == world.keys[name, domain, selector], f"{selector} of {domain} is not served"

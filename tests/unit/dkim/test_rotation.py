# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotation against a played world: hosts with signers, a primary with secondaries that lag, runs that end anywhere."""

from __future__ import annotations

import contextlib
import random

import pytest
from goodstanding_src.module_utils.goodstanding.dkim import fleet, rotation
from goodstanding_src.module_utils.goodstanding.dkim.rotation import DAY, Act, Policy, RotationError, Seen, Wish
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

HOSTS, DOMAINS = ("mx1", "mx2", "mx3"), ("a.test", "b.test")
POLICY = Policy(canary="mx2")
WAIT = 3600.0
SERVERS = ("primary", "second", "third")


class World:
    """What there is, apart from what the machine believes."""

    def __init__(self):
        self.now = 1_795_000_000.0
        self.keys: dict[tuple, str] = {}  # (host, domain, selector): fingerprint
        self.dns: dict[str, dict[tuple, str]] = {server: {} for server in SERVERS}  # (domain, selector): fingerprint or "revoked"
        self.stale: set[str] = set()
        self.signs: dict[tuple, str] = {}  # (host, domain, kind): selector
        self.signed_at: dict[tuple, float] = {}
        self.proved: dict[tuple, int] = {}
        self.bad: set[tuple] = set()  # keys whose mail does not verify
        self.made = 0
        self.down: set[str] = set()  # hosts out of reach

    def pass_time(self, seconds):
        for (host, domain, _), selector in self.signs.items():
            self.signed_at[(host, domain, selector)] = self.now + seconds
        self.now += seconds

    def transfer(self):
        for server in SERVERS[1:]:
            if server not in self.stale:
                self.dns[server] = dict(self.dns["primary"])

    def see(self, slots, blind=()):
        return {slot.key: Seen() if slot.key in blind else self.seen(slot) for slot in slots}

    def seen(self, slot):
        name, own = (slot.domain, slot.selector), self.keys.get(slot.key)
        value = self.dns["primary"].get(name)
        primary = "absent" if value is None else value if value == "revoked" else "equal" if value == own else "other"
        if slot.fingerprint and value == slot.fingerprint:
            primary = "equal"
        stale = tuple(server for server in SERVERS if self.dns[server].get(name) != (slot.fingerprint or own))
        signing = self.signs.get(slot.line) == slot.selector
        proved = self.proved.get(slot.key, 0) if signing else 0
        broken = "body hash" if proved and slot.key in self.bad else ""
        if slot.host in self.down:
            return Seen(None, "", "", primary, not stale, stale, WAIT)
        return Seen(own is not None, own or "", f"p={own}" if own else "", primary, not stale, stale, WAIT, signing,
                    0 if broken else proved, broken)  # fmt: skip

    def do(self, act: Act, slots):
        """Carry one act out as the real ones do: each may be done twice."""
        key, name = (act.host, act.domain, act.selector), (act.domain, act.selector)
        slot = next(one for one in slots if one.key == key)
        primary = self.dns["primary"]
        if self.down & {act.host, act.source} and act.verb in ("make", "copy", "switch", "stop", "prove", "destroy"):
            return
        if act.verb == "copy":
            self.keys[key] = self.keys[act.source, act.domain, act.selector]
        elif act.verb == "make" and key not in self.keys:
            self.made += 1
            self.keys[key] = f"key{self.made}"
        elif act.verb == "publish":
            assert primary.get(name) in (None, "revoked", slot.fingerprint), "a key in use would be overwritten"
            primary[name] = slot.fingerprint
        elif act.verb == "switch":
            assert key in self.keys, "it would sign with a key that is not there"
            for server in SERVERS:
                assert self.dns[server].get(name) == self.keys[key], f"it would sign unproven: {server} does not serve {name}"
            self.signs[slot.line] = act.selector
            self.signed_at[key] = self.now
        elif act.verb == "stop":
            if self.signs.get(slot.line) == act.selector:
                del self.signs[slot.line]
        elif act.verb == "prove":
            self.proved[key] = 2
        elif act.verb in ("revoke", "unpublish"):
            self.may_go(slot, slots)
            if act.verb == "revoke":
                primary[name] = "revoked"
            else:
                primary.pop(name, None)
        elif act.verb == "restore":
            primary[name] = slot.fingerprint
        elif act.verb == "destroy":
            assert self.signs.get(slot.line) != act.selector, "a key in use would be destroyed"
            self.keys.pop(key, None)

    def may_go(self, slot, slots):
        for host in HOSTS:
            last = self.signed_at.get((host, slot.domain, slot.selector))
            urgent = any(one.urgent and one.line == (host, slot.domain, slot.kind) and one.state == "active" for one in slots)
            if last is not None and self.dns["primary"].get((slot.domain, slot.selector)) != "revoked":
                assert urgent or self.now - last >= POLICY.retire - 1e-3, (
                    f"mail of {host} by {slot.selector} would fail after {self.now - last} s"
                )
            assert slot.selector not in (self.signs.get((host, slot.domain, kind)) for kind in ("rsa", "ed25519"))

    def check(self):
        for (host, domain, _), selector in self.signs.items():
            fingerprint = self.keys.get((host, domain, selector))
            assert fingerprint, f"{host} signs {domain} with {selector}, whose key is gone"
            for server in SERVERS:
                assert self.dns[server].get((domain, selector)) == fingerprint, f"{host} signs {domain} unproven: {server}"
        for (_, domain, selector), fingerprint in self.keys.items():
            assert {own for (_, *name), own in self.keys.items() if name == [domain, selector]} == {fingerprint}, "two keys of one selector"


def wishes(kinds=("rsa",), **more):
    return [Wish(host, domain, kind, **more) for host in HOSTS for domain in DOMAINS for kind in kinds]


def turn(world, slots, most=10**6, save=True, policy=POLICY, blind=()):
    """One run; it may end after some acts, or before anything is saved, and some keys may not be looked at."""
    done = rotation.step(slots, world.see(slots, blind), policy, world.now)
    if not save:
        return slots, done.acts
    for act in done.acts[:most]:
        world.do(act, done.slots)
        world.check()
    return done.slots, done.acts


def to_the_end(world, slots, policy=POLICY, days=120):
    for _ in range(days * 4):
        slots, _ = turn(world, slots, policy=policy)
        world.transfer()
        world.pass_time(DAY / 4)
    return slots


def first_keys():
    world = World()
    slots = rotation.begin([], wishes(), POLICY, world.now, "one").slots
    return world, to_the_end(world, slots, days=4)


def states(slots):
    return sorted(
        (slot.host, slot.domain, slot.kind, slot.rotation, slot.state, bool(slot.verified), slot.goal, slot.fault) for slot in slots
    )


def test_a_rotation_ends_with_the_new_key_and_the_gravestone_of_the_old():
    world, slots = first_keys()
    assert {slot.state for slot in slots} == {"active"}
    slots = rotation.begin(slots, wishes(), POLICY, world.now, "two").slots
    slots = to_the_end(world, slots)
    assert {(slot.rotation, slot.state) for slot in slots} == {("one", "gravestone"), ("two", "active")}
    assert all(slot.key not in world.keys for slot in slots if slot.rotation == "one")
    assert set(world.dns["primary"].values()) >= {"revoked"}


def test_the_way_in_order_with_a_sentence_for_each_act():
    world = World()
    slots = rotation.begin([], [Wish("mx1", "a.test")], POLICY, world.now, "one").slots
    verbs, seen_states = [], []
    for _ in range(14):
        slots, acts = turn(world, slots)
        assert all(len(act.why) > 20 for act in acts)
        verbs += [act.verb for act in acts]
        seen_states.append(slots[0].state)
        world.transfer()
        world.pass_time(WAIT / 2)
    once = [verb for at, verb in enumerate(verbs) if not at or verbs[at - 1] != verb]
    assert [verb for verb in once if verb != "look"] == ["make", "publish", "wait", "switch", "prove"]
    assert seen_states[0] == "planned" and seen_states[-1] == "active"
    assert slots[0].verified


def test_nobody_switches_while_one_secondary_is_stale():
    world, slots = first_keys()
    slots = rotation.begin(slots, wishes(), POLICY, world.now, "two").slots
    world.stale = {"third"}
    slots = to_the_end(world, slots, days=30)
    new = [slot for slot in slots if slot.rotation == "two"]
    assert {slot.state for slot in new} == {"published"}
    done = rotation.step(slots, world.see(slots), POLICY, world.now)
    assert {act.verb for act in done.acts} == {"look"} and all("third" in act.why for act in done.acts)
    world.stale = set()
    assert {slot.state for slot in to_the_end(world, slots, days=4) if slot.rotation == "two"} == {"active"}


def test_the_canary_goes_first_and_the_others_wait_until_its_mail_verifies():
    world, slots = first_keys()
    slots = rotation.begin(slots, wishes(), POLICY, world.now, "two").slots
    switched = []
    for _ in range(30):
        slots, acts = turn(world, slots)
        at_once = {act.host for act in acts if act.verb == "switch"}
        if at_once:
            switched.append(at_once)
            if "mx2" not in at_once:
                assert all(slot.verified for slot in slots if slot.host == "mx2" and slot.rotation == "two")
        world.transfer()
        world.pass_time(WAIT)
    assert switched == [{"mx2"}, {"mx1", "mx3"}]


def test_mail_that_does_not_verify_switches_back_and_nobody_follows():
    world, slots = first_keys()
    old = dict(world.signs)
    slots = rotation.begin(slots, wishes(), POLICY, world.now, "two").slots
    world.bad = {("mx2", domain, slot.selector) for domain in DOMAINS for slot in slots if slot.rotation == "two"}
    slots = to_the_end(world, slots, days=10)
    assert world.signs == old
    assert {(slot.host, slot.state) for slot in slots if slot.rotation == "two"} == {
        ("mx1", "ready"),
        ("mx2", "retiring"),
        ("mx3", "ready"),
    }
    assert {slot.state for slot in slots if slot.rotation == "one"} == {"active"}
    # The reason stays, until another rotation answers it.
    acts = rotation.step(slots, world.see(slots), POLICY, world.now).acts
    assert {(act.verb, act.host) for act in acts if "body hash" in act.why} == {("hold", "mx1"), ("hold", "mx3")}
    slots = rotation.begin(slots, wishes(), POLICY, world.now, "three").slots
    assert "hold" not in {act.verb for act in rotation.step(slots, world.see(slots), POLICY, world.now).acts}
    slots = to_the_end(world, slots, days=10)
    assert {slot.rotation for slot in slots if slot.state == "active" and slot.host == "mx2"} == {"three"}
    assert {slot.rotation for slot in slots if slot.state == "active" and slot.host != "mx2"} == {"two"}


def test_a_signer_whose_mail_verifies_by_no_key_goes_back_once_and_is_held():
    world, slots = first_keys()
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    old, new = next(slot for slot in slots if slot.line == slots[-1].line), slots[-1]
    world.bad = {old.key, new.key}
    switched = []
    for _ in range(30):
        slots, acts = turn(world, slots)
        switched += [act.selector for act in acts if act.verb == "switch"]
        world.transfer()
        world.pass_time(WAIT / 2)
    assert switched == [new.selector, old.selector]
    assert next(act.why for act in acts if act.verb == "hold").endswith("look into the signer")
    world.bad = set()  # the signer was repaired
    slots = to_the_end(world, slots, days=2)
    now = next(slot for slot in slots if slot.key == old.key)
    assert (now.state, now.fault, bool(now.verified), world.signs[old.line]) == ("active", "", True, old.selector)


def test_the_way_back_is_taken_only_to_a_key_that_all_serve():
    world, slots = first_keys()
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    old, new = next(slot for slot in slots if slot.line == slots[-1].line), slots[-1]
    world.bad = {new.key}
    for _ in range(40):
        if world.signs[new.line] == new.selector:
            break
        slots, _ = turn(world, slots)
        world.transfer()
        world.pass_time(WAIT / 2)
    del world.dns["third"][old.domain, old.selector]
    world.stale = {"third"}
    slots = to_the_end(world, slots, days=1)
    assert world.signs[new.line] == new.selector
    assert any("as soon as all serve it" in act.why for act in rotation.step(slots, world.see(slots), POLICY, world.now).acts)
    world.stale = set()
    to_the_end(world, slots, days=1)
    assert world.signs[old.line] == old.selector


def test_a_key_that_was_not_looked_at_while_another_was_let_sign_begins_its_time_anew():
    world, slots = first_keys()
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    slots = to_the_end(world, slots, days=4)
    old, new = next(slot for slot in slots if slot.line == slots[-1].line), slots[-1]
    assert (old.state, new.state) == ("retiring", "active")
    world.signs[old.line] = old.selector  # by somebody's hand
    slots, acts = turn(world, slots, blind={old.key})
    assert [act.selector for act in acts if act.verb == "switch"] == [new.selector]
    assert next(slot for slot in slots if slot.key == old.key).since == world.now


def test_a_key_that_was_taken_out_of_use_and_signs_again_is_held_no_more():
    world, slots = first_keys()
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    new = slots[-1]
    world.bad = {new.key}
    slots = to_the_end(world, slots, days=3)
    assert (slots[-1].state, slots[-1].fault != "") == ("retiring", True)
    world.bad = set()
    slots, _ = rotation.undo(slots, new.key)
    slots = to_the_end(world, slots, days=2)
    assert world.signs[new.line] == new.selector
    assert (slots[-1].state, slots[-1].fault, bool(slots[-1].verified)) == ("active", "", True)


def test_the_first_key_of_a_domain_that_does_not_verify_signs_no_more():
    world = World()
    slots = rotation.begin([], [Wish("mx1", "a.test")], POLICY, world.now, "one").slots
    world.bad = {slots[0].key}
    slots = to_the_end(world, slots, days=4)
    assert world.signs == {} and slots[0].state == "retiring"


def test_ed25519_waits_for_rsa():
    world = World()
    slots = rotation.begin([], [Wish("mx1", "a.test", "ed25519")], POLICY, world.now, "one").slots
    slots = to_the_end(world, slots, days=4)
    assert slots[0].state == "ready" and not world.signs
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    assert len({slot.selector for slot in slots}) == 2
    assert {slot.state for slot in to_the_end(world, slots, days=4)} == {"active"}


def test_an_urgent_rotation_revokes_at_once_but_never_signs_unproven():
    world, slots = first_keys()
    old = {slot.key for slot in slots}
    slots = rotation.begin(slots, wishes(), POLICY, world.now, "two", urgent=True).slots
    world.stale = {"third"}
    slots = to_the_end(world, slots, days=3)
    assert all(world.signs[slot.line] == slot.selector for slot in slots if slot.key in old)
    world.stale = set()
    slots = to_the_end(world, slots, days=3)
    assert {slot.state for slot in slots if slot.key in old} == {"gravestone"}
    assert not old & set(world.keys)
    with pytest.raises(RotationError, match="no key to go back to"):
        rotation.undo(slots, next(slot.key for slot in slots if slot.rotation == "two"))


@pytest.mark.parametrize("turns", range(2, 6))
def test_an_urgent_rotation_takes_back_what_was_made_before_it(turns):
    world, slots = first_keys()
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    for _ in range(turns):
        slots, _ = turn(world, slots)
        world.transfer()
        world.pass_time(WAIT / 2)
    before = {slot.key for slot in slots}
    assert slots[-1].state in rotation.COMING[1:]
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "break-in", urgent=True).slots
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "break-in", urgent=True).slots
    assert [slot.key in before for slot in slots if slot.state in rotation.COMING and slot.goal != "withdraw"] == [False]
    slots = to_the_end(world, slots, days=4)
    assert world.signs["mx1", "a.test", "rsa"] == next(slot.selector for slot in slots if slot.key not in before)
    assert not {key for key in world.keys if key[:2] == ("mx1", "a.test")} & before


def test_an_urgent_rotation_goes_on_with_what_is_planned_and_takes_it_into_its_name():
    slots = rotation.begin([], [Wish("mx1", "a.test")], POLICY, 1.0, "two").slots
    (slot,) = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, 2.0, "break-in", urgent=True).slots
    assert (slot.key, slot.urgent, slot.rotation) == (slots[0].key, True, "break-in")


def test_a_key_that_signs_by_hand_before_it_is_proven_is_taken_back():
    world, slots = first_keys()
    old = dict(world.signs)
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    new = slots[-1]
    slots, _ = turn(world, slots)
    world.signs[new.line] = new.selector
    slots = rotation.step(slots, world.see(slots), POLICY, world.now).slots
    acts = rotation.step(slots, world.see(slots), POLICY, world.now).acts
    assert [act.selector for act in acts if act.verb == "switch"] == [old[new.line]]
    for act in acts:
        world.do(act, slots)
    world.check()


def test_what_was_not_looked_at_moves_nothing():
    world, slots = first_keys()
    slots = rotation.begin(slots, wishes(), POLICY, world.now, "two").slots
    for _ in range(40):
        done = rotation.step(slots, {}, POLICY, world.now)
        assert {act.verb for act in done.acts} <= {"make"} and states(done.slots) == states(slots)
        world.pass_time(DAY)


# A key that hosts share


def sharing(hosts=HOSTS, **more):
    return [Wish(host, "a.test", label="all", shared=True, **more) for host in hosts]


def share(world, slots, wanted=None, policy=POLICY, most=10**6, save=True):
    """One run of hosts that share a key, as the module dkim_rotation has it: who is behind the others follows them."""
    seen = world.see(slots)
    able = [wish for wish in wanted or sharing() if wish.host not in world.down and wish.host not in policy.lost]
    exposed = rotation.exposed(slots, able, policy)
    slots = rotation.begin(slots, exposed, policy, world.now, "lost", True, seen).slots
    behind = rotation.behind(slots, [wish for wish in able if wish not in exposed], policy, seen)
    slots = rotation.begin(slots, sorted(behind), policy, world.now, "day", seen=seen).slots
    return turn(world, slots, most, save, policy)


def shared_to_the_end(world, slots, policy=POLICY, days=4, wanted=None):
    for _ in range(days * 4):
        slots, _ = share(world, slots, wanted, policy)
        world.transfer()
        world.pass_time(DAY / 4)
    return slots


def first_shared_key(hosts=HOSTS):
    world = World()
    slots = rotation.begin([], sharing(hosts), POLICY, world.now, "one").slots
    return world, shared_to_the_end(world, slots, wanted=sharing(hosts))


def on(slots, state="active"):
    return {slot.host: slot.selector for slot in slots if slot.state == state}


def test_a_shared_key_is_made_once_copied_published_once_and_the_maker_goes_first():
    world = World()
    slots = rotation.begin([], sharing(), POLICY, world.now, "one").slots
    assert len({slot.selector for slot in slots}) == 1 and slots[0].selector.endswith(".all")
    done = []
    for _ in range(12):
        slots, acts = share(world, slots)
        done += [(act.verb, act.host, act.source) for act in acts if act.verb not in ("wait", "look", "check")]
        world.transfer()
        world.pass_time(WAIT / 2)
    assert sorted(done[:4]) == [("copy", "mx1", "mx2"), ("copy", "mx3", "mx2"), ("make", "mx2", ""), ("publish", "mx2", "")]
    assert [each[:2] for each in done[4:]] == [
        ("switch", "mx2"), ("prove", "mx2"), ("switch", "mx1"), ("switch", "mx3"), ("prove", "mx1"), ("prove", "mx3")
    ]  # fmt: skip
    assert set(on(slots)) == set(HOSTS) and len(set(world.keys.values())) == 1


def test_a_host_out_of_reach_keeps_nobody_waiting_and_gets_its_copy_when_it_is_back():
    world = World()
    slots = rotation.begin([], sharing(), POLICY, world.now, "one").slots
    slots, _ = share(world, slots)
    world.down = {"mx3"}
    slots = shared_to_the_end(world, slots)
    assert set(on(slots)) == {"mx1", "mx2"} and ("mx3", "a.test", "rsa") not in world.signs
    world.down = set()
    slots, acts = share(world, slots)
    assert [(act.verb, act.host) for act in acts if act.verb == "copy"] == [("copy", "mx3")]
    slots, _ = share(world, slots)  # what others proved is not waited for again
    assert world.signs["mx3", "a.test", "rsa"] == on(slots)["mx1"]


@pytest.mark.parametrize("turns", range(5))
def test_where_the_maker_is_lost_on_the_way_another_makes_a_new_one_and_no_selector_gets_a_second_key(turns):
    world = World()
    slots = rotation.begin([], sharing(), POLICY, world.now, "one").slots
    maker = next(slot.host for slot in slots if slot.first)
    for _ in range(turns):
        slots, _ = share(world, slots)
    world.down = {maker}
    slots = shared_to_the_end(world, slots)
    assert set(on(slots)) == set(HOSTS) - {maker}
    world.down = set()
    slots = shared_to_the_end(world, slots)
    assert len(set(on(slots).values())) == 1 and set(on(slots)) == set(HOSTS)


def test_a_new_host_and_one_that_was_set_up_anew_get_the_key_that_the_others_have():
    world, slots = first_shared_key(("mx1", "mx2"))
    made = world.made
    del world.keys[("mx1", "a.test", slots[0].selector)], world.signs["mx1", "a.test", "rsa"]
    slots = rotation.begin(slots, sharing(("mx1",)), POLICY, world.now, "day", seen=world.see(slots)).slots
    slots = shared_to_the_end(world, slots, days=1)
    assert len(set(on(slots).values())) == 1 and set(on(slots)) == set(HOSTS) and world.made == made


def test_a_shared_key_is_replaced_on_all_hosts_and_its_record_goes_when_the_last_is_past_it():
    world, slots = first_shared_key()
    old = slots[0].selector
    world.down = {"mx3"}
    slots = rotation.begin(slots, sharing(("mx1", "mx2")), POLICY, world.now, "two", seen=world.see(slots)).slots
    slots = shared_to_the_end(world, slots, days=40)
    assert on(slots)["mx3"] == old != on(slots)["mx1"] and world.dns["primary"]["a.test", old] != "revoked"
    world.down = set()
    slots = shared_to_the_end(world, slots, days=60)
    assert set(on(slots, "gravestone").values()) == {old} and len(set(on(slots).values())) == 1
    assert len(world.keys) == 3


@pytest.mark.parametrize("turns", range(6))
def test_after_a_break_in_on_one_host_all_get_a_new_shared_key_and_the_old_is_revoked_when_none_signs_with_it(turns):
    world, slots = first_shared_key()
    old = slots[0].selector
    slots = rotation.begin(slots, sharing(), POLICY, world.now, "two", seen=world.see(slots)).slots
    for _ in range(turns):
        slots, _ = share(world, slots)
        world.transfer()
        world.pass_time(WAIT / 2)
    bad = {slot.selector for slot in slots if world.keys.get(slot.key)}
    # Told of one host, the others follow in the next run.
    slots = rotation.begin(slots, sharing(("mx1",)), POLICY, world.now, "break-in", True, world.see(slots)).slots
    slots = shared_to_the_end(world, slots, days=4)
    assert old in bad and not bad & set(on(slots).values()) and len(set(on(slots).values())) == 1 and set(on(slots)) == set(HOSTS)
    assert not bad & {selector for _, _, selector in world.keys}
    assert {world.dns["primary"].get(("a.test", selector), "revoked") for selector in bad} == {"revoked"}


def test_where_a_host_is_lost_the_others_get_another_key_before_theirs_is_revoked():
    world, slots = first_shared_key()
    old, policy = slots[0].selector, POLICY._replace(lost=("mx2",))
    world.down = {"mx2"}
    del world.signs["mx2", "a.test", "rsa"], world.signed_at["mx2", "a.test", old]  # whatever the thief does
    slots = shared_to_the_end(world, slots, policy)
    assert set(on(slots)) == {"mx1", "mx3"} and old not in on(slots).values() and len(set(on(slots).values())) == 1
    assert world.dns["primary"]["a.test", old] == "revoked"
    assert {slot.state for slot in slots if slot.selector == old} == {"gravestone"}


@pytest.mark.parametrize("turns", range(1, 14))
def test_a_shared_key_is_taken_back_on_all_hosts_at_every_step(turns):
    world, slots = first_shared_key()
    old = on(slots)
    slots = rotation.begin(slots, sharing(), POLICY, world.now, "two", seen=world.see(slots)).slots
    new = next(slot.selector for slot in slots if slot.rotation == "two")
    for _ in range(turns):
        slots, _ = share(world, slots)
        world.transfer()
        world.pass_time(WAIT)
    slots, told = fleet.taken_back(slots, new)
    assert told
    slots = shared_to_the_end(world, slots, days=20)
    assert on(slots) == old
    assert {slot.state for slot in shared_to_the_end(world, slots, days=60) if slot.selector == new} <= {"removed", "gravestone"}


def test_who_fails_with_a_shared_key_holds_the_others_and_no_further_key_is_made_for_it():
    world, slots = first_shared_key()
    old = on(slots)
    slots = rotation.begin(slots, sharing(), POLICY, world.now, "two", seen=world.see(slots)).slots
    world.bad = {slot.key for slot in slots if slot.rotation == "two" and slot.host == "mx2"}
    slots = shared_to_the_end(world, slots, days=5)
    assert on(slots) == old and world.made == 2
    slots = rotation.begin(slots, sharing(), POLICY, world.now, "three", seen=world.see(slots)).slots
    slots = shared_to_the_end(world, slots, days=5)
    assert {slot.rotation for slot in slots if slot.state == "active"} == {"three"}


def test_who_went_ahead_while_the_first_was_out_of_reach_is_waited_for_by_it():
    world = World()
    slots = rotation.begin([], sharing(("mx1", "mx2")), POLICY, world.now, "one").slots
    ready = [slot._replace(state="ready", fingerprint="k", record="p=k") for slot in slots]
    proven = Seen(True, "k", "p=k", "equal", True, (), WAIT, False)
    ahead = next(slot for slot in ready if slot.host == "mx1")._replace(state="active", asked=True)
    first = next(slot for slot in ready if slot.host == "mx2")
    for one, verb in ((ahead, "wait"), (ahead._replace(verified=1.0), "switch"), (ahead._replace(fault="body hash"), "hold")):
        signing = proven._replace(signing=not one.fault)
        acts = rotation.step([one, first], {one.key: signing, first.key: proven}, POLICY, world.now).acts
        assert [act.verb for act in acts if act.host == "mx2"] == [verb]


def test_a_new_host_gets_no_key_that_failed_and_none_that_a_lost_host_has():
    world, slots = first_shared_key(("mx1", "mx2"))
    old, two = slots[0].selector, sharing(("mx1", "mx2"))
    joined = rotation.begin(slots, sharing(("mx3",)), POLICY._replace(lost=("mx2",)), world.now, "day", seen=world.see(slots)).slots
    assert joined[-1].host == "mx3" and joined[-1].selector != old
    slots = rotation.begin(slots, two, POLICY, world.now, "two", seen=world.see(slots)).slots
    world.bad = {slot.key for slot in slots if slot.rotation == "two" and slot.host == "mx2"}
    slots = shared_to_the_end(world, slots, wanted=two)
    slots = shared_to_the_end(world, slots, days=1)
    assert on(slots)["mx3"] == old


def test_a_copy_that_was_taken_back_and_never_signed_goes_from_its_host_alone():
    world, slots = first_shared_key(("mx1", "mx2"))
    copy = slots[0]._replace(host="mx3", state="ready", goal="withdraw", asked=False, verified=0.0, first=False)
    world.keys[copy.key] = copy.fingerprint
    step = rotation.step([*slots, copy], world.see([*slots, copy]), POLICY, world.now)
    assert [(act.verb, act.host) for act in step.acts] == [("destroy", "mx3")]
    del world.keys[copy.key]
    step = rotation.step(step.slots, world.see(step.slots), POLICY, world.now)
    assert step.slots[-1].state == "removed" and step.acts == []


def test_a_host_that_holds_something_else_under_the_selector_is_not_taken_for_one_that_has_the_key():
    slots = rotation.begin([], sharing(("mx1", "mx2")), POLICY, 1.0, "one").slots
    other = {slot.key: Seen(slot.host == "mx1", "SHA256:other" if slot.host == "mx1" else "", "p=x", "absent", False) for slot in slots}
    assert {slot.state for slot in rotation.step(slots, other, POLICY, 2.0).slots} == {"planned"}
    known = [slot._replace(fingerprint="SHA256:x", record="p=y") for slot in slots]
    assert {slot.state for slot in rotation.step(known, other, POLICY, 2.0).slots} == {"planned"}


@pytest.mark.parametrize("shared", ["", "all"])
def test_a_key_that_a_lost_host_has_too_is_replaced_whether_it_was_shared_by_us_or_by_hand(shared):
    world, slots = first_shared_key(("mx1", "mx2"))
    slots, policy = [slot._replace(shared=shared) for slot in slots], POLICY._replace(lost=("mx2",))
    old, wanted = slots[0].selector, [sharing(("mx1",))[0]._replace(shared=bool(shared))]
    world.down = {"mx2"}
    del world.signs["mx2", "a.test", "rsa"], world.signed_at["mx2", "a.test", old]
    slots = shared_to_the_end(world, slots, policy, wanted=wanted)
    assert set(on(slots)) == {"mx1"} and on(slots)["mx1"] != old
    assert world.dns["primary"]["a.test", old] == "revoked" and ("mx1", "a.test", old) not in world.keys


def test_a_retired_key_that_a_lost_host_has_too_is_revoked_as_soon_as_no_other_host_signs_with_it():
    world, slots = first_shared_key(("mx1", "mx2"))
    two = sharing(("mx1", "mx2"))
    old = slots[0].selector
    slots = shared_to_the_end(world, rotation.begin(slots, two, POLICY, world.now, "two", seen=world.see(slots)).slots, days=2, wanted=two)
    assert [slot.state for slot in slots if slot.selector == old] == ["retiring"] * 2
    acts = rotation.step(slots, world.see(slots), POLICY._replace(lost=("mx2",)), world.now).acts
    revoked = [(act.selector, act.why) for act in acts if act.verb == "revoke"]
    assert [selector for selector, _ in revoked] == [old] and "strange hands" in revoked[0][1]


def test_there_is_no_way_back_to_a_key_that_was_revoked_in_an_emergency():
    world, slots = first_keys()
    (old,) = [slot for slot in slots if slot.key[:2] == ("mx1", "a.test")]
    revoked = old._replace(state="revoked")
    new = old._replace(selector="new", begun=world.now, urgent=True)
    with pytest.raises(RotationError, match="strange hands"):
        rotation.undo([revoked, new], old.key)
    assert rotation.undo([revoked, new._replace(urgent=False)], old.key)[0][0].goal == "restore"


def test_after_a_host_was_lost_one_urgent_key_is_made_and_where_it_fails_no_further_one():
    world, slots = first_shared_key(("mx1", "mx2"))
    policy = POLICY._replace(lost=("mx2",))
    wanted = sharing(("mx1",))
    assert rotation.exposed(slots, wanted, POLICY) == [] and rotation.exposed(slots, wanted, policy) == wanted
    slots = rotation.begin(slots, wanted, policy, world.now, "lost", True, world.see(slots)).slots
    assert rotation.exposed(slots, wanted, policy) == []
    failed = slots[-1]._replace(state="retiring", fault="body hash")
    assert rotation.exposed([*slots[:-1], failed], wanted, policy) == []


def test_a_customers_shared_selector_is_taken_anew_by_those_who_share_it_alone():
    fixed = ("s1.all", "s2.all")
    slots = rotation.begin([], sharing(fixed=fixed), POLICY, 1.0, "one").slots
    assert {slot.selector for slot in slots} == {"s1.all"}
    gone = [slot._replace(state="gravestone", record="p=x") for slot in slots]
    after = 1.0 + POLICY.retire
    assert {slot.selector for slot in rotation.begin(gone, sharing(fixed=fixed), POLICY, after, "two").slots} == {"s1.all"}
    (apart,) = rotation.begin(gone[:1], [Wish("mx2", "a.test", label="y", fixed=fixed, shared=True)], POLICY, after, "two").slots[1:]
    (other,) = rotation.begin(gone[:1], [Wish("mx1", "a.test", label="x", fixed=fixed)], POLICY, after, "two").slots[1:]
    assert other.selector == apart.selector == "s2.all"


def test_a_customers_slot_takes_another_key_only_after_it_rested():
    world = World()
    fixed = {"fixed": ("a.mx1", "b.mx1")}
    slots = rotation.begin([], [Wish("mx1", "a.test", **fixed)], POLICY, world.now, "one").slots
    slots = to_the_end(world, slots, days=3)
    slots = rotation.begin(slots, [Wish("mx1", "a.test", **fixed)], POLICY, world.now, "two").slots
    slots = to_the_end(world, slots, days=3)
    assert world.signs[("mx1", "a.test", "rsa")] == "b.mx1"
    blocked = rotation.begin(slots, [Wish("mx1", "a.test", **fixed)], POLICY, world.now, "three")
    assert len(blocked.slots) == 2 and blocked.acts[0].verb == "hold" and "a.mx1 is retiring" in blocked.acts[0].why
    slots = to_the_end(world, slots, days=45)
    assert "free in" in rotation.begin(slots, [Wish("mx1", "a.test", **fixed)], POLICY, world.now, "three").acts[0].why
    slots = to_the_end(world, slots, days=15)
    slots = rotation.begin(slots, [Wish("mx1", "a.test", **fixed)], POLICY, world.now, "three").slots
    slots = to_the_end(world, slots, days=5)
    assert world.signs[("mx1", "a.test", "rsa")] == "a.mx1"


@pytest.mark.parametrize("turns", range(1, 16))
def test_undo_at_every_step_leads_back(turns):
    world, slots = first_keys()
    old = dict(world.signs)
    slots = rotation.begin(slots, wishes(), POLICY, world.now, "two").slots
    for _ in range(turns):
        slots, _ = turn(world, slots)
        world.transfer()
        world.pass_time(WAIT)
    for key in [slot.key for slot in slots if slot.rotation == "two"]:
        slots, told = rotation.undo(slots, key)
        assert len(told) > 20
    slots = to_the_end(world, slots, days=20)
    assert world.signs == old
    assert {slot.state for slot in slots if slot.rotation == "one"} == {"active"}
    slots = to_the_end(world, slots)
    assert {slot.state for slot in slots if slot.rotation == "two"} <= {"removed", "gravestone"}
    assert set(world.keys) == {slot.key for slot in slots if slot.rotation == "one"}


@pytest.mark.parametrize(
    ("state", "more", "primary"),
    [
        ("planned", {}, None),  # killed after it was made and before that was seen
        ("generated", {"fingerprint": "key1", "record": "p=key1"}, "other"),
        ("published", {"fingerprint": "key1", "record": "p=key1"}, "other"),
        (
            "generated",
            {"fingerprint": "key1", "record": "p=key1", "fixed": True},
            "revoked",
        ),  # by the gravestone of its selector's last key
    ],
)
def test_undo_where_our_record_is_not_there_destroys_the_key(state, more, primary):
    slots = rotation.begin([], [Wish("mx1", "a.test")], POLICY, 1.0, "one").slots
    slots, _ = rotation.undo([slots[0]._replace(state=state, **more)], slots[0].key)
    held = Seen(True, "key1", "p=key1", primary, signing=False)
    step = rotation.step(slots, {slots[0].key: held}, POLICY, 2.0)
    assert [act.verb for act in step.acts] == ["destroy"]
    step = rotation.step(step.slots, {slots[0].key: held._replace(held=False)}, POLICY, 3.0)
    assert (step.slots[0].state, step.acts) == ("removed", [])


def test_the_record_of_a_key_that_signs_is_published_again_where_it_is_gone():
    world, slots = first_keys()
    old = dict(world.signs)
    world.dns["primary"].pop(("a.test", old["mx1", "a.test", "rsa"]))
    acts = rotation.step(slots, world.see(slots), POLICY, world.now).acts
    assert [(act.verb, act.host, act.domain) for act in acts] == [("publish", "mx1", "a.test")]
    slots = to_the_end(world, slots, days=1)
    assert world.signs == old
    world.check()


def test_the_keys_of_a_lost_host_are_revoked_at_once_and_nobody_waits_for_them():
    world, slots = first_keys()
    slots = rotation.begin(slots, wishes(), POLICY, world.now, "two").slots
    for _ in range(3):
        slots, _ = turn(world, slots)
        world.transfer()
        world.pass_time(WAIT / 2)
    mine = [slot for slot in slots if slot.host == "mx2"]  # the one that goes first
    assert {slot.state for slot in mine if slot.rotation == "two"} <= {"published", "propagated"}
    policy = POLICY._replace(lost=("mx2",))
    gone = {slot.key for slot in mine}
    for _ in range(40):
        step = rotation.step(slots, world.see(slots, gone) | {key: Seen(primary="equal") for key in gone}, policy, world.now)
        assert {act.verb for act in step.acts if act.host == "mx2"} == {"revoke"}
        slots = step.slots
        for act in step.acts:
            if act.host != "mx2":
                world.do(act, slots)
        world.transfer()
        world.pass_time(WAIT)
    assert {slot.rotation for slot in slots if slot.host != "mx2" and slot.state == "active"} == {"two"}
    slots = rotation.step(slots, dict.fromkeys(gone, Seen(primary="revoked")), policy, world.now).slots
    assert {slot.state for slot in slots if slot.key in gone} == {"gravestone"}
    assert rotation.step(slots, {}, POLICY, world.now).slots == slots


@pytest.mark.parametrize("goal", ["", "activate"])
def test_the_way_back_is_the_key_whose_mail_verified(goal):
    slot = rotation.begin([], [Wish("mx1", "a.test")], POLICY, 1.0, "one").slots[0]._replace(record="p=x", asked=True)
    bad = slot._replace(selector="bad", state="retiring", since=9.0, fault="body hash", goal=goal)
    good, new = slot._replace(selector="good", state="retiring"), slot._replace(selector="new", state="active", fault="body hash")
    proven = Seen(True, primary="equal", served=True, signing=False)
    seen = {bad.key: proven, good.key: proven, new.key: proven._replace(signing=True)}
    acts = rotation.step([bad, good, new], seen, POLICY, 10.0).acts
    assert [act.selector for act in acts if act.verb == "switch"] == ["good"]


def test_a_key_that_the_host_has_no_more_is_no_way_back():
    world, slots = first_keys()
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    new, old = slots[-1], next(slot for slot in slots if slot.line == slots[-1].line)
    world.bad = {new.key}
    del world.keys[old.key], world.signs[old.line]
    slots = to_the_end(world, slots, days=3)
    assert new.line not in world.signs
    assert [slot.state for slot in slots if slot.line == new.line] == ["retiring", "retiring"]


def test_a_revoked_key_comes_back_with_its_old_value():
    world, slots = first_keys()
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    slots = to_the_end(world, slots, days=18)
    old = next(slot for slot in slots if slot.state == "revoked")
    slots, _ = rotation.undo(slots, old.key)
    slots = to_the_end(world, slots, days=2)
    assert next(slot.state for slot in slots if slot.key == old.key) == "retiring"
    slots, _ = rotation.undo(slots, old.key)
    to_the_end(world, slots, days=2)
    assert world.signs[old.line] == old.selector


def test_a_record_that_is_lost_again_takes_the_key_back_to_the_proof():
    world, slots = first_keys()
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    for _ in range(20):
        if slots[-1].state == "ready":
            break
        slots, _ = turn(world, slots)
        world.transfer()
        world.pass_time(WAIT / 2)
    assert slots[-1].state == "ready"
    world.signs[slots[-1].line] = next(slot.selector for slot in slots if slot.line == slots[-1].line)
    del world.dns["third"][("a.test", slots[-1].selector)]
    done = rotation.step(slots, world.see(slots), POLICY, world.now)
    assert done.slots[-1].state == "published" and done.slots[-1].since == world.now
    assert [act.verb for act in done.acts] == ["look"]
    unseen = rotation.step(slots, world.see(slots, [slots[-1].key]), POLICY, world.now)
    assert [act.verb for act in unseen.acts] == ["look"]


def test_one_key_of_a_line_is_switched_to_at_a_time():
    world, slots = first_keys()
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    slots = to_the_end(world, slots, days=3)
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "three").slots
    while slots[-1].state != "ready":
        slots, _ = turn(world, slots, most=99)
        world.transfer()
        world.pass_time(WAIT / 2)
    line = [slot for slot in slots if slot.line == slots[-1].line]
    world.signs[line[0].line] = line[1].selector
    slots = [slot._replace(state="ready", since=world.now) if slot.key == line[2].key else slot for slot in slots]
    slots, _ = rotation.undo(slots, line[0].key)
    acts = rotation.step(slots, world.see(slots), POLICY, world.now).acts
    assert [act.selector for act in acts if act.verb == "switch"] == [line[0].selector]


def test_a_key_stays_the_way_back_until_another_is_verified():
    world, slots = first_keys()
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    for _ in range(400):
        done = rotation.step(slots, world.see(slots), POLICY, world.now)
        slots = done.slots
        for act in done.acts:
            if act.verb != "prove":
                world.do(act, slots)
        world.transfer()
        world.pass_time(DAY / 4)
    assert [slot.state for slot in slots if slot.line == slots[-1].line] == ["retiring", "active"]


def test_a_key_that_is_not_seen_to_be_idle_is_not_revoked():
    world, slots = first_keys()
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    slots = to_the_end(world, slots, days=10)
    old = next(slot for slot in slots if slot.line == slots[-1].line)
    world.pass_time(10 * DAY)
    blind = rotation.step(slots, world.see(slots, [old.key]), POLICY, world.now)
    assert [act.verb for act in blind.acts if act.selector == old.selector and act.host == old.host] == ["check"]
    world.signs[old.line] = old.selector
    by_hand = rotation.step(slots, world.see(slots), POLICY, world.now)
    assert next(slot.since for slot in by_hand.slots if slot.key == old.key) == world.now
    assert "revoke" not in {act.verb for act in by_hand.acts}


def test_the_way_back_is_proven_too():
    world, slots = first_keys()
    slots = rotation.begin(slots, [Wish("mx1", "a.test")], POLICY, world.now, "two").slots
    slots = to_the_end(world, slots, days=3)
    old = next(slot for slot in slots if slot.line == slots[-1].line)
    slots, _ = rotation.undo(slots, old.key)
    del world.dns["third"][("a.test", old.selector)]
    acts = rotation.step(slots, world.see(slots), POLICY, world.now).acts
    assert "switch" not in {act.verb for act in acts} and "look" in {act.verb for act in acts}


def test_the_floor_is_kept_but_in_a_lab():
    with pytest.raises(RotationError, match="7 or more"):
        rotation.step([], {}, Policy(retire=6 * DAY), 0)
    assert rotation.step([], {}, Policy(retire=1, lab_only=True), 0).slots == []


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_any_interruption_then_another_run_reaches_the_same_end(seed):
    chance = random.Random(seed)
    ends = []
    for broken in (False, True):
        world, slots = first_keys()
        slots = rotation.begin(slots, wishes(("rsa", "ed25519")), POLICY, world.now, "two").slots
        for _ in range(60):
            if broken:
                slots, _ = turn(world, slots, most=chance.randint(0, 12), save=chance.random() < 0.7)
                if chance.random() < 0.7:
                    world.transfer()
            world.pass_time(chance.choice((1, 60, WAIT)))
        ends.append((states(to_the_end(world, slots)), sorted(world.signs.items())))
    assert ends[0] == ends[1]


class Machine(RuleBasedStateMachine):
    """Anything in any order: rotations, runs that end anywhere, secondaries that stall, ways back, bad keys, time."""

    def __init__(self):
        super().__init__()
        self.world, self.slots, self.rotations = World(), [], 0

    @precondition(lambda self: self.rotations < 5)
    @rule(urgent=st.booleans(), kinds=st.sampled_from((("rsa",), ("rsa", "ed25519"))), host=st.sampled_from((None, *HOSTS)))
    def begin(self, urgent, kinds, host):
        self.rotations += 1
        wanted = [wish for wish in wishes(kinds) if host in (None, wish.host)]
        self.slots = rotation.begin(self.slots, wanted, POLICY, self.world.now, str(self.rotations), urgent and self.rotations > 2).slots

    @rule(most=st.integers(0, 20), save=st.booleans(), blind=st.sets(st.integers(0, 40)))
    def run(self, most, save, blind):
        unseen = [slot.key for at, slot in enumerate(self.slots) if at in blind]
        self.slots, _ = turn(self.world, self.slots, most, save, blind=unseen)

    @precondition(lambda self: self.slots)
    @rule(number=st.integers(0, 99), server=st.sampled_from(SERVERS[1:]))
    def revert(self, number, server):
        """A secondary forgets a record that nobody signs with just now."""
        slot = self.slots[number % len(self.slots)]
        if slot.selector not in (self.world.signs.get((host, slot.domain, slot.kind)) for host in HOSTS):
            self.world.dns[server].pop((slot.domain, slot.selector), None)

    @precondition(lambda self: self.slots)
    @rule(number=st.integers(0, 99))
    def by_hand(self, number):
        """An administrator lets a key sign that can."""
        slot = self.slots[number % len(self.slots)]
        own = self.world.keys.get(slot.key)
        proven = own and all(self.world.dns[server].get((slot.domain, slot.selector)) == own for server in SERVERS)
        if proven and slot.state == "retiring" and slot.line in self.world.signs:
            self.world.signs[slot.line] = slot.selector
            self.world.signed_at[slot.key] = self.world.now

    @rule()
    def runs(self):
        for _ in range(4):
            self.slots, _ = turn(self.world, self.slots)
            self.world.transfer()
            self.world.pass_time(WAIT)

    @rule(seconds=st.sampled_from((1, WAIT, DAY, 8 * DAY, 15 * DAY)))
    def wait(self, seconds):
        self.world.pass_time(seconds)

    @rule(server=st.sampled_from(("", *SERVERS[1:])))
    def stall(self, server):
        self.world.stale = {server} - {""}

    @rule()
    def transfer(self):
        self.world.transfer()

    @precondition(lambda self: self.slots)
    @rule(number=st.integers(0, 99))
    def undo(self, number):
        with contextlib.suppress(RotationError):
            self.slots, _ = rotation.undo(self.slots, self.slots[number % len(self.slots)].key)

    @precondition(lambda self: self.slots)
    @rule(number=st.integers(0, 99))
    def spoil(self, number):
        self.world.bad ^= {self.slots[number % len(self.slots)].key}

    @invariant()
    def nobody_signs_unproven(self):
        self.world.check()

    @invariant()
    def no_line_signs_with_what_is_gone(self):
        for slot in self.slots:
            if self.world.signs.get(slot.line) == slot.selector:
                assert slot.state not in ("revoked", *rotation.GONE)

    def teardown(self):
        """Whatever happened: with nothing stale and nothing bad, it comes to rest with a verified key where any was ever proven."""
        self.world.stale, self.world.bad = set(), set()
        to_the_end(self.world, self.slots, days=150)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))


class Sharing(RuleBasedStateMachine):
    """Hosts that share a key, in any order: rotations of all or of one, runs that end anywhere, hosts out of reach or set up anew, ways
    back, bad keys, time."""

    def __init__(self):
        super().__init__()
        self.world, self.slots, self.rotations = World(), [], 0

    @precondition(lambda self: self.rotations < 5)
    @rule(urgent=st.booleans(), host=st.sampled_from((None, None, *HOSTS)))
    def begin(self, urgent, host):
        self.rotations += 1
        wanted = [wish for wish in sharing() if host in (None, wish.host) and wish.host not in self.world.down]
        seen = self.world.see(self.slots)
        self.slots = rotation.begin(self.slots, wanted, POLICY, self.world.now, str(self.rotations), urgent, seen).slots

    @rule(most=st.integers(0, 9), save=st.booleans())
    def run(self, most, save):
        before = self.slots
        slots, _ = share(self.world, self.slots, most=most, save=save)
        self.slots = slots if save else before

    @rule(times=st.integers(1, 6))
    def runs(self, times):
        for _ in range(times):
            self.slots, _ = share(self.world, self.slots)
            self.world.transfer()
            self.world.pass_time(WAIT)

    @rule(seconds=st.sampled_from((1, DAY, 15 * DAY)))
    def wait(self, seconds):
        self.world.pass_time(seconds)

    @rule(down=st.sets(st.sampled_from(HOSTS), max_size=2))
    def out_of_reach(self, down):
        self.world.down = down

    @rule(host=st.sampled_from(HOSTS))
    def set_up_anew(self, host):
        self.world.keys = {key: own for key, own in self.world.keys.items() if key[0] != host}
        self.world.signs = {line: selector for line, selector in self.world.signs.items() if line[0] != host}

    @precondition(lambda self: self.slots)
    @rule(number=st.integers(0, 99))
    def undo(self, number):
        with contextlib.suppress(RotationError):
            self.slots, _ = fleet.taken_back(self.slots, self.slots[number % len(self.slots)].selector)

    @precondition(lambda self: self.slots)
    @rule(number=st.integers(0, 99))
    def spoil(self, number):
        self.world.bad ^= {self.slots[number % len(self.slots)].key}

    @invariant()
    def nobody_signs_unproven_and_no_selector_has_two_keys(self):
        self.world.check()

    def teardown(self):
        """Whatever happened: a rotation of all brings all hosts to one key that is verified, and leaves no other."""
        self.world.down, self.world.bad = set(), set()
        seen = self.world.see(self.slots)
        self.slots = rotation.begin(self.slots, sharing(), POLICY, self.world.now, "last", seen=seen).slots
        slots = shared_to_the_end(self.world, self.slots, days=70)
        assert (
            set(on(slots)) == set(HOSTS)
            and len(set(on(slots).values())) == 1
            and all(slot.verified for slot in slots if slot.state == "active")
        ), states(slots)
        assert {slot.state for slot in slots} <= {"active", *rotation.GONE}, states(slots)


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))

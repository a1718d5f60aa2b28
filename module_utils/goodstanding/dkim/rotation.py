# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a DKIM key from its making to its gravestone, per host, domain and selector. Pure; standard library only, Python >= 3.9.

    planned > generated > published > propagated > ready > active > retiring > revoked > gravestone or removed

step() takes what is known (the slots), what was seen just now and the time, and returns the slots as they are then and the acts that are
due. Only what was seen moves a slot on, never that an act was ordered; so a run may end anywhere, and the next one goes on. The caller
saves the slots BEFORE it carries out the acts: then a key that may have signed is known as one (asked).

No host signs with a selector before every authoritative address serves it and the wait is over; in each domain one host goes first, and
two engines must have verified its mail from the wire before the others follow; a key that signed keeps its record for 14 days at least
(RFC 6376 section 5.2, RFC 5863 section 3.5).
"""

from __future__ import annotations

import datetime
import typing as t

from . import selectors

DAY = 86400.0
#: Mail waits in queues for five days, its bounce as long as that (Postfix, maximal_queue_lifetime): a shorter one only in a lab.
FLOOR = 7 * DAY
STATES = ("planned", "generated", "published", "propagated", "ready", "active", "retiring", "revoked", "gravestone", "removed")
COMING = STATES[:5]
GONE = ("gravestone", "removed")
Key = tuple[str, str, str]


class RotationError(ValueError):
    """What was asked for must not be done; the message says why and what to do."""


class Policy(t.NamedTuple):
    """How careful it is. retire: seconds for which the record of a key stays after it signed last; keep: for which it stays revoked before
    the key is destroyed; canary: the host that switches first; engines: how many must verify; lab_only: retire may be below the floor;
    lost: hosts whose keys are in strange hands and are revoked now, whatever becomes of mail that they signed."""

    retire: float = 14 * DAY
    keep: float = 30 * DAY
    canary: str = ""
    engines: int = 2
    gravestone: bool = True
    lab_only: bool = False
    lost: tuple[str, ...] = ()

    def checked(self) -> Policy:
        if self.retire < FLOOR and not self.lab_only:
            raise RotationError(
                f"a record that goes after {self.retire / DAY:g} days fails mail in queues: 7 or more, or lab_only in a lab"
            )
        return self


class Slot(t.NamedTuple):
    """One key of one host. since: of its state; record: the text of its TXT record, empty before it is made; wait: seconds from the time
    when all serve it; asked: it may have signed; verified: since when engines verify it, 0 if not; fault: why it is held; goal: withdraw,
    activate or restore, as undo() sets it; fixed: its name is one of the few behind a customer's CNAMEs; urgent: its predecessors may be in
    strange hands, and are revoked as soon as it signs."""

    host: str
    domain: str
    selector: str
    kind: str
    state: str
    since: float
    rotation: str
    fingerprint: str = ""
    record: str = ""
    asked: bool = False
    verified: float = 0.0
    fault: str = ""
    goal: str = ""
    fixed: bool = False
    urgent: bool = False
    begun: float = 0.0
    first: bool = False

    @property
    def key(self) -> Key:
        return self.host, self.domain, self.selector

    @property
    def line(self) -> Key:
        """Whom it follows: the keys of this kind of this domain on this host."""
        return self.host, self.domain, self.kind


class Seen(t.NamedTuple):
    """What was seen of a slot just now; None: not looked at, or unknown.

    held: the host holds the private key and its signer can read it; primary: what the primary has at the name (equal, absent, revoked,
    other); served: every address of every authoritative server, in each view and over TCP too, has just this record, and a selector that
    was never published does not exist; stale: those that do not; wait: seconds to wait from then (negative TTL, refresh); signing: the
    running signer signs with it; engines: how many engines verified a message of it from the wire; broken: why one does not.
    """

    held: bool | None = None
    fingerprint: str = ""
    record: str = ""
    primary: str | None = None
    served: bool | None = None
    stale: tuple[str, ...] = ()
    wait: float = 0.0
    signing: bool | None = None
    engines: int = 0
    broken: str = ""


class Act(t.NamedTuple):
    """What is due. verb: make, publish, look, wait, check, switch, stop, prove, revoke, restore, unpublish, destroy or hold (a person must
    decide); selector: with stop, the one that must sign no more; why: a sentence."""

    verb: str
    host: str
    domain: str
    selector: str
    why: str


class Step(t.NamedTuple):
    slots: list[Slot]
    acts: list[Act]


class Wish(t.NamedTuple):
    """A new key that is wanted on a host. label: of the host in selectors; fixed: the selectors behind the CNAMEs of a customer's domain,
    empty for a domain of our own."""

    host: str
    domain: str
    kind: str = "rsa"
    label: str = ""
    fixed: tuple[str, ...] = ()


def begin(slots: list[Slot], wishes: list[Wish], policy: Policy, now: float, rotation: str, urgent: bool = False,
          seen: t.Mapping[Key, Seen] | None = None) -> Step:  # fmt: skip
    """Plan new keys. A line that has one on its way already goes on with that one. urgent: a break-in; the present keys are revoked as soon
    as the new ones sign, and one that was made before it and is on its way is taken back. seen: of the hosts, whether they made it."""
    policy.checked()
    found, acts = list(slots), []
    day = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).date()
    for wish in wishes:
        line = (wish.host, wish.domain, wish.kind)
        if urgent:
            found = [slot._replace(goal="withdraw") if slot.line == line and _made_before(slot, seen or {}) else slot for slot in found]
        coming = [slot for slot in found if slot.line == line and slot.state in COMING and slot.goal != "withdraw" and not slot.fault]
        if coming:
            if urgent:
                # Under this name: who goes first is one question, and the same name again begins nothing.
                found = _with(found, coming[0]._replace(urgent=True, rotation=rotation))
            continue
        # On other hosts, too: under one name the two would be each other's forgery.
        used = [slot.selector for slot in found if slot.domain == wish.domain]
        selector = _free(found, wish, policy, now) if wish.fixed else selectors.fresh(day, wish.label or wish.host, wish.kind, used)
        if not selector:
            acts.append(Act("hold", wish.host, wish.domain, "", _why_none_is_free(found, wish, policy, now)))
            continue
        found = [slot for slot in found if slot.key != (wish.host, wish.domain, selector)]
        found.append(Slot(wish.host, wish.domain, selector, wish.kind, "planned", now, rotation, fixed=bool(wish.fixed),
                          urgent=urgent, begun=now, first=wish.host == policy.canary))  # fmt: skip
    return Step(found, acts)


def _made_before(slot: Slot, seen: t.Mapping[Key, Seen]) -> bool:
    """Return whether a key on its way was, or may have been, made before a break-in that is told of now."""
    made = slot.state != "planned" or seen.get(slot.key, Seen(held=False)).held is not False
    return slot.state in COMING and made and not slot.urgent


def _rest(policy: Policy) -> float:
    return policy.retire if policy.lab_only else max(policy.retire, FLOOR)


def _free(slots: list[Slot], wish: Wish, policy: Policy, now: float) -> str:
    """Return a fixed selector that was never used, or whose last key was destroyed long enough ago."""
    for selector in wish.fixed:
        last = [slot for slot in slots if (slot.domain, slot.selector) == (wish.domain, selector)]
        if all(slot.state in GONE and slot.host == wish.host and now >= slot.since + _rest(policy) for slot in last):
            return selector
    return ""


def _why_none_is_free(slots: list[Slot], wish: Wish, policy: Policy, now: float) -> str:
    told = []
    for slot in slots:
        if slot.domain == wish.domain and slot.selector in wish.fixed:
            rests = f", free in {(slot.since + _rest(policy) - now) / DAY:.1f} days" if slot.state in GONE else ""
            told.append(f"{slot.selector} is {slot.state}{rests}")
    return f"no fixed selector of {wish.domain} is free on {wish.host} ({'; '.join(told)}): wait, or let the customer add another CNAME"


def undo(slots: list[Slot], key: Key) -> tuple[list[Slot], str]:
    """Ask for the way back of one key; return the slots and a sentence on what step() will do. RotationError where there is none."""
    slot = next((one for one in slots if one.key == key), None)
    if slot is None:
        raise RotationError(f"no key {key[2]} of {key[1]} on {key[0]} is known")
    same = [one for one in slots if (one.domain, one.selector) == (slot.domain, slot.selector)]  # a record that hosts share is one
    if slot.state in COMING:
        on = [one.host for one in same if one.state == "active"]
        if on:
            raise RotationError(f"{slot.selector} of {slot.domain} signs on {', '.join(on)}: undo it there first, since the record is one")
        asked = any(one.asked for one in same)
        told = "may have signed: another key signs, and its record stays until its mail is delivered"
        told = told if asked else "never signed: its record is taken out and its key destroyed"
        return _each(slots, same, "withdraw", COMING, asked), f"{slot.selector} of {slot.domain} {told}"
    if slot.state == "revoked":
        return _each(slots, same, "restore", ("revoked",)), f"the record of {slot.selector} is published again, and its key stays"
    back = slot if slot.state == "retiring" else _before(slots, slot, {})
    if slot.state in GONE or back is None:
        raise RotationError(f"{slot.selector} of {slot.domain} is {slot.state}, and there is no key to go back to: rotate to a new one")
    if any(one.urgent and one.line == slot.line and one.state == "active" for one in slots):
        raise RotationError(f"{back.selector} of {slot.domain} may be in strange hands (the rotation was urgent): rotate to a new key")
    slots = [one._replace(goal="") if one.line == slot.line and one.goal == "activate" else one for one in slots]
    return _with(slots, back._replace(goal="activate")), f"{back.host} signs {back.domain} with {back.selector} again, once it is proven"


def _each(slots: list[Slot], same: list[Slot], goal: str, states: t.Sequence[str], asked: bool = False) -> list[Slot]:
    for one in same:
        if one.state in states:
            slots = _with(slots, one._replace(goal=goal, asked=one.asked or asked))
    return slots


def _with(slots: list[Slot], new: Slot) -> list[Slot]:
    return [new if slot.key == new.key else slot for slot in slots]


def _before(slots: list[Slot], slot: Slot, seen: t.Mapping[Key, Seen]) -> Slot | None:
    """Return the key that signed before this one and can sign again, which none does that the host has no more."""
    found = [
        one
        for one in slots
        if one.line == slot.line
        and one.key != slot.key
        and one.state in ("active", "retiring")
        and seen.get(one.key, Seen()).held is not False
    ]
    return max(found, key=lambda one: (one.state == "active", not one.fault, one.since)) if found else None


def step(slots: list[Slot], seen: t.Mapping[Key, Seen], policy: Policy, now: float) -> Step:
    """Move every slot to where what was seen puts it, and return what is due."""
    policy.checked()
    before: list[Slot] = []
    found = list(slots)
    while found != before:  # what moved may let others move; each slot moves at most once along the states, or back by one reason
        before = found
        found = [_moved(slot, found, seen.get(slot.key, Seen()), seen, policy, now) for slot in found]
        found = _broken(found, seen)
    acts: list[Act] = []
    for slot in sorted(found, key=_rank):
        act = _due(slot, found, seen.get(slot.key, Seen()), seen, policy, now)
        if act is not None and not any(_same(act, other) or _against(act, other, found) for other in acts):
            acts.append(act)
    switched = {(act.host, act.domain, act.selector) for act in acts if act.verb == "switch"}
    return Step([slot._replace(asked=True) if slot.key in switched else slot for slot in found], acts)


def _same(one: Act, other: Act) -> bool:
    """Return whether two acts are one: a record that hosts share is published once."""
    shared = one.verb in ("publish", "look", "revoke", "restore", "unpublish") or one.host == other.host
    return shared and (one.verb, one.domain, one.selector) == (other.verb, other.domain, other.selector)


def _rank(slot: Slot) -> int:
    """Return who has the first word where two keys of a line are to sign: what must stop, what is to come back, what is new, what is so."""
    if slot.goal == "withdraw" or (slot.fault and slot.state == "active"):
        return 0
    return 1 if slot.goal == "activate" else 2 if slot.state != "active" else 3


def _against(one: Act, other: Act, slots: list[Slot]) -> bool:
    """Return whether two acts would let two keys of one line sign, or one and none."""
    if one.verb not in ("switch", "stop") or other.verb not in ("switch", "stop"):
        return False
    lines = [next(slot.line for slot in slots if slot.key == (act.host, act.domain, act.selector)) for act in (one, other)]
    return lines[0] == lines[1]


def _to(slot: Slot, state: str, now: float, **more: t.Any) -> Slot:
    return slot._replace(state=state, since=now, **more)


def _moved(slot: Slot, slots: list[Slot], saw: Seen, seen: t.Mapping[Key, Seen], policy: Policy, now: float) -> Slot:
    """Return a slot as what was seen of it makes it, one state further at most."""
    if slot.host in policy.lost and slot.state not in GONE:
        return _of_lost(slot, saw, now)
    if slot.goal == "withdraw":
        return _withdrawn(slot, slots, saw, now)
    if slot.state == "planned" and saw.held and saw.fingerprint and saw.record:
        return _to(slot, "generated", now, fingerprint=saw.fingerprint, record=saw.record)
    if slot.state == "generated" and saw.primary == "equal":
        return _to(slot, "published", now)
    if slot.state == "published" and saw.served and saw.primary not in ("absent", "other"):
        return _to(slot, "propagated", now)
    if slot.state in ("propagated", "ready") and (saw.served is False or saw.primary in ("absent", "other")):
        return _to(slot, "published", now)
    if slot.state == "propagated" and saw.served and now >= slot.since + saw.wait and _all_hold(slot, slots, seen):
        return _to(slot, "ready", now)
    if slot.state == "ready" and saw.held is False:
        return _to(slot, "propagated", now)
    if slot.state == "ready" and saw.signing and saw.served and not slot.fault:
        return _to(slot, "active", now, asked=True)
    return _after_signing(slot, slots, saw, policy, now)


def _after_signing(slot: Slot, slots: list[Slot], saw: Seen, policy: Policy, now: float) -> Slot:
    if slot.state == "active":
        if saw.signing is False and (slot.fault or _another(slot, slots)):
            return _to(slot, "retiring", now, verified=0.0)
        if not slot.verified and saw.signing and saw.engines >= policy.engines and not saw.broken:
            return slot._replace(verified=now, fault="")
    if slot.state == "retiring":
        if slot.goal == "activate" and saw.signing and saw.served:
            return _to(slot, "active", now, goal="", verified=0.0, fault="")
        if saw.signing and slot.goal != "activate" and slot.since < now:
            return slot._replace(since=now)  # somebody let it sign again: its time begins anew
        if saw.primary == "revoked":
            return _to(slot, "revoked", now, goal="restore" if slot.goal == "activate" else "")
    if slot.state == "revoked":
        if slot.goal == "restore" and saw.primary == "equal":
            return _to(slot, "retiring", now, goal="")
        if not slot.goal and saw.held is False and saw.primary == ("revoked" if policy.gravestone else "absent"):
            return _to(slot, "gravestone" if policy.gravestone else "removed", now)
    return slot


def _of_lost(slot: Slot, saw: Seen, now: float) -> Slot:
    slot = slot._replace(goal="", fault="", rotation="")  # in no rotation: nobody waits for it
    if not slot.record:
        return _to(slot, "removed", now)
    return _to(slot, "gravestone", now) if saw.primary == "revoked" else slot


def _withdrawn(slot: Slot, slots: list[Slot], saw: Seen, now: float) -> Slot:
    if slot.asked:
        # Mail with its signature may be on its way: as any key that signed it keeps its record for a time.
        return _to(slot, "retiring", now, goal="") if saw.signing is False else slot
    if saw.held is False and _not_there(slot, saw):
        return _to(slot, "removed", now, goal="")
    return slot


def _not_there(slot: Slot, saw: Seen) -> bool:
    """Return whether the record of a key that never signed is not on the primary: what somebody else wrote there, or what the last key of
    its selector left, is none of its."""
    return not slot.record or saw.primary in ("absent", "other", "revoked")


def _another(slot: Slot, slots: list[Slot]) -> bool:
    """Return whether another key of the line signs."""
    return any(other.line == slot.line and other.key != slot.key and other.state == "active" for other in slots)


def _all_hold(slot: Slot, slots: list[Slot], seen: t.Mapping[Key, Seen]) -> bool:
    """Return whether every host that will sign with this record holds its key."""
    same = [one for one in slots if (one.domain, one.selector) == (slot.domain, slot.selector) and one.state not in GONE]
    return all(seen.get(one.key, Seen()).held is True for one in same)


def _broken(slots: list[Slot], seen: t.Mapping[Key, Seen]) -> list[Slot]:
    """A key whose mail does not verify, or that signs unproven, is held, and the one before it is to sign again."""
    for slot in slots:
        saw = seen.get(slot.key, Seen())
        unproven = slot.state in COMING[:4] and saw.signing is True and not slot.fault
        failed = slot.state == "active" and saw.signing is True and bool(saw.broken) and not (slot.fault or slot.verified)
        if not (unproven or failed):
            continue
        why = f"its mail does not verify ({saw.broken[:200]})" if failed else "it signed before it was proven, which somebody set by hand"
        slots = _with(slots, slot._replace(fault=why, asked=True, goal="" if failed else "withdraw"))
        back = _before(slots, slot, seen)
        # Where mail of the key before it does not verify either, it is the signer, and no key to go back to would end it.
        if back is not None and back.state == "retiring" and not back.fault:
            slots = _with(slots, back._replace(goal="activate"))
    return slots


def _due(slot: Slot, slots: list[Slot], saw: Seen, seen: t.Mapping[Key, Seen], policy: Policy, now: float) -> Act | None:
    """Return what is to be done about a slot now."""

    def act(verb: str, why: str, of: Slot = slot) -> Act:
        return Act(verb, of.host, of.domain, of.selector, why)

    if slot.host in policy.lost:
        return None if slot.state in GONE else act("revoke", "its host is lost: who has the key now must not sign")
    if slot.goal == "withdraw":
        return _due_of_withdrawn(slot, slots, saw, seen, act)
    if slot.state == "planned":
        return act("make", "no key is there yet; it is made on the host that signs with it")
    if slot.state == "generated":
        if saw.primary == "other":
            return act("hold", f"{slot.selector} of {slot.domain} has another value in DNS: look who published it, or undo and rotate anew")
        if slot.record:
            return act("publish", "the key is made, and nobody can look it up yet")
    if slot.state == "published":
        if saw.primary in ("absent", "other"):
            return act("hold", f"the record of {slot.selector} of {slot.domain} is gone from the primary or changed: undo, and rotate anew")
        stale = f"; not yet: {', '.join(saw.stale[:5])}" if saw.stale else ""
        return act("look", f"the record is on the primary, and every authoritative address must serve it{stale}")
    if slot.state == "propagated":
        if now < slot.since + saw.wait:
            return act(
                "wait", f"all serve it; who asked too early may remember that it was not there, {slot.since + saw.wait - now:.0f} s more"
            )
        return act("check", "all serve it; every host that will sign with it must hold its key, readable for its signer")
    if slot.state == "ready":
        return _due_of_ready(slot, slots, saw, act)
    return _due_after(slot, slots, saw, seen, policy, now, act)


def _due_of_withdrawn(slot: Slot, slots: list[Slot], saw: Seen, seen: t.Mapping[Key, Seen], act: t.Callable[..., Act]) -> Act | None:
    if saw.signing is not False and slot.asked:
        return (
            _away_from(slot, slots, seen, act)
            if saw.signing
            else act("check", "whether it signs is not known, and its record stays until then")
        )
    if slot.asked:
        return None
    if saw.signing:
        return _away_from(slot, slots, seen, act)
    others = [one for one in slots if (one.domain, one.selector) == (slot.domain, slot.selector) and one.goal != "withdraw"]
    if any(one.state not in GONE for one in others):
        return act("wait", "another host still has this key")
    if saw.primary == "equal" and saw.signing is False:
        return act("unpublish", "it was taken back and never signed: nobody needs its record")
    if _not_there(slot, saw) and saw.signing is False and saw.held:
        return act("destroy", "it was taken back and never signed: nobody needs its key")
    return act("check", "it is taken back; what is known of it is not enough to go on")


def _away_from(slot: Slot, slots: list[Slot], seen: t.Mapping[Key, Seen], act: t.Callable[..., Act]) -> Act:
    """Let the key before it sign, or none."""
    back = _before(slots, slot, seen)
    if back is None:
        return act(
            "stop", f"{slot.selector} must not sign ({slot.fault or 'it was taken back'}), and there is no other key: mail leaves unsigned"
        )
    if slot.fault and back.fault:
        return act(
            "hold", f"{slot.selector} signs, and so did {back.selector}, and mail of neither verifies ({slot.fault}): look into the signer"
        )
    return act("switch", f"{slot.selector} must not sign ({slot.fault or 'it was taken back'}): back to the key before it", back)


def _due_of_ready(slot: Slot, slots: list[Slot], saw: Seen, act: t.Callable[..., Act]) -> Act | None:
    if slot.fault:
        return act("hold", f"{slot.selector} is held: {slot.fault}; look into it, then undo it or rotate anew")
    if not (saw.served and saw.held):
        return act("look", "before it signs, all must still serve it and the host hold its key; that was not seen just now")
    if slot.kind == "ed25519":
        rsa = [one for one in slots if (one.host, one.domain, one.kind, one.state) == (slot.host, slot.domain, "rsa", "active")]
        if not rsa:
            return act("wait", "an Ed25519 key signs beside an RSA key and never alone, and none of that kind signs here yet")
    first = _canary(slot, slots)
    if first.key != slot.key and not (first.state == "active" and first.verified and not first.fault) and not _overtaken(first, slots):
        if first.fault and not answered(first, slots):
            return act("hold", f"{first.host} went first, and nobody follows: {first.fault}; look into it, then begin a rotation by name")
        return act("wait", f"{first.host} goes first, and its mail must verify before others follow")
    return act(
        "switch", "it is proven: all serve it, the wait is over, the key is there" + ("; it goes first" if first.key == slot.key else "")
    )


def _canary(slot: Slot, slots: list[Slot]) -> Slot:
    """Return who goes first in this rotation of the domain: the canary host's key, or the first by name."""
    same = [
        one
        for one in slots
        if (one.domain, one.kind, one.rotation) == (slot.domain, slot.kind, slot.rotation)
        and one.state != "removed"
        and one.goal != "withdraw"
    ]
    return min(same, key=lambda one: (not one.first, one.host, one.selector)) if same else slot


def _overtaken(slot: Slot, slots: list[Slot]) -> bool:
    """Return whether a later rotation has gone beyond a key; one that was undone is followed by an earlier key."""
    current = _current(slot, slots)
    return slot.state in STATES[6:] and current is not None and current.begun > slot.begun


def answered(slot: Slot, slots: list[Slot]) -> bool:
    """Return whether a newer key of the line is on its way or signs."""
    return any(
        other.line == slot.line and other.begun > slot.begun and other.state in (*COMING, "active") and not (other.fault or other.goal)
        for other in slots
    )


def _due_after(slot: Slot, slots: list[Slot], saw: Seen, seen: t.Mapping[Key, Seen], policy: Policy, now: float,
               act: t.Callable[..., Act]) -> Act | None:  # fmt: skip
    """Return what is to be done about a slot that signed."""
    if slot.state == "active":
        if slot.fault and saw.signing is not False:
            return _away_from(slot, slots, seen, act)
        if saw.signing is False and not slot.fault and saw.served and saw.held:
            return act("switch", "it is the key in use, and the signer that runs does not sign with it")
        if not slot.verified and saw.signing and not slot.fault:
            return act("prove", f"it signs; a message of it must verify from the wire by {policy.engines} engines")
        if slot.verified and saw.signing and saw.primary == "absent":
            return act("publish", "it signs, and its record is gone from the primary: its mail fails")
    if slot.state == "retiring":
        if slot.goal == "activate":
            if saw.served and saw.held:
                return act("switch", "it is to sign again: all serve it, and the key is there")
            return act("look", "it is to sign again; all must serve it and the host hold its key")
        return _due_of_retiring(slot, slots, seen, policy, now, act)
    if slot.state == "revoked":
        if slot.goal == "restore":
            return act("restore", "it is to come back: its old value is published again")
        if now >= slot.since + (0 if _urgent(slot, slots) else policy.keep):
            if saw.held is not False:
                return act("destroy", "its record is revoked for long enough: nobody needs the key any more")
            if not policy.gravestone:
                return act("unpublish", "its key is destroyed: the empty record goes, too")
    return None


def _due_of_retiring(slot: Slot, slots: list[Slot], seen: t.Mapping[Key, Seen], policy: Policy, now: float,
                     act: t.Callable[..., Act]) -> Act | None:  # fmt: skip
    shared = [one for one in slots if (one.domain, one.selector) == (slot.domain, slot.selector) and one.state not in GONE]
    for one in shared:
        if one.state not in ("retiring", "revoked") or one.goal:
            return act("wait", f"{one.host} still has this key as {one.state}")
        if seen.get(one.key, Seen()).signing is not False:
            return act("check", f"that {one.host} signs with it no more was not seen just now")
        if _current(one, slots) is None:
            return act("wait", f"no verified key signs {one.domain} on {one.host} in its place: this one is the way back")
    urgent = all(_urgent(one, slots) for one in shared)
    left = max(one.since for one in shared) + policy.retire - now
    if left > 0 and not urgent:
        return act("wait", f"mail that it signed may be in queues: its record stays {left / DAY:.1f} days more")
    return act(
        "revoke", "the rotation is urgent: mail that it signed fails from now on" if urgent and left > 0 else "its mail is delivered"
    )


def _urgent(slot: Slot, slots: list[Slot]) -> bool:
    """Return whether the key that signs in place of this one came because this one may be in strange hands."""
    return any(one.urgent and one.line == slot.line and one.begun > slot.begun and one.state == "active" for one in slots)


def _current(slot: Slot, slots: list[Slot]) -> Slot | None:
    """Return the key that signs in place of a retired one, where it is verified."""
    for other in slots:
        if other.line == slot.line and other.state == "active" and other.verified and not other.fault:
            return other
    return None

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a DKIM key from its making to its gravestone, per host, domain and selector. Pure; standard library only, Python >= 3.9.

    planned > generated > published > propagated > ready > active > retiring > revoked > gravestone or removed

step() takes what is known (the slots), what was seen just now and the time, and returns the slots as they are then and the acts that are
due. Only what was seen moves a slot on, never that an act was ordered; so a run may end anywhere, and the next one goes on. The caller
saves the slots BEFORE it carries out the acts: then a key that may have signed is known as one (asked).

Hosts may share a key (Slot.shared): one of them makes it, the others get a copy from any that has it, and its record is one. Each signs
once it holds it; the record goes when none signs with it any more.

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
#: The rotation of a key that signed before anything was known of it.
TAKEN_IN = "taken in"
Key = tuple[str, str, str]


class RotationError(ValueError):
    """What was asked for must not be done; the message says why and what to do."""


class Policy(t.NamedTuple):
    """How careful it is. retire: seconds for which the record of a key stays after it signed last; keep: for which it stays revoked before
    the key is destroyed; canary: the host that switches first; engines: how many must verify; lab_only: retire may be below the floor;
    lost: hosts whose keys are in strange hands and are revoked now, whatever becomes of mail that they signed; rest: seconds for which the
    hosts let a fixed selector rest."""

    retire: float = 14 * DAY
    keep: float = 30 * DAY
    canary: str = ""
    engines: int = 2
    gravestone: bool = True
    lab_only: bool = False
    lost: tuple[str, ...] = ()
    rest: float = 0.0

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
    strange hands, and are revoked as soon as it signs; begun: when the key was planned, of a copy as of the first; first: goes first, and
    makes what is shared; shared: the label of those who share it, empty for a key of the host's own."""

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
    shared: str = ""

    @property
    def key(self) -> Key:
        return self.host, self.domain, self.selector

    @property
    def line(self) -> Key:
        """Whom it follows: the keys of this kind of this domain on this host."""
        return self.host, self.domain, self.kind

    @property
    def group(self) -> Key:
        """Who shares its key, where somebody does."""
        return self.shared, self.domain, self.kind


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
    """What is due. verb: make, copy, publish, look, wait, check, switch, stop, prove, revoke, restore, unpublish, destroy or hold (a person
    must decide); selector: with stop, the one that must sign no more; why: a sentence; source: with copy, the host that has the key."""

    verb: str
    host: str
    domain: str
    selector: str
    why: str
    source: str = ""


class Step(t.NamedTuple):
    slots: list[Slot]
    acts: list[Act]


class Wish(t.NamedTuple):
    """A new key that is wanted on a host. label: of the host in selectors; fixed: the selectors behind the CNAMEs of a customer's domain,
    empty for a domain of our own; shared: the hosts of this label have one key, and it must have been looked at which this one has."""

    host: str
    domain: str
    kind: str = "rsa"
    label: str = ""
    fixed: tuple[str, ...] = ()
    shared: bool = False

    @property
    def line(self) -> Key:
        return self.host, self.domain, self.kind

    @property
    def group(self) -> Key:
        return self.label, self.domain, self.kind


def begin(slots: list[Slot], wishes: list[Wish], policy: Policy, now: float, rotation: str, urgent: bool = False,
          seen: t.Mapping[Key, Seen] | None = None) -> Step:  # fmt: skip
    """Plan new keys. A line that has one on its way already goes on with that one. urgent: a break-in; the present keys are revoked as soon
    as the new ones sign, and one that was made before it and is on its way is taken back. seen: of the hosts, whether they made it."""
    policy.checked()
    day = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).date()
    domains: dict[str, list[Slot]] = {}
    for slot in slots:
        domains.setdefault(slot.domain, []).append(slot)
    acts: list[Act] = []
    for wish in sorted(wishes, key=lambda one: one.host != policy.canary):  # who goes first makes what is shared
        found = domains.pop(wish.domain, [])
        if urgent:
            mine = [slot for slot in found if slot.line == wish.line or (wish.shared and slot.group == wish.group)]
            found = _each(found, [slot for slot in mine if _made_before(slot, mine, seen or {}, rotation)], "withdraw", COMING)
        lead = _lead(found, wish.group, policy, seen or {}, rotation if urgent else "") if wish.shared else None
        if wish.shared:
            # What the others have gone beyond, or nobody can hand over.
            past = [slot for slot in found if slot.line == wish.line and slot.shared and not _is(slot, lead)]
            found = _each(found, past, "withdraw", COMING)
        coming = next((slot for slot in found if slot.line == wish.line and slot.state in COMING and not (slot.goal or slot.fault)), None)
        going_on = coming or lead
        if urgent and going_on:
            # Under this name: who goes first is one question, and the same name again begins nothing.
            for slot in _copies(going_on, found):
                found = _with(found, slot._replace(urgent=True, rotation=rotation))
            lead = lead and lead._replace(urgent=True, rotation=rotation)
        had = [slot for slot in found if slot.host == wish.host and _is(slot, lead)]
        if not coming and lead is not None and all(slot.state == "active" and _has_not(slot, seen or {}) for slot in had):
            found = _joined(found, wish, lead, now)
        elif not coming:
            new = Slot(wish.host, wish.domain, "", wish.kind, "planned", now, rotation, fixed=bool(wish.fixed), urgent=urgent, begun=now,
                       first=wish.shared or wish.host == policy.canary, shared=wish.label if wish.shared else "")  # fmt: skip
            found, fault = _planned(found, new, wish, policy, now, day)
            acts += [Act("hold", wish.host, wish.domain, "", fault)] if fault else []
        domains[wish.domain] = found
    return Step([slot for found in domains.values() for slot in found], acts)


def _planned(slots: list[Slot], new: Slot, wish: Wish, policy: Policy, now: float, day: datetime.date) -> tuple[list[Slot], str]:
    """Add a new key under a selector that is free; return why there is none, or an empty text."""
    # On other hosts, too: under one name the two would be each other's forgery.
    used = [slot.selector for slot in slots]
    selector = _free(slots, wish, policy, now) if wish.fixed else selectors.fresh(day, wish.label or wish.host, wish.kind, used)
    if not selector:
        return slots, _why_none_is_free(slots, wish, policy, now)
    # Of those who share it is the newest, whatever the clock did.
    begun = max([now, *(slot.begun + 1 for slot in slots if wish.shared and slot.group == wish.group)])
    kept = [slot for slot in slots if slot.key != (wish.host, wish.domain, selector)]
    return [*kept, new._replace(selector=selector, begun=begun)], ""


def _made_before(slot: Slot, slots: list[Slot], seen: t.Mapping[Key, Seen], rotation: str) -> bool:
    """Return whether a key on its way was, or may have been, made before a break-in that is told of now by this rotation."""
    return (not slot.urgent or slot.rotation != rotation) and any(
        one.state != "planned" or seen.get(one.key, Seen(held=False)).held is not False for one in _copies(slot, slots)
    )


def _is(slot: Slot, lead: Slot | None) -> bool:
    """Return whether two hosts' keys are one; a fixed selector has another one later."""
    return lead is not None and (slot.domain, slot.selector, slot.begun) == (lead.domain, lead.selector, lead.begun)


def _copies(slot: Slot, slots: list[Slot]) -> list[Slot]:
    """Return the keys of all hosts with this record, this one among them, but for those that are gone."""
    return [one for one in slots if (one.domain, one.selector) == (slot.domain, slot.selector) and one.state not in GONE]


def _has_not(slot: Slot, seen: t.Mapping[Key, Seen]) -> bool:
    saw = seen.get(slot.key, Seen())
    return saw.held is False and saw.signing is False


def _gives(slot: Slot, seen: t.Mapping[Key, Seen]) -> bool:
    """Return whether others can wait for a copy from here: it has the key, will make it, or signs and is out of reach just now."""
    held = seen.get(slot.key, Seen(held=False)).held  # planned just now
    if slot.state == "planned":
        return slot.first and not slot.fingerprint and held is not None
    return bool(held) or (held is None and slot.state == "active")


def _lead(slots: list[Slot], group: Key, policy: Policy, seen: t.Mapping[Key, Seen], urgent: str = "") -> Slot | None:
    """Return the newest key that a group of hosts shares and that can still be handed on. urgent: the name of a rotation after a
    break-in; a key that signs and is not of it may be in strange hands, as is one that a lost host has."""
    keys: dict[str, list[Slot]] = {}
    back = {slot.line for slot in slots if slot.goal == "activate"}
    for slot in slots:
        if slot.group == group and slot.state not in GONE:
            keys.setdefault(slot.selector, []).append(slot)
    found = []
    for copies in keys.values():
        good = any(one.state == "active" and one.verified and not one.fault for one in copies)
        if (
            any(_gives(one, seen) for one in copies)
            and not any(one.host in policy.lost for one in copies)
            and (good or not any(one.fault for one in copies))
            and all(one.state in COMING or urgent in ("", one.rotation) for one in copies)
        ):
            found += [one for one in copies if one.state in (*COMING, "active") and one.goal != "withdraw" and one.line not in back]
    return max(found, key=lambda one: (one.begun, one.selector)) if found else None


def behind(slots: list[Slot], wanted: t.Iterable[Wish], policy: Policy, seen: t.Mapping[Key, Seen]) -> set[Wish]:
    """Return the wishes of hosts that share keys and are to get another one: the newest of the others, or a new one where nobody can hand
    over what they wait for."""
    domains: dict[str, list[Slot]] = {}
    for slot in slots:
        domains.setdefault(slot.domain, []).append(slot)
    leads: dict[Key, Slot | None] = {}
    found = set()
    for wish in wanted:
        if wish.shared:
            rows = domains.get(wish.domain, [])
            if wish.group not in leads:
                leads[wish.group] = _lead(rows, wish.group, policy, seen)
            lead = leads[wish.group]
            mine = [slot for slot in rows if slot.line == wish.line and slot.shared]
            dead = [slot for slot in mine if slot.state in COMING and not (slot.goal or slot.fault)
                    and not any(_gives(one, seen) for one in _copies(slot, rows))]  # fmt: skip
            if dead or (lead is not None and not any(_is(slot, lead) for slot in mine)):
                found.add(wish)
    return found


def exposed(slots: list[Slot], wanted: t.Iterable[Wish], policy: Policy) -> list[Wish]:
    """Return the wishes of hosts whose key a lost host has, too, but for those for which an urgent one is on its way, or failed."""
    bad = {(slot.domain, slot.selector) for slot in slots if slot.host in policy.lost and slot.state not in GONE}
    live: set[Key] = set()
    answered: set[Key] = set()
    for slot in slots:
        if (slot.domain, slot.selector) in bad:
            live |= {slot.line} if slot.state in (*COMING, "active") and not slot.goal else set()
        elif slot.urgent and slot.state not in GONE and (slot.fault or (slot.state in COMING and not slot.goal)):
            answered.add(slot.line)
    return [wish for wish in wanted if wish.line in live - answered]


def _joined(slots: list[Slot], wish: Wish, lead: Slot, now: float) -> list[Slot]:
    """Plan a copy of a key; one that its host had and lost may have signed."""
    asked = any(slot.host == wish.host and _is(slot, lead) for slot in slots)
    slots = [slot for slot in slots if slot.key != (wish.host, wish.domain, lead.selector)]
    copy = lead._replace(host=wish.host, state="planned", since=now, asked=asked, verified=0.0, fault="", goal="", first=False)
    return [*slots, copy]


def _rest(policy: Policy) -> float:
    return max(policy.retire, policy.rest, 0.0 if policy.lab_only else FLOOR)


def _free(slots: list[Slot], wish: Wish, policy: Policy, now: float) -> str:
    """Return a fixed selector that was never used, or whose last key was destroyed long enough ago."""
    for selector in wish.fixed:
        last = [slot for slot in slots if (slot.domain, slot.selector) == (wish.domain, selector)]
        ours = all(slot.group == wish.group if wish.shared else slot.host == wish.host and not slot.shared for slot in last)
        if ours and all(slot.state in GONE and now >= slot.since + _rest(policy) for slot in last):
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
    same = _copies(slot, slots)  # a record that hosts share is one
    if slot.state in COMING:
        leaving = {one.line for one in slots if one.goal == "activate"}
        on = [one.host for one in same if one.state == "active" and one.line not in leaving]
        if on:
            raise RotationError(f"{slot.selector} of {slot.domain} signs on {', '.join(on)}: undo it there first, since the record is one")
        asked = any(one.asked for one in same)
        told = "may have signed: another key signs, and its record stays until its mail is delivered"
        told = told if asked else "never signed: its record is taken out and its key destroyed"
        return _each(slots, same, "withdraw", COMING, asked), f"{slot.selector} of {slot.domain} {told}"
    if slot.state == "revoked":
        if any(_urgent(one, slots) for one in same):
            raise RotationError(f"{slot.selector} of {slot.domain} may be in strange hands (the rotation was urgent): rotate to a new key")
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
    lines = {slot.line for slot in found if slot.key in switched}
    # A key of the line that was not looked at may be what somebody let sign meanwhile: its time begins anew.
    blind = {slot.key for slot in found if slot.line in lines and seen.get(slot.key, Seen()).signing is None}
    found = [slot._replace(since=now) if slot.state == "retiring" and slot.key in blind else slot for slot in found]
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
    if slot.state == "planned" and slot.shared and not slot.fingerprint:
        made = next((one for one in slots if _is(one, slot) and one.fingerprint), None)
        if made is not None:
            return slot._replace(fingerprint=made.fingerprint, record=made.record)
        if not slot.first:
            return slot  # whatever it holds, it is not yet known to be the key that is shared
    if slot.state == "planned" and saw.held and saw.fingerprint and saw.record and slot.fingerprint in ("", saw.fingerprint):
        return _to(slot, "generated", now, fingerprint=saw.fingerprint, record=slot.record or saw.record)
    if slot.state == "generated" and saw.primary == "equal":
        return _to(slot, "published", now)
    if slot.state == "published" and saw.served and saw.primary not in ("absent", "other"):
        return _to(slot, "propagated", now)
    if slot.state in ("propagated", "ready") and (saw.served is False or saw.primary in ("absent", "other")):
        return _to(slot, "published", now)
    if slot.state == "propagated" and saw.served and saw.held and (now >= slot.since + saw.wait or _waited(slot, slots)):
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
        if slot.goal == "activate" and _has_not(slot, {slot.key: saw}):
            return slot._replace(goal="")  # the host has it no more: there is no way back to it
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
    if saw.held is False and (_not_there(slot, saw) or _needed(slot, slots)):
        return _to(slot, "removed", now, goal="")
    return slot


def _needed(slot: Slot, slots: list[Slot]) -> bool:
    """Return whether another host keeps this key, or may have signed with it, and so needs its record."""
    return any(one.key != slot.key and (one.goal != "withdraw" or one.asked) for one in _copies(slot, slots))


def _not_there(slot: Slot, saw: Seen) -> bool:
    """Return whether the record of a key that never signed is not on the primary: what somebody else wrote there, or what the last key of
    its selector left, is none of its."""
    return not slot.record or saw.primary in ("absent", "other", "revoked")


def _another(slot: Slot, slots: list[Slot]) -> bool:
    """Return whether another key of the line signs."""
    return any(other.line == slot.line and other.key != slot.key and other.state == "active" for other in slots)


def _waited(slot: Slot, slots: list[Slot]) -> bool:
    """Return whether the wait for this record is over on another host: it is one."""
    return bool(slot.shared) and any(_is(one, slot) and one.state in ("ready", "active") and not one.fault for one in slots)


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
        return _due_of_lost(slot, slots, policy, act)
    if slot.goal == "withdraw":
        return _due_of_withdrawn(slot, slots, saw, seen, act)
    lacks = saw.held is False or (saw.held is None and saw.fingerprint)  # or its signer would not take the file
    if slot.shared and slot.fingerprint and slot.state in COMING and lacks:
        return _due_of_copy(slot, slots, seen, policy, act)
    if slot.state == "planned":
        if slot.shared and not slot.first:
            return act("wait", "another host makes it, and then hands over a copy")
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
        return _due_of_ready(slot, slots, saw, seen, act)
    return _due_after(slot, slots, saw, seen, policy, now, act)


def _due_of_lost(slot: Slot, slots: list[Slot], policy: Policy, act: t.Callable[..., Act]) -> Act | None:
    if slot.state in GONE:
        return None
    for one in _copies(slot, slots):
        if one.host not in policy.lost and one.state != "revoked" and (one.goal != "withdraw" or one.asked):
            return act("wait", f"its host is lost, and {one.host} has this key, too: it gets a new one first, then this one is revoked")
    return act("revoke", "its host is lost: who has the key now must not sign")


def _due_of_copy(slot: Slot, slots: list[Slot], seen: t.Mapping[Key, Seen], policy: Policy, act: t.Callable[..., Act]) -> Act:
    """Let a host that has the key hand it over."""
    for one in sorted(_copies(slot, slots)):
        if one.key != slot.key and one.host not in policy.lost and one.goal != "withdraw" and seen.get(one.key, Seen()).held:
            return act("copy", f"{one.host} has the key, and hands it over sealed for this host alone")._replace(source=one.host)
    return act("wait", "the hosts that have the key are out of reach; one of them hands it over as soon as it is there")


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
    if _needed(slot, slots):
        if saw.held and saw.signing is False:
            return act("destroy", "it was taken back here and never signed; its record is that of others")
        return act("check", "it is taken back; whether it is here is not known")
    if saw.primary == "equal" and saw.signing is False:
        return act("unpublish", "it was taken back and never signed: nobody needs its record")
    if _not_there(slot, saw) and saw.signing is False and saw.held:
        return act("destroy", "it was taken back and never signed: nobody needs its key")
    return act("check", "it is taken back; what is known of it is not enough to go on")


def _away_from(slot: Slot, slots: list[Slot], seen: t.Mapping[Key, Seen], act: t.Callable[..., Act]) -> Act:
    """Let the key before it sign, or none."""
    back = _before(slots, slot, seen)
    if slot.rotation == TAKEN_IN and (back is None or back.fault):
        # It signed before this run came, for receivers that may be less strict: none of them gains by mail that is not signed.
        return act("hold", f"{slot.selector} was taken in, and {slot.fault}: mend its record or its signer, or begin a rotation by name")
    if back is None:
        return act(
            "stop", f"{slot.selector} must not sign ({slot.fault or 'it was taken back'}), and there is no other key: mail leaves unsigned"
        )
    if slot.fault and back.fault:
        return act(
            "hold", f"{slot.selector} signs, and so did {back.selector}, and mail of neither verifies ({slot.fault}): look into the signer"
        )
    why = f"{slot.selector} must not sign ({slot.fault or 'it was taken back'}): back to the key before it"
    saw = seen.get(back.key, Seen())
    if not (saw.served and saw.held):
        return act("look", f"{why}, as soon as all serve it and the host holds it", back)
    return act("switch", why, back)


def _due_of_ready(slot: Slot, slots: list[Slot], saw: Seen, seen: t.Mapping[Key, Seen], act: t.Callable[..., Act]) -> Act | None:
    if slot.fault:
        return act("hold", f"{slot.selector} is held: {slot.fault}; look into it, then undo it or rotate anew")
    if not (saw.served and saw.held):
        return act("look", "before it signs, all must still serve it and the host hold its key; that was not seen just now")
    if slot.kind == "ed25519":
        rsa = [one for one in slots if (one.host, one.domain, one.kind, one.state) == (slot.host, slot.domain, "rsa", "active")]
        if not rsa:
            return act("wait", "an Ed25519 key signs beside an RSA key and never alone, and none of that kind signs here yet")
    first = _canary(slot, slots, seen)
    if first.key != slot.key and not (first.state == "active" and first.verified and not first.fault) and not _overtaken(first, slots):
        if first.fault and not answered(first, slots):
            return act("hold", f"{first.host} went first, and nobody follows: {first.fault}; look into it, then begin a rotation by name")
        return act("wait", f"{first.host} goes first, and its mail must verify before others follow")
    return act(
        "switch", "it is proven: all serve it, the wait is over, the key is there" + ("; it goes first" if first.key == slot.key else "")
    )


def _canary(slot: Slot, slots: list[Slot], seen: t.Mapping[Key, Seen]) -> Slot:
    """Return who goes first in this rotation of the domain: the canary host's key, or the first by name. Nobody waits for a copy that is
    out of reach and does not sign yet."""
    same = [
        one
        for one in slots
        if (one.domain, one.kind, one.rotation) == (slot.domain, slot.kind, slot.rotation)
        and one.state != "removed"
        and one.goal != "withdraw"
        and not (one.shared and one.state in COMING and seen.get(one.key, Seen()).held is None)
    ]
    return min(same, key=lambda one: (_to_go(one), not one.first, one.host, one.selector)) if same else slot


def _to_go(slot: Slot) -> int:
    """Order those who share a key: who is proven, who failed, who has just begun, who did not."""
    if not slot.shared or (slot.state != "active" and not slot.fault):
        return 3
    return 1 if slot.fault else 0 if slot.verified else 2


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
    # One that was never to sign need not be seen, and one that is lost will not be.
    shared = [one for one in _copies(slot, slots) if one.host not in policy.lost and (one.goal != "withdraw" or one.asked)]
    for one in shared:
        if one.state not in ("retiring", "revoked") or one.goal:
            return act("wait", f"{one.host} still has this key as {one.state}")
        if seen.get(one.key, Seen()).signing is not False:
            return act("check", f"that {one.host} signs with it no more was not seen just now")
        if _current(one, slots) is None:
            return act("wait", f"no verified key signs {one.domain} on {one.host} in its place: this one is the way back")
    # What a lost host has is a thief's, and nobody else signs with it any more.
    urgent = any(one.host in policy.lost for one in _copies(slot, slots)) or all(_urgent(one, slots) for one in shared)
    left = max(one.since for one in shared) + policy.retire - now
    if left > 0 and not urgent:
        return act("wait", f"mail that it signed may be in queues: its record stays {left / DAY:.1f} days more")
    return act(
        "revoke", "it may be in strange hands: mail that it signed fails from now on" if urgent and left > 0 else "its mail is delivered"
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

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's DKIM keys between the hosts, the DNS and the states of rotation.py: what is wanted, was seen, and is to be done. Pure.

A record stands where receivers ask for it, or, for a customer's domain, in a zone of ours: the customer makes a few CNAMEs once, each of
which leads to one key of one host (s1.mx1._domainkey.customer.example to s1.mx1.customer.example._domainkey.keys.example.com).
"""

from __future__ import annotations

import re
import typing as t

from . import record, selectors
from .rotation import COMING, GONE, TAKEN_IN, Act, Key, Policy, RotationError, Seen, Slot, Wish, answered, undo

#: What a run carries out; the others wait for time, for servers or for a person.
DOING = ("make", "copy", "publish", "switch", "stop", "revoke", "restore", "unpublish", "destroy")
#: What takes a record away: done late, upon a decision that was overtaken, it would let mail fail.
TAKING = ("revoke", "unpublish")
_WRONG = {"absent": "is not", "other": "has another value", "revoked": "is revoked"}
#: Names of a customer's fixed selectors, of which one signs, one retires and one rests.
SLOTS = 3


class Host(t.NamedTuple):
    """A host as the inventory has it, and what was seen of it. signing: rows of domain, selectors and subdomains, of which those of other
    domains go on; seen: the result of M(dkim_key_info), or what came in its place; shared: domains whose key other hosts have, too, those
    that name the same label."""

    name: str
    label: str
    domains: tuple[str, ...]
    ed25519: bool = False
    size: int = 2048
    tags: tuple[tuple[str, str], ...] = ()
    signing: tuple[dict[str, t.Any], ...] = ()
    seen: t.Mapping[str, t.Any] = {}
    shared: t.Mapping[str, str] = {}

    @property
    def looked_at(self) -> bool:
        return "keys" in self.seen

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of keys that its signer can sign with at once."""
        # OpenDKIM up to 2.11 signs with RSA alone.
        return ("rsa", "ed25519") if self.seen.get("signer") == "rspamd" else ("rsa",)


class Where(t.NamedTuple):
    """name: under which receivers ask; target: where the TXT record stands."""

    name: str
    target: str


def where(slot: Slot, customers: t.Mapping[str, str]) -> Where | None:
    """Return where a key's record is, None where its customer is none any more. customers: per domain the zone that its CNAMEs lead to."""
    name = record.name(slot.domain, slot.selector)
    if not slot.fixed:
        return Where(name, name)
    if slot.domain not in customers:
        return None
    return Where(name, record.name(customers[slot.domain], f"{slot.selector}.{slot.domain}"))


def wishes(hosts: t.Iterable[Host], customers: t.Mapping[str, str], number: int = SLOTS, kept: t.Container[Key] = ()) -> list[Wish]:
    """Return the lines of keys that are wanted. kept: those whose keys are replaced and revoked as all are, though the inventory wants no
    Ed25519 key any more. RotationError where two hosts would have one customer's selectors unawares."""
    found: list[Wish] = []
    taken: dict[tuple[str, str], str] = {}
    for host in hosts:
        for domain in sorted({domain.lower() for domain in host.domains}):
            selectors.check(domain, "x")
            shared = domain in host.shared
            label = _label(host.shared[domain] if shared else host.label)
            if shared and not label:
                raise RotationError(f"{host.name} shares the key of {domain} under no name: dkim_shared has a word for each domain")
            who = "dkim_shared" if shared else host.name
            if domain in customers and taken.setdefault((domain, label), who) != who:
                raise RotationError(f"{who} and {taken[domain, label]} have one label, {label}: set dkim_label, since {domain} needs two")
            for kind in host.kinds:
                if kind == "ed25519" and not (host.ed25519 or (host.name, domain, kind) in kept):
                    continue
                names = tuple(f"s{at}{'-ed' if kind == 'ed25519' else ''}.{label}" for at in range(1, number + 1))
                found.append(Wish(host.name, domain, kind, label if shared else host.label, names if domain in customers else (), shared))
    return found


def _label(text: str) -> str:
    """Return a name as selectors end in it."""
    return re.sub(r"[^a-z0-9-]", "-", text.lower().partition(".")[0]).strip("-")[:40].strip("-")


def due(slots: list[Slot], wanted: list[Wish], rotation: str, every: float, now: float, missing: t.Container[Key] = (),
        behind: t.Container[Wish] = ()) -> list[Wish]:  # fmt: skip
    """Return the lines that are to have a new key: those that never had one, those whose key is missing or went with a lost host,
    those that this rotation, named by a person, has not reached, those whose newest key is older than every seconds (0: never), and
    those behind the others who share it."""
    lines: dict[Key, list[Slot]] = {}
    for slot in slots:
        lines.setdefault(slot.line, []).append(slot)
    found = []
    for wish in wanted:
        mine = lines.get((wish.host, wish.domain, wish.kind), [])
        named = rotation and all(slot.rotation != rotation for slot in mine)
        # A key that was taken back at once is no reason for the next one: then a person says when.
        old = every and mine and all(now - slot.begun >= every for slot in mine)
        last = max(mine, key=lambda slot: (slot.since, slot.begun), default=None)
        # Its host was lost, and is back.
        anew = last is None or (not last.rotation and all(slot.state in GONE for slot in mine))
        if anew or named or old or wish in behind or any(slot.key in missing for slot in mine):
            found.append(wish)
    return found


def sure(slots: list[Slot], wanted: t.Iterable[Wish], hosts: t.Mapping[str, Host]) -> list[Wish]:
    """Return the wishes but for those of lines of which nothing is known, while the host may sign by a key of its own: that one would be
    passed for the new one, or be dropped for it."""
    lines = {slot.line for slot in slots}
    held = {(host.name, row["domain"], row["kind"]) for host in hosts.values() for row in host.seen.get("keys", ())}

    def may_sign(wish: Wish) -> bool:
        host = hosts[wish.host]
        return not host.looked_at or (wish.line in held and _signs(host, wish.domain) is None)

    return [wish for wish in wanted if wish.line in lines or not may_sign(wish)]


def missing(slots: list[Slot], hosts: t.Mapping[str, Host]) -> set[Key]:
    """Return the keys in use that their hosts do not hold and do not sign with: such a host was set up anew. Those of a kind that its
    signer cannot sign with are none: left() has them."""
    return {
        slot.key
        for slot in slots
        if slot.state == "active" and slot.host in hosts and slot.kind in hosts[slot.host].kinds and _missing(hosts[slot.host], slot)
    }


def _missing(host: Host, slot: Slot) -> bool:
    return host.looked_at and signs(host, slot) is False and not (_row(host, slot) or {}).get("held")


def unsigned(slots: list[Slot], wanted: list[Wish], missing: t.Container[Key] = ()) -> list[str]:
    """Return the lines in which no key signs and none is on its way, a sentence each."""
    coming = {slot.line for slot in slots if slot.state in COMING and slot.goal != "withdraw" and not slot.fault}
    living = coming | {slot.line for slot in slots if (slot.state == "active" and slot.key not in missing) or slot.goal == "activate"}
    return [
        f"no {wish.kind} key signs mail of {wish.domain} on {wish.host}, and none is on its way: begin a rotation by name"
        for wish in wanted
        if (wish.host, wish.domain, wish.kind) not in living
    ]


def astray(slots: list[Slot], seen: t.Mapping[Key, Seen], missing: t.Container[Key]) -> list[str]:
    """Return what is not as it must be of keys that sign or signed, a sentence each."""
    told = []
    for slot in sorted(slots):
        saw, name = seen.get(slot.key, Seen()), f"{slot.selector} of {slot.domain} on {slot.host}"
        if slot.key in missing:
            told.append(f"{name} is in use, and the host has it no more, or cannot read it: mail leaves unsigned until a new one is proven")
        elif slot.state == "active" and slot.verified and saw.signing and saw.primary in _WRONG:
            told.append(f"{name} signs, and its record {_WRONG[saw.primary]} on the primary, so that its mail fails: look who changed it")
        elif slot.state == "active" and slot.verified and saw.signing and saw.served is False:
            told.append(f"{name} signs, and not all serve its record, so that its mail fails: {', '.join(saw.stale[:5]) or 'look at them'}")
        elif slot.state == "retiring" and slot.fault and not answered(slot, slots):
            told.append(f"{name} was taken out of use: {slot.fault}; look into it, then begin a rotation by name")
    return told


def left(slots: list[Slot], hosts: t.Mapping[str, Host], inventory: t.Container[str], seen: t.Mapping[Key, Seen]) -> list[str]:
    """Return the keys that nobody looks after any more, a sentence each. inventory: all hosts, those of this run and others."""
    told = []
    for slot in sorted(slots):
        if slot.state in ("revoked", *GONE) or (slot.asked and seen.get(slot.key, Seen()).primary in ("absent", "revoked")):
            continue
        name, host = f"{slot.selector} of {slot.domain} on {slot.host}", hosts.get(slot.host)
        if host is not None and host.looked_at and slot.asked and slot.kind not in host.kinds:
            told.append(f"{name} is {slot.state}, and the signer there cannot sign with it: take the record out by hand")
        elif host is not None and slot.domain not in host.domains:
            told.append(f"{name} is {slot.state}, and the domain is not in dkim_domains: name it there, or take the record out by hand")
        elif host is None and slot.host not in inventory:
            told.append(
                f"{name} is {slot.state}, and the host is in the inventory no more: name it in dkim_lost, and its record is revoked"
            )
    return told


def former(slots: list[Slot], customers: t.Mapping[str, str]) -> list[str]:
    """Return the keys of former customers, whose records nobody can find or take out, a sentence each."""
    return [
        f"{slot.selector} of {slot.domain} on {slot.host} is {slot.state}, and this customer's domain is not in dkim_customers: name it "
        "there until its last key is a gravestone"
        for slot in sorted(slots)
        if slot.state not in GONE and where(slot, customers) is None
    ]


def adopted(slots: list[Slot], hosts: t.Iterable[Host], customers: t.Mapping[str, str], now: float) -> list[Slot]:
    """Take in the keys that dkim_key made and that sign already, where no key of the line is known to have signed: they are the way back.
    Beside one of them those of a customer's fixed selectors that rest, too: else their old keys would be passed for new ones."""
    lines = {slot.line for slot in slots if slot.asked}
    known = {slot.key for slot in slots}
    found, hosts = list(slots), list(hosts)
    on: dict[tuple[str, str], set[str]] = {}
    for host in hosts:
        for row in host.seen.get("keys", ()):
            on.setdefault((row["domain"], row["fingerprint"]), set()).add(host.name)
    for host in hosts:
        rows = host.seen.get("keys", ())
        used = {(row["domain"], row["kind"]) for row in rows if row["selector"].lower() in (_signs(host, row["domain"]) or ())}
        for row in rows:
            domain, selector = row["domain"], row["selector"].lower()
            signs, label = _signs(host, domain), _label(host.shared.get(domain, ""))
            if (
                signs is None
                or (host.name, domain, row["kind"]) in lines
                or (host.name, domain, selector) in known
                or domain not in host.domains
            ):
                continue
            name = re.fullmatch(r"s\d+(?:-ed)?\.(.+)", selector)
            fixed = domain in customers and name is not None and name[1] in (label, _label(host.label))
            if selector in signs or (fixed and (domain, row["kind"]) in used):
                state, fault = ("active", "") if selector in signs else ("retiring", "it was not in use when it was taken in")
                found.append(Slot(host.name, domain, selector, row["kind"], state, now, TAKEN_IN, row["fingerprint"], row["record"], True,
                                  fault=fault, fixed=fixed, begun=min(float(row["since"]), now),
                                  shared=label if len(on[domain, row["fingerprint"]]) > 1 else ""))  # fmt: skip
    return found


def seen(
    slots: list[Slot], hosts: t.Mapping[str, Host], served: t.Mapping[Key, Seen], proofs: t.Mapping[Key, tuple[int, str]]
) -> dict[Key, Seen]:
    """Return what was seen of each slot. served: of its record, in the DNS; proofs: how many engines verify it, and why one does not."""
    found: dict[Key, Seen] = {}
    for slot in slots:
        saw = served.get(slot.key, Seen())
        host = hosts.get(slot.host)
        if host is not None and host.looked_at:
            row = _row(host, slot)
            saw = saw._replace(held=row["held"] if row else False, fingerprint=row["fingerprint"] if row else "",
                               record=row["record"] if row else "", signing=signs(host, slot))  # fmt: skip
            probe = host.seen["probes"].get(slot.domain) or {}
            broken = (probe.get("broken") or {}).get(slot.selector, "")
            engines, why = proofs.get(slot.key, (0, ""))
            saw = saw._replace(engines=0 if broken else engines, broken=broken or why)
        found[slot.key] = saw
    return found


def _row(host: Host, slot: Slot) -> dict[str, t.Any] | None:
    """Return the host's key of a slot; another key under a fixed selector is none."""
    for row in host.seen["keys"]:
        if (row["domain"], row["selector"].lower()) == (slot.domain, slot.selector) and slot.fingerprint in ("", row["fingerprint"]):
            found: dict[str, t.Any] = row
            return found
    return None


def _signs(host: Host, domain: str) -> list[str] | None:
    """Return the selectors with which the running signer signs mail of a domain; None where that is not known."""
    found: list[str] | None = (host.seen["probes"].get(domain) or {}).get("signs")
    return found


def signs(host: Host, slot: Slot) -> bool | None:
    """Return whether the running signer signs with a key; None where that is not known."""
    told = _signs(host, slot.domain)
    return None if told is None else slot.selector in told


def taken_back(slots: list[Slot], what: str) -> tuple[list[Slot], list[str]]:
    """Take keys back by their selector, or the newest of each line where what is all; return a sentence for each. Asked for twice, it is
    done once: never from an older key to a newer one. A host that has no way back is told and keeps no other from its own. RotationError
    where no key has this selector, or there is no way back on any host."""
    stay: list[str] = []
    if what == "all":
        newest: dict[Key, Slot] = {}
        for slot in sorted(slots, key=lambda one: one.begun):
            if slot.state not in GONE:
                newest[slot.group if slot.shared else slot.line] = slot
        one_of = {(slot.domain, slot.selector) for slot in newest.values() if slot.shared}
        chosen = [slot for slot in newest.values() if not slot.shared]
        chosen += [slot for slot in slots if slot.shared and (slot.domain, slot.selector) in one_of and slot.state not in GONE]
        stay = [
            f"{slot.host}: {slot.selector} of {slot.domain} stays, since there is no key to go back to"
            for slot in chosen
            if slot.state == "active" and not _older(slots, slot)
        ]
        chosen = [slot for slot in chosen if slot.state in COMING or _older(slots, slot)]
    else:
        named = [slot for slot in slots if slot.selector == what.lower()]
        chosen = [slot for slot in named if slot.state not in GONE] or named  # where all are gone, undo() says so
        if not chosen:
            known = ", ".join(sorted({slot.selector for slot in slots if slot.state not in GONE})[:20]) or "none"
            raise RotationError(f"no key has the selector {what[:80]}: give one of {known}, or all")
    chosen.sort(key=lambda slot: slot.state in COMING)  # of a shared key those first that sign with it
    told, refused = [], []
    for slot in chosen:
        now = next((one for one in slots if one.key == slot.key), slot)
        on = next((one for one in slots if one.line == slot.line and one.state == "active"), None)
        if now.goal or (on is not None and now.state in ("active", "retiring") and _undone(slots, now, on)):
            told.append(f"{now.selector} of {now.domain} on {now.host} is being taken back, or was already")
            continue
        try:
            slots, sentence = undo(slots, now.key)
            told.append(sentence)
        except RotationError as exc:
            refused.append(f"{now.host}: {exc}")
    if refused and not told:
        raise RotationError("; ".join(refused))
    return slots, list(dict.fromkeys([*told, *refused, *stay]))


def _older(slots: list[Slot], slot: Slot) -> bool:
    return any(one.line == slot.line and one.begun < slot.begun and one.state in ("active", "retiring") for one in slots)


def _undone(slots: list[Slot], slot: Slot, on: Slot) -> bool:
    """Return whether the only way from the key that signs is to a newer one."""
    if slot.state == "retiring":
        return slot.begun > on.begun
    return not _older(slots, slot) and any(one.line == slot.line and one.begun > slot.begun and one.state == "retiring" for one in slots)


class Orders(t.NamedTuple):
    """What is to be carried out. make, take, destroy: per host the option keys of dkim_key; give: per host the option keys of
    dkim_key_copy; sign: per host the option signing of dkim_signing; records: as dns_records takes them."""

    make: dict[str, list[dict[str, t.Any]]]
    take: dict[str, list[dict[str, t.Any]]]
    give: dict[str, list[dict[str, t.Any]]]
    destroy: dict[str, list[dict[str, t.Any]]]
    sign: dict[str, list[dict[str, t.Any]]]
    records: list[dict[str, t.Any]]


def orders(slots: list[Slot], acts: list[Act], hosts: t.Mapping[str, Host], customers: t.Mapping[str, str], ttl: int) -> Orders:
    """Group the acts by who carries them out."""
    found = Orders({}, {}, {}, {}, {}, [])
    known = {slot.key: slot for slot in slots}
    for act in acts:
        slot = known.get((act.host, act.domain, act.selector))
        if slot is None:
            continue
        host, place = hosts.get(act.host), where(slot, customers)
        if place is None and act.verb in ("make", "publish", "restore", "revoke", "unpublish"):
            continue
        if place is not None and act.verb in ("publish", "restore", "revoke", "unpublish"):
            found.records.append(_record(act.verb, slot, place.target, ttl))
        elif host is None or not host.looked_at:
            continue
        elif act.verb == "make":
            size = {"size": host.size} if slot.kind == "rsa" else {}
            found.make.setdefault(act.host, []).append(
                {"domain": slot.domain, "selector": slot.selector, "type": slot.kind, "slot": slot.fixed, "tags": dict(host.tags), **size}
            )
        elif act.verb == "copy":
            key = {"domain": slot.domain, "selector": slot.selector, "type": slot.kind, "slot": slot.fixed, "fingerprint": slot.fingerprint,
                   "tags": dict(hosts[act.source].tags)}  # fmt: skip
            found.take.setdefault(act.host, []).append(key)
            found.give.setdefault(act.source, []).append({"to": act.host, "key": key})
        elif act.verb == "destroy":
            found.destroy.setdefault(act.host, []).append(
                {"domain": slot.domain, "selector": slot.selector, "type": slot.kind, "state": "absent"}
            )
        elif act.verb in ("switch", "stop") and act.host not in found.sign:
            found.sign[act.host] = signing(slots, acts, host)
    return found


def _record(verb: str, slot: Slot, name: str, ttl: int) -> dict[str, t.Any]:
    row: dict[str, t.Any] = {"name": name, "type": "TXT", "mode": "exclusive", "ttl": ttl}
    if verb == "unpublish":
        # Either value may stand there; what somebody else wrote does not go.
        return {"name": name, "type": "TXT", "state": "absent", "values": [slot.record, record.GRAVESTONE]}
    return {**row, "values": [record.GRAVESTONE if verb == "revoke" else slot.record]}


def signing(slots: list[Slot], acts: list[Act], host: Host) -> list[dict[str, t.Any]]:
    """Return all that a host is to sign with: what it signs with now, but for the lines that switch or stop, and what the inventory names
    for domains that have no keys here."""
    chosen: dict[Key, str] = {}
    for slot in slots:
        told = slot.host == host.name and signs(host, slot)
        # Where it is not known what signs, the key in use does, unless it is missing.
        mine = slot.host == host.name and slot.state == "active" and not slot.fault and not _missing(host, slot)
        if told or (mine and slot.line not in chosen):
            chosen[slot.line] = slot.selector
    lines = {slot.key: slot.line for slot in slots}
    for act in acts:
        line = lines.get((act.host, act.domain, act.selector))
        if act.host == host.name and line is not None and act.verb in ("switch", "stop"):
            chosen[line] = act.selector if act.verb == "switch" else ""
    found = []
    subdomains = {str(row["domain"]).lower() for row in host.signing if row.get("subdomains")}
    managed = {line[1] for line in chosen}
    for domain in sorted(managed):
        kinds = {line[2]: selector for line, selector in chosen.items() if line[1] == domain and selector}
        if "rsa" in kinds:  # an Ed25519 key never signs alone
            found.append({"domain": domain, "selectors": [kinds[kind] for kind in ("rsa", "ed25519") if kind in kinds],
                          "subdomains": domain in subdomains})  # fmt: skip
    return found + [dict(row) for row in host.signing if str(row["domain"]).lower() not in managed]


def pause(slots: list[Slot], acts: list[Act], before: t.Container[tuple[str, str, str, str]], seen: t.Mapping[Key, Seen], policy: Policy,
          now: float, every: float, patience: float) -> float | None:  # fmt: skip
    """Return after how many seconds another look is worth it; None where it is not. before: the acts of the round before, whose repetition
    moves nothing; patience: seconds that this run may still wait."""
    if any(act.verb in DOING and tuple(act[:4]) not in before for act in acts):
        return 0.0
    left: list[float] = []
    for slot in slots:
        saw = seen.get(slot.key, Seen())
        # A secondary is some seconds late where the record was published again.
        late = slot.state == "active" and saw.primary == "equal" and saw.served is False
        if slot.state in ("generated", "published", "ready") or (slot.state == "active" and not slot.verified) or slot.goal or late:
            left.append(every)
        elif slot.state == "propagated":
            left.append(max(every / 5, slot.since + saw.wait - now))
        elif slot.state in ("retiring", "revoked"):
            rest = slot.since + (policy.retire if slot.state == "retiring" else policy.keep) - now
            left += [rest] if rest > 0 else [every]
    soonest = min(left, default=None)
    return soonest if soonest is not None and soonest <= patience else None


def public(slots: list[Slot], customers: t.Mapping[str, str]) -> list[dict[str, t.Any]]:
    """Return the records as the role mail_dns takes them (mail_dns_dkim)."""
    found: dict[str, dict[str, t.Any]] = {}
    for slot in sorted(slots):
        if not slot.record or slot.state == "removed" or (slot.goal == "withdraw" and not slot.asked):
            continue
        place = where(slot, customers)
        if place is None:
            continue
        name, target = place
        if target in found and slot.state in ("revoked", "gravestone"):
            continue  # another host with this selector has not come that far, or its key came later
        value: dict[str, t.Any] = {"revoked": True} if slot.state in ("revoked", "gravestone") else {"record": slot.record}
        if slot.fixed:
            found[name] = {"domain": slot.domain, "selector": slot.selector, "cname": target}
            found[target] = {"domain": customers[slot.domain], "selector": f"{slot.selector}.{slot.domain}", **value}
        else:
            found[name] = {"domain": slot.domain, "selector": slot.selector, **value}
    return list(found.values())


def cnames(wanted: list[Wish], customers: t.Mapping[str, str]) -> list[dict[str, str]]:
    """Return the CNAMEs that each customer makes, once for all."""
    names = dict.fromkeys((wish.domain, selector) for wish in wanted for selector in wish.fixed)
    return [
        {
            "domain": domain,
            "name": record.name(domain, selector),
            "target": record.name(customers[domain], f"{selector}.{domain}"),
        }
        for domain, selector in names
    ]


def row(slot: Slot, acts: list[Act]) -> dict[str, t.Any]:
    """Return a slot as results have it. why: of what is due."""
    why = next((act.why for act in acts if (act.host, act.domain, act.selector) == slot.key), "")
    facts = {name: value for name, value in slot._asdict().items() if name not in ("record", "asked", "begun", "first")}
    return {**facts, "why": why}

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records that a fleet's mail needs, made of the inventory and of what is published now. Pure functions.

A record is a dictionary: zone, name, type, ttl, values, mode, owner, why.

* zone: the zone of the inventory that holds the name, without a final dot.
* name: whole, in lower case, without a final dot.
* values: each value whole; a TXT value is one text, however many strings it is published as.
* mode: exclusive, the values are all that may be there; or merge, values of others stay.
* owner: with merge, what a value of ours begins with (v=spf1): exactly those are replaced. Empty: values are only added.
* why: one sentence for the plan.

What must not be published yet is in held instead, with why and repair: what is not known is never written over.
"""

from __future__ import annotations

import collections
import ipaddress
import typing as t

from ..dnsbl import domains as names_
from . import dkim, dmarc, lint, spf, sts
from .answers import Answers, Question, Reply, Unanswered
from .finding import ERROR, WARNING, Finding

EXCLUSIVE, MERGE = "exclusive", "merge"
DEFAULT_TTL = 3600
#: Keys of rotating hosts: a short life lets a mistake end soon.
DKIM_TTL = 3600


class InventoryError(Exception):
    """The inventory cannot mean what it says; the message names the place and the repair."""


class Plan(t.NamedTuple):
    """records, held: dictionaries as the module's text says; findings: of the linter, on what would be published; policies: per domain
    the text of its MTA-STS policy; budgets: per name of an SPF record its lookups before and after."""

    records: list[dict[str, t.Any]]
    held: list[dict[str, t.Any]]
    findings: list[Finding]
    policies: dict[str, str]
    budgets: dict[str, dict[str, t.Any]]


# What may be said of each thing.
_FIELDS = {
    "domain": {"domain", "hosts", "spf", "dmarc", "mta_sts", "tls_rpt"},
    "spf": {"include", "terms", "remove", "all"},
    "dmarc": {"policy", "sp", "np", "adkim", "aspf", "fo", "rua", "ruf", "testing", "may_weaken", "may_skip"},
    "mta_sts": {"mode", "mx", "max_age"},
    "tls_rpt": {"rua"},
    "dkim": {"domain", "selector", "record", "revoked", "cname", "ttl"},
}


def _only(kind: str, given: t.Any, where: str) -> dict[str, t.Any]:
    """Return a dictionary of the inventory; a misspelt field would otherwise be silently nothing."""
    if not isinstance(given, t.Mapping):
        raise InventoryError(f"{where}: {given!r} is no dictionary")
    odd = set(given) - _FIELDS[kind]
    if odd:
        raise InventoryError(f"{where}: {', '.join(sorted(map(str, odd)))} is not known there: {', '.join(sorted(_FIELDS[kind]))}")
    return dict(given)


class _Zones:
    """The zones of the inventory: which one holds a name, and where an address has its reverse name."""

    def __init__(self, zones: t.Sequence[t.Mapping[str, t.Any]]) -> None:
        given = [str(zone["name"]).rstrip(".").lower() for zone in zones]
        self.names = dict(zip(given, zones))
        self.viewed = {name for name, times in collections.Counter(given).items() if times > 1}
        self.classless: list[tuple[t.Any, str]] = []
        for name, zone in self.names.items():
            if zone.get("network"):
                try:
                    self.classless.append((ipaddress.ip_network(str(zone["network"])), name))
                except ValueError as exc:
                    raise InventoryError(f"zone {name}: network {zone['network']!r} is none ({exc}): write 198.51.100.0/26") from None

    def of(self, name: str) -> str | None:
        labels = name.split(".")
        return next((".".join(labels[at:]) for at in range(len(labels)) if ".".join(labels[at:]) in self.names), None)

    def reverse(self, address: lint.Address) -> str:
        """Return the name of the PTR record; in a delegated part of a /24 (RFC 2317) the one below that zone."""
        for network, name in self.classless:
            if network.version == address.version == 4 and address in network and network.prefixlen > 24:
                return f"{address.packed[3]}.{name}"
        return str(address.reverse_pointer)


class _Planner:
    def __init__(self, fleet: t.Mapping[str, t.Any], present: Answers) -> None:
        self.fleet, self.present = fleet, present
        self.zones = _Zones(fleet.get("zones") or [])
        self.ttl = int(fleet.get("ttl") or DEFAULT_TTL)
        self.plan = Plan([], [], [], {}, {})
        self.wanted: dict[Question, None] = {}

    # What is there

    def there(self, name: str, kind: str) -> Reply | None:
        """Return what is published, None where it is still to be asked."""
        reply = self.present.get((name, kind))
        if reply is None:
            self.wanted[(name, kind)] = None
        return reply

    def usable(self, name: str, kind: str, what: str) -> Reply | None:
        """Return what is published where a record can be put beside it; hold the record otherwise."""
        reply = self.there(name, kind)
        if reply is None:
            return None
        if not reply.known:
            self.hold(
                name,
                kind,
                f"it is not known what stands there ({reply.why}), and {what} would write over it",
                "See whether the zone's servers answer this machine (zones: servers), and run again.",
            )
            return None
        if reply.target is not None:
            wild = self.of_wildcard(name, kind, reply)
            if wild is None:
                return None
            if wild:
                return Reply("NXDOMAIN")
            self.hold(
                name,
                kind,
                f"a CNAME to {reply.target} stands there, and nothing may stand beside one",
                f"Change the record at {reply.target}, or take the CNAME away.",
            )
            return None
        return reply

    def of_wildcard(self, name: str, kind: str, reply: Reply) -> bool | None:
        """Return whether a wildcard answers for a name: it no longer does when the name exists (RFC 4592 section 2.2.1).

        It answers below and beside that name, too, and below one that exists it does not. None where that is still to be asked.
        """
        if not self.fleet.get("nowhere"):
            return False
        others = [self.there(f"{self.fleet['nowhere']}.{above}", kind) for above in (name, name.partition(".")[2])]
        if None in others:
            return None
        return all((other.target, other.values) == (reply.target, reply.values) for other in others if other is not None)

    def mergeable(self, name: str, what: str) -> Reply | None:
        """Return what is published where a TXT record can be changed term by term: as usable(), and of one view alone."""
        if self.zones.of(name) in self.zones.viewed:
            self.hold(
                name,
                "TXT",
                f"its zone is kept in several views, and {what} of one would be put over those of the others",
                "Give each view its whole record by the module dns_records (view).",
            )
            return None
        return self.usable(name, "TXT", what)

    # What comes out

    def put(
        self, name: str, kind: str, values: t.Sequence[str], why: str, mode: str = EXCLUSIVE, owner: str = "", ttl: int | None = None
    ) -> None:
        zone = self.zones.of(name)
        record = {
            "zone": zone,
            "name": name,
            "type": kind,
            "ttl": ttl or self.ttl,
            "values": list(values),
            "mode": mode,
            "owner": owner,
            "why": why,
        }
        if zone is None:
            self.hold(
                name,
                kind,
                f"no zone of the inventory holds it; wanted: {' '.join(values)[:400]}",
                "Add the zone to mail_dns_zones, with backend: manual where others run it.",
            )
            return
        same = next((each for each in self.plan.records if (each["name"], each["type"]) == (name, kind)), None)
        if same is None:
            self.plan.records.append(record)
        elif mode == MERGE and same["mode"] == MERGE and not owner and not same["owner"]:
            same["values"] += [value for value in values if value not in same["values"]]
        elif same["values"] != record["values"]:
            raise InventoryError(
                f"{name} {kind} is wanted twice: {' '.join(same['values'])[:200]} ({same['why']}) and {' '.join(values)[:200]} ({why}): "
                "correct the inventory"
            )

    def hold(self, name: str, kind: str, why: str, repair: str) -> None:
        row = {"zone": self.zones.of(name), "name": name, "type": kind, "why": why, "repair": repair}
        if row not in self.plan.held:
            self.plan.held.append(row)

    def judge(self, found: t.Sequence[Finding], before: t.Sequence[Finding]) -> None:
        """Keep the faults of what is to be published; what was one before stops nobody's records."""
        self.plan.findings.extend(each._replace(severity=WARNING) if each.severity == ERROR and each in before else each for each in found)

    def note(self, severity: str, check: str, subject: str, what: str, repair: str, source: str) -> None:
        self.plan.findings.append(Finding(severity, check, subject, what, repair, source))

    # The parts

    def hosts(self) -> None:
        seen: dict[str, str] = {}
        for host in self.fleet.get("hosts") or []:
            helo = _name(host.get("helo") or host["host"], f"helo of {host['host']}")
            if not lint.is_host_name(helo):
                raise InventoryError(f"{host['host']}: {helo!r} is no fully qualified host name: set mail_dns_helo")
            for address in _addresses(host):
                if str(address) in seen and seen[str(address)] != helo:
                    raise InventoryError(f"{address} belongs to {seen[str(address)]} and to {helo}: an address says one HELO name")
                seen[str(address)] = helo
                kind = "A" if address.version == 4 else "AAAA"
                # Other addresses of the host, such as one for its management, are not ours to take away.
                self.put(helo, kind, [str(address)], f"the address of {host['host']}, for its HELO name", MERGE)
                self.put(self.zones.reverse(address), "PTR", [helo], f"the reverse name of {address} is the HELO name, and leads back")
            if _addresses(host) and helo not in self.sending_domains():
                self.sender(helo, ["a"], (), None, "-all", "SPF of the HELO name counts for bounces")

    def sending_domains(self) -> set[str]:
        return {str(domain["domain"]).rstrip(".").lower() for domain in self.fleet.get("domains") or []}

    def sender(self, name: str, want: t.Sequence[str], remove: t.Sequence[str], end: str | None, default_end: str, why: str) -> None:
        """Put the terms into the SPF record of a name; what others put there stays."""
        reply = self.mergeable(name, "an SPF record")
        if reply is None:
            return
        own = spf.records(reply.values)
        if len(own) > 1:
            self.hold(
                name,
                "TXT",
                f"{len(own)} SPF records stand there, a permanent error, and which one is right is for you to say",
                "Take all but one away, and run again.",
            )
            return
        if own and spf.parse(own[0]).broken:
            self.hold(name, "TXT", f"its SPF record cannot be read: {spf.parse(own[0]).faults[0][2]}", "Correct it, and run again.")
            return
        there = spf.parse(own[0]).terms if own else ()
        led = next((term.text for term in there if term.name == "redirect"), None)
        if end is not None and led and led.lower() not in map(str.lower, remove) and not any(term.name == "all" for term in there):
            self.hold(
                name,
                "TXT",
                f"its SPF record ends with {led[:200]}, by which others send, and {end} in its place would shut them out",
                f"Leave spf.all away to keep it; or name {led[:200]} in spf.remove, and in spf.include what of it may send.",
            )
            return
        try:
            text = spf.merge(own[0] if own else None, want, remove, end, default_end)
        except ValueError as exc:
            raise InventoryError(f"{name}: {exc}") from None
        self.plan.budgets[name] = {"before": None, "after": None, "record_before": own[0] if own else None, "record_after": text}
        others = [value for value in reply.values if value not in own]
        self.judge(spf.lint(name, [*others, text]), spf.lint(name, reply.values, required=False))
        self.put(name, "TXT", [text], why, MERGE, spf.OWNER)

    def domains(self) -> None:
        for domain in self.fleet.get("domains") or []:
            name = _name(_only("domain", domain, "domains").get("domain"), "domains")
            for kind in ("spf", "dmarc", "mta_sts", "tls_rpt"):
                if domain.get(kind):
                    _only(kind, domain[kind], f"domain {name}: {kind}")
            self.domain_spf(name, domain)
            self.domain_dmarc(name, domain.get("dmarc"))
            self.domain_sts(name, domain.get("mta_sts"))
            self.domain_reports(name, domain.get("tls_rpt"))

    def domain_spf(self, name: str, domain: t.Mapping[str, t.Any]) -> None:
        own = domain.get("spf")
        if own is False:
            return
        own = own or {}
        wanted = set(domain.get("hosts") or [])
        unknown = wanted - {host["host"] for host in self.fleet.get("hosts") or []}
        if unknown:
            raise InventoryError(f"domain {name}: {', '.join(sorted(unknown))} is no host of the inventory")
        terms = [
            spf.address_term(address)
            for host in self.fleet.get("hosts") or []
            if not wanted or host["host"] in wanted
            for address in _addresses(host)
        ]
        terms += [f"include:{_name(include, f'spf.include of {name}')}" for include in own.get("include") or []]
        terms += list(own.get("terms") or [])
        self.sender(name, terms, own.get("remove") or [], own.get("all"), "~all", "the addresses that send for it")

    def keys(self) -> None:
        for key in self.fleet.get("dkim") or []:
            _only("dkim", key, "dkim")
            domain, selector = _name(key.get("domain"), "dkim"), str(key.get("selector")).lower()
            name = dkim.selector_name(domain, selector)
            if key.get("cname"):
                target = _name(key["cname"], f"dkim {name}", underscores=True)
                self.put(name, "CNAME", [target], f"the key of selector {selector} is at {target}, where it is changed")
                continue
            revoked = bool(key.get("revoked"))
            record = dkim.GRAVESTONE if revoked else str(key.get("record") or "")
            faults = dkim.lint(name, [record] if record else [], in_use=not revoked)
            self.plan.findings.extend(faults)
            if any(each.severity == ERROR for each in faults):
                self.hold(
                    name, "TXT", "; ".join(each.what for each in faults if each.severity == ERROR), "Give the record that dkim_key returns."
                )
                continue
            reply = self.usable(name, "TXT", "a key")
            if reply is None:
                continue
            other = [text for text in reply.values if not dkim.same(text, record)]
            wild = self.of_wildcard(name, "TXT", reply) if other and not revoked else False
            if wild is None:
                continue
            if other and not revoked and not wild:
                old = dkim.read_key(other[0])
                if old.revoked:
                    what = "this selector was revoked"
                elif old.data == dkim.read_key(record).data:
                    what = ""  # the same key under other tags
                else:
                    what = "another key stands there"
                if what:
                    self.hold(
                        name,
                        "TXT",
                        f"{what}, and a selector is never used for a second key (RFC 6376 section 3.1)",
                        "Make the key under a new selector.",
                    )
                    continue
            why = (
                "its key is revoked: the empty p= keeps the selector from being used again"
                if revoked
                else f"the public key of selector {selector}"
            )
            self.put(name, "TXT", [record], why, ttl=int(key.get("ttl") or self.fleet.get("dkim_ttl") or DKIM_TTL))

    def domain_dmarc(self, name: str, wanted: t.Mapping[str, t.Any] | None) -> None:
        if wanted is None:
            return
        at = dmarc.dmarc_name(name)
        policy = str(wanted.get("policy") or "none")
        if policy not in dmarc.POLICIES:
            raise InventoryError(f"domain {name}: dmarc.policy {policy!r} is none of {', '.join(dmarc.POLICIES)}")
        reply = self.mergeable(at, "a DMARC record")
        if reply is None:
            return
        own = dmarc.records(reply.values)
        if len(own) > 1:
            self.hold(at, "TXT", f"{len(own)} DMARC records stand there, and all are discarded", "Take all but one away, and run again.")
            return
        tags: dict[str, str | None] = {"p": policy}
        for tag in ("sp", "np", "adkim", "aspf", "fo"):
            if wanted.get(tag):
                tags[tag] = str(wanted[tag])
        for tag in ("rua", "ruf"):
            if wanted.get(tag):
                tags[tag] = ",".join(_mailto(each, f"domain {name}: dmarc.{tag}") for each in wanted[tag])
        if wanted.get("testing") is not None:
            tags["t"] = "y" if wanted["testing"] else None
        text = dmarc.make(own[0] if own else None, tags)
        now = (own[0][:200], {tag: dmarc.step(own[0], tag) for tag in ("p", "sp", "np")}) if own else self.from_above(name, wanted)
        if now is None:
            return
        stands, before = now
        weaker = next((tag for tag in before if dmarc.step(text, tag) < before[tag]), None)
        if weaker and not wanted.get("may_weaken"):
            stronger = f"Set dmarc.{'policy' if weaker == 'p' else weaker} to {dmarc.POLICIES[before[weaker]]}"
            self.hold(
                at,
                "TXT",
                f"{stands} applies now, and {text[:200]} would be weaker",
                f"{'Leave dmarc.testing away' if wanted.get('testing') else stronger}, or set dmarc.may_weaken: true to go back.",
            )
            return
        if dmarc.step(text) > max(before["p"], 0) + 1 and not wanted.get("may_skip"):
            self.hold(
                at,
                "TXT",
                f"from {stands} to p={policy} is more than one step",
                f"Set dmarc.policy to {dmarc.POLICIES[max(before['p'], 0) + 1]} first and read the reports; for a domain that sends no "
                "mail set dmarc.may_skip: true.",
            )
            return
        self.judge(dmarc.lint(at, [text]), dmarc.lint(at, own))
        self.put(at, "TXT", [text], f"DMARC, stage {policy}", MERGE, dmarc.OWNER)
        self.authorise(name, text)

    def from_above(self, name: str, wanted: t.Mapping[str, t.Any]) -> tuple[str, dict[str, int]] | None:
        """Return what applies to a domain without a DMARC record of its own, in words, and its step; None where that is not known yet."""
        if dmarc.by_suffix(name) == name:
            return "no record", {"p": -1}  # what a registry says is no policy of ours
        try:
            above = dmarc.policy(name, self.present)
        except Unanswered as exc:
            self.wanted.update(dict.fromkeys(exc.questions))
            return None
        if above.at is not None:
            value = above.policy or "none"
            return f"p={value} of {above.at}", {"p": max(0, dmarc.POLICIES.index(value) - above.testing)}
        if above.unknown and not wanted.get("may_weaken"):
            self.hold(
                dmarc.dmarc_name(name),
                "TXT",
                f"it is not known what applies now ({'; '.join(above.unknown)[:300]}), and the new record may be weaker",
                "See whether that name is answered for, and run again, or set dmarc.may_weaken: true.",
            )
            return None
        return "no record", {"p": -1}

    def authorise(self, name: str, text: str) -> None:
        """Say at each destination of reports that it wants them, where that is a zone of ours."""
        tags = dmarc.parse_tags(text)
        for other in sorted({*dmarc.outside(name, tags.get("rua")), *dmarc.outside(name, tags.get("ruf"))}):
            at = dmarc.report_name(name, other)
            if self.zones.of(at):
                self.put(at, "TXT", [f"{dmarc.OWNER};"], f"{other} takes the DMARC reports of {name}", MERGE, dmarc.OWNER)
            else:
                self.note(
                    WARNING,
                    "report_elsewhere",
                    at,
                    f"{other} must say there that it takes the DMARC reports of {name}",
                    f"Ask who runs {other} for the TXT record v=DMARC1; at {at}.",
                    "RFC 9990 section 4",
                )

    def domain_sts(self, name: str, wanted: t.Mapping[str, t.Any] | None) -> None:
        if wanted is None:
            return
        mode = str(wanted.get("mode") or "testing")
        age = int(wanted.get("max_age") or (sts.SHORT_AGE if mode == "none" else 1_209_600))
        hosts = [
            _name(each.removeprefix("*."), f"mta_sts.mx of {name}") if not each.startswith("*.") else each.lower()
            for each in wanted.get("mx") or []
        ]
        policy = sts.make_policy(mode, hosts, age)
        faults = [each for each in sts.lint_policy(name, policy) if each.severity == ERROR]
        if faults:
            raise InventoryError(f"domain {name}: mta_sts: {faults[0].what}: {faults[0].repair}")
        self.plan.policies[name] = policy
        at = f"_mta-sts.{name}"
        served = (self.fleet.get("served") or {}).get(name)
        if served is None or not sts.same_policy(served, policy):
            what = "no policy is served" if served is None else "the policy that is served is another one"
            self.hold(
                at,
                "TXT",
                f"{what}: the id may change only after the policy did",
                f"Serve the policy at https://mta-sts.{name}/.well-known/mta-sts.txt (the plan shows it), and run again.",
            )
            return
        reply = self.usable(at, "TXT", "an MTA-STS record")
        if reply is not None:
            self.put(at, "TXT", [sts.make_record(policy)], "the policy is served; a new id makes senders fetch it", MERGE, sts.OWNER)

    def domain_reports(self, name: str, wanted: t.Mapping[str, t.Any] | None) -> None:
        if wanted is None:
            return
        at = f"_smtp._tls.{name}"
        uris = [
            each if str(each).startswith("https://") else _mailto(each, f"domain {name}: tls_rpt.rua") for each in wanted.get("rua") or []
        ]
        text = f"{sts.REPORT_OWNER}; rua={','.join(uris)}"
        faults = sts.lint_reporting(at, [text])
        if faults:
            raise InventoryError(f"domain {name}: tls_rpt: {faults[0].what}: {faults[0].repair}")
        if self.usable(at, "TXT", "a TLS-RPT record") is not None:
            self.put(at, "TXT", [text], "where senders report failures of TLS", MERGE, sts.REPORT_OWNER)


def _name(text: t.Any, where: str, underscores: bool = False) -> str:
    try:
        name = names_.parse(str(text))
    except Exception as exc:
        raise InventoryError(f"{where}: {exc}") from None
    if "_" in name and not underscores and not name.startswith("_"):
        raise InventoryError(f"{where}: {name} holds an underscore")
    return name


def _addresses(host: t.Mapping[str, t.Any]) -> list[lint.Address]:
    found = []
    for text in host.get("addresses") or []:
        try:
            found.append(ipaddress.ip_address(str(text)))
        except ValueError:
            raise InventoryError(
                f"{host['host']}: {text!r} is no address; a block cannot have one reverse name, name each address"
            ) from None
    return found


def _mailto(text: t.Any, where: str) -> str:
    address = str(text).removeprefix("mailto:")
    if not dmarc.addresses(f"mailto:{address}"):
        raise InventoryError(f"{where}: {text!r} is no mail address")
    return f"mailto:{address}"


def plan(fleet: t.Mapping[str, t.Any], present: Answers) -> Plan:
    """Return what is to be published. Unanswered where it must first be known what is there.

    fleet: hosts (host, helo, addresses), domains (domain, hosts, spf, dmarc, mta_sts, tls_rpt), dkim (domain, selector, record, revoked,
    cname), zones (name, network; twice where it has several views), served (per domain the policy that is served now), ttl, nowhere (a
    label that nobody uses, by which a wildcard is found). present: what is published, asked of the zones' own servers.
    """
    planner = _Planner(fleet, present)
    planner.hosts()
    planner.domains()
    planner.keys()
    if planner.wanted:
        raise Unanswered(planner.wanted)
    planner.plan.records.sort(key=lambda each: (each["zone"], each["name"], each["type"]))
    return planner.plan


def spend(planned: Plan, name: str, answers: Answers) -> tuple[spf.Budget | None, spf.Budget]:
    """Return what the SPF record of a name costs before and after. Unanswered where questions are still open."""
    budget = planned.budgets[name]
    before = spf.count(name, budget["record_before"], answers) if budget["record_before"] else None
    return before, spf.count(name, budget["record_after"], answers)


def settle(planned: Plan, spent: t.Mapping[str, tuple[spf.Budget | None, spf.Budget] | None]) -> Plan:
    """Return the plan with the costs of SPF in it; a record that would break a limit which the present one keeps is held."""
    held = list(planned.held)
    records = list(planned.records)
    findings = list(planned.findings)
    budgets = {}
    for name, budget in planned.budgets.items():
        pair = spent.get(name)
        before, after = pair or (None, None)
        budgets[name] = {**budget, "before": _cost(before), "after": _cost(after)}
        if after is None:
            continue
        over, known = spf.over_budget(name, after), spf.over_budget(name, before) if before else []
        # What is new is held with its record, and what stood before stops nobody's: neither is an error of the plan.
        findings += [each._replace(severity=WARNING) for each in over]
        more = before is None or after.lookups > before.lookups or after.voids > before.voids
        standing = set() if more else {(each.check, each.subject) for each in known}
        worse = [each for each in over if each not in known and (each.check, each.subject) not in standing]
        if worse:
            records = [each for each in records if not (each["name"] == name and each["owner"] == spf.OWNER)]
            held.append(
                {
                    "zone": next((each["zone"] for each in planned.records if each["name"] == name), None),
                    "name": name,
                    "type": "TXT",
                    "why": f"the SPF record would break: {worse[0].what}",
                    "repair": worse[0].repair,
                }
            )
    return planned._replace(records=records, held=held, findings=findings, budgets=budgets)


def _cost(budget: spf.Budget | None) -> dict[str, t.Any] | None:
    return None if budget is None else {"lookups": budget.lookups, "voids": budget.voids, "unknown": list(budget.unknown)}


__all__ = ["EXCLUSIVE", "MERGE", "InventoryError", "Plan", "plan", "settle", "spend"]

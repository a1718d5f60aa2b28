# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SPF records (RFC 7208): read, judged, counted over what they include, and merged term by term. Pure functions over texts and answers."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ..dnsbl.names import DOCUMENTATION
from .answers import Answers, Reply, Unanswered, absent
from .finding import ERROR, NOTE, WARNING, Finding, shown

#: What a receiver looks up for one message, and how many of these may find nothing (section 4.6.4).
MAX_LOOKUPS, MAX_VOID, MAX_MX = 10, 2, 10
#: Name and all TXT records together (section 3.4).
MAX_OCTETS = 450
OWNER = "v=spf1"
#: Records of inclusions beyond these are not counted: they are refused long before.
_MAX_COUNTED = 60
_MAX_TERMS = 500

_RECORD = re.compile(r"v=spf1(?: |\Z)", re.IGNORECASE)
# Sender ID (spf2.0/pra, RFC 4406) and others' tokens are none.
_LOOKALIKE = re.compile(r"[\"'\s]*(?:v\s*=\s*spf|spf1?\s)", re.IGNORECASE)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9._-]*)=(.*)\Z")
_DIRECTIVE = re.compile(r"([-+?~]?)([A-Za-z][A-Za-z0-9_-]*)(?::([^/]*(?:/(?![0-9]+(?:/|\Z)|/)[^/]*)*))?((?:/[0-9]+)?(?://[0-9]+)?)\Z")
_MACRO = re.compile(r"%(?:%|_|-|\{[slodiphvSLODIPHV][0-9]{0,3}[rR]?[-.+,/_=]*\})")
_TOP = re.compile(r"\.(?:[0-9A-Za-z]*[A-Za-z][0-9A-Za-z]*|[0-9A-Za-z]+-[0-9A-Za-z-]*[0-9A-Za-z])\.?\Z")
_COUNTED = frozenset(("include", "a", "mx", "ptr", "exists", "redirect"))
_NAMES = _COUNTED - {"redirect"} | {"ip4", "ip6", "all"}


class Term(t.NamedTuple):
    """One term. qualifier: + - ? ~, empty for a modifier; value: what follows : or =, without a prefix length; prefixes: as written."""

    text: str
    name: str
    qualifier: str
    value: str
    prefixes: str = ""

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
        """The addresses of ip4: and ip6:, None where there are none."""
        if self.name not in ("ip4", "ip6"):
            return None
        try:
            found = ipaddress.ip_network(self.value + self.prefixes, strict=False)
        except ValueError:
            return None
        return found if found.version == int(self.name[2]) else None


class Record(t.NamedTuple):
    """terms without the version; faults: (severity, check, what, repair, source)."""

    terms: tuple[Term, ...]
    faults: tuple[tuple[str, str, str, str, str], ...]

    @property
    def broken(self) -> bool:
        return any(check == "spf_syntax" for _, check, *_ in self.faults)


class Budget(t.NamedTuple):
    """What checking a record may cost at most. lookups, voids: None while answers are missing; findings: of what it includes."""

    lookups: int
    voids: int
    findings: tuple[Finding, ...]
    unknown: tuple[str, ...]


def is_record(text: str) -> bool:
    """Return whether a TXT value is an SPF record: v=spf10 is none, v=spf1 alone is one."""
    return _RECORD.match(text) is not None


def records(texts: t.Iterable[str]) -> list[str]:
    return [text for text in texts if is_record(text)]


def parse(text: str) -> Record:
    """Return the terms of a record and what is wrong with it by itself."""
    faults: list[tuple[str, str, str, str, str]] = []
    if not all(" " <= letter <= "~" for letter in text):
        faults.append((ERROR, "spf_syntax", "it holds characters that are not printable ASCII", "Write it anew.", "RFC 7208 section 3.1"))
    words = [word for word in text.split(" ")[1:] if word]
    if len(words) > _MAX_TERMS:
        faults.append((ERROR, "spf_syntax", f"it has {len(words)} terms", "Publish fewer.", "RFC 7208 section 3.4"))
    terms = []
    for word in words[:_MAX_TERMS]:
        term, what = _term(word)
        if what:
            faults.append(
                (
                    ERROR,
                    "spf_syntax",
                    f"{shown(word, 60)}: {what}: the whole record is a permanent error",
                    "Correct or remove the term.",
                    "RFC 7208 section 4.6",
                )
            )
        if term:
            terms.append(term)
    return Record(tuple(terms), (*faults, *_order(terms), *(fault for term in terms for fault in _alone(term))))


def _term(word: str) -> tuple[Term | None, str | None]:
    """Return the term and what is wrong with its syntax."""
    modifier = _MODIFIER.match(word)
    if modifier:
        name, value = modifier[1].lower(), modifier[2]
        term = Term(word, name, "", value)
        return term, (_domain(value) if name in ("redirect", "exp") else _macros(value))
    directive = _DIRECTIVE.match(word)
    if not directive:
        return None, "it is no mechanism and no modifier"
    qualifier, name, value, prefixes = directive[1] or "+", directive[2].lower(), directive[3], directive[4]
    term = Term(word, name, qualifier, value or "", prefixes)
    if name not in _NAMES:
        return None, "a mechanism of this name does not exist"
    if name in ("ip4", "ip6"):
        sound = value and term.network and re.match(r"(?:/(?:0|[1-9][0-9]*))?\Z", prefixes)
        return term, None if sound else f"it is no {name} address or net"
    if name == "all":
        return term, "all takes nothing after it" if value is not None or prefixes else None
    what = _domain(value) if value is not None else None
    if value is None and name in ("include", "exists"):
        what = f"{name} needs a name"
    if prefixes and name not in ("a", "mx"):
        what = f"{name} takes no prefix length"
    four, six = re.search(r"(?<!/)/([0-9]+)", prefixes), re.search(r"//([0-9]+)", prefixes)
    for prefix, most in ((four, 32), (six, 128)):
        if prefix and (len(prefix[1]) > 3 or int(prefix[1]) > most or prefix[1] != str(int(prefix[1]))):
            what = f"{prefix[0]} is no prefix length"
    return term, what


def _macros(value: str) -> str | None:
    return "a % begins no macro" if "%" in _MACRO.sub("", value) else None


def _domain(value: str) -> str | None:
    """Return what is wrong with a domain-spec (section 7.1)."""
    if not value:
        return "the name is empty"
    if _macros(value):
        return _macros(value)
    try:
        ipaddress.ip_address(value)
    except ValueError:
        pass
    else:
        return "it names an address where a name belongs: write ip4: or ip6:"
    if re.search(r"%(?:%|_|-|\{[^}]*\})\Z", value):
        return None
    plain = _MACRO.sub("x", value)
    # Lengths first: the search takes the square of them, and the record may be somebody else's.
    if any(not 0 < len(label) < 64 for label in plain.rstrip(".").split(".")) or len(plain) > 253:
        return "its name has an empty or too long label"
    if not _TOP.search(plain):
        return "its name is not fully qualified"
    return None


def _order(terms: list[Term]) -> t.Iterator[tuple[str, str, str, str, str]]:
    """What the terms are wrong in together."""
    names = [term.name for term in terms]
    for name in ("redirect", "exp"):
        if names.count(name) > 1:
            yield (ERROR, "spf_syntax", f"{name}= stands twice: the whole record is a permanent error", "Leave one.", "RFC 7208 section 6")
    if "all" in names:
        last = names.index("all")
        late = [term.text for term in terms[last + 1 :] if term.qualifier]
        if late:
            yield (
                WARNING,
                "spf_after_all",
                f"what stands after all is never looked at: {shown(' '.join(late))}",
                "Put all at the end.",
                "RFC 7208 section 5.1",
            )
        if "redirect" in names:
            yield (
                WARNING,
                "spf_redirect_unused",
                "redirect= is never looked at beside all",
                "Take one of the two out.",
                "RFC 7208 section 6.1",
            )
    elif "redirect" not in names:
        yield (
            WARNING,
            "spf_open_end",
            "it ends without all: mail from anywhere else is neutral",
            "End it with ~all or -all.",
            "RFC 7208 section 4.7",
        )
    seen: set[str] = set()
    for term in terms:
        if term.text.lower() in seen:
            yield (NOTE, "spf_twice", f"{shown(term.text, 60)} stands twice", "Leave one.", "RFC 7208 section 4.6.1")
        seen.add(term.text.lower())


def _alone(term: Term) -> t.Iterator[tuple[str, str, str, str, str]]:
    """What a term is wrong in by its meaning."""
    if term.name == "all" and term.qualifier == "+":
        yield (ERROR, "spf_everybody", "+all lets everybody send in this name", "End it with ~all or -all.", "RFC 7208 section 8.3")
    elif term.name == "all" and term.qualifier == "?":
        yield (
            WARNING,
            "spf_neutral",
            "?all says nothing about mail from anywhere else",
            "End it with ~all or -all.",
            "RFC 7208 section 8.2",
        )
    if term.name == "ptr":
        yield (
            WARNING,
            "spf_ptr",
            "ptr is slow, unreliable, and not to be published",
            "Name the addresses by ip4: and ip6:.",
            "RFC 7208 section 5.5",
        )
    network = term.network
    if network is not None and term.qualifier == "+":
        if network.prefixlen < (8 if network.version == 4 else 19):
            yield (
                ERROR,
                "spf_everybody",
                f"{term.text} lets a large part of the Internet send in this name",
                "Name your own addresses.",
                "RFC 7208 section 11.4",
            )
        elif not network.is_global and not _documentation(network):
            yield (
                WARNING,
                "spf_private",
                f"{term.text} is no public address: no receiver ever sees it",
                "Take it out.",
                "RFC 7208 section 5.6",
            )
        if str(network.network_address) != str(ipaddress.ip_address(term.value)):
            yield (NOTE, "spf_host_bits", f"{term.text} means {network}", f"Write {term.name}:{network}.", "RFC 7208 section 5.6")


def _documentation(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Return whether a net is one of those that examples and labs are made of."""
    return any(network.network_address in net and network.prefixlen >= net.prefixlen for net in DOCUMENTATION)


def lint(name: str, texts: t.Sequence[str], answers: Answers | None = None, required: bool = True) -> list[Finding]:
    """Return what is wrong with the SPF record of a name. texts: every TXT value there; answers: to count what it looks up."""
    found = records(texts)
    findings = [
        Finding(
            ERROR,
            "spf_lookalike",
            name,
            f"{shown(text, 40)} looks like an SPF record and is none, so nobody reads it",
            "Begin it with v=spf1 and a blank, without quotation marks; split strings with the blank inside one of them.",
            "RFC 7208 section 4.5",
        )
        for text in texts
        if not is_record(text) and _LOOKALIKE.match(text)
    ]
    if len(found) > 1:
        findings.append(
            Finding(
                ERROR, "spf_several", name, f"{len(found)} SPF records stand there: a permanent error", "Leave one.", "RFC 7208 section 4.5"
            )
        )
    if not found and required:
        findings.append(
            Finding(ERROR, "spf_missing", name, "it has no SPF record", "Publish one with the addresses that send.", "RFC 7208 section 4.5")
        )
    octets = len(name) + sum(len(text) for text in texts)
    if found and octets > MAX_OCTETS:
        findings.append(
            Finding(
                WARNING,
                "spf_octets",
                name,
                f"the name and its TXT records have {octets} octets, more than {MAX_OCTETS}",
                "Take old verification records out, or move terms below an include.",
                "RFC 7208 section 3.4",
            )
        )
    for text in found:
        findings += [Finding(severity, check, name, *rest) for severity, check, *rest in parse(text).faults]
    if len(found) == 1 and answers is not None:
        findings += over_budget(name, count(name, found[0], answers))
    return findings


def over_budget(name: str, budget: Budget) -> list[Finding]:
    """Return what a record costs too much, and what is wrong with what it includes."""
    findings = list(budget.findings)
    if budget.lookups > MAX_LOOKUPS:
        findings.append(
            Finding(
                ERROR,
                "spf_lookups",
                name,
                f"checking it takes up to {budget.lookups} lookups, {MAX_LOOKUPS} are allowed",
                "Take out what sends no longer, or name addresses by ip4: and ip6: instead of a and mx.",
                "RFC 7208 section 4.6.4",
            )
        )
    if budget.voids > MAX_VOID:
        findings.append(
            Finding(
                ERROR,
                "spf_void",
                name,
                f"{budget.voids} of its lookups find nothing, {MAX_VOID} are allowed",
                "Take out the names that do not exist.",
                "RFC 7208 section 4.6.4",
            )
        )
    return findings


def count(name: str, text: str, answers: Answers) -> Budget:
    """Return what checking a record costs at most, whatever address is checked. Unanswered where questions are still open."""
    counter = _Counter(answers)
    counter.record(name, text, (name.lower(),))
    if counter.wanted:
        raise Unanswered(counter.wanted)
    return Budget(counter.lookups, counter.voids, tuple(counter.findings), tuple(counter.unknown))


class _Counter:
    """Goes through a record and all that it includes."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.lookups = self.voids = 0
        self.findings: list[Finding] = []
        self.unknown: list[str] = []
        self.wanted: list[tuple[str, str]] = []

    def reply(self, name: str, kind: str) -> Reply | None:
        """Return an answer that says something, None where none came or it is still to be asked."""
        reply = self.answers.get((name, kind))
        if reply is None:
            self.wanted.append((name, kind))
            return None
        if not reply.known:
            self.unknown.append(f"{name} {kind}: {reply.why}")
            return None
        self.voids += absent(reply)
        return reply

    def record(self, name: str, text: str, above: tuple[str, ...]) -> None:
        terms = parse(text).terms
        ends = any(term.name == "all" for term in terms)
        for term in terms:
            if term.name not in _COUNTED or (term.name == "redirect" and ends):
                continue
            if self.lookups > _MAX_COUNTED:
                return
            self.lookups += 1
            target = (term.value or name).rstrip(".").lower()
            if "%" in target or term.name == "ptr":
                continue
            if term.name in ("include", "redirect"):
                self.inside(name, term, target, above)
            elif term.name == "mx":
                self.exchangers(name, target)
            elif term.name == "exists":
                self.reply(target, "A")
            else:
                four, six = self.answers.get((target, "A")), self.answers.get((target, "AAAA"))
                self.wanted += [(target, kind) for kind, reply in (("A", four), ("AAAA", six)) if reply is None]
                # A message asks for one family; a host that has but the other is void only for mail of a family that is not sent from.
                if four and six and four.known and six.known:
                    self.voids += absent(four) and absent(six)

    def inside(self, name: str, term: Term, target: str, above: tuple[str, ...]) -> None:
        def found(check: str, what: str, repair: str) -> None:
            self.findings.append(Finding(ERROR, check, name, f"{term.text}: {what}", repair, "RFC 7208 section 5.2"))

        if target in above:
            found("spf_loop", "it leads back to itself", "Take it out.")
            return
        reply = self.reply(target, "TXT")
        if reply is None:
            return
        inner = records(reply.values)
        if len(inner) != 1:
            what = "no SPF record is there" if not inner else f"{len(inner)} SPF records are there"
            found("spf_include", f"{what}: a permanent error", "Take it out, or ask who runs that name to repair it.")
            return
        if parse(inner[0]).broken:
            found("spf_include", "the record there is a permanent error", "Ask who runs that name to repair it.")
        self.record(target, inner[0], (*above, target))

    def exchangers(self, name: str, target: str) -> None:
        reply = self.reply(target, "MX")
        if reply is not None and len(reply.values) > MAX_MX:
            self.findings.append(
                Finding(
                    ERROR,
                    "spf_mx",
                    name,
                    f"mx of {target} has {len(reply.values)} hosts, {MAX_MX} are allowed",
                    "Name addresses instead.",
                    "RFC 7208 section 4.6.4",
                )
            )


def covers(term: Term, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether a term lets an address pass, by itself."""
    network = term.network
    return network is not None and term.qualifier == "+" and network.version == address.version and address in network


def address_term(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return f"ip{address.version}:{address}"


def merge(
    present: str | None, want: t.Sequence[str], remove: t.Sequence[str] = (), end: str | None = None, default_end: str = "~all"
) -> str:
    """Return a record with terms put in and taken out; every other term stays as it is, in its order.

    want: terms that must be there; an address that a present term covers is not named again. remove: terms that must not be there.
    end: the all of the whole record, in place of redirect=, which nobody reads beside it; where it is not given the present one stays, and
    a new record gets default_end.
    """
    terms = list(parse(present).terms) if present else []
    leave = {word.lower() for word in remove} - {word.lower() for word in want}
    terms = [term for term in terms if term.text.lower() not in leave]
    there = {term.text.lower().removeprefix("+") for term in terms}
    # Only what stands before all, and before what refuses, lets pass.
    stop = next((at for at, term in enumerate(terms) if term.name == "all" or term.qualifier == "-"), len(terms))
    new: list[Term] = []
    for word in want:
        term, what = _term(word)
        if term is None or what:
            raise ValueError(f"{word!r} is no term of an SPF record: {what}")
        own = term.network
        covered = own is not None and own.num_addresses == 1 and any(covers(each, own.network_address) for each in terms[:stop])
        if not covered and word.lower().removeprefix("+") not in there:
            new.append(term)
            there.add(word.lower().removeprefix("+"))
    # Addresses cost nothing and go first; what costs a lookup goes before the first all or modifier.
    free = [term for term in new if term.network is not None]
    costly = [term for term in new if term.network is None]
    at = next((at for at, term in enumerate(terms) if term.name == "all" or not term.qualifier), len(terms))
    terms = [*free, *terms[:at], *costly, *terms[at:]]
    has_end = any(term.name in ("all", "redirect") for term in terms)
    words = [term.text for term in terms]
    if end is not None:
        words = [term.text for term in terms if term.name not in ("all", "redirect")] + [end]
    elif not has_end:
        words.append(default_end)
    return " ".join([OWNER, *words])

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where addresses and names stand on lists: subjects x lists in one batch. Standard library only, Python >= 3.9.

First the resolver and each list pass their own test, then the questions go out, interleaved over the operators, then the reasons
(TXT) of what was listed or refused. A key is in the questions alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import time
import typing as t

from . import authoritative, qualify
from .ask import Engine, Item, Pace, ResolverError, Stream
from .cache import Cache
from .interpret import LISTED, Meaning, interpret
from .names import DOMAIN, Address, family, labels
from .wire import SOA, TXT, Answer, pack_name, parse_authoritative, question

KEY_MARK = "<key>"
#: After this many timeouts in a row a list is asked no more.
MAX_TIMEOUTS = 3
MAX_TEXTS = 2000
_ADDRESS = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")


class Options(t.NamedTuple):
    """deadline, list_deadline: seconds for the run and for the questions to one list; rate: questions a second to an operator of whom
    the catalogue knows no limit (0: no limit); paced: False asks as fast as possible; egress_name: its TXT is the address that the
    resolver asks from, "" asks nobody; follow: (subject, zone) of what is followed, which the list's own name servers are asked about, at
    authoritative_port, where the list allows it."""

    deadline: float = 300.0
    list_deadline: float = 240.0
    rate: float = 20.0
    paced: bool = True
    egress_name: str = "o-o.myaddr.l.google.com"
    follow: frozenset[tuple[str, str]] = frozenset()
    authoritative_port: int = 53


class Subject:
    """An address or a name, and what the lists said of it."""

    __slots__ = ("authoritative", "clean", "family", "hosts", "labels", "text", "unqualified")

    def __init__(self, text: str, kind: str, packed: bytes) -> None:
        self.text, self.family, self.labels = text, kind, packed
        self.hosts: list[str] = []
        self.clean: list[str] = []
        self.unqualified: list[str] = []
        self.authoritative: list[str] = []


class _List:
    """A list of the catalogue in this run."""

    def __init__(self, row: dict[str, t.Any], key: str | None) -> None:
        self.row, self.zone = row, row["zone"]
        self.packed = pack_name(f"{key}.{self.zone}" if key else self.zone)
        self.timeouts = 0
        self.until = float("inf")
        self.parts: list[_Part] = []

    def close(self, why: str, repair: str) -> None:
        for part in self.parts:
            part.close(why, repair)


class _Part:
    """A list as it is asked about one family of subjects. why: why it is not believed, or asked no more."""

    def __init__(self, of: _List, kind: str, subjects: list[Subject]) -> None:
        self.of, self.family, self.subjects, self.zone = of, kind, subjects, of.zone
        self.asked = question(of.packed)
        of.parts.append(self)
        self.why: str | None = None
        self.repair: str | None = None
        self.clean = 0
        self.counts: dict[str, int] = {}
        self.soa: str | None = None
        self.absence = False
        self.nothing: Answer | None = None
        self.clean_ttl: int | None = None
        self.qualified_at: float | None = None
        self.recalled = False
        self.fault: str | None = None
        self.memory = ""
        self.answers: dict[str, Answer] = {}
        self.servers: dict[str, str | None] = {}

    def close(self, why: str, repair: str | None) -> None:
        if self.why is None:
            self.why, self.repair = why, repair


class _Observation(t.NamedTuple):
    subject: Subject
    part: _Part
    meaning: Meaning
    ttl: int | None
    server: str | None = None


def subjects(addresses: t.Iterable[tuple[Address, str | None]], names: t.Iterable[dict[str, t.Any]]) -> dict[tuple[str, str], Subject]:
    """Return each address once, and each name in the forms in which lists are asked. names: name, registered, host."""
    found: dict[tuple[str, str], Subject] = {}

    def add(kind: str, text: str, packed: bytes, host: str | None) -> None:
        subject = found.setdefault((kind, text), Subject(text, kind.partition("/")[0], packed))
        if host and host not in subject.hosts:
            subject.hosts.append(host)

    for address, host in addresses:
        add(family(address), str(address), labels(address), host)
    for row in names:
        for form in ("registered", "name"):
            add(f"{DOMAIN}/{form}", row[form], pack_name(row[form])[:-1], row.get("host"))
    return found


def assess(
    engine: Engine,
    rows: list[dict[str, t.Any]],
    wanted: dict[tuple[str, str], Subject],
    keys: dict[str, str],
    cache: Cache,
    options: Options,
) -> dict[str, t.Any]:
    """Ask every list about every subject; see the module ip_reputation_info for the shape of the result."""
    return _Run(engine, rows, wanted, keys, cache, options).result()


class _Run:
    def __init__(
        self,
        engine: Engine,
        rows: list[dict[str, t.Any]],
        wanted: dict[tuple[str, str], Subject],
        keys: dict[str, str],
        cache: Cache,
        options: Options,
    ) -> None:
        self.engine, self.keys, self.cache, self.options = engine, keys, cache, options
        self.began = time.monotonic()
        self.end = self.began + options.deadline
        self.via = f"{engine.resolver}#{engine.port}"
        self.lists = [_List(row, keys.get(row.get("key") or "")) for row in rows]
        groups = _groups(wanted)
        self.parts = [
            _Part(each, kind, groups[kind, each.row.get("names") == "both"])
            for each in self.lists for kind in each.row["answers_for"] if groups.get((kind, each.row.get("names") == "both"))
        ]  # fmt: skip
        self.wanted = list({id(subject): subject for part in self.parts for subject in part.subjects}.values())
        self.all = list(wanted.values())
        self.paces = self._paces(rows)
        self.resolver: tuple[str, str] | None = None
        self.egress: str | None = None
        self.observations: list[_Observation] = []
        self.texts: dict[int, str] = {}
        self._ask_all()

    # ---- in order of time

    def _ask_all(self) -> None:
        self._test_the_resolver()
        if self.resolver is None:
            self._qualify(self.parts, recall=True)
            self._explain_refusals()
        if self.resolver is None:
            self._limit_of_the_day()
            self._question()
            self._doubt_what_was_remembered()
            self._ask_their_servers()
            self._ask_reasons()
        for part in self.parts:
            by_cname = any(answer.target for answer in part.answers.values())  # its name may hold a key of the resolver's
            if part.fault is None and not part.recalled and part.why is None and part.soa and not by_cname:
                self.cache.remember(part.memory, self._hide(part.soa), part.absence)

    def _test_the_resolver(self) -> None:
        answers: dict[t.Any, Answer] = {}
        self._run({"": [("", question(pack_name(qualify.random_name())))]}, answers.__setitem__, self.end)
        self.resolver = qualify.resolver_fault(answers.get("", Answer("TIMEOUT")), self.via)

    def _qualify(self, parts: list[_Part], recall: bool) -> None:
        """Test the lists of these parts; recall: what was tested lately is only asked for its positive point."""
        streams: dict[str, list[Item]] = {}
        answers: dict[t.Any, Answer] = {}
        for part in parts:
            part.memory = self._memory(part)
            remembered = self.cache.recall(part.memory) if recall else None
            part.recalled = remembered is not None
            if remembered:
                part.soa, part.absence = self._show(remembered["soa"], part), remembered["absence"]
                part.qualified_at = remembered["at"]
            asked = [(kind, question(name + part.of.packed)) for kind, name in qualify.probes(part.of.row, part.family).items()]
            asked.append(("soa", question(part.of.packed, SOA)))
            kinds = ("positive",) if remembered else ("positive", "negative", "wildcard", "soa")
            items = streams.setdefault(part.of.row["operator"], [])
            items += [((part, kind), packed) for kind, packed in asked if kind in kinds]
        self._run(streams, answers.__setitem__, min(self.end, time.monotonic() + 60))
        late = Answer("TIMEOUT")
        for part, kind in [item[0] for items in streams.values() for item in items]:
            part.answers[kind] = answers.get((part, kind), late)
        changed = [part for part in parts if part.recalled and not _holds(part)]
        for part in parts:
            if not part.recalled:
                verdict = qualify.judge(part.of.row, part.family, part.answers)
                part.soa, part.absence, part.fault = verdict.soa, verdict.absence, verdict.fault
                part.qualified_at = None if verdict.why else time.time()
                if verdict.why:
                    part.close(verdict.why, verdict.repair)
        if changed:
            for part in changed:
                self.cache.forget(part.memory)
            self._qualify(changed, recall=False)
        self._blame_the_resolver()

    def _blame_the_resolver(self) -> None:
        """Several lists that lose their answers in the same way are one fault of the resolver."""
        filtered = [part for part in self.parts if part.fault == "filtered"]
        tested = [part for part in self.parts if part.of.row["test"][part.family]["positive"] is not None]
        if self.resolver is None and len(filtered) > 1 and 2 * len(filtered) > len(tested):
            self.resolver = (f"{qualify.FILTERED} ({len(filtered)} of {len(tested)} test points)", qualify.UNFILTER)

    def _explain_refusals(self) -> None:
        refused = [part for part in self.parts if part.fault == "refused"]
        if not refused or self.resolver:
            return
        items: dict[str, list[Item]] = {}
        for part in refused:
            name = next((kind for kind, answer in part.answers.items() if answer.addresses), "positive")
            packed = qualify.probes(part.of.row, part.family).get(name)
            if packed is not None and name != "wildcard":
                items.setdefault(part.of.row["operator"], []).append((part, question(packed + part.of.packed, TXT)))
        if self.options.egress_name:
            items[""] = [("egress", question(pack_name(self.options.egress_name), TXT))]
        answers: dict[t.Any, Answer] = {}
        self._run(items, answers.__setitem__, min(self.end, time.monotonic() + 15))
        own = answers.pop("egress", None)
        said = [" ".join(answer.texts) for answer in ([own] if own else []) + list(answers.values())]
        self.egress = next((found for text in said for found in _ADDRESS.findall(text[:1000])), None)
        for part, answer in answers.items():
            if answer.texts and part.why:
                part.why += f'; it says: "{self._text(answer)}"'
        for part in refused:
            if self.egress and part.repair:
                part.repair += f" You ask from the address {self.egress}."

    def _limit_of_the_day(self) -> None:
        planned: dict[str, int] = {}
        for each in self.lists:
            most = each.row.get("limits", {}).get("per_day")
            operator = each.row["operator"]
            needed = sum(len(part.subjects) for part in each.parts)
            before = self.cache.count(operator) + planned.get(operator, 0)
            if not most or not self.options.paced or before + needed <= most:
                planned[operator] = planned.get(operator, 0) + needed
            else:
                each.close(
                    f"its limit of {most} questions a day would be passed ({needed} more are needed)",
                    "Ask again tomorrow, about fewer addresses, or agree a larger volume with the operator.",
                )

    def _question(self) -> None:
        by_operator: dict[str, list[_Part]] = {}
        for part in self.parts:
            by_operator.setdefault(part.of.row["operator"], []).append(part)
            part.of.until = min(self.end, time.monotonic() + self.options.list_deadline)
        streams = [Stream(_questions(parts), self.paces[operator]) for operator, parts in by_operator.items()]
        self.engine.run(streams, self.end, self._answered)
        for operator, stream in zip(by_operator, streams):
            self.cache.count(operator, stream.taken)
        for part in self.parts:
            done = part.clean + sum(part.counts.values())
            if done < len(part.subjects):
                part.close(f"its time was up after {done} of {len(part.subjects)} questions", "Raise reputation_deadline.")

    def _answered(self, token: tuple[_Part, Subject], answer: Answer) -> None:
        part, subject = token
        if answer is part.nothing or (answer.rcode == "NXDOMAIN" and answer.soa == part.soa and part.absence and not answer.addresses):
            # Nearly every answer, and nearly always the same one.
            if answer is not part.nothing:
                part.nothing = answer
                part.clean_ttl = max(part.clean_ttl or 0, answer.ttl or 0)
            part.of.timeouts = 0
            part.clean += 1
            subject.clean.append(part.zone)
            return
        meaning = interpret(answer, part.of.row, part.soa)
        if meaning.outcome == "clean":
            part.clean_ttl = max(part.clean_ttl or 0, answer.ttl or 0)
        counts = part.counts
        counts[meaning.outcome] = counts.get(meaning.outcome, 0) + 1
        if meaning.outcome == "clean":
            (subject.clean if part.absence else subject.unqualified).append(part.zone)
        else:
            self.observations.append(_Observation(subject, part, meaning, answer.ttl))
        part.of.timeouts = part.of.timeouts + 1 if meaning.outcome == "timeout" else 0
        if meaning.outcome in ("refused", "hijacked"):
            repair = "Ask less, or get an access of its own from the operator; it was asked no more in this run."
            part.of.close(f"it began to answer {meaning.outcome} ({'; '.join(meaning.meanings)}) in the midst of the run", repair)
        elif part.of.timeouts >= MAX_TIMEOUTS:
            part.of.close(f"{MAX_TIMEOUTS} questions in a row got no answer", "Run again later; it was asked no more in this run.")

    def _doubt_what_was_remembered(self) -> None:
        """A list that was not tested in this run and says something is tested now: no word is believed on memory alone."""
        told = (*LISTED, "allowed", "score")
        doubtful = list({id(o.part): o.part for o in self.observations if o.part.recalled and o.meaning.outcome in told}.values())
        if not doubtful:
            return
        self._qualify(doubtful, recall=False)
        for part in doubtful:
            part.recalled = False
            if part.fault is None:
                continue
            self.cache.forget(part.memory)
            self.observations = [each for each in self.observations if each.part is not part]
            for subject in part.subjects:
                if part.zone in subject.clean:
                    subject.clean.remove(part.zone)

    def _ask_their_servers(self) -> None:
        """What their own servers say of what is followed counts, and not what the resolver may have in its cache."""
        for part in self.parts:
            followed = {each.text: each for each in part.subjects if (each.text, part.zone) in self.options.follow}
            if not followed or part.why or part.soa is None or not part.of.row.get("authoritative"):
                continue
            end = min(self.end, time.monotonic() + authoritative.PATIENCE)
            addresses = authoritative.servers(self._asker(self.engine, "", end), part.soa)
            most = part.of.row.get("limits", {}).get("per_day")
            needed = len(addresses) * (len(followed) + 4)
            if most and self.options.paced and self.cache.count(part.of.row["operator"]) + needed > most:
                continue

            def at(server: str, operator: str = part.of.row["operator"], end: float = end) -> authoritative.Ask:
                port = self.options.authoritative_port
                return self._asker(Engine(server, port, self.engine.timeout, self.engine.tries, parse_authoritative), operator, end)

            labels = {text: each.labels for text, each in followed.items()}
            said, faults = authoritative.said(at, addresses, part.of.row, part.family, part.of.packed, labels)
            part.servers = {server: faults.get(server) for server in addresses}
            for text, word in said.items():
                self._put(part, followed[text], word)

    def _asker(self, engine: Engine, operator: str, end: float) -> authoritative.Ask:
        def ask(questions: dict[t.Any, bytes]) -> dict[t.Any, Answer]:
            answers: dict[t.Any, Answer] = {}
            # A server that cannot be reached is one that gives no answer.
            with contextlib.suppress(ResolverError):
                engine.run([Stream(questions.items(), self.paces.get(operator))], end, answers.__setitem__)
            if operator:
                self.cache.count(operator, len(questions))
            return answers

        return ask

    def _put(self, part: _Part, subject: Subject, word: authoritative.Word) -> None:
        """Put what a list's servers say of a subject in the place of what the resolver said; silence takes no listing back."""
        heard = any(each.part is part and each.subject is subject and each.meaning.outcome in LISTED for each in self.observations)
        if heard and word.meaning.outcome not in (*LISTED, "clean"):
            return
        self.observations = [each for each in self.observations if each.part is not part or each.subject is not subject]
        for zones in (subject.clean, subject.unqualified):
            if part.zone in zones:
                zones.remove(part.zone)
        subject.authoritative.append(part.zone)
        if word.meaning.outcome == "clean":
            subject.clean.append(part.zone)
        else:
            self.observations.append(
                _Observation(subject, part, word.meaning, word.ttl, f"{word.server}#{self.options.authoritative_port}")
            )

    def _ask_reasons(self) -> None:
        items: dict[str, list[Item]] = {}
        told = [(at, each) for at, each in enumerate(self.observations) if each.meaning.outcome in LISTED]
        # Of a list that refuses, one answer says why.
        refused = {id(each.part.of): (at, each) for at, each in enumerate(self.observations) if each.meaning.outcome == "refused"}
        told += refused.values()
        for at, each in told[:MAX_TEXTS]:
            packed = question(each.subject.labels + each.part.of.packed, TXT)
            items.setdefault(each.part.of.row["operator"], []).append((at, packed))
        self._run(items, lambda at, answer: self.texts.__setitem__(at, self._text(answer)), self.end)

    # ---- helpers

    def _run(self, streams: dict[str, list[Item]], done: t.Callable[[t.Any, Answer], None], end: float) -> None:
        self.engine.run([Stream(items, self.paces.get(operator)) for operator, items in streams.items()], end, done)
        for operator, items in streams.items():
            if operator:
                self.cache.count(operator, len(items))

    def _paces(self, rows: list[dict[str, t.Any]]) -> dict[str, Pace]:
        rates: dict[str, list[float]] = {}
        for row in rows:
            known = row.get("limits", {}).get("per_second")
            rates.setdefault(row["operator"], []).extend([known] if known else [])
        usual = [self.options.rate] if self.options.rate else []
        return {operator: Pace(min(found or usual, default=None) if self.options.paced else None) for operator, found in rates.items()}

    def _memory(self, part: _Part) -> str:
        """Return the name under which a passed test is remembered: by the resolver, and by all that the catalogue says of the list."""
        row = json.dumps([self.via, part.family, part.of.row], sort_keys=True)
        return f"{part.zone}/{part.family}/{hashlib.sha256(row.encode()).hexdigest()[:24]}"

    def _hide(self, text: str) -> str:
        for key in filter(None, self.keys.values()):
            text = re.sub(re.escape(key), KEY_MARK, text, flags=re.IGNORECASE)
        return text

    def _show(self, text: str, part: _Part) -> str:
        return text.replace(KEY_MARK, self.keys.get(part.of.row.get("key") or "", KEY_MARK).lower())

    def _text(self, answer: Answer) -> str:
        """Return a list's own words, bounded: whoever runs the list wrote them."""
        joined = " ".join(answer.texts)[:2000]
        return self._hide("".join(char if char.isprintable() else "?" for char in joined))[:400]

    # ---- the result

    def result(self) -> dict[str, t.Any]:
        self._unqualify()
        return {
            "addresses": [_subject(each) for each in self.all if each.family != DOMAIN],
            "names": [_subject(each) for each in self.wanted if each.family == DOMAIN],
            "observations": [self._observation(at, each) for at, each in enumerate(self.observations)],
            "lists": [self._part(part) for part in self.parts],
            "resolver": {
                "address": self.via,
                "qualified": self.resolver is None,
                "why": self.resolver[0] if self.resolver else None,
                "repair": self.resolver[1] if self.resolver else None,
                "egress": self.egress,
                "note": "a public resolver: many lists refuse it" if self.engine.resolver in qualify.PUBLIC_RESOLVERS else None,
            },
            "stats": {**self.engine.stats, "seconds": round(time.monotonic() - self.began, 3)},
        }

    def _unqualify(self) -> None:
        """Put each list that said nothing to be believed about a subject under its unqualified ones."""
        observed = {(id(each.subject), each.part.zone) for each in self.observations}
        for part in self.parts:
            if part.why is None and self.resolver is None:
                continue
            for subject in part.subjects:
                known = part.zone in subject.clean or part.zone in subject.unqualified or (id(subject), part.zone) in observed
                if not known:
                    subject.unqualified.append(part.zone)

    def _observation(self, at: int, each: _Observation) -> dict[str, t.Any]:
        row, meaning = each.part.of.row, each.meaning
        listed = meaning.outcome in LISTED
        return {
            "subject": each.subject.text,
            "family": each.part.family,
            "hosts": each.subject.hosts,
            "source": each.part.zone,
            "list": row["name"],
            "kind": row["kind"],
            "tier": row["tier"],
            "outcome": meaning.outcome,
            "codes": list(meaning.codes),
            "meanings": [self._hide(text) for text in meaning.meanings],
            "scope": meaning.scope if listed else None,
            "reason": self.texts.get(at) or None,
            "ttl": each.ttl,
            "latency": row.get("latency"),
            "repair": row["repair"] if listed else None,
            "delisting": _filled(row["delisting"], each.subject.text) if listed else None,
            "qualified_by": {"resolver": each.server or self.via, "at": each.part.qualified_at},
        }

    def _part(self, part: _Part) -> dict[str, t.Any]:
        why, repair = self.resolver or (part.why, part.repair)
        return {
            "list": part.of.row["name"],
            "zone": part.zone,
            "family": part.family,
            "kind": part.of.row["kind"],
            "tier": part.of.row["tier"],
            "qualified": why is None,
            "why": self._hide(why) if why else None,
            "repair": self._hide(repair) if repair else None,
            "qualified_at": part.qualified_at,
            "subjects": len(part.subjects),
            "clean_ttl": part.clean_ttl,
            "latency": part.of.row.get("latency"),
            "delisting": part.of.row["delisting"],
            "servers": part.servers,
            "counts": {**part.counts, **({"clean": part.clean + part.counts.get("clean", 0)} if part.clean else {})},
        }


def _holds(part: _Part) -> bool:
    """Return whether the positive test point of a remembered list still answers."""
    positive = part.answers.get("positive")
    return positive is None or interpret(positive, part.of.row, part.soa).outcome in (*LISTED, "allowed", "score")


def _groups(wanted: dict[tuple[str, str], Subject]) -> dict[tuple[str, bool], list[Subject]]:
    """Return the subjects that a list is asked about, by (family, whether whole host names are asked beside the registered ones)."""
    found: dict[tuple[str, bool], dict[str, Subject]] = {}
    for (form, text), subject in wanted.items():
        for both in (False, True):
            if both or not form.endswith("/name"):
                found.setdefault((subject.family, both), {}).setdefault(text, subject)
    return {key: list(group.values()) for key, group in found.items()}


def _questions(parts: list[_Part]) -> t.Iterator[Item]:
    """The questions to one operator, the lists in turn; nothing more of a list that is closed or out of time."""
    most = max((len(part.subjects) for part in parts), default=0)
    # Where the time is short, each run leaves out others.
    starts = [secrets.randbelow(max(1, len(part.subjects))) for part in parts]
    for at in range(most):
        for part, start in zip(parts, starts):
            if part.why is None and at < len(part.subjects) and time.monotonic() < part.of.until:
                subject = part.subjects[(at + start) % len(part.subjects)]
                yield (part, subject), subject.labels + part.asked


def _subject(each: Subject) -> dict[str, t.Any]:
    kind = "name" if each.family == DOMAIN else "address"
    zones = {name: sorted(getattr(each, name)) for name in ("clean", "unqualified", "authoritative")}
    return {kind: each.text, "hosts": each.hosts, **zones}


def _filled(delisting: dict[str, t.Any], subject: str) -> dict[str, t.Any]:
    """Return how to be delisted, with the subject in the URL."""
    return {**delisting, "url": delisting["url"].replace("{ip}", subject)} if delisting.get("url") else delisting

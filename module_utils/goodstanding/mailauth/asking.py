# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask resolvers, or the name servers of zones, many questions at once, and give the answers to pure functions. Controller only."""

from __future__ import annotations

import time
import typing as t

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from ..dnsbl import wire
from ..dnsbl.ask import Engine, ResolverError, Stream
from ..dnsbl.qualify import random_name
from ..dnsbl.wire import TruncatedError, WireError
from .answers import Question, Reply, Unanswered

_MAX_RECORDS = 200
_MAX_VALUE = 65_535
_KINDS = {"A": 1, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
#: How often a pure function may ask for more before it is given up: an SPF record of ten mx needs some twenty.
MAX_ROUNDS = 60

Result = t.TypeVar("Result")


def read(data: bytes, asked: bytes) -> Reply:
    """Return the answer in a message; WireError where it is none, TruncatedError where it is not whole."""
    flags = int.from_bytes(data[2:4], "big")
    if len(data) < 12 + len(asked) or data[12 : 12 + len(asked)].lower() != asked or data[4:6] != b"\0\1" or flags & 0xF800 != 0x8000:
        raise WireError("the message does not answer the question")
    if flags & dns.flags.TC:
        raise TruncatedError
    if int.from_bytes(data[6:8], "big") > _MAX_RECORDS or int.from_bytes(data[8:10], "big") > _MAX_RECORDS:
        raise WireError("the message has too many records")
    try:
        message = dns.message.from_wire(data, ignore_trailing=True)
        rcode = dns.rcode.to_text(message.rcode())
        rdtype = message.question[0].rdtype
        name, seen = message.question[0].name, set()
        chain = {rrset.name: rrset[0].target for rrset in message.answer if rrset.rdtype == dns.rdatatype.CNAME}
        while name in chain and name not in seen and rdtype != dns.rdatatype.CNAME:
            seen.add(name)
            name = chain[name]
        values = [_value(rdata) for rrset in message.answer if rrset.name == name and rrset.rdtype == rdtype for rdata in rrset]
    except (dns.exception.DNSException, ValueError, IndexError, UnicodeError) as exc:
        raise WireError("the message is damaged") from exc
    target = name.to_text(omit_final_dot=True).lower() if seen else None
    why = "" if rcode in ("NOERROR", "NXDOMAIN") else f"the answer was {rcode}"
    return Reply(rcode, tuple(sorted(values)), why, target, bool(message.flags & dns.flags.AA))


def _value(rdata: t.Any) -> str:
    if rdata.rdtype == dns.rdatatype.TXT:
        return bytes(b"".join(rdata.strings)).decode("utf-8", "replace")[:_MAX_VALUE]
    if rdata.rdtype == dns.rdatatype.MX:
        return f"{rdata.preference} {rdata.exchange.to_text(omit_final_dot=True).lower()}"
    if rdata.rdtype in (dns.rdatatype.PTR, dns.rdatatype.CNAME):
        return str(rdata.target.to_text(omit_final_dot=True).lower())
    return str(rdata.to_text())


class Dns:
    """Asks one resolver after the other until one says something. Every answer is kept: one run asks nothing twice.

    deadline: of time.monotonic(); what has no answer by then stays a failure. authoritative: the servers are those of a zone, and an
    answer that is not their own says nothing.
    """

    def __init__(
        self,
        resolvers: t.Sequence[str | tuple[str, int]],
        port: int = 53,
        timeout: float = 3.0,
        deadline: float | None = None,
        max_questions: int = 500_000,
        authoritative: bool = False,
    ) -> None:
        if not resolvers:
            raise ResolverError("no resolver is given: name the addresses of one or more in resolvers")
        servers = [(each, port) if isinstance(each, str) else each for each in resolvers]
        self.engines = [Engine(address, own, timeout, tries=2, read=read) for address, own in servers]
        self.deadline = deadline if deadline is not None else time.monotonic() + 300
        self.left = max_questions
        self.authoritative = authoritative
        self.rejected: list[str] = []
        self.table: dict[Question, Reply] = {}

    @property
    def stats(self) -> dict[str, int]:
        names = ("questions", "answers", "retries", "timeouts", "tcp", "garbage")
        return {name: sum(engine.stats[name] for engine in self.engines) for name in names}

    def qualify(self) -> list[dict[str, str]]:
        """Leave out each resolver that says of a name that cannot exist (RFC 6761 section 6.4) anything but that; return which and why."""
        rejected, good = [], []
        for engine in self.engines:
            trial = Dns([engine.resolver], engine.port, engine.timeout, self.deadline)
            name = random_name()
            trial.ask([(name, "A")])
            reply = trial.table[(name, "A")]
            if reply.rcode == "NXDOMAIN":
                good.append(engine)
                continue
            why = reply.why or f"{engine.resolver} rewrites answers: it says {' '.join(reply.values) or 'yes'} to a name that cannot exist"
            rejected.append({"resolver": engine.resolver, "why": why, "repair": "Name a resolver of your own that this machine may ask."})
        self.engines = good
        self.rejected = [row["why"] for row in rejected]
        return rejected

    def ask(self, questions: t.Iterable[Question]) -> None:
        """Put the answers to the questions into the table."""
        todo: list[Question] = []
        for question in dict.fromkeys(questions):
            if question in self.table:
                continue
            name, _ = question
            try:
                wire.pack_name(name)
            except (ValueError, UnicodeError):
                self.table[question] = Reply("NXDOMAIN", why="it is no name of the DNS")
                continue
            todo.append(question)
        if len(todo) > self.left:
            for question in todo[self.left :]:
                self.table[question] = Reply("TIMEOUT", why="too many questions were asked in this run")
            todo = todo[: self.left]
        self.left -= len(todo)
        for engine in self.engines:
            if not todo:
                break
            todo = self._ask(engine, todo)
        for question in todo:
            self.table.setdefault(question, Reply("TIMEOUT", why="; ".join(self.rejected) or "no resolver is left to ask"))

    def _ask(self, engine: Engine, todo: list[Question]) -> list[Question]:
        """Ask one resolver; return what it did not answer."""

        def done(question: Question, answer: t.Any) -> None:
            if not isinstance(answer, Reply):
                reply = Reply("TIMEOUT", why=f"{engine.resolver} did not answer within {engine.timeout:g} seconds")
            elif not answer.known:
                reply = answer._replace(why=f"{engine.resolver} answered {answer.rcode}")
            elif self.authoritative and not answer.authoritative:
                reply = answer._replace(rcode="REFUSED", values=(), why=f"{engine.resolver} is no name server of that zone")
            else:
                reply = answer
            self.table[question] = reply

        stream = Stream([(question, wire.question(wire.pack_name(question[0]), _KINDS[question[1]])) for question in todo])
        try:
            engine.run([stream], self.deadline, done)
        except ResolverError as exc:
            for question in todo:
                self.table.setdefault(question, Reply("TIMEOUT", why=str(exc)))
        for question in todo:
            self.table.setdefault(question, Reply("TIMEOUT", why="the time for this run was over"))
        return [question for question in todo if not self.table[question].known]


class Zoned:
    """Asks of each name the servers of its own zone, or the resolvers where a zone names none; table and ask() are as those of Dns."""

    def __init__(self, resolvers: Dns, zones: t.Mapping[str, Dns]) -> None:
        self.resolvers, self.zones = resolvers, zones
        self.table: dict[Question, Reply] = {}

    def ask(self, questions: t.Iterable[Question]) -> None:
        """Put the answers to the questions into the table."""
        groups: dict[int, tuple[Dns, list[Question]]] = {}
        for question in questions:
            labels = question[0].split(".")
            above = (".".join(labels[at:]) for at in range(len(labels)))
            server = next((self.zones[name] for name in above if name in self.zones), self.resolvers)
            groups.setdefault(id(server), (server, []))[1].append(question)
        for server, group in groups.values():
            server.ask(group)
            self.table.update({question: server.table[question] for question in group})


def work(source: Dns | Zoned, tasks: t.Sequence[t.Callable[[], Result]]) -> list[Result | None]:
    """Return what each pure function makes of the answers: all that they still need is asked at once, round by round.

    None stands for one that wanted more rounds than there are.
    """
    results: list[Result | None] = [None] * len(tasks)
    left = list(range(len(tasks)))
    for _ in range(MAX_ROUNDS):
        wanted: dict[Question, None] = {}
        still = []
        for at in left:
            try:
                results[at] = tasks[at]()
            except Unanswered as exc:
                wanted.update(dict.fromkeys(exc.questions))
                still.append(at)
        left = still
        if not left:
            break
        source.ask(wanted)
    return results


__all__ = ["Dns", "ResolverError", "Zoned", "read", "work"]

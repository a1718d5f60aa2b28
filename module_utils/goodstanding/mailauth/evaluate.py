# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SPF of a message, evaluated by pyspf over a table of answers: no question leaves from here, so it is bounded and can be repeated."""

from __future__ import annotations

import typing as t

import spf as library

from . import spf
from .answers import Answers, Question, need

#: pass fail softfail neutral none temperror permerror (RFC 7208 section 2.6), and unknown where an answer did not come.
RESULTS = ("pass", "fail", "softfail", "neutral", "none", "temperror", "permerror", "unknown")
#: Ten lookups of mx with ten hosts each are 110 answers.
_MAX_ANSWERS = 150
#: pyspf takes the square of a term's length; a name with macros is shorter than this.
_MAX_TERM = 512


class Result(t.NamedTuple):
    """result: one of RESULTS; term: the term that decided; why: of an error, or what was not answered; lookups: how many it took."""

    result: str
    term: str | None
    why: str
    lookups: int


class _Query(library.query):
    """pyspf with the table of answers in the place of its own DNS."""

    def __init__(self, answers: Answers, *words: t.Any) -> None:
        super().__init__(*words, strict=True)
        self.answers, self.taken, self.failed = answers, 0, ""

    def _reply(self, *questions: Question) -> list[t.Any]:
        self.taken += len(questions)
        if self.taken > _MAX_ANSWERS:
            raise library.PermError("more answers are needed than a receiver would ask for")
        replies = need(self.answers, *questions)
        for (name, kind), reply in zip(questions, replies):
            if not reply.known:
                self.failed = f"{name} {kind}: {reply.why}"
                raise library.TempError(self.failed)
        return replies

    def dns(self, name: t.Any, qtype: str, cnames: t.Any = None, ignore_void: bool = False) -> list[t.Any]:
        name = str(name).rstrip(".").lower()
        # Explanations are for people who were refused.
        if ignore_void or not name or not all(0 < len(label) < 64 for label in name.split(".")):
            return []
        (reply,) = self._reply((name, qtype))
        if not reply.values:
            self.void_lookups += 1
            if self.void_lookups > library.MAX_VOID_LOOKUPS:
                raise library.PermError(f"Void lookup limit of {library.MAX_VOID_LOOKUPS} exceeded")
        if qtype == "TXT":
            if any(len(term) > _MAX_TERM for value in reply.values if spf.is_record(value) for term in value.split(" ")):
                self.failed = f"{name} TXT: its SPF record has a term of more than {_MAX_TERM} characters"
                raise library.TempError(self.failed)
            return [(value.encode("utf-8"),) for value in reply.values]
        if qtype == "MX":
            return [(int(value.partition(" ")[0]), value.partition(" ")[2]) for value in reply.values]
        return list(reply.values)

    def dns_mx(self, domainname: str) -> list[str]:
        (reply,) = need(self.answers, (domainname.rstrip(".").lower(), "MX"))
        names = [value.partition(" ")[2] for value in reply.values[: library.MAX_MX]]
        # The addresses of all hosts in one round.
        need(self.answers, *((name, self.A) for name in names if name))
        found: list[str] = super().dns_mx(domainname)
        return found


def evaluate(answers: Answers, address: str, domain: str, helo: str, sender: str | None = None) -> Result:
    """Return what SPF says of a message. domain: of the envelope sender, or the HELO name itself where sender is empty.

    Unanswered where questions are still open.
    """
    query = _Query(answers, address, f"postmaster@{domain}" if sender is None else sender, helo)
    try:
        result, _, text = query.check()
    except Exception as exc:
        # The record is hostile and the library's own: what it does not expect says nothing.
        return Result("unknown", None, f"pyspf cannot read the record ({type(exc).__name__})", query.lookups)
    if query.failed and result in ("temperror", "permerror"):
        return Result("unknown", None, query.failed, query.lookups)
    result = result if result in RESULTS else "unknown"
    why = str(text)[:300] if result in ("temperror", "permerror", "unknown") else ""
    term = query.mechanism if isinstance(query.mechanism, str) else None
    return Result(result, term[:200] if term else None, why, query.lookups)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of the DNS as tables, so that everything that judges them is a pure function: what is missing is said, asked, and tried again."""

from __future__ import annotations

import typing as t

#: A name in lower case without a final dot, and A, AAAA, MX, PTR, TXT, CNAME or SOA.
Question = tuple[str, str]
T = t.TypeVar("T")


class Reply(t.NamedTuple):
    """What came back. rcode: NOERROR, NXDOMAIN, SERVFAIL, REFUSED ..., or TIMEOUT; values: of the type asked for, one each record and never
    thrown together: addresses, names in lower case, "10 mx.example.com", texts with their strings joined; why: of a failure; target: where
    a CNAME led; authoritative: the server answered for a zone of its own."""

    rcode: str
    values: tuple[str, ...] = ()
    why: str = ""
    target: str | None = None
    authoritative: bool = False

    @property
    def known(self) -> bool:
        """Whether the answer says anything; what is not known is never taken for absent."""
        return self.rcode in ("NOERROR", "NXDOMAIN")


Answers = t.Mapping[Question, Reply]


class Unanswered(BaseException):
    """The answers that a pure function still needs. It is no Exception, so that no library takes it for a failure."""

    def __init__(self, questions: t.Iterable[Question]) -> None:
        super().__init__()
        self.questions = tuple(questions)


def absent(reply: Reply) -> bool:
    """Return whether an answer says that there is nothing."""
    return reply.known and not reply.values


def need(answers: Answers, *questions: Question) -> list[Reply]:
    """Return the answers to all questions, or raise Unanswered for those that are missing."""
    missing = [question for question in questions if question not in answers]
    if missing:
        raise Unanswered(missing)
    return [answers[question] for question in questions]


def reverse_name(address: t.Any) -> str:
    """Return the name in in-addr.arpa or ip6.arpa of an address."""
    return str(address.reverse_pointer)


def gather(tasks: t.Iterable[t.Callable[[], T]]) -> list[T]:
    """Return what each function returns; where some need answers, raise one Unanswered for all of them."""
    results: list[T] = []
    missing: dict[Question, None] = {}
    for task in tasks:
        try:
            results.append(task())
        except Unanswered as exc:
            missing.update(dict.fromkeys(exc.questions))
    if missing:
        raise Unanswered(missing)
    return results

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a list's own name servers say, with no cache in between. Standard library only, Python >= 3.9.

Each server passes the same test as the list through the resolver, and a server that has no authority is no server of the list: a network
that answers every question by its own cache is found out by that.
"""

from __future__ import annotations

import contextlib
import secrets
import typing as t

from . import qualify
from .interpret import LISTED, Meaning, interpret
from .wire import NS, SOA, TIMEOUT, A, Answer, pack_name, question

#: Of a list with more name servers, so many are asked, others in each run.
MOST_SERVERS = 4
#: Seconds for all that one list is asked.
PATIENCE = 30.0

#: Asks questions by their names and returns the answers by these names; what is missing did not come.
Ask = t.Callable[[dict[t.Any, bytes]], dict[t.Any, Answer]]


class Word(t.NamedTuple):
    """What the servers of a list say of a subject. server: who said it; meaning, ttl: as through the resolver."""

    server: str
    meaning: Meaning
    ttl: int | None


def servers(ask: Ask, zone: str) -> list[str]:
    """Return an address (IPv4) of each name server of a zone, of MOST_SERVERS at most, as the resolver tells them."""
    names = list(ask({"ns": question(pack_name(zone), NS)}).get("ns", TIMEOUT).texts)
    secrets.SystemRandom().shuffle(names)
    asked = {}
    for name in names[:MOST_SERVERS]:
        with contextlib.suppress(ValueError):  # the root, or a label with a dot in it, which no server's name has
            asked[name] = question(pack_name(name), A)
    answers = ask(asked)
    return sorted({answer.addresses[0] for answer in answers.values() if answer.addresses})


def said(
    ask: t.Callable[[str], Ask], addresses: t.Sequence[str], row: dict[str, t.Any], family: str, zone: bytes, subjects: dict[str, bytes]
) -> tuple[dict[str, Word], dict[str, str]]:
    """Return (what they say of each subject, by server why it is not believed). ask(server) asks that server; row: of the catalogue; zone:
    in wire form; subjects: labels by text. Where one server lists a subject it is listed, and only what all of them call clean is clean."""
    found: dict[str, Word] = {}
    faults: dict[str, str] = {}
    for server in addresses:
        put = ask(server)
        tests: dict[t.Any, bytes] = {kind: question(name + zone) for kind, name in qualify.probes(row, family).items()}
        answers = put({**tests, "soa": question(zone, SOA)})
        verdict = qualify.judge(row, family, {kind: answers.get(kind, TIMEOUT) for kind in (*tests, "soa")})
        if verdict.why or not verdict.absence:
            faults[server] = verdict.why or "it has no test point, so its silence proves nothing"
            continue
        answers = put({text: question(labels + zone) for text, labels in subjects.items()})
        for text in subjects:
            answer = answers.get(text, TIMEOUT)
            word = Word(server, interpret(answer, row, verdict.soa), answer.ttl)
            if text not in found or _weight(word) < _weight(found[text]):
                found[text] = word
    return found, faults


def _weight(word: Word) -> tuple[int, int]:
    """Return what comes first where the servers disagree: the most listed, then what is no answer, then clean."""
    outcome = word.meaning.outcome
    return (0 if outcome in LISTED else 2 if outcome == "clean" else 1, -len(word.meaning.codes))

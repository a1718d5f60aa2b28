# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told to a list's operator, and to the person who asks: sentences, each with the rows of the ledger that say so.

Nothing is told that no row says. No account and no person is named to an operator: what matters to it is that it has ended.
"""

from __future__ import annotations

import datetime
import functools
import ipaddress
import typing as t
from pathlib import Path

import jinja2

from ..findings.ended import HOLDS
from ..findings.times import epoch
from ..triage.fleet import kind_of
from . import lists
from .case import CLEARED, EXPIRED, GATED, OPEN, PROVIDER_ONLY, READY, REFUSED, SUBMITTED, WAITING, Case, Way
from .lists import Told

Row = dict[str, t.Any]

#: What holds of an address, in the words of whoever runs it.
_AUTHENTICATION = {
    "fcrdns": "the reverse and forward names of the address match",
    "helo": "the HELO name leads to it",
    "spf": "SPF authorizes our servers",
    "dkim": "our mail is signed with DKIM",
    "dmarc": "DMARC passes",
}
_GATES = {
    "outbreak": "the outbreak has ended",
    "account": "every account that was used is locked, or was let in again",
    "queue": "no mail of it is queued",
    "limits": "sending limits are in force",
    "fcrdns": "reverse and forward name agree",
    "helo": "the HELO name is right",
    "spf": "SPF holds",
    "dkim": "DKIM holds",
    "dmarc": "DMARC holds",
    "named": "the list names it now, by an answer that can be believed",
    "quiet": "the list has had no new hit for its own time",
    "cool_down": "it is not too early to ask",
    "outside": "what must hold first was looked at",
}
#: Who asks meanwhile.
_AGAIN = "playbooks/remediate.yml asks the list again."
_COST = {
    "no": "nothing",
    "optional": "nothing; do not pay for the faster removal that is offered",
    "required": "money, so do not ask: it is of no use to pay a list",
}


class Statement(t.NamedTuple):
    """A sentence, and the ids of the ledger's rows that it rests on."""

    text: str
    rows: tuple[str, ...]


class Ledger(t.NamedTuple):
    """What the ledger has for a case. events: of the case, the oldest first, with id, time (ISO), kind, why; document: the findings of the
    run that judged it, whose row is run/ID; journal: lines of the hosts' journals, as latest() returns them."""

    events: t.Sequence[Row]
    document: Row
    journal: t.Sequence[Row]


class Dossier(t.NamedTuple):
    """subject: of a mail; text: for the form or mail; reply: to a first refusal, empty where there is none prepared; markdown: all for the
    person who asks; data: the same for a machine."""

    subject: str
    text: str
    reply: str
    markdown: str
    data: Row


def day(seconds: float) -> str:
    """Return 24 November 2026 at 06:10 UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%-d %B %Y at %H:%M UTC")


def compose(case: Case, of: Told, way: Way, ledger: Ledger, contact: str, templates: str) -> Dossier:
    """Return the dossier. contact: whom the operator answers, from the inventory; templates: the folder of them."""
    told = {"listed": _listed(case, of, ledger), "ended": _ended(case), "happened": _happened(ledger), "done": _done(ledger)}
    told["kept"], told["stands"] = _kept(case, ledger), _stands(case)
    values: Row = {
        "case": case, "of": of, "how": lists.how(of.delisting), "verb": _verb(case, of), "asked_by": case.asked_by,
        "who": lists.who(of, case.codes), "cost": _COST[of.delisting["paid"]], "contact": contact.strip(), "day": day,
        "pause": _days(way.cool_down), "next": next_step(case, of, way), "machine": _machine(case, of), "quote": _quote(of), "told": told,
        "gates": [(_GATES.get(name, name), gate) for name, gate in case.gates.items()],
        "texts": {name: " ".join(row.text for row in rows) for name, rows in told.items()},
        "refusal": _quote(of) if any(row["source"].startswith("log:") for row in of.rows) else "",
    }  # fmt: skip
    environment = _environment(templates)
    asked = case.asked_by != "nobody"
    text = _tidy(environment.get_template("request.txt.j2").render(values)) if asked else ""
    reply = _tidy(environment.get_template("reply.txt.j2").render(values)) if of.delisting.get("verb") == "mitigate" else ""
    subject = f"Request to {values['verb']} {case.subject}" if asked else ""
    markdown = _tidy(environment.get_template("dossier.md.j2").render(**values, text=text, reply=reply))
    request = {"by": values["how"], "url": of.delisting.get("url"), "mail": of.delisting.get("mail")}
    data = {
        **{"case": case.id, "subject": case.subject, "list": case.list, "name": of.name, "state": case.state, "next": values["next"]},
        "request": {
            **request, **{name: values[name] for name in ("who", "cost", "machine")}, "subject": subject, "text": text, "reply": reply,
        },
        "not_before": case.not_before,
        "expected": case.expected,
        "statements": {name: [row._asdict() for row in rows] for name, rows in told.items()},
        "gates": {name: gate._asdict() for name, gate in case.gates.items()},
        "override": case.override._asdict() if case.override else None,
    }  # fmt: skip
    return Dossier(subject, text, reply, markdown, data)


@functools.cache
def _environment(templates: str) -> jinja2.Environment:
    """Return what compiles each template once: a fleet may have a thousand cases."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - plain text, which no browser reads
    )


def next_step(case: Case, of: Told, way: Way) -> str:
    """Return what comes next, and who does it, as a sentence."""
    where = of.delisting.get("url") or of.delisting.get("mail") or "the operator's own page"
    expected = f", expected by {day(case.expected)}" if case.expected else ""
    if case.state in (OPEN, GATED) or (case.state == PROVIDER_ONLY and case.closed):
        first = next(((name, gate) for name, gate in case.closed.items()), None)
        return (
            f"Do not ask yet: {first[1].why or _GATES.get(first[0], first[0]) + ' is ' + first[1].state}." if first else "Do not ask yet."
        )
    if case.state == READY:
        if lists.how(of.delisting) == "machine":
            return f"Let the host that has {case.subject} ask from it: -e approve={case.id}."
        if lists.how(of.delisting) == "mail":
            return f"Read the text and let it be sent to {where}: -e approve={case.id}."
        return f"Fill in {where} with the text of its dossier, then record it: -e submitted={case.id}."
    if case.state == PROVIDER_ONLY:
        owner = f"the owner of the network ({lists.who(of, case.codes)})"
        return f"Give the text of its dossier to {owner}, then record it: -e submitted={case.id}."
    if case.state in (SUBMITTED, WAITING) and case.submitted_at:
        return f"Wait: it was asked for on {day(case.submitted_at)}{expected}. {_AGAIN}"
    if case.state == WAITING:
        return f"The entry ends by itself, since nobody can ask{expected}. {_AGAIN}"
    if case.state in (REFUSED, EXPIRED):
        until = f" not before {day(case.not_before)}" if case.not_before else ""
        return f"Find out what the list still sees; it may be asked again{until}."
    return "Nothing: the list has not named it twice in a row." if case.state == CLEARED else "Look at it."


def _listed(case: Case, of: Told, ledger: Ledger) -> list[Statement]:
    found = [row for row in ledger.events if row["kind"] in ("opened", "relisted")]
    host = f" ({', '.join(of.hosts[:3])})" if of.hosts and of.of_address else ""
    said = []
    for row in of.rows:
        if row["outcome"] not in ("listed", "listed_unknown_code"):
            continue
        receiver = ":" in row["source"]
        codes = f" with {', '.join(row['codes'])}" if row["codes"] else ""
        means = "; ".join(row["meanings"]).rstrip(".")
        means = f": {means}" if means and receiver else f" ({means})" if means else ""
        how = "in" if not receiver else "refused because of" if _is_zone(case) else "refused by"
        text = f"{case.subject}{host} is {how} {of.name}{codes}{means}."
        said.append(Statement(text, (f"run/{ledger.document['run']['id']}/observations/{row['source']}",)))
    if not said and found:
        codes = f" with {', '.join(case.codes)}" if case.codes else ""
        said.append(Statement(f"{case.subject} was in {of.name}{codes} when it was last seen there.", (found[-1]["id"],)))
    seen = [row for row in of.rows if row["since"]]
    if seen and not case.relisted:
        rows = tuple(f"run/{ledger.document['run']['id']}/observations/{row['source']}" for row in seen)
        said.append(Statement(f"We saw it there first on {day(min(epoch(row['since']) for row in seen))}.", rows))
    for row in found:
        if row["kind"] == "relisted" or (not seen and not case.relisted):
            what = "It was listed again" if row["kind"] == "relisted" else "We saw it there first"
            said.append(Statement(f"{what} on {day(epoch(row['time']))}.", (row["id"],)))
    return said


def _ended(case: Case) -> list[Statement]:
    gate = case.gates.get("outbreak")
    return [Statement("The abuse has stopped.", (f"case/{case.id}/gates/outbreak",))] if gate and gate.state == HOLDS else []


def _happened(ledger: Ledger) -> list[Statement]:
    run, locked = f"run/{ledger.document['run']['id']}", [row["account"] for row in ledger.document["locks"]]
    # Who was let in again is locked no more: the journals say that it was.
    more = [row for row in _steps(ledger, "finish", "accounts") if not set(row["accounts"]).issubset(locked)]
    names = {*locked, *(name for row in more for name in row["accounts"])}
    if not names:
        proven = ledger.document["outbreak"]["state"] == "none"
        return [Statement("Our logs show no account that sends spam at present.", (f"{run}/outbreak",))] if proven else []
    logins = [name for name in names if kind_of(name) == "login"]
    users = [name for name in names if kind_of(name) != "login"]
    who = [f"{_count(len(logins), 'mail account')} of ours"] if logins else []
    who += [f"{_count(len(users), 'program')} on our own servers"] if users else []
    text = f"{_and(who)} {'was' if len(names) == 1 else 'were'} taken over and used to send spam."
    rows = [*(f"{run}/locks/{name}" for name in locked), *(row["id"] for row in more)]
    return [Statement(text[0].upper() + text[1:], tuple(rows))]


#: What the end of an outbreak proves, by the number of its condition.
_PROVEN = {
    2: "our logs show no mail accepted from {0}",
    4: "none of its mail is queued",
    5: "none of its sessions is open",
    7: "no other account stands out",
}


def latest(lines: t.Sequence[Row]) -> list[Row]:
    """Return the lines of the store's incident_lines() without those of an earlier break-in: an account's until its owner was let in again,
    where it was locked anew later."""
    let_in: dict[str, float] = {}
    over: dict[str, float] = {}
    for row in lines:
        for name in row["accounts"]:
            if row.get("step") == "reinstate":
                let_in[name] = row["time"]
            elif row.get("step") == "finish" and name in let_in:
                over[name] = let_in[name]
    return [row for row in lines if not row["accounts"] or any(row["time"] > over.get(name, 0.0) for name in row["accounts"])]


def _steps(ledger: Ledger, step: str, field: str) -> list[Row]:
    return [row for row in ledger.journal if row.get("step") == step and row.get(field)]


def _done(ledger: Ledger) -> list[Statement]:
    said: list[Statement] = []

    def say(text: str, rows: list[Row]) -> None:
        said.append(Statement(text, tuple(row["id"] for row in rows)))

    locked = _steps(ledger, "finish", "accounts")
    if locked:
        closed = sum(int(row.get("closed") or 0) for row in locked)
        ended = f", and ended {_count(closed, 'session')} that {'was' if closed == 1 else 'were'} open" if closed else ""
        what = "the account" if len({name for row in locked for name in row["accounts"]}) == 1 else "the accounts"
        hosts = _and(sorted({row["host"] for row in locked}))
        say(f"We locked {what} on {hosts} on {day(max(row['time'] for row in locked))}{ended}.", locked)
    for step, verb, where in (("queue held", "held back", "that were queued"), ("queue deleted", "deleted", "from the queue")):
        rows = _steps(ledger, step, "count")
        if rows:
            when = day(max(row["time"] for row in rows))
            say(f"On {when} we {verb} {_count(sum(int(row['count']) for row in rows), 'message')} {where}.", rows)
    again = _steps(ledger, "reinstate", "accounts")
    still, owners = len(ledger.document["locks"]), len({name for row in again for name in row["accounts"]})
    held = [row["number"] for row in ledger.document["outbreak"]["conditions"] if row["number"] in _PROVEN and row["state"] == HOLDS]
    if held:
        conditions = tuple(f"run/{ledger.document['run']['id']}/outbreak/{number}" for number in held)
        which = ("the account that is still locked", "the accounts that are still locked") if again else ("this account", "these accounts")
        whom = (which[0], "its") if still == 1 else (which[1], "their")
        proven = [_PROVEN[number].format(whom[0]).replace(" its ", f" {whom[1]} ") for number in held]
        said.append(Statement(f"Since then {_and(proven)}.", conditions))
    if again:
        who = f"{_count(owners, 'owner').capitalize()} {'was' if owners == 1 else 'were'}" if still or owners > 1 else "The owner was"
        say(f"{who} let in again on {day(max(row['time'] for row in again))}.", again)
    return said


def _kept(case: Case, ledger: Ledger) -> list[Statement]:
    said, run = list[Statement](), f"run/{ledger.document['run']['id']}"
    if case.gates.get("limits") and case.gates["limits"].state == HOLDS:
        rows = tuple(f"{run}/limits/{row['host']}" for row in ledger.document["limits"])
        said.append(Statement("Every account has a sending limit, and a test account that exceeded it was refused.", rows))
    for row in ledger.document["outbreak"]["conditions"]:
        if row["number"] == 8 and row["state"] == HOLDS:
            said.append(Statement("We reviewed the filters and forwards that the intruder may have left.", (f"{run}/outbreak/8",)))
    return said


def _stands(case: Case) -> list[Statement]:
    good = [name for name in _AUTHENTICATION if name in case.gates and case.gates[name].state == HOLDS]
    text = _and([_AUTHENTICATION[name] for name in good]) if good else ""
    return [Statement(f"{text[0].upper()}{text[1:]}.", tuple(f"case/{case.id}/gates/{name}" for name in good))] if good else []


def _machine(case: Case, of: Told) -> str:
    """Return the command that asks, where a list takes a request of the listed address itself."""
    if lists.how(of.delisting) != "machine":
        return ""
    try:
        version = ipaddress.ip_address(case.subject).version
    except ValueError:
        return ""
    return f"curl -{version} --interface {case.subject} {of.delisting['url']}"


def _quote(of: Told) -> str:
    """Return the list's own words, which are text from outside, on one line and without a mark that would end the quotation."""
    words = next((row["reason"] for row in of.rows if row["reason"]), "") or ""
    return " ".join("".join(letter for letter in words if letter.isprintable() or letter.isspace()).replace("`", "'").split())[:400]


def _and(words: t.Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _verb(case: Case, of: Told) -> str:
    """Return what the operator is to do: a receiver without a desk of its own refuses, and has no list that it shows."""
    return str(of.delisting.get("verb") or ("unblock" if case.list.startswith("log:") else "remove"))


def _is_zone(case: Case) -> bool:
    """Whether the case is one of a DNS list; the ids of desks have no dot."""
    return "." in case.list.partition(":")[0]


def _days(seconds: float) -> str:
    return _count(round(seconds / 3600), "hour") if seconds < 2 * 86400 else _count(round(seconds / 86400), "day")


def _count(number: int, what: str) -> str:
    words = {1: "one", 2: "two", 3: "three"}
    return f"{words.get(number, f'{number:,}')} {what}{'' if number == 1 else 's'}"


def _tidy(text: str) -> str:
    """Return the text with no two empty lines in a row, and a line's end at its end."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


def _paths(folder: str, case: Case) -> list[str]:
    name = Path(folder) / case.id.replace("/", "_").replace(":", "_")
    return [f"{name}.{end}" for end in ("json", "md", "txt")]


def write(folder: str, case: Case, dossier: Dossier, put: t.Callable[[str, str], None], as_json: t.Callable[[Row], str]) -> list[str]:
    """Write the files of a dossier and return their paths. put: writes a file whole; as_json: of the report."""
    files = dict(zip(_paths(folder, case), (as_json(dossier.data), dossier.markdown, dossier.text)))
    for path, text in files.items():
        if text:
            put(path, text)
        else:
            Path(path).unlink(missing_ok=True)  # of before, when somebody could ask
    return [path for path, text in files.items() if text]


def remove(folder: str, case: Case) -> None:
    """Take away the files of a dossier that does not hold any more."""
    for path in _paths(folder, case):
        Path(path).unlink(missing_ok=True)

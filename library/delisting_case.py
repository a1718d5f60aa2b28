#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: delisting_case
short_description: Follow each delisting to its end
description:
  - Runs on the controller, once for all hosts. Out of the findings of a run it opens a case for each address or name and each list that
    names it (tiers A to C), judges what must hold before the list is asked, and closes a case where the list did not name it twice in a
    row, by answers that can be believed. What could not be asked closes nothing.
  - It writes a dossier of each open case into O(directory) - Markdown for a person, JSON, and the text for the form. That of a case that is
    closed, or for which O(submitted) or O(refused) comes without O(findings), is taken away.
  - With O(submitted), O(refused), O(override) or O(approve) it records what a person did or decided for one case. O(approve) sends the
    request by mail, once, where the operator takes one by mail; it is in the ledger before it is sent. Where the operator takes it from
    the listed address itself, it is only written down, for M(delisting_request) to make it on the host that has the address, and
    O(outcome) records what became of it.
  - In check mode nothing is written, remembered or sent.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - jinja2
  - jsonschema
  - PyYAML
  - SQLAlchemy
options:
  state_url:
    description: The database of runs, an SQLAlchemy URL. A password in it is kept out of every message.
    type: str
    required: true
  findings:
    description: The document of a run. Without it no case is judged, and only what a person did is recorded.
    type: dict
  catalogue:
    description: C(blocklists.yml), beside which C(delisting.yml) lies.
    type: path
    required: true
  templates:
    description: The folder of the dossiers' templates.
    type: path
    required: true
  directory:
    description: The folder to write dossiers into; none are written where not set.
    type: path
  contact:
    description: Whom an operator answers, the last lines of each request.
    type: str
    default: ""
  enrolments:
    description: What the fleet signed up for, rows of C(id), C(mailbox) and C(since) (a date).
    type: list
    elements: dict
    default: []
  submitted:
    description: A person asked in this case, at the operator's form.
    type: str
  refused:
    description: The operator refused in this case.
    type: str
  override:
    description: The closed gates of this case are opened for its next request, for O(reason).
    type: str
  approve:
    description: The prepared request of this case is to be mailed now, or to be made from the listed address.
    type: str
  outcome:
    description: What became of a request that was made from the listed address; RV(request) with its new C(state) and C(detail).
    type: dict
  elsewhere:
    description: >-
      Addresses, nets and names of hosts that the run of O(findings) left out; their cases are neither judged nor returned.
    type: list
    elements: str
    default: []
  reason:
    description: Why, for O(override), for O(refused), and for O(submitted) of a case that is not ready, or whose list is silent.
    type: str
    default: ""
  by:
    description: Who did or decided it.
    type: str
    default: ""
  mail_to:
    description: Another address than the catalogue's, for O(approve).
    type: str
  relay:
    description: The relay for O(approve); C(host) and C(sender) are needed.
    type: dict
    default: {}
    suboptions:
      host:
        description: Its name or address.
        type: str
      sender:
        description: The address that an answer goes to.
        type: str
      port:
        description: Its port, 587 where not set.
        type: int
      tls:
        description: How the connection is protected, V(starttls) where not set.
        type: str
        choices: [starttls, tls, none]
      user:
        description: The login there.
        type: str
      password:
        description: Its password.
        type: str
      ca_file:
        description: The certificates that are trusted, where the system's are not.
        type: path
  retention_days:
    description: >-
      Runs, journal lines and requests' texts are deleted after so many days, but for what an open case rests on whose list said something
      within them. 0 deletes nothing.
    type: float
    default: 30.0
  export:
    description: A file to write the whole store into, as JSON and without its secrets.
    type: path
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Follow the delistings
  delisting_case:
    state_url: "{{ goodstanding_store }}"
    findings: "{{ goodstanding_document }}"
    catalogue: catalogue/blocklists.yml
    templates: roles/delisting/templates
    directory: reports/cases
    contact: Jane Doe, postmaster of example.com, postmaster@example.com
"""

RETURN = r"""
cases:
  description: Each case that is open, was closed by this run, or is the one that a person named.
  type: list
  elements: dict
  returned: success
  contains:
    case:
      description: Its name, such as V(zen.spamhaus.org/198.51.100.11).
      type: str
    subject:
      description: The address or name.
      type: str
    list:
      description: The zone, or the receiver's desk.
      type: str
    name:
      description: The list's name.
      type: str
    sources:
      description: The C(source) of the observations that it is about.
      type: list
      elements: str
    state:
      description: V(open), V(gated), V(ready), V(submitted), V(waiting), V(cleared), V(refused), V(expired), V(provider_only).
      type: str
    next:
      description: What comes next, a sentence.
      type: str
    who:
      description: Who may ask.
      type: str
    url:
      description: Where, or null.
      type: str
    opened:
      description: When, ISO 8601.
      type: str
    submitted_at:
      description: When it was asked for last, or null.
      type: str
    not_before:
      description: When it may be asked for at the earliest, or null.
      type: str
    expected:
      description: When an end is expected, or null.
      type: str
    requests:
      description: How often it was asked for.
      type: int
    relisted:
      description: How often it was listed again.
      type: int
    frozen:
      description: Why nothing is known of it at present, or null.
      type: str
    gates:
      description: Rows of C(gate), C(state) (V(holds), V(does_not), V(unknown)), C(why) and C(overridden).
      type: list
      elements: dict
    override:
      description: C(reason), C(gates) and C(at), or null.
      type: dict
    dossier:
      description: The file for a person, or null.
      type: str
    history:
      description: All that happened, rows of C(time), C(run_id), C(kind), C(why).
      type: list
      elements: dict
enrolments:
  description: A row for each enrolment, with C(state) (V(alive), V(silent), V(lapsed), V(missing), V(unknown)), C(why), C(last), C(lapses).
  type: list
  elements: dict
  returned: success
request:
  description: >-
    What became of the request of O(approve) or O(outcome) - C(case), C(how) (V(mail), V(machine)), C(state) (V(sent), V(not_sent),
    V(unknown), and V(sending) where it is yet to be made from the listed address), C(message_id), C(detail), and of the last C(number),
    C(url), C(address), C(host), C(before); null otherwise.
  type: dict
  returned: success
forgotten:
  description: How many rows were deleted because of their age.
  type: int
  returned: success
"""

import functools
import pathlib
import time
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.goodstanding.delisting import case as cases
from ..module_utils.goodstanding.delisting import enrolments, gates, lists
from ..module_utils.goodstanding.delisting.case import Case, CaseError
from ..module_utils.goodstanding.findings.ended import all_of
from ..module_utils.goodstanding.findings.times import epoch, iso
from ..module_utils.goodstanding.mail import relay as mail
from ..module_utils.goodstanding.mailauth import gates as seen_by_receivers
from ..module_utils.goodstanding.triage.fleet import kind_of

try:
    from ..module_utils.goodstanding.delisting import dossier
    from ..module_utils.goodstanding.dnsbl import catalogue
    from ..module_utils.goodstanding.report import files
    from ..module_utils.goodstanding.store import cases as ledger
    from ..module_utils.goodstanding.store import database

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

Row = dict[str, t.Any]
#: What a person says of one case, at most one of them in a call.
ACTS = ("submitted", "refused", "override", "approve")
#: How a request goes that only needs a person's yes.
APPROVED = {"mail": "by mail", "machine": "by the listed address itself"}
#: Findings of no run: nothing is known of any subject.
_NONE: Row = {"observations": [], "addresses": [], "names": [], "feeds": []}


class Past(t.NamedTuple):
    """What the ledger has of the accounts that are locked, and of those let in again. incidents: of the present locks; again: when each was
    let in (epoch); lines: of the hosts' journals."""

    incidents: set[str]
    locked: set[str]
    again: dict[str, float]
    lines: list[Row]


class Run(t.NamedTuple):
    """p: the module's parameters; desks, zones, entries: of the catalogue; now: epoch; again: accounts that were let in again, and when."""

    p: Row
    desks: list[Row]
    zones: dict[str, Row]
    entries: list[Row]
    now: float
    again: t.Mapping[str, float] = {}

    @property
    def document(self) -> Row:
        return self.p["findings"] or _NONE

    @property
    def name(self) -> str:
        """Return the name of the run for the ledger."""
        return str(self.p["findings"]["run"]["id"]) if self.p["findings"] else "-"

    @property
    def asked(self) -> cases.Asked:
        """Return when the run of the findings asked."""
        of = self.document["run"]
        return cases.Asked(epoch(of["started"]), epoch(of["asked"] or of["finished"] or of["started"]))

    def told(self, known: t.Iterable[Case]) -> dict[lists.Key, lists.Told]:
        return lists.told(self.document, self.desks, self.zones, [(case.subject, case.list, case.sources) for case in known])


def open_run(p: Row, now: float) -> Run:
    blocklists = pathlib.Path(p["catalogue"])
    zones = {row["zone"]: row for row in catalogue.read(blocklists)[0]["lists"]}
    data = catalogue.read(blocklists.with_name("delisting.yml"))[0]
    return Run(p, lists.desks(data), zones, data["enrolments"], now)


def authentication(document: Row, subject: str, of_address: bool, again: t.Iterable[str] = ()) -> dict[str, cases.Gate]:
    """Return what receivers see of a subject, and of the domains of the accounts that are locked or were let in again, by the names of
    gates.OF_ADDRESS."""
    section = document["authentication"]
    found = seen_by_receivers.of_address(section, subject) if of_address else seen_by_receivers.of_name(section, subject)
    accounts = [*(row["account"] for row in document["locks"]), *again]
    for domain in sorted({name.rpartition("@")[2] for name in accounts if kind_of(name) == "login" and "@" in name} - {subject}):
        found = found + seen_by_receivers.of_name(section, domain)
    told = {}
    for name in dict.fromkeys(row.name for row in found):
        rows = [row for row in found if row.name == name]
        state = all_of(row.state for row in rows)
        told[name] = cases.Gate(state, "; ".join(f"{row.subject}: {row.why}" for row in rows if row.state == state and row.why)[:1000])
    return told


def follow(run: Run, known: dict[str, Case]) -> dict[str, cases.Decision]:
    """Return what this run makes of each case, and of each listing that is none yet; what hosts have that it left out, it leaves alone."""
    decisions = {}
    asked = {row.get("address") or row.get("name") for row in [*run.document["addresses"], *run.document["names"]]}
    by_key = {(case.subject, case.list): case for case in known.values()}
    begun = min([case.opened for case in known.values() if case.state != cases.CLEARED], default=run.now)
    again = [name for name, time in run.again.items() if time > begun - ledger.BEFORE]

    @functools.cache
    def outside(subject: str, of_address: bool) -> dict[str, cases.Gate]:
        """Return what must hold of a subject, which many lists may name."""
        return gates.outside(run.document, of_address, authentication(run.document, subject, of_address, again), run.now)

    for key, of in run.told(known.values()).items():
        if of.seen.outcome == cases.SILENT and key[0] not in asked and lists.elsewhere(run.p["elsewhere"], key[0]):
            continue
        before = by_key.get(key)
        codes = of.seen.codes or (before.codes if before else ())
        decision = cases.look(before, *key, of.seen, lists.way(of, codes), outside(key[0], of.of_address), run.asked, run.now)
        if decision.case is not None:
            decisions[decision.case.id] = decision
    return decisions


def act(run: Run, known: dict[str, Case]) -> cases.Decision:
    """Return what a person's word makes of a case."""
    what = next(name for name in ACTS if run.p[name])
    case = known.get(run.p[what])
    if case is None:
        names = ", ".join(sorted(known)[:20]) or "none"
        raise CaseError(f"there is no case {run.p[what]}: it is named LIST/ADDRESS, and these are known: {names}")
    of = run.told([case])[case.subject, case.list]
    way, reason, by = lists.way(of, case.codes), run.p["reason"], f" (by {run.p['by']})" if run.p["by"] else ""
    if what == "refused":
        return cases.refused(case, way, reason + by, run.now)
    events: tuple[cases.Event, ...] = ()
    may_be_early = (cases.GATED, cases.REFUSED, cases.EXPIRED, cases.PROVIDER_ONLY)
    if what == "override" or (what == "submitted" and reason.strip() and case.state in may_be_early):
        opened = cases.override(case, f"{reason}{by}" if reason.strip() else "", run.now, what == "submitted")
        if what == "override":
            return opened
        case, events = t.cast(Case, opened.case), opened.events
    how = lists.how(of.delisting)
    if what == "approve" and how not in APPROVED:
        where = of.delisting.get("url") or "its own page"
        raise CaseError(f"{case.id} is not asked for by mail: go to {where}, then record it with -e submitted={case.id}")
    word = f"{APPROVED.get(how)}, approved{by}" if what == "approve" else f"a person filled in {of.delisting.get('url') or 'a form'}{by}"
    asked = cases.submit(case, way, word, run.now)
    return cases.Decision(asked.case, (*events, *asked.events))


def past(run: Run, engine: t.Any) -> Past:
    """Return what the dossiers of this run rest on beside its findings: read once, for all of them."""
    locks, again = run.document["locks"], ledger.let_in_again(engine)
    incidents, locked = {entry["incident"] for row in locks for entry in row["hosts"]}, {row["account"] for row in locks}
    return Past(incidents, locked, again, ledger.incident_lines(engine, incidents, {*locked, *again}))


def compose(run: Run, engine: t.Any, before: Past, case: Case, of: lists.Told) -> dossier.Dossier:
    """Return a case's dossier, out of the ledger."""
    events = ledger.history(engine, case.id)
    began = max([epoch(row["time"]) for row in events if row["kind"] in ("opened", "relisted")], default=case.opened)
    names = {*before.locked, *(name for name, time in before.again.items() if time > began - ledger.BEFORE)}
    lines = [row for row in before.lines if str(row.get("incident")) in before.incidents or not names.isdisjoint(row["accounts"])]
    told = dossier.Ledger(events, run.document, dossier.latest(lines))
    return dossier.compose(case, of, lists.way(of, case.codes), told, run.p["contact"], run.p["templates"])


def approve(run: Run, engine: t.Any) -> Row:
    """Mail the request of a case, which is in the ledger before it goes, and return what became of it; where the listed address itself is
    to ask, only write it down and return what it is to ask."""
    if not run.p["findings"]:
        raise CaseError("give the findings of a run that judged the case (-e findings=FILE): the request is made out of them")
    sent: list[t.Any] = []

    def claim(book: ledger.Open) -> Row:
        known = book.cases()
        if run.p["approve"] in known and run.asked.until != known[run.p["approve"]].judged:
            raise CaseError(
                "these findings did not judge the case, or are older than those that judged the case: give the newest of its hosts "
                "(-e findings=FILE)"
            )
        asked = act(run, known)
        case = t.cast(Case, asked.case)
        of = run.told([case])[case.subject, case.list]
        how = lists.how(of.delisting)
        request = {"case": case.id, "number": case.requests, "how": how, "state": ledger.SENDING, "before": ledger.as_text(known[case.id])}
        given = {}
        if how == "mail":
            relay = mail.read(run.p["relay"], "delisting_relay")
            made = compose(run, engine, past(run, engine), known[case.id], of)
            message = mail.message(relay, run.p["mail_to"] or of.delisting["mail"], made.subject, made.text, run.now)
            sent.extend([relay, message])
            given = {"message_id": str(message["Message-ID"]), "receiver": str(message["To"]), "text": made.text}
        elif not of.hosts or not of.of_address:
            raise CaseError(f"{case.id} is asked for from {case.subject} itself, and no host of the findings has it: ask by hand")
        else:
            request |= {"url": of.delisting["url"], "address": case.subject, "host": of.hosts[0]}
            given = {"receiver": of.delisting["url"]}
        book.save(case, asked.events)
        detail = "it is not known whether it went: the run ended before it said so"
        book.request(case, how, ledger.SENDING, detail, **given)
        return {"message_id": None, **given, **request, "detail": detail}

    request: Row = ledger.change(engine, run.name, run.now, claim)
    return settle(run, engine, {**request, **mail.send(*sent)._asdict()}) if sent else request


def settle(run: Run, engine: t.Any, request: Row) -> Row:
    """Write down what became of a request that was under way, and return that. request: of approve(), with its state and detail."""
    if request["state"] not in (mail.SENT, mail.NOT_SENT, mail.UNKNOWN):
        raise CaseError(f"{request['case']}: what became of its request is {request['state']!r}: it is sent, not_sent or unknown")

    def work(book: ledger.Open) -> None:
        book.settle(request["case"], request["number"], request["state"], request["detail"][:1000])
        if request["state"] == mail.NOT_SENT:
            back = cases.unsent(book.cases()[request["case"]], ledger.from_text(request["before"]), request["detail"][:1000])
            book.forget_request(request["case"], request["number"])
            book.save(t.cast(Case, back.case), back.events)

    ledger.change(engine, run.name, time.time(), work)
    return {name: request.get(name) for name in ("case", "how", "state", "message_id", "detail")}


def row(run: Run, engine: t.Any, case: Case, of: lists.Told, before: Past | None) -> Row:
    """Return what is told of a case, and write its dossier where there is a Past to make it of."""
    path = None
    if before is not None and case.state != cases.CLEARED:
        made = compose(run, engine, before, case, of)
        path = next(name for name in dossier.write(run.p["directory"], case, made, files.write, files.as_json) if name.endswith(".md"))

    def date(seconds: float | None) -> str | None:
        return iso(seconds) if seconds is not None else None

    over = case.override
    return {
        "case": case.id, "subject": case.subject, "list": case.list, "name": of.name, "sources": list(case.sources), "state": case.state,
        "who": lists.who(of, case.codes),
        "next": dossier.next_step(case, of, lists.way(of, case.codes)), "url": of.delisting.get("url"), "opened": iso(case.opened),
        "submitted_at": date(case.submitted_at), "not_before": date(case.not_before), "expected": date(case.expected),
        "requests": case.requests, "relisted": case.relisted, "frozen": case.frozen or None,
        "gates": [
            {"gate": name, **gate._asdict(), "overridden": bool(over and name in over.gates)} for name, gate in case.gates.items()
        ],
        "override": {"reason": over.reason, "gates": list(over.gates), "at": iso(over.at)} if over else None, "dossier": path,
        "history": ledger.history(engine, case.id) if engine is not None else [],
    }  # fmt: skip


def judge(run: Run, engine: t.Any, check_mode: bool) -> tuple[dict[str, Case], set[str]]:
    """Return all cases after this run, and the ids of those that it says something of."""
    acted = any(run.p[name] for name in (ACTS if check_mode else ACTS[:3]))

    def work(known: dict[str, Case]) -> tuple[dict[str, Case], dict[str, cases.Decision]]:
        decisions = follow(run, known) if run.p["findings"] else {}
        after = {**known, **{name: t.cast(Case, decision.case) for name, decision in decisions.items()}}
        if acted:
            decision = act(run, after)
            case = t.cast(Case, decision.case)
            earlier = decisions[case.id].events if case.id in decisions else ()
            decisions[case.id] = cases.Decision(case, (*earlier, *decision.events))
            after[case.id] = case
        return after, decisions

    def write(book: ledger.Open) -> tuple[dict[str, Case], dict[str, cases.Decision]]:
        after, decisions = work(book.cases())
        for name, decision in decisions.items():
            book.save(after[name], decision.events)
            if run.p["submitted"] == name:
                book.request(after[name], "form", "recorded", run.p["by"] or "by a person")
        for entry in run.entries:
            if enrolments.comes(entry, run.document):
                book.alive(entry["id"])
        return after, decisions

    if check_mode:
        after, decisions = work(ledger.load(engine) if engine is not None else {})
    else:
        after, decisions = ledger.change(engine, run.name, run.now, write)
    named = {run.p[name] for name in ACTS if run.p[name]} | ({run.p["outcome"]["case"]} if run.p["outcome"] else set())
    closed = {name for name, decision in decisions.items() if any(event.kind == "cleared" for event in decision.events)}
    left = set(after) - set(decisions) if run.p["findings"] else set()
    return after, {name for name, case in after.items() if case.state != cases.CLEARED and name not in left} | closed | named


def follow_all(p: Row, now: float, check_mode: bool) -> Row:
    """Return the module's result."""
    run = open_run(p, now)
    engine: t.Any = database.open_existing(p["state_url"]) if check_mode else database.open_store(p["state_url"])
    run = run._replace(again=ledger.let_in_again(engine) if engine is not None else {})
    seen = ledger.enrolments(engine) if engine is not None else {}
    enrolled = enrolments.rows(run.entries, p["enrolments"], run.document, seen, now)
    after, shown = judge(run, engine, check_mode)
    request = None
    if not check_mode and (p["approve"] or p["outcome"]):
        request = approve(run, engine) if p["approve"] else settle(run, engine, p["outcome"])
    if request:
        after = ledger.load(engine)
    told = run.told(after.values())
    dossiers = bool(p["directory"]) and not check_mode
    before = past(run, engine) if dossiers and p["findings"] else None
    rows = [row(run, engine, case, told[case.subject, case.list], before) for name, case in after.items() if name in shown]
    if dossiers:
        # What they say is over, or was asked for already; of a case that goes on the next findings write it anew.
        acted = () if p["findings"] else (p["submitted"], p["refused"])
        for case in after.values():
            # A desk's first answer may be answered out of it (docs/delisting.md, Microsoft).
            replied = told[case.subject, case.list].delisting.get("verb") == "mitigate"
            if case.state == cases.CLEARED or (case.id in acted and not replied):
                dossier.remove(p["directory"], case)
    forgotten = 0
    if not check_mode:
        if p["export"]:
            files.write(p["export"], files.as_json(ledger.export(engine)))
        forgotten = ledger.forget(engine, now, p["retention_days"]) if p["retention_days"] else 0
    return {"cases": rows, "enrolments": enrolled, "request": request, "forgotten": forgotten}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state_url": {"type": "str", "required": True, "no_log": True},
            "findings": {"type": "dict"},
            "catalogue": {"type": "path", "required": True},
            "templates": {"type": "path", "required": True},
            "directory": {"type": "path"},
            "contact": {"type": "str", "default": ""},
            "enrolments": {"type": "list", "elements": "dict", "default": []},
            **{name: {"type": "str"} for name in (*ACTS, "mail_to")},
            "outcome": {"type": "dict"},
            "elsewhere": {"type": "list", "elements": "str", "default": []},
            "reason": {"type": "str", "default": ""},
            "by": {"type": "str", "default": ""},
            "relay": {"type": "dict", "default": {}, "options": mail.OPTIONS},
            "retention_days": {"type": "float", "default": 30.0},
            "export": {"type": "path"},
        },
        mutually_exclusive=[(*ACTS, "outcome")],
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("jinja2, jsonschema, PyYAML and SQLAlchemy"), exception=IMPORT_ERROR)
    if module.params["retention_days"] < 0:
        module.fail_json(msg=f"retention_days is {module.params['retention_days']:g}: it is a number of days, or 0 to delete nothing")
    try:
        result = follow_all(module.params, time.time(), module.check_mode)
    except (CaseError, mail.MailError, database.StoreError, catalogue.CatalogueError, files.ReportError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=bool(result["request"] and result["request"]["state"] != mail.NOT_SENT), **result)


if __name__ == "__main__":
    main()

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store knows of one address, name, account, domain or list over time, brought together from all of its tables. Reads only."""

from __future__ import annotations

import ipaddress
import json
import typing as t

import sqlalchemy as sa

from ..findings import locks
from ..findings.history import ACCOUNT, ADDRESS, DOMAIN, LIST, Known, plain
from ..findings.times import iso
from ..triage.fleet import kind_of
from .cases import CASES, EVENTS, load
from .database import ACTIONS, RUNS, reading
from .incidents import INCIDENTS
from .journals import JOURNAL
from .observations import LISTINGS, SUBJECTS

Row = dict[str, t.Any]
#: A longer name is none.
MAX_SUBJECT = 400
#: Lines of the small steps of a lock: the line behind them says what they came to.
_STEPS = ("begun", "done", "probed", "proved")
#: The host's own line of what a run says that it did there.
_SAME = {"finish": "lock", "reinstate": "reinstate", "hold": "hold"}


class SubjectError(Exception):
    """No history can be asked for by this name."""


def of(engine: sa.Engine, text: str) -> Known:
    """Return what is known of it. SubjectError where it is no name of anything; StoreError where the store cannot be read."""
    subject = text.strip()
    if not subject or len(subject) > MAX_SUBJECT or not subject.isprintable():
        raise SubjectError("name what to tell of: an address, a name or domain, an account, or a list's zone (-e subject=198.51.100.11)")
    cases = load(engine)
    with reading(engine, "the history") as connection:
        kind, subject = _kind(connection, subject)
        found = Known(kind, subject, *_listings(connection, kind, subject), _incidents(connection, kind, subject))
        mine = {
            name: case._asdict()
            for name, case in cases.items()
            if (subject in (case.list, *case.sources) if kind == LIST else kind in (ADDRESS, DOMAIN) and case.subject == subject)
        }
        events = _events(connection, sorted(mine))
        journal = _journal(connection, kind, subject)
        told = {(row["host"], row["run_id"], _SAME.get(row["step"])) for row in journal}
        actions = [
            row
            for row in _actions(connection, kind, subject)
            if row["result"] == "failed" or (row["host"], row["run_id"], row["step"]) not in told
        ]
        by = {row.id: row.by_whom or "" for row in connection.execute(sa.select(RUNS.c.id, RUNS.c.by_whom))}
    return found._replace(cases=[_case(name, values) for name, values in mine.items()], acts=[*events, *actions, *journal], by=by)


def _kind(connection: sa.Connection, text: str) -> tuple[str, str]:
    try:
        return ADDRESS, str(ipaddress.ip_address(text))
    except ValueError:
        pass
    name = text.lower()
    source = connection.execute(
        sa.select(LISTINGS.c.source).where(sa.or_(LISTINGS.c.source == name, sa.func.lower(LISTINGS.c.list) == name)).limit(1)
    ).scalar()
    if source:
        return LIST, source
    if connection.execute(sa.select(CASES.c.id).where(CASES.c.id.startswith(f"{name}/", autoescape=True)).limit(1)).scalar():
        return LIST, name
    if "@" in name or kind_of(name) != "login":
        return ACCOUNT, text if kind_of(name) != "login" else name
    for column in (INCIDENTS.c.account, ACTIONS.c.account):
        if connection.execute(sa.select(column).where(column == name).limit(1)).scalar():
            return ACCOUNT, name
    return DOMAIN, name.rstrip(".")


def _listings(connection: sa.Connection, kind: str, subject: str) -> tuple[list[Row], dict[str, Row]]:
    """Return the listings, the oldest first, and when each of their subjects, or this one, was asked about."""
    if kind == ACCOUNT:
        return [], {}
    column = LISTINGS.c.source if kind == LIST else LISTINGS.c.subject
    query = sa.select(LISTINGS).where(column == subject).order_by(LISTINGS.c.first, LISTINGS.c.id)
    rows = [{**row, "id": f"listing/{row['id']}"} for row in connection.execute(query).mappings()]
    names = {row["subject"] for row in rows} | {subject}
    asked = {row["subject"]: dict(row) for row in connection.execute(sa.select(SUBJECTS)).mappings() if row["subject"] in names}
    return rows, asked


def _of_account(column: sa.Column[t.Any], kind: str, subject: str) -> sa.ColumnElement[bool]:
    return column == subject if kind == ACCOUNT else column.endswith(f"@{subject}", autoescape=True)


def _incidents(connection: sa.Connection, kind: str, subject: str) -> list[Row]:
    if kind not in (ACCOUNT, DOMAIN):
        return []
    query = sa.select(INCIDENTS).where(_of_account(INCIDENTS.c.account, kind, subject)).order_by(INCIDENTS.c.first, INCIDENTS.c.id)
    return [{**row, "id": f"incident/{row['id']}"} for row in connection.execute(query).mappings()]


def _actions(connection: sa.Connection, kind: str, subject: str) -> list[Row]:
    if kind not in (ACCOUNT, DOMAIN):
        return []
    query = sa.select(ACTIONS).where(_of_account(ACTIONS.c.account, kind, subject), ACTIONS.c.result != "would_change")
    first: dict[tuple[str, ...], t.Any] = {}  # findings that a later run went on with hold it again
    for row in connection.execute(query.order_by(ACTIONS.c.id)):
        first.setdefault((row.time, row.host, row.account, row.action, row.result, row.detail), row)
    return [
        {
            "id": f"action/{row.id}", "time": row.time, "host": row.host, "run_id": row.run_id, "step": row.action, "result": row.result,
            "what": f"{row.action} {row.account}: {'FAILED, ' if row.result == 'failed' else ''}{row.detail}",
        }
        for row in first.values()
    ]  # fmt: skip


def _events(connection: sa.Connection, cases: list[str]) -> list[Row]:
    rows = connection.execute(sa.select(EVENTS).where(EVENTS.c.case_id.in_(cases)).order_by(EVENTS.c.id))
    return [
        {
            "id": f"event/{row.id}", "time": row.time, "host": "", "run_id": row.run_id, "step": row.kind, "result": "",
            "what": f"case {row.case_id}: {row.kind}{f', {row.why}' if row.why else ''}",
        }
        for row in rows
    ]  # fmt: skip


def _case(name: str, values: Row) -> Row:
    times = {key: iso(values[key]) if values[key] is not None else None for key in ("opened", "submitted_at", "not_before")}
    return {"case": name, **{key: values[key] for key in ("subject", "list", "state", "requests", "relisted")}, **times}


def _journal(connection: sa.Connection, kind: str, subject: str) -> list[Row]:
    """Return the lines of the hosts' journals that say what was done to an account, or in a domain."""
    if kind not in (ACCOUNT, DOMAIN):
        return []
    # A host calls its own local user by a name without its own.
    needle = json.dumps(subject.rpartition("@")[0] if kind_of(subject) == "uid" else subject)[1:-1]
    query = sa.select(JOURNAL).where(JOURNAL.c.line.contains(needle, autoescape=True)).order_by(JOURNAL.c.time, JOURNAL.c.id)
    found = []
    for row in connection.execute(query):
        line = json.loads(row.line)
        names = line.get("accounts") if isinstance(line.get("accounts"), list) else [line.get("account")]
        mine = [name for name in map(str, names) if _is_of(name, row.host, kind, subject)] or (
            [subject] if kind == DOMAIN and line.get("domain") == subject else []
        )
        if mine and line.get("result") not in _STEPS:
            found.append(
                {
                    "id": f"journal/{row.id}", "time": iso(row.time), "host": row.host, "run_id": str(line.get("incident") or ""),
                    "step": str(line.get("step")), "result": str(line.get("result") or line.get("state") or ""), "what": _words(line, mine),
                }
            )  # fmt: skip
    return found


def _is_of(name: str, host: str, kind: str, subject: str) -> bool:
    return name == locks.name_on(subject, host) if kind == ACCOUNT else name.endswith(f"@{subject}")


def _words(line: Row, names: list[str]) -> str:
    """Return what a line of a journal says, in few words; it comes from a host."""
    step, who = plain(line.get("step"), 40), ", ".join(plain(name, 100) for name in names[:3])
    more = [
        f"{key} {plain(line[key], 200)}" for key in ("selector", "place", "count", "closed", "reason", "fault", "faults") if line.get(key)
    ]
    result = plain(line.get("result") or line.get("state"), 20)
    verb = {"finish": "locked", "reinstate": "let in again", "dkim": "DKIM key"}.get(step, step)
    return f"{verb}{f' {result}' if result else ''} {who}{f' ({chr(59).join(more)})' if more else ''}".replace(";", "; ")

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run's document adds to the incidents: each break-in of an account, from its first sight until the owner was let in again.

Only what is known begins or ends anything. Times are ISO 8601 in UTC and of what happened (when the run began to look, when a host was
locked, when the account was let in again), so that an old document that is written late changes nothing.
"""

from __future__ import annotations

import typing as t

from .times import epoch, iso

Document = dict[str, t.Any]
#: An account that was not locked and was not named for so many seconds was broken into anew.
QUIET = 7 * 86400.0
#: For so many seconds after a reinstatement the logs still show what was before it.
ECHO = 86400.0


class Incident(t.NamedTuple):
    """number: the how many-th of this account; first, last: when runs named it, or saw it locked; locked: on the first host; ended: when
    its outbreak was first proven to have ended. Each with the run that says so; None where it has not happened, or nobody knows."""

    account: str
    number: int
    first: str
    first_run: str
    last: str
    last_run: str
    locked: str | None = None
    locked_run: str | None = None
    ended: str | None = None
    ended_run: str | None = None
    reinstated: str | None = None
    reinstated_run: str | None = None


def accounts(document: Document) -> set[str]:
    """Return the accounts that a document may say something of."""
    return {row["account"] for row in (*document["accounts"], *document["locks"])}


def after(known: t.Mapping[str, Incident], document: Document, proven: float | None) -> list[Incident]:
    """Return the incidents that are new or changed. known: of each of accounts() the newest; proven: when the hosts were asked for their
    locks, and whether the outbreak had ended was judged (epoch); None where this stage did neither."""
    run, changed = document["run"], {}
    locks = {row["account"]: min(row["hosts"], key=lambda entry: str(entry["locked_at"])) for row in document["locks"]}
    verdicts = {row["account"]: row["verdict"] for row in document["accounts"]}
    for account in sorted(accounts(document)):
        before = incident = known.get(account)
        if verdicts.get(account) == "compromised":
            incident = _named(account, incident, run["started"], run["id"])
        if account in locks:
            incident = _locked(account, incident, locks[account], run["id"], iso(proven) if proven is not None else None)
        if incident is not None and account in locks and proven is not None and document["outbreak"]["state"] == "ended":
            incident = _ended(incident, iso(proven), run["id"])
        if incident is not None and verdicts.get(account) == "reinstated":
            incident = _reinstated(incident, document)
        if incident is not None and incident != before:
            changed[account] = incident
    return list(changed.values())


def _new(account: str, before: Incident | None, at: str, run: str) -> Incident:
    return Incident(account, before.number + 1 if before else 1, at, run, at, run)


def _named(account: str, before: Incident | None, at: str, run: str) -> Incident:
    if before is None:
        return _new(account, before, at, run)
    if before.reinstated is not None:
        return _new(account, before, at, run) if epoch(at) > epoch(before.reinstated) + ECHO else before
    if before.locked is None and epoch(at) > epoch(before.last) + QUIET:
        return _new(account, before, at, run)
    return before._replace(last=at, last_run=run) if at > before.last else before


def _locked(account: str, before: Incident | None, lock: dict[str, t.Any], run: str, seen: str | None) -> Incident:
    at, by = lock["locked_at"], lock["incident"] or run
    if before is None or (before.reinstated is not None and at > before.reinstated):
        before = _new(account, before, at, by)
    if before.reinstated is not None:
        return before
    if before.locked is None:
        before = before._replace(locked=at, locked_run=by, first=min(at, before.first))
    return before._replace(last=seen, last_run=run) if seen is not None and seen > before.last else before


def _ended(incident: Incident, at: str, run: str) -> Incident:
    open_ = incident.locked is not None and incident.ended is None and incident.reinstated is None
    return incident._replace(ended=at, ended_run=run) if open_ else incident


def _reinstated(incident: Incident, document: Document) -> Incident:
    row = next(row for row in document["accounts"] if row["account"] == incident.account)
    times = [act["time"] for act in document["actions"] if act["account"] == incident.account and act["action"] == "reinstate"]
    if row["state"] != "reinstated" or not times or incident.reinstated is not None or max(times) < incident.first:
        return incident
    return incident._replace(reinstated=max(times), reinstated_run=document["run"]["id"])

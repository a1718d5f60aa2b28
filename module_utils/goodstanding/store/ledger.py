# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stage of a run writes into the store: the run, what the sources said, the incidents, the hosts' journals. All of it or nothing."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa

from ..delisting.case import CLOCK_SLACK
from ..findings.observations import Refused
from ..findings.times import epoch
from . import database, incidents, journals, observations
from .database import StoreError, reason


class Stage(t.NamedTuple):
    """document: of the run, as it is after this stage; now: when it is written; asked: when the sources were asked, None where this stage
    did not; refused: of refused_domains(), of those that refuse now; proven: when the hosts were asked for their locks, None where they
    were not; journals: per host its new lines; by: who started the run. Times are seconds since 1970."""

    document: dict[str, t.Any]
    now: float
    asked: float | None = None
    refused: Refused = {}
    proven: float | None = None
    journals: dict[str, list[dict[str, t.Any]]] = {}
    by: str = ""


def record(engine: sa.Engine, stage: Stage) -> list[str]:
    """Write a stage, in the transaction of one writer. Return what a person has to be told of it; StoreError where nothing was written."""
    try:
        with database.writing(engine) as connection:
            database.put_run(connection, stage.document, stage.by)
            journals.put(connection, stage.journals)
            ahead = _ahead(connection) - stage.now
            if ahead > CLOCK_SLACK:
                return [
                    f"the clock was set back by {ahead:.0f} seconds, as the store has it: this run and the journals are kept, and nothing "
                    "of it was written into the history of listings and incidents. Set the clock right and run again (docs/ledger.md)"
                ]
            incidents.put(connection, stage.document, stage.proven)
            late = observations.put(connection, stage.document, stage.asked, stage.refused) if stage.asked is not None else []
    except sa.exc.SQLAlchemyError as exc:
        raise StoreError(f"the run {stage.document['run']['id']} cannot be stored, and nothing of it was: {reason(exc)}") from None
    if not late:
        return []
    names = ", ".join(late[:5]) + (" …" if len(late) > 5 else "")
    return [f"a run that asked later was faster: what this one heard of {len(late)} addresses and names is not in their history ({names})"]


def _ahead(connection: sa.Connection) -> float:
    """Return when a run asked last, by the controller's clock (epoch); 0 where none did."""
    time = connection.execute(sa.select(sa.func.max(observations.SUBJECTS.c.last))).scalar()
    return epoch(time) if time else 0.0

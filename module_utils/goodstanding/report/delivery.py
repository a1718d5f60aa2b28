# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report by mail, once: the summary as its text, and the page attached."""

from __future__ import annotations

import email.message
import hashlib
import json
import typing as t

from ..mail import relay
from ..store import mails
from ..store.database import StoreError
from . import verdict

Document = dict[str, t.Any]

#: A page of more bytes is not attached; in base64 it is a third larger, and many servers take 10 MB.
MAX_PAGE = 5_000_000
#: When a report is mailed: at each run, or at each that is not clean.
WHEN = ("always", "findings")
EARLIER = "earlier"
#: What a run is called, how it was told to go on and what follows from the rest make no other report.
_RUN = ("started", "inventory")


class Letter(t.NamedTuple):
    """report: what tells this report to this receiver from each other one (a digest)."""

    report: str
    message: email.message.EmailMessage


def is_due(document: Document, when: str) -> bool:
    return when == "always" or document["run"]["status"] != "clean"


def write(document: Document, told: Document, text: str, page: str, place: str, receiver: str, of: relay.Relay, now: float) -> Letter:
    """Return the letter. told: the document as the receiver may read it, of which text (the summary) and page are; place: where the report
    lies. MailError where receiver is no mail address."""
    run = document["run"]
    said = {name: value for name, value in document.items() if name not in ("run", "open_points", "schema_version")}
    same = json.dumps([said, [run[name] for name in _RUN], relay.checked(receiver, "report_mail_to").lower()], sort_keys=True)
    report = hashlib.sha256(same.encode("utf-8", "surrogatepass")).hexdigest()
    when = "".join(char for char in run["started"] if char.isdigit())[:14]
    message_id = f"<report.{when}.{report[:20]}@{of.sender.rpartition('@')[2]}>"
    data = page.encode("utf-8", "replace")
    attached = len(data) <= MAX_PAGE
    where = "The page is attached" if attached else f"The page has {len(data) / 1e6:.1f} MB and is not attached"
    subject = f"Good Standing: {verdict.NAMES[told['run']['status']]}: {verdict.sentence(told)}"
    message = relay.message(of, receiver, subject, f"{text}\n{where}; on the controller it is {place}\n", now, message_id, automatic=True)
    if attached:
        message.add_attachment(data.decode(), subtype="html", cte="base64", filename=f"report-{run['id']}.html")
    return Letter(report, message)


def deliver(engine: t.Any, letter: Letter, run_id: str, of: relay.Relay, now: float) -> relay.Outcome:
    """Send a letter that was not sent before. The state is SENT, NOT_SENT, UNKNOWN (it may have gone, and is not sent again) or EARLIER."""
    message_id = str(letter.message["Message-ID"])
    known = mails.claim(engine, letter.report, run_id, message_id, now)
    if known is not None:
        if known.state == relay.SENT:
            return relay.Outcome(EARLIER, f"this report was mailed {known.time[:19]}Z: {known.detail}")
        why = known.detail or "a run ended before it said whether it went"
        return relay.Outcome(relay.UNKNOWN, f"{why} ({known.time[:19]}Z)")
    outcome = relay.send(of, letter.message)
    if outcome.state == relay.NOT_SENT:
        mails.release(engine, letter.report)
        return outcome
    try:
        mails.settle(engine, letter.report, outcome.state, outcome.detail)
    except StoreError as exc:  # that it went is to be told all the same
        return outcome._replace(detail=f"{outcome.detail}; {exc}"[:500])
    return outcome

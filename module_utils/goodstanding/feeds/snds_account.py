# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One enrolment at SNDS: all that its links, its files and the REST interface say in a run, each source for itself."""

from __future__ import annotations

import datetime
import functools
import os
import typing as t
from pathlib import Path

from ..store.database import StoreError
from . import snds
from .snds_access import MAX_BYTES, AccessError, Api, Http, from_link

RENEW = f"Make a new link under automated data access, and put it into the inventory: {snds.PORTAL}"
#: A file that is older says nothing of today.
FILE_DAYS = 7
Parser = t.Callable[[str], snds.Parsed]


class Enrolment(t.NamedTuple):
    """name: the account's; links and files: '' where there is none; made: when the links were."""

    name: str
    data_url: str = ""
    status_url: str = ""
    data_file: str = ""
    status_file: str = ""
    made: datetime.date | None = None


class Collected:
    """sources: what became of each; addresses: newest row of each; ranges: what the status feeds say; each with its account."""

    def __init__(self) -> None:
        self.sources: list[snds.Row] = []
        self.addresses: list[snds.Row] = []
        self.ranges: list[snds.Row] = []

    def take(self, account: str, source: str, ask: t.Callable[[], tuple[list[snds.Parsed], str, str | None]]) -> None:
        """ask returns what was parsed, the state and why; it may raise AccessError or SndsError."""
        parsed: list[snds.Parsed] = []
        repair = None
        try:
            parsed, state, why = ask()
            repair = RENEW if why and source.endswith("link") else "Download it anew." if state == "expired" else None
        except AccessError as exc:
            state, why, repair = exc.state, exc.why, exc.repair
        except StoreError as exc:
            state, why, repair = "failed", str(exc), "Give the passphrase of the first sign-in, or sign in again."
        except snds.SndsError as exc:
            state, why, repair = "unreadable", str(exc), RENEW if source.endswith("link") else "Give a file as SNDS offers it."
        rows = [row for each in parsed for row in each.rows]
        self.sources.append(
            {
                "account": account,
                "source": source,
                "state": state,
                "why": why,
                "repair": repair,
                "rows": len(rows),
                "bad_rows": sum(each.bad for each in parsed),
                "unreadable": [{"row": number, "reason": reason} for each in parsed for number, reason in each.unreadable][
                    : snds.MAX_UNREADABLE
                ],
            }
        )
        if source.startswith("status"):
            self.ranges += [{"account": account, **row} for row in rows]
        else:
            self.addresses += [{"account": account, **row} for row in snds.newest(rows)]


def read(
    into: Collected, enrolment: Enrolment, http: Http, links: dict[str, snds.Link], today: datetime.date, days: int
) -> dict[str, snds.Link]:
    """Read an enrolment's links and files. links: what is known of data and status; returns what is known now."""
    learned = {}
    for source, url, parse, asked in (
        ("data", enrolment.data_url, snds.parse_data, days),
        ("status", enrolment.status_url, snds.parse_status, 0),
    ):
        if url:
            known = links.get(source, snds.Link(today))._replace(made=enrolment.made)
            link = _Link(http, url, parse, known, today, asked)
            into.take(enrolment.name, f"{source} link", link.ask)
            learned[source] = link.known
    for source, path, parse in (("data", enrolment.data_file, snds.parse_data), ("status", enrolment.status_file, snds.parse_status)):
        if path:
            into.take(enrolment.name, f"{source} file", functools.partial(_from_file, path, parse, today))
    return learned


class _Link:
    """A link that is asked for the latest day and for some days before."""

    def __init__(self, http: Http, url: str, parse: Parser, known: snds.Link, today: datetime.date, days: int) -> None:
        self.http, self.url, self.parse, self.known, self.today, self.days = http, url, parse, known, today, days

    def ask(self) -> tuple[list[snds.Parsed], str, str | None]:
        parsed: list[snds.Parsed] = []
        answered: set[datetime.date] = set()
        for back in range(self.days + 1):
            day = self.today - datetime.timedelta(back) if back else None
            text = from_link(self.http, self.url, day)
            if text is None:
                continue
            parsed.append(self.parse(text))
            answered |= _days(parsed[-1], self.today) or {day or self.today - datetime.timedelta(snds.LAG_DAYS)}
        self.known = snds.learn(self.known, answered)
        return parsed, *snds.judge(self.known, bool(answered), self.today)


def _days(parsed: snds.Parsed, today: datetime.date) -> set[datetime.date]:
    """Return the days that data is about; a day of the future says nothing."""
    days = {datetime.date.fromisoformat(row["start"][:10]) for row in parsed.rows if row.get("start")}
    return {day for day in days if day <= today}


def read_api(into: Collected, account: str, api: Api, today: datetime.date, days: int) -> None:
    """Ask the REST interface for some days, and for the status."""

    def data() -> tuple[list[snds.Parsed], str, str | None]:
        texts = [api.data(today - datetime.timedelta(back)) for back in range(1, days + 1)]
        parsed = [snds.parse_data(text) for text in texts if text is not None]
        return parsed, *(("current", None) if parsed else ("no_data", "no address had enough traffic; that is not clean"))

    def status() -> tuple[list[snds.Parsed], str, str | None]:
        text = api.status()
        return ([snds.parse_status(text)], "current", None) if text is not None else ([], "no_data", "the status feed answers nothing")

    into.take(account, "data api", data)
    into.take(account, "status api", status)


def _from_file(path: str, parse: Parser, today: datetime.date) -> tuple[list[snds.Parsed], str, str | None]:
    """Return a file's rows; nothing of one that says what was, not what is: its data ends, or it was written, FILE_DAYS ago or longer."""
    text, written = _text(path)
    parsed = parse(text)
    newest = max(_days(parsed, today), default=written)
    age = (today - newest).days
    if age > FILE_DAYS:
        return [], "expired", f"the file {path} is of {newest.isoformat()}, {age} days ago"
    return [parsed], "current", None


def _text(path: str) -> tuple[str, datetime.date]:
    """Return a file's text, and the day on which it was written."""
    try:
        with Path(path).open("rb") as file:
            written = datetime.datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, datetime.timezone.utc).date()
            data = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise AccessError(f"the file {path} cannot be read ({exc.strerror})", "Put the file there, or name another.") from exc
    if len(data) > MAX_BYTES:
        raise AccessError(f"the file {path} is larger than {MAX_BYTES} bytes", "Give a file as SNDS offers it.")
    return data.decode("utf-8-sig", "replace"), written

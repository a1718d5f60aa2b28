# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of an address, name, account, domain or list: since when, how often, who acted, what changed, as rows and as text."""

from __future__ import annotations

import typing as t

from .times import epoch

Row = dict[str, t.Any]
ADDRESS, DOMAIN, ACCOUNT, LIST = "address", "domain", "account", "list"
#: The text has so many lines of listings, and of changes.
MOST_LINES = 40


class Known(t.NamedTuple):
    """What the store has. listings, incidents: rows of its tables; asked: per subject from when to when it was asked about; cases: rows of
    case, subject, list, state; acts: rows of id, time, host, run_id, step, result, what; by: who started each run."""

    kind: str
    subject: str
    listings: list[Row]
    asked: dict[str, Row]
    incidents: list[Row]
    cases: list[Row] = []
    acts: list[Row] = []
    by: dict[str, str] = {}


def plain(text: t.Any, most: int = 300) -> str:
    """Return text from outside on one line, without what a terminal would obey."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(text or "")[: 4 * most]).split())[:most]


def tell(known: Known, now: float, most: int) -> Row:
    """Return the answer: kind, subject, known, state, since, times, listings, incidents, cases, changes (the newest so many, the oldest
    first), left_out and text (lines)."""
    changes = sorted(_changes(known), key=lambda row: (row["time"], row["id"]))
    kept = changes[-most:]
    going = [row for row in known.listings if row["ended"] is None]
    open_ = [row for row in known.incidents if row["reinstated"] is None]
    asked = known.asked.get(known.subject)
    of_account = known.kind == ACCOUNT
    rows = known.incidents if of_account else known.listings
    if of_account:
        state = "nothing" if not rows else "reinstated" if not open_ else "locked" if open_[-1]["locked"] else "open"
    else:
        state = "listed" if any(_is_fresh(known, row) for row in going) else "unknown" if going else "clean" if rows or asked else "nothing"
    told = bool(rows or asked or known.incidents or known.cases or changes)
    current = open_ if of_account else going
    answer = {
        "kind": known.kind, "subject": known.subject, "known": told, "state": state,
        "since": min((row["first"] if of_account else row["since"] for row in current), default=None),
        "times": len(rows) if of_account else _times(known.listings),
        "listings": known.listings, "incidents": known.incidents, "cases": known.cases, "changes": kept,
        "left_out": len(changes) - len(kept),
    }  # fmt: skip
    return {**answer, "text": _text(known, answer, asked, now)}


def _is_fresh(known: Known, listing: Row) -> bool:
    """Whether the newest answers still name it; else its list said nothing that can be believed since."""
    return listing["last"] >= known.asked.get(listing["subject"], listing)["last"] and listing["outcome"] != "suspected"


def _times(listings: list[Row]) -> int:
    """Return how often a list began to name a subject: a code that changes in between is no new listing."""
    count, ends = 0, dict[tuple[str, str], str]()
    for row in listings:
        pair = (row["subject"], row["source"])
        count += pair not in ends or row["first"] > ends[pair]
        ends[pair] = max(ends.get(pair, ""), row["ended"] or "9")
    return count


def _changes(known: Known) -> t.Iterator[Row]:
    def row(of: Row, point: str, what: str) -> Row:
        run = of.get(f"{point}_run") or ""
        return {"id": of["id"], "time": of[point], "host": "", "run_id": run, "who": known.by.get(run, ""), "what": plain(what)}

    for of in known.listings:
        name = f"{of['source']} names {of['subject']}{' with ' + of['code'] if of['code'] else ''}"
        yield row(of, "first", f"{name} ({of['outcome']})")
        if of["ended"]:
            yield row(of, "ended", f"{name} no more")
    for of in known.incidents:
        for point, words in _POINTS.items():
            if of[point]:
                yield row(of, point, f"{of['account']} {words}")
    for act in known.acts:
        names = ("id", "time", "host", "run_id")
        yield {**{name: act[name] for name in names}, "who": known.by.get(act["run_id"], ""), "what": plain(act["what"])}


_POINTS = {
    "first": "was found broken into",
    "locked": "was locked",
    "ended": "does no more harm: its outbreak has ended",
    "reinstated": "was let in again",
}


def _text(known: Known, answer: Row, asked: Row | None, now: float) -> list[str]:
    name = plain(known.subject)
    if not answer["known"]:
        return [f"The ledger knows nothing of {name}. It tells of addresses, names and domains, accounts, and lists by their zone."]
    lines = [_first(known, answer, name)]
    if asked:
        lines.append(f"Asked about from {_day(asked['first'])} to {_day(asked['last'])}.")
    for row in known.listings[-MOST_LINES:]:
        lines.append(_listing(known, row, now))
    for row in known.incidents[-MOST_LINES:]:
        points = [f"{words} {_day(row[point])}" for point, words in _SHORT.items() if row[point]]
        lines.append(f"  incident {row['number']} of {plain(row['account'])}: {', '.join(points)}, last seen {_day(row['last'])}")
    for row in known.cases:
        asked_for = f"asked for {row['requests']} times" if row["requests"] else "not asked for"
        lines.append(f"  case {plain(row['case'])}: {row['state']}, opened {_day(row['opened'])}, {asked_for}")
    shown = answer["changes"][-MOST_LINES:]
    if shown:
        left = answer["left_out"] + len(answer["changes"]) - len(shown)
        lines.append(f"What changed{f' ({left} older changes are not shown)' if left else ''}:")
    for row in shown:
        where = f"{plain(row['host'])}: " if row["host"] else ""
        run = f" [{plain(row['run_id'], 64)}{', ' + plain(row['who'], 64) if row['who'] else ''}]" if row["run_id"] else ""
        lines.append(f"  {_day(row['time'])}  {where}{row['what']}{run}")
    return lines


_SHORT = {"first": "first seen", "locked": "locked", "ended": "outbreak ended", "reinstated": "let in again"}


def _first(known: Known, answer: Row, name: str) -> str:
    often = f"{answer['times']} time{'' if answer['times'] == 1 else 's'}"
    if known.kind == ACCOUNT:
        if not known.incidents:
            return f"{name}: no break-in is known."
        state = {"locked": "locked now", "open": "not locked", "reinstated": "let in again"}[answer["state"]]
        return f"{name}: broken into {often} since {_day(known.incidents[0]['first'])}; {state}."
    if not known.listings:
        return f"{name}: no source named it."
    begun = f"{often} since {_day(known.listings[0]['since'])}"
    going = {row["subject"] for row in known.listings if row["ended"] is None}
    if known.kind == LIST:
        return f"{name} ({plain(known.listings[-1]['list'])}): names {len(going)} of ours now; it began to name one {begun}."
    state = {
        "listed": f"listed since {_day(answer['since'])}" if answer["since"] else "",
        "unknown": "whether it is listed now is not known",
        "clean": "not listed now",
    }[answer["state"]]
    return f"{name}: {state}; a source began to name it {begun}."


def _listing(known: Known, row: Row, now: float) -> str:
    what = f"  {row['subject'] if known.kind == LIST else row['source']} {row['code']}".rstrip()
    if row["ended"]:
        return f"{plain(what)}: {_day(row['since'])} to {_day(row['ended'])} ({span(epoch(row['ended']) - epoch(row['since']))})"
    going = f"since {_day(row['since'])} ({span(now - epoch(row['since']))})"
    if row["outcome"] == "suspected":
        return f"{plain(what)}: {going}, a suspected fault of the resolver or the list"
    return f"{plain(what)}: {going}" + ("" if _is_fresh(known, row) else f"; nothing that can be believed since {_day(row['last'])}")


def _day(time: str) -> str:
    return f"{time[:10]} {time[11:16]}Z"


def span(seconds: float) -> str:
    """Return a length of time for a person, such as 3 days."""
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {name}{'' if number == 1 else 's'}"
    return "less than a minute"

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbreak on a line of time (how much there was by the hour is activity.py's): what the document knows the time of, by
host, as places on a plot (in percent of its width).

Lines of evidence are a sample of the log, a few of each kind: the plot shows when, not how much.
"""

from __future__ import annotations

import datetime
import re
import typing as t

from ..findings.times import epoch, iso

Row = dict[str, t.Any]
Document = dict[str, t.Any]

#: Kinds of marks in the order of their rows, with their names. The kinds of evidence are those of mail_log_info.
KINDS = {
    "failed": "login failed",
    "client": "message sent",
    "unknown": "recipient unknown",
    "refusal": "refused for reputation",
    "listed": "listed",
    "held": "held",
    "limit": "limit met",
    "lock": "locked",
    "refused": "refused by the lock",
    "accepted_since": "accepted after the lock",
}
MAX_HOSTS = 12
MAX_ROWS = 500
#: The plot reaches back so far at most, in seconds: what is older is in the table.
_SPAN = 7 * 86400
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)(?=\s)")


def time_of(line: str) -> float | None:
    """Return when a line of a log was written (epoch); None where it bears no time with its zone."""
    found = _TIME.match(line)
    try:
        return datetime.datetime.fromisoformat(found[0]).timestamp() if found else None
    except (ValueError, OverflowError):
        return None


def build(document: Document) -> Row | None:
    """Return lanes (host, log, marks), ticks, height and the rows of the table; None where nothing has a time worth a plot."""
    events = sorted(_events(document), key=lambda event: (event["time"], event["host"]))
    end = max([event["time"] for event in events] + [epoch(document["run"]["finished"] or document["run"]["started"])])
    shown = [event for event in events if event["time"] >= end - _SPAN]
    if not any(event["kind"] not in ("listed", "limit") for event in shown):
        return None
    begin = min(event["time"] for event in shown)
    margin = max((end - begin) * 0.04, 5)
    begin, end = begin - margin, end + margin

    def place(time: float) -> float:
        return round(100 * (time - begin) / (end - begin), 2)

    busy: dict[str, int] = {}
    for event in shown:
        busy[event["host"]] = busy.get(event["host"], 0) + 1
    hosts = sorted(sorted(busy, key=lambda host: -busy[host])[:MAX_HOSTS])
    lanes, top = [], 0
    for host in hosts:
        own = [event for event in shown if event["host"] == host]
        kinds = [kind for kind in KINDS if kind != "lock" and any(event["kind"] == kind for event in own)]
        marks = [
            {"kind": event["kind"], "x": place(event["time"]), "y": top + 40 + 18 * kinds.index(event["kind"])}
            for event in own if event["kind"] != "lock"
        ]  # fmt: skip
        height = 34 + 18 * max(len(kinds), 1)
        locked = sorted({place(event["time"]) for event in own if event["kind"] == "lock"})
        log = next((row["log"] for row in document["hosts"] if row["host"] == host), None)
        span = None
        if log and log["first"] and log["last"]:
            first, last = (min(max(place(epoch(log[name])), 0), 100) for name in ("first", "last"))
            span = {"x": first, "width": round(last - first, 2), "complete": log["complete"]}
        lanes.append({"host": host, "top": top, "height": height, "log": span, "marks": marks, "locked": locked})
        top += height + 10
    return {
        "lanes": lanes,
        "height": top,
        "ticks": ticks(begin, end, place),
        "day": iso(begin)[:10] if iso(begin)[:10] == iso(end)[:10] else f"{iso(begin)[:10]} to {iso(end)[:10]}",
        "kinds": [(kind, name) for kind, name in KINDS.items() if any(event["kind"] == kind for event in shown)],
        "rows": [{**event, "name": KINDS[event["kind"]], "at": iso(event["time"])[:19].replace("T", " ")} for event in events[:MAX_ROWS]],
        "more": max(len(events) - MAX_ROWS, 0),
        "older": len(events) - len(shown),
        "other_hosts": len(busy) - len(hosts),
    }


def _events(document: Document) -> t.Iterator[Row]:
    for row in document["accounts"]:
        for line in row["evidence"]:
            time = time_of(line["line"])
            if time is not None and line.get("kind") in KINDS:
                yield {"time": time, "host": line["host"], "kind": line["kind"], "text": row["account"]}
    told = set()
    for row in [*document["locks"], *document["accounts"]]:
        for entry in row["hosts"]:
            key = (row["account"], entry["host"])
            if entry["locked_at"] and key not in told:
                told.add(key)
                yield {"time": epoch(entry["locked_at"]), "host": entry["host"], "kind": "lock", "text": row["account"]}
    for row in document["observations"]:
        if row["since"] and row["outcome"] == "listed" and row["kind"] == "block" and row["tier"] in ("A", "B") and not row["suspected"]:
            for host in row["hosts"]:
                yield {"time": epoch(row["since"]), "host": host, "kind": "listed", "text": f"{row['subject']} in {row['list']}"}
    for row in document["limits"]:
        for met in row["met"]:
            yield {"time": epoch(met["first"]), "host": row["host"], "kind": "limit", "text": f"{met['scope']} {met['key']}"}


def ticks(begin: float, end: float, place: t.Callable[[float], float]) -> list[Row]:
    """Return about six times that a clock shows; every other one may be left out on a narrow page."""
    days = max(1, round((end - begin) / 6 / 86400)) * 86400
    step = next((step for step in _STEPS if (end - begin) / step <= 7), days)
    first = int(begin // step + 1) * step
    form = slice(5, 10) if step >= 86400 else slice(11, 16) if step >= 60 else slice(11, 19)
    times = range(first, int(end) + 1, step)
    return [{"x": place(time), "text": iso(time)[form], "minor": bool(number % 2)} for number, time in enumerate(times)]

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages and failed logins by the hour as a picture: one small row a host, with its locks and what was accepted last.

Bars are paths in a box of WIDE by TALL (messages, upwards) or by LOW (failed logins, downwards); all else is in percent of the width.
"""

from __future__ import annotations

import typing as t

from ..findings.times import epoch, iso
from .timeline import ticks
from .verdict import count

Row = dict[str, t.Any]
Document = dict[str, t.Any]

WIDE, TALL, LOW = 1000, 40, 18
#: What is there is seen: the least width and height of a bar.
_LEAST_WIDTH, _LEAST_HEIGHT = 4, 1
#: The axis goes on for so much of its length, so that a lock at the end of the run does not stand on the edge.
_MARGIN = 0.05
MAX_ROWS = 500


class Axis(t.NamedTuple):
    """The steps that the numbers are of, and where a time stands; end: of what is known (epoch)."""

    begin: float
    step: int
    end: float

    def place(self, time: float) -> float:
        """Return where a time stands, in percent."""
        return round(min(max(100 * (time - self.begin) / ((self.end - self.begin) * (1 + _MARGIN)), 0), 100), 2)

    def bars(self, numbers: list[int], most: int, height: int, under: list[int] | None = None, until: float | None = None) -> str:
        """Return the bars of numbers as a path that stands on under, and hangs down where height is negative. until: nothing was after."""
        path = []
        for place, number in enumerate(numbers):
            if number:
                left = self.begin + place * self.step
                right = min(left + self.step, self.end, until if until is not None and until > left else self.end)
                x, width = (round(WIDE / 100 * each) for each in (self.place(left), self.place(right) - self.place(left)))
                tall = max(round(abs(height) * number / most), _LEAST_HEIGHT)
                base = max(round(height * under[place] / most), _LEAST_HEIGHT) if under and under[place] else 0
                y = 0 if height < 0 else height - base - min(tall, height - base)
                path.append(f"M{x} {y}h{max(width, _LEAST_WIDTH)}v{min(tall, abs(height) - base)}H{x}z")
        return "".join(path)


def build(document: Document) -> Row | None:
    """Return rows, ticks and the rows of the table; None where no account stands out or is locked, or no log was read."""
    activity = document["activity"]
    if activity["begin"] is None or not (document["accounts"] or document["locks"]):
        return None
    found = activity["hosts"] + ([activity["others"]] if activity["others"] else [])
    begin, step = epoch(activity["begin"]), activity["step"]
    asked = epoch(document["run"]["finished"] or document["run"]["started"])
    end = begin + step * len(found[0]["messages"])
    axis = Axis(begin, step, min(max(asked, end - step + 1), end))
    # Hosts are compared with each other; all others together would make each of them small.
    most = [max([number for row in activity["hosts"] for number in row[name]], default=1) or 1 for name in ("messages", "failed_logins")]
    rows = []
    for row in found:
        host = row.get("host")
        tops = most if host else [max(row[name]) or 1 for name in ("messages", "failed_logins")]
        last = epoch(row["last_accepted"]) if row.get("last_accepted") else None
        plain = [max(messages - named, 0) for messages, named in zip(row["messages"], row["named"])]
        locks = _locks(document, host)
        rows.append({
            "name": host or f"{row['hosts']:,} other hosts together",
            "plain": axis.bars(plain, tops[0], TALL), "named": axis.bars(row["named"], tops[0], TALL, plain, last),
            "failed": axis.bars(row["failed_logins"], tops[1], -LOW),
            "last": axis.place(last) if last is not None and last >= begin else None,
            "locked": sorted({axis.place(time) for time, _ in locks}),
            "after": _after([accepted for _, accepted in locks]) if locks else None,
            "words": _words(row, last, locks, step),
        })  # fmt: skip
    table = [
        {"at": iso(begin + place * step)[:16].replace("T", " "), "name": drawn["name"],
         **{name: row[name][place] for name in ("messages", "named", "failed_logins")}}
        for drawn, row in zip(rows, found) for place in range(len(row["messages"])) if row["messages"][place] or row["failed_logins"][place]
    ]  # fmt: skip
    until = axis.end + (axis.end - begin) * _MARGIN
    return {
        "rows": rows, "ticks": ticks(begin, until, axis.place), "step": "hour" if step == 3600 else f"{step // 3600} hours",
        "day": f"{iso(begin)[:16].replace('T', ' ')} to {iso(axis.end)[:16].replace('T', ' ')}", "unread": activity["unread"],
        "table": table[:MAX_ROWS], "more": max(len(table) - MAX_ROWS, 0),
        "wide": WIDE, "tall": TALL, "low": LOW,
    }  # fmt: skip


def _locks(document: Document, host: str | None) -> list[tuple[float, int | None]]:
    """Return of each lock of a host since when it holds (epoch), and how many messages were accepted after it."""
    found: dict[str, tuple[float, int | None]] = {}
    for row in [*document["locks"], *document["accounts"]]:
        for entry in row["hosts"]:
            if entry["host"] == host and entry["locked_at"]:
                known = found.get(row["account"], (0.0, None))[1]
                accepted = entry["accepted_after_lock"]
                found[row["account"]] = (epoch(entry["locked_at"]), known if accepted is None else accepted)
    return sorted(found.values(), key=lambda lock: lock[0])


def _after(accepted: list[int | None]) -> Row:
    """Return what to write beside the locks of a host, and whether it is good."""
    known = [number for number in accepted if number is not None]
    whose = f"of the locked account{'s' if len(accepted) > 1 else ''}"
    if sum(known):
        return {"state": "bad", "text": f"{count(sum(known), 'message')} {whose} since"}
    if len(known) < len(accepted):
        return {"state": "open", "text": f"not known what came {whose} since"}
    return {"state": "good", "text": f"nothing {whose} since"}


def _words(row: Row, last: float | None, locks: list[tuple[float, int | None]], step: int) -> str:
    """Return a row in words."""
    per = "an hour" if step == 3600 else f"in {step // 3600} hours"
    words = [
        f"at most {count(max(row['messages']), 'message')} {per}, {sum(row['named']):,} in all of accounts that stand out or are locked"
    ]
    words.append(f"at most {count(max(row['failed_logins']), 'failed login')} {per}")
    if last is not None:
        words.append(f"their last message accepted {iso(last)[:19].replace('T', ' ')}")
    if locks:
        words += [f"locked {iso(locks[0][0])[:19].replace('T', ' ')}", _after([accepted for _, accepted in locks])["text"]]
    return "; ".join(words)

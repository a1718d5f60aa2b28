# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many messages and failed logins there were by the hour on each host, and when the last message of each account was accepted.

The size of it has a bound, whatever the fleet and the window: MAX_HOSTS rows and one for all others, of MAX_STEPS numbers each.
"""

from __future__ import annotations

import copy
import typing as t

from .locks import name_on
from .times import epoch, iso

Document = dict[str, t.Any]
Row = dict[str, t.Any]

HOUR = 3600
MAX_HOSTS = 12
MAX_STEPS = 200
#: Hours before and behind the run that are believed: a host's clock may be wrong, or its answer a lie.
_BEFORE, _BEHIND = 400 * 24, 48
NUMBERS = ("messages", "named", "failed_logins")
#: As it is where no log was read.
NOTHING: Row = {"begin": None, "step": HOUR, "hosts": [], "others": None, "unread": 0}


def section(document: Document, logs: t.Mapping[str, Row]) -> Document:
    """Return the document with what the logs (results of mail_log_info by host, also failed ones) say by the hour.

    named are messages of the accounts that stand out or are locked. In a large fleet the hosts that show any of these accounts have a row
    each, and the others one together."""
    document = copy.deepcopy(document)
    now = int(epoch(document["run"]["started"]) // HOUR)
    logs = {host: _believed(log, range(now - _BEFORE, now + _BEHIND)) for host, log in logs.items()}
    named = [row["account"] for row in document["accounts"] if row["verdict"] in ("compromised", "suspect")]
    named = list(dict.fromkeys(named + [row["account"] for row in document["locks"]]))
    own = {host: {name: _of(log, name, host) for name in named} for host, log in logs.items()}
    for row in document["accounts"]:
        before = row.get("last_accepted")
        known = [(epoch(before["time"]), before["host"])] if before else []
        known += [
            (of[row["account"]]["last_accepted"], host) for host, of in own.items() if (of.get(row["account"]) or {}).get("last_accepted")
        ]
        last = max(known, default=None)
        row["last_accepted"] = {"time": iso(last[0]), "host": last[1]} if last else None
    read = {host: log for host, log in logs.items() if log.get("hours") is not None}
    hours = [row[0] for log in read.values() for row in log["hours"]]
    hours += [int(log["span"][name] // HOUR) for log in read.values() for name in ("first", "last") if log["span"][name] is not None]
    hours += [row[0] for of in own.values() for account in of.values() for row in account.get("hours") or ()]
    if not hours:
        document["activity"] = {**NOTHING, "unread": len(logs) - len(read)}
        return document
    first = min(hours)
    width = -(-(max(hours) - first + 1) // MAX_STEPS)
    steps = (max(hours) - first) // width + 1

    def sums(hosts: t.Iterable[str]) -> Row:
        row: Row = {name: [0] * steps for name in NUMBERS}
        for host in hosts:
            for hour, messages, failed in read[host]["hours"]:
                row["messages"][(hour - first) // width] += messages
                row["failed_logins"][(hour - first) // width] += failed
            for account in own[host].values():
                for hour, messages, _ in account.get("hours") or ():
                    row["named"][(hour - first) // width] += messages
        return row

    def weight(host: str) -> tuple[int, int]:
        rows = [row for account in own[host].values() for row in account.get("hours") or ()]
        return sum(row[1] for row in rows), sum(row[2] for row in rows)

    locked = {entry["host"] for row in document["locks"] for entry in row["hosts"]}
    ranked = sorted(read, key=lambda host: (*(-number for number in weight(host)), host not in locked, host))
    if len(ranked) > MAX_HOSTS:
        ranked = [host for host in ranked if any(weight(host)) or host in locked][:MAX_HOSTS]
    rows = []
    for host in ranked:
        times = [account["last_accepted"] for account in own[host].values() if account.get("last_accepted")]
        rows.append({"host": host, **sums([host]), "last_accepted": iso(max(times)) if times else None})
    others = sorted(set(read) - set(ranked))
    document["activity"] = {
        "begin": iso(first * HOUR), "step": width * HOUR, "hosts": rows, "unread": len(logs) - len(read),
        "others": {"hosts": len(others), **sums(others)} if others else None,
    }  # fmt: skip
    return document


def _believed(log: Row, hours: range) -> Row:
    """Return what a host says without what it says of other times."""
    if log.get("hours") is None:
        return log

    def of(row: Row) -> Row:
        last = row.get("last_accepted")
        known = {name: [each for each in row[name] if each[0] in hours] for name in ("hours",) if row.get(name)}
        return {**row, **known, "last_accepted": last if last is not None and last // HOUR in hours else None}

    span = {name: log["span"][name] for name in ("first", "last")}
    return {
        **log, "hours": [row for row in log["hours"] if row[0] in hours],
        "accounts": {name: of(row) for name, row in (log.get("accounts") or {}).items()},
        "span": {**log["span"], **{name: time if time is not None and time // HOUR in hours else None for name, time in span.items()}},
    }  # fmt: skip


def _of(log: Row, account: str, host: str) -> Row:
    """Return the counters of an account of the fleet on a host."""
    name = name_on(account, host)
    found: Row = (log.get("accounts") or {}).get(name) or {} if name is not None else {}
    return found

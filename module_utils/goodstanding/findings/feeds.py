# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What providers' feeds say of the fleet's addresses, as rows of the table of observations: Microsoft SNDS, and complaints."""

from __future__ import annotations

import bisect
import ipaddress
import typing as t

from ..feeds import feedback, join, snds

Row = dict[str, t.Any]

SNDS, SNDS_STATUS = "snds", "snds:status"
#: Of the complaints, as a percentage of recipients: Microsoft asks for less than 0.3 (sender support in Outlook.com).
COMPLAINT_LIMIT = 0.3
#: The entry of provider_replies.yml that says where Microsoft is asked to end a block.
MICROSOFT = "microsoft_olc"
_COLOURS = {"green": "less than 10 %", "yellow": "10 to 90 %", "red": "more than 90 %"}
_STATUS = {
    "blocked": ("A", "Outlook.com, Hotmail and Live refuse its mail"),
    "bot": ("A", "Microsoft takes it for an infected machine"),
    "junked": ("B", "Outlook.com, Hotmail and Live put its mail into the junk folder"),
}
_MAX_ACCOUNTS = 5
_STOP = "End what draws complaints: find the account or the list that they are about."


class Said(t.NamedTuple):
    """rows: observations without since; clean: (address, source); feeds: what became of each, as feed, state, why, repair, rows."""

    rows: list[Row]
    clean: set[tuple[str, str]]
    feeds: list[Row]


def said(reputation: Row, addresses: t.Iterable[str], replies: dict[str, Row]) -> Said:
    """Return what the feeds say of these addresses. reputation: snds (of snds_info), complaints (per host of feedback_report_info) and
    senders (what that module found in the logs)."""
    fleet = frozenset(addresses)
    rows, clean, feeds = _snds(reputation.get("snds") or {}, fleet, replies)
    more, mailboxes = _complaints(reputation.get("complaints") or {}, reputation.get("senders") or [], fleet)
    return Said(rows + more, clean, feeds + mailboxes)


def _row(address: str, source: str, name: str, **fields: t.Any) -> Row:
    """Return an observation; the fields that most feeds leave empty are filled in."""
    usual: Row = {"codes": [], "scope": None, "reason": None, "ttl": None, "latency": None, "repair": None, "delisting": None, "hosts": []}
    return {"subject": address, "family": f"ipv{ipaddress.ip_address(address).version}", "source": source, "list": name, **usual, **fields}


def _snds(result: Row, fleet: frozenset[str], replies: dict[str, Row]) -> tuple[list[Row], set[tuple[str, str]], list[Row]]:
    if "sources" not in result:
        failed = {
            "feed": "Microsoft SNDS",
            "state": "failed",
            "why": str(result.get("msg"))[:500],
            "repair": "Correct reputation_snds.",
            "rows": 0,
        }
        return [], set(), [failed] if result.get("msg") else []
    feeds = []
    for each in result["sources"]:
        why = each["why"]
        if each["bad_rows"]:
            why = f"{each['bad_rows']} of its rows could not be read: {each['unreadable'][0]['reason']}"
        feeds.append({"feed": f"Microsoft SNDS, {each['account']}: {each['source']}", "state": each["state"], "why": why,
                      "repair": each["repair"], "rows": each["rows"]})  # fmt: skip
    rows = [_judged(row) for row in snds.newest(result["addresses"]) if row["address"] in fleet]
    abnormal = list(_abnormal(result["ranges"], fleet, replies))
    # Who is not in the status feed is well there, if the account is known to cover the address: its data shows it.
    telling = {
        each["account"]
        for each in result["sources"]
        if each["source"].startswith("status") and each["state"] == "current" and not each["bad_rows"]
    }
    covered = {row["address"] for row in result["addresses"] if row["account"] in telling} & fleet
    return rows + abnormal, {(address, SNDS_STATUS) for address in covered - {row["subject"] for row in abnormal}}, feeds


def _judged(row: Row) -> Row:
    colour, rate, traps = row["filter_result"], row["complaint_rate"], row["trap_hits"] or 0
    known = f"{row['data_commands']} messages" if row["data_commands"] is not None else "its messages"
    words = [f"{colour}: {_COLOURS[colour]} of {known} judged spam"]
    if rate is not None:
        words.append(f"complaints {'below ' if row['complaint_rate_below'] else ''}{rate:g} %")
    if traps:
        words.append(f"{traps} messages to spam traps")
    words.append(f"{row['start'] or 'time not given'} to {row['end'] or '?'}")
    bad = colour != "green" or traps or (rate is not None and rate >= COMPLAINT_LIMIT and not row["complaint_rate_below"])
    return _row(
        row["address"], SNDS, "Microsoft SNDS", kind="score", tier="B", outcome="score", codes=[colour], meanings=["; ".join(words)],
        scope="address", reason=row["comments"], repair=_STOP if bad else None,
        qualified_by={"account": row["account"], "at": None, "period_end": row["end"]},
    )  # fmt: skip


def _abnormal(ranges: list[Row], fleet: frozenset[str], replies: dict[str, Row]) -> t.Iterator[Row]:
    """Yield a row for each address of the fleet that lies in a range; ranges may be larger than the fleet."""
    numbers = sorted((address.version, int(address)) for address in map(ipaddress.ip_address, fleet))
    texts = {(address.version, int(address)): str(address) for address in map(ipaddress.ip_address, fleet)}
    entry = replies.get(MICROSOFT, {})
    told: set[tuple[tuple[int, int], str]] = set()
    for row in ranges:
        first, last = (ipaddress.ip_address(row[name]) for name in ("first", "last"))
        start = bisect.bisect_left(numbers, (first.version, int(first)))
        for number in numbers[start : bisect.bisect_right(numbers, (last.version, int(last)))]:
            if (number, row["status"]) in told:
                continue
            told.add((number, row["status"]))
            tier, meaning = _STATUS[row["status"]]
            yield _row(
                texts[number], SNDS_STATUS, "Microsoft SNDS, status", kind="block", tier=tier, outcome="listed", codes=[row["status"]],
                meanings=[meaning], scope="address" if first == last else "net", reason=row["reason"],
                repair=entry.get("repair", "Stop the abuse, then fill in Microsoft's sender support form."),
                delisting={"kind": "manual_form", "who": "postmaster", "paid": "no", "url": entry.get("ask")},
                qualified_by={"account": row["account"], "at": None},
            )  # fmt: skip


def _complaints(mailboxes: dict[str, Row], senders: list[Row], fleet: frozenset[str]) -> tuple[list[Row], list[Row]]:
    known = join.merge(senders)
    found: dict[tuple[str, str], list[Row]] = {}
    feeds = []
    for host, result in sorted(mailboxes.items()):
        name = f"complaints on {host}"
        if "reports" not in result:
            why = str(result.get("msg") or "the host could not be reached")[:500]
            feeds.append({"feed": name, "state": "failed", "why": why, "repair": "Correct reputation_feedback_mailbox.", "rows": 0})
            continue
        bad = result["unreadable_total"]
        unread = f"{bad} of its messages could not be read: {result['unreadable'][0]['reason']}" if bad else None
        feeds.append({"feed": name, "state": "current", "why": unread, "repair": None, "rows": len(result["reports"])})
        trusted = [report for report in result["reports"] if report["trusted"]]
        feedback.attribute(trusted, known, feedback.Trust("", (), ()))
        for report in result["reports"]:
            if report["feedback_type"] in feedback.COMPLAINTS and report["source_ip"] in fleet:
                found.setdefault((report["source_ip"], report["provider"]), []).append({**report, "mailbox": host})
    return [_complained(address, provider, reports) for (address, provider), reports in sorted(found.items())], feeds


def complained_accounts(reputation: t.Mapping[str, t.Any]) -> dict[str, int]:
    """Return per account how many authentic complaints about its mail were read. reputation: as in said()."""
    known = join.merge(reputation.get("senders") or [])
    found: dict[str, int] = {}
    for result in (reputation.get("complaints") or {}).values():
        trusted = [report for report in result.get("reports") or [] if report["trusted"] and report["feedback_type"] in feedback.COMPLAINTS]
        feedback.attribute(trusted, known, feedback.Trust("", (), ()))
        for report in trusted:
            if report["account"]:
                found[report["account"]] = found.get(report["account"], 0) + 1
    return found


def _complained(address: str, provider: str, reports: list[Row]) -> Row:
    trusted = [report for report in reports if report["trusted"]]
    accounts: dict[str, int] = {}
    for report in trusted:
        if report["account"]:
            accounts[report["account"]] = accounts.get(report["account"], 0) + 1
    words = [f"{len(reports)} complaints, {len(trusted)} of them authentic"]
    times = sorted(report["arrived"] for report in reports if report["arrived"])
    if times:
        words.append(f"{times[0][:16]} to {times[-1][:16]}")
    if accounts:
        most = sorted(accounts.items(), key=lambda each: (-each[1], each[0]))
        names = ", ".join(f"{name} ({count})" for name, count in most[:_MAX_ACCOUNTS])
        words.append(f"sent by {names}{f' and {len(most) - _MAX_ACCOUNTS} more accounts' if len(most) > _MAX_ACCOUNTS else ''}")
    return _row(
        address, f"complaints:{provider}", f"complaints at {provider}", kind="score", tier="B" if trusted else "D", outcome="score",
        meanings=["; ".join(words)], scope="address", repair=_STOP if trusted else None,
        qualified_by={"mailbox": ", ".join(sorted({report["mailbox"] for report in reports})), "at": times[-1] if times else None},
    )  # fmt: skip

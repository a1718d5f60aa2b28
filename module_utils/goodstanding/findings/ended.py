# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the outbreak has ended: nine conditions on every sending host, each of which holds, does not, or is not known.

It has ended only where all of them hold on all hosts; what is not known is not proven. A delisting rests on it. docs/report.md says what
each condition means. Times are seconds since 1970.
"""

from __future__ import annotations

import typing as t

from ..maillog.parser import MAX_ROWS, SINCE
from ..maillog.refusals import REPUTATION
from ..triage.fleet import kind_of
from .observations import BELIEVED, LISTED, WEIGHTY
from .times import iso

Row = dict[str, t.Any]
#: A state and its reason; an empty reason where nothing has to be said.
Said = tuple[str, str]

HOLDS, DOES_NOT, UNKNOWN = "holds", "does_not", "unknown"
QUEUES = ("incoming", "active", "deferred", "hold", "corrupt")
#: Verdicts of longer ago than this say nothing of the accounts of now.
FRESH = 3600.0
#: The time of a lock went through a text of microseconds.
_SAME = 1.0
_ASK = "playbooks/verify.yml asks for it"


class Case(t.NamedTuple):
    """What is known of a run. hosts: that send; locks: per account and host since when it is locked there; window: seconds; settled: until
    when what the lists say was there before the latest lock (the run that locked asks them afterwards), None where that is not known;
    judged: when the accounts were; others: that stand out and are not locked; unjudged: per host why not all its accounts could be judged;
    lists, asked, observations, subjects: of the document (subjects: addresses and names); logs, proofs, queues, persistence, limits: per
    host what mail_log_info, the role account_lock and the role rate_limit said, or a failed one with its msg."""

    hosts: t.Sequence[str]
    locks: t.Mapping[str, t.Mapping[str, float]]
    now: float
    window: float
    settled: float | None = None
    judged: float = 0.0
    others: t.Sequence[str] = ()
    unjudged: t.Mapping[str, str] = {}
    lists: t.Sequence[Row] = ()
    asked: t.Sequence[Row] = ()
    observations: t.Sequence[Row] = ()
    subjects: t.Sequence[Row] = ()
    logs: t.Mapping[str, Row] = {}
    proofs: t.Mapping[str, Row] = {}
    queues: t.Mapping[str, Row] = {}
    persistence: t.Mapping[str, Row] = {}
    limits: t.Mapping[str, Row] = {}

    @property
    def since(self) -> float:
        """Return when the last account was locked on the last host."""
        return max(time for hosts in self.locks.values() for time in hosts.values())

    @property
    def begin(self) -> float:
        """Return when the window began: nothing new may have come up since."""
        return max(self.since, self.now - self.window)

    def accounts(self, host: str) -> dict[str, tuple[str, float]]:
        """Return per account that is to be locked on a host its name there and since when; a local user is one of that host alone."""
        found = {}
        for account, hosts in self.locks.items():
            if kind_of(account) == "login":
                found[account] = (account, hosts.get(host, max(hosts.values())))
            elif host in hosts:
                found[account] = (account[: -len(host) - 1] if account.endswith(f"@{host}") else account, hosts[host])
        return found


def judge(case: Case) -> Row:
    """Return state (none, ended, not_ended, not_proven), window_hours, since, provable_from and conditions, as the document holds them."""
    result: Row = {"state": "not_proven", "window_hours": case.window / 3600, "since": None, "provable_from": None, "conditions": []}
    if not case.locks:
        return {**result, "state": _without_locks(case)}
    for number, (name, holds) in enumerate(CONDITIONS, 1):
        rows = []
        for host in case.hosts:
            state, why = holds(case, host)
            rows.append({"host": host, "state": state, "why": why[:500]})
        result["conditions"].append({"number": number, "name": name, "state": all_of(row["state"] for row in rows), "hosts": rows})
    state = all_of(row["state"] for row in result["conditions"])
    result["state"] = {HOLDS: "ended", DOES_NOT: "not_ended", UNKNOWN: "not_proven"}[state]
    return {**result, "since": iso(case.since), "provable_from": iso(case.since + case.window)}


def all_of(states: t.Iterable[str]) -> str:
    """Return what holds of all of them; of none of them nothing is known."""
    found = set(states)
    return DOES_NOT if DOES_NOT in found else HOLDS if found == {HOLDS} else UNKNOWN


def _without_locks(case: Case) -> str:
    """Return none where nobody is locked, and nobody has to be."""
    silent = all_of(_silent(case, host)[0] for host in case.hosts)
    if silent == DOES_NOT:
        return "not_ended"
    return "none" if silent == HOLDS and all("locks" in _told(case.proofs, host) for host in case.hosts) else "not_proven"


# ---- the conditions: each says of one host whether it holds there


def _complete(case: Case, host: str) -> Said:
    passed = case.now - case.since
    if passed < case.window:
        return UNKNOWN, f"{_hours(max(passed, 0))} of {_hours(case.window)} have passed since the lock"
    log = _told(case.logs, host)
    if "accounts" not in log:
        return UNKNOWN, _lost(log, "the log was not read")
    gap = lacks(log, case.begin)
    return (UNKNOWN, gap) if gap else (HOLDS, "")


def _nothing_sent(case: Case, host: str) -> Said:
    def one(account: str, name: str, since: float) -> Said:
        told = _since_lock(case, host, name, since)
        if isinstance(told, str):
            return UNKNOWN, told
        for count, what in ((told["accepted_since"], "accepted"), (told["submitted_since"], "handed in by sendmail")):
            if count:
                return DOES_NOT, f"{count} messages of {account} were {what} since its lock"
        return (UNKNOWN, f"none was found, but {told['gap']}") if told["gap"] else (HOLDS, "")

    return _each(case, host, one)


def _refused(case: Case, host: str) -> Said:
    proof = _told(case.proofs, host)
    if "locks" not in proof:
        return UNKNOWN, _lost(proof, "the lock was not looked at")
    plumbing, canary = proof.get("plumbing") or {}, proof.get("canary") or {}
    faults = plumbing_faults(plumbing)
    faults += [f"a locked test account was let in by {way.upper()}" for way in ("smtp", "imap") if canary.get(way) == "accepted"]
    if faults:
        return DOES_NOT, "; ".join(faults)
    if plumbing.get("state") != "present" or plumbing.get("unguarded") is None:
        return UNKNOWN, "whether the lock's plumbing stands is not known"

    def one(account: str, name: str, since: float) -> Said:
        if name not in proof["locks"]:
            return DOES_NOT, f"{account} is not locked here"
        told = _since_lock(case, host, name, since)
        if isinstance(told, str):
            return UNKNOWN, told
        refused, accepted, logins = (told[f"{what}_since"] for what in ("refused", "accepted", "logins"))
        if logins or (accepted and not refused):
            return DOES_NOT, f"{account} was let in: {logins} logins, {accepted} messages"
        if refused:
            return HOLDS, f"{account} was refused {refused} times"
        return (UNKNOWN, f"nobody tried {account}, but {told['gap']}") if told["gap"] else (HOLDS, f"nobody tried {account}")

    return _each(case, host, one)


def _queue_empty(case: Case, host: str) -> Said:
    queue = _told(case.queues, host)
    if "messages" not in queue:
        return UNKNOWN, _lost(queue, "the queue was not searched")
    if int(queue.get("passes") or 0) < 2:
        return UNKNOWN, "the queue was searched once only, and mail moves in it"

    def one(account: str, name: str, since: float) -> Said:
        found = queue["messages"].get(name)
        if found is None or any(found.get(each) is None for each in QUEUES):
            return UNKNOWN, f"not every queue was searched for mail of {account}"
        left = [f"{found[each]} in {each}" for each in QUEUES if found[each]]
        return (DOES_NOT, f"mail of {account}: {', '.join(left)}") if left else (HOLDS, "")

    return _each(case, host, one)


def _no_session(case: Case, host: str) -> Said:
    proof = _told(case.proofs, host)
    sessions = proof.get("sessions")
    if sessions is None:
        return UNKNOWN, _lost(proof, "nobody looked for sessions")

    def one(account: str, name: str, since: float) -> Said:
        found = sessions.get(name) or {}
        counts = [found.get("dovecot"), found.get("sockets")]
        if any(counts):
            return DOES_NOT, f"{account} has {counts[0] or 0} sessions at Dovecot and {counts[1] or 0} sockets"
        return (UNKNOWN, f"not all sessions of {account} could be looked for") if None in counts else (HOLDS, "")

    return _each(case, host, one)


def _nothing_new(case: Case, host: str) -> Said:
    return _worst([_listings(case, host), _refusals(case, host)])


def _listings(case: Case, host: str) -> Said:
    """The lists that receivers weigh. What receivers themselves said is judged by the log, which tells when they began."""
    subjects = [row for row in case.subjects if host in row["hosts"]]
    if not any("address" in row for row in subjects):
        return UNKNOWN, "the lists were not asked about its addresses"
    light = {row["zone"] for row in case.lists if row["tier"] not in WEIGHTY or row["kind"] != "block"}
    silent = {zone for row in subjects for zone in row["unqualified"] if not zone.startswith("log:")} - light
    # A list of scores that has no data on an address, which is no bad sign, is among these too; a feed has a colon in its name.
    weighed = {row["zone"] for row in case.asked if row.get("tier") in WEIGHTY}
    silent = {zone for zone in silent if ":" in zone or zone in weighed} if weighed else silent
    said: list[Said] = [(UNKNOWN, f"{zone} could not be believed") for zone in sorted(silent)]
    for row in case.observations:
        if host not in row["hosts"] or row["kind"] != "block" or row["tier"] not in WEIGHTY or row["source"].startswith("log:"):
            continue
        if row["outcome"] not in BELIEVED or row["suspected"]:
            said.append((UNKNOWN, f"{row['list']} could not be believed of {row['subject']}"))
        elif row["outcome"] in LISTED and not _at_hand(case, row):
            if case.settled is None:
                said.append((UNKNOWN, f"whether {row['subject']} was in {row['list']} before the lock is not known: nobody had asked"))
            else:
                said.append((DOES_NOT, f"{row['subject']} is newly listed in {row['list']}, since {(row['since'] or '')[:19]}"))
    return _worst(said)


def _at_hand(case: Case, row: Row) -> bool:
    """Whether a listing is no news: it is older than the window, or the run that locked found it."""
    return bool(row["since"]) and (row["since"] < iso(case.begin) or (case.settled is not None and row["since"] <= iso(case.settled)))


def _refusals(case: Case, host: str) -> Said:
    log = _told(case.logs, host)
    if "refusals" not in log:
        return UNKNOWN, _lost(log, "the log was not read")
    said: list[Said] = []
    known = log.get("refusals_since")
    for row in log["refusals"]:
        if row["about"] not in REPUTATION or row["seen"] <= case.begin or _explained(case, host, row):
            continue
        kind = f"{row['provider']} {row['id']} {row['code']}"
        if known is None or known > case.begin:
            said.append((UNKNOWN, f"whether {kind} was refused before is not known: the log is remembered for too short a time"))
        else:
            said.append((DOES_NOT, f"a new kind of refusal, {kind}, since {iso(row['seen'])[:19]}"))
    gap = lacks(log, case.begin)
    if gap:
        said.append((UNKNOWN, gap))
    elif len(log["refusals"]) >= MAX_ROWS:
        said.append((UNKNOWN, f"of the kinds of refusals only the {MAX_ROWS} most frequent are told"))
    return _worst(said)


def _explained(case: Case, host: str, refusal: Row) -> bool:
    """Whether a receiver refuses with the words of a DNS list in which the address was already: its provider or entry names that list."""
    words = {refusal["provider"], *refusal["id"].split("_")}
    return any(
        row["outcome"] in LISTED and host in row["hosts"] and refusal["address"] in (None, row["subject"])
        and row["kind"] == "block" and not row["suspected"] and _at_hand(case, row)
        and ":" not in row["source"] and not words.isdisjoint(row["source"].split("."))
        for row in case.observations
    )  # fmt: skip


def _silent(case: Case, host: str) -> Said:
    if case.others:
        return DOES_NOT, f"{', '.join(case.others[:5])}{' and more' if len(case.others) > 5 else ''} stand out too"
    if case.judged < case.now - FRESH:
        return UNKNOWN, f"the accounts were judged at {iso(case.judged)[:19]}: run playbooks/assess.yml again"
    why = case.unjudged.get(host)
    return (UNKNOWN, why) if why is not None else (HOLDS, "")


def _reviewed(case: Case, host: str) -> Said:
    found = _told(case.persistence, host)
    if "unreviewed" not in found or "unknown" not in found:
        return UNKNOWN, _lost(found, "nobody looked for what the intruder left")

    def one(account: str, name: str, since: float) -> Said:
        count = found["unreviewed"].get(name)
        if count:
            return DOES_NOT, f"{count} findings of {account} are not reviewed"
        missing = [f"{row['what']}: {row['why']}" for row in found["unknown"] if row["account"] in (name, "", None)]
        if missing or count is None:
            return UNKNOWN, f"what was left of {account} is not known{': ' if missing else ''}{'; '.join(missing)}"
        return HOLDS, ""

    return _each(case, host, one)


def _limited(case: Case, host: str) -> Said:
    limit = _told(case.limits, host)
    state = limit.get("state")
    if state == "refused":
        return HOLDS, ""
    if state == "accepted":
        return DOES_NOT, str(limit.get("why") or "a test account could exceed its sending limit")
    return UNKNOWN, str(
        limit.get("why") or limit.get("msg") or "a test account that exceeds its limit and is refused proves it; none was tried"
    )


CONDITIONS: tuple[tuple[str, t.Callable[[Case, str], Said]], ...] = (
    ("the log is complete for the whole window", _complete),
    ("no mail of a locked account was accepted since its lock", _nothing_sent),
    ("the lock refuses whoever tries, or nobody tries", _refused),
    ("no mail of a locked account is queued", _queue_empty),
    ("no session of a locked account is open", _no_session),
    ("no new listing, and no new kind of refusal for reputation", _nothing_new),
    ("no other account stands out", _silent),
    ("what the intruder may have left was reviewed", _reviewed),
    ("sending limits are in force", _limited),
)


# ---- what the conditions share


def lacks(log: t.Mapping[str, t.Any], begin: float) -> str:
    """Return what a log lacks from a time on, an empty text where it lacks nothing."""
    if not log.get("complete"):
        return "; ".join(log.get("gaps") or ["the log is not complete"])
    known = (log.get("span") or {}).get("since")
    if known is not None and known <= begin:
        return ""
    since = f"since {iso(known)[:19]}" if known is not None else "of no time"
    return f"the log is known {since} only, not since {iso(begin)[:19]} (abuse_triage_window, or what was removed)"


def plumbing_faults(plumbing: t.Mapping[str, t.Any]) -> list[str]:
    """Return what lacks of the lock's plumbing. plumbing: of the role account_lock's proof."""
    faults = [str(fault) for fault in plumbing.get("unguarded") or ()]
    if plumbing.get("state") in ("absent", "damaged"):
        faults = faults or [f"the lock's plumbing is {plumbing['state']}"]
    return faults


def _each(case: Case, host: str, one: t.Callable[[str, str, float], Said]) -> Said:
    return _worst([one(account, *known) for account, known in sorted(case.accounts(host).items())])


def _worst(said: t.Sequence[Said]) -> Said:
    """Return the worst of what is said, with the reasons for it."""
    state = DOES_NOT if any(each[0] == DOES_NOT for each in said) else UNKNOWN if any(each[0] == UNKNOWN for each in said) else HOLDS
    return state, "; ".join(dict.fromkeys(why for each, why in said if each == state and why))


def _since_lock(case: Case, host: str, name: str, since: float) -> Row | str:
    """Return the counts since the lock, with what the log lacks (gap, empty where nothing); or why there are none."""
    log = _told(case.logs, host)
    if "accounts" not in log:
        return _lost(log, "the log was not read")
    told: Row | None = (log.get("since") or {}).get(name)
    if told is None or any(told.get(count) is None for count in ("time", *SINCE)) or abs(told["time"] - since) > _SAME:
        return f"the log was not read since the lock of {name}: {_ASK}"
    return {**told, "gap": lacks(log, max(since, case.now - case.window))}


def _told(results: t.Mapping[str, Row], host: str) -> Row:
    """Return what a host told; of a failed result only why it failed."""
    result = results.get(host, {})
    return {"msg": str(result.get("msg") or "it failed")} if result.get("failed") else result


def _lost(result: Row, usual: str) -> str:
    return str(result.get("msg") or f"{usual}: {_ASK}")


def _hours(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{round(seconds / 3600, 1):g} hours"

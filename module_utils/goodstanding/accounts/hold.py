# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold the mail of suspects for a while, and let it go again by itself. Standard library only, Python >= 3.9.

The account goes into the lock's map with the action HOLD (access(5)): its owner logs in and sends as ever, and the mail waits in the queue
hold. When so much waits that it fills the disk, the action becomes DEFER and the owner's program keeps the mail. Each run looks again: a
hold ends with the suspicion, at the latest when its time is over, and is then not begun anew for the same suspicion.
"""

from __future__ import annotations

import time
import typing as t

from ..host import journal
from ..host.files import File, HostError, Run, changes, diff, load_state, read_text, save_state, write_file
from ..queue import hold as queue
from ..queue.scan import Message, Queue, queue_directory, select
from . import plumbing, postfix_conf

HOLDS = "holds.json"
_HOLD, _DEFER = "HOLD suspected breach, incident {}", "DEFER 4.7.1 this account's mail is being looked at, incident {}"

Hold = dict[str, t.Any]


class Limits(t.NamedTuple):
    """hours: how long at most; messages, octets: how much of an account's mail is held before more is deferred; disk_percent: how much of
    all accounts', in percent of the free space."""

    hours: float
    messages: int
    octets: int
    disk_percent: float = 20


def reconcile(
    run: Run, suspects: list[str], limits: Limits, incident: str, check_mode: bool, now: float, keep: bool = False, notify: bool = True
) -> dict[str, t.Any]:
    """Hold the mail of these accounts and of no others; return changed, diff and per account what became of it.

    keep: holds of accounts that are not named go on until their time is over; notify: write to the owners from this host."""
    before: dict[str, Hold] = load_state(HOLDS)
    named = {*suspects, *before} if keep else set(suspects)
    locked = set(load_state(plumbing.LOCKS))
    holds, ended = decide(before, sorted(named - locked), limits, incident, now)
    directory = queue_directory(run)
    full = queue.over_budget(directory, _look(holds, before, ended, directory), limits.disk_percent)
    for hold in holds.values():
        if hold["state"] != "released":
            over = full or hold["messages"] >= limits.messages or hold["octets"] >= limits.octets
            hold["state"] = "deferring" if over else "held"
    files = changes([File(plumbing.MAP_SOURCE, postfix_conf.write_map(_with_locks(entries(holds)), postfix_conf.MAP_HEAD))])
    past = [name for name in before if name not in locked and holds.get(name, {"state": "released"})["state"] == "released"]
    # Once: who puts it on hold again by hand later means it.
    release = sorted(name for name in past if before[name]["state"] != "released" and (holds.get(name) or before[name])["messages"])
    begun = sorted(holds.keys() - before.keys())
    if not check_mode:
        _carry_out(run, [file for file, _ in files], {name: before[name]["others"] for name in release}, incident)
        if files or release or holds != before:
            save_state(HOLDS, holds)
            journal.write(step="hold", accounts=sorted(holds), begun=begun, released=release, incident=incident)
        for name in begun if notify else ():
            _tell(run, name, holds[name])
    told = {name: {key: value for key, value in hold.items() if key != "others"} for name, hold in holds.items()}
    return {"changed": bool(files or release), "diff": diff(files), "holds": told}


def decide(before: dict[str, Hold], suspects: list[str], limits: Limits, incident: str, now: float) -> tuple[dict[str, Hold], list[str]]:
    """Return (holds that go on, begin, or were released by time; accounts whose hold ends since nothing is suspected any more)."""
    holds = {}
    for name in suspects:
        new = {"since": now, "until": now + limits.hours * 3600, "incident": incident, "state": "held", "others": []}
        hold = dict(before.get(name) or new)
        if now >= hold["until"]:
            hold["state"] = "released"
        holds[name] = hold
    return holds, sorted(name for name in before if name not in holds)


def _look(holds: dict[str, Hold], before: dict[str, Hold], ended: list[str], directory: str) -> list[Message]:
    """Write into the holds how much of an account's mail is on hold, and return it. others: what was on hold before, and stays there."""
    counted = {**holds, **{name: before[name] for name in ended}}
    for hold in counted.values():
        hold.update(messages=0, octets=0)
    held = []
    for queue_id, row in Queue(directory, select(counted)).scan().messages.items():
        hold = counted[row.of]
        if row.queue != "hold" or queue_id in hold["others"]:
            continue
        if row.of in before:
            hold["messages"] += 1
            hold["octets"] += row.octets
            held.append(row)
        else:
            hold["others"].append(queue_id)
    return held


def entries(holds: dict[str, Hold]) -> dict[str, str]:
    """Return what the lock's map says for these holds."""
    return {
        name: (_DEFER if hold["state"] == "deferring" else _HOLD).format(hold["incident"])
        for name, hold in holds.items()
        if hold["state"] != "released"
    }


def _with_locks(held: dict[str, str]) -> dict[str, str]:
    """Return the lock's map with these holds and no others; a locked account stays as it is."""
    known = postfix_conf.read_map(read_text(plumbing.MAP_SOURCE) or "")
    return {**held, **{name: action for name, action in known.items() if action.startswith("REJECT")}}


def _carry_out(run: Run, files: list[File], release: dict[str, list[str]], incident: str) -> None:
    """Write the map, and let go all mail of these accounts but for some queue IDs."""
    for file in files:
        write_file(file)
    if files:
        plumbing.make_map(run, plumbing.MAP_SOURCE)
    if release:
        others = {queue_id for several in release.values() for queue_id in several}
        queue.apply(run, select(release), "released", incident, False, others)


def _tell(run: Run, account: str, hold: Hold) -> None:
    """Write to the owner; a notice that cannot be sent is no reason to let the mail go."""
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(hold["until"]))
    letter = (
        f"From: MAILER-DAEMON (Mail administration)\nTo: {account}\nSubject: Mail that you send is held back\n"
        f"Auto-Submitted: auto-generated\n\n"
        f"What was sent with your account lately is unlike what you usually send.\nYour outgoing mail is held back while it is looked at, "
        f"until {until} at the latest.\nNothing is lost, and you go on to receive mail.\n\n"
        f"If you did not send it, change your password now and tell your administrator\n(incident {hold['incident']}).\n"
    )
    # RFC 3834 section 3: an automatic notice has the null sender, so that nothing answers it.
    code, _, error = run(["sendmail", "-i", "-f", "<>", "--", account], letter)
    if code:
        journal.write(step="hold", accounts=[account], fault=f"the notice could not be sent: {error.strip()[:200]}")


def check(limits: Limits) -> None:
    """HostError where a limit makes no sense."""
    for name, value in limits._asdict().items():
        if value <= 0:
            raise HostError(f"the limit {name} of a hold is {value}: it must be more than 0")

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

from ..host.files import File, HostError, Run, changes, diff, journal, load_state, must, read_text, save_state, write_file
from ..queue import hold as queue
from ..queue.envelope import messages_of
from . import plumbing, postfix_conf

HOLDS = "holds.json"
_HOLD, _DEFER = "HOLD suspected breach, incident {}", "DEFER 4.7.1 this account's mail is being looked at, incident {}"

Hold = dict[str, t.Any]


class Limits(t.NamedTuple):
    """hours: how long at most; messages, octets: how much of an account's mail is held before more is deferred."""

    hours: float
    messages: int
    octets: int


def reconcile(
    run: Run, suspects: list[str], limits: Limits, incident: str, check_mode: bool, now: float, keep: bool = False, notify: bool = True
) -> dict[str, t.Any]:
    """Hold the mail of these accounts and of no others; return changed, diff and per account what became of it.

    keep: holds of accounts that are not named go on until their time is over; notify: write to the owners from this host."""
    before: dict[str, Hold] = load_state(HOLDS)
    if keep:
        suspects = sorted({*suspects, *before})
    locked = set(load_state("locks.json"))
    holds, ended = decide(before, [name for name in suspects if name not in locked], limits, incident, now)
    directory = must(run, ["postconf", "-h", "queue_directory"], "Postfix's queue directory is not known").strip()
    waiting: dict[str, list[int]] = {}
    for queue_id, row in messages_of([*holds, *ended], directory).items():
        if row["queue"] == "hold" and row["account"] in holds and row["account"] not in before:
            holds[row["account"]].setdefault("others", []).append(queue_id)  # on hold for another reason, and stays there
        elif row["queue"] == "hold" and queue_id not in (before.get(row["account"]) or {}).get("others", []):
            count = waiting.setdefault(row["account"], [0, 0])
            count[0] += 1
            count[1] += int(row["size"])
    for name, hold in holds.items():
        hold["messages"], hold["octets"] = waiting.get(name, [0, 0])
        if hold["state"] != "released":
            full = hold["messages"] >= limits.messages or hold["octets"] >= limits.octets
            hold["state"] = "deferring" if full else "held"
    entries = postfix_conf.read_map(read_text(plumbing.MAP_SOURCE) or "")
    for name, action in list(entries.items()):
        if not action.startswith("REJECT") and (name not in holds or holds[name]["state"] == "released"):
            del entries[name]
    for name, hold in holds.items():
        if hold["state"] != "released" and not entries.get(name, "").startswith("REJECT"):
            entries[name] = (_DEFER if hold["state"] == "deferring" else _HOLD).format(hold["incident"])
    changed = changes([File(plumbing.MAP_SOURCE, postfix_conf.write_map(entries))])
    # Once: who puts it on hold again by hand later means it.
    to_release = [name for name in [*ended, *holds] if name not in locked and _is_over(name, holds) and waiting.get(name)]
    to_release = sorted(name for name in to_release if before.get(name, {}).get("state") != "released")
    if not check_mode:
        _carry_out(run, before, holds, [file for file, _ in changed], to_release, incident)
        for name in sorted(name for name in holds if name not in before) if notify else ():
            _tell(run, name, holds[name])
    return {"changed": bool(changed or to_release), "diff": diff(changed), "holds": {name: dict(hold) for name, hold in holds.items()}}


def decide(before: dict[str, Hold], suspects: list[str], limits: Limits, incident: str, now: float) -> tuple[dict[str, Hold], list[str]]:
    """Return (holds that go on, begin, or were released by time; accounts whose hold ends since nothing is suspected any more)."""
    holds = {}
    for name in suspects:
        hold = dict(before.get(name) or {"since": now, "until": now + limits.hours * 3600, "incident": incident, "state": "held"})
        if now >= hold["until"]:
            hold["state"] = "released"
        holds[name] = hold
    return holds, sorted(name for name in before if name not in holds)


def _is_over(name: str, holds: dict[str, Hold]) -> bool:
    return name not in holds or holds[name]["state"] == "released"


def _carry_out(run: Run, before: dict[str, Hold], holds: dict[str, Hold], files: list[File], to_release: list[str], incident: str) -> None:
    for file in files:
        write_file(file)
    if files:
        # postmap changes the map in place: one that is renamed in is not seen by an open session.
        must(run, ["postmap", postfix_conf.MAP], "the map of held accounts cannot be made")
    if to_release:
        others = {queue_id for name in to_release for queue_id in before[name].get("others", [])}
        queue.apply(run, to_release, "released", incident, False, others)
    begun = sorted(name for name in holds if name not in before)
    if files or to_release or holds != before:
        save_state(HOLDS, holds)
        journal(step="hold", accounts=sorted(holds), begun=begun, released=to_release, incident=incident)


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
        journal(step="hold", accounts=[account], fault=f"the notice could not be sent: {error.strip()[:200]}")


def check(limits: Limits) -> None:
    """HostError where a limit makes no sense."""
    for name, value in limits._asdict().items():
        if value <= 0:
            raise HostError(f"the limit {name} of a hold is {value}: it must be more than 0")

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold, release, delete or count the queued mail of accounts, by the envelope. Standard library only, Python >= 3.9.

postsuper(1) ends with 0 for a message that is gone, so nothing is believed but the next look at the queue: a state is reached when two
looks in a row find nothing to do. Mail is deleted from hold alone, where no delivery begins, and after its evidence is on the disk.
"""

from __future__ import annotations

import os
import re
import time
import typing as t

from ..host import journal
from ..host.files import HostError, Run, must
from .evidence import Evidence
from .scan import MOVABLE, QUEUES, Message, Queue, Scan, Selection, queue_directory

#: Mail moves between the queues while they are read: looks until two in a row find nothing more.
MAX_PASSES = 20
#: Seconds until pickup(8) took what is in maildrop.
PATIENCE = 0.5
#: So many queue IDs are returned, and written into a line of the journal.
MAX_IDS = 1000
_ADVICE = "the queue cannot be changed (with maillog_file set, postsuper needs a Postfix that runs)"
_REMOVED = re.compile(r"^postsuper: ([0-9A-Za-z]{5,30}): removed$", re.MULTILINE)


def apply(
    run: Run,
    selection: Selection,
    state: str,
    incident: str,
    check_mode: bool,
    but: t.Container[str] = (),
    evidence: Evidence | None = None,
    max_disk_percent: float = 20,
) -> dict[str, t.Any]:
    """Bring the selected mail into a state (held, released, deleted or listed) but for some queue IDs; return counts, as M(mail_queue).

    HostError where mail still moves after MAX_PASSES looks, or where evidence (needed for deleted) cannot be written: what it is not
    written of is not deleted."""
    work = _Work(run, Queue(queue_directory(run), selection), incident, but, evidence)
    before = work.look()
    if state == "listed":  # mail moves between the queues while they are read
        again = work.look()
        before = again._replace(messages={**before.messages, **again.messages})
    if check_mode or state == "listed":
        after = work.predict(before, state)
    elif state == "deleted":
        work.settle(work.hold)
        after = work.settle(work.delete)
    else:
        after = work.settle(work.hold if state == "held" else work.release)
    held = [message for message in after.messages.values() if message.queue == "hold"]
    return {
        "changed": bool(work.moved or work.deleted),
        "moved": len(work.moved),
        "deleted": len(work.deleted),
        "queued": after.count("maildrop", *MOVABLE),
        "held": _by_name(selection, after, "hold"),
        "corrupt": after.count("corrupt"),
        "messages": {name: {queue: _by_name(selection, after, queue)[name] for queue in QUEUES} for name in selection.names()},
        "passes": work.looks,
        "unread": _some(after.unread),
        "left": _some([] if state == "released" else work.left(after)),
        "backscatter": _some(work.backscatter(after)),
        "over_budget": over_budget(work.queue.directory, held, max_disk_percent),
        "evidence": evidence.summary() if evidence and state == "deleted" else None,
        "faults": work.faults,
        "diff": {"before": _told(selection, before), "after": _told(selection, after)},
    }


def over_budget(directory: str, held: t.Collection[Message], percent: float) -> bool:
    """Return whether messages on hold take more than a share of what their file system would have free without them, octets or inodes."""
    system = os.statvfs(directory)
    octets, share = sum(-(-message.octets // system.f_frsize) for message in held) * system.f_frsize, percent / 100
    return octets > share * (system.f_bavail * system.f_frsize + octets) or (
        system.f_files > 0 and len(held) > share * (system.f_favail + len(held))
    )


class _Work:
    """What was seen and done so far. moved, deleted: queue IDs."""

    def __init__(self, run: Run, queue: Queue, incident: str, but: t.Container[str], evidence: Evidence | None) -> None:
        self.run, self.queue, self.incident, self.but, self.evidence = run, queue, incident, but, evidence
        self.moved: set[str] = set()
        self.deleted: set[str] = set()
        self.seen: dict[str, Message] = {}
        self.last: Scan | None = None
        self.faults: list[str] = []
        self.looks = 0

    def look(self) -> Scan:
        self.looks += 1
        found = self.queue.scan()
        self.seen.update(found.messages)
        return found

    def settle(self, act: t.Callable[[Scan], int]) -> Scan:
        """Look and act until two looks in a row find nothing to act on; return the last."""
        quiet = 0
        for _ in range(MAX_PASSES):
            found = self.look()
            quiet = 0 if act(found) else quiet + 1
            if quiet == 2:
                return found
            if quiet and found.count("maildrop"):
                self.run(["postkick", "public", "pickup", "W"])
                time.sleep(PATIENCE)
            self.last = found
        names = ", ".join(self.queue.selection.names())
        raise HostError(f"mail of {names} still moves in the queue after {MAX_PASSES} looks: lock the account first, and run again")

    def hold(self, found: Scan) -> int:
        return self._move([row for row in found.messages.values() if row.queue in MOVABLE and row.queue_id not in self.but], "held")

    def release(self, found: Scan) -> int:
        """Let go each message once: what comes on hold again was put there by somebody else."""
        spared = {row.queue_id for row in found.messages.values() if row.queue_id in self.but} | self.moved
        return self._move([row for row in found.messages.values() if row.queue == "hold" and row.queue_id not in spared], "released")

    def delete(self, found: Scan) -> int:
        """Delete what is in hold, has its evidence, and is the same file as when it was seen."""
        assert self.evidence is not None
        inside = [row for row in found.messages.values() if row.queue == "hold"]
        kept = [row for row in self.evidence.keep(inside) if self.queue.same(row)]
        if kept:
            listed = "".join(f"{row.queue_id}\n" for row in kept)
            code, out, err = self.run(["postsuper", "-d", "-", "hold"], listed)
            removed = set(_REMOVED.findall(out + err))
            self.deleted |= removed
            if removed:
                self._journal("deleted", removed, evidence=self.evidence.path)
            if code:
                raise HostError(f"postsuper -d - hold ended with {code}: {err.strip()[-600:]}: {_ADVICE}")
        return self.hold(found) + len(inside)

    def left(self, after: Scan) -> list[str]:
        """Return what was seen and is gone without being deleted here: delivered, or taken by somebody else."""
        known = {*after.messages, *(self.last.messages if self.last else ()), *self.deleted}
        return [row.queue_id for row in self.seen.values() if row.queue_id not in known and row.queue != "maildrop"]

    def backscatter(self, after: Scan) -> list[str]:
        """Return bounces to the senders that the mail claims, but for the account itself, whose bounces are its owner's."""
        forged = {row.sender.lower() for row in self.seen.values() if row.sender and row.sender.lower() != row.of}
        return [queue_id for queue_id, recipient in after.bounces.items() if recipient.lower() in forged]

    def predict(self, before: Scan, state: str) -> Scan:
        """Return the queue as it would be, and note what would be done."""
        after = dict(before.messages)
        for row in before.messages.values():
            if row.queue_id in self.but or row.queue not in {"held": MOVABLE, "released": ("hold",), "deleted": (*MOVABLE, "hold")}.get(
                state, ()
            ):
                continue
            if row.queue in MOVABLE or state == "released":
                self.moved.add(row.queue_id)
            if state == "deleted":
                self.deleted.add(row.queue_id)
                del after[row.queue_id]
            else:
                after[row.queue_id] = row._replace(queue="hold" if state == "held" else "deferred")
        if self.evidence and state == "deleted":
            self.evidence.predict(len(self.deleted))
        return before._replace(messages=after)

    def _move(self, rows: list[Message], state: str) -> int:
        if rows:
            listed = "".join(f"{row.queue_id}\n" for row in rows)
            must(self.run, ["postsuper", "-h" if state == "held" else "-H", "-"], _ADVICE, listed)
            self.moved.update(row.queue_id for row in rows)
            self._journal(state, {row.queue_id for row in rows})
        return len(rows)

    def _journal(self, state: str, queue_ids: set[str], **more: str) -> None:
        names = self.queue.selection.names()
        some = sorted(queue_ids)[:MAX_IDS]
        try:
            journal.write(step=f"queue {state}", accounts=names, incident=self.incident, queue_ids=some, count=len(queue_ids), **more)
        except OSError as exc:  # a full disk is the last reason to let mail go out
            self.faults.append(f"{len(queue_ids)} messages were {state}, and the journal could not be written: {exc.strerror}")


def _some(queue_ids: t.Collection[str]) -> dict[str, t.Any]:
    return {"count": len(queue_ids), "queue_ids": sorted(queue_ids)[:MAX_IDS]}


def _by_name(selection: Selection, found: Scan, *queues: str) -> dict[str, int]:
    counts = dict.fromkeys(selection.names(), 0)
    for message in found.messages.values():
        if message.queue in queues:
            counts[message.of] += 1
    return counts


def _told(selection: Selection, found: Scan) -> str:
    """Return the counts as a diff shows them, without any recipient."""
    queued, held = _by_name(selection, found, "maildrop", *MOVABLE), _by_name(selection, found, "hold")
    return "".join(f"{name}: {queued[name]} queued, {held[name]} on hold\n" for name in queued)

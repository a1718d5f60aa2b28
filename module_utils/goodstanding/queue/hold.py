# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold and release the queued mail of accounts, by the login in the envelope. Standard library only, Python >= 3.9."""

from __future__ import annotations

import typing as t

from ..host import journal
from ..host.files import HostError, Run, must
from .envelope import messages_of

#: Mail moves between the queues while they are read: passes until one finds nothing more.
MAX_PASSES = 10


def apply(run: Run, accounts: list[str], state: str, incident: str, check_mode: bool, but: t.Container[str] = ()) -> dict[str, t.Any]:
    """Bring the accounts' queued mail into a state (held, released or listed) but for some queue IDs; return counts per account."""
    directory = must(run, ["postconf", "-h", "queue_directory"], "Postfix's queue directory is not known").strip()
    moved: set[str] = set()
    for _ in range(MAX_PASSES):
        messages = messages_of(accounts, directory)
        wrong = [
            queue_id
            for queue_id, row in messages.items()
            if queue_id not in but and ((state == "held" and row["queue"] != "hold") or (state == "released" and row["queue"] == "hold"))
        ]
        wrong = [queue_id for queue_id in wrong if queue_id not in moved or state == "held"]
        if not wrong or check_mode:
            moved.update(wrong)
            break
        # postsuper ends with 0 for a message that is gone: the next pass is the proof.
        must(
            run,
            ["postsuper", "-h" if state == "held" else "-H", "-"],
            "the queue cannot be changed",
            "\n".join(wrong) + "\n",
        )
        moved.update(wrong)
    else:
        raise HostError(f"mail of {', '.join(accounts)} still moves in the queue after {MAX_PASSES} passes: run again")
    if moved and not check_mode:
        journal.write(
            step=f"queue {state}",
            accounts=accounts,
            incident=incident,
            queue_ids=sorted(moved)[:1000],
            count=len(moved),
        )
    held = [queue_id for queue_id, row in messages.items() if row["queue"] == "hold"]
    return {
        "changed": bool(moved),
        "moved": len(moved),
        "queued": len(messages) - len(held),
        "held": {account: sum(1 for queue_id in held if messages[queue_id]["account"] == account) for account in accounts},
    }

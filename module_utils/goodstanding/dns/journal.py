# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is doing to a zone, on the controller's disk, so that one that broke off is finished or taken back by the next.

One file for each zone, a JSON object a line: the whole plan first, then each batch when it is sent and when it was done. A run that ended
well leaves the file with its last line saying so; the next run replaces it. It holds public records alone, and no secret.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import typing as t
from pathlib import Path
from urllib.parse import quote

from . import wire
from .ask import DnsError
from .plan import Change, saved
from .records import RecordError, key_from, rrset_of

_MAX_SIZE = 500_000_000


class Journal:
    """The journal of one zone; folder None keeps none."""

    def __init__(self, folder: str | None, zone: bytes, view: str = "") -> None:
        name = quote(wire.show(zone) + (f"@{view}" if view else ""), safe="@")
        self.path = Path(folder, f"{name}.jsonl") if folder else None
        self._file: t.TextIO | None = None

    def unfinished(self) -> tuple[list[Change], int, int] | None:
        """Return the plan of a run that broke off, how many of its batches were done, and how many were sent; None where none did."""
        if self.path is None or not self.path.exists():
            return None
        try:
            with open(self.path, encoding="utf-8") as file:
                self._alone(file, fcntl.LOCK_SH)
                text = file.read(_MAX_SIZE)
            rows = text.split("\n")
            first = json.loads(rows[0])
            sent = done = 0
            for row in rows[1:]:
                if not row.endswith("}"):
                    continue  # the last line of a run that was killed
                entry = json.loads(row)
                sent += entry["what"] == "sent"
                done += entry["what"] == "done"
                if entry["what"] == "end":
                    return None
            return [change_of(each) for each in first["changes"]], done, sent
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, IndexError) as exc:
            if isinstance(exc, ValueError) and self._plan_was_cut():
                return None  # it was killed before it sent anything: the plan is written whole before the first batch
            raise DnsError(f"the journal {self.path} cannot be read ({type(exc).__name__}): move it away and run again") from None

    def _alone(self, file: t.TextIO, how: int) -> None:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DnsError(f"another run is at work on this zone (journal {self.path}): wait for its end") from None

    def _plan_was_cut(self) -> bool:
        assert self.path is not None
        return b"\n" not in self.path.read_bytes()

    def begin(self, changes: list[Change], primary: str) -> None:
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o640)
            self._file = os.fdopen(handle, "w", encoding="utf-8")
            self._alone(self._file, fcntl.LOCK_EX)
            self._file.truncate(0)
            plan = {"what": "plan", "at": time.time(), "primary": primary, "changes": list(map(saved, changes))}
            self._file.write(json.dumps(plan) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as exc:
            raise DnsError(f"the journal {self.path} cannot be written ({exc.strerror}); nothing was sent: give another folder") from None

    def note(self, what: str, batch: int = 0) -> None:
        """Add that a batch was sent or done, or that the run ended. Not synced: what stands in the zone is what counts in the end."""
        if self._file is not None:
            try:
                self._file.write(json.dumps({"what": what, "batch": batch}) + "\n")
                self._file.flush()
            except OSError as exc:
                raise DnsError(f"the journal {self.path} cannot be written ({exc.strerror}): make room, and run again") from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def change_of(row: t.Mapping[str, t.Any]) -> Change:
    """Return a change out of saved(); RecordError where it is none."""
    try:
        key = key_from(str(row["name"]), str(row["type"]))
        return Change(key, rrset_of(key, row["before"]), rrset_of(key, row["after"]), False, bool(row.get("whole", True)))
    except (KeyError, TypeError) as exc:
        raise RecordError(f"undo data has a wrong shape ({type(exc).__name__}): give it as it was returned") from None

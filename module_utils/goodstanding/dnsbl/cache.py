# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run may remember for the next: which lists passed their test, and how many questions were asked today. Never needed.

One JSON file without any key of a list in it. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
import typing as t
from pathlib import Path

_MAX_BYTES = 4_000_000


class Cache:
    """path: the file, or None for no memory; frozen: read and never written; max_age: seconds that a passed test is believed."""

    def __init__(self, path: str | None, frozen: bool = False, max_age: float = 6 * 3600) -> None:
        self.path, self.frozen, self.max_age = path, frozen, max_age
        self.now = time.time()
        self.day = time.strftime("%Y-%m-%d", time.gmtime(self.now))
        data = self._load()
        self.passed: dict[str, dict[str, t.Any]] = _tables(data.get("passed"))
        self.asked: dict[str, dict[str, t.Any]] = {
            name: row for name, row in _tables(data.get("asked")).items() if (row.get("day"), type(row.get("count"))) == (self.day, int)
        }

    def _load(self) -> dict[str, t.Any]:
        # A file that cannot be read is no cache: the tests are made again.
        with contextlib.suppress(OSError, ValueError, RecursionError):
            if self.path and Path(self.path).stat().st_size <= _MAX_BYTES:
                data = json.loads(Path(self.path).read_text(encoding="utf-8"))
                return data if isinstance(data, dict) else {}
        return {}

    def recall(self, key: str) -> dict[str, t.Any] | None:
        """Return what was remembered of a passed test (at: epoch), or None where it is too old or not there."""
        row = self.passed.get(key)
        good = row and isinstance(row.get("at"), (int, float)) and isinstance(row.get("soa"), str) and isinstance(row.get("absence"), bool)
        return row if row and good and 0 <= self.now - row["at"] < self.max_age else None

    def remember(self, key: str, soa: str, absence: bool) -> None:
        self.passed[key] = {"at": self.now, "soa": soa, "absence": absence}

    def forget(self, key: str) -> None:
        self.passed.pop(key, None)

    def count(self, operator: str, questions: int = 0) -> int:
        """Add to the questions that an operator was asked today (UTC), and return them."""
        row = self.asked.setdefault(operator, {"day": self.day, "count": 0})
        row["count"] += questions
        return int(row["count"])

    def save(self) -> None:
        """Write the file whole. A cache that cannot be written is none: OSError is for the caller to tell."""
        if not self.path or self.frozen:
            return
        target = Path(self.path)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        passed = {key: row for key, row in self.passed.items() if self.recall(key)}
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".cache-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"passed": passed, "asked": self.asked}, file)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _tables(data: t.Any) -> dict[str, dict[str, t.Any]]:
    return {name: row for name, row in data.items() if isinstance(row, dict)} if isinstance(data, dict) else {}

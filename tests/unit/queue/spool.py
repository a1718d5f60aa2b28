# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A queue of real files in a temporary folder, with records as Postfix 3.7 and 3.10 wrote them, and a postsuper that moves them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from goodstanding_src.module_utils.goodstanding.queue import hold
from goodstanding_src.module_utils.goodstanding.queue.scan import QUEUES, Queue, select


def record(kind: str, data: bytes | str = b"") -> bytes:
    data = data.encode() if isinstance(data, str) else data
    length, size = b"", len(data)
    while True:
        octet, size = size & 0x7F, size >> 7
        length += bytes([octet | (0x80 if size else 0)])
        if not size:
            return kind.encode() + length + data


def message(
    login="", sender="", client="", recipients=("r@dest.test",), lines=("Subject: x", "", "Hello."), extracted=(), done=(), told=""
):
    """Return a queue file in the order of Postfix's own records."""
    envelope = record("T", "1795500000 250000") + record("A", "rewrite_context=local")
    if login:
        envelope += record("A", "sasl_method=PLAIN") + record("A", f"sasl_username={login}")
    envelope += record("S", sender)
    if client:
        envelope += record("A", f"log_client_address={told or client}") + record("A", f"client_address={client}")
    envelope += b"".join(record("O", name) + record("D" if name in done else "R", name) for name in recipients) + record("M")
    content = b"".join(record("N", line) for line in lines)
    sizes = (len(content), 97 + len(envelope), len(recipients) + len(extracted), 0, len(content))
    head = record("C", " ".join(f"{size:15d}" for size in sizes) + " " * 16)
    assert len(head) == 97
    return head + envelope + content + record("X") + b"".join(record("R", name) for name in extracted) + record("E")


class Postfix:
    """A queue directory; run() is its postconf and postsuper. lost: queue IDs that vanish when postsuper comes for them."""

    def __init__(self, root: Path) -> None:
        self.root = root / "spool"
        for queue in QUEUES:
            (self.root / queue).mkdir(parents=True)
        self.commands: list[list[str]] = []
        self.lost: set[str] = set()
        self.journal = root / "state" / "journal.jsonl"

    def put(self, queue: str, queue_id: str, data: bytes, mode: int = 0o700) -> Path:
        folder = self.root / queue
        folder.mkdir(exist_ok=True)
        path = folder / queue_id
        path.write_bytes(data)
        path.chmod(mode)
        return path

    def where(self) -> dict[str, str]:
        return {path.name: path.relative_to(self.root).parts[0] for path in self.root.rglob("*") if path.is_file()}

    def run(self, words: list[str], data: str | None = None) -> tuple[int, str, str]:
        self.commands.append(words)
        if words[:2] == ["postconf", "-h"]:
            return 0, f"{self.root}\n", ""
        assert words[0] in ("postsuper", "postkick"), words
        said = []
        for queue_id in (data or "").split():
            found = [path for path in self.root.rglob(queue_id) if path.is_file()]
            if queue_id in self.lost:
                found[0].unlink()
            elif words[1:] == ["-d", "-", "hold"] and found and found[0].parent.name == "hold":
                found[0].unlink()
                said.append(f"postsuper: {queue_id}: removed\n")
            elif words[1:] in (["-h", "-"], ["-H", "-"]) and found:
                os.rename(found[0], self.root / ("hold" if words[1] == "-h" else "deferred") / queue_id)
        return 0, "", "".join(said)

    def scan(self, *accounts: str, clients=(), uids=()):
        return Queue(str(self.root), select(accounts, clients, uids)).scan()

    def apply(self, state: str, *accounts: str, check_mode=False, evidence=None, **options):
        selection = select(accounts, options.pop("clients", ()), options.pop("uids", ()))
        return hold.apply(self.run, selection, state, "r1", check_mode, evidence=evidence, **options)

    def told(self) -> list[dict]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()] if self.journal.exists() else []

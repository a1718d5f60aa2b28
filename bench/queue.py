#!/usr/bin/env python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds to find the messages of one account among 12,000 in the queues of the lab's two hosts, all submitted by SMTP AUTH.

The peer is postqueue -j, which lists all and does not tell whose they are; postcat, which does, takes about 6 ms a message.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAB = "script/lab"
PEER = "postqueue -j"
HOSTS = ("mx1", "mx2")
FOLDER = "/root/bench"
NUMBER = 12_000
BAD, GOOD = "mallory@alpha.test", "alice@alpha.test"

# Run on the host, in a process of its own as a module is: one look at the queue, and one of postqueue.
LOOK = f"""
import json, resource, subprocess, sys, time
sys.path.insert(0, "{FOLDER}")
from goodstanding.queue.scan import Queue, select
began = time.monotonic()
found = Queue("/var/spool/postfix", select(["{BAD}"])).scan()
ours = time.monotonic() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
began = time.monotonic()
lines = subprocess.run(["postqueue", "-j"], capture_output=True, check=True).stdout.count(b"\\n")
peer = time.monotonic() - began
print(json.dumps({{"ours": ours, "peer": peer, "found": len(found.messages), "lines": lines, "peak_mib": peak}}))
"""


def on(host: str, *words: str, data: bytes = b"") -> bytes:
    done = subprocess.run([LAB, "exec", host, "--", *words], cwd=ROOT, input=data, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{words[0]} on {host} ended with {done.returncode}: {(done.stdout + done.stderr).decode(errors='replace')[-2000:]}"
        )
    return done.stdout


def measure(host: str) -> list[dict]:
    on(host, "sh", "-ec", f"postconf -e defer_transports=smtp && postfix reload && mkdir -p {FOLDER}")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(ROOT / "module_utils/goodstanding", "goodstanding")
    on(host, "tar", "-xC", FOLDER, data=archive.getvalue())
    on(host, "python3", "-", str(NUMBER), BAD, GOOD, data=(ROOT / "tests/integration/queue_fill.py").read_bytes())
    on(
        host,
        "sh",
        "-c",
        "for _ in $(seq 60); do find /var/spool/postfix/incoming /var/spool/postfix/active -type f | grep -q . || exit 0; sleep 1; done",
    )
    return [json.loads(on(host, "python3", "-", data=LOOK.encode())) for _ in range(5)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    subprocess.run([LAB, "reset"], cwd=ROOT, check=True, capture_output=True)
    rows = {host: measure(host) for host in HOSTS}
    subprocess.run([LAB, "reset"], cwd=ROOT, check=True, capture_output=True)
    each = [row for host in HOSTS for row in rows[host]]
    seconds = {name: statistics.median(row[name] for row in each) for name in ("ours", "peer")}
    counts = {(row["found"], row["lines"]) for row in each}
    result = {
        "name": "queue",
        "work": f"find {NUMBER // 2} messages of one account among {NUMBER} in the queue of Postfix 3.7 and 3.10",
        "unit": "seconds, median of the rounds of both hosts",
        "ours": round(seconds["ours"], 3),
        "peers": {PEER: round(seconds["peer"], 3)},
        "ratios": {PEER: round(seconds["peer"] / seconds["ours"], 3)},
        "peak_mib": round(max(row["peak_mib"] for row in each), 1),
        "checks": {"found_and_listed": sorted(counts)},
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    if counts != {(NUMBER // 2, NUMBER)}:
        raise SystemExit("not all was found: the figures are worth nothing")


if __name__ == "__main__":
    main()

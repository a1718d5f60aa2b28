#!/usr/bin/env python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds from the start of remediate.yml to the lock on the last host, on hosts that never saw the project, during a flood.

The peer is ansible -m ping of the same hosts: what no run over SSH can be faster than.
"""

from __future__ import annotations

import argparse
import datetime
import json
import resource
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEER = "ansible -m ping"


def timed(*command: str, codes: tuple[int, ...] = (0,)) -> float:
    """Run a command in the tree and return its seconds; it must end with one of the codes."""
    began = time.time()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode not in codes:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return time.time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    timed("script/lab", "reset")
    timed("script/lab", "outbreak")
    ping = timed(".venv/bin/ansible", "-i", "inventories/lab", "mail_servers", "-m", "ansible.builtin.ping")
    began = time.time()
    total = timed("script/run", "playbooks/remediate.yml", "-i", "inventories/lab", codes=(2,))
    timed("script/lab", "outbreak", "stop")
    report = json.loads((ROOT / "reports/latest/report.json").read_text(encoding="utf-8"))
    (account,) = report["accounts"]
    lock = datetime.datetime.fromisoformat(account["locked_at"].replace("Z", "+00:00")).timestamp() - began
    result = {
        "name": "remediate",
        "work": "find, lock and report one breached account on two hosts without plumbing, during a flood",
        "unit": "seconds from the start of the play to the lock on the last host",
        "ours": round(lock, 2),
        "peers": {PEER: round(ping, 2)},
        "ratios": {PEER: round(ping / lock, 3)},
        "peak_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1),
        "checks": {
            "seconds_to_the_end": round(total, 2),
            "locked_hosts": sum(row["state"] == "locked" for row in account["hosts"]),
            "accepted_after_lock": account["accepted_after_lock"],
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

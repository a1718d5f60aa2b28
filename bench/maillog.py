#!/usr/bin/env python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail log of a million lines, made of what the lab's servers logged (tests/data/maillog): seconds of us, of pflogsumm, and of grep,
which only counts one word.

Ours is the whole reading into the book of a host; then once more, with nothing new in the log. Of the lines 37 % are deliveries to the
outside and 3 % to mailboxes, 21 % qmgr's, 16 % that a client connects or leaves, 11 % cleanup's, 7 % a message's client, 3 % bounce's and
2 % failed logins: an outbreak at a server of submission. It has few lines of IMAP.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINES = 1_000_000
ROUNDS = 3
#: So many copies of the sample have accounts of their own, and so many are of the same processes, each of which logs some 50 lines.
NAMES = 40
LIFE = 10
SAMPLE = ROOT / "tests/data/maillog/mx1.log"
END = 1795500000.0  # 2026-11-24T06:00:00Z
SPAN = 10 * 86400.0

package = types.ModuleType("goodstanding_src")
package.__path__ = [str(ROOT)]
sys.modules.setdefault("goodstanding_src", package)


def write(path: Path) -> dict[str, dict[str, int]]:
    """Write the log; return what a count of its words finds: all, as pflogsumm counts, and of it what has a sender, as we count."""
    sample = [line.split(" ", 1)[1] for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    ids = sorted(set(re.findall(r"\]: ([0-9A-F]{8,14}): ", "\n".join(sample))))
    place = {queue_id: number for number, queue_id in enumerate(ids)}
    marks = r"(?<![0-9A-Z])([0-9A-F]{8,14})(?=: |\Z)|(@alpha\.test|@beta\.test)|(?<=[a-z]\[)(\d+)(?=\]: )"
    pieces = [re.split(marks, line) for line in sample]
    ours = {found for line in sample for found in re.findall(r"\]: ([0-9A-F]{8,14}): (?:client|uid)=", line)}
    words = {
        "received": r": (?:client|uid)=",
        "delivered": ", status=sent ",
        "bounced": ", status=bounced ",
        "deferrals": ", status=deferred ",
    }
    copies = -(-LINES // len(sample))
    step = SPAN / copies
    with path.open("w", encoding="utf-8") as file:
        for copy in range(copies):
            lines = []
            for number, parts in enumerate(pieces):
                moment = END - SPAN + copy * step + number * step / len(pieces)
                stamp = datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).isoformat(timespec="microseconds")
                line = [stamp, " "]
                for text, queue_id, domain, process in zip(parts[::4], parts[1::4], parts[2::4], parts[3::4]):
                    line.append(text)
                    if queue_id:
                        line.append(f"{0xA00000000 + copy * 1000 + place[queue_id]:X}" if queue_id in place else queue_id)
                    else:
                        line.append(f"{copy % NAMES}{domain}" if domain else str(int(process) + copy // LIFE * 1000))
                line.append(parts[-1])
                lines.append("".join(line))
            file.write("\n".join(lines) + "\n")
    os.utime(path, (END, END))
    sent = [line for line in sample if (found := re.search(r"\]: ([0-9A-F]{8,14}): ", line)) and found[1] in ours]
    return {
        name: {word: copies * sum(bool(re.search(pattern, line)) for line in lines) for word, pattern in words.items()}
        for name, lines in (("all", sample), ("with a sender", sent))
    }


def read(log: str, state: str) -> None:
    """In a process of its own: one reading of the log, as the module does it."""
    from goodstanding_src.library import mail_log_info

    params = {
        "source": "file", "paths": [log], "window": 24 * 12, "accepted_since": {}, "history": 28, "state": state, "watch": [],
        **json.load(sys.stdin), "addresses": ["198.51.100.11"], "controller_time": None, "clock_tolerance": 60,
    }  # fmt: skip
    began = time.monotonic()
    result, warning = mail_log_info.run(params, END, False)
    took = time.monotonic() - began
    if warning:
        raise SystemExit(warning)
    names = {"received": "messages", "delivered": "sent", "bounced": "bounced", "deferrals": "deferred"}
    # A bounce of a stranger's mail is this host's own message.
    accounts = [account for name, account in result["accounts"].items() if not name.startswith("backscatter:")]
    found = {name: sum(account[of] for account in accounts) for name, of in names.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": took, "lines": result["lines"], "peak_mib": round(peak, 1), "found": found}))


#: The lab's receiver, so that every delivery of the sample is one to a receiver that is known.
LAB = {"id": "lab", "suffixes": [".example.test"]}
#: What stands before a text that a stranger may repeat.
HOSTILE = (
    "postfix/smtp[5]: A0000001: to=<a@d.test>, relay=r.test[203.0.113.25]:25, delay=1, dsn=5.1.1, status=bounced "
    "(host r.test[203.0.113.25] said: ",
    "dovecot: auth: ",
)
REPEATED = ("(", "(a,1.2.3.4,", "550-5.7.1 ")


def hostile() -> dict[str, float]:
    """Return per number of characters the milliseconds of the slowest line that a stranger stretched so far; a line is cut at 8 KiB."""
    from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog

    slowest = {}
    for length in (2_000, 4_000, 8_000, 1_000_000):
        times = []
        for begin in HOSTILE:
            for text in REPEATED:
                log = MailLog(END, END - SPAN, replies=replies())
                stretched = text * (length // len(text))
                lines = [f"2026-11-24T05:00:00.000000+00:00 mx1 {begin}{number}{stretched}" for number in range(50)]
                began = time.process_time()
                log.feed_lines(lines)
                times.append(1000 * (time.process_time() - began) / len(lines))
        slowest[str(length)] = round(max(times), 3)
    return slowest


def replies() -> list:
    return entries("replies", "provider_replies")


def entries(name: str, file: str = "") -> list:
    import yaml

    found: list = yaml.safe_load((ROOT / f"catalogue/{file or name}.yml").read_text(encoding="utf-8"))[name]
    return found


def ours(log: Path, state: Path) -> dict:
    # As Ansible does, the host gets the catalogue as JSON.
    given = json.dumps({"replies": replies(), "receivers": [*entries("receivers"), LAB]})
    command = [sys.executable, __file__, "--read", str(log), str(state)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"our reading failed: {done.stderr[-2000:]}")
    result: dict = json.loads(done.stdout)
    return result


def timed(*command: str) -> tuple[float, str]:
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"})
    return time.monotonic() - began, done.stdout


def pflogsumm(said: str) -> dict[str, int]:
    """Return the totals of its report that we count too."""
    found = {name: int(count) for count, name in re.findall(r"^ +(\d+) +(received|delivered|bounced)\b", said, re.MULTILINE)}
    found["deferrals"] = int((re.findall(r"\((\d+) +deferrals\)", said) or [0])[0])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(*options.read)
        return
    if not shutil.which("pflogsumm"):
        raise SystemExit("pflogsumm is not installed: run script/bootstrap --bench")
    folder = Path(tempfile.mkdtemp(prefix="goodstanding-bench-"))
    try:
        log = folder / "mail.log"
        put = write(log)
        size = log.stat().st_size / 1e6
        seconds: dict[str, list[float]] = {"ours": [], "pflogsumm": [], "grep": []}
        again, peaks, same = [], [], {"ours": True, "pflogsumm": True}
        for number in range(ROUNDS):
            first = ours(log, folder / f"state{number}.db")
            second = ours(log, folder / f"state{number}.db")
            seconds["ours"].append(first["seconds"])
            again.append(second["seconds"])
            peaks.append(first["peak_mib"])
            same["ours"] = same["ours"] and first["found"] == second["found"] == put["with a sender"] and second["lines"] == 0
            took, said = timed("pflogsumm", str(log))
            seconds["pflogsumm"].append(took)
            same["pflogsumm"] = same["pflogsumm"] and pflogsumm(said) == put["all"]
            seconds["grep"].append(timed("grep", "-c", "status=bounced", str(log))[0])
    finally:
        shutil.rmtree(folder)
    rates = {name: size / statistics.median(each) for name, each in seconds.items()}
    result = {
        "name": "maillog",
        "work": f"a mail log of {size:.0f} MB, {LINES} lines, {os.cpu_count()} cores",
        "unit": "MB a second, median of the rounds",
        "ours": round(rates["ours"], 1),
        "peers": {name: round(rate, 1) for name, rate in rates.items() if name != "ours"},
        "ratios": {name: round(rates["ours"] / rate, 3) for name, rate in rates.items() if name != "ours"},
        "peak_mib": max(peaks),
        "peak_mb": round(max(peaks) * 1.048576, 1),
        "checks": {
            "totals": put,
            "same_totals": same,
            "seconds_with_nothing_new": round(statistics.median(again), 4),
            "ms_of_the_slowest_hostile_line": hostile(),
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    if not all(same.values()):
        raise SystemExit("the totals differ: the figures are worth nothing")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail log of a million lines, as the lab's hosts write them: seconds of us, of pflogsumm, and of grep, which only counts one word.

Ours is the whole reading into the book of a host; then once more, with nothing new in the log.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
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
USERS = 300
END = 1795500000.0  # 2026-11-24T06:00:00Z

package = types.ModuleType("goodstanding_src")
package.__path__ = [str(ROOT)]
sys.modules.setdefault("goodstanding_src", package)


def write(path: Path) -> dict[str, int]:
    """Write the log, and return what was put into it."""
    dice = random.Random(4)  # noqa: S311  the same log each time
    put = {"received": 0, "delivered": 0, "bounced": 0, "deferrals": 0}
    host = "relay=receiver.example.test[203.0.113.25]:25, delay=1.2, delays=0.01/0/0.4/0.8"
    said = "host receiver.example.test[203.0.113.25] said:"
    rejected = "Recipient address rejected: User unknown in virtual mailbox table"
    unknown = f"{said} 550 5.1.1 <x@dest.world.test>: {rejected} (in reply to RCPT TO command)"
    endings = [
        ("delivered", "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4jYFz03MwfzMKgv)", 0.85),
        ("bounced", f"dsn=5.1.1, status=bounced ({unknown})", 0.95),
        ("deferrals", f"dsn=4.7.1, status=deferred ({said} 450 4.7.1 try again later (in reply to end of DATA command))", 1.0),
    ]
    written = number = 0
    with path.open("w", encoding="ascii") as file:
        while written < LINES:
            number += 1
            moment = datetime.datetime.fromtimestamp(END - 200_000 + number * 1.7, datetime.timezone.utc).isoformat(timespec="microseconds")
            queue_id, user, address = (
                f"{0xA000000000 + number * 7919:X}",
                f"user{dice.randrange(USERS)}@alpha.test",
                f"203.0.113.{dice.randrange(250)}",
            )
            recipients = dice.choice((1, 1, 1, 2, 4))
            smtpd = f"postfix/submission/smtpd[{1000 + number % 200}]"
            lines = [
                f"{smtpd}: connect from unknown[{address}]",
                f"{smtpd}: {queue_id}: client=unknown[{address}], sasl_method=PLAIN, sasl_username={user}",
                f"postfix/cleanup[{2000 + number % 50}]: {queue_id}: message-id=<{number}.{user.replace('@', '.')}.lab@botnet>",
                f"postfix/qmgr[99]: {queue_id}: from=<{user}>, size={500 + number % 9000}, nrcpt={recipients} (queue active)",
            ]
            for recipient in range(recipients):
                share = dice.random()
                kind, ending = next((name, text) for name, text, most in endings if share <= most)
                put[kind] += 1
                to = f"to=<known{number % 50}@dest{recipient}.world.test>"
                lines.append(f"postfix/smtp[{3000 + number % 100}]: {queue_id}: {to}, {host}, {ending}")
            lines += [
                f"postfix/qmgr[99]: {queue_id}: removed",
                f"{smtpd}: disconnect from unknown[{address}] ehlo=2 starttls=1 auth=1 mail=1 rcpt={recipients} data=1 quit=1 "
                f"commands={6 + recipients}",
                f"dovecot: imap-login: Logged in: user=<{user}>, method=PLAIN, rip={address}, lip=198.51.100.12, mpid={number}, TLS, "
                "session=<X5lU>",
            ]
            put["received"] += 1
            file.writelines(f"{moment} mx1 {line}\n" for line in lines)
            written += len(lines)
    os.utime(path, (END, END))
    return put


def read(log: str, state: str) -> None:
    """In a process of its own: one reading of the log, as the module does it."""
    import yaml
    from goodstanding_src.library import mail_log_info

    replies = yaml.safe_load((ROOT / "catalogue/provider_replies.yml").read_text(encoding="utf-8"))["replies"]
    params = {"source": "file", "paths": [log], "window": 24 * 15, "accepted_since": {}, "history": 15, "state": state, "replies": replies,
              "addresses": ["198.51.100.11"], "watch": []}  # fmt: skip
    began = time.monotonic()
    result, warning = mail_log_info.run(params, END, False)
    took = time.monotonic() - began
    if warning:
        raise SystemExit(warning)
    names = {"received": "messages", "delivered": "sent", "bounced": "bounced", "deferrals": "deferred"}
    found = {name: sum(account[of] for account in result["accounts"].values()) for name, of in names.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": took, "lines": result["lines"], "peak_mib": round(peak, 1), "found": found}))


def ours(log: Path, state: Path) -> dict:
    done = subprocess.run([sys.executable, __file__, "--read", str(log), str(state)], capture_output=True, text=True, check=False)
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
    found["deferrals"] = int(re.findall(r"\((\d+) +deferrals\)", said)[0])
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
            same["ours"] = same["ours"] and first["found"] == second["found"] == put and second["lines"] == 0
            took, said = timed("pflogsumm", str(log))
            seconds["pflogsumm"].append(took)
            same["pflogsumm"] = same["pflogsumm"] and pflogsumm(said) == put
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
        "checks": {"totals": put, "same_totals": same, "seconds_with_nothing_new": round(statistics.median(again), 4)},
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    if not all(same.values()):
        raise SystemExit("the totals differ: the figures are worth nothing")


if __name__ == "__main__":
    main()

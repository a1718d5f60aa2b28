# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests on real servers share: the lab's commands, and what the botnet, the hosts and the receiver saw."""

from __future__ import annotations

import concurrent.futures
import functools
import inspect
import json
import os
import re
import subprocess
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Other hosts than the lab's, for trying one test by itself: a program that takes script/lab's words, and an inventory.
LAB = os.environ.get("GOODSTANDING_TEST_LAB", str(ROOT / "script/lab"))
INVENTORY = os.environ.get("GOODSTANDING_TEST_INVENTORY", "inventories/lab")
HOSTS = ("mx1", "mx2")
VICTIM = "mallory@alpha.test"
T = t.TypeVar("T")

# What a run may change on a host, and nothing else may: configuration, state, and which daemons run since when.
FINGERPRINT = """
find /etc /var/lib/goodstanding -xdev -type f -exec sha256sum {} + 2>/dev/null | sort -k2
stat -c '%n %a %U %G' /etc/postfix/* /etc/dovecot/*
pgrep -x -d' ' 'master|qmgr|dovecot'
"""


def lab(*words: str, data: str | None = None, check: bool = True) -> str:
    """Run script/lab and return its output."""
    done = subprocess.run([LAB, *words], input=data or "", capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, (
        f"script/lab {' '.join(words)} ended with {done.returncode}: {(done.stderr + done.stdout)[-2000:]}"
    )
    return done.stdout


def on(host: str, *words: str, data: str | None = None, check: bool = True) -> str:
    return lab("exec", host, "--", *words, data=data, check=check)


def both(what: t.Callable[[str], T]) -> dict[str, T]:
    """Do the same on both hosts at once and return what came of it; the first failure is raised when both have ended."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(HOSTS, pool.map(what, HOSTS), strict=True))


def on_both(test: t.Callable[..., None]) -> t.Callable[..., None]:
    """Let a test of one host run on both at once. Its argument host is given here, the others by pytest."""

    @functools.wraps(test)
    def run(**given: t.Any) -> None:
        both(lambda host: test(host=host, **given))

    others = [one for name, one in inspect.signature(test).parameters.items() if name != "host"]
    run.__signature__ = inspect.Signature(others)  # type: ignore[attr-defined]
    return run


def fingerprint() -> dict[str, str]:
    return {host: on(host, "bash", "-c", FINGERPRINT, check=False) for host in HOSTS}


class Run(t.NamedTuple):
    """A playbook that was run: exit code of script/run, its output, its report."""

    code: int
    output: str
    report: dict[str, t.Any]

    @property
    def changed(self) -> int:
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.output))


def run(playbook: str, *options: str) -> Run:
    """Run a playbook on the lab by script/run."""
    command = [str(ROOT / "script/run"), f"playbooks/{playbook}.yml", "-i", INVENTORY, *options]
    own = {name: value for name, value in os.environ.items() if name != "CI"}  # else its output would be redacted
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=own)
    output = done.stdout + done.stderr
    page = re.findall(r"^\w+: (\S+/(?:report|findings))\.(?:html|json)$", output, re.MULTILINE)
    report = json.loads(Path(page[-1] + ".json").read_text(encoding="utf-8")) if page else {}
    return Run(done.returncode, output, report)


def acts() -> list[dict[str, t.Any]]:
    """Return what users and bots did, and how they were answered."""
    return [json.loads(line) for line in on("botnet", "cat", "/var/lib/lab/acts.jsonl", check=False).splitlines()]


def accepted_serials(rows: list[dict[str, t.Any]], kind: str, host: str | None = None) -> set[int]:
    return {row["serial"] for row in rows if row["kind"] == kind and row["event"] == "accepted" and host in (None, row["host"])}


def received_serials() -> dict[str, set[int]]:
    """Return per account the serials that the outside world's Postfix accepted, from its own log."""
    found: dict[str, set[int]] = {}
    for serial, account in re.findall(r"message-id=<(\d+)\.([\w.]+)\.lab@botnet>", on("receiver", "cat", "/var/log/mail.log")):
        found.setdefault(account, set()).add(int(serial))
    return found


def queued_times(host: str, account: str) -> list[float]:
    """Return when qmgr first took each message of an envelope sender in (nrcpt=), from the host's own log, parsed on its own here."""
    import datetime

    command = "cat /var/log/mail.log" if host == "mx1" else "journalctl -q --no-pager -o short-iso-precise SYSLOG_FACILITY=2"
    times: dict[str, float] = {}
    for line in on(host, "bash", "-c", command).splitlines():
        match = re.match(rf"(\S+) \S+ postfix/qmgr\[\d+\]: (\w+): from=<{re.escape(account)}>, size=\d+, nrcpt=", line)
        if match:
            stamp = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", match[1])
            times.setdefault(match[2], datetime.datetime.fromisoformat(stamp).timestamp())
    return sorted(times.values())


def login(account: str, secret: str, host: str) -> dict[str, str]:
    """Return whether an account can send by SMTP and read by IMAP from the outside: {"smtp": "accepted", "imap": "refused"}."""
    answer: dict[str, str] = json.loads(on("botnet", "/var/lib/lab/outbreak.py", "login", account, secret, host))
    return answer


def module(host: str, name: str, **params: t.Any) -> dict[str, t.Any]:
    """Run one module on a host of the lab as the playbooks do and return its result; a failed one has failed and msg."""
    command = [str(ROOT / ".venv/bin/ansible"), "-i", INVENTORY, f"{host}.example.test", "-b", "-m", name]
    command += ["-a", json.dumps(params)] if params else []
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environment)
    start = done.stdout.find("=> {")
    assert start >= 0, (done.stdout + done.stderr)[-2000:]
    result: dict[str, t.Any] = json.JSONDecoder().raw_decode(done.stdout[start + 3 :])[0]
    return {**result, "failed": done.returncode != 0}


def playbook(name: str, *options: str) -> str:
    """Run a playbook of this folder on the lab and return its output."""
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", INVENTORY, f"tests/integration/{name}", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout

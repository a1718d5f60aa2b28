#!/usr/bin/env python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts the labelled sample of tests/data/maillog/labelled out of the whole logs of both hosts, after the acts of the scenarios were done.

usage: sample.py FOLDER    (it holds mx1.log, of rsyslog, and mx2.log, of journalctl -o short-iso-precise SYSLOG_FACILITY=2)
"""

from __future__ import annotations

import json
import re
import sys
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import scenarios
from lab import HOSTS, ROOT
from scenarios import Act, Line, is_failed, written

SAMPLE = ROOT / "tests/data/maillog/labelled"
#: So many acts of a scenario, host and sort are kept, where it is not one of each kind; of those that the hosts share, all.
KEPT = {
    ("flood", "mx1", "failed"): 4, ("botnet", "mx2", "small"): 6, ("office behind one NAT", "mx1", "failed"): 2,
    ("forwarder that bounces", "mx1", "small"): 3,
}  # fmt: skip
_SESSION = re.compile(r"session=<([^>]+)>|<([^<> ]+)>: Disconnected")


def key_of(act: Act) -> str:
    """Return what tells the lines of an act: its serial, or for what has none what was done, by whom and from where."""
    if not is_failed(act) and act["kind"] not in ("imap", "aborted"):
        return str(act["serial"])
    return f"{'failed ' if is_failed(act) else ''}{act['kind']} {act['account']} {act['source']}"


def chosen(staged: scenarios.Scenarios) -> list[tuple[str, Act]]:
    """Return some acts of each scenario, and all of those that both hosts share, each act once."""
    found: list[tuple[str, Act]] = []
    for scenario in staged.all:
        counts: dict[tuple[t.Any, ...], int] = {}
        seen: set[int] = set()
        for _, act in scenario.entries:
            sort = "failed" if is_failed(act) else "large" if len(act["recipients"]) > 5 else "small"
            role = (act["host"], act["kind"], sort)
            if act["serial"] in seen or counts.setdefault(role, 0) >= KEPT.get((scenario.name, act["host"], sort), 1):
                continue
            seen.add(act["serial"])
            counts[role] += 1
            found.append((scenario.name, act))
    return found + [("the same on both hosts", act) for act in staged.acts.all if act["account"] == staged.alike]


def sessions(lines: list[Line]) -> dict[str, list[list[Line]]]:
    """Return what has no serial: the SMTP sessions that failed or were aborted, and the IMAP sessions, by key_of() of their acts."""
    found: dict[str, list[list[Line]]] = {}
    open_smtp: dict[str, list[Line]] = {}
    imap: dict[str, list[Line]] = {}
    for line in lines:
        daemon = line.program.rpartition("/")[2]
        if daemon == "smtpd":
            if line.message.startswith("connect from "):
                open_smtp[line.pid] = []
            session = open_smtp.setdefault(line.pid, [])
            session.append(line)
            if line.message.startswith("disconnect from "):
                text = "\n".join(each.message for each in session)
                address, login = re.search(r"\[([\d.]+)\]", text), re.search(r"sasl_username=(\S+)", text)
                kind = "aborted" if "lost connection after RCPT" in text else "failed send" if "authentication failed" in text else ""
                if address and login and kind:
                    found.setdefault(f"{kind} {login[1]} {address[1]}", []).append(session)
        elif daemon == "dovecot":
            name = _SESSION.search(line.message)
            if name:
                imap.setdefault(name[1] or name[2], []).append(line)
    for session in imap.values():
        user, address = re.search(r"user=<([^>]+)>", session[0].message), re.search(r" rip=([\d.]+)", session[0].message)
        if user and address:
            failed = "failed " if "(auth failed" in session[0].message else ""
            found.setdefault(f"{failed}imap {user[1]} {address[1]}", []).append(session)
    return found


def main() -> None:
    staged = scenarios.Scenarios()
    acts = chosen(staged)
    labels = []
    for host in HOSTS:
        text = (Path(sys.argv[1]) / f"{host}.log").read_text(encoding="utf-8")
        lines = scenarios.parse(text)
        cuts = {**{key: [each] for key, each in scenarios.cut(lines).items()}, **sessions(lines)}
        kept: dict[int, Line] = {}
        for name, act in acts:
            if act["host"] != host:
                continue
            if not cuts.get(key_of(act)):
                raise SystemExit(f"the log of {host} has no lines of {act}: were the acts of this tree done?")
            kept.update({id(line): line for line in cuts[key_of(act)].pop(0)})
            result = "login_failed" if is_failed(act) else "aborted" if act["kind"] == "aborted" else "accepted"
            labels.append({
                "scenario": name, "host": host, "kind": act["kind"], "account": scenarios.name_of(act), "client": act["source"],
                "serial": act["serial"], "recipients": len(act["recipients"]), "unknown": act["unknown"], "result": result,
            })  # fmt: skip
        whole = set(text.splitlines(keepends=True))
        texts = [written(line, line.time) + "\n" for line in sorted(kept.values(), key=lambda line: line.time)]
        if not whole.issuperset(texts):
            raise SystemExit(f"a line of {host} was changed on its way into the sample")
        (SAMPLE / f"{host}.log").write_text("".join(texts), encoding="utf-8")
    (SAMPLE / "acts.json").write_text("[\n" + ",\n".join(json.dumps(label) for label in labels) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()

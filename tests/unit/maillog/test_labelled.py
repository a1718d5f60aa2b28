# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is counted in lines of the lab's real servers is what was done there: tests/data/maillog/labelled."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.maillog.book import Book
from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog

SAMPLE = Path(__file__).resolve().parents[2] / "data/maillog/labelled"
NOW = 1795588200.0  # 2026-11-25T06:30:00Z
ACTS = json.loads((SAMPLE / "acts.json").read_text(encoding="utf-8"))
HOSTS = ("mx1", "mx2")
LINES = {host: (SAMPLE / f"{host}.log").read_text(encoding="utf-8").splitlines() for host in HOSTS}


def read(*parts: list[str]) -> dict[str, t.Any]:
    """Read a log in some runs that follow each other."""
    book, result = Book(None), {}
    for lines in parts:
        log = MailLog(NOW, NOW - 86400, book=book)
        log.feed_lines(lines)
        result = log.result()
        assert (result["unparsed"], result["gaps"]) == (0, [])
    return result


def counted(result: dict[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    names = ("messages", "recipients", "unknown_recipients", "failed_logins", "logins", "clients", "failed_clients", "login_clients")
    return {
        name: {**{key: account[key] for key in names}, "answered": account["sent"] + account["bounced"]}
        for name, account in result["accounts"].items()
    }


def done(host: str) -> dict[str, dict[str, t.Any]]:
    """Return what was done on a host, as the reader should count it."""
    found: dict[str, dict[str, t.Any]] = {}
    for name in {act["account"] for act in ACTS if act["host"] == host}:
        acts = [act for act in ACTS if act["host"] == host and act["account"] == name]
        sent = [act for act in acts if act["kind"] != "imap" and act["result"] == "accepted"]
        logins = [act for act in acts if act["kind"] == "imap" and act["result"] == "accepted"]
        failed = [act for act in acts if act["result"] == "login_failed"]
        if not sent and not failed:
            continue  # who only reads mail is nobody's sender
        begun = [*sent, *(act for act in acts if act["result"] == "aborted")]
        found[name.removesuffix(f"@{host}")] = {
            "messages": len(sent), "recipients": sum(act["recipients"] for act in sent), "answered": sum(act["recipients"] for act in sent),
            "unknown_recipients": sum(act["unknown"] for act in sent), "failed_logins": len(failed), "logins": len(logins),
            "clients": clients(begun), "failed_clients": clients(failed), "login_clients": clients(logins),
        }  # fmt: skip
    return found


def clients(acts: list[dict[str, t.Any]]) -> list[str]:
    return sorted({act["client"] for act in acts} - {""})


@pytest.mark.parametrize("host", HOSTS)
def test_what_is_counted_is_what_was_done(host):
    found = counted(read(LINES[host]))
    bounces = found.pop("backscatter:", {"messages": 0})["messages"]
    assert found == done(host)
    # A stranger's mail that cannot be delivered goes back to the stranger.
    assert bounces == sum(act["host"] == host and act["kind"] == "relay" and act["unknown"] > 0 for act in ACTS)


@pytest.mark.parametrize("host", HOSTS)
def test_wherever_a_run_ends_the_next_one_goes_on(host):
    lines, whole = LINES[host], counted(read(LINES[host]))
    for cut in range(0, len(lines), 7):
        assert counted(read(lines[:cut], lines[cut:])) == whole, f"cut before line {cut + 1}"


def test_both_releases_log_the_same_of_the_same_acts():
    shared = {act["account"] for act in ACTS if act["scenario"] == "the same on both hosts"}
    for name in shared:
        first, second = (counted(read(LINES[host]))[name] for host in HOSTS)
        assert first == second
        assert min(first[key] for key in ("messages", "unknown_recipients", "failed_logins", "logins")) > 0

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on break-ins and on ordinary senders, from the lines that the lab's real servers logged of them.

The table of docs/verdicts.md is what these tests found; GOODSTANDING_WRITE_VERDICTS=1 writes it anew.
"""

from __future__ import annotations

import os
import sys
import time
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import scenarios
import yaml
from goodstanding_src.library import mail_log_info
from goodstanding_src.module_utils.goodstanding.maillog.counters import KINDS, NUMBERS
from goodstanding_src.module_utils.goodstanding.triage import fleet
from goodstanding_src.module_utils.goodstanding.triage.verdict import judge
from lab import HOSTS, ROOT, lab, on
from scenarios import NOW, Scenario

STAGED = scenarios.Scenarios()
ACTS, SCENARIOS = STAGED.acts, STAGED.all
TABLE = ROOT / "docs/verdicts.md"
REPLIES = yaml.safe_load((ROOT / "catalogue/provider_replies.yml").read_text(encoding="utf-8"))["replies"]


class Staged(t.NamedTuple):
    """whole: each host's log as it is; cuts: the lines of each act."""

    whole: dict[str, str]
    cuts: dict[str, dict[str, list[scenarios.Line]]]


class Told(t.NamedTuple):
    """logs: per host what mail_log_info said; verdict: of the fleet."""

    logs: dict[str, dict[str, t.Any]]
    verdict: dict[str, t.Any]


@pytest.fixture(scope="module")
def staged():
    """The lines of every act, which are all done once; and the whole logs."""
    lab("reset")
    on("router", "ip", "route", "replace", "198.18.0.0/15", "via", "203.0.113.2")
    settings = [
        f"mynetworks=127.0.0.0/8, {scenarios.RELAYED}",
        f"virtual_alias_maps=inline:{{ {{{scenarios.FORWARDED}=nobody1@dest3.world.test}} }}",
    ]
    on("mx1", "sh", "-ec", f"postconf -e '{settings[0]}' '{settings[1]}'; postfix reload")
    try:
        done = scenarios.do(ACTS.all)
        for act in ACTS.all:
            act["result"] = done[act["serial"]]["result"]
        unlike = [act for act in ACTS.all if act["result"] not in ("accepted", "login_failed", "aborted")]
        assert unlike == [], f"{len(unlike)} acts did not go as they were to"
        for _ in range(60):
            if all(on(host, "sh", "-c", "mailq | tail -1") == "Mail queue is empty\n" for host in HOSTS):
                break
            time.sleep(1)
        whole = {host: scenarios.logged(host) for host in HOSTS}
        yield Staged(whole, {host: scenarios.cut(scenarios.parse(text)) for host, text in whole.items()})
    finally:
        on("router", "ip", "route", "del", "198.18.0.0/15", check=False)
        lab("reset")


@pytest.fixture(scope="module")
def told(staged, tmp_path_factory):
    """What is found in the log of each scenario."""
    found: dict[str, Told] = {}

    def tell(scenario: Scenario) -> Told:
        if scenario.name not in found:
            logs = {host: read(lines, tmp_path_factory.mktemp("log")) for host, lines in scenarios.compose(scenario, staged.cuts).items()}
            found[scenario.name] = Told(logs, judge(logs, NOW))
        return found[scenario.name]

    return tell


def read(lines: list[str], folder: Path, now: float = NOW) -> dict[str, t.Any]:
    """Read a log of these lines as the module does; it begins with a line that says nothing, so that the log is known since then."""
    log = folder / "mail.log"
    quiet = time.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00 mx postfix/qmgr[1]: quiet", time.gmtime(now - 28 * 86400))
    log.write_text("\n".join([quiet, *lines]) + "\n", encoding="utf-8")
    os.utime(log, (now, now))
    params = {"source": "file", "paths": [str(log)], "window": 24, "accepted_since": {}, "history": 28, "state": str(folder / "book.db"),
              "replies": REPLIES, "addresses": [], "watch": [], "controller_time": None, "clock_tolerance": 60}  # fmt: skip
    result, warning = mail_log_info.run(params, now, False)
    assert (warning, result["unparsed"]) == (None, 0)
    return result


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_the_verdict(scenario, told):
    verdict = told(scenario).verdict
    rows = {row["account"]: row for row in verdict["accounts"]}
    print("\n" + "\n".join(row["sentence"] for row in rows.values()) + "\n".join(cause["text"] for cause in verdict["causes"]))
    if scenario.verdict == "forward":
        assert (rows, {cause["kind"] for cause in verdict["causes"]}) == ({}, {"forward", "backscatter"})
        return
    expected = {} if scenario.verdict is None else dict.fromkeys(scenario.who, scenario.verdict)
    assert {name: row["verdict"] for name, row in rows.items()} == expected
    for row in rows.values():
        assert scenario.says in row["sentence"]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_the_figures_are_those_of_the_acts(scenario, told):
    accounts = fleet.merge(told(scenario).logs)
    for name in scenario.who:
        account, wanted = accounts[name], scenarios.expected(scenario, name)
        found = {
            **{number: account.sums[number] for number in ("messages", "recipients", "unknown_recipients", "failed_logins")},
            "clients": account.at_least["clients"],
        }
        assert found == wanted, name


def test_both_releases_log_the_same_of_the_same_acts(staged, tmp_path):
    """Postfix 3.7 and Dovecot 2.3 on one host, Postfix 3.10 and Dovecot 2.4 on the other."""
    found = {}
    for host, text in staged.whole.items():
        (tmp_path / host).mkdir()
        account = read(text.splitlines(), tmp_path / host, time.time())["accounts"][STAGED.alike]
        found[host] = {name: account[name] for name in (*NUMBERS, *KINDS) if name != "bytes"}
        found[host]["evidence"] = sorted(row["kind"] for row in account["evidence"])
    assert found["mx1"] == found["mx2"]
    acts = [act for act in ACTS.all if act["account"] == STAGED.alike and act["host"] == "mx1"]
    sent = [act for act in acts if act["kind"] == "send" and act["result"] == "accepted"]
    assert {name: found["mx1"][name] for name in ("messages", "recipients", "unknown_recipients", "logins", "failed_logins")} == {
        "messages": 3, "recipients": sum(len(act["recipients"]) for act in sent), "unknown_recipients": 3, "logins": 3, "failed_logins": 6,
    }  # fmt: skip


def table(told: t.Callable[[Scenario], Told]) -> str:
    rows = []
    for scenario in SCENARIOS:
        verdict = told(scenario).verdict
        judged = {row["account"]: row for row in verdict["accounts"]}
        families = sorted({signal["family"] for row in judged.values() for signal in row["signals"]})
        said = sorted({row["verdict"] for row in judged.values()} | {cause["kind"] for cause in verdict["causes"]}) or ["nothing"]
        rows.append(f"| {scenario.name} | {scenario.text} | {', '.join(said)} | {', '.join(families)} |")
    return "\n".join(rows)


def test_the_table_in_the_documentation_is_what_was_found(told):
    text = TABLE.read_text(encoding="utf-8")
    begin, end = text.index("|---|---|---|---|\n") + 18, text.index("\n\n", text.index("|---|---|---|---|"))
    found = table(told)
    print(found)
    if os.environ.get("GOODSTANDING_WRITE_VERDICTS"):
        TABLE.write_text(text[:begin] + found + text[end:], encoding="utf-8")
    else:
        assert text[begin:end] == found, "docs/verdicts.md tells of other verdicts: GOODSTANDING_WRITE_VERDICTS=1 writes it anew"

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of proposals, and the two modules on the controller that write and read it."""

from __future__ import annotations

import datetime

import pytest
import yaml
from goodstanding_src.library import rate_limit_policy_info, rate_limit_proposal
from goodstanding_src.module_utils.goodstanding.findings import document
from goodstanding_src.module_utils.goodstanding.limits import proposals
from goodstanding_src.module_utils.goodstanding.limits.policy import Limit, PolicyError
from goodstanding_src.module_utils.goodstanding.limits.proposals import differing, load, render
from goodstanding_src.module_utils.goodstanding.limits.propose import Proposal, Proposals
from goodstanding_src.module_utils.goodstanding.store import database

NOW = 1795500000.0  # 2026-11-24T06:00:00Z
DAY = 86400


def proposal(hour: int = 100, decide: str = "") -> Proposal:
    limit = Limit({"minute": 50, "hour": hour, "day": 300}, {"minute": 100, "hour": 2 * hour, "day": 600})
    return Proposal(limit, (f"hour: 3 x 99th percentile hour of 20 days: {hour}",), decide)


def found(none=(), **hours) -> Proposals:
    return Proposals({f"{name}@alpha.test": proposal(hour) for name, hour in hours.items()}, dict(none), 0)


FIRST = found({"new@alpha.test": "its past is shorter than 14 days"}, b=120, a=100)
FILE = """accounts:
  # hour: 3 x 99th percentile hour of 20 days: 100
  "a@alpha.test":
    reviewed: false
    soft: {minute: 50, hour: 100, day: 300}
    hard: {minute: 100, hour: 200, day: 600}
  # hour: 3 x 99th percentile hour of 20 days: 120
  "b@alpha.test":
    reviewed: false
    soft: {minute: 50, hour: 120, day: 300}
    hard: {minute: 100, hour: 240, day: 600}
# No proposal was made for these; what stands for them otherwise goes on to stand:
#   "new@alpha.test": its past is shorter than 14 days
"""


def test_the_file_is_sorted_and_says_why():
    text = render(FIRST, None, "f")
    assert text.startswith("---\n# Sending limits, proposed")
    assert text.endswith(FILE)
    assert render(FIRST, "", "f") == render(FIRST, text, "f") == text


def test_a_file_without_a_proposal():
    text = render(found(), None, "f")
    assert text.endswith("accounts: {}\n")
    assert render(found(), text, "f") == text
    assert render(FIRST, text, "f").endswith(FILE)


def test_what_is_not_reviewed_is_written_anew():
    after = render(found(a=101, c=99), render(FIRST, None, "f"), "f")
    assert {name: row["soft"]["hour"] for name, row in yaml.safe_load(after)["accounts"].items()} == {
        "a@alpha.test": 101,
        "c@alpha.test": 99,
    }


REVIEWED = {
    "flag": FILE.replace("reviewed: false\n    soft: {minute: 50, hour: 100", "reviewed: true\n    soft: {minute: 50, hour: 111"),
    "by": FILE.replace('"a@alpha.test":\n    reviewed: false', '"a@alpha.test":\n    by: anna # she knows him\n    reviewed: false'),
    "comments": FILE.replace('  "a@', '\n  # asked him\n  "a@').replace("reviewed: false", "reviewed: true # ok", 1).replace(
        "  # hour: 3 x 99th percentile hour of 20 days: 120", "    # and about his day, too\n  # hour: 120"
    ),
    "in braces": 'accounts:\n  "a@alpha.test": {reviewed: true, soft: {hour: 7}}\n',
    "in lines": "accounts:\n  a@alpha.test:\n    soft:\n      hour: 7\n      day: 9\n    reviewed: true\n  b@alpha.test:\n    soft: {}\n",
    "four spaces": 'accounts:\n    "a@alpha.test":\n        reviewed: true\n        soft: {hour: 7}\n',
    "capitals": FILE.replace('"a@alpha', '"A@Alpha').replace("reviewed: false", "reviewed: true", 1),
    "folded": "accounts:\n  a@alpha.test:\n    reviewed: true\n    soft: {hour: 7}\n    by: >\n      anna,\n      by telephone\n\n\n",
    "CRLF": 'accounts:\r\n  "a@alpha.test":\r\n    reviewed: true\r\n    soft: {hour: 7}\r\n',
    "own head": "# of our shop\n---\n\n# limits\n" + FILE.replace("reviewed: false", "reviewed: true", 1),
}  # fmt: skip


@pytest.mark.parametrize("loader", [yaml.SafeLoader, proposals.LOADER], ids=lambda loader: loader.__name__)
@pytest.mark.parametrize("name", REVIEWED)
def test_what_somebody_reviewed_stays(name, loader, monkeypatch):
    monkeypatch.setattr(proposals, "LOADER", loader)
    before = REVIEWED[name]
    old = next(row for key, row in yaml.safe_load(before)["accounts"].items() if key.lower() == "a@alpha.test")
    after = render(found(a=150, b=120), before, "f")
    new = {key.lower(): row for key, row in yaml.safe_load(after)["accounts"].items()}
    assert new["a@alpha.test"] == old
    assert new["b@alpha.test"]["soft"]["hour"] == 120
    assert "# Proposed now: soft {minute: 50, hour: 150, day: 300}, hard {minute: 100, hour: 300, day: 600}" in after
    assert "# Proposed now: hour: 3 x 99th percentile hour of 20 days: 150" in after
    # Each of its lines is there, and only what is not reviewed was written anew.
    block = before[before.index("accounts:") : before.index("  # hour: 120") if name == "comments" else None]
    mine = block.split('  "b@')[0].split("  b@")[0].splitlines()[:-1] if "b@" in block else block.splitlines()
    kept = [line for line in mine if "percentile hour of 20 days: 120" not in line and line.strip()]
    lines = iter(after.splitlines())
    assert all(line in lines for line in kept)
    # A second run says the same, and what is proposed no more takes its comment away again.
    assert render(found(a=150, b=120), after, "f") == after
    gone = render(found(b=120), after, "f")
    assert "Proposed now" not in gone
    assert render(found(b=120), before, "f") == gone


def test_a_review_that_agrees_has_nothing_beside_it():
    before = FILE.replace("reviewed: false", "reviewed: true", 1)
    assert render(FIRST, before, "f") == before
    assert differing(FIRST, before, "f") == []
    assert differing(found(a=150, b=1), before, "f") == ["a@alpha.test"]
    assert differing(FIRST, None, "f") == []


def test_a_head_of_ones_own_stays():
    after = render(FIRST, REVIEWED["own head"], "f")
    assert after == REVIEWED["own head"]


def test_a_reviewed_account_is_not_called_one_without_a_proposal():
    after = render(found({"a@alpha.test": "its past is shorter than 14 days"}), FILE.replace("reviewed: false", "reviewed: true", 1), "f")
    assert '#   "a@alpha.test"' not in after
    assert list(yaml.safe_load(after)["accounts"]) == ["a@alpha.test"]


def test_an_account_to_decide_about_and_hostile_names():
    none = {'x"\n  evil: {reviewed: true}': "its name cannot be given to an engine", "ä" * 500: "its name cannot be given to an engine"}
    text = render(Proposals({"no": proposal(decide="too much"), "1": proposal()}, none, 0), None, "f")
    assert "  # DECIDE: too much\n  # hour: 3 x" in text
    assert list(yaml.safe_load(text)["accounts"]) == ["1", "no"]
    assert "\n  evil" not in text
    assert max(map(len, text.splitlines())) < 700
    many = render(Proposals({}, {f"{number:04}": "short" for number in range(600)}, 0), None, "f")
    assert many.count('#   "') == 500
    assert many.endswith("#   and 100 more\n")


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("accounts: [", "f is left as it is: f is no YAML"),
        ("accounts: {", "no YAML"),
        ("a\udcff: 1", "no YAML"),
        ("accounts:\n  a: {by: 2026-02-30}", "no YAML"),
        ("limits: {}", "has 'limits', which is not known there"),
        ("# nothing\n", "it has no accounts: expected a file that playbooks/propose_limits.yml wrote"),
        ("accounts:\n", "it has no accounts"),
        ("- a\n", "f is left as it is"),
        (FILE.replace("hour: 100", "hour: 10"), "account a@alpha.test, soft: the minute, 50, is above the hour, 10"),
        (FILE.replace("reviewed: false", "reviewed: nearly"), "reviewed is 'nearly': expected true or false"),
        (FILE.replace('"b@', '"a@'), "the account 'a@alpha.test' is there twice: leave one"),
        ("accounts: {a: {reviewed: true, soft: {hour: 7}}}", "its accounts stand in braces"),
        ("accounts: {a: {soft: &x {hour: 7}}, b: {soft: *y}}", "no YAML"),
    ],
)
def test_a_file_that_is_not_understood_is_left(before, message):
    with pytest.raises(PolicyError, match=message):
        render(FIRST, before, "f")


def test_an_entry_that_needs_another_is_not_torn_from_it():
    before = "accounts:\n  b@alpha.test: &b\n    soft: {hour: 7}\n  c@alpha.test:\n    <<: *b\n    reviewed: true\n"
    with pytest.raises(PolicyError, match="f "):
        render(FIRST, before, "f")


# ---- the modules


def logs(recipients: int = 100, **more) -> dict:
    hours = [[int(NOW // 3600) - 24 * day, recipients, 0, recipients, 0, 0] for day in range(27, 0, -1)]
    past = {"recipients": 27 * recipients, "history": {"seen": NOW - 40 * DAY, "hours": hours, "days": {}}}
    return {"mx1": {"complete": True, "span": {"since": NOW - 28 * DAY}, "accounts": {"a@alpha.test": past}}, **more}


@pytest.fixture
def write(tmp_path):
    """Return what runs rate_limit_proposal with options."""
    usual = {
        "logs": logs(), "dest": str(tmp_path / "limits.yml"), "percentile": 99.0, "factor": 3.0, "hard_factor": 2.0, "floor": {},
        "ceiling": {}, "days": 14, "window": 24, "incidents": [], "state_url": None, "partial": False,
    }  # fmt: skip
    return lambda check_mode=False, now=NOW, **options: rate_limit_proposal.run({**usual, **options}, now, check_mode)


def test_the_module_writes_once(write, tmp_path):
    would = write(check_mode=True)
    assert not (tmp_path / "limits.yml").exists()
    assert would["changed"]
    assert '+  "a@alpha.test":' in would["diff"][0]["prepared"]
    assert write() == would
    assert (tmp_path / "limits.yml").stat().st_mode & 0o777 == 0o600
    again = write(now=NOW + 3600)
    assert (again["changed"], again["diff"], again["proposed"]) == (False, [], 1)


def test_a_host_that_was_not_read_stops_it(write, tmp_path):
    down = {"mx2": {"failed": True, "msg": "the host could not be reached"}}
    with pytest.raises(PolicyError, match=r"the log of mx2 was not read \(the host could not be reached\)"):
        write(logs=logs(**down))
    with pytest.raises(PolicyError, match="the log of mx2 was not read"):
        write(logs=down, partial=True)
    with pytest.raises(PolicyError, match="no log was given"):
        write(logs={})
    assert not (tmp_path / "limits.yml").exists()
    gaps = {"mx3": {"complete": False, "gaps": ["a hole"], "accounts": {}, "span": {"since": NOW - 28 * DAY}}}
    told = write(logs=logs(**down, **gaps), partial=True)["unknown_hosts"]
    assert [row["host"] for row in told] == ["mx2", "mx3"]


def test_break_ins_of_the_store_and_of_the_administrator_are_left_out(write, tmp_path):
    told = {"account": "a@alpha.test", "since": "2026-11-10", "until": None}
    assert write(incidents=[told])["none"] == {"a@alpha.test": "its past without the known break-in is shorter than 14 days"}
    url = f"sqlite:///{tmp_path}/store.db"
    assert write(check_mode=True, state_url=url)["proposed"] == 1  # there is none
    verdict = {
        "accounts": [{"account": "a@alpha.test", "verdict": "compromised", "sentence": "x", "signals": [], "evidence": []}],
        "causes": [],
        "unknown_hosts": [],
    }
    run = document.assess(document.start("r1", "lab", "observe", False, NOW - 9 * DAY), {"mx1": {}}, verdict)
    database.save_run(database.open_store(url), run)
    assert write(state_url=url)["none"] == {"a@alpha.test": "its past without the known break-in is shorter than 14 days"}
    assert write(state_url=url, days=6)["proposed"] == 1


def test_a_file_goes_into_the_policy_when_it_is_reviewed(write, tmp_path):
    given = dict.fromkeys(rate_limit_policy_info.WORDS) | {"mode": "shadow", "proposals": str(tmp_path / "limits.yml")}
    today = datetime.date(2026, 11, 24)
    with pytest.raises(PolicyError, match=r"rate_limit_proposals names .*, which is not there: run playbooks/propose_limits.yml"):
        rate_limit_policy_info.run(given, today)
    write()
    result = rate_limit_policy_info.run(given, today)
    assert (result["policy"]["overrides"], result["unreviewed"]) == ([], 1)
    file = tmp_path / "limits.yml"
    file.write_text(file.read_text().replace("reviewed: false", "reviewed: true"))
    result = rate_limit_policy_info.run(given, today)
    soft, hard = {"minute": 100, "hour": 300, "day": 300}, {"minute": 200, "hour": 600, "day": 600}
    assert result["policy"]["overrides"] == [{"scope": "account", "key": "a@alpha.test", "soft": soft, "hard": hard}]
    assert result["limits"][-1] == {
        "scope": "account", "key": "a@alpha.test", "soft": soft, "hard": hard, "source": "proposal", "text": "reviewed proposal",
    }  # fmt: skip
    assert result["unreviewed"] == 0
    assert load("", "f") is None

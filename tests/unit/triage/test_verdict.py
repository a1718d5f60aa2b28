# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.triage.verdict import VerdictError, judge

QUIET = {"messages": 20, "recipients": 20, "sent": 20, "peak_hour_recipients": 8, "clients": ["192.0.2.1"], "clients_at_least": 1}


def log(**accounts: dict) -> dict:
    return {"complete": True, "gaps": [], "accounts": {name: {**QUIET, **counters} for name, counters in accounts.items()}}


def verdicts(*logs: dict, **options) -> dict[str, str]:
    result = judge({f"mx{number}": entry for number, entry in enumerate(logs, 1)}, today="2026-11-24", **options)
    return {row["account"]: row["verdict"] for row in result["accounts"]}


SPREAD = {"clients": [f"192.0.2.{n}" for n in range(12)], "clients_at_least": 12}


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        ({}, None),
        ({"peak_hour_recipients": 501}, "suspect"),
        ({"peak_hour_recipients": 500}, None),
        ({"peak_hour_recipients": 900, "reputation_refusals": 50}, "suspect"),
        ({"reputation_refusals": 50}, None),
        ({"peak_hour_recipients": 900, "unknown_recipients": 100, "bounced": 100}, "compromised"),
        ({"unknown_recipients": 30, "sent": 1000}, None),
        ({"unknown_recipients": 30, "bounced": 30}, "suspect"),
        ({**SPREAD, "reputation_refusals": 5}, "compromised"),
        ({**SPREAD}, "suspect"),
        ({"failed_logins": 50, "failed_clients_at_least": 9, **SPREAD}, "compromised"),
        ({"failed_logins": 50, "failed_clients_at_least": 9, "messages": 0}, None),
        ({"failed_logins": 50, "failed_clients_at_least": 1}, None),
    ],
)
def test_families(counters, expected):
    assert verdicts(log(a=counters)).get("a") == expected


def test_volume_and_reputation_are_not_enough():
    """A newsletter on a listed server is much mail that is refused: no break-in."""
    assert verdicts(log(a={"peak_hour_recipients": 9000, "reputation_refusals": 500})) == {"a": "suspect"}


def test_hosts_are_added_up():
    half = {"peak_hour_recipients": 300, "unknown_recipients": 15, "bounced": 15}
    assert verdicts(log(a=half)) == {}
    assert verdicts(log(a=half), log(a=half)) == {"a": "compromised"}


def test_addresses_of_hosts_are_merged_not_added():
    one = {"clients": [f"192.0.2.{n}" for n in range(6)], "clients_at_least": 6}
    assert verdicts(log(a=one), log(a=one)) == {}


def test_failed_logins_of_one_address_on_many_hosts_are_of_one_address():
    one = {"failed_logins": 50, "failed_clients": ["192.0.2.1", "192.0.2.2"], "failed_clients_at_least": 2}
    assert verdicts(log(a=one), log(a=one)) == {}


def test_hosts_that_say_too_little_are_unknown():
    result = judge({"mx1": {"failed": True, "msg": "down"}, "mx2": {**log(), "complete": False, "gaps": ["a hole"]}})
    assert result["unknown_hosts"] == [{"host": "mx1", "reason": "down"}, {"host": "mx2", "reason": "the log is not complete: a hole"}]


@pytest.mark.parametrize(("expires", "expected"), [("2026-11-24", "exempt"), ("2026-11-23", "compromised")])
def test_exemptions_expire(expires, expected):
    loud = {"peak_hour_recipients": 900, **SPREAD}
    exempt = [{"account": "A", "reason": "newsletter", "expires": expires}]
    assert verdicts(log(a=loud), exempt=exempt) == {"a": expected}


def test_the_surest_comes_first():
    loud = {"peak_hour_recipients": 900, **SPREAD}
    result = judge({"mx1": log(a=SPREAD, b={**loud, "unknown_recipients": 500, "bounced": 500}, c=loud)})
    assert [row["account"] for row in result["accounts"]] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thresholds": {"recipents": 1}}, "no threshold is named 'recipents'"),
        ({"thresholds": {"unknown_recipients": "many"}}, "unknown_recipients is 'many': it must be a number"),
        ({"exempt": [{"account": "a", "expires": "2026-12-01"}]}, "the exemption 'a' lacks reason"),
        ({"exempt": [{"account": "a", "reason": "r", "expires": "soon"}]}, "write the day as YYYY-MM-DD"),
    ],
)
def test_bad_input_is_named(options, words):
    with pytest.raises(VerdictError, match=words):
        judge({}, **options)

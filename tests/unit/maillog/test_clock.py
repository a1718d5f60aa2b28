# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose clock is not the controller's: its log cannot be compared with that of others."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from goodstanding_src.library import mail_log_info

NOW = 1795500000.0
ROOT = Path(__file__).resolve().parents[3]

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core before 2.19
    trust_as_template = str


@pytest.mark.parametrize(
    ("controller", "tolerance", "skew", "words"),
    [
        (None, 60, None, None),
        (NOW - 59.96, 60, 60.0, None),
        (NOW - 61.04, 60, 61.0, "is 61 s ahead of the controller's"),
        (NOW + 3600.25, 60, -3600.2, "is 3600.2 s behind the controller's"),
        (NOW + 3600.25, 4000, -3600.2, None),
    ],
)
def test_the_clock_is_compared_with_the_controllers(tmp_path, monkeypatch, controller, tolerance, skew, words):
    monkeypatch.setattr(mail_log_info, "load_state", lambda name: {})
    log = tmp_path / "mail.log"
    log.write_text("2026-11-24T05:59:00+00:00 mx1 postfix/qmgr[1]: x\n")
    params = {
        "source": "file", "paths": [str(log)], "window": 10**6, "accepted_since": {}, "history": 15, "watch": [], "state": "",
        "replies": [], "addresses": [], "controller_time": controller, "clock_tolerance": tolerance,
    }  # fmt: skip
    result, _ = mail_log_info.run(params, NOW, False)
    assert result["clock_skew"] == skew
    assert result["complete"] is (words is None)
    if words:
        assert words in result["gaps"][0]


@pytest.mark.parametrize("zone", ["UTC", "America/Caracas", "Pacific/Auckland"])
def test_the_role_sends_the_time_whatever_the_controllers_zone_is(monkeypatch, zone):
    block = next(task for task in yaml.safe_load((ROOT / "roles/abuse_triage/tasks/collect.yml").read_text()) if "block" in task)["block"]
    expression = block[0]["mail_log_info"]["controller_time"]
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        templar = Templar(loader=DataLoader())
        assert abs(float(templar.template(trust_as_template(expression))) - time.time()) < 5
        wrong = float(templar.template(trust_as_template(expression.replace("now()", "now(utc=true)"))))
        assert (abs(wrong - time.time()) < 5) is (zone == "UTC"), "this is why it is not now(utc=true)"
    finally:
        monkeypatch.undo()
        time.tzset()

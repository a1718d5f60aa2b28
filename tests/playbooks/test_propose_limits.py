# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that playbooks/propose_limits.yml writes out of the logs of two hosts."""

from __future__ import annotations

import time

import pytest
import yaml


@pytest.fixture
def played():
    """Return what mail_log_info answers on each host: a log of 28 days in which an account sent 50 recipients an hour."""
    now = time.time()
    hours = [[int(now // 3600) - 24 * day, 50, 0, 50, 0, 0] for day in range(27, 0, -1)]
    account = {"recipients": 1350, "history": {"seen": now - 28 * 86400, "hours": hours, "days": {}}}
    log = {"changed": False, "complete": True, "gaps": [], "span": {"since": now - 28 * 86400}, "accounts": {"a@alpha.test": account}}
    return {"mail_log_info": log}


def test_a_review_stays(play, played, tmp_path):
    code, _, output = play("propose_limits", played)
    assert (code, "1 proposals are in" in output) == (0, True), output
    file = tmp_path / "proposed_limits.yml"
    entry = yaml.safe_load(file.read_text())["accounts"]["a@alpha.test"]
    assert entry["soft"] == {"minute": 100, "hour": 300, "day": 300}  # both hosts are one fleet
    text = file.read_text().replace("reviewed: false", "reviewed: true").replace("hour: 300", "hour: 250")
    mine = tmp_path / "mine.yml"
    mine.write_text(text)
    code, _, output = play("propose_limits", played, rate_limit_proposals=str(mine), rate_limit_propose_floor={"day": 400})
    assert code == 0, output
    assert "Reviewed otherwise than would be proposed now: a@alpha.test" in " ".join(output.split())
    assert "# Proposed now: soft {minute: 100, hour: 300, day: 400}" in mine.read_text()
    assert yaml.safe_load(mine.read_text()) == yaml.safe_load(text)


def test_a_host_that_cannot_be_read_stops_it(play, played, tmp_path):
    code, _, output = play("propose_limits", {"mail_log_info": {"failed": True, "msg": "no log here"}})
    assert code == 2
    assert "the log of mx1 (and of 1 more) was not read (no log here)" in " ".join(output.split())
    assert not (tmp_path / "proposed_limits.yml").exists()

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself: a half-raised one is repaired, and its lists answer as the catalogue expects."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from lab import lab, on


def test_a_half_raised_lab_is_repaired():
    on("ns2", "systemctl", "poweroff")
    on("mx2", "ip", "route", "del", "default")
    lab("up")
    states = dict(line.split()[::2] for line in lab("status").splitlines())
    assert len(states) == 9
    assert not [host for host, state in states.items() if state not in ("running", "degraded")]
    assert "default via 198.51.100.254" in on("mx2", "ip", "route")


def test_the_lists_have_their_test_points_and_the_secondary_serves_the_zones():
    points = set(on("mx1", "dig", "+short", "2.0.0.127.zen.spamhaus.org").split())
    assert points == {"127.0.0.2", "127.0.0.4", "127.0.0.10"}
    assert "status: NXDOMAIN" in on("mx1", "dig", "1.0.0.127.zen.spamhaus.org")
    assert on("mx1", "dig", "+short", "@198.51.100.54", "mx1.example.test").strip() == "198.51.100.11"
    assert on("mx1", "dig", "+short", "-x", "198.51.100.12").strip() == "mx2.example.test."

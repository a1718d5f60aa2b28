# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.delisting import enrolments

sys.path.insert(0, str(Path(__file__).parent))
import verified as found


@pytest.mark.parametrize(
    ("said", "alive"),
    [
        ({"feeds": [{"feed": "Microsoft SNDS, fleet: data link", "state": "current"}]}, {"snds"}),
        # A link that never answered is no sign of life.
        ({"feeds": [{"feed": "Microsoft SNDS, fleet: data link", "state": "no_data"}]}, set()),
        ({"observations": [{"source": "complaints:microsoft"}]}, {"jmrp"}),
        ({"observations": [{"source": "complaints:yahoo"}]}, {"yahoo_cfl"}),
        ({"observations": [{"source": "list.dnswl.org", "outcome": "allowed", "subject": found.ADDRESS}]}, {"dnswl"}),
        ({"addresses": [{"clean": ["b.barracudacentral.org"]}]}, {"barracuda"}),
    ],
)
def test_an_enrolment_is_alive_where_its_data_came_and_nowhere_else(said, alive):
    nothing = {"observations": [], "addresses": [], "names": [], "feeds": []}
    rows = enrolments.rows(found.DATA["enrolments"], [], {**nothing, **said}, {}, found.NOW)
    assert {row["id"] for row in rows if row["state"] == "alive"} == alive

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which servers are asked for the fleet's records: of a zone in several views, those of each view or none is proven."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.dkim import served
from goodstanding_src.module_utils.goodstanding.dns import wire
from goodstanding_src.module_utils.goodstanding.dns.records import RecordError

OURS = [
    {"name": "alpha.test", "primary": "192.0.2.1", "view": view, "key_name": view, "key_secret": "c2VjcmV0"}
    for view in ("int", "ext", "lab")
]


def test_a_zone_in_several_views_is_not_proven_by_the_servers_of_one():
    (zone,) = served.zones([*OURS], [], None).values()
    assert [fault for fault in zone.faults if "views" in fault] == [
        "it is kept in several views: name the servers of each view in dkim_proof_zones, or it is never proven"
    ]
    servers = [{"address": "192.0.2.1", "port": 53, "view": row["view"], "key_name": row["view"], "key_secret": "c2VjcmV0"} for row in OURS]
    told = [{"name": "alpha.test", "discover": False, "servers": servers}]
    zone = served.zones(OURS, told, None)[wire.pack("alpha.test")]
    assert ([each.view for each in zone.authorities], zone.faults) == (["int", "ext", "lab"], [])
    assert len(zone.primaries) == 3
    with pytest.raises(RecordError, match="twice in dkim_proof_zones: give it once, with a row in servers for each view"):
        served.zones(OURS, [{**told[0], "servers": [server]} for server in servers], None)

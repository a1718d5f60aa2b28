# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which servers are asked for the fleet's records: of a zone in several views, those of each view or none is proven."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.dkim import served
from goodstanding_src.module_utils.goodstanding.dkim.rotation import Slot
from goodstanding_src.module_utils.goodstanding.dns import ask, propagation, wire
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


RECORD = "v=DKIM1; k=rsa; p=eA=="
NAME = "s1._domainkey.alpha.test"
SOA = wire.RRset(300, (b"\0\0" + (7).to_bytes(4, "big") + b"\0" * 12 + (30).to_bytes(4, "big"),))


@pytest.mark.parametrize(
    ("second", "wild", "served_", "stale"),
    [
        (RECORD, False, True, ()),
        ("", False, False, ("192.0.2.2: missing",)),
        ("v=DKIM1; p=", False, False, ("192.0.2.2: different",)),
        (None, False, None, ("192.0.2.2: timeout",)),
        (RECORD, True, False, ("192.0.2.2 answers for any selector",)),
    ],
)
def test_a_key_is_served_where_every_server_has_it_alone_and_nothing_answers_for_all(monkeypatch, second, wild, served_, stale):
    """And whoever asked too early may remember for the zone's negative TTL that it was not there."""
    texts = {"192.0.2.1": RECORD, "192.0.2.2": second}

    def played(server, questions, **_):
        text = texts[server.address]
        rrset = wire.RRset(60, (wire.txt_data(text.encode()),)) if text else None
        if text is None:
            return [ask.Reply("timeout") for _ in questions]
        there = {(wire.pack(NAME), wire.TXT): rrset, (wire.pack("alpha.test"), wire.SOA): SOA}
        found = [there.get(key) or (rrset if wild and server.address == "192.0.2.2" and key[1] == wire.TXT else None) for key in questions]
        return [ask.Reply("", 0 if one else wire.NXDOMAIN, True, one) for one in found]

    monkeypatch.setattr(propagation, "ask", played)
    monkeypatch.setattr(served, "ask", played)
    servers = [ask.Server(address) for address in texts]
    slot = Slot("mx1", "alpha.test", "s1", "rsa", "published", 0.0, "one", record=RECORD)
    for primaries in (servers[:1], []):  # of a zone that others change (backend: manual) none is known
        zone = served.Zone(wire.pack("alpha.test"), [propagation.Authority(server) for server in servers], [], primaries)
        saw = served.look([slot], [], {}, {zone.name: zone}, 60).seen[slot.key]
        assert (saw.served, saw.stale, saw.wait, saw.primary) == (served_, stale, 30.0, "equal")

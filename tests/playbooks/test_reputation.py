# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/reputation.yml as a part of a run: with the real module, a resolver and a list's own name server on loopback."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/servers"))
from dns_server import Lists, Server  # noqa: E402  a folder of tests, no package

ADDRESS, ASKED = "198.51.100.11", "11.100.51.198.zen.spamhaus.org."
ZEN = {"zen.spamhaus.org": {"2.0.0.127": ["127.0.0.2", "127.0.0.4", "127.0.0.10"]}}


def test_open_cases_are_asked_at_the_lists_own_servers(play, tmp_path):
    with (
        Server(Lists(ZEN, servers={"a.ns.test": "127.0.0.2"})) as resolver,
        Server(Lists(ZEN, authoritative=True), address="127.0.0.2", port=resolver.port) as own,
    ):
        given = {
            "goodstanding_hosts": ["mx1"], "goodstanding_follow": [{"subject": ADDRESS, "zone": "zen.spamhaus.org"}],
            "sending_addresses": [ADDRESS, "198.51.100.12"], "reputation_lists": ["zen.spamhaus.org"],
            "reputation_resolver": "127.0.0.1", "reputation_resolver_port": resolver.port, "reputation_authoritative_port": resolver.port,
            "reputation_cache": str(tmp_path / "cache.json"), "reputation_egress_name": "", "reputation_rate": 0,
            "reputation_allow_documentation_addresses": True,
        }  # fmt: skip
        code, _, output = play("reputation", **given)
    assert code == 0, output
    assert [each.name for each in own.asked if each.name.startswith(("11.", "12."))] == [ASKED]

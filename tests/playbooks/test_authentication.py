# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An assessment looks at what receivers see: a real name server on loopback answers, the hosts' signers are played."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/unit/mailauth"))
from world import GOOD, zone_server  # noqa: E402  a folder of tests, no package

A = "198.51.100.11"
RECORDS = {
    ("11.100.51.198.in-addr.arpa", "PTR"): ["mx1.alpha.test"],
    ("mx1.alpha.test", "A"): [A],
    ("mx1.alpha.test", "TXT"): ["v=spf1 a -all"],
    ("alpha.test", "TXT"): [f"v=spf1 ip4:{A} -all"],
    ("alpha.test", "MX"): ["10 mx1.alpha.test"],
    ("s1._domainkey.alpha.test", "TXT"): [GOOD],
}
SIGNATURE = {"domain": "alpha.test", "selector": "s1", "algorithm": "rsa-sha256", "fault": ""}
PLAYED = {
    "mail_log_info": {"failed": True, "msg": "no log"},
    "rate_limit_info": {"failed": True, "msg": "no limits"},
    "dkim_signing_info": {
        "changed": False, "signer": "rspamd", "faults": [], "unasked": [], "keys": [],
        "probes": [{"domain": "alpha.test", "signatures": [SIGNATURE], "faults": []}],
    },
}  # fmt: skip
INVENTORY = {
    "sending_addresses": [A], "sending_names": ["alpha.test", "mx1.alpha.test"], "mail_dns_helo": "mx1.alpha.test",
    "reputation_lists": [], "mail_dns_timeout": 0.5,
}  # fmt: skip


@pytest.fixture
def assess(play, tmp_path):
    """Return what assesses with variables, and returns the findings' part, its open points, and the output."""

    def run(**given):
        code, _, output = play("assess", played=PLAYED, goodstanding_run_id="r1", **given)
        assert code == 0, output
        written = json.loads((tmp_path / "r1" / "findings.json").read_text())
        return written["authentication"], [point["what"] for point in written["open_points"]], output

    return run


def test_an_assessment_sees_what_receivers_see(assess):
    with zone_server(RECORDS) as server:
        part, points, _ = assess(**INVENTORY, mail_dns_resolvers=["127.0.0.1"], mail_dns_resolver_port=server.port)
    assert part["state"] == "asked"
    found = {(row["subject"], row["rule"]): row["state"] for row in part["checklist"]}
    assert found[(A, "reverse_name")] == found[(A, "helo")] == found[("alpha.test", "dkim")] == "holds"
    assert found[("alpha.test", "dmarc")] == "does_not"
    assert [row["domain"] for row in part["domains"]] == ["alpha.test"], "a HELO name is no domain in From:"
    assert [row["host"] for row in part["signers"]] == ["mx1", "mx2"]
    assert [(row["host"], row["selector"], row["signs"], row["published"]) for row in part["keys"]] == [
        ("mx1", "s1", True, "holds"),
        ("mx2", "s1", True, "holds"),
    ]
    with zone_server(RECORDS) as server:
        resolver = {"mail_dns_resolvers": ["127.0.0.1"], "mail_dns_resolver_port": server.port}
        own, _, _ = assess(**INVENTORY, **resolver, mail_dns_domains=[{"domain": "mx1.alpha.test"}])
    assert [row["domain"] for row in own["domains"]] == ["mx1.alpha.test"], "but where the inventory says so"
    (point,) = [what for what in points if "a DMARC record applies" in what]
    assert "asked by Google, Yahoo, Microsoft" in point


def test_without_dns_it_is_unknown_and_the_run_goes_on(assess):
    part, points, _ = assess(**INVENTORY, mail_dns_resolvers=["127.0.0.1"], mail_dns_resolver_port=9)
    assert part["state"] == "unknown" and {row["state"] for row in part["checklist"]} == {"unknown"}
    assert len([what for what in points if "what receivers see of the fleet is not known" in what]) == 1


def test_a_wrong_inventory_is_named(assess):
    part, _, _ = assess(**{**INVENTORY, "sending_addresses": ["mx1"]}, mail_dns_resolvers=["127.0.0.1"], mail_dns_resolver_port=9)
    assert part["state"] == "unknown" and "'mx1' is no IP address" in part["why"]


def test_where_nothing_is_known_nobody_is_asked(assess):
    part, points, _ = assess()
    assert part["state"] == "off" and "no sending_addresses" in part["why"] and part["signers"] == []
    assert [what for what in points if "receivers" in what] == []

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation decides by real name servers, BIND and a Knot that is late; the hosts are played.

Where the servers are: see name_servers.py.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests/unit/mailauth")]
from goodstanding_src.library import dkim_rotation  # noqa: E402
from goodstanding_src.module_utils.goodstanding.dkim.rotation import Slot  # noqa: E402
from goodstanding_src.module_utils.goodstanding.store import rotations  # noqa: E402
from goodstanding_src.module_utils.goodstanding.store.database import open_store  # noqa: E402
from name_servers import ADDRESS, PORTS, install, one, servers, texts, until, zone_row  # noqa: E402  a folder of tests, no package
from world import GOOD  # noqa: E402

ZONE = "bind.test"
OWN = Slot("mx1", ZONE, "now.mx1", "rsa", "active", 1.0, "one", "SHA256:x", GOOD, True, 1.0)
FORMER = OWN._replace(domain="former.test", selector="s1.mx1", fixed=True)


@pytest.fixture(scope="module", autouse=True)
def name_servers():
    install()
    servers("start", ADDRESS, "bind", "knot")
    yield
    servers("stop", "bind", "knot")


def decide(folder: Path, slots: list[Slot] | None = None, signs: tuple[Slot, ...] = (OWN,)) -> dict:
    """Run the module as playbooks/rotate_dkim.yml does, for a host that signs with some keys. slots: what the store has from now on."""
    url = f"sqlite:///{folder}/store.db"
    if slots is not None:
        engine = open_store(url)
        rotations.save(engine, rotations.load(engine), [slot._replace(begun=time.time()) for slot in slots])
    keys = [
        {
            "domain": slot.domain,
            "selector": slot.selector,
            "kind": "rsa",
            "fingerprint": "SHA256:x",
            "record": GOOD,
            "held": True,
            "since": 1.0,
        }
        for slot in signs
    ]
    probes = {slot.domain: {"signs": [slot.selector], "broken": {}, "message": "", "fault": ""} for slot in signs}
    seen = {"signer": "opendkim", "keys": keys, "probes": probes}
    return dkim_rotation.run({
        "state": "moved", "state_url": url, "hosts": {"mx1": {"label": "mx1", "domains": [slot.domain for slot in signs], "seen": seen}},
        "customers": {}, "slots": 3, "zones": [zone_row(ZONE)],
        "proof_zones": [
            {"name": ZONE, "discover": False, "servers": [{"address": ADDRESS, "port": PORTS[name]} for name in ("bind", "knot")]}
        ],
        "resolver": ADDRESS, "resolver_port": PORTS["bind"], "ttl": 60, "rotation": "", "rotate_days": 0, "emergency": False, "undo": "",
        "retire_days": 14, "keep_days": 30, "canary": "", "gravestone": True, "lost": [], "inventory": ["mx1"], "lab_only": False,
        "slot_rest": 7,
        "run": "mine", "round": 1, "before": [], "patience": 60, "every": 5,
    }, time.time(), False)  # fmt: skip


def test_a_record_that_is_gone_is_published_again_and_a_late_secondary_waited_for(tmp_path):
    first = decide(tmp_path, [OWN])
    assert [act["verb"] for act in first["acts"]] == ["publish"]
    assert one([zone_row(ZONE)], first["records"]).state == "changed"
    late = decide(tmp_path)
    assert (late["acts"], late["pause"]) == ([], 5.0)
    assert f"{ADDRESS}:{PORTS['knot']}: missing" in "".join(late["faults"])
    servers("knotc", "zone-refresh", ZONE)
    assert until(lambda: texts(f"now.mx1._domainkey.{ZONE}", "knot") is not None)
    good = decide(tmp_path)
    assert (good["faults"], good["pause"]) == ([], None)


def test_a_former_customers_key_is_told_and_the_others_go_on(tmp_path):
    new = OWN._replace(selector="new.mx1", state="generated", asked=False, verified=0.0)
    found = decide(tmp_path, [OWN, FORMER, new], (OWN, FORMER))
    names = {row["name"] for row in found["records"]}
    assert f"new.mx1._domainkey.{ZONE}" in names <= {f"{slot.selector}._domainkey.{ZONE}" for slot in (OWN, new)}
    assert any("s1.mx1 of former.test on mx1 is active" in fault and "dkim_customers" in fault for fault in found["faults"])

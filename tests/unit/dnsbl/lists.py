# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A list of the tests' own, and one run against a server of the tests."""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

from goodstanding_src.module_utils.goodstanding.dnsbl import ask, assess, cache, catalogue, names

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/servers"))
from dns_server import Lists, Server  # noqa: E402  a folder of tests, no package

CATALOGUE = catalogue.load(str(ROOT / "catalogue/blocklists.yml"))
ZEN = next(row for row in CATALOGUE.lists if row["zone"] == "zen.spamhaus.org")
POINT = {"2.0.0.127": ["127.0.0.2"]}
POINT6 = {"2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20: ["127.0.0.2"]}
FAST = assess.Options(deadline=20, list_deadline=15, rate=0, egress_name="")


def row(zone: str = "list.test", **fields: t.Any) -> dict:
    """A list with all its fields filled in."""
    own = {
        "name": zone, "zone": zone, "operator": zone, "kind": "block", "answers_for": ["ipv4"], "tier": "A", "evidence": "operator",
        "codes": {"127.0.0.2": "spam", "127.0.0.4": "exploited"}, "access": "free", "repair": "Stop.",
        "delisting": {"kind": "self_form", "url": "https://x.test/?ip={ip}", "who": "anyone", "paid": "no"},
    }  # fmt: skip
    return catalogue.complete({**own, **fields})


def run(
    server: Server,
    rows: list[dict],
    addresses: t.Sequence[str] = (),
    domains: t.Sequence[tuple[str, str]] = (),
    keys: dict | None = None,
    memory: cache.Cache | None = None,
    options: assess.Options = FAST,
    timeout: float = 0.3,
) -> dict:
    """One assessment. domains: (name, registered domain)."""
    wanted = assess.subjects(
        [(each, "mx1") for text in addresses for each in names.expand(text, True)],
        [{"name": name, "registered": registered, "host": "mx1"} for name, registered in domains],
    )
    engine = ask.Engine("127.0.0.1", server.port, timeout)
    return assess.assess(engine, rows, wanted, keys or {}, memory or cache.Cache(None), options)


def outcome(result: dict, zone: str = "list.test", at: int = 0) -> str:
    """What one list said of one address: an outcome, clean or unqualified."""
    subject = (result["addresses"] or result["names"])[at]
    text = subject.get("address") or subject.get("name")
    found = [row["outcome"] for row in result["observations"] if (row["subject"], row["source"]) == (text, zone)]
    found += ["clean"] * (zone in subject["clean"]) + ["unqualified"] * (zone in subject["unqualified"])
    assert len(found) == 1, (found, zone, subject)
    return found[0]


__all__ = ["CATALOGUE", "FAST", "POINT", "POINT6", "ROOT", "ZEN", "Lists", "Server", "outcome", "row", "run"]

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings of a verify run in which everything holds, for the tests to spoil; and the catalogue."""

from __future__ import annotations

from pathlib import Path

import yaml
from goodstanding_src.module_utils.goodstanding.delisting import lists
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.findings.ended import CONDITIONS
from goodstanding_src.module_utils.goodstanding.findings.times import iso

ROOT = Path(__file__).resolve().parents[3]


def load(name):
    return yaml.load((ROOT / f"catalogue/{name}.yml").read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


DATA = load("delisting")
DESKS = lists.desks(DATA)
ZONES = {row["zone"]: row for row in load("blocklists")["lists"]}
REPLIES = load("provider_replies")["replies"]
NOW = 1_795_000_000.0
LOCKED = NOW - 26 * 3600
ADDRESS = "198.51.100.11"


def observation(source="zen.spamhaus.org", codes=("127.0.0.4",), outcome="listed", subject=ADDRESS, delisting=None, **more):
    entry = ZONES.get(source, {})
    return {
        "subject": subject, "family": "domain" if "example" in subject else "ipv4", "hosts": ["mx1.example.com"], "source": source,
        "list": entry.get("name", source), "kind": "block", "tier": entry.get("tier", "A"), "outcome": outcome, "codes": list(codes),
        "meanings": ["XBL, an infected or abused machine"], "scope": "address", "reason": "https://check.spamhaus.org/query/ip/198.51.100.11",
        "ttl": 60, "latency": entry.get("latency"), "since": iso(NOW - 30 * 3600), "repair": "End the abuse.",
        "delisting": delisting or entry.get("delisting"), "suspected": False, "qualified_by": {"at": iso(NOW)}, **more,
    }  # fmt: skip


def reply(entry_id, code):
    """Return the observation of a receiver's refusal, as findings/observations.py makes it."""
    entry = next(row for row in REPLIES if row["id"] == entry_id)
    facts = {"kind": "manual_form", "who": "postmaster", "paid": "no", "url": entry["ask"]}
    return observation(
        f"log:{entry['provider']}", [code], delisting=facts, list=f"{entry['provider']}, as it answered mx1.example.com", tier="A",
        meanings=[entry["meaning"]], ttl=None, reason=entry["example"][:400],
    )  # fmt: skip


def findings(*rows, clean=(), unqualified=(), hosts=("mx1.example.com", "mx2.example.com")):
    found = stages.start("r1", "example", "lock", False, NOW - 600)
    found["hosts"] = [{"host": host, "assessed": True, "contained": True, "reason": None, "log": None} for host in hosts]
    found["observations"] = list(rows)
    subjects = sorted({row["subject"] for row in rows} | {ADDRESS})
    for subject in subjects:
        kind = "names" if "example" in subject else "addresses"
        key = "name" if kind == "names" else "address"
        found[kind].append(
            {key: subject, "hosts": list(hosts[:1]), "state": "listed", "clean": list(clean), "unqualified": list(unqualified)}
        )
    found["accounts"] = [
        {
            "account": "mallory@example.com", "verdict": "compromised", "sentence": "mallory@example.com sent 1,080 recipients",
            "signals": [], "evidence": [], "state": "locked", "hosts": [], "locked_at": iso(LOCKED), "accepted_after_lock": 0,
            "held_messages": 83,
        }
    ]  # fmt: skip
    entry = {"incident": "r0", "locked_at": iso(LOCKED), "accepted_after_lock": 0, "refused_after_lock": 5}
    found["locks"] = [
        {"account": "mallory@example.com", "incident": "r0", "locked_at": iso(LOCKED), "hosts": [{"host": host, **entry} for host in hosts]}
    ]
    found["limits"] = [
        {"host": host, "state": "present", "engine": "rspamd", "shadow": False, "canary": "refused", "why": "", "met": []} for host in hosts
    ]
    found["outbreak"] = {
        "state": "ended", "window_hours": 24.0, "since": iso(LOCKED), "provable_from": iso(LOCKED + 86400),
        "conditions": [
            {"number": number, "name": name, "state": "holds", "hosts": [{"host": host, "state": "holds", "why": ""} for host in hosts]}
            for number, (name, _) in enumerate(CONDITIONS, 1)
        ],
    }  # fmt: skip
    return found

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports for the tests of the page: that of an outbreak as in the demo, one of a large fleet, one full of attacks, one of nobody."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

from goodstanding_src.module_utils.goodstanding.findings import activity
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.findings.times import iso

NOW = 1795500000.0  # 2026-11-24T06:00:00Z
ZEN = {"list": "Spamhaus ZEN", "source": "zen.spamhaus.org", "tier": "A"}


def observation(subject: str, hosts: t.Sequence[str], **fields: t.Any) -> dict[str, t.Any]:
    row = {
        "subject": subject, "family": "ipv4", "hosts": list(hosts), **ZEN, "kind": "block", "outcome": "listed", "codes": ["127.0.0.4"],
        "meanings": ["XBL, an infected or abused machine"], "scope": "address",
        "reason": f"https://www.spamhaus.org/query/ip/{subject}", "ttl": 60, "latency": 900, "since": iso(NOW - 120),
        "repair": "End the abuse first; XBL entries go by themselves when the machine is clean.",
        "delisting": {"kind": "self_form", "who": "postmaster", "paid": "no", "url": f"https://check.spamhaus.org/results/?query={subject}"},
        "suspected": False, "qualified_by": {"resolver": "192.0.2.53#53", "at": iso(NOW)},
    }  # fmt: skip
    return {**row, **fields}


def begun(inventory: str = "inventories/lab") -> dict[str, t.Any]:
    """A document as its stage start makes it."""
    return copy.deepcopy(stages.start("20261124T060000Z-15117", inventory, "lock", False, NOW))


def data(name: str) -> dict[str, t.Any]:
    found: dict[str, t.Any] = json.loads((Path(__file__).parents[1] / f"data/report/{name}.json").read_text(encoding="utf-8"))
    return found


def finished(document: dict[str, t.Any]) -> dict[str, t.Any]:
    return stages.finish(document, [], 5, NOW + 42)


def by_hour(hosts: int = 2, hours: int = 25) -> dict[str, t.Any]:
    """A day of ordinary mail on some hosts, and in its last hour the outbreak of the demo on the first two."""
    begin = int(NOW // 3600) - hours + 1
    flood = {"hours": [[begin + hours - 3, 0, 6], [begin + hours - 2, 540, 16]]}
    logs = {}
    for host in range(hosts):
        day = [
            [begin + hour, 40 + 25 * (hour % 24 in range(7, 17)) + (hour * 7 + host) % 11, (hour + host) % 3] for hour in range(hours - 1)
        ]
        day.append([begin + hours - 1, 1, 0])
        name, accounts = f"mx{host + 1}.example.test", {}
        if host < 2:
            for hour, messages, failed in flood["hours"]:
                day[hour - begin][1] += messages
                day[hour - begin][2] += failed
            accounts["mallory@alpha.test"] = {**flood, "last_accepted": NOW - 102 + host}
            accounts["news@alpha.test"] = {"hours": [[begin + 7, 30, 0]], "last_accepted": (begin + 7) * 3600.0 + 99}
        logs[name] = {"hours": day, "accounts": accounts, "span": {"first": begin * 3600.0 + 60, "last": NOW + 30}}
    return logs


def demo() -> dict[str, t.Any]:
    """An account that was broken into on two hosts and is locked, one address that is listed: what script/demo finds, and some more."""
    known = {**stages.upgrade(data("outbreak")), "authentication": data("authentication")}
    return finished(stages.delist(activity.section(known, by_hour()), data("delisting")))


def many() -> dict[str, t.Any]:
    """The demo in a fleet of a thousand hosts."""
    return finished(activity.section(demo(), by_hour(1000, 30)))


def large(addresses: int = 1000, lists: int = 50) -> dict[str, t.Any]:
    """A fleet in which every list says something of somebody, no two addresses are alike, and hardly anything can be left out."""
    document = begun("inventories/large")
    hosts = [f"mx{number}.example.test" for number in range(addresses // 20)]
    zones = [f"zone{number}.test" for number in range(lists)]
    for number in range(addresses):
        address, host = f"198.51.{100 + number // 250}.{number % 250 + 1}", hosts[number // 20]
        listed = [(number * 7) % lists, (number * 13 + 5) % lists] if number % 3 else [(number * 7) % lists]
        open_ = [zone for place, zone in enumerate(zones) if (place + number) % 17 == 0 and place not in listed]
        clean = [zone for place, zone in enumerate(zones) if place not in listed and zone not in open_]
        state = ("listed", "unknown", "unknown", "listed")[number % 4]
        document["addresses"].append({"address": address, "hosts": [host], "state": state, "clean": clean, "unqualified": open_})
        document["observations"] += [
            observation(address, [host], source=zones[place], list=f"List {place}", tier="ABCD"[place % 4],
                        outcome="timeout" if number % 4 in (1, 2) else "listed", since=iso(NOW - 86400)) for place in listed
        ]  # fmt: skip
    document["hosts"] = [{"host": host, "assessed": True, "contained": None, "reason": None, "log": None} for host in hosts]
    return finished(stages.delist(document, {"cases": cases(document), "enrolments": []}))


def cases(document: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """A case of each listing, hardly two of which are alike: in each state, and closed by gates of its own."""
    like = data("delisting")["cases"]
    rows = []
    for number, row in enumerate(document["observations"]):
        own, subject = like[number % 7], row["subject"]
        gates = [{**gate, "why": f"{gate['why']} ({number % 200})"} for gate in own["gates"]]
        names = {"case": f"{row['source']}/{subject}", "subject": subject, "list": row["source"], "name": row["list"]}
        changed = {"next": f"{own['next']} ({number % 300})", "url": f"https://{row['source']}/?ip={subject}", "gates": gates}
        rows.append({**own, **names, **changed, "sources": [row["source"]]})
    return rows


#: What attackers write into log lines, TXT records and names: markup, handlers, styles that load, and ways out of where it is put.
ATTACKS = (
    "<script>window.hit=1</script>", "<img src=https://evil.test/x onerror=window.hit=2>", "\"><svg/onload=window.hit=3>",
    "' onmouseover='window.hit=4", "</title><script>window.hit=5</script>", "</style><style>@import 'https://evil.test/c';</style>",
    "javascript:window.hit=6", "<iframe srcdoc='<script>parent.hit=7</script>'></iframe>", "<link rel=stylesheet href=https://evil.test/s>",
    "{{ 7 * 7 }}{% raw %}", "<meta http-equiv=refresh content='0;url=https://evil.test/'>", "</script><script>window.hit=8</script>",
    "<base href=https://evil.test/>", "<!--", "<details open ontoggle=window.hit=9>",
    "<button popovertarget=x autofocus onfocus=window.hit=10>", "]]><a xmlns:x='y' x:z=1>",
    "<style>*{background:url(https://evil.test/b)}</style>", "\u202e<b>\x00\x1b[31m\ud800",
)  # fmt: skip


#: Words of the schema, which nobody from outside writes.
KEPT = (
    "id", "status", "mode", "state", "verdict", "outcome", "kind", "tier", "family", "scope", "severity", "result", "action", "canary",
    "phase", "step", "applies", "receivers", "signer", "published", "dmarc", "mta_sts", "tls_rpt", "rule", "gate",
)  # fmt: skip


def hostile() -> dict[str, t.Any]:
    """The demo's report with an attack in every text that comes from outside, and in many that do not."""
    number = 0

    def spoil(value: t.Any, key: str = "") -> t.Any:
        nonlocal number
        if isinstance(value, dict):
            return {name: spoil(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [spoil(each, key) for each in value]
        if not isinstance(value, str) or key in KEPT or value[:4] == "2026":
            return value
        number += 1
        return f"{value} {ATTACKS[number % len(ATTACKS)]}"

    document = demo()
    document["causes"] = [{"kind": "nobody", "host": "mx1", "text": "x", "next_step": "y", "evidence": [{"host": "mx1", "line": "z"}]}]
    document["drift"] = [{"host": "mx1", "state": "damaged", "why": "w", "locks": ["a"]}]
    document["rejected"] = [{"host": "mx1", "subject": "s", "why": "w"}]
    document["suspected_faults"] = [{"source": "s", "family": "ipv4", "code": "c", "subjects": 4, "asked": 5, "why": "w"}]
    document["observations"][0]["delisting"] = {"kind": "self_form", "url": "javascript:window.hit=11"}
    document["cases"][0]["url"] = document["enrolments"][0]["url"] = "javascript:window.hit=12"
    document["delisting"] = {"state": "failed", "why": "w"}
    document = spoil(document)
    # Two of which the same is known are one row, with a link for each.
    like = document["cases"][-1]
    for place in (0, 1):
        subject = f"{ATTACKS[place]}{place}"
        document["cases"].append({**like, "subject": subject, "url": f"javascript:window.hit={subject}"})
    # An answer is about one of the addresses, however it is called.
    for kind, word in (("addresses", "address"), ("names", "name")):
        for place, row in enumerate(document[kind]):
            row[word] = f"{ATTACKS[place]}{place}"
    for row in document["observations"]:
        row["subject"] = document["addresses"][0]["address"]
    for row in document["locks"]:
        row["account"] = document["accounts"][0]["account"]
    return document


def nobody() -> dict[str, t.Any]:
    """The report of no host."""
    return finished(begun("inventories/empty"))

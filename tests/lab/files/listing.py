#!/usr/bin/env python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of the lab, served by rbldnsd: each list of the catalogue with its own test points, and one zone for each way to fail.

listing serve lists|refusals | init | add ADDRESS | drop ADDRESS | clear      add, drop and clear speak of zen.spamhaus.org
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

DATA = Path("/var/lib/rbldns")
LISTS = Path("/var/lib/lab/lists.json")
HEAD = "$SOA 5 {zone} hostmaster.{zone} 1 600 300 86400 2\n$NS 5 {server}\n$TTL 5\n"
#: Under which this machine is known; its own name servers listen at port 5353.
SERVER = "lists.example.test"
KINDS = {"ipv4": "ip4set", "ipv6": "ip6trie", "domain": "dnset"}
ZEN_CODES = ("127.0.0.2", "127.0.0.4", "127.0.0.10")
EVERYTHING = "0.0.0.0/0"
PUBLIC = "127.255.255.254:https://www.example.test/returnc/pub/\n"
GOOD = "127.0.0.2 :127.0.0.2:test point\n"

# Zone below fail.test: its data; what is not here does not exist.
FAILURES = {
    "typing": f"{EVERYTHING} :127.255.255.252:the name was mistyped\n",
    "public": f"{EVERYTHING} :{PUBLIC}",
    "limit": f"{EVERYTHING} :127.255.255.255:too many questions\n",
    "uribl": f"{EVERYTHING} :127.0.0.1:blocked\n",
    "dnswl": f"{EVERYTHING} :127.0.0.255:blocked\n",
    "dbl": f"{EVERYTHING} :127.0.1.255:no addresses, please\n",
    "wildcard": f"{EVERYTHING} :127.0.0.2:the list has ended\n",
    "parked": f"{EVERYTHING} :203.0.113.99:\n",
    "emptied": "",
    "several": f"{GOOD}198.51.100.77 :127.0.0.2:one\n198.51.100.77 :127.0.0.4:two\n198.51.100.77 :127.0.0.10:three\n",
    "bitmask": f"{GOOD}198.51.100.77 :127.0.0.24:two bits\n",
    "score": "198.51.100.77 :127.0.4.71:score\n",
    "unknown": f"{GOOD}198.51.100.77 :127.0.0.99:a code of tomorrow\n",
    "allow": "127.0.0.2 :127.0.10.0:test point\n198.51.100.77 :127.0.5.2:allowed\n",
    "good": f"{GOOD}198.51.100.77 :127.0.0.2:See https://good.fail.test/$\n198.51.100.78 :127.0.0.2:<script>alert(1)</script>\n",
    "slow": f"{GOOD}198.51.100.77 :127.0.0.2:late\n",
    "truncated": f"{GOOD}198.51.100.77 :127.0.0.2:cut\n",
    "forged": GOOD,
    "garbage": GOOD,
    "mapped": f"{GOOD}198.51.100.77 :127.0.0.2:by its IPv4 name\n",
}


def rows() -> list[dict]:
    return json.loads(LISTS.read_text(encoding="utf-8"))


def code(row: dict, family: str) -> str:
    """Return a code that the list's own entry knows."""
    known = row["test"][family].get("codes") or [text for text in row["codes"] if text != "127.0.0.1"]
    bits = [f"127.0.0.{bit}" for bit in row.get("bits", {}) if int(bit) not in row.get("refusal_bits", [])]
    return [*known, *bits, "127.0.0.2"][0]


def write(name: str, text: str) -> None:
    """Rename whole files into place: rbldnsd looks at them every second."""
    new = DATA / f"{name}.new"
    new.write_text(text, encoding="utf-8")
    new.replace(DATA / name)


def make(row: dict) -> None:
    for family in row["answers_for"]:
        point = row["test"][family]["positive"]
        codes = ZEN_CODES if row["zone"] == "zen.spamhaus.org" and family == "ipv4" else (code(row, family),)
        if family == "ipv6" and point:
            point = point.replace("::ffff:127.0.0.2", "0:0:0:0:0:ffff:7f00:2")  # rbldnsd takes no dotted end
        lines = [f"{point} :{each}:https://{row['zone']}/test-point\n" for each in codes if point]
        write(f"{row['zone']}.{family}", HEAD.format(zone=row["zone"], server=SERVER) + "".join(lines))


def init() -> None:
    for row in rows():
        make(row)
    for name, data in FAILURES.items():
        write(f"{name}.fail.test", HEAD.format(zone=f"{name}.fail.test", server=f"ns.{name}.fail.test") + data)
    for family, every in {"ipv4": EVERYTHING, "ipv6": "::/0", "domain": "*"}.items():
        write(f"refusal.{family}", HEAD.format(zone="spamhaus.org", server="ns.spamhaus.org") + f"{every} :{PUBLIC}")
    write("fail.test", HEAD.format(zone="fail.test", server="ns.fail.test"))


def serve(what: str) -> None:
    """Become rbldnsd: with the lists, or as Spamhaus answers whom it refuses."""
    if what == "refusals":
        spamhaus = [(row["zone"], family) for row in rows() for family in row["answers_for"] if row["zone"].endswith(".spamhaus.org")]
        zones, port = [f"{zone}:{KINDS[family].replace('ip4set', 'ip4trie')}:refusal.{family}" for zone, family in spamhaus], 5354
    else:
        zones, port = [f"{row['zone']}:{KINDS[family]}:{row['zone']}.{family}" for row in rows() for family in row["answers_for"]], 5353
        # ip4set keeps all values of an address, and ip4trie takes a /0.
        zones += [f"{name}.fail.test:{'ip4trie' if EVERYTHING in data else 'ip4set'}:{name}.fail.test" for name, data in FAILURES.items()]
        zones.append("fail.test:dnset:fail.test")
    # The controller asks the lists' own servers too.
    command = ["rbldnsd", "-n", "-u", "rbldns", "-w", str(DATA), "-b", f"0.0.0.0/{port}", "-c", "1s", *zones]
    os.execvp(command[0], command)  # noqa: S606  a list of words


def change(word: str, address: str | None) -> None:
    (zen,) = [row for row in rows() if row["zone"] == "zen.spamhaus.org"]
    name = f"{zen['zone']}.ipv4"
    lines = (DATA / name).read_text(encoding="utf-8").splitlines(keepends=True)
    if word == "clear":
        make(zen)
        return
    kept = [line for line in lines if not line.startswith(f"{address} ")]
    if word == "add":
        kept.append(f"{address} :127.0.0.4:https://www.spamhaus.org/query/ip/{address}\n")
    write(name, "".join(kept))


if __name__ == "__main__":
    word, address = [*sys.argv[1:], "", ""][:2]
    if word == "init":
        init()
    elif word == "serve":
        serve(address)
    elif word == "clear" or (word in ("add", "drop") and address):
        change(word, address)
    else:
        sys.exit(__doc__)

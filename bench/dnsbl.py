#!/usr/bin/env python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One /24 against 50 lists, served by rbldnsd on loopback, paces off: questions a second of us and of three peers, in turns.

The peers: dnsperf, what the machine can do; dnspython's asyncresolver; pydnsbl. Ours is the whole assessment: its own tests of the
lists, the questions about addresses, the reasons of what is listed.
Then 10,000 addresses against 20 lists: seconds and peak memory of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PORT = 5399
ROUNDS = 5
SLOW_ROUNDS = 2
LISTS, BIG_LISTS = 50, 20
BLOCK = "198.51.100.0/24"
# 10,000 documentation addresses there are not; nobody is asked about these but the rbldnsd on loopback.
BIG = [f"9.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}" for number in range(10_000)]
BENCH_PYTHON = ROOT / ".build/bench-venv/bin/python"
Hits = set[tuple[str, str]]

package = types.ModuleType("goodstanding_src")
package.__path__ = [str(ROOT)]
sys.modules.setdefault("goodstanding_src", package)

PYDNSBL = """
import asyncio, json, sys, time
import aiodns
from pydnsbl import DNSBLIpChecker
from pydnsbl.providers import Provider
zones, port = json.loads(sys.argv[1]), int(sys.argv[2])
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
async def make():
    checker = DNSBLIpChecker(providers=[Provider(zone) for zone in zones], loop=loop)
    checker._resolver = aiodns.DNSResolver(nameservers=["127.0.0.1"], udp_port=port, loop=loop)
    return checker
checker = loop.run_until_complete(make())
addresses = [f"198.51.100.{number}" for number in range(256)]
began = time.monotonic()
results = checker.bulk_check(addresses)
took = time.monotonic() - began
print(json.dumps({"seconds": took, "hits": sorted([r.addr, zone] for r in results for zone in r.detected_by),
                  "failed": sum(len(r.failed_providers) for r in results)}))
"""


def zones(count: int = LISTS) -> list[str]:
    return [f"z{number}.test" for number in range(count)]


def serve(folder: Path) -> tuple[subprocess.Popen[bytes], Hits]:
    """Start rbldnsd with lists that contain about one address in a hundred; return it and what is listed."""
    listed: Hits = set()
    dice = random.Random(7)  # noqa: S311  the same lists each time
    for zone in zones():
        chosen = [f"198.51.100.{dice.randrange(256)}" for _ in range(3)] + dice.sample(BIG, 100)
        listed |= {(address, zone) for address in chosen}
        lines = "\n".join(["$SOA 300 ns.test h.test 1 600 300 86400 300", "$NS 300 ns.test", ":127.0.0.2:listed", "127.0.0.2", *chosen])
        (folder / zone).write_text(lines.replace("ns.test h.test", f"{zone} h.{zone}") + "\n", encoding="utf-8")
    # What stands in for the rest of the world: the resolver's own test asks for a name below it.
    (folder / "invalid").write_text("$SOA 300 invalid h.invalid 1 600 300 86400 300\n$NS 300 ns.invalid\n", encoding="utf-8")
    command = ["rbldnsd", "-n", "-u", "nobody", "-w", str(folder), "-b", f"127.0.0.1/{PORT}", "-c", "0"]
    server = subprocess.Popen(
        [*command, *(f"{zone}:ip4set:{zone}" for zone in zones()), "invalid:dnset:invalid"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.2)
        probe.connect(("127.0.0.1", PORT))
        while True:
            with contextlib.suppress(OSError):
                probe.send(b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02z0\x04test\x00\x00\x06\x00\x01")
                if probe.recv(512):
                    return server, listed
            if time.monotonic() > deadline or server.poll() is not None:
                server.kill()
                raise SystemExit("rbldnsd does not answer")
            time.sleep(0.1)


def ours(addresses: list[str], count: int) -> tuple[float, Hits, int]:
    """Return (seconds, hits, questions of all kinds) of one assessment."""
    from goodstanding_src.module_utils.goodstanding.dnsbl import ask, assess, cache, catalogue, names

    rows = [
        catalogue.complete(
            {
                "name": zone, "zone": zone, "operator": zone, "kind": "block", "answers_for": ["ipv4"], "tier": "A", "repair": "",
                "codes": {"127.0.0.2": "listed"}, "access": "free", "delisting": {"kind": "none", "who": "nobody", "paid": "no"},
            }
        )
        for zone in zones(count)
    ]  # fmt: skip
    began = time.monotonic()
    wanted = assess.subjects(((address, "mx") for text in addresses for address in names.expand(text, True)), [])
    options = assess.Options(paced=False, egress_name="")
    result = assess.assess(ask.Engine("127.0.0.1", PORT), rows, wanted, {}, cache.Cache(None), options)
    took = time.monotonic() - began
    hits = {(row["subject"], row["source"]) for row in result["observations"] if row["outcome"] == "listed"}
    clean = sum(len(row["clean"]) for row in result["addresses"])
    if clean + len(hits) != len(wanted) * count:
        raise SystemExit(f"only {clean + len(hits)} of {len(wanted) * count} questions were answered: {result['stats']}")
    return took, hits, result["stats"]["questions"]


def dnsperf(folder: Path) -> tuple[float, int]:
    """Return (seconds, number of NOERROR answers) of dnsperf on the same questions."""
    file = folder / "questions"
    file.write_text("".join(f"{number}.100.51.198.{zone} A\n" for number in range(256) for zone in zones()), encoding="utf-8")
    # More under way at once than rbldnsd's socket holds is lost, and a run that lost something is no measure.
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(PORT), "-d", str(file), "-n", "1", "-q", "100", "-c", "8"]
    for _ in range(10):
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if re.search(rf"Queries completed:\s+{256 * LISTS} ", said):
            return float(re.findall(r"Run time \(s\):\s+([\d.]+)", said)[0]), int(re.findall(r"NOERROR (\d+)", said)[0])
    raise SystemExit(f"dnsperf lost questions in ten runs:\n{said[-800:]}")


def asyncresolver() -> tuple[float, Hits]:
    """Return (seconds, hits) of dnspython's resolver, as many questions at once as it does best with."""
    import dns.asyncresolver
    import dns.resolver

    async def main() -> tuple[float, Hits]:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], PORT, 10
        hits: Hits = set()
        room = asyncio.Semaphore(200)

        async def one(number: int, zone: str) -> None:
            async with room:
                with contextlib.suppress(dns.resolver.NXDOMAIN):
                    await resolver.resolve(f"{number}.100.51.198.{zone}.", "A", search=False)
                    hits.add((f"198.51.100.{number}", zone))

        began = time.monotonic()
        await asyncio.gather(*(one(number, zone) for number in range(256) for zone in zones()))
        return time.monotonic() - began, hits

    return asyncio.run(main())


def pydnsbl() -> tuple[float, Hits]:
    done = subprocess.run(
        [str(BENCH_PYTHON), "-W", "ignore", "-c", PYDNSBL, json.dumps(zones()), str(PORT)], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"pydnsbl: {done.stderr[-2000:]}")
    result = json.loads(done.stdout)
    if result["failed"]:
        raise SystemExit(f"pydnsbl failed for {result['failed']} questions")
    return result["seconds"], {(address, zone) for address, zone in result["hits"]}


def big() -> None:
    """In a process of its own: 10,000 addresses against 20 lists."""
    took, hits, questions = ours(BIG, BIG_LISTS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(took, 2), "questions": questions, "hits": len(hits), "peak_mib": round(peak, 1)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--big", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.big:
        big()
        return
    for program in ("rbldnsd", "dnsperf"):
        if not shutil.which(program):
            raise SystemExit(f"{program} is not installed: run script/bootstrap --bench")
    folder = Path(tempfile.mkdtemp(prefix="goodstanding-bench-"))
    folder.chmod(0o755)
    server, listed = serve(folder)
    try:
        expected = {hit for hit in listed if hit[0].startswith("198.51.100.")}
        seconds: dict[str, list[float]] = {"ours": [], "dnsperf": [], "asyncresolver": [], "pydnsbl": []}
        same: dict[str, bool] = {}
        for number in range(ROUNDS):
            took, hits, asked = ours([BLOCK], LISTS)
            seconds["ours"].append(took)
            same["ours"] = same.get("ours", True) and hits == expected
            took, count = dnsperf(folder)
            seconds["dnsperf"].append(took)
            same["dnsperf"] = same.get("dnsperf", True) and count == len(expected)
            if number < SLOW_ROUNDS:
                for name, peer in (("asyncresolver", asyncresolver), ("pydnsbl", pydnsbl)):
                    took, hits = peer()
                    seconds[name].append(took)
                    same[name] = same.get(name, True) and hits == expected
        large = json.loads(subprocess.run([sys.executable, __file__, "--big"], capture_output=True, text=True, check=True).stdout)
        large_expected = sum(zone in zones(BIG_LISTS) and not address.startswith("198.51.100.") for address, zone in listed)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)
    questions = 256 * LISTS
    rates = {name: (asked if name == "ours" else questions) / statistics.median(each) for name, each in seconds.items()}
    result = {
        "name": "dnsbl",
        "work": f"{BLOCK} against {LISTS} lists, {questions} questions, rbldnsd on loopback, {os.cpu_count()} cores",
        "unit": "questions a second, median of the rounds",
        "ours": round(rates["ours"]),
        "peers": {name: round(rate) for name, rate in rates.items() if name != "ours"},
        "ratios": {name: round(rates["ours"] / rate, 3) for name, rate in rates.items() if name != "ours"},
        "peak_mib": large["peak_mib"],
        "checks": {
            "hits_expected": len(expected),
            "same_hits": same,
            "addresses_10000_lists_20": {**large, "hits_expected": large_expected},
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    if not all(same.values()) or large["hits"] != large_expected:
        raise SystemExit("the hits differ: the figures are worth nothing")


if __name__ == "__main__":
    main()

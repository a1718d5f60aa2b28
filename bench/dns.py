#!/usr/bin/env python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds to publish 10,000 DKIM records in BIND, of us and of nsupdate in batches with the same prerequisites, in turns, on fresh zones.

Ours is from the inventory's rows on, with the journal. The second peer, community.general.nsupdate, is measured on 40 records in a loop
and stated for each. Then: the plan of a zone that needs nothing, and the proof of all records on three servers.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import types
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5
NUMBER = 10_000
BATCH = 140
STOCK = 40
ZONE = "bench.test"
PORTS = (5398, 5397, 5396)
SECRET = base64.b64encode(b"of the benchmark alone, 32 bytes").decode()
BENCH = ROOT / ".build/bench-venv/bin"
NSUPDATE, STOCK_NAME = "nsupdate_batched", "community.general.nsupdate"

# This file's folder comes first in the path, and in it this file is named like the library.
sys.path.remove(str(Path(__file__).resolve().parent))
package = types.ModuleType("goodstanding_src")
package.__path__ = [str(ROOT)]
sys.modules.setdefault("goodstanding_src", package)

from goodstanding_src.module_utils.goodstanding.dns import inventory, propagation, run, wire  # noqa: E402  the package is named above

ZONE_FILE = f"""$TTL 300
@ IN SOA ns.{ZONE}. h.{ZONE}. ( 1 3600 600 864000 30 )
@ IN NS ns.{ZONE}.
ns IN A 127.0.0.1
"""


def rows() -> list[dict[str, t.Any]]:
    """Return the records: keys of 2048 bits, as they are 392 letters of base64."""
    dice = random.Random(7)  # noqa: S311  the same keys each time
    keys = [base64.b64encode(dice.randbytes(294)).decode() for _ in range(NUMBER)]
    return [
        {"name": f"s{number:05}._domainkey.{ZONE}", "type": "TXT", "values": [f"v=DKIM1; k=rsa; p={key}"], "ttl": 300}
        for number, key in enumerate(keys)
    ]


@contextlib.contextmanager
def servers(folder: Path, count: int = 1) -> t.Iterator[None]:
    """Run a primary on a fresh zone, and secondaries of it."""
    shutil.rmtree(folder, ignore_errors=True)
    processes = []
    try:
        for number in range(count):
            home = folder / str(number)
            home.mkdir(parents=True)
            if number == 0:
                (home / "zone").write_text(ZONE_FILE, encoding="utf-8")
                peers = "".join(f"127.0.0.1 port {port}; " for port in PORTS[1:count])
                kind = f"type primary; update-policy {{ grant upd zonesub ANY; }}; also-notify {{ {peers}}}; notify explicit;"
            else:
                kind = f"type secondary; primaries {{ 127.0.0.1 port {PORTS[0]} key upd; }};"
            (home / "named.conf").write_text(
                f'options {{ directory "{home}"; pid-file none; session-keyfile none; listen-on port {PORTS[number]} {{ 127.0.0.1; }};'
                " listen-on-v6 { none; }; recursion no; dnssec-validation no; allow-transfer { key upd; }; notify-delay 1; };\n"
                f'key upd {{ algorithm hmac-sha256; secret "{SECRET}"; }};\nzone "{ZONE}" {{ file "{home}/zone"; {kind} }};\n',
                encoding="utf-8",
            )
            processes.append(
                subprocess.Popen(["named", "-c", str(home / "named.conf"), "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            listening(PORTS[number], processes[-1])
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("named does not start; is bind9 installed, and is port 5398 free?")


def params(records: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    zone = {"name": ZONE, "primary": "127.0.0.1", "port": PORTS[0], "key_name": "upd", "key_secret": SECRET}
    return {"zones": [zone], "records": records}


def ours(records: list[dict[str, t.Any]], journal: Path) -> dict[str, float]:
    """Return the seconds of each part of one run: made (rows read), planned (zone read), sent, read back."""
    times = {"begin": time.monotonic()}
    jobs, faults = inventory.jobs(params(records))
    times["made"] = time.monotonic()
    hooks = run.Hooks(phase=lambda name: times.setdefault(name, time.monotonic()))
    result = run.run(jobs, False, str(journal), hooks=hooks)[0]
    times["end"] = time.monotonic()
    if faults or result.fault or (len(result.done) not in (0, NUMBER)):
        raise SystemExit(f"ours failed: {faults or result.fault or len(result.done)}")
    if not result.done:
        return {"plan": times["end"] - times["begin"]}
    return {
        "publish": times["made"] - times["begin"] + times["sent"] - times["planned"],
        "plan": times["planned"] - times["made"],
        "read_back": times["read back"] - times["sent"],
        "all": times["end"] - times["begin"],
        "batches": result.batches,
    }


def count() -> int:
    said = subprocess.run(
        ["dig", "-p", str(PORTS[0]), "@127.0.0.1", ZONE, "AXFR", "+noall", "+answer", "-y", f"hmac-sha256:upd:{SECRET}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return said.count("_domainkey")


def nsupdate(records: list[dict[str, t.Any]], folder: Path) -> float:
    file, key = folder / "updates", folder / "key"
    lines = [f"server 127.0.0.1 {PORTS[0]}", f"zone {ZONE}"]
    for number, row in enumerate(records, 1):
        text = row["values"][0]
        lines += [f"prereq nxdomain {row['name']}", f'update add {row["name"]} 300 TXT "{text[:255]}" "{text[255:]}"']
        if number % BATCH == 0 or number == len(records):
            lines.append("send")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    key.write_text(f'key "upd" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n', encoding="utf-8")
    began = time.monotonic()
    done = subprocess.run(["nsupdate", "-v", "-k", str(key), str(file)], capture_output=True, text=True, check=False)
    took = time.monotonic() - began
    if done.returncode or count() != len(records):
        raise SystemExit(f"nsupdate failed: {done.stderr[-500:]}")
    return took


def stock(records: list[dict[str, t.Any]], folder: Path) -> float:
    """Return the seconds for each record of the stock module in a loop: a play of 40 records less a play of one."""

    def play(part: list[dict[str, t.Any]]) -> float:
        args = {
            "server": "127.0.0.1", "port": PORTS[0], "protocol": "tcp", "zone": ZONE, "record": "{{ item.name }}", "type": "TXT",
            "ttl": 300,
            # It takes no text over 255 octets: the caller has to split and quote it.
            "value": ["{{ item.quoted }}"], "key_name": "upd", "key_algorithm": "hmac-sha256", "key_secret": SECRET,
        }  # fmt: skip
        items = [{"name": row["name"] + ".", "quoted": f'"{row["values"][0][:255]}" "{row["values"][0][255:]}"'} for row in part]
        task = {"name": "x", STOCK_NAME: args, "loop": items, "loop_control": {"label": ""}}
        book = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
        (folder / "play.json").write_text(json.dumps(book), encoding="utf-8")
        words = [
            str(BENCH / "ansible-playbook"),
            "-i",
            "localhost,",
            str(folder / "play.json"),
            "-e",
            f"ansible_python_interpreter={BENCH}/python",
        ]
        environment = {name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
        began = time.monotonic()
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder, env=environment)
        if done.returncode:
            raise SystemExit(f"the stock module failed: {(done.stdout + done.stderr)[-1500:]}")
        return time.monotonic() - began

    one = play(records[:1])
    many = play(records[1 : STOCK + 1])
    if count() != STOCK + 1:
        raise SystemExit("the stock module did not publish all")
    return (many - one) / (STOCK - 1)


def proof(records: list[dict[str, t.Any]]) -> tuple[float, float]:
    """Return the seconds until the secondaries had the zone, and those of the proof on all three servers."""
    wanted, _ = inventory.wanted_by_zone(records, {wire.pack(ZONE): None})
    known = [propagation.Authority(inventory.server_of({}, "127.0.0.1", port)) for port in PORTS]
    zone = wire.pack(ZONE)
    began = time.monotonic()
    while propagation.check(zone, wanted[zone][-1:], known).state != propagation.PROVEN:
        if time.monotonic() - began > 60:
            raise SystemExit("the secondaries do not get the zone")
        time.sleep(0.5)
    lag = time.monotonic() - began
    began = time.monotonic()
    report = propagation.check(zone, wanted[zone], known)
    took = time.monotonic() - began
    if report.state != propagation.PROVEN:
        raise SystemExit(f"not proven: {propagation.summary(report.proofs)}")
    return lag, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--without-stock", action="store_true", help="leave out the stock module, which takes a minute")
    options = parser.parse_args()
    records = rows()
    published: list[dict[str, float]] = []
    peers: dict[str, list[float]] = {NSUPDATE: []}
    plans: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(ROUNDS):
            with servers(folder / "dns"):
                published.append(ours(records, folder / "journal"))
                if count() != NUMBER:
                    raise SystemExit("ours did not publish all")
                plans.append(ours(records, folder / "journal")["plan"])
            with servers(folder / "dns"):
                peers[NSUPDATE].append(nsupdate(records, folder))
        if not options.without_stock:
            with servers(folder / "dns"):
                peers[STOCK_NAME] = [stock(records, folder) * NUMBER]
        with servers(folder / "dns", 3):
            ours(records, folder / "journal")
            lag, proven = proof(records)
    median = {name: statistics.median(row[name] for row in published) for name in published[0]}
    seconds = {name: statistics.median(values) for name, values in peers.items()}
    result = {
        "name": "dns",
        "work": f"publish {NUMBER} DKIM records of 2048 bits in BIND, each with a prerequisite",
        "unit": "seconds, median of the rounds; the stock module's from 40 records",
        "ours": round(median["publish"], 3),
        "peers": {name: round(value, 3) for name, value in seconds.items()},
        "ratios": {name: round(value / median["publish"], 3) for name, value in seconds.items()},
        "per_record": {name: value / NUMBER for name, value in {"ours": median["publish"], **seconds}.items()},
        "checks": {
            "ours_per_nsupdate": round(median["publish"] / seconds[NSUPDATE], 3),
            "messages": int(median["batches"]),
            "plan_that_needs_nothing": round(statistics.median(plans), 3),
            "read_back_from_the_primary": round(median["read_back"], 3),
            "whole_run": round(median["all"], 3),
            "proof_on_three_servers": round(proven, 3),
            "until_the_secondaries_had_it": round(lag, 1),
            "rounds": [[round(row["publish"], 3), round(peer, 3)] for row, peer in zip(published, peers[NSUPDATE])],
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    late = [
        f"{name} {value} over {floor}"
        for name, value, floor in (
            ("ours per nsupdate", median["publish"] / seconds[NSUPDATE], 1.3),
            ("plan", statistics.median(plans), 1.5),
            ("ours per stock module", 1000 * median["publish"] / seconds.get(STOCK_NAME, 1e9), 1),
        )
        if value > floor
    ]
    if late:
        raise SystemExit(f"slower than it is to be: {'; '.join(late)}")


if __name__ == "__main__":
    main()

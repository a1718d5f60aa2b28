# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of DNS updates share: real name servers on ports of their own, on a host of the lab or wherever else they are told.

GOODSTANDING_DNS_EXEC: words that run a command where the servers are to be, else script/lab exec ns2; GOODSTANDING_DNS_ADDRESS: where.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lab/files"))
import dns_servers  # noqa: E402
from goodstanding_src.module_utils.goodstanding.dns import ask, inventory, plan, propagation, run, tsig, update, wire  # noqa: E402

PORTS, SECRETS = dns_servers.PORTS, dns_servers.SECRETS
EXEC = shlex.split(os.environ.get("GOODSTANDING_DNS_EXEC", f"{ROOT}/script/lab exec ns2 --"))
ADDRESS = os.environ.get("GOODSTANDING_DNS_ADDRESS", "198.51.100.54")
IN_LAB = "GOODSTANDING_DNS_EXEC" not in os.environ
PROGRAM = "/var/lib/lab/dns_servers.py"
WRONG = "d3Jvbmctc2VjcmV0LXdyb25nLXNlY3JldC13cm9uZy4u"
PRIMARIES = ("bind", "knot", "pdns")


def on(*words: str, data: str = "") -> str:
    done = subprocess.run([*EXEC, *words], input=data, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout


def servers(*words: str) -> str:
    return on("python3", PROGRAM, *words)


def install() -> None:
    on("sh", "-c", f"mkdir -p /var/lib/lab && cat > {PROGRAM}", data=(ROOT / "tests/lab/files/dns_servers.py").read_text())


def key(name: str = "upd", secret: str | None = None, called: str | None = None, algorithm: str = "hmac-sha256") -> tsig.Key:
    return tsig.Key(called or name, secret or SECRETS[name], algorithm)


def server(name: str, signed: tsig.Key | None = None) -> ask.Server:
    return ask.Server(ADDRESS, PORTS[name], signed)


def zone_row(name: str, server_name: str = "bind", **more: t.Any) -> dict[str, t.Any]:
    return {
        "name": name, "primary": ADDRESS, "port": PORTS[server_name], "key_name": "upd", "key_secret": SECRETS["upd"], **more,
    }  # fmt: skip


def own_zone(name: str) -> str:
    """Return the zone of which this server is the primary."""
    return f"{name}.test"


def go(
    zones: list[dict[str, t.Any]],
    records: list[dict[str, t.Any]],
    check: bool = False,
    journal: Path | None = None,
    hooks: run.Hooks | None = None,
    share: float = 0.3,
    **more: t.Any,
) -> list[run.Result]:
    """Do what the module does."""
    jobs, faults = inventory.jobs({"zones": zones, "records": records, **more})
    assert not faults, faults
    return run.run(jobs, check, str(journal) if journal else None, share, hooks)


def one(*args: t.Any, **more: t.Any) -> run.Result:
    (result,) = go(*args, **more)
    return result


def texts(name: str, server_name: str = "bind", signed: tsig.Key | None = None) -> list[bytes] | None:
    """Return the TXT data of a name as a server has it, octet for octet; None where there is none."""
    reply = ask.ask(server(server_name, signed), [(wire.pack(name), wire.TXT)])[0]
    assert not reply.fault, reply.fault
    assert reply.rcode in (wire.NOERROR, wire.NXDOMAIN), reply
    return sorted(reply.rrset.values) if reply.rrset else None


def serial(zone: str, server_name: str = "bind") -> int:
    reply = ask.ask(server(server_name), [(wire.pack(zone), wire.SOA)])[0]
    assert reply.rrset is not None, reply
    return int.from_bytes(reply.rrset.values[0][-20:-16], "big")


def write(server_name: str, zone: str, name: str, text: str, before: str | None = None) -> None:
    """Publish a text as another writer does."""
    data = wire.txt_data(text.encode())
    old = wire.RRset(60, (wire.txt_data(before.encode()),)) if before else None
    change = plan.Change((wire.pack(name), wire.TXT), old, wire.RRset(60, (data,)))
    with ask.Connection(server(server_name, key())) as connection:
        for batch in update.batches(server(server_name, key()), wire.pack(zone), [change]):
            update.exchange(connection, batch, wire.pack(zone))


def prove(zone: str, records: list[dict[str, t.Any]], asked: list[propagation.Authority]) -> propagation.Report:
    packed = wire.pack(zone)
    wanted, faults = inventory.wanted_by_zone(records, {packed: None})
    assert not faults, faults
    return propagation.check(packed, wanted[packed], asked)


def until(true: t.Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.2)
    return False

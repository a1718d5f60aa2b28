#!/usr/bin/env python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Name servers for the tests of dynamic updates, as plain processes on ports of their own, with zones of their own.

usage: dns_servers.py start ADDRESS [NAME ...] | stop [NAME ...] | kill NAME | pause NAME | go NAME | rndc WORDS | knotc WORDS | log NAME

  bind 5301      primary of bind.test, locked.test (no right to update), closed.test (no transfer), frozen.test, two reverse zones
  knot 5302      primary of knot.test; secondary of bind.test that is not notified, and so stale
  pdns 5303      primary of pdns.test; secondary of bind.test
  nsd 5304       secondary of bind.test
  views 5305     BIND: view.test in two views; who asks with the key int sees the internal one
  second 5306    BIND: secondary of bind.test
  policy 5307    PowerDNS: primary of policy.test, where its policy leaves out names that begin with denied
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path("/var/lib/lab/dns")
PORTS = {"bind": 5301, "knot": 5302, "pdns": 5303, "nsd": 5304, "views": 5305, "second": 5306, "policy": 5307}
# Secrets of the lab alone: they protect nothing.
SECRETS = {
    "upd": "bGFiLW9ubHktdXBkYXRlLXNlY3JldC0zMi1ieXRlcy4u",
    "limited": "bGFiLW9ubHktbGltaXRlZC1zZWNyZXQtMzItYnl0ZXMu",
    "int": "bGFiLW9ubHktaW50ZXJuYWwtc2VjcmV0LTMyLWJ5dGVz",
    "ext": "bGFiLW9ubHktZXh0ZXJuYWwtc2VjcmV0LTMyLWJ5dGVz",
}
ZONES = ("bind.test", "locked.test", "closed.test", "frozen.test", "100.51.198.in-addr.arpa", "0/26.100.51.198.in-addr.arpa")
ZONE = """$TTL 300
@ IN SOA ns.{zone}. hostmaster.{zone}. ( 1 86400 3600 864000 30 )
@ IN NS ns.{zone}.
ns IN A {address}
"""
BASE = """@ 600 IN TXT "v=spf1 mx -all"
@ 600 IN TXT "google-site-verification=Foreign_1; keep \\"me\\""
@ 600 IN TXT "MS=ms1" "234567"
@ 600 IN TXT "v=spf10 is no SPF record"
busy IN A 192.0.2.1
"""
REVERSE = "11 IN CNAME 11.0/26.100.51.198.in-addr.arpa.\n0/26 IN NS ns.100.51.198.in-addr.arpa.\n"
# PowerDNS leaves out what its policy does not let through, and answers NOERROR; the policy also takes the place of the check of keys.
POLICY = """function updatepolicy(input)
  return not string.find(input:getQName():toString(), "^denied%.")
end
"""
KEYS = "".join(f'key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};\n' for name, secret in SECRETS.items())


def zone_file(folder: Path, zone: str, address: str) -> str:
    path = folder / (zone.replace("/", "_") + ".db")
    more = REVERSE if zone.startswith("100.") else "" if zone.endswith("arpa") else BASE
    text = ZONE.format(zone=zone, address=address)
    if "/" in zone:  # no name of a host may be below it
        text = text.replace(f"ns.{zone}", "ns.bind.test").replace(f"hostmaster.{zone}", "h.bind.test").replace(f"ns IN A {address}\n", "")
    path.write_text(text + more)
    return str(path)


def options(folder: Path, address: str, port: int) -> str:
    return f"""options {{ directory "{folder}"; pid-file none; session-keyfile none; listen-on-v6 {{ none; }};
 listen-on port {port} {{ {address}; }};
 recursion no; dnssec-validation no; notify explicit; notify-delay 1; allow-transfer {{ key upd; }}; }};
{KEYS}"""


def bind(folder: Path, address: str) -> list[str]:
    peers = " ".join(f"{address} port {PORTS[name]};" for name in ("second", "nsd"))
    zones = ""
    for zone in ZONES:
        grant = {
            "bind.test": "update-policy { grant upd zonesub ANY; grant limited subdomain mx1._domainkey.bind.test. TXT; };",
            "locked.test": "allow-update { none; };",
            "closed.test": "update-policy { grant upd zonesub ANY; }; allow-transfer { none; };",
        }.get(zone, "update-policy { grant upd zonesub ANY; };")
        notify = f"also-notify {{ {peers} }}; allow-transfer {{ key upd; {address}; }};" if zone == "bind.test" else ""
        zones += f'zone "{zone}" {{ type primary; file "{zone_file(folder, zone, address)}"; {grant} {notify} }};\n'
    control = 'controls { inet 127.0.0.1 port 5391 allow { 127.0.0.1; } keys { "upd"; }; };\n'
    (folder / "named.conf").write_text(options(folder, address, PORTS["bind"]) + control + zones)
    (folder / "rndc.conf").write_text(KEYS + 'options { default-key "upd"; default-server 127.0.0.1; default-port 5391; };\n')
    return ["named", "-c", str(folder / "named.conf"), "-g"]


def views(folder: Path, address: str) -> list[str]:
    text = options(folder, address, PORTS["views"])
    for view, match in (("internal", "key int;"), ("external", "any;")):
        (folder / view).mkdir()
        file = zone_file(folder / view, "view.test", address)
        key = view[:3]
        text += f'view {view} {{ match-clients {{ {match} }}; zone "view.test" {{ type primary; file "{file}"; '
        text += f"update-policy {{ grant {key} zonesub ANY; }}; allow-transfer {{ key {key}; }}; }}; }};\n"
    (folder / "named.conf").write_text(text)
    return ["named", "-c", str(folder / "named.conf"), "-g"]


def second(folder: Path, address: str) -> list[str]:
    primary = f"primaries {{ {address} port {PORTS['bind']} key upd; }};"
    zone = f'zone "bind.test" {{ type secondary; file "{folder}/bind.db"; {primary} allow-notify {{ {address}; }}; }};\n'
    (folder / "named.conf").write_text(options(folder, address, PORTS["second"]) + zone)
    return ["named", "-c", str(folder / "named.conf"), "-g"]


def knot(folder: Path, address: str) -> list[str]:
    keys = "".join(f"  - id: {name}\n    algorithm: hmac-sha256\n    secret: {secret}\n" for name, secret in SECRETS.items())
    (folder / "knot.conf").write_text(f"""server:
    rundir: "{folder}"
    listen: {address}@{PORTS["knot"]}
log:
  - target: stderr
    any: info
database:
    storage: "{folder}"
key:
{keys}remote:
  - id: primary
    address: {address}@{PORTS["bind"]}
    key: upd
acl:
  - id: update
    key: upd
    action: [update, transfer]
zone:
  - domain: knot.test
    file: "{zone_file(folder, "knot.test", address)}"
    acl: update
  - domain: bind.test
    file: "{folder}/stale.db"
    master: primary
""")
    return ["knotd", "-c", str(folder / "knot.conf")]


def pdns(folder: Path, address: str, name: str = "pdns", more: str = "") -> list[str]:
    zone = f"{name}.test"
    database = folder / "pdns.db"
    schema = Path("/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql")
    import sqlite3

    with sqlite3.connect(database) as connection:
        connection.executescript(schema.read_text())
    (folder / "pdns.conf").write_text(f"""launch=gsqlite3
gsqlite3-database={database}
local-address={address}
local-port={PORTS[name]}
socket-dir={folder}
dnsupdate=yes
allow-dnsupdate-from=0.0.0.0/0
secondary=yes
{more}""")
    util = ["pdnsutil", f"--config-dir={folder}"]
    for words in (
        ["load-zone", zone, zone_file(folder, zone, address)],
        ["import-tsig-key", "upd", "hmac-sha256", SECRETS["upd"]],
        ["set-meta", zone, "TSIG-ALLOW-DNSUPDATE", "upd"],
        ["set-meta", zone, "TSIG-ALLOW-AXFR", "upd"],
        ["create-secondary-zone", "bind.test", f"{address}:{PORTS['bind']}"],
        ["set-meta", "bind.test", "TSIG-ALLOW-DNSUPDATE", "upd"],
        ["activate-tsig-key", "bind.test", "upd", "secondary"],
    ):
        subprocess.run([*util, *words], check=True, capture_output=True)
    return ["pdns_server", f"--config-dir={folder}", "--daemon=no", "--guardian=no"]


def policy(folder: Path, address: str) -> list[str]:
    (folder / "policy.lua").write_text(POLICY)
    return pdns(folder, address, "policy", f"lua-dnsupdate-policy-script={folder}/policy.lua\n")


def nsd(folder: Path, address: str) -> list[str]:
    (folder / "nsd.conf").write_text(f"""server:
    ip-address: {address}@{PORTS["nsd"]}
    username: ""
    zonesdir: "{folder}"
    database: ""
    zonelistfile: "{folder}/zone.list"
    xfrdfile: "{folder}/xfrd.state"
    pidfile: "{folder}/nsd.pid"
    xfrdir: "{folder}"
    server-count: 1
remote-control:
    control-enable: no
key:
    name: "upd"
    algorithm: hmac-sha256
    secret: "{SECRETS["upd"]}"
zone:
    name: bind.test
    zonefile: "bind.test.zone"
    allow-notify: {address} NOKEY
    request-xfr: AXFR {address}@{PORTS["bind"]} upd
""")
    return ["nsd", "-d", "-c", str(folder / "nsd.conf")]


MAKERS = {"bind": bind, "knot": knot, "pdns": pdns, "nsd": nsd, "views": views, "second": second, "policy": policy}


def run(name: str) -> None:
    """Start a server by what start() wrote, and wait until it listens."""
    folder = ROOT / name
    address, *words = (folder / "command").read_text().split("\n")
    before = (folder / "log").stat().st_size if (folder / "log").exists() else 0
    with open(folder / "log", "ab") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, cwd=folder)
    (folder / "pid").write_text(str(process.pid))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((address, PORTS[name]), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            # BIND listens before it has read its zones, and would refuse.
            if words[0] != "named" or b"all zones loaded" in (folder / "log").read_bytes()[before:]:
                return
            time.sleep(0.05)
    sys.exit(f"{name} does not listen:\n{(folder / 'log').read_text()[-3000:]}")


def start(address: str, names: list[str]) -> None:
    for name in names:
        folder = ROOT / name
        stop([name])
        subprocess.run(["rm", "-rf", str(folder)], check=True)
        folder.mkdir(parents=True)
        words = MAKERS[name](folder, address)
        (folder / "command").write_text("\n".join([address, *words]))
        run(name)


def stop(names: list[str], number: int = signal.SIGKILL) -> None:
    for name in names:
        file = ROOT / name / "pid"
        if file.exists():
            pid = int(file.read_text())
            try:
                # Its children with it: each server has a session of its own.
                os.killpg(pid, signal.SIGCONT)
                os.killpg(pid, number)
            except ProcessLookupError:
                pass
            file.unlink()
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and alive(pid):
                time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def main() -> None:
    command, *words = sys.argv[1:]
    if command == "start":
        start(words[0], words[1:] or list(MAKERS))
    elif command in ("stop", "kill"):
        stop(words or list(MAKERS))
    elif command == "run":
        run(words[0])
    elif command in ("pause", "go"):
        os.killpg(int((ROOT / words[0] / "pid").read_text()), signal.SIGSTOP if command == "pause" else signal.SIGCONT)
    elif command == "rndc":
        sys.exit(subprocess.run(["rndc", "-c", str(ROOT / "bind/rndc.conf"), *words], check=False).returncode)
    elif command == "knotc":
        sys.exit(subprocess.run(["knotc", "-b", "-s", str(ROOT / "knot/knot.sock"), *words], check=False).returncode)
    elif command == "log":
        sys.stdout.write((ROOT / words[0] / "log").read_text()[-20_000:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

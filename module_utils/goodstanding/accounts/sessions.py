# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that were open before the lock's plumbing: they keep their old restrictions until their socket is closed.

An smtpd that was started before Postfix was reloaded keeps its old configuration until its session ends. Its socket is
closed with ss -K; the process is never killed, since master(8) then throttles the service for everybody.
Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
import typing as t

_PID = re.compile(r'\("smtpd",pid=(\d{1,10}),')
_END = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[0-9.]+|\*):(\d{1,5})\Z")


class Socket(t.NamedTuple):
    """An established connection of an smtpd: both ends as ss(8) writes them, and the process where this user may know it."""

    local: str
    peer: str
    pid: int | None

    def ss_filter(self) -> list[str]:
        """Return the words that select exactly this socket."""
        return ["src", self.local, "and", "dst", self.peer]

    def client(self) -> str:
        """Return the client's address without its port."""
        return self.peer.rpartition(":")[0].strip("[]").partition("%")[0]

    def server(self) -> str:
        """Return the address on this host without its port."""
        return self.local.rpartition(":")[0].strip("[]").partition("%")[0]


def smtpd_ports(services: str) -> set[int]:
    """Return the ports on which smtpd listens. services: output of postconf -M; master(5): the service is host:port, port or a name."""
    ports = set()
    for line in services.splitlines():
        fields = line.split()
        if len(fields) > 7 and fields[1] == "inet" and fields[7] in ("smtpd", "postscreen"):  # postscreen hands its connections on
            port = fields[0].rpartition(":")[2]
            with contextlib.suppress(OSError):
                ports.add(int(port) if port.isdigit() else socket.getservbyname(port, "tcp"))
    return ports


def sockets(output: str, ports: t.Collection[int]) -> list[Socket]:
    """Return the connections to these ports out of ss -Htnp state established."""
    found = []
    for line in output.splitlines():
        fields = line.split(None, 4)
        local, peer = (_END.match(fields[2]), _END.match(fields[3])) if len(fields) > 3 else (None, None)
        if local and peer and int(local[2]) in ports:
            pid = _PID.search(fields[4]) if len(fields) == 5 else None
            found.append(Socket(fields[2], fields[3], int(pid[1]) if pid else None))
    return found


def older_than(found: list[Socket], reloaded: float, first: set[Socket], started: t.Callable[[int], float | None]) -> list[Socket]:
    """Return the sockets that keep the restrictions of before the reload (epoch).

    They are those of a process that was started before it. Where the process is not known (that needs CAP_SYS_PTRACE, which
    root in a container often lacks) every socket of the first look counts: it may be old, and its client will come back.
    """
    old = []
    for one in found:
        begun = started(one.pid) if one.pid is not None else None
        if (begun is not None and begun <= reloaded) or (one.pid is None and one in first):
            old.append(one)
    return old


def process_started(pid: int) -> float | None:
    """Return the epoch at which a process was started (proc(5), /proc/pid/stat field 22), or None where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")

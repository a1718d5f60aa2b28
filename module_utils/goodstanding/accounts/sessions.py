# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that were open before the lock's plumbing: they keep their old restrictions until their socket is closed.

An smtpd that was started before Postfix was reloaded keeps its old configuration until its session ends. Its socket is
closed with ss -K; the process is never killed, since master(8) then throttles the service for everybody.
Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import os
import re
import time
import typing as t

_PID = re.compile(r'\("smtpd",pid=(\d{1,10}),')
_END = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[0-9.]+|\*):(\d{1,5})\Z")


class Socket(t.NamedTuple):
    """An established connection of an smtpd: both ends as ss(8) writes them, and the process."""

    local: str
    peer: str
    pid: int

    def ss_filter(self) -> list[str]:
        """Return the words that select exactly this socket."""
        return ["src", self.local, "and", "dst", self.peer]


def smtpd_sockets(output: str) -> list[Socket]:
    """Return the smtpd's connections out of ss -Htnp state established."""
    found = []
    for line in output.splitlines():
        fields = line.split(None, 4)
        pid = _PID.search(fields[4]) if len(fields) == 5 else None
        if pid and _END.match(fields[2]) and _END.match(fields[3]):
            found.append(Socket(fields[2], fields[3], int(pid[1])))
    return found


def older_than(sockets: list[Socket], reloaded: float, started: t.Callable[[int], float | None]) -> list[Socket]:
    """Return the sockets whose process was started at or before the reload (epoch); a process that is gone has none."""
    found = []
    for socket in sockets:
        begun = started(socket.pid)
        if begun is not None and begun <= reloaded:
            found.append(socket)
    return found


def process_started(pid: int) -> float | None:
    """Return the epoch at which a process was started (proc(5), /proc/pid/stat field 22), or None where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")

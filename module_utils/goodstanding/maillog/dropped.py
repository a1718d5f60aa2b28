# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rsyslogd and journald say of lines that they dropped. Standard library only, Python >= 3.9.

They say it with facility syslog, so it does not stand in a file of mail.*: it is looked for in the journal and in the end of the system's
log too. Whose lines they were is not told in most cases, so each such word makes the mail log incomplete.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import typing as t

from .lines import Clock, evidence, parts, program_of

SYSTEM_LOGS = ("/var/log/syslog", "/var/log/syslog.1", "/var/log/messages", "/var/log/messages.1")
#: So much of the end of each is read, and so many lines of the journal.
_TAIL = 32 << 20
_CHUNK = 1 << 20
_LINES = 2000
_SECONDS = 60
JOURNALCTL = "journalctl"

# rsyslog's ratelimit.c and imuxsock.c: 'imuxsock[pid 12]: begin to drop messages due to rate-limiting', 'imuxsock lost 9 messages from
# pid 12 due to rate-limiting', 'imjournal: 9 messages lost due to rate-limiting'.
_RSYSLOGD = re.compile(r"(?:begin to drop messages|messages lost|lost \d{1,10} messages).{0,100}due to rate-limiting")
_JOURNALD = re.compile(r"Suppressed \d{1,10} messages from (\S{1,200})")
# journald-syslog.c: rsyslogd, which writes the file, was too slow. The journal has these lines.
_MISSED = re.compile(r"Forwarding to syslog missed (\d{1,9}) messages")
# A unit that is a service of another kind says nothing of mail.
_MAIL_UNIT = re.compile(
    r"mail|postfix|dovecot|exim|rspamd|dkim|amavis|smtp|imap|mta|syslog|docker|podman|container|lxc|nspawn", re.IGNORECASE
)


def is_logger(program: str) -> bool:
    """Whether it is a program that may say so; version 7 and before call themselves rsyslogd-2177."""
    return program in ("systemd-journald", "systemd-journal", "rsyslogd") or program.startswith("rsyslogd-")


def is_drop(message: str) -> bool:
    """Whether a logger says that lines are missing which may have been the mail log's."""
    message = message[:1000]
    found = _JOURNALD.match(message)
    if found:
        return not found[1].endswith(".service") or bool(_MAIL_UNIT.search(found[1]))
    return bool(_RSYSLOGD.search(message))


def told(raw: str) -> str:
    """Return a logger's line as it is shown, without its time."""
    return evidence(raw[16 if raw[15:16] == " " and not raw[:1].isdecimal() else raw.find(" ") + 1 :])[:200]


def drops(since: float, until: float, clock: Clock) -> list[tuple[float, str]]:
    """Return when the loggers dropped lines of this host, and in which words; what cannot be read says nothing."""
    found = []
    for lines in (_journal(since), *map(_tail, SYSTEM_LOGS)):
        for raw in lines:
            line = parts(raw)
            program = program_of(line[1]) if line else None
            time = clock.time(line[0]) if line and program and is_logger(program) and is_drop(line[2]) else None
            if time is not None and since <= time <= until:
                found.append((time, told(raw)))
    return found


def not_handed_on(since: float) -> str | None:
    """Return how many lines since then are in the journal and not in the files that rsyslogd writes, or None where there are none."""
    counts = [int(found[1]) for found in map(_MISSED.search, _journal(since)) if found]
    if not counts:
        return None
    return (
        f"{sum(counts)} lines are in the journal and not in the file (journald: Forwarding to syslog missed them): "
        "abuse_triage_log_source: journal reads them"
    )


def _tail(path: str) -> t.Iterator[str]:
    """Yield the lines of the end of a file that may be of interest."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            rest = b""
            for _ in range(_TAIL // _CHUNK + 1):
                piece = file.read(_CHUNK)
                block, newline, rest = (rest + piece).rpartition(b"\n")
                if b"rate-limiting" in block or b"Suppressed" in block:
                    for line in block.split(b"\n"):
                        if b"rate-limiting" in line or b"Suppressed" in line:
                            yield line[:4000].decode("utf-8", "replace")
                rest = rest if newline else b""  # a line that is longer than a piece is none of a logger's
                if not piece:
                    return
    except OSError:
        return


def _journal(since: float) -> list[str]:
    """Return what the loggers said to the journal."""
    program = shutil.which(JOURNALCTL)
    if not program:
        return []
    command = [program, "--quiet", "--no-pager", "--output=short-iso-precise", f"--since=@{int(since)}", f"--lines={_LINES}"]
    command += ["SYSLOG_IDENTIFIER=systemd-journald", "+", "SYSLOG_IDENTIFIER=rsyslogd"]
    try:
        answer = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return answer.stdout.decode("utf-8", "replace").split("\n")

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host's modules share: commands, files that are replaced whole, the journal of what was done.

Standard library only, Python >= 3.9. Durable state of a host is under /var/lib/goodstanding.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import grp
import json
import os
import tempfile
import time
import typing as t
from pathlib import Path

STATE = "/var/lib/goodstanding"

#: run(words, stdin) -> (exit code, stdout, stderr); no shell.
Run = t.Callable[..., tuple[int, str, str]]


class HostError(Exception):
    """Something on the host is not as it must be; the message says what was tried, what came back and what to do."""


class File(t.NamedTuple):
    """A file as it is wanted: text is None where it must not exist; group owns it beside root."""

    path: str
    text: str | None
    mode: int = 0o644
    group: str = "root"


def must(run: Run, words: list[str], advice: str, data: str | None = None) -> str:
    """Run a command and return its output; HostError where it fails."""
    code, out, err = run(words, data) if data is not None else run(words)
    if code:
        raise HostError(f"{' '.join(words)} ended with {code}: {(err or out).strip()[-600:]}: {advice}")
    return out


def read_text(path: str) -> str | None:
    """Return a file's text with every byte kept, or None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise HostError(f"{path} cannot be read ({exc.strerror}): the connecting user needs become") from exc


def write_file(file: File) -> None:
    """Replace a file whole; one that exists keeps its owner and mode."""
    target = Path(file.path)
    if file.text is None:
        with contextlib.suppress(FileNotFoundError):
            target.unlink()
        return
    target = target.resolve()  # a link stays a link, as configuration management may have made it
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=str(target.parent), prefix=".goodstanding-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            stream.write(file.text)
        if target.exists():
            stat = target.stat()
            os.chown(name, stat.st_uid, stat.st_gid)
            os.chmod(name, stat.st_mode & 0o7777)
        else:
            if os.geteuid() == 0:
                os.chown(name, 0, grp.getgrnam(file.group).gr_gid)
            os.chmod(name, file.mode)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def changes(files: list[File]) -> list[tuple[File, str | None]]:
    """Return the files that are not as wanted, each with its present text."""
    found = []
    for file in files:
        before = read_text(file.path)
        if before != file.text:
            found.append((file, before))
    return found


def diff(changed: list[tuple[File, str | None]]) -> list[dict[str, str]]:
    """Return Ansible's diff of these changes: the changed lines alone, since the lines around them may hold a secret."""
    found = []
    for file, before in changed:
        old, new = _readable(before), _readable(file.text)
        lines = difflib.unified_diff(old, new, f"before: {file.path}", f"after: {file.path}", n=0)
        found.append({"prepared": "".join(line if line.endswith("\n") else line + "\n" for line in lines)})
    return found


def _readable(text: str | None) -> list[str]:
    """Return a file's lines as they can be shown: bytes that are no UTF-8 replaced, binary content left out."""
    if text and "\0" in text:
        return ["(binary)\n"]
    return (text or "").encode("utf-8", "surrogateescape").decode("utf-8", "replace").splitlines(keepends=True)


def load_state(name: str) -> dict[str, t.Any]:
    """Return a JSON object of the host's state; empty where there is none."""
    text = read_text(f"{STATE}/{name}")
    try:
        value = json.loads(text) if text else {}
    except ValueError as exc:
        raise HostError(f"{STATE}/{name} is damaged ({exc}): move it away and run again") from exc
    return value if isinstance(value, dict) else {}


def save_state(name: str, value: dict[str, t.Any]) -> None:
    write_file(File(f"{STATE}/{name}", json.dumps(value, indent=1, sort_keys=True) + "\n", 0o600))


def journal(**entry: t.Any) -> None:
    """Append one line on what was done."""
    Path(STATE).mkdir(mode=0o755, parents=True, exist_ok=True)
    with open(os.open(f"{STATE}/journal.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.write(json.dumps({"time": time.time(), **entry}, sort_keys=True) + "\n")


@contextlib.contextmanager
def alone(check_mode: bool) -> t.Iterator[None]:
    """Let one module at a time change the lock's files on this host."""
    if check_mode:
        yield
        return
    Path(STATE).mkdir(mode=0o755, parents=True, exist_ok=True)
    with open(f"{STATE}/.lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

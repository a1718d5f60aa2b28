# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host's modules share: commands, files that are replaced whole, one at a time.

Standard library only, Python >= 3.9. Durable state of a host is under /var/lib/goodstanding.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import grp
import json
import os
import time
import typing as t
from pathlib import Path

STATE = "/var/lib/goodstanding"
_RUNNING = ".lock"
#: How long a module waits for another one on the same host, in seconds.
PATIENCE = 120

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
    name = f"{target.parent}/.goodstanding-{target.name}"  # one name: what a kill left behind is taken away by the next run
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
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


@contextlib.contextmanager
def alone(check_mode: bool, incident: str = "manual") -> t.Iterator[None]:
    """Let one module at a time change the lock's files on this host; HostError says which run has them where it does not end."""
    if check_mode:
        yield
        return
    with contextlib.suppress(OSError):  # a full disk or one that is read-only: what can be locked is locked all the same
        Path(STATE).mkdir(mode=0o755, parents=True, exist_ok=True)
    folder = os.open(STATE if Path(STATE).is_dir() else "/", os.O_RDONLY)
    try:
        _wait(folder)
        with contextlib.suppress(OSError):
            Path(STATE, _RUNNING).write_text(f"incident {incident}, process {os.getpid()}", encoding="utf-8")
        yield
    finally:
        os.close(folder)


def _wait(folder: int) -> None:
    deadline = time.time() + PATIENCE
    while True:
        try:
            return fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            if time.time() > deadline:
                who = (read_text(f"{STATE}/{_RUNNING}") or "").strip()[:120] or "another run"
                raise HostError(
                    f"{who} has been changing this host for more than {PATIENCE} s: wait for it, or end it, and run again"
                ) from exc
            time.sleep(0.1)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the lock's plumbing into a host's Postfix and Dovecot, or take it out: validated first, rolled back where it fails.

Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import os
import shutil
import smtplib
import tempfile
import time
import typing as t
from pathlib import Path

from ..host.files import (
    STATE,
    File,
    HostError,
    Run,
    changes,
    diff,
    journal,
    load_state,
    must,
    read_text,
    save_state,
    write_file,
)
from . import dovecot_conf, postfix_conf

POSTFIX = "/etc/postfix"
DOVECOT = "/etc/dovecot/dovecot.conf"
MAP_SOURCE = f"{POSTFIX}/goodstanding_locked"
STATE_FILE = "plumbing.json"


def dovecot_version(run: Run) -> str | None:
    """Return what dovecot --version says, or None where there is no Dovecot."""
    if not shutil.which("dovecot") or not Path(DOVECOT).exists():
        return None
    return must(run, ["dovecot", "--version"], "Dovecot cannot be started on this host")


def make_map(run: Run) -> None:
    """Make the lock's map of its source. postmap changes it in place: one that is renamed in is not seen by an open session."""
    must(run, ["postmap", postfix_conf.MAP], "the map of locked accounts cannot be made")


def require_postfix(run: Run) -> None:
    """HostError where this host has no Postfix that can be locked."""
    if not shutil.which("postconf") or not Path(f"{POSTFIX}/main.cf").exists():
        raise HostError(f"this host has no Postfix ({POSTFIX}/main.cf or postconf is missing): take it out of the group of mail hosts")
    if "lmdb" not in must(run, ["postconf", "-m"], "Postfix cannot list its map types").split():
        raise HostError("this Postfix has no lmdb maps, the only kind that an open session sees change: install the package postfix-lmdb")


def wanted(present: bool, version: str | None) -> list[File]:
    """Return every file of the plumbing; those that hold data first, those that name them last."""
    main, master = read_text(f"{POSTFIX}/main.cf") or "", read_text(f"{POSTFIX}/master.cf") or ""
    files = []
    if present:
        files.append(File(MAP_SOURCE, read_text(MAP_SOURCE) or postfix_conf.write_map({})))
        files.append(File(f"{POSTFIX}/main.cf", postfix_conf.plumb_main(main)))
        files.append(File(f"{POSTFIX}/master.cf", postfix_conf.plumb_master(master)))
    else:
        files.append(File(f"{POSTFIX}/master.cf", postfix_conf.unplumb_master(master)))
        files.append(File(f"{POSTFIX}/main.cf", postfix_conf.unplumb_main(main)))
        files += [File(MAP_SOURCE, None), File(f"{MAP_SOURCE}.lmdb", None)]
    if version is None:
        return files
    dovecot = read_text(DOVECOT) or ""
    if present:
        files.append(File(dovecot_conf.DENY_FILE, read_text(dovecot_conf.DENY_FILE) or "", 0o640, "dovecot"))
        files.append(File(dovecot_conf.INCLUDE_FILE, dovecot_conf.deny_conf(version)))
        files.append(File(DOVECOT, dovecot_conf.plumb(dovecot, version)))
    else:
        files += [
            File(DOVECOT, dovecot_conf.unplumb(dovecot)),
            File(dovecot_conf.INCLUDE_FILE, None),
            File(dovecot_conf.DENY_FILE, None),
        ]
    return files


def validate(run: Run, files: list[File], present: bool) -> None:
    """Try the wanted configuration in copies; HostError where Postfix or Dovecot does not take it."""
    texts = {file.path: file.text for file in files}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("main.cf", "master.cf"):
            Path(folder, name).write_text(texts[f"{POSTFIX}/{name}"] or "", encoding="utf-8", errors="surrogateescape")
        complaints = _complaints(run, folder) - _complaints(run, POSTFIX)
        if complaints:
            raise HostError(f"Postfix would not take the lock's configuration: {'; '.join(sorted(complaints))[:600]}: nothing was changed")
        if present:
            missing = unguarded(run, folder)
            if missing:
                raise HostError(
                    f"the lock's map would not be first in {', '.join(missing)}: put these settings on one line of {POSTFIX}/master.cf"
                )
    if DOVECOT not in texts or not present:
        return
    # Dovecot resolves its includes beside the file that is checked.
    trial = File(f"{os.path.dirname(DOVECOT)}/goodstanding-trial.conf", texts[DOVECOT], 0o600)
    try:
        write_file(trial)
        out = must(
            run,
            ["doveconf", "-n", "-c", trial.path],
            "Dovecot would not take the lock's configuration; nothing was changed",
        )
    finally:
        write_file(File(trial.path, None))
    if not dovecot_conf.deny_is_first(out):
        raise HostError(
            f"the deny passdb would not be the first that doveconf -n shows: look for a passdb before the includes of {DOVECOT}"
        )


def _complaints(run: Run, folder: str) -> set[str]:
    found: set[str] = set()
    for flag in ("-n", "-M", "-P"):
        code, _, err = run(["postconf", "-c", folder, flag])
        lines = [line.replace(folder, POSTFIX) for line in err.splitlines()]
        found.update(line for line in lines if "warning:" in line or "fatal:" in line or "error:" in line)
        if code:
            found.add(f"postconf {flag} ended with {code}")
    return found


def unguarded(run: Run, folder: str = POSTFIX) -> list[str]:
    """Return the smtpd services that the lock's map does not guard."""
    advice = "Postfix's configuration cannot be read"
    return postfix_conf.unguarded(
        must(run, ["postconf", "-c", folder, "-M"], advice),
        must(run, ["postconf", "-c", folder, "-P"], advice),
        must(run, ["postconf", "-c", folder, *postfix_conf.PARAMETERS], advice),
    )


def answers(timeout: float = 10) -> bool | None:
    """Return whether Postfix takes a recipient on port 25 of loopback; None where nothing listens there.

    A restriction that cannot be used passes every check of postconf and answers 451 4.3.5 to each recipient.
    """
    try:
        with smtplib.SMTP("127.0.0.1", 25, "localhost", timeout=timeout) as client:
            client.ehlo()
            client.mail("")
            code, text = client.rcpt("postmaster")
            return not (code == 451 and b"4.3.5" in text)
    except (OSError, smtplib.SMTPException):
        return None


def apply(run: Run, present: bool, check_mode: bool) -> dict[str, t.Any]:
    """Bring the plumbing into the wanted state; return changed, diff and the time of the reload that put it in force."""
    require_postfix(run)
    version = dovecot_version(run)
    files = wanted(present, version)
    changed = changes(files)
    state = load_state(STATE_FILE)
    fresh = present and not Path(f"{MAP_SOURCE}.lmdb").exists()
    result: dict[str, t.Any] = {
        "changed": bool(changed) or fresh or (present and "reloaded" not in state),
        "diff": diff(changed),
    }
    if check_mode or not result["changed"]:
        return {**result, "reloaded": state.get("reloaded")}
    before = answers()
    try:
        # What the configuration will name is there before it is named, and before it is tried.
        for file in files if present else []:
            if file.path in (MAP_SOURCE, dovecot_conf.DENY_FILE, dovecot_conf.INCLUDE_FILE):
                write_file(file)
        if present:
            must(run, ["postmap", postfix_conf.MAP], "the lock's map cannot be made")
        validate(run, files, present)
        for file, _ in changed:
            write_file(file)
        _reload(run, version)
        if before and answers() is False:
            raise HostError("after the reload Postfix answers 451 4.3.5 to recipients")
    except (HostError, OSError) as exc:
        for file, text in reversed(changed):
            write_file(file._replace(text=text))
        _reload(run, version)
        raise HostError(f"{exc}; the old files are back") from exc
    reloaded = time.time()
    if present:
        save_state(STATE_FILE, {"reloaded": reloaded})
    else:
        for name in (STATE_FILE, "locks.json"):
            write_file(File(f"{STATE}/{name}", None))
    journal(step="plumbing", state="present" if present else "absent", files=[file.path for file, _ in changed])
    return {**result, "reloaded": reloaded if present else None}


def _reload(run: Run, version: str | None) -> None:
    if not run(["postfix", "status"])[0]:
        must(run, ["postfix", "reload"], "Postfix did not reload")
    if version is not None and not run(["doveadm", "service", "status"])[0]:
        must(run, ["doveadm", "reload"], "Dovecot did not reload")

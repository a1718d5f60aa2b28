# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the lock's plumbing into a host's Postfix and Dovecot, or take it out: validated first, rolled back where it fails.

Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import typing as t
from pathlib import Path

from ..host import journal
from ..host.files import STATE, File, HostError, Run, changes, diff, load_state, must, read_text, save_state, write_file
from . import dovecot_conf, live, loopback, postfix_conf, trial

POSTFIX = live.POSTFIX
DOVECOT = "/etc/dovecot/dovecot.conf"
MAP_SOURCE = f"{POSTFIX}/goodstanding_locked"
USERS_SOURCE = f"{POSTFIX}/goodstanding_locked_users"
STATE_FILE = "plumbing.json"
#: Per locked account its incident, since when, and what of it was still open.
LOCKS = "locks.json"
MAPS = {MAP_SOURCE: postfix_conf.MAP_HEAD, USERS_SOURCE: postfix_conf.USERS_HEAD}
#: What the configuration names must be there before it is named.
_DATA = (*MAPS, dovecot_conf.DENY_FILE, dovecot_conf.CANARY_FILE, dovecot_conf.INCLUDE_FILE)


def dovecot_version(run: Run) -> str | None:
    """Return what dovecot --version says, or None where there is no Dovecot."""
    if not shutil.which("dovecot") or not Path(DOVECOT).exists():
        return None
    return must(run, ["dovecot", "--version"], "Dovecot cannot be started on this host")


def make_map(run: Run, source: str) -> None:
    """Make a map of its source. postmap changes it in place: one that is renamed in is not seen by an open session."""
    must(run, ["postmap", f"lmdb:{source}"], "the map of locked accounts cannot be made")


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
        files += [File(source, read_text(source) or head) for source, head in MAPS.items()]
        files.append(File(f"{POSTFIX}/main.cf", postfix_conf.plumb_main(main)))
        files.append(File(f"{POSTFIX}/master.cf", postfix_conf.plumb_master(master)))
    else:
        files.append(File(f"{POSTFIX}/master.cf", postfix_conf.unplumb_master(master)))
        files.append(File(f"{POSTFIX}/main.cf", postfix_conf.unplumb_main(main)))
        files += [File(f"{source}{suffix}", None) for source in MAPS for suffix in ("", ".lmdb")]
    if version is None:
        return files
    dovecot = read_text(DOVECOT) or ""
    if present:
        for path in (dovecot_conf.DENY_FILE, dovecot_conf.CANARY_FILE):
            files.append(File(path, read_text(path) or "", 0o640, "dovecot"))
        files.append(File(dovecot_conf.INCLUDE_FILE, dovecot_conf.deny_conf(version)))
        files.append(File(DOVECOT, dovecot_conf.plumb(dovecot, version)))
    else:
        files += [
            File(DOVECOT, dovecot_conf.unplumb(dovecot)),
            File(dovecot_conf.INCLUDE_FILE, None),
            # With group and mode, for the case that they come back: Dovecot must be able to read them.
            *(File(path, None, 0o640, "dovecot") for path in (dovecot_conf.DENY_FILE, dovecot_conf.CANARY_FILE)),
        ]
    return files


def validate(run: Run, files: list[File], present: bool) -> None:
    """Try the wanted configuration in copies; HostError where Postfix or Dovecot does not take it."""
    texts = {file.path: file.text for file in files}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("main.cf", "master.cf"):
            Path(folder, name).write_text(texts[f"{POSTFIX}/{name}"] or "", encoding="utf-8", errors="surrogateescape")
        complaints = live.complaints(run, folder) - live.complaints(run, POSTFIX)
        if complaints:
            raise HostError(f"Postfix would not take the lock's configuration: {'; '.join(sorted(complaints))[:600]}: nothing was changed")
        if present:
            missing = unguarded(run, folder)
            if missing:
                raise HostError(
                    f"the lock's map would not be first in {', '.join(missing)}: put these settings on one line of {POSTFIX}/master.cf"
                )
    _try(run, texts, present)
    if DOVECOT not in texts or not present:
        return
    # Dovecot resolves its includes beside the file that is checked.
    copy = File(f"{os.path.dirname(DOVECOT)}/goodstanding-trial.conf", texts[DOVECOT], 0o600)
    try:
        write_file(copy)
        out = must(
            run,
            ["doveconf", "-n", "-c", copy.path],
            "Dovecot would not take the lock's configuration; nothing was changed",
        )
    finally:
        write_file(File(copy.path, None))
    if not dovecot_conf.deny_is_first(out):
        raise HostError(
            f"the deny passdb would not be the first that doveconf -n shows: look for a passdb before the includes of {DOVECOT}"
        )


def _try(run: Run, texts: dict[str, str | None], present: bool) -> None:
    """Ask the wanted configuration and the present one the same, by transactions; HostError where others would notice a difference."""
    main, master = f"{POSTFIX}/main.cf", f"{POSTFIX}/master.cf"
    maps = {**MAPS, MAP_SOURCE: f"{postfix_conf.MAP_HEAD}{dovecot_conf.CANARY} REJECT 5.7.1 account locked, a trial\n"}
    now, new = (read_text(main) or "", read_text(master) or ""), (texts[main] or "", texts[master] or "")
    faults = trial.faults(run, now, new, maps, locks=present)
    if faults:
        raise HostError(f"the lock's configuration was tried and failed: {'; '.join(faults)[:600]}: nothing was changed")


def unguarded(run: Run, folder: str = POSTFIX) -> list[str]:
    """Return the smtpd services that the lock's map does not guard."""
    advice = "Postfix's configuration cannot be read"
    return postfix_conf.unguarded(
        must(run, ["postconf", "-c", folder, "-M"], advice),
        must(run, ["postconf", "-c", folder, "-P"], advice),
        must(run, ["postconf", "-c", folder, *postfix_conf.PARAMETERS], advice),
    )


def apply(run: Run, present: bool, check_mode: bool) -> dict[str, t.Any]:
    """Bring the plumbing into the wanted state; return changed, diff and the time of the reload that put it in force."""
    require_postfix(run)
    version = dovecot_version(run)
    files = wanted(present, version)
    changed = changes(files)
    state = load_state(STATE_FILE)
    fresh = present and not all(Path(f"{source}.lmdb").exists() for source in MAPS)
    result: dict[str, t.Any] = {
        "changed": bool(changed) or fresh or (present and "reloaded" not in state),
        "diff": diff(changed),
    }
    if check_mode or not result["changed"]:
        return {**result, "reloaded": state.get("reloaded")}
    before, validated = loopback.answers(run), False
    try:
        for file in files if present else []:
            if file.path in _DATA:
                write_file(file)
        for source in MAPS if present else ():
            make_map(run, source)
        validate(run, files, present)
        validated = True
        if state:
            write_file(File(f"{STATE}/{STATE_FILE}", None))  # until the reload: the run after one that is killed here reloads
        for file, _ in changed:
            write_file(file)
        _reload(run, version)
        live.answers_as(run, before)
    except (HostError, OSError) as exc:
        for file, text in reversed(changed):
            write_file(file._replace(text=text))
        if state:
            save_state(STATE_FILE, state)
        try:
            if validated:
                _reload(run, version)
        except HostError as again:
            raise HostError(f"{exc}; the old files are back, and then {again}") from exc
        raise HostError(f"{exc}; the old files are back") from exc
    reloaded = time.time()
    if present:
        save_state(STATE_FILE, {"reloaded": reloaded})
    else:
        for name in (STATE_FILE, LOCKS):
            write_file(File(f"{STATE}/{name}", None))
    journal.write(step="plumbing", state="present" if present else "absent", files=[file.path for file, _ in changed])
    return {**result, "reloaded": reloaded if present else None}


def _reload(run: Run, version: str | None) -> None:
    live.reload(run)
    if version is not None and not run(["doveadm", "service", "status"])[0]:
        must(run, ["doveadm", "reload"], "Dovecot did not reload")

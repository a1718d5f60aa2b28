# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a host a transport for each receiver, or take them away: tried first, rolled back where it fails.

No line of the map names a transport that is not there yet, or not there any more: what Postfix cannot reach, it puts off. Mail that waits
names no transport at all; its domain is looked up again each time it is tried. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import typing as t
from pathlib import Path

from ..accounts import trial
from ..host import journal
from ..host.files import STATE, File, HostError, Run, changes, diff, load_state, must, read_text, save_state, write_file
from . import domains as own_domains
from . import transports as conf
from .transports import MAP, MAP_SOURCE, Transport

POSTFIX = "/etc/postfix"
MAIN, MASTER = f"{POSTFIX}/main.cf", f"{POSTFIX}/master.cf"
STATE_FILE = "shaping.json"
#: Seconds that Postfix's master has for the sockets of new services.
PATIENCE = 20
#: What chooses a way for mail by another thing than its domain: a transport map would stand before it.
_OTHER_WAYS = ("relayhost", "sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps")
_ADVICE = "Postfix's configuration cannot be read"


def require_postfix(run: Run) -> None:
    """HostError where this host has no Postfix whose mail can be shaped."""
    if not shutil.which("postconf") or not Path(MAIN).exists():
        raise HostError(f"this host has no Postfix ({MAIN} or postconf is missing): take it out of the group of mail hosts")
    if "lmdb" not in must(run, ["postconf", "-m"], _ADVICE).split():
        raise HostError("this Postfix has no lmdb maps: install the package postfix-lmdb")


def base_service(run: Run) -> tuple[str, str]:
    """Return the name and the line (postconf -M) of the service that the receivers' transports stand for; HostError where mail leaves by
    another way that they would pass by."""
    for name in _OTHER_WAYS:
        value = must(run, ["postconf", "-h", "-x", name], _ADVICE).strip()
        if value:
            raise HostError(
                f"{name} is {value[:200]}: a transport by receiver would pass it by, so this host's mail cannot be shaped; "
                "rate_limit_shaping: false takes out what is there"
            )
    transport, _, nexthop = must(run, ["postconf", "-h", "-x", "default_transport"], _ADVICE).strip().partition(":")
    if nexthop:
        raise HostError(f"default_transport is {transport}:{nexthop[:200]}: all mail goes there, so there is nothing to shape on this host")
    if any("/transport_maps =" in line for line in must(run, ["postconf", "-P"], _ADVICE).splitlines()):
        raise HostError(f"{MASTER} sets transport_maps for one service (-o transport_maps): set it in {MAIN} alone")
    line = must(run, ["postconf", "-M", f"{transport}/unix"], f"{MASTER} has no service {transport}, which default_transport names").strip()
    fields = line.split()
    if len(fields) < 8 or fields[7] != "smtp":
        raise HostError(f"default_transport is {transport}, which does not run smtp ({line[:200]}): this host's mail cannot be shaped")
    return transport, line


def configuration(run: Run, transports: list[Transport]) -> tuple[str, str]:
    """Return main.cf and master.cf with these transports, or without any."""
    main, master = read_text(MAIN) or "", read_text(MASTER) or ""
    if not transports:
        return conf.unplumb_main(main), conf.unplumb_master(master)
    base, line = base_service(run)
    explicit = {row.partition("=")[0].strip() for row in must(run, ["postconf", "-n"], _ADVICE).splitlines()}
    initial = f"{base}_initial_destination_concurrency"
    name = initial if initial in explicit else "initial_destination_concurrency"
    begin = int(must(run, ["postconf", "-h", "-x", name], _ADVICE).strip())
    return (
        conf.plumb_main(main, conf.parameters(transports, base, explicit, begin)),
        conf.plumb_master(master, conf.services(transports, line)),
    )


def entries(run: Run) -> dict[str, str] | None:
    """Return what the map holds now, None where it is not there or cannot be read."""
    if not Path(f"{MAP_SOURCE}.lmdb").exists():
        return None
    code, out, _ = run(["postmap", "-s", MAP])
    return conf.read_map(out) if code == 0 else None


def complaints(run: Run, folder: str) -> set[str]:
    """Return what postconf complains of in a folder's configuration."""
    found: set[str] = set()
    for flag in ("-n", "-M", "-P"):
        code, _, err = run(["postconf", "-c", folder, flag])
        found.update(line.replace(folder, POSTFIX) for line in err.splitlines() if any(f"{word}:" in line for word in _LOUD))
        if code:
            found.add(f"postconf {flag} ended with {code}")
    return found


_LOUD = ("warning", "fatal", "error")


def validate(run: Run, main: str, master: str) -> None:
    """Try a configuration in copies; HostError where Postfix does not take it, or would answer others in another way."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("main.cf", main), ("master.cf", master)):
            Path(folder, name).write_text(text, encoding="utf-8", errors="surrogateescape")
        found = complaints(run, folder) - complaints(run, POSTFIX)
    if found:
        raise HostError(f"Postfix would not take the transports: {'; '.join(sorted(found))[:600]}: nothing was changed")
    faults = trial.faults(run, (read_text(MAIN) or "", read_text(MASTER) or ""), (main, master), {}, locks=False)
    if faults:
        raise HostError(f"the transports were tried and failed: {'; '.join(faults)[:600]}: nothing was changed")


def reload(run: Run, there: t.Collection[str], gone: t.Collection[str] = ()) -> None:
    """Put the configuration in force where Postfix runs; HostError where a service of it does not come up. gone: services that went."""
    if run(["postfix", "status"])[0]:
        return
    must(run, ["postfix", "reload"], "Postfix did not reload")
    queue = must(run, ["postconf", "-h", "-x", "queue_directory"], _ADVICE).strip()
    end = time.monotonic() + PATIENCE
    while True:
        listening = _listening()
        missing, left = set(there) - listening, set(gone) & listening
        if not missing and not left:
            break
        if time.monotonic() > end:
            if missing:
                raise HostError(f"{PATIENCE} s after the reload Postfix has no service {', '.join(sorted(missing))}: look at its log")
            break
        time.sleep(0.1)
    for name in set(gone) - _listening():  # master(8) leaves the socket of a service that went
        with contextlib.suppress(OSError):
            Path(queue, "private", name).unlink()


def _listening() -> set[str]:
    """Return the names of the private sockets on which a server listens; a file of that name says nothing."""
    rows = (line.split() for line in Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()[1:])
    return {row[7].rpartition("/")[2] for row in rows if len(row) > 7 and int(row[3], 16) & _ACCEPTS and "private/" in row[7]}


#: __SO_ACCEPTCON of the kernel: the socket listens.
_ACCEPTS = 0x10000


def write_map(run: Run, wanted: dict[str, str]) -> None:
    """Make the map hold this; postmap changes it in place, and Postfix sees it at once."""
    write_file(File(MAP_SOURCE, conf.write_map(wanted)))
    must(run, ["postmap", MAP], "the map of transports cannot be made: is the disk full?")
    if entries(run) != wanted:
        raise HostError(f"{MAP} does not hold what was written to it: look at {MAP_SOURCE}")


def rates_in_force() -> dict[str, int]:
    """Return the rates of a warm-up that the last run set."""
    rates = load_state(STATE_FILE).get("rates")
    return rates if isinstance(rates, dict) else {}


def apply(run: Run, transports: list[Transport], domains: dict[str, str], rates: dict[str, int], check_mode: bool) -> dict[str, t.Any]:
    """Bring the transports into the wanted state, none for absent; domains: to the receiver whose transport they get; rates: those of a
    warm-up, of which the transports are made.

    Return changed, diff, the domains that were left out with why, and how many have which transport.
    """
    require_postfix(run)
    main, master = configuration(run, transports)
    known = {each.receiver: each.name for each in transports}
    kept_out = own_domains.left_out(run, domains) if transports else {}
    wanted = {domain: known[receiver] for domain, receiver in domains.items() if receiver in known and domain not in kept_out}
    source = conf.write_map(wanted) if transports else None
    files = [File(MASTER, master), File(MAIN, main)]
    changed, of_map = changes(files), changes([File(MAP_SOURCE, source)])
    present, state = entries(run), load_state(STATE_FILE)
    stale = present != wanted if transports else Path(f"{MAP_SOURCE}.lmdb").exists()
    unloaded = bool(transports) and "reloaded" not in state
    forgotten = bool(transports) and state.get("rates", {}) != rates
    counts = {name: sum(1 for each in wanted.values() if each == name) for name in sorted(known.values())}
    result = {
        "changed": bool(changed or of_map or stale or unloaded or forgotten or (state and not transports)),
        "diff": diff([*changed, *of_map]),
        "left_out": [{"domain": domain, "why": why} for domain, why in sorted(kept_out.items()) if domains[domain] in known],
        "transports": counts,
    }
    if check_mode or not result["changed"]:
        return result
    if changed or unloaded:
        validate(run, main, master)
        _change(run, changed, transports, present, wanted if transports else None, state)
    elif transports and (of_map or stale):
        write_map(run, wanted)
    if transports:
        save_state(STATE_FILE, {"reloaded": time.time(), "rates": rates})
    for path in () if transports else (MAP_SOURCE, f"{MAP_SOURCE}.lmdb", f"{STATE}/{STATE_FILE}"):
        write_file(File(path, None))
    journal.write(step="shaping", transports=counts, files=[file.path for file, _ in (*changed, *of_map)])
    return result


def _change(
    run: Run,
    changed: list[tuple[File, str | None]],
    transports: list[Transport],
    present: dict[str, str] | None,
    wanted: dict[str, str] | None,
    state: dict[str, t.Any],
) -> None:
    """Write the configuration and put it in force; wanted: what the map is to hold then, None where it goes."""
    there = {each.name for each in transports}
    before = next((text for file, text in changed if file.path == MASTER), None) or ""
    gone = conf.names(before) - there
    try:
        if wanted is not None or present is not None:
            # Only what has a transport before and after.
            write_map(run, {domain: name for domain, name in (present or {}).items() if name in there})
        if state:  # until the reload: the run after one that is killed here reloads
            save_state(STATE_FILE, {name: value for name, value in state.items() if name != "reloaded"})
        for file, _ in changed:
            write_file(file)
        reload(run, there, gone)
        if wanted is not None:
            write_map(run, wanted)
    except (HostError, OSError) as exc:
        for file, text in reversed(changed):
            write_file(file._replace(text=text))
        if state:
            save_state(STATE_FILE, state)
        try:
            reload(run, (), there - conf.names(before))
            if present is None:
                for path in (MAP_SOURCE, f"{MAP_SOURCE}.lmdb"):
                    write_file(File(path, None))
            else:
                write_map(run, present)
        except HostError as again:
            raise HostError(f"{exc}; the old files are back, and then {again}") from exc
        raise HostError(f"{exc}; the old files are back") from exc

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put sending limits into force on a host, or take them out: tried in copies first, rolled back where it fails, undone to the byte.

What each file was and how each unit stood is in /var/lib/goodstanding/rate_limit.json before anything is changed; it may hold secrets of
others, and nothing of it is shown. main.cf and master.cf, which other parts of this project change too, are undone by taking our text out.
Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import typing as t
from pathlib import Path

from ..accounts import dovecot_conf, live, loopback, trial
from ..host import files as host_files
from ..host import journal
from ..host.files import File, HostError, Run, changes, diff, load_state, must, read_text, save_state, write_file
from . import policy as policies
from . import policyd, postfix_own, rspamd, users
from .engine import Engine, Settings
from .policy import CANARY_RECIPIENTS, Limit, Policy

STATE_FILE = "rate_limit.json"
MAIN, MASTER = f"{live.POSTFIX}/main.cf", f"{live.POSTFIX}/master.cf"
#: Logins of ours, for either engine: the one that tries the limits, and the one whose mail must pass where a configuration is tried.
#: Nobody's word stands above these.
OWN = {("account", dovecot_conf.CANARY): Limit({"minute": CANARY_RECIPIENTS}, {}), ("account", trial.CONTROL): Limit({}, {})}
ENGINES: dict[str, t.Callable[[], Engine]] = {"rspamd": rspamd.Rspamd, "policyd_rate_limit": lambda: policyd}
#: How long an engine may take until it limits, in seconds: Rspamd reads its rules, and waits for a resolver that does not answer.
READY = 90
_UNITS = "/etc/systemd/"

State = dict[str, t.Any]


class Wish(t.NamedTuple):
    """What is to be in force."""

    engine: str
    policy: Policy
    settings: Settings
    #: Parameters of main.cf, see postfix_own.py.
    postfix: t.Mapping[str, str] = {}  # of a tuple, which nobody changes


class Plan(t.NamedTuple):
    """What is to be done. files: of the engine; postfix: main.cf and master.cf, each with its present text; restart, wake: units to be
    restarted and enabled; stop: units of no engine any more, each with how it stood before."""

    files: list[tuple[File, str | None]]
    postfix: list[tuple[File, str | None]]
    restart: list[str]
    wake: list[str]
    stop: dict[str, dict[str, t.Any]]


def engine_of(name: str) -> Engine:
    """Return the engine of this name, with the limits of local users beside it; HostError where this version has none."""
    if name not in ENGINES:
        raise HostError(f"this version has no engine {name}: set rate_limit_engine to {' or '.join(ENGINES)}")
    return users.Beside(ENGINES[name]())


def choose(run: Run, name: str) -> str:
    """Return the engine that is meant: auto is Rspamd where Postfix asks it already, else policyd-rate-limit."""
    if name != "auto":
        return name
    return "rspamd" if rspamd.asked(run, read_text(MAIN) or "", read_text(MASTER) or "") else "policyd_rate_limit"


def packages(run: Run, engine: Engine, settings: Settings) -> list[str]:
    """Return the packages that it needs and this host lacks; with a store elsewhere, none for one of its own."""
    spare = getattr(engine, "STORE_PACKAGES", ()) if settings.store else ()
    needed = [name for name in engine.PACKAGES if name not in spare]
    told = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *needed])[1]
    return [name for name in needed if f"{name} installed" not in told.splitlines()]


def installed(run: Run) -> tuple[Engine, Policy] | None:
    """Return what is in force on this host by our own record, with the logins of ours."""
    state = load_state(STATE_FILE)
    if not state.get("engine") or not state.get("policy"):
        return None
    return engine_of(state["engine"]), _with_own(policies.from_data(state["policy"]))


def apply(run: Run, wish: Wish | None, check_mode: bool) -> dict[str, t.Any]:
    """Bring the host into the wanted state (None: without limits); return changed, diff, engine, packages and faults."""
    if not shutil.which("postconf") or not Path(MAIN).exists():
        raise HostError(f"this host has no Postfix ({MAIN} or postconf is missing): take it out of the group of mail hosts")
    state = load_state(STATE_FILE)
    done: list[dict[str, str]] = []
    changed = False
    if state.get("engine") and (wish is None or wish.engine != state["engine"]):
        done, changed = _out(run, state, check_mode), True
        state = {} if not check_mode else {"gone": state}
    if wish is None:
        if not changed:
            done, changed = _tokens_out(run, check_mode)
        return {"changed": changed, "diff": done, "engine": None, "packages": [], "faults": []}
    engine = engine_of(wish.engine)
    try:
        more, faults = _in(run, engine, wish, state, check_mode)
    except HostError as exc:
        raise HostError(
            f"{exc}; the engine that was here before was taken out: this host has no limits now" if changed else str(exc)
        ) from exc
    result = {"changed": changed or more is not None, "diff": done + (more or []), "engine": wish.engine, "faults": faults}
    return {**result, "packages": packages(run, engine, wish.settings)}


# ---- in


def _in(run: Run, engine: Engine, wish: Wish, state: State, check_mode: bool) -> tuple[list[dict[str, str]] | None, list[str]]:
    """Put an engine into force; return the diff (None where nothing is to be done) and what keeps it from limiting."""
    policy = _with_own(wish.policy)
    files = engine.wanted(run, policy, wish.settings)
    main, master = _without(run, state)
    main, master = engine.plumb(run, postfix_own.put(main, wish.postfix), master, wish.settings.timeout)
    plan = _plan(run, engine, files, (main, master), state)
    record = {
        "engine": wish.engine, "policy": policies.as_data(wish.policy), "store": wish.settings.store, "postfix": dict(wish.postfix),
        "done": True,
    }  # fmt: skip
    same = all(state.get(key) == value for key, value in record.items())
    if same and not any((plan.files, plan.postfix, plan.restart, plan.wake, plan.stop)):
        return None, [] if check_mode else engine.faults(run, policy, time.time())
    shown = _shown(plan.files + plan.postfix)
    if check_mode:
        return shown, []
    engine.check(run, files)
    _try_postfix(run, plan)
    before = loopback.answers(run)
    new = _begun(run, engine, files, state)
    save_state(STATE_FILE, {**new, **record, "done": False})
    try:
        for unit, row in plan.stop.items():
            _stand(run, unit, row)  # with its files still there
        for file, _ in plan.files:
            write_file(file)
        _start(run, plan)
        for file, _ in plan.postfix:
            write_file(file)
        if plan.postfix:
            live.reload(run)
            live.answers_as(run, before)
    except (HostError, OSError) as exc:
        raise HostError(f"{exc}; {_back(run, plan, new, state)}") from exc
    save_state(STATE_FILE, {**new, **record})
    _note("present", wish.engine, plan)
    return shown, _ready(run, engine, policy)


def _with_own(policy: Policy) -> Policy:
    return policy._replace(overrides={**policy.overrides, **OWN})


def _without(run: Run, state: State) -> tuple[str, str]:
    """Return main.cf and master.cf without the limits, also where an engine that goes is still in them (check mode)."""
    main, master = read_text(MAIN) or "", read_text(MASTER) or ""
    gone = state.get("gone", state)
    if gone.get("engine"):
        main, master = engine_of(gone["engine"]).unplumb(main, master)
    return main, master


def _plan(run: Run, engine: Engine, files: list[File], postfix: tuple[str, str], state: State) -> Plan:
    wanted = {file.path for file in files}
    stale = [
        File(path, _original(read_text(path), row["before"], row["written"]))
        for path, row in state.get("files", {}).items()
        if path not in wanted
    ]
    changed = changes(files + stale)
    units = engine.units()
    stop = {unit: row for unit, row in state.get("units", {}).items() if unit not in units and _stands(run, unit) != row}
    stands = {unit: _stands(run, unit) for unit in units}
    restart = units if changed or not state.get("done") else [unit for unit in units if not stands[unit]["active"]]
    wake = [unit for unit in units if not stands[unit]["enabled"]]
    return Plan(changed, changes([File(MAIN, postfix[0]), File(MASTER, postfix[1])]), restart, wake, stop)


def _begun(run: Run, engine: Engine, files: list[File], state: State) -> State:
    """Return the record of what was before, that of an earlier run first."""
    rows, units = state.get("files", {}), state.get("units", {})
    folders = {str(parent) for file in files for parent in Path(file.path).parents if not parent.exists()}
    left = {path for path in getattr(engine, "LEFTOVERS", ()) if not os.path.lexists(path)}
    return {
        "files": {**rows, **{
            file.path: {"before": rows[file.path]["before"] if file.path in rows else read_text(file.path), "written": file.text}
            for file in files
        }},
        "folders": sorted({*state.get("folders", []), *folders}),
        "leftovers": sorted({*state.get("leftovers", []), *left}),
        "units": {**{unit: _stands(run, unit) for unit in engine.units()}, **units},
    }  # fmt: skip


def _try_postfix(run: Run, plan: Plan) -> None:
    """Try main.cf and master.cf in copies; HostError where Postfix does not take them or others would notice a difference."""
    if not plan.postfix:
        return
    now = {path: read_text(path) or "" for path in (MAIN, MASTER)}
    new = {**now, **{file.path: file.text or "" for file, _ in plan.postfix}}
    with tempfile.TemporaryDirectory() as folder:
        for path, text in new.items():
            write_file(File(f"{folder}/{os.path.basename(path)}", text))
        said = live.complaints(run, folder) - live.complaints(run, live.POSTFIX)
    if said:
        raise HostError(f"Postfix would not take the sending limits: {'; '.join(sorted(said))[:600]}: nothing was changed")
    faults = trial.faults(run, (now[MAIN], now[MASTER]), (new[MAIN], new[MASTER]), {}, locks=False)
    if faults:
        raise HostError(f"the configuration with sending limits was tried and failed: {'; '.join(faults)[:600]}: nothing was changed")


def _start(run: Run, plan: Plan) -> None:
    if any(file.path.startswith(_UNITS) for file, _ in plan.files):
        must(run, ["systemctl", "daemon-reload"], "systemd does not read the units anew")
    for unit in plan.wake:
        must(run, ["systemctl", "enable", unit], "the unit cannot be enabled: is its package installed, and is it masked?")
    for unit in plan.restart:
        run(["systemctl", "reset-failed", unit])
        must(run, ["systemctl", "restart", unit], f"the unit does not start: see 'journalctl -u {unit}'")
    for unit in plan.restart:
        _await_active(run, unit)


def _await_active(run: Run, unit: str) -> None:
    for _ in range(20):
        if _stands(run, unit)["active"]:
            return
        time.sleep(0.5)
    raise HostError(f"{unit} does not stay up: see 'journalctl -u {unit}'")


def _ready(run: Run, engine: Engine, policy: Policy) -> list[str]:
    """Wait until the engine limits; return what keeps it from it."""
    deadline, begun = time.monotonic() + READY, time.time()
    while True:
        faults = engine.faults(run, policy, begun)
        if not faults or time.monotonic() > deadline:
            return faults
        time.sleep(1)


def _back(run: Run, plan: Plan, new: State, state: State) -> str:
    """Set everything back after a failure; return what to say of it."""
    for file, text in reversed(plan.files + plan.postfix):
        write_file(file._replace(text=text))
    # What stood before this run: for an engine that was here already, that it was here.
    if state.get("engine"):
        save_state(STATE_FILE, state)
    else:
        write_file(File(f"{host_files.STATE}/{STATE_FILE}", None))
    run(["systemctl", "daemon-reload"])
    for unit in plan.stop:
        run(["systemctl", "enable", unit])
    here = {"enabled": True, "active": True}
    stood = {unit: here if unit in state.get("units", {}) else row for unit, row in new["units"].items()}
    back = {unit: row for unit, row in reversed(list(stood.items())) if unit in plan.restart or unit in plan.wake}
    faults = _stand_all(run, {**back, **dict.fromkeys(plan.stop, here)})
    try:
        if plan.postfix:
            live.reload(run)
    except HostError as again:
        faults.append(str(again))
    if not state.get("engine"):
        _tidy(new)
    return "; and then ".join(["the old files are back", *faults])


# ---- out


def _out(run: Run, state: State, check_mode: bool) -> list[dict[str, str]]:
    """Take an engine out and return the diff."""
    main, master = _without(run, state)
    postfix = changes([File(MAIN, postfix_own.out(main)), File(MASTER, master)])
    files = changes([File(path, _original(read_text(path), row["before"], row["written"])) for path, row in state.get("files", {}).items()])
    shown = _shown(postfix + files)
    if check_mode:
        return shown
    plan = Plan(files, postfix, [], [], {})
    _try_postfix(run, plan)
    before = loopback.answers(run)
    try:
        for file, _ in postfix:
            write_file(file)
        if postfix:
            live.reload(run)
            live.answers_as(run, before)
    except (HostError, OSError) as exc:
        for file, text in postfix:
            write_file(file._replace(text=text))
        live.reload(run)
        raise HostError(f"{exc}; the old files are back, and the limits stand") from exc
    units: dict[str, dict[str, t.Any]] = state.get("units", {})
    for unit, row in reversed(list(units.items())):
        if not row["active"]:
            _stand(run, unit, row)  # with its drop-ins still there
    for file, _ in files:
        write_file(file)
    must(run, ["systemctl", "daemon-reload"], "systemd does not read the units anew")
    faults = _stand_all(run, {unit: row for unit, row in units.items() if row["active"]})
    _tidy(state)
    write_file(File(f"{host_files.STATE}/{STATE_FILE}", None))
    _note("absent", state["engine"], plan)
    if faults:
        raise HostError(f"the limits are out and the old files are back, but {'; '.join(faults)}")
    return shown


def _tokens_out(run: Run, check_mode: bool) -> tuple[list[dict[str, str]], bool]:
    """Take our text out of Postfix's files where there is no record of it any more."""
    main, master = postfix_own.out(read_text(MAIN) or ""), read_text(MASTER) or ""
    for name in ENGINES:
        with contextlib.suppress(HostError):
            main, master = engine_of(name).unplumb(main, master)
    changed = changes([File(MAIN, main), File(MASTER, master)])
    if changed and not check_mode:
        for file, _ in changed:
            write_file(file)
        live.reload(run)
    return _shown(changed), bool(changed)


def _original(now: str | None, before: str | None, written: str | None) -> str | None:
    """Return a file as it was before us, with what somebody changed beside our text since."""
    if now is None or now == written or written is None or not written.startswith(before or ""):
        return before
    ours = written[len(before or "") :]
    if not ours or now.count(ours) != 1:
        return before
    rest = now.replace(ours, "")
    return rest if rest or before is not None else None


def _tidy(state: State) -> None:
    """Take away what an engine's own store left, and the folders that we made, where nothing is in them."""
    for path in state.get("leftovers", []):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    for folder in sorted(state.get("folders", []), key=len, reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


# ---- units, and what is shown


def _stands(run: Run, unit: str) -> dict[str, t.Any]:
    """Return whether a unit is enabled and runs."""
    enabled = run(["systemctl", "is-enabled", unit])[1].strip()
    return {"enabled": enabled in ("enabled", "enabled-runtime", "static", "indirect", "alias"), "active": _is_active(run, unit)}


def _is_active(run: Run, unit: str) -> bool:
    return run(["systemctl", "is-active", unit])[1].strip() in ("active", "reloading")


def _stand(run: Run, unit: str, row: t.Mapping[str, t.Any], restart: bool = False) -> None:
    """Let a unit stand as it did: enabled, and running."""
    run(["systemctl", "reset-failed", unit])
    if not row["enabled"]:
        run(["systemctl", "disable", unit])
    if row["active"]:
        if restart:
            must(run, ["systemctl", "restart", unit], f"the unit does not start: see 'journalctl -u {unit}'")
    else:
        run(["systemctl", "stop", unit])


def _stand_all(run: Run, rows: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[str]:
    """Let each of these units stand as it did, and start those that ran anew; return what failed."""
    faults = []
    for unit, row in rows.items():
        try:
            _stand(run, unit, row, True)
        except HostError as exc:
            faults.append(str(exc))
    return faults


def _shown(changed: list[tuple[File, str | None]]) -> list[dict[str, str]]:
    """Return Ansible's diff; of a file that others may not read, only that it changes."""
    found = []
    for file, before in changed:
        if _secret(file):
            what = "goes" if file.text is None else "is new" if before is None else "changes"
            found.append({"prepared": f"{file.path} {what} (not shown: it may hold a password)\n"})
        else:
            found += diff([(file, before)])
    return found


def _secret(file: File) -> bool:
    with contextlib.suppress(OSError):
        return not os.stat(file.path).st_mode & 0o004
    return not file.mode & 0o004


def _note(state: str, engine: str, plan: Plan) -> None:
    journal.write(step="rate_limit", state=state, engine=engine, files=[file.path for file, _ in plan.files + plan.postfix])

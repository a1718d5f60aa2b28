# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine policyd_rate_limit: Debian's policyd-rate-limit asked by Postfix at DATA, through policyd_program.py. See engine.py.

Postfix asks of a login alone: check_sasl_access with a static map that names a restriction class, which names the daemon. So mail from
elsewhere never waits for the daemon, a login that is empty is never asked for, and each refusal in the log shows the login, also with
Postfix 3.7. The package's own unit, configuration and database stay as they are. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import time
import typing as t
import urllib.parse
from pathlib import Path

from ..accounts import postfix_conf
from ..host.files import File, HostError, Run, must, read_text
from ..host.tokens import Tokens
from . import policyd_program
from .engine import Hit, Settings, text_of, unit_faults
from .policy import Limit, Policy

NAME = "policyd_rate_limit"
PACKAGES: tuple[str, ...] = ("policyd-rate-limit", "python3-psycopg2")

POSTFIX = "/etc/postfix"
PROGRAM = "/usr/local/lib/goodstanding-limits.py"
#: Where it counts, with a password; and the limits. The program finds the second beside the first.
CONFIG = "/etc/goodstanding-limits.yaml"
LIMITS = "/etc/goodstanding-limits.json"
SOCKET_UNIT, SERVICE_UNIT = "goodstanding-limits.socket", "goodstanding-limits.service"
UNIT_FOLDER = "/etc/systemd/system"
#: The counts.
STATE = "/var/lib/goodstanding-limits"
#: What its store leaves behind.
LEFTOVERS: tuple[str, ...] = (STATE,)
USER = "policyd-rate-limit"
#: Below Postfix's queue directory, where a chrooted smtpd reaches it and nobody but Postfix.
SOCKET = "private/goodstanding-limits"
_PYTHON = "/usr/bin/python3"
_CLASS = "goodstanding_limit"
_TOKEN = f"check_sasl_access static:{_CLASS}"
_DATA, _CLASSES = "smtpd_data_restrictions", "smtpd_restriction_classes"
_NOTE = "# Good Standing: sending limits, see the role rate_limit"
_PARAMETERS = (_DATA, _CLASSES, "smtpd_sasl_auth_enable", _CLASS)
#: What of an SQL URL the daemon's libpq may be told.
_OPTIONS = ("host", "sslmode", "sslrootcert")
#: A failure of the database that is older than this is over, in seconds.
_RECENT = 3600
_MAX_ANSWER = 1 << 16


# ---- its files


def wanted(run: Run, policy: Policy, settings: Settings) -> list[File]:
    """Return its files as they must be; HostError where it cannot do what is asked. Local users are not its own: see users.py."""
    return [
        File(PROGRAM, text_of(policyd_program), 0o755),
        File(CONFIG, _config(settings), 0o640, USER),
        File(LIMITS, _limits(policy), 0o640, USER),
        File(f"{UNIT_FOLDER}/{SOCKET_UNIT}", _socket_unit(_socket(run))),
        File(f"{UNIT_FOLDER}/{SERVICE_UNIT}", _SERVICE),
    ]


def _socket(run: Run) -> str:
    return must(run, ["postconf", "-h", "queue_directory"], "Postfix's queue directory is not known").strip() + f"/{SOCKET}"


def _config(settings: Settings) -> str:
    store: dict[str, t.Any] = {"backend": 0, "sqlite_config": {"database": f"{STATE}/counts.sqlite3", "timeout": 2}}
    if settings.store:
        store = {"backend": 2, "pgsql_config": _postgresql(settings)}
    # What the program decides itself it says itself; these are for who starts the package's daemon with this file.
    fixed = {
        "user": USER, "group": USER, "debug": False, "report": False, "report_to": None, "limit_by_sasl": True, "limit_by_sender": False,
        "limit_by_ip": False, "sql_limits_by_id": "", "count_mode": 2,
    }  # fmt: skip
    return "# Good Standing: where sending limits are counted, see the role rate_limit. JSON is YAML.\n" + _json({**fixed, **store})


def _json(value: t.Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _postgresql(settings: Settings) -> dict[str, t.Any]:
    """Return what libpq is told; HostError where the URL is none of PostgreSQL's. Its waits end before Postfix's."""
    try:
        url = urllib.parse.urlsplit(settings.store)
        port = url.port
        options = urllib.parse.parse_qs(url.query, strict_parsing=True) if url.query else {}
    except ValueError:
        raise HostError("the store's URL cannot be read: write postgresql://USER@HOST:PORT/DATABASE") from None
    if url.scheme not in ("postgresql", "postgres") or not url.username or not url.path.strip("/"):
        raise HostError(
            f"{NAME} counts in a file of this host or in PostgreSQL: leave the store empty, or write postgresql://USER@HOST:PORT/DATABASE"
        )
    if url.password is not None:
        raise HostError("the store's URL holds a password, which would be shown: give it apart from the URL")
    if set(options) - set(_OPTIONS):
        raise HostError(f"the store's URL has an option that is not known: expected {', '.join(_OPTIONS)}")
    wait = max(1, min(settings.timeout, Settings().timeout) - 2) * 1000  # plumb() has Postfix wait so long at most
    found: dict[str, t.Any] = {
        "user": urllib.parse.unquote(url.username), "dbname": urllib.parse.unquote(url.path.strip("/")),
        "connect_timeout": 2, "tcp_user_timeout": wait, "options": f"-c statement_timeout={wait} -c lock_timeout={wait}",
        "application_name": "goodstanding-limits", **{name: values[-1] for name, values in options.items()},
    }  # fmt: skip
    if url.hostname:
        found["host"] = url.hostname
    if port:
        found["port"] = port
    if settings.password:
        found["password"] = settings.password
    return found


def _limits(policy: Policy) -> str:
    return _json(_document(policy))


def _document(policy: Policy) -> dict[str, t.Any]:
    overrides: dict[str, dict[str, t.Any]] = {scope: {} for scope in policyd_program.SCOPES}
    for (scope, key), limit in policy.overrides.items():
        overrides[scope][key] = _halves(limit)
    limits = {scope: _halves(getattr(policy, scope)) for scope in policyd_program.SCOPES}
    return {"limits": limits, "overrides": overrides, "shadow": policy.shadow}


def _halves(limit: Limit) -> dict[str, dict[str, int]]:
    return {"soft": dict(limit.soft), "hard": dict(limit.hard)}


def _socket_unit(path: str) -> str:
    return f"""\
[Unit]
Description=Good Standing: sending limits, the socket that Postfix asks

[Socket]
ListenStream={path}
SocketUser=postfix
SocketGroup=postfix
SocketMode=0600
DirectoryMode=0700
RemoveOnStop=yes
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
"""


# No pid file, so a stale one cannot keep it from starting. A question that comes while it restarts waits in the socket.
_SERVICE = f"""\
[Unit]
Description=Good Standing: sending limits, counted by policyd-rate-limit
Requires={SOCKET_UNIT}
After={SOCKET_UNIT} network.target postgresql.service
StartLimitIntervalSec=0

[Service]
User={USER}
Group={USER}
StateDirectory={os.path.basename(STATE)}
StateDirectoryMode=0700
UMask=0077
ExecStartPre={_PYTHON} -I {PROGRAM} test
ExecStart={_PYTHON} -I {PROGRAM} serve {CONFIG}
Restart=always
RestartSec=2
NoNewPrivileges=yes
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
"""


def units() -> list[str]:
    """Return the systemd units to be enabled, and restarted in this order when a file of the engine changed."""
    return [SOCKET_UNIT, SERVICE_UNIT]


def check(run: Run, files: list[File]) -> None:
    """HostError where the engine would not take these files: tried in copies, its store by a row that is taken back."""
    texts = {os.path.basename(file.path): file.text for file in files}
    spool = os.path.dirname(_socket(run))
    if not os.path.isdir(spool):
        raise HostError(f"{spool} does not exist: start Postfix once, which makes it")
    with tempfile.TemporaryDirectory() as folder:  # nobody but root may enter it
        for path in (PROGRAM, CONFIG, LIMITS):
            name = os.path.basename(path)
            if texts.get(name) is not None:
                handle = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                    file.write(texts[name] or "")
        copies = [_PYTHON, "-I", f"{folder}/{os.path.basename(PROGRAM)}"]
        must(run, [*copies, "test"], "policyd-rate-limit on this host does not count as it must: is another version installed by hand?")
        if '"backend": 2' in (texts.get(os.path.basename(CONFIG)) or ""):
            must(
                run,
                [*copies, "store", f"{folder}/{os.path.basename(CONFIG)}"],
                "the store does not take what is counted: the database must exist, and belong to the user of the URL",
            )


# ---- Postfix


def _tokens(timeout: int) -> Tokens:
    asked = f"check_policy_service {{ unix:{SOCKET}, timeout={timeout}s, default_action=DUNNO }}"
    return Tokens(_NOTE, {_DATA: _TOKEN, _CLASSES: _CLASS}, (_DATA, _CLASSES), own={_CLASS: asked})


def plumb(run: Run, main: str, master: str, timeout: int = Settings().timeout) -> tuple[str, str]:
    """Return main.cf and master.cf with the engine asked by every smtpd service that knows logins; HostError names one that would not."""
    tokens = _tokens(timeout)
    main, master = tokens.plumb_main(main), tokens.plumb_master(master)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in ("main.cf", main), ("master.cf", master):
            Path(folder, name).write_text(text, encoding="utf-8", errors="surrogateescape")
        missing = unasked(run, folder)
    if missing:
        raise HostError(
            f"the limits would not be asked for first in {', '.join(missing)}: put these settings on one line of {POSTFIX}/master.cf"
        )
    return main, master


def unplumb(main: str, master: str) -> tuple[str, str]:
    """Return main.cf and master.cf as they were before plumb(), to the byte."""
    tokens = _tokens(Settings().timeout)
    return tokens.unplumb_main(main), tokens.unplumb_master(master)


def unasked(run: Run, folder: str = POSTFIX) -> list[str]:
    """Return the smtpd services that know logins and do not ask, with the parameter that is at fault."""
    advice = "Postfix's configuration cannot be read"
    code, out, err = run(["postconf", "-c", folder, *_PARAMETERS])
    if code and _CLASS not in err:  # a parameter that is ours is not known where it is not set
        raise HostError(f"postconf -c {folder} ended with {code}: {err.strip()[-300:]}: {advice}")
    services = must(run, ["postconf", "-c", folder, "-M"], advice)
    overrides = must(run, ["postconf", "-c", folder, "-P"], advice)
    found = []
    for service, values in postfix_conf.effective(services, overrides, out).items():
        if values.get("smtpd_sasl_auth_enable") != "yes":
            continue
        if values.get(_DATA, "").replace(",", " ").split()[:2] != _TOKEN.split():
            found.append(f"{service} {_DATA}")
        elif _CLASS not in values.get(_CLASSES, "").replace(",", " ").split():
            found.append(f"{service} {_CLASSES}")
        elif f"unix:{SOCKET}," not in values.get(_CLASS, ""):
            found.append(f"{service} {_CLASS}")
    return found


# ---- how it is


def faults(run: Run, policy: Policy, since: float = 0) -> list[str]:
    """Return what keeps it from limiting, a sentence each. Reads only, but for a row that the daemon writes and takes back."""
    found = unit_faults(run, units(), "mail flows without limits")
    down = any("does not run" in fault for fault in found)
    try:
        found += [
            f"{where} does not ask for the limits first: what it takes is not limited; run the role rate_limit again."
            for where in unasked(run)
        ]
        path = _socket(run)
    except HostError as exc:
        return [*found, f"{exc}."]
    text = read_text(LIMITS)
    if text != _limits(policy):
        found.append(
            f"{LIMITS} is not as the policy says ({'it is gone' if text is None else 'changed by hand?'}): run the role rate_limit again."
        )
    if not down:  # a question would start it
        found += _ask(path, since)
    return found


def _ask(path: str, since: float) -> list[str]:
    """Return what the daemon itself says is wrong."""
    try:
        said = _status(path)
    except (OSError, ValueError) as exc:
        return [f"The daemon does not answer on {path} ({exc}): mail flows without limits; see 'journalctl -u {SERVICE_UNIT}'."]
    found = []
    if said.get("database"):
        found.append(f"The database cannot be written ({str(said['database'])[:300]}): mail flows without limits until it can.")
    opened, last = said.get("opened"), said.get("last_opened")
    if isinstance(opened, int) and isinstance(last, (int, float)) and last > max(since, time.time() - _RECENT):
        found.append(f"The database failed within the last hour: {opened} messages were let through without being counted.")
    elsewhere, asked = said.get("elsewhere"), said.get("asked")
    if isinstance(elsewhere, int) and elsewhere and not asked:
        found.append(f"Postfix asks at another stage than DATA ({elsewhere} questions): nothing is counted; look for check_policy_service.")
    with contextlib.suppress(OSError):
        if said.get("config") != policyd_program.digest(CONFIG, LIMITS):
            found.append(f"The daemon runs with other limits than those of {CONFIG} and {LIMITS}: run 'systemctl restart {SERVICE_UNIT}'.")
    return found


def _status(path: str) -> dict[str, t.Any]:
    """Ask the daemon how it is; OSError or ValueError where it does not say."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(Settings().timeout + 2)
        client.connect(path)
        client.sendall(f"request={policyd_program.STATUS}\n\n".encode())
        data = b""
        while not data.endswith(b"\n\n") and len(data) < _MAX_ANSWER:
            piece = client.recv(4096)
            if not piece:
                break
            data += piece
    head = f"action={policyd_program.STATUS} "
    text = data.decode("utf-8", "replace")
    if not text.startswith(head):
        raise ValueError(f"it says {text[:80]!a}")
    value = json.loads(text[len(head) :])
    if not isinstance(value, dict):
        raise ValueError("it says no object")
    return value


def limited(run: Run, since: float) -> list[Hit]:
    """Return who met a limit since then, or would have in shadow mode, by the table that the program keeps of it. Reads only."""
    out = must(run, [_PYTHON, "-I", PROGRAM, "hits", CONFIG, repr(float(since))], "who met a limit cannot be read")
    try:
        rows = json.loads(out)
        return [
            Hit(scope, key, window, kind, int(count), float(first), float(last)) for scope, key, window, kind, count, first, last in rows
        ]
    except (TypeError, ValueError) as exc:
        raise HostError(f"{PROGRAM} hits says what is no table ({exc}): run the role rate_limit again") from exc

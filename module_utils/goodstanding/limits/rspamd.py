# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending limits by Rspamd: its own ratelimit module counts recipients in Redis, per login and per domain of logins.

What a limit of N recipients in a window of W seconds means here. The module's bucket is a leaky one: it holds N, and empties by N / W a
second. A flood that lasts T seconds gets N + T * N / W recipients through, rounded down, and none more: N at once where T is short, and
2 * N in the first whole window, N in each later one. A message counts with all of its recipients, and is refused whole where it does not
fit. The module alone lets a message of any size into an empty bucket, and (Rspamd 3.4, Debian 12) counts a message only when all is done
with it, so that those that are looked at together pass: rspamd_lua.py prevents both, also between processes and hosts with one Redis. Left
is a Redis that hosts of both releases share: Rspamd 3.4 does not see what 3.12 is still looking at (two such hosts, flooded at once with 20
an hour, let 20, 20 and 21 through).

Where Rspamd was Postfix's milter already, it counts along with its other work. Where it was not, Postfix gets a second proxy worker as
milter, in which nothing runs but the limits: no message is filtered, delayed or given a header that was not before. With the worker
gone, Postfix goes on without it (default_action=accept); with Redis gone, Rspamd lets every message through: both are faults() here.

Not known to a milter is which local user a message of sendmail(1) is from: see users.py. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import struct
import tempfile
import time
import typing as t
from pathlib import Path

from ..accounts import live
from ..host.files import File, HostError, Run, read_text, write_file
from . import milter, rspamd_log, rspamd_lua
from .engine import Hit, Settings
from .policy import Policy

CONF = "/etc/rspamd"
OWN = f"{CONF}/goodstanding"
LIMITS = f"{OWN}/limits.lua"
STORE = f"{OWN}/store.conf"
#: Where our proxy worker listens.
PORT = 11342
INSTANCE = "redis-server@goodstanding.service"
SOCKET = "/run/redis-goodstanding/redis-server.sock"
REDIS_CONF = "/etc/redis/redis-goodstanding.conf"
UNITS = "/etc/systemd/system"
#: One line in each of these two: the rest is in files of our own. Duplicates of worker and settings stand beside the administrator's.
_INCLUDE = '.include(priority={},duplicate={}) "$LOCAL_CONFDIR/goodstanding/{}.conf" # Good Standing: sending limits'
_LINES = {
    f"{CONF}/rspamd.conf.local": _INCLUDE.format(0, "append", "worker"),
    f"{CONF}/override.d/ratelimit.conf": _INCLUDE.format(15, "merge", "ratelimit"),
}
_HEAD = "# Written by Good Standing (role rate_limit), which writes it anew: changes made here are lost.\n"
_WORKER = f"""{_HEAD}\
# Postfix asks this worker where it did not ask Rspamd before: it counts, and nothing else is done to the mail.
worker "rspamd_proxy" {{
  bind_socket = "127.0.0.1:{PORT}";
  milter = yes;
  timeout = 60s;
  count = 1;
  upstream "goodstanding" {{
    default = yes;
    self_scan = yes;
    settings_id = "goodstanding_limits";
  }}
}}
settings {{
  goodstanding_limits {{
    id = "goodstanding_limits";
    apply {{
      symbols_enabled = [%s];
    }}
  }}
}}
"""
_RATELIMIT = f"""{_HEAD}\
custom_keywords = "{LIMITS}";
# No recipient exempts a message. Without an entry the module would stop; this one is no address.
whitelisted_rcpts = ["\\n"];
expire = {rspamd_lua.EXPIRE};
# Rspamd 3.4 makes the limit of an account that is liked up to ten times as large.
max_rate_mult = 1.0;
max_bucket_mult = 1.0;
ham_factor_rate = 1.0;
ham_factor_burst = 1.0;
spam_factor_rate = 1.0;
spam_factor_burst = 1.0;
dynamic_rate_limit = false;
prefilter = true;
.include(priority=15,duplicate=merge) "$LOCAL_CONFDIR/goodstanding/store.conf"
"""
_REDIS = f"""{_HEAD}\
# What is counted for the sending limits, on the disk within a second: a restart forgets nothing.
port 0
unixsocket {SOCKET}
unixsocketperm 770
pidfile /run/redis-goodstanding/redis-server.pid
logfile ""
dir /var/lib/redis
dbfilename goodstanding.rdb
save ""
appendonly yes
appendfsync everysec
appenddirname goodstanding-aof
appendfilename goodstanding.aof
maxmemory-policy noeviction
"""
_REDIS_UNIT = f"{_HEAD}[Service]\n# So that Rspamd may use the socket.\nGroup=_rspamd\n"
_RSPAMD_UNIT = f"{_HEAD}[Unit]\nWants={INSTANCE}\nAfter={INSTANCE}\n"
_PLACE = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+):[0-9]{1,5}\Z")
#: What means something else in Rspamd's configuration is no part of a password.
_PASSWORD = re.compile(r"[A-Za-z0-9._~+/=:@%^*!?,;#&()<>|-]*\Z")
_TIMEOUT = 3
#: Whatever it could not count in so many last seconds is a fault.
_RECENT = 120


class Rspamd:
    """The engine (engine.Engine)."""

    NAME = "rspamd"
    PACKAGES: tuple[str, ...] = ("rspamd", "redis-server")
    #: Of these, what only a store of its own needs.
    STORE_PACKAGES: tuple[str, ...] = ("redis-server",)
    #: What its store leaves behind.
    LEFTOVERS: tuple[str, ...] = ("/var/lib/redis/goodstanding-aof", "/var/lib/redis/goodstanding.rdb")

    def __init__(self) -> None:
        self.settings = Settings()

    def wanted(self, run: Run, policy: Policy, settings: Settings) -> list[File]:
        """See engine.Engine; the store that it is told here stands for units(), too."""
        self.settings = settings
        if settings.store and not _PLACE.match(settings.store):
            raise HostError(f"{settings.store[:200]!r} is no place of a Redis server: write HOST:PORT, or nothing for one of its own")
        if not _PASSWORD.match(settings.password):
            raise HostError(
                "the password of the Redis server holds a character that Rspamd's configuration would read as something else: "
                "set one of letters and digits"
            )
        symbols = ["RATELIMIT_CHECK", "RATELIMIT_UPDATE", rspamd_lua.PREFILTER, rspamd_lua.RELEASE]
        symbols += [rspamd_lua.symbol(*name) for name in rspamd_lua.names(policy)]
        store = f"{_HEAD}servers = {json.dumps(settings.store or SOCKET)};\n"
        if settings.store and settings.password:
            store += f"password = {json.dumps(settings.password)};\n"
        store += f"timeout = {float(min(settings.timeout, 5)):.1f};\n"
        files = []
        if not settings.store:
            files += [File(REDIS_CONF, _REDIS), File(f"{UNITS}/{INSTANCE}.d/goodstanding.conf", _REDIS_UNIT)]
            files.append(File(f"{UNITS}/rspamd.service.d/goodstanding.conf", _RSPAMD_UNIT))
        files += [
            File(LIMITS, rspamd_lua.text(policy)),
            File(f"{OWN}/worker.conf", _WORKER % ", ".join(json.dumps(one) for one in symbols)),
            File(f"{OWN}/ratelimit.conf", _RATELIMIT),
            File(STORE, store, 0o640, "_rspamd"),
        ]
        return files + [File(path, _with_line(read_text(path) or "", line)) for path, line in _LINES.items()]

    def plumb(self, run: Run, main: str, master: str, timeout: int = Settings().timeout) -> tuple[str, str]:
        main, master = milter.unplumb(main, master)
        binds = _binds(run)
        wanted = [
            one
            for one in milter.services(run, main, master)
            if one.logins and not one.inner and not any(binds.names(m) for m in one.milters())
        ]
        return milter.plumb(main, master, milter.token(PORT, timeout), wanted)

    def unplumb(self, main: str, master: str) -> tuple[str, str]:
        return milter.unplumb(main, master)

    def check(self, run: Run, files: list[File]) -> None:
        texts = {file.path: file.text or "" for file in files if file.path.startswith(f"{CONF}/")}
        said = _complaints(run, texts) - _complaints(run, {})
        if said:
            raise HostError(f"Rspamd would not take the limits: {'; '.join(sorted(said))[:600]}")

    def units(self) -> list[str]:
        return ["rspamd.service"] if self.settings.store else [INSTANCE, "rspamd.service"]

    def faults(self, run: Run, policy: Policy, since: float = 0) -> list[str]:
        found = [f"{unit} does not run: see 'systemctl status {unit}'" for unit in self._units_here() if not _active(run, unit)]
        found += _ratelimit_faults(run)
        found += _store_faults()
        try:
            main, master = (read_text(f"{live.POSTFIX}/{name}") or "" for name in ("main.cf", "master.cf"))
            found += _postfix_faults(milter.services(run, main, master), _binds(run))
        except HostError as exc:
            found.append(str(exc))
        return found + rspamd_log.errors(run, max(since, time.time() - _RECENT, _started(run)))

    def limited(self, run: Run, since: float) -> list[Hit]:
        return rspamd_log.hits(run, since)

    def _units_here(self) -> list[str]:
        return ([INSTANCE] if SOCKET in (read_text(STORE) or "") else []) + ["rspamd.service"]


def asked(run: Run, main: str, master: str) -> bool:
    """Return whether Rspamd is Postfix's milter already, on some smtpd service, without our doing."""
    main, master = milter.unplumb(main, master)
    binds = _binds(run)
    return any(binds.names(one) for service in milter.services(run, main, master) for one in service.milters())


def _with_line(text: str, line: str) -> str:
    """Return a file of the administrator's with our line at its end; taking exactly that out restores it."""
    if line in text.split("\n"):
        return text
    return f"{text}{line}\n" if not text or text.endswith("\n") else f"{text}\n{line}"


class _Binds(t.NamedTuple):
    """Where Rspamd's milters listen on this host: ports, and paths of sockets."""

    ports: frozenset[int]
    paths: frozenset[str]

    def names(self, address: str) -> bool:
        """Return whether an entry of smtpd_milters is one of them."""
        kind, _, rest = address.partition(":")
        if kind == "inet":
            host, _, port = rest.rpartition(":")
            local = host in ("localhost", "[::1]", "::1", "") or host.startswith("127.")
            return local and port.isdigit() and int(port) in self.ports
        path = rest if kind == "unix" else address
        # A path of smtpd in its chroot is the end of the one that Rspamd knows.
        return bool(path) and any(one == path or one.endswith("/" + path.lstrip("/")) for one in self.paths)


def _binds(run: Run) -> _Binds:
    """Return where the proxy workers listen by Rspamd's configuration, ours among them; nothing where there is no Rspamd."""
    ports, paths = set(), set()
    for worker in _dump(run, "worker"):
        proxy = worker.get("rspamd_proxy")
        if not isinstance(proxy, dict) or not proxy.get("milter") or proxy.get("enabled") is False:
            continue
        sockets = proxy.get("bind_socket")
        for one in sockets if isinstance(sockets, list) else [sockets]:
            place = str(one or "").split()[0] if str(one or "").split() else ""
            if place.startswith("/"):
                paths.add(place)
            elif place.rpartition(":")[2].isdigit():
                ports.add(int(place.rpartition(":")[2]))
    return _Binds(frozenset(ports), frozenset(paths))


def _dump(run: Run, section: str) -> list[dict[str, t.Any]]:
    """Return the objects of a section of Rspamd's configuration; none where Rspamd cannot say."""
    code, out, _ = run(["rspamadm", "configdump", "-j", section])
    found: list[dict[str, t.Any]] = []
    decoder, at = json.JSONDecoder(), out.find("{")
    while not code and at >= 0:
        try:
            value, end = decoder.raw_decode(out, at)
        except ValueError:
            break
        found += [value] if isinstance(value, dict) else []
        at = out.find("{", end)
    return found


def _complaints(run: Run, texts: dict[str, str]) -> set[str]:
    """Return what Rspamd says of a copy of its configuration with these files in it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = f"{folder}/rspamd"
        shutil.copytree(CONF, copy, symlinks=True)
        for path, text in texts.items():
            # Not by a link that leads out of the copy.
            target = copy + path[len(CONF) :]
            with contextlib.suppress(FileNotFoundError):
                Path(target).unlink()
            write_file(File(target, text.replace(f"{CONF}/", f"{copy}/")))
        words = ["rspamadm", f"--var=CONFDIR={copy}", f"--var=LOCAL_CONFDIR={copy}", "configtest", "-s", "-c", f"{copy}/rspamd.conf"]
        code, out, err = run(words)
        lines = {line.strip().replace(copy, CONF) for line in (out + err).splitlines()}
    return {line for line in lines if line and not re.match(r"\d+ errors? found|syntax (?:OK|BAD)", line)} | (
        {"syntax BAD"} if code > 1 else set()
    )


def _active(run: Run, unit: str) -> bool:
    return run(["systemctl", "is-active", unit])[1].strip() == "active"


def _started(run: Run) -> float:
    """Return since when Rspamd runs, in seconds since 1970; 0 where systemd does not say."""
    said = run(["systemctl", "show", "-P", "ActiveEnterTimestamp", "--timestamp=unix", "rspamd.service"])[1].strip()
    return float(said[1:]) + 1 if re.match(r"@\d{1,12}\Z", said) else 0.0


def _ratelimit_faults(run: Run) -> list[str]:
    """Look whether the module reads our limits."""
    sections = _dump(run, "ratelimit")
    if not sections:
        return ["Rspamd's configuration cannot be read: see 'rspamadm configdump ratelimit'"]
    options = {name: value for section in sections for name, value in section.items()}
    found = []
    if options.get("enabled") is False:
        found.append("Rspamd's module ratelimit is disabled (enabled = false): see 'rspamadm configdump ratelimit'")
    if options.get("custom_keywords") != LIMITS:
        found.append(
            "Rspamd's module ratelimit does not read the limits: something stands above custom_keywords, or a file of ours is gone"
        )
    if options.get("whitelisted_rcpts") not in ("\n", ["\n"]):
        found.append("some recipients exempt a message from the limits: something stands above whitelisted_rcpts in Rspamd's ratelimit")
    if options.get("whitelisted_ip"):
        found.append("clients named in whitelisted_ip of Rspamd's ratelimit are not limited, logged in or not: take it out")
    if read_text(LIMITS) is None:
        found.append(f"{LIMITS} is gone: run playbooks/harden.yml")
    return found


def _store_faults() -> list[str]:
    """Ask the Redis server that Rspamd is told of."""
    text = read_text(STORE)
    if text is None:
        return [f"{STORE} is gone: run playbooks/harden.yml"]
    place, password = (_option(text, name) for name in ("servers", "password"))
    try:
        with _connected(place) as client:
            stream = client.makefile("rb")
            if password:
                said = _redis(client, stream, "AUTH", password)
                if said != "OK":
                    return [f"the Redis server at {place} does not take the password: {said[:100]}"]
            said = _redis(client, stream, "PING")
            if said != "PONG":
                return [f"the Redis server at {place} answers {said[:100]}, so nothing is counted"]
            told = dict(line.partition(":")[::2] for line in _redis(client, stream, "INFO").splitlines())
    except (OSError, ValueError) as exc:
        return [f"the Redis server at {place} cannot be asked ({exc}), so nothing is counted and nothing limited"]
    found = []
    if told.get("role") not in (None, "master"):
        found.append(f"the Redis server at {place} is a {told['role'][:20]}, which takes nothing down: name its master")
    if told.get("aof_last_write_status", "ok") != "ok":
        found.append(f"the Redis server at {place} cannot write to its disk, and counts nothing until it can")
    if told.get("loading") == "1":
        found.append(f"the Redis server at {place} still reads its data, so nothing is counted")
    most, used = (told.get(name, "0") for name in ("maxmemory", "used_memory"))
    if most.isdigit() and used.isdigit() and int(most) and int(used) >= int(most):
        found.append(f"the memory of the Redis server at {place} is full: what is counted is refused or forgotten")
    return found


def _option(text: str, name: str) -> str:
    match = re.search(rf"^{name} = (\"[^\n]*\");$", text, re.MULTILINE)
    return str(json.loads(match[1])) if match else ""


def _connected(place: str) -> socket.socket:
    if place.startswith("/"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(_TIMEOUT)
        try:
            client.connect(place)
        except OSError:
            client.close()
            raise
        return client
    host, _, port = place.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT)


def _redis(client: socket.socket, stream: t.BinaryIO, *words: str) -> str:
    """Ask a Redis server (RESP2) and return its answer, bounded."""
    parts = [word.encode() for word in words]
    client.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
    line = stream.readline(1024).decode("utf-8", "replace").rstrip("\r\n")
    if not line.startswith("$"):
        return line[1:]
    size = int(line[1:])
    if not 0 <= size <= 1 << 20:
        raise ValueError("no sensible answer")
    return stream.read(size + 2).decode("utf-8", "replace")


def _postfix_faults(services: list[milter.Service], binds: _Binds) -> list[str]:
    found = []
    used = set()
    for one in services:
        if not one.logins or one.inner:
            continue
        named = [address for address in one.milters() if binds.names(address)]
        if not named:
            found.append(f"{one.name} of Postfix does not ask Rspamd (smtpd_milters): run playbooks/harden.yml")
        elif "no_milters" in one.values["receive_override_options"].replace(",", " ").split():
            found.append(f"{one.name} of Postfix asks no milter (receive_override_options has no_milters)")
        if "{auth_authen}" not in one.values["milter_mail_macros"]:
            found.append(f"{one.name} of Postfix does not tell milters who is logged in (milter_mail_macros lacks {{auth_authen}})")
        if one.values.get("smtpd_milter_maps", "").strip():
            found.append(f"{one.name} of Postfix asks other milters for some clients (smtpd_milter_maps)")
        used.update(named)
    for address in sorted(used):
        why = _asked(address)
        if why:
            found.append(f"Rspamd does not answer as a milter at {address} ({why}): mail goes by unlimited")
    return found


def _asked(address: str) -> str:
    """Begin a milter's dialogue (option negotiation) and return what is wrong with the answer; a socket in a chroot is not looked for."""
    kind, _, rest = address.partition(":")
    if kind != "inet":
        return ""
    try:
        with _connected(rest if rest.rpartition(":")[0] else f"127.0.0.1:{rest}") as client:
            # Sendmail's milter protocol, version 6: length, command O, version, actions, steps.
            client.sendall(struct.pack("!IcIII", 13, b"O", 6, 0x1FF, 0x1FFFFF))
            answer = client.recv(5)
    except (OSError, ValueError) as exc:
        return str(exc)
    return "" if answer[4:5] == b"O" else "it closes the connection"

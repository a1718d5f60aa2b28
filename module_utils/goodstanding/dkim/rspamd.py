# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rspamd: which domain is signed with which keys, in local.d/dkim_signing.conf. Standard library only, Python >= 3.9.

Only local.d is merged with what an administrator has; a section in override.d replaces all of it. So the keys are a block of ours in
local.d, and override.d gets one setting, where it must be another one: use_esld, which signs for example.org what is from a.example.org.
What is then in force is read back (rspamadm configdump) from copies, before anything is changed.
Source: lualib/lua_dkim_tools.lua, conf/modules.d/dkim_signing.conf.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import typing as t

from ..host.files import File, HostError, Run, must, read_text
from . import blocks, milter, safety
from .plan import Signing

NAME = "rspamd"
UNIT = "rspamd.service"
FOLDER = "/etc/rspamd"
CONF = f"{FOLDER}/rspamd.conf"
LOCAL = f"{FOLDER}/local.d/dkim_signing.conf"
OVERRIDE = f"{FOLDER}/override.d/dkim_signing.conf"
USER = "_rspamd"
#: Seconds from a reload until new workers sign: they compile tables first, minutes on a slow machine.
PATIENCE = 240.0
_PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/+@:,=")
_ESLD = "use_esld = false;\n"
_TLD = 'local u = require "rspamd_util"\nfor _, d in ipairs(DOMAINS) do print(d .. " " .. u.get_tld(d)) end\n'


def sources() -> list[str]:
    """Return the files that may name a key."""
    return [LOCAL, OVERRIDE, f"{FOLDER}/modules.d/dkim_signing.conf", f"{FOLDER}/local.d/arc.conf"]


def wanted(run: Run, signings: list[Signing], present: bool) -> list[File]:
    """Return its files as they must be."""
    local, override = _taken(LOCAL), _taken(OVERRIDE)
    if not present:
        return [File(LOCAL, local), File(OVERRIDE, override)]
    exact = [row.domain for row in signings if row.domain in _below_others(run, [row.domain for row in signings])]
    if exact and any(row.subdomains for row in signings):
        raise HostError(
            f"Rspamd has one switch for all: it signs {exact[0]} by itself, or what is below each domain for that domain, not both: "
            "set subdomains to false, and name each sub-domain that sends"
        )
    return [
        File(LOCAL, blocks.put(read_text(LOCAL), lines(signings))),
        File(OVERRIDE, blocks.put(read_text(OVERRIDE), _ESLD) if exact else override),
    ]


def _taken(path: str) -> str | None:
    try:
        return blocks.take(read_text(path))
    except blocks.DamagedError as exc:
        raise HostError(f"{path}: {exc}: take our lines out by hand and run again") from exc


def lines(signings: list[Signing]) -> str:
    """Return the section of the keys."""
    text = "domain {\n"
    for row in signings:
        text += f'  "{_quoted(row.domain)}" {{\n    selectors [\n'
        for key in row.keys:
            text += f'      {{ selector = "{_quoted(key.selector)}"; path = "{_quoted(key.path)}"; }},\n'
        text += "    ]\n  }\n"
    return text + "}\n"


def _quoted(text: str) -> str:
    if not set(text) <= _PLAIN:
        raise HostError(f"{text[:80]!r} cannot be written into {LOCAL}: choose a path of letters, digits and . _ - /")
    return text


def _below_others(run: Run, domains: list[str]) -> list[str]:
    """Return the domains that Rspamd, asked itself, holds to be below the one that is registered."""
    if not domains:
        return []
    names = ", ".join(f'"{_quoted(domain)}"' for domain in domains)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/tld.lua"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"local DOMAINS = {{ {names} }}\n{_TLD}")
        out = must(run, ["rspamadm", "lua", "-b", path], "Rspamd cannot be asked which domain is below which")
    pairs = [line.split() for line in out.splitlines()]
    found = [pair[0] for pair in pairs if len(pair) == 2 and pair[0] in domains and pair[0] != pair[1]]
    if sum(1 for pair in pairs if len(pair) == 2 and pair[0] in domains) < len(set(domains)):
        raise HostError(f"rspamadm lua said {out[:200]!r} on which domain is below which: look at its installation")
    return found


def settle(signings: list[Signing]) -> tuple[list[Signing], list[str]]:
    """Return what it can sign: all. HostError where a domain would have an Ed25519 key alone."""
    for row in signings:
        if not any(key.kind == "rsa" for key in row.keys):
            raise HostError(f"{row.domain} would be signed with no RSA key, and most receivers verify no other: name one, too")
    return signings, []


def check(run: Run, files: list[File], signings: list[Signing], present: bool) -> None:
    """HostError where it would not take these files, or another setting would be in force: tried in copies, as its own user."""
    before = dump(run, FOLDER)
    folder = tempfile.mkdtemp()
    try:
        shutil.copytree(FOLDER, folder, symlinks=True, dirs_exist_ok=True)
        for file in files:
            copy = folder + file.path[len(FOLDER) :]
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            if os.path.lexists(copy):
                os.unlink(copy)
            if file.text is not None:
                with open(copy, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                    stream.write(file.text)
                os.chmod(copy, 0o644)
        who = safety.daemon(USER)
        for path, folders, names in os.walk(folder):
            for name in (".", *folders, *names):
                os.chown(os.path.join(path, name), who.uid, who.gid, follow_symlinks=False)
        become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
        words = [*become, *_rspamadm(folder), "configtest", "-c", f"{folder}/rspamd.conf"]
        must(run, words, "Rspamd would not take the configuration; nothing was changed")
        _compare(before, dump(run, folder), signings, present)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rspamadm(folder: str) -> list[str]:
    return ["rspamadm", f"--var=CONFDIR={folder}", f"--var=LOCAL_CONFDIR={folder}"]


def dump(run: Run, folder: str) -> dict[str, t.Any]:
    """Return the settings of dkim_signing that are in force with the configuration in a folder."""
    words = [*_rspamadm(folder), "configdump", "-j", "-c", f"{folder}/rspamd.conf", "dkim_signing"]
    found = _shown(run, words)
    return found[0] if found else {}


def _shown(run: Run, words: list[str]) -> list[dict[str, t.Any]]:
    """Return the objects that rspamadm configdump -j writes, one behind the other. No error shows them: they may hold passwords."""
    code, out, err = run(words)
    if code:
        raise HostError(f"{words[0]} configdump ended with {code}: {err.strip()[-300:]}: run rspamadm configtest")
    found, at, decoder = [], out.find("{"), json.JSONDecoder()
    try:
        while at >= 0:
            value, end = decoder.raw_decode(out, at)
            found.append(value)
            at = out.find("{", end)
    except ValueError as exc:
        raise HostError("what rspamadm configdump -j said is no JSON: run it by hand") from exc
    return [value for value in found if isinstance(value, dict)]


def _compare(before: dict[str, t.Any], after: dict[str, t.Any], signings: list[Signing], present: bool) -> None:
    """HostError where a domain of ours would be signed otherwise than wanted, or another setting changed."""
    domains, had = _domains(after), _domains(before)
    if present:
        if after.get("enabled") is False:
            raise HostError(f"dkim_signing is switched off (enabled = false in {LOCAL} or {OVERRIDE}): take that out")
        if after.get("signing_table"):
            raise HostError(f"this Rspamd signs by signing_table and key_table, and reads no domain section: take them out of {LOCAL}")
        for row in signings:
            want = [{"selector": key.selector, "path": key.path} for key in row.keys]
            if domains.get(row.domain) != {"selectors": want}:
                raise HostError(
                    f"{row.domain} would be signed by {json.dumps(domains.get(row.domain))[:300]}, not by our keys alone: take its own "
                    f"section out of {LOCAL} and {OVERRIDE}"
                )
    ours = {row.domain for row in signings}
    for name, value in had.items():
        if name not in ours and domains.get(name) != value and not _ours(value):
            raise HostError(f"{name}, which is not ours, would be signed otherwise: nothing was changed")
    for name in set(before) | set(after):
        if name not in ("domain", "use_esld") and before.get(name) != after.get(name):
            raise HostError(f"the setting {name} of dkim_signing would change: nothing was changed")
    if isinstance(after.get("use_esld"), list):
        raise HostError(f"use_esld is set twice: take it out of {OVERRIDE}")


def _domains(settings: dict[str, t.Any]) -> dict[str, t.Any]:
    found = settings.get("domain")
    return found if isinstance(found, dict) else {}


def _ours(value: t.Any) -> bool:
    """Return whether a domain's section may be one of ours that is now taken out: it has keys by selectors and nothing else."""
    return isinstance(value, dict) and list(value) == ["selectors"]


def reload(run: Run) -> None:
    must(run, ["systemctl", "reload", UNIT], "Rspamd did not reload: look at its log")


def place(run: Run) -> tuple[str, t.Any]:
    """Return where its proxy takes mail as a milter."""
    for worker in _shown(run, ["rspamadm", "configdump", "-j", "worker"]):
        proxy = worker.get("rspamd_proxy")
        for one in proxy if isinstance(proxy, list) else [proxy]:
            found = _milter_of(one)
            if found is not None:
                return found
    raise HostError("no worker of this Rspamd is a milter: set milter = yes in local.d/worker-proxy.inc")


def _milter_of(proxy: t.Any) -> tuple[str, t.Any] | None:
    if not isinstance(proxy, dict) or proxy.get("milter") is not True:
        return None
    sockets = proxy.get("bind_socket")
    for words in sockets if isinstance(sockets, list) else [sockets]:
        found = _socket(str(words))
        if found is not None:
            return found
    return None


def _socket(words: str) -> tuple[str, t.Any] | None:
    """Return one bind_socket: host:port, or /path mode=0660 ..."""
    first = (words.split() or [""])[0]
    if first.startswith("/"):
        return "unix", first
    return milter.endpoint(f"inet:{first}") if ":" in first else milter.endpoint(f"inet:{first}:11332")


def signed_domains(run: Run) -> set[str]:
    """Return the domains with keys of their own in force."""
    return {name.lower() for name in _domains(dump(run, FOLDER))}

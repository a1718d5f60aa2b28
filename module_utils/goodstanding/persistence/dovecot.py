# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dovecot as the persistence room sees it: its settings, where a user's files are, and the Sieve scripts there.

Standard library only, Python >= 3.9. Measured on 2.3.19 and 2.4.1: doveadm sieve list makes ~/sieve/tmp where there is none, and does
not list an active script that is a plain file instead of a link, though mail is filtered by it (a link out of the storage is not run).
So the files are read first, and doveadm is asked only where there is a storage already, or where it is not made of files.
"""

from __future__ import annotations

import json
import os
import re
import typing as t

from ..host.files import Run
from . import sieve
from .files import MAX_SIZE, Content, names, read_file, walk
from .findings import MAX_FINDINGS, Found, Unknown, mail_list

_OPEN = re.compile(r"(.*?)\s*\{\Z")
_VARIABLE = re.compile(r"%\{\s*([\w:]+)\s*(?:\|\s*(\w+)\s*)?\}|%([udnh])")
Setting = tuple[tuple[str, ...], str, str]


class User(t.NamedTuple):
    """fields: what doveadm user says of an account; home is empty where it has none."""

    account: str
    home: str
    fields: dict[str, str]


class Storage(t.NamedTuple):
    """Where a user's Sieve scripts are: folder and active link as paths, or empty where they are not files or cannot be told."""

    folder: str
    active: str


def settings(doveconf: str) -> list[Setting]:
    """Return (blocks around it, name, value) of each setting that doveconf -n shows, in either language."""
    found: list[Setting] = []
    blocks: list[str] = []
    for line in doveconf.splitlines():
        text = line.strip()
        if text.startswith("#") or not text:
            continue
        opened = _OPEN.match(text)
        name, equals, value = text.partition("=")
        if opened and (not equals or "{" not in value or name.count("{")):
            blocks.append(opened[1].strip())
        elif text == "}":
            del blocks[-1:]
        elif equals:
            found.append((tuple(blocks), name.strip(), value.strip()))
    return found


def value(found: list[Setting], name: str, *blocks: str) -> str:
    """Return a setting's value in these blocks, or "" where it is not shown."""
    return next((value for path, one, value in found if one == name and path == blocks), "")


def acl_on(found: list[Setting]) -> bool:
    """Return whether any service loads the acl plugin."""
    return any(
        (name == "mail_plugins" and "acl" in text.split())
        or (path and path[-1].startswith("mail_plugins") and name == "acl" and text == "yes")
        for path, name, text in found
    )


def user(run: Run, account: str) -> User | Unknown | None:
    """Return an account as Dovecot knows it, None where it does not (doveadm-user(1): 67), Unknown where that cannot be told."""
    code, out, err = run(["doveadm", "-f", "tab", "user", account])
    if code == 67:
        return None
    if code:
        return Unknown(account, "home", f"doveadm user ended with {code}: {_last(err)}: start Dovecot and run again")
    fields = dict(line.split("\t", 1) for line in out.splitlines()[1:] if "\t" in line)
    return User(account, fields.get("home", ""), fields)


def expand(text: str, who: User) -> str:
    """Return a path with ~ and the usual variables in it filled, or "" where another is left."""
    local, _, domain = who.account.partition("@")
    known = {"user": who.account, "u": who.account, "d": domain, "n": local, "h": who.home, "home": who.home, "userdb:home": who.home}

    def fill(match: re.Match[str]) -> str:
        name, step = match[1] or match[3], match[2]
        if name == "user" and step in ("username", "domain"):
            return local if step == "username" else domain
        return known[name] if name in known and not step else match[0]

    path = _VARIABLE.sub(fill, text)
    if path == "~" or path.startswith("~/"):
        path = who.home + path[1:]
    return path if path.startswith("/") and "%" not in path else ""


def storage(found: list[Setting], who: User) -> Storage:
    """Return where an account's own scripts are (Pigeonhole: sieve, sieve_dir; from 2.4 sieve_script of the type personal)."""
    folder, active = "~/sieve", "~/.dovecot.sieve"
    for path, name, text in found:
        if len(path) != 1 or not path[0].startswith("sieve_script") or value(found, "type", *path) not in ("", "personal"):
            continue
        if value(found, "driver", *path) not in ("", "file"):
            return Storage("", "")
        folder = text if name == "path" else folder
        active = text if name == "active_path" else active
    old = who.fields.get("sieve") or value(found, "sieve", "plugin")
    if old.startswith("file:"):
        head, *options = old[5:].split(";")
        folder = head
        active = next((option[7:] for option in options if option.startswith("active=")), active)
    elif re.match(r"\w+:", old):
        return Storage("", "")  # dict: or ldap:
    elif old:
        folder, active = who.fields.get("sieve_dir") or value(found, "sieve_dir", "plugin") or folder, old
    return Storage(expand(folder, who), expand(active, who))


def scripts(run: Run, found: list[Setting], who: User) -> tuple[list[Found], list[Unknown]]:
    """Return an account's Sieve scripts, active or not."""
    place = storage(found, who)
    shown: dict[str, Found] = {}
    unknown: list[Unknown] = []
    listed: dict[str, bool] = {}
    if not place.folder or os.path.isdir(place.folder):
        answer = _listed(run, who.account)
        if isinstance(answer, Unknown):
            unknown.append(answer)
        else:
            listed = answer
    try:
        active = _active(place, who, shown)
        if place.folder:
            every, cut = names(who.home, _below(who.home, place.folder)) if _below(who.home, place.folder) else names(place.folder)
            if cut:
                unknown.append(Unknown(who.account, "sieve", f"{place.folder} holds more files than are looked at"))
            for name in [name[:-6] for name in every if name.endswith(".sieve")][: MAX_FINDINGS + 1]:
                content = _file(who, f"{place.folder}/{name}.sieve")
                if content:
                    shown[name] = _script(
                        who.account, f"{place.folder}/{name}.sieve", content, active == name or listed.get(name, False), name
                    )
    except OSError as exc:
        unknown.append(Unknown(who.account, "sieve", f"{exc.filename or place.folder}: {exc.strerror}: the connecting user needs become"))
    for name in [name for name in listed if name not in shown][:MAX_FINDINGS]:
        code, out, err = run(["doveadm", "-f", "json", "sieve", "get", "-u", who.account, name])
        try:
            text = json.loads(out)[0]["sieve script"] if not code else None
        except (ValueError, LookupError, TypeError):
            text = None
        if not isinstance(text, str):
            unknown.append(Unknown(who.account, f"sieve:{name[:100]}", f"doveadm sieve get ended with {code}: {_last(err)}"))
            continue
        data = text.encode("utf-8", "surrogatepass")
        note = f"only the first {MAX_SIZE} octets were read" if len(data) > MAX_SIZE else ""
        shown[name] = _script(who.account, f"sieve:{name}", Content(data[:MAX_SIZE], 0, 0, note), listed[name], name, dated=False)
    return list(shown.values()), unknown


def _active(place: Storage, who: User, shown: dict[str, Found]) -> str:
    """Return the name of the script that the active link leads to; what is active without being in the storage is noted as found."""
    if not place.active:
        return ""
    try:
        text = os.readlink(place.active)
    except OSError:
        text = ""
    if text:
        real = os.path.realpath(place.active)
        if os.path.dirname(real) == os.path.realpath(place.folder) and real.endswith(".sieve"):
            return os.path.basename(real)[:-6]
    content = _file(who, place.active)
    if content:
        shown[""] = _script(who.account, place.active, content, None if text else True, "")
    return ""


def _file(who: User, path: str) -> Content | None:
    """Read a file that is in the home, or in a folder that the configuration names."""
    below = _below(who.home, path)
    return read_file(who.home, below) if below else read_file(os.path.dirname(path), os.path.basename(path))


def _below(home: str, path: str) -> str:
    return path[len(home) + 1 :] if home and path.startswith(home + "/") else ""


def _script(account: str, place: str, content: Content, active: bool | None, name: str, dated: bool = True) -> Found:
    script = sieve.read(content.data.decode("utf-8", "replace"))
    note = content.note or (f"{script.fault}: nobody can say what it does" if script.fault else "")
    return Found(
        account,
        "sieve",
        place,
        content.data,
        script.does,
        script.targets,
        content.mtime if dated else None,
        content.touched if dated else None,
        opaque=script.opaque or bool(content.note),
        active=active,
        name=name,
        note=note,
    )


def _listed(run: Run, account: str) -> dict[str, bool] | Unknown:
    """Return the scripts that Pigeonhole lists and whether each is active; nothing where there is no Pigeonhole."""
    code, out, err = run(["doveadm", "-f", "json", "sieve", "list", "-u", account])
    if code == 64:
        return {}  # doveadm knows no command "sieve"
    try:
        if code:
            raise ValueError(f"ended with {code}: {_last(err)}")
        return {str(row["script"]): row["active"] == "ACTIVE" for row in json.loads(out)}
    except (ValueError, LookupError, TypeError) as exc:
        return Unknown(account, "sieve", f"doveadm sieve list {exc}"[:300])


def shares(found: list[Setting], who: User) -> tuple[list[Found], list[Unknown]]:
    """Return the mailboxes that an account shares with others (dovecot-acl files), where the acl plugin is loaded."""
    if not acl_on(found):
        return [], []
    text = who.fields.get("mail_path") or who.fields.get("mail") or value(found, "mail_path") or value(found, "mail_location")
    root = expand(re.sub(r"\A\w+:", "", text).split(":")[0], who) or who.home
    if not os.path.isdir(root):
        return [], []
    shown = []
    try:
        paths, cut = walk(root, "dovecot-acl", ("cur", "new", "tmp"))
        for path in paths:
            content = read_file(root, path)
            if content:
                shown.append(_acl(who.account, f"{root}/{path}", content))
    except OSError as exc:
        return shown, [Unknown(who.account, "acl", f"{exc.filename or root}: {exc.strerror}: the connecting user needs become")]
    return shown, [Unknown(who.account, "acl", f"{root} holds more folders than are looked at")] if cut else []


def _acl(account: str, place: str, content: Content) -> Found:
    """Each line: an identifier, perhaps quoted and with a minus, and its rights (Dovecot: ACL file format)."""
    who = []
    for line in content.data.decode("utf-8", "replace").splitlines():
        match = re.match(r'\s*(?:"-?((?:[^"\\]|\\.)*)"|-?(\S+))\s', line + " ")
        name = (match[1] or match[2] or "") if match else ""
        if name and name != "owner" and not line.lstrip().startswith("#"):
            who.append(name[5:] if name.startswith("user=") else name)
    everybody = any(name in ("anyone", "anonymous") for name in who)
    return Found(account, "acl", place, content.data, ["share"], who, content.mtime, content.touched, opaque=everybody, note=content.note)


def forwards(account: str, home: str) -> tuple[list[Found], list[Unknown]]:
    """Return the .forward files in a home (local(8): forward_path), with those for an address extension."""
    shown = []
    try:
        every, _ = names(home)
        for name in [name for name in every if name == ".forward" or re.match(r"\.forward[-+_=.]", name)]:
            content = read_file(home, name)
            if content:
                does, targets, opaque = mail_list(content.data.decode("utf-8", "replace"))
                opaque = opaque or bool(content.note)
                shown.append(
                    Found(
                        account, "forward", f"{home}/{name}", content.data, does, targets, content.mtime, content.touched,
                        opaque=opaque, active=True, note=content.note,
                    )
                )  # fmt: skip
    except OSError as exc:
        return shown, [Unknown(account, "forward", f"{exc.filename or home}: {exc.strerror}: the connecting user needs become")]
    return shown, []


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1][:200]

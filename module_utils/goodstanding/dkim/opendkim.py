# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenDKIM: which domain is signed with which key, in KeyTable and SigningTable. Standard library only, Python >= 3.9.

Tables that an administrator has keep their lines; ours stand before them, since the first that matches signs. Where OpenDKIM has a single
key (Domain, Selector, KeyFile), which it forgets as soon as there is a KeyTable, that key goes on signing by lines of ours. Releases up to
2.11 sign with one algorithm: an Ed25519 key beside an RSA key makes them defer mail, so that only RSA keys are named here.
Source: opendkim.conf(5), opendkim/opendkim.c.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
import typing as t

from ..host.files import File, HostError, Run, must, read_text
from . import blocks, milter
from .plan import Signing

NAME = "opendkim"
UNIT = "opendkim.service"
CONF = "/etc/opendkim.conf"
KEY_TABLE = "/etc/goodstanding/opendkim.keytable"
SIGNING_TABLE = "/etc/goodstanding/opendkim.signingtable"
#: Seconds from a reload (SIGUSR1, read at the next message) until it signs with the new tables.
PATIENCE = 15.0
_HEAD = "# Written by Good Standing (role dkim): which key signs. A change by hand is lost at its next run.\n"
_FILE = re.compile(r"(?:(refile|file):)?(/\S+)")


def settings(text: str) -> dict[str, str]:
    """Return what opendkim.conf says, names in small letters; of two lines the last is in force."""
    found = {}
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(None, 1)
        if len(words) == 2:
            found[words[0].lower()] = words[1].strip()
    return found


def user(text: str) -> str:
    return settings(text).get("userid", "opendkim").partition(":")[0]


def sources() -> list[str]:
    """Return the files that may name a key."""
    found = [CONF, KEY_TABLE]
    table = _FILE.fullmatch(settings(read_text(CONF) or "").get("keytable", ""))
    return [*found, table[2]] if table else found


def wanted(run: Run, signings: list[Signing], present: bool) -> list[File]:
    """Return its files as they must be, tables first."""
    text = read_text(CONF) or ""
    own = _taken(CONF) or ""
    have = settings(own)
    tables = {name: _table(name, have.get(name.lower(), "")) for name in ("KeyTable", "SigningTable")}
    if bool(tables["KeyTable"]) != bool(tables["SigningTable"]):
        raise HostError(f"{CONF} has only one of KeyTable and SigningTable: complete it, or take it out")
    key_table, signing_table = tables["KeyTable"], tables["SigningTable"]
    if key_table and signing_table:
        return _in_tables(key_table, signing_table, signings, present)
    if not present:
        return [File(CONF, own), File(KEY_TABLE, None), File(SIGNING_TABLE, None)]
    carried = _carried(have, {row.domain for row in signings})
    body = f"KeyTable     file:{KEY_TABLE}\nSigningTable refile:{SIGNING_TABLE}\n"
    return [
        File(KEY_TABLE, _HEAD + key_lines(signings) + carried[0]),
        File(SIGNING_TABLE, _HEAD + signing_lines(signings, True) + carried[1]),
        File(CONF, blocks.put(text, body)),
    ]


def _in_tables(key_table: re.Match[str], signing_table: re.Match[str], signings: list[Signing], present: bool) -> list[File]:
    files = []
    for table, lines in (
        (key_table, key_lines(signings)),
        (signing_table, signing_lines(signings, signing_table[1] == "refile")),
    ):
        path = table[2]
        before = _taken(path)
        if before is None and not present:
            continue
        files.append(File(path, blocks.put(read_text(path), lines, top=True) if present else before))
    return [*files, File(CONF, _taken(CONF))]


def _taken(path: str) -> str | None:
    try:
        return blocks.take(read_text(path))
    except blocks.DamagedError as exc:
        raise HostError(f"{path}: {exc}: take our lines out by hand and run again") from exc


def _table(name: str, value: str) -> re.Match[str] | None:
    if not value:
        return None
    match = _FILE.fullmatch(value)
    if match is None:
        raise HostError(f"{name} of {CONF} is {value[:80]}, no file: name the keys there by hand, or use file: and refile:")
    return match


def _carried(have: dict[str, str], ours: set[str]) -> tuple[str, str]:
    """Return lines of both tables for the single key that OpenDKIM signed with before it had tables."""
    domains, selector, path = have.get("domain", ""), have.get("selector", ""), have.get("keyfile", "")
    if not (domains and selector and path):
        return "", ""
    keys, signings = "", ""
    for domain in re.split(r"[\s,]+", domains):
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", domain):
            raise HostError(f"Domain of {CONF} is {domains[:80]}: write its domains into KeyTable and SigningTable by hand")
        if domain.lower() in ours:
            continue
        name = f"{selector}._domainkey.{domain}"
        keys += f"{name} {domain}:{selector}:{path}\n"
        signings += f"*@{domain} {name}\n"
        if have.get("subdomains", "").lower() in ("yes", "true", "1"):
            signings += f"*@*.{domain} {name}\n"
    note = f"# Of Domain, Selector and KeyFile in {CONF}, which a KeyTable switches off:\n"
    return (note + keys, note + signings) if keys else ("", "")


def key_lines(signings: list[Signing]) -> str:
    return "".join(f"{key.name} {row.domain}:{key.selector}:{key.path}\n" for row in signings for key in row.keys)


def signing_lines(signings: list[Signing], patterns: bool) -> str:
    lines = ""
    for row in signings:
        for key in row.keys:
            lines += f"*@{row.domain} {key.name}\n" if patterns else f"{row.domain} {key.name}\n"
            if row.subdomains:
                lines += f"*@*.{row.domain} {key.name}\n" if patterns else f".{row.domain} {key.name}\n"
    return lines


def settle(signings: list[Signing]) -> tuple[list[Signing], list[str]]:
    """Return what it can sign, and what it leaves out. HostError where a domain would have no RSA key, or two."""
    found, notes = [], []
    for row in signings:
        keys = [key for key in row.keys if key.kind == "rsa"]
        if len(keys) != 1:
            raise HostError(f"OpenDKIM signs {row.domain} with one RSA key, and {len(keys)} are named: name one")
        if len(keys) < len(row.keys):
            notes.append(f"{row.domain}: OpenDKIM up to 2.11 signs with one algorithm, and the Ed25519 key is left out")
        found.append(row._replace(keys=tuple(keys)))
    return found, notes


def check(run: Run, files: list[File], signings: list[Signing], present: bool) -> None:
    """HostError where it would not take these files: tried in copies, as its own user."""
    texts = {file.path: file.text for file in files}
    conf = texts.get(CONF, read_text(CONF)) or ""
    who = user(conf)
    folder = tempfile.mkdtemp()
    try:
        os.chmod(folder, 0o711)  # noqa: S103  # its user opens the copies
        for number, (path, text) in enumerate(texts.items()):
            if path != CONF and text is not None:
                copy = f"{folder}/{number}"
                _write(copy, text)
                conf = re.sub(rf"(?m)^((?:Key|Signing)Table\s+(?:file:|refile:)?){re.escape(path)}\s*$", rf"\g<1>{copy}", conf, flags=re.I)
        _write(f"{folder}/conf", conf)
        words = ["setpriv", f"--reuid={who}", f"--regid={who}", "--init-groups", "opendkim", "-n", "-x", f"{folder}/conf"]
        must(run, words, "OpenDKIM would not take the configuration; nothing was changed")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
    os.chmod(path, 0o644)


def reload(run: Run) -> None:
    must(run, ["systemctl", "reload", UNIT], "OpenDKIM did not reload: look at journalctl -u opendkim")


def place(run: Run) -> tuple[str, t.Any]:
    """Return where it listens."""
    words = settings(read_text(CONF) or "").get("socket", "")
    found = milter.endpoint(words)
    if found is None:
        raise HostError(f"Socket of {CONF} is {words[:80]!r}, which is no place to ask: set it to local:/path or inet:port@host")
    return found


def signed_domains(run: Run) -> set[str]:
    """Return the domains that its tables sign for, or its single key."""
    have = settings(read_text(CONF) or "")
    table = _FILE.fullmatch(have.get("signingtable", ""))
    if table is None:
        return {domain.lower() for domain in re.split(r"[\s,]+", have.get("domain", "")) if domain and "/" not in domain}
    found = set()
    for path in glob.glob(table[2]):
        for line in (read_text(path) or "").splitlines():
            words = line.split("#", 1)[0].split()
            if words:
                found.add(words[0].rpartition("@")[2].lower())
    return found

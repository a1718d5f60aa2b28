# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit stored passwords: schemes that must go, and passwords from before a leak. Python >= 3.9; LDAP needs python3-ldap.

A hash is looked at for the name of its scheme and goes no further: not into a result, a message or a file. Nothing is changed.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import time
import typing as t

from ..host.files import Run
from . import logins, sql
from .dovecot import Setting, settings, value
from .findings import Unknown
from .schemes import SCHEMES, scheme
from .webmail import epoch

#: Most findings that are returned; the counts are of all.
MAX_FINDINGS = 2000
_DAY = 86400
_PASSDB = re.compile(r"^passdb\b *([^\n{]*)\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)


class Stored(t.NamedTuple):
    """A stored password by its scheme; changed: (earliest, latest) epoch seconds at which it can have been set, or None."""

    account: str
    scheme: str
    changed: tuple[float, float] | None


def audit(run: Run, backends: list[dict[str, t.Any]], leaked_since: float | None) -> dict[str, t.Any]:
    """Return findings, counts and unknown of all backends and daemons; see library/mail_password_audit_info.py for the shapes."""
    unknown: list[Unknown] = []
    found: list[dict[str, t.Any]] = []
    counts: dict[str, dict[str, int]] = {}
    dovecot, text = _doveconf(run)
    unknown += dovecot
    given = [*backends, *_discovered(text, backends, unknown)]
    for backend in given:
        name = _name(backend)
        try:
            rows = _rows(backend)
        except sql.SourceError as exc:
            unknown.append(Unknown("", name, str(exc)))
            continue
        except OSError as exc:
            unknown.append(Unknown("", name, f"it cannot be read ({exc.strerror}): the connecting user needs become"))
            continue
        counts[name] = _count(rows)
        found += _weak(name, rows)
        if leaked_since is not None:
            old, faults = _older(name, rows, leaked_since)
            found += old
            unknown += faults
    services, faults = logins.of_postfix(run)
    unknown += faults
    for daemon, some in (("Postfix", services), ("Dovecot", logins.of_dovecot(settings(text)))):
        found += [_finding("", f"{daemon} {where}", "login_without_tls", "", "must", why, "RFC 8314") for where, why in some]
    found.sort(key=lambda one: (one["grade"] != "must", one["kind"], one["backend"], one["account"]))
    return {
        "findings": found[:MAX_FINDINGS],
        "cut": max(0, len(found) - MAX_FINDINGS),
        "schemes": counts,
        "unknown": [one._asdict() for one in unknown],
    }


def _finding(account: str, backend: str, kind: str, name: str, grade: str, why: str, source: str) -> dict[str, t.Any]:
    return {"account": account, "backend": backend, "kind": kind, "scheme": name, "grade": grade, "why": why, "source": source}


def _count(rows: list[Stored]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.scheme or "unrecognised"] = counts.get(row.scheme or "unrecognised", 0) + 1
    return counts


def _weak(backend: str, rows: list[Stored]) -> list[dict[str, t.Any]]:
    found = []
    for row in rows:
        judged = SCHEMES.get(row.scheme)
        if judged is None:
            found.append(_finding(row.account, backend, "scheme", "unrecognised", "should", "the scheme is not known here: look at it", ""))
        elif judged.grade:
            found.append(_finding(row.account, backend, "scheme", row.scheme, judged.grade, judged.why, judged.source))
    return found


def _older(backend: str, rows: list[Stored], leaked: float) -> tuple[list[dict[str, t.Any]], list[Unknown]]:
    """Return the accounts whose password is from before the leak, and how many cannot be told."""
    found, unsure = [], []
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(leaked))
    for row in rows:
        if row.changed is None or row.changed[0] < leaked <= row.changed[1]:
            unsure.append(row.account)
        elif row.changed[1] < leaked:
            found.append(
                _finding(row.account, backend, "older_than_leak", row.scheme, "must", f"set before {when}, when hashes may have leaked", "")
            )
    some = ", ".join(sorted(unsure)[:5]) + (", …" if len(unsure) > 5 else "")
    why = f"of {len(unsure)} accounts ({some}) it is not known whether the password is from before {when}"
    return found, [Unknown("", backend, why)] if unsure else []


def _name(backend: dict[str, t.Any]) -> str:
    if backend.get("ldap"):
        return f"ldap:{backend['ldap']['base']}"
    if backend.get("query"):
        return f"sql:{(backend.get('database') or {}).get('database', '')}"
    return str(backend.get("passwd_file") or backend.get("shadow") or "backend")


def _rows(backend: dict[str, t.Any]) -> list[Stored]:
    default = backend.get("default_scheme") or "PLAIN"
    if backend.get("passwd_file"):
        return list(_passwd_file(backend["passwd_file"], default))
    if backend.get("shadow"):
        return list(_shadow(backend["shadow"]))
    if backend.get("ldap"):
        return list(_ldap(backend["ldap"], default))
    if backend.get("query") and backend.get("database"):
        rows = sql.rows(backend["database"], backend["query"])
        return [_row(row, default) for row in rows if len(row) < 2 or row[1]]  # without a password nobody logs in by it
    raise sql.SourceError("name a passwd_file, a shadow, a query with its database, or ldap")


def _row(row: tuple[t.Any, ...], default: str) -> Stored:
    if len(row) < 2:
        raise sql.SourceError(f"the query gives {len(row)} columns: login, hash and, if known, the time it was set are expected")
    stored = bytes(row[1]).decode("utf-8", "replace") if isinstance(row[1], (bytes, memoryview)) else str(row[1])
    when = epoch(row[2]) if len(row) > 2 else None
    return Stored(_login(row[0]), scheme(stored, default), None if when is None else (when, when))


def _login(text: t.Any) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))[:320]


def _passwd_file(path: str, default: str) -> t.Iterator[Stored]:
    """passwd-file of Dovecot: user:password:uid:gid:gecos:home:shell:fields; a line without a password is not for logging in."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            name, colon, rest = line.rstrip("\n").partition(":")
            if not name or name.startswith("#") or not colon:
                continue
            stored, _, others = rest.partition(":")
            if stored:
                yield Stored(_login(name), scheme(stored, default), None)
            elif re.search(r"(^|[:\s])(passdb_)?nopassword(=y\w*)?(\s|$)", others):
                yield Stored(_login(name), "NONE", None)


def _shadow(path: str) -> t.Iterator[Stored]:
    """shadow(5): name:hash:day of the last change since 1970:...; ! in front of a hash locks it and it comes back unlocked."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            name, stored, day = [*line.rstrip("\n").split(":"), "", "", ""][:3]
            kept = stored.lstrip("!")
            if not name or kept in ("*", "x") or (stored and not kept):
                continue
            when = (int(day) * _DAY, int(day) * _DAY + _DAY - 1) if day.isdigit() and 0 < int(day) < 1_000_000 else None
            yield Stored(_login(name), scheme(kept, "CRYPT") if kept else "NONE", when)


def _ldap(options: dict[str, t.Any], default: str) -> t.Iterator[Stored]:
    """userPassword (RFC 2307) and pwdChangedTime of each entry; one without a password that may be read is left out."""
    try:
        ldap = importlib.import_module("ldap")
    except ImportError as exc:
        raise sql.SourceError("python3-ldap is not there: install it on the host") from exc
    name = options.get("login_attribute") or "mail"
    try:
        server = ldap.initialize(options["uri"])
        server.set_option(ldap.OPT_NETWORK_TIMEOUT, sql.TIMEOUT)
        server.set_option(ldap.OPT_TIMEOUT, 60)
        if options.get("start_tls"):
            server.start_tls_s()
        server.simple_bind_s(options.get("bind_dn") or "", options.get("password") or "")
        wanted = [name, "userPassword", "pwdChangedTime"]
        entries = server.search_s(options["base"], ldap.SCOPE_SUBTREE, options.get("filter") or "(userPassword=*)", wanted)
        with contextlib.suppress(ldap.LDAPError):
            server.unbind_s()
    except ldap.LDAPError as exc:
        detail = exc.args[0] if exc.args and isinstance(exc.args[0], dict) else {}
        raise sql.SourceError(f"{options['uri']}: {str(detail.get('desc', type(exc).__name__))[:200]}: check the options of ldap") from None
    for dn, attributes in entries:
        login = (attributes.get(name) or [b""])[0].decode("utf-8", "replace") if dn else ""
        when = _generalized((attributes.get("pwdChangedTime") or [b""])[0].decode("ascii", "replace")) if dn else None
        for stored in attributes.get("userPassword", []) if dn else []:
            yield Stored(_login(login or dn), scheme(stored.decode("utf-8", "replace"), default), when)


def _generalized(text: str) -> tuple[float, float] | None:
    """Return a Generalized Time of RFC 4517 in UTC (20261124060000Z)."""
    match = re.match(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d+)?Z\Z", text)
    when = epoch("{}-{}-{}T{}:{}:{}+00:00".format(*match.groups())) if match else None
    return None if when is None else (when, when)


def _doveconf(run: Run) -> tuple[list[Unknown], str]:
    code, out, err = run(["doveconf", "-n"])
    if code == 127:
        return [], ""
    return ([Unknown("", "Dovecot", f"doveconf -n ended with {code}: {err.strip()[-200:]}")], "") if code else ([], out)


def _discovered(text: str, given: list[dict[str, t.Any]], unknown: list[Unknown]) -> list[dict[str, t.Any]]:
    """Return the backends that Dovecot's passdbs name and that can be read without being told how; the others become unknown."""
    whole = settings(text)
    # Measured: without a prefix 2.3 takes a crypt hash, 2.4 the password as it is.
    default = value(whole, "passdb_default_password_scheme") or ("PLAIN" if value(whole, "dovecot_config_version") else "CRYPT")
    named = {backend.get(kind) for backend in given for kind in ("passwd_file", "shadow")}
    found = []
    for match in _PASSDB.finditer(text):
        inner: list[Setting] = settings(match[2])
        driver = value(inner, "driver") or match[1].strip()
        if value(inner, "deny") == "yes":
            continue
        if driver == "passwd-file":
            words = value(inner, "args").split()
            path = value(inner, "passwd_file_path") or (words[-1] if words else "")
            given_scheme = next((word[7:] for word in words[:-1] if word.startswith("scheme=")), "")
            one = given_scheme or value(inner, "default_password_scheme") or default
            if "%" in path or not path.startswith("/"):
                unknown.append(Unknown("", f"passdb {path[:100]}", "the path depends on the login: name the files in backends"))
            elif path not in named:
                named.add(path)
                found.append({"passwd_file": path, "default_scheme": one})
        elif driver in ("pam", "shadow", "passwd", "bsdauth"):
            if "/etc/shadow" not in named:
                named.add("/etc/shadow")
                found.append({"shadow": "/etc/shadow"})
        elif not any(backend.get("query") if driver == "sql" else backend.get("ldap") for backend in given if driver in ("sql", "ldap")):
            unknown.append(Unknown("", f"passdb {driver[:50]}", "its passwords were not read: name it in backends"))
    return found

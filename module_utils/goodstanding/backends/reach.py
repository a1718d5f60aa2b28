# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a server of accounts is reached: its driver, TLS, and errors that show no secret. Standard library only, Python >= 3.9."""

from __future__ import annotations

import importlib
import typing as t

from ..host.files import HostError

#: How long a connection and each statement may take, in seconds.
TIMEOUT = 10
CA_FILE = "/etc/ssl/certs/ca-certificates.crt"


def driver(module: str, package: str) -> t.Any:
    """Return a Python library; HostError names the Debian package that has it."""
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise HostError(f"this backend needs the Python library {module} on this host: install the Debian package {package}") from exc


def is_local(host: str) -> bool:
    """Whether nothing leaves this machine on the way there: a socket (an empty host) or a loopback address."""
    return host in ("", "localhost", "::1", "[::1]") or host.startswith("127.")


def tls_of(settings: dict[str, t.Any], host: str) -> str:
    """Return verified, unverified or none; by default nothing that leaves this machine goes without TLS."""
    return str(settings.get("tls") or ("none" if is_local(host) else "verified"))


def told(exc: BaseException, secret: str | None) -> str:
    """Return what a driver said, short, on one line and without the password or a row's content."""
    first = exc.args[0] if exc.args else ""
    primary = getattr(getattr(exc, "diag", None), "message_primary", None)  # PostgreSQL's details show the whole row, hash and all
    if isinstance(first, dict):  # python-ldap
        text = f"{first.get('desc') or first} {first.get('info') or ''}"
    elif isinstance(first, int) and len(exc.args) > 1:  # PyMySQL, and errors of the system
        text = str(exc.args[1])
    else:
        text = str(primary or exc)
    text = " ".join(text.split()) or type(exc).__name__
    return (text.replace(secret, "********") if secret else text)[:400]

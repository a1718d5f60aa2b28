# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request that a list takes of the listed address itself, by HTTP: made once, from that address, on the host that has it.

Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import typing as t
import urllib.parse

from ..host.deadline import deadline
from ..mail.relay import NOT_SENT, SENT, UNKNOWN, Outcome

#: The request could be made from here.
READY = "ready"
#: An answer is read up to so many octets, and told up to so many letters.
MOST_OCTETS, MOST_LETTERS = 65_536, 400
_MOST_STEPS = 3
_TAG = re.compile(r"<[^<>]*>")


class RequestError(Exception):
    """The URL or the address cannot be used; the message says which."""


class _Place(t.NamedTuple):
    tls: bool
    host: str
    port: int
    path: str


def seen(address: str) -> Outcome:
    """Return READY where this host has the address, NOT_SENT where it does not."""
    try:
        _bound(_version(address), address).close()
    except OSError as exc:
        why = f"this host cannot send from {address} ({exc.strerror or exc}); behind NAT, ask by hand from where it is the outer address"
        return Outcome(NOT_SENT, why)
    return Outcome(READY, "")


def ask(url: str, address: str, timeout: float = 30.0, ca_file: str | None = None) -> Outcome:
    """Ask by GET from the address, and return what the list answered. timeout: seconds for each step. It is never tried again here.

    A redirect is followed on the same host alone, and never from TLS to none."""
    version, place = _version(address), _place(url)
    worst = NOT_SENT
    for _ in range(_MOST_STEPS):
        outcome, led = _step(place, version, address, timeout, ca_file)
        if led is None:
            return outcome._replace(state=worst) if outcome.state == NOT_SENT else outcome
        worst = UNKNOWN if outcome.state == UNKNOWN else worst
        following = _led(place, led)
        if following is None:
            return Outcome(worst, f"{outcome.detail}, to {_text(led)}: it is not followed to another place")
        place = following
    return Outcome(worst, f"{url} redirects on and on")


def _version(address: str) -> int:
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        raise RequestError(f"{address[:100]!r} is no address: the listed IPv4 or IPv6 address is expected") from None


def _place(url: str) -> _Place:
    try:
        parts = urllib.parse.urlsplit(url)
        tls, host, port = parts.scheme == "https", parts.hostname or "", parts.port
    except ValueError:
        parts, tls, host, port = urllib.parse.urlsplit(""), False, "", None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or re.search(r"[^!-~]", url):
        raise RequestError(f"{url[:200]!r} is no URL that can be asked: http:// or https:// with a host is expected")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Place(tls, host, port or (443 if tls else 80), path)


def _led(place: _Place, led: str) -> _Place | None:
    scheme = "https" if place.tls else "http"
    try:
        following = _place(urllib.parse.urljoin(f"{scheme}://{place.host}:{place.port}{place.path}", led))
    except (RequestError, ValueError):
        return None
    return following if following.host == place.host and (following.tls or not place.tls) else None


def _bound(version: int, address: str) -> socket.socket:
    """Return a socket that sends from the address; OSError where this host does not have it."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.bind((address, 0))
    except OSError:
        made.close()
        raise
    return made


def _step(place: _Place, version: int, address: str, timeout: float, ca_file: str | None) -> tuple[Outcome, str | None]:
    """Make one request; return (what became of it, where it is redirected to)."""
    handing = False
    where = f"{place.host}:{place.port}"
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        peer = socket.getaddrinfo(place.host, place.port, family, socket.SOCK_STREAM)[0][4]
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(_bound(version, address))
            plain.settimeout(timeout)
            plain.connect(peer)
            stack.enter_context(deadline(plain, timeout))
            connection = http.client.HTTPConnection(place.host, place.port, timeout=timeout)
            connection.sock = plain
            if place.tls:
                context = ssl.create_default_context(cafile=ca_file)
                connection.sock = stack.enter_context(context.wrap_socket(plain, server_hostname=place.host))
            handing = True
            connection.request("GET", place.path, headers={"User-Agent": "goodstanding", "Accept": "text/*", "Connection": "close"})
            answer = connection.getresponse()
            said, led = f"{where} answers HTTP {answer.status}", answer.getheader("Location")
            text = _text(answer.read(MOST_OCTETS).decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException, ValueError) as exc:
        why = getattr(exc, "verify_message", "") or getattr(exc, "strerror", "") or exc
        return Outcome(UNKNOWN if handing else NOT_SENT, f"{where}: {type(exc).__name__}: {why}"[:300]), None
    if 300 <= answer.status < 400 and led:
        # That a page has moved for good says that nothing was done; another redirect may be the way to its thanks.
        return Outcome(NOT_SENT if answer.status in (301, 308) else UNKNOWN, said), led
    # Where a server failed, it may have done what it was asked for.
    state = SENT if 200 <= answer.status < 300 else UNKNOWN if answer.status >= 500 else NOT_SENT
    return Outcome(state, f"{said}: {text}" if text else said), None


def _text(words: str) -> str:
    """Return what an answer says, without its markup, on one line and bounded: whoever runs the list wrote it."""
    plain = _TAG.sub(" ", words)
    return " ".join("".join(letter if letter.isprintable() else " " for letter in plain).split())[:MOST_LETTERS]

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch MTA-STS policies as a sender does (RFC 8461 section 3.3): certificate checked, no redirect, bounded in time and size.

Connections go to the addresses that the resolvers named, not to those of this machine's own resolver.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import socket
import ssl
import typing as t

from ..host.deadline import deadline
from .asking import Dns
from .sts import MAX_POLICY
from .sts import host as sts_host

PATH = "/.well-known/mta-sts.txt"
_AT_ONCE = 16


class Fetched(t.NamedTuple):
    """state: served, wrong (something answered, and no sender would take it) or unknown (nothing that says anything came back)."""

    state: str
    text: str = ""
    why: str = ""
    content_type: str = ""


def fetch(domain: str, addresses: t.Sequence[str], port: int = 443, timeout: float = 10.0, ca_file: str | None = None) -> Fetched:
    """Return the policy of a domain. timeout: seconds for one address, from the connection to the last octet."""
    host = sts_host(domain)
    last = Fetched("unknown", why=f"{host} has no address")
    context = ssl.create_default_context(cafile=ca_file)
    for address in addresses[:4]:
        last = _one(host, address, port, timeout, context)
        if last.state != "unknown":
            break
    return last


def _one(host: str, address: str, port: int, timeout: float, context: ssl.SSLContext) -> Fetched:
    where = f"https://{host}{PATH} at {address}"
    try:
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(socket.create_connection((address, port), timeout))
            stack.enter_context(deadline(plain, timeout))
            connection = http.client.HTTPSConnection(host, port, timeout=timeout)
            # An end without TLS's own is an answer cut off, by the watch or on the way.
            connection.sock = stack.enter_context(context.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False))
            connection.request("GET", PATH, headers={"User-Agent": "goodstanding", "Accept": "text/plain"})
            answer = connection.getresponse()
            data = answer.read(MAX_POLICY + 1)
            length = answer.getheader("Content-Length") or ""
            if length.isdigit() and len(data) < min(int(length), MAX_POLICY):
                return Fetched("unknown", why=f"{where}: the answer was cut off")
    except ssl.SSLCertVerificationError as exc:
        return Fetched("wrong", why=f"{where}: its certificate is not accepted ({exc.verify_message})")
    except (OSError, http.client.HTTPException, ValueError) as exc:
        return Fetched("unknown", why=f"{where}: no answer within {timeout:g} seconds ({type(exc).__name__})")
    if 300 <= answer.status < 400:
        return Fetched("wrong", why=f"{where} answers HTTP {answer.status}; senders follow no redirect")
    if answer.status >= 500:
        return Fetched("unknown", why=f"{where} answers HTTP {answer.status}")
    if answer.status != 200:
        return Fetched("wrong", why=f"{where} answers HTTP {answer.status}")
    if len(data) > MAX_POLICY:
        return Fetched("wrong", why=f"{where} sends more than {MAX_POLICY} octets")
    kind = (answer.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    return Fetched("served", data.decode("utf-8", "replace"), content_type=kind[:60])


def policies(dns: Dns, domains: t.Sequence[str], port: int = 443, timeout: float = 10.0, ca_file: str | None = None) -> dict[str, Fetched]:
    """Return the policy of each domain: the addresses of all policy hosts are asked for at once, then the policies are fetched."""
    dns.ask([(sts_host(domain), kind) for domain in domains for kind in ("A", "AAAA")])
    found: dict[str, Fetched] = {}
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE, "mta-sts") as pool:
        jobs = {}
        for domain in domains:
            replies = [dns.table[(sts_host(domain), kind)] for kind in ("A", "AAAA")]
            addresses = [value for reply in replies for value in reply.values]
            if addresses:
                jobs[domain] = pool.submit(fetch, domain, addresses, port, timeout, ca_file)
                continue
            failed = next((reply.why for reply in replies if not reply.known), None)
            found[domain] = Fetched("unknown" if failed else "wrong", why=failed or f"{sts_host(domain)} has no address")
        found.update({domain: job.result() for domain, job in jobs.items()})
    return found

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a resolver many questions at once (dnspython): UDP, TCP where an answer is truncated, bounded in number and time."""

from __future__ import annotations

import asyncio
import typing as t

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from .interpret import Answer

MAX_TEXT = 400


class Asker:
    """One resolver. timeout: seconds a try; tries: how often; at_once: questions under way at a time."""

    def __init__(self, resolver: str, port: int = 53, timeout: float = 3.0, tries: int = 2, at_once: int = 50) -> None:
        self.resolver, self.port, self.timeout, self.tries = resolver, port, timeout, tries
        self.gate = asyncio.Semaphore(at_once)

    async def _ask(self, name: str, kind: str) -> dns.message.Message | None:
        for _ in range(self.tries):
            query = dns.message.make_query(name, kind, use_edns=0)
            try:
                async with self.gate:
                    answer, _ = await dns.asyncquery.udp_with_fallback(query, self.resolver, port=self.port, timeout=self.timeout)
                return answer
            except (dns.exception.DNSException, OSError, EOFError):
                continue
        return None

    async def addresses(self, name: str) -> Answer:
        """Ask for the A records of a name."""
        message = await self._ask(name, "A")
        if message is None:
            return Answer("TIMEOUT")
        # A list may answer through a CNAME: every A record of the answer counts.
        found = {record.address for rrset in message.answer if rrset.rdtype == dns.rdatatype.A for record in rrset}
        ttls = [rrset.ttl for rrset in [*message.answer, *message.authority]]
        soa = next((rrset.name.to_text() for rrset in message.authority if rrset.rdtype == dns.rdatatype.SOA), None)
        return Answer(dns.rcode.to_text(message.rcode()), tuple(sorted(found)), min(ttls, default=None), soa)

    async def text(self, name: str) -> str | None:
        """Ask for the TXT records of a name; what a stranger wrote there comes back cut and without control characters."""
        message = await self._ask(name, "TXT")
        if message is None:
            return None
        texts = [
            b"".join(record.strings).decode("utf-8", "replace")
            for rrset in message.answer
            if rrset.rdtype == dns.rdatatype.TXT
            for record in rrset
        ]
        joined = " | ".join(sorted(texts))
        return "".join(char if char.isprintable() else "?" for char in joined[:MAX_TEXT]) or None


async def gather(deadline: float, jobs: list[t.Coroutine[t.Any, t.Any, t.Any]], late: t.Any) -> list[t.Any]:
    """Run the jobs together for at most deadline seconds; a job that is late has the value given."""
    if not jobs:
        return []
    tasks = [asyncio.ensure_future(job) for job in jobs]
    await asyncio.wait(tasks, timeout=max(0.0, deadline))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return [late if task.cancelled() or task.exception() else task.result() for task in tasks]

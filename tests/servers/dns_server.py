# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A name server on loopback that answers as a test wants, also wrongly, and writes down every question with its time.

It answers from tables, or asks a real resolver and hands its answer on.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import socket
import struct
import threading
import time
import typing as t

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset

#: What is sent back to one question, in order: datagrams, or seconds to wait before the next.
Reply = t.Iterable[t.Union[bytes, float]]


class Asked(t.NamedTuple):
    """A question as it came in: when (monotonic), over udp or tcp, from which port, its ID, name and type."""

    at: float
    over: str
    port: int
    number: int
    name: str
    kind: str


def _same_port(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket of one port: what is free for one may be taken for the other. port: any where 0."""
    for _ in range(50):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((address, port))
        try:
            return udp, socket.create_server(udp.getsockname())
        except OSError:
            udp.close()
    raise OSError("no port is free for both UDP and TCP")


class Server(threading.Thread):
    """answer(question, over) returns what is sent back; workers: how many questions it may work on at once."""

    def __init__(
        self, answer: t.Callable[[dns.message.Message, str], Reply], workers: int = 1, address: str = "127.0.0.1", port: int = 0
    ) -> None:
        super().__init__(daemon=True)
        self.workers = concurrent.futures.ThreadPoolExecutor(workers)
        self.answer = answer
        self.asked: list[Asked] = []
        self.address = address
        self.udp, self.tcp = _same_port(address, port)
        self.port: int = self.udp.getsockname()[1]
        self.closed = False

    def __enter__(self) -> Server:
        self.start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True
        self.tcp.close()
        with contextlib.suppress(OSError):
            self.udp.sendto(b"", (self.address, self.port))
        self.join(5)
        self.workers.shutdown(wait=True, cancel_futures=True)
        self.udp.close()

    def _note(self, data: bytes, over: str, port: int) -> dns.message.Message:
        question = dns.message.from_wire(data)
        rrset = question.question[0]
        name = rrset.name.to_text()
        self.asked.append(Asked(time.monotonic(), over, port, question.id, name, dns.rdatatype.to_text(rrset.rdtype)))
        return question

    def run(self) -> None:
        while True:
            data, peer = self.udp.recvfrom(4096)
            if self.closed:
                return
            self.workers.submit(self._reply, self._note(data, "udp", peer[1]), peer)

    def _reply(self, question: dns.message.Message, peer: tuple[str, int]) -> None:
        reply = list(self.answer(question, "udp"))
        if any(isinstance(each, float) for each in reply):
            threading.Thread(target=self._send, args=(reply, peer), daemon=True).start()
        else:
            self._send(reply, peer)

    def _send(self, reply: Reply, peer: tuple[str, int]) -> None:
        for each in reply:
            if isinstance(each, float):
                time.sleep(each)
            else:
                with contextlib.suppress(OSError):
                    self.udp.sendto(each, peer)

    def _serve_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self.tcp.accept()
                with connection, contextlib.suppress(OSError, struct.error):
                    (length,) = struct.unpack("!H", connection.recv(2))
                    for each in self.answer(self._note(connection.recv(length), "tcp", peer[1]), "tcp"):
                        if isinstance(each, bytes):
                            connection.sendall(struct.pack("!H", len(each)) + each)


class Lists:
    """Zones of lists. zones: zone to {name before it: A records}; texts: whole name to TXT; special: end of a name to what is done;
    servers: name to address of the name servers of every zone; authoritative: the answers are of one of them."""

    def __init__(
        self,
        zones: dict[str, dict[str, list[str]]],
        texts: dict[str, str] | None = None,
        special: dict[str, t.Callable[[dns.message.Message, bytes, str], Reply]] | None = None,
        ttl: int = 60,
        servers: dict[str, str] | None = None,
        authoritative: bool = False,
    ) -> None:
        self.zones, self.texts, self.special, self.ttl = zones, texts or {}, special or {}, ttl
        self.servers, self.authoritative = servers or {}, authoritative

    def __call__(self, question: dns.message.Message, over: str) -> Reply:
        right = self.right(question).to_wire(max_size=65535)
        name = question.question[0].name.to_text().lower().rstrip(".")
        for end, act in self.special.items():
            if name.endswith(end):
                return act(question, right, over)
        return [right]

    def right(self, question: dns.message.Message) -> dns.message.Message:
        """Return the answer as a sound server gives it."""
        rrset = question.question[0]
        name, kind = rrset.name.to_text().lower().rstrip("."), dns.rdatatype.to_text(rrset.rdtype)
        answer = dns.message.make_response(question, recursion_available=True)
        zone = next((zone for zone in self.zones if name == zone or name.endswith("." + zone)), None)
        if self.authoritative and zone is not None:
            answer.flags |= dns.flags.AA
        if name in self.servers and kind == "A":
            answer.answer.append(dns.rrset.from_text(rrset.name, self.ttl, "IN", "A", self.servers[name]))
            return answer
        if name == zone and kind == "NS" and self.servers:
            answer.answer.append(dns.rrset.from_text(rrset.name, self.ttl, "IN", "NS", *[f"{each}." for each in self.servers]))
            return answer
        if zone is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
            answer.authority.append(dns.rrset.from_text(".", 60, "IN", "SOA", "a.root. nstld.root. 1 1800 900 604800 86400"))
            return answer
        soa = dns.rrset.from_text(zone + ".", self.ttl, "IN", "SOA", f"ns.{zone}. h.{zone}. 1 600 300 86400 {self.ttl}")
        if name == zone and kind == "SOA":
            answer.answer.append(soa)
            return answer
        entry = name[: -len(zone) - 1]
        values = self.zones[zone].get(entry, self.zones[zone].get("*"))
        if values is None and name != zone:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        if kind == "A" and values:
            answer.answer.append(dns.rrset.from_text(rrset.name, self.ttl, "IN", "A", *values))
        elif kind == "TXT" and name in self.texts:
            text = self.texts[name].encode()
            chunks = " ".join('"' + "".join(f"\\{byte:03}" for byte in text[at : at + 250]) + '"' for at in range(0, len(text), 250))
            answer.answer.append(dns.rrset.from_text(rrset.name, self.ttl, "IN", "TXT", chunks))
        else:
            answer.authority.append(soa)
        return answer


def forward(resolver: str, port: int = 53, change: t.Callable[[dns.message.Message, dns.message.Message], Reply] | None = None) -> t.Any:
    """Return an answer function that asks a real resolver; change(question, its answer) returns what is sent back instead."""

    def answer(question: dns.message.Message, over: str) -> Reply:
        ask = dns.query.tcp if over == "tcp" else dns.query.udp
        try:
            found = ask(question, resolver, timeout=5, port=port)
        except Exception:  # silence is handed on as silence
            return []
        return change(question, found) if change else [found.to_wire(max_size=65535)]

    return answer

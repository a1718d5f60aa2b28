# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask one name server many questions at once, over UDP or TCP, and believe only what answers the question. Never recursively."""

from __future__ import annotations

import collections
import contextlib
import os
import secrets
import selectors
import socket
import struct
import time
import typing as t

from . import wire
from .tsig import Key, Verifier
from .wire import AXFR, RRset, WireError

#: Questions under way at once, per server: authoritative servers answer thousands a second, and their socket's buffer is not overrun.
_WINDOW = 64
TIMEOUT = 2.0
TRIES = 3
#: A zone that is larger is not read whole.
_MAX_RECORDS = 5_000_000


class DnsError(Exception):
    """A server did not do what was asked: what was tried, what came back, what to do."""


class Server(t.NamedTuple):
    """Where to ask. source: address to ask from, where a view is chosen by it; key: where it is chosen by a TSIG key."""

    address: str
    port: int = 53
    key: Key | None = None
    source: str = ""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return self.address if self.port == 53 else f"{host}:{self.port}"


class Reply(t.NamedTuple):
    """What came back to one question. fault: empty, or why nothing is known: timeout, unreachable, unproven ...

    rrset: of the name and type asked for; alias: where a CNAME of the name leads; soa: of the authority section.
    """

    fault: str
    rcode: int = 0
    authoritative: bool = False
    rrset: RRset | None = None
    alias: bytes | None = None
    soa: RRset | None = None
    message: wire.Message | None = None
    raw: bytes = b""


Question = tuple[bytes, int]


class Connection:
    """A TCP connection for messages with their length before them (RFC 7766 section 8)."""

    def __init__(self, server: Server, timeout: float = 10.0) -> None:
        self.server, self.timeout = server, timeout
        try:
            self._socket = socket.create_connection(
                (server.address, server.port), timeout, source_address=(server.source, 0) if server.source else None
            )
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as exc:
            raise DnsError(f"{server} cannot be reached over TCP ({exc.strerror or exc}): is it up, is TCP let through to it?") from None
        self._buffer = b""

    def send(self, message: bytes) -> None:
        self._socket.sendall(struct.pack("!H", len(message)) + message)

    def receive(self) -> bytes:
        """Return the next message; OSError where the connection ends or nothing comes."""
        (length,) = struct.unpack("!H", self._take(2))
        return self._take(length)

    def _take(self, length: int) -> bytes:
        while len(self._buffer) < length:
            more = self._socket.recv(262_144)
            if not more:
                raise ConnectionResetError("the server closed the connection")
            self._buffer += more
        taken, self._buffer = self._buffer[:length], self._buffer[length:]
        return taken

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Sent(t.NamedTuple):
    place: int
    asked: bytes
    verifier: Verifier | None
    at: float


def _message(server: Server, question: Question, recursive: bool) -> tuple[int, bytes, bytes, Verifier | None]:
    number = int.from_bytes(os.urandom(2), "big")
    asked = wire.question(*question)
    raw = wire.query(number, asked, recursive)
    if server.key is None:
        return number, asked, raw, None
    raw, mac = server.key.sign(raw)
    return number, asked, raw, server.key.verifier(mac)


def _reply(raw: bytes, question: Question, sent: _Sent) -> Reply | None:
    """Return what a message says about the question, or None where it does not answer it."""
    try:
        message = wire.read(raw)
    except WireError:
        return None
    if not message.flags & 0x8000 or message.flags & 0x7800 or message.question[:-4].lower() + message.question[-4:] != sent.asked:
        return None
    if sent.verifier is not None:
        fault = sent.verifier.check(raw, message)
        if fault:
            return Reply(f"unproven: {fault}", message.rcode, message=message, raw=raw)
    name, kind = question
    found = wire.rrsets(message.answer)
    cname = found.get((name, wire.CNAME))
    alias = wire.read_name(cname.values[0], 0)[0] if cname and kind != wire.CNAME else None
    soa = next((rrset for (_, kind_), rrset in wire.rrsets(message.authority).items() if kind_ == wire.SOA), None)
    return Reply("", message.rcode, message.authoritative, found.get((name, kind)), alias, soa, message)


def ask(
    server: Server,
    questions: t.Sequence[Question],
    *,
    tcp: bool = False,
    recursive: bool = False,
    timeout: float = TIMEOUT,
    tries: int = TRIES,
) -> list[Reply]:
    """Return a reply for each question; what is truncated over UDP is asked again over TCP."""
    replies: list[Reply | None] = [None] * len(questions)
    todo = list(range(len(questions)))
    if not tcp:
        todo = _over_udp(server, questions, replies, recursive, timeout, tries)
    if todo:
        _over_tcp(server, questions, replies, todo, recursive, timeout * tries)
    return [reply or Reply("timeout") for reply in replies]


def _over_udp(
    server: Server, questions: t.Sequence[Question], replies: list[Reply | None], recursive: bool, timeout: float, tries: int
) -> list[int]:
    """Fill in what came back over UDP; return what must be asked over TCP."""
    truncated: list[int] = []
    waiting = collections.deque((index, 0) for index in range(len(questions)))
    pending: dict[int, tuple[_Sent, int]] = {}
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock, selectors.DefaultSelector() as selector:
        try:
            if server.source:
                sock.bind((server.source, 0))
            sock.connect((server.address, server.port))
        except OSError as exc:
            replies[:] = [Reply(f"unreachable: {exc.strerror or exc}")] * len(questions)
            return []
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ)
        refused = ""
        silent = 0
        while waiting or pending:
            while waiting and len(pending) < _WINDOW:
                index, tried = waiting.popleft()
                number, asked, raw, verifier = _message(server, questions[index], recursive)
                if number in pending:
                    waiting.appendleft((index, tried))
                    continue
                try:
                    sock.send(raw)
                except OSError as exc:  # what an earlier datagram met, as "port unreachable"
                    refused = exc.strerror or str(exc)
                pending[number] = (_Sent(index, asked, verifier, time.monotonic()), tried + 1)
            selector.select(0.05)
            while True:
                try:
                    raw = sock.recv(65_535)
                except BlockingIOError:
                    break
                except OSError as exc:
                    refused = exc.strerror or str(exc)
                    continue
                entry = pending.get(int.from_bytes(raw[:2], "big"))
                if entry is None:
                    continue
                reply = _reply(raw, questions[entry[0].place], entry[0])
                if reply is None:
                    continue
                silent = 0
                del pending[int.from_bytes(raw[:2], "big")]
                if reply.message is not None and reply.message.truncated:
                    truncated.append(entry[0].place)
                else:
                    replies[entry[0].place] = reply
            now = time.monotonic()
            late = []
            for number, (sent, _) in pending.items():
                if now - sent.at < (0.3 if refused else timeout):
                    break  # they are in the order of their sending
                late.append(number)
            for number in late:
                sent, tried = pending.pop(number)
                silent += 1
                if tried < tries:
                    waiting.append((sent.place, tried))
                else:
                    replies[sent.place] = Reply(f"unreachable: {refused}" if refused else "timeout")
            # A server that is silent to two windows in a row is not asked the other ten thousand times.
            if silent > 2 * _WINDOW:
                fault = Reply(f"unreachable: {refused}" if refused else "timeout")
                for index, _ in waiting:
                    replies[index] = fault
                return truncated
    return truncated


def _over_tcp(
    server: Server, questions: t.Sequence[Question], replies: list[Reply | None], todo: list[int], recursive: bool, timeout: float
) -> None:
    """Fill in what came back over TCP, several questions under way on one connection; one that is closed early is opened again."""
    left, window = collections.deque(todo), _WINDOW // 4
    while left:
        before = len(left)
        try:
            connection = Connection(server, timeout)
        except DnsError as exc:
            fault = Reply(f"unreachable over TCP: {exc}"[:200])
            for index in left:
                replies[index] = fault
            return
        pending: dict[int, _Sent] = {}
        fault = Reply("timeout over TCP")
        with connection, contextlib.suppress(OSError):
            while left or pending:
                while left and len(pending) < window:
                    number, asked, raw, verifier = _message(server, questions[left[0]], recursive)
                    if number not in pending:
                        pending[number] = _Sent(left.popleft(), asked, verifier, 0)
                        connection.send(raw)
                raw = connection.receive()
                sent = pending.get(int.from_bytes(raw[:2], "big"))
                reply = _reply(raw, questions[sent.place], sent) if sent else None
                if sent and reply:
                    del pending[int.from_bytes(raw[:2], "big")]
                    replies[sent.place] = reply
        left.extendleft(sent.place for sent in pending.values())
        if len(left) == before and window == 1:
            for index in left:
                replies[index] = fault
            return
        # Whoever closes early takes one question at a time.
        window = 1


def transfer(server: Server, zone: bytes, timeout: float = 30.0) -> list[wire.Record]:
    """Return all records of a zone (AXFR, RFC 5936); DnsError where it is not given, or not whole and signed to its end."""
    what = f"the transfer of the zone {wire.show(zone)} from {server}"
    number = secrets.randbelow(65_536)
    raw = wire.HEADER.pack(number, 0, 1, 0, 0, 0) + wire.question(zone, AXFR)
    verifier = None
    if server.key is not None:
        raw, mac = server.key.sign(raw)
        verifier = server.key.verifier(mac)
    records: list[wire.Record] = []
    with Connection(server, timeout) as connection:
        try:
            connection.send(raw)
            while not (len(records) > 1 and records[-1].kind == wire.SOA):
                raw = connection.receive()
                message = wire.read(raw)
                if message.number != number or not message.flags & 0x8000:
                    raise WireError("the message answers another question")
                fault = verifier.check(raw, message) if verifier else ""
                if message.rcode or fault or not message.answer:
                    raise TransferError(raw, message, fault, f"{what} was not given")
                if not records and message.answer[0].kind != wire.SOA:
                    raise WireError("it does not begin with the SOA")
                records += message.answer
                if len(records) > _MAX_RECORDS:
                    raise WireError(f"it has more than {_MAX_RECORDS} records")
        except OSError as exc:
            raise DnsError(f"{what} broke off ({exc.strerror or exc}): run again") from None
        except WireError as exc:
            raise DnsError(f"{what} cannot be read: {exc}") from None
    if verifier is not None and verifier.open:
        raise DnsError(f"{what} is not signed to its end: it may be forged")
    return records[:-1]


class TransferError(DnsError):
    """A zone transfer was refused; the caller explains with what it knows."""

    def __init__(self, raw: bytes, message: wire.Message, fault: str, text: str) -> None:
        super().__init__(text)
        self.raw, self.message, self.fault = raw, message, fault

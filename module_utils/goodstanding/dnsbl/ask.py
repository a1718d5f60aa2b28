# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask one resolver many questions at once, politely. Standard library only, Python >= 3.9.

UDP from a pool of ports, each with its own random IDs; a retry leaves from another port; TCP where an answer is truncated. Each operator
of lists has a pace of its own, and all of them run side by side.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import heapq
import ipaddress
import itertools
import os
import queue
import selectors
import socket
import struct
import time
import typing as t

from .wire import QUERY, TIMEOUT, TruncatedError, WireError, parse, query

#: What a run asks: a token that comes back with the answer, and the packed question. None ends the stream.
Item = tuple[t.Any, bytes]
#: Makes an answer of a message and the question section it must repeat.
Read = t.Callable[[bytes, bytes], t.Any]
_PORTS = 8
_PORT_LIFE = 2000
_BURST = 16
_MAX_WINDOW = 128
_MIN_WINDOW = 16
_HEAD, _TAIL = QUERY


class ResolverError(Exception):
    """The resolver cannot be asked at all; the message says why."""


def system_resolver(path: str = "/etc/resolv.conf") -> str:
    """Return the first resolver of this machine (resolv.conf(5))."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            words = [line.split()[:2] for line in file.read(100_000).splitlines()]
    except OSError as exc:
        raise ResolverError(f"{path} cannot be read ({exc.strerror}): set reputation_resolver to the address of a resolver") from exc
    found = [pair[1] for pair in words if len(pair) == 2 and pair[0] == "nameserver"]
    if not found:
        raise ResolverError(f"{path} names no resolver: set reputation_resolver to the address of one")
    return found[0]


class Pace:
    """The spacing of questions to one operator: never two within interval seconds. It lasts over the streams of a run."""

    def __init__(self, per_second: float | None = None) -> None:
        self.interval = 1.0 / per_second if per_second else 0.0
        self.free_at = 0.0


class Stream:
    """The questions to one operator, taken when there is room for them."""

    def __init__(self, items: t.Iterable[Item], pace: Pace | None = None) -> None:
        self.items, self.pace = iter(items), pace or Pace()
        self.again: collections.deque[_Sent] = collections.deque()
        self.idle = False
        self.taken = 0


class _Sent:
    """A question that left by a port at a time; tries: for the how-manieth time."""

    __slots__ = ("asked", "at", "over_tcp", "port", "stream", "token", "tries")

    def __init__(self, stream: Stream, token: t.Any, asked: bytes, port: _Port, at: float) -> None:
        self.stream, self.token, self.asked, self.port, self.at = stream, token, asked, port, at
        self.tries, self.over_tcp = 1, False


class _Port:
    """One UDP socket of a source port that the kernel picks, connected, so that it hears the resolver only."""

    def __init__(self, peer: tuple[t.Any, ...], family: int) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.connect(peer)
        self.send = self.socket.send
        self.pending: dict[bytes, _Sent] = {}
        self.sent = 0
        self.retired = False


class Engine:
    """One resolver. timeout: seconds a try; tries: how often a question is asked. The figures in stats add up over all runs.

    read(message, question section) makes of a message what done() is called with; it raises what wire.parse() raises.
    """

    def __init__(self, resolver: str, port: int = 53, timeout: float = 3.0, tries: int = 2, read: Read = parse) -> None:
        self.resolver, self.port, self.timeout, self.tries, self.read = resolver, port, timeout, max(1, tries), read
        self.stats = {"questions": 0, "answers": 0, "retries": 0, "timeouts": 0, "tcp": 0, "garbage": 0}
        try:
            ipaddress.ip_address(resolver.partition("%")[0])  # getaddrinfo() takes 1.2.3 for one too
            info = socket.getaddrinfo(resolver, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
        except (OSError, OverflowError, ValueError) as exc:
            raise ResolverError(f"{resolver!r} is no address of a resolver") from exc
        self.family, self.peer = info[0], info[4]

    def run(self, streams: t.Iterable[Stream], deadline: float, done: t.Callable[[t.Any, t.Any], None]) -> None:
        """Ask until every stream is empty or time.monotonic() is past the deadline; done(token, answer) is called for each question sent.

        What is under way at the deadline comes back as TIMEOUT; what was not taken from its stream is not called back.
        """
        with contextlib.ExitStack() as stack:
            try:
                _Run(self, stack, done).until(deadline, list(streams))
            except OSError as exc:
                raise ResolverError(f"the resolver {self.resolver}, port {self.port}, cannot be reached: {exc.strerror or exc}") from exc


class _Run:
    """One call of Engine.run."""

    def __init__(self, engine: Engine, stack: contextlib.ExitStack, done: t.Callable[[t.Any, t.Any], None]) -> None:
        self.engine, self.stack, self.done, self.stats = engine, stack, done, engine.stats
        self.selector = stack.enter_context(selectors.DefaultSelector())
        stack.callback(self._close)
        self.ports = [self._open() for _ in range(_PORTS)]
        self.turn = 0
        self.window = 64.0
        self.old_ports: list[_Port] = []
        # What was lost is looked for ten times in a timeout: there is never more under way than the window.
        self.look_every = engine.timeout / 10
        self.next_look = time.monotonic() + self.look_every
        self.under_way = 0
        self.waiting: list[tuple[float, int, Stream]] = []
        self.ready: collections.deque[Stream] = collections.deque()
        self.order = itertools.count()
        self.numbers: list[bytes] = []
        self.pool: concurrent.futures.ThreadPoolExecutor | None = None
        self.tcp_done: queue.SimpleQueue[tuple[_Sent, bytes | None]] = queue.SimpleQueue()
        self.tcp_open: set[_Sent] = set()
        self.fault: OSError | None = None

    def _open(self) -> _Port:
        port = _Port(self.engine.peer, self.engine.family)
        self.selector.register(port.socket, selectors.EVENT_READ, port)
        return port

    def _close(self) -> None:
        for key in list(self.selector.get_map().values()):
            t.cast(socket.socket, key.fileobj).close()

    def until(self, deadline: float, streams: list[Stream]) -> None:
        now = time.monotonic()
        for stream in streams:
            stream.idle = False
            self._schedule(stream, now)
        while self.ready or self.waiting or self.under_way:
            now = time.monotonic()
            if now >= deadline:
                break
            while self.waiting and self.waiting[0][0] <= now:
                self.ready.append(heapq.heappop(self.waiting)[2])
            while self.ready and self.under_way < self.window:
                if not self._send(self.ready.popleft(), now):
                    break
            self._receive(self._pause(deadline))
            self._expire()
        self._give_up()
        if self.fault and not self.stats["answers"] and not isinstance(self.fault, ConnectionRefusedError):
            raise self.fault

    def _pause(self, deadline: float) -> float:
        if (self.ready and self.under_way < self.window) or not (self.under_way or self.waiting):
            return 0.0
        nexts = [deadline]
        if self.waiting:
            nexts.append(self.waiting[0][0])
        if self.under_way:
            nexts.append(self.next_look)
        return max(0.0, min(nexts) - time.monotonic())

    def _schedule(self, stream: Stream, now: float) -> None:
        if stream.pace.free_at <= now:
            self.ready.append(stream)
        else:
            heapq.heappush(self.waiting, (stream.pace.free_at, next(self.order), stream))

    def _send(self, stream: Stream, now: float) -> bool:
        """Send a stream's next question, a few of one that has no pace; False where the kernel has no room."""
        pace = stream.pace
        if pace.free_at > now:  # another stream of the same operator was faster
            self._schedule(stream, now)
            return True
        new = not stream.again
        room = self._send_new(stream, 1 if pace.interval else _BURST, now) if new else self._resend(stream.again.popleft(), now)
        if pace.interval and not stream.idle:
            pace.free_at = time.monotonic() + pace.interval
        if not room:
            self.ready.appendleft(stream)
        elif not stream.idle:
            self._schedule(stream, now)
        return room

    def _send_new(self, stream: Stream, count: int, now: float) -> bool:
        port = self._port()
        send, pending, numbers, sent = port.send, port.pending, self._numbers(), 0
        room = True
        for token, asked in itertools.islice(stream.items, count):
            number = numbers.pop()
            while number in pending:
                number = numbers.pop()
            question = _Sent(stream, token, asked, port, now)
            sent += 1
            try:
                send(number + _HEAD + asked + _TAIL)
            except (BlockingIOError, InterruptedError):
                question.tries = 0
                stream.again.append(question)
                room = False
                break
            except OSError as exc:
                self.fault = exc  # nobody listens there (said of an earlier datagram), or no room: this one ends as a timeout
            pending[number] = question
        stream.taken += sent
        stream.idle = room and sent < count
        sent -= not room
        port.sent += sent
        self.under_way += sent
        self.stats["questions"] += sent
        return room

    def _resend(self, question: _Sent, now: float) -> bool:
        if question.over_tcp:
            self._send_tcp(question)
            return True
        port = self._port()
        if port is question.port:
            port = self._port()
        number = next(number for number in iter(self._numbers().pop, None) if number not in port.pending)
        try:
            port.send(query(number, question.asked))
        except (BlockingIOError, InterruptedError):
            question.stream.again.appendleft(question)
            return False
        except OSError as exc:
            self.fault = exc
        port.pending[number] = question
        port.sent += 1
        question.port, question.at = port, now
        question.tries += 1
        self.under_way += 1
        self.stats["questions"] += 1
        return True

    def _port(self) -> _Port:
        self.turn = (self.turn + 1) % _PORTS
        port = self.ports[self.turn]
        return port if port.sent < _PORT_LIFE else self._renew(port)

    def _numbers(self) -> list[bytes]:
        """Return random IDs, many more than are wanted at once."""
        if len(self.numbers) < 10 * _BURST:
            random = os.urandom(4096)
            self.numbers = [random[at : at + 2] for at in range(0, 4096, 2)]
        return self.numbers

    def _renew(self, port: _Port) -> _Port:
        """Put a fresh port in the place of one that was used enough; the old one is heard until nothing of it is under way."""
        port.retired = True
        self.old_ports.append(port)
        self._retire(port)
        self.ports[self.ports.index(port)] = port = self._open()
        return port

    def _retire(self, port: _Port) -> None:
        if port.retired and not port.pending and port.socket.fileno() >= 0:
            self.selector.unregister(port.socket)
            port.socket.close()
            self.old_ports.remove(port)

    def _receive(self, pause: float) -> None:
        for key, _ in self.selector.select(pause):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    t.cast(socket.socket, key.fileobj).recv(4096)
                self._receive_tcp()
                continue
            port: _Port = key.data
            take, pending, done, read, answers = port.socket.recv, port.pending, self.done, self.engine.read, 0
            for _ in range(_MAX_WINDOW):
                try:
                    data = take(4096)
                except (BlockingIOError, InterruptedError):
                    break
                except OSError as exc:
                    self.fault = exc
                    continue
                sent = pending.pop(data[:2], None)
                if sent is None:
                    self.stats["garbage"] += 1
                    continue
                try:
                    answer = read(data, sent.asked)
                except TruncatedError:
                    self.under_way -= 1
                    sent.over_tcp = True
                    self._again(sent)
                    continue
                except WireError:
                    # Not an answer: the true one may still come.
                    pending[data[:2]] = sent
                    self.stats["garbage"] += 1
                    continue
                answers += 1
                if sent.tries > 1:
                    # The first try was lost: too much was under way.
                    self.window = max(_MIN_WINDOW, self.window * 0.7)
                done(sent.token, answer)
                if not pending:
                    break  # what may still be there is no answer; it waits for the next turn
            self.window = min(_MAX_WINDOW, self.window + answers * 0.2)
            self.under_way -= answers
            self.stats["answers"] += answers
            if port.retired:
                self._retire(port)

    def _again(self, sent: _Sent) -> None:
        sent.stream.again.append(sent)
        if sent.stream.idle:
            sent.stream.idle = False
            self._schedule(sent.stream, time.monotonic())

    def _expire(self) -> None:
        now = time.monotonic()
        if now < self.next_look:
            return
        self.next_look = now + self.look_every
        sent_before = now - self.engine.timeout
        for port in [*self.ports, *self.old_ports]:
            for number, sent in [pair for pair in port.pending.items() if pair[1].at <= sent_before]:
                del port.pending[number]
                self.under_way -= 1
                self._lost(sent)
            self._retire(port)

    def _lost(self, sent: _Sent) -> None:
        if sent.tries < self.engine.tries:
            self.stats["retries"] += 1
            self._again(sent)
        else:
            self.stats["timeouts"] += 1
            self.done(sent.token, TIMEOUT)

    def _send_tcp(self, sent: _Sent) -> None:
        if self.pool is None:
            self.pool = concurrent.futures.ThreadPoolExecutor(8, "dns-tcp")
            self.stack.callback(self.pool.shutdown, wait=False, cancel_futures=True)
            hear, self.wake = socket.socketpair()
            for end in (hear, self.wake):
                end.setblocking(False)
            self.stack.callback(hear.close)
            self.selector.register(hear, selectors.EVENT_READ, None)
        sent.tries += 1
        self.under_way += 1
        self.stats["tcp"] += 1
        self.stats["questions"] += 1
        self.tcp_open.add(sent)
        self.pool.submit(self._tcp, sent)

    def _tcp(self, sent: _Sent) -> None:
        data = None
        with contextlib.suppress(OSError, WireError):
            data = over_tcp(t.cast("tuple[str, int]", self.engine.peer[:2]), sent.asked, self.engine.timeout)
        self.tcp_done.put((sent, data))
        with contextlib.suppress(OSError):
            self.wake.send(b"x")

    def _receive_tcp(self) -> None:
        while not self.tcp_done.empty():
            sent, data = self.tcp_done.get()
            self.tcp_open.discard(sent)
            try:
                if data is None:
                    raise WireError
                answer = self.engine.read(data, sent.asked)
            except (WireError, TruncatedError):
                self.under_way -= 1
                self._lost(sent)
                continue
            self.under_way -= 1
            self.stats["answers"] += 1
            self.done(sent.token, answer)

    def _give_up(self) -> None:
        """Say of everything that was sent and not answered that it timed out."""
        left = [sent for port in [*self.ports, *self.old_ports] for sent in port.pending.values()]
        streams = {id(stream): stream for stream in [*self.ready, *(row[2] for row in self.waiting)]}
        left += [sent for stream in streams.values() for sent in stream.again]
        for sent in [*left, *self.tcp_open]:
            self.stats["timeouts"] += 1
            self.done(sent.token, TIMEOUT)


def over_tcp(peer: tuple[str, int], asked: bytes, timeout: float) -> bytes:
    """Ask over TCP (RFC 7766) and return the message; OSError or WireError where none came within timeout seconds."""
    end = time.monotonic() + timeout
    message = query(os.urandom(2), asked)
    with socket.create_connection(peer, timeout=timeout) as connection:
        connection.sendall(struct.pack("!H", len(message)) + message)

        def take(count: int) -> bytes:
            data = b""
            while len(data) < count:
                connection.settimeout(max(0.01, end - time.monotonic()))
                more = connection.recv(count - len(data))
                if not more or time.monotonic() > end:
                    raise WireError("the answer over TCP is cut short")
                data += more
            return data

        (length,) = struct.unpack("!H", take(2))
        data = take(length)
    if data[:2] != message[:2]:
        raise WireError("the answer over TCP has another ID")
    return data

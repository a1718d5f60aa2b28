# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand a message to a milter as Postfix does, and see what it would add. Nothing is sent. Standard library only, Python >= 3.9.

Source: the milter protocol, version 6, as libmilter (mfdef.h) and Postfix (src/milter/milter8.c) speak it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
import typing as t

#: More than this in one packet, or so many packets to one question, is no answer to our message.
_MAX_PACKET = 1 << 20
_MAX_ANSWERS = 1000
#: All steps and their "no reply" kinds may be skipped; a value may keep the blank before it (SMFIP_HDR_LEADSPC).
_STEPS = 0x1FFFFF
_ACTIONS = 0x1FF
_LEADING_SPACE = 0x100000
#: Per command: the flag by which the milter does not want it, and the one by which it does not answer it.
_FLAGS = {"C": (0x01, 0x1000), "H": (0x02, 0x2000), "M": (0x04, 0x4000), "R": (0x08, 0x8000), "T": (0x200, 0x10000),
          "L": (0x20, 0x80), "N": (0x40, 0x40000), "B": (0x10, 0x80000)}  # fmt: skip
_REFUSALS = {"t": "451 try again later", "r": "550 refused", "d": "discarded", "4": "421 connection closed"}


class MilterError(Exception):
    """The milter does not answer as one."""


class Answer(t.NamedTuple):
    """added: headers that it adds, from the top, each value with the blank before it; refused: how it refused the message, or empty."""

    added: list[tuple[str, str]]
    refused: str


def endpoint(words: str) -> tuple[str, t.Any] | None:
    """Return where a socket of Postfix's or OpenDKIM's kind is: ("unix", path), ("inet", (host, port)); None where it is neither."""
    words = words.strip()
    match = re.fullmatch(r"(?:local|unix):(/.+)|(/.+)", words)
    if match:
        return "unix", match[1] or match[2]
    match = re.fullmatch(r"inet6?:(\d+)(?:@(.+))?", words)  # OpenDKIM: port@host
    if match:
        return "inet", (_plain(match[2] or "localhost"), int(match[1]))
    match = re.fullmatch(r"inet:(.+):(\d+)", words)  # Postfix: host:port
    if match:
        return "inet", (_plain(match[1]), int(match[2]))
    return None


def _plain(host: str) -> str:
    host = host.strip("[]")
    return {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  where it listens, not we


def ask(place: tuple[str, t.Any], headers: list[tuple[str, str]], body: bytes, sender: str, login: str, patience: float = 30) -> Answer:
    """Hand a message over from 127.0.0.1 with a login. headers: values with the blank before them. MilterError, OSError where it fails."""
    with contextlib.closing(_connect(place, patience)) as stream:
        return _Session(stream, time.monotonic() + patience).message(headers, body, sender, login)


def _connect(place: tuple[str, t.Any], patience: float) -> socket.socket:
    if place[0] == "inet":
        return socket.create_connection(place[1], timeout=patience)
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.settimeout(patience)
        stream.connect(place[1])
    except OSError:
        stream.close()
        raise
    return stream


class _Session:
    def __init__(self, stream: socket.socket, deadline: float) -> None:
        self.stream, self.deadline, self.flags = stream, deadline, 0
        self.added: list[tuple[int, str, str]] = []

    def message(self, headers: list[tuple[str, str]], body: bytes, sender: str, login: str) -> Answer:
        self._write("O", struct.pack("!III", 6, _ACTIONS, _STEPS))
        kind, data = self._read()
        if kind != "O" or len(data) < 12:
            raise MilterError(f"it answered the negotiation with {kind!r}")
        self.flags = struct.unpack("!III", data[:12])[2]
        refused = self._talk(headers, body, sender, login)
        with contextlib.suppress(OSError):
            self._write("A", b"")
            self._write("Q", b"")
        added: list[tuple[str, str]] = []
        for index, name, value in self.added:
            added.insert(min(index, len(added)), (name, value))
        return Answer(added, refused)

    def _talk(self, headers: list[tuple[str, str]], body: bytes, sender: str, login: str) -> str:
        self._macros("C", j="localhost", **{"{daemon_name}": "localhost", "v": "Postfix"})
        said = self._step("C", b"localhost\0" + b"4" + struct.pack("!H", 40000) + b"127.0.0.1\0")
        said = said or self._step("H", b"localhost\0")
        self._macros("M", **{"{auth_type}": "PLAIN", "{auth_authen}": login, "{mail_addr}": sender})
        said = said or self._step("M", f"<{sender}>".encode() + b"\0")
        self._macros("R", **{"{rcpt_addr}": sender, "i": "GOODSTANDING"})
        said = said or self._step("R", f"<{sender}>".encode() + b"\0")
        self._macros("T", i="GOODSTANDING")
        said = said or self._step("T", b"")
        for name, value in headers:
            # Milters are given line feeds inside a value, and the blank before it only where they asked for it.
            value = value.replace("\r\n", "\n")
            if not self.flags & _LEADING_SPACE:
                value = value[1:] if value[:1] == " " else value
            said = said or self._step("L", name.encode() + b"\0" + value.encode("utf-8", "surrogateescape") + b"\0")
        said = said or self._step("N", b"")
        said = said or self._step("B", body)
        self._macros("E", i="GOODSTANDING")
        return said or self._end()

    def _macros(self, step: str, **values: str) -> None:
        data = "".join(f"{name}\0{value}\0" for name, value in values.items())
        self._write("D", step.encode() + data.encode("utf-8", "surrogateescape"))

    def _step(self, command: str, data: bytes) -> str:
        """Return how it refused, or an empty text."""
        unwanted, silent = _FLAGS[command]
        if self.flags & unwanted:
            return ""
        self._write(command, data)
        if self.flags & silent:
            return ""
        kind, answer = self._read()
        if kind in "cs":
            return ""
        if kind == "a":
            return "taken as it is, before it was seen whole"
        return _refusal(kind, answer)

    def _end(self) -> str:
        self._write("E", b"")
        for _ in range(_MAX_ANSWERS):
            kind, data = self._read()
            if kind in "ca":
                return ""
            if kind == "h":
                self._add(1_000_000, data)
            elif kind == "i" and len(data) > 4:
                self._add(struct.unpack("!I", data[:4])[0], data[4:])
            elif kind not in "+-m123bqp=":
                return _refusal(kind, data)
        raise MilterError(f"it answered the message with more than {_MAX_ANSWERS} packets")

    def _add(self, index: int, data: bytes) -> None:
        name, _, value = data.partition(b"\0")
        text = value.partition(b"\0")[0].decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\n", "\r\n")
        if not self.flags & _LEADING_SPACE:
            text = " " + text
        self.added.append((index, name.decode("ascii", "replace"), text))

    def _write(self, kind: str, data: bytes) -> None:
        self.stream.sendall(struct.pack("!I", len(data) + 1) + kind.encode() + data)

    def _read(self) -> tuple[str, bytes]:
        while True:
            size = struct.unpack("!I", self._exactly(4))[0]
            if not 1 <= size <= _MAX_PACKET:
                raise MilterError("what it says is no packet of a milter")
            data = self._exactly(size)
            if data[:1] != b"p":  # SMFIR_PROGRESS: it is still at work
                return data[:1].decode("latin-1"), data[1:]

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise MilterError("it did not answer in time")
            self.stream.settimeout(left)
            piece = self.stream.recv(size - len(found))
            if not piece:
                raise MilterError("it closed the connection")
            found += piece
        return found


def _refusal(kind: str, data: bytes) -> str:
    if kind == "y":
        return data.partition(b"\0")[0].decode("utf-8", "replace")[:160]
    if kind in _REFUSALS:
        return _REFUSALS[kind]
    raise MilterError(f"it answered with {kind!r}, which is no answer of a milter")

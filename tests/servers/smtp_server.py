# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small SMTP server on loopback that keeps what it took, and fails at a step on request."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socketserver
import threading


class Server(socketserver.ThreadingTCPServer):
    """answers: reply by the verb it fails at (such as {'RCPT': '550 no'}); at '.' stands the end of the data, and an answer of '' closes
    the connection without a word. taken: the messages, each with its envelope's receiver. on_data: called when a message was taken, before
    the answer."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, answers=None, on_data=None):
        super().__init__(("127.0.0.1", 0), Session)
        self.answers, self.on_data, self.taken, self.sessions = answers or {}, on_data, [], 0

    @property
    def port(self):
        return self.server_address[1]


class Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(f"{text}\r\n".encode())

    def handle(self):
        self.server.sessions += 1
        self.say("220 relay.test ESMTP")
        receiver = ""
        while line := self.rfile.readline(2000):
            verb = line.split(b":")[0].split()[0].upper().decode() if line.strip() else ""
            answer = self.server.answers.get(verb)
            if verb == "RCPT":
                receiver = line.split(b"<")[-1].split(b">")[0].decode()
            if answer is not None:
                if not answer:
                    return
                self.say(answer)
            elif verb == "DATA":
                self.say("354 go on")
                data = b""
                while (line := self.rfile.readline(100_000)) not in (b".\r\n", b""):
                    data += line
                self.server.taken.append((receiver, data))
                if self.server.on_data:
                    self.server.on_data()
                said = self.server.answers.get(".")
                if said == "":
                    return
                self.say(said or "250 2.0.0 queued as 4711")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")


def killed_behind_data(send):
    """Let another process send, kill it as soon as the message is here, and return the server, which goes on."""
    server = Server()
    process = multiprocessing.get_context("fork").Process(target=send, args=(server,), daemon=True)
    server.on_data = lambda: os.kill(process.pid, signal.SIGKILL)
    server.timeout = 30
    process.start()
    server.handle_request()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    return server


@contextlib.contextmanager
def serving(answers=None, on_data=None):
    with Server(answers, on_data) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A list that takes out the address that asks it by HTTP, as s5h does: by one GET, and by the source address alone."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
import typing as t

PATH = "/content/rblremove"
PAGE = "<html><head><title>rblremove</title></head><body><p>{address} has been <b>removed</b>.</p></body></html>"


class Server(http.server.ThreadingHTTPServer):
    """listed: addresses that are on the list; asked: (source address, path) of each request; answer: what is done in the place of the
    right thing: a status, (status, headers, body), or a function of the handler."""

    daemon_threads = True

    def __init__(self, *listed: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.listed, self.asked = set(listed), list[tuple[str, str]]()
        self.answer: t.Any = None
        self.dripped = 0
        self.url = f"http://127.0.0.1:{self.server_port}{PATH}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        address = self.client_address[0]
        self.server.asked.append((address, self.path))
        if callable(self.server.answer):
            with contextlib.suppress(OSError):
                self.server.answer(self)
            return
        status, headers, body = 404, {}, "nothing is here"
        if self.server.answer is not None:
            status, headers, body = self.server.answer if isinstance(self.server.answer, tuple) else (self.server.answer, {}, "no")
        elif self.path == PATH:
            self.server.listed.discard(address)
            status, body = 200, PAGE.format(address=address)
        self.send_response(status)
        for name, value in {"Content-Type": "text/html", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: t.Any) -> None:
        pass


def drip(handler: _Handler) -> None:
    """Send an octet now and then, for ever."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for handler.server.dripped in range(1, 101):
        handler.wfile.write(b"x")
        time.sleep(0.05)


@contextlib.contextmanager
def serving(*listed: str) -> t.Iterator[Server]:
    with Server(*listed) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()

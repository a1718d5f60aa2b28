# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a connection whose time is up. Standard library only, Python >= 3.9."""

from __future__ import annotations

import contextlib
import socket
import threading
import typing as t


@contextlib.contextmanager
def deadline(connection: socket.socket, seconds: float) -> t.Iterator[None]:
    """End the connection after so many seconds: a server that sends an octet now and then never meets a socket's own timeout."""
    with connection.dup() as guard:
        watch = threading.Timer(seconds, _cut, (guard,))
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

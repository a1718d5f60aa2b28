#!/usr/bin/python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does single acts against the lab's mail hosts, each in a session of its own, as tests/integration/scenarios.py lists them.

usage: scenarios.py < acts.json    (a list of acts; the same list with what became of each is printed as JSON)

An act has: kind (send, relay: without a login, aborted: the session ends before the message, imap: a login), host, account, secret (a wrong
one makes a failed login), source (the client's address), sender, recipients, serial.
"""

from __future__ import annotations

import concurrent.futures
import imaplib
import json
import smtplib
import socket
import subprocess
import sys
import time
import typing as t

sys.path.insert(0, "/var/lib/lab")
import outbreak

THREADS = 24
Act = dict[str, t.Any]


def send(act: Act) -> str:
    if act["kind"] == "relay":
        client = smtplib.SMTP(outbreak.HOSTS[act["host"]], 25, "client.invalid", timeout=20, source_address=(act["source"], 0))
    else:
        client = outbreak.connect(act["host"], act["source"], 587)
    with client:
        if act["kind"] != "relay":
            # smtplib's login() tries a wrong password by every mechanism.
            client.user, client.password = act["account"], act["secret"]
            client.ehlo()
            client.auth("PLAIN", client.auth_plain)
        sender, recipients = act["sender"], act["recipients"]
        if act["kind"] == "aborted":
            client.mail(sender)
            client.rcpt(recipients[0])
            client.close()
            return "aborted"
        for code, text in [client.mail(sender), *[client.rcpt(recipient) for recipient in recipients]]:
            if code != 250:
                return f"refused {code} {text.decode(errors='replace')}"
        head = f"From: {sender}\r\nTo: {recipients[0]}\r\nMessage-ID: <{act['serial']}.lab@botnet>\r\nSubject: {act['serial']}\r\n"
        code, text = client.data(head + "\r\nHello.\r\n")
        return "accepted" if code == 250 else f"refused {code} {text.decode(errors='replace')}"


class Mailbox(imaplib.IMAP4_SSL):
    """An IMAP session from one of this host's addresses, which imaplib cannot choose by itself."""

    def __init__(self, host: str, source: str) -> None:
        self.source = source
        super().__init__(host, 993, ssl_context=outbreak.TLS, timeout=20)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), timeout, (self.source, 0))
        return outbreak.TLS.wrap_socket(plain, server_hostname=self.host)


def log_in(act: Act) -> str:
    with Mailbox(outbreak.HOSTS[act["host"]], act["source"]) as mailbox:
        mailbox.login(act["account"], act["secret"])
    return "accepted"


def carry_out(act: Act) -> Act:
    """Do one act; result: accepted, refused, login_failed, aborted or the error."""
    act["begun"] = time.time()
    try:
        act["result"] = log_in(act) if act["kind"].startswith("imap") else send(act)
    except (smtplib.SMTPAuthenticationError, imaplib.IMAP4.error):
        act["result"] = "login_failed"
    except (OSError, smtplib.SMTPException) as exc:
        act["result"] = f"error: {exc!r}"
    return act


def main() -> None:
    acts: list[Act] = json.load(sys.stdin)
    for address in sorted({act["source"] for act in acts}):
        if address.startswith("198.18."):
            subprocess.run(["ip", "addr", "replace", f"{address}/32", "dev", "lo"], check=True)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        print(json.dumps(list(pool.map(carry_out, acts))))


if __name__ == "__main__":
    main()

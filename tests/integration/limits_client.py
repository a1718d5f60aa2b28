#!/usr/bin/env python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send as one login of a lab host over several connections, and print how the recipients were answered, as JSON.

limits_client.py HOST LOGIN PASSWORD MESSAGES RECIPIENTS CONNECTIONS [ABORT] [FURTHER RECIPIENT ...]
ABORT: that many messages are given up after their recipients. Standard library only.
"""

from __future__ import annotations

import collections
import contextlib
import json
import smtplib
import ssl
import sys
import threading
import time

host, login, password = sys.argv[1:4]
messages, recipients, connections, aborted = (int(word) for word in (*sys.argv[4:7], *(sys.argv[7:8] or ["0"])))
further = sys.argv[8:]
counted: collections.Counter[int] = collections.Counter()
accepted: list[float] = []
texts: dict[int, str] = {}
lock = threading.Lock()
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # of the lab
#: After so many refusals a session is given up for a new one: Postfix would slow it down (smtpd_soft_error_limit).
PATIENCE = 8
TO = [f"known{number}@dest1.world.test" for number in range(recipients)] + further


def send(number: int) -> None:
    left = messages // connections + (number < messages % connections)
    left -= session(left, aborted if number == 0 else 0)
    while left:
        left -= session(left, 0)


def session(left: int, given_up: int) -> int:
    """Send over one connection; return how many messages were sent."""
    refused = 0
    with contextlib.closing(smtplib.SMTP(host, 587, "[192.0.2.1]", timeout=120)) as client:
        client.ehlo()
        client.starttls(context=context)
        client.ehlo()
        client.login(login, password)
        for _ in range(given_up):
            client.mail(login)
            for address in TO:
                client.rcpt(address)
            client.rset()
        for sent in range(left):
            if refused == PATIENCE:
                return sent
            client.mail(login)
            code, text = 250, b""
            for address in TO:
                code, text = client.rcpt(address)
            if code == 250:
                code, text = client.data(b"Subject: limits\r\n\r\nOf the lab.\r\n")
            with lock:
                counted[code] += len(TO)
                if code == 250:
                    accepted.append(time.time())
                else:
                    texts[code] = text.decode("utf-8", "replace")
                    refused += 1
    return left


threads = [threading.Thread(target=send, args=(number,)) for number in range(connections)]
begun = time.time()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"codes": counted, "texts": texts, "seconds": (max(accepted) if accepted else time.time()) - begun}))

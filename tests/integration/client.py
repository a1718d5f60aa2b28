# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail client on the botnet's host that a test drives step by step: real sessions that stay open over what happens on the servers.

The program PROGRAM runs there and reads one JSON object a line: {"do": ..., "name": ..., ...}; it answers one a line.
"""

from __future__ import annotations

import json
import subprocess
import typing as t

from lab import ROOT

PROGRAM = r"""
import imaplib, json, smtplib, ssl, sys, threading, time
HOSTS = {"mx1": "198.51.100.11", "mx2": "198.51.100.12"}
TLS = ssl.create_default_context(); TLS.check_hostname = False; TLS.verify_mode = ssl.CERT_NONE
smtp, imap, floods = {}, {}, {}

def smtp_open(host, user, password, source="203.0.113.24", port=587):
    client = smtplib.SMTP(HOSTS[host], port, "botnet", 20, (source, 0))
    client.starttls(context=TLS); client.ehlo()
    client.user, client.password = user, password
    return client, client.auth("PLAIN", client.auth_plain)[0]

def send(client, sender, recipient="known1@dest1.world.test", size=200):
    for call in (lambda: client.mail(sender), lambda: client.rcpt(recipient), lambda: client.data(b"Subject: x\r\n\r\n" + b"x" * size)):
        code, text = call()
        if code != 250:
            client.rset()
            return code, text.decode(errors="replace")
    return 250, ""

class Flood(threading.Thread):
    # Sends over sessions that stay open, as fast as it can or with a pause; rows: (time, code) of each answer.
    def __init__(self, host, user, password, source, pause, again):
        super().__init__(daemon=True)
        self.args, self.user, self.pause, self.again = (host, user, password, source), user, pause, again
        self.rows, self.going, self.logins = [], True, 0
    def run(self):
        client = None
        while self.going:
            begun = time.time()
            try:
                if client is None:
                    client, code = smtp_open(*self.args)
                    self.logins += 1
                    if code != 235:
                        raise smtplib.SMTPAuthenticationError(code, b"")
                code, _ = send(client, self.user)
                self.rows.append((begun, time.time(), code))
            except (OSError, smtplib.SMTPException) as exc:
                self.rows.append((begun, time.time(), 0))
                client = None
                if not self.again:
                    return
                time.sleep(0.5)
            time.sleep(self.pause)

def do(act):
    name, what = act.get("name"), act["do"]
    if what == "smtp":
        client, code = smtp_open(act["host"], act["user"], act["password"], port=act.get("port", 587))
        smtp[name] = client
        return code
    if what == "send":
        return send(smtp[name], act["user"], **act.get("options", {}))
    if what == "begin":  # a message up to its recipients
        smtp[name].mail(act["user"])
        return smtp[name].rcpt("known1@dest1.world.test")[0]
    if what == "end":
        return smtp[name].data(b"Subject: x\r\n\r\nx")[0]
    if what == "imap":
        imap[name] = imaplib.IMAP4_SSL(HOSTS[act["host"]], 993, ssl_context=TLS, timeout=20)
        return imap[name].login(act["user"], act["password"])[0]
    if what == "noop":
        return imap[name].noop()[0]
    if what == "flood":
        for number in range(act["sessions"]):
            source = "203.0.113.%d" % (3 + (number + act.get("first", 0)) % 20)
            flood = Flood(act["host"], act["user"], act["password"], source, act.get("pause", 0), act.get("again", True))
            floods.setdefault(name, []).append(flood)
            flood.start()
        return len(floods[name])
    if what == "rows":
        return [[row for row in flood.rows if row[1] > act.get("since", 0)] for flood in floods[name]]
    if what == "stop":
        for flood in floods.get(name, []):
            flood.going = False
        return True
    if what == "now":
        return time.time()

for line in sys.stdin:
    try:
        answer = do(json.loads(line))
    except smtplib.SMTPResponseException as exc:
        answer = exc.smtp_code
    except (OSError, EOFError, smtplib.SMTPException, imaplib.IMAP4.error) as exc:
        answer = type(exc).__name__
    print(json.dumps(answer), flush=True)
"""


class Client:
    """The client; a context manager. Answers are codes of SMTP, words of IMAP, or the name of the exception that ended a session."""

    def __enter__(self) -> Client:
        command = [str(ROOT / "script/lab"), "exec", "botnet", "--", "python3", "-u", "-c", PROGRAM]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)

    def __call__(self, do: str, name: str = "", **rest: t.Any) -> t.Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"do": do, "name": name, **rest}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

#!/usr/bin/python3
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's outbreak, run on the botnet host: ordinary users, a guessed password, a flood over sessions held open.

usage: outbreak.py start | stop | login ACCOUNT PASSWORD HOST | session ACCOUNT HOST SECONDS   (users and flood are what start runs)

Each message's Message-ID is <serial.account-with-dots.lab@botnet>, and each act is one JSON line in /var/lib/lab/acts.jsonl:
time (epoch), kind (user or bot), host, account, serial, event (accepted, refused, lost, login, login_failed, connect_failed,
imap_alive, imap_ended), code (of SMTP, or null), text. So a test counts exactly what was accepted, from whom, and when: a 250
after the final dot is the acceptance (RFC 5321 section 4.2.5).
"""

from __future__ import annotations

import imaplib
import json
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time

ACTS = "/var/lib/lab/acts.jsonl"
VICTIM = "mallory@alpha.test"
HOSTS = {"mx1": "198.51.100.11", "mx2": "198.51.100.12"}
SESSIONS_PER_HOST = 6
RECIPIENTS = 4
FLOOD_SECONDS = 900
USERS = [f"{name}@{domain}" for domain in ("alpha.test", "beta.test") for name in ("alice", "bob", "carol", "dave", "erin")]

TLS = ssl.create_default_context()
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE

_lock = threading.Lock()
_serial = 0


def password(account: str) -> str:
    return "pw-" + account.replace("@", "-")


def act(kind: str, host: str, account: str, event: str, serial: int | None = None, code: int | None = None, text: str = "") -> None:
    line = {"time": time.time(), "kind": kind, "host": host, "account": account, "serial": serial, "event": event}
    line.update(code=code, text=text[:200])
    with _lock, open(ACTS, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def next_serial() -> int:
    global _serial
    with _lock:
        _serial += 1
        return int(time.time()) * 100000 + _serial % 100000


def connect(host: str, source: str, port: int) -> smtplib.SMTP:
    if port == 465:
        return smtplib.SMTP_SSL(HOSTS[host], 465, "client.invalid", timeout=20, context=TLS, source_address=(source, 0))
    client = smtplib.SMTP(HOSTS[host], 587, "client.invalid", timeout=20, source_address=(source, 0))
    client.starttls(context=TLS)
    return client


def send(client: smtplib.SMTP, account: str, serial: int, recipients: list[str]) -> tuple[int, str]:
    """Send one message; return the code and text of the first refusal, or of the acceptance after the final dot."""
    message_id = f"<{serial}.{account.replace('@', '.')}.lab@botnet>"
    steps = [client.mail(account)]
    steps += [client.rcpt(recipient) for recipient in recipients] if steps[0][0] == 250 else []
    for code, text in steps:
        if code != 250:
            client.rset()
            return code, text.decode(errors="replace")
    head = {"From": account, "To": recipients[0], "Message-ID": message_id, "Subject": serial, "X-Lab": f"{account} {serial}"}
    body = "".join(f"{name}: {value}\r\n" for name, value in head.items()) + "\r\nHello.\r\n"
    code, text = client.data(body)
    return code, text.decode(errors="replace")


def mail_loop(kind: str, host: str, account: str, source: str, port: int, pause: float, until: float) -> None:
    """Send over one session that is held open; a bot starts a new message each time, a user repeats until it is accepted."""
    client: smtplib.SMTP | None = None
    serial = next_serial()
    while time.time() < until:
        try:
            if client is None:
                client = connect(host, source, port)
                client.login(account, password(account))
                act(kind, host, account, "login")
            recipients = recipients_of(kind, serial)
            code, text = send(client, account, serial, recipients)
            act(kind, host, account, "accepted" if code == 250 else "refused", serial, code, text)
            if code == 250 or kind == "bot":
                serial = next_serial()
        except smtplib.SMTPAuthenticationError as exc:
            act(kind, host, account, "login_failed", None, exc.smtp_code, str(exc.smtp_error))
            client = None
            time.sleep(2)
        except (OSError, smtplib.SMTPException) as exc:
            act(kind, host, account, "lost" if client is not None else "connect_failed", serial, None, repr(exc))
            client = None
            time.sleep(1)
        time.sleep(pause)


def recipients_of(kind: str, serial: int) -> list[str]:
    if kind == "user":
        return [f"known{serial % 50}@dest{serial % 7}.world.test"]
    domains = ["dest1.world.test", "outlook.world.test", "dest2.world.test", "dest3.world.test"]
    names = [f"known{serial % 50}", f"guess{serial % 1000}", f"known{serial % 49}", f"nobody{serial % 1000}"]
    return [f"{name}@{domains[(index + serial) % 4]}" for index, name in enumerate(names)][:RECIPIENTS]


def users() -> None:
    until = time.time() + FLOOD_SECONDS + 120
    threads = []
    for index, account in enumerate(USERS):
        host = "mx1" if index % 2 else "mx2"
        args = ("user", host, account, f"203.0.113.{30 + index % 10}", 587 if index % 3 else 465, 3.0, until)
        threads.append(threading.Thread(target=mail_loop, args=args, daemon=True))
    run(threads)


def flood() -> None:
    until = time.time() + FLOOD_SECONDS
    threads = []
    for host in HOSTS:
        for index in range(SESSIONS_PER_HOST):
            source = f"203.0.113.{3 + index + (SESSIONS_PER_HOST if host == 'mx2' else 0)}"
            args = ("bot", host, VICTIM, source, 465 if index == 0 else 587, 0.7, until)
            threads.append(threading.Thread(target=mail_loop, args=args, daemon=True))
        threads.append(threading.Thread(target=imap_loop, args=(host, VICTIM, until), daemon=True))
    run(threads)


def imap_loop(host: str, account: str, until: float) -> None:
    """Hold one IMAP session open, as who reads a stolen mailbox does, until the server ends it."""
    try:
        with imaplib.IMAP4_SSL(HOSTS[host], 993, ssl_context=TLS) as mailbox:
            mailbox.login(account, password(account))
            while time.time() < until:
                mailbox.noop()
                act("bot", host, account, "imap_alive")
                time.sleep(1)
    except (OSError, imaplib.IMAP4.error) as exc:
        act("bot", host, account, "imap_ended", None, None, repr(exc))


def run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join()


def crack() -> None:
    """Try passwords from several addresses at once until one is right; the servers slow each wrong one down."""
    threads = [threading.Thread(target=guess, args=(number,), daemon=True) for number in range(16)]
    run(threads)
    with connect("mx1", "203.0.113.23", 587) as client:
        client.login(VICTIM, password(VICTIM))
        act("bot", "mx1", VICTIM, "login")


def guess(number: int) -> None:
    host = "mx1" if number % 2 else "mx2"
    try:
        with connect(host, f"203.0.113.{15 + number % 8}", 587) as client:
            client.login(VICTIM, f"guess{number}")
    except smtplib.SMTPAuthenticationError as exc:
        act("bot", host, VICTIM, "login_failed", None, exc.smtp_code, "guess")
    except (OSError, smtplib.SMTPException):
        act("bot", host, VICTIM, "connect_failed")


def count(kind: str, event: str) -> int:
    try:
        with open(ACTS, encoding="utf-8") as file:
            return sum(1 for line in file if f'"kind": "{kind}"' in line and f'"event": "{event}"' in line)
    except FileNotFoundError:
        return 0


def start_unit(name: str) -> None:
    subprocess.run(["systemctl", "reset-failed", f"lab-{name}"], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["systemd-run", "--quiet", "--collect", f"--unit=lab-{name}", __file__, name], check=True)


def wait_for(what: str, condition: object, seconds: int) -> None:
    deadline = time.time() + seconds
    while not condition():  # type: ignore[operator]
        if time.time() > deadline:
            sys.exit(f"outbreak: {what} did not happen within {seconds} s; see {ACTS}")
        time.sleep(0.5)


def start() -> None:
    start_unit("users")
    wait_for("ordinary mail", lambda: count("user", "accepted") >= 10, 60)
    crack()
    start_unit("flood")
    wait_for("the flood", lambda: count("bot", "accepted") >= 150, 120)


def stop() -> None:
    subprocess.run(["systemctl", "stop", "lab-flood", "lab-users"], stderr=subprocess.DEVNULL, check=False)


def session(account: str, host: str, seconds: str) -> None:
    """Send over one session for some seconds."""
    mail_loop("bot", host, account, "203.0.113.24", 587, 0.5, time.time() + int(seconds))


def login(account: str, secret: str, host: str) -> None:
    """Print as JSON whether an account can send by SMTP and read by IMAP on a host: accepted, refused or an error."""
    found = {"smtp": "accepted", "imap": "accepted"}
    try:
        with connect(host, "203.0.113.24", 587) as client:
            client.login(account, secret)
            code, text = send(client, account, next_serial(), ["known1@dest1.world.test"])
            if code != 250:
                found["smtp"] = f"refused at {code} {text}"
    except smtplib.SMTPAuthenticationError:
        found["smtp"] = "refused"
    except (OSError, smtplib.SMTPException) as exc:
        found["smtp"] = f"error: {exc!r}"
    try:
        with imaplib.IMAP4_SSL(HOSTS[host], 993, ssl_context=TLS) as mailbox:
            mailbox.login(account, secret)
    except imaplib.IMAP4.error as exc:
        found["imap"] = "refused" if "AUTHENTICATIONFAILED" in str(exc) else f"error: {exc!r}"
    except OSError as exc:
        found["imap"] = f"error: {exc!r}"
    print(json.dumps(found))


if __name__ == "__main__":
    socket.setdefaulttimeout(60)
    {"users": users, "flood": flood, "start": start, "stop": stop, "login": login, "session": session}[sys.argv[1]](*sys.argv[2:])

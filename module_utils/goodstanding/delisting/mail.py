# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request by mail, through the relay that the inventory names: handed over once, or it is known that it was not."""

from __future__ import annotations

import email.message
import email.policy
import email.utils
import re
import smtplib
import ssl
import typing as t

SENT, NOT_SENT, UNKNOWN = "sent", "not_sent", "unknown"
#: Seconds for each answer of the relay.
PATIENCE = 30.0
_ADDRESS = re.compile(r"[^\s@<>,;:\"()\\]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?\Z")


class MailError(Exception):
    """The relay's settings or an address cannot be used; the message says which."""


class Relay(t.NamedTuple):
    """tls: starttls, tls (from the first octet on) or none; sender: the address that an answer goes to."""

    host: str
    sender: str
    port: int = 587
    tls: str = "starttls"
    user: str = ""
    password: str = ""
    ca_file: str | None = None


class Outcome(t.NamedTuple):
    """state: SENT, the relay took it; NOT_SENT, it certainly did not; UNKNOWN, it may have. detail: what the relay said."""

    state: str
    detail: str


def relay(given: t.Mapping[str, t.Any]) -> Relay:
    """Return the relay of the inventory's delisting_relay. MailError where it is wrong; a password reaches no message."""
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        raise MailError("delisting_relay is not set: name the relay that mails the request (host, sender), or send the text yourself")
    unknown = sorted(set(given) - set(Relay._fields))
    if unknown:
        raise MailError(f"delisting_relay has {', '.join(unknown)}: known are {', '.join(Relay._fields)}")
    missing = [name for name in ("host", "sender") if not given.get(name)]
    if missing:
        raise MailError(f"delisting_relay lacks {' and '.join(missing)}")
    found = Relay(**{**given, "port": int(given.get("port") or 587)})
    if found.tls not in ("starttls", "tls", "none"):
        raise MailError(f"delisting_relay.tls is {found.tls!r}: it is starttls, tls or none")
    if found.user and found.tls == "none":
        raise MailError("delisting_relay has a user and no TLS: a password is not sent in the clear")
    checked(found.sender, "delisting_relay.sender")
    return found


def checked(address: str, where: str) -> str:
    """Return a mail address that is one."""
    if not _ADDRESS.match(address):
        raise MailError(f"{where} is {address[:100]!r}: a mail address such as postmaster@example.com is expected")
    return address


def message(of: Relay, receiver: str, subject: str, text: str, now: float) -> email.message.EmailMessage:
    """Return the message, with its Message-ID."""
    made = email.message.EmailMessage(email.policy.SMTP)
    made["From"], made["To"], made["Subject"] = of.sender, checked(receiver, "the operator's address"), subject
    made["Date"] = email.utils.formatdate(now)
    made["Message-ID"] = email.utils.make_msgid("delisting", of.sender.rpartition("@")[2])
    made["Auto-Submitted"] = "no"
    made.set_content(text)
    return made


def send(of: Relay, made: email.message.EmailMessage) -> Outcome:
    """Hand a message to the relay, once. It is never tried again here."""
    handing = False
    server: smtplib.SMTP | None = None
    try:
        context = ssl.create_default_context(cafile=of.ca_file)
        if of.tls == "tls":
            server = smtplib.SMTP_SSL(of.host, of.port, timeout=PATIENCE, context=context)
        else:
            server = smtplib.SMTP(of.host, of.port, timeout=PATIENCE)
        if of.tls == "starttls":
            server.starttls(context=context)
        if of.user:
            server.login(of.user, of.password)
        server.ehlo_or_helo_if_needed()
        for code, said in (server.mail(of.sender), server.rcpt(str(made["To"]))):
            if code // 100 != 2:
                return Outcome(NOT_SENT, _said(code, said))
        handing = True
        code, said = server.data(made.as_bytes())
        return Outcome(SENT if code // 100 == 2 else NOT_SENT, _said(code, said))
    except smtplib.SMTPAuthenticationError as exc:
        return Outcome(NOT_SENT, f"the relay {of.host} refused the login ({exc.smtp_code})")
    except smtplib.SMTPDataError as exc:  # the answer to DATA itself
        return Outcome(NOT_SENT, _said(exc.smtp_code, exc.smtp_error))
    except (OSError, smtplib.SMTPException, ValueError) as exc:
        text = f"{of.host}:{of.port}: {type(exc).__name__}: {exc}"[:300]
        return Outcome(UNKNOWN if handing else NOT_SENT, text)
    finally:
        if server is not None:
            server.close()


def _said(code: int, said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return f"{code} {' '.join(text.split())}"[:300]

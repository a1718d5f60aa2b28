# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A message through the relay that the inventory names: handed over once, or it is known that it was not."""

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
#: Seconds for the text and the answer to it: a relay may filter before it answers (RFC 5321, section 4.5.3.2.6).
PATIENCE_TEXT = 600.0
#: Lines and bytes as each relay takes them, whether or not it knows 8BITMIME.
_POLICY = email.policy.SMTP.clone(cte_type="7bit")
MAX_SUBJECT = 200
#: The relay in a module's argument_spec.
OPTIONS: dict[str, dict[str, t.Any]] = {
    **{name: {"type": "str"} for name in ("host", "sender", "user")},
    "port": {"type": "int"},
    "tls": {"type": "str", "choices": ["starttls", "tls", "none"]},
    "password": {"type": "str", "no_log": True},
    "ca_file": {"type": "path"},
}
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


def read(given: t.Mapping[str, t.Any], name: str) -> Relay:
    """Return the relay of the inventory's variable of that name. MailError where it is wrong; a password reaches no message."""
    given = {key: value for key, value in given.items() if value is not None}
    if not given:
        raise MailError(f"{name} is not set: name the relay that takes the mail (host, sender), or send the text yourself")
    unknown = sorted(set(given) - set(Relay._fields))
    if unknown:
        raise MailError(f"{name} has {', '.join(unknown)}: known are {', '.join(Relay._fields)}")
    missing = [each for each in ("host", "sender") if not given.get(each)]
    if missing:
        raise MailError(f"{name} lacks {' and '.join(missing)}")
    found = Relay(**{**given, "port": int(given.get("port") or 587)})
    if found.tls not in ("starttls", "tls", "none"):
        raise MailError(f"{name}.tls is {found.tls!r}: it is starttls, tls or none")
    if found.user and found.tls == "none":
        raise MailError(f"{name} has a user and no TLS: a password is not sent in the clear")
    checked(found.sender, f"{name}.sender")
    return found


def checked(address: str, where: str) -> str:
    """Return a mail address that is one."""
    if not _ADDRESS.match(address):
        raise MailError(f"{where} is {address[:100]!r}: a mail address such as postmaster@example.com is expected")
    return address


def line(text: str) -> str:
    """Return a text as a header takes it: one line, whoever wrote it, and not too long."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:MAX_SUBJECT]


def message(
    of: Relay, receiver: str, subject: str, text: str, now: float, message_id: str = "", automatic: bool = False
) -> email.message.EmailMessage:
    """Return the message. message_id: its Message-ID, a new one where not given; automatic: no person had it sent (RFC 3834)."""
    made = email.message.EmailMessage(_POLICY)
    made["From"], made["To"], made["Subject"] = of.sender, checked(receiver, "the receiver"), line(subject)
    made["Date"] = email.utils.formatdate(now)
    made["Message-ID"] = message_id or email.utils.make_msgid("delisting", of.sender.rpartition("@")[2])
    made["Auto-Submitted"] = "auto-generated" if automatic else "no"
    made.set_content(text.encode("utf-8", "replace").decode())
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
        if server.sock:
            server.sock.settimeout(PATIENCE_TEXT)
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

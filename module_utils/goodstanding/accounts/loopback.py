# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask this host's own smtpd over loopback; no message is ever sent. Standard library only, Python >= 3.9."""

from __future__ import annotations

import contextlib
import functools
import smtplib
import ssl
import typing as t

from ..host.files import Run, must
from . import postfix_conf, sessions

ADDRESS = "127.0.0.1"
#: What we say in EHLO (RFC 5321 section 4.1.3): a bare localhost is refused by reject_non_fqdn_helo_hostname.
HELO = f"[{ADDRESS}]"
#: Where a login comes from that is to fail: Dovecot delays the next logins of an address, and webmail comes from ADDRESS (auth penalty).
STRANGER = "127.83.71.{}"
TIMEOUT = 20


class Port(t.NamedTuple):
    """A port of smtpd. wrapped: TLS begins at once (smtpd_tls_wrappermode); logins: it offers AUTH by Dovecot."""

    number: int
    wrapped: bool
    logins: bool


def ports(run: Run) -> list[Port]:
    """Return the ports on which smtpd listens."""
    advice = "Postfix's configuration cannot be read"
    services = must(run, ["postconf", "-M"], advice)
    wanted = ("smtpd_sasl_auth_enable", "smtpd_tls_wrappermode", "smtpd_sasl_type")
    effective = postfix_conf.effective(services, must(run, ["postconf", "-P"], advice), must(run, ["postconf", *wanted], advice))
    found = []
    for line in services.splitlines():
        fields = line.split()
        values = effective.get(f"{fields[0]}/{fields[1]}") if len(fields) > 7 else None
        if values is not None:
            logins = values["smtpd_sasl_auth_enable"] == "yes" and values["smtpd_sasl_type"] == "dovecot"
            found += [Port(number, values["smtpd_tls_wrappermode"] == "yes", logins) for number in sorted(sessions.smtpd_ports(line))]
    return found


def recipient_of(run: Run, folder: str = "/etc/postfix") -> str:
    """Return an address of this host by the main.cf in a folder. Not the bare postmaster: smtpd takes that one without any restriction
    (RFC 5321 section 4.5.1)."""
    return "postmaster@" + must(run, ["postconf", "-c", folder, "-h", "-x", "myhostname"], "main.cf cannot be read").strip()


def tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # this host's own, by its address
    return context


def connect(port: Port, source: str = ADDRESS) -> smtplib.SMTP:
    """Return a session after EHLO, in TLS where the port offers it. OSError, smtplib.SMTPException where there is none."""
    options: dict[str, t.Any] = {"local_hostname": HELO, "timeout": TIMEOUT, "source_address": (source, 0)}
    kind: t.Any = functools.partial(smtplib.SMTP_SSL, context=tls()) if port.wrapped else smtplib.SMTP
    client: smtplib.SMTP = kind(ADDRESS, port.number, **options)
    try:
        client.ehlo()
        if not port.wrapped and client.has_extn("starttls"):
            client.starttls(context=tls())
            client.ehlo()
    except BaseException:
        client.close()
        raise
    return client


def ask(client: smtplib.SMTP, recipient: str) -> tuple[int, str]:
    """Return how a session answers a recipient of mail without a sender."""
    code, text = client.mail("")
    if code == 250:
        code, text = client.rcpt(recipient)
    client.rset()
    return code, words(text)


def words(text: bytes | str) -> str:
    return (text.decode("utf-8", "replace") if isinstance(text, bytes) else text)[:160]


def answers(run: Run) -> dict[int, int]:
    """Return per port with which code it answers a recipient of this host; a port that does not answer is left out."""
    found, recipient = {}, recipient_of(run)
    for port in ports(run):
        with contextlib.suppress(OSError, smtplib.SMTPException), contextlib.closing(connect(port)) as client:
            found[port.number] = ask(client, recipient)[0]
    return found

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is an account that exceeds its sending limit refused? A login of our own tries it. Standard library only, Python >= 3.9.

It is the canary of accounts/proof.py: a login for the seconds of the proof, from loopback alone, without a mailbox. Its limit is a few
recipients a minute (policy.CANARY_RECIPIENTS). What is taken from it goes to Postfix's discard service (access(5), FILTER), in the map
that holds the locks: no message leaves the queue, and every milter and policy service is asked as for anybody.
"""

from __future__ import annotations

import contextlib
import smtplib
import typing as t

from ..accounts import dovecot_conf, loopback, plumbing, postfix_conf, proof
from ..host.files import File, Run, read_text, write_file
from .engine import MARK
from .policy import CANARY_RECIPIENTS

#: After so many messages with one recipient each the account is not limited. Twice the limit: an engine may see a message only afterwards.
TRIES = 2 * CANARY_RECIPIENTS + 2
_ENTRY = f"{dovecot_conf.CANARY} FILTER discard:goodstanding\n"

Answer = dict[str, str]


def ask(run: Run) -> Answer:
    """Return state (refused as it must be, accepted beyond the limit, unknown) and why."""
    ports = [port for port in loopback.ports(run) if port.logins]
    if plumbing.dovecot_version(run) is None or not ports:
        return _unknown("no smtpd of this host offers AUTH over Dovecot, which could know a test account")
    if plumbing.unguarded(run) or read_text(dovecot_conf.CANARY_FILE) is None:
        return _unknown("the lock's plumbing, by which a test account is let in, is not in place: run playbooks/harden.yml")
    if run(["postconf", "-M", "discard/unix"])[1].strip() == "":
        return _unknown("master.cf has no service discard, to which a test account's mail goes")
    recipient = loopback.recipient_of(run)
    with proof.login_for_a_moment() as secret, _discarded(run):
        answers = {port.number: _try(port, secret, recipient) for port in ports}
    for state in ("accepted", "unknown"):
        found = [f"port {number}: {why}" for number, (said, why) in answers.items() if said == state]
        if found:
            return {"state": state, "why": "; ".join(found)[:300]}
    return {"state": "refused", "why": ""}


def _unknown(why: str) -> Answer:
    return {"state": "unknown", "why": why}


@contextlib.contextmanager
def _discarded(run: Run) -> t.Iterator[None]:
    """Let the mail of the canary go nowhere."""
    source = plumbing.MAP_SOURCE
    before = read_text(source) or postfix_conf.MAP_HEAD
    before = "".join(line for line in before.splitlines(keepends=True) if line != _ENTRY)  # of a proof that was killed
    try:
        write_file(File(source, before + _ENTRY))
        plumbing.make_map(run, source)
        yield
    finally:
        write_file(File(source, before))
        plumbing.make_map(run, source)


def _try(port: loopback.Port, secret: str, recipient: str) -> tuple[str, str]:
    """Send until a message is refused; return the state and why."""
    client, said = proof.log_in(port, secret)
    if client is None:
        return "unknown", f"the test account was not let in: {said}"
    with contextlib.closing(client):
        for sent in range(TRIES):
            code, text = _send(client, recipient)
            if MARK in text:
                return "refused", ""
            if code != 250:
                return "unknown", f"message {sent + 1} was answered {code} {text}"
    return "accepted", f"{TRIES} recipients were taken in a minute, its limit is {CANARY_RECIPIENTS}"


def _send(client: smtplib.SMTP, recipient: str) -> tuple[int, str]:
    """Return the answer to the recipient where it was refused, else to the message."""
    try:
        code, text = client.mail("")
        if code == 250:
            code, text = client.rcpt(recipient)
        if code == 250:
            code, text = client.data(b"Subject: trial of a sending limit\r\n\r\nThis message is discarded.\r\n")
        if code != 250:
            client.rset()
        return code, loopback.words(text)
    except smtplib.SMTPResponseException as exc:  # to DATA
        return exc.smtp_code, loopback.words(exc.smtp_error)
    except (OSError, smtplib.SMTPException) as exc:
        return 0, type(exc).__name__

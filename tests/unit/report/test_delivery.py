# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report by mail: once, whole or as a summary, and nothing in it that a stranger made a header of."""

from __future__ import annotations

import datetime
import email
import email.policy
import ipaddress
import ssl
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from goodstanding_src.library import incident_report
from goodstanding_src.module_utils.goodstanding.mail import relay
from goodstanding_src.module_utils.goodstanding.report import delivery
from goodstanding_src.module_utils.goodstanding.store import database, mails

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / name) for name in ("page", "servers")]
import smtp_server  # noqa: E402

import reports  # noqa: E402  a folder of tests, no package

TEMPLATE = str(Path(__file__).resolve().parents[3] / "roles/report/templates/report.html.j2")
LATER = reports.NOW + 3600


@pytest.fixture
def mail(tmp_path):
    """Return what mails a document through a server, as the module does."""

    def run(server, document=None, now=reports.NOW, **given):
        of = {"host": "127.0.0.1", "port": server.port, "tls": "none", "sender": "reports@example.com", **given.pop("relay", {})}
        p = {
            "findings": document or reports.demo(), "relay": of, "template": TEMPLATE, "mail_redact": True,
            "mail_to": "admin@example.org", "state_url": f"sqlite:///{tmp_path}/store.db", **given,
        }  # fmt: skip
        return incident_report.mail(p, "/srv/reports/r1/report.html", now)

    return run


def rows(tmp_path):
    with database.open_store(f"sqlite:///{tmp_path}/store.db").connect() as connection:
        return [(row.state, row.detail) for row in connection.execute(mails.MAILS.select())]


def read(server):
    ((receiver, data),) = server.taken
    assert receiver == "admin@example.org"
    assert data.isascii(), "as each relay takes it"
    assert max(map(len, data.splitlines())) <= 998
    return email.message_from_bytes(data, policy=email.policy.default)


def test_the_summary_is_the_text_and_the_page_is_attached_both_redacted(mail):
    with smtp_server.serving() as server:
        result = mail(server)
    message = read(server)
    assert result["state"] == "sent"
    assert (message["Message-ID"], message["From"], message["To"]) == (result["message_id"], "reports@example.com", "admin@example.org")
    assert message["Message-ID"].startswith("<report.20261124060000.")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Subject"].startswith("Good Standing: Findings: m…@alpha.test was broken into and is locked on every host")
    text = message.get_body(("plain",)).get_content().rstrip()
    assert text.startswith("## 🟠 Good Standing: Findings")
    assert text.endswith("The page is attached; on the controller it is /srv/reports/r1/report.html")
    (page,) = message.iter_attachments()
    assert (page.get_content_type(), page.get_filename()) == ("text/html", "report-20261124T060000Z-15117.html")
    assert page.get_content().startswith("<!DOCTYPE html>")
    assert "mallory" not in text + page.get_content() + str(message)


def test_who_asks_for_it_gets_the_names(mail):
    with smtp_server.serving() as server:
        mail(server, mail_redact=False)
    message = read(server)
    assert "mallory@alpha.test" in message["Subject"]
    assert all("mallory@alpha.test" in part.get_content() for part in message.walk() if not part.is_multipart())


def test_a_page_that_is_too_large_stays_where_it_is_and_that_is_said(mail, monkeypatch):
    monkeypatch.setattr(delivery, "MAX_PAGE", 50_000)
    with smtp_server.serving() as server:
        mail(server)
    message = read(server)
    assert list(message.iter_attachments()) == []
    assert (
        message.get_content()
        .rstrip()
        .endswith("The page has 0.1 MB and is not attached; on the controller it is /srv/reports/r1/report.html")
    )


def test_a_relay_may_filter_before_it_answers(mail, monkeypatch):
    monkeypatch.setattr(relay, "PATIENCE", 0.3)
    with smtp_server.serving(on_data=lambda: time.sleep(1)) as server:
        assert mail(server)["state"] == "sent"


@pytest.mark.parametrize("mail_redact", [True, False])
def test_no_name_makes_a_header(mail, mail_redact):
    document = reports.hostile()
    evil = "x@y.test\r\nBcc: victim@bank.test\r\n\r\n<script>\u2028\ud800"
    for row in document["accounts"]:
        row["account"] = evil
    document["hosts"][0]["host"] = document["run"]["inventory"] = evil
    with smtp_server.serving() as server:
        mail(server, document, mail_redact=mail_redact)
    message = read(server)
    assert "Bcc" not in message
    assert len(message["Subject"]) <= relay.MAX_SUBJECT
    assert sorted(message.keys()) == sorted(
        ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type")
    )
    assert "x@y.test" not in str(message["To"])


@pytest.mark.parametrize("receiver", ["admin", "a@b.test\nBcc: c@d.test", "a@b.test, c@d.test"])
def test_a_receiver_that_is_none_is_named_and_nothing_is_recorded(mail, tmp_path, receiver):
    with smtp_server.serving() as server, pytest.raises(relay.MailError, match="report_mail_to is 'a"):
        mail(server, mail_to=receiver)
    assert (server.sessions, (tmp_path / "store.db").exists()) == (0, False)


def test_a_relay_that_is_wrong_is_named_by_its_variable(mail):
    with smtp_server.serving() as server, pytest.raises(relay.MailError, match=r"report_relay has a user and no TLS") as caught:
        mail(server, relay={"user": "u", "password": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_the_same_report_goes_once_and_another_one_goes_too(mail, tmp_path):
    document = reports.demo()
    with smtp_server.serving() as server:
        first = mail(server, document)
        # The same findings once more, later, under another name and in another mode.
        again = reports.demo()
        again["run"].update(id="another-name", mode="observe", finished="2026-11-24T09:00:00.000000Z")
        again["open_points"] = []
        second = mail(server, again, LATER)
        assert (first["state"], second["state"]) == ("sent", "earlier")
        assert first["message_id"] == second["message_id"]
        assert "mailed 2026-11-24T06:00:00Z: 250 2.0.0 queued as 4711" in second["detail"]
        assert len(server.taken) == 1
        document["accounts"][0]["state"] = "not_contained"
        assert mail(server, document, LATER)["state"] == "sent"
        assert mail(server, mail_to="other@example.org")["state"] == "sent"
    assert len({email.message_from_bytes(data)["Message-ID"] for _, data in server.taken}) == 3
    assert [state for state, _ in rows(tmp_path)] == ["sent"] * 3


@pytest.mark.parametrize(
    "answers",
    [{"MAIL": "451 later"}, {"RCPT": "550 5.1.1 no such user"}, {"DATA": "554 no"}, {".": "552 too large"}, {"EHLO": "", "HELO": ""}],
)
def test_what_the_relay_certainly_refused_goes_the_next_time(mail, tmp_path, answers):
    with smtp_server.serving(answers) as server:
        result = mail(server)
    assert result["state"] == "not_sent"
    assert rows(tmp_path) == []
    with smtp_server.serving() as server:
        assert mail(server, now=LATER)["state"] == "sent"
    assert read(server)["Message-ID"] == result["message_id"]


def test_what_may_have_gone_is_not_sent_again(mail, tmp_path):
    with smtp_server.serving({".": ""}) as server:
        assert mail(server)["state"] == "unknown"
        assert mail(server, now=LATER)["state"] == "unknown"
    assert len(server.taken) == 1
    assert [state for state, _ in rows(tmp_path)] == ["unknown"]


def test_a_kill_between_sending_and_recording_never_sends_twice(mail, tmp_path):
    with smtp_server.killed_behind_data(mail) as server:
        assert rows(tmp_path) == [("sending", "")]
        result = mail(server, now=LATER)
    assert (result["state"], len(server.taken)) == ("unknown", 1)
    assert result["detail"] == "a run ended before it said whether it went (2026-11-24T06:00:00Z)"


def test_a_short_text_needs_no_relay_that_knows_more_than_seven_bits():
    of = relay.Relay("127.0.0.1", "reports@example.com")
    made = relay.message(of, "admin@example.org", "Grüße", "Grüße\n", reports.NOW).as_bytes()
    assert made.isascii()
    assert email.message_from_bytes(made, policy=email.policy.default).get_content().rstrip() == "Grüße"


@pytest.fixture
def certified(tmp_path):
    """Return the file of a certificate for 127.0.0.1, and a TLS context that bears it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay.test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    path = tmp_path / "relay.pem"
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + made.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


def test_a_certificate_that_nobody_vouches_for_gets_no_word(mail, certified):
    path, context = certified
    with smtp_server.serving() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        refused = mail(server, relay={"tls": "tls"})
        assert (refused["state"], server.taken) == ("not_sent", [])
        assert "certificate verify failed" in refused["detail"]
        assert mail(server, relay={"tls": "tls", "ca_file": str(path)})["state"] == "sent"


def test_a_relay_without_the_tls_that_was_asked_for_gets_nothing(mail):
    with smtp_server.serving() as server:
        result = mail(server, relay={"tls": "starttls", "user": "u", "password": "hunter2"})
    assert (result["state"], server.taken) == ("not_sent", [])
    assert "STARTTLS" in result["detail"]
    assert "hunter2" not in result["detail"]


@pytest.mark.parametrize(
    ("status", "when", "due"),
    [("clean", "findings", False), ("clean", "always", True), ("unknown", "findings", True), ("findings", "findings", True)],
)
def test_when_it_is_due(status, when, due):
    document = reports.demo()
    document["run"]["status"] = status
    assert delivery.is_due(document, when) is due

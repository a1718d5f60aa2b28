# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two engines say of a signed message; tests/integration/test_verifiers.py has OpenDKIM say it of the whole table."""

from __future__ import annotations

import base64

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from goodstanding_src.module_utils.goodstanding.dkim.engines import Verdict, verdicts

KEY = rsa.generate_private_key(65537, 2048)
P = base64.b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
MESSAGE = b"From: A <a@a.test>\r\nTo: b@b.test\r\nSubject: trial\r\n\r\nHello.\r\n"


def said(text, who="a@a.test", change=""):
    """Return what is said of a message signed as who, where the record is text (None: not answered)."""
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    message = (dkim.sign(MESSAGE, b"x", b"a.test", pem, identity=who.encode(), include_headers=[b"from"]) + MESSAGE).decode() + change

    def read(name):
        assert name == "x._domainkey.a.test"
        return None if text is None else [text]

    return verdicts(message, "a.test", (read, read))["x"]


@pytest.mark.parametrize("tags", ["", "t=s; ", "s=email; ", "s=email:tlsrpt; ", "s=*:x; ", "h=sha256; "])
def test_both_verify_what_is_right(tags):
    assert said(f"v=DKIM1; {tags}p={P}") == Verdict(2, "")


@pytest.mark.parametrize(
    ("tags", "who", "change"),
    [
        ("t=s; ", "a@sub.a.test", ""),
        ("s=tlsrpt; ", "a@a.test", ""),
        ("s=x:tlsrpt; ", "a@a.test", ""),
        ("h=sha1; ", "a@a.test", ""),
        ("", "a@a.test", "x"),
    ],
)
def test_not_both_verify_what_opendkim_refuses(tags, who, change):
    found = said(f"v=DKIM1; {tags}p={P}", who, change)
    assert found.engines < 2 and found.broken


def test_what_was_not_answered_is_neither():
    assert said(None) == Verdict(0, "")


@pytest.mark.parametrize(
    ("tags", "told"), [("t=1000; x=1001", "ends 1 s after"), ("t=1000; x=900", "ends -100 s after"), ("t=1; x=86401", "")]
)
def test_a_signature_that_ends_before_mail_may_have_arrived_is_told(tags, told):
    message = f"DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=x; {tags}; h=from; bh=YQ==; b=YQ==\r\nFrom: a@a.test\r\n\r\nHello.\r\n"
    broken = verdicts(message, "a.test", (lambda name: [f"v=DKIM1; p={P}"], lambda name: [f"v=DKIM1; p={P}"]))["x"].broken
    assert ("after it was made" in broken) == bool(told) and told in broken

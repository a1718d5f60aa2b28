# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our verifier against RFC 8463's message, which two other implementations signed."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.dkim import record, verify

# RFC 8463 appendix A.3.
HEADERS = [
    ("From", " Joe SixPack <joe@football.example.com>"),
    ("To", " Suzie Q <suzie@shopping.example.net>"),
    ("Subject", " Is dinner ready?"),
    ("Date", " Fri, 11 Jul 2003 21:00:37 -0700 (PDT)"),
    ("Message-ID", " <20030712040037.46341.5F8J@football.example.com>"),
]
BODY = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
ED = (
    " v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
)
RSA = (
    " v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
    " dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8="
)
ED_KEY = record.parse("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").spki
RSA_KEY = record.parse(
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J1"
    "6JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT"
    "+l/K4w3QIDAQAB"
).spki


def test_the_signatures_of_the_rfc_verify():
    assert verify.fault(HEADERS, BODY, ED, ED_KEY) == ""
    assert verify.fault(HEADERS, BODY, RSA, RSA_KEY) == ""
    assert verify.fault(HEADERS, BODY + b"\r\n\r\n", ED, ED_KEY) == "", "empty lines at the end do not count"
    assert verify.tags(ED)["s"] == "brisbane"


def test_a_header_is_taken_from_the_bottom():
    assert verify.fault([("From", " other"), *HEADERS], BODY, ED, ED_KEY) != "", "h= names From twice, and the second is covered"
    assert verify.fault([("X-Other", " one"), *HEADERS], BODY, ED, ED_KEY) == ""


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        (ED.replace("s=brisbane", "s=sydney"), "not made by the key"),
        (ED.replace("a=ed25519-sha256", "a=rsa-sha1"), "a kind that is not known"),
        (ED.replace("v=1", "v=2"), "a kind that is not known"),
        (ED.replace("q=dns/txt", "l=5"), "only a part of the body"),
        (ED.replace("c=relaxed/relaxed", "c=odd/relaxed"), "canonicalization"),
        (ED.replace("bh=2j", "bh=3j"), "hash of the body"),
        (ED.replace("bh=2j", "bh=%%"), "no base64"),
        (ED.replace("from : to :", "to :").replace(": from :", ":"), "does not cover From"),
    ],
)
def test_what_does_not_verify_is_told_why(signature, why):
    assert why in verify.fault(HEADERS, BODY, signature, ED_KEY)


def test_a_body_that_changed_is_seen():
    assert "hash of the body" in verify.fault(HEADERS, BODY.replace(b"lost", b"won"), ED, ED_KEY)
    assert "not made by the key" in verify.fault([(name, value.replace("dinner", "lunch")) for name, value in HEADERS], BODY, ED, ED_KEY)

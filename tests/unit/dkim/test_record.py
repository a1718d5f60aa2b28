# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public record, by values that others computed (RFC 6376 appendix C, RFC 8463 appendix A)."""

from __future__ import annotations

import base64
import contextlib

import pytest
from goodstanding_src.module_utils.goodstanding.dkim import record
from goodstanding_src.module_utils.goodstanding.dkim.record import RecordError
from hypothesis import given
from hypothesis import strategies as st

# RFC 6376 appendix C, with n= taken out.
RFC6376 = (
    "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt"
    "IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gb"
    "to/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
)
# RFC 8463 appendix A.2.
RFC8463 = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def test_published_keys_are_read_with_kind_and_size():
    rsa, ed = record.parse(RFC6376), record.parse(RFC8463)
    assert (rsa.kind, record.bits(rsa.spki)) == ("rsa", 1024)
    assert (ed.kind, record.bits(ed.spki), len(ed.key)) == ("ed25519", 256, 32)
    assert record.kind_of(ed.spki) == "ed25519" and record.kind_of(rsa.spki) == "rsa"


def test_a_record_is_written_with_v_first_and_means_what_it_was_made_of():
    spki = record.parse(RFC8463).spki
    assert record.text(spki) == RFC8463
    assert record.text(record.parse(RFC6376).spki, t="s").startswith("v=DKIM1; k=rsa; t=s; p=MIGf")
    with pytest.raises(RecordError, match="cannot be a tag"):
        record.text(spki, n="a;b")


def test_strings_hold_255_octets_at_most_and_join_to_the_text():
    text = "x" * 511
    assert [len(one) for one in record.strings(text)] == [255, 255, 1]
    assert "".join(record.strings(text)) == text and record.strings("") == [""]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("k=rsa; v=DKIM1; p=", "v= must come first"),
        ("v=DKIM2; p=", "v= must come first"),
        ("v=DKIM1; k=rsa", "no p="),
        ("v=DKIM1; p=a; p=b", "twice"),
        ('"v=DKIM1; p="', "is no tag=value"),
        ("v=DKIM1\\; p=MIGf", "v= must come first"),
        ("v=DKIM1; p=%%%", "no base64"),
        ("v=DKIM1; k=ed25519; p=AAAA", "32 octets"),
        ("v=DKIM1; n=" + "x" * 9000 + "; p=", "more than"),
    ],
)
def test_what_is_no_record_is_told_why(text, why):
    with pytest.raises(RecordError, match=why):
        record.parse(text)


def test_blanks_and_the_order_of_tags_mean_nothing_and_flags_do():
    value = RFC6376.partition("p=")[2]
    assert record.same(RFC6376, RFC6376.replace("; p=MIGf", ";p= MI Gf") + ";")
    assert record.same(f"v=DKIM1; k=rsa; t=s; p={value}", f"v=DKIM1; t=s; n=hello; p={value}")
    assert not record.same(RFC6376, RFC6376.replace("v=DKIM1;", "v=DKIM1; t=y;"))
    assert not record.same(RFC6376, record.GRAVESTONE) and record.parse(record.GRAVESTONE).revoked


def test_a_fingerprint_is_that_of_openssl():
    # openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64
    assert record.fingerprint(b"") == "SHA256:" + base64.b64encode(bytes.fromhex(
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")).decode().rstrip("=")  # fmt: skip


@given(st.text(max_size=120))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(RecordError):
        record.parse(text)


@given(st.binary(max_size=100))
def test_any_octets_have_a_size_or_are_refused(data):
    with contextlib.suppress(RecordError):
        assert record.bits(data) >= 0

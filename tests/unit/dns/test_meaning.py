# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When two records say the same, and when not."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.dns import wire
from goodstanding_src.module_utils.goodstanding.dns.meaning import kind_of, meaning

KEY = wire.pack("s._domainkey.example.test")
APEX = wire.pack("example.test")
DMARC = wire.pack("_dmarc.example.test")
STS = wire.pack("_mta-sts.example.test")


def txt(text: str) -> bytes:
    return wire.txt_data(text.encode())


@pytest.mark.parametrize(
    ("owner", "one", "other", "same"),
    [
        (KEY, "v=DKIM1; k=rsa; p=AB CD", "k=rsa;p=ABCD;", True),
        (KEY, "v=DKIM1; p=ABCD", "v=DKIM1; h=; s=*; k=rsa; p=ABCD", True),
        (KEY, "v=DKIM1; h=sha256 : sha1; p=A", "v=DKIM1; h=SHA1:sha256; p=A", True),
        (KEY, "v=DKIM1; p=ABCD", "p=ABCD; v=DKIM1", False),
        (KEY, "v=DKIM1; p=ABCD", "v=DKIM1; p=ABCd", False),
        (KEY, "v=DKIM1; p=ABCD", "v=DKIM1; p=ABCD; t=y", False),
        (KEY, "v=DKIM1; p=ABCD", "v=DKIM1\\; p=ABCD", False),
        (KEY, "v=DKIM1; p=ABCD", '"v=DKIM1; p=ABCD"', False),
        (KEY, "v=DKIM1; p=ABCD", "v=DKIM2; p=ABCD", False),
        (KEY, "v=DKIM1; p=ABCD", "v=DKIM1; p=ABCD; p=ABCD", False),
        (KEY, "v=DKIM1; p=", "v=DKIM1; p=A", False),
        (APEX, "v=DKIM1; p=AB", "v=DKIM1;p=AB", False),
        (APEX, "v=spf1 ip4:192.0.2.0/24 -all", "V=SPF1  +IP4:192.0.2.0/24 -ALL ", True),
        (APEX, "v=spf1 ip4:192.0.2.1/32 -all", "v=spf1 ip4:192.0.2.1 -all", True),
        (APEX, "v=spf1 a mx -all", "v=spf1 mx a -all", False),
        (APEX, "v=spf1 redirect=a.test exp=b.test", "v=spf1 EXP=B.test redirect=A.test", True),
        (APEX, "v=spf1 exists:%{i}.a.test", "v=spf1 exists:%{I}.a.test", False),
        (APEX, "v=spf1 -all", "v=spf10 -all", False),
        (DMARC, "v=DMARC1; p=none; rua=mailto:a@b.test", "v=DMARC1;rua=mailto:a@b.test ;p=NONE; adkim=r", True),
        (DMARC, "v=DMARC1; p=none", "p=none; v=DMARC1", False),
        (DMARC, "v=DMARC1; p=none", "v=DMARC1; p=reject", False),
        (STS, "v=STSv1; id=A1;", "v=STSv1;id=A1", True),
        (STS, "v=STSv1; id=A1;", "v=STSv1; id=a1;", False),
        (APEX, "Token=1", "token=1", False),
    ],
)
def test_texts_are_compared_as_their_readers_take_them(owner, one, other, same):
    assert (meaning(owner, wire.TXT, txt(one)) == meaning(owner, wire.TXT, txt(other))) is same


def test_the_split_of_a_text_says_nothing_and_names_have_no_case():
    assert meaning(APEX, wire.TXT, b"\x01a\x01b") == meaning(APEX, wire.TXT, b"\x02ab")
    assert meaning(APEX, wire.MX, b"\x00\x0a\x02MX\x04test\x00") == meaning(APEX, wire.MX, b"\x00\x0a\x02mx\x04test\x00")
    assert meaning(APEX, wire.MX, b"\x00\x0a\x02MX\x04test\x00") != meaning(APEX, wire.MX, b"\x00\x0b\x02mx\x04test\x00")


def test_a_version_ends_where_it_ends():
    assert [kind_of(text) for text in (b"v=spf1", b"v=spf1 a", b"V=SPF1\ta", b"v=spf10", b"v=DMARC1;p=none", b"spf1", b"")] == [
        "spf", "spf", "spf", None, "dmarc", None, None,
    ]  # fmt: skip

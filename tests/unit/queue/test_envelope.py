# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.queue.envelope import attribute, messages_of


def record(kind: bytes, data: bytes) -> bytes:
    length, size = b"", len(data)
    while True:
        byte, size = size & 0x7F, size >> 7
        length += bytes([byte | (0x80 if size else 0)])
        if not size:
            return kind + length + data


HEAD = record(b"C", b"            553             300 1 0 553") + record(b"T", b"1795500000") + record(b"A", b"rewrite_context=local")
LOGIN = record(b"A", b"sasl_method=PLAIN") + record(b"A", b"sasl_username=Mallory@Alpha.test")
BODY = record(b"M", b"") + record(b"A", b"sasl_username=victim@alpha.test") + record(b"N", b"sasl_username=victim@alpha.test")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (HEAD + LOGIN + record(b"S", b"a@x") + BODY, "Mallory@Alpha.test"),
        (HEAD + record(b"S", b"a@x") + BODY, None),
        (HEAD + record(b"A", b"x" * 300) + LOGIN + BODY, "Mallory@Alpha.test"),
        (HEAD + b"A\xff\xff\xff\xff\xff\xff\xff", None),
        (b"", None),
        (b"A", None),
        (b"\x00" * 100, None),
    ],
)
def test_the_login_is_read_from_the_envelope_never_from_the_body(data, expected):
    assert attribute(data, "sasl_username") == expected


def test_messages_of_accounts(tmp_path):
    for queue, name, data in (
        ("hold", "4jYcBy06KYz1hnn2", HEAD + LOGIN + BODY),
        ("deferred/A", "AB12CD34EF", HEAD + LOGIN + BODY),
        ("deferred/B", "BB12CD34EF", HEAD + BODY),
        ("active", ".hidden", HEAD + LOGIN + BODY),
    ):
        (tmp_path / queue).mkdir(parents=True, exist_ok=True)
        (tmp_path / queue / name).write_bytes(data)
    assert messages_of(["mallory@alpha.test"], str(tmp_path)) == {
        "4jYcBy06KYz1hnn2": {"account": "mallory@alpha.test", "queue": "hold", "size": 197},
        "AB12CD34EF": {"account": "mallory@alpha.test", "queue": "deferred", "size": 197},
    }
    assert messages_of(["victim@alpha.test"], str(tmp_path)) == {}

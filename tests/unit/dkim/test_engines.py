# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engines say beyond whether a signature verifies; that they verify real ones is tried on real signers."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.dkim import engines, keys, record

RECORD = record.text(keys.make("rsa").spki)


def verdict(tags):
    message = f"DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=x; {tags}; h=from; bh=YQ==; b=YQ==\r\nFrom: a@a.test\r\n\r\nHello.\r\n"
    return engines.verdicts(message, "a.test", (lambda name: [RECORD], lambda name: [RECORD]))["x"]


@pytest.mark.parametrize(
    ("tags", "told"), [("t=1000; x=1001", "ends 1 s after"), ("t=1000; x=900", "ends -100 s after"), ("t=1; x=86401", "")]
)
def test_a_signature_that_ends_before_mail_may_have_arrived_is_told(tags, told):
    broken = verdict(tags).broken
    assert ("after it was made" in broken) == bool(told) and told in broken

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.limits import postfix_own

VALUES = {"smtpd_recipient_limit": "200", "smtpd_client_message_rate_limit": "60"}


@pytest.mark.parametrize("before", ["", "a = b\n", "a = b", "smtpd_recipient_limit=200\n", "a = b\n\n"])
def test_main_cf_comes_back_to_the_byte(before):
    after = postfix_own.put(before, VALUES)
    assert "smtpd_client_message_rate_limit = 60\n" in after
    assert after.count("smtpd_recipient_limit") == 1
    assert postfix_own.put(after, VALUES) == after
    assert postfix_own.out(after) == before
    assert postfix_own.put(after, {}) == before


def test_the_block_stays_where_it_is_and_goes_out_from_there():
    later = postfix_own.put("a = b\n", VALUES) + "# another block\nc = d\n"
    assert postfix_own.put(later, VALUES) == later
    assert postfix_own.out(later) == "a = b\n# another block\nc = d\n"


@pytest.mark.parametrize(
    ("text", "values"),
    [("smtpd_recipient_limit = 50\n", VALUES), ("", {"smtpd_milters": ""}), ("", {"smtpd_recipient_limit": "1\nx = y"})],
)
def test_what_stands_there_or_is_no_limit_is_refused(text, values):
    with pytest.raises(HostError, match="rate_limit_postfix"):
        postfix_own.put(text, values)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Postfix's own limits (recipients of a message, anvil's per client), a block at the end of main.cf. Standard library only, Python >= 3.9.

They count per address of a client: everybody behind one webmail or one NAT shares them, so none is set unless somebody says so.
"""

from __future__ import annotations

import re
import typing as t

from ..host.files import HostError

NAMES = (
    "smtpd_recipient_limit", "smtpd_recipient_overshoot_limit", "smtpd_hard_error_limit", "smtpd_soft_error_limit",
    "smtpd_client_connection_count_limit", "smtpd_client_connection_rate_limit", "smtpd_client_message_rate_limit",
    "smtpd_client_recipient_rate_limit", "smtpd_client_auth_rate_limit", "smtpd_client_new_tls_session_rate_limit",
    "smtpd_client_event_limit_exceptions", "anvil_rate_time_unit",
)  # fmt: skip
_BEGIN = "# Good Standing: limits of Postfix's own, see the role rate_limit"
_END = "# Good Standing: the end of these limits"
_BLOCK = rf"{re.escape(_BEGIN)}\n(?:[^\n]*\n)*?{re.escape(_END)}"


def put(text: str, values: t.Mapping[str, str]) -> str:
    """Return main.cf with these parameters; HostError where it has one of them with another value."""
    whole, text = text, out(text)
    lines = []
    for name, value in values.items():
        if name not in NAMES or not re.match(r"[0-9A-Za-z$_./:,\[\]!{} -]{0,500}\Z", value):
            raise HostError(f"rate_limit_postfix has {name[:100]!r}: expected a value on one line for one of {', '.join(NAMES)}")
        there = re.findall(rf"^{name}[ \t]*=[ \t]*(.*?)[ \t]*$", text, re.MULTILINE)
        if there and there[-1] != value:
            raise HostError(f"main.cf says {name} = {there[-1][:100]} already: change it there, or take it out of rate_limit_postfix")
        if not there:
            lines.append(f"{name} = {value}\n")
    if not lines:
        return text
    block = f"{_BEGIN}\n{''.join(lines)}{_END}"
    if block in whole:
        return whole  # where it is: another block may have come behind it
    return f"{text}{block}\n" if not text or text.endswith("\n") else f"{text}\n{block}"


def out(text: str) -> str:
    """Return main.cf as it was before put()."""
    return re.sub(rf"^{_BLOCK}\n|\n{_BLOCK}\Z", "", text, flags=re.MULTILINE)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be sent: how many recipients an account, a domain or a local user may have in a minute, an hour and a day.

Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import typing as t

#: The windows of a limit, in seconds.
WINDOWS = {"minute": 60, "hour": 3600, "day": 86400}
#: Whom a limit counts: a login as Postfix logs it (small letters), the domain of such a login, a local user by number.
SCOPES = ("account", "domain", "uid")
#: The login that tries the limits; it may have this many recipients in a minute, and no mailbox.
CANARY_RECIPIENTS = 3


class Limit(t.NamedTuple):
    """Recipients per window's name. soft: more are put off (4xx); hard: more are refused (5xx). A window left out has no limit."""

    soft: t.Mapping[str, int]
    hard: t.Mapping[str, int]


class Policy(t.NamedTuple):
    """The limits of a host. overrides: per (scope, key) the limit that stands instead, with groups and dates already resolved."""

    account: Limit
    domain: Limit
    uid: Limit
    overrides: t.Mapping[tuple[str, str], Limit]
    #: Nothing is refused; who would have been is said (rate_limit_mode: shadow).
    shadow: bool

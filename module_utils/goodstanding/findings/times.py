# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as the findings write them: ISO 8601 in UTC with microseconds."""

from __future__ import annotations

import datetime

_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"
_LAST = 253402300799.0


def iso(epoch: float) -> str:
    """Return 2026-11-24T06:00:00.123456Z. What no calendar has, since a host told it, is the calendar's end on that side."""
    known = min(max(epoch, 0.0), _LAST) if epoch == epoch else 0.0  # NaN is no time either
    return datetime.datetime.fromtimestamp(known, datetime.timezone.utc).strftime(_FORM)


def epoch(text: str) -> float:
    """Return the epoch of iso()."""
    return datetime.datetime.strptime(text, _FORM).replace(tzinfo=datetime.timezone.utc).timestamp()

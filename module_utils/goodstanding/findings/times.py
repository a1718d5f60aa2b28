# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as the findings write them: ISO 8601 in UTC with microseconds."""

from __future__ import annotations

import datetime

_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"


def iso(epoch: float) -> str:
    """Return 2026-11-24T06:00:00.123456Z."""
    return datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime(_FORM)


def epoch(text: str) -> float:
    """Return the epoch of iso()."""
    return datetime.datetime.strptime(text, _FORM).replace(tzinfo=datetime.timezone.utc).timestamp()

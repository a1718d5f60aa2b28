# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What receivers say when they refuse mail for the sender's reputation. Standard library only, Python >= 3.9."""

from __future__ import annotations

import re

# (provider, words that must be in the reply in lower case, pattern of the code that is shown)
_TABLE = (
    ("microsoft", "block list (s3", re.compile(r"\((S3\d{3})\)")),
    ("microsoft", "banned sending ip", re.compile(r"(5\.7\.6\d\d)")),
    ("google", "our system has detected", re.compile(r"([45]\.7\.\d{1,2})")),
    ("yahoo", "[tss", re.compile(r"\[(TSS?\d\d)\]")),
    ("spamhaus", "spamhaus.org", re.compile(r"([a-z]+\.spamhaus\.org)")),
    ("barracuda", "barracudacentral.org", re.compile(r"(b\.barracudacentral\.org|barracudacentral\.org)")),
    ("spamcop", "bl.spamcop.net", re.compile(r"(bl\.spamcop\.net)")),
    ("other", "blocked using ", re.compile(r"blocked using ([\w.-]{1,100})")),
)


def reputation_refusal(reply: str) -> tuple[str, str] | None:
    """Return (provider, code) where a remote reply refuses for reputation, else None. reply: the text in the parentheses of status=."""
    lower = reply.lower()
    for provider, words, code in _TABLE:
        if words in lower:
            match = code.search(reply)
            return provider, match[1] if match else "-"
    return None

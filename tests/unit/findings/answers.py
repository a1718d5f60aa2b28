# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of ip_reputation_info and mail_log_info in their shapes, for the tests of what is made of them."""

from __future__ import annotations

import typing as t

from goodstanding_src.module_utils.goodstanding.findings import feeds, observations

NOW = 1795500000.0
LIST = {"list": "ZEN", "zone": "zen.spamhaus.org", "kind": "block", "tier": "A"}


def said(subject: str, outcome: str = "listed", **fields: t.Any) -> dict:
    """One observation of ip_reputation_info."""
    row = {
        "subject": subject, "family": "ipv4", "hosts": ["mx1"], "source": LIST["zone"], "list": "ZEN", "kind": "block", "tier": "A",
        "outcome": outcome, "codes": ["127.0.0.4"] if outcome.startswith("listed") else [], "meanings": ["m"], "scope": "address",
        "reason": "<script>", "ttl": 5, "latency": None, "repair": "r", "delisting": {"kind": "self_form", "url": "https://x.test/"},
        "qualified_by": {"resolver": "192.0.2.53#53", "at": NOW},
    }  # fmt: skip
    return {**row, **fields}


def result(
    *observed: dict, clean: t.Sequence[str] = (), unqualified: t.Sequence[str] = (), hosts: dict | None = None, **fields: t.Any
) -> dict:
    """A result of ip_reputation_info about ZEN. clean, unqualified: addresses; hosts: of an address, mx1 where not given."""
    texts = [*dict.fromkeys([*clean, *unqualified, *(row["subject"] for row in observed)])]
    row = {**LIST, "family": "ipv4", "qualified": not unqualified, "why": "w" if unqualified else None, "repair": "r", "qualified_at": NOW,
           "subjects": len(texts), "counts": {}, **fields}  # fmt: skip
    return {
        "addresses": [
            {
                "address": text,
                "hosts": (hosts or {}).get(text, ["mx1"]),
                "clean": [row["zone"]] if text in clean else [],
                "unqualified": [row["zone"]] if text in unqualified else [],
            }
            for text in texts
        ],
        "names": [],
        "observations": [{**each, **fields} for each in observed],
        "lists": [row],
        "resolver": {"address": "192.0.2.53#53", "qualified": True, "why": None, "repair": None, "egress": None, "note": None},
    }


def gathered(*results: dict, logs: dict | None = None, known: dict | None = None, **fields: t.Any) -> observations.Gathered:
    entry = {"meaning": "refused", "repair": "ask", "ask": "https://ask.test/"}
    replies = {"olc": entry, feeds.MICROSOFT: entry}
    refused = fields.pop("refused", None)
    reputation = {"results": list(results), "left_out": [], "rejected": [], **fields}
    return observations.gather(reputation, logs or {}, replies, known or {}, NOW, refused=refused)


def seen(done: observations.Gathered) -> observations.Known:
    """What the store knows after these findings, where it knew nothing before."""
    told = observations.heard(done.document).told
    return {(*pair, code): row["since"] for pair, rows in told.items() for code, row in rows.items()}


def is_over(done: observations.Gathered, subject: str, source: str, code: str) -> bool:
    """Whether these findings end a listing."""
    told, clean = observations.heard(done.document)
    return (subject, source) in clean or code not in told.get((subject, source), {code: {}})

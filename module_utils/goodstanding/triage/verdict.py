# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which accounts were broken into: the counters of all hosts together, judged by families of signals.

Families are independent ways to see a break-in: how much was sent (volume), to how many unknown recipients (recipients), from how
many addresses (spread), after how many failed logins (credentials), and how receivers answered (reputation). Two families are
needed for the verdict compromised, one of them more telling than mere volume or a listing that hits every sender; one makes suspect.
"""

from __future__ import annotations

import datetime
import typing as t

#: What is normal at most; each can be set by the inventory (abuse_triage_thresholds).
THRESHOLDS: dict[str, float] = {
    "recipients_per_hour": 500,
    "unknown_recipients": 25,
    "unknown_share": 0.1,
    "client_addresses": 8,
    "failed_logins": 5,
    "failed_login_clients": 3,
    "reputation_refusals": 5,
}

_TELLING = {"recipients", "spread", "credentials"}
_SUMS = (
    "messages", "recipients", "sent", "deferred", "bounced", "unknown_recipients", "reputation_refusals", "refused_attempts",
    "held", "failed_logins", "peak_hour_recipients",
)  # fmt: skip
# Addresses are the same on every host: they are joined, not added.
_SETS = ("clients", "failed_clients")


class VerdictError(Exception):
    """A threshold or an exemption cannot be used; the message names it."""


def merge(logs: dict[str, dict[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """Bring the accounts of all hosts together. logs: per host the result of mail_log_info, or a failed one (left out)."""
    merged: dict[str, dict[str, t.Any]] = {}
    for host in sorted(logs):
        for name, counters in (logs[host].get("accounts") or {}).items():
            if name not in merged:
                merged[name] = {**dict.fromkeys(_SUMS, 0), **{key: set() for key in _SETS}, "hosts": [], "evidence": []}
                merged[name].update({f"{key}_at_least": 0 for key in _SETS})
            total = merged[name]
            for key in _SUMS:
                total[key] += int(counters.get(key, 0))
            for key in _SETS:
                total[key].update(counters.get(key, []))
                most = f"{key}_at_least"
                total[most] = max(len(total[key]), total[most], int(counters.get(most, 0)))
            total["hosts"].append(host)
            total["evidence"] += [{"host": host, "line": line} for line in counters.get("evidence", [])]
    return merged


def signals_of(total: dict[str, t.Any], limits: dict[str, float]) -> list[dict[str, t.Any]]:
    """Return the families that speak against an account, each with its figure, threshold and a sentence."""
    found: list[dict[str, t.Any]] = []

    def signal(family: str, figure: int, threshold: float, text: str) -> None:
        found.append({"family": family, "figure": figure, "normal": None, "threshold": threshold, "text": text})

    peak, clients, unknown = total["peak_hour_recipients"], total["clients_at_least"], total["unknown_recipients"]
    answered = total["sent"] + total["bounced"]
    if peak > limits["recipients_per_hour"]:
        signal(
            "volume",
            peak,
            limits["recipients_per_hour"],
            f"{peak} recipients in its busiest hour (limit {limits['recipients_per_hour']:g})",
        )
    if unknown >= limits["unknown_recipients"] and unknown >= limits["unknown_share"] * answered:
        signal("recipients", unknown, limits["unknown_recipients"], f"{unknown} of {answered} recipients do not exist")
    if clients > limits["client_addresses"]:
        signal(
            "spread",
            clients,
            limits["client_addresses"],
            f"sent from at least {clients} addresses (limit {limits['client_addresses']:g})",
        )
    failed, failed_clients = total["failed_logins"], total["failed_clients_at_least"]
    if total["messages"] and failed >= limits["failed_logins"] and failed_clients >= limits["failed_login_clients"]:
        signal(
            "credentials",
            failed,
            limits["failed_logins"],
            f"{failed} failed logins from at least {failed_clients} addresses",
        )
    refusals = total["reputation_refusals"]
    if refusals >= limits["reputation_refusals"]:
        signal(
            "reputation",
            refusals,
            limits["reputation_refusals"],
            f"{refusals} refusals of its mail for the server's reputation",
        )
    return found


def judge(
    logs: dict[str, dict[str, t.Any]],
    thresholds: dict[str, t.Any] | None = None,
    exempt: list[dict[str, str]] | None = None,
    today: str | None = None,
) -> dict[str, list[dict[str, t.Any]]]:
    """Return {accounts: those with a verdict, strongest first, unknown_hosts: those whose log says too little}."""
    limits = _limits(thresholds or {})
    wanted = _exemptions(exempt or [], today or datetime.date.today().isoformat())
    accounts = []
    for name, total in merge(logs).items():
        signals = signals_of(total, limits)
        if not signals:
            continue
        families = {signal["family"] for signal in signals}
        verdict = "compromised" if len(families) > 1 and families & _TELLING else "suspect"
        if name.startswith("uid:") and verdict == "compromised":
            verdict = "suspect"  # a local user is no login: the lock cannot stop it
        if name in wanted:
            verdict = "exempt"
        if verdict == "suspect" and families == {"reputation"}:
            continue  # a listed server's mail is refused whoever sends it
        accounts.append(
            {
                "account": name,
                "verdict": verdict,
                "sentence": f"{name}: "
                + "; ".join(signal["text"] for signal in signals)
                + (f" (exempt: {wanted[name]})" if name in wanted else ""),
                "hosts": total["hosts"],
                "signals": signals,
                "evidence": total["evidence"][:20],
            }
        )
    order = {"compromised": 0, "suspect": 1, "exempt": 2}
    accounts.sort(
        key=lambda row: (
            order[row["verdict"]],
            -len(row["signals"]),
            -max(signal["figure"] for signal in row["signals"]),
            row["account"],
        )
    )
    return {"accounts": accounts, "unknown_hosts": _unknown_hosts(logs)}


def _unknown_hosts(logs: dict[str, dict[str, t.Any]]) -> list[dict[str, str]]:
    unknown = []
    for host in sorted(logs):
        if "accounts" not in logs[host]:
            unknown.append({"host": host, "reason": str(logs[host].get("msg") or "the log was not read")[:500]})
        elif not logs[host].get("complete", False):
            unknown.append({"host": host, "reason": "the log is not complete: " + "; ".join(logs[host].get("gaps", []))[:500]})
    return unknown


def _limits(thresholds: dict[str, t.Any]) -> dict[str, float]:
    limits = dict(THRESHOLDS)
    for name, value in thresholds.items():
        if name not in limits:
            raise VerdictError(f"no threshold is named {name!r}: abuse_triage_thresholds knows {', '.join(sorted(limits))}")
        try:
            limits[name] = float(value)
        except (TypeError, ValueError):
            raise VerdictError(f"the threshold {name} is {value!r}: it must be a number") from None
    return limits


def _exemptions(exempt: list[dict[str, str]], today: str) -> dict[str, str]:
    wanted = {}
    for row in exempt:
        missing = [key for key in ("account", "reason", "expires") if not row.get(key)]
        if missing:
            raise VerdictError(f"the exemption {row.get('account', '(no account)')!r} lacks {', '.join(missing)}")
        try:
            expires = datetime.date.fromisoformat(str(row["expires"])).isoformat()
        except ValueError:
            raise VerdictError(f"the exemption of {row['account']} expires on {row['expires']!r}: write the day as YYYY-MM-DD") from None
        if expires >= today:
            wanted[row["account"].strip().lower()] = row["reason"]
    return wanted

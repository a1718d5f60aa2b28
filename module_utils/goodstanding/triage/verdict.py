# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which accounts were broken into, and what else spoils the fleet's reputation: a pure function over the counters of all hosts.

Two independent families of signals, one of them telling (weight 2), make compromised, which may be locked; one family makes suspect,
which is only reported. Much mail of an account whose past is not known, and a listing that hits every sender, are nothing by themselves.
"""

from __future__ import annotations

import datetime
import typing as t

from . import fleet
from .fleet import Account
from .signals import FAMILIES, SAME_CAUSE, THRESHOLDS, Case, Signal, signals_of, total

MAX_EVIDENCE = 20
MAX_CLIENTS = 200
_ORDER = {"compromised": 0, "suspect": 1, "exempt": 2}


class VerdictError(Exception):
    """A threshold or an exemption cannot be used; the message names it."""


def judge(
    logs: dict[str, dict[str, t.Any]],
    now: float,
    window: int = 24,
    thresholds: dict[str, t.Any] | None = None,
    exempt: list[dict[str, str]] | None = None,
    complaints: dict[str, int] | None = None,
    country: t.Callable[[str], str | None] | None = None,
) -> dict[str, t.Any]:
    """Return accounts (those with a verdict, strongest first), causes (what else spoils the reputation) and unknown_hosts.

    logs: per host the result of mail_log_info, or a failed one; now: when they were read, in seconds since 1970; window: the hours that
    they count; complaints: per account; country: of an address. VerdictError where a threshold or an exemption cannot be used."""
    limits = _limits(thresholds or {})
    wanted = _exemptions(exempt or [], datetime.datetime.fromtimestamp(now, datetime.timezone.utc).date().isoformat())
    span = (now - window * fleet.HOUR, now)
    accounts, merged = [], fleet.merge(logs)
    refused = sum(account.sums["reputation_refusals"] for account in merged.values())
    for account in merged.values():
        if account.kind in ("forward", "backscatter", "others"):
            continue
        past = fleet.baseline(account, span[0], limits["baseline_days"])
        case = Case(account, limits, span, past, country, (complaints or {}).get(account.name, 0), refused)
        signals = signals_of(case)
        verdict = verdict_of(signals)
        if not verdict:
            continue
        reason = wanted.get(account.name) or wanted.get(account.name.rpartition("@")[0] if account.kind != "login" else "")
        accounts.append(_row(case, signals, "exempt" if reason else verdict, reason))
    accounts.sort(
        key=lambda row: (_ORDER[row["verdict"]], -sum(signal["weight"] for signal in row["signals"]), -row["recipients"], row["account"])
    )
    _add_clients(accounts, merged)
    unknown = unknown_hosts(logs)
    return {"accounts": accounts, "causes": _causes(logs, merged, accounts, limits), "unknown_hosts": unknown}


def verdict_of(signals: list[Signal]) -> str | None:
    """Return compromised, suspect or None."""
    families = {signal["family"] for signal in signals}
    if len([family for family in families if not families & SAME_CAUSE.get(family, set())]) > 1 and any(
        signal["weight"] > 1 for signal in signals
    ):
        return "compromised"
    # Mail of a listed server is refused whoever sends it, and of a new account nobody knows how much is much.
    alone = [signal for signal in signals if signal["family"] != "reputation" and (signal["family"], signal["normal"]) != ("volume", None)]
    return "suspect" if alone else None


def _row(case: Case, signals: list[Signal], verdict: str, reason: str | None) -> dict[str, t.Any]:
    account = case.account
    return {
        "account": account.name, "kind": account.kind, "verdict": verdict, "sentence": sentence(case, signals, reason),
        "hosts": account.hosts, "recipients": account.sums["recipients"], "signals": signals, "evidence": account.evidence[:MAX_EVIDENCE],
    }  # fmt: skip


def _add_clients(rows: list[dict[str, t.Any]], merged: dict[str, Account]) -> None:
    """Write into each row the addresses that used this account and no other one: closing their connections hurts nobody else."""
    users: dict[str, int] = {}
    for account in merged.values():
        for address in account.values["clients"] | account.values["login_clients"]:
            users[address] = users.get(address, 0) + 1
    for row in rows:
        values = merged[row["account"]].values
        row["clients"] = sorted(one for one in values["clients"] | values["login_clients"] if users[one] == 1)[:MAX_CLIENTS]


def sentence(case: Case, signals: list[Signal], reason: str | None = None) -> str:
    """Return what speaks against an account in one sentence that a person reads."""
    ordered = sorted(signals, key=lambda signal: FAMILIES.index(signal["family"]))
    words = [signal["text"] for signal in ordered]
    if not ordered or ordered[0]["family"] != "volume":
        words.insert(0, total(case))
    return f"{_name(case.account)} {', '.join(words)}" + (f" (exempt: {reason})" if reason else "") + "."


def _name(account: Account) -> str:
    name, _, host = account.name.rpartition("@")
    if account.kind == "uid":
        return f"The local user {name[4:]} of {host}"
    if account.kind == "relay":
        whom = "clients on the internet that did not log in (an open relay, unless it is a gateway)"
        return f"{host} relayed for {whom if name == 'relay:internet' else f'{name[6:]}, which needs no login (mynetworks)'}: it"
    return account.name


def _causes(
    logs: dict[str, dict[str, t.Any]], merged: dict[str, Account], accounts: list[dict[str, t.Any]], limits: dict[str, float]
) -> list[dict[str, t.Any]]:
    """Return what spoils the reputation and is nobody's break-in."""
    causes = []
    for account in merged.values():
        sums = account.sums
        spoils = sums["reputation_refusals"] >= limits["reputation_refusals"] or sums["unknown_recipients"] >= limits["unknown_recipients"]
        if account.kind not in ("forward", "backscatter") or not spoils:
            continue
        name, _, host = account.name.rpartition("@")
        figures = (
            f"{sums['recipients']} recipients, {sums['unknown_recipients']} unknown, {sums['reputation_refusals']} refused for reputation"
        )
        if account.kind == "forward":
            text = f"{host} forwards mail of {name[8:]} to the outside, and receivers refuse it: {figures}. No account is to be locked."
            step = "Filter what is forwarded, or let the owner fetch it; forward with SRS, and never to where nobody is."
        else:
            text = f"{host} sends bounces to strangers (backscatter): {figures}. No account is to be locked."
            step = "Refuse unknown recipients and spam while the client is connected (reject_unverified_recipient, relay_recipient_maps)."
        causes.append({"kind": account.kind, "host": host, "text": text, "next_step": step, "evidence": account.evidence[:MAX_EVIDENCE]})
    named = {host for row in accounts for host in row["hosts"]} | {cause["host"] for cause in causes}
    for host in sorted(set(logs) - named):
        refused = sum(row["count"] for row in logs[host].get("refusals") or [] if row["about"] == "address" and not row["accepted"])
        if refused >= limits["reputation_refusals"]:
            gaps = "" if logs[host].get("complete") else " Its log is not complete: what is missing may name one."
            text = f"Receivers refused {host} {refused} times for its reputation, and no account of it stands out.{gaps}"
            step = (
                "Look at what is older than the window (abuse_triage_window), at other machines behind the same address, at web servers "
                "that send past Postfix, at who had the address before, and at what the mail of all accounts contains."
            )
            causes.append({"kind": "nobody", "host": host, "text": text, "next_step": step, "evidence": []})
    return causes


def unknown_hosts(logs: dict[str, dict[str, t.Any]]) -> list[dict[str, str]]:
    """Return the hosts whose log could not be read, or is not complete, with the reason."""
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

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What receivers see of the fleet, in the document: the checklist of their rules, the DKIM keys and who signs with them."""

from __future__ import annotations

import typing as t

from ..mailauth.receivers import ADVISED, DOES_NOT, ELSEWHERE, HOLDS, RULES, UNKNOWN
from .times import iso

Row = dict[str, t.Any]
#: What each receiver asks of everybody and what DNS shows for certain: where it does not hold, mail is refused.
DECISIVE = ("reverse_name", "spf_or_dkim")
#: So many open points of one rule are written out; the checklist has all.
MAX_POINTS = 5
_MAX_TEXT = 500


def off(why: str) -> Row:
    """Return what is known where nobody was asked."""
    return {
        "state": "off",
        "why": why,
        "rules": {},
        "checklist": [],
        "addresses": [],
        "domains": [],
        "records": [],
        "signers": [],
        "keys": [],
    }


def section(given: Row) -> Row:
    """Return the document's part. given: seen, the result of mail_auth_info, or a failed one; signers, per host what the role dkim's proof
    said; named, keys that the inventory names (domain, selector); nothing, why nobody was asked."""
    if given.get("nothing"):
        return off(str(given["nothing"])[:_MAX_TEXT])
    seen, signers = given.get("seen") or {}, given.get("signers") or {}
    found = off("")
    found.update(state="asked", signers=[_signer(host, proof) for host, proof in sorted(signers.items())])
    if "checklist" not in seen:
        why = str(seen.get("msg") or "nobody could be asked")[:_MAX_TEXT]
        return {**found, "state": "unknown", "why": why, "keys": _keys([], signers, given.get("named") or ())}
    rejected = [f"{row['resolver']}: {row['why']}" for row in seen["resolvers_rejected"]]
    states = [row["state"] for row in seen["checklist"] if row["rule"] not in ELSEWHERE]
    if rejected and not set(states) - {UNKNOWN}:
        found.update(state="unknown", why="; ".join(rejected)[:_MAX_TEXT])
    found["checklist"] = [{name: str(row[name])[:_MAX_TEXT] for name in ("rule", "subject", "state", "why", "repair")}
                          for row in seen["checklist"]]  # fmt: skip
    used = dict.fromkeys(row["rule"] for row in seen["checklist"])
    found["rules"] = {name: {**RULES[name]._asdict(), "receivers": list(RULES[name].receivers), "codes": list(RULES[name].codes)}
                      for name in used}  # fmt: skip
    found["addresses"] = [
        {**{name: row[name] for name in ("address", "host", "helo", "forward")}, "reverse_names": row["reverse_names"][:10],
         "helo_spf": (row["helo_spf"] or {}).get("result")}
        for row in seen["addresses"]
    ]  # fmt: skip
    found["domains"] = [
        {"domain": row["domain"], "spf": sorted({each["result"] for each in row["spf"]}), "dmarc": row["dmarc"]["policy"],
         "mta_sts": row["mta_sts"]["state"], "tls_rpt": row["tls_rpt"]["state"]}
        for row in seen["domains"]
    ]  # fmt: skip
    found["records"] = [{name: str(value)[:_MAX_TEXT] for name, value in row.items()} for row in seen["findings"]]
    published = [key for row in seen["domains"] for key in row["dkim"]]
    return {**found, "keys": _keys(published, signers, given.get("named") or ())}


def _signer(host: str, proof: Row) -> Row:
    """Return whether a host's signer signs as it must."""
    faults = [str(fault)[:_MAX_TEXT] for fault in proof.get("faults") or []]
    if proof.get("failed") or "signer" not in proof:
        why = str(proof.get("msg") or "nobody asked its signer")[:_MAX_TEXT]
        return {"host": host, "signer": None, "state": UNKNOWN, "faults": [why]}
    # Who may not ask knows nothing of the signer.
    barred = any("does not answer" in fault and "Permission denied" in fault for fault in faults)
    state = UNKNOWN if barred else DOES_NOT if faults else HOLDS
    return {"host": host, "signer": proof["signer"], "state": state, "faults": faults}


def _keys(published: list[Row], signers: t.Mapping[str, Row], named: t.Iterable[Row]) -> list[Row]:
    """Return a row per key and host: those of the hosts' books, those that a signer used, those that only the inventory names.

    published: the keys of domains of mail_auth_info."""
    found: dict[tuple[str, str, str], Row] = {}

    def put(host: str, key: Row, **facts: t.Any) -> None:
        name = (key["domain"].lower(), host, key["selector"].lower())
        found[name] = {**dict.fromkeys(("kind", "bits", "state", "since", "signs")), **found.get(name, {}), **facts}

    for host, proof in signers.items():
        signatures = [signature for probe in proof.get("probes") or [] for signature in probe["signatures"]]
        for key in proof.get("keys") or []:
            since = iso(float(key["since"]))
            put(host, key, kind=key["kind"], bits=key["size"], state=key["state"], since=since, signs=False if signatures else None)
        for signature in signatures:
            put(host, signature, signs=True)
    known = {(domain, selector) for domain, _, selector in found}
    for key in [*named, *published]:
        if (key["domain"].lower(), key["selector"].lower()) not in known:
            put("", key)
    seen = {(row["domain"], row["selector"]): row for row in published}
    rows = []
    for (domain, host, selector), facts in sorted(found.items()):
        record = seen.get((domain, selector), {"state": UNKNOWN, "why": "it was not asked for", "kind": None, "bits": None})
        kind = facts["kind"] or record["kind"]
        facts.update(kind=kind if kind in ("rsa", "ed25519") else None, bits=facts["bits"] or record["bits"])
        why = str(record["why"])[:_MAX_TEXT]
        rows.append({"host": host or None, "domain": domain, "selector": selector, **facts, "published": record["state"], "why": why})
    return rows


def failing(document: Row) -> list[str]:
    """Return the addresses and domains of which something that receivers ask of everybody does not hold."""
    return _decided(document, DOES_NOT)


def unproven(document: Row) -> bool:
    """Whether nothing fails, and it is not known if what receivers ask of everybody holds wherever they were asked about it."""
    return not failing(document) and (document["authentication"]["state"] == "unknown" or bool(_decided(document, UNKNOWN)))


def _decided(document: Row, state: str) -> list[str]:
    rows = document["authentication"]["checklist"]
    return list(dict.fromkeys(row["subject"] for row in rows if row["rule"] in DECISIVE and row["state"] == state))


def points(document: Row, point: t.Callable[[str, str, str, str | None, str], None]) -> None:
    """Say what does not hold, what is not known, and which host does not sign as it must."""
    part = document["authentication"]
    if part["state"] == "unknown":
        step = "See whether the controller may ask its resolver (mail_dns_resolvers), and run again."
        point("warning", "administrator", f"what receivers see of the fleet is not known: {part['why']}", None, step)
    hosts = {row["address"]: row["host"] or None for row in part["addresses"]}
    for rule, what in part["rules"].items():
        for state, told in ((DOES_NOT, "does not hold"), (UNKNOWN, "is not known")):
            rows = [row for row in part["checklist"] if row["rule"] == rule and row["state"] == state and rule not in ELSEWHERE]
            if part["state"] == "unknown" and state == UNKNOWN:
                continue
            severity = "warning" if (state == DOES_NOT and what["applies"] != ADVISED) or rule in DECISIVE else "info"
            asked = f" (asked by {', '.join(name.capitalize() for name in what['receivers'])})" if what["receivers"] else ""
            for row in rows[:MAX_POINTS]:
                text = f"{row['subject']}: that {what['text']}{asked} {told}: {row['why']}"
                point(severity, "administrator", text, hosts.get(row["subject"]), row["repair"])
            if len(rows) > MAX_POINTS:
                text = f"that {what['text']} {told} of {len(rows) - MAX_POINTS} more; the checklist has all"
                point(severity, "administrator", text, None, rows[0]["repair"])
    said = "\n".join(row["why"] for row in part["checklist"])
    lost = [row for row in part["records"] if row["severity"] == "error" and row["what"] not in said]
    for row in lost[:MAX_POINTS]:
        point("warning", "administrator", f"{row['subject']}: {row['what']} ({row['source']})", None, row["repair"])
    if len(lost) > MAX_POINTS:
        point("warning", "administrator", f"{len(lost) - MAX_POINTS} more faults of records are in the table", None, lost[0]["repair"])
    for row in part["signers"]:
        if row["state"] == DOES_NOT:
            what = f"{row['host']} does not sign mail as it must: {'; '.join(row['faults'])}"
            point("warning", "administrator", what, row["host"], "Repair it, and run again.")
        elif row["state"] == UNKNOWN:
            what = f"whether {row['host']} signs mail with DKIM is not known: {'; '.join(row['faults'])}"
            point("info", "administrator", what, row["host"], "Where another host signs its mail, name the keys in mail_dns_dkim.")

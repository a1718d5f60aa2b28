# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys a host holds, and with which of them its running signer signs. Changes nothing. Standard library, Python >= 3.9."""

from __future__ import annotations

import os
import typing as t

from ..host.files import HostError, Run
from . import milter, record, safety, selectors, signers, signing
from .plan import Signing, SigningKey


class Probe(t.NamedTuple):
    """What the running signer did with a domain's message. signs: None where that is not known; the selectors with which it signed it
    for this domain; broken: per selector why the signature does not verify by the key of this host; message: as it would leave."""

    signs: list[str] | None
    broken: dict[str, str]
    message: str
    fault: str


def keys(run: Run, name: str) -> list[dict[str, t.Any]]:
    """Return every key of this host that was not destroyed, in public. held: true, false (its file is gone), or null, where it is there
    and the signer would not take it, with why in fault."""
    signer = signers.of(run, name)
    found = []
    for row in selectors.read().rows:
        if row.state == "absent":
            continue
        there = os.path.lexists(row.path)
        faults = safety.faults(row.path, signer.daemon, signer.walks) if there else []
        facts = {field: getattr(row, field) for field in ("domain", "selector", "kind", "fingerprint", "record", "state", "since")}
        found.append({**facts, "held": None if faults else there, "fault": "; ".join(faults)[:500]})
    return found


def probes(run: Run, name: str, domains: t.Iterable[str]) -> dict[str, Probe]:
    """Hand the running signer a message of each domain. Nothing is sent."""
    engine = signing.ENGINES[name]
    try:
        place = engine.place(run)
    except HostError as exc:
        return {domain: Probe(None, {}, "", str(exc)) for domain in domains}
    book: dict[str, list[SigningKey]] = {}
    for row in selectors.read().rows:
        if row.state != "absent":
            key = SigningKey(row.selector, row.path, row.kind, record.parse(row.record).spki, record.name(row.domain, row.selector))
            book.setdefault(row.domain, []).append(key)
    found: dict[str, Probe] = {}
    for domain in domains:
        selectors.check(domain, "x")
        found[domain] = _probe(place, Signing(domain, tuple(book.get(domain, ()))), engine)
        if found[domain].signs is None and "does not answer" in found[domain].fault:
            return {**dict.fromkeys(domains, found[domain]), **found}  # it is down: each would take as long
    return found


def _probe(place: tuple[str, t.Any], row: Signing, engine: t.Any) -> Probe:
    headers, body, sender = signing.message(row.domain)
    try:
        answer = milter.ask(place, headers, body, sender, sender)
    except (OSError, milter.MilterError) as exc:
        return Probe(None, {}, "", f"{engine.NAME} does not answer ({exc}): systemctl start {engine.UNIT}")
    if answer.refused:
        return Probe(None, {}, "", f"{engine.NAME} answers mail of {row.domain} with {answer.refused!r}: look at its log")
    ours = {key.selector.lower() for key in row.keys}
    signed = [one for one in signing.judge(row, headers, body, answer, engine).signatures if one["domain"] == row.domain]
    broken = {one["selector"]: one["fault"] for one in signed if one["fault"] and one["selector"] in ours}
    text = "".join(f"{name}:{value}\r\n" for name, value in [*answer.added, *headers]) + "\r\n" + body.decode("ascii")
    return Probe(sorted({one["selector"] for one in signed}), broken, text, "")

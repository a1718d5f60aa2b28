# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of selectors, and the book of those that were ever used on this host. Standard library only, Python >= 3.9.

A selector is one key's for ever: with another key behind it nobody can tell a revoked signature from a forged one (RFC 6376 section 3.1).
The exception are slots, the few fixed names behind a customer's CNAMEs: a slot takes another key a week after its last one was destroyed.

The book is dkim.json in the state of the host. Each change is a line of the journal first; the file is written once a run, and says up to
which line it goes, so that what a killed run did is read from the journal, and all of it where the file is lost.
"""

from __future__ import annotations

import datetime
import re
import typing as t

from ..host import journal
from ..host.files import HostError, load_state, save_state

FILE = "dkim.json"
#: How long a slot rests after its last key was destroyed, in days.
SLOT_REST = 7
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DOMAIN = re.compile(rf"(?:_?{_LABEL}\.)+{_LABEL}")
#: What the journal keeps of a key: public facts.
_FACTS = ("domain", "selector", "kind", "size", "fingerprint", "record", "path", "signer")


class Row(t.NamedTuple):
    """One key of this host, in public. state: made (its file may not be there yet), present, retired (kept, chosen no more), absent
    (destroyed); since: of that state, in seconds since 1970."""

    domain: str
    selector: str
    kind: str
    size: int
    fingerprint: str
    record: str
    path: str
    signer: str
    state: str
    since: float


def check(domain: str, selector: str) -> None:
    """HostError where these are no names that DNS takes for a key."""
    if not _DOMAIN.fullmatch(domain) or len(domain) > 253:
        raise HostError(f"{domain[:80]!r} is no domain name: write it in ASCII (xn--...), without a dot at its end")
    if not _SELECTOR.fullmatch(selector):
        raise HostError(f"{selector[:80]!r} is no selector: labels of letters, digits and hyphens, with dots between them")
    if len(f"{selector}._domainkey.{domain}") > 253:
        raise HostError(f"{selector}._domainkey.{domain} is longer than the 253 characters of a DNS name: choose a shorter selector")


def fresh(day: datetime.date, host: str, kind: str, used: t.Collection[str]) -> str:
    """Return a selector that was never used, such as 20261123.mx1; of an Ed25519 key, which needs one of its own, 20261123-ed.mx1."""
    label = re.sub(r"[^a-z0-9-]", "-", host.lower().partition(".")[0]).strip("-")[:40].strip("-")
    base = day.strftime("%Y%m%d") + ("-ed" if kind == "ed25519" else "")
    taken = {selector.lower() for selector in used}
    for number in range(1, 10_000):
        first = base if number == 1 else f"{base}-{number}"
        found = f"{first}.{label}" if label else first
        if found not in taken:
            return found
    raise HostError(f"{host} has made 9999 keys today: look for what keeps rotating them")


class Book:
    """All keys that this host ever had; those of a domain in the order in which they changed last."""

    def __init__(self, rows: t.Iterable[Row] = (), chain: str | None = None) -> None:
        self._domains: dict[str, dict[tuple[str, str], Row]] = {}
        self._chain, self._changed = chain, False
        for row in rows:
            self.take(row)

    @property
    def rows(self) -> list[Row]:
        return [row for keys in self._domains.values() for row in keys.values()]

    def of(self, domain: str, selector: str) -> Row | None:
        """Return the last key of a selector."""
        for row in reversed(self._domains.get(domain, {}).values()):
            if row.selector.lower() == selector.lower():
                return row
        return None

    def used(self, domain: str) -> list[str]:
        return [row.selector for row in self._domains.get(domain, {}).values()]

    def present(self, domain: str, kind: str, signer: str = "") -> list[Row]:
        """Return the keys of a domain that can be chosen to sign, the newest last."""
        found = self._domains.get(domain, {}).values()
        return [row for row in found if row.kind == kind and row.state in ("made", "present") and signer in ("", row.signer)]

    def may_take(self, domain: str, selector: str, fingerprint: str, slot: bool, rest: float, now: float) -> str:
        """Return why a selector may not take this key (empty fingerprint: one that is yet to be made), or an empty text."""
        last = self.of(domain, selector)
        if last is None or last.fingerprint == fingerprint:
            return ""
        told = f"the selector {selector} of {domain} is the key {last.fingerprint}'s ({last.state})"
        if not slot:
            return f"{told}, and a selector is never another key's: name another selector, or none for a new one"
        if last.state != "absent":
            return f"{told}: a slot takes another key when that one was revoked and destroyed"
        if now < last.since + rest:
            return f"{told}, destroyed {(now - last.since) / 86400:.1f} days ago: the slot is free after {rest / 86400:g}"
        return ""

    def put(self, row: Row) -> None:
        """Write a key's new state to the journal."""
        facts = {name: str(getattr(row, name)) for name in _FACTS}
        self._chain = journal.write(step="dkim", result=row.state, at=row.since, **facts)["chain"]
        self._changed = True
        self.take(row)

    def take(self, row: Row) -> None:
        """Take a key's state over; a key that changed is the last of its domain's."""
        keys = self._domains.setdefault(row.domain, {})
        keys.pop((row.selector, row.fingerprint), None)
        keys[(row.selector, row.fingerprint)] = row

    def save(self) -> None:
        """Write the file, where something changed."""
        if self._changed:
            save_state(FILE, {"keys": [row._asdict() for row in self.rows], "chain": self._chain})
            self._changed = False


def read() -> Book:
    """Return the book: the file, and what the journal has behind it."""
    state = load_state(FILE)
    chain = state.get("chain") if isinstance(state.get("chain"), str) else None
    try:
        book = Book([Row(**{name: entry[name] for name in Row._fields}) for entry in state.get("keys", [])], chain)
    except (KeyError, TypeError) as exc:
        raise HostError(f"/var/lib/goodstanding/{FILE} is damaged: move it away and run again; the journal has its lines") from exc
    for line in journal.lines_after(chain, most=1_000_000):
        if line.get("step") == "dkim" and all(isinstance(line.get(name), str) for name in (*_FACTS, "result")):
            facts = {**{name: line[name] for name in _FACTS}, "size": int(line["size"]) if line["size"].isdigit() else 0}
            book.take(Row(**facts, state=line["result"], since=float(line.get("at") or line.get("time") or 0)))
    return book

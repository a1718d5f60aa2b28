# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an intruder may have left: findings, told apart from what stood there before. Standard library only, Python >= 3.9.

A finding is judged against the inventory on the host: what was there, with this hash, before the break-in is unchanged. So that an
inventory which is taken after the break-in excuses nothing, each hash is kept with the time at which it was first seen.
"""

from __future__ import annotations

import hashlib
import re
import types
import typing as t

INVENTORY = "persistence.json"
DISABLED = "persistence_disabled.json"
#: Most findings of an account, targets of a finding, and characters of a target that are returned.
MAX_FINDINGS, MAX_TARGETS, MAX_LENGTH = 200, 50, 320
#: Versions of a place and places of an account that are kept in the inventory.
_VERSIONS, _PLACES = 8, 1000

_ANGLE = re.compile(r"<([^<>]*)>\s*\Z")
_ITEM = re.compile(r'(?:"[^"\\]*(?:\\.[^"\\]*)*"?|[^",\n])+', re.DOTALL)


class Found(t.NamedTuple):
    """Something that acts on an account's mail or lets somebody in.

    place: a path, "MAP key" or "table/row id"; does: in a few words of this project; targets: where mail goes; mtime, touched: epoch
    seconds or None; touched is the latest time at which it can have changed, and where it is not of this finding alone (a map of many
    entries) only its being old says something; opaque: where mail goes cannot be told in full; name: a Sieve script's name.
    """

    account: str
    kind: str
    place: str
    content: bytes
    does: list[str] = []
    targets: list[str] = []
    mtime: float | None = None
    touched: float | None = None
    alone: bool = True
    opaque: bool = False
    active: bool | None = None
    name: str = ""
    note: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class Unknown(t.NamedTuple):
    """What could not be read: account is empty where it is every account's."""

    account: str
    what: str
    why: str


def address(text: str) -> str:
    """Return the address of "Name <user@example.com>", or the text as it is."""
    match = _ANGLE.search(text)
    return (match[1] if match else text).strip()


def mail_list(text: str) -> tuple[list[str], list[str], bool]:
    """Return (does, targets, opaque) of a .forward or the right side of an alias (aliases(5)): addresses, files, programs, includes.

    Of a program only its path is shown: its arguments may hold a secret."""
    does, targets, opaque = {"forward"}, [], False
    lines = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    for match in _ITEM.finditer(lines):
        item = match[0].strip()
        bare = item[1:-1] if item.startswith('"') and item.endswith('"') and len(item) > 1 else item
        if not bare:
            continue
        if bare.startswith("|"):
            words = bare[1:].replace('"', " ").split(None, 1)
            targets.append("|" + (words[0] if words and "=" not in words[0] else ""))
            does.add("program")
        elif bare.startswith(":include:"):
            targets.append(bare)
            opaque = True
        elif bare.startswith("/"):
            targets.append(bare)
            does.add("file")
        else:
            targets.append(address(item))
    return sorted(does), targets, opaque


def is_outside(target: str, domains: t.Container[str]) -> bool:
    """Return whether mail to a target leaves the fleet's own domains. A bare name or a file stays; a program may send it anywhere."""
    if target.startswith("|"):
        return True
    if target.startswith(("/", "\\")):
        return False
    _, at, domain = target.rpartition("@")
    return bool(at) and domain.strip(" .>\"'").lower() not in domains


def judge(
    found: list[Found],
    known: dict[str, t.Any],
    accepted: list[dict[str, str]],
    disabled: dict[str, t.Any],
    domains: t.Container[str],
    since: float | None,
    locked: t.Mapping[str, float] = types.MappingProxyType({}),
) -> list[dict[str, t.Any]]:
    """Return the findings as they are shown: compared with the inventory, and with what a person accepted or had disabled.

    since: when the intruder was first seen; where that is not said, what the inventory knew before the lock (epoch per account) counts."""
    reviewed = {(row["account"].lower(), row["place"], row["sha256"].lower()): row["reason"] for row in accepted}
    shown = []
    for one in found:
        before = _before(known.get(one.account, {}).get(one.place, []), locked.get(one.account) if since is None else since)
        state = "new" if before is None else "unchanged" if (before["sha256"], before["active"]) == (one.sha256, one.active) else "changed"
        reason = reviewed.get((one.account, one.place, one.sha256))
        off = disabled.get(key(one.account, one.place), {})
        shown.append(
            {
                "account": one.account,
                "kind": one.kind,
                "place": one.place,
                "active": one.active,
                "does": one.does,
                "targets": [_shown(target) for target in one.targets[:MAX_TARGETS]],
                "outside": one.opaque or any(is_outside(target, domains) for target in one.targets),
                "sha256": one.sha256,
                "before": before["sha256"] if before else None,
                "mtime": one.mtime,
                "touched_since": _touched(one, since),
                "state": "reviewed" if reason else state,
                "reason": reason or "",
                "disabled": off.get("sha256") == one.sha256 and one.active is not True,
                "note": one.note + (f" {len(one.targets)} targets, cut" if len(one.targets) > MAX_TARGETS else ""),
            }
        )
    return shown


def is_unreviewed(finding: dict[str, t.Any]) -> bool:
    """Return whether a person has yet to look at a finding."""
    if finding["state"] == "reviewed" or finding["disabled"]:
        return False
    return finding["state"] != "unchanged" or finding["touched_since"] is True or finding["outside"]


def remember(known: dict[str, t.Any], found: list[Found], now: float) -> dict[str, t.Any]:
    """Return the inventory with what was found; the same object's content where nothing is new."""
    new = {account: dict(places) for account, places in known.items()}
    for one in found:
        places = new.setdefault(one.account, {})
        versions = places.get(one.place, [])
        entry = {"sha256": one.sha256, "active": one.active, "first_seen": now}
        if not versions or (versions[-1]["sha256"], versions[-1]["active"]) != (one.sha256, one.active):
            places[one.place] = [*versions, entry][-_VERSIONS:]
        if len(places) > _PLACES:  # the intruder's to fill: what was seen last goes first
            del places[max(places, key=lambda place: float(places[place][-1]["first_seen"]))]
    return new


def legible(text: str) -> str:
    """Return a name as it can be printed: what is no UTF-8 in a file's name as \\udcff."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def key(account: str, place: str) -> str:
    return f"{account} {place}"


def _before(versions: list[dict[str, t.Any]], since: float | None) -> dict[str, t.Any] | None:
    """Return the last version that was seen before the break-in."""
    older = [version for version in versions if since is None or version["first_seen"] < since]
    return older[-1] if older else None


def _touched(one: Found, since: float | None) -> bool | None:
    if since is None or one.touched is None:
        return None
    return False if one.touched < since else True if one.alone else None


def _shown(target: str) -> str:
    clean = "".join(letter if letter.isprintable() else "?" for letter in target[: MAX_LENGTH + 1])
    return clean if len(clean) <= MAX_LENGTH else clean[: MAX_LENGTH - 1] + "…"

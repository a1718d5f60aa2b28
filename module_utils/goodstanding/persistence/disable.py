# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take one finding out of force, or put it back: every byte is kept. Standard library only, Python >= 3.9.

A .forward, and the link that makes a Sieve script active, are renamed in their folder, so that content, owner and times come back too.
Where scripts are not files doveadm deactivates them. Maps of Postfix, keys and rows are the administrator's: told how, never edited.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import typing as t

from ..host import journal
from ..host.files import HostError, Run, load_state, must, save_state
from . import dovecot
from .files import read_file
from .findings import DISABLED, Found, key
from .inventory import Options, look, settings_of

_ASIDE = ".goodstanding-disabled-"
_HOW = {
    "alias": "take the entry out of the map's text and run newaliases or postmap",
    "virtual_alias": "take the entry out of the map's text and run postmap",
    "always_bcc": "run postconf -X always_bcc and postfix reload",
    "acl": "run doveadm acl delete for the mailbox and identifier",
    "identity": "change the identity in Roundcube",
    "app_password": "delete it where it was made",
}


def apply(run: Run, account: str, place: str, sha256: str, disabled: bool, incident: str, check_mode: bool) -> dict[str, t.Any]:
    """Bring a finding into the wanted state; sha256: its content as it was looked at, or "". HostError where that is not safe."""
    known = load_state(DISABLED)
    entry = known.get(key(account, place))
    found, unknown = look(run, [account], Options())
    one = next((one for one in found if one.place == place), None)
    if disabled:
        wanted = _to_disable(run, one, entry, account, place, sha256, [row.why for row in unknown if row.account in ("", account)])
    else:
        wanted = _to_enable(found, one, entry, account, place)
    if wanted is None:
        return {"changed": False, "diff": []}
    if not check_mode:
        if disabled:  # written first: a crash in between leaves a record that the next run can carry out
            save_state(DISABLED, {**known, key(account, place): {**wanted, "incident": incident, "time": time.time()}})
        _carry_out(run, wanted, disabled)
        if not disabled:
            save_state(DISABLED, {name: row for name, row in known.items() if name != key(account, place)})
        journal.write(step="persistence", account=account, place=place, state=_word(disabled), sha256=wanted["sha256"], incident=incident)
    shown = {"before_header": place, "after_header": place, "before": f"{_word(not disabled)}\n", "after": f"{_word(disabled)}\n"}
    return {"changed": True, "diff": [shown]}


def _word(disabled: bool) -> str:
    return "disabled" if disabled else "enabled"


def _to_disable(
    run: Run, one: Found | None, entry: dict[str, t.Any] | None, account: str, place: str, sha256: str, faults: list[str]
) -> dict[str, t.Any] | None:
    """Return what is to be done, None where it is done already."""
    if one is None or one.active is False:
        if one is not None or entry is not None:
            return None
        raise HostError(
            f"{place} is no finding of {account}: name one as mail_persistence_info shows it{''.join(f'; {why}' for why in faults)[:300]}"
        )
    if sha256 and sha256.lower() != one.sha256:
        raise HostError(f"{place} was changed since it was looked at (its sha256 is {one.sha256} now): look at it again")
    wanted = {"account": account, "kind": one.kind, "sha256": one.sha256, "name": one.name, "path": "", "base": ""}
    if one.kind == "forward":
        return _kept({**wanted, "base": os.path.dirname(place), "path": os.path.basename(place)})
    if one.kind != "sieve":
        raise HostError(f"{place} is not disabled by this module: {_HOW.get(one.kind, 'move it away by hand, after a look at it')}")
    if place.startswith("sieve:"):
        return wanted
    who = dovecot.user(run, account)
    settings = settings_of(run)
    if not isinstance(who, dovecot.User) or not isinstance(settings, list):
        raise HostError(f"Dovecot does not say where the Sieve scripts of {account} are: start it and run again")
    active = dovecot.storage(settings, who).active
    below = active[len(who.home) + 1 :] if active.startswith(who.home + "/") else ""
    return _kept({**wanted, "base": who.home if below else os.path.dirname(active), "path": below or os.path.basename(active)})


def _kept(entry: dict[str, t.Any]) -> dict[str, t.Any]:
    link, sha256 = _state(entry, entry["path"])
    return {**entry, "link": link, "kept": sha256}


def _to_enable(found: list[Found], one: Found | None, entry: dict[str, t.Any] | None, account: str, place: str) -> dict[str, t.Any] | None:
    """Return what is to be put back, None where it is in force already."""
    if entry is None:
        if one is not None and one.active is not False:
            return None
        raise HostError(f"{place} of {account} was not disabled by this module: there is nothing to put back")
    if one is not None and one.active and one.sha256 == entry["sha256"]:
        return {**entry, "path": "", "name": ""}  # put back, but not written down
    if entry["kind"] == "sieve":
        other = next((script.place for script in found if script.kind == "sieve" and script.active and script.place != place), None)
        if other:
            raise HostError(f"{other} is active now: deactivate it first, then enable {place}")
        if entry["name"] and (one is None or one.sha256 != entry["sha256"]):
            raise HostError(
                f"{place} was {'removed' if one is None else 'changed'} since it was disabled: look at it, and activate it by hand"
            )
    return entry


def _carry_out(run: Run, entry: dict[str, t.Any], disabled: bool) -> None:
    if entry["path"]:
        _rename(entry, disabled)
    elif entry["name"]:
        words = ["deactivate", "-u", entry["account"]] if disabled else ["activate", "-u", entry["account"], entry["name"]]
        must(run, ["doveadm", "sieve", *words], "the script is as it was")


def _rename(entry: dict[str, t.Any], disabled: bool) -> None:
    """Rename in a folder that is the user's, without following a link there."""
    folder, _, name = entry["path"].rpartition("/")
    aside = _ASIDE + name.lstrip(".")
    old, new = (name, aside) if disabled else (aside, name)
    with contextlib.ExitStack() as stack:
        handle = os.open(entry["base"], os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, handle)
        for part in folder.split("/") if folder else []:
            handle = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            stack.callback(os.close, handle)
        place = entry["path"][: len(entry["path"]) - len(name)]
        with contextlib.suppress(FileNotFoundError):
            os.lstat(new, dir_fd=handle)
            raise HostError(f"{entry['base']}/{place}{new} is there already: move it away and run again")
        if not disabled and _state(entry, place + aside) != (entry["link"], entry["kept"]):
            raise HostError(f"{entry['base']}/{place}{aside} was changed since it was disabled: look at it, and move it back by hand")
        os.rename(old, new, src_dir_fd=handle, dst_dir_fd=handle)


def _state(entry: dict[str, t.Any], path: str) -> tuple[str, str]:
    """Return the words of a link and the hash of what is read there."""
    content = read_file(entry["base"], path)
    try:
        link = os.readlink(os.path.join(entry["base"], path))
    except OSError:
        link = ""
    # The script behind a link is compared as the finding that it is.
    return link, "" if link or content is None else hashlib.sha256(content.data).hexdigest()

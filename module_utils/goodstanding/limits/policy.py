# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be sent: how many recipients an account, a domain or a local user may have in a minute, an hour and a day.

The administrator's words become a policy here, and are refused where they could mean something else than was meant: an override stands
above a reviewed proposal, and that above the default of the scope. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import datetime
import re
import typing as t

#: The windows of a limit, in seconds.
WINDOWS = {"minute": 60, "hour": 3600, "day": 86400}
#: Whom a limit counts: a login as Postfix logs it (small letters), the domain of such a login, a local user by number or name.
SCOPES = ("account", "domain", "uid")
#: The login that tries the limits; it may have this many recipients in a minute, and no mailbox.
CANARY_RECIPIENTS = 3

#: So many entries at most has a list of overrides or a group, and so many accounts the file of proposals or what comes of it all: an engine
#: holds them in memory.
MAX_ENTRIES = 10_000
MAX_KEYS = 50_000
MAX_RECIPIENTS = 1_000_000_000
#: Of overrides that end in so many days the administrator is told.
SOON = 7
MAX_NOTES = 50
#: The layers of the overrides, the later one stands above the earlier.
LAYERS = ("overrides", "overrides_group", "overrides_host")
#: Logins of our own: nobody gives them a limit.
_OWN = "goodstanding-"
#: Engines write names into maps, queries and configuration: what could be anything else there is no name.
_ACCOUNT = re.compile(r"[0-9a-z_+=][0-9a-z._+=~@-]{0,253}\Z")
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[0-9a-z_](?:[0-9a-z_-]*[0-9a-z_])?(?:\.[0-9a-z_](?:[0-9a-z_-]*[0-9a-z_])?)*\Z")
_GROUP = re.compile(r"[0-9A-Za-z_][0-9A-Za-z._-]{0,63}\Z")
_USER = re.compile(r"[A-Za-z_][\w.-]{0,31}\$?\Z", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_SUBJECTS = (*SCOPES, "group")


class PolicyError(Exception):
    """The administrator's words are no policy; the message names the entry, what was expected, and what to do."""


class Limit(t.NamedTuple):
    """Recipients per window's name. soft: more are put off (4xx); hard: more are refused (5xx). A window left out has no limit."""

    soft: t.Mapping[str, int]
    hard: t.Mapping[str, int]


class Policy(t.NamedTuple):
    """The limits of a host. overrides: per (scope, key) the limit that stands instead, with groups and dates already resolved."""

    account: Limit
    domain: Limit
    uid: Limit
    overrides: t.Mapping[tuple[str, str], Limit]
    #: Nothing is refused; who would have been is said (rate_limit_mode: shadow).
    shadow: bool


class Words(t.NamedTuple):
    """The administrator's words: each field is the role's variable rate_limit_ and its name, as Ansible hands it over. proposals: what the
    file of that name says, read."""

    account: t.Any = None
    domain: t.Any = None
    uid: t.Any = None
    groups: t.Any = None
    overrides: t.Any = None
    overrides_group: t.Any = None
    overrides_host: t.Any = None
    mode: t.Any = "shadow"
    proposals: t.Any = None


class Standing(t.NamedTuple):
    """A limit and where it comes from. key: empty for the default of the scope; source: default, proposal or override."""

    scope: str
    key: str
    limit: Limit
    source: str
    text: str


class Ruling(t.NamedTuple):
    """What came of the words. standing: every limit with where it comes from; expired: overrides without effect; overridden: reviewed
    proposals that an override stands above; notes: what else the administrator is to know, a sentence each."""

    policy: Policy
    standing: list[Standing]
    expired: list[dict[str, str]]
    overridden: list[dict[str, str]]
    notes: list[str]


class Proposed(t.NamedTuple):
    """An entry of the file of proposals. reviewed: an administrator marked it (reviewed: true), or put a name under it (by)."""

    limit: Limit
    reviewed: bool
    by: str


class _Override(t.NamedTuple):
    """place: which entry it is, for messages; variable: the list that it stands in; layer: its place in LAYERS."""

    place: str
    variable: str
    layer: int
    subject: str
    name: str
    limit: Limit
    reason: str
    until: datetime.date


def parse(words: Words, today: datetime.date) -> Ruling:
    """Return the policy of these words; PolicyError where they are none. today: overrides stand until the end of their last day."""
    defaults = {scope: _default(getattr(words, scope), f"rate_limit_{scope}") for scope in SCOPES}
    groups = _groups(words.groups)
    written = [row for layer, name in enumerate(LAYERS) for row in _overrides(getattr(words, name), f"rate_limit_{name}", layer, groups)]
    chosen = _choose([row for row in written if row.until >= today], groups)
    reviewed = {name: row for name, row in proposals(words.proposals).items() if row.reviewed}
    standing = [Standing(scope, "", defaults[scope], "default", f"rate_limit_{scope}") for scope in SCOPES]
    resolved: dict[tuple[str, str], Standing] = {}
    for name, entry in reviewed.items():
        text = "reviewed proposal" + (f" (by {entry.by})" if entry.by else "")
        resolved["account", name] = Standing("account", name, entry.limit, "proposal", text)
    overridden = []
    for (scope, key), row in chosen.items():
        if (scope, key) in resolved:
            overridden.append({"account": key, "by": _said(row)})
        resolved[scope, key] = Standing(scope, key, row.limit, "override", _said(row))
    if len(resolved) > MAX_KEYS:
        raise PolicyError(
            f"the overrides and proposals name {len(resolved)} accounts, domains and local users: expected {MAX_KEYS} at most; "
            "raise the default of the scope, and name only those that differ from it"
        )
    standing += [resolved[key] for key in sorted(resolved)]
    policy = Policy(
        defaults["account"], defaults["domain"], defaults["uid"], {key: row.limit for key, row in sorted(resolved.items())},
        _shadow(words.mode),
    )  # fmt: skip
    expired = [
        {"scope": row.subject, "key": row.name, "until": row.until.isoformat(), "reason": row.reason, "variable": row.variable}
        for row in written
        if row.until < today
    ]
    overridden.sort(key=lambda row: row["account"])
    return Ruling(policy, standing, expired, overridden, _notes(policy, standing, [row for row in written if row.until >= today], today))


def is_account(name: str) -> bool:
    """Return whether an engine can be given a limit for this login."""
    return bool(_ACCOUNT.match(name)) and not name.startswith(_OWN)


def limit_of(soft: t.Any, hard: t.Any, place: str) -> Limit:
    """Return a limit of the words of its two halves; PolicyError names the place."""
    limit = Limit(_half(soft, f"{place}, soft"), _half(hard, f"{place}, hard"))
    for window in WINDOWS:
        if window in limit.soft and window in limit.hard and limit.hard[window] < limit.soft[window]:
            raise PolicyError(
                f"{place}: the hard limit of the {window}, {limit.hard[window]}, is below the soft one, {limit.soft[window]}: expected at "
                "least as much, since mail is put off first and refused later; raise hard, or lower soft"
            )
    return limit


def proposals(value: t.Any) -> dict[str, Proposed]:
    """Return the entries of the file of proposals, by account; PolicyError where it is no such file."""
    place = "rate_limit_proposals"
    accounts = _mapping(_mapping(value, place, "accounts: {ACCOUNT: {...}}", ("accounts",)).get("accounts"), f"{place}, accounts", "{}")
    _few(accounts, f"{place}, accounts", MAX_KEYS)
    found: dict[str, Proposed] = {}
    for name, entry in accounts.items():
        key = _name("account", name, f"{place}, accounts")
        here = f"{place}, account {key}"
        if key in found:
            raise PolicyError(f"{here} is there twice, in capital and in small letters: leave one")
        entry = _mapping(entry, here, "{reviewed: true, soft: {...}, hard: {...}}", ("reviewed", "by", "soft", "hard"))
        reviewed, by = entry.get("reviewed", False), entry.get("by")
        if not isinstance(reviewed, bool):
            raise PolicyError(f"{here}: reviewed is {_show(reviewed)}: expected true or false, without quotes")
        if by is not None:
            by = _text(by, f"{here}: by", "the name of who reviewed it")
        _halves(entry, here)
        found[key] = Proposed(limit_of(entry.get("soft"), entry.get("hard"), here), reviewed or bool(by), by or "")
    return found


# ---- the way to the host


def as_data(policy: Policy) -> dict[str, t.Any]:
    """Return a policy as the JSON that the target's module takes."""
    rows = [{"scope": scope, "key": key, **halves(limit)} for (scope, key), limit in sorted(policy.overrides.items())]
    return {**{scope: halves(getattr(policy, scope)) for scope in SCOPES}, "overrides": rows, "shadow": policy.shadow}


def from_data(value: t.Any) -> Policy:
    """Return the policy that as_data() wrote; PolicyError where it is none."""
    data = _mapping(value, "the policy", "what rate_limit_policy_info returns", (*SCOPES, "overrides", "shadow"))
    limits = {scope: _default(data.get(scope), f"the policy, {scope}") for scope in SCOPES}
    overrides: dict[tuple[str, str], Limit] = {}
    for number, row in enumerate(_list(data.get("overrides"), "the policy, overrides", MAX_KEYS), 1):
        place = f"the policy, override {number}"
        row = _mapping(row, place, "{scope, key, soft, hard}", ("scope", "key", "soft", "hard"))
        if row.get("scope") not in SCOPES:
            raise PolicyError(f"{place}: scope is {_show(row.get('scope'))}: expected one of {', '.join(SCOPES)}")
        overrides[row["scope"], _name(row["scope"], row.get("key"), place)] = limit_of(row.get("soft"), row.get("hard"), place)
    if not isinstance(data.get("shadow", False), bool):
        raise PolicyError(f"the policy: shadow is {_show(data['shadow'])}: expected true or false")
    return Policy(limits["account"], limits["domain"], limits["uid"], overrides, data.get("shadow", False))


def halves(limit: Limit) -> dict[str, dict[str, int]]:
    """Return a limit as JSON, the shortest window first."""
    return {name: {window: half[window] for window in WINDOWS if window in half} for name, half in limit._asdict().items()}


# ---- the parts of the words


def _shadow(mode: t.Any) -> bool:
    if mode not in ("enforce", "shadow"):
        raise PolicyError(f"rate_limit_mode is {_show(mode)}: expected enforce (mail is refused) or shadow (only said)")
    return bool(mode == "shadow")


def _default(value: t.Any, place: str) -> Limit:
    halves = _mapping(value, place, "{soft: {minute, hour, day}, hard: {minute, hour, day}}", ("soft", "hard"))
    return limit_of(halves.get("soft"), halves.get("hard"), place)


def _half(value: t.Any, place: str) -> dict[str, int]:
    given = _mapping(value, place, "{minute: NUMBER, hour: NUMBER, day: NUMBER}", tuple(WINDOWS))
    half: dict[str, int] = {}
    for window in WINDOWS:
        number = given.get(window)
        if number is None:
            continue
        # True is 1 in Python; nobody means it.
        if isinstance(number, bool) or not isinstance(number, int):
            raise PolicyError(f"{place}, {window} is {_show(number)}: expected a whole number of recipients; write it without quotes")
        if not 1 <= number <= MAX_RECIPIENTS:
            raise PolicyError(
                f"{place}, {window} is {_show(number)}: expected 1 to {MAX_RECIPIENTS} recipients; leave the window out where there is no "
                "limit, and lock an account that is to send nothing"
            )
        for shorter, least in half.items():
            if least > number:
                raise PolicyError(
                    f"{place}: the {shorter}, {least}, is above the {window}, {number}: expected no more in a shorter window, since the "
                    f"{window} would always be met first; lower the {shorter}, or raise the {window}"
                )
        half[window] = number
    return half


def _halves(entry: t.Mapping[str, t.Any], place: str) -> None:
    if "soft" not in entry and "hard" not in entry:
        raise PolicyError(
            f"{place} says no limit: expected soft, hard or both; write 'soft: {{}}' and 'hard: {{}}' where there is to be none at all"
        )


def _groups(value: t.Any) -> dict[str, list[str]]:
    given = _mapping(value, "rate_limit_groups", "{NAME: [ACCOUNT, ...]}")
    _few(given, "rate_limit_groups")
    groups: dict[str, list[str]] = {}
    for name, members in given.items():
        name = _name("group", name, "rate_limit_groups")
        place = f"rate_limit_groups, {name}"
        # In two spellings an account is one.
        groups[name] = sorted({_name("account", member, place) for member in _list(members, place, MAX_ENTRIES)})
    return groups


def _overrides(value: t.Any, variable: str, layer: int, groups: t.Mapping[str, list[str]]) -> list[_Override]:
    return [_override(row, number, variable, layer, groups) for number, row in enumerate(_list(value, variable, MAX_ENTRIES), 1)]


def _override(value: t.Any, number: int, variable: str, layer: int, groups: t.Mapping[str, list[str]]) -> _Override:
    place = f"entry {number} of {variable}"
    expected = "{account, domain, uid or group: NAME, soft: {...}, hard: {...}, reason: TEXT, until: YYYY-MM-DD}"
    row = _mapping(value, place, expected, (*_SUBJECTS, "soft", "hard", "reason", "until"))
    subjects = [name for name in _SUBJECTS if row.get(name) is not None]
    if len(subjects) != 1:
        said = f"{' and '.join(subjects)} at once" if subjects else "nobody"
        raise PolicyError(f"{place} is about {said}: expected one of account, domain, uid and group; write an entry for each")
    subject = subjects[0]
    name = _name(subject, row[subject], place)
    place += f" ({subject} {name})"
    if subject == "group" and name not in groups:
        raise PolicyError(f"{place}: there is no such group: expected one of rate_limit_groups ({_some(groups)}); add it there")
    _halves(row, place)
    limit = limit_of(row.get("soft"), row.get("hard"), place)
    reason = _text(row.get("reason"), f"{place}: reason", "a sentence that says why, for who reads it in a year")
    return _Override(place, variable, layer, subject, name, limit, reason, _until(row.get("until"), place))


def _until(value: t.Any, place: str) -> datetime.date:
    text = value.isoformat() if isinstance(value, datetime.date) else value
    try:
        if isinstance(text, str) and _DAY.match(text):
            return datetime.date.fromisoformat(text)
    except ValueError:
        pass
    raise PolicyError(f"{place}: until is {_show(value)}: expected its last day as YYYY-MM-DD; look at it again by then")


def _choose(rows: list[_Override], groups: t.Mapping[str, list[str]]) -> dict[tuple[str, str], _Override]:
    """Return the override that stands for each (scope, key): an account's own above its group's, then the later layer."""
    chosen: dict[tuple[str, str], tuple[tuple[bool, int], _Override]] = {}
    for row in rows:
        direct = row.subject != "group"
        for key in [(row.subject, row.name)] if direct else [("account", member) for member in groups[row.name]]:
            rank = (direct, row.layer)
            if key in chosen and chosen[key][0] == rank:
                raise PolicyError(
                    f"{row.place} and {chosen[key][1].place} are both about the {key[0]} {key[1]}: expected one override of it in a list; "
                    + ("leave one of them" if direct else f"take it out of a group, or write an override of its own (account: {key[1]})")
                )
            if key not in chosen or rank > chosen[key][0]:
                chosen[key] = rank, row
    return {key: row for key, (_, row) in chosen.items()}


def _said(row: _Override) -> str:
    group = f", group {row.name}" if row.subject == "group" else ""
    return f"{row.variable}{group}: {row.reason} (until {row.until.isoformat()})"


def _notes(policy: Policy, standing: list[Standing], live: list[_Override], today: datetime.date) -> list[str]:
    notes = []
    if not policy.account.soft and not policy.account.hard:
        notes.append("rate_limit_account has no limit: an account without an override or a reviewed proposal may send as much as it likes.")
    for row in live:
        left = (row.until - today).days
        if left <= SOON:
            when = "today" if left == 0 else "tomorrow" if left == 1 else f"in {left} days"
            notes.append(f"{row.place} ends {when}, on {row.until.isoformat()}: write a later day, or let the limit below it stand.")
    for place in standing:
        if not place.key:
            continue
        below = getattr(policy, place.scope)
        free = [window for window in WINDOWS if window in {*below.soft, *below.hard} - {*place.limit.soft, *place.limit.hard}]
        if free:
            notes.append(
                f"The {place.scope} {place.key} has no limit in the {' and '.join(free)}, which rate_limit_{place.scope} has: {place.text}."
            )
        domain = place.key.rpartition("@")[2]
        over = policy.overrides.get(("domain", domain), policy.domain)
        cut = [window for window in WINDOWS if _least(over, window) < _least(place.limit, window)] if place.scope == "account" else []
        cut = [window for window in cut if window in {*place.limit.soft, *place.limit.hard}]
        if cut and "@" in place.key:
            notes.append(f"The account {place.key} meets the limit of its domain {domain} before its own in the {' and '.join(cut)}.")
    more = len(notes) - MAX_NOTES
    return notes if more <= 0 else [*notes[:MAX_NOTES], f"{more} more notes of this kind are left out."]


def _least(limit: Limit, window: str) -> float:
    return min(limit.soft.get(window, float("inf")), limit.hard.get(window, float("inf")))


# ---- one value


def _name(subject: str, value: t.Any, place: str) -> str:
    """Return a name as it is looked up; PolicyError where it is none."""
    if subject == "uid":
        text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
        if re.match(r"[0-9]{1,10}\Z", text) and int(text) < 2**32 - 1:
            return str(int(text))
        if not _USER.match(text):
            raise PolicyError(f"{place}: the uid is {_show(value)}: expected a local user's number, as 'id -u NAME' prints it, or name")
        return text
    text = value.strip(" ") if isinstance(value, str) else ""
    if subject == "group":
        if not _GROUP.match(text):
            raise PolicyError(f"{place}: the group is {_show(value)}: expected letters, digits, dots, hyphens and underscores; name it so")
        return text
    text = text.lower()
    if subject == "domain":
        if not _DOMAIN.match(text):
            raise PolicyError(f"{place}: the domain is {_show(value)}: expected a name such as example.com (IDN as xn--...)")
        return text
    if text.startswith(_OWN):
        raise PolicyError(f"{place}: the account {_show(value)} is one of our own, which try the limits; leave it out")
    if not _ACCOUNT.match(text):
        raise PolicyError(
            f"{place}: the account is {_show(value)}: expected a login as the log has it (letters, digits and ._+=~@-, at most 254); "
            "limit another login by the default or by its domain"
        )
    return text


def _text(value: t.Any, place: str, expected: str) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text or not text.isprintable() or len(text) > 300:
        raise PolicyError(f"{place} is {_show(value)}: expected {expected}, at most 300 characters")
    return text


def _mapping(value: t.Any, place: str, expected: str, known: tuple[str, ...] | None = None) -> dict[t.Any, t.Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise PolicyError(f"{place} is {_show(value)}: expected {expected}")
    for key in value:
        if known is not None and key not in known:
            raise PolicyError(f"{place} has {_show(key)}, which is not known there: expected {', '.join(known)}; is it misspelt?")
    return value


def _list(value: t.Any, place: str, most: int) -> list[t.Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise PolicyError(f"{place} is {_show(value)}: expected a list, in YAML one entry after each hyphen")
    _few(value, place, most)
    return value


def _few(value: t.Sized, place: str, most: int = MAX_ENTRIES) -> None:
    if len(value) > most:
        raise PolicyError(f"{place} has {len(value)} entries: expected {most} at most; name only what differs from the default")


def _some(names: t.Iterable[str]) -> str:
    found = sorted(names)
    return (", ".join(found[:10]) + (", ..." if len(found) > 10 else "")) or "none yet"


def _show(value: t.Any) -> str:
    """Return a value as a message can hold it: on one line, and short."""
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else str(value)
    text = "".join(char if char.isprintable() else "?" for char in text[:200])
    return "nothing" if value is None else text if len(text) <= 80 else text[:77] + "..."

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a signer into the wanted state, and see by a message what the one that runs does. Standard library and keys.py, Python >= 3.9.

Order: the keys are tried as the daemon's user, the configuration in copies, then it is written, the signer reloads, and a message for each
domain goes through its milter: it must come back signed with each key, and each signature must verify by that key's public half. What
fails puts the old files back and reloads once more.
"""

from __future__ import annotations

import contextlib
import email.utils
import re
import secrets
import time
import types
import typing as t

from ..accounts import postfix_conf
from ..host import journal
from ..host.files import STATE, File, HostError, Run, changes, diff, load_state, save_state, write_file
from . import milter, opendkim, record, rspamd, safety, selectors, signers, verify
from .plan import Signing, SigningKey

STATE_FILE = "dkim_signing.json"
ENGINES: dict[str, types.ModuleType] = {"opendkim": opendkim, "rspamd": rspamd}
_QUEUE = "/var/spool/postfix"
#: So many domains that are not ours are tried before and after a change.
_OTHERS = 20
#: So many domains that somebody else let sign are looked at, for so many seconds.
_LOOKED = 200
_PATIENCE = 60.0
_UNSIGNED = "no key signs mail of {} on this host: make one, publish it, and name it among what is signed"


class Seen(t.NamedTuple):
    """What the running signer did with a domain's message. signatures: d=, s=, a=, and why it does not verify; faults: a sentence each."""

    domain: str
    signatures: list[dict[str, str]]
    faults: list[str]
    #: It has no answer, or signs with another key: after a reload it may need some time.
    may_come: bool


def rows(wanted: list[dict[str, t.Any]]) -> list[Signing]:
    """Return what is to be signed, the keys as this host's book has them. HostError where it does not hold one of them."""
    book, found = selectors.read(), []
    for entry in wanted:
        domain = str(entry["domain"]).lower()
        keys = []
        for selector in entry["selectors"]:
            selectors.check(domain, selector)
            row = book.of(domain, selector)
            if row is None or row.state == "absent":
                raise HostError(f"this host holds no key {selector} of {domain}: make it with dkim_key and publish it first")
            public = record.parse(row.record)
            keys.append(SigningKey(row.selector, row.path, row.kind, public.spki, record.name(domain, row.selector)))
        if not keys:
            raise HostError(f"{domain} is to be signed and no selector is named")
        found.append(Signing(domain, tuple(keys), bool(entry.get("subdomains"))))
    if len({row.domain for row in found}) < len(found):
        raise HostError("a domain is named twice: give all its selectors in one entry")
    return sorted(found)


def apply(run: Run, name: str, wanted: list[Signing], present: bool, check_mode: bool, probe: str = "changed") -> dict[str, t.Any]:
    """Bring a signer into the wanted state. probe: changed (when something changed), all (always) or none."""
    engine = ENGINES[name]
    wanted, notes = engine.settle(wanted)
    bad = key_faults(run, name, wanted)
    if bad and present:
        raise HostError(f"{name} would not take its keys: {'; '.join(bad)[:800]}: nothing was changed")
    files: list[File] = engine.wanted(run, wanted, present)
    changed = changes(files)
    state = load_state(STATE_FILE)
    told = {row.domain: [key.selector for key in row.keys] for row in wanted} if present else {}
    unfinished = present and state.get("signing") != {name: told}
    result: dict[str, t.Any] = {
        "changed": bool(changed) or unfinished,
        "diff": diff(changed),
        "notes": notes,
        "signer": name,
        "signing": told,
    }
    if check_mode:
        return {**result, "probes": [], "reloaded": state.get("reloaded")}
    seen: list[Seen] = []
    if result["changed"]:
        seen = _change(run, engine, wanted, present, probe != "none", files, changed, state)
        if present:
            save_state(STATE_FILE, {"reloaded": time.time(), "signing": {name: told}})
        else:
            write_file(File(f"{STATE}/{STATE_FILE}", None))
        journal.write(step="dkim_signing", state="present" if present else "absent", signer=name, signing=told)
    elif probe == "all":
        seen = look(run, name, wanted)
    return {**result, "probes": [row._asdict() for row in seen], "reloaded": load_state(STATE_FILE).get("reloaded")}


def _change(run: Run, engine: types.ModuleType, wanted: list[Signing], present: bool, probe: bool, files: list[File],
            changed: list[tuple[File, str | None]], state: dict[str, t.Any]) -> list[Seen]:  # fmt: skip
    ours = {row.domain for row in wanted} | _ours_before(state)
    validated, seen, others = False, [], _of_others(run, engine, ours)
    try:
        engine.check(run, files, wanted, present)
        validated = True
        if state:
            write_file(File(f"{STATE}/{STATE_FILE}", None))  # until it signs: the run after one that is killed here reloads
        for file, _ in changed:
            write_file(file)
        if _active(run, engine.UNIT):
            engine.reload(run)
        elif present and probe:
            raise HostError(f"{engine.UNIT} does not run: systemctl enable --now {engine.UNIT}, and run again")
        if present and probe:
            seen = _until(run, engine, wanted)
        _compare(others, _of_others(run, engine, ours, set(others)))
    except (HostError, OSError) as exc:
        for file, text in reversed(changed):
            write_file(file._replace(text=text))
        if state:
            save_state(STATE_FILE, state)
        if validated and changed and _active(run, engine.UNIT):
            try:
                engine.reload(run)
            except HostError as again:
                raise HostError(f"{exc}; the old files are back, and then {again}") from exc
        raise HostError(f"{exc}; the old files are back") from exc
    return seen


def _until(run: Run, engine: types.ModuleType, wanted: list[Signing]) -> list[Seen]:
    """Probe every domain until each is signed as wanted; HostError with what is not, where the time is over."""
    place, deadline, left = engine.place(run), time.monotonic() + engine.PATIENCE, list(wanted)
    seen: dict[str, Seen] = {}
    while True:
        for row in list(left):
            seen[row.domain] = one = ask(place, row, engine)
            if not one.faults:
                left.remove(row)
            elif one.may_come:
                break  # the others wait for the same reload
        if not left:
            return [seen[row.domain] for row in wanted]
        faults = [fault for row in left if row.domain in seen for fault in seen[row.domain].faults]
        if time.monotonic() > deadline or not seen[left[0].domain].may_come:
            raise HostError(f"{engine.NAME} was reloaded and does not sign as it must: {'; '.join(faults)[:800]}")
        time.sleep(0.5)


def _ours_before(state: dict[str, t.Any]) -> set[str]:
    """Return the domains that we let sign, or hold keys of: they may be signed otherwise, or no more."""
    found = {row.domain for row in selectors.read().rows}
    for told in state.get("signing", {}).values():
        found |= set(told)
    return found


def _of_others(run: Run, engine: types.ModuleType, ours: set[str], domains: set[str] | None = None) -> dict[str, set[str]]:
    """Return the selectors with which domains that are not ours are signed, a few of them; empty where the signer does not run."""
    found: dict[str, set[str]] = {}
    if domains is None:
        domains = {name for name in engine.signed_domains(run) if "*" not in name} - ours
    for domain in sorted(domains)[:_OTHERS]:
        headers, body, sender = _message(domain)
        try:
            answer = milter.ask(engine.place(run), headers, body, sender, sender)
        except (HostError, OSError, milter.MilterError):
            return {}
        tags = [verify.tags(value) for name, value in answer.added if name.lower() == "dkim-signature"]
        found[domain] = {f"{row.get('s', '')} of {row.get('d', '')}"[:200] for row in tags}
    return found


def _compare(before: dict[str, set[str]], after: dict[str, set[str]]) -> None:
    for domain, selectors_before in before.items():
        if after.get(domain) != selectors_before:
            raise HostError(
                f"mail of {domain}, which is not ours, was signed with {', '.join(sorted(selectors_before)) or 'nothing'} and is now with "
                f"{', '.join(sorted(after.get(domain, ()))) or 'nothing'}: give its key in signing, too"
            )


def _active(run: Run, unit: str) -> bool:
    return run(["systemctl", "is-active", "--quiet", unit])[0] == 0


def ask(place: tuple[str, t.Any], row: Signing, engine: types.ModuleType) -> Seen:
    """Hand the running signer a message of a domain, and look at what it adds."""
    headers, body, sender = _message(row.domain)
    try:
        answer = milter.ask(place, headers, body, sender, sender)
    except PermissionError:
        why = f"{engine.NAME} does not answer at {_told(place)} to this user (Permission denied): let Ansible be root there (become)"
        return Seen(row.domain, [], [why], True)
    except (OSError, milter.MilterError) as exc:
        why = f"{engine.NAME} does not answer at {_told(place)} ({exc}): systemctl start {engine.UNIT}"
        return Seen(row.domain, [], [why], True)
    if answer.refused:
        why = f"{engine.NAME} answers mail of {row.domain} with {answer.refused!r}: look at its log for the key of this domain"
        return Seen(row.domain, [], [why], True)
    return judge(row, headers, body, answer, engine)


def judge(row: Signing, headers: list[tuple[str, str]], body: bytes, answer: milter.Answer, engine: types.ModuleType) -> Seen:
    """Return what is wrong with the signatures of a message. Pure but for the mathematics."""
    signatures, faults = [], []
    keys = {key.selector.lower(): key for key in row.keys}
    others = [header for header in answer.added if header[0].lower() != "dkim-signature"]
    for name, value in answer.added:
        if name.lower() != "dkim-signature":
            continue
        tags = verify.tags(value)
        domain, selector = tags.get("d", "").lower(), tags.get("s", "").lower()
        key = keys.get(selector) if domain == row.domain else None
        why = "of a key that is not expected"
        if key is not None:
            why = verify.fault([*others, *headers], body, value, key.spki)
            why = why and verify.fault(headers, body, value, key.spki)  # what the signer itself adds may stand outside
            if why:
                faults.append(f"the signature of {key.name} does not verify ({why}): {key.path} is another key than the book of keys says")
            keys.pop(selector)
        signatures.append({"domain": domain[:253], "selector": selector[:253], "algorithm": tags.get("a", "")[:20], "fault": why})
    odd = [one["selector"] for one in signatures if one["domain"] == row.domain and one["fault"] == "of a key that is not expected"]
    told = ", ".join(odd)[:200]
    for key in keys.values():
        if odd:
            faults.append(f"mail of {row.domain} is signed with {told}, not with {key.selector}: systemctl reload {engine.UNIT}")
        else:
            faults.append(
                f"mail of {row.domain} leaves without a signature of {key.selector}: systemctl reload {engine.UNIT}, "
                "then look at its log for this key"
            )
    if odd and not keys:
        faults.append(f"mail of {row.domain} is signed with {told}, too, which nobody asked for: look for it in its configuration")
    return Seen(row.domain, signatures, faults, bool(keys))


def _message(domain: str) -> tuple[list[tuple[str, str]], bytes, str]:
    """Return headers, body and sender of a message that is never sent. What relaxed and simple canonicalization treat apart is in it."""
    sender = f"dkim-probe@{domain}"
    headers = [
        ("From", f" <{sender}>"), ("To", f" <{sender}>"), ("Subject", " Probe of a signer,\r\n\tnot  sent"),
        ("Date", f" {email.utils.formatdate()}"), ("Message-ID", f" <{secrets.token_hex(8)}@{domain}>"), ("MIME-Version", " 1.0"),
        ("Content-Type", " text/plain; charset=us-ascii"),
    ]  # fmt: skip
    return headers, b"This message tries a signer;  it is not sent. \r\n\r\n", sender


def _told(place: tuple[str, t.Any]) -> str:
    return str(place[1]) if place[0] == "unix" else f"{place[1][0]}:{place[1][1]}"


def look(run: Run, name: str, wanted: list[Signing]) -> list[Seen]:
    """Ask the running signer about every domain."""
    engine = ENGINES[name]
    place = engine.place(run)
    return [ask(place, row, engine) for row in wanted]


def key_faults(run: Run, name: str, wanted: list[Signing]) -> list[str]:
    """Return why the signer would not take a key, by its own rule and as its own user."""
    signer = signers.of(run, name)
    return [fault for row in wanted for key in row.keys for fault in safety.faults(key.path, signer.daemon, signer.walks)]


class Told(t.NamedTuple):
    """faults: what keeps a host from signing, a sentence each; unasked: those of them that keep all its mail from the signer; seen: what
    the signer did."""

    faults: list[str]
    unasked: list[str]
    seen: list[Seen]


def faults(run: Run, name: str, wanted: list[Signing], domains: list[str]) -> Told:
    """Return what keeps this host from signing, and what its signer does. domains: those that the fleet sends for."""
    engine = ENGINES[name]
    wanted, _ = engine.settle(wanted)
    found = key_faults(run, name, wanted)
    unasked: list[str] = []
    seen: list[Seen] = []
    others = sorted({domain.lower() for domain in domains} - {row.domain for row in wanted})
    try:
        place = engine.place(run)
        seen = [ask(place, row, engine) for row in wanted]
        silent = [one for one in seen if one.faults and not one.signatures and "does not answer" in one.faults[0]]
        found += silent[0].faults if silent else [fault for one in seen for fault in one.faults]
        asked = [] if silent else _look_at(place, others, engine)
        found += [fault for one in asked for fault in one.faults]
        seen += asked
        unasked = _unasked(run, name, place)
    except HostError as exc:
        found.append(str(exc))
    signed = {row.domain for row in seen} | engine.signed_domains(run)
    found += [_UNSIGNED.format(domain) for domain in others if domain not in signed]
    if changes(engine.wanted(run, wanted, True)) and wanted:
        found.append(f"the configuration of {name} is not as it was left: run the tasks sign of the role dkim again")
    return Told(found + unasked, unasked, seen)


def _look_at(place: tuple[str, t.Any], domains: list[str], engine: types.ModuleType) -> list[Seen]:
    """Return with which keys the running signer signs mail of domains, whoever set that up; of so many as it answers for in time."""
    seen: list[Seen] = []
    deadline = time.monotonic() + _PATIENCE
    for domain in domains[:_LOOKED]:
        one = ask(place, Signing(domain, ()), engine)
        if one.signatures:
            one = one._replace(signatures=[{**signature, "fault": ""} for signature in one.signatures], faults=[])
        elif not one.faults:
            one = one._replace(faults=[_UNSIGNED.format(domain)])
        elif "does not answer" in one.faults[0]:
            return [*seen, one]
        seen.append(one)
        if time.monotonic() > deadline:
            break
    return seen


def _unasked(run: Run, name: str, place: tuple[str, t.Any]) -> list[str]:
    """Return the services of Postfix that take mail of users and do not ask this signer."""
    names = ("smtpd_milters", "smtpd_sasl_auth_enable", "milter_default_action")
    outputs = [run(["postconf", *words]) for words in (["-M"], ["-P"], list(names))]
    if any(code for code, _, _ in outputs):
        return ["Postfix's configuration cannot be read, so that nothing is known of who asks the signer: run postfix check"]
    effective = postfix_conf.effective(*(out for _, out, _ in outputs))
    with_logins = {service: row for service, row in effective.items() if row["smtpd_sasl_auth_enable"] == "yes"} or effective
    found = []
    for service, row in with_logins.items():
        value = _expanded(run, row["smtpd_milters"])
        if not any(_same(words, place) for words in value):
            found.append(f"the service {service} of Postfix does not ask {name}: name it in smtpd_milters (and in non_smtpd_milters)")
    return found


def _expanded(run: Run, value: str) -> list[str]:
    """Return the milters of a parameter, with $name replaced."""
    for _ in range(5):
        match = re.search(r"\$(?:\{(\w+)\}|\((\w+)\)|(\w+))", value)
        if match is None:
            break
        code, out, _ = run(["postconf", "-hx", match[1] or match[2] or match[3]])
        value = value.replace(match[0], out.strip() if code == 0 else "")
    return [words for words in re.split(r"[\s,{}]+", value) if ":" in words]


def _same(words: str, place: tuple[str, t.Any]) -> bool:
    """Return whether a milter of Postfix is at this place; Postfix may be in its queue's folder (chroot)."""
    kind, _, rest = words.partition(":")
    if kind in ("unix", "local"):
        paths = {rest, f"{_QUEUE}/{rest.lstrip('/')}"}
        return place[0] == "unix" and place[1] in paths
    found: tuple[str, t.Any] | None = None
    with contextlib.suppress(ValueError):
        found = milter.endpoint(words)
    return found is not None and place[0] == "inet" and found[1][1] == place[1][1]

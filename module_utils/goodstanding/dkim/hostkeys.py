# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the DKIM keys of a host into the wanted state: made here, written for the signer, kept in the book. Python >= 3.9.

A private key is written once, as a new file of the daemon's with mode 0600, and given to nobody, but sealed to a host that shares it. The
order is journal, file, journal: a run that is killed in between is taken up by the next one, and what was not told to anybody yet is made
anew.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import stat
import typing as t
from pathlib import Path

from ..host import files
from ..host.files import HostError, Run
from . import formats, keys, record, safety, selectors, signers, transfer
from .selectors import Row

REGENERATE = ("never", "fail", "partial_idempotence", "full_idempotence", "always")
_FROM_THEN_ON = ("full_idempotence", "always")


class Wanted(t.NamedTuple):
    """A key as it is wanted. selector: empty for the newest key of the domain and kind, or a new one; size: 0 for any; source: a file on
    this host from which the key is taken; slot: the selector is one of the few behind a customer's CNAMEs; form: empty for the signer's;
    fingerprint: of a key that another host made and hands over; sealed: that key, as transfer.seal() returned it, empty where it did not
    come."""

    domain: str
    selector: str = ""
    kind: str = "rsa"
    size: int = 0
    state: str = "present"
    signer: str = "opendkim"
    directory: str = ""
    form: str = ""
    source: str = ""
    slot: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    fingerprint: str = ""
    sealed: str = ""


class Rules(t.NamedTuple):
    """How a run goes about it. rest: seconds for which a slot rests; host: whose label new selectors carry."""

    regenerate: str
    host: str
    now: float
    short: bool = False
    rest: float = selectors.SLOT_REST * 86400.0
    check_mode: bool = False


class Done(t.NamedTuple):
    """A key after the run, in public; row is None where there is none, and in check mode where it would be made. before: its book's row."""

    wanted: Wanted
    selector: str
    row: Row | None
    before: Row | None
    changed: bool
    faults: list[str]


class _Found(t.NamedTuple):
    """A key's file: key is None where it is missing or none, why says which; right: owner, mode and format are as wanted."""

    key: keys.Key | None
    why: str
    right: bool


class Ring:
    """The keys of this host while a run changes them."""

    def __init__(self, run: Run, rules: Rules) -> None:
        self.run, self.rules, self.book = run, rules, selectors.read()
        self.signers: dict[str, signers.Signer] = {}

    def bring(self, want: Wanted) -> Done:
        """Bring one key into its state. HostError where that cannot be done."""
        keys.require()
        want = want._replace(domain=want.domain.lower(), selector=want.selector.lower())
        selectors.check(want.domain, want.selector or "x")
        before = self._meant(want)
        if want.state == "present":
            return self._present(want, before)
        if before is None or before.state in ("absent", want.state):
            return Done(want, want.selector, before, before, False, [])
        if not want.selector:
            raise HostError(f"which key of {want.domain} is to be {want.state}? Name its selector: {before.selector} is the newest")
        in_use = signers.naming(self.run, before.path)
        if in_use:
            raise HostError(f"the key {before.selector} of {before.domain} still signs ({in_use} names it): let another key sign first")
        if self.rules.check_mode:
            return Done(want, before.selector, before._replace(state=want.state), before, True, [])
        if want.state == "absent":
            destroy(before.path)
        return Done(want, before.selector, self._put(before, want.state), before, True, [])

    def _meant(self, want: Wanted) -> Row | None:
        if want.selector:
            return self.book.of(want.domain, want.selector)
        found = self.book.present(want.domain, want.kind, want.signer)
        return found[-1] if found else None

    def _put(self, row: Row, state: str) -> Row:
        row = row._replace(state=state, since=self.rules.now)
        self.book.put(row)
        return row

    def _signer(self, want: Wanted) -> signers.Signer:
        if want.signer not in self.signers:
            self.signers[want.signer] = signers.of(self.run, want.signer)
        return self.signers[want.signer]

    def _present(self, want: Wanted, before: Row | None) -> Done:
        if want.source or want.fingerprint:
            return self._imported(want, before)
        if before is None or before.state == "absent" or self.rules.regenerate == "always":
            return self._new(want, before)
        found = self._look(want, before)
        if found.key is None:
            if before.state == "made" and found.why == "is missing":
                return self._new(want._replace(selector=before.selector), before, unfinished=True)
            return self._replace_lost(want, before, found.why)
        unlike = _unlike(want, before, found.key)
        if unlike and self.rules.regenerate == "fail":
            raise HostError(f"the key {before.selector} of {want.domain} {unlike}: set regenerate, or ask for what is there")
        if unlike and self.rules.regenerate != "never":
            return self._new(want, before)
        return self._kept(want, before, found)

    def _replace_lost(self, want: Wanted, before: Row, why: str) -> Done:
        told = f"the key {before.selector} of {want.domain}, {before.path}, {why}"
        allowed = _FROM_THEN_ON if why != "is missing" else ("partial_idempotence", *_FROM_THEN_ON)
        if self.rules.regenerate not in allowed or want.selector:
            raise HostError(
                f"{told}: give it back, or name a new selector (or none), since this one is not another key's; "
                f"regenerate: {allowed[0]} makes a new key where no selector is named"
            )
        return self._new(want, before)

    def _kept(self, want: Wanted, before: Row, found: _Found) -> Done:
        """Keep the key; set its file right where it is not."""
        assert found.key is not None
        signer = self._signer(want)
        form = want.form or formats.wanted(want.signer, before.kind, signer.version)
        row = before._replace(state="present", signer=want.signer, record=record.text(found.key.spki, **dict(want.tags)))
        changed = not found.right or row._replace(since=0) != before._replace(since=0)
        if changed and not self.rules.check_mode:
            if not found.right:
                # Under the name that the book and the signer have, whatever its suffix says of its format: signers look at the content.
                write(row.path, found.key.octets(form), signer.daemon)
            row = self._put(row, "present")
        faults = [] if self.rules.check_mode and not found.right else safety.faults(row.path, signer.daemon, signer.walks)
        return Done(want, row.selector, row, before, changed, faults)

    def _new(self, want: Wanted, before: Row | None, unfinished: bool = False) -> Done:
        """Make a key."""
        selector = want.selector or selectors.fresh(
            datetime.datetime.fromtimestamp(self.rules.now, datetime.timezone.utc).date(),
            self.rules.host, want.kind, self.book.used(want.domain),
        )  # fmt: skip
        selectors.check(want.domain, selector)
        why = self.book.may_take(want.domain, selector, "", want.slot, self.rules.rest, self.rules.now)
        if why and not unfinished:
            raise HostError(why)
        signer = self._signer(want)
        if self.rules.check_mode:
            return Done(want, selector, None, before, True, [])
        key = keys.make(want.kind, want.size or 2048, self.rules.short)
        return self._written(want._replace(selector=selector), key, signer, before)

    def _imported(self, want: Wanted, before: Row | None) -> Done:
        origin = want.source or "another host"
        if not want.selector:
            raise HostError(f"under which selector is the key of {origin} to be {want.domain}'s? Name the one that is in DNS")
        found = self._look(want, before) if before is not None and before.state != "absent" else _Found(None, "", False)
        if before is not None and found.key is not None and before.fingerprint == want.fingerprint:
            return self._kept(want, before, found)  # it was taken before
        if self.rules.check_mode and not (want.source or want.sealed):
            return Done(want, want.selector, None, before, True, [])
        key = keys.load(_read(want.source), want.source) if want.source else self._handed_over(want)
        if before is not None and found.key is not None and before.fingerprint == record.fingerprint(key.spki):
            return self._kept(want, before, found)
        why = self.book.may_take(want.domain, want.selector, record.fingerprint(key.spki), want.slot, self.rules.rest, self.rules.now)
        if why:
            raise HostError(why)
        if want.size and key.kind == "rsa" and key.size < want.size:
            raise HostError(f"{origin} gives a key of {key.size} bits, fewer than the {want.size} that are wanted: make a new one")
        signer = self._signer(want)
        if self.rules.check_mode:
            return Done(want, want.selector, None, before, True, [])
        return self._written(want, key, signer, before)

    def _handed_over(self, want: Wanted) -> keys.Key:
        name = record.name(want.domain, want.selector)
        if not want.sealed:
            raise HostError(f"the key {name} was not handed over: the host that has it was out of reach, or could not read it; run again")
        key = keys.load(transfer.take(want.sealed, name), f"what was handed over as {name}")
        if record.fingerprint(key.spki) != want.fingerprint:
            raise HostError(f"what was handed over as {name} is another key than {want.fingerprint}: look into the host that has it")
        return key

    def give(self, domain: str, selector: str, fingerprint: str, signer: str, to: str) -> str:
        """Return a key of this host sealed for another, as transfer.seal() does; HostError where this host does not have it."""
        keys.require()
        selectors.check(domain, selector)
        row, name = self.book.of(domain.lower(), selector), record.name(domain.lower(), selector.lower())
        if row is None or row.state == "absent" or row.fingerprint != fingerprint:
            raise HostError(f"this host has no key {name} of {fingerprint[:60]} to hand over: see {files.STATE}/{selectors.FILE}")
        found = self._look(Wanted(domain.lower(), signer=signer), row)
        if found.key is None:
            raise HostError(f"the key {name} of this host, {row.path}, {found.why}: it cannot be handed over")
        return transfer.seal(found.key.octets("pkcs8"), to, name)

    def _written(self, want: Wanted, key: keys.Key, signer: signers.Signer, before: Row | None) -> Done:
        if not key.works():
            raise HostError(f"the key for {want.domain} does not verify what it signs: look at this host's OpenSSL")
        form = want.form or formats.wanted(want.signer, key.kind, signer.version)
        content = key.octets(form)
        path = _path(want, signer, form)
        row = Row(want.domain, want.selector, key.kind, key.size, record.fingerprint(key.spki),
                  record.text(key.spki, **dict(want.tags)), path, want.signer, "made", self.rules.now)  # fmt: skip
        if os.path.lexists(path):
            raise HostError(f"{path} is there, and not in the book of keys: take it in with source, or move it away")
        self._put(row, "made")
        write(path, content, signer.daemon)
        row = self._put(row, "present")
        return Done(want, row.selector, row, before, True, safety.faults(path, signer.daemon, signer.walks))

    def _look(self, want: Wanted, row: Row) -> _Found:
        """Look at a key's file."""
        try:
            handle = os.open(row.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return _Found(None, "is missing", False)
        except OSError as exc:
            return _Found(None, f"cannot be read ({exc.strerror})", False)
        with os.fdopen(handle, "rb") as file:
            state = os.fstat(file.fileno())
            content = file.read(keys.MAX_OCTETS + 1) if stat.S_ISREG(state.st_mode) else b""
        try:
            key = keys.load(content, row.path)
        except HostError:
            return _Found(None, "holds no private key that can be read", False)
        if record.fingerprint(key.spki) != row.fingerprint:
            return _Found(None, f"holds another key than {row.fingerprint}", False)
        signer = self._signer(want)
        form = want.form or formats.wanted(want.signer, key.kind, signer.version)
        owner = (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) == (signer.daemon.uid, signer.daemon.gid, 0o600)
        return _Found(key, "", owner and formats.detect(content) == form)


def _unlike(want: Wanted, row: Row, key: keys.Key) -> str:
    """Return how a key is not what is wanted, or an empty text."""
    if key.kind != want.kind:
        return f"is an {key.kind} key, and {want.kind} is wanted"
    if want.size and key.kind == "rsa" and key.size != want.size:
        return f"has {key.size} bits, and {want.size} are wanted"
    return ""


def _path(want: Wanted, signer: signers.Signer, form: str) -> str:
    name = f"{record.name(want.domain, want.selector)}.{formats.suffix(form)}"
    if len(name) > 200:  # the name while it is written is longer
        raise HostError(f"{name} is too long for the name of a file: choose a shorter selector")
    return f"{want.directory or signer.directory}/{name}"


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(keys.MAX_OCTETS + 1)
    except OSError as exc:
        raise HostError(f"the key {path} cannot be read ({exc.strerror}): give the path of a file on this host") from exc


def write(path: str, content: bytes, owner: safety.Daemon) -> None:
    """Put a key into place as a new file: nobody who had the old one open, or a link to it, sees the new key."""
    folder = _folder(os.path.dirname(path), owner)
    name, temporary = os.path.basename(path), f".goodstanding-{os.path.basename(path)}"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), owner.uid, owner.gid)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)
    except OSError as exc:
        raise HostError(f"the key {path} cannot be written ({exc.strerror}): make room, or name another directory") from exc
    finally:
        os.close(folder)


def _folder(path: str, owner: safety.Daemon) -> int:
    """Open the folder of keys, the daemon's alone where it is made here. Never through a link: the daemon may own what is above it."""
    try:
        Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        made = False
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
            made = True
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if made and os.geteuid() == 0:
            os.fchown(folder, owner.uid, owner.gid)
        return folder
    except OSError as exc:
        raise HostError(f"the folder of keys {path} cannot be used ({exc.strerror}): it must be a folder and no link") from exc


def destroy(path: str) -> None:
    """Overwrite a key and delete it. What a file system or a disk keeps of its own accord, and backups, stay."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise HostError(f"the key {path} cannot be destroyed ({exc.strerror})") from exc
    with os.fdopen(handle, "wb", buffering=0) as file:
        file.write(os.urandom(max(1, os.fstat(file.fileno()).st_size)))
        os.fsync(file.fileno())
    os.unlink(path)


def public(done: Done) -> dict[str, t.Any]:
    """Return what a module may return of a key."""
    row = done.row
    found: dict[str, t.Any] = {
        "domain": done.wanted.domain, "selector": done.selector, "state": row.state if row else done.wanted.state,
        "changed": done.changed, "faults": done.faults,
    }  # fmt: skip
    found["name"] = record.name(done.wanted.domain, done.selector) if done.selector else ""
    for name in ("kind", "size", "fingerprint", "path", "record"):
        found[name] = getattr(row, name) if row else None
    found["strings"] = record.strings(row.record) if row else None
    return found


def line(row: Row | None) -> str:
    """Return a key in a diff: public facts."""
    if row is None or row.state == "absent":
        return ""
    return f"{record.name(row.domain, row.selector)} {row.kind} {row.size} {row.fingerprint} {row.state} {row.path}\n"

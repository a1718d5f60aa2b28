# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that a run changes and the next one needs, such as a rotating token: in the store, encrypted, with one writer at a time.

Encrypted with Fernet under a key that scrypt derives from a passphrase (RFC 7914; N=16384, r=8, p=1) and a salt of the entry's own.
The writer holds a lease, not a transaction: what it waits for on the network keeps no one else from the database.
"""

from __future__ import annotations

import base64
import contextlib
import os
import time
import typing as t
import uuid

import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from .database import METADATA, StoreError

SEALED = sa.Table(
    "sealed",
    METADATA,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("value", sa.Text),
    sa.Column("holder", sa.String(36)),
    sa.Column("held_until", sa.Float, nullable=False, default=0.0),
)
#: A lease ends by itself after so many seconds: longer than its holder may wait for the network.
LEASE = 180.0
MIN_PASSPHRASE = 16


class Sealed:
    """engine: of open_store(); passphrase: at least MIN_PASSPHRASE characters, StoreError where it is shorter."""

    def __init__(self, engine: sa.Engine, passphrase: str) -> None:
        if len(passphrase) < MIN_PASSPHRASE:
            raise StoreError(
                f"the passphrase of the stored tokens has fewer than {MIN_PASSPHRASE} characters: give a longer one, from a vault"
            )
        self.engine, self._passphrase = engine, passphrase.encode()

    def _fernet(self, salt: bytes) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(Scrypt(salt=salt, length=32, n=1 << 14, r=8, p=1).derive(self._passphrase)))

    def has(self, name: str) -> bool:
        """Return whether there is an entry, whoever sealed it."""
        with self.engine.connect() as connection:
            return (
                connection.execute(sa.select(SEALED.c.name).where(SEALED.c.name == name, SEALED.c.value.is_not(None))).first() is not None
            )

    def read(self, name: str) -> str | None:
        """Return an entry, None where there is none; StoreError where it was sealed with another passphrase."""
        with self.engine.connect() as connection:
            value = connection.execute(sa.select(SEALED.c.value).where(SEALED.c.name == name)).scalar()
        if value is None:
            return None
        try:
            salt, _, sealed = value.partition(":")
            return self._fernet(base64.urlsafe_b64decode(salt)).decrypt(sealed.encode()).decode()
        except (InvalidToken, ValueError):
            raise StoreError(f"the stored {name} cannot be opened: it was stored with another passphrase, or changed since") from None

    @contextlib.contextmanager
    def writer(self, name: str, wait: float = 60.0) -> t.Iterator[Writer]:
        """Hold an entry for writing. StoreError where another run holds it for longer than wait seconds."""
        holder, end = str(uuid.uuid4()), time.monotonic() + wait
        while not self._take(name, holder):
            if time.monotonic() >= end:
                raise StoreError(f"another run has been renewing the stored {name} for {wait:.0f} seconds: run again later")
            time.sleep(0.1)
        try:
            yield Writer(self, name, holder)
        finally:
            self._update(name, holder, {"holder": None, "held_until": 0.0})

    def _take(self, name: str, holder: str) -> bool:
        now = time.time()
        free = sa.update(SEALED).where(SEALED.c.name == name, SEALED.c.held_until < now)
        try:
            with self.engine.begin() as connection:
                if connection.execute(free.values(holder=holder, held_until=now + LEASE)).rowcount == 1:
                    return True
            with contextlib.suppress(sa.exc.IntegrityError), self.engine.begin() as connection:
                connection.execute(sa.insert(SEALED).values(name=name, holder=holder, held_until=now + LEASE))
                return True
        except sa.exc.SQLAlchemyError as exc:
            raise StoreError(f"the stored {name} cannot be written ({type(exc).__name__})") from None
        return False

    def _update(self, name: str, holder: str, values: dict[str, t.Any]) -> bool:
        try:
            with self.engine.begin() as connection:
                mine = sa.update(SEALED).where(SEALED.c.name == name, SEALED.c.holder == holder)
                return connection.execute(mine.values(values)).rowcount == 1
        except sa.exc.SQLAlchemyError as exc:
            raise StoreError(f"the stored {name} cannot be written ({type(exc).__name__})") from None


class Writer:
    """The one that may write an entry, as long as its lease lasts."""

    def __init__(self, sealed: Sealed, name: str, holder: str) -> None:
        self.sealed, self.name, self.holder = sealed, name, holder

    def write(self, value: str | None) -> None:
        """Store a value, or with None forget it."""
        text = None
        if value is not None:
            salt = os.urandom(16)
            text = f"{base64.urlsafe_b64encode(salt).decode()}:{self.sealed._fernet(salt).encrypt(value.encode()).decode()}"
        if not self.sealed._update(self.name, self.holder, {"value": text}):
            raise StoreError(f"the stored {self.name} was taken over by another run meanwhile: run again")

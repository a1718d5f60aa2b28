# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in a directory, locked by one attribute that is set and cleared. Python >= 3.9, python-ldap.

A directory has no transactions: entries are changed one by one, and what was changed before an error stays locked; the journal knows it.
"""

from __future__ import annotations

import contextlib
import json
import re
import typing as t
from urllib.parse import urlsplit

from ..host.files import HostError
from ..host.journal import Fields
from .names import refuse_secret
from .reach import CA_FILE, TIMEOUT, driver, tls_of, told

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}\Z")
_MAX_VALUES = 100


def escaped(text: str) -> str:
    """Return a value for a filter (RFC 4515, section 3)."""
    return re.sub(r"[\\*()\x00]", lambda match: f"\\{ord(match[0]):02x}", text)


class LdapStep:
    """Entries below a base. settings: the suboptions of the module mail_account_backend; names: account to its name in the directory."""

    own = False

    def __init__(self, settings: dict[str, t.Any], names: dict[str, str]) -> None:
        self.name = f"backend:{settings['name']}"
        self.settings = settings
        self.names = names
        self.attribute = str(settings.get("attribute") or "")
        if not _ATTRIBUTE.match(self.attribute):
            raise HostError(f"{self.name}: attribute is {self.attribute[:80]!r}: expected one, such as pwdAccountLockedTime")
        refuse_secret([self.attribute], f"{self.name}: attribute")
        if not re.search(r":account\b", settings.get("filter") or ""):
            raise HostError(f"{self.name}: filter has no :account: expected a filter that finds one entry, such as (mail=:account)")
        if sum(settings.get(way) is not None for way in ("value", "set_bits", "remove_values")) != 1:
            raise HostError(f"{self.name}: expected one of value, set_bits and remove_values, which says how {self.attribute} locks")
        uri = urlsplit(settings.get("uri") or "")
        if uri.scheme not in ("ldap", "ldaps", "ldapi"):
            raise HostError(f"{self.name}: uri is {uri.geturl()[:200]!r}: expected ldap://HOST, ldaps://HOST or ldapi:///")
        self.tls = "none" if uri.scheme == "ldapi" else tls_of(settings, uri.hostname or "")
        self.start_tls = self.tls != "none" and uri.scheme == "ldap"
        self.ldap = driver("ldap", "python3-ldap")

    def read(self, accounts: list[str]) -> dict[str, Fields | None]:
        """Return the attribute of each; HostError where an account has more than one entry."""
        with self._connection() as connection:
            return {account: self._fields(values) for account, (_, values) in self._entries(connection, accounts).items()}

    def lock(self, accounts: list[str]) -> None:
        with self._connection() as connection:
            for account, (entry, values) in self._entries(connection, accounts).items():
                if entry is None or values is None:
                    raise HostError(f"{self._where()}: {account} is not there any more: run again")
                self._set(connection, entry, self.locked(values))

    def restore(self, before: dict[str, Fields]) -> None:
        with self._connection() as connection:
            for account, (entry, _) in self._entries(connection, list(before)).items():
                if entry is not None:
                    self._set(connection, entry, json.loads(before[account].get(self.attribute) or "[]"))

    def expected(self, fields: Fields) -> Fields:
        """Return the attribute as a lock would leave it."""
        return self._fields(self.locked(json.loads(fields.get(self.attribute) or "[]"))) or {}

    def way(self) -> str:
        """Return how this backend locks, for a message."""
        return f"the attribute {self.attribute}"

    def locked(self, values: list[str]) -> list[str]:
        """Return the attribute's values as the lock sets them."""
        removed, bits = self.settings.get("remove_values"), self.settings.get("set_bits")
        if removed is not None:
            return [value for value in values if value.lower() not in {name.lower() for name in removed}]
        if bits is None:
            return [str(self.settings["value"])]
        if len(values) != 1 or not re.match(r"-?\d{1,18}\Z", values[0]):
            raise HostError(f"{self._where()}: {self.attribute} is {values!r:.200}: set_bits needs one number")
        return [str(int(values[0]) | bits)]

    def _fields(self, values: list[str] | None) -> Fields | None:
        return None if values is None else {self.attribute: json.dumps(values, ensure_ascii=False) if values else None}

    def _where(self) -> str:
        return f"{self.name} (ldap, {self.settings['uri']})"

    @contextlib.contextmanager
    def _connection(self) -> t.Iterator[t.Any]:
        """Yield a bound connection; HostError shows no secret."""
        ldap, tried = self.ldap, "connect with TLS" if self.start_tls else "connect"
        try:
            connection = ldap.initialize(self.settings["uri"])
            try:
                self._prepare(connection)
                tried = "bind" if self.start_tls else "connect and bind"
                connection.simple_bind_s(self.settings.get("bind_dn") or "", self.settings.get("bind_password") or "")
                tried = f"read or write {self.attribute}"
                yield connection
            finally:
                with contextlib.suppress(ldap.LDAPError):
                    connection.unbind_s()
        except (ldap.LDAPError, OSError, ValueError) as exc:
            said = told(exc, self.settings.get("bind_password"))
            raise HostError(f"{self._where()}: cannot {tried}: {said}: check uri, TLS, bind_dn and its rights") from None

    def _prepare(self, connection: t.Any) -> None:
        ldap = self.ldap
        for option, value in ((ldap.OPT_PROTOCOL_VERSION, 3), (ldap.OPT_REFERRALS, 0)):
            connection.set_option(option, value)
        for option in (ldap.OPT_NETWORK_TIMEOUT, ldap.OPT_TIMEOUT):
            connection.set_option(option, float(TIMEOUT))
        if self.tls != "none":
            demand = ldap.OPT_X_TLS_DEMAND if self.tls == "verified" else ldap.OPT_X_TLS_ALLOW
            connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, demand)
            connection.set_option(ldap.OPT_X_TLS_CACERTFILE, self.settings.get("ca_file") or CA_FILE)
            connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        if self.start_tls:
            connection.start_tls_s()

    def _entries(self, connection: t.Any, accounts: list[str]) -> dict[str, tuple[str | None, list[str] | None]]:
        """Return per account its entry's name and the attribute's values in order; None twice where there is no entry."""
        found: dict[str, tuple[str | None, list[str] | None]] = {}
        for account in accounts:
            wanted = escaped(self.names[account]).join(re.split(r":account\b", self.settings["filter"]))
            try:
                rows = connection.search_ext_s(
                    self.settings.get("base") or "", self.ldap.SCOPE_SUBTREE, wanted, [self.attribute], timeout=TIMEOUT, sizelimit=2
                )
            except self.ldap.SIZELIMIT_EXCEEDED:
                rows = [("", {}), ("", {})]
            rows = [row for row in rows if row[0] is not None]  # the others are referrals
            if len(rows) > 1:
                raise HostError(f"{self._where()}: the filter finds more than one entry for {account}: it must find one, by its whole name")
            if not rows:
                found[account] = (None, None)
                continue
            entry, attributes = rows[0]
            raw: list[bytes] = next((values for name, values in attributes.items() if name.lower() == self.attribute.lower()), [])
            if len(raw) > _MAX_VALUES or any(len(value) > _MAX_VALUES * 10 for value in raw):
                raise HostError(f"{self._where()}: {self.attribute} of {account} is too much for an attribute that switches")
            found[account] = (entry, sorted(value.decode("utf-8") for value in raw))
        return found

    def _set(self, connection: t.Any, entry: str, values: list[str]) -> None:
        """Replace the attribute's values; none clears it, also where it is clear."""
        change = [(self.ldap.MOD_REPLACE, self.attribute, [value.encode() for value in values] or None)]
        connection.modify_ext_s(entry, change)

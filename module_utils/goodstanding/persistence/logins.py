# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that are still offered without TLS, by Postfix and Dovecot. Standard library only, Python >= 3.9.

Sources: postconf(5) smtpd_tls_auth_only, smtpd_tls_security_level, smtpd_sasl_auth_enable, smtpd_tls_wrappermode; doc.dovecot.org "ssl",
"disable_plaintext_auth" (2.3) and "auth_allow_cleartext" (2.4). A setting is judged as the daemon uses it, with the service's overrides.
"""

from __future__ import annotations

import re

from ..host.files import Run
from .dovecot import Setting, value
from .findings import Unknown

_PARAMETERS = ("smtpd_sasl_auth_enable", "smtpd_tls_auth_only", "smtpd_tls_security_level", "smtpd_tls_wrappermode", "smtpd_enforce_tls")
_LOOPBACK = re.compile(r"(127\.[0-9.]+|\[?::1\]?|localhost):")
_CHALLENGES = ("cram-md5", "digest-md5", "ntlm", "rpa", "apop", "otp", "skey")


def of_postfix(run: Run) -> tuple[list[tuple[str, str]], list[Unknown]]:
    """Return (service, why) of each smtpd that takes a login without TLS; services that only the host itself reaches are left out."""
    texts = []
    for words in (["-M"], ["-Px"], ["-x", *_PARAMETERS]):
        code, out, err = run(["postconf", *words])
        if code:
            return [], [Unknown("", "Postfix's logins", f"postconf {words[0]} ended with {code}: {err.strip()[-200:]}")]
        texts.append(out)
    services, overrides, main = texts[0], _pairs(texts[1]), _pairs(texts[2])
    found = []
    for line in services.splitlines():
        fields = line.split()
        if len(fields) < 8 or fields[1] not in ("inet", "pass") or fields[7] != "smtpd" or _LOOPBACK.match(fields[0]):
            continue
        name = f"{fields[0]}/{fields[1]}"
        yes = {one: overrides.get(f"{name}/{one}", main.get(one, "")).lower() for one in _PARAMETERS}
        level = yes["smtpd_tls_security_level"]
        needs_tls = (
            "yes" in (yes["smtpd_tls_wrappermode"], yes["smtpd_tls_auth_only"])
            or level in ("encrypt", "dane", "verify", "secure")
            or (not level and yes["smtpd_enforce_tls"] == "yes")
        )
        if yes["smtpd_sasl_auth_enable"] == "yes" and not needs_tls:
            found.append((name, "AUTH is offered before STARTTLS: set smtpd_tls_auth_only = yes"))
    return found, []


def of_dovecot(found: list[Setting]) -> list[tuple[str, str]]:
    """Return (setting, why) of each that lets a password through without TLS, and of mechanisms that need it stored in clear."""
    shown = []
    newer = bool(value(found, "dovecot_config_version"))
    for path, name, text in found:
        where = " ".join([*path, name])
        required = value(found, "ssl", *path) or value(found, "ssl")
        lets = (name, text) in (("disable_plaintext_auth", "no"), ("auth_allow_cleartext", "yes"))
        if lets and required != "required":
            shown.append(
                (where, f"passwords go without TLS: set {'auth_allow_cleartext = no' if newer else 'disable_plaintext_auth = yes'}")
            )
        if name == "auth_mechanisms":
            weak = [one for one in text.lower().split() if one in _CHALLENGES]
            if weak:
                shown.append((where, f"{', '.join(weak)} needs passwords stored in clear or as good as that (RFC 6331): take it out"))
    return shown


def _pairs(text: str) -> dict[str, str]:
    return {name.strip(): one.strip() for name, equals, one in (line.partition("=") for line in text.splitlines()) if equals}

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How passwords are stored, judged by the name of the scheme alone. Standard library only, Python >= 3.9.

Sources: doc.dovecot.org "Password Schemes" (schemes, prefixes, what 2.4 disables by default), crypt(5) of libxcrypt (what $id$ means and
which are no longer for new passwords), RFC 6331 (DIGEST-MD5 to historic), RFC 2307 (userPassword), NIST SP 800-63B-4 section 3.1.1.2
(salted, and hashed by a function that is slow on purpose), openwall.com on LANMAN and NTLM (unsalted).
"""

from __future__ import annotations

import re
import typing as t


class Judgement(t.NamedTuple):
    """grade: "must" where it must go, "should" where it should; "" where it may stay."""

    grade: str
    why: str
    source: str


_DOVECOT = "doc.dovecot.org: Password Schemes"
_CRYPT = "crypt(5)"
_NIST = "NIST SP 800-63B-4, 3.1.1.2"
_CLEAR = Judgement("must", "stored as it is: whoever reads the table has the password", _NIST)
_UNSALTED = Judgement("must", "unsalted and fast: equal passwords look equal, and tables of them exist", _NIST)
_DES = Judgement("must", "looks at 8 characters only and is searched through in hours", _CRYPT)
_MD5_CRYPT = Judgement("must", "MD5 a thousand times: too fast today, disabled by default in Dovecot 2.4", _DOVECOT)
_RESPONSE = Judgement("must", "what is stored is as good as the password for its mechanism, which is unsalted MD5", "RFC 6331")
_FAST = Judgement("should", "salted, but one round of a fast hash: billions are tried in a second", _NIST)
_GOOD = Judgement("", "", "")

SCHEMES = {
    **dict.fromkeys(("PLAIN", "CLEAR", "CLEARTEXT", "PLAIN-TRUNC"), _CLEAR),
    **dict.fromkeys(("SHA", "SHA1", "SHA256", "SHA512", "LDAP-MD5", "PLAIN-MD5", "PLAIN-MD4", "NTLM", "RPA"), _UNSALTED),
    "LANMAN": Judgement("must", "upper case, two halves of 7 characters, unsalted DES: no protection", _DOVECOT),
    **dict.fromkeys(("DES-CRYPT", "BSDI-CRYPT"), _DES),
    **dict.fromkeys(("MD5-CRYPT", "SUN-MD5-CRYPT"), _MD5_CRYPT),
    **dict.fromkeys(("CRAM-MD5", "HMAC-MD5", "DIGEST-MD5", "OTP", "SKEY"), _RESPONSE),
    **dict.fromkeys(("SMD5", "SSHA", "SSHA256", "SSHA512"), _FAST),
    **dict.fromkeys(("BLF-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "YESCRYPT", "SCRYPT", "ARGON2", "ARGON2I", "ARGON2ID"), _GOOD),
    **dict.fromkeys(("PBKDF2", "SCRAM-SHA-1", "SCRAM-SHA-256"), _GOOD),
    "NONE": Judgement("must", "no password: whoever knows the login is let in", _NIST),
}  # fmt: skip

_PREFIX = re.compile(r"\{([A-Za-z0-9-]{1,30})(?:\.(?:HEX|B64|BASE64))?\}", re.IGNORECASE)
_IDS = (
    ("$1$", "MD5-CRYPT"), ("$2", "BLF-CRYPT"), ("$5$", "SHA256-CRYPT"), ("$6$", "SHA512-CRYPT"), ("$y$", "YESCRYPT"), ("$gy$", "YESCRYPT"),
    ("$7$", "SCRYPT"), ("$argon2", "ARGON2"), ("$3$", "NTLM"), ("$md5", "SUN-MD5-CRYPT"), ("$sha1", "PBKDF2"), ("_", "BSDI-CRYPT"),
)  # fmt: skip
_OLD_CRYPT = re.compile(r"[./0-9A-Za-z]{13}\Z")


def scheme(stored: str, default: str) -> str:
    """Return the scheme of a stored password, or "" where it is not known: its text may be part of the password then.

    default: of the backend, for a password without a prefix."""
    match = _PREFIX.match(stored)
    name = (match[1] if match else default).upper()
    rest = stored[match.end() :] if match else stored
    if name == "CRYPT":
        return _crypt(rest)
    if name == "MD5":  # Dovecot: MD5-CRYPT where it looks like it, else a digest
        return "MD5-CRYPT" if rest.startswith("$1$") else "LDAP-MD5"
    return name if name in SCHEMES else ""


def _crypt(text: str) -> str:
    for start, name in _IDS:
        if text.startswith(start):
            return name
    return "DES-CRYPT" if _OLD_CRYPT.match(text) else ""

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules take as a zone and as a server, in the form of an argument_spec."""

from __future__ import annotations

import typing as t

Spec = dict[str, t.Any]

LIST: Spec = {"type": "list", "elements": "dict"}
_KEY: Spec = {
    "source": {"type": "str"},
    "key_name": {"type": "str", "no_log": False},
    "key_algorithm": {
        "type": "str",
        "choices": ["hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"],
        "default": "hmac-sha256",
        "no_log": False,
    },
    "key_secret": {"type": "str", "no_log": True},
}
#: A server to be asked, and which view it stands for.
SERVER: Spec = {
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "default": 53},
    "view": {"type": "str", "default": ""},
    **_KEY,
}
#: A zone whose records are to be proven.
PROOF_ZONE: Spec = {
    "name": {"type": "str", "required": True},
    "discover": {"type": "bool", "default": True},
    "network": {"type": "str"},
    "servers": {**LIST, "default": [], "options": SERVER},
}
#: A zone that is to be changed.
ZONE: Spec = {
    "name": {"type": "str", "required": True},
    "view": {"type": "str", "default": ""},
    "backend": {"type": "str", "choices": ["rfc2136", "manual"], "default": "rfc2136"},
    "primary": {"type": "str"},
    "port": {"type": "int", "default": 53},
    **_KEY,
    "read": {"type": "str", "choices": ["auto", "transfer", "queries"], "default": "auto"},
    "servers": {**LIST, "default": [], "options": {name: SERVER[name] for name in ("address", "port")}},
    "owner": {"type": "str", "default": ""},
    "where": {"type": "str", "default": ""},
    "network": {"type": "str"},
    "ttl": {"type": "int", "default": 3600},
}
#: A record that is wanted.
RECORD: Spec = {
    "name": {"type": "str"},
    "address": {"type": "str"},
    "type": {"type": "str", "default": "TXT"},
    "values": {"type": "list", "elements": "str", "default": []},
    "ttl": {"type": "int"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "mode": {"type": "str", "choices": ["auto", "exclusive", "merge"], "default": "auto"},
    "owns": {"type": "str"},
    "replace_key": {"type": "bool", "default": False, "no_log": False},
    "zone": {"type": "str"},
    "view": {"type": "str", "default": ""},
}

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: snds_authorization
short_description: Sign in to Microsoft SNDS for M(snds_info), or forget the token
description:
  - Experimental. Microsoft does not document the REST interface of SNDS, nor its use with the portal's own client.
  - Runs on the controller, twice. The first call returns the page on which a person signs in. The browser is then sent to an address
    that begins with C(http://localhost/?code=) and shows an error there; the second call takes that address as O(redirected).
  - The tokens are kept in the store, encrypted, and in nothing else. C(playbooks/snds_authorize.yml) does both calls.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - cryptography
  - msal
  - requests
  - SQLAlchemy
options:
  account:
    description: The name of the enrolment, as in M(snds_info).
    type: str
    required: true
  state:
    description: V(absent) forgets the token.
    type: str
    choices: [present, absent]
    default: present
  redirected:
    description: The whole address that the browser was sent to. A code in it works once and for one minute.
    type: str
  renew:
    description: Sign in anew although a token is stored.
    type: bool
    default: false
  state_url:
    description: The store, an SQLAlchemy URL.
    type: str
    required: true
  passphrase:
    description: The passphrase that seals tokens in the store, of 16 characters or more.
    type: str
    required: true
  authority:
    description: Where a person signs in.
    type: str
    default: https://login.microsoftonline.com/consumers
  timeout:
    description: Seconds to wait for one answer.
    type: float
    default: 30.0
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
seealso:
  - module: snds_info
"""

EXAMPLES = r"""
- name: Begin
  snds_authorization:
    account: example
    state_url: sqlite:////var/lib/goodstanding/goodstanding.db
    passphrase: "{{ vault_snds_passphrase }}"
  register: sign_in

- name: Complete
  snds_authorization:
    account: example
    redirected: "{{ pasted }}"
    state_url: sqlite:////var/lib/goodstanding/goodstanding.db
    passphrase: "{{ vault_snds_passphrase }}"
  no_log: true
"""

RETURN = r"""
authorized:
  description: Whether a token is stored.
  type: bool
  returned: success
url:
  description: The page to sign in on, or null where nobody needs to.
  type: str
  returned: success
"""

import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from ..module_utils.goodstanding.feeds import snds_access
    from ..module_utils.goodstanding.store import database
    from ..module_utils.goodstanding.store.sealed import Sealed

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


def run(p: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Return changed, authorized and url."""
    engine = database.open_existing(p["state_url"]) if check_mode else database.open_store(p["state_url"])
    if engine is None:
        return {"changed": p["state"] == "present", "authorized": False, "url": None}
    sealed = Sealed(engine, p["passphrase"])
    entry = f"snds {p['account']}"
    if p["state"] == "absent":
        there = sealed.has(entry)
        if there and not check_mode:
            with sealed.writer(entry) as writer:
                writer.write(None)
        return {"changed": there, "authorized": False, "url": None}
    there = sealed.read(entry) is not None
    if check_mode or (there and not p["redirected"] and not p["renew"]):
        return {"changed": check_mode and (not there or p["renew"]), "authorized": there, "url": None}
    http = snds_access.Http(p["timeout"])
    if p["redirected"]:
        snds_access.complete(http, sealed, p["account"], p["authority"], p["redirected"])
        return {"changed": True, "authorized": True, "url": None}
    return {"changed": True, "authorized": there, "url": snds_access.begin(http, sealed, p["account"], p["authority"])}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "account": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "redirected": {"type": "str", "no_log": True},
            "renew": {"type": "bool", "default": False},
            "state_url": {"type": "str", "required": True, "no_log": True},
            "passphrase": {"type": "str", "required": True, "no_log": True},
            "authority": {"type": "str", "default": "https://login.microsoftonline.com/consumers"},
            "timeout": {"type": "float", "default": 30.0},
        },
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("cryptography, msal, requests and SQLAlchemy"), exception=IMPORT_ERROR)
    try:
        result = run(module.params, module.check_mode)
    except snds_access.AccessError as exc:
        module.fail_json(msg=f"{exc.why}. {exc.repair}")
    except database.StoreError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()

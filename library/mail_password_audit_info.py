#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_password_audit_info
short_description: Find passwords that are stored badly, may have leaked, or are sent without TLS
description:
  - Names accounts whose password is stored by a scheme that must or should go, and, with O(leaked_since), those whose password is from
    before a leak. Names services of Postfix and Dovecot that take a login without TLS.
  - Reads Dovecot's passwd-files and C(/etc/shadow) where Dovecot's configuration names them, and what O(backends) adds. A backend that
    could not be read is listed as unknown.
  - No hash, nor part of one, is returned, logged or kept. Changes nothing.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  leaked_since:
    description: Since when hashes of this host may have leaked (the break-in), in seconds since 1970.
    type: float
  backends:
    description: More backends; each names one of O(backends[].passwd_file), O(backends[].shadow), O(backends[].query), O(backends[].ldap).
    type: list
    elements: dict
    default: []
    suboptions:
      passwd_file:
        description: A passwd-file of Dovecot.
        type: path
      shadow:
        description: A shadow file.
        type: path
      query:
        description: Returns login, hash with its prefix and, if known, when it was set (epoch seconds, a time, or null).
        type: str
      database:
        description: The database of the query.
        type: dict
        suboptions:
          engine:
            description: V(postgresql) needs python3-psycopg2 on the host, V(mysql) (MariaDB too) python3-pymysql.
            type: str
            choices: [sqlite, postgresql, mysql]
            required: true
          database:
            description: Name of the database; of V(sqlite) the path.
            type: str
            required: true
          host:
            description: Name or address of the server, or the path of its socket (PostgreSQL, its folder).
            type: str
          port:
            description: Port of the server.
            type: int
          user:
            description: A user that may read.
            type: str
          password:
            description: Its password.
            type: str
      ldap:
        description: A directory with C(userPassword) and, if known, C(pwdChangedTime). Needs python3-ldap on the host.
        type: dict
        suboptions:
          uri:
            description: Such as C(ldapi:///) or C(ldaps://ldap.example.com).
            type: str
            required: true
          base:
            description: Where to search.
            type: str
            required: true
          bind_dn:
            description: Who may read C(userPassword).
            type: str
          password:
            description: Its password.
            type: str
          filter:
            description: Which entries.
            type: str
            default: (userPassword=*)
          login_attribute:
            description: The attribute that holds the login.
            type: str
            default: mail
          start_tls:
            description: Begin TLS before anything is sent.
            type: bool
            default: false
      default_scheme:
        description: Of passwords without a prefix. Dovecot 2.3 takes C(CRYPT) for a passwd-file, 2.4 C(PLAIN) (measured).
        type: str
        default: PLAIN
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Audit what Dovecot's configuration names
  mail_password_audit_info:
    leaked_since: 1795500000

- name: Audit an SQL backend too
  mail_password_audit_info:
    backends:
      - database: {engine: postgresql, database: mail, user: audit, host: /run/postgresql}
        query: SELECT username, password, modified FROM mailbox
        default_scheme: CRYPT
"""

RETURN = r"""
findings:
  description: What was found, what must go first; at most 2000.
  type: list
  elements: dict
  returned: success
  contains:
    account: {description: Login; empty for a service., type: str}
    backend: {description: 'Path, database, base or service.', type: str}
    kind: {description: 'V(scheme), V(older_than_leak) or V(login_without_tls).', type: str}
    scheme: {description: Name of the scheme., type: str}
    grade: {description: V(must) or V(should)., type: str}
    why: {description: What is wrong with it., type: str}
    source: {description: Where that is said., type: str}
cut:
  description: Number of findings that are not returned.
  type: int
  returned: success
schemes:
  description: Per backend and scheme the number of accounts.
  type: dict
  returned: success
unknown:
  description: What could not be read; none of it is clean.
  type: list
  elements: dict
  returned: success
  contains:
    account: {description: Login; empty where it concerns several., type: str}
    what: {description: What was to be read., type: str}
    why: {description: 'What came back, and what to do.', type: str}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.persistence import sql
from ..module_utils.goodstanding.persistence.passwords import audit


def main() -> None:
    ldap = {
        "uri": {"type": "str", "required": True},
        "base": {"type": "str", "required": True},
        "bind_dn": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "filter": {"type": "str", "default": "(userPassword=*)"},
        "login_attribute": {"type": "str", "default": "mail"},
        "start_tls": {"type": "bool", "default": False},
    }
    module = AnsibleModule(
        argument_spec={
            "leaked_since": {"type": "float"},
            "backends": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "passwd_file": {"type": "path", "no_log": False},
                    "shadow": {"type": "path"},
                    "query": {"type": "str"},
                    "database": {"type": "dict", "options": sql.OPTIONS},
                    "ldap": {"type": "dict", "options": ldap},
                    "default_scheme": {"type": "str", "default": "PLAIN"},
                },
            },
        },
        supports_check_mode=True,
    )
    result = audit(runner(), module.params["backends"], module.params["leaked_since"])
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_account_backend
short_description: Lock mail accounts where they are kept, and set back exactly what the lock set
description:
  - Beside Postfix's map and Dovecot's deny file, which lock every account by themselves (M(mail_account_lock)), this sets one field where
    the accounts are kept, so that other programs that ask there refuse them, too. It is a table in PostgreSQL, MariaDB or SQLite, an LDAP
    directory, or a system user's expiry.
  - What was there before is written to the journal C(/var/lib/goodstanding/journal.jsonl) first. Unlocking sets back those fields alone,
    and refuses where they were changed by hand since the lock.
  - The owner's incoming mail goes on. RCPT TO and Dovecot's userdb are asked before and after; where they refuse what they took before,
    the lock is set back and the module fails.
  - Passwords are neither touched nor read. Statements, columns and attributes that name one are refused.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  accounts:
    description: Logins, as Postfix logs them.
    type: list
    elements: str
    required: true
  state:
    description: Whether the accounts are locked in this backend.
    type: str
    choices: [locked, unlocked]
    default: locked
  backend:
    description: Where the accounts are kept. C(docs/backends.md) has examples for common mail systems.
    type: dict
    required: true
    suboptions:
      name:
        description: A name for it, of letters, digits and C(_ . -); the journal knows it by this name.
        type: str
        required: true
      type:
        description: What it is.
        type: str
        choices: [system, sqlite, postgresql, mariadb, ldap]
        required: true
      run_on:
        description: The inventory host from which a backend is reached that the fleet shares. It is for the role and not used here.
        type: str
      account_form:
        description: How the backend names accounts, as the whole login or as what is before its C(@).
        type: str
        choices: [full, local_part]
        default: full
      host:
        description: Name or address of the SQL server. Without it the server's local socket is used.
        type: str
      socket:
        description: >-
          The local socket, where O(backend.host) is not given; for PostgreSQL the folder of it. By default as in Debian,
          C(/var/run/postgresql) and C(/run/mysqld/mysqld.sock).
        type: path
      port:
        description: Port of the SQL server; by default 5432 and 3306.
        type: int
      database:
        description: Name of the database; for SQLite the whole path of its file.
        type: str
      user:
        description: A user of the database that may do what the statements do, and no more.
        type: str
      password:
        description: The user's password.
        type: str
      tls:
        description: >-
          How the server is reached. By default V(none) by a socket or a loopback address, and V(verified) otherwise; V(unverified) is TLS
          with whoever answers.
        type: str
        choices: [verified, unverified, none]
      ca_file:
        description: Certificates of the authorities that may vouch for the server, in PEM; by default those of the system.
        type: path
      query:
        description: >-
          A SELECT of the columns that the lock sets, and of no other, for C(:account). It returns one row, or none where the account is not
          there, and is run in a transaction that can only read.
        type: str
      lock:
        description: The statement that locks C(:account). It must match one row, or nothing is changed.
        type: str
      unlock:
        description: >-
          The statement that undoes it. It sets each column of O(backend.query) back to its C(:before_COLUMN), which is what it was before
          the lock. It is tried before a lock is kept, in the same transaction.
        type: str
      uri:
        description: The directory, as V(ldap://HOST) (with StartTLS unless O(backend.tls) is V(none)), V(ldaps://HOST) or V(ldapi:///).
        type: str
      bind_dn:
        description: The entry as which the directory is changed.
        type: str
      bind_password:
        description: Its password.
        type: str
      base:
        description: Below which entry accounts are.
        type: str
      filter:
        description: A filter (RFC 4515) that finds the one entry of C(:account), which is put in escaped.
        type: str
      attribute:
        description: The one attribute that the lock sets.
        type: str
      value:
        description: The value that locks. Exactly one of O(backend.value), O(backend.set_bits) and O(backend.remove_values) is needed.
        type: str
      set_bits:
        description: Bits that lock, set in the number that the attribute is; V(2) for C(userAccountControl) of Active Directory.
        type: int
      remove_values:
        description: Values that are taken out of an attribute with many, such as C(smtp) out of C(enabledService) of iRedMail.
        type: list
        elements: str
  delivery_probe:
    description: >-
      The SMTP server as HOST:PORT that is asked whether it takes mail to the account, by RCPT TO with the null sender and never DATA. By
      default this host's own on V(127.0.0.1:25) where one listens. Empty for none.
    type: str
  incident:
    description: A name for the incident, for the journal.
    type: str
    default: manual
  never:
    description: Accounts that are refused to be locked.
    type: list
    elements: str
    default: []
  force:
    description: Set back also what was changed by hand since the lock.
    type: bool
    default: false
attributes:
  check_mode:
    description: >-
      Can run in check mode and return changed status prediction without modifying target. The statements O(backend.lock) and
      O(backend.unlock) are not run, so what they would do is not known.
    support: partial
    details: The diff of a SQL backend names the statement instead of the values.
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: full
requirements:
  - python3-psycopg2 for PostgreSQL
  - python3-pymysql for MariaDB
  - python3-ldap for LDAP
"""

EXAMPLES = r"""
- name: Lock an account of PostfixAdmin for sending
  mail_account_backend:
    accounts: [mallory@example.com]
    incident: 20261124T060000Z
    backend:
      name: postfixadmin
      type: mariadb
      host: db.example.com
      database: postfix
      user: goodstanding
      password: "{{ vault_lock_password }}"
      query: SELECT smtp_active FROM mailbox WHERE username = :account
      lock: UPDATE mailbox SET smtp_active = 0 WHERE username = :account
      unlock: UPDATE mailbox SET smtp_active = :before_smtp_active WHERE username = :account

- name: Lock it in a directory with OpenLDAP's ppolicy overlay
  mail_account_backend:
    accounts: [mallory@example.com]
    backend:
      name: directory
      type: ldap
      uri: ldap://ldap.example.com
      bind_dn: cn=goodstanding,ou=services,dc=example,dc=com
      bind_password: "{{ vault_directory_password }}"
      base: ou=people,dc=example,dc=com
      filter: (mail=:account)
      attribute: pwdAccountLockedTime
      value: 000001010000Z

- name: Let a system user in again
  mail_account_backend:
    accounts: [mallory]
    state: unlocked
    backend:
      name: system
      type: system
"""

RETURN = r"""
accounts:
  description: Accounts of which a field was changed (in check mode, would be).
  type: list
  elements: str
  returned: success
missing:
  description: Accounts that the backend does not know.
  type: list
  elements: str
  returned: success
refused:
  description: >-
    Per account why it was left as it is. It has uid 0, or its fields were changed by hand since the lock; they are named.
  type: dict
  returned: success
delivery:
  description: >-
    Per account that was locked anew, what was answered after the lock by C(rcpt) (RCPT TO) and C(userdb) (Dovecot), each V(accepted),
    V(refused) or V(unknown).
  type: dict
  returned: success
journal:
  description: The lines that were written to the host's journal, with C(time) in seconds since 1970.
  type: list
  elements: dict
  returned: success
"""

import re
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.accounts.lock import check_names
from ..module_utils.goodstanding.accounts.plumbing import dovecot_version
from ..module_utils.goodstanding.backends.delivery import Probe
from ..module_utils.goodstanding.backends.lock import lock, step_of, unlock
from ..module_utils.goodstanding.host import journal
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone

BACKEND: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "choices": ["system", "sqlite", "postgresql", "mariadb", "ldap"], "required": True},
    "run_on": {"type": "str"},
    "account_form": {"type": "str", "choices": ["full", "local_part"], "default": "full"},
    "host": {"type": "str"},
    "socket": {"type": "path"},
    "port": {"type": "int"},
    "database": {"type": "str"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "tls": {"type": "str", "choices": ["verified", "unverified", "none"]},
    "ca_file": {"type": "path"},
    "query": {"type": "str"},
    "lock": {"type": "str"},
    "unlock": {"type": "str"},
    "uri": {"type": "str"},
    "bind_dn": {"type": "str"},
    "bind_password": {"type": "str", "no_log": True},
    "base": {"type": "str"},
    "filter": {"type": "str"},
    "attribute": {"type": "str"},
    "value": {"type": "str"},
    "set_bits": {"type": "int"},
    "remove_values": {"type": "list", "elements": "str"},
}
_NEEDED = [
    ("type", "sqlite", ["database", "query", "lock", "unlock"]),
    ("type", "postgresql", ["database", "user", "query", "lock", "unlock"]),
    ("type", "mariadb", ["database", "user", "query", "lock", "unlock"]),
    ("type", "ldap", ["uri", "base", "filter", "attribute"]),
]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["locked", "unlocked"], "default": "locked"},
            "backend": {"type": "dict", "required": True, "options": BACKEND, "required_if": _NEEDED},
            "delivery_probe": {"type": "str"},
            "incident": {"type": "str", "default": "manual"},
            "never": {"type": "list", "elements": "str", "default": []},
            "force": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    p, run, check_mode = module.params, runner(), module.check_mode
    locked = p["state"] == "locked"
    try:
        if not re.match(r"[A-Za-z0-9][\w.-]{0,63}\Z", p["backend"]["name"], re.ASCII):
            raise HostError(f"backend.name is {p['backend']['name'][:80]!r}: use letters, digits and _ . - only")
        accounts = check_names(p["accounts"], p["never"] if locked else [], p["incident"])
        with alone(check_mode):
            step = step_of(p["backend"], accounts, run)
            if locked:
                probe = Probe(run, p["delivery_probe"], dovecot_version(run) is not None)
                result = lock(step, accounts, p["incident"], probe, check_mode)
            else:
                result = unlock(step, accounts, p["incident"], check_mode, p["force"])
            result["journal"] = journal.written
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()

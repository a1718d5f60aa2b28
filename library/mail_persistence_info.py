#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_persistence_info
short_description: List what an intruder may have left in mail accounts
description:
  - Finds what goes on to act for an intruder after the password was changed. Sieve scripts, C(.forward) files, aliases, BCC maps,
    sender-dependent routes, shared mailboxes, app passwords, Roundcube's identities; of a system user also keys, crontab and at jobs.
  - Each finding says where mail goes, whether that is outside, whether it was touched since the break-in, and how it compares with the
    inventory of before, which is kept in C(/var/lib/goodstanding/persistence.json) (mode 0600, hashes and times only).
  - Changes nothing but that inventory, and not that in check mode. What could not be read is listed as unknown.
  - Contents, arguments of programs and secrets are not returned.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  accounts:
    description: Logins to look at.
    type: list
    elements: str
    required: true
  everybody:
    description:
      - Also take every account that Dovecot lists into the inventory, as in peace time. Their findings are kept and not returned.
    type: bool
    default: false
  since:
    description:
      - When the intruder was first seen, in seconds since 1970. Only what the inventory knew before counts as unchanged.
      - Without it, a locked account is compared with what the inventory knew before the lock, another with the last inventory of
        O(everybody), and nothing is said of when a finding was touched.
    type: float
  domains:
    description: The fleet's own domains; mail to another is outside. Those of the accounts are always own.
    type: list
    elements: str
    default: []
  accept:
    description: Findings that a person has looked at. Holds for this content only.
    type: list
    elements: dict
    default: []
    suboptions:
      account:
        description: Login.
        type: str
        required: true
      place:
        description: As the finding says it.
        type: str
        required: true
      sha256:
        description: As the finding says it.
        type: str
        required: true
      reason:
        description: Why it may stay.
        type: str
        required: true
  roundcube:
    description: Roundcube's database, for the identities.
    type: dict
    suboptions:
      database:
        description: How the database is read.
        type: dict
        required: true
        suboptions: &database
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
      prefix:
        description: Prefix of the table names (C(db_prefix)).
        type: str
        default: ''
  app_passwords:
    description: Where app passwords are kept; each source names one of O(app_passwords[].query), O(app_passwords[].command),
      O(app_passwords[].passwd_file).
    type: list
    elements: dict
    default: []
    suboptions:
      database:
        description: The database of the query.
        type: dict
        suboptions: *database
      query:
        description: Returns login, id and the time it was made (epoch seconds, a time, or null). Name no column with a secret.
        type: str
      command:
        description: A command that prints the same, separated by tabs.
        type: list
        elements: str
      passwd_file:
        description: A passwd-file of Dovecot with app passwords alone. The secrets are not looked at, so a replaced one is not noticed.
        type: path
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Take the inventory in peace time
  mail_persistence_info:
    accounts: []
    everybody: true

- name: List what an intruder may have left
  mail_persistence_info:
    accounts: [mallory@example.com]
    since: 1795500000
    domains: [example.com, example.net]
    accept:
      - account: mallory@example.com
        place: /var/vmail/example.com/mallory/sieve/holiday.sieve
        sha256: 5db15c61a098ca6704a2bf689d7f449c243f1aa9d6453bd3495a96929914bb64
        reason: the owner wrote it, asked by telephone
    app_passwords:
      - database: {engine: sqlite, database: /var/lib/panel/panel.db}
        query: SELECT login, id, created FROM app_passwords
"""

RETURN = r"""
findings:
  description: What was found, at most 200 an account.
  type: list
  elements: dict
  returned: success
  contains:
    account: {description: Login., type: str}
    kind:
      description: One of V(sieve), V(forward), V(alias), V(virtual_alias), V(sender_bcc), V(recipient_bcc), V(always_bcc),
        V(sender_relayhost), V(sender_transport), V(acl), V(identity), V(app_password), V(ssh_keys), V(crontab), V(at_job).
      type: str
    place: {description: 'A path, a map and its key, a table and its row, or V(sieve:NAME) where scripts are not files.', type: str}
    active: {description: Whether it is in force; null where that cannot be told., type: bool}
    does:
      description: Such as V(redirect), V(copy), V(discard everything), V(fileinto everything), V(vacation), V(notify), V(pipe), V(program).
      type: list
      elements: str
    targets: {description: 'Where mail goes, or who may read it; at most 50, of 320 characters.', type: list, elements: str}
    outside: {description: 'Whether a target is not of the own domains, or cannot be told.', type: bool}
    sha256: {description: Of its content., type: str}
    before: {description: Of its content in the inventory of before the break-in; null where it was not there., type: str}
    mtime: {description: 'When it was changed, in seconds since 1970; null where that is not known.', type: float}
    touched_since: {description: 'Whether that is later than O(since), by mtime or ctime; null where it cannot be told.', type: bool}
    state: {description: 'V(new), V(changed), V(unchanged), or V(reviewed) where it is in O(accept).', type: str}
    reason: {description: Why it was accepted., type: str}
    disabled: {description: Whether M(mail_persistence) took it out of force., type: bool}
    note: {description: 'What was cut, or why it could not be read.', type: str}
unreviewed:
  description: Per account the number of findings that are new, changed, touched or outside, and neither accepted nor disabled.
  type: dict
  returned: success
unknown:
  description: What could not be read; none of it is clean.
  type: list
  elements: dict
  returned: success
  contains:
    account: {description: Login; empty where it concerns every account., type: str}
    what: {description: What was to be read., type: str}
    why: {description: 'What came back, and what to do.', type: str}
inventoried:
  description: Number of accounts that were looked at.
  type: int
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.accounts.lock import check_names
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError
from ..module_utils.goodstanding.persistence import sql
from ..module_utils.goodstanding.persistence.inventory import Options, take


def main() -> None:
    database = {"type": "dict", "options": sql.OPTIONS}
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "str", "required": True},
            "everybody": {"type": "bool", "default": False},
            "since": {"type": "float"},
            "domains": {"type": "list", "elements": "str", "default": []},
            "accept": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {name: {"type": "str", "required": True} for name in ("account", "place", "sha256", "reason")},
            },
            "roundcube": {
                "type": "dict",
                "options": {"database": {**database, "required": True}, "prefix": {"type": "str", "default": ""}},
            },
            "app_passwords": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "no_log": False,
                "options": {
                    "database": database,
                    "query": {"type": "str"},
                    "command": {"type": "list", "elements": "str"},
                    "passwd_file": {"type": "path", "no_log": False},
                },
            },
        },
        supports_check_mode=True,
    )
    p = module.params
    options = Options(p["domains"], p["since"], p["accept"], p["everybody"], p["roundcube"], p["app_passwords"])
    try:
        accounts = check_names(p["accounts"], [], "inventory")
        result = take(runner(), accounts, options, module.check_mode)
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: snds_info
short_description: Read what Microsoft SNDS says of your addresses
description:
  - Reads the data and the status feed of Smart Network Data Services, through the automated-access links of its portal or out of files
    that were downloaded there, for all enrolments in one call on the controller. All three forms are read - CSV of 14 columns without a
    header, CSV of 11 columns with one, and JSON.
  - SNDS shows addresses with about 100 messages a day or more, one or two days later. An address that is absent is not clean.
  - Microsoft lets a link expire after 30 days; it then answers 404, as a day without data does. A link that is older, or that has
    answered nothing for longer than it ever did before, is V(expired). What earlier runs saw of a link is in the store, which check
    mode does not write.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - cryptography
  - msal
  - requests
  - SQLAlchemy
options:
  accounts:
    description: The enrolments.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Your name for it.
        type: str
        required: true
      data_url:
        description: The automated-access link of the data. It holds a key, so keep it in a vault.
        type: str
      status_url:
        description: The automated-access link of the status feed. It holds a key too.
        type: str
      made:
        description: The day on which the links were made, such as 2026-11-03. Where not set, the day a run first saw them counts.
        type: str
      data_file:
        description: A file of data, as downloaded.
        type: path
      status_file:
        description: A file of the status feed, as downloaded.
        type: path
      api:
        description:
          - Experimental. Ask the REST interface that the portal itself uses since June 2026. Microsoft does not document it, and may
            change or forbid it. A person signs in once with C(playbooks/snds_authorize.yml).
        type: bool
        default: false
  days:
    description: For how many days before today data is asked; SNDS keeps about 30.
    type: int
    default: 5
  state_url:
    description: The store, an SQLAlchemy URL. Without it links have no history, and O(accounts[].api) cannot be used.
    type: str
  passphrase:
    description: The passphrase that seals tokens in the store, of 16 characters or more. Needed for O(accounts[].api).
    type: str
  timeout:
    description: Seconds to wait for one answer.
    type: float
    default: 30.0
  authority:
    description: Where a person signs in.
    type: str
    default: https://login.microsoftonline.com/consumers
  api_url:
    description: Where the REST interface is.
    type: str
    default: https://substrate.office.com/ip-domain-management-snds
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
    details: In check mode a token that is still valid is used, and none is renewed.
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
seealso:
  - module: snds_authorization
"""

EXAMPLES = r"""
- name: Ask SNDS
  snds_info:
    accounts:
      - name: example
        data_url: "{{ vault_snds_data_url }}"
        status_url: "{{ vault_snds_status_url }}"
        made: 2026-11-03
    state_url: sqlite:////var/lib/goodstanding/goodstanding.db

- name: Read files that were downloaded from the portal
  snds_info:
    accounts:
      - {name: example, data_file: snds/data.csv, status_file: snds/ipStatus.csv}
"""

RETURN = r"""
sources:
  description: What became of each link, file and interface.
  type: list
  elements: dict
  returned: success
  contains:
    account:
      description: Name of the enrolment.
      type: str
    source:
      description: V(data link), V(status link), V(data file), V(status file), V(data api) or V(status api).
      type: str
    state:
      description: >-
        V(current), V(no_data), V(expired), V(unauthorized) (sign in again), V(failed) (not reached) or V(unreadable) (not what SNDS sends).
        Nothing but V(current) says anything of an address.
      type: str
    why:
      description: Why, or null.
      type: str
    repair:
      description: What to do, or null.
      type: str
    rows:
      description: How many rows were read.
      type: int
    bad_rows:
      description: How many could not be read.
      type: int
    unreadable:
      description: The first 50 of those, as C(row) and C(reason).
      type: list
      elements: dict
addresses:
  description: >-
    The latest period of each address - C(account), C(address), C(start) and C(end) (ISO 8601 without a zone, as Microsoft names none),
    C(rcpt_commands), C(data_commands), C(message_recipients), C(filter_result) (green - less than 10 % judged spam, yellow, red - more than
    90 %), C(complaint_rate) in per cent (C(complaint_rate_below) where it says less than that), C(trap_start), C(trap_end), C(trap_hits),
    and Microsoft's own words in C(sample_helo), C(sample_mail_from) and C(comments). What is not given is null.
  type: list
  elements: dict
  returned: success
ranges:
  description: >-
    What the status feed says is abnormal - C(account), C(first) and C(last) address, C(status) (blocked, bot or junked), C(reason). A range
    may be larger than what is yours.
  type: list
  elements: dict
  returned: success
"""

import datetime
import time
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from ..module_utils.goodstanding.feeds import snds_access
    from ..module_utils.goodstanding.feeds.snds_account import Collected, Enrolment, read, read_api
    from ..module_utils.goodstanding.store import database, links
    from ..module_utils.goodstanding.store.sealed import Sealed

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

SOURCES = ("data_url", "status_url", "data_file", "status_file", "api")


def enrolments(rows: list[dict[str, t.Any]]) -> list[Enrolment]:
    """Return the enrolments; ValueError names what is wrong with one."""
    found = []
    for row in rows:
        where = f"accounts: {row['name']!r}"
        if not any(row[name] for name in SOURCES):
            raise ValueError(f"{where} has nothing to read: give a data_url, a status_url, a file, or api: true")
        for name in ("data_url", "status_url"):
            if row[name] and not row[name].startswith("https://"):
                raise ValueError(f"{where}: its {name} does not begin with https://; give the automated-access link of the portal")
        try:
            made = datetime.date.fromisoformat(row["made"]) if row["made"] else None
        except ValueError:
            raise ValueError(f"{where}: made is {row['made']!r}: write the day as 2026-11-03") from None
        found.append(Enrolment(row["name"], made=made, **{name: row[name] or "" for name in SOURCES[:4]}))
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise ValueError("accounts: two of them have the same name: each needs its own")
    return found


def collect(p: dict[str, t.Any], check_mode: bool) -> Collected:
    """Ask everything; what is learned of the links is stored, except in check mode."""
    today = datetime.datetime.fromtimestamp(time.time(), datetime.timezone.utc).date()
    wanted = enrolments(p["accounts"])
    with_api = {row["name"] for row in p["accounts"] if row["api"]}
    if with_api and not (p["state_url"] and p["passphrase"]):
        raise ValueError("api: true needs state_url and passphrase: the token is kept there, encrypted")
    engine = None
    if p["state_url"]:
        engine = database.open_existing(p["state_url"]) if check_mode else database.open_store(p["state_url"])
    known = links.load(engine) if engine is not None else {}
    learned = {}
    collected = Collected()
    for each in wanted:
        http = snds_access.Http(p["timeout"])
        names = {source: links.name(url) for source, url in (("data", each.data_url), ("status", each.status_url)) if url}
        of_links = {source: known[name] for source, name in names.items() if name in known}
        now = read(collected, each, http, of_links, today, p["days"])
        learned.update({names[source]: link for source, link in now.items()})
        if each.name in with_api and engine is not None:
            api = snds_access.Api(http, Sealed(engine, p["passphrase"]), each.name, p["authority"], p["api_url"], check_mode)
            read_api(collected, each.name, api, today, p["days"])
    if engine is not None and not check_mode:
        links.save(engine, learned)
    return collected


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "data_url": {"type": "str", "no_log": True},
                    "status_url": {"type": "str", "no_log": True},
                    "made": {"type": "str"},
                    "data_file": {"type": "path"},
                    "status_file": {"type": "path"},
                    "api": {"type": "bool", "default": False},
                },
            },
            "days": {"type": "int", "default": 5},
            "state_url": {"type": "str", "no_log": True},
            "passphrase": {"type": "str", "no_log": True},
            "timeout": {"type": "float", "default": 30.0},
            "authority": {"type": "str", "default": "https://login.microsoftonline.com/consumers"},
            "api_url": {"type": "str", "default": "https://substrate.office.com/ip-domain-management-snds"},
        },
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("cryptography, msal, requests and SQLAlchemy"), exception=IMPORT_ERROR)
    if not 1 <= module.params["days"] <= 30:
        module.fail_json(msg=f"days is {module.params['days']}: SNDS keeps 30 days, ask for 1 to 30")
    try:
        found = collect(module.params, module.check_mode)
    except (ValueError, database.StoreError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, sources=found.sources, addresses=found.addresses, ranges=found.ranges)


if __name__ == "__main__":
    main()

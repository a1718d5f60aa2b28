#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: abuse_verdict_info
short_description: Name the mail accounts that were broken into, from the counters of all hosts
description:
  - Merges the results of M(mail_log_info) over a fleet and judges each account by families of signals, each against the account's own
    past. Runs on the controller.
  - Two families, one of them telling (weight 2), make C(compromised); one family makes C(suspect). C(spread) and
    C(hours) count as one, and so do C(volume) and C(first). Much mail of an account whose past is
    not known, or refusals because the server is listed, are nothing by themselves.
  - "The families: C(volume) (weight 1) of recipients; C(recipients) (2) that do not exist; C(spread) (2, where all is one network 1) of
    client addresses; C(credentials) (2), failed logins from strange addresses; C(senders) (1) that are not its own; C(first) (1) mail
    ever; C(hours) (1) at which it never sent; C(reputation) (1), refusals; C(complaints) (1) of feedback loops."
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  logs:
    description: Per host name the result of M(mail_log_info); a failed result makes its host unknown.
    type: dict
    required: true
  window:
    description: How many hours the counters of O(logs) are about, as in M(mail_log_info).
    type: int
    default: 24
  thresholds:
    description:
      - What is normal at most, by the names of C(roles/abuse_triage/defaults/main.yml), which says why each is what it is. What is not
        named stays as it is there.
    type: dict
    default: {}
  reputation:
    description: What playbooks/complaints.yml read, C(complaints) and C(senders); complaints that name an account speak against it.
    type: dict
    default: {}
  countries:
    description:
      - A MaxMind DB file (C(.mmdb)) that tells the country of an address, on the controller; empty asks for none.
      - Needs the Python library maxminddb.
    type: path
    default: ""
  exempt:
    description: Accounts that may send much.
    type: list
    elements: dict
    default: []
    suboptions:
      account:
        description: The login.
        type: str
        required: true
      reason:
        description: Why it may.
        type: str
        required: true
      expires:
        description: The last day of the exemption, YYYY-MM-DD.
        type: str
        required: true
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Judge the accounts of two hosts
  abuse_verdict_info:
    logs:
      mx1.example.com: "{{ hostvars['mx1.example.com'].abuse_triage_log }}"
      mx2.example.com: "{{ hostvars['mx2.example.com'].abuse_triage_log }}"
    thresholds: {recipients_per_hour: 1000}

- name: Judge with countries
  abuse_verdict_info:
    logs: "{{ logs }}"
    countries: /var/lib/GeoIP/GeoLite2-Country.mmdb
"""

RETURN = r"""
accounts:
  description: Accounts with a verdict, strongest first.
  type: list
  elements: dict
  returned: success
  contains:
    account:
      description: The login; of what no login sent C(uid:33@HOST), C(relay:internet@HOST) or C(relay:ADDRESS@HOST).
      type: str
    kind:
      description: V(login), V(uid) or V(relay).
      type: str
    verdict:
      description: V(compromised), V(suspect) or V(exempt).
      type: str
    sentence:
      description: What speaks against it.
      type: str
    hosts:
      description: The hosts that it used.
      type: list
      elements: str
    clients:
      description: Addresses that used this account and no other one in the window; at most 200.
      type: list
      elements: str
    recipients:
      description: Recipients of its mail in the window.
      type: int
    signals:
      description: Each with family, weight, figure, normal (of its own past, or null), threshold, text, evidence (lines of the log).
      type: list
      elements: dict
    evidence:
      description: Lines of the log, each with host and kind. Strangers wrote a part of them.
      type: list
      elements: dict
causes:
  description:
    - What else spoils the reputation, each with kind, host, text, next_step and evidence. The kinds are V(forward) and V(backscatter), and
      V(nobody) where receivers refuse a host for its reputation and nothing was found.
  type: list
  elements: dict
  returned: success
unknown_hosts:
  description: Hosts whose log could not be read or is not complete, with the reason.
  type: list
  elements: dict
  returned: success
"""

import contextlib
import time
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.goodstanding.findings.feeds import complained_accounts
from ..module_utils.goodstanding.triage.verdict import VerdictError, judge

try:
    import maxminddb
except ImportError:
    MAXMINDDB_ERROR: str | None = traceback.format_exc()
else:
    MAXMINDDB_ERROR = None


@contextlib.contextmanager
def open_countries(path: str) -> t.Iterator[t.Callable[[str], str | None] | None]:
    """Give a function that tells the country (ISO 3166-1) of an address, None without a path; VerdictError where it cannot be read."""
    if not path:
        yield None
        return
    try:
        reader = maxminddb.open_database(path)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as exc:
        raise VerdictError(f"abuse_triage_countries: {path} is no MaxMind DB file that can be read ({exc})") from None

    def country(address: str) -> str | None:
        try:
            found = reader.get(address)
        except ValueError:
            return None
        about = found.get("country") if isinstance(found, dict) else None
        name = about.get("iso_code") if isinstance(about, dict) else None
        return str(name)[:2] if name else None

    with reader:
        yield country


def main() -> None:
    exemption = {name: {"type": "str", "required": True} for name in ("account", "reason", "expires")}
    module = AnsibleModule(
        argument_spec={
            "logs": {"type": "dict", "required": True},
            "window": {"type": "int", "default": 24},
            "thresholds": {"type": "dict", "default": {}},
            "exempt": {"type": "list", "elements": "dict", "default": [], "options": exemption},
            "reputation": {"type": "dict", "default": {}},
            "countries": {"type": "path", "default": ""},
        },
        supports_check_mode=True,
    )
    p = module.params
    if p["countries"] and MAXMINDDB_ERROR:
        module.fail_json(msg=missing_required_lib("maxminddb"), exception=MAXMINDDB_ERROR)
    try:
        with open_countries(p["countries"]) as country:
            complaints = complained_accounts(p["reputation"])
            result = judge(p["logs"], time.time(), p["window"], p["thresholds"], p["exempt"], complaints, country)
    except VerdictError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

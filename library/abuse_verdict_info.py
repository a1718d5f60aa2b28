#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: abuse_verdict_info
short_description: Name the mail accounts that were broken into, from the counters of all hosts
description:
  - Merges the results of M(mail_log_info) over a fleet and judges each account by families of signals. Runs on the controller.
  - Two families, one of them more telling than volume or reputation, make C(compromised); one makes C(suspect).
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  logs:
    description: Per host name the result of M(mail_log_info); a failed result makes its host unknown.
    type: dict
    required: true
  thresholds:
    description:
      - What is normal at most. Known are C(recipients_per_hour) (500), C(unknown_recipients) (25) and C(unknown_share) (0.1),
        C(client_addresses) (8), C(failed_logins) (5) from C(failed_login_clients) (3), C(reputation_refusals) (5).
    type: dict
    default: {}
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
"""

RETURN = r"""
accounts:
  description: Accounts with a verdict (compromised, suspect, exempt), strongest first, each with a sentence, signals and evidence.
  type: list
  elements: dict
  returned: success
unknown_hosts:
  description: Hosts whose log could not be read or is not complete, with the reason.
  type: list
  elements: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.triage.verdict import VerdictError, judge


def main() -> None:
    exemption = {name: {"type": "str", "required": True} for name in ("account", "reason", "expires")}
    module = AnsibleModule(
        argument_spec={
            "logs": {"type": "dict", "required": True},
            "thresholds": {"type": "dict", "default": {}},
            "exempt": {"type": "list", "elements": "dict", "default": [], "options": exemption},
        },
        supports_check_mode=True,
    )
    try:
        result = judge(module.params["logs"], module.params["thresholds"], module.params["exempt"])
    except VerdictError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_queue
short_description: Hold, release, delete or count the queued mail of accounts
description:
  - Finds mail by what Postfix wrote into its envelope - the login (C(sasl_username)), the client's address, or the local user that
    submitted it. Neither the sender nor the body is asked, since both are the sender's text.
  - Mail on hold stays in the queue and is not delivered until it is released. A message that is being delivered at that moment may still
    go out; it is then on hold without recipients, or among RV(left).
  - V(deleted) puts the mail on hold, looks at each message again there, writes evidence, and only then deletes it, from hold alone.
    Without evidence nothing is deleted. No bounce is sent.
  - Each state is reached when two looks at the queue in a row find nothing to do; what commands say is not relied on. Mail that a client
    has not yet finished to send is no mail yet - so lock the account first (M(mail_account_lock)).
  - The default instance of Postfix alone is looked at. For Exim see docs/queue.md.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  accounts:
    description: Logins, and local users of this host by number or name (C(uid:33), C(uid:www-data)).
    type: list
    elements: str
    default: []
  client_addresses:
    description: >-
      IP addresses or networks of the clients that handed the mail in, or that a content filter says to have got it from (XFORWARD).
    type: list
    elements: str
    default: []
  uids:
    description: Numbers of local users (C(33) is Debian's web server). Not found where C(header_checks) take out C(Received) lines.
    type: list
    elements: int
    default: []
  state:
    description: What becomes of the mail; V(listed) only counts it.
    type: str
    choices: [held, released, deleted, listed]
    required: true
  incident:
    description: A name for the incident, for the journal and the evidence.
    type: str
    default: manual
  max_disk_percent:
    description: Beyond this share of the free space of the queue's file system the mail on hold is RV(over_budget), in percent.
    type: float
    default: 20
  evidence_directory:
    description: Where evidence is written, in a folder with the name of the incident, readable by root alone.
    type: path
    default: /var/lib/goodstanding/evidence
  evidence_days:
    description: After so many days the next run of this module removes the evidence.
    type: float
    default: 90
  evidence_sample:
    description: So many messages of an incident are kept whole; of all others only facts, such as the first recipients, and a hash.
    type: int
    default: 20
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    details: Counts by account.
    support: full
"""

EXAMPLES = r"""
- name: Hold what an account has in the queue
  mail_queue:
    accounts: [mallory@example.com]
    state: held

- name: Count what the web server's user and a network have in the queue
  mail_queue:
    uids: [33]
    client_addresses: [203.0.113.0/24]
    state: listed

- name: Delete an account's mail, with evidence
  mail_queue:
    accounts: [mallory@example.com]
    state: deleted
    incident: 20261124T060000Z
"""

RETURN = r"""
moved:
  description: Number of messages that were held or released now.
  type: int
  returned: success
deleted:
  description: Number of messages that were deleted now.
  type: int
  returned: success
queued:
  description: Number of the selected messages that are in the queue and not on hold.
  type: int
  returned: success
faults:
  description: What else went wrong; the state was reached all the same. They are warnings, too.
  type: list
  elements: str
  returned: success
held:
  description: Number of the selected messages on hold, by account, C(client:NETWORK) and C(uid:NUMBER).
  type: dict
  returned: success
messages:
  description: Number of the selected messages by account, C(client:NETWORK) and C(uid:NUMBER), and by queue.
  type: dict
  returned: success
passes:
  description: How often the queue was looked at.
  type: int
  returned: success
corrupt:
  description: Number of the selected messages that Postfix put aside as damaged; it does not deliver them.
  type: int
  returned: success
unread:
  description: Messages whose envelope could not be read, so that it is not known whose they are. C(count) and the first 1000 C(queue_ids).
  type: dict
  returned: success
left:
  description: >-
    Messages that went out of the queue meanwhile without being deleted here - delivered, or taken by somebody else. C(count) and the first
    1000 C(queue_ids), which the mail log knows.
  type: dict
  returned: success
backscatter:
  description: Bounces in the queue to senders that the selected mail claims to be of. They are only listed. C(count) and C(queue_ids).
  type: dict
  returned: success
over_budget:
  description: Whether the selected mail on hold takes more than O(max_disk_percent); new mail of the accounts is then better refused.
  type: bool
  returned: success
evidence:
  description: C(path) on the host, C(messages) that are written down there and how many whole (C(sample)); null where nothing was deleted.
  type: dict
  returned: success
expired:
  description: Incidents whose evidence was removed now, since its time was over.
  type: list
  elements: str
  returned: success
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.host import journal
from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone
from ..module_utils.goodstanding.queue.evidence import DIRECTORY, Evidence, expire
from ..module_utils.goodstanding.queue.hold import apply
from ..module_utils.goodstanding.queue.scan import select


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "str", "default": []},
            "client_addresses": {"type": "list", "elements": "str", "default": []},
            "uids": {"type": "list", "elements": "int", "default": []},
            "state": {"type": "str", "choices": ["held", "released", "deleted", "listed"], "required": True},
            "incident": {"type": "str", "default": "manual"},
            "max_disk_percent": {"type": "float", "default": 20},
            "evidence_directory": {"type": "path", "default": DIRECTORY},
            "evidence_days": {"type": "float", "default": 90},
            "evidence_sample": {"type": "int", "default": 20},
        },
        required_one_of=[("accounts", "client_addresses", "uids")],
        supports_check_mode=True,
    )
    p, check_mode = module.params, module.check_mode
    read_only = check_mode or p["state"] == "listed"
    expired: list[str] = []
    try:
        selection = select(p["accounts"], p["client_addresses"], p["uids"])
        evidence = Evidence(p["evidence_directory"], p["incident"], p["evidence_days"], p["evidence_sample"])
        with alone(read_only, p["incident"]):
            if not read_only:
                try:
                    expired = expire(p["evidence_directory"], time.time())
                    if expired:
                        journal.write(step="evidence expired", incident=p["incident"], removed=expired)
                except OSError as exc:  # no reason to let mail go out
                    module.warn(f"evidence whose time is over could not be removed from {p['evidence_directory']}: {exc.strerror}")
            result: dict[str, t.Any] = apply(
                runner(), selection, p["state"], p["incident"], check_mode, (), evidence, p["max_disk_percent"]
            )
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    for fault in result["faults"]:
        module.warn(fault)
    module.exit_json(**{**result, "changed": result["changed"] or bool(expired), "expired": expired})


if __name__ == "__main__":
    main()

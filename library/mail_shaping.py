#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_shaping
short_description: Send each large receiver its mail by a transport of its own
description:
  - Adds a service C(goodstanding-RECEIVER) to C(master.cf) for each receiver, as the service that C(default_transport) names, its limits to
    C(main.cf), and names the map C(lmdb:/etc/postfix/goodstanding_transport) behind the administrator's own in C(transport_maps).
  - Which domains are at a receiver is told by this host's own log (M(mail_log_info) with O(receivers)), so the domains of a receiver's
    customers share its limits. A domain whose mail stays here, or that the administrator's maps answer for, is left out.
  - The configuration is tried first, and the old files return where Postfix does not take it. V(absent) restores them to the byte.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  state:
    description: Whether the transports are there. Mail that waits names none, so none is lost with them.
    type: str
    choices: [present, absent]
    default: present
  receivers:
    description:
      - Per receiver (an C(id) of C(catalogue/receivers.yml)) its limits.
      - C(concurrency) - connections to it in all; C(domain_concurrency) - to one of its domains, the same where not set.
      - C(transport_rate_delay) - seconds from the end of one delivery to it until the next begins, whatever the domain. Postfix then makes
        one delivery at a time to all of the receiver.
      - C(destination_rate_delay) - the same for each of its domains, so one delivery at a time to a domain.
    type: dict
    default: {}
  rates:
    description:
      - Per receiver of a warm-up how many recipients it may be sent a day. It becomes a C(transport_rate_delay) where that is the slower
        one, and a delivery has one recipient. The time of the deliveries comes on top, so fewer than allowed are sent.
      - More than 86400 a day sets none, since Postfix knows no delay below a second.
      - Receivers that are not named have none. Without this option the rates of the last run stay.
    type: dict
  domains:
    description: Domains whose receiver is told here, before what the log says of them.
    type: dict
    default: {}
  log:
    description: What M(mail_log_info) remembers of this host's log (its O(state)).
    type: path
    default: /var/lib/goodstanding/maillog.db
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Open no more than five connections to each of these receivers
  mail_shaping:
    receivers:
      outlook: {concurrency: 5}
      google: {concurrency: 5, domain_concurrency: 2}

- name: Send Outlook.com no more than 1200 recipients a day
  mail_shaping:
    receivers:
      outlook: {concurrency: 2}
    rates:
      outlook: 1200

- name: Take the transports out
  mail_shaping:
    state: absent
"""

RETURN = r"""
transports:
  description: Per transport how many domains it has.
  type: dict
  returned: success
  sample: {goodstanding-outlook: 14}
left_out:
  description: Domains that have no transport although a receiver's servers take their mail, each with C(why).
  type: list
  elements: dict
  returned: success
  sample: [{domain: example.com, why: relay_domains has it}]
rates:
  description: The rates of a warm-up that are in force, per receiver in recipients a day.
  type: dict
  returned: success
"""

import json
import os
import re
import sqlite3
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone
from ..module_utils.goodstanding.maillog.book import receiving
from ..module_utils.goodstanding.shaping.apply import apply, rates_in_force
from ..module_utils.goodstanding.shaping.settings import transports

_DOMAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+\Z", re.ASCII)


def domains(params: dict[str, t.Any]) -> tuple[dict[str, str], str | None]:
    """Return the receiver of each domain, and what is wrong with the log's book."""
    given = {str(domain).lower(): str(receiver) for domain, receiver in params["domains"].items()}
    wrong = [domain for domain, receiver in given.items() if not _DOMAIN.match(domain) or receiver not in params["receivers"]]
    if wrong:
        raise HostError(f"domains: {', '.join(wrong)[:200]}: each needs a domain's name and one of receivers")
    if not os.path.exists(params["log"]):
        return given, f"{params['log']} is not there, so no domain is known from the log: run playbooks/assess.yml first"
    try:
        return {**receiving(params["log"]), **given}, None
    except (sqlite3.Error, OSError, ValueError) as exc:
        raise HostError(f"{params['log']} cannot be read ({exc}): run playbooks/assess.yml first; no transport was changed") from exc


def run(params: dict[str, t.Any], check_mode: bool) -> tuple[dict[str, t.Any], str | None]:
    """Return the module's result and a warning."""
    if params["state"] == "absent":
        return {**apply(runner(), [], {}, {}, check_mode), "rates": {}}, None
    rates = rates_in_force() if params["rates"] is None else params["rates"]
    wanted = transports(params["receivers"], rates)
    rates = {receiver: int(rate) for receiver, rate in rates.items()}
    known, warning = domains(params)
    return {**apply(runner(), wanted, known, rates, check_mode), "rates": rates}, warning


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "receivers": {"type": "dict", "default": {}},
            "rates": {"type": "dict"},
            "domains": {"type": "dict", "default": {}},
            "log": {"type": "path", "default": "/var/lib/goodstanding/maillog.db"},
        },
        supports_check_mode=True,
    )
    try:
        with alone(module.check_mode):
            result, warning = run(module.params, module.check_mode)
    except (HostError, OSError) as exc:
        module.fail_json(msg=str(exc))
    if warning:
        module.warn(warning)
    module.exit_json(**json.loads(json.dumps(result)))


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rate_limit
short_description: Limit how many recipients an account, a domain and a local user may have
description:
  - Sets up an engine that counts recipients, and lets every C(smtpd) service of Postfix that knows logins ask it. Recipients beyond a soft
    limit are put off (4xx), beyond a hard one refused (5xx).
  - Local users send by C(sendmail(1)), of which no engine is told. Where the policy limits them, a service of its own counts their
    recipients, and who met a limit stands in a map of C(authorized_submit_users) until the window has room.
  - Everything is tried in copies first; where an engine or Postfix does not take it, or answers others differently than before, the old
    files and units return. V(absent) brings every file and unit back as it was, to the byte.
  - With the engine or its store gone, mail flows; RV(faults) says that nothing is limited.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  state:
    description: Whether there are limits.
    type: str
    choices: [present, absent]
    default: present
  engine:
    description:
      - What counts. V(auto) is V(rspamd) where Postfix asks Rspamd as a milter already, else V(policyd_rate_limit).
      - Of two engines one is there. Another one that this module set up is taken out first.
    type: str
    choices: [auto, rspamd, policyd_rate_limit]
    default: auto
  limits:
    description:
      - The policy as M(rate_limit_policy_info) returns it - C(account), C(domain) and C(uid), each C({soft, hard}) with recipients per
        C(minute), C(hour) and C(day); C(overrides), a list of C(scope), C(key), C(soft), C(hard); C(shadow), which refuses nothing.
    type: dict
    default: {}
  store:
    description:
      - Where the engine counts. Empty is a store of this host's own. C(HOST:PORT) of a Redis server (V(rspamd)) or an SQL URL
        (V(policyd_rate_limit)) that several hosts share makes the limits those of all these hosts together.
    type: str
    default: ""
  store_password:
    description: The password of that store.
    type: str
    default: ""
  timeout:
    description: How long Postfix waits for an answer of the engine, in seconds, before it goes on without.
    type: int
    default: 5
  postfix:
    description: Limits of Postfix's own, parameters of main.cf such as C(smtpd_recipient_limit), which count per address of a client.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode; of files that may hold a password, only that they change.
    support: full
"""

EXAMPLES = r"""
- name: Limit accounts to 200 recipients an hour
  rate_limit:
    engine: rspamd
    limits:
      account: {soft: {hour: 200, day: 1000}, hard: {hour: 400}}
      overrides:
        - {scope: account, key: news@example.com, soft: {day: 20000}, hard: {}}
      shadow: false

- name: Take the limits out
  rate_limit:
    state: absent
"""

RETURN = r"""
engine:
  description: The engine that counts; null without limits.
  type: str
  returned: success
packages:
  description: The packages that it needs and the host lacks.
  type: list
  elements: str
  returned: success
faults:
  description: What keeps it from limiting, a sentence each; empty in check mode.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.host.command import runner
from ..module_utils.goodstanding.host.files import HostError, alone
from ..module_utils.goodstanding.limits.apply import Wish, apply, choose
from ..module_utils.goodstanding.limits.engine import Settings
from ..module_utils.goodstanding.limits.policy import PolicyError, from_data


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "engine": {"type": "str", "choices": ["auto", "rspamd", "policyd_rate_limit"], "default": "auto"},
            "limits": {"type": "dict", "default": {}},
            "store": {"type": "str", "default": ""},
            "store_password": {"type": "str", "default": "", "no_log": True},
            "timeout": {"type": "int", "default": 5},
            "postfix": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    p = module.params
    try:
        run, wish = runner(), None
        if not 1 <= p["timeout"] <= 60:
            raise HostError(f"timeout is {p['timeout']}: expected 1 to 60 seconds")
        with alone(module.check_mode, "sending limits"):
            if p["state"] == "present":
                settings = Settings(p["store"], p["store_password"], p["timeout"])
                values = {str(name): str(value) for name, value in p["postfix"].items()}
                wish = Wish(choose(run, p["engine"]), from_data(p["limits"]), settings, values)
            result = apply(run, wish, module.check_mode)
    except (HostError, PolicyError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()

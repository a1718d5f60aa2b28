#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rate_limit_policy_info
short_description: Turn the administrator's sending limits into one policy
description:
  - Brings the defaults, the reviewed proposals and the overrides of one host together. Runs on the controller and changes nothing.
  - An override stands above a reviewed proposal, and that above the default of the scope. Of several overrides of one account, domain or
    local user that of the later list stands (host, group, all); an account's own stands above one of a group that it is in.
  - What stands, stands whole - a window that it leaves out has no limit, and that is noted.
  - An override whose last day is over has no effect, and is returned in C(expired).
  - A limit is C({soft, hard}), each C({minute, hour, day}) in recipients. In a longer window there is no less than in a shorter one, and
    hard is no less than soft.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - PyYAML, for O(proposals)
options:
  account:
    description: The limit of each account (a login).
    type: raw
    default: {}
  domain:
    description: The limit of all accounts of a domain together.
    type: raw
    default: {}
  uid:
    description: The limit of each local user, such as the web server's. Root and the mail system's own users have none but by an override.
    type: raw
    default: {}
  groups:
    description: Per name of a group its accounts. Each of them has the limit of the group's override for itself.
    type: raw
    default: {}
  overrides:
    description:
      - Overrides for all hosts, each C({account, domain, uid or group, soft, hard, reason, until}). C(reason) and C(until) (the last day,
        YYYY-MM-DD) must be there. C(uid) is the number or the name of a local user.
    type: raw
    default: []
  overrides_group:
    description: Overrides for a group of hosts.
    type: raw
    default: []
  overrides_host:
    description: Overrides for one host.
    type: raw
    default: []
  mode:
    description: V(enforce) refuses mail; V(shadow) only says whose would be.
    type: str
    default: shadow
  proposals:
    description: The file that M(rate_limit_proposal) wrote and somebody reviewed; empty reads none.
    type: path
    default: ""
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Work out the limits of this host
  rate_limit_policy_info:
    account: {soft: {minute: 60, hour: 200, day: 600}, hard: {hour: 400, day: 1200}}
    overrides:
      - account: news@example.com
        soft: {hour: 5000, day: 5000}
        reason: weekly newsletter, 4,200 subscribers
        until: 2027-06-30
    mode: enforce
  delegate_to: localhost
"""

RETURN = r"""
policy:
  description: The policy as the module on the mail host takes it - account, domain and uid, overrides (scope, key, soft, hard) and shadow.
  type: dict
  returned: success
limits:
  description: >-
    Every limit with where it comes from - scope, key (empty for the default of the scope), soft, hard, source (V(default), V(proposal) or
    V(override)) and text.
  type: list
  elements: dict
  returned: success
expired:
  description: Overrides that have no effect any more, each with scope, key, until, reason and variable.
  type: list
  elements: dict
  returned: success
overridden:
  description: Reviewed proposals that an override stands above, each with account and by.
  type: list
  elements: dict
  returned: success
unreviewed:
  description: How many proposals have no effect since nobody reviewed them.
  type: int
  returned: success
notes:
  description: What else there is to know, a sentence each, such as an override that ends within a week.
  type: list
  elements: str
  returned: success
"""

import datetime
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.goodstanding.host.files import HostError, read_text
from ..module_utils.goodstanding.limits import policy

try:
    from ..module_utils.goodstanding.limits.proposals import load

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

WORDS = ("account", "domain", "uid", "groups", "overrides", "overrides_group", "overrides_host")


def proposals(path: str) -> t.Any:
    """Return what the file of proposals says; PolicyError where there is none."""
    text = read_text(path)
    if text is None:
        raise policy.PolicyError(
            f"rate_limit_proposals names {path}, which is not there: run playbooks/propose_limits.yml, or leave the variable empty"
        )
    return load(text, path)


def run(p: dict[str, t.Any], today: datetime.date) -> dict[str, t.Any]:
    """Return the module's result."""
    file = proposals(p["proposals"]) if p["proposals"] else None
    ruling = policy.parse(policy.Words(**{name: p[name] for name in WORDS}, mode=p["mode"], proposals=file), today)
    rows = [
        {"scope": row.scope, "key": row.key, **policy.halves(row.limit), "source": row.source, "text": row.text} for row in ruling.standing
    ]
    unreviewed = sum(not row.reviewed for row in policy.proposals(file).values())
    return {
        "policy": policy.as_data(ruling.policy), "limits": rows, "expired": ruling.expired, "overridden": ruling.overridden,
        "unreviewed": unreviewed, "notes": ruling.notes,
    }  # fmt: skip


def main() -> None:
    spec = {name: {"type": "raw", "default": [] if name.startswith("overrides") else {}} for name in WORDS}
    module = AnsibleModule(
        argument_spec={**spec, "mode": {"type": "str", "default": "shadow"}, "proposals": {"type": "path", "default": ""}},
        supports_check_mode=True,
    )
    p = module.params
    if IMPORT_ERROR and p["proposals"]:
        module.fail_json(msg=missing_required_lib("PyYAML"), exception=IMPORT_ERROR)
    try:
        result = run(p, datetime.datetime.now(datetime.timezone.utc).date())
    except (policy.PolicyError, HostError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rate_limit_proposal
short_description: Propose sending limits from what each account sent so far
description:
  - Writes a file of proposals that a person reviews, from the results of M(mail_log_info) over a fleet. Runs on the controller and changes
    nothing on a mail host.
  - The limit of an hour is O(factor) times the account's usual busy hour (O(percentile)), that of a day likewise, and that of a minute the
    usual busy hour itself, since an hour's mail may have been one message. All stay between O(floor) and O(ceiling).
  - Only hours (and days) in which the account sent are counted, so that who writes to a list once a week may go on doing so.
  - The last week is nobody's past, since a break-in may be in it that nobody found yet. Hours of a break-in that a run of O(state_url)
    found, or that O(incidents) tells of, are left out.
  - An account whose past is too short, or not told, gets no proposal, and that is said. One whose past is above the ceiling gets a proposal
    that begins with C(DECIDE).
  - An entry with C(reviewed) or C(by) in it stays as it is; what would be proposed now stands above it as a comment.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - PyYAML
  - SQLAlchemy
options:
  logs:
    description: Per host name the result of M(mail_log_info), with its O(ignore:window) as long as its O(ignore:history).
    type: dict
    required: true
  dest:
    description: The file of proposals.
    type: path
    required: true
  percentile:
    description: The share, in percent, of its hours that an account's usual busy hour is not exceeded in (the nearest rank).
    type: float
    default: 99
  factor:
    description: How many times its usual busy hour, or day, an account may send.
    type: float
    default: 3
  hard_factor:
    description: How many times the soft limit the hard one is. It stays below O(ceiling) as well.
    type: float
    default: 2
  floor:
    description:
      - No limit is proposed below these numbers of recipients, C({minute, hour, day}). What is not named is 50, 100 and 300, of which the
        latter two are what M(abuse_verdict_info) finds normal for anybody.
    type: dict
    default: {}
  ceiling:
    description: No limit is proposed above these, C({minute, hour, day}). What is not named is 400, 1200 and 5000.
    type: dict
    default: {}
  days:
    description:
      - So many whole days (UTC) of its past must be known of an account, without the last week and without a known break-in. Of an account
        that is not known for so long the last week counts too.
    type: int
    default: 14
  window:
    description: How many hours an assess looks at, as O(ignore:window) of M(abuse_verdict_info); they are no past.
    type: int
    default: 24
  incidents:
    description: Break-ins that no run found, for instance from before there were runs.
    type: list
    elements: dict
    default: []
    suboptions:
      account:
        description: The login.
        type: str
        required: true
      since:
        description: The first day of it (UTC), YYYY-MM-DD.
        type: str
        required: true
      until:
        description: Its last day; up to now where not set.
        type: str
  state_url:
    description: The database of runs, an SQLAlchemy URL, in which break-ins are looked up; none where not set. It is only read.
    type: str
  partial:
    description: Whether the file is written although the log of a host could not be read. Accounts that use that host get too little.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Propose limits from the logs of two hosts
  rate_limit_proposal:
    logs:
      mx1.example.com: "{{ hostvars['mx1.example.com'].abuse_triage_log }}"
      mx2.example.com: "{{ hostvars['mx2.example.com'].abuse_triage_log }}"
    dest: /etc/goodstanding/limits.yml
    ceiling: {hour: 2000, day: 10000}
"""

RETURN = r"""
path:
  description: The file.
  type: str
  returned: success
proposed:
  description: How many accounts a limit is proposed for.
  type: int
  returned: success
decide:
  description: Per account whose past is above the ceiling, why somebody has to look at it.
  type: dict
  returned: success
  sample: {news@example.com: "its usual busy hour has 4000 recipients, above the ceiling of 1200"}
none:
  description: Per account without a proposal, why; at most 500 of them are in the file.
  type: dict
  returned: success
  sample: {new@example.com: its past is shorter than 14 days}
quiet:
  description: How many other accounts sent next to nothing (less than 20 recipients); they get no proposal.
  type: int
  returned: success
differing:
  description: Accounts whose reviewed limit is not what would be proposed now.
  type: list
  elements: str
  returned: success
unknown_hosts:
  description: Hosts whose log could not be read, or is not complete, with the reason.
  type: list
  elements: dict
  returned: success
"""

import time
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.goodstanding.findings.times import iso
from ..module_utils.goodstanding.host import files
from ..module_utils.goodstanding.limits.policy import PolicyError

try:
    from ..module_utils.goodstanding.limits import proposals, propose
    from ..module_utils.goodstanding.store import database
    from ..module_utils.goodstanding.triage.verdict import unknown_hosts

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


def break_ins(p: dict[str, t.Any], now: float) -> dict[str, list[tuple[float, float]]]:
    """Return when accounts were in a stranger's hands, by the store of runs and by the administrator."""
    spans = propose.spans_told([{name: row[name] for name in row if row[name] is not None} for row in p["incidents"]], now)
    engine = database.open_existing(p["state_url"]) if p["state_url"] else None
    if engine is not None:
        # A run may have found a break-in that is in the past of today's account: as old as a log is remembered at most, and a week.
        found = propose.spans_of(database.documents(engine, iso(now - 67 * 86400)), now)
        for account, more in found.items():
            spans.setdefault(account, []).extend(more)
    return spans


def run(p: dict[str, t.Any], now: float, check_mode: bool) -> dict[str, t.Any]:
    """Write the file, and return the module's result."""
    rule = propose.rule_of(p["percentile"], p["factor"], p["floor"], p["ceiling"], p["days"], p["hard_factor"])
    unknown = unknown_hosts(p["logs"])
    unread = [row for row in unknown if "accounts" not in p["logs"][row["host"]]]
    if not p["logs"]:
        raise PolicyError("no log was given: list the mail hosts in the group mail_servers, or name another group with -e target=GROUP")
    if (unread and not p["partial"]) or len(unread) == len(p["logs"]):
        more = f" (and of {len(unread) - 1} more)" if len(unread) > 1 else ""
        raise PolicyError(
            f"{p['dest']} is left as it is: the log of {unread[0]['host']}{more} was not read ({unread[0]['reason']}), and an account that "
            "uses that host would get too little. Run again when it is there; where others were read, -e rate_limit_propose_partial=true "
            "goes on without it"
        )
    found = propose.propose(p["logs"], now, rule, break_ins(p, now), p["window"])
    before = files.read_text(p["dest"])
    text = proposals.render(found, before, p["dest"])
    changed = files.changes([files.File(p["dest"], text, 0o600)])
    if not check_mode:
        for file, _ in changed:
            files.write_file(file)
    return {
        "changed": bool(changed), "diff": files.diff(changed), "path": p["dest"], "proposed": len(found.proposed), "none": found.none,
        "decide": {name: row.decide for name, row in found.proposed.items() if row.decide}, "quiet": found.quiet,
        "differing": proposals.differing(found, before, p["dest"]), "unknown_hosts": unknown,
    }  # fmt: skip


def main() -> None:
    incident = {"account": {"type": "str", "required": True}, "since": {"type": "str", "required": True}, "until": {"type": "str"}}
    module = AnsibleModule(
        argument_spec={
            "logs": {"type": "dict", "required": True},
            "dest": {"type": "path", "required": True},
            "percentile": {"type": "float", "default": 99},
            "factor": {"type": "float", "default": 3},
            "hard_factor": {"type": "float", "default": 2},
            "floor": {"type": "dict", "default": {}},
            "ceiling": {"type": "dict", "default": {}},
            "days": {"type": "int", "default": 14},
            "window": {"type": "int", "default": 24},
            "incidents": {"type": "list", "elements": "dict", "default": [], "options": incident},
            "state_url": {"type": "str", "no_log": True},
            "partial": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("PyYAML and SQLAlchemy"), exception=IMPORT_ERROR)
    try:
        result = run(module.params, time.time(), module.check_mode)
    except (PolicyError, files.HostError, database.StoreError, OSError) as exc:
        module.fail_json(msg=str(exc))
    for row in result["unknown_hosts"]:
        module.warn(f"{row['host']}: {row['reason']}; accounts that use it may get too little")
    module.exit_json(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_log_info
short_description: Count what each mail account sent, from the host's own log
description:
  - Reads the mail log of Postfix and Dovecot, in files with their rotations or in the journal, and returns counters per account.
  - The log itself stays on the host; only numbers and a few lines of evidence per account are returned.
  - A message counts as accepted when qmgr logs C(nrcpt=) for its queue ID, or cleanup logs C(hold:).
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  source:
    description: Where the log is. V(auto) takes a file of O(paths) that was written to in the window, else the journal.
    type: str
    choices: [auto, file, journal]
    default: auto
  paths:
    description: Log files to look for; their rotations (C(.1), C(.2.gz), C(-20261124)) are read too.
    type: list
    elements: path
    default: [/var/log/mail.log]
  window:
    description: How far back the log is read, in hours.
    type: int
    default: 24
  accepted_since:
    description: Per account a time (seconds since 1970); messages accepted after it are counted apart in C(accepted_since).
    type: dict
    default: {}
notes:
  - What an account did before it was reinstated (C(/var/lib/goodstanding/reinstated.json)) is not counted.
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Count what each account sent in the last day
  mail_log_info:
  register: log

- name: Read another file, two days back
  mail_log_info:
    source: file
    paths: [/var/log/maillog]
    window: 48
"""

RETURN = r"""
source:
  description: What was read.
  type: dict
  returned: success
  sample: {kind: file, paths: [/var/log/mail.log]}
span:
  description: Times of the first and last line that were read, in seconds since 1970, or null.
  type: dict
  returned: success
complete:
  description: False where something is known to be missing; then nothing found does not mean nothing happened.
  type: bool
  returned: success
gaps:
  description: What is missing.
  type: list
  elements: str
  returned: success
lines:
  description: Number of lines in the window.
  type: int
  returned: success
unparsed:
  description: Number of lines that are no log lines.
  type: int
  returned: success
accounts:
  description: >-
    Per login (lower case) its counters: messages, recipients, sent, deferred, bounced, unknown_recipients, reputation_refusals,
    refused_attempts, held, failed_logins, failed_clients, failed_clients_at_least, clients, clients_at_least, senders,
    senders_at_least, first, last, peak_hour_recipients, accepted_since, evidence.
  type: dict
  returned: success
refusals:
  description: Refusals for reputation per provider and code, most frequent first.
  type: list
  elements: dict
  returned: success
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.host.files import HostError, load_state
from ..module_utils.goodstanding.maillog.parser import MailLog
from ..module_utils.goodstanding.maillog.sources import SourceError, choose, read


def run(params: dict[str, t.Any], now: float) -> dict[str, t.Any]:
    """Return the module's result; SourceError where the log cannot be read."""
    since = now - params["window"] * 3600
    source = choose(params["source"], params["paths"], since)
    log = MailLog(now, since, params["accepted_since"], utc_offset=time.localtime(now).tm_gmtoff)
    try:
        log.forgive(load_state("reinstated.json"))
    except HostError as exc:
        log.gap(str(exc))
    for line in read(source, since):
        log.feed(line)
    if not log.lines:
        log.gap(f"no line of the mail log in the last {params['window']} hours: is it elsewhere, or hidden from this user?")
    return {"source": source._asdict(), **log.result()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "choices": ["auto", "file", "journal"], "default": "auto"},
            "paths": {"type": "list", "elements": "path", "default": ["/var/log/mail.log"]},
            "window": {"type": "int", "default": 24},
            "accepted_since": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    if module.params["window"] < 1:
        module.fail_json(msg=f"window is {module.params['window']} hours: it must be at least 1")
    try:
        result = run(module.params, time.time())
    except SourceError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

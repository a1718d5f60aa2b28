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
  replies:
    description:
      - What receivers say when they refuse mail, as the entries of C(catalogue/provider_replies.yml).
      - Of each entry C(id), C(provider), C(words), C(code) and C(about) are read. The first entry that matches a reply counts it.
      - Without entries no refusal is counted.
    type: list
    elements: dict
    default: []
  addresses:
    description:
      - The addresses, or blocks of addresses, that this host sends from, so that each refusal is counted for the address it speaks of.
      - It is the one that the reply names, else the only one of the relay's address family; where that does not tell, none.
    type: list
    elements: str
    default: []
  watch:
    description:
      - Domains whose servers refused this host in earlier runs; the time at which each last took its mail is returned in C(taken), since
        only that ends a refusal that the log does not show any more.
    type: list
    elements: str
    default: []
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

- name: Count the refusals of this host's addresses too
  mail_log_info:
    replies: "{{ (lookup('ansible.builtin.file', 'catalogue/provider_replies.yml') | from_yaml).replies }}"
    addresses: "{{ sending_addresses }}"
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
    senders_at_least, first, last, peak_hour_recipients, accepted_since, evidence. Of the refusals only those about an
    address, a domain or a rate count as reputation_refusals.
  type: dict
  returned: success
refusals:
  description: >-
    What receivers refused, the most frequent first, at most 200 rows. Attempts are counted, so a message that is tried again counts again.
  type: list
  elements: dict
  returned: success
  contains:
    address:
      description: The sending address that was refused, or null where the log does not tell.
      type: str
    provider:
      description: Who refused, or whose list or filter the receiver uses.
      type: str
    id:
      description: The entry of O(replies) that matched; its meaning and repair are in the catalogue.
      type: str
    code:
      description: The receiver's code, V(-) where it has none.
      type: str
    about:
      description: What the receiver complains of - V(address), V(domain), V(authentication), V(rate), V(dns), V(content) or V(policy).
      type: str
    count:
      description: How often.
      type: int
    first:
      description: When first, in seconds since 1970.
      type: float
    last:
      description: When last, in seconds since 1970.
      type: float
    accepted:
      description: >-
        When a domain that refused the address so took mail from it again since, in seconds since 1970; null where it did not, or where the
        host has other addresses that may have sent it.
      type: float
    domains:
      description: Domains of recipients that were refused so, at most 20.
      type: list
      elements: str
    sample:
      description: The first such line of the log, from C(dsn=) on, at most 400 characters. Strangers wrote a part of it.
      type: str
taken:
  description: Of O(watch), per C(address) of this host and C(domain) the C(time) (seconds since 1970) at which it last took mail.
  type: list
  elements: dict
  returned: success
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.host.files import HostError, load_state
from ..module_utils.goodstanding.maillog.parser import MailLog
from ..module_utils.goodstanding.maillog.refusals import RepliesError
from ..module_utils.goodstanding.maillog.sources import SourceError, choose, read


def run(params: dict[str, t.Any], now: float) -> dict[str, t.Any]:
    """Return the module's result; SourceError where the log cannot be read, RepliesError where an option is unusable."""
    since = now - params["window"] * 3600
    source = choose(params["source"], params["paths"], since)
    log = MailLog(
        now,
        since,
        params["accepted_since"],
        utc_offset=time.localtime(now).tm_gmtoff,
        replies=params["replies"],
        addresses=params["addresses"],
        watch=params["watch"],
    )
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
            "replies": {"type": "list", "elements": "dict", "default": []},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "watch": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    if module.params["window"] < 1:
        module.fail_json(msg=f"window is {module.params['window']} hours: it must be at least 1")
    try:
        result = run(module.params, time.time())
    except (SourceError, RepliesError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: feedback_report_info
short_description: Read complaints out of a mailbox, and find the accounts they are about
description:
  - Reads feedback reports (RFC 5965, also redacted ones) and Microsoft's older form from a Maildir, an mbox file or a directory of
    C(.eml) files. The mailbox is only read - nothing is moved, marked or locked, and no symbolic link is followed.
  - Finds the account that sent the reported message, by a header field that your own server adds, or by its Message-ID in the log of
    the mail host that took it. The logs stay on their hosts - see the examples for how the two steps go.
  - Anyone can send a forged complaint to get an account locked. With O(authserv_id) a report names an account only where your own mail
    server found it authentic and it is from one of O(reporters). Without it nothing is trusted, and C(accounts) stays empty.
  - Nothing of the complainants is returned, and no subject.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  path:
    description: The Maildir, mbox file or directory of C(.eml) files.
    type: path
  form:
    description: What O(path) is. V(auto) takes a directory with C(cur) or C(new) for a Maildir, and a file for mbox.
    type: str
    choices: [auto, maildir, mbox, directory]
    default: auto
  limit:
    description: At most this many messages are read, the newest ones.
    type: int
    default: 10000
  window:
    description: How far back, in hours, reports (by the time of their file, or of the mbox line) and logs are read.
    type: int
    default: 168
  authserv_id:
    description:
      - The name that your own mail server writes first in its header field C(Authentication-Results). Its DKIM and DMARC results are
        taken, for the domain of C(From).
      - The server has to remove such fields that come from outside with this name (RFC 8601 section 5).
    type: str
    default: ""
  reporters:
    description:
      - From whom reports are believed once they are authentic, an address or C(@) and a domain, compared exactly.
      - Do not give a domain in which strangers have mailboxes.
      - That Microsoft signs its reports of 2026 for V(staff@hotmail.com) is not verified. Look at C(authenticated_by) of your own.
    type: list
    elements: str
    default: ["@arf.mail.yahoo.com", staff@hotmail.com, scomp@aol.net]
  own_headers:
    description:
      - Header fields in which your server writes the login of the sender, in the order of preference.
      - The server has to remove them from what users submit - whoever broke into an account could name another one there.
        A message in which the field stands twice with different values is not joined by it.
    type: list
    elements: str
    default: []
  senders:
    description: What this module returned as C(senders) on each mail host.
    type: list
    elements: dict
    default: []
  message_ids:
    description: Message-IDs to look for in the log of this host.
    type: list
    elements: str
  read_log:
    description: Whether the Message-IDs found in O(path) are looked for in the log of this same host. With O(message_ids) it always is.
    type: bool
    default: false
  log_source:
    description: Where the log is. V(auto) takes a file of O(log_paths) that was written to in the window, else the journal.
    type: str
    choices: [auto, file, journal]
    default: auto
  log_paths:
    description: Log files to look for; their rotations are read too.
    type: list
    elements: path
    default: [/var/log/mail.log]
notes:
  - Not read are SpamCop's own format, reports larger than 1 MiB, and what is nested deeper than 3 parts. They are in C(unreadable).
  - A Message-ID that several logins used names none of them, as one may have copied it from the other.
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
# Where the server writes the login into each message, one task does.
- name: Read the complaints
  feedback_report_info:
    path: /var/mail/vhosts/example.com/fbl/Maildir
    authserv_id: mx1.example.com
    own_headers: [X-Authenticated-Sender]

# Else the hosts that took the messages know who sent them. First, on the host of the mailbox, what is sought:
- name: Read the complaints
  feedback_report_info:
    path: /var/mail/vhosts/example.com/fbl/Maildir
    authserv_id: mx1.example.com
  register: complaints

# then, in a play on all mail hosts, who sent it:
- name: Look for the senders in the log
  feedback_report_info:
    message_ids: "{{ hostvars['mx1.example.com'].complaints.message_ids }}"
  register: complaint_log

# and last, on the host of the mailbox again, the same with what they said.
- name: Read the complaints with their accounts
  feedback_report_info:
    path: /var/mail/vhosts/example.com/fbl/Maildir
    authserv_id: mx1.example.com
    senders: "{{ groups['mail_servers'] | map('extract', hostvars, ['complaint_log', 'senders']) | list }}"

- name: Do all of it on a single host
  feedback_report_info:
    path: /var/mail/fbl
    authserv_id: mail.example.com
    read_log: true
"""

RETURN = r"""
reports:
  description: The reports, the newest first.
  type: list
  elements: dict
  returned: when path is given
  contains:
    provider:
      description: V(microsoft), V(yahoo), V(aol) or V(generic), as the report calls itself; no proof.
      type: str
    form:
      description: V(arf), V(redacted) where the sender is taken out, or V(older) for Microsoft's form without a report part.
      type: str
    feedback_type:
      description: V(abuse), V(fraud), V(virus), V(not-spam), V(auth-failure) or another; V(unknown) where there is none.
      type: str
    incidents:
      description: How many complaints the reporter says it stands for.
      type: int
    source_ip:
      description: The address the message was received from, or null.
      type: str
    arrived:
      description: When the receiver took the message, else when the report was written; ISO 8601 in UTC, or null.
      type: str
    original_sender:
      description: The domain of the reported message's sender, or null.
      type: str
    message_id:
      description: Its Message-ID without angle brackets, or null.
      type: str
    account:
      description: The login that sent it, or null.
      type: str
    joined_by:
      description: Name of the header field that told the account, V(message_id) or V(none).
      type: str
    trusted:
      description: Whether it is authentic and from one of the reporters.
      type: bool
    authenticated:
      description: Whether our own mail server found it authentic, null where that is not known.
      type: bool
    authenticated_by:
      description: The domain for which it is authentic, or null.
      type: str
    file:
      description: Name of the file, or NAME:3 for the third message of an mbox file.
      type: str
accounts:
  description: Number of trusted complaints per account. Only the types V(abuse), V(fraud) and V(virus) count.
  type: dict
  returned: when path is given
addresses:
  description: >-
    Complaints per sending address - C(count), how many of them are trusted as C(trusted), and C(first) and C(last) as in C(arrived).
  type: dict
  returned: when path is given
message_ids:
  description: Message-IDs of reports that may name an account and do not yet, for O(message_ids) on the mail hosts.
  type: list
  elements: str
  returned: when path is given
unreadable:
  description: Messages that could not be read, as C(file) and C(reason), at most 200.
  type: list
  elements: dict
  returned: when path is given
unreadable_total:
  description: How many they are.
  type: int
  returned: when path is given
other:
  description: Number of messages that are no feedback report.
  type: int
  returned: when path is given
left_out:
  description: Number of older messages in the window that were not read because of O(limit).
  type: int
  returned: when path is given
senders:
  description: >-
    Per Message-ID what this host's log says - C(account) (null where several logins used it), C(queue_id), C(time) in seconds since 1970,
    C(client) address.
  type: dict
  returned: when the log is read
log_span:
  description: Times of the first and last line about a message, in seconds since 1970, or null. What lies outside could not be found.
  type: dict
  returned: when the log is read
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.feeds import feedback, join
from ..module_utils.goodstanding.feeds.mailbox import Mailbox, MailboxError
from ..module_utils.goodstanding.maillog.sources import SourceError, choose, read


def look_up(p: dict[str, t.Any], wanted: list[str], now: float) -> dict[str, t.Any]:
    """Return who sent the wanted messages, of this host's log; SourceError where it cannot be read."""
    since = now - p["window"] * 3600
    log = join.SenderLog(wanted, now, since, utc_offset=time.localtime(now).tm_gmtoff)
    if log.wanted:
        for line in read(choose(p["log_source"], p["log_paths"], since), since):
            log.feed(line)
    return {"senders": log.senders, "log_span": {"first": log.first, "last": log.last}}


def run(p: dict[str, t.Any], now: float) -> dict[str, t.Any]:
    """Return the module's result; MailboxError or SourceError where something cannot be read."""
    if not p["path"]:
        return look_up(p, p["message_ids"], now)
    trust = feedback.Trust(p["authserv_id"], tuple(name.lower() for name in p["reporters"]), tuple(p["own_headers"]))
    messages = Mailbox(p["path"], p["form"], now - p["window"] * 3600, p["limit"])
    result = feedback.collect(messages, trust)
    feedback.attribute(result["reports"], join.merge(p["senders"]), trust)
    if p["read_log"]:
        result.update(look_up(p, feedback.summary(result["reports"], trust)["message_ids"], now))
        feedback.attribute(result["reports"], result["senders"], trust)
    return {**result, **feedback.summary(result["reports"], trust), "left_out": messages.left_out}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "form": {"type": "str", "choices": ["auto", "maildir", "mbox", "directory"], "default": "auto"},
            "limit": {"type": "int", "default": 10000},
            "window": {"type": "int", "default": 168},
            "authserv_id": {"type": "str", "default": ""},
            "reporters": {"type": "list", "elements": "str", "default": list(feedback.REPORTERS)},
            "own_headers": {"type": "list", "elements": "str", "default": []},
            "senders": {"type": "list", "elements": "dict", "default": []},
            "message_ids": {"type": "list", "elements": "str"},
            "read_log": {"type": "bool", "default": False},
            "log_source": {"type": "str", "choices": ["auto", "file", "journal"], "default": "auto"},
            "log_paths": {"type": "list", "elements": "path", "default": ["/var/log/mail.log"]},
        },
        required_one_of=[("path", "message_ids")],
        mutually_exclusive=[("path", "message_ids")],
        supports_check_mode=True,
    )
    for name in ("window", "limit"):
        if module.params[name] < 1:
            module.fail_json(msg=f"{name} is {module.params[name]}: it must be at least 1")
    try:
        result = run(module.params, time.time())
    except (MailboxError, SourceError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

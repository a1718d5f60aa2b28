#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_log_info
short_description: Count what each mail account sent, from the host's own log
description:
  - Reads the mail log of Postfix, Exim and Dovecot, in files with their rotations or in the journal, and returns counters per account.
  - The log itself stays on the host; only numbers and a few lines of evidence per account are returned.
  - A message counts as accepted when qmgr logs C(nrcpt=) for its queue ID, or cleanup logs C(hold:), or Exim a line C(<=).
  - Exim names the recipients only with C(log_selector = +received_recipients). Without it they are counted from what became of them (each
    recipient of a line C(=>), C(->), C(**) or C(==) once, and what an alias expands to one by one), so later than on Postfix.
  - A recipient is unknown where the receiver answers 5.1.x, and for Exim also where it finds no route (C(Unrouteable address)).
  - What Exim does not log is not counted - C(held), C(logins). A helo with spaces (C(helo_accept_junk_hosts)) makes a line C(unparsed).
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
options:
  source:
    description:
      - Where the log is. V(auto) takes a file of O(paths) that was written to in the window, else the journal.
      - V(auto) also asks Postfix (C(postconf -h maillog_file)) and Dovecot (C(doveconf -h log_path), C(info_log_path)) for files that they
        write themselves, past syslog, and reads them beside the file or the journal. V(file) reads O(paths) alone, V(journal) the journal.
      - One log is read after the other. No counter depends on which of two logs is read first; the lines of one message are in one log.
    type: str
    choices: [auto, file, journal]
    default: auto
  paths:
    description:
      - Log files to look for; their rotations (C(.1), C(.2.gz), C(-20261124)) are read too.
      - What kind of log a file is, is told by its lines - syslog's, Exim's C(/var/log/exim4/mainlog), Dovecot's C(log_path), Postfix's
        C(maillog_file), C(/var/log/rspamd/rspamd.log). Where a line has no time zone, it is the one that the host has now.
      - With O(source=auto) one of them that was written to means that the journal is not read, so it must have Postfix's lines.
    type: list
    elements: path
    default: [/var/log/mail.log]
  window:
    description: How far back the log is read, in hours.
    type: int
    default: 24
  accepted_since:
    description:
      - Per account a time (seconds since 1970), such as that of its lock; what it did after it is counted apart in C(accepted_since),
        C(refused_since), C(submitted_since) and C(logins_since). A local user is C(uid:33) or C(uid:www-data).
      - Then the log is read from an hour before the window on, so that C(span.since) tells whether it reaches back that far.
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
  receivers:
    description:
      - Receivers by the ends of their servers' names, as the entries of C(catalogue/receivers.yml); of each C(id) and C(suffixes) are read.
      - With them deliveries are counted by receiver and day, and which domain's mail went to which of them is remembered in O(state).
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
  history:
    description:
      - For how many days what was read is remembered, and how far back a first run reads, at most 60.
      - The default holds a week that is judged and three before it that tell what is normal.
    type: int
    default: 28
  state:
    description:
      - A file in which a run remembers what it read, so that the next one reads only what is new. It is a cache - deleted, it is made anew
        from the log; in check mode it is read and not written. Empty remembers nothing, and so does O(accepted_since).
    type: path
    default: /var/lib/goodstanding/maillog.db
  controller_time:
    description:
      - What time it is on the controller, in seconds since 1970 - C(now().timestamp()), not C(now(utc=true)), whose time zone gets lost.
      - With it C(clock_skew) is told. The seconds until the module runs on the host count as a clock that is ahead.
    type: float
  clock_tolerance:
    description: By how many seconds the host's clock may differ from the controller's before that is one of C(gaps).
    type: int
    default: 60
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
  description: What was read. Files beside V(journal) are those that a daemon writes itself.
  type: dict
  returned: success
  sample: {kind: file, paths: [/var/log/mail.log]}
clock_skew:
  description: By how many seconds the host's clock is ahead of the controller's (behind where negative), null without O(controller_time).
  type: float
  returned: success
span:
  description: >-
    From C(first) to C(last) in the window lines were read, and since when, in O(history), the log is known (C(since)); in seconds since
    1970, or null.
  type: dict
  returned: success
complete:
  description: False where something is known to be missing; then nothing found does not mean nothing happened.
  type: bool
  returned: success
gaps:
  description: >-
    What is missing. Of a log in files also what rsyslogd and journald say of lines that they dropped (rate limits) in the journal and in
    the last 32 MiB of C(/var/log/syslog) or C(/var/log/messages) and the rotation before it, since it does not stand in the mail log; and
    lines that journald could not hand on to rsyslogd, which the file lacks and the journal has.
  type: list
  elements: str
  returned: success
lines:
  description: Number of lines that this run read.
  type: int
  returned: success
unparsed:
  description: How many of them are no log lines.
  type: int
  returned: success
unparsed_samples:
  description: The first three of those, cut to 200 characters.
  type: list
  elements: str
  returned: success
accounts:
  description:
    - >-
      Per login (lower case), or per local user as C(uid:33) (Exim as C(uid:www-data)), its counters in the hours of the window -
      messages, recipients, bytes, sent,
      deferred, bounced, unknown_recipients, reputation_refusals, refused_attempts, held, failed_logins, logins, signed (by OpenDKIM),
      judged_spam (what Rspamd did not answer with C(no action) or C(greylist), so also a rate limit's C(soft reject)) - and first, last,
      peak_hour_recipients, and evidence, each a line with its kind. Of the refusals only those about an address, a domain
      or a rate count as reputation_refusals.
    - >-
      After its time of O(accepted_since) - accepted_since (messages), refused_since (recipients and messages that the lock's map refused,
      and failed logins), submitted_since (what a local user handed in by sendmail or postdrop) and logins_since (logins at Dovecot).
    - >-
      clients, senders, failed_clients and login_clients, each also as C(_at_least); they are exact up to 500 (senders 300, failed_clients
      100).
    - >-
      history, of the 1000 most notable accounts, has seen (since when), hours (lists of hour of the epoch, recipients, unknown_recipients,
      answered, first, last) and days (per set and value the days of the epoch on which it was seen); of the others it is null.
    - >-
      hours, of those and of O(accepted_since), rows as in RV(hours); of the others it is null. last_accepted, when its last message was
      accepted, also before the window, in seconds since 1970; null where that is not known.
  type: dict
  returned: success
hours:
  description: >-
    What all accounts did by the hour in the window - lists of hour of the epoch, messages and failed_logins, none of an hour without any.
  type: list
  elements: list
  returned: success
since:
  description: >-
    Per account of O(accepted_since) its C(time) and the four counts since, also of one that is not in C(accounts) because all it did was to
    log in.
  type: dict
  returned: success
refusals_since:
  description: >-
    Since when refusals are remembered, in seconds since 1970, or null; a kind of refusal whose C(seen) is later was new then.
  type: float
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
    seen:
      description: >-
        When this kind of refusal (address, provider, entry and code) was first seen in all that is remembered, also before the window, in
        seconds since 1970.
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
receivers:
  description: Per C(id) of O(receivers) what was delivered to it a day, for all of O(history).
  type: dict
  returned: success
  contains:
    since:
      description: Since when it is counted, in seconds since 1970, or null. Before that nothing is known, which is not nothing.
      type: float
    days:
      description: The days on which there was something, in their order.
      type: list
      elements: dict
      contains:
        day:
          description: The day of the epoch, in UTC.
          type: int
        sent:
          description: Recipients whose mail it took.
          type: int
        deferred:
          description: Deliveries that it put off.
          type: int
        put_off:
          description: Of these, those with 4.7.x or, by O(replies), for the sender's reputation.
          type: int
        refused:
          description: Deliveries that it refused for good for the sender's reputation, by O(replies).
          type: int
taken:
  description: Of O(watch), per C(address) of this host and C(domain) the C(time) (seconds since 1970) at which it last took mail.
  type: list
  elements: dict
  returned: success
"""

import contextlib
import os
import sqlite3
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.goodstanding.host.files import HostError, load_state
from ..module_utils.goodstanding.maillog import dropped, sources
from ..module_utils.goodstanding.maillog.book import Book, remembered
from ..module_utils.goodstanding.maillog.discover import own_logs, spellings
from ..module_utils.goodstanding.maillog.lines import normalise
from ..module_utils.goodstanding.maillog.parser import SINCE, MailLog
from ..module_utils.goodstanding.maillog.refusals import RepliesError


def open_book(path: str | None, frozen: bool) -> tuple[Book, str | None]:
    """Return the book of what was read, or an empty one and why."""
    try:
        return Book(path, frozen), None
    except (sqlite3.Error, OSError) as exc:
        return Book(None), f"{path} cannot be used ({exc}): the whole log is read"


def run(params: dict[str, t.Any], now: float, check_mode: bool) -> tuple[dict[str, t.Any], str | None]:
    """Return the module's result, and what went wrong with its memory; SourceError where the log cannot be read."""
    state = None if params["accepted_since"] else params["state"] or None
    book, warning = open_book(state, check_mode)
    try:
        with contextlib.closing(book):
            result = count(params, now, book)
            book.commit()
    except (sqlite3.Error, OSError) as exc:
        warning = f"{state} cannot be used ({exc}): the whole log is read"
        if state and not check_mode and not isinstance(exc, (sqlite3.OperationalError, OSError)):
            os.replace(state, f"{state}.damaged")
            warning += f", and it is kept as {state}.damaged"
        with contextlib.closing(Book(None)) as empty:
            result = count(params, now, empty)
    return result, warning


def count(params: dict[str, t.Any], now: float, book: Book) -> dict[str, t.Any]:
    """Read what is new into the book, and return what it says of the window."""
    begin = now - params["window"] * 3600
    horizon = begin - 3600 if params["accepted_since"] else min(begin, now - params["history"] * 86400)
    own = own_logs() if params["source"] == "auto" else []
    source = sources.choose(params["source"], params["paths"], begin, horizon, own)
    if book.meta("kind", source.kind) != source.kind:
        book.clear()  # the same lines stand in the file and in the journal
    book.prune(horizon)
    try:
        log, position = read(params, now, horizon, source, book)
    except sources.LostError as exc:
        book.clear()
        log, position = read(params, now, horizon, source, book)
        log.gap(str(exc))
    for hole in position.holes:
        log.gap(hole)
    for base in dict.fromkeys(map(sources.base_of, source.paths)):
        for hole in sources.missing(base, begin):
            log.gap_now(hole)
    if source.kind == "file":  # in the journal they stand among its lines
        for moment, words in dropped.drops(horizon, now + 300, log.clock):
            log.gap(words, moment)
        lacking = dropped.not_handed_on(begin)
        if lacking:
            log.gap_now(lacking)
    skew, complaint = clock_skew(params, now)
    if complaint:
        log.gap_now(complaint)
    book.set_meta("kind", source.kind)
    book.set_meta("position", position.as_dict())
    result = log.result(begin)
    if result["span"]["last"] is None:
        log.gap_now(f"no line of the mail log in the last {params['window']} hours: is it elsewhere, or hidden from this user?")
        result = log.result(begin)
    result["refusals_since"] = result["span"]["since"]
    if params["accepted_since"]:
        known, seen = remembered(params["state"])
        if known is not None:
            result["refusals_since"] = known
        told = result["since"]
        result["since"] = {
            normalise(asked): {"time": time, **{count: sum(told[name][count] for name in spellings(asked)) for count in SINCE}}
            for asked, time in params["accepted_since"].items()
        }
        for row in result["refusals"]:
            row["seen"] = min(row["seen"], seen.get((row["address"] or "", row["provider"], row["id"], row["code"]), row["seen"]))
    return {"source": source._asdict(), "clock_skew": skew, **result}


def clock_skew(params: dict[str, t.Any], now: float) -> tuple[float | None, str | None]:
    """Return how far the clock is ahead of the controller's, and what to say of it where that is too far."""
    controller = params.get("controller_time")
    if controller is None:
        return None, None
    skew = round(now - controller, 1)
    if abs(skew) <= params.get("clock_tolerance", 60):
        return skew, None
    place = "ahead of" if skew > 0 else "behind"
    return skew, f"the clock of this host is {abs(skew):g} s {place} the controller's: times of its log are not those of the other hosts"


def read(params: dict[str, t.Any], now: float, horizon: float, source: sources.Source, book: Book) -> tuple[MailLog, sources.Position]:
    """Read the lines that the book does not have yet."""
    log = MailLog(
        now,
        horizon,
        {name: time for asked, time in params["accepted_since"].items() for name in spellings(asked)},
        utc_offset=time.localtime(now).tm_gmtoff,
        replies=params["replies"],
        addresses=params["addresses"],
        watch=params["watch"],
        book=book,
        receivers=params.get("receivers") or [],
    )
    try:
        log.forgive(load_state("reinstated.json"))
    except HostError as exc:
        log.gap_now(str(exc))
    position = sources.Position(book.meta("position"))
    if params["accepted_since"] and source.kind == "journal":
        log.older = sources.journal_reaches(horizon)  # it is not asked for older lines
    for lines in sources.blocks(source, horizon, position):
        log.feed_lines(lines)
    return log, position


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "choices": ["auto", "file", "journal"], "default": "auto"},
            "paths": {"type": "list", "elements": "path", "default": ["/var/log/mail.log"]},
            "window": {"type": "int", "default": 24},
            "accepted_since": {"type": "dict", "default": {}},
            "history": {"type": "int", "default": 28},
            "state": {"type": "path", "default": "/var/lib/goodstanding/maillog.db"},
            "replies": {"type": "list", "elements": "dict", "default": []},
            "receivers": {"type": "list", "elements": "dict", "default": []},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "controller_time": {"type": "float"},
            "clock_tolerance": {"type": "int", "default": 60},
            "watch": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    for name, most in (("window", 24 * 60), ("history", 60)):
        if not 1 <= module.params[name] <= most:
            module.fail_json(msg=f"{name} is {module.params[name]}: it must be from 1 to {most}")
    try:
        result, warning = run(module.params, time.time(), module.check_mode)
    except (sources.SourceError, RepliesError) as exc:
        module.fail_json(msg=str(exc))
    if warning:
        module.warn(warning)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

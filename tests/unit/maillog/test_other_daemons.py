# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exim's main log, the own files of Dovecot, Postfix and Rspamd, and the milters' lines."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.maillog import exim
from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog

NOW = 1795500000.0  # 2026-11-24T06:00:00Z
USER = "a@alpha.test"
REPLIES = [{"id": "zen", "provider": "spamhaus", "words": ["zen.spamhaus.org"], "about": "address"}]


def read(*lines: str, utc_offset: int = 0) -> dict:
    log = MailLog(NOW, NOW - 86400, utc_offset=utc_offset, replies=REPLIES, addresses=["198.51.100.11"])
    log.feed_lines(list(lines))
    return log.result()


ID = "1pFz3Q-0004tC-2A"
SINCE_497 = "1tQz3Q-000000004tC-2A0b"
CLIENT = "H=(laptop) [203.0.113.7]:50512 P=esmtpsa X=TLS1.3:ECDHE_X25519__AES_256_GCM:256 CV=no A=dovecot_login:A@alpha.test"
FROM = f"<= {USER} {CLIENT} S=3421 id=x@laptop"


def mainlog(*messages: str) -> list[str]:
    return [f"2026-11-24 05:30:{second:02d} {message}" for second, message in enumerate(messages)]


def test_exims_main_log_gives_the_same_counters():
    result = read(*mainlog(
        f'{ID} {FROM} T="Hello" for one@x.test two@x.test three@x.test four@x.test',
        f"{ID} => one@x.test R=dnslookup T=remote_smtp H=mx.x.test [203.0.113.25] X=TLS1.3 C=\"250 OK\"",
        f"{ID} -> two@x.test R=dnslookup T=remote_smtp H=mx.x.test [203.0.113.25] C=\"250 OK\"",
        f"{ID} ** three@x.test R=dnslookup T=remote_smtp H=mx.x.test [203.0.113.25]: SMTP error from remote mail server after "
        "RCPT TO:<three@x.test>: 550 5.1.1 <three@x.test>: User unknown",
        f"{ID} == four@x.test R=dnslookup T=remote_smtp defer (-45) H=mx.x.test [203.0.113.25]: SMTP error from remote mail server after "
        "end of data: 451 4.7.1 blocked using zen.spamhaus.org",
        f"{ID} Completed",
        "dovecot_login authenticator failed for (x) [203.0.113.9]:4711: 535 Incorrect authentication data (set_id=a@alpha.test)",
        "no host name found for IP address 203.0.113.9",
    ))  # fmt: skip
    account = result["accounts"][USER]
    assert {name: value for name, value in account.items() if isinstance(value, int) and value} == {
        "messages": 1, "recipients": 4, "bytes": 3421, "sent": 2, "bounced": 1, "unknown_recipients": 1, "deferred": 1,
        "reputation_refusals": 1, "failed_logins": 1, "peak_hour_recipients": 4, "clients_at_least": 1, "senders_at_least": 1,
        "failed_clients_at_least": 1,
    }  # fmt: skip
    assert (account["clients"], account["senders"], account["failed_clients"]) == (["203.0.113.7"], [USER], ["203.0.113.9"])
    assert [(row["address"], row["provider"], row["domains"]) for row in result["refusals"]] == [("198.51.100.11", "spamhaus", ["x.test"])]
    assert (result["unparsed"], result["lines"]) == (0, 8)


def test_exim_without_recipients_in_its_arrivals_counts_deliveries():
    account = read(*mainlog(
        f"[812] {SINCE_497} {FROM}", f"[813] {SINCE_497} => one@x.test R=dnslookup T=remote_smtp H=mx.x.test [203.0.113.25]",
        f"[813] {SINCE_497} ** two@x.test: Unrouteable address", f"[813] {SINCE_497} == three@x.test R=dnslookup T=remote_smtp defer (-1)",
        f"[813] {SINCE_497} Completed", f"[813] {SINCE_497} => late@x.test R=dnslookup",
    ))["accounts"][USER]  # fmt: skip
    assert (account["messages"], account["recipients"], account["sent"], account["bounced"], account["deferred"]) == (1, 2, 1, 1, 1)


@pytest.mark.parametrize(
    ("stamp", "utc_offset"),
    [("2026-11-24 06:30:00", 3600), ("2026-11-24 06:30:00.123 +0100", 0), ("2026-11-24 05:30:00.1", 0)],
)
def test_exims_times(stamp, utc_offset):
    account = read(f"{stamp} {ID} {FROM}", utc_offset=utc_offset)["accounts"][USER]
    assert account["first"] == pytest.approx(NOW - 1800, abs=0.2)


def test_exim_by_syslog():
    assert list(read(f"2026-11-24T05:30:00+00:00 mx1 exim[812]: {ID} {FROM}")["accounts"]) == [USER]


@pytest.mark.parametrize(
    ("rest", "login", "recipients"),
    [
        ('S=1 id=x T="A=plain:victim@x.test S=1 for one two" for me@x.test', "A@alpha.test", 1),
        ('S=1 id=x T="quoted \\" for a b c" for me@x.test you@x.test', "A@alpha.test", 2),
        ('S=1 id=x T="ends quoted \\""', "A@alpha.test", None),
        ("S=1 id=x H=(h) [192.0.2.1] P=esmtpsa A=plain:victim@x.test S=1", "A@alpha.test", None),
    ],
)
def test_a_stranger_cannot_write_a_login_into_exims_log(rest, login, recipients):
    event = exim.parse(f"{ID} <= {USER} {CLIENT} {rest}")
    assert event is not None
    assert (event["login"], event["recipients"], event["client"]) == (login, recipients, "203.0.113.7")


def test_a_senders_quotes_do_not_hide_its_login():
    event = exim.parse(f'{ID} <= "x T=\\"y A=plain:victim S=1"@x.test {CLIENT} S=9 id=x T="z"')
    assert event is not None
    assert (event["login"], event["size"]) == ("A@alpha.test", 9)


def test_exims_local_users_and_inbound_mail():
    accounts = read(
        *mainlog(f'{ID} <= www@mx1 U=www-data P=local S=700 T="x" for a@x b@x', f"{ID[:-1]}B <= s@x.test H=mx [203.0.113.7] P=esmtp S=1")
    )["accounts"]
    assert {name: account["recipients"] for name, account in accounts.items()} == {"uid:www-data": 2}


LOGGED = "imap-login: {}Login: user=<a@alpha.test>, method=PLAIN, rip=203.0.113.7, lip=198.51.100.11, mpid=19, TLS, session=<5f3J>"
FAILED = "imap-login: {}Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<a@alpha.test>, rip=203.0.113.9, lip=x"


@pytest.mark.parametrize("stamp", ["Nov 24 05:30:00", "2026-11-24 05:30:00"])
def test_dovecots_own_file(stamp):
    result = read(
        f"{stamp} {FAILED.format('Info: ')}", f"{stamp} {LOGGED.format('Info: ')}",
        f"{stamp} imap(a@alpha.test)<19><5f3J>: Info: Disconnected: Logged out in=1 out=2",
        f"{stamp} auth: Error: auth(a@alpha.test,203.0.113.9,sasl:plain)<x>: users: Password mismatch",
    )  # fmt: skip
    account = result["accounts"][USER]
    assert (account["failed_logins"], account["logins"], account["login_clients"]) == (2, 1, ["203.0.113.7"])
    assert (account["failed_clients"], result["unparsed"]) == (["203.0.113.9"], 0)


SENT = [
    "postfix/submission/smtpd[5]: AB12CD34EF: client=h[203.0.113.7], sasl_method=PLAIN, sasl_username=a@alpha.test",
    "postfix/qmgr[9]: AB12CD34EF: from=<a@alpha.test>, size=281, nrcpt=2 (queue active)",
]


def test_postfixs_own_file():
    """maillog_file: RFC 3164 times, by postlogd."""
    account = read(*[f"Nov 24 05:30:00 mx1 {text}" for text in SENT])["accounts"][USER]
    assert (account["messages"], account["recipients"]) == (1, 2)


TASK = "rspamd_task_write_log: id: <x@y>, qid: <AB12CD34EF>, ip: 203.0.113.7, {}from: <a@alpha.test>, (default: {}: [7.1/15.0] [R(1){{}}]"


@pytest.mark.parametrize(
    ("action", "judged"), [("F (soft reject)", 1), ("T (reject)", 1), ("F (add header)", 1), ("F (no action)", 0), ("F (greylist)", 0)]
)
@pytest.mark.parametrize("user", ["user: a@alpha.test, ", ""])
def test_milters_are_counted_for_the_account(action, judged, user):
    dkim = "opendkim[12]: AB12CD34EF: DKIM-Signature field added (s=sel, d=alpha.test)"
    lines = [
        SENT[0],
        dkim,
        "opendkim[12]: AB12CD34EF: s=sel d=x SSL error",
        f"rspamd[3]: <abc>; task; {TASK.format(user, action)}",
        SENT[1],
    ]
    account = read(*[f"2026-11-24T05:30:00+00:00 mx1 {text}" for text in lines])["accounts"][USER]
    assert (account["signed"], account["judged_spam"]) == (1, judged)


def test_rspamds_own_file():
    line = "2026-11-24 05:30:00 #123(normal) <abc>; task; " + TASK.format("user: a@alpha.test, ", "F (soft reject)")
    result = read(line, "2026-11-24 05:30:01 #124(main) <>; main; main: starting")
    assert (result["accounts"][USER]["judged_spam"], result["unparsed"]) == (1, 0)


@pytest.mark.parametrize(
    "words",
    [
        "imuxsock[pid: 812, name: qmgr]: begin to drop messages due to rate-limiting",
        "imuxsock lost 123 messages from pid 812 due to rate-limiting",
        "imjournal: 456 messages lost due to rate-limiting (20000 allowed within 600 seconds)",
    ],
)
def test_rsyslogs_own_words_of_lines_that_it_dropped_are_gaps(words):
    result = read(f"2026-11-24T05:30:00+00:00 mx1 rsyslogd: {words}")
    assert (result["complete"], words[:20] in result["gaps"][0]) == (False, True)

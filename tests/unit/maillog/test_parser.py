# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log's grammar, with the lines that the daemons of Debian 12 and 13 wrote."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from goodstanding_src.module_utils.goodstanding.maillog import parser
from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog

NOW = 1795500000.0
USER = "mallory@alpha.test"
REPLIES = yaml.safe_load((Path(__file__).resolve().parents[3] / "catalogue/provider_replies.yml").read_text(encoding="utf-8"))["replies"]


def read(*messages: str, **options) -> dict:
    log = MailLog(NOW + 3600, NOW - 3600, replies=REPLIES, **options)
    for second, text in enumerate(messages):
        log.feed(f"2026-11-24T06:{second // 60:02}:{second % 60:02}+00:00 mx1 {text}\n")
    return log.result()


def client(queue_id: str, address: str = "203.0.113.3", login: str = USER, service: str = "submission/") -> str:
    return f"postfix/{service}smtpd[5]: {queue_id}: client=unknown[{address}], sasl_method=PLAIN, sasl_username={login}"


def active(queue_id: str, recipients: int = 4, sender: str = USER) -> str:
    return f"postfix/qmgr[9]: {queue_id}: from=<{sender}>, size=553, nrcpt={recipients} (queue active)"


def bounce(queue_id: str, dsn: str = "5.1.1", reply: str = "550 5.1.1 User unknown") -> str:
    return (
        f"postfix/smtp[7]: {queue_id}: to=<x@dest1.world.test>, relay=r.test[203.0.113.25]:25, delay=1, delays=0/0/0/1, dsn={dsn}, "
        f"status=bounced (host r.test[203.0.113.25] said: {reply} (in reply to RCPT TO command))"
    )


ACCEPTED = [client("AB12CD34EF"), active("AB12CD34EF")]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param(ACCEPTED, {"messages": 1, "recipients": 4}, id="accepted"),
        pytest.param([client("4jYcBy06KYz1hnn2"), active("4jYcBy06KYz1hnn2")], {"messages": 1, "recipients": 4}, id="long queue ID"),
        pytest.param([client("AB12CD34EF")], {"messages": 0, "recipients": 0}, id="client= alone is no acceptance"),
        pytest.param([*ACCEPTED, active("AB12CD34EF")], {"messages": 1, "recipients": 4}, id="nrcpt counts once"),
        pytest.param(
            [*ACCEPTED, "postfix/qmgr[9]: AB12CD34EF: removed", client("AB12CD34EF"), active("AB12CD34EF", 2)],
            {"messages": 2, "recipients": 6},
            id="a queue ID is used again",
        ),
        pytest.param(
            [*ACCEPTED, "postfix/qmgr[9]: AB12CD34EF: removed", active("AB12CD34EF", 7, "other@x.test")],
            {"messages": 1, "recipients": 4},
            id="a reused queue ID without a login is another message",
        ),
        pytest.param(
            [*ACCEPTED, "postfix/qmgr[9]: AB12CD34EF: removed", bounce("AB12CD34EF")],
            {"bounced": 0, "unknown_recipients": 0},
            id="so is its bounce",
        ),
        pytest.param(
            [client("AB12CD34EF"), "postfix/smtpd[5]: AB12CD34EF: client=mx.other.test[192.0.2.9]", active("AB12CD34EF")],
            {"messages": 0},
            id="an aborted one's queue ID is taken by mail from outside",
        ),
        pytest.param(
            [client("AB12CD34EF"), "postfix/cleanup[3]: AB12CD34EF: hold: RCPT from x[1.2.3.4]: held; from=<a> to=<b>"],
            {"messages": 1, "held": 1},
            id="hold is an acceptance",
        ),
        pytest.param([client("AB12CD34EF", login="Mallory@Alpha.test"), active("AB12CD34EF")], {"messages": 1}, id="login in lower case"),
        pytest.param([client("AB12CD34EF", service=""), active("AB12CD34EF")], {"messages": 1}, id="port 25"),
        pytest.param([client("AB12CD34EF", service="x-y/smtps/"), active("AB12CD34EF")], {"messages": 1}, id="any syslog_name"),
        pytest.param([client("AB12CD34EF") + ", sasl_sender=z@x", active("AB12CD34EF")], {"messages": 1}, id="sasl_sender follows"),
        pytest.param([*ACCEPTED, bounce("AB12CD34EF")], {"bounced": 1, "unknown_recipients": 1}, id="unknown recipient"),
        pytest.param([*ACCEPTED, bounce("AB12CD34EF", "5.7.1", "550 5.7.1 no")], {"unknown_recipients": 0}, id="policy"),
        pytest.param(
            [*ACCEPTED, bounce("AB12CD34EF", "5.7.1", "550 5.7.1 part of their network is on our block list (S3150).")],
            {"reputation_refusals": 1},
            id="reputation",
        ),
        pytest.param(
            ["postfix/submission/smtpd[5]: NOQUEUE: reject: RCPT from u[1.2.3.4]: 554 5.7.1 <mallory@alpha.test>: SASL login name "
             "rejected: account locked; from=<a> to=<b> proto=ESMTP helo=<x>"],
            {"refused_attempts": 1, "messages": 0},
            id="refused, Postfix 3.7",
        ),
        pytest.param(
            ["postfix/submission/smtpd[5]: NOQUEUE: reject: RCPT from u[1.2.3.4]: 554 5.7.1 no; from=<a> to=<b> proto=ESMTP helo=<x> "
             "sasl_method=PLAIN sasl_username=mallory@alpha.test"],
            {"refused_attempts": 1, "messages": 0},
            id="refused, Postfix 3.10",
        ),
        pytest.param(
            ["postfix/submission/smtpd[5]: warning: unknown[203.0.113.20]: SASL PLAIN authentication failed: (reason unavailable), "
             "sasl_username=mallory@alpha.test"],
            {"failed_logins": 1, "failed_clients_at_least": 1},
            id="failed SMTP login",
        ),
        pytest.param(
            ["dovecot: imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 10 secs): user=<mallory@alpha.test>, "
             "method=PLAIN, rip=203.0.113.5, lip=198.51.100.11, TLS, session=<x>"],
            {"failed_logins": 1, "failed_clients_at_least": 1},
            id="failed IMAP login, Dovecot 2.3",
        ),
        pytest.param(
            ["dovecot: imap-login: Login aborted: Connection closed (auth failed, 1 attempts in 10 secs) (auth_failed): "
             "user=<mallory@alpha.test>, method=PLAIN, rip=203.0.113.5, lip=198.51.100.11, TLS, session=<x>"],
            {"failed_logins": 1, "failed_clients_at_least": 1},
            id="failed IMAP login, Dovecot 2.4",
        ),
    ],
)  # fmt: skip
def test_grammar(messages, expected):
    account = read(*messages)["accounts"][USER]
    assert {name: account[name] for name in expected} == expected


@pytest.mark.parametrize(
    "hostile",
    [
        active("AB12CD34EF", 1, '"x, size=1, nrcpt=999 (queue active)'),
        "postfix/smtpd[5]: NOQUEUE: reject: RCPT from u[1.2.3.4]: 554 no; helo=<x sasl_username=mallory@alpha.test>",
        bounce("AB12CD34EF", "5.7.1", "550 say status=bounced (S3150) blocked, dsn=5.1.1, status=bounced (x"),
    ],
)
def test_what_strangers_write_is_not_believed(hostile):
    account = read(*ACCEPTED[:1], hostile)["accounts"][USER]
    assert account["recipients"] in (0, 1)
    assert account["refused_attempts"] == account["unknown_recipients"] == 0


def test_addresses_and_senders_are_bounded_and_say_so():
    messages = [
        text
        for number in range(600)
        for text in (client(f"AB{number:08X}", f"10.0.{number // 250}.{number % 250}"), active(f"AB{number:08X}", 1, f"s{number}@x"))
    ]
    account = read(*messages)["accounts"][USER]
    assert (len(account["clients"]), account["clients_at_least"], len(account["senders"])) == (500, 500, 300)


def test_the_logins_that_prove_a_lock_are_nobodys():
    trial = "goodstanding-trial/smtpd[5]: AB12CD34EF: client=localhost[127.0.0.1], sasl_method=XCLIENT, sasl_username=goodstanding-control"
    canary = client("AB12CD34E0", "127.0.0.1", "goodstanding-canary")
    result = read(trial, active("AB12CD34EF").replace("postfix", "goodstanding-trial"), canary, active("AB12CD34E0"))
    assert result["accounts"] == {}
    assert list(read(client("AB12CD34E0"), active("AB12CD34E0"))["accounts"]) == [USER]


def test_messages_after_a_time_are_counted_apart():
    messages = [text for number in range(3) for text in (client(f"AB{number:08X}"), active(f"AB{number:08X}"))]
    account = read(*messages, accepted_since={USER: NOW + 2})["accounts"][USER]
    assert (account["messages"], account["accepted_since"]) == (3, 2)


def refused(login: str = USER, reply: str = "account locked, incident r1", stage: str = "NOQUEUE: reject: RCPT", helo: str = "x") -> str:
    return (
        f"postfix/submission/smtpd[5]: {stage} from u[203.0.113.3]: 554 5.7.1 <{login}>: SASL login name rejected: {reply}; "
        f"from=<a@x> to=<b@y> proto=ESMTP helo=<{helo}>"
    )


FAILED = "dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<Mallory@alpha.test>, rip=203.0.113.5, lip=x"
PICKUP = "postfix/pickup[5]: AB12CD34{:02X}: uid=33 from=<www-data>"


@pytest.mark.parametrize(
    ("message", "number"),
    [
        pytest.param(refused(), {"refused_since": 1}, id="the lock's map"),
        pytest.param(refused("Mallory@Alpha.test"), {"refused_since": 1}, id="in lower case"),
        pytest.param(refused() + f" sasl_method=PLAIN sasl_username={USER}", {"refused_since": 1}, id="Postfix 3.10"),
        pytest.param(refused(stage="AB12CD34EF: reject: END-OF-MESSAGE"), {"refused_since": 1}, id="at end of data"),
        pytest.param(refused().replace("u[203.0.113.3]", "u[203.0.113.3]:40001"), {"refused_since": 1}, id="with the client's port"),
        pytest.param(refused(reply="no such thing"), {}, id="another map"),
        pytest.param(
            refused("eve@x", "no", helo=f"u[203.0.113.3]: 554 5.7.1 <{USER}>: SASL login name rejected: account locked, incident r1"),
            {},
            id="the client's own words",
        ),
        pytest.param(FAILED, {"refused_since": 1}, id="failed login"),
        pytest.param(f"dovecot: imap-login: Logged in: user=<{USER}>, rip=203.0.113.5, lip=x", {"logins_since": 1}, id="login"),
    ],
)
def test_what_an_account_did_since_its_lock_is_counted_apart(message, number):
    # The first line makes the account known: the shortcuts must not take the second past the count.
    for since, lines in ((NOW + 0.5, 1), (NOW - 0.5, 2), (NOW + 1.5, 0)):
        result = read(message, message, accepted_since={USER: since})
        wanted = {"time": since, **dict.fromkeys(parser.SINCE, 0), **{name: lines * count for name, count in number.items()}}
        assert result["since"] == {USER: wanted}
        account = result["accounts"].get(USER, wanted)  # one that only logs in is no sender
        assert {name: account[name] for name in parser.SINCE} == {name: wanted[name] for name in parser.SINCE}


def test_what_a_local_user_hands_in_since_its_lock_is_counted_apart():
    messages = [text for number in range(3) for text in (PICKUP.format(number), active(f"AB12CD34{number:02X}", 1, "www-data@mx1"))]
    account = read(*messages, accepted_since={"uid:33": NOW + 1.5})["accounts"]["uid:33"]
    assert (account["submitted_since"], account["accepted_since"], account["messages"]) == (2, 2, 3)


def test_what_was_before_a_reinstatement_is_not_counted():
    log = MailLog(NOW + 3600, NOW - 3600)
    log.forgive({USER: NOW + 60})
    for text in (*ACCEPTED, client("CD12CD34EF")):
        log.feed(f"2026-11-24T06:00:30+00:00 mx1 {text}")
    assert log.result()["accounts"] == {}
    for text in (client("EF12CD34EF"), active("EF12CD34EF")):
        log.feed(f"2026-11-24T06:01:30+00:00 mx1 {text}")
    assert log.result()["accounts"][USER]["messages"] == 1


def test_lines_before_the_window_are_left_out_and_unparsed_ones_counted():
    log = MailLog(NOW, NOW - 60)
    for raw in ("2026-11-24T05:58:00+00:00 mx1 postfix/qmgr[1]: x", "garbage", "2026-11-24T05:59:30+00:00 mx1 postfix/qmgr[1]: x"):
        log.feed(raw)
    result = log.result()
    assert (result["lines"], result["unparsed"], result["unparsed_samples"]) == (2, 1, ["garbage"])
    assert result["span"] == {"first": NOW - 30, "last": NOW - 30, "since": NOW - 60}, "it reaches back further"


def test_dropped_lines_make_the_log_incomplete():
    result = read("systemd-journald[1]: Suppressed 12345 messages from postfix@-.service")
    assert result["complete"] is False
    assert "Suppressed 12345" in result["gaps"][0]


def test_hostile_lines_take_linear_time():
    log = MailLog(NOW + 3600, NOW - 3600, replies=REPLIES, addresses=["198.51.100.11", "2001:db8::25"])
    lines = [
        "2026-11-24T06:00:00+00:00 mx1 dovecot: auth: " + "(a,1.2.3.4," * 700,
        "2026-11-24T06:00:00+00:00 mx1 postfix/smtp[1]: AB12CD34EF: to=<" + ">, relay=, dsn=5.1.1, status=" * 280,
        "2026-11-24T06:00:00+00:00 mx1 dovecot: imap-login: " + "(auth failed" * 600 + " user=<" * 100,
        bounce("AB12CD34EF", reply="550-5.7.1 blocked using 1.1.1.1 a::b gsmtp " * 150).join(("2026-11-24T06:00:00+00:00 mx1 ", "")),
    ]
    began = time.process_time()
    for raw in lines * 200:
        log.feed(raw)
    assert time.process_time() - began < 20  # a guard against quadratic patterns, far from any machine's noise


STRANGER = "postfix/smtpd[7]: {id}: client=unknown[{client}]"
INBOUND = "postfix/qmgr[99]: {id}: from=<s@world.test>, size=700, nrcpt=3 (queue active)"
LEAVES = "postfix/smtp[8]: {id}: to=<x@dest.test>, {orig}relay=mx.dest.test[203.0.113.25]:25, delay=1, delays=0/0/0/1, {end}"
SENT_ON = "dsn=2.0.0, status=sent (250 ok)"
NOBODY = "dsn=5.1.1, status=bounced (host mx.dest.test[203.0.113.25] said: 550 5.1.1 no such user (in reply to RCPT TO command))"


def stranger(client: str = "203.0.113.7", orig: str = "", end: str = SENT_ON, queue_id: str = "AB12CD34EF") -> list[str]:
    return [text.format(id=queue_id, client=client, orig=orig, end=end) for text in (STRANGER, INBOUND, LEAVES, LEAVES)]


@pytest.mark.parametrize(
    ("client", "orig", "name"),
    [
        ("203.0.113.7", "", "relay:internet"),
        ("10.1.2.3", "", "relay:10.1.2.3"),
        ("203.0.113.7", "orig_to=<Old@alpha.test>, ", "forward:old@alpha.test"),
    ],
)
def test_mail_that_leaves_without_a_login_is_counted(client, orig, name):
    accounts = read(*stranger(client, orig), *stranger(client, orig, NOBODY, "BB12CD34EF"))["accounts"]
    assert list(accounts) == [name]
    told = {key: accounts[name][key] for key in ("messages", "recipients", "sent", "unknown_recipients", "clients", "senders")}
    assert told == {"messages": 2, "recipients": 6, "sent": 2, "unknown_recipients": 2, "clients": [client], "senders": ["s@world.test"]}


def test_mail_that_arrives_is_nobodys():
    lmtp = "postfix/lmtp[8]: AB12CD34EF: to=<bob@alpha.test>, relay=mx1[private/dovecot-lmtp], delay=1, dsn=2.0.0, status=sent (250 ok)"
    filtered = LEAVES.format(id="AB12CD34EF", orig="", end=SENT_ON).replace("mx.dest.test[203.0.113.25]", "127.0.0.1[127.0.0.1]")
    assert read(*stranger()[:2], lmtp, filtered)["accounts"] == {}


def test_bounces_of_strangers_mail_are_backscatter_and_those_of_an_account_are_not():
    notice = "postfix/bounce[9]: {}: sender non-delivery notification: BC12CD34EF"
    bounce = [
        "postfix/qmgr[99]: BC12CD34EF: from=<>, size=900, nrcpt=1 (queue active)",
        LEAVES.format(id="BC12CD34EF", orig="", end=NOBODY),
    ]
    accounts = read(*stranger()[:2], notice.format("AB12CD34EF"), *bounce)["accounts"]
    assert {name: (row["recipients"], row["unknown_recipients"]) for name, row in accounts.items()} == {"backscatter:": (1, 1)}
    accounts = read(*ACCEPTED, notice.format("AB12CD34EF"), *bounce)["accounts"]
    assert list(accounts) == [USER]


@pytest.mark.parametrize("name", ["uid:33", "relay:internet", "forward:a@x", "backscatter:"])
def test_nobody_logs_in_under_the_name_of_what_no_login_sent(name):
    failed = f"postfix/submission/smtpd[5]: warning: unknown[203.0.113.7]: SASL LOGIN authentication failed: x, sasl_username={name}"
    assert read(failed)["accounts"] == {}


FILTER = "postfix/smtp[6]: {}: to=<a@d.test>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, dsn=2.0.0, status=sent (250 Ok: queued as {})"


def test_a_strangers_mail_that_a_content_filter_puts_in_again_is_a_strangers():
    lines = [STRANGER.format(id="AB12CD34EF", client="203.0.113.7"), INBOUND.format(id="AB12CD34EF")]
    again = [
        "postfix/smtpd[7]: CB12CD34EF: client=localhost[127.0.0.1]",
        INBOUND.format(id="CB12CD34EF"),
        FILTER.format("AB12CD34EF", "CB12CD34EF"),
    ]
    leaves = LEAVES.format(id="CB12CD34EF", orig="", end=NOBODY)
    accounts = read(*lines, *again, leaves)["accounts"]
    assert {name: (row["messages"], row["recipients"], row["bounced"]) for name, row in accounts.items()} == {"relay:internet": (1, 3, 1)}


def test_a_hop_to_a_content_filter_is_no_delivery():
    again = "postfix/smtpd[7]: CB12CD34EF: client=localhost[127.0.0.1]"
    hops = [FILTER.format("AB12CD34EF", "CB12CD34EF")] * 2
    account = read(*ACCEPTED, again, *hops, LEAVES.format(id="CB12CD34EF", orig="", end=SENT_ON))["accounts"][USER]
    assert (account["messages"], account["sent"]) == (1, 1)


def test_mail_through_a_proxy_filter_is_a_gap():
    line = "postfix/submission/smtpd[5]: NOQUEUE: client=h[203.0.113.7], sasl_method=PLAIN, sasl_username=a@alpha.test"
    result = read(*[line] * 40)
    assert (result["accounts"], len(result["gaps"]), result["complete"]) == ({}, 1, False)


def test_names_that_strangers_type_leave_room_for_those_that_log_in(monkeypatch):
    monkeypatch.setattr(parser, "MAX_ACCOUNTS", 5)
    failed = "postfix/submission/smtpd[5]: warning: u[203.0.113.7]: SASL LOGIN authentication failed: x, sasl_username=n{}@x"
    result = read(*[failed.format(number) for number in range(20)], *ACCEPTED)
    assert (result["accounts"][USER]["messages"], result["accounts"]["(others)"]["failed_logins"], result["gaps"]) == (1, 15, [])


@pytest.mark.parametrize("end", ["", " sasl_method=PLAIN sasl_username=a@alpha.test"])
def test_mail_of_a_suspect_that_is_put_on_hold_is_told(end):
    """The line of the lab's Postfix 3.7; 3.10 ends it with the login."""
    hold = (
        "postfix/submission/smtpd[672]: NOQUEUE: hold: RCPT from unknown[203.0.113.24]: <a@alpha.test>: SASL login name suspected breach, "
        f"incident manual; from=<a@alpha.test> to=<known1@dest1.world.test> proto=ESMTP helo=<client.invalid>{end}"
    )
    forged = hold.replace("<a@alpha.test>: SASL login name suspected", "<v@x>: Sender address suspected").replace(
        "helo=<client.invalid>", "helo=<[1.2.3.4]: <v@x>: SASL login name >"
    )
    accounts = read(hold, forged)["accounts"]
    assert {name: (row["held"], row["messages"]) for name, row in accounts.items()} == {"a@alpha.test": (1, 0)}

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What receivers say: the catalogue's entries, what must not match, and which sending address a refusal is about."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from goodstanding_src.module_utils.goodstanding.maillog.parser import MAX_REFUSALS, MailLog
from goodstanding_src.module_utils.goodstanding.maillog.refusals import Replies, RepliesError, Senders, remote_reply, unfold

CATALOGUE = Path(__file__).resolve().parents[3] / "catalogue/provider_replies.yml"
ENTRIES = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))["replies"]
REPLIES = Replies(ENTRIES)
NOW = 1795500000.0
USER = "mallory@alpha.test"
V4, V6 = "198.51.100.11", "2001:db8::25"
S3150 = "550 5.7.1 Unfortunately, messages from [{}] weren't sent. Part of their network is on our block list (S3150)."


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry["id"] for entry in ENTRIES])
def test_the_example_of_an_entry_matches_it_first(entry):
    found, code = REPLIES.match(entry["example"])
    assert found["id"] == entry["id"]
    assert (code == "-") is ("code" not in entry)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("550 5.7.649 Access denied, banned sending IP [198.51.100.11].", ("microsoft_banned_ip", "5.7.649")),
        ("550 5.7.650 Access denied, banned sending IP [198.51.100.11].", None),
        ("550 5.7.1 part of their network is on our block list (AS3140).", ("microsoft_olc", "AS3140")),
        ("421-4.7.28 a text that Google rewrote 421 4.7.28 https://x k2si8 - gsmtp", ("google_rate", "4.7.28")),
        ("421-4.7.23 x 421 4.7.23 y k2si8 - gsmtp", ("google_ptr", "4.7.23")),
        ("550-5.7.27 x 550 5.7.27 y k2si8 - gsmtp", ("google_spf", "5.7.27")),
        ("451 4.7.24 The SPF record of the sending domain has suspicious entries. k2si8 - gsmtp", ("google_spf", "4.7.24")),
        ("550-5.7.30 x 550 5.7.30 y k2si8 - gsmtp", ("google_dkim", "5.7.30")),
        ("421 4.7.1 [TS03] All messages from 198.51.100.11 will be permanently deferred", ("yahoo_permanent", "TS03")),
        ("421 4.7.0 [TS02] Messages from 198.51.100.11 temporarily deferred", ("yahoo_deferred", "TS02")),
        ("550 5.7.1 [CS01] Message rejected due to local policy.", ("apple_policy", "CS01")),
        ("554 5.7.1 Blocked - see https://support.proofpoint.com/dnsbl-lookup.cgi?ip=198.51.100.11", ("proofpoint", None)),
        ("550 zen.mimecast.org Listed by PBL, see https://check.spamhaus.org/query/ip/198.51.100.11", ("spamhaus", None)),
        ("452 x comcast 198.51.100.11 found on one or more DNSBLs, see http://x#BL000010", ("comcast_blocked", "BL000010")),
        ("554 5.7.1 x blocked using 0123456789abcdef.zen.dq.spamhaus.net", ("spamhaus", "zen.dq.spamhaus.net")),
        ("554 5.7.1 x blocked using 0123456789abcdef.combined.mail.abusix.zone", ("abusix", "combined.mail.abusix.zone")),
        ("554 5.7.1 Client host [198.51.100.11] blocked using dnsbl.example.net", ("list_other", "dnsbl.example.net")),
        ("554 5.7.1 Helo command [mx.example.com] blocked using dnsbl.example.net", ("list_domain", "dnsbl.example.net")),
        ("554 5.7.1 Client host [198.51.100.11] blocked using ix.dnsbl.manitu.net", ("list_retired", "ix.dnsbl.manitu.net")),
    ],
)
def test_codes(reply, expected):
    found = REPLIES.match(reply)
    if expected is None:
        assert found is None
    else:
        assert found[0]["id"] == expected[0]
        assert expected[1] in (None, found[1])


@pytest.mark.parametrize(
    "reply",
    [
        "550 5.1.1 user unknown",
        "550 5.1.1 <x@spamcop.net>: Recipient address rejected: User unknown in virtual mailbox table",
        "550 5.1.1 <barracuda@spamhaus.org>: no such user",
        "550-5.1.1 The email account that you tried to reach does not exist. 550-5.1.1 double-check 550 5.1.1 x4.7.28 - gsmtp",
        "452 4.2.2 <x@example.com>: mailbox full",
        "552-5.2.2 The recipient's inbox is out of storage space and inactive. 552 5.2.2 https://x a1si1 - gsmtp",
        "421-4.3.0 Temporary System Problem. Try again later a1si1 - gsmtp",
        "450-4.2.1 The user you are trying to contact is receiving mail too quickly. 450 4.2.1 x a1si1 - gsmtp",
        "550-Requested action not taken: mailbox unavailable 550 For explanation visit https://postmaster.gmx.net/en/case?c=r0301",
        "552 5.1.1 Boite du destinataire pleine. Recipient overquota. OFR_417 [417]",
        "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. LPN416",
        "552 5.3.4 Message size exceeds fixed limit",
        "554 5.7.1 <x@example.com>: Relay access denied",
        "550 5.4.1 Recipient address rejected: Access denied. [AM7EUR06FT003.eop-eur06.prod.protection.outlook.com]",
        "450 4.2.0 <x@example.com>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.com.html",
        "451 4.7.1 Greylisting in action, please come back in 00:05:00",
        "451 4.7.1 Service unavailable - try again later",
        "451 Internal resource temporarily unavailable - https://community.mimecast.com/docs/DOC-1369#451 [x.us32]",
        "450 4.7.1 <x@example.com>: Recipient address rejected: Service temporarily unavailable, please try later",
        "450 4.3.2 Please try again later",
        "421 4.7.0 Error: too many connections from 198.51.100.11",
        "",
    ],
)
def test_ordinary_bounces_and_greylisting_are_no_refusals(reply):
    assert REPLIES.match(reply) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host mx.test[192.0.2.1] said: 550 no (in reply to RCPT TO command))", "550 no"),
        ("host mx.test[2001:db8::1]:2525 refused to talk to me: 554 no)", "554 no)"),
        ("delivery temporarily suspended: host mx.test[192.0.2.1] refused to talk to me: 554 no)", "554 no)"),
        ("host mx.test[192.0.2.1] said: 550 x said: y (in reply to z) (in reply to DATA command))", "550 x said: y (in reply to z)"),
        ("connect to mx.test[192.0.2.1]:25: Connection refused)", None),
        ("lost connection with mx.test[192.0.2.1] while receiving the initial server greeting)", None),
        ("Host or domain name not found. Name service error for name=gsmtp.test type=MX: Host not found)", None),
        ("host mail[private/dovecot-lmtp] said: 550 5.7.1 blocked using zen.spamhaus.org (in reply to RCPT TO command))", None),
        ("Server certificate not trusted)", None),
    ],
)
def test_only_the_remote_servers_words_are_read(text, expected):
    assert remote_reply(text) == expected


def test_the_codes_of_later_lines_are_taken_out():
    assert unfold("550-5.7.1 a 550-5.7.1 b 550 5.7.1 c") == "550-5.7.1 a b c"
    assert unfold("554-gmx.net 554-No SMTP service 554 For explanation") == "554-gmx.net No SMTP service For explanation"
    assert unfold("no code") == "no code"


@pytest.mark.parametrize(
    "hostile",
    [
        "blocked using " * 80_000,
        "550-5.7.1 " * 110_000, "[" * 1_000_000, "1.1.1.1." * 130_000, ":" * 1_000_000, "a:" * 500_000, " gsmtp dmarc" * 90_000,
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_a_hostile_reply_of_a_megabyte_takes_no_time(hostile):
    senders = Senders([f"198.51.100.{number}" for number in range(100)])
    began = time.process_time()
    for prefix in ("550-5.7.1 ", "554 5.7.1 Sender address [", "AUP#"):
        REPLIES.match(prefix + hostile)
        remote_reply(prefix + hostile)
        senders.find(prefix + hostile)
    assert time.process_time() - began < 2  # a guard against quadratic patterns, far from any machine's noise


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"id": "x", "provider": "p", "about": "rate"}, "words must be"),
        ({"id": "x", "provider": "p", "about": "rate", "words": ["a"], "code": "(a"}, "no regular expression"),
        ({"id": "x", "provider": "p", "about": "rate", "words": ["a"], "code": "a"}, "one group"),
        ({"id": "x", "provider": "p", "words": ["a"]}, "has no about"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(entry, message):
    with pytest.raises(RepliesError, match=message) as error:
        Replies([ENTRIES[0], entry])
    assert "reply 2 (x)" in str(error.value)


def test_an_address_that_is_none_is_named():
    with pytest.raises(RepliesError, match=r"'198.51.100.300' is no IP address"):
        Senders(["198.51.100.300"])


@pytest.mark.parametrize(
    ("addresses", "reply", "relay", "expected"),
    [
        ([V4], S3150.format(V4), "", V4),
        ([V4, "198.51.100.12"], S3150.format("198.51.100.12"), "192.0.2.1", "198.51.100.12"),
        ([V4, "198.51.100.12"], "550 no", "192.0.2.1", None),
        ([V4, "198.51.100.12"], S3150.format("203.0.113.9"), "192.0.2.1", None),
        ([V4], "550 no", "192.0.2.1", V4),
        ([V4], "550 no", "", V4),
        ([V4], "550 no", "2001:db8:1::1", None),
        ([V4, V6], "550 no", "", None),
        ([V4, V6], "550 no", "192.0.2.1", V4),
        ([V4, V6], "550 no", "2001:db8:1::1", V6),
        ([V4, V6], "450 4.7.25 the sending IPv6 address [2001:0DB8:0:0::25] must have", "192.0.2.1", V6),
        ([V4, V6], "550 IPv6:2001:db8::25: blocked", "192.0.2.1", V6),
        ([V4, V6], "550 at 12:30:45 from 2001:db8::26", "", None),
        ([V4, "198.51.100.1"], "554 IP=198.51.100.11 - A problem occurred.", "", V4),
        ([V4, "198.51.100.1"], "554 blocked; see https://x/?ip=198.51.100.11&c=rdns", "", V4),
        ([V4, "198.51.100.1"], "554 198.51.100.111 and 1.198.51.100.11 and 198.51.100.11.5", "", None),
        ([V4, "198.51.100.1"], "550 Rejected: 198.51.100.11, listed. Not 198.51.100.1.", "", V4),
        (["198.51.100.0/24"], "550 no", "192.0.2.1", None),
        (["198.51.100.0/24"], S3150.format("198.51.100.77"), "", "198.51.100.77"),
        ([], S3150.format(V4), "192.0.2.1", None),
    ],
)
def test_which_address_is_refused(addresses, reply, relay, expected):
    assert Senders(addresses).find(reply, relay) == expected


def lines(*replies: tuple[str, str], relay: str = "mx.test[192.0.2.1]:25", **options) -> dict:
    """Return the result for one message of USER that was refused with each (reply, status)."""
    log = MailLog(NOW + 3600, NOW - 3600, **{"replies": ENTRIES, **options})
    log.feed(f"2026-11-24T06:00:00+00:00 mx1 postfix/smtpd[5]: AB12CD34EF: client=u[203.0.113.3], sasl_method=PLAIN, sasl_username={USER}")
    for second, (reply, status) in enumerate(replies, 1):
        host = relay.rpartition(":")[0] or "mx.test[192.0.2.1]"
        log.feed(
            f"2026-11-24T06:{second // 60:02}:{second % 60:02}+00:00 mx1 postfix/smtp[7]: AB12CD34EF: to=<x@dest.test>, relay={relay}, "
            f"delay=1, delays=0/0/0/1, dsn=5.7.1, status={status} (host {host} said: {reply} (in reply to MAIL FROM command))"
        )
    return log.result()


def test_refusals_are_counted_per_address_provider_entry_and_code():
    yahoo = "421 4.7.0 [TSS04] Messages from 198.51.100.12 temporarily deferred due to unexpected volume or user complaints"
    result = lines((S3150.format(V4), "bounced"), (yahoo, "deferred"), (S3150.format(V4), "bounced"), addresses=[V4, "198.51.100.12"])
    rows = [{key: value for key, value in row.items() if key not in ("sample", "domains")} for row in result["refusals"]]
    begin = NOW // 60 * 60
    assert [row["count"] for row in rows] == [2, 1]
    assert rows[0] == {
        "address": V4, "provider": "microsoft", "id": "microsoft_olc", "code": "S3150", "about": "address", "count": 2,
        "first": begin + 1, "last": begin + 3, "seen": begin + 1, "accepted": None,
    }  # fmt: skip
    assert (rows[1]["address"], rows[1]["id"], rows[1]["about"]) == ("198.51.100.12", "yahoo_deferred", "rate")
    assert result["refusals"][0]["sample"].startswith("AB12CD34EF: dsn=5.7.1, status=bounced (host mx.test[192.0.2.1] said: 550 5.7.1 ")
    assert "S3150" in result["refusals"][0]["sample"]
    assert result["accounts"][USER]["reputation_refusals"] == 3


def test_a_host_of_many_addresses_gives_none_unless_the_reply_names_it():
    policy = "550 5.7.1 part of their network is on our block list (S3150)."
    assert lines((policy, "bounced"), addresses=[V4, "198.51.100.12"])["refusals"][0]["address"] is None
    assert lines((policy, "bounced"), addresses=[V4, V6])["refusals"][0]["address"] == V4
    assert lines((policy, "bounced"), addresses=[V4, V6], relay="mx.test[2001:db8:1::1]:25")["refusals"][0]["address"] == V6
    assert lines((policy, "bounced"))["refusals"][0]["address"] is None


SENT = (
    "2026-11-24T06:{minute:02}:00+00:00 mx1 postfix/smtp[7]: BB12CD34EF: to=<y@{domain}>, relay=mx.test[192.0.2.1]:25, delay=1, "
    "delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Ok)"
)


@pytest.mark.parametrize(
    ("addresses", "domain", "minute", "known"),
    [
        ([V4], "dest.test", 10, True),
        ([V4, V6], "dest.test", 10, True),
        ([V4], "other.test", 10, False),
        ([V4], "dest.test", 0, False),
        ([V4, "198.51.100.12"], "dest.test", 10, False),
    ],
)
def test_a_receiver_that_takes_mail_again_has_forgiven(addresses, domain, minute, known):
    log = MailLog(NOW + 3600, NOW - 3600, replies=ENTRIES, addresses=addresses)
    refused = (
        f"2026-11-24T06:05:00+00:00 mx1 postfix/smtp[7]: AB12CD34EF: to=<x@dest.test>, relay=mx.test[192.0.2.1]:25, delay=1, "
        f"delays=0/0/0/1, dsn=5.7.1, status=bounced (host mx.test[192.0.2.1] said: {S3150.format(V4)} (in reply to MAIL FROM command))"
    )
    for line in sorted([refused, SENT.format(domain=domain, minute=minute)]):
        log.feed(line)
    (row,) = log.result()["refusals"]
    assert row["accepted"] == (row["last"] + 300 if known else None)


def test_what_is_not_about_reputation_is_a_row_but_no_count_of_the_account():
    result = lines(("550 5.7.515 Access denied, sending domain x.test does not meet the required authentication level", "bounced"))
    assert result["refusals"][0]["about"] == "authentication"
    assert result["accounts"][USER]["reputation_refusals"] == 0


def test_without_replies_and_with_postfixs_own_errors_nothing_is_counted():
    assert lines((S3150.format(V4), "bounced"), replies=[])["refusals"] == []
    log = MailLog(NOW + 3600, NOW - 3600, replies=ENTRIES)
    for text in (
        "connect to bl.spamcop.net[192.0.2.1]:25: Connection refused",
        "Host or domain name not found. Name service error for name=zen.spamhaus.org type=MX: blocked using zen.spamhaus.org",
    ):
        log.feed(
            f"2026-11-24T06:00:00+00:00 mx1 postfix/smtp[7]: AB12CD34EF: to=<x@y>, relay=none, delay=1, dsn=4.4.1, status=deferred ({text})"
        )
    assert log.result()["refusals"] == []


def test_a_sent_message_is_no_refusal():
    assert lines(("250 2.0.0 blocked using zen.spamhaus.org", "sent"))["refusals"] == []


def test_codes_that_a_stranger_invents_do_not_fill_the_memory():
    log = MailLog(NOW + 3600, NOW - 3600, replies=ENTRIES)
    for number in range(MAX_REFUSALS + 50):
        log.feed(
            "2026-11-24T06:00:00+00:00 mx1 postfix/smtp[7]: AB12CD34EF: to=<x@y>, relay=m.test[192.0.2.1]:25, dsn=5.7.1, status=bounced "
            f"(host m.test[192.0.2.1] said: 554 blocked using l{number}.test (in reply to RCPT TO command))"
        )
    assert len(log.refusals) == MAX_REFUSALS + 1
    rows = log.result()["refusals"]
    assert (len(rows), rows[0]["code"], rows[0]["count"]) == (200, "(others)", 50)


def test_what_a_watched_domain_took_is_told_for_the_address_that_sent_it():
    log = MailLog(NOW + 3600, NOW - 3600, addresses=[V4], watch=["Dest.test"])
    for second, (domain, status) in enumerate((("dest.test", "sent"), ("other.test", "sent"), ("dest.test", "deferred"))):
        log.feed(
            f"2026-11-24T06:00:0{second}+00:00 mx1 postfix/smtp[7]: AB12CD34EF: to=<x@{domain}>, relay=mx.test[192.0.2.1]:25, delay=1, "
            f"delays=0/0/0/1, dsn=2.0.0, status={status} (250 ok)"
        )
    assert log.result()["taken"] == [{"address": V4, "domain": "dest.test", "time": NOW // 60 * 60}]
    # Which of two addresses sent it, the log does not tell.
    two = MailLog(NOW + 3600, NOW - 3600, addresses=[V4, "198.51.100.12"], watch=["dest.test"])
    two.feed(
        "2026-11-24T06:00:00+00:00 mx1 postfix/smtp[7]: AB: to=<x@dest.test>, relay=mx.test[192.0.2.1]:25, dsn=2.0.0, status=sent (250 ok)"
    )
    assert two.result()["taken"] == []

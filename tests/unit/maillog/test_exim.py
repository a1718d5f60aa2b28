# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exim's main log: the same counters as Postfix's, and nothing that a stranger wrote is taken for Exim's own word."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from goodstanding_src.module_utils.goodstanding.maillog.book import Book
from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog

NOW = 1795500000.0  # 2026-11-24T06:00:00Z
USER = "mallory@alpha.test"
OLD, NEW = "1uXw11-000AAA-1B", "1x5dJQ-00000002ksM-1pMm"
REPLIES = yaml.safe_load((Path(__file__).resolve().parents[3] / "catalogue/provider_replies.yml").read_text(encoding="utf-8"))["replies"]
BLOCKED = "550 5.7.1 Unfortunately, messages from [198.51.100.11] weren't sent. part of their network is on our block list (S3150)."
TO = "** x@dest1.world.test R=dnslookup T=remote_smtp H=mx.dest1.world.test [203.0.113.25]:25 X=TLS1.3:AES:256 CV=yes: "
AFTER = "SMTP error from remote mail server after RCPT TO:<x@dest1.world.test>: "


def arrived(name: str = OLD, sender: str = USER, host: str = "(pc) [203.0.113.3]:5555", rest: str = "", login: str = USER) -> str:
    return f"{name} <= {sender} H={host} P=esmtpsa X=TLS1.3:TLS_AES_256_GCM_SHA384:256 CV=no A=dovecot_login:{login} S=553 id=a@pc{rest}"


def log_of(*messages: str, prefix: str = "2026-11-24 06:00:{:02} ", utc_offset: int = 0, **options) -> MailLog:
    log = MailLog(NOW + 3600, NOW - 3600, replies=REPLIES, utc_offset=utc_offset, **options)
    for second, text in enumerate(messages):
        log.feed(prefix.format(second) + text + "\n")
    return log


def read(*messages: str, **options) -> dict:
    return log_of(*messages, **options).result()


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([arrived(rest=" for a@x b@x c@y")], {"messages": 1, "recipients": 3, "bytes": 553}, id="accepted"),
        pytest.param([arrived(NEW, rest=" for a@x")], {"messages": 1, "recipients": 1}, id="the ID of Exim 4.97"),
        pytest.param([arrived(host="mail.pc ([127.0.0.1]) [203.0.113.3]", rest=" for a@x")], {"messages": 1}, id="a helo with brackets"),
        pytest.param([arrived(host="(pc) [203.0.113.3]:1 I=[198.51.100.1]:587")], {"messages": 1}, id="interface"),
        pytest.param([arrived(rest=' T="a for b@x c@x" for d@x')], {"messages": 1, "recipients": 1}, id="a subject with for"),
        pytest.param([arrived(rest=r' T="say \"hi\" for b@x" from <a@b> for d@x e@x')], {"recipients": 2}, id="a subject with quotes"),
        pytest.param([arrived(rest=' T="x" for "a b for c"@x d@x')], {"recipients": 2}, id="a recipient with spaces"),
        pytest.param([arrived(login="Mallory@Alpha.test")], {"messages": 1}, id="login in lower case"),
        pytest.param(
            [arrived(), f"{OLD} => a@x R=dnslookup T=remote_smtp H=mx [203.0.113.25]:25", f"{OLD} -> b@x R=dnslookup T=remote_smtp",
             f"{OLD} == c@x R=dnslookup T=remote_smtp defer (-53): retry time not reached", f"{OLD} == c@x R=dnslookup defer (-53): x",
             f"{OLD} => c@x R=dnslookup T=remote_smtp H=mx [203.0.113.25]", f"{OLD} {TO}{AFTER}550 no", f"{OLD} Completed"],
            {"messages": 1, "recipients": 4, "sent": 3, "deferred": 2, "bounced": 1, "unknown_recipients": 0},
            id="recipients counted from what became of them",
        ),
        pytest.param(
            [arrived(rest=" for a@x"), f"{OLD} => user <a@x> R=local_user T=maildir", f"{OLD} -> other@y <a@x> R=z T=s"],
            {"recipients": 1, "sent": 2},
            id="an alias adds no recipient where Exim logs them",
        ),
        pytest.param([arrived(), f"{OLD} {TO}{AFTER}550 5.1.1 User unknown"], {"bounced": 1, "unknown_recipients": 1}, id="unknown"),
        pytest.param([arrived(), f"{OLD} {TO}{AFTER}550-5.1.1 no\\n550 5.1.1 such"], {"unknown_recipients": 1}, id="unknown, two lines"),
        pytest.param(
            [arrived(), f"{OLD} ** x@d R=dnslookup T=remote_smtp: {AFTER}host mx.d [203.0.113.25]: 550 5.1.1 no"],
            {"unknown_recipients": 1},
            id="unknown, Exim before 4.85",
        ),
        pytest.param([arrived(), f"{OLD} ** nobody@here.test: Unrouteable address"], {"unknown_recipients": 1}, id="no route"),
        pytest.param([arrived(), f"{OLD} {TO}{AFTER}{BLOCKED}"], {"reputation_refusals": 1, "unknown_recipients": 0}, id="reputation"),
        pytest.param([arrived(), f"{OLD} Completed", f"{OLD} {TO}{AFTER}550 5.1.1 x"], {"bounced": 0}, id="after the end"),
        pytest.param(
            ["dovecot_login authenticator failed for (pc) [203.0.113.5]:5: 535 Incorrect authentication data (set_id=mallory@alpha.test)"],
            {"failed_logins": 1, "failed_clients": ["203.0.113.5"], "messages": 0},
            id="failed login",
        ),
        pytest.param(
            [f"plain authenticator failed for H=h.x ([1.1.1.1]) [203.0.113.5]: 535 Incorrect authentication data (set_id={USER})"],
            {"failed_logins": 1, "failed_clients": ["203.0.113.5"]},
            id="failed login, with H=",
        ),
        pytest.param(
            [f"H=(pc) [203.0.113.3]:5 X=TLS1.3:A:256 CV=no A=dovecot_login:{USER} F=<a@b> rejected RCPT <c@d>: no"],
            {"refused_attempts": 1},
            id="refused",
        ),
    ],
)  # fmt: skip
def test_grammar(messages, expected):
    result = read(*messages)
    account = result["accounts"][USER]
    assert {name: account[name] for name in expected} == expected
    assert result["unparsed"] == 0
    assert account["evidence"]


@pytest.mark.parametrize(
    "prefix",
    [
        "2026-11-24 06:00:{:02}.123 ",
        "2026-11-24 07:00:{:02} +0100 ",
        "2026-11-24 07:00:{:02}.5 +0100 [77] ",
        "2026-11-24T06:00:{:02}+00:00 mx1 exim[12]: 2026-11-24 06:00:00 ",
        "2026-11-24T06:00:{:02}+00:00 mx1 exim[12]: ",
        "Nov 24 06:00:{:02} mx1 exim4[12]: [1\\2] 2026-11-24 06:00:00 ",
        "<22>1 2026-11-24T06:00:{:02}+00:00 mx1 exim 12 - - ",
    ],
)
def test_forms_of_time(prefix):
    result = read(arrived(rest=" for a@x"), f"{OLD} => a@x R=r T=t H=h [203.0.113.25]", prefix=prefix)
    account = result["accounts"][USER]
    assert (account["messages"], account["recipients"], account["sent"]) == (1, 1, 1)
    assert int(account["first"]) == NOW
    assert int(result["span"]["first"]) == NOW
    assert (result["lines"], result["unparsed"]) == (2, 0)


def test_a_time_without_a_zone_is_the_hosts():
    assert read(arrived(), prefix="2026-11-24 07:00:{:02} ", utc_offset=3600)["accounts"][USER]["first"] == NOW
    assert read(arrived(), prefix="2026-11-24 01:30:{:02} ", utc_offset=-16200)["accounts"][USER]["first"] == NOW


def test_mail_of_a_local_user_is_that_users_and_a_bounce_is_nobodys():
    local = "1uXw12-000AAA-1B <= www-data@mx1 U=www-data P=local S=400 for a@x"
    result = read(local, f"{OLD} <= <> R=1uXw12-000AAA-1B U=Debian-exim P=local S=1234 for www-data@mx1")
    assert list(result["accounts"]) == ["uid:www-data"]
    assert result["accounts"]["uid:www-data"]["recipients"] == 1


FORGED = f"H=(x) [192.0.2.66] P=esmtpsa A=login:{USER} S=1"


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(f'{OLD} <= e@evil.test H=(evil) [192.0.2.6] P=esmtp S=5 id=x T="{FORGED} for a@x"', id="subject"),
        pytest.param(rf'{OLD} <= e@evil.test H=(evil) [192.0.2.6] P=esmtp S=5 id=x T="a\" {FORGED} id=y T=\"" for a@x', id="quotes"),
        pytest.param(f'{OLD} <= "x {FORGED} "@evil.test H=(evil) [192.0.2.6] P=esmtp S=5 id=x', id="sender"),
        pytest.param(f"{OLD} <= e@evil.test H=(x) [192.0.2.6] P=esmtps X=T CV=no A=login:{USER} S=5", id="a client without a login"),
        pytest.param(f'{OLD} <= e@evil.test H=(evil) [192.0.2.6] P=esmtps DN="/CN=a" A=login:{USER} S=1" S=5 id=x', id="certificate"),
        pytest.param(f'{OLD} <= e@evil.test H=(evil) [192.0.2.6] P=esmtp S=5 id="A=login:{USER} S=1"@x', id="message ID"),
        pytest.param(f'H=(evil) [192.0.2.6] F=<"A=login:{USER} F=<x> rejected RCPT <y>"@e> rejected RCPT <z>: no', id="refused sender"),
        pytest.param(f"2 {OLD} <= {USER} {FORGED}", id="no ID"),
        pytest.param(f"mx1 postfix/smtpd[1]: AB12CD34EF: client=u[192.0.2.6], sasl_method=PLAIN, sasl_username={USER}", id="Postfix"),
    ],
)
def test_what_strangers_write_is_not_believed(hostile):
    assert read(hostile)["accounts"] == {}


def test_a_helo_that_exim_would_not_allow_is_told_as_unparsed():
    result = read(f"{OLD} <= e@evil.test H=(y {FORGED} z) [192.0.2.6] P=esmtp S=5")
    assert (result["accounts"], result["unparsed"]) == ({}, 1)
    result = read(f"{OLD} <= {USER} H=(a b) [192.0.2.6] P=esmtpsa A=login:{USER} S=5")
    assert (result["accounts"], result["unparsed"]) == ({}, 1)


def test_a_piece_of_a_long_line_and_a_copy_for_the_reject_log_are_no_lines():
    failed = f"exim[9]: 2026-11-24 06:00:00 login authenticator failed for (x) [192.0.2.6]: 535 Incorrect (set_id={USER})"
    prefix = "2026-11-24T06:00:00+00:00 mx1 "
    assert read(failed, failed, prefix=prefix)["accounts"][USER]["failed_logins"] == 1
    assert read(f"exim[9]: [2\\2] {arrived()}", prefix=prefix)["accounts"] == {}


def test_refusals_are_counted_as_postfixs_and_end_when_mail_is_taken():
    end = "SMTP error from remote mail server after pipelined MAIL FROM:<m@alpha.test> SIZE=99: "
    one = f"{OLD} {TO}{end}{BLOCKED}"
    result = read(arrived(rest=" for x@dest1.world.test"), one, one, addresses=["198.51.100.11"])
    (row,) = result["refusals"]
    assert (row["address"], row["code"], row["count"], row["domains"]) == ("198.51.100.11", "S3150", 2, ["dest1.world.test"])
    assert row["accepted"] is None
    assert "S3150" in row["sample"]
    taken = f"{OLD} => x@dest1.world.test R=dnslookup T=remote_smtp H=mx.dest1.world.test [203.0.113.25]:25"
    (row,) = read(arrived(), one, taken, addresses=["198.51.100.11"])["refusals"]
    assert row["accepted"] == NOW + 2


def test_what_is_under_way_goes_on_in_the_next_run(tmp_path):
    path = str(tmp_path / "book.db")
    first = Book(path)
    log_of(arrived(), f"{OLD} == a@x R=r T=t defer (-53): later", book=first).finish()
    first.commit()
    first.close()
    result = read(f"{OLD} => a@x R=r T=t H=h [203.0.113.25]", f"{OLD} => b@x R=r T=t", f"{OLD} Completed", book=Book(path))
    assert (result["accounts"][USER]["messages"], result["accounts"][USER]["recipients"]) == (1, 2)


def test_what_an_account_did_before_it_was_reinstated_is_not_counted():
    log = MailLog(NOW + 3600, NOW - 3600)
    log.forgive({USER: NOW + 60})
    log.feed(f"2026-11-24 06:00:30 {arrived()}")
    assert log.result()["accounts"] == {}
    log.feed(f"2026-11-24 06:02:30 {arrived(NEW)}")
    assert log.result()["accounts"][USER]["messages"] == 1


STORY = [
    arrived(),
    arrived(NEW, rest=" for a@x b@x"),
    "1uXw12-000AAA-1B <= www-data@mx1 U=www-data P=local S=400",
    f"{OLD} == a@x R=r T=t defer (-53): retry time not reached for any host",
    f"{NEW} => a@x R=r T=t H=h [203.0.113.25]",
    f"{OLD} => b@x R=r T=t H=h [203.0.113.25]",
    f"{OLD} == a@x R=r T=t defer (-53): retry time not reached for any host",
    "1uXw12-000AAA-1B -> c <c@x> R=r T=t",
    f"{OLD} {TO}{AFTER}{BLOCKED}",
    f"{OLD} => a@x R=r T=t H=h [203.0.113.25]",
    f"{OLD} Completed",
    f"{NEW} {TO}{AFTER}550 5.1.1 x",
    f"{NEW} Completed",
    "1uXw12-000AAA-1B Completed",
]


@pytest.mark.parametrize("cut", range(len(STORY) + 1))
def test_a_log_that_is_read_in_two_runs_gives_what_one_gives(tmp_path, cut):
    def told(result: dict) -> dict:
        return {name: {**account, "evidence": None} for name, account in result["accounts"].items()}

    path = str(tmp_path / "book.db")
    for messages in (STORY[:cut], STORY[cut:]):
        book = Book(path)
        result = read(*messages, book=book, prefix="2026-11-24 06:00:00 ")
        book.commit()
        book.close()
    assert told(result) == told(read(*STORY, prefix="2026-11-24 06:00:00 "))
    assert [result["accounts"][name]["recipients"] for name in (USER, "uid:www-data")] == [3 + 2, 1]


@pytest.mark.parametrize("name", ["SNI", "DN"])
def test_a_name_in_quotes_is_no_login(name):
    line = (
        f'2026-11-24 05:30:00 1pFz3Q-0004tC-2A <= a@b H=(h) [203.0.113.7]:5 P=esmtps X=TLS1.3:A:256 CV=no {name}="x P=esmtpsa '
        'A=plain:victim@x S=10 " S=900 id=x'
    )
    log = MailLog(NOW, NOW - 86400)
    log.feed(line)
    assert log.result()["accounts"] == {}

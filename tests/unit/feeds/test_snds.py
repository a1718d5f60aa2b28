# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime
import json
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from goodstanding_src.module_utils.goodstanding.feeds import snds
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[3]
LEGACY = (
    "198.51.100.11,12/31/2019 7:00 PM,1/1/2020 6:59 PM,1204,1190,1201,RED,0.4%,12/31/2019 9:15 PM,1/1/2020 3:40 AM,3,"
    "mx1.example.test,bounce@alpha.test,\r\n"
    "198.51.100.12,12/31/2019 7:00 PM,1/1/2020 6:59 PM,420,418,419,GREEN,< 0.1%,,,0,mx2.example.test,news@alpha.test,shared, see note\r\n"
)
PORTAL = (
    "\ufeffIp Address,Activity period,RCPT commands,DATA commands,Message recipients,Filter result,Complaint rate,Trap message period,"
    "Trap hits,JMR P1 Sender,Comments\r\n"
    '198.51.100.11,"6/9/2026 12:00 AM - 6/9/2026 11:59 PM","1,204",1190,1201,Yellow,0.4%,6/9/2026 9:15 PM - 6/9/2026 10:40 PM,3,'
    "bounce@alpha.test,\r\n"
)
REST = json.dumps({"value": [
    {"ipAddress": "198.51.100.11", "activityPeriod": "2026-06-09T00:00:00 - 2026-06-09T23:59:00", "rcptCommands": 1204,
     "dataCommands": 1190, "messageRecipients": 1201, "filterResult": "Red", "complaintRate": "< 0.1%",
     "trapMessagePeriod": None, "trapHits": 0,
     "jmrP1Sender": "bounce@alpha.test", "comments": "", "somethingNew": {"a": 1}},
]})  # fmt: skip


def test_the_csv_of_14_columns_without_a_header():
    red, green = snds.parse_data(LEGACY).rows
    assert red == {
        "address": "198.51.100.11", "start": "2019-12-31T19:00", "end": "2020-01-01T18:59", "rcpt_commands": 1204, "data_commands": 1190,
        "message_recipients": 1201, "trap_hits": 3, "filter_result": "red", "complaint_rate": 0.4, "complaint_rate_below": False,
        "trap_start": "2019-12-31T21:15", "trap_end": "2020-01-01T03:40", "sample_helo": "mx1.example.test",
        "sample_mail_from": "bounce@alpha.test", "comments": None,
    }  # fmt: skip
    # sndslib is off by one in the last columns, OVH's client loses the afternoon.
    assert (green["sample_helo"], green["sample_mail_from"], green["comments"]) == (
        "mx2.example.test",
        "news@alpha.test",
        "shared, see note",
    )
    assert (green["complaint_rate"], green["complaint_rate_below"], green["trap_start"]) == (0.1, True, None)


def test_the_csv_of_11_columns_with_a_header():
    (row,) = snds.parse_data(PORTAL).rows
    assert (row["address"], row["start"], row["end"]) == ("198.51.100.11", "2026-06-09T00:00", "2026-06-09T23:59")
    assert (row["rcpt_commands"], row["filter_result"], row["trap_hits"]) == (1204, "yellow", 3)
    assert (row["sample_helo"], row["sample_mail_from"], row["trap_start"]) == (None, "bounce@alpha.test", "2026-06-09T21:15")


def test_columns_are_found_by_their_names():
    head, row = PORTAL.split("\r\n")[:2]
    cells, names = row.split(",6/9", 1)[0], head.lstrip("\ufeff").split(",")
    assert cells
    turned = f"{','.join(reversed(names))}\r\n,b@x,3,,0.4%,RED,9,8,7,6/9/2026,198.51.100.11\r\n"
    (row,) = snds.parse_data(turned).rows
    assert (row["address"], row["filter_result"], row["trap_hits"], row["rcpt_commands"]) == ("198.51.100.11", "red", 3, 7)


@pytest.mark.parametrize(
    "wrap", [lambda rows: rows, *[lambda rows, name=name: {name: rows} for name in ("value", "items", "data", "results")]]
)
def test_the_json_of_the_portal_however_it_is_wrapped(wrap):
    (row,) = snds.parse_data(json.dumps(wrap(json.loads(REST)["value"]))).rows
    assert (row["address"], row["start"], row["end"]) == ("198.51.100.11", "2026-06-09T00:00", "2026-06-09T23:59")
    assert (row["filter_result"], row["message_recipients"], row["complaint_rate_below"], row["trap_hits"]) == ("red", 1201, True, 0)
    other = {"IP Address": "2001:DB8::1", "DataCommands": "5", "filter_result": "GREEN"}
    assert snds.parse_data(json.dumps(wrap([other]))).rows[0]["address"] == "2001:db8::1"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("198.51.100.0,198.51.100.255,Yes,Blocked due to user complaints or other evidence of spamming\r\n",
         [("198.51.100.0", "198.51.100.255", "blocked")]),
        ("198.51.100.11,198.51.100.11,Yes,Junked due to spam\r\n198.51.100.12,198.51.100.12,No,fine\r\n",
         [("198.51.100.11", "198.51.100.11", "junked")]),
        ("198.51.100.11,198.51.100.11,No,Junked due to user complaints or other evidence of spamming\r\n",
         [("198.51.100.11", "198.51.100.11", "junked")]),
        ("198.51.100.11,198.51.100.11,Yes,Bot\r\n198.51.100.12,198.51.100.12,Yes,else\r\n",
         [("198.51.100.11", "198.51.100.11", "bot"), ("198.51.100.12", "198.51.100.12", "blocked")]),
        ("Beginning IP address,Ending IP address,Blocked,Reason\n198.51.100.11,198.51.100.12,Yes,x\n",
         [("198.51.100.11", "198.51.100.12", "blocked")]),
        ("IP Address,Status,Details\n198.51.100.11,Bot,x\n198.51.100.12,Junked,y\n198.51.100.13,Normal,\n",
         [("198.51.100.11", "198.51.100.11", "bot"), ("198.51.100.12", "198.51.100.12", "junked")]),
        ('[{"beginningIpAddress": "198.51.100.11", "endingIpAddress": "198.51.100.12", "blocked": true, "reason": "x"}]',
         [("198.51.100.11", "198.51.100.12", "blocked")]),
        ('{"items": [{"ip": "198.51.100.11", "status": "Bot", "reason": null}, {"ip": "198.51.100.12", "blocked": false}]}',
         [("198.51.100.11", "198.51.100.11", "bot")]),
        ("", []),
        ("[]", []),
        ("{}", []),
    ],
)  # fmt: skip
def test_the_status_feed(text, rows):
    parsed = snds.parse_status(text)
    assert [(row["first"], row["last"], row["status"]) for row in parsed.rows] == rows
    assert parsed.bad == 0


@pytest.mark.parametrize("parse", [snds.parse_data, snds.parse_status])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!DOCTYPE html><title>Sign in to your Microsoft account</title>", "it is a web page and no data"),
        ("\r\n  <html>", "it is a web page"),
        ('{"error": ', "it begins like JSON and is none"),
        ("[" * 100_000, "it begins like JSON and is none"),
        ('{"error": {"code": "x"}}', "none of its 1 rows can be read"),
        ("Service unavailable\r\n", "none of its 1 rows can be read"),
        ("a,b,c\r\n" * 1000, "none of its 1000 rows can be read"),
    ],
)
def test_what_snds_does_not_send_is_said_to_be_that(parse, text, words):
    with pytest.raises(snds.SndsError, match=words):
        parse(text)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("198.51.100.300,a,b,1,1,1,RED,0.4%,,,0,h,m,", "no address"),
        ("198.51.100.11,a,b,1,1,1,PURPLE,0.4%,,,0,h,m,", "its filter result is 'purple'"),
        ("198.51.100.11,a,b,1,1,1,RED", "it has 7 fields instead of 14"),
        ("198.51.100.11,a,b,1,1,1,RED,0.4%,,,0,h,m," + "c" * 200_000, "it is no CSV"),
    ],
)
def test_a_bad_row_is_named_and_hides_no_other(row, reason):
    parsed = snds.parse_data(f"{LEGACY}{row}\r\n")
    assert (len(parsed.rows), parsed.bad) == (2, 1)
    assert reason in parsed.unreadable[0][1]
    assert parsed.unreadable[0][0] == 3


@pytest.mark.parametrize(
    ("rate", "expected"),
    [("0.4%", (0.4, False)), ("< 0.1%", (0.1, True)), ("<0.1%", (0.1, True)), ("0.3", (0.3, False)), ("", (None, False)),
     ("nan", (None, False)),
     ("900%", (None, False)), ("-1%", (None, False))],
)  # fmt: skip
def test_complaint_rates(rate, expected):
    (row,) = snds.parse_data(f"198.51.100.11,a,b,1,1,1,RED,{rate},,,0,h,m,").rows
    assert (row["complaint_rate"], row["complaint_rate_below"]) == expected
    assert (row["start"], row["rcpt_commands"]) == (None, 1)


def test_strangers_words_are_bounded_and_one_line():
    (row,) = snds.parse_data('198.51.100.11,a,b,x,1,1,RED,,,,0,"h\x1b[31m\nx",' + "m" * 900 + ',"<script>"').rows
    assert row["sample_helo"] == "h?[31m?x"
    assert (len(row["sample_mail_from"]), row["comments"], row["rcpt_commands"]) == (snds.MAX_TEXT, "<script>", None)


@given(
    st.lists(st.sampled_from([*LEGACY.split(","), *PORTAL.split(","), *REST.split(","), '"', ",", "\r\n", "\0", "[", "{"])).map("".join)
    | st.text()
)
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_named(text):
    for parse in (snds.parse_data, snds.parse_status):
        with contextlib.suppress(snds.SndsError):
            json.dumps(parse(text))


TODAY = datetime.date(2026, 11, 25)


def ago(days: int) -> datetime.date:
    return TODAY - datetime.timedelta(days)


@pytest.mark.parametrize(
    ("link", "answered", "state"),
    [
        (snds.Link(TODAY), True, "current"),
        # It never answered: quiet, or dead; nobody knows.
        (snds.Link(TODAY), False, "no_data"),
        (snds.Link(ago(30)), False, "no_data"),
        (snds.Link(ago(31)), False, "expired"),
        (snds.Link(TODAY, ago(31)), False, "expired"),
        (snds.Link(TODAY, ago(29)), False, "no_data"),
        # What answers lives, whatever the calendar says.
        (snds.Link(ago(40)), True, "current"),
        # Silence within what it was before, and beyond.
        (snds.Link(ago(9), None, ago(3)), False, "no_data"),
        (snds.Link(ago(9), None, ago(4)), False, "expired"),
        (snds.Link(ago(20), None, ago(6), 5), False, "no_data"),
        (snds.Link(ago(20), None, ago(8), 5), False, "expired"),
    ],
)
def test_whether_a_link_still_lives(link, answered, state):
    assert snds.judge(link, answered, TODAY)[0] == state


def test_a_link_is_learned_by_its_days():
    link = snds.learn(snds.Link(ago(20)), [ago(12), ago(11), ago(8)])
    assert link == snds.Link(ago(20), None, ago(8), 3)
    link = snds.learn(link, [ago(2)])
    assert (link.last_day, link.longest_gap) == (ago(2), 6)
    assert snds.learn(link, []) == link
    assert snds.judge(link, True, TODAY)[1] is None
    assert "26 days old" in (snds.judge(snds.Link(ago(26)), True, TODAY)[1] or "")


def test_the_latest_period_of_an_address_counts():
    rows = [{"address": "a", "start": day} for day in ("2026-06-08T00:00", "2026-06-10T00:00", None, "2026-06-09T00:00")]
    assert snds.newest(rows) == [rows[1]]


def test_the_role_takes_the_day_as_yaml_reads_it():
    spec = yaml.safe_load((ROOT / "roles/reputation/meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    enrolled = yaml.safe_load("[{name: example, data_url: 'https://x.test/?k=1', made: 2026-11-03}]")
    checked = ArgumentSpecValidator({"reputation_snds": spec["reputation_snds"]}).validate({"reputation_snds": enrolled})
    assert checked.error_messages == []

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of messages and failed logins by the hour."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.report import activity, files, redact

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "page"))
import reports

TEMPLATE = str(Path(__file__).resolve().parents[3] / "roles/report/templates/report.html.j2")


def boxes(path):
    """The bars of a path as (left, top, width, height)."""
    found = [tuple(map(int, box)) for box in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)H\d+z", path)]
    assert "".join(f"M{x} {y}h{w}v{h}H{x}z" for x, y, w, h in found) == path
    return found


def test_bars_stand_where_their_hours_are_and_stay_in_their_box():
    axis = activity.Axis(0.0, 3600, 10 * 3600.0)
    most, small = boxes(axis.bars([0, 100, 0, 1], 100, activity.TALL))
    assert most == (95, 0, 95, activity.TALL)
    assert (small[0], small[1], small[3]) == (286, activity.TALL - 1, 1), "what is there is seen"
    ((x, y, w, h),) = boxes(axis.bars([50], 50, -activity.LOW))
    assert (x, y, w, h) == (0, 0, 95, activity.LOW), "failed logins hang down"
    ((x, y, w, h),) = boxes(axis.bars([50], 100, activity.TALL, [50]))
    assert (y, h) == (0, 20), "on the other half"
    for under, number in ((0, 100), (1, 99), (99, 1), (100, 0)):
        found = boxes(axis.bars([number], 100, activity.TALL, [under]))
        assert all(y >= 0 and y + h <= activity.TALL for _, y, _, h in found)


def test_the_bar_of_the_last_hour_ends_with_the_last_message_and_what_is_not_over_yet_is_not_drawn():
    axis = activity.Axis(0.0, 3600, 9 * 3600.0 + 1800)
    whole, cut = boxes(axis.bars([1] * 9 + [1], 1, activity.TALL)), boxes(axis.bars([1] * 9, 1, activity.TALL, until=8 * 3600.0 + 900))
    assert whole[-1][2] == pytest.approx(whole[0][2] / 2, abs=1)
    assert cut[-1][2] == pytest.approx(cut[0][2] / 4, abs=1)
    assert [box[2] for box in cut[:-1]] == [box[2] for box in whole[:8]]


@pytest.mark.parametrize(
    ("accepted", "state", "text"),
    [
        ([0], "good", "nothing of the locked account since"),
        ([0, 0], "good", "nothing of the locked accounts since"),
        ([0, None], "open", "not known what came of the locked accounts since"),
        ([1200, None], "bad", "1,200 messages of the locked accounts since"),
    ],
)
def test_what_came_after_the_lock_is_said_and_not_known_is_never_nothing(accepted, state, text):
    document = reports.demo()
    (lock,) = document["locks"]
    entry = next(each for each in lock["hosts"] if each["host"] == "mx1.example.test")
    document["locks"] = [
        {**lock, "account": f"a{place}@x", "hosts": [{**entry, "accepted_after_lock": number}]} for place, number in enumerate(accepted)
    ]
    document["accounts"][0]["hosts"] = []
    row = next(row for row in activity.build(document)["rows"] if row["name"] == "mx1.example.test")
    assert row["after"] == {"state": state, "text": text}
    assert row["words"].endswith(text)
    page = files.as_page(document, TEMPLATE)
    assert f'<text class="said {state}"' in page


def test_a_row_says_what_it_shows():
    first = activity.build(reports.demo())["rows"][0]
    assert first["words"] == (
        "at most 587 messages an hour, 540 in all of accounts that stand out or are locked; at most 18 failed logins an hour; their last "
        "message accepted 2026-11-24 05:58:18; locked 2026-11-24 06:00:18; nothing of the locked account since"
    )
    assert 90 < first["last"] < first["locked"][0] < 96


def test_a_lock_from_before_the_window_is_at_its_begin_and_a_host_without_one_says_nothing():
    document = reports.demo()
    for row in (*document["locks"][0]["hosts"], *document["accounts"][0]["hosts"]):
        row["locked_at"] = "2026-11-01T00:00:00.000000Z"
    assert activity.build(document)["rows"][0]["locked"] == [0]
    document.update(locks=[], accounts=document["accounts"][1:])
    assert {row["after"] for row in activity.build(document)["rows"]} == {None}


def test_there_is_no_picture_where_nobody_stands_out_or_no_log_was_read():
    document = reports.demo()
    document.update(locks=[], accounts=[])
    assert activity.build(document) is None
    assert activity.build(reports.nobody()) is None
    assert 'id="by-hour"' not in files.as_page(reports.nobody(), TEMPLATE)


def test_many_hosts_and_a_long_window_stay_small():
    document = reports.demo()
    counts = [1000 - number for number in range(200)]
    row = {"messages": counts, "named": counts, "failed_logins": counts}
    document["activity"] |= {
        "step": 8 * 3600, "hosts": [{"host": f"mx{number}", **row, "last_accepted": None} for number in range(12)],
        "others": {"hosts": 988, **row}, "unread": 3,
    }  # fmt: skip
    found = activity.build(document)
    assert (len(found["rows"]), len(found["table"]), found["more"], found["step"]) == (13, 500, 2100, "8 hours")
    page = files.as_page(document, TEMPLATE)
    assert len(page) - len(files.as_page(reports.demo(), TEMPLATE)) < 250_000
    assert "988 other hosts together" in page
    assert "The logs of 3 hosts could not be read" in page


def test_names_of_hosts_are_text_and_others_read_no_account():
    document = reports.demo()
    document["activity"]["hosts"][0]["host"] = '"><script>x</script>'
    page = files.as_page(document, TEMPLATE)
    assert "<script>x" not in page
    assert page.count("&#34;&gt;&lt;script&gt;x&lt;/script&gt;") >= 3
    told = redact.redacted(reports.demo())
    assert told["activity"] == reports.demo()["activity"]
    assert "mallory" not in str(told["accounts"][0]["last_accepted"])

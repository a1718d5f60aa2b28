# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts of main.cf, master.cf and the map: ours behind the administrator's, and taken out to the byte."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.accounts import postfix_conf
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.shaping import transports as conf
from goodstanding_src.module_utils.goodstanding.shaping.settings import transports
from goodstanding_src.module_utils.goodstanding.shaping.transports import MAP, Transport
from hypothesis import given
from hypothesis import strategies as st

BASE = "smtp       unix  -       -       y       -       -       smtp -o smtp_bind_address=198.51.100.11"
TWO = [Transport("google", 2, 1), Transport("office365", 3, 3, 2, 0, True)]
LINES = conf.parameters(TWO, "smtp", {"smtp_destination_recipient_limit"}, 5)


def value(text: str, name: str = "transport_maps") -> list[str]:
    """Read a parameter as Postfix does: the last one counts, lines that begin with a space go on, comments are nothing."""
    found = ""
    logical: list[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and logical:
            logical[-1] += line
        else:
            logical.append(line)
    for line in logical:
        key, equals, rest = line.partition("=")
        if equals and key.strip() == name:
            found = rest
    return conf.words(found)


MAINS = [
    "", "# only a comment", "myhostname = a\n", "transport_maps =\n", "transport_maps = \n", "transport_maps=hash:/a",
    "transport_maps = hash:/a,\n", "transport_maps = hash:/a, \n",
    "transport_maps = hash:/a,\n    # between\n\n  lmdb:/b\n# end\nmyhostname = x\n",
    "transport_maps =\n  hash:/a\n", "transport_maps =\n# none\n\nmyhostname = x\n",
    "transport_maps = hash:/a\ntransport_maps = hash:/b  \n",
    "transport_maps = inline:{ {a.test=smtp:}, {b.test=smtp:} }\n", "transport_maps\t=\thash:/a\t# no comment\n",
    "a = b\r\ntransport_maps = hash:/a\r\n",
    "relay_transport_maps = hash:/c\n# transport_maps = hash:/d\n", f"transport_maps = {MAP}_other, hash:/a\n",
]  # fmt: skip


@pytest.mark.parametrize("text", MAINS)
def test_main_gets_the_map_last_and_gives_it_back(text):
    plumbed = conf.plumb_main(text, LINES)
    assert value(plumbed)[-1] == MAP
    assert value(plumbed)[:-1] == value(text)
    assert value(plumbed, "goodstanding-office365_transport_rate_delay") == ["2s"]
    assert conf.plumb_main(plumbed, LINES) == plumbed
    assert conf.unplumb_main(plumbed) == text
    other = conf.plumb_main(plumbed, LINES[:3])
    assert conf.unplumb_main(other) == text


LINE = st.sampled_from(
    [
        "transport_maps = hash:/a",
        "transport_maps =",
        "  hash:/c,",
        "\tlmdb:/d",
        "# x",
        "",
        " ",
        "myhostname = a",
        "  # y",
        "transport_maps=pcre:/e,",
    ]
)


@given(st.lists(LINE, max_size=8).map("\n".join), st.booleans())
def test_any_main_is_given_back_to_the_byte(text, ended):
    text += "\n" if ended else ""
    plumbed = conf.plumb_main(text, LINES)
    assert conf.unplumb_main(plumbed) == text
    assert conf.plumb_main(plumbed, LINES) == plumbed
    assert value(plumbed) == [*value(text), MAP]


@pytest.mark.parametrize("text", MAINS)
def test_the_lock_and_the_transports_go_in_any_order(text):
    for both in (postfix_conf.plumb_main(conf.plumb_main(text, LINES)), conf.plumb_main(postfix_conf.plumb_main(text), LINES)):
        # Each finds its own in place, and moves nothing.
        assert conf.plumb_main(both, LINES) == postfix_conf.plumb_main(both) == both
        fewer = conf.plumb_main(both, LINES[:4])
        assert postfix_conf.plumb_main(fewer) == fewer
        without_lock, without_transports = postfix_conf.unplumb_main(both), conf.unplumb_main(both)
        assert value(without_lock) == [*value(text), MAP]
        assert value(without_transports) == value(text)
        assert postfix_conf.unplumb_main(without_transports) == conf.unplumb_main(without_lock) == text


@pytest.mark.parametrize("text", ["", "smtp inet n - y - - smtpd\n", "smtp unix - - y - - smtp\n  -o a=b"])
def test_master_gets_a_service_for_each_and_gives_it_back(text):
    plumbed = conf.plumb_master(text, conf.services(TWO, BASE))
    assert conf.names(plumbed) == {"goodstanding-google", "goodstanding-office365"}
    assert conf.names(text) == set()
    # The administrator's options stand first, and nothing of ours is about where mail leaves.
    assert "goodstanding-google unix - - y - 2 smtp\n  -o smtp_bind_address=198.51.100.11\n  -o syslog_name=" in plumbed
    assert conf.plumb_master(plumbed, conf.services(TWO, BASE)) == plumbed
    assert conf.unplumb_master(plumbed) == text


def test_what_somebody_wrote_below_stays_a_line_of_its_own():
    plumbed = conf.plumb_main("a = b", LINES) + "c = d\n"
    assert value(conf.unplumb_main(plumbed), "a") == ["b"]
    assert value(conf.unplumb_main(plumbed), "c") == ["d"]


def test_a_transport_has_what_the_one_that_it_stands_for_has():
    assert "goodstanding-google_destination_recipient_limit = $smtp_destination_recipient_limit\n" in LINES
    # A warm-up counts recipients, so that limit is its own.
    assert "goodstanding-office365_destination_recipient_limit = 1\n" in LINES
    assert not any("recipient_limit" in line for line in conf.parameters(TWO[:1], "smtp", set(), 5))
    assert "goodstanding-google_initial_destination_concurrency = 1\n" in LINES


def test_the_map_reads_as_it_was_written():
    domains = {"b.test": "goodstanding-google", "a.test": "goodstanding-office365"}
    text = conf.write_map(domains)
    assert text.splitlines()[1:] == ["a.test goodstanding-office365:", "b.test goodstanding-google:"]
    assert conf.read_map(text) == domains
    assert conf.read_map("a.test\tgoodstanding-office365:\n") == {"a.test": "goodstanding-office365"}


def test_settings_become_transports():
    given_, rates = (
        {"google": {"concurrency": 4}, "outlook": {"concurrency": "5", "domain_concurrency": 9, "transport_rate_delay": 3}},
        {"outlook": 1000},
    )
    assert transports(given_, rates) == [Transport("google", 4, 4), Transport("outlook", 5, 5, 87, 0, True)]
    # The slower one counts; a rate that no delay expresses sets none.
    assert transports({"outlook": {"concurrency": 1, "transport_rate_delay": 99}}, {"outlook": 1000})[0].transport_rate_delay == 99
    assert transports({"outlook": {"concurrency": 1}}, {"outlook": 90000}) == [Transport("outlook", 1, 1)]


@pytest.mark.parametrize(
    ("receivers", "rates", "why"),
    [
        ({}, {}, "receivers is empty"),
        ({"Out look": {"concurrency": 1}}, {}, "by its id"),
        ({"outlook": 5}, {}, "by its id"),
        ({"outlook": {}}, {}, "concurrency is None"),
        ({"outlook": {"concurrency": 0}}, {}, "from 1 to 1000"),
        ({"outlook": {"concurrency": True}}, {}, "whole number"),
        ({"outlook": {"concurrency": 1.5}}, {}, "whole number"),
        ({"outlook": {"concurrency": 1, "rate": 3}}, {}, "rate is no limit"),
        ({"outlook": {"concurrency": "1\nx = y"}}, {}, "whole number"),
        ({"outlook": {"concurrency": 1}}, {"google": 5}, "rates name google"),
        ({"outlook": {"concurrency": 1}}, {"outlook": 0}, "the rate is 0"),
        ({f"r{number}": {"concurrency": 1} for number in range(33)}, {}, "more than 32"),
    ],
)
def test_what_is_unusable_is_refused(receivers, rates, why):
    with pytest.raises(HostError, match=why):
        transports(receivers, rates)

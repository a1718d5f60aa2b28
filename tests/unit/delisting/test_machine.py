# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests from the listed address itself, against a server that looks at the source address. All of 127.0.0.0/8 is this host's."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.delisting import machine

sys.path.insert(0, str(Path(__file__).parents[2] / "servers"))
import removal_server
import snds_server

LISTED = "127.0.0.2"


@pytest.fixture
def server():
    with removal_server.serving(LISTED, "127.0.0.3") as played:
        yield played


def test_the_listed_address_is_taken_out_because_it_is_the_one_that_asks(server):
    outcome = machine.ask(server.url, LISTED)
    assert (outcome.state, server.listed) == ("sent", {"127.0.0.3"})
    assert outcome.detail.endswith("answers HTTP 200: rblremove 127.0.0.2 has been removed .")
    assert server.asked == [(LISTED, removal_server.PATH)]


@pytest.mark.parametrize(("status", "state"), [(404, "not_sent"), (403, "not_sent"), (500, "unknown"), (503, "unknown")])
def test_what_the_server_did_not_take_is_told_from_what_it_may_have_taken(server, status, state):
    server.answer = (status, {}, "<p>not\x1b[31m today</p>")
    outcome = machine.ask(server.url, LISTED)
    assert (outcome.state, len(server.asked)) == (state, 1)
    assert outcome.detail.endswith(f"answers HTTP {status}: not [31m today")


def test_a_redirect_is_followed_on_the_same_host_alone(server):
    server.answer = (301, {"Location": "https://elsewhere.example/rblremove"}, "")
    outcome = machine.ask(server.url, LISTED)
    assert outcome.state == "not_sent"
    assert "to https://elsewhere.example/rblremove: it is not followed to another place" in outcome.detail
    server.answer = (302, {"Location": "//127.0.0.9/"}, "")
    assert machine.ask(server.url, LISTED).state == "unknown", "it may have done it, and say so elsewhere"
    server.asked.clear()
    server.answer = (301, {"Location": "/round"}, "")
    assert machine.ask(server.url, LISTED).detail.endswith("redirects on and on")
    assert [path for _, path in server.asked] == [removal_server.PATH, "/round", "/round"]


def test_a_server_that_drips_or_says_too_much_ends_in_time(server):
    server.answer = removal_server.drip
    assert machine.ask(server.url, LISTED, timeout=0.3).state == "sent", "the status says so, whatever comes behind it"
    assert server.dripped < 100, "it was not waited for to the end"
    server.answer = (200, {}, "word " * 100_000)
    assert len(machine.ask(server.url, LISTED).detail) < machine.MOST_LETTERS + 100


def test_a_server_that_goes_away_after_it_was_asked_may_have_done_it(server):
    server.answer = lambda handler: handler.connection.shutdown(2)
    assert machine.ask(server.url, LISTED).state == "unknown"


def test_where_nobody_listens_nothing_was_sent(server):
    server.shutdown()
    server.server_close()
    assert machine.ask(server.url, LISTED).state == "not_sent"


def test_a_certificate_that_is_not_trusted_is_sent_nothing(tmp_path):
    certificate, key = snds_server.certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with removal_server.serving(LISTED) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = server.url.replace("http:", "https:")
        outcome = machine.ask(url, LISTED)
        assert (outcome.state, "certificate" in outcome.detail, server.listed) == ("not_sent", True, {LISTED})
        assert machine.ask(url, LISTED, ca_file=str(certificate)).state == "sent"
        assert server.listed == set()


def test_a_host_that_does_not_have_the_address_says_so(server):
    outcome = machine.seen("192.0.2.1")
    assert outcome.state == "not_sent"
    assert "cannot send from 192.0.2.1 (Cannot assign requested address); behind NAT" in outcome.detail
    assert machine.ask(server.url, "192.0.2.1").state == "not_sent"
    assert machine.seen(LISTED).state == "ready"
    assert server.asked == []


@pytest.mark.parametrize("url", ["ftp://x.test/", "x.test", "http://", "http://u:p@x.test/", "http://x.test/a b", "http://x.test:99999/"])
def test_what_is_no_url_is_named(url):
    with pytest.raises(machine.RequestError, match="no URL that can be asked"):
        machine.ask(url, LISTED)


def test_what_is_no_address_is_named():
    with pytest.raises(machine.RequestError, match=r"'mx1.example.com' is no address"):
        machine.seen("mx1.example.com")

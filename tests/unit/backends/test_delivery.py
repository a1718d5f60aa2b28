# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delivery is asked about before and after a lock; a lock that would bounce the owner's mail is set back, wherever a run ended."""

from __future__ import annotations

import socketserver
import threading

import pytest
from goodstanding_src.module_utils.goodstanding.accounts import transaction
from goodstanding_src.module_utils.goodstanding.backends import lock as backend
from goodstanding_src.module_utils.goodstanding.backends.delivery import Probe, bounced
from goodstanding_src.module_utils.goodstanding.host import files, journal
from goodstanding_src.module_utils.goodstanding.host.files import HostError

A, B = "alice@alpha.test", "bob@alpha.test"


class Smtp:
    """An SMTP server on loopback that answers RCPT TO as it is told and notes what it was asked."""

    def __init__(self):
        self.codes: dict[str, list[int]] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"220 mx ESMTP\r\n")
                for line in self.rfile:
                    words = line.decode().strip()
                    outer.asked.append(words)
                    code = 250
                    if words.upper().startswith("RCPT"):
                        codes = outer.codes.get(words.split("<")[1].rstrip(">"), [550])
                        code = codes.pop(0) if len(codes) > 1 else codes[0]
                    self.wfile.write(b"%d said\r\n" % (221 if words.upper() == "QUIT" else code))
                    if words.upper() == "QUIT":
                        return

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def smtp():
    server = Smtp()
    yield server
    server.server.shutdown()
    server.server.server_close()


def probe(place: str | None, known: set[str] | None = None) -> Probe:
    def run(words, data=None):
        return (0 if known and words[-1] in known else 67), "", ""

    return Probe(run, place, known is not None, pause=0)


def test_rcpt_is_asked_with_the_null_sender_and_nothing_is_sent(smtp):
    smtp.codes = {A: [250], B: [451, 451, 250]}
    answers = probe(smtp.place).look([A, B, "carol@alpha.test"])
    assert {account: answer["rcpt"] for account, answer in answers.items()} == {A: "accepted", B: "accepted", "carol@alpha.test": "refused"}
    commands = [words.split(":")[0].split()[0].upper() for words in smtp.asked]
    assert "DATA" not in commands
    assert {words.upper() for words in smtp.asked if words.upper().startswith("MAIL")} == {"MAIL FROM:<>"}


def test_a_server_that_takes_anyone_or_answers_4xx_or_is_away_tells_nothing(smtp):
    smtp.codes = {A: [250], "goodstanding-no-such-user@alpha.test": [250], B: [451]}
    assert [answer["rcpt"] for answer in probe(smtp.place).look([A, B]).values()] == ["unknown", "unknown"]
    assert probe("127.0.0.1:1").look([A])[A] == {"rcpt": "unknown", "userdb": "unknown"}
    assert probe("").look([A])[A] == {"rcpt": "unknown", "userdb": "unknown"}


def test_dovecots_userdb_is_asked_too():
    assert [answer["userdb"] for answer in probe("", {A}).look([A, B]).values()] == ["accepted", "refused"]
    anyone = {A, "goodstanding-no-such-user@alpha.test"}
    assert probe("", anyone).look([A])[A]["userdb"] == "unknown", "a static userdb knows everyone"


@pytest.mark.parametrize("place", ["localhost", ":25", "x:y"])
def test_a_place_that_is_none_is_named(place):
    with pytest.raises(HostError, match="expected HOST:PORT"):
        probe(place)


def test_only_what_was_taken_before_can_bounce():
    yes, no, perhaps = {"rcpt": "accepted"}, {"rcpt": "refused"}, {"rcpt": "unknown"}
    before = {"a": yes, "b": no, "c": perhaps, "d": yes, "e": yes}
    after = {"a": no, "b": no, "c": no, "d": perhaps, "e": yes, "f": no}
    assert bounced(before, after) == {"a": ["rcpt"]}


class Table:
    """A step whose lock may turn mail away."""

    name, own = "backend:mail", False

    def __init__(self, smtp, bounces):
        self.fields = {A: {"active": "1"}, B: {"active": "1"}}
        self.smtp, self.bounces, self.crash = smtp, bounces, False

    def read(self, accounts):
        return {account: dict(self.fields[account]) if account in self.fields else None for account in accounts}

    def lock(self, accounts):
        self._set({account: {"active": "0"} for account in accounts})

    def restore(self, before):
        self._set(before)

    def expected(self, fields):
        return {"active": "0"}

    def way(self):
        return "the statement UPDATE mailbox"

    def _set(self, rows):
        for account, fields in rows.items():
            self.fields[account] = dict(fields)
            self.smtp.codes[account] = [550 if self.bounces and fields["active"] == "0" else 250]


@pytest.fixture
def table(smtp, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "STATE", str(tmp_path / "state"))
    smtp.codes = {A: [250], B: [250]}
    return lambda bounces: Table(smtp, bounces)


def test_a_lock_that_leaves_delivery_alone_is_kept_and_proved_once(smtp, table):
    step = table(bounces=False)
    result = backend.lock(step, [A, "nobody@alpha.test"], "i1", probe(smtp.place), False)
    assert (result["accounts"], result["missing"], result["delivery"][A]["rcpt"]) == ([A], ["nobody@alpha.test"], "accepted")
    assert result["diff"] == {"before": f"{A}: active = 1\n", "after": f"{A}: active = 0\n"}
    lines, asked = journal.read().lines, len(smtp.asked)
    again = backend.lock(step, [A], "i2", probe(smtp.place), False)
    assert (again["changed"], journal.read().lines, len(smtp.asked)) == (False, lines, asked)
    assert backend.unlock(step, [A], "i3", False, False)["accounts"] == [A]
    assert step.fields[A] == {"active": "1"}


def test_a_lock_that_would_bounce_is_set_back_and_says_what_did_it(smtp, table):
    step = table(bounces=True)
    with pytest.raises(HostError, match=r"alice@alpha.test by RCPT TO.*set back.*the statement UPDATE mailbox.*smtp_active"):
        backend.lock(step, [A, B], "i1", probe(smtp.place), False)
    assert step.fields == {A: {"active": "1"}, B: {"active": "1"}}
    assert journal.read().opened == {}


@pytest.mark.parametrize("end", ["begun", "done", "proved"])
def test_a_run_that_ended_before_the_proof_is_made_up_for(smtp, table, monkeypatch, end):
    """The end comes before a line of the journal; only the run before the lock can have seen that mail was taken."""
    step = table(bounces=True)
    write = journal.write

    def ending(**entry):
        if entry["result"] == end or (end == "proved" and entry["result"] == "undone"):
            raise KeyboardInterrupt
        return write(**entry)

    monkeypatch.setattr(journal, "write", ending)
    with pytest.raises(KeyboardInterrupt):
        backend.lock(step, [A], "i1", probe(smtp.place), False)
    monkeypatch.setattr(journal, "write", write)
    with pytest.raises(HostError, match="refused after it"):
        backend.lock(step, [A], "i2", probe(smtp.place), False)
    assert step.fields[A] == {"active": "1"}
    assert journal.read().opened == {}


def test_check_mode_changes_nothing_asks_nobody_and_shows_what_would_be(smtp, table):
    step = table(bounces=True)
    result = backend.lock(step, [A], "i1", probe(smtp.place), True)
    assert (result["changed"], result["diff"]["after"]) == (True, f"{A}: active = 0\n")
    assert (step.fields[A], journal.read().lines, smtp.asked) == ({"active": "1"}, 0, [])
    backend.lock(step, [A], "i1", probe(""), False)
    result = backend.unlock(step, [A], "i1", True, False)
    assert (result["accounts"], result["diff"]["after"], step.fields[A]) == ([A], f"{A}: active = 1\n", {"active": "0"})


def test_what_was_changed_by_hand_is_refused_and_named(smtp, table):
    step = table(bounces=False)
    backend.lock(step, [A], "i1", probe(smtp.place), False)
    step.fields[A] = {"active": "2"}
    result = backend.unlock(step, [A], "i1", False, False)
    assert (result["changed"], step.fields[A]) == (False, {"active": "2"})
    assert "active=2 in backend:mail were changed by hand" in result["refused"][A]
    assert transaction.unlock(step, [A], "i1", force=True).changed == [A]

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is put into the signers' files, to the byte; what is said of a probe; the way back. The daemons are played."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.dkim import blocks, keys, milter, opendkim, rspamd, signing
from goodstanding_src.module_utils.goodstanding.dkim.plan import Signing, SigningKey
from goodstanding_src.module_utils.goodstanding.host import files
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from hypothesis import given
from hypothesis import strategies as st

RSA = SigningKey("r.mx1", "/etc/dkimkeys/r.pem", "rsa", b"", "r.mx1._domainkey.a.test")
ED = SigningKey("e.mx1", "/etc/dkimkeys/e.pem", "ed25519", b"", "e.mx1._domainkey.a.test")
A = Signing("a.test", (RSA,))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200), st.booleans())
def test_a_block_goes_out_to_the_byte(text, top):
    put = blocks.put(text, "line\n", top)
    assert blocks.take(put) == text and blocks.put(put, "line\n", top) == put and "line\n" in put


def test_a_file_that_was_not_there_is_gone_again_unless_somebody_wrote_into_it():
    put = blocks.put(None, "line\n")
    assert blocks.take(put) is None and blocks.take(put + "theirs\n") == "theirs\n"
    with pytest.raises(blocks.DamagedError):
        blocks.take(put.replace("# Good Standing: end\n", ""))


@pytest.fixture
def conf(tmp_path, monkeypatch):
    for name in ("CONF", "KEY_TABLE", "SIGNING_TABLE"):
        monkeypatch.setattr(opendkim, name, str(tmp_path / name.lower()))
    return tmp_path / "conf"


def texts(found):
    return {file.path.rsplit("/", 1)[1]: file.text for file in found}


def test_opendkim_gets_tables_of_our_own(conf):
    conf.write_text("UserID opendkim\nSocket local:/run/x")
    found = texts(opendkim.wanted(None, [A, Signing("b.test", (RSA,), True)], True))
    assert "r.mx1._domainkey.a.test a.test:r.mx1:/etc/dkimkeys/r.pem\n" in found["key_table"]
    assert "*@a.test r.mx1._domainkey.a.test\n" in found["signing_table"]
    assert "*@*.b.test r.mx1._domainkey.a.test\n" in found["signing_table"] and "*@*.a.test" not in found["signing_table"]
    conf.write_text(found["conf"])
    assert texts(opendkim.wanted(None, [], False)) == {
        "conf": "UserID opendkim\nSocket local:/run/x",
        "key_table": None,
        "signing_table": None,
    }


def test_the_single_key_that_a_keytable_switches_off_goes_on_signing(conf):
    conf.write_text("Domain b.test, a.test\nSelector old\nKeyFile /etc/dkimkeys/old.pem\nSubDomains yes\n")
    found = texts(opendkim.wanted(None, [A], True))
    assert "old._domainkey.b.test b.test:old:/etc/dkimkeys/old.pem\n" in found["key_table"]
    assert "*@b.test old._domainkey.b.test\n*@*.b.test old._domainkey.b.test\n" in found["signing_table"]
    assert "old._domainkey.a.test" not in found["key_table"]
    conf.write_text("Domain /etc/domains\nSelector old\nKeyFile /etc/dkimkeys/old.pem\n")
    with pytest.raises(HostError, match="by hand"):
        opendkim.wanted(None, [A], True)


@pytest.mark.parametrize("kind", ["refile:", "", "file:"])
def test_an_administrators_tables_keep_their_lines_behind_ours(conf, kind):
    table, signs = conf.parent / "t", conf.parent / "s"
    table.write_text("old b.test:old:/k\n")
    signs.write_text("*@* old")
    conf.write_text(f"KeyTable {table}\nSigningTable {kind}{signs}\n")
    found = texts(opendkim.wanted(None, [A], True))
    assert found["t"].endswith("old b.test:old:/k\n") and found["s"].endswith("*@* old")
    assert ("*@a.test r.mx1" in found["s"]) == (kind == "refile:") and "a.test r.mx1._domainkey.a.test\n" in found["s"]
    assert found["conf"] == conf.read_text()
    table.write_text(found["t"])
    signs.write_text(found["s"])
    back = texts(opendkim.wanted(None, [], False))
    assert (back["t"], back["s"]) == ("old b.test:old:/k\n", "*@* old")


def test_tables_that_are_no_files_are_left_to_a_person(conf):
    conf.write_text("KeyTable ldap://x\nSigningTable refile:/y\n")
    with pytest.raises(HostError, match="no file"):
        opendkim.wanted(None, [A], True)
    conf.write_text("KeyTable /x\n")
    with pytest.raises(HostError, match="only one of"):
        opendkim.wanted(None, [A], True)


def test_opendkim_leaves_the_ed25519_key_out_and_says_so():
    found, notes = opendkim.settle([Signing("a.test", (RSA, ED))])
    assert found == [A] and "left out" in notes[0]
    with pytest.raises(HostError, match="one RSA key, and 0"):
        opendkim.settle([Signing("a.test", (ED,))])
    with pytest.raises(HostError, match="no RSA key"):
        rspamd.settle([Signing("a.test", (ED,))])


@pytest.fixture
def lived(tmp_path, monkeypatch):
    """A folder of Rspamd, whose rspamadm is played."""
    monkeypatch.setattr(rspamd, "LOCAL", str(tmp_path / "local"))
    monkeypatch.setattr(rspamd, "OVERRIDE", str(tmp_path / "override"))
    return tmp_path


def tld(words, data=None):
    names = [name for name in ("a.co.test", "a.test", "b.test") if name in Path(words[-1]).read_text()]
    return 0, "".join(f"{name} {'co.test' if name == 'a.co.test' else name}\n" for name in names), ""


def test_rspamd_signs_twice_and_an_administrators_lines_stay(lived):
    (lived / "local").write_text("selector = x;")
    found = texts(rspamd.wanted(tld, [Signing("a.test", (RSA, ED))], True))
    assert found["local"].startswith("selector = x;\n") and found["local"].count("selector = ") == 3 and found["override"] is None
    (lived / "local").write_text(found["local"])
    assert texts(rspamd.wanted(tld, [], False)) == {"local": "selector = x;", "override": None}


def test_a_domain_below_another_needs_rspamds_switch(lived):
    found = texts(rspamd.wanted(tld, [Signing("a.co.test", (RSA,)), A], True))
    assert "use_esld = false;" in found["override"]
    with pytest.raises(HostError, match="one switch for all"):
        rspamd.wanted(tld, [Signing("a.co.test", (RSA,)), Signing("a.test", (RSA,), True)], True)


def test_what_rspamd_cannot_quote_is_refused():
    with pytest.raises(HostError, match="cannot be written"):
        rspamd.lines([Signing("a.test", (RSA._replace(path='/x"; }'),))])


SECTION = {"selectors": [{"selector": "r.mx1", "path": "/etc/dkimkeys/r.pem"}]}


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ({}, {"domain": {"a.test": {**SECTION, "path": "/x"}}}, "not by our keys alone"),
        ({}, {"domain": {}}, "not by our keys alone"),
        ({"domain": {"b.test": {"path": "/x"}}}, {"domain": {"a.test": SECTION}}, "b.test, which is not ours"),
        ({"sign_local": True}, {"domain": {"a.test": SECTION}, "sign_local": False}, "the setting sign_local"),
        ({}, {"domain": {"a.test": SECTION}, "use_esld": [True, False]}, "set twice"),
        ({}, {"domain": {"a.test": SECTION}, "signing_table": "/x"}, "signing_table"),
        ({}, {"domain": {"a.test": SECTION}, "enabled": False}, "switched off"),
    ],
)
def test_what_would_be_in_force_is_compared_with_what_is_wanted(before, after, why):
    with pytest.raises(HostError, match=why):
        rspamd._compare(before, after, [A], True)
    rspamd._compare({"domain": {"b.test": {"path": "/x"}}}, {"domain": {"a.test": SECTION, "b.test": {"path": "/x"}}}, [A], True)


def test_the_password_of_a_dump_is_in_no_error():
    dump = json.dumps({"controller": {"password": "q1secret"}}) + "broken {"
    with pytest.raises(HostError) as refused:
        rspamd.place(lambda words: (0, dump, ""))
    assert "q1secret" not in str(refused.value)
    workers = '{"controller":{"password":"q1"}}\n{"rspamd_proxy":{"milter":true,"bind_socket":"%s"}}'
    places = {
        "localhost:11332": ("inet", ("localhost", 11332)),
        "*:11332": ("inet", ("127.0.0.1", 11332)),
        "/run/r.sock mode=0660": ("unix", "/run/r.sock"),
    }
    for words, place in places.items():
        assert rspamd.place(lambda _, words=words: (0, workers % words, "")) == place


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("local:/run/opendkim/opendkim.sock", ("unix", "/run/opendkim/opendkim.sock")),
        ("inet:8891@localhost", ("inet", ("localhost", 8891))),
        ("inet:127.0.0.1:8891", ("inet", ("127.0.0.1", 8891))),
        ("inet:8891", ("inet", ("localhost", 8891))),
        ("fifo:/x", None),
    ],
)
def test_sockets_of_postfix_and_opendkim_are_read(words, place):
    assert milter.endpoint(words) == place


class Milter(threading.Thread):
    """A milter on a socket: it answers each step with these packets, the end of the message with those."""

    def __init__(self, path, end, step=(b"c",), flags=0):
        super().__init__(daemon=True)
        self.end, self.answer, self.flags, self.got = end, step, flags, []
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen(8)
        self.start()

    def run(self):
        while True:
            stream, _ = self.server.accept()
            with stream, contextlib.suppress(ConnectionError):
                self.talk(stream)

    def talk(self, stream):
        while True:
            head = stream.recv(4, socket.MSG_WAITALL)
            if len(head) < 4:
                return
            data = stream.recv(struct.unpack("!I", head)[0], socket.MSG_WAITALL)
            self.got.append(data)
            if data[:1] == b"O":
                answers = [b"O" + struct.pack("!III", 6, 0x1FF, self.flags)]
            elif data[:1] in b"DAQ":
                continue
            else:
                answers = self.end(self) if data[:1] == b"E" and callable(self.end) else self.end if data[:1] == b"E" else self.answer
            for answer in answers:
                stream.sendall(struct.pack("!I", len(answer)) + answer)


def asked(tmp_path, end, **more):
    path = tmp_path / "s"
    played = Milter(path, end, **more)
    return played, ("unix", str(path))


HEADERS, BODY, SENDER = [("From", " <a@a.test>"), ("Subject", " x\r\n y")], b"x\r\n", "a@a.test"


def test_headers_that_a_milter_adds_come_back_in_their_order(tmp_path):
    end = [b"hX-Last\0one\0", b"i" + struct.pack("!I", 0) + b"X-First\0two\n three\0", b"p", b"c"]
    played, place = asked(tmp_path, end)
    answer = milter.ask(place, HEADERS, BODY, SENDER, SENDER, 5)
    assert answer == milter.Answer([("X-First", " two\r\n three"), ("X-Last", " one")], "")
    assert b"LFrom\0<a@a.test>\0" in played.got and b"LSubject\0x\n y\0" in played.got
    assert any(data.startswith(b"DM") and b"{auth_authen}\0a@a.test\0" in data for data in played.got)


@pytest.mark.parametrize(
    ("answers", "told"),
    [([b"t"], "451"), ([b"y451 4.7.0 key not secure\0"], "451 4.7.0 key not secure"), ([b"r"], "550"), ([b"d"], "discarded")],
)
def test_a_milter_that_refuses_is_quoted(tmp_path, answers, told):
    _, place = asked(tmp_path, answers)
    assert told in milter.ask(place, HEADERS, BODY, SENDER, SENDER, 5).refused


def test_what_is_no_milter_is_told(tmp_path):
    _, place = asked(tmp_path, [b"\xff"])
    with pytest.raises(milter.MilterError, match="no answer of a milter"):
        milter.ask(place, HEADERS, BODY, SENDER, SENDER, 5)
    (tmp_path / "more").mkdir()
    _, place = asked(tmp_path / "more", [b"hX\0y\0"] * 1001)
    with pytest.raises(milter.MilterError, match="more than 1000"):
        milter.ask(place, HEADERS, BODY, SENDER, SENDER, 5)
    with pytest.raises(OSError, match="No such file"):
        milter.ask(("unix", str(tmp_path / "none")), HEADERS, BODY, SENDER, SENDER, 5)


def signature(key, selector, domain="a.test"):
    """Sign the probe that a played milter was given, as a signer does."""
    import base64
    import hashlib

    def end(played):
        headers = [data[1:-1].split(b"\0", 1) for data in played.got if data[:1] == b"L"][-7:]
        body = next(data[1:] for data in reversed(played.got) if data[:1] == b"B")
        bh = base64.b64encode(hashlib.sha256(signing.verify._body(body, True)).digest()).decode()
        kind = "ed25519" if key.kind == "ed25519" else "rsa"
        value = f"v=1; a={kind}-sha256; c=relaxed/relaxed; d={domain}; s={selector}; h=From:Subject; bh={bh}; b="
        rows = [(name.decode(), " " + text.decode().replace("\n", "\r\n")) for name, text in headers]
        data = signing.verify._signed(rows, ["from", "subject"], " " + value, True)
        value += base64.b64encode(key.sign(hashlib.sha256(data).digest() if kind == "ed25519" else data)).decode()
        return [b"i" + struct.pack("!I", 0) + f"DKIM-Signature\0{value}\0".encode(), b"c"]

    return end


@pytest.fixture(scope="module")
def pair():
    return keys.make("rsa", 1024, True), keys.make("ed25519")


def row(key, selector="r.mx1"):
    return Signing("a.test", (SigningKey(selector, "/k", key.kind, key.spki, f"{selector}._domainkey.a.test"),))


@pytest.mark.parametrize("number", [0, 1])
def test_a_probe_that_is_signed_as_wanted_has_no_fault(tmp_path, pair, number):
    _, place = asked(tmp_path, signature(pair[number], "r.mx1"))
    seen = signing.ask(place, row(pair[number]), opendkim)
    assert seen.faults == [] and [one["fault"] for one in seen.signatures] == [""] and not seen.may_come


@pytest.mark.parametrize(
    ("selector", "domain", "wrong", "why"),
    [
        ("old.mx1", "a.test", False, "is signed with old.mx1, not with r.mx1: systemctl reload"),
        ("r.mx1", "other.test", False, "leaves without a signature of r.mx1"),
        ("r.mx1", "a.test", True, "does not verify"),
    ],
)
def test_a_probe_that_is_signed_otherwise_is_told_with_the_repair(tmp_path, pair, selector, domain, wrong, why):
    _, place = asked(tmp_path, signature(keys.make("rsa", 1024, True) if wrong else pair[0], selector, domain))
    seen = signing.ask(place, row(pair[0]), opendkim)
    assert len(seen.faults) == 1 and why in seen.faults[0]


def test_a_signer_that_is_down_or_defers_is_told(tmp_path, pair):
    seen = signing.ask(("unix", str(tmp_path / "none")), row(pair[0]), opendkim)
    assert "does not answer" in seen.faults[0] and "systemctl start opendkim.service" in seen.faults[0] and seen.may_come
    _, place = asked(tmp_path, [b"t"])
    assert "451" in signing.ask(place, row(pair[0]), opendkim).faults[0]


def test_with_which_keys_a_domain_is_signed_is_seen_whoever_set_it_up(played, pair, tmp_path, monkeypatch):
    monkeypatch.setattr(signing, "_unasked", lambda *words: [])
    Milter(tmp_path / "s", signature(pair[0], "theirs", "else.test"))
    faults, _, (seen,) = signing.faults(run, "opendkim", [], ["A.test"])
    assert faults == [] and seen.domain == "a.test"
    assert seen.signatures == [{"domain": "else.test", "selector": "theirs", "algorithm": "rsa-sha256", "fault": ""}]


def test_a_domain_that_the_signer_leaves_unsigned_is_told_once(played, tmp_path, monkeypatch):
    monkeypatch.setattr(signing, "_unasked", lambda *words: [])
    Milter(tmp_path / "s", [b"c"])
    faults, _, seen = signing.faults(run, "opendkim", [], ["a.test", "b.test"])
    assert [fault[:35] for fault in faults] == ["no key signs mail of a.test on this", "no key signs mail of b.test on this"]
    assert [one.signatures for one in seen] == [[], []]
    (tmp_path / "s").unlink()
    faults, _, seen = signing.faults(run, "opendkim", [], ["a.test", "b.test"])
    assert "does not answer" in faults[0] and "b.test" in faults[1] and len(faults) == 2 and [one.domain for one in seen] == ["a.test"]


@pytest.fixture
def played(conf, tmp_path, monkeypatch, pair):
    """A host with OpenDKIM, whose reloads are counted and whose milter signs with what the tables say when it is told to."""
    monkeypatch.setattr(files, "STATE", str(tmp_path / "state"))
    monkeypatch.setattr(signing, "STATE", str(tmp_path / "state"))
    conf.write_text(f"Socket local:{tmp_path}/s\n")
    reloads = []
    monkeypatch.setattr(opendkim, "check", lambda *words: None)
    monkeypatch.setattr(opendkim, "reload", lambda run: reloads.append(conf.read_text()))
    monkeypatch.setattr(opendkim, "PATIENCE", 0.1)
    monkeypatch.setattr(signing, "key_faults", lambda *words: [])
    return conf, reloads


def run(words, data=None):
    return 0, "", ""


def test_a_second_run_changes_nothing_and_absent_gives_the_file_back(played, pair, tmp_path):
    conf, reloads = played
    before = conf.read_text()
    Milter(tmp_path / "s", signature(pair[0], "r.mx1"))
    first = signing.apply(run, "opendkim", [row(pair[0])], True, False)
    assert first["changed"] and len(reloads) == 1 and first["probes"][0]["faults"] == []
    assert not signing.apply(run, "opendkim", [row(pair[0])], True, False)["changed"] and len(reloads) == 1
    assert signing.apply(run, "opendkim", [], False, True)["changed"] and conf.read_text() != before
    signing.apply(run, "opendkim", [], False, False)
    assert conf.read_text() == before and len(reloads) == 2
    assert not signing.apply(run, "opendkim", [], False, False)["changed"]


def test_a_domain_of_ours_may_be_taken_out_and_one_of_others_goes_on(played, pair, tmp_path):
    """OpenDKIM played by its tables: it signs what they name."""
    conf, _ = played
    conf.write_text(conf.read_text() + "Domain b.test\nSelector old\nKeyFile /k\n")

    def end(played_one):
        domain = next(data for data in reversed(played_one.got) if data[:1] == b"M").split(b"@")[1].split(b">")[0].decode()
        tables = opendkim.read_text(opendkim.SIGNING_TABLE) or ""
        if f"@{domain} " in tables or (domain == "b.test" and "KeyTable" not in conf.read_text()):
            return signature(pair[0], "r.mx1" if domain == "a.test" else "old", domain)(played_one)
        return [b"c"]

    Milter(tmp_path / "s", end)
    signing.apply(run, "opendkim", [row(pair[0])], True, False)
    assert not signing.apply(run, "opendkim", [], False, False)["notes"]
    assert "KeyTable" not in conf.read_text()


def test_a_signer_that_does_not_sign_with_the_new_key_gets_its_old_files_back(played, pair, tmp_path):
    conf, reloads = played
    before = conf.read_text()
    Milter(tmp_path / "s", signature(pair[0], "old.mx1"))
    with pytest.raises(HostError, match=r"is signed with old.mx1, not with r.mx1.*the old files are back"):
        signing.apply(run, "opendkim", [row(pair[0])], True, False)
    assert conf.read_text() == before and len(reloads) == 2 and not (tmp_path / "key_table").exists()


def test_a_run_that_was_killed_before_its_reload_is_made_good_by_the_next(played, pair, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    _, reloads = played
    Milter(tmp_path / "s", signature(pair[0], "r.mx1"))
    with monkeypatch.context() as killed, pytest.raises(Killed):
        killed.setattr(opendkim, "reload", lambda run: (_ for _ in ()).throw(Killed))
        signing.apply(run, "opendkim", [row(pair[0])], True, False)
    assert signing.apply(run, "opendkim", [row(pair[0])], True, False)["changed"] and len(reloads) == 1


def test_a_domain_of_others_that_is_signed_otherwise_afterwards_is_a_failure():
    signing._compare({"b.test": {"old of b.test"}}, {"b.test": {"old of b.test"}})
    with pytest.raises(HostError, match=r"which is not ours, was signed with old of b.test and is now with nothing"):
        signing._compare({"b.test": {"old of b.test"}}, {"b.test": set()})


def postconf(value, other):
    def run(words, data=None):
        if words == ["postconf", "-M"]:
            return 0, "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n", ""
        if words == ["postconf", "-P"]:
            return 0, "submission/inet/smtpd_sasl_auth_enable = yes\n", ""
        if words[:2] == ["postconf", "-hx"]:
            return 0, other + "\n", ""
        return 0, f"smtpd_milters = {value}\nsmtpd_sasl_auth_enable = no\nmilter_default_action = tempfail\n", ""

    return run


PLACE = ("unix", "/var/spool/postfix/opendkim/opendkim.sock")


@pytest.mark.parametrize(("value", "other"), [("", ""), ("inet:localhost:11332", ""), ("$x", "unix:/run/other")])
def test_postfix_that_does_not_ask_the_signer_is_told(value, other):
    found = signing._unasked(postconf(value, other), "opendkim", PLACE)
    assert len(found) == 1 and "submission/inet" in found[0]


@pytest.mark.parametrize(
    ("value", "other"),
    [
        ("inet:x:1, local:opendkim/opendkim.sock", ""),
        ("{ unix:/opendkim/opendkim.sock, default_action=accept }", ""),
        ("${x}", "unix:/var/spool/postfix/opendkim/opendkim.sock"),
    ],
)
def test_postfix_that_asks_the_signer_is_seen(value, other):
    assert signing._unasked(postconf(value, other), "opendkim", PLACE) == []
    assert signing._unasked(postconf("inet:127.0.0.1:8891", ""), "opendkim", ("inet", ("localhost", 8891))) == []

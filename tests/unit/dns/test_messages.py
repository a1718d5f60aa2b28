# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages octet by octet: what is packed is what dnspython reads, what is damaged or forged is never believed."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import struct
import threading
import typing as t

import dns.message
import dns.rdatatype
import dns.tsig
import dns.update
import pytest
from goodstanding_src.module_utils.goodstanding.dns import ask, journal, plan, run, tsig, update, wire
from hypothesis import given, settings
from hypothesis import strategies as st

ZONE = wire.pack("example.test")
SECRET = base64.b64encode(b"s" * 32).decode()
KEY = tsig.Key("upd", SECRET)
PEER = dns.tsig.Key("upd", SECRET, "hmac-sha256")
NOW = 1_790_000_000


def change(number: int, before: bytes | None = None, size: int = 410, new: bool = True) -> plan.Change:
    name = wire.pack(f"s{number:05}._domainkey.example.test")
    old = wire.RRset(60, (wire.txt_data(before),)) if before is not None else None
    return plan.Change((name, wire.TXT), old, wire.RRset(60, (wire.txt_data(b"x" * size),)), new)


def test_an_update_is_read_by_another_library_as_it_was_meant():
    server = ask.Server("192.0.2.1", 53, KEY)
    rows = [
        change(1), change(2, new=False), change(3, before=b"old"),
        plan.Change((wire.pack("gone.example.test"), wire.TXT), wire.RRset(60, (wire.txt_data(b"a"),)), None),
        plan.Change((wire.pack("ttl.example.test"), wire.A), wire.RRset(60, (b"\1\2\3\4",)), wire.RRset(90, (b"\1\2\3\4",))),
        plan.Change(
            (wire.pack("merge.example.test"), wire.TXT), wire.RRset(60, (b"\1a", b"\1b")), wire.RRset(60, (b"\1b", b"\1c")), False, False
        ),
        plan.Change((wire.pack("swap.example.test"), wire.A), wire.RRset(60, (b"\1\2\3\4",)), None),
        plan.Change((wire.pack("swap.example.test"), wire.CNAME), None, wire.RRset(60, (wire.pack("x.test"),)), False),
    ]  # fmt: skip
    (batch,) = update.batches(server, ZONE, rows)
    seen = dns.message.from_wire(batch.raw, keyring={PEER.name: PEER}, one_rr_per_rrset=True)
    assert isinstance(seen, dns.update.UpdateMessage)
    assert seen.had_tsig

    def short(section) -> list[str]:
        return [
            f"{rrset.name.to_text()[:5]} {dns.rdatatype.to_text(rrset.rdtype)} {int(rrset.deleting or 0)} {rrset.ttl} {len(rrset)}"
            for rrset in section
        ]

    assert short(seen.prerequisite) == [
        "s0000 ANY 254 0 0", "s0000 TXT 254 0 0", "s0000 CNAME 254 0 0", "s0000 TXT 0 0 1", "gone. TXT 0 0 1", "ttl.e A 0 0 1",
        "merge TXT 0 0 1", "merge TXT 0 0 1", "swap. A 0 0 1", "swap. CNAME 254 0 0",
    ]  # fmt: skip
    assert short(seen.update) == [
        "s0000 TXT 0 60 1", "s0000 TXT 0 60 1", "s0000 TXT 254 0 1", "s0000 TXT 0 60 1", "gone. TXT 255 0 0", "ttl.e A 255 0 0",
        "ttl.e A 0 90 1", "merge TXT 254 0 1", "merge TXT 0 60 1", "swap. A 255 0 0", "swap. CNAME 0 60 1",
    ]  # fmt: skip


def test_batches_are_filled_by_octets_and_each_change_is_in_one():
    server = ask.Server("192.0.2.1", 53, KEY)
    rows = [change(number) for number in range(1000)]
    made = list(update.batches(server, ZONE, rows))
    assert [len(batch.raw) <= 65_535 for batch in made] == [True] * len(made)
    assert len(made) == 7
    assert all(len(batch.raw) > 64_900 for batch in made[:-1]), "a batch is as full as it can be"
    assert [row for batch in made for row in batch.changes] == rows
    for batch in made:
        seen = dns.message.from_wire(batch.raw, keyring={PEER.name: PEER}, one_rr_per_rrset=True)
        assert len(seen.sections[1]) == len(seen.sections[2]) == len(batch.changes)
        assert [rrset.name.to_text() for rrset in seen.sections[2]] == [wire.text(row.key[0]) for row in batch.changes]


def test_what_cannot_fit_is_told_before_anything_is_sent():
    rows = [change(1), change(2, size=30_000, before=b"y" * 30_000)]
    update.check_sizes(ZONE, rows)
    with pytest.raises(ValueError, match=r"s00002\._domainkey\.example\.test: its old and new values do not fit"):
        update.check_sizes(ZONE, rows, 40_000)


@given(st.lists(st.tuples(st.lists(st.sampled_from(["a", "bb", "ccc", "_domainkey"]), max_size=6), st.booleans()), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_names_share_their_ends_and_marks_are_forgotten(rows):
    writer = wire.Writer(ZONE)
    kept = []
    for labels, keep in rows:
        name = wire.pack(".".join([*labels, "example.test"]))
        mark = writer.mark()
        writer.prerequisite(name, wire.NONE, wire.TXT)
        writer.update(name, wire.IN, wire.TXT, 60, b"\1x")
        if keep:
            kept.append(name)
        else:
            writer.back(mark)
    raw = writer.finish(7)
    assert len(raw) == writer.size
    message = wire.read(raw)
    assert [record.name for record in message.answer] == kept
    assert [record.name for record in message.authority] == kept


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_octets_break_the_reader(data):
    with contextlib.suppress(wire.WireError):
        wire.read(data)
    with contextlib.suppress(wire.WireError):
        wire.read(b"\0\1\x80\0\0\1\0\2\0\1\0\1" + data)


def test_pointers_that_loop_are_refused():
    with pytest.raises(wire.WireError, match="forward"):
        wire.read(b"\0\1\x80\0\0\1\0\0\0\0\0\0\xc0\x0c\0\x10\0\1")


def signed_reply(batch: update.Batch, rcode: int = 0, key: tsig.Key = KEY, **tsig_fields: t.Any) -> bytes:
    """Return a server's reply, signed as dnspython does it."""
    request = dns.message.from_wire(batch.raw, keyring={PEER.name: PEER})
    reply = dns.message.make_response(request, tsig_error=tsig_fields.pop("error", 0))
    reply.set_rcode(rcode)
    reply.use_tsig(dns.tsig.Key(key.name, tsig_fields.pop("secret", SECRET), "hmac-sha256"), tsig_error=0)
    reply.request_mac = batch.mac
    return reply.to_wire()


def made(zone: bytes = ZONE) -> update.Batch:
    (batch,) = update.batches(ask.Server("192.0.2.1", 53, KEY), zone, [change(1)])
    return batch


def found(batch: update.Batch, raw: bytes, now: float | None = None) -> update.Found:
    import time

    clock = time.time() if now is None else now
    return update.decode(raw, batch.number, KEY.verifier(batch.mac, lambda: clock), clock)


def test_a_signed_reply_is_believed_and_a_changed_one_is_not():
    batch = made()
    raw = signed_reply(batch)
    assert found(batch, raw) == update.Found(0, True)
    assert found(batch, raw[:3] + b"\x05" + raw[4:]) == update.Found(5, False, "its signature is wrong")
    assert found(batch, signed_reply(batch, secret=base64.b64encode(b"t" * 32).decode())).fault == "its signature is wrong"
    assert "from this machine's time" in found(batch, raw, NOW).fault
    other = made()
    assert not found(batch, batch.raw[:2] + signed_reply(other)[2:]).proven, "the signature covers that of the question"
    with pytest.raises(ask.DnsError, match="no answer to the update"):
        found(batch, bytes([raw[0] ^ 1]) + raw[1:])
    with pytest.raises(ask.DnsError, match="no answer to the update"):
        found(batch, b"SSH-2.0-OpenSSH")


def tsig_error(batch: update.Batch, error: int, other: bytes = b"", rcode: int = 9) -> bytes:
    """Return a reply with an error in its TSIG record and no signature (RFC 8945 section 5.3.2)."""
    data = wire.pack("hmac-sha256") + struct.pack("!Q", NOW)[2:] + struct.pack("!HHHHH", 300, 0, batch.number, error, len(other)) + other
    record = wire.pack("upd") + struct.pack("!HHIH", wire.TSIG, wire.ANY, 0, len(data)) + data
    return struct.pack("!HHHHHH", batch.number, 0xA800 | rcode, 0, 0, 0, 1) + record


@pytest.mark.parametrize(
    ("error", "other", "said"),
    [
        (16, b"", "NOTAUTH with BADSIG: the secret of the TSIG key upd is not the one that the server has"),
        (17, b"", "NOTAUTH with BADKEY: the server does not know the key upd with hmac-sha256"),
        (
            18,
            struct.pack("!Q", NOW + 3600)[2:],
            "NOTAUTH with BADTIME: the server's clock is 3600 s ahead of this machine: set both by NTP",
        ),
        (18, struct.pack("!Q", NOW - 400)[2:], "the server's clock is 400 s behind this machine"),
        (22, b"", "NOTAUTH with BADTRUNC"),
    ],
)
def test_errors_of_the_signature_are_told_with_what_to_do(error, other, said):
    batch = made()
    seen = found(batch, tsig_error(batch, error, other), NOW)
    assert not seen.proven
    assert said in update.explain(seen, ask.Server("192.0.2.1", 53, KEY), ZONE)


@pytest.mark.parametrize(
    ("rcode", "said"),
    [
        (0, "NOERROR; it is not signed: an answer that is not proven may be forged"),
        (1, "FORMERR; it is not signed: the server did not understand the message"),
        (2, "SERVFAIL; it is not signed: the server could not write the zone: is it frozen"),
        (4, "NOTIMP; it is not signed: this server takes no updates (NSD never does)"),
        (5, "REFUSED; it is not signed: PowerDNS answers so where the secret of upd is wrong"),
        (9, "NOTAUTH; it is not signed: it is not a primary of example.test that knows the key upd"),
        (15, "rcode 15"),
    ],
)
def test_replies_that_are_not_signed_are_decoded_all_the_same(rcode, said):
    batch = made()
    raw = struct.pack("!HHHHHH", batch.number, 0xA800 | rcode, 0, 0, 0, 0)
    seen = found(batch, raw)
    assert not seen.proven
    assert said in update.explain(seen, ask.Server("192.0.2.1", 53, KEY), ZONE)
    cut = found(batch, struct.pack("!HHHHHH", batch.number, 0xA800 | rcode, 1, 0, 0, 0))
    assert (cut.rcode, cut.proven) == (rcode, False), "the rcode of a message that is cut short is shown, and not believed"


@pytest.mark.parametrize(
    ("rcode", "said"),
    [
        (2, "is it frozen (rndc thaw, knotc zone-thaw), expired, or its disk full?"),
        (5, "the key upd is right and may not change this"),
        (9, "it is not the primary of example.test"),
        (10, "a record is outside the zone"),
    ],
)
def test_signed_refusals_are_told_with_what_to_do(rcode, said):
    batch = made()
    seen = found(batch, signed_reply(batch, rcode))
    assert seen.proven
    assert said in update.explain(seen, ask.Server("192.0.2.1", 53, KEY), ZONE)


def test_a_transfer_is_proven_to_its_end():
    """Messages between two signatures are covered by the next one; a cut or a strange record in them is seen."""
    request = b"m" * 32
    verifier = KEY.verifier(request, lambda: NOW)

    def sign(parts: list[bytes], previous: bytes, first: bool, body: bytes) -> tuple[bytes, bytes]:
        stamp = struct.pack("!Q", NOW)[2:] + struct.pack("!H", 300)
        variables = KEY.packed + struct.pack("!HI", wire.ANY, 0) + wire.pack("hmac-sha256") + stamp + b"\0\0\0\0" if first else stamp
        mac = KEY._mac(struct.pack("!H", 32) + previous, *parts, body, variables)
        data = wire.pack("hmac-sha256") + stamp + struct.pack("!H", 32) + mac + body[:2] + b"\0\0\0\0"
        record = KEY.packed + struct.pack("!HHIH", wire.TSIG, wire.ANY, 0, len(data)) + data
        return body[:10] + b"\0\1" + body[12:] + record, mac

    body = struct.pack("!HHHHHH", 1, 0x8400, 0, 0, 0, 0)
    first, mac = sign([], request, True, body)
    assert verifier.check(first, wire.read(first)) == ""
    assert verifier.check(body, wire.read(body)) == ""
    assert verifier.open
    last, _ = sign([body], mac, False, body)
    assert verifier.check(last, wire.read(last)) == ""
    assert not verifier.open
    forged, _ = sign([], mac, False, body)
    other = KEY.verifier(request, lambda: NOW)
    assert other.check(first, wire.read(first)) == ""
    assert other.check(body, wire.read(body)) == ""
    assert other.check(forged, wire.read(forged)) == "its signature is wrong"
    assert KEY.verifier(request).check(body, wire.read(body)) == "it is not signed"


class Fake:
    """A server over TCP that takes each message as the test says: act(number, message) returns what is sent, or None to close."""

    def __init__(self, act: t.Callable[[int, bytes], bytes | None]) -> None:
        self.act, self.taken = act, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.server = ask.Server("127.0.0.1", self.listener.getsockname()[1], KEY)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection, contextlib.suppress(OSError, struct.error):
                    while True:
                        (length,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
                        message = connection.recv(length, socket.MSG_WAITALL)
                        self.taken += 1
                        answer = self.act(self.taken, message)
                        if answer is None:
                            break
                        connection.sendall(struct.pack("!H", len(answer)) + answer)

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()


def reply_to(message: bytes) -> bytes:
    request = dns.message.from_wire(message, keyring={PEER.name: PEER}, one_rr_per_rrset=True)
    reply = dns.message.make_response(request)
    return reply.to_wire()


@pytest.mark.parametrize(
    ("stood", "state"), [("done", ""), ("not done", ""), ("whether it was done is not known: x", "whether it was done is not known")]
)
def test_a_reply_that_is_lost_is_not_guessed(monkeypatch, stood, state):
    """The connection ends after the second batch: what stands in the zone decides what is done."""
    rows = [change(number) for number in range(300)]
    monkeypatch.setattr(run, "_what_stands", lambda *words: stood)
    with Fake(lambda number, message: None if number == 2 else reply_to(message)) as fake:
        done, fault, unknown = run._send(run.Settings(ZONE), fake.server, rows, journal.Journal(None, ZONE), run.Hooks())
        taken = fake.taken
    assert state in fault
    assert unknown == bool(state)
    sent = [row for batch in done for row in batch.changes]
    assert (sent == rows) == (not state)
    assert taken == {"done": 3, "not done": 4}.get(stood, 2)
    assert (f"{len(sent)} of 300 changes were done before" in fault) == bool(state)


def test_an_update_that_is_kept_without_an_answer_is_told():
    """As Knot does with a frozen zone."""
    (batch,) = update.batches(ask.Server("127.0.0.1", 1, KEY), ZONE, [change(1)])
    done = threading.Event()
    with Fake(lambda number, message: b"late" if done.wait(5) else None) as fake, ask.Connection(fake.server, 0.05) as connection:
        with pytest.raises(update.LostError, match="knotc zone-thaw"):
            update.exchange(connection, batch, ZONE)
        done.set()


def test_a_journal_of_a_killed_run_is_read(tmp_path):
    book = journal.Journal(str(tmp_path / "new"), ZONE, "int/ext")
    rows = [change(1), change(2, before=b"old")]
    assert book.unfinished() is None
    book.begin(rows, "192.0.2.1")
    book.note("sent", 1)
    book.note("done", 1)
    book.note("sent", 2)
    with pytest.raises(ask.DnsError, match="another run is at work on this zone"):
        journal.Journal(str(tmp_path / "new"), ZONE, "int/ext").unfinished()
    with pytest.raises(ask.DnsError, match="another run is at work on this zone"):
        journal.Journal(str(tmp_path / "new"), ZONE, "int/ext").begin([], "x")
    book.close()
    assert book.path is not None
    assert book.path.name == "example.test@int%2Fext.jsonl"
    assert book.path.stat().st_mode & 0o007 == 0
    left, done, sent = book.unfinished() or ([], 0, 0)
    assert [(row.key, row.before, row.after) for row in left] == [(row.key, row.before, row.after) for row in rows]
    assert (done, sent) == (1, 2)
    whole = book.path.read_text()
    book.path.write_text(whole + '{"what": "do')
    assert book.unfinished() is not None, "the last line of a killed run"
    book.path.write_text(whole[:50])
    assert book.unfinished() is None, "killed before anything was sent"
    book.path.write_text(whole + json.dumps({"what": "end"}) + "\n")
    assert book.unfinished() is None
    book.path.write_text("{}\n{}\n")
    with pytest.raises(ask.DnsError, match=r"cannot be read .*: move it away"):
        book.unfinished()

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a host brought into their state, on real files of the user that runs the tests."""

from __future__ import annotations

import base64
import getpass
import json
import os
import re
import stat
import types
from pathlib import Path

import pytest
from goodstanding_src.library import dkim_key
from goodstanding_src.module_utils.goodstanding.dkim import hostkeys, keys, record, safety, selectors, signers, transfer
from goodstanding_src.module_utils.goodstanding.dkim.hostkeys import Ring, Rules, Wanted
from goodstanding_src.module_utils.goodstanding.host import files
from goodstanding_src.module_utils.goodstanding.host.files import HostError

NOW = 1_795_450_000.0  # 2026-11-23
DAY = 86400.0


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host whose signer is the user that runs the tests, with quick keys."""
    monkeypatch.setattr(files, "STATE", str(tmp_path / "state"))
    (tmp_path / "conf").write_text("")
    monkeypatch.setattr(signers.opendkim, "CONF", str(tmp_path / "conf"))
    monkeypatch.setattr(signers.opendkim, "KEY_TABLE", str(tmp_path / "table"))
    me = safety.Daemon(getpass.getuser(), os.geteuid(), os.getegid())
    monkeypatch.setattr(signers, "of", lambda run, name: signers.Signer(name, "Rspamd 3.4", me, str(tmp_path / "keys"), False))
    made = keys.make
    monkeypatch.setattr(keys, "make", lambda kind, size=2048, short=False: made(kind, 1024 if kind == "rsa" else size, True))
    return tmp_path


def ring(regenerate="partial_idempotence", now=NOW, **more):
    return Ring(lambda *words: (0, "", ""), Rules(regenerate, "mx1.example.test", now, **more))


def content(done):
    return Path(done.row.path).read_bytes()


RSA, ED = Wanted("example.test"), Wanted("example.test", kind="ed25519", signer="rspamd")


def test_a_key_is_made_once_and_only_the_daemon_reads_it(host):
    done = ring().bring(RSA)
    assert done.changed and done.selector == "20261123.mx1" and done.faults == []
    state = os.stat(done.row.path)
    assert stat.S_IMODE(state.st_mode) == 0o600 and state.st_uid == os.geteuid()
    assert stat.S_IMODE(os.stat(os.path.dirname(done.row.path)).st_mode) == 0o700
    again = ring(now=NOW + 9 * DAY).bring(RSA)
    assert not again.changed and again.row == done.row
    loaded = keys.load(content(done), "x")
    assert record.parse(done.row.record).spki == loaded.spki and done.row.fingerprint == record.fingerprint(loaded.spki)
    assert os.listdir(os.path.dirname(done.row.path)) == ["20261123.mx1._domainkey.example.test.pem"]


def test_an_ed25519_key_has_a_selector_of_its_own_and_rspamds_format(host):
    first, second = ring().bring(RSA), ring().bring(ED)
    assert (first.selector, second.selector) == ("20261123.mx1", "20261123-ed.mx1")
    assert len(base64.b64decode(content(second))) == 64 and second.row.path.endswith(".key")


def test_check_mode_makes_nothing(host):
    done = ring(check_mode=True).bring(RSA)
    assert done.changed and done.row is None and done.selector == "20261123.mx1"
    assert not (host / "keys").exists() and not (host / "state").exists()


def test_a_selector_is_never_another_keys(host):
    first = ring().bring(RSA._replace(selector="mail"))
    with pytest.raises(HostError, match="never another key's"):
        ring("always").bring(RSA._replace(selector="mail"))
    os.unlink(first.row.path)
    with pytest.raises(HostError, match="give it back, or name a new selector"):
        ring("full_idempotence").bring(RSA._replace(selector="mail"))
    ring().bring(RSA._replace(selector="mail", state="absent"))
    with pytest.raises(HostError, match="never another key's"):
        ring().bring(RSA._replace(selector="MAIL"))


def test_always_makes_a_new_key_under_a_new_name_each_time(host):
    found = [ring("always").bring(RSA).selector for _ in range(3)]
    assert found == ["20261123.mx1", "20261123-2.mx1", "20261123-3.mx1"]


@pytest.mark.parametrize(
    ("regenerate", "unlike", "missing", "damaged"),
    [
        ("never", "kept", "fails", "fails"),
        ("fail", "fails", "fails", "fails"),
        ("partial_idempotence", "new", "new", "fails"),
        ("full_idempotence", "new", "new", "new"),
    ],
)
def test_regenerate_in_the_manner_of_community_crypto(host, regenerate, unlike, missing, damaged):
    def outcome(want):
        try:
            done = ring(regenerate).bring(want)
        except HostError:
            return "fails"
        return "new" if done.selector != first.selector else "kept"

    first = ring().bring(RSA)
    assert outcome(RSA._replace(size=2048)) == unlike
    second = ring().bring(RSA._replace(domain="b.test"))
    first = second
    os.unlink(second.row.path)
    assert outcome(RSA._replace(domain="b.test")) == missing
    first = third = ring().bring(RSA._replace(domain="c.test"))
    with open(third.row.path, "w") as file:
        file.write("no key")
    assert outcome(RSA._replace(domain="c.test")) == damaged


def test_a_file_with_another_key_is_not_passed_for_ours(host):
    done = ring().bring(RSA)
    with open(done.row.path, "wb") as file:
        file.write(keys.make("rsa").octets("pkcs8"))
    with pytest.raises(HostError, match="holds another key than SHA256:"):
        ring().bring(RSA)


def test_a_mode_that_was_opened_is_closed_by_a_new_file(host):
    done = ring().bring(RSA)
    inode = os.stat(done.row.path).st_ino
    os.chmod(done.row.path, 0o644)
    assert ring(check_mode=True).bring(RSA).changed
    again = ring().bring(RSA)
    assert again.changed and again.row.fingerprint == done.row.fingerprint
    assert stat.S_IMODE(os.stat(done.row.path).st_mode) == 0o600 and os.stat(done.row.path).st_ino != inode
    assert not ring().bring(RSA).changed


def test_a_key_is_taken_in_and_its_source_stays(host):
    old = keys.make("rsa")
    source = host / "mail.private"
    source.write_bytes(old.octets("pkcs1"))
    with pytest.raises(HostError, match="Name the one that is in DNS"):
        ring().bring(RSA._replace(source=str(source)))
    want = RSA._replace(source=str(source), selector="mail")
    done = ring().bring(want)
    assert done.changed and done.row.fingerprint == record.fingerprint(old.spki) and source.exists()
    assert b"BEGIN PRIVATE KEY" in content(done)
    assert not ring().bring(want).changed and not ring().bring(RSA._replace(selector="mail")).changed
    source.write_bytes(keys.make("rsa").octets("pkcs8"))
    with pytest.raises(HostError, match="never another key's"):
        ring().bring(want)


def test_a_key_that_still_signs_is_not_destroyed(host):
    done = ring().bring(RSA)
    (host / "table").write_text(f"x example.test:{done.selector}:{done.row.path}\n")
    with pytest.raises(HostError, match="still signs"):
        ring().bring(RSA._replace(selector=done.selector, state="absent"))
    assert os.path.exists(done.row.path)
    (host / "table").write_text("")
    os.link(done.row.path, host / "kept")
    gone = ring().bring(RSA._replace(selector=done.selector, state="absent"))
    assert gone.changed and not os.path.exists(done.row.path)
    assert b"PRIVATE KEY" not in (host / "kept").read_bytes(), "it was overwritten before it was deleted"
    assert not ring().bring(RSA._replace(selector=done.selector, state="absent")).changed
    with pytest.raises(HostError, match="Name its selector"):
        ring().bring(RSA)
        ring().bring(RSA._replace(state="absent"))


def test_a_retired_key_keeps_its_file_and_comes_back(host):
    done = ring().bring(RSA)
    want = RSA._replace(selector=done.selector)
    assert ring().bring(want._replace(state="retired")).row.state == "retired" and os.path.exists(done.row.path)
    assert ring("never").bring(RSA).selector == "20261123-2.mx1", "it is chosen no more"
    assert ring().bring(want).row.state == "present"


def test_a_slot_rests_before_it_takes_another_key(host):
    want = RSA._replace(selector="a.mx1", slot=True)
    ring().bring(want)
    with pytest.raises(HostError, match=r"revoked and destroyed|never"):
        ring("always").bring(want)
    ring().bring(want._replace(state="absent"))
    with pytest.raises(HostError, match="the slot is free after 7"):
        ring(now=NOW + 6 * DAY).bring(want)
    assert ring(now=NOW + 8 * DAY).bring(want).changed


def test_a_run_that_was_killed_before_its_file_was_written_is_taken_up(host, monkeypatch):
    class Killed(BaseException):
        pass

    with monkeypatch.context() as killed, pytest.raises(Killed):
        killed.setattr(hostkeys, "write", lambda *words: (_ for _ in ()).throw(Killed))
        ring().bring(RSA)
    assert selectors.read().of("example.test", "20261123.mx1").state == "made"
    assert ring().bring(RSA).selector == "20261123.mx1", "nobody was told of the first"
    with monkeypatch.context() as killed, pytest.raises(Killed):
        put = Ring._put
        killed.setattr(Ring, "_put", lambda self, row, state: put(self, row, state) if state == "made" else (_ for _ in ()).throw(Killed))
        ring().bring(RSA._replace(domain="b.test"))
    row = selectors.read().of("b.test", "20261123.mx1")
    done = ring().bring(RSA._replace(domain="b.test"))
    assert (done.row.fingerprint, done.row.state) == (row.fingerprint, "present")


def test_a_run_that_was_killed_while_a_file_changed_its_format_leaves_the_book_and_the_signer_a_key(host, monkeypatch):
    class Killed(BaseException):
        pass

    made, older = ring().bring(ED), signers.of
    (host / "table").write_text(made.row.path)  # the signer's configuration names it
    monkeypatch.setattr(signers, "of", lambda *words: older(*words)._replace(version="Rspamd 3.13.2"))
    with monkeypatch.context() as killed, pytest.raises(Killed):
        killed.setattr(Ring, "_put", lambda *words: (_ for _ in ()).throw(Killed))
        ring().bring(ED)
    assert selectors.read().of("example.test", made.selector).path == made.row.path and os.path.exists(made.row.path)
    done = ring().bring(ED)
    assert b"BEGIN PRIVATE KEY" in content(done)
    assert (done.row.path, done.row.fingerprint) == (made.row.path, made.row.fingerprint)
    assert os.listdir(host / "keys") == [os.path.basename(made.row.path)] and not ring().bring(ED).changed


def test_the_book_comes_back_from_the_journal(host):
    first = ring()
    first.bring(RSA)
    first.book.save()
    ring().bring(ED)  # and ends before the book is written
    book = selectors.read().rows
    assert [row.kind for row in book] == ["rsa", "ed25519"]
    os.unlink(host / "state" / "dkim.json")
    assert selectors.read().rows == book
    assert not ring().bring(RSA).changed


def test_a_link_in_place_of_the_folder_or_the_key_is_not_followed(host):
    (host / "elsewhere").mkdir()
    os.symlink(host / "elsewhere", host / "keys")
    with pytest.raises(HostError, match="must be a folder and no link"):
        ring().bring(RSA)
    os.unlink(host / "keys")
    done = ring().bring(RSA)
    os.rename(done.row.path, host / "stolen")
    os.symlink(host / "stolen", done.row.path)
    with pytest.raises(HostError, match="cannot be read"):
        ring("never").bring(RSA)


def test_no_private_octet_is_in_what_is_returned_logged_or_raised(host, capfd):
    done = [ring().bring(RSA), ring().bring(ED), ring("always").bring(RSA)]
    told = json.dumps([hostkeys.public(one) for one in done]) + "".join(hostkeys.line(one.row) for one in done) + repr(done)
    told += "".join(path.read_text() for path in (host / "state").iterdir())
    told += "".join(capfd.readouterr())
    for one in done:
        body = re.sub(r"-----.*?-----|\s", "", content(one).decode())
        public = record.parse(one.row.record).key
        assert len(body) > 40
        for start in range(0, len(body) - 24, 8):
            piece = body[start : start + 24]
            if base64.b64decode(piece + "=" * (-len(piece) % 4)) not in public and piece not in one.row.record:
                assert piece not in told, "octets of a private key"
        raw = base64.b64decode(body)[:24].hex()
        assert raw not in told


@pytest.mark.parametrize("want", [RSA, ED])
def test_a_key_that_hosts_share_goes_to_the_other_host_sealed_and_once(host, monkeypatch, want):
    made = ring().bring(want._replace(selector="20261123.mx", tags=(("t", "s"),)))
    shared = want._replace(selector="20261123.mx", fingerprint=made.row.fingerprint, directory=str(host / "other"))
    here, there = str(host / "state"), str(host / "there")
    os.mkdir(there)
    monkeypatch.setattr(files, "STATE", there)
    with pytest.raises(HostError, match="was not handed over"):
        ring().bring(shared)
    assert ring(check_mode=True).bring(shared).changed
    public = transfer.ask()
    monkeypatch.setattr(files, "STATE", here)
    for selector, fingerprint in (("other", made.row.fingerprint), ("20261123.mx", "SHA256:x")):
        with pytest.raises(HostError, match="has no key"):
            ring().give("example.test", selector, fingerprint, want.signer, public)
    sealed = ring().give("example.test", "20261123.mx", made.row.fingerprint, want.signer, public)
    monkeypatch.setattr(files, "STATE", there)
    with pytest.raises(HostError, match="another key than SHA256:y"):
        ring().bring(shared._replace(sealed=sealed, fingerprint="SHA256:y"))
    done = ring().bring(shared._replace(sealed=sealed, tags=(("t", "s"),)))
    assert done.changed and (done.row.fingerprint, done.row.record) == (made.row.fingerprint, made.row.record)
    assert content(done) == content(made) and stat.S_IMODE(os.stat(done.row.path).st_mode) == 0o600
    os.unlink(transfer.path())
    assert not ring().bring(shared._replace(tags=(("t", "s"),))).changed, "it is here already"
    told = repr(done) + json.dumps(hostkeys.public(done)) + "".join(path.read_text() for path in (host / "there").iterdir())
    body = re.sub(r"-----.*?-----|\s", "", content(done).decode())
    assert not any(body[start : start + 24] in told for start in range(len(body) // 2, len(body) - 24, 8))
    os.unlink(done.row.path)
    with pytest.raises(HostError, match="is missing"):
        ring().give("example.test", "20261123.mx", made.row.fingerprint, want.signer, public)


def test_a_copy_that_cannot_be_opened_keeps_no_other_from_the_host(host):
    made = ring().bring(RSA._replace(domain="b.test", selector="x"))
    sealed = transfer.seal(content(made), transfer.ask(), record.name("example.test", "x"))
    plain = {name: spec.get("default") for name, spec in dkim_key._KEY.items()}
    good = {**plain, "domain": "example.test", "selector": "x", "fingerprint": made.row.fingerprint, "sealed": sealed}
    p = {"slot_rest": 7, "lab_only": False, "signer": "opendkim", "host": "mx2", "regenerate": "partial_idempotence", "domains": [],
         "types": [], "keys": [{**good, "selector": "y"}, good], "directory": str(host / "other")}  # fmt: skip

    def fail_json(msg, **told):
        raise HostError(f"{msg} but {[row['selector'] for row in told['keys']]}")

    module = types.SimpleNamespace(params=p, check_mode=False, fail_json=fail_json)
    with pytest.raises(HostError, match=r"^what was handed over as the key y\._domainkey\.example\.test .* but \['x'\]$"):
        dkim_key._bring(module, lambda *words: (0, "", ""))
    assert [path.read_bytes() for path in (host / "other").iterdir()] == [content(made)]
    assert not os.path.exists(transfer.path())


@pytest.mark.parametrize(("tag", "value"), [("n", "a; b"), ("spki", "a;b"), ("n", "\n"), ("1", "x")])
def test_a_tag_that_is_none_is_told_and_what_was_done_before_is_in_the_book(host, tag, value):
    plain = {name: spec.get("default") for name, spec in dkim_key._KEY.items()}
    bad = {**plain, "domain": "b.test", "selector": "x", "tags": {tag: value}}
    p = {"slot_rest": 7, "lab_only": False, "signer": "opendkim", "host": "mx1", "regenerate": "partial_idempotence", "domains": [],
         "types": [], "keys": [{**plain, "domain": "a.test", "selector": "x"}, bad], "directory": str(host / "keys")}  # fmt: skip

    def fail_json(msg, **told):
        raise HostError(f"{msg} but {[row['domain'] for row in told['keys']]}")

    module = types.SimpleNamespace(params=p, check_mode=False, fail_json=fail_json)
    with pytest.raises(HostError, match=rf"(?s)^{tag}=.* cannot be a tag .* but \['a.test'\]$"):
        dkim_key._bring(module, lambda *words: (0, "", ""))
    book = json.loads((host / "state" / selectors.FILE).read_text())
    assert [row["domain"] for row in book["keys"]] == ["a.test"]


def test_a_handed_over_key_takes_no_selector_of_another_key(host):
    made, old = ring().bring(RSA._replace(domain="b.test", selector="x")), ring().bring(RSA._replace(selector="x"))
    assert made.row.fingerprint != old.row.fingerprint
    public = transfer.ask()
    sealed = transfer.seal(content(made), public, record.name("example.test", "x"))
    with pytest.raises(HostError, match="never another key's"):
        ring().bring(RSA._replace(selector="x", fingerprint=made.row.fingerprint, sealed=sealed))


@pytest.mark.parametrize(
    ("domain", "selector"),
    [
        ("a_b.test", "s"),
        ("example", "s"),
        ("example.test", "a b"),
        ("example.test", "../x"),
        ("x.test", "a..b"),
        ("x" * 250 + ".test", "s"),
    ],
)
def test_names_that_dns_does_not_take_are_refused(host, domain, selector):
    with pytest.raises(HostError, match=r"is no|longer than"):
        ring().bring(RSA._replace(domain=domain, selector=selector))


def test_less_than_a_week_for_a_slot_and_1024_bits_are_for_who_asks_for_them(host, monkeypatch):
    asked = []
    made = keys.make
    monkeypatch.setattr(keys, "make", lambda kind, size=2048, short=False: (asked.append((size, short)), made(kind, size, short))[1])
    plain = {name: spec.get("default") for name, spec in dkim_key._KEY.items()}
    rows = [{**plain, "domain": "a.test", "size": 1024, "allow_1024": True}, {**plain, "domain": "b.test", "size": 3072}]
    p = {"slot_rest": 6.9, "lab_only": False, "signer": "opendkim", "host": "mx1", "regenerate": "partial_idempotence", "domains": [],
         "types": [], "keys": rows, "directory": str(host / "keys")}  # fmt: skip
    module = types.SimpleNamespace(params=p, check_mode=False)
    with pytest.raises(HostError, match="7 or more, or lab_only"):
        dkim_key._bring(module, lambda *words: (0, "", ""))
    p["lab_only"] = True
    dkim_key._bring(module, lambda *words: (0, "", ""))
    assert asked == [(1024, True), (3072, False)]

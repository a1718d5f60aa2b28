# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.queue.scan import Queue, select

sys.path.insert(0, str(Path(__file__).parent))
from spool import message

MALLORY, VICTIM = "mallory@alpha.test", "victim@alpha.test"
BAD = message(login="Mallory@Alpha.test", sender="x@forged.test", client="203.0.113.7", lines=("", f"sasl_username={VICTIM}"))
LOCAL = ("Received: by mx.example.test (Postfix, from userid 33)", "\tid LOCAL; now", "", "Hello.")


def rows(scan):
    return {name: (row.queue, row.of) for name, row in scan.messages.items()}


def test_mail_is_found_in_every_queue_by_its_login(postfix):
    for queue, name in (("hold", "4jYcBy06KYz1hnn2"), ("deferred/A", "AB12CD34EF"), ("incoming", "CB12CD34EF"), ("corrupt", "DB12CD34EF")):
        postfix.put(queue, name, BAD)
    postfix.put("active", "EB12CD34EF", message(sender=MALLORY, client="203.0.113.7"))
    assert rows(postfix.scan(MALLORY)) == {
        "4jYcBy06KYz1hnn2": ("hold", MALLORY),
        "AB12CD34EF": ("deferred", MALLORY),
        "CB12CD34EF": ("incoming", MALLORY),
        "DB12CD34EF": ("corrupt", MALLORY),
    }
    assert rows(postfix.scan(VICTIM)) == {}, "neither the body nor the sender says whose it is"


def test_mail_is_found_by_client_and_by_uid(postfix):
    postfix.put("active", "AAAAA", BAD)
    postfix.put("active", "BBBBB", message(client="2001:db8::7"))
    postfix.put("active", "CCCCC", message(client="127.0.0.1", told="203.0.113.77"))
    postfix.put("active", "DDDDD", message(client="unknown"))
    postfix.put("active", "LOCAL", message(sender="www@alpha.test", lines=LOCAL))
    postfix.put("active", "OTHER", message(sender="www@alpha.test", client="192.0.2.1", lines=LOCAL))
    assert rows(postfix.scan(clients=["203.0.113.0/24", "2001:db8::/64"])) == {
        "AAAAA": ("active", "client:203.0.113.0/24"),
        "BBBBB": ("active", "client:2001:db8::/64"),
        "CCCCC": ("active", "client:203.0.113.0/24"),
    }
    assert rows(postfix.scan(uids=[33])) == {"LOCAL": ("active", "uid:33")}
    assert rows(postfix.scan("uid:33")) == rows(postfix.scan("uid:www-data")) == {"LOCAL": ("active", "uid:33")}
    assert rows(postfix.scan(MALLORY, clients=["203.0.113.7"]))["AAAAA"] == ("active", MALLORY), "the login goes first"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs files of two users")
def test_in_maildrop_the_owner_of_the_file_is_the_sender_and_writes_no_login(postfix):
    os.chown(postfix.put("maildrop", "AAAAA", message(login=VICTIM)), 33, 33)
    postfix.put("maildrop", "BBBBB", BAD)  # queued again by postsuper -r, which is Postfix's own
    assert rows(postfix.scan(VICTIM, MALLORY, uids=[33])) == {"AAAAA": ("maildrop", "uid:33"), "BBBBB": ("maildrop", MALLORY)}


def test_a_local_user_that_is_not_there_is_named():
    with pytest.raises(HostError, match="no local user 'nobody-here'"):
        select(["uid:nobody-here"])


@pytest.mark.parametrize("address", ["mallory", "203.0.113.300", "0.0.0.0/0", "::/0", ""])
def test_what_is_no_client_is_named(address):
    with pytest.raises(HostError, match="client"):
        select((), [address])


def test_what_is_no_queue_file_is_left_alone_or_told(postfix, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "LINKED1").write_bytes(BAD)
    (postfix.root / "deferred" / "L").symlink_to(outside)
    (postfix.root / "active" / "LINKED2").symlink_to(outside / "LINKED1")
    os.mkfifo(postfix.root / "active" / "FIFOFIFO")
    (postfix.root / "active" / "FOLDER").mkdir()
    for name in (".hidden", "no id", "abc", "ID;rm", "X" * 31, "AB12CD34EF.bak"):
        postfix.put("active", name, BAD)
    postfix.put("incoming", "UNREADY", BAD, 0o600)
    for name, data in (("EMPTY", b""), ("CUT00", BAD[:120]), ("HUGE0", b"C\xff\xff\xff\xff\x07" + b"x" * 50), ("NOISE", os.urandom(9000))):
        postfix.put("active", name, data)
    found = postfix.scan(MALLORY)
    assert (found.messages, sorted(found.unread)) == ({}, ["CUT00", "EMPTY", "HUGE0", "NOISE"])


def test_a_file_that_vanishes_or_moves_while_it_is_read(postfix, monkeypatch):
    for name in ("AAAAA", "BBBBB", "CCCCC"):
        postfix.put("deferred", name, BAD)
    queue, look = Queue(str(postfix.root), select([MALLORY])), Queue._look
    turn = []

    def moving(self, found, queue_id, where, path):
        if not turn:  # between the list and the first look
            os.rename(postfix.root / "deferred/AAAAA", postfix.root / "active/AAAAA")
            (postfix.root / "deferred/BBBBB").unlink()
            postfix.put("incoming", "DDDDD", BAD)
        turn.append(queue_id)
        return look(self, found, queue_id, where, path)

    monkeypatch.setattr(Queue, "_look", moving)
    assert {name: queue for name, (queue, _) in rows(queue.scan()).items()} == {"AAAAA": "active", "CCCCC": "deferred", "DDDDD": "incoming"}


def test_a_queue_that_cannot_be_read_is_not_an_empty_one(postfix, tmp_path):
    with pytest.raises(HostError, match="is this Postfix's queue directory"):
        Queue(str(tmp_path / "nowhere"), select([MALLORY]))


def test_the_same_file_and_another_of_the_same_name(postfix):
    path = postfix.put("hold", "AAAAA", BAD)
    queue = Queue(str(postfix.root), select([MALLORY]))
    (row,) = queue.scan().messages.values()
    assert queue.same(row)
    os.utime(path, ns=(row.mtime, row.mtime + 1))
    assert not queue.same(row), "a delivery marked a recipient meanwhile"
    path.unlink()
    assert not queue.same(row)
    path.write_bytes(message(login="alice@alpha.test", client="203.0.113.9"))
    os.utime(path, ns=(row.mtime, row.mtime))
    assert not queue.same(row)

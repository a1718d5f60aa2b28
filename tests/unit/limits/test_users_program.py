# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What local users send, counted out of a directory that real inotify watches; the clock is played."""

from __future__ import annotations

import os
import threading
import types

import pytest
from goodstanding_src.module_utils.goodstanding.limits import users_program
from goodstanding_src.module_utils.goodstanding.limits.policy import WINDOWS
from goodstanding_src.module_utils.goodstanding.limits.users_program import Counter, Maildrop, recipients
from hypothesis import given
from hypothesis import strategies as st

NAMES = {0: "root", 33: "www-data", 1000: "Carl", 1001: "two words"}
SOFT = {"soft": {"minute": 10, "hour": 15}, "hard": {"hour": 30, "day": 40}}


@pytest.fixture
def clock(monkeypatch):
    clock = types.SimpleNamespace(now=1_800_000_000.0)
    monkeypatch.setattr(users_program.time, "time", lambda: clock.now)

    def named(uid):
        return types.SimpleNamespace(pw_name=NAMES[uid])

    monkeypatch.setattr(users_program.pwd, "getpwuid", named)
    return clock


@pytest.fixture
def begin(tmp_path, clock):
    """Return what starts the program's counter, with its log, on one folder."""

    def begin(shadow=False, limit=SOFT, **overrides):
        document = {"limit": limit, "overrides": overrides, "never": ["root"], "shadow": shadow}
        counter = Counter(document, str(tmp_path), log.append)
        counter.begin()
        return counter

    log: list[str] = []
    begin.log = log
    return begin


def refused(folder):
    return [line.split()[0] for line in (folder / "refused").read_text().splitlines()]


def hits(counter):
    return counter._opened().execute(users_program.WHO, (0, 99)).fetchall()


def test_who_met_a_limit_is_refused_until_the_window_has_room(begin, clock, tmp_path):
    counter = begin()
    assert refused(tmp_path) == [], "the map is there before anybody is in it"
    counter.take(33, 9)
    assert refused(tmp_path) == []
    counter.take(33, 1)
    assert refused(tmp_path) == ["www-data"]
    assert os.stat(tmp_path / "refused").st_mode & 0o777 == 0o644
    assert os.stat(tmp_path / "refused").st_mtime == 1, "Postfix would wait for it to cool down"
    counter.take(1000, 9)
    clock.now += 59
    counter.tick()
    assert refused(tmp_path) == ["www-data"]
    clock.now += 1
    counter.tick()
    assert refused(tmp_path) == []
    counter.take(33, 5)
    assert [row[:4] for row in hits(counter)] == [(33, "hour", "soft", 1), (33, "minute", "soft", 1)]
    clock.now += 3601
    counter.tick()
    assert refused(tmp_path) == []
    assert begin.log[0] == "uid 33 (www-data) may not send: it met its soft limit of recipients (minute)"


def test_the_soft_limit_counts_where_there_is_one_and_the_hard_one_elsewhere(begin, clock):
    assert begin().limit_of(33) == {"minute": (10, "soft"), "hour": (15, "soft"), "day": (40, "hard")}


def test_a_message_with_too_many_recipients_is_taken_and_the_next_one_not(begin, tmp_path):
    begin().take(33, 5000)
    assert refused(tmp_path) == ["www-data"]


def test_root_and_who_is_left_out_are_limited_where_they_are_named_alone(begin, tmp_path):
    begin().take(0, 5000)
    assert refused(tmp_path) == []
    counter = begin(**{"0": {"soft": {"hour": 5}, "hard": {}}, "33": {"soft": {}, "hard": {}}})
    counter.take(0, 5)
    counter.take(33, 5000)
    assert refused(tmp_path) == ["root"]


def test_shadow_refuses_nobody_and_counts_each_message_that_would_have_been(begin, tmp_path):
    counter = begin(shadow=True)
    for _ in range(14):
        counter.take(33, 1)
    assert refused(tmp_path) == []
    assert [row[:4] for row in hits(counter)] == [(33, "minute", "shadow", 4)]


def test_a_restart_refuses_again_who_was_refused(begin, tmp_path, clock):
    begin().take(33, 10)
    (tmp_path / "refused").write_text("")  # as systemd does when the program ends
    begin()
    assert refused(tmp_path) == ["www-data"]
    (tmp_path / "refused").unlink()
    counter = begin()
    assert counter.begin() == clock.now
    assert refused(tmp_path) == ["www-data"]


def test_a_clock_that_was_ahead_refuses_nobody_when_it_is_right_again(begin, tmp_path, clock):
    counter = begin()
    right, clock.now = clock.now, clock.now + 30 * 86400
    counter.take(33, 10)
    assert refused(tmp_path) == ["www-data"]
    clock.now = right
    counter.tick()
    assert refused(tmp_path) == []
    assert begin().begin() == right, "what came since then is looked at"
    counter.take(33, 10)
    assert refused(tmp_path) == ["www-data"]


def test_the_map_that_was_taken_away_comes_back(begin, tmp_path):
    counter = begin()
    (tmp_path / "refused").unlink()
    counter.tick()
    assert refused(tmp_path) == []


def test_names_are_as_postfix_looks_them_up(begin, tmp_path):
    """In small letters; one that no map can hold is told."""
    counter = begin()
    counter.take(1000, 10)
    assert refused(tmp_path) == ["carl"]
    counter.take(1001, 10)
    assert refused(tmp_path) == ["carl"]
    assert "two words" in counter.why
    counter.take(4242, 10)
    assert refused(tmp_path) == ["carl", "unknown"]


def test_with_the_database_gone_nobody_is_refused_and_it_is_said(begin, tmp_path, clock):
    counter = begin()
    counter.take(33, 10)
    counter._opened().close()
    counter.tick()
    assert refused(tmp_path) == []
    assert counter.failed == int(clock.now)
    counter.take(1000, 10)
    assert refused(tmp_path) == ["carl"], "the next message opens it again"


def test_a_database_that_is_none_lets_everybody_send(begin, tmp_path):
    (tmp_path / users_program.DATABASE).write_text("none " * 1000)
    counter = begin()
    counter.take(33, 10)
    assert refused(tmp_path) == []
    assert "DatabaseError" in counter.why


def test_what_is_old_is_forgotten(begin, clock):
    counter = begin()
    counter.take(33, 10)
    clock.now += 15 * 86400
    counter._cleaned = 0.0
    counter.tick()
    assert hits(counter) == []
    assert counter._opened().execute("SELECT * FROM counts").fetchall() == []


# ---- the maildrop


def record(kind, text=b""):
    size, length = len(text), b""
    while True:
        length += bytes([size & 127 | (128 if size > 127 else 0)])
        size >>= 7
        if not size:
            return kind + length + text


def message(to, content=(b"Subject: R", b"", b"R\x01aR\x01a"), late=0):
    """Return a message as postdrop(1) writes it; late: recipients that sendmail -t found in the header."""
    parts = [record(b"T", b"1 2"), record(b"F", b"Carl"), record(b"S", b"carl")]
    parts += [record(b"R", b"a@x.test")] * to + [record(b"M")] + [record(b"N", line) for line in content]
    return b"".join(parts + [record(b"X")] + [record(b"R", b"b" * 300)] * late + [record(b"E")])


def counted(tmp_path, data):
    path = tmp_path / "message"
    path.write_bytes(data)
    return recipients(os.open(path, os.O_RDONLY))


@pytest.mark.parametrize(("to", "late"), [(1, 0), (0, 3), (200, 0), (2, 200)])
def test_recipients_are_counted_in_the_envelope_alone(tmp_path, to, late):
    content = (b"R\x01a" * 1000, b"x" * 127, b"x" * 128, b"x" * 20_000)
    assert counted(tmp_path, message(to, content, late)) == to + late


def test_what_is_no_message_ends_too(tmp_path):
    assert [counted(tmp_path, data) for data in (b"", b"R", b"R\xff" * 30, b"R" + b"\xff" * 20, b"\0" * 9)] == [0, 0, 1, 1, 0]


@given(st.binary(max_size=300))
def test_any_octets_end(tmp_path_factory, data):
    assert 0 <= counted(tmp_path_factory.mktemp("any"), data) <= len(data)


@pytest.fixture
def maildrop(tmp_path):
    folder = tmp_path / "maildrop"
    folder.mkdir()
    drop = Maildrop(str(folder))
    drop.path = folder
    thread = threading.Thread(target=drop.watch, daemon=True)
    thread.start()
    yield drop
    folder.rmdir() if not list(folder.iterdir()) else None


def post(folder, name, data, whole=True):
    """Write a message as postdrop does, and take it as pickup does."""
    path = folder / f"1.{name}"
    path.write_bytes(b"")
    path.rename(folder / name)
    with open(folder / name, "wb") as file:
        file.write(data)
        file.flush()
        if whole:
            os.fchmod(file.fileno(), 0o700)
    return folder / name


def test_each_message_is_found_once_with_whose_it_is(maildrop):
    for number in range(20):
        post(maildrop.path, f"A{number}", message(number + 1))
    found = [maildrop.found.get(timeout=5) for _ in range(20)]
    assert [(uid, recipients(handle)) for uid, handle in found] == [(os.geteuid(), number + 1) for number in range(20)]
    assert (maildrop.seen, maildrop.lost) == (20, 0)
    assert maildrop.found.empty()


def test_one_that_was_given_up_is_not_counted(maildrop):
    post(maildrop.path, "A", message(1), whole=False).unlink()
    post(maildrop.path, "B", message(2))
    assert recipients(maildrop.found.get(timeout=5)[1]) == 2
    assert maildrop._held == {}


def test_one_that_was_taken_at_once_is_read_all_the_same(maildrop):
    path = post(maildrop.path, "A", message(3), whole=False)
    for _ in range(500):
        if b"A" in maildrop._held:
            break
        threading.Event().wait(0.01)
    path.chmod(0o700)
    path.unlink()
    assert recipients(maildrop.found.get(timeout=5)[1]) == 3


def test_of_too_many_at_once_each_counts_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(users_program, "_MAX_OPEN", 2)
    drop = Maildrop(str(tmp_path))
    for number in range(5):
        post(tmp_path, f"A{number}", message(9))
    threading.Thread(target=drop.watch, daemon=True).start()
    for _ in range(500):
        if drop.found.qsize() == 5:
            break
        threading.Event().wait(0.01)
    handles = [drop.found.get(timeout=5)[1] for _ in range(5)]
    assert [handle is None for handle in handles] == [False, False, True, True, True]
    assert drop.lost == 3


def test_what_came_while_nobody_watched_is_found(tmp_path):
    post(tmp_path, "A", message(4))
    post(tmp_path, "B", message(4), whole=False)
    drop = Maildrop(str(tmp_path))
    drop.look(os.stat(tmp_path / "A").st_ctime)
    assert drop.found.empty()
    drop.look(os.stat(tmp_path / "A").st_ctime - 1)
    assert recipients(drop.found.get(timeout=1)[1]) == 4
    assert drop.found.empty()


def test_one_that_was_being_written_while_nobody_watched_is_found_when_it_is_whole(tmp_path):
    post(tmp_path, "A", message(4), whole=False)
    post(tmp_path, "B", message(5), whole=False)
    drop = Maildrop(str(tmp_path))
    drop.look(0)
    threading.Thread(target=drop.watch, daemon=True).start()
    (tmp_path / "A").chmod(0o600)  # it is held already
    (tmp_path / "A").unlink()
    (tmp_path / "B").chmod(0o700)
    assert recipients(drop.found.get(timeout=5)[1]) == 5
    assert drop._held == {}


def test_many_unfinished_messages_of_one_user_hide_nobody_elses(tmp_path, monkeypatch):
    monkeypatch.setattr(users_program, "_MAX_OPEN", 3)
    drop = Maildrop(str(tmp_path))
    for number in range(6):
        post(tmp_path, f"A{number}", message(1), whole=False)
    path = post(tmp_path, "B", message(2), whole=False)
    drop._read()
    assert sorted(drop._held) == [b"A4", b"A5", b"B"]
    path.chmod(0o700)
    path.unlink()
    drop._read()
    assert recipients(drop.found.get(timeout=1)[1]) == 2


def test_where_events_are_lost_the_directory_is_looked_at(tmp_path):
    drop = Maildrop(str(tmp_path))
    post(tmp_path, "A", message(1))
    drop._read()
    assert recipients(drop.found.get(timeout=1)[1]) == 1
    post(tmp_path, "B", message(1), whole=False)
    drop._read()
    os.utime(post(tmp_path, "C", message(3)))
    drop._event(users_program._OVERFLOW, b"")
    assert [recipients(drop.found.get(timeout=1)[1]) for _ in range(drop.found.qsize())] == [3]
    assert (drop.lost, sorted(drop._held)) == (1, [b"B"] if os.stat(tmp_path / "B").st_ctime > os.stat(tmp_path / "A").st_ctime else [])


def test_a_directory_that_goes_ends_it(maildrop):
    maildrop.path.rmdir()
    assert maildrop.found.get(timeout=5) is None
    maildrop.path.mkdir()


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OSError, match="cannot be watched"):
        Maildrop(str(tmp_path / "none"))


def test_its_windows_are_those_of_the_policy():
    assert users_program.WINDOWS == WINDOWS

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of locks: whatever is locked and unlocked in whatever order, with an end at any point, everything is as before."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.accounts import transaction
from goodstanding_src.module_utils.goodstanding.backends import system
from goodstanding_src.module_utils.goodstanding.backends.sql import SqlStep
from goodstanding_src.module_utils.goodstanding.backends.system import SystemStep
from goodstanding_src.module_utils.goodstanding.host import files, journal
from goodstanding_src.module_utils.goodstanding.host.files import File, HostError, read_text, write_file
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

ACCOUNTS = [f"{name}@alpha.test" for name in ("alice", "bob", "carol", "dave", "erin")]
A, B = ACCOUNTS[:2]
SQL = {
    "name": "mail",
    "type": "sqlite",
    "query": "SELECT smtp_active, note FROM mailbox WHERE username = :account",
    "lock": "UPDATE mailbox SET smtp_active = 0, note = 'locked' WHERE username = :account",
    "unlock": "UPDATE mailbox SET smtp_active = :before_smtp_active, note = :before_note WHERE username = :account",
}


class Crash(BaseException):
    """The end of a process: nothing in the engine may catch it."""


class Crashes:
    """Ends the run at the point that is due; points are counted from 0 in each operation."""

    def __init__(self) -> None:
        self.left: int | None = None

    def point(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Crash


class TextStep:
    """A map in a text file, written whole, that is the project's own: one line an account."""

    name, own = "map", True

    def __init__(self, path: Path, crashes: Crashes) -> None:
        self.path, self.crashes = path, crashes
        path.write_text("")

    def lines(self) -> dict[str, str]:
        return dict(line.split(" ", 1) for line in (read_text(str(self.path)) or "").splitlines())

    def read(self, accounts):
        lines = self.lines()
        return {account: {"action": lines[account]} if account in lines else {} for account in accounts}

    def lock(self, accounts):
        self._write({**self.lines(), **dict.fromkeys(accounts, "REJECT locked")})

    def restore(self, before):
        changed = {**self.lines(), **{account: fields.get("action") for account, fields in before.items()}}
        self._write({account: action for account, action in changed.items() if action is not None})

    def _write(self, lines):
        self.crashes.point()
        write_file(File(str(self.path), "".join(f"{account} {action}\n" for account, action in sorted(lines.items()))))
        self.crashes.point()


class Watched:
    """A connection or cursor of sqlite3 that may end before and after what it does."""

    def __init__(self, inner, crashes: Crashes) -> None:
        self.inner, self.crashes = inner, crashes

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def cursor(self):
        return Watched(self.inner.cursor(), self.crashes)

    def execute(self, *words):
        self.crashes.point()
        return self.inner.execute(*words)

    def commit(self):
        self.crashes.point()
        self.inner.commit()
        self.crashes.point()


def sql_step(folder: Path, crashes: Crashes) -> SqlStep:
    """Return a backend on a new SQLite file with rows as administrators leave them."""
    path = folder / "mail.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE mailbox (username TEXT PRIMARY KEY, password TEXT, active INTEGER, smtp_active INTEGER, note)")
        rows = [(1, 1, None), (1, 0, "locked"), (0, None, "by hand"), (1, 7, 5), (1, 1, "")]
        for account, row in zip(ACCOUNTS, rows):
            base.execute("INSERT INTO mailbox VALUES (?, 'a hash', ?, ?, ?)", (account, *row))
        base.commit()
    step = SqlStep({**SQL, "database": str(path)}, {account: account for account in [*ACCOUNTS, "x@alpha.test"]})
    connect = step.connect
    step.connect = lambda read_only: Watched(connect(read_only), crashes)
    return step


def rows(folder: Path) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(folder / "mail.sqlite")) as base:
        return base.execute("SELECT *, typeof(note), typeof(smtp_active) FROM mailbox ORDER BY username").fetchall()


def system_step(folder: Path, crashes: Crashes, monkeypatch) -> SystemStep:
    """Return a backend on files like /etc/passwd and /etc/shadow, with a chage that sets the eighth field."""
    names = {account: account.partition("@")[0] for account in ACCOUNTS}
    shadow = folder / "shadow"
    days = ["", "1", "20000", "0", ""]
    users = [f"{user}:$6$h:19000:0:99999:7::{day}:\n" for user, day in zip(names.values(), days)]
    shadow.write_text("root:*:19000:0:99999:7:::\n" + "".join(users))
    (folder / "passwd").write_text(
        "root:x:0:0::/root:/bin/sh\n" + "".join(f"{user}:x:{1000 + number}:100::/h:/bin/sh\n" for number, user in enumerate(names.values()))
    )
    monkeypatch.setattr(system, "SHADOW", str(shadow))
    monkeypatch.setattr(system, "PASSWD", str(folder / "passwd"))

    def run(words, data=None):
        program, option, day, dashes, user = words
        assert (program, option, dashes) == ("chage", "-E", "--")
        crashes.point()
        lines = [line.split(":") for line in shadow.read_text().splitlines()]
        for line in lines:
            if line[0] == user:
                line[7] = "" if day == "-1" else day
        write_file(File(str(shadow), "".join(":".join(line) + "\n" for line in lines)))
        crashes.point()
        return 0, "", ""

    return SystemStep({"name": "users"}, names, run)


def by_hand_in_sql(folder: Path, account: str, value: int) -> None:
    with contextlib.closing(sqlite3.connect(folder / "mail.sqlite")) as base:
        statements = ("UPDATE mailbox SET note = ? WHERE username = ?", "UPDATE mailbox SET smtp_active = ? WHERE username = ?")
        base.execute(statements[value % 2], (value, account))
        base.commit()


def by_hand_in_shadow(folder: Path, account: str, value: int) -> None:
    path = folder / "shadow"
    lines = [line.split(":") for line in path.read_text().splitlines()]
    for line in lines:
        if line[0] == account.partition("@")[0]:
            line[7] = str(value)
    path.write_text("".join(":".join(line) + "\n" for line in lines))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A host with three steps and crashes; journals are as on a host, but nothing waits for the disk."""
    monkeypatch.setattr(journal.os, "fsync", lambda handle: None)
    write = journal.write

    def new():
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        crashes = Crashes()
        monkeypatch.setattr(files, "STATE", str(folder / "state"))

        def written(**entry):
            crashes.point()
            try:
                crashes.point()
            except Crash:  # in the middle of the line
                row = write(**entry)
                path = folder / "state" / journal.FILE
                path.write_bytes(path.read_bytes()[: -len(str(row)) // 2])
                raise
            row = write(**entry)
            crashes.point()
            return row

        monkeypatch.setattr(journal, "write", written)
        steps = [TextStep(folder / "map", crashes), sql_step(folder, crashes), system_step(folder, crashes, monkeypatch)]
        return folder, steps, crashes

    return new


def everything(folder: Path) -> tuple:
    return (folder / "map").read_text(), rows(folder), (folder / "shadow").read_text()


SOME = st.lists(st.sampled_from(ACCOUNTS), min_size=1, max_size=5, unique=True)
WHERE = st.sampled_from([0, 1, 2])
LOCKS = st.tuples(st.sampled_from(["lock", "unlock"]), WHERE, SOME, st.one_of(st.none(), st.integers(0, 6), st.integers(0, 90)))
BY_HAND = st.tuples(st.just("hand"), st.sampled_from([1, 2]), st.sampled_from(ACCOUNTS), st.integers(2, 9))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(operations=st.lists(st.one_of(LOCKS, LOCKS, LOCKS, BY_HAND), min_size=8, max_size=20))
def test_whatever_is_done_and_wherever_it_ends_everything_is_as_before(place, operations):
    folder, steps, crashes = place()
    wanted = Path(tempfile.mkdtemp(dir=folder))  # the same files, on which only what is done by hand is done
    for name in ("map", "mail.sqlite", "shadow"):
        (wanted / name).write_bytes((folder / name).read_bytes())
    for kind, where, who, number in operations:
        step = steps[where]
        opened = journal.read().opened
        if kind == "hand":
            if (who, step.name) in opened and opened[who, step.name].after is None:
                continue  # a lock that ended in the middle: nobody can tell its work from a hand's
            for copy in (folder, wanted):
                (by_hand_in_sql if where == 1 else by_hand_in_shadow)(copy, who, number)
            event("changed by hand")
            continue
        crashes.left = number
        try:
            if kind == "lock":
                transaction.lock(step, who, "test")
            else:
                transaction.unlock(step, who, "test")
            crashes.left = None
        except Crash:
            event(f"{kind} crashed")
            continue
        if kind == "lock":
            locked = [{"action": "REJECT locked"}, {"smtp_active": "0", "note": '"locked"'}, {"expire": "1"}][where]
            assert all(locked.items() <= fields.items() for fields in step.read(who).values())
    for step in steps:
        transaction.lock(step, ACCOUNTS, "test")  # what was changed by hand is taken over
        transaction.unlock(step, ACCOUNTS, "test")
    assert everything(folder) == everything(wanted)
    assert journal.read().opened == {}


class Broken(TextStep):
    """A step whose lock fails, after it changed how many accounts; unreachable: also reading fails then."""

    own = False

    def __init__(self, path, changed=0, unreachable=False):
        super().__init__(path, Crashes())
        self.changed, self.unreachable, self.failed = changed, unreachable, False

    def read(self, accounts):
        if self.failed and self.unreachable:
            raise HostError("the server is away")
        return super().read(accounts)

    def lock(self, accounts):
        super().lock(accounts[: self.changed])
        self.failed = True
        raise HostError("the server went away")


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_lock_that_failed_and_changed_nothing_does_not_undo_later_what_others_do(state, tmp_path):
    with pytest.raises(HostError, match="went away"):
        transaction.lock(Broken(tmp_path / "map"), [A], "i1")
    assert journal.read().opened == {}
    step = TextStep(tmp_path / "map", Crashes())
    step.own = False
    step.lock([A])
    assert transaction.unlock(step, [A], "i2").changed == [], "the administrator's own entry stays"


def test_a_lock_that_failed_half_way_or_cannot_be_seen_stays_open_and_is_set_back(state, tmp_path):
    for step in (Broken(tmp_path / "map", changed=1), Broken(tmp_path / "map", changed=1, unreachable=True)):
        with pytest.raises(HostError):
            transaction.lock(step, [A, B], "i1")
        assert (A, "map") in journal.read().opened
        assert ((B, "map") in journal.read().opened) is step.unreachable
        step.unreachable = False
        transaction.unlock(step, [A, B], "i2")
        assert (tmp_path / "map").read_text() == ""
        assert journal.read().opened == {}


def test_what_was_changed_by_hand_is_refused_and_named_and_taken_over_by_the_next_lock(place):
    folder, (_, step, _), _ = place()
    before = rows(folder)
    transaction.lock(step, [A, B], "i1")
    by_hand_in_sql(folder, A, 7)
    refused = transaction.unlock(step, [A, B], "i1")
    assert list(refused.refused) == [A]
    assert "smtp_active=7 in backend:mail were changed by hand since the lock, which set smtp_active=0" in refused.refused[A]
    assert transaction.lock(step, [A], "i2").changed == [A]
    assert transaction.unlock(step, [A], "i2") == transaction.Outcome([A], [], {})
    assert [row[3] for row in rows(folder)[:2]] == [7, before[1][3]]
    assert rows(folder)[0][4] == before[0][4], "what nobody changed is as before the lock"


def test_force_sets_back_what_was_changed_by_hand(place):
    folder, (_, step, _), _ = place()
    before = rows(folder)
    transaction.lock(step, [A], "i1")
    by_hand_in_sql(folder, A, 7)
    assert transaction.unlock(step, [A], "i1", force=True).changed == [A]
    assert rows(folder) == before


def test_a_second_run_and_check_mode_change_nothing(place):
    folder, (_, step, _), _ = place()
    before = everything(folder)
    assert transaction.lock(step, [A, "x@alpha.test"], "i1", check_mode=True) == transaction.Outcome([A], ["x@alpha.test"], {})
    assert everything(folder) == before
    assert journal.read().lines == 0
    assert transaction.lock(step, [A], "i1").changed == [A]
    lines, locked = journal.read().lines, everything(folder)
    assert transaction.lock(step, [A], "i1").changed == []
    assert (journal.read().lines, everything(folder)) == (lines, locked)


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import conftest
from goodstanding_src.module_utils.goodstanding.host import files, journal
files.STATE = sys.argv[2]
journal.write(step="map", account="a", before={}, result="begun")
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
for account in "bc":
    try:
        journal.write(step="map", account=account, before={}, result="begun")
        print("taken")
    except OSError as exc:
        print(exc)
"""


def test_half_a_line_on_a_full_disk_is_no_line(state):
    """A limit on the file's size stands in for the full disk: the kernel takes a part of the line and says how much."""
    tests = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", FULL, str(tests), str(state)], capture_output=True, text=True, check=True)
    assert "taken" not in done.stdout
    assert "only a part of a line could be written" in done.stdout
    assert (state / journal.FILE).read_text().count("\n") == 1
    assert (state / journal.FILE).stat().st_size < 200
    journal.write(step="map", account="d", before={}, result="begun")
    book = journal.read()
    assert list(book.opened) == [("a", "map"), ("d", "map")]
    assert book.damaged == [], "a full disk is no tampering: an unlock does not ask for force"

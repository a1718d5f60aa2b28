# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count what each local user sends by sendmail(1), and refuse further mail of who met a limit until its window has room again.

users.py puts this file on the host as it is, as a program that runs as root; it imports nothing of ours.
* What is sent: postdrop(1) writes each message into a file of the directory maildrop that belongs to the user who sends it, and makes it
  executable when it is whole; pickup(8) takes it then. inotify(7) tells of each. No log is read: there, a user may write what he likes.
* What is refused: who stands in a texthash map, which sendmail(1) and postdrop(1) read anew for each message
  (authorized_submit_users = !texthash:...). The message that meets the limit is taken whole, as are those that are on their way then.

usage: PROGRAM CONFIG
Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import mmap
import os
import pwd
import queue
import socket
import sqlite3
import stat
import struct
import sys
import threading
import time
import typing as t

#: As in policy.py.
WINDOWS = {"minute": 60, "hour": 3600, "day": 86400}
DATABASE, MAP = "counts.sqlite3", "refused"
#: What Postfix calls a user who has no name.
NAMELESS = "unknown"

_RECIPIENT = ord("R")  # Postfix's rec_type.h
_MOVED_TO, _ATTRIB, _DELETE, _UNMOUNT, _OVERFLOW, _IGNORED = 0x80, 0x4, 0x200, 0x2000, 0x4000, 0x8000
#: So many files are held open at most; of more, a message counts as one recipient.
_MAX_OPEN = 400
_KEEP_HITS = 14 * 86400
#: What was counted later than that from now was counted by a clock that was wrong.
_AHEAD = 60
_CLEAN_EVERY = 3600
_TELL_EVERY = 3
_TABLES = """
CREATE TABLE IF NOT EXISTS counts (uid INTEGER, second INTEGER, recipients INTEGER, PRIMARY KEY (uid, second)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hits (uid INTEGER, span TEXT, kind TEXT, minute INTEGER, hits INTEGER, first INTEGER, last INTEGER,
                                 PRIMARY KEY (uid, span, kind, minute)) WITHOUT ROWID;
"""
_COUNT = "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT (uid, second) DO UPDATE SET recipients = recipients + excluded.recipients"
_HIT = (
    "INSERT INTO hits VALUES (?, ?, ?, ?, 1, ?, ?) "
    "ON CONFLICT (uid, span, kind, minute) DO UPDATE SET hits = hits + 1, last = excluded.last"
)
WHO = "SELECT uid, span, kind, SUM(hits), MIN(first), MAX(last) FROM hits WHERE last >= ? GROUP BY uid, span, kind ORDER BY 4 DESC LIMIT ?"


class Counter:
    """Counts recipients per local user, and knows who is refused. document: users.document()."""

    def __init__(self, document: t.Mapping[str, t.Any], folder: str, log: t.Callable[[str], object]) -> None:
        self.document, self.folder, self.log = document, folder, log
        #: Per uid that met a limit the window.
        self.refused: dict[int, str] = {}
        #: When and why something was not counted or not refused, the last time.
        self.failed, self.why = 0, ""
        self._database: sqlite3.Connection | None = None
        self._cleaned = 0.0
        self._written: str | None = None

    def begin(self) -> float:
        """Refuse again who was refused when this program ended; return the time of what was counted last."""
        since = time.time()
        with self._careful():
            self._clean()
            database = self._opened()
            since = min(since, database.execute("SELECT MAX(second) FROM counts").fetchone()[0] or since)
            for (uid,) in database.execute("SELECT DISTINCT uid FROM counts").fetchall():
                self._judge(uid)
        self.tick()
        return since

    def take(self, uid: int, recipients: int) -> None:
        """Count a message."""
        limit = self.limit_of(uid)
        if not limit or recipients < 1:
            return
        now = int(time.time())
        with self._careful():
            met = self._met(uid, limit) if self.document["shadow"] else None
            database = self._opened()
            database.execute(_COUNT, (uid, now, recipients))
            if met:
                database.execute(_HIT, (uid, met[0], "shadow", now // 60, now, now))
            database.commit()
            if uid not in self.refused and self._judge(uid):
                self.publish()

    def tick(self) -> None:
        """Called each second: let those send again whose window has room."""
        with self._careful():
            for uid in list(self.refused):
                if not self._met(uid, self.limit_of(uid)):
                    self.log(f"uid {uid} ({name_of(uid)}) may send again")
                    del self.refused[uid]
            if time.monotonic() - self._cleaned > _CLEAN_EVERY or not self._cleaned:
                self._clean()
        self.publish()

    def limit_of(self, uid: int) -> dict[str, tuple[int, str]]:
        """Return what stands for a user: per window how many recipients, and which limit that is. What sends by sendmail(1) knows one
        answer, so the soft limit counts where there is one."""
        limit = self.document["overrides"].get(str(uid))
        if limit is None:
            limit = {} if name_of(uid) in self.document["never"] else self.document["limit"]
        both = {kind: limit.get(kind, {}) for kind in ("hard", "soft")}
        return {window: (number, kind) for kind, half in both.items() for window, number in half.items()}

    def publish(self) -> None:
        """Write the map, where it is not as it must be."""
        names = {name_of(uid) for uid in self.refused}
        unfit = [name for name in names if not name.isprintable() or name.startswith("#") or set(name) & set(' "\\')]
        if unfit:
            self._fail(ValueError(f"no map can hold the name of a user that met the limit: {unfit[0][:40]!a}"))
        text = "".join(f"{name.lower()} sending limit\n" for name in sorted(names.difference(unfit)))
        path = os.path.join(self.folder, MAP)
        if text == self._written and os.path.exists(path):
            return
        try:
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(f"{path}.new", 0o644)  # each user reads it
            os.utime(f"{path}.new", (1, 1))  # Postfix waits up to two seconds where such a file was changed just now
            os.replace(f"{path}.new", path)
            self._written = text
        except (OSError, ValueError) as exc:
            self._fail(exc)

    def _judge(self, uid: int) -> bool:
        """Refuse a user who met a limit, and return whether he did."""
        met = self._met(uid, self.limit_of(uid))
        if not met or self.document["shadow"]:
            return False
        window, kind = met
        now = int(time.time())
        if uid not in self.refused:
            self.refused[uid] = window
            self.log(f"uid {uid} ({name_of(uid)}) may not send: it met its {kind} limit of recipients ({window})")
            self._opened().execute(_HIT, (uid, window, kind, now // 60, now, now))
            self._opened().commit()
        return True

    def _met(self, uid: int, limit: t.Mapping[str, tuple[int, str]]) -> tuple[str, str] | None:
        """Return the window and the limit that is met."""
        for window, seconds in WINDOWS.items():
            if window in limit:
                now = int(time.time())
                words = uid, now - seconds, now + _AHEAD
                rows = self._opened().execute("SELECT SUM(recipients) FROM counts WHERE uid = ? AND second > ? AND second <= ?", words)
                sent = rows.fetchone()[0]
                if (sent or 0) >= limit[window][0]:
                    return window, limit[window][1]
        return None

    def _clean(self) -> None:
        now = int(time.time())
        self._opened().execute("DELETE FROM counts WHERE second < ? OR second > ?", (now - max(WINDOWS.values()) - 3600, now + _AHEAD))
        self._opened().execute("DELETE FROM hits WHERE last < ?", (now - _KEEP_HITS,))
        self._opened().commit()
        self._cleaned = time.monotonic()

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = sqlite3.connect(os.path.join(self.folder, DATABASE), timeout=2)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_TABLES)
        return self._database

    @contextlib.contextmanager
    def _careful(self) -> t.Iterator[None]:
        """Where the database fails, nobody is refused."""
        try:
            yield
        except sqlite3.Error as exc:
            self._fail(exc)
            self.refused = {}
            if self._database is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._database.close()
                self._database = None

    def _fail(self, exc: Exception) -> None:
        now = int(time.time())
        why = f"{type(exc).__name__}: {' '.join(str(exc).split())}"[:200]
        if now - self.failed > 60 or why != self.why:
            self.log(f"not limited: {why}")
        self.failed, self.why = now, why


class Maildrop:
    """The messages that come into a directory of Postfix's. found: of each the uid and its file, open; None at the end."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.found: queue.SimpleQueue[tuple[int, int | None] | None] = queue.SimpleQueue()
        #: How many came, and of how many it is not known whose they were, or how many recipients they had.
        self.lost = self.seen = 0
        self._held: dict[bytes, int] = {}
        self._last = 0.0
        library = ctypes.CDLL(None, use_errno=True)
        self._handle = library.inotify_init1(os.O_CLOEXEC)
        if self._handle < 0 or library.inotify_add_watch(self._handle, os.fsencode(folder), _MOVED_TO | _ATTRIB | _DELETE) < 0:
            raise OSError(ctypes.get_errno(), f"{folder} cannot be watched", folder)

    def look(self, since: float) -> None:
        """Find what came since then, while nobody watched."""
        for name in os.listdir(os.fsencode(self.folder)):
            handle = self._open(name)
            if handle is not None:
                self._whole(name, handle, since)

    def watch(self) -> None:
        """Find what comes, until the directory is gone; run in a thread of its own, since a long message takes a while to be read."""
        try:
            while self._read():
                pass
        finally:
            self.found.put(None)

    def _read(self) -> bool:
        """Read what events there are, or wait for one; return whether the directory is there still."""
        data, at = os.read(self._handle, 1 << 16), 0
        while at < len(data):
            _, mask, _, size = struct.unpack_from("iIII", data, at)
            self._event(mask, data[at + 16 : at + 16 + size].rstrip(b"\0"))
            at += 16 + size
            if mask & (_IGNORED | _UNMOUNT):
                return False
        return True

    def _event(self, mask: int, name: bytes) -> None:
        if mask & _OVERFLOW:  # of what was held, the end may be among what is lost
            self.lost += 1
            while self._held:
                os.close(self._held.popitem()[1])
            self.look(self._last)
        elif mask & _MOVED_TO:  # it has its name, and is being written: once it is open, pickup may take it
            handle = self._open(name)
            if handle is not None:
                self._hold(name, handle)
        elif mask & _ATTRIB:
            handle = self._held.pop(name, None)
            handle = self._open(name) if handle is None else handle
            self.seen += 1
            if handle is None:
                self.lost += 1
            else:
                self._whole(name, handle)
        elif name in self._held:  # given up
            os.close(self._held.pop(name))

    def _hold(self, name: bytes, handle: int) -> None:
        """Keep a file open that is being written, so that pickup cannot take it unseen. The oldest makes room: no user's many unfinished
        messages keep those of others from being seen."""
        old = self._held.pop(name, None)
        if old is not None:
            os.close(old)
        while self._held and len(self._held) + self.found.qsize() >= _MAX_OPEN:
            os.close(self._held.pop(next(iter(self._held))))
        self._held[name] = handle

    def _open(self, name: bytes) -> int | None:
        try:
            return os.open(os.path.join(os.fsencode(self.folder), name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None

    def _whole(self, name: bytes, handle: int, since: float = 0) -> None:
        """Hand a message on that is whole."""
        state = os.fstat(handle)
        self._last = max(self._last, state.st_ctime)
        if not stat.S_ISREG(state.st_mode) or state.st_ctime <= since:
            os.close(handle)
        elif not state.st_mode & stat.S_IXUSR:
            self._hold(name, handle)
        elif self.found.qsize() >= _MAX_OPEN:
            os.close(handle)
            self.lost += 1
            self.found.put((state.st_uid, None))
        else:
            self.found.put((state.st_uid, handle))


def recipients(handle: int) -> int:
    """Return how many recipients a message of the maildrop has, and close it. Its records are a type, a length (seven bits an octet, the
    lowest first) and so many octets (Postfix's record.c); what the message says is in some of them, and never read."""
    found = 0
    with open(handle, "rb") as file:
        if not os.fstat(handle).st_size:
            return 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at, end = 0, len(data)
            while at + 1 < end:
                if data[at] == _RECIPIENT:
                    found += 1
                size = data[at + 1]
                at += 2
                if size > 127:
                    size &= 127
                    shift = 7
                    while at < end and shift < 63:
                        more = data[at]
                        size |= (more & 127) << shift
                        shift += 7
                        at += 1
                        if more < 128:
                            break
                at += size
    return found


def name_of(uid: int) -> str:
    """Return the name by which Postfix looks a user up."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return NAMELESS


def digest(path: str) -> str:
    """Return a hash of a file, which tells a daemon that runs with another one."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _notify(text: str) -> None:
    """Tell systemd (sd_notify(3))."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if place:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(text.encode(), "\0" + place[1:] if place[0] == "@" else place)


def serve(path: str) -> int:
    """Count until the directory is gone; systemd starts it again."""
    with contextlib.suppress(OSError):  # not allowed in many containers
        os.nice(-15)  # so that a host that is busy sees a message before pickup has taken it
    sys.setswitchinterval(0.0005)  # nor is the thread that watches to wait for the one that reads a long message
    running = digest(path)
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    counter = Counter(document, document["folder"], lambda text: print(text, file=sys.stderr, flush=True))
    maildrop = Maildrop(document["maildrop"])
    maildrop.look(counter.begin())
    threading.Thread(target=maildrop.watch, daemon=True).start()

    def tell(word: str) -> None:
        status = {"config": running, "failed": counter.failed, "why": counter.why, "lost": maildrop.lost, "seen": maildrop.seen}
        _notify(f"{word}\nSTATUS={json.dumps(status)}")

    tell("READY=1")
    last = told = time.monotonic()
    while True:
        try:
            item = maildrop.found.get(timeout=1)
            if item is None:
                print(f"{maildrop.folder} is gone", file=sys.stderr, flush=True)
                return 1
            uid, handle = item
            counter.take(uid, 1 if handle is None else recipients(handle))
        except queue.Empty:
            pass
        if time.monotonic() - last >= 1:
            counter.tick()
            last = time.monotonic()
        if last - told >= _TELL_EVERY:
            tell("WATCHDOG=1")
            told = last


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1]))

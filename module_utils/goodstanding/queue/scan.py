# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the messages of accounts, clients and local users in Postfix's queue. Standard library only, Python >= 3.9."""

from __future__ import annotations

import errno
import ipaddress
import os
import pwd
import re
import stat
import typing as t

from ..host.files import HostError, Run, must
from . import envelope
from .envelope import Envelope

#: In the order in which mail moves, so that what moves while they are listed is seen, if twice.
QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")
#: Those that postsuper(1) puts on hold.
MOVABLE = ("incoming", "active", "deferred")
#: Lists of names in one scan, and folders in folders (hash_queue_depth).
ROUNDS, MAX_DEPTH = 4, 8
#: A local user in place of a login: uid:33, uid:www-data.
_UID = "uid:"
_QUEUE_ID = re.compile(r"[0-9A-Za-z]{5,30}\Z")
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class Selection(t.NamedTuple):
    """Whose mail: logins in lower case, networks of clients, uids of local users."""

    accounts: frozenset[str] = frozenset()
    networks: tuple[_Network, ...] = ()
    uids: frozenset[int] = frozenset()

    def names(self) -> list[str]:
        """Return what messages are counted by: logins, client:NETWORK, uid:NUMBER."""
        return [*sorted(self.accounts), *(f"client:{network}" for network in self.networks), *(f"uid:{uid}" for uid in sorted(self.uids))]


class Message(t.NamedTuple):
    """A selected message. of: one of the selection's names; octets: of the file; inode, mtime (ns): which file it is."""

    queue_id: str
    queue: str
    path: str
    of: str
    sender: str
    client: str
    octets: int
    inode: int
    mtime: int


class Scan(t.NamedTuple):
    """messages: the selected by queue ID; unread: queue IDs whose envelope cannot be told; bounces: recipient by queue ID of all mail
    with the null sender."""

    messages: dict[str, Message]
    unread: list[str]
    bounces: dict[str, str]

    def count(self, *queues: str) -> int:
        return sum(1 for message in self.messages.values() if message.queue in queues)


def select(accounts: t.Iterable[str] = (), client_addresses: t.Iterable[str] = (), uids: t.Iterable[int] = ()) -> Selection:
    """Return a selection; HostError names what is no address or network, or no local user. accounts: logins, and uid:33 or uid:www-data."""
    networks: list[_Network] = []
    for address in client_addresses:
        try:
            network = ipaddress.ip_network(address.strip(), strict=False)
        except ValueError as exc:
            raise HostError(
                f"{address!r} is no client address: give an IP address or network, such as 203.0.113.7 or 2001:db8::/64"
            ) from exc
        if network.prefixlen == 0:
            raise HostError(f"{address!r} is every client: give an IP address or a smaller network")
        networks.append(network)
    names = frozenset(name for name in (account.strip().lower() for account in accounts) if name)
    local = frozenset(name for name in names if name.startswith(_UID))
    return Selection(names - local, tuple(networks), frozenset(uids) | {_number(name[len(_UID) :]) for name in local})


def _number(user: str) -> int:
    try:
        return int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
    except KeyError as exc:
        raise HostError(f"there is no local user {user!r} on this host: check the spelling") from exc


def queue_directory(run: Run) -> str:
    return must(run, ["postconf", "-h", "queue_directory"], "Postfix's queue directory is not known").strip()


class Queue:
    """Postfix's queue, looked at for a selection."""

    def __init__(self, directory: str, selection: Selection) -> None:
        self.directory, self.selection = directory, selection
        self._clients: dict[str, str] = {}
        try:
            # In maildrop a file is its sender's, but for mail that was queued again (postsuper -r): that is Postfix's own.
            self._owner = os.stat(os.path.join(directory, "incoming")).st_uid
        except OSError as exc:
            raise HostError(f"{directory}/incoming cannot be read ({exc.strerror}): is this Postfix's queue directory?") from exc

    def scan(self) -> Scan:
        """Return what is in the queue; HostError where it cannot be read.

        Mail moves meanwhile, and a walk misses what moves to where it was already. So names are listed, which is quick, and files that
        were not read yet are read, until a list has nothing new; where a message is, is taken from the last list."""
        found = Scan({}, [], {})
        read: set[str] = set()
        places: dict[str, tuple[str, str]] = {}
        for _ in range(ROUNDS):
            places = self._list()
            new = [queue_id for queue_id in places if queue_id not in read]
            for queue_id in new:
                if self._look(found, queue_id, *places[queue_id]):
                    read.add(queue_id)
            if not new:
                break
        rows = {name: row._replace(queue=places[name][0], path=places[name][1]) for name, row in found.messages.items() if name in places}
        return found._replace(messages=rows)

    def same(self, message: Message) -> bool:
        """Return whether a message's file is still the one that was seen, with the same envelope: short queue IDs are used again."""
        found = Scan({}, [], {})
        self._look(found, message.queue_id, message.queue, message.path)
        return found.messages.get(message.queue_id) == message

    def _list(self) -> dict[str, tuple[str, str]]:
        """Return (queue, path) by queue ID."""
        places: dict[str, tuple[str, str]] = {}
        folders = [(queue, os.path.join(self.directory, queue), 0) for queue in reversed(QUEUES)]
        while folders:
            queue, path, depth = folders.pop()
            try:
                folder = os.open(path, _OPEN | os.O_DIRECTORY)
            except OSError as exc:
                if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    continue
                raise HostError(f"{path} cannot be read ({exc.strerror}): the connecting user needs become") from exc
            try:
                names = os.listdir(folder)
            finally:
                os.close(folder)
            for name in names:
                if _QUEUE_ID.match(name):
                    places[name] = (queue, f"{path}/{name}")
                elif len(name) == 1 and depth < MAX_DEPTH:  # hash_queue_names: deferred/A/AB12CD34EF
                    folders.append((queue, f"{path}/{name}", depth + 1))
        return places

    def _look(self, found: Scan, queue_id: str, queue: str, path: str) -> bool:
        """Read one file and write down whose it is; False where it is not there."""
        try:
            file = os.open(path, _OPEN)
        except FileNotFoundError:
            return False  # delivered or moved since it was listed
        except OSError as exc:
            if exc.errno != errno.ELOOP:  # a link is no queue file
                found.unread.append(queue_id)
            return True
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or (queue in ("maildrop", "incoming") and not status.st_mode & stat.S_IXUSR):
                return True  # not yet accepted: Postfix makes a file executable when it is whole
            read = envelope.read(file)
            if read is None:
                found.unread.append(queue_id)
                return True
            of = self._of(read, queue, status.st_uid, file, queue_id)
            if of:
                found.messages[queue_id] = Message(
                    queue_id, queue, path, of, read.sender, read.told, status.st_size, status.st_ino, status.st_mtime_ns
                )
            elif not read.sender:
                found.bounces[queue_id] = read.recipient
        except OSError:
            found.unread.append(queue_id)
        finally:
            os.close(file)
        return True

    def _of(self, read: Envelope, queue: str, uid: int, file: int, queue_id: str) -> str:
        """Return which name of the selection a message is counted by, or nothing."""
        if queue == "maildrop" and uid != self._owner:
            return f"uid:{uid}" if uid in self.selection.uids else ""
        if self.selection.accounts and read.login:
            login = read.login.strip().lower()
            if login in self.selection.accounts:
                return login
        if self.selection.networks and read.client:
            return self._client(read.told) or self._client(read.client)
        if self.selection.uids and not read.client:
            uid_told = envelope.submitter(file, queue_id)
            return f"uid:{uid_told}" if uid_told in self.selection.uids else ""
        return ""

    def _client(self, address: str) -> str:
        if address not in self._clients:
            try:
                parsed = ipaddress.ip_address(address)
                of = next((f"client:{network}" for network in self.selection.networks if parsed in network), "")
            except ValueError:
                of = ""
            self._clients[address] = of
        return self._clients[address]

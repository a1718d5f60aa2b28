# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A line of Exim's main log (Exim specification, chapter 53 "Log files"). Standard library only, Python >= 3.9.

Strangers write parts of a line: the sender, the HELO name, the Message-ID, the subject. Who logged in is therefore read at one place only:
counted from the line's beginning, after the client's address and the protocol.
"""

from __future__ import annotations

import re
import typing as t

# Message IDs of Exim up to 4.96 (6-6-2) and since 4.97 (6-11-4).
_EVENT = re.compile(
    r"(?:\[\d{1,10}\] )?([0-9A-Za-z]{6}-[0-9A-Za-z]{6}(?:[0-9A-Za-z]{5})?-[0-9A-Za-z]{2,4}) (<=|=>|->|>>|\*\*|==|Completed)(?: |\Z)"
)
_SENDER = r'(?:"(?:[^"\\]|\\.){0,320}"\S{0,260}|\S{1,600})'
_FROM = (
    r" \[([0-9A-Fa-f.:]{2,45})\](?::\d{1,5})?(?: I=\[[0-9A-Fa-f.:]{2,45}\](?::\d{1,5})?)? P=\w{1,20}(?: (?!A=|S=)\S{1,300}){0,8}"
    r"(?: A=([\w-]{1,60})(?::(\S{1,320}))?)?(?: (?!S=)\S{1,300}){0,4} S=(\d{1,15})(?= |\Z)"
)
_CLIENT = re.compile(_SENDER + r" H=(?:[^\s()]{1,255})?(?: ?\([^()]{0,255}\))?" + _FROM)
_LOCAL = re.compile(_SENDER + r" U=([\w.-]{1,64}) P=local(?:-\w{1,10})? S=(\d{1,15})(?= |\Z)")
_SENDER_ALONE = re.compile(_SENDER)
_FAILED = re.compile(
    r"[\w-]{1,60} authenticator failed for .{0,300}?\[([0-9A-Fa-f.:]{2,45})\](?::\d{1,5})?(?: I=\[\S{1,60})?: "
    r".{0,200}\(set_id=(\S{1,320})\)\Z"
)
_HOST = re.compile(r" H=(\S{1,255}) \[([0-9A-Fa-f.:]{2,45})\]")
_REPLY = re.compile(r"SMTP error from remote mail server after [^:]{1,60}(?::<[^>]{0,320}>)?[^:]{0,60}: (\d{3}.{0,2000})\Z")
_UNKNOWN = re.compile(r"\d{3}[ -]5\.1\.\d")

#: kind (accepted, sent, deferred, bounced, completed, failed), message ID, and what the kind has.
Event = dict[str, t.Any]


def parse(message: str) -> Event | None:
    """Return what a line says, without its time; None where it says nothing that is counted.

    accepted: login or uid, client, size, sender, recipients (None where Exim does not log them); sent, deferred, bounced: recipient, relay
    (host and address), reply, unknown; failed: login, client."""
    found = _EVENT.match(message)
    if not found:
        failed = _FAILED.match(message)
        return {"kind": "failed", "client": failed[1], "login": failed[2]} if failed else None
    rest = message[found.end() :]
    event = {"id": found[1]}
    if found[2] == "<=":
        return {**event, "kind": "accepted", **_arrival(rest)}
    if found[2] == "Completed":
        return {**event, "kind": "completed"}
    recipient, host, said = rest.partition(" ")[0].strip("<>:,"), _HOST.search(rest), _REPLY.search(rest[:4000])
    kind, reply = {"**": "bounced", "==": "deferred"}.get(found[2], "sent"), said[1] if said else ""
    return {
        **event, "kind": kind, "recipient": recipient[:320], "relay": f"{host[1]}[{host[2]}]" if host else "", "reply": reply,
        "unknown": kind == "bounced" and bool(_UNKNOWN.match(reply)),
    }  # fmt: skip


def _arrival(rest: str) -> Event:
    client = _CLIENT.match(rest)
    local = None if client else _LOCAL.match(rest)
    arrival: Event = {"login": None, "uid": None, "client": None, "size": 0, "recipients": None, "sender": ""}
    if client:
        arrival.update(client=client[1], login=client[3], size=int(client[4]))
    elif local:
        arrival.update(uid=local[1], size=int(local[2]))
    sender = _SENDER_ALONE.match(rest)
    arrival["sender"] = sender[0].strip("<>")[:200] if sender else ""
    # Recipients (log_selector +received_recipients) follow the subject, in which Exim escapes quotes.
    end = (client or local).end() if client or local else 0  # type: ignore[union-attr]
    last = _last_quote(rest, end) if ' T="' in rest[end:] else end
    listed = rest.find(" for ", last)
    if listed >= 0:
        arrival["recipients"] = len(rest[listed + 5 :].split())
    return arrival


def _last_quote(text: str, begin: int) -> int:
    """Return where the last quote is that is not escaped."""
    place = text.rfind('"', begin)
    while place > begin and text[place - 1] == "\\":
        place = text.rfind('"', begin, place)
    return max(place, begin)

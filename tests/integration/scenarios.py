# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Break-ins and ordinary senders, done for real on the lab and then told over four weeks.

Each act is one session against the real Postfix and Dovecot. Its lines are cut out of the hosts' own logs, and a scenario replays them:
only their stamps are moved, so that some acts fill a month. What is to be found in such a log is counted from the acts, not from the log.
"""

from __future__ import annotations

import datetime
import json
import random
import re
import typing as t

from lab import HOSTS, on

NOW = datetime.datetime(2026, 11, 24, 18, 0, tzinfo=datetime.timezone.utc).timestamp()  # a Tuesday
HOUR, DAY = 3600.0, 86400.0
WORK = (8, 9, 10, 11, 13, 14, 15, 16)
FORWARDED = "frank@beta.test"
RELAYED = "203.0.113.39"
WEB = ("www-data", "33")

Act = dict[str, t.Any]
Entry = tuple[float, Act]


def network(number: int, address: int = 7) -> str:
    return f"198.18.{number}.{address}"


def recipients(count: int, unknown: int, first: int = 0) -> list[str]:
    """So many recipients of which some do not exist: the receiver knows known0@, known1@ ... only."""
    names = [f"nobody{first + number}" if number < unknown else f"known{(first + number) % 500}" for number in range(count)]
    return [f"{name}@dest{(first + number) % 7}.world.test" for number, name in enumerate(names)]


class Acts:
    """The acts of all scenarios, each with a serial of its own."""

    def __init__(self) -> None:
        self.all: list[Act] = []

    def add(self, kind: str, account: str, source: str, host: str = "mx1", count: int = 0, unknown: int = 0, **fields: t.Any) -> Act:
        serial = 10_000_000 + len(self.all)
        act = {
            "kind": kind, "account": account, "source": source, "host": host, "serial": serial, "unknown": unknown, "sender": account,
            "secret": "pw-" + account.replace("@", "-"), "recipients": recipients(count, unknown, serial % 1000), **fields,
        }  # fmt: skip
        self.all.append(act)
        return act

    def usual(self, account: str, source: str, host: str = "mx1", sizes: tuple[int, ...] = (1, 1, 2, 3), **fields: t.Any) -> list[Act]:
        """What a person sends on any day."""
        return [self.add("send", account, source, host, size, **fields) for size in sizes]


class Scenario(t.NamedTuple):
    """entries: when which act is told of; who: of whom; verdict: which is expected, or None; says: what its sentence must hold."""

    name: str
    text: str
    who: tuple[str, ...]
    verdict: str | None
    says: str
    entries: list[Entry]


def days(acts: list[Act], hours: tuple[int, ...] = WORK, first: int = 28, last: int = 0, a_day: int = 6, seed: int = 1) -> list[Entry]:
    """Tell acts on each working day, from so many days ago to so many days ago, some a day at these hours (UTC)."""
    dice = random.Random(seed)
    entries = []
    for day in range(first, last - 1, -1):
        midnight = NOW - NOW % DAY - day * DAY
        if datetime.datetime.fromtimestamp(midnight, datetime.timezone.utc).weekday() < 5:
            for _ in range(a_day):
                moment = midnight + dice.choice(hours) * HOUR + dice.randrange(3300)
                if moment < NOW - 60:
                    entries.append((moment, dice.choice(acts)))
    return entries


def spread(acts: list[Act], begin: float, end: float) -> list[Entry]:
    """Tell each act once, at even distances."""
    return [(begin + (end - begin) * number / len(acts), act) for number, act in enumerate(acts)]


class Scenarios:
    """The acts that are to be done, and the scenarios that tell of them."""

    def __init__(self) -> None:
        self.acts, self.all = Acts(), []
        self.break_ins()
        self.ordinary()
        self.alike = self.same_acts()

    def tell(self, name: str, text: str, who: str | tuple[str, ...], verdict: str | None, *parts: list[Entry], says: str = "") -> None:
        names = (who,) if isinstance(who, str) else who
        entries = sorted((entry for part in parts for entry in part), key=lambda entry: entry[0])
        self.all.append(Scenario(name, text, names, verdict, says, entries))

    def break_ins(self) -> None:
        acts, tell = self.acts, self.tell
        who = "mallory@alpha.test"
        home = acts.usual(who, "203.0.113.30")
        flood = [acts.add("send", who, network(200), "mx1", 20, 10) for _ in range(160)]
        guesses = [acts.add("send", who, network(100 + number), "mx1", 1, secret=f"guess{number}") for number in range(12)]
        says = "(its normal: 2 an hour), 50 % unknown users, after 12 failed logins from 12"
        tell(
            "flood", "3,200 recipients in 40 minutes from one address, after failed logins", who, "compromised", days(home),
            spread(guesses, NOW - 3 * HOUR, NOW - 2 * HOUR), spread(flood, NOW - 41 * 60, NOW - 60), says=says,
        )  # fmt: skip

        who = "alice@alpha.test"
        home = acts.usual(who, "203.0.113.30")
        bots = [acts.add("send", who, network(number % 60, 10 + number // 60), HOSTS[number % 2], 5, 1) for number in range(212)]
        says = f"sent {size(bots):,} recipients in 3 h (its normal: 2 an hour), 20 % unknown users, from 213 addresses in 61 networks"
        evenly = spread(bots, NOW - 3 * HOUR, NOW - 60)
        tell("botnet", "212 addresses, one message each, on both hosts", who, "compromised", days(home), evenly, says=says)

        who = "bob@alpha.test"
        home = acts.usual(who, "203.0.113.31")
        drip = [acts.add("send", who, network(201), "mx1", 6, 1) for _ in range(12)]
        hourly = [(NOW - 7 * DAY + hour * HOUR + 900, drip[hour % 12]) for hour in range(7 * 24)]
        text = "6 recipients an hour, day and night, for 7 days, one in six unknown: under every daily threshold"
        tell("slow drip", text, who, "compromised", days(home), hourly, says="16 % unknown users in 7 days")

        who = "carol@alpha.test"
        home = acts.usual(who, "203.0.113.32")
        night = [acts.add("send", who, network(202), "mx2", 10, 3) for _ in range(32)]
        evenly = spread(night, NOW - NOW % DAY + HOUR, NOW - NOW % DAY + 5 * HOUR)
        says = f"{size(night)} of them at hours at which it never sent before"
        tell("night only", "80 recipients an hour from 1 to 5 o'clock, from one address", who, "compromised", days(home), evenly, says=says)

        who = "dave@alpha.test"
        reading = [acts.add("imap", who, "203.0.113.33", host) for host in HOSTS]
        sending = [acts.add("send", who, network(203), "mx1", 15, 3) for _ in range(20)]
        evenly = spread(sending, NOW - 2 * HOUR, NOW - 60)
        says = f"sent {size(sending)} recipients in 2 h (its normal: 0 an hour), 20 % unknown users, the first mail that it sends"
        tell("IMAP-only account", "reads mail for four weeks, then sends to 300", who, "compromised", days(reading), evenly, says=says)

        web = [acts.add("local", "app@alpha.test", "", "mx1", 1) for _ in range(2)]
        spam = [acts.add("local", "app@alpha.test", "", "mx1", 10, 4) for _ in range(60)]
        says, evenly = f"The local user 33 of mx1 sent {size(spam)} recipients in ", spread(spam, NOW - HOUR, NOW - 60)
        text = "a script under www-data that sends a few messages a day sends 600"
        tell("web application", text, f"uid:{WEB[1]}@mx1", "compromised", days(web), evenly, says=says)

        who, secret = "erin@alpha.test", "app-erin-alpha.test"
        home = acts.usual(who, "203.0.113.34")
        app = [acts.add("send", who, network(204 + number % 2), "mx2", 12, 3, secret=secret) for number in range(60)]
        text = "the owner goes on at home while the stolen app password sends 720 elsewhere"
        tell("app password", text, who, "compromised", days(home), spread(app, NOW - 5 * HOUR, NOW - 60), says="25 % unknown users")

        pair = ("frank@alpha.test", "grace@alpha.test")
        homes = [acts.usual(who, f"203.0.113.{35 + number}") for number, who in enumerate(pair)]
        floods = [[acts.add("send", who, network(206), "mx1", 10, 4) for _ in range(40)] for who in pair]
        tell(
            "two accounts at once", "one address sends 400 by each of two accounts", pair, "compromised",
            *[days(home, seed=number) for number, home in enumerate(homes)], *[spread(flood, NOW - HOUR, NOW - 60) for flood in floods],
            says=f"sent {size(floods[0])} recipients in ",
        )  # fmt: skip

        who = "heidi@alpha.test"
        home = acts.usual(who, "203.0.113.37") + acts.usual(who, "203.0.113.37", "mx2")
        half = [acts.add("send", who, network(207), HOSTS[number % 2], 6, 1) for number in range(40)]
        text, evenly = "120 recipients by each host, neither of which is much", spread(half, NOW - 50 * 60, NOW - 60)
        tell("both hosts, half and half", text, who, "compromised", days(home), evenly, says=f"sent {size(half)} recipients in ")

        relay = [acts.add("relay", "someone@dest1.world.test", RELAYED, "mx1", 10, 4) for _ in range(60)]
        text, evenly = "a stranger's address stands in mynetworks", spread(relay, NOW - HOUR, NOW - 60)
        says = f"that did not log in (an open relay, unless it is a gateway): it sent {size(relay)} recipients in "
        tell("open relay", text, "relay:internet@mx1", "compromised", evenly, says=says)

    def ordinary(self) -> None:
        acts, tell = self.acts, self.tell
        who = "ivan@alpha.test"
        letters = [acts.add("send", who, "203.0.113.38", "mx1", 40, 2) for _ in range(50)]
        weekly = [entry for week in range(4) for entry in spread(letters, NOW - week * 7 * DAY - 9 * HOUR, NOW - week * 7 * DAY - 8 * HOUR)]
        tell("newsletter", "2,000 recipients each Tuesday, one in twenty unknown", who, None, weekly)

        who = "judy@alpha.test"
        posts = [acts.add("send", who, "203.0.113.38", "mx1", 25, 1, sender=f"list-bounces+{number}@alpha.test") for number in range(24)]
        tell("mailing list", "300 recipients a day under many senders, also on this one", who, None, days(posts, a_day=12))

        who = "niaj@alpha.test"
        home = acts.usual(who, "203.0.113.30")
        journey = [acts.add("send", who, network(210 + number), "mx2", 2) for number in range(5)]
        mistyped = [(NOW - 5 * HOUR, acts.add("send", who, network(212), "mx2", 1, secret="mistyped"))]
        evenly = spread(journey, NOW - 10 * HOUR, NOW - HOUR)
        tell("traveller", "five networks in a day, one mistyped password", who, None, days(home), evenly, mistyped)

        staff = [f"{name}@beta.test" for name in ("alice", "bob", "carol", "dave", "erin")]
        desks = [acts.usual(who, "203.0.113.36") for who in staff]
        slips = [acts.add("send", staff[0], "203.0.113.36", "mx1", 1, secret=f"slip{number}") for number in range(6)]
        tell(
            "office behind one NAT", "five accounts of one address, one of which mistypes six times", tuple(staff), None,
            *[days(desk, a_day=8, seed=number) for number, desk in enumerate(desks)], spread(slips, NOW - 8 * HOUR, NOW - 7 * HOUR),
        )  # fmt: skip

        who = "frank@alpha.test"
        first = [
            acts.add("send", who, source, "mx1", count) for source in ("203.0.113.30", network(220), network(221)) for count in (1, 2, 5)
        ]
        tell("new employee", "the first week: 75 messages from three addresses, with no past", who, None, days(first, first=5, a_day=15))

        who = "grace@beta.test"
        home = acts.usual(who, "203.0.113.31")
        resend = [acts.add("send", who, "203.0.113.31", "mx1", 15, 0 if number % 3 else 1) for number in range(100)]
        text, evenly = "1,500 recipients in an hour from the usual address, few unknown", spread(resend, NOW - 3 * HOUR, NOW - 2 * HOUR)
        says = f"sent {size(resend):,} recipients in "
        tell("migration that sends again", text, who, "suspect", days(home), evenly, says=says)

        writers = [(f"writer{number}@dest2.world.test", network(222, number)) for number in range(40)]
        fields = {"recipients": [FORWARDED], "unknown": 1, "forwarded": True}
        arriving = [acts.add("relay", writer, source, "mx1", **fields) for writer, source in writers]
        text = "mail from outside goes on to an address that does not exist, from senders that do not exist"
        tell("forwarder that bounces", text, f"forward:{FORWARDED}@mx1", "forward", days(arriving, a_day=60))

        who = "heidi@beta.test"
        probe = [acts.add("send", who, "203.0.113.33", "mx2", 1), acts.add("imap", who, "203.0.113.33", "mx2")]
        always = [(NOW - 20 * DAY + 300 * number, probe[number % 2]) for number in range(20 * 288 - 1)]
        tell("monitoring probe", "sends and reads every five minutes, day and night", who, None, always)

    def same_acts(self) -> str:
        """Add the same acts on both hosts, and return whose they are."""
        who = "niaj@beta.test"
        for host in HOSTS:
            for kind, secret in (("send", ""), ("aborted", ""), ("send", "wrong"), ("imap", ""), ("imap", "wrong")):
                for number in range(3):
                    fields = {"secret": secret} if secret else {}
                    self.acts.add(kind, who, network(230 + number), host, 3, 1, **fields)
        return who


def size(acts: list[Act]) -> int:
    """Return how many recipients acts have."""
    return sum(len(act["recipients"]) for act in acts)


# ---- doing them


def do(acts: list[Act]) -> dict[int, Act]:
    """Do the acts on the lab; return them by their serial, with what became of each."""
    remote = [act for act in acts if act["kind"] != "local"]
    done = json.loads(on("botnet", "/var/lib/lab/scenarios.py", data=json.dumps(remote)))
    script = "".join(
        f"runuser -u {WEB[0]} -- sendmail -f {act['sender']} {' '.join(act['recipients'])} <<'END'\n"
        f"Message-ID: <{act['serial']}.lab@botnet>\nSubject: {act['serial']}\n\nHello.\nEND\n"
        for act in acts if act["kind"] == "local"
    )  # fmt: skip
    on("mx1", "sh", "-e", data=script)
    done += [{**act, "result": "accepted"} for act in acts if act["kind"] == "local"]
    return {act["serial"]: act for act in done}


# ---- the hosts' own lines

_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6})([+-]\d\d:?\d\d) (\S+) ([^\s:\[]+)(?:\[(\d+)\])?: (.*)")
_ID = re.compile(r"(?:NOQUEUE|([0-9A-Za-z]{5,30})): ")


class Line(t.NamedTuple):
    time: float
    zone: str
    rest: str  # from the host on
    program: str
    pid: str
    message: str


def parse(text: str) -> list[Line]:
    found = []
    for raw in text.splitlines():
        match = _LINE.match(raw)
        if match:
            time = datetime.datetime.fromisoformat(match[1] + "+00:00").timestamp()
            found.append(Line(time, match[2], raw[match.end(2) + 1 :], match[4], match[5] or "", match[6]))
    return found


def logged(host: str) -> str:
    command = "cat /var/log/mail.log" if host == "mx1" else "journalctl -q --no-pager -o short-iso-precise SYSLOG_FACILITY=2"
    return on(host, "sh", "-c", command)


class Message:
    """A message in a log: its lines, its serial, the session that brought it, and the bounce that it caused."""

    def __init__(self, session: list[Line]) -> None:
        self.lines: list[Line] = []
        self.session, self.serial = session, ""
        self.bounce: Message | None = None

    def all(self) -> list[Line]:
        own = {id(line): line for line in [*self.session, *self.lines, *(self.bounce.all() if self.bounce else [])]}
        return sorted(own.values(), key=lambda line: line.time)


def cut(lines: list[Line]) -> dict[str, list[Line]]:
    """Return the lines of each act by its serial, of logins by 'account address', of failed ones over SMTP by 'failed address'."""
    under_way: dict[str, Message] = {}  # by queue ID, which is used again
    sessions: dict[str, list[Line]] = {}
    messages: list[Message] = []
    found: dict[str, list[Line]] = {}
    for line in lines:
        match = _ID.match(line.message)
        queue_id, daemon = match[1] if match else None, line.program.rpartition("/")[2]
        if daemon == "smtpd":
            if line.message.startswith("connect from ") or line.pid not in sessions:
                sessions[line.pid] = []
            session = sessions[line.pid]
            session.append(line)
            address = re.search(r"\[([\d.]+)\]", line.message)
            if "authentication failed" in line.message and address:
                found[f"failed {address[1]}"] = session
        if queue_id and (queue_id not in under_way or ": client=" in line.message):
            under_way[queue_id] = Message(sessions[line.pid] if daemon == "smtpd" else [])
            messages.append(under_way[queue_id])
        if queue_id:
            message = under_way[queue_id]
            message.lines.append(line)
            serial = re.search(r": message-id=<(\d+)\.lab@botnet>", line.message)
            bounce = re.search(r": sender non-delivery notification: (\w+)", line.message)
            if serial:
                message.serial = serial[1]
            if bounce:
                message.bounce = under_way.get(bounce[1])
            if line.message.endswith(": removed"):
                del under_way[queue_id]
        user, address = re.search(r"user=<([^>]+)>", line.message), re.search(r" rip=([\d.]+)", line.message)
        if user and address and "-login: " in f"{line.program}: {line.message}":
            found.setdefault(f"{user[1]} {address[1]}", []).append(line)
    found.update({message.serial: message.all() for message in messages if message.serial})
    return found


def compose(scenario: Scenario, cuts: dict[str, dict[str, list[Line]]]) -> dict[str, list[str]]:
    """Return per host the log of a scenario."""
    told: dict[str, list[tuple[float, str]]] = {host: [] for host in HOSTS}
    for moment, act in scenario.entries:
        lines = lines_of(act, cuts[act["host"]])
        first = lines[0].time
        for line in lines:
            time = moment + line.time - first
            told[act["host"]].append((time, written(line, time)))
    return {host: [text for _, text in sorted(lines, key=lambda each: each[0])] for host, lines in told.items()}


def written(line: Line, time: float) -> str:
    """Return a line as it was logged, at a time."""
    stamp = datetime.datetime.fromtimestamp(time, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{stamp}{line.zone} {line.rest}"


def is_failed(act: Act) -> bool:
    return bool(act["secret"].startswith(("guess", "slip", "mistyped", "wrong")))


def lines_of(act: Act, cuts: dict[str, list[Line]]) -> list[Line]:
    key = str(act["serial"])
    if act["kind"] == "imap":
        key = f"{act['account']} {act['source']}"
    elif is_failed(act):
        key = f"failed {act['source']}"
    assert cuts.get(key), f"the log of {act['host']} has no lines of {act}"
    return cuts[key]


def expected(scenario: Scenario, name: str, hours: int = 24) -> dict[str, int]:
    """Return what was done in the last hours under a name, counted from the acts."""
    mine = [act for moment, act in scenario.entries if moment >= NOW - hours * HOUR - NOW % HOUR and name_of(act) == name]
    sent = [act for act in mine if act["result"] == "accepted" and act["kind"] != "imap"]
    return {
        "messages": len(sent),
        "recipients": sum(len(act["recipients"]) for act in sent),
        "unknown_recipients": sum(act["unknown"] for act in sent),
        "clients": len({act["source"] for act in sent} - {""}),
        "failed_logins": sum(act["result"] == "login_failed" for act in mine),
    }


def name_of(act: Act) -> str:
    if act["kind"] == "local":
        return f"uid:{WEB[1]}@mx1"
    if act["kind"] == "relay":
        return f"forward:{FORWARDED}@mx1" if act.get("forwarded") else "relay:internet@mx1"
    name: str = act["account"]
    return name

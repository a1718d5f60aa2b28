# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of local users, beside either engine: a service of ours (users_program.py) counts, and Postfix's sendmail(1) refuses.

Postfix asks neither milter nor policy service with the uid of what comes by sendmail(1). What it does ask, for each message anew, is
whether the user may send at all: authorized_submit_users, in which the lock has its map, too (accounts/postfix_conf.py). Standard library
only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import sqlite3
import time
import typing as t

from ..accounts import postfix_conf
from ..host.files import File, HostError, Run, must, read_text
from . import engine, users_program
from .engine import Hit, Settings
from .policy import Limit, Policy, halves

PROGRAM = "/usr/local/lib/goodstanding-limits-users.py"
CONFIG = "/etc/goodstanding-limits-users.json"
UNIT = "goodstanding-limits-users.service"
#: The counts, and the map of who is refused.
STATE = os.path.dirname(postfix_conf.LIMITED)
#: Daemons that take or make mail and may hand it on by sendmail(1): who stops one stops everybody. Beside these, Postfix's own user and
#: each that a pipe or spawn service of master.cf names.
NEVER = (
    "root", "amavis", "clamav", "debian-spamd", "_rspamd", "opendkim", "opendmarc", "dovecot", "vmail", "list", "mailman", "sympa",
    "schleuder",
)  # fmt: skip
#: What failed longer ago is over, in seconds.
_RECENT = 3600
_MAX_HITS = 10_000

# Only root reads what others send. Stopped or killed, it leaves nobody refused; who met a limit is refused again when it is back.
_SERVICE = f"""\
[Unit]
Description=Good Standing: sending limits of local users
StartLimitIntervalSec=0

[Service]
Type=notify
StateDirectory={os.path.basename(STATE)}
StateDirectoryMode=0755
UMask=0077
ExecStart=/usr/bin/python3 -I {PROGRAM} {CONFIG}
ExecStopPost=/usr/bin/truncate -c -s 0 {postfix_conf.LIMITED}
Restart=always
RestartSec=1
WatchdogSec=60
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_SYS_NICE

[Install]
WantedBy=multi-user.target
"""


class Beside:
    """An engine (engine.Engine), and beside it the limits of local users where the policy has any."""

    def __init__(self, inner: engine.Engine) -> None:
        self.inner = inner
        self.NAME, self.PACKAGES = inner.NAME, inner.PACKAGES
        self.STORE_PACKAGES: tuple[str, ...] = getattr(inner, "STORE_PACKAGES", ())
        self.LEFTOVERS: tuple[str, ...] = (*getattr(inner, "LEFTOVERS", ()), STATE)
        self.users = False

    def wanted(self, run: Run, policy: Policy, settings: Settings) -> list[File]:
        """See engine.Engine; what it is told here stands for plumb(), check() and units(), too."""
        self.users = limits_any(policy)
        return self.inner.wanted(run, _of_logins(policy), settings) + (wanted(run, policy) if self.users else [])

    def plumb(self, run: Run, main: str, master: str, timeout: int) -> tuple[str, str]:
        main, master = self.inner.plumb(run, main, master, timeout)
        return (postfix_conf.plumb_limit(main) if self.users else main), master

    def unplumb(self, main: str, master: str) -> tuple[str, str]:
        main, master = self.inner.unplumb(main, master)
        return postfix_conf.unplumb_limit(main), master

    def check(self, run: Run, files: list[File]) -> None:
        self.inner.check(run, files)
        if self.users and not os.path.isdir(_maildrop(run)):
            raise HostError(f"{_maildrop(run)} does not exist: start Postfix once, which makes it")

    def units(self) -> list[str]:
        return self.inner.units() + ([UNIT] if self.users else [])

    def faults(self, run: Run, policy: Policy, since: float = 0) -> list[str]:
        return self.inner.faults(run, _of_logins(policy), since) + (faults(run, policy, since) if limits_any(policy) else [])

    def limited(self, run: Run, since: float) -> list[Hit]:
        return self.inner.limited(run, since) + limited(since)


def _of_logins(policy: Policy) -> Policy:
    """Return what of a policy is not about local users, of whom no engine knows."""
    others = {key: limit for key, limit in policy.overrides.items() if key[0] != "uid"}
    return policy._replace(uid=Limit({}, {}), overrides=others)


def limits_any(policy: Policy) -> bool:
    """Return whether a policy limits local users."""
    rows = [policy.uid, *(limit for (scope, _), limit in policy.overrides.items() if scope == "uid")]
    return any(limit.soft or limit.hard for limit in rows)


def wanted(run: Run, policy: Policy) -> list[File]:
    """Return the files as they must be; HostError names a local user that this host has not."""
    document = {"maildrop": _maildrop(run), "folder": STATE, "never": _never(run), **_limits(policy)}
    return [
        File(PROGRAM, engine.text_of(users_program), 0o755),
        File(CONFIG, json.dumps(document, indent=1, sort_keys=True) + "\n"),
        File(f"/etc/systemd/system/{UNIT}", _SERVICE),
    ]


def _maildrop(run: Run) -> str:
    return must(run, ["postconf", "-h", "queue_directory"], "Postfix's queue directory is not known").strip() + "/maildrop"


def _never(run: Run) -> list[str]:
    """Return whom the limit of all does not concern."""
    owner = must(run, ["postconf", "-h", "mail_owner"], "Postfix's own user is not known").strip()
    services = must(run, ["postconf", "-M"], "Postfix's services cannot be read")
    return sorted({*NEVER, owner, *re.findall(r"\buser=\{? *([A-Za-z0-9_][\w.-]*)", services, re.ASCII)})


def _limits(policy: Policy) -> dict[str, t.Any]:
    """Return what of the program's configuration the policy says."""
    overrides: dict[str, t.Any] = {}
    for (scope, key), limit in policy.overrides.items():
        if scope == "uid":
            uid = _uid(key)
            if uid in overrides:
                raise HostError(f"two overrides are about the local user {key} (uid {uid}), by name and by number: leave one")
            overrides[uid] = halves(limit)
    return {"limit": halves(policy.uid), "overrides": overrides, "shadow": policy.shadow}


def _uid(key: str) -> str:
    try:
        return key if key.isdigit() else str(pwd.getpwnam(key).pw_uid)
    except KeyError:
        raise HostError(
            f"an override is about the local user {key}, which this host has not: check the spelling, or write it for the hosts that have "
            "it (rate_limit_overrides_group, rate_limit_overrides_host)"
        ) from None


def faults(run: Run, policy: Policy, since: float = 0) -> list[str]:
    """Return what keeps local users from being limited, a sentence each. Reads only."""
    found = engine.unit_faults(run, [UNIT], "what local users send is not limited")
    down = any("does not run" in fault for fault in found)
    try:
        if not postfix_conf.refuses_limited(must(run, ["postconf", "-h", postfix_conf.SUBMIT], "main.cf cannot be read")):
            found.append(
                f"main.cf does not name the map of limited local users first in {postfix_conf.SUBMIT}: nobody is refused; {_AGAIN}."
            )
        text = read_text(CONFIG)
        told = json.loads(text) if text else {}
        if {name: told.get(name) for name in ("limit", "overrides", "shadow")} != _limits(policy):
            found.append(f"{CONFIG} is not as the policy says ({'changed by hand?' if text else 'it is gone'}): {_AGAIN}.")
    except (HostError, ValueError, AttributeError) as exc:
        found.append(f"{exc}: {_AGAIN}.")
    refused = read_text(postfix_conf.LIMITED)
    if refused is None:
        found.append(f"{postfix_conf.LIMITED} is gone: no local user can send by sendmail(1) until it is there; {_AGAIN}.")
    elif refused and down:
        names = ", ".join(line.split(" ")[0] for line in refused.splitlines()[:5])
        found.append(f"And who met a limit before ({names}) is refused until {UNIT} runs again.")
    return found if down else found + _told(run, since)


_AGAIN = "run the role rate_limit again"


def _told(run: Run, since: float) -> list[str]:
    """Return what the service itself says is wrong."""
    try:
        said = json.loads(run(["systemctl", "show", "-P", "StatusText", UNIT])[1])
        failed, why, lost, seen, config = (said[name] for name in ("failed", "why", "lost", "seen", "config"))
        found = []
        if failed > max(since, time.time() - _RECENT):
            found.append(f"Within the last hour local users were not limited ({str(why)[:200]}): see 'journalctl -u {UNIT}'.")
        if lost >= 10 and lost * 20 > seen:
            found.append(f"Of {seen} messages of local users {lost} were gone before they were counted: is this host too busy?")
        with contextlib.suppress(OSError):
            if config != users_program.digest(CONFIG):
                found.append(f"{UNIT} runs with other limits than those of {CONFIG}: run 'systemctl restart {UNIT}'.")
    except (KeyError, TypeError, ValueError):
        return [f"{UNIT} does not say how it is: see 'journalctl -u {UNIT}'."]
    return found


def limited(since: float) -> list[Hit]:
    """Return which local users met a limit since then, or would have in shadow mode; key: the uid. Reads only."""
    path = f"{STATE}/{users_program.DATABASE}"
    if not os.path.exists(path):
        return []
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2)) as database:
            rows = database.execute(users_program.WHO, (int(since), _MAX_HITS)).fetchall()
    except sqlite3.Error as exc:
        raise HostError(f"{path} cannot be read ({exc}): move it away, and run 'systemctl restart {UNIT}'") from exc
    return [Hit("uid", str(uid), window, kind, int(hits), float(first), float(last)) for uid, window, kind, hits, first, last in rows]

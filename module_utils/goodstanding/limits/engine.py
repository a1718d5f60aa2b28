# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine that counts recipients must offer: rspamd.py and policyd.py each do. Standard library only, Python >= 3.9."""

from __future__ import annotations

import typing as t

from ..host.files import File, HostError, Run
from .policy import Policy

#: What each refusal says, so that the log tells ours from others: MARK, scope, window, as in "goodstanding sending limit: account hour".
MARK = "goodstanding sending limit"


class Hit(t.NamedTuple):
    """Who met a limit. kind: soft, hard or shadow (would have been refused); first and last: seconds since 1970."""

    scope: str
    key: str
    window: str
    kind: str
    refusals: int
    first: float
    last: float


class Settings(t.NamedTuple):
    """What an engine needs beside the limits. store: where it counts (a Redis server host:port, or an SQL URL), empty for its own on
    this host; password: of that store, never shown; timeout: in seconds, of one question of Postfix to the engine."""

    store: str = ""
    password: str = ""
    timeout: int = 5


class Engine(t.Protocol):
    """One engine. Everything that changes a host goes through apply.py: an engine returns texts and words to run."""

    #: Its name in rate_limit_engine, and the Debian packages that it needs.
    NAME: str
    PACKAGES: tuple[str, ...]

    def wanted(self, run: Run, policy: Policy, settings: Settings) -> list[File]:
        """Return its files as they must be, drop-ins of units too, but for Postfix's; HostError where it cannot do what is asked."""

    def plumb(self, run: Run, main: str, master: str, timeout: int) -> tuple[str, str]:
        """Return main.cf and master.cf with the engine asked by every smtpd service that knows logins. timeout: see Settings."""

    def unplumb(self, main: str, master: str) -> tuple[str, str]:
        """Return main.cf and master.cf as they were before plumb(), to the byte."""

    def check(self, run: Run, files: list[File]) -> None:
        """HostError where the engine would not take these files (tried in copies)."""

    def units(self) -> list[str]:
        """Return the systemd units to be enabled, and restarted in this order when a file of the engine changed."""

    def faults(self, run: Run, policy: Policy, since: float = 0) -> list[str]:
        """Return what keeps it from limiting, a sentence each: a unit down, its store gone, its module off, its socket gone, not asked by
        Postfix. What failed and is over counts for a while, if it was not before since. Reads only."""

    def limited(self, run: Run, since: float) -> list[Hit]:
        """Return who met a limit since then, or would have in shadow mode, by the engine's own log. Reads only."""


def text_of(program: t.Any) -> str:
    """Return the text of a module that is put on the host as a program: this package's own file, also where Ansible has packed it."""
    text = program.__loader__.get_source(program.__name__)
    if not text:
        raise HostError(f"the text of {program.__name__} is not to be had here: run the module by Ansible, or from the project's tree")
    return str(text)


def unit_faults(run: Run, units: t.Iterable[str], meanwhile: str) -> list[str]:
    """Return which of these units does not run or would not after a restart of the host, a sentence each, those that are down first."""
    units = list(units)
    down = [unit for unit in units if run(["systemctl", "is-active", "--quiet", unit])[0]]
    asleep = [unit for unit in units if run(["systemctl", "is-enabled", "--quiet", unit])[0]]
    return [f"{unit} does not run: {meanwhile}; see 'systemctl status {unit}'." for unit in down] + [
        f"{unit} is not enabled: after a restart of this host {meanwhile}; run the role rate_limit again." for unit in asleep
    ]

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One milter more in main.cf and master.cf for the smtpd services that know logins, put there and taken out again to the byte.

A service's own smtpd_milters (-o) and main.cf's get one token in front; where neither has any, the service gets a line of its own, so that
mail from other servers is asked about by nobody new. Standard library only, Python >= 3.9. Sources: postconf(5) "smtpd_milters",
MILTER_README "Per-Milter settings", master(5).
"""

from __future__ import annotations

import ipaddress
import re
import tempfile
import typing as t
from pathlib import Path

from ..accounts import postfix_conf
from ..host.files import Run, must
from ..host.tokens import separator

NAME = "smtpd_milters"
PARAMETERS = (NAME, "smtpd_sasl_auth_enable", "receive_override_options", "milter_mail_macros", "smtpd_milter_maps")
_NOTE = "  # Good Standing: sending limits, see the role rate_limit"
_TOKEN = re.compile(r"\{inet:127\.0\.0\.1:(\d+),default_action=accept,connect_timeout=\d+s,command_timeout=\d+s,content_timeout=\d+s\}")
_IN_LIST = re.compile(_TOKEN.pattern + r"(?:, |,|)")
_BLOCK = rf"{re.escape(_NOTE)}\n  -o {NAME}={_TOKEN.pattern}"
_MAIN = re.compile(rf"^({NAME}[ \t]*=[ \t]*)", re.MULTILINE)
_OVERRIDE = re.compile(rf"(-o[ \t]+(?:\{{[ \t]*)?{NAME}[ \t]*=)([ \t]*)([^\s}}]?)")


class Service(t.NamedTuple):
    """A smtpd service with what it runs with. own: the parameters that it has an override of."""

    name: str
    values: t.Mapping[str, str]
    own: frozenset[str]

    @property
    def logins(self) -> bool:
        return self.values["smtpd_sasl_auth_enable"] == "yes"

    @property
    def inner(self) -> bool:
        """It listens on loopback alone, as what takes mail back from a content filter does: no user logs in there."""
        host = self.name.rpartition("/")[0].rpartition(":")[0].strip("[]")
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def milters(self) -> list[str]:
        """Return the addresses of its milters."""
        return [entry.strip("{} \t").replace(",", " ").split()[0] for entry in entries(self.values[NAME]) if entry.strip("{}, \t")]


def token(port: int, seconds: int) -> str:
    """Return the milter at a port of this host: where it does not answer, Postfix goes on without it."""
    return (
        f"{{inet:127.0.0.1:{port},default_action=accept,connect_timeout={seconds}s,command_timeout={seconds}s,"
        # The answer to a whole message comes after the message itself.
        f"content_timeout={seconds * 6}s}}"
    )


def entries(value: str) -> list[str]:
    """Return the entries of a list of milters, each as it is written, with its braces."""
    return re.findall(r"\{[^{}]*\}|[^\s,{}]+", value)


def services(run: Run, main: str, master: str) -> list[Service]:
    """Return the smtpd services of these two files, their values expanded."""
    advice = "Postfix's configuration cannot be read"
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("main.cf", main), ("master.cf", master)):
            Path(folder, name).write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
        rows = must(run, ["postconf", "-c", folder, "-M"], advice)
        overrides = must(run, ["postconf", "-c", folder, "-x", "-P"], advice)
        values = must(run, ["postconf", "-c", folder, "-x", *PARAMETERS], advice)
    found = postfix_conf.effective(rows, overrides, values)
    named = [line.partition("=")[0].strip() for line in overrides.splitlines()]
    return [
        Service(name, row, frozenset(one.rpartition("/")[2] for one in named if one.rpartition("/")[0] == name))
        for name, row in found.items()
    ]


def plumb(main: str, master: str, milter: str, wanted: list[Service]) -> tuple[str, str]:
    """Return main.cf and master.cf with the milter (see token) asked by these services, which do not ask it yet."""
    for service in wanted:
        if NAME in service.own:
            master = _in_entry(master, service.name, lambda line: _OVERRIDE.sub(lambda match: _put(match, milter), line))
        elif service.values[NAME].strip():
            if milter not in main:
                main = _MAIN.sub(lambda match: match[1] + milter + separator(match.string[match.end() :]), main)
        else:
            master = _add_line(master, service.name, f"{_NOTE}\n  -o {NAME}={milter}")
    return main, master


def unplumb(main: str, master: str) -> tuple[str, str]:
    """Return main.cf and master.cf as they were before plumb()."""
    master = re.sub(rf"^{_BLOCK}\n|\n{_BLOCK}\Z", "", master, flags=re.MULTILINE)
    return _IN_LIST.sub("", main), _IN_LIST.sub("", master)


def _put(match: re.Match[str], milter: str) -> str:
    head, blank, first = match[1], match[2], match[3]
    if "{" not in head and blank:  # without braces a space ends the option: its value is empty
        return f"{head}{milter}{blank}{first}"
    return f"{head}{blank}{milter}{',' if first else ''}{first}"


def _entry(lines: list[str], name: str) -> list[int]:
    """Return the numbers of the lines of a service's entry, comments left out."""
    found, inside = [], False
    for number, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] not in " \t":
            inside = "/".join(line.split()[:2]) == name
        if inside:
            found.append(number)
    return found


def _in_entry(master: str, name: str, change: t.Callable[[str], str]) -> str:
    lines = master.splitlines(keepends=True)
    for number in _entry(lines, name):
        lines[number] = change(lines[number])
    return "".join(lines)


def _add_line(master: str, name: str, block: str) -> str:
    """Put a block below the line on which the service's eight fields are complete."""
    lines = master.splitlines(keepends=True)
    fields = 0
    for number in _entry(lines, name):
        fields += len(lines[number].split())
        if fields >= 8:
            end = lines[number]
            lines[number] = f"{end}{block}\n" if end.endswith("\n") else f"{end}\n{block}"
            break
    return "".join(lines)

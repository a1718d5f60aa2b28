# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Sieve script does with mail: read by the grammar of RFC 5228 section 8, never run. Standard library only, Python >= 3.9.

A script is a stranger's text: every character is looked at once, nesting is bounded, and what is not Sieve is named as such, since nobody
can then say what it does. Extensions: RFC 3894 (copy), 5230 (vacation), 5435 (enotify), 5429 (reject), 6609 (include), Pigeonhole's
vnd.dovecot.pipe, .execute, .filter and .report.
"""

from __future__ import annotations

import re
import typing as t
import urllib.parse

#: Pigeonhole refuses what is nested deeper than 32 (sieve-limits.h).
MAX_DEPTH = 32

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|\#[^\n]*)
    |(?P<comment>/\*)
    |(?P<text>(?i:text):[ \t]*(?:\#[^\r\n]*)?\r?\n)
    |(?P<tag>:[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>[0-9]+[KkMmGg]?)
    |(?P<identifier>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<string>"[^"\\]*(?:\\.[^"\\]*)*")
    |(?P<mark>[;,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MATCHES_ALL = {":contains": "", ":matches": "*"}


class SieveError(ValueError):
    """A text that is no Sieve script; the message names the line and what is wrong there."""


class Token(t.NamedTuple):
    """kind: tag, number, identifier, string, mark or end; value: a string without its quotes, a tag or identifier in lower case."""

    kind: str
    value: str
    line: int


class Argument(t.NamedTuple):
    """kind: tag, number or strings; values: one word, or the strings of a list."""

    kind: str
    values: list[str]


class Test(t.NamedTuple):
    """A test with what it is given and the tests in it (not, allof, anyof)."""

    name: str
    arguments: list[Argument]
    tests: list[Test]


class Command(t.NamedTuple):
    """A command; block is None where it ends with a semicolon."""

    name: str
    arguments: list[Argument]
    tests: list[Test]
    block: list[Command] | None


class Script(t.NamedTuple):
    """does: what it does, in this module's words; targets: where it sends mail; opaque: that cannot be told in full."""

    does: list[str]
    targets: list[str]
    opaque: bool
    fault: str


def tokens(text: str) -> t.Iterator[Token]:
    """Yield the tokens of a script and one of the kind "end"; SieveError at what is none."""
    position, line, length = 0, 1, len(text)
    while position < length:
        match = _TOKEN.match(text, position)
        if not match:
            raise SieveError(f"line {line}: no word of Sieve, or a string without an end")
        kind, end = str(match.lastgroup), match.end()
        value = match[0]
        if kind == "comment":
            end = text.find("*/", end) + 2
            if end < 2:
                raise SieveError(f"line {line}: a comment without an end")
        elif kind == "text":
            value, end = _multiline(text, end, line)
            kind = "string"
        elif kind == "string":
            value = _ESCAPE.sub(r"\1", value[1:-1])
        elif kind in ("tag", "identifier"):
            value = value.lower()
        if kind not in ("space", "comment"):
            yield Token(kind, value, line)
        line += text.count("\n", position, end)
        position = end
    yield Token("end", "", line)


def _multiline(text: str, begin: int, line: int) -> tuple[str, int]:
    """Return the content of a text: block without its dot-stuffing, and where the script goes on."""
    position = begin
    while True:
        if text.startswith((".\r\n", ".\n"), position) or (position == len(text) - 1 and text.endswith(".")):
            content = re.sub(r"^\.\.", ".", text[begin:position], flags=re.MULTILINE)
            return content, min(len(text), text.find("\n", position) + 1 or len(text))
        position = text.find("\n.", position) + 1
        if not position:
            raise SieveError(f"line {line}: a text: without an end")


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._next = next(self._tokens)

    def _take(self) -> Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _at(self, mark: str) -> bool:
        return self._next.kind == "mark" and self._next.value == mark

    def _expect(self, mark: str) -> None:
        token = self._take()
        if token.kind != "mark" or token.value != mark:
            raise SieveError(f"line {token.line}: {_shown(token)} where {mark} was expected")

    def script(self) -> list[Command]:
        found = self._commands(0)
        if self._next.kind != "end":
            raise SieveError(f"line {self._next.line}: {_shown(self._next)} where a command was expected")
        return found

    def _commands(self, depth: int) -> list[Command]:
        if depth > MAX_DEPTH:
            raise SieveError(f"line {self._next.line}: blocks nested deeper than {MAX_DEPTH}")
        found = []
        while self._next.kind == "identifier":
            name = self._take().value
            arguments, tests = self._arguments(depth)
            block = None
            if self._at("{"):
                self._take()
                block = self._commands(depth + 1)
                self._expect("}")
            else:
                self._expect(";")
            found.append(Command(name, arguments, tests, block))
        return found

    def _arguments(self, depth: int) -> tuple[list[Argument], list[Test]]:
        arguments = []
        while True:
            token = self._next
            if token.kind in ("tag", "number", "string"):
                self._take()
                arguments.append(Argument("strings" if token.kind == "string" else token.kind, [token.value]))
            elif self._at("["):
                arguments.append(Argument("strings", self._strings()))
            elif token.kind == "identifier":
                return arguments, [self._test(depth + 1)]
            elif self._at("("):
                return arguments, self._tests(depth + 1)
            else:
                return arguments, []

    def _strings(self) -> list[str]:
        self._expect("[")
        found: list[str] = []
        while not found or self._at(","):
            if found:
                self._take()
            token = self._take()
            if token.kind != "string":
                raise SieveError(f"line {token.line}: {_shown(token)} where a string was expected")
            found.append(token.value)
        self._expect("]")
        return found

    def _tests(self, depth: int) -> list[Test]:
        self._expect("(")
        found: list[Test] = []
        while not found or self._at(","):
            if found:
                self._take()
            found.append(self._test(depth))
        self._expect(")")
        return found

    def _test(self, depth: int) -> Test:
        token = self._take()
        if token.kind != "identifier" or depth > 2 * MAX_DEPTH:
            raise SieveError(f"line {token.line}: {_shown(token)} where a test was expected, or tests nested too deep")
        return Test(token.value, *self._arguments(depth))


def _shown(token: Token) -> str:
    return "the end" if token.kind == "end" else f"this {token.kind}"  # never its value: it may be what is nobody's business


def parse(text: str) -> list[Command]:
    """Return the commands of a script; SieveError where it is none."""
    return _Parser(text).script()


def read(text: str) -> Script:
    """Return what a script does; one that is no Sieve is opaque, and fault says why."""
    try:
        commands = parse(text)
    except SieveError as exc:
        return Script(["not Sieve"], [], True, str(exc))
    seen = _Seen(set(), {}, False)
    _walk(commands, True, seen)
    return Script(sorted(seen.does), list(seen.targets), seen.opaque, "")


class _Seen:
    def __init__(self, does: set[str], targets: dict[str, None], opaque: bool) -> None:
        self.does, self.targets, self.opaque = does, targets, opaque

    def target(self, text: str) -> None:
        if "${" in text:
            self.opaque = True  # made of variables or encoded characters when mail comes
        self.targets[text] = None


def _walk(commands: list[Command], always: bool, seen: _Seen) -> None:
    """Note what commands do. always: whether they are reached by every message."""
    reached: bool = always
    for command in commands:
        if command.name in ("if", "elsif", "else"):
            if command.name == "if":
                reached = always
            truth = True if command.name == "else" else _truth(command.tests[0]) if command.tests else None
            _walk(command.block or [], reached and truth is True, seen)
            reached = reached and truth is False
        else:
            _note(command, always, seen)
            _walk(command.block or [], always, seen)


def _truth(test: Test) -> bool | None:
    """Return whether a test holds for every message, for none, or None where that depends."""
    inner = [_truth(one) for one in test.tests]
    if test.name in ("true", "false"):
        return test.name == "true"
    if test.name == "not" and inner:
        return None if inner[0] is None else not inner[0]
    if test.name == "allof":
        return False if False in inner else True if inner and None not in inner else None
    if test.name == "anyof":
        return True if True in inner else False if inner and None not in inner else None
    tags = {value for argument in test.arguments if argument.kind == "tag" for value in argument.values}
    keys = [argument.values for argument in test.arguments if argument.kind == "strings"]
    if test.name == "size" and ":over" in tags and [argument.values for argument in test.arguments if argument.kind == "number"] == [["0"]]:
        return True
    if test.name in ("header", "address", "envelope", "body") and keys:
        # The header must be there too; the usual ones are in every message.
        return True if any(tag in tags and key in keys[-1] for tag, key in _MATCHES_ALL.items()) else None
    return None


def _note(command: Command, always: bool, seen: _Seen) -> None:
    name, strings = command.name, [argument.values for argument in command.arguments if argument.kind == "strings"]
    tags = {value for argument in command.arguments if argument.kind == "tag" for value in argument.values}
    last = strings[-1][0] if strings and strings[-1] else ""
    if name == "redirect":
        seen.does.add("redirect")
        seen.target(last)
        seen.opaque = seen.opaque or ":list" in tags  # RFC 6134: addresses of a list that is elsewhere
    elif name in ("discard", "fileinto"):
        seen.does.add(f"{name} everything" if always else name)
    elif name == "notify":
        seen.does.add("notify")
        for value in [value for values in strings for value in values] if ":method" in tags else [last]:
            _notified(value, ":method" in tags, seen)
    elif name == "report":
        seen.does.add("report")
        seen.target(last)
    elif name in ("pipe", "execute", "filter"):
        seen.does.add(name)
        program = next((values[0] for values in strings if values), "")
        seen.target(f"|{program}")
        seen.opaque = seen.opaque or name != "filter"
    elif name in ("vacation", "include", "reject", "ereject", "addheader", "deleteheader"):
        seen.does.add(name)
    if ":copy" in tags:
        seen.does.add("copy")


def _notified(value: str, options: bool, seen: _Seen) -> None:
    """Note whom a notification goes to: the address of a mailto:, of other methods the scheme and host, since the rest may hold a token."""
    scheme, colon, rest = value.partition(":")
    if scheme.lower() == "mailto" and colon:
        head, _, headers = rest.partition("?")
        for address in head.split(","):
            if address:
                seen.target(urllib.parse.unquote(address))
        for name, more in urllib.parse.parse_qsl(headers[:2000]):
            if name.lower() in ("to", "cc", "bcc"):
                seen.target(more)
    elif options:
        if "@" in value:
            seen.target(value)
    else:
        host = urllib.parse.urlsplit(value).hostname if "//" in value else None
        seen.target(f"{scheme}://{host}" if host else f"{scheme}:")
        seen.opaque = True

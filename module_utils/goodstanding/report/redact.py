# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document as others may read it, in the log of a CI job or in a chat: accounts shortened, and no mail address of anybody else."""

from __future__ import annotations

import re
import sys
import typing as t

from ..triage.fleet import kind_of

Document = dict[str, t.Any]

SOMEBODY = "somebody@…"
_PART = r"[^\s<>()\[\]{}\"'`,;|=/]"
#: Words of a text: what may be an account of the project, a mail address with a quoted local part (RFC 5321 section 4.1.2), all else.
_WORD = re.compile(rf'(?P<own>(?:uid|relay):{_PART}+)|"(?:[^"\\\n]|\\.){{1,128}}"@{_PART}+|(?:(?!:){_PART})+')
#: A local user and a relay (uid:33@HOST, relay:192.0.2.1@HOST), before their host: nobody's mail address, and one word.
_OWN = re.compile(r"uid:[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?|relay:(?:internet|\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}:[0-9a-f:.]{1,40})")
#: The same with its host, where it is not known which hosts there are: only what cannot be a person's name.
_NOBODY = re.compile(rf"(?:uid:\d{{1,10}}|relay:(?:internet|[0-9a-f.:]{{2,45}}))@{_PART}+")
#: Where an account stands alone, and where sentences are; only there a login without a domain (it may be a common word) is looked for.
_ACCOUNTS = ("account", "key", "locks", "lock", "hold")
_SENTENCES = ("sentence", "what", "next_step", "text", "detail", "why", "reason", "next", "frozen")


def redacted(document: Document) -> Document:
    """Return the document without lines of logs, with accounts as m…@alpha.test, and mail addresses of others as somebody@…"""
    names = {row["account"] for key in ("accounts", "locks", "actions") for row in document[key] if row["account"]}
    names |= {met["key"] for row in document["limits"] for met in row["met"] if met["scope"] == "account"}
    short = _shortened(names)
    hosts = {row["host"].lower() for row in document["hosts"]}
    hosts |= {entry["host"].lower() for key in ("accounts", "locks") for row in document[key] for entry in row["hosts"]}
    # A login that is no single word is looked for by itself; there are few.
    odd = sorted((name for name in short if not _WORD.fullmatch(name)), key=len, reverse=True)

    def clean(text: str, key: str) -> str:
        if key in _ACCOUNTS and text in short:
            return short[text]
        for name in odd:
            text = text.replace(name, short[name])
        return _WORD.sub(lambda found: own(found[0], key) if found["own"] else _word(found[0], short, key in _SENTENCES), text)

    def own(word: str, key: str) -> str:
        who, _, host = word.rstrip(".!?").rpartition("@")
        if _OWN.fullmatch(who) and host.lower() in hosts:
            return word
        return ":".join(_word(part, short, key in _SENTENCES) for part in word.split(":"))

    def walk(value: t.Any, key: str = "") -> t.Any:
        if isinstance(value, dict):
            return {name: walk(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [] if key == "evidence" else [walk(each, key) for each in value]
        return clean(value, key) if isinstance(value, str) else value

    cleaned: Document = walk(document)
    return cleaned


def line(text: str) -> str:
    """Return a line of a log of which nothing is known without mail addresses; what is shortened already stays, and so do local users."""
    sign = text[:1] if text[:1] in ("+", "-") else ""  # of a diff
    return sign + _WORD.sub(lambda found: found[0] if _NOBODY.fullmatch(found[0]) else _word(found[0], {}, False), text[len(sign) :])


def _shortened(names: t.Iterable[str]) -> dict[str, str]:
    """Return how each account is called; two that would be called the same get a number."""
    short: dict[str, str] = {}
    taken: dict[str, int] = {}
    for name in sorted(name for name in names if kind_of(name) == "login"):
        local, at, domain = name.rpartition("@") if "@" in name else (name, "", "")
        start, end = f"{local[:1]}…", f"{at}{domain}"
        number = taken[start + end] = taken.get(start + end, 0) + 1
        short[name] = f"{start}{number if number > 1 else ''}{end}"
    return short


def _word(word: str, short: dict[str, str], sentence: bool) -> str:
    """Return a word of a text as others may read it; what ends a sentence is no part of an address."""
    core = word.rstrip(".!?")
    local, at, domain = core.rpartition("@")
    if core in short and (at or sentence):
        return short[core] + word[len(core) :]
    return SOMEBODY + word[len(core) :] if local and domain and not local.endswith("…") else word


def main() -> None:
    """Redact the output of a program, line by line, as it comes."""
    sys.stdin.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    for text in sys.stdin:
        print(line(text), end="", flush=True)


if __name__ == "__main__":
    main()

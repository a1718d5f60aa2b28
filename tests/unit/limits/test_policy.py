# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import json

import pytest
from goodstanding_src.module_utils.goodstanding.limits import policy
from goodstanding_src.module_utils.goodstanding.limits.policy import Limit, PolicyError, Words, as_data, from_data, parse
from hypothesis import given, settings
from hypothesis import strategies as st

TODAY = datetime.date(2026, 11, 24)
USER, NEWS = "a@alpha.test", "news@alpha.test"
USUAL = {"soft": {"minute": 50, "hour": 100, "day": 300}, "hard": {"hour": 200, "day": 600}}
MUCH, MORE, MOST = ({"soft": {"minute": size, "hour": size, "day": size}} for size in (1000, 2000, 3000))


def override(subject="account", name=NEWS, limit=MUCH, until="2026-12-31", reason="weekly newsletter") -> dict:
    return {subject: name, **limit, "reason": reason, "until": until}


def reviewed(limit=MUCH, **fields) -> dict:
    return {"accounts": {NEWS: {"reviewed": True, **limit, **fields}}}


def ruling(**words):
    return parse(Words(**{"account": USUAL, **words}), TODAY)


def hour(result, key=("account", NEWS)) -> int | None:
    """The soft limit of an hour that stands for a key, None where that of the scope does."""
    limit = result.policy.overrides.get(key)
    return limit.soft["hour"] if limit else None


OWN, OTHERS = override(), override(limit=MORE)
GROUPS = {"lists": [NEWS, "b@alpha.test"], "shops": [NEWS]}
LISTS, SHOPS = override("group", "lists", MORE), override("group", "shops", MOST)


@pytest.mark.parametrize(
    ("words", "stands", "source"),
    [
        ({}, None, None),
        ({"proposals": reviewed()}, 1000, "reviewed proposal"),
        ({"proposals": reviewed(by="anna")}, 1000, "reviewed proposal (by anna)"),
        ({"proposals": {"accounts": {NEWS: {**MUCH, "reviewed": False, "by": "anna"}}}}, 1000, "reviewed proposal (by anna)"),
        ({"proposals": {"accounts": {NEWS: {**MUCH, "reviewed": False}}}}, None, None),
        ({"proposals": {"accounts": {NEWS: MUCH}}}, None, None),
        ({"overrides": [OWN]}, 1000, "rate_limit_overrides: weekly newsletter (until 2026-12-31)"),
        ({"overrides": [OTHERS], "proposals": reviewed()}, 2000, "rate_limit_overrides: weekly newsletter (until 2026-12-31)"),
        ({"overrides": [OWN], "overrides_group": [OTHERS]}, 2000, "rate_limit_overrides_group: weekly newsletter (until 2026-12-31)"),
        ({"overrides_group": [OWN], "overrides_host": [OTHERS]}, 2000, "rate_limit_overrides_host: weekly newsletter (until 2026-12-31)"),
        ({"overrides": [OWN], "overrides_host": [OTHERS]}, 2000, "rate_limit_overrides_host: weekly newsletter (until 2026-12-31)"),
        # A group, and its account's own word above it, however early it was said.
        ({"overrides": [LISTS], "groups": GROUPS}, 2000, "rate_limit_overrides, group lists: weekly newsletter (until 2026-12-31)"),
        (
            {"overrides": [OWN], "overrides_host": [LISTS], "groups": GROUPS},
            1000,
            "rate_limit_overrides: weekly newsletter (until 2026-12-31)",
        ),
        (
            {"overrides": [LISTS], "overrides_group": [SHOPS], "groups": GROUPS},
            3000,
            "rate_limit_overrides_group, group shops: weekly newsletter (until 2026-12-31)",
        ),
        # The last day counts; the day after, what is below stands again.
        ({"overrides": [override(until="2026-11-24")]}, 1000, "rate_limit_overrides: weekly newsletter (until 2026-11-24)"),
        ({"overrides": [override(until="2026-11-23")]}, None, None),
        ({"overrides": [override(until="2026-11-23", limit=MOST)], "proposals": reviewed()}, 1000, "reviewed proposal"),
        ({"overrides": [override(until="2026-11-23"), OTHERS]}, 2000, "rate_limit_overrides: weekly newsletter (until 2026-12-31)"),
        ({"overrides": [override(until=datetime.date(2026, 12, 31))]}, 1000, "rate_limit_overrides: weekly newsletter (until 2026-12-31)"),
        ({"overrides": [override(name=" News@Alpha.test ")]}, 1000, "rate_limit_overrides: weekly newsletter (until 2026-12-31)"),
        ({"overrides": [override(reason=" a\n  folded text\n")]}, 1000, "rate_limit_overrides: a folded text (until 2026-12-31)"),
    ],
)
def test_which_word_stands(words, stands, source):
    result = ruling(**words)
    assert hour(result) == stands
    assert [row.text for row in result.standing if row.key == NEWS] == ([source] if source else [])


def test_every_scope_has_its_limit_and_what_stands_instead():
    result = ruling(
        domain={"hard": {"day": 5000}}, uid={"soft": {"hour": 10}}, mode="enforce",
        overrides=[override("domain", "Alpha.Test"), override("uid", 33, MORE), override("uid", "0034", MOST), override("uid", "www-data")],
    )  # fmt: skip
    assert result.policy.domain == Limit({}, {"day": 5000})
    assert [(key, limit.soft["hour"]) for key, limit in result.policy.overrides.items()] == [
        (("domain", "alpha.test"), 1000), (("uid", "33"), 2000), (("uid", "34"), 3000), (("uid", "www-data"), 1000),
    ]  # fmt: skip
    assert [(row.scope, row.key, row.source) for row in result.standing] == [
        ("account", "", "default"), ("domain", "", "default"), ("uid", "", "default"),
        ("domain", "alpha.test", "override"), ("uid", "33", "override"), ("uid", "34", "override"),
        ("uid", "www-data", "override"),
    ]  # fmt: skip
    assert result.policy.shadow is False
    assert ruling(mode="shadow").policy.shadow is True


def test_what_has_no_effect_is_told():
    result = ruling(
        overrides=[override(until="2026-11-01", reason="a fair"), override("group", "lists", until="2025-01-01"), OTHERS],
        groups=GROUPS, proposals=reviewed(),
    )  # fmt: skip
    assert result.expired == [
        {"scope": "account", "key": NEWS, "until": "2026-11-01", "reason": "a fair", "variable": "rate_limit_overrides"},
        {"scope": "group", "key": "lists", "until": "2025-01-01", "reason": "weekly newsletter", "variable": "rate_limit_overrides"},
    ]
    assert result.overridden == [{"account": NEWS, "by": "rate_limit_overrides: weekly newsletter (until 2026-12-31)"}]


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ({"account": {}}, "rate_limit_account has no limit"),
        ({"account": None}, "rate_limit_account has no limit"),
        ({"overrides": [override(until="2026-11-24")]}, "ends today, on 2026-11-24"),
        ({"overrides": [override(until="2026-11-25")]}, "ends tomorrow"),
        ({"overrides": [override(until="2026-12-01")]}, f"entry 1 of rate_limit_overrides (account {NEWS}) ends in 7 days"),
        ({"overrides": [override(until="2026-12-02")]}, None),
        (
            {"overrides": [override(limit={"soft": {"hour": 500}})]},
            f"The account {NEWS} has no limit in the minute and day, which rate_limit_account has",
        ),
        ({"overrides": [override(limit={"soft": {}, "hard": {}})]}, f"The account {NEWS} has no limit in the minute and hour and day"),
        (
            {"domain": {"soft": {"day": 900}}, "overrides": [OWN]},
            f"{NEWS} meets the limit of its domain alpha.test before its own in the day",
        ),
        ({"domain": {"soft": {"day": 1000}}, "overrides": [OWN]}, None),
        ({"domain": {"soft": {"day": 900}}, "overrides": [override(name="plain")]}, None),
        ({"domain": {"soft": {"day": 900}}, "overrides": [OWN, override("domain", "alpha.test", MORE)]}, None),
    ],
)
def test_notes(words, note):
    notes = ruling(**words).notes
    assert len(notes) == bool(note)
    assert not note or note in notes[0]


def test_there_are_few_notes():
    notes = ruling(overrides=[override(name=f"a{number}@alpha.test", until="2026-11-25") for number in range(70)]).notes
    assert len(notes) == policy.MAX_NOTES + 1
    assert notes[-1] == "20 more notes of this kind are left out."


HOSTILE = ["a b", "a\nb", "a@b.test\n", "a'b@c", 'a"b', "a\\b", "`id`", "$(id)", "{{ x }}", "a;b", "a,b", "a#b", "a\x00", "ä@b.test",
           "-a", ".a", "a" * 255, "", " ", None, True, 5, [], {}]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_no_account(name):
    for words in (
        {"groups": {"g": [name]}},
        {"proposals": {"accounts": {name: MUCH}}} if name is None or isinstance(name, (str, int)) else {},
    ):
        if words:
            with pytest.raises(PolicyError, match=r"account is .*: expected a login as the log has it") as found:
                ruling(**words)
            assert "\n" not in str(found.value)
            assert len(str(found.value)) < 400
    if name is not None:
        with pytest.raises(PolicyError, match="entry 1 of rate_limit_overrides"):
            ruling(overrides=[override(name=name)])
    assert not isinstance(name, str) or not policy.is_account(name)


@pytest.mark.parametrize("name", ["a@b.test", "a", "a.b+c@d-e.test", "00123", "a=b~c_d@e"])
def test_an_ordinary_name_is_an_account(name):
    assert policy.is_account(name)
    assert hour(ruling(overrides=[override(name=name)]), ("account", name)) == 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        # Numbers.
        ({"account": {"soft": {"hour": -1}}}, "rate_limit_account, soft, hour is -1: expected 1 to 1000000000 recipients"),
        ({"account": {"soft": {"hour": 0}}}, "rate_limit_account, soft, hour is 0: expected 1 to"),
        ({"account": {"soft": {"hour": 10**10}}}, "expected 1 to 1000000000 recipients"),
        ({"account": {"hard": {"hour": True}}}, "rate_limit_account, hard, hour is True: expected a whole number"),
        ({"account": {"hard": {"hour": "60"}}}, "rate_limit_account, hard, hour is '60': expected a whole number of recipients; write it"),
        ({"account": {"hard": {"hour": 6.5}}}, "hour is 6.5: expected a whole number"),
        ({"account": {"hard": {"hour": [1]}}}, "hour is .*: expected a whole number"),
        ({"domain": {"soft": {"minute": 61, "hour": 60}}}, "rate_limit_domain, soft: the minute, 61, is above the hour, 60"),
        ({"uid": {"soft": {"hour": 61, "day": 60}}}, "rate_limit_uid, soft: the hour, 61, is above the day, 60"),
        ({"uid": {"soft": {"minute": 61, "day": 60}}}, "rate_limit_uid, soft: the minute, 61, is above the day, 60"),
        (
            {"account": {"soft": {"day": 9}, "hard": {"day": 8}}},
            "rate_limit_account: the hard limit of the day, 8, is below the soft one, 9",
        ),
        ({"overrides": [override(limit={"soft": {"day": 9}, "hard": {"day": 8}})]}, r"entry 1 of rate_limit_overrides \(account news@"),
        # Words that are not known.
        ({"account": {"sotf": {}}}, "rate_limit_account has 'sotf', which is not known there: expected soft, hard"),
        ({"account": {"soft": {"week": 5}}}, "rate_limit_account, soft has 'week', which is not known there: expected minute, hour, day"),
        ({"overrides": [{**OWN, "untill": "x"}]}, "entry 1 of rate_limit_overrides has 'untill'"),
        ({"proposals": {"acounts": {}}}, "rate_limit_proposals has 'acounts'"),
        ({"proposals": reviewed(note="x")}, f"rate_limit_proposals, account {NEWS} has 'note'"),
        ({"mode": "observe"}, "rate_limit_mode is 'observe': expected enforce"),
        ({"mode": True}, "rate_limit_mode is True: expected enforce"),
        ({"mode": ["shadow"]}, "rate_limit_mode is .*: expected enforce"),
        # Shapes.
        ({"account": [60]}, "rate_limit_account is .*: expected {soft"),
        ({"account": 60}, "rate_limit_account is 60: expected {soft"),
        ({"account": {"soft": 60}}, "rate_limit_account, soft is 60: expected {minute"),
        ({"overrides": OWN}, "rate_limit_overrides is .*: expected a list"),
        ({"overrides_host": ["x"]}, "entry 1 of rate_limit_overrides_host is 'x': expected {account"),
        ({"groups": [NEWS]}, "rate_limit_groups is .*: expected {NAME"),
        ({"groups": {"g": NEWS}}, "rate_limit_groups, g is .*: expected a list"),
        ({"groups": {"g h": []}}, "rate_limit_groups: the group is 'g h': expected letters"),
        ({"proposals": [1]}, "rate_limit_proposals is .*: expected accounts"),
        ({"proposals": {"accounts": [1]}}, "rate_limit_proposals, accounts is"),
        ({"proposals": reviewed() | {"accounts": {NEWS: {"reviewed": "yes", **MUCH}}}}, "reviewed is 'yes': expected true or false"),
        ({"proposals": {"accounts": {NEWS: {"reviewed": True}}}}, f"account {NEWS} says no limit: expected soft, hard or both"),
        ({"proposals": reviewed(by=5)}, "by is 5: expected the name"),
        ({"proposals": {"accounts": {NEWS: MUCH, "News@alpha.test": MUCH}}}, "is there twice, in capital and in small letters"),
        # Overrides.
        ({"overrides": [{**OWN, "domain": "alpha.test"}]}, "is about account and domain at once: expected one of"),
        ({"overrides": [{"reason": "x", "until": "2027-01-01", **MUCH}]}, "is about nobody: expected one of"),
        ({"overrides": [override(limit={})]}, "says no limit: expected soft, hard or both"),
        ({"overrides": [override(reason="")]}, r"\(account news@alpha.test\): reason is '': expected a sentence"),
        ({"overrides": [override(reason=None)]}, "reason is nothing: expected a sentence"),
        ({"overrides": [override(reason="x" * 301)]}, "at most 300 characters"),
        ({"overrides": [override(reason="\x1b[2J")]}, "reason is .*: expected a sentence"),
        ({"overrides": [override(until=None)]}, "until is nothing: expected its last day as YYYY-MM-DD"),
        ({"overrides": [override(until="2026-02-30")]}, "until is '2026-02-30': expected its last day"),
        ({"overrides": [override(until="20261231")]}, "until is '20261231'"),
        ({"overrides": [override(until="31.12.2026")]}, "until is"),
        ({"overrides": [override(until="2026-12-31\n")]}, "until is"),
        ({"overrides": [override(until=20261231)]}, "until is 20261231"),
        (
            {"overrides": [override("group", "nobody")], "groups": GROUPS},
            r"no such group: expected one of rate_limit_groups \(lists, shops\)",
        ),
        ({"overrides": [override("group", "nobody")]}, r"no such group: expected one of rate_limit_groups \(none yet\)"),
        ({"overrides": [override("domain", "alpha test")]}, "the domain is 'alpha test': expected a name such as example.com"),
        ({"overrides": [override("domain", "a..b")]}, "the domain is 'a..b'"),
        ({"overrides": [override("domain", "@alpha.test")]}, "the domain is '@alpha.test'"),
        ({"overrides": [override("uid", "www data")]}, "the uid is 'www data': expected a local user's number"),
        ({"overrides": [override("uid", -1)]}, "the uid is -1"),
        ({"overrides": [override("uid", True)]}, "the uid is True"),
        ({"overrides": [override("uid", 2**32 - 1)]}, "the uid is 4294967295"),
        ({"overrides": [override(name="goodstanding-canary")]}, "is one of our own"),
        # Two words about one.
        ({"overrides": [OWN, override(name=NEWS.upper())]}, "entry 2 .* and entry 1 .* are both about the account news@alpha.test"),
        ({"overrides": [LISTS, SHOPS], "groups": GROUPS}, "take it out of a group, or write an override of its own"),
        ({"overrides": [LISTS, LISTS], "groups": GROUPS}, "are both about the account"),
        # Too many.
        ({"overrides": [None] * 10_001}, "rate_limit_overrides has 10001 entries: expected 10000 at most"),
        ({"groups": {"g": [NEWS] * 10_001}}, "rate_limit_groups, g has 10001 entries"),
        ({"groups": {str(number): [] for number in range(10_001)}}, "rate_limit_groups has 10001 entries"),
    ],
)
def test_words_that_are_no_policy(words, message):
    with pytest.raises(PolicyError, match=message) as found:
        ruling(**words)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 500


def test_too_many_keys_of_all_are_refused(monkeypatch):
    monkeypatch.setattr(policy, "MAX_KEYS", 2)
    assert len(ruling(overrides=[override("group", "lists")], groups=GROUPS).policy.overrides) == 2
    with pytest.raises(PolicyError, match="name 3 accounts, domains and local users: expected 2 at most"):
        ruling(overrides=[override("group", "lists"), override("uid", 33)], groups=GROUPS)


def test_a_policy_goes_to_the_host_and_back():
    made = ruling(domain={"hard": {"day": 9}}, overrides=[OWN, override("uid", 33)], mode="shadow").policy
    data = json.loads(json.dumps(as_data(made)))
    assert data["overrides"][0] == {"scope": "account", "key": NEWS, "soft": MUCH["soft"], "hard": {}}
    assert data["domain"] == {"soft": {}, "hard": {"day": 9}}
    assert from_data(data) == made


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "the policy is"),
        ({"acount": {}}, "the policy has 'acount'"),
        ({"account": {"soft": {"hour": "6"}}}, "the policy, account, soft, hour is '6'"),
        ({"overrides": {}}, "the policy, overrides is"),
        ({"overrides": [{"scope": "group", "key": "x"}]}, "override 1: scope is 'group': expected one of account, domain, uid"),
        ({"overrides": [{"scope": "account", "key": "x\ny"}]}, "the policy, override 1: the account is"),
        ({"shadow": 1}, "shadow is 1"),
    ],
)
def test_what_is_no_policy_is_refused_on_the_host(data, message):
    with pytest.raises(PolicyError, match=message):
        from_data(data)


NUMBER = st.one_of(st.none(), st.integers(-2, 12), st.booleans(), st.just("5"))
HALF = st.dictionaries(st.sampled_from([*policy.WINDOWS, "week"]), NUMBER, max_size=3)
LIMIT = st.dictionaries(st.sampled_from(["soft", "hard"]), HALF, max_size=2)


@settings(max_examples=80, deadline=None)
@given(LIMIT, LIMIT, st.sampled_from(["account", "domain", "uid", "group"]))
def test_a_policy_is_never_harder_before_it_is_soft(default, other, subject):
    name = {"uid": 33, "group": "lists"}.get(subject, "alpha.test")
    try:
        made = parse(Words(account=default, overrides=[override(subject, name, other)], groups=GROUPS), TODAY).policy
    except PolicyError:
        return
    for limit in (made.account, *made.overrides.values()):
        for half in limit:
            sizes = [half[window] for window in policy.WINDOWS if window in half]
            assert sizes == sorted(sizes)
            assert all(type(size) is int and size > 0 for size in sizes)
        assert all(limit.hard[window] >= limit.soft[window] for window in limit.soft if window in limit.hard)
    assert from_data(as_data(made)) == made

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an outbreak has ended: each condition alone, and that what is not known never proves anything."""

from __future__ import annotations

import copy
import typing as t

import pytest
from goodstanding_src.module_utils.goodstanding.findings import ended
from goodstanding_src.module_utils.goodstanding.findings.times import iso
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = 1795500000.0
HOUR = 3600.0
LOCKED = NOW - 25 * HOUR
USER, EVE = "mallory@alpha.test", "eve@alpha.test"
HOSTS = ["mx1", "mx2"]
FAILED = {"failed": True, "msg": "the host could not be reached"}


def counts(**fields: int) -> dict:
    names = dict.fromkeys(("accepted_since", "refused_since", "submitted_since", "logins_since"), 0)
    return {"time": LOCKED, **names, **fields}


def proven() -> dict[str, t.Any]:
    """What is known where the outbreak has ended: of each host a copy of its own."""
    log = {
        "complete": True, "gaps": [],
        "span": {"since": NOW - 25 * HOUR}, "accounts": {}, "refusals": [], "refusals_since": NOW - 600 * HOUR,
        "since": {USER: counts(refused_since=7), EVE: counts()},
    }  # fmt: skip
    proof = {
        "plumbing": {"state": "present", "unguarded": []},
        "locks": {name: {"incident": "r1", "locked_at": LOCKED} for name in (USER, EVE)},
        "canary": {"smtp": "refused", "imap": "refused", "why": None},
        "sessions": {name: {"dovecot": 0, "sockets": 0} for name in (USER, EVE)},
    }
    queue = {"messages": {name: dict.fromkeys(ended.QUEUES, 0) for name in (USER, EVE)}, "passes": 2}
    left = {"findings": [], "unreviewed": {USER: 0, EVE: 0}, "unknown": []}
    given = {"logs": log, "proofs": proof, "queues": queue, "persistence": left, "limits": {"state": "refused", "why": None}}
    return {name: {host: copy.deepcopy(value) for host in HOSTS} for name, value in given.items()}


def subject(host: str = "mx1", unqualified: t.Sequence[str] = ()) -> dict:
    return {"address": "198.51.100.11", "hosts": [host], "state": "clean", "clean": [], "unqualified": list(unqualified)}


def listing(at: float, **fields: t.Any) -> dict:
    row = {"subject": "198.51.100.11", "hosts": ["mx1"], "source": "zen.spamhaus.org", "list": "ZEN", "kind": "block", "tier": "A",
           "outcome": "listed", "codes": ["127.0.0.4"], "since": iso(at), "suspected": False}  # fmt: skip
    return {**row, **fields}


def refusal(seen: float, **fields: t.Any) -> dict:
    row = {"address": "198.51.100.11", "provider": "microsoft", "id": "microsoft_olc", "code": "S3150", "about": "address", "seen": seen}
    return {**row, **fields}


def case(known: dict[str, t.Any] | None = None, **fields: t.Any) -> ended.Case:
    usual: dict[str, t.Any] = {
        "hosts": HOSTS, "locks": {name: dict.fromkeys(HOSTS, LOCKED) for name in (USER, EVE)}, "now": NOW, "window": 24 * HOUR,
        "settled": LOCKED + 60, "judged": NOW - 60, "subjects": [subject(host) for host in HOSTS],
    }  # fmt: skip
    return ended.Case(**{**usual, **(proven() if known is None else known), **fields})


def said(result: dict, number: int, host: str = "mx1") -> tuple[str, str]:
    (row,) = [row for row in result["conditions"][number - 1]["hosts"] if row["host"] == host]
    return row["state"], row["why"]


def test_it_has_ended_where_all_nine_hold_on_every_host():
    result = ended.judge(case())
    assert (result["state"], result["window_hours"], result["since"]) == ("ended", 24, iso(LOCKED))
    assert result["provable_from"] == iso(LOCKED + 24 * HOUR)
    assert [(row["number"], row["state"], len(row["hosts"])) for row in result["conditions"]] == [(n, "holds", 2) for n in range(1, 10)]
    assert said(result, 3)[1] == f"nobody tried {EVE}; {USER} was refused 7 times"


CHANGES: list[tuple[int, str, str, t.Callable[[dict], t.Any]]] = [
    (1, "unknown", "Suppressed 9 messages", lambda host: host["logs"].update(complete=False, gaps=["Suppressed 9 messages"])),
    (1, "unknown", "the log is known since", lambda host: host["logs"]["span"].update(since=NOW - 23 * HOUR)),
    (1, "unknown", "the log is known of no time", lambda host: host["logs"]["span"].update(since=None)),
    (1, "unknown", "could not be reached", lambda host: host.update(logs=FAILED)),
    (2, "does_not", f"3 messages of {USER} were accepted", lambda host: host["logs"]["since"][USER].update(accepted_since=3)),
    (2, "does_not", f"1 messages of {EVE} were handed in", lambda host: host["logs"]["since"][EVE].update(submitted_since=1)),
    (2, "unknown", "not read since the lock", lambda host: host["logs"]["since"].pop(EVE)),
    (2, "unknown", "not read since the lock", lambda host: host["logs"]["since"][EVE].update(time=LOCKED + 10)),
    (2, "unknown", "the log is not complete", lambda host: host["logs"].update(complete=False)),
    (2, "unknown", "is known since", lambda host: host["logs"]["span"].update(since=NOW - 23 * HOUR)),
    (3, "unknown", f"nobody tried {EVE}, but the log is known", lambda host: host["logs"]["span"].update(since=NOW - 23 * HOUR)),
    (6, "unknown", "the log is known", lambda host: host["logs"]["span"].update(since=NOW - 23 * HOUR)),
    (3, "does_not", "not first in submission", lambda host: host["proofs"]["plumbing"].update(unguarded=["not first in submission"])),
    (3, "does_not", "plumbing is damaged", lambda host: host["proofs"]["plumbing"].update(state="damaged")),
    (3, "unknown", "is not known", lambda host: host["proofs"].update(plumbing={})),
    (3, "does_not", "let in by IMAP", lambda host: host["proofs"]["canary"].update(imap="accepted")),
    (3, "does_not", f"{EVE} is not locked here", lambda host: host["proofs"]["locks"].pop(EVE)),
    (3, "does_not", f"{USER} was let in: 1 logins", lambda host: host["logs"]["since"][USER].update(logins_since=1)),
    (3, "does_not", f"{EVE} was let in: 0 logins, 2 messages", lambda host: host["logs"]["since"][EVE].update(accepted_since=2)),
    (3, "unknown", "not complete", lambda host: host["logs"].update(complete=False)),
    (3, "unknown", "could not be reached", lambda host: host.update(proofs=FAILED)),
    (4, "does_not", f"mail of {USER}: 4 in hold", lambda host: host["queues"]["messages"][USER].update(hold=4)),
    (4, "unknown", "not every queue", lambda host: host["queues"]["messages"][USER].pop("corrupt")),
    (4, "unknown", "not every queue", lambda host: host["queues"]["messages"].pop(EVE)),
    (4, "unknown", "once only", lambda host: host["queues"].update(passes=1)),
    (4, "unknown", "verify.yml asks for it", lambda host: host.pop("queues")),
    (5, "does_not", f"{EVE} has 0 sessions at Dovecot and 2 sockets", lambda host: host["proofs"]["sessions"][EVE].update(sockets=2)),
    (5, "unknown", "not all sessions", lambda host: host["proofs"]["sessions"][EVE].update(dovecot=None)),
    (5, "unknown", "not all sessions", lambda host: host["proofs"]["sessions"].pop(USER)),
    (6, "does_not", "new kind of refusal, microsoft", lambda host: host["logs"]["refusals"].append(refusal(NOW - 60))),
    (6, "unknown", "too short a time", lambda host: host["logs"].update(refusals=[refusal(NOW - 60)], refusals_since=NOW - HOUR)),
    (6, "unknown", "most frequent", lambda host: host["logs"].update(refusals=[refusal(LOCKED)] * 200)),
    (6, "unknown", "not complete", lambda host: host["logs"].update(complete=False)),
    (8, "does_not", f"2 findings of {EVE}", lambda host: host["persistence"]["unreviewed"].update({EVE: 2})),
    (8, "unknown", "sieve: no doveadm", lambda host: host["persistence"]["unknown"].append(
        {"account": USER, "what": "sieve", "why": "no doveadm"})),
    (8, "unknown", "is not known", lambda host: host["persistence"]["unreviewed"].pop(EVE)),
    (8, "unknown", "could not be reached", lambda host: host["persistence"].update(FAILED)),
    (8, "unknown", "maps: no postmap", lambda host: host["persistence"]["unknown"].append(
        {"account": "", "what": "maps", "why": "no postmap"})),
    (2, "unknown", "could not be reached", lambda host: host["logs"].update(FAILED)),
    (4, "unknown", "could not be reached", lambda host: host["queues"].update(FAILED)),
    (5, "unknown", "could not be reached", lambda host: host["proofs"].update(FAILED)),
    (9, "unknown", "could not be reached", lambda host: host["limits"].update(FAILED)),
    (9, "does_not", "could exceed", lambda host: host["limits"].update(state="accepted")),
    (9, "unknown", "none was tried", lambda host: host.pop("limits")),
    (9, "unknown", "no such daemon", lambda host: host.update(limits={"state": "unknown", "why": "no such daemon"})),
]  # fmt: skip


@pytest.mark.parametrize(("number", "state", "words", "change"), CHANGES)
def test_one_host_where_one_condition_does_not_hold_is_enough(number, state, words, change):
    known = proven()
    mx2 = {name: hosts["mx2"] for name, hosts in known.items()}
    change(mx2)
    result = ended.judge(case({name: {**hosts, "mx2": mx2.get(name, {})} for name, hosts in known.items()}))
    found, why = said(result, number, "mx2")
    assert (found, words in why) == (state, True), why
    assert said(result, number, "mx1")[0] == "holds"
    assert result["conditions"][number - 1]["state"] == state
    assert result["state"] == ("not_ended" if state == "does_not" else "not_proven")


@pytest.mark.parametrize(
    ("fields", "state", "words"),
    [
        ({"observations": [listing(LOCKED - HOUR)]}, "holds", ""),
        ({"observations": [listing(LOCKED + 600)]}, "holds", ""),  # before the window
        ({"observations": [listing(NOW - HOUR)]}, "does_not", "198.51.100.11 is newly listed in ZEN"),
        ({"observations": [listing(NOW - HOUR, tier="C")]}, "holds", ""),
        ({"observations": [listing(NOW - HOUR, kind="score", outcome="score")]}, "holds", ""),
        ({"observations": [listing(NOW - HOUR)], "settled": None}, "unknown", "nobody had asked"),
        ({"observations": [listing(NOW - HOUR)], "settled": NOW}, "holds", ""),
        ({"observations": [listing(NOW - HOUR, suspected=True)]}, "unknown", "could not be believed"),
        ({"observations": [listing(NOW, outcome="timeout", since=None)]}, "unknown", "could not be believed"),
        ({"subjects": []}, "unknown", "not asked"),
        ({"subjects": [subject(unqualified=["zen.spamhaus.org"])]}, "unknown", "zen.spamhaus.org could not be believed"),
        ({"subjects": [subject(unqualified=["z"])], "lists": [{"zone": "z", "tier": "C", "kind": "block"}]}, "holds", ""),
        # That a receiver that refused before says nothing now is explained by the listing at hand.
        ({"subjects": [subject(unqualified=["log:microsoft"])]}, "holds", ""),
        # A list of scores without data on the address is no blocklist that was silent.
        ({"subjects": [subject(unqualified=["score.list"])], "asked": [{"zone": "zen.spamhaus.org", "tier": "A"}]}, "holds", ""),
        ({"subjects": [subject(unqualified=["z"])], "asked": [{"zone": "z", "tier": "A"}]}, "unknown", "z could not be believed"),
        ({"subjects": [subject(unqualified=["z"])], "asked": [{"zone": "z", "tier": "C"}, {"zone": "y", "tier": "A"}]}, "holds", ""),
        ({"others": ["bob@alpha.test"]}, "holds", ""),
    ],
)
def test_a_listing_at_hand_is_no_news_and_a_new_one_is(fields, state, words):
    found, why = said(ended.judge(case(**fields)), 6)
    assert (found, words in why) == (state, True), why


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (refusal(LOCKED - HOUR), "holds"),  # goes on until the delisting
        (refusal(LOCKED + 600), "holds"),
        (refusal(NOW - HOUR, about="content"), "holds"),
        (refusal(NOW - HOUR), "does_not"),
        (refusal(NOW - HOUR, id="microsoft_spamhaus", code="AS16012611"), "holds"),  # in the words of a list it was on before
        (refusal(NOW - HOUR, id="microsoft_spamhaus", address=None), "holds"),
        (refusal(NOW - HOUR, id="microsoft_spamhaus", address="198.51.100.99"), "does_not"),
    ],
)
def test_refusals_that_the_listing_at_hand_explains_do_not_count(row, state):
    known = proven()
    known["logs"]["mx1"]["refusals"] = [row]
    observations = [listing(LOCKED - HOUR), listing(LOCKED - HOUR, source="log:microsoft")]
    assert said(ended.judge(case(known, observations=observations)), 6)[0] == state


@pytest.mark.parametrize(
    ("listed", "settled", "explained"),
    [
        (listing(NOW - HOUR), LOCKED, False),
        (listing(NOW - HOUR), NOW, True),
        (listing(LOCKED - HOUR, suspected=True), NOW, False),
        (listing(LOCKED - HOUR, outcome="timeout", since=None), NOW, False),
    ],
)
def test_only_a_listing_at_hand_explains_refusals(listed, settled, explained):
    known = proven()
    known["logs"]["mx1"]["refusals"] = [refusal(NOW - 60, id="microsoft_spamhaus")]
    assert ("new kind of refusal" in said(ended.judge(case(known, observations=[listed], settled=settled)), 6)[1]) is not explained


@pytest.mark.parametrize(
    ("fields", "state", "words"),
    [
        ({"others": ["bob@alpha.test"]}, "does_not", "bob@alpha.test stand out"),
        ({"unjudged": {"mx1": "its log was not read"}}, "unknown", "its log was not read"),
        ({"unjudged": {"mx2": "its log was not read"}}, "holds", ""),
        ({"judged": NOW - 2 * HOUR}, "unknown", "the accounts were judged at"),
    ],
)
def test_the_others_are_silent_only_where_they_were_judged_now(fields, state, words):
    found, why = said(ended.judge(case(**fields)), 7)
    assert (found, words in why) == (state, True), why


def test_the_window_has_to_pass_first():
    locks = {USER: {"mx1": NOW - 30 * HOUR, "mx2": NOW - 600}}
    result = ended.judge(case(locks=locks))
    assert said(result, 1) == ("unknown", "10 minutes of 24 hours have passed since the lock")
    assert result["provable_from"] == iso(NOW - 600 + 24 * HOUR)
    assert said(ended.judge(case(locks=locks, window=600.0)), 1) == ("holds", "")
    assert said(ended.judge(case(locks=locks, window=601.0)), 1)[0] == "unknown"


def test_of_an_old_lock_the_log_has_to_hold_the_window_alone():
    known, old = proven(), NOW - 120 * HOUR
    for host in HOSTS:
        known["logs"][host]["since"] = {name: {**counts(), "time": old} for name in (USER, EVE)}
    assert ended.judge(case(known, locks={name: dict.fromkeys(HOSTS, old) for name in (USER, EVE)}))["state"] == "ended"


def test_before_the_window_has_passed_the_log_is_to_reach_back_to_the_lock():
    known = proven()
    for host, back in (("mx1", NOW - 700), ("mx2", NOW - 500)):
        known["logs"][host]["span"]["since"] = back
        known["logs"][host]["since"] = {USER: {**counts(), "time": NOW - 600}}
    result = ended.judge(case(known, locks={USER: dict.fromkeys(HOSTS, NOW - 600)}))
    assert [said(result, 2, host)[0] for host in HOSTS] == ["holds", "unknown"]


def test_a_local_user_is_locked_on_its_own_host_alone():
    known = proven()
    for name, part in (
        ("logs", "since"),
        ("proofs", "locks"),
        ("proofs", "sessions"),
        ("queues", "messages"),
        ("persistence", "unreviewed"),
    ):
        known[name]["mx1"][part]["uid:33"] = known[name]["mx1"][part][EVE]
    locks = {"uid:33@mx1": {"mx1": LOCKED}}
    assert ended.judge(case(known, locks=locks))["state"] == "ended"
    known["logs"]["mx1"]["since"]["uid:33"] = counts(submitted_since=1)
    assert said(ended.judge(case(known, locks=locks)), 2)[1] == "1 messages of uid:33@mx1 were handed in by sendmail since its lock"


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "none"),
        ({"others": [USER]}, "not_ended"),
        ({"unjudged": {"mx2": "w"}}, "not_proven"),
        ({"proofs": {"mx1": proven()["proofs"]["mx1"], "mx2": FAILED}}, "not_proven"),
        ({"proofs": {}}, "not_proven"),
        ({"hosts": []}, "not_proven"),
    ],
)
def test_where_nobody_is_locked_there_is_no_outbreak_unless_somebody_should_be(fields, state):
    assert ended.judge(case(locks={}, **fields)) == {
        "state": state, "window_hours": 24, "since": None, "provable_from": None, "conditions": [],
    }  # fmt: skip


def test_without_hosts_nothing_is_proven():
    assert ended.judge(case(hosts=[]))["state"] == "not_proven"


# ---- what is not known proves nothing


def places(value: t.Any, path: tuple = ()) -> t.Iterator[tuple]:
    """Yield the place of everything that is known: of hosts, of fields, of numbers."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield (*path, key)
            yield from places(below, (*path, key))


PLACES = sorted(places(proven()), key=str)
#: What is for the reader, or need not be there: a host without Dovecot has no deny passdb, and where a test account cannot be tried the log
#: tells; the time of a lock is read when the document is written; how long refusals are remembered matters where one was new.
MUTE = ("gaps", "why", "findings", "canary", "smtp", "imap", "incident", "locked_at", "refusals_since")


def without(known: dict, path: tuple, how: str) -> dict:
    known = copy.deepcopy(known)
    place = known
    for key in path[:-1]:
        place = place.get(key) if isinstance(place, dict) else None
    if isinstance(place, dict) and path[-1] in place:
        if how == "gone":
            del place[path[-1]]
        elif how == "failed" and len(path) == 2:
            place[path[-1]] = FAILED
        elif how == "none" and not isinstance(place[path[-1]], (dict, list)):
            place[path[-1]] = None
    return known


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, t.Any]:
    """What is known of some run: some of it speaks against the end."""
    known = proven()
    for _ in range(draw(st.integers(0, 3))):
        host = draw(st.sampled_from(HOSTS))
        change = draw(st.sampled_from(CHANGES))[3]
        of_host = {name: hosts[host] for name, hosts in known.items() if host in hosts}
        try:
            change(of_host)
        except (KeyError, AttributeError):
            continue  # an earlier change took its place away
        for name in known:
            known[name][host] = of_host.get(name, {})
    return known


@settings(max_examples=400, deadline=None)
@given(damaged(), st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(["gone", "failed", "none"])), min_size=1, max_size=4))
def test_what_becomes_unknown_never_makes_an_end(known, gone):
    before = ended.judge(case(known))
    for path, how in gone:
        known = without(known, path, how)
    after = ended.judge(case(known))
    assert before["state"] == "ended" or after["state"] != "ended"


@pytest.mark.parametrize("path", [path for path in PLACES if path[-1] not in MUTE], ids="/".join)
def test_nothing_that_an_end_rests_on_may_be_unknown(path):
    assert ended.judge(case(without(proven(), path, "gone")))["state"] != "ended"


STATES = st.lists(st.sampled_from(["holds", "does_not", "unknown"]), max_size=6)


@given(STATES, st.integers(0, 5))
def test_the_sum_of_states(states, place):
    found = ended.all_of(states)
    assert (found == "holds") == (bool(states) and set(states) == {"holds"})
    assert (found == "does_not") == ("does_not" in states)
    if place < len(states):
        assert found == "holds" or ended.all_of([*states[:place], "unknown", *states[place + 1 :]]) != "holds"

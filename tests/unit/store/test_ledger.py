# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observations and incidents over time, with SQLite and with a real PostgreSQL, by one writer and by two."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.findings import history as words
from goodstanding_src.module_utils.goodstanding.findings.times import iso
from goodstanding_src.module_utils.goodstanding.store import cases, database, history, incidents, journals, ledger, observations
from goodstanding_src.module_utils.goodstanding.store.ledger import Stage

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "findings")]
from answers import gathered, result, said  # noqa: E402  a folder of tests, no package

NOW = 1_795_000_000.0
HOUR, DAY = 3600.0, 86400.0
A, B, ZEN, USER = "198.51.100.11", "198.51.100.12", "zen.spamhaus.org", "mallory@alpha.test"


def document(*results, at=NOW, run="r1", known=None, **more):
    """Return the findings of a run that began at a time, and asked."""
    begun = stages.start(run, "x", "lock", False, at)
    found = gathered(*results, known=known)
    for row in found.document["observations"]:
        row["since"] = iso(at) if row["since"] and not known else row["since"]
    return {**stages.reputation(begun, found.document, None, at), **more}


def write(engine, *results, at=NOW, run="r1", written=None, refused=None, **more):
    found = document(*results, at=at, run=run, **more)
    proven = at if found["locks"] else None
    return ledger.record(engine, Stage(found, written or at, at if results else None, refused or {}, proven, {}, "jane"))


def listings(engine):
    return [(row["subject"], row["code"], row["first"], row["ended"]) for row in cases.export(engine)["listings"]]


def locked(at, account=USER, incident="r1"):
    entry = {"host": "mx1", "incident": incident, "locked_at": iso(at), "accepted_after_lock": None, "refused_after_lock": None}
    return [{"account": account, "incident": incident, "locked_at": iso(at), "hosts": [entry]}]


# ---- observations


def test_a_listing_goes_on_until_an_answer_says_otherwise_and_may_come_again(store):
    write(store, result(said(A), clean=[B]), at=NOW)
    write(store, result(said(A), clean=[B]), at=NOW + HOUR, run="r2")
    for number, silence in enumerate((result(unqualified=[A]), result(said(A, "timeout")), result(said(A, "servfail")), result(clean=[B]))):
        write(store, silence, at=NOW + 2 * HOUR + number, run="r3")
    assert listings(store) == [(A, "127.0.0.4", iso(NOW), None)]
    write(store, result(clean=[A]), at=NOW + 3 * HOUR, run="r4")
    write(store, result(said(A)), at=NOW + 4 * HOUR, run="r5")
    assert listings(store) == [(A, "127.0.0.4", iso(NOW), iso(NOW + 3 * HOUR)), (A, "127.0.0.4", iso(NOW + 4 * HOUR), None)]
    first, second = cases.export(store)["listings"]
    assert [first[name] for name in ("first_run", "last", "last_run", "ended_run")] == ["r1", iso(NOW + HOUR), "r2", "r4"]
    assert second["last_run"] == "r5"
    assert observations.known(store) == {(A, ZEN, "127.0.0.4"): iso(NOW + 4 * HOUR)}


def test_it_grows_with_changes_and_not_with_runs(store):
    flood = [f"192.0.2.{number}" for number in range(100)]
    for number in range(6):
        write(store, result(said(A), clean=flood), at=NOW + number * HOUR, run=f"r{number}")
    told = cases.export(store)
    assert (len(told["listings"]), len(told["subjects"])) == (1, 101)


def test_another_code_ends_the_first_one_and_the_listing_keeps_its_date(store):
    write(store, result(said(A)), at=NOW)
    known = observations.known(store)
    both = result(said(A, codes=["127.0.0.4", "127.0.0.10"]))
    write(store, both, at=NOW + HOUR, run="r2", known=known)
    write(store, result(said(A, codes=["127.0.0.10"])), at=NOW + DAY, run="r3", known=observations.known(store))
    assert listings(store) == [(A, "127.0.0.4", iso(NOW), iso(NOW + DAY)), (A, "127.0.0.10", iso(NOW + HOUR), None)]
    assert observations.known(store) == {(A, ZEN, "127.0.0.10"): iso(NOW)}
    assert words.tell(history.of(store, A), NOW + DAY, 9)["times"] == 1


def test_a_suspected_fault_ends_nothing_and_is_called_so(store):
    write(store, result(said(A), clean=["192.0.2.1", "192.0.2.2", "192.0.2.3"]), at=NOW)
    flood = result(*[said(each, codes=["127.0.0.9"]) for each in (A, "192.0.2.1", "192.0.2.2")], clean=["192.0.2.3"])
    write(store, flood, at=NOW + HOUR, run="r2")
    rows = cases.export(store)["listings"]
    assert [(row["code"], row["outcome"], row["ended"]) for row in rows if row["subject"] == A] == [
        ("127.0.0.4", "listed", None),
        ("127.0.0.9", "suspected", None),
    ]
    write(store, flood, at=NOW + DAY, run="r3", known=observations.known(store))
    assert [(row["code"], row["ended"] is None) for row in cases.export(store)["listings"] if row["subject"] == A] == [
        ("127.0.0.4", False),
        ("127.0.0.9", True),
    ]


def test_what_was_asked_earlier_and_is_written_later_changes_nothing_and_is_told(store):
    write(store, result(clean=[A]), at=NOW + HOUR, run="r2")
    write(store, result(said(B)), at=NOW + HOUR, run="r2")
    before = cases.export(store)
    (told,) = write(store, result(said(A), clean=[B]), at=NOW, run="r1", written=NOW + HOUR + 1)
    assert "a run that asked later was faster" in told
    assert f"of 2 addresses and names is not in their history ({A}, {B})" in told
    after = cases.export(store)
    assert [after[name] for name in ("listings", "subjects")] == [before[name] for name in ("listings", "subjects")]
    assert {row["id"] for row in after["runs"]} == {"r1", "r2"}, "the run itself is kept"


def test_what_could_not_be_believed_keeps_no_earlier_answer_out(store):
    write(store, result(unqualified=[A]), at=NOW + HOUR, run="r2")
    assert write(store, result(said(A)), at=NOW, run="r1", written=NOW + HOUR) == []
    assert [row[3] for row in listings(store)] == [None]


def test_the_same_stage_written_twice_is_written_once(store):
    for _ in range(2):
        assert write(store, result(said(A))) == []
    assert listings(store) == [(A, "127.0.0.4", iso(NOW), None)]


def test_the_domains_that_refuse_an_address_are_remembered_as_long_as_it_is_refused(store):
    source = {"source": "log:x", "zone": "log:x", "codes": ["S"]}
    write(store, result(said(A, **source)), refused={(A, "log:x"): {"a.test": 1.0, "b.test": 4.0}})
    write(store, result(said(A, **source)), at=NOW + 1, refused={(A, "log:x"): {"b.test": 3.0}})
    assert observations.refused_domains(store) == {(A, "log:x"): {"a.test": 1.0, "b.test": 4.0}}
    write(store, result(clean=[A], zone="log:x"), at=NOW + 2)
    assert observations.refused_domains(store) == {}


# ---- two writers, and what goes wrong


def together(*work):
    """Do these at once; return what each returned."""
    done = {}
    threads = [threading.Thread(target=lambda name=name, do=do: done.update({name: do()}), daemon=True) for name, do in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [done[name] for name in sorted(done)]


def test_of_two_runs_at_once_each_is_kept_and_no_row_is_there_twice(url, store):
    engines = [database.open_store(url) for _ in range(2)]
    names = [f"192.0.2.{number}" for number in range(20)]

    def run(number):
        for turn in range(4):
            at, name = NOW + turn * HOUR + number, f"r{number}-{turn}"
            found = result(*[said(each) for each in names]) if turn % 2 == 0 else result(clean=names)
            held = locked(NOW) if turn % 2 == 0 else []
            write(engines[number], found, at=at, run=name, written=NOW + 5 * HOUR, locks=held)
        return True

    assert together(lambda: run(0), lambda: run(1)) == [True, True]
    for engine in engines:
        engine.dispose()
    told = cases.export(store)
    assert len(told["runs"]) == 8
    open_ = [(row["subject"], row["code"]) for row in told["listings"] if row["ended"] is None]
    assert len(open_) == len(set(open_))
    assert all(row["ended"] is None or row["first"] <= row["last"] <= row["ended"] for row in told["listings"])
    assert [(row["account"], row["number"]) for row in told["incidents"]] == [(USER, 1)]


def test_a_row_that_is_open_twice_is_refused_by_the_database(store):
    write(store, result(said(A)))
    row = {name: value for name, value in cases.export(store)["listings"][0].items() if name != "id"}
    with pytest.raises(sa.exc.IntegrityError), store.begin() as connection:
        connection.execute(sa.insert(observations.LISTINGS).values(row))
    with store.begin() as connection:
        connection.execute(sa.insert(observations.LISTINGS).values({**row, "ended": iso(NOW)}))


def test_what_breaks_in_the_middle_leaves_nothing_of_the_stage(store, monkeypatch):
    write(store, result(said(A)), run="r0")
    before = cases.export(store)

    def broken(*_):
        raise sa.exc.OperationalError("INSERT", {}, Exception("disk full"))

    line = {"chain": f"{1:032d}", "time": NOW, "step": "finish", "accounts": [USER]}
    found = document(result(clean=[A]), at=NOW + 1, locks=locked(NOW))
    with monkeypatch.context() as patch:
        patch.setattr(observations, "_refusals", broken)
        with pytest.raises(database.StoreError, match="r1 cannot be stored, and nothing of it was: Exception: disk full"):
            ledger.record(store, Stage(found, NOW + 1, NOW + 1, {}, NOW + 1, {"mx1": [line]}))
    assert cases.export(store) == before
    assert ledger.record(store, Stage(found, NOW + 1, NOW + 1, {}, NOW + 1, {"mx1": [line]})) == []
    assert len(cases.export(store)["journal"]) == 1


def test_a_locked_database_is_waited_for_and_then_named(url, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 0.2)
    engine, other = database.open_store(url), database.open_store(url)
    with database.writing(other), pytest.raises(database.StoreError, match=r"r1 cannot be stored, and nothing of it was: .*lock"):
        write(engine, result(said(A)))
    assert write(engine, result(said(A))) == []
    engine.dispose()
    other.dispose()


def test_a_clock_that_was_set_back_is_told_and_nothing_is_lost(store):
    write(store, result(said(A)), at=NOW)
    before = cases.export(store)
    line = {"chain": f"{1:032d}", "time": NOW, "step": "finish", "accounts": [USER]}
    found = document(result(clean=[A]), at=NOW - DAY, run="r2", locks=locked(NOW - DAY))
    (told,) = ledger.record(store, Stage(found, NOW - DAY, NOW - DAY, {}, NOW - DAY, {"mx1": [line]}))
    assert told.startswith("the clock was set back by 86400 seconds")
    after = cases.export(store)
    assert [after[name] for name in ("listings", "subjects", "incidents")] == [
        before[name] for name in ("listings", "subjects", "incidents")
    ]
    assert ({row["id"] for row in after["runs"]}, len(after["journal"])) == ({"r1", "r2"}, 1)
    # Two controllers' clocks are never quite the same.
    assert "asked later" in write(store, result(clean=[A]), at=NOW - 60)[0]


def test_the_clock_of_a_host_is_not_taken_for_the_controllers(store):
    write(store, result(said(A)), locks=locked(NOW + DAY))
    assert write(store, result(clean=[A]), at=NOW + HOUR, run="r2") == []
    assert [row[3] for row in listings(store)] == [iso(NOW + HOUR)]


def test_a_store_that_a_clock_ahead_wrote_goes_on_as_the_documentation_says(store):
    write(store, result(said(A)), at=NOW + 300 * DAY)
    assert write(store, result(said(A)), at=NOW, run="r2")
    with store.begin() as connection:
        connection.execute(sa.text("DELETE FROM subjects WHERE last > :now"), {"now": iso(NOW)})
    assert write(store, result(clean=[A]), at=NOW, run="r3") == []
    assert [row[3] for row in listings(store)] == [iso(NOW)]


def test_a_table_that_is_gone_is_named(store):
    with store.begin() as connection:
        observations.SUBJECTS.drop(connection)
    with pytest.raises(database.StoreError, match="cannot be stored, and nothing of it was"):
        write(store, result(said(A)))
    assert cases.export(store)["runs"] == []
    with pytest.raises(database.StoreError, match="the history cannot be read"):
        history.of(store, A)


def test_a_half_written_store_is_completed_when_it_is_opened(url):
    engine = database.open_store(url)
    write(engine, result(said(A)))
    with engine.begin() as connection:
        incidents.INCIDENTS.drop(connection)
    engine.dispose()
    assert database.open_existing(url) is None, "check mode makes nothing"
    engine = database.open_store(url)
    assert len(listings(engine)) == 1
    engine.dispose()


def test_a_store_of_the_first_version_is_brought_forward(url):
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for text in (
            "CREATE TABLE store_version (version INTEGER PRIMARY KEY)",
            "INSERT INTO store_version VALUES (1)",
            "CREATE TABLE runs (id VARCHAR(64) PRIMARY KEY, started VARCHAR(32) NOT NULL, finished VARCHAR(32), inventory TEXT NOT NULL, "
            "mode VARCHAR(16) NOT NULL, status VARCHAR(16) NOT NULL, document TEXT NOT NULL)",
            "INSERT INTO runs VALUES ('old', '2026', NULL, 'x', 'lock', 'clean', '{}')",
            "CREATE TABLE observations (subject VARCHAR(255), source VARCHAR(255), code VARCHAR(64), since VARCHAR(32) NOT NULL, "
            "PRIMARY KEY (subject, source, code))",
        ):
            connection.exec_driver_sql(text)
        row = {"subject": A, "source": ZEN, "code": "127.0.0.4", "since": iso(NOW - DAY)}
        connection.execute(sa.text("INSERT INTO observations VALUES (:subject, :source, :code, :since)"), row)
    engine.dispose()
    assert database.open_existing(url) is None
    for engine in together(lambda: database.open_store(url), lambda: database.open_store(url)):
        assert observations.known(engine) == {(A, ZEN, "127.0.0.4"): iso(NOW - DAY)}
        assert "observations" not in sa.inspect(engine).get_table_names()
        assert database.load_run(engine, "old") == {}
        engine.dispose()
    engine = database.open_store(url)
    write(engine, result(said(A)), known=observations.known(engine))
    assert listings(engine) == [(A, "127.0.0.4", iso(NOW - DAY), None)]
    assert {row["by_whom"] for row in cases.export(engine)["runs"]} == {None, "jane"}
    # The row constraint came with it.
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        copy = "subject, source, code, list, outcome, since, first, last, first_run, last_run"
        connection.exec_driver_sql(f"INSERT INTO listings ({copy}) SELECT {copy} FROM listings")  # noqa: S608
    engine.dispose()


# ---- incidents, in the store


def test_an_incident_goes_from_the_first_sight_to_the_reinstatement(store):
    account = {"account": USER, "verdict": "compromised", "state": "open"}
    write(store, at=NOW, accounts=[account])
    write(store, at=NOW + HOUR, run="r2", accounts=[], locks=locked(NOW + 60))
    write(store, at=NOW + DAY, run="r3", locks=locked(NOW + 60), outbreak={"state": "ended"})
    act = {"time": iso(NOW + 2 * DAY), "host": "mx1", "account": USER, "action": "reinstate", "result": "changed", "detail": ""}
    back = {"accounts": [{**account, "verdict": "reinstated", "state": "reinstated"}], "actions": [act]}
    write(store, at=NOW + 2 * DAY, run="r4", **back)
    write(store, at=NOW + 9 * DAY, run="r5", locks=locked(NOW + 9 * DAY, incident="r5"))
    first, second = cases.export(store)["incidents"]
    assert {name: value for name, value in first.items() if name not in ("id", "account", "first_run", "last", "last_run")} == {
        "number": 1, "first": iso(NOW), "locked": iso(NOW + 60), "locked_run": "r1", "ended": iso(NOW + DAY), "ended_run": "r3",
        "reinstated": iso(NOW + 2 * DAY), "reinstated_run": "r4",
    }  # fmt: skip
    assert (second["number"], second["locked"], second["reinstated"]) == (2, iso(NOW + 9 * DAY), None)


# ---- retention


def test_accounts_go_after_their_time_and_what_was_listed_stays(store):
    write(store, result(said(A)), at=NOW - 40 * DAY, locks=locked(NOW - 40 * DAY))
    write(store, result(clean=[A]), at=NOW - 39 * DAY, run="r2", locks=locked(NOW - 39 * DAY, "other@alpha.test"))
    write(store, at=NOW - DAY, run="r3", locks=locked(NOW - 39 * DAY, "other@alpha.test"))
    before = cases.export(store)["listings"]
    cases.forget(store, NOW, 30)
    told = cases.export(store)
    assert told["listings"] == before
    assert [(row["account"], row["locked"] is not None) for row in told["incidents"]] == [(None, True), ("other@alpha.test", True)]
    assert USER not in json.dumps(told)
    assert cases.forget(store, NOW, 30) == 0
    # A new incident of the forgotten account begins at one again, and is no clash.
    write(store, at=NOW, run="r4", locks=locked(NOW))
    assert len(cases.export(store)["incidents"]) == 3


# ---- answers


def told(engine, subject, now=NOW + DAY, most=200):
    return words.tell(history.of(engine, subject), now, most)


def test_the_history_of_an_address(store):
    write(store, result(said(A), clean=[B]), at=NOW)
    write(store, result(clean=[A, B]), at=NOW + HOUR, run="r2")
    write(store, result(said(A), clean=[B]), at=NOW + 2 * HOUR, run="r3")
    answer = told(store, A)
    assert (answer["kind"], answer["state"], answer["since"], answer["times"]) == ("address", "listed", iso(NOW + 2 * HOUR), 2)
    assert [(row["what"], row["run_id"], row["who"]) for row in answer["changes"]] == [
        (f"{ZEN} names {A} with 127.0.0.4 (listed)", "r1", "jane"),
        (f"{ZEN} names {A} with 127.0.0.4 no more", "r2", "jane"),
        (f"{ZEN} names {A} with 127.0.0.4 (listed)", "r3", "jane"),
    ]
    assert answer["text"][0].startswith(f"{A}: listed since 2026-")
    assert "a source began to name it 2 times since" in answer["text"][0]
    assert any(line.endswith("(1 hour)") for line in answer["text"])
    assert told(store, B)["text"][0] == f"{B}: no source named it."
    assert told(store, B)["state"] == "clean"
    # Nothing that can be believed of the list since, while others answered.
    write(store, result(said(A, "timeout")), result(clean=[A], zone="other.test"), at=NOW + 3 * HOUR, run="r4")
    assert told(store, A)["state"] == "unknown"
    assert any("nothing that can be believed since" in line for line in told(store, A)["text"])
    cut = told(store, A, most=1)
    assert (len(cut["changes"]), cut["left_out"]) == (1, 2)


def test_the_history_of_a_list_by_its_zone_and_by_its_name(store):
    write(store, result(said(A), said(B)), at=NOW)
    write(store, result(said(A), clean=[B]), at=NOW + HOUR, run="r2")
    for name in (ZEN, "ZEN", " zen.spamhaus.org "):
        answer = told(store, name)
        assert (answer["kind"], answer["subject"], answer["times"]) == ("list", ZEN, 2)
        assert answer["text"][0].startswith(f"{ZEN} (ZEN): names 1 of ours now; it began to name one 2 times since")


def test_the_history_of_an_account_names_who_acted_where_once(store):
    entry = {"host": "mx1", "account": USER, "action": "lock", "result": "changed", "detail": "1 sessions closed", "time": iso(NOW)}
    acts = [entry, *({**entry, "host": host, "result": "failed", "detail": "unreachable\x1b[2J"} for host in ("mx1", "mx2"))]
    write(store, at=NOW, locks=locked(NOW), actions=acts)
    line = {"time": NOW, "incident": "r1", "accounts": [USER]}
    journals.save(
        store,
        {
            "mx1": [
                {**line, "chain": f"{1:032d}", "step": "finish", "closed": 1},
                {**line, "chain": f"{2:032d}", "step": "map", "account": USER, "accounts": None, "result": "done"},
                {**line, "chain": f"{3:032d}", "step": "queue held", "count": 83},
                {**line, "chain": f"{4:032d}", "step": "finish", "accounts": ["somebody@alpha.test"]},
            ]
        },
    )
    answer = told(store, USER.upper())
    assert (answer["kind"], answer["state"], answer["times"], answer["since"]) == ("account", "locked", 1, iso(NOW))
    acted = [(row["host"], row["what"], row["who"]) for row in answer["changes"] if row["host"]]
    assert sorted(acted) == [
        ("mx1", f"lock {USER}: FAILED, unreachable [2J", "jane"),
        ("mx1", f"locked {USER} (closed 1)", "jane"),
        ("mx1", f"queue held {USER} (count 83)", "jane"),
        ("mx2", f"lock {USER}: FAILED, unreachable [2J", "jane"),
    ]
    assert f"{USER}: broken into 1 time since" in answer["text"][0]
    assert "\x1b" not in "".join(answer["text"])
    domain = told(store, "alpha.test")
    assert domain["kind"] == "domain"
    assert any("somebody@alpha.test" in row["what"] for row in domain["changes"])


def test_a_local_user_is_one_of_its_own_host(store):
    write(store, at=NOW, locks=locked(NOW, "uid:33@mx1"))
    line = {"time": NOW, "incident": "r1", "accounts": ["uid:33"], "step": "finish", "chain": f"{1:032d}"}
    journals.save(store, {"mx1": [line], "mx2": [line]})
    assert [row["host"] for row in told(store, "uid:33@mx1")["changes"] if row["host"]] == ["mx1"]


def test_a_case_is_part_of_the_history_of_its_address_and_its_list(store):
    from goodstanding_src.module_utils.goodstanding.delisting.case import Case, Event

    case = Case(A, ZEN, "ready", NOW, NOW, NOW, NOW, (ZEN,), ("127.0.0.4",))
    cases.change(store, "r1", NOW, lambda book: book.save(case, [Event("opened", "127.0.0.4")]))
    for name in (A, ZEN):
        answer = told(store, name)
        assert [row["case"] for row in answer["cases"]] == [f"{ZEN}/{A}"]
        assert [row["what"] for row in answer["changes"]] == [f"case {ZEN}/{A}: opened, 127.0.0.4"]
    assert told(store, B)["known"] is False


def test_what_nobody_knows_is_said(store):
    answer = told(store, "nobody@example.test")
    assert (answer["known"], answer["state"]) == (False, "nothing")
    assert answer["text"][0].startswith("The ledger knows nothing of nobody@example.test.")
    for name in ("", " ", "x" * 401, "a\nb"):
        with pytest.raises(history.SubjectError, match="name what to tell of"):
            history.of(store, name)
    assert told(store, "%")["known"] is False

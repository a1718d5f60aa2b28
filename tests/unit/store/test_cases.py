# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of delistings, with SQLite and with a real PostgreSQL, by one writer and by two."""

from __future__ import annotations

import json
import multiprocessing
import threading

import pytest
import sqlalchemy as sa
from goodstanding_src.module_utils.goodstanding.delisting import case as states
from goodstanding_src.module_utils.goodstanding.delisting.case import Case, CaseError, Event, Gate, Override, Way
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.findings.times import iso
from goodstanding_src.module_utils.goodstanding.store import cases, database, journals

NOW = 1_795_000_000.0
DAY = 86400.0
CASE = Case("198.51.100.11", "zen.spamhaus.org", states.READY, NOW, NOW, NOW - 2 * DAY, NOW + 60, ("zen.spamhaus.org",), ("127.0.0.4",))
GATES = {"quiet": Gate("holds", ""), "spf": Gate("unknown", "nobody looked")}
FULL = CASE._replace(subject="2001:db8::1", gates=GATES, override=Override("why", ("spf",), NOW))


def put(engine, *given, now=NOW):
    cases.change(engine, "r1", now, lambda ledger: [ledger.save(case, [Event("opened", "127.0.0.4")]) for case in given])


def run(started, name):
    return {**stages.start(name, "x", "lock", False, started), "open_points": []}


def test_a_case_is_the_same_when_it_is_read_again(store):
    put(store, CASE, FULL)
    assert cases.load(store) == {CASE.id: CASE, FULL.id: FULL}
    assert list(cases.load(store)[FULL.id].gates) == ["quiet", "spf"]


def test_what_happened_is_kept_in_its_order_with_a_name_that_resolves(store):
    put(store, CASE)
    cases.change(store, "r2", NOW + 60, lambda ledger: ledger.save(CASE._replace(state="submitted"), [Event("submitted", "by a person")]))
    told = cases.history(store, CASE.id)
    assert [(row["kind"], row["run_id"], row["time"]) for row in told] == [("opened", "r1", iso(NOW)), ("submitted", "r2", iso(NOW + 60))]
    assert cases.resolve(store, told[1]["id"])["why"] == "by a person"
    assert cases.resolve(store, "event/99") is None


def test_what_fails_leaves_nothing(store):
    def work(ledger):
        ledger.save(CASE, [Event("opened", "")])
        raise CaseError("no")

    with pytest.raises(CaseError):
        cases.change(store, "r1", NOW, work)
    assert cases.load(store) == {}
    put(store, CASE)  # and nobody is locked out


@pytest.mark.parametrize("text", ['{"subject"', "null", "[]", '{"gates": []}', '{"gates": {}, "override": null}'])
def test_a_damaged_row_is_named(store, text):
    put(store, CASE)
    with store.begin() as connection:
        connection.execute(sa.update(cases.CASES).values(data=text))
    for read in (cases.load, lambda engine: cases.change(engine, "r1", NOW, lambda ledger: ledger.cases())):
        with pytest.raises(database.StoreError, match="damaged"):
            read(store)


def submit(engine, done):
    def work(ledger):
        case = ledger.cases()[CASE.id]
        asked = states.submit(case, Way(), "by a person", NOW + 1)
        ledger.save(asked.case, asked.events)
        ledger.request(asked.case, "mail", "sending", "", message_id="<a@b>", receiver="x@y", text="please")

    try:
        cases.change(engine, "r1", NOW + 1, work)
        done.append("sent")
    except CaseError as exc:
        done.append(str(exc))


def test_of_two_writers_one_asks(url, store):
    put(store, CASE)
    for _ in range(5):
        engines, done = [database.open_store(url) for _ in range(2)], []
        cases.change(store, "r", NOW, lambda ledger: (ledger.save(CASE, []), ledger.forget_request(CASE.id, 1)))
        threads = [threading.Thread(target=submit, args=(engine, done), daemon=True) for engine in engines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for engine in engines:
            engine.dispose()
        assert done.count("sent") == 1, done
        assert sum("asked for already" in word for word in done) == 1, done
        assert [row["message_id"] for row in cases.requests(store, CASE.id)] == ["<a@b>"]


def opened(url, results):
    results.put(len(cases.load(database.open_store(url))))


def test_processes_that_open_an_empty_store_at_once_all_get_it(url):
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    running = [fork.Process(target=opened, args=(url, results), daemon=True) for _ in range(3)]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    assert [process.exitcode for process in running] == [0, 0, 0]
    assert [results.get(timeout=5) for _ in running] == [0, 0, 0]


def test_two_writers_lose_nothing(url, store):
    def write(name):
        engine = database.open_store(url)
        for number in range(20):
            put(engine, CASE._replace(subject=f"{name}-{number}"))
        engine.dispose()

    threads = [threading.Thread(target=write, args=(name,), daemon=True) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(cases.load(store)) == 40


def test_a_request_is_written_down_once(store):
    put(store, CASE)
    asked = CASE._replace(requests=1)
    cases.change(store, "r", NOW, lambda ledger: ledger.request(asked, "mail", "sending", ""))
    with pytest.raises(database.StoreError, match="in the ledger already"):
        cases.change(store, "r", NOW, lambda ledger: ledger.request(asked, "mail", "sending", ""))
    cases.change(store, "r", NOW, lambda ledger: ledger.settle(CASE.id, 1, "sent", "250 ok"))
    assert [(row["state"], row["detail"]) for row in cases.requests(store, CASE.id)] == [("sent", "250 ok")]


def test_an_enrolment_is_alive_from_its_first_data_to_its_last(store):
    for now in (NOW, NOW + DAY):
        cases.change(store, "r", now, lambda ledger: ledger.alive("snds"))
    assert cases.enrolments(store) == {"snds": {"id": "snds", "first": iso(NOW), "last": iso(NOW + DAY)}}


# ---- the store's version


def test_a_store_of_before_there_were_versions_is_taken_over(url):
    engine = database.open_store(url)
    database.save_run(engine, run(NOW, "old"))
    with engine.begin() as connection:
        for table in (database.STORE, cases.CASES, cases.EVENTS):
            table.drop(connection)
    engine.dispose()
    engine = database.open_store(url)
    assert database.load_run(engine, "old")["run"]["id"] == "old"
    assert cases.load(engine) == {}
    engine.dispose()


def test_each_step_of_a_migration_runs_once(url, monkeypatch):
    engine = database.open_store(url)
    database.save_run(engine, run(NOW, "old"))
    engine.dispose()
    monkeypatch.setattr(database, "VERSION", database.VERSION + 2)
    steps = {
        database.VERSION - 2: lambda connection: connection.exec_driver_sql("ALTER TABLE runs ADD COLUMN place TEXT"),
        database.VERSION - 1: lambda connection: connection.exec_driver_sql("UPDATE runs SET place = 'here'"),
    }
    monkeypatch.setattr(database, "MIGRATIONS", steps)
    for _ in range(2):
        engine = database.open_store(url)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT place FROM runs").scalar() == "here"
        engine.dispose()


def test_a_newer_store_is_refused_with_words_and_not_touched(url):
    engine = database.open_store(url)
    with engine.begin() as connection:
        connection.execute(sa.update(database.STORE).values(version=database.VERSION + 1))
        cases.CASES.drop(connection)
    engine.dispose()
    for opened in (database.open_store, database.open_existing):
        with pytest.raises(database.StoreError, match=rf"version {database.VERSION + 1}, and this release knows {database.VERSION}: run"):
            opened(url)
    assert "cases" not in sa.inspect(sa.create_engine(url)).get_table_names()


def test_a_half_written_file_is_named(tmp_path):
    path = tmp_path / "store.db"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 500)
    with pytest.raises(database.StoreError, match=r"store\.db cannot be opened"):
        database.open_store(f"sqlite:///{path}")


def test_a_locked_database_is_waited_for_and_then_named(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 0.2)
    url = f"sqlite:///{tmp_path}/store.db"
    engine, other = database.open_store(url), database.open_store(url)
    with database.writing(other), pytest.raises(database.StoreError, match="locked"):
        put(engine, CASE)
    put(engine, CASE)


# ---- export and retention


def test_an_export_holds_everything_but_secrets_and_is_json(store):
    put(store, CASE, FULL)
    database.save_run(store, run(NOW, "r1"))
    told = json.loads(json.dumps(cases.export(store)))
    assert [row["id"] for row in told["cases"]] == sorted([CASE.id, FULL.id])
    assert {"runs", "actions", "case_events", "case_requests", "journal"} <= set(told)
    assert "sealed" not in told


def line(number, time):
    return {"chain": f"{number:032d}", "time": time, "step": "finish", "accounts": ["a@x"], "incident": "r1", "result": "done"}


def names(store):
    told = cases.export(store)
    return {row["id"] for row in told["runs"]}, {json.loads(row["line"])["chain"][-1] for row in told["journal"]}


def test_what_names_people_goes_after_its_time(store):
    for name, days in (("old", 40), ("new", 1)):
        database.save_run(store, run(NOW - days * DAY, name))
    journals.save(store, {"mx1": [line(1, NOW - 40 * DAY), line(2, NOW - 39 * DAY)], "mx2": [line(3, NOW - 35 * DAY), line(4, NOW)]})
    cases.forget(store, NOW, 30)
    assert names(store) == ({"new"}, {"2", "4"}), "of each host the newest line stays"
    assert cases.forget(store, NOW, 30) == 0


def test_what_a_case_rests_on_stays_as_long_as_it_goes_on(store):
    database.save_run(store, run(NOW - 40 * DAY, "old"))
    put(store, CASE._replace(opened=NOW - 38 * DAY))
    cases.change(
        store,
        "r",
        NOW - 40 * DAY,
        lambda ledger: ledger.request(CASE._replace(requests=1), "mail", "sent", "by jane", receiver="x@y", text="t"),
    )
    cases.forget(store, NOW, 30)
    assert names(store)[0] == {"old"}
    put(store, CASE._replace(state=states.CLEARED))
    cases.forget(store, NOW, 30)
    assert names(store)[0] == set()
    (kept,) = cases.requests(store, CASE.id)
    assert (kept["text"], kept["receiver"], kept["state"], kept["detail"]) == (None, None, "sent", "")


def test_a_case_that_no_list_has_spoken_of_for_so_long_holds_nothing_back(store):
    """Such as of an address that left the inventory: nobody asks about it any more, so it never ends."""
    then = NOW - 100 * DAY
    gone = CASE._replace(state=states.GATED, opened=then, ask_at=then, frozen="not in the inventory any more")
    database.save_run(store, run(then, "old"))
    journals.save(store, {"mx1": [line(1, then), line(2, NOW)]})
    event = Event("override", "a@x was let in again (by jane)")
    cases.change(store, "r", then, lambda ledger: ledger.save(gone, [event]))
    cases.forget(store, NOW, 30)
    assert names(store) == (set(), {"2"})
    assert [row["why"] for row in cases.history(store, gone.id)] == [""]
    assert cases.load(store) == {gone.id: gone}, "it stays a case"
    assert cases.forget(store, NOW, 30) == 0


def test_the_words_of_what_happened_go_when_the_case_is_over_and_old(store):
    over, going = CASE._replace(state=states.CLEARED), CASE._replace(subject="192.0.2.9", opened=NOW - DAY)
    event = Event("override", "a@x was let in again (by jane)")
    for days in (40, 1):
        cases.change(store, "r", NOW - days * DAY, lambda ledger: [ledger.save(case, [event]) for case in (over, going)])
    cases.forget(store, NOW, 30)
    assert [(row["kind"], row["why"] == "") for row in cases.history(store, over.id)] == [("override", True), ("override", False)]
    assert [row["why"] == "" for row in cases.history(store, going.id)] == [False, False]
    assert cases.forget(store, NOW, 30) == 0


def test_the_lines_of_an_incident_are_found(store):
    journals.save(store, {"mx1": [line(1, NOW), {**line(2, NOW), "incident": "r0", "accounts": ["b@x"]}]})
    (found,) = cases.incident_lines(store, ["r1"], [])
    assert (found["host"], found["step"], cases.resolve(store, found["id"])["chain"]) == ("mx1", "finish", line(1, NOW)["chain"])
    assert len(cases.incident_lines(store, [], ["a@x", "b@x"])) == 2

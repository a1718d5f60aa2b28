# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real client against a server that speaks Microsoft's protocol, over TLS on loopback."""

from __future__ import annotations

import concurrent.futures
import datetime
import os
import sys
import time
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.feeds import snds, snds_access
from goodstanding_src.module_utils.goodstanding.feeds.snds_account import Collected, Enrolment, read, read_api
from goodstanding_src.module_utils.goodstanding.store import database, links
from goodstanding_src.module_utils.goodstanding.store.sealed import Sealed

sys.path.insert(0, str(Path(__file__).parents[2] / "servers"))
from snds_server import BASE, LEGACY_ROW, PORTAL_HEADER, PORTAL_ROW, Microsoft

TODAY = datetime.date(2026, 11, 25)
KEY = "b2f4e0c1-key-of-the-link"
PASSPHRASE = "a passphrase of the tests"
FIGURES = {"address": "198.51.100.11", "rcpt": 9, "data": 8, "recipients": 7, "colour": "RED", "rate": "0.4%", "traps": 2}


@pytest.fixture
def microsoft(tmp_path, monkeypatch):
    with Microsoft(tmp_path) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", server.bundle)
        yield server


def store(tmp_path: Path, passphrase: str = PASSPHRASE) -> Sealed:
    return Sealed(database.open_store(f"sqlite:///{tmp_path}/store.db"), passphrase)


def api(server: Microsoft, sealed: Sealed, frozen: bool = False) -> snds_access.Api:
    return snds_access.Api(snds_access.Http(5), sealed, "fleet", server.authority, server.api, frozen)


def sign_in(server: Microsoft, sealed: Sealed) -> None:
    http = snds_access.Http(5)
    page = snds_access.begin(http, sealed, "fleet", server.authority)
    snds_access.complete(http, sealed, "fleet", server.authority, server.sign_in(page))


def serve(server: Microsoft, path: str, *days: int, row: str = LEGACY_ROW, head: str = "") -> str:
    """Let a link answer for some days; return it."""
    for back in days:
        day = TODAY - datetime.timedelta(back)
        server.links[f"{path}&date={day:%m%d%y}"] = (200, head + row.format(day=day, **FIGURES))
    if days:
        server.links[path] = server.links[f"{path}&date={TODAY - datetime.timedelta(min(days)):%m%d%y}"]
    return server.url + path


def collect(enrolment: Enrolment, known: dict | None = None, days: int = 5) -> tuple[Collected, dict]:
    found = Collected()
    learned = read(found, enrolment, snds_access.Http(5), known or {}, TODAY, days)
    return found, learned


def state(found: Collected) -> dict[str, str]:
    return {row["source"]: row["state"] for row in found.sources}


@pytest.mark.parametrize(
    ("path", "row", "head"), [(f"/snds/data.aspx?key={KEY}", LEGACY_ROW, ""), (f"{BASE}/SNDS/DataKey?Key={KEY}", PORTAL_ROW, PORTAL_HEADER)]
)
def test_both_forms_of_a_link_are_asked_day_by_day(microsoft, path, row, head):
    url = serve(microsoft, path, 2, 4, row=row, head=head)
    found, learned = collect(Enrolment("fleet", url))
    assert state(found) == {"data link": "current"}
    assert [(each["address"], each["start"][:10], each["filter_result"]) for each in found.addresses] == [
        ("198.51.100.11", "2026-11-23", "red")
    ]
    assert found.sources[0]["rows"] == 3
    assert len(microsoft.asked) == 6
    assert (learned["data"].last_day, learned["data"].longest_gap) == (datetime.date(2026, 11, 23), 2)


def test_a_day_without_data_and_an_expired_link_answer_alike(microsoft):
    url = serve(microsoft, f"/snds/data.aspx?key={KEY}")
    assert state(collect(Enrolment("fleet", url))[0]) == {"data link": "no_data"}
    known = {"data": snds.Link(datetime.date(2026, 11, 1), None, datetime.date(2026, 11, 15))}
    found, learned = collect(Enrolment("fleet", url), known)
    assert state(found) == {"data link": "expired"}
    assert snds.PORTAL in found.sources[0]["repair"]
    assert learned == known
    assert state(collect(Enrolment("fleet", url, made=datetime.date(2026, 10, 1)))[0]) == {"data link": "expired"}
    assert found.addresses == []


def test_an_empty_answer_is_an_answer(microsoft):
    url = serve(microsoft, f"/snds/ipStatus.aspx?key={KEY}")
    microsoft.links[f"/snds/ipStatus.aspx?key={KEY}"] = (200, "")
    found, _ = collect(Enrolment("fleet", status_url=url))
    assert (state(found), found.ranges) == ({"status link": "current"}, [])
    assert len(microsoft.asked) == 1


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        ((200, "<html><title>Sign in</title>"), "unreadable", "it is a web page"),
        ((500, "x"), "failed", "HTTP 500"),
        ((403, ""), "failed", "HTTP 403"),
        ((200, "a,b"), "unreadable", "none of its 1 rows"),
    ],
)
def test_what_is_no_data_says_so_and_no_key_is_told(microsoft, answer, expected, words):
    url = serve(microsoft, f"/snds/data.aspx?key={KEY}")
    microsoft.links[f"/snds/data.aspx?key={KEY}"] = answer
    found, learned = collect(Enrolment("fleet", url))
    (row,) = found.sources
    assert (row["state"], learned["data"].last_day) == (expected, None)
    assert words in row["why"]
    assert KEY not in str(found.sources)


def test_a_server_that_is_not_there_or_not_trusted_or_slow_tells_no_key(microsoft, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    urls = [
        f"https://127.0.0.1:9/data.aspx?key={KEY}",
        f"{microsoft.url}/data.aspx?key={KEY}",
        f"https://{snds.RETIRED_HOST}/snds/data.aspx?key={KEY}",
    ]
    rows = [collect(Enrolment("fleet", url))[0].sources[0] for url in urls]
    assert [row["state"] for row in rows] == ["failed", "failed", "expired"]
    assert ["ConnectionError" in rows[0]["why"], "SSLError" in rows[1]["why"], "retired" in rows[2]["why"]] == [True] * 3
    assert KEY not in str(rows)


def test_an_answer_without_end_is_cut(microsoft, monkeypatch):
    monkeypatch.setattr(snds_access, "MAX_BYTES", 100_000)
    url = serve(microsoft, f"/snds/data.aspx?key={KEY}")
    microsoft.links[f"/snds/data.aspx?key={KEY}"] = (200, "x" * 1_000_000)
    assert "too large" in collect(Enrolment("fleet", url))[0].sources[0]["why"]


def test_files_are_read_and_a_missing_one_is_named(tmp_path):
    (tmp_path / "data.csv").write_text(PORTAL_HEADER + PORTAL_ROW.format(day=TODAY, **FIGURES))
    found, _ = collect(Enrolment("fleet", data_file=str(tmp_path / "data.csv"), status_file=str(tmp_path / "none.csv")))
    assert state(found) == {"data file": "current", "status file": "failed"}
    assert str(tmp_path / "none.csv") in found.sources[1]["why"]
    assert found.addresses[0]["account"] == "fleet"


def test_an_old_file_says_nothing_of_today(tmp_path):
    (tmp_path / "data.csv").write_text(PORTAL_HEADER + PORTAL_ROW.format(day=TODAY - datetime.timedelta(9), **FIGURES))
    (tmp_path / "status.csv").write_text("198.51.100.11,198.51.100.11,Yes,x\n")
    old = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc).timestamp()
    os.utime(tmp_path / "status.csv", (old, old))
    found, _ = collect(Enrolment("fleet", data_file=str(tmp_path / "data.csv"), status_file=str(tmp_path / "status.csv")))
    assert state(found) == {"data file": "expired", "status file": "expired"}
    assert (found.addresses, found.ranges) == ([], [])
    assert "9 days ago" in found.sources[0]["why"]


def test_one_sources_trouble_hides_no_other(microsoft, tmp_path):
    url = serve(microsoft, f"/snds/data.aspx?key={KEY}", 2)
    found = Collected()
    for name, data_url in (("dead", f"https://127.0.0.1:9/?key={KEY}"), ("live", url)):
        read(found, Enrolment(name, data_url), snds_access.Http(5), {}, TODAY, 2)
    assert [(row["account"], row["state"]) for row in found.sources] == [("dead", "failed"), ("live", "current")]
    assert found.addresses[0]["account"] == "live"


def test_links_are_remembered_by_their_hash_alone(tmp_path):
    engine = database.open_store(f"sqlite:///{tmp_path}/store.db")
    name, link = links.name(f"https://x.test/?key={KEY}"), snds.Link(TODAY, None, TODAY, 4)
    links.save(engine, {name: link})
    links.save(engine, {name: link._replace(longest_gap=5)})
    assert links.load(engine) == {name: link._replace(longest_gap=5)}
    assert KEY.encode() not in (tmp_path / "store.db").read_bytes()


REST_DATA = '{"value": [{"ipAddress": "198.51.100.11", "filterResult": "Red", "dataCommands": 8, "activityPeriod": "2026-11-23T00:00:00"}]}'


def test_sign_in_refresh_and_ask(microsoft, tmp_path):
    sealed = store(tmp_path)
    sign_in(microsoft, sealed)
    microsoft.rest = {"/data/2026-11-23/": (200, REST_DATA), "/status/ip": (200, '[{"ip": "198.51.100.11", "status": "Junked"}]')}
    found = Collected()
    read_api(found, "fleet", api(microsoft, sealed), TODAY, 3)
    assert state(found) == {"data api": "current", "status api": "current"}
    assert (found.addresses[0]["filter_result"], found.ranges[0]["status"]) == ("red", "junked")
    assert microsoft.refreshed == 0
    # The access token is refused: it is renewed once, and the new refresh token is stored.
    microsoft.access.clear()
    found = Collected()
    read_api(found, "fleet", api(microsoft, sealed), TODAY, 3)
    assert (state(found)["data api"], microsoft.refreshed, microsoft.reused) == ("current", 1, 0)
    # Nothing of it stands in the file in the clear.
    tokens = [*microsoft.access, *microsoft.refresh, *microsoft.used]
    assert len(tokens) >= 3
    stored = (tmp_path / "store.db").read_bytes()
    assert not [token for token in tokens if token.encode() in stored]


def test_a_code_works_once_and_a_strangers_answer_not_at_all(microsoft, tmp_path):
    sealed, http = store(tmp_path), snds_access.Http(5)
    page = snds_access.begin(http, sealed, "fleet", microsoft.authority)
    back = microsoft.sign_in(page)
    for wrong, words in (("http://localhost/", "holds no code"), (back.replace("state=", "state=x"), "could not be completed")):
        with pytest.raises(snds_access.AccessError, match=words) as caught:
            snds_access.complete(http, sealed, "fleet", microsoft.authority, wrong)
        assert "M.C1_" not in str(caught.value)
        page = snds_access.begin(http, sealed, "fleet", microsoft.authority)
        back = microsoft.sign_in(page)
    snds_access.complete(http, sealed, "fleet", microsoft.authority, back)
    with pytest.raises(snds_access.AccessError, match="no sign-in was begun"):
        snds_access.complete(http, sealed, "fleet", microsoft.authority, back)
    assert sealed.read("snds fleet")


def test_two_runs_renew_a_rotating_token_and_lose_none(tmp_path, monkeypatch):
    with Microsoft(tmp_path, lifetime=2) as server:  # msal renews what has less than five minutes left: at every run
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", server.bundle)
        sign_in(server, store(tmp_path))
        server.rest = {"/data/2026-11-24": (200, REST_DATA), "/status/ip": (200, "[]")}

        def run(_: int) -> list[str]:
            found = Collected()
            read_api(found, "fleet", api(server, store(tmp_path)), TODAY, 1)
            return [row["state"] for row in found.sources]

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            assert list(pool.map(run, range(8))) == [["current", "current"]] * 8
        assert (server.refreshed, server.reused) == (8, 0)
        assert run(0) == ["current", "current"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((503, {"error": "temporarily_unavailable"}), "failed"),
        ((400, {"error": "temporarily_unavailable"}), "failed"),
        ((200, ["no object"]), "failed"),
        ((200, "text"), "failed"),
        ((400, {"error": "interaction_required"}), "unauthorized"),
    ],
)
def test_what_the_sign_in_service_answers_hides_no_other_source(microsoft, tmp_path, monkeypatch, answer, expected):
    sealed = store(tmp_path)
    sign_in(microsoft, sealed)
    before = sealed.read("snds fleet")
    microsoft.access.clear()
    monkeypatch.setattr(microsoft, "token", lambda form, origin: answer)
    found = Collected()
    read_api(found, "fleet", api(microsoft, sealed), TODAY, 1)
    read(found, Enrolment("other", serve(microsoft, f"/snds/data.aspx?key={KEY}", 2)), snds_access.Http(5), {}, TODAY, 2)
    assert [row["state"] for row in found.sources] == [expected, expected, "current"]
    monkeypatch.undo()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", microsoft.bundle)
    microsoft.rest = {"/data/2026-11-24": (200, REST_DATA), "/status/ip": (200, "[]")}
    assert before
    read_api(found, "fleet", api(microsoft, sealed), TODAY, 1)
    assert found.sources[-1]["state"] == "current", "the token was to survive"


def test_an_answer_that_drips_is_given_up_in_time(microsoft):
    microsoft.drip = 0.3
    microsoft.links["/slow"] = (200, "x" * 60)
    began = time.monotonic()
    found = Collected()
    read(found, Enrolment("fleet", f"{microsoft.url}/slow"), snds_access.Http(1), {}, TODAY, 1)
    assert "too slow" in found.sources[0]["why"]
    assert time.monotonic() - began < 5


def test_check_mode_uses_a_token_and_never_renews_one(microsoft, tmp_path):
    sealed = store(tmp_path)
    sign_in(microsoft, sealed)
    microsoft.rest = {"/data/2026-11-24": (200, REST_DATA), "/status/ip": (200, "[]")}
    before = (tmp_path / "store.db").read_bytes()
    found = Collected()
    read_api(found, "fleet", api(microsoft, sealed, frozen=True), TODAY, 1)
    assert state(found) == {"data api": "current", "status api": "current"}
    monkey = snds_access.time.time
    try:
        snds_access.time.time = lambda: monkey() + 4000
        found = Collected()
        read_api(found, "fleet", api(microsoft, sealed, frozen=True), TODAY, 1)
    finally:
        snds_access.time.time = monkey
    assert state(found) == {"data api": "failed", "status api": "failed"}
    assert (microsoft.refreshed, (tmp_path / "store.db").read_bytes()) == (0, before)


def test_a_token_that_microsoft_took_back_wants_a_person(microsoft, tmp_path):
    sealed = store(tmp_path)
    found = Collected()
    read_api(found, "fleet", api(microsoft, sealed), TODAY, 1)
    sign_in(microsoft, sealed)
    microsoft.access.clear()
    microsoft.refresh.clear()
    read_api(found, "fleet", api(microsoft, sealed), TODAY, 1)
    assert [row["state"] for row in found.sources] == ["unauthorized"] * 4
    assert "invalid_grant" in found.sources[2]["why"]
    assert all("snds_authorize.yml" in row["repair"] for row in found.sources)
    assert found.addresses == []


def test_sealed_entries(tmp_path):
    sealed = store(tmp_path)
    with sealed.writer("x") as writer:
        writer.write("secret")
        with pytest.raises(database.StoreError, match="another run"), store(tmp_path).writer("x", wait=0.3):
            pass
    assert sealed.read("x") == "secret"
    with pytest.raises(database.StoreError, match="another passphrase"):
        store(tmp_path, "another passphrase than that").read("x")
    with pytest.raises(database.StoreError, match="fewer than 16"):
        store(tmp_path, "short")
    with sealed.writer("x") as writer:
        writer.write(None)
    assert (sealed.read("x"), sealed.has("x")) == (None, False)


def test_a_run_that_died_gives_its_place_free_and_one_that_slept_writes_nothing(tmp_path, monkeypatch):
    from goodstanding_src.module_utils.goodstanding.store import sealed as module

    monkeypatch.setattr(module, "LEASE", 0.2)
    sealed = store(tmp_path)
    with sealed.writer("x") as slow, store(tmp_path).writer("x", wait=5) as other:
        other.write("new")
        with pytest.raises(database.StoreError, match="taken over"):
            slow.write("old")
    assert sealed.read("x") == "new"

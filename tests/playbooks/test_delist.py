# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/delist.yml as a person runs it: with the real module, a real store, and a real SMTP server as the relay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.store import cases as ledger
from goodstanding_src.module_utils.goodstanding.store import database

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/unit/delisting"), str(ROOT / "tests/servers")]
import removal_server  # noqa: E402  a folder of tests, no package
import smtp_server  # noqa: E402
import verified  # noqa: E402

ZEN, MAILED = (f"{name}/{verified.ADDRESS}" for name in ("zen.spamhaus.org", "t-online"))


@pytest.fixture
def delist(play, tmp_path, monkeypatch):
    """Return what runs the playbook on findings with a listing and a receiver's refusal: (exit code, its output as one line)."""
    monkeypatch.delenv("CI", raising=False)
    document = verified.findings(verified.observation(), verified.reply("t_online_blocked", "BL"))
    document["run"]["started"] = document["run"]["finished"] = verified.iso(time.time())
    (tmp_path / "found.json").write_text(json.dumps(document))

    def run(with_findings=True, **given):
        found = {"findings": str(tmp_path / "found.json")} if with_findings else {}
        code, _, output = play("delist", delisting_contact="Jane Doe", **found, **given)
        return code, " ".join(output.replace('"', "").split())

    return run


def states(tmp_path):
    return {name: case.state for name, case in ledger.load(database.open_store(f"sqlite:///{tmp_path}/store.db")).items()}


def test_cases_open_by_themselves_and_say_what_comes_next(delist, tmp_path):
    code, said = delist()
    assert code == 0, said
    assert states(tmp_path) == {ZEN: "gated", MAILED: "gated"}
    assert f"{ZEN}: gated. Do not ask yet: " in said
    assert (tmp_path / "cases" / f"zen.spamhaus.org_{verified.ADDRESS}.md").read_text().startswith("# 198.51.100.11 in Spamhaus ZEN")


def test_what_a_person_did_is_recorded_without_findings_and_for_a_reason_where_gates_are_closed(delist, tmp_path):
    delist()
    code, said = delist(with_findings=False, submitted=ZEN)
    assert code != 0
    assert "not ready" in said
    assert "-e reason=" in said
    code, said = delist(with_findings=False, submitted=ZEN, reason="asked by telephone")
    assert code == 0, said
    assert states(tmp_path)[ZEN] == "submitted"


def test_an_approved_request_goes_through_the_relay_once(delist, tmp_path):
    delist()
    assert delist(override=MAILED, reason="the name servers were looked at by hand")[0] == 0
    with smtp_server.serving() as server:
        relay = {"host": "127.0.0.1", "port": server.port, "tls": "none", "sender": "postmaster@example.com"}
        code, said = delist(approve=MAILED, delisting_relay=relay)
        assert code == 0, said
        assert "The relay took the request" in said
        code, said = delist(approve=MAILED, delisting_relay=relay)
        assert code != 0
        assert "asked for already" in said
    assert [receiver for receiver, _ in server.taken] == ["tosa@rx.t-online.de"]


@pytest.fixture
def of_itself(play, tmp_path, monkeypatch):
    """Return what runs the playbook where mx1 is listed in a list that 127.0.0.2 may ask: (exit code, its output as one line)."""
    monkeypatch.delenv("CI", raising=False)

    def run(server, address="127.0.0.2", host="mx1", url=None, **given):
        facts = {**verified.ZONES["all.s5h.net"]["delisting"], "url": url or server.url}
        document = verified.findings(verified.observation("all.s5h.net", subject=address, hosts=[host]))
        document["addresses"] = [row for row in document["addresses"] if row["address"] == address]
        document["addresses"][0]["hosts"] = [host]
        document["asked"] = [{"zone": "all.s5h.net", "latency": None, "clean_ttl": None, "delisting": facts}]
        document["run"]["started"] = document["run"]["finished"] = verified.iso(time.time())
        (tmp_path / "found.json").write_text(json.dumps(document))
        code, _, output = play("delist", findings=str(tmp_path / "found.json"), **given)
        return code, " ".join(output.replace('"', "").split())

    def ready(*words, **more):
        case = f"all.s5h.net/{more.get('address', '127.0.0.2')}"
        run(*words, **more)
        assert run(*words, override=case, reason="the gates were looked at by hand", **more)[0] == 0
        return run(*words, approve=case, **more)

    return ready


def machine_requests(tmp_path, address="127.0.0.2"):
    engine = database.open_store(f"sqlite:///{tmp_path}/store.db")
    return [(row["how"], row["state"], row["detail"]) for row in ledger.requests(engine, f"all.s5h.net/{address}")]


def test_the_listed_address_asks_for_itself_once(of_itself, tmp_path):
    with removal_server.serving("127.0.0.2") as server:
        code, said = of_itself(server)
        assert code == 0, said
        assert "The list took the request: 127.0.0.1:" in said
        assert (server.asked, server.listed) == ([("127.0.0.2", removal_server.PATH)], set())
        ((how, state, detail),) = machine_requests(tmp_path)
        assert (how, state) == ("machine", "sent")
        assert "127.0.0.2 has been removed" in detail
        assert states(tmp_path) == {"all.s5h.net/127.0.0.2": "submitted"}


def test_a_host_that_has_not_the_address_or_is_not_there_asks_nothing(of_itself, tmp_path):
    with removal_server.serving() as server:
        code, said = of_itself(server, address="192.0.2.7")
        assert code == 0, said
        assert "The request was NOT sent: this host cannot send from 192.0.2.7" in said
        assert states(tmp_path) == {"all.s5h.net/192.0.2.7": "ready"}
        code, said = of_itself(server, host="gone.invalid")
        assert "The request was NOT sent" in said
        assert states(tmp_path)["all.s5h.net/127.0.0.2"] == "ready"
    assert (server.asked, machine_requests(tmp_path)) == ([], [])


def test_only_the_relays_password_is_kept_out_of_what_is_said(delist, monkeypatch):
    delist()
    assert delist(override=MAILED, reason="see s3cret-word")[0] == 0
    monkeypatch.setenv("ANSIBLE_VERBOSITY", "3")
    relay = {"host": "127.0.0.1", "port": 25, "tls": "tls", "sender": "postmaster@example.com", "user": "jane", "password": "s3cret-word"}
    code, said = delist(approve=MAILED, delisting_relay={**relay, "ca_file": "/does/not/exist"})
    assert code == 0, said
    assert "The request was NOT sent" in said
    assert ": 127.0.0.1:25: FileNotFoundError" in said
    assert f"{MAILED}: ready" in said
    assert "s3cret-word" not in said
    assert "reason: see ********" in said
    code, said = delist(approve=MAILED, delisting_relay={**relay, "hots": "127.0.0.1"})
    assert code != 0
    assert "delisting_relay.hots. Supported" in said
    assert "s3cret-word" not in said


@pytest.mark.parametrize(
    ("environment", "lasts"), [({"CI": "true"}, False), ({"CI": "true", "GOODSTANDING_STATE_URL": "sqlite://"}, True), ({}, True)]
)
def test_a_runner_whose_disk_does_not_last_is_told_so(environment, lasts):
    clean = {name: value for name, value in os.environ.items() if name not in ("CI", "GOODSTANDING_STATE_URL")}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "playbooks/delist.yml"]
    done = subprocess.run(
        command, env={**clean, **environment}, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, "it stops there, or where it finds no findings"
    assert ("This runner's disk does not last" in said) != lasts
    assert ("run playbooks/assess.yml first" in said) == lasts


def test_two_words_at_once_are_refused(delist):
    delist()
    code, said = delist(submitted=ZEN, refused=ZEN)
    assert code != 0
    assert "mutually exclusive" in said


def test_without_findings_it_says_what_is_missing(delist):
    code, said = delist(with_findings=False)
    assert code == 2
    assert "run playbooks/assess.yml first" in said


PLAYED = {
    "mail_log_info": {"failed": True, "msg": "no log"},
    "rate_limit_info": {"failed": True, "msg": "no limits"},
    "dkim_signing_info": {"failed": True, "msg": "no signer"},
}


@pytest.fixture
def remediate(play, tmp_path, monkeypatch):
    """Return what runs the whole job on hosts whose logs cannot be read: (exit code, its report or None, its output as one line)."""
    monkeypatch.delenv("CI", raising=False)

    def run(**given):
        code, _, output = play("remediate", played=PLAYED, goodstanding_run_id="r1", **given)
        report = tmp_path / "r1" / "report.json"
        return code, json.loads(report.read_text()) if report.exists() else None, " ".join(output.replace('"', "").split())

    return run


def test_the_whole_job_follows_the_cases_and_shows_them(delist, remediate, tmp_path):
    delist()
    code, report, said = remediate(delisting_enrolments=[{"id": "snds", "since": "2020-01-01"}])
    assert code == 0, said
    assert report["delisting"] == {"state": "followed", "why": ""}
    assert {row["case"] for row in report["cases"]} == {ZEN, MAILED}
    assert [row["state"] for row in report["enrolments"] if row["id"] == "snds"] == ["lapsed"]
    assert any(point["what"].startswith("Microsoft SNDS has lapsed") for point in report["open_points"])
    assert "Something must hold first" in (tmp_path / "r1/report.html").read_text()
    assert 'goodstanding_cases{state="gated"} ' in (tmp_path / "r1/report.prom").read_text()


def test_what_goes_wrong_with_the_cases_ends_no_run_and_is_told(remediate):
    code, report, said = remediate(delisting_enrolments=[{"id": "sndz"}])
    assert code == 0, said
    assert report["delisting"]["state"] == "failed"
    assert "delisting_enrolments[0] names sndz: known are" in report["delisting"]["why"].replace("'", "")
    assert any("the delistings could not be followed" in point["what"] for point in report["open_points"])


def test_a_runner_whose_disk_does_not_last_goes_on_without_the_cases_and_says_why(remediate, tmp_path):
    code, report, said = remediate(goodstanding_store_lasts=False)
    assert code == 0, said
    assert report["delisting"]["state"] == "skipped"
    assert "This runner&#39;s disk does not last" in (tmp_path / "r1/report.html").read_text().partition('id="unchecked"')[2]
    assert not (tmp_path / "cases").exists()


@pytest.mark.parametrize("word", ["submitted", "delisting_approve"])
def test_the_whole_job_takes_no_word_on_a_case(remediate, word):
    code, report, said = remediate(**{word: ZEN})
    assert (code, report) == (2, None)
    assert "Nothing was done." in said
    assert "is told to playbooks/delist.yml" in said


def test_the_findings_have_the_cases_and_in_check_mode_stay_as_they_are(delist, tmp_path, monkeypatch):
    delist()
    written = tmp_path / "r1/findings.json"
    found = json.loads(written.read_text())
    assert {row["case"]: row["state"] for row in found["cases"]} == {ZEN: "gated", MAILED: "gated"}
    assert "Do not ask yet" in next(point["next_step"] for point in found["open_points"] if "is listed in Spamhaus ZEN" in point["what"])
    written.unlink()
    code, said = delist(check=True)
    assert code == 0, said
    assert not written.exists()


def test_a_word_on_a_case_is_no_run_that_lacks_its_report(delist, tmp_path):
    delist()
    command = [
        ROOT / "script/run",
        "playbooks/delist.yml",
        "-i",
        "localhost,",
        "-e",
        f"goodstanding_state_url=sqlite:///{tmp_path}/store.db",
    ]
    word = ["-e", f"submitted={ZEN}", "-e", '{"reason": "asked by telephone"}']
    done = subprocess.run([*command, *word], cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, "writes no report" in done.stdout + done.stderr) == (0, True), done.stdout + done.stderr


def test_the_store_is_exported_beside_whoever_asks(delist, tmp_path, monkeypatch):
    delist()
    monkeypatch.setenv("PWD", str(tmp_path))
    code, said = delist(with_findings=False, delisting_export="store.json")
    assert code == 0, said
    assert ZEN in {row["id"] for row in json.loads((tmp_path / "store.json").read_text())["cases"]}
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    code, said = delist(with_findings=False, delisting_export="~/store.json")
    assert (code, (tmp_path / "home/store.json").exists()) == (0, True), said

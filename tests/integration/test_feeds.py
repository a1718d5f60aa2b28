# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What providers send: complaints in a mailbox of the lab, joined to the account by the log of another host; and SNDS, by the playbooks."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "servers")]
from lab import ROOT, lab, login, on, run  # noqa: E402  a folder of tests, no package
from snds_server import LEGACY_ROW, Microsoft  # noqa: E402

MX1, MX2 = "198.51.100.11", "198.51.100.12"
KEY = "7f3a91c2-key-of-the-link"
PASSPHRASE = "a passphrase of the integration tests"
MAILDIR = "/var/mail/fbl"
TODAY = datetime.datetime.now(datetime.timezone.utc).date()
DAY = TODAY - datetime.timedelta(2)
DATA, STATUS = f"/snds/data.aspx?key={KEY}", f"/snds/ipStatus.aspx?key={KEY}"


@pytest.fixture(scope="module")
def microsoft(tmp_path_factory):
    """Microsoft knows mx1 as blocked and mx2 as one that users complain about; an access token lives two seconds there."""
    with Microsoft(tmp_path_factory.mktemp("microsoft"), lifetime=2) as server:
        figures = {"rcpt": 420, "data": 400, "recipients": 419, "traps": 0, "day": DAY}
        rows = [
            LEGACY_ROW.format(address=MX1, colour="GREEN", rate="< 0.1%", **figures),
            LEGACY_ROW.format(address=MX2, colour="RED", rate="0.4%", **figures),
        ]
        server.links[DATA] = server.links[f"{DATA}&date={DAY:%m%d%y}"] = (200, "".join(rows))
        server.links[STATUS] = (200, f"{MX1},{MX1},Yes,Blocked due to user complaints or other evidence of spamming\r\n")
        json_row = {"ipAddress": MX2, "filterResult": "Yellow", "dataCommands": 400, "activityPeriod": f"{DAY.isoformat()}T00:00:00"}
        server.rest = {f"/data/{DAY.isoformat()}": (200, json.dumps({"value": [json_row]})), "/status/ip": (200, "[]")}
        # Ansible shows what a module was called with: a secret must not stand there either.
        os.environ.update(REQUESTS_CA_BUNDLE=server.bundle, ANSIBLE_INJECT_INVOCATION="true")
        yield server
        del os.environ["REQUESTS_CA_BUNDLE"], os.environ["ANSIBLE_INJECT_INVOCATION"]


def made(days_ago: int) -> str:
    return (TODAY - datetime.timedelta(days_ago)).isoformat()


@pytest.fixture(scope="module")
def inventory(microsoft, tmp_path_factory):
    """What an administrator adds to the lab's inventory, and the store of these tests."""
    folder = tmp_path_factory.mktemp("inventory")
    of_all = {
        "goodstanding_state_url": f"sqlite:///{folder}/store.db",
        "reputation_snds_passphrase": PASSPHRASE,
        "reputation_snds_authority": microsoft.authority,
        "reputation_snds_api_url": microsoft.api,
        "reputation_snds": [
            {"name": "fleet", "data_url": microsoft.url + DATA, "status_url": microsoft.url + STATUS, "made": made(9)},
            {"name": "old", "data_url": f"{microsoft.url}/snds/data.aspx?key=old-{KEY}", "made": made(40)},
            {"name": "portal", "api": True},
        ],
    }
    mailbox = {"path": MAILDIR, "authserv_id": "mx1.example.test"}
    hosts = {
        "all": {"vars": of_all, "children": {"mail_servers": {"hosts": {"mx1.example.test": {"reputation_feedback_mailbox": mailbox}}}}}
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts), encoding="utf-8")
    return folder


def authorize(inventory: Path, *options: str) -> str:
    command = [str(ROOT / "script/../.venv/bin/ansible-playbook"), "-i", "inventories/lab", "-i", str(inventory / "hosts.yml"), "-vvv"]
    command += ["playbooks/snds_authorize.yml", "-e", "account=portal", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def test_a_person_signs_in_once(microsoft, inventory):
    output = authorize(inventory)
    page = re.search(re.escape(f"{microsoft.authority}/oauth2/v2.0/authorize?") + r"[^\s\"']+", output)
    assert page, output[-3000:]
    redirected = microsoft.sign_in(page[0])
    output += authorize(inventory, "-e", json.dumps({"redirected": redirected}))
    output += authorize(inventory)
    assert len(re.findall(r"changed=1 ", output)) == 2, "the third time a token was there"
    secrets = [*microsoft.access, *microsoft.refresh, *microsoft.used, PASSPHRASE]
    assert len(secrets) == 3
    stored = (inventory / "store.db").read_bytes()
    assert not [secret for secret in secrets if secret in output or secret.encode() in stored]


def ask(inventory: Path) -> subprocess.Popen:
    variables = yaml.safe_load((inventory / "hosts.yml").read_text(encoding="utf-8"))["all"]["vars"]
    options = {
        "accounts": [{"name": "portal", "api": True}], "state_url": variables["goodstanding_state_url"], "passphrase": PASSPHRASE,
        "authority": variables["reputation_snds_authority"], "api_url": variables["reputation_snds_api_url"], "days": 2,
    }  # fmt: skip
    command = [str(ROOT / ".venv/bin/ansible"), "localhost", "-i", "localhost,", "-c", "local", "-m", "snds_info", "-vvv"]
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    return subprocess.Popen([*command, "-a", json.dumps(options)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def test_two_runs_at_once_renew_the_token_and_lose_none(microsoft, inventory):
    before = microsoft.refreshed
    output = ""
    for _ in range(2):
        for process in [ask(inventory), ask(inventory)]:
            said = process.communicate(timeout=120)[0]
            assert process.returncode == 0, said[-2000:]
            assert said.count('"state": "current"') == 2, said[-2000:]
            output += said
    assert (microsoft.refreshed - before, microsoft.reused) == (4, 0)
    assert not [secret for secret in [*microsoft.access, *microsoft.refresh, *microsoft.used, PASSPHRASE] if secret in output]


def complain(message_id: str) -> None:
    """Put reports about a message into the mailbox: a complaint that our server found authentic, one that it did not, and other mail."""
    data = (ROOT / "tests/data/feedback/yahoo.eml").read_text(encoding="utf-8").replace("prize-0001@alpha.test", message_id)
    data = data.replace(MX1, MX2)
    on("mx1", "mkdir", "-p", f"{MAILDIR}/new", f"{MAILDIR}/cur", f"{MAILDIR}/tmp")
    forged = data.replace("dkim=pass", "dkim=fail").replace(message_id, "of-nobody@alpha.test")
    for name, text in (("1.authentic", data), ("2.forged", forged), ("3.other", "From: a@b.example\n\nhello\n")):
        on("mx1", "sh", "-c", f"cat > {MAILDIR}/new/{name}", data=text)


@pytest.fixture
def complaint():
    assert login("alice@alpha.test", "pw-alice-alpha.test", "mx2")["smtp"] == "accepted"
    found: list[str] = []
    for _ in range(20):
        found = re.findall(
            r"message-id=<(\d+\.alice\.alpha\.test\.lab@botnet)>", on("mx2", "journalctl", "-q", "-o", "cat", "SYSLOG_FACILITY=2")
        )
        if found:
            break
        time.sleep(0.5)
    complain(found[-1])
    yield
    on("mx1", "rm", "-rf", MAILDIR)


def test_complaints_and_snds_stand_in_the_one_table(microsoft, inventory, complaint):
    lab("exec", "lists", "--", "/var/lib/lab/listing", "clear")
    done = run("assess", "-i", str(inventory / "hosts.yml"), "-vvv")
    assert done.code == 2, done.output[-3000:]
    rows = {(row["subject"], row["source"]): row for row in done.report["observations"] if row["source"].startswith(("snds", "complaints"))}
    assert {key: row["outcome"] for key, row in rows.items()} == {
        (MX1, "snds"): "score", (MX2, "snds"): "score", (MX1, "snds:status"): "listed", (MX2, "complaints:yahoo"): "score",
    }  # fmt: skip
    assert rows[MX1, "snds"]["codes"] == ["green"]
    assert "sent by alice@alpha.test (1)" in rows[MX2, "complaints:yahoo"]["meanings"][0]
    assert rows[MX2, "complaints:yahoo"]["meanings"][0].startswith("2 complaints, 1 of them authentic")
    assert {row["address"]: row["state"] for row in done.report["addresses"]}[MX1] == "listed"
    feeds = {row["feed"]: row["state"] for row in done.report["feeds"]}
    assert feeds == {
        "Microsoft SNDS, fleet: data link": "current", "Microsoft SNDS, fleet: status link": "current",
        "Microsoft SNDS, old: data link": "expired", "Microsoft SNDS, portal: data api": "current",
        "Microsoft SNDS, portal: status api": "current", "complaints on mx1.example.test": "current",
    }  # fmt: skip
    assert [row["what"] for row in done.report["open_points"] if "SNDS, old" in row["what"]]
    everything = done.output + json.dumps(done.report)
    assert not [secret for secret in [KEY, *microsoft.access, *microsoft.refresh, *microsoft.used, PASSPHRASE] if secret in everything]
    assert KEY.encode() not in (inventory / "store.db").read_bytes()


def mx1(done) -> dict:
    return next(row for row in done.report["addresses"] if row["address"] == MX1)


def test_a_block_that_snds_showed_ends_by_its_own_word_only(microsoft, inventory):
    microsoft.links[STATUS] = (503, "")
    row = mx1(run("assess", "-i", str(inventory / "hosts.yml")))
    assert "snds:status" in row["unqualified"]
    assert row["state"] != "clean"
    microsoft.links[STATUS] = (200, "")
    assert "snds:status" in mx1(run("assess", "-i", str(inventory / "hosts.yml")))["clean"]

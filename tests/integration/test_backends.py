# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks in real PostgreSQL, MariaDB, OpenLDAP and system users; most of it is tests/lab/files/backends.py, run on the host accounts."""

from __future__ import annotations

import base64
import io
import json
import random
import re
import sys
import tarfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import ROOT, lab, on, playbook

TREE = "/var/lib/lab/tree"
SECRET = "lab-only-password-of-the-lock"
ROWS = {
    "mx1": ("runuser", "-u", "postgres", "--", "psql", "-qAt", "mail", "-c"),
    "mx2": ("mariadb", "-BN", "mail", "-e"),
}


def backends(*words: str) -> str:
    """Run the script on the host accounts and return the line that says what it did."""
    return on("accounts", "python3", f"{TREE}/backends.py", *words).strip()


@pytest.fixture(scope="module", autouse=True)
def tree():
    """Put the project's module_utils on the host, with the script beside them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(ROOT / "module_utils", "module_utils", filter=lambda entry: None if "__pycache__" in entry.name else entry)
        tar.add(ROOT / "tests/lab/files/backends.py", "backends.py")
    unpack = f"rm -rf {TREE} && mkdir -p {TREE} && base64 -d | tar -C {TREE} -xzf -"
    on("accounts", "sh", "-c", unpack, data=base64.b64encode(packed.getvalue()).decode())
    yield
    on("accounts", "systemctl", "stop", "postfix", "dovecot")
    on("accounts", "rm", "-rf", TREE)


@pytest.mark.parametrize("number", ["25", pytest.param("100", marks=pytest.mark.soak)])
def test_random_sequences_that_end_anywhere_leave_everything_as_before(number):
    seed = random.SystemRandom().randrange(1 << 30)
    said = backends("sequences", number, str(seed))
    print(said)
    done = re.fullmatch(rf"{number} sequences of seed {seed}: \d+ locks and unlocks, (\d+) of them ended in the middle; .*as before", said)
    assert done, said
    assert int(done[1]) >= int(number), "too few ended in the middle to show anything"


def test_what_goes_wrong_is_refused_and_named():
    assert "refused and named" in backends("faults")


def test_a_server_that_goes_away_in_the_middle_leaves_no_half_a_lock():
    assert "everything is as before" in backends("unreachable")


def test_mail_is_delivered_to_a_locked_mailbox_and_a_lock_that_would_bounce_it_is_set_back():
    assert "mail delivered to a locked mailbox" in backends("delivery")


def test_a_system_user_is_locked_by_its_expiry_alone():
    assert "/etc/shadow as before" in backends("system")


def run(state: str) -> dict[str, dict]:
    """Lock or unlock from both mail hosts by the role, and return what each said."""
    printed = playbook("backends.yml", "-v", "-e", f"state={state}")
    assert SECRET not in printed
    said = " ".join(printed.split())  # Ansible folds long lines
    return {host: json.loads(found) for host, found in re.findall(r"BACKENDS (\w+) (\{.*?\})' ", said + " ")}


def test_the_mail_hosts_lock_over_tls_with_a_user_that_may_do_no_more():
    lab("reset")
    certificate = on("accounts", "cat", "/var/lib/lab/accounts.pem")
    for host in ROWS:
        on(host, "sh", "-c", "cat > /var/lib/lab/accounts.pem", data=certificate)
    statement = "SELECT * FROM mailbox ORDER BY username"
    before = {host: on("accounts", *words, statement) for host, words in ROWS.items()}
    locked = run("locked")
    assert {host: (said["failed"], said["backends"]["table"]["accounts"]) for host, said in locked.items()} == dict.fromkeys(
        ROWS, (False, ["alice@alpha.test"])
    )
    assert {host: said["backends"]["table"]["delivery"]["alice@alpha.test"]["userdb"] for host, said in locked.items()} == dict.fromkeys(
        ROWS, "accepted"
    )
    journals = [on(host, "cat", "/var/lib/goodstanding/journal.jsonl") for host in ROWS]
    again = run("locked")
    assert not any(one["changed"] for said in again.values() for one in said["backends"].values())
    assert [on(host, "cat", "/var/lib/goodstanding/journal.jsonl") for host in ROWS] == journals, "a second run changes nothing"
    assert SECRET not in "".join(journals)
    for host, words in ROWS.items():
        changed = set(on("accounts", *words, statement).splitlines()) ^ set(before[host].splitlines())
        assert len(changed) == 2 and all("alice@alpha.test" in row for row in changed)
    run("unlocked")
    assert {host: on("accounts", *words, statement) for host, words in ROWS.items()} == before

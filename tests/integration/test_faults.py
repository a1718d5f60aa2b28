# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may go wrong while an account is locked: the attacker stays out by what was done so far, and the next run goes on from there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOSTS, ROOT, VICTIM, fingerprint, lab, login, module, on, playbook

PASSWORD = "pw-mallory-alpha.test"
REFUSED = {"smtp": "refused", "imap": "refused"}
STATE = """
postmap -s lmdb:/etc/postfix/goodstanding_locked | sed 's/incident .*//'
cat /etc/dovecot/goodstanding_denied
sha256sum /etc/postfix/main.cf /etc/postfix/master.cf /etc/dovecot/dovecot.conf /etc/dovecot/goodstanding-deny.conf
ls -A /etc/postfix /etc/dovecot | grep -F .goodstanding- || true
python3 -c "import json; print(sorted(json.load(open('/var/lib/goodstanding/locks.json'))))"
"""


def mounts(host: str, *words: str) -> None:
    """Run mount or umount among the files that a host sees."""
    pid = subprocess.run(
        ["podman", "inspect", "--format", "{{.State.Pid}}", f"goodstanding-lab-{host}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run(["nsenter", "-t", pid, "-m", "-p", *words], check=True)  # umount(8) looks at itself in /proc


@pytest.fixture(scope="module", autouse=True)
def fresh():
    lab("reset")
    yield
    lab("reset")


def killed_at(task: str, delay: float) -> None:
    """Begin to lock on both hosts and kill the play, -9, some seconds after a task has begun."""
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", "inventories/lab", "tests/integration/lock_all.yml"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, start_new_session=True,
        env=environment,
    ) as play:  # fmt: skip
        assert play.stdout
        for line in play.stdout:
            if re.match(rf"TASK \[account_lock : {re.escape(task)}", line):
                time.sleep(delay)
                os.killpg(play.pid, signal.SIGKILL)
                return
    raise AssertionError(f"the play never came to {task!r}: nothing was killed")


def states() -> dict[str, str]:
    return {host: on(host, "bash", "-c", STATE) for host in HOSTS}


KILLED = [("Put the plumbing in place", 0.5), ("Put the accounts into the maps", 0.7), ("End the accounts' sessions", 0.7)]
KILLED_TOO = [
    ("Put the accounts into the maps", 0.0),
    ("End the accounts' sessions", 0.0),
    ("Hold their queued mail", 0.3),
    ("Keep what was done", 0.0),
]


@pytest.mark.parametrize("killed", [KILLED, pytest.param(KILLED_TOO, marks=pytest.mark.soak)], ids=["early", "late"])
def test_a_play_that_is_killed_anywhere_is_taken_up_by_the_next(killed):
    virgin = fingerprint()
    playbook("lock_all.yml")
    wanted = states()
    assert all(VICTIM in text for text in wanted.values())
    for task, delay in killed:
        playbook("remove.yml")
        killed_at(task, delay)
        output = playbook("lock_all.yml")
        assert output.count("contained=True") == 2, (task, delay, output[-2000:])
        assert states() == wanted, (task, delay)
    for host in HOSTS:
        assert login(VICTIM, PASSWORD, host) == REFUSED
        module(host, "mail_account_lock", accounts=[VICTIM], state="unlocked")
        assert login(VICTIM, PASSWORD, host) == {"smtp": "accepted", "imap": "accepted"}
    playbook("remove.yml")
    assert [line for text in fingerprint().values() for line in text.splitlines() if " /etc/" in line] == [
        line for text in virgin.values() for line in text.splitlines() if " /etc/" in line
    ]


def test_two_runs_at_once_wait_for_each_other():
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", "inventories/lab", "tests/integration/lock_all.yml"]
    plays = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    said = [play.communicate()[0] for play in plays]
    assert [play.returncode for play in plays] == [0, 0], said
    assert [text.count("contained=True") for text in said] == [2, 2], said
    for host in HOSTS:
        assert module(host, "mail_lock_info")["journal"]["damaged"] == []
        module(host, "mail_account_lock", accounts=[VICTIM], state="unlocked")


@pytest.mark.parametrize("host", HOSTS)
def test_with_dovecot_stopped(host):
    on(host, "systemctl", "stop", "dovecot")
    try:
        done = module(host, "mail_account_lock", accounts=[VICTIM], incident="stopped")
    finally:
        on(host, "systemctl", "start", "dovecot")
    assert done["contained"] is True, done
    assert login(VICTIM, PASSWORD, host) == REFUSED
    module(host, "mail_account_lock", accounts=[VICTIM], state="unlocked")


@pytest.mark.parametrize("host", HOSTS)
def test_with_the_maps_folder_read_only(host):
    mounts(host, "mount", "--bind", "/etc/postfix", "/etc/postfix")
    mounts(host, "mount", "-o", "remount,bind,ro", "/etc/postfix")
    try:
        done = module(host, "mail_account_lock", accounts=[VICTIM], incident="readonly")
        assert done["failed"], done
        assert "map: " in done["msg"]
        assert "Read-only file system" in done["msg"]
        time.sleep(1.5)
        assert login(VICTIM, PASSWORD, host) == REFUSED, "the deny file was to be written all the same"
    finally:
        mounts(host, "umount", "/etc/postfix")
    assert module(host, "mail_account_lock", accounts=[VICTIM], incident="readonly")["contained"] is True
    module(host, "mail_account_lock", accounts=[VICTIM], state="unlocked")
    assert login(VICTIM, PASSWORD, host) == {"smtp": "accepted", "imap": "accepted"}


@pytest.mark.parametrize("host", HOSTS)
def test_with_a_full_disk_under_the_journal(host):
    mounts(host, "mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", "/var/lib/goodstanding")
    try:
        on(host, "bash", "-c", "cd /var/lib/goodstanding; head -c 1M /dev/zero > filled || true")
        done = module(host, "mail_account_lock", accounts=[VICTIM], phase="stop", incident="full")
        assert not done.get("failed"), done
        time.sleep(1.5)
        assert login(VICTIM, PASSWORD, host) == REFUSED
        assert module(host, "mail_account_lock", accounts=[VICTIM], phase="finish", incident="full")["failed"]
    finally:
        mounts(host, "umount", "/var/lib/goodstanding")
    assert module(host, "mail_account_lock", accounts=[VICTIM], incident="full")["contained"] is True
    module(host, "mail_account_lock", accounts=[VICTIM], state="unlocked")
    assert login(VICTIM, PASSWORD, host) == {"smtp": "accepted", "imap": "accepted"}


@pytest.mark.parametrize("host", HOSTS)
def test_with_a_journal_that_was_tampered_with(host):
    module(host, "mail_account_lock", accounts=[VICTIM], incident="tampered")
    on(host, "sed", "-i", "$ s/tampered/forged/", "/var/lib/goodstanding/journal.jsonl")
    assert len(module(host, "mail_lock_info")["journal"]["damaged"]) == 1
    done = module(host, "mail_account_lock", accounts=[VICTIM], state="unlocked")
    assert "of the journal /var/lib/goodstanding/journal.jsonl was changed" in done["msg"]
    assert login(VICTIM, PASSWORD, host) == REFUSED
    module(host, "mail_account_lock", accounts=[VICTIM], state="unlocked", force=True)
    assert login(VICTIM, PASSWORD, host) == {"smtp": "accepted", "imap": "accepted"}

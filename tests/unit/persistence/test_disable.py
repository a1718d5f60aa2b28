# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One finding out of force and back: every byte, owner and time as before; refused where it was changed meanwhile."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.host import files as state
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.persistence import disable
from goodstanding_src.module_utils.goodstanding.persistence.inventory import Options, take
from host import ACCOUNT


@pytest.fixture
def home(host):
    (host.home / "sieve/main.sieve").write_text('redirect "x@evil.test";')
    (host.home / "sieve/other.sieve").write_text("keep;")
    (host.home / ".dovecot.sieve").symlink_to("sieve/main.sieve")
    (host.home / ".forward").write_text("x@evil.test\n")
    return host.home


def act(host, path, disabled=True, sha256="", check_mode=False):
    place = path if isinstance(path, str) else str(path)
    return disable.apply(host.run, ACCOUNT, place, sha256, disabled, "test", check_mode)["changed"]


def tree(home):
    found = {}
    for path in sorted(home.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_ino, status.st_mtime_ns, status.st_mode)
    return found


@pytest.mark.parametrize("name", ["sieve/main.sieve", ".forward"])
def test_out_and_back_to_the_byte(host, home, name):
    before = tree(home)
    assert act(host, home / name, check_mode=True)
    assert tree(home) == before, "check mode changes nothing"
    assert act(host, home / name)
    assert not act(host, home / name), "a second run changes nothing"
    in_force = [row["place"] for row in take(host.run, [ACCOUNT], Options(), True)["findings"] if row["active"]]
    assert str(home / name) not in in_force
    assert sorted(inode for inode, _, _ in tree(home).values()) == sorted(inode for inode, _, _ in before.values()), "nothing is lost"
    assert act(host, home / name, disabled=False)
    assert not act(host, home / name, disabled=False)
    files = {path: row for path, row in tree(home).items() if not Path(path).is_dir()}
    assert files == {path: row for path, row in before.items() if not Path(path).is_dir()}
    assert state.load_state("persistence_disabled.json") == {}
    steps = [json.loads(line)["state"] for line in Path(state.STATE, "journal.jsonl").read_text().splitlines()]
    assert steps == ["disabled", "enabled"]


def test_a_disabled_script_waits_for_nobody(host, home):
    act(host, home / "sieve/main.sieve")
    rows = {row["place"]: row for row in take(host.run, [ACCOUNT], Options(), True)["findings"]}
    assert rows[str(home / "sieve/main.sieve")]["disabled"]


def test_what_was_changed_since_it_was_looked_at_is_left_alone(host, home):
    looked_at = hashlib.sha256(b"what it was").hexdigest()
    with pytest.raises(HostError, match=r"\.forward was changed since it was looked at"):
        act(host, home / ".forward", sha256=looked_at)
    assert act(host, home / ".forward", sha256=hashlib.sha256(b"x@evil.test\n").hexdigest().upper())


def test_a_script_that_was_changed_meanwhile_does_not_come_back(host, home):
    act(host, home / "sieve/main.sieve")
    (home / "sieve/main.sieve").write_text("discard;")
    with pytest.raises(HostError, match=r"main\.sieve was changed since it was disabled"):
        act(host, home / "sieve/main.sieve", disabled=False)
    (home / "sieve/main.sieve").unlink()
    with pytest.raises(HostError, match=r"main\.sieve was removed since it was disabled"):
        act(host, home / "sieve/main.sieve", disabled=False)


def test_another_script_that_is_active_by_now_is_named(host, home):
    act(host, home / "sieve/main.sieve")
    (home / ".dovecot.sieve").symlink_to("sieve/other.sieve")
    with pytest.raises(HostError, match=r"other\.sieve is active now"):
        act(host, home / "sieve/main.sieve", disabled=False)


def test_a_file_set_aside_that_was_changed_or_has_a_successor_is_named(host, home):
    act(host, home / ".forward")
    aside = home / ".goodstanding-disabled-forward"
    aside.write_text("y@evil.test\n")
    with pytest.raises(HostError, match="goodstanding-disabled-forward was changed"):
        act(host, home / ".forward", disabled=False)
    aside.write_text("x@evil.test\n")
    (home / ".forward").write_text("new@alpha.test\n")
    with pytest.raises(HostError, match=r"\.forward is there already"):
        act(host, home / ".forward", disabled=False)
    assert aside.read_text() == "x@evil.test\n"


def test_a_link_set_aside_that_leads_elsewhere_by_now_is_named(host, home):
    act(host, home / "sieve/main.sieve")
    aside = home / ".goodstanding-disabled-dovecot.sieve"
    aside.unlink()
    aside.symlink_to("sieve/other.sieve")
    with pytest.raises(HostError, match="was changed since it was disabled"):
        act(host, home / "sieve/main.sieve", disabled=False)


def test_a_run_that_was_killed_in_between_is_carried_on(host, home, monkeypatch):
    monkeypatch.setattr(disable, "_carry_out", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        act(host, home / ".forward")
    monkeypatch.undo()
    state_folder = home.parent / "state"
    monkeypatch.setattr(state, "STATE", str(state_folder))
    assert act(host, home / ".forward")
    # Put back, but killed before it was written down.
    (home / ".goodstanding-disabled-forward").rename(home / ".forward")
    assert act(host, home / ".forward", disabled=False)
    assert (home / ".forward").read_text() == "x@evil.test\n"
    assert state.load_state("persistence_disabled.json") == {}


def test_a_plain_file_in_place_of_the_active_link(host, home):
    (home / ".dovecot.sieve").unlink()
    (home / ".dovecot.sieve").write_text("discard;")
    assert act(host, home / ".dovecot.sieve")
    assert not (home / ".dovecot.sieve").exists()
    assert act(host, home / ".dovecot.sieve", disabled=False)
    assert (home / ".dovecot.sieve").read_text() == "discard;"


def test_scripts_that_are_not_files_are_left_to_dovecot(host, home):
    doveconf = (
        host.answers["doveconf -n"][1]
        .replace("file:~/sieve;active=~/.dovecot.sieve", "dict:x")
        .replace("  path =", "  driver = dict\n  path =")
    )
    host.answers["doveconf -n"] = (0, doveconf, "")
    host.scripts(main=True)
    host.answers["doveadm -f json sieve get"] = (0, json.dumps([{"sieve script": "discard;"}]), "")
    host.answers["doveadm sieve"] = (0, "", "")
    assert act(host, "sieve:main")
    assert host.asked[-1][0] == "doveadm sieve deactivate -u erin@alpha.test"
    host.scripts(main=False)
    assert act(host, "sieve:main", disabled=False)
    assert host.asked[-1][0] == "doveadm sieve activate -u erin@alpha.test main"


def test_a_map_is_not_edited_but_told(host):
    host.answers["postconf -x"] = (0, "virtual_alias_maps = hash:/etc/postfix/virtual\n", "")
    host.answers["postmap -q - hash:/etc/postfix/virtual"] = (0, "erin@alpha.test\tx@evil.test\n", "")
    with pytest.raises(HostError, match="run postmap"):
        act(host, "hash:/etc/postfix/virtual erin@alpha.test")


def test_what_is_no_finding_is_named(host, home):
    with pytest.raises(HostError, match=r"/nowhere is no finding of erin@alpha\.test"):
        act(host, "/nowhere")
    with pytest.raises(HostError, match="there is nothing to put back"):
        act(host, home / "sieve/other.sieve", disabled=False)
    assert not act(host, home / "sieve/other.sieve"), "it is not in force"

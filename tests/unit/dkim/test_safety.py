# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenDKIM's walk from / to a key, and the read as the daemon, on real files."""

from __future__ import annotations

import os
import pwd

import pytest
from goodstanding_src.module_utils.goodstanding.dkim import safety, signers
from goodstanding_src.module_utils.goodstanding.host.files import HostError

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="another user can only be tried as root")
NOBODY = pwd.getpwnam("nobody")
WHO = safety.Daemon("nobody", NOBODY.pw_uid, NOBODY.pw_gid)


@pytest.fixture
def key(tmp_path, monkeypatch):
    """A folder of keys under a root of our own: the test's folders are in /tmp, which everybody may write."""
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_uid == os.geteuid() and len(above.parts) > 2:
            above.chmod(0o755)  # the walk ends at a folder that nobody else may enter
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    path = folder / "a.pem"
    path.write_text("a key")
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(folder, WHO.uid, WHO.gid)
        os.chown(path, WHO.uid, WHO.gid)
    monkeypatch.setattr(safety, "_unsafe_folder", _only_below(tmp_path, safety._unsafe_folder))
    return path


def _only_below(tmp_path, real):
    return lambda node, state, who: real(node, state, who) if node.startswith(str(tmp_path / "keys")) else []


@root_only
def test_a_key_of_the_daemon_in_a_folder_of_its_own_is_taken(key):
    assert safety.unsafe(str(key), WHO) == []


@root_only
@pytest.mark.parametrize(
    ("mode", "owner", "why"),
    [
        (0o644, None, "read or written by everybody"),
        (0o660, (NOBODY.pw_uid, 8), "which has others in it"),  # the group mail is the user mail's
        (0o600, (1, 1), "neither root nor nobody"),
    ],
)
def test_a_key_that_others_can_read_or_own_is_refused(key, mode, owner, why):
    if owner:
        os.chown(key, *owner)
    key.chmod(mode)
    key.parent.chmod(0o711)
    found = safety.unsafe(str(key), WHO)
    assert found and any(why in fault and ("chmod 0600" in fault or "chown" in fault) for fault in found)


@root_only
def test_a_folder_that_others_can_write_is_refused_and_a_closed_one_ends_the_walk(key):
    key.parent.chmod(0o1777)
    assert any("everybody can write into" in fault for fault in safety.unsafe(str(key), WHO))
    key.parent.chmod(0o700)
    key.chmod(0o644)
    assert safety.unsafe(str(key), WHO) == [], "nobody else comes as far as the file"


@root_only
def test_the_daemon_itself_opens_the_key(key):
    assert safety.faults(str(key), WHO, walk=False) == []
    os.chown(key, 0, 0)
    found = safety.faults(str(key), WHO, walk=False)
    assert len(found) == 1 and "cannot be opened (Permission denied) as nobody" in found[0] and "chown nobody" in found[0]
    key.write_text("")
    os.chown(key, WHO.uid, WHO.gid)
    assert "is empty" in safety.faults(str(key), WHO, walk=False)[0]


@root_only
def test_the_child_gave_up_root_for_good():
    def become_root():
        try:
            os.setuid(0)
        except PermissionError:
            return f"{os.geteuid()} {sorted(os.getgroups()) == sorted(os.getgrouplist('nobody', WHO.gid))}"
        return "root again"

    assert safety.as_user(WHO, become_root) == f"{WHO.uid} True"


def test_a_user_that_is_not_there_is_named():
    with pytest.raises(HostError, match="no user nosuchdaemon"):
        safety.daemon("nosuchdaemon")


def test_rspamd_runs_as_the_user_of_its_unit(monkeypatch):
    def run(words):
        return 0, {"rspamd": "Rspamd daemon version 3.13.2\n", "systemctl": f"{NOBODY.pw_name}\n"}[words[0]], ""

    found = signers.of(run, "rspamd")
    assert (found.daemon, found.version) == (WHO, "Rspamd daemon version 3.13.2\n")
    monkeypatch.setitem(signers._USERS, "rspamd", "daemon")
    assert signers.of(lambda words: (1, "", ""), "rspamd").daemon.user == "daemon"

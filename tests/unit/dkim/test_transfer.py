# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key on its way: who can open it, and what else is told."""

from __future__ import annotations

import base64
import os
import stat

import pytest
from goodstanding_src.module_utils.goodstanding.dkim import transfer
from goodstanding_src.module_utils.goodstanding.host import files
from goodstanding_src.module_utils.goodstanding.host.files import HostError

SECRET, NAME = b"-----BEGIN PRIVATE KEY----- octets that nobody sees", "20261123.mx._domainkey.a.test"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "STATE", str(tmp_path))
    return tmp_path


def test_the_host_that_asked_alone_opens_it_and_only_as_what_it_is(state):
    public = transfer.ask()
    sealed = transfer.seal(SECRET, public, NAME)
    assert transfer.take(sealed, NAME) == SECRET
    assert stat.S_IMODE(os.stat(transfer.path()).st_mode) == 0o600
    assert SECRET not in base64.b64decode(sealed) and sealed != transfer.seal(SECRET, public, NAME)
    with pytest.raises(HostError, match="not sealed for this host now"):
        transfer.take(sealed, "20261123.mx._domainkey.b.test")
    transfer.ask()  # a run later
    with pytest.raises(HostError, match="not sealed for this host now"):
        transfer.take(sealed, NAME)
    os.unlink(transfer.path())
    with pytest.raises(HostError, match="did not ask"):
        transfer.take(sealed, NAME)


@pytest.mark.parametrize("at", [0, 31, 32, 43, 44, 70, -1])
def test_what_was_changed_on_the_way_is_refused(at):
    data = bytearray(base64.b64decode(transfer.seal(SECRET, transfer.ask(), NAME)))
    data[at] ^= 1
    with pytest.raises(HostError, match="not sealed for this host now") as told:
        transfer.take(base64.b64encode(data).decode(), NAME)
    assert "octets that nobody" not in str(told.value)


@pytest.mark.parametrize("text", ["", "!", "AAAA", "A" * 200_000, base64.b64encode(bytes(60)).decode()])
def test_what_is_no_sealed_key_is_refused(text):
    transfer.ask()
    with pytest.raises(HostError, match=r"no base64|not sealed|is none"):
        transfer.take(text, NAME)


@pytest.mark.parametrize("to", ["", "x", "AAAA", base64.b64encode(bytes(32)).decode()])
def test_nothing_is_sealed_for_what_is_no_public_half(to):
    with pytest.raises(HostError, match=r"no base64|octets, not 32|is none"):
        transfer.seal(SECRET, to, NAME)

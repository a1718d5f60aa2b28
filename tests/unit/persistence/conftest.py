# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from goodstanding_src.module_utils.goodstanding.host import files
from host import Host


@pytest.fixture(params=["2.3", "2.4"])
def host(tmp_path, monkeypatch, request):
    """A host with the home of erin, and the state of Good Standing in a folder of its own."""
    home = tmp_path / "erin"
    (home / "sieve").mkdir(parents=True)
    monkeypatch.setattr(files, "STATE", str(tmp_path / "state"))
    return Host(home, request.param)

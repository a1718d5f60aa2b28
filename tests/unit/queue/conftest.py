# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.host import files
from goodstanding_src.module_utils.goodstanding.queue import hold

sys.path.insert(0, str(Path(__file__).parent))
from spool import Postfix


@pytest.fixture
def postfix(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "STATE", str(tmp_path / "state"))
    monkeypatch.setattr(hold, "PATIENCE", 0)
    return Postfix(tmp_path)

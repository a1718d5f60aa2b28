# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.maillog import dropped


@pytest.fixture(autouse=True)
def no_system_log(monkeypatch):
    """What the loggers of the machine that runs the tests dropped is nothing to them."""
    monkeypatch.setattr(dropped, "SYSTEM_LOGS", ())
    monkeypatch.setattr(dropped, "JOURNALCTL", "no-journalctl")

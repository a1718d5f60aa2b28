# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A browser, and reports that it opens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.report import files

sys.path.insert(0, str(Path(__file__).parent))
import reports
from browser import Browser

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = str(ROOT / "roles/report/templates/report.html.j2")


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """The browser of all tests."""
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """Return what writes a report's page by its name and returns the file; each is made once."""
    folder = tmp_path_factory.mktemp("pages")

    def write(name):
        path = folder / f"{name}.html"
        if not path.exists():
            files.write(str(path), files.as_page(getattr(reports, name)(), TEMPLATE))
        return path

    return write

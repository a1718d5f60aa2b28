# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give the tree a package name, so that the modules' relative imports work under pytest as they do under Ansible."""

from __future__ import annotations

import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

package = types.ModuleType("goodstanding_src")
package.__path__ = [str(ROOT)]
sys.modules.setdefault("goodstanding_src", package)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case after its value but where that is long: a key that is made anew each time would name it otherwise in each worker."""
    return argname if isinstance(val, str) and len(val) > 60 else None

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the host's modules run commands: lists of words through Ansible, in the C locale, with the sbin folders in the path."""

from __future__ import annotations

import os
import typing as t

from .files import Run

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def runner(module: t.Any) -> Run:
    """Return run(words, stdin) -> (exit code, stdout, stderr) of an AnsibleModule; 127 where the program is not there."""
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{_PATH}"

    def run(words: list[str], data: str | None = None) -> tuple[int, str, str]:
        try:
            code, out, err = module.run_command(
                words, data=data, environ_update={"LC_ALL": "C"}, expand_user_and_vars=False, handle_exceptions=False
            )
        except OSError as exc:
            return 127, "", f"{words[0]}: {exc.strerror}"
        return code, out, err

    return run

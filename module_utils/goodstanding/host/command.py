# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the host's modules run commands: lists of words without a shell, in the C locale, with the sbin folders in the path.

Not AnsibleModule.run_command: it writes all of the input before it reads any output, and postsuper(1), which says a line for each queue ID
that it reads, waits for it for ever when there are some thousands.
"""

from __future__ import annotations

import os
import subprocess

from .files import Run

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Seconds after which a command is ended; postsuper takes some for ten thousand messages.
TIMEOUT = 300


def runner() -> Run:
    """Return run(words, stdin) -> (exit code, stdout, stderr); 127 where the program is not there, 124 where it was ended."""
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{_PATH}"
    environment = {**os.environ, "LC_ALL": "C"}

    def run(words: list[str], data: str | None = None) -> tuple[int, str, str]:
        try:
            done = subprocess.run(
                words, input=data or "", capture_output=True, check=False, encoding="utf-8", errors="surrogateescape", env=environment,
                timeout=TIMEOUT,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return 124, "", f"{words[0]} did not end within {TIMEOUT} s"
        except OSError as exc:
            return 127, "", f"{words[0]}: {exc.strerror}"
        return done.returncode, done.stdout, done.stderr

    return run

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for the tests: homes in a folder, commands that answer as Debian's do."""

from __future__ import annotations

import json

ACCOUNT = "erin@alpha.test"
DOVECONF = {
    "2.3": """\
# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf
mail_plugins = acl
passdb {
  args = scheme=SHA512-CRYPT username_format=%u PASSWDFILE
  driver = passwd-file
}
plugin {
  sieve = file:~/sieve;active=~/.dovecot.sieve
}
""",
    "2.4": """\
dovecot_config_version = 2.4.0
mail_plugins {
  acl = yes
}
passdb passwd-file {
  default_password_scheme = SHA512-CRYPT
  passwd_file_path = PASSWDFILE
}
sieve_script personal {
  active_path = ~/.dovecot.sieve
  path = %{home}/sieve
}
""",
}


class Host:
    """run() answers from .answers by the beginning of the command, longest first; everything asked is kept in .asked."""

    def __init__(self, home, version="2.3"):
        self.home, self.asked = home, []
        fields = "field\tvalue\nuid\t5000\n"
        self.answers = {
            "doveconf -n": (0, DOVECONF[version], ""),
            "doveadm -f tab user": (0, fields + f"home\t{home}\nmail\tmaildir:~/Maildir\n", ""),
            "doveadm -f json sieve list": (0, "[]", ""),
            "doveadm -f json sieve get": (68, "", "Sieve script not found\n"),
            "postconf": (0, "", ""),
            "postmap": (1, "", ""),
        }

    def run(self, words, data=None):
        line = " ".join(words)
        self.asked.append((line, data))
        for begin in sorted(self.answers, key=len, reverse=True):
            if line.startswith(begin):
                return self.answers[begin]
        return 127, "", f"{words[0]}: not found"

    def scripts(self, **active):
        """Answer doveadm sieve list with these scripts."""
        rows = [{"script": name, "active": "ACTIVE" if on else ""} for name, on in active.items()]
        self.answers["doveadm -f json sieve list"] = (0, json.dumps(rows), "")

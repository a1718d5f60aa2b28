# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""policyd-rate-limit played: what of its 1.0 (Debian 12) and 1.2 (Debian 13) is relied on, with their tables, stages and sums.

The real ones are tried by tests/integration/test_limits_policyd.py, and on each host by policyd_program.py itself before it serves.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
import types


def put(monkeypatch, release: str, **faults) -> None:
    """Make a release what 'import policyd_rate_limit' finds. generous: it compares wrongly, by one."""
    newer = release == "1.2"
    names = ("policyd_rate_limit", *(f"policyd_rate_limit.{name}" for name in ("config", "utils", "policyd")))
    package, config, utils, policyd = modules = [types.ModuleType(name) for name in names]
    package.__path__ = []
    for name, module in zip(names, modules):
        monkeypatch.setitem(sys.modules, name, module)
    if newer:
        config.count_mode = 0
    config.user = "nobody"

    class File:
        def __init__(self, path):
            with open(path, encoding="utf-8") as file:
                self.read = json.loads("".join(line for line in file if not line.startswith("#")))

        def __getattr__(self, name):
            return self.read[name] if name in self.read else getattr(config, name)

    class Lazy:
        _config = None
        format_str = None

        def __getattr__(self, name):
            return getattr(self._config, name)

        def setup(self, path):
            self._config = File(path)
            self.format_str = "?"
            utils.cursor = type("cursor", (Cursor,), {"_db": Connections(lambda: sqlite3.connect(**self.sqlite_config))})

    class Connections(dict):
        def __init__(self, factory):
            self.default_factory = factory

    class Cursor:
        backend_module = sqlite3

        @classmethod
        def del_db(cls):
            if 0 in cls._db:
                cls._db.pop(0).close()

        def __enter__(self):
            if 0 not in self._db:
                self._db[0] = self._db.default_factory()
            self.cur = self._db[0].cursor()
            return self.cur

        def __exit__(self, *_):
            self.cur.close()
            self._db[0].commit()

    def database_init():
        more = ", recipient_count int DEFAULT 1, instance varchar(40) NOT NULL, protocol_state varchar(10) NOT NULL" if newer else ""
        with utils.cursor() as cur:
            cur.execute(f"CREATE TABLE IF NOT EXISTS mail_count (id varchar(40) NOT NULL, date bigint NOT NULL{more})")
        utils.config.database_is_initialized = True

    class Policyd:
        def __init__(self):
            self.socket_data_read, self.socket_data_write, self.last_used = {}, {}, {}

        def close_connection(self, connection):
            self.socket_data_read.pop(connection, None)
            connection.close()

        def action(self, connection, request):
            config, action, key = utils.config, utils.config.success_action, None
            try:
                with utils.cursor() as cur:
                    key = request.get("sasl_username")
                    if request["protocol_state"] != ("DATA" if newer else "RCPT") or (newer and config.count_mode != 2):
                        key = None
                    total = "SUM(recipient_count)" if newer else "COUNT(*)"
                    for most, seconds in config.limits_by_id.get(key, ()) if key else ():
                        query = f"SELECT {total} FROM mail_count WHERE id = ? AND date >= ?"  # noqa: S608
                        cur.execute(query, (key, int(time.time() - seconds)))
                        if (cur.fetchone()[0] or 0) >= most + faults.get("generous", 0):
                            action = config.fail_action
                            break
                    if action == config.success_action and key is not None:
                        row = (key, int(time.time()), *((1, request["instance"], request["protocol_state"]) if newer else ()))
                        cur.execute(f"INSERT INTO mail_count VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
            except sqlite3.Error:
                utils.cursor.del_db()
                action = config.db_error_action
            self.socket_data_write[connection] = f"action={action}\n\n".encode()
            self.socket_data_read[connection].clear()

    utils.config, utils.database_init, policyd.Policyd = Lazy(), database_init, Policyd

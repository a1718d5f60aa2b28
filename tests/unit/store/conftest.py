# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server of the tests' own, on a socket in a folder of its own, where one is installed."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.store import database


def programs():
    """Return the folder of initdb and postgres, which Debian keeps out of PATH; None where there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@pytest.fixture(scope="session")
def postgres():
    """Yield the URL of a server, without a database's name."""
    pytest.importorskip("psycopg")
    here = programs()
    if here is None:
        pytest.skip("no PostgreSQL is installed")
    # Not pytest's folder: a socket's path is short, and another user starts the server.
    folder = tempfile.mkdtemp(prefix="gs-pg-", dir="/tmp")
    root = getpass.getuser() == "root"
    if root:
        shutil.chown(folder, "postgres", "postgres")
    user = ["runuser", "-u", "postgres", "--"] if root else []
    data, name = f"{folder}/data", "postgres" if root else getpass.getuser()
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder, "env": {**os.environ, "LC_ALL": "C.UTF-8"}}
    subprocess.run([*user, f"{here}/initdb", "--auth=trust", "--no-sync", f"--username={name}", data], **quiet)
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    subprocess.run([*user, f"{here}/pg_ctl", "--wait", "-D", data, "-l", f"{folder}/log", "-o", options, "start"], **quiet)
    try:
        yield f"postgresql+psycopg://{name}@/DATABASE?host={folder}"
    finally:
        subprocess.run([*user, f"{here}/pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """Return the URL of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server, name = request.getfixturevalue("postgres"), f"t{uuid.uuid4().hex}"
    import sqlalchemy as sa

    maintenance = sa.create_engine(server.replace("DATABASE", "postgres"), isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    maintenance.dispose()
    return server.replace("DATABASE", name)


@pytest.fixture
def store(url):
    engine = database.open_store(url)
    yield engine
    engine.dispose()

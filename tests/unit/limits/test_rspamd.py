# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts that Rspamd is given, and what is read out of its answers and its log."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.limits import rspamd, rspamd_log, rspamd_lua
from goodstanding_src.module_utils.goodstanding.limits.engine import Hit, Settings
from goodstanding_src.module_utils.goodstanding.limits.policy import Limit, Policy

NONE = Limit({}, {})
POLICY = Policy(
    Limit({"minute": 10, "hour": 20}, {"hour": 40}),
    NONE,
    NONE,
    {("account", "bob@alpha.test"): Limit({"day": 5}, {}), ("domain", "alpha.test"): Limit({}, {"hour": 9})},
    False,
)


def wanted(policy=POLICY, **settings):
    engine = rspamd.Rspamd()
    return engine, {file.path: file for file in engine.wanted(None, policy, Settings(**settings))}


def test_every_window_of_the_policy_and_its_overrides_has_a_symbol_that_runs():
    names = rspamd_lua.names(POLICY)
    assert names == [
        ("account", "minute", "soft"), ("account", "hour", "soft"), ("account", "hour", "hard"), ("account", "day", "soft"),
        ("domain", "hour", "hard"),
    ]  # fmt: skip
    files = wanted()[1]
    for name in names:
        assert f'"{rspamd_lua.symbol(*name)}"' in files["/etc/rspamd/goodstanding/worker.conf"].text
        assert f'"{rspamd_lua.symbol(*name)}"' in files[rspamd.LIMITS].text.replace("\\095", "_")


def test_the_numbers_reach_the_lua_file():
    text = rspamd_lua.text(POLICY)
    assert "  account = {soft = {minute = 10, hour = 20}, hard = {hour = 40}},\n" in text
    assert '    ["bob@alpha.test"] = {soft = {day = 5}, hard = {}},\n' in text
    assert '    ["alpha.test"] = {soft = {}, hard = {hour = 9}},\n' in text
    assert "local SHADOW = false\n" in text
    assert "local SHADOW = true\n" in rspamd_lua.text(POLICY._replace(shadow=True))
    assert "%" + "mark%" not in text


@pytest.mark.parametrize("key", ['"] = 1, ["', "a\\", "a\nb", "]]", "ä", "\udcff"])
def test_no_key_ends_a_string_of_lua(key):
    quoted = rspamd_lua.quoted(key)
    assert set(quoted[1:-1]) <= set("abcdefghijklmnopqrstuvwxyz0123456789@._ -=,\\")
    assert "\\" not in quoted.replace("\\0", "").replace("\\1", "").replace("\\2", "")


def test_a_file_of_the_administrators_gets_one_line():
    for before in ("", "a = b;\n", "a = b;"):
        after = rspamd._with_line(before, "LINE")
        assert after.startswith(before)
        assert after.count("LINE") == 1
        assert rspamd._with_line(after, "LINE") == after


def test_a_store_elsewhere_needs_nothing_of_this_host():
    engine, files = wanted(store="redis.example.test:6379", password="s3cret")
    store = files[rspamd.STORE]
    assert (store.mode, store.group) == (0o640, "_rspamd")
    assert 'servers = "redis.example.test:6379";\npassword = "s3cret";\n' in store.text
    assert not [path for path in files if "redis" in path or "systemd" in path]
    assert not [path for path, file in files.items() if "s3cret" in file.text and path != rspamd.STORE]
    assert engine.units() == ["rspamd.service"]
    assert wanted()[0].units() == ["redis-server@goodstanding.service", "rspamd.service"]


@pytest.mark.parametrize(
    "settings",
    [{"store": "a b:1"}, {"store": "host"}, {"store": 'x":1'}, {"store": "h:1", "password": 'a"b'}, {"store": "h:1", "password": "$X"}],
)
def test_what_would_mean_something_else_to_rspamd_is_refused_without_being_shown(settings):
    with pytest.raises(HostError) as refused:
        wanted(**settings)
    assert settings.get("password", "no such text") not in str(refused.value)


WORKERS = "\n".join(
    json.dumps(one)
    for one in (
        {"normal": {"bind_socket": "localhost:11333"}},
        {"rspamd_proxy": {"milter": True, "bind_socket": ["localhost:11332", "/run/rspamd/milter.sock mode=0666 owner=nobody"]}},
        {"rspamd_proxy": {"milter": False, "bind_socket": "localhost:11999"}},
        {"rspamd_proxy": {"milter": True, "enabled": False, "bind_socket": "localhost:11998"}},
    )
)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("inet:localhost:11332", True), ("inet:127.0.0.1:11332", True), ("inet:[::1]:11332", True), ("unix:/run/rspamd/milter.sock", True),
        ("unix:milter.sock", True), ("inet:localhost:11333", False), ("inet:localhost:11999", False), ("inet:localhost:11998", False),
        ("inet:192.0.2.1:11332", False), ("unix:/run/opendkim.sock", False), ("inet:localhost:8891", False),
    ],
)  # fmt: skip
def test_which_milters_are_this_hosts_rspamd(address, named):
    binds = rspamd._binds(lambda words: (0, "some warning\n" + WORKERS, ""))
    assert binds.names(address) is named


def test_without_rspamd_no_milter_is_it():
    assert not rspamd._binds(lambda words: (127, "", "")).names("inet:localhost:11332")


OPTIONS = {"custom_keywords": rspamd.LIMITS, "whitelisted_rcpts": ["\n"]}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"enabled": False}, "disabled"), ({"custom_keywords": "/x.lua"}, "does not read"), ({"whitelisted_rcpts": "postmaster"}, "exempt"),
        ({"whitelisted_ip": "127.0.0.1"}, "whitelisted_ip"),
    ],
)  # fmt: skip
def test_options_that_keep_the_module_from_limiting(change, word, tmp_path, monkeypatch):
    (tmp_path / "limits.lua").touch()
    monkeypatch.setattr(rspamd, "LIMITS", str(tmp_path / "limits.lua"))
    good = {**OPTIONS, "custom_keywords": rspamd.LIMITS}
    assert rspamd._ratelimit_faults(lambda words: (0, json.dumps(good), "")) == []
    (fault,) = rspamd._ratelimit_faults(lambda words: (0, json.dumps({**good, **change}), ""))
    assert word in fault


def played_redis(tmp_path, answers):
    """A Redis server with these answers, at a socket."""
    path = str(tmp_path / "redis.sock")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def serve():
        client, _ = server.accept()
        with client:
            for answer in answers:
                client.recv(4096)
                client.sendall(answer)
        server.close()

    threading.Thread(target=serve, daemon=True).start()
    return path


@pytest.mark.parametrize(
    ("answers", "word"),
    [
        ([b"+PONG\r\n", b"$13\r\nrole:master\r\n\r\n"], None),
        ([b"-NOAUTH Authentication required.\r\n"], "NOAUTH"),
        ([b"+PONG\r\n", b"$12\r\nrole:slave\r\n\r\n"], "slave"),
        ([b"+PONG\r\n", b"$44\r\nrole:master\r\naof_last_write_status:err\r\n    \r\n"], "disk"),
        ([b"+PONG\r\n", b"$999999999\r\n"], "cannot be asked"),
    ],
)
def test_what_is_wrong_with_the_store(answers, word, tmp_path, monkeypatch):
    store = tmp_path / "store.conf"
    store.write_text(f"servers = {json.dumps(played_redis(tmp_path, answers))};\n")
    monkeypatch.setattr(rspamd, "STORE", str(store))
    faults = rspamd._store_faults()
    assert (faults == []) if word is None else word in faults[0]


def test_a_store_that_is_gone_is_a_fault(tmp_path, monkeypatch):
    store = tmp_path / "store.conf"
    store.write_text(f"servers = {json.dumps(str(tmp_path / 'none.sock'))};\n")
    monkeypatch.setattr(rspamd, "STORE", str(store))
    assert "cannot be asked" in rspamd._store_faults()[0]


HEAD = "2026-11-28 17:42:34 #376(rspamd_proxy) <c58126>; lua; limits.lua:160: goodstanding sending limit: "
LOG = [
    f"{HEAD}soft account hour 3 alice@alpha.test",
    f"{HEAD}soft account hour 1 alice@alpha.test",
    f"{HEAD}hard domain day 1 alpha.test",
    f"{HEAD}shadow account hour 1 a%0Ab%22@x",
    f"{HEAD}soft account hour 1 alice@alpha.test trailing",
    f"{HEAD}soft account year 1 alice@alpha.test",
    "2026-11-28 17:42:34 #1(x) <y>; proxy; x: id: <limits.lua:1: goodstanding sending limit: soft account hour 1 mallory@x, z>",
    "nonsense; lua; limits.lua:1: goodstanding sending limit: soft account hour 1 mallory@x",
]


def logging(path):
    return lambda words: (0, json.dumps({"type": "file", "filename": str(path)}), "")


def test_who_met_a_limit(tmp_path):
    log = tmp_path / "rspamd.log"
    (tmp_path / "rspamd.log.1").write_text(LOG[0] + "\n")
    log.write_text("\n".join(LOG) + "\n" + LOG[0] * 100)
    when = time.mktime((2026, 11, 28, 17, 42, 34, 0, 0, -1))
    assert rspamd_log.hits(logging(log), when - 5) == [
        Hit("account", 'a\nb"@x', "hour", "shadow", 1, when, when),
        Hit("account", "alice@alpha.test", "hour", "soft", 3, when, when),
        Hit("domain", "alpha.test", "day", "hard", 1, when, when),
    ]
    assert rspamd_log.hits(logging(log), when + 5) == []


def test_who_met_a_limit_by_the_journal():
    def run(words):
        if words[0] == "rspamadm":
            return 0, json.dumps({"type": "console"}), ""
        assert "--since=@1000" in words
        return 0, "1234.5 mx rspamd[7]: <x>; lua; limits.lua:9: goodstanding sending limit: soft account minute 1 a@b\n", ""

    assert rspamd_log.hits(run, 1000.0) == [Hit("account", "a@b", "minute", "soft", 1, 1234.5, 1234.5)]


def test_errors_are_told_as_one_sentence(tmp_path):
    log = tmp_path / "rspamd.log"
    log.write_text("2026-11-28 17:42:34 #1(normal) <c>; lua; ratelimit.lua:1: cannot update rate bucket goodstanding:x: refused\n" * 3)
    (fault,) = rspamd_log.errors(logging(log), time.mktime((2026, 11, 28, 17, 42, 30, 0, 0, -1)))
    assert "could not count 3 times" in fault
    assert rspamd_log.errors(logging(log), time.mktime((2026, 11, 28, 17, 50, 0, 0, 0, -1))) == []

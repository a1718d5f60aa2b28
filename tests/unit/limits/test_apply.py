# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an engine goes in and out, with the daemons played: files, units, the order, and what is back after a failure."""

from __future__ import annotations

import json

import pytest
from goodstanding_src.module_utils.goodstanding.host import files, journal
from goodstanding_src.module_utils.goodstanding.host.files import File, HostError
from goodstanding_src.module_utils.goodstanding.limits import apply
from goodstanding_src.module_utils.goodstanding.limits.apply import Wish, _original
from goodstanding_src.module_utils.goodstanding.limits.engine import Settings
from goodstanding_src.module_utils.goodstanding.limits.policy import Limit, Policy

NONE = Limit({}, {})
POLICY = Policy(Limit({"hour": 20}, {}), NONE, NONE, {}, False)


class Played:
    """An engine with a file of its own, one of the administrator's that gets a line, and one with a password."""

    PACKAGES = ("daemon", "store")
    STORE_PACKAGES = ("store",)

    def __init__(self, folder, name):
        self.NAME, self.folder, self.seen = name, folder, []
        self.LEFTOVERS = (str(folder / "data"),)

    def wanted(self, run, policy, settings):
        self.seen.append(policy)
        return [
            File(str(self.folder / "own" / f"{self.NAME}.conf"), json.dumps(policy.account)),
            File(str(self.folder / "theirs.conf"), (self.folder / "theirs.conf").read_text().replace("LINE\n", "") + "LINE\n"),
            File(str(self.folder / "secret"), settings.password, 0o640),
        ]

    def plumb(self, run, main, master, timeout):
        return self.unplumb(main, master)[0] + f"asks {self.NAME}\n", master

    def unplumb(self, main, master):
        return main.replace(f"asks {self.NAME}\n", ""), master

    def check(self, run, wanted):
        pass

    def units(self):
        return [f"{self.NAME}-store", self.NAME]

    def faults(self, run, policy, since=0):
        return []


class Host:
    def __init__(self, folder):
        self.folder, self.words, self.units, self.broken = folder, [], {}, set()

    def run(self, words, data=None):
        self.words.append(" ".join(words))
        if words[0] != "systemctl":
            return 0, "", ""
        verb, unit = words[1], words[-1]
        enabled, active = self.units.get(unit, (False, False))
        if verb == "is-enabled":
            return 0, "enabled" if enabled else "disabled", ""
        if verb == "is-active":
            return 0, "active" if active else "inactive", ""
        if verb == "restart":
            if unit in self.broken:
                return 1, "", "no"
            active = True
            if unit.endswith("store"):
                (self.folder / "data").mkdir(exist_ok=True)
        enabled = {"enable": True, "disable": False}.get(verb, enabled)
        self.units[unit] = enabled, False if verb == "stop" else active
        return 0, "", ""

    def tree(self):
        state = {str(path.relative_to(self.folder)): path.read_text() if path.is_file() else None for path in self.folder.rglob("*")}
        return {path: text for path, text in state.items() if not path.startswith("state")}, {
            unit: stands for unit, stands in self.units.items() if stands != (False, False)
        }


@pytest.fixture
def host(tmp_path, monkeypatch):
    folder = tmp_path / "host"
    folder.mkdir()
    (folder / "main.cf").write_text("a = b\n")
    (folder / "master.cf").write_text("smtp inet\n")
    (folder / "theirs.conf").write_text("theirs\n")
    for module in (files, journal.files, apply.host_files):
        monkeypatch.setattr(module, "STATE", str(folder / "state"))
    monkeypatch.setattr(apply, "MAIN", str(folder / "main.cf"))
    monkeypatch.setattr(apply, "MASTER", str(folder / "master.cf"))
    monkeypatch.setattr(apply.shutil, "which", lambda name: name)
    monkeypatch.setattr(apply.live, "complaints", lambda run, place: set())
    monkeypatch.setattr(apply.loopback, "answers", lambda run: {587: 250})
    monkeypatch.setattr(apply.trial, "answers", lambda run, main, master, maps: {})
    monkeypatch.setattr(apply.time, "sleep", lambda seconds: None)
    engines = {name: Played(folder, name) for name in ("one", "two")}
    monkeypatch.setattr(apply, "ENGINES", engines)
    monkeypatch.setattr(apply, "engine_of", engines.__getitem__)
    return Host(folder)


def wish(engine="one", **fields):
    return Wish(engine, POLICY, Settings(password="s3cret"))._replace(**fields)


def test_in_twice_and_out(host):
    before = host.tree()
    told = apply.apply(host.run, wish(), True)
    assert told["changed"]
    assert host.tree() == before, "check mode changes nothing"
    first = apply.apply(host.run, wish(), False)
    assert first["diff"] == told["diff"]
    assert "s3cret" not in str(first)
    assert first["packages"] == ["daemon", "store"]
    assert (host.folder / "main.cf").read_text() == "a = b\nasks one\n"
    assert (host.folder / "state/rate_limit.json").stat().st_mode & 0o777 == 0o600
    order = [word for word in host.words if "restart" in word or "reload" in word or "enable o" in word]
    assert order == [
        "systemctl enable one-store",
        "systemctl enable one",
        "systemctl restart one-store",
        "systemctl restart one",
        "postfix reload",
    ]
    host.words.clear()
    assert apply.apply(host.run, wish(), False)["changed"] is False
    assert not [word for word in host.words if "restart" in word or "reload" in word]
    assert apply.apply(host.run, None, True)["changed"] is True
    assert apply.apply(host.run, None, False)["changed"] is True
    assert host.tree() == before
    assert apply.apply(host.run, None, False)["changed"] is False


def test_the_login_that_tries_the_limits_has_its_own(host):
    apply.apply(host.run, wish(), True)
    (policy,) = apply.ENGINES["one"].seen
    own = {("account", "goodstanding-canary"): Limit({"minute": 3}, {}), ("account", "goodstanding-control"): Limit({}, {})}
    assert policy.overrides == own


def test_what_is_in_force_is_on_record(host):
    assert apply.installed(host.run) is None
    apply.apply(host.run, wish(), False)
    engine, policy = apply.installed(host.run)
    assert (engine.NAME, policy) == ("one", POLICY._replace(overrides=apply.OWN)), "who looks for faults compares with what was asked for"


def test_another_policy_restarts_and_another_engine_takes_the_first_out(host):
    before = host.tree()
    apply.apply(host.run, wish(), False)
    host.words.clear()
    assert apply.apply(host.run, wish(policy=POLICY._replace(account=NONE)), False)["changed"]
    assert "systemctl restart one" in host.words
    assert "postfix reload" not in host.words
    assert apply.apply(host.run, wish("two"), False)["changed"]
    assert (host.folder / "main.cf").read_text() == "a = b\nasks two\n"
    assert host.tree()[1] == {"two-store": (True, True), "two": (True, True)}
    assert not (host.folder / "own/one.conf").exists()
    apply.apply(host.run, None, False)
    assert host.tree() == before


def test_a_unit_that_was_stopped_is_started_again(host):
    apply.apply(host.run, wish(), False)
    host.units["one"] = True, False
    assert apply.apply(host.run, wish(), False)["changed"]
    assert host.units["one"] == (True, True)


def test_units_that_ran_before_run_afterwards(host):
    host.units["one"] = True, True
    before = host.tree()
    apply.apply(host.run, wish(), False)
    host.words.clear()
    apply.apply(host.run, None, False)
    assert host.tree() == before
    assert "systemctl restart one" in host.words, "it must not run on with our files"


@pytest.mark.parametrize("fail", ["unit", "answers"])
def test_after_a_failure_everything_is_as_before(host, monkeypatch, fail):
    before = host.tree()
    if fail == "unit":
        host.broken = {"one"}
    else:
        monkeypatch.setattr(apply.live, "answers_as", lambda run, before: (_ for _ in ()).throw(HostError("otherwise")))
    with pytest.raises(HostError, match="the old files are back"):
        apply.apply(host.run, wish(), False)
    assert host.tree() == before
    assert not (host.folder / "state/rate_limit.json").exists()


def test_a_unit_that_does_not_come_back_keeps_no_other_one_from_it(host):
    host.units["one"] = True, True
    before = host.tree()
    host.broken = {"one"}
    with pytest.raises(HostError, match="the old files are back; and then systemctl restart one"):
        apply.apply(host.run, wish(), False)
    assert host.tree() == before


def test_limits_are_out_also_where_a_unit_does_not_come_back(host):
    host.units["one"] = True, True
    before = host.tree()
    apply.apply(host.run, wish(), False)
    host.broken = {"one"}
    with pytest.raises(HostError, match="the limits are out"):
        apply.apply(host.run, None, False)
    assert host.tree() == before
    assert apply.apply(host.run, None, False)["changed"] is False


def test_after_a_failure_of_a_later_run_the_first_stands(host):
    apply.apply(host.run, wish(), False)
    stands = host.tree()
    host.broken = {"one"}
    with pytest.raises(HostError, match="the old files are back"):
        apply.apply(host.run, wish(policy=POLICY._replace(account=NONE)), False)
    assert host.tree()[0] == stands[0]
    assert apply.installed(host.run)[1].account == POLICY.account


def test_a_run_that_was_killed_is_finished_by_the_next_and_undone_to_the_byte(host, monkeypatch):
    class Killed(BaseException):
        pass

    before = host.tree()
    with monkeypatch.context() as killed, pytest.raises(Killed):
        killed.setattr(apply, "_start", lambda run, plan: (_ for _ in ()).throw(Killed))
        apply.apply(host.run, wish(), False)
    assert apply.apply(host.run, wish(), False)["changed"]
    assert host.units["one"] == (True, True)
    apply.apply(host.run, None, False)
    assert host.tree() == before


def test_a_unit_that_is_needed_no_more_ends_while_its_files_are_there_and_comes_back_where_that_fails(host, monkeypatch):
    """A unit that is stopped without its file cannot be disabled, and would be wanted at the next start."""
    apply.apply(host.run, wish(), False)
    engine = apply.engine_of("one")
    own = host.folder / "own/one.conf"
    wanted, stopped = engine.wanted, []
    monkeypatch.setattr(engine, "wanted", lambda *words: [file for file in wanted(*words) if file.path != str(own)])
    monkeypatch.setattr(engine, "units", lambda: ["one"])

    def run(words, data=None):
        if words == ["systemctl", "disable", "one-store"]:
            stopped.append(own.exists())
        return host.run(words, data)

    host.broken = {"one"}
    with pytest.raises(HostError, match="the old files are back"):
        apply.apply(run, wish(), False)
    assert own.exists()
    assert host.units["one-store"] == (True, True)
    host.broken = set()
    apply.apply(run, wish(), False)
    assert stopped == [True, True]
    assert not own.exists()
    assert host.units["one-store"] == (False, False)


def test_another_part_of_this_project_in_main_cf_stays(host):
    apply.apply(host.run, wish(), False)
    main = host.folder / "main.cf"
    main.write_text(main.read_text() + "of another part\n")
    apply.apply(host.run, None, False)
    assert main.read_text() == "a = b\nof another part\n"


@pytest.mark.parametrize(
    ("now", "before", "written", "back"),
    [
        ("abLINE\n", "ab", "abLINE\n", "ab"),
        ("abLINE\ntheirs\n", "ab", "abLINE\n", "abtheirs\n"),
        ("LINE\n", None, "LINE\n", None),
        ("LINE\ntheirs\n", None, "LINE\n", "theirs\n"),
        ("all theirs", None, "LINE\n", None),
        ("all theirs", "ab", "other", "ab"),
        (None, "ab", "abLINE\n", "ab"),
        ("ab", "ab", "abLINE\n", "ab"),
    ],
)
def test_what_a_file_was_comes_back_with_what_was_added_since(now, before, written, back):
    assert _original(now, before, written) == back


def test_a_store_elsewhere_needs_fewer_packages(host):
    assert apply.apply(host.run, wish(settings=Settings("h:1", "x")), True)["packages"] == ["daemon"]


def test_a_package_that_is_there_is_not_asked_for(host):
    played = {"dpkg-query": (1, "daemon installed\nstore not-installed\n", "")}
    assert apply.packages(lambda words: played[words[0]], apply.engine_of("one"), Settings()) == ["store"]

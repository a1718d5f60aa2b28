# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order files, map and reload come, and what is left after a failure, with Postfix played."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.host import files, journal
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.shaping import apply as shaping
from goodstanding_src.module_utils.goodstanding.shaping import transports as conf
from goodstanding_src.module_utils.goodstanding.shaping.settings import transports

MAIN, MASTER = "myhostname = mx1.test\n", "smtp unix - - y - - smtp\n"
BOTH = {"google": {"concurrency": 2}, "outlook": {"concurrency": 3}}
DOMAINS = {"gmail.test": "google", "hotmail.test": "outlook", "yahoo.test": "yahoo", "ours.test": "google"}


class Killed(BaseException):
    """An end at any point, which nothing catches."""


class Postfix:
    """What Postfix would do: the map that it reads, its services since the reload, and mail that had no transport at any time."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.fails, self.reloads = folder, None, 0
        self.map: dict[str, str] | None = None
        self.services: set[str] = set()
        self.lost: list[str] = []
        for module in (files, journal.files, shaping):
            monkeypatch.setattr(module, "STATE", str(folder / "state"))
        for name in ("MAIN", "MASTER", "MAP_SOURCE"):
            monkeypatch.setattr(shaping, name, str(folder / name))
        monkeypatch.setattr(shaping, "require_postfix", lambda run: None)
        monkeypatch.setattr(shaping, "base_service", lambda run: ("smtp", MASTER.strip()))
        monkeypatch.setattr(shaping, "must", lambda run, words, advice: "5\n" if "-h" in words else "")
        monkeypatch.setattr(shaping, "validate", self.validate)
        monkeypatch.setattr(shaping, "entries", lambda run: None if self.map is None else dict(self.map))
        monkeypatch.setattr(shaping, "write_map", self.write_map)
        monkeypatch.setattr(shaping, "reload", self.reload)
        monkeypatch.setattr(shaping.own_domains, "left_out", lambda run, domains: {"ours.test": "relay_domains has it"})
        (folder / "MAIN").write_text(MAIN)
        (folder / "MASTER").write_text(MASTER)

    def validate(self, run, main, master):
        if self.fails == "validate":
            raise HostError("Postfix would not take it")

    def look(self):
        named = conf.MAP in (self.folder / "MAIN").read_text()
        self.lost += [domain for domain, name in (self.map or {}).items() if named and name not in self.services]

    def write_map(self, run, wanted):
        if self.fails == "map" and wanted:
            self.fails = None
            raise HostError("the disk is full")
        (self.folder / "MAP_SOURCE").write_text(conf.write_map(wanted))
        (self.folder / "MAP_SOURCE.lmdb").write_text("")
        self.map = dict(wanted)
        self.look()

    def reload(self, run, there, gone=()):
        if self.fails == "kill":
            raise Killed
        self.reloads += 1
        self.services = conf.names((self.folder / "MASTER").read_text())
        self.look()
        if self.fails == "reload" and there:
            self.fails = None
            raise HostError("Postfix has no service")

    def files(self):
        return {path.name: path.read_text() for path in sorted(self.folder.iterdir()) if path.is_file()}


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Postfix(tmp_path, monkeypatch)


def shape(receivers=BOTH, rates=None, check=False):
    return shaping.apply(None, transports(receivers, rates or {}), DOMAINS, rates or {}, check)


def absent():
    return shaping.apply(None, [], {}, {}, False)


def test_transports_come_and_go(host):
    before = host.files()
    assert shape(check=True)["changed"]
    assert host.files() == before
    result = shape()
    assert result["transports"] == {"goodstanding-google": 1, "goodstanding-outlook": 1}
    assert result["left_out"] == [{"domain": "ours.test", "why": "relay_domains has it"}]
    assert host.map == {"gmail.test": "goodstanding-google", "hotmail.test": "goodstanding-outlook"}
    assert (shape()["changed"], host.reloads) == (False, 1)
    assert absent()["changed"]
    assert host.files() == before
    assert (absent()["changed"], host.reloads) == (False, 2)
    assert host.lost == []


def test_a_new_domain_needs_no_reload(host, monkeypatch):
    shape()
    monkeypatch.setitem(DOMAINS, "new.test", "google")
    assert shape()["changed"]
    assert (host.map["new.test"], host.reloads) == ("goodstanding-google", 1)


def test_no_domain_is_without_its_transport_while_receivers_change(host):
    shape()
    shape({"outlook": {"concurrency": 3}})
    shape({"google": {"concurrency": 2}, "outlook": {"concurrency": 3}})
    shape({"google": {"concurrency": 2}})
    assert host.lost == []
    assert host.map == {"gmail.test": "goodstanding-google"}


def test_rates_are_remembered_and_taken_off(host):
    shape(rates={"outlook": 1000})
    assert shaping.rates_in_force() == {"outlook": 1000}
    assert "goodstanding-outlook_transport_rate_delay = 87s\n" in host.files()["MAIN"]
    assert shape()["changed"]
    assert "goodstanding-outlook_transport_rate_delay = 0s\n" in host.files()["MAIN"]
    assert shaping.rates_in_force() == {}


@pytest.mark.parametrize("fails", ["validate", "reload", "map"])
@pytest.mark.parametrize("first", [False, True])
def test_what_fails_leaves_everything_as_it_was(host, fails, first):
    if first:
        shape({"google": {"concurrency": 2}}, {"google": 500})
    before, kept, state = host.files(), host.map, files.load_state(shaping.STATE_FILE)
    host.fails = fails
    with pytest.raises(HostError):
        shape()
    assert host.files() == before
    assert not first or host.map == kept
    assert files.load_state(shaping.STATE_FILE) == state
    assert host.lost == []


def test_a_run_that_was_killed_before_its_reload_is_made_good_by_the_next(host):
    shape({"google": {"concurrency": 2}}, {"google": 500})
    host.fails = "kill"
    with pytest.raises(Killed):
        shape(rates={"google": 500})
    host.fails = None
    assert shaping.rates_in_force() == {"google": 500}
    assert shape(rates={"google": 500})["changed"]
    assert host.services == {"goodstanding-google", "goodstanding-outlook"}
    assert host.map == {"gmail.test": "goodstanding-google", "hotmail.test": "goodstanding-outlook"}


def test_a_damaged_map_is_made_anew(host):
    shape()
    host.map = {"gmail.test": "goodstanding-outlook"}
    assert shape()["changed"]
    assert host.map == {"gmail.test": "goodstanding-google", "hotmail.test": "goodstanding-outlook"}
    assert host.reloads == 1


WAYS = {"default_transport": "smtp"}


@pytest.mark.parametrize(
    ("settings", "services", "why"),
    [
        ({"relayhost": "[smart.test]"}, "", r"relayhost is \[smart\.test\]"),
        ({"sender_dependent_default_transport_maps": "hash:/x"}, "", "sender_dependent_default_transport_maps is hash:/x"),
        ({"sender_dependent_relayhost_maps": "hash:/x"}, "", "would pass it by"),
        ({"default_transport": "smtp:[smart.test]"}, "", "all mail goes there"),
        ({"default_transport": "uucp"}, "uucp unix - n n - - pipe flags=Fqhu", "does not run smtp"),
    ],
)
def test_mail_that_leaves_by_another_way_is_not_shaped(settings, services, why):
    def run(words, data=None):
        if "-M" in words:
            return 0, services, ""
        return 0, {**WAYS, **settings}.get(words[-1], "") + "\n", ""

    with pytest.raises(HostError, match=why):
        shaping.base_service(run)


def test_a_service_of_another_name_is_stood_for():
    def run(words, data=None):
        if "-M" in words:
            return 0, f"{words[-1].partition('/')[0]} unix - - n - - smtp -o smtp_bind_address=192.0.2.1\n", ""
        return 0, {"default_transport": "out"}.get(words[-1], "") + "\n", ""

    assert shaping.base_service(run) == ("out", "out unix - - n - - smtp -o smtp_bind_address=192.0.2.1")

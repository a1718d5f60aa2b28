# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of local users beside an engine: its files, when they are there, and what is said of a service that does not limit."""

from __future__ import annotations

import json
import os
import re
import types

import pytest
from goodstanding_src.module_utils.goodstanding.accounts import postfix_conf
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.limits import users, users_program
from goodstanding_src.module_utils.goodstanding.limits.engine import Hit, Settings
from goodstanding_src.module_utils.goodstanding.limits.policy import Limit, Policy

NONE = Limit({}, {})
POLICY = Policy(NONE, NONE, Limit({"hour": 20}, {}), {("uid", "33"): Limit({}, {"day": 5}), ("account", "a@x"): NONE}, False)
WITHOUT = POLICY._replace(uid=NONE, overrides={("uid", "33"): NONE})
MASTER = """\
smtp       inet  n       -       y       -       -       smtpd
filter     unix  -       n       n       -       10      pipe flags=Rq user=filter:mail argv=/usr/local/bin/filter ${sender}
policy     unix  -       n       n       -       0       spawn user=policyd argv=/usr/bin/policyd
"""


class Host:
    """postconf and systemctl, played."""

    def __init__(self, queue):
        self.submit = "!lmdb:/etc/postfix/goodstanding_locked_users, !texthash:/var/lib/goodstanding-limits-users/refused, static:anyone"
        self.queue, self.units, self.status = queue, {}, {"config": "", "failed": 0, "why": "", "lost": 0, "seen": 9}

    def __call__(self, words, data=None):
        if words[0] == "systemctl":
            return (0, json.dumps(self.status), "") if words[1] == "show" else (self.units.get(words[1], 0), "", "")
        said = {"queue_directory": self.queue, "mail_owner": "postfix", "-M": MASTER, "authorized_submit_users": self.submit}
        return 0, said[words[-1]] + "\n", ""


class Inner:
    """An engine that does nothing."""

    NAME, PACKAGES, LEFTOVERS = "played", ("daemon",), ("/var/lib/played",)

    def __init__(self):
        self.told = []

    def wanted(self, run, policy, settings):
        self.told.append(policy)
        return []

    def plumb(self, run, main, master, timeout):
        return main + "asks = played\n", master

    def unplumb(self, main, master):
        return main.replace("asks = played\n", ""), master

    def check(self, run, files):
        pass

    def units(self):
        return ["played.service"]

    def faults(self, run, policy, since=0):
        self.told.append(policy)
        return []

    def limited(self, run, since):
        return [Hit("account", "a@x", "hour", "soft", 1, 1.0, 2.0)]


@pytest.fixture
def host(tmp_path, monkeypatch):
    (tmp_path / "spool/maildrop").mkdir(parents=True)
    monkeypatch.setattr(users, "CONFIG", str(tmp_path / "users.json"))
    monkeypatch.setattr(users, "STATE", str(tmp_path))
    monkeypatch.setattr(postfix_conf, "LIMITED", str(tmp_path / "refused"))
    (tmp_path / "refused").write_text("")
    host = Host(str(tmp_path / "spool"))
    config(host, POLICY)
    return host


def config(host, policy):
    """Put the configuration on the host, and let the service run with it."""
    (file,) = [file for file in users.wanted(host, policy) if file.path == users.CONFIG]
    with open(file.path, "w", encoding="utf-8") as stream:
        stream.write(file.text)
    host.status["config"] = users_program.digest(file.path)
    return json.loads(file.text)


def test_the_program_is_our_own_file_and_its_configuration_says_the_policy(host):
    program = users.wanted(host, POLICY)[0]
    assert program.text == open(users_program.__file__, encoding="utf-8").read()  # noqa: SIM115
    said = config(host, POLICY)
    assert said["limit"] == {"soft": {"hour": 20}, "hard": {}}
    assert said["overrides"] == {"33": {"soft": {}, "hard": {"day": 5}}}
    assert said["maildrop"].endswith("spool/maildrop")
    assert {"root", "postfix", "filter", "policyd"} <= set(said["never"])
    assert "www-data" not in said["never"]


def test_an_override_is_by_number_or_name(host, monkeypatch):
    monkeypatch.setattr(users.pwd, "getpwnam", {"www-data": types.SimpleNamespace(pw_uid=33)}.__getitem__)
    named = POLICY._replace(overrides={("uid", "www-data"): Limit({}, {"day": 5})})
    assert config(host, named)["overrides"] == {"33": {"soft": {}, "hard": {"day": 5}}}
    with pytest.raises(HostError, match="about the local user www, which this host has not: check the spelling"):
        config(host, POLICY._replace(overrides={("uid", "www"): NONE}))
    with pytest.raises(HostError, match="by name and by number"):
        config(host, POLICY._replace(overrides={**POLICY.overrides, **named.overrides}))


def test_it_is_beside_the_engine_where_the_policy_limits_local_users(host):
    both = users.Beside(Inner())
    assert len(both.wanted(host, POLICY, Settings())) == 3
    assert both.units() == ["played.service", users.UNIT]
    main, _ = both.plumb(host, "a = b\n", "", 5)
    assert "asks = played" in main
    assert postfix_conf.SUBMIT in main
    assert both.unplumb(main, "") == ("a = b\n", "")
    assert both.faults(host, POLICY) == []
    assert (both.NAME, both.PACKAGES, both.LEFTOVERS) == ("played", ("daemon",), ("/var/lib/played", users.STATE))
    assert both.wanted(host, WITHOUT, Settings()) == []
    assert both.units() == ["played.service"]
    assert both.plumb(host, "a = b\n", "", 5)[0] == "a = b\nasks = played\n"
    host.submit = ""
    assert both.faults(host, WITHOUT) == []
    assert "nobody is refused" in both.faults(host, POLICY)[0]


def test_the_engine_is_told_nothing_of_local_users(host):
    both = users.Beside(Inner())
    both.wanted(host, POLICY, Settings())
    both.faults(host, POLICY)
    assert both.inner.told == [Policy(NONE, NONE, NONE, {("account", "a@x"): NONE}, False)] * 2


def test_a_host_whose_postfix_was_never_started_is_told(host):
    both = users.Beside(Inner())
    both.wanted(host, POLICY, Settings())
    both.check(host, [])
    os.rmdir(f"{host.queue}/maildrop")
    with pytest.raises(HostError, match="start Postfix once"):
        both.check(host, [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda host: host.units.update({"is-active": 3}), "does not run: what local users send is not limited"),
        (lambda host: host.units.update({"is-enabled": 1}), "is not enabled: after a restart"),
        (lambda host: setattr(host, "submit", "static:anyone"), "nobody is refused"),
        (lambda host: os.unlink(users.CONFIG), "it is gone"),
        (lambda host: config(host, POLICY._replace(shadow=True)), "is not as the policy says"),
        (lambda host: os.unlink(postfix_conf.LIMITED), "no local user can send by sendmail"),
        (lambda host: host.status.update(failed=2e9, why="disk full"), r"were not limited \(disk full\)"),
        (lambda host: host.status.update(lost=50, seen=500), "Of 500 messages of local users 50 were gone"),
        (lambda host: host.status.update(config="of another"), "runs with other limits"),
        (lambda host: host.status.pop("seen"), "does not say how it is"),
    ],
)
def test_what_keeps_it_from_limiting_is_said(host, change, words):
    assert users.faults(host, POLICY) == []
    change(host)
    found = users.faults(host, POLICY)
    assert len([fault for fault in found if re.search(words, fault)]) == 1, found


def test_of_a_service_that_is_down_it_is_told_who_stays_refused(host):
    host.units["is-active"] = 3
    with open(postfix_conf.LIMITED, "w", encoding="utf-8") as file:
        file.write("www-data sending limit\n")
    assert any("who met a limit before (www-data) is refused until" in fault for fault in users.faults(host, POLICY))


def test_who_met_a_limit_is_told(host, tmp_path, monkeypatch):
    both = users.Beside(Inner())
    assert [hit.scope for hit in both.limited(host, 0)] == ["account"]
    counter = users_program.Counter(config(host, POLICY), str(tmp_path), print)
    counter.begin()
    counter.take(33, 5)
    (_, hit) = both.limited(host, 0)
    assert hit[:5] == ("uid", "33", "day", "hard", 1)
    assert both.limited(host, hit.last + 1)[1:] == []
    counter._opened().close()
    (tmp_path / users_program.DATABASE).write_text("none " * 1000)
    with pytest.raises(HostError, match="cannot be read"):
        users.limited(0)

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What findings and logs say to a warm-up, and the module that remembers it."""

from __future__ import annotations

import typing as t

import pytest
from goodstanding_src.library import mail_warmup
from goodstanding_src.module_utils.goodstanding.shaping.observe import observe
from goodstanding_src.module_utils.goodstanding.shaping.warmup import Day
from goodstanding_src.module_utils.goodstanding.store import warmups
from goodstanding_src.module_utils.goodstanding.store.database import open_store

TODAY = 20_785
ISO = "2026-11-26T09:00:00Z"  # two days before
ADDRESS = "198.51.100.11"


def log(**fields: t.Any) -> dict[str, t.Any]:
    days = [{"day": TODAY - 20 + number, "sent": 1000, "deferred": 0, "put_off": 1, "refused": 0} for number in range(20)]
    receivers = {"outlook": {"since": (TODAY - 20) * 86400.0, "days": days}}
    return {"complete": True, "gaps": [], "receivers": receivers, **fields}


def listing(source: str = "zen.spamhaus.org", **fields: t.Any) -> dict[str, t.Any]:
    return {
        "subject": ADDRESS, "source": source, "list": source, "kind": "block", "tier": "A", "outcome": "listed", "suspected": False,
        "since": ISO, **fields,
    }  # fmt: skip


def document(*rows: dict[str, t.Any], **fields: t.Any) -> dict[str, t.Any]:
    address = {"address": ADDRESS, "hosts": ["mx1"], "state": "clean", "clean": ["zen.spamhaus.org"], "unqualified": [], **fields}
    return {"addresses": [address], "observations": list(rows)}


def listed(*rows: dict[str, t.Any], provider: str = "microsoft", **fields: t.Any) -> dict[str, int] | None:
    found = observe("mx1", "outlook", provider, log(), document(*rows, **fields), TODAY)
    assert (found.listed is None) == bool(found.unknown)
    return found.listed if found.listed is None else {name.partition(" ")[0]: day for name, day in found.listed.items()}


def test_a_list_counts_at_every_receiver_and_a_receivers_word_at_its_own():
    assert listed() == {}
    assert listed(listing()) == {"zen.spamhaus.org": TODAY - 2}
    assert listed(listing("log:microsoft")) == {"log:microsoft": TODAY - 2}
    assert listed(listing("log:gmx")) == listed(listing("snds:status"), provider="gmx") == {}
    assert listed(listing("snds:status")) == {"snds:status": TODAY - 2}
    assert listed(listing(tier="C"), listing(kind="informational"), listing(outcome="allowed")) == {}
    assert listed(listing(subject="203.0.113.9")) == {}


def test_what_is_not_known_is_neither():
    assert listed(listing(outcome="timeout")) is None
    assert listed(listing(suspected=True)) is None
    assert listed(state="unknown", clean=[], unqualified=["zen.spamhaus.org"]) is None
    assert listed(state="unknown", clean=[]) is None
    assert listed(state="unknown", unqualified=["log:microsoft"]) is None
    assert listed(state="unknown", unqualified=["log:gmx"]) == {}
    assert listed(listing("log:gmx", outcome="timeout")) == {}
    assert observe("mx2", "outlook", "microsoft", log(), document(), TODAY).listed is None
    assert observe("mx1", "outlook", "microsoft", log(), {}, TODAY).listed is None
    # A listing that is known is one, whatever else is not.
    assert listed(listing(), listing("other", outcome="timeout")) == {"zen.spamhaus.org": TODAY - 2}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"failed": True, "msg": "no route to host"}, "no route to host"),
        (log(complete=False, gaps=["lines were dropped"]), "lines were dropped"),
        (log(receivers={}), "without the receiver outlook"),
        ({"complete": True}, "was not read"),
    ],
)
def test_a_log_that_was_not_read_whole_has_no_days(said, why):
    found = observe("mx1", "outlook", "microsoft", said, document(), TODAY)
    assert found.days is None
    assert why in found.unknown


def test_days_are_the_receivers_and_the_first_one_is_whole():
    found = observe("mx1", "outlook", "microsoft", log(), document(), TODAY)
    assert found.days[0] == Day(TODAY - 20, 1000, 1, 0)
    assert found.since == TODAY - 20
    later = log()
    later["receivers"]["outlook"]["since"] += 1
    assert observe("mx1", "outlook", "microsoft", later, document(), TODAY).since == TODAY - 19


def run(
    store: str, number: int, *rows: dict[str, t.Any], check: bool = False, said: dict | None = None, **params: t.Any
) -> dict[str, t.Any]:
    return mail_warmup.run(
        {
            "state": "present", "state_url": store, "receivers": {"mx1": ["outlook"]}, "logs": {"mx1": log() if said is None else said},
            "providers": [{"id": "outlook", "provider": "microsoft"}], "findings": document(*rows), "start": 0.25, "factor": 1.5,
            "put_off": 0.02, "floor": 50, "volumes": {}, **params,
        },
        (TODAY + number) * 86400.0 + 3600,
        check,
    )  # fmt: skip


def grown(days: int) -> dict[str, t.Any]:
    found = log()
    found["receivers"]["outlook"]["days"] += [
        {"day": TODAY + number, "sent": 200, "deferred": 0, "put_off": 0, "refused": 0} for number in range(days)
    ]
    return found


def test_the_module_remembers_from_run_to_run(tmp_path):
    store = f"sqlite:///{tmp_path}/store.db"
    assert run(store, 0) == {"rates": {"mx1": {}}, "rows": []}
    waits = run(store, 0, listing())
    assert waits["rates"] == {"mx1": {}}
    assert waits["rows"][0] == {
        "host": "mx1", "receiver": "outlook", "phase": "listed", "step": "wait", "before": 1000, "allowed": None, "delay": 0,
        "began": "2026-11-26", "judged": "2026-11-28",
        "why": "listed: zen.spamhaus.org (198.51.100.11); it was sent 1000 recipients a day before",
    }  # fmt: skip
    # Check mode decides and remembers nothing.
    assert [run(store, 1, said=grown(1), check=True)["rates"] for _ in range(2)] == [{"mx1": {"outlook": 250}}] * 2
    assert run(store, 1, said=grown(1))["rates"] == {"mx1": {"outlook": 250}}
    assert run(store, 2, said=grown(2))["rates"] == {"mx1": {"outlook": 250}}
    third = run(store, 3, said=grown(3))
    assert (third["rates"], third["rows"][0]["step"], third["rows"][0]["delay"]) == ({"mx1": {"outlook": 375}}, "rise", 231)
    down = run(store, 4, said={"failed": True, "msg": "no route to host"})
    assert (down["rates"], down["rows"][0]["step"]) == ({"mx1": {"outlook": 375}}, "hold")
    assert "no route to host" in down["rows"][0]["why"]
    assert run(store, 5, state="absent", receivers={"mx1": ["outlook"]}) == {"rates": {"mx1": {}}, "rows": []}
    assert warmups.load(open_store(store)) == {}


def test_what_is_not_shaped_any_more_is_forgotten_and_other_hosts_are_not(tmp_path):
    store = f"sqlite:///{tmp_path}/store.db"
    run(store, 0, listing())
    run(store, 0, receivers={"mx2": ["outlook"]})
    assert set(warmups.load(open_store(store))) == {("mx1", "outlook")}
    run(store, 0, receivers={"mx1": ["google"]})
    assert warmups.load(open_store(store)) == {}


def test_a_volume_that_was_told_counts_before_the_log(tmp_path):
    store = f"sqlite:///{tmp_path}/store.db"
    assert run(store, 0, listing(), volumes={"mx1": {"outlook": "600"}})["rows"][0]["before"] == 600

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done once whoever asks: a plan that is carried out, a report that is mailed."""

from __future__ import annotations

import threading

from goodstanding_src.module_utils.goodstanding.findings.times import iso
from goodstanding_src.module_utils.goodstanding.store import database, mails, plans

NOW = 1_795_000_000.0
PLAN = "f" * 64


def test_a_plan_is_carried_out_once(store):
    assert plans.known(store, PLAN) is None
    assert plans.begin(store, PLAN, "r1", NOW) is None
    plans.end(store, PLAN, "r2", NOW)
    assert plans.begin(store, PLAN, "r2", NOW + 1) == ("r1", iso(NOW), None), "another run ends nothing"
    plans.end(store, PLAN, "r2", NOW + 2)
    assert plans.begin(store, PLAN, "r3", NOW + 3) == plans.known(store, PLAN) == ("r2", iso(NOW), iso(NOW + 2))


def test_of_two_writers_one_mails_a_report_and_one_is_first_with_a_plan(url, store):
    done = []

    def write(name):
        engine = database.open_store(url)
        done.append((mails.claim(engine, "report", name, f"<{name}@x>", NOW), plans.begin(engine, PLAN, name, NOW)))
        engine.dispose()

    threads = [threading.Thread(target=write, args=(name,), daemon=True) for name in ("r1", "r2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(earlier is None for earlier, _ in done) == sorted(before is None for _, before in done) == [False, True]
    mails.release(store, "report")
    assert mails.claim(store, "report", "r3", "<r3@x>", NOW) is None
    mails.settle(store, "report", "sent", "250 ok")
    assert mails.claim(store, "report", "r4", "<r4@x>", NOW).state == "sent"

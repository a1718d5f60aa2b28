# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the playbook lets in again, and where."""

from __future__ import annotations

KNOWN = {"password_changed": "by phone", "app_passwords": "none"}


def test_a_login_is_let_in_on_every_host(play):
    code, calls, output = play("reinstate", **KNOWN, account="a@alpha.test")
    assert (code, calls) == (0, ["mail_account_lock a@alpha.test"] * 2), output


def test_a_run_that_looks_at_nothing_leaves_the_figures_of_the_one_that_did(play, tmp_path):
    figures = tmp_path / "goodstanding.prom"
    figures.write_text("goodstanding_accounts_locked 2\n")
    code, _, output = play("reinstate", **KNOWN, account="a@alpha.test", report_prometheus_file=str(figures))
    assert code == 0, output
    assert figures.read_text() == "goodstanding_accounts_locked 2\n"
    assert (tmp_path / "latest/report.prom").exists()


def test_a_local_user_is_let_in_on_its_own_host_as_the_report_names_it(play):
    code, calls, output = play("reinstate", **KNOWN, account="uid:33@mx2")
    assert (code, calls) == (0, ["mail_account_lock uid:33"]), output


def test_a_local_user_of_a_host_that_is_not_there_is_named(play):
    code, calls, output = play("reinstate", **KNOWN, account="uid:33@mx3")
    assert (code, calls) == (2, [])
    assert "uid:33@mx3 is a user of a host that is not in the group" in output


SHARED = [{"name": "sql", "type": "sqlite", "run_on": "localhost"}]


def test_the_backends_that_the_fleet_shares_are_unlocked_first(play):
    code, calls, output = play("reinstate", **KNOWN, account="a@alpha.test", account_lock_backends=SHARED)
    assert (code, calls) == (0, ["mail_account_backend a@alpha.test", *["mail_account_lock a@alpha.test"] * 2]), output


def test_where_no_host_could_set_the_new_password_nothing_is_unlocked(play):
    known = {"app_passwords": "none", "new_password": True, "account_lock_password_command": ["false"]}
    code, calls, output = play("reinstate", **known, account="a@alpha.test", account_lock_backends=SHARED)
    assert (code, calls) == (2, []), output
    assert "do NOT hand it out yet" in output and "give it to the owner" not in output

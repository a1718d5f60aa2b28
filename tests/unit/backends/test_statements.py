# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.backends.names import in_forms, refuse_secret
from goodstanding_src.module_utils.goodstanding.backends.statements import parse
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from hypothesis import given
from hypothesis import strategies as st


def test_a_parameter_is_bound_and_nothing_else_is_touched():
    text = "UPDATE \"mail:box\" SET note = '100% :account it''s', n = :before_n::text WHERE `user` = :account AND t > '12:30'"
    statement = parse("unlock", text)
    assert statement.names == {"account", "before_n"}
    assert statement.named() == text
    assert statement.pyformat() == (
        "UPDATE \"mail:box\" SET note = '100%% :account it''s', n = %(before_n)s::text WHERE `user` = %(account)s AND t > '12:30'"
    )


@pytest.mark.parametrize(
    "which, text, said",
    [
        ("lock", "", "is empty"),
        ("lock", "UPDATE m SET a = 0", "no parameter :account outside of quotes"),
        ("lock", "UPDATE m SET a = 0 WHERE u = ':account'", "no parameter :account outside of quotes"),
        ("lock", "UPDATE m SET a = 0 WHERE u = :account; DROP TABLE m", "a semicolon"),
        ("lock", "UPDATE m SET a = 0 WHERE u = :account -- all", "a comment"),
        ("lock", "UPDATE m SET a = 0 /* all */ WHERE u = :account", "a comment"),
        ("lock", "UPDATE m SET a = 'it\\' WHERE u = :account", "without its end"),
        ("lock", "UPDATE m SET a = $$x$$ WHERE u = :account", "has a \\$"),
        ("lock", "UPDATE m SET a = ? WHERE u = :account", "write parameters as :account"),
        ("lock", "UPDATE m SET a = :before_a WHERE u = :account", "has the parameter :before_a"),
        ("unlock", "UPDATE m SET a = :a WHERE u = :account", "has the parameter :a:"),
        ("query", "UPDATE m SET a = 1 WHERE u = :account", "query must be a SELECT"),
        ("lock", "SELECT a FROM m WHERE u = :account", "must change something"),
        ("lock", "UPDATE m SET password = 'x' WHERE u = :account", "looks like a password"),
        ("query", 'SELECT "Password" FROM m WHERE u = :account', "looks like a password"),
        ("query", "SELECT pw_hash AS p FROM m WHERE u = :account", "looks like a password"),
        ("lock", "UPDATE m SET a = " + "1" * 4000 + " WHERE u = :account", "more than 4000"),
    ],
)
def test_what_cannot_be_run_safely_is_refused_and_named(which, text, said):
    with pytest.raises(HostError, match=said) as caught:
        parse(which, text)
    assert f"statement {which}" in str(caught.value)


@given(st.text(alphabet="ab:'\"`%-/*;$?\\ \n=account", max_size=60))
def test_any_text_is_refused_or_kept_as_it_is(text):
    try:
        statement = parse("lock", f"UPDATE m SET {text} WHERE u = :account")  # noqa: S608
    except HostError:
        return
    assert statement.named() == statement.text
    assert statement.pyformat().replace("%(account)s", ":account").replace("%%", "%") == statement.text


@pytest.mark.parametrize(
    "name", ["password", "userPassword", "unicodePwd", "crypt", "pw_hash", "client_secret", "pwdHistory", "Passwd", "sambaNTPassword"]
)
def test_fields_of_passwords_are_refused(name):
    with pytest.raises(HostError, match=name):
        refuse_secret([name], "query")


@pytest.mark.parametrize("name", ["active", "smtp_active", "pwdAccountLockedTime", "nsAccountLock", "userAccountControl", "enabledService"])
def test_fields_that_switch_are_not(name):
    refuse_secret([name], "query")


def test_two_accounts_that_are_one_in_the_backend_are_refused():
    assert in_forms(["alice@alpha.test", "bob"], "local_part", []) == {"alice@alpha.test": "alice", "bob": "bob"}
    with pytest.raises(HostError, match=r"alice@alpha.test and alice@beta.test are both alice"):
        in_forms(["alice@alpha.test", "alice@beta.test"], "local_part", [])
    with pytest.raises(HostError, match="are both alice"):
        in_forms(["alice@beta.test"], "local_part", ["alice@alpha.test"])
    assert in_forms(["alice@alpha.test"], "full", ["alice@beta.test"]) == {"alice@alpha.test": "alice@alpha.test"}

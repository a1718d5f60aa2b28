# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.accounts import dovecot_conf, postfix_conf

TOKEN = "check_sasl_access lmdb:/etc/postfix/goodstanding_locked"
WORD = TOKEN.replace(" ", ",")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("smtpd_recipient_restrictions = permit\n", f"smtpd_recipient_restrictions = {TOKEN}, permit\n"),
        ("smtpd_recipient_restrictions=permit\n", f"smtpd_recipient_restrictions={TOKEN}, permit\n"),
        ("smtpd_recipient_restrictions =\n", f"smtpd_recipient_restrictions ={TOKEN}\n"),
        ("smtpd_recipient_restrictions =\nx = y\n", f"smtpd_recipient_restrictions ={TOKEN}\nx = y\n"),
        ("smtpd_recipient_restrictions =\n  # why\n    permit,\n", f"smtpd_recipient_restrictions ={TOKEN},\n  # why\n    permit,\n"),
        ("smtpd_recipient_restrictions = a,\n  # c\n  b\n", f"smtpd_recipient_restrictions = {TOKEN}, a,\n  # c\n  b\n"),
        ("#smtpd_recipient_restrictions = a\n", "#smtpd_recipient_restrictions = a\n"),
        ("smtpd_recipient_restrictions = a\nsmtpd_recipient_restrictions = b\n",
         f"smtpd_recipient_restrictions = {TOKEN}, a\nsmtpd_recipient_restrictions = {TOKEN}, b\n"),
    ],
)  # fmt: skip
def test_main_cf_is_plumbed_and_comes_back_to_the_byte(before, after):
    plumbed = postfix_conf.plumb_main(before)
    assert plumbed.startswith(after)
    assert plumbed.count("smtpd_end_of_data_restrictions") == 1
    assert postfix_conf.plumb_main(plumbed) == plumbed
    assert postfix_conf.unplumb_main(plumbed) == before


@pytest.mark.parametrize("text", ["", "a = b\n", "a = b", "a = b\n  c", "a = \udcff\n", "smtpd_end_of_data_restrictions = x\n"])
def test_any_main_cf_comes_back(text):
    assert postfix_conf.unplumb_main(postfix_conf.plumb_main(text)) == text


LOCKED, LIMITED = "!lmdb:/etc/postfix/goodstanding_locked_users", "!texthash:/var/lib/goodstanding-limits-users/refused"
SUBMIT = ["", "a = b", "authorized_submit_users = root, www-data\n", "authorized_submit_users =\n  root\n# c\nx = y\n", "a = b\n  c"]
CHANGES = {
    "lock": (postfix_conf.plumb_main, postfix_conf.unplumb_main), "limit": (postfix_conf.plumb_limit, postfix_conf.unplumb_limit),
}  # fmt: skip


@pytest.mark.parametrize("before", SUBMIT)
@pytest.mark.parametrize("first", CHANGES)
@pytest.mark.parametrize("last", CHANGES)
def test_the_lock_and_the_limit_of_local_users_are_in_one_list_and_go_in_any_order(before, first, last):
    """The lock stands above, whichever was there first."""
    second, other = ({*CHANGES} - {name} for name in (first, last))
    text = CHANGES[first][0](before)
    alone = text
    text = CHANGES[second.pop()][0](text)
    assert f"authorized_submit_users = {LOCKED}, {LIMITED}," in text.replace("=\n", "= ").replace("users =!", "users = !")
    for plumb, _ in CHANGES.values():
        assert plumb(text) == text, "a second run changes nothing"
    text = CHANGES[other.pop()][1](text)
    assert (LOCKED in text, LIMITED in text) == (last == "lock", last == "limit")
    if first == last:
        assert sorted(text.splitlines()) == sorted(alone.splitlines())
    assert CHANGES[last][1](text) == before


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"{LOCKED}, {LIMITED}, static:anyone", True), (f"{LIMITED},static:anyone", True), (f"root, {LIMITED}", False),
        (f"{LOCKED}, static:anyone", False), ("", False),
    ],
)  # fmt: skip
def test_whether_limited_users_are_refused(value, expected):
    assert postfix_conf.refuses_limited(value) is expected


MASTER = """\
smtp      inet  n       -       y       -       -       smtpd
submission inet n       -       y       -       -       smtpd
  -o smtpd_recipient_restrictions=
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
smtps     inet  n       -       y       -       -       smtpd
#  -o smtpd_recipient_restrictions=ignored
  -o smtpd_recipient_restrictions=$mua_recipient_restrictions -o { smtpd_end_of_data_restrictions = a b }
  -o { smtpd_recipient_restrictions = }
pickup    unix  n       -       y       60      1       pickup
  -o smtpd_recipient_restrictions=not,ours
"""


def test_master_cf_is_plumbed_where_smtpd_runs_and_comes_back_to_the_byte():
    plumbed = postfix_conf.plumb_master(MASTER)
    assert f"  -o smtpd_recipient_restrictions={WORD}\n" in plumbed
    assert f"-o smtpd_recipient_restrictions={WORD},$mua_recipient_restrictions -o {{" in plumbed
    assert f"{{ smtpd_end_of_data_restrictions = {TOKEN}, a b }}" in plumbed
    assert f"-o {{ smtpd_recipient_restrictions = {TOKEN}}}" in plumbed
    assert "#  -o smtpd_recipient_restrictions=ignored" in plumbed
    assert "smtpd_recipient_restrictions=not,ours" in plumbed
    assert postfix_conf.plumb_master(plumbed) == plumbed
    assert postfix_conf.unplumb_master(plumbed) == MASTER


def test_a_service_that_the_map_does_not_guard_is_named():
    submit = "authorized_submit_users = !lmdb:/etc/postfix/goodstanding_locked_users, static:anyone\n"
    main = f"smtpd_recipient_restrictions = {TOKEN}, permit\nsmtpd_end_of_data_restrictions = {TOKEN}\n" + submit
    parameters = f"submission/inet/smtpd_recipient_restrictions = {WORD},permit\nsmtps/inet/smtpd_recipient_restrictions = permit\n"
    assert postfix_conf.unguarded(MASTER, parameters, main) == ["smtps/inet smtpd_recipient_restrictions"]
    assert len(postfix_conf.unguarded(MASTER, "", "smtpd_recipient_restrictions =\n")) == 7


def test_the_map_is_read_as_it_is_written():
    entries = {"b@x": "REJECT 5.7.1 account locked, incident 1", "a@x": "HOLD"}
    assert postfix_conf.read_map(postfix_conf.write_map(entries, postfix_conf.MAP_HEAD)) == entries
    assert postfix_conf.write_map(entries, postfix_conf.MAP_HEAD).splitlines()[1].startswith("a@x ")


@pytest.mark.parametrize(
    ("version", "before", "after"),
    [
        ("2.3.19.1 (9b53102964)", "protocols = imap\n", "!include goodstanding-deny.conf\nprotocols = imap\n"),
        ("2.4.1-4 (7d8c0e5759)", "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\nprotocols = imap\n",
         "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n!include goodstanding-deny.conf\nprotocols = imap\n"),
        ("2.4.1", "# a\n\ndovecot_config_version = 2.4.0\n", "# a\n\ndovecot_config_version = 2.4.0\n!include goodstanding-deny.conf\n"),
    ],
)  # fmt: skip
def test_dovecot_conf(version, before, after):
    assert dovecot_conf.plumb(before, version) == after
    assert dovecot_conf.plumb(after, version) == after
    assert dovecot_conf.unplumb(after) == before


def test_dovecot_speaks_two_languages():
    assert "auth_username_format = %{user | lower}\n  passwd_file_path = /etc/dovecot/goodstanding_denied" in dovecot_conf.deny_conf(
        "2.4.1"
    )
    assert "args = username_format=%Lu /etc/dovecot/goodstanding_denied" in dovecot_conf.deny_conf("2.3.19")
    with pytest.raises(ValueError, match="which is no version"):
        dovecot_conf.deny_conf("dovecot: not found")


@pytest.mark.parametrize(
    ("doveconf", "expected"),
    [
        ("passdb {\n  args = username_format=%u /etc/dovecot/goodstanding_denied\n  deny = yes\n}\npassdb {\n  driver = pam\n}\n", True),
        ("passdb {\n  driver = pam\n}\npassdb {\n  args = /etc/dovecot/goodstanding_denied\n}\n", False),
        ("passdb goodstanding_deny {\n  passwd_file_path = /etc/dovecot/goodstanding_denied\n}\n", True),
        ("protocols = imap\n", False),
    ],
)
def test_the_deny_passdb_must_be_the_first(doveconf, expected):
    assert dovecot_conf.deny_is_first(doveconf) is expected


def test_the_deny_file():
    assert dovecot_conf.write_denied(["b@x", "a@x", "b@x"]) == "a@x:\nb@x:\n"
    assert dovecot_conf.read_denied("a@x:\n\n# note\nb@x:hash:1:2\n") == ["a@x", "b@x"]

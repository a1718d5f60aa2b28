# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The token in smtpd_milters: where it goes, and that it goes without a trace."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.limits import milter
from goodstanding_src.module_utils.goodstanding.limits.milter import Service

TOKEN = milter.token(11342, 5)


def service(milters="", own=False, name="submission/inet", **values):
    return Service(name, {"smtpd_milters": milters, "smtpd_sasl_auth_enable": "yes", **values}, frozenset(["smtpd_milters"] if own else []))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("smtpd_milters = inet:localhost:8891\n", f"smtpd_milters = {TOKEN}, inet:localhost:8891\n"),
        ("smtpd_milters=inet:a:1, inet:b:2", f"smtpd_milters={TOKEN}, inet:a:1, inet:b:2"),
        ("smtpd_milters =\n  inet:a:1\n", f"smtpd_milters ={TOKEN},\n  inet:a:1\n"),
        ("smtpd_milters = a\nsmtpd_milters = b\n", f"smtpd_milters = {TOKEN}, a\nsmtpd_milters = {TOKEN}, b\n"),
    ],
)
def test_the_milters_of_main_cf_get_it_in_front(before, after):
    plumbed = milter.plumb(before, "", TOKEN, [service("inet:a:1"), service("inet:a:1", name="smtps/inet")])
    assert plumbed == (after, "")
    assert milter.unplumb(*plumbed) == (before, "")


MASTER = """\
smtp      inet  n       -       y       -       -       smtpd
  -o smtpd_milters=
submission inet n       -       y       -       -       smtpd
  # -o smtpd_milters=no
  -o smtpd_milters=inet:localhost:8891
  -o { smtpd_milters = inet:a:1, { inet:b:2, default_action = accept } } -o smtpd_milters= -o syslog_name=x
smtps inet n - y
  - - smtpd
  -o smtpd_sasl_auth_enable=yes
"""


def test_a_service_with_milters_of_its_own_gets_it_there():
    plumbed = milter.plumb("", MASTER, TOKEN, [service("inet:localhost:8891", own=True)])[1]
    assert f"  -o smtpd_milters={TOKEN},inet:localhost:8891\n" in plumbed
    assert f"-o {{ smtpd_milters = {TOKEN},inet:a:1, {{ inet:b:2, default_action = accept }} }}" in plumbed
    assert f"-o smtpd_milters={TOKEN} -o syslog_name=x\n" in plumbed
    assert "smtpd\n  -o smtpd_milters=\nsubmission" in plumbed, "another service's milters are left alone"
    assert "  # -o smtpd_milters=no\n" in plumbed
    assert milter.unplumb("", plumbed) == ("", MASTER)


@pytest.mark.parametrize("end", ["", "\n", "\n\n# the end", "\n  -o smtpd_milters="])
def test_a_service_without_milters_gets_a_line(end):
    master = MASTER + "465 inet n - y - - smtpd" + end
    plumbed = milter.plumb("smtpd_milters =\n", master, TOKEN, [service(name="smtps/inet"), service(name="465/inet")])
    assert plumbed[0] == "smtpd_milters =\n", "mail of other servers is asked about by nobody new"
    assert (
        f"  - - smtpd\n  # Good Standing: sending limits, see the role rate_limit\n  -o smtpd_milters={TOKEN}\n  -o smtpd_sasl"
        in plumbed[1]
    )
    assert plumbed[1].count(TOKEN) == 2
    assert milter.unplumb(*plumbed) == ("smtpd_milters =\n", master)


def test_a_token_of_other_timeouts_goes_too():
    assert milter.unplumb(f"smtpd_milters = {milter.token(11342, 9)}, a\n", "")[0] == "smtpd_milters = a\n"


def test_what_takes_mail_back_from_a_filter_is_inner():
    names = {
        "127.0.0.1:10025/inet": True,
        "[::1]:10025/inet": True,
        "localhost:10025/inet": True,
        "submission/inet": False,
        "192.0.2.1:25/inet": False,
    }
    assert {name: service(name=name).inner for name in names} == names


def test_milters_are_named_by_their_address():
    value = "{ inet:localhost:11332, default_action = accept }, unix:/run/a.sock {inet:127.0.0.1:1,x=y}"
    assert service(value).milters() == ["inet:localhost:11332", "unix:/run/a.sock", "inet:127.0.0.1:1"]

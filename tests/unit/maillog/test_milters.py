# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OpenDKIM and Rspamd say of a message is counted for its account."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog

NOW = 1795500000.0  # 2026-11-24T06:00:00Z
USER = "mallory@alpha.test"
CLIENT = f"postfix/smtpd[5]: AB12CD34EF: client=u[203.0.113.3], sasl_method=PLAIN, sasl_username={USER}"
LOCAL = "postfix/pickup[5]: AB12CD34EF: uid=33 from=<www-data>"


def read(*messages: str, prefix: str = "2026-11-24T06:00:00+00:00 mx1 ") -> dict:
    log = MailLog(NOW + 3600, NOW - 3600)
    log.feed_lines([prefix + text for text in messages])
    result = log.result()
    assert result["unparsed"] == 0
    return {name: (account["signed"], account["judged_spam"]) for name, account in result["accounts"].items()}


def verdict(action: str = "reject", user: str = USER, mid: str = "x@y", queue_id: str = "AB12CD34EF") -> str:
    return (
        f"rspamd_task_write_log: id: <{mid}>, qid: <{queue_id}>, ip: 203.0.113.3, {f'user: {user}, ' if user else ''}from: <{USER}>, "
        f"(default: T ({action}): [17.10/15.00] [BAYES_SPAM(5.10){{100.00%;}},MIME_GOOD(-0.10){{text/plain;}}]), len: 99, time: 9.1ms, "
        "dns req: 6, digest: <0>, rcpts: <a@x>, mime_rcpts: <a@x>"
    )


SYSLOG = "rspamd[123]: <abc123>; proxy; "


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([CLIENT, "opendkim[9]: AB12CD34EF: DKIM-Signature field added (s=sel, d=example.test)"], {USER: (1, 0)}, id="signed"),
        pytest.param([LOCAL, "opendkim[9]: AB12CD34EF: DKIM-Signature field added (s=s, d=e.test)"], {"uid:33": (1, 0)}, id="of a user"),
        pytest.param([CLIENT, "opendkim[9]: FF12CD34EF: DKIM-Signature field added (s=s, d=e.test)"], {USER: (0, 0)}, id="of another"),
        pytest.param([CLIENT, "opendkim[9]: AB12CD34EF: no signing table match for 'a@b'"], {USER: (0, 0)}, id="not signed"),
        pytest.param([CLIENT, SYSLOG + verdict()], {USER: (0, 1)}, id="reject"),
        pytest.param([CLIENT, SYSLOG + verdict("add header")], {USER: (0, 1)}, id="add header"),
        pytest.param([CLIENT, SYSLOG + verdict("soft reject")], {USER: (0, 1)}, id="soft reject"),
        pytest.param([CLIENT, SYSLOG + verdict("no action")], {USER: (0, 0)}, id="no action"),
        pytest.param([CLIENT, SYSLOG + verdict("greylist")], {USER: (0, 0)}, id="greylist"),
        pytest.param([LOCAL, SYSLOG + verdict(user="")], {"uid:33": (0, 1)}, id="by the queue ID"),
        pytest.param([SYSLOG + verdict(user="Mallory@alpha.test")], {USER: (0, 1)}, id="by the login"),
        pytest.param([SYSLOG + verdict(user="")], {}, id="of a stranger"),
        pytest.param(
            [SYSLOG + verdict(user="", mid=f"a>, qid: <AB12CD34EF>, ip: 1.1.1.1, user: {USER}, from: <x>, (default: T (reject): [9/1] [")],
            {},
            id="a message ID that says it is a login",
        ),
        pytest.param([SYSLOG + verdict("no action").replace("{text/plain;}", "{ (default: T (reject): [9/1] [}")], {}, id="a symbol"),
        pytest.param([CLIENT, "rspamd[123]: <abc>; lua; common.lua:110: x"], {USER: (0, 0)}, id="another line"),
    ],
)
def test_grammar(messages, expected):
    assert read(*messages) == expected


@pytest.mark.parametrize(
    "prefix", ["2026-11-24 06:00:00 #123(normal) <abc>; task; ", "2026-11-24 06:00:00.12345 #123(rspamd_proxy) <a>; proxy; "]
)
def test_rspamds_own_file(prefix):
    assert read(verdict(), verdict("no action"), "dkim_symbol_callback: skip DKIM checks", prefix=prefix) == {USER: (0, 1)}

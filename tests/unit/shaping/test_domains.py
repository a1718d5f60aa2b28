# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which domains keep the way that they have: the host's own, and those that the administrator's maps answer for."""

from __future__ import annotations

import pytest
from goodstanding_src.module_utils.goodstanding.host.files import HostError
from goodstanding_src.module_utils.goodstanding.shaping.domains import left_out
from goodstanding_src.module_utils.goodstanding.shaping.transports import MAP


def host(settings: dict[str, str], tables: dict[str, set[str]]):
    """Play postconf and postmap."""
    asked: list[str] = []

    def run(words: list[str], data: str | None = None) -> tuple[int, str, str]:
        if words[0] == "postconf":
            return 0, settings.get(words[-1], "") + "\n", ""
        asked.append(words[3])
        if words[3] not in tables:
            return 1, "", f"postmap: fatal: open database {words[3]}: No such file or directory\n"
        hits = [key for key in (data or "").splitlines() if key in tables[words[3]]]
        return (0 if hits else 1), "".join(f"{key}\tx\n" for key in hits), ""

    return run, asked


@pytest.mark.parametrize(
    ("settings", "tables", "out"),
    [
        ({"mydestination": "mx1.test, localhost"}, {}, set()),
        ({"mydestination": "a.test localhost"}, {}, {"a.test"}),
        ({"relay_domains": "test"}, {}, {"a.test", "sub.b.test"}),
        ({"relay_domains": ".b.test"}, {}, {"sub.b.test"}),
        ({"virtual_mailbox_domains": "proxy:mysql:/v.cf"}, {"proxy:mysql:/v.cf": {"a.test"}}, {"a.test"}),
        ({"virtual_alias_domains": "hash:/alias"}, {"hash:/alias": {"b.test"}}, {"sub.b.test"}),
        ({"virtual_alias_domains": "inline:{ {a.test=x}, {c.test=x} }"}, {"inline:{ {a.test=x}, {c.test=x} }": {"a.test"}}, {"a.test"}),
        ({"mydestination": "!a.test, b"}, {}, {"a.test"}),
        ({"transport_maps": f"hash:/t, {MAP}"}, {"hash:/t": {"a.test"}}, {"a.test"}),
        ({"transport_maps": "hash:/t"}, {"hash:/t": {".b.test"}}, {"sub.b.test"}),
        ({"transport_maps": "hash:/t"}, {"hash:/t": {"b.test"}}, set()),
        ({"transport_maps": "hash:/t"}, {"hash:/t": {"*"}}, {"a.test", "sub.b.test"}),
    ],
)
def test_left_out(settings, tables, out):
    run, asked = host(settings, tables)
    found = left_out(run, ["a.test", "sub.b.test"])
    assert set(found) == out
    assert MAP not in asked


def test_a_file_of_names_is_read(tmp_path):
    (tmp_path / "names").write_text("# ours\na.test\nhash:/more\n")
    run, _ = host({"virtual_mailbox_domains": str(tmp_path / "names")}, {"hash:/more": {"sub.b.test"}})
    assert left_out(run, ["a.test", "sub.b.test", "c.test"]) == {
        "a.test": "virtual_mailbox_domains has it", "sub.b.test": "virtual_mailbox_domains has it",
    }  # fmt: skip


def test_a_table_that_cannot_be_asked_leaves_everything_as_it_is():
    run, _ = host({"virtual_mailbox_domains": "mysql:/v.cf"}, {})
    with pytest.raises(HostError, match=r"mysql:/v\.cf ended with 1.*no transport was changed"):
        left_out(run, ["a.test"])

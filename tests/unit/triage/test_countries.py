# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from goodstanding_src.library.abuse_verdict_info import open_countries
from goodstanding_src.module_utils.goodstanding.triage.verdict import VerdictError
from mmdb_writer import MMDBWriter
from netaddr import IPSet


def test_a_country_is_read_from_a_database(tmp_path):
    path = tmp_path / "country.mmdb"
    writer = MMDBWriter(6, "GeoLite2-Country", ipv4_compatible=True)
    writer.insert_network(IPSet(["198.51.100.0/24"]), {"country": {"iso_code": "DE"}})
    writer.insert_network(IPSet(["2001:db8::/32"]), {"country": {"iso_code": "FR"}})
    writer.insert_network(IPSet(["203.0.113.0/24"]), {"continent": {"code": "EU"}})
    writer.to_db_file(str(path))
    with open_countries(str(path)) as country:
        found = [country(address) for address in ("198.51.100.7", "2001:db8::1", "203.0.113.1", "192.0.2.1", "nonsense")]
    assert found == ["DE", "FR", None, None, None]


def test_a_file_that_is_none_is_named(tmp_path):
    (tmp_path / "x.mmdb").write_text("nothing", encoding="utf-8")
    for name in ("x.mmdb", "absent.mmdb"):
        with pytest.raises(VerdictError, match=f"{name} is no MaxMind DB file"), open_countries(str(tmp_path / name)):
            pass
    with open_countries("") as country:
        assert country is None

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation of DKIM keys where a zone cannot be changed, with the decision, the DNS and the hosts played."""

from __future__ import annotations

import pytest

KEY = {"domain": "a.test", "selector": "new.mx1", "type": "rsa"}
DUE = {
    "changed": False, "acts": [], "told": [], "faults": [], "cnames": [], "policies": {}, "pause": None, "slots": [], "dkim": [],
    "make": {"mx1": [KEY]}, "destroy": {}, "sign": {"mx2": [{"domain": "a.test", "selectors": ["old.mx2"]}]},
    "records": [{"name": "x._domainkey.a.test", "type": "TXT", "values": ["v=DKIM1; p="]}],
}  # fmt: skip
PLAYED = {
    "dkim_key_info": {"changed": False, "signer": "rspamd", "keys": [], "probes": {}},
    "dkim_key": {"changed": True},
    "dkim_signing": {"changed": True},
    "dkim_rotation": DUE,
}
GOOD = {"changed": False, "zones": [], "open_points": [], "undo": []}
DEAD = {**GOOD, "failed": True, "msg": "b.test: 192.0.2.53 does not answer"}


@pytest.mark.parametrize(("published", "code"), [(GOOD, 0), (DEAD, 2)])
def test_a_zone_that_cannot_be_changed_keeps_no_host_from_what_is_due_and_the_run_fails_at_its_end(play, tmp_path, published, code):
    done, _, output = play("rotate_dkim", played={**PLAYED, "dns_records": published}, dkim_domains=["a.test"])
    calls = (tmp_path / "log").read_text().split()
    assert {"dns_records", "dkim_key", "dkim_signing"} <= set(calls), output
    assert done == code, output
    assert ("192.0.2.53 does not answer" in output.partition("Make sure that nothing waits for a person")[2]) is (code != 0)

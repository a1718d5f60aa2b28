# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/mail_dns.yml with the plan, the zones and the receivers' view played."""

from __future__ import annotations

import pytest

POINT = {"name": "11.100.51.198.in-addr.arpa", "text": "the provider: in its customer portal, add PTR 11 = mx1.example.test."}
PLAYED = {
    "mail_dns_plan_info": {"changed": False, "records": [], "held": [], "findings": []},
    "mail_auth_info": {"changed": False, "checklist": []},
    "dkim_rotation": {"changed": False, "dkim": []},
}


@pytest.mark.parametrize("fault", [{}, {"failed": True, "msg": "b.test: 192.0.2.53 does not answer"}])
def test_what_the_owner_of_a_zone_must_do_is_shown_whatever_became_of_the_others(play, fault):
    published = {"changed": False, "zones": [], "open_points": [POINT], "undo": [], "policies": {}, **fault}
    code, _, output = play("mail_dns", played={**PLAYED, "dns_records": published})
    assert POINT["text"] in " ".join(output.split()), output
    assert code == (2 if fault else 0), output

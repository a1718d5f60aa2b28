# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks and tasks of keys decide in templates."""

from __future__ import annotations

from pathlib import Path

import jinja2
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).parents[3]


def task(path, name):
    rows = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    rows = rows[0].get("tasks", rows)
    return next(row for row in rows if row["name"] == name)


def test_the_name_of_a_run_is_one_of_many():
    text = task("playbooks/rotate_dkim.yml", "Begin")["ansible.builtin.set_fact"]["__dkim_run"]
    (node,) = jinja2.Environment(autoescape=True).parse(text).body[0].nodes
    assert isinstance(node, jinja2.nodes.Filter) and node.name == "random", "2**62 | random is 2**(62 | random)"


def test_a_record_by_hand_gives_way_to_the_rotations_of_the_same_name_alone():
    text = task("roles/dkim/tasks/public.yml", "Keep it for the records of mail")["ansible.builtin.set_fact"]["mail_dns_dkim"]
    ours = [{"domain": "a.test", "selector": "x", "record": "new"}, {"domain": "b.test", "selector": "y", "revoked": True}]
    by_hand = [{"domain": domain, "selector": selector, "record": "old"} for domain in ("A.test", "b.test") for selector in ("x", "Y", "z")]
    known = {"__dkim_known": {"dkim": ours}}
    found = Templar(loader=DataLoader(), variables={**known, "mail_dns_dkim": by_hand}).template(trust_as_template(text))
    assert found == [by_hand[at] for at in (1, 2, 3, 5)] + ours
    assert Templar(loader=DataLoader(), variables=known).template(trust_as_template(text)) == ours

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import re
import shutil
import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.dnsbl import catalogue

sys.path.insert(0, str(Path(__file__).parent))
from lists import CATALOGUE, ROOT

NEW = {
    "zone": "bl.example.test", "name": "Own", "operator": "Us", "kind": "block", "answers_for": ["ipv4"], "tier": "B",
    "codes": {"127.0.0.2": "ours"}, "evidence": "operator", "access": "free", "repair": "Ask us.",
    "delisting": {"kind": "none", "who": "nobody", "paid": "no"}, "sources": [{"facts": ["codes"], "from": "us", "read": "2026-11-24"}],
}  # fmt: skip


def choose(*layers, wanted=(), keys=()) -> tuple[dict[str, dict], dict[str, str]]:
    asked, left = catalogue.choose(CATALOGUE, [(f"layer{at}", rows) for at, rows in enumerate(layers)], list(wanted), keys)
    return {row["zone"]: row for row in asked}, {row["zone"]: row["why"] for row in left}


def test_every_entry_has_sources_and_dates_and_names_nobody_twice():
    assert len(CATALOGUE.lists) > 80
    for row in CATALOGUE.lists:
        assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", each["read"]) and each["from"] for each in row["sources"]), row["zone"]
        if not row.get("delisting", {}).get("url"):
            assert row["delisting"]["kind"] in ("none", "auto_only", "manual_form", "isp_only") or row["delisting"].get("mail"), row["zone"]


def test_what_is_asked_by_default():
    asked, left = choose()
    assert "zen.spamhaus.org" in asked
    assert asked["zen.spamhaus.org"]["test"]["ipv6"] == {"positive": "::ffff:127.0.0.2", "negative": "::ffff:127.0.0.1"}
    assert "no key: reputation_keys.spamhaus_dqs is not given" in left["zen.dq.spamhaus.net"]
    assert left["rep.mailspike.net"] == "it is off by default"
    assert not set(asked) & set(left)
    # One question for a combined zone, never its parts beside it.
    parts = {part for row in CATALOGUE.lists for part in row.get("covers", [])}
    assert not parts & set(asked)


def test_a_key_replaces_the_public_zone():
    asked, left = choose(keys=["spamhaus_dqs"])
    assert "zen.dq.spamhaus.net" in asked
    assert "zen.spamhaus.org" not in asked
    assert left["zen.spamhaus.org"] == "zen.dq.spamhaus.net is asked instead"


def test_layers_add_replace_weigh_and_switch_off():
    asked, left = choose(
        [{"zone": "bl.spamcop.net", "tier": "D"}, NEW],
        [{"zone": "bl.spamcop.net", "tier": "C"}, {"zone": "psbl.surriel.com", "enabled": False}],
        [{**NEW, "zone": "all.s5h.net", "replace": True}, {"zone": "rep.mailspike.net", "enabled": True}],
    )
    assert asked["bl.spamcop.net"]["tier"] == "C"
    assert asked["bl.spamcop.net"]["codes"]
    assert asked["bl.example.test"]["codes"] == {"127.0.0.2": "ours"}
    assert asked["all.s5h.net"]["operator"] == "Us"
    assert "rep.mailspike.net" in asked
    assert left["psbl.surriel.com"] == "it is switched off by reputation_overrides"
    assert next(row for row in CATALOGUE.lists if row["zone"] == "bl.spamcop.net")["tier"] == "B", "the catalogue itself was changed"


@pytest.mark.parametrize(
    ("layer", "wanted", "words"),
    [
        ([{"tier": "A"}], [], r"layer0\[0\] has no zone"),
        (["zen.spamhaus.org"], [], r"layer0\[0\] has no zone: each row is a mapping"),
        ([{"zone": "zen.spamhaus.org", "tier": "Z"}], [], r"layer0\[0\], tier: 'Z' is not one of"),
        ([{"zone": "zen.spamhaus.org", "teir": "A"}], [], "teir"),
        (
            [{"zone": "zen.spamhause.org"}],
            [],
            r"zen\.spamhause\.org is new: it needs every required field; did you mean zen\.spamhaus\.org\?",
        ),
        ([{"zone": "dnsbl.sorbs.net"}], [], r"layer0\[0\] names dnsbl\.sorbs\.net, which is retired: .*2024.*Take it out of the inventory"),
        ([{"zone": "spam.dnsbl.sorbs.net"}], [], "which is retired"),
        ([], ["ix.dnsbl.manitu.net"], "reputation_lists names ix.dnsbl.manitu.net, which is retired"),
        ([], ["zen.spamhaus.orgg"], r"has no list zen\.spamhaus\.orgg; did you mean zen\.spamhaus\.org\?; reputation_overrides adds one"),
        ([], ["xbl.spamhaus.org"], "reputation_lists names xbl.spamhaus.org, a part of zen.spamhaus.org: name that instead"),
        ([], ["zen.dq.spamhaus.net"], r"zen\.dq\.spamhaus\.net is asked with a key: give reputation_keys\.spamhaus_dqs"),
    ],
)
def test_what_is_wrong_in_an_inventory_is_named(layer, wanted, words):
    with pytest.raises(catalogue.CatalogueError, match=words):
        choose(layer, wanted=wanted)


def test_wanted_lists_are_asked_and_no_other():
    asked, _ = choose(wanted=["Zen.Spamhaus.org.", "Rep.Mailspike.net"])
    assert list(asked) == ["zen.spamhaus.org", "rep.mailspike.net"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text.replace("tier: A", "tier: X", 1), r"blocklists\.yml, line \d+: lists/0/tier: 'X' is not one of"),
        (
            lambda text: text.replace("zone: zen.spamhaus.org\n", "zone: zen.spamhaus.org\n    colour: red\n"),
            r"line \d+: lists/0: .*colour",
        ),
        (lambda text: text.replace("127.0.0.2: SBL", "128.0.0.2: SBL", 1), r"line \d+: lists/0/codes"),
        (lambda text: text.replace("bl.spamcop.net", "zen.spamhaus.org"), "names zen.spamhaus.org twice"),
        (lambda text: text.replace("bl.spamcop.net", "bl.spamcannibal.org"), "lists bl.spamcannibal.org, which is retired"),
        (lambda text: text + "\n  - [", "cannot be read"),
        (lambda text: "", "line 1"),
        (lambda text: "- a\n", "line 1"),
    ],
)
def test_a_faulty_file_is_named_with_line_and_field(tmp_path, spoil, words):
    for name in ("blocklists.yml", "blocklists.schema.json", "retired_lists.yml", "retired_lists.schema.json"):
        shutil.copy(ROOT / "catalogue" / name, tmp_path)
    file = tmp_path / "blocklists.yml"
    file.write_text(spoil(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(catalogue.CatalogueError, match=words):
        catalogue.load(str(file))


def test_the_line_of_an_error_is_the_line_of_the_field(tmp_path):
    for name in ("blocklists.yml", "blocklists.schema.json", "retired_lists.yml", "retired_lists.schema.json"):
        shutil.copy(ROOT / "catalogue" / name, tmp_path)
    file = tmp_path / "blocklists.yml"
    text = file.read_text(encoding="utf-8").replace("    tier: B\n", "    tier: Q\n", 1)
    file.write_text(text, encoding="utf-8")
    line = text[: text.index("    tier: Q")].count("\n") + 1
    with pytest.raises(catalogue.CatalogueError, match=rf"line {line}: "):
        catalogue.load(str(file))


def test_choosing_changes_nothing_that_was_loaded():
    before = copy.deepcopy(CATALOGUE.lists)
    choose([{"zone": "zen.spamhaus.org", "tier": "D"}], keys=["spamhaus_dqs", "abusix"])
    assert before == CATALOGUE.lists


def plan(hosts: list[dict]) -> dict:
    from goodstanding_src.library import reputation_catalogue_info as module

    usual = {"addresses": ["198.51.100.11"], "names": [], "overrides": []}
    path = str(Path(__file__).resolve().parents[3] / "catalogue/blocklists.yml")
    options = {"catalogue": path, "lists": [], "keys": [], "allow_documentation_addresses": True}
    return module.plan({**options, "hosts": [{**usual, **host} for host in hosts]})


def rows_of(zone: str) -> list[dict]:
    return [{"variable": "reputation_overrides_host", "rows": [{"zone": zone, "tier": "D"}]}]


@pytest.mark.parametrize("zone", ["dnsbl.sorbs.net", "DNSBL.sorbs.net", "dnsbl.sorbs.net."])
def test_one_hosts_wrong_override_rejects_that_host_alone(zone):
    planned = plan([{"host": "a"}, {"host": "b", "overrides": rows_of(zone)}])
    assert [batch["hosts"] for batch in planned["batches"]] == [["a"]]
    (row,) = planned["rejected"]
    assert (row["host"], "dnsbl.sorbs.net, which is retired" in row["why"]) == ("b", True)


def test_a_key_before_a_zone_is_refused_and_not_told():
    (row,) = plan([{"host": "a", "overrides": rows_of("s3cretk3y.zen.dq.spamhaus.net")}])["rejected"]
    assert "give the key in reputation_keys.spamhaus_dqs instead" in row["why"]
    assert "s3cret" not in str(row)


@pytest.mark.parametrize("key", ["", "a key", "x" * 64, "<script>"])
def test_what_is_no_key_is_named_and_not_told(key):
    from goodstanding_src.library import ip_reputation_info as module

    options = {"resolver": "127.0.0.1", "port": 53, "timeout": 1.0, "allow_documentation_addresses": True, "addresses": [], "names": [],
               "cache": None, "cache_max_age": 1.0, "deadline": 1.0, "list_deadline": 1.0, "rate": 1.0, "paced": True, "egress_name": "",
               "lists": [], "follow": [], "authoritative_port": 53}  # fmt: skip
    with pytest.raises(module.SubjectError) as caught:
        module.ask({**options, "keys": {"own": key}}, True)
    assert str(caught.value) == "reputation_keys.own is no key: it is a part of a name, of letters, digits and hyphens"


def test_the_servers_of_a_list_that_wants_to_know_who_asks_are_not_asked():
    own = [("reputation_overrides", [{"zone": "b.barracudacentral.org", "authoritative": True}])]
    with pytest.raises(catalogue.CatalogueError, match=r"reputation_overrides\[0\] says authoritative.*wants to know who asks"):
        catalogue.choose(CATALOGUE, own, [], [])
    asked, _ = catalogue.choose(CATALOGUE, [("reputation_overrides", [{"zone": "psbl.surriel.com", "authoritative": True}])], [], [])
    assert {row["zone"] for row in asked if row.get("authoritative")} == {
        "zen.spamhaus.org", "dbl.spamhaus.org", "multi.uribl.com", "psbl.surriel.com",
    }  # fmt: skip

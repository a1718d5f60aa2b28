# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of a fleet, of the inventory and what is published: what comes out, what is held, and that a second run is the same."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from goodstanding_src.library import mail_dns_plan_info
from goodstanding_src.module_utils.goodstanding.mailauth import desired, sts
from goodstanding_src.module_utils.goodstanding.mailauth.answers import Reply

sys.path.insert(0, str(Path(__file__).parent))
from world import GOOD, P1024, World, answered, zone_server

ZONES = [{"name": "alpha.test"}, {"name": "beta.test"}, {"name": "example.test"}, {"name": "100.51.198.in-addr.arpa"}]
HOSTS = [
    {"host": "mx1.example.test", "addresses": ["198.51.100.11"]},
    {"host": "mx2.example.test", "addresses": ["198.51.100.12"]},
]


def plan(present=None, **fleet):
    fleet = {"zones": ZONES, "hosts": [], "domains": [], "dkim": [], **fleet}
    return answered(present or {}, lambda table: desired.plan(fleet, table))[0]


def by_name(planned):
    return {(row["name"], row["type"]): row for row in planned.records}


def held(planned):
    return {(row["name"], row["type"]): f"{row['why']} {row['repair']}" for row in planned.held}


def apply(present, planned):
    """Return what is published afterwards, as dns_records does it."""
    after = {key: list(values) for key, values in present.items()}
    for row in planned.records:
        key = (row["name"], row["type"])
        old = after.get(key, [])
        if row["mode"] == "exclusive":
            after[key] = row["values"]
        else:
            stay = [value for value in old if not row["owner"] or not value.lower().startswith(row["owner"].lower())]
            after[key] = [*stay, *(value for value in row["values"] if value not in stay)]
    return after


def test_hosts_have_addresses_reverse_names_and_spf_of_their_helo():
    records = by_name(plan(hosts=HOSTS))
    assert records[("mx1.example.test", "A")]["values"] == ["198.51.100.11"]
    assert records[("mx1.example.test", "A")]["mode"] == "merge"
    assert records[("11.100.51.198.in-addr.arpa", "PTR")]["values"] == ["mx1.example.test"]
    assert records[("11.100.51.198.in-addr.arpa", "PTR")]["mode"] == "exclusive"
    assert records[("11.100.51.198.in-addr.arpa", "PTR")]["zone"] == "100.51.198.in-addr.arpa"
    assert records[("mx1.example.test", "TXT")]["values"] == ["v=spf1 a -all"]
    assert set(records[("mx1.example.test", "TXT")]) == {"zone", "name", "type", "ttl", "values", "mode", "owner", "why"}


def test_a_helo_name_of_its_own_and_two_families():
    zones = [*ZONES, {"name": "8.b.d.0.1.0.0.2.ip6.arpa"}]
    records = by_name(
        plan(hosts=[{"host": "mx1", "helo": "out.example.test", "addresses": ["198.51.100.11", "2001:db8::25"]}], zones=zones)
    )
    assert records[("out.example.test", "AAAA")]["values"] == ["2001:db8::25"]
    (six,) = [row for (name, kind), row in records.items() if kind == "PTR" and "ip6" in name]
    assert (six["zone"], six["values"]) == ("8.b.d.0.1.0.0.2.ip6.arpa", ["out.example.test"])


def test_reverse_names_in_a_delegated_part_of_a_net():
    zones = [*ZONES[:3], {"name": "0-63.100.51.198.in-addr.arpa", "network": "198.51.100.0/26"}]
    records = by_name(plan(hosts=HOSTS, zones=zones))
    assert ("11.0-63.100.51.198.in-addr.arpa", "PTR") in records


def test_a_name_without_a_zone_is_held_with_what_is_wanted():
    found = held(plan(hosts=HOSTS, zones=ZONES[:3]))
    assert "mx1.example.test" in found[("11.100.51.198.in-addr.arpa", "PTR")]
    assert "backend: manual" in found[("11.100.51.198.in-addr.arpa", "PTR")]


FOREIGN = ["google-site-verification=abc", "MS=ms123", 'odd "quoted" value']


def test_spf_is_merged_and_the_neighbours_stay():
    present = {("alpha.test", "TXT"): [*FOREIGN, "v=spf1 include:_spf.x.test mx -all"]}
    domains = [{"domain": "alpha.test", "spf": {"include": ["_spf.y.test"]}}]
    planned = plan(present, hosts=HOSTS, domains=domains)
    row = by_name(planned)[("alpha.test", "TXT")]
    assert row["values"] == ["v=spf1 ip4:198.51.100.11 ip4:198.51.100.12 include:_spf.x.test mx include:_spf.y.test -all"]
    assert (row["mode"], row["owner"]) == ("merge", "v=spf1")
    after = apply(present, planned)
    assert after[("alpha.test", "TXT")][:3] == FOREIGN
    assert by_name(plan(after, hosts=HOSTS, domains=domains)) == by_name(planned), "a second run plans the same"


def test_only_the_hosts_of_a_domain_send_for_it():
    records = by_name(plan(hosts=HOSTS, domains=[{"domain": "alpha.test", "hosts": ["mx2.example.test"], "spf": {"all": "-all"}}]))
    assert records[("alpha.test", "TXT")]["values"] == ["v=spf1 ip4:198.51.100.12 -all"]


def test_spf_can_be_left_alone():
    assert ("alpha.test", "TXT") not in by_name(plan(hosts=HOSTS, domains=[{"domain": "alpha.test", "spf": False}]))


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (None, "it is not known what stands there"),
        (["v=spf1 -all", "v=spf1 mx -all"], "2 SPF records stand there"),
        (["v=spf1 ip4:1.2.3 -all"], "cannot be read"),
    ],
)
def test_what_cannot_be_merged_is_held(texts, words):
    planned = plan({("alpha.test", "TXT"): texts}, hosts=HOSTS, domains=[{"domain": "alpha.test"}])
    assert ("alpha.test", "TXT") not in by_name(planned)
    assert words in held(planned)[("alpha.test", "TXT")]


def test_a_look_alike_of_somebody_else_stops_nothing():
    present = {("alpha.test", "TXT"): ["v=spf10 odd", "v=spf1 include:_spf.x.test +all"]}
    planned = plan(present, hosts=HOSTS, domains=[{"domain": "alpha.test"}])
    assert {each.check: each.severity for each in planned.findings if each.subject == "alpha.test"} == {
        "spf_lookalike": "warning", "spf_everybody": "warning",
    }  # fmt: skip
    assert ("alpha.test", "TXT") in by_name(planned)
    new = plan(present, hosts=HOSTS, domains=[{"domain": "alpha.test", "spf": {"terms": ["ip4:0.0.0.0/1"]}}])
    assert [each.severity for each in new.findings if "0.0.0.0/1" in each.what] == ["error"], "what the inventory adds does"


@pytest.mark.parametrize("what", ["an SPF record", "a DMARC record"])
def test_what_is_merged_is_held_in_a_zone_of_several_views(what):
    """Only one view was asked: its terms would be put over those of the other."""
    zones = [{"name": "Alpha.test.", "view": "ext"}, {"name": "alpha.test", "view": "int"}, *ZONES[1:]]
    present = {("alpha.test", "TXT"): ["v=spf1 ip4:10.0.0.1 -all"], ("_dmarc.alpha.test", "TXT"): ["v=DMARC1; p=none"]}
    domains = [{"domain": name, "dmarc": {}, "tls_rpt": {"rua": ["t@alpha.test"]}} for name in ("alpha.test", "beta.test")]
    planned = plan(present, hosts=HOSTS, domains=domains, zones=zones)
    name = {"an SPF record": "alpha.test", "a DMARC record": "_dmarc.alpha.test"}[what]
    assert (name, "TXT") not in by_name(planned)
    assert f"several views, and {what} of one would be put over those of the others" in held(planned)[(name, "TXT")]
    assert {("beta.test", "TXT"), ("_dmarc.beta.test", "TXT"), ("_smtp._tls.alpha.test", "TXT")} <= set(by_name(planned))


def test_redirect_is_not_taken_out_by_an_all():
    present = {("alpha.test", "TXT"): ["v=spf1 redirect=_spf.hoster.test"]}

    def spf(**wanted):
        planned = plan(present, hosts=HOSTS, domains=[{"domain": "alpha.test", "spf": wanted}])
        row = by_name(planned).get(("alpha.test", "TXT"))
        return row["values"][0] if row else held(planned)[("alpha.test", "TXT")]

    addresses = "ip4:198.51.100.11 ip4:198.51.100.12"
    assert spf() == f"v=spf1 {addresses} redirect=_spf.hoster.test"
    assert "redirect=_spf.hoster.test, by which others send" in spf(all="-all")
    assert spf(all="-all", remove=["REDIRECT=_spf.hoster.test"]) == f"v=spf1 {addresses} -all"
    moved = {"all": "-all", "remove": ["redirect=_spf.hoster.test"], "include": ["_spf.hoster.test"]}
    assert spf(**moved) == f"v=spf1 {addresses} include:_spf.hoster.test -all"
    present[("alpha.test", "TXT")] = ["v=spf1 mx ~all redirect=_spf.hoster.test"]
    assert spf(all="-all") == f"v=spf1 {addresses} mx -all", "beside all nobody reads it"


def test_nothing_is_put_beside_a_cname():
    class Led(World):
        def __missing__(self, key):
            return Reply("NOERROR", target="elsewhere.test") if key[0] == "_dmarc.alpha.test" else super().__missing__(key)

    planned = desired.plan({"zones": ZONES, "domains": [{"domain": "alpha.test", "spf": False, "dmarc": {}}]}, Led({}))
    assert "CNAME to elsewhere.test" in held(planned)[("_dmarc.alpha.test", "TXT")]


class Wild(World):
    """A table with wildcards, by the name above: what does not exist there is answered by them."""

    def __init__(self, wild, records=None):
        super().__init__(records or {})
        self.wild = wild

    def __missing__(self, key):
        reply, (name, kind) = super().__missing__(key), key
        above = next((each for each in self.wild if reply.rcode == "NXDOMAIN" and name.endswith(f".{each}")), None)
        values = self.wild.get(above, {})
        if "CNAME" in values:
            return Reply("NOERROR", target=values["CNAME"])
        return Reply("NOERROR", tuple(values[kind])) if kind in values else reply


WILD_FLEET = {
    "zones": ZONES, "nowhere": "0123456789ab", "dkim": [{"domain": "alpha.test", "selector": "s1", "record": GOOD}],
    "domains": [{"domain": "news.alpha.test", "dmarc": {"rua": ["d@alpha.test"]}}],
}  # fmt: skip
BELOW = {("news.alpha.test", "TXT"), ("_dmarc.news.alpha.test", "TXT"), ("s1._domainkey.alpha.test", "TXT")}


@pytest.mark.parametrize(
    "wild",
    [
        {"alpha.test": {"TXT": ["v=spf1 -all"]}},
        {"alpha.test": {"CNAME": "park.test"}},
        {"_domainkey.alpha.test": {"TXT": ["v=DKIM1; p="]}},
        {"_domainkey.alpha.test": {"TXT": [f"v=DKIM1; p={P1024}"]}},
    ],
    ids=["spf", "cname", "revoked", "key"],
)
def test_what_a_wildcard_answers_does_not_stand_there(wild):
    planned = desired.plan(WILD_FLEET, Wild(wild))
    assert planned.held == []
    assert set(by_name(planned)) == BELOW


def test_what_stands_beside_a_wildcard_of_the_same_is_held():
    """A name below one that exists is no wildcard's (RFC 4592 section 2.2.1), or one of its own."""
    wild = {"_domainkey.alpha.test": {"TXT": ["v=DKIM1; p="]}}
    planned = desired.plan(WILD_FLEET, Real(wild, {S1: ["v=DKIM1; p="]}))
    assert "was revoked" in held(planned)[S1]
    other = desired.plan(WILD_FLEET, Wild({"s1._domainkey.alpha.test": {"TXT": ["v=DKIM1; p="]}}, {S1: ["v=DKIM1; p="]}))
    assert "was revoked" in held(other)[S1]


class Real(Wild):
    """Below a name that exists the wildcard above it answers nothing."""

    def __missing__(self, key):
        return Reply("NXDOMAIN") if any(key[0].endswith(f".{name}") for name, _ in self.records) else super().__missing__(key)


def settled(present, world, domain):
    planned = plan(present, hosts=HOSTS, domains=[{"domain": "alpha.test", **domain}])
    spent = {"alpha.test": answered({**present, **world}, lambda table: desired.spend(planned, "alpha.test", table))[0]}
    return desired.settle(planned, spent)


@pytest.mark.parametrize(
    ("includes", "check"),
    [(["gone.test"], "spf_include"), ([f"i{at}.test" for at in range(11)], "spf_lookups"), (["nested.test"], "spf_include")],
)
def test_a_standing_fault_of_one_domain_stops_nobody(includes, check):
    """Whoever runs the included name took it away: that domain's mail is judged by it, the others' records are not."""
    present = {("alpha.test", "TXT"): [f"v=spf1 {' '.join(f'include:{name}' for name in includes)} -all"]}
    world = {(f"i{at}.test", "TXT"): ["v=spf1 ip4:203.0.113.1 -all"] for at in range(12)}
    world[("nested.test", "TXT")] = ["v=spf1 include:gone.test -all"]
    found = settled(present, world, {})
    assert [each.check for each in found.findings if each.severity == "error"] == []
    assert check in {each.check for each in found.findings}
    assert (found.held, ("alpha.test", "TXT") in by_name(found)) == ([], True)
    less = settled(present, world, {"spf": {"remove": [f"include:{includes[-1]}"], "include": ["i11.test"]}})
    assert (less.held, ("alpha.test", "TXT") in by_name(less)) == ([], True), "no worse than it was"


@pytest.mark.parametrize("include", ["gone.test", "none.test", "nested.test"])
def test_a_new_fault_holds_its_own_record_alone(include):
    present = {("alpha.test", "TXT"): ["v=spf1 include:i1.test -all"]}
    world = {
        ("i1.test", "TXT"): ["v=spf1 -all"],
        ("none.test", "TXT"): ["hello"],
        ("nested.test", "TXT"): ["v=spf1 include:gone.test -all"],
    }
    for wanted in ({"include": [include]}, {"include": [include], "remove": ["include:i1.test"]}):
        found = settled(present, world, {"spf": wanted})
        assert "would break" in held(found)[("alpha.test", "TXT")]
        assert ("alpha.test", "TXT") not in by_name(found)
        assert [each for each in found.findings if each.severity == "error" and each.subject != "alpha.test"] == []


def test_an_spf_record_that_would_break_the_limit_is_held():
    present = {("alpha.test", "TXT"): ["v=spf1 " + " ".join(f"include:i{at}.test" for at in range(10)) + " -all"]}
    world = {(f"i{at}.test", "TXT"): ["v=spf1 ip4:203.0.113.1 -all"] for at in range(12)}
    for include, before, after, kept in (("i11.test", 10, 11, False), (None, 10, 10, True)):
        domains = [{"domain": "alpha.test", "spf": {"include": [include] if include else []}}]
        planned = plan(present, hosts=HOSTS, domains=domains)
        spent = {"alpha.test": answered(world, lambda table, planned=planned: desired.spend(planned, "alpha.test", table))[0]}
        settled = desired.settle(planned, spent)
        assert (settled.budgets["alpha.test"]["before"]["lookups"], settled.budgets["alpha.test"]["after"]["lookups"]) == (before, after)
        assert (("alpha.test", "TXT") in by_name(settled)) is kept
        assert (("alpha.test", "TXT") in held(settled)) is not kept


def stage(present, domain="alpha.test", above=(), **wanted):
    at = f"_dmarc.{domain}"
    records = {(at, "TXT"): present} if present else {}
    records.update({("_dmarc.alpha.test", "TXT"): above} if above != () else {})
    planned = plan(records, domains=[{"domain": domain, "spf": False, "dmarc": wanted}])
    row = by_name(planned).get((at, "TXT"))
    return row["values"][0] if row else held(planned)[(at, "TXT")]


@pytest.mark.parametrize(
    ("present", "wanted", "comes"),
    [
        ([], {"rua": ["d@alpha.test"]}, "v=DMARC1; p=none; rua=mailto:d@alpha.test"),
        (["v=DMARC1; p=none; rua=mailto:d@vendor.test"], {"policy": "quarantine"}, "v=DMARC1; p=quarantine; rua=mailto:d@vendor.test"),
        (["v=DMARC1; p=quarantine; sp=none"], {"policy": "reject"}, "v=DMARC1; p=reject; sp=none"),
        (["v=DMARC1; p=quarantine; pct=10"], {"policy": "quarantine"}, "v=DMARC1; p=quarantine"),
        ([], {"policy": "reject", "may_skip": True}, "v=DMARC1; p=reject"),
        (["v=DMARC1; p=reject"], {"policy": "none", "may_weaken": True}, "v=DMARC1; p=none"),
        ([], {"policy": "reject"}, "more than one step"),
        (["v=DMARC1; p=none"], {"policy": "reject"}, "more than one step"),
        (["v=DMARC1; p=reject"], {"policy": "none"}, "would be weaker"),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], {"policy": "none"}, "2 DMARC records"),
        (None, {"policy": "none", "rua": ["d@alpha.test"]}, "v=DMARC1"),
        (["v=DMARC1; p=reject; sp=reject"], {"policy": "reject", "sp": "none"}, "Set dmarc.sp to reject, or"),
        (["v=DMARC1; p=reject"], {"policy": "reject", "sp": "none"}, "p=reject; sp=none would be weaker"),
        (["v=DMARC1; p=reject"], {"policy": "reject", "np": "quarantine"}, "Set dmarc.np to reject, or"),
        (["v=DMARC1; p=none; sp=reject"], {"testing": True}, "would be weaker"),
        (["v=DMARC1; p=reject"], {"policy": "reject", "sp": "none", "may_weaken": True}, "v=DMARC1; p=reject; sp=none"),
        (["v=DMARC1; p=reject; sp=none"], {"policy": "reject"}, "v=DMARC1; p=reject; sp=none"),
        (["v=DMARC1; p=none"], {"policy": "quarantine", "sp": "none"}, "v=DMARC1; p=quarantine; sp=none"),
        (["v=DMARC1; p=reject"], {"policy": "reject", "testing": True}, "Leave dmarc.testing away, or set dmarc.may_weaken"),
    ],
)
def test_stages_of_dmarc(present, wanted, comes):
    assert comes in stage(present, **wanted)


@pytest.mark.parametrize(
    ("above", "wanted", "comes"),
    [
        (["v=DMARC1; p=reject"], {"policy": "none"}, "p=reject of alpha.test applies now, and v=DMARC1; p=none would be weaker"),
        (["v=DMARC1; p=reject; sp=quarantine"], {"policy": "none"}, "Set dmarc.policy to quarantine, or"),
        (["v=DMARC1; p=reject"], {"policy": "none", "may_weaken": True}, "v=DMARC1; p=none"),
        (["v=DMARC1; p=reject; sp=none"], {"policy": "none"}, "v=DMARC1; p=none"),
        (["v=DMARC1; p=quarantine; t=y"], {"policy": "none"}, "v=DMARC1; p=none"),
        (["v=DMARC1; p=reject"], {"policy": "reject"}, "v=DMARC1; p=reject"),
        (["v=DMARC1; p=quarantine"], {"policy": "reject"}, "v=DMARC1; p=reject"),
        (["v=DMARC1; p=none"], {"policy": "reject"}, "from p=none of alpha.test to p=reject is more than one step"),
        ([], {"policy": "reject"}, "from no record to p=reject is more than one step"),
        ([], {"policy": "quarantine"}, "v=DMARC1; p=quarantine"),
        (None, {"policy": "none"}, "it is not known what applies now (_dmarc.alpha.test TXT: 127.0.0.1 answered SERVFAIL)"),
        (None, {"policy": "none", "may_weaken": True}, "v=DMARC1; p=none"),
    ],
)
def test_what_applies_from_above_is_not_weakened_either(above, wanted, comes):
    assert comes in stage(None, "news.alpha.test", above, **wanted)


def test_a_domain_without_dmarc_in_the_inventory_keeps_what_it_has():
    assert plan(domains=[{"domain": "alpha.test", "spf": False}]).records == []


def test_destinations_of_reports_agree_where_they_are_ours():
    planned = plan(domains=[{"domain": "alpha.test", "spf": False, "dmarc": {"rua": ["d@beta.test", "x@vendor.test"]}}])
    records = by_name(planned)
    assert records[("alpha.test._report._dmarc.beta.test", "TXT")]["values"] == ["v=DMARC1;"]
    assert records[("alpha.test._report._dmarc.beta.test", "TXT")]["zone"] == "beta.test"
    assert [finding.subject for finding in planned.findings if finding.check == "report_elsewhere"] == [
        "alpha.test._report._dmarc.vendor.test"
    ]


STS = {"mode": "enforce", "mx": ["mx1.example.test"], "max_age": 604800}


def test_an_mta_sts_record_follows_its_policy():
    domains = [{"domain": "alpha.test", "spf": False, "mta_sts": STS}]
    first = plan(domains=domains)
    assert "no policy is served" in held(first)[("_mta-sts.alpha.test", "TXT")]
    policy = first.policies["alpha.test"]
    assert policy == "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.test\r\nmax_age: 604800\r\n"
    second = plan(domains=domains, served={"alpha.test": policy})
    (row,) = second.records
    assert sts.lint(row["name"], row["values"]) == []
    other = plan(domains=[{"domain": "alpha.test", "spf": False, "mta_sts": {**STS, "mode": "testing"}}], served={"alpha.test": policy})
    assert "another one" in held(other)[("_mta-sts.alpha.test", "TXT")]
    assert sts.make_record(other.policies["alpha.test"]) != row["values"][0], "another policy has another id"


def test_tls_rpt():
    planned = plan(domains=[{"domain": "alpha.test", "spf": False, "tls_rpt": {"rua": ["t@alpha.test", "https://r.beta.test/"]}}])
    assert by_name(planned)[("_smtp._tls.alpha.test", "TXT")]["values"] == ["v=TLSRPTv1; rua=mailto:t@alpha.test,https://r.beta.test/"]


S1 = ("s1._domainkey.alpha.test", "TXT")


def key(present, **fields):
    planned = plan({S1: present} if present is not None else {}, dkim=[{"domain": "alpha.test", "selector": "s1", **fields}])
    return by_name(planned).get(S1) or held(planned)[S1]


def test_keys_are_published_alone_at_their_name():
    row = key(None, record=GOOD)
    assert (row["values"], row["mode"]) == ([GOOD], "exclusive")
    assert key([GOOD.replace("; ", ";")], record=GOOD)["values"] == [GOOD]


def test_a_selector_is_never_used_for_a_second_key():
    assert "another key stands there" in key([f"v=DKIM1; k=rsa; p={P1024}"], record=GOOD)
    assert "was revoked" in key(["v=DKIM1; p="], record=GOOD)


def test_a_revoked_key_leaves_a_gravestone():
    assert key([GOOD], revoked=True)["values"] == ["v=DKIM1; p="]
    assert key(["v=DKIM1; p="], revoked=True)["values"] == ["v=DKIM1; p="]


def test_a_record_that_is_no_key_is_held():
    assert "p=" in key(None, record="v=DKIM1")
    assert "no key is published" in key(None)


def test_a_key_elsewhere():
    planned = plan(dkim=[{"domain": "alpha.test", "selector": "slot1", "cname": "slot1.alpha.keys.example.test"}])
    (row,) = planned.records
    assert (row["type"], row["values"], row["mode"]) == ("CNAME", ["slot1.alpha.keys.example.test"], "exclusive")


@pytest.mark.parametrize(
    ("fleet", "words"),
    [
        ({"hosts": [{"host": "mx1.example.test", "addresses": ["198.51.100.0/24"]}]}, "no address"),
        ({"hosts": [{"host": "mx1", "addresses": ["198.51.100.11"]}]}, "no domain name"),
        ({"hosts": [*HOSTS, {"host": "mx3.example.test", "addresses": ["198.51.100.11"]}]}, "one HELO name"),
        ({"domains": [{"domain": "alpha.test", "hosts": ["nobody"]}]}, "no host of the inventory"),
        ({"domains": [{"domain": "alpha.test", "dmrac": {}}]}, "dmrac is not known"),
        ({"domains": [{"domain": "alpha.test", "dmarc": {"policy": "block"}}]}, "none of none, quarantine, reject"),
        ({"domains": [{"domain": "alpha.test", "dmarc": {"rua": ["nobody"]}}]}, "no mail address"),
        ({"domains": [{"domain": "alpha.test", "spf": {"terms": ["ip4:1.2.3"]}}]}, "no term"),
        ({"domains": [{"domain": "alpha.test", "mta_sts": {"mode": "enforce"}}]}, "names no mx"),
        ({"domains": [{"domain": "alpha.test", "tls_rpt": {}}]}, "rua"),
        ({"zones": [{"name": "x.test", "network": "many"}]}, "network"),
    ],
)  # fmt: skip
def test_an_inventory_that_cannot_mean_what_it_says(fleet, words):
    with pytest.raises(desired.InventoryError, match=words):
        plan(**fleet)


PARAMS = {
    "hosts": [{"host": "mx1.example.test", "helo": None, "addresses": ["198.51.100.11"]}],
    "domains": [{"domain": "alpha.test", "dmarc": {"rua": ["d@alpha.test"]}}],
    "dkim": [], "ttl": 3600, "dkim_ttl": 3600, "timeout": 0.5, "deadline": 20.0, "policy_port": 443, "policy_timeout": 1.0, "ca_file": None,
}  # fmt: skip


def test_the_module_asks_the_zones_own_servers():
    zone = {("alpha.test", "TXT"): [*FOREIGN, "v=spf1 include:_spf.x.test -all"]}
    world = {("_spf.x.test", "TXT"): ["v=spf1 a:no.test -all"], ("alpha.test", "TXT"): ["v=spf1 old -all"]}
    with zone_server(zone, authoritative=True) as primary, zone_server(world) as resolver:
        zones = [{**each, "servers": [{"address": "127.0.0.1", "port": primary.port}]} for each in ZONES]
        result = mail_dns_plan_info.make({**PARAMS, "zones": zones, "resolvers": ["127.0.0.1"], "port": resolver.port})
    records = {(row["name"], row["type"]): row for row in result["records"]}
    assert records[("alpha.test", "TXT")]["values"] == ["v=spf1 ip4:198.51.100.11 include:_spf.x.test -all"]
    assert result["budgets"]["alpha.test"]["before"] == {"lookups": 2, "voids": 1, "unknown": []}
    assert not [asked for asked in resolver.asked if asked.name == "alpha.test."]
    assert ("_dmarc.alpha.test", "TXT") in records


def test_the_module_tells_a_wildcard_by_a_label_that_nobody_uses(monkeypatch):
    monkeypatch.setattr(mail_dns_plan_info.secrets, "token_hex", lambda octets: "nobody")
    wild = {(f"{name}alpha.test", "CNAME"): ["park.test"] for name in ("_dmarc.", "nobody.", "nobody._dmarc.")}
    for zone, why in ((wild, []), (dict(list(wild.items())[:2]), ["a CNAME to park.test stands there, and nothing may stand beside one"])):
        with zone_server(zone, authoritative=True) as primary:
            zones = [{**each, "servers": [{"address": "127.0.0.1", "port": primary.port}]} for each in ZONES]
            result = mail_dns_plan_info.make({**PARAMS, "zones": zones, "resolvers": ["127.0.0.1"], "port": primary.port})
        assert [row["why"] for row in result["held"] if row["name"] == "_dmarc.alpha.test"] == why


def test_a_server_that_is_none_of_the_zones_says_nothing():
    with zone_server({("alpha.test", "TXT"): ["v=spf1 -all"]}) as other:
        zones = [{"name": "alpha.test", "servers": [{"address": "127.0.0.1", "port": other.port}]}]
        result = mail_dns_plan_info.make({**PARAMS, "zones": zones, "resolvers": ["127.0.0.1"], "port": other.port})
    why = {row["name"]: row["why"] for row in result["held"]}
    assert "127.0.0.1 is no name server of that zone" in why["alpha.test"]
    assert result["records"] == []

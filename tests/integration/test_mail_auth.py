# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What receivers see of the lab, from BIND through unbound: as it stands, faulty, published by the playbook, and taken back."""

from __future__ import annotations

import json
import re
import sys
import time
import typing as t
from pathlib import Path

import dns.query
import dns.rcode
import dns.tsigkeyring
import dns.update
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests/unit/mailauth")]
from lab import on, playbook, run  # noqa: E402  a folder of tests, no package
from test_lint import MATRIX  # noqa: E402  the table of the linter's own tests
from world import GOOD  # noqa: E402

RESOLVER, PRIMARY, SECONDARY = "203.0.113.53", "198.51.100.53", "198.51.100.54"
SECRET = yaml.safe_load((ROOT / "tests/lab/vars.yml").read_text(encoding="utf-8"))["lab_tsig_secret"]
HOSTS = {"mx1.example.test": "198.51.100.11", "mx2.example.test": "198.51.100.12"}
ADDRESSES = [{"address": address, "host": host, "helo": host} for host, address in HOSTS.items()]
FOREIGN = ["google-site-verification=a;b", 'odd "quoted" value', "MS=ms42"]
RUN = f"{int(time.time()):x}"


def strings(text: str) -> str:
    """Return a TXT value as a zone file has it."""
    data = text.encode()
    return " ".join('"' + "".join(f"\\{byte:03}" for byte in data[at : at + 200]) + '"' for at in range(0, len(data), 200))


def update(zone: str, add: t.Iterable[tuple[str, str, str]] = (), delete: t.Iterable[tuple[str, ...]] = ()) -> None:
    """Change a zone on the primary; add: (name, type, value); delete: (name, type), or (name, type, value) of one value."""
    message = dns.update.UpdateMessage(zone, keyring=dns.tsigkeyring.from_text({"lab-update": SECRET}), keyalgorithm="hmac-sha256")
    for name, kind, *value in delete:
        message.delete(f"{name}.", kind, *value)
    for name, kind, value in add:
        message.add(f"{name}.", 60, kind, value)
    assert dns.query.tcp(message, PRIMARY, timeout=5).rcode() == dns.rcode.NOERROR


def texts(name: str, server: str = PRIMARY) -> set[str]:
    """Return the TXT values of a name on one server, as dig shows them."""
    return set(on("mx1", "dig", "+short", f"@{server}", name, "TXT").splitlines())


def look(tmp_path: Path, domains: list[dict[str, t.Any]], addresses: list[dict[str, str]] = ADDRESSES) -> dict[str, t.Any]:
    options = {"look": {"addresses": addresses, "domains": domains, "resolvers": [RESOLVER]}, "look_result": str(tmp_path / "seen.json")}
    (tmp_path / "look.json").write_text(json.dumps(options), encoding="utf-8")
    playbook("mail_auth.yml", "-e", f"@{tmp_path}/look.json")
    found: dict[str, t.Any] = json.loads((tmp_path / "seen.json").read_text(encoding="utf-8"))
    return found


def states(seen: dict[str, t.Any], subject: str) -> dict[str, str]:
    return {row["rule"]: row["state"] for row in seen["checklist"] if row["subject"] == subject}


def test_the_lab_as_it_stands(tmp_path):
    seen = look(tmp_path, [{"domain": "alpha.test"}])
    assert seen["resolvers_rejected"] == []
    for address in HOSTS.values():
        assert states(seen, address)["reverse_name"] == states(seen, address)["helo"] == "holds"
    found = states(seen, "alpha.test")
    assert (found["spf"], found["dkim"], found["author_receives"]) == ("holds", "unknown", "holds")
    # Nobody answers for test. itself in the lab, where the tree walk asks last.
    assert found["dmarc"] in ("does_not", "unknown")
    assert {row["result"] for row in seen["domains"][0]["spf"]} == {"pass"}


def test_an_assessment_says_what_receivers_see():
    """Of what the inventory names: addresses, HELO names as Postfix says them, and the names that the mail bears."""
    part = run("assess").report["authentication"]
    assert part["state"] == "asked"
    found = {(row["subject"], row["rule"]): row["state"] for row in part["checklist"]}
    assert {found[(address, rule)] for address in HOSTS.values() for rule in ("reverse_name", "helo")} == {"holds"}
    assert {row["address"]: row["helo"] for row in part["addresses"]} == {address: host for host, address in HOSTS.items()}
    assert (found[("alpha.test", "spf")], found[("alpha.test", "spf_or_dkim")]) == ("holds", "holds")
    assert [row["domain"] for row in part["domains"]] == ["alpha.test"]
    assert {row["host"] for row in part["signers"]} == set(HOSTS)


def test_an_address_that_does_not_send_for_the_domain(tmp_path):
    seen = look(tmp_path, [{"domain": "alpha.test"}], [{"address": "198.51.100.60", "host": "accounts", "helo": "accounts.example.test"}])
    assert {row["result"] for row in seen["domains"][0]["spf"]} == {"fail"}
    assert states(seen, "198.51.100.60")["reverse_name"] == "does_not"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Return per fault of the table (what OpenDKIM says of the published key, the checks of the linter by severity)."""
    rows = {fault: (f"f{at}-{RUN}", *row) for at, (fault, row) in enumerate(MATRIX.items())}
    names = [f"{selector}._domainkey.alpha.test" for selector, *_ in rows.values()]
    update(
        "alpha.test",
        [(f"{selector}._domainkey.alpha.test", "TXT", strings(text)) for selector, values, *_ in rows.values() for text in values],
    )
    try:
        keys = [{"selector": selector, **_options(options)} for selector, _, options, *_ in rows.values()]
        seen = look(tmp_path_factory.mktemp("faulty"), [{"domain": "alpha.test", "dkim": keys}])
        # libunbound asks nothing below test. by itself, and reads no resolv.conf.
        on("mx1", "tee", "/tmp/testkey-unbound.conf", data=(
            f'server:\n  do-not-query-localhost: no\n  module-config: "iterator"\n  local-zone: "test." nodefault\n'
            f'forward-zone:\n  name: "."\n  forward-addr: {RESOLVER}\n'
        ))  # fmt: skip
        on("mx1", "tee", "/tmp/testkey.conf", data="ResolverConfiguration /tmp/testkey-unbound.conf\n")
        said = {}
        for fault, (selector, *_) in rows.items():
            out = on(
                "mx1", "bash", "-c", f"opendkim-testkey -x /tmp/testkey.conf -d alpha.test -s {selector} 2>&1; echo rc=$?", check=False
            )
            found = [row for row in seen["findings"] if row["subject"] == f"{selector}._domainkey.alpha.test"]
            said[fault] = (out, found)
        return said
    finally:
        update("alpha.test", delete=[(name, "TXT") for name in names])


def _options(options: dict[str, t.Any]) -> dict[str, t.Any]:
    names = {"signs_subdomains": "subdomains", "expected": "record"}
    return {names[name]: value for name, value in options.items()}


@pytest.mark.parametrize("fault", list(MATRIX))
def test_the_linter_is_at_least_as_strict_as_opendkim(faulty, fault):
    out, found = faulty[fault]
    refused = int(re.findall(r"rc=(\d+)", out)[-1]) != 0
    errors = {row["check"] for row in found if row["severity"] == "error"}
    assert MATRIX[fault][3] in {row["check"] for row in found}
    assert errors or not refused, out


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Publish the fleet's records by the playbook; return its output twice. Everything is as it was at the end."""
    folder = tmp_path_factory.mktemp("published")
    zone = {"primary": PRIMARY, "key_name": "lab-update", "key_secret": SECRET}
    names = ("example.test", "alpha.test", "beta.test", "100.51.198.in-addr.arpa")
    variables = {
        "mail_dns_zones": [{**zone, "name": name} for name in names],
        "mail_dns_resolvers": [RESOLVER],
        "mail_dns_ttl": 60,
        "mail_dns_dkim_ttl": 60,
        "mail_dns_journal": str(folder / "journal"),
        "mail_dns_domains": [
            {"domain": "alpha.test", "dmarc": {"policy": "none", "rua": ["dmarc@beta.test"]}, "tls_rpt": {"rua": ["tls@alpha.test"]}}
        ],
        "mail_dns_dkim": [
            {"domain": "alpha.test", "selector": f"p{RUN}.mx1", "record": GOOD},
            {"domain": "alpha.test", "selector": f"old{RUN}", "revoked": True},
        ],
    }
    (folder / "vars.json").write_text(json.dumps(variables), encoding="utf-8")
    update("alpha.test", [("alpha.test", "TXT", strings(text)) for text in FOREIGN])
    before = texts("alpha.test")
    try:
        outputs = [playbook("../../playbooks/mail_dns.yml", "-e", f"@{folder}/vars.json") for _ in range(2)]
        yield variables, before, outputs
    finally:
        gone = ["_dmarc", "_smtp._tls", f"p{RUN}.mx1._domainkey", f"old{RUN}._domainkey"]
        update("alpha.test", delete=[*((f"{name}.alpha.test", "TXT") for name in gone),
                                     *(("alpha.test", "TXT", strings(text)) for text in FOREIGN)])  # fmt: skip
        update("beta.test", delete=[("alpha.test._report._dmarc.beta.test", "TXT")])
        update("example.test", delete=[(host, "TXT") for host in HOSTS])


def test_a_second_run_changes_nothing(published):
    _, _, (first, second) = published
    assert re.search(r"localhost .* changed=1 ", first)
    assert re.search(r"localhost .* changed=0 ", second)


def test_the_neighbours_of_spf_stay_byte_for_byte(published):
    _, before, _ = published
    assert len([text for text in before if "v=spf1" not in text]) == len(FOREIGN)
    assert texts("alpha.test") == before, "its SPF record had all addresses already"


def test_what_was_published_holds(published, tmp_path):
    variables, _, _ = published
    time.sleep(7)  # unbound keeps an absence for 2 seconds and answers for 5
    keys = [{"selector": key["selector"], "record": key["record"]} for key in variables["mail_dns_dkim"] if "record" in key]
    seen = look(tmp_path, [{"domain": "alpha.test", "dkim": keys, "tls_rpt": True}])
    rows = [row for row in seen["checklist"] if row["subject"] != "fleet" and row["state"] != "holds"]
    assert rows == []
    (domain,) = seen["domains"]
    assert domain["dmarc"]["reports"] == {"beta.test": True}
    assert domain["tls_rpt"]["state"] == "holds"
    assert [row for row in seen["findings"] if row["severity"] == "error"] == []
    assert texts(f"old{RUN}._domainkey.alpha.test") == {'"v=DKIM1; p="'}


def test_the_secondary_has_it_too(published):
    for _ in range(20):
        if texts("_dmarc.alpha.test", SECONDARY):
            break
        time.sleep(1)
    assert texts("_dmarc.alpha.test", SECONDARY) == texts("_dmarc.alpha.test")
    assert texts("mx1.example.test") == {'"v=spf1 a -all"'}


def test_no_secret_is_printed(published):
    for output in published[2]:
        assert SECRET not in output


def test_a_server_that_does_not_answer_makes_it_unknown(tmp_path):
    on("ns1", "systemctl", "stop", "named")
    on("ns2", "systemctl", "stop", "knot")
    try:
        seen = look(tmp_path, [{"domain": f"gone{RUN}.beta.test", "dkim": [{"selector": "s1"}]}])
    finally:
        on("ns1", "systemctl", "start", "named")
        on("ns2", "systemctl", "start", "knot")
    assert set(states(seen, f"gone{RUN}.beta.test").values()) == {"unknown"}

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation of DKIM keys where a zone cannot be changed, with the decision, the DNS and the hosts played."""

from __future__ import annotations

import json

import pytest

KEY = {"domain": "a.test", "selector": "new.mx1", "type": "rsa"}
DUE = {
    "changed": False, "acts": [], "told": [], "faults": [], "cnames": [], "policies": {}, "pause": None, "slots": [], "dkim": [],
    "make": {"mx1": [KEY]}, "take": {}, "give": {}, "destroy": {}, "sign": {"mx2": [{"domain": "a.test", "selectors": ["old.mx2"]}]},
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


SHARED = {"domain": "a.test", "selector": "new.mx", "type": "rsa", "slot": False, "fingerprint": "SHA256:x", "tags": {}}
SEALED = {"to": "mx2", "key": {**SHARED, "sealed": "c2VhbGVk" * 5}}
COPY = {"verb": "copy", "host": "mx2", "domain": "a.test", "selector": "new.mx", "why": "mx1 has the key", "source": "mx1"}
SHARING = {**DUE, "make": {}, "records": [], "take": {"mx2": [SHARED]}, "give": {"mx1": [{"to": "mx2", "key": SHARED}]}, "acts": [COPY]}


def test_a_shared_key_goes_sealed_from_the_host_that_has_it_to_the_one_that_asked(play, tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_VERBOSITY", "3")
    answer = {"changed": True, "public": "cHVibGlj", "sealed": [SEALED, {**SEALED, "to": "mx3"}], "faults": []}
    done, _, output = play("rotate_dkim", played={**PLAYED, "dkim_rotation": SHARING, "dkim_key_copy": answer}, dkim_domains=["a.test"])
    rows = [json.loads(line) for line in (tmp_path / "log.arguments").read_text().splitlines()]
    asked, sealed = [given for name, given in rows if name == "dkim_key_copy"]
    (decided,) = [given for name, given in rows if name == "dkim_rotation"]
    assert decided["slot_rest"] == 7 and int(decided["run"]) > 2**32, "one of many names"
    assert asked["state"] == "asked", output
    assert (sealed["state"], sealed["receivers"], sealed["keys"]) == ("sealed", {"mx2": "cHVibGlj"}, [{"to": "mx2", "key": SHARED}])
    assert [given["keys"] for name, given in rows if name == "dkim_key"] == [[SEALED["key"]]]
    assert SEALED["key"]["sealed"] not in output
    assert done == 2 and "mx1 has the key" in output.partition("Make sure that nothing waits for a person")[2], "it is still due at the end"


def test_where_a_key_cannot_be_handed_over_the_reason_is_told_and_the_host_goes_on(play, tmp_path):
    answer = {"failed": True, "msg": "there is no room for the key"}
    done, _, output = play("rotate_dkim", played={**PLAYED, "dkim_rotation": SHARING, "dkim_key_copy": answer}, dkim_domains=["a.test"])
    calls = (tmp_path / "log").read_text().split()
    assert calls.count("dkim_key_copy") == 2 and "dkim_key" not in calls and "dkim_signing" in calls, output
    steps, _, end = output.partition("Make sure that nothing waits for a person")
    assert done == 2 and steps.count("there is no room for the key") == 2 and "censored" not in output, output
    assert "mx1 has the key; there is no room for the key" in end and "key; there is no room for the key; there" not in end, output


def test_a_giver_has_no_word_in_how_its_key_is_taken(play, tmp_path):
    thief = {**SEALED["key"], "state": "absent", "source": "/etc/shadow", "fingerprint": "SHA256:thief"}
    other = {**SEALED["key"], "selector": "old.mx2", "state": "absent"}
    rows = [{"to": "mx2", "key": thief}, {"to": "mx2", "key": other}, {"to": "mx2"}, {"key": thief}, "mx2", None, 1,
            {"to": "mx2", "key": "mx2"}, {"to": "mx2", "key": {**thief, "sealed": ["x"]}}, {"to": ["mx2"], "key": thief},
            {"to": "mx2", "key": {}}]  # fmt: skip
    answer = {"changed": True, "public": "cHVibGlj", "sealed": rows, "faults": []}
    _, _, output = play("rotate_dkim", played={**PLAYED, "dkim_rotation": SHARING, "dkim_key_copy": answer}, dkim_domains=["a.test"])
    calls = [json.loads(line) for line in (tmp_path / "log.arguments").read_text().splitlines()]
    assert [given["keys"] for name, given in calls if name == "dkim_key"] == [[SEALED["key"]]], output


def test_who_asks_is_known_by_the_inventory_alone(play, tmp_path, monkeypatch):
    answer = {"changed": True, "public": "cHVibGlj", "ansible_facts": {"inventory_hostname": "mx1"}, "sealed": [], "faults": []}
    given = {"played": {**PLAYED, "dkim_rotation": SHARING, "dkim_key_copy": answer}, "dkim_domains": ["a.test"]}
    _, _, output = play("rotate_dkim", **given)
    calls = [json.loads(line) for line in (tmp_path / "log.arguments").read_text().splitlines()]
    assert [given["receivers"] for name, given in calls if given.get("state") == "sealed"] == [{"mx2": "cHVibGlj"}], output
    (tmp_path / "log.arguments").unlink()
    monkeypatch.setenv("ANSIBLE_INJECT_FACT_VARS", "true")
    done, _, output = play("rotate_dkim", **given)
    assert done == 2 and "inject_facts_as_vars must be false" in output and not (tmp_path / "log.arguments").exists()


def test_a_rotation_of_no_domain_is_not_done(play):
    nothing = {**DUE, "make": {}, "sign": {}, "records": []}
    done, _, output = play("rotate_dkim", played={**PLAYED, "dkim_rotation": nothing}, dkim_emergency=True)
    assert done == 2, output
    assert "no host has dkim_domains" in " ".join(output.split())


def test_what_the_owner_of_a_zone_must_do_is_shown(play):
    point = {"name": "new.mx1._domainkey.a.test", "text": "Customer Ltd: in their registrar, add TXT new.mx1._domainkey = v=DKIM1"}
    done, _, output = play("rotate_dkim", played={**PLAYED, "dns_records": {**GOOD, "open_points": [point]}}, dkim_domains=["a.test"])
    assert done == 0 and point["text"] in " ".join(output.split()), output

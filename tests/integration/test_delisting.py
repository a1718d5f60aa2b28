# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A listing in the lab's rbldnsd from its first sight to its end, and back: asked over the wire, in a store of its own.

The tests run in the order of the file: each is the next act of the same story. The lab must be up (script/lab up).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.store import cases as ledger
from goodstanding_src.module_utils.goodstanding.store import database

sys.path.insert(0, str(Path(__file__).parent))
from lab import lab, on, playbook

ADDRESS = "198.51.100.12"
CASE = f"zen.spamhaus.org/{ADDRESS}"
#: The port of the lab's resolver that the lists of Spamhaus refuse.
REFUSED_PORT = 5302
ZEN = "/var/lib/rbldns/zen.spamhaus.org.ipv4"
#: How the list is broken, and mended: it names everybody; it has no data.
BROKEN = {
    "wildcard": (f"printf '%s\\n' '127.0.0.0/8 :127.0.0.4:x' '198.0.0.0/8 :127.0.0.4:x' >>{ZEN}", "/var/lib/lab/listing clear"),
    "servfail": (f"mv {ZEN} {ZEN}.gone", f"mv {ZEN}.gone {ZEN}"),
}


class Story:
    """The folder of this story's store and reports."""

    folder: Path


@pytest.fixture(scope="module", autouse=True)
def listed(tmp_path_factory):
    Story.folder = tmp_path_factory.mktemp("delisting")
    lab("reset")
    listing("add", ADDRESS)
    yield
    listing("clear")


def listing(*words):
    lab("exec", "lists", "--", "/var/lib/lab/listing", *words)


def on_lists(command):
    """Change the lists, and wait until they have read it and the answers of before are gone."""
    on("lists", "sh", "-c", f"{command}; sleep 7")


def case():
    """Return the case as the ledger has it."""
    return ledger.load(database.open_store(f"sqlite:///{Story.folder}/store.db"))[CASE]


def delist(*options, look=True):
    """Let the fleet be looked at and the cases followed, or only a person's word recorded; return the case then."""
    own = ["-e", f"goodstanding_state_url=sqlite:///{Story.folder}/store.db", "-e", f"report_directory={Story.folder}"]
    own += ["-e", f"reputation_cache={Story.folder}/cache.json", *options]
    if look:
        playbook("../../playbooks/assess.yml", "playbooks/delist.yml", *own)
    else:
        playbook("../../playbooks/delist.yml", *own)
    return case()


def wait():
    """Let the time pass before which an answer of the list does not count."""
    time.sleep(max(0.0, case().ask_at - time.time()) + 1)


def test_a_case_opens_by_itself_and_stays_gated_while_nothing_is_proven():
    found = delist()
    assert (found.state, found.codes, found.frozen) == ("gated", ("127.0.0.4",), "")
    assert {"limits", "quiet"} <= set(found.closed)
    assert (Story.folder / "cases" / f"zen.spamhaus.org_{ADDRESS}.md").read_text().startswith(f"# {ADDRESS} in Spamhaus ZEN")


def test_what_a_person_did_is_recorded():
    found = delist("-e", f"submitted={CASE}", "-e", '{"reason": "asked for in the lab"}', look=False)
    assert (found.state, found.requests) == ("submitted", 1)


def test_a_refusal_of_the_list_freezes_the_case_and_does_not_close_it():
    listing("drop", ADDRESS)
    wait()
    found = delist("-e", f"reputation_resolver_port={REFUSED_PORT}", "-e", f"reputation_cache={Story.folder}/refused.json")
    assert found.state == "waiting"
    assert "zen.spamhaus.org" in found.frozen
    assert found.clean_at is None


@pytest.mark.parametrize("fault", BROKEN)
def test_a_list_that_names_everybody_or_answers_nothing_does_not_close_it(fault):
    broken, mended = BROKEN[fault]
    on_lists(broken)
    try:
        found = delist("-e", f"reputation_cache={Story.folder}/{fault}.json")
    finally:
        on_lists(mended)
    assert (found.state, found.clean_at) == ("waiting", None) and found.frozen


def test_the_case_closes_when_the_list_said_twice_that_it_is_over():
    found = delist()
    assert (found.state, found.frozen) == ("waiting", "")
    assert found.clean_at is not None
    before, found = found, delist()
    assert found.state == "waiting" or found.judged >= before.ask_at, "the same answer does not count twice"
    wait()
    assert delist().state == "cleared"
    told = [row["why"] for row in ledger.history(database.open_store(f"sqlite:///{Story.folder}/store.db"), CASE)]
    assert told[-1].endswith("(asked at its own name servers)"), "no cache of the resolver was in between"


def test_a_relisting_opens_it_again_with_a_pause():
    listing("add", ADDRESS)
    time.sleep(6)  # the TTL of the lab's lists
    found = delist()
    assert (found.state, found.relisted) == ("gated", 1)
    assert found.not_before > time.time() + 86400

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an outbreak to the end of its listing: the case opens, and every gate is closed; one after another is opened by a repair on the real
servers, and the case is ready only behind the last; then it is asked for, frozen by what proves nothing, closed, and opened again.

The tests run in the order of the file: each is the next act of the same story. The lab must be up (script/lab up).
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from goodstanding_src.module_utils.goodstanding.store import cases as ledger
from goodstanding_src.module_utils.goodstanding.store import database

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOSTS, ROOT, VICTIM, lab, on, playbook
from test_delisting import BROKEN, on_lists
from test_dkim import PREPARE, RESTORE, milter, wait_for_signer
from test_mail_auth import PRIMARY, RESOLVER, SECONDARY, SECRET, strings, texts, update
from test_rotation import SIGNERS

pytestmark = pytest.mark.soak
ADDRESS = "198.51.100.11"
CASE = f"zen.spamhaus.org/{ADDRESS}"
REVERSE = "100.51.198.in-addr.arpa"
DOMAINS = ("alpha.test", "example.test")
RUN = f"{int(time.time()):x}"
#: Seconds for which nothing may have happened since the lock, and without a new hit: a day each for whom it is real.
WINDOW, QUIET = 90, 60


class Story:
    folder: Path
    texts: t.ClassVar[list[str]] = []


def variables(folder: Path) -> dict[str, t.Any]:
    """Return what an administrator's inventory would say, and what makes hours of minutes."""
    shutil.copytree(ROOT / "catalogue", folder / "catalogue")
    lists = folder / "catalogue/blocklists.yml"
    data = yaml.safe_load(lists.read_text(encoding="utf-8"))
    next(row for row in data["lists"] if row["zone"] == "zen.spamhaus.org")["delisting"]["quiet_days"] = QUIET / 86400
    lists.write_text(yaml.safe_dump(data), encoding="utf-8")
    zone = {"primary": PRIMARY, "key_name": "lab-update", "key_secret": SECRET}
    return {
        "goodstanding_state_url": f"sqlite:///{folder}/store.db",
        "report_directory": str(folder),
        "reputation_cache": f"{folder}/cache.json",
        "reputation_catalogue": str(lists),
        "delisting_catalogue": str(lists),
        "delisting_contact": "Erin Postmaster, postmaster@example.test, +49 30 0000",
        "account_lock_outbreak_window": WINDOW / 3600,
        "mail_dns_domains": [{"domain": name} for name in DOMAINS],
        "mail_dns_resolvers": [RESOLVER],
        "mail_dns_zones": [{**zone, "name": name} for name in DOMAINS],
        "mail_dns_dkim_ttl": 5,
        "mail_dns_journal": str(folder / "journal"),
        "dkim_domains": list(DOMAINS),
        "dkim_proof_zones": [
            {"name": name, "discover": False, "servers": [{"address": PRIMARY}, {"address": SECONDARY}]} for name in DOMAINS
        ],
        "dkim_signer": "{{ {'mx1': 'opendkim', 'mx2': 'rspamd'}[inventory_hostname_short] }}",
        "dkim_label": f"{{{{ inventory_hostname_short }}}}-{RUN}",
        "dkim_patience": 60,
        "dkim_every": 2,
        "rate_limit_engine": "policyd_rate_limit",
        "rate_limit_mode": "enforce",
        "rate_limit_account": {"soft": {"minute": 30, "hour": 100}, "hard": {"minute": 60, "hour": 200}},
    }


def play(*playbooks: str, **more: t.Any) -> str:
    first, *others = (f"../../playbooks/{name}.yml" for name in playbooks)
    return playbook(first, *(f"playbooks/{Path(name).name}" for name in others), "-e", f"@{Story.folder}/vars.json", "-e", json.dumps(more))


def case() -> t.Any:
    """Return the case as the ledger has it."""
    return ledger.load(database.open_store(f"sqlite:///{Story.folder}/store.db"))[CASE]


def look(**more: t.Any) -> t.Any:
    """Let the whole job run, and return the case then."""
    play("remediate", **more)
    return case()


def why() -> str:
    return "\n".join(f"{name}: {gate.state}: {gate.why}" for name, gate in case().closed.items())


@pytest.fixture(scope="module", autouse=True)
def outbreak(tmp_path_factory):
    Story.folder = tmp_path_factory.mktemp("clear")
    (Story.folder / "vars.json").write_text(json.dumps(variables(Story.folder)), encoding="utf-8")
    lab("reset")
    for host, signer in SIGNERS.items():
        on(host, "sh", "-c", PREPARE)
        wait_for_signer(host, signer)
    update(REVERSE, delete=[(f"11.{REVERSE}", "PTR")])
    Story.texts = [text.strip('"') for text in texts("alpha.test")]
    update("alpha.test", delete=[("alpha.test", "TXT")])
    on("mx1", "sh", "-c", "postconf -e smtp_helo_name=mx1.wrong.test && systemctl reload postfix")
    lab("outbreak")
    yield
    lab("outbreak", "stop")
    lab("exec", "lists", "--", "/var/lib/lab/listing", "clear")
    update(REVERSE, [(f"11.{REVERSE}", "PTR", "mx1.example.test.")], [(f"11.{REVERSE}", "PTR")])
    update(
        "alpha.test", [("alpha.test", "TXT", strings(text)) for text in Story.texts], [("alpha.test", "TXT"), ("_dmarc.alpha.test", "TXT")]
    )
    update("example.test", delete=[("_dmarc.example.test", "TXT"), *((f"{host}.example.test", "TXT") for host in HOSTS)])
    for host in HOSTS:
        on(host, "bash", "-c", f"rm -f /etc/rspamd/local.d/dkim_signing.conf; {RESTORE}", check=False)


def test_the_case_opens_by_itself_and_every_gate_is_closed_while_nothing_is_proven():
    found = look(containment_mode="observe")
    assert (found.state, found.codes, found.frozen) == ("gated", ("127.0.0.4",), "")
    everything = {"outbreak", "account", "queue", "limits", "fcrdns", "helo", "spf", "dkim", "dmarc", "quiet"}
    assert set(found.closed) == everything, why()


def lock() -> None:
    play("remediate")
    lab("outbreak", "stop")


def reverse_name() -> None:
    update(REVERSE, [(f"11.{REVERSE}", "PTR", "mx1.example.test.")])


def helo() -> None:
    on("mx1", "sh", "-c", "postconf -X smtp_helo_name && systemctl reload postfix")


def spf() -> None:
    update("alpha.test", [("alpha.test", "TXT", strings(text)) for text in Story.texts])
    update("example.test", [(f"{host}.example.test", "TXT", '"v=spf1 a -all"') for host in HOSTS])


def dmarc() -> None:
    for domain in DOMAINS:
        update(domain, [(f"_dmarc.{domain}", "TXT", '"v=DMARC1; p=none"')])


def dkim() -> None:
    play("rotate_dkim")
    # OpenDKIM's socket is no file of a chroot, and Postfix is not of its group.
    on("mx1", "sh", "-c", "postconf -F '*/inet/chroot=n' && chmod 0755 /run/opendkim && chmod 0666 /run/opendkim/opendkim.sock")
    for host, signer in SIGNERS.items():
        on(host, "sh", "-c", f"postconf -e smtpd_milters={milter(signer)} && systemctl restart postfix")


REPAIRS: dict[str, t.Callable[[], t.Any]] = {
    "account": lock,
    "queue": lambda: play("purge", account=VICTIM),
    "fcrdns": reverse_name,
    "helo": helo,
    "spf": spf,
    "limits": lambda: play("limit"),
    "dkim": dkim,
    "dmarc": dmarc,  # the name above the HELO name is aligned by its key alone
}


@pytest.mark.parametrize("gate", REPAIRS)
def test_a_repair_opens_its_gate_and_the_case_stays_gated_while_another_is_closed(gate):
    assert gate in case().closed, f"{gate} was open before its repair"
    REPAIRS[gate]()
    time.sleep(7)  # the resolver keeps what it has for 5 seconds
    found = look()
    assert gate not in found.closed, why()
    assert found.state == ("gated" if found.closed else "ready")
    later = set(list(REPAIRS)[list(REPAIRS).index(gate) + 1 :])
    assert later <= set(found.closed), f"open without their repair: {later - set(found.closed)}"


def test_it_is_ready_when_the_last_gate_is_open_and_the_text_for_the_form_is_written():
    assert (case().state, case().closed) == ("ready", {}), why()
    text = (Story.folder / "cases" / f"zen.spamhaus.org_{ADDRESS}.txt").read_text(encoding="utf-8")
    assert ADDRESS in text and "Erin Postmaster" in text
    play("delist", submitted=CASE)
    assert (case().state, case().requests) == ("submitted", 1)


def assessed(**more: t.Any) -> t.Any:
    play("assess", "delist", **more)
    return case()


@pytest.mark.parametrize("fault", BROKEN)
def test_what_proves_nothing_does_not_close_the_case(fault):
    broken, mended = BROKEN[fault]
    on_lists(f"/var/lib/lab/listing drop {ADDRESS}; {broken}")
    try:
        found = assessed(reputation_cache=f"{Story.folder}/{fault}.json")
    finally:
        on_lists(mended)
    # Refusals of some minutes ago that quote the list are still in the logs, and do not speak for it.
    assert found.state in ("submitted", "waiting") and found.frozen and found.clean_at is None


def test_it_is_clear_when_the_list_said_so_twice_and_a_relisting_opens_it_again():
    on_lists(f"/var/lib/lab/listing drop {ADDRESS}")
    for _ in range(2):
        assert case().state in ("submitted", "waiting")
        time.sleep(max(0.0, case().ask_at - time.time()) + 1)
        found = assessed()
    assert found.state == "cleared"
    on_lists(f"/var/lib/lab/listing add {ADDRESS}")
    found = assessed()
    assert (found.state, found.relisted) == ("gated", 1)
    assert "cool_down" in found.closed

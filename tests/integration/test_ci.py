# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflows of docs/ci on an outbreak, step by step: plan, approve, apply, and a plan that was altered by one byte.

Hosts and runner know each other by certificates alone. The lab must be up (script/lab up); both forms share one outbreak.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1] / "servers")]
from ci_runners import FORMS, Runner, tamper  # noqa: E402  a folder of tests, no package
from lab import HOSTS, ROOT, VICTIM, both, lab, login, on, playbook  # noqa: E402

SECRET = "pw-mallory-alpha.test"
LET_IN, KEPT_OUT = {"smtp": "accepted", "imap": "accepted"}, {"smtp": "refused", "imap": "refused"}
SSHD = "TrustedUserCAKeys /etc/ssh/ci_ca.pub\nHostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub\n"


def logins():
    return both(lambda host: login(VICTIM, SECRET, host))


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    """Return a pipeline of each form, on a fleet that trusts their CAs and whose host keys a CA signed; the outbreak is on."""
    folder = tmp_path_factory.mktemp("ci")
    lab("reset")
    hosts = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())["all"]["children"]["lab"]["children"]["mail_servers"]["hosts"]
    given = yaml.safe_load((ROOT / "inventories/lab/group_vars/all.yml").read_text())
    given |= {"containment_mode": "observe", "ansible_python_interpreter": "/usr/bin/python3", "ansible_control_path_dir": f"{folder}/cp"}
    (folder / "fleet").mkdir()
    (folder / "fleet/hosts.yml").write_text(yaml.safe_dump({"all": {"vars": given, "children": {"mail_servers": {"hosts": hosts}}}}))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host_ca"], check=True)
    known = "@cert-authority 198.51.100.* " + (folder / "host_ca.pub").read_text()
    made = {
        form: Runner(form, folder / form, folder / "fleet", {"GOODSTANDING_STATE_URL": f"sqlite:///{folder}/{form}.db"}, known)
        for form in FORMS
    }
    for host in HOSTS:
        key = folder / f"{host}.pub"
        key.write_text(on(host, "cat", "/etc/ssh/ssh_host_ed25519_key.pub"))
        address = hosts[f"{host}.example.test"]["ansible_host"]
        subprocess.run(["ssh-keygen", "-q", "-s", folder / "host_ca", "-h", "-I", host, "-n", address, "-V", "-1m:+1h", key], check=True)
        for path, text in (
            ("/etc/ssh/ssh_host_ed25519_key-cert.pub", (folder / f"{host}-cert.pub").read_text()),
            ("/etc/ssh/ci_ca.pub", "".join(runner.ca for runner in made.values())),
            ("/etc/ssh/sshd_config.d/ci.conf", SSHD),
        ):
            on(host, "tee", path, data=text)
        on(host, "bash", "-c", "/usr/sbin/sshd -t && systemctl reload ssh")
    lab("outbreak")
    yield made
    lab("outbreak", "stop")
    playbook("remove.yml")
    for host in HOSTS:
        on(host, "bash", "-c", "rm -f /etc/ssh/sshd_config.d/ci.conf /etc/ssh/ssh_host_ed25519_key-cert.pub; systemctl reload ssh")


@pytest.mark.parametrize("form", FORMS)
def test_plan_approve_apply(pipelines, form):
    runner = pipelines[form]
    playbook("remove.yml")  # the lock of the form before; the flood goes on
    assert logins() == dict.fromkeys(HOSTS, LET_IN)

    assessed = runner.job("assess")
    assert assessed.code == 0, assessed.log[-3000:]
    assert "an SSH certificate for deploy" in assessed.log
    assert "lock m…@alpha.test on mx1.example.test, mx2.example.test" in assessed.summary.replace("\\", "").replace("\u2060", "")

    good = runner.plan.read_bytes()
    tamper(runner.plan)
    refused = runner.job("remediate")
    assert refused.code == 5, refused.log[-3000:]
    assert "nothing was done: this is not the plan that was approved" in refused.log
    assert logins() == dict.fromkeys(HOSTS, LET_IN)

    runner.plan.write_bytes(good)
    applied = runner.job("remediate")
    assert applied.code == 0, applied.log[-3000:]
    assert logins() == dict.fromkeys(HOSTS, KEPT_OUT)
    for done in (assessed, refused, applied):
        assert VICTIM not in done.log + done.summary
        assert runner.age_key not in done.log and "PRIVATE KEY" not in done.log

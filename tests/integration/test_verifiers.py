# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each faulty and each sound record of the linter's table, served by BIND, with mail signed by its key, before the real OpenDKIM: what it
refuses the linter calls an error, and this project's own verifier refuses it too.

Where the servers are: see name_servers.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests/unit/mailauth")]
from goodstanding_src.module_utils.goodstanding.dkim import engines  # noqa: E402
from goodstanding_src.module_utils.goodstanding.dns import ask, plan, update, wire  # noqa: E402
from goodstanding_src.module_utils.goodstanding.mailauth import dkim  # noqa: E402
from goodstanding_src.module_utils.goodstanding.mailauth.finding import ERROR  # noqa: E402
from name_servers import ADDRESS, PORTS, install, key, on, server, servers  # noqa: E402  a folder of tests, no package
from test_lint import MATRIX, SOUND  # noqa: E402  the tables of the linter's own tests
from world import P1024, PRIVATE, base64_of  # noqa: E402

ZONE = "bind.test"
BIG = rsa.generate_private_key(65537, 4096)
#: What is published, how the domain signs, whether OpenDKIM refuses it; a sound record is refused by nobody.
ROWS = {
    **{fault: (texts, options, refused) for fault, (texts, options, refused, _) in MATRIX.items()},
    **{f"sound: {what}": ([text], {}, False) for what, text in SOUND.items()},
    "sound: 4096 bits": ([f"v=DKIM1; k=rsa; p={base64_of(BIG.public_key())}"], {}, False),
}
NAMES = {fault: f"v{number}" for number, fault in enumerate(ROWS)}
MESSAGE = b"From: A <a@bind.test>\r\nTo: b@example.test\r\nSubject: trial\r\nDate: Sat, 28 Nov 2026 17:47:29 +0000\r\n\r\nHello.\r\n"
# On the host: the messages come as JSON; what OpenDKIM says of each goes back.
VERIFY = r"""
import json, os, subprocess, sys, tempfile
address, port = sys.argv[1:3]
said = {}
with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o755)
    open(folder + "/resolver", "w").write('''server:
 do-not-query-localhost: no
 local-zone: "test." nodefault
 module-config: "iterator"
forward-zone:
 name: "."
 forward-addr: %s@%s
''' % (address, port))
    open(folder + "/conf", "w").write("Mode v\nResolverConfiguration %s/resolver\nBackground no\n" % folder)
    for name, message in json.load(sys.stdin).items():
        open(folder + "/message", "w", newline="").write(message)
        done = subprocess.run(["opendkim", "-x", folder + "/conf", "-vv", "-t", folder + "/message"], capture_output=True, text=True)
        said[name] = done.stdout + done.stderr
print(json.dumps(said))
"""


def signed(fault: str) -> str:
    """Return a message signed as the domain signs, by the key that its record names where there is one."""
    texts, options, _ = ROWS[fault]
    private = BIG if "4096" in fault else PRIVATE[1024 if texts == [f"v=DKIM1; p={P1024}"] and not options else 2048]
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    who = b"a@sub.bind.test" if options.get("signs_subdomains") else None
    head = dkimpy.sign(
        MESSAGE, NAMES[fault].encode(), ZONE.encode(), pem, identity=who, canonicalize=(b"relaxed", b"relaxed"), include_headers=[b"from"]
    )
    return (head + MESSAGE).decode()


@pytest.fixture(scope="module")
def said():
    """Return per row what OpenDKIM says of its message."""
    install()
    servers("start", ADDRESS, "bind")
    try:
        changes = [
            plan.Change(
                (wire.pack(f"{NAMES[fault]}._domainkey.{ZONE}"), wire.TXT), None,
                wire.RRset(60, tuple(sorted(wire.txt_data(text.encode()) for text in texts))), True,
            )
            for fault, (texts, *_) in ROWS.items() if texts
        ]  # fmt: skip
        with ask.Connection(server("bind", key())) as connection:
            for batch in update.batches(server("bind", key()), wire.pack(ZONE), changes):
                update.exchange(connection, batch, wire.pack(ZONE))
        messages = {fault: signed(fault) for fault in ROWS}
        yield json.loads(on("python3", "-c", VERIFY, ADDRESS, str(PORTS["bind"]), data=json.dumps(messages)))
    finally:
        servers("stop", "bind")


@pytest.mark.parametrize("fault", list(ROWS))
def test_what_opendkim_refuses_is_an_error_of_the_linter_and_of_the_own_verifier(said, fault):
    texts, options, refused = ROWS[fault]
    assert ("dkim=pass" not in said[fault]) == refused, said[fault]
    findings = dkim.lint(f"{NAMES[fault]}._domainkey.{ZONE}", texts, **options)
    assert not refused or ERROR in {finding.severity for finding in findings}
    found = engines.verdicts(signed(fault), ZONE, (lambda name: texts, lambda name: texts))[NAMES[fault]]
    assert not refused or found.engines < 2, f"it would be called verified: {found}"
    assert refused or fault in MATRIX or found.engines == 2, found

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys: made, in every format and back, and no octet of them in a message."""

from __future__ import annotations

import base64
import pickle

import pytest
from goodstanding_src.module_utils.goodstanding.dkim import formats, keys, record
from goodstanding_src.module_utils.goodstanding.host.files import HostError

# RFC 8463 appendix A: the private key and its public half.
SEED, PUBLIC = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


@pytest.fixture(scope="module")
def rsa():
    return keys.make("rsa", 2048)


def test_sizes_that_receivers_refuse_are_not_made():
    for size in (512, 1024, 2047):
        with pytest.raises(HostError, match="is not made"):
            keys.make("rsa", size)
    assert keys.make("rsa", 1024, short=True).size == 1024


@pytest.mark.parametrize("form", ["pkcs8", "pkcs1"])
def test_an_rsa_key_survives_its_formats(rsa, form):
    content = rsa.octets(form)
    assert formats.detect(content) == form and content.startswith(b"-----BEGIN ")
    assert keys.load(content, "x").spki == rsa.spki and rsa.works()


@pytest.mark.parametrize("form", ["pkcs8", "seed", "seed_public"])
def test_an_ed25519_key_survives_its_formats(form):
    key = keys.load(SEED.encode() + b"\n", "x")
    content = key.octets(form)
    assert formats.detect(content) == form and keys.load(content, "x").spki == key.spki
    assert record.text(key.spki) == f"v=DKIM1; k=ed25519; p={PUBLIC}"
    if form == "seed_public":
        assert base64.b64decode(content) == base64.b64decode(SEED) + base64.b64decode(PUBLIC)


def test_a_key_has_no_format_of_another_kind(rsa):
    with pytest.raises(HostError, match="no format seed"):
        rsa.octets("seed")
    with pytest.raises(HostError, match="no format pkcs1"):
        keys.make("ed25519").octets("pkcs1")


def test_each_signer_gets_what_it_reads():
    assert formats.wanted("opendkim", "ed25519") == "pkcs8"
    assert formats.wanted("dkimpy", "ed25519") == "seed"
    assert formats.wanted("rspamd", "ed25519", "Rspamd daemon version 3.4") == "seed_public"
    assert formats.wanted("rspamd", "ed25519", "Rspamd daemon version 3.12.1") == "seed_public"
    assert formats.wanted("rspamd", "ed25519", "Rspamd daemon version 3.13.2") == "pkcs8"
    assert formats.wanted("rspamd", "ed25519", "") == "seed_public"
    assert formats.wanted("rspamd", "rsa", "") == "pkcs8"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nTOPSECRETTOPSECRET\n-----END PRIVATE KEY-----\n",
        b"TOPSECRET" * 9000,
        base64.b64encode(b"TOPSECRET" + bytes(55)),  # seed and another key's public half
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nTOPSECRET\n-----END ENCRYPTED PRIVATE KEY-----\n",
    ],
)
def test_what_is_no_key_is_refused_without_a_word_of_it(content):
    with pytest.raises(HostError) as refused:
        keys.load(content, "/etc/dkimkeys/x.pem")
    assert "/etc/dkimkeys/x.pem" in str(refused.value)
    assert "TOPSECRET" not in str(refused.value) and base64.b64encode(b"TOPSECRET").decode()[:8] not in str(refused.value)


def test_a_key_is_neither_shown_nor_copied(rsa):
    assert repr(rsa).startswith("<Key rsa 2048 SHA256:") and len(repr(rsa)) < 80
    with pytest.raises(TypeError, match="not copied"):
        pickle.dumps(rsa)


def test_a_signature_is_verified_by_its_own_key_alone(rsa):
    other = keys.make("ed25519")
    assert keys.verify(rsa.spki, rsa.sign(b"mail"), b"mail") and keys.verify(other.spki, other.sign(b"mail"), b"mail")
    assert not keys.verify(rsa.spki, rsa.sign(b"mail"), b"Mail") and not keys.verify(other.spki, rsa.sign(b"mail"), b"mail")
    with pytest.raises(HostError, match="cannot be read"):
        keys.verify(b"nonsense", b"", b"")

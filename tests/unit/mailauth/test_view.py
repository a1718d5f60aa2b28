# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a receiver sees, from a real name server and a real HTTPS server on loopback: never more than was answered."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from goodstanding_src.library import mail_auth_info
from goodstanding_src.module_utils.goodstanding.dnsbl.names import SubjectError
from goodstanding_src.module_utils.goodstanding.mailauth import asking, fetch
from goodstanding_src.module_utils.goodstanding.mailauth.answers import Unanswered

sys.path.insert(0, str(Path(__file__).parent))
from world import GOOD, P1024, Server, zone_server

A, SIX = "198.51.100.11", "2001:db8::25"
SIX_NAME = ipaddress.ip_address(SIX).reverse_pointer
SOUND = {
    ("11.100.51.198.in-addr.arpa", "PTR"): ["mx1.example.test"],
    (SIX_NAME, "PTR"): ["mx1.example.test"],
    ("mx1.example.test", "A"): [A],
    ("mx1.example.test", "AAAA"): [SIX],
    ("mx1.example.test", "TXT"): ["v=spf1 a -all"],
    ("alpha.test", "TXT"): ["hello", f"v=spf1 ip4:{A} ip6:{SIX} -all"],
    ("alpha.test", "MX"): ["10 mx1.example.test"],
    ("s1._domainkey.alpha.test", "TXT"): [GOOD],
    ("_dmarc.alpha.test", "TXT"): ["v=DMARC1; p=reject; rua=mailto:d@alpha.test"],
    ("_smtp._tls.alpha.test", "TXT"): ["v=TLSRPTv1; rua=mailto:t@alpha.test"],
}
ADDRESSES = [{"address": text, "host": "mx1.example.test", "helo": "mx1.example.test"} for text in (A, SIX)]
KEY = {"selector": "s1", "domain": None, "subdomains": False, "record": None}
DOMAIN = {"domain": "alpha.test", "envelope": None, "hosts": None, "dkim": [KEY], "mta_sts": False, "tls_rpt": False}
PARAMS = {
    "addresses": ADDRESSES, "domains": [DOMAIN], "timeout": 0.5, "deadline": 20.0, "max_questions": 2000, "policy_port": 443,
    "policy_timeout": 2.0, "ca_file": None, "resolvers": ["127.0.0.1"], "signers": {},
}  # fmt: skip


def look(records, **fields):
    with zone_server(records) as server:
        return mail_auth_info.look({**PARAMS, "port": server.port, **fields})


def states(result, subject=None):
    return {row["rule"]: row["state"] for row in result["checklist"] if row["subject"] in ((subject,) if subject else (A, "alpha.test"))}


SEEN = {
    "reverse_name", "reverse_own", "helo", "helo_spf", "spf_or_dkim", "spf", "dkim", "dkim_2048", "dmarc", "alignment", "author_receives",
}  # fmt: skip


def test_a_sound_fleet_holds_in_everything_that_can_be_seen():
    result = look(SOUND)
    assert states(result) == dict.fromkeys(SEEN, "holds")
    assert {row["rule"]: row["state"] for row in result["checklist"] if row["subject"] == "fleet"} == dict.fromkeys(
        ("tls", "complaints", "unsubscribe", "form"), "unknown"
    )
    assert result["findings"] == []
    assert [row["result"] for row in result["domains"][0]["spf"]] == ["pass", "pass"]
    assert result["summary"]["does_not"] == 0


def test_every_row_has_its_words():
    for row in look({})["checklist"]:
        assert row["text"]
        assert row["source"]
        assert row["state"] == "holds" or (row["why"] and row["repair"]), row


# What is broken: the change to the sound fleet, and the rows that do not hold.
BROKEN = {
    "no reverse name": ({("11.100.51.198.in-addr.arpa", "PTR"): []}, {"reverse_name", "reverse_own"}),
    "a reverse name that leads elsewhere": ({("11.100.51.198.in-addr.arpa", "PTR"): ["mx9.example.test"],
                                             ("mx9.example.test", "A"): ["198.51.100.99"]}, {"reverse_name"}),
    "a provider's reverse name": ({("11.100.51.198.in-addr.arpa", "PTR"): ["198-51-100-11.isp.test"],
                                   ("198-51-100-11.isp.test", "A"): [A]}, {"reverse_own"}),
    "HELO without an address": ({("mx1.example.test", "A"): ["198.51.100.12"]}, {"reverse_name", "helo", "helo_spf"}),
    "no SPF of HELO": ({("mx1.example.test", "TXT"): []}, {"helo_spf"}),
    "SPF without the address": ({("alpha.test", "TXT"): ["v=spf1 -all"]}, {"spf"}),
    "no SPF": ({("alpha.test", "TXT"): ["hello"]}, {"spf"}),
    "two SPF": ({("alpha.test", "TXT"): ["v=spf1 mx -all", f"v=spf1 ip4:{A} -all"]}, {"spf"}),
    "no key": ({("s1._domainkey.alpha.test", "TXT"): []}, {"dkim"}),
    "two keys": ({("s1._domainkey.alpha.test", "TXT"): [GOOD, "v=DKIM1; p="]}, {"dkim"}),
    "a weak key": ({("s1._domainkey.alpha.test", "TXT"): [f"v=DKIM1; p={P1024}"]}, {"dkim_2048"}),
    "no DMARC": ({("_dmarc.alpha.test", "TXT"): []}, {"dmarc"}),
    "DMARC that is none": ({("_dmarc.alpha.test", "TXT"): ["v=DMARC1; p=block"]}, {"dmarc"}),
    "no mail taken": ({("alpha.test", "MX"): ["0 ."]}, {"author_receives"}),
    "neither": ({("alpha.test", "TXT"): ["v=spf1 -all"], ("s1._domainkey.alpha.test", "TXT"): []},
                {"spf", "dkim", "spf_or_dkim", "alignment"}),
}  # fmt: skip


@pytest.mark.parametrize("fault", list(BROKEN))
def test_what_is_broken_does_not_hold(fault):
    change, rows = BROKEN[fault]
    records = {key: values for key, values in {**SOUND, **change}.items() if values != []}
    result = look(records)
    assert {rule for rule, state in states(result).items() if state == "does_not"} == rows
    for row in result["checklist"]:
        if row["rule"] in rows and row["state"] == "does_not":
            assert row["repair"]


# Whose answer fails, and the rows that are unknown then; no row of the sound fleet may be broken by it.
SILENT = {
    ("11.100.51.198.in-addr.arpa", "PTR"): {"reverse_name", "reverse_own"},
    ("mx1.example.test", "A"): {"reverse_name", "reverse_own", "helo", "helo_spf"},
    ("mx1.example.test", "TXT"): {"helo_spf"},
    ("alpha.test", "TXT"): {"spf"},
    ("alpha.test", "MX"): {"author_receives"},
    ("s1._domainkey.alpha.test", "TXT"): {"dkim", "dkim_2048"},
    ("_dmarc.alpha.test", "TXT"): {"dmarc"},
    ("_mta-sts.alpha.test", "TXT"): set(),
    ("_smtp._tls.alpha.test", "TXT"): set(),
}


@pytest.mark.parametrize("question", list(SILENT))
def test_what_did_not_answer_is_unknown(question):
    result = look({**SOUND, question: None})
    found = states(result)
    assert {rule for rule, state in found.items() if state == "does_not"} == set()
    assert {rule for rule, state in found.items() if state == "unknown"} == SILENT[question]


def test_without_any_answer_nothing_holds():
    with Server(lambda *_: []) as silent:
        result = mail_auth_info.look({**PARAMS, "timeout": 0.1, "deadline": 5.0, "port": silent.port})
    assert {row["state"] for row in result["checklist"]} == {"unknown"}
    assert result["resolvers_rejected"][0]["resolver"] == "127.0.0.1"


def test_a_resolver_that_answers_for_what_cannot_exist_is_not_believed():
    def lie(question, over):
        reply = dns.message.make_response(question)
        reply.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", "A", "203.0.113.99"))
        return [reply.to_wire()]

    with Server(lie) as server:
        result = mail_auth_info.look({**PARAMS, "port": server.port})
    assert {row["state"] for row in result["checklist"]} == {"unknown"}
    assert "rewrites answers" in result["resolvers_rejected"][0]["why"]


def test_the_next_resolver_is_asked_what_one_did_not_answer():
    with zone_server({**SOUND, ("alpha.test", "TXT"): None}) as first:
        table = asking.Dns(["127.0.0.1"], first.port, 0.3)
        second = asking.Dns(["127.0.0.1"], 9, 0.3)
        second.engines += table.engines
        second.ask([("mx1.example.test", "A"), ("alpha.test", "TXT")])
        assert second.table[("mx1.example.test", "A")].values == (A,)
        assert second.table[("alpha.test", "TXT")].rcode == "SERVFAIL"
        assert not second.table[("alpha.test", "TXT")].known


def test_alignment_by_spf_or_by_dkim():
    away = {("bounce.test", "TXT"): [f"v=spf1 ip4:{A} ip6:{SIX} -all"], ("s1._domainkey.esp.test", "TXT"): [GOOD]}
    esp = {**KEY, "domain": "esp.test"}
    cases = [
        ({**DOMAIN, "envelope": ["bounce.test"]}, "holds"),
        ({**DOMAIN, "dkim": [esp]}, "holds"),
        ({**DOMAIN, "envelope": ["bounce.test"], "dkim": [esp]}, "does_not"),
        ({**DOMAIN, "envelope": ["bounce.test"], "dkim": []}, "unknown"),
    ]
    for domain, state in cases:
        assert states(look({**SOUND, **away}, domains=[domain]), "alpha.test")["alignment"] == state, domain


def test_one_address_that_fails_is_enough_where_spf_alone_is_aligned():
    records = {**SOUND, ("alpha.test", "TXT"): [f"v=spf1 ip4:{A} -all"], ("s1._domainkey.esp.test", "TXT"): [GOOD]}
    result = look(records, domains=[{**DOMAIN, "dkim": [{**KEY, "domain": "esp.test"}]}])
    assert states(result, "alpha.test")["alignment"] == "does_not"


def test_what_only_one_of_the_two_rules_aligns_is_not_aligned():
    # Nobody has a DMARC record at alpha.test itself, so that the tree walk ends at each of the names below.
    records = {
        **{key: values for key, values in SOUND.items() if key[0] != "_dmarc.alpha.test"},
        ("_dmarc.a.alpha.test", "TXT"): ["v=DMARC1; p=reject; rua=mailto:d@alpha.test"],
        ("b.alpha.test", "TXT"): [f"v=spf1 ip4:{A} ip6:{SIX} -all"],
        ("s1._domainkey.b.alpha.test", "TXT"): [GOOD],
    }
    domain = {**DOMAIN, "domain": "a.alpha.test", "envelope": ["b.alpha.test"], "dkim": [{**KEY, "domain": "b.alpha.test"}]}
    result = look(records, domains=[domain])
    assert states(result, "a.alpha.test")["alignment"] == "does_not"
    assert "dmarc_organizational" in {row["check"] for row in result["findings"]}


def test_alignment_is_unknown_where_the_walk_is_not_complete():
    records = {
        **SOUND,
        ("_dmarc.bounce.alpha.test", "TXT"): None,
        ("bounce.alpha.test", "TXT"): [f"v=spf1 ip4:{A} ip6:{SIX} -all"],
        ("s1._domainkey.esp.test", "TXT"): [GOOD],
    }
    result = look(records, domains=[{**DOMAIN, "envelope": ["bounce.alpha.test"], "dkim": [{**KEY, "domain": "esp.test"}]}])
    assert states(result, "alpha.test")["alignment"] == "unknown"
    assert {row["aligned"] for row in result["domains"][0]["spf"]} == {None}


def test_a_record_further_up_counts_only_where_the_domain_surely_has_none():
    below = {("a.alpha.test", "TXT"): [f"v=spf1 ip4:{A} ip6:{SIX} -all"], ("s1._domainkey.a.alpha.test", "TXT"): [GOOD]}
    domain = {**DOMAIN, "domain": "a.alpha.test"}
    assert states(look({**SOUND, **below}, domains=[domain]), "a.alpha.test")["dmarc"] == "holds"
    silent = {**SOUND, **below, ("_dmarc.a.alpha.test", "TXT"): None}
    assert states(look(silent, domains=[domain]), "a.alpha.test")["dmarc"] == "unknown"


def test_a_key_that_the_hosts_do_not_hold():
    result = look(SOUND, domains=[{**DOMAIN, "dkim": [{**KEY, "record": f"v=DKIM1; p={P1024}"}]}])
    assert "dkim_mismatch" in {row["check"] for row in result["findings"]}


def test_a_key_behind_a_cname():
    records = {**SOUND, ("s1._domainkey.alpha.test", "CNAME"): ["k.keys.test"], ("k.keys.test", "TXT"): [GOOD]}
    records.pop(("s1._domainkey.alpha.test", "TXT"))
    (row,) = look(records)["domains"][0]["dkim"]
    assert (row["state"], row["cname"]) == ("holds", "k.keys.test")


def test_a_wildcard_is_found():
    def wild(question, over):
        reply = dns.message.make_response(question)
        name = question.question[0].name.to_text()
        if name.endswith("._domainkey.alpha.test."):
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", '"v=spf1 -all"'))
        else:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return [reply.to_wire()]

    with Server(wild) as server:
        result = mail_auth_info.look({**PARAMS, "port": server.port})
    assert "dkim_wildcard" in {row["check"] for row in result["findings"]}


def test_a_batch_asks_nothing_twice():
    domains = [{**DOMAIN, "domain": f"d{at}.test"} for at in range(50)]
    records = dict(SOUND)
    for at in range(50):
        records[(f"d{at}.test", "TXT")] = ["v=spf1 include:alpha.test -all"]
        records[(f"s1._domainkey.d{at}.test", "TXT")] = [GOOD]
    with zone_server(records) as server:
        result = mail_auth_info.look({**PARAMS, "domains": domains, "port": server.port, "timeout": 5.0})
        asked = [(each.name, each.kind) for each in server.asked if each.over == "udp"]
    assert all(row["result"] == "pass" for domain in result["domains"] for row in domain["spf"])
    # One that was slow is asked again; the resolver itself is tried with one more.
    assert result["stats"]["questions"] - result["stats"]["retries"] + 1 == len(set(asked))


def test_a_hostile_message_is_no_answer():
    asked = b"\5alpha\4test\0\0\x10\0\1"
    for data in (b"", b"\0" * 12, b"\0\0\x80\0\0\1\xff\xff\0\0\0\0" + asked, b"\0\0\x80\0\0\1\0\1\0\0\0\0" + asked + b"\xc0\x0c\0\x10\0\1"):
        with pytest.raises(asking.WireError):
            asking.read(data, asked)


def test_several_texts_stay_several():
    with zone_server({("alpha.test", "TXT"): ["x" * 300, "y", "y2"]}) as server:
        source = asking.Dns(["127.0.0.1"], server.port, 0.5)
        source.ask([("alpha.test", "TXT")])
    assert source.table[("alpha.test", "TXT")].values == ("x" * 300, "y", "y2")


def test_a_function_that_never_has_enough_is_given_up():
    with zone_server({}) as server:
        source = asking.Dns(["127.0.0.1"], server.port, 0.5)

        def greedy():
            raise Unanswered([(f"n{len(source.table)}.test", "A")])

        assert asking.work(source, [greedy]) == [None]


def test_too_many_questions_are_unknown_and_not_asked():
    with zone_server(SOUND) as server:
        source = asking.Dns(["127.0.0.1"], server.port, 0.5, max_questions=2)
        source.ask([(f"n{at}.test", "A") for at in range(5)])
    assert [reply.known for reply in source.table.values()].count(True) == 2
    assert len(server.asked) == 2


def test_what_is_no_address_is_refused():
    with pytest.raises(SubjectError, match="no IP address and no block"):
        look({}, addresses=[{"address": "mx1.example.test", "host": "", "helo": None}])


# MTA-STS over HTTPS

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.test\r\nmax_age: 604800\r\n"
STS = {**SOUND, ("_mta-sts.alpha.test", "TXT"): ["v=STSv1; id=1;"], ("mta-sts.alpha.test", "A"): ["127.0.0.1"]}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Return a folder with ca.pem, and a certificate and key of mta-sts.alpha.test."""
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.datetime.now(datetime.timezone.utc)

    def make(name, issuer=None, signer=None, ca=False):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1)).add_extension(x509.BasicConstraints(ca, None), True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )  # fmt: skip
        if ca:
            usage = dict.fromkeys(
                ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
            )
            builder = builder.add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage), True)
        else:
            builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
        return builder.sign(signer or key, hashes.SHA256()), key

    root, root_key = make("authority.test", ca=True)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    for name in ("mta-sts.alpha.test", "other.test"):
        certificate, key = make(name, root.subject, root_key)
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    return folder


class Web(threading.Thread):
    """An HTTPS server that says one thing: pieces to send, with a rest between two."""

    def __init__(self, certificate: Path, pieces: list[bytes], rest: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.pieces, self.rest, self.requests = pieces, rest, []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.socket.close()

    def run(self):
        while True:
            try:
                plain, _ = self.socket.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(plain, server_side=True) as connection:
                    self.requests.append(connection.recv(4096))
                    for piece in self.pieces:
                        connection.sendall(piece)
                        time.sleep(self.rest)
                    connection.unwrap()  # TLS's own end: all that was to be sent is there
            except OSError:
                plain.close()


def http(body: str, status: str = "200 OK", kind: str = "text/plain") -> list[bytes]:
    return [f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()]


def sts_state(authority, pieces, certificate="mta-sts.alpha.test", rest=0.0, records=STS, **fields):
    with Web(authority / f"{certificate}.pem", pieces, rest) as web:
        result = look(records, policy_port=web.port, ca_file=str(authority / "ca.pem"), **fields)
    return result["domains"][0]["mta_sts"], {row["check"] for row in result["findings"]}


def test_a_policy_is_fetched_and_judged(authority):
    seen, found = sts_state(authority, http(POLICY))
    assert (seen["state"], seen["mode"], seen["hosts"], found) == ("holds", "enforce", ["mx1.example.test"], set())


@pytest.mark.parametrize(
    ("pieces", "certificate", "state", "check"),
    [
        (http(POLICY), "other.test", "does_not", "sts_policy_fetch"),
        (http("", "301 Moved\r\nLocation: https://alpha.test/"), "mta-sts.alpha.test", "does_not", "sts_policy_fetch"),
        (http("", "404 Not Found"), "mta-sts.alpha.test", "does_not", "sts_policy_fetch"),
        (http("", "503 Busy"), "mta-sts.alpha.test", "unknown", None),
        (http("x" * 70000), "mta-sts.alpha.test", "does_not", "sts_policy_fetch"),
        (http(POLICY.replace("mx1.example", "mx2.example")), "mta-sts.alpha.test", "does_not", "sts_policy_misses"),
        (http(POLICY, kind="text/html"), "mta-sts.alpha.test", "holds", "sts_policy_type"),
        ([b"hello\r\n"], "mta-sts.alpha.test", "unknown", None),
        ([], "mta-sts.alpha.test", "unknown", None),
    ],
)
def test_policies_that_senders_would_not_take(authority, pieces, certificate, state, check):
    seen, found = sts_state(authority, pieces, certificate)
    assert seen["state"] == state, seen
    assert check is None or check in found


def test_a_server_that_drips_is_cut_off_in_time(authority):
    slow = [b"HTTP/1.1 200 OK\r\n", *[b"X-A: b\r\n"] * 50]
    start = time.monotonic()
    seen, _ = sts_state(authority, slow, rest=0.2, policy_timeout=1.0)
    assert seen["state"] == "unknown"
    assert time.monotonic() - start < 4


def test_a_policy_cut_off_in_its_middle_is_unknown(authority):
    seen, _ = sts_state(authority, [http(POLICY)[0][:-10]])
    assert seen["state"] == "unknown"


def test_a_policy_host_without_an_address(authority):
    records = {key: values for key, values in STS.items() if key[0] != "mta-sts.alpha.test"}
    seen, found = sts_state(authority, http(POLICY), records=records)
    assert (seen["state"], found) == ("does_not", {"sts_policy_fetch"})
    seen, _ = sts_state(authority, http(POLICY), records={**records, ("mta-sts.alpha.test", "A"): None})
    assert seen["state"] == "unknown"


def test_the_certificate_of_an_unknown_authority_is_refused(authority):
    with Web(authority / "mta-sts.alpha.test.pem", http(POLICY)) as web:
        found = fetch.fetch("alpha.test", ["127.0.0.1"], web.port, 2.0)
    assert found.state == "wrong"
    assert "certificate" in found.why
    assert not web.requests, "nothing is asked of a server that is not the one"


def test_each_address_of_a_block_is_looked_at():
    addresses = [{"address": "198.51.100.10/31", "host": "mx1.example.test", "helo": "mx1.example.test"}]
    result = look(SOUND, addresses=addresses)
    assert [row["address"] for row in result["addresses"]] == ["198.51.100.10", A]
    assert states(result, "198.51.100.10")["reverse_name"] == "does_not" and states(result, A)["reverse_name"] == "holds"
    with pytest.raises(SubjectError, match="no IP address and no block"):
        look(SOUND, addresses=[{**addresses[0], "address": "198.51.100.1/24"}])


def test_the_selectors_that_signers_use_are_looked_up_with_the_hosts_own_key():
    signature = {"domain": "alpha.test", "selector": "S1", "algorithm": "rsa-sha256", "fault": ""}
    proof = {"probes": [{"domain": "alpha.test", "signatures": [signature], "faults": []}],
             "keys": [{"domain": "alpha.test", "selector": "s1", "record": GOOD}]}  # fmt: skip
    seen = {"domains": [{**DOMAIN, "dkim": []}], "signers": {"mx1.example.test": proof}}
    assert states(look(SOUND, **seen), "alpha.test")["dkim"] == "holds"
    other = f"v=DKIM1; p={P1024}"
    result = look({**SOUND, ("s1._domainkey.alpha.test", "TXT"): [other]}, **seen)
    assert "dkim_mismatch" in {row["check"] for row in result["findings"]}
    strange = {**proof, "probes": [{**proof["probes"][0], "signatures": [{**signature, "domain": "a b;"}]}]}
    result = look(SOUND, domains=seen["domains"], signers={"mx1": strange})
    assert states(result, "alpha.test")["dkim"] == "does_not"
    # A host that does not send for the domain is not asked for it.
    result = look(SOUND, domains=[{**DOMAIN, "hosts": ["mx1.example.test"], "dkim": []}], signers={**seen["signers"], "mx9": {}})
    assert states(result, "alpha.test")["dkim"] == "holds"

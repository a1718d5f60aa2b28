# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The DNS of the tests: a table of records, as answers for pure functions and as a server on loopback."""

from __future__ import annotations

import base64
import sys
import typing as t
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from goodstanding_src.module_utils.goodstanding.mailauth.answers import Reply, Unanswered

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/servers"))
from dns_server import Reply as Sent  # noqa: E402  a folder of tests, no package
from dns_server import Server  # noqa: E402

Records = dict[tuple[str, str], list[str]]
PRIVATE = {bits: rsa.generate_private_key(65537, bits) for bits in (1024, 2048)}
KEYS = {bits: key.public_key() for bits, key in PRIVATE.items()}


def base64_of(key: t.Any, pkcs1: bool = False) -> str:
    form = PublicFormat.PKCS1 if pkcs1 else PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_bytes(Encoding.DER, form)).decode()


P2048, P1024, PKCS1 = base64_of(KEYS[2048]), base64_of(KEYS[1024]), base64_of(KEYS[2048], pkcs1=True)
_CURVE = ed25519.Ed25519PrivateKey.generate().public_key()
ED25519, ED25519_INFO = base64.b64encode(_CURVE.public_bytes_raw()).decode(), base64_of(_CURVE)
GOOD = f"v=DKIM1; k=rsa; p={P2048}"


class World(dict):
    """Answers as a table: what is not in it does not exist, what is None was not answered."""

    def __init__(self, records: t.Mapping[tuple[str, str], t.Sequence[str] | None]) -> None:
        super().__init__()
        self.records = records

    def get(self, key: tuple[str, str], default: t.Any = None) -> Reply:  # type: ignore[override]
        return self[key]

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: tuple[str, str]) -> Reply:
        if key in self.records:
            values = self.records[key]
            return Reply("SERVFAIL", why="127.0.0.1 answered SERVFAIL") if values is None else Reply("NOERROR", tuple(sorted(values)))
        exists = any(name == key[0] or name.endswith(f".{key[0]}") for name, _ in self.records)
        return Reply("NOERROR" if exists else "NXDOMAIN")


def answered(records: t.Mapping[tuple[str, str], t.Sequence[str] | None], task: t.Callable[[t.Any], t.Any]) -> tuple[t.Any, list]:
    """Run a pure function that must ask for each answer it uses; return its result and the rounds of questions."""
    world, table, rounds = World(records), {}, []
    for _ in range(100):
        try:
            return task(table), rounds
        except Unanswered as exc:
            assert not set(exc.questions) & set(table), "it asked again for what it has"
            rounds.append(exc.questions)
            table.update({question: world[question] for question in exc.questions})
    raise AssertionError("it never ends")


def zone_server(records: t.Mapping[tuple[str, str], t.Sequence[str] | None], authoritative: bool = False, **special: t.Any) -> Server:
    """Return a server of these records; a CNAME is followed. special: see Server."""

    def answer(question: dns.message.Message, over: str) -> Sent:
        rrset = question.question[0]
        name, kind = rrset.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(rrset.rdtype)
        reply = dns.message.make_response(question, recursion_available=True)
        if authoritative:
            reply.flags |= dns.flags.AA
        if (name, kind) in records and records[(name, kind)] is None:
            reply.set_rcode(dns.rcode.SERVFAIL)
            return [reply.to_wire()]
        target = records.get((name, "CNAME"))
        if target:
            reply.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", f"{target[0]}."))
            name = target[0]
        values = records.get((name, kind))
        if values:
            reply.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *[_text(kind, value) for value in values]))
        elif not any(owner == name or owner.endswith(f".{name}") for owner, _ in records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if over == "udp" and len(reply.to_wire(max_size=65535)) > 1232:
            cut = dns.message.make_response(question)
            cut.flags |= dns.flags.TC
            return [cut.to_wire()]
        return [reply.to_wire(max_size=65535)]

    return Server(answer, workers=8, **special)


def _text(kind: str, value: str) -> str:
    if kind == "TXT":
        data = value.encode()
        return " ".join('"' + "".join(f"\\{byte:03}" for byte in data[at : at + 200]) + '"' for at in range(0, len(data), 200)) or '""'
    return value.rstrip(".") + "." if kind in ("MX", "PTR", "CNAME") else value

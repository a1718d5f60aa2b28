# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault of a published record that a strict verifier refuses, and the sound records beside them."""

from __future__ import annotations

import base64
import ipaddress
import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.mailauth import dkim, dmarc, lint, spf, sts
from goodstanding_src.module_utils.goodstanding.mailauth.finding import ERROR, parse_tags
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from world import ED25519, ED25519_INFO, GOOD, KEYS, P1024, P2048, PKCS1, World, answered, base64_of

NAME = "s1._domainkey.alpha.test"

P512 = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAJv8ZpB5hEK7qxP9K3v43hUS5fGT4waKe7ix4Z4mu5UBv+cw7WSFAt0Vaag0sAbsPzU8HhsrjqABB02VIe5FkbECAwEAAQ=="


def checks(findings, severity=None):
    return {finding.check for finding in findings if severity in (None, finding.severity)}


# What is there, how the domain signs, whether OpenDKIM 2.11 refuses a message or the key by it, and what the linter must say.
# tests/integration/test_mail_auth.py publishes it in the lab and asks opendkim-testkey there.
MATRIX = {
    "two TXT records": ([GOOD, "v=DKIM1; p="], {}, True, "dkim_several"),
    "two keys": ([GOOD, f"v=DKIM1; k=rsa; p={P1024}"], {}, True, "dkim_several"),
    "PKCS#1": ([f"v=DKIM1; k=rsa; p={PKCS1}"], {}, True, "dkim_pkcs1"),
    "t=y": ([f"v=DKIM1; t=y; p={P2048}"], {}, False, "dkim_testing"),
    "t=s and i= below": ([f"v=DKIM1; t=s; p={P2048}"], {"signs_subdomains": True}, True, "dkim_strict"),
    "h=sha1 only": ([f"v=DKIM1; h=sha1; p={P2048}"], {}, True, "dkim_hash"),
    "s=other": ([f"v=DKIM1; s=other; p={P2048}"], {}, True, "dkim_service"),
    "no v=": ([f"k=rsa; p={P2048}"], {}, False, "dkim_no_version"),
    "v= last": ([f"k=rsa; p={P2048}; v=DKIM1"], {}, False, "dkim_version"),
    "1024 bits": ([f"v=DKIM1; p={P1024}"], {}, False, "dkim_bits"),
    "literal backslash": ([f"v=DKIM1\\; k=rsa\\; p={P2048}"], {}, True, "dkim_backslash"),
    "quotes inside": ([f'v=DKIM1; k=rsa; p={P2048[:200]}" "{P2048[200:]}'], {}, False, "dkim_quotes"),
    "quotes around and inside": ([f'"v=DKIM1; k=rsa; p={P2048[:200]}" "{P2048[200:]}"'], {}, True, "dkim_quotes"),
    "only v=DKIM1": (["v=DKIM1"], {}, True, "dkim_no_key"),
    "nothing": ([], {}, True, "dkim_missing"),
    "revoked": (["v=DKIM1; p="], {}, True, "dkim_revoked"),
    "p= cut off": ([f"v=DKIM1; k=rsa; p={P2048[:250]}"], {}, True, "dkim_truncated"),
    "p= cut off at four": ([f"v=DKIM1; k=rsa; p={P2048[:248]}"], {}, True, "dkim_truncated"),
    "p= twice": ([f"{GOOD}; p={P1024}"], {}, True, "dkim_duplicate"),
    "no base64": (["v=DKIM1; p=!!!!"], {}, True, "dkim_base64"),
    "unknown k=": ([f"v=DKIM1; k=dsa; p={P2048}"], {}, True, "dkim_kind"),
    "Ed25519 as SubjectPublicKeyInfo": ([f"v=DKIM1; k=ed25519; p={ED25519_INFO}"], {}, True, "dkim_ed25519_form"),
    "Ed25519 cut off": ([f"v=DKIM1; k=ed25519; p={ED25519[:40]}"], {}, True, "dkim_truncated"),
    "Ed25519 under k=rsa": ([f"v=DKIM1; p={ED25519}"], {}, True, "dkim_truncated"),
    "512 bits": ([f"v=DKIM1; p={P512}"], {}, True, "dkim_bits"),
    "another version": ([f"v=DKIM2; p={P2048}"], {}, True, "dkim_version"),
    "another version in lower case": ([f"v=dkim1; p={P2048}"], {}, True, "dkim_version"),
    "two ; together": ([f"v=DKIM1;; p={P2048}"], {}, True, "dkim_syntax"),
    "a word at the end": ([f"v=DKIM1; p={P2048}; junk"], {}, True, "dkim_syntax"),
    "a tag of two words": ([f"v=DKIM1; a b=1; p={P2048}"], {}, True, "dkim_syntax"),
    "in single quotes": ([f"'v=DKIM1; p={P2048}'"], {}, True, "dkim_syntax"),
    "in brackets": ([f"( v=DKIM1; p={P2048} )"], {}, True, "dkim_syntax"),
    "h=md5": ([f"v=DKIM1; h=md5; p={P2048}"], {}, True, "dkim_hash"),
    "h= empty": ([f"v=DKIM1; h=; p={P2048}"], {}, True, "dkim_hash"),
    "s= empty": ([f"v=DKIM1; s=; p={P2048}"], {}, True, "dkim_service"),
    "k= empty": ([f"v=DKIM1; k=; p={P2048}"], {}, True, "dkim_kind"),
    "k= with two": ([f"v=DKIM1; k=rsa:ed25519; p={P2048}"], {}, True, "dkim_kind"),
    "the last octets are others": ([f"v=DKIM1; p={P2048[:-4]}AAAA"], {}, True, "dkim_key_damaged"),
    "no tags": (["google-site-verification=abc; hello"], {}, True, "dkim_syntax"),
    "no ASCII": ([f"v=DKIM1; n=caf\u00e9; p={P2048}"], {}, True, "dkim_characters"),
    "another key than the hosts have": ([f"v=DKIM1; p={P1024}"], {"expected": GOOD}, True, "dkim_mismatch"),
}  # fmt: skip
#: Faults that OpenDKIM passes and that must not stay all the same; the rest of them is a warning.
STRICTER = {"dkim_testing", "dkim_version", "dkim_quotes"}


@pytest.mark.parametrize("fault", list(MATRIX))
def test_the_matrix_of_faulty_records(fault):
    texts, options, refused, check = MATRIX[fault]
    findings = dkim.lint(NAME, texts, **options)
    assert check in checks(findings)
    assert all(finding.repair and finding.what and finding.source for finding in findings)
    assert (ERROR in {finding.severity for finding in findings}) == (refused or check in STRICTER)


SOUND = {
    "as it is made": GOOD,
    "h= and t=s": f"v=DKIM1; h=sha256; k=rsa; t=s; p={P2048}",
    "no blanks": f"v=DKIM1;k=rsa;p={P2048};",
    "a blank inside p=": f"v=DKIM1; k=rsa; p={P2048[:100]} {P2048[100:]}",
    "blanks everywhere": f"v = DKIM1 ; s=* ; p = {P2048}",
    "two services": f"v=DKIM1; s=email:tlsrpt; p={P2048}",
}


@pytest.mark.parametrize("text", [*SOUND.values(), f"v=DKIM1; k=ed25519; p={ED25519}"])
def test_a_sound_key_has_no_finding(text):
    assert dkim.lint(NAME, [text]) == []


def test_the_bits_are_those_of_the_library():
    for bits, key in KEYS.items():
        assert dkim.read_key(f"v=DKIM1; p={base64_of(key)}").bits == key.key_size == bits
        assert dkim.read_key(f"v=DKIM1; p={base64_of(key, pkcs1=True)}").fault[0] == "dkim_pkcs1"


def test_octets_behind_a_key_are_a_fault():
    data = base64.b64decode(P2048)
    # The lengths of all that holds the key are raised by one, so that only the innermost has too much.
    inner = bytearray(data + b"\0")
    for at in (2, 21):
        inner[at : at + 2] = (int.from_bytes(inner[at : at + 2], "big") + 1).to_bytes(2, "big")
    for damaged in (data + b"\0", bytes(inner)):
        assert dkim.read_key(f"v=DKIM1; p={base64.b64encode(damaged).decode()}").fault[0] == "dkim_truncated"


def test_a_gravestone_is_no_error_where_nothing_signs_with_it():
    assert not checks(dkim.lint(NAME, ["v=DKIM1; p="], in_use=False), ERROR)


def test_a_wildcard_that_answers_for_selectors():
    assert checks(dkim.lint_wildcard(NAME, ["v=spf1 -all"])) == {"dkim_wildcard"}
    assert dkim.lint_wildcard(NAME, []) == []


def test_records_are_compared_by_meaning():
    assert dkim.same(GOOD, f"v=DKIM1;k=rsa;  p={P2048[:50]} {P2048[50:]} ;")
    assert not dkim.same(GOOD, f"v=DKIM1; k=rsa; p={P1024}")
    assert not dkim.same(GOOD, f"k=rsa; p={P2048}; v=DKIM1")


# Text of the only record, and the check; None where it is sound.
SPF = {
    "v=spf1 ip4:198.51.100.11 -all": None,
    "v=spf1 ip4:198.51.100.0/24 ip6:2001:db8::/32 include:_spf.alpha.test a mx/24//64 exists:%{i}._e.%{d2} ~all": None,
    "V=SPF1 A:mx1.alpha.test -ALL": None,
    "v=spf1 redirect=_spf.alpha.test": None,
    "v=spf1 a:%{d}/24 exp=why.alpha.test unknown=%{s} -all": None,
    "v=spf1": "spf_open_end",
    "v=spf1 mx": "spf_open_end",
    "v=spf1 mx +all": "spf_everybody",
    "v=spf1 mx all": "spf_everybody",
    "v=spf1 ip4:0.0.0.0/0 -all": "spf_everybody",
    "v=spf1 ip4:0.0.0.0/1 -all": "spf_everybody",
    "v=spf1 ip6:::/0 -all": "spf_everybody",
    "v=spf1 mx ?all": "spf_neutral",
    "v=spf1 ptr -all": "spf_ptr",
    "v=spf1 ptr:alpha.test -all": "spf_ptr",
    "v=spf1 -all ip4:198.51.100.11": "spf_after_all",
    "v=spf1 redirect=x.alpha.test -all": "spf_redirect_unused",
    "v=spf1 ip4:10.0.0.1 -all": "spf_private",
    "v=spf1 ip4:198.51.100.11/24 -all": "spf_host_bits",
    "v=spf1 a a -all": "spf_twice",
    "v=spf1 ip4:198.51.100 -all": "spf_syntax",
    "v=spf1 ip4:198.51.100.11/33 -all": "spf_syntax",
    "v=spf1 ip4:198.51.100.11//24 -all": "spf_syntax",
    "v=spf1 ip4 -all": "spf_syntax",
    "v=spf1 ip6:198.51.100.11 -all": "spf_syntax",
    "v=spf1 ipv4:198.51.100.11 -all": "spf_syntax",
    "v=spf1 198.51.100.11 -all": "spf_syntax",
    "v=spf1 a:198.51.100.11 -all": "spf_syntax",
    "v=spf1 include -all": "spf_syntax",
    "v=spf1 include: -all": "spf_syntax",
    "v=spf1 include:localhost -all": "spf_syntax",
    "v=spf1 include:a..alpha.test -all": "spf_syntax",
    "v=spf1 include:alpha.test/24 -all": "spf_syntax",
    "v=spf1 exists -all": "spf_syntax",
    "v=spf1 a/33 -all": "spf_syntax",
    "v=spf1 a//129 -all": "spf_syntax",
    "v=spf1 a/024 -all": "spf_syntax",
    "v=spf1 ip4:198.51.100.0/024 -all": "spf_syntax",
    "v=spf1 -all exp=%{r}.alpha.test": "spf_syntax",
    "v=spf1 mx:alpha.test, -all": "spf_syntax",
    "v=spf1 all:x -all": "spf_syntax",
    "v=spf1 =all": "spf_syntax",
    "v=spf1 a:%x.alpha.test -all": "spf_syntax",
    "v=spf1 a:%{z}.alpha.test -all": "spf_syntax",
    "v=spf1 redirect=a.test redirect=b.test": "spf_syntax",
    "v=spf1 redirect= ": "spf_syntax",
    "v=spf1 a\tmx -all": "spf_syntax",
    "v=spf1mx -all": "spf_lookalike",
    "v=spf10 -all": "spf_lookalike",
    "spf1 mx -all": "spf_lookalike",
    '"v=spf1 mx -all"': "spf_lookalike",
    " v=spf1 mx -all": "spf_lookalike",
    "'v = spf1 mx": "spf_lookalike",
    # Sender ID (RFC 4406), and a token of somebody else's.
    "spf2.0/pra include:x.test -all": None,
    "spf2.0/mfrom,pra -all": None,
    "spf-verification=1": None,
    "spf": None,
}


@pytest.mark.parametrize("text", list(SPF))
def test_spf_records(text):
    found = checks(spf.lint("alpha.test", [text], required=False))
    assert (SPF[text] in found) if SPF[text] else found == set(), found


# A tab is no blank: pyspf reads what is around it as one word.
@pytest.mark.parametrize("text", [text for text, check in SPF.items() if check == "spf_syntax" and "\t" not in text])
def test_what_the_linter_calls_broken_pyspf_calls_a_permanent_error(text):
    import spf as library

    query = library.query("198.51.100.99", "a@alpha.test", "alpha.test")
    query.dns = lambda *_, **__: []
    query.dns_spf = lambda domain: None
    assert query.check(spf=text)[0] == "permerror"


def test_a_name_that_is_too_long_is_refused_before_it_is_searched(monkeypatch):
    """The search for its last label takes the square of its length, and the record may be somebody else's."""

    class Never:
        def search(self, text):
            raise AssertionError(f"{len(text)} octets are searched")

    monkeypatch.setattr(spf, "_TOP", Never())
    for name in ("x." + "a" * 300 + "_", "x" + ".aaaaaaa" * 40):
        assert checks(spf.lint("alpha.test", [f"v=spf1 a:{name} -all"])) == {"spf_syntax"}


def test_spf_counts_records_and_octets():
    good = "v=spf1 -all"
    assert checks(spf.lint("alpha.test", [good, good.upper()])) == {"spf_several"}
    assert checks(spf.lint("alpha.test", ["hello"])) == {"spf_missing"}
    assert checks(spf.lint("alpha.test", [good, "x" * 428])) == set()
    assert checks(spf.lint("alpha.test", [good, "x" * 430])) == {"spf_octets"}


def included(count, end="-all"):
    records = {(f"i{at}.test", "TXT"): ["v=spf1 ip4:198.51.100.1 -all"] for at in range(count)}
    return "v=spf1 " + " ".join(f"include:i{at}.test" for at in range(count)) + f" {end}", records


def budget(text, records):
    return answered(records, lambda table: spf.count("alpha.test", text, table))


def test_ten_lookups_are_allowed_and_eleven_are_not():
    for count, over in ((10, False), (11, True)):
        text, records = included(count)
        found, rounds = budget(text, records)
        assert found.lookups == count
        assert len(rounds) == 1, "all that is needed is asked at once"
        assert ("spf_lookups" in checks(spf.over_budget("alpha.test", found))) == over


def test_lookups_are_counted_through_inclusions_and_redirects():
    records = {
        ("one.test", "TXT"): ["v=spf1 a:h.test mx:m.test ptr exists:%{i}.test redirect=two.test"],
        ("two.test", "TXT"): ["v=spf1 ip4:198.51.100.1 a:h.test -all redirect=three.test"],
        ("h.test", "A"): ["198.51.100.1"],
        ("m.test", "MX"): ["10 h.test"],
    }
    found, _ = budget("v=spf1 include:one.test ?all", records)
    assert (found.lookups, found.voids, found.findings) == (7, 0, ())


def test_lookups_that_find_nothing_are_counted():
    found, _ = budget("v=spf1 a:no.test mx:no.test exists:no.test -all", {})
    assert (found.lookups, found.voids) == (3, 3)
    assert checks(spf.over_budget("alpha.test", found)) == {"spf_void"}


def test_inclusions_that_lead_back_or_nowhere():
    records = {("one.test", "TXT"): ["v=spf1 include:two.test -all"], ("two.test", "TXT"): ["v=spf1 include:one.test -all"]}
    assert checks(budget("v=spf1 include:one.test -all", records)[0].findings) == {"spf_loop"}
    assert checks(budget("v=spf1 include:no.test -all", {})[0].findings) == {"spf_include"}
    twice = {("one.test", "TXT"): ["v=spf1 -all", "v=spf1 ~all"]}
    assert checks(budget("v=spf1 include:one.test -all", twice)[0].findings) == {"spf_include"}
    many = {("m.test", "MX"): [f"10 m{at}.test" for at in range(11)]}
    assert checks(budget("v=spf1 mx:m.test -all", many)[0].findings) == {"spf_mx"}


def test_an_inclusion_that_does_not_answer_is_unknown_and_no_void_lookup():
    found, _ = budget("v=spf1 include:one.test -all", {("one.test", "TXT"): None})
    assert (found.voids, found.findings) == (0, ())
    assert found.unknown == ("one.test TXT: 127.0.0.1 answered SERVFAIL",)


DMARC = {
    "v=DMARC1; p=reject; rua=mailto:d@alpha.test": None,
    "v=DMARC1; p=quarantine; sp=reject; np=reject; adkim=s; aspf=r; fo=1:d:s; rua=mailto:d@alpha.test,mailto:e@beta.test": None,
    "v=DMARC1;p=reject;rua=mailto:d@alpha.test;": None,
    "v=DMARC1; p=none; rua=mailto:d@alpha.test": "dmarc_none",
    "v=DMARC1; p=reject": "dmarc_no_reports",
    "v=DMARC1; rua=mailto:d@alpha.test": "dmarc_no_policy",
    "v=DMARC1; rua=mailto:d@alpha.test; p=reject": "dmarc_order",
    "v=DMARC1; p=block; rua=mailto:d@alpha.test": "dmarc_value",
    "v=DMARC1; p=reject; adkim=relaxed; rua=mailto:d@alpha.test": "dmarc_value",
    "v=DMARC1; p=reject; fo=2; rua=mailto:d@alpha.test": "dmarc_value",
    "v=DMARC1; p=reject; pct=20; rua=mailto:d@alpha.test": "dmarc_removed_tag",
    "v=DMARC1; p=reject; ri=86400; rua=mailto:d@alpha.test": "dmarc_removed_tag",
    "v=DMARC1; p=reject; rau=mailto:d@alpha.test": "dmarc_unknown_tag",
    "v=DMARC1; p=reject; rua=d@alpha.test": "dmarc_uri",
    "v=DMARC1; p=reject; rua=mailto:d@alpha.test mailto:e@alpha.test": "dmarc_uri",
    "v=DMARC1; p=reject; rua=https://alpha.test/": "dmarc_uri",
    "v=DMARC1; p=reject; rua=mailto:d@alpha.test!10m": "dmarc_size",
    "v=DMARC1; p=reject; t=y; rua=mailto:d@alpha.test": "dmarc_testing",
    "v=DMARC1; p=reject; psd=y; rua=mailto:d@alpha.test": "dmarc_psd",
    "v=DMARC1; p=reject; p=none; rua=mailto:d@alpha.test": "dmarc_duplicate",
    "v=DMARC1\\; p=reject\\; rua=mailto:d@alpha.test": "dmarc_lookalike",
    "v=dmarc1; p=reject": "dmarc_lookalike",
    "v=DMARC2; p=reject": "dmarc_lookalike",
    "v=DMARC1 p=reject": "dmarc_lookalike",
    "p=reject; v=DMARC1": "dmarc_missing",
    '"v=DMARC1; p=reject"': "dmarc_lookalike",
}


@pytest.mark.parametrize("text", list(DMARC))
def test_dmarc_records(text):
    found = checks(dmarc.lint("_dmarc.alpha.test", [text]))
    assert (DMARC[text] in found) if DMARC[text] else found == set(), found


def test_several_dmarc_records():
    assert "dmarc_several" in checks(dmarc.lint("_dmarc.alpha.test", ["v=DMARC1; p=none", "v=DMARC1; p=reject"]))
    assert checks(dmarc.lint("_dmarc.alpha.test", [])) == {"dmarc_missing"}


STS = {
    "v=STSv1; id=20261123T120000;": None,
    "v=STSv1; id=1": None,
    "v=STSv1;": "sts_id",
    "v=STSv1; id=2026-11-23;": "sts_id",
    f"v=STSv1; id={'1' * 33};": "sts_id",
    "v=STSv2; id=1;": "sts_lookalike",
    "v=stsv1; id=1;": "sts_lookalike",
    "v=STSv1; id=1; id=2;": "sts_duplicate",
}


@pytest.mark.parametrize("text", list(STS))
def test_mta_sts_records(text):
    found = checks(sts.lint("_mta-sts.alpha.test", [text]))
    assert (STS[text] in found) if STS[text] else found == set(), found


POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mx1.alpha.test\r\nmx: *.mail.alpha.test\r\nmax_age: 1209600\r\n"
POLICIES = {
    POLICY: None,
    POLICY.rstrip(): None,
    POLICY.replace("\r\n", "\n"): "sts_policy_lines",
    POLICY.replace("STSv1", "STSv2"): "sts_policy_version",
    POLICY.replace("version: STSv1\r\n", ""): "sts_policy_version",
    POLICY.replace("enforce", "strict"): "sts_policy_mode",
    POLICY.replace("1209600", "31557601"): "sts_policy_age",
    POLICY.replace("1209600", "soon"): "sts_policy_age",
    POLICY.replace("1209600", "3600"): "sts_policy_short",
    POLICY.replace("mx1.alpha.test", "mx1 alpha"): "sts_policy_mx",
    POLICY.replace("mx1.alpha.test", "*.*.test"): "sts_policy_mx",
    POLICY + "mode: none\r\n": "sts_policy_twice",
    POLICY + "<html>\r\n": "sts_policy_line",
    "version: STSv1\r\nmode: enforce\r\nmax_age: 86400\r\n": "sts_policy_no_mx",
    POLICY.replace("enforce", "testing"): "sts_testing",
}


@pytest.mark.parametrize("text", list(POLICIES))
def test_mta_sts_policies(text):
    found = checks(sts.lint_policy("alpha.test", text, ["mx1.alpha.test"]))
    if POLICIES[text]:
        assert POLICIES[text] in found
    else:
        assert found == set()


def test_a_policy_must_name_each_mx_host():
    assert "sts_policy_misses" in checks(sts.lint_policy("alpha.test", POLICY, ["mx2.alpha.test"]), ERROR)
    assert not checks(sts.lint_policy("alpha.test", POLICY, ["a.mail.alpha.test", "MX1.alpha.test."]))
    assert not sts.matches("*.mail.alpha.test", "a.b.mail.alpha.test")
    assert not sts.matches("*.mail.alpha.test", "mail.alpha.test")


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("v=TLSRPTv1; rua=mailto:t@alpha.test", None),
        ("v=TLSRPTv1;rua=mailto:t@alpha.test,https://r.alpha.test/v1;", None),
        ("v=TLSRPTv1; rua=t@alpha.test", "tlsrpt_rua"),
        ("v=TLSRPTv1; rua=http://r.alpha.test/", "tlsrpt_rua"),
        ("v=TLSRPTv1;", "tlsrpt_rua"),
        ("v=TLSRPTv2; rua=mailto:t@alpha.test", "tlsrpt_lookalike"),
    ],
)
def test_tls_rpt_records(text, check):
    found = checks(sts.lint_reporting("_smtp._tls.alpha.test", [text]))
    assert (check in found) if check else found == set()


A = ipaddress.ip_address("198.51.100.11")


@pytest.mark.parametrize(
    ("names", "back", "helo", "wanted"),
    [
        (["mx1.alpha.test"], {"mx1.alpha.test": [str(A)]}, "mx1.alpha.test", set()),
        ([], {}, "mx1.alpha.test", {"ptr_missing"}),
        (["mx1.alpha.test"], {"mx1.alpha.test": ["198.51.100.99"]}, "mx1.alpha.test", {"ptr_forward"}),
        (["mx1.alpha.test"], {}, None, {"ptr_forward"}),
        (["mx1.alpha.test"], {"mx1.alpha.test": [str(A)]}, "mail.alpha.test", {"ptr_helo"}),
        (["mx1.alpha.test", "b.test"], {"mx1.alpha.test": [str(A)], "b.test": [str(A)]}, "mx1.alpha.test", {"ptr_several"}),
        (["localhost"], {"localhost": [str(A)]}, None, {"ptr_name"}),
        (["198-51-100-11.isp.test"], {"198-51-100-11.isp.test": [str(A)]}, None, {"ptr_generic"}),
        (["host11.dyn.isp.test"], {"host11.dyn.isp.test": [str(A)]}, None, {"ptr_generic"}),
        (["static-11-100-51-198.isp.test"], {"static-11-100-51-198.isp.test": [str(A)]}, None, {"ptr_generic"}),
    ],
)
def test_reverse_names(names, back, helo, wanted):
    assert checks(lint.lint_reverse(A, names, back, helo)) == wanted


@pytest.mark.parametrize("name", ["mx1.alpha.test", "mail-out-12.alpha.test", "smtp3.eu-west-1.alpha.test", "mta198.alpha.test"])
def test_names_of_mail_hosts_are_not_generic(name):
    assert not lint.is_generic(name, A)


def test_helo_names():
    assert checks(lint.lint_helo(A, "mx1", [])) == {"helo_name"}
    assert checks(lint.lint_helo(A, "mx1.alpha.test", ["198.51.100.12"])) == {"helo_forward"}
    assert lint.lint_helo(A, "mx1.alpha.test", [str(A)]) == []


def test_the_door_knows_every_kind():
    assert checks(lint.lint_text("report", "alpha.test._report._dmarc.beta.test", [])) == {"report_missing"}
    for kind in ("dkim", "spf", "dmarc", "mta_sts", "tls_rpt", "report"):
        assert isinstance(lint.lint_text(kind, "x.test", ["v=DMARC1; p=none"]), list)
    assert "spf_void" in checks(lint.lint_text("spf", "x.test", ["v=spf1 a:a.test a:b.test a:c.test -all"], World({})))


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=400)
    | st.builds(lambda words: "v=spf1 " + " ".join(words), st.lists(st.text("ainclude:/%{}=.+-?~0123456789 ", max_size=12)))
)
def test_nothing_that_somebody_publishes_breaks_the_linter(text):
    for kind in ("dkim", "spf", "dmarc", "mta_sts", "tls_rpt", "report"):
        for finding in lint.lint_text(kind, "x.test", [text]):
            assert len(finding.what) < 600
    sts.lint_policy("x.test", text, ["mx.x.test"])
    parse_tags(text)


def test_a_huge_record_is_read_in_no_time():
    import time

    start = time.process_time()
    for text in ("v=spf1 " + "a/" * 30000, "v=spf1 a:" + "%{" * 30000, "v=DKIM1; p=" + "A" * 60000, "v=DMARC1;" + ";" * 60000,
                 "v=spf1 a:" + "x/1" * 20000, "v=spf1 " + "a " * 30000):  # fmt: skip
        for kind in ("dkim", "spf", "dmarc", "mta_sts", "tls_rpt"):
            lint.lint_text(kind, "x.test", [text])
    assert time.process_time() - start < 3

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary, JUnit XML and the figures for Prometheus, and what of them others may read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from goodstanding_src.module_utils.goodstanding.findings import document as stages
from goodstanding_src.module_utils.goodstanding.report import files, junit, metrics, redact, summary, verdict

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "page"))
import reports


def strings(value):
    if isinstance(value, dict):
        return [text for each in value.values() for text in strings(each)]
    if isinstance(value, list):
        return [text for each in value for text in strings(each)]
    return [value] if isinstance(value, str) else []


def test_what_others_read_names_no_account_and_nobody_else():
    document = reports.demo()
    document["open_points"][0]["what"] = "Mail of mallory@alpha.test to victim@big.test, <other@big.test>: see mailto:third@x.test."
    document["observations"][0]["reason"] = "550 someone@receiver.test refused"
    told = redact.redacted(document)
    words = "\n".join(strings(told))
    for gone in ("mallory", "news@", "victim", "other@", "third@", "someone", "u0@big.test"):
        assert gone not in words, gone
    assert told["open_points"][0]["what"] == "Mail of m…@alpha.test to somebody@…, <somebody@…>: see mailto:somebody@…."
    assert told["accounts"][0]["account"] == told["locks"][0]["account"] == "m…@alpha.test"
    assert "-e account=m…@alpha.test" in words
    assert told["accounts"][0]["evidence"] == []
    assert "mallory@alpha.test" in "\n".join(strings(document)), "the document itself stays as it is"


def test_each_account_keeps_a_name_of_its_own_and_a_host_its_name():
    document = reports.demo()
    names = [
        "mallory@alpha.test",
        "max@alpha.test",
        "bob",
        "o'neil smith@alpha.test",
        "uid:33@mx1.example.test",
        "relay:192.0.2.7@mx1.example.test",
    ]
    document["accounts"] = [
        {**document["accounts"][1], "account": name, "sentence": f"{name} sent 5 recipients; bob too, not bobby."} for name in names
    ]
    document["hosts"][0]["host"] = "bob"
    told = redact.redacted(document)
    assert [row["account"] for row in told["accounts"]] == [
        "m…@alpha.test", "m…2@alpha.test", "b…", "o…@alpha.test", "uid:33@mx1.example.test", "relay:192.0.2.7@mx1.example.test",
    ]  # fmt: skip
    assert told["accounts"][0]["sentence"] == "m…@alpha.test sent 5 recipients; b… too, not bobby."
    assert told["accounts"][3]["sentence"].startswith("o…@alpha.test sent")
    assert told["accounts"][4]["sentence"].startswith("uid:33@mx1.example.test sent")
    assert told["hosts"][0]["host"] == "bob"


def test_what_looks_like_an_account_of_the_project_and_is_none_is_no_way_out():
    document = reports.demo()
    host = document["hosts"][0]["host"]
    document["accounts"] = [{**document["accounts"][1], "account": name} for name in ("carl", '"jane roe"@alpha.test')]
    document["hosts"][1].update(assessed=False, reason="user carl is not in sudoers; carl/imap too, /var/mail/carl.")
    kept = f"uid:33@{host}, uid:www-data@{host}, relay:192.0.2.7@{host}; relay:2001:db8::7@{host} relay:internet@{host}."
    document["open_points"][0]["what"] = kept
    document["open_points"][1]["what"] = (
        f'uid:bob@bank.test relay:victim@bank.test relay:victim@{host} uid:a+b@{host} uid:33@{host}@bank.test "john doe"@x.test '
        '"john \\"the\\" doe"@x.test "jane roe"@alpha.test'
    )
    told = redact.redacted(document)
    assert told["hosts"][1]["reason"] == "user c… is not in sudoers; c…/imap too, /var/mail/c…."
    assert told["open_points"][0]["what"] == kept
    words = told["open_points"][1]["what"]
    for gone in ("bob", "bank.test", "victim", "a+b", "john", "doe", "jane", "roe"):
        assert gone not in words, gone
    assert "carl" not in junit.build(told)


def test_the_summary_tells_the_verdict_and_what_is_left():
    text = summary.build(redact.redacted(reports.demo()))
    assert text.startswith("## 🟠 Good Standing: Findings\n\n**m…@\u2060alpha.test was broken into and is locked on every host; ")
    assert (
        "| warning | 198.51.100.11 is listed in Spamhaus ZEN: XBL, an infected or abused machine 127.0.0.4 | End the abuse first;" in text
    )
    assert "| mallory@alpha.test | compromised | locked | 0 |" in summary.build(reports.demo())
    assert "41 gated, 1 ready, 1 waiting, 1 cleared, 1 refused, 1 expired, 1 provider only." in text
    assert "| gated | 203.0.113.20, 203.0.113.21, 203.0.113.22 and 37 more | Many BL | Do not ask yet: 1, " in text
    assert "⚪" in summary.build(reports.nobody())


def test_the_summary_and_the_page_say_which_plan_was_carried_out():
    document = reports.demo()
    document["run"]["plan"] = {"sha256": "ab12" * 16, "run": "r0", "expires": "2026-11-24T12:00:00.000000Z", "lock": [], "hold": []}
    template = str(Path(__file__).resolve().parents[3] / "roles/report/templates/report.html.j2")
    for text in (summary.build(document), files.as_page(document, template)):
        assert "mode lock, by the plan ab12ab12ab12 of run r0" in text


def test_what_others_read_of_a_case_names_no_account_and_nobody_else():
    document = reports.demo()
    document["cases"][0].update(next="Do not ask yet: not locked: mallory@alpha.test, bob. See jane@bank.test.", frozen="bob refused")
    document["accounts"][1]["account"] = "bob"
    text = summary.build(redact.redacted(document)) + junit.build(redact.redacted(document))
    assert "Do not ask yet: not locked: m…@" in text
    assert redact.redacted(document)["cases"][0]["frozen"] == "b… refused"
    for gone in ("mallory", "jane", "bob"):
        assert gone not in text, gone


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<img src=x>", "\\<img src=x\\>"),
        ("![x](https://evil.test/a.png)", "\\!\\[x\\](https://evil.test/a.png)"),
        ("a | b\n# c `d` *e* ~~f~~", "a \\| b \\# c \\`d\\` \\*e\\* \\~\\~f\\~\\~"),
        ("@everybody and m…@alpha.test", "@\u2060everybody and m…@\u2060alpha.test"),
        ("user@alpha.test", "user@alpha.test"),
        ("&lt;b&gt; \u202e\x1b[31m", "\\&lt;b\\&gt; \\[31m"),
    ],
)
def test_text_of_strangers_is_no_markdown(text, shown):
    assert summary.text(text) == shown


def test_junit_fails_what_is_wrong_and_passes_nothing_that_is_not_known():
    document = reports.demo()
    document["addresses"][1]["state"] = "unknown"
    root = ET.fromstring(junit.build(document).encode())  # noqa: S314  our own
    cases = {(suite.get("name"), case.get("name")): [each.tag for each in case] for suite in root for case in suite}
    assert cases["addresses", "198.51.100.11"] == ["failure"]
    assert cases["addresses", "198.51.100.12"] == ["error"]
    assert cases["addresses", "2001:db8:25::12"] == []
    assert (cases["hosts", "mx1.example.test"], cases["accounts", "mallory@alpha.test"]) == ([], ["failure"])
    assert cases["outbreak", "8. what the intruder may have left is reviewed"] == ["error"]
    # What receivers ask of everybody fails, what they ask besides and a delisting that goes on are no failures and no passes.
    assert cases["authentication", "2001:db8:25::12"] == ["failure"]
    assert cases["authentication", "beta.test"] == ["skipped"]
    assert cases["authentication", "alpha.test"] == []
    assert (cases["delistings", "dnsbl.many.test"], cases["delistings", "ubl.example.test"]) == (["skipped"], [])
    assert sum(int(suite.get("skipped")) for suite in root) == sum("skipped" in tags for tags in cases.values())
    counts = [sum(tag in tags for tags in cases.values()) for tag in ("failure", "error")]
    assert [len(cases), *counts] == [int(root.get(name)) for name in ("tests", "failures", "errors")]
    assert [sum(int(suite.get(name)) for suite in root) for name in ("tests", "failures", "errors")] == [len(cases), *counts]


@pytest.mark.parametrize(("rule", "tag"), [("spf_or_dkim", "error"), ("dmarc", "skipped")])
def test_junit_passes_no_rule_that_is_not_known(rule, tag):
    document = reports.nobody()
    row = {"rule": rule, "subject": "alpha.test", "state": "unknown", "why": "SERVFAIL", "repair": "Run again."}
    document["authentication"].update(state="unknown", why="no resolver", checklist=[row])
    document["delisting"] = {"state": "skipped", "why": "the disk does not last"}
    root = ET.fromstring(junit.build(document).encode())  # noqa: S314  our own
    cases = {case.get("name"): [each.tag for each in case] for case in root.iter("testcase")}
    assert (cases["what receivers see"], cases["alpha.test"], cases["followed"]) == (["error"], [tag], ["skipped"])


@pytest.mark.parametrize(
    ("status", "tags"), [("clean", []), ("unknown", ["error"]), ("findings", ["failure"]), ("not_contained", ["failure"])]
)
def test_the_run_passes_where_it_is_clean(status, tags):
    document = reports.nobody()
    document["run"]["status"] = status
    root = ET.fromstring(junit.build(document).encode())  # noqa: S314  our own
    assert [each.tag for case in root.iter("testcase") for each in case] == tags


def test_the_outputs_take_what_strangers_wrote():
    document = reports.hostile()
    root = ET.fromstring(junit.build(document).encode("utf-8", "strict"))  # noqa: S314  our own
    assert "<script>" in "".join(case.get("name") + "".join(each.text for each in case) for case in root.iter("testcase"))
    lines = metrics.build(document).splitlines()
    assert all(line.startswith(("# ", "goodstanding_")) for line in lines)
    assert not any("<" in line for line in summary.build(document).replace("\\<", "").splitlines())


def test_the_figures_are_those_of_the_document():
    document = reports.demo()
    warnings = sum(point["severity"] == "warning" for point in document["open_points"])
    lines = metrics.build(document).splitlines()
    for line in (
        'goodstanding_run_status{status="findings"} 1', 'goodstanding_run_status{status="clean"} 0',
        'goodstanding_addresses{state="listed"} 1',
        'goodstanding_addresses{state="clean"} 2', 'goodstanding_listings{tier="A"} 2', 'goodstanding_listings{tier="C"} 1',
        "goodstanding_accounts_locked 1",
        'goodstanding_rules{state="does_not"} 4',
        'goodstanding_hosts{assessed="yes"} 2', f'goodstanding_open_points{{severity="warning"}} {warnings}',
        'goodstanding_source_believed{source="dnsbl.refused.test"} 0', 'goodstanding_source_believed{source="zen.spamhaus.org"} 1',
        'goodstanding_source_timestamp_seconds{source="log of mx1.example.test"} 1795500030',
        'goodstanding_cases{state="gated"} 41', 'goodstanding_cases{state="submitted"} 0', 'goodstanding_cases{state="open"} 0',
        "goodstanding_cases_followed 1", 'goodstanding_enrolments{state="missing"} 4', 'goodstanding_enrolments{state="lapsed"} 1',
        'goodstanding_source_timestamp_seconds{source="snds"} 1795478400', 'goodstanding_outbreak{state="not_ended"} 1',
    ):  # fmt: skip
        assert line in lines, line
    assert sum(line.startswith("goodstanding_cases{") for line in lines) == 9
    assert "mallory" not in "".join(lines)
    document["delisting"]["state"] = "failed"
    lines = metrics.build(document).splitlines()
    assert "goodstanding_cases_followed 0" in lines
    assert not any(line.startswith("goodstanding_cases{") for line in lines), "what is not known is not 0"
    assert not any("dnsbl.refused.test" in line for line in lines if "timestamp" in line), "what was not believed has no age"


def test_a_run_that_only_let_somebody_in_again_has_not_looked_at_the_fleet():
    document = reports.begun()
    assert verdict.looked(document), "it found no host, which is known now"
    for results in ({"mx1": {"changed": True}}, {"mx1": {"failed": True, "msg": "unreachable"}}):
        assert not verdict.looked(stages.reinstate(document, "a@x", results, reports.NOW))


def test_a_large_fleet_is_told_quickly_and_briefly():
    document = reports.large()
    text = summary.build(redact.redacted(document))
    assert len(text) < 20_000
    assert "more: see report.html" in text
    assert len(json.dumps(junit.build(document))) < 1_000_000

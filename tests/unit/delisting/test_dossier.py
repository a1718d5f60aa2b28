# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json
import re
import sys
from pathlib import Path

import pytest
from goodstanding_src.module_utils.goodstanding.delisting import case as cases
from goodstanding_src.module_utils.goodstanding.delisting import dossier, gates, lists
from goodstanding_src.module_utils.goodstanding.delisting.case import Asked, Gate, look
from goodstanding_src.module_utils.goodstanding.findings.ended import HOLDS
from goodstanding_src.module_utils.goodstanding.store import cases as ledger
from goodstanding_src.module_utils.goodstanding.store import database, journals

sys.path.insert(0, str(Path(__file__).parent))
import verified as found

TEMPLATES = str(found.ROOT / "roles/delisting/templates")
CONTACT = "Jane Doe, postmaster of example.com\npostmaster@example.com, +49 30 1234567"
MALLORY = {"accounts": ["mallory@example.com"], "incident": "r0"}
JOURNALS = {
    "mx1.example.com": [
        {"chain": f"{1:032x}", "time": found.LOCKED, "step": "finish", "closed": 6, "faults": [], **MALLORY},
        {"chain": f"{2:032x}", "time": found.LOCKED + 9, "step": "queue held", "count": 83, **MALLORY},
        {"chain": f"{3:032x}", "time": found.LOCKED + 900, "step": "queue deleted", "count": 80, **MALLORY},
    ],
    "mx2.example.com": [{"chain": f"{4:032x}", "time": found.LOCKED + 2, "step": "finish", "closed": 0, "faults": [], **MALLORY}],
}
HELD = {name: Gate(HOLDS, "") for name in gates.OF_ADDRESS}
OPERATORS = [row["zone"] for row in found.ZONES.values() if row["kind"] == "block" and row["tier"] in lists.TIERS]
REPLIES = [row for row in found.REPLIES if row["about"] == "address" and row["ask"]]


@pytest.fixture
def engine(tmp_path):
    return database.open_store(f"sqlite:///{tmp_path}/store.db")


def listed(zone):
    """Return an observation of a zone with its first code of a block."""
    entry = found.ZONES[zone]
    codes = [code for code, means in entry["codes"].items() if isinstance(means, str) or means.get("means", "listed") == "listed"]
    subject = (
        "spam.example.net"
        if entry["answers_for"] == ["domain"]
        else "2001:db8::25"
        if "ipv4" not in entry["answers_for"]
        else found.ADDRESS
    )
    return found.observation(zone, codes[:1] or ["127.0.0.2"], subject=subject, reason="Listed, see our page")


def composed(engine, *rows, document=None, lines=JOURNALS, contact=CONTACT):
    """Return (case, dossier) of rows, out of a store in which a run wrote what it found."""
    document = document or found.findings(*rows)
    ((subject, name), of), *_ = lists.told(document, found.DESKS, found.ZONES, ()).items()
    way = lists.way(of, of.seen.codes)
    outside = gates.outside(document, of.of_address, HELD, found.NOW)
    opened = look(None, subject, name, of.seen, way, outside, Asked(found.NOW, found.NOW), found.NOW)
    database.save_run(engine, document)
    journals.save(engine, lines)
    ledger.change(engine, document["run"]["id"], found.NOW, lambda book: book.save(opened.case, opened.events))
    journal = dossier.latest(ledger.incident_lines(engine, ["r0"], ["mallory@example.com", "malvin@example.com"]))
    told = dossier.Ledger(ledger.history(engine, opened.case.id), document, journal)
    return opened.case, dossier.compose(opened.case, of, way, told, contact, TEMPLATES)


def statements(data):
    return [row for rows in data["statements"].values() for row in rows]


def traced(engine, made):
    """Assert that each statement names rows of the ledger that exist, and that its figures and names are in them."""
    assert statements(made.data)
    for row in statements(made.data):
        assert row["rows"], row["text"]
        rows = {name: ledger.resolve(engine, name) for name in row["rows"]}
        assert all(rows.values()), rows
        said = json.dumps(list(rows.values()))
        for name in re.findall(r"\b[\w-]+\.example\.com|127\.\d+\.\d+\.\d+|\bS\d{4}\b|198\.51\.100\.\d+", row["text"]):
            assert name in said or any(name in each for each in row["rows"]) or name in made.data["subject"] or _of_host(name, rows), row
        for number in re.findall(r"\b(\d+) (?:messages|sessions)", row["text"]):
            figures = [each.get("count") or each.get("closed") for each in rows.values()]
            assert int(number) == sum(filter(None, figures)), row


def _of_host(name, rows):
    """Whether a journal's row is of that host, which is its column and not in the line."""
    hosts = {line["chain"]: host for host, lines in JOURNALS.items() for line in lines}
    return any(hosts.get(each.get("chain")) == name for each in rows.values() if isinstance(each, dict))


def written_well(text, name):
    """Assert that it reads as a person writes: whole sentences, no word of a program, nothing left open."""
    assert not re.search(
        r"\bNone\b|\bnull\b|\{|\}|does_not|_only|  \S|\(\)|undefined|\.\.(?!\.)| ,| \.(?:\s|$)", text.replace("    ", "")
    ), (name, text)
    assert "\n\n\n" not in text
    for line in text.splitlines():
        if line and not line.startswith(("    ", "Jane", "postmaster@")):
            assert line[0].isupper() or line[0].isdigit(), (name, line)
            assert line.endswith("."), (name, line)


@pytest.mark.parametrize("zone", OPERATORS)
def test_a_dossier_for_each_operator_of_a_list(engine, zone):
    case, made = composed(engine, listed(zone))
    traced(engine, made)
    written_well(made.text, zone)
    facts = found.ZONES[zone]["delisting"]
    assert case.subject in made.markdown
    named = ["| where | ", "| who | ", "| costs | "]
    named += ["| between two requests | ", "| asked too early | "] if case.state != cases.WAITING else []
    assert all(re.search(rf"^{re.escape(name)}\S.*\S \|$", made.markdown, re.M) for name in named)
    assert facts.get("url", "").replace("{ip}", case.subject) in made.markdown
    assert ("Do not ask yet" in made.markdown) == (case.state == cases.GATED)
    if case.state == cases.WAITING:
        assert made.text == ""
        assert "nobody can ask" in made.markdown
    else:
        assert CONTACT in made.text
        assert "mallory" not in made.text


@pytest.mark.parametrize("entry", REPLIES, ids=lambda row: row["id"])
def test_a_dossier_for_each_receiver_that_keeps_a_list(engine, entry):
    case, made = composed(engine, found.reply(entry["id"], "S3150" if entry["id"] == "microsoft_olc" else "550"))
    traced(engine, made)
    written_well(made.text.split("This is the whole refusal:")[0], entry["id"])
    assert "mallory" not in made.text
    if made.text and case.list not in found.ZONES:
        assert entry["example"][:60].replace("`", "'") in made.text


def test_every_operator_is_covered():
    assert len(OPERATORS) > 20
    assert {"zen.spamhaus.org", "b.barracudacentral.org", "combined.mail.abusix.zone", "bl.mailspike.net", "dnsbl-1.uceprotect.net"} <= set(
        OPERATORS
    )


def test_the_text_says_what_happened_what_was_done_and_what_holds(engine):
    _, made = composed(engine, found.observation())
    assert made.text == (
        "Please remove 198.51.100.11 (mx1.example.com) from Spamhaus ZEN, where it is listed with 127.0.0.4. The abuse has stopped.\n\n"
        "One mail account of ours was taken over and used to send spam. We locked the account on mx1.example.com and mx2.example.com "
        "on 17 November 2026 at 09:06 UTC, and ended 6 sessions that were open. On 17 November 2026 at 09:06 UTC we held back 83 "
        "messages that were queued. On 17 November 2026 at 09:21 UTC we deleted 80 messages from the queue. Since then our logs show no "
        "mail accepted from this account, none of its mail is queued, none of its sessions is open and no other account stands out.\n\n"
        "So that it does not happen again: every account has a sending limit, and a test account that exceeded it was refused. We "
        "reviewed the filters and forwards that the intruder may have left.\n\n"
        "The reverse and forward names of the address match, the HELO name leads to it, SPF authorizes our servers, our mail is signed "
        f"with DKIM and DMARC passes.\n\n{CONTACT}\n"
    )


@pytest.mark.parametrize("number", [2, 4, 5, 7, 8])
def test_nothing_is_told_that_was_not_proven(engine, number):
    words = {2: "no mail accepted", 4: "its mail is queued", 5: "its sessions", 7: "no other account", 8: "filters and forwards"}[number]
    document = found.findings(found.observation())
    assert words in composed(engine, document=copy.deepcopy(document))[1].text
    document["outbreak"]["conditions"][number - 1]["state"] = "unknown"
    document["outbreak"]["state"] = "not_proven"
    text = composed(engine, document=document)[1].text
    assert words not in text
    assert "The abuse has stopped" not in text


def test_a_receiver_that_has_no_list_to_show_is_asked_to_take_mail_again(engine):
    _, made = composed(engine, found.reply("trend_ers", "ERS-QIL"))
    assert made.text.startswith("Please take mail from 198.51.100.11 (mx1.example.com) again; it is refused with ERS-QIL.")
    assert "is refused by trendmicro with ERS-QIL" in made.markdown
    _, made = composed(engine, found.reply("spamhaus", "554"))
    assert made.text.startswith("Please remove 198.51.100.11 (mx1.example.com) from Spamhaus ZEN, for which it is refused with 554.")
    assert "is refused because of Spamhaus ZEN with 554" in made.markdown


def test_of_several_accounts_all_are_spoken_of(engine):
    document = found.findings(found.observation())
    document["locks"].append({**document["locks"][0], "account": "malvin@example.com"})
    text = composed(engine, document=document)[1].text
    assert text.count("Two mail accounts of ours were taken over and used to send spam") == 1
    assert "no mail accepted from these accounts, none of their mail is queued, none of their sessions is open and" in text


def test_what_receivers_see_stands_alone_where_nothing_else_is_proven(engine):
    document = found.findings(found.observation("dbl.spamhaus.org", ["127.0.1.2"], subject="spam.example.net"))
    document["limits"] = []
    document["outbreak"]["conditions"][7]["state"] = "unknown"
    text = composed(engine, document=document)[1].text
    assert "So that it does not happen again" not in text
    assert "\n\nSPF authorizes our servers, our mail is signed with DKIM and DMARC passes.\n\n" in text
    assert text.startswith("Please remove spam.example.net from Spamhaus DBL, where it is listed with 127.0.1.2.")


#: Locked 20 days before, let in again, and locked anew by r0.
EARLIER, THEN = {"accounts": ["mallory@example.com"], "incident": "old"}, found.LOCKED - 20 * 86400
TWICE = {
    "mx1.example.com": [
        {"chain": f"{11:032x}", "time": THEN, "step": "finish", "closed": 40, "faults": [], **EARLIER},
        {"chain": f"{12:032x}", "time": THEN + 9, "step": "queue held", "count": 500, **EARLIER},
        {"chain": f"{13:032x}", "time": THEN + 2 * 86400, "step": "reinstate", "reason": "x", **EARLIER},
        *JOURNALS["mx1.example.com"][:2],
    ]
}


def test_of_an_account_that_is_locked_again_nothing_of_before_is_told(engine):
    _, made = composed(engine, found.observation(), lines=TWICE)
    traced(engine, made)
    assert (
        "and ended 6 sessions that were open. On 17 November 2026 at 09:06 UTC we held back 83 messages that were queued. Since then"
        in made.text
    )
    assert "let in again" not in made.text


def let_in(name, number):
    return {"chain": f"{number:032x}", "time": found.LOCKED + 7200, "step": "reinstate", "incident": "back", "accounts": [name]}


def test_what_happened_and_was_done_is_told_after_the_owner_was_let_in_again(engine):
    document = found.findings(found.observation())
    document["locks"] = []
    document["outbreak"].update(state="none", conditions=[])
    lines = {**JOURNALS, "mx1.example.com": [*JOURNALS["mx1.example.com"], let_in("mallory@example.com", 9)]}
    _, made = composed(engine, document=document, lines=lines)
    traced(engine, made)
    written_well(made.text, "text")
    assert "One mail account of ours was taken over and used to send spam. We locked the account on mx1.example.com and mx2" in made.text
    assert "we deleted 80 messages from the queue. The owner was let in again on 17 November 2026 at 11:06 UTC." in made.text
    assert "no account that sends spam" not in made.text


def test_who_was_let_in_again_is_told_from_who_is_still_locked(engine):
    other = {"accounts": ["malvin@example.com"], "incident": "r0"}
    line = {"chain": f"{7:032x}", "time": found.LOCKED + 2, "step": "finish", "closed": 0, "faults": [], **other}
    lines = {"mx1.example.com": [*JOURNALS["mx1.example.com"], line, let_in("malvin@example.com", 8)]}
    _, made = composed(engine, found.observation(), lines=lines)
    traced(engine, made)
    assert "Two mail accounts of ours were taken over and used to send spam. We locked the accounts on mx1.example.com" in made.text
    assert "our logs show no mail accepted from the account that is still locked, none of its mail is queued" in made.text
    assert made.text.index("Since then") < made.text.index("One owner was let in again on 17 November 2026 at 11:06 UTC.")


def test_a_local_user_is_one_account_by_both_its_names(engine):
    document = found.findings(found.observation())
    document["locks"][0]["account"] = "uid:33@mx1.example.com"
    lines = {"mx1.example.com": [{**JOURNALS["mx1.example.com"][0], "accounts": ["uid:33"], "incident": "r1"}]}
    journals.save(engine, lines)
    (line,) = ledger.incident_lines(engine, [], ["uid:33@mx1.example.com"])
    assert line["accounts"] == ["uid:33@mx1.example.com"]
    _, made = composed(engine, document=document, lines={"mx1.example.com": [{**line, "accounts": ["uid:33"], "incident": "r0"}]})
    assert "One program on our own servers was taken over" in made.text


def test_of_what_is_not_seen_any_more_only_what_was_seen_is_told(engine):
    case, _ = composed(engine, found.observation())
    document = found.findings(clean=["zen.spamhaus.org"])
    of = lists.told(document, found.DESKS, found.ZONES, [(case.subject, case.list, case.sources)])[case.subject, case.list]
    database.save_run(engine, document)
    book = dossier.Ledger(ledger.history(engine, case.id), document, [])
    made = dossier.compose(case, of, lists.way(of, case.codes), book, CONTACT, TEMPLATES)
    traced(engine, made)
    assert "198.51.100.11 was in Spamhaus ZEN with 127.0.0.4 when it was last seen there." in made.markdown


def test_nothing_is_told_of_a_journal_that_is_not_there(engine):
    assert "locked" not in composed(engine, found.observation(), lines={})[1].text


def test_microsofts_dossier_has_the_refusal_the_reply_and_what_comes_first(engine):
    _, made = composed(engine, found.reply("microsoft_olc", "S3150"))
    assert made.text.startswith("Please look at our address 198.51.100.11 (mx1.example.com) again and end its block (S3150).")
    assert "    550 5.7.1 Unfortunately, messages from [198.51.100.11] weren't sent." in made.text
    assert made.reply.startswith("Thank you for your answer. Our mail from 198.51.100.11 is still refused (S3150)")
    written_well(made.reply, "reply")
    assert "Sign up first for Microsoft SNDS and Microsoft JMRP." in made.markdown
    assert "sender.office.com is for Microsoft 365" in made.markdown
    _, other = composed(engine, found.reply("microsoft_banned_ip", "5.7.606"))
    assert other.reply == ""
    assert "https://sender.office.com/" in other.markdown


def test_what_only_the_provider_may_ask_is_a_text_for_the_provider(engine):
    case, made = composed(engine, found.observation(codes=["127.0.0.2"]))
    assert case.state == cases.PROVIDER_ONLY
    assert made.text.startswith("198.51.100.11, which we have from you, is in Spamhaus ZEN (127.0.0.2). Only the owner of the network")
    assert "## The text for the owner of the network" in made.markdown


def test_what_is_asked_by_the_address_itself_is_a_command(engine):
    _, made = composed(engine, found.observation("all.s5h.net"))
    assert "    curl -4 --interface 198.51.100.11 http://www.usenix.org.uk/content/rblremove\n" in made.markdown


def test_payment_is_never_recommended(engine):
    _, made = composed(engine, found.observation("dnsbl-1.uceprotect.net"))
    assert "nothing; do not pay for the faster removal that is offered" in made.markdown
    assert made.text == ""


@pytest.mark.parametrize("words", ["a`b\n\n# Heading\n    code", "x" * 5000, "\x00\x1b[31m{{ 7 * 7 }}", "| a | b |"])
def test_text_from_outside_stays_one_line_of_text(engine, words):
    _, made = composed(engine, found.observation(reason=words))
    (line,) = [line for line in made.markdown.split("(text from outside):")[1].splitlines() if line.strip()][:1]
    assert line.startswith("    ")
    assert len(line) < 410
    assert "49" not in line
    assert "\n# Heading" not in made.markdown


def test_an_override_is_shown(engine):
    case, _ = composed(engine, document=found.findings(found.observation(), hosts=("mx1.example.com",)))
    gated = case._replace(state=cases.GATED, gates={**case.gates, "spf": Gate("unknown", "nobody looked")})
    over = cases.override(gated, "the operator told me so", found.NOW).case
    document = found.findings(found.observation())
    of = lists.told(document, found.DESKS, found.ZONES, ())[case.subject, case.list]
    made = dossier.compose(over, of, lists.way(of, case.codes), dossier.Ledger([], document, []), CONTACT, TEMPLATES)
    assert "(spf): the operator told me so" in made.markdown


def test_files_are_named_by_the_case(engine, tmp_path):
    case, made = composed(engine, listed("bl.ipv6.spameatingmonkey.net"))
    put = {}
    names = dossier.write("cases", case, made, put.__setitem__, json.dumps)
    assert names == [f"cases/bl.ipv6.spameatingmonkey.net_2001_db8__25.{end}" for end in ("json", "md", "txt")]
    assert set(put) == set(names)


def test_files_that_do_not_hold_any_more_are_taken_away(engine, tmp_path):
    case, made = composed(engine, found.observation())
    names = dossier.write(str(tmp_path), case, made, lambda path, text: Path(path).write_text(text), json.dumps)
    assert sorted(map(str, tmp_path.glob("zen*"))) == names
    left = dossier.write(str(tmp_path), case, made._replace(text=""), lambda path, text: Path(path).write_text(text), json.dumps)
    assert sorted(map(str, tmp_path.glob("zen*"))) == left == names[:2], "nobody can ask any more"
    for _ in range(2):
        dossier.remove(str(tmp_path), case)
        assert list(tmp_path.glob("zen*")) == []


def test_the_page_for_the_person_has_when_not_to_ask_before_what_follows_and_what_the_form_wants(engine):
    case, made = composed(engine, found.reply("microsoft_olc", "S3150"))
    desk = next(row for row in found.DESKS if row["id"] == "microsoft-consumer")["delisting"]
    assert f"| asked too early | {desk['early']} |" in made.markdown
    assert f"| it asks for | {'; '.join(desk['asks'])} |" in made.markdown
    document = found.findings(found.reply("microsoft_olc", "S3150"))
    of = lists.told(document, found.DESKS, found.ZONES, ())[case.subject, case.list]
    later = case._replace(not_before=found.NOW, expected=found.NOW)
    made = dossier.compose(later, of, lists.way(of, case.codes), dossier.Ledger([], document, []), CONTACT, TEMPLATES)
    for name in ("not before", "expected by"):
        assert f"| {name} | {dossier.day(found.NOW)} |" in made.markdown

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time

import pytest
from goodstanding_src.module_utils.goodstanding.feeds import feedback
from goodstanding_src.module_utils.goodstanding.feeds.mailbox import Mailbox, MailboxError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = pathlib.Path(__file__).resolve().parents[3]
DATA = ROOT / "tests/data/feedback"
TRUST = feedback.Trust("mx1.example.test", feedback.REPORTERS, ("X-Authenticated-Sender",))
NO_SERVER = TRUST._replace(authserv_id="")


def sample(name: str) -> bytes:
    return (DATA / f"{name}.eml").read_bytes()


def read(*messages: bytes, trust: feedback.Trust = TRUST) -> dict:
    return feedback.collect([Message(f"m{number}", data, "") for number, data in enumerate(messages)], trust)


def one(data: bytes, trust: feedback.Trust = TRUST) -> dict:
    result = read(data, trust=trust)
    assert (len(result["reports"]), result["unreadable"], result["other"]) == (1, [], 0)
    return result["reports"][0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "microsoft_redacted",
            {
                "provider": "microsoft",
                "form": "redacted",
                "feedback_type": "abuse",
                "incidents": 1,
                "source_ip": "198.51.100.11",
                "arrived": "2026-11-23T08:55:31.000000Z",
                "original_sender": None,
                "message_id": "20261123085520.4jYQ5x1pGzMKgv@alpha.test",
                "account": "mallory@alpha.test",
                "joined_by": "X-Authenticated-Sender",
                "trusted": True,
                "authenticated": True,
                "authenticated_by": "hotmail.com",
                "file": "m0",
            },
        ),
        (
            "microsoft_older",
            {
                "provider": "microsoft",
                "form": "older",
                "feedback_type": "abuse",
                "source_ip": "198.51.100.12",
                "arrived": "2026-04-21T16:22:13.000000Z",
                "original_sender": "beta.test",
                "message_id": "d4cb0d6593464552@beta.test",
                "trusted": True,
            },
        ),
        (
            "yahoo",
            {
                "provider": "yahoo",
                "form": "arf",
                "source_ip": "198.51.100.11",
                "arrived": "2026-11-23T15:34:36.000000Z",
                "original_sender": "alpha.test",
                "message_id": "prize-0001@alpha.test",
                "account": None,
                "joined_by": "none",
                "trusted": True,
                "authenticated_by": "arf.mail.yahoo.com",
            },
        ),
        (
            "aol",
            {
                "provider": "aol",
                "form": "redacted",
                "source_ip": "198.51.100.11",
                "arrived": "2026-11-20T20:12:11.000000Z",
                "message_id": "prize-0002@alpha.test",
                "trusted": True,
                "authenticated_by": "aol.net",
            },
        ),
        (
            "generic",
            {
                "provider": "generic",
                "form": "arf",
                "source_ip": "192.0.2.1",
                "arrived": "2005-03-08T18:00:00.000000Z",
                "original_sender": "example.net",
                "message_id": "8787KJKJ3K4J3K4J3K4J3.mail@example.net",
                "trusted": False,
                "authenticated": None,
                "authenticated_by": None,
            },
        ),
    ],
)
def test_samples_of_each_provider(name, expected):
    for data in (sample(name), sample(name).replace(b"\n", b"\r\n")):
        report = one(data)
        assert {key: report[key] for key in expected} == expected


def test_nothing_of_the_complainant_or_the_subject_is_returned():
    names = ["microsoft_redacted", "microsoft_older", "yahoo", "aol", "generic"]
    text = json.dumps(read(*map(sample, names))).lower()
    for personal in ("complainant", "192.0.2.200", "user@example.com", "won", "offer", "earn money", "not returned"):
        assert personal not in text


@pytest.mark.parametrize(
    "change",
    [
        (b"text/rfc822-headers", b"message/rfc822"),
        (b"text/rfc822-headers", b"MESSAGE/RFC822-Headers"),
        (
            b"Content-Type: message/feedback-report\n",
            b"Content-Type: message/feedback-report\nContent-Transfer-Encoding: quoted-printable\n",
        ),
        (b"\n--_jmrp_7f3a2b_--", b""),
        (b"--_jmrp_7f3a2b_\nContent-Type: text/plain", b"preamble\n--_jmrp_7f3a2b_  \nContent-Type: text/plain"),
    ],
)
def test_variants_of_the_form_are_read_alike(change):
    assert change[0] in sample("microsoft_redacted")
    assert one(sample("microsoft_redacted").replace(*change)) == one(sample("microsoft_redacted"))


def test_the_senders_own_word_for_its_address_is_not_taken():
    data = sample("yahoo").replace(b"X-Originating-IP: [198.51.100.11]\n", b"")
    data = data.replace(b'From: "Prize office"', b'X-Originating-IP: [192.0.2.99]\nFrom: "Prize office"')
    assert one(data)["source_ip"] is None


def test_the_older_form_may_call_itself_a_report():
    data = sample("microsoft_older").replace(b"multipart/mixed;", b"multipart/report; report-type=feedback-report;")
    assert one(data) == one(sample("microsoft_older"))


def test_a_base64_report_part_is_read():
    data = sample("microsoft_redacted").replace(
        b"report\n\nFeedback-Type: abuse\nUser-Agent: JMRP/1.0\nVersion: 1\n",
        b"report\nContent-Transfer-Encoding: base64\n\nRmVlZGJhY2stVHlwZTogZnJhdWQKVXNlci1BZ2VudDogSk1SUC8xLjAK\n",
    )
    assert one(data)["feedback_type"] == "fraud"


OURS = b"Authentication-Results: mx1.example.test;"
PASS = b" dkim=pass header.d=arf.mail.yahoo.com"
RECEIVED = b"Received: from x (x [203.0.113.66]) by mx1.example.test; Mon, 23 Nov 2026 15:36:02 +0000\n"


@pytest.mark.parametrize(
    ("top", "authenticated", "trusted"),
    [
        (OURS + PASS, True, True),
        (OURS.upper() + b" dkim = pass (good; really) header.i=@arf.mail.yahoo.com", True, True),
        (OURS + b" dmarc=pass (p=none) header.from=arf.mail.yahoo.com", True, True),
        (OURS + b" dkim=fail header.d=evil.example; dkim=pass header.d=mail.yahoo.com", True, True),
        # Signed, but by somebody else.
        (OURS + b" dkim=pass header.d=evil.example", False, False),
        (OURS + b" dkim=pass header.d=xarf.mail.yahoo.com", False, False),
        (OURS + b" dkim=pass header.d=l.yahoo.com", False, False),
        (OURS + b" dkim=pass header.d=com", False, False),
        (OURS + b" dkim=pass", False, False),
        (OURS + b" dmarc=pass header.from=yahoo.com", False, False),
        (OURS + b" dkim=fail header.d=arf.mail.yahoo.com", False, False),
        (OURS + b" spf=pass smtp.mailfrom=feedback@arf.mail.yahoo.com", False, False),
        (OURS + b" none", False, False),
        # Not our server's word.
        (b"Authentication-Results: mx1.example.test.evil.example;" + PASS, None, False),
        (b"X-Authentication-Results: mx1.example.test;" + PASS, None, False),
        # Text of the stranger within our field: in a comment, in quotes, or one that breaks out of them.
        (OURS + b" spf=fail (x; dkim=pass header.d=arf.mail.yahoo.com)", False, False),
        (OURS + b' spf=fail smtp.mailfrom="a; dkim=pass header.d=arf.mail.yahoo.com"@evil.example', False, False),
        (OURS + b' spf=fail (domain of "a);' + PASS + b' (b"@evil.example)', False, False),
        (OURS + b" spf=fail (open;" + PASS, False, False),
        (OURS + PASS + b" (open", False, False),
        (OURS + b" spf=fail (open\n" + OURS + PASS, False, False),
        (OURS + PASS + b"; x=" + b"y" * 9000, False, False),
        # A field that came with the message, under ours.
        (OURS + b" dkim=none\n" + OURS + PASS, False, False),
        (OURS + b" spf=fail\n" + RECEIVED + OURS + PASS, False, False),
    ],
)
def test_only_our_servers_own_word_makes_a_report_trusted(top, authenticated, trusted):
    _, _, rest = sample("yahoo").partition(b'header.b="Ab3dEf9h"\n')
    report = one(top + b"\n" + rest.replace(b"Message-ID: <prize", b"X-Authenticated-Sender: mallory@alpha.test\nMessage-ID: <prize"))
    assert (report["authenticated"], report["trusted"]) == (authenticated, trusted)
    assert report["authenticated_by"] == ("arf.mail.yahoo.com" if authenticated else None)
    assert report["account"] == ("mallory@alpha.test" if trusted else None)


@pytest.mark.parametrize(
    "author",
    [
        b"From: mallory@hotmail.com",  # every user of Hotmail passes DKIM for hotmail.com
        b"From: staff@hotmail.com, mallory@hotmail.com",
        b"From: staff@hotmail.com\nFrom: staff@hotmail.com",
        b"From: staff@hotmail.com <mallory@hotmail.com>",
        b"From: =?utf-8?q?staff=40hotmail.com?= <mallory@hotmail.com>",
        b"From: staff@hotmail.com(<mallory@hotmail.com>)",
        b"From: <staff@hotmail.com>@hotmail.com",
        b"From: mallory@hotmail.com <staff@hotmail.com>",
        b"X-From: staff@hotmail.com",
    ],
)
def test_an_authentic_stranger_is_no_reporter(author):
    report = one(sample("microsoft_redacted").replace(b"From: <staff@hotmail.com>", author, 1))
    assert (report["trusted"], report["account"]) == (False, None)


@pytest.mark.parametrize("author", [b"staff@hotmail.com", b"Staff <STAFF@hotmail.com>", b'"Staff, of Hotmail" <staff@hotmail.com>'])
def test_a_reporter_may_have_a_name(author):
    assert one(sample("microsoft_redacted").replace(b"<staff@hotmail.com>", author))["trusted"]


def test_without_our_servers_name_reports_are_shown_and_not_counted():
    result = read(sample("microsoft_redacted"), sample("yahoo"), trust=NO_SERVER)
    feedback.attribute(result["reports"], {"prize-0001@alpha.test": {"account": "eve@alpha.test"}}, NO_SERVER)
    assert [(row["account"], row["trusted"], row["authenticated"]) for row in result["reports"]] == [
        ("mallory@alpha.test", False, None),
        ("eve@alpha.test", False, None),
    ]
    assert feedback.summary(result["reports"], NO_SERVER)["accounts"] == {}


def test_complaints_are_counted_per_account_and_address():
    forged = sample("aol").replace(b"dkim=pass", b"dkim=fail").replace(b"prize-0002", b"prize-0001")
    not_spam = sample("yahoo").replace(b"Feedback-Type: abuse", b"Feedback-Type: not-spam")
    reports = read(sample("yahoo"), sample("aol"), forged, not_spam)["reports"]
    assert feedback.summary(reports, TRUST)["message_ids"] == ["prize-0001@alpha.test", "prize-0002@alpha.test"]
    senders = {"prize-0001@alpha.test": {"account": "mallory@alpha.test"}, "prize-0002@alpha.test": {"account": None}}
    feedback.attribute(reports, senders, TRUST)
    assert [row["joined_by"] for row in reports] == ["message_id", "none", "none", "message_id"]
    assert feedback.summary(reports, TRUST) == {
        "accounts": {"mallory@alpha.test": 1},
        "addresses": {
            "198.51.100.11": {"count": 3, "trusted": 2, "first": "2026-11-20T20:12:11.000000Z", "last": "2026-11-23T15:34:36.000000Z"},
        },
        "message_ids": ["prize-0002@alpha.test"],
    }


HEAD = b"From: a@b.example\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n"
REPORT = b"--b\nContent-Type: message/feedback-report\n\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (HEAD + REPORT, {"feedback_type": "unknown", "source_ip": None, "arrived": None, "message_id": None}),
        (HEAD + REPORT + b"Feedback-Type: <script>\nIncidents: -5\nSource-IP: x\n", {"feedback_type": "unknown", "incidents": 1}),
        (HEAD + REPORT + b"Source-IP: [IPv6:2001:db8::1]\nIncidents: 99999999\n", {"source_ip": None, "incidents": 1}),
        (HEAD + REPORT + b"Source-IP: 2001:DB8:0::1\nIncidents: 12\n", {"source_ip": "2001:db8::1", "incidents": 12}),
        (HEAD + REPORT + b"Arrival-Date: Mon, 99 Foo 99999 99:99:99 +9999\n", {"arrived": None}),
        (HEAD + REPORT + b"Arrival-Date: Fri, 31 Dec 9999 23:59:59 -9999\n", {"arrived": None}),
        (HEAD + REPORT + b"Feedback-Type: ab\0use\nOriginal-Mail-From: <a@\xff\xfe.example>\n", {"original_sender": None}),
        (HEAD + REPORT + b"\n--b\nContent-Type: text/plain; charset=no-such\n\n\xff\n" + REPORT, {"feedback_type": "unknown"}),
        (HEAD + REPORT + b"\n--b\nContent-Type: message/rfc822\n\nMessage-ID: <" + b"x" * 9000 + b">\n", {"message_id": None}),
        (HEAD + REPORT + b"\n--b\nContent-Type: message/rfc822\n\nMessage-ID: <a\x1b[31m@x>\n", {"message_id": None}),
    ],
)
def test_every_field_may_be_missing_or_nonsense(data, expected):
    report = one(data)
    assert {key: report[key] for key in expected} == expected


NESTED = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (depth, depth) for depth in range(5000))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"From: a@b.example\n" + NESTED + b"\n" * 500_000, "its parts are nested deeper than 3"),
        (HEAD + b"--b\n\n" * 200_000, "it has more than 50 parts"),
        (b"X: y\n" * 200_000 + HEAD, "its header is larger than 131072 bytes"),
        (b"X: " + b"y" * 900_000 + b"\n" + HEAD, "its header is larger than 131072 bytes"),
        (HEAD + b"--b\nContent-Type: message/rfc822\n\n" + b"A: b\n" * 150_000, "its header is larger than 131072 bytes"),
        (HEAD.replace(b"; boundary=b", b""), "its multipart has no usable boundary"),
        (HEAD.replace(b"=b\n", b'="' + b'\\";' * 30_000 + b"\n"), "its multipart has no usable boundary"),
        (HEAD + b"--b\nContent-Type: message/feedback-report\nContent-Transfer-Encoding: base64\n\nA\n", "a part says base64 and is not"),
        (HEAD + b"--b\n\nhello\n", "it says that it is a feedback report, and has no such part"),
        (b"From: 1@reports.spamcop.net\n\nSpamCop V5", "SpamCop's own format is not read"),
    ],
)
def test_hostile_messages_are_skipped_and_take_no_time(data, reason):
    begun = time.process_time()
    result = read(data, sample("yahoo"))
    assert time.process_time() - begun < 1
    assert [row["file"] for row in result["unreadable"]] == ["m0"]
    assert result["unreadable"][0]["reason"].startswith(reason)
    assert [row["file"] for row in result["reports"]] == ["m1"]


def test_a_fault_in_one_message_does_not_hide_the_others(monkeypatch):
    monkeypatch.setattr(feedback, "_older", lambda *_: 1 / 0)
    result = read(sample("microsoft_older"), sample("yahoo"))
    assert result["unreadable"] == [{"file": "m0", "reason": "cannot be parsed: ZeroDivisionError"}]
    assert len(result["reports"]) == 1


def test_other_mail_is_counted_and_skipped_files_are_bounded():
    result = read(b"From: a@b.example\n\nhello", b"", *[HEAD] * 300)
    assert (result["other"], result["unreadable_total"], len(result["unreadable"])) == (2, 300, feedback.MAX_UNREADABLE)


LINES = st.sampled_from([
    *sample("yahoo").splitlines(keepends=True), *sample("microsoft_redacted").splitlines(keepends=True),
    b"--b\n", b"\n", HEAD, REPORT, b"Content-Transfer-Encoding: base64\n", b"Content-Type: multipart/mixed; boundary*=utf-8''%ff\n",
])  # fmt: skip


@given(st.lists(LINES | st.binary(max_size=40), max_size=60).map(b"".join))
@settings(max_examples=150, deadline=None)
def test_no_bytes_make_the_parser_fail(data):
    result = read(data)
    assert all(not row["reason"].startswith("cannot be parsed") for row in result["unreadable"])
    json.dumps(result)


def fill(folder: pathlib.Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for age, name in enumerate(names):
        (folder / name).write_bytes(sample(name.partition(".")[0]))
        os.utime(folder / name, (10_000 - age, 10_000 - age))


def state(path: pathlib.Path) -> list:
    return sorted((str(item), item.lstat().st_mtime_ns, item.lstat().st_size, item.lstat().st_mode) for item in path.rglob("*"))


def test_a_maildir_is_read_newest_first_and_left_as_it_is(tmp_path):
    fill(tmp_path / "cur", ["yahoo.1:2,S", "generic.2:2,S"])
    fill(tmp_path / "new", ["aol.3"])
    fill(tmp_path / "tmp", ["aol.4"])
    (tmp_path / "cur" / ".hidden").write_text("x")
    os.symlink("/etc/passwd", tmp_path / "cur" / "link")
    os.mkfifo(tmp_path / "new" / "fifo")
    (tmp_path / "new" / "large").write_bytes(b"\0" * 10_000_000)
    (tmp_path / "new" / "secret").write_bytes(b"x")
    os.chmod(tmp_path / "new" / "secret", 0)
    before = state(tmp_path)
    result = feedback.collect(Mailbox(str(tmp_path)), TRUST)
    assert [row["file"] for row in result["reports"]] == ["yahoo.1:2,S", "aol.3", "generic.2:2,S"]
    reasons = {row["file"]: row["reason"] for row in result["unreadable"]}
    if os.geteuid() != 0:  # root may read everything
        assert reasons.pop("secret").startswith("cannot be read")
    assert reasons == {"link": "is no regular file", "fifo": "is no regular file", "large": "is larger than 1048576 bytes"}
    assert state(tmp_path) == before


def test_a_folder_that_is_a_symbolic_link_is_not_followed(tmp_path):
    fill(tmp_path / "elsewhere", ["yahoo.1"])
    fill(tmp_path / "box" / "cur", ["aol.1"])
    os.symlink(tmp_path / "elsewhere", tmp_path / "box" / "new")
    result = feedback.collect(Mailbox(str(tmp_path / "box")), TRUST)
    assert [row["file"] for row in result["reports"]] == ["aol.1"]
    assert [row["file"] for row in result["unreadable"]] == ["new"]


def test_a_file_that_became_a_link_meanwhile_is_not_followed(tmp_path, monkeypatch):
    fill(tmp_path / "cur", ["yahoo.1"])
    fill(tmp_path / "new", [])
    box = Mailbox(str(tmp_path))
    real = box._candidates

    def swap(folders, odd):
        yield from list(real(folders, odd))
        (tmp_path / "cur" / "yahoo.1").unlink()
        os.symlink(DATA / "aol.eml", tmp_path / "cur" / "yahoo.1")

    monkeypatch.setattr(box, "_candidates", swap)
    assert [message.data for message in box] == [None]


def test_a_directory_has_a_limit_and_a_window(tmp_path):
    fill(tmp_path, ["yahoo.eml", "aol.eml", "generic.eml", "yahoo.txt"])
    box = Mailbox(str(tmp_path), limit=2)
    assert [message.file for message in box] == ["yahoo.eml", "aol.eml"]
    assert box.left_out == 1
    assert [message.file for message in Mailbox(str(tmp_path), since=10_000)] == ["yahoo.eml"]


def mbox(path: pathlib.Path) -> pathlib.Path:
    with path.open("wb") as file:
        for number, name in enumerate(["yahoo", "aol", "generic"]):
            file.write(
                b"From x@y.example Mon Nov %d 09:00:00 2026\n" % (21 + number) + sample(name).replace(b"\n\nFrom ", b"\n\n>From ") + b"\n"
            )
        file.write(b"From x Tue Nov 24 09:00:00 2026\n" + b"x" * 2_000_000 + b"\nFrom here it goes on\n\n")
    return path


def test_an_mbox_file_is_read_newest_first_and_left_as_it_is(tmp_path):
    path = mbox(tmp_path / "fbl")
    path.chmod(0o400)
    before = state(tmp_path)
    box = Mailbox(str(path))
    result = feedback.collect(box, TRUST)
    assert [row["message_id"] for row in result["reports"]][1:] == ["prize-0002@alpha.test", "prize-0001@alpha.test"]
    assert [(row["file"], row["provider"]) for row in result["reports"]] == [("fbl:3", "generic"), ("fbl:2", "aol"), ("fbl:1", "yahoo")]
    assert result["unreadable"] == [{"file": "fbl:4", "reason": "is larger than 1048576 bytes"}]
    assert (state(tmp_path), box.left_out) == (before, 0)
    box = Mailbox(str(path), limit=2)
    assert ([message.file for message in box], box.left_out) == (["fbl:4", "fbl:3"], 2)
    assert [message.file for message in Mailbox(str(path), since=1795334400)] == ["fbl:4", "fbl:3", "fbl:2"]  # 22 November, 08:00


@given(st.lists(st.sampled_from([b"From a Mon Nov 23 09:00:00 2026\n", b"\n", b"\r\n", b"x", b"From ", b"\0" * 70_000]), max_size=20))
@settings(max_examples=50, deadline=None)
def test_any_mbox_file_can_be_walked(tmp_path_factory, pieces):
    path = tmp_path_factory.mktemp("mbox") / "box"
    path.write_bytes(b"".join(pieces))
    for message in Mailbox(str(path), "mbox"):
        assert message.data is not None


@pytest.mark.parametrize("name", ["nothing", "fifo"])
def test_what_is_no_mailbox_is_named(tmp_path, name):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(MailboxError, match=rf"{tmp_path}/{name} "):
        list(Mailbox(str(tmp_path / name)))


def test_the_module_itself(tmp_path):
    """One run through Ansible: relative imports, argument spec and the whole result."""
    box = tmp_path / "box"
    box.mkdir()
    for name in ("yahoo", "aol", "microsoft_redacted"):
        (box / f"{name}.eml").write_bytes(sample(name))
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 60))
    (tmp_path / "mail.log").write_text(
        f"{stamp} mx1 postfix/submission/smtpd[1]: AB12CD34EF: client=x[192.0.2.55], sasl_method=PLAIN, sasl_username=Eve@alpha.test\n"
        f"{stamp} mx1 postfix/cleanup[2]: AB12CD34EF: message-id=<prize-0001@alpha.test>\n"
    )
    options = {
        "path": str(box),
        "authserv_id": "mx1.example.test",
        "own_headers": ["X-Authenticated-Sender"],
        "senders": [{"prize-0002@alpha.test": {"account": "bob@alpha.test"}}],
        "read_log": True,
        "log_paths": [str(tmp_path / "mail.log")],
    }
    done = subprocess.run(
        ["ansible", "localhost", "-i", "localhost,", "-c", "local", "-m", "feedback_report_info", "-a", json.dumps(options)],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "false", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.partition("=>")[2])
    assert result["accounts"] == {"eve@alpha.test": 1, "bob@alpha.test": 1, "mallory@alpha.test": 1}
    assert result["senders"]["prize-0001@alpha.test"]["client"] == "192.0.2.55"
    assert (result["changed"], result["message_ids"], result["left_out"], result["unreadable"]) == (False, [], 0, [])

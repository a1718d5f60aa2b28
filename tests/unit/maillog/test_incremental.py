# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A log that is read piece by piece, over rotations and runs that were cut off, gives what one reading of the whole gives."""

from __future__ import annotations

import datetime
import gzip
import os
import shutil
import sqlite3
import typing as t
from pathlib import Path

import pytest
import yaml
from goodstanding_src.library import mail_log_info
from goodstanding_src.module_utils.goodstanding.maillog import discover, sources
from goodstanding_src.module_utils.goodstanding.maillog.book import Book
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NOW = 1795500000.0  # 2026-11-24T06:00:00Z
ROOT = Path(__file__).resolve().parents[3]
REPLIES = yaml.safe_load((ROOT / "catalogue/provider_replies.yml").read_text(encoding="utf-8"))["replies"]
RECEIVERS = [{"id": "r", "suffixes": [".r.test"]}, {"id": "m", "suffixes": [".m.test"]}]
BLOCKED = "550 5.7.1 Unfortunately, messages from [198.51.100.11] weren't sent. part of their network is on our block list (S3150)."


def story(minutes: int = 100) -> list[tuple[float, str]]:
    """Times and messages of three accounts, of local mail, of a content filter, of failed logins, over some minutes."""
    lines: list[tuple[float, str]] = []
    for number in range(minutes):
        time = NOW - 3 * 3600 + number * 60
        # Short queue IDs that are used again, and two messages under way at once.
        one, two, login = f"{0xA0000000 + number % 7:X}", f"{0xB0000000 + number % 5:X}", f"user{number % 3}@alpha.test"
        relayed, arrived, notice = f"{0xC0000000 + number % 7:X}", f"{0xD0000000 + number % 5:X}", f"{0xE0000000 + number % 3:X}"
        for second, text in enumerate((
            f"postfix/submission/smtpd[1]: {one}: client=unknown[203.0.113.{number}], sasl_method=PLAIN, sasl_username={login}",
            f"postfix/cleanup[2]: {one}: message-id=<{number}@x>",
            f"postfix/qmgr[3]: {one}: from=<{login}>, size=553, nrcpt=3 (queue active)",
            f"postfix/pickup[4]: {two}: uid=33 from=<www-data>",
            f"postfix/qmgr[3]: {two}: from=<www-data@mx1>, size=99, nrcpt=1 (queue active)",
            f"postfix/smtp[5]: {one}: to=<a@d.test>, relay=r.test[203.0.113.25]:25, delay=1, dsn=2.0.0, status=sent (250 ok)",
            f"postfix/smtp[5]: {one}: to=<b@d.test>, relay=r.test[203.0.113.25]:25, delay=1, dsn=5.1.1, status=bounced (host "
            "r.test[203.0.113.25] said: 550 5.1.1 no such user (in reply to RCPT TO command))",
            f"postfix/smtp[5]: {one}: to=<c@e.test>, relay=m.test[203.0.113.26]:25, delay=1, dsn=5.7.1, status=bounced (host "
            f"m.test[203.0.113.26] said: {BLOCKED} (in reply to MAIL FROM command))",
            f"postfix/qmgr[3]: {one}: removed",
            f"postfix/smtp[5]: {two}: to=<z@d.test>, relay=r.test[203.0.113.25]:25, delay=1, dsn=4.0.0, status=deferred (timed out)",
            f"postfix/qmgr[3]: {two}: removed",
            f"postfix/smtpd[6]: {relayed}: client=unknown[192.0.2.{number}]",
            f"postfix/smtpd[7]: {arrived}: client=unknown[192.0.2.{number}]",
            f"postfix/qmgr[3]: {relayed}: from=<s{number % 9}@w.test>, size=77, nrcpt=1 (queue active)",
            f"postfix/qmgr[3]: {arrived}: from=<s@w.test>, size=78, nrcpt=2 (queue active)",
            f"postfix/smtp[5]: {relayed}: to=<q@d.test>, relay=r.test[203.0.113.25]:25, delay=1, dsn=2.0.0, status=sent (250 ok)",
            f"postfix/lmtp[8]: {arrived}: to=<a@alpha.test>, relay=mx1[private/lmtp], delay=1, dsn=2.0.0, status=sent (250 ok)",
            f"postfix/smtp[5]: {arrived}: to=<f@d.test>, orig_to=<fwd@alpha.test>, relay=r.test[203.0.113.25]:25, delay=1, dsn=5.1.1, "
            "status=bounced (host r.test[203.0.113.25] said: 550 5.1.1 no such user (in reply to RCPT TO command))",
            f"postfix/bounce[9]: {arrived}: sender non-delivery notification: {notice}",
            f"postfix/qmgr[3]: {notice}: from=<>, size=99, nrcpt=1 (queue active)",
            f"postfix/qmgr[3]: {relayed}: removed",
            f"postfix/qmgr[3]: {arrived}: removed",
            f"postfix/smtp[5]: {notice}: to=<s@w.test>, relay=r.test[203.0.113.25]:25, delay=1, dsn=5.1.1, status=bounced (host "
            "r.test[203.0.113.25] said: 550 5.1.1 no such user (in reply to RCPT TO command))",
            f"postfix/qmgr[3]: {notice}: removed",
            f"dovecot: imap-login: Logged in: user=<{login}>, method=PLAIN, rip=203.0.113.{number}, lip=198.51.100.12, TLS, session=<x>",
            f"dovecot: imap-login: Login aborted: Connection closed (auth failed, 1 attempts in 2 secs) (auth_failed): user=<{login}>, "
            "method=PLAIN, rip=192.0.2.9, lip=198.51.100.12, session=<y>",
        )):  # fmt: skip
            lines.append((time + second, text))
    return lines


def stamped(lines: list[tuple[float, str]], form: str = "rfc3339") -> bytes:
    """The same lines as a logger writes them."""
    texts = []
    for time, text in lines:
        moment = datetime.datetime.fromtimestamp(time, datetime.timezone.utc)
        if form == "rfc3339":
            texts.append(f"{moment.isoformat(timespec='microseconds')} mx1 {text}")
        elif form == "journal":
            texts.append(f"{moment.strftime('%Y-%m-%dT%H:%M:%S.%f+0000')} mx1 {text}")
        elif form == "rfc3164":
            texts.append(f"{moment.strftime('%b')} {moment.day:2} {moment.strftime('%H:%M:%S')} mx1 {text}")
        else:
            tag, _, message = text.partition(": ")
            program, _, pid = tag.partition("[")
            texts.append(f"<22>1 {moment.isoformat(timespec='microseconds')} mx1 {program} {pid.rstrip(']') or '-'} - - {message}")
    return ("\n".join(texts) + "\n").encode()


LOG = stamped(story())


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(mail_log_info, "load_state", lambda name: {})


def ask(folder: Path, now: float = NOW, check_mode: bool = False, **fields: t.Any) -> tuple[dict, str | None]:
    params = {
        "source": "file", "paths": [str(folder / "mail.log")], "window": 24, "accepted_since": {}, "history": 15, "watch": ["d.test"],
        "controller_time": None, "clock_tolerance": 60, "receivers": RECEIVERS,
        "state": str(folder / "state/maillog.db"), "replies": REPLIES, "addresses": ["198.51.100.11"], **fields,
    }  # fmt: skip
    return mail_log_info.run(params, now, check_mode)


def told(result: dict) -> dict:
    """What must not depend on how the log was read; of the evidence only that it is there."""
    accounts = {name: {**account, "evidence": len(account["evidence"])} for name, account in result["accounts"].items()}
    return {**{name: result[name] for name in ("span", "gaps", "refusals", "taken", "receivers", "hours")}, "accounts": accounts}


def whole(folder: Path, data: bytes = LOG) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mail.log").write_bytes(data)
    os.utime(folder / "mail.log", (NOW, NOW))
    result, warning = ask(folder)
    assert warning is None
    return told(result)


def test_the_whole_is_counted_right(tmp_path):
    result = whole(tmp_path)
    users = [result["accounts"][f"user{number}@alpha.test"] for number in range(3)]
    assert [account["messages"] for account in users] == [34, 33, 33]
    assert [account["recipients"] for account in users] == [102, 99, 99]
    for account in users:
        assert (
            account["sent"]
            == account["unknown_recipients"]
            == account["reputation_refusals"]
            == account["failed_logins"]
            == account["messages"]
        )
        assert (account["bounced"], account["logins"], account["bytes"]) == (
            2 * account["messages"],
            account["messages"],
            553 * account["messages"],
        )
        assert (account["clients_at_least"], account["failed_clients"]) == (account["messages"], ["192.0.2.9"])
    begin = NOW - 3 * 3600
    assert [account["last_accepted"] for account in users] == [begin + 60 * minute + 2 for minute in (99, 97, 98)]
    # Five messages a minute, three of them without a login, for an hour and forty minutes.
    hour = int(begin // 3600)
    assert result["hours"] == [[hour, 300, 60], [hour + 1, 200, 40]]
    assert users[0]["hours"] == [[hour, 20, 20], [hour + 1, 14, 14]]
    local = result["accounts"]["uid:33"]
    assert (local["messages"], local["deferred"], local["clients"]) == (100, 100, [])
    without = {name: result["accounts"][name] for name in ("relay:internet", "forward:fwd@alpha.test", "backscatter:")}
    assert {name: (row["messages"], row["recipients"], row["sent"], row["unknown_recipients"]) for name, row in without.items()} == {
        "relay:internet": (100, 100, 100, 0), "forward:fwd@alpha.test": (100, 200, 0, 100), "backscatter:": (100, 100, 0, 100),
    }  # fmt: skip
    assert [(row["code"], row["count"], row["domains"], row["accepted"]) for row in result["refusals"]] == [
        ("S3150", 100, ["e.test"], None)
    ]


@pytest.mark.parametrize("form", ["journal", "rfc3164", "rfc5424"])
def test_each_form_of_time_gives_the_same(tmp_path, form):
    expected = whole(tmp_path / "a")
    assert whole(tmp_path / "b", stamped(story(), form)) == expected


def rotate(folder: Path, how: str) -> None:
    """Do as logrotate does."""
    log = folder / "mail.log"
    if not log.exists() or how == "none":
        return
    for number in range(8, 0, -1):
        for suffix in ("", ".gz"):
            if (folder / f"mail.log.{number}{suffix}").exists():
                (folder / f"mail.log.{number}{suffix}").rename(folder / f"mail.log.{number + 1}{suffix}")
    if how == "copytruncate":
        shutil.copy2(log, folder / "mail.log.1")
        os.truncate(log, 0)
    else:
        log.rename(folder / "mail.log.1")
    if how == "compressed":
        with gzip.open(folder / "mail.log.1.gz", "wb") as file:
            file.write((folder / "mail.log.1").read_bytes())
        (folder / "mail.log.1").unlink()


STEPS = st.lists(
    st.tuples(
        st.integers(0, len(LOG)),
        st.sampled_from(["none", "none", "create", "copytruncate", "compressed"]),
        st.sampled_from(["run", "run", "killed", "check mode", "nothing"]),
    ),
    max_size=8,
)


@given(STEPS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_pieces_rotations_and_runs_that_were_cut_off_change_nothing(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("log")
    expected = EXPECTED.setdefault("whole", whole(tmp_path_factory.mktemp("whole")))
    at, age = 0, 100.0
    for to, rotation, then in sorted(steps, key=lambda step: step[0]):
        with (folder / "mail.log").open("ab") as file:
            file.write(LOG[at:to])
        at = max(at, to)
        age -= 1
        # A logger ends its line before the file is rotated.
        if rotation != "none" and LOG[:at].endswith(b"\n"):
            rotate(folder, rotation)
        for path in folder.glob("mail.log*"):
            if path.stat().st_mtime > NOW:
                os.utime(path, (NOW - age, NOW - age))
        if then == "killed":
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Book, "commit", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
                with pytest.raises(KeyboardInterrupt):
                    ask(folder)
        elif then != "nothing":
            ask(folder, check_mode=then == "check mode")
    with (folder / "mail.log").open("ab") as file:
        file.write(LOG[at:])
    os.utime(folder / "mail.log", (NOW, NOW))
    assert told(ask(folder)[0]) == expected
    assert told(ask(folder)[0]) == expected, "and a run without anything new"


EXPECTED: dict[str, dict] = {}


def test_a_run_without_anything_new_reads_nothing(tmp_path):
    whole(tmp_path)
    result, _ = ask(tmp_path)
    assert result["lines"] == 0
    assert result["accounts"]["uid:33"]["messages"] == 100


def test_check_mode_reads_the_memory_and_leaves_it_alone(tmp_path):
    whole(tmp_path)
    state = tmp_path / "state/maillog.db"
    before = state.read_bytes(), state.stat().st_mtime_ns, sorted(path.name for path in state.parent.iterdir())
    with (tmp_path / "mail.log").open("ab") as file:
        file.write(stamped(story(3)))
    result, _ = ask(tmp_path, check_mode=True)
    assert result["lines"] == 78
    assert (state.read_bytes(), state.stat().st_mtime_ns, sorted(path.name for path in state.parent.iterdir())) == before
    assert ask(tmp_path)[0]["lines"] == 78
    shutil.rmtree(tmp_path / "state")
    result, _ = ask(tmp_path, check_mode=True)
    assert not (tmp_path / "state").exists()


def test_a_rotation_that_was_removed_is_a_hole(tmp_path):
    whole(tmp_path)
    with (tmp_path / "mail.log").open("ab") as file:
        file.write(stamped(story(3)))
    (tmp_path / "mail.log").unlink()
    (tmp_path / "mail.log").write_bytes(stamped([(NOW - 60, "postfix/qmgr[3]: x"), (NOW - 50, "postfix/qmgr[3]: y")]))
    for _ in range(2):  # it stays a hole in the runs after
        result, _ = ask(tmp_path)
        assert result["complete"] is False
        assert "read up to a place that is gone" in result["gaps"][0]
    assert result["accounts"]["uid:33"]["messages"] == 100


def test_a_number_that_lacks_between_the_rotations_is_a_hole(tmp_path):
    for name in ("mail.log", "mail.log.1", "mail.log.3"):
        (tmp_path / name).write_bytes(stamped([(NOW - 60, f"postfix/qmgr[3]: {name}")]))
    result, _ = ask(tmp_path)
    assert result["gaps"] == [f"{tmp_path}/mail.log.2 is missing between its rotations"]
    (tmp_path / "mail.log.2.gz").touch()  # a day without mail
    assert ask(tmp_path)[0]["gaps"] == []


def test_what_journald_dropped_stays_known(tmp_path):
    whole(tmp_path, LOG + stamped([(NOW - 60, "systemd-journald[1]: Suppressed 4711 messages from postfix@-.service")]))
    result, _ = ask(tmp_path)
    assert (result["complete"], result["lines"]) == (False, 0)
    assert "Suppressed 4711 messages" in result["gaps"][0]


def test_what_an_account_did_before_it_was_reinstated_is_forgotten_out_of_the_memory_too(tmp_path, monkeypatch):
    whole(tmp_path)
    monkeypatch.setattr(mail_log_info, "load_state", lambda name: {"user1@alpha.test": NOW})
    for _ in range(2):
        accounts = ask(tmp_path, now=NOW + 60)[0]["accounts"]
        assert "user1@alpha.test" not in accounts
        assert accounts["user2@alpha.test"]["messages"] == 33


@pytest.mark.parametrize("damage", ["text", "another version", "directory"])
def test_a_memory_that_cannot_be_used_is_named_or_made_anew(tmp_path, damage):
    expected = whole(tmp_path)
    state = tmp_path / "state/maillog.db"
    if damage == "another version":
        with sqlite3.connect(state) as db:
            db.execute("UPDATE meta SET value = '\"0\"' WHERE key = 'version'")
    else:
        state.unlink()
        state.mkdir() if damage == "directory" else state.write_text("no database at all, and longer than a header of one " * 90)
    result, warning = ask(tmp_path)
    assert told(result) == expected
    assert (warning is None) is (damage == "another version")


def test_a_disk_that_is_full_costs_the_memory_and_no_answer(tmp_path, monkeypatch):
    whole(tmp_path / "a")

    def full(self):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Book, "commit", full)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/mail.log").write_bytes(LOG)
    result, warning = ask(tmp_path / "b")
    assert result["accounts"]["uid:33"]["messages"] == 100
    assert "disk is full" in (warning or "")


HOSTILE = [
    b"\0" * 100_000 + b"\n", b"\xff\xfe\xfd" * 1000 + b"\n", b"2026-11-24T05:00:00.5+00:00 mx1 postfix/smtpd[1]: "
    + b"(" * 10_000_000 + b"\n",
    b"x" * 300_000, b"\n\n\n", b"<22>1 garbage\n", b"2099-01-01T00:00:00+00:00 mx1 postfix/qmgr[1]: AB12CD34EF: removed\n",
]  # fmt: skip


def test_junk_is_counted_and_changes_no_verdict(tmp_path):
    expected = whole(tmp_path / "a")
    data = b"".join(piece for junk in HOSTILE for piece in (junk, b"\n"))
    (tmp_path / "b").mkdir()
    (tmp_path / "b/mail.log").write_bytes(data + LOG)
    result, _ = ask(tmp_path / "b")
    assert told(result)["accounts"] == expected["accounts"]
    assert result["unparsed"] >= 4
    assert all(len(sample) <= 200 for sample in result["unparsed_samples"])


def test_a_compressed_rotation_that_is_cut_short_is_named(tmp_path):
    (tmp_path / "mail.log").write_bytes(LOG)
    packed = gzip.compress(LOG)
    (tmp_path / "mail.log.2.gz").write_bytes(packed[: len(packed) // 2])
    os.utime(tmp_path / "mail.log.2.gz", (NOW - 9000, NOW - 9000))
    with pytest.raises(sources.SourceError, match=r"mail\.log\.2\.gz cannot be read"):
        ask(tmp_path)


def test_a_content_filter_puts_mail_in_again_and_its_bounces_reach_the_account(tmp_path):
    lines = [
        "postfix/submission/smtpd[1]: AB12CD34EF: client=u[203.0.113.3], sasl_method=PLAIN, sasl_username=eve@alpha.test",
        "postfix/qmgr[3]: AB12CD34EF: from=<eve@alpha.test>, size=553, nrcpt=1 (queue active)",
        "postfix/10025/smtpd[1]: CD12CD34EF: client=localhost[127.0.0.1]",
        "postfix/qmgr[3]: CD12CD34EF: from=<eve@alpha.test>, size=653, nrcpt=1 (queue active)",
        # Its delivery may be faster than the filter's answer.
        "postfix/smtp[5]: CD12CD34EF: to=<a@d.test>, relay=r.test[203.0.113.25]:25, delay=1, dsn=5.1.1, status=bounced (host r said: no)",
        "postfix/smtp[6]: AB12CD34EF: to=<a@d.test>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, dsn=2.0.0, status=sent (250 2.0.0 from "
        "MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as CD12CD34EF)",
        "postfix/qmgr[3]: AB12CD34EF: removed",
        "postfix/smtp[5]: CD12CD34EF: to=<b@d.test>, relay=r.test[203.0.113.25]:25, delay=1, dsn=5.1.1, status=bounced (host r said: no)",
    ]
    result = whole(tmp_path, stamped([(NOW - 60 + second, text) for second, text in enumerate(lines)]))
    account = result["accounts"]["eve@alpha.test"]
    # That the filter took it is no delivery.
    counted = [account[name] for name in ("messages", "recipients", "sent", "bounced", "unknown_recipients")]
    assert counted == [1, 1, 0, 2, 2]
    assert list(result["accounts"]) == ["eve@alpha.test"]


@pytest.mark.parametrize("copy", ["mail.log.1", "mail.log.1.gz"])
def test_a_copy_that_is_there_for_a_moment_is_not_counted_twice(tmp_path, copy):
    """Compressed and not yet removed, or copied and not yet truncated."""
    expected = whole(tmp_path)
    (tmp_path / copy).write_bytes(gzip.compress(LOG) if copy.endswith(".gz") else LOG)
    os.utime(tmp_path / copy, (NOW - 9, NOW - 9))
    assert told(ask(tmp_path)[0]) == expected
    assert whole(tmp_path / "fresh") == expected


def test_a_file_that_lost_its_end_is_a_hole_and_is_not_read_again(tmp_path):
    whole(tmp_path)
    half = LOG.rfind(b"\n", 0, len(LOG) // 2) + 1
    (tmp_path / "mail.log").write_bytes(LOG[:half])
    for _ in range(3):
        result, _ = ask(tmp_path)
        assert result["accounts"]["uid:33"]["messages"] == 100
        assert "is shorter than what was read of it" in result["gaps"][0]


def journal(folder: Path, monkeypatch, holds: bool, said: str = "") -> None:
    """A journalctl that holds the log, and the place of a cursor or not."""
    program = folder / "bin/journalctl"
    program.parent.mkdir(parents=True, exist_ok=True)
    (folder / "journal").write_bytes(stamped(story(), "journal"))
    answer = 'echo "-- cursor: ${arg#--cursor=}"' if holds else 'echo "-- cursor: another"'
    program.write_text(f"""#!/bin/sh
for arg; do case $arg in
--cursor=*) {answer}; exit;;
--after-cursor=*) echo '{said}' >&2; exit;;
esac; done
cat {folder}/journal; echo '{said}' >&2; echo '-- cursor: s=1;i=2'
""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_the_journal_goes_on_at_its_cursor(tmp_path, monkeypatch):
    expected = whole(tmp_path / "file")
    journal(tmp_path, monkeypatch, holds=True)
    for lines in (2600, 0):
        result, _ = ask(tmp_path, source="journal")
        assert (result["lines"], told(result)) == (lines, expected)


def test_a_journal_that_lost_its_place_is_read_anew_counts_nothing_twice_and_says_so(tmp_path, monkeypatch):
    journal(tmp_path, monkeypatch, holds=False)
    assert ask(tmp_path, source="journal")[0]["complete"] is True
    for _ in range(2):
        result, _ = ask(tmp_path, source="journal")
        assert result["accounts"]["uid:33"]["messages"] == 100
        assert "does not hold the place" in result["gaps"][0]


def test_what_journalctl_complains_of_is_a_hole(tmp_path, monkeypatch):
    journal(tmp_path, monkeypatch, holds=True, said="Journal file x is truncated, ignoring file.")
    assert ask(tmp_path, source="journal")[0]["gaps"] == ["journalctl: Journal file x is truncated, ignoring file."]


def since_lock(folder: Path, now: float, **fields: t.Any) -> dict:
    result, warning = ask(folder, now, accepted_since={"user0@alpha.test": now - 60}, window=1, **fields)
    assert warning is None
    return result


def test_a_reading_since_a_lock_knows_what_was_refused_before_its_window(tmp_path):
    later = NOW + 2 * 86400 - 4800
    again = b"\n".join(line.replace(b"2026-11-24T", b"2026-11-26T", 1) for line in LOG.splitlines() if b"5.7." in line)
    (tmp_path / "mail.log").write_bytes(LOG + again + b"\n")
    first = min(row["first"] for row in ask(tmp_path, later)[0]["refusals"])
    assert first > NOW
    old = ask(tmp_path, later, window=24 * 4)[0]
    known = since_lock(tmp_path, later)
    assert [row["seen"] for row in known["refusals"]] == [row["first"] for row in old["refusals"]]
    assert all(row["seen"] < later - 86400 < row["first"] for row in known["refusals"])
    assert known["refusals_since"] == old["span"]["since"]
    # Without the memory what is older than the reading is not known, and that is said.
    unknown = since_lock(tmp_path, later, state="")
    assert [row["seen"] for row in unknown["refusals"]] == [row["first"] for row in unknown["refusals"]]
    assert unknown["refusals_since"] == unknown["span"]["since"] == later - 2 * 3600


@pytest.mark.parametrize("name", ["uid:33", "uid:WWW-data", " uid:www-data"])
def test_a_local_user_is_counted_by_number_and_by_name(tmp_path, monkeypatch, name):
    user = type("User", (), {"pw_uid": 33, "pw_name": "www-data"})
    known = {33: user, "www-data": user}
    monkeypatch.setattr(discover, "pwd", type("Users", (), {"getpwuid": known.__getitem__, "getpwnam": known.__getitem__}))
    (tmp_path / "mail.log").write_bytes(LOG)
    since = NOW - 3 * 3600 + 50 * 60 - 1
    result = ask(tmp_path, accepted_since={name: since, "uid:4294967296": since, "uid:nobody-here": since})[0]["since"]
    assert result[name.strip().lower()] == {
        "time": since, "accepted_since": 50, "refused_since": 0, "submitted_since": 50, "logins_since": 0,
    }  # fmt: skip
    assert [result[other]["submitted_since"] for other in ("uid:4294967296", "uid:nobody-here")] == [0, 0]


@pytest.mark.parametrize("damage", [b"no database", b""])
def test_a_damaged_memory_knows_no_older_refusals(tmp_path, damage):
    (tmp_path / "mail.log").write_bytes(LOG)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/maillog.db").write_bytes(damage)
    result = since_lock(tmp_path, NOW)
    assert result["refusals_since"] == result["span"]["since"]
    assert (tmp_path / "state/maillog.db").read_bytes() == damage


@pytest.mark.parametrize("older", [True, False])
def test_how_far_back_the_journal_reaches_is_asked_of_it(tmp_path, monkeypatch, older):
    journal(tmp_path, monkeypatch, holds=True)
    program = tmp_path / "bin/journalctl"
    said = "echo before; echo '-- cursor: s=1;i=1'" if older else "true"
    program.write_text(program.read_text().replace("case $arg in\n", f"case $arg in\n--until=*) {said}; exit;;\n"))
    first = ask(tmp_path, source="journal")[0]["span"]["since"]
    result = ask(tmp_path, source="journal", accepted_since={"user0@alpha.test": NOW - 60})[0]
    assert result["span"]["since"] == (NOW - 25 * 3600 if older else first)


def test_another_source_begins_anew(tmp_path, monkeypatch):
    expected = whole(tmp_path)
    journal(tmp_path, monkeypatch, holds=True)
    assert told(ask(tmp_path, source="journal")[0]) == expected


def test_auto_takes_the_journal_where_the_file_is_not_written_any_more(tmp_path, monkeypatch):
    whole(tmp_path)
    os.utime(tmp_path / "mail.log", (NOW - 3 * 86400, NOW - 3 * 86400))
    journal(tmp_path, monkeypatch, holds=True)
    assert ask(tmp_path, source="auto")[0]["source"]["kind"] == "journal"


def test_a_damaged_memory_is_put_aside(tmp_path):
    expected = whole(tmp_path)
    state = tmp_path / "state/maillog.db"
    data = bytearray(state.read_bytes())
    data[4096 * 2 : 4096 * 6] = b"\xff" * 4096 * 4
    state.write_bytes(data)
    result, warning = ask(tmp_path)
    assert told(result) == expected
    assert "maillog.db.damaged" in (warning or "")
    assert (tmp_path / "state/maillog.db.damaged").exists()
    result, warning = ask(tmp_path)
    assert (told(result), warning) == (expected, None)


def test_a_line_of_the_future_does_not_hide_silence(tmp_path):
    far = stamped([(NOW + 400 * 86400, "postfix/qmgr[3]: x")])
    whole(tmp_path, LOG + far)
    result, _ = ask(tmp_path, now=NOW + 5 * 86400)
    assert "no line of the mail log" in result["gaps"][0]


def one_account(tmp_path, *messages: str) -> dict:
    return whole(tmp_path, stamped([(NOW - 600 + number * 0.1, text) for number, text in enumerate(messages)]))


def sent(number: int, address: str) -> list[str]:
    queue_id = f"AB{number:08X}"
    return [
        f"postfix/smtpd[1]: {queue_id}: client=u[{address}], sasl_method=PLAIN, sasl_username=eve@alpha.test",
        f"postfix/qmgr[3]: {queue_id}: from=<eve@alpha.test>, size=5, nrcpt=1 (queue active)",
    ]


def test_many_failed_logins_do_not_hide_from_where_the_mail_came(tmp_path):
    failed = [
        f"postfix/smtpd[1]: warning: u[10.0.{number >> 8}.{number & 255}]: SASL PLAIN authentication failed: x, "
        "sasl_username=eve@alpha.test"
        for number in range(450)
    ]
    account = one_account(tmp_path, *failed, *[text for number in range(60) for text in sent(number, f"203.0.113.{number}")])["accounts"]
    assert account["eve@alpha.test"]["clients_at_least"] == 60
    assert account["eve@alpha.test"]["failed_clients_at_least"] == 100


def test_who_calls_itself_by_a_login_is_nobody(tmp_path):
    reject = "postfix/smtpd[1]: NOQUEUE: reject: RCPT from u[1.2.3.4]: 554 5.7.1 no; from=<a> to=<b> proto=ESMTP helo=<x"
    lines = [
        f"{reject} sasl_username=eve>",
        f"{reject}> sasl_method=PLAIN sasl_username=eve>",
        f"{reject}> sasl_method=PLAIN sasl_username=bob",
    ]
    assert list(one_account(tmp_path, *lines)["accounts"]) == ["bob"]


def test_mail_that_a_milter_refused_frees_its_queue_id(tmp_path):
    begun, active = sent(1, "203.0.113.3")
    refused = "postfix/cleanup[2]: AB00000001: milter-reject: END-OF-MESSAGE from u[203.0.113.3]: 4.7.1 Ratelimit exceeded; from=<eve>"
    assert one_account(tmp_path, begun, refused, active)["accounts"]["eve@alpha.test"]["messages"] == 0


def test_a_content_filter_that_takes_mail_is_not_the_receiver(tmp_path):
    hop = "postfix/smtp[5]: AB12CD34EF: to=<a@d.test>, relay={}:10024, delay=1, dsn=2.0.0, status=sent (250 ok)"
    assert one_account(tmp_path, hop.format("127.0.0.1[127.0.0.1]"), hop.format("amavis[10.1.2.3]"))["taken"] == []
    assert len(one_account(tmp_path / "b", hop.format("mx.d.test[203.0.113.25]"))["taken"]) == 1


def test_the_memory_does_not_grow_without_end(tmp_path):
    for run in range(3):
        begun = [text for number in range(50) for text in sent(run * 1000 + number, "203.0.113.3")[:1]]
        (tmp_path / "mail.log").write_bytes(stamped([(NOW + run * 9 * 86400, text) for text in begun]))
        os.utime(tmp_path / "mail.log", (NOW + run * 9 * 86400, NOW + run * 9 * 86400))
        ask(tmp_path, now=NOW + run * 9 * 86400 + 60)
    with sqlite3.connect(tmp_path / "state/maillog.db") as db:
        assert db.execute("SELECT count(*) FROM open").fetchone() == (100,)


def test_mail_from_here_that_never_gets_an_owner_keeps_no_place():
    """A queue ID that is used again, refused or removed gives free what waited for its owner."""
    from goodstanding_src.module_utils.goodstanding.maillog.parser import MailLog

    log = MailLog(NOW, NOW - 3600)
    begun = "postfix/smtpd[1]: AB12CD34EF: client=localhost[127.0.0.1]"
    waits = "postfix/smtp[5]: AB12CD34EF: to=<a@d.test>, relay=none, delay=1, dsn=5.1.1, status=bounced (no)"
    ends = [
        begun,
        "postfix/qmgr[3]: AB12CD34EF: removed",
        "postfix/postsuper[3]: AB12CD34EF: removed",
        "postfix/pickup[3]: AB12CD34EF: uid=33 from=<w>",
        "postfix/cleanup[2]: AB12CD34EF: milter-reject: END-OF-MESSAGE from localhost[127.0.0.1]: 4.7.1 no",
        sent(0, "203.0.113.3")[0].replace("AB00000000", "AB12CD34EF"),
    ]
    for end in ends:
        for text in ("postfix/qmgr[3]: AB12CD34EF: removed", begun, waits):
            log.feed_lines(stamped([(NOW - 60, text)]).decode().splitlines())
        assert log.waiting == 1
        log.feed_lines(stamped([(NOW - 60, end)]).decode().splitlines())
        assert log.waiting == 0, end

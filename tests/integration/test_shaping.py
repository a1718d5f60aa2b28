# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail to many domains whose servers are one receiver's goes by one transport of each host's real Postfix, whose limit they share.

The lab's receiver has every domain below world.test, by one server below example.test. How long things take is printed, not asserted.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOSTS, lab, module, on

#: Both do the same, and wait for rates to show.
EACH = [HOSTS[0], pytest.param(HOSTS[1], marks=pytest.mark.soak)]

ENTRIES = [{"id": "world", "suffixes": [".example.test"]}]
LIMIT = 2
DOMAINS = 12
# Every file of Postfix's configuration with its owner and mode.
FILES = "find /etc/postfix -type f -exec sha256sum {} + | sort -k2; stat -c '%n %a %U %G' /etc/postfix/*"
SEND = f"""
for round in 1 2 3 4; do for number in $(seq {DOMAINS}); do
    printf 'Subject: shaped\\n\\nx\\n' | sendmail -f alice@alpha.test known$round@shaped$number.world.test
done; done
"""
# How many connections to the receiver there are at once, looked at all the time until the queue is empty.
WATCH = """
postqueue -f
most=0
for _ in $(seq 600); do
    now=$(ss -Htn state established dst 203.0.113.25:25 | wc -l)
    [ "$now" -gt "$most" ] && most=$now
    mailq | grep -q 'queue is empty' && break
    sleep 0.05
done
echo "$most"
"""
LOG = "if [ -s /var/log/mail.log ]; then cat /var/log/mail.log; else journalctl -q --no-pager -o short-iso-precise SYSLOG_FACILITY=2; fi"


def bash(host: str, text: str) -> str:
    return on(host, "bash", "-c", text, check=False)


def together(host: str) -> tuple[int, float]:
    """Let a backlog go all at once; return how many connections there were at most, and in how many seconds it went."""
    bash(host, "postconf -e defer_transports=smtp,goodstanding-world && postfix reload; sleep 2")
    bash(host, SEND)
    bash(host, "postconf -X defer_transports && postfix reload; sleep 2")
    began = time.monotonic()
    return int(bash(host, WATCH).split()[-1]), time.monotonic() - began


def delivered(host: str, by: str) -> int:
    return sum(f" {by}[" in line and "@shaped" in line and "status=sent" in line for line in bash(host, LOG).splitlines())


@pytest.fixture(scope="module", autouse=True)
def fresh():
    lab("reset")


@pytest.mark.parametrize("host", EACH)
def test_domains_of_one_receiver_share_its_limit(host):
    before = bash(host, FILES)
    unshaped, seconds = together(host)
    print(f"{host}: unshaped at most {unshaped} connections at once, {seconds:.1f} s")
    assert not module(host, "mail_log_info", receivers=ENTRIES)["failed"]

    wanted = {"receivers": {"world": {"concurrency": LIMIT}}}
    shaped = module(host, "mail_shaping", **wanted)
    assert not shaped["failed"], shaped
    assert shaped["transports"]["goodstanding-world"] >= DOMAINS
    assert module(host, "mail_shaping", **wanted)["changed"] is False
    assert bash(host, "postmap -q shaped1.world.test lmdb:/etc/postfix/goodstanding_transport").strip() == "goodstanding-world:"
    assert bash(host, "postmap -q alpha.test lmdb:/etc/postfix/goodstanding_transport").strip() == ""

    most, seconds = together(host)
    print(f"{host}: shaped at most {most} connections at once, {seconds:.1f} s")
    assert most <= LIMIT
    assert delivered(host, "postfix/goodstanding-world/smtp") == 4 * DOMAINS

    # Mail that waits while its transport goes is delivered by the default one.
    bash(host, "postconf -e defer_transports=goodstanding-world && postfix reload; sleep 2")
    bash(host, SEND)
    bash(host, "postconf -X defer_transports")
    plain = delivered(host, "postfix/smtp")
    assert module(host, "mail_shaping", state="absent")["changed"]
    assert bash(host, FILES) == before
    bash(host, WATCH)
    assert delivered(host, "postfix/smtp") == plain + 4 * DOMAINS
    assert "status=bounced" not in "".join(line for line in bash(host, LOG).splitlines() if "@shaped" in line)
    assert module(host, "mail_shaping", state="absent")["changed"] is False


@pytest.mark.parametrize("host", EACH)
def test_a_rate_counts_recipients(host):
    assert not module(host, "mail_log_info", receivers=ENTRIES)["failed"]
    domains = {f"shaped{number}.world.test": "world" for number in range(1, 4)}
    rated = module(host, "mail_shaping", receivers={"world": {"concurrency": 4}}, domains=domains, rates={"world": 43200})
    assert not rated["failed"], rated
    began = time.monotonic()
    recipients = " ".join(f"known1@shaped{number}.world.test known2@shaped{number}.world.test" for number in range(1, 4))
    bash(host, f"printf 'Subject: rated\\n\\nx\\n' | sendmail -f alice@alpha.test {recipients}")
    bash(host, WATCH)
    took = time.monotonic() - began
    print(f"{host}: 6 recipients at 43,200 a day took {took:.1f} s")
    assert took >= 5 * 2  # five pauses of two seconds between six recipients
    assert module(host, "mail_shaping", state="absent")["changed"]

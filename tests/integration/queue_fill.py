# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a mail host: submit messages of two accounts by port 587, TLS and AUTH. usage: queue_fill.py NUMBER BAD GOOD

Each account sends half of the number, over four sessions; what both write claims to be the other's. Printed: per account the serials that
were accepted, as JSON. A message's recipient is ACCOUNT.SERIAL@dest1.world.test.
"""

from __future__ import annotations

import json
import smtplib
import ssl
import sys
import threading

SESSIONS = 4
TLS = ssl.create_default_context()
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


def send(account: str, sender: str, other: str, serials: range, accepted: list[int]) -> None:
    client = smtplib.SMTP("127.0.0.1", 587, "client.invalid", timeout=120)
    client.starttls(context=TLS)
    client.login(account, "pw-" + account.replace("@", "-"))
    claims = f"sasl_username={other}\r\nA\x20sasl_username={other}\r\n"
    for serial in serials:
        recipient = f"{account.split('@')[0]}.{serial}@dest1.world.test"
        client.sendmail(sender, [recipient], f"From: {other}\r\nSubject: sasl_username={other}\r\n\r\n{claims}")
        accepted.append(serial)
    client.quit()


def main() -> None:
    number, bad, good = int(sys.argv[1]) // 2, sys.argv[2], sys.argv[3]
    accepted: dict[str, list[int]] = {bad: [], good: []}
    # The bad one sends in the other's name, and in a stranger's.
    parts = [(bad, good if half else "chief@forged.test", good, half) for half in (0, 1)] + [(good, good, bad, half) for half in (0, 1)]
    threads = []
    for account, sender, other, half in parts:
        for session in range(SESSIONS // 2):
            serials = range(half + 2 * session, number, SESSIONS)
            threads.append(threading.Thread(target=send, args=(account, sender, other, serials, accepted[account])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(accepted))


if __name__ == "__main__":
    main()

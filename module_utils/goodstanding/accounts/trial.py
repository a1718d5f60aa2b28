# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try a configuration of Postfix by transactions, on an instance of its own that listens on loopback alone and delivers nothing.

postfix check and postconf pass a configuration that answers 451 4.3.5 to everybody; only a transaction tells. Nobody's password is needed:
XCLIENT (Postfix XCLIENT_README) gives a session the login and the address that a client would have. The instance gets its own queue;
what it does not run itself (policy services, SASL) it reaches through the sockets of the running Postfix. Standard library only,
Python >= 3.9.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import grp
import os
import pwd
import shutil
import signal
import smtplib
import socket
import tempfile
import time
from pathlib import Path

from ..host.files import Run, must
from . import dovecot_conf, loopback, postfix_conf

#: The login of the mail that must pass: no sending limit counts it.
CONTROL = "goodstanding-control"
_SYSLOG = "goodstanding-trial"
#: RFC 5737: an address that is in nobody's mynetworks.
_STRANGER = "203.0.113.77"
#: One answer, in seconds: a policy service that hangs holds up the first lock of a host, while the spam goes on.
_PATIENCE = 10
_ATTEMPTS = 2
_FOLDERS = "/var/tmp"  # noqa: S108  # in folders of our own there
_PREFIX = "goodstanding-trial-"
_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "saved", "trace")
#: What delivers. An access map or a header check may name one (FILTER), which no transport setting undoes.
_AGENTS = frozenset(("smtp", "lmtp", "local", "virtual", "pipe"))
_MAIN = {
    "syslog_name": _SYSLOG, "maillog_file": "", "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "multi_instance_enable": "no",
    "content_filter": "", "smtpd_milters": "", "non_smtpd_milters": "", "transport_maps": "", "sender_dependent_default_transport_maps": "",
    "receive_override_options": "", "always_bcc": "", "sender_bcc_maps": "", "recipient_bcc_maps": "", "notify_classes": "",
    **dict.fromkeys(("default_transport", "local_transport", "relay_transport", "virtual_transport", "mailbox_transport"), "discard:"),
}  # fmt: skip
_SMTPD = {
    "syslog_name": _SYSLOG, "smtpd_authorized_xclient_hosts": "127.0.0.1", "smtpd_tls_security_level": "may", "smtpd_tls_wrappermode": "no",
    "smtpd_tls_auth_only": "no", "smtpd_milters": "", "content_filter": "", "smtpd_proxy_filter": "", "receive_override_options": "",
    "smtpd_upstream_proxy_protocol": "", "cleanup_service_name": "cleanup",
}  # fmt: skip

#: The texts of main.cf and of master.cf.
Texts = tuple[str, str]
#: Per service and question (control, relay, locked) the code and the text of the answer.
Answers = dict[str, dict[str, tuple[int, str]]]


def faults(run: Run, now: Texts, new: Texts, maps: dict[str, str], locks: bool) -> list[str]:
    """Ask both configurations the same and return what is wrong with the new one (see compare); HostError where one does not start.

    now, new: main.cf and master.cf. A fault counts that shows twice: a policy service or a resolver may fail for a moment.
    """
    found: list[str] = []
    for _ in range(_ATTEMPTS):
        found = compare(answers(run, *now, maps), answers(run, *new, maps), locks)
        if not found:
            break
    return found


def answers(run: Run, main: str, master: str, maps: dict[str, str]) -> Answers:
    """Start the configuration and return what each smtpd service of it answers; HostError where it does not start.

    main, master: the texts of the two files. maps: sources of lmdb maps (path to text) that the trial has copies of, with their names.
    control: mail of somebody who may send; relay: of a stranger to elsewhere; locked: of the canary, where the service knows logins.
    """
    for left in Path(_FOLDERS).glob(f"{_PREFIX}*"):  # by a trial that was killed
        if left.lstat().st_uid == os.geteuid() and not left.is_symlink():
            _end(str(left))
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=_FOLDERS)
    try:
        services = _prepare(run, folder, main, master, maps)
        recipient = loopback.recipient_of(run, folder)
        must(run, [_master(run), "-c", folder, "-w"], "the configuration does not start as an instance of its own: nothing was changed")
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(services))) as pool:
            asked = {service: pool.submit(_questions, port, logins, recipient) for service, (port, logins) in services.items()}
            return {service: future.result() for service, future in asked.items()}
    finally:
        _end(folder)


def compare(before: Answers, after: Answers, locks: bool) -> list[str]:
    """Return what the configuration would change for others, and where it would not lock, if it is to."""
    found = []
    for service, answered in after.items():
        for question in ("control", "relay"):
            was, now = before.get(service, {}).get(question), answered[question]
            # A list or a resolver that is slow for a moment makes 450 of 554: what counts is whether the mail is taken.
            if was is not None and (was[0] // 100 == 2) != (now[0] // 100 == 2):
                found.append(f"{service} would answer {now[0]} {now[1][:120]} instead of {was[0]} {was[1][:120]} to {_WORDS[question]}")
        if locks and "locked" in answered and "account locked" not in answered["locked"][1]:
            found.append(f"{service} would answer {answered['locked'][0]} {answered['locked'][1][:120]} to a locked account")
    return found


_WORDS = {"control": "mail of somebody who may send", "relay": "mail of a stranger to elsewhere"}


def _master(run: Run) -> str:
    return must(run, ["postconf", "-h", "daemon_directory"], "Postfix's daemons are not found").strip() + "/master"


def _prepare(run: Run, folder: str, main: str, master: str, maps: dict[str, str]) -> dict[str, tuple[int, bool]]:
    """Write the instance's files and folders; return per service its port and whether it knows logins."""
    os.chmod(folder, 0o711)  # noqa: S103  # smtpd reads its configuration as the user postfix
    for path, source in maps.items():
        copy = f"{folder}/{os.path.basename(path)}"
        _write(copy, source)
        must(run, ["postmap", f"lmdb:{copy}"], "a map cannot be made: is the disk full?")
        main, master = main.replace(f"lmdb:{path}", f"lmdb:{copy}"), master.replace(f"lmdb:{path}", f"lmdb:{copy}")
    _write(f"{folder}/main.cf", main)
    _write(f"{folder}/master.cf", master)
    said = must(run, ["postconf", "-c", folder, "-M"], "Postfix's services cannot be read")
    offers = must(run, ["postconf", "-c", folder, "smtpd_sasl_auth_enable"], "main.cf cannot be read")
    settings = postfix_conf.effective(said, must(run, ["postconf", "-c", folder, "-P"], "master.cf cannot be read"), offers)
    lines, services = [], {}
    ports = iter(free_ports(len(said.splitlines())))
    for line in said.splitlines():
        fields = line.split()
        if len(fields) < 8:
            continue
        service, kind, program = fields[0], fields[1], fields[7]
        fields[4] = "n"  # no chroot: there is nothing in the instance's queue
        if program == "smtpd":
            port = next(ports)
            services[f"{service}/{kind}"] = (port, settings[f"{service}/{kind}"]["smtpd_sasl_auth_enable"] == "yes")
            lines.append(
                # Not private, as what postscreen hands on is (smtpd pass): master(8) starts no such inet service.
                _line([f"127.0.0.1:{port}", "inet", "n", *fields[3:]], line)
                + "".join(f" -o {name}={value}" for name, value in _SMTPD.items())
            )
        elif kind != "inet" and program not in ("pickup", "postscreen"):
            lines.append(_line([*fields[:7], "discard"], "") if program in _AGENTS else _line(fields, line))
    queue, data = f"{folder}/queue", f"{folder}/data"
    live = must(run, ["postconf", "-h", "queue_directory"], "Postfix's queue directory is not known").strip()
    _folders(queue, data, live, {line.split()[0] for line in lines})
    _write(f"{folder}/master.cf", "\n".join(lines) + "\n")
    own = {**_MAIN, "queue_directory": queue, "data_directory": data}
    _write(f"{folder}/main.cf", main.rstrip("\n") + "\n" + "".join(f"{name} = {value}\n" for name, value in own.items()))
    return services


def _line(fields: list[str], line: str) -> str:
    """Return a service's line with these first eight fields and the arguments as postconf -M shows them."""
    return " ".join([*fields[:8], *line.split(None, 8)[8:]])


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
    os.chmod(path, 0o644)
    os.utime(path, (1, 1))  # Postfix waits two seconds where a configuration was changed just now


def _folders(queue: str, data: str, live: str, own: set[str]) -> None:
    postfix, postdrop = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
    os.mkdir(queue, 0o755)
    os.mkdir(f"{queue}/pid", 0o755)
    for name, group in [*((name, -1) for name in (*_QUEUES, "private")), ("public", postdrop), ("maildrop", postdrop)]:
        os.mkdir(f"{queue}/{name}", 0o700 if group == -1 else 0o710)
        os.chown(f"{queue}/{name}", postfix, group)
    os.mkdir(data, 0o700)
    os.chown(data, postfix, -1)
    for entry in Path(live, "private").iterdir() if Path(live, "private").is_dir() else ():
        if entry.name not in own:
            os.symlink(entry, f"{queue}/private/{entry.name}")


def free_ports(count: int) -> list[int]:
    """Return that many ports of loopback on which nothing listens, each another one."""
    with contextlib.ExitStack() as held:  # all at once: a port that is let go may be given out again, and master(8) keeps one of two
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((loopback.ADDRESS, 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _questions(port: int, knows_logins: bool, recipient: str) -> dict[str, tuple[int, str]]:
    login = f"LOGIN={CONTROL}" if knows_logins else ""
    found = {
        "control": _ask(port, login, recipient, True),
        "relay": _ask(port, f"ADDR={_STRANGER} NAME=[UNAVAILABLE]", "nobody@trial.invalid", False),
    }
    if knows_logins:
        found["locked"] = _ask(port, f"LOGIN={dovecot_conf.CANARY}", recipient, False)
    return found


def _ask(port: int, xclient: str, recipient: str, send: bool) -> tuple[int, str]:
    """Return the answer to a recipient, or to a whole message; code 0 where the connection failed."""
    try:
        with smtplib.SMTP(loopback.ADDRESS, port, loopback.HELO, timeout=_PATIENCE) as client:
            client.ehlo()
            if xclient:
                code, text = client.docmd("XCLIENT", xclient)
                if code != 220:
                    return code, _text(text)
                client.ehlo()
            code, text = client.mail("")
            if code == 250:
                code, text = client.rcpt(recipient)
            if code == 250 and send:
                code, text = client.data(b"Subject: trial of a configuration\r\n\r\nNot delivered.\r\n")
                if code == 250:
                    text = b"accepted"  # a queue ID is another one each time
            return code, _text(text)
    except (OSError, smtplib.SMTPException) as exc:
        return 0, str(exc)[:200]


def _text(text: bytes) -> str:
    return text.decode("utf-8", "replace")[:200]


def _end(folder: str) -> None:
    """End the instance, by its own pid file, and take its files away."""
    try:
        pid = int(Path(folder, "queue/pid/master.pid").read_text(encoding="utf-8"))
        if os.fsencode(folder) not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            pid = 0  # the number is another process's by now
    except (OSError, ValueError):
        pid = 0
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            for _ in range(100):
                os.kill(pid, 0)
                time.sleep(0.05)
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)

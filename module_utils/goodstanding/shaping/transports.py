# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transport for each receiver in main.cf and master.cf, and the map that sends its domains there: put in, and taken out to the byte.

Sources: postconf(5) "transport_maps", "transport_destination_concurrency_limit", "transport_transport_rate_delay"; transport(5);
master(5) "Process limit". Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import re
import typing as t

from ..host.tokens import NO_END

MAP_SOURCE = "/etc/postfix/goodstanding_transport"
MAP = f"lmdb:{MAP_SOURCE}"
MAP_HEAD = "# Domains by the receiver that the log says they are at. Written by Good Standing (role rate_limit) at each run.\n"
#: Stands for our lines while others are changed, so that they stay where they are: another's lines may have come behind them.
_HERE = "# Good Standing: here\n"
_BEGIN = "# Good Standing: mail shaped by receiver, see the role rate_limit\n"
_END = "# Good Standing: end of the mail shaped by receiver\n"
_PARAMETER = re.compile(r"^transport_maps[ \t]*=", re.MULTILINE)
#: What qmgr reads of a transport by its name: a receiver's has what the one that it stands for has.
INHERITED = (
    "destination_recipient_limit", "destination_concurrency_positive_feedback", "destination_concurrency_negative_feedback",
    "destination_concurrency_failed_cohort_limit", "delivery_slot_cost", "delivery_slot_loan", "delivery_slot_discount",
    "minimum_delivery_slots", "recipient_limit", "extra_recipient_limit", "recipient_refill_limit", "recipient_refill_delay",
)  # fmt: skip


class Transport(t.NamedTuple):
    """concurrency: connections to the receiver in all (master.cf's process limit); domain_concurrency: to one of its domains;
    transport_rate_delay: seconds from the end of a delivery until the next begins, one at a time for the whole receiver;
    destination_rate_delay: the same for each of its domains; single: one recipient a delivery, so that a delay counts recipients."""

    receiver: str
    concurrency: int
    domain_concurrency: int
    transport_rate_delay: int = 0
    destination_rate_delay: int = 0
    single: bool = False

    @property
    def name(self) -> str:
        return f"goodstanding-{self.receiver}"


def services(transports: t.Iterable[Transport], base: str) -> list[str]:
    """Return the lines of master.cf. base: the service that they stand for, as postconf -M shows it."""
    fields = base.split(None, 8)
    options = " ".join(fields[8:])
    # In the log each has its own name. No connection is kept for later: a kept one would come on top of those that are counted.
    ours = "-o syslog_name=postfix/$service_name -o smtp_connection_cache_on_demand=no -o smtp_connection_cache_destinations="
    return [
        " ".join([each.name, *fields[1:6], str(each.concurrency), fields[7]]) + f"\n  {options}" * bool(options) + f"\n  {ours}\n"
        for each in transports
    ]


def parameters(transports: t.Iterable[Transport], base: str, explicit: t.Container[str], initial: int) -> list[str]:
    """Return the lines of main.cf. base: the name of the service that they stand for; explicit: the parameters that main.cf sets; initial:
    with how many connections to a domain Postfix begins."""
    lines = []
    for each in transports:
        values = {
            "destination_concurrency_limit": str(each.domain_concurrency),
            "initial_destination_concurrency": str(min(each.domain_concurrency, initial)),
            "transport_rate_delay": f"{each.transport_rate_delay}s",
            "destination_rate_delay": f"{each.destination_rate_delay}s",
        }
        values.update({name: f"${base}_{name}" for name in INHERITED if f"{base}_{name}" in explicit})
        if each.single:
            values["destination_recipient_limit"] = "1"
        lines += [f"{each.name}_{name} = {value}\n" for name, value in values.items()]
    return lines


def plumb_main(text: str, lines: list[str]) -> str:
    """Return main.cf with these lines, and with the map behind the administrator's own."""
    text = _without_map(_take_out(text, _HERE))
    found = list(_PARAMETER.finditer(text))
    if not found:
        lines = [f"transport_maps = {MAP}\n", *lines]
    for match in reversed(found):
        place = _end_of_value(text, match.end())
        # Behind a comma of the administrator's own stands none of ours, so that each is told from the other.
        separator = ", " if text[match.end() : place].strip() and text[place - 1] != "," else ""
        text = f"{text[:place]}{separator}{MAP}{text[place:]}"
    return _put(text, lines)


def unplumb_main(text: str) -> str:
    """Return main.cf as it was before plumb_main."""
    return _without_map(_take_out(text))


def _without_map(text: str) -> str:
    return re.sub(rf"(?:, )?{re.escape(MAP)}(?![^\s,])", "", text)


def plumb_master(text: str, lines: list[str]) -> str:
    """Return master.cf with these services at its end."""
    return _put(_take_out(text, _HERE), lines)


def unplumb_master(text: str) -> str:
    """Return master.cf as it was before plumb_master."""
    return _take_out(text)


def names(master: str) -> set[str]:
    """Return the names of our services in master.cf."""
    start, end = master.find(_BEGIN), master.find(_END)
    return {line.split()[0] for line in master[start:end].splitlines() if line[:1] not in "# \t"} if 0 <= start < end else set()


def _end_of_value(text: str, start: int) -> int:
    """Return where a parameter's value ends: on its last line that is no comment, which may be a line that continues it."""
    end, place = start, start
    for number, line in enumerate(text[start:].splitlines(keepends=True)):
        content = line.strip()
        if number and content and not content.startswith("#") and line[:1] not in " \t":
            break
        if (number == 0 or line[:1] in " \t") and content and not (number and content.startswith("#")):
            end = place + len(line.rstrip())
        place += len(line)
    return end


def _put(text: str, lines: list[str]) -> str:
    block = _BEGIN + "".join(lines) + _END
    if _HERE in text:
        return text.replace(_HERE, block, 1)
    return text + ("" if text.endswith("\n") or not text else "\n" + NO_END) + block


def _take_out(text: str, instead: str = "") -> str:
    start = text.find(_BEGIN)
    end = text.find(_END, start)
    if start < 0 or end < 0:
        return text
    before, after = text[:start], instead + text[end + len(_END) :]
    # What stands below, the lock's or anybody's, needs the newline; whoever stands last takes it out.
    return (before if after else before.removesuffix("\n" + NO_END)) + after


def words(value: str) -> list[str]:
    """Return the words of a list of Postfix's, split at commas and spaces outside of braces."""
    found, depth, word = [], 0, ""
    for char in value:
        depth += (char == "{") - (char == "}")
        if depth <= 0 and char in ", \t\r\n":
            found.append(word)
            word = ""
        else:
            word += char
    return [each for each in (*found, word) if each]


def write_map(domains: t.Mapping[str, str]) -> str:
    """Return the source of the map. domains: to the receiver's transport, without a next hop, so that the domain's own MX is asked."""
    return MAP_HEAD + "".join(f"{domain} {domains[domain]}:\n" for domain in sorted(domains))


def read_map(text: str) -> dict[str, str]:
    """Return the entries of the map's source, or of what postmap -s shows."""
    rows = (line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return {row[0]: row[1].strip().removesuffix(":") for row in rows if len(row) == 2}

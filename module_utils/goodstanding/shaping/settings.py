# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the administrator says of receivers, and from a warm-up's rates, to transports. Standard library only, Python >= 3.9."""

from __future__ import annotations

import re
import typing as t

from ..host.files import HostError
from .transports import Transport

DAY = 86400
#: A limit's least and greatest value, where it may be left out its default.
_LIMITS: dict[str, tuple[int, int, int | None]] = {
    "concurrency": (1, 1000, None),
    "domain_concurrency": (1, 1000, 1000),
    "transport_rate_delay": (0, DAY, 0),
    "destination_rate_delay": (0, DAY, 0),
}
_MAX_RECEIVERS = 32
_ID = re.compile(r"[a-z0-9][a-z0-9_]{0,31}\Z", re.ASCII)


def delay(recipients: int) -> int:
    """Return the seconds between two recipients that keep to so many a day; 0 where no delay of whole seconds does, since they are more
    than a day has seconds. Rounded up, so never more than so many."""
    return 0 if recipients > DAY else -(-DAY // max(1, recipients))


def transports(receivers: t.Mapping[str, t.Any], rates: t.Mapping[str, t.Any]) -> list[Transport]:
    """Return the transports, by the receivers' names; HostError where something said of one is unusable."""
    if not receivers:
        raise HostError("receivers is empty: name those whose mail is to be shaped, or set state: absent")
    if len(receivers) > _MAX_RECEIVERS:
        raise HostError(f"{len(receivers)} receivers are more than {_MAX_RECEIVERS}: shape the large ones, the others need it not")
    unknown = sorted(set(rates) - set(receivers))
    if unknown:
        raise HostError(f"rates name {', '.join(unknown)[:200]}, which receivers do not: a warm-up needs the receiver's transport")
    found = []
    for receiver, said in sorted(receivers.items()):
        if not _ID.match(receiver) or not isinstance(said, dict):
            raise HostError(f"receiver {receiver!r}: write it as outlook: {{concurrency: 5}}, by its id in catalogue/receivers.yml")
        strange = sorted(set(said) - set(_LIMITS))
        if strange:
            raise HostError(f"receiver {receiver}: {', '.join(map(str, strange))[:200]} is no limit; there are {', '.join(_LIMITS)}")
        values = {name: _number(receiver, name, said.get(name, default), least, most) for name, (least, most, default) in _LIMITS.items()}
        values["domain_concurrency"] = min(values["domain_concurrency"], values["concurrency"])
        slower = 0
        if receiver in rates:
            slower = delay(_number(receiver, "the rate", rates[receiver], 1, 10**9))
        values["transport_rate_delay"] = max(values["transport_rate_delay"], slower)
        found.append(Transport(receiver, **values, single=slower > 0))
    return found


def _number(receiver: str, name: str, value: t.Any, least: int, most: int) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = least - 1
    if isinstance(value, (bool, float)) or not least <= number <= most:
        raise HostError(f"receiver {receiver}: {name} is {value!r}: it must be a whole number from {least} to {most}")
    return number

# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names under which a list is asked for an address (RFC 5782 sections 2.1 and 2.4)."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 5737 and RFC 3849: what a lab is built of
DOCUMENTATION = [ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]


class AddressError(Exception):
    """An address cannot be asked for; the message names it."""


def parse(text: str, allow_documentation: bool = False) -> Address:
    """Return an address; one mapped into IPv6 is the IPv4 address itself. AddressError where no list can know it."""
    try:
        address: Address = ipaddress.ip_address(text.strip())
    except ValueError:
        raise AddressError(f"{text!r} is no IP address: write sending_addresses as 198.51.100.11 or 2001:db8::25") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    documentation = any(address in net for net in DOCUMENTATION if net.version == address.version)
    if not address.is_global and not (allow_documentation and documentation):
        raise AddressError(f"{text} is not a public address: name the address that receivers see, behind NAT the one outside")
    return address


def family(address: Address) -> str:
    """Return ipv4 or ipv6."""
    return f"ipv{address.version}"


def query_name(address: Address, zone: str) -> str:
    """Return the absolute name to ask: octets or nibbles reversed, the zone, a final dot (so that no search suffix is added)."""
    labels = str(address).split(".") if address.version == 4 else list(address.exploded.replace(":", ""))
    return ".".join([*reversed(labels), zone.rstrip("."), ""])


def test_points(families: list[str]) -> tuple[Address, Address]:
    """Return the addresses that a list must and must not contain (RFC 5782 section 5); of IPv4 where it answers for that."""
    if "ipv4" in families:
        return ipaddress.ip_address("127.0.0.2"), ipaddress.ip_address("127.0.0.1")
    return ipaddress.ip_address("::ffff:7f00:2"), ipaddress.ip_address("::ffff:7f00:1")

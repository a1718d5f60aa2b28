# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and names as a list is asked for them (RFC 5782 sections 2.1 to 2.4). Standard library only, Python >= 3.9."""

from __future__ import annotations

import ipaddress
import typing as t

from .wire import pack_name

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

#: The families of subjects, by the names of the catalogue.
IPV4, IPV6, DOMAIN = "ipv4", "ipv6", "domain"
#: A block may hold this many addresses: an IPv4 /16.
MAX_BLOCK = 65_536
# RFC 5737 and RFC 3849: what a lab is built of
DOCUMENTATION = [ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]

# RFC 6052: an IPv4 address behind a translator
NAT64 = ipaddress.ip_network("64:ff9b::/96")

_OCTETS = [bytes([len(str(octet))]) + str(octet).encode() for octet in range(256)]
_NIBBLES = {f"{nibble:x}": b"\x01" + f"{nibble:x}".encode() for nibble in range(16)}


class SubjectError(Exception):
    """What was to be asked about is no public address or name; the message names it."""


def expand(text: str, allow_documentation: bool = False) -> list[Address]:
    """Return the addresses of an address or a block in CIDR notation; one mapped into IPv6 is the IPv4 address itself."""
    text = text.strip()
    if "/" not in text:
        return [_public(_address(text), text, allow_documentation)]
    try:
        block = ipaddress.ip_network(text)
    except ValueError as exc:
        raise SubjectError(f"{text!r} is no block of addresses ({exc}): write 198.51.100.0/24") from None
    if block.num_addresses > MAX_BLOCK:
        raise SubjectError(f"{text} holds {block.num_addresses} addresses: name those that send, or blocks of {MAX_BLOCK} (a /16)")
    return [_public(_plain(address), text, allow_documentation) for address in block]


def _address(text: str) -> Address:
    try:
        return _plain(ipaddress.ip_address(text))
    except ValueError:
        raise SubjectError(f"{text!r} is no IP address: write sending_addresses as 198.51.100.11, 2001:db8::25 or a /24") from None


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _public(address: Address, text: str, allow_documentation: bool) -> Address:
    public = address.is_global and not address.is_multicast and not (address.version == 6 and address in NAT64)
    if not public and not (allow_documentation and any(address in net for net in DOCUMENTATION)):
        raise SubjectError(f"{text} is not a public address: name the address that receivers see, behind NAT the one outside")
    return address


def family(address: Address) -> str:
    """Return ipv4 or ipv6."""
    return f"ipv{address.version}"


def labels(address: Address) -> bytes:
    """Return an address in wire form, without the root: its octets, or the nibbles of its whole length, reversed."""
    if address.version == 4:
        return b"".join([_OCTETS[octet] for octet in reversed(address.packed)])
    return b"".join([_NIBBLES[nibble] for nibble in reversed(address.packed.hex())])


def point_labels(text: str) -> bytes:
    """Return a test point of the catalogue, an address or a name, in wire form without the root. ::ffff: addresses stay IPv6."""
    try:
        return labels(ipaddress.ip_address(text))
    except ValueError:
        return pack_name(text)[:-1]

"""Determines a client's address: the socket's peer, or the address that a trusted proxy reports."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

NOBODY = "0.0.0.0"  # noqa: S104 - not listened on: a peer without an address, such as a Unix socket
MAX_TEXT = 64  # characters; no address has as many
SITE_BITS = 64  # the smallest IPv6 prefix of one customer
NETWORK_BITS = {4: 24, 6: 48}  # networks of a small organisation, by IP version


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parse a comma-separated list of addresses and CIDR blocks.

    Raises:
        ValueError: an entry is neither.
    """
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


class ClientAddressResolver:
    """Determines the client address of requests.

    Args:
        trusted: proxies whose ``X-Forwarded-For`` is believed. Without any, the header is ignored.
    """

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)

    def of(self, peer: str | None, forwarded: Sequence[str]) -> str:
        """Return the client's address in its shortest form.

        If the peer is trusted, the right-most untrusted entry of ``X-Forwarded-For`` counts. Entries to the left of it,
        or of an invalid entry, could have been forged.

        Args:
            peer: address of the socket's peer.
            forwarded: values of all ``X-Forwarded-For`` headers, in order.
        """
        if not forwarded:
            return _shortest(peer or "")
        client = parse_address(peer or "")
        if client is None:
            return NOBODY
        if self._trusts(client):
            for entry in reversed(",".join(forwarded).split(",")):
                named = parse_address(entry)
                if named is None:
                    break
                client = named
                if not self._trusts(client):
                    break
        return str(client)

    def trusts(self, peer: str) -> bool:
        """Whether a peer is a trusted proxy."""
        found = parse_address(peer)
        return found is not None and self._trusts(found)

    def _trusts(self, client: Address) -> bool:
        return any(client in network for network in self._trusted)


def parse_address(text: str) -> Address | None:
    """Parse an address without its zone, an IPv4-mapped IPv6 address as IPv4; None when invalid."""
    return _address(text.strip().partition("%")[0][:MAX_TEXT])


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


@lru_cache(maxsize=4096)
def _shortest(text: str) -> str:
    found = parse_address(text)
    return NOBODY if found is None else str(found)


@lru_cache(maxsize=4096)
def rate_limit_group(client: str) -> str:
    """Return what an address is counted as: IPv4 itself; IPv6 its /64, since one client may change within it."""
    found = ip_address(client)
    if isinstance(found, IPv4Address):
        return client
    return str(IPv6Network((int(found) >> SITE_BITS << SITE_BITS, SITE_BITS)))


@lru_cache(maxsize=4096)
def network_of(client: str) -> str:
    """Return the IPv4 /24 or IPv6 /48 network of an address: changing the address within it is cheap."""
    found = ip_address(client)
    return str(ip_network((found, NETWORK_BITS[found.version]), strict=False))


def rate_limit_address(peer: str) -> str:
    """Return what the peer of a socket is counted as."""
    found = parse_address(peer)
    return NOBODY if found is None else rate_limit_group(str(found))

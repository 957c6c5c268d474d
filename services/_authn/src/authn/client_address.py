"""Determines a client's address: the socket's peer, or the address that a trusted proxy reports."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104 - not listened on: a peer without an address, such as a Unix socket
MAX_ADDRESS_LENGTH = 64  # characters; no address has as many
IPV6_SITE_PREFIX = 64  # the smallest IPv6 prefix of one customer
NETWORK_PREFIX = {4: 24, 6: 48}  # networks of a small organization, by IP version


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

    def resolve(self, peer: str | None, forwarded: Sequence[str]) -> str:
        """Return the client's address in its shortest form.

        If the peer is trusted, the right-most untrusted entry of ``X-Forwarded-For`` counts. Entries to the left of it,
        or of an invalid entry, could have been forged.

        Args:
            peer: address of the socket's peer.
            forwarded: values of all ``X-Forwarded-For`` headers, in order.
        """
        if not forwarded:
            return _normalize_address(peer or "")
        client = parse_address(peer or "")
        if client is None:
            return UNKNOWN_ADDRESS
        if self._is_trusted_address(client):
            for entry in reversed(",".join(forwarded).split(",")):
                named = parse_address(entry)
                if named is None:
                    break
                client = named
                if not self._is_trusted_address(client):
                    break
        return str(client)

    def is_trusted(self, peer: str) -> bool:
        """Whether a peer is a trusted proxy."""
        found = parse_address(peer)
        return found is not None and self._is_trusted_address(found)

    def _is_trusted_address(self, client: Address) -> bool:
        return any(client in network for network in self._trusted)


def parse_address(text: str) -> Address | None:
    """Parse an address without its zone, an IPv4-mapped IPv6 address as IPv4; None when invalid."""
    return _parse_cached(text.strip().partition("%")[0][:MAX_ADDRESS_LENGTH])


@lru_cache(maxsize=4096)
def _parse_cached(text: str) -> Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


@lru_cache(maxsize=4096)
def _normalize_address(text: str) -> str:
    found = parse_address(text)
    return UNKNOWN_ADDRESS if found is None else str(found)


@lru_cache(maxsize=4096)
def find_rate_limit_group(client: str) -> str:
    """Return the group in which an address is counted: an IPv4 address itself, of an IPv6 address its /64 network."""
    found = ip_address(client)
    if isinstance(found, IPv4Address):
        return client
    return str(IPv6Network((int(found) >> IPV6_SITE_PREFIX << IPV6_SITE_PREFIX, IPV6_SITE_PREFIX)))


@lru_cache(maxsize=4096)
def find_network(client: str) -> str:
    """Return the IPv4 /24 or IPv6 /48 network of an address. A client can easily change its address within it."""
    found = ip_address(client)
    return str(ip_network((found, NETWORK_PREFIX[found.version]), strict=False))


def find_rate_limit_address(peer: str) -> str:
    """Return the group in which the peer of a socket is counted."""
    found = parse_address(peer)
    return UNKNOWN_ADDRESS if found is None else find_rate_limit_group(str(found))

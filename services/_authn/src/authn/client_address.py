"""Who is at the other end: the socket's peer, or whom a proxy that we trust says it is."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

NOBODY = "0.0.0.0"  # noqa: S104 - not listened on: a peer without an address, such as a Unix socket
MAX_TEXT = 64  # characters; no address has as many
SITE_BITS = 64  # what one customer gets of IPv6, at the least
NETWORK_BITS = {4: 24, 6: 48}  # what a small organisation has, by IP version


def networks(text: str) -> tuple[Network, ...]:
    """The networks of a comma separated list of addresses and CIDR blocks.

    Raises:
        ValueError: one of them is neither.
    """
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


class Clients:
    """Finds the client of a request.

    Args:
        trusted: the proxies whose ``X-Forwarded-For`` is believed. Without one, the header means nothing.
    """

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)

    def of(self, peer: str | None, forwarded: Sequence[str]) -> str:
        """The address of the client, in its shortest form.

        Only if the peer is trusted, the right-most entry that is not trusted counts; what stands left of it, or of an
        entry that is no address, could have been written by anybody.

        Args:
            peer: the address of the socket's other end.
            forwarded: the values of all ``X-Forwarded-For`` headers, in order.
        """
        if not forwarded:
            return _shortest(peer or "")
        client = address(peer or "")
        if client is None:
            return NOBODY
        if self._trusts(client):
            for entry in reversed(",".join(forwarded).split(",")):
                named = address(entry)
                if named is None:
                    break
                client = named
                if not self._trusts(client):
                    break
        return str(client)

    def trusts(self, peer: str) -> bool:
        """Whether a peer is one of the trusted proxies."""
        found = address(peer)
        return found is not None and self._trusts(found)

    def _trusts(self, client: Address) -> bool:
        return any(client in network for network in self._trusted)


def address(text: str) -> Address | None:
    """The address that is written here, without a zone, an IPv4 one inside IPv6 as what it is; None if none is."""
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
    found = address(text)
    return NOBODY if found is None else str(found)


@lru_cache(maxsize=4096)
def site(client: str) -> str:
    """Whom an address is counted with: itself, and for IPv6 its whole /64, through which one client may wander."""
    found = ip_address(client)
    if isinstance(found, IPv4Address):
        return client
    return str(IPv6Network((int(found) >> SITE_BITS << SITE_BITS, SITE_BITS)))


@lru_cache(maxsize=4096)
def network_of(client: str) -> str:
    """The IPv4 /24 or IPv6 /48 around an address: changing the address within it is cheap."""
    found = ip_address(client)
    return str(ip_network((found, NETWORK_BITS[found.version]), strict=False))


def counted(peer: str) -> str:
    """The same for the other end of a socket."""
    found = address(peer)
    return NOBODY if found is None else site(str(found))

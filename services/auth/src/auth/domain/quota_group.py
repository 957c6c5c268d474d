"""Digests of the addresses that accounts registered from. The key that makes them is not in the database."""

import hmac
from ipaddress import IPv6Address, ip_address

IPV6_PREFIX_BITS = 64  # one customer has at least a /64


class AddressPepper:
    """Hashes addresses with a key. Without a key, hashing all IPv4 addresses would reveal them.

    Args:
        secret_key: the current secret key.
        earlier: earlier secret keys; groups that were stored under them are still found.
    """

    def __init__(self, secret_key: str, *earlier: str) -> None:
        self._keys = tuple(
            hmac.digest(each.encode(), b"comfyfleet auth quota_groups v1", "sha256") for each in (secret_key, *earlier)
        )

    def list_digests(self, address: str) -> list[bytes]:
        """Return 32-byte digests of an IPv4 address, or of the /64 prefix of an IPv6 address.

        One for each secret key, the current one first. Empty if the text is not an address.
        """
        try:
            parsed = ip_address(address)
        except ValueError:
            return []
        network = parsed.packed[: IPV6_PREFIX_BITS // 8] if isinstance(parsed, IPv6Address) else parsed.packed
        return [hmac.digest(key, network, "sha256") for key in self._keys]

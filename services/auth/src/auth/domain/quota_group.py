"""Digests of the addresses that accounts registered from. The key of the digest is not in the database."""

import hmac
from ipaddress import IPv6Address, ip_address

SITE_BITS = 64  # one customer has at least a /64 of IPv6


class AddressPepper:
    """Hashes addresses with a key, since all IPv4 addresses could be tried otherwise."""

    def __init__(self, secret_key: str) -> None:
        self._key = hmac.digest(secret_key.encode(), b"comfyfleet auth quota_groups v1", "sha256")

    def digest(self, address: str) -> bytes | None:
        """Return 32 bytes for an IPv4 address or the /64 prefix of an IPv6 address; None for any other text."""
        try:
            found = ip_address(address)
        except ValueError:
            return None
        packed = found.packed[: SITE_BITS // 8] if isinstance(found, IPv6Address) else found.packed
        return hmac.digest(self._key, packed, "sha256")

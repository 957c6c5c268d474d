"""Which address an account registered from, as it may be stored: under a key that the database never sees."""

import hmac
from ipaddress import IPv6Address, ip_address

SITE_BITS = 64  # of an IPv6 address; one customer has at least a /64


class AddressPepper:
    """Turns addresses into digests. There are few enough IPv4 addresses to try each, hence the key."""

    def __init__(self, secret_key: str) -> None:
        self._key = hmac.digest(secret_key.encode(), b"comfyfleet auth quota_groups v1", "sha256")

    def digest(self, address: str) -> bytes | None:
        """32 bytes for an IPv4 address or the /64 of an IPv6 address; None for any other text."""
        try:
            found = ip_address(address)
        except ValueError:
            return None
        packed = found.packed[: SITE_BITS // 8] if isinstance(found, IPv6Address) else found.packed
        return hmac.digest(self._key, packed, "sha256")

"""Digests of the addresses that accounts registered from. The key of the digest is not in the database."""

import hmac
from ipaddress import IPv6Address, ip_address

SITE_BITS = 64  # one customer has at least a /64 of IPv6


class AddressPepper:
    """Hashes addresses with a key, since all IPv4 addresses could be tried otherwise.

    Args:
        secret_key: the secret key that hashes.
        earlier: secret keys that hashed before, whose digests are still found.
    """

    def __init__(self, secret_key: str, *earlier: str) -> None:
        self._keys = tuple(
            hmac.digest(each.encode(), b"comfyfleet auth quota_groups v1", "sha256") for each in (secret_key, *earlier)
        )

    def digests(self, address: str) -> list[bytes]:
        """Return the digests of an IPv4 address or of the /64 prefix of an IPv6 address, the current one first.

        A digest has 32 bytes. There is none for any other text.
        """
        try:
            found = ip_address(address)
        except ValueError:
            return []
        packed = found.packed[: SITE_BITS // 8] if isinstance(found, IPv6Address) else found.packed
        return [hmac.digest(key, packed, "sha256") for key in self._keys]

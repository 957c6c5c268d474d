"""API keys: ``cf_<id>_<secret><checksum>``.

``id`` finds the key, 12 characters; ``secret`` proves it, 32 characters of base62 (190 bits); ``checksum`` is the
CRC-32 of everything before it, 6 characters of base62, so that a typo is refused before any look-up.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass
from uuid import UUID

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 12, 32, 6
SHAPE = re.compile(
    rf"cf_([0-9A-Za-z]{{{ID_LENGTH}}})_([0-9A-Za-z]{{{SECRET_LENGTH}}})([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})"
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The two halves of a key: one to look up, one to compare."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """The key as its owner sees it, this once."""
        body = f"cf_{self.id}_{self.secret}"
        return body + _checksum(body)


def new_api_key() -> ApiKey:
    """A fresh key that nobody can guess."""
    return ApiKey(id=new_key_id(), secret=_random(SECRET_LENGTH))


def new_key_id() -> str:
    """A fresh id, for a key whose secret is derived."""
    return _random(ID_LENGTH)


def read_api_key(text: str) -> ApiKey | None:
    """The key that this text is, or None where it cannot be one."""
    match = SHAPE.fullmatch(text)
    if match is None or not text.isascii():
        return None
    key = ApiKey(id=match[1], secret=match[2])
    return key if key.text == text else None


class Pepper:
    """Turns secrets into what may be stored: HMAC-SHA-256 under a key that the database never sees.

    A plain fast hash is enough here, since the secret is random and not chosen by a person.
    """

    def __init__(self, secret_key: str) -> None:
        self._key = hmac.digest(secret_key.encode(), b"comfyfleet auth api_keys v1", "sha256")
        self._deriving = hmac.digest(secret_key.encode(), b"comfyfleet auth key_requests v1", "sha256")

    def digest(self, key: ApiKey) -> bytes:
        """32 bytes that prove the key and do not give it away."""
        return hmac.new(self._key, f"{key.id}_{key.secret}".encode(), hashlib.sha256).digest()

    def proves(self, key: ApiKey, digest: bytes) -> bool:
        """Whether the digest is this key's, in constant time."""
        return hmac.compare_digest(self.digest(key), digest)

    def derive(self, key_id: str, *, user: UUID, idempotency_key: str, salt: bytes) -> ApiKey:
        """The key of that id that this request made: the same one for as long as the salt is kept.

        Without the salt or the pepper it is as random as any other.

        Args:
            salt: 32 random bytes.
        """
        seed = salt + user.bytes + key_id.encode() + idempotency_key.encode()  # all but the last of a fixed length
        number = int.from_bytes(hmac.digest(self._deriving, seed, "sha512"))  # 512 bits: no letter is likelier
        return ApiKey(id=key_id, secret=_base62(number, SECRET_LENGTH))


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    """The lowest digits of a number."""
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits

"""API keys: ``cf_<id>_<secret><checksum>``.

``id`` (12 characters) finds the key. ``secret`` (32 base62 characters, 190 bits) proves it. ``checksum`` (6 base62
characters) is the CRC-32 of everything before it, so that a typo is refused without a lookup.
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
KEY_PATTERN = re.compile(
    rf"cf_([0-9A-Za-z]{{{ID_LENGTH}}})_([0-9A-Za-z]{{{SECRET_LENGTH}}})([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})"
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A parsed key: the id to look up and the secret to compare."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """The key as its owner sees it, shown once."""
        body = f"cf_{self.id}_{self.secret}"
        return body + _compute_checksum(body)


def new_api_key() -> ApiKey:
    """Return a new random key."""
    return ApiKey(id=new_key_id(), secret=_generate_random_text(SECRET_LENGTH))


def new_key_id() -> str:
    """Return a new random id, for a key whose secret is derived."""
    return _generate_random_text(ID_LENGTH)


def parse_api_key(text: str) -> ApiKey | None:
    """Parse a key; None when the text is not one."""
    match = KEY_PATTERN.fullmatch(text)
    if match is None or not text.isascii():
        return None
    key = ApiKey(id=match[1], secret=match[2])
    return key if key.text == text else None


class ApiKeyPepper:
    """Hashes secrets for storage with HMAC-SHA-256 under a key that is not in the database.

    A fast hash is enough because the secret is random, not chosen by a person.

    Attributes:
        pepper_id: identifies the current secret key without revealing it.

    Args:
        secret_key: the current secret key, which hashes new secrets.
        earlier: earlier secret keys; digests made with them still match.
    """

    def __init__(self, secret_key: str, *earlier: str) -> None:
        self._peppers = tuple(_derive_key(each, "api_keys") for each in (secret_key, *earlier))
        self._derivation_keys = tuple(_derive_key(each, "key_requests") for each in (secret_key, *earlier))
        self.pepper_id = hmac.digest(self._peppers[0], b"id", "sha256").hex()[:8]

    def digest(self, key: ApiKey) -> bytes:
        """Return 32 bytes that verify the key but do not reveal it."""
        return _digest_key(self._peppers[0], key)

    def matches(self, key: ApiKey, digest: bytes) -> bool:
        """Whether the digest belongs to this key, compared in constant time."""
        return any(hmac.compare_digest(_digest_key(pepper, key), digest) for pepper in self._peppers)

    def derive_key(self, key_id: str, *, user: UUID, idempotency_key: str, salt: bytes) -> ApiKey:
        """Return the API key for a request with an Idempotency-Key. The same arguments always give the same key.

        To anyone who lacks the salt or the secret key, it is indistinguishable from a random key.

        Args:
            salt: 32 random bytes.
        """
        return self.derive_keys(key_id, user=user, idempotency_key=idempotency_key, salt=salt)[0]

    def derive_keys(self, key_id: str, *, user: UUID, idempotency_key: str, salt: bytes) -> list[ApiKey]:
        """Return the key of ``derive_key`` for each secret key, the current one first."""
        # Unambiguous: every part but the last has a fixed length.
        seed = salt + user.bytes + key_id.encode() + idempotency_key.encode()
        numbers = [
            int.from_bytes(hmac.digest(derivation_key, seed, "sha512"))  # 512 bits: every character is equally likely
            for derivation_key in self._derivation_keys
        ]
        return [ApiKey(id=key_id, secret=_to_base62(number, SECRET_LENGTH)) for number in numbers]


def _derive_key(secret_key: str, purpose: str) -> bytes:
    return hmac.digest(secret_key.encode(), f"comfyfleet auth {purpose} v1".encode(), "sha256")


def _digest_key(pepper: bytes, key: ApiKey) -> bytes:
    return hmac.new(pepper, f"{key.id}_{key.secret}".encode(), hashlib.sha256).digest()


def _generate_random_text(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _compute_checksum(body: str) -> str:
    return _to_base62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)


def _to_base62(number: int, length: int) -> str:
    """Return the lowest ``length`` base62 digits of a number."""
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits

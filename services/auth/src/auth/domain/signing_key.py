"""The Ed25519 keys that sign access tokens. They are stored encrypted, so the database alone can sign nothing."""

import base64
import secrets
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contracts.auth.credentials import Jwk

NONCE_LENGTH = 12


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair and its key id."""

    kid: str
    private: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> Self:
        return cls(kid=secrets.token_hex(8), private=Ed25519PrivateKey.generate())

    @property
    def public(self) -> bytes:
        """The 32-byte public key."""
        return self.private.public_key().public_bytes_raw()


def to_jwk(kid: str, public: bytes) -> Jwk:
    """Return a public key as a JSON Web Key."""
    return Jwk(kid=kid, x=base64.urlsafe_b64encode(public).rstrip(b"=").decode())


class SigningKeyCipher:
    """Encrypts private keys with AES-256-GCM under a key derived from SECRET_KEY, bound to their key ids.

    Args:
        secret_key: the current SECRET_KEY, which encrypts.
        earlier: earlier SECRET_KEYs; private keys that were encrypted under them can still be decrypted.
    """

    def __init__(self, secret_key: str, *earlier: str) -> None:
        self._ciphers = tuple(AESGCM(_derive_key(each)) for each in (secret_key, *earlier))

    def encrypt(self, key: SigningKey) -> bytes:
        """Return the encrypted private key."""
        nonce = secrets.token_bytes(NONCE_LENGTH)
        return nonce + self._ciphers[0].encrypt(nonce, key.private.private_bytes_raw(), key.kid.encode())

    def decrypt(self, kid: str, encrypted: bytes) -> SigningKey | None:
        """Decrypt a key; None when it was encrypted under an unknown SECRET_KEY or another key id."""
        for cipher in self._ciphers:
            key = _decrypt(cipher, kid, encrypted)
            if key is not None:
                return key
        return None

    def is_encrypted_with_current_secret(self, kid: str, encrypted: bytes) -> bool:
        """Whether the key is encrypted under the current SECRET_KEY."""
        return _decrypt(self._ciphers[0], kid, encrypted) is not None


def _derive_key(secret_key: str) -> bytes:
    derived: bytes = HKDF(SHA256(), length=32, salt=None, info=b"comfyfleet auth signing_keys v1").derive(
        secret_key.encode()
    )
    return derived


def _decrypt(cipher: AESGCM, kid: str, encrypted: bytes) -> SigningKey | None:
    try:
        raw = cipher.decrypt(encrypted[:NONCE_LENGTH], encrypted[NONCE_LENGTH:], kid.encode())
    except (InvalidTag, ValueError):
        return None
    return SigningKey(kid=kid, private=Ed25519PrivateKey.from_private_bytes(raw))

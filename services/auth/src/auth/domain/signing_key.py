"""The keys that sign access tokens (Ed25519), and how they are kept: sealed, so the database alone signs nothing."""

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
    """A key pair and the name by which tokens call it."""

    kid: str
    private: Ed25519PrivateKey

    @classmethod
    def fresh(cls) -> Self:
        """One that nobody has seen."""
        return cls(kid=secrets.token_hex(8), private=Ed25519PrivateKey.generate())

    @property
    def public(self) -> bytes:
        """The half that verifies, 32 bytes."""
        return self.private.public_key().public_bytes_raw()


def jwk(kid: str, public: bytes) -> Jwk:
    """A public key as verifiers are told it."""
    return Jwk(kid=kid, x=base64.urlsafe_b64encode(public).rstrip(b"=").decode())


class KeyBox:
    """Seals private keys: AES-256-GCM under a key derived from SECRET_KEY, bound to their names."""

    def __init__(self, secret_key: str) -> None:
        derived = HKDF(SHA256(), length=32, salt=None, info=b"comfyfleet auth signing_keys v1")
        self._cipher = AESGCM(derived.derive(secret_key.encode()))

    def seal(self, key: SigningKey) -> bytes:
        """The private key as it may be stored."""
        nonce = secrets.token_bytes(NONCE_LENGTH)
        return nonce + self._cipher.encrypt(nonce, key.private.private_bytes_raw(), key.kid.encode())

    def open(self, kid: str, sealed: bytes) -> SigningKey | None:
        """The key of that name, or None where it was sealed under another SECRET_KEY, or as another's."""
        try:
            raw = self._cipher.decrypt(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:], kid.encode())
        except (InvalidTag, ValueError):
            return None
        return SigningKey(kid=kid, private=Ed25519PrivateKey.from_private_bytes(raw))

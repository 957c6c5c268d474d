from auth.domain.api_key import ApiKey, ApiKeyPepper, parse_api_key
from auth.domain.user import StoredKey
from auth.store import keys
from chassis.database.postgres import Database
from chassis.telemetry.logs import log
from contracts.auth.credentials import InvalidCredential, Principal

UNKNOWN_KEY_DIGEST = bytes(32)  # compared for unknown keys, so that timing does not reveal them


class CredentialVerifier:
    """Verifies API keys."""

    def __init__(self, database: Database, pepper: ApiKeyPepper) -> None:
        self._database, self._pepper = database, pepper

    async def verify_key(self, credential: str) -> Principal:
        """Return the principal of a key. Malformed keys are refused without a lookup.

        Raises:
            InvalidCredential: malformed, unknown, expired or revoked key, or deactivated user; does not say which.
        """
        key = parse_api_key(credential)
        if key is None:
            raise InvalidCredential
        async with self._database.connection() as connection:
            stored = await keys.find_key(connection, key.id)
        is_correct = self._pepper.matches(key, stored.digest if stored else UNKNOWN_KEY_DIGEST)
        if stored is None or not is_correct or not stored.is_usable:
            raise InvalidCredential
        if stored.pepper_id != self._pepper.pepper_id:
            await self._rehash_key(key, stored)
        log.info("auth.key.verified", key_id=stored.id, user_id=str(stored.user.id))
        return stored.to_principal()

    async def _rehash_key(self, key: ApiKey, stored: StoredKey) -> None:
        """Store the digest under the current secret key, so that the earlier one can be removed."""
        async with self._database.connection() as connection:
            await keys.rehash_key(connection, stored, self._pepper.digest(key), self._pepper.pepper_id)
        log.info("auth.key.rehashed", key_id=stored.id)

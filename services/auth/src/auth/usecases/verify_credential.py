from auth.domain.api_key import Pepper, read_api_key
from auth.store import keys
from chassis.database.postgres import Database
from contracts.auth.credentials import InvalidCredential, Principal

NOBODY = bytes(32)  # compared for unknown keys, so that timing does not reveal them


class CredentialVerifier:
    """Verifies API keys."""

    def __init__(self, database: Database, pepper: Pepper) -> None:
        self._database, self._pepper = database, pepper

    async def verify(self, credential: str) -> Principal:
        """Return the principal of a key. Malformed keys are refused without a lookup.

        Raises:
            InvalidCredential: malformed, unknown, expired or revoked key, or deactivated user; does not say which.
        """
        key = read_api_key(credential)
        if key is None:
            raise InvalidCredential
        async with self._database.single() as connection:
            stored = await keys.find(connection, key.id)
        proven = self._pepper.proves(key, stored.digest if stored else NOBODY)
        if stored is None or not proven or not stored.works:
            raise InvalidCredential
        return stored.principal()

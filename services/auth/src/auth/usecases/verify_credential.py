"""Who is this?"""

from auth.domain.api_key import Pepper, read_api_key
from auth.store import keys
from chassis.database.postgres import Database
from contracts.auth import BadCredential, Principal

NOBODY = bytes(32)  # what an unknown key is compared with, so that it takes as long as a known one


class CredentialVerifier:
    """Tells whose key a text is."""

    def __init__(self, database: Database, pepper: Pepper) -> None:
        self._database, self._pepper = database, pepper

    async def verify(self, credential: str) -> Principal:
        """The principal that the credential speaks for. What cannot be a key is refused without a look-up.

        Raises:
            BadCredential: it is none, or it is unknown, expired, revoked or its user is deactivated; never says which.
        """
        key = read_api_key(credential)
        if key is None:
            raise BadCredential
        async with self._database.single() as connection:
            stored = await keys.find(connection, key.id)
        proven = self._pepper.proves(key, stored.digest if stored else NOBODY)
        if stored is None or not proven or not stored.works:
            raise BadCredential
        return stored.principal()

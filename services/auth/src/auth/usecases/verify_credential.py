"""Who is this?"""

from datetime import UTC, datetime

from auth.domain.api_key import Pepper, read_api_key
from auth.store.users import UserStore
from contracts.auth import BadCredential, Principal


class CredentialVerifier:
    """Tells whose key a text is."""

    def __init__(self, users: UserStore, pepper: Pepper) -> None:
        self._users, self._pepper = users, pepper

    async def verify(self, credential: str) -> Principal:
        """The principal that the credential speaks for.

        Raises:
            BadCredential: it is none, or it is unknown, expired, revoked or its user is deactivated; never says which.
        """
        key = read_api_key(credential)
        stored = await self._users.find_key(key.id) if key else None
        if key is None or stored is None or not self._pepper.proves(key, stored.digest):
            raise BadCredential
        if not stored.works_at(datetime.now(UTC)):
            raise BadCredential
        user = stored.user
        return Principal(
            user_id=user.id,
            username=user.username,
            tier=user.tier,
            role=user.role,
            scopes=stored.scopes,
            key_id=stored.id,
        )

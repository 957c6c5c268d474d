import secrets
from datetime import timedelta
from uuid import UUID

from auth.domain.api_key import ApiKey, Pepper, new_api_key, new_key_id
from auth.domain.key_request import expiry_of, hash_of, name_of, scopes_to_give
from auth.store import audit, keys, users
from auth.store.audit import Entry
from auth.store.keys import KeyRequest
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import UnknownTenant
from contracts.auth.credentials import MissingScope, Scope
from contracts.auth.keys import CreatedKey, CreateKey, KeyRequestReused, TooManyKeys

SALT_BYTES = 32


class KeyMaker:
    """Creates API keys. The secret is shown once.

    Args:
        life: default lifetime of a key.
        most: maximum number of working keys per user.
    """

    def __init__(self, database: Database, pepper: Pepper, *, life: timedelta, most: int) -> None:
        self._database, self._pepper, self._life, self._most = database, pepper, life, most

    async def create(self, user_id: UUID, command: CreateKey) -> CreatedKey:
        """Return a new key, or the same key again for a repeated request with the same Idempotency-Key.

        Raises:
            MissingScope: the requesting credential may not create keys.
            UnknownTenant: the user does not exist or is deactivated.
            ScopeNotGranted: the key would exceed the rights of the requesting credential.
            InvalidKey: the name or expiry is invalid.
            KeyRequestReused: the Idempotency-Key was used for a different request.
            TooManyKeys: the user has the maximum number of keys.
        """
        if Scope.KEYS not in command.granted:
            raise MissingScope(scope=Scope.KEYS)
        async with self._database.direct() as connection:
            user = await users.lock(connection, user_id)
            if user is None or not user.is_active:
                raise UnknownTenant
            scopes = scopes_to_give(
                command, user.role
            )  # a replay must not show the key to a credential that could not have created it
            again = await self._again(connection, user_id, command)
            return again or await self._make(connection, user_id, command, scopes)

    async def _again(self, connection: Connection, user_id: UUID, command: CreateKey) -> CreatedKey | None:
        if command.idempotency_key is None:
            return None
        before = await keys.recall(connection, user_id, command.idempotency_key)
        if before is None:
            return None
        if before.request_hash != hash_of(command):
            raise KeyRequestReused
        key = await keys.read(connection, before.key_id)
        return CreatedKey(key=key, text=self._derive(user_id, before).text, replayed=True)

    async def _make(
        self, connection: Connection, user_id: UUID, command: CreateKey, scopes: tuple[Scope, ...]
    ) -> CreatedKey:
        name, expires_at = name_of(command), expiry_of(command, await keys.now(connection), self._life)
        if await keys.count(connection, user_id) >= self._most:
            raise TooManyKeys(limit=self._most)
        request = _request(command)
        fresh = self._derive(user_id, request) if request else new_api_key()
        key = await keys.add(
            connection,
            user_id,
            fresh.id,
            self._pepper.digest(fresh),
            name=name,
            scopes=scopes,
            expires_at=expires_at,
        )
        if request is not None:
            await keys.remember(connection, user_id, request)
        detail = {"key_id": key.id, "scopes": list(key.scopes), "expires_at": expires_at.isoformat()}
        await audit.record(connection, Entry("key.created", user_id, user_id, command.ip, detail))
        return CreatedKey(key=key, text=fresh.text)

    def _derive(self, user_id: UUID, request: KeyRequest) -> ApiKey:
        return self._pepper.derive(
            request.key_id, user=user_id, idempotency_key=request.idempotency_key, salt=request.salt
        )


def _request(command: CreateKey) -> KeyRequest | None:
    if command.idempotency_key is None:
        return None
    salt = secrets.token_bytes(SALT_BYTES)
    return KeyRequest(command.idempotency_key, hash_of(command), salt, new_key_id())

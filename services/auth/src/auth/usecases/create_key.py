import secrets
from datetime import timedelta
from uuid import UUID

from auth.domain.api_key import ApiKey, ApiKeyPepper, new_api_key, new_key_id
from auth.domain.key_request import hash_request, validate_expiry, validate_name, validate_scopes
from auth.store import audit, keys, users
from auth.store.audit import NewAuditEntry
from auth.store.keys import KeyRequest
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import UnknownTenant
from contracts.auth.credentials import MissingScope, Scope
from contracts.auth.keys import CreatedKey, CreateKey, KeyRequestReused, TooManyKeys

SALT_BYTES = 32


class KeyCreator:
    """Creates API keys. The secret is shown once.

    Args:
        life: default lifetime of a key.
        max_keys: maximum number of working keys per user.
    """

    def __init__(self, database: Database, pepper: ApiKeyPepper, *, life: timedelta, max_keys: int) -> None:
        self._database, self._pepper, self._life, self._max_keys = database, pepper, life, max_keys

    async def create_key(self, user_id: UUID, command: CreateKey) -> CreatedKey:
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
        async with self._database.transaction() as connection:
            user = await users.lock_user(connection, user_id)
            if user is None or not user.is_active:
                raise UnknownTenant
            # Also before a replay: it must not show the key to a credential that could not have created it.
            scopes = validate_scopes(command, user.role)
            replay = await self._find_replay(connection, user_id, command)
            return replay or await self._store_key(connection, user_id, command, scopes)

    async def _find_replay(self, connection: Connection, user_id: UUID, command: CreateKey) -> CreatedKey | None:
        if command.idempotency_key is None:
            return None
        earlier = await keys.find_key_request(connection, user_id, command.idempotency_key)
        if earlier is None:
            return None
        if earlier.request_hash != hash_request(command):
            raise KeyRequestReused
        key = await keys.get_key(connection, earlier.key_id)
        stored = await keys.find_key(connection, earlier.key_id)
        derived = self._pepper.derive_keys(
            earlier.key_id, user=user_id, idempotency_key=earlier.idempotency_key, salt=earlier.salt
        )
        matching = [each for each in derived if stored and self._pepper.matches(each, stored.digest)]
        return CreatedKey(key=key, text=(matching or derived)[0].text, replayed=True)

    async def _store_key(
        self, connection: Connection, user_id: UUID, command: CreateKey, scopes: tuple[Scope, ...]
    ) -> CreatedKey:
        name = validate_name(command)
        expires_at = validate_expiry(command, await keys.read_transaction_time(connection), self._life)
        if await keys.count_working_keys(connection, user_id) >= self._max_keys:
            raise TooManyKeys(limit=self._max_keys)
        request = _build_key_request(command)
        api_key = self._derive_key(user_id, request) if request else new_api_key()
        key = await keys.add_key(
            connection,
            user_id,
            api_key.id,
            self._pepper.digest(api_key),
            self._pepper.pepper_id,
            name=name,
            scopes=scopes,
            expires_at=expires_at,
        )
        if request is not None:
            await keys.save_key_request(connection, user_id, request)
        detail = {"key_id": key.id, "scopes": list(key.scopes), "expires_at": expires_at.isoformat()}
        await audit.append_entry(connection, NewAuditEntry("key.created", user_id, user_id, command.ip, detail))
        return CreatedKey(key=key, text=api_key.text)

    def _derive_key(self, user_id: UUID, request: KeyRequest) -> ApiKey:
        return self._pepper.derive_key(
            request.key_id, user=user_id, idempotency_key=request.idempotency_key, salt=request.salt
        )


def _build_key_request(command: CreateKey) -> KeyRequest | None:
    if command.idempotency_key is None:
        return None
    salt = secrets.token_bytes(SALT_BYTES)
    return KeyRequest(command.idempotency_key, hash_request(command), salt, new_key_id())

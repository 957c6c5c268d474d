"""Manages the keys that sign access tokens."""

from datetime import timedelta
from uuid import UUID

from auth.domain.access_token import sign_access_token
from auth.domain.signing_key import SigningKey, SigningKeyCipher, to_jwk
from auth.domain.user import User
from auth.store import signing_keys
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.telemetry.logs import log
from contracts.auth.credentials import Keyset
from contracts.wire.errors import Unavailable

ROTATE_EVERY_S = 30.0
PUBLISH_AHEAD = timedelta(seconds=60)  # publish a key before it signs: services fetch the keyset at most twice a minute
CLOCK_MARGIN = timedelta(seconds=60)  # for clock differences and slow transactions


class AccessTokenSigner:
    """Signs access tokens and rotates the keys.

    Args:
        token_life: lifetime of an access token.
        key_life: how long a key signs before the next one replaces it.
    """

    def __init__(
        self, database: Database, cipher: SigningKeyCipher, *, token_life: timedelta, key_life: timedelta
    ) -> None:
        self._database, self._cipher, self._key_life = database, cipher, key_life
        self.token_life = token_life
        self._cached_key: SigningKey | None = None
        self._has_rotated = False

    async def read_keyset(self) -> Keyset:
        """Return all public keys in use, including the next one."""
        await self.ensure_signing_key()
        async with self._database.single() as connection:
            return Keyset(
                keys=tuple(to_jwk(kid, public) for kid, public in await signing_keys.list_public_keys(connection))
            )

    async def sign_token(self, connection: Connection, user: User, session_id: UUID) -> str:
        """Return a token signed with the active key of this transaction.

        Raises:
            Unavailable: no key can be decrypted.
        """
        encrypted = await signing_keys.find_active_key(connection, life=self._key_life)
        if encrypted is not None and (self._cached_key is None or self._cached_key.kid != encrypted.kid):
            self._cached_key = self._cipher.decrypt(encrypted.kid, encrypted.private_key)
        if encrypted is None or self._cached_key is None:
            raise Unavailable(service="auth", retry_after_s=1)
        return sign_access_token(self._cached_key, user, session_id, now=encrypted.now, life=self.token_life)

    async def rotate_keys(self) -> None:
        """Create the first key, or the next one when due, and delete keys whose tokens have all expired."""
        async with self._database.direct() as connection:
            await signing_keys.lock_keys(connection)
            newest = await signing_keys.find_newest_key(connection, life=self._key_life)
            if newest is not None and not self._has_rotated and self._is_undecryptable(newest):
                await signing_keys.delete_all_keys(connection)
                newest = None
            if not self._has_rotated:
                await self._reencrypt_keys(connection)
            if newest is None:
                await self._add_signing_key(connection, timedelta(0))
            elif newest.is_due:
                await self._add_signing_key(connection, PUBLISH_AHEAD)
            await signing_keys.prune_keys(connection, token_life=self.token_life + CLOCK_MARGIN)
        self._has_rotated = True

    async def rotate_keys_now(self) -> str | None:
        """Create the next key now and return its id, or None when one is already scheduled."""
        async with self._database.direct() as connection:
            await signing_keys.lock_keys(connection)
            newest = await signing_keys.find_newest_key(connection, life=self._key_life)
            if newest is not None and not newest.is_active:
                return None
            return await self._add_signing_key(connection, PUBLISH_AHEAD if newest else timedelta(0))

    async def ensure_signing_key(self) -> None:
        """Return once a key exists. Call it before the transaction that signs."""
        if not self._has_rotated:
            await self.rotate_keys()

    def _is_undecryptable(self, key: signing_keys.EncryptedKey) -> bool:
        """Whether no known SECRET_KEY decrypts the key, so that it can no longer sign.

        Checked once per process, so that replicas with different secrets do not undo each other forever.
        """
        if self._cipher.decrypt(key.kid, key.private_key) is not None:
            return False
        log.warning("auth.signing_key.undecryptable", kid=key.kid)
        return True

    async def _reencrypt_keys(self, connection: Connection) -> None:
        """Encrypt the keys of earlier SECRET_KEYs under the current one."""
        for kid, encrypted in await signing_keys.list_private_keys(connection):
            if self._cipher.is_encrypted_with_current_secret(kid, encrypted):
                continue
            key = self._cipher.decrypt(kid, encrypted)
            if key is not None:
                await signing_keys.replace_private_key(connection, kid, self._cipher.encrypt(key))
                log.info("auth.signing_key.encrypted_again", kid=kid)

    async def _add_signing_key(self, connection: Connection, active_in: timedelta) -> str:
        key = SigningKey.generate()
        encrypted = self._cipher.encrypt(key)
        await signing_keys.add_key(
            connection, kid=key.kid, public_key=key.public, private_key=encrypted, active_in=active_in
        )
        log.info("auth.signing_key.created", kid=key.kid, signs_in_s=active_in.total_seconds())
        return key.kid

"""Manages the keys that sign access tokens."""

from datetime import timedelta
from uuid import UUID

from auth.domain.access_token import sign
from auth.domain.signing_key import KeyBox, SigningKey, jwk
from auth.domain.user import User
from auth.store import signing_keys
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.telemetry.logs import log
from contracts.auth.credentials import Keyset
from contracts.wire.errors import Unavailable

TEND_EVERY_S = 30.0
AHEAD = timedelta(seconds=60)  # publish a key before it signs: services fetch the keyset at most twice a minute
MARGIN = timedelta(seconds=60)  # for clock differences and slow transactions


class Signer:
    """Signs access tokens and rotates the keys.

    Args:
        token_life: lifetime of an access token.
        key_life: how long a key signs before the next one replaces it.
    """

    def __init__(self, database: Database, box: KeyBox, *, token_life: timedelta, key_life: timedelta) -> None:
        self._database, self._box, self._key_life = database, box, key_life
        self.token_life = token_life
        self._opened: SigningKey | None = None
        self._seen_to = False

    async def keyset(self) -> Keyset:
        """Return all public keys in use, including the next one."""
        await self.ready()
        async with self._database.single() as connection:
            return Keyset(keys=tuple(jwk(kid, public) for kid, public in await signing_keys.every(connection)))

    async def token(self, connection: Connection, user: User, session_id: UUID) -> str:
        """Return a token signed with the active key of this transaction.

        Raises:
            Unavailable: no key can be decrypted.
        """
        sealed = await signing_keys.signing(connection, life=self._key_life)
        if sealed is not None and (self._opened is None or self._opened.kid != sealed.kid):
            self._opened = self._box.open(sealed.kid, sealed.private_key)
        if sealed is None or self._opened is None:
            raise Unavailable(service="auth", retry_after_s=1)
        return sign(self._opened, user, session_id, now=sealed.now, life=self.token_life)

    async def tend(self) -> None:
        """Create the first key, or the next one when due, and delete keys whose tokens have all expired."""
        async with self._database.direct() as connection:
            await signing_keys.hold(connection)
            youngest = await signing_keys.youngest(connection, life=self._key_life)
            if youngest is not None and not self._seen_to and self._is_lost(youngest):
                await signing_keys.clear(connection)
                youngest = None
            if youngest is None:
                await self._add(connection, timedelta(0))
            elif youngest.due:
                await self._add(connection, AHEAD)
            await signing_keys.prune(connection, token_life=self.token_life + MARGIN)
        self._seen_to = True

    async def rotate(self) -> str | None:
        """Create the next key now and return its id, or None when one is already scheduled."""
        async with self._database.direct() as connection:
            await signing_keys.hold(connection)
            youngest = await signing_keys.youngest(connection, life=self._key_life)
            if youngest is not None and not youngest.signs:
                return None
            return await self._add(connection, AHEAD if youngest else timedelta(0))

    async def ready(self) -> None:
        """Return once a key exists. Call it before the transaction that signs."""
        if not self._seen_to:
            await self.tend()

    def _is_lost(self, key: signing_keys.SealedKey) -> bool:
        """Whether SECRET_KEY has changed, which voids the keys that the old one encrypted.

        Checked once per process, so that replicas with different secrets do not undo each other forever.
        """
        if self._box.open(key.kid, key.private_key) is not None:
            return False
        log.warning("auth.signing_key.lost", kid=key.kid)
        return True

    async def _add(self, connection: Connection, in_: timedelta) -> str:
        key = SigningKey.fresh()
        sealed = self._box.seal(key)
        await signing_keys.add(connection, kid=key.kid, public_key=key.public, private_key=sealed, in_=in_)
        log.info("auth.signing_key.made", kid=key.kid, signs_in_s=in_.total_seconds())
        return key.kid

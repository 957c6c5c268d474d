"""Resolves credentials to principals, from caches or with a request to auth."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from time import monotonic, time
from typing import Any, TypeVar
from uuid import UUID

from cachetools import LRUCache, TTLCache
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from authn.access_tokens import parse_key_id, parse_verification_keys, verify_access_token
from authn.key_uses import KeyUseReporter
from authn.user_states import ReceivedUserChange, UserStates
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.messaging.metadata import Metadata
from chassis.telemetry.logs import log
from contracts.auth.changes import READ_CHANGES, USER_CHANGED, ReadChanges, UserChanged
from contracts.auth.credentials import (
    READ_KEYSET,
    VERIFY_CREDENTIAL,
    InvalidCredential,
    Principal,
    ReadKeyset,
    VerifyCredential,
)
from contracts.auth.tiers import TIER_CHANGED, TierLimits
from contracts.wire.errors import Refusal, Unavailable

T = TypeVar("T")

MAX_CACHED = 10_000  # cached credentials, valid and invalid
MAX_KEY_LENGTH = 512  # characters
INVALID_CACHE_S = 5.0  # seconds for which an invalid credential is refused without another request to auth
REVALIDATE_RETRY_S = 5.0  # seconds between two requests about a stale key to which auth does not reply
REREAD_OVERLAP = timedelta(seconds=30)  # seconds of overlap: a transaction that began earlier may commit later
KEYSET_REREAD_S = 30.0  # seconds; removed keys expire and new ones are known before they sign
MAX_KEYSET_KEYS = 16  # keys
EXPIRY_CHECK_S = 5.0
MAX_ATTEMPTS = 3


@dataclass(slots=True)
class _CachedPrincipal:
    """A valid credential, usable until ``valid_until`` and verified again at ``revalidate_at``. Unix seconds.

    ``user_change`` and ``tiers`` are the changes that ``principal`` already includes.
    """

    principal: Principal
    valid_until: float
    revalidate_at: float
    user_change: ReceivedUserChange | None
    tiers: object


@dataclass(eq=False, slots=True)
class _CredentialWatch:
    principal: Principal
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Authenticator:
    """Resolves credentials. Tokens are verified locally; API keys are verified by auth and cached.

    Changes are received live and read again every ``reread_s``. A key is accepted for at most ``max_age_s`` after
    auth's last confirmation, which is refreshed in the background after ``revalidate_after_s``.

    Attributes:
        loops: background loops, to run with the service once the bus is connected.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        service: str,
        revalidate_after_s: float = 30,
        max_age_s: float = 900,
        reread_s: float = 10,
        refetch_s: float = 30,
    ) -> None:
        self._bus, self._refetch_s = bus, refetch_s
        self._revalidate_after_s, self._max_age_s = revalidate_after_s, max_age_s
        self._cache: LRUCache[bytes, _CachedPrincipal] = LRUCache(MAX_CACHED)
        self._invalid: TTLCache[bytes, bool] = TTLCache(MAX_CACHED, INVALID_CACHE_S)
        self._verifications: dict[bytes, asyncio.Task[Principal]] = {}
        self._users = UserStates()
        self._watches: dict[UUID, set[_CredentialWatch]] = {}
        self._uses = KeyUseReporter(bus)
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._keyset_due = self._refetch_due = 0.0
        self._refetching: asyncio.Task[None] | None = None
        self._is_subscribed = False
        self._since: datetime | None = None
        self._reread_loop = Loop(f"{service}.read_user_changes", self._read_missed_changes, every_s=reread_s)
        self.loops = (
            self._reread_loop,
            Loop(f"{service}.end_expired_watches", self._end_watches, every_s=EXPIRY_CHECK_S),
            Loop(f"{service}.report_key_uses", self._uses.report, every_s=0),
        )
        bus.on_connect(self._reread_loop.wake)

    async def probe(self) -> None:
        """Raise unless tokens can be verified: changes and keyset were read since the start."""
        if self._since is None or not self._keys:
            raise ConnectionError("auth has not replied yet")

    def find_cached(self, credential: str) -> Principal | None:
        """Return the principal of a credential verified before and still valid. No I/O; takes microseconds."""
        digest = sha256(credential.encode()).digest()
        try:
            cached = self._cache[digest]
        except KeyError:  # cachetools' get does two lookups
            return None
        if cached.valid_until <= (now := time()):
            return None
        user_change = self._users.find_last_change(cached.principal.user_id)
        is_current = user_change is cached.user_change and self._users.tiers is cached.tiers
        if not is_current and not self._apply_changes(digest, cached):
            return None
        if cached.principal.key_id is not None:
            self._uses.record_use(cached.principal.key_id, now)
            if cached.revalidate_at <= now:
                cached.revalidate_at = now + REVALIDATE_RETRY_S
                self._verify_key_once(digest, credential)
        return cached.principal

    async def authenticate(self, credential: str) -> Principal:
        """Return the principal of a credential.

        Raises:
            InvalidCredential: invalid, expired or revoked.
            Unavailable: the credential cannot be verified now.
        """
        principal = self.find_cached(credential)
        if principal is not None:
            return principal
        digest = sha256(credential.encode()).digest()
        is_token = "." in credential
        if digest in self._invalid or (len(credential) > MAX_KEY_LENGTH and not is_token):
            raise InvalidCredential
        try:
            if is_token:
                return await self._verify_token(digest, credential)
            principal = await asyncio.shield(self._verify_key_once(digest, credential))
        except InvalidCredential:
            self._invalid[digest] = True
            raise
        if principal.key_id is not None:
            self._uses.record_use(principal.key_id, time())
        return principal

    @contextmanager
    def watch_credential(self, principal: Principal) -> Iterator[asyncio.Event]:
        """Return an event set when the credential ends: at once on revocation, within 5 s on expiry."""
        watch = _CredentialWatch(principal)
        self._watches.setdefault(principal.user_id, set()).add(watch)
        self._end_if_invalid(watch)
        try:
            yield watch.ended
        finally:
            self._watches[principal.user_id].discard(watch)
            if not self._watches[principal.user_id]:
                del self._watches[principal.user_id]

    async def _verify_token(self, digest: bytes, token: str) -> Principal:
        kid = parse_key_id(token)
        if not self._keys:  # keys are read after the changes, so revocations are unknown too
            raise Unavailable(service="auth", retry_after_s=1)
        if kid not in self._keys:
            await self._refetch_keyset()
        principal = verify_access_token(token, self._keys)
        if self._users.has_ended(principal):
            raise InvalidCredential
        return self._cache_principal(digest, principal)

    def _verify_key_once(self, digest: bytes, key: str) -> asyncio.Task[Principal]:
        """Verify a key with auth, with one request at a time per key."""
        task = self._verifications.get(digest)
        if task is None:
            task = self._verifications[digest] = _run_in_background(self._verify_key(digest, key))
            task.add_done_callback(lambda _: self._verifications.pop(digest, None))
        return task

    async def _verify_key(self, digest: bytes, key: str) -> Principal:
        request = VerifyCredential.model_validate({"credential": key})
        try:
            for _ in range(MAX_ATTEMPTS):
                principal = await self._bus.request(VERIFY_CREDENTIAL, request)
                # A reply may be older than a change received meanwhile.
                if not self._users.has_ended(principal) and not self._users.is_outdated(principal):
                    return self._cache_principal(digest, principal)
        except Refusal as refusal:
            if refusal.details.code != InvalidCredential.code:
                raise Unavailable(service="auth", retry_after_s=1) from refusal
        except ValidationError as error:
            log.warning("identity.reply_invalid", topic=VERIFY_CREDENTIAL.name)
            raise Unavailable(service="auth", retry_after_s=1) from error
        self._mark_invalid(digest)
        raise InvalidCredential

    def _cache_principal(self, digest: bytes, principal: Principal) -> Principal:
        now = time()
        valid_until = now + self._max_age_s if principal.session_id is None else float("inf")
        if principal.expires_at is not None:
            valid_until = min(valid_until, principal.expires_at.timestamp())
        principal = self._users.update_principal(principal)
        user_change, tiers = self._users.find_last_change(principal.user_id), self._users.tiers
        self._cache[digest] = _CachedPrincipal(
            principal, valid_until, now + self._revalidate_after_s, user_change, tiers
        )
        return principal

    def _apply_changes(self, digest: bytes, cached: _CachedPrincipal) -> bool:
        """Apply later changes to a cached credential; returns whether it is still valid."""
        if self._users.has_ended(cached.principal):
            self._mark_invalid(digest)
            return False
        if self._users.is_outdated(cached.principal):
            del self._cache[digest]
            return False
        user_change = self._users.find_last_change(cached.principal.user_id)
        if user_change is not cached.user_change:
            cached.revalidate_at = 0
        cached.principal = self._users.update_principal(cached.principal)
        cached.user_change, cached.tiers = user_change, self._users.tiers
        return True

    def _mark_invalid(self, digest: bytes) -> None:
        self._cache.pop(digest, None)
        self._invalid[digest] = True

    async def _read_missed_changes(self) -> None:
        """Subscribe to changes, and read those that were missed."""
        try:
            if not self._is_subscribed:
                await self._bus.subscribe(USER_CHANGED, self._on_user_change)
                await self._bus.subscribe(TIER_CHANGED, self._on_tier_change)
                self._is_subscribed = True
            changes = await self._bus.request(READ_CHANGES, ReadChanges(since=self._since))
        except (Refusal, ValidationError) as error:
            log.warning("identity.changes_read_failed", error=type(error).__name__)
            await asyncio.sleep(1)
            self._reread_loop.wake()
            return
        for tier in changes.tiers:
            self._users.apply_tier_change(tier)
        for change in changes.users:
            self._apply_user_change(change)
        more = bool(changes.users) and changes.users[-1].at >= changes.now  # a full page ends at its last change
        self._since = changes.now if more else changes.now - REREAD_OVERLAP
        if more:
            self._reread_loop.wake()
        elif monotonic() >= self._keyset_due or not self._keys:
            await self._read_keyset()

    async def _refetch_keyset(self) -> None:
        """Read the keyset unless an unknown key id already caused that recently."""
        if monotonic() >= self._refetch_due:
            self._refetch_due = monotonic() + self._refetch_s
            self._refetching = _run_in_background(self._read_keyset())
        if self._refetching is not None:
            await asyncio.shield(self._refetching)

    async def _read_keyset(self) -> None:
        """Replace the keys. A missing or malformed reply leaves the current keys in use."""
        keys = {}
        with suppress(Refusal, ValidationError):
            listed = (await self._bus.request(READ_KEYSET, ReadKeyset())).keys
            keys = parse_verification_keys(listed) if len(listed) <= MAX_KEYSET_KEYS else {}
        if keys:
            self._keys, self._keyset_due = keys, monotonic() + KEYSET_REREAD_S
        else:
            log.warning("identity.keyset_read_failed")

    async def _on_user_change(self, change: UserChanged, _: Metadata) -> None:
        self._apply_user_change(change)

    async def _on_tier_change(self, tier: TierLimits, _: Metadata) -> None:
        self._users.apply_tier_change(tier)

    def _apply_user_change(self, change: UserChanged) -> None:
        self._users.apply_user_change(change)
        for watch in self._watches.get(change.user_id, ()):
            self._end_if_invalid(watch)

    def _end_if_invalid(self, watch: _CredentialWatch) -> None:
        if self._users.has_ended(watch.principal):
            watch.ended.set()

    async def _end_watches(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                self._end_if_invalid(watch)


def _run_in_background(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # waiting callers receive the exception
    return task

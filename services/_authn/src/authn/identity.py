"""Resolves credentials to principals, from local knowledge or by asking auth."""

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

from authn.access_tokens import key_id_of_token, verification_keys, verify_access_token
from authn.key_uses import KeyUseReporter
from authn.user_states import Heard, UserStates
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

AT_MOST = 10_000  # cached credentials, valid and invalid
KEY_MAX = 512  # characters
BAD_S = 5.0  # seconds for which an invalid credential is refused without asking again
AGAIN_S = 5.0  # seconds between two requests about a stale key that auth does not answer
OVERLAP = timedelta(seconds=30)  # seconds of overlap: a transaction that began earlier may commit later
KEYSET_S = 30.0  # seconds; removed keys expire and new ones are known before they sign
KEYSET_MAX = 16  # keys
EXPIRY_S = 5.0
TRIES = 3


@dataclass(slots=True)
class _Known:
    """A valid credential, usable until ``until``; auth is asked again at ``stale_at``. Unix seconds.

    ``heard`` and ``tiers`` are the changes that ``principal`` already includes.
    """

    principal: Principal
    until: float
    stale_at: float
    heard: Heard | None
    tiers: object


@dataclass(eq=False, slots=True)
class _Watch:
    principal: Principal
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Authenticator:
    """Resolves credentials. Tokens are verified locally; API keys are verified by auth and cached.

    Changes are received live and read again every ``reread_s``. A key is accepted for at most ``believed_s`` after
    auth's last confirmation, which is refreshed in the background after ``fresh_s``.

    Attributes:
        loops: to run with the service once the bus is connected.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        service: str,
        fresh_s: float = 30,
        believed_s: float = 900,
        reread_s: float = 10,
        refetch_s: float = 30,
    ) -> None:
        self._bus, self._fresh_s, self._believed_s, self._refetch_s = bus, fresh_s, believed_s, refetch_s
        self._known: LRUCache[bytes, _Known] = LRUCache(AT_MOST)
        self._bad: TTLCache[bytes, bool] = TTLCache(AT_MOST, BAD_S)
        self._asking: dict[bytes, asyncio.Task[Principal]] = {}
        self._standing = UserStates()
        self._watches: dict[UUID, set[_Watch]] = {}
        self._uses = KeyUseReporter(bus)
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._keyset_due = self._refetch_due = 0.0
        self._refetching: asyncio.Task[None] | None = None
        self._hearing = False
        self._since: datetime | None = None
        self._reread = Loop(f"{service}.follow_identity", self._follow, every_s=reread_s)
        self.loops = (
            self._reread,
            Loop(f"{service}.end_watches", self._end_watches, every_s=EXPIRY_S),
            Loop(f"{service}.say_uses", self._uses.say, every_s=0),
        )
        bus.when_connected(self._reread.wake)

    async def probe(self) -> None:
        """Return once tokens can be verified: changes and keyset were read since the start."""
        if self._since is None or not self._keys:
            raise ConnectionError("auth has not been heard yet")

    def known(self, credential: str) -> Principal | None:
        """Return the principal of a credential verified before and still valid. No I/O; takes microseconds."""
        digest = sha256(credential.encode()).digest()
        try:
            known = self._known[digest]
        except KeyError:  # cachetools' get does two lookups
            return None
        if known.until <= (now := time()):
            return None
        heard = self._standing.of(known.principal.user_id)
        if (heard is not known.heard or self._standing.tiers is not known.tiers) and not self._renew(digest, known):
            return None
        if known.principal.key_id is not None:
            self._uses.note(known.principal.key_id, now)
            if known.stale_at <= now:
                known.stale_at = now + AGAIN_S
                self._ask_once(digest, credential)
        return known.principal

    async def principal(self, credential: str) -> Principal:
        """Return the principal of a credential.

        Raises:
            InvalidCredential: invalid, expired or revoked.
            Unavailable: it cannot be verified now.
        """
        principal = self.known(credential)
        if principal is not None:
            return principal
        digest = sha256(credential.encode()).digest()
        is_token = "." in credential
        if digest in self._bad or (len(credential) > KEY_MAX and not is_token):
            raise InvalidCredential
        try:
            if is_token:
                return await self._verify(digest, credential)
            principal = await asyncio.shield(self._ask_once(digest, credential))
        except InvalidCredential:
            self._bad[digest] = True
            raise
        if principal.key_id is not None:
            self._uses.note(principal.key_id, time())
        return principal

    @contextmanager
    def watching(self, principal: Principal) -> Iterator[asyncio.Event]:
        """Return an event set when the credential ends: at once on revocation, within 5 s on expiry."""
        watch = _Watch(principal)
        self._watches.setdefault(principal.user_id, set()).add(watch)
        self._look(watch)
        try:
            yield watch.ended
        finally:
            self._watches[principal.user_id].discard(watch)
            if not self._watches[principal.user_id]:
                del self._watches[principal.user_id]

    async def _verify(self, digest: bytes, token: str) -> Principal:
        kid = key_id_of_token(token)
        if not self._keys:  # keys are read after the changes, so revocations are unknown too
            raise Unavailable(service="auth", retry_after_s=1)
        if kid not in self._keys:
            await self._refetch()
        principal = verify_access_token(token, self._keys)
        if self._standing.ended(principal):
            raise InvalidCredential
        return self._keep(digest, principal)

    def _ask_once(self, digest: bytes, key: str) -> asyncio.Task[Principal]:
        """Ask auth about a key, with one request at a time per key."""
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = _background(self._ask(digest, key))
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        return task

    async def _ask(self, digest: bytes, key: str) -> Principal:
        question = VerifyCredential.model_validate({"credential": key})
        try:
            for _ in range(TRIES):
                principal = await self._bus.request(VERIFY_CREDENTIAL, question)
                # A reply may be older than a change received meanwhile.
                if not self._standing.ended(principal) and not self._standing.outdated(principal):
                    return self._keep(digest, principal)
        except Refusal as refusal:
            if refusal.refused.code != InvalidCredential.code:
                raise Unavailable(service="auth", retry_after_s=1) from refusal
        except ValidationError as error:
            log.warning("identity.answer_invalid", topic=VERIFY_CREDENTIAL.name)
            raise Unavailable(service="auth", retry_after_s=1) from error
        self._drop(digest)
        raise InvalidCredential

    def _keep(self, digest: bytes, principal: Principal) -> Principal:
        now = time()
        until = now + self._believed_s if principal.session_id is None else float("inf")
        if principal.expires_at is not None:
            until = min(until, principal.expires_at.timestamp())
        principal = self._standing.current(principal)
        heard, tiers = self._standing.of(principal.user_id), self._standing.tiers
        self._known[digest] = _Known(principal, until, now + self._fresh_s, heard, tiers)
        return principal

    def _renew(self, digest: bytes, known: _Known) -> bool:
        """Apply later changes to a cached credential; returns whether it is still valid."""
        if self._standing.ended(known.principal):
            self._drop(digest)
            return False
        if self._standing.outdated(known.principal):
            del self._known[digest]
            return False
        heard = self._standing.of(known.principal.user_id)
        if heard is not known.heard:
            known.stale_at = 0
        known.principal = self._standing.current(known.principal)
        known.heard, known.tiers = heard, self._standing.tiers
        return True

    def _drop(self, digest: bytes) -> None:
        self._known.pop(digest, None)
        self._bad[digest] = True

    async def _follow(self) -> None:
        """Subscribe to changes, and read those that were missed."""
        try:
            if not self._hearing:
                await self._bus.subscribe(USER_CHANGED, self._on_user)
                await self._bus.subscribe(TIER_CHANGED, self._on_tier)
                self._hearing = True
            read = await self._bus.request(READ_CHANGES, ReadChanges(since=self._since))
        except (Refusal, ValidationError) as error:
            log.warning("identity.changes_unread", error=type(error).__name__)
            await asyncio.sleep(1)
            self._reread.wake()
            return
        for tier in read.tiers:
            self._standing.learn_tier(tier)
        for change in read.users:
            self._learn(change)
        more = bool(read.users) and read.users[-1].at >= read.now  # a full page ends at its last change
        self._since = read.now if more else read.now - OVERLAP
        if more:
            self._reread.wake()
        elif monotonic() >= self._keyset_due or not self._keys:
            await self._read_keyset()

    async def _refetch(self) -> None:
        """Read the keyset unless an unknown key id already caused that recently."""
        if monotonic() >= self._refetch_due:
            self._refetch_due = monotonic() + self._refetch_s
            self._refetching = _background(self._read_keyset())
        if self._refetching is not None:
            await asyncio.shield(self._refetching)

    async def _read_keyset(self) -> None:
        """Replace the keys. A missing or malformed reply leaves the current keys in use."""
        keys = {}
        with suppress(Refusal, ValidationError):
            listed = (await self._bus.request(READ_KEYSET, ReadKeyset())).keys
            keys = verification_keys(listed) if len(listed) <= KEYSET_MAX else {}
        if keys:
            self._keys, self._keyset_due = keys, monotonic() + KEYSET_S
        else:
            log.warning("identity.keyset_unread")

    async def _on_user(self, change: UserChanged, _: Metadata) -> None:
        self._learn(change)

    async def _on_tier(self, tier: TierLimits, _: Metadata) -> None:
        self._standing.learn_tier(tier)

    def _learn(self, change: UserChanged) -> None:
        self._standing.learn(change)
        for watch in self._watches.get(change.user_id, ()):
            self._look(watch)

    def _look(self, watch: _Watch) -> None:
        if self._standing.ended(watch.principal):
            watch.ended.set()

    async def _end_watches(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                self._look(watch)


def _background(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # waiting callers receive the exception
    return task

"""Who asks, what they may use, what they use: kept a moment, since clients poll it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from uuid import UUID

from cachetools import LRUCache

from chassis.messaging.bus import Bus
from contracts.auth.accounts import READ_ACCOUNT, Account, ReadAccount
from contracts.auth.credentials import Principal
from contracts.auth.tiers import Limits
from contracts.scheduler.usage import READ_TENANT_USAGE, ReadTenantUsage, TenantUsage
from gateway.accounts.schemas import present_me
from gateway.caching import StaleWhileRevalidateCache

ACCOUNT_S, USE_S = 30.0, 1.0
AT_MOST = 10_000  # users kept at a time


@dataclass(slots=True, eq=False)
class _Known:
    """What is known of one user: ``body`` is good ``until`` then, ``account`` is not older than ``version``."""

    version: int = -1
    account: StaleWhileRevalidateCache[Account] = field(default_factory=lambda: StaleWhileRevalidateCache(ACCOUNT_S))
    use: StaleWhileRevalidateCache[TenantUsage] = field(default_factory=lambda: StaleWhileRevalidateCache(USE_S))
    body: bytes = b""
    until: float = 0.0


class MeView:
    """The body of ``GET /auth/me`` for everybody.

    An account is kept for ``ACCOUNT_S`` or until its user or a tier changes, and believed while auth is away; use is
    kept for ``USE_S`` or until this gateway changes it, and believed for the day while the scheduler is away.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._users: LRUCache[UUID, _Known] = LRUCache(maxsize=AT_MOST)

    def ready(self, who: Principal) -> bytes | None:
        """The body where all of it is fresh, else None: asks nobody."""
        known = self._users.get(who.user_id)
        if known is None or known.version < who.version or monotonic() >= known.until:
            return None
        return known.body

    async def read(self, who: Principal) -> bytes:
        """The body. Whoever asks for the same user at the same time shares one question.

        Raises:
            Unavailable: a service is away that has not told of this user before.
        """
        known, account = await self._read_account(who)
        if known.use.value is not None and known.use.value.quota.resets_at <= datetime.now(UTC):
            known.use.forget()  # of yesterday
        use = await known.use.read(lambda within_s: self._use(who.user_id, within_s))
        body = present_me(account, use).model_dump_json().encode()
        if account is known.account.value and use is known.use.value:  # else something changed in between
            known.body, known.until = body, min(known.account.until, known.use.until)
        return body

    async def limits(self, who: Principal) -> Limits:
        """What the user may use.

        Raises:
            Unavailable: auth is away and has not told of this user before.
        """
        return (await self._read_account(who))[1].limits

    async def limits_of(self, user_id: UUID) -> Limits:
        """What a user may use of whom nothing else is known; as old as ``ACCOUNT_S`` where no change was heard.

        Raises:
            UnknownUser: there is none of this id.
            Unavailable: auth is away and has not told of this user before.
        """
        known = self._users.setdefault(user_id, _Known())
        return (await known.account.read(lambda within_s: self._account(user_id, within_s))).limits

    async def _read_account(self, who: Principal) -> tuple[_Known, Account]:
        known = self._users.setdefault(who.user_id, _Known())
        if known.version < who.version:
            known.version = who.version
            known.account.expire()
        return known, await known.account.read(lambda within_s: self._account(who.user_id, within_s))

    def used(self, user_id: UUID) -> None:
        """What the user uses has changed."""
        known = self._users.get(user_id)
        if known is not None:
            known.use.forget()
            known.until = 0.0

    def limits_changed(self) -> None:
        """A tier has other limits: ask for every account again."""
        for known in self._users.values():
            known.account.expire()
            known.until = 0.0

    def user_changed(self, user_id: UUID) -> None:
        """A user has other limits: ask for its account again."""
        known = self._users.get(user_id)
        if known is not None:
            known.account.expire()
            known.until = 0.0

    async def _account(self, user_id: UUID, within_s: float | None) -> Account:
        return await self._bus.request(READ_ACCOUNT, ReadAccount(), tenant=str(user_id), within_s=within_s)

    async def _use(self, user_id: UUID, within_s: float | None) -> TenantUsage:
        return await self._bus.request(READ_TENANT_USAGE, ReadTenantUsage(), tenant=str(user_id), within_s=within_s)

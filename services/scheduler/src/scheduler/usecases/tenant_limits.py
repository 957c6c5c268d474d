"""What may this tenant use? Asked of auth, heard from auth, kept here."""

from time import monotonic
from uuid import UUID

from chassis.database.postgres import Database
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.auth.accounts import READ_TENANT, ReadTenant, Tenant, UnknownTenant
from contracts.auth.changes import UserChanged
from contracts.auth.tiers import Limits
from contracts.wire.errors import FAULTS, Relayed, Unavailable
from scheduler.store import tenants

KNOWN_S = 0.5  # a tenant that we know does not wait longer for auth
AWAY_S = 5.0  # between two questions about it while auth is away


class TenantLimits:
    """Keeps the limits of tenants in our own database, so that admission needs nobody else.

    A change is saved when it is heard. Since it may not be heard, limits older than ``fresh_s`` seconds are asked for
    again; while auth is away the kept ones hold.
    """

    def __init__(self, database: Database, bus: Bus, *, fresh_s: float) -> None:
        self._database, self._bus, self._fresh_s = database, bus, fresh_s
        self._fresh: dict[UUID, tuple[float, Limits]] = {}  # until when, by ``monotonic``
        self._forgotten = 0

    async def refresh(self, tenant_id: UUID) -> Limits:
        """The tenant's limits; its row is there and fresh enough when this returns.

        Raises:
            UnknownTenant: auth knows no such tenant.
            Unavailable: auth is away and the tenant was never seen.
        """
        until, limits = self._fresh.get(tenant_id, (0.0, None))
        if limits is not None and monotonic() < until:
            return limits
        forgotten = self._forgotten
        async with self._database.direct() as connection:
            version = await tenants.load_version(connection, tenant_id)
        tenant = await self._ask(tenant_id, known=version is not None)
        if tenant is None:
            log.warning("scheduler.limits_stale", tenant=str(tenant_id))
            kept = await self._kept(tenant_id)
            self._fresh[tenant_id] = monotonic() + min(self._fresh_s, AWAY_S), kept
            return kept
        async with self._database.direct() as connection:
            await tenants.save_limits(connection, tenant, version=version or 0)
        if forgotten == self._forgotten:  # else the answer may be older than the change
            self._fresh[tenant_id] = monotonic() + self._fresh_s, tenant.limits
        return tenant.limits

    async def limits_of(self, tenant_id: UUID) -> Limits:
        """The limits as they are kept, without asking auth.

        Raises:
            UnknownTenant: the tenant was never refreshed.
        """
        until, limits = self._fresh.get(tenant_id, (0.0, None))
        return limits if limits is not None and monotonic() < until else await self._kept(tenant_id)

    async def hear(self, changed: UserChanged) -> None:
        """Save what changed of a tenant that we know. Never goes back to an older version."""
        self.forget(changed.user_id)
        async with self._database.direct() as connection:
            await tenants.save_change(connection, changed)

    def forget(self, tenant_id: UUID | None = None) -> None:
        """Ask again before the next decision about this tenant, or about any."""
        self._forgotten += 1
        if tenant_id is None:
            self._fresh.clear()
        else:
            self._fresh.pop(tenant_id, None)

    async def _ask(self, tenant_id: UUID, *, known: bool) -> Tenant | None:
        """What auth says; None where it is away and the tenant is known."""
        within_s = KNOWN_S if known else None
        try:
            return await self._bus.request(READ_TENANT, ReadTenant(), tenant=str(tenant_id), within_s=within_s)
        except (Unavailable, Relayed) as refusal:
            if not known or refusal.refused.kind not in FAULTS:
                raise
        return None

    async def _kept(self, tenant_id: UUID) -> Limits:
        async with self._database.single() as connection:
            limits = await tenants.load_limits(connection, tenant_id)
        if limits is None:
            raise UnknownTenant
        return limits

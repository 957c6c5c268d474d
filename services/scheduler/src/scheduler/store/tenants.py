"""Tenants: their limits, and the lock under which everything that counts is decided."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from chassis.statement import Connection, Statement
from contracts.auth import Tenant


@dataclass(frozen=True, slots=True)
class LockedTenant:
    """A tenant under its lock. ``now`` is the transaction's time by the database's clock, which alone counts."""

    id: UUID
    is_active: bool
    images_per_day: int | None
    queue_cap: int | None
    queued: int
    now: datetime

    @property
    def today(self) -> date:
        """The UTC day whose quota counts."""
        return self.now.date()


_SAVE_LIMITS = Statement("""
INSERT INTO tenants (id, tier, is_active, images_per_day, max_running, queue_cap, weight)
VALUES (:id, :tier, :is_active, :images_per_day, :max_running, :queue_cap, :weight)
ON CONFLICT (id) DO UPDATE SET
    tier = excluded.tier, is_active = excluded.is_active, images_per_day = excluded.images_per_day,
    max_running = excluded.max_running, queue_cap = excluded.queue_cap, weight = excluded.weight
WHERE (tenants.tier, tenants.is_active, tenants.images_per_day, tenants.max_running, tenants.queue_cap, tenants.weight)
    IS DISTINCT FROM
    (excluded.tier, excluded.is_active, excluded.images_per_day, excluded.max_running, excluded.queue_cap,
     excluded.weight)
""")
_KNOWN = Statement("SELECT 1 FROM tenants WHERE id = :id")
_LOCK = Statement("""
SELECT id, is_active, images_per_day, queue_cap, queued, now() AS now
FROM tenants WHERE id = :id FOR UPDATE
""")


async def save_limits(connection: Connection, tenant: Tenant) -> None:
    """Keep what auth says of a tenant; writes only what changed."""
    limits = tenant.limits.model_dump(exclude={"requests_per_minute"})
    values = {"id": tenant.tenant_id, "tier": tenant.tier, "is_active": tenant.is_active, **limits}
    await _SAVE_LIMITS.run(connection, **values)


async def is_known(connection: Connection, tenant_id: UUID) -> bool:
    """Whether the tenant's limits were ever kept."""
    return await _KNOWN.value(connection, id=tenant_id) is not None


async def lock(connection: Connection, tenant_id: UUID) -> LockedTenant | None:
    """Take the tenant's lock until the transaction ends. Always before the lock of any of its jobs."""
    row = await _LOCK.first(connection, id=tenant_id)
    return LockedTenant(**row) if row else None

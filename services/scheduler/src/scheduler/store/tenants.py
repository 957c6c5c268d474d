"""Tenants: limits, counters, and the images of each day. Every write here is made under the tenant's row lock."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text

from chassis.postgres import Connection
from contracts.auth import Tenant


@dataclass(frozen=True, slots=True)
class LockedTenant:
    """A tenant under its lock. ``now`` is the transaction's time by the database's clock, which alone counts."""

    id: UUID
    is_active: bool
    images_per_day: int | None
    queue_cap: int | None
    queued: int
    images_today: int
    now: datetime

    @property
    def today(self) -> date:
        """The UTC day whose quota counts."""
        return self.now.date()


_SAVE_LIMITS = text("""
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
_KNOWN = text("SELECT 1 FROM tenants WHERE id = :id")
_LOCK = text("""
SELECT id, is_active, images_per_day, queue_cap, queued, now() AS now
FROM tenants WHERE id = :id FOR UPDATE
""")
_IMAGES = text("SELECT images FROM usage_days WHERE tenant_id = :id AND day = :day")
_ADD_IMAGES = text("""
INSERT INTO usage_days (tenant_id, day, images) VALUES (:id, :day, greatest(:images, 0))
ON CONFLICT (tenant_id, day) DO UPDATE SET images = greatest(usage_days.images + :images, 0)
""")
# A tenant that wakes starts at the least vtime of those that wait: idle time earns no credit.
_ENQUEUED = text("""
UPDATE tenants SET queued = queued + 1, vtime = CASE WHEN queued > 0 THEN vtime ELSE
    greatest(vtime, coalesce((SELECT min(vtime) FROM tenants WHERE ready), vtime)) END
WHERE id = :id
""")
_DEQUEUED = text("UPDATE tenants SET queued = queued - 1 WHERE id = :id")
_CLAIMED = text("""
UPDATE tenants SET queued = queued - 1, running = running + 1, vtime = vtime + :cost / weight WHERE id = :id
""")
_RELEASED = text("""
UPDATE tenants SET running = running - 1, vtime = greatest(vtime + :cost / weight, 0) WHERE id = :id
""")


async def save_limits(connection: Connection, tenant: Tenant) -> None:
    """Keep what auth says of a tenant; writes only what changed."""
    limits = tenant.limits.model_dump(exclude={"requests_per_minute"})
    values = {"id": tenant.tenant_id, "tier": tenant.tier, "is_active": tenant.is_active, **limits}
    await connection.execute(_SAVE_LIMITS, values)


async def is_known(connection: Connection, tenant_id: UUID) -> bool:
    """Whether the tenant's limits were ever kept."""
    return await connection.scalar(_KNOWN, {"id": tenant_id}) is not None


async def lock(connection: Connection, tenant_id: UUID) -> LockedTenant | None:
    """Take the tenant's lock until the transaction ends. Always before the lock of any of its jobs."""
    row = (await connection.execute(_LOCK, {"id": tenant_id})).one_or_none()
    if row is None:
        return None
    images = await connection.scalar(_IMAGES, {"id": tenant_id, "day": row.now.date()})
    return LockedTenant(images_today=images or 0, **row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


async def charge_images(connection: Connection, tenant_id: UUID, day: date, images: int) -> None:
    """Add images to a day's use; a negative number gives them back."""
    if images:
        await connection.execute(_ADD_IMAGES, {"id": tenant_id, "day": day, "images": images})


async def enqueued(connection: Connection, tenant_id: UUID) -> None:
    """One more job of the tenant waits."""
    await connection.execute(_ENQUEUED, {"id": tenant_id})


async def dequeued(connection: Connection, tenant_id: UUID) -> None:
    """One job of the tenant no longer waits, and does not run either."""
    await connection.execute(_DEQUEUED, {"id": tenant_id})


async def claimed(connection: Connection, tenant_id: UUID, cost: float) -> None:
    """One job of the tenant went from waiting to running; charge its estimated GPU-seconds."""
    await connection.execute(_CLAIMED, {"id": tenant_id, "cost": cost})


async def released(connection: Connection, tenant_id: UUID, cost: float) -> None:
    """One attempt of the tenant ended; charge the difference to what it really cost, GPU-seconds."""
    await connection.execute(_RELEASED, {"id": tenant_id, "cost": cost})

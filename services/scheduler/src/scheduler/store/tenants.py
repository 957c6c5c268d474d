"""Tenants: their limits, and the lock under which everything that counts is decided."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from chassis.statement import Connection, Row, Statement
from contracts.auth import Limits, Tenant, UserChanged

_SAVE_LIMITS = Statement("""
INSERT INTO tenants (id, tier, is_active, images_per_day, max_running, queue_cap, weight, result_days)
VALUES (:id, :tier, :is_active, :images_per_day, :max_running, :queue_cap, :weight, :result_days)
ON CONFLICT (id) DO UPDATE SET
    tier = excluded.tier, is_active = excluded.is_active, images_per_day = excluded.images_per_day,
    max_running = excluded.max_running, queue_cap = excluded.queue_cap, weight = excluded.weight,
    result_days = excluded.result_days
WHERE tenants.version = :version
    AND (tenants.tier, tenants.is_active, tenants.images_per_day, tenants.max_running, tenants.queue_cap,
         tenants.weight, tenants.result_days)
    IS DISTINCT FROM
    (excluded.tier, excluded.is_active, excluded.images_per_day, excluded.max_running, excluded.queue_cap,
     excluded.weight, excluded.result_days)
""")
_SAVE_CHANGE = Statement("""
UPDATE tenants SET tier = :tier, is_active = :is_active, images_per_day = :images_per_day, max_running = :max_running,
    queue_cap = :queue_cap, weight = :weight, result_days = :result_days, version = :version
WHERE id = :id AND version < :version
""")
_VERSION = Statement("SELECT version FROM tenants WHERE id = :id")
_USE = Statement("""
SELECT t.images_per_day, t.queued, t.running, now() AS now, coalesce(u.images, 0) AS images
FROM tenants t LEFT JOIN usage_days u ON u.tenant_id = t.id AND u.day = (now() AT TIME ZONE 'UTC')::date
WHERE t.id = :id
""")
_LOCK = Statement("SELECT now() FROM tenants WHERE id = :id FOR UPDATE")
_ALL = "SELECT id FROM tenants WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"
_LOCK_ALL = Statement(_ALL)
_LOCK_FREE = Statement(_ALL + " SKIP LOCKED")


async def save_limits(connection: Connection, tenant: Tenant, *, version: int) -> None:
    """Keep what auth answered, unless a change was heard since ``version`` was read; writes only what changed."""
    values = {"id": tenant.tenant_id, "tier": tenant.tier, "is_active": tenant.is_active, "version": version}
    await _SAVE_LIMITS.run(connection, **values, **_kept(tenant.limits))


async def save_change(connection: Connection, changed: UserChanged) -> None:
    """Keep what auth said of a tenant that is known, unless something newer is kept."""
    values = {"id": changed.user_id, "tier": changed.tier, "is_active": changed.is_active, "version": changed.version}
    await _SAVE_CHANGE.run(connection, **values, **_kept(changed.limits))


async def version(connection: Connection, tenant_id: UUID) -> int | None:
    """Of the last change that was heard of a tenant, 0 for none yet; None for a tenant that is not known."""
    found: int | None = await _VERSION.value(connection, id=tenant_id)
    return found


async def use(connection: Connection, tenant_id: UUID) -> Row | None:
    """Counters of a tenant: ``images_per_day, images`` of today, ``queued, running, now``."""
    return await _USE.first(connection, id=tenant_id)


async def lock(connection: Connection, tenant_id: UUID) -> datetime | None:
    """Take the tenant's lock until the transaction ends; its time. Always before the lock of any of its jobs."""
    now: datetime | None = await _LOCK.value(connection, id=tenant_id)
    return now


async def lock_all(connection: Connection, tenant_ids: Iterable[UUID], *, patient: bool) -> set[UUID]:
    """The locks of many, in the order of their ids; without patience only those that are free. Whose they are."""
    statement = _LOCK_ALL if patient else _LOCK_FREE
    return {row["id"] for row in await statement.all(connection, ids=[*tenant_ids])}


def _kept(limits: Limits) -> dict[str, int | float | None]:
    return limits.model_dump(exclude={"requests_per_minute", "upload_days"})

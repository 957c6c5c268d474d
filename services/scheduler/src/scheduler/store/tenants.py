"""Tenants: their limits, and the lock under which everything that counts is decided."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from uuid import UUID

from chassis.database.statement import Connection, Row, Statement
from contracts.auth.accounts import Tenant
from contracts.auth.changes import UserChanged
from contracts.auth.tiers import Limits
from scheduler.domain.waiting import TenantFacts

_KEPT = (
    "tier", "is_active", "images_per_day", "max_running", "queue_cap", "weight", "result_days", "gpu_seconds_per_day",
    "quota_group", "limits",
)  # fmt: skip
_GIVEN = ", ".join("CAST(:limits AS jsonb)" if name == "limits" else f":{name}" for name in _KEPT)
_SAVE_LIMITS = Statement(f"""
INSERT INTO tenants (id, {", ".join(_KEPT)}) VALUES (:id, {_GIVEN})
ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _KEPT)}
WHERE tenants.version = :version
    AND ({", ".join(f"tenants.{name}" for name in _KEPT)})
    IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _KEPT)})
""")  # noqa: S608 - constants only
_SAVE_CHANGE = Statement(f"""
UPDATE tenants SET ({", ".join(_KEPT)}, version) = ({_GIVEN}, :version) WHERE id = :id AND version < :version
""")  # noqa: S608 - constants only
_LIMITS = Statement("SELECT limits, images_per_day, max_running, queue_cap, weight FROM tenants WHERE id = :id")
# Tenants of one group share the images of a day; ``t`` is one of them.
GROUP_IMAGES = """
    SELECT coalesce(sum(s.images), 0)::bigint FROM tenants g JOIN usage_days s ON s.tenant_id = g.id
    WHERE s.day = {day} AND (g.id = t.id OR g.quota_group = t.quota_group)
"""
# The vtime of a tenant whose row is updated while it gets ``added`` queued jobs. One that had none starts at the least
# vtime of those that wait: idle time earns no credit.
VTIME_WITH_QUEUED = """
    CASE WHEN queued = 0 AND {added} > 0
        THEN greatest(vtime, coalesce((SELECT min(t.vtime) FROM tenants t WHERE t.ready), vtime))
        ELSE vtime END
"""
_TODAY = "(now() AT TIME ZONE 'UTC')::date"
_LEFT = Statement(f"""
SELECT t.images_per_day - ({GROUP_IMAGES.format(day="CAST(:day AS date)")}) AS images
FROM tenants t WHERE t.id = :tenant_id
""")  # noqa: S608 - constants only
_GROUP_KEY = "hashtextextended('quota group ' || g.quota_group::text, 0)"
_GROUPS = "(SELECT id, quota_group FROM tenants WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY quota_group, id) g"
_LOCK_GROUPS = Statement(f"""
SELECT g.id, CASE WHEN g.quota_group IS NOT NULL THEN pg_advisory_xact_lock({_GROUP_KEY})::text END FROM {_GROUPS}
""")  # noqa: S608 - constants only
_LOCK_FREE_GROUPS = Statement(f"""
SELECT g.id FROM {_GROUPS}
WHERE CASE WHEN g.quota_group IS NULL THEN true ELSE pg_try_advisory_xact_lock({_GROUP_KEY}) END
""")  # noqa: S608 - constants only
_VERSION = Statement("SELECT version FROM tenants WHERE id = :id")
_USE = Statement(f"""
SELECT t.images_per_day, t.queued, t.running, now() AS now, ({GROUP_IMAGES.format(day=_TODAY)}) AS images
FROM tenants t WHERE t.id = :id
""")  # noqa: S608 - constants only
_RUNNING = Statement("""
SELECT t.id, t.is_active, t.running, t.max_running,
    CASE WHEN t.running >= t.max_running THEN (
        SELECT max(a.leased_at) FROM attempts a WHERE a.tenant_id = t.id AND a.ended_at IS NULL
    ) END AS limit_reached_at
FROM tenants t WHERE t.id = ANY(CAST(:ids AS uuid[]))
""")
_LOCK = Statement("SELECT now() FROM tenants WHERE id = :id FOR UPDATE")
_ALL = "SELECT id FROM tenants WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"
_LOCK_ALL = Statement(_ALL)
_LOCK_FREE = Statement(_ALL + " SKIP LOCKED")


async def save_limits(connection: Connection, tenant: Tenant, *, version: int) -> None:
    """Keep what auth answered, unless a change was heard since ``version`` was read; writes only what changed."""
    await _SAVE_LIMITS.run(connection, id=tenant.tenant_id, version=version, **_kept(tenant))


async def save_change(connection: Connection, changed: UserChanged) -> None:
    """Keep what auth said of a tenant that is known, unless something newer is kept."""
    await _SAVE_CHANGE.run(connection, id=changed.user_id, version=changed.version, **_kept(changed))


async def limits(connection: Connection, tenant_id: UUID) -> Limits | None:
    """The limits that are kept of a tenant, None if it is not known.

    What was never saved, for the row is older than the limit, is as strict as can be said.
    """
    row = await _LIMITS.first(connection, id=tenant_id)
    if row is None:
        return None
    known = {name: row[name] for name in ("images_per_day", "max_running", "queue_cap", "weight")}
    return Limits.model_validate({**known, "requests_per_minute": None, **row["limits"]})


async def version(connection: Connection, tenant_id: UUID) -> int | None:
    """Of the last change that was heard of a tenant, 0 for none yet; None for a tenant that is not known."""
    found: int | None = await _VERSION.value(connection, id=tenant_id)
    return found


async def use(connection: Connection, tenant_id: UUID) -> Row | None:
    """Counters of a tenant: ``images_per_day, images`` of today, ``queued, running, now``."""
    return await _USE.first(connection, id=tenant_id)


async def running(connection: Connection, tenant_ids: Iterable[UUID]) -> dict[UUID, TenantFacts]:
    """What tenants may run at once and what they run, by id."""
    return {row["id"]: TenantFacts(**row) for row in await _RUNNING.all(connection, ids=[*tenant_ids])}


async def lock(connection: Connection, tenant_id: UUID) -> datetime | None:
    """Take the tenant's lock until the transaction ends; its time. Always before the lock of any of its jobs."""
    now: datetime | None = await _LOCK.value(connection, id=tenant_id)
    return now


async def images_left(connection: Connection, tenant_id: UUID, day: date) -> int | None:
    """Images that the tenant has left on a day, None for no limit. Its group's lock and its own must be held."""
    left: int | None = await _LEFT.value(connection, tenant_id=tenant_id, day=day)
    return left


async def lock_groups(connection: Connection, tenant_ids: Iterable[UUID], *, patient: bool) -> set[UUID]:
    """Take the locks of the quota groups of these tenants; before any lock of a tenant.

    Returns:
        The tenants that have no group or whose group is locked now: all of them where the locks are waited for.
    """
    statement = _LOCK_GROUPS if patient else _LOCK_FREE_GROUPS
    return {row["id"] for row in await statement.all(connection, ids=[*tenant_ids])}


async def lock_all(connection: Connection, tenant_ids: Iterable[UUID], *, patient: bool) -> set[UUID]:
    """The locks of many, in the order of their ids; without patience only those that are free. Whose they are."""
    statement = _LOCK_ALL if patient else _LOCK_FREE
    return {row["id"] for row in await statement.all(connection, ids=[*tenant_ids])}


def _kept(known: Tenant | UserChanged) -> dict[str, Any]:
    """The columns of ``_KEPT``."""
    limits = known.limits
    columns = {name: getattr(limits, name) for name in _KEPT if name in Limits.model_fields}
    own = {"tier": known.tier, "is_active": known.is_active, "quota_group": known.quota_group}
    return {**columns, **own, "limits": limits.model_dump_json()}

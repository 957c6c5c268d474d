"""Tenants: their limits, and the locks under which limits are enforced."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from uuid import UUID

from chassis.database.statement import Connection, Row, Statement
from contracts.auth.accounts import Tenant
from contracts.auth.changes import UserChanged
from contracts.auth.tiers import Limits
from scheduler.domain.waiting import TenantFacts

_LIMIT_COLUMNS = (
    "tier", "is_active", "images_per_day", "max_running", "queue_cap", "weight", "result_days", "gpu_seconds_per_day",
    "quota_group", "limits",
)  # fmt: skip
_VALUES = ", ".join("CAST(:limits AS jsonb)" if name == "limits" else f":{name}" for name in _LIMIT_COLUMNS)
_SAVE_LIMITS = Statement(f"""
INSERT INTO tenants (id, {", ".join(_LIMIT_COLUMNS)}) VALUES (:id, {_VALUES})
ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _LIMIT_COLUMNS)}
WHERE tenants.version = :version
    AND ({", ".join(f"tenants.{name}" for name in _LIMIT_COLUMNS)})
    IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _LIMIT_COLUMNS)})
""")  # noqa: S608 - constants only
_UPDATE_LIMITS = Statement(f"""
UPDATE tenants SET ({", ".join(_LIMIT_COLUMNS)}) = ({_VALUES}) WHERE id = :id AND version = :version
    AND ({", ".join(_LIMIT_COLUMNS)}) IS DISTINCT FROM ({_VALUES})
""")  # noqa: S608 - constants only
_LIST_IDS = Statement("SELECT id, version FROM tenants WHERE id > :after ORDER BY id LIMIT :page")
_SAVE_CHANGE = Statement(f"""
UPDATE tenants SET ({", ".join(_LIMIT_COLUMNS)}, version) = ({_VALUES}, :version) WHERE id = :id AND version < :version
""")  # noqa: S608 - constants only
_LOAD_LIMITS = Statement("SELECT limits, images_per_day, max_running, queue_cap, weight FROM tenants WHERE id = :id")
# Tenants of one group share the images of a day; ``t`` is one of them.
GROUP_IMAGES = """
    SELECT coalesce(sum(s.images), 0)::bigint FROM tenants g JOIN usage_days s ON s.tenant_id = g.id
    WHERE s.day = {day} AND (g.id = t.id OR g.quota_group = t.quota_group)
"""
# The vtime of a tenant that gets ``added`` queued jobs and would otherwise have ``vtime``. A tenant without queued jobs
# starts at the least vtime of all ready tenants: idle time earns no credit. (greatest ignores null.)
VTIME_WITH_QUEUED = """
    CASE WHEN queued = 0 AND {added} > 0
        THEN greatest({vtime}, (SELECT min(t.vtime) FROM tenants t WHERE t.ready))
        ELSE {vtime} END
"""
_TODAY = "(now() AT TIME ZONE 'UTC')::date"
_SELECT_REMAINING_IMAGE_QUOTA = Statement(f"""
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
_LOAD_VERSION = Statement("SELECT version FROM tenants WHERE id = :id")
_LOAD_USAGE = Statement(f"""
SELECT t.images_per_day, t.queued, t.running, now() AS now, ({GROUP_IMAGES.format(day=_TODAY)}) AS images
FROM tenants t WHERE t.id = :id
""")  # noqa: S608 - constants only
# The fields of ``TenantFacts``, of the tenant ``t``.
TENANT_FACTS = """
    t.id, t.is_active, t.running, t.max_running, t.vtime, t.weight,
    CASE WHEN t.running >= t.max_running THEN (
        SELECT max(a.leased_at) FROM attempts a WHERE a.tenant_id = t.id AND a.ended_at IS NULL
    ) END AS limit_reached_at
"""
_LOAD_FACTS = Statement(f"SELECT {TENANT_FACTS} FROM tenants t WHERE t.id = ANY(CAST(:ids AS uuid[]))")  # noqa: S608
_LOCK_TENANT = Statement("SELECT now() FROM tenants WHERE id = :id FOR UPDATE")
_SELECT_FOR_UPDATE = "SELECT id FROM tenants WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"
_LOCK_TENANTS = Statement(_SELECT_FOR_UPDATE)
_LOCK_FREE_TENANTS = Statement(_SELECT_FOR_UPDATE + " SKIP LOCKED")


async def save_limits(connection: Connection, tenant: Tenant, *, version: int) -> None:
    """Save limits received from auth, unless a change event arrived since ``version`` was read.

    Writes nothing if nothing changed.
    """
    await _SAVE_LIMITS.execute(connection, id=tenant.tenant_id, version=version, **_build_limit_columns(tenant))


async def update_limits(connection: Connection, tenant: Tenant, *, version: int) -> None:
    """Like ``save_limits``, but never inserts a tenant, because it may have been erased in the meantime."""
    await _UPDATE_LIMITS.execute(connection, id=tenant.tenant_id, version=version, **_build_limit_columns(tenant))


async def list_tenant_ids(connection: Connection, after: UUID, *, page: int) -> list[tuple[UUID, int]]:
    """List the next ``page`` tenants by id, each with the version of its last change event."""
    return [(row["id"], row["version"]) for row in await _LIST_IDS.fetch_all(connection, after=after, page=page)]


async def apply_limit_change(connection: Connection, changed: UserChanged) -> None:
    """Apply a change event to a known tenant, unless a newer version is saved."""
    await _SAVE_CHANGE.execute(connection, id=changed.user_id, version=changed.version, **_build_limit_columns(changed))


async def load_limits(connection: Connection, tenant_id: UUID) -> Limits | None:
    """Load the saved limits of a tenant; None if the tenant is unknown.

    A limit that did not exist when the row was saved has its strictest value.
    """
    row = await _LOAD_LIMITS.fetch_first(connection, id=tenant_id)
    if row is None:
        return None
    own_columns = {name: row[name] for name in ("images_per_day", "max_running", "queue_cap", "weight")}
    return Limits.model_validate({**own_columns, "requests_per_minute": None, **row["limits"]})


async def load_version(connection: Connection, tenant_id: UUID) -> int | None:
    """Load the version of the last change event of a tenant: 0 if there was none, None if the tenant is unknown."""
    found: int | None = await _LOAD_VERSION.fetch_value(connection, id=tenant_id)
    return found


async def load_usage(connection: Connection, tenant_id: UUID) -> Row | None:
    """Load the counters of a tenant: ``images_per_day, images`` (today), ``queued, running, now``."""
    return await _LOAD_USAGE.fetch_first(connection, id=tenant_id)


async def load_tenant_facts(connection: Connection, tenant_ids: Iterable[UUID]) -> dict[UUID, TenantFacts]:
    """Load running jobs, concurrency limits and fair shares of tenants, by id."""
    return {row["id"]: TenantFacts(**row) for row in await _LOAD_FACTS.fetch_all(connection, ids=[*tenant_ids])}


async def lock_tenant(connection: Connection, tenant_id: UUID) -> datetime | None:
    """Lock the tenant until the transaction ends. Must come before the lock of any of its jobs.

    Returns:
        The time of the transaction; None if the tenant is unknown.
    """
    now: datetime | None = await _LOCK_TENANT.fetch_value(connection, id=tenant_id)
    return now


async def count_images_left(connection: Connection, tenant_id: UUID, day: date) -> int | None:
    """Count the images that the tenant may still make on a day; None means no limit.

    The locks of its quota group and of the tenant must be held.
    """
    left: int | None = await _SELECT_REMAINING_IMAGE_QUOTA.fetch_value(connection, tenant_id=tenant_id, day=day)
    return left


async def lock_quota_groups(connection: Connection, tenant_ids: Iterable[UUID], *, wait_for_locks: bool) -> set[UUID]:
    """Lock the quota groups of these tenants. Must come before the lock of any tenant.

    Args:
        wait_for_locks: wait for groups that other transactions have locked; otherwise skip them.

    Returns:
        The tenants that have no group or whose group is now locked.
    """
    statement = _LOCK_GROUPS if wait_for_locks else _LOCK_FREE_GROUPS
    return {row["id"] for row in await statement.fetch_all(connection, ids=[*tenant_ids])}


async def lock_tenants(connection: Connection, tenant_ids: Iterable[UUID], *, wait_for_locks: bool) -> set[UUID]:
    """Lock several tenants, in the order of their ids.

    Args:
        wait_for_locks: wait for tenants that other transactions have locked; otherwise skip them.

    Returns:
        The tenants that are now locked.
    """
    statement = _LOCK_TENANTS if wait_for_locks else _LOCK_FREE_TENANTS
    return {row["id"] for row in await statement.fetch_all(connection, ids=[*tenant_ids])}


def _build_limit_columns(source: Tenant | UserChanged) -> dict[str, Any]:
    """Build the values of ``_LIMIT_COLUMNS``."""
    limits = source.limits
    columns = {name: getattr(limits, name) for name in _LIMIT_COLUMNS if name in Limits.model_fields}
    others = {"tier": source.tier, "is_active": source.is_active, "quota_group": source.quota_group}
    return {**columns, **others, "limits": limits.model_dump_json()}

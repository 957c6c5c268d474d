"""Usage by UTC day. Written when jobs are accepted and attempts end (submits, transitions); read and deleted here."""

from collections.abc import Sequence
from uuid import UUID

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Connection, Row, Statement

_SUM_BY_DAY = """
SELECT day, sum(jobs) AS jobs, sum(images) AS images, sum(gpu_seconds) AS gpu_seconds FROM {rows} AS used
WHERE day > (now() AT TIME ZONE 'UTC')::date - CAST(:days AS integer)
GROUP BY day ORDER BY day DESC
"""
_SELECT_USAGE = "SELECT day, jobs, images, gpu_seconds FROM"
_LIST_DAYS_OF_TENANT = Statement(_SUM_BY_DAY.format(rows=f"({_SELECT_USAGE} usage_days WHERE tenant_id = :tenant_id)"))
_LIST_DAYS_OF_ALL = Statement(
    _SUM_BY_DAY.format(rows=f"({_SELECT_USAGE} usage_days UNION ALL {_SELECT_USAGE} erased_usage)")
)
_SUM_BY_ENDPOINT = """
SELECT day, endpoint, sum(images)::bigint AS images, sum(gpu_seconds) AS gpu_seconds FROM usage_endpoints
WHERE day > (now() AT TIME ZONE 'UTC')::date - CAST(:days AS integer) {condition} GROUP BY day, endpoint
"""
_LIST_ENDPOINTS_OF_TENANT = Statement(_SUM_BY_ENDPOINT.format(condition="AND tenant_id = :tenant_id"))
_LIST_ENDPOINTS_OF_ALL = Statement(_SUM_BY_ENDPOINT.format(condition=""))
_EXPIRED = tuple(
    ExpiredRows(table, "day <= (now() AT TIME ZONE 'UTC')::date - CAST(:days AS integer)")
    for table in ("usage_days", "usage_endpoints", "erased_usage")
)


async def list_usage_days(connection: Connection, tenant_id: UUID | None, *, days: int) -> Sequence[Row]:
    """List usage of the last ``days`` UTC days, newest first: the fields of ``UsageDay``.

    Days without usage are left out.

    Args:
        tenant_id: None sums up all tenants, including erased ones.
    """
    if tenant_id is None:
        return await _LIST_DAYS_OF_ALL.fetch_all(connection, days=days)
    return await _LIST_DAYS_OF_TENANT.fetch_all(connection, days=days, tenant_id=tenant_id)


async def list_endpoint_usage(connection: Connection, tenant_id: UUID | None, *, days: int) -> Sequence[Row]:
    """List ``day, endpoint, images, gpu_seconds`` of the days that ``list_usage_days`` lists."""
    if tenant_id is None:
        return await _LIST_ENDPOINTS_OF_ALL.fetch_all(connection, days=days)
    return await _LIST_ENDPOINTS_OF_TENANT.fetch_all(connection, days=days, tenant_id=tenant_id)


async def prune_usage(database: Database, *, keep_days: int) -> None:
    """Delete all but the last ``keep_days`` UTC days."""
    for expired in _EXPIRED:
        await expired.delete(database, days=keep_days)

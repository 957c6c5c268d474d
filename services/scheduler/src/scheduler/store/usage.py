"""What was used by day. Written where jobs are accepted and attempts are settled; read and pruned here."""

from collections.abc import Sequence
from uuid import UUID

from chassis.database.statement import Connection, Row, Statement

_DAYS = """
SELECT day, sum(jobs) AS jobs, sum(images) AS images, sum(gpu_seconds) AS gpu_seconds FROM {those} AS used
WHERE day > (now() AT TIME ZONE 'UTC')::date - CAST(:days AS integer)
GROUP BY day ORDER BY day DESC
"""
_COUNTED = "SELECT day, jobs, images, gpu_seconds FROM"
_OF_TENANT = Statement(_DAYS.format(those=f"({_COUNTED} usage_days WHERE tenant_id = :tenant_id)"))
_OF_ALL = Statement(_DAYS.format(those=f"({_COUNTED} usage_days UNION ALL {_COUNTED} erased_usage)"))
_ENDPOINTS = """
SELECT day, endpoint, sum(images)::bigint AS images, sum(gpu_seconds) AS gpu_seconds FROM usage_endpoints
WHERE day > (now() AT TIME ZONE 'UTC')::date - CAST(:days AS integer) {whose} GROUP BY day, endpoint
"""
_ENDPOINTS_OF_TENANT = Statement(_ENDPOINTS.format(whose="AND tenant_id = :tenant_id"))
_ENDPOINTS_OF_ALL = Statement(_ENDPOINTS.format(whose=""))
_PRUNE = tuple(
    Statement(f"DELETE FROM {table} WHERE day <= (now() AT TIME ZONE 'UTC')::date - CAST(:days AS integer)")  # noqa: S608 - constants only
    for table in ("usage_days", "usage_endpoints", "erased_usage")
)


async def days(connection: Connection, tenant_id: UUID | None, *, number: int) -> Sequence[Row]:
    """The fields of ``UsageDay`` for the last ``number`` UTC days with any, newest first; of everybody for None.

    Everybody includes those that were erased since.
    """
    if tenant_id is None:
        return await _OF_ALL.all(connection, days=number)
    return await _OF_TENANT.all(connection, days=number, tenant_id=tenant_id)


async def endpoints(connection: Connection, tenant_id: UUID | None, *, number: int) -> Sequence[Row]:
    """``day, endpoint, images, gpu_seconds`` of the same days."""
    if tenant_id is None:
        return await _ENDPOINTS_OF_ALL.all(connection, days=number)
    return await _ENDPOINTS_OF_TENANT.all(connection, days=number, tenant_id=tenant_id)


async def prune(connection: Connection, *, keep: int) -> None:
    """Forget all but the last ``keep`` UTC days."""
    for prune in _PRUNE:
        await prune.run(connection, days=keep)

"""What was used by day. Written where jobs are accepted and attempts are settled; read and pruned here."""

from collections.abc import Sequence
from uuid import UUID

from chassis.statement import Connection, Row, Statement

_DAYS = """
SELECT day, sum(jobs) AS jobs, sum(images) AS images, sum(gpu_seconds) AS gpu_seconds FROM usage_days
WHERE day > (now() AT TIME ZONE 'UTC')::date - CAST(:days AS integer) {whose}
GROUP BY day ORDER BY day DESC
"""
_OF_TENANT = Statement(_DAYS.format(whose="AND tenant_id = :tenant_id"))
_OF_ALL = Statement(_DAYS.format(whose=""))
_PRUNE = Statement("DELETE FROM usage_days WHERE day <= (now() AT TIME ZONE 'UTC')::date - CAST(:days AS integer)")


async def days(connection: Connection, tenant_id: UUID | None, *, number: int) -> Sequence[Row]:
    """The fields of ``UsageDay`` for the last ``number`` UTC days with any, newest first; of everybody for None."""
    if tenant_id is None:
        return await _OF_ALL.all(connection, days=number)
    return await _OF_TENANT.all(connection, days=number, tenant_id=tenant_id)


async def prune(connection: Connection, *, keep: int) -> None:
    """Forget all but the last ``keep`` UTC days."""
    await _PRUNE.run(connection, days=keep)

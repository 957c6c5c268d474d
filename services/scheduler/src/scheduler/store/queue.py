"""The queue by tenant. No statement reads all queued jobs: counts come from the tenants' rows.

Apart from the rows of all tenants, a statement reads the index of held jobs, and a few entries of ``ix_jobs_queue`` per
returned tenant.
"""

from collections.abc import Sequence

from chassis.database.statement import Connection, Row, Statement
from contracts.scheduler.queue import QueueOrder, ReadQueue
from scheduler.store.stats import OLDEST_QUEUED

_FIRST_OF = """
    SELECT j.id FROM jobs j WHERE j.tenant_id = t.id AND j.state = 'queued' AND {held} j.on_hold
    ORDER BY j.priority DESC, j.id LIMIT 1
"""
_ORDERS = {
    QueueOrder.FAIR: "position NULLS LAST, vtime, id",
    QueueOrder.QUEUED: "queued DESC, held DESC, id",
}
_LISTS = {
    order: Statement(f"""
WITH waiting AS (
    SELECT t.id, t.tier, t.weight, t.queued, coalesce(h.held, 0) AS held, t.running, t.max_running, t.vtime,
        CASE WHEN t.ready THEN row_number() OVER (PARTITION BY t.ready ORDER BY t.vtime, t.id) END AS position
    FROM tenants t LEFT JOIN (
        SELECT tenant_id, count(*) AS held FROM jobs WHERE state = 'queued' AND on_hold GROUP BY tenant_id
    ) h ON h.tenant_id = t.id
    WHERE t.queued > 0 OR h.held > 0
), chosen AS (
    SELECT *, count(*) OVER () AS found, row_number() OVER (ORDER BY {columns}) AS place FROM waiting
    WHERE (CAST(:tier AS text) IS NULL OR tier = :tier) AND (CAST(:tenant_id AS uuid) IS NULL OR id = :tenant_id)
    ORDER BY {columns} LIMIT :limit
)
SELECT t.id AS tenant_id, t.tier, t.weight, t.queued, t.held, t.running, t.max_running, t.position, t.found,
    coalesce(({_FIRST_OF.format(held="NOT")}), ({_FIRST_OF.format(held="")})) AS first_job_id,
    extract(epoch FROM now() - ({OLDEST_QUEUED}))::float AS oldest_wait_s
FROM chosen t ORDER BY t.place
""")  # noqa: S608 - constants only
    for order, columns in _ORDERS.items()
}


async def list_queued_tenants(connection: Connection, query: ReadQueue) -> Sequence[Row]:
    """List tenants with waiting jobs: the fields of ``QueuedTenant`` without ``waiting``, and ``found``."""
    return await _LISTS[query.order].all(connection, **query.model_dump(include={"tier", "tenant_id", "limit"}))

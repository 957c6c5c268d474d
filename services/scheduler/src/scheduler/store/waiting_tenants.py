"""Tenants with queued jobs in fair order, for queue positions."""

from chassis.database.statement import Connection, Statement
from scheduler.domain.fair_order import MAX_TENANTS, WaitingTenant

MAX_REQUIREMENTS = 20  # read per tenant

# Each tenant has at least one queued job, so the first 1,000 tenants decide the first 1,000 positions.
_LIST = Statement(f"""
SELECT t.id, t.vtime, t.weight, t.queued, ARRAY(
    SELECT w.requirement_id FROM waiting_requirements w WHERE w.tenant_id = t.id
    ORDER BY w.requirement_id LIMIT {MAX_REQUIREMENTS}
) AS requirements
FROM (SELECT * FROM tenants WHERE ready ORDER BY vtime, id LIMIT {MAX_TENANTS}) t ORDER BY t.vtime, t.id
""")  # noqa: S608 - constants only


async def list_waiting_tenants(connection: Connection) -> list[WaitingTenant]:
    """List the first ``MAX_TENANTS`` tenants in fair order. One index step and some rows for each."""
    return [
        WaitingTenant(row["id"], row["vtime"], row["weight"], row["queued"], tuple(row["requirements"]))
        for row in await _LIST.all(connection)
    ]

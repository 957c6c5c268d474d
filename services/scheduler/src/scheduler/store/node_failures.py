"""Jobs that failed on a node since it last completed one."""

from uuid import UUID

from chassis.database.statement import Connection, Statement
from contracts.scheduler.attempts import AttemptRef
from scheduler.domain.failing_nodes import FailedJob

_SAVE = Statement("""
INSERT INTO node_failures (node, job_id, tenant_id) VALUES (:node, :job_id, :tenant_id)
ON CONFLICT (node, job_id) DO UPDATE SET at = now()
""")
_LIST = Statement("""
SELECT f.job_id, f.tenant_id, j.state = 'succeeded' AS has_succeeded
FROM node_failures f JOIN jobs j ON j.id = f.job_id WHERE f.node = :node
ORDER BY f.at DESC LIMIT :limit
""")
_LIST_NODES = Statement("SELECT node FROM node_failures WHERE job_id = :job_id ORDER BY node")
_DELETE = Statement("DELETE FROM node_failures WHERE node = :node")
_CORDON = Statement("""
UPDATE nodes SET cordoned_at = now(), cordon_reason = :reason WHERE name = :node AND cordoned_at IS NULL RETURNING true
""")


async def save_failure(connection: Connection, node: str, ref: AttemptRef) -> None:
    """Record that a job failed on a node. The job's lock must be held."""
    await _SAVE.execute(connection, node=node, job_id=ref.job_id, tenant_id=ref.tenant_id)


async def list_failures(connection: Connection, node: str, *, limit: int) -> list[FailedJob]:
    """List the newest jobs that failed on a node since it last completed one."""
    return [FailedJob(**row) for row in await _LIST.fetch_all(connection, node=node, limit=limit)]


async def list_nodes_that_failed(connection: Connection, job_id: UUID) -> list[str]:
    """List the nodes on which a job failed and that have completed no job since then."""
    return [row["node"] for row in await _LIST_NODES.fetch_all(connection, job_id=job_id)]


async def delete_failures(connection: Connection, node: str) -> None:
    await _DELETE.execute(connection, node=node)


async def cordon_failing_node(connection: Connection, node: str, reason: str) -> bool:
    """Cordon a node, unless it is cordoned.

    Returns:
        Whether it was cordoned by this call.
    """
    return bool(await _CORDON.fetch_value(connection, node=node, reason=reason))

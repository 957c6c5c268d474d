"""Nodes as operators see and change them. Claims read ``cordoned_at`` under the node's lock."""

from collections.abc import Sequence

from chassis.database.statement import Connection, Row, Statement
from scheduler.store.attempts import JOIN_CURRENT_ATTEMPT
from scheduler.store.node_failures import delete_failures

_SELECT_NODE = f"""
SELECT n.name AS node, n.online AND n.seen_at > now() - make_interval(secs => :offline_after_s) AS online, n.seen_at,
    n.cordoned_at, n.cordon_reason, n.drain_at, a.job_id, a.tenant_id, a.attempt, a.leased_at,
    n.blocked, n.occupied_by, n.occupied_prompt_id, n.occupied_since,
    CASE WHEN n.occupied_by <> 'foreign_prompt' THEN (
        SELECT o.job_id FROM attempts o WHERE o.node = n.name AND o.prompt_id::text = n.occupied_prompt_id LIMIT 1
    ) END AS occupied_job_id,
    n.seen_at > now() - make_interval(secs => :offline_after_s) AS is_reporting, n.catalog_digest, n.shared_since,
    n.loaded, n.system, n.graph_node, n.graph_node_class, j.workflow, j.progress,
    CASE WHEN n.online AND n.seen_at <= now() - make_interval(secs => :offline_after_s) THEN n.seen_at
        ELSE n.state_since END AS online_since,
    (SELECT b.ended_at FROM attempts b WHERE b.node = n.name ORDER BY b.job_id DESC LIMIT 1) AS last_end
FROM nodes n {JOIN_CURRENT_ATTEMPT} LEFT JOIN jobs j ON j.id = a.job_id
"""  # noqa: S608 - constants only
_COUNT_SUCCEEDED = Statement("""
SELECT node, count(*) AS jobs FROM attempts
WHERE ended_at > now() - interval '1 hour' AND outcome = 'succeeded' GROUP BY node
""")
# A few steps along ix_attempts_faults per node.
_LIST_FAULTS = Statement("""
SELECT f.* FROM nodes n, LATERAL (
    SELECT a.node, a.ended_at AS at, a.job_id, a.attempt, a.outcome, a.node_died,
        coalesce(a.error->>'code', 'unknown') AS code, left(coalesce(a.error->>'message', ''), 200) AS message
    FROM attempts a WHERE a.node = n.name AND a.outcome IN ('failed', 'node_fault')
    ORDER BY a.ended_at DESC LIMIT :limit
) f ORDER BY f.at DESC LIMIT :total
""")
_LIST_NODES = Statement(_SELECT_NODE + "ORDER BY n.name")
_FIND_NODE = Statement(_SELECT_NODE + "WHERE n.name = :node")
_COUNT_QUEUED = Statement("""
SELECT count(*) FILTER (WHERE requirement_id = ANY(CAST(:requirements AS bigint[]))) AS jobs, count(*) AS read
FROM (SELECT requirement_id FROM jobs WHERE state = 'queued' AND NOT on_hold LIMIT :max_read) queued
""")
_CORDON = Statement("UPDATE nodes SET cordoned_at = coalesce(cordoned_at, now()) WHERE name = :node")
_UNCORDON = Statement("UPDATE nodes SET cordoned_at = NULL, cordon_reason = NULL, drain_at = NULL WHERE name = :node")
# A repeated drain may bring the deadline forward, never postpone it.
_DRAIN = Statement("""
UPDATE nodes SET cordoned_at = coalesce(cordoned_at, now()),
    drain_at = least(drain_at, now() + make_interval(secs => :grace_s))
WHERE name = :node
""")
_REQUEST_CLEAR = Statement("UPDATE nodes SET clear_at = now() WHERE name = :node")
_REQUEST_REFRESH = Statement("UPDATE nodes SET refresh_at = now() WHERE name = :node OR CAST(:node AS text) IS NULL")
_LOCK_NODE = Statement("SELECT 1 FROM nodes WHERE name = :node FOR UPDATE")
_DELETE_NODE = Statement("""
DELETE FROM nodes WHERE name = :node AND seen_at < now() - make_interval(secs => :offline_after_s)
    AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.node = :node AND a.ended_at IS NULL)
RETURNING true
""")


async def list_nodes(connection: Connection, *, offline_after_s: float) -> Sequence[Row]:
    """List all nodes by name, each with its live attempt.

    Rows have the stored fields of ``NodeStatus``, with ``occupied`` flattened to ``occupied_by``,
    ``occupied_prompt_id``, ``occupied_job_id`` and ``occupied_since``, and what its state is derived from:
    ``online_since`` (it is online or offline since then), ``shared_since`` and ``last_end`` (end of its newest job).
    """
    return await _LIST_NODES.fetch_all(connection, offline_after_s=offline_after_s)


async def count_succeeded_last_hour(connection: Connection) -> dict[str, int]:
    """Count the attempts of the last hour that succeeded, by node."""
    return {row["node"]: row["jobs"] for row in await _COUNT_SUCCEEDED.fetch_all(connection)}


async def list_faults(connection: Connection, *, limit: int, total: int) -> Sequence[Row]:
    """List failed attempts, newest first, as ``node`` and the fields of ``NodeFault``.

    Args:
        limit: maximum number per node.
        total: maximum number for all nodes together.
    """
    return await _LIST_FAULTS.fetch_all(connection, limit=limit, total=total)


async def find_node(connection: Connection, node: str, *, offline_after_s: float) -> Row | None:
    """Find one node, as a row of ``list_nodes``."""
    return await _FIND_NODE.fetch_first(connection, node=node, offline_after_s=offline_after_s)


async def count_queued_jobs(connection: Connection, requirements: Sequence[int], *, max_read: int) -> tuple[int, int]:
    """Count queued jobs with these requirements among the first ``max_read`` queued jobs.

    Returns:
        Their number, and how many queued jobs were read.
    """
    if not requirements:
        return 0, 0
    row = await _COUNT_QUEUED.fetch_first(connection, requirements=list(requirements), max_read=max_read)
    assert row is not None  # noqa: S101 - an aggregate is always one row
    return row["jobs"], row["read"]


async def cordon_node(connection: Connection, node: str) -> None:
    """Stop new work for the node. Waits for a claim in progress; every later claim sees the change."""
    await _CORDON.execute(connection, node=node)


async def uncordon_node(connection: Connection, node: str) -> None:
    """Allow new work again and cancel a drain. Earlier failures no longer count."""
    await _UNCORDON.execute(connection, node=node)
    await delete_failures(connection, node)


async def drain_node(connection: Connection, node: str, *, grace_s: float) -> None:
    """Cordon the node, and record that its attempts are to be withdrawn in ``grace_s`` seconds."""
    await _DRAIN.execute(connection, node=node, grace_s=grace_s)


async def request_clear(connection: Connection, node: str) -> None:
    """Record a request to remove foreign prompts from the node.

    The replies to its heartbeats contain the request until it is done or expires.
    """
    await _REQUEST_CLEAR.execute(connection, node=node)


async def request_refresh(connection: Connection, node: str | None) -> None:
    """Record a request to read the node's catalog again, or those of all nodes (None).

    The replies to heartbeats contain the request until it is done or expires.
    """
    await _REQUEST_REFRESH.execute(connection, node=node)


async def delete_node(connection: Connection, node: str, *, offline_after_s: float) -> bool:
    """Delete a node that was silent for ``offline_after_s`` seconds and has no live attempt, with its failures.

    Returns:
        Whether the node was deleted.
    """
    await _LOCK_NODE.execute(connection, node=node)
    if not await _DELETE_NODE.fetch_value(connection, node=node, offline_after_s=offline_after_s):
        return False
    await delete_failures(connection, node)
    return True

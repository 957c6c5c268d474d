"""Nodes as operators see and change them. Claims read ``cordoned_at`` under the node's lock."""

from collections.abc import Sequence

from chassis.database.statement import Connection, Row, Statement

_SELECT_NODE = """
SELECT n.name AS node, n.online AND n.seen_at > now() - make_interval(secs => :online_s) AS online, n.seen_at,
    n.cordoned_at, n.drain_at, a.job_id, a.tenant_id, a.attempt, a.leased_at,
    n.blocked, n.occupied_by, n.occupied_prompt_id, n.occupied_since,
    CASE WHEN n.occupied_by <> 'foreign_prompt' THEN (
        SELECT o.job_id FROM attempts o WHERE o.node = n.name AND o.prompt_id::text = n.occupied_prompt_id LIMIT 1
    ) END AS occupied_job_id
FROM nodes n LEFT JOIN attempts a ON a.node = n.name AND a.ended_at IS NULL
"""
_LIST_NODES = Statement(_SELECT_NODE + "ORDER BY n.name")
_FIND_NODE = Statement(_SELECT_NODE + "WHERE n.name = :node")
_CORDON = Statement("UPDATE nodes SET cordoned_at = coalesce(cordoned_at, now()) WHERE name = :node")
_UNCORDON = Statement("UPDATE nodes SET cordoned_at = NULL, drain_at = NULL WHERE name = :node")
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
DELETE FROM nodes WHERE name = :node AND seen_at < now() - make_interval(secs => :online_s)
    AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.node = :node AND a.ended_at IS NULL)
RETURNING true
""")


async def list_nodes(connection: Connection, *, online_s: float) -> Sequence[Row]:
    """List all nodes by name, each with its live attempt.

    Rows have the fields of ``NodeStatus``, with ``occupied`` flattened to ``occupied_by``, ``occupied_prompt_id``,
    ``occupied_job_id`` and ``occupied_since``.
    """
    return await _LIST_NODES.all(connection, online_s=online_s)


async def find_node(connection: Connection, node: str, *, online_s: float) -> Row | None:
    """Find one node, as a row of ``list_nodes``."""
    return await _FIND_NODE.first(connection, node=node, online_s=online_s)


async def cordon_node(connection: Connection, node: str) -> None:
    """Stop new work for the node. Waits for a claim in progress; every later claim sees the change."""
    await _CORDON.run(connection, node=node)


async def uncordon_node(connection: Connection, node: str) -> None:
    """Allow new work again and cancel a drain."""
    await _UNCORDON.run(connection, node=node)


async def drain_node(connection: Connection, node: str, *, grace_s: float) -> None:
    """Cordon the node, and withdraw its attempt after ``grace_s`` seconds."""
    await _DRAIN.run(connection, node=node, grace_s=grace_s)


async def request_clear(connection: Connection, node: str) -> None:
    """Ask the executor, in the reply to its next heartbeat, to remove foreign prompts from the node."""
    await _REQUEST_CLEAR.run(connection, node=node)


async def request_refresh(connection: Connection, node: str | None) -> None:
    """Ask the executor to read the node's catalog again; None asks all executors."""
    await _REQUEST_REFRESH.run(connection, node=node)


async def delete_node(connection: Connection, node: str, *, online_s: float) -> bool:
    """Delete a node that was silent for ``online_s`` seconds and has no live attempt.

    Returns:
        Whether the node was deleted.
    """
    await _LOCK_NODE.run(connection, node=node)
    return bool(await _DELETE_NODE.value(connection, node=node, online_s=online_s))

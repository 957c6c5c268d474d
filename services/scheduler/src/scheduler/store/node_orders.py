"""What operators see and want of nodes. Claims look at ``cordoned_at`` under the node's lock."""

from collections.abc import Sequence

from chassis.database.statement import Connection, Row, Statement

_STANDING = """
SELECT n.name AS node, n.online AND n.seen_at > now() - make_interval(secs => :online_s) AS online, n.seen_at,
    n.cordoned_at, n.drain_at, a.job_id, a.tenant_id, a.attempt, a.leased_at,
    n.blocked, n.occupied_by, n.occupied_prompt_id, n.occupied_since,
    CASE WHEN n.occupied_by <> 'foreign_prompt' THEN (
        SELECT o.job_id FROM attempts o WHERE o.node = n.name AND o.prompt_id::text = n.occupied_prompt_id LIMIT 1
    ) END AS occupied_job_id
FROM nodes n LEFT JOIN attempts a ON a.node = n.name AND a.ended_at IS NULL
"""
_ALL = Statement(_STANDING + "ORDER BY n.name")
_ONE = Statement(_STANDING + "WHERE n.name = :node")
_CORDON = Statement("UPDATE nodes SET cordoned_at = coalesce(cordoned_at, now()) WHERE name = :node")
_UNCORDON = Statement("UPDATE nodes SET cordoned_at = NULL, drain_at = NULL WHERE name = :node")
# A drain that is asked for again may come sooner, never later.
_DRAIN = Statement("""
UPDATE nodes SET cordoned_at = coalesce(cordoned_at, now()),
    drain_at = least(drain_at, now() + make_interval(secs => :grace_s))
WHERE name = :node
""")
_CLEAR = Statement("UPDATE nodes SET clear_at = now() WHERE name = :node")
_REFRESH = Statement("UPDATE nodes SET refresh_at = now() WHERE name = :node OR CAST(:node AS text) IS NULL")
_LOCK = Statement("SELECT 1 FROM nodes WHERE name = :node FOR UPDATE")
_FORGET = Statement("""
DELETE FROM nodes WHERE name = :node AND seen_at < now() - make_interval(secs => :online_s)
    AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.node = :node AND a.ended_at IS NULL)
RETURNING true
""")


async def standings(connection: Connection, *, online_s: float) -> Sequence[Row]:
    """Every node by name, with the attempt that it holds: the fields of ``NodeStatus``, ``occupied_…`` one by one."""
    return await _ALL.all(connection, online_s=online_s)


async def standing(connection: Connection, node: str, *, online_s: float) -> Row | None:
    """One of them."""
    return await _ONE.first(connection, node=node, online_s=online_s)


async def cordon(connection: Connection, node: str) -> None:
    """Give it no new work: a claim that is under way is waited for, and every later one sees it."""
    await _CORDON.run(connection, node=node)


async def uncordon(connection: Connection, node: str) -> None:
    """Give it work again, and leave it what it has."""
    await _UNCORDON.run(connection, node=node)


async def drain(connection: Connection, node: str, *, grace_s: float) -> None:
    """Cordon it, and have its attempt taken away after the grace."""
    await _DRAIN.run(connection, node=node, grace_s=grace_s)


async def clear(connection: Connection, node: str) -> None:
    """Ask the executor, by the reply to its next heartbeat, to remove foreign prompts from the node."""
    await _CLEAR.run(connection, node=node)


async def refresh(connection: Connection, node: str | None) -> None:
    """Ask the executor to refresh the catalog; None asks every executor."""
    await _REFRESH.run(connection, node=node)


async def forget(connection: Connection, node: str, *, online_s: float) -> bool:
    """Delete a node that was not heard of for ``online_s`` seconds and holds nothing; whether it was so."""
    await _LOCK.run(connection, node=node)
    return bool(await _FORGET.value(connection, node=node, online_s=online_s))

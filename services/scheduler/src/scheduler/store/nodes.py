"""Nodes, their catalogs, and the requirements of jobs."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Connection, Row, Statement
from contracts.scheduler.heartbeats import Heartbeat
from scheduler.store.attempts import JOIN_CURRENT_ATTEMPT
from scheduler.store.claims import GPU_BYTES

ACTION_TTL_S = 60.0  # an operator's action expires if no heartbeat picks it up in this time

_SAVE_HEARTBEAT = Statement("""
INSERT INTO nodes (name, boot_id, online, seen_at, loaded, catalog_digest, state_since, shared_since, occupied_by,
    occupied_prompt_id, occupied_since, blocked, system, graph_node, graph_node_class)
VALUES (:name, :boot_id, :online, now(), :loaded, (SELECT digest FROM catalogs WHERE digest = :digest), now(),
    CASE WHEN :is_shared THEN now() END, :occupied_by, :occupied_prompt_id,
    now() - make_interval(secs => CAST(:occupied_s AS float)), :blocked, CAST(:system AS jsonb),
    :graph_node, :graph_node_class)
ON CONFLICT (name) DO UPDATE SET boot_id = excluded.boot_id, online = excluded.online, seen_at = excluded.seen_at,
    loaded = excluded.loaded,
    state_since = CASE
        WHEN nodes.online = excluded.online AND nodes.seen_at > now() - make_interval(secs => :offline_after_s)
            AND coalesce(excluded.catalog_digest, nodes.catalog_digest) IS NOT DISTINCT FROM nodes.catalog_digest
        THEN nodes.state_since
        ELSE now()
    END,
    shared_since = CASE WHEN :is_shared THEN coalesce(nodes.shared_since, now()) END,
    models_noted = nodes.models_noted AND nodes.seen_at > now() - make_interval(secs => :forget_after_s),
    catalog_digest = coalesce(excluded.catalog_digest, nodes.catalog_digest),
    occupied_by = excluded.occupied_by, occupied_prompt_id = excluded.occupied_prompt_id,
    occupied_since = CASE WHEN nodes.occupied_prompt_id = excluded.occupied_prompt_id THEN nodes.occupied_since
        ELSE excluded.occupied_since END,
    blocked = excluded.blocked, system = excluded.system, graph_node = excluded.graph_node,
    graph_node_class = excluded.graph_node_class,
    clear_at = CASE WHEN nodes.clear_at > coalesce(CAST(:cleared AS timestamptz), '-infinity') THEN nodes.clear_at END,
    refresh_at = CASE WHEN nodes.refresh_at > coalesce(CAST(:refreshed AS timestamptz), '-infinity')
        THEN nodes.refresh_at END
RETURNING catalog_digest IS NOT DISTINCT FROM CAST(:digest AS text) AND models_noted AS is_catalog_known,
    CASE WHEN clear_at > now() - make_interval(secs => :action_ttl_s) THEN clear_at END AS clear_requested_at,
    CASE WHEN refresh_at > now() - make_interval(secs => :action_ttl_s) THEN refresh_at END AS refresh_requested_at
""")
_MARK_MODELS_SAVED = Statement(
    "UPDATE nodes SET models_noted = true WHERE name = :name AND NOT models_noted RETURNING true"
)
_DELETE_MODELS = Statement("DELETE FROM models_at_join WHERE node = :name")
_INSERT_MODELS = Statement("""
INSERT INTO models_at_join (node, model) SELECT :name, unnest(CAST(:models AS text[])) ON CONFLICT DO NOTHING
""")
# The age of a node is relative to the newest one, so a night without any node does not forget the whole fleet.
_IS_REMEMBERED = "n.seen_at > (SELECT max(seen_at) FROM nodes) - make_interval(secs => :forget_after_s)"
_LIST_MODELS_AT_JOIN = Statement(f"""
SELECT DISTINCT substr(m.model, length(CAST(:start AS text)) + 1) AS model
FROM models_at_join m JOIN nodes n ON n.name = m.node
WHERE starts_with(m.model, CAST(:start AS text)) AND {_IS_REMEMBERED}
""")  # noqa: S608 - constants only
_INSERT_CATALOG = Statement("""
INSERT INTO catalogs (digest, classes_zlib) VALUES (:digest, :classes) ON CONFLICT (digest) DO NOTHING
""")
_ASSIGN_CATALOG = Statement("""
UPDATE nodes SET catalog_digest = :digest, state_since = now()
WHERE name = :name AND catalog_digest IS DISTINCT FROM :digest
""")
_LOAD_CATALOG = Statement("SELECT classes_zlib FROM catalogs WHERE digest = :digest")
# A catalog has all classes of a node, about 100 KB. The foreign key of nodes protects one that is just being reported.
_EXPIRED_CATALOGS = ExpiredRows(
    "catalogs",
    "reported_at < now() - interval '1 day'"
    " AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.catalog_digest = catalogs.digest)"
    " AND NOT EXISTS (SELECT 1 FROM replaced_catalogs r WHERE r.digest = catalogs.digest)",
    batch=100,
)
_EXPIRED_REPLACEMENTS = ExpiredRows("replaced_catalogs", "replaced_at < now() - interval '1 day'")
_LIST_NODES = Statement(f"""
SELECT n.name, n.online AND n.seen_at > now() - make_interval(secs => :offline_after_s) AS online, n.seen_at,
    n.catalog_digest, n.loaded, a.job_id, a.leased_at AS busy_since, n.cordoned_at,
    coalesce(n.system->'gpus'->0->>'name', '') AS gpu_model,
    (SELECT count(*) FROM attempts p WHERE p.node = n.name AND p.ended_at IS NULL AND p.prefetched) AS prefetched,
    n.shared_since, {GPU_BYTES} AS gpu_bytes,
    CASE WHEN n.blocked THEN n.occupied_since END AS blocked_since,
    CASE WHEN n.online AND n.seen_at <= now() - make_interval(secs => :offline_after_s) THEN n.seen_at
        ELSE n.state_since END AS since
FROM nodes n {JOIN_CURRENT_ATTEMPT}
WHERE {_IS_REMEMBERED} ORDER BY n.name
""")  # noqa: S608 - constants only
_LIST_OTHER_CATALOGS = Statement("""
SELECT DISTINCT catalog_digest FROM nodes
WHERE name <> :node AND online AND seen_at > now() - make_interval(secs => :offline_after_s) AND cordoned_at IS NULL
    AND catalog_digest IS NOT NULL AND NOT blocked
""")
_LIST_REPLACED_CATALOGS = Statement("""
SELECT DISTINCT r.digest FROM replaced_catalogs r JOIN nodes n ON n.name = r.node
WHERE r.replaced_at > now() - make_interval(secs => :grace_s)
    AND n.seen_at > now() - make_interval(secs => :forget_after_s)
""")
_INSERT_REQUIREMENT = Statement("""
INSERT INTO requirements (digest, needs, memory_over_gib) VALUES (:digest, :needs, CAST(:memory_over_gib AS integer))
ON CONFLICT (digest) DO NOTHING
""")
_FIND_REQUIREMENT = Statement("SELECT id FROM requirements WHERE digest = :digest")
_LIST_NEW_REQUIREMENTS = Statement(
    "SELECT id, needs, memory_over_gib FROM requirements WHERE id <> ALL(CAST(:known AS bigint[]))"
)


class RecordedHeartbeat(NamedTuple):
    """The stored state of a node after its heartbeat.

    Attributes:
        is_catalog_known: whether its catalog, and the models that it had when it joined, are stored.
        clear_requested_at, refresh_requested_at: when an operator requested the action "clear" or "refresh"; None if
            none was requested, or if it is done or has expired.
    """

    is_catalog_known: bool
    clear_requested_at: datetime | None
    refresh_requested_at: datetime | None


async def save_heartbeat(
    connection: Connection, name: str, heartbeat: Heartbeat, *, offline_after_s: float, forget_after_s: float
) -> RecordedHeartbeat:
    """Record a heartbeat.

    A node that was silent for ``offline_after_s`` seconds was offline. If it was silent for ``forget_after_s`` seconds,
    it joins as a new node.
    """
    occupied = heartbeat.occupied
    row = await _SAVE_HEARTBEAT.fetch_first(
        connection,
        name=name,
        boot_id=heartbeat.boot_id,
        online=heartbeat.online,
        loaded=list(heartbeat.loaded),
        is_shared=heartbeat.foreign_prompts > 0,
        offline_after_s=offline_after_s,
        digest=heartbeat.catalog_digest,
        forget_after_s=forget_after_s,
        occupied_by=occupied.by.value if occupied else None,
        occupied_prompt_id=occupied.prompt_id if occupied else None,
        occupied_s=occupied.seconds if occupied else None,
        blocked=occupied is not None and occupied.blocked,
        cleared=heartbeat.cleared,
        refreshed=heartbeat.refreshed,
        action_ttl_s=ACTION_TTL_S,
        system=heartbeat.system.model_dump_json() if heartbeat.system else None,
        graph_node=heartbeat.graph_node,
        graph_node_class=heartbeat.graph_node_class,
    )
    assert row is not None  # noqa: S101 - an upsert returns its row
    return RecordedHeartbeat(**row)


async def save_catalog(connection: Connection, name: str, digest: str, classes_zlib: str) -> None:
    """Store a catalog and assign it to the node."""
    await _INSERT_CATALOG.execute(connection, digest=digest, classes=base64.b64decode(classes_zlib))
    await _ASSIGN_CATALOG.execute(connection, name=name, digest=digest)


async def save_models_at_join(connection: Connection, name: str, models: Sequence[str]) -> None:
    """Record the models (``Class.input=file``) of a node that joins. Models that appear later are not recorded."""
    if await _MARK_MODELS_SAVED.fetch_value(connection, name=name):
        await _DELETE_MODELS.execute(connection, name=name)
        await _INSERT_MODELS.execute(connection, name=name, models=list(models))


async def list_models_at_join(connection: Connection, field: str, *, forget_after_s: float) -> Sequence[str]:
    """List the models of one input (``Class.input``) that nodes had when they joined."""
    rows = await _LIST_MODELS_AT_JOIN.fetch_all(connection, start=f"{field}=", forget_after_s=forget_after_s)
    return [row["model"] for row in rows]


async def load_catalog(connection: Connection, digest: str) -> str | None:
    """Load a catalog as it was reported: base64 of its zlib-compressed JSON."""
    body = await _LOAD_CATALOG.fetch_value(connection, digest=digest)
    return base64.b64encode(body).decode() if body else None


async def prune_catalogs(database: Database) -> None:
    """Delete catalogs that no node has had for a day."""
    await _EXPIRED_REPLACEMENTS.delete(database)
    await _EXPIRED_CATALOGS.delete(database)


async def list_nodes(connection: Connection, *, offline_after_s: float, forget_after_s: float) -> Sequence[Row]:
    """List nodes that were last seen at most ``forget_after_s`` seconds before the most recently seen node.

    Rows have name, online, seen_at, catalog_digest, loaded, job_id, busy_since, prefetched (number of attempts),
    cordoned_at, gpu_model, shared_since, gpu_bytes, blocked_since and since: when the node went online or offline or
    changed its catalog.
    """
    return await _LIST_NODES.fetch_all(connection, offline_after_s=offline_after_s, forget_after_s=forget_after_s)


async def list_other_catalogs(connection: Connection, node: str, *, offline_after_s: float) -> list[str]:
    """List the catalog digests of all other nodes that are online and neither blocked nor cordoned."""
    return [
        row["catalog_digest"]
        for row in await _LIST_OTHER_CATALOGS.fetch_all(connection, node=node, offline_after_s=offline_after_s)
    ]


async def list_replaced_catalogs(connection: Connection, *, grace_s: float, forget_after_s: float) -> list[str]:
    """List the digests of catalogs that nodes replaced in the last ``grace_s`` seconds."""
    rows = await _LIST_REPLACED_CATALOGS.fetch_all(connection, grace_s=grace_s, forget_after_s=forget_after_s)
    return [row["digest"] for row in rows]


async def save_requirement(
    connection: Connection, needs: tuple[str, ...], *, memory_over_gib: int | None = None
) -> int:
    """Return the id of the requirement with these needs; insert it if it is new.

    Args:
        memory_over_gib: a GPU with this much memory was too small; None if no GPU is known to be too small.
    """
    lines = [*needs, *([] if memory_over_gib is None else [f"> {memory_over_gib} GiB"])]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    await _INSERT_REQUIREMENT.execute(connection, digest=digest, needs=list(needs), memory_over_gib=memory_over_gib)
    found: int = await _FIND_REQUIREMENT.fetch_value(connection, digest=digest)
    return found


async def list_new_requirements(connection: Connection, known: Sequence[int]) -> Sequence[Row]:
    """List requirements (id, needs, memory_over_gib) whose ids are not in ``known``."""
    return await _LIST_NEW_REQUIREMENTS.fetch_all(connection, known=list(known))

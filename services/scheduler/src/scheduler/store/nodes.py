"""Nodes, what they can run, and what jobs need."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from chassis.database.statement import Connection, Row, Statement
from contracts.scheduler.heartbeats import Heartbeat

ORDER_S = 60.0  # an operator's order that no heartbeat took for so long is not carried out any more

_BEAT = Statement("""
INSERT INTO nodes (name, boot_id, online, seen_at, loaded, catalog_digest, state_since, shared_since, occupied_by,
    occupied_prompt_id, occupied_since, blocked)
VALUES (:name, :boot_id, :online, now(), :loaded, (SELECT digest FROM catalogs WHERE digest = :digest), now(),
    CASE WHEN :is_shared THEN now() END, :occupied_by, :occupied_prompt_id,
    now() - make_interval(secs => CAST(:occupied_s AS float)), :blocked)
ON CONFLICT (name) DO UPDATE SET boot_id = excluded.boot_id, online = excluded.online, seen_at = excluded.seen_at,
    loaded = excluded.loaded,
    state_since = CASE
        WHEN nodes.online = excluded.online AND nodes.seen_at > now() - make_interval(secs => :online_s)
            AND coalesce(excluded.catalog_digest, nodes.catalog_digest) IS NOT DISTINCT FROM nodes.catalog_digest
        THEN nodes.state_since
        ELSE now()
    END,
    shared_since = CASE WHEN :is_shared THEN coalesce(nodes.shared_since, now()) END,
    models_noted = nodes.models_noted AND nodes.seen_at > now() - make_interval(secs => :forgotten_s),
    catalog_digest = coalesce(excluded.catalog_digest, nodes.catalog_digest),
    occupied_by = excluded.occupied_by, occupied_prompt_id = excluded.occupied_prompt_id,
    occupied_since = CASE WHEN nodes.occupied_prompt_id = excluded.occupied_prompt_id THEN nodes.occupied_since
        ELSE excluded.occupied_since END,
    blocked = excluded.blocked,
    clear_at = CASE WHEN nodes.clear_at > coalesce(CAST(:cleared AS timestamptz), '-infinity') THEN nodes.clear_at END,
    refresh_at = CASE WHEN nodes.refresh_at > coalesce(CAST(:refreshed AS timestamptz), '-infinity')
        THEN nodes.refresh_at END
RETURNING catalog_digest IS NOT DISTINCT FROM CAST(:digest AS text) AND models_noted AS known,
    CASE WHEN clear_at > now() - make_interval(secs => :order_s) THEN clear_at END AS clear,
    CASE WHEN refresh_at > now() - make_interval(secs => :order_s) THEN refresh_at END AS refresh
""")
_JOINED = Statement("UPDATE nodes SET models_noted = true WHERE name = :name AND NOT models_noted RETURNING true")
_FORGET_MODELS = Statement("DELETE FROM models_at_join WHERE node = :name")
_NOTE_MODELS = Statement("""
INSERT INTO models_at_join (node, model) SELECT :name, unnest(CAST(:models AS text[])) ON CONFLICT DO NOTHING
""")
# After a night without nodes the fleet is still known: nodes are forgotten while others are there.
_REMEMBERED = "n.seen_at > (SELECT max(seen_at) FROM nodes) - make_interval(secs => :forgotten_s)"
_MODELS_AT_JOIN = Statement(f"""
SELECT DISTINCT substr(m.model, length(CAST(:start AS text)) + 1) AS model
FROM models_at_join m JOIN nodes n ON n.name = m.node
WHERE starts_with(m.model, CAST(:start AS text)) AND {_REMEMBERED}
""")  # noqa: S608 - constants only
_REPORT = Statement("""
INSERT INTO catalogs (digest, classes_zlib) VALUES (:digest, :classes) ON CONFLICT (digest) DO NOTHING
""")
_RUNS = Statement("""
UPDATE nodes SET catalog_digest = :digest, state_since = now()
WHERE name = :name AND catalog_digest IS DISTINCT FROM :digest
""")
_CATALOG = Statement("SELECT classes_zlib FROM catalogs WHERE digest = :digest")
_SEEN = Statement(f"""
SELECT n.name, n.online AND n.seen_at > now() - make_interval(secs => :online_s) AS online, n.seen_at,
    n.catalog_digest, n.loaded, a.job_id, n.cordoned_at, n.shared_since,
    CASE WHEN n.blocked THEN n.occupied_since END AS blocked_since,
    CASE WHEN n.online AND n.seen_at <= now() - make_interval(secs => :online_s) THEN n.seen_at
        ELSE n.state_since END AS since
FROM nodes n LEFT JOIN attempts a ON a.node = n.name AND a.ended_at IS NULL
WHERE {_REMEMBERED} ORDER BY n.name
""")  # noqa: S608 - constants only
_OTHERS = Statement("""
SELECT DISTINCT catalog_digest FROM nodes
WHERE name <> :node AND online AND seen_at > now() - make_interval(secs => :online_s) AND cordoned_at IS NULL
    AND catalog_digest IS NOT NULL AND NOT blocked
""")
_REPLACED = Statement("""
SELECT DISTINCT r.digest FROM replaced_catalogs r JOIN nodes n ON n.name = r.node
WHERE r.replaced_at > now() - make_interval(secs => :grace_s)
    AND n.seen_at > now() - make_interval(secs => :forgotten_s)
""")
_ADD_REQUIREMENT = Statement("""
INSERT INTO requirements (digest, needs) VALUES (:digest, :needs) ON CONFLICT (digest) DO NOTHING
""")
_REQUIREMENT = Statement("SELECT id FROM requirements WHERE digest = :digest")
_NEW_REQUIREMENTS = Statement("SELECT id, needs FROM requirements WHERE id <> ALL(CAST(:known AS bigint[]))")


class Noted(NamedTuple):
    """What the database knows of a node that was just heard.

    Attributes:
        known: its catalog, and the models that it had when it joined.
        clear, refresh: when an operator ordered this of it, where it was not carried out yet.
    """

    known: bool
    clear: datetime | None
    refresh: datetime | None


async def beat(connection: Connection, name: str, beat: Heartbeat, *, online_s: float, forgotten_s: float) -> Noted:
    """Note a sign of life.

    A node that was not seen for ``online_s`` seconds was away; after ``forgotten_s`` seconds it joins anew.
    """
    occupied = beat.occupied
    row = await _BEAT.first(
        connection,
        name=name,
        boot_id=beat.boot_id,
        online=beat.online,
        loaded=list(beat.loaded),
        is_shared=beat.foreign_prompts > 0,
        online_s=online_s,
        digest=beat.catalog_digest,
        forgotten_s=forgotten_s,
        occupied_by=occupied.by.value if occupied else None,
        occupied_prompt_id=occupied.prompt_id if occupied else None,
        occupied_s=occupied.seconds if occupied else None,
        blocked=occupied is not None and occupied.blocked,
        cleared=beat.cleared,
        refreshed=beat.refreshed,
        order_s=ORDER_S,
    )
    assert row is not None  # noqa: S101 - an upsert returns its row
    return Noted(known=row["known"], clear=row["clear"], refresh=row["refresh"])


async def keep_catalog(connection: Connection, name: str, digest: str, classes_zlib: str) -> None:
    """Keep what a node can run."""
    await _REPORT.run(connection, digest=digest, classes=base64.b64decode(classes_zlib))
    await _RUNS.run(connection, name=name, digest=digest)


async def note_models(connection: Connection, name: str, models: Sequence[str]) -> None:
    """Note the models (``Class.input=file``) of a node that joins; what appears on it later is not noted."""
    if await _JOINED.value(connection, name=name):
        await _FORGET_MODELS.run(connection, name=name)
        await _NOTE_MODELS.run(connection, name=name, models=list(models))


async def models_at_join(connection: Connection, field: str, *, forgotten_s: float) -> Sequence[str]:
    """The models that nodes had when they joined, of one input (``Class.input``)."""
    rows = await _MODELS_AT_JOIN.all(connection, start=f"{field}=", forgotten_s=forgotten_s)
    return [row["model"] for row in rows]


async def catalog(connection: Connection, digest: str) -> str | None:
    """A catalog as it was reported, base64 of its compressed JSON."""
    body = await _CATALOG.value(connection, digest=digest)
    return base64.b64encode(body).decode() if body else None


async def seen(connection: Connection, *, online_s: float, forgotten_s: float) -> Sequence[Row]:
    """Nodes that were seen at most ``forgotten_s`` seconds before the one that was seen last.

    Each has name, online, seen_at, catalog_digest, loaded, job_id, cordoned_at, shared_since, blocked_since, and since
    when it is online or not, with its catalog.
    """
    return await _SEEN.all(connection, online_s=online_s, forgotten_s=forgotten_s)


async def others(connection: Connection, node: str, *, online_s: float) -> list[str]:
    """Catalogs of the nodes besides this one that are online, not blocked, and may take work."""
    return [row["catalog_digest"] for row in await _OTHERS.all(connection, node=node, online_s=online_s)]


async def replaced(connection: Connection, *, grace_s: float, forgotten_s: float) -> list[str]:
    """Catalogs that nodes had until ``grace_s`` seconds ago at most."""
    rows = await _REPLACED.all(connection, grace_s=grace_s, forgotten_s=forgotten_s)
    return [row["digest"] for row in rows]


async def requirement(connection: Connection, needs: tuple[str, ...]) -> int:
    """The id of these needs, made if they are new."""
    digest = hashlib.sha256("\n".join(needs).encode()).hexdigest()
    await _ADD_REQUIREMENT.run(connection, digest=digest, needs=list(needs))
    found: int = await _REQUIREMENT.value(connection, digest=digest)
    return found


async def new_requirements(connection: Connection, known: Sequence[int]) -> Sequence[Row]:
    """Requirements (id, needs) other than the known ones."""
    return await _NEW_REQUIREMENTS.all(connection, known=list(known))

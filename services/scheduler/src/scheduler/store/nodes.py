"""Nodes, what they can run, and what jobs need."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from chassis.postgres import Connection

_BEAT = text("""
INSERT INTO nodes (name, boot_id, online, seen_at, catalog_digest)
VALUES (:name, :boot_id, :online, now(), (SELECT digest FROM catalogs WHERE digest = :digest))
ON CONFLICT (name) DO UPDATE SET boot_id = excluded.boot_id, online = excluded.online, seen_at = excluded.seen_at,
    catalog_digest = coalesce(excluded.catalog_digest, nodes.catalog_digest)
RETURNING catalog_digest IS NOT DISTINCT FROM CAST(:digest AS text) AS known
""")
_REPORT = text("""
INSERT INTO catalogs (digest, classes_zlib) VALUES (:digest, :classes) ON CONFLICT (digest) DO NOTHING
""")
_RUNS = text("UPDATE nodes SET catalog_digest = :digest WHERE name = :name")
_CATALOG = text("SELECT classes_zlib FROM catalogs WHERE digest = :digest")
_SEEN = text("""
SELECT n.name, n.online AND n.seen_at > now() - make_interval(secs => :online_s) AS online, n.seen_at,
    n.catalog_digest, a.job_id
FROM nodes n LEFT JOIN attempts a ON a.node = n.name AND a.ended_at IS NULL
WHERE n.seen_at > now() - make_interval(secs => :forgotten_s) ORDER BY n.name
""")
_ADD_REQUIREMENT = text("""
INSERT INTO requirements (digest, needs) VALUES (:digest, :needs) ON CONFLICT (digest) DO NOTHING
""")
_REQUIREMENT = text("SELECT id FROM requirements WHERE digest = :digest")
_NEW_REQUIREMENTS = text("SELECT id, needs FROM requirements WHERE id <> ALL(CAST(:known AS bigint[]))")


async def beat(connection: Connection, name: str, *, boot_id: UUID, online: bool, digest: str | None) -> bool:
    """Note a sign of life; whether the node's catalog is known."""
    parameters = {"name": name, "boot_id": boot_id, "online": online, "digest": digest}
    return bool(await connection.scalar(_BEAT, parameters))


async def keep_catalog(connection: Connection, name: str, digest: str, classes_zlib: str) -> None:
    """Keep what a node can run."""
    await connection.execute(_REPORT, {"digest": digest, "classes": base64.b64decode(classes_zlib)})
    await connection.execute(_RUNS, {"name": name, "digest": digest})


async def catalog(connection: Connection, digest: str) -> str | None:
    """A catalog as it was reported, base64 of its compressed JSON."""
    body = await connection.scalar(_CATALOG, {"digest": digest})
    return base64.b64encode(body).decode() if body else None


async def seen(connection: Connection, *, online_s: float, forgotten_s: float) -> Sequence[Row[Any]]:
    """Nodes (name, online, seen_at, catalog_digest, job_id) that were seen within ``forgotten_s`` seconds."""
    return (await connection.execute(_SEEN, {"online_s": online_s, "forgotten_s": forgotten_s})).all()


async def requirement(connection: Connection, needs: tuple[str, ...]) -> int:
    """The id of these needs, made if they are new."""
    digest = hashlib.sha256("\n".join(needs).encode()).hexdigest()
    await connection.execute(_ADD_REQUIREMENT, {"digest": digest, "needs": list(needs)})
    found: int = (await connection.execute(_REQUIREMENT, {"digest": digest})).scalar_one()
    return found


async def new_requirements(connection: Connection, known: Sequence[int]) -> Sequence[Row[Any]]:
    """Requirements (id, needs) other than the known ones."""
    return (await connection.execute(_NEW_REQUIREMENTS, {"known": list(known)})).all()

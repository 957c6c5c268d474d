"""Saved workflows and their versions."""

import json
from typing import Any
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Row, Statement
from chassis.ids import new_id
from chassis.offload import INLINE_BYTES
from gateway.workflows.errors import TooManyVersions, TooManyWorkflows
from gateway.workflows.parameters import ParameterBody
from gateway.workflows.schemas import MAX_VERSIONS, MAX_WORKFLOWS, Version, WorkflowContent, WorkflowHeading

# Serializes saves of one tenant, so that versions have no gaps and limits hold.
_LOCK = Statement("SELECT pg_advisory_xact_lock(hashtextextended('workflows ' || :tenant_id::uuid, 0))")
_NEWEST = Statement("""
SELECT version, digest FROM workflows WHERE tenant_id = :tenant_id AND name = :name ORDER BY version DESC LIMIT 1
""")
_COUNT = Statement("SELECT count(DISTINCT name) FROM workflows WHERE tenant_id = :tenant_id")
_ADD = Statement("""
INSERT INTO workflows (id, tenant_id, name, version, description, graph, parameters, digest)
VALUES (:id, :tenant_id, :name, :version, :description, :graph, :parameters, :digest)
""")
_GET = Statement("""
SELECT id, name, version, description, created_at, graph, parameters FROM workflows
WHERE tenant_id = :tenant_id AND name = :name AND (:version::int IS NULL OR version = :version)
ORDER BY version DESC LIMIT 1
""")
_LIST = Statement("""
SELECT id, name, version, description, created_at FROM (
    SELECT DISTINCT ON (name) id, name, version, description, created_at FROM workflows
    WHERE tenant_id = :tenant_id ORDER BY name, version DESC
) AS newest
WHERE :before::uuid IS NULL OR id < :before ORDER BY id DESC LIMIT :at_most
""")
_DELETE = Statement("""
WITH gone AS (DELETE FROM workflows WHERE tenant_id = :tenant_id AND name = :name RETURNING 1)
SELECT count(*) FROM gone
""")


class WorkflowStore:
    """The workflows table. Every statement is limited to one tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, tenant_id: str, name: str, content: WorkflowContent) -> tuple[int, bool]:
        """Save a new version unless the newest has the same content; its number, and whether it is new.

        Raises:
            TooManyWorkflows: the tenant has ``MAX_WORKFLOWS``.
            TooManyVersions: the workflow has ``MAX_VERSIONS``.
        """
        tenant, graph = UUID(tenant_id), json.dumps(content.graph)  # of 1 MiB at most
        parameters = {name: one.model_dump(mode="json", exclude_none=True) for name, one in content.parameters.items()}
        async with self._database.transaction() as connection:
            await _LOCK.execute(connection, tenant_id=tenant)
            newest = await _NEWEST.fetch_first(connection, tenant_id=tenant, name=name)
            if newest is not None and newest["digest"] == content.digest:
                return newest["version"], False
            if newest is None and await _COUNT.fetch_value(connection, tenant_id=tenant) >= MAX_WORKFLOWS:
                raise TooManyWorkflows(limit=MAX_WORKFLOWS)
            version = newest["version"] + 1 if newest is not None else 1
            if version > MAX_VERSIONS:
                raise TooManyVersions(limit=MAX_VERSIONS)
            await _ADD.execute(
                connection,
                id=new_id(),
                tenant_id=tenant,
                name=name,
                version=version,
                description=content.description,
                graph=graph,
                parameters=json.dumps(parameters),
                digest=content.digest,
            )
        return version, True

    async def get(self, tenant_id: str, name: str, version: int | None) -> Version | None:
        """This version, or the newest one."""
        async with self._database.connection() as connection:
            row = await _GET.fetch_first(connection, tenant_id=UUID(tenant_id), name=name, version=version)
        return _to_version(row) if row is not None else None

    async def page(self, tenant_id: str, *, before: UUID | None, at_most: int) -> list[WorkflowHeading]:
        """Return the newest version of each workflow, last changed first, after ``before``."""
        async with self._database.connection() as connection:
            rows = await _LIST.fetch_all(connection, tenant_id=UUID(tenant_id), before=before, at_most=at_most)
        return [WorkflowHeading(**row) for row in rows]

    async def delete(self, tenant_id: str, name: str) -> bool:
        """Delete every version; False if there was none."""
        async with self._database.connection() as connection:
            return bool(await _DELETE.fetch_value(connection, tenant_id=UUID(tenant_id), name=name))


def _to_version(row: Row) -> Version:
    graph: dict[str, Any] = json.loads(row["graph"])
    parameters = json.loads(row["parameters"])
    heading = {name: row[name] for name in ("id", "name", "version", "description", "created_at")}
    return Version(
        heading=WorkflowHeading(**heading),
        graph=graph,
        parameters={name: ParameterBody.model_validate(one) for name, one in parameters.items()},
        is_large=len(row["graph"]) > INLINE_BYTES,
    )

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
from gateway.workflows.schemas import MAX_VERSIONS, MAX_WORKFLOWS, WorkflowContent, WorkflowSummary, WorkflowVersion

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
_FIND_VERSION = Statement("""
SELECT id, name, version, description, created_at, graph, parameters FROM workflows
WHERE tenant_id = :tenant_id AND name = :name AND (:version::int IS NULL OR version = :version)
ORDER BY version DESC LIMIT 1
""")
_LIST = Statement("""
SELECT id, name, version, description, created_at FROM (
    SELECT DISTINCT ON (name) id, name, version, description, created_at FROM workflows
    WHERE tenant_id = :tenant_id ORDER BY name, version DESC
) AS newest
WHERE :before::uuid IS NULL OR id < :before ORDER BY id DESC LIMIT :limit
""")
_DELETE = Statement("""
WITH deleted AS (DELETE FROM workflows WHERE tenant_id = :tenant_id AND name = :name RETURNING 1)
SELECT count(*) FROM deleted
""")


class WorkflowStore:
    """The workflows table. Every statement is limited to one tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, tenant_id: str, name: str, content: WorkflowContent) -> tuple[int, bool]:
        """Save a new version unless the newest has the same content. Return its number, and whether it is new.

        Raises:
            TooManyWorkflows: the tenant has ``MAX_WORKFLOWS``.
            TooManyVersions: the workflow has ``MAX_VERSIONS``.
        """
        tenant, graph = UUID(tenant_id), json.dumps(content.graph)  # of 1 MiB at most
        parameters = {
            name: parameter.model_dump(mode="json", exclude_none=True) for name, parameter in content.parameters.items()
        }
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

    async def find_version(self, tenant_id: str, name: str, version: int | None) -> WorkflowVersion | None:
        """Return this version, or the newest one if ``version`` is None."""
        async with self._database.connection() as connection:
            row = await _FIND_VERSION.fetch_first(connection, tenant_id=UUID(tenant_id), name=name, version=version)
        return _to_version(row) if row is not None else None

    async def list_newest(self, tenant_id: str, *, before: UUID | None, limit: int) -> list[WorkflowSummary]:
        """Return the newest version of each workflow, last changed first, after ``before``."""
        async with self._database.connection() as connection:
            rows = await _LIST.fetch_all(connection, tenant_id=UUID(tenant_id), before=before, limit=limit)
        return [WorkflowSummary(**row) for row in rows]

    async def delete(self, tenant_id: str, name: str) -> bool:
        """Delete every version. Return whether there was one."""
        async with self._database.transaction() as connection:
            return bool(await _DELETE.fetch_value(connection, tenant_id=UUID(tenant_id), name=name))


def _to_version(row: Row) -> WorkflowVersion:
    graph: dict[str, Any] = json.loads(row["graph"])
    parameters = json.loads(row["parameters"])
    summary = {name: row[name] for name in ("id", "name", "version", "description", "created_at")}
    return WorkflowVersion(
        summary=WorkflowSummary(**summary),
        graph=graph,
        parameters={name: ParameterBody.model_validate(parameter) for name, parameter in parameters.items()},
        is_large=len(row["graph"]) > INLINE_BYTES,
    )

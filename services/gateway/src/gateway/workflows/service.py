"""Saves, reads, lists and deletes workflows, and fills in parameters."""

from typing import Any

from chassis.database.postgres import is_unavailable
from chassis.offload import offload
from contracts.wire.errors import Unavailable
from gateway.api.v1 import cursors
from gateway.edge.json_body import MAX_ERRORS
from gateway.signing.keys import SigningKeys
from gateway.workflows import parameters
from gateway.workflows.errors import BadParameters, UnknownWorkflow
from gateway.workflows.schemas import (
    SaveBody,
    WorkflowSummary,
    WorkflowVersion,
    build_content,
    parse_new_workflow_name,
    parse_workflow_name,
)
from gateway.workflows.store import WorkflowStore

CURSOR_FILTERS = "workflows"


class SavedWorkflows:
    """The saved workflows of a tenant. Workflows of other tenants count as missing."""

    def __init__(self, workflows: WorkflowStore, *, cursor_keys: SigningKeys) -> None:
        self._workflows, self._keys = workflows, cursor_keys

    async def save_workflow(
        self, name: str, sent: SaveBody, *, tenant: str, is_large: bool = False
    ) -> tuple[WorkflowVersion, bool]:
        """Save a workflow. Return its newest version, and whether this call created it.

        Saving the content of the newest version again creates no version.

        Raises:
            InvalidRequest: the name is malformed or reserved.
            InvalidWorkflow: the graph is invalid, or a parameter does not fit it.
            TooManyWorkflows, TooManyVersions: the tenant has too many.
        """
        name = parse_new_workflow_name(name)
        content = await offload(build_content, sent) if is_large else build_content(sent)
        version, is_new = await self._workflows.save(tenant, name, content)
        return await self.read_workflow(name, version, tenant=tenant), is_new

    async def read_workflow(self, name: str, version: int | None, *, tenant: str) -> WorkflowVersion:
        """Return one version; without a number the newest.

        Raises:
            UnknownWorkflow: the tenant has no such workflow or version.
            Unavailable: the database is unavailable.
        """
        try:
            found = await self._workflows.find_version(tenant, parse_workflow_name(name), version)
        except Exception as error:
            if not is_unavailable(error):
                raise
            # A refusal rather than an error of asyncpg, so that a batch can report it for one item.
            raise Unavailable(service="gateway", retry_after_s=1) from error
        if found is None:
            raise UnknownWorkflow
        return found

    async def delete_workflow(self, name: str, *, tenant: str) -> None:
        """Delete all versions. Submitted jobs are not affected.

        Raises:
            UnknownWorkflow: the tenant has no such workflow.
        """
        if not await self._workflows.delete(tenant, parse_workflow_name(name)):
            raise UnknownWorkflow

    async def list_workflows(
        self, *, tenant: str, limit: int, cursor: str | None
    ) -> tuple[list[WorkflowSummary], str | None]:
        """Return a page of workflows, last changed first, and the cursor of the next page.

        Raises:
            BadCursor: the cursor was made for another tenant.
        """
        before = (
            cursors.decode(self._keys, cursor, tenant=tenant, filters=CURSOR_FILTERS) if cursor is not None else None
        )
        found = await self._workflows.list_newest(tenant, before=before, limit=limit + 1)
        if len(found) <= limit:
            return found, None
        page = found[:limit]
        return page, cursors.encode(self._keys, tenant=tenant, filters=CURSOR_FILTERS, before=page[-1].id)


def set_parameter_values(version: WorkflowVersion, sent: dict[str, Any], pointer: str) -> dict[str, Any]:
    """Return the graph with these values.

    Args:
        version: the workflow; it is not modified.
        sent: values by parameter.
        pointer: JSON Pointer to them in the request.

    Raises:
        BadParameters: the values do not fit the workflow.
    """
    errors = parameters.validate_values(version.parameters, sent, pointer)
    if errors:
        raise BadParameters(errors=errors[:MAX_ERRORS])
    return parameters.set_values(version.parameters, sent, version.graph)

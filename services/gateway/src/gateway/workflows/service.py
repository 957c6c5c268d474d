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
    Version,
    WorkflowHeading,
    parse_content,
    parse_new_workflow_name,
    parse_workflow_name,
)
from gateway.workflows.store import WorkflowStore

FILTERS = "workflows"


class SavedWorkflows:
    """The saved workflows of a tenant. Those of others do not exist for it."""

    def __init__(self, workflows: WorkflowStore, *, cursor_keys: SigningKeys) -> None:
        self._workflows, self._keys = workflows, cursor_keys

    async def save_workflow(
        self, name: str, sent: SaveBody, *, tenant: str, is_large: bool = False
    ) -> tuple[Version, bool]:
        """Save the newest version; and whether it is new: saving the same content twice creates one version.

        Raises:
            InvalidRequest: the name is malformed or reserved.
            InvalidWorkflow: the graph is invalid, or a parameter does not fit it.
            TooManyWorkflows, TooManyVersions: the tenant has too many.
        """
        name = parse_new_workflow_name(name)
        content = await offload(parse_content, sent) if is_large else parse_content(sent)
        version, new = await self._workflows.save(tenant, name, content)
        return await self.read_workflow(name, version, tenant=tenant), new

    async def read_workflow(self, name: str, version: int | None, *, tenant: str) -> Version:
        """Return one version; without a number the newest.

        Raises:
            UnknownWorkflow: the tenant has no such workflow or version.
            Unavailable: the database is unavailable.
        """
        try:
            found = await self._workflows.get(tenant, parse_workflow_name(name), version)
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
    ) -> tuple[list[WorkflowHeading], str | None]:
        """Return a page of workflows, last changed first, and the cursor of the next page.

        Raises:
            BadCursor: the cursor was made for another tenant.
        """
        before = cursors.decode(self._keys, cursor, tenant=tenant, filters=FILTERS) if cursor is not None else None
        found = await self._workflows.page(tenant, before=before, at_most=limit + 1)
        if len(found) <= limit:
            return found, None
        page = found[:limit]
        return page, cursors.encode(self._keys, tenant=tenant, filters=FILTERS, before=page[-1].id)


def set_parameter_values(version: Version, sent: dict[str, Any], pointer: str) -> dict[str, Any]:
    """Return the graph with these values.

    Args:
        version: the workflow; it is not modified.
        sent: values by parameter.
        pointer: JSON Pointer to them in the request.

    Raises:
        BadParameters: they do not fit the workflow.
    """
    errors = parameters.check(version.parameters, sent, pointer)
    if errors:
        raise BadParameters(errors=errors[:MAX_ERRORS])
    return parameters.place(version.parameters, sent, version.graph)

"""Save, read, list, delete workflows, and fill one in."""

from typing import Any

from chassis.database.postgres import is_unavailable
from chassis.offload import offload
from contracts.wire.errors import Unavailable
from gateway.api.v1 import cursors
from gateway.edge.json_body import MAX_ERRORS
from gateway.errors import BadParameters, UnknownWorkflow
from gateway.workflows import parameters
from gateway.workflows.schemas import Heading, SaveBody, Version, content_of, name_of, new_name_of
from gateway.workflows.store import Workflows

FILTERS = "workflows"


class SavedWorkflows:
    """Every tenant's own; what is somebody else's is absent."""

    def __init__(self, workflows: Workflows, *, cursor_key: bytes) -> None:
        self._workflows, self._key = workflows, cursor_key

    async def save(self, name: str, sent: SaveBody, *, tenant: str, is_large: bool = False) -> tuple[Version, bool]:
        """The newest version from now on, and whether it is a new one: the same content twice is one version.

        Raises:
            InvalidRequest: it cannot have this name.
            InvalidWorkflow: the graph is none, or a parameter does not fit it.
            TooManyWorkflows, TooManyVersions: no room for it.
        """
        name = new_name_of(name)
        content = await offload(content_of, sent) if is_large else content_of(sent)
        version, new = await self._workflows.save(tenant, name, content)
        return await self.read(name, version, tenant=tenant), new

    async def read(self, name: str, version: int | None, *, tenant: str) -> Version:
        """One version; the newest without a number.

        Raises:
            UnknownWorkflow: there is none, or it is somebody else's.
            Unavailable: the database is away.
        """
        try:
            found = await self._workflows.get(tenant, name_of(name), version)
        except Exception as error:
            if not is_unavailable(error):
                raise
            # Not an error of asyncpg's: a batch has an item for it.
            raise Unavailable(service="gateway", retry_after_s=1) from error
        if found is None:
            raise UnknownWorkflow
        return found

    async def delete(self, name: str, *, tenant: str) -> None:
        """All versions of it. Jobs that were submitted stay as they are.

        Raises:
            UnknownWorkflow: there is none, or it is somebody else's.
        """
        if not await self._workflows.delete(tenant, name_of(name)):
            raise UnknownWorkflow

    async def page(self, *, tenant: str, limit: int, cursor: str | None) -> tuple[list[Heading], str | None]:
        """A page, the last changed first, and the cursor of the next one.

        Raises:
            BadCursor: the cursor was not given out for this tenant.
        """
        before = cursors.decode(self._key, cursor, tenant=tenant, filters=FILTERS) if cursor is not None else None
        found = await self._workflows.page(tenant, before=before, at_most=limit + 1)
        if len(found) <= limit:
            return found, None
        page = found[:limit]
        return page, cursors.encode(self._key, tenant=tenant, filters=FILTERS, before=page[-1].id)


def fill_in(version: Version, sent: dict[str, Any], pointer: str) -> dict[str, Any]:
    """The graph with these values.

    Args:
        version: the workflow; it stays as it is.
        sent: values by parameter.
        pointer: where in the request they are.

    Raises:
        BadParameters: they are not what the workflow takes.
    """
    errors = parameters.check(version.parameters, sent, pointer)
    if errors:
        raise BadParameters(errors=errors[:MAX_ERRORS])
    return parameters.place(version.parameters, sent, version.graph)

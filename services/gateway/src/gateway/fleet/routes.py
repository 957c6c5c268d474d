"""What the fleet can run."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from chassis.messaging.bus import Bus
from chassis.offload import offload
from contracts.auth.credentials import MissingScope, Scope
from contracts.scheduler.fleet import READ_CLASSES, ReadClasses
from gateway.api.v1.problems import problems
from gateway.edge.access import Reader, Watcher
from gateway.fleet.schemas import ClassesBody, ModelsBody, present_classes
from gateway.fleet.service import FleetView
from gateway.storage.byte_range import matches

_ETAG = {"ETag": {"description": "Changes with the body; send it as If-None-Match.", "schema": {"type": "string"}}}
_KEPT: dict[int | str, dict[str, Any]] = {
    200: {"headers": _ETAG},
    304: {"description": "If-None-Match names the ETag.", "headers": _ETAG},
}
_IF_NONE_MATCH = {
    "parameters": [
        {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "description": "ETags of the bodies that the client has.",
            "schema": {"type": "string"},
        }
    ]
}


def router(*, bus: Bus, fleet: FleetView) -> APIRouter:
    """The routes of the fleet."""
    routes = APIRouter(prefix="/api/v1", tags=["fleet"])

    @routes.get(
        "/models",
        summary="Models that the fleet has now",
        response_model=ModelsBody,
        openapi_extra=_IF_NONE_MATCH,
        responses={**_KEPT, **problems()},
    )
    async def models(tenant: Reader, request: Request) -> Response:
        """Of all nodes that were seen within a day, for the node classes that your policy allows."""
        found = (await fleet.read(tenant)).models
        return _unless_kept(request, await offload(_written, found))

    @routes.get(
        "/nodes/classes",
        summary="Node classes that the fleet has now, with their inputs",
        response_model=ClassesBody,
        openapi_extra=_IF_NONE_MATCH,
        responses={**_KEPT, **problems(422)},
    )
    async def classes(
        principal: Watcher,
        request: Request,
        *,
        name: Annotated[str | None, Query(min_length=1, max_length=200, description="only this class")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 100,
        cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the page before")] = None,
        everything: Annotated[
            bool,
            Query(alias="all", description="also the classes that your policy refuses, with the reason; for admins"),
        ] = False,
    ) -> Response:
        """What a workflow of yours may be made of.

        A page has 256 KiB at most, so it may have fewer than ``limit`` classes.
        """
        if everything and Scope.ADMIN not in principal.scopes:
            raise MissingScope(scope=Scope.ADMIN)
        query = ReadClasses(name=name, after=cursor, limit=limit, refused=everything)
        page = await bus.request(READ_CLASSES, query, tenant=principal.tenant)
        return _unless_kept(request, await offload(lambda: present_classes(page).model_dump_json().encode()))

    return routes


def _written(models: Mapping[str, Sequence[str]]) -> bytes:
    return ModelsBody(models={name: list(files) for name, files in models.items()}).model_dump_json().encode()


def _unless_kept(request: Request, content: bytes) -> Response:
    """The body, unless the client says that it has it."""
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)

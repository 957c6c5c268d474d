"""Models and node classes of the fleet."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from chassis.messaging.bus import Bus
from chassis.offload import offload
from contracts.auth.credentials import MissingScope, Scope
from contracts.scheduler.fleet import READ_CLASSES, ReadClasses
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import Reader, ReaderPrincipal
from gateway.fleet.schemas import ClassesBody, ModelsBody, build_classes_body
from gateway.fleet.service import FleetView
from gateway.storage.byte_range import etag_matches

_ETAG = {"ETag": {"description": "Changes with the body; send it as If-None-Match.", "schema": {"type": "string"}}}
_CACHEABLE: dict[int | str, dict[str, Any]] = {
    200: {"headers": _ETAG},
    304: {"description": "The ETag matches If-None-Match.", "headers": _ETAG},
}
_IF_NONE_MATCH = {
    "parameters": [
        {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "description": "ETags of cached bodies.",
            "schema": {"type": "string"},
        }
    ]
}


def create_router(*, bus: Bus, fleet: FleetView) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["fleet"])

    @routes.get(
        "/models",
        summary="List the models of the fleet",
        response_model=ModelsBody,
        openapi_extra=_IF_NONE_MATCH,
        responses={**_CACHEABLE, **declare_problems()},
    )
    async def list_models(tenant: Reader, request: Request) -> Response:
        """Models of all nodes seen within the last day, for the node classes that your graph policy allows."""
        found = (await fleet.read_fleet(tenant)).models
        return _respond_unless_cached(request, await offload(_encode_models, found))

    @routes.get(
        "/nodes/classes",
        summary="List the node classes of the fleet, with their inputs",
        response_model=ClassesBody,
        openapi_extra=_IF_NONE_MATCH,
        responses={**_CACHEABLE, **declare_problems()},
    )
    async def list_node_classes(
        principal: ReaderPrincipal,
        request: Request,
        *,
        name: Annotated[str | None, Query(min_length=1, max_length=200, description="only this class")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 100,
        cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the previous page")] = None,
        everything: Annotated[
            bool,
            Query(
                alias="all", description="include classes that your graph policy refuses, with the reason; admins only"
            ),
        ] = False,
    ) -> Response:
        """The node classes that your workflows can use.

        A page has at most 256 KiB, so it can have fewer than ``limit`` classes.
        """
        if everything and Scope.ADMIN not in principal.scopes:
            raise MissingScope(scope=Scope.ADMIN)
        query = ReadClasses(name=name, after=cursor, limit=limit, refused=everything)
        page = await bus.request(READ_CLASSES, query, tenant=principal.tenant)
        return _respond_unless_cached(
            request, await offload(lambda: build_classes_body(page).model_dump_json().encode())
        )

    return routes


def _encode_models(models: Mapping[str, Sequence[str]]) -> bytes:
    return ModelsBody(models={name: list(files) for name, files in models.items()}).model_dump_json().encode()


def _respond_unless_cached(request: Request, content: bytes) -> Response:
    """Return the body, or 304 if the client already has it."""
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Cache-Control": "private, no-cache"}
    if etag_matches(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)

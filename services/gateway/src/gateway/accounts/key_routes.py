"""API keys of the current user."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from chassis.messaging.bus import Bus
from contracts.auth.keys import (
    CREATE_KEY,
    LIST_KEYS,
    REVOKE_KEY,
    CreateKey,
    InvalidKey,
    KeyRequestReused,
    ListKeys,
    RevokeKey,
    ScopeNotGranted,
    TooManyKeys,
    UnknownKey,
)
from gateway.accounts.requests import KeyRequest
from gateway.accounts.schemas import CreatedKeyBody, KeysBody, build_created_key_body, build_keys_body
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import KeyOwner
from gateway.edge.errors import BadIdempotencyKey
from gateway.edge.idempotency import parse_idempotency_key
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body

KEY_ID = re.compile(r"[0-9A-Za-z]{1,64}")

_EXAMPLE = {"name": "render box", "scopes": ["jobs:read", "jobs:write"], "expires_at": "2027-02-21T09:00:00Z"}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sending the same Idempotency-Key and body again within 24 hours returns the same key.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_HEADERS: dict[str, Any] = {
    "Location": {"description": "URL path of the key.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true` if an earlier request created this key.",
        "schema": {"type": "string"},
    },
}


def create_router(*, bus: Bus) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/auth/keys", tags=["auth"])

    @routes.post(
        "",
        status_code=201,
        summary="Create a key",
        openapi_extra=describe_request_body(KeyRequest, example=_EXAMPLE) | {"parameters": [_IDEMPOTENCY]},
        responses={
            201: {"headers": _HEADERS},
            **declare_problems(
                BadIdempotencyKey, ScopeNotGranted, InvalidKey, KeyRequestReused, TooManyKeys, *JSON_BODY
            ),
        },
    )
    async def create_key(
        principal: KeyOwner, body: Annotated[Any, Depends(read_json_body)], request: Request, response: Response
    ) -> CreatedKeyBody:
        """The key is shown only in this response. It cannot have a scope that the credential of the request lacks."""
        parsed = validate_model(KeyRequest, body)
        command = CreateKey(
            name=parsed.name,
            scopes=tuple(parsed.scopes),
            granted=principal.scopes,
            expires_at=parsed.expires_at,
            idempotency_key=parse_idempotency_key(request.headers.getlist("idempotency-key")),
            ip=request.state.client_ip,
        )
        created = await bus.request(CREATE_KEY, command, tenant=principal.tenant)
        response.headers["Location"] = f"/api/v1/auth/keys/{created.key.id}"
        if created.replayed:
            response.headers["Idempotent-Replayed"] = "true"
        return build_created_key_body(created)

    @routes.get("", summary="List own keys, newest first", responses=declare_problems())
    async def list_keys(principal: KeyOwner) -> KeysBody:
        return build_keys_body((await bus.request(LIST_KEYS, ListKeys(), tenant=principal.tenant)).keys)

    @routes.delete("/{key_id}", status_code=204, summary="Revoke a key", responses=declare_problems(UnknownKey))
    async def revoke_key(principal: KeyOwner, key_id: str, request: Request) -> None:
        """Idempotent. Within a second the key is refused everywhere and its websockets are closed."""
        if not KEY_ID.fullmatch(key_id):
            raise UnknownKey
        command = RevokeKey(key_id=key_id, ip=request.state.client_ip)
        await bus.request(REVOKE_KEY, command, tenant=principal.tenant)

    return routes

"""Publishes the public keys that verify access tokens."""

from fastapi import APIRouter, Response

from gateway.accounts.public_keys import PublicKeys
from gateway.accounts.schemas import KeysetBody
from gateway.api.v1.problems import declare_public_problems

_HEADERS = {"Cache-Control": {"description": "How long to cache it.", "schema": {"type": "string"}}}


def create_router(*, keys: PublicKeys) -> APIRouter:
    routes = APIRouter(tags=["auth"])

    @routes.get(
        "/.well-known/jwks.json",
        summary="Read the public keys that verify access tokens",
        responses={200: {"headers": _HEADERS}, **declare_public_problems()},
    )
    async def read_public_keys(response: Response) -> KeysetBody:
        keyset = await keys.read_keyset()
        response.headers["Cache-Control"] = "public, max-age=300"
        return KeysetBody(keys=list(keyset.keys))

    return routes

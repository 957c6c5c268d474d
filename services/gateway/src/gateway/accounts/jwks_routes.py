"""The keys that access tokens are signed with, for everybody."""

from fastapi import APIRouter, Response

from gateway.accounts.public_keys import PublicKeys
from gateway.accounts.schemas import KeysetBody
from gateway.api.v1.problems import open_problems

_HEADERS = {"Cache-Control": {"description": "For how long to keep it.", "schema": {"type": "string"}}}


def router(*, keys: PublicKeys) -> APIRouter:
    """The one route."""
    routes = APIRouter(tags=["auth"])

    @routes.get(
        "/.well-known/jwks.json",
        summary="Public keys of access tokens",
        responses={200: {"headers": _HEADERS}, **open_problems()},
    )
    async def read(response: Response) -> KeysetBody:
        keyset = await keys.read()
        response.headers["Cache-Control"] = "public, max-age=300"
        return KeysetBody(keys=list(keyset.keys))

    return routes
